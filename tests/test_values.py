from __future__ import annotations

import array
import asyncio
import base64
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import gc
import json
import math
import pathlib
import re
import sys
import threading
import traceback
import types
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import hostile
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mozlog_py import MozlogFormatter
from mozlog_py._line.line_encoder import encode
from mozlog_py._values.class_lookup import type_name
from mozlog_py._values.record_budget import MAX_CHARACTERS, MAX_NODES
from mozlog_py._values.sanitiser import MAX_DEPTH, MAX_ITEMS, MAX_REPR, Sanitiser

PROPERTY = settings(
    deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow], max_examples=150
)


def assert_plain(value: Any) -> None:
    """Check that a value is plain: orjson ends the process on some other values."""
    kind = type(value)
    if kind is dict:
        for key, member in value.items():
            assert type(key) is str
            key.encode()
            assert_plain(member)
    elif kind is list:
        for item in value:
            assert_plain(item)
    elif kind is str:
        value.encode()
    elif kind is float:
        assert math.isfinite(value)
    elif kind is int:
        assert -(2**63) <= value < 2**64
    else:
        assert kind is bool or value is None


def clean(value: Any, json_default: Callable[[Any], Any] | None = None) -> Any:
    cleaned = Sanitiser(json_default).value(value)
    assert_plain(cleaned)
    return cleaned


def reasons(value: Any, json_default: Callable[[Any], Any] | None = None) -> list[str]:
    sanitiser = Sanitiser(json_default)
    sanitiser.value(value)
    return [*sanitiser.reasons]


def size(value: Any) -> int:
    """Count the values in a cleaned value, containers included."""
    if type(value) is dict:
        return 1 + sum(map(size, value.values()))
    if type(value) is list:
        return 1 + sum(map(size, value))
    return 1


class Colour(enum.Enum):
    RED = "red"
    SHAPE = (1, (2, 3))


class Number(enum.IntEnum):
    TWO = 2


class Text(str, enum.Enum):
    HELLO = "hello"


class Pair(NamedTuple):
    x: int
    y: int


class TestPlainValues:
    @pytest.mark.parametrize(
        "value", ["", "text", "Grüße \U0001f600", 0, -1, 1.5, -0.0, True, False, None, [], {}]
    )
    def test_plain_values_are_given_back_as_they_are(self, value: Any) -> None:
        assert clean(value) == value
        assert type(clean(value)) is type(value)

    def test_plain_values_lose_nothing(self) -> None:
        assert reasons({"a": [1, "b", None, {"c": 1.5}]}) == []

    def test_plain_values_are_copied_and_never_shared_with_the_caller(self) -> None:
        inner: list[int] = [1]
        outer = {"inner": inner}
        cleaned = clean(outer)
        inner.append(2)
        assert cleaned == {"inner": [1]}

    def test_tuples_become_lists(self) -> None:
        assert clean((1, ("a",))) == [1, ["a"]]


class TestFields:
    def test_fields_leave_out_what_is_none(self) -> None:
        assert Sanitiser().fields({"a": None, "b": 1}) == {"b": 1}

    def test_fields_keep_a_none_that_is_nested(self) -> None:
        assert Sanitiser().fields({"a": {"b": None}, "c": [None]}) == {
            "a": {"b": None},
            "c": [None],
        }

    def test_fields_do_not_change_what_they_were_given(self) -> None:
        fields = {"a": None, 1: float("nan"), "c": [b"x"]}
        Sanitiser().fields(fields)
        assert list(fields) == ["a", 1, "c"]
        assert fields["c"] == [b"x"]

    def test_clean_a_hostile_dict(self) -> None:
        assert Sanitiser().fields(hostile.HostileDict({"a": 1})) == {"a": 1}


class TestNonFiniteNumbers:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (float("nan"), "NaN"),
            (-float("nan"), "NaN"),
            (float("inf"), "Infinity"),
            (float("-inf"), "-Infinity"),
        ],
    )
    def test_non_finite_numbers_become_their_names_as_values_nested_and_as_keys(
        self, value: float, text: str
    ) -> None:
        assert clean(value) == text
        assert clean([{"a": (value,)}]) == [{"a": [text]}]
        assert clean({value: 1}) == {text: 1}

    def test_two_nan_keys_are_both_kept(self) -> None:
        assert clean({float("nan"): 1, float("nan"): 2}) == {"NaN": 1, "NaN_2": 2}


@pytest.fixture
def digit_limit() -> Iterator[Callable[[int], None]]:
    before = sys.get_int_max_str_digits()
    yield sys.set_int_max_str_digits
    sys.set_int_max_str_digits(before)


class TestBigIntegers:
    @pytest.mark.parametrize("value", [-(2**63), 2**63, 2**64 - 1])
    def test_big_integers_within_64_bits_stay_numbers(self, value: int) -> None:
        assert clean(value) == value
        assert type(clean(value)) is int

    @pytest.mark.parametrize("value", [-(2**63) - 1, 2**64, 10**30, -(10**30)])
    def test_big_integers_over_64_bits_become_their_decimal_digits(self, value: int) -> None:
        assert clean(value) == str(value)
        assert reasons(value) == []

    @pytest.mark.parametrize("digits", [4302, 5000, 5001])
    @pytest.mark.parametrize("sign", [1, -1])
    def test_big_integers_that_python_refuses_to_print_become_their_number_of_digits(
        self, digits: int, sign: int
    ) -> None:
        least, most = 10 ** (digits - 1), 10**digits - 1
        assert clean(sign * least) == f"<int of {digits} digits>"
        assert clean(sign * most) == f"<int of {digits} digits>"
        assert reasons(least) == ["integer too long"]

    def test_big_integers_respect_a_digit_limit_set_lower(
        self, digit_limit: Callable[[int], None]
    ) -> None:
        digit_limit(640)
        assert clean(10**700) == "<int of 701 digits>"
        assert clean({"a": [10**639 - 1]}) == {"a": ["9" * 639]}

    def test_big_integers_are_bounded_where_the_digit_limit_was_lifted(
        self, digit_limit: Callable[[int], None]
    ) -> None:
        digit_limit(0)
        assert clean(10**5000) == "<int of 5001 digits>"

    def test_big_integers_beyond_counting_say_about_how_long_they_are(self) -> None:
        assert re.fullmatch("<int of about 60206[01] digits>", clean(1 << 2_000_000))

    def test_big_integers_are_keys_as_they_are_values(self) -> None:
        assert clean({2**64: 1, 10**5000: 2}) == {str(2**64): 1, "<int of 5001 digits>": 2}


