"""Who is timed against whom, and what the rounds come to.

A machine's speed changes while this runs, by more than what is to be found out
and many times a second. So nothing is timed for long: each contender has its
short turn right beside one of the measure's, now before it and now after, and
is compared with that one alone. The medians over many rounds are the results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from applications import CORES, FRAMEWORKS, WITH_ID
from cases import CALLS, CURVE, EVENTS, FORMATS, SLOPES, UNHEARD, Case
from foreign import CROWDS, READINGS
from fronts import FAST, FRONTS, STRUCTLOG, Front
from rivals import NULL, OURS, RIVALS, STANDARD_RECORDS, Rival
from sinks import QUEUES, SINKS, STANDARD_QUEUE
from structured import BOUND

__all__ = ["Ask", "Contender", "Contest", "contests"]


@dataclass(frozen=True)
class Contender:
    """One who takes part, and what a worker is asked for: ``who`` does which ``case``."""

    title: str
    environment: str
    case: str
    who: str
    #: The worker that it shares with all who say the same; "" is the environment's.
    worker: str = ""


#: Puts a question about a contender to the worker of its environment.
Ask = Callable[..., dict[str, Any]]


@dataclass
class Contest:
    """One comparison of some contenders with one measure."""

    group: str
    title: str
    measure: Contender
    others: list[Contender]
    #: Where the contender has so many fields more than the measure, their cost is told.
    fields_between: int = 0
    #: Why a contender is not timed, or no longer.
    wrong: dict[Contender, str] = field(default_factory=dict)
    #: Why a contender cannot be timed here, without a fault of the contender.
    not_run: dict[Contender, str] = field(default_factory=dict)
    #: By contender, for each round: the ns per call of the measure, and its own.
    rounds: dict[Contender, list[tuple[float, float]]] = field(default_factory=dict)
    #: The ns of each round of a measure that has no contender.
    alone: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its group and title, as they are reported."""
        return f"{self.group}: {self.title}"

    def check(self, ask: Ask) -> None:
        """Let every contender show that its output is right; the others are out."""
        for contender in (self.measure, *self.others):
            self._is_right(contender, ask("check", contender))

    def play(self, ask: Ask, number: int, budget_ns: int, *, is_counted: bool) -> None:
        """Play one round."""
        if not self.others and not (self.wrong or self.not_run):
            answer = ask("round", self.measure, budget_ns=budget_ns)
            if self._is_right(self.measure, answer) and is_counted:
                self.alone.append(answer["ns"])
        for place, contender in enumerate(self.others):
            pair = [self.measure, contender]
            if any(one in self.wrong or one in self.not_run for one in pair):
                continue
            if (number + place) % 2:
                pair.reverse()
            answers = {one: ask("round", one, budget_ns=budget_ns) for one in pair}
            if all(self._is_right(*answer) for answer in answers.items()) and is_counted:
                turns = (answers[self.measure]["ns"], answers[contender]["ns"])
                self.rounds.setdefault(contender, []).append(turns)

    def results(self) -> dict[str, Any]:
        """Return the results, the measure first."""
        everybody = [self._measure_result(), *map(self._result, self.others)]
        return {"group": self.group, "title": self.title, "contenders": everybody}

    def _is_right(self, contender: Contender, answer: dict[str, Any]) -> bool:
        for reasons, name in ((self.wrong, "wrong"), (self.not_run, "not_run")):
            if name in answer:
                reasons[contender] = answer[name]
        return "wrong" not in answer and "not_run" not in answer

    def _measure_result(self) -> dict[str, Any]:
        result: dict[str, Any] = {"title": self.measure.title}
        if self.measure in self.wrong:
            return {**result, "wrong_output": self.wrong[self.measure]}
        turns = [measure for rounds in self.rounds.values() for measure, _ in rounds]
        turns += self.alone
        return {**result, "ns": _spread(turns)} if turns else result

    def _result(self, contender: Contender) -> dict[str, Any]:
        result: dict[str, Any] = {"title": contender.title}
        if contender in self.wrong:
            return {**result, "wrong_output": self.wrong[contender]}
        if contender in self.not_run:
            return {**result, "not_run": self.not_run[contender]}
        rounds = self.rounds.get(contender)
        if not rounds:
            return result
        result["ns"] = _spread([own for _, own in rounds])
        if self.fields_between:
            per_field = [(own - measure) / self.fields_between for measure, own in rounds]
            result["ns_per_further_field"] = _spread(per_field)
        else:
            result["ratio"] = _spread([own / measure for measure, own in rounds])
        return result


