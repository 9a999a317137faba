"""One environment's side of the benchmarks: answers questions, one JSON line each.

Upstream and we both install a package named ``dockerflow`` and cannot live in
one process, so each environment has a worker that lives as long as the run;
and structlog has one configuration a process, so each of its fronts has one too.
The parent asks them by turns for a round of this and a round of that.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sys
from typing import Any, TextIO

from cases import CALLS, CURVE, EVENTS, FORMATS, UNHEARD
from checks import WrongOutput
from foreign import READINGS, check_reading, time_reading
from formatted import check_format, time_format
from logged import time_call, time_call_to_nowhere, time_call_with_standard_records
from rivals import NULL, RIVALS, STANDARD_RECORDS
from served import SERVED, time_serving
from sinks import QUEUES, SINKS, time_queue, time_sink
from structured import check_event, time_event, time_unheard

__all__: list[str] = []

_RIVALS = {rival.name: rival for rival in RIVALS}
_FORMATS = {case.name: case for case in (*FORMATS, *CURVE)}
_CALLS = {case.name: case for case in CALLS}
_EVENTS = {event.name: event for event in EVENTS}


def main() -> None:
    """Answer until the parent closes the pipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tree", help="where to import our packages from, in place of installed")
    tree = parser.parse_args().tree
    if tree is not None:
        sys.path.insert(0, tree)
    answers = _own_pipe()
    for question in sys.stdin:
        answers.write(json.dumps(_answer(**json.loads(question))) + "\n")
        answers.flush()


def _own_pipe() -> TextIO:
    """Keep stdout for answers, whatever else prints to it."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def _answer(ask: str, **details: Any) -> dict[str, Any]:
    if ask == "about":
        return _about(**details)
    try:
        if ask == "check":
            _check(**details)
            return {}
        return {"ns": _round(**details)}
    except WrongOutput as wrong:
        return {"wrong": str(wrong)}


def _about(distributions: list[str]) -> dict[str, Any]:
    return {
        "runtime": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: _version(name) for name in distributions},
    }


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _check(case: str, contender: str) -> None:
    if case in READINGS:
        check_reading(contender)
    elif case in _EVENTS:
        check_event(_EVENTS[case], contender)
    elif case in _FORMATS:
        check_format(_FORMATS[case], _RIVALS[contender])
    else:
        _round(case, contender, budget_ns=1)


def _round(case: str, contender: str, budget_ns: int) -> float:
    if case in READINGS:
        return time_reading(case, contender, budget_ns)
    if case in SERVED:
        return time_serving(case, contender, budget_ns)
    if case in _FORMATS:
        return time_format(_FORMATS[case], _RIVALS[contender], budget_ns)
    if case in _EVENTS:
        return time_event(_EVENTS[case], contender, budget_ns)
    if case == UNHEARD.name:
        return time_unheard(contender, budget_ns)
    if case in SINKS:
        return time_sink(case, _RIVALS[contender], budget_ns)
    if case in QUEUES:
        return time_queue(case, contender, budget_ns)
    if contender == NULL:
        return time_call_to_nowhere(_CALLS[case], budget_ns)
    if contender == STANDARD_RECORDS:
        return time_call_with_standard_records(_CALLS[case], budget_ns)
    return time_call(_CALLS[case], _RIVALS[contender], budget_ns)


if __name__ == "__main__":
    main()
