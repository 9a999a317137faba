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
from collections import deque
from collections.abc import Iterator
from itertools import compress, repeat
from operator import itemgetter, not_
from types import MethodType
from typing import Any, Final, Protocol

from mozlog_py._process.descriptors import (
    STDERR,
    STDOUT,
    DescriptorIdentity,
    ForeignDescriptorError,
    is_redirection,
    is_writable,
)
from mozlog_py._process.unpatched import native, sleep

from .pipe_lock import CAN_LOCK, DROP_LOCK, ONE_BYTE, TAKE_LOCK, TURN, PipeLock, lockf
from .reopenable_file import ReopenableFile

__all__ = [
    "PIPE_BUF",
    "DescriptorDestination",
    "Destination",
    "EchoError",
    "PendingWrite",
    "StreamDestination",
    "bytes_written",
    "descriptor_behind",
    "destination_behind",
    "destination_for",
    "is_complete",
    "is_echo",
    "slot_writers",
]

#: ``[line, count, count, ...]``: a line, and how many bytes of it each write took.
PendingWrite = list[Any]

#: Bytes; a write of no more than this to a pipe is never split by the kernel.
PIPE_BUF: Final = getattr(select, "PIPE_BUF", 512)

_POLL_MS: Final = 1000
#: Seconds between two attempts where it cannot be known when there is room.
_PAUSE_S: Final = 0.005
_write: Final = os.write
_line_of: Final[Any] = itemgetter(0)
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")
_get_ident: Final = native("_thread", "get_ident")

#: What the beginning of a line is recognised by, within the line of another record.
_HEAD: Final = re.compile(rb"[ -~]{12,120}")
_TIMESTAMP: Final = re.compile(rb'\{"Timestamp":(\d+),')
#: Colours of the terminal, also as they are escaped in a line.
_COLORS: Final = re.compile(rb"(?:\x1b|\\+x1b|\\+u001b)\[[0-9;]*m")

#: The lines that are on their way to a stream of a foreign class, with their threads.
_being_written: Final[list[tuple[int, StreamDestination]]] = []


def bytes_written(pending: PendingWrite) -> int:
    """Give how many bytes of a cell's line are written."""
    return sum(pending[1:])


def is_complete(pending: PendingWrite) -> bool:
    """Tell whether a cell's line is written to its end."""
    return bytes_written(pending) >= len(pending[0])


class Destination(Protocol):
    """Takes whole lines, one at a time."""

    def is_replaced(self) -> bool:
        """Return whether what is below has been replaced since the outlet was made."""

    def finish(self, pending: PendingWrite, timeout: float | None) -> None:
        """Write what is left of a cell's line. Raises what the write raises.

        ``timeout``: seconds to wait for a descriptor that takes nothing now;
        None waits for as long as it takes. Raises ``TimeoutError``.
        """


