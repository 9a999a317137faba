"""MozlogQueueHandler: the same lines, written by a thread of their own.

The line is made where the record is logged, with its context, and goes into a
queue with a bound in bytes; a thread writes what is there in few writes. What a
full queue does is a choice, and what it costs is counted and said. The queue
has a sink's methods, so that structlog's loggers write through it as well.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping
from types import FrameType
from typing import Any, Final

from mozlog_py._config.options import OptionError, check_names, check_number, check_switch, shown
from mozlog_py._line.truncate import MAX_LINE_BYTES, cut
from mozlog_py._process import after_fork
from mozlog_py._process.self_log import note
from mozlog_py._process.unpatched import NativeThread, allocate_lock
from mozlog_py._sink.loss_counter import severity_in
from mozlog_py._values.sanitiser import type_name

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

#: What a full queue may do.
POLICIES: Final = ("block", "drop_newest", "drop_oldest")
#: Bytes; the bound of a queue that is given none.
MAX_QUEUE_BYTES: Final = 8 * 1024 * 1024

# What a line takes beside its own bytes: the object, and its place in the queue.
_OVERHEAD: Final = 64
_ERROR: Final = 3
_BATCH_LINES: Final = 4096
_BATCH_BYTES: Final = 262_144
#: Seconds. How long the thread lets lines gather; the longest it sleeps; a nap.
_GATHER_S: Final = 0.005
_SLEEP_S: Final = 1.0
_NAP_S: Final = 0.001
#: Seconds for which a caller makes way for the thread when the queue is half full,
#: and after how long of no progress it is no use.
_MAKE_WAY_S: Final = 0.0001
_STALLED_S: Final = 0.05
_FLUSH_S: Final = 5.0
_SIGTERM_S: Final = 2.0

_monotonic: Final = time.monotonic
_queues: Final[weakref.WeakSet[LineQueue]] = weakref.WeakSet()


#: The options of a ``MozlogQueueHandler`` beside its stream and name.
_OPTIONS: Final = ("flush_on_sigterm", "max_bytes", "max_line_bytes", "policy", "timeout")


def check_queue_options(options: Mapping[Any, Any]) -> None:
    """Raise ``OptionError`` for an option of a queue that is not known, or cannot be met."""
    check_names("queue", options, _OPTIONS)
    policy = options.get("policy", POLICIES[0])
    if policy not in POLICIES:
        raise OptionError(f"policy is {shown(policy)}; the known ones are {', '.join(POLICIES)}")
    if "max_bytes" in options:
        allowed = f"a number of bytes such as {MAX_QUEUE_BYTES}, 1 or more"
        check_number("max_bytes", options["max_bytes"], least=1, allowed=allowed, whole=True)
    check_switch("flush_on_sigterm", options.get("flush_on_sigterm", True))


class LineQueue:
    """Takes whole lines at once, and has a thread write them to a sink.

    ``max_bytes``: of all lines that wait. ``policy``: ``block`` waits for room;
    ``drop_newest`` loses the new line, ``drop_oldest`` the oldest ones. Lines of
    ERROR and above are lost last. What is lost is counted by the sink as ``queue
    full``. Raises ``OptionError`` for an invalid policy or bound.
    """

    def __init__(
        self, sink: Sink, *, max_bytes: int = MAX_QUEUE_BYTES, policy: Policy = "drop_oldest"
    ) -> None:
        check_queue_options({"max_bytes": max_bytes, "policy": policy})
        #: What the lines are written to in the end.
        self.sink: Final = sink
        self._max_bytes = max_bytes
        self._half_bytes = max_bytes // 2
        self._policy = policy
        self._lines: deque[bytes] = deque()
        self._is_closed = False
        #: Each line has to be looked at before it is queued: the queue is closed, or its
        #: thread writes to a stream that may log what is written to it.
        self._is_special = False
        self._forget()
        after_fork.register(self)
        _flush_at_exit()
        _queues.add(self)

    def _forget(self) -> None:
        self._lines.clear()
        # Changed with += by all threads, which is a whole step for the
        # interpreter; and set right whenever the queue is empty.
        self._bytes = 0
        self._taken = 0
        self._gone = 0
        self._busy_since = float("inf")
        self._in_hand: list[bytes] = []
        self._barren_at = -1
        self._thread: NativeThread | None = None
        #: The thread ends when there is nothing left to write; the next line has another.
        self._is_resting = False
        #: Nobody looks at the queue unless woken.
        self._is_idle = True
        # None of gevent's, which the thread cannot wait for: it is no greenlet.
        self._starting = allocate_lock()
        self._sorting = allocate_lock()
        self._alarm = allocate_lock()
        self._alarm.acquire()

    # -- a sink's -----------------------------------------------------------

    @property
    def stream(self) -> Any:
        """Where lines go in the end."""
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
        """What a line may take, its newline included; 0 for no limit."""
        return self.sink.max_line_bytes

    @property
    def written(self) -> int:
        """How many lines were written."""
        return self.sink.written

    @property
    def lost(self) -> int:
        """How many lines were lost, in the queue or behind it."""
        return self.sink.lost

    @property
    def dropped(self) -> Mapping[str, int]:
        """The same by cause."""
        return self.sink.dropped

    @property
    def degraded(self) -> int:
        """How many lines of this process could not keep all of their record."""
        return self.sink.degraded

    @property
    def unlocked(self) -> int:
        """How many lines of this process were written without their pipe's lock."""
        return self.sink.unlocked

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait to be written."""
        return max(0, self._bytes)

    def lose(self, error: Exception | str, line: bytes = b"") -> None:
        """Count one line that could not be written."""
        self.sink.lose(error, line)

    def reopen(self) -> None:
        """Open the path anew, where the stream is one; before the next line."""
        self.sink.reopen()

    def write(self, line: bytes) -> bool:
        """Take one line, its newline included; False where it is lost. Raises no ``Exception``."""
        size = len(line) + _OVERHEAD
        if self._bytes + size > self._half_bytes:
            limit = self.sink.max_line_bytes
            if 0 < limit < len(line):
                # What it loses in the end must not take the place of other lines until then.
                line = cut(line, limit)
                size = len(line) + _OVERHEAD
            if not self._has_room(line, size):
                return False
        if self._is_special and (self._is_closed or self._is_writing_here()):
            return self._write_directly(line)
        self._lines.append(line)
        self._bytes += size
        if self._is_idle:
            self._wake()
        return True

    def flush(self, timeout: float = _FLUSH_S) -> bool:
        """Have everything written that is here now; False where that takes over ``timeout`` s."""
        until = _monotonic() + timeout
        if self._is_writing_here():
            self._write_batches()
        # Others may go on adding to it for ever.
        last = self._gone + len(self._in_hand) + len(self._lines)
        while (self._lines or self._in_hand) and self._gone < last:
            self._ring()
            if not self._is_served():
                self._write_batches()
            if _monotonic() >= until:
                return False
            if self._is_served():
                time.sleep(_NAP_S)
        self.sink.flush()
        return True

    def close(self, timeout: float = _FLUSH_S) -> None:
        """Write what is here, within ``timeout`` seconds; later lines are written directly."""
        until = _monotonic() + timeout
        is_flushed = self.flush(timeout)
        self._is_closed = self._is_special = True
        if not self._is_writing_here():
            self._ring()
            while self._is_served() and _monotonic() < until:
                time.sleep(_NAP_S)
        # What came in between, or could not be written in time.
        while self._lines:
            try:
                line = self._lines.popleft()
            except IndexError:
                break
            self._bytes -= len(line) + _OVERHEAD
            self._gone += 1
            if is_flushed:
                self._write_directly(line)
            else:
                self.sink.lose("closed before it was written", line)

    def rest(self) -> None:
        """Have the thread end once everything is written; the next line starts another."""
        self._is_resting = True
        self._sound()

    def reset_after_fork(self, *, had_threads: bool = False) -> None:  # noqa: ARG002
        """Begin with an empty queue in the child of a fork: its lines are the parent's."""
        self._forget()

    # -- the thread ---------------------------------------------------------

    def _is_served(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive()

    def _is_writing_here(self) -> bool:
        """Return whether the caller runs in the thread that writes."""
        thread = self._thread
        return thread is not None and thread.is_current()

    def _ring(self) -> None:
        self._is_idle = False
        self._sound()

    def _sound(self) -> None:
        try:
            self._alarm.release()
        except RuntimeError:
            # Somebody else has.
            pass

    def _wake(self) -> None:
        """Have the thread look at the queue; make one where there is none."""
        self._ring()
        if self._is_served() or not self._starting.acquire(blocking=False):
            return
        try:
            if not self._is_served():
                self._is_resting = False
                self._thread = NativeThread(self._serve)
        except RuntimeError:
            # There can be no thread any more, or not yet again.
            self._thread = None
            self._is_idle = True
            self._write_batches()
        finally:
            self._starting.release()

    def _serve(self) -> None:
        alarm = self._alarm
        try:
            while True:
                self._write_batches()
                if (self._is_closed or self._is_resting) and not self._lines and self._leave():
                    return
                if alarm.acquire(timeout=_GATHER_S):
                    continue
                if self._lines:
                    continue
                self._bytes = sum(map(len, self._in_hand))
                self._is_idle = True
                # A line may have come since, by somebody who saw it was not idle.
                if not self._lines and not self._is_resting:
                    while not alarm.acquire(timeout=_SLEEP_S) and not self._lines:
                        pass
                    alarm.acquire(timeout=_GATHER_S)
                self._is_idle = False
        finally:
            self._is_idle = True

    def _leave(self) -> bool:
        """Leave the queue to the next thread; return False if there is something to write."""
        thread, self._thread = self._thread, None
        self._is_idle = True
        # A line may have come since, by a caller who saw that the queue was served.
        if not self._lines or not self._starting.acquire(blocking=False):
            return True
        try:
            if self._is_served():
                return True
            self._thread, self._is_idle = thread, False
            return False
        finally:
            self._starting.release()

    def _write_batches(self) -> None:
        while self._lines:
            batch = self._take()
            self._busy_since = _monotonic()
            try:
                self._is_special = self._is_closed or self.sink.may_echo()
                self.sink.write_lines(batch)
            except Exception as error:
                note(f"the queue's thread goes on after {type_name(type(error))}: {error}")
            finally:
                # Also where the thread is made to end: no caller waits for these lines.
                self._is_special = self._is_closed
                self._busy_since = float("inf")
                self._in_hand = []
                self._gone += len(batch)
                self._bytes -= sum(map(len, batch)) + _OVERHEAD * len(batch)

    def _take(self) -> list[bytes]:
        lines = self._lines
        batch: list[bytes] = []
        # Only for as long as somebody picks out what to lose; and not for ever,
        # should whoever did that have been interrupted.
        is_locked = self._sorting.acquire(timeout=_NAP_S * 100)
        try:
            self._in_hand = batch
            room = _BATCH_BYTES
            while room > 0 and len(batch) < _BATCH_LINES:
                batch.append(lines.popleft())
                room -= len(batch[-1])
        except IndexError:
            pass
        finally:
            self._taken += 1
            if is_locked:
                self._sorting.release()
        return batch

    def _write_directly(self, line: bytes) -> bool:
        if self._is_writing_here():
            # From within a write: the sink knows whether the stream logs what it is given.
            return self.sink.write(line)
        if _monotonic() - self._busy_since > _STALLED_S:
            # The thread is still held up by a reader that has stopped.
            self.sink.lose("closed before it was written", line)
            return False
        return self.sink.write(line)

    # -- a full queue -------------------------------------------------------

    def _has_room(self, line: bytes, size: int) -> bool:
        """Do as the policy says; tell whether there is room for the line now."""
        if self._is_closed:
            return True
        self._wake()
        if _monotonic() - self._busy_since < _STALLED_S:
            # It writes, and only needs the interpreter to itself for a moment.
            time.sleep(_MAKE_WAY_S)
        if self._bytes + size <= self._max_bytes:
            return True
        if self._policy == "block":
            return self._wait_for_room(line, size)
        severity = severity_in(line)
        is_error = severity is not None and severity <= _ERROR
        if self._policy == "drop_oldest" or is_error:
            self._make_room(size, is_error=is_error)
        if self._bytes + size <= self._max_bytes:
            return True
        self.sink.lose("queue full", line)
        return False

    def _wait_for_room(self, line: bytes, size: int) -> bool:
        if self._is_writing_here():
            self.sink.lose("queue full", line)
            return False
        while self._bytes + size > self._max_bytes and self._lines and not self._is_closed:
            time.sleep(_NAP_S)
            if not self._is_served():
                self._wake()
        return True

    def _make_room(self, size: int, *, is_error: bool) -> None:
        """Lose lines below ERROR, and others only for one of their own kind."""
        wanted = max(size, self._max_bytes // 16)
        if self._barren_at != self._taken:
            if self._lose_waiting(wanted, with_errors=False) >= size:
                return
            self._barren_at = self._taken
        if is_error and self._policy == "drop_oldest":
            self._lose_waiting(size, with_errors=True)

    def _lose_waiting(self, wanted: int, *, with_errors: bool) -> int:
        """Lose up to ``wanted`` bytes of what waits; give how many."""
        if not self._sorting.acquire(blocking=False):
            return 0
        lines, freed = self._lines, 0
        kept: list[bytes] = []
        is_oldest = self._policy == "drop_oldest"
        try:
            while lines and freed < wanted:
                line = lines.popleft() if is_oldest else lines.pop()
                severity = severity_in(line)
                if not with_errors and severity is not None and severity <= _ERROR:
                    kept.append(line)
                    continue
                freed += len(line) + _OVERHEAD
                self._gone += 1
                self.sink.lose("queue full", line)
        except IndexError:
            pass
        finally:
            kept.reverse()
            (lines.extendleft if is_oldest else lines.extend)(kept)
            self._bytes -= freed
            self._sorting.release()
        return freed


class MozlogQueueHandler(MozlogHandler):
    """Writes each record as one line, by a thread of its own.

    ``stream``, ``name``, ``max_line_bytes`` and ``timeout``: as in ``MozlogHandler``.
    ``max_bytes``: of the lines that wait. ``policy``: what a full queue does, as in
    ``LineQueue``; the default never blocks. ``flush_on_sigterm``: where nobody else
    handles SIGTERM, the queue is written before it ends the process.

    ``flush(timeout)`` and ``close()`` take bounded time from anywhere. After
    ``close()``, and where no thread can be started, lines are written directly.
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
        # Before the handler opens its stream: a refused option leaves nothing behind.
        check_queue_options(
            {"max_bytes": max_bytes, "policy": policy, "flush_on_sigterm": flush_on_sigterm}
        )
        super().__init__(stream, name, max_line_bytes=max_line_bytes, timeout=timeout)
        self.sink: Any = LineQueue(self.sink, max_bytes=max_bytes, policy=policy)
        if flush_on_sigterm:
            _flush_on_sigterm()

    def flush(self, timeout: float = _FLUSH_S) -> bool:  # type: ignore[override]
        """Have everything written; False where that takes longer than ``timeout`` seconds."""
        return bool(self.sink.flush(timeout))

    def close(self) -> None:
        """Write what waits, in bounded time; later records are written directly.

        ``logging.config.dictConfig`` and ``logging.shutdown`` close all handlers that there
        are, also those that loggers still have. That ends the thread, and the next record
        starts it again.
        """
        if _is_called_by_shutdown() and not _Exit.is_over:
            self.sink.rest()
        else:
            self.sink.close()
        super().close()


def _is_called_by_shutdown() -> bool:
    # Subclasses may have a close() of their own in between.
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001
    while frame is not None and frame.f_code.co_name == "close":
        frame = frame.f_back
    return (
        frame is not None
        and frame.f_code.co_name == "shutdown"
        and frame.f_globals.get("__name__") == "logging"
    )


class _Exit:
    """Whether the process ends, and no thread would write what is queued."""

    is_prepared = False
    is_over = False


def _flush_at_exit() -> None:
    # The children of multiprocessing end without atexit, but not without this. Elsewhere
    # logging flushes its handlers at exit, but not those that it knows no more.
    if not _Exit.is_prepared:
        _Exit.is_prepared = True
        with contextlib.suppress(AttributeError, RuntimeError):
            threading._register_atexit(_flush_all)  # type: ignore[attr-defined]  # noqa: SLF001
        atexit.register(_close_all)


def _close_all() -> None:
    """Write everything; lines that are logged later are written directly."""
    _Exit.is_over = True
    until = _monotonic() + _FLUSH_S
    for queue in list(_queues):
        queue.close(max(0.0, until - _monotonic()))


def _flush_all(timeout: float = _FLUSH_S) -> None:
    until = _monotonic() + timeout
    for queue in list(_queues):
        queue.flush(max(0.0, until - _monotonic()))


def _flush_on_sigterm() -> None:
    try:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _flush_and_end)
    except ValueError:
        # Not the main thread, which alone may do this.
        pass


def _flush_and_end(number: int, _frame: FrameType | None) -> None:
    _flush_all(_SIGTERM_S)
    # Ends of the signal as it would have without us.
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
