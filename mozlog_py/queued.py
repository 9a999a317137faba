"""MozlogQueueHandler: the lines of ``MozlogHandler``, written by a thread of their own.

The calling thread makes the line, with its context, and puts it in a queue that is bounded in
bytes. A thread writes the lines of the queue in few writes. A policy decides what happens if
the queue is full; lost lines are counted and reported. The queue has the methods of a sink, so
that structlog's loggers write through it as well.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import chain, repeat
from typing import Any, Final

from mozlog_py._config.options import OptionError, check_names, check_number, check_switch, shown
from mozlog_py._line.truncate import MAX_LINE_BYTES, cut
from mozlog_py._process import after_fork, at_exit
from mozlog_py._process.self_log import note
from mozlog_py._process.shared_state import Tally, snapshot
from mozlog_py._process.unpatched import NativeThread, allocate_lock
from mozlog_py._sink.drop_lines import LINE_OVERHEAD, POLL_S, LineDropper, is_error, size_of
from mozlog_py._values.class_lookup import type_name

from .handlers import MozlogHandler
from .sink import Sink
from .typing import Policy, Stream

__all__ = [
    "MAX_QUEUE_BYTES",
    "POLICIES",
    "LineQueue",
    "MozlogQueueHandler",
    "check_queue_options",
]

#: What to do if the queue is full.
POLICIES: Final = ("block", "drop_newest", "drop_oldest")
#: Bytes that the lines of a queue may have by default.
MAX_QUEUE_BYTES: Final = 8 * 1024 * 1024

_BATCH_LINES: Final = 4096
_BATCH_BYTES: Final = 262_144
#: Lines that are moved from the queue to a batch in one call.
_TAKEN_AT_ONCE: Final = 16
#: Bytes that one call drops at most, so that other callers wait for some milliseconds only.
_MAX_DROPPED_BYTES: Final = 524_288
#: Looks at the lock of another call that drops lines, one each millisecond.
_DROP_POLLS: Final = 100
#: Seconds: for which the thread collects lines; of its longest sleep; between two counts of the
#: bytes that wait; for which no other caller starts a thread.
_GATHER_S: Final = 0.005
_MAX_SLEEP_S: Final = 1.0
_RECOUNT_EVERY_S: Final = 1.0
_START_S: Final = 1.0
#: Seconds for which a caller yields to the thread once the queue is half full; seconds
#: without progress after which it does not yield.
_YIELD_S: Final = 0.0001
_STALLED_S: Final = 0.05
_FLUSH_S: Final = 5.0

_monotonic: Final = time.monotonic
_popleft: Final[Any] = deque.popleft

#: The options of a ``MozlogQueueHandler`` beside its stream and name.
_OPTIONS: Final = ("flush_on_sigterm", "max_bytes", "max_line_bytes", "policy", "timeout")


def check_queue_options(options: Mapping[Any, Any]) -> None:
    """Raise ``OptionError`` for an unknown option of a queue, or an invalid value.

    Args:
        options: The options by name.
    """
    check_names("queue", options, _OPTIONS)
    if "policy" in options and options["policy"] not in POLICIES:
        raise OptionError(
            f"policy is {shown(options['policy'])}; the known ones are {', '.join(POLICIES)}"
        )
    if "max_bytes" in options:
        allowed = f"a number of bytes such as {MAX_QUEUE_BYTES}, 1 or more"
        check_number("max_bytes", options["max_bytes"], least=1, allowed=allowed, whole=True)
    check_switch("flush_on_sigterm", options.get("flush_on_sigterm", True))


class LineQueue:
    """Takes whole lines without waiting, and has a thread write them to a sink.

    Lines of ERROR and above are lost last. The sink counts lost lines under ``queue full``.

    Args:
        sink: The sink that the thread writes to.
        max_bytes: The bytes that all waiting lines may have.
        policy: What to do if the queue is full: ``block`` waits; ``drop_newest`` loses the new
            line; ``drop_oldest`` loses the oldest lines.

    Raises:
        OptionError: The policy or the bound is invalid.
    """

    def __init__(
        self, sink: Sink, *, max_bytes: int = MAX_QUEUE_BYTES, policy: Policy = "drop_oldest"
    ) -> None:
        check_queue_options({"max_bytes": max_bytes, "policy": policy})
        #: The sink that the thread writes to.
        self.sink: Final = sink
        self._max_bytes = max_bytes
        self._half_bytes = max_bytes // 2
        self._policy = policy
        self._lines: deque[bytes] = deque()
        self._dropper = LineDropper(self._lines, is_oldest=policy == "drop_oldest")
        self._is_closed = False
        # ``write`` checks each line: the queue is closed, or its thread writes to a stream that
        # may log what is written to it.
        self._must_check_lines = False
        #: Whether SIGTERM has the lines written; looked at whenever the thread is woken.
        self.flushes_on_sigterm = False
        self._reset()
        after_fork.register(self)
        at_exit.register(self)

    def _reset(self) -> None:
        self._lines.clear()
        self._dropper.reset()
        # All threads change it by += without a lock. It may drift by a line for each call that
        # another one interrupts, and is corrected whenever the queue is empty, once a second, and
        # where dropped lines have made no room.
        self._bytes = 0
        self._recount_at = 0.0
        # Exact: callers that drop lines count here as well, and a flush waits for the number.
        self._lines_done = Tally()
        self._busy_since = float("inf")
        self._in_progress: list[bytes] = []
        self._thread: NativeThread | None = None
        # The thread ends once the queue is empty; the next line starts another.
        self._ends_when_empty = False
        # No thread reads the queue until it is woken. Where there is none this must be True, or
        # no caller would start one.
        self._is_idle = True
        # When a caller began to start a thread. ``dict.setdefault`` acquires it as a lock.
        self._starting: dict[int, float] = {}
        # Not gevent's lock: the thread is no greenlet, and cannot wait for it.
        self._alarm = allocate_lock()
        self._alarm.acquire()

    # -- a sink's -----------------------------------------------------------

    @property
    def stream(self) -> Any:
        """Where the sink writes."""
        return self.sink.stream

    @stream.setter
    def stream(self, stream: Any) -> None:
        self.sink.stream = stream

    @property
    def own_stream(self) -> Any:
        """The stream that was set; None follows ``sys.stdout``."""
        return self.sink.own_stream

    @property
    def max_line_bytes(self) -> int:
        """The bytes that a line may have, its newline included; 0 for no limit."""
        return self.sink.max_line_bytes

    @property
    def written(self) -> int:
        """The number of lines that were written."""
        return self.sink.written

    @property
    def lost(self) -> int:
        """The number of lines that were lost, by the queue or by the sink."""
        return self.sink.lost

    @property
    def dropped(self) -> Mapping[str, int]:
        """The lost lines by cause."""
        return self.sink.dropped

    @property
    def degraded(self) -> int:
        """The number of lines of this process that could not keep all of their record."""
        return self.sink.degraded

    @property
    def unlocked(self) -> int:
        """The number of lines of this process that were written without their pipe's lock."""
        return self.sink.unlocked

    @property
    def waiting_bytes(self) -> int:
        """The number of bytes that wait to be written."""
        return max(0, self._bytes)

    def lose(self, error: Exception | str, line: bytes = b"") -> None:
        """Count one line that could not be written."""
        self.sink.lose(error, line)

    def reopen(self) -> None:
        """Open the file again before the next line, if the stream is a path."""
        self.sink.reopen()

    def write(self, line: bytes) -> bool:
        """Queue one line. Raises no ``Exception``.

        Args:
            line: The line, its newline included.

        Returns:
            Whether the line is queued or written; False if it is lost.
        """
        size = len(line) + LINE_OVERHEAD
        if self._bytes + size > self._half_bytes:
            limit = self.sink.max_line_bytes
            if 0 < limit < len(line):
                # Now and not in the sink, so that it takes less room in the queue.
                line = cut(line, limit)
                size = len(line) + LINE_OVERHEAD
            if not self._has_room(line, size):
                return False
        if self._must_check_lines and (self._is_closed or self._is_writing_thread()):
            return self._write_directly(line)
        self._lines.append(line)
        self._bytes += size
        if self._is_idle:
            self._wake()
        return True

    def flush(self, timeout: float = _FLUSH_S) -> bool:
        """Wait until the lines that are queued now are written.

        Args:
            timeout: The longest wait, in seconds.

        Returns:
            Whether they are written.
        """
        until = _monotonic() + timeout
        if self._is_writing_thread():
            # A stream that flushes its handler: this thread cannot wait for itself.
            self._write_batches()
            return not self._lines
        # Other threads may add lines for ever.
        last = self._lines_done.count + len(self._in_progress) + len(self._lines)
        pauses = _pauses()
        while (self._lines or self._in_progress) and self._lines_done.count < last:
            self._notify()
            if not self._has_thread():
                self._write_batches()
                if not (self._lines or self._in_progress):
                    break
            if _monotonic() >= until:
                return False
            if self._has_thread():
                time.sleep(next(pauses))
        self.sink.flush()
        return True

    def close(self, timeout: float = _FLUSH_S) -> None:
        """Write the queued lines and end the thread. Later lines are written directly.

        Args:
            timeout: Seconds after which lines that still wait are lost, and counted.
        """
        until = _monotonic() + timeout
        is_flushed = self.write_at_once(timeout)
        pauses = _pauses()
        while not self._is_writing_thread() and self._has_thread() and _monotonic() < until:
            time.sleep(next(pauses))
        # Lines that came meanwhile, or could not be written in time.
        while self._lines:
            try:
                line = self._lines.popleft()
            except IndexError:
                break
            self._bytes -= size_of(line)
            self._lines_done.add()
            if is_flushed:
                self._write_directly(line)
            else:
                self.sink.lose("closed before it was written", line)

    def write_at_once(self, timeout: float = _FLUSH_S) -> bool:
        """Write the queued lines. Later ones are written directly, since the process may end.

        Args:
            timeout: Seconds after which the thread writes the rest while later lines are written.

        Returns:
            Whether the queued lines are written.
        """
        until = _monotonic() + timeout
        is_flushed = self.flush(timeout)
        self._is_closed = self._must_check_lines = True
        self._notify()
        # Once more: other threads may have queued lines since the first call has ended.
        return is_flushed and self.flush(max(0.0, until - _monotonic()))

    def end_thread_when_empty(self) -> None:
        """End the thread once the queue is empty; the next line starts another."""
        self._ends_when_empty = True
        self._release_alarm()

    def reset_after_fork(self, *, had_threads: bool = False) -> None:  # noqa: ARG002
        """Empty the queue in the child of a fork: its lines are the parent's."""
        self._reset()

    # -- the thread ---------------------------------------------------------

    def _has_thread(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive()

    def _is_writing_thread(self) -> bool:
        """Return whether the calling thread is the one that writes."""
        thread = self._thread
        return thread is not None and thread.is_current()

    def _notify(self) -> None:
        """Wake the thread, if there is one."""
        if not self._has_thread():
            return
        self._is_idle = False
        self._release_alarm()
        if not self._has_thread():
            # It has ended meanwhile, and another caller may have taken it for awake.
            self._is_idle = True
            if self._lines:
                self._wake()

    def _release_alarm(self) -> None:
        # RuntimeError: another thread has released it.
        with contextlib.suppress(RuntimeError):
            self._alarm.release()

    def _wake(self) -> None:
        """Wake the thread, or start one; where none can be started, write the lines."""
        if self.flushes_on_sigterm:
            at_exit.flush_on_sigterm()
        while not self._has_thread():
            if not self._may_start():
                # The caller that starts one looks at the queue once more behind that.
                return
            try:
                self._start_thread()
            finally:
                self._starting.clear()
            if not self._lines:
                return
        self._notify()

    def _may_start(self) -> bool:
        """Return whether this caller starts a thread, and no other one does.

        One that has begun to and does not end was ended by an exception of a signal handler, or
        writes lines because no thread can be started: then another attempt does no harm.
        """
        now = _monotonic()
        since = self._starting.setdefault(0, now)
        if since is not now and now - since < _START_S:
            return False
        self._starting[0] = now
        return True

    def _start_thread(self) -> None:
        if self._has_thread():
            return
        self._ends_when_empty = False
        try:
            # Before the thread runs: it asks whether it is the one that writes.
            self._thread = NativeThread(self._run)
            self._thread.start()
        except RuntimeError:
            # The interpreter is ending, or the system has no room for a thread.
            self._thread = None
            self._write_batches()

    def _run(self) -> None:
        alarm = self._alarm
        self._is_idle = False
        try:
            while True:
                self._write_batches()
                if (
                    (self._is_closed or self._ends_when_empty)
                    and not self._lines
                    and self._end_thread()
                ):
                    return
                if alarm.acquire(timeout=_GATHER_S):
                    continue
                if self._lines:
                    continue
                # A caller that had found no thread may still be writing.
                self._bytes = sum(map(size_of, self._in_progress))
                self._is_idle = True
                # A caller that queued a line just before has woken no thread.
                if not self._lines and not self._ends_when_empty:
                    while not alarm.acquire(timeout=_MAX_SLEEP_S) and not self._lines:
                        pass
                    alarm.acquire(timeout=_GATHER_S)
                self._is_idle = False
        finally:
            self._is_idle = True

    def _end_thread(self) -> bool:
        """Detach this thread from the queue; return False if it has to go on instead of ending."""
        thread, self._thread = self._thread, None
        self._is_idle = True
        # A caller that queued a line just before has started no thread.
        if not self._lines or not self._may_start():
            return True
        try:
            if self._has_thread():
                return True
            self._thread, self._is_idle = thread, False
            return False
        finally:
            self._starting.clear()

    def _write_batches(self) -> None:
        while self._lines:
            batch: list[bytes] = []
            taken: list[Any] = []
            try:
                try:
                    self._take_batch(batch)
                    self._busy_since = _monotonic()
                    self._check_lines(self.sink.may_echo())
                    self.sink.write_lines(batch, taken)
                except Exception as error:
                    note(f"the queue's thread goes on after {type_name(type(error))}: {error}")
                    for line in [] if taken else batch:
                        self.sink.lose(error, line)
                except BaseException:
                    # A signal handler of the caller: a thread of the queue runs none.
                    if not taken:
                        self._lines.extendleft(reversed(batch))
                        batch.clear()
                    raise
                finally:
                    # Also if a BaseException ends the thread: no caller waits for these lines.
                    self._end_batch(batch)
            finally:
                # Again: a signal handler may have raised in the call above, or on the way to it,
                # and a flush waits for this.
                self._in_progress = []

    def _check_lines(self, must_check: bool) -> None:
        """Set whether calls ask if a line may be queued; once the queue is closed, they do."""
        self._must_check_lines = must_check
        if self._is_closed:
            # Not before: another thread may close the queue between the two statements.
            self._must_check_lines = True

    def _end_batch(self, batch: list[bytes]) -> None:
        self._in_progress = []
        self._check_lines(False)
        self._busy_since = float("inf")
        self._lines_done.add(len(batch))
        self._bytes -= sum(map(size_of, batch))
        now = _monotonic()
        if now >= self._recount_at:
            self._recount_at = now + _RECOUNT_EVERY_S
            self._count_bytes()

    def _count_bytes(self) -> None:
        self._bytes = sum(map(size_of, [*self._in_progress, *snapshot(self._lines)]))

    def _take_batch(self, batch: list[bytes]) -> None:
        """Move the first lines of the queue to the end of a list, unless they are being dropped."""
        lines = self._lines
        try:
            self._dropper.hold(self._count_dropped)
            self._in_progress = batch
            room = _BATCH_BYTES
            while room > 0 and len(batch) < _BATCH_LINES:
                # In one C call, so that no exception comes between the two lists.
                batch.extend(map(_popleft, repeat(lines, _TAKEN_AT_ONCE)))
                room -= sum(map(len, batch[-_TAKEN_AT_ONCE:]))
        except IndexError:
            pass
        finally:
            self._dropper.release()

    def _write_directly(self, line: bytes) -> bool:
        if self._is_writing_thread():
            # The stream has logged the line that it is given: the sink recognises that.
            return self.sink.write(line)
        if _monotonic() - self._busy_since > _STALLED_S:
            # The thread waits for a reader that has stopped; so would this write.
            self.sink.lose("closed before it was written", line)
            return False
        return self.sink.write(line)

    # -- a full queue -------------------------------------------------------

    def _has_room(self, line: bytes, size: int) -> bool:
        """Apply the policy; return whether the line may be queued."""
        if self._is_closed:
            return True
        self._wake()
        if _monotonic() - self._busy_since < _STALLED_S:
            # The thread makes progress: yield the interpreter to it.
            time.sleep(_YIELD_S)
        if self._bytes + size <= self._max_bytes:
            return True
        if self._policy == "block":
            return self._wait_for_room(line, size)
        is_severe = is_error(line)
        if (self._policy == "drop_oldest" or is_severe) and self._make_room(size, is_severe):
            return True
        self.sink.lose("queue full", line)
        return False

    def _wait_for_room(self, line: bytes, size: int) -> bool:
        if self._is_writing_thread():
            self.sink.lose("queue full", line)
            return False
        while self._bytes + size > self._max_bytes and self._lines and not self._is_closed:
            time.sleep(POLL_S)
            if not self._has_thread():
                self._wake()
        return True

    def _make_room(self, size: int, is_severe: bool) -> bool:
        """Drop lines for another one, below ERROR first; return whether there is room for it."""
        wanted = max(size, min(self._max_bytes // 16, _MAX_DROPPED_BYTES))
        if self._drop(size, wanted, with_errors=False):
            return True
        may_drop_errors = is_severe and self._policy == "drop_oldest"
        return may_drop_errors and self._drop(size, size, with_errors=True)

    def _drop(self, size: int, wanted: int, *, with_errors: bool) -> bool:
        """Drop lines, or wait while another call does; return whether there is room for a line."""
        for _ in range(_DROP_POLLS):
            freed = self._dropper.drop(wanted, self._count_dropped, with_errors=with_errors)
            if freed is None:
                time.sleep(POLL_S)
            elif self._bytes + size > self._max_bytes and (freed >= size or not self._lines):
                # The number has drifted, or other callers have taken the room.
                self._count_bytes()
            if self._bytes + size <= self._max_bytes:
                return True
            if freed is not None and freed < size:
                return False
        return False

    def _count_dropped(self, line: bytes) -> None:
        self.sink.lose("queue full", line)
        self._bytes -= size_of(line)
        self._lines_done.add()


def _pauses() -> Iterator[float]:
    """Return the seconds of the pauses of one wait, the first ones short: few waits are long."""
    return chain((POLL_S / 10, POLL_S / 5, POLL_S / 2), repeat(POLL_S))


class MozlogQueueHandler(MozlogHandler):
    """Writes each record as one line, in a thread of its own.

    ``flush(timeout)`` and ``close()`` take bounded time. After ``close()``, and if no thread
    can be started, lines are written directly.

    Args:
        stream: As for ``MozlogHandler``.
        name: As for ``MozlogHandler``.
        max_bytes: The bytes that all waiting lines may have.
        policy: What to do if the queue is full, as for ``LineQueue``; the default never blocks.
        max_line_bytes: As for ``MozlogHandler``.
        timeout: As for ``MozlogHandler``.
        flush_on_sigterm: Whether to write the queue when SIGTERM comes, before the application's
            handler if it has one. Later lines are then written at once.
    """

    def __init__(
        self,
        stream: Stream | None = None,
        name: str = "Dockerflow",
        *,
        max_bytes: int = MAX_QUEUE_BYTES,
        policy: Policy = "drop_oldest",
        max_line_bytes: int = MAX_LINE_BYTES,
        timeout: float | None = None,
        flush_on_sigterm: bool = True,
    ) -> None:
        # Before the handler opens its stream, so that an invalid option leaves no open file.
        check_queue_options(
            {"max_bytes": max_bytes, "policy": policy, "flush_on_sigterm": flush_on_sigterm}
        )
        super().__init__(stream, name, max_line_bytes=max_line_bytes, timeout=timeout)
        self.sink: Any = LineQueue(self.sink, max_bytes=max_bytes, policy=policy)
        self.sink.flushes_on_sigterm = flush_on_sigterm
        if flush_on_sigterm:
            at_exit.flush_on_sigterm()

    def flush(self, timeout: float = _FLUSH_S) -> bool:  # type: ignore[override]
        """Wait until the queued lines are written.

        Args:
            timeout: The longest wait, in seconds.

        Returns:
            Whether they are written.
        """
        return bool(at_exit.within_exit(self.sink.flush, timeout))

    def close(self) -> None:
        """Write the queued lines in bounded time. Later records are written directly.

        ``logging.config.dictConfig`` and ``logging.shutdown`` close all handlers, also those
        that loggers still have. Such a call ends the thread, and the next record starts another.
        """
        if at_exit.is_called_by_shutdown() and not at_exit.is_over():
            self.sink.end_thread_when_empty()
        else:
            at_exit.within_exit(self.sink.close, _FLUSH_S)
        super().close()
