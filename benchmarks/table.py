"""Write the results as tables: all into docs/benchmarks.md, five figures into README.md.

    python benchmarks/table.py

``results.json`` is of the Python that the tests run on, ``results-3.14.json`` of a newer one:
``python3.14 benchmarks/run.py --output benchmarks/results-3.14.json``.

Both pages have two markers, and a table stands between them. Everything that it says is read
from the results; nothing is measured here.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__: list[str] = []

_HERE = Path(__file__).resolve().parent
_BEGIN = "<!-- benchmarks:begin -->"
_END = "<!-- benchmarks:end -->"

_Contests = dict[str, list[dict[str, Any]]]

#: The figures of the README: what is timed, its group and contest, and the contender that
#: mozlog-py is compared with. The whole call stands first: it is what a service pays.
_FIGURES = (
    ("one `logger.info(...)`, from the call to the file", "call", "no extras", "dockerflow"),
    (
        "the same, eight threads at once, to a pipe",
        "sink", "eight threads, to a pipe", "dockerflow",
    ),
    ("the line of an exception, without the call", "format", "exception", "dockerflow"),
    (
        "one `log.info(...)` of structlog, to a file",
        "proxy", "no fields", "structlog, as its documentation has it fastest (orjson)",
    ),
    ("what the middleware adds to a request of Flask", "served", "Flask", "dockerflow"),
)  # fmt: skip
_OURS = ("mozlog-py", "mozlog-py, `configure()`")


def main() -> None:
    """Replace what stands between the markers of both pages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=_HERE / "results.json")
    parser.add_argument("--newest", type=Path, default=_HERE / "results-3.14.json")
    parser.add_argument("--page", type=Path, default=_HERE.parent / "docs" / "benchmarks.md")
    parser.add_argument("--readme", type=Path, default=_HERE.parent / "README.md")
    options = parser.parse_args()
    results = json.loads(options.results.read_text(encoding="utf-8"))
    newest = json.loads(options.newest.read_text(encoding="utf-8"))
    _write(options.page, lambda of: f"{_text(of)}\n\n{_of_newest(newest)}", results)
    _write(options.readme, _figures, results)


def _write(page: Path, make: Callable[[dict[str, Any]], str], results: dict[str, Any]) -> None:
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise SystemExit(f"{page.name} has no {_BEGIN} with {_END} after it; add both")
    page.write_text(f"{before}{begin}\n{make(results)}\n{end}{after}", encoding="utf-8")


def _text(results: dict[str, Any]) -> str:
    contests = _by_group(results)
    to_a_file = "one `log.info(...)` to a file"
    return "\n\n".join(
        [
            "## One call of logging",
            _against_rivals("one `logger.info(...)` to a file", contests["call"]),
            _against_rivals("one `logger.info(...)`", contests["sink"]),
            _against_rivals("one `logger.info(...)` through a queue", contests["queue"]),
            "## One call of structlog",
            _against_rivals(f"{to_a_file}; `log = structlog.get_logger()`", contests["proxy"]),
            _against_rivals(
                f"{to_a_file}; `log = structlog.get_logger().bind()`", contests["bound"]
            ),
            _against_rivals("one `log.debug(...)` below the level", contests["unheard"]),
            "## One request",
            _of_requests(contests["served"]),
            "## The formatter alone",
            "The calls above include it.",
            _against_rivals("one `format(record)`", contests["format"]),
            _of_crowds(contests["context"]),
            _of_fields(contests["curve"][0], contests["slope"]),
            "## How it was measured",
            _made(results),
        ]
    )


def _of_newest(results: dict[str, Any]) -> str:
    runtimes = {of["runtime"] for of in results["environments"].values() if "runtime" in of}
    (runtime,) = (name for name in runtimes if name.startswith("CPython"))
    return "\n\n".join(
        [
            f"## On Python {runtime.split()[1].rpartition('.')[0]}",
            "The figures of the README, measured by the same program on a newer Python.",
            _figures(results),
            _made(results),
        ]
    )


def _by_group(results: dict[str, Any]) -> _Contests:
    contests: _Contests = {}
    for contest in results["contests"]:
        contests.setdefault(contest["group"], []).append(contest)
    return contests


