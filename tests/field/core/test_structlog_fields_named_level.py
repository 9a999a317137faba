"""Fields named level or timestamp are fields: severity and time are those of the call."""

import io
import json
import logging
import time
from typing import Any

import pytest
import structlog
from conformance import checked, checked_lines

import mozlog_py
from mozlog_py import MozlogFormatter, context
from mozlog_py.processors import Redact, add_severity
from mozlog_py.sampling import Sample
from mozlog_py.structlog import FastBoundLogger, MozlogRenderer

VALUES = [3, 0, 50, 1.5, True, "error", "CRITICAL", "third floor", [1], 1700000000,
          1700000000.5, "2020-01-01T00:00:00Z", -1]  # fmt: skip


@pytest.fixture
def out(untouched_process: None) -> io.StringIO:
    return io.StringIO()


def assert_kept(out: io.StringIO, value: Any, before: int) -> None:
    lines = checked_lines(out.getvalue())
    shown = json.loads(json.dumps(value))
    for line in lines:
        assert line["Severity"] == 4
        assert before <= line["Timestamp"] <= time.time_ns()
        assert (line["Fields"]["level"], line["Fields"]["timestamp"]) == (shown, shown)
        assert line["Fields"]["msg"] == "hi"
    assert len(lines) == 6


def touch(_: Any, __: str, event_dict: Any) -> Any:
    return {**event_dict, "touched": True}


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize(
    "options",
    [{}, {"processors": [Redact(), touch]}, {"formatter_options": {"rename_fields": {"x": "y"}}},
     {"queue": True}],
    ids=["fast", "processors", "formatter", "queue"],
)  # fmt: skip
def test_by_every_way_of_the_fast_logger(
    out: io.StringIO, value: Any, options: dict[str, Any]
) -> None:
    mozlog_py.configure("shop", format="mozlog", stream=out, **options)
    log, before = structlog.get_logger("shop"), time.time_ns()
    log.warning("hi", level=value, timestamp=value)
    log.warning("hi", level=value, timestamp=value, odd=[1])
    log.bind(level=value, timestamp=value).warning("hi")
    log.bind(timestamp=value).warning("hi", level=value)
    with context.bound(level=value, timestamp=value):
        log.warning("hi")
        log.log(30, "hi", odd=[1])
    logging.getLogger().handlers[0].flush()
    assert_kept(out, value, before)


@pytest.mark.parametrize("value", [3, 1.5, True, "error", "third floor", [1], 1700000000,
                                   1700000000.5], ids=repr)  # fmt: skip
@pytest.mark.parametrize("makes_level", [False, True])
def test_behind_a_wrapper_class_of_structlogs(value: Any, makes_level: bool) -> None:
    if makes_level:
        # structlog itself merges the two into one key.
        before = [structlog.processors.add_log_level, structlog.processors.TimeStamper()]
    else:
        before = []
    file = io.BytesIO()
    log = structlog.wrap_logger(
        structlog.BytesLogger(file),
        processors=[*before, MozlogRenderer("shop")],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    )
    at = time.time_ns()
    log.warning("hi", level=value, timestamp=value)
    (line,) = checked_lines(file.getvalue())
    assert line["Severity"] == 4
    assert abs(line["Timestamp"] - at) < 60e9
    # A TimeStamper may have set a text.
    name = "Time" if type(value) is str else "timestamp"
    assert line["Fields"] == (
        {"msg": "hi"} if makes_level else {"level": value, name: value, "msg": "hi"}
    )


def test_a_field_that_is_named_as_the_number_of_a_level_is_kept_beside_it(out: io.StringIO) -> None:
    mozlog_py.configure("shop", format="mozlog", stream=out)
    log = structlog.get_logger("shop")
    log.error("hi", level_number=3)
    log.bind(level_number=3).log(45, "hi")
    lines = checked_lines(out.getvalue())
    assert [line["Severity"] for line in lines] == [3, 3]
    assert [line["Fields"] for line in lines] == [{"extra.level_number": 3, "msg": "hi"}] * 2


