"""MozlogRenderer: events of structlog become the same lines, in the chains of its recipes."""

from __future__ import annotations

import datetime
import io
import logging
import sys
import time
from typing import Any

import hostile
import pytest
import structlog
from conformance import Capture, checked, checked_lines, fields, record
from hypothesis import given
from hypothesis import strategies as st
from strategies import EXTRA, KEYS, NESTED

from mozlog_py import MozlogFormatter, MozlogHandler, context
from mozlog_py._config.options import OptionError
from mozlog_py.processors import StaticFields
from mozlog_py.structlog import MozlogRenderer, processors

TEXT_FACTORIES = [structlog.PrintLoggerFactory, structlog.WriteLoggerFactory]


pytestmark = pytest.mark.usefixtures("unconfigured_structlog")


def rendered(event_dict: dict[Any, Any], method: str = "info", **options: Any) -> dict[str, Any]:
    """Return the parsed line of an event dict, rendered without a chain."""
    line = MozlogRenderer("shop", **options)(
        structlog.BytesLogger(io.BytesIO()), method, event_dict
    )
    return checked(line, strict=options.get("strict", False))


def shown(event_dict: dict[Any, Any], method: str = "info", **options: Any) -> dict[str, Any]:
    got = rendered(event_dict, method, **options)["Fields"]
    assert isinstance(got, dict)
    return got


class TestEnvelope:
    def test_envelope_is_the_same_as_of_the_standard_library(self) -> None:
        before = time.time_ns()
        line = rendered({"event": "hi", "logger": "shop.cart"}, hostname="web-1")
        of_record = checked(MozlogFormatter(hostname="web-1", logger_name="shop").format(record()))
        assert list(line) == list(of_record)
        assert (line["Type"], line["Logger"], line["Hostname"]) == ("shop.cart", "shop", "web-1")
        assert before <= line["Timestamp"] <= time.time_ns()
        assert line["Fields"] == {"msg": "hi"}

    def test_envelope_has_the_applications_name_for_a_logger_without_one(self) -> None:
        assert rendered({"event": "hi"})["Type"] == "shop"

    @pytest.mark.parametrize(
        ("method", "severity"),
        [("debug", 7), ("info", 6), ("warning", 4), ("warn", 4), ("error", 3), ("exception", 3),
         ("critical", 2), ("fatal", 2), ("msg", 6), ("unheard_of", 6)],
    )  # fmt: skip
    def test_envelope_has_the_severity_of_the_method(self, method: str, severity: int) -> None:
        assert rendered({"event": "hi"}, method)["Severity"] == severity

    @pytest.mark.parametrize("level", ["error", "ERROR"])
    def test_envelope_has_the_level_that_structlog_adds_as_its_severity(self, level: Any) -> None:
        line = rendered({"event": "hi", "level": level}, "error")
        assert line["Severity"] == 3
        assert line["Fields"] == {"msg": "hi"}

    @pytest.mark.parametrize("level", ["error", "ERROR", 40, 3])
    def test_envelope_has_the_severity_of_the_call_where_a_field_is_named_level(
        self, level: Any
    ) -> None:
        line = rendered({"event": "hi", "level": level})
        assert line["Severity"] == 6
        assert line["Fields"] == {"level": level, "msg": "hi"}

    def test_envelope_has_the_severity_of_a_levels_number(self) -> None:
        line = rendered({"event": "hi", "level": "notice", "level_number": 25})
        assert (line["Severity"], line["Fields"]) == (5, {"msg": "hi"})

    def test_envelope_leaves_a_levels_number_alone_that_is_none(self) -> None:
        line = rendered({"event": "hi", "level_number": []}, "error")
        assert (line["Severity"], line["Fields"]) == (3, {"level_number": [], "msg": "hi"})

    def test_envelope_leaves_a_level_alone_that_is_the_users_own_idea(self) -> None:
        line = rendered({"event": "lift", "level": "third floor"}, "warning")
        assert line["Severity"] == 4
        assert line["Fields"] == {"level": "third floor", "msg": "lift"}

    def test_envelope_has_the_time_of_a_time_stamper(self) -> None:
        stamp = time.time() - 1.5
        line = rendered({"event": "hi", "timestamp": stamp})
        assert (line["Timestamp"], line["Fields"]) == (int(stamp * 1e9), {"msg": "hi"})

    @pytest.mark.parametrize("stamp", [1234567890.5, 1700000000, 7, -1])
    def test_envelope_has_the_time_of_the_call_where_a_field_is_named_timestamp(
        self, stamp: float
    ) -> None:
        before = time.time_ns()
        line = rendered({"event": "hi", "timestamp": stamp})
        assert before <= line["Timestamp"] <= time.time_ns()
        assert line["Fields"] == {"timestamp": stamp, "msg": "hi"}

    def test_envelope_survives_a_time_that_is_none(self) -> None:
        assert rendered({"event": "hi", "timestamp": float("nan")})["Timestamp"] > 10**18

    def test_envelope_has_a_time_in_words_beside_its_own(self) -> None:
        line = rendered({"event": "hi", "timestamp": "2026-01-02T03:04:05Z"})
        assert line["Fields"] == {"msg": "hi", "Time": "2026-01-02T03:04:05Z"}


