"""What an import costs over bare Python, beside upstream and the frameworks.

Each run is a new interpreter. The rows take turns, so that a busy machine slows all of them
alike. The program prints the median and the least of CPU time, and the median of elapsed time::

    python benchmarks/imports.py [--runs N] [--tree TREE] [--only WORD ...] [--modules]

``--tree`` measures the sources of a directory, in the environment ``ours``; without it, the
sources of this tree. ``--modules`` prints instead how long each module takes by itself, as the
least of the runs of ``-X importtime``: that varies less where other programs are running.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import NamedTuple

from environments import ROOT, prepare
from machine import one_cpu

__all__ = ["ROWS", "Row", "Run", "main", "over"]


class Row(NamedTuple):
    """One source, and the row whose cost is subtracted."""

    environment: str
    source: str
    base: str = "bare"


class Run(NamedTuple):
    """The milliseconds of one interpreter."""

    cpu: float
    elapsed: float


_FIRST_LINE = "import logging\nlogging.getLogger('shop').info('first')\n"
_UPSTREAM = (
    "import logging.config\nlogging.config.dictConfig({'version': 1, 'formatters': {'json': "
    "{'()': 'dockerflow.logging.JsonLogFormatter'}}, 'handlers': {'out': {'class': "
    "'logging.StreamHandler', 'formatter': 'json'}}, 'root': {'level': 'INFO', "
    "'handlers': ['out']}})\n"
)

#: What is measured, by name.
ROWS = {
    "bare": Row("ours", "pass"),
    "formatter": Row("ours", "from mozlog_py import MozlogFormatter"),
    "first line": Row("ours", f"import mozlog_py\nmozlog_py.configure()\n{_FIRST_LINE}"),
    "first line of structlog": Row(
        "ours",
        "import mozlog_py, structlog\nmozlog_py.configure()\nstructlog.get_logger().info('first')",
    ),
    "fastapi": Row("ours", "import fastapi"),
    "dockerflow.fastapi": Row("ours", "import fastapi, dockerflow.fastapi", "fastapi"),
    "flask": Row("ours", "import flask"),
    "dockerflow.flask": Row("ours", "import flask, dockerflow.flask", "flask"),
    "upstream: bare": Row("upstream", "pass"),
    "upstream: formatter": Row(
        "upstream", "from dockerflow.logging import JsonLogFormatter", "upstream: bare"
    ),
    "upstream: first line": Row("upstream", _UPSTREAM + _FIRST_LINE, "upstream: bare"),
    "upstream: fastapi": Row("upstream", "import fastapi", "upstream: bare"),
    "upstream: dockerflow.fastapi": Row(
        "upstream", "import fastapi, dockerflow.fastapi", "upstream: fastapi"
    ),
    "upstream: flask": Row("upstream", "import flask", "upstream: bare"),
    "upstream: dockerflow.flask": Row(
        "upstream", "import flask, dockerflow.flask", "upstream: flask"
    ),
}

_IMPORTTIME = re.compile(r"import time:\s+(\d+) \|\s+\d+ \| *(\S+)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print one line for each row. Returns 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=25)
    parser.add_argument("--tree", type=Path, default=ROOT)
    parser.add_argument("--only", nargs="*", default=[], metavar="WORD")
    parser.add_argument("--modules", action="store_true")
    chosen = parser.parse_args(arguments)
    rows = _chosen(chosen.only)
    places = {
        name: (prepare(name, is_installing=False), _environment(name, chosen.tree))
        for name in {row.environment for row in rows.values()}
    }
    cpu = one_cpu()
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    # Once without a measurement: the first run of each row writes the bytecode.
    for row in rows.values():
        _run(row, *places[row.environment])
    if chosen.modules:
        for name, row in rows.items():
            print(name)
            _print_modules(row, *places[row.environment], chosen.runs)
        return 0
    runs: dict[str, list[Run]] = {name: [] for name in rows}
    for _ in range(chosen.runs):
        for name, row in rows.items():
            runs[name].append(_measured(row, *places[row.environment]))
    print(f"milliseconds over the row in brackets; {chosen.runs} runs each")
    print(f"{'':42} {'CPU median':>10} {'CPU least':>10} {'elapsed median':>14}")
    for name, row in rows.items():
        base = runs[row.base] if name != row.base and "bare" not in name else None
        cost = over(runs[name], base)
        label = name if base is None else f"{name} ({row.base})"
        print(f"{label:42} {cost[0]:10.1f} {cost[1]:10.1f} {cost[2]:14.1f}")
    return 0


def over(runs: Sequence[Run], base: Sequence[Run] | None) -> tuple[float, float, float]:
    """Return the median and the least CPU time and the median elapsed time over those of a base.

    Args:
        runs: The runs of a row.
        base: The runs that are subtracted; None for none.
    """
    own = _summary(runs)
    other = _summary(base) if base is not None else (0.0, 0.0, 0.0)
    return own[0] - other[0], own[1] - other[1], own[2] - other[2]


def _summary(runs: Sequence[Run]) -> tuple[float, float, float]:
    cpu = [run.cpu for run in runs]
    return statistics.median(cpu), min(cpu), statistics.median(run.elapsed for run in runs)


def _chosen(words: Sequence[str]) -> dict[str, Row]:
    """Return the rows with one of the words in their names, and the rows that they are over."""
    names = [name for name in ROWS if not words or any(word in name for word in words)]
    wanted = {*names, *(ROWS[name].base for name in names)}
    wanted |= {ROWS[name].base for name in wanted}
    return {name: row for name, row in ROWS.items() if name in wanted}


def _environment(name: str, tree: Path) -> dict[str, str]:
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PYTHON", "LOG_", "DOCKERFLOW_"))
    }
    if name == "ours":
        environment["PYTHONPATH"] = str(tree.resolve())
    return environment


def _run(row: Row, python: Path, environment: dict[str, str], *options: str) -> str:
    """Run the source of a row in a new interpreter, and return what it writes to stderr."""
    done = subprocess.run(
        [python, *options, "-c", row.source],
        # Not in this tree: its package dockerflow would stand before upstream's.
        cwd=python.parent,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode:
        raise SystemExit(f"the measured source failed:\n{done.stderr}")
    return done.stderr


def _measured(row: Row, python: Path, environment: dict[str, str]) -> Run:
    before, start = getrusage(RUSAGE_CHILDREN), time.perf_counter()
    _run(row, python, environment)
    elapsed, after = time.perf_counter() - start, getrusage(RUSAGE_CHILDREN)
    cpu = (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)
    return Run(cpu * 1e3, elapsed * 1e3)


def _print_modules(row: Row, python: Path, environment: dict[str, str], runs: int) -> None:
    least: dict[str, int] = {}
    for _ in range(runs):
        text = _run(row, python, environment, "-X", "importtime")
        for spent, module in _IMPORTTIME.findall(text):
            least[module] = min(least.get(module, sys.maxsize), int(spent))
    for module, spent in sorted(least.items(), key=lambda item: -item[1]):
        print(f"{spent / 1e3:10.2f} {module}")
    print(f"{sum(least.values()) / 1e3:10.2f} in total")


if __name__ == "__main__":
    sys.exit(main())