def test_fields_of_a_processor_that_changes_the_level_say_the_severity(out: io.StringIO) -> None:
    def soften(_: Any, __: str, event_dict: Any) -> Any:
        if event_dict.get("path") == "/health":
            event_dict["level"] = "debug"
            event_dict["timestamp"] = 7
        return event_dict

    mozlog_py.configure("shop", format="mozlog", stream=out, processors=[soften])
    structlog.get_logger("shop").error("hi", path="/health", level=3)
    structlog.get_logger("shop").error("hi", path="/", level=3)
    soft, usual = checked_lines(out.getvalue())
    assert (soft["Severity"], soft["Timestamp"]) == (7, 7_000_000_000)
    assert (usual["Severity"], usual["Fields"]["level"]) == (3, 3)


def test_fields_named_level_are_not_taken_for_the_level_by_processors(out: io.StringIO) -> None:
    chain = [Sample(10**9, keep_from="ERROR"), add_severity]
    mozlog_py.configure("shop", format="mozlog", stream=out, processors=chain)
    structlog.get_logger("shop").error("kept", level=3)
    structlog.get_logger("shop").info("dropped", level="critical")
    logging.getLogger("shop").error("kept", extra={"level": 3})
    logging.getLogger("shop").info("dropped", extra={"level": 50})
    lines = checked_lines(out.getvalue())
    assert [line["Fields"] for line in lines] == [{"level": 3, "severity": 3, "msg": "kept"}] * 2


@pytest.mark.parametrize("is_foreign", [False, True])
def test_fields_of_a_record_leave_its_level_and_time(is_foreign: bool) -> None:
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.ExtraAdder()],
        processors=[MozlogRenderer("shop", output="text")],
    )
    made = logging.LogRecord("app", logging.ERROR, "", 0, "hi", (), None)
    made.created, made.msecs = 1234567890.5, 500.0
    if is_foreign:
        made.timestamp = 1700000000.5
    else:
        made.msg = {"event": "hi", "level": "error", "timestamp": 1234567890.0, "n": 1}
        made._logger, made._name = None, "error"  # type: ignore[attr-defined]
    line = checked(formatter.format(made))
    assert line["Severity"] == 3
    if is_foreign:
        assert (line["Timestamp"], line["Fields"]) == (
            1234567890_500000000, {"timestamp": 1700000000.5, "msg": "hi"},
        )  # fmt: skip
    else:
        # A TimeStamper has run before the record was made.
        assert (line["Timestamp"], line["Fields"]) == (1234567890_000000000, {"n": 1, "msg": "hi"})


def test_fields_of_other_formats_are_kept_too(out: io.StringIO) -> None:
    mozlog_py.configure("shop", format="gcp", stream=out)
    structlog.get_logger("shop").error("boss died", level=3, timestamp=1700000000)
    line = json.loads(out.getvalue())
    assert (line["Severity"], line["severity"]) == (3, "ERROR")
    assert (line["Fields"]["level"], line["Fields"]["timestamp"]) == (3, 1700000000)


def test_survive_hooks_of_a_formatter(out: io.StringIO) -> None:
    class Own(MozlogFormatter):
        def convert_record(self, made: logging.LogRecord) -> dict[str, Any]:
            return {**super().convert_record(made), "Own": 1}

    from mozlog_py.sink import Sink
    from mozlog_py.structlog import SinkLoggerFactory, processors

    log = FastBoundLogger.at(1)(
        SinkLoggerFactory(Sink(out))("app"), processors(formatter=Own()), {}
    )
    log.error("hi", level=3, timestamp=4)
    (line,) = checked_lines(out.getvalue())
    assert (line["Severity"], line["Fields"]) == (3, {"level": 3, "timestamp": 4, "msg": "hi"})
