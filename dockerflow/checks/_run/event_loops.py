"""Event loops for async checks: the caller's, or one in a thread of this package.

A client of a database belongs to the event loop of its first use. So the async checks of
a service without a loop share one loop for good. If one of them blocks it, the others are
started again on another loop, but late enough that a busy machine is not mistaken for this.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import math
import threading
import time
from collections.abc import Callable
from contextvars import Context

from mozlog_py._process.interpreters import end_with_interpreter

from .check_result import CheckResult, raised
from .check_run import CheckRun
from .daemon_thread import start_daemon

__all__ = ["EventLoopPool", "LoopThread", "begin"]

#: Seconds for cancelled checks to end when their loop does, in a subinterpreter.
_CANCEL_S = 1.0


def begin(check_run: CheckRun) -> None:
    """Start an async check on the running loop, in place of an earlier attempt if any."""
    loop = asyncio.get_running_loop()
    attempt = check_run.attempt = object()
    check_run.loop = loop
    # Without the request's context: an idle loop keeps the timer that was cancelled last.
    left = max(0.0, check_run.deadline - time.monotonic())
    timer = loop.call_later(left, check_run.time_out, context=Context())
    task: asyncio.Task[None] = check_run.enter(loop.create_task, _run(check_run, attempt))

    def stop() -> None:
        try:
            loop.call_soon_threadsafe(task.cancel)
        except RuntimeError:
            # The loop is closed, and the task with it.
            pass

    def ended(_task: asyncio.Task[None]) -> None:
        timer.cancel()
        if check_run.attempt is attempt:
            # The task was cancelled before its first step, so that its code never ran.
            check_run.end(None)

    check_run.stop, check_run.task = stop, task
    task.add_done_callback(ended)


async def _run(check_run: CheckRun, attempt: object) -> None:
    interrupt: BaseException | None = None
    outcome: CheckResult | None = None
    try:
        with check_run.surroundings():
            returned = check_run.call()
            if inspect.isawaitable(returned):
                returned = await returned
            outcome = check_run.read(returned)
    except asyncio.CancelledError as error:
        interrupt = error
    except BaseException as error:
        outcome = raised(error, check_run.hint)
        # In the main thread this may be a Ctrl-C that has interrupted the check.
        is_main = threading.current_thread() is threading.main_thread()
        interrupt = error if is_main and isinstance(error, KeyboardInterrupt) else None
    if check_run.attempt is attempt:
        check_run.end(outcome)
    if interrupt is not None:
        raise interrupt


class LoopThread:
    """An event loop that runs in a daemon thread for good; in a subinterpreter, until that ends.

    Args:
        number: The number in the thread's name.

    Raises:
        RuntimeError: The thread or the loop cannot be started.
        OSError: The system has no descriptor left for the loop.
    """

    loop: asyncio.AbstractEventLoop

    def __init__(self, number: int) -> None:
        self.is_blocked = False
        self._is_ending = False
        self._start(f"dockerflow-check-loop-{number}")

    def _start(self, name: str) -> None:
        # Without the request's context: the loop's own reader keeps it for good.
        self.loop = Context().run(asyncio.new_event_loop)
        end_with_interpreter(self)
        try:
            start_daemon(self._serve, name=name)
        except BaseException:
            self.loop.close()
            raise

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        while not self._is_ending:
            try:
                self.loop.run_forever()
            except BaseException as error:
                # A background task of a check has raised SystemExit.
                del error
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=_CANCEL_S))
        self.loop.close()

    def end_threads(self) -> None:
        """End the thread after the callback that runs now."""
        self._is_ending = True
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self.loop.stop)

    def probe(self) -> None:
        """Mark the loop as blocked until it runs a callback."""
        if not self.is_blocked:
            self.is_blocked = True
            self.loop.call_soon_threadsafe(self._answer_probe)

    def _answer_probe(self) -> None:
        self.is_blocked = False


class EventLoopPool:
    """Event loops in threads: one, and further ones while it is blocked.

    Args:
        make_thread: Makes a loop and its thread, from its number.
    """

    def __init__(self, make_thread: Callable[[int], LoopThread] = LoopThread) -> None:
        self._make_thread = make_thread
        self._lock = threading.Lock()
        self._threads: list[LoopThread] = []
        self._thread_of: dict[CheckRun, LoopThread] = {}
        self._restarted: set[CheckRun] = set()

    def start(self, check_run: CheckRun) -> None:
        """Start an async check on the shared loop.

        Raises:
            RuntimeError: No loop can be made.
            OSError: The system has no descriptor left for the loop.
        """
        check_run.outcome.add_done_callback(lambda _: self.discard(check_run))
        with self._lock:
            free = (each for each in self._threads if not each.is_blocked)
            thread = next(free, None) or self._new_thread()
            self._thread_of[check_run] = thread
        thread.loop.call_soon_threadsafe(self._begin, check_run, thread)

    def restart_held_up(self) -> float:
        """Start checks again whose loop is blocked by another check.

        A loop is probed after half of a check's time. It counts as blocked if it has not
        run the probe after a further tenth.

        Returns:
            Seconds until the next call may have work; infinity if it cannot.
        """
        now = time.monotonic()
        later = [math.inf]
        with self._lock:
            for check_run, thread in list(self._thread_of.items()):
                asked_at = check_run.deadline - 0.5 * check_run.timeout
                moved_at = check_run.deadline - 0.4 * check_run.timeout
                if now < moved_at:
                    if now >= asked_at:
                        thread.probe()
                    later.append((asked_at if now < asked_at else moved_at) - now)
                elif (
                    check_run not in self._restarted
                    and thread.is_blocked
                    and not _is_running(check_run, thread)
                ):
                    self._restart(check_run)
        return min(later)

    def _restart(self, check_run: CheckRun) -> None:
        # On a loop of its own: the check that blocks loops may be this one.
        used = set(self._thread_of.values())
        free = (each for each in self._threads if not each.is_blocked and each not in used)
        try:
            thread = next(free, None) or self._new_thread()
        except (OSError, RuntimeError):
            # It stays on its loop for the rest of its time.
            return
        stop, check_run.attempt = check_run.stop, None
        if stop is not None:
            stop()
        self._restarted.add(check_run)
        self._thread_of[check_run] = thread
        thread.loop.call_soon_threadsafe(self._begin, check_run, thread)

    def _new_thread(self) -> LoopThread:
        thread = self._make_thread(len(self._threads) + 1)
        self._threads.append(thread)
        return thread

    def _begin(self, check_run: CheckRun, thread: LoopThread) -> None:
        if check_run.outcome_set_at is not None:
            check_run.end(None)
        elif self._thread_of.get(check_run) is thread:
            begin(check_run)

    def discard(self, check_run: CheckRun) -> None:
        """Remove a run that is over."""
        with self._lock:
            self._thread_of.pop(check_run, None)
            self._restarted.discard(check_run)


def _is_running(check_run: CheckRun, thread: LoopThread) -> bool:
    """Return whether the loop of a run executes this run's task now."""
    return check_run.task is not None and asyncio.current_task(thread.loop) is check_run.task
