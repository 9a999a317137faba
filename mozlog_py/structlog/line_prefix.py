"""The part of a bound logger's lines that is encoded before a call."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, NoReturn

import structlog

from mozlog_py._process.process_id import process
from mozlog_py.sink import NO_DIRECT_WRITE, Sink

from .levels import METHODS_BY_LEVEL
from .renderer import AroundContext, MozlogRenderer
from .sink_logger import SinkLogger

__all__ = [
    "NOT_COMPILABLE",
    "NOT_COMPILED",
    "NO_PREFIXES",
    "LinePrefix",
    "OpaqueSink",
    "compile_prefix",
]

_write: Final = Sink.write

#: What a line takes of one logger, level and process:
#:
#: - the ``state`` of the renderer that the prefix holds for
#: - the template of a line with fields of the call
#: - the template of a line with a message alone
#: - what replaces the first template where the context adds fields
#: - the names that no field of the call may have: they are bound already, or have a meaning
#: - whether the template holds fields, so that those of the call follow without a brace
#: - what the line is written to
LinePrefix = tuple[
    object, bytes, bytes, "AroundContext | None", frozenset[str], bool, "Sink | OpaqueSink"
]


class OpaqueSink:
    """A function that takes lines, with the two attributes of a ``Sink`` that a method reads.

    Args:
        write: Takes one line with its newline.
    """

    __slots__ = ("direct_write", "write")

    def __init__(self, write: Callable[[bytes], Any]) -> None:
        self.write = write
        self.direct_write = NO_DIRECT_WRITE


def _no_write(line: bytes) -> NoReturn:
    raise RuntimeError(f"no line prefix is compiled for {line!r}")


def _unprepared() -> LinePrefix:
    # No renderer has this object as its state, so no method takes it for a prefix.
    return object(), b"", b"", None, frozenset(), False, OpaqueSink(_no_write)


#: Stands for a prefix that no call has needed yet.
NOT_COMPILED: Final = _unprepared()
#: Stands for a prefix where a line takes more than a prefix and the fields of the call.
NOT_COMPILABLE: Final = _unprepared()
#: The prefixes of a logger before its first call, by a tenth of the level.
NO_PREFIXES: Final = [NOT_COMPILED] * 6


def compile_prefix(
    renderer: MozlogRenderer, logger: Any, level: int, bound: dict[str, Any]
) -> LinePrefix:
    """Return what is constant in the lines of a logger at one level, in this process.

    Args:
        renderer: The only processor of the chain.
        logger: The logger below the chain.
        level: A level that has a method.
        bound: The fields that are bound to the logger.

    Returns:
        The prefix; ``NOT_COMPILABLE`` where the lines have more to them.
    """
    if not renderer.gives_bytes_to(logger):
        return NOT_COMPILABLE
    sink: Sink | OpaqueSink
    if isinstance(logger, SinkLogger):
        sink, newline = logger.sink, b"\n"
        # A ``write`` of a subclass, or one that was set on the instance, must be called.
        if type(sink) is not Sink or getattr(sink.write, "__func__", None) is not _write:
            sink = OpaqueSink(sink.write)
    elif type(logger) is structlog.BytesLogger:
        sink, newline = OpaqueSink(getattr(logger, METHODS_BY_LEVEL[level])), b""
    else:
        # The caller may use what another logger returns; a prefix drops it.
        return NOT_COMPILABLE
    if process.pid < 0:
        process.refresh(time.time_ns())
    made = renderer.compile_prefix(logger, level, bound, newline)
    return NOT_COMPILABLE if made is None else (renderer.state, *made, sink)
