"""One heartbeat: it returns fresh outcomes, waits for the checks, or returns the last outcomes.

A heartbeat holds a thread of its server while it waits. So only a few heartbeats of an
application wait at a time. The others return at once, with the last outcome of each check
and its age, or with a message that there is no outcome yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dockerflow import health
from dockerflow.checks.messages import ERROR
from dockerflow.checks.registry import as_checks

from .check_result import PlainMessage
from .payload import ChecksResults, summarise
from .run_options import RunOptions
from .run_until_deadline import GRACE_S, BatchResult, last_outcome, run, run_async, slots
from .signature import Check

__all__ = ["Heartbeat", "HeartbeatResults"]

_PENDING: Final = PlainMessage(
    ERROR,
    health.ERROR_CHECK_PENDING,
    "the check is running, and there is no outcome of an earlier run: as many heartbeats as "
    "DOCKERFLOW_HEARTBEAT_MAX_WAITING allows are waiting for it",
)


@dataclass
class HeartbeatResults(ChecksResults):
    """The results of a heartbeat.

    Attributes:
        age: The seconds since the oldest outcome that was set before the heartbeat came;
            None if there is no such outcome.
        is_known: Whether each check has an outcome.
    """

    age: float | None = None
    is_known: bool = True


@dataclass(frozen=True)
class Heartbeat:
    """One heartbeat.

    Attributes:
        pairs: Names and checks.
        silenced: The ids of messages to leave out.
        options: How the checks are run.
        max_waiting: The number of heartbeats of the application that wait at a time; 0 for
            no limit.
        in_request: Whether all checks run in the request's thread and context.
    """

    pairs: Iterable[tuple[str, Callable[..., Any]]]
    silenced: Iterable[str]
    options: RunOptions
    max_waiting: int
    in_request: bool

    def run(self) -> HeartbeatResults:
        """Return the results; block until the checks have run if this heartbeat has a slot."""
        checks = as_checks(self.pairs, self.in_request)
        found = self._fresh_outcomes(checks)
        if found is None:
            with slots().acquired(self.options.config, self.max_waiting) as slot:
                if slot is not None:
                    found = run(checks, self.options)
        return self._last_results(checks) if found is None else self._results(found)

    async def run_async(self) -> HeartbeatResults:
        """Return the results; await the checks if this heartbeat has a slot."""
        checks = as_checks(self.pairs, self.in_request)
        found = self._fresh_outcomes(checks)
        if found is None:
            with slots().acquired(self.options.config, self.max_waiting) as slot:
                if slot is not None:
                    found = await run_async(checks, self.options)
        return self._last_results(checks) if found is None else self._results(found)

    def _fresh_outcomes(self, checks: Sequence[Check]) -> BatchResult | None:
        """Return the outcomes if all are fresh; None if a check has to run."""
        oldest = time.monotonic() - self.options.cache_seconds
        found: list[tuple[str, Sequence[PlainMessage]]] = []
        kept_since: list[float] = []
        for check in self._distinct(checks):
            last = None if check.in_request else last_outcome(check, self.options.config)
            if last is None or last.at <= oldest:
                return None
            found.append((check.name, last.messages))
            kept_since.append(last.at)
        return BatchResult(found, min(kept_since, default=None))

    def _last_results(self, checks: Sequence[Check]) -> HeartbeatResults:
        """Return the last outcomes, of any age, and an error for each check without one."""
        # A check in a request has no deadline. If it hangs, its last outcome is no answer.
        has_hung = slots().held_for(self.options.config) > self._longest_wait(checks)
        found: list[tuple[str, Sequence[PlainMessage]]] = []
        kept_since: list[float] = []
        for check in self._distinct(checks):
            last = None if has_hung else last_outcome(check, self.options.config)
            if last is not None:
                kept_since.append(last.at)
            found.append((check.name, (_PENDING,) if last is None else last.messages))
        is_known = len(kept_since) == len(found)
        return self._results(BatchResult(found, min(kept_since, default=None)), is_known=is_known)

    def _longest_wait(self, checks: Sequence[Check]) -> float:
        """Return the seconds after which a heartbeat that still waits must be hanging."""
        at_once, in_turn = [0.0], [0.0]
        for check in checks:
            seconds = self.options.timeout if check.timeout is None else check.timeout
            (in_turn if check.in_request else at_once).append(seconds)
        return max(at_once) + sum(in_turn) + GRACE_S

    def _distinct(self, checks: Sequence[Check]) -> list[Check]:
        # A check that is in the list twice runs once.
        return list({check.key(self.options.config): check for check in checks}.values())

    def _results(self, found: BatchResult, *, is_known: bool = True) -> HeartbeatResults:
        results = summarise(found.messages, self.silenced or ())
        since = found.oldest_kept_at
        age = None if since is None else max(0.0, time.monotonic() - since)
        answer = HeartbeatResults(results.details, results.statuses, results.level, age, is_known)
        answer.levels = results.levels
        return answer
