"""The current OpenTelemetry span, as fields of the context.

Only ``opentelemetry-api`` is read (the extra ``otel``), and only where the application has
loaded it: otherwise no span exists.
Source of the names and their form: OpenTelemetry, Trace Context in non-OTLP Log Formats.
"""

from __future__ import annotations

import functools
import sys
from importlib.util import find_spec
from typing import Any, Final

__all__ = ["SPAN_FIELDS", "TRACE_MODULE", "is_installed", "may_have_span", "span_fields"]

#: The names of the fields of a span.
SPAN_FIELDS: Final = ("trace_id", "span_id", "trace_flags")

#: No span exists before this module is loaded.
TRACE_MODULE: Final = "opentelemetry.trace"
_CONTEXT_MODULE: Final = "opentelemetry.context"

_modules: Final = sys.modules


@functools.cache
def is_installed() -> bool:
    """Return whether OpenTelemetry is installed or loaded, so that spans may exist."""
    try:
        return find_spec(TRACE_MODULE) is not None
    except (ImportError, ValueError):
        return TRACE_MODULE in _modules


def may_have_span() -> bool:
    """Return whether a span may exist, in a tenth of the time that ``span_fields`` takes."""
    module = _modules.get(_CONTEXT_MODULE)
    if module is None:
        return False
    try:
        # A mapping, which is empty outside of spans.
        return bool(module.get_current())
    except Exception:
        # The module is half imported, or the application has its own class of context.
        return True


def span_fields() -> dict[str, Any]:
    """Return ``trace_id``, ``span_id`` and ``trace_flags`` of the current span, if there is one."""
    module = _modules.get(TRACE_MODULE)
    if module is None:
        return {}
    try:
        if not may_have_span():
            return {}
        span = module.get_current_span().get_span_context()
        if not span.is_valid:
            return {}
        return {
            "trace_id": f"{span.trace_id:032x}",
            "span_id": f"{span.span_id:016x}",
            "trace_flags": f"{span.trace_flags:02x}",
        }
    except Exception:
        # The module is half imported, or the application has its own class of span. The line is
        # made without it.
        return {}