class DescriptorDestination:
    """Writes to the descriptor below a standard stream or file.

    The standard descriptors belong to the process: what replaces one of them redirects the
    process, and lines follow it. Any other number is that of one file, and lines are not for
    another one which has it later.

    Args:
        flush: Called before each line: what ``print()`` left in the stream's buffer comes
            first, and a closed stream raises ``ValueError``.
        look: Called instead where the buffer must be left alone.
        descriptor: The descriptor.
        identity: What each write recognises the descriptor by; by default it is found out.
    """

    def __init__(
        self, flush: Any, look: Any, descriptor: int, identity: DescriptorIdentity | None = None
    ) -> None:
        self.flush = flush
        self._look = look
        self.descriptor: Final = descriptor
        self.is_standard: Final = descriptor <= STDERR
        self._identity = DescriptorIdentity(descriptor) if identity is None else identity
        mode = os.fstat(descriptor).st_mode
        #: Who else writes to the same pipe; None where the kernel keeps lines apart.
        self.pipe_lock = PipeLock(descriptor) if _is_shared_by_bytes(mode) else None
        #: Bytes that the kernel takes in one piece, or not at all.
        self.whole_bytes = PIPE_BUF if self.pipe_lock is not None else sys.maxsize

    def is_replaced(self) -> bool:
        """Return whether the descriptor is that of another file than it was.

        A standard descriptor that is closed is not: the write tells that.
        """
        try:
            return not (self._identity.is_same() and self._identity.is_same_file())
        except OSError:
            return not self.is_standard

    def accept_redirection(self) -> None:
        """Raise ``ForeignDescriptorError`` unless it is a redirection, or the same file.

        Called when the outlet is outdated and its stream is still the same.

        Raises:
            ValueError: The stream is closed.
            OSError: The descriptor is.
        """
        self._look()
        is_same = self._identity.is_same_file()
        if not is_same and not (self.is_standard and is_redirection(self.descriptor)):
            raise ForeignDescriptorError(self.descriptor)

    def descriptors(self, *, is_endless: bool = False) -> Iterator[int]:
        """Return an iterator that gives the descriptor for a write, as ``map`` takes it.

        Raises:
            KeyError: By a step of the iterator: the descriptor is that of another file.
            OSError: By a step of the iterator: the descriptor is closed.
        """
        return self._identity.descriptors(is_endless=is_endless)

    def leave_buffer_alone(self) -> None:
        """Flush no more; only look whether the stream is closed."""
        self.flush = self._look

    def finish(self, pending: PendingWrite, timeout: float | None = None) -> None:
        """Write what is left of a cell's line, whatever it takes."""
        pipe_lock = self.pipe_lock
        until = None if timeout is None else time.monotonic() + timeout
        if pipe_lock is None:
            self._finish(pending, until)
            return
        # Not a lock of another file either.
        self.verify()
        try:
            try:
                pipe_lock.lock(is_long=len(pending[0]) > PIPE_BUF, until=until)
                self._finish(pending, until)
            finally:
                pipe_lock.unlock()
        finally:
            # Once more: a signal's handler may have raised on the way to the other.
            pipe_lock.unlock()

    def verify(self) -> None:
        """Raise ``ForeignDescriptorError`` if the descriptor is that of another file by now."""
        if not self.is_standard and self.is_replaced():
            raise ForeignDescriptorError(self.descriptor)

    def remainder_of(self, partial: PendingWrite) -> PendingWrite | None:
        """Give what ends a line that was torn some time ago: its rest, where it still fits on."""
        if self.pipe_lock is not None:
            # What others wrote since then may stand behind it.
            return [b"\n"] if self.pipe_lock.is_shared else partial
        descriptor = self.descriptor
        try:
            is_last = os.lseek(descriptor, 0, os.SEEK_CUR) == os.fstat(descriptor).st_size
        except OSError:
            return partial
        return partial if is_last else None

    def _finish(self, pending: PendingWrite, until: float | None) -> None:
        line = pending[0]
        if until is not None:
            self._wait(until, is_refused=False)
        while True:
            done = bytes_written(pending)
            if done >= len(line):
                return
            try:
                rest = line[done:] if done else line
                pending.extend(map(_write, self.descriptors(), (rest,)))
                if pending[-1] == 0:
                    raise OSError(errno.EIO, "the descriptor takes nothing")
            except BlockingIOError:
                self._wait(until)
            except KeyError:
                raise ForeignDescriptorError(self.descriptor) from None

    def _wait(self, until: float | None, *, is_refused: bool = True) -> None:
        while True:
            milliseconds = _POLL_MS if until is None else _milliseconds(until)
            is_ready = is_writable(self.descriptor, milliseconds)
            if is_ready or (is_ready is None and not is_refused):
                # Not every system can tell; then the write does.
                return
            if until is not None and time.monotonic() >= until:
                raise TimeoutError(errno.ETIMEDOUT, "nobody reads")
            if is_ready is None:
                sleep(_PAUSE_S)
                return