class TestFields:
    def test_fields_hold_the_bound_fields_and_those_of_the_call(self) -> None:
        got = shown({"event": "hi", "user": "ann", "n": [1, {2}], "none": None})
        assert got == {"user": "ann", "n": [1, "{2}"], "msg": "hi"}

    def test_fields_keep_a_key_that_clashes_with_ours_beside_it(self) -> None:
        got = shown({"event": "hi", "msg": "mine", "error": "too", "exc_info": ValueError("x")})
        assert got["msg"] == "hi"
        assert got["error"] == "ValueError('x')"
        assert (got["extra.msg"], got["extra.error"]) == ("mine", "too")

    def test_fields_hold_the_context_and_the_static_fields_below_the_event(self) -> None:
        static = {"env": "prod", "user": "nobody", "a": "static"}
        structlog.contextvars.bind_contextvars(trace="t", user="theirs")
        with context.bound(user="ann", a="bound"):
            got = shown({"event": "hi", "a": "said"}, static_fields=static)
            bare = shown({"event": "hi"}, include_context=False)
        assert got == {"env": "prod", "user": "ann", "a": "said", "trace": "t", "msg": "hi"}
        assert bare == {"msg": "hi"}

    def test_fields_do_not_change_the_event_dict(self) -> None:
        event = {"event": "hi", "level": "info", "timestamp": 1.0, "exc_info": True, "a": [1]}
        before = dict(event)
        rendered(event)
        assert event == before

    def test_fields_are_those_of_an_event_that_is_json_or_a_dict(self) -> None:
        assert shown({"event": '{"a": 1}', "b": 2}) == {"b": 2, "a": 1}
        assert shown({"event": {"a": 1}, "b": 2}) == {"b": 2, "a": 1}

    @pytest.mark.parametrize(("event", "msg"), [(7, "7"), (ValueError("x"), "x")])
    def test_fields_show_an_event_that_is_no_text_as_text(self, event: Any, msg: str) -> None:
        assert shown({"event": event}) == {"msg": msg}
        assert shown({"event": None, "a": 1}) == shown({"a": 1}) == {"a": 1}

    def test_format_positional_arguments(self) -> None:
        assert shown({"event": "%s of %d", "positional_args": ("a", 2)}) == {"msg": "a of 2"}
        assert shown({"event": "%(a)s", "positional_args": ({"a": 1},)}) == {"msg": "1"}
        assert shown({"event": "%d", "positional_args": ("x",)}) == {
            "msg": "%d ('x',)",
            "mozlog.degraded": "message and arguments do not fit",
        }

    def test_fields_satisfy_the_machine_schema_where_asked_to(self) -> None:
        assert shown({"event": "", "a": {"b": []}}, strict=True) == {"a.b": "[]"}

    def test_fields_show_an_interrupt_of_a_value_as_a_marker(self) -> None:
        value = hostile.RaisingRepr(KeyboardInterrupt)
        got = shown({"event": "hi", "value": value})
        assert got["value"] == "<unprintable RaisingRepr: KeyboardInterrupt>"

    def test_fields_are_a_constant_where_the_event_cannot_be_read(self) -> None:
        got = shown(7)  # type: ignore[arg-type]
        assert got == {
            "msg": "the event could not be read",
            "mozlog.degraded": "event not readable: AttributeError",
        }

    @pytest.mark.parametrize("key", ["stack", "stack_info", "exception", "exc_info", "_record"])
    def test_fields_keep_the_message_whatever_a_keyword_of_structlogs_is(self, key: str) -> None:
        class Array:
            def __bool__(self) -> bool:
                raise ValueError("ambiguous")

            def __repr__(self) -> str:
                return "array"

        got = shown({"event": "important", key: Array(), "a": 1})
        assert (got["msg"], got["a"]) == ("important", 1)
        assert "array" in got.values()

    def test_fields_keep_what_is_no_stack_of_structlogs(self) -> None:
        event = {"event": "hi", "stack": 0, "stack_info": {"a": 1}, "_name": "bob", "_logger": "x"}
        expected = {"stack": 0, "stack_info": {"a": 1}, "_name": "bob", "_logger": "x", "msg": "hi"}
        assert shown(event) == expected


