"""What came of one run of a check, in plain values, whatever the check did.

Everything here that touches what a check gave runs where the check ran: its
messages are the application's objects, and may do anything when looked at.
"""

from __future__ import annotations

import inspect
import logging
import math
import time
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

from dockerflow import health
from dockerflow.checks.messages import ERROR
from mozlog_py._values.sanitiser import Sanitiser, type_name
from mozlog_py._values.tracebacks import as_exc_info, python_traceback

from .mask_credentials import mask_raised, redact

__all__ = [
    "CheckResult",
    "PlainMessage",
    "failure",
    "hide_given",
    "raised",
    "read",
    "report",
    "report_late",
    "timed_out",
]

#: Messages kept of one run.
MAX_MESSAGES: Final = 1000
#: The highest level that a message has; larger numbers are no number to some encoders.
MAX_LEVEL: Final = 1000
#: Characters shown of what a check gave in place of messages.
MAX_SHOWN: Final = 200

#: The settings that messages name, so that their readers find what to change.
IN_REQUEST_SETTING: Final = "DOCKERFLOW_CHECKS_IN_REQUEST"
TIMEOUT_SETTING: Final = "DOCKERFLOW_CHECK_TIMEOUT_SECONDS"

#: What is added to the message of a check that raised in a thread of this package.
ELSEWHERE: Final = (
    f"; it ran in a thread of its own: {IN_REQUEST_SETTING}, or register(in_request=True), "
    "runs it in the request's"
)

# No lists of messages, although one can go through them: "fine" is a mistake. Empty
# ones have nothing to say, and are taken as upstream takes them.
_NO_LISTS: Final = (str, bytes, bytearray, Mapping)

# Upstream's name for it; people set its level.
_logger: Final = logging.getLogger("dockerflow.checks.registry")


@dataclass(frozen=True)
class PlainMessage:
    """A message in plain values; without an id its text is its key in a payload.

    ``logged``: what its line in the log says behind the text, and no payload says.
    """

    level: int
    id: str | None
    text: str
    logged: str = ""


@dataclass(frozen=True)
class CheckResult:
    """The messages of one run. ``error``: what the check raised, for the log."""

    findings: tuple[PlainMessage, ...]
    error: BaseException | None = None


def failure(id: str, text: str) -> CheckResult:  # noqa: A002
    """Give the outcome of a check that did not answer as it should."""
    return CheckResult((PlainMessage(ERROR, id, text),))


def raised(error: BaseException, hint: str = "") -> CheckResult:
    """Return the outcome of a check that raised, which names the type of the exception alone.

    Its text may have credentials, hosts and anything else in it: it is for the log.

    Args:
        error: what it raised.
        hint: a text to add to the message.
    """
    text = f"the check raised {type_name(type(error))}{hint}"
    return CheckResult((PlainMessage(ERROR, health.ERROR_CHECK_RAISED, text),), error)


def timed_out(text: str) -> CheckResult:
    """Return the outcome of a check that passed its deadline; it names the setting."""
    where = f"the deadline is timeout= of its registration, else {TIMEOUT_SETTING}"
    return failure(health.ERROR_CHECK_TIMED_OUT, f"{text}; {where}")


