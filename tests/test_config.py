"""dict_config() and configure(): the formats, the environment, the whole process."""

import asyncio
import contextlib
import io
import logging
import logging.config
import os
import re
import subprocess
import sys
import threading
import warnings
from inspect import signature
from pathlib import Path
from typing import Any, get_args
from unittest import mock

import pytest
import uvicorn
from conformance import checked, checked_lines, record

import mozlog_py
from mozlog_py import MozlogFormatter, MozlogHandler, MozlogQueueHandler, config, context, queued
from mozlog_py import typing as types
from mozlog_py._config.options import OptionError
from mozlog_py._stdlib import excepthooks
from mozlog_py._values.sanitiser import Sanitiser
from mozlog_py.gcp import CloudFormatter
from mozlog_py.pretty import PrettyFormatter
from mozlog_py.structlog import renderer

pytestmark = pytest.mark.usefixtures("untouched_process")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def configured_lines(*calls: Any, **options: Any) -> list[dict[str, Any]]:
    stream = io.StringIO()
    mozlog_py.configure("service", stream=stream, **options)
    for call in calls:
        call()
    return checked_lines(stream.getvalue())


class TestWrongKinds:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"logger_name": None}, "logger_name is None; it must be text"),
            ({"stream": 1}, r"stream is 1, which has no write\(\)"),
            ({"loggers": ["a"]}, r"loggers is \['a'\]; it must be a dict"),
            ({"static_fields": [1]}, r"static_fields is \[1\]; it must be a dict"),
            ({"formatter_options": {"strict": True}}, "strict in it, which is a parameter"),
            ({"processors": [1]}, "no processor"),
            ({"formatter_options": {"json_default": 7}}, "json_default is 7"),
            ({"processors": "flatten"}, "processors is 'flatten', which is no processor"),
            ({"processors": None}, "processors is None, which is no processor"),
            ({"hostname": 7}, "hostname is 7; it must be text"),
            ({"project": 7}, "project is 7; it must be text"),
            ({"loggers": {5: "DEBUG"}}, "loggers has 5 in it; a logger's name must be text"),
            ({"loggers": {"a": True}}, r"loggers\['a'\] is True; the known levels"),
            ({"strict": "yes"}, "strict is 'yes'; it must be True or False, without quotes"),
            ({"strict": None}, "strict is None; it must be True or False$"),
            ({"include_context": "no"}, "include_context is 'no'; it must be True or False"),
            ({"lean": "no"}, "lean is 'no'; it must be True or False"),
            ({"parse_messages": "no"}, "parse_messages is 'no'; it must be True or False"),
            ({"structlog_to_logging": "LOUD"}, "structlog_to_logging is 'LOUD'; the known levels"),
            ({"max_line_bytes": "16k"}, "max_line_bytes is '16k'; it must be a number of bytes"),
            ({"max_line_bytes": 16.0}, "max_line_bytes is 16.0; it must be a number of bytes"),
            ({"max_line_bytes": True}, "max_line_bytes is True; it must be a number of bytes"),
            ({"max_line_bytes": 80}, "max_line_bytes is 80; .* 1024 or more"),
            ({"queue": 5}, "queue is 5; it must be True, False, or a dict of options such as"),
            ({"queue": "block"}, "queue is 'block'; it must be True, False, or a dict"),
            ({"queue": None}, "queue is None; it must be True, False, or a dict"),
            ({"queue": {"size": 3}}, "queue has 'size' in it; it takes flush_on_sigterm, max_by"),
            ({"queue": {"max_byte": 3}}, r"'max_byte' in it \(did you mean 'max_bytes'\?\)"),
            ({"queue": {"policy": "wait"}}, "policy is 'wait'; the known ones are block, drop"),
            ({"queue": {"max_bytes": "8M"}}, "max_bytes is '8M'; it must be a number of bytes"),
            ({"queue": {"flush_on_sigterm": "no"}}, "flush_on_sigterm is 'no'; it must be True"),
            ({"queue": {"timeout": "1"}}, "timeout is '1'; it must be seconds"),
            ({"queue": {"name": "x"}}, r"queue has 'name' in it; write logger_name=\.\.\. beside"),
            ({"formatter_options": {"timestamps": True}}, r"did you mean 'timestamp'\?"),
            ({"formatter_options": {"rename_fields": {"a": 1}}}, "has 'a': 1 in it; both must"),
            ({"formatter_options": {"rename_fields": ["a"]}}, r"rename_fields is \['a'\]; it must"),
            ({"formatter_options": {"defaults": "a"}}, "defaults is 'a'; it must be a dict"),
            ({"formatter_options": {"reserved_attrs": "a"}}, "reserved_attrs is the text 'a'"),
            ({"formatter_options": {"timestamp": 1.5}}, "timestamp is 1.5; it must be True, False"),
            (
                {"formatter_options": {"timestamp": "msg"}},
                "timestamp is 'msg', the name of a field",
            ),
            ({"formatter_options": {"prefix": None}}, "prefix is None; it must be text"),
            ({"formatter_options": {"exc_info_as_array": "y"}}, "exc_info_as_array is 'y'"),
            ({"formatter_options": {"fmt": 5}}, r"fmt is 5; it must be a list of attributes"),
            ({"formatter_options": {"fmt": "shop"}}, "fmt is 'shop', which names no attribute"),
        ],
    )
    def test_wrong_kinds_are_refused_by_name(
        self, options: dict[str, Any], message: str, untouched_process: None
    ) -> None:
        root = logging.getLogger()
        before = root.handlers[:], root.level, sys.excepthook
        with pytest.raises(OptionError, match=message) as caught:
            mozlog_py.configure(**options)
        assert isinstance(caught.value, ValueError)
        assert isinstance(caught.value, TypeError)
        assert (root.handlers[:], root.level, sys.excepthook) == before

    def test_wrong_kinds_are_refused_by_dict_config_as_well(self) -> None:
        for options in ({"queue": 5}, {"strict": "no"}, {"max_line_bytes": "1k"}):
            with pytest.raises(OptionError):
                mozlog_py.dict_config("service", **options)  # type: ignore[arg-type]

    def test_wrong_kinds_are_not_what_a_dict_config_resolves_later(self) -> None:
        lines = configured_lines(
            lambda: logging.getLogger("test.ext").info("hi", extra={"a": {"b": 1}}),
            processors=["ext://mozlog_py.processors.flatten"],
        )
        assert lines[0]["Fields"]["a.b"] == 1

    def test_wrong_kinds_are_not_zero_and_one(self) -> None:
        config = mozlog_py.dict_config("service", strict=1, queue=1)  # type: ignore[arg-type]
        assert config["handlers"]["mozlog"]["class"] == "mozlog_py.queued.MozlogQueueHandler"
        config = mozlog_py.dict_config("service", queue=0)  # type: ignore[arg-type]
        assert config["handlers"]["mozlog"]["class"] == "mozlog_py.handlers.MozlogHandler"

    def test_wrong_kinds_have_a_text_whatever_their_repr_does(self) -> None:
        class Odd:
            def __repr__(self) -> str:
                raise LookupError

        with pytest.raises(OptionError, match="queue is of type Odd; it must be"):
            mozlog_py.configure(queue=Odd())  # type: ignore[arg-type]
        with pytest.raises(OptionError, match=r"strict is 'x{199}\.\.\.; it must be"):
            mozlog_py.configure(strict="x" * 1000)  # type: ignore[arg-type]


