"""Which exceptions a formatter has just shown with their traceback.

A framework logs an exception, and then the summary of the request or the server logs the same
one. The second traceback would push the first off the screen.
"""

from __future__ import annotations

from typing import Any, Final

from mozlog_py._fields.server_records import READERS
from mozlog_py._values.tracebacks import attributes_of

from .request_head import SUMMARIES

__all__ = ["is_shown_again", "note_shown"]

_ATTRIBUTE: Final = "_mozlog_shown"
# An exception may be a constant that is raised in every request.
_RECENT_NS: Final = 5_000_000_000
_FOLLOWING: Final = frozenset({SUMMARIES, *READERS})


def is_shown_again(error: Any, logger: Any, place: int, ns: int) -> bool:
    """Return whether a line repeats the traceback of the line before it.

    Args:
        error: The exception, or any other value.
        logger: The name of the line's logger. Lines of the application show each traceback.
        place: A number for the formatter.
        ns: The time of the line, in ns.
    """
    if logger not in _FOLLOWING:
        return False
    try:
        shown_ns = attributes_of(error).get(_ATTRIBUTE, {}).get(place)
        return type(shown_ns) is int and 0 <= ns - shown_ns < _RECENT_NS
    except Exception:
        # It is no exception.
        return False


def note_shown(error: Any, place: int, ns: int) -> None:
    """Note that a line shows the traceback of an exception; see ``is_shown_again``."""
    try:
        attributes_of(error).setdefault(_ATTRIBUTE, {})[place] = ns
    except Exception:
        # It is no exception.
        pass
