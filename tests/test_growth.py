"""What is logged may grow, and the work grows no faster: operations are counted, and not timed."""

from __future__ import annotations

import copy
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mozlog_py import MozlogFormatter
from mozlog_py._fields.first_fields import MAX_FIELDS, first_fields
from mozlog_py._line import line_encoder
from mozlog_py._line.json_encoder import dumps
from mozlog_py._line.line_encoder import LineEncoder, RaiseAfterWrite
from mozlog_py._redaction.mask import Mask
from mozlog_py._values.flatten import flattened as strict
from mozlog_py._values.record_budget import MAX_CHARACTERS, MAX_NODES, MoreItems
from mozlog_py._values.sanitiser import MAX_ITEMS, Sanitiser, unique_key
from mozlog_py.gcp import CloudFormatter
from mozlog_py.pretty import PrettyFormatter
from mozlog_py.processors import CapLengths, Redact, Sample, drop_none, flatten
from mozlog_py.structlog import MozlogRenderer

NOON_NS = 1_700_000_000_000_000_000

PROGRAM = Path(__file__).parents[1] / "benchmarks" / "growth.py"

OF_THE_TREE = pytest.mark.skipif(
    not PROGRAM.is_file(), reason="the benchmarks are of the tree, and not of the wheel"
)


def growth(*arguments: str, before: str = "") -> tuple[int, str]:
    """Run the program; return its exit status and what it printed."""
    code = f"import sys; sys.path.insert(0, {str(PROGRAM.parent)!r}); import growth\n"
    code += f"{before}\nsys.exit(growth.main({list(arguments)!r}))"
    # The program traces by itself.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, timeout=300, check=False, env=environment,
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, done.stdout


@OF_THE_TREE
@pytest.mark.parametrize(
    "words",
    [
        ("names", "JSON", "prefix", "pairs", "a set"),
        ("fields", "objects", "nested"),
    ],
    ids=" ".join,
)
def test_no_processor_and_no_format_does_more_for_what_is_larger(words: tuple[str, ...]) -> None:
    status, said = growth("--operations", "--only", *words)
    assert (status, said.endswith(" 0 that grow too much\n")) == (0, True), said
    assert int(said.splitlines()[-1].partition(" ")[0]) > 100


@OF_THE_TREE
@pytest.mark.parametrize("name", ["mozlog", "no such transform"])
def test_the_program_measures_a_row_that_grows_again(name: str) -> None:
    before = f"""
found = growth.Measured({name!r}, "nested", [1], [1.0], ["20 times as long for 10 bytes", "x"])
print(growth.confirmed(found, 1000).faults)
"""
    _, said = growth("--row", "none", before=before)
    grown = [] if name == "mozlog" else ["20 times as long for 10 bytes"]
    assert said == f"{[*grown, 'x']}\n0 rows, 0 that grow too much\n"


@OF_THE_TREE
def test_the_program_tells_what_is_quadratic() -> None:
    before = """
def quadratic(fields):
    names = [*fields["nested"]]
    return lambda: [[one for one in names if one == other] for other in names]

quadratic.__code__ = compile(
    '''def quadratic(fields):
    def run():
        names = [*fields["nested"]]
        for one in names:
            for other in names:
                other == one
    return run
''', "mozlog_py/quadratic.py", "exec").co_consts[0]
growth.TRANSFORMS = (growth.Transform("quadratic", lambda: quadratic),)
"""
    status, said = growth("--operations", "--only", "quadratic: names", before=before)
    assert status == 1
    assert "times the operations" in said


class Counting(dict[str, Any]):
    """Names that count how often they are asked for."""

    asked = 0

    def __contains__(self, name: object) -> bool:
        self.asked += 1
        return super().__contains__(name)


class TestNamesThatCollide:
    def test_names_that_collide_cost_two_questions_each(self) -> None:
        names, numbers = Counting(), dict[str, int]()
        for count in range(1000):
            names[unique_key("a", names, numbers)] = count
        assert [*names][:3] == ["a", "a_2", "a_3"]
        assert len(names) == 1000
        assert names.asked <= 4000

    def test_names_that_collide_have_the_numbers_that_they_have_without_a_memory(self) -> None:
        asked = ["a", "a_2", "a", "a", "a_2", "a_2_2", "b", "a", "a_2", "b"]
        with_memory, without, numbers = dict[str, int](), dict[str, int](), dict[str, int]()
        for count, name in enumerate(asked):
            with_memory[unique_key(name, with_memory, numbers)] = count
            without[unique_key(name, without)] = count
        assert with_memory == without

    def test_names_that_collide_cost_no_more_where_all_numbers_are_taken(self) -> None:
        names = Counting({f"a_{count}": 0 for count in range(2, 1000)}, a=0)
        numbers = dict[str, int]()
        for count in range(1000):
            names[unique_key("a", names, numbers)] = count
        assert names.asked <= 4000


