"""What the logger itself has to say, on stderr: little, seldom, and never in the way."""

from __future__ import annotations

import os
import select
import time
from typing import Final

__all__ = ["Tally", "degraded", "note"]

_STDERR: Final = 2
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
    line = f"mozlog_py: {text}{more}".encode("unicode_escape")[: _MAX_BYTES - 1] + b"\n"
    try:
        # A pipe that is writable takes this much (PIPE_BUF) without blocking.
        if select.select([], [_STDERR], [], 0)[1]:
            os.write(_STDERR, line)
            _last, _withheld = now, 0
            return
    except (OSError, ValueError):
        # stderr is closed, or its reader is gone.
        pass
    _withheld += 1