class TestSurrogates:
    def test_surrogates_in_values_become_their_escape(self) -> None:
        assert clean("a\ud800b") == "a\\ud800b"

    def test_surrogates_in_keys_become_their_escape(self) -> None:
        assert clean({"a\udfff": 1}) == {"a\\udfff": 1}

    def test_surrogates_that_would_make_a_pair_are_two_escapes(self) -> None:
        assert clean("\ud83d\ude00") == "\\ud83d\\ude00"

    def test_surrogates_leave_the_text_around_them_alone(self) -> None:
        assert clean("Grüße \ud800 \U0001f600") == "Grüße \\ud800 \U0001f600"

    def test_surrogates_in_reprs_and_exceptions_become_their_escape(self) -> None:
        assert clean(hostile.SideEffectRepr(int, "a\udc80")) == "a\\udc80"
        assert clean(ValueError("a\udc80")) == "ValueError: a\\udc80"
        assert clean(pathlib.Path("a\udc80")) == "a\\udc80"

    def test_surrogates_in_a_file_name_of_a_traceback_become_their_escape(self) -> None:
        code = compile("raise ValueError", "a\udcff.py", "exec")
        with pytest.raises(ValueError) as caught:
            exec(code, {})
        frames = caught.value.__traceback__
        assert frames is not None
        assert frames.tb_next is not None
        assert clean(frames.tb_next) == 'File "a\\udcff.py", line 1, in <module>'

    def test_surrogates_collide_with_nothing_silently(self) -> None:
        assert clean({"\ud800": 1, "\\ud800": 2}) == {"\\ud800": 1, "\\ud800_2": 2}


class TestControlCharacters:
    # They are text like any other to the sanitiser; the line is where they must not be raw.
    RAW = [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u2028", "\u2029"]

    @pytest.mark.parametrize("character", RAW, ids=ascii)
    def test_control_characters_never_appear_raw_in_json(self, character: str) -> None:
        value = {character: [f"a{character}b"]}
        line = encode(clean(value))
        assert character not in line.decode()
        assert json.loads(line) == value

    def test_ansi_escapes_do_not_reach_a_terminal(self) -> None:
        line = encode(clean(["\x1b[31mred\x1b[0m", "\x9b31m"]))
        assert line == b'["\\u001b[31mred\\u001b[0m","\\u009b31m"]'

    @PROPERTY
    @given(st.text())
    def test_any_text_comes_back_from_the_json_on_one_printable_line(self, text: str) -> None:
        line = encode(clean(text)).decode()
        assert not any(character in line for character in self.RAW)
        assert json.loads(line) == text


class TestBytes:
    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_bytes_become_base64_that_is_safe_in_urls(self, kind: Callable[[bytes], Any]) -> None:
        assert clean(kind(b"\xfb\xff\xfe")) == "-__-"
        assert clean(kind(b"")) == ""

    def test_bytes_of_a_megabyte_are_cut_and_their_length_is_said(self) -> None:
        kept = base64.urlsafe_b64encode(b"x" * MAX_REPR).decode()
        assert clean(b"x" * 1_000_000) == f"{kept}... <truncated, 1000000 bytes>"
        assert reasons(b"x" * 1_000_000) == ["bytes truncated"]

    def test_bytes_that_fit_exactly_are_whole(self) -> None:
        assert base64.urlsafe_b64decode(clean(b"x" * MAX_REPR)) == b"x" * MAX_REPR
        assert reasons(b"x" * MAX_REPR) == []

    def test_bytes_in_a_view_of_wider_items_are_its_bytes(self) -> None:
        items = array.array("i", [1, 2])
        assert base64.urlsafe_b64decode(clean(memoryview(items))) == items.tobytes()

    def test_bytes_in_a_view_with_gaps_are_what_the_view_shows(self) -> None:
        assert base64.urlsafe_b64decode(clean(memoryview(b"a-b-c-")[::2])) == b"abc"

    def test_bytes_in_a_released_view_become_a_marker(self) -> None:
        view = memoryview(b"abc")
        view.release()
        assert clean(view) == "<unprintable memoryview: ValueError>"

    def test_bytes_are_keys_as_they_are_values(self) -> None:
        assert clean({b"x": 1}) == {"eA==": 1}


class TestDatesAndTimes:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (dt.datetime(2024, 2, 29, 1, 2, 3, 4), "2024-02-29T01:02:03.000004"),
            (dt.datetime(2024, 2, 29, tzinfo=dt.timezone.utc), "2024-02-29T00:00:00+00:00"),
            (dt.date(2024, 2, 29), "2024-02-29"),
            (dt.time(1, 2, 3), "01:02:03"),
            (dt.time(1, 2, tzinfo=dt.timezone.utc), "01:02:00+00:00"),
            (dt.datetime(1, 1, 1), "0001-01-01T00:00:00"),
            (
                dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=14))),
                "0001-01-01T00:00:00+14:00",
            ),
            (dt.datetime.max, "9999-12-31T23:59:59.999999"),
            (dt.datetime(2024, 1, 1, tzinfo=hostile.Zone(None)), "2024-01-01T00:00:00"),
        ],
    )
    def test_dates_and_times_are_in_iso_format(self, value: Any, text: str) -> None:
        assert clean(value) == text
        assert clean({value: [value]}) == {text: [text]}

    def test_dates_and_times_of_a_raising_time_zone_name_the_exception(self) -> None:
        zone = hostile.Zone(hostile.Hostile())
        assert clean(dt.datetime(2024, 1, 1, tzinfo=zone)) == "<unprintable datetime: Hostile>"
        assert clean(dt.time(1, tzinfo=zone)) == "<unprintable time: Hostile>"

    @pytest.mark.parametrize(
        ("answer", "error"),
        [("noon", "TypeError"), (5, "TypeError"), (dt.timedelta(days=3), "ValueError")],
    )
    def test_dates_and_times_of_a_time_zone_that_answers_nonsense_name_the_exception(
        self, answer: Any, error: str
    ) -> None:
        value = dt.datetime(1, 1, 1, tzinfo=hostile.Zone(answer))
        assert clean([value]) == [f"<unprintable datetime: {error}>"]
        assert reasons([value]) == ["value unprintable"]

    def test_dates_and_times_are_rendered_by_the_base_class(self) -> None:
        class Moment(dt.datetime):
            def isoformat(self, *_args: Any, **_kwargs: Any) -> str:
                raise hostile.Hostile

            __str__ = __repr__ = isoformat

        assert clean(Moment(2024, 1, 1)) == "2024-01-01T00:00:00"


