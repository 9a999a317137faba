"""MozLog and Cloud Logging in one line: the ``gcp`` format.

Cloud Logging reads ``severity``, ``message`` and the trace keys at the top
level of a JSON line and MozLog does not use those names, so one line can be
both. Source: https://cloud.google.com/logging/docs/structured-logging
"""

from __future__ import annotations

import functools
from typing import Any, Final

from .formatter import MozlogFormatter
from .line import Further
from .severity import CLOUD_SEVERITIES

__all__ = ["CloudFormatter"]

_TRACE: Final = "logging.googleapis.com/trace"
_SPAN: Final = "logging.googleapis.com/spanId"
_SAMPLED: Final = "logging.googleapis.com/trace_sampled"


# The fields that Cloud Logging's members are made of.
_READ: Final = ("msg", "error", "trace_id", "span_id", "trace_flags")


class CloudFormatter(MozlogFormatter):
    """Formats records as MozLog lines that Cloud Logging understands as well.

    Takes what ``MozlogFormatter`` takes, and ``project``: the Google Cloud
    project that traces belong to. The trace keys are made of the fields
    ``trace_id``, ``span_id`` and ``trace_flags``, wherever those come from.
    """

    def __init__(self, *args: Any, project: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: The Google Cloud project that traces belong to, by its id.
        self.project = project

    def _further(self) -> Further:
        names = {name: self.rename_fields.get(name, name) for name in _READ}
        return functools.partial(cloud_members, project=self.project, names=names)


def cloud_members(
    type_: str,
    severity: int,
    fields: dict[str, Any],
    *,
    project: str | None,
    names: dict[str, str],
) -> dict[str, Any]:
    """Give the members of the envelope that Cloud Logging reads, from plain fields.

    ``names``: what the fields that they are made of are called.
    """
    message, error, trace, span, flags = (fields.get(names[name]) for name in _READ)
    members: dict[str, Any] = {
        "severity": CLOUD_SEVERITIES[severity],
        # An entry without a message shows as its whole JSON.
        "message": str(message or error or type_),
    }
    if trace:
        members[_TRACE] = f"projects/{project}/traces/{trace}" if project else str(trace)
    if span:
        members[_SPAN] = str(span)
    if flags is not None:
        members[_SAMPLED] = _is_sampled(flags)
    return members


def _is_sampled(flags: Any) -> bool:
    """Read the sampled bit of W3C trace flags, given as a number or as two hex digits."""
    try:
        return bool((int(flags, 16) if isinstance(flags, str) else int(flags)) & 1)
    except Exception:
        return False
