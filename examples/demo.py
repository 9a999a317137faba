"""The demonstration behind ``make demo``: a real service, real requests, its lines.

Starts ``guestbook.py`` twice, once with each format, sends it the same
requests, and shows what it wrote. Exits with status 0 only if the lines were
there and were valid MozLog.
"""

import os
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO

from mozlog_py import schema

SERVICE = Path(__file__).with_name("guestbook.py")


def main() -> int:
    """Show the lines in both formats; give the exit status."""
    print("== A service in Flask and SQLite, logging MozLog ==\n")
    lines = run("mozlog")
    print(lines)
    problems = [problem for line in lines.splitlines() for problem in schema.validate(line)]
    print("== The same events with LOG_FORMAT=pretty ==\n")
    pretty = run("pretty")
    print(pretty)
    expected = ("signed", "no such entry", "request failed", "ZeroDivisionError")
    missing = [text for text in expected if text not in lines or text not in pretty]
    if problems or missing:
        print(f"invalid: {problems}; missing: {missing}", file=sys.stderr)
        return 1
    print(f"{len(lines.splitlines())} lines, every one valid MozLog 2.0.")
    return 0


def run(log_format: str) -> str:
    """Start the service, send it requests, stop it; give what it wrote to stdout."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "PORT": "0",
            "DATABASE": str(Path(folder) / "guestbook.sqlite"),
            "LOG_FORMAT": log_format,
            "LOG_LEVEL": "INFO",
        }
        if sys.stdout.isatty():
            environment.setdefault("FORCE_COLOR", "1")
        command = [sys.executable, str(SERVICE)]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        ) as process:
            assert process.stdout is not None
            try:
                first, port = wait_until_serving(process.stdout)
                send_requests(f"http://127.0.0.1:{port}")
            finally:
                process.terminate()
            return first + process.stdout.read()


def wait_until_serving(output: IO[str]) -> tuple[str, int]:
    """Give what was written so far, and the port that the service chose."""
    seen = ""
    for line in output:
        seen += line
        port = re.search(r"port\W+(\d+)", re.sub("\x1b\\[[0-9;]*m", "", line))
        if port:
            return seen, int(port[1])
    raise RuntimeError(f"the service ended before it served; it wrote: {seen!r}")


def send_requests(base: str) -> None:
    """Ask for an average of nothing, which raises; sign; read an entry; miss one."""
    for path, data in (
        ("/average", None),
        ("/entries", {"name": "Zoë\u2028"}),
        ("/entries/1", None),
        ("/entries/2", None),
    ):
        body = urllib.parse.urlencode(data).encode() if data else None
        try:
            with urllib.request.urlopen(base + path, data=body, timeout=10) as response:
                response.read()
        except urllib.error.HTTPError as error:
            # The 404 and the 500 are part of the demonstration.
            error.close()


if __name__ == "__main__":
    sys.exit(main())
