"""Single flight: one run of a check at a time, and one outcome for all its callers.

A run that has not ended by its deadline times out, but may go on and hold a thread.
So the next runs of the same check start at growing intervals, and only up to a number:
a check that hangs costs a few threads, never all.

The last outcome of each check is kept for callers that cannot wait for the next one.
A run that was cancelled, or that never started, has no outcome to keep.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, Final

from . import check_result
from .check_result import CheckResult
from .check_run import CheckRun, KeptOutcome
from .run_options import RunOptions
from .signature import Check

__all__ = ["SingleFlight"]

#: Timed-out runs of one check that may go on at the same time.
MAX_HANGING: Final = 16
#: The longest pause before a check that hangs is run again, in seconds.
MAX_PAUSE_S: Final = 60.0

# The size of the table at which entries that are no longer needed are first removed.
_SWEEP_AT: Final = 64
# Seconds for which a last outcome survives such a removal. Without a limit, applications that
# come and go, as in tests, would fill the memory.
_LAST_SURVIVES_S: Final = 10.0


class _Entry:
    """The runs and outcomes of one check of one application."""

    def __init__(self, *owners: Any) -> None:
        self.latest: CheckRun | None = None
        #: The run that was refused, because the latest one hangs.
        self.refused: CheckRun | None = None
        #: The last outcome before the latest run, or of a run in a request.
        self.kept: KeptOutcome | None = None
        self.hanging: list[CheckRun] = []
        self.kept_seconds = 0.0
        #: Whether the last outcome is kept after all its callers have it.
        self.keeps_last = False
        # The key consists of their ids. This reference keeps the ids from being used again.
        self.owners = owners

    def shared_run(self, blocked_loop: Any, cache_seconds: float, now: float) -> CheckRun | None:
        """Return the latest run if a further caller may have it, else None.

        Args:
            blocked_loop: The event loop that the caller blocks, None for none.
            cache_seconds: The age, in seconds, up to which the outcome of a run is fresh.
            now: The time of the monotonic clock, in seconds.
        """
        latest = self.latest
        if latest is None:
            return None
        if latest.outcome_set_at is None:
            is_blocked = latest.loop is not None and latest.loop is blocked_loop
            return None if is_blocked else latest
        is_fresh = latest.is_from_check and now - latest.outcome_set_at < cache_seconds
        return latest if is_fresh else None

    def last(self) -> KeptOutcome | None:
        """Return the last outcome of the check, None before the first one."""
        found = [self.kept, *(each.kept for each in (self.latest, self.refused) if each)]
        return max((each for each in found if each), key=lambda each: each.at, default=None)


class SingleFlight:
    """The runs of all checks of a process, by check and configuration."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, int, int, int], _Entry] = {}
        self._sweep_at = _SWEEP_AT

    def join(
        self,
        check: Check,
        options: RunOptions,
        start: Callable[[CheckRun], None],
        blocked_loop: Any = None,
    ) -> CheckRun:
        """Return the current run of a check or its fresh outcome; else start a new run.

        Args:
            check: The check.
            options: How the caller wants it run.
            start: Starts a new run. Called at most once, and in this thread.
            blocked_loop: The event loop that the caller is about to block. The caller
                cannot wait for a run on it.

        Returns:
            A run that other callers may share. Its outcome may be set already.
        """
        key, cache_seconds = check.key(options.config), options.cache_seconds
        while True:
            now = time.monotonic()
            with self._lock:
                entry = self._entries.get(key)
                if entry is None:
                    entry = self._new_entry(key, now, check.function, options.config)
                entry.keeps_last = entry.keeps_last or options.keeps_last
                latest = entry.latest
                if latest is None or not _is_overdue(latest, now):
                    shared = entry.shared_run(blocked_loop, cache_seconds, now)
                    if shared is not None:
                        return shared
                    if latest is not None and latest.outcome_set_at is None:
                        # It is on the blocked loop. This caller gets a run of its own.
                        entry = _Entry()
                    check_run = CheckRun(check, options, copy_context())
                    refusal = _reason_to_refuse(entry, check_run.timeout, now)
                    if refusal is None:
                        entry.kept = entry.last()
                        entry.latest, entry.refused = check_run, None
                    elif entry.refused and _is_fresh(entry.refused, cache_seconds, now):
                        # A refusal is logged once, and not for each caller.
                        return entry.refused
                    else:
                        entry.refused = check_run
                    entry.kept_seconds = max(cache_seconds, entry.kept_seconds)
                    break
            # Not with the lock held: it logs, and a handler may take its time.
            _end_overdue(latest)
        if refusal is not None:
            check_run.end(check_result.timed_out(refusal))
            return check_run
        if cache_seconds <= 0:
            check_run.outcome.add_done_callback(lambda _: self._forget(key, check_run))
        _start(check_run, start)
        return check_run

    def last(self, check: Check, config: Any) -> KeptOutcome | None:
        """Return the last outcome of a check, of any age; None if none is kept."""
        with self._lock:
            entry = self._entries.get(check.key(config))
            return None if entry is None else entry.last()

    def keep(self, check: Check, config: Any, outcome: CheckResult) -> None:
        """Keep the outcome of a run in a request, which ``join`` has not started.

        Args:
            check: The check.
            config: The argument that its parameter ``config`` got.
            outcome: What the run has found.
        """
        key, now = check.key(config), time.monotonic()
        with self._lock:
            entry = self._entries.get(key) or self._new_entry(key, now, check.function, config)
            entry.keeps_last = True
            entry.kept = KeptOutcome(outcome.messages, now)

    def _new_entry(self, key: tuple[str, int, int, int], now: float, *owners: Any) -> _Entry:
        if len(self._entries) >= self._sweep_at:
            self._entries = {
                held: entry for held, entry in self._entries.items() if not _is_obsolete(entry, now)
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


def _start(check_run: CheckRun, start: Callable[[CheckRun], None]) -> None:
    try:
        start(check_run)
    except BaseException as error:
        check_run.is_from_check = False
        check_run.end(check_result.raised(error))
        if not isinstance(error, Exception):
            raise


def _is_overdue(check_run: CheckRun, now: float) -> bool:
    """Return whether a run without an outcome is past its deadline, or can never end."""
    return check_run.outcome_set_at is None and (
        check_run.deadline <= now or check_run.is_loop_closed
    )


def _end_overdue(check_run: CheckRun) -> None:
    if check_run.is_loop_closed:
        check_run.end(None)
    else:
        check_run.time_out()


def _reason_to_refuse(entry: _Entry, timeout: float, now: float) -> str | None:
    """Return why a check must not run again yet; None if it may."""
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


def _is_obsolete(entry: _Entry, now: float) -> bool:
    """Return whether an entry can go: no run of it goes on, and no outcome has to be kept."""
    latest = entry.latest
    survives = max(entry.kept_seconds, _LAST_SURVIVES_S if entry.keeps_last else 0.0)
    if latest is None:
        return entry.kept is not None and now - entry.kept.at >= survives
    if any(each.is_timed_out_but_running for each in (*entry.hanging, latest)):
        return False
    is_kept = latest.outcome_set_at is None or now - latest.outcome_set_at < survives
    return latest.is_loop_closed or not is_kept