def shared(depth: int = 15, width: int = 10) -> dict[str, Any]:
    inner: Any = {"text": "x" * 50, "none": None}
    for _ in range(depth):
        inner = {f"key{count}": inner for count in range(width)}
    return inner


def size_of(value: Any) -> int:
    """Return how many values there are, each as often as it is shown; up to a million."""
    count, waiting = 0, [value]
    while waiting and count < 1_000_000:
        one = waiting.pop()
        count += 1
        if isinstance(one, (dict, list, tuple)):
            waiting += one.values() if isinstance(one, dict) else one
    return count


@pytest.mark.slow
class TestSharedContainers:
    """Ten values that hold each other sixteen deep have ten to the sixteenth members."""

    @pytest.fixture
    def members(self) -> dict[str, Any]:
        members = shared()
        assert size_of(members) == 1_000_000
        return members

    def test_shared_containers_stay_nested_where_flatten_has_no_room(
        self, members: dict[str, Any]
    ) -> None:
        out = flatten(None, "info", {"event": "m", "a": members})
        assert len(out) <= MAX_NODES
        assert any(type(value) is dict for value in out.values())

    @pytest.mark.parametrize("processor", [drop_none, CapLengths(10)], ids=["drop_none", "cap"])
    def test_shared_containers_are_copied_as_far_as_a_line_shows_them(
        self, processor: Any, members: dict[str, Any]
    ) -> None:
        made = 0
        waiting = [(processor(None, "info", {"event": "m", "a": members})["a"], members)]
        while waiting:
            copy, given = waiting.pop()
            if type(copy) is dict and copy is not given:
                made += 1
                waiting += [(copy[key], given[key]) for key in copy]
        assert 100 < made <= MAX_NODES

    @pytest.mark.parametrize("options", [{"values": ["hunter2hunter2"]}, {"shapes": True}])
    def test_shared_containers_are_left_out_where_a_mask_has_not_looked(
        self, options: Any, members: dict[str, Any]
    ) -> None:
        mask: Any = Redact(**options).mask
        assert isinstance(mask, Mask)
        out = mask.event({"event": "m", "a": members})
        assert size_of(out) <= 2 * MAX_NODES
        assert "more items>" in json.dumps(out)


# More than are read of one event, and names in their order.
MANY = {f"key{count}": count for count in range(MAX_FIELDS + 2_500)}


def of_logging(**options: Any) -> dict[str, Any]:
    return fields_of(MozlogFormatter(**options).format(record(**MANY)))


def of_renderer(**options: Any) -> dict[str, Any]:
    render: Any = MozlogRenderer(formatter=MozlogFormatter(**options), output="bytes")
    return fields_of(render(None, "info", {**MANY, "event": "m"}))


def of_message(**options: Any) -> dict[str, Any]:
    made = logging.LogRecord("app", 20, "", 1, {**MANY, "msg": "m"}, None, None)
    return fields_of(MozlogFormatter(**options).format(made))


def fields_of(line: str | bytes) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(line)["Fields"]
    return fields


@pytest.mark.parametrize("front", [of_logging, of_renderer, of_message])
class TestFirstFields:
    """A record or an event may have more fields than are read of it."""

    def test_first_fields_are_shown_and_the_others_counted(self, front: Any) -> None:
        fields = front()
        shown = {name: value for name, value in fields.items() if name in MANY}
        assert list(shown.items()) == list(MANY.items())[: len(shown)]
        assert fields == {
            **shown,
            "msg": "m",
            "<more>": f"<{len(MANY) - len(shown)} more items>",
            "mozlog.degraded": "items dropped",
        }
        assert len(shown) > MAX_ITEMS - 10

    @pytest.mark.parametrize("processor", [drop_none, flatten, CapLengths(10), Redact()])
    def test_first_fields_are_counted_behind_a_processor_as_well(
        self, front: Any, processor: Any
    ) -> None:
        fields = front(processors=[processor])
        assert fields["msg"] == "m"
        shown = sum(name in MANY for name in fields)
        assert fields["<more>"] == f"<{len(MANY) - shown} more items>"

    def test_first_fields_are_what_a_processor_sees(self, front: Any) -> None:
        seen: list[int] = []

        def keep_two(_: Any, __: str, event_dict: dict[str, Any]) -> dict[str, Any]:
            seen.append(len(event_dict))
            return {name: event_dict[name] for name in ("event", "key1", "<more>")}

        fields = front(processors=[keep_two])
        assert MAX_FIELDS - 50 < seen[0] <= MAX_FIELDS + 20
        left_out = int(fields.pop("<more>").split()[0][1:])
        assert 2_500 <= left_out < 2_550
        assert fields == {**fields, "key1": 1}


