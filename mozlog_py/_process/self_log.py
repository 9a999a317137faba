"""What the logger itself has to say, on stderr: little, seldom, and never in the way."""

from __future__ import annotations

import os
import stat
import time
from typing import Final

from .descriptors import STDERR, is_redirection, is_writable

__all__ = ["DEGRADED", "Tally", "degraded", "note"]

#: The field in which a line says what of its record it could not keep.
DEGRADED: Final = "mozlog.degraded"

_MAX_BYTES: Final = 1024
_INTERVAL_S: Final = 1.0


class Tally:
    """A count that goes up."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


#: How many lines of this process could not keep all of their record.
degraded: Final = Tally()

_last: float = float("-inf")
_withheld = 0


def note(text: str) -> None:
    """Write one line about the logger's own trouble to stderr.

    At most one a second and 1,024 bytes, and only where stderr takes it at
    once: a service must not stop because nobody reads its complaints. Never raises.
    """
    global _last, _withheld
    now = time.monotonic()
    if now - _last < _INTERVAL_S:
        _withheld += 1
        return
    more = f" ({_withheld} more like it)" if _withheld else ""
    # No character becomes less than one byte: what is cut is not escaped first.
    whole = f"mozlog_py: {text[:_MAX_BYTES]}{more}"
    line = whole.encode("unicode_escape")[: _MAX_BYTES - 1] + b"\n"
    try:
        if _takes_at_once(STDERR):
            os.write(STDERR, line)
            _last, _withheld = now, 0
            return
    except OSError:
        # stderr is closed, or its reader is gone.
        pass
    _withheld += 1


def _takes_at_once(descriptor: int) -> bool:
    if not is_redirection(descriptor):
        # stderr was closed, and a file of the application has its number.
        return False
    # A pipe that is writable takes this much (PIPE_BUF) without blocking.
    is_ready = is_writable(descriptor, 0)
    if is_ready is None:
        return not stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    return is_ready
