"""Drains the queue of the writes that wait for the slot (flat combining).

A thread that finds the slot taken puts its line in the queue. The owner of the slot writes the
lines of the queue after its own, several at once where the destination takes them, and wakes
their threads.
"""

from __future__ import annotations

import os
import time
from typing import Any, Final

from mozlog_py._process.shared_state import snapshot

from .line_writer import LineWriter
from .write_bytes import PendingWrite, bytes_written
from .write_slot import QueuedWrite, WriteSlot, owns_writes

__all__ = ["MAX_ATTEMPTS", "WriteQueue", "is_queued"]

#: Attempts to write a line again after an exception has interrupted the write.
MAX_ATTEMPTS: Final = 100_000
#: Seconds between two times that the owner of the slot wakes the threads whose lines it wrote.
_WAKE_EVERY_S: Final = 0.005
_monotonic: Final = time.monotonic


class WriteQueue:
    """Writes the lines of the queue of a write slot.

    Args:
        write_slot: The slot and its queue.
    """

    def __init__(self, write_slot: WriteSlot) -> None:
        self._write_slot = write_slot
        self._queue = write_slot.queue
        self._try_acquire = write_slot.try_acquire
        self._woken_at = 0.0
        # The last batch that could not be written, and why.
        self._failed: tuple[PendingWrite, Exception] | None = None
        #: Whether a line is being written that no caller waits for.
        self.is_draining_deferred = False

    def put(self, queued: QueuedWrite, pending: PendingWrite) -> None:
        """Append a write to the queue, and record in ``pending`` that the queue has the line."""
        # One C call: after an interrupt, ``is_queued`` must be right.
        pending.extend(map(bool, map(self._queue.append, (queued,))))

    def put_all(self, writes: list[QueuedWrite], taken: list[Any]) -> None:
        """Append writes to the queue, and to ``taken`` an item for each."""
        # One C call, as above.
        taken.extend(map(bool, map(self._queue.append, writes)))

    def put_and_wait(self, queued: QueuedWrite, pending: PendingWrite, writer: LineWriter) -> bool:
        """Append a write to the queue and wait; return whether the line is written.

        Args:
            queued: The write.
            pending: The line of the caller, which is marked as queued.
            writer: Writes the queue, if no other thread does.
        """
        self.put(queued, pending)
        return self.wait_for(queued, writer)

    def wait_for(self, queued: QueuedWrite, writer: LineWriter) -> bool:
        """Wait for a write of the queue, or drain the queue; return whether it succeeded."""
        since = _monotonic()
        while queued.is_written is None:
            self.drain(writer)
            if queued.is_written is None:
                since = self._write_slot.wait_briefly(queued, since)
                if queued.is_written is None and self._write_slot.waits_for_itself:
                    # The owner writes it when it goes on, as for a signal handler.
                    queued.is_deferred = True
                    return True
        return queued.is_written

    @owns_writes
    def drain(self, writer: LineWriter) -> None:
        """Write the lines of the queue, unless another thread owns the slot.

        A ``BaseException`` that a signal handler raises meanwhile is raised again after the
        lines are written.
        """
        while self._queue:
            pending: PendingWrite = [b""]
            if self._try_acquire(0, pending) is not pending:
                return
            interrupt: BaseException | None = None
            for _ in range(MAX_ATTEMPTS):
                try:
                    self._write_first(pending, writer)
                    break
                except BaseException as error:
                    interrupt = interrupt or error
            if interrupt is not None:
                raise interrupt

    def _write_first(self, pending: PendingWrite, writer: LineWriter) -> None:
        """Write the first lines of the queue as one pending write, and release the slot.

        After an interrupt the caller calls this again with the same ``pending``.
        """
        queue = self._queue
        if not pending[0]:
            if queue and writer.is_partial(queue[0].pending):
                # Its owner has counted it as lost, and abandoned it.
                queue[0].is_written = False
            while queue and queue[0].is_written is not None:
                queue.popleft()
            if queue and queue[0].pid != os.getpid():
                # A fork past Python's own hooks.
                writer.reset_after_fork()
                return
            batch = self._next_batch(writer.batch_bytes())
            if len(batch) == 1:
                # A part of it may be written.
                pending[1:] = batch[0].pending[1:]
            for queued in batch:
                queued.pending = pending
            # Last: a pending write with a line has its batch.
            pending[0] = b"".join([queued.line for queued in batch])
        batch = [queued for queued in snapshot(queue) if queued.pending is pending]
        # No generators here: one that ends runs code from 3.14 on, and an exception that a signal
        # handler raises there is only reported.
        if [queued for queued in batch if queued.is_written is None]:
            self._write_batch(pending, batch, writer)
        while queue and queue[0].is_written is not None:
            queue.popleft()
        self._write_slot.release(pending)
        now = _monotonic()
        if now - self._woken_at > _WAKE_EVERY_S:
            self._woken_at = now
            for queued in batch:
                if queued.wake is not None and queued.wake.locked():
                    queued.wake.release()

    def _next_batch(self, room: int) -> list[QueuedWrite]:
        """Return the first writes of the queue that fit into ``room`` bytes; at least one."""
        waiting = snapshot(self._queue)
        if not room:
            return waiting[:1]
        batch: list[QueuedWrite] = []
        for queued in waiting:
            room -= len(queued.line)
            # A line that is begun is written by itself.
            if batch and (room < 0 or len(queued.pending) > 1):
                break
            batch.append(queued)
            if len(queued.pending) > 1:
                break
        return batch

    def _write_batch(
        self, pending: PendingWrite, batch: list[QueuedWrite], writer: LineWriter
    ) -> None:
        """Write the lines of a batch, and count each as written or lost."""
        self.is_draining_deferred = bool([queued for queued in batch if queued.is_deferred])
        if len(batch) == 1 and len(batch[0].lines) == 1:
            batch[0].is_written = writer.write_and_count(pending)
            return
        # After an interrupt: what has failed once is not written again.
        failed = self._failed[1] if self._failed and self._failed[0] is pending else None
        if failed is None:
            try:
                writer.write_pending(pending)
            except Exception as error:
                failed = error
                self._failed = pending, error
        # A signal handler may have put the rest of its own line before the batch.
        before = len(pending[0]) - sum([len(queued.line) for queued in batch])
        done = bytes_written(pending) - before
        if failed is not None and done < 0:
            writer.count_lost([pending[0][:before], before + done], failed, is_begun=True)
        done = max(0, done)
        for queued in batch:
            if queued.is_written is not None:
                done = max(0, done - len(queued.line))
                continue
            is_written = True
            for line in queued.lines:
                if failed is None or done >= len(line):
                    writer.written += 1
                else:
                    writer.count_lost([line, done] if done else [line], failed)
                    is_written = False
                done = max(0, done - len(line))
            queued.is_written = is_written
        self._failed = None
        if failed is None and not writer.batch_bytes():
            writer.report_and_enable()


def is_queued(pending: PendingWrite) -> bool:
    """Return whether the queue has, or had, the line of a pending write."""
    return len(pending) > 1 and pending[1] is False