class EchoError(OSError):
    """The stream has logged the line that was written to it."""


class StreamDestination:
    """Writes to anything that has a ``write``, as text or as bytes, whichever it takes."""

    __slots__ = ("_is_ascii", "_is_binary", "_line", "_prefixes", "_stream", "is_echoed")

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._is_binary = isinstance(stream, (io.RawIOBase, io.BufferedIOBase))
        self._is_ascii = not _is_utf8(getattr(stream, "encoding", None))
        self._line = b""
        self._prefixes: deque[bytes] = deque()
        #: The stream has logged what is being written to it.
        self.is_echoed = False

    def is_replaced(self) -> bool:
        """Return False: the stream is what lines are for, whatever is below it."""
        return False

    def finish(self, pending: PendingWrite, timeout: float | None = None) -> None:  # noqa: ARG002
        """Write a line and flush, where the stream can be flushed.

        Raises:
            EchoError: The stream logs what is written to it; the line is still to be written.
        """
        if len(pending) > 1:
            # Only the stream knows how far it came, and nothing must be written twice.
            return
        line = pending[0]
        if is_echo(line):
            pending.append(len(line))
            return
        self._line, self.is_echoed = line, False
        self._prefixes.clear()
        slot = _get_ident(), self
        _being_written.append(slot)
        try:
            if self._is_binary:
                self._write_bytes(line)
            else:
                self._write_text(line)
            pending.append(len(line))
            flush = getattr(self._stream, "flush", None)
            if flush is not None:
                flush()
        except Exception:
            if not self.is_echoed:
                raise
        except BaseException:
            if len(pending) == 1:
                pending.append(len(line))
            raise
        finally:
            _being_written.remove(slot)
        if self.is_echoed:
            del pending[1:]
            raise EchoError("the stream logs what is written to it")

    def echoes(self, line: bytes) -> bool:
        """Return whether a line has one of those in it that are being written."""
        heads = self._prefixes
        if not heads:
            heads.extend(filter(None, map(_beginning_of, self._line.split(b"\n"))))
        text = _COLORS.sub(b"", line)
        fields = line.partition(b'"Fields"')[2]
        for _ in range(len(heads)):
            if _is_within(heads[0], text, fields):
                return True
            # Streams log lines in the order in which they get them.
            heads.rotate(-1)
        return False

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


def is_echo(line: bytes) -> bool:
    """Return whether a line only says what this thread is writing to a stream.

    A stream that logs what is printed to it makes a record of each line, whose line would
    be written to the stream in turn. It is told to the outlet that writes the first one.
    """
    ident = _get_ident()
    # Other threads change the list meanwhile.
    for thread, destination in tuple(_being_written):
        if thread == ident and destination.echoes(line):
            destination.is_echoed = True
            return True
    return False


def slot_writers(
    destination: DescriptorDestination, slot: dict[int, Any]
) -> tuple[Iterator[int], Iterator[tuple[int, None]]]:
    """Give two endless iterators; each step writes the line of the cell in ``slot[0]`` once.

    The first one puts the count into ``slot[1]``, and gives it; the second does
    so with the lock of the pipe, which it gives back. A step raises what the
    write raises, and a step after that goes on as if nothing had been. They are
    made once since making a ``map`` for each line costs as much as using it.
    """

    def steps(descriptors: Iterator[int]) -> Iterator[int]:
        lines = map(_line_of, map(slot.get, repeat(0)))
        return map(slot.setdefault, repeat(1), map(_write, descriptors, lines))

    def locks(descriptors: Iterator[int], kind: tuple[int, ...]) -> Iterator[None]:
        return map(lockf, descriptors, *map(repeat, kind + ONE_BYTE + TURN))

    always = repeat(destination.descriptor)
    locked = compress(always, map(not_, locks(destination.descriptors(is_endless=True), TAKE_LOCK)))
    return (
        steps(destination.descriptors(is_endless=True)),
        zip(steps(locked), locks(always, DROP_LOCK), strict=False),
    )


