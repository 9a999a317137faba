"""Runs checks: all at once, each within its deadline, for callers that block and that await.

Checks that are no coroutine functions run in threads of our own. Coroutine
functions run on the caller's event loop, to which their clients belong, or
for a caller that blocks on a loop of our own. Checks that are to run in the
request run in the caller's own thread and context, one after the other, while
the others go on elsewhere.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable, ItemsView, Iterable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mozlog_py._process.fork_safe_import import fork_safe_import
from mozlog_py._values.sanitiser import Sanitiser

from .check_result import CheckResult, PlainMessage, raised, timed_out
from .green_backend import green_backend
from .in_request import await_in_request, call_in_request, has_running_loop, log_outcome
from .signature import Check
from .single_flight import CheckRun, KeptOutcome, SingleFlight
from .slots import Slots
from .surroundings import PLAIN, Surroundings
from .waiting import waiter
from .worker_threads import WorkerThreads

if TYPE_CHECKING:
    from .event_loops import EventLoopPool
    from .green import GreenLoops

__all__ = [
    "DEFAULT_TIMEOUT_S",
    "GRACE_S",
    "BatchResult",
    "last_outcome",
    "run",
    "run_async",
    "slots",
    "snapshot",
    "valid_seconds",
]

#: Seconds that a check has, where nobody says otherwise.
DEFAULT_TIMEOUT_S: Final = 5.0
#: Seconds that may be asked for at most, a day.
MAX_SECONDS: Final = 86_400

#: Seconds from the deadline of a run to the moment when even its log lines are not waited for.
GRACE_S: Final = 0.2

#: What is raised where no thread can be started.
_NO_THREAD: Final = (MemoryError, OSError, RuntimeError)


class BatchResult(NamedTuple):
    """What the checks found that one caller asked for.

    ``findings``: each check's name, and what it found. ``oldest_kept_at``: the moment on
    ``time.monotonic()`` of the oldest outcome that was there before the caller asked,
    None where there is none of these.
    """

    messages: list[tuple[str, Sequence[PlainMessage]]]
    oldest_kept_at: float | None = None


_Start = Callable[[CheckRun], None]


class _ProcessRunner:
    """All that runs checks in one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = WorkerThreads()
        self._single_flight = SingleFlight()
        self.slots = Slots()
        self._loops: EventLoopPool | None = None
        self._green: GreenLoops | None = None

    def join(
        self,
        check: Check,
        config: Any,
        start: _Start,
        *,
        timeout: float,
        cache_seconds: float,
        surroundings: Surroundings,
        blocked_loop: Any = None,
        keeps_last: bool = False,
    ) -> CheckRun:
        return self._single_flight.join(
            check,
            config,
            start,
            timeout=timeout if check.timeout is None else check.timeout,
            cache_seconds=cache_seconds,
            context=copy_context(),
            around=surroundings.around,
            blocked_loop=blocked_loop,
            keeps_last=keeps_last,
        )

    def last(self, check: Check, config: Any) -> KeptOutcome | None:
        return self._single_flight.last(check, config)

    def keep(self, check: Check, config: Any, outcome: CheckResult) -> None:
        self._single_flight.keep(check, config, outcome)

    def in_thread(self, check_run: CheckRun) -> None:
        self._threads.run(check_run.run, check_run.key)

    def on_own_loop(self, check_run: CheckRun) -> None:
        if self._loops is None and self._green is None:
            # asyncio is large, and a service without async checks needs none of it.
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
        """Help checks that a loop of ours has not begun; give the seconds until the next one."""
        loops = self._loops or self._green
        return math.inf if loops is None else loops.restart_held_up()


# By process id: a forked child has none of its parent's threads, and must
# neither wait for its runs nor take apart its event loops.
_process_runners: Final[dict[int, _ProcessRunner]] = {}


def _process_runner() -> _ProcessRunner:
    process = os.getpid()
    return _process_runners.get(process) or _process_runners.setdefault(process, _ProcessRunner())


def last_outcome(check: Check, config: Any) -> KeptOutcome | None:
    """Return the last outcome of a check in this process, however old, None where there is none.

    It is kept for callers of ``run`` that have asked for ``keeps_last``.
    """
    return _process_runner().last(check, config)


def slots() -> Slots:
    """Return what counts the callers that wait, of this process."""
    return _process_runner().slots


def snapshot(checks: Iterable[tuple[str, Callable[..., Any]]]) -> list[tuple[str, Any]]:
    """Give a list of what may change while one goes through it."""
    while True:
        try:
            return list(checks)
        except RuntimeError:
            # Another thread has registered a check.
            if not isinstance(checks, ItemsView):
                raise


