"""Runs checks at the same time, each within its deadline, for callers that block or await.

Checks that are not coroutine functions run in worker threads. Coroutine functions run on
the event loop of a caller that awaits, because their clients belong to that loop. For a
caller that blocks they run on a loop in a thread of this package. Checks that have to run
in the request run in the caller's thread and context, one after the other, while the
others go on.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from dockerflow._request.cancellation import running_loop
from mozlog_py._process.fork_safe_import import fork_safe_import

from .asyncio_or_trio import waiter
from .check_result import CheckResult, PlainMessage, raised, timed_out
from .check_run import CheckRun, KeptOutcome
from .green_backend import green_backend
from .in_request import await_in_request, call_in_request, log_outcome
from .run_options import MAX_SECONDS, RunOptions
from .signature import Check
from .single_flight import SingleFlight
from .slots import Slots
from .worker_threads import WorkerThreads

if TYPE_CHECKING:
    from .event_loops import EventLoopPool
    from .green import GreenLoops

__all__ = [
    "GRACE_S",
    "BatchResult",
    "last_outcome",
    "run",
    "run_async",
    "slots",
]

#: Seconds after the deadline of a run for which a caller waits until its log lines are written.
GRACE_S: Final = 0.2

#: What the start of a thread raises if the system refuses it.
_NO_THREAD: Final = (MemoryError, OSError, RuntimeError)


class BatchResult(NamedTuple):
    """The outcomes of the checks that one caller asked for.

    Attributes:
        messages: The name and the messages of each check.
        oldest_kept_at: The moment on ``time.monotonic()`` of the oldest outcome that was
            set before the caller asked. None if there is no such outcome.
    """

    messages: list[tuple[str, Sequence[PlainMessage]]]
    oldest_kept_at: float | None = None


_Start = Callable[[CheckRun], None]


class _ProcessRunner:
    """The threads, event loops and runs of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = WorkerThreads()
        self.single_flight = SingleFlight()
        self.slots = Slots()
        self._loops: EventLoopPool | None = None
        self._green: GreenLoops | None = None

    def in_thread(self, check_run: CheckRun) -> None:
        self._threads.run(check_run.run, check_run.key)

    def on_own_loop(self, check_run: CheckRun) -> None:
        if self._loops is None and self._green is None:
            # asyncio takes long to import, and a service without async checks does not need it.
            with fork_safe_import():
                from .event_loops import EventLoopPool
                from .green import GreenLoops

            backend = green_backend()
            with self._lock:
                if backend is not None:
                    self._green = self._green or GreenLoops(backend)
                else:
                    self._loops = self._loops or EventLoopPool()
        if self._green is not None:
            green = self._green
            self._threads.run(lambda: green.run(check_run))
        elif self._loops is not None:
            self._loops.start(check_run)

    def restart_held_up(self) -> float:
        """Start checks again that wait for a blocked event loop.

        Returns:
            Seconds until the next call may have work; infinity if it cannot.
        """
        loops = self._loops or self._green
        return math.inf if loops is None else loops.restart_held_up()


# By process id. The child of a fork has none of its parent's threads: it must not wait for
# its parent's runs, nor close its parent's event loops.
_process_runners: Final[dict[int, _ProcessRunner]] = {}


def _process_runner() -> _ProcessRunner:
    process = os.getpid()
    return _process_runners.get(process) or _process_runners.setdefault(process, _ProcessRunner())


def last_outcome(check: Check, config: Any) -> KeptOutcome | None:
    """Return the last outcome of a check in this process, of any age; None if there is none.

    Only calls of ``run`` with ``keeps_last`` keep it.
    """
    return _process_runner().single_flight.last(check, config)


def slots() -> Slots:
    """Return the slots of callers that wait in this process."""
    return _process_runner().slots


