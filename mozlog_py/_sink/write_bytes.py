"""Where a sink writes: to a descriptor, or to a stream's own ``write``.

A sink writes to a standard stream through its descriptor, past Python's own buffers: those lose
lines when a write is interrupted or refused. It writes to any other object (a test's capture, a
wrapper) through the object's ``write``.

A *pending write* is a list: the line, then the count of bytes of each write that took a part of
it. ``map`` objects write and record the count in one C call, so that no signal handler, no
finaliser and no other thread can run between the two. The list is the only record of how much
of a line is written.
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
    takes_messages,
)
from mozlog_py._process.lazy_pattern import lazy_pattern
from mozlog_py._process.unpatched import native, sleep

from .pipe_lock import CAN_LOCK, LOCK, LOCKED_BYTE, UNLOCK, PipeLock, lockf
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
    "is_socket",
    "slot_writers",
]

#: ``[line, count, count, ...]``: a line, and the number of bytes that each write took of it.
PendingWrite = list[Any]

#: Bytes; a write of no more than this to a pipe is never split by the kernel.
PIPE_BUF: Final = getattr(select, "PIPE_BUF", 512)

_POLL_MS: Final = 1000
#: Seconds between two attempts if the system cannot tell whether a descriptor takes bytes.
_PAUSE_S: Final = 0.005
_write: Final = os.write
_line_of: Final[Any] = itemgetter(0)
_add_count: Final[Any] = list.append
_NOT_ASCII: Final = lazy_pattern(r"[^\x00-\x7f]+")
_get_ident: Final = native("_thread", "get_ident")

#: The prefix by which a line is recognised within the line of another record.
_PREFIX: Final = lazy_pattern(rb"[ -~]{12,120}")
_TIMESTAMP: Final = lazy_pattern(rb'\{"Timestamp":(\d+),')
#: Colours of the terminal, raw and as a line escapes them.
_COLORS: Final = lazy_pattern(rb"(?:\x1b|\\+x1b|\\+u001b)\[[0-9;]*m")

#: The threads that write to a stream of a foreign class now, each with its destination.
_in_progress: Final[list[tuple[int, StreamDestination]]] = []


def bytes_written(pending: PendingWrite) -> int:
    """Return how many bytes of the line are written."""
    return sum(pending[1:])


def is_complete(pending: PendingWrite) -> bool:
    """Return whether the line is written to its end."""
    return bytes_written(pending) >= len(pending[0])


class Destination(Protocol):
    """Writes whole lines. The caller sees to it that only one thread writes at a time."""

    def is_replaced(self) -> bool:
        """Return whether another file has taken the place of the one below this destination."""

    def write_all(self, pending: PendingWrite, timeout: float | None) -> None:
        """Write the rest of a line, and raise what the write raises.

        Args:
            pending: The line. Each write adds its count.
            timeout: Seconds to wait for a descriptor that takes no bytes; None for no limit.

        Raises:
            TimeoutError: The descriptor took no bytes within ``timeout``.
        """


class DescriptorDestination:
    """Writes to the descriptor below a standard stream or a file.

    The standard descriptors belong to the process: a file that replaces one of them redirects
    the process, and lines follow. Any other descriptor stands for one file; a file that gets
    its number later receives no lines.

    Args:
        flush: Called before each line, so that text in the stream's buffer comes first. It
            raises ``ValueError`` if the stream is closed.
        check_open: Called instead of ``flush`` if the buffer must not be touched.
        descriptor: The descriptor.
        identity: The identity that each write verifies; by default the present one.
    """

    def __init__(
        self,
        flush: Any,
        check_open: Any,
        descriptor: int,
        identity: DescriptorIdentity | None = None,
    ) -> None:
        self.flush = flush
        self._check_open = check_open
        self.descriptor: Final = descriptor
        self.is_standard: Final = descriptor <= STDERR
        self._identity = DescriptorIdentity(descriptor) if identity is None else identity
        mode = os.fstat(descriptor).st_mode
        #: None for a regular file: there the kernel keeps lines of processes apart.
        self.pipe_lock = PipeLock(descriptor) if _is_shared_by_bytes(mode) else None
        #: Bytes that the kernel takes in one piece or not at all.
        self.whole_bytes = PIPE_BUF if self.pipe_lock is not None else sys.maxsize
        #: Whether each write is a message of its own, which is refused if it is too long.
        self.takes_messages: Final = takes_messages(descriptor, mode)

    def is_replaced(self) -> bool:
        """Return whether the descriptor refers to another file than before.

        A closed standard descriptor counts as the same: the write reports it.
        """
        try:
            return not (self._identity.is_same() and self._identity.is_same_file())
        except OSError:
            return not self.is_standard

    def verify_redirection(self) -> None:
        """Raise if the descriptor refers to another file, and the process was not redirected.

        Raises:
            ForeignDescriptorError: It does.
            ValueError: The stream is closed.
            OSError: The descriptor is closed.
        """
        self._check_open()
        is_same = self._identity.is_same_file()
        if not is_same and not (self.is_standard and is_redirection(self.descriptor)):
            raise ForeignDescriptorError(self.descriptor)

    def descriptors(self, *, is_endless: bool = False) -> Iterator[int]:
        """Return an iterator that verifies the descriptor with each step, and yields it.

        A step raises ``KeyError`` if the descriptor refers to another file, and ``OSError`` if
        it is closed.

        Args:
            is_endless: Whether the iterator has more than one step.
        """
        return self._identity.descriptors(is_endless=is_endless)

    def disable_flush(self) -> None:
        """Leave the stream's buffer alone from here on; only check that the stream is open."""
        self.flush = self._check_open

    def write_all(self, pending: PendingWrite, timeout: float | None) -> None:
        """Write the rest of a line under the lock of the pipe, and wait as long as it takes.

        Args:
            pending: The line. Each write adds its count.
            timeout: Seconds to wait for room and for the lock; None for no limit.

        Raises:
            TimeoutError: The wait took longer.
            OSError: The write failed.
        """
        pipe_lock = self.pipe_lock
        until = None if timeout is None else time.monotonic() + timeout
        if pipe_lock is None:
            self.write_rest(pending, until)
            return
        # Before the lock as well: it must not be taken on another file.
        self.verify()
        try:
            try:
                pipe_lock.is_in_use = True
                pipe_lock.lock(is_long=len(pending[0]) > PIPE_BUF, until=until)
                self.write_rest(pending, until)
            finally:
                pipe_lock.unlock()
        finally:
            # Again: a signal handler may have raised before the call above.
            pipe_lock.unlock()
            pipe_lock.is_in_use = False

    def verify(self) -> None:
        """Raise if the descriptor refers to another file.

        Raises:
            ForeignDescriptorError: It does.
        """
        if not self.is_standard and self.is_replaced():
            raise ForeignDescriptorError(self.descriptor)

    def remainder_of(self, partial: PendingWrite) -> PendingWrite | None:
        """Return what to write before the next line, so that a partial line does not corrupt it.

        Args:
            partial: A line of which only a part is written.

        Returns:
            The partial line, whose rest is to be written, if nothing was appended since. A
            newline if another process may have written behind it. None if the file has grown.
        """
        if self.pipe_lock is not None:
            return [b"\n"] if self.pipe_lock.is_shared else partial
        descriptor = self.descriptor
        try:
            is_last = os.lseek(descriptor, 0, os.SEEK_CUR) == os.fstat(descriptor).st_size
        except OSError:
            return partial
        return partial if is_last else None

    def write_rest(self, pending: PendingWrite, until: float | None) -> None:
        """Write the rest of a line, by a caller that has the lock of the pipe if it needs it.

        Args:
            pending: The line. Each write adds its count.
            until: When the wait for room ends, by ``time.monotonic()``; None for no limit.

        Raises:
            OSError: The write failed, or ``until`` has passed.
        """
        if until is not None:
            self._wait_for_room(until, is_refused=False)
        while True:
            done = bytes_written(pending)
            line = pending[0]
            if done >= len(line):
                return
            try:
                # One C call writes and records the count: nothing can raise in between. It also
                # reads a whole line, which a fork just before empties in the child.
                rest = (line[done:],) if done else map(_line_of, (pending,))
                pending.extend(map(_write, self.descriptors(), rest))
                if pending[-1] == 0 and pending[0]:
                    raise OSError(errno.EIO, "the descriptor takes no bytes")
            except BlockingIOError:
                self._wait_for_room(until)
            except KeyError:
                raise ForeignDescriptorError(self.descriptor) from None

    def write_once(self, pending: PendingWrite) -> None:
        """Write as much of a whole line as the descriptor takes now, with one ``os.write``.

        ``write_rest`` does not call it: the call would cost 3 % of its line.

        Args:
            pending: The line. The write adds its count.

        Raises:
            BlockingIOError: The descriptor takes no bytes now.
            ForeignDescriptorError: The descriptor refers to another file.
            OSError: The write failed.
        """
        try:
            pending.extend(map(_write, self.descriptors(), map(_line_of, (pending,))))
        except KeyError:
            raise ForeignDescriptorError(self.descriptor) from None

    def _wait_for_room(self, until: float | None, *, is_refused: bool = True) -> None:
        while True:
            milliseconds = _POLL_MS if until is None else _milliseconds(until)
            is_ready = is_writable(self.descriptor, milliseconds)
            if is_ready or (is_ready is None and not is_refused):
                # If the system cannot tell, the write does.
                return
            if until is not None and time.monotonic() >= until:
                raise TimeoutError(errno.ETIMEDOUT, "the descriptor took no bytes in time")
            if is_ready is None:
                sleep(_PAUSE_S)
                return