class TestExceptions:
    def test_exceptions_are_rendered_like_those_of_the_standard_library(self) -> None:
        try:
            raise ValueError("boom")
        except ValueError:
            exc_info = sys.exc_info()
            got = shown({"event": "failed", "exc_info": True})
        expected = fields(MozlogFormatter(), record("failed", exc_info=exc_info))
        assert got == shown({"event": "failed", "exc_info": exc_info}) == expected

    @pytest.mark.parametrize("exc_info", [None, False, True, (None, None, None)])
    def test_exceptions_that_are_none_give_no_error(self, exc_info: Any) -> None:
        assert shown({"event": "hi", "exc_info": exc_info}) == {"msg": "hi"}

    def test_exceptions_of_the_wrong_shape_are_shown_as_they_are(self) -> None:
        got = shown({"event": "hi", "exc_info": "text"})
        assert got["error"] == "'text'"
        assert got["mozlog.degraded"] == "exception not rendered: TypeError"

    def test_exceptions_that_were_rendered_before_us_stay_as_they_are(self) -> None:
        try:
            raise ValueError("boom")
        except ValueError:
            event = structlog.processors.format_exc_info(None, "x", {"event": "", "exc_info": True})
            got = shown(event)
        assert got["traceback"].startswith("Traceback (most recent call last):")
        assert got["error"] == "ValueError('boom')"

    def test_exceptions_have_their_stack_beside_them(self) -> None:
        event = structlog.processors.StackInfoRenderer()(
            None, "info", {"event": "hi", "stack_info": True}
        )
        assert "test_structlog" in shown(event)["stack"]
        got = shown({"event": "hi", "stack_info": True})["stack"]
        # The last frame is the one that called the renderer.
        assert got.rstrip().endswith('line = MozlogRenderer("shop", **options)(')
        assert "mozlog_py/structlog" not in got
        assert shown({"event": "hi", "stack_info": "Stack:"}) == {"stack": "Stack:", "msg": "hi"}