class TestIdentifiers:
    def test_identifiers_are_their_hyphenated_text(self) -> None:
        assert clean(uuid.UUID(int=1)) == "00000000-0000-0000-0000-000000000001"

    def test_identifiers_without_a_number_become_a_marker(self) -> None:
        assert clean(hostile.broken_uuid()) == "<unprintable UUID: AttributeError>"

    def test_identifiers_whose_module_is_only_half_imported_do_no_harm_to_other_values(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # As another thread sees it while it is being imported.
        monkeypatch.setitem(sys.modules, "uuid", types.ModuleType("uuid"))
        assert clean(1j) == "1j"


class TestEnums:
    def test_members_are_their_values(self) -> None:
        assert clean(Colour.RED) == "red"
        assert clean(Colour.SHAPE) == [1, [2, 3]]

    def test_members_that_are_numbers_or_text_are_exactly_that(self) -> None:
        assert clean([Number.TWO, Text.HELLO]) == [2, "hello"]

    def test_classes_are_the_values_of_their_members(self) -> None:
        assert clean(Colour) == ["red", [1, [2, 3]]]

    def test_members_are_keys_by_their_values(self) -> None:
        assert clean({Colour.RED: 1, Number.TWO: 2, Text.HELLO: 3}) == {
            "red": 1,
            "2": 2,
            "hello": 3,
        }

    def test_a_member_whose_value_raises_becomes_a_marker(self) -> None:
        class Broken(enum.Enum):
            A = 1
            value = property(hostile._refuse)

        assert clean(Broken.A) == "<unprintable Broken: Hostile>"

    def test_a_member_whose_value_is_itself_is_circular(self) -> None:
        class Mirror(enum.Enum):
            A = 1
            value = property(lambda self: self)

        assert clean(Mirror.A) == "<circular>"

    def test_a_number_whose_value_raises_is_its_base_value(self) -> None:
        class Broken(enum.IntEnum):
            A = 1
            value = property(hostile._refuse)

        assert clean(Broken.A) == 1


class TestOtherTypes:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (decimal.Decimal("1.50"), "1.50"),
            (decimal.Decimal("NaN"), "NaN"),
            (decimal.Decimal("1e400"), "1E+400"),
            (pathlib.PurePosixPath("/a/b"), "/a/b"),
            ({1}, "{1}"),
            (frozenset({"a"}), "frozenset({'a'})"),
            (collections.deque([1, 2]), "deque([1, 2])"),
            (range(3), "range(0, 3)"),
            (1j, "1j"),
            (math, repr(math)),
            (ValueError("boom"), "ValueError: boom"),
            (KeyboardInterrupt(), "KeyboardInterrupt: "),
            (ValueError, "ValueError"),
            (dict, "dict"),
        ],
    )
    def test_other_types_have_their_text(self, value: Any, text: str) -> None:
        assert clean(value) == text
        assert clean({"a": [value]}) == {"a": [text]}
        assert reasons(value) == []

    def test_objects_are_their_repr(self) -> None:
        value = object()
        assert clean(value) == repr(value)

    def test_exceptions_of_a_raising_str_become_a_marker(self) -> None:
        class Broken(Exception):
            def __str__(self) -> str:
                raise hostile.Hostile

        assert clean(Broken()) == "<unprintable Broken: Hostile>"

    def test_tracebacks_are_their_frames(self) -> None:
        frames = hostile.raised(ValueError()).__traceback__
        assert clean(frames) == "".join(traceback.format_tb(frames)).strip()

    def test_classes_that_answer_no_question_are_their_true_name(self) -> None:
        class Silent(metaclass=hostile.HostileMeta):
            __repr__ = hostile._refuse

        assert clean(Silent) == "Silent"
        assert clean(Silent()) == "<unprintable Silent: Hostile>"

    def test_classes_whose_name_is_no_plain_text_are_named_in_plain_text(self) -> None:
        odd = type(hostile.LyingStr("Odd"), (), {"__repr__": hostile._refuse})
        assert type(type_name(odd)) is str
        assert clean(odd) == "Odd"
        assert clean(odd()) == "<unprintable Odd: Hostile>"

    def test_names_of_classes_are_bounded(self) -> None:
        assert clean(type("N" * 10_000, (), {})) == "N" * 100

    def test_other_types_whose_class_attribute_raises_or_lies_are_seen_for_what_they_are(
        self,
    ) -> None:
        assert clean(hostile.RaisingClass()) == "raising class"
        assert clean(hostile.LyingClass(str)) == "lying class"
        assert clean(hostile.LyingClass(dict)) == "lying class"
        assert clean(hostile.LyingClass(dt.datetime)) == "lying class"


