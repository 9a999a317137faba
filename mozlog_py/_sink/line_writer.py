"""Writes lines to the destination of one stream, and counts and reports the lost ones.

A line writer serves one thread at a time: the owner of the write slot. It opens the destination
again when the stream or its descriptor is replaced. It completes a partial line before the next
one. As long as nothing goes wrong it keeps a *fast path* ready, by which ``Sink.write`` and the
bound loggers of structlog write in a few bytecodes.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from mozlog_py._config.options import check_stream
from mozlog_py._process.process_id import process
from mozlog_py._process.self_log import note
from mozlog_py._values.class_lookup import type_name

from .loss_counter import LossCounter, LossReport, described
from .reopenable_file import ReopenableFile
from .write_bytes import (
    PIPE_BUF,
    DescriptorDestination,
    Destination,
    EchoError,
    PendingWrite,
    StreamDestination,
    bytes_written,
    descriptor_behind,
    destination_behind,
    destination_for,
    is_complete,
    is_socket,
    slot_writers,
)
from .write_slot import WriteSlot

__all__ = ["NO_DIRECT_WRITE", "SHORT_BYTES", "DirectWrite", "LineWriter"]

#: What a bound logger needs to write short lines without a call of the sink: the ``sys.stdout``
#: that the lines are for, or None for a stream of the sink's own; the bytes that a line may
#: have; the flush; an iterator whose next step writes; ``try_acquire``, the slot, the queue.
DirectWrite = tuple[Any, int, Any, Any, Any, Any, Any]
#: Every line has to go through the sink.
NO_DIRECT_WRITE: Final[DirectWrite] = (None, -1, None, None, None, None, None)
#: Longer lines go through the sink.
SHORT_BYTES: Final = 3000

_NO_STREAM: Final = object()
# The bytes that a line may have, the flush, the lock of a pipe; the iterators that write
# without and with that lock; ``try_acquire``, the slot, the queue.
_NO_FAST_PATH: Final = (-1, *[None] * 7)
_monotonic: Final = time.monotonic
_time_ns: Final = time.time_ns
#: Bytes of queued lines that are written at once to a file.
_BATCH_BYTES: Final = 65_536
#: Seconds between two lines that report losses.
_REPORT_EVERY_S: Final = 1.0
#: Seconds between two checks of a descriptor.
_CHECK_EVERY_S: Final = 0.002


class LineWriter:
    """Writes one line after the other to a stream. The caller must own the write slot.

    Args:
        stream: The stream; None for ``sys.stdout``, also when it is replaced; a path.
        report: Makes the line that reports lost lines.
        max_line_bytes: The bytes that a line may have; 0 for no limit.
        timeout: Seconds to wait for a reader; None for no limit.
    """

    def __init__(
        self,
        stream: Any,
        report: Callable[[LossReport], bytes] | None,
        max_line_bytes: int,
        timeout: float | None,
    ) -> None:
        self._report = report
        self._max_line_bytes = max_line_bytes
        self._timeout = timeout
        self._loss_counter = LossCounter()
        #: Lines that were written since the sink was made.
        self.written = 0
        self._write_slot = WriteSlot()
        self._slot = self._write_slot.slot
        self._try_acquire = self._write_slot.try_acquire
        self._queue = self._write_slot.queue
        self._reported_at = float("-inf")
        # The pending write of a lost line of which a part is written, and the cause and severity
        # of its loss. Not a copy: if its owner tries again, it must not write the rest twice.
        self._partial: PendingWrite | None = None
        self._partial_loss: tuple[str, int | None] = ("", None)
        # A pending write whose line begins with the rest of another line.
        self._carrier: PendingWrite | None = None
        self._destination: Destination = StreamDestination(None)
        self._destination_stream: Any = _NO_STREAM
        # The stream that the fast path writes to.
        self._ready_stream: Any = _NO_STREAM
        self._fast_path: Any = _NO_FAST_PATH
        self._pipe_lock: Any = None
        # When to check the descriptor again, by ``time.monotonic()``.
        self._check_at = 0.0
        #: The fast path for bound loggers, to files only: processes share pipes. A logger
        #: does what ``Sink.write`` does. It calls ``write_slow`` where that is not enough,
        #: and ``finish_after_interrupt`` after any exception.
        self.direct_write = NO_DIRECT_WRITE
        self.stream = stream

    # -- the stream -------------------------------------------------------

    @property
    def stream(self) -> Any:
        """Where lines go: the stream that was set, else the present ``sys.stdout``."""
        return sys.stdout if self._own_stream is None else self._own_stream

    @stream.setter
    def stream(self, stream: Any) -> None:
        if not isinstance(stream, ReopenableFile):
            check_stream("stream", stream)
        if isinstance(stream, (str, os.PathLike)):
            stream = ReopenableFile(stream)
        self._own_stream = stream
        self.disable_fast_path()
        self._is_standard = stream is not None and (stream is sys.stdout or stream is sys.stderr)

    @property
    def own_stream(self) -> Any:
        """The stream that was set; None follows ``sys.stdout``."""
        return self._own_stream

    def may_echo(self) -> bool:
        """Return whether lines go to a stream of a foreign class, which may log them."""
        stream = self.stream
        if stream is self._destination_stream:
            return isinstance(self._destination, StreamDestination)
        kind = type(stream)
        return not (kind is io.TextIOWrapper or kind is io.BufferedWriter or kind is ReopenableFile)

    # -- the fast path ----------------------------------------------------

    def disable_fast_path(self) -> None:
        """Send the next line by ``write_slow``."""
        self._ready_stream = _NO_STREAM
        self._fast_path = _NO_FAST_PATH
        self.direct_write = NO_DIRECT_WRITE

    def check_descriptor(self) -> None:
        """Disable the fast path if the descriptor may refer to another file.

        Also if it is time to look for other processes on the same pipe. Files that are opened
        by their path are left out: each write verifies their descriptor exactly.
        """
        self._check_at = _monotonic() + _CHECK_EVERY_S
        try:
            # Bound loggers do not notice it: they only ask whether a time is over.
            process.expire_if_set_back(_time_ns())
            if self._ready_stream is not _NO_STREAM and self._is_outdated():
                self.disable_fast_path()
        except RecursionError:
            # At the end of the stack there is room to write, but not to check.
            pass

    def _is_outdated(self) -> bool:
        destination = self._destination
        return (
            isinstance(destination, DescriptorDestination)
            and type(self._destination_stream) is not ReopenableFile
            and (
                destination.is_replaced()
                or (self._pipe_lock is not None and self._pipe_lock.is_due())
            )
        )

    def report_and_enable(self) -> None:
        """After a line was written: report losses if it is time, and enable the fast path."""
        if self._loss_counter.unreported and self._report is not None:
            if self._partial is not None:
                # The next line completes it.
                return
            if _monotonic() - self._reported_at < _REPORT_EVERY_S:
                return
            if not self._write_report(self._report):
                return
        destination = self._destination
        if isinstance(destination, DescriptorDestination) and self._timeout is None:
            self._enable_fast_path(destination)

    def _enable_fast_path(self, destination: DescriptorDestination) -> None:
        longest = min(destination.whole_bytes, self._max_line_bytes or destination.whole_bytes)
        own = self._own_stream
        pipe_lock = self._pipe_lock = destination.pipe_lock
        unlocked_write, locked_write = slot_writers(destination, self._slot)
        slot_access = self._try_acquire, self._slot, self._queue
        self._ready_stream = stream = self._destination_stream
        self._fast_path = (
            longest, destination.flush, pipe_lock, unlocked_write, locked_write, *slot_access
        )  # fmt: skip
        if pipe_lock is None and (own is None or own is stream):
            # A bound logger reads no monotonic clock: ``process`` has the descriptor checked.
            process.register_check(self)
            followed = stream if own is None else None
            size = min(longest, SHORT_BYTES)
            self.direct_write = (followed, size, destination.flush, unlocked_write, *slot_access)
            if self._own_stream is not own:
                # Another thread has set the stream since this method began.
                self.disable_fast_path()

    def batch_bytes(self) -> int:
        """Return the bytes of queued lines that may be written at once; 0 for one line only."""
        if self._ready_stream is not self.stream or self._ready_stream is _NO_STREAM:
            return 0
        if self.writes_lines_apart():
            return 0
        return PIPE_BUF if self._pipe_lock is not None else _BATCH_BYTES

    def writes_lines_apart(self) -> bool:
        """Return whether each line needs a write of its own, or may need one.

        A socket that takes messages refuses a whole batch that is too long.
        """
        if self.stream is not self._destination_stream:
            # The first line finds out which kind of socket it is.
            return is_socket(self.stream)
        destination = self._destination
        return isinstance(destination, DescriptorDestination) and destination.takes_messages

    # -- writing ----------------------------------------------------------

    def write_and_count(self, pending: PendingWrite) -> bool:
        """Write a line to its end and count it as written or lost; return whether it is written."""
        try:
            try:
                self.write_pending(pending)
            except ValueError:
                # The stream is closed. A standard stream that was replaced and closed, as test
                # runners do, has a successor.
                if not self._is_standard or sys.stdout in (None, self._own_stream):
                    raise
                self.stream = None
                self.write_pending(pending)
        except Exception as error:
            self.count_lost(pending, error)
            return False
        self.written += 1
        try:
            self.report_and_enable()
        except RecursionError:
            # At the end of the stack there is room for the line, but not for the report.
            pass
        return True

    def write_pending(self, pending: PendingWrite) -> None:
        """Write the rest of a line; before it, what ``print()`` left and a partial line's end.

        A line that ``count_lost`` has counted, and that is written now, is not lost any more.

        Raises:
            ValueError: The stream is closed.
            OSError: The line cannot be written.
        """
        stream = self.stream
        if stream is None:
            raise OSError("there is no stdout")
        destination = self._current_destination(
            stream,
            is_begun=(len(pending) > 1 or pending is self._carrier) and not is_complete(pending),
        )
        if isinstance(destination, DescriptorDestination) and type(stream) is not ReopenableFile:
            try:
                destination.flush()
            except ValueError:
                raise
            except Exception:
                # The text in the buffer cannot be written; the line may be.
                pass
        if self._partial is not None and pending is not self._partial:
            self._complete_partial(destination)
        try:
            destination.write_all(pending, self._timeout)
        except EchoError:
            # The record that the stream has made of the line is dropped. This line and all
            # later ones go to where the stream would have written it.
            self._destination = destination_behind(stream)
            try:
                self._destination.write_all(pending, self._timeout)
            except EchoError:
                # The original standard stream was replaced as well.
                self._destination = descriptor_behind(stream)
                self._destination.write_all(pending, self._timeout)
        if pending is self._partial:
            self._partial = None
            self._loss_counter.uncount(*self._partial_loss)

    def _current_destination(self, stream: Any, *, is_begun: bool) -> Destination:
        """Return the destination of a stream, a new one if the stream or its file was replaced.

        Args:
            stream: The stream.
            is_begun: Whether a part of the line is written.

        Raises:
            OSError: The destination is a new one and the line is begun, or the stream's
                descriptor refers to another file.
        """
        if type(stream) is ReopenableFile and not is_begun:
            stream.reopen_if_moved()
        destination = self._destination
        if stream is self._destination_stream:
            if not destination.is_replaced():
                return destination
            if (
                isinstance(destination, DescriptorDestination)
                and type(stream) is not ReopenableFile
            ):
                destination.verify_redirection()
        if is_begun:
            raise OSError("the stream was replaced in the middle of the line")
        self._partial = None
        self._destination, self._destination_stream = destination_for(stream), stream
        return self._destination

    def _complete_partial(self, destination: Destination) -> None:
        """Write the rest of a partial line, or a newline that ends it."""
        partial = self._partial
        if partial is None:
            return
        if isinstance(destination, DescriptorDestination):
            remainder = destination.remainder_of(partial)
            if remainder is not None:
                destination.write_all(remainder, self._timeout)
            if remainder is partial:
                # The line was counted as lost, and is complete now.
                self._loss_counter.uncount(*self._partial_loss)
                self.written += 1
        self._partial = None

    # -- losses -----------------------------------------------------------

    def lose(self, error: Exception | str, line: bytes) -> None:
        """Count one line that could not be written, and write a note to stderr.

        Args:
            error: The cause.
            line: The line, for its severity; empty if it is not known.
        """
        self.disable_fast_path()
        self._loss_counter.add(error, line)
        try:
            why = error if isinstance(error, str) else f"{type_name(type(error))}: {error}"
            note(f"a record was not written: {why}")
        except Exception:
            # The error's own __str__ raises; the loss is counted.
            pass

    def count_lost(
        self, pending: PendingWrite, error: Exception, *, is_begun: bool = False
    ) -> None:
        """Count a line as lost. If a part of it is written, keep it to be completed later.

        Args:
            pending: The line.
            error: The cause.
            is_begun: Whether it is the rest of a line that is begun.
        """
        if pending is self._partial:
            # It is counted: its owner was interrupted after that, and has failed again.
            return
        self.lose(error, pending[0])
        is_begun = is_begun or bytes_written(pending) > 0 or pending is self._carrier
        if is_begun and self._partial is None and not is_complete(pending):
            # Not the last one counted: another thread may have lost a line meanwhile.
            self._partial_loss = described(error, pending[0])
            self._partial = pending

    def is_partial(self, pending: PendingWrite) -> bool:
        """Return whether a line is counted as lost, and kept to be completed."""
        return pending is self._partial

    def _write_report(self, report: Callable[[LossReport], bytes]) -> bool:
        """Write the line that reports losses; return whether it is written."""
        lost = None
        try:
            lost = self._loss_counter.take_unreported()
            self._destination.write_all([report(lost)], self._timeout)
        except Exception:
            if lost is not None:
                self._loss_counter.put_back(lost)
            return False
        self._reported_at = _monotonic()
        return True

    def reset_after_fork(self, *, had_threads: bool = False) -> None:
        """Drop the writes in progress in the child of a fork: the parent completes them.

        Args:
            had_threads: Whether the parent had other threads. One of them may have held the
                lock of the stream's buffer, which would block the child for ever.
        """
        self._write_slot.reset_after_fork()
        # Daemons close descriptors in a child.
        self.disable_fast_path()
        if had_threads and isinstance(self._destination, DescriptorDestination):
            self._destination.disable_flush()
        self._partial = self._carrier = None
        self._loss_counter.discard_unreported()
        if self._pipe_lock is not None:
            self._pipe_lock.reset_after_fork()
