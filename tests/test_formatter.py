"""MozlogFormatter: the envelope, the Fields, its options and call forms."""

import configparser
import copy
import importlib
import io
import json
import logging
import logging.config
import os
import pickle
import socket
import sys
import time
import types
from collections.abc import Callable
from typing import Any

import hostile
import pytest
import structlog
from conformance import Capture, checked, checked_lines, fields, record, render
from pythonjsonlogger.core import RESERVED_ATTRS, BaseJsonFormatter

import mozlog_py
from mozlog_py import MozlogFormatter, context
from mozlog_py._config.options import OptionError
from mozlog_py._fields.event_record import EventRecord
from mozlog_py._fields.from_record import LoggerName, recovered_ns
from mozlog_py.gcp import CloudFormatter
from mozlog_py.pretty import PrettyFormatter
from mozlog_py.processors import Redact, Sample, flatten
from mozlog_py.structlog import MozlogRenderer


class TestEnvelope:
    def test_envelope_holds_the_keys_of_mozlog_in_their_order(self) -> None:
        line = render(MozlogFormatter(), record())
        assert list(line) == [
            "Timestamp",
            "Type",
            "Logger",
            "Hostname",
            "EnvVersion",
            "Severity",
            "Pid",
            "Fields",
        ]

    def test_envelope_says_who_logged_what_where(self) -> None:
        line = render(MozlogFormatter(logger_name="shop"), record(name="shop.cart"))
        assert line["Type"] == "shop.cart"
        assert line["Logger"] == "shop"
        assert line["Hostname"] == socket.gethostname()
        assert line["EnvVersion"] == "2.0"
        assert line["Pid"] == os.getpid()
        assert line["Fields"] == {"msg": "hello"}

    @pytest.mark.parametrize(
        ("level", "severity"),
        [(10, 7), (20, 6), (25, 5), (30, 4), (35, 4), (40, 3), (50, 2), (60, 1), (70, 0), (-5, 7)],
    )
    def test_envelope_gives_the_syslog_severity_of_every_level(
        self, level: int, severity: int
    ) -> None:
        assert render(MozlogFormatter(), record(level=level))["Severity"] == severity

    @pytest.mark.parametrize("level", [None, "INFO", [], {}, float("nan")])
    def test_envelope_takes_a_level_that_is_no_number_for_debug(self, level: Any) -> None:
        made = record()
        made.levelno = level
        assert render(MozlogFormatter(), made)["Severity"] == 7

    def test_envelope_has_the_time_of_the_record_in_nanoseconds(self) -> None:
        before = time.time_ns()
        made = record()
        after = time.time_ns()
        timestamp = render(MozlogFormatter(), made)["Timestamp"]
        # A float holds the seconds since the epoch to about 240 ns.
        assert before - 500 <= timestamp <= after + 500

    def test_envelope_believes_created_where_it_was_set(self) -> None:
        made = record(created=1234567890.5)
        assert render(MozlogFormatter(), made)["Timestamp"] == 1234567890_500000000

    @pytest.mark.parametrize(
        ("created", "timestamp"),
        [(-1.0, 0), (1e300, 2**63 - 1), (float("inf"), 2**63 - 1), (float("-inf"), 0)],
    )
    def test_envelope_clamps_a_time_out_of_bounds(self, created: float, timestamp: int) -> None:
        assert render(MozlogFormatter(), record(created=created))["Timestamp"] == timestamp

    @pytest.mark.parametrize("created", [float("nan"), "yesterday", None])
    def test_envelope_takes_the_present_for_a_time_that_is_none(self, created: Any) -> None:
        timestamp = render(MozlogFormatter(), record(created=created))["Timestamp"]
        assert abs(timestamp - time.time_ns()) < 60_000_000_000

    @pytest.mark.parametrize("pid", [None, -1, "12", 2**40, True, 1.5])
    def test_envelope_takes_this_process_for_a_pid_that_is_none(self, pid: Any) -> None:
        assert render(MozlogFormatter(), record(process=pid))["Pid"] == os.getpid()

    def test_envelope_keeps_the_pid_of_a_record_from_another_process(self) -> None:
        formatter = MozlogFormatter()
        assert render(formatter, record(process=4242))["Pid"] == 4242
        assert render(formatter, record())["Pid"] == os.getpid()

    def test_envelope_has_the_childs_pid_after_a_fork(self) -> None:
        formatter = MozlogFormatter()
        made = record(process=None)
        assert render(formatter, made)["Pid"] == os.getpid()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(writer, formatter.format_bytes(made))
            finally:
                os._exit(0)
        os.close(writer)
        os.waitpid(child, 0)
        with io.FileIO(reader) as pipe:
            assert checked(pipe.readall())["Pid"] == child

    @pytest.mark.parametrize(
        ("name", "shown"),
        [
            ("lone \ud800", "lone \\ud800"),
            ("new\nline", "new\nline"),
            ("100%d", "100%d"),
            (None, "root"),
            (7, "7"),
        ],
    )
    def test_envelope_survives_any_logger_name(self, name: Any, shown: str) -> None:
        assert render(MozlogFormatter(), record(name=name))["Type"] == shown

    @pytest.mark.slow
    def test_envelope_does_not_grow_with_the_number_of_loggers(self) -> None:
        formatter = MozlogFormatter()
        for number in range(3000):
            assert render(formatter, record(name=f"user-{number}"))["Type"] == f"user-{number}"

    def test_names_the_host_unknown_where_it_has_no_name(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail() -> str:
            raise OSError("no name")

        monkeypatch.setattr(socket, "gethostname", fail)
        assert render(MozlogFormatter(), record())["Hostname"] == "unknown"


class TestRecoveredNanoseconds:
    def test_recovered_nanoseconds_are_exact_where_both_floats_agree(self) -> None:
        start, logged = 1_700_000_000_000_000_000, 1_700_000_360_123_456_789
        relative_ms = (logged - start) / 1e6
        assert recovered_ns(logged / 1e9, relative_ms, start) == logged

    def test_recovered_nanoseconds_are_those_of_created_where_the_record_is_anothers(self) -> None:
        assert recovered_ns(1234567890.5, 17.0, 1_700_000_000_000_000_000) == 1234567890_500000000

    @pytest.mark.parametrize("days", [-49, -1, 0, 1, 49])
    def test_recovered_nanoseconds_are_exact_near_the_start_of_the_process(self, days: int) -> None:
        start = 1_700_000_000_000_000_000
        for odd in (0, 1, 499, 500, 501, 999_999_999):
            logged = start + days * 86_400_000_000_000 + odd
            assert recovered_ns(logged / 1e9, (logged - start) / 1e6, start) == logged

    @pytest.mark.parametrize("microseconds", [0, 1, 123_456, 999_999])
    @pytest.mark.parametrize("seconds", [0, 1_577_836_800, 1_906_545_600, 4_102_444_800])
    def test_recovered_nanoseconds_of_a_clock_that_stands_far_away_are_whole_microseconds(
        self, seconds: int, microseconds: int
    ) -> None:
        start = 1_700_000_000_123_456_789
        logged = seconds * 10**9 + microseconds * 1000
        assert recovered_ns(logged / 1e9, (logged - start) / 1e6, start) == logged

    def test_recovered_nanoseconds_of_a_process_that_is_old_are_nearly_exact(self) -> None:
        start = 1_700_000_000_000_000_000
        for logged in range(start + 2**54 + 1, start + 2**54 + 10**9, 12_345_679):
            got = recovered_ns(logged / 1e9, (logged - start) / 1e6, start)
            assert abs(got - logged) <= 6

    def test_recovered_nanoseconds_of_an_event_of_structlog_go_through_a_formatter_whole(
        self,
    ) -> None:
        exact = 1_700_000_360_123_456_789
        event = EventRecord(exact, "app", 20, {}, {"msg": "x"}, None, is_complete=False)
        assert render(MozlogFormatter(), event)["Timestamp"] == exact
        event.created = 5.0
        assert render(MozlogFormatter(), event)["Timestamp"] == 5_000_000_000

    @pytest.mark.skipif(
        sys.version_info < (3, 13), reason="records have no nanoseconds before 3.13"
    )
    def test_recovered_nanoseconds_stand_in_the_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        exact = time.time_ns() // 1000 * 1000 + 123
        monkeypatch.setattr(time, "time_ns", lambda: exact)
        made = record()
        monkeypatch.undo()
        assert render(MozlogFormatter(), made)["Timestamp"] == exact


class TestMessage:
    def test_message_is_formatted_with_its_arguments(self) -> None:
        assert fields(MozlogFormatter(), record("%s is %d", "x", 3)) == {"msg": "x is 3"}
        assert fields(MozlogFormatter(), record("%(a)s", {"a": 1})) == {"msg": "1"}

    def test_and_arguments_that_do_not_fit_are_shown_side_by_side(self) -> None:
        assert fields(MozlogFormatter(), record("%d of %d", "x")) == {
            "msg": "%d of %d ('x',)",
            "mozlog.degraded": "message and arguments do not fit",
        }
        assert fields(MozlogFormatter(), record("no place", 1, 2))["msg"] == "no place (1, 2)"

    def test_message_that_is_no_string_is_shown_as_one(self) -> None:
        assert fields(MozlogFormatter(), record(42)) == {"msg": "42"}
        assert fields(MozlogFormatter(), record(ValueError("x"))) == {"msg": "x"}
        assert fields(MozlogFormatter(), record(None)) == {"msg": "None"}

    def test_message_whose_str_raises_is_a_marker(self) -> None:
        class Broken:
            def __str__(self) -> str:
                raise LookupError("no")

        got = fields(MozlogFormatter(), record(Broken()))
        assert got["msg"] == "<unprintable Broken: LookupError>"
        assert "mozlog.degraded" in got

    def test_message_that_is_empty_gives_no_field(self) -> None:
        assert fields(MozlogFormatter(), record("")) == {}
        assert fields(MozlogFormatter(), record("", code=200)) == {"code": 200}

    def test_message_that_is_a_json_object_becomes_fields(self) -> None:
        made = record('{"a": 1, "msg": "inner", "nested": {"b": [1, null]}}', c=2)
        expected = {"a": 1, "msg": "inner", "nested": {"b": [1, None]}, "c": 2}
        assert fields(MozlogFormatter(), made) == expected

    @pytest.mark.parametrize(
        "message",
        ["{not json}", "{}x", "{", "[1, 2]", '{"a": NaN}', '{"a": "\\ud800"}', "{'a': 1}"],
    )
    def test_message_that_only_looks_like_one_stays_a_message(self, message: str) -> None:
        assert fields(MozlogFormatter(), record(message)) == {"msg": message}

    def test_message_that_is_json_keeps_every_digit_of_a_long_integer(self) -> None:
        digits = "123456789012345678901234567890"
        made = record(f'{{"n": {digits}, "m": 1234567890123456789, "x": 1e400}}')
        got = fields(MozlogFormatter(), made)
        assert got == {"n": digits, "m": 1234567890123456789, "x": "Infinity"}
        assert fields(MozlogFormatter(), record(f'{{"n": {digits}, "x": NaN}}')) == {
            "msg": f'{{"n": {digits}, "x": NaN}}'
        }

    def test_message_that_is_a_dict_with_a_broken_key_keeps_the_others(self) -> None:
        key = hostile.RaisingHash()
        logged = {key: 1, "a": 2}
        key.is_armed = True
        got = fields(MozlogFormatter(), record(logged))
        assert got == {"<broken key>": "<RaisingHash: Hostile>", "a": 2}

    def test_message_that_is_a_dict_becomes_fields(self) -> None:
        logged = {"a": 1, "when": None}
        assert fields(MozlogFormatter(), record(logged, b=2)) == {"a": 1, "b": 2}
        assert logged == {"a": 1, "when": None}

    def test_message_of_a_record_class_of_its_own_is_what_that_one_says(self) -> None:
        class Braces(logging.LogRecord):
            def getMessage(self) -> str:
                return str(self.msg).format(*(self.args or ()))

        made = Braces("app", 20, "", 1, "{} and {}", (1, 2), None)
        made.user = "ann"
        assert fields(MozlogFormatter(), made) == {"user": "ann", "msg": "1 and 2"}

    def test_message_holds_no_character_that_acts_on_a_terminal_or_a_line(self) -> None:
        hostile = "\x00\x1b[31m\x7f\x85\x9b\u2028\u2029\r\n"
        made = record(hostile, **{f"key{hostile}": hostile})
        text = MozlogFormatter().format(made)
        assert text.isascii()
        assert text.isprintable()
        assert fields(MozlogFormatter(), made) == {f"key{hostile}": hostile, "msg": hostile}

    def test_message_keeps_letters_of_every_script_as_they_are(self) -> None:
        text = MozlogFormatter().format(record("žluťoučký 馬 🦊"))
        assert '"msg":"žluťoučký 馬 🦊"' in text


class TestReplacedGetMessage:
    """A tracer replaces ``LogRecord.getMessage``, to add its ids to the message."""

    @pytest.mark.parametrize(
        "made",
        [
            lambda: record("paid"),
            lambda: record("paid %s", "ann"),
            lambda: record("paid", user="ann"),
            lambda: record(["paid"]),
        ],
        ids=["text", "arguments", "extra", "object"],
    )
    def test_message_is_that_of_the_replacement(
        self, made: Callable[[], logging.LogRecord], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original = logging.LogRecord.getMessage
        monkeypatch.setattr(
            logging.LogRecord, "getMessage", lambda self: f"{original(self)} [trace-7]"
        )
        message = fields(MozlogFormatter(), made())["msg"]
        assert message == f"{original(made())} [trace-7]"


class TestExtra:
    def test_extra_becomes_fields(self) -> None:
        made = record(path="/x", code=200, ratio=0.5, ok=True)
        expected = {"path": "/x", "code": 200, "ratio": 0.5, "ok": True, "msg": "hello"}
        assert fields(MozlogFormatter(), made) == expected

    def test_extra_that_is_none_is_left_out(self) -> None:
        assert fields(MozlogFormatter(), record(uid=None, code=1)) == {"code": 1, "msg": "hello"}

    def test_extra_never_passes_for_the_envelope(self) -> None:
        spoof = {"Timestamp": 1, "Type": "t", "Logger": "l", "Severity": 0, "Pid": 1, "Fields": {}}
        made = record(**spoof)
        line = render(MozlogFormatter(), made)
        assert line["Fields"] == {**spoof, "msg": "hello"}
        assert (line["Type"], line["Logger"], line["Severity"]) == ("app", "Dockerflow", 6)

    def test_named_logger_name_stays_in_fields(self) -> None:
        line = render(MozlogFormatter(logger_name="real"), record(logger_name="fake"))
        assert line["Logger"] == "real"
        assert line["Fields"] == {"logger_name": "fake", "msg": "hello"}

    def test_extra_with_the_name_of_one_of_our_fields_is_kept_beside_it(self) -> None:
        made = record(exc_info=error(), error="mine", traceback="too")
        got = fields(MozlogFormatter(), made)
        assert got["error"] == "ValueError('boom')"
        assert got["traceback"].startswith("Uncaught exception:")
        assert (got["extra.error"], got["extra.traceback"]) == ("mine", "too")

    def test_extra_with_such_a_name_is_left_alone_where_there_is_no_clash(self) -> None:
        got = fields(MozlogFormatter(), record(error="mine"))
        assert got == {"error": "mine", "msg": "hello"}

    def test_extra_of_other_formatters_is_no_field(self) -> None:
        made = record(user="ann")
        logging.Formatter("%(asctime)s %(message)s").format(made)
        made.later = 1
        assert fields(MozlogFormatter(), made) == {"user": "ann", "later": 1, "msg": "hello"}

    def test_extra_is_found_although_a_standard_attribute_was_taken_away(self) -> None:
        made = record(user="ann")
        del made.threadName
        assert fields(MozlogFormatter(), made) == {"user": "ann", "msg": "hello"}

    def test_extra_is_found_although_the_last_standard_attribute_was_set_again(self) -> None:
        formatter = MozlogFormatter()
        fields(formatter, record())
        made = record(user="ann")
        for name in ("process", "taskName"):
            if name in vars(made):
                setattr(made, name, vars(made).pop(name))
        assert fields(formatter, made) == {"user": "ann", "msg": "hello"}

    def test_extra_that_clashes_with_the_name_for_clashes_is_kept_too(self) -> None:
        made = record(exc_info=error(), **{"error": 1, "extra.error": 2})
        got = fields(MozlogFormatter(), made)
        assert {got["extra.error"], got["extra.error_2"]} == {1, 2}

    @pytest.mark.parametrize("value", [5, ["a"], "earlier"])
    def test_named_like_the_field_for_losses_costs_no_record(self, value: Any) -> None:
        made = record("%d", "x", **{"mozlog.degraded": value})
        got = fields(MozlogFormatter(), made)
        assert got["msg"] == "%d ('x',)"
        if value == "earlier":
            assert got["mozlog.degraded"] == "earlier; message and arguments do not fit"
        else:
            assert got["extra.mozlog.degraded"] == value
            assert got["mozlog.degraded"] == "message and arguments do not fit"
        assert MozlogFormatter().convert_record(made)["Fields"] == got

    def test_extra_is_not_changed_by_rendering_it(self) -> None:
        made = record("%s", 1, items=[1, {"a": {2}}], exc_info=error())
        before = dict(vars(made))
        for formatter in (MozlogFormatter(), MozlogFormatter(timestamp=True, strict=True)):
            render(formatter, made)
        assert vars(made) == before

    @pytest.mark.parametrize("count", [999, 1000, 1001, 5000])
    def test_extra_is_capped_and_counted(self, count: int) -> None:
        made = record(**{f"k{number}": number for number in range(count)})
        got = fields(MozlogFormatter(), made)
        # The message is a field too.
        assert got["msg"] == "hello"
        failed = record(exc_info=error(), **{f"k{number}": number for number in range(count)})
        assert fields(MozlogFormatter(), failed)["error"] == "ValueError('boom')"
        if count < 1000:
            assert len(got) == count + 1
        else:
            assert got["<more>"] == f"<{count + 1 - 1000} more items>"
            assert got["mozlog.degraded"] == "items dropped"


class TestException:
    def test_exception_has_its_repr_and_its_traceback(self) -> None:
        got = fields(MozlogFormatter(), record("failed", exc_info=error()))
        assert got["error"] == "ValueError('boom')"
        assert got["traceback"].startswith('Uncaught exception:\n  File "')
        assert got["traceback"].endswith("<class 'ValueError'>\nValueError('boom')\n")
        assert "in error" in got["traceback"]

    @pytest.mark.parametrize("exc_info", [(None, None, None), False, None, 0, ()])
    def test_exception_that_is_none_gives_no_error(self, exc_info: Any) -> None:
        assert fields(MozlogFormatter(), record(exc_info=exc_info)) == {"msg": "hello"}

    def test_exception_is_the_active_one_for_a_bare_true(self) -> None:
        made = record()
        made.exc_info = True  # type: ignore[assignment]
        assert fields(MozlogFormatter(), made) == {"msg": "hello"}
        try:
            raise KeyError("active")
        except KeyError:
            assert fields(MozlogFormatter(), made)["error"] == "KeyError('active')"

    def test_exception_may_be_an_instance_without_a_traceback(self) -> None:
        got = fields(MozlogFormatter(), record(exc_info=ValueError("bare")))
        assert got["error"] == "ValueError('bare')"

    @pytest.mark.parametrize("exc_info", [("wrong", "shape"), "text", [1], object])
    def test_exception_of_the_wrong_shape_is_shown_as_it_is(self, exc_info: Any) -> None:
        got = fields(MozlogFormatter(), record(exc_info=exc_info))
        assert got["error"] == repr(exc_info)
        assert got["mozlog.degraded"] == "exception not rendered: TypeError"

    def test_exception_of_another_process_is_its_text(self) -> None:
        made = record(exc_text="Traceback: far away")
        assert fields(MozlogFormatter(), made)["traceback"] == "Traceback: far away"

    def test_exception_has_the_stack_beside_it_that_was_asked_for(self) -> None:
        got = fields(MozlogFormatter(), record(stack_info="Stack (most recent call last):\n  x"))
        assert got["stack"] == "Stack (most recent call last):\n  x"


class TestOptions:
    def test_static_fields_are_on_every_line_and_lose_against_the_others(self) -> None:
        formatter = MozlogFormatter(static_fields={"env": "prod", "user": "nobody"})
        assert fields(formatter, record()) == {"env": "prod", "user": "nobody", "msg": "hello"}
        with context.bound(user="ann"):
            assert fields(formatter, record())["user"] == "ann"
            assert fields(formatter, record(user="bob"))["user"] == "bob"
            assert fields(formatter, record({"user": "eve"}))["user"] == "eve"
            # A text may be a client's.
            forged = fields(formatter, record('{"user": "eve", "env": "dev"}'))
        assert forged == {"user": "ann", "env": "prod", "extra.user": "eve", "extra.env": "dev"}

    def test_static_fields_may_be_anything(self) -> None:
        formatter = MozlogFormatter(static_fields={"tags": ("a", "b"), "msg": "mine"})
        got = fields(formatter, record())
        assert got == {"tags": ["a", "b"], "extra.msg": "mine", "msg": "hello"}

    def test_defaults_are_there_where_nothing_else_is(self) -> None:
        formatter = MozlogFormatter(defaults={"user": "nobody", "msg": "silence"})
        assert fields(formatter, record()) == {"user": "nobody", "msg": "hello"}
        assert fields(formatter, record("", user="ann")) == {"user": "ann", "msg": "silence"}

    def test_fmt_names_further_attributes_of_the_record(self) -> None:
        formatter = MozlogFormatter("%(levelname)s %(lineno)d %(message)s %(missing)s")
        assert fields(formatter, record()) == {"levelname": "INFO", "lineno": 1, "msg": "hello"}
        formatter = MozlogFormatter("{levelname}", style="{")
        assert fields(formatter, record())["levelname"] == "INFO"
        formatter = MozlogFormatter(["levelname", "funcName"])
        assert fields(formatter, record())["funcName"] == "function"

    def test_fmt_may_ask_for_the_time_in_words(self) -> None:
        formatter = MozlogFormatter("%(asctime)s", datefmt="%Y")
        made = record(created=1e9)
        assert fields(formatter, made)["asctime"] == time.strftime("%Y", time.localtime(1e9))
        late = fields(formatter, record(created=9e18))["asctime"]
        assert late in {
            "<unprintable LogRecord: OverflowError>",
            "<unprintable LogRecord: OSError>",
        }

    def test_timestamp_adds_the_time_in_rfc_3339(self) -> None:
        made = record(created=1234567890.5)
        assert (
            fields(MozlogFormatter(timestamp=True), made)["Time"] == "2009-02-13T23:31:30.500000Z"
        )
        assert "2009" in fields(MozlogFormatter(timestamp="when"), made)["when"]
        late = fields(MozlogFormatter(timestamp=True), record(created=1e300))["Time"]
        assert late.startswith("2262-04-11T")

    @pytest.mark.parametrize(("option", "name"), [(True, "Time"), ("ts", "ts"), ("rid", "rid")])
    def test_timestamp_keeps_a_field_of_its_name(self, option: Any, name: str) -> None:
        formatter = MozlogFormatter(timestamp=option, static_fields={"rid": "r-1"})
        made = record("sold", created=1234567890.5)
        vars(made)[name] = 5
        assert fields(formatter, made)[f"extra.{name}"] == 5
        assert fields(formatter, made)[name] == "2009-02-13T23:31:30.500000Z"

        made = record({name: 6, "msg": "sold"}, created=1234567890.5)
        vars(made)[name] = 5
        got = fields(formatter, made)
        kept = [each for key, each in got.items() if key.startswith(f"extra.{name}")]
        assert sorted(kept) == [5, 6]
        assert got[name] == "2009-02-13T23:31:30.500000Z"

        made = record(json.dumps({name: 7}), created=1234567890.5)
        assert fields(MozlogFormatter(timestamp=option), made)[f"extra.{name}"] == 7

    def test_timestamp_keeps_fields_of_events_and_what_time_stampers_add(
        self, untouched_process: None
    ) -> None:
        stream = io.StringIO()
        for option, name in (("ts", "ts"), (True, "Time")):
            mozlog_py.configure(
                "shop",
                stream=stream,
                processors=[structlog.processors.TimeStamper(fmt="iso")],
                formatter_options={"timestamp": option},
            )
            structlog.get_logger("shop").info("sold", **{name: 5})
            structlog.get_logger("shop").info("sold")
        named, _, usual, bare = (line["Fields"] for line in checked_lines(stream.getvalue()))
        assert named["extra.ts"] == usual["extra.Time"] == 5
        assert bare.keys() == {"Time", "msg"}

    @pytest.mark.parametrize("name", ["msg", "error", "traceback", "stack"])
    def test_timestamp_has_no_name_that_a_call_needs(self, name: str) -> None:
        with pytest.raises(OptionError, match=f"timestamp is '{name}', the name of a field"):
            MozlogFormatter(timestamp=name)

    def test_rename_fields_renames(self) -> None:
        formatter = MozlogFormatter(rename_fields={"msg": "message", "user": "uid"})
        assert fields(formatter, record(user="ann")) == {"uid": "ann", "message": "hello"}

    def test_rename_fields_onto_another_field_loses_neither(self) -> None:
        formatter = MozlogFormatter(rename_fields={"user": "uid"})
        got = fields(formatter, record(user="ann", uid=7))
        assert sorted(map(str, got.values())) == ["7", "ann", "hello"]
        assert set(got) == {"uid", "extra.uid", "msg"}
        formatter = MozlogFormatter(rename_fields={"a": "b", "c": "b", "d": "b"})
        got = fields(formatter, record("", a=1, b=2, c=3, d=4))
        assert sorted(got.values()) == [1, 2, 3, 4]

    def test_reserved_attrs_takes_the_place_of_the_excluded_ones(self) -> None:
        formatter = MozlogFormatter(reserved_attrs=[*MozlogFormatter.EXCLUDED_LOGRECORD_ATTRS, "x"])
        assert fields(formatter, record(x=1, y=2)) == {"y": 2, "msg": "hello"}
        shown = fields(MozlogFormatter(reserved_attrs=["args", "msg", "created"]), record())
        assert shown["levelname"] == "INFO"
        assert shown["msg"] == "hello"

    def test_reserved_attrs_of_python_json_logger_leak_no_mark_of_ours(self) -> None:
        formatter = MozlogFormatter(reserved_attrs=[*RESERVED_ATTRS, "x"])
        made = record(x=1, y=2, logger_name=LoggerName("mine"))
        assert formatter.renderer("other")(made)
        assert checked(formatter.renderer("other")(made))["Fields"] == {"y": 2, "msg": "hello"}
        assert fields(formatter, made) == {"y": 2, "msg": "hello"}

    def test_options_of_another_formatter_are_its_own_within_convert_record(self) -> None:
        inner = MozlogFormatter(json_default=lambda _: "inner")

        class Outer(MozlogFormatter):
            def convert_record(self, made: logging.LogRecord) -> dict[str, Any]:
                inner.convert_record(record("%d", "x"))
                line = super().convert_record(made)
                line["Fields"]["theirs"] = json.loads(inner.format(made))["Fields"]["value"]
                return line

        got = fields(Outer(json_default=lambda _: "outer"), record(value=object()))
        assert got == {"value": "outer", "theirs": "inner", "msg": "hello"}

    def test_options_that_change_while_the_first_line_is_made_count_for_the_next(self) -> None:
        class Slow(MozlogFormatter):
            def line_encoder_for(self, logger_name: str) -> Any:
                maker = super().line_encoder_for(logger_name)
                if self.hostname == "old":
                    self.hostname = "new"
                return maker

        formatter = Slow(hostname="old")
        assert checked(formatter.format(record()))["Hostname"] == "old"
        assert render(formatter, record())["Hostname"] == "new"

    def test_json_default_renders_what_json_does_not_know(self) -> None:
        formatter = MozlogFormatter(json_default=repr)
        got = fields(formatter, record(value={1}, nested=[b"x"]))
        assert got == {"value": "{1}", "nested": ["b'x'"], "msg": "hello"}

    def test_arrays_hold_the_traceback_and_the_stack_line_by_line(self) -> None:
        formatter = MozlogFormatter(exc_info_as_array=True, stack_info_as_array=True)
        got = fields(formatter, record(exc_info=error(), stack_info="a\nb"))
        assert got["traceback"][0] == "Uncaught exception:"
        assert got["traceback"][-1] == "ValueError('boom')"
        assert got["stack"] == ["a", "b"]

    def test_prefix_stands_before_the_line(self) -> None:
        formatter = MozlogFormatter(prefix="@cee: ")
        text = formatter.format(record())
        assert text.startswith('@cee: {"Timestamp":')
        assert formatter.format_bytes(record())[:6] == b"@cee: "
        assert checked(text.removeprefix("@cee: "))["Fields"] == {"msg": "hello"}

    def test_hostname_is_as_given(self) -> None:
        assert render(MozlogFormatter(hostname="web-1"), record())["Hostname"] == "web-1"

    def test_options_include_context_false_leaves_the_context_out(self) -> None:
        with context.bound(user="ann"):
            assert fields(MozlogFormatter(include_context=False), record()) == {"msg": "hello"}
            assert fields(MozlogFormatter(), record()) == {"user": "ann", "msg": "hello"}

    def test_strict_lines_satisfy_the_machine_schema(self) -> None:
        formatter = MozlogFormatter(strict=True)
        got = fields(formatter, record(a={"b": {"c": 1}}, mixed=[1, "x"], empty=[], nothing=None))
        assert got == {"a.b.c": 1, "mixed": '[1,"x"]', "empty": "[]", "msg": "hello"}
        assert fields(formatter, record("")) == {"msg": ""}

    def test_options_can_be_changed_afterwards(self) -> None:
        formatter = MozlogFormatter()
        render(formatter, record())
        formatter.hostname = "elsewhere"
        formatter.logger_name = "other"
        formatter.static_fields = {"a": 1}
        line = render(formatter, record())
        assert (line["Hostname"], line["Logger"]) == ("elsewhere", "other")
        assert line["Fields"] == {"a": 1, "msg": "hello"}

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"json_default": "repr"}, "cannot be called"),
            ({"prefix": "a\nb"}, "line break"),
            ({"style": "?"}, "Style must be one of"),
            ({"fmt": "%(unclosed"}, "Invalid format"),
            ({"fmt": "shop"}, "fmt is 'shop', which names no .*; .* write logger_name='shop'"),
            ({"fmt": "50 %"}, "fmt is '50 %', which names no attribute"),
            ({"fmt": "shop", "style": "{"}, "fmt is 'shop', which names no attribute"),
            ({"fmt": "shop", "style": "$"}, "fmt is 'shop', which names no attribute"),
            ({"fmt": 5}, "fmt is 5; it must be a list of attributes"),
            ({"strict": "yes"}, "strict is 'yes'; it must be True or False"),
            ({"include_context": None}, "include_context is None; it must be True or False"),
            ({"stack_info_as_array": "a"}, "stack_info_as_array is 'a'; it must be True or"),
            ({"static_fields": "env=prod"}, "static_fields is 'env=prod'; it must be a dict"),
            ({"rename_fields": {"Timestamp": "time"}}, "'Timestamp' in it, a member of the env"),
            ({"rename_fields": {"Severity": "level"}}, "'Severity' in it, a member of the env"),
            ({"rename_fields": {"levelname": "level"}}, r"as in fmt=\['levelname'\], or leave it"),
            ({"rename_fields": {"asctime": "time"}}, r"add it to fmt, as in fmt=\['asctime'\]"),
            (
                {"rename_fields": {"threadName": "thread"}},
                "an attribute of records that is no field",
            ),
            ({"rename_fields": {"message": "event"}}, "its field is 'msg': rename that"),
            ({"rename_fields": {"exc_info": "exception"}}, "its field is 'error': rename that"),
            ({"rename_fields": {"stack_info": "where"}}, "its field is 'stack': rename that"),
            ({"fmt": ["lineno"], "rename_fields": {"name": "logger"}}, r"fmt=\['name'\], or"),
            ({"unknown_option": 1}, "unknown_option"),
        ],
    )
    def test_options_that_cannot_be_met_are_refused(
        self, options: dict[str, Any], sentence: str
    ) -> None:
        with pytest.raises((TypeError, ValueError), match=sentence):
            MozlogFormatter(**options)


