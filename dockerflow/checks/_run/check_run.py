"""One run of one check: its outcome, its deadline, and what it needs to be called.

Several callers may wait for the outcome. It is set once: at the end of the run, or at its
deadline. After a timeout the run may go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context
from typing import Any, NamedTuple

from dockerflow import health

from . import check_result
from .check_result import CheckResult, PlainMessage
from .run_options import RunOptions
from .signature import Check, bind_config

__all__ = ["CheckRun", "KeptOutcome"]


class KeptOutcome(NamedTuple):
    """The outcome of an earlier run.

    Attributes:
        messages: The messages of the run.
        at: The moment on ``time.monotonic()`` at which the outcome was set.
    """

    messages: tuple[PlainMessage, ...]
    at: float


class CheckRun:
    """One run of one check. Its ``outcome`` is set at its end or at its deadline.

    Args:
        check: The check.
        options: How the caller wants it run.
        context: The context for the check and for its log lines: a copy of the caller's.
    """

    def __init__(self, check: Check, options: RunOptions, context: Context) -> None:
        self.name = check.name
        self.key = check.key(options.config)
        self.outcome: Future[CheckResult] = Future()
        # Several callers wait for it. In this state none of them can cancel it.
        self.outcome.set_running_or_notify_cancel()
        self.timeout = options.timeout if check.timeout is None else check.timeout
        self.started_at = time.monotonic()
        self.deadline = self.started_at + self.timeout
        self.outcome_set_at: float | None = None
        #: Whether the check has stopped running. After a timeout it may run on.
        self.has_ended = False
        #: Whether the check itself has given the outcome. It has not if it was cancelled.
        self.is_from_check = True
        #: A text for the message of a check that raised: where it ran.
        self.hint = check_result.OWN_THREAD_HINT
        #: On an event loop: the loop, the task, an identity of the attempt, a function that
        #: cancels the task.
        self.loop: Any = None
        self.task: Any = None
        self.attempt: object = None
        self.stop: Callable[[], object] | None = None
        self._check: Check | None = check
        self._options: RunOptions | None = options
        self._context: Context | None = context
        # Popping the item is atomic, so that one caller sets the outcome. A lock would not do:
        # where greenlets replace threads, a real thread must not acquire it.
        self._outcome_unset = [True]

    def arguments(self) -> tuple[Any, Any, Any]:
        """Return the arguments of the constructor, for a second run that does the work."""
        return self._check, self._options, self._context

    @property
    def is_loop_closed(self) -> bool:
        """Whether the event loop of the run was closed, so that it can never end."""
        loop = self.loop
        return loop is not None and not self.has_ended and bool(loop.is_closed())

    @property
    def is_timed_out_but_running(self) -> bool:
        """Whether the run has timed out and goes on."""
        return self.outcome_set_at is not None and not self.has_ended and not self.is_loop_closed

    @property
    def kept(self) -> KeptOutcome | None:
        """The outcome for callers that do not wait; None before there is one to keep."""
        if self.outcome_set_at is None or not self.is_from_check or not self.outcome.done():
            return None
        return KeptOutcome(self.outcome.result().messages, self.outcome_set_at)

    def call(self) -> Any:
        """Call the check, with the configuration if it declares the parameter."""
        check, options = self._check, self._options
        if check is None or options is None:
            return []
        return bind_config(check.function, options.config)()

    def surroundings(self) -> AbstractContextManager[Any]:
        """Return a context manager in which to call the check and read its messages."""
        around = None if self._options is None else self._options.surroundings.around
        return nullcontext() if around is None else around()

    def read(self, returned: Any) -> CheckResult:
        """Return the outcome of a check that has returned ``returned``."""
        return check_result.read(returned, self.deadline, self.hint)

    def enter(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function in the context of the run."""
        context = self._context
        # A copy, because a check that hangs may have entered the context itself.
        return function(*args) if context is None else context.copy().run(function, *args)

    def run(self) -> None:
        """Run a check that is not a coroutine function in this thread. Never raises."""
        try:
            outcome: CheckResult = self.enter(self._call_and_read)
        except BaseException as error:
            # Only the main thread is interrupted from outside, and this is another one. So
            # the check has raised it, and a check must not end the service.
            outcome = check_result.raised(error, self.hint)
        self.end(outcome)

    def _call_and_read(self) -> CheckResult:
        with self.surroundings():
            return self.read(self.call())

    def claim_outcome(self) -> bool:
        """Note the time of the outcome; return False if there is one already."""
        try:
            self._outcome_unset.pop()
        except IndexError:
            return False
        self.outcome_set_at = time.monotonic()
        return True

    def set_outcome(self, outcome: CheckResult) -> bool:
        """Set the outcome and log it; return False if there is one already."""
        if not self.claim_outcome():
            return False
        try:
            # Before the outcome is set: a caller that has it finds its lines in the log.
            self._log(check_result.report, outcome)
        finally:
            # Without the exception: its traceback would keep the frames of the check, and
            # with them a connection, for as long as the outcome is kept.
            self.outcome.set_result(CheckResult(outcome.messages))
        return True

    def end(self, outcome: CheckResult | None) -> None:
        """Note that the check has stopped running, and set its outcome.

        Args:
            outcome: The outcome; None for a check that was cancelled.
        """
        self.has_ended = True
        if outcome is None and self.outcome_set_at is None:
            self.is_from_check = False
        try:
            if self._check is not None:
                check_result.mask_error(outcome, self._check.function)
            stopped = check_result.failure(health.ERROR_CHECK_CANCELLED, "the check was cancelled")
            if not self.set_outcome(outcome or stopped) and outcome is not None:
                self._log(check_result.report_late, outcome, time.monotonic() - self.started_at)
        finally:
            # A kept outcome must not keep a request alive.
            self._check = self._options = self._context = None
            self.loop = self.task = self.stop = None

    def time_out(self) -> None:
        """Set a timeout as the outcome, and cancel the run if that is possible."""
        if self.set_outcome(
            check_result.timed_out(f"the check did not return within {self.timeout:g} s")
        ):
            stop = self.stop
            if stop is not None:
                stop()

    def _log(self, how: Callable[..., None], *args: Any) -> None:
        try:
            self.enter(how, self.name, *args)
        except Exception:
            # A logging handler of the application has raised.
            pass
