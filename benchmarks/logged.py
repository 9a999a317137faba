"""One whole ``logger.info(...)``, to a file and to nowhere."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TextIO

import stopwatch
from cases import MESSAGE, Case, extras
from checks import WrongOutput, check
from rivals import OURS, Rival

__all__ = ["time_call", "time_call_to_nowhere", "time_call_with_standard_records"]


def time_call(case: Case, rival: Rival, budget_ns: int) -> float:
    """Time calls that write to a file; ns per call.

    Raises ``WrongOutput`` if lines are missing, or the last of them is wrong.
    """
    return _time_to_a_file(case, rival, rival.make_handler, budget_ns)


def time_call_with_standard_records(case: Case, budget_ns: int) -> float:
    """Time calls of ours with records that ``logging`` itself makes."""

    def make_handler(file: TextIO) -> logging.Handler:
        handler = OURS.make_handler(file)
        logging.setLogRecordFactory(logging.LogRecord)
        return handler

    return _time_to_a_file(case, OURS, make_handler, budget_ns)


def _time_to_a_file(
    case: Case,
    rival: Rival,
    make_handler: Callable[[TextIO], logging.Handler],
    budget_ns: int,
) -> float:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "log")
        with path.open("w", encoding="utf-8") as file:
            ns, calls = _time(case, make_handler(file), budget_ns)
            # Before the file is closed: what a buffer still held was not yet logged.
            lines = path.read_text(encoding="utf-8").splitlines()
    if len(lines) != calls + 1:
        raise WrongOutput(f"{len(lines)} lines for {calls + 1} calls")
    last = replace(case.expected(calls - 1), extras=extras(case.extras, 0))
    check(lines[-1], last, rival)
    return ns


def time_call_to_nowhere(case: Case, budget_ns: int) -> float:
    """Time calls to a ``NullHandler``: what ``logging`` takes without any formatter."""
    return _time(case, logging.NullHandler(), budget_ns)[0]


def _time(case: Case, handler: logging.Handler, budget_ns: int) -> tuple[float, int]:
    logger = logging.getLogger("benchmark")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.handlers[:] = [handler]
    # A partial adds no frame of its own to what is timed, and can only hold
    # one dict of extras; the number in the message is what differs.
    call = partial(logger.info, MESSAGE)
    if case.extras:
        call = partial(logger.info, MESSAGE, extra=extras(case.extras, 0))
    call(-1)  # the handler is new, and its first record is different
    timed = stopwatch.nanoseconds(call, lambda number: number, budget_ns)
    # Or it would be flushed at exit, when its file is long closed.
    logger.handlers.clear()
    return timed
