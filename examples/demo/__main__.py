"""The demonstration behind ``make demo``: what is lost elsewhere, a request, an outage.

Runs one program with upstream's dockerflow and with mozlog-py, and shows what a collector
gets of each. Sends a request to ``examples/guestbook.py``, takes its database away and
brings it back. Ends with status 0 only if mozlog-py has kept all lines and the service has
answered as it should.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from itertools import dropwhile
from pathlib import Path

import guestbook_service
import side_by_side
from databases import SQLite, a_database
from guestbook_service import Answer, failed_checks
from processes import Processes
from screen import WIDTH, is_coloured, paint, row, wrapped

from mozlog_py import schema

ROOT = Path(__file__).resolve().parents[2]
UPSTREAM = ROOT / ".matrix" / "demo" / "upstream" / "bin" / "python"

_NAME = "Zo\xeb"
_REQUEST_ID = "demo-1"
_NEXT = 'pip install ".[flask]" and run shop.py of README.md; docs/migrate.md if you use dockerflow'
#: The widths of the three columns of the first part, and of the four of the third.
_WIDTHS = (31, 23, 39)
_ASKED_WIDTHS = (7, 20, 3, 61)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--upstream", type=Path, default=UPSTREAM, metavar="PYTHON",
        help="the interpreter of an environment with upstream's dockerflow, Flask and SQLAlchemy",
    )  # fmt: skip
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="mozlog-demo-") as folder, Processes() as processes:
            wrong = tell(processes, Path(folder), options.upstream)
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough; without this the interpreter complains of it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        wrong = [str(error)]
    for what in wrong:
        print(f"demo: {what}", file=sys.stderr)
    return 1 if wrong else 0


def tell(processes: Processes, folder: Path, upstream: Path) -> list[str]:
    """Run and print the three parts; return what was not as it should be."""
    # What takes long starts first, and beside each other.
    ours = side_by_side.start(processes, Path(sys.executable), folder)
    theirs = side_by_side.start(processes, upstream, folder) if upstream.exists() else None
    pretty = guestbook_service.start(
        processes, folder, SQLite(folder, "pretty").url, "pretty", is_coloured=is_coloured()
    )
    database, why = a_database(processes, folder)
    service = guestbook_service.start(processes, folder, database.url, "mozlog")

    wrong = compare(ours, theirs)
    for each in (pretty, service):
        each.wait()
    signed = [
        each.ask("/entries", {"name": _NAME}, _REQUEST_ID).status for each in (pretty, service)
    ]
    answers = [service.ask("/__heartbeat__")]
    database.stop()
    answers += [service.ask("/__heartbeat__"), service.ask("/__lbheartbeat__")]
    database.start()
    answers.append(service.ask("/__heartbeat__"))
    lines = service.stop()
    wrong += show_request(pretty.stop(), lines, signed)
    wrong += show_outage(database.name, why, answers, lines)
    if not wrong:
        print(f"\nNext: {_NEXT}")
    return wrong


def compare(ours: side_by_side.Run, theirs: side_by_side.Run | None) -> list[str]:
    """Print what a collector gets with each distribution; return what ours has not kept."""
    ours.wait()
    if theirs is None:
        names = ["(not installed)", ours.distribution]
    else:
        theirs.wait()
        names = [theirs.distribution, ours.distribution]
    title(f"1. One program, run with each on Python {platform.python_version()}: what arrives")
    row(("the program logs", *names), _WIDTHS, ("bold", "bold", "bold"))
    wrong = []
    for case in side_by_side.CASES:
        kept = side_by_side.outcome(case, ours.lines_of(case.name))
        left, style = "make demo installs it", "dim"
        if theirs is not None:
            other = side_by_side.outcome(case, theirs.lines_of(case.name))
            left, style = other.text, "good" if other.is_kept else "bad"
        style_of_ours = "good" if kept.is_kept else "bad"
        row((case.what, left, kept.text), _WIDTHS, ("", style, style_of_ours))
        if not kept.is_kept:
            wrong.append(f"mozlog-py has not kept {case.what}: {kept.text}")
    return wrong


def show_request(pretty: list[str], lines: list[str], statuses: list[int]) -> list[str]:
    """Print the lines of the request in both formats; return what is wrong with them."""
    title(f"2. One request: POST /entries name={_NAME}, answered with {statuses[1]}")
    row(("LOG_FORMAT=pretty, for people",), (WIDTH,), ("bold",))
    # The service's first record is of its start; lines that go on with it are indented.
    pretty = list(dropwhile(lambda line: line.startswith(" "), pretty[1:]))
    for line in pretty:
        wrapped(line)
    event = next((line for line in lines if f"{_NAME} signed" in line), "")
    row(
        ("LOG_FORMAT=mozlog, for collectors: the event, one line, wrapped here",),
        (WIDTH,),
        ("bold",),
    )
    wrapped(event)
    wrong = [f"POST /entries was answered with {each}, not 201" for each in statuses if each != 201]
    wrong += [str(problem) for line in lines for problem in schema.validate(line)]
    if not event or _REQUEST_ID not in event:
        wrong.append("no line with the event and its request id")
    if not any(_NAME in line for line in pretty):
        wrong.append("no pretty line of the event")
    return wrong


def show_outage(name: str, why: str, answers: list[Answer], lines: list[str]) -> list[str]:
    """Print the answers around the outage; return those that were not as they should be."""
    title(f"3. {name} goes away, and comes back")
    if why:
        wrapped(paint(f"SQLite takes the place of PostgreSQL: {why}", "dim"))
    found = [json.loads(line) for line in lines]
    logged = [line for line in found if line["Fields"].get("check") == "database"]
    fails = [
        f"Severity {line['Severity']}: {line['Fields'].get('msg', '')}" for line in logged
    ] or ["nothing"]
    before, away, alive, back = answers
    steps = [
        ("runs", "GET /__heartbeat__", before, checks_of(before)),
        ("is away", "GET /__heartbeat__", away, checks_of(away)),
        ("", "GET /__lbheartbeat__", alive, "the process is alive: no restart"),
        ("is back", "GET /__heartbeat__", back, checks_of(back)),
    ]
    for when, asked, answer, said in steps:
        cells = (when, asked, str(answer.status), said)
        style = "good" if answer.status == 200 else "bad"
        row(cells, _ASKED_WIDTHS, ("", "", style, ""))
        if when == "is away":
            row(("", "it logs", "", fails[0]), _ASKED_WIDTHS, ("", "", "", ""))
    wrong = []
    statuses = [answer.status for answer in answers]
    if statuses != [200, 500, 200, 200]:
        wrong.append(f"the heartbeats were answered with {statuses}, not with 200, 500, 200, 200")
    elif failed_checks(away) != ["database"]:
        wrong.append(f"the heartbeat does not name the check of the database: {away.body}")
    codes = [line["Fields"]["code"] for line in found if line["Type"] == "request.summary"]
    if codes != [201, *statuses]:
        wrong.append(f"the summaries have the codes {codes}, not {[201, *statuses]}")
    if len(logged) != 1:
        wrong.append(f"the failed check was logged {len(logged)} times, not once")
    return wrong


def checks_of(answer: Answer) -> str:
    """Return the checks of a heartbeat and their states."""
    try:
        checks = json.loads(answer.body)["checks"]
    except (ValueError, KeyError):
        return answer.body
    return "checks: " + ", ".join(f"{name} {state}" for name, state in checks.items())


def title(text: str) -> None:
    """Print the title of a part; an empty line stands before all but the first."""
    print(("" if text.startswith("1.") else "\n") + paint(text, "bold"))


if __name__ == "__main__":
    sys.exit(main())
