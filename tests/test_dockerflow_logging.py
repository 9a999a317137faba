"""dockerflow.logging: the names that services import from upstream."""

import json
import logging
import logging.config
import sys
import uuid
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import pytest
from conformance import Capture, checked, fields, record, render

import dockerflow.logging
import mozlog_py
from dockerflow.logging import (
    JsonLogFormatter,
    MozlogFormatter,
    MozlogHandler,
    RequestIdLogFilter,
    SafeJSONEncoder,
    get_or_generate_request_id,
    request_id_context,
    safer_format_traceback,
)
from mozlog_py._fields.late_request_ids import attach_request_id, remember_served, served
from mozlog_py.gcp import CloudFormatter

ATOM = "{mozlog.request_id}e"
# The atoms of gunicorn's and granian's access logs.
GUNICORN = {
    "h": "10.0.0.1", "m": "GET", "U": "/a", "q": "", "r": "GET /a HTTP/1.1", "s": "200", "D": 2345,
    "a": "agent", ATOM: "-",
}  # fmt: skip
GRANIAN = {
    "addr": "10.0.0.1", "dt_ms": 2.9, "status": 200, "path": "/a", "query_string": "",
    "method": "GET",
}  # fmt: skip


class TestNames:
    def test_names_are_the_librarys_own_objects(self) -> None:
        assert issubclass(MozlogFormatter, mozlog_py.MozlogFormatter)
        assert MozlogHandler is mozlog_py.MozlogHandler
        assert request_id_context is mozlog_py.context.request_id_context

    def test_names_are_all_listed(self) -> None:
        assert dockerflow.logging.__all__ == [
            "JsonLogFormatter",
            "MozlogFormatter",
            "MozlogHandler",
            "RequestIdLogFilter",
            "SafeJSONEncoder",
            "get_or_generate_request_id",
            "request_id_context",
            "safer_format_traceback",
        ]

    def test_names_of_the_formatters_attributes_are_there(self) -> None:
        assert MozlogFormatter.LOGGING_FORMAT_VERSION == "2.0"
        assert MozlogFormatter.SYSLOG_LEVEL_MAP == {50: 2, 40: 3, 30: 4, 20: 6, 10: 7}
        assert MozlogFormatter.DEFAULT_SYSLOG_LEVEL == 7
        excluded = MozlogFormatter.EXCLUDED_LOGRECORD_ATTRS
        assert {"args", "asctime", "logger_name", "message", "msg", "taskName"} <= excluded
        assert isinstance(excluded, set)
        formatter = MozlogFormatter(logger_name="x", hostname="h")
        assert (formatter.logger_name, formatter.hostname) == ("x", "h")