class TestRenamed:
    @pytest.mark.parametrize(
        "options",
        [
            {"fmt": ["levelname"]},
            {"fmt": "%(levelname)s"},
            {"fmt": "{levelname}", "style": "{"},
            {"fmt": "levelname,name", "style": ","},
            {"reserved_attrs": ["args", "msg"]},
            {"static_fields": {"levelname": "none"}},
            {"defaults": {"levelname": "none"}},
        ],
    )
    def test_renamed_may_be_an_attribute_that_is_a_field(self, options: dict[str, Any]) -> None:
        got = fields(MozlogFormatter(rename_fields={"levelname": "level"}, **options), record())
        assert "levelname" not in got
        assert got["level"] in {"INFO", "none"}

    @pytest.mark.parametrize("hook", ["add_fields", "process_log_record", "convert_record"])
    def test_renamed_may_be_any_where_a_subclass_adds_fields(self, hook: str) -> None:
        kind = type("Own", (MozlogFormatter,), {hook: getattr(MozlogFormatter, hook)})
        setattr(kind, hook, lambda *arguments: getattr(MozlogFormatter, hook)(*arguments))
        kind(rename_fields={"levelname": "level", "Type": "kind"})

    def test_renamed_may_be_any_where_a_processor_of_the_application_adds_fields(self) -> None:
        def add_level(logger: Any, method: str, event: Any) -> Any:
            return {**event, "levelname": method}

        formatter = MozlogFormatter(processors=[add_level], rename_fields={"levelname": "level"})
        assert fields(formatter, record())["level"] == "info"
        with pytest.raises(OptionError, match="levelname"):
            MozlogFormatter(processors=[flatten], rename_fields={"levelname": "level"})

    @pytest.mark.parametrize("name", ["msg", "error", "traceback", "stack", "rid", "Time", "any"])
    def test_renamed_may_be_a_field_of_the_call(self, name: str) -> None:
        MozlogFormatter(rename_fields={name: "renamed"})


