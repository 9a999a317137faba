"""Processors: each does one thing, in chains of structlog as in formatters."""

from __future__ import annotations

import dataclasses
import io
import logging
import re
import subprocess
import sys
from typing import Any

import hostile
import pytest
import structlog
from conformance import Capture, checked, checked_lines, fields, record, render
from hypothesis import given
from hypothesis import strategies as st
from strategies import NESTED, TEXTS

import mozlog_py
from mozlog_py import MozlogFormatter, MozlogHandler, context
from mozlog_py.gcp import CloudFormatter
from mozlog_py.pretty import PrettyFormatter
from mozlog_py.processors import (
    CapLengths,
    Redact,
    Sample,
    StaticFields,
    add_severity,
    drop_none,
    flatten,
    merge_context,
)

WITHOUT_LOCALS = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
ONE_ARGUMENT = (
    "one raised TypeError: one() takes 1 positional argument but 3 were given; a processor takes "
    "the logger, the method's name and the event dict"
)


def run(processor: Any, event: Any = None, /, method: str = "info", **more: Any) -> Any:
    """Return the result of a processor, which must not change nested values of the event."""
    return processor(None, method, {**(event or {}), **more})


class TestMergeContext:
    def test_merge_context_adds_bound_fields_below_those_of_the_event(self) -> None:
        with context.bound(a="bound", b="bound"):
            assert run(merge_context, event="hi", a="said") == {
                "a": "said", "b": "bound", "event": "hi",
            }  # fmt: skip


class TestAddSeverity:
    @pytest.mark.parametrize(
        ("event", "method", "expected"),
        [({}, "warning", 4), ({"level": "error"}, "info", 6), ({"level_number": 25}, "info", 5),
         ({}, "unheard_of", 6), ({"severity": "mine"}, "info", "mine")],
    )  # fmt: skip
    def test_add_severity_maps_the_level(self, event: Any, method: str, expected: Any) -> None:
        assert run(add_severity, event, method=method)["severity"] == expected


class TestStaticFields:
    def test_static_fields_are_added_below_the_fields_of_the_event(self) -> None:
        assert run(StaticFields(env="prod", self=1), env="dev") == {"env": "dev", "self": 1}


class TestFlatten:
    def test_flatten_replaces_nested_dicts_by_dotted_keys(self) -> None:
        event = {"event": "hi", "user": {"id": 7, "name": {"first": "ann"}, "tags": [{"a": 1}]}}
        assert run(flatten, event) == {
            "event": "hi", "user.id": 7, "user.name.first": "ann", "user.tags": [{"a": 1}],
        }  # fmt: skip

    def test_flatten_loses_nothing_where_keys_clash_or_are_empty(self) -> None:
        got = run(flatten, {"a": {"b": 1}, "a.b": 2, "c": {}})
        assert got == {"a.b": 1, "a.b_2": 2, "c": {}}

    def test_flatten_ends_on_a_cycle(self) -> None:
        loop: dict[str, Any] = {}
        loop["again"] = loop
        (key,) = run(flatten, {"loop": loop})
        assert key.startswith("loop.again.again")


class TestDropNone:
    def test_drop_none_drops_none_at_any_depth_and_nothing_else(self) -> None:
        event = {"a": None, "b": {"c": None, "d": 0, "e": [None]}, "f": ""}
        assert run(drop_none, event) == {"b": {"d": 0, "e": [None]}, "f": ""}
        assert event["b"] == {"c": None, "d": 0, "e": [None]}

    def test_drop_none_leaves_the_objects_of_structlog_and_no_others_of_their_names(self) -> None:
        event = {"exc_info": None, "a": {"exc_info": {"b": None}, "event": {"b": None, "c": 1}}}
        assert run(drop_none, event) == {"a": {"exc_info": {}, "event": {"c": 1}}}
        positional = {"positional_args": {"b": None}}
        assert run(drop_none, positional) == positional


