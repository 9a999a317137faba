"""Measure our formatter, handler, loggers and middleware against others; write down the outcome.

    python benchmarks/run.py            about three minutes, writes benchmarks/results.json
    python benchmarks/table.py          writes it into docs/benchmarks.md and README.md
    python benchmarks/run.py --against TREE
                                        our sources here against those of another tree

The first run of each Python makes its environments, below ``benchmarks/.environments``. What is
not right is not timed (see ``checks.py``), and the program then exits with 1.
Without Node.js, what needs it is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import against
import environments
import machine
from contests import Ask, Contender, Contest, contests
from conversation import NoWorker, Worker
from rivals import OURS

__all__: list[str] = []

_HERE = Path(__file__).resolve().parent
_RESULTS = _HERE / "results.json"
# Played, but not counted: caches fill and the processor speeds up.
_WARM_UP = 2


def main() -> int:
    """Run the whole of it; return 1 where the output of a contender was wrong."""
    options = _options()
    if options.against is not None:
        return _run_against(options)
    played = [one for one in contests() if options.only.lower() in one.name.lower()]
    cpu = machine.one_cpu()
    with ExitStack() as stack:
        workers = {
            where: stack.enter_context(closing(worker))
            for where, worker in _workers(played, options.tree, cpu).items()
        }

        def ask(question: str, contender: Contender, **details: Any) -> dict[str, Any]:
            return workers[contender.environment, contender.worker].ask(
                question, case=contender.case, contender=contender.who, **details
            )

        _play(played, ask, options.rounds, int(options.milliseconds * 1e6))
        results = {
            "date": datetime.now(timezone.utc).date().isoformat(),
            "rounds": options.rounds,
            "milliseconds": options.milliseconds,
            "is_tree": options.tree is not None,
            "is_on_one_cpu": cpu is not None,
            "PYTHONUNBUFFERED": os.environ.get("PYTHONUNBUFFERED"),
            "machine": machine.description(),
            "environments": {
                name: worker.ask("about", distributions=environments.DISTRIBUTIONS[name])
                for (name, _), worker in workers.items()
            },
            "contests": [contest.results() for contest in played],
        }
    options.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    _report(results["contests"])
    return 1 if any(contest.wrong for contest in played) else 0


def _run_against(options: argparse.Namespace) -> int:
    """Measure this tree against another one; 1 where a row is worse, or wrong."""
    rows = against.rows_of(contests())
    rows = [row for row in rows if options.only.lower() in row.name.lower()]
    if not rows:
        raise SystemExit(f"no row has {options.only!r} in its name")
    cpu = machine.one_cpu()
    python = environments.prepare(OURS.environment, is_installing=False)
    trees = (options.tree or environments.ROOT, options.against)

    @contextmanager
    def pair() -> Iterator[tuple[Ask, Ask]]:
        with ExitStack() as stack:
            yield tuple(
                _asking(stack, [python, _HERE / "worker.py", "--tree", tree]) for tree in trees
            )

    def _asking(stack: ExitStack, command: list[str | Path]) -> Ask:
        workers: dict[str, Worker] = {}

        def ask(question: str, contender: Contender, **details: Any) -> dict[str, Any]:
            if contender.worker not in workers:
                worker = stack.enter_context(closing(Worker(command, cpu)))
                workers[contender.worker] = worker
            return workers[contender.worker].ask(
                question, case=contender.case, contender=contender.who, **details
            )

        return ask

    for number in against.compare(
        rows,
        pair,
        pairs=options.pairs,
        rounds=options.rounds,
        budget_ns=int(options.milliseconds * 1e6),
    ):
        print(f"\rpair {number} of {options.pairs} ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    text, status = against.report(rows)
    print(text)
    return status


def _workers(
    played: list[Contest], tree: Path | None, cpu: int | None
) -> dict[tuple[str, str], Worker | NoWorker]:
    """Start what the contenders need, by environment and the worker's name."""
    commands: dict[str, list[str | Path]] = {}
    for name in environments.NAMES:
        python = environments.prepare(name, is_installing=tree is None)
        commands[name] = [python, _HERE / "worker.py"]
    if tree is not None:
        commands[OURS.environment] += ["--tree", tree]
    missing = ""
    try:
        node, packages = environments.prepare_node()
        commands[environments.NODE] = [node, _HERE / "pino.cjs", packages]
    except environments.NotHere as reason:
        missing = str(reason)
    places = {
        (contender.environment, contender.worker)
        for contest in played
        for contender in (contest.measure, *contest.others)
    }
    return {
        (name, worker): Worker(commands[name], cpu) if name in commands else NoWorker(missing)
        for name, worker in sorted(places)
    }


def _play(played: list[Contest], ask: Ask, rounds: int, budget_ns: int) -> None:
    for contest in played:
        contest.check(ask)
    for number in range(-_WARM_UP, rounds):
        print(f"\rround {number + 1} of {rounds} ", end="", file=sys.stderr, flush=True)
        for contest in played:
            contest.play(ask, number, budget_ns, is_counted=number >= 0)
    print(file=sys.stderr)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=_RESULTS, help="where the results go")
    parser.add_argument("--only", default="", help="only those whose name has this in it")
    parser.add_argument("--quick", action="store_true", help="some 10 seconds, for a first look")
    parser.add_argument("--rounds", type=int, help="how many rounds are counted (50; quick: 5)")
    parser.add_argument("--milliseconds", type=float, help="how long a turn is timed (5; quick: 3)")
    parser.add_argument(
        "--tree", type=Path, help="measure the sources found here, and not the installed project"
    )
    parser.add_argument(
        "--against", type=Path, help="measure only ours, against the sources found here"
    )
    parser.add_argument(
        "--pairs", type=int, help="with --against, how many pairs of processes (10; quick: 4)"
    )
    options = parser.parse_args()
    if options.against is not None:
        options.against = options.against.resolve()
        options.rounds = options.rounds or (3 if options.quick else 8)
        options.pairs = options.pairs or (4 if options.quick else 10)
        if options.pairs < 2:
            parser.error("--pairs must be 2 or more, for an interval")
        if not (options.against / "mozlog_py").is_dir():
            parser.error(f"--against {options.against} has no mozlog_py in it")
    elif options.pairs is not None:
        parser.error("--pairs goes with --against")
    options.rounds = options.rounds or (5 if options.quick else 50)
    options.milliseconds = options.milliseconds or (3.0 if options.quick else 5.0)
    if options.only and options.output == _RESULTS and options.against is None:
        parser.error("--only gives a part of the results; say with --output where to put it")
    if options.tree is not None:
        options.tree = options.tree.resolve()
    return options


def _report(played: list[dict[str, Any]]) -> None:
    for contest in played:
        print(f"\n{contest['group']}: {contest['title']}")
        for contender in contest["contenders"]:
            print(f"  {_line(contender)}")


def _line(contender: dict[str, Any]) -> str:
    if "ns" not in contender:
        if "not_run" in contender:
            return f"{contender['title']}: not run: {contender['not_run']}"
        return f"{contender['title']}: not timed, {contender.get('wrong_output', 'no measure')}"
    line = f"{contender['ns']['median']:9.0f} ns"
    for name in ("ratio", "ns_per_further_field"):
        if name in contender:
            of = contender[name]
            line += f"   {name} {of['median']:.3f} ({of['min']:.3f} to {of['max']:.3f})"
    return f"{line}   {contender['title']}"


if __name__ == "__main__":
    sys.exit(main())