def _figures(results: dict[str, Any]) -> str:
    rows = [["what is timed", "other library", "its time", "mozlog-py", "times as fast"]]
    contests = _by_group(results)
    for what, group, title, rival in _FIGURES:
        contenders = {
            contender["title"]: contender
            for contest in contests[group]
            if contest["title"] == title
            for contender in contest["contenders"]
        }
        theirs = contenders[rival]
        ours = next(contenders[name] for name in _OURS if name in contenders)
        # The ratio stands beside the contender that is not the first.
        ratio = theirs["ratio"] if "ratio" in theirs else ours["ratio"]
        factor = ratio["median"] if "ratio" in theirs else 1 / ratio["median"]
        name = rival.partition(",")[0]
        rows.append([what, name, _time(theirs), _time(ours), f"{factor:.1f}"])
    return _table(rows)


def _against_rivals(what: str, contests: list[dict[str, Any]]) -> str:
    rows = [[what, *(contest["title"] for contest in contests)]]
    for place, contender in enumerate(contests[0]["contenders"]):
        cells = [_cell(contest["contenders"][place]) for contest in contests]
        rows.append([contender["title"], *cells])
    return _table(rows)


def _of_requests(contests: list[dict[str, Any]]) -> str:
    who = [contender["title"] for contender in contests[0]["contenders"]]
    rows = [["what the middleware adds to a request, its summary to a file", *who]]
    for contest in contests:
        cells = [*map(_cell, contest["contenders"])]
        # Upstream stands first, and has nothing without a framework.
        rows.append([contest["title"], *["has none"] * (len(who) - len(cells)), *cells])
    return _table(rows)


def _of_crowds(contests: list[dict[str, Any]]) -> str:
    first = contests[0]["contenders"]
    rows = [["the context of mozlog-py", *(contender["title"] for contender in first)]]
    rows += [[contest["title"], *map(_cell, contest["contenders"])] for contest in contests]
    return _table(rows)


def _of_fields(curve: dict[str, Any], slopes: list[dict[str, Any]]) -> str:
    names = ["number of fields", *(contender["title"] for contender in curve["contenders"])]
    times = ["mozlog-py, one `format(record)`", *map(_time, curve["contenders"])]
    table = _table([names, times])
    costs = []
    for slope in slopes:
        contender = slope["contenders"][-1]
        if "ns_per_further_field" in contender:
            of = contender["ns_per_further_field"]
            costs.append(
                f"from {slope['title']} {of['median']:.0f} ns "
                f"({of['quarter']:.0f} to {of['three_quarters']:.0f})"
            )
    return f"{table}\n\nEach further field costs: {'; '.join(costs)}."


def _made(results: dict[str, Any]) -> str:
    machine = results["machine"]
    environments = results["environments"].values()
    runtimes = sorted({of["runtime"] for of in environments if "runtime" in of})
    # Several environments may have the same version of a package.
    packages = dict.fromkeys(
        f"{name} {version}"
        for environment in environments
        for name, version in environment.get("packages", {}).items()
    )
    unbuffered = results["PYTHONUNBUFFERED"]
    return (
        f"Measured on {results['date']} by `benchmarks/run.py`, a program of this repository. "
        f"{machine['cpu']}, {machine['cores']} cores, "
        f"{machine['system']}, {machine['libc']}, {' and '.join(runtimes)}, PYTHONUNBUFFERED "
        f"{'not set' if unbuffered is None else f'set to {unbuffered!r}'}; {', '.join(packages)}."
        f"\n\nTimes are medians over {results['rounds']} rounds of "
        f"{results['milliseconds']:g} ms. A factor compares with the first row; in the tables of "
        "the context and of requests, with the first column. It is the median of the factors of "
        "single rounds; the middle half of them is in parentheses. "
        "A line is timed only if it has all that was logged."
    )


def _cell(contender: dict[str, Any]) -> str:
    time = _time(contender)
    if "ratio" not in contender:
        return time
    of = contender["ratio"]
    return f"{time}, {of['median']:.2f} x ({of['quarter']:.2f} to {of['three_quarters']:.2f})"


def _time(contender: dict[str, Any]) -> str:
    if "not_run" in contender:
        return f"not run: {contender['not_run']}"
    if "ns" not in contender:
        return "wrong output" if "wrong_output" in contender else "not timed"
    ns = contender["ns"]["median"]
    return f"{ns:.0f} ns" if ns < 1000 else f"{ns / 1000:.2f} µs"


def _table(rows: list[list[str]]) -> str:
    head, *body = rows
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *body))


if __name__ == "__main__":
    main()
