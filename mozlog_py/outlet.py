"""What is below a sink: a descriptor that is ours to write to, or a stream of somebody's.

A standard stream is written to through its descriptor, past Python's own
buffers, which lose lines when a write is interrupted or refused. Anything else
(a test's capture, a wrapper) is written to as it asks to be, through ``write``.

A line on its way is a *cell*: a list with the line first and then the count of
bytes of every write that took some of it. Iterators of ``map`` write and record
in one C call, so that no signal handler, no finaliser and no other thread can
come between the two. The cell is the only truth about a line, with what stands
beside it in its place (see ``turns``) for as long as it is there.
"""

from __future__ import annotations

import codecs
import errno
import io
import json
import logging
import os
import re
import select
import stat
import sys
import time
from collections.abc import Iterator
from itertools import compress, repeat
from operator import itemgetter, not_
from typing import Any, Final, Protocol

from .company import LOCK, ONE_BYTE, TURN, UNLOCK, Company, lockf
from .path import PathStream

__all__ = [
    "PIPE_BUF",
    "Cell",
    "DescriptorOutlet",
    "Outlet",
    "StreamOutlet",
    "counted",
    "is_complete",
    "outlet_for",
    "writes_in_turn",
]

#: ``[line, count, count, ...]``: a line, and how many bytes of it each write took.
Cell = list[Any]

#: Bytes; a write of no more than this to a pipe is never split by the kernel.
PIPE_BUF: Final = select.PIPE_BUF

_POLL_MS: Final = 1000
_write: Final = os.write
_line_of: Final[Any] = itemgetter(0)
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")


def counted(cell: Cell) -> int:
    """Give how many bytes of a cell's line are written."""
    return sum(cell[1:])


def is_complete(cell: Cell) -> bool:
    """Tell whether a cell's line is written to its end."""
    return counted(cell) >= len(cell[0])


class Outlet(Protocol):
    """Takes whole lines, one at a time."""

    def finish(self, cell: Cell, timeout: float | None) -> None:
        """Write what is left of a cell's line. Raises what the write raises.

        ``timeout``: seconds to wait for a descriptor that takes nothing now;
        None waits for as long as it takes. Raises ``TimeoutError``.
        """


class DescriptorOutlet:
    """Writes to the descriptor below a standard stream or file.

    ``flush`` is called before each line: what ``print()`` left in the stream's
    buffer came first, and a closed stream raises ``ValueError`` there, before a
    stranger with its number is written to.
    """

    def __init__(self, flush: Any, look: Any, descriptor: int) -> None:
        self.flush = flush
        self._look = look
        #: The descriptor, as ``map`` takes it.
        self.descriptors: Final = (descriptor,)
        mode = os.fstat(descriptor).st_mode
        #: Who else writes to the same pipe; None where the kernel keeps lines apart.
        self.company = Company(descriptor) if _is_shared_by_bytes(mode) else None
        #: Bytes that the kernel takes in one piece, or not at all.
        self.whole_bytes = PIPE_BUF if self.company is not None else sys.maxsize

    def leave_buffer_alone(self) -> None:
        """Flush no more; only look whether the stream is closed."""
        self.flush = self._look

    def finish(self, cell: Cell, timeout: float | None = None) -> None:
        """Write what is left of a cell's line, whatever it takes."""
        company = self.company
        if company is None:
            self._finish(cell, timeout)
            return
        try:
            try:
                company.lock(is_long=len(cell[0]) > PIPE_BUF)
                self._finish(cell, timeout)
            finally:
                company.unlock()
        finally:
            # Once more: a signal's handler may have raised on the way to the other.
            company.unlock()

    def rest_of(self, torn: Cell) -> Cell | None:
        """Give what ends a line that was torn some time ago: its rest, where it still fits on."""
        if self.company is not None:
            # What others wrote since then may stand behind it.
            return [b"\n"] if self.company.is_shared else torn
        descriptor = self.descriptors[0]
        try:
            is_last = os.lseek(descriptor, 0, os.SEEK_CUR) == os.fstat(descriptor).st_size
        except OSError:
            return torn
        return torn if is_last else None

    def _finish(self, cell: Cell, timeout: float | None) -> None:
        line = cell[0]
        until = None if timeout is None else time.monotonic() + timeout
        if until is not None:
            self._wait(until)
        while True:
            done = counted(cell)
            if done >= len(line):
                return
            try:
                cell.extend(map(_write, self.descriptors, (line[done:] if done else line,)))
                if cell[-1] == 0:
                    raise OSError(errno.EIO, "the descriptor takes nothing")
            except BlockingIOError:
                self._wait(until)

    def _wait(self, until: float | None) -> None:
        waiting = select.poll()
        waiting.register(self.descriptors[0], select.POLLOUT)
        while not waiting.poll(_POLL_MS if until is None else _milliseconds(until)):
            if until is not None and time.monotonic() >= until:
                raise TimeoutError(errno.ETIMEDOUT, "nobody reads")


