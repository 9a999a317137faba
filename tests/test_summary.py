"""A request's summary by itself: who may add what, and where it goes."""

import contextvars
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from conformance import Capture

from dockerflow import summary
from dockerflow.summary import RequestSummary, add_fields
from mozlog_py.context import request_id_context


def begun(logger: Any) -> RequestSummary:
    request = RequestSummary()
    request.logger = logger
    request.method, request.path, request.code = "GET", "/x", 200
    request.begin("r1")
    return request


@pytest.fixture
def capture() -> Any:
    captured = Capture()
    yield captured
    summary._current.set(None)


@pytest.fixture
def often_switched() -> Iterator[None]:
    former = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(former)


class TestSummary:
    def test_summary_is_logged_once(self, capture: Capture) -> None:
        request = begun(capture.logger)
        request.finish()
        request.finish(ValueError("late"))
        request.leave()
        (fields,) = capture.fields
        assert (fields["errno"], fields["code"], fields["path"]) == (0, 200, "/x")

    def test_summary_is_not_made_for_a_level_that_is_off(self, capture: Capture) -> None:
        capture.logger.setLevel(logging.ERROR)
        request = begun(capture.logger)
        with mock.patch.object(request, "fields") as fields:
            request.finish()
        assert fields.mock_calls == []
        begun(capture.logger).finish(ValueError("x"))
        assert [line["Severity"] for line in capture.lines] == [3]

    def test_summary_goes_to_loggers_of_any_kind(self) -> None:
        class Own(logging.Logger): ...

        captured = Capture()
        own = Own("request.summary")
        own.addHandler(captured.handler)
        begun(own).finish(ValueError("x"))
        stub = mock.Mock()
        begun(stub).finish()
        (call,) = stub.info.mock_calls
        assert call.args == ("",)
        assert call.kwargs["extra"]["code"] == 200
        (fields,) = captured.fields
        assert (fields["msg"], fields["errno"]) == ("x", 500)

    def test_summary_passes_filters_and_record_factories(self, capture: Capture) -> None:
        former = logging.getLogRecordFactory()

        def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
            record = former(*args, **kwargs)
            record.build = 7
            return record

        logging.setLogRecordFactory(factory)
        try:
            begun(capture.logger).finish()
            capture.logger.addFilter(lambda record: False)
            begun(capture.logger).finish()
        finally:
            logging.setLogRecordFactory(former)
        assert [fields["build"] for fields in capture.fields] == [7]

    def test_summary_never_raises_for_a_handler(self, capsys: Any) -> None:
        class Bad(logging.Handler):
            def handle(self, record: logging.LogRecord) -> bool:
                raise RuntimeError

        logger = logging.Logger("x")
        logger.addHandler(Bad())
        begun(logger).finish()

    def test_time_is_measured_by_a_clock_that_cannot_jump(
        self, capture: Capture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ticks = iter([5_000_000_000, 5_123_999_999])
        monkeypatch.setattr(summary, "_monotonic_ns", lambda: next(ticks))
        begun(capture.logger).finish()
        assert capture.fields[0]["t"] == 123

    @pytest.mark.parametrize(
        ("query", "shown"),
        [
            (b"a=b", "a=b"), ("a=b", "a=b"), (b"%C3%BC", "\xfc"), ("%C3%BC", "\xfc"),
            (b"\xc3\xbc", "\xfc"), (b"%ff\xfe", "\\xff\\xfe"), (b"%0a%00", "\n\0"), (b"a+b", "a+b"),
        ],
    )  # fmt: skip
    def test_query_strings_are_decoded(self, capture: Capture, query: Any, shown: str) -> None:
        request = begun(capture.logger)
        request.querystring = query
        request.finish()
        assert capture.fields[0]["querystring"] == shown

    def test_summary_has_no_time_where_its_beginning_is_unknown(self, capture: Capture) -> None:
        begun(capture.logger).finish()
        request = begun(capture.logger)
        request.started_ns = None
        request.finish()
        assert ["t" in fields for fields in capture.fields] == [True, False]

    def test_summary_has_its_own_id_where_the_application_has_set_an_empty_one(
        self, capture: Capture
    ) -> None:
        request = begun(capture.logger)
        request_id_context.set("")
        request.finish()
        request.leave()
        assert [fields["rid"] for fields in capture.fields] == [request.rid]

    def test_summary_has_the_id_that_the_application_has_set_before_a_part_of_its_body(
        self, capture: Capture
    ) -> None:
        request = begun(capture.logger)
        request.is_streaming = True
        request_id_context.set("trace-9")
        request.leave()
        assert request_id_context.get() is None
        request.enter()
        assert request_id_context.get() == "trace-9"
        request.finish()
        request.leave()
        assert [fields["rid"] for fields in capture.fields] == ["trace-9"]

    def test_summary_keeps_its_own_id_in_the_context_of_another_request(
        self, capture: Capture
    ) -> None:
        request = begun(capture.logger)
        inner = RequestSummary()
        inner.begin("r2")
        request.finish()
        inner.leave()
        request.leave()
        assert [fields["rid"] for fields in capture.fields] == ["r1"]

    def test_query_strings_are_cut(self, capture: Capture) -> None:
        request = begun(capture.logger)
        request.querystring = b"%41" * 100_000
        request.finish()
        assert len(capture.fields[0]["querystring"]) < 1100


class GroupOfOne(Exception):
    @property
    def exceptions(self) -> tuple[Exception, ...]:
        return (ValueError("boom"),)


class TestText:
    def test_text_of_a_group_of_one_is_that_of_the_one(self, capture: Capture) -> None:
        begun(capture.logger).finish(GroupOfOne("unhandled errors in a TaskGroup"))
        assert capture.fields[0]["msg"] == "boom"


class TestAddFields:
    def test_add_fields_says_whether_there_is_a_request(self, capture: Capture) -> None:
        assert not add_fields(user="ann")
        request = begun(capture.logger)
        assert add_fields(user="ann")
        request.finish()
        assert not add_fields(user="bob")
        assert capture.fields[0]["user"] == "ann"

    def test_add_fields_replaces_what_is_not_measured(self, capture: Capture) -> None:
        request = begun(capture.logger)
        add_fields(uid="7", path="/x/{id}", code=1, errno=2, rid="x", t=-1, method="y")
        request.finish(ValueError("boom"))
        (fields,) = capture.fields
        assert (fields["uid"], fields["path"]) == ("7", "/x/{id}")
        assert (fields["code"], fields["errno"], fields["rid"], fields["method"]) == (
            200, 500, "r1", "GET",
        )  # fmt: skip
        assert (fields["extra.code"], fields["extra.t"]) == (1, -1)

    def test_add_fields_keeps_names_that_a_record_has(self, capture: Capture) -> None:
        request = begun(capture.logger)
        add_fields(name="n", msg="m", args=(1,), exc_info="e", levelno=3)
        request.finish()
        (fields,) = capture.fields
        assert (fields["extra.name"], fields["extra.msg"], fields["extra.args"]) == ("n", "m", [1])
        assert capture.lines[0]["Severity"] == 6

    def test_add_fields_takes_any_value(self, capture: Capture) -> None:
        request = begun(capture.logger)
        add_fields(odd={1: object, "n": float("nan")}, text="\ud800\n")
        request.finish()
        assert capture.fields[0]["odd"]["n"] == "NaN"

    def test_add_fields_loses_nothing_of_many_threads(
        self, capture: Capture, often_switched: None
    ) -> None:
        request = begun(capture.logger)

        def add(index: int) -> None:
            for step in range(20):
                add_fields(**{f"f{index}_{step}": step})

        threads = [
            threading.Thread(target=contextvars.copy_context().run, args=(add, index))
            for index in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        request.finish()
        assert sum(name.startswith("f") for name in capture.fields[0]) == 160
