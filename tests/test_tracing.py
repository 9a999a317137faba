"""The current OpenTelemetry span in the lines, with the real API and SDK."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

import pytest
import structlog
from conformance import checked_lines, fields, record, render
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from mozlog_py import MozlogFormatter, context
from mozlog_py._context import trace_context
from mozlog_py.gcp import CloudFormatter
from mozlog_py.sink import Sink
from mozlog_py.structlog import FastBoundLogger, MozlogRenderer, SinkLoggerFactory, processors

TRACER = TracerProvider().get_tracer("test")


def expected(span: Any) -> dict[str, str]:
    of = span.get_span_context()
    return {
        "trace_id": f"{of.trace_id:032x}",
        "span_id": f"{of.span_id:016x}",
        # Sampled, and in newer versions that the id is random.
        "trace_flags": f"{of.trace_flags:02x}",
    }


class TestSpan:
    def test_span_is_in_the_lines_of_logging(self) -> None:
        with TRACER.start_as_current_span("work") as span:
            got = fields(MozlogFormatter(), record("hi", n=1))
        assert got == {**expected(span), "n": 1, "msg": "hi"}
        assert fields(MozlogFormatter(), record("hi")) == {"msg": "hi"}

    def test_span_is_in_the_lines_of_structlog(self) -> None:
        stream = io.StringIO()
        log = FastBoundLogger.at(1)(
            SinkLoggerFactory(Sink(stream))("app"), processors("shop"), {"a": 1}
        )
        file = io.BytesIO()
        chained = structlog.wrap_logger(
            structlog.BytesLogger(file), processors=[MozlogRenderer("shop")]
        )
        with TRACER.start_as_current_span("work") as span:
            log.info("hi")
            log.info("odd", values=[1])
            chained.info("hi", a=1)
        log.info("outside")
        plain, odd, outside = (line["Fields"] for line in checked_lines(stream.getvalue()))
        (chain,) = (line["Fields"] for line in checked_lines(file.getvalue()))
        assert plain == chain == {**expected(span), "a": 1, "msg": "hi"}
        assert odd == {**expected(span), "a": 1, "values": [1], "msg": "odd"}
        assert outside == {"a": 1, "msg": "outside"}

    def test_span_is_in_the_trace_keys_of_cloud_logging(self) -> None:
        with TRACER.start_as_current_span("work") as span:
            got = render(CloudFormatter(project="p"), record("hi"))
        of = expected(span)
        assert got["logging.googleapis.com/trace"] == f"projects/p/traces/{of['trace_id']}"
        assert got["logging.googleapis.com/spanId"] == of["span_id"]
        assert got["logging.googleapis.com/trace_sampled"] is True

    def test_span_stands_below_what_was_bound_or_said(self) -> None:
        with TRACER.start_as_current_span("work"), context.bound(span_id="bound"):
            got = fields(MozlogFormatter(), record("hi", trace_id="said"))
        assert (got["trace_id"], got["span_id"]) == ("said", "bound")

    def test_span_is_left_out_with_the_context(self) -> None:
        with TRACER.start_as_current_span("work"):
            assert fields(MozlogFormatter(include_context=False), record("hi")) == {"msg": "hi"}

    def test_span_that_is_not_sampled_or_not_valid_says_so_or_nothing(self) -> None:
        remote = trace.SpanContext(0xAB, 0xCD, is_remote=True, trace_flags=trace.TraceFlags(0))
        with trace.use_span(trace.NonRecordingSpan(remote)):
            got = trace_context.span_fields()
        assert got == {
            "trace_id": "ab".zfill(32), "span_id": "cd".zfill(16), "trace_flags": "00",
        }  # fmt: skip
        with trace.use_span(trace.INVALID_SPAN):
            assert trace_context.span_fields() == {}

    def test_span_that_is_broken_loses_no_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken() -> Any:
            raise LookupError

        with TRACER.start_as_current_span("work"), monkeypatch.context() as patched:
            patched.setattr(trace, "get_current_span", broken)
            assert fields(MozlogFormatter(), record("hi")) == {"msg": "hi"}

    def test_span_whose_context_is_broken_is_asked_for_all_the_same(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken() -> Any:
            raise LookupError

        span = TRACER.start_span("work")
        monkeypatch.setattr(sys.modules["opentelemetry.context"], "get_current", broken)
        monkeypatch.setattr(trace, "get_current_span", lambda: span)
        assert fields(MozlogFormatter(), record("hi")) == {**expected(span), "msg": "hi"}


class TestWithoutOpenTelemetry:
    @pytest.mark.parametrize("is_hidden", [False, True])
    def test_nothing_is_imported_for_it(self, is_hidden: bool) -> None:
        source = f"""
import sys
if {is_hidden}:
    sys.modules["opentelemetry"] = None
import logging, mozlog_py
mozlog_py.configure("shop", format="mozlog")
logging.getLogger("app").info("hi")
import structlog
structlog.get_logger("app").info("hi")
assert "opentelemetry.trace" not in sys.modules
"""
        done = subprocess.run([sys.executable, "-c", source], capture_output=True, check=False)
        assert done.stderr == b""
        assert [json.loads(line)["Fields"] for line in done.stdout.splitlines()] == [
            {"msg": "hi"}, {"msg": "hi"},
        ]  # fmt: skip