class TestRecipes:
    def test_bytes_logger(self) -> None:
        file = io.BytesIO()
        structlog.configure(
            processors=[structlog.contextvars.merge_contextvars, MozlogRenderer("shop")],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            logger_factory=structlog.BytesLoggerFactory(file),
            cache_logger_on_first_use=True,
        )
        structlog.contextvars.bind_contextvars(rid="abc")
        log = structlog.get_logger().bind(user="ann")
        log.debug("unheard")
        log.info("heard %s", "well", n=1)
        (line,) = checked_lines(file.getvalue())
        assert line["Fields"] == {"user": "ann", "n": 1, "rid": "abc", "msg": "heard well"}

    @pytest.mark.parametrize(
        "factory", [structlog.PrintLoggerFactory, structlog.WriteLoggerFactory]
    )
    def test_text_loggers(self, factory: Any) -> None:
        file = io.StringIO()
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso"),
                MozlogRenderer("shop", output="text"),
            ],
            logger_factory=factory(file),
        )
        structlog.get_logger().warning("ž")
        (line,) = checked_lines(file.getvalue())
        assert line["Severity"] == 4
        assert line["Fields"]["msg"] == "ž"
        datetime.datetime.fromisoformat(line["Fields"]["Time"].replace("Z", "+00:00"))

    @pytest.mark.parametrize("removes_meta", [False, True])
    def test_processor_formatter_shows_no_name_that_a_handler_has_set(
        self, removes_meta: bool
    ) -> None:
        handler = MozlogHandler(stream := io.StringIO(), "shop")
        before = [structlog.stdlib.ProcessorFormatter.remove_processors_meta] * removes_meta
        handler.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
                processors=[*before, MozlogRenderer("shop", output="text")],
            )
        )
        for extra in ({"a": 1, "msg": "paid"}, {"logger_name": "till", "a": 1, "msg": "named"}):
            handler.handle(logging.makeLogRecord(extra))
        assert [line["Fields"] for line in checked_lines(stream.getvalue())] == [
            {"a": 1, "msg": "paid"},
            {"logger_name": "till", "a": 1, "msg": "named"},
        ]

    @pytest.mark.parametrize("extra_adder", [False, True])
    def test_processor_formatter_with_foreign_records(self, extra_adder: bool) -> None:
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=[structlog.stdlib.ExtraAdder()] if extra_adder else [],
                processors=[MozlogRenderer("shop", output="text")],
            )
        )
        logger = logging.getLogger("test.foreign")
        logger.propagate = False
        logger.setLevel(1)
        logger.addHandler(handler)
        structlog.configure(
            processors=[
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
        )
        try:
            logger.log(25, "from %s", "stdlib", extra={"n": 1})
            structlog.get_logger("test.foreign").warning("from structlog", n=2)
            try:
                raise ValueError("boom")
            except ValueError:
                logger.exception("failed")
        finally:
            logger.handlers.clear()
        foreign, native, failed = checked_lines(stream.getvalue())
        assert foreign["Fields"] == {"n": 1, "msg": "from stdlib"}
        assert native["Fields"] == {"n": 2, "msg": "from structlog"}
        assert failed["Fields"]["error"] == "ValueError('boom')"
        assert [line["Severity"] for line in (foreign, native, failed)] == [5, 4, 3]
        assert {line["Type"] for line in (foreign, native, failed)} == {"test.foreign"}

    def test_standard_library_loggers(self) -> None:
        stream = io.StringIO()
        logger = logging.getLogger("test.plain")
        logger.propagate = False
        logger.setLevel(1)
        logger.addHandler(logging.StreamHandler(stream))
        structlog.configure(
            processors=[structlog.stdlib.add_logger_name, MozlogRenderer("shop", output="text")],
            logger_factory=structlog.stdlib.LoggerFactory(),
        )
        try:
            structlog.get_logger("test.plain").info("hi", n=1)
        finally:
            logger.handlers.clear()
        (line,) = checked_lines(stream.getvalue())
        assert (line["Type"], line["Fields"]) == ("test.plain", {"n": 1, "msg": "hi"})

    def test_events_wrapped_for_a_formatter_that_is_ours(self) -> None:
        capture = Capture(name="shop")
        logger = logging.getLogger("test.wrapped")
        logger.propagate = False
        logger.setLevel(1)
        logger.addHandler(capture.handler)
        structlog.configure(
            processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
        )
        try:
            log = structlog.get_logger("test.wrapped")
            log.info("%s paid", "Ann", amount=1)
            try:
                raise ValueError("boom")
            except ValueError:
                log.exception("failed", name="n")
        finally:
            logger.handlers.clear()
        paid, failed = capture.lines
        assert paid["Fields"] == {"amount": 1, "msg": "Ann paid"}
        assert (failed["Type"], failed["Severity"]) == ("test.wrapped", 3)
        assert failed["Fields"]["error"] == "ValueError('boom')"
        assert (failed["Fields"]["msg"], failed["Fields"]["name"]) == ("failed", "n")


class TestWrongWiring:
    @pytest.mark.parametrize(
        "factory", [structlog.PrintLoggerFactory, structlog.WriteLoggerFactory]
    )
    def test_wrong_wiring_of_bytes_into_a_text_logger_is_explained(self, factory: Any) -> None:
        structlog.configure(
            processors=[MozlogRenderer("shop")], logger_factory=factory(io.StringIO())
        )
        with pytest.raises(TypeError, match=r'takes text.*MozlogRenderer\(output="text"\)'):
            structlog.get_logger().info("hi")

    def test_wrong_wiring_of_bytes_into_a_processor_formatter_is_explained(self) -> None:
        formatter = structlog.stdlib.ProcessorFormatter(processors=[MozlogRenderer("shop")])
        with pytest.raises(TypeError, match="ProcessorFormatter takes text"):
            formatter.format(record())

    def test_wrong_wiring_of_bytes_into_the_standard_library_is_explained(self) -> None:
        structlog.configure(
            processors=[MozlogRenderer("shop")], logger_factory=structlog.stdlib.LoggerFactory()
        )
        with pytest.raises(TypeError, match=r'logging\.Logger takes.*output="text"\)$'):
            structlog.get_logger("test.wrong").error("hi")

    def test_wrong_wiring_of_text_into_a_bytes_logger_is_explained(self) -> None:
        structlog.configure(
            processors=[MozlogRenderer("shop", output="text")],
            logger_factory=structlog.BytesLoggerFactory(io.BytesIO()),
        )
        with pytest.raises(TypeError, match="BytesLogger takes bytes"):
            structlog.get_logger().info("hi")

    def test_wrong_wiring_of_an_unknown_output_is_refused(self) -> None:
        with pytest.raises(ValueError, match="output is 'json'; it must be 'bytes' or 'text'"):
            MozlogRenderer("shop", output="json")  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"logger_name": MozlogFormatter()}, r"write MozlogRenderer\(formatter=\.\.\.\)"),
            ({"logger_name": 5}, "logger_name is 5; it must be text"),
            ({"formatter": logging.Formatter()}, "it must be a MozlogFormatter or one of its"),
            ({"formatter": "shop"}, "formatter is 'shop'; it must be a MozlogFormatter"),
            ({"strict": "yes"}, "strict is 'yes'; it must be True or False"),
            ({"include_context": "no"}, "include_context is 'no'; it must be True or False"),
            ({"is_last_of_chain": "no"}, "is_last_of_chain is 'no'; it must be True or False"),
            ({"static_fields": [1]}, r"static_fields is \[1\]; it must be a dict"),
            ({"colour": 1}, "MozlogRenderer has no option colour; it has logger_name, output"),
        ],
    )
    def test_wrong_wiring_of_wrong_options_is_refused(
        self, options: dict[str, Any], sentence: str
    ) -> None:
        with pytest.raises(OptionError, match=sentence):
            MozlogRenderer(**options)

    def test_wrong_wiring_of_what_is_no_processor_is_refused_by_the_parameters_name(self) -> None:
        with pytest.raises(OptionError, match="before is 'redact', which is no processor"):
            processors("shop", before="redact")  # type: ignore[arg-type]
        with pytest.raises(OptionError, match=r"before has .*StaticFields.* in it"):
            processors("shop", before=[StaticFields])  # type: ignore[list-item]


#: The keys that structlog's processors use for purposes of their own.
STRUCTLOG_KEYS = [
    "event", "level", "level_number", "logger", "timestamp", "exc_info", "exception", "stack",
    "stack_info", "positional_args", "_from_structlog", "_logger", "_name", "_record",
]  # fmt: skip
EVENTS = st.dictionaries(KEYS | st.sampled_from(STRUCTLOG_KEYS), NESTED, max_size=8)


@pytest.mark.slow
class TestAnyEvent:
    @given(EVENTS, st.booleans())
    def test_any_event_gives_one_valid_line(self, event_dict: dict[Any, Any], strict: bool) -> None:
        rendered(event_dict, strict=strict)

    @given(st.text(), EXTRA.filter(lambda extra: extra.keys().isdisjoint(STRUCTLOG_KEYS)))
    def test_any_event_has_the_fields_of_a_record_of_logging(
        self, message: str, extra: dict[str, Any]
    ) -> None:
        made = record(message)
        vars(made).update(extra)
        of_record = checked(MozlogFormatter().format(made))["Fields"]
        assert shown({**extra, "event": message}) == of_record