@dataclasses.dataclass
class Point:
    x: Any
    y: Any = 2


class TestDataclasses:
    def test_dataclasses_are_objects_of_their_fields(self) -> None:
        assert clean(Point(1, Point((3,)))) == {"x": 1, "y": {"x": [3], "y": 2}}

    def test_dataclasses_with_slots_are_too(self) -> None:
        assert clean(hostile.Slotted(1, 2)) == {"here": 1, "missing": 2}

    def test_dataclasses_with_an_unset_slot_say_so_and_keep_the_others(self) -> None:
        value = hostile.slotted_with_a_hole()
        assert clean(value) == {"here": 1, "missing": "<unprintable Slotted: AttributeError>"}

    def test_dataclasses_with_a_raising_property_say_so_and_keep_the_others(self) -> None:
        assert clean(hostile.RaisingProperty()) == {
            "fine": 1,
            "raising": "<unprintable RaisingProperty: Hostile>",
        }

    def test_dataclasses_leave_out_fields_that_their_repr_leaves_out(self) -> None:
        @dataclasses.dataclass
        class Login:
            user: str
            key: str = dataclasses.field(default="tulip", repr=False)

        assert clean(Login("ann")) == {"user": "ann"}
        assert clean([Login("ann")]) == [{"user": "ann"}]

    def test_dataclasses_that_hold_themselves_are_circular(self) -> None:
        value = Point(1)
        value.y = [value]
        assert clean(value) == {"x": 1, "y": ["<circular>"]}

    def test_dataclasses_that_merely_look_it_become_a_marker(self) -> None:
        class Fake:
            __dataclass_fields__ = 5

        assert clean(Fake()) == "<unprintable Fake: AttributeError>"

    def test_dataclasses_as_classes_are_their_name(self) -> None:
        assert clean(Point) == "Point"