class TestCapLengths:
    def test_cap_lengths_cuts_long_texts_and_keeps_both_ends(self) -> None:
        text = "a" * 50 + "b" * 50
        got = run(CapLengths(10), event=text, nested={"list": [text, 7]}, short="a" * 10)
        cut = "aaaaa... <cut, 100 characters> ...bbbbb"
        assert got == {"event": cut, "nested": {"list": [cut, 7]}, "short": "a" * 10}

    def test_cap_lengths_ends_on_a_cycle(self) -> None:
        loop: list[Any] = ["x" * 20]
        loop.append(loop)
        assert "<cut, 20 characters>" in repr(run(CapLengths(2), loop=loop))

    @pytest.mark.parametrize("characters", [0, -1, 1.5, True, "10"])
    def test_cap_lengths_refuses_what_is_no_length(self, characters: Any) -> None:
        with pytest.raises(ValueError, match="must be a number from 1"):
            CapLengths(characters)


class TestRedact:
    @pytest.mark.parametrize(
        "name",
        ["authorization", "Authorization", "Proxy-Authorization", "cookie", "Set-Cookie",
         "set_cookie", "password", "PASSWORD", "db_password", "newPassword", "passwd", "pwd",
         "secret", "client_secret", "clientSecret", "token", "access_token", "X-Auth-Token",
         "api_key", "apiKey", "api-key", "API KEY", "x-api-key", "X_API_KEY", "stripe.api_key",
         "private_key", "secretKey", "passphrase", "session_id", "JWT", "aws_access_key",
         "HTTP_AUTHORIZATION", "HTTP_COOKIE", "credentials"],
    )  # fmt: skip
    def test_redact_hides_credentials_in_their_spellings(self, name: str) -> None:
        assert run(Redact(), {name: "s3cret"}) == {name: "[redacted]"}

    @pytest.mark.parametrize(
        "name", ["author", "token_count", "max_tokens", "cookies_accepted", "keyboard", "key",
                 "secretary", "passenger", "user", "event"],
    )  # fmt: skip
    def test_redact_shows_what_only_looks_alike(self, name: str) -> None:
        assert run(Redact(), {name: "value"}) == {name: "value"}

    def test_redact_hides_them_at_any_depth_and_changes_nothing_of_ours(self) -> None:
        headers = {"Cookie": "a=b", "Accept": "*/*"}
        event = {"request": {"headers": [headers, ("x", {"token": 1})]}, "password": {"a": 1}}
        got = run(Redact(), event)
        assert got == {
            "request": {"headers": [{"Cookie": "[redacted]", "Accept": "*/*"},
                                    ["x", {"token": "[redacted]"}]]},
            "password": "[redacted]",
        }  # fmt: skip
        assert headers == {"Cookie": "a=b", "Accept": "*/*"}

    def test_redact_hides_them_in_pairs_as_headers_are(self) -> None:
        headers = [(b"Authorization", b"Bearer x"), ("accept", "*/*"), ["cookie", "a=b"]]
        assert run(Redact(), headers=headers)["headers"] == [
            [b"Authorization", "[redacted]"], ["accept", "*/*"], ["cookie", "[redacted]"],
        ]  # fmt: skip

    def test_redact_hides_them_in_dataclasses_and_subclasses(self) -> None:
        @dataclasses.dataclass
        class Login:
            user: str
            password: str

        got = run(Redact(), login=Login("ann", "pw"), d=hostile.LyingDict({"token": "t", "a": 1}))
        assert got == {
            "login": {"user": "ann", "password": "[redacted]"},
            "d": {"token": "[redacted]", "a": 1},
        }

    def test_redact_leaves_fields_out_that_a_dataclass_leaves_out_of_its_repr(self) -> None:
        @dataclasses.dataclass
        class Account:
            user: str
            iban: str = dataclasses.field(repr=False)

        assert run(Redact(), account=Account("ann", "DE89"))["account"] == {"user": "ann"}

    def test_redact_hides_them_in_a_message_that_becomes_fields(self) -> None:
        redacted = run(Redact(), event='{"password": "x", "a": 1}')["event"]
        # A text: members of a dict would be fields of the call and replace the request's id.
        assert redacted == '{"password": "[redacted]", "a": 1}'
        assert run(Redact(), event={"token": "x"})["event"] == {"token": "[redacted]"}
        assert run(Redact(), event='{"a": 1}')["event"] == '{"a": 1}'

    def test_redact_leaves_none_and_what_is_structlogs_own(self) -> None:
        error = ValueError("x")
        event = {"token": None, "exc_info": error, "_record": 7, "event": "token"}
        assert run(Redact(), event) == event

    def test_redact_takes_keys_patterns_and_a_marker(self) -> None:
        redact = Redact(
            ["Social-Number"], patterns=["^x-internal-", re.compile("iban")], marker="…"
        )
        got = run(redact, {"socialNumber": 1, "X-Internal-Id": 2, "iban_of": 3, "IBAN": 4, "b": 5})
        assert got == {"socialNumber": "…", "X-Internal-Id": "…", "iban_of": "…", "IBAN": 4, "b": 5}

    def test_redact_can_do_without_its_defaults(self) -> None:
        assert run(Redact(["a"], defaults=False), a=1, password=2) == {
            "a": "[redacted]", "password": 2,
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("options", "message"),
        [({"keys": "password"}, "put it in a list"), ({"patterns": "x"}, "put it in a list"),
         ({"patterns": ["("]}, "is not a regular expression"),
         ({"defaults": False}, "nothing would be redacted")],
    )  # fmt: skip
    def test_redact_refuses_what_would_not_redact(self, options: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Redact(**options)

    def test_redact_ends_on_a_cycle_and_on_a_million_items(self) -> None:
        loop: dict[str, Any] = {"token": "t"}
        loop["again"] = loop
        assert "t" not in run(Redact(), {"loop": loop, "many": [1] * 1_000_000})["loop"].values()
        many = run(Redact(), {"many": [1] * 1_000_000})["many"]
        assert (len(many), many[-1]) == (1000, "<999001 more items>")

    def test_redact_hides_what_goes_by_bytes_and_broken_names(self) -> None:
        got = run(Redact(), nested={b"password": 1, hostile.LyingStr("token"): 2, 7: 3})
        assert [*got["nested"].values()] == ["[redacted]", "[redacted]", 3]

    @pytest.mark.slow
    @given(st.dictionaries(TEXTS, NESTED, max_size=4))
    def test_redact_never_raises_and_never_shows_a_secret(self, event: dict[str, Any]) -> None:
        event["deep"] = {"a": [{"password": "s3cret-7731"}]}
        stream = io.StringIO()
        handler = MozlogHandler(stream)
        handler.setFormatter(MozlogFormatter(processors=[Redact()]))
        made = record("hi")
        vars(made).update({k: v for k, v in event.items() if k not in vars(made)})
        try:
            handler.handle(made)
        except (KeyboardInterrupt, SystemExit):
            pass
        assert len(checked_lines(stream.getvalue())) == 1
        assert "s3cret-7731" not in stream.getvalue()


class TestSample:
    def test_sample_keeps_all_from_a_level_on(self) -> None:
        sample = Sample(1_000_000_000)
        for method in ("warning", "error", "critical", "exception"):
            assert run(sample, event="x", method=method, rid="7") == {"event": "x", "rid": "7"}
        with pytest.raises(structlog.DropEvent):
            run(sample, event="x", rid="7")
        assert run(Sample(10**9, keep_from="INFO"), rid="7") == {"rid": "7"}

    def test_sample_keeps_one_in_n_requests_and_says_so(self) -> None:
        kept = {rid for rid in range(10_000) if self.is_kept(Sample(10), rid=f"request-{rid}")}
        assert 800 < len(kept) < 1200
        again = {rid for rid in range(10_000) if self.is_kept(Sample(10), rid=f"request-{rid}")}
        assert kept == again

    @staticmethod
    def is_kept(sample: Sample, **event: Any) -> bool:
        try:
            got = run(sample, event)
        except structlog.DropEvent:
            return False
        assert got["sample_rate"] == sample.rate
        return True

    def test_sample_is_the_same_in_every_process(self) -> None:
        # By the crc32 of the id, which is the same in every process.
        assert [n for n in range(40) if self.is_kept(Sample(4), rid=f"r{n}")] == [
            n for n in range(40) if __import__("zlib").crc32(f"r{n}".encode()) < 2**30
        ]

    def test_sample_keeps_those_of_a_higher_rate_at_a_lower_one(self) -> None:
        rare = {n for n in range(2000) if self.is_kept(Sample(100), rid=f"r{n}")}
        often = {n for n in range(2000) if self.is_kept(Sample(10), rid=f"r{n}")}
        assert rare < often

    def test_sample_takes_the_id_from_the_context(self) -> None:
        inside = next(n for n in range(100) if self.is_kept(Sample(10), rid=f"r{n}"))
        outside = next(n for n in range(100) if not self.is_kept(Sample(10), rid=f"r{n}"))
        for number, is_kept in ((inside, True), (outside, False)):
            context.request_id_context.set(f"r{number}")
            assert self.is_kept(Sample(10)) is is_kept

    def test_sample_goes_by_chance_without_an_id(self, monkeypatch: pytest.MonkeyPatch) -> None:
        drawn = iter([0, 2**32 - 1])
        monkeypatch.setattr("random.randrange", lambda _: next(drawn))
        assert [self.is_kept(Sample(10)), self.is_kept(Sample(10))] == [True, False]

    def test_sample_goes_by_another_key(self) -> None:
        assert self.is_kept(Sample(1_000_000, key="user"), user=0) is (
            __import__("zlib").crc32(b"0") * 1_000_000 < 2**32
        )

    def test_sample_of_one_keeps_everything_without_a_word(self) -> None:
        assert run(Sample(1), event="x") == {"event": "x"}

    def test_sample_is_a_filter_of_logging(self) -> None:
        sample = Sample(10)
        logger = logging.Logger("app", 1)
        capture = Capture()
        logger.addHandler(capture.handler)
        capture.handler.addFilter(sample)
        for number in range(100):
            logger.info("x", extra={"rid": f"r{number}"})
        logger.error("always", extra={"rid": "r"})
        *kept, last = capture.fields
        assert {got["rid"] for got in kept} == {
            f"r{n}" for n in range(100) if self.is_kept(Sample(10), rid=f"r{n}")
        }
        assert {got["sample_rate"] for got in kept} == {10}
        assert last == {"rid": "r", "msg": "always"}

    def test_sample_takes_an_empty_id_for_none_and_a_level_that_is_none_for_low(self) -> None:
        made = record("x", level=None, rid="r")
        kept = {n for n in range(200) if self.is_kept(Sample(2), rid="")}
        assert 40 < len(kept) < 160
        assert Sample(10**9).filter(made) is False

    @pytest.mark.parametrize(
        ("rate", "options", "message"),
        [(0, {}, "one in how many"), (0.5, {}, "one in how many"), (True, {}, "one in how many"),
         (2, {"keep_from": "loud"}, "must be a level's name or number")],
    )  # fmt: skip
    def test_sample_refuses_what_is_no_rate_or_level(
        self, rate: Any, options: Any, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            Sample(rate, **options)


class TestInFormatters:
    @pytest.mark.parametrize("kind", [MozlogFormatter, CloudFormatter])
    def test_in_formatters_see_fields_as_an_event(self, kind: Any) -> None:
        seen = []

        def see(logger: Any, method: str, event: Any) -> Any:
            seen.append((method, dict(event)))
            event["event"] = event["event"].upper()
            return {**event, "added": True}

        formatter = kind(processors=[see], static_fields={"env": "prod"}, rename_fields={"a": "b"})
        made = record("hi %s", "there", a=1, level=logging.WARNING)
        with context.bound(user="ann"):
            got = fields(formatter, made)
        assert got == {"env": "prod", "user": "ann", "b": 1, "added": True, "msg": "HI THERE"}
        method, event = seen[0]
        assert method == "warning"
        assert event.pop("_record") is made
        assert event == {
            "env": "prod", "user": "ann", "a": 1, "event": "hi there", "_from_structlog": False,
        }  # fmt: skip

    @pytest.mark.parametrize("logger", [None, structlog])
    def test_in_formatters_a_renderer_that_takes_the_message_out_does_not_lose_it(
        self, logger: Any, untouched_process: None, unconfigured_structlog: None
    ) -> None:
        def pops_and_raises(_: Any, __: str, event: Any) -> Any:
            event.pop("event")
            raise ValueError("no color")

        for renderer in (structlog.dev.ConsoleRenderer(colors=False), pops_and_raises):
            stream = io.StringIO()
            mozlog_py.configure("shop", format="mozlog", stream=stream, processors=[renderer])
            if logger is None:
                logging.getLogger("shop").info("the message", extra={"a": 1})
            else:
                structlog.get_logger("shop").info("the message", a=1)
            (line,) = checked_lines(stream.getvalue())
            assert line["Fields"]["msg"] == "the message"
            assert line["Fields"]["a"] == 1
            assert "mozlog.degraded" in line["Fields"]

    def test_in_formatters_names_that_cannot_be_compared_lose_nothing(self) -> None:
        class Name:
            def __eq__(self, other: object) -> Any:
                return self

            def __bool__(self) -> bool:
                raise TypeError("ambiguous")

            def __hash__(self) -> int:
                return 8

            def __repr__(self) -> str:
                return "Name()"

        formatter = MozlogFormatter(processors=[Redact()])
        made = record("the message", user="ann")
        vars(made)[Name()] = 1  # type: ignore[index]
        assert fields(formatter, made) == {"user": "ann", "Name()": 1, "msg": "the message"}

    def test_in_formatters_names_of_bytes_lose_nothing_if_python_forbids_to_compare_them(
        self,
    ) -> None:
        code = """
import logging, mozlog_py
from mozlog_py.processors import Redact
mozlog_py.configure("shop", format="mozlog", processors=[Redact()])
logging.getLogger("shop").error("the message", extra={b"name": 1, "user": "ann"})
"""
        done = subprocess.run(
            [sys.executable, "-bb", "-c", code], capture_output=True, check=True, timeout=60
        )
        (line,) = checked_lines(done.stdout)
        assert line["Fields"]["msg"] == "the message"
        assert line["Fields"]["user"] == "ann"

    def test_in_formatters_see_exceptions_as_text(self) -> None:
        seen = []

        def see(logger: Any, method: str, event: Any) -> Any:
            seen.append(event["error"])
            return event

        try:
            raise ValueError("boom")
        except ValueError as error:
            made = record("failed", exc_info=(type(error), error, error.__traceback__))
        got = fields(MozlogFormatter(processors=[see]), made)
        assert seen[0] == got["error"] == "ValueError('boom')"

    @pytest.mark.parametrize(
        ("renderer", "kind"),
        [
            (structlog.processors.ExceptionRenderer(WITHOUT_LOCALS), list),
            (structlog.processors.format_exc_info, str),
            (structlog.processors.ExceptionRenderer(lambda _: {"kind": "own"}), dict),
        ],
        ids=["dict_tracebacks", "format_exc_info", "own"],
    )
    @pytest.mark.parametrize("before", [[], [Redact(values=["tulip-77"]), CapLengths(), flatten]])
    def test_in_formatters_that_render_exceptions_do_so_for_records_and_events_alike(
        self, renderer: Any, kind: type, before: list[Any], untouched_process: None
    ) -> None:
        stream = io.StringIO()
        mozlog_py.configure("shop", stream=stream, processors=[*before, renderer])
        for fail in (structlog.get_logger("shop").exception, logging.getLogger("shop").exception):
            try:
                raise ValueError("tulip-77")
            except ValueError:
                fail("failed")
        of_event, of_record = (line["Fields"] for line in checked_lines(stream.getvalue()))
        assert type(of_event["traceback"]) is kind
        assert of_record == of_event
        assert ("tulip-77" in stream.getvalue()) is (not before)

    @pytest.mark.parametrize(
        "processor",
        [
            lambda _, __, event: event,
            lambda _, __, event: {k: v for k, v in event.items() if k != "exc_info"},
            lambda _, __, event: {**event, "exc_info": "a text"},
            lambda _, __, event: {**event, "exc_info": False},
            Redact(),
            flatten,
            drop_none,
            CapLengths(100_000),
        ],
    )
    def test_in_formatters_that_render_no_exception_leave_it_as_it_is(self, processor: Any) -> None:
        try:
            raise ValueError("boom")
        except ValueError as error:
            made = record("failed", exc_info=(type(error), error, error.__traceback__))
        vars(made)["exception"] = "a field"
        usual = fields(MozlogFormatter(), made)
        assert fields(MozlogFormatter(processors=[processor]), made) == usual
        assert usual["exception"] == "a field"

    @pytest.mark.parametrize(
        "renderer", [structlog.processors.format_exc_info, structlog.processors.dict_tracebacks]
    )
    def test_in_formatters_that_render_exceptions_keep_a_field_of_that_name(
        self, renderer: Any
    ) -> None:
        try:
            raise ValueError("boom")
        except ValueError as error:
            made = record("failed", exc_info=(type(error), error, error.__traceback__))
        vars(made)["exception"] = "a field"
        found = fields(MozlogFormatter(processors=[renderer]), made)
        assert found["extra.exception"] == "a field"
        assert "exception" not in found

    @pytest.mark.parametrize("is_behind", [True, False])
    @pytest.mark.parametrize(
        "renderer", [structlog.processors.format_exc_info, structlog.processors.dict_tracebacks]
    )
    @pytest.mark.parametrize(
        ("hide", "left"),
        [
            (lambda event: {**event, "error": "hidden", "traceback": "hidden"}, "hidden"),
            (
                lambda event: {k: v for k, v in event.items() if k not in ("error", "traceback")},
                None,
            ),
        ],
    )
    def test_in_formatters_that_hide_an_exception_hide_it_beside_those_that_render_it(
        self, hide: Any, left: Any, renderer: Any, is_behind: bool
    ) -> None:
        try:
            raise ValueError("tulip-77")
        except ValueError as error:
            made = record("failed", exc_info=(type(error), error, error.__traceback__))
        chain = [lambda _, __, event: hide(event), renderer]
        found = fields(MozlogFormatter(processors=chain[::-1] if is_behind else chain), made)
        assert (found.get("error"), found.get("traceback")) == (left, left)
        assert "tulip-77" not in str(found)

    def test_in_formatters_get_no_exception_that_the_line_does_not_show(self) -> None:
        seen: list[Any] = []

        def see(_: Any, __: str, event: Any) -> Any:
            seen.append(event.get("exc_info"))
            return event

        class Silent(MozlogFormatter):
            def add_fields(self, log_data: Any, record: Any, message_dict: Any) -> None:
                message_dict.pop("traceback", None)
                super().add_fields(log_data, record, message_dict)

        try:
            raise ValueError("boom")
        except ValueError as error:
            triple = (type(error), error, error.__traceback__)
        formatter = Silent(processors=[see, structlog.processors.dict_tracebacks])
        assert "traceback" not in fields(formatter, record("failed", exc_info=triple))
        fields(MozlogFormatter(processors=[see]), record("fine"))
        assert {*seen} == {None}
        seen.clear()
        with context.bound(exc_info="of the context"):
            fields(MozlogFormatter(processors=[see]), record("failed", exc_info=triple))
        assert {*seen} == {"of the context"}

    def test_in_formatters_of_structlog_leave_no_traces_of_their_own(self) -> None:
        formatter = MozlogFormatter(
            processors=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_log_level_number,
                structlog.processors.TimeStamper(fmt="iso"),
            ]
        )
        got = checked(formatter.format(record("hi")))["Fields"]
        assert got.keys() == {"Time", "msg"}

    def test_in_formatters_keep_fields_of_the_user_that_are_named_like_theirs(self) -> None:
        formatter = MozlogFormatter(processors=[flatten])
        made = record("hi")
        vars(made).update(level="third floor", timestamp="noon", logger={"a": 1})
        assert fields(formatter, made) == {
            "level": "third floor", "timestamp": "noon", "logger.a": 1, "msg": "hi",
        }  # fmt: skip

    def test_in_formatters_that_raise_are_left_out(self) -> None:
        class Broken:
            def __call__(self, *_: Any) -> Any:
                raise LookupError

        got = fields(MozlogFormatter(processors=[Broken(), Redact()]), record("hi", token="t"))
        assert got == {
            "token": "[redacted]", "msg": "hi", "mozlog.degraded": "Broken raised LookupError",
        }  # fmt: skip

    @pytest.mark.parametrize("front", ["formatter", "fast logger"])
    @pytest.mark.parametrize(
        ("kind", "first", "later"),
        [
            ("none", "none returned no event dict but None; end it with `return event_dict`",
             "none returned no event dict"),
            ("text", "text returned no event dict but str; end it with `return event_dict`",
             "text returned no event dict"),
            ("one", ONE_ARGUMENT, "one raised TypeError"),
            ("divide", "divide raised ZeroDivisionError: division by zero",
             "divide raised ZeroDivisionError"),
            ("own_type_error", "own_type_error raised TypeError: mine",
             "own_type_error raised TypeError"),
        ],
    )  # fmt: skip
    @pytest.mark.usefixtures("untouched_process")
    def test_in_formatters_that_do_not_work_say_why_in_the_first_line_and_their_name_in_all(
        self, front: str, kind: str, first: str, later: str
    ) -> None:
        def none(logger: Any, method: str, event: Any) -> Any:
            event["a"] = 1

        def text(logger: Any, method: str, event: Any) -> Any:
            return "text"

        def one(event: Any) -> Any:
            return event

        def divide(logger: Any, method: str, event: Any) -> Any:
            return 1 / 0

        def own_type_error(logger: Any, method: str, event: Any) -> Any:
            raise TypeError("mine")

        processor = locals()[kind]
        processor.__qualname__ = kind
        stream = io.StringIO()
        mozlog_py.configure("shop", stream=stream, processors=[processor])
        log: Any = logging.getLogger("a") if front == "formatter" else structlog.get_logger("a")
        for _ in range(3):
            log.warning("hi")
        said = [line["Fields"]["mozlog.degraded"] for line in checked_lines(stream.getvalue())]
        assert said == [first, later, later]

    def test_in_formatters_whose_first_line_is_dropped_say_why_in_the_next(self) -> None:
        drops = iter([True, False, False])

        def broken(logger: Any, method: str, event: Any) -> Any:
            raise LookupError("no shelf 7")

        def drop(logger: Any, method: str, event: Any) -> Any:
            if next(drops):
                raise structlog.DropEvent
            return event

        capture = Capture()
        capture.handler.setFormatter(MozlogFormatter(processors=[broken, drop]))
        for _ in range(3):
            capture.logger.info("hi")
        said = [each["mozlog.degraded"].rpartition(".")[2] for each in capture.fields]
        assert said == ["broken raised LookupError: no shelf 7", "broken raised LookupError"]

    @pytest.mark.parametrize("order", [1, -1])
    def test_in_formatters_do_not_quote_an_event_that_is_redacted(self, order: int) -> None:
        def quoting(logger: Any, method: str, event: Any) -> Any:
            raise ValueError(f"bad {event}")

        processors: list[Any] = [quoting, Redact()][::order]
        got = fields(MozlogFormatter(processors=processors), record("hi", password="tulip"))
        assert got["mozlog.degraded"].endswith("quoting raised ValueError")
        assert "tulip" not in str(got)

    def test_in_formatters_may_raise_what_has_no_text(self) -> None:
        class Unprintable(Exception):
            def __str__(self) -> str:
                raise KeyboardInterrupt

        def broken(logger: Any, method: str, event: Any) -> Any:
            raise Unprintable

        capture = Capture()
        capture.handler.setFormatter(MozlogFormatter(processors=[broken]))
        with pytest.raises(KeyboardInterrupt):
            capture.logger.info("hi")
        assert "raised" in capture.fields[0]["mozlog.degraded"]

    def test_in_formatters_that_interrupt_do_so_after_the_line(self) -> None:
        def interrupting(*_: Any) -> Any:
            raise KeyboardInterrupt

        capture = Capture()
        capture.handler.setFormatter(MozlogFormatter(processors=[interrupting]))
        with pytest.raises(KeyboardInterrupt):
            capture.logger.info("hi")
        assert capture.fields[0]["msg"] == "hi"

    def test_in_formatters_may_make_a_message_of_another_kind(self) -> None:
        def to_dict(logger: Any, method: str, event: Any) -> Any:
            return {**event, "event": {"a": 1}}

        def to_none(logger: Any, method: str, event: Any) -> Any:
            return {**event, "event": None}

        assert fields(MozlogFormatter(processors=[to_dict]), record("hi")) == {"a": 1}
        assert fields(MozlogFormatter(processors=[to_none]), record("hi", a=1)) == {"a": 1}

    @pytest.mark.parametrize("kind", [MozlogFormatter, CloudFormatter, PrettyFormatter])
    def test_in_formatters_can_drop_a_record_with_our_handler(self, kind: Any) -> None:
        capture = Capture()
        capture.handler.setFormatter(kind(processors=[Sample(10**9)]))
        capture.logger.info("dropped", extra={"rid": "7"})
        capture.logger.error("kept", extra={"rid": "7"})
        shown = capture.stream.getvalue()
        assert "dropped" not in shown
        assert "kept" in shown
        assert capture.handler.lost == 0

    @pytest.mark.parametrize("kind", [MozlogFormatter, PrettyFormatter])
    def test_in_formatters_lose_nothing_with_another_handler_that_cannot_drop(
        self, kind: Any
    ) -> None:
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(kind(processors=[Sample(10**9)]))
        handler.handle(record("kept after all", rid="7"))
        assert "kept after all" in stream.getvalue()

    def test_in_formatters_can_drop_what_a_subclass_converts(self) -> None:
        class Own(MozlogFormatter):
            def convert_record(self, made: logging.LogRecord) -> dict[str, Any]:
                return {**super().convert_record(made), "Own": 1}

        capture = Capture()
        capture.handler.setFormatter(Own(processors=[Sample(10**9)]))
        capture.logger.info("dropped", extra={"rid": "7"})
        capture.logger.error("kept")
        assert [line["Own"] for line in capture.lines] == [1]
        assert render(Own(processors=[Sample(10**9)]), record("kept", rid="7"))["Fields"] == {
            "rid": "7", "msg": "kept",
        }  # fmt: skip

    @pytest.mark.parametrize("processors", [[Redact], [7], "flatten", [None]])
    def test_in_formatters_are_refused_where_they_are_none(self, processors: Any) -> None:
        with pytest.raises(TypeError, match="no processor"):
            MozlogFormatter(processors=processors)

    def test_in_formatters_work_from_a_dict_config(self) -> None:
        import logging.config

        logging.config.dictConfig(
            {
                "version": 1,
                "disable_existing_loggers": False,
                "formatters": {
                    "m": {
                        "()": "mozlog_py.MozlogFormatter",
                        "processors": [Redact(), "ext://mozlog_py.processors.flatten"],
                    }
                },
                "handlers": {
                    "h": {"class": "mozlog_py.MozlogHandler", "stream": (stream := io.StringIO()),
                          "formatter": "m"}
                },
                "loggers": {"test.processors": {"handlers": ["h"], "propagate": False}},
            }
        )  # fmt: skip
        logger = logging.getLogger("test.processors")
        logger.warning("hi", extra={"user": {"token": 1, "id": 2}})
        logger.handlers.clear()
        (line,) = checked_lines(stream.getvalue())
        assert line["Fields"] == {"user.token": "[redacted]", "user.id": 2, "msg": "hi"}


class TestInStructlog:
    def test_recipe_with_json_renderer(self) -> None:
        file = io.StringIO()
        structlog.configure(
            processors=[
                merge_context, add_severity, StaticFields(env="prod"), Redact(), flatten,
                CapLengths(5), drop_none, structlog.processors.JSONRenderer(sort_keys=True),
            ],
            logger_factory=structlog.PrintLoggerFactory(file),
        )  # fmt: skip
        try:
            with context.bound(user={"id": 7, "password": "x"}):
                structlog.get_logger().warning("hi", none=None, long="a" * 9)
        finally:
            structlog.reset_defaults()
        assert file.getvalue() == (
            '{"env": "prod", "event": "hi", "long": "aaa... <cut, 9 characters> ...aa", '
            '"severity": 4, "user.id": 7, "user.password": "[re... <cut, 10 characters> ...d]"}\n'
        )
