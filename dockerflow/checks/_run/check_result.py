"""The outcome of one run of a check, in plain values.

The messages of a check are objects of the application, whose attributes may run any code.
So the thread that ran the check reads them too.
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
from mozlog_py._values.class_lookup import type_name
from mozlog_py._values.sanitiser import Sanitiser
from mozlog_py._values.tracebacks import as_exc_info, python_traceback

from .mask_credentials import mask_raised, redact

__all__ = [
    "CheckResult",
    "PlainMessage",
    "failure",
    "mask_error",
    "raised",
    "read",
    "report",
    "report_late",
    "timed_out",
]

#: The number of messages that are kept of one run.
MAX_MESSAGES: Final = 1000
#: The highest level of a message. Some JSON encoders refuse large integers.
MAX_LEVEL: Final = 1000
#: The number of characters that a log line shows of an invalid result.
MAX_SHOWN: Final = 200

#: The settings that messages name, so that a reader finds the remedy.
IN_REQUEST_SETTING: Final = "DOCKERFLOW_CHECKS_IN_REQUEST"
TIMEOUT_SETTING: Final = "DOCKERFLOW_CHECK_TIMEOUT_SECONDS"

#: The hint in the message of a check that raised in a worker thread.
OWN_THREAD_HINT: Final = (
    f"; it ran in a thread of its own: {IN_REQUEST_SETTING}, or register(in_request=True), "
    "runs it in the request's"
)

# Iterables that are not lists of messages: a check that returns "fine" is mistaken. Empty ones
# are accepted, as upstream accepts them.
_NO_LISTS: Final = (str, bytes, bytearray, Mapping)

# Upstream's name for it; people set its level.
_logger: Final = logging.getLogger("dockerflow.checks.registry")


@dataclass(frozen=True)
class PlainMessage:
    """A message in plain values.

    Attributes:
        level: The level, as of ``logging``.
        id: The id; None for none. The text is then the key in a payload.
        text: The text.
        logged: A text that follows in the log, and is left out of payloads.
    """

    level: int
    id: str | None
    text: str
    logged: str = ""


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one run.

    Attributes:
        messages: The messages.
        error: The exception of the check, for the log; None for none.
    """

    messages: tuple[PlainMessage, ...]
    error: BaseException | None = None


def failure(id: str, text: str) -> CheckResult:  # noqa: A002
    """Return an outcome with one error message."""
    return CheckResult((PlainMessage(ERROR, id, text),))


def raised(error: BaseException, hint: str = "") -> CheckResult:
    """Return the outcome of a check that raised. Its message has only the exception's type.

    The text of the exception may contain credentials and hosts, so it is for the log.

    Args:
        error: The exception.
        hint: A text to add to the message.
    """
    text = f"the check raised {type_name(type(error))}{hint}"
    return CheckResult((PlainMessage(ERROR, health.ERROR_CHECK_RAISED, text),), error)


def timed_out(text: str) -> CheckResult:
    """Return the outcome of a check that passed its deadline. Its message names the setting."""
    where = f"the deadline is timeout= of its registration, else {TIMEOUT_SETTING}"
    return failure(health.ERROR_CHECK_TIMED_OUT, f"{text}; {where}")


def read(
    returned: Any,
    deadline: float = math.inf,
    hint: str = "",
    caught: type[BaseException] = BaseException,
) -> CheckResult:
    """Return the outcome of a check that has returned.

    Args:
        returned: The result of the check: an iterable of messages. A generator runs the
            check's code during the iteration. Other results become an error message.
        deadline: The moment on ``time.monotonic()`` at which the iteration stops.
        hint: A text to add to the message if the iteration raises.
        caught: The exceptions that count as the check's. In the thread of a request an
            interrupt does not.
    """
    if inspect.iscoroutine(returned):
        returned.close()  # or the interpreter warns that it was never awaited
    messages: list[PlainMessage] = []
    try:
        if not isinstance(returned, Iterable) or (isinstance(returned, _NO_LISTS) and returned):
            return CheckResult((_invalid(returned),))
        for item in islice(returned, MAX_MESSAGES + 1):
            if len(messages) == MAX_MESSAGES:
                text = f"the check gave more than {MAX_MESSAGES} messages; the others are left out"
                messages.append(PlainMessage(ERROR, health.ERROR_CHECK_INVALID_RESULT, text))
                break
            # An endless iterable may be slow enough to outlive every heartbeat.
            if messages and time.monotonic() >= deadline:
                late = timed_out("the check was still giving messages at its deadline")
                messages.extend(late.messages)
                break
            messages.append(_read_item(item, caught))
        if type(returned) is types.GeneratorType:
            # Release its resources in the thread that runs the check.
            returned.close()
    except caught as error:
        return raised(error, hint)
    return CheckResult(tuple(messages))


def _read_item(item: Any, caught: type[BaseException]) -> PlainMessage:
    try:
        return _plain_message(item)
    except caught as error:
        (message,) = raised(error).messages
        return replace(message, logged=f": {redact(Sanitiser().text_of(error))}")


def mask_error(outcome: CheckResult | None, function: Any) -> None:
    """Mask the arguments of a check in the log lines about its exception.

    Args:
        outcome: The outcome of a run; None for none.
        function: The check.
    """
    if outcome is not None and outcome.error is not None:
        mask_raised(outcome.error, function)


def report(check: str, outcome: CheckResult) -> None:
    """Log each message at its level, as ``id: text``, with the check's name as a field.

    Args:
        check: The name of the check.
        outcome: The outcome.
    """
    for message in outcome.messages:
        text = f"{message.text}{message.logged}"
        _log(check, message.level, outcome.error, "%s: %s", message.id, text)


def report_late(check: str, outcome: CheckResult, seconds: float) -> None:
    """Log the outcome of a check that has ended after its timeout.

    Args:
        check: The name of the check.
        outcome: The outcome.
        seconds: The seconds from its start to its end.
    """
    text = "; ".join(f"{each.text}{each.logged}" for each in outcome.messages) or "no message"
    message = "the check %s, which timed out at its deadline, ended after %.1f s: %s"
    _log(check, logging.WARNING, outcome.error, message, check, seconds, text)


def _log(check: str, level: int, error: BaseException | None, message: str, *args: Any) -> None:
    extra = {"check": check}
    if error is None:
        _logger.log(level, message, *args, extra=extra)
    elif _logger.isEnabledFor(level):
        exc_info = as_exc_info(error)
        record = _logger.makeRecord(
            _logger.name, level, __file__, 0, message, args, exc_info, "report", extra
        )
        # Other formatters than ours use this text. They would format the exception themselves,
        # without the mask.
        if exc_info is not None:
            record.exc_text = python_traceback(exc_info, Sanitiser()).rstrip()
        _logger.handle(record)


def _plain_message(item: Any) -> PlainMessage:
    # By attributes, because Django's messages are not instances of our class.
    level: Any = getattr(item, "level", None)
    missing = object()
    message = getattr(item, "msg", missing)
    # By type(), because an object may claim any class.
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
    text, logged = "None", ""
    if value is not None:
        text = type_name(type(value))
        shown = value if type(value) is str else Sanitiser().repr(value)
        logged = f", {redact(shown)[:MAX_SHOWN]!r}"
    hint = "; declare it with `async def`" if inspect.iscoroutine(value) else ""
    text = f"{what} not {wanted}: {text}{hint}"
    return PlainMessage(ERROR, health.ERROR_CHECK_INVALID_RESULT, text, logged)