class TestJsonDefault:
    @pytest.mark.parametrize(
        "value",
        [
            dt.datetime(2024, 1, 1),
            b"x",
            uuid.UUID(int=1),
            decimal.Decimal(1),
            ValueError("x"),
            ValueError,
            {1},
            Point(1),
            pathlib.PurePosixPath("a"),
            Colour.RED,
            1j,
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_json_default_replaces_the_choice_for_what_json_has_no_type_for(
        self, value: Any
    ) -> None:
        assert clean([value], repr) == [repr(value)]

    @pytest.mark.parametrize("value", ["a", 1, 1.5, None, True, [1], {"a": 1}, (1,), Number.TWO])
    def test_json_default_is_not_asked_about_what_json_has_a_type_for(self, value: Any) -> None:
        assert clean(value, hostile._refuse) == clean(value)

    def test_json_default_that_raises_gives_a_marker(self) -> None:
        assert clean([1j], hostile._refuse) == ["<unprintable complex: Hostile>"]

    def test_json_default_that_interrupts_gives_a_marker_and_the_interrupt(self) -> None:
        interrupt = KeyboardInterrupt()

        def interrupting(_value: Any) -> Any:
            raise interrupt

        sanitiser = Sanitiser(interrupting)
        assert sanitiser.value([1j]) == ["<unprintable complex: KeyboardInterrupt>"]
        assert sanitiser.interrupt is interrupt

    def test_json_default_that_returns_its_argument_gives_a_marker(self) -> None:
        assert clean([1j], lambda value: value) == ["<circular>"]
        assert clean(1j, lambda value: [value]) == ["<circular>"]

    def test_json_default_that_never_comes_to_an_end_is_cut(self) -> None:
        assert clean(1j, lambda _value: object()) == "<max depth>"

    @pytest.mark.parametrize(
        ("answer", "cleaned"),
        [
            (None, None),
            (float("nan"), "NaN"),
            (2**64, str(2**64)),
            ("a\ud800", "a\\ud800"),
            ({1: (2,)}, {"1": [2]}),
            (hostile.HostileStr("text"), "text"),
            (hostile.HostileDict({"a": 1}), {"a": 1}),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_json_default_has_its_answer_cleaned_in_turn(self, answer: Any, cleaned: Any) -> None:
        assert clean(1j, lambda _value: answer) == cleaned

    def test_json_default_may_change_the_container_of_what_it_was_given(self) -> None:
        # orjson kills the process over this one.
        array: list[Any] = [1j, 2, 3]

        def clearing(value: Any) -> str:
            array.clear()
            return repr(value)

        assert clean(array, clearing) == ["1j", 2, 3]

    def test_json_default_is_asked_about_keys_too(self) -> None:
        assert clean({1j: 1}, repr) == {"1j": 1}


class TestHostileSubclasses:
    @pytest.mark.parametrize(
        ("value", "base_value"),
        [
            (hostile.HostileStr("text"), "text"),
            (hostile.HostileStr("a\ud800"), "a\\ud800"),
            (hostile.HostileInt(5), 5),
            (hostile.HostileInt(2**64), str(2**64)),
            (hostile.HostileInt(10**5000), "<int of 5001 digits>"),
            (hostile.HostileFloat(2.5), 2.5),
            (hostile.HostileFloat("nan"), "NaN"),
            (hostile.HostileDict({"a": 1}), {"a": 1}),
            (hostile.HostileList([1, "a"]), [1, "a"]),
            (hostile.HostileTuple((1, "a")), [1, "a"]),
            (hostile.LyingStr("text"), "text"),
            (hostile.LyingStr("a\ud800"), "a\\ud800"),
            (hostile.LyingInt(5), 5),
            (hostile.LyingInt(-(2**70)), str(-(2**70))),
            (hostile.LyingFloat(2.5), 2.5),
            (hostile.LyingFloat("-inf"), "-Infinity"),
            (hostile.LyingDict({"a": 1}), {"a": 1}),
            (hostile.LyingList([1, "a"]), [1, "a"]),
            (collections.OrderedDict(a=1), {"a": 1}),
            (collections.defaultdict(int, {"a": 1}), {"a": 1}),
            (collections.Counter("aab"), {"a": 2, "b": 1}),
            (Pair(1, 2), [1, 2]),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_hostile_subclasses_are_their_base_value(self, value: Any, base_value: Any) -> None:
        assert clean(value) == base_value
        assert clean({"a": [value]}) == {"a": [base_value]}

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda value: hostile.HostileList([value]),
            lambda value: hostile.HostileTuple((value,)),
            lambda value: hostile.HostileDict({"a": value}),
        ],
        ids=["list", "tuple", "dict"],
    )
    def test_hostile_subclasses_within_each_other_are_too(self, wrap: Callable[[Any], Any]) -> None:
        inner = {"b": hostile.HostileInt(1)}
        assert clean(wrap(wrap(inner))) in ([[{"b": 1}]], {"a": {"a": {"b": 1}}})

    def test_hostile_subclasses_as_keys_are_their_base_value(self) -> None:
        assert clean({hostile.LyingStr("a"): 1, hostile.LyingStr("a"): 2}) == {"a": 1, "a_2": 2}
        assert clean({hostile.LyingInt(5): 1}) == {"5": 1}

    def test_hostile_subclasses_of_text_are_names_by_their_base_value(self) -> None:
        assert Sanitiser().text_of(hostile.HostileStr("app")) == "app"
        assert Sanitiser().text(hostile.HostileStr("app")) == "app"


class TestHostileReprs:
    def test_hostile_reprs_that_raise_become_a_marker_of_the_type_and_the_exception(self) -> None:
        value = hostile.RaisingRepr()
        assert clean({"a": [value], "b": 1}) == {
            "a": ["<unprintable RaisingRepr: Hostile>"],
            "b": 1,
        }
        assert reasons(value) == ["value unprintable"]

    def test_hostile_reprs_that_raise_an_exception_that_raises_become_a_marker(self) -> None:
        class Worse(Exception):
            __str__ = __repr__ = hostile._refuse

        assert clean(hostile.RaisingRepr(Worse())) == "<unprintable RaisingRepr: Worse>"

    def test_hostile_reprs_that_recurse_become_a_marker(self) -> None:
        assert clean(hostile.RecursiveRepr()) == "<unprintable RecursiveRepr: RecursionError>"

    def test_hostile_reprs_that_return_no_string_become_a_marker(self) -> None:
        assert clean(hostile.NonStringRepr()) == "<unprintable NonStringRepr: TypeError>"

    def test_hostile_reprs_that_return_odd_strings_are_plain_text(self) -> None:
        assert clean(hostile.SideEffectRepr(int, hostile.HostileStr("odd"))) == "odd"

    def test_hostile_reprs_that_return_a_hundred_megabytes_are_cut_and_their_length_is_said(
        self,
    ) -> None:
        value = hostile.HugeRepr(100_000_000)
        assert clean(value) == "x" * MAX_REPR + "... <truncated, 100000000 characters>"
        assert reasons(value) == ["text truncated"]

    def test_hostile_reprs_that_fit_exactly_are_whole(self) -> None:
        assert clean(hostile.HugeRepr(MAX_REPR)) == "x" * MAX_REPR
        assert reasons(hostile.HugeRepr(MAX_REPR)) == []

    def test_hostile_reprs_that_log_have_their_own_record_made(self) -> None:
        maker = MozlogFormatter(hostname="host").line_encoder_for("app")
        lines: list[bytes] = []

        def log() -> None:
            lines.append(maker.line(1, "inner", 20, None, {"a": [1j]}))

        value = hostile.SideEffectRepr(log, "logs")
        lines.append(maker.line(2, "outer", 20, None, {"a": [value]}))
        inner, outer = map(json.loads, lines)
        assert (inner["Type"], inner["Fields"]) == ("inner", {"a": ["1j"]})
        assert (outer["Type"], outer["Fields"]) == ("outer", {"a": ["logs"]})

    @pytest.mark.parametrize(
        "kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit]
    )
    def test_hostile_reprs_that_interrupt_leave_a_marker_and_the_interrupt(
        self, kind: type[BaseException]
    ) -> None:
        interrupt = kind()
        sanitiser = Sanitiser()
        value = sanitiser.value({"a": [hostile.RaisingRepr(interrupt)], "b": 1})
        assert value == {"a": [f"<unprintable RaisingRepr: {kind.__name__}>"], "b": 1}
        assert sanitiser.interrupt is interrupt

    def test_hostile_reprs_that_interrupt_one_after_the_other_leave_the_first(self) -> None:
        first, second = KeyboardInterrupt(), SystemExit()
        sanitiser = Sanitiser()
        sanitiser.value([hostile.RaisingRepr(first), hostile.RaisingRepr(second)])
        assert sanitiser.interrupt is first

    def test_hostile_reprs_that_raise_an_exception_leave_no_interrupt(self) -> None:
        sanitiser = Sanitiser()
        sanitiser.value(hostile.RaisingRepr())
        assert sanitiser.interrupt is None


class TestContainersChangedByTheirItems:
    def test_a_list_that_grows_is_what_it_was(self) -> None:
        array: list[Any] = [1]
        array.insert(0, hostile.SideEffectRepr(lambda: array.extend([2, 3]), "grew"))
        assert clean(array) == ["grew", 1]
        assert reasons(array) == []

    def test_a_list_that_is_emptied_is_what_it_was(self) -> None:
        array: list[Any] = []
        array.extend([hostile.SideEffectRepr(array.clear, "emptied"), 1, 2])
        assert clean(array) == ["emptied", 1, 2]

    def test_a_dict_that_grows_is_what_it_was(self) -> None:
        mapping: dict[str, Any] = {}
        mapping["a"] = hostile.SideEffectRepr(lambda: mapping.update(c=1), "grew")
        mapping["b"] = 2
        sanitiser = Sanitiser()
        assert sanitiser.value(mapping) == {"a": "grew", "b": 2}
        assert [*sanitiser.reasons] == []

    def test_a_dict_that_is_emptied_is_what_it_was(self) -> None:
        mapping: dict[str, Any] = {}
        mapping.update(a=hostile.SideEffectRepr(mapping.clear, "emptied"), b=2)
        assert clean(mapping) == {"a": "emptied", "b": 2}

    def test_a_big_dict_that_is_emptied_still_says_what_was_left_out(self) -> None:
        mapping: dict[str, Any] = {}
        mapping["a"] = hostile.SideEffectRepr(mapping.clear, "emptied")
        mapping.update((str(number), number) for number in range(1500))
        cleaned = clean(mapping)
        assert cleaned["a"] == "emptied"
        assert cleaned["<more>"] == "<501 more items>"

    def test_a_dict_changed_by_its_keys_is_what_it_was(self) -> None:
        mapping: dict[Any, Any] = {}
        mapping[hostile.SideEffectRepr(mapping.clear, "key")] = 1
        mapping["b"] = 2
        assert clean(mapping) == {"key": 1, "b": 2}


class TestCycles:
    def test_cycles_of_lists_and_dicts_are_cut_where_they_close(self) -> None:
        array: list[Any] = [1]
        mapping: dict[str, Any] = {"array": array}
        array.append(mapping)
        assert clean(array) == [1, {"array": "<circular>"}]
        assert clean(mapping) == {"array": [1, "<circular>"]}
        assert reasons(array) == ["circular reference"]

    def test_cycles_through_a_tuple_are_cut(self) -> None:
        array: list[Any] = []
        array.append((array,))
        assert clean(array) == [["<circular>"]]

    def test_cycles_through_fields_are_cut(self) -> None:
        fields: dict[str, Any] = {"a": 1}
        fields["self"] = [fields]
        cleaned = Sanitiser().fields(fields)
        assert_plain(cleaned)
        assert cleaned["a"] == 1
        assert "<circular>" in json.dumps(cleaned)

    def test_cycles_through_a_key_are_cut(self) -> None:
        @dataclasses.dataclass(eq=False)
        class Node:
            children: dict[Any, Any]

        node = Node({})
        node.children[node] = 1
        assert clean(node) == {"children": {"<circular>": 1}}

    def test_cycles_are_not_seen_in_references_that_are_merely_shared(self) -> None:
        shared = {"a": [1]}
        assert clean([shared, shared, {"b": shared}]) == [
            {"a": [1]},
            {"a": [1]},
            {"b": {"a": [1]}},
        ]
        assert reasons([shared, shared]) == []


class TestDepth:
    WRAPS = {
        "list": lambda value: [value],
        "tuple": lambda value: (value,),
        "dict": lambda value: {"a": value},
        "dataclass": lambda value: Point(value, 1),
        "dict subclass": lambda value: collections.OrderedDict(a=value),
    }

    @pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
    def test_depth_of_sixteen_is_kept(self, wrap: Callable[[Any], Any]) -> None:
        value = hostile.nested(MAX_DEPTH, wrap)
        assert "innermost" in json.dumps(clean(value))
        assert reasons(value) == []

    @pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
    def test_depth_of_seventeen_is_cut(self, wrap: Callable[[Any], Any]) -> None:
        value = hostile.nested(MAX_DEPTH + 1, wrap)
        cleaned = json.dumps(clean(value))
        assert "innermost" not in cleaned
        assert cleaned.count("<max depth>") == 1
        assert reasons(value) == ["nested too deeply"]

    def test_depth_counts_from_each_field(self) -> None:
        value = hostile.nested(MAX_DEPTH, lambda inner: [inner])
        assert Sanitiser().fields({"a": value}) == {"a": clean(value)}

    @pytest.mark.slow
    def test_depth_of_a_hundred_thousand_is_no_more_trouble(self) -> None:
        value = hostile.nested(100_000, lambda inner: [inner])
        expected = hostile.nested(MAX_DEPTH, lambda inner: [inner], "<max depth>")
        assert clean(value) == expected
        # Let go from the outside in: the destructor recurses otherwise on some versions.
        while isinstance(value, list):
            value = value[0]

    def test_depth_is_bounded_where_containers_hide_in_keys(self) -> None:
        @dataclasses.dataclass(eq=False)
        class Key:
            inner: dict[Any, Any]

        value = hostile.nested(MAX_DEPTH + 4, lambda inner: Key({inner: 1}), 'it\'s "quoted"')
        # Text that is quoted again at each level doubles its backslashes at each.
        assert len(json.dumps(clean(value))) < 4 * MAX_REPR


@pytest.mark.slow
class TestSize:
    def test_size_of_a_million_items_is_capped_and_counted(self) -> None:
        cleaned = clean([0] * 1_000_000)
        assert cleaned == [0] * MAX_ITEMS + [f"<{1_000_000 - MAX_ITEMS} more items>"]
        assert reasons([0] * 1_000_000) == ["items dropped"]

    def test_size_of_a_million_members_is_capped_and_counted(self) -> None:
        cleaned = clean(dict.fromkeys(map(str, range(1_000_000)), 0))
        assert cleaned == {
            **dict.fromkeys(map(str, range(MAX_ITEMS)), 0),
            "<more>": f"<{1_000_000 - MAX_ITEMS} more items>",
        }

    def test_size_of_a_million_fields_is_capped_and_counted(self) -> None:
        cleaned = Sanitiser().fields(dict.fromkeys(map(str, range(1_000_000)), 0))
        assert len(cleaned) == MAX_ITEMS + 1
        assert cleaned["<more>"] == f"<{1_000_000 - MAX_ITEMS} more items>"

    def test_size_that_fits_exactly_is_whole(self) -> None:
        assert clean([0] * MAX_ITEMS) == [0] * MAX_ITEMS
        assert reasons(dict.fromkeys(map(str, range(MAX_ITEMS)))) == []

    def test_size_of_one_item_too_many_says_so(self) -> None:
        assert clean((0,) * (MAX_ITEMS + 1))[-1] == "<1 more items>"

    def test_size_leaves_a_key_named_as_the_count_alone(self) -> None:
        mapping: dict[str, Any] = {"<more>": "mine", **dict.fromkeys(map(str, range(MAX_ITEMS)))}
        cleaned = clean(mapping)
        assert cleaned["<more>"] == "mine"
        assert cleaned["<more>_2"] == "<1 more items>"

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda value: [value] * 10,
            lambda value: (value,) * 10,
            lambda value: dict.fromkeys("abcdefghij", value),
            lambda value: Point([value] * 5, [value] * 5),
        ],
        ids=["list", "tuple", "dict", "dataclass"],
    )
    def test_size_of_a_billion_laughs_is_bounded(self, wrap: Callable[[Any], Any]) -> None:
        laughs = hostile.nested(9, wrap, "lol")
        cleaned = clean(laughs)
        # Each container that was cut says so with one value more.
        assert MAX_NODES // 2 < size(cleaned) <= MAX_NODES + 2 * MAX_ITEMS
        assert "items dropped" in reasons(laughs)

    def test_size_of_one_record_is_bounded_over_all_its_fields(self) -> None:
        thousand = [0] * MAX_ITEMS
        cleaned = Sanitiser().fields({str(number): thousand for number in range(100)})
        assert len(cleaned) == 100
        assert size(cleaned) <= MAX_NODES + 200
        assert cleaned["99"] == ["<1000 more items>"]


class TestKeys:
    @pytest.mark.parametrize(
        ("key", "text"),
        [
            (None, "null"),
            (True, "true"),
            (False, "false"),
            (1, "1"),
            (1.5, "1.5"),
            ((1, "a"), "(1, 'a')"),
            (b"x", "eA=="),
            (Colour.RED, "red"),
            (dt.date(2024, 1, 1), "2024-01-01"),
            (frozenset({1}), "frozenset({1})"),
            (int, "int"),
            (hostile.RaisingRepr(), "<unprintable RaisingRepr: Hostile>"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_keys_that_are_no_strings_become_strings(self, key: Any, text: str) -> None:
        assert clean({key: 1}) == {text: 1}
        assert Sanitiser().fields({key: 1}) == {text: 1}

    def test_keys_that_collide_get_a_suffix(self) -> None:
        assert clean({1: "a", "1": "b", b"x": "c", "eA==": "d"}) == {
            "1": "a",
            "1_2": "b",
            "eA==": "c",
            "eA==_2": "d",
        }

    def test_keys_that_collide_with_a_suffixed_one_get_another(self) -> None:
        assert clean({"1": "a", "1_2": "b", 1: "c"}) == {"1": "a", "1_2": "b", "1_3": "c"}
        assert clean({1: "a", "1": "b", "1_2": "c"}) == {"1": "a", "1_2": "b", "1_2_2": "c"}

    @pytest.mark.parametrize("kind", [hostile.RaisingHash, hostile.RaisingEquality])
    def test_keys_whose_hash_or_equality_raises_are_skipped_with_a_marker(self, kind: Any) -> None:
        key = kind()
        mapping = {"before": 1, key: 2, "after": 3}
        key.is_armed = True
        assert clean(mapping) == {"before": 1, "after": 3}
        assert f"key of type {kind.__name__} skipped" in reasons(mapping)
        assert Sanitiser().fields(mapping) == {"before": 1, "after": 3}

    def test_keys_that_hold_such_a_key_are_skipped_too(self) -> None:
        class HeldKey(NamedTuple):
            left: int
            right: Any

            def __hash__(self) -> int:
                # A tuple itself keeps its hash from 3.14 on.
                return hash(self.right)

        key = hostile.RaisingHash()
        mapping = {HeldKey(1, key): 2, "after": 3}
        key.is_armed = True
        assert clean(mapping) == {"after": 3}
        assert "key of type HeldKey skipped" in reasons(mapping)

    def test_keys_that_interrupt_are_skipped_and_leave_the_interrupt(self) -> None:
        class Interrupting:
            is_armed = False

            def __hash__(self) -> int:
                if self.is_armed:
                    raise KeyboardInterrupt
                return 1

        key = Interrupting()
        mapping = {key: 1, "after": 2}
        key.is_armed = True
        sanitiser = Sanitiser()
        assert sanitiser.value(mapping) == {"after": 2}
        assert type(sanitiser.interrupt) is KeyboardInterrupt


class TestContainersChangedByOtherThreads:
    @pytest.fixture(autouse=True)
    def switching_often(self) -> Iterator[None]:
        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        yield
        sys.setswitchinterval(before)

    def test_a_dict_is_what_it_was_at_one_moment(self) -> None:
        mapping: dict[Any, Any] = {number: number for number in range(100)}
        is_done = threading.Event()

        def change() -> None:
            number = 100
            while not is_done.is_set():
                mapping[number] = number
                del mapping[number - 100]
                number += 1

        thread = threading.Thread(target=change)
        thread.start()
        try:
            copies = [clean(mapping) for _ in range(300)]
        finally:
            is_done.set()
            thread.join()
        for copy in copies:
            assert {int(key) for key in copy} == set(copy.values())
            assert len(copy) in (100, 101)
            assert max(copy.values()) - min(copy.values()) == len(copy) - 1

    def test_a_list_is_what_it_was_at_one_moment(self) -> None:
        array: list[Any] = []
        is_done = threading.Event()

        def change() -> None:
            while not is_done.is_set():
                array.extend(range(50))
                array.clear()

        thread = threading.Thread(target=change)
        thread.start()
        try:
            copies = [clean(array) for _ in range(300)]
        finally:
            is_done.set()
            thread.join()
        for copy in copies:
            kept = [item for item in copy if type(item) is int]
            assert kept == list(range(len(kept)))

    def test_a_container_emptied_in_the_middle_is_what_it_was(self) -> None:
        array: list[Any] = []
        mapping: dict[str, Any] = {}

        def empty() -> None:
            array.clear()
            mapping.clear()

        emptied = hostile.SideEffectRepr(lambda: hostile.in_thread(empty), "emptied")
        array.extend([emptied, 1])
        mapping.update(array=array, emptied=emptied, last=1)
        assert clean(mapping) == {"array": ["emptied", 1], "emptied": "emptied", "last": 1}

    def test_a_dict_changed_while_it_is_being_copied_is_copied_again(self) -> None:
        # Before 3.12 a collection may run inside the copy, and with it any code.
        mapping: dict[Any, Any] = {number: number for number in range(50)}

        def change(_phase: str, _info: dict[str, int]) -> None:
            mapping.setdefault("new", "new")

        thresholds = gc.get_threshold()
        sanitiser = Sanitiser()
        gc.callbacks.append(change)
        gc.set_threshold(1)
        try:
            cleaned = sanitiser.value(mapping)
        finally:
            gc.set_threshold(*thresholds)
            gc.callbacks.remove(change)
        cleaned.pop("new", None)
        assert cleaned == {str(number): number for number in range(50)}


class Opaque:
    def __repr__(self) -> str:
        return "opaque"


def odd_values() -> st.SearchStrategy[Any]:
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters()),
        st.text(st.characters(categories=["Cs", "Cc", "Lu"])),
        st.binary(),
        st.datetimes(),
        st.uuids(),
        st.decimals(),
        st.builds(hostile.HostileStr, st.text()),
        st.builds(hostile.HostileInt, st.integers()),
        st.builds(hostile.HostileFloat, st.floats()),
        st.builds(Opaque),
        st.builds(hostile.RaisingRepr),
        st.builds(hostile.NonStringRepr),
        st.builds(hostile.slotted_with_a_hole),
        st.builds(hostile.broken_uuid),
        st.builds(hostile.RaisingClass),
    )
    keys = st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.binary(), st.none())
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner),
            st.lists(inner).map(tuple),
            st.lists(inner).map(hostile.HostileList),
            st.dictionaries(keys, inner),
            st.dictionaries(keys, inner).map(hostile.HostileDict),
            st.builds(Point, inner, inner),
        ),
        max_leaves=30,
    )


