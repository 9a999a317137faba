"""Minimal records, without the attributes that ``logging`` collects and no MozLog line shows.

The stack of ``stack_info=True``, which lines show, is left out as well.
Source: https://docs.python.org/3/howto/logging.html#optimization
"""

from __future__ import annotations

import logging
from typing import Any, Final

__all__ = ["use_full_records", "use_minimal_records"]

# They collect the caller's file and function, and the names of thread, process and task.
_SWITCHES: Final = {
    "_srcfile": None,
    "logAsyncioTasks": False,
    "logMultiprocessing": False,
    "logThreads": False,
}

_former: dict[str, Any] = {}


def use_minimal_records() -> None:
    """Switch off the caller, the stack, and the names of thread, process and task."""
    for name, value in _SWITCHES.items():
        # Python has the switch for tasks since 3.12.
        if hasattr(logging, name) and name not in _former:
            _former[name] = getattr(logging, name)
            setattr(logging, name, value)


def use_full_records() -> None:
    """Restore the switches that ``use_minimal_records`` has changed."""
    while _former:
        setattr(logging, *_former.popitem())
