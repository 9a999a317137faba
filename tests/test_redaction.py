"""Redact: an invalid option raises at once, and a later failure shows no secret."""

import argparse
import dataclasses
import enum
import io
import json
import logging
import re
import types
from collections import ChainMap, UserDict, deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import attrs
import h11
import multidict
import pydantic
import pytest
import structlog
import werkzeug.datastructures
from conformance import Capture, checked, checked_lines, fields, record

from mozlog_py import MozlogFormatter, MozlogHandler
from mozlog_py._line.line_encoder import LineEncoder
from mozlog_py._values.sanitiser import MAX_REPR
from mozlog_py.redaction import Redact
from mozlog_py.sampling import Sample
from mozlog_py.structlog import MozlogRenderer


class TestConfiguration:
    @pytest.mark.parametrize("pattern", [1, None, b"^x-", re.compile(b"^x-"), ["^x-"]])
    def test_configuration_refuses_a_pattern_that_could_not_be_searched_for(
        self, pattern: Any
    ) -> None:
        with pytest.raises(ValueError, match="must be a text or a compiled regular expression"):
            Redact(patterns=[pattern])

    @pytest.mark.parametrize("key", [1, None, b"iban", ["iban"]])
    def test_configuration_refuses_a_key_that_is_no_text(self, key: Any) -> None:
        with pytest.raises(ValueError, match=r"keys has .* in it; it must be a list of names"):
            Redact([key])

    def test_configuration_takes_compiled_patterns_as_they_are(self) -> None:
        formatter = MozlogFormatter(processors=[Redact(patterns=[re.compile("^X-")])])
        got = fields(formatter, record("hi", **{"X-Shop": 1, "x-shop": 2}))
        assert got == {"X-Shop": "[redacted]", "x-shop": 2, "msg": "hi"}


def redacted(**extra: Any) -> dict[str, Any]:
    """Return the fields of a record with a password, which no field may show."""
    got = fields(MozlogFormatter(processors=[Redact()]), record("hi", password="tulip", **extra))
    assert got.pop("password") == "[redacted]"
    assert got.pop("msg") == "hi"
    assert "tulip" not in str(got)
    return got


@dataclasses.dataclass
class User:
    name: str
    token: str

    def __getattribute__(self, name: str) -> Any:
        if name == "name":
            raise LookupError("the database is away")
        return object.__getattribute__(self, name)


class Declared:
    __dataclass_fields__ = None


class Headers(Mapping[str, str]):
    def __init__(self, **headers: str) -> None:
        self.headers = headers

    def __getitem__(self, name: str) -> str:
        return self.headers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.headers)

    def __len__(self) -> int:
        return len(self.headers)

    def __repr__(self) -> str:
        return f"Headers({self.headers})"


class Broken(Headers):
    def __iter__(self) -> Iterator[str]:
        raise OSError("the connection is closed")


class Fickle(str):
    """A key that can be hashed once, when it is put into its dict."""

    __slots__ = ("__dict__",)
    was_hashed = False

    def __hash__(self) -> int:
        if self.was_hashed:
            raise RuntimeError("once is enough")
        self.was_hashed = True
        return 1


class TestValuesThatCannotBeLookedInto:
    def test_an_attribute_that_raises_lets_no_other_secret_through(self) -> None:
        assert redacted(user=User("ann", "tulip")) == {
            "user": {"name": "<unprintable User: LookupError>", "token": "[redacted]"}
        }

    @pytest.mark.parametrize(
        "value", [Declared(), Broken(token="tulip"), {Fickle("token"): "tulip"}]
    )
    def test_what_cannot_be_read_is_redacted_as_a_whole(self, value: Any) -> None:
        assert redacted(value=value, n=1) == {"value": "[redacted]", "n": 1}
        assert redacted(values=[value, 2]) == {"values": ["[redacted]", 2]}

    @pytest.mark.parametrize(
        ("event", "kept"),
        [("hi", "hi"), ({"token": "tulip"}, "[redacted]"), ('{"token": "tulip"}', "[redacted]")],
    )
    def test_an_event_that_cannot_be_read_keeps_a_message_that_is_one(
        self, event: Any, kept: str
    ) -> None:
        event_dict = {"event": event, "password": "tulip", "n": 1, Fickle("key"): 1}
        assert Redact()(None, "info", event_dict) == {
            "event": kept, "password": "[redacted]", "n": "[redacted]",
        }  # fmt: skip


