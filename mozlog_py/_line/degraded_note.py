"""The note in a line of what it has lost, ``mozlog.degraded``."""

from __future__ import annotations

from typing import Any

from mozlog_py._values.record_budget import DEGRADED
from mozlog_py._values.sanitiser import unique_key

__all__ = ["DEGRADED", "degrade"]


def degrade(fields: dict[Any, Any], reason: str) -> None:
    """Add a reason to the note of what fields have lost; a user's field of that name is kept."""
    note = fields.get(DEGRADED)
    if note is not None and type(note) is not str:
        fields[unique_key(f"extra.{DEGRADED}", fields)] = note
        note = None
    known = note.split("; ") if note else []
    # Fields that are converted first and cleaned afterwards may lose the same twice.
    known += [each for each in reason.split("; ") if each not in known]
    fields[DEGRADED] = "; ".join(known)