@pytest.mark.slow
class TestAnything:
    @PROPERTY
    @given(odd_values())
    def test_anything_becomes_plain_values_that_survive_the_encoder(self, value: Any) -> None:
        cleaned = clean(value)
        assert json.loads(encode(cleaned)) == cleaned

    @PROPERTY
    @given(odd_values())
    def test_anything_that_was_cleaned_is_clean(self, value: Any) -> None:
        once = clean(value)
        assert clean(once) == once
        assert reasons(once) == []

    @PROPERTY
    @given(st.dictionaries(st.text(), odd_values(), max_size=4))
    def test_anything_has_every_field_that_is_not_none(self, fields: dict[str, Any]) -> None:
        cleaned = Sanitiser().fields(fields)
        assert len(cleaned) == sum(value is not None for value in fields.values())


class TestCollections:
    @pytest.mark.parametrize(
        "value",
        [
            {1},
            set(),
            frozenset(),
            frozenset({"a"}),
            deque(),
            deque([1, "b", None, b"c"]),
            deque([deque([1]), frozenset({2})], maxlen=3),
        ],
    )
    def test_collections_are_shown_as_their_repr(self, value: Any) -> None:
        assert clean(value) == repr(value)

    def test_collections_show_what_they_nest_as_plain_values(self) -> None:
        assert clean(deque([(1, {"a": dt.date(2026, 1, 2)})])) == (
            "deque([[1, {'a': '2026-01-02'}]])"
        )

    def test_collections_inside_themselves_are_circular(self) -> None:
        value: deque[Any] = deque()
        value.append(value)
        assert clean(value) == "deque([<circular>])"

    def test_collections_that_share_each_other_tenfold_stay_bounded(self) -> None:
        value: Any = 1
        for _ in range(12):
            value = deque([value] * 10)
        # Without the bound this is a text of 10**12 numbers.
        assert len(clean(value)) < 200_000

    def test_collections_of_a_million_are_capped_and_counted(self) -> None:
        assert clean(set(range(1_000_000))).endswith(", <999000 more items>}")