def read(
    returned: Any,
    deadline: float = math.inf,
    hint: str = "",
    caught: type[BaseException] = BaseException,
) -> CheckResult:
    """Return the outcome of a check that returned.

    Any iterable of messages is taken; the check goes on while one is iterated
    that makes its messages as it goes.

    Args:
        returned: what the check returned. What is no iterable of messages is an error.
        deadline: the moment on ``time.monotonic()`` at which iterating stops.
        hint: a text to add to the message where iterating raises.
        caught: what is the check's own error where iterating raises it; in the
            thread of a request, an interrupt is not.
    """
    if inspect.iscoroutine(returned):
        returned.close()  # or the interpreter complains that nobody awaited it
    findings: list[PlainMessage] = []
    try:
        if not isinstance(returned, Iterable) or (isinstance(returned, _NO_LISTS) and returned):
            return CheckResult((_invalid(returned),))
        for item in islice(returned, MAX_MESSAGES + 1):
            if len(findings) == MAX_MESSAGES:
                text = f"the check gave more than {MAX_MESSAGES} messages; the others are left out"
                findings.append(PlainMessage(ERROR, health.ERROR_CHECK_INVALID_RESULT, text))
                break
            # One that has no end may be slow enough to outlive every heartbeat.
            if findings and time.monotonic() >= deadline:
                late = timed_out("the check was still giving messages at its deadline")
                findings.extend(late.findings)
                break
            findings.append(_read_item(item, caught))
        if type(returned) is types.GeneratorType:
            # What it holds is let go of here, in the thread that runs the check.
            returned.close()
    except caught as error:
        return raised(error, hint)
    return CheckResult(tuple(findings))


def _read_item(item: Any, caught: type[BaseException]) -> PlainMessage:
    try:
        return _finding(item)
    except caught as error:
        (finding,) = raised(error).findings
        return replace(finding, logged=f": {redact(Sanitiser().text_of(error))}")


def hide_given(outcome: CheckResult | None, function: Any) -> None:
    """Have what a check raised logged without what the check was given.

    Args:
        outcome: the outcome of a run; None for none.
        function: the check.
    """
    if outcome is not None and outcome.error is not None:
        mask_raised(outcome.error, function)


def report(check: str, outcome: CheckResult) -> None:
    """Log each message at its level, as ``id: text``, with the check's name as a field."""
    for finding in outcome.findings:
        text = f"{finding.text}{finding.logged}"
        _log(check, finding.level, outcome.error, "%s: %s", finding.id, text)


def report_late(check: str, outcome: CheckResult, seconds: float) -> None:
    """Log that a check which had been given up has ended, and how."""
    said = "; ".join(f"{each.text}{each.logged}" for each in outcome.findings) or "all is well"
    message = "the check %s, given up at its deadline, ended after %.1f s: %s"
    _log(check, logging.WARNING, outcome.error, message, check, seconds, said)


def _log(check: str, level: int, error: BaseException | None, message: str, *args: Any) -> None:
    extra = {"check": check}
    if error is None:
        _logger.log(level, message, *args, extra=extra)
    elif _logger.isEnabledFor(level):
        exc_info = as_exc_info(error)
        record = _logger.makeRecord(
            _logger.name, level, __file__, 0, message, args, exc_info, "report", extra
        )
        # What other formatters than ours show of the exception: they would make it anew, and
        # not masked.
        if exc_info is not None:
            record.exc_text = python_traceback(exc_info, Sanitiser()).rstrip()
        _logger.handle(record)


def _finding(item: Any) -> PlainMessage:
    # Django's messages are no instances of ours, and look the same.
    level: Any = getattr(item, "level", None)
    missing = object()
    message = getattr(item, "msg", missing)
    # What a value claims to be is its own affair.
    if not issubclass(type(level), int) or type(level) is bool or message is missing:
        return _invalid(item, is_item=True)
    name = getattr(item, "id", None)
    sanitiser = Sanitiser()
    return PlainMessage(
        min(max(int.__pos__(level), 0), MAX_LEVEL),
        None if name is None else sanitiser.text_of(name),
        sanitiser.text_of(message),
    )


def _invalid(value: Any, *, is_item: bool = False) -> PlainMessage:
    what = "an item of the check's list is" if is_item else "the check returned"
    wanted = "a check message" if is_item else "a list of check messages"
    said, logged = "None", ""
    if value is not None:
        said = type_name(type(value))
        shown = value if type(value) is str else Sanitiser().repr(value)
        logged = f", {redact(shown)[:MAX_SHOWN]!r}"
    hint = "; declare it with `async def`" if inspect.iscoroutine(value) else ""
    text = f"{what} not {wanted}: {said}{hint}"
    return PlainMessage(ERROR, health.ERROR_CHECK_INVALID_RESULT, text, logged)