class TestMappings:
    @pytest.mark.parametrize(
        "kind", [UserDict, Headers, lambda **of: MappingProxyType(of), lambda **of: ChainMap(of)]
    )
    def test_mappings_of_any_kind_are_looked_into(self, kind: Any) -> None:
        assert redacted(headers=kind(cookie="tulip", host="x")) == {
            "headers": {"cookie": "[redacted]", "host": "x"}
        }


class TestPairsOfACall:
    @pytest.mark.parametrize(("name", "value"), [("name", "value"), ("Key", "Value")])
    def test_pair_that_the_fields_of_a_call_are_has_no_credential(
        self, name: str, value: str
    ) -> None:
        event: Any = {"event": "set", name: "DB_PASSWORD", value: "tulip-77"}
        assert Redact()(None, "info", event)[value] == "[redacted]"
        event = {"event": "set", name: "token_count", value: 5}
        assert Redact()(None, "info", event)[value] == 5
        event = {"event": "set", name: "DB_PASSWORD", value: None}
        assert Redact()(None, "info", event)[value] is None

    @pytest.mark.parametrize("is_text", [True, False])
    def test_pair_that_a_message_is_has_no_credential(self, is_text: bool) -> None:
        pair = {"name": "DB_PASSWORD", "value": "tulip-77"}
        made = record(json.dumps(pair) if is_text else pair)
        assert fields(MozlogFormatter(processors=[Redact()]), made)["value"] == "[redacted]"


class TestEventsOfOtherClasses:
    """structlog's ``context_class`` may be any mapping that can be changed."""

    def test_event_of_any_mapping_is_redacted(self) -> None:
        event: Any = UserDict(event="paid", password="tulip-77", a={"token": "x"})
        assert Redact()(None, "info", event) == {
            "event": "paid", "password": "[redacted]", "a": {"token": "[redacted]"},
        }  # fmt: skip

    def test_event_of_a_mapping_that_raises_is_a_marker(self) -> None:
        class Raising(UserDict[str, Any]):
            def __iter__(self) -> Any:
                raise ValueError("tulip-77")

            def keys(self) -> Any:
                raise ValueError("tulip-77")

        event: Any = Raising(password="tulip-77")
        assert Redact()(None, "info", event) == {"event": "<Raising: ValueError>"}


