"""Async checks where greenlets take the place of threads (gevent, eventlet).

There a "thread" is a greenlet, and an event loop that runs in one counts as
running in the one real thread that all greenlets share: whatever starts a loop
of its own there fails from then on. So the loops of checks run in real threads.
Locks and events that are patched must not be waited for across real threads;
a greenlet looks at plain attributes instead, now and then.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from .check_result import CheckResult
from .event_loops import EventLoopPool, LoopThread
from .green_backend import Backend
from .single_flight import CheckRun

__all__ = ["GreenLoops"]

#: Seconds between two looks at a check, first and at most.
_FIRST_PAUSE_S: Final = 0.001
_LONGEST_PAUSE_S: Final = 0.05

_STARTS_WITHIN_S: Final = 5.0


class GreenLoops:
    """Event loops in real threads, for callers in greenlets; used as ``EventLoopPool`` is."""

    def __init__(self, backend: Backend) -> None:
        self._sleep = backend.sleep
        self._loops = EventLoopPool(lambda number: _RealLoopThread(number, backend))
        self.restart_held_up = self._loops.restart_held_up

    def run(self, check_run: CheckRun) -> None:
        """Run an async check on a loop, and wait for its end in this greenlet; never raises.

        Raises:
            RuntimeError, OSError: no thread can be started.
        """
        if check_run.outcome_set_at is not None:
            check_run.end(None)
            return
        remote = _Remote(check_run)

        def stop() -> None:
            if remote.stop is not None:
                remote.stop()

        check_run.stop = stop
        self._loops.start(remote)
        pause = _FIRST_PAUSE_S
        try:
            while not remote.has_ended and not remote.is_loop_closed:
                if check_run.outcome_set_at is None and time.monotonic() >= check_run.deadline:
                    check_run.time_out()
                self._sleep(pause)
                pause = min(pause * 1.5, _LONGEST_PAUSE_S)
        finally:
            self._loops.discard(remote)
            check_run.end(remote.result)


class _RealLoopThread(LoopThread):
    def __init__(self, number: int, backend: Backend) -> None:
        self._backend = backend
        super().__init__(number)

    def _start(self, name: str) -> None:  # noqa: ARG002 - real threads have no names
        made: list[asyncio.AbstractEventLoop] = []

        def serve() -> None:
            # Made here: what a loop is made of may belong to the thread that makes it.
            self.loop = asyncio.new_event_loop()
            made.append(self.loop)
            self._serve()

        self._backend.start_thread(serve, ())
        until = time.monotonic() + _STARTS_WITHIN_S
        while not made:
            if time.monotonic() > until:
                raise RuntimeError("the thread of an event loop for checks does not start")
            self._backend.sleep(_FIRST_PAUSE_S)


class _Remote(CheckRun):
    """A run in another real thread: it takes no lock, logs nothing and wakes no waiter."""

    def __init__(self, check_run: CheckRun) -> None:
        super().__init__(*check_run.arguments())
        self.deadline, self.timeout = check_run.deadline, check_run.timeout
        self.result: CheckResult | None = None

    def set_outcome(self, outcome: CheckResult) -> bool:
        """Keep the outcome for the greenlet that looks for it."""
        try:
            self._outcome_unset.pop()
        except IndexError:
            return False
        self.outcome_set_at = time.monotonic()
        self.result = outcome
        return True

    def end(self, outcome: CheckResult | None) -> None:
        """Note that the check runs no more; None for one that was stopped."""
        if outcome is not None:
            self.set_outcome(outcome)
        self.has_ended = True

    def time_out(self) -> None:
        """Leave it to the greenlet's own run, which stops this one."""
