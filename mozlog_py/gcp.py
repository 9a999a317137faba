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
from .values import Sanitiser

__all__ = ["CloudFormatter"]

_TRACE: Final = "logging.googleapis.com/trace"
_SPAN: Final = "logging.googleapis.com/spanId"
_SAMPLED: Final = "logging.googleapis.com/trace_sampled"


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
        return functools.partial(cloud_members, project=self.project)


def cloud_members(
    type_: Any, severity: int, fields: dict[str, Any], *, project: str | None
) -> dict[str, Any]:
    """Give the members of the envelope that Cloud Logging reads."""
    # A sanitiser of its own: what is lost here is lost in Fields too, and said there.
    text = Sanitiser().name
    members: dict[str, Any] = {
        "severity": CLOUD_SEVERITIES[severity],
        # An entry without a message shows as its whole JSON.
        "message": text(fields.get("msg") or fields.get("error") or type_),
    }
    if trace := fields.get("trace_id"):
        members[_TRACE] = f"projects/{project}/traces/{text(trace)}" if project else text(trace)
    if span := fields.get("span_id"):
        members[_SPAN] = text(span)
    if (flags := fields.get("trace_flags")) is not None:
        members[_SAMPLED] = _is_sampled(flags)
    return members


def _is_sampled(flags: Any) -> bool:
    """Read the sampled bit of W3C trace flags, given as a number or as two hex digits."""
    try:
        return bool((int(flags, 16) if isinstance(flags, str) else int(flags)) & 1)
    except Exception:
        return False
