"""What of a bound logger's lines is ready before it is called."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, NoReturn

import structlog

from mozlog_py.process import process

from .levels import NAMES
from .renderer import MozlogRenderer
from .sink import SinkLogger

__all__ = ["NO_HEADS", "UNPREPARABLE", "Head", "head"]

#: The process, and the state of the renderer alone in its chain, that it is for; the
#: line around the Fields of a call, and around a message that is alone; the names
#: that no field of a call may have, since they are in it already or mean
#: something; whether there are fields in it already, so that those of the call go
#: on without a brace; and what the line is given to.
Head = tuple[int, Any, bytes, bytes, frozenset[str], bool, Callable[[bytes], Any]]


def _no_write(line: bytes) -> NoReturn:
    raise RuntimeError(f"nothing was prepared for {line!r}")


# No process has such an id, so these are never taken for heads.
_UNPREPARED: Final[Head] = (-2, None, b"", b"", frozenset(), False, _no_write)
#: In place of a head, where a line takes more than putting two parts together.
UNPREPARABLE: Final[Head] = (-3, None, b"", b"", frozenset(), False, _no_write)
#: The heads of a logger that was not called yet, by a tenth of the level.
NO_HEADS: Final = [_UNPREPARED] * 6


def head(renderer: MozlogRenderer, logger: Any, level: int, bound: dict[str, Any]) -> Head:
    """Give what is constant in the lines of a logger at one level, in this process.

    ``bound``: what is bound to it. ``UNPREPARABLE`` where that cannot be said.
    """
    if not renderer.gives_bytes_to(logger):
        return UNPREPARABLE
    write: Callable[[bytes], Any]
    if isinstance(logger, SinkLogger):
        write, newline = logger.sink.write, b"\n"
    elif type(logger) is structlog.BytesLogger:
        write, newline = getattr(logger, NAMES[level]), b""
    else:
        # What it gives back may be of interest.
        return UNPREPARABLE
    if process.pid < 0:
        process.ask(time.time_ns())
    made = renderer.head(logger, level, bound, newline)
    return UNPREPARABLE if made is None else (process.pid, renderer.state, *made, write)