class TestMozlogFormatter:
    def test_mozlog_formatter_is_what_every_formatter_of_the_library_is_an_instance_of(
        self,
    ) -> None:
        class Own(MozlogFormatter):
            pass

        for formatter in (mozlog_py.MozlogFormatter(), CloudFormatter(), MozlogFormatter(), Own()):
            assert isinstance(formatter, MozlogFormatter)
        assert isinstance(MozlogHandler().formatter, MozlogFormatter)
        assert not isinstance(logging.Formatter(), MozlogFormatter)
        assert not isinstance(mozlog_py.MozlogFormatter(), Own)
        assert not isinstance(MozlogFormatter(), JsonLogFormatter)

    def test_mozlog_formatter_can_be_combined_with_an_abstract_class(self) -> None:
        class Named(ABC):
            @abstractmethod
            def name(self) -> str: ...

        class Own(MozlogFormatter, Named):
            def name(self) -> str:
                return "own"

        assert (render(Own(), record())["Fields"], Own().name()) == ({"msg": "hello"}, "own")

    @pytest.mark.parametrize("kind", [MozlogFormatter, JsonLogFormatter])
    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_mozlog_formatter_warns_of_a_text_that_names_no_field_and_leaves_it_out(
        self, kind: type
    ) -> None:
        with pytest.warns(UserWarning, match="write logger_name='shop'.*It is left out"):
            formatter = kind("shop")
        logged = record()
        assert render(formatter, logged) == render(kind(), logged)

    @pytest.mark.parametrize("kind", [MozlogFormatter, JsonLogFormatter])
    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_mozlog_formatter_goes_the_handlers_short_way(self, kind: type) -> None:
        handler = MozlogHandler()
        handler.setFormatter(kind())
        assert handler._direct is handler.formatter

        class Own(kind):  # type: ignore[misc, valid-type]
            def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
                return {**super().convert_record(record), "Logger": record.logger_name}

        handler.setFormatter(Own())
        assert handler._direct is None

    def test_mozlog_formatter_hears_what_replaces_its_methods(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(MozlogFormatter, "SYSLOG_LEVEL_MAP", {20: 1})
        assert render(MozlogFormatter(), record())["Severity"] == 1

    def test_mozlog_formatter_works_from_a_dict_config_and_an_ini_file(
        self, tmp_path: Path
    ) -> None:
        ini = tmp_path / "logging.ini"
        ini.write_text(
            "[loggers]\nkeys=root\n[handlers]\nkeys=h\n[formatters]\nkeys=f\n"
            "[logger_root]\nhandlers=\n"
            "[handler_h]\nclass=dockerflow.logging.MozlogHandler\nargs=(sys.stdout, 'shop')\n"
            "formatter=f\n[formatter_f]\nclass=dockerflow.logging.MozlogFormatter\n",
            "utf-8",
        )
        root = logging.getLogger()
        before = root.handlers[:], root.level
        try:
            logging.config.fileConfig(ini, disable_existing_loggers=False)
        finally:
            root.handlers[:], root.level = before
        configurator = logging.config.DictConfigurator({})
        made = configurator.configure_formatter({"class": "dockerflow.logging.MozlogFormatter"})
        assert type(made) is MozlogFormatter


class TestJsonLogFormatter:
    def test_json_log_formatter_is_the_formatter_with_a_deprecation_warning(self) -> None:
        # Upstream's text, which filters of services match.
        text = "JsonLogFormatter has been deprecated. Use MozlogFormatter instead"
        with pytest.warns(DeprecationWarning, match=f"^{text}$") as warned:
            formatter = JsonLogFormatter(logger_name="old")
        assert warned[0].filename == __file__
        assert render(formatter, record())["Logger"] == "old"


class TestSafeJSONEncoder:
    def test_safe_json_encoder_writes_the_repr_of_what_it_does_not_know(self) -> None:
        class Broken:
            def __repr__(self) -> str:
                raise LookupError

        text = json.dumps({"a": {1}, "b": Broken()}, cls=SafeJSONEncoder)
        assert json.loads(text) == {"a": "{1}", "b": "<unprintable Broken: LookupError>"}


class TestTraceback:
    def test_traceback_begins_and_ends_as_people_search_for_it(self) -> None:
        try:
            raise ValueError("two\nlines")
        except ValueError:
            text = safer_format_traceback(*sys.exc_info())
        assert text.startswith("Uncaught exception:\n  File ")
        assert text.endswith("\n<class 'ValueError'>\nValueError('two\\nlines')\n")

    def test_traceback_of_no_exception_is_empty(self) -> None:
        assert safer_format_traceback(None, None, None) == ""


class TestRequestIdLogFilter:
    def test_request_id_log_filter_puts_the_request_id_on_the_record(self) -> None:
        made = record()
        assert RequestIdLogFilter().filter(made)
        assert made.rid is None  # type: ignore[attr-defined]
        assert fields(MozlogFormatter(), made) == {"msg": "hello"}
        token = request_id_context.set("abc")
        try:
            assert RequestIdLogFilter().filter(made)
        finally:
            request_id_context.reset(token)
        assert fields(MozlogFormatter(), made) == {"rid": "abc", "msg": "hello"}

    def test_request_id_log_filter_keeps_an_id_that_the_record_came_with_where_there_is_no_request(
        self,
    ) -> None:
        # As an access line of gunicorn does.
        made = record(rid="of its own")
        assert RequestIdLogFilter().filter(made)
        assert made.rid == "of its own"  # type: ignore[attr-defined]
        token = request_id_context.set("abc")
        try:
            assert RequestIdLogFilter().filter(made)
        finally:
            request_id_context.reset(token)
        assert made.rid == "abc"  # type: ignore[attr-defined]

    @pytest.mark.parametrize(
        ("name", "message", "arguments"),
        [
            ("gunicorn.access", "%(h)s", [GUNICORN]),
            ("granian.access", "%(addr)s", [GRANIAN]),
            (
                "werkzeug",
                '10.0.0.1 - - [28/Nov/2026 16:03:12] "%s" %s %s',
                ["GET /a HTTP/1.1", "200", "-"],
            ),
        ],
    )
    def test_request_id_log_filter_finds_the_id_of_an_access_line_after_its_request(
        self, name: str, message: str, arguments: list[Any]
    ) -> None:
        """These servers log when the application has returned; upstream leaves its id behind."""
        console, file = RequestIdLogFilter(), RequestIdLogFilter()
        assert served.is_wanted
        remember_served("r1", "GET", "/a")
        first, unseen = (record(message, *arguments, name=name) for _ in range(2))
        for made in (first, unseen):
            assert console.filter(made)
            assert file.filter(made)
        assert logging.Formatter("[%(rid)s]").format(first) == "[r1]"
        assert fields(MozlogFormatter(), first)["rid"] == "r1"
        assert "rid" not in fields(MozlogFormatter(), unseen)

    def test_request_id_log_filter_finds_the_id_that_gunicorn_shows_of_the_environ(self) -> None:
        made = record("%(h)s", {**GUNICORN, ATOM: "r1"}, name="gunicorn.access")
        assert RequestIdLogFilter().filter(made)
        assert made.rid == "r1"  # type: ignore[attr-defined]

    def test_access_line_lacks_what_a_filter_has_hidden(self) -> None:
        made = record("%(h)s", {**GUNICORN, ATOM: "r1"}, name="gunicorn.access")
        shown = fields(MozlogFormatter(), made)
        assert {"method", "rid"} < {*shown}
        again = record("%(h)s", {**GUNICORN, ATOM: "r1"}, name="gunicorn.access")
        again.method = again.rid = None  # type: ignore[attr-defined]
        hidden = fields(MozlogFormatter(), again)
        assert {*shown} - {*hidden} == {"method"}
        assert hidden["rid"] == "r1"

    def test_request_id_log_filter_leaves_an_access_line_of_another_request_without_id(
        self,
    ) -> None:
        log_filter = RequestIdLogFilter()
        remember_served("r1", "POST", "/b")
        for _ in range(2):
            made = record("%(h)s", GUNICORN, name="gunicorn.access")
            assert log_filter.filter(made)
            assert "rid" not in fields(MozlogFormatter(), made)

    def test_request_id_log_filter_finds_the_id_of_an_exception_after_its_request(self) -> None:
        error = ValueError("boom")
        attach_request_id(error, "r1")
        made = record(name="gunicorn.error", exc_info=(ValueError, error, None))
        assert RequestIdLogFilter().filter(made)
        assert made.rid == "r1"  # type: ignore[attr-defined]

    def test_request_id_log_filter_lets_a_record_of_any_attributes_through(self) -> None:
        made = record()
        made.name, made.args = [], (1,)  # type: ignore[assignment]
        assert RequestIdLogFilter().filter(made)
        assert made.rid is None  # type: ignore[attr-defined]

    def test_request_id_log_filter_of_the_applications_own_does_not_hide_the_id_of_gunicorn(
        self,
    ) -> None:
        # It has asked the context, as those do that services write themselves.
        made = record("%(h)s", {**GUNICORN, ATOM: "r1"}, name="gunicorn.access", rid=None)
        assert fields(MozlogFormatter(), made)["rid"] == "r1"

    def test_request_id_log_filter_is_not_needed_for_it(self) -> None:
        capture = Capture()
        request_id_context.set("abc")
        capture.logger.info("hi")
        request_id_context.set(None)
        capture.logger.info("hi")
        assert capture.fields == [{"rid": "abc", "msg": "hi"}, {"msg": "hi"}]


class TestRequestId:
    @pytest.mark.parametrize("header", ["x-request-id", "X-Request-ID", "X-REQUEST-ID"])
    def test_request_id_is_read_from_the_header_in_any_case(self, header: str) -> None:
        assert get_or_generate_request_id({header: "abc-123"}) == "abc-123"

    def test_request_id_is_read_from_a_header_of_another_name(self) -> None:
        headers = {"X-Trace": "t", "x-request-id": "r"}
        assert get_or_generate_request_id(headers, "x-trace") == "t"
        assert get_or_generate_request_id(headers, header_name="X-Trace") == "t"

    @pytest.mark.parametrize(
        "value",
        ["", " ", "a" * 129, "a\nb", "\x1b[31m", "žába", "a b", None, 7, ["a"]],
    )
    def test_request_id_that_is_missing_or_unfit_is_generated(self, value: Any) -> None:
        got = get_or_generate_request_id({"x-request-id": value})
        assert str(uuid.UUID(got)) == got
        assert got != get_or_generate_request_id({})

    def test_request_id_of_a_doubled_header_is_the_first_that_fits(self) -> None:
        assert get_or_generate_request_id({"x-request-id": "a" * 128}) == "a" * 128
        assert get_or_generate_request_id({"x-request-id": "sp ace, first,second"}) == "first"


class TestUpstreamPromises:
    def test_format_and_convert_record_say_the_same(self) -> None:
        formatter = MozlogFormatter()
        made = record("%s", "x", user="ann", n=1, items=[1, {"a": None}])
        assert checked(formatter.format(made)) == formatter.convert_record(made)

    def test_request_summary_with_an_empty_message(self) -> None:
        summary = {
            "agent": "curl",
            "errno": 0,
            "method": "GET",
            "path": "/",
            "rid": "abc",
            "t": 3,
            "uid": "",
        }
        made = record("", name="request.summary", lang=None, **summary)
        line = render(MozlogFormatter(), made)
        assert line["Type"] == "request.summary"
        assert line["Fields"] == summary

    def test_subclass_of_upstream_style_works(self) -> None:
        class Custom(MozlogFormatter):
            EXCLUDED_LOGRECORD_ATTRS = MozlogFormatter.EXCLUDED_LOGRECORD_ATTRS | {"request"}

            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.hostname = "fixed"

            def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
                out = super().convert_record(record)
                out["Fields"]["env"] = "prod"
                return out

        line = render(Custom(logger_name="x"), record(request=object(), a=1))
        assert (line["Hostname"], line["Logger"]) == ("fixed", "x")
        assert line["Fields"] == {"a": 1, "msg": "hello", "env": "prod"}