class TestInterruptsAndNames:
    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    def test_an_interrupt_of_a_value_hides_it_and_goes_on_after_the_line(self, kind: Any) -> None:
        class Interrupting(UserDict):  # type: ignore[type-arg]
            def items(self) -> Any:
                raise kind

        capture = Capture()
        capture.handler.setFormatter(MozlogFormatter(processors=[Redact()]))
        with pytest.raises(kind):
            capture.logger.info("hi", extra={"value": Interrupting(a=1), "password": "p", "n": 1})
        assert capture.fields == [
            {"value": "[redacted]", "password": "[redacted]", "n": 1, "msg": "hi"}
        ]
        with pytest.raises(kind):
            Redact()(None, "info", {"value": Interrupting(a=1)})

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, RecursionError, MemoryError])
    def test_what_could_not_be_redacted_is_not_shown(
        self, kind: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: Any) -> Any:
            raise kind

        monkeypatch.setattr(Redact, "redacted", broken)
        capture = Capture()
        capture.handler.setFormatter(MozlogFormatter(processors=[Redact()]))
        try:
            capture.logger.info("secret", extra={"password": "p"})
        except KeyboardInterrupt:
            pass
        assert capture.fields == [
            {"msg": "<not redacted>", "mozlog.degraded": f"Redact raised {kind.__name__}"}
        ]

    @pytest.mark.parametrize("broken", ["redacted", "masked"])
    def test_what_could_not_be_redacted_keeps_its_level_and_nothing_of_its_names(
        self, broken: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: Any) -> Any:
            raise RecursionError

        redact = Redact(values=["supersecret"])
        assert redact.mask is not None
        run: Any = redact.mask.event
        if broken == "redacted":
            monkeypatch.setattr(Redact, "_event", fail)
            run = lambda event: redact.redacted(event, [])  # noqa: E731
        else:
            monkeypatch.setattr("mozlog_py._redaction.mask._Walk.value", fail)
        known = {"level": "warning", "level_number": 35, "_from_structlog": False}
        assert run({"user": "ann", **known}) == {"user": "[redacted]", **known}
        others = {"level": "supersecret", "level_number": "supersecret", "_from_structlog": "x"}
        assert run(others) == dict.fromkeys(others, "[redacted]")

    def test_interrupts_and_names_goes_by_the_name_that_the_line_shows(self) -> None:
        class Header(enum.Enum):
            AUTH = "authorization"

        event = {"h": {Header.AUTH: "s", Path("password"): "s", 7: 1, None: 2}}
        got = Redact()(None, "info", event)["h"]
        assert [*got.values()] == ["[redacted]", "[redacted]", 1, 2]
        assert Redact()(None, "info", {"pair": [(Header.AUTH, "s")]})["pair"] == [
            [Header.AUTH, "[redacted]"]
        ]

    @pytest.mark.parametrize(
        "name", ["user[password]", "password=", '"password"', "cookies", "passwords", "auth",
                 "bearer", "pass", "otp", "sid"],
    )  # fmt: skip
    def test_interrupts_and_names_knows_further_spellings(self, name: str) -> None:
        assert Redact()(None, "info", {name: "s"}) == {name: "[redacted]"}

    def test_interrupts_and_names_looks_into_what_a_line_would_open(self) -> None:
        event = {
            "queue": deque([{"password": "s"}]),
            "set": frozenset({("password", "s")}),
            "names": {"a"},
        }
        assert Redact()(None, "info", event) == {
            "queue": deque([{"password": "[redacted]"}]),
            "set": frozenset({("password", "[redacted]")}),
            "names": {"a"},
        }

    def test_interrupts_and_names_takes_only_what_is_structlogs_for_structlogs(self) -> None:
        event = {"_record": {"token": "s"}, "_logger": {"token": "s"}, "exc_info": {"token": "s"}}
        assert [*Redact()(None, "info", event).values()] == [{"token": "[redacted]"}] * 3


