"""The sink: writes whole lines for handlers and for the loggers of structlog.

No other thread, no forked child and no signal handler, whether it logs or raises, comes between
the bytes of a line. The sink follows its stream when that is replaced, counts the lines that it
cannot write, and reports them. ``docs/design/write-protocol.md`` explains the protocol.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from mozlog_py._config.options import check_number
from mozlog_py._line.truncate import MAX_LINE_BYTES, check_max_line_bytes, cut
from mozlog_py._process import after_fork
from mozlog_py._process.descriptors import ForeignDescriptorError
from mozlog_py._process.self_log import degraded, note
from mozlog_py._process.unpatched import allocate_lock
from mozlog_py._sink.line_writer import NO_DIRECT_WRITE, SHORT_BYTES, DirectWrite, LineWriter
from mozlog_py._sink.loss_counter import LossReport
from mozlog_py._sink.pipe_lock import unlocked
from mozlog_py._sink.reopenable_file import ReopenableFile
from mozlog_py._sink.write_bytes import (
    DescriptorDestination,
    PendingWrite,
    StreamDestination,
    bytes_written,
    destination_for,
    is_complete,
    is_echo,
)
from mozlog_py._sink.write_queue import MAX_ATTEMPTS, WriteQueue, is_queued
from mozlog_py._sink.write_slot import QueuedWrite, owns_writes
from mozlog_py._values.class_lookup import type_name

__all__ = ["NO_DIRECT_WRITE", "SHORT_BYTES", "DirectWrite", "Sink"]

_monotonic: Final = time.monotonic


class Sink(LineWriter):
    """Writes whole lines to a stream, from any thread, signal handler or finaliser.

    Args:
        stream: The stream. None follows ``sys.stdout``, also when it is replaced. A path
            (``str`` or ``os.PathLike``) is opened for append, and opened again when the file
            was moved.
        report: Makes the line, its newline included, that says how many records were lost
            (``LossReport`` is an ``int`` with details). The line is written once writing works
            again.
        max_line_bytes: Longer lines have their longest texts cut; 0 for no limit.
        timeout: Seconds to wait for a reader that has stopped; then the line is lost, and
            counted. None waits without a limit.

    Raises:
        OSError: The path cannot be opened.
        OptionError: An argument is invalid.
    """

    def __init__(
        self,
        stream: Any = None,
        report: Callable[[LossReport], bytes] | None = None,
        *,
        max_line_bytes: int = MAX_LINE_BYTES,
        timeout: float | None = None,
    ) -> None:
        check_max_line_bytes(max_line_bytes)
        if timeout is not None:
            allowed = "seconds, from 0, or None to wait"
            check_number("timeout", timeout, least=0, allowed=allowed, whole=False)
        super().__init__(stream, report, max_line_bytes, timeout)
        self._write_queue = WriteQueue(self._write_slot)
        after_fork.register(self)

    @property
    def max_line_bytes(self) -> int:
        """The bytes that a line may have, its newline included; 0 for no limit."""
        return self._max_line_bytes

    @property
    def lost(self) -> int:
        """The number of lines that could not be written since the sink was made."""
        return self._loss_counter.total

    @property
    def dropped(self) -> Mapping[str, int]:
        """The lost lines by cause: ``ENOSPC``, ``EPIPE`` and the like, or an exception's name."""
        return self._loss_counter.by_cause

    @property
    def degraded(self) -> int:
        """The number of lines of this process that could not keep all of their record."""
        return degraded.count

    @property
    def unlocked(self) -> int:
        """The number of lines of this process that were written without their pipe's lock.

        Another process kept the lock. Such a line may stand within a long line of another
        process.
        """
        return unlocked.count

    @owns_writes
    def write(self, line: bytes) -> bool:
        """Write one line. Raises no ``Exception``.

        If a signal handler raises another ``BaseException`` meanwhile, it is raised after the
        line is written.

        Args:
            line: The line, its newline included.

        Returns:
            Whether the line is written; False if it is lost.
        """
        pending: PendingWrite = [line]
        try:
            stream = self._own_stream
            if stream is None:
                stream = sys.stdout
            if _monotonic() >= self._check_at:
                self.check_descriptor()
            (
                longest,
                flush,
                pipe_lock,
                unlocked_write,
                locked_write,
                try_acquire,
                slot,
                queue,
            ) = self._fast_path
            size = len(line)
            if (
                size <= longest
                and try_acquire(0, pending) is pending
                and not queue
                # Not before: a write that failed meanwhile has disabled the fast path.
                and stream is self._ready_stream
            ):
                # In the slot: if the flush raises, and a signal handler raises on the way to
                # ``finish_after_interrupt``, the next call completes the line.
                flush()
                # A step locks, writes, records the count and unlocks in one C call: no signal
                # handler runs in between. A ``for`` with a ``break``, since a call of next()
                # takes longer. A pipe takes a line of up to PIPE_BUF bytes as a whole or not at
                # all; ``write_slow`` writes what anything else leaves of it.
                if pipe_lock is None or not pipe_lock.is_shared:
                    for _ in unlocked_write:
                        break
                else:
                    for _ in locked_write:
                        break
                if pending[1] == size:
                    self.written += 1
                    slot.clear()
                    if queue:
                        self.drain_queue()
                    return True
            return self.write_slow(pending)
        except BaseException as error:
            return self.finish_after_interrupt(pending, error)

    def write_lines(self, lines: list[bytes], taken: list[Any]) -> None:
        """Write many lines in few writes; each is counted as written or as lost.

        Args:
            lines: The lines, their newlines included.
            taken: Gets an item once the sink will write or count the lines, whatever is raised.
        """
        limit = self._max_line_bytes
        if limit:
            lines = [cut(line, limit) if len(line) > limit else line for line in lines]
        if self.writes_lines_apart():
            writes = [QueuedWrite(line, is_deferred=True) for line in lines]
        else:
            writes = [QueuedWrite(b"".join(lines), lines=lines, is_deferred=True)]
        for queued in writes:
            # Not gevent's lock: the caller is a thread of the operating system.
            queued.wake = allocate_lock()
            queued.wake.acquire()
        self._write_queue.put_all(writes, taken)
        for queued in writes:
            self._write_queue.wait_for(queued, self)

    def flush(self) -> None:
        """Write queued lines and the report of losses, and flush the stream. Does not raise."""
        try:
            if self._slot:
                self._write_slot.recover_abandoned()
            self.drain_queue()
            self._report_losses()
            stream = self.stream
            if stream is not None and hasattr(stream, "flush"):
                stream.flush()
        except ValueError:
            # The stream is closed, as files often are when logging shuts down.
            pass
        except Exception as error:
            note(f"flush failed: {type_name(type(error))}: {error}")

    def reopen(self) -> None:
        """Open the file again before the next line, if the stream is a path."""
        if isinstance(self._own_stream, ReopenableFile):
            self._own_stream.request_reopen()

    def drain_queue(self) -> None:
        """Write the lines that other threads have queued, unless another thread writes."""
        self._write_queue.drain(self)

    # -- the slow path ----------------------------------------------------

    def write_slow(self, pending: PendingWrite) -> bool:
        """Write a line that the fast path cannot: a long one, the first one, one after an error.

        Args:
            pending: The line; it may own the slot, and a part of it may be written.

        Returns:
            Whether the line is written; True as well if a frame below this one writes it later.
        """
        if 0 < self._max_line_bytes < len(pending[0]) and len(pending) == 1:
            pending[0] = cut(pending[0], self._max_line_bytes)
        owner = self._try_acquire(0, pending)
        if owner is not pending:
            if self._write_slot.is_reentrant(owner):
                return self._write_reentrant(pending, owner)
            # While it waits, only the owner's own frames may refer to the write in progress.
            del owner
            return self._write_queue.put_and_wait(QueuedWrite(pending[0]), pending, self)
        if self._queue and len(pending) == 1:
            # In the order of the calls. An abandoned write may be the first of the queue.
            queued = QueuedWrite(pending[0])
            self._write_slot.release(pending)
            return self._write_queue.put_and_wait(queued, pending, self)
        is_written = self.write_and_count(pending)
        self._write_slot.release(pending)
        self.drain_queue()
        return is_written

    @owns_writes
    def finish_after_interrupt(self, pending: PendingWrite, error: BaseException) -> bool:
        """Write the rest of a line after an exception has interrupted the write.

        Args:
            pending: The line.
            error: The exception. Raised again after the write, unless it is an ``Exception``.

        Returns:
            Whether the line is written; True as well if the queue has it, and it is written
            later.
        """
        is_written = False
        lost = self._loss_counter.total
        for _ in range(MAX_ATTEMPTS):
            try:
                if is_queued(pending) or (
                    is_complete(pending) and self._slot.get(0) is not pending
                ):
                    is_written = True
                    self.drain_queue()
                else:
                    is_written = self.write_slow(pending)
                break
            except RecursionError:
                # The stack has no room for the slow path, nor for ``lose``.
                is_written = sum(pending[1:]) >= len(pending[0]) or (
                    len(pending) > 1 and pending[1] is False
                )
                if self._slot.get(0) is pending:
                    self._slot.clear()
                if not is_written and self._loss_counter.total == lost:
                    self._loss_counter.add_at_stack_end()
                break
            except BaseException as again:
                if isinstance(error, Exception):
                    error = again
        if isinstance(error, Exception):
            # The slow path has met the same error, and has counted a loss or written the line.
            return is_written
        raise error

    @owns_writes
    def _report_losses(self) -> None:
        """Write the line that reports losses, if there are any and no other thread writes."""
        pending: PendingWrite = [b""]
        if (
            self._loss_counter.unreported
            and self._report is not None
            and self._try_acquire(0, pending) is pending
        ):
            try:
                # The empty line opens the destination, which a loss may have closed.
                self.write_pending(pending)
                self._write_report(self._report)
            finally:
                self._write_slot.release(pending)

    # -- reentrant calls --------------------------------------------------

    def _write_reentrant(self, pending: PendingWrite, owner: PendingWrite) -> bool:
        """Write from a signal handler or a finaliser that interrupts a write of this thread.

        The thread cannot wait for itself. The line is written at once if no part of the
        interrupted line is; otherwise it is queued behind that.

        Args:
            pending: The line of the signal handler.
            owner: The interrupted write.
        """
        destination = self._destination
        line = pending[0]
        if isinstance(destination, DescriptorDestination) and self._ready_stream is self.stream:
            if (len(owner) == 1 or is_complete(owner)) and len(line) <= destination.whole_bytes:
                return self._write_before_owner(pending, destination, owner)
        elif isinstance(destination, StreamDestination):
            if is_echo(line):
                return True
            if self._write_queue.is_draining_deferred:
                # A stream that logs what is written to it would fill the queue for ever.
                return self._write_to_original_stdout(pending)
        self._write_queue.put(QueuedWrite(line, is_deferred=True), pending)
        return True

    def _write_before_owner(
        self, pending: PendingWrite, destination: DescriptorDestination, owner: PendingWrite
    ) -> bool:
        """Write a line before the interrupted write, or queue it behind that.

        Args:
            pending: The line of the signal handler.
            destination: The destination of both.
            owner: The interrupted write.

        Returns:
            Whether the line is written; True as well if it is queued.
        """
        try:
            self._write_with_owners_lock(pending, destination, owner)
        except (BlockingIOError, ForeignDescriptorError):
            # The line is queued below. The interrupted write waits until the descriptor takes
            # bytes, and opens the destination again if its descriptor was replaced.
            pass
        except OSError as error:
            # As above: a replaced descriptor may also refuse the bytes.
            if not destination.is_replaced():
                self.lose(error, pending[0])
                return False
        if len(pending) == 1:
            self._write_queue.put(QueuedWrite(pending[0], is_deferred=True), pending)
            return True
        if self.is_partial(pending):
            return False
        self.written += 1
        return True

    def _write_with_owners_lock(
        self, pending: PendingWrite, destination: DescriptorDestination, owner: PendingWrite
    ) -> None:
        """Write a line under the lock of the pipe, which the interrupted write may have taken."""
        pipe_lock = destination.pipe_lock
        # If the interrupted write has the lock, or is about to take it, it releases it.
        is_in_use = pipe_lock is not None and pipe_lock.is_in_use
        try:
            if pipe_lock is not None:
                destination.verify()
                pipe_lock.is_in_use = True
                pipe_lock.lock(is_long=False, until=self._deadline())
            destination.write_once(pending)
            if not is_complete(pending):
                self._finish_before_owner(pending, destination, owner)
        finally:
            if pipe_lock is not None and not is_in_use:
                pipe_lock.unlock()
                pipe_lock.is_in_use = False

    def _finish_before_owner(
        self, pending: PendingWrite, destination: DescriptorDestination, owner: PendingWrite
    ) -> None:
        """Write the rest of a line of which the file took only a part, or have it written next."""
        if not is_complete(owner):
            # The owner may be past its look for partial lines, so its line begins with the rest.
            # It reads its line in the C call that writes it.
            self._carrier = owner
            owner[0] = pending[0][bytes_written(pending) :] + owner[0]
            return
        try:
            destination.write_rest(pending, self._deadline())
        except OSError as error:
            self.count_lost(pending, error)

    def _deadline(self) -> float | None:
        return None if self._timeout is None else _monotonic() + self._timeout

    def _write_to_original_stdout(self, pending: PendingWrite) -> bool:
        original = sys.__stdout__
        try:
            if original is None or original is self.stream:
                raise RecursionError("the stream logs when it is written to")
            destination_for(original).write_all(pending, self._timeout)
        except Exception as error:
            self.lose(error, pending[0])
            return False
        self.written += 1
        return True
