"""Whether other libraries' ContextVars make our context dearer to read."""

from __future__ import annotations

import contextvars
import logging
from typing import Any

import stopwatch
from cases import Case
from checks import check
from rivals import OURS

__all__ = ["CROWDS", "READINGS", "check_reading", "time_reading"]

#: How many foreign ContextVars are set.
CROWDS = {"none": 0, "forty": 40}

READINGS = {
    "context-read": "`mozlog_py.context.current()`",
    "context-format": "`format(record)`, fields bound",
    # A ContextVar remembers its value until the context changes, as it does
    # from one request or task to the next: this is the way without that.
    "context-first": "`format(record)`, fields bound, first of its request",
}

_BOUND = {"user": "ann", "tenant": 7}
_CASE = Case("bound", "bound")
_REPEATS = 10
_foreign: list[contextvars.ContextVar[str]] = [
    contextvars.ContextVar(f"foreign_{number}") for number in range(max(CROWDS.values()))
]


def check_reading(crowd: str) -> None:
    """Raise ``WrongOutput`` unless lines show what is bound."""
    formatter = OURS.make_formatter()
    context = _context(CROWDS[crowd])
    for number in range(_REPEATS):
        expected = _CASE.expected(number)
        expected.extras.update(_BOUND)
        check(context.run(formatter.format, _CASE.record(number)), expected, OURS)


def time_reading(reading: str, crowd: str, budget_ns: int) -> float:
    """Time one of the ``READINGS`` in one of the ``CROWDS``; ns per call."""
    context = _context(CROWDS[crowd])
    if reading == "context-read":
        ns = context.run(stopwatch.nanoseconds, _read, lambda number: number, budget_ns)[0]
        return ns / _REPEATS
    format_ = OURS.make_formatter().format
    context.run(format_, _CASE.record(0))
    if reading == "context-format":
        return context.run(stopwatch.nanoseconds, format_, _CASE.record, budget_ns)[0]

    def format_in_its_own(item: tuple[contextvars.Context, logging.LogRecord]) -> None:
        item[0].run(format_, item[1])

    def make(number: int) -> tuple[contextvars.Context, logging.LogRecord]:
        return context.copy(), _CASE.record(number)

    return stopwatch.nanoseconds(format_in_its_own, make, budget_ns)[0]


def _read(_: Any) -> None:
    # Several times, or calling this would be half of what is timed.
    from mozlog_py.context import current

    for _ in range(_REPEATS):
        current()


def _context(foreign: int) -> contextvars.Context:
    from mozlog_py.context import bind

    context = contextvars.Context()
    for variable in _foreign[:foreign]:
        context.run(variable.set, "theirs")
    context.run(bind, **_BOUND)
    return context