class TestCallForms:
    def test_call_forms_takes_four_positional_arguments_as_dockerflow_does(self) -> None:
        formatter = MozlogFormatter(None, None, "%", "named")
        assert render(formatter, record())["Logger"] == "named"

    def test_call_forms_takes_validate_in_the_same_place_as_logging_config_passes_it(self) -> None:
        formatter = MozlogFormatter("no fields at all", None, "%", False)
        assert render(formatter, record())["Logger"] == "Dockerflow"
        assert fields(MozlogFormatter(validate=False, fmt="x"), record()) == {"msg": "hello"}

    def test_call_forms_is_a_formatter_of_both_libraries(self) -> None:
        assert issubclass(MozlogFormatter, BaseJsonFormatter)
        assert issubclass(MozlogFormatter, logging.Formatter)

    @pytest.mark.parametrize(
        "formatter",
        [
            {"()": "mozlog_py.MozlogFormatter", "logger_name": "dict"},
            {"()": "mozlog_py.MozlogFormatter", "logger_name": "dict", "format": "%(levelname)s"},
            {"()": "mozlog_py.MozlogFormatter", "logger_name": "dict", "json_default": repr},
            {"class": "mozlog_py.MozlogFormatter", "format": "%(levelname)s"},
            {"class": "mozlog_py.MozlogFormatter", "validate": False, "datefmt": "%Y"},
        ],
    )
    @pytest.mark.usefixtures("untouched_process")
    def test_call_forms_works_from_a_dict_config(self, formatter: dict[str, Any]) -> None:
        stream = io.StringIO()
        logging.config.dictConfig(
            {
                "version": 1,
                "disable_existing_loggers": False,
                "formatters": {"json": formatter},
                "handlers": {
                    "out": {
                        "class": "logging.StreamHandler",
                        "stream": stream,
                        "formatter": "json",
                    }
                },
                "loggers": {
                    "test.dict": {"handlers": ["out"], "level": "INFO", "propagate": False}
                },
            }
        )
        logging.getLogger("test.dict").info("hi")
        line = checked(stream.getvalue())
        assert line["Fields"]["msg"] == "hi"
        assert line["Logger"] == formatter.get("logger_name", "Dockerflow")
        assert ("levelname" in line["Fields"]) == ("format" in formatter)

    @pytest.mark.usefixtures("untouched_process")
    def test_call_forms_takes_processors_by_their_paths_from_a_dict_config(self) -> None:
        logging.config.dictConfig(
            {
                "version": 1,
                "disable_existing_loggers": False,
                "formatters": {
                    "json": {
                        "()": "mozlog_py.MozlogFormatter",
                        "processors": [
                            "ext://mozlog_py.processors.flatten",
                            "ext://mozlog_py.processors.drop_none",
                        ],
                    }
                },
                "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "json"}},
                "loggers": {"test.processors": {"handlers": ["out"], "propagate": False}},
            }
        )
        formatter = logging.getLogger("test.processors").handlers[0].formatter
        assert formatter is not None
        made = record("hi", door={"id": 2, "name": None})
        assert fields(formatter, made) == {"door.id": 2, "msg": "hi"}

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="defaults came to dictConfig with 3.12")
    @pytest.mark.usefixtures("untouched_process")
    def test_call_forms_takes_defaults_from_a_dict_config(self) -> None:
        logging.config.dictConfig(
            {
                "version": 1,
                "disable_existing_loggers": False,
                "formatters": {
                    "json": {"class": "mozlog_py.MozlogFormatter", "defaults": {"user": "nobody"}}
                },
                "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "json"}},
                "loggers": {"test.defaults": {"handlers": ["out"], "propagate": False}},
            }
        )
        formatter = logging.getLogger("test.defaults").handlers[0].formatter
        assert formatter is not None
        assert fields(formatter, record())["user"] == "nobody"

    @pytest.mark.usefixtures("untouched_process")
    def test_call_forms_works_from_an_ini_file(self) -> None:
        text = """
            [loggers]
            keys = root, ini
            [handlers]
            keys = out
            [formatters]
            keys = json
            [logger_root]
            handlers =
            [logger_ini]
            qualname = test.ini
            handlers = out
            propagate = 0
            level = INFO
            [handler_out]
            class = mozlog_py.MozlogHandler
            args = (sys.stdout, 'from-ini')
            formatter = json
            [formatter_json]
            class = mozlog_py.MozlogFormatter
            format = %(levelname)s
        """
        parser = configparser.RawConfigParser()
        parser.read_string("\n".join(line.strip() for line in text.splitlines()))
        logging.config.fileConfig(parser, disable_existing_loggers=False)
        handler = logging.getLogger("test.ini").handlers[0]
        stream = io.StringIO()
        handler.setStream(stream)  # type: ignore[attr-defined]
        logging.getLogger("test.ini").info("hi")
        line = checked(stream.getvalue())
        assert line["Logger"] == "from-ini"
        assert line["Fields"] == {"levelname": "INFO", "msg": "hi"}