class EchoError(OSError):
    """The stream logs the line that is written to it."""


class StreamDestination:
    """Writes to any object with a ``write``, as text or as bytes.

    Args:
        stream: The object.
    """

    __slots__ = ("_is_ascii", "_is_binary", "_line", "_prefixes", "_stream", "is_echoed")

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._is_binary = isinstance(stream, (io.RawIOBase, io.BufferedIOBase))
        self._is_ascii = not _is_utf8(getattr(stream, "encoding", None))
        self._line = b""
        self._prefixes: deque[bytes] = deque()
        #: Whether the stream has logged the line that is written to it now.
        self.is_echoed = False

    def is_replaced(self) -> bool:
        """Return False: the object itself is the destination, whatever it writes to."""
        return False

    def write_all(self, pending: PendingWrite, timeout: float | None) -> None:  # noqa: ARG002
        """Write a line, and flush the stream if it has a ``flush``.

        Args:
            pending: The line.
            timeout: Ignored: the stream decides how long it waits.

        Raises:
            EchoError: The stream logs what is written to it; the line is not written.
        """
        if len(pending) > 1:
            # Only the stream knows how much it took, and a line must not be written twice.
            return
        line = pending[0]
        if is_echo(line):
            pending.append(len(line))
            return
        self._line, self.is_echoed = line, False
        self._prefixes.clear()
        entry = _get_ident(), self
        _in_progress.append(entry)
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
            _in_progress.remove(entry)
        if self.is_echoed:
            del pending[1:]
            raise EchoError("the stream logs what is written to it")

    def echoes(self, line: bytes) -> bool:
        """Return whether a line contains one of the lines that are being written."""
        prefixes = self._prefixes
        if not prefixes:
            prefixes.extend(filter(None, map(_prefix_of, self._line.split(b"\n"))))
        text = _COLORS.sub(b"", line)
        fields = line.partition(b'"Fields"')[2]
        for _ in range(len(prefixes)):
            if _is_within(prefixes[0], text, fields):
                return True
            # A stream logs lines in the order of the writes, so the next one is likely first.
            prefixes.rotate(-1)
        return False

    def _write_text(self, line: bytes) -> None:
        text = line.decode()
        # Collectors read JSON as UTF-8. In ASCII with escapes it is valid in any encoding.
        try:
            self._stream.write(_NOT_ASCII.sub(_escaped, text) if self._is_ascii else text)
        except UnicodeEncodeError:
            # The stream has an encoding that its attribute does not name.
            self._is_ascii = True
            self._stream.write(_NOT_ASCII.sub(_escaped, text))
        except TypeError:
            # The stream takes bytes and is of no class of io, as temporary files are.
            self._write_bytes(line)
            self._is_binary = True

    def _write_bytes(self, line: bytes) -> None:
        while line:
            written = self._stream.write(line)
            if written is None and isinstance(self._stream, io.RawIOBase):
                raise BlockingIOError("the stream takes no bytes now")
            if not isinstance(written, int) or isinstance(written, bool):
                # A foreign ``write`` that returns no count has written all.
                return
            if written <= 0:
                raise OSError("the stream takes no bytes")
            line = line[written:]


