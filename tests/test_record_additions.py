"""What tracers, tests and services add to every record of ``logging`` is in summaries as well."""

import functools
import logging
import subprocess
import sys
import weakref
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from conformance import Capture

from dockerflow._request.summary_record import is_standard, log_by_methods, log_record
from dockerflow.summary import RequestSummary


def traced(usual: Callable[..., Any]) -> Callable[..., Any]:
    """Return a makeRecord, or a factory, as tracers have it."""

    @functools.wraps(usual)
    def make(*args: Any, **kwargs: Any) -> Any:
        made = usual(*args, **kwargs)
        vars(made)["dd.trace_id"] = "42"
        return made

    return make


class TracedLogger(logging.Logger):
    def makeRecord(self, *args: Any, **kwargs: Any) -> Any:
        return traced(super().makeRecord)(*args, **kwargs)


def summarise(
    logger: Any, error: BaseException | None = None, given: dict[str, Any] | None = None
) -> None:
    request = RequestSummary()
    request.logger, request.method, request.code, request.overridden_fields = (
        logger,
        "GET",
        200,
        given,
    )
    request.begin("r1")
    request.finish(error)
    request.leave()


ENDS = pytest.mark.parametrize(
    ("error", "given"),
    [(None, None), (ValueError("x"), None), (None, {"rid": "r1", "method": "GET", "errno": 0})],
    ids=["well", "with an exception", "with fields of a hook"],
)


def assert_traced(capture: Capture) -> None:
    (shown,) = capture.fields
    assert (shown["dd.trace_id"], shown["rid"], shown["method"]) == ("42", "r1", "GET")


@ENDS
class TestAttributes:
    def test_attributes_of_a_patched_class_are_there_until_it_is_patched_no_more(
        self, monkeypatch: pytest.MonkeyPatch, error: Any, given: Any
    ) -> None:
        capture = Capture()
        monkeypatch.setattr(logging.Logger, "makeRecord", traced(logging.Logger.makeRecord))
        assert not is_standard(capture.logger)
        summarise(capture.logger, error, given)
        assert_traced(capture)
        monkeypatch.undo()
        assert is_standard(capture.logger)

    def test_attributes_of_a_class_of_loggers_are_there(self, error: Any, given: Any) -> None:
        capture = Capture()
        capture.logger.__class__ = TracedLogger
        summarise(capture.logger, error, given)
        assert_traced(capture)

    def test_attributes_of_a_patched_logger_are_there(self, error: Any, given: Any) -> None:
        capture = Capture()
        make = traced(capture.logger.makeRecord)
        with mock.patch.object(capture.logger, "makeRecord", make):
            summarise(capture.logger, error, given)
        assert_traced(capture)

    def test_attributes_of_a_factory_are_there(self, error: Any, given: Any) -> None:
        capture = Capture()
        logging.setLogRecordFactory(traced(logging.LogRecord))
        try:
            summarise(capture.logger, error, given)
        finally:
            logging.setLogRecordFactory(logging.LogRecord)
        assert_traced(capture)

    def test_attributes_that_a_factory_sets_beside_a_patch_lose_no_summary(
        self, monkeypatch: pytest.MonkeyPatch, error: Any, given: Any
    ) -> None:
        capture = Capture()
        monkeypatch.setattr(logging.Logger, "makeRecord", traced(logging.Logger.makeRecord))

        def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
            made = logging.LogRecord(*args, **kwargs)
            vars(made).update(rid="of the factory", build=7)
            return made

        logging.setLogRecordFactory(factory)
        try:
            summarise(capture.logger, error, given)
        finally:
            logging.setLogRecordFactory(logging.LogRecord)
        (shown,) = capture.fields
        assert (shown["rid"], shown["build"], shown["method"]) == ("r1", 7, "GET")

    def test_attributes_of_a_filter_of_the_logger_are_there(self, error: Any, given: Any) -> None:
        capture = Capture()

        def adding(made: logging.LogRecord) -> bool:
            vars(made)["dd.trace_id"] = "42"
            return True

        capture.logger.addFilter(adding)
        summarise(capture.logger, error, given)
        assert_traced(capture)


