"""Single flight: one run of a check at a time, whose outcome all who ask meanwhile share.

A run that has not ended by its deadline is given up. It may hold a thread for
as long as it likes, so that further runs of the same check come at growing
intervals, and up to a number: a check that hangs costs a few threads, never all.

The last outcome of each check is kept, for callers that cannot wait for the next
one. A run that was cancelled, or that never began, has no outcome to keep.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context
from typing import Any, Final, NamedTuple

from dockerflow import health

from .check_result import (
    OWN_THREAD_HINT,
    CheckResult,
    PlainMessage,
    failure,
    mask_error,
    raised,
    read,
    report,
    report_late,
    timed_out,
)
from .signature import Check, bind_config

__all__ = ["Around", "CheckRun", "KeptOutcome", "SingleFlight"]

#: Runs of one check that may hang at the same time.
MAX_HANGING: Final = 16
#: Seconds until a check that hangs is tried again, at most.
MAX_PAUSE_S: Final = 60.0

#: Makes what a check is called in, such as an application context of its own.
Around = Callable[[], AbstractContextManager[Any]]

# Entries of the table at which those that are over are first looked for.
_SWEEP_AT: Final = 64
# Seconds for which a last outcome survives that; applications that come and go, as in tests,
# must not fill the memory.
_LAST_SURVIVES_S: Final = 10.0


class KeptOutcome(NamedTuple):
    """What a check found in a run that is over, and when that was on ``time.monotonic()``."""

    messages: tuple[PlainMessage, ...]
    at: float


class CheckRun:
    """One run of one check, whose ``outcome`` is set at its end or at its deadline.

    ``timeout``: seconds from now to the deadline. ``context``: what the check
    runs in, and what is logged of it; a copy of the caller's. ``around``: makes
    a context manager in which the check runs, where it runs.
    """

    def __init__(
        self,
        check: Check,
        config: Any,
        timeout: float,
        context: Context,
        around: Around | None = None,
    ) -> None:
        self.name = check.name
        self.key = check.key(config)
        self.outcome: Future[CheckResult] = Future()
        # Many wait for it; a future that runs cannot be cancelled by one of them.
        self.outcome.set_running_or_notify_cancel()
        self.timeout = timeout
        self.started_at = time.monotonic()
        self.deadline = self.started_at + timeout
        self.outcome_set_at: float | None = None
        #: Whether the check runs no more. One that was given up may run on.
        self.has_ended = False
        #: Whether the outcome is the check's, and not that of a run which was cancelled.
        self.is_from_check = True
        #: What to add to the message of a check that raised: where it ran.
        self.hint = OWN_THREAD_HINT
        #: Of one on an event loop: the loop, the task, which attempt it is, what stops it.
        self.loop: Any = None
        self.task: Any = None
        self.attempt: object = None
        self.stop: Callable[[], object] | None = None
        self._check: Check | None = check
        self._config = config
        self._context: Context | None = context
        self._around = around
        # Popped by the caller that settles, in one uninterruptible step: no lock, for one
        # that has greenlets in place of threads must not be taken in a real thread.
        self._outcome_unset = [True]

    def arguments(self) -> tuple[Check, Any, float, Context, Around | None]:
        """Return what the flight was made of, for another one that does its work."""
        assert self._check is not None and self._context is not None  # noqa: S101, PT018
        return self._check, self._config, self.timeout, self._context, self._around

    @property
    def is_loop_closed(self) -> bool:
        """Whether its event loop was closed under it, so that it can never end."""
        loop = self.loop
        return loop is not None and not self.has_ended and bool(loop.is_closed())

    @property
    def is_timed_out_but_running(self) -> bool:
        """Whether it was given up and still runs."""
        return self.outcome_set_at is not None and not self.has_ended and not self.is_loop_closed

    @property
    def kept(self) -> KeptOutcome | None:
        """The outcome for callers that do not wait, None while there is none to keep."""
        if self.outcome_set_at is None or not self.is_from_check or not self.outcome.done():
            return None
        return KeptOutcome(self.outcome.result().messages, self.outcome_set_at)

    def call(self) -> Any:
        """Call the check, with the configuration if it wants it."""
        check = self._check
        return [] if check is None else bind_config(check.function, self._config)()

    def surroundings(self) -> AbstractContextManager[Any]:
        """Return the context manager in which the check is called, and its messages are read."""
        return nullcontext() if self._around is None else self._around()

    def read(self, returned: Any) -> CheckResult:
        """Return the outcome of the check, which returned."""
        return read(returned, self.deadline, self.hint)

    def enter(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call something in the context of the flight."""
        context = self._context
        # A copy, because the check may be inside of the context itself, and hang there.
        return function(*args) if context is None else context.copy().run(function, *args)

    def run(self) -> None:
        """Run a check that is no coroutine function, in this thread; never raises."""
        try:
            outcome: CheckResult = self.enter(self._call_and_read)
        except BaseException as error:
            # No thread but the main one is interrupted from outside, so that
            # this came from the check, and a check does not end the service.
            outcome = raised(error, self.hint)
        self.end(outcome)

    def _call_and_read(self) -> CheckResult:
        with self.surroundings():
            return self.read(self.call())

    def set_outcome(self, outcome: CheckResult) -> bool:
        """Set the outcome and log it; tell whether it was not set before."""
        try:
            self._outcome_unset.pop()
        except IndexError:
            return False
        self.outcome_set_at = time.monotonic()
        try:
            # Before anybody can see the outcome: whoever has it can rely on its lines.
            self._log(report, outcome)
        finally:
            # Without the exception: it has the frames of the check, and what they hold, such
            # as a connection, is to be let go of while the outcome is kept.
            self.outcome.set_result(CheckResult(outcome.messages))
        return True

    def end(self, outcome: CheckResult | None) -> None:
        """Settle, now that the check runs no more; None for one that was stopped."""
        self.has_ended = True
        if outcome is None and self.outcome_set_at is None:
            self.is_from_check = False
        try:
            if self._check is not None:
                mask_error(outcome, self._check.function)
            stopped = failure(health.ERROR_CHECK_TIMED_OUT, "the check was cancelled")
            if not self.set_outcome(outcome or stopped) and outcome is not None:
                self._log(report_late, outcome, time.monotonic() - self.started_at)
        finally:
            # Whoever keeps the outcome for a while need not keep a request with it.
            self._check = self._config = self._context = self._around = None
            self.loop = self.task = self.stop = None

    def time_out(self) -> None:
        """Give the run up, its deadline having passed."""
        if self.set_outcome(timed_out(f"the check gave no answer within {self.timeout:g} s")):
            stop = self.stop
            if stop is not None:
                stop()

    def _log(self, how: Callable[..., None], *args: Any) -> None:
        try:
            self.enter(how, self.name, *args)
        except Exception:
            # A handler of the application's that raises.
            pass