def is_echo(line: bytes) -> bool:
    """Return whether a line repeats a line that this thread is writing to a stream.

    A stream that logs what is printed to it makes a record of each line, and the line of that
    record would be written to the stream again. The destination of the first line is marked by
    ``is_echoed``.
    """
    ident = _get_ident()
    # A copy: other threads change the list.
    for thread, destination in tuple(_in_progress):
        if thread == ident and destination.echoes(line):
            destination.is_echoed = True
            return True
    return False


def slot_writers(
    destination: DescriptorDestination, slot: dict[int, PendingWrite]
) -> tuple[Iterator[None], Iterator[tuple[Any, ...]]]:
    """Return two endless iterators; each step writes the line in ``slot[0]`` once.

    A step adds the count to the pending write, in the same C call as the write. A step of the
    second iterator also takes the lock of the pipe before and releases it after the write; around
    that, the lock between interpreters if there are several. A step raises what the write or a
    lock raises, and the next step starts anew.

    The iterators are made once, since making a ``map`` costs as much as using it.
    """

    def writes(descriptors: Iterator[int]) -> Iterator[None]:
        pending = map(slot.__getitem__, repeat(0))
        lines = map(_line_of, map(slot.__getitem__, repeat(0)))
        return map(_add_count, pending, map(_write, descriptors, lines))

    def locks(descriptors: Iterator[int], kind: tuple[int, ...]) -> Iterator[None]:
        return map(lockf, descriptors, *map(repeat, kind + LOCKED_BYTE))

    always = repeat(destination.descriptor)
    verified = destination.descriptors(is_endless=True)
    pipe_lock = destination.pipe_lock
    between = None if pipe_lock is None else pipe_lock.between_interpreters
    if between is not None:
        verified = compress(verified, between.locks())
    locked = compress(always, map(not_, locks(verified, LOCK)))
    unlocks: list[Iterator[Any]] = [locks(always, UNLOCK)]
    if between is not None:
        unlocks.append(between.unlocks())
    return (
        writes(destination.descriptors(is_endless=True)),
        zip(writes(locked), *unlocks, strict=False),
    )