class TestCharacterBudget:
    def test_bounds_what_many_reprs_add_up_to(self) -> None:
        wide = [hostile.HugeRepr(8000) for _ in range(1000)]
        sanitiser = Sanitiser()
        text = json.dumps(sanitiser.value([wide] * 10))
        assert len(text) < MAX_CHARACTERS + 10_000 * 150
        assert "text truncated" in sanitiser.reasons
        assert "... <truncated, 8000 characters>" in text

    def test_bounds_one_text_that_is_shared(self) -> None:
        text = json.dumps(Sanitiser().value(["x" * 100_000] * 1000))
        assert len(text) < MAX_CHARACTERS + 1000 * 150

    def test_bounds_one_text_that_is_shared_by_a_dict(self) -> None:
        shared = {str(number): "x" * 100_000 for number in range(1000)}
        assert len(json.dumps(Sanitiser().value(shared))) < MAX_CHARACTERS + 1000 * 150

    def test_bounds_keys_as_well(self) -> None:
        text = json.dumps(Sanitiser().value([{"k" * 100_000: 1}] * 1000))
        assert len(text) < MAX_CHARACTERS + 1000 * 250

    def test_character_budget_leaves_a_field_of_its_own_whole(self) -> None:
        assert Sanitiser().fields({"body": "x" * 3_000_000}) == {"body": "x" * 3_000_000}