class _Entry:
    """What is known of one check of one application."""

    __slots__ = ("hanging", "keeps_last", "kept", "kept_seconds", "latest", "owners", "refused")

    def __init__(self, *owners: Any) -> None:
        self.latest: CheckRun | None = None
        #: What stands for a run while the latest one hangs.
        self.refused: CheckRun | None = None
        #: The last outcome of an earlier run than the latest, or of one in a request.
        self.kept: KeptOutcome | None = None
        self.hanging: list[CheckRun] = []
        self.kept_seconds = 0.0
        #: Whether the last outcome is kept when no caller waits for it any more.
        self.keeps_last = False
        # The key has the ids of these; while they are held no other object has them.
        self.owners = owners

    def last(self) -> KeptOutcome | None:
        """Return the last outcome of the check, None where there is none yet."""
        found = [self.kept, *(each.kept for each in (self.latest, self.refused) if each)]
        return max((each for each in found if each), key=lambda each: each.at, default=None)


class SingleFlight:
    """The runs of all checks of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, int, int, int], _Entry] = {}
        self._sweep_at = _SWEEP_AT

    def join(
        self,
        check: Check,
        config: Any,
        start: Callable[[CheckRun], None],
        *,
        timeout: float,
        cache_seconds: float,
        context: Context,
        around: Around | None = None,
        blocked_loop: Any = None,
        keeps_last: bool = False,
    ) -> CheckRun:
        """Give the run of a check that is going on, or was a short while ago; else a new one.

        ``start``: gets a new run going, called at most once and in this thread.
        ``around``: makes a context manager in which a new run calls the check.
        ``timeout`` and ``cache_seconds``: in seconds; a run counts for that long
        after it ended or was given up. ``blocked_loop``: the event loop that the
        caller is going to block; a run on it cannot be waited for. ``keeps_last``:
        whether ``last`` is to know the outcome until there is a newer one.
        """
        key = check.key(config)
        while True:
            now = time.monotonic()
            with self._lock:
                entry = self._entries.get(key)
                if entry is None:
                    entry = self._new_entry(key, now, check.function, config)
                entry.keeps_last = entry.keeps_last or keeps_last
                latest = entry.latest
                lost = (
                    latest is not None
                    and latest.outcome_set_at is None
                    and (latest.deadline <= now or latest.is_loop_closed)
                )
                if latest is not None and not lost:
                    if latest.outcome_set_at is None:
                        if latest.loop is None or latest.loop is not blocked_loop:
                            return latest
                        entry = _Entry()
                    elif latest.is_from_check and now - latest.outcome_set_at < cache_seconds:
                        return latest
                if not lost:
                    check_run = CheckRun(check, config, timeout, context, around)
                    refusal = _reason_to_refuse(entry, timeout, now)
                    if refusal is None:
                        entry.kept = entry.last()
                        entry.latest, entry.refused = check_run, None
                    elif entry.refused and _is_fresh(entry.refused, cache_seconds, now):
                        # It is logged once, and not for each caller.
                        return entry.refused
                    else:
                        entry.refused = check_run
                    entry.kept_seconds = max(cache_seconds, entry.kept_seconds)
                    break
            # It logs, which takes its time: not with the lock in hand.
            if latest is not None:
                _give_up(latest)
        if refusal is not None:
            check_run.end(timed_out(refusal))
            return check_run
        if cache_seconds <= 0:
            check_run.outcome.add_done_callback(lambda _: self._forget(key, check_run))
        try:
            start(check_run)
        except BaseException as error:
            check_run.is_from_check = False
            check_run.end(raised(error))
            if not isinstance(error, Exception):
                raise
        return check_run

    def last(self, check: Check, config: Any) -> KeptOutcome | None:
        """Return the last outcome of a check, however old, None where none is kept."""
        with self._lock:
            entry = self._entries.get(check.key(config))
            return None if entry is None else entry.last()

    def keep(self, check: Check, config: Any, outcome: CheckResult) -> None:
        """Keep the outcome of a run that was not one of ``join``: one in a request."""
        key, now = check.key(config), time.monotonic()
        with self._lock:
            entry = self._entries.get(key) or self._new_entry(key, now, check.function, config)
            entry.keeps_last = True
            entry.kept = KeptOutcome(outcome.messages, now)

    def _new_entry(self, key: tuple[str, int, int, int], now: float, *owners: Any) -> _Entry:
        if len(self._entries) >= self._sweep_at:
            self._entries = {
                held: entry for held, entry in self._entries.items() if not _is_over(entry, now)
            }
            self._sweep_at = max(_SWEEP_AT, 2 * len(self._entries))
        entry = self._entries[key] = _Entry(*owners)
        return entry

    def _forget(self, key: tuple[str, int, int, int], check_run: CheckRun) -> None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry.latest is not check_run or not check_run.has_ended:
                return
            if entry.keeps_last:
                return
            if not any(each.is_timed_out_but_running for each in entry.hanging):
                del self._entries[key]


def _give_up(check_run: CheckRun) -> None:
    if check_run.is_loop_closed:
        check_run.end(None)
    else:
        check_run.time_out()


def _reason_to_refuse(entry: _Entry, timeout: float, now: float) -> str | None:
    """Say why a check is not run again yet, None where it is."""
    latest = entry.latest
    known = entry.hanging if latest is None else [*entry.hanging, latest]
    hanging = entry.hanging = [each for each in known if each.is_timed_out_but_running]
    if not hanging:
        return None
    pause = min(timeout * 2 ** len(hanging), MAX_PAUSE_S)
    if len(hanging) < MAX_HANGING and now >= hanging[-1].started_at + pause:
        return None
    return (
        f"the check hangs: {len(hanging)} earlier run(s) of it did not end, "
        f"the oldest for {now - hanging[0].started_at:.1f} s"
    )


def _is_fresh(check_run: CheckRun, cache_seconds: float, now: float) -> bool:
    return check_run.outcome_set_at is None or now - check_run.outcome_set_at < cache_seconds


def _is_over(entry: _Entry, now: float) -> bool:
    """Tell whether nobody will ask for a run again, and none is going on."""
    latest = entry.latest
    survives = max(entry.kept_seconds, _LAST_SURVIVES_S if entry.keeps_last else 0.0)
    if latest is None:
        return entry.kept is not None and now - entry.kept.at >= survives
    if any(each.is_timed_out_but_running for each in (*entry.hanging, latest)):
        return False
    is_kept = latest.outcome_set_at is None or now - latest.outcome_set_at < survives
    return latest.is_loop_closed or not is_kept