def destination_for(stream: Any) -> Destination:
    """Give the outlet for a stream: its descriptor where that is the same thing, else itself."""
    # Exact types only: a subclass is there to do something of its own on write.
    if type(stream) is io.TextIOWrapper and _is_utf8(stream.encoding):
        return _descriptor_destination(stream, stream.buffer)
    if type(stream) is io.BufferedWriter or type(stream) is io.FileIO:
        return _descriptor_destination(stream, stream)
    if type(stream) is ReopenableFile:
        return DescriptorDestination(stream.look, stream.look, stream.fileno(), stream.identity)
    if _is_logging(stream):
        # What is printed to it becomes a record, and that would come back here.
        return destination_behind(stream)
    return StreamDestination(stream)


def destination_behind(stream: Any) -> Destination:
    """Return the outlet for the real stream that a logging one stands in for.

    Raises:
        OSError: There is no such descriptor.
    """
    real = sys.__stderr__ if _is_stderr(stream) else sys.__stdout__
    if real is None or real is stream or _is_logging(real):
        return descriptor_behind(stream)
    return destination_for(real)


def descriptor_behind(stream: Any) -> Destination:
    """Return the outlet for the standard descriptor that a stream stands in for.

    Raises:
        OSError: The descriptor is closed.
    """
    return DescriptorDestination(_nothing, _nothing, STDERR if _is_stderr(stream) else STDOUT)


def _is_stderr(stream: Any) -> bool:
    # Celery has the same object for both.
    return stream is sys.stderr and stream is not sys.stdout


def _nothing() -> None:
    """Flush nothing."""


def _beginning_of(line: bytes) -> bytes:
    found = _HEAD.match(_COLORS.sub(b"", line[:400]))
    return found[0] if found else b""


def _is_within(head: bytes, text: bytes, fields: bytes) -> bool:
    """Return whether a line begins like this that another line has in it.

    Args:
        head: The beginning of the one.
        text: The other, without colours.
        fields: The Fields of the other.
    """
    if head in text or json.dumps(head.decode())[1:-1].encode() in text:
        return True
    # A message that is JSON text becomes Fields.
    stamp = _TIMESTAMP.match(head)
    return stamp is not None and stamp[1] in fields


def _descriptor_destination(stream: Any, below: Any) -> Destination:
    """Return the outlet for a stream with a descriptor, or the stream's own without one.

    Raises:
        OSError: The descriptor is closed, and the stream does not know of it.
    """
    try:
        # What gzip, TLS and the like have is not a descriptor to write past them to.
        if type(getattr(below, "raw", below)) is io.FileIO:
            return DescriptorDestination(stream.flush, stream.fileno, stream.fileno())
    except OSError as error:
        if error.errno == errno.EBADF:
            # The stream's buffer would keep the line, and print it when it is counted as lost.
            raise
    except ValueError:  # detached or closed
        pass
    return StreamDestination(stream)


def _is_logging(stream: Any) -> bool:
    """Return whether a stream has a logger, as those have that log what is printed to them.

    Celery's has it as ``logger``; others keep it under a name of their own, or only its
    ``info`` method. Streams that have it elsewhere are noticed when they log a line.
    """
    try:
        kept = [stream.logger]
    except Exception:  # without the attribute, or with a broken one
        kept = []
    try:
        kept += vars(stream).values()
    except Exception:  # without a dict
        pass
    return any(_is_logger(one) or _is_logger(_owner_of(one)) for one in kept)


def _is_logger(value: Any) -> bool:
    return issubclass(type(value), (logging.Logger, logging.LoggerAdapter))


def _owner_of(value: Any) -> Any:
    return value.__self__ if type(value) is MethodType else None


def _is_shared_by_bytes(mode: int) -> bool:
    """Return whether writes of several processes to a file of this mode may be mixed."""
    return CAN_LOCK and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode))


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
