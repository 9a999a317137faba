"""Write the results into README.md, between two markers, as tables.

    python benchmarks/table.py

Everything that it says is read from the results; nothing is measured here.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

__all__: list[str] = []

_HERE = Path(__file__).resolve().parent
_BEGIN = "<!-- benchmarks:begin -->"
_END = "<!-- benchmarks:end -->"


def main() -> None:
    """Replace what stands between the markers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=_HERE / "results.json")
    parser.add_argument("--readme", type=Path, default=_HERE.parent / "README.md")
    options = parser.parse_args()
    results = json.loads(options.results.read_text(encoding="utf-8"))
    readme = options.readme.read_text(encoding="utf-8")
    before, begin, rest = readme.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise SystemExit(f"{options.readme.name} has no {_BEGIN} with {_END} after it; add both")
    text = f"{before}{begin}\n{_text(results)}\n{end}{after}"
    options.readme.write_text(text, encoding="utf-8")


def _text(results: dict[str, Any]) -> str:
    contests: dict[str, list[dict[str, Any]]] = {}
    for contest in results["contests"]:
        contests.setdefault(contest["group"], []).append(contest)
    to_a_file = "one `log.info(...)` to a file"
    return "\n\n".join(
        [
            _against_rivals("one `format(record)`", contests["format"]),
            _against_rivals("one `logger.info(...)` to a file", contests["call"]),
            _against_rivals("one `logger.info(...)`", contests["sink"]),
            _against_rivals("one `logger.info(...)` through a queue", contests["queue"]),
            _of_crowds(contests["context"]),
            _of_fields(contests["curve"][0], contests["slope"]),
            _against_rivals(f"{to_a_file}; `log = structlog.get_logger()`", contests["proxy"]),
            _against_rivals(
                f"{to_a_file}; `log = structlog.get_logger().bind()`", contests["bound"]
            ),
            _against_rivals("one `log.debug(...)` that is not heard", contests["unheard"]),
            _of_requests(contests["served"]),
            _made(results),
        ]
    )


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
    rows = [["our context", *(contender["title"] for contender in first)]]
    rows += [[contest["title"], *map(_cell, contest["contenders"])] for contest in contests]
    return _table(rows)


def _of_fields(curve: dict[str, Any], slopes: list[dict[str, Any]]) -> str:
    names = ["fields", *(contender["title"] for contender in curve["contenders"])]
    times = ["our `format(record)`", *map(_time, curve["contenders"])]
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
    packages = [
        f"{name} {version}"
        for environment in environments
        for name, version in environment.get("packages", {}).items()
    ]
    unbuffered = results["PYTHONUNBUFFERED"]
    return (
        f"Measured on {results['date']} by `benchmarks/run.py`, which is ours; "
        f"repeat it with `make bench`. {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['system']}, {machine['libc']}, {' and '.join(runtimes)}, PYTHONUNBUFFERED "
        f"{'not set' if unbuffered is None else f'set to {unbuffered!r}'}; {', '.join(packages)}. "
        f"Times are medians over {results['rounds']} rounds of {results['milliseconds']:g} ms. "
        "A factor compares with the first row (of our context and of requests, the first column) "
        "and is the median of the factors of single rounds; the middle half of them is in "
        "parentheses. "
        "A line is timed only where it says all that was logged."
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