class StreamOutlet:
    """Writes to anything that has a ``write``, as text or as bytes, whichever it takes."""

    __slots__ = ("_is_ascii", "_is_binary", "_stream")

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._is_binary = isinstance(stream, (io.RawIOBase, io.BufferedIOBase))
        self._is_ascii = not _is_utf8(getattr(stream, "encoding", None))

    def finish(self, cell: Cell, timeout: float | None = None) -> None:  # noqa: ARG002
        """Write a line and flush, where the stream can be flushed."""
        if len(cell) > 1:
            # Only the stream knows how far it came, and nothing must be written twice.
            return
        line = cell[0]
        try:
            if self._is_binary:
                self._write_bytes(line)
            else:
                self._write_text(line)
        except Exception:
            raise
        except BaseException:
            cell.append(len(line))
            raise
        cell.append(len(line))
        flush = getattr(self._stream, "flush", None)
        if flush is not None:
            flush()

    def _write_text(self, line: bytes) -> None:
        text = line.decode()
        # Whatever the encoding makes of other letters, it is not what a
        # collector takes for JSON; and JSON can say anything in ASCII.
        try:
            self._stream.write(_NOT_ASCII.sub(_escaped, text) if self._is_ascii else text)
        except UnicodeEncodeError:
            # It did not say what it is.
            self._is_ascii = True
            self._stream.write(_NOT_ASCII.sub(_escaped, text))
        except TypeError:
            # Nor that it takes bytes, as temporary files do.
            self._write_bytes(line)
            self._is_binary = True

    def _write_bytes(self, line: bytes) -> None:
        while line:
            written = self._stream.write(line)
            if written is None and isinstance(self._stream, io.RawIOBase):
                raise BlockingIOError("the stream takes nothing now")
            if not isinstance(written, int) or isinstance(written, bool):
                # Somebody's own write, which does not count.
                return
            if written <= 0:
                raise OSError("the stream takes nothing")
            line = line[written:]


def writes_in_turn(
    outlet: DescriptorOutlet, place: dict[int, Any]
) -> tuple[Iterator[int], Iterator[tuple[int, None]]]:
    """Give two endless iterators; each step writes the line of the cell in ``place[0]`` once.

    The first one puts the count into ``place[1]``, and gives it; the second does
    so with the lock of the pipe, which it gives back. A step raises what the
    write raises, and a step after that goes on as if nothing had been. They are
    made once since making a ``map`` for each line costs as much as using it.
    """

    def steps(descriptors: Iterator[int]) -> Iterator[int]:
        lines = map(_line_of, map(place.get, repeat(0)))
        return map(place.setdefault, repeat(1), map(_write, descriptors, lines))

    descriptor = outlet.descriptors[0]

    def locks(kind: tuple[int, ...]) -> Iterator[None]:
        return map(lockf, repeat(descriptor), *map(repeat, kind + ONE_BYTE + TURN))

    locked = compress(repeat(descriptor), map(not_, locks(LOCK)))
    return steps(repeat(descriptor)), zip(steps(locked), locks(UNLOCK), strict=False)


def outlet_for(stream: Any) -> Outlet:
    """Give the outlet for a stream: its descriptor where that is the same thing, else itself."""
    # Exact types only: a subclass is there to do something of its own on write.
    if type(stream) is io.TextIOWrapper and _is_utf8(stream.encoding):
        return _descriptor_outlet(stream, stream.buffer)
    if type(stream) is io.BufferedWriter or type(stream) is io.FileIO:
        return _descriptor_outlet(stream, stream)
    if type(stream) is PathStream:
        return DescriptorOutlet(stream.look, stream.look, stream.fileno())
    if _is_logging(stream):
        # What is printed to it becomes a record, and that would come back here.
        return outlet_for(sys.__stdout__)
    return StreamOutlet(stream)


def _descriptor_outlet(stream: Any, below: Any) -> Outlet:
    try:
        # What gzip, TLS and the like have is not a descriptor to write past them to.
        if type(getattr(below, "raw", below)) is io.FileIO:
            return DescriptorOutlet(stream.flush, stream.fileno, stream.fileno())
    except (OSError, ValueError):  # detached or closed
        pass
    return StreamOutlet(stream)


def _is_logging(stream: Any) -> bool:
    """Tell whether a stream makes log records of what is written to it, as celery's does."""
    try:
        return isinstance(stream.logger, logging.Logger) and stream is not sys.__stdout__
    except Exception:  # without the attribute, or with a broken one
        return False


def _is_shared_by_bytes(mode: int) -> bool:
    """Tell whether writes of several processes may be mixed there, byte by byte."""
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _milliseconds(until: float) -> float:
    return min(max(0.0, (until - time.monotonic()) * 1000), _POLL_MS)


def _is_utf8(encoding: Any) -> bool:
    if not isinstance(encoding, str):
        return True
    try:
        return codecs.lookup(encoding).name == "utf-8"
    except LookupError:
        return False


def _escaped(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]
