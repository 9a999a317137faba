"""Cause all faults often; print a table of lines: tried, survived, lost, and counted as lost.

    python tests/faults/torture.py                  some minutes
    python tests/faults/torture.py --share 0.02     a look
    python tests/faults/torture.py --write          writes the table of docs/faults.md as well

The standard library's handler, with the same formatter, meets the same faults. The exit status
is 1 if a fault leaves our handler with a torn, doubled or uncounted line, or makes a process
hang.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import harness

_PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
_BEGIN, _END = "<!-- faults:begin -->", "<!-- faults:end -->"
# The fault, how often, and whether the standard handler can meet it as well.
_FAULTS = [
    (partial(harness.nonblocking, unbuffered=""), 100_000, True),
    (partial(harness.nonblocking, unbuffered="1"), 100_000, True),
    (harness.timer, 500, True),
    (harness.logging_timer, 500, True),
    (harness.raising_timer, 500, True),
    (harness.forks, 3000, True),
    (harness.forked_processes, 500, True),
    (harness.processes, 500, True),
    (harness.killed, 500, True),
    (harness.dev_full, 5000, True),
    (harness.closed_pipe, 5000, True),
    (harness.limited, 5000, True),
    ("full", 3000, True),
    (partial(harness.stopped_reader, seconds=10.0), 50_000, False),
    (harness.shutdown, 5000, True),
]


def main() -> int:
    """Cause all faults; return 1 if our handler was not exact."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--share", type=float, default=1.0, help="of how often each is tried")
    parser.add_argument("--write", action="store_true", help="write the table into docs/faults.md")
    options = parser.parse_args()
    rows = []
    is_exact = True
    for fault, count, has_rival in _FAULTS:
        count = max(20, int(count * options.share))
        ours = _met(fault, count, "ours")
        if ours is None:
            continue
        is_exact = is_exact and ours.is_exact
        # The standard handler may hang here: a few have to do.
        few = min(count, 60) if fault is harness.forks else count
        theirs = _met(fault, few, "standard") if has_rival else None
        rows.append([ours.fault, *_cells(ours), *(_cells(theirs) if theirs else ["-"] * 4)])
        print(_row(rows[-1]), flush=True)
        if ours.facts.get("p99"):
            print(f"  99 of 100 calls took less than {ours.facts['p99'] * 1e6:.0f} µs", flush=True)
    table = _table(rows)
    print(f"\n{table}")
    if options.write:
        _write(table)
    return 0 if is_exact else 1


def _met(fault, count, handler):
    try:
        if fault == "full":
            with _small_file_system() as directory:
                if directory is None:
                    print("full file system: not tried, a tmpfs cannot be mounted here")
                    return None
                return harness.full(count, handler, directory=directory)
        return fault(count, handler)
    except (TimeoutError, subprocess.TimeoutExpired) as error:
        return harness.FaultResult(f"{fault}: {error}", tried=count, hung=1)


@contextmanager
def _small_file_system() -> Iterator[Path | None]:
    with tempfile.TemporaryDirectory() as directory:
        mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", directory]
        try:
            is_mounted = not subprocess.run(mount, capture_output=True, check=False).returncode
        except FileNotFoundError:
            is_mounted = False
        try:
            yield Path(directory) if is_mounted else None
        finally:
            if is_mounted:
                subprocess.run(["umount", directory], check=True)


def _cells(outcome) -> list[str]:
    wrong = [
        f"{count} {what}"
        for what, count in (
            ("torn", outcome.partial), ("doubled", outcome.doubled), ("hung", outcome.hung),
        )
        if count
    ]  # fmt: skip
    if outcome.status:
        wrong.append(f"exit status {outcome.status}")
    counted = str(outcome.reported) if "lost" in outcome.facts or not outcome.lost else "-"
    return [
        str(outcome.tried),
        str(outcome.survived),
        str(outcome.lost),
        ", ".join([counted, *wrong]),
    ]


def _row(cells) -> str:
    return f"| {' | '.join(cells)} |"


def _table(rows) -> str:
    head = [
        "fault",
        "tried",
        "survived",
        "lost",
        "counted",
        "standard: tried",
        "survived",
        "lost",
        "counted",
    ]
    rule = ["---", *["---:"] * 8]
    return "\n".join(map(_row, (head, rule, *rows)))


def _write(table: str) -> None:
    text = _PAGE.read_text("utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise SystemExit(f"{_PAGE.name} has no {_BEGIN} with {_END} after it; add both")
    _PAGE.write_text(f"{before}{begin}\n{table}\n{end}{after}", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