@pytest.mark.parametrize("processor", [drop_none, flatten, CapLengths(10), Redact()])
def test_first_fields_of_an_event_keep_what_structlog_puts_behind_them(processor: Any) -> None:
    error = ValueError("x")
    event = {**MANY, "level": "info", "exc_info": error, "event": "m"}
    out = processor(None, "info", dict(event))
    assert (out["level"], out["exc_info"], out["event"]) == ("info", error, "m")
    shown = [name for name in out if name in MANY]
    assert shown == [*MANY][: len(shown)]
    assert out["<more>"] == f"<{len(MANY) - len(shown)} more items>"
    # A second processor counts on from there.
    again = Redact()(None, "info", dict(out))
    shown = [name for name in again if name in MANY]
    assert again["<more>"] == f"<{len(MANY) - len(shown)} more items>"


def test_first_fields_take_what_fits_as_it_is() -> None:
    event = dict.fromkeys(range(MAX_FIELDS))
    assert first_fields(event) is event
    copied = copy.deepcopy(MoreItems(3))
    assert (copied, type(copied)) == ("<3 more items>", str)


class TestBudgets:
    def test_a_long_name_is_not_repeated_for_each_of_its_members(self) -> None:
        members = dict.fromkeys(map(str, range(1000)), 1)
        name = "n" * 100_000
        for made in (strict({name: members}, dumps), flatten(None, "", {name: members})):
            assert [*made] == [name]
        assert json.loads(strict({name: members}, dumps)[name]) == members
        assert len(strict({"n" * 100: members}, dumps)) == 1000

    def test_a_text_that_members_share_is_not_lifted_out_of_the_bounds(self) -> None:
        members = dict.fromkeys(map(str, range(100)), "x" * 100_000)
        assert flatten(None, "", {"a": members}) == {"a": members}
        fields = MozlogFormatter(processors=[flatten]).format(record(a=members))
        assert len(fields) < 2 * MAX_CHARACTERS

    def test_objects_beyond_what_redact_searches_are_hidden(self) -> None:
        class Shown:
            def __repr__(self) -> str:
                return f"Login(user='ann', note='{'x' * 5000}', pin=7)"

        out = Redact(["pin"])(None, "info", {"event": "m", "a": [Shown() for _ in range(100)]})
        texts = [*map(str, out["a"])]
        assert "pin='[redacted]'" in texts[0]
        assert texts[-1].endswith("Shown [redacted]>")
        assert not any("pin=7" in text for text in texts)

    @pytest.mark.parametrize("options", [{}, {"shapes": True}])
    def test_objects_beyond_what_redact_searches_are_not_asked_for_their_text(
        self, options: Any
    ) -> None:
        asked: list[int] = []

        class Shown:
            def __init__(self, number: int) -> None:
                self.number = number

            def __repr__(self) -> str:
                asked.append(self.number)
                return f"Login(note='{'x' * 5000}')"

        given = [Shown(number) for number in range(500)]
        out = Redact(**options)(None, "info", {"event": "m", "a": given})
        assert out["a"][0] is given[0]
        assert str(out["a"][-1]).endswith("Shown [redacted]>")
        assert 0 in asked
        assert 499 not in asked

    @pytest.mark.parametrize("kind", [list, tuple, dict.fromkeys])
    def test_containers_count_as_three_values(self, kind: Any) -> None:
        wide = {str(number): [kind("a") for _ in range(MAX_ITEMS)] for number in range(20)}
        for made in (Sanitiser().fields(wide), Redact()(None, "", {"event": "m", **wide})):
            whole = [
                inner for name in wide for inner in made[name] if inner in ([*kind("a")], kind("a"))
            ]
            # Each is a container with one value.
            assert MAX_NODES // 5 < len(whole) <= MAX_NODES // 4

    def test_names_that_differ_in_their_number_are_remembered_once(self) -> None:
        redact = Redact()
        assert not any(redact.is_secret(f"item{number}") for number in range(5000))
        assert all(redact.is_secret(f"password{number}") for number in range(5000))
        assert len(redact._remembered) == 2

    def test_names_with_a_number_are_compared_with_keys_and_patterns(self) -> None:
        redact = Redact(["item7"], patterns=["^part_[0-4]$"])
        asked = ["item6", "item7", "item8", "part_3", "part_5", "token9"]
        secret = [name for name in asked if redact.is_secret(name)]
        assert secret == ["item7", "part_3", "token9"]

    @pytest.mark.parametrize(("count", "left_out"), [(MAX_ITEMS - 1, 0), (MAX_ITEMS, 2)])
    def test_an_event_with_as_many_fields_as_a_line_keeps_them(
        self, count: int, left_out: int
    ) -> None:
        fields = {f"key{number}": number for number in range(count)}
        out = Redact()(None, "info", {**fields, "event": "m"})
        assert len(set(fields) - set(out)) == left_out
        assert out.get("<more>") == (f"<{left_out} more items>" if left_out else None)
        assert [*out][-1 - 2 * bool(left_out)] == "event"

    def test_an_event_with_more_fields_than_a_line_keeps_its_message(self) -> None:
        fields = {f"key{count}": count for count in range(5000)}
        out = Redact()(None, "info", {**fields, "event": "m", "error": "e", "password": "x"})
        assert (out["event"], out["error"]) == ("m", "e")
        assert len(out) <= MAX_ITEMS + 1
        assert out["<more>"] == f"<{5003 - len(out) + 2} more items>"
        assert out["mozlog.degraded"] == "items dropped"
        line = json.loads(MozlogFormatter(processors=[Redact()]).format(record(**fields)))
        assert line["Fields"]["msg"] == "m"
        assert "items dropped" in line["Fields"]["mozlog.degraded"]

    def test_long_names_are_judged_by_their_ends_and_not_remembered(self) -> None:
        redact = Redact()
        assert redact.is_secret("x" * 100_000 + "_password")
        assert not redact.is_secret("password" + "x" * 100_000)
        assert max(map(len, redact._remembered), default=0) == 0

    def test_budgets_cut_texts_are_searched_up_to_a_bound(self) -> None:
        kept = Redact(values=["hunter2hunter2"])
        texts = ["x" * 9000 + " hunter2hunter2"] * 100
        out = CapLengths(100)(None, "info", {"event": "m", "a": texts})["a"]
        assert out[0] == f"{'x' * 50}... <cut, 9015 characters> ...{'x' * 39} [redacted]"
        assert out[-1] == "<cut, 9015 characters>"
        sanitiser = Sanitiser()
        shown = [sanitiser.call(str, text) for text in texts]
        assert shown[0].startswith("xxx")
        assert shown[-1] == "<truncated, 9015 characters>"
        assert kept.mask is not None

    def test_a_line_with_a_secret_shows_what_was_searched_of_it(self) -> None:
        redact = Redact(values=["hunter2hunter2"])
        message = f"hunter2hunter2 {'x' * 1_000_000} hunter2hunter2"
        said = json.loads(MozlogFormatter(processors=[redact]).format(record(message)))
        shown = said["Fields"]["msg"]
        assert shown.startswith("[redacted] xxx")
        assert shown.endswith(f"... <not searched, {len(message)} characters>")
        assert 65_000 < len(shown) < 66_000
        # What has none is not taken apart.
        plain = "x" * 1_000_000
        said = json.loads(MozlogFormatter(processors=[redact]).format(record(plain)))
        assert said["Fields"]["msg"] == plain

    @pytest.mark.parametrize("options", [{"values": ["hunter2hunter2"]}, {"shapes": True}], ids=str)
    def test_a_line_of_megabytes_is_searched_in_part_and_says_so(self, options: Any) -> None:
        redact = Redact(**options)
        message = "x" * 5_000_000
        fields = {"a": "key=ghp_" + "4" * 36, "b": "hunter2hunter2"}
        text = MozlogFormatter(processors=[redact]).format(record(message, **fields))
        said = json.loads(text)["Fields"]
        assert said["msg"].endswith(f"xxx... <not searched, {len(message)} characters>")
        assert 57_000 < len(said["msg"]) < 66_000
        secret = "b" if "values" in options else "a"
        assert "[redacted]" in said[secret]
        assert fields[secret] not in text
        # Up to four megabytes, what has none stays whole.
        plain = "x" * 4_000_000
        line = MozlogFormatter(processors=[redact]).format(record(plain))
        assert json.loads(line)["Fields"]["msg"] == plain
        pretty = PrettyFormatter(processors=[redact]).format(record(message))
        assert f"<not searched, {len(message)} characters>" in pretty

    def test_sampling_looks_into_no_containers(self) -> None:
        looks = []

        class Told:
            def __repr__(self) -> str:
                looks.append(self)
                return "told"

        Sample(2, key="a")._keeps([Told()] * 1000)
        Sample(2, key="a")._keeps({"a": Told()})
        assert looks == []
        Sample(2, key="a")._keeps(Told())
        assert len(looks) == 1