class Forwarding:
    """A wrapper of a method, as tracers set it: it forwards what it is asked for."""

    def __init__(self, wrapped: Any) -> None:
        self.wrapped = wrapped
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapped, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return self.wrapped(*args, **kwargs)


class TestSubclass:
    @pytest.mark.parametrize("hook", ["add_fields", "process_log_record", "convert_record"])
    def test_wrapper_of_a_hook_on_an_instance_is_called(self, hook: str) -> None:
        formatter = MozlogFormatter()
        wrapper = Forwarding(getattr(formatter, hook))
        setattr(formatter, hook, wrapper)
        assert render(formatter, record())["Fields"] == {"msg": "hello"}
        assert wrapper.calls

    def test_hook_of_another_formatter_is_used(self) -> None:
        formatter = MozlogFormatter()
        formatter.formatException = (  # type: ignore[method-assign]
            MozlogFormatter(exc_info_as_array=True).formatException
        )
        made = record(exc_info=(LookupError, LookupError("x"), None))
        assert type(render(formatter, made)["Fields"]["traceback"]) is list

    def test_subclass_that_forwards_unknown_attributes_can_be_made(self) -> None:
        class Outer(MozlogFormatter):
            def __init__(self, inner: Any) -> None:
                super().__init__()
                self._inner = inner

            def __getattr__(self, name: str) -> Any:
                return getattr(self._inner, name)

        formatter = Outer(MozlogFormatter())
        changes = []

        class Listener:
            def note(self) -> None:
                changes.append(1)

        listener = Listener()
        registered = formatter._listeners
        formatter.call_on_change(listener.note)
        # Made with the formatter: two threads may register the first ones at a time.
        assert formatter._listeners is registered
        formatter._inner.strict = True
        assert changes == []
        formatter.strict = True
        assert changes == [1]
        assert render(formatter, record())["Fields"] == {"msg": "hello"}

    def test_subclass_convert_record_makes_the_line(self) -> None:
        class Custom(MozlogFormatter):
            def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
                line = super().convert_record(record)
                line["Env"] = "prod"
                line["Fields"]["seen"] = {1}
                return line

        line = render(Custom(), record())
        assert line["Env"] == "prod"
        assert line["Fields"] == {"msg": "hello", "seen": "{1}"}

    @pytest.mark.parametrize("wrong", [None, 7, "text"])
    def test_subclass_convert_record_that_fails_still_gives_a_line(self, wrong: Any) -> None:
        class Custom(MozlogFormatter):
            def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
                if wrong == 7:
                    raise LookupError("bug")
                return wrong  # type: ignore[no-any-return]

        got = fields(Custom(), record(code=1, exc_info=error()))
        kind = "LookupError" if wrong == 7 else "TypeError"
        assert got == {"msg": "hello", "mozlog.degraded": f"convert_record raised {kind}"}

    def test_subclass_convert_record_of_the_base_class_is_shown_as_it_stands(self) -> None:
        class Custom(MozlogFormatter):
            def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
                return super().convert_record(record)

        made = record("é" * 2_000_000, nested=hostile.nested(15, lambda inner: {"a": inner}))
        line = render(Custom(), made)
        assert line["Fields"]["msg"] == "é" * 2_000_000
        assert line == render(MozlogFormatter(), made)

    def test_subclass_convert_record_sees_the_values_as_they_were_logged(self) -> None:
        seen: list[Any] = []

        class Custom(MozlogFormatter):
            def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
                line = super().convert_record(record)
                seen.append({**line["Fields"]})
                return line

        given = {"raw": b"a", "when": None, "far": 10**30, "pairs": [(b"a", 1)], "odd": object()}
        for options in ({}, {"strict": True}, {"processors": [Redact()]}):
            line = render(Custom(**options), record("%s", "x", password="p", **given))  # type: ignore[arg-type]
            assert line["Fields"]["raw"] == "YQ=="
            assert ("p" in line["Fields"].values()) == ("processors" not in options)
        assert seen == [{"password": "p", **given, "msg": "x"}] * 6

    def test_subclass_convert_record_is_redacted_afterwards_wherever_it_puts_a_credential(
        self,
    ) -> None:
        class Custom(MozlogFormatter):
            def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
                line = super().convert_record(record)
                line["Fields"]["made"] = {"api_key": "tulip", "n": 1}
                return {"api_token": "tulip", **line, "Env": {"secret": "tulip", "n": 1}}

        class Bare(MozlogFormatter):
            def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
                return {"Fields": [("cookie", "tulip")], "Env": {"secret": "tulip"}}

        line = render(Custom(processors=[Redact()]), record(pwd="tulip"))
        assert (line["api_token"], line["Env"]) == ("[redacted]", {"secret": "[redacted]", "n": 1})
        assert [*line] == [
            "api_token", "Timestamp", "Type", "Logger", "Hostname", "EnvVersion", "Severity",
            "Pid", "Fields", "Env",
        ]  # fmt: skip
        assert line["Fields"] == {
            "pwd": "[redacted]", "made": {"api_key": "[redacted]", "n": 1}, "msg": "hello",
        }  # fmt: skip
        bare = MozlogFormatter.format_bytes(Bare(processors=[Redact()]), record())
        assert json.loads(bare) == {
            "Fields": [["cookie", "[redacted]"]], "Env": {"secret": "[redacted]"},
        }  # fmt: skip

    def test_subclass_convert_record_gives_processors_the_fields_under_their_own_names(
        self,
    ) -> None:
        seen: list[Any] = []

        def look(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
            seen.append({name: event[name] for name in ("event", "pwd", "b")})
            return {**event, "added": {1}}

        class Custom(MozlogFormatter):
            def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
                line = super().convert_record(record)
                assert [*line["Fields"]] == ["p", "b", "message"]
                return line

        formatter = Custom(
            rename_fields={"pwd": "p", "msg": "message", "added": "more"},
            processors=[look, Redact()],
        )
        assert fields(formatter, record(pwd=7, b=2)) == {
            "p": "[redacted]", "b": 2, "more": "{1}", "message": "hello",
        }  # fmt: skip
        assert seen == [{"event": "hello", "pwd": 7, "b": 2}] * 2

    def test_subclass_convert_record_called_by_itself_gives_what_processors_leave(self) -> None:
        class Custom(MozlogFormatter):
            def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
                return {**super().convert_record(record), "Env": "prod"}

        raw = (1, {2})
        got = Custom(processors=[Redact()]).convert_record(record(pwd="p", raw=raw))
        assert (got["Fields"], got["Env"]) == (
            {"pwd": "[redacted]", "raw": [1, {2}], "msg": "hello"}, "prod",
        )  # fmt: skip
        assert Custom().convert_record(record(raw=raw))["Fields"]["raw"] is raw

    @pytest.mark.parametrize(
        ("message", "shown"),
        [
            ("plain", {"msg": "plain"}),
            ("", {}),
            ('{"token": "tulip"}', {}),
            ({"token": "tulip", "msg": "hi"}, {"msg": "hi"}),
            ({"token": "tulip"}, {}),
            ("{no json}", {"msg": "{no json}"}),
            ("%d", {"msg": "%d ('x',)", "mozlog.degraded": "message and arguments do not fit; "}),
        ],
    )
    def test_subclass_convert_record_that_raises_leaves_the_message_alone(
        self, message: Any, shown: dict[str, str]
    ) -> None:
        class Custom(MozlogFormatter):
            def convert_record(self, made: logging.LogRecord) -> dict[str, Any]:
                line = super().convert_record(made)
                del line["Fields"]["secret_of_mine"]
                return line["Fields"]["not there"]  # type: ignore[no-any-return]

        args = ("x",) if message == "%d" else ()
        made = record(message, *args, secret_of_mine="tulip", exc_info=error())
        for options in ({}, {"strict": True}, {"processors": [Redact()]}):
            note = f"{shown.get('mozlog.degraded', '')}convert_record raised KeyError"
            got = fields(Custom(**options), made)  # type: ignore[arg-type]
            if "strict" in options and not shown:
                assert got.pop("msg") == ""
            assert got == {**shown, "mozlog.degraded": note}
        (line,) = [MozlogRenderer(formatter=Custom())(None, "info", {"event": message, "a": 1})]
        assert "tulip" not in str(line)
        if type(message) is str:
            whole = fields(Custom(parse_messages=False), made)
            assert whole.get("msg", "") == (shown["msg"] if args else message)
        said = message if args else shown.get("msg")
        assert checked(line)["Fields"].get("msg") == said

    def test_subclass_convert_record_of_events_and_of_the_other_formats_is_the_same(self) -> None:
        class Hiding:
            def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
                line = super().convert_record(record)  # type: ignore[misc]
                line["Fields"]["uid"] = line["Fields"].pop("user").id
                return line  # type: ignore[no-any-return]

        class Cloud(Hiding, CloudFormatter):
            pass

        class Pretty(Hiding, PrettyFormatter):
            pass

        user = types.SimpleNamespace(id=7, password="tulip")
        assert fields(Cloud(), record(user=user)) == {"uid": 7, "msg": "hello"}
        assert "uid=7" in Pretty().format(record(user=user))
        failed = Pretty().format(record(user=None, password="tulip"))
        assert "hello" in failed
        assert "convert_record raised" in failed
        assert "tulip" not in failed + Pretty().format(record(user=user))
        line = MozlogRenderer(formatter=Cloud())(None, "info", {"event": "e", "user": user})
        assert checked(line)["Fields"] == {"uid": 7, "msg": "e"}

    def test_subclass_convert_record_whose_event_is_dropped_is_written_by_what_can_drop_nothing(
        self,
    ) -> None:
        class Custom(MozlogFormatter):
            def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
                line = super().convert_record(record)
                line["Fields"].pop("a")
                return line

        formatter = Custom(processors=[Sample(10**9), Redact()])
        assert fields(formatter, record(rid="7", a=1, pwd="p")) == {
            "rid": "7", "pwd": "[redacted]", "msg": "hello",
        }  # fmt: skip
        capture = Capture()
        capture.handler.setFormatter(formatter)
        capture.handler.handle(record(rid="7", a=1))
        assert capture.lines == []

    def test_subclass_convert_record_that_cannot_be_encoded_leaves_a_line(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Custom(MozlogFormatter):
            def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
                return super().convert_record(record)

        def broken(*_: Any) -> bytes:
            raise MemoryError

        monkeypatch.setattr("mozlog_py._render.any_record.encode", broken)
        assert fields(Custom(), record(a=1)) == {
            "mozlog.degraded": "line not rendered: MemoryError"
        }

    def test_subclass_convert_record_says_what_of_its_own_was_lost(self) -> None:
        class Custom(MozlogFormatter):
            def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
                return {"Timestamp": 1, "Fields": {"a": hostile.RaisingRepr()}, 7: "seven"}

        line = render(Custom(), record())
        assert line["Fields"]["mozlog.degraded"] == "value unprintable"
        assert line["7"] == "seven"

        class Bare(MozlogFormatter):
            def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
                return {"Timestamp": 1, "Type": "bare"}

        assert render(Bare(), record()) == {"Timestamp": 1, "Type": "bare"}

    def test_subclass_of_any_kind_may_be_patched_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            MozlogFormatter, "convert_record", lambda *_: {"Timestamp": 1, "Fields": {"a": 1}}
        )
        assert render(MozlogFormatter(), record()) == {"Timestamp": 1, "Fields": {"a": 1}}

    @pytest.mark.parametrize("severity", [99, -1, "six", None, 10**30])
    def test_level_map_gives_no_severity_that_there_is_not(self, severity: Any) -> None:
        class Custom(MozlogFormatter):
            SYSLOG_LEVEL_MAP = {20: severity}

        assert render(Custom(), record())["Severity"] == 6

    def test_subclass_is_value_jsonlike_decides_what_is_tried(self) -> None:
        class Never(MozlogFormatter):
            def is_value_jsonlike(self, value: str) -> bool:
                return False

        class Fails(MozlogFormatter):
            def is_value_jsonlike(self, value: str) -> bool:
                raise LookupError("bug")

        assert fields(Never(), record('{"a": 1}')) == {"msg": '{"a": 1}'}
        assert fields(Fails(), record('{"a": 1}'))["msg"] == '{"a": 1}'

        class Exits(MozlogFormatter):
            def is_value_jsonlike(self, value: str) -> bool:
                raise SystemExit

        assert fields(Exits(), record('{"a": 1}'))["msg"] == '{"a": 1}'

    def test_subclass_add_fields_and_process_log_record_have_their_say(self) -> None:
        class Custom(MozlogFormatter):
            def add_fields(
                self,
                log_data: dict[str, Any],
                record: logging.LogRecord,
                message_dict: dict[str, Any],
            ) -> None:
                super().add_fields(log_data, record, message_dict)
                log_data["line"] = record.lineno

            def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
                return {key.upper(): value for key, value in log_data.items()}

        assert fields(Custom(), record(code=1)) == {"MSG": "hello", "CODE": 1, "LINE": 1}

    def test_process_log_record_may_forget_to_return(self) -> None:
        class Custom(MozlogFormatter):
            def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
                log_data["more"] = 1
                return None  # type: ignore[return-value]

        assert fields(Custom(), record()) == {"msg": "hello", "more": 1}

    def test_hooks_that_raise_cost_nothing_of_the_record(self) -> None:
        class Custom(MozlogFormatter):
            def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
                raise LookupError("bug")

        got = fields(Custom(), record(code=1))
        assert got == {
            "code": 1,
            "msg": "hello",
            "mozlog.degraded": "add_fields or process_log_record raised LookupError",
        }

    def test_level_map_and_default_are_taken_as_they_stand(self) -> None:
        class Custom(MozlogFormatter):
            SYSLOG_LEVEL_MAP = {20: 5}
            DEFAULT_SYSLOG_LEVEL = 1

        assert render(Custom(), record(level=20))["Severity"] == 5
        assert render(Custom(), record(level=40))["Severity"] == 1
        made = record()
        made.levelno = []  # type: ignore[assignment]
        assert render(Custom(), made)["Severity"] == 1

    def test_a_level_added_to_the_map_of_the_class_counts(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(MozlogFormatter.SYSLOG_LEVEL_MAP, 21, 2)
        assert render(MozlogFormatter(), record(level=21))["Severity"] == 2

    def test_excluded_names_are_left_out(self) -> None:
        class Custom(MozlogFormatter):
            EXCLUDED_LOGRECORD_ATTRS = MozlogFormatter.EXCLUDED_LOGRECORD_ATTRS | {"request"}

        assert fields(Custom(), record(request=object(), code=1)) == {"code": 1, "msg": "hello"}
        assert fields(Custom(), record(request="text", code=1)) == {"code": 1, "msg": "hello"}

    def test_names_taken_out_of_the_excluded_ones_are_shown(self) -> None:
        class Custom(MozlogFormatter):
            EXCLUDED_LOGRECORD_ATTRS = MozlogFormatter.EXCLUDED_LOGRECORD_ATTRS - {"levelname"}

        assert fields(Custom(), record()) == {"levelname": "INFO", "msg": "hello"}

    def test_version_of_the_envelope_is_its_own(self) -> None:
        class Custom(MozlogFormatter):
            LOGGING_FORMAT_VERSION = "2.1"

        assert render(Custom(), record())["EnvVersion"] == "2.1"

    def test_format_exception_and_format_stack_are_used(self) -> None:
        class Custom(MozlogFormatter):
            def formatException(self, ei: Any) -> str:
                return "short"

            def formatStack(self, stack_info: str) -> str:
                raise LookupError("bug")

        got = fields(Custom(), record(exc_info=error(), stack_info="a"))
        assert got["traceback"] == "short"
        assert got["error"] == "ValueError('boom')"
        assert got["stack"] == "<unprintable str: LookupError>"

    def test_format_of_its_own_is_called(self) -> None:
        class Custom(MozlogFormatter):
            def format(self, record: logging.LogRecord) -> str:
                return super().format(record).upper()

        custom = Custom()
        assert '"MSG":"HELLO"' in custom.format(record())
        assert '"MSG":"HELLO"' in custom.format(record())


class TestObject:
    def test_object_can_be_copied_and_pickled(self) -> None:
        formatter = MozlogFormatter(logger_name="kept", static_fields={"a": 1})
        render(formatter, record())
        for twin in (copy.copy(formatter), copy.deepcopy(formatter)):
            assert render(twin, record())["Logger"] == "kept"
        twin = pickle.loads(pickle.dumps(formatter))
        assert render(twin, record())["Fields"] == {"a": 1, "msg": "hello"}
        assert render(formatter, record())["Fields"] == {"a": 1, "msg": "hello"}

    def test_object_is_not_changed_by_a_copy_or_a_pickle_of_it(self) -> None:
        class Listener:
            calls = 0

            def changed(self) -> None:
                self.calls += 1

        formatter, listener = MozlogFormatter(), Listener()
        formatter.call_on_change(listener.changed)
        render(formatter, record())
        compiled = dict(formatter.renderers)
        assert compiled
        copy.copy(formatter)
        copy.deepcopy(formatter)
        pickle.dumps(formatter)
        assert (formatter.renderers, listener.calls) == (compiled, 0)
        formatter.hostname = "x"
        assert (formatter.renderers, listener.calls) == ({}, 1)

    def test_object_lets_its_format_be_replaced(self) -> None:
        formatter = MozlogFormatter()
        render(formatter, record())
        formatter.format = lambda record: "mine"  # type: ignore[method-assign]
        assert formatter.format(record()) == "mine"
        formatter.hostname = "x"
        assert formatter.format(record()) == "mine"

    def test_object_converts_a_record_of_plain_values_to_what_its_line_says(self) -> None:
        made = record("%s", "x", items=[1, 2], error=1, exc_info=error())
        for formatter in (MozlogFormatter(), MozlogFormatter(strict=True, timestamp=True)):
            assert formatter.convert_record(made) == checked(formatter.format(made))

    def test_object_converts_a_record_to_the_values_that_were_logged(self) -> None:
        given = {"items": (1, {2}), "raw": b"a", "when": None, "far": 10**30, "odd": object()}
        assert MozlogFormatter().convert_record(record("%s", "x", **given))["Fields"] == {
            **given, "msg": "x",
        }  # fmt: skip

    def test_object_gives_the_json_text_of_fields(self) -> None:
        text = MozlogFormatter().jsonify_log_record({"a": {1}, "b": None})
        assert json.loads(text) == {"a": "{1}"}

    def test_formats_an_exception_as_logging_asks_it_to(self) -> None:
        assert str(MozlogFormatter().formatException(error())).startswith("Uncaught exception:")
        lines = MozlogFormatter(exc_info_as_array=True).formatException(error())
        assert lines[0] == "Uncaught exception:"
        assert MozlogFormatter().formatException((None, None, None)) == ""

    def test_object_survives_a_reload_of_logging(self) -> None:
        formatter = MozlogFormatter()
        code = vars(logging).copy()
        try:
            importlib.reload(logging)
            made = logging.LogRecord("app", 20, "", 1, "%s", ("x",), None)
            made.user = "ann"
            assert fields(formatter, made) == {"user": "ann", "msg": "x"}
        finally:
            vars(logging).update(code)


class TestOddRecords:
    def test_made_of_a_dict_or_unpickled_are_rendered(self) -> None:
        made = logging.makeLogRecord({"msg": "m", "user": "ann"})
        assert fields(MozlogFormatter(), made) == {"user": "ann", "msg": "m"}
        twin = pickle.loads(pickle.dumps(record("%s", "x", user="ann")))
        assert fields(MozlogFormatter(), twin) == {"user": "ann", "msg": "x"}

    def test_odd_records_with_attributes_missing_have_defaults(self) -> None:
        made = record(user="ann")
        for name in ("msg", "args", "created", "process", "exc_info", "name", "levelno"):
            delattr(made, name)
        line = render(MozlogFormatter(), made)
        assert line["Fields"]["user"] == "ann"
        assert (line["Type"], line["Severity"], line["Pid"]) == ("root", 7, os.getpid())

    def test_odd_records_that_are_no_records_give_a_line_all_the_same(self) -> None:
        class Slotted:
            __slots__ = ()

        line = render(MozlogFormatter(), Slotted())  # type: ignore[arg-type]
        assert "record not readable" in line["Fields"]["mozlog.degraded"]

    def test_odd_records_with_a_property_that_raises_keep_the_others(self) -> None:
        class Requested(logging.LogRecord):
            @property
            def user(self) -> str:
                raise LookupError("outside of a request")

            @property
            def process(self) -> int:  # type: ignore[override]
                raise LookupError("no")

            @process.setter
            def process(self, pid: Any) -> None:
                pass

        made = Requested("app", 30, "", 1, "hi", None, None)
        line = render(MozlogFormatter("%(user)s %(message)s"), made)
        assert (line["Type"], line["Severity"], line["Pid"]) == ("app", 4, os.getpid())
        assert line["Fields"] == {"user": "<unprintable Requested: LookupError>", "msg": "hi"}

    def test_odd_records_with_keys_that_are_no_strings_are_rendered(self) -> None:
        made = record()
        vars(made)[7] = "seven"  # type: ignore[index]
        vars(made)[(1, 2)] = "pair"  # type: ignore[index]
        assert fields(MozlogFormatter(), made) == {"7": "seven", "(1, 2)": "pair", "msg": "hello"}


class TestInterrupts:
    class Interrupting:
        def __repr__(self) -> str:
            raise KeyboardInterrupt

    def test_interrupts_of_a_values_own_code_are_shown_as_a_marker(self) -> None:
        got = fields(MozlogFormatter(), record(value=self.Interrupting()))
        assert got["value"] == "<unprintable Interrupting: KeyboardInterrupt>"
        assert got["msg"] == "hello"

    def test_interrupts_of_an_argument_are_shown_as_a_marker(self) -> None:
        got = fields(MozlogFormatter(), record("%s", self.Interrupting()))
        assert got["msg"] == "%s (<unprintable Interrupting: KeyboardInterrupt>,)"

    @pytest.mark.parametrize("kind", [MozlogFormatter, CloudFormatter, PrettyFormatter])
    def test_interrupts_of_a_value_are_shown_as_a_marker_where_a_processor_drops_the_event(
        self, kind: type[MozlogFormatter]
    ) -> None:
        def drop(*_: Any) -> Any:
            raise structlog.DropEvent

        formatter = kind(processors=[drop])
        made = record(value=self.Interrupting())
        assert "<unprintable Interrupting: KeyboardInterrupt>" in formatter.format(made)
        assert b"<unprintable Interrupting: KeyboardInterrupt>" in formatter.format_bytes(made)

    def test_interrupts_from_outside_are_not_swallowed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Once:
            calls = 0

            def __str__(self) -> str:
                Once.calls += 1
                if Once.calls == 1:
                    raise KeyboardInterrupt
                return "fine"

        formatter = MozlogFormatter()
        with pytest.raises(KeyboardInterrupt):
            formatter.format(record("%s", Once()))
        Once.calls = 0
        with pytest.raises(KeyboardInterrupt):
            formatter.format_bytes(record("%s", Once()))


def error() -> Any:
    try:
        raise ValueError("boom")
    except ValueError:
        return sys.exc_info()
