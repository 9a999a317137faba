"""What of a bound logger's lines is ready before it is called."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, NoReturn

import structlog

from mozlog_py._process.process_id import process
from mozlog_py.sink import NO_DIRECT_WRITE, Sink

from .levels import NAMES
from .renderer import AroundContext, MozlogRenderer
from .sink_logger import SinkLogger

__all__ = ["NOT_COMPILABLE", "NOT_COMPILED", "NO_HEADS", "LinePrefix", "OpaqueSink", "head"]

_write: Final = Sink.write

#: The state of the renderer alone in its chain that it is for; the line around the
#: Fields of a call, and around a message that is alone; what a line takes that has the
#: context in it, before what is bound to the logger; the names that no field of a
#: call may have, since they are in it already or mean something; whether there are
#: fields in it already, so that those of the call go on without a brace; and what the
#: line is given to.
LinePrefix = tuple[
    object, bytes, bytes, "AroundContext | None", frozenset[str], bool, "Sink | OpaqueSink"
]


class OpaqueSink:
    """What takes lines, and is no sink that a line can be written to without a call."""

    __slots__ = ("direct_write", "write")

    def __init__(self, write: Callable[[bytes], Any]) -> None:
        self.write = write
        self.direct_write = NO_DIRECT_WRITE


def _no_write(line: bytes) -> NoReturn:
    raise RuntimeError(f"nothing was prepared for {line!r}")


def _nothing() -> LinePrefix:
    # No renderer has such a state, so these are never taken for heads.
    return object(), b"", b"", None, frozenset(), False, OpaqueSink(_no_write)


#: In place of a head that was not asked for yet.
NOT_COMPILED: Final = _nothing()
#: In place of a head, where a line takes more than putting two parts together.
NOT_COMPILABLE: Final = _nothing()
#: The heads of a logger that was not called yet, by a tenth of the level.
NO_HEADS: Final = [NOT_COMPILED] * 6


def head(renderer: MozlogRenderer, logger: Any, level: int, bound: dict[str, Any]) -> LinePrefix:
    """Give what is constant in the lines of a logger at one level, in this process.

    ``bound``: what is bound to it. ``NOT_COMPILABLE`` where that cannot be said.
    """
    if not renderer.gives_bytes_to(logger):
        return NOT_COMPILABLE
    sink: Sink | OpaqueSink
    if isinstance(logger, SinkLogger):
        sink, newline = logger.sink, b"\n"
        # Somebody's own write must be asked, also where it was put on an instance.
        if type(sink) is not Sink or getattr(sink.write, "__func__", None) is not _write:
            sink = OpaqueSink(sink.write)
    elif type(logger) is structlog.BytesLogger:
        sink, newline = OpaqueSink(getattr(logger, NAMES[level])), b""
    else:
        # What it gives back may be of interest.
        return NOT_COMPILABLE
    if process.pid < 0:
        process.refresh(time.time_ns())
    made = renderer.head(logger, level, bound, newline)
    return NOT_COMPILABLE if made is None else (renderer.state, *made, sink)
