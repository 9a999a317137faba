"""What came of one run of a check, in plain values, whatever the check did.

Everything here that touches what a check gave runs where the check ran: its
messages are the application's objects, and may do anything when looked at.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from dockerflow import health
from mozlog_py.values import Sanitiser, type_name

from .messages import ERROR
from .redaction import redact

__all__ = ["Finding", "Outcome", "failure", "raised", "read", "report", "report_late"]

#: Messages kept of one run.
MAX_MESSAGES: Final = 1000
#: The highest level that a message has; larger numbers are no number to some encoders.
MAX_LEVEL: Final = 1000
#: Characters shown of what a check gave in place of messages.
MAX_SHOWN: Final = 200

# What can be gone through only once, or is no list although one can go through it.
_NO_LISTS: Final = (str, bytes, bytearray, Mapping, Iterator)

# Upstream's name for it; people set its level.
_logger: Final = logging.getLogger("dockerflow.checks.registry")


@dataclass(frozen=True)
class Finding:
    """A message in plain values; without an id it is ``null`` in a payload, as upstream's."""

    level: int
    id: str | None
    text: str


@dataclass(frozen=True)
class Outcome:
    """The messages of one run. ``error``: what the check raised, for the log."""

    findings: tuple[Finding, ...]
    error: BaseException | None = None


def failure(id: str, text: str, error: BaseException | None = None) -> Outcome:  # noqa: A002
    """Give the outcome of a check that did not answer as it should."""
    if error is not None:
        text = f"{text} {redact(Sanitiser().repr(error))}"
    return Outcome((Finding(ERROR, id, text),), error)


def raised(error: BaseException) -> Outcome:
    """Give the outcome of a check that raised."""
    return failure(health.ERROR_CHECK_RAISED, "the check raised", error)


def read(returned: Any) -> Outcome:
    """Give the outcome of a check that returned; what is no list of messages is an error."""
    if inspect.iscoroutine(returned):
        returned.close()  # or the interpreter complains that nobody awaited it
    try:
        if not isinstance(returned, Iterable) or isinstance(returned, _NO_LISTS):
            return Outcome((_invalid(returned),))
        items = list(islice(returned, MAX_MESSAGES + 1))
    except BaseException as error:
        return raised(error)
    findings: list[Finding] = []
    for item in items[:MAX_MESSAGES]:
        try:
            findings.append(_finding(item))
        except BaseException as error:
            findings.extend(raised(error).findings)
    if len(items) > MAX_MESSAGES:
        text = f"the check gave more than {MAX_MESSAGES} messages; the others are left out"
        findings.append(Finding(ERROR, health.ERROR_CHECK_INVALID_RESULT, text))
    return Outcome(tuple(findings))


def report(check: str, outcome: Outcome) -> None:
    """Log each message at its level, as ``id: text``, with the check's name as a field."""
    error = outcome.error
    for finding in outcome.findings:
        _logger.log(
            finding.level,
            "%s: %s",
            finding.id,
            finding.text,
            exc_info=None if error is None else (type(error), error, error.__traceback__),
            extra={"check": check},
        )


def report_late(check: str, outcome: Outcome, seconds: float) -> None:
    """Log that a check which had been given up has ended, and how."""
    said = "; ".join(finding.text for finding in outcome.findings) or "all is well"
    _logger.warning(
        "the check %s, given up at its deadline, ended after %.1f s: %s",
        check,
        seconds,
        said,
        extra={"check": check},
    )


def _finding(item: Any) -> Finding:
    # Django's messages are no instances of ours, and look the same.
    level: Any = getattr(item, "level", None)
    missing = object()
    message = getattr(item, "msg", missing)
    # What a value claims to be is its own affair.
    if not issubclass(type(level), int) or type(level) is bool or message is missing:
        return _invalid(item, is_item=True)
    name = getattr(item, "id", None)
    sanitiser = Sanitiser()
    return Finding(
        min(max(int.__pos__(level), 0), MAX_LEVEL),
        None if name is None else sanitiser.name(name),
        sanitiser.name(message),
    )


def _invalid(value: Any, *, is_item: bool = False) -> Finding:
    what = "an item of the check's list is" if is_item else "the check returned"
    wanted = "a check message" if is_item else "a list of check messages"
    said = "None"
    if value is not None:
        said = f"{type_name(type(value))}, {redact(Sanitiser().repr(value))[:MAX_SHOWN]}"
    hint = "; declare it with `async def`" if inspect.iscoroutine(value) else ""
    text = f"{what} not {wanted}: {said}{hint}"
    return Finding(ERROR, health.ERROR_CHECK_INVALID_RESULT, text)