def destination_for(stream: Any) -> Destination:
    """Return the destination for a stream: its descriptor if it has one, else its ``write``.

    Raises:
        OSError: The descriptor is closed.
    """
    # Exact types only: a subclass may do something of its own in ``write``, and so may a method
    # that was set on the stream, as tools do that collect the output.
    if type(stream) is io.TextIOWrapper and _is_utf8(stream.encoding):
        if "write" not in vars(stream):
            return _descriptor_destination(stream, stream.buffer)
    elif (type(stream) is io.BufferedWriter or type(stream) is io.FileIO) and (
        "write" not in vars(stream)
    ):
        return _descriptor_destination(stream, stream)
    if type(stream) is ReopenableFile:
        # There is no buffer to flush. The fast path calls ``flush`` before each line, and so learns
        # that the path is to be checked. ``check_open`` is the same: it replaces ``flush`` after a
        # fork, and the child checks the path as well.
        return DescriptorDestination(
            stream.check_due, stream.check_due, stream.fileno(), stream.identity
        )
    if _has_logger(stream):
        # A line that is printed to it would become a record, and come back here.
        return destination_behind(stream)
    return StreamDestination(stream)


def destination_behind(stream: Any) -> Destination:
    """Return the destination for the real stream that a logging one replaces.

    Raises:
        OSError: There is no such descriptor.
    """
    real = sys.__stderr__ if _is_stderr(stream) else sys.__stdout__
    if real is None or real is stream or _has_logger(real):
        return descriptor_behind(stream)
    return destination_for(real)