class _Batch:
    """The checks that one caller asked for.

    ``entries`` has for each check the run that the caller waits for, or the name and the
    messages of a check that ran in the caller's thread and context.
    """

    def __init__(self, options: RunOptions) -> None:
        self.runner = _process_runner()
        self._begun_at = time.monotonic()
        self.entries: list[CheckRun | tuple[str, Sequence[PlainMessage]] | Check] = []
        self._options = options
        #: Runs for which no thread could be started.
        self._threadless: dict[CheckRun, Check] = {}
        self._seen: set[tuple[str, int, int, int]] = set()

    def start_or_join(self, check: Check, start: _Start, blocked_loop: Any = None) -> None:
        """Start a run in another thread or on an event loop, or join the current run.

        Args:
            check: The check.
            start: Starts the run.
            blocked_loop: The event loop that the caller blocks, None for none: a run on it would
                never end while the caller waits.
        """

        def start_or_keep(check_run: CheckRun) -> None:
            try:
                start(check_run)
            except _NO_THREAD:
                self._threadless[check_run] = check

        join = self.runner.single_flight.join
        self.entries.append(join(check, self._options, start_or_keep, blocked_loop))

    def add_in_request(self, check: Check) -> None:
        """Add a check that runs in this thread, after the others have started."""
        key = check.key(self._options.config)
        # A check that is in the list twice runs once.
        if key not in self._seen:
            self._seen.add(key)
            self.entries.append(check)

    def run_in_request(self) -> None:
        """Run in this thread, one after the other, the checks that run in no other."""
        with self._ends_all_runs():
            for check_run, check in self._threadless.items():
                check_run.end(self._call(check))
        for at, entry in enumerate(self.entries):
            if not isinstance(entry, Check):
                continue
            if entry.is_async and (running_loop() is not None or green_backend() is not None):
                # This thread has a running loop, or greenlets that share it must not have one.
                check_run = self._run_on_own_loop(entry)
                self.entries[at] = check_run
                self.wait([check_run])
            else:
                self.entries[at] = self._finish_in_request(entry, self._call(entry))

    async def run_in_request_async(self) -> None:
        """Run the same checks in the task that awaits this."""
        with self._ends_all_runs():
            for check_run, check in self._threadless.items():
                check_run.end(await self._await(check))
        for at, entry in enumerate(self.entries):
            if isinstance(entry, Check):
                self.entries[at] = self._finish_in_request(entry, await self._await(entry))

    def wait(self, runs: list[CheckRun]) -> None:
        """Block until each run has its outcome or has passed its deadline."""
        while pending := _unfinished(runs):
            unfinished, patience = pending
            patience = min(patience, self.runner.restart_held_up())
            futures.wait([check_run.outcome for check_run in unfinished], patience)

    def runs(self) -> list[CheckRun]:
        """Return the runs to wait for."""
        return [each for each in self.entries if isinstance(each, CheckRun)]

    def result(self) -> BatchResult:
        """Return the outcomes, in the order of the caller's checks."""
        found: list[tuple[str, Sequence[PlainMessage]]] = []
        oldest_kept_at: list[float] = []
        # A check that is in the list twice has run once.
        for entry in dict.fromkeys(self.entries):
            if isinstance(entry, tuple):
                found.append(entry)
            elif isinstance(entry, CheckRun):
                found.append((entry.name, _messages_of(entry)))
                if entry.outcome_set_at is not None and entry.outcome_set_at < self._begun_at:
                    oldest_kept_at.append(entry.outcome_set_at)
        return BatchResult(found, min(oldest_kept_at, default=None))

    def _finish_in_request(
        self, check: Check, outcome: CheckResult
    ) -> tuple[str, Sequence[PlainMessage]]:
        log_outcome(check, outcome)
        if self._options.keeps_last:
            self.runner.single_flight.keep(check, self._options.config, outcome)
        return check.name, outcome.messages

    def _call(self, check: Check) -> CheckResult:
        return call_in_request(check, self._options)

    async def _await(self, check: Check) -> CheckResult:
        return await await_in_request(check, self._options)

    @contextmanager
    def _ends_all_runs(self) -> Iterator[None]:
        try:
            yield
        finally:
            # An interrupt of this caller is not the check's error, but other callers wait.
            for check_run in self._threadless:
                if not check_run.has_ended:
                    check_run.end(None)

    def _run_on_own_loop(self, check: Check) -> CheckRun:
        """Start a run of an async check that is not shared, on a loop of this package."""
        check_run = CheckRun(replace(check, timeout=MAX_SECONDS), self._options, copy_context())
        try:
            self.runner.on_own_loop(check_run)
        except _NO_THREAD as error:
            check_run.end(raised(error))
        return check_run


def run(checks: Iterable[Check], options: RunOptions) -> BatchResult:
    """Run checks, and block until each has an outcome or has passed its deadline.

    Args:
        checks: The checks.
        options: How the caller wants them run.
    """
    # A run on the loop that this call blocks could not go on.
    blocked_loop = running_loop()
    batch = _Batch(options)
    runner = batch.runner
    for each in checks:
        if each.in_request:
            batch.add_in_request(each)
        else:
            start = runner.on_own_loop if each.is_async else runner.in_thread
            batch.start_or_join(each, start, blocked_loop)
    batch.run_in_request()
    batch.wait(batch.runs())
    return batch.result()


async def run_async(checks: Iterable[Check], options: RunOptions) -> BatchResult:
    """Run checks, and await until each has an outcome or has passed its deadline.

    Cancelling this does not cancel the runs, because other callers may wait for them.
    For the arguments see ``run``.

    Raises:
        RuntimeError: The caller runs on neither asyncio nor trio.
    """
    batch = _Batch(options)
    runner = batch.runner
    waiting = waiter()
    begin = _on_callers_loop if waiting.has_asyncio_loop else runner.on_own_loop
    for each in checks:
        if each.in_request:
            batch.add_in_request(each)
        else:
            batch.start_or_join(each, begin if each.is_async else runner.in_thread)
    await batch.run_in_request_async()
    runs = batch.runs()
    for check_run in runs:
        if not check_run.outcome.done():
            check_run.outcome.add_done_callback(waiting.wake)
    while pending := _unfinished(runs):
        patience = pending[1]
        if not waiting.has_asyncio_loop:
            patience = min(patience, runner.restart_held_up())
        await waiting.wait(patience)
    return batch.result()


def _on_callers_loop(check_run: CheckRun) -> None:
    with fork_safe_import():
        from .event_loops import begin

    # It runs on the application's own loop, so a setting that names another thread is no help.
    check_run.hint = ""
    begin(check_run)


def _unfinished(runs: list[CheckRun]) -> tuple[list[CheckRun], float] | None:
    """Return the runs to wait for and the longest wait in seconds; None if all are over.

    A run whose deadline has passed times out here.
    """
    now = time.monotonic()
    left: list[float] = []
    pending: list[CheckRun] = []
    for check_run in runs:
        if not check_run.outcome.done() and check_run.deadline <= now:
            check_run.time_out()
        until = check_run.deadline if now < check_run.deadline else check_run.deadline + GRACE_S
        if not check_run.outcome.done() and now < until:
            pending.append(check_run)
            left.append(until - now)
    return (pending, min(left)) if pending else None


def _messages_of(check_run: CheckRun) -> Sequence[PlainMessage]:
    if check_run.outcome.done():
        return check_run.outcome.result().messages
    text = "the check has no outcome yet: writing its log lines takes too long"
    return timed_out(text).messages