class TestURLsNearAnAt:
    @pytest.mark.parametrize(
        ("text", "masked"),
        [
            ("postgres://ann:a/b@db/x", "postgres://[redacted]@db/x"),
            ("http://host:8080/a@b", "http://host:8080/a@b"),
            ("http://host:123@b", "http://[redacted]@b"),
            (f"{'://a:b' * 500}@b", None),
            ("x@y http://ann:a/b@db", "x@y http://[redacted]@db"),
        ],
    )
    def test_ur_ls_near_an_at_are_masked_as_they_were(self, text: str, masked: str | None) -> None:
        mask: Any = Redact(shapes=True).mask
        made = mask.text(text)
        if masked is None:
            assert "[redacted]@b" in made
        else:
            assert made == masked


def record(message: str = "m", **fields: Any) -> logging.LogRecord:
    made = logging.LogRecord("app", 20, "", 1, message, None, None)
    vars(made).update(fields)
    return made


def encoder_with(extension: Any, name: str = "shop", *, is_strict: bool = False) -> LineEncoder:
    """Return an encoder of a formatter's lines, which have an extension of the envelope."""
    formatter = MozlogFormatter(logger_name=name, hostname=name, strict=is_strict)
    encoder = formatter.line_encoder_for(name)
    encoder.extension = extension
    return encoder


