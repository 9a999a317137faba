"""Two trees of our own sources, measured side by side.

    python benchmarks/run.py --against ../before

A process is faster or slower than another of the same sources by some percent, for as
long as it lives: its memory and its hashes are laid out in another way. So the unit is a
pair of processes, one of each tree. A pair gives one ratio for each row, of turns that
are interleaved, and the interval is that of the mean of the pairs' ratios.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from statistics import fmean, median, stdev

from contests import Ask, Contender, Contest
from fronts import STRUCTLOG
from rivals import NULL, OURS, RIVALS
from structured import BOUND

__all__ = ["LIMIT", "Pair", "Row", "compare", "interval", "report", "rows_of"]

#: A row is worse where the lower end of its interval is above this.
LIMIT = 1.03

#: Starts a pair of workers: puts questions to this tree's, and to the other's.
Pair = Callable[[], AbstractContextManager[tuple[Ask, Ask]]]

# Played, but not counted, by each pair: caches fill.
_WARM_UP = 2

# Source: Student's t, two-sided 95 %, by degrees of freedom; NIST/SEMATECH e-Handbook, 1.3.6.7.2.
_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclass
class Row:
    """One thing that is measured in both trees."""

    name: str
    contender: Contender
    #: Of each pair, this tree's time by the other's.
    ratios: list[float] = field(default_factory=list)
    #: Why this tree's output, or the other's, is not right.
    wrong: str = ""
    wrong_in_other: str = ""

    @property
    def is_out(self) -> bool:
        """Whether it is not compared."""
        return bool(self.wrong or self.wrong_in_other)

    @property
    def is_worse(self) -> bool:
        """Whether this tree is slower, beyond doubt and by more than a little."""
        return not self.is_out and interval(self.ratios)[0] > LIMIT


def rows_of(contests: Sequence[Contest]) -> list[Row]:
    """Return what these contests measure of ours, each thing once."""
    named: dict[tuple[str, str, str], Row] = {}
    for contest in contests:
        for contender in (contest.measure, *contest.others):
            key = (contender.case, contender.who, contender.worker)
            if _is_ours(contender) and key not in named:
                titles = dict.fromkeys((contest.title, contender.title))
                named[key] = Row(f"{contest.group}: {', '.join(titles)}", contender)
    return [*named.values()]


def _is_ours(contender: Contender) -> bool:
    others = {rival.name for rival in RIVALS} - {OURS.name}
    others |= {NULL, STRUCTLOG.name, STRUCTLOG.name + BOUND}
    return contender.environment == OURS.environment and contender.who not in others


def interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Return the lower end, the mean and the upper end of a ratio's 95 % interval.

    Args:
        ratios: One of each pair; ratios have no scale, so their logarithms are taken.

    Raises:
        ValueError: There are fewer than two, which say nothing of their spread.
    """
    if len(ratios) < 2:
        raise ValueError("an interval takes two pairs or more")
    logarithms = [math.log(ratio) for ratio in ratios]
    mean = fmean(logarithms)
    t = _T[min(len(ratios) - 1, len(_T)) - 1]
    half = t * stdev(logarithms) / math.sqrt(len(ratios))
    return math.exp(mean - half), math.exp(mean), math.exp(mean + half)


def compare(
    rows: Sequence[Row], pair: Pair, *, pairs: int, rounds: int, budget_ns: int
) -> Iterator[int]:
    """Measure all rows; yield the number of each pair that is done, from 1.

    Args:
        rows: What to measure; they take in the results.
        pair: Starts two workers.
        pairs: How many of them.
        rounds: How many turns each of two workers has in a row.
        budget_ns: For how long a turn is timed.
    """
    for number in range(pairs):
        with pair() as (ask, ask_other):
            for row in rows:
                if number == 0:
                    row.wrong = ask("check", row.contender).get("wrong", "")
                    row.wrong_in_other = ask_other("check", row.contender).get("wrong", "")
            turns: dict[int, list[tuple[float, float]]] = {}
            for turn in range(-_WARM_UP, rounds):
                for place, row in enumerate(rows):
                    if row.is_out:
                        continue
                    # By turns one is first, and another one of the next pair.
                    times = _turn(
                        row, ask, ask_other, budget_ns, is_first=(turn + place + number) % 2
                    )
                    if times is not None and turn >= 0:
                        turns.setdefault(place, []).append(times)
            for place, times_of in turns.items():
                rows[place].ratios.append(median(own / other for own, other in times_of))
        yield number + 1


def _turn(
    row: Row, ask: Ask, ask_other: Ask, budget_ns: int, *, is_first: int
) -> tuple[float, float] | None:
    answers = {}
    asked = {"own": ask, "other": ask_other}
    for name in ("own", "other") if is_first else ("other", "own"):
        answers[name] = asked[name]("round", row.contender, budget_ns=budget_ns)
    row.wrong = answers["own"].get("wrong", "")
    row.wrong_in_other = answers["other"].get("wrong", "")
    return None if row.is_out else (answers["own"]["ns"], answers["other"]["ns"])


def report(rows: Sequence[Row]) -> tuple[str, int]:
    """Return a table of all rows with those that are worse behind it, and the exit status.

    The status is 1 where a row is worse, or this tree's output is wrong.
    """
    lines = ["   ratio   95 % interval    this tree by the other"]
    for row in rows:
        if row.is_out:
            whose = f"this tree: {row.wrong}" if row.wrong else f"the other: {row.wrong_in_other}"
            lines.append(f"       -                    {row.name}: not compared, {whose}")
        else:
            lines.append(f"  {_numbers(row)}   {row.name}")
    worse = [row for row in rows if row.is_worse]
    lines.append("")
    if worse:
        lines.append(f"worse, with the lower end above {LIMIT}:")
        lines += [f"  {_numbers(row)}   {row.name}" for row in worse]
    else:
        lines.append(f"no row is worse (none has its lower end above {LIMIT})")
    wrong = [row for row in rows if row.wrong]
    return "\n".join(lines), 1 if worse or wrong else 0


def _numbers(row: Row) -> str:
    lower, mean, upper = interval(row.ratios)
    return f"{mean:6.3f}   {lower:.3f} to {upper:.3f}"