class TestTypes:
    def test_types_say_what_is_known_at_run_time(self) -> None:
        assert {*get_args(types.FormatName)} == {*config.FORMATS, *config.ALIASES}
        assert get_args(types.Policy) == queued.POLICIES
        queue = {*signature(MozlogQueueHandler).parameters} - {"stream", "name"}
        assert {*types.QueueOptions.__annotations__} == queue
        formatter = {*signature(MozlogFormatter).parameters, "project", "colors"}
        own = {"logger_name", "static_fields", "strict", "hostname", "include_context"}
        own |= {"parse_messages"}
        assert {*types.FormatterOptions.__annotations__} == formatter - own
        assert {*types.RendererOptions.__annotations__} == {*renderer._OPTIONS}

    def test_types_are_the_same_of_both_functions(self) -> None:
        parameters = dict(signature(mozlog_py.configure).parameters)
        del parameters["lean"], parameters["structlog_to_logging"]
        assert parameters == dict(signature(mozlog_py.dict_config).parameters)


class TestFormat:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [("mozlog", MozlogFormatter), ("gcp", CloudFormatter), ("pretty", PrettyFormatter)],
    )
    @pytest.mark.parametrize("source", ["argument", "environment", "in capitals"])
    def test_format_is_chosen_by_name(
        self, name: str, kind: type, source: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if source == "environment":
            monkeypatch.setenv("LOG_FORMAT", name)
            mozlog_py.configure("service")
        else:
            monkeypatch.setenv("LOG_FORMAT", "nonsense")
            mozlog_py.configure("service", format=name if source == "argument" else name.upper())
        (handler,) = logging.getLogger().handlers
        assert isinstance(handler, MozlogHandler)
        assert type(handler.formatter) is kind

    def test_format_is_pretty_on_a_terminal_and_mozlog_elsewhere(self) -> None:
        def formatter(stream: Any) -> str:
            config = mozlog_py.dict_config("service", stream=stream)
            return str(config["formatters"]["mozlog"]["()"])

        assert formatter(Terminal()).endswith("PrettyFormatter")
        assert formatter(io.StringIO()).endswith("MozlogFormatter")
        assert formatter(mock.Mock(spec=["write"])).endswith("MozlogFormatter")

    def test_format_that_is_unknown_is_refused_with_those_that_are_known(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(ValueError, match="format is 'xml'; the known formats are gcp, mozlog"):
            mozlog_py.configure("service", format="xml")
        monkeypatch.setenv("LOG_FORMAT", "xml")
        with pytest.raises(ValueError, match="LOG_FORMAT is 'xml'; the known formats are gcp"):
            mozlog_py.configure("service")

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("json", MozlogFormatter),
            (" JSON ", MozlogFormatter),
            ("text", PrettyFormatter),
            ("plain", PrettyFormatter),
            ("console", PrettyFormatter),
        ],
    )
    @pytest.mark.parametrize("source", ["argument", "environment"])
    def test_format_has_the_names_that_services_have_for_it(
        self, name: Any, kind: type, source: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if source == "environment":
            monkeypatch.setenv("LOG_FORMAT", name)
        mozlog_py.configure("service", format=name if source == "argument" else None)
        (handler,) = logging.getLogger().handlers
        assert type(handler.formatter) is kind

    def test_format_that_is_unknown_lists_these_names_too(self) -> None:
        with pytest.raises(OptionError, match="json for mozlog, plain for pretty, text for pretty"):
            mozlog_py.configure("service", format="yaml")  # type: ignore[arg-type]

    def test_format_in_an_empty_variable_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LOG_FORMAT", " ")
        monkeypatch.setenv("LOG_LEVEL", "")
        config = mozlog_py.dict_config("service", stream=io.StringIO())
        assert config["formatters"]["mozlog"]["()"].endswith("MozlogFormatter")
        assert config["root"]["level"] == logging.INFO


class TestLevel:
    @pytest.mark.parametrize(
        ("given", "level"), [("debug", 10), (" WARNING ", 30), (25, 25), ("25", 25), ("WARN", 30)]
    )
    def test_level_is_a_name_or_a_number(self, given: Any, level: int) -> None:
        assert mozlog_py.dict_config("service", level=given)["root"]["level"] == level

    def test_level_comes_from_the_environment_else(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LOG_LEVEL", "error")
        assert mozlog_py.dict_config("service")["root"]["level"] == logging.ERROR
        assert mozlog_py.dict_config("service", level="INFO")["root"]["level"] == logging.INFO

    def test_level_comes_from_the_second_variable_where_the_first_is_not_set(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LOGGING_LEVEL", "warning")
        assert mozlog_py.dict_config("service")["root"]["level"] == logging.WARNING
        monkeypatch.setenv("LOG_LEVEL", " ")
        assert mozlog_py.dict_config("service")["root"]["level"] == logging.WARNING
        monkeypatch.setenv("LOG_LEVEL", "debug")
        assert mozlog_py.dict_config("service")["root"]["level"] == logging.DEBUG
        monkeypatch.setenv("LOG_LEVEL", "")
        monkeypatch.setenv("LOGGING_LEVEL", "LOUD")
        with pytest.raises(OptionError, match="LOGGING_LEVEL is 'LOUD'; the known levels"):
            mozlog_py.dict_config("service")

    @pytest.mark.parametrize("given", ["LOUD", "", True, 1.5, None])
    def test_level_that_is_unknown_is_refused_with_those_that_are_known(self, given: Any) -> None:
        with pytest.raises(ValueError, match="the known levels are CRITICAL, ERROR, WARNING, INFO"):
            mozlog_py.dict_config("service", loggers={"x": given})

    def test_level_of_a_single_logger_that_is_unknown_names_the_logger(self) -> None:
        with pytest.raises(ValueError, match=r"loggers\['shop.cart'\] is 'LOUD'; the known levels"):
            mozlog_py.dict_config("service", loggers={"shop.cart": "LOUD"})

    def test_level_from_the_environment_that_is_unknown_names_the_variable(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LOG_LEVEL", "LOUD")
        with pytest.raises(ValueError, match="LOG_LEVEL is 'LOUD'"):
            mozlog_py.configure("service")

    def test_level_of_single_loggers_can_be_set(self) -> None:
        def log() -> None:
            logging.getLogger("test.quiet").info("no")
            logging.getLogger("test.loud").debug("yes")

        lines = configured_lines(log, loggers={"test.quiet": "ERROR", "test.loud": "DEBUG"})
        assert [line["Fields"]["msg"] for line in lines] == ["yes"]


class TestConfigure:
    def test_configure_sets_up_the_root_logger_with_all_options(self) -> None:
        lines = configured_lines(
            lambda: logging.getLogger("test.any").info("hi", extra={"a": {"b": {"c": 1}}}),
            hostname="web-1",
            static_fields={"env": "prod"},
            strict=True,
            include_context=False,
            formatter_options={"timestamp": True},
        )
        assert lines[0]["Logger"] == "service"
        assert lines[0]["Hostname"] == "web-1"
        assert lines[0]["Fields"]["a.b.c"] == 1
        assert lines[0]["Fields"]["env"] == "prod"
        assert "Time" in lines[0]["Fields"]

    def test_twice_is_harmless(self) -> None:
        stream = io.StringIO()
        for _ in range(2):
            mozlog_py.configure("service", stream=stream)
        hook = sys.excepthook
        logging.getLogger("test.twice").info("once")
        assert len(checked_lines(stream.getvalue())) == 1
        assert hook is sys.excepthook

    def test_configure_leaves_existing_loggers_enabled(self) -> None:
        existing = logging.getLogger("test.existing")
        lines = configured_lines(lambda: existing.info("hi"))
        assert lines[0]["Type"] == "test.existing"

    def test_configure_makes_lines_of_warnings(self) -> None:
        def warn() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("always")
                logging.captureWarnings(True)
                warnings.warn("old habits", DeprecationWarning, stacklevel=1)

        (line,) = configured_lines(warn)
        assert line["Type"] == "py.warnings"
        assert line["Severity"] == 4
        assert "DeprecationWarning: old habits" in line["Fields"]["msg"]

    def test_configure_writes_to_stdout_wherever_that_goes(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        mozlog_py.configure("service", format="mozlog")
        logging.getLogger("test.stdout").info("hi")
        assert checked_lines(capsys.readouterr().out)[0]["Fields"] == {"msg": "hi"}


class TestDictConfig:
    def test_dict_config_is_complete(self) -> None:
        config = mozlog_py.dict_config("service", format="mozlog", stream=io.StringIO())
        # What gunicorn merges over its own dict, key by key.
        assert set(config) >= {
            "version", "disable_existing_loggers", "formatters", "handlers", "loggers", "root",
        }  # fmt: skip
        logging.config.dictConfig(config)
        logging.getLogger("gunicorn.error").info("up")
        logging.getLogger("uvicorn.access").info("%s", "GET /")
        lines = checked_lines(logging.getLogger().handlers[0].stream.getvalue())  # type: ignore[attr-defined]
        assert [line["Type"] for line in lines] == ["gunicorn.error", "uvicorn.access"]

    @pytest.mark.parametrize("use_colors", [True, False, None])
    def test_dict_config_is_what_uvicorn_takes_whatever_its_use_colors(
        self, use_colors: bool | None
    ) -> None:
        config = mozlog_py.dict_config("service", format="mozlog", stream=io.StringIO())
        uvicorn.Config("none:app", log_config=config, use_colors=use_colors)
        logging.getLogger("uvicorn.error").info("up", extra={"color_message": "\x1b[1mup"})
        (line,) = checked_lines(logging.getLogger().handlers[0].stream.getvalue())  # type: ignore[attr-defined]
        assert line["Fields"] == {"msg": "up"}

    def test_changes_nothing_by_itself(self) -> None:
        before = logging.getLogger().handlers[:], sys.excepthook
        mozlog_py.dict_config("service")
        assert (logging.getLogger().handlers, sys.excepthook) == before


class TestCloudFormat:
    def line(self, made: logging.LogRecord, **options: Any) -> dict[str, Any]:
        formatter = CloudFormatter(**options)
        line = checked(formatter.format(made))
        assert line == checked(formatter.format_bytes(made))
        raw = formatter.convert_record(made)
        assert line == formatter.line_encoder_for("x").conversion(raw, Sanitiser())
        return line

    def test_cloud_format_is_mozlog_with_severity_and_message(self) -> None:
        line = self.line(record("careful", level=30, user="ann"))
        assert (line["severity"], line["message"]) == ("WARNING", "careful")
        assert line["Fields"] == {"user": "ann", "msg": "careful"}
        assert line["Severity"] == 4

    def test_cloud_format_says_something_where_there_is_no_message(self) -> None:
        assert self.line(record("", name="request.summary", code=1))["message"] == "request.summary"

    @pytest.mark.parametrize(
        ("level", "name"),
        [(10, "DEBUG"), (20, "INFO"), (25, "NOTICE"), (40, "ERROR"), (50, "CRITICAL"),
         (60, "ALERT"), (70, "EMERGENCY")],
    )  # fmt: skip
    def test_cloud_format_has_cloud_loggings_name_of_every_severity(
        self, level: int, name: str
    ) -> None:
        assert self.line(record(level=level))["severity"] == name

    def test_cloud_format_has_the_trace_keys_of_the_context(self) -> None:
        with context.bound(trace_id="abc", span_id="def", trace_flags="01"):
            line = self.line(record(), project="shop")
        assert line["logging.googleapis.com/trace"] == "projects/shop/traces/abc"
        assert line["logging.googleapis.com/spanId"] == "def"
        assert line["logging.googleapis.com/trace_sampled"] is True
        line = self.line(record(trace_id="abc", trace_flags="nonsense"))
        assert line["logging.googleapis.com/trace"] == "abc"
        assert line["logging.googleapis.com/trace_sampled"] is False

    def test_cloud_format_has_the_whole_message(self) -> None:
        line = self.line(record("x" * 10_000))
        assert line["message"] == line["Fields"]["msg"] == "x" * 10_000

    def test_cloud_format_finds_the_message_and_the_trace_under_their_new_names(self) -> None:
        renamed = {"msg": "text", "trace_id": "trace"}
        line = self.line(record("hi", trace_id="abc"), rename_fields=renamed)
        assert line["message"] == "hi"
        assert line["logging.googleapis.com/trace"] == "abc"

    def test_cloud_format_keeps_its_members_whatever_the_truth_of_a_field(self) -> None:
        class Array:
            def __bool__(self) -> bool:
                raise ValueError("ambiguous")

            def __repr__(self) -> str:
                return "array"

        line = self.line(record("hi", trace_id=Array()), project="p")
        assert (line["severity"], line["message"]) == ("INFO", "hi")
        assert line["logging.googleapis.com/trace"] == "projects/p/traces/array"

    def test_cloud_format_is_a_mozlog_line_where_a_severity_has_no_name(self) -> None:
        class Custom(CloudFormatter):
            SYSLOG_LEVEL_MAP = {20: 99}

        assert checked(Custom().format(record("hi")))["Fields"] == {"msg": "hi"}

    def test_cloud_format_takes_the_project_of_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "shop")
        config = mozlog_py.dict_config("service", format="gcp")
        assert config["formatters"]["mozlog"]["project"] == "shop"

    def test_cloud_format_survives_hostile_fields(self) -> None:
        class Broken:
            def __repr__(self) -> str:
                raise KeyboardInterrupt

        line = self.line(
            record("\x7f\u2028", name="\ud800", trace_id=Broken(), span_id=[1], trace_flags=[])
        )
        assert line["message"] == "\x7f\u2028"
        assert line["logging.googleapis.com/trace"] == "<unprintable Broken: KeyboardInterrupt>"
        assert line["logging.googleapis.com/spanId"] == "[1]"

    def test_cloud_format_stands_in_lines_that_were_interrupted(self) -> None:
        class Interrupting:
            def __repr__(self) -> str:
                raise KeyboardInterrupt

        stream = io.StringIO()
        handler = MozlogHandler(stream)
        handler.setFormatter(CloudFormatter())
        with pytest.raises(KeyboardInterrupt):
            handler.handle(record(value=Interrupting()))
        assert checked_lines(stream.getvalue())[0]["severity"] == "INFO"


class TestPrettyFormat:
    def test_pretty_format_shows_fields_readably(self) -> None:
        with context.bound(user="ann"):
            text = PrettyFormatter().format(record("hi", path="/x", n=1, tags=["a"], empty=""))
        assert re.search(r" INFO +hi +\[app\]\n    n=1 path=/x tags=\['a'\] user=ann\Z", text)
        assert "\x1b" not in text

    def test_pretty_format_has_colours_where_they_are_wanted(self) -> None:
        assert "\x1b[" in PrettyFormatter(colors=True).format(record())

    @pytest.mark.parametrize(
        ("environment", "stream", "expected"),
        [
            ({}, Terminal(), True),
            ({}, io.StringIO(), False),
            ({"NO_COLOR": "1"}, Terminal(), False),
            ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, Terminal(), False),
            ({"NO_COLOR": ""}, Terminal(), True),
            ({"FORCE_COLOR": "1"}, io.StringIO(), True),
            ({"TERM": "dumb"}, Terminal(), False),
        ],
    )
    def test_pretty_format_asks_the_terminal_and_the_environment_for_colours(
        self,
        environment: dict[str, str],
        stream: Any,
        expected: bool,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("TERM", "xterm")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        config = mozlog_py.dict_config("service", format="pretty", stream=stream)
        assert config["formatters"]["mozlog"]["colors"] is expected

    def test_pretty_format_shows_tracebacks_as_python_does(self) -> None:
        try:
            raise ValueError("boom \x1b[31m")
        except ValueError:
            text = PrettyFormatter().format(record("failed", exc_info=sys.exc_info()))
        assert "Traceback (most recent call last):\n" in text
        assert text.endswith("ValueError: boom \\x1b[31m")
        assert "error=" not in text

    def test_pretty_format_shows_what_led_to_an_exception_and_exceptions_without_text(self) -> None:
        error = KeyError("k")
        error.__cause__ = ValueError()
        text = PrettyFormatter().format(record("failed", exc_info=error))
        assert "\n    ValueError\n\n    The above exception was the direct cause" in text
        assert text.endswith("KeyError: 'k'")
        shown = PrettyFormatter().format(record("x", exc_info=(ValueError, None, None)))
        assert shown.endswith("<class 'ValueError'>")

    def test_pretty_format_shows_what_a_hook_made_of_a_traceback(self) -> None:
        class Redacting(PrettyFormatter):
            def formatException(self, ei: Any) -> str:
                return "REDACTED"

        text = Redacting().format(record("failed", exc_info=ValueError("secret")))
        assert "REDACTED" in text

        class Replacing(PrettyFormatter):
            def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
                return {**log_data, "traceback": "REDACTED", "error": "hidden"}

        text = Replacing().format(record("failed", exc_info=ValueError("secret")))
        assert text.endswith("REDACTED")
        assert "secret" not in text
        assert "error=hidden" in text

    def test_pretty_format_shows_no_forged_line_or_frame(self) -> None:
        forged = '\n2026-01-01 [critical] forged\n  File "forged"'
        text = PrettyFormatter().format(
            record(forged, **{f"key{forged}": 1}, exc_info=ValueError(forged))
        )
        first, *others = text.splitlines()
        assert re.match(r"20\S+ \S+ [A-Z]+ ", first)
        assert [line for line in others if not line.startswith("    ")] == []
        # The exception's text is no frame; the message has the others.
        assert text.endswith(repr(forged)[1:-1])

    def test_bounds_what_it_shows_of_an_exception(self) -> None:
        assert len(PrettyFormatter().format(record("x", exc_info=ValueError("x" * 10**7)))) < 10_000

    def test_pretty_format_writes_what_cannot_be_encoded_as_escapes(self) -> None:
        made = record("\ud800", name="\ud801", exc_info=ValueError("\ud802"), a="\ud803")
        made.levelname = None  # type: ignore[assignment]
        text = PrettyFormatter().format_bytes(made).decode()
        for code in ("ud800", "ud801", "ud802", "ud803"):
            assert f"\\{code}" in text
        assert " None " in text

    def test_pretty_format_hands_interrupts_on_after_the_write(self) -> None:
        class Interrupting:
            def __repr__(self) -> str:
                raise KeyboardInterrupt

        stream = io.StringIO()
        handler = MozlogHandler(stream)
        handler.setFormatter(PrettyFormatter())
        with pytest.raises(KeyboardInterrupt):
            handler.handle(record("hi", value=Interrupting()))
        assert " hi " in stream.getvalue()
        assert "<unprintable Interrupting: KeyboardInterrupt>" in stream.getvalue()

    def test_pretty_format_survives_what_is_no_record(self) -> None:
        class Slotted:
            __slots__ = ()

        text = PrettyFormatter().format(Slotted())  # type: ignore[arg-type]
        assert "record not readable" in text

    def test_pretty_format_shows_the_text_of_a_traceback_from_elsewhere(self) -> None:
        text = PrettyFormatter().format(record(exc_text="Traceback: far\n  away", stack_info="s"))
        assert text.endswith("\n    Traceback: far\n      away")
        assert "\n    s\n" in text

    def test_pretty_format_lets_no_text_from_outside_drive_the_terminal(self) -> None:
        hostile = "\x1b[2J\x07\x9b\u2028x"
        made = record(hostile, name=hostile, **{hostile: hostile, "list": [hostile]})
        made.levelname = hostile
        text = PrettyFormatter().format(made)
        assert text.replace("\n", "").isprintable()

    def test_pretty_format_keeps_fields_that_are_called_like_its_columns(self) -> None:
        text = PrettyFormatter().format(record(timestamp="mine", event="too", exception="e"))
        assert "\n    event=too exception=e timestamp=mine" in text

    def test_pretty_format_falls_back_on_the_line_where_drawing_fails(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mozlog_py.pretty.draw", None)
        assert checked(PrettyFormatter().format(record()))["Fields"] == {"msg": "hello"}

    def test_pretty_format_survives_records_without_a_time_or_a_level(self) -> None:
        made = record("hi", created=1e300)
        made.levelname = None  # type: ignore[assignment]
        assert "hi" in PrettyFormatter().format(made)
        assert " ž ".encode() in PrettyFormatter().format_bytes(record("ž"))


class TestUncaught:
    def test_exceptions_are_logged_although_a_later_configuration_disabled_all_loggers(
        self,
    ) -> None:
        stream = io.StringIO()
        mozlog_py.configure("service", stream=stream)
        logging.config.dictConfig(
            {
                "version": 1,
                "handlers": {"h": {"class": "mozlog_py.MozlogHandler", "stream": stream}},
                "root": {"handlers": ["h"]},
            }
        )
        sys.excepthook(ValueError, ValueError("heard"), None)
        (line,) = checked_lines(stream.getvalue())
        assert line["Fields"]["error"] == "ValueError('heard')"

    def test_exceptions_are_left_to_the_interpreter_where_logging_is_switched_off(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[Any] = []
        monkeypatch.setattr(sys, "__excepthook__", lambda *args: seen.append(args))
        monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
        logging.disable(logging.CRITICAL)
        try:
            error = ValueError()
            assert configured_lines(lambda: sys.excepthook(ValueError, error, None)) == []
        finally:
            logging.disable(logging.NOTSET)
        assert seen == [(ValueError, error, None)]

    @pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
    def test_a_hook_that_hands_on_to_ours_is_called_once(
        self, kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[str] = []
        monkeypatch.setattr(sys, "__excepthook__", lambda *_: seen.append("interpreter"))
        monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
        stream = io.StringIO()
        mozlog_py.configure("service", stream=stream)
        ours = sys.excepthook

        def reporter(*args: Any) -> None:
            seen.append("reporter")
            ours(*args)

        sys.excepthook = reporter
        mozlog_py.configure("service", stream=stream)
        sys.excepthook(kind, kind("x"), None)
        lines = checked_lines(stream.getvalue())
        if kind is ValueError:
            assert [line["Fields"]["error"] for line in lines] == ["ValueError('x')"]
            assert seen == ["reporter"]
        else:
            assert lines == []
            assert seen == ["reporter", "interpreter"]

    def test_hooks_of_threads_and_of_del_that_hand_on_to_ours_are_called_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
        monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
        stream = io.StringIO()
        mozlog_py.configure("service", stream=stream)
        of_threads, of_del = threading.excepthook, sys.unraisablehook
        seen: list[str] = []
        threading.excepthook = lambda args: (seen.append("thread"), of_threads(args))[0]
        sys.unraisablehook = lambda args: (seen.append("del"), of_del(args))[0]
        mozlog_py.configure("service", stream=stream)
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()

        class Last:
            def __del__(self) -> None:
                raise ValueError("too late")

        kept = Last()
        del kept
        assert len(checked_lines(stream.getvalue())) == 2
        assert seen == ["thread", "del"]

    def test_exception_while_a_former_hook_runs_is_logged_too(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Last:
            def __del__(self) -> None:
                raise RuntimeError("in del")

        def former(*_: Any) -> None:
            kept = Last()
            del kept

        monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
        monkeypatch.setattr(sys, "excepthook", former)
        lines = configured_lines(lambda: sys.excepthook(ValueError, ValueError("main"), None))
        assert [line["Fields"]["error"] for line in lines] == [
            "ValueError('main')",
            "RuntimeError('in del')",
        ]

    def test_hook_that_wraps_each_exception_in_another_comes_to_an_end(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
        stream = io.StringIO()
        mozlog_py.configure("service", stream=stream)
        ours = sys.excepthook
        sys.excepthook = lambda kind, error, frames: ours(kind, kind("wrapped"), frames)
        mozlog_py.configure("service", stream=stream)
        sys.excepthook(ValueError, ValueError("first"), None)
        assert 1 < len(checked_lines(stream.getvalue())) < 20

    def test_cancellation_that_was_not_caught_is_logged(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
        error = asyncio.CancelledError()
        (line,) = configured_lines(lambda: sys.excepthook(type(error), error, None))
        assert line["Fields"]["error"] == "CancelledError()"

    def test_exceptions_are_logged_and_former_hooks_called(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        called: list[Any] = []
        monkeypatch.setattr(sys, "excepthook", lambda *args: called.append(args))
        error = ValueError("nobody caught me")
        (line,) = configured_lines(lambda: sys.excepthook(ValueError, error, None))
        assert (line["Type"], line["Severity"]) == ("uncaught", 2)
        assert line["Fields"]["error"] == "ValueError('nobody caught me')"
        assert called == [(ValueError, error, None)]

    @pytest.mark.parametrize("kind", ["main", "thread", "finaliser"])
    @pytest.mark.parametrize("is_raising", [False, True])
    def test_exceptions_are_lines_first_and_reported_by_the_former_hook_before_logging(
        self, kind: str, is_raising: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[str] = []
        error = ValueError("reported")

        class Stream(io.StringIO):
            def write(self, text: str) -> int:
                seen.append("line")
                return super().write(text)

        def former(*_: Any) -> None:
            seen.append("former hook")
            if is_raising:
                raise RuntimeError("of the hook")

        def call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
            usual(logger, record)
            seen.append(f"{record.name}: {record.exc_info and record.exc_info[1]}")

        usual = logging.Logger.callHandlers
        monkeypatch.setattr(logging.Logger, "callHandlers", call_handlers)
        module, name, args = {
            "main": (sys, "excepthook", (ValueError, error, None)),
            "thread": (
                threading,
                "excepthook",
                (threading.ExceptHookArgs((ValueError, error, None, None)),),
            ),
            "finaliser": (
                sys,
                "unraisablehook",
                (
                    mock.Mock(
                        exc_type=ValueError,
                        exc_value=error,
                        exc_traceback=None,
                        err_msg=None,
                        object=former,
                    ),
                ),
            ),
        }[kind]
        monkeypatch.setattr(module, name, former)
        stream = Stream()
        mozlog_py.configure("shop", stream=stream)
        with pytest.raises(RuntimeError) if is_raising else contextlib.nullcontext():
            getattr(module, name)(*args)
        assert seen == ["line", "former hook", "uncaught: reported"]
        assert len(checked_lines(stream.getvalue())) == 1

    @pytest.mark.parametrize("options", ["", ", queue=True"], ids=["direct", "queue"])
    def test_exceptions_are_lines_where_the_former_hook_ends_the_process(
        self, options: str
    ) -> None:
        code = f"""
import os, sys, mozlog_py
sys.excepthook = lambda *_: os._exit(7)
mozlog_py.configure("shop", format="mozlog"{options})
raise ValueError("why the service ended")
"""
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=False, timeout=60
        )
        (line,) = checked_lines(done.stdout)
        assert line["Fields"]["error"] == "ValueError('why the service ended')"
        assert (done.returncode, done.stderr) == (7, b"")

    def test_exceptions_that_a_filter_drops_are_seen_nowhere_but_by_former_hooks(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        seen: list[str] = []
        monkeypatch.setattr(sys, "excepthook", lambda *_: seen.append("former hook"))
        monkeypatch.setattr(logging.Logger, "callHandlers", lambda *_: seen.append("reporter"))
        logger = logging.getLogger("uncaught")

        def drop(_: logging.LogRecord) -> bool:
            return False

        logger.addFilter(drop)
        try:
            error = ValueError("dropped")
            assert configured_lines(lambda: sys.excepthook(ValueError, error, None)) == []
        finally:
            logger.removeFilter(drop)
        assert seen == ["former hook"]
        assert capsys.readouterr().err == ""

    def test_exceptions_of_threads_are_logged(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # pytest has a hook there of its own, which fails the test.
        monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)

        def work() -> None:
            thread = threading.Thread(target=lambda: 1 / 0, name="worker")
            thread.start()
            thread.join()
            quiet = threading.Thread(target=sys.exit)
            quiet.start()
            quiet.join()

    def test_exceptions_of_threads_have_what_was_bound_in_the_thread(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)

        def fail() -> None:
            context.bind(order=7)
            raise ValueError

        def work() -> None:
            thread = threading.Thread(target=fail)
            thread.start()
            thread.join()

        (line,) = configured_lines(work)
        assert line["Fields"]["order"] == 7
        assert context.current() == {}

    def test_exceptions_that_python_can_only_ignore_are_logged(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)

        class Last:
            def __del__(self) -> None:
                raise ValueError("too late")

        def work() -> None:
            kept = Last()
            del kept

        (line,) = configured_lines(work)
        assert line["Severity"] == 3
        assert line["Fields"]["error"] == "ValueError('too late')"
        assert "__del__" in line["Fields"]["msg"]

    def test_keyboard_interrupts_are_left_to_the_interpreter(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[Any] = []
        monkeypatch.setattr(sys, "__excepthook__", lambda *args: seen.append(args))
        monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
        interrupt = KeyboardInterrupt()
        lines = configured_lines(lambda: sys.excepthook(KeyboardInterrupt, interrupt, None))
        assert lines == []
        assert seen == [(KeyboardInterrupt, interrupt, None)]

    @pytest.mark.parametrize("options", ["", ", queue=True"], ids=["direct", "queue"])
    @pytest.mark.parametrize("kind", ["main", "thread", "finaliser"])
    def test_exceptions_whose_line_cannot_be_written_are_shown_on_stderr(
        self, kind: str, options: str
    ) -> None:
        code = f"""
import logging, threading, mozlog_py
mozlog_py.configure("shop", format="mozlog"{options})
class Pool:
    def __del__(self): fail()
def fail(): raise ValueError("why the service ended")
if {kind!r} == "main": fail()
elif {kind!r} == "thread": threading.Thread(target=fail).start()
else: Pool()
"""
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [sys.executable, "-c", code],
                stdout=full, stderr=subprocess.PIPE, check=False, timeout=60,
            )  # fmt: skip
        assert b"ValueError: why the service ended" in done.stderr

    def test_exceptions_are_shown_on_stderr_if_no_handler_writes(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        seen: list[Any] = []
        monkeypatch.setattr(sys, "__excepthook__", lambda *args: seen.append(args))
        monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
        mozlog_py.configure("shop", stream=io.StringIO())
        for handlers in ([logging.NullHandler()], []):
            logging.getLogger().handlers[:] = handlers
            error = ValueError("shown")
            sys.excepthook(ValueError, error, None)
            assert seen.pop() == (ValueError, error, None)
        assert seen == []
        assert capsys.readouterr().err == ""

    def test_uncaught_is_installed_once(self) -> None:
        excepthooks.log_uncaught()
        former = dict(excepthooks._former_hooks)
        excepthooks.log_uncaught()
        assert excepthooks._former_hooks == former

    @pytest.mark.parametrize("unbuffered", ["", "1"])
    def test_exception_of_a_process_is_a_line_and_its_exit_status_stays(
        self, unbuffered: str
    ) -> None:
        source = """
import threading, mozlog_py
mozlog_py.configure("service", format="mozlog")
class Last:
    def __del__(self):
        raise ValueError("in del")
kept = Last()
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
raise LookupError("at the end")
"""
        done = subprocess.run(
            [sys.executable, "-c", source],
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered, "LOG_FORMAT": ""},
            capture_output=True,
            timeout=60,
            check=False,
        )
        errors = [line["Fields"]["error"] for line in checked_lines(done.stdout)]
        assert errors == [
            "ZeroDivisionError('division by zero')",
            "LookupError('at the end')",
            "ValueError('in del')",
        ]
        assert done.returncode == 1
        assert done.stderr == b""


def test_structlog_is_imported_by_the_application_alone() -> None:
    source = """
import sys, mozlog_py
mozlog_py.MozlogFormatter(), mozlog_py.dict_config("service", format="mozlog")
assert not any(name.split(".")[0] == "structlog" for name in sys.modules)
mozlog_py.configure("service", format="mozlog")
assert "structlog" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert Path(mozlog_py.__file__).name == "__init__.py"


CLOSED = """
import logging, sys, threading
go_on = threading.Event()
thread = threading.Thread(target=go_on.wait, daemon=True)
thread.start()
stdout = sys.stdout
{close}
import mozlog_py
mozlog_py.configure("shop", format="mozlog", stream=sys.stderr)
go_on.set()
thread.join()
logging.getLogger("shop").info("by logging")
sys.stdout = sys.stderr
import structlog
structlog.get_logger("shop").info("by structlog")
"""


@pytest.mark.parametrize("close", ["stdout.close()", "stdout.detach()"])
def test_configure_beside_another_thread_takes_a_closed_stdout(close: str) -> None:
    """structlog asks stdout whether it is a terminal while it is imported."""
    done = subprocess.run(
        [sys.executable, "-c", CLOSED.format(close=close)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    messages = [line["Fields"]["msg"] for line in checked_lines(done.stderr)]
    assert messages == ["by logging", "by structlog"]
