"""Event loops for async checks: that of the caller, or one in a thread of our own.

A client of a database belongs to the loop that it was first used on. So all
async checks of a service without a loop share one, and keep it. Where one of
them blocks it, the others start anew elsewhere, late enough that a busy
machine is no reason.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import threading
import time
from collections.abc import Callable

from .check_result import Outcome, raised
from .single_flight import Flight

__all__ = ["LoopThread", "Loops", "begin"]


def begin(flight: Flight) -> None:
    """Begin an async check on the running loop, in place of an earlier attempt elsewhere."""
    loop = asyncio.get_running_loop()
    attempt = flight.attempt = object()
    flight.loop = loop
    timer = loop.call_later(max(0.0, flight.deadline - time.monotonic()), flight.expire)
    task: asyncio.Task[None] = flight.enter(loop.create_task, _fly(flight, attempt))

    def stop() -> None:
        try:
            loop.call_soon_threadsafe(task.cancel)
        except RuntimeError:
            # The loop is closed, and the task with it.
            pass

    def ended(_task: asyncio.Task[None]) -> None:
        timer.cancel()
        if flight.attempt is attempt:
            # One that was cancelled before its first step has said nothing.
            flight.end(None)

    flight.stop, flight.task = stop, task
    task.add_done_callback(ended)


async def _fly(flight: Flight, attempt: object) -> None:
    interrupt: BaseException | None = None
    outcome: Outcome | None = None
    try:
        with flight.surroundings():
            returned = flight.call()
            if inspect.isawaitable(returned):
                returned = await returned
            outcome = flight.read(returned)
    except asyncio.CancelledError as error:
        interrupt = error
    except BaseException as error:
        outcome = raised(error, flight.hint)
        # In the main thread this may be somebody's Ctrl-C that met the check at work.
        is_main = threading.current_thread() is threading.main_thread()
        interrupt = error if is_main and isinstance(error, KeyboardInterrupt) else None
    if flight.attempt is attempt:
        flight.end(outcome)
    if interrupt is not None:
        raise interrupt


class LoopThread:
    """An event loop that a thread serves for good. Raises what starting a thread raises."""

    loop: asyncio.AbstractEventLoop

    def __init__(self, number: int) -> None:
        self.is_blocked = False
        self._start(f"dockerflow-check-loop-{number}")

    def _start(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        try:
            threading.Thread(target=self._serve, name=name, daemon=True).start()
        except BaseException:
            self.loop.close()
            raise

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        while True:
            try:
                self.loop.run_forever()
            except BaseException as error:
                # A task that a check left behind raised SystemExit.
                del error

    def doubt(self) -> None:
        """Take the loop for blocked until it does something."""
        if not self.is_blocked:
            self.is_blocked = True
            self.loop.call_soon_threadsafe(self._trust)

    def _trust(self) -> None:
        self.is_blocked = False


class Loops:
    """Event loops in threads: one, and others while it is blocked."""

    def __init__(self, make_thread: Callable[[int], LoopThread] = LoopThread) -> None:
        self._make_thread = make_thread
        self._lock = threading.Lock()
        self._threads: list[LoopThread] = []
        self._hosts: dict[Flight, LoopThread] = {}
        self._moved: set[Flight] = set()

    def start(self, flight: Flight) -> None:
        """Have an async check run on the loop that all share.

        Raises ``RuntimeError`` or ``OSError`` where no loop can be made.
        """
        flight.outcome.add_done_callback(lambda _: self.forget(flight))
        with self._lock:
            free = (each for each in self._threads if not each.is_blocked)
            thread = next(free, None) or self._new_thread()
            self._hosts[flight] = thread
        thread.loop.call_soon_threadsafe(self._begin, flight, thread)

    def move_held_up(self) -> float:
        """Start checks anew that another one holds up, by blocking the loop that they are on.

        A loop is asked for a sign of life when half of a check's time is over,
        and is blocked if there is none a tenth later. Gives the seconds until
        there may be something to do, infinity where there is nothing.
        """
        now = time.monotonic()
        later = [math.inf]
        with self._lock:
            for flight, thread in list(self._hosts.items()):
                asked_at = flight.deadline - 0.5 * flight.timeout
                moved_at = flight.deadline - 0.4 * flight.timeout
                if now < moved_at:
                    if now >= asked_at:
                        thread.doubt()
                    later.append((asked_at if now < asked_at else moved_at) - now)
                elif flight not in self._moved and thread.is_blocked and not _is_at(flight, thread):
                    self._move(flight)
        return min(later)

    def _move(self, flight: Flight) -> None:
        # To one that is its own: whoever blocks a loop may be among those that move.
        used = set(self._hosts.values())
        free = (each for each in self._threads if not each.is_blocked and each not in used)
        try:
            thread = next(free, None) or self._new_thread()
        except (OSError, RuntimeError):
            # Then it has the time that is left, where it is.
            return
        stop, flight.attempt = flight.stop, None
        if stop is not None:
            stop()
        self._moved.add(flight)
        self._hosts[flight] = thread
        thread.loop.call_soon_threadsafe(self._begin, flight, thread)

    def _new_thread(self) -> LoopThread:
        thread = self._make_thread(len(self._threads) + 1)
        self._threads.append(thread)
        return thread

    def _begin(self, flight: Flight, thread: LoopThread) -> None:
        if flight.settled_at is not None:
            flight.end(None)
        elif self._hosts.get(flight) is thread:
            begin(flight)

    def forget(self, flight: Flight) -> None:
        """Take a check for over."""
        with self._lock:
            self._hosts.pop(flight, None)
            self._moved.discard(flight)


def _is_at(flight: Flight, thread: LoopThread) -> bool:
    """Tell whether a check is what its loop is busy with."""
    return flight.task is not None and asyncio.current_task(thread.loop) is flight.task