def valid_seconds(name: str, value: Any, *, or_none: bool = False) -> float:
    """Give a number of seconds; raises ``ValueError`` for what is none.

    It is more than 0 (``or_none``: or 0) and at most a day, which no system
    call refuses.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= MAX_SECONDS or (value == 0 and not or_none):
        wanted = "from 0" if or_none else "more than 0, and"
        text = f"it must be a number of seconds, {wanted} up to {MAX_SECONDS:,}"
        raise ValueError(f"{name} is {Sanitiser().value(value)!r}; {text}")
    return float(value)


class _Batch:
    """The checks that one caller asked for.

    ``entries`` has for each check the run that the caller waits for, or what a
    check found that ran in the caller's own thread and context.
    """

    def __init__(
        self,
        config: Any,
        timeout: float,
        cache_seconds: float,
        surroundings: Surroundings,
        keeps_last: bool,
    ) -> None:
        self.runner = _process_runner()
        self._begun_at = time.monotonic()
        self._keeps_last = keeps_last
        self.entries: list[CheckRun | tuple[str, Sequence[PlainMessage]] | Check] = []
        self._config = config
        self._timeout = timeout
        self._cache_seconds = cache_seconds
        self._surroundings = surroundings
        #: Runs that no thread can be started for.
        self._threadless: dict[CheckRun, Check] = {}
        self._seen: set[tuple[str, int, int, int]] = set()

    def start_or_join(self, check: Check, start: _Start, blocked_loop: Any = None) -> None:
        """Have a check run elsewhere, or join the run that is going on."""

        def start_or_keep(check_run: CheckRun) -> None:
            try:
                start(check_run)
            except _NO_THREAD:
                self._threadless[check_run] = check

        self.entries.append(
            self.runner.join(
                check,
                self._config,
                start_or_keep,
                timeout=self._timeout,
                cache_seconds=self._cache_seconds,
                surroundings=self._surroundings,
                blocked_loop=blocked_loop,
                keeps_last=self._keeps_last,
            )
        )

    def add_in_request(self, check: Check) -> None:
        """Have a check run here, when the others have begun elsewhere."""
        key = check.key(self._config)
        # One that is in the list twice is asked once.
        if key not in self._seen:
            self._seen.add(key)
            self.entries.append(check)

    def run_in_request(self) -> None:
        """Run here, one after the other, what runs nowhere else."""
        with self._ends_all_runs():
            for check_run, check in self._threadless.items():
                check_run.end(self._call(check))
        for at, entry in enumerate(self.entries):
            if not isinstance(entry, Check):
                continue
            if entry.is_async and (has_running_loop() or green_backend() is not None):
                # A loop in this thread is there already, or would be in the way of others.
                check_run = self._run_on_own_loop(entry)
                self.entries[at] = check_run
                self.wait([check_run])
            else:
                self.entries[at] = self._finish_in_request(entry, self._call(entry))

    async def run_in_request_async(self) -> None:
        """Do the same where this is awaited."""
        with self._ends_all_runs():
            for check_run, check in self._threadless.items():
                check_run.end(await self._await(check))
        for at, entry in enumerate(self.entries):
            if isinstance(entry, Check):
                self.entries[at] = self._finish_in_request(entry, await self._await(entry))

    def wait(self, runs: list[CheckRun]) -> None:
        """Block until each has its outcome or has passed its deadline."""
        while pending := _unfinished(runs):
            unfinished, patience = pending
            patience = min(patience, self.runner.restart_held_up())
            futures.wait([check_run.outcome for check_run in unfinished], patience)

    def runs(self) -> list[CheckRun]:
        """Return the runs that there are to wait for."""
        return [each for each in self.entries if isinstance(each, CheckRun)]

    def result(self) -> BatchResult:
        """Return what each check found, in the order in which the caller gave them."""
        found: list[tuple[str, Sequence[PlainMessage]]] = []
        oldest_kept_at: list[float] = []
        # A check that is in the list twice has been asked once.
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
        if self._keeps_last:
            self.runner.keep(check, self._config, outcome)
        return check.name, outcome.messages

    def _call(self, check: Check) -> CheckResult:
        return call_in_request(check, self._config, self._surroundings)

    async def _await(self, check: Check) -> CheckResult:
        return await await_in_request(check, self._config, self._surroundings)

    @contextmanager
    def _ends_all_runs(self) -> Iterator[None]:
        try:
            yield
        finally:
            # An interrupt is not the check's; but others wait for the runs, or will.
            for check_run in self._threadless:
                if not check_run.has_ended:
                    check_run.end(None)

    def _run_on_own_loop(self, check: Check) -> CheckRun:
        """Have an async check run on a loop of ours that no other run uses."""
        check_run = CheckRun(
            check, self._config, MAX_SECONDS, copy_context(), self._surroundings.around
        )
        try:
            self.runner.on_own_loop(check_run)
        except _NO_THREAD as error:
            check_run.end(raised(error))
        return check_run


def run(
    checks: Iterable[Check],
    *,
    config: Any,
    timeout: float,
    cache_seconds: float,
    surroundings: Surroundings = PLAIN,
    keeps_last: bool = False,
) -> BatchResult:
    """Run checks, and block until each has given its findings or passed its deadline.

    Args:
        checks: the checks.
        config: what checks receive as their parameter of that name.
        timeout: seconds that a check has which has no deadline of its own.
        cache_seconds: seconds for which the outcome of an earlier run counts.
        surroundings: what a framework's adapter knows.
        keeps_last: whether ``last_outcome`` is to know the outcomes.
    """
    # A run on the loop that this call is about to block could not go on.
    module = sys.modules.get("asyncio")
    blocked_loop = None if module is None else module._get_running_loop()  # noqa: SLF001
    batch = _Batch(config, timeout, cache_seconds, surroundings, keeps_last)
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


async def run_async(
    checks: Iterable[Check],
    *,
    config: Any,
    timeout: float,
    cache_seconds: float,
    surroundings: Surroundings = PLAIN,
    keeps_last: bool = False,
) -> BatchResult:
    """Run checks, and wait until each has given its findings or passed its deadline.

    Cancelling this does not cancel the runs: others may wait for them.

    Raises:
        RuntimeError: it is awaited on neither asyncio nor trio.
    """
    batch = _Batch(config, timeout, cache_seconds, surroundings, keeps_last)
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

    # It runs where the application's own coroutines do.
    check_run.hint = ""
    begin(check_run)


def _unfinished(runs: list[CheckRun]) -> tuple[list[CheckRun], float] | None:
    """Give the runs to wait for, and for how many seconds at most; None where there are none.

    Runs whose deadline has passed are given up.
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
