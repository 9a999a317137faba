"""Notes about the logger's own trouble, on stderr: short, rare, and never blocking."""

from __future__ import annotations

import codecs
import os
import stat
import time
from typing import Final

from .descriptors import STDERR, is_redirection, is_writable
from .shared_state import CountLock, Tally

__all__ = ["degraded", "note"]

_MAX_BYTES: Final = 1024
_INTERVAL_S: Final = 1.0

#: Lines of this process that could not keep all of their record.
degraded: Final = Tally()

_lock: Final = CountLock()
_last: float = float("-inf")
_withheld = 0


def note(text: str) -> None:
    """Write one line about the logger's own trouble to stderr. Never raises.

    The function writes at most one line a second and 1,024 bytes a line. It writes only if
    stderr takes the line at once, so that an unread stderr cannot stop the service. Notes
    that are withheld are counted in the next one.

    Args:
        text: The text, without a newline.
    """
    try:
        with _lock:
            _write_or_withhold(text)
    except Exception:
        # A module cannot be imported for want of memory or of a file descriptor.
        pass


def _write_or_withhold(text: str) -> None:
    global _last, _withheld
    now = time.monotonic()
    if now - _last < _INTERVAL_S:
        _withheld += 1
        return
    more = f" ({_withheld} more like it)" if _withheld else ""
    # Cut before the escape, to bound the work; an escaped character has at least one byte.
    whole = f"mozlog_py: {text[:_MAX_BYTES]}{more}"
    # Not str.encode(), which imports the codec at its first use.
    line = codecs.unicode_escape_encode(whole)[0][: _MAX_BYTES - 1] + b"\n"
    try:
        if _is_ready(STDERR):
            os.write(STDERR, line)
            _last, _withheld = now, 0
            return
    except OSError:
        # stderr is closed, or its reader has ended.
        pass
    _withheld += 1


def _is_ready(descriptor: int) -> bool:
    """Return whether a write of one note to stderr would not block."""
    if not is_redirection(descriptor):
        # stderr was closed, and a file of the application has its number.
        return False
    # A writable pipe takes PIPE_BUF bytes without blocking, and a note has fewer.
    is_ready = is_writable(descriptor, 0)
    if is_ready is None:
        return not stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    return is_ready