def descriptor_behind(stream: Any) -> Destination:
    """Return the destination for the standard descriptor of a stream that logs.

    Raises:
        OSError: The descriptor is closed.
    """
    return DescriptorDestination(_noop, _noop, STDERR if _is_stderr(stream) else STDOUT)


def _is_stderr(stream: Any) -> bool:
    # Celery puts the same object in both places.
    return stream is sys.stderr and stream is not sys.stdout


def is_socket(stream: Any) -> bool:
    """Return whether a stream writes to the descriptor of a socket."""
    kind = type(stream)
    if kind is not io.TextIOWrapper and kind is not io.BufferedWriter and kind is not io.FileIO:
        return False
    try:
        return stat.S_ISSOCK(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def _noop() -> None:
    """Do nothing: a bare descriptor has no buffer."""


def _prefix_of(line: bytes) -> bytes:
    found = _PREFIX.match(_COLORS.sub(b"", line[:400]))
    return found[0] if found else b""


def _is_within(prefix: bytes, text: bytes, fields: bytes) -> bool:
    """Return whether a line contains another line with this prefix.

    Args:
        prefix: The prefix of the inner line.
        text: The outer line, without colours.
        fields: The Fields of the outer line.
    """
    if prefix in text or json.dumps(prefix.decode())[1:-1].encode() in text:
        return True
    # A message that is JSON text becomes Fields, in which the timestamp is one of them.
    stamp = _TIMESTAMP.match(prefix)
    return stamp is not None and stamp[1] in fields


def _descriptor_destination(stream: Any, below: Any) -> Destination:
    """Return the destination for the descriptor of a stream, or for the stream if it has none.

    Raises:
        OSError: The descriptor was closed past the stream.
    """
    try:
        # The file below gzip, TLS and the like takes no plain text.
        if type(getattr(below, "raw", below)) is io.FileIO:
            return DescriptorDestination(stream.flush, stream.fileno, stream.fileno())
    except OSError as error:
        if error.errno == errno.EBADF:
            # The stream's own buffer would keep the line and print it later, although it counts
            # as lost.
            raise
    except ValueError:  # detached or closed
        pass
    return StreamDestination(stream)


def _has_logger(stream: Any) -> bool:
    """Return whether a stream refers to a logger, as streams do that log what is printed to them.

    Celery's has it as ``logger``; others keep it under another name, or keep only its ``info``
    method. A stream that has it elsewhere is noticed when it logs a line.
    """
    try:
        kept = [stream.logger]
    except Exception:  # no attribute, or a property that raises
        kept = []
    try:
        kept += vars(stream).values()
    except Exception:  # no dict
        pass
    return any(_is_logger(one) or _is_logger(_owner_of(one)) for one in kept)


def _is_logger(value: Any) -> bool:
    return issubclass(type(value), (logging.Logger, logging.LoggerAdapter))


def _owner_of(value: Any) -> Any:
    return value.__self__ if type(value) is MethodType else None


def _is_shared_by_bytes(mode: int) -> bool:
    """Return whether the kernel may interleave long writes of several processes to the file."""
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
