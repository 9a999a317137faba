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
from mozlog_py._process.after_fork import follow
from mozlog_py._process.process_id import process
from mozlog_py._process.self_log import degraded, note
from mozlog_py._process.unpatched import allocate_lock
from mozlog_py._sink.destinations import (
    PIPE_BUF,
    Cell,
    DescriptorOutlet,
    EchoError,
    Outlet,
    StreamOutlet,
    counted,
    descriptor_behind,
    is_complete,
    is_echo,
    outlet_behind,
    outlet_for,
    writes_in_turn,
)
from mozlog_py._sink.loss_counter import Losses, Lost
from mozlog_py._sink.pipe_lock import unlocked
from mozlog_py._sink.reopenable_file import PathStream
from mozlog_py._sink.write_slot import Ticket, Turns, takes_turns
from mozlog_py._values.sanitiser import type_name

__all__ = ["NOT_ALONE", "SHORT_BYTES", "Alone", "Sink"]

#: What somebody needs who writes short lines without a call of the sink's: the stdout
#: they are for, or None for a stream of the sink's own; how many bytes a line may
#: have; what to flush; an iterator whose next step writes; how to take a turn, from
#: where, and the queue for it.
Alone = tuple[Any, int, Any, Any, Any, Any, Any]
#: Nobody may.
NOT_ALONE: Final[Alone] = (None, -1, None, None, None, None, None)
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
    were lost (``Lost`` is an ``int`` with the details); it is written once
    writing works again.
    ``max_line_bytes``: longer lines have their longest texts cut; 0 for no limit.
    ``timeout``: seconds to wait for a reader that has stopped, then the line is
    lost, and counted; None waits for as long as it takes.
    """

    def __init__(
        self,
        stream: Any = None,
        report: Callable[[Lost], bytes] | None = None,
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
        self._losses = Losses()
        #: How many lines were written since the sink was made.
        self.written = 0
        self._turns = Turns()
        self._place = self._turns.place
        self._take = self._turns.take
        self._queue = self._turns.queue
        self._woken_at = 0.0
        self._reported_at = float("-inf")
        # A line of which a part was written before that became impossible.
        self._torn: Cell | None = None
        self._torn_loss: tuple[str, int | None] = ("", None)
        self._is_carrying_deferred = False
        self._outlet: Outlet = StreamOutlet(None)
        self._outlet_stream: Any = _NO_STREAM
        # The same, as long as nothing has gone wrong there.
        self._ready_stream: Any = _NO_STREAM
        self._ready: Any = _NOT_READY
        self._company: Any = None
        # When to look at the descriptor again, as ``time.monotonic()`` has it.
        self._look_at = 0.0
        #: For loggers that write by themselves, to what nobody else writes byte by byte.
        #: They do what ``write`` does, call ``write_carefully`` where that is not all
        #: there is to it, and ``resume`` after whatever was raised.
        self.alone = NOT_ALONE
        self.stream = stream
        follow(self)

    @property
    def stream(self) -> Any:
        """Where lines go: the stream that was set, else what ``sys.stdout`` is now."""
        return sys.stdout if self._own_stream is None else self._own_stream

    @stream.setter
    def stream(self, stream: Any) -> None:
        if not isinstance(stream, PathStream):
            check_stream("stream", stream)
        if isinstance(stream, (str, os.PathLike)):
            stream = PathStream(stream)
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
        return self._losses.total

    @property
    def dropped(self) -> Mapping[str, int]:
        """The same by cause: ``ENOSPC``, ``EPIPE`` and the like, or an exception's name."""
        return dict(self._losses.by_cause)

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

    @takes_turns
    def write(self, line: bytes) -> bool:
        """Write one line, its newline included; False where it is lost. Raises no ``Exception``.

        What else is raised meanwhile, by a signal's handler, is raised once the
        line is written.
        """
        cell: Cell = [line]
        count = None
        try:
            stream = self._own_stream
            if stream is None:
                stream = sys.stdout
            if _monotonic() >= self._look_at:
                self.look_below()
            ready_stream, quick_bytes, flush, company, alone, locked, take, place, queue = (
                self._ready
            )
            size = len(line)
            if stream is ready_stream and size <= quick_bytes:
                flush()
                if take(0, cell) is cell and not queue:
                    # The write and its record, and a lock around them: nothing comes between.
                    # Shorter than PIPE_BUF, so it is written as a whole or not at all.
                    if company is None or not company.is_shared:
                        for count in alone:  # noqa: B007 - it is
                            break
                    else:
                        for count, _ in locked:  # noqa: B007 - it is
                            break
                    if count == size:
                        self.written += 1
                        place.clear()
                        if queue:
                            self.carry()
                        return True
            return self.write_carefully(cell)
        except BaseException as error:
            return self.resume(cell, count, error)

    def flush(self) -> None:
        """Write what was left to be written, and flush the stream where it can be."""
        try:
            if self._place:
                self._turns.mend()
            self.carry()
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
        ticket = Ticket(b"".join(lines), lines=lines, is_deferred=True)
        # The queue's thread waits for it, which gevent does not manage.
        ticket.wake = allocate_lock()
        ticket.wake.acquire()
        self._queue.append(ticket)
        since = _monotonic()
        while ticket.is_written is None:
            self.carry()
            if ticket.is_written is None:
                since = self._turns.nap(ticket, since)

    def reopen(self) -> None:
        """Open the path anew, where the stream is one; before the next line."""
        if isinstance(self._own_stream, PathStream):
            self._own_stream.mark_as_moved()

    def begin_anew(self, *, had_threads: bool = False) -> None:
        """Forget what is on its way: in the child of a fork it is the parent's to finish.

        ``had_threads``: one of them may have been printing, with the lock of the
        stream's buffer, for which the child would wait for ever.
        """
        self._turns.forget()
        # Daemons close descriptors in a child.
        self._leave_short_way()
        if had_threads and isinstance(self._outlet, DescriptorOutlet):
            self._outlet.leave_buffer_alone()
        self._torn = None
        self._losses.forget_untold()
        if self._company is not None:
            self._company.forget()

    def lose(self, error: Exception | str, line: bytes = b"") -> None:
        """Count one line that could not be written, and note why on stderr."""
        self._leave_short_way()
        self._losses.add(error, line)
        try:
            why = error if isinstance(error, str) else f"{type_name(type(error))}: {error}"
            note(f"a record was not written: {why}")
        except Exception:
            # The error's own text may be broken; the loss is counted.
            pass

    def look_below(self) -> None:
        """Leave the short way if the descriptor is that of another file by now.

        Or if it is time to look who else writes to the same pipe. A path is not looked at
        here: each write to one verifies its descriptor.
        """
        self._look_at = _monotonic() + _LOOK_EVERY_S
        try:
            if self._ready_stream is not _NO_STREAM and self._is_to_be_looked_at():
                self._leave_short_way()
        except RecursionError:
            # At the end of the stack there is no room to look, and enough to write.
            pass

    def _is_to_be_looked_at(self) -> bool:
        outlet = self._outlet
        return (
            isinstance(outlet, DescriptorOutlet)
            and type(self._outlet_stream) is not PathStream
            and (outlet.is_outdated() or (self._company is not None and self._company.is_due()))
        )

    def may_echo(self) -> bool:
        """Return whether lines go to a stream of a foreign class, which may log them."""
        stream = self.stream
        if stream is self._outlet_stream:
            return isinstance(self._outlet, StreamOutlet)
        kind = type(stream)
        return not (kind is io.TextIOWrapper or kind is io.BufferedWriter or kind is PathStream)

    # -- with care --------------------------------------------------------

    def write_carefully(self, cell: Cell) -> bool:
        """Write a line that is long, or the first one, or one where something went wrong."""
        self._turns.settle(cell)
        if 0 < self._max_line_bytes < len(cell[0]) and len(cell) == 1:
            cell[0] = cut(cell[0], self._max_line_bytes)
        held = self._take(0, cell)
        if held is not cell:
            if self._turns.is_ours(held):
                self._turns.settle(held)
                return self._write_within(cell, held)
            return self._wait_for(Ticket(cell[0]), cell)
        if self._queue and len(cell) == 1:
            # First come, first served; and who was interrupted may have left a part there.
            ticket = Ticket(cell[0])
            self._turns.release(cell)
            return self._wait_for(ticket, cell)
        is_written = self._put(cell)
        self._turns.release(cell)
        self.carry()
        return is_written

    @takes_turns
    def resume(self, cell: Cell, count: int | None, error: BaseException) -> bool:
        """Go on after an error or an interrupt came in the middle: the line first.

        ``count``: what the short way wrote of it, None where it does not know.
        Raises the error again, unless it is an ``Exception``.
        """
        if count is not None and len(cell) == 1:
            # What stood beside it in its place, which may be another's by now.
            cell.append(count)
        is_written = False
        lost = self._losses.total
        for _ in range(_MANY):
            try:
                if _is_handed_over(cell):
                    self.carry()
                elif is_complete(cell) and self._place.get(0) is not cell:
                    is_written = True
                else:
                    is_written = self.write_carefully(cell)
                break
            except RecursionError:
                # No room on the stack for the careful way, nor for a call that counts.
                is_written = sum(cell[1:]) >= len(cell[0]) or (len(cell) > 1 and cell[1] is False)
                if self._place.get(0) is cell:
                    self._place.clear()
                if not is_written and self._losses.total == lost:
                    self._losses.total += 1
                    self._losses.unreported += 1
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
        self.alone = NOT_ALONE

    def _put(self, cell: Cell) -> bool:
        """Write a cell whose turn it is, to its end; count it, or its loss."""
        try:
            try:
                self._finish(cell)
            except ValueError:
                # Closed. A standard stream that was swapped out and closed (as
                # test runners do) has a successor.
                if not self._is_standard or sys.stdout in (None, self._own_stream):
                    raise
                self.stream = None
                self._finish(cell)
        except Exception as error:
            self._lose(cell, error)
            return False
        self.written += 1
        self._recover()
        return True

    def _finish(self, cell: Cell) -> None:
        stream = self.stream
        if stream is None:
            raise OSError("there is no stdout")
        outlet = self._current_outlet(stream, is_begun=len(cell) > 1 and not is_complete(cell))
        if isinstance(outlet, DescriptorOutlet) and type(stream) is not PathStream:
            try:
                outlet.flush()
            except ValueError:
                raise
            except Exception:
                # What print() left there has troubles of its own.
                pass
        if self._torn is not None and cell is not self._torn:
            self._finish_torn(outlet)
        try:
            outlet.finish(cell, self._timeout)
        except EchoError:
            # The record that the stream has made of the line is dropped, and the line goes
            # to where the stream would have written it, as do all that follow.
            self._outlet = outlet_behind(stream)
            try:
                self._outlet.finish(cell, self._timeout)
            except EchoError:
                # Both were replaced.
                self._outlet = descriptor_behind(stream)
                self._outlet.finish(cell, self._timeout)

    def _current_outlet(self, stream: Any, *, is_begun: bool) -> Outlet:
        """Return the outlet for a stream, made anew if the stream or what is below was replaced.

        Raises:
            OSError: A part of the line is written elsewhere, or the stream's descriptor is
                that of another file by now.
        """
        if type(stream) is PathStream and not is_begun:
            stream.follow()
        outlet = self._outlet
        if stream is self._outlet_stream:
            if not outlet.is_outdated():
                return outlet
            if isinstance(outlet, DescriptorOutlet) and type(stream) is not PathStream:
                outlet.accept_redirection()
        if is_begun:
            raise OSError("the stream was replaced in the middle of the line")
        self._torn = None
        self._outlet, self._outlet_stream = outlet_for(stream), stream
        return self._outlet

    def _finish_torn(self, outlet: Outlet) -> None:
        torn = self._torn
        if torn is None:
            return
        if isinstance(outlet, DescriptorOutlet):
            rest = outlet.rest_of(torn)
            if rest is not None:
                outlet.finish(rest, self._timeout)
            if rest is torn:
                # It was taken for lost, and is there after all.
                self._losses.take_back(*self._torn_loss)
                self.written += 1
        self._torn = None

    def _lose(self, cell: Cell, error: Exception) -> None:
        self.lose(error, cell[0])
        done = counted(cell)
        if done and self._torn is None and not is_complete(cell):
            self._torn, self._torn_loss = [cell[0], done], self._losses.last()

    def _recover(self) -> None:
        """Go on as usual: nothing is wrong any more, or a line says what was."""
        if self._losses.unreported and self._report is not None:
            if _monotonic() - self._reported_at < _REPORT_EVERY_S:
                return
            if not self._tell(self._report):
                return
        outlet = self._outlet
        if isinstance(outlet, DescriptorOutlet) and self._timeout is None:
            longest = min(outlet.whole_bytes, self._max_line_bytes or outlet.whole_bytes)
            self._company = outlet.company
            own = self._own_stream
            alone, locked = writes_in_turn(outlet, self._place)
            turn = self._take, self._place, self._queue
            self._ready_stream = stream = self._outlet_stream
            self._ready = (
                stream, longest, outlet.flush, outlet.company, alone, locked, *turn
            )  # fmt: skip
            if outlet.company is None and (own is None or own is stream):
                # A logger that writes by itself has the time from elsewhere.
                process.watch(self)
                followed = stream if own is None else None
                self.alone = (followed, min(longest, SHORT_BYTES), outlet.flush, alone, *turn)
                if self._own_stream is not own:
                    # Another thread has set it since then, and must not be undone.
                    self._leave_short_way()

    def _tell(self, report: Callable[[Lost], bytes]) -> bool:
        """Write the line that says what was lost; False where that cannot be."""
        lost = self._losses.taken()
        try:
            self._outlet.finish([report(lost)], self._timeout)
        except Exception:
            self._losses.untaken(lost)
            return False
        self._reported_at = _monotonic()
        return True

    @takes_turns
    def _tell_rest(self) -> None:
        """Say what was lost since it was said last, where there is a stream to say it to."""
        cell: Cell = [b""]
        if self._losses.unreported and self._report is not None and self._take(0, cell) is cell:
            try:
                self._finish(cell)
                self._tell(self._report)
            finally:
                self._turns.release(cell)

    # -- among others -----------------------------------------------------

    def _write_within(self, cell: Cell, held: Cell) -> bool:
        """Write from a signal handler or a finaliser in the middle of a write of this thread."""
        outlet = self._outlet
        line = cell[0]
        if isinstance(outlet, DescriptorOutlet) and self._ready_stream is self.stream:
            if (len(held) == 1 or is_complete(held)) and len(line) <= outlet.whole_bytes:
                # Nothing of the other is written yet, and all of this will be at once.
                return self._write_ahead(cell, outlet, held)
        elif isinstance(outlet, StreamOutlet):
            if is_echo(line):
                return True
            if self._is_carrying_deferred:
                # A stream that logs when it is written to: this would never end.
                return self._write_aside(cell)
        self._hand_over(Ticket(line, is_deferred=True), cell)
        return True

    def _write_ahead(self, cell: Cell, outlet: DescriptorOutlet, held: Cell) -> bool:
        company = outlet.company
        try:
            if company is not None:
                outlet.verify()
                company.lock(is_long=False, until=self._until())
            cell.extend(map(_write, outlet.descriptors(), cell))
            if company is not None and len(held) > 1:
                company.unlock()
        except (BlockingIOError, KeyError):
            pass
        except OSError as error:
            # Behind the other line there may be another descriptor to write to.
            if not outlet.is_outdated():
                self.lose(error, cell[0])
                return False
        if len(cell) == 1:
            self._hand_over(Ticket(cell[0], is_deferred=True), cell)
            return True
        self.written += 1
        return True

    def _until(self) -> float | None:
        return None if self._timeout is None else _monotonic() + self._timeout

    def _write_aside(self, cell: Cell) -> bool:
        aside = sys.__stdout__
        try:
            if aside is None or aside is self.stream:
                raise RecursionError("the stream logs when it is written to")
            outlet_for(aside).finish(cell, self._timeout)
        except Exception as error:
            self.lose(error, cell[0])
            return False
        self.written += 1
        return True

    def _wait_for(self, ticket: Ticket, cell: Cell) -> bool:
        """Leave a line to the thread that is writing, and wait until it is written."""
        self._hand_over(ticket, cell)
        since = _monotonic()
        while ticket.is_written is None:
            self.carry()
            if ticket.is_written is None:
                since = self._turns.nap(ticket, since)
        return ticket.is_written

    def _hand_over(self, ticket: Ticket, cell: Cell) -> None:
        # In one C call: who is interrupted must know whose the line is now.
        cell.extend(map(bool, map(self._queue.append, (ticket,))))

    @takes_turns
    def carry(self) -> None:
        """Write what others have left in the queue, unless somebody else does."""
        while self._queue:
            cell: Cell = [b""]
            if self._take(0, cell) is not cell:
                return
            interrupt: BaseException | None = None
            for _ in range(_MANY):
                try:
                    self._write_queued(cell)
                    break
                except BaseException as error:
                    interrupt = interrupt or error
            if interrupt is not None:
                raise interrupt

    def _write_queued(self, cell: Cell) -> None:
        """Write the first lines of the queue in one cell; may be called again where it was cut."""
        queue = self._queue
        if not cell[0]:
            while queue and queue[0].is_written is not None:
                queue.popleft()
            if queue and queue[0].pid != os.getpid():
                # Forked past Python's own hooks.
                self.begin_anew()
                return
            batch = self._batch()
            if len(batch) == 1:
                # It may be one of which a part is written.
                cell[1:] = batch[0].cell[1:]
            for ticket in batch:
                ticket.cell = cell
            # From here on it is on its way.
            cell[0] = b"".join([ticket.line for ticket in batch])
        batch = [ticket for ticket in list(queue) if ticket.cell is cell]
        if any(ticket.is_written is None for ticket in batch):
            self._settle(cell, batch)
        while queue and queue[0].is_written is not None:
            queue.popleft()
        self._turns.release(cell)
        now = _monotonic()
        if now - self._woken_at > _WAKE_EVERY_S:
            self._woken_at = now
            for ticket in batch:
                if ticket.wake is not None and ticket.wake.locked():
                    ticket.wake.release()

    def _batch(self) -> list[Ticket]:
        """Give the tickets whose lines can be written at once."""
        waiting = list(self._queue)
        if self._ready_stream is not self.stream or self._ready_stream is _NO_STREAM:
            return waiting[:1]
        # Those who wait for it are few, and their lines are short.
        room = PIPE_BUF if self._company is not None else _BATCH_BYTES
        batch: list[Ticket] = []
        for ticket in waiting:
            room -= len(ticket.line)
            # One that was begun stays by itself.
            if batch and (room < 0 or len(ticket.cell) > 1):
                break
            batch.append(ticket)
            if len(ticket.cell) > 1:
                break
        return batch

    def _settle(self, cell: Cell, batch: list[Ticket]) -> None:
        """Write a cell with the lines of a batch, and tell what became of each."""
        self._is_carrying_deferred = any(ticket.is_deferred for ticket in batch)
        if len(batch) == 1 and len(batch[0].lines) == 1:
            batch[0].is_written = self._put(cell)
            return
        failed: Exception | None = None
        try:
            self._finish(cell)
        except Exception as error:
            failed = error
        done = counted(cell)
        for ticket in batch:
            for line in ticket.lines:
                if failed is None or done >= len(line):
                    self.written += 1
                else:
                    self._lose([line, done] if done else [line], failed)
                done = max(0, done - len(line))
            ticket.is_written = failed is None or done > 0
        if failed is None and self._ready_stream is _NO_STREAM:
            self._recover()


def _is_handed_over(cell: Cell) -> bool:
    """Tell whether a cell's line is in the queue, or was, and somebody else's to write."""
    return len(cell) > 1 and cell[1] is False