class TestMethods:
    @pytest.mark.parametrize("level", [logging.NOTSET, logging.CRITICAL])
    def test_an_info_that_was_replaced_is_called_at_any_level(self, level: int) -> None:
        logger = logging.Logger("request.summary", level)
        with mock.patch.object(logger, "info") as replaced:
            summarise(logger)
        (call,) = replaced.mock_calls
        assert call.args == ("",)
        assert call.kwargs.keys() == {"extra"}
        assert call.kwargs["extra"]["rid"] == "r1"

    def test_an_error_that_was_replaced_is_called_for_an_exception(self) -> None:
        logger = logging.Logger("request.summary")
        with mock.patch.object(logger, "error") as replaced:
            summarise(logger, ValueError("x"))
        (call,) = replaced.mock_calls
        assert call.args == ("x",)
        assert call.kwargs["extra"]["errno"] == 500

    @pytest.mark.parametrize("name", ["info", "makeRecord"])
    @pytest.mark.parametrize("target", [logging.Logger, None], ids=["class", "logger"])
    def test_what_was_replaced_is_called(self, target: Any, name: str) -> None:
        logger = logging.Logger("request.summary")
        usual = getattr(target or logger, name)
        with mock.patch.object(target or logger, name, mock.Mock(side_effect=usual)) as replaced:
            if target is not None:
                # A mock is no function, which would be handed the logger.
                replaced.side_effect = None
            summarise(logger)
        assert len(replaced.mock_calls) >= 1

    def test_a_replaced_error_of_the_class_is_called(self) -> None:
        with mock.patch.object(logging.Logger, "error") as replaced:
            summarise(logging.Logger("request.summary"), ValueError("x"))
        assert len(replaced.mock_calls) == 1


class TestException:
    @pytest.mark.parametrize("kind", [logging.Logger, TracedLogger])
    def test_exception_is_in_the_line(self, kind: Any) -> None:
        capture = Capture()
        capture.logger.__class__ = kind
        log_by_methods(capture.logger, logging.ERROR, "m", {"rid": "r1"}, ValueError("x"))
        (shown,) = capture.fields
        assert (shown["error"], shown["rid"]) == ("ValueError('x')", "r1")

    def test_exception_is_that_of_each_record_and_kept_by_none(self) -> None:
        class Own(Exception): ...

        error: Any = Own()
        logged: list[Any] = []
        logger, handler = logging.Logger("s"), logging.NullHandler()
        handler.handle = logged.append  # type: ignore[assignment]
        logger.addHandler(handler)
        for each in (error, error, None):
            log_record(logger, 40, "m", {}, each)
        assert [made.exc_info for made in logged] == [(Own, error, None)] * 2 + [None]
        gone = weakref.ref(error)
        logged.clear()
        del error, each
        assert gone() is None

    def test_exception_is_not_logged_below_the_level(self) -> None:
        capture = Capture()
        capture.logger.setLevel(logging.CRITICAL)
        log_by_methods(capture.logger, logging.ERROR, "m", {}, ValueError("x"))
        assert capture.lines == []


def test_a_factory_is_handed_all_that_logging_hands_it() -> None:
    seen: list[Any] = []

    def factory(
        name: Any, level: Any, fn: Any, lno: Any, msg: Any, args: Any, exc_info: Any,
        func: Any, sinfo: Any, **_: Any,
    ) -> logging.LogRecord:  # fmt: skip
        seen.append((name, level, lno, msg, args, exc_info, sinfo))
        return logging.LogRecord(name, level, fn, lno, msg, args, exc_info, func, sinfo)

    logging.setLogRecordFactory(factory)
    try:
        log_record(logging.Logger("s"), 20, "m", {}, None)
    finally:
        logging.setLogRecordFactory(logging.LogRecord)
    assert seen == [("s", 20, 0, "m", (), None, None)]


# A tracer that is imported first. Its second record would be one that is copied.
PATCHED_FIRST = """
import functools, itertools, logging

usual, count = logging.{patched}, itertools.count()

@functools.wraps(usual)
def patched(self, *args, **kwargs):
    made = usual(self, *args, **kwargs)
    (made or self).span = next(count)
    return made

logging.{patched} = patched

class Shown(logging.Handler):
    def emit(self, record):
        print(record.span)

from dockerflow.summary import RequestSummary

logger = logging.getLogger("request.summary")
logger.setLevel(logging.INFO)
logger.addHandler(Shown())
count = itertools.count()
for _ in range(3):
    request = RequestSummary()
    request.logger, request.code = logger, 200
    request.begin("r1")
    request.finish()
    request.leave()
"""


@pytest.mark.parametrize("patched", ["Logger.makeRecord", "LogRecord.__init__"])
def test_a_tracer_that_was_imported_first_adds_to_each_summary(patched: str) -> None:
    source = PATCHED_FIRST.format(patched=patched)
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["0", "1", "2"]
