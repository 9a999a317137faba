"""One ``format(record)``, by one rival."""

from __future__ import annotations

import logging

import stopwatch
from cases import Case
from checks import check
from rivals import Rival

__all__ = ["check_format", "time_format"]

# A first record is different: something is compiled, cached, imported for it.
_CHECKED = 5


def check_format(case: Case, rival: Rival) -> None:
    """Raise ``WrongOutput`` unless the lines of some records are right."""
    for number in range(_CHECKED):
        check(_formatter(rival).format(case.record(number)), case.expected(number), rival)


def time_format(case: Case, rival: Rival, budget_ns: int) -> float:
    """Time it; ns per call. Raises ``WrongOutput`` if the line after the last is wrong."""
    formatter = _formatter(rival)
    ns, calls = stopwatch.nanoseconds(formatter.format, case.record, budget_ns)
    check(formatter.format(case.record(calls)), case.expected(calls), rival)
    return ns


_formatters: dict[str, logging.Formatter] = {}


def _formatter(rival: Rival) -> logging.Formatter:
    # One for the whole run: in life a formatter is made once.
    if rival.name not in _formatters:
        _formatters[rival.name] = rival.make_formatter()
    return _formatters[rival.name]
