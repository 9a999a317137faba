"""Lean records: without what ``logging`` gathers for every record and no MozLog line shows.

One thing that lines do show goes with it: the stack of ``stack_info=True``.
Source: https://docs.python.org/3/howto/logging.html#optimization
"""

from __future__ import annotations

import logging
from typing import Any, Final

__all__ = ["use_full_records", "use_minimal_records"]

# The caller's file and function, and the names of thread, process and task.
_SWITCHES: Final = {
    "_srcfile": None,
    "logAsyncioTasks": False,
    "logMultiprocessing": False,
    "logThreads": False,
}

_former: dict[str, Any] = {}


def use_minimal_records() -> None:
    """Have records made without their caller, stack, and thread, process and task names."""
    for name, value in _SWITCHES.items():
        # The one for tasks came with 3.12.
        if hasattr(logging, name) and name not in _former:
            _former[name] = getattr(logging, name)
            setattr(logging, name, value)


def use_full_records() -> None:
    """Undo what ``use_minimal_records`` did, if it did anything."""
    while _former:
        setattr(logging, *_former.popitem())