class TestLongLines:
    @pytest.mark.parametrize("part", ["\udcff", "\u2028", "é\x7f", "%d {"], ids=ascii)
    @pytest.mark.parametrize("name", ["shop", "é%d"], ids=ascii)
    @pytest.mark.parametrize("is_strict", [False, True])
    @pytest.mark.parametrize("extension", [None, CloudFormatter()._envelope_extension()])
    def test_long_lines_without_a_limit_are_those_with_one_that_they_do_not_reach(
        self, part: str, name: str, is_strict: bool, extension: Any
    ) -> None:
        encoder = encoder_with(extension, name, is_strict=is_strict)
        fields = {"rid": "r", "set": {1}, "nested": {"a.b": [None]}, "trace_id": "t"}
        for pid in (None, 7, -1):
            call = (NOON_NS, name, 20, pid, {**fields, "msg": part * 70_000})
            assert encoder.line(*call) == encoder.line(*call, max_bytes=10**9)

    def test_note_what_cannot_be_encoded(self) -> None:
        def fails(*_: Any) -> dict[str, Any]:
            raise ValueError("no project")

        encoder = encoder_with(fails)
        line = json.loads(encoder.line(NOON_NS, "app", 20, 1, {"msg": "x" * 70_000, "set": {1}}))
        assert line["Fields"] == {"msg": "x" * 70_000, "set": "{1}"}

    def test_long_lines_raise_what_a_value_raised_once_they_are_made(self) -> None:
        class Interrupts:
            def __repr__(self) -> str:
                raise KeyboardInterrupt

        with pytest.raises(RaiseAfterWrite) as caught:
            encoder_with(None).line(NOON_NS, "app", 20, 1, {"msg": "x" * 70_000, "a": Interrupts()})
        assert b"xxx" in caught.value.line

    @pytest.mark.parametrize("extension", [None, CloudFormatter()._envelope_extension()])
    def test_long_lines_are_encoded_once_and_as_a_whole(
        self, extension: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        encoder = encoder_with(extension)
        made: list[bytes] = []
        monkeypatch.setattr(
            line_encoder, "_dumps", lambda plain: made.append(dumps(plain)) or made[-1]
        )
        line = encoder.line(NOON_NS, "app", 20, 1, {"msg": "a\udcff" * 70_000, "set": {1}})
        # The same object: nothing of it was copied.
        assert len(made) == 1
        assert made[0] is line
