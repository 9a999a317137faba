"""Async checks where greenlets replace threads (gevent, eventlet).

There a "thread" is a greenlet. An event loop that runs in a greenlet counts as running in
the one real thread that all greenlets share, so that no other loop can start in it. So the
loops of checks run in real threads. A patched lock or event must not be waited for across
real threads: the greenlet polls plain attributes instead.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from .check_result import CheckResult
from .check_run import CheckRun
from .event_loops import EventLoopPool, LoopThread
from .green_backend import Backend

__all__ = ["GreenLoops"]

#: Seconds between two polls of a run: the first pause, and the longest.
_FIRST_PAUSE_S: Final = 0.001
_LONGEST_PAUSE_S: Final = 0.05

_STARTS_WITHIN_S: Final = 5.0


class GreenLoops:
    """Event loops in real threads, for callers in greenlets.

    Args:
        backend: The library that has replaced threads.
    """

    def __init__(self, backend: Backend) -> None:
        self._sleep = backend.sleep
        self._loops = EventLoopPool(lambda number: _RealLoopThread(number, backend))
        self.restart_held_up = self._loops.restart_held_up

    def run(self, check_run: CheckRun) -> None:
        """Run an async check on a loop in a real thread, and wait in this greenlet for its end.

        Raises:
            RuntimeError: No thread can be started.
            OSError: The system has no descriptor left for the loop.
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
            # In this thread, because parts of a loop may belong to the thread that makes them.
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
    """A run in another real thread: it acquires no lock, logs nothing and wakes no waiter."""

    def __init__(self, check_run: CheckRun) -> None:
        super().__init__(*check_run.arguments())
        self.deadline, self.timeout = check_run.deadline, check_run.timeout
        self.result: CheckResult | None = None

    def set_outcome(self, outcome: CheckResult) -> bool:
        """Keep the outcome for the greenlet that polls; return False if there is one already."""
        is_first = self.claim_outcome()
        if is_first:
            self.result = outcome
        return is_first

    def end(self, outcome: CheckResult | None) -> None:
        """Note that the check has stopped running; ``outcome`` is None if it was cancelled."""
        if outcome is not None:
            self.set_outcome(outcome)
        self.has_ended = True

    def time_out(self) -> None:
        """Do nothing: the greenlet's own run times out, and cancels this one."""
