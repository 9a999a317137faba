"""The sink: what whole lines are given to, by whoever makes them.

A handler and the loggers of structlog write through one sink, so that nothing
comes between the bytes of a line: no other thread, no child of a fork, no
signal handler, whether it logs or raises. It follows its stream when that is
replaced, counts what could not be written, and says so.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from mozlog_py._config.options import check_number, check_stream
from mozlog_py._line.truncate import MAX_LINE_BYTES, check_max_line_bytes, cut
from mozlog_py._process import after_fork
from mozlog_py._process.process_id import process
from mozlog_py._process.self_log import degraded, note
from mozlog_py._process.unpatched import allocate_lock
from mozlog_py._sink.destinations import (
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
    is_echo,
    slot_writers,
)
from mozlog_py._sink.loss_counter import LossCounter, LossReport
from mozlog_py._sink.pipe_lock import unlocked
from mozlog_py._sink.reopenable_file import ReopenableFile
from mozlog_py._sink.write_slot import QueuedWrite, WriteSlot, owns_writes
from mozlog_py._values.sanitiser import type_name

__all__ = ["NO_DIRECT_WRITE", "SHORT_BYTES", "DirectWrite", "Sink"]

#: What somebody needs who writes short lines without a call of the sink's: the stdout
#: they are for, or None for a stream of the sink's own; how many bytes a line may
#: have; what to flush; an iterator whose next step writes; how to take a turn, from
#: where, and the queue for it.
DirectWrite = tuple[Any, int, Any, Any, Any, Any, Any]
#: Nobody may.
NO_DIRECT_WRITE: Final[DirectWrite] = (None, -1, None, None, None, None, None)
#: A line of more goes through the sink.
SHORT_BYTES: Final = 3000

_NO_STREAM: Final = object()
# The stream, how long a line may be, what to flush, who else writes; how to write
# alone and in company; how to take a turn, from where, and the queue for it.
_NOT_READY: Final = (_NO_STREAM, 0, *[None] * 7)
_write: Final = os.write
_monotonic: Final = time.monotonic
#: How many bytes of others' lines a thread writes at once.
_BATCH_BYTES: Final = 65_536
#: Seconds between two times that waiting threads are woken by who wrote their lines.
_WAKE_EVERY_S: Final = 0.005
#: Seconds between two lines that say how many were lost.
_REPORT_EVERY_S: Final = 1.0
#: Seconds between two looks at a descriptor that is not verified with each write.
_LOOK_EVERY_S: Final = 0.002
#: How often a line is taken up again after its writing was interrupted.
_MANY: Final = 100_000


class Sink:
    """Writes whole lines to a stream, or to what is below it.

    ``stream``: where to; None follows ``sys.stdout``, also when it is replaced;
    a path (``str`` or ``os.PathLike``) is opened for append, and opened again
    when somebody has moved the file. Raises ``OSError`` where it cannot be.
    ``report``: gives the line, its newline included, that says how many records
    were lost (``LossReport`` is an ``int`` with the details); it is written once
    writing works again.
    ``max_line_bytes``: longer lines have their longest texts cut; 0 for no limit.
    ``timeout``: seconds to wait for a reader that has stopped, then the line is
    lost, and counted; None waits for as long as it takes.
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
        self._report = report
        self._max_line_bytes = max_line_bytes
        self._timeout = timeout
        self._loss_counter = LossCounter()
        #: How many lines were written since the sink was made.
        self.written = 0
        self._write_slot = WriteSlot()
        self._slot = self._write_slot.slot
        self._try_acquire = self._write_slot.try_acquire
        self._queue = self._write_slot.queue
        self._woken_at = 0.0
        self._reported_at = float("-inf")
        # A line of which a part was written before that became impossible.
        self._partial: PendingWrite | None = None
        self._partial_loss: tuple[str, int | None] = ("", None)
        self._is_carrying_deferred = False
        self._destination: Destination = StreamDestination(None)
        self._destination_stream: Any = _NO_STREAM
        # The same, as long as nothing has gone wrong there.
        self._ready_stream: Any = _NO_STREAM
        self._ready: Any = _NOT_READY
        self._pipe_lock: Any = None
        # When to look at the descriptor again, as ``time.monotonic()`` has it.
        self._check_at = 0.0
        #: For loggers that write by themselves, to what nobody else writes byte by byte.
        #: They do what ``write`` does, call ``write_slow`` where that is not all
        #: there is to it, and ``finish_after_interrupt`` after whatever was raised.
        self.direct_write = NO_DIRECT_WRITE
        self.stream = stream
        after_fork.register(self)

    @property
    def stream(self) -> Any:
        """Where lines go: the stream that was set, else what ``sys.stdout`` is now."""
        return sys.stdout if self._own_stream is None else self._own_stream

    @stream.setter
    def stream(self, stream: Any) -> None:
        if not isinstance(stream, ReopenableFile):
            check_stream("stream", stream)
        if isinstance(stream, (str, os.PathLike)):
            stream = ReopenableFile(stream)
        self._own_stream = stream
        self._leave_short_way()
        self._is_standard = stream is not None and (stream is sys.stdout or stream is sys.stderr)

    @property
    def own_stream(self) -> Any:
        """The stream that was set; None follows ``sys.stdout``."""
        return self._own_stream

    @property
    def max_line_bytes(self) -> int:
        """What a line may take, its newline included; 0 for no limit."""
        return self._max_line_bytes

    @property
    def lost(self) -> int:
        """How many lines could not be written since the sink was made."""
        return self._loss_counter.total

    @property
    def dropped(self) -> Mapping[str, int]:
        """The same by cause: ``ENOSPC``, ``EPIPE`` and the like, or an exception's name."""
        return dict(self._loss_counter.by_cause)

    @property
    def degraded(self) -> int:
        """How many lines of this process could not keep all of their record."""
        return degraded.count

    @property
    def unlocked(self) -> int:
        """How many lines of this process were written without their pipe's lock.

        Another process kept it. Such a line may stand within a long one of another process.
        """
        return unlocked.count

    @owns_writes
    def write(self, line: bytes) -> bool:
        """Write one line, its newline included; False where it is lost. Raises no ``Exception``.

        What else is raised meanwhile, by a signal's handler, is raised once the
        line is written.
        """
        pending: PendingWrite = [line]
        count = None
        try:
            stream = self._own_stream
            if stream is None:
                stream = sys.stdout
            if _monotonic() >= self._check_at:
                self.check_descriptor()
            (
                ready_stream,
                quick_bytes,
                flush,
                pipe_lock,
                direct_write,
                locked,
                try_acquire,
                slot,
                queue,
            ) = self._ready
            size = len(line)
            if stream is ready_stream and size <= quick_bytes:
                flush()
                if try_acquire(0, pending) is pending and not queue:
                    # The write and its record, and a lock around them: nothing comes between.
                    # Shorter than PIPE_BUF, so it is written as a whole or not at all.
                    if pipe_lock is None or not pipe_lock.is_shared:
                        for count in direct_write:  # noqa: B007 - it is
                            break
                    else:
                        for count, _ in locked:  # noqa: B007 - it is
                            break
                    if count == size:
                        self.written += 1
                        slot.clear()
                        if queue:
                            self.drain_queue()
                        return True
            return self.write_slow(pending)
        except BaseException as error:
            return self.finish_after_interrupt(pending, count, error)

    def flush(self) -> None:
        """Write what was left to be written, and flush the stream where it can be."""
        try:
            if self._slot:
                self._write_slot.recover_abandoned()
            self.drain_queue()
            self._tell_rest()
            stream = self.stream
            if stream is not None and hasattr(stream, "flush"):
                stream.flush()
        except ValueError:
            # Closed, as files often are by the time that logging shuts down.
            pass
        except Exception as error:
            note(f"flush failed: {type_name(type(error))}: {error}")

    def write_all(self, lines: list[bytes]) -> None:
        """Write many lines, in few writes; each is counted as written or as lost."""
        limit = self._max_line_bytes
        if limit:
            lines = [cut(line, limit) if len(line) > limit else line for line in lines]
        queued = QueuedWrite(b"".join(lines), lines=lines, is_deferred=True)
        # The queue's thread waits for it, which gevent does not manage.
        queued.wake = allocate_lock()
        queued.wake.acquire()
        self._queue.append(queued)
        since = _monotonic()
        while queued.is_written is None:
            self.drain_queue()
            if queued.is_written is None:
                since = self._write_slot.wait_briefly(queued, since)

    def reopen(self) -> None:
        """Open the path anew, where the stream is one; before the next line."""
        if isinstance(self._own_stream, ReopenableFile):
            self._own_stream.request_reopen()

    def reset_after_fork(self, *, had_threads: bool = False) -> None:
        """Forget what is on its way: in the child of a fork it is the parent's to finish.

        ``had_threads``: one of them may have been printing, with the lock of the
        stream's buffer, for which the child would wait for ever.
        """
        self._write_slot.reset_after_fork()
        # Daemons close descriptors in a child.
        self._leave_short_way()
        if had_threads and isinstance(self._destination, DescriptorDestination):
            self._destination.leave_buffer_alone()
        self._partial = None
        self._loss_counter.discard_unreported()
        if self._pipe_lock is not None:
            self._pipe_lock.reset_after_fork()

    def lose(self, error: Exception | str, line: bytes = b"") -> None:
        """Count one line that could not be written, and note why on stderr."""
        self._leave_short_way()
        self._loss_counter.add(error, line)
        try:
            why = error if isinstance(error, str) else f"{type_name(type(error))}: {error}"
            note(f"a record was not written: {why}")
        except Exception:
            # The error's own text may be broken; the loss is counted.
            pass

    def check_descriptor(self) -> None:
        """Leave the short way if the descriptor is that of another file by now.

        Or if it is time to look who else writes to the same pipe. A path is not looked at
        here: each write to one verifies its descriptor.
        """
        self._check_at = _monotonic() + _LOOK_EVERY_S
        try:
            if self._ready_stream is not _NO_STREAM and self._is_to_be_looked_at():
                self._leave_short_way()
        except RecursionError:
            # At the end of the stack there is no room to look, and enough to write.
            pass

    def _is_to_be_looked_at(self) -> bool:
        destination = self._destination
        return (
            isinstance(destination, DescriptorDestination)
            and type(self._destination_stream) is not ReopenableFile
            and (
                destination.is_replaced()
                or (self._pipe_lock is not None and self._pipe_lock.is_due())
            )
        )

    def may_echo(self) -> bool:
        """Return whether lines go to a stream of a foreign class, which may log them."""
        stream = self.stream
        if stream is self._destination_stream:
            return isinstance(self._destination, StreamDestination)
        kind = type(stream)
        return not (kind is io.TextIOWrapper or kind is io.BufferedWriter or kind is ReopenableFile)

    # -- with care --------------------------------------------------------

    def write_slow(self, pending: PendingWrite) -> bool:
        """Write a line that is long, or the first one, or one where something went wrong."""
        self._write_slot.fold_in_count(pending)
        if 0 < self._max_line_bytes < len(pending[0]) and len(pending) == 1:
            pending[0] = cut(pending[0], self._max_line_bytes)
        owner = self._try_acquire(0, pending)
        if owner is not pending:
            if self._write_slot.is_reentrant(owner):
                self._write_slot.fold_in_count(owner)
                return self._write_within(pending, owner)
            return self._wait_for(QueuedWrite(pending[0]), pending)
        if self._queue and len(pending) == 1:
            # First come, first served; and who was interrupted may have left a part there.
            queued = QueuedWrite(pending[0])
            self._write_slot.release(pending)
            return self._wait_for(queued, pending)
        is_written = self._put(pending)
        self._write_slot.release(pending)
        self.drain_queue()
        return is_written

    @owns_writes
    def finish_after_interrupt(
        self, pending: PendingWrite, count: int | None, error: BaseException
    ) -> bool:
        """Go on after an error or an interrupt came in the middle: the line first.

        ``count``: what the short way wrote of it, None where it does not know.
        Raises the error again, unless it is an ``Exception``.
        """
        if count is not None and len(pending) == 1:
            # What stood beside it in its place, which may be another's by now.
            pending.append(count)
        is_written = False
        lost = self._loss_counter.total
        for _ in range(_MANY):
            try:
                if _is_handed_over(pending):
                    self.drain_queue()
                elif is_complete(pending) and self._slot.get(0) is not pending:
                    is_written = True
                else:
                    is_written = self.write_slow(pending)
                break
            except RecursionError:
                # No room on the stack for the careful way, nor for a call that counts.
                is_written = sum(pending[1:]) >= len(pending[0]) or (
                    len(pending) > 1 and pending[1] is False
                )
                if self._slot.get(0) is pending:
                    self._slot.clear()
                if not is_written and self._loss_counter.total == lost:
                    self._loss_counter.total += 1
                    self._loss_counter.unreported += 1
                break
            except BaseException as again:
                if isinstance(error, Exception):
                    error = again
        if isinstance(error, Exception):
            # The careful way has met it as well, and dealt with it.
            return is_written
        raise error

    def _leave_short_way(self) -> None:
        self._ready_stream = _NO_STREAM
        self._ready = _NOT_READY
        self.direct_write = NO_DIRECT_WRITE

    def _put(self, pending: PendingWrite) -> bool:
        """Write a cell whose turn it is, to its end; count it, or its loss."""
        try:
            try:
                self._finish(pending)
            except ValueError:
                # Closed. A standard stream that was swapped out and closed (as
                # test runners do) has a successor.
                if not self._is_standard or sys.stdout in (None, self._own_stream):
                    raise
                self.stream = None
                self._finish(pending)
        except Exception as error:
            self._lose(pending, error)
            return False
        self.written += 1
        self._recover()
        return True

    def _finish(self, pending: PendingWrite) -> None:
        stream = self.stream
        if stream is None:
            raise OSError("there is no stdout")
        destination = self._current_destination(
            stream, is_begun=len(pending) > 1 and not is_complete(pending)
        )
        if isinstance(destination, DescriptorDestination) and type(stream) is not ReopenableFile:
            try:
                destination.flush()
            except ValueError:
                raise
            except Exception:
                # What print() left there has troubles of its own.
                pass
        if self._partial is not None and pending is not self._partial:
            self._finish_partial(destination)
        try:
            destination.finish(pending, self._timeout)
        except EchoError:
            # The record that the stream has made of the line is dropped, and the line goes
            # to where the stream would have written it, as do all that follow.
            self._destination = destination_behind(stream)
            try:
                self._destination.finish(pending, self._timeout)
            except EchoError:
                # Both were replaced.
                self._destination = descriptor_behind(stream)
                self._destination.finish(pending, self._timeout)

    def _current_destination(self, stream: Any, *, is_begun: bool) -> Destination:
        """Return the outlet for a stream, made anew if the stream or what is below was replaced.

        Raises:
            OSError: A part of the line is written elsewhere, or the stream's descriptor is
                that of another file by now.
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
                destination.accept_redirection()
        if is_begun:
            raise OSError("the stream was replaced in the middle of the line")
        self._partial = None
        self._destination, self._destination_stream = destination_for(stream), stream
        return self._destination

    def _finish_partial(self, destination: Destination) -> None:
        partial = self._partial
        if partial is None:
            return
        if isinstance(destination, DescriptorDestination):
            rest = destination.remainder_of(partial)
            if rest is not None:
                destination.finish(rest, self._timeout)
            if rest is partial:
                # It was taken for lost, and is there after all.
                self._loss_counter.uncount(*self._partial_loss)
                self.written += 1
        self._partial = None

    def _lose(self, pending: PendingWrite, error: Exception) -> None:
        self.lose(error, pending[0])
        done = bytes_written(pending)
        if done and self._partial is None and not is_complete(pending):
            self._partial, self._partial_loss = [pending[0], done], self._loss_counter.last()

    def _recover(self) -> None:
        """Go on as usual: nothing is wrong any more, or a line says what was."""
        if self._loss_counter.unreported and self._report is not None:
            if _monotonic() - self._reported_at < _REPORT_EVERY_S:
                return
            if not self._tell(self._report):
                return
        destination = self._destination
        if isinstance(destination, DescriptorDestination) and self._timeout is None:
            longest = min(destination.whole_bytes, self._max_line_bytes or destination.whole_bytes)
            self._pipe_lock = destination.pipe_lock
            own = self._own_stream
            direct_write, locked = slot_writers(destination, self._slot)
            turn = self._try_acquire, self._slot, self._queue
            self._ready_stream = stream = self._destination_stream
            pipe_lock = destination.pipe_lock
            self._ready = (
                stream, longest, destination.flush, pipe_lock, direct_write, locked, *turn
            )  # fmt: skip
            if destination.pipe_lock is None and (own is None or own is stream):
                # A logger that writes by itself has the time from elsewhere.
                process.register_check(self)
                followed = stream if own is None else None
                self.direct_write = (
                    followed,
                    min(longest, SHORT_BYTES),
                    destination.flush,
                    direct_write,
                    *turn,
                )
                if self._own_stream is not own:
                    # Another thread has set it since then, and must not be undone.
                    self._leave_short_way()

    def _tell(self, report: Callable[[LossReport], bytes]) -> bool:
        """Write the line that says what was lost; False where that cannot be."""
        lost = self._loss_counter.take_unreported()
        try:
            self._destination.finish([report(lost)], self._timeout)
        except Exception:
            self._loss_counter.put_back(lost)
            return False
        self._reported_at = _monotonic()
        return True

    @owns_writes
    def _tell_rest(self) -> None:
        """Say what was lost since it was said last, where there is a stream to say it to."""
        pending: PendingWrite = [b""]
        if (
            self._loss_counter.unreported
            and self._report is not None
            and self._try_acquire(0, pending) is pending
        ):
            try:
                self._finish(pending)
                self._tell(self._report)
            finally:
                self._write_slot.release(pending)

    # -- among others -----------------------------------------------------

    def _write_within(self, pending: PendingWrite, owner: PendingWrite) -> bool:
        """Write from a signal handler or a finaliser in the middle of a write of this thread."""
        destination = self._destination
        line = pending[0]
        if isinstance(destination, DescriptorDestination) and self._ready_stream is self.stream:
            if (len(owner) == 1 or is_complete(owner)) and len(line) <= destination.whole_bytes:
                # Nothing of the other is written yet, and all of this will be at once.
                return self._write_ahead(pending, destination, owner)
        elif isinstance(destination, StreamDestination):
            if is_echo(line):
                return True
            if self._is_carrying_deferred:
                # A stream that logs when it is written to: this would never end.
                return self._write_aside(pending)
        self._hand_over(QueuedWrite(line, is_deferred=True), pending)
        return True

    def _write_ahead(
        self, pending: PendingWrite, destination: DescriptorDestination, owner: PendingWrite
    ) -> bool:
        pipe_lock = destination.pipe_lock
        try:
            if pipe_lock is not None:
                destination.verify()
                pipe_lock.lock(is_long=False, until=self._until())
            pending.extend(map(_write, destination.descriptors(), pending))
            if pipe_lock is not None and len(owner) > 1:
                pipe_lock.unlock()
        except (BlockingIOError, KeyError):
            pass
        except OSError as error:
            # Behind the other line there may be another descriptor to write to.
            if not destination.is_replaced():
                self.lose(error, pending[0])
                return False
        if len(pending) == 1:
            self._hand_over(QueuedWrite(pending[0], is_deferred=True), pending)
            return True
        self.written += 1
        return True

    def _until(self) -> float | None:
        return None if self._timeout is None else _monotonic() + self._timeout

    def _write_aside(self, pending: PendingWrite) -> bool:
        aside = sys.__stdout__
        try:
            if aside is None or aside is self.stream:
                raise RecursionError("the stream logs when it is written to")
            destination_for(aside).finish(pending, self._timeout)
        except Exception as error:
            self.lose(error, pending[0])
            return False
        self.written += 1
        return True

    def _wait_for(self, queued: QueuedWrite, pending: PendingWrite) -> bool:
        """Leave a line to the thread that is writing, and wait until it is written."""
        self._hand_over(queued, pending)
        since = _monotonic()
        while queued.is_written is None:
            self.drain_queue()
            if queued.is_written is None:
                since = self._write_slot.wait_briefly(queued, since)
        return queued.is_written

    def _hand_over(self, queued: QueuedWrite, pending: PendingWrite) -> None:
        # In one C call: who is interrupted must know whose the line is now.
        pending.extend(map(bool, map(self._queue.append, (queued,))))

    @owns_writes
    def drain_queue(self) -> None:
        """Write what others have left in the queue, unless somebody else does."""
        while self._queue:
            pending: PendingWrite = [b""]
            if self._try_acquire(0, pending) is not pending:
                return
            interrupt: BaseException | None = None
            for _ in range(_MANY):
                try:
                    self._write_queued(pending)
                    break
                except BaseException as error:
                    interrupt = interrupt or error
            if interrupt is not None:
                raise interrupt

    def _write_queued(self, pending: PendingWrite) -> None:
        """Write the first lines of the queue in one cell; may be called again where it was cut."""
        queue = self._queue
        if not pending[0]:
            while queue and queue[0].is_written is not None:
                queue.popleft()
            if queue and queue[0].pid != os.getpid():
                # Forked past Python's own hooks.
                self.reset_after_fork()
                return
            batch = self._batch()
            if len(batch) == 1:
                # It may be one of which a part is written.
                pending[1:] = batch[0].pending[1:]
            for queued in batch:
                queued.pending = pending
            # From here on it is on its way.
            pending[0] = b"".join([queued.line for queued in batch])
        batch = [queued for queued in list(queue) if queued.pending is pending]
        if any(queued.is_written is None for queued in batch):
            self._settle(pending, batch)
        while queue and queue[0].is_written is not None:
            queue.popleft()
        self._write_slot.release(pending)
        now = _monotonic()
        if now - self._woken_at > _WAKE_EVERY_S:
            self._woken_at = now
            for queued in batch:
                if queued.wake is not None and queued.wake.locked():
                    queued.wake.release()

    def _batch(self) -> list[QueuedWrite]:
        """Give the tickets whose lines can be written at once."""
        waiting = list(self._queue)
        if self._ready_stream is not self.stream or self._ready_stream is _NO_STREAM:
            return waiting[:1]
        # Those who wait for it are few, and their lines are short.
        room = PIPE_BUF if self._pipe_lock is not None else _BATCH_BYTES
        batch: list[QueuedWrite] = []
        for queued in waiting:
            room -= len(queued.line)
            # One that was begun stays by itself.
            if batch and (room < 0 or len(queued.pending) > 1):
                break
            batch.append(queued)
            if len(queued.pending) > 1:
                break
        return batch

    def _settle(self, pending: PendingWrite, batch: list[QueuedWrite]) -> None:
        """Write a cell with the lines of a batch, and tell what became of each."""
        self._is_carrying_deferred = any(queued.is_deferred for queued in batch)
        if len(batch) == 1 and len(batch[0].lines) == 1:
            batch[0].is_written = self._put(pending)
            return
        failed: Exception | None = None
        try:
            self._finish(pending)
        except Exception as error:
            failed = error
        done = bytes_written(pending)
        for queued in batch:
            for line in queued.lines:
                if failed is None or done >= len(line):
                    self.written += 1
                else:
                    self._lose([line, done] if done else [line], failed)
                done = max(0, done - len(line))
            queued.is_written = failed is None or done > 0
        if failed is None and self._ready_stream is _NO_STREAM:
            self._recover()


def _is_handed_over(pending: PendingWrite) -> bool:
    """Tell whether a cell's line is in the queue, or was, and somebody else's to write."""
    return len(pending) > 1 and pending[1] is False
