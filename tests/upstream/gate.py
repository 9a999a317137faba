"""Run upstream's own tests with upstream and with ours: what passes there passes here.

``make upstream`` runs it. Everything it fetches and makes is in ``.matrix/upstream``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from comparison import Outcomes, compare, passed_in, problems, read_report, table  # noqa: E402
from environments import (  # noqa: E402
    UPSTREAM,
    Environment,
    GateError,
    digest,
    fetch_source,
    our_environment,
    upstream_environment,
)
from redis_port import redis_on_its_port  # noqa: E402

FOLDER = ROOT / ".matrix" / "upstream"

#: How many of upstream's tests pass with upstream, at the least.
KNOWN = 117

#: The folders of each run. Two of Sanic's tests take the first record that they see,
#: which Sanic's own start logs, unless core's tests have run before and have silenced
#: that (so upstream's tox runs them); another one fails in that order only.
RUNS: Mapping[str, tuple[str, ...]] = {
    "core": ("core",),
    "django": ("django",),
    "fastapi": ("fastapi",),
    "flask": ("flask",),
    "sanic": ("sanic",),
    "sanic after core": ("core", "sanic"),
}

#: As in upstream's tox.ini, without measuring its coverage.
_PYTEST = (
    "-m", "pytest", "--quiet", "-o", "addopts=", "-o", "django_find_project=false",
    "--no-migrations", "-p", "no:cacheprovider", "--disable-warnings",
)  # fmt: skip
_KEPT_VARIABLES = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR")
_RUNS_WITHIN_S = 300.0

_SHOWN_VERSIONS = (
    "django", "fastapi", "starlette", "flask", "sanic", "sanic-testing", "redis", "pytest",
)  # fmt: skip


def main() -> None:
    """Run the gate, print its table, and end with 1 where it fails."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        found = _gate()
    except GateError as error:
        sys.exit(f"upstream: {error}")
    sys.exit("".join(f"upstream: {problem}\n" for problem in found) or None)


def _gate() -> list[str]:
    source = fetch_source(FOLDER)
    upstream = upstream_environment(FOLDER, source)
    ours = our_environment(FOLDER, ROOT, upstream)
    print(f"{UPSTREAM}, Python {upstream.python_version}", end="")
    print(*(f", {name} {upstream.packages[name]}" for name in _SHOWN_VERSIONS), sep="", flush=True)
    kept = FOLDER / "outcomes-with-upstream.json"
    key = digest(upstream.python_version, upstream.packages, RUNS, _PYTEST)
    theirs = _kept_outcomes(kept, key)
    with redis_on_its_port() as whose:
        print(whose, flush=True)
        if theirs is None:
            theirs = _run_all(upstream, source)
            # A run that is short of tests may be better next time.
            if len(passed_in(*theirs.values())) >= KNOWN:
                kept.write_text(json.dumps({"key": key, "outcomes": theirs}))
        else:
            print("The outcomes with upstream are those of an earlier run with these versions.")
        own = _run_all(ours, source)
    rows = [compare(name, theirs[name], own[name]) for name in RUNS]
    print(table(rows))
    passed = len(passed_in(*theirs.values()))
    passed_with_ours = len(passed_in(*theirs.values()) & passed_in(*own.values()))
    print(f"{passed} different tests pass with upstream, {passed_with_ours} of them with ours")
    return problems(rows, passed, KNOWN)


def _kept_outcomes(kept: Path, key: str) -> dict[str, Outcomes] | None:
    if not kept.exists():
        return None
    found = json.loads(kept.read_text())
    return found["outcomes"] if found["key"] == key else None


def _run_all(environment: Environment, source: Path) -> dict[str, Outcomes]:
    return {name: _run(environment, source, name) for name in RUNS}


def _run(environment: Environment, source: Path, name: str) -> Outcomes:
    files = FOLDER / "runs" / environment.folder.name / name.replace(" ", "-")
    files.mkdir(parents=True, exist_ok=True)
    report, log = files / "report.xml", files / "log"
    report.unlink(missing_ok=True)
    variables = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    variables |= {
        "DJANGO_SETTINGS_MODULE": "tests.django.settings",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(source),
    }
    command = [
        str(environment.python), *_PYTEST, f"--junitxml={report}", f"--basetemp={files / 'tmp'}",
        *(f"tests/{folder}" for folder in RUNS[name]),
    ]  # fmt: skip
    with log.open("wb") as output:
        try:
            ended: int | str = subprocess.run(
                command, cwd=source, env=variables, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, timeout=_RUNS_WITHIN_S, check=False,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            ended = f"not within {_RUNS_WITHIN_S:.0f} s"
    # 0 and 1 are pytest's own ways to say that all tests ran.
    if ended not in (0, 1):
        print(f"{files.relative_to(FOLDER)} ended with {ended}; its log, {log}, ends with:")
        print("\n".join(log.read_text("utf-8", "replace").splitlines()[-30:]), flush=True)
    return read_report(report) if report.exists() else {}


if __name__ == "__main__":
    main()
