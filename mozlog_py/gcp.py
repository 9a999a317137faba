"""MozLog and Cloud Logging in one line: the ``gcp`` format.

At the top level of a JSON line, Cloud Logging reads ``severity``, ``message`` and the trace
keys, and Error Reporting reads ``stack_trace``. MozLog uses none of these names, so one line
serves both.
Sources: https://cloud.google.com/logging/docs/structured-logging and
https://cloud.google.com/error-reporting/docs/formatting-error-messages
"""

from __future__ import annotations

import functools
import re
from typing import Any, Final

from mozlog_py._line.line_encoder import EnvelopeExtension
from mozlog_py._line.severity import CLOUD_SEVERITIES
from mozlog_py._values.mask_registry import mask_before_cut
from mozlog_py._values.sanitiser import Sanitiser
from mozlog_py._values.tracebacks import HEADER, PYTHON_HEADER, python_traceback

from .formatter import MozlogFormatter

__all__ = ["CloudFormatter"]

_TRACE: Final = "logging.googleapis.com/trace"
_SPAN: Final = "logging.googleapis.com/spanId"
_SAMPLED: Final = "logging.googleapis.com/trace_sampled"


# Characters of ``message``, which repeats a field. Cloud Logging takes 256 KiB for a whole entry:
# https://cloud.google.com/logging/quotas
_MAX_MESSAGE: Final = 65_536

# The fields that the members for Cloud Logging are derived from.
_READ: Final = ("msg", "error", "trace_id", "span_id", "trace_flags", "traceback")

# The two lines that show an exception in the field ``traceback``.
_EXCEPTION: Final = re.compile(r"^<class '(?:__main__\.)?([^'\n]+)'>\n(.*)$", re.MULTILINE)


class CloudFormatter(MozlogFormatter):
    """Formats records as MozLog lines that Cloud Logging reads as well.

    The trace keys are derived from the fields ``trace_id``, ``span_id`` and ``trace_flags`` of
    any origin. ``stack_trace`` is the field ``traceback`` in Python's own format.

    Args:
        args: As in ``MozlogFormatter``.
        project: The id of the Google Cloud project that traces belong to.
        kwargs: As in ``MozlogFormatter``.
    """

    def __init__(self, *args: Any, project: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: The id of the Google Cloud project that traces belong to.
        self.project = project

    def _envelope_extension(self) -> EnvelopeExtension:
        names = {name: self.rename_fields.get(name, name) for name in _READ}
        return functools.partial(cloud_members, project=self.project, names=names)


def cloud_members(
    type_: str,
    severity: int,
    fields: dict[str, Any],
    exception: tuple[Any, str] | None = None,
    *,
    project: str | None,
    names: dict[str, str],
) -> dict[str, Any]:
    """Return the members of the envelope that Cloud Logging reads, from plain fields.

    Args:
        type_: The logger's name.
        severity: The syslog severity.
        fields: The line's fields.
        exception: The logged exception, and its text before processors and hooks.
        project: The id of the Google Cloud project that traces belong to.
        names: The names of the fields in the line, by their original names.
    """
    message, error, trace, span, flags, traceback = (fields.get(names[name]) for name in _READ)
    members: dict[str, Any] = {
        "severity": CLOUD_SEVERITIES[severity],
        # Cloud Logging shows an entry without a message as its whole JSON.
        "message": _cut(str(message or error or type_)),
    }
    if trace:
        members[_TRACE] = f"projects/{project}/traces/{trace}" if project else str(trace)
    if span:
        members[_SPAN] = str(span)
    if flags is not None:
        members[_SAMPLED] = _is_sampled(flags)
    stack_trace = _stack_trace(traceback, exception)
    if stack_trace:
        members["stack_trace"] = stack_trace
    return members


def _cut(text: str) -> str:
    if len(text) <= _MAX_MESSAGE:
        return text
    start = mask_before_cut(text, _MAX_MESSAGE)[:_MAX_MESSAGE]
    return f"{start}... <truncated, {len(text)} characters>"


def _stack_trace(traceback: Any, exception: tuple[Any, str] | None) -> str | None:
    """Return a line's traceback in Python's own format; None if the line has none.

    The field is the source, because a processor or a hook may have hidden a part of the text.
    """
    text = "\n".join(map(str, traceback)) if type(traceback) is list else traceback
    if type(text) is not str:
        return None
    if exception is not None and text.rstrip() == exception[1].rstrip():
        return python_traceback(exception[0], Sanitiser())
    if text.startswith(HEADER):
        return PYTHON_HEADER + _EXCEPTION.sub(r"\1: \2", text[len(HEADER) :])
    # structlog, or the process that sent the record, has formatted it.
    return text if text.startswith(PYTHON_HEADER) else None


def _is_sampled(flags: Any) -> bool:
    """Return the sampled bit of W3C trace flags, which are a number or two hex digits."""
    try:
        return bool((int(flags, 16) if isinstance(flags, str) else int(flags)) & 1)
    except Exception:
        return False