def contests() -> list[Contest]:
    """Return all contests of a run."""
    out = []
    rivals = [rival for rival in RIVALS if rival is not OURS]
    for case in FORMATS:
        others = [_does(rival, case) for rival in rivals]
        out.append(Contest("format", case.title, _does(OURS, case), others))
    for case in CALLS:
        nowhere = Contender("logging alone (NullHandler)", OURS.environment, case.name, NULL)
        standard = Contender(
            "mozlog-py, its factory of records taken out",
            OURS.environment,
            case.name,
            STANDARD_RECORDS,
            worker=STANDARD_RECORDS,
        )
        others = [standard, *(_does(rival, case) for rival in rivals), nowhere]
        out.append(Contest("call", case.title, _handles(OURS, case.name), others))
    upstream = next(rival for rival in RIVALS if rival.name == "upstream")
    for sink, title in SINKS.items():
        both = [_handles(one, sink) for one in (OURS, upstream)]
        out.append(Contest("sink", title, both[0], both[1:]))
    for queue, title in QUEUES.items():
        ours = replace(_handles(OURS, queue), title="`MozlogQueueHandler`")
        standard = replace(
            ours, title="`QueueHandler` and `QueueListener`, our formatter", who=STANDARD_QUEUE
        )
        out.append(Contest("queue", title, ours, [standard]))
    for reading, title in READINGS.items():
        crowds = [
            Contender(f"{count} foreign ContextVars", OURS.environment, reading, crowd)
            for crowd, count in CROWDS.items()
        ]
        out.append(Contest("context", title, crowds[0], crowds[1:]))
    by_size = {
        case.extras: Contender(case.title, OURS.environment, case.name, OURS.name) for case in CURVE
    }
    measure, *sizes = by_size.values()
    out.append(Contest("curve", "extras", measure, sizes))
    for few, many in SLOPES:
        title = f"{few} to {many} extras"
        out.append(Contest("slope", title, by_size[few], [by_size[many]], many - few))
    for group, suffix in (("proxy", ""), ("bound", BOUND)):
        for event in EVENTS:
            measure, *fronts = (_logs(front, event.name, suffix) for front in FRONTS)
            out.append(Contest(group, event.title, measure, fronts))
    ways = {"": "`structlog.get_logger()`", BOUND: "`structlog.get_logger().bind()`"}
    for suffix, title in ways.items():
        measure, other = (_logs(front, UNHEARD.name, suffix) for front in (FAST, STRUCTLOG))
        out.append(Contest("unheard", title, measure, [other]))
    upstream = next(rival for rival in RIVALS if rival.name == "upstream")
    for case, title in FRAMEWORKS.items():
        out.append(Contest("served", title, _serves(upstream, case), [_serves(OURS, case)]))
        with_id = f"{case}{WITH_ID}"
        out.append(
            Contest(
                "served",
                f"{title}, with an `X-Request-ID`",
                _serves(upstream, with_id),
                [_serves(OURS, with_id)],
            )
        )
    for case, title in CORES.items():
        out.append(Contest("served", title, _serves(OURS, case), []))
    return out


def _does(rival: Rival, case: Case) -> Contender:
    return Contender(rival.title, rival.environment, case.name, rival.name)


def _handles(rival: Rival, case: str) -> Contender:
    # A handler of ours has a process make its records faster, those for others too.
    return Contender(rival.title, rival.environment, case, rival.name, worker=rival.name)


def _serves(rival: Rival, case: str) -> Contender:
    # Applications of one framework would meet those of another in one process.
    return Contender(rival.title, rival.environment, case, rival.name, worker=case)


def _logs(front: Front, case: str, suffix: str) -> Contender:
    who = front.name + suffix if front.is_structlog else front.name
    return Contender(front.title, front.environment, case, who, worker=who)


def _spread(values: list[float]) -> dict[str, float]:
    values = sorted(values)
    quarter = len(values) // 4
    return {
        "median": round(median(values), 4),
        "quarter": round(values[quarter], 4),
        "three_quarters": round(values[-1 - quarter], 4),
        "min": round(values[0], 4),
        "max": round(values[-1], 4),
    }