class TestNoOtherWayOut:
    def test_a_dropped_record_that_is_written_after_all_is_redacted(self) -> None:
        for processors in ([Redact(), Sample(10**9)], [Sample(10**9), Redact()]):
            stream = io.StringIO()
            handler = logging.StreamHandler(stream)
            handler.setFormatter(MozlogFormatter(processors=processors))
            handler.handle(record("hi", rid="7", password="s3cret"))
            (line,) = checked_lines(stream.getvalue())
            assert line["Fields"] == {"rid": "7", "password": "[redacted]", "msg": "hi"}

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, RecursionError])
    def test_a_record_whose_rendering_was_interrupted_is_redacted(
        self, kind: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        capture = Capture()
        capture.handler.setFormatter(MozlogFormatter(processors=[Redact()]))
        capture.logger.info("first")
        line = LineEncoder.line
        strikes = iter([kind()])

        def struck(*args: Any, **kwargs: Any) -> bytes:
            for strike in strikes:
                raise strike
            return line(*args, **kwargs)

        monkeypatch.setattr(LineEncoder, "line", struck)
        try:
            capture.logger.info("hi", extra={"password": "s3cret"})
        except KeyboardInterrupt:
            pass
        assert capture.fields[1] == {"password": "[redacted]", "msg": "hi"}

    def test_a_record_that_cannot_be_gathered_is_not_shown(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: Any) -> Any:
            raise LookupError

        monkeypatch.setattr("mozlog_py._render.any_record.collect_fields", broken)
        got = fields(MozlogFormatter(processors=[Redact()]), record({"password": "s3cret"}))
        assert got == {"mozlog.degraded": "record not readable: LookupError"}

    def test_the_line_about_losses_is_nothing_that_a_processor_could_drop(self) -> None:
        def drop(*_: Any) -> Any:
            raise structlog.DropEvent

        handler = MozlogHandler(io.StringIO())
        handler.setFormatter(MozlogFormatter(processors=[drop]))
        handler.sink.lose("for a test", b"{}")
        (line,) = checked_lines(handler._report(handler.sink._loss_counter.take_unreported()))
        assert line["Fields"]["msg"] == "1 records were lost"

    def test_an_event_that_cannot_be_read_is_not_shown(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: Any, **__: Any) -> Any:
            raise LookupError

        renderer = MozlogRenderer(formatter=MozlogFormatter(processors=[Redact()]))
        monkeypatch.setattr("mozlog_py.structlog.renderer.read_event", broken)
        line = renderer(structlog.BytesLogger(io.BytesIO()), "info", {"event": "x", "token": "s"})
        assert checked(line)["Fields"] == {"mozlog.degraded": "event not readable: LookupError"}


def shape(value: Any) -> Any:
    """Return the JSON types of a value and of the values within it."""
    if isinstance(value, dict):
        return {key: shape(member) for key, member in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value)


@attrs.define
class AttrsLogin:
    user: Any
    password: Any


class PydanticLogin(pydantic.BaseModel):
    user: Any
    password: Any


class PlainLogin:
    def __init__(self, user: Any, password: Any) -> None:
        self.user, self.password = user, password


class QuotingLogin(PlainLogin):
    def __repr__(self) -> str:
        return f"QuotingLogin '{self.user}' '{self.password}'"


class NamingLogin(PlainLogin):
    def __repr__(self) -> str:
        return f"NamingLogin(user={self.user}, password={self.password})"


class KeepingLogin(PlainLogin):
    def __repr__(self) -> str:
        return f"KeepingLogin({self.user!r})"


@dataclasses.dataclass
class DataLogin:
    user: Any
    password: Any


class TupleLogin(NamedTuple):
    user: Any
    password: Any


class Kind(enum.Enum):
    LOGIN = ("password", "tulip")
    DICT = {"password": "tulip"}
    PLAIN = "plain"


SHOWN_MASKED = [
    (AttrsLogin, "AttrsLogin(user='ann', password='[redacted]')"),
    (PydanticLogin, "PydanticLogin(user='ann', password='[redacted]')"),
    (types.SimpleNamespace, "namespace(user='ann', password='[redacted]')"),
    (argparse.Namespace, "Namespace(user='ann', password='[redacted]')"),
    (QuotingLogin, "<QuotingLogin [redacted]>"),
    (NamingLogin, "<NamingLogin [redacted]>"),
    (KeepingLogin, "KeepingLogin('ann')"),
]


class TestObjects:
    @pytest.mark.parametrize(("kind", "shown"), SHOWN_MASKED)
    def test_objects_are_shown_without_their_credentials(self, kind: Any, shown: str) -> None:
        login = kind(user="ann", password="tulip")
        assert redacted(a=login, b=[login], c={"d": (login,)}) == {
            "a": shown, "b": [shown], "c": {"d": [shown]},
        }  # fmt: skip
        assert redacted(a=DataLogin("bob", "x"), b=DataLogin(login, None)) == {
            "a": {"user": "bob", "password": "[redacted]"}, "b": {"user": shown, "password": None},
        }  # fmt: skip
        assert redacted(a=deque([login]))["a"] == f"deque([{shown}])"

    @pytest.mark.parametrize("kind", [kind for kind, _ in SHOWN_MASKED])
    def test_objects_without_a_credential_are_shown_as_before(self, kind: Any) -> None:
        for value in (kind(user="ann", password=None), kind(user=1, password=None)):
            plain = fields(MozlogFormatter(), record(v=value, w=[value], x=deque([value])))
            event = {"v": value, "w": [value], "x": deque([value])}
            processed = Redact()(None, "info", event)
            assert processed["v"] is value
            assert processed["w"][0] is value
            assert plain == fields(MozlogFormatter(processors=[Redact()]), record(**event))

    def test_objects_within_objects_are_masked_as_well(self) -> None:
        inner = AttrsLogin("ann", "tulip")
        for outer in (types.SimpleNamespace(a=inner), AttrsLogin(inner, None)):
            shown = redacted(a=outer)["a"]
            assert "AttrsLogin(user='ann', password='[redacted]')" in shown
        assert redacted(a=types.SimpleNamespace(a={"token": "tulip", "n": 1})) == {
            "a": "namespace(a={'token': '[redacted]', 'n': 1})"
        }
        assert redacted(a=AttrsLogin(QuotingLogin("ann", "tulip"), None)) == {
            "a": "<AttrsLogin [redacted]>"
        }

    def test_objects_that_show_no_attribute_stay_as_they_are(self) -> None:
        value = PlainLogin("ann", "tulip")
        assert redacted(a=value)["a"].startswith("<test_redaction.PlainLogin object at")

    def test_objects_with_a_credential_that_another_attribute_has_too_are_hidden(self) -> None:
        assert redacted(a=AttrsLogin("tulip", "tulip")) == {"a": "<AttrsLogin [redacted]>"}

    def test_objects_that_are_exceptions_show_no_credential_of_theirs(self) -> None:
        class LoginFailed(Exception):
            def __init__(self, password: str) -> None:
                super().__init__(f"no such password: {password}")
                self.password = password

        assert redacted(a=LoginFailed("tulip"), b=ValueError("n=1")) == {
            "a": "<LoginFailed [redacted]>", "b": "ValueError: n=1",
        }  # fmt: skip

    def test_objects_have_the_marker_that_was_chosen(self) -> None:
        event = {"a": AttrsLogin("ann", "tulip"), "b": QuotingLogin("ann", "tulip")}
        assert Redact(marker="***")(None, "info", event) == {
            "a": "AttrsLogin(user='ann', password='***')", "b": "<QuotingLogin ***>",
        }  # fmt: skip

    def test_objects_as_the_message_of_an_event_stay_a_message(self) -> None:
        renderer = MozlogRenderer("shop")
        for event, shown in [
            (AttrsLogin("ann", "tulip"), "AttrsLogin(user='ann', password='[redacted]')"),
            (werkzeug.datastructures.Headers({"Cookie": "tulip", "A": "1"}),
             "{'Cookie': '[redacted]', 'A': '1'}"),
            (7, "7"),
        ]:  # fmt: skip
            processed = Redact()(None, "info", {"event": event})
            assert checked(renderer(None, "info", processed))["Fields"] == {"msg": shown}


CARRIERS: list[tuple[Any, Any]] = [
    (werkzeug.datastructures.Headers([("Cookie", "tulip"), ("A", "1"), ("A", "2")]),
     {"Cookie": "[redacted]", "A": ["1", "2"]}),
    (werkzeug.datastructures.MultiDict([("password", "tulip"), ("a", "1"), ("a", "2")]),
     {"password": "[redacted]", "a": ["1", "2"]}),
    (multidict.CIMultiDict(Cookie="tulip", a="1"), {"Cookie": "[redacted]", "a": "1"}),
    ({"cookie": "tulip", "a": 1}.items(), [["cookie", "[redacted]"], ["a", 1]]),
    ({"a": {"cookie": "tulip"}}.values(), [{"cookie": "[redacted]"}]),
    (multidict.CIMultiDict(Cookie="tulip", a="1").items(), [["Cookie", "[redacted]"], ["a", "1"]]),
    ([(b"cookie", b"tulip"), (b"a", b"1")], [["Y29va2ll", "[redacted]"], ["YQ==", "MQ=="]]),
    (((b"cookie", b"tulip"),), [["Y29va2ll", "[redacted]"]]),
    ([[bytearray(b"cookie"), "tulip"]], [["Y29va2ll", "[redacted]"]]),
    (TupleLogin("ann", "tulip"), ["ann", "[redacted]"]),
    (Kind.LOGIN, ["password", "[redacted]"]),
    (Kind.DICT, {"password": "[redacted]"}),
    (Kind.PLAIN, "plain"),
    ({("cookie", "tulip")}, "{['cookie', '[redacted]']}"),
    (deque([{"cookie": "tulip"}], 3), "deque([{'cookie': '[redacted]'}], maxlen=3)"),
    (frozenset({("a", ("cookie", "tulip"))}), "frozenset({['a', ['cookie', '[redacted]']]})"),
    (h11.Request(method="GET", target="/", headers=[("Host", "x"), ("Cookie", "tulip")]).headers,
     "<Headers([(b'host', b'x'), (b'cookie', '[redacted]')])>"),
]  # fmt: skip


class TestCarriers:
    @pytest.mark.parametrize(("value", "shown"), CARRIERS)
    def test_carriers_of_names_and_values_are_looked_into_and_keep_their_types(
        self, value: Any, shown: Any
    ) -> None:
        assert redacted(v=value, w=[{"x": value}]) == {"v": shown, "w": [{"x": shown}]}
        plain = fields(MozlogFormatter(), record(v=value))["v"]
        text = shown.replace("[redacted]", "tulip") if isinstance(shown, str) else shown
        assert shape(plain) == shape(text)

    def test_carriers_of_a_dict_that_keeps_its_items_elsewhere_are_looked_into(self) -> None:
        class OpaqueSink(dict[str, Any]):
            def items(self) -> Any:
                return iter([("password", "tulip"), ("a", {"token": "tulip"})])

        shown = {"password": "[redacted]", "a": {"token": "[redacted]"}}
        assert redacted(v=OpaqueSink(), w=[OpaqueSink()]) == {"v": shown, "w": [shown]}

    @pytest.mark.slow
    def test_carriers_that_hold_themselves_or_very_much_come_to_an_end(self) -> None:
        wide: list[Any] = []
        wide.extend([wide] * 1000)
        shown = redacted(w={"password": "tulip"}, v=wide, many=[[1] * 999] * 999)
        assert "mozlog.degraded" in shown

    def test_carriers_of_more_items_than_a_line_has_say_how_many(self) -> None:
        many = UserDict({f"k{number}": {} for number in range(1200)})
        assert redacted(v=many)["v"]["<more>"] == "<201 more items>"
        assert redacted(v=[*many.items()])["v"][-1] == "<201 more items>"
        pairs = frozenset((number,) for number in range(1200))
        assert "<201 more items>" in redacted(v=pairs)["v"]


class TestArgumentsOfTasks:
    """Celery logs the arguments of a task as texts, in a dict below ``data`` or at the top."""

    @pytest.mark.parametrize("name", ["args", "kwargs", "argsrepr", "kwargsrepr"])
    def test_arguments_of_tasks_are_masked_by_their_names(self, name: str) -> None:
        text = "{'user': 'ann', 'password': 'tulip', 'card': {'token': 'tulip'}}"
        masked = "{'user': 'ann', 'password': '[redacted]', 'card': {'token': '[redacted]'}}"
        for event in ({name: text}, {"data": {name: text}}, {"list": [{name: text}]}):
            shown = json.dumps(Redact()(None, "info", {"event": "m", **event}))
            assert "tulip" not in shown
            assert json.dumps(masked)[1:-1] in shown

    def test_arguments_of_tasks_without_a_secret_stay_as_they_are(self) -> None:
        event = {"event": "m", "args": "[12.5, 'tulip']", "kwargs": "{'n': 1}", "other": "x"}
        assert Redact()(None, "info", dict(event)) == event

    def test_arguments_of_tasks_that_cannot_be_read_are_hidden(self) -> None:
        event = {"event": "m", "kwargs": "{'password': tulip of mine"}
        assert Redact()(None, "info", event)["kwargs"] == "[redacted]"

    def test_arguments_of_tasks_of_any_length_are_read_to_where_a_line_ends(self) -> None:
        text = f"{{'password': 'tulip', 'rest': '{'x' * 20_000}'}}"
        shown = Redact()(None, "info", {"event": "m", "kwargs": text})["kwargs"]
        assert "tulip" not in shown
        assert shown.endswith(f"... <truncated, {len(text)} characters>")

    def test_arguments_of_tasks_are_cut_beside_a_registered_secret_and_never_within_it(
        self,
    ) -> None:
        secret = "tulip-of-amsterdam"
        for before in range(MAX_REPR - len(secret), MAX_REPR + 2):
            text = f"['{'x' * before}{secret}']"
            shown = Redact(values=[secret])(None, "info", {"event": "m", "args": text})["args"]
            assert "tulip" not in shown
            assert shown.endswith(f"... <truncated, {len(text)} characters>")
