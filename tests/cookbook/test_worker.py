"""docs/cookbook/worker.md, as a real process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conformance import checked_lines
from recipes import Recipe

RECIPE = Recipe("worker")
ENVIRONMENT = {**os.environ, "LOG_LEVEL": "INFO"}
_PATIENCE_S = 60.0


@contextmanager
def worker(folder: Path, old: str = "", new: str = "") -> Iterator["subprocess.Popen[bytes]"]:
    """Run the worker of the page, and end it at the latest at the end of the block."""
    RECIPE.write("worker", folder, old, new)
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "worker.py"], cwd=folder, env=ENVIRONMENT, stdout=out
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(text: bytes, folder: Path, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + _PATIENCE_S
    while text not in (folder / "out").read_bytes():
        assert process.poll() is None
        assert time.monotonic() < end, text
        time.sleep(0.02)


def add_jobs(folder: Path) -> None:
    (folder / "jobs").mkdir()
    for number, amount in ((1, 12.5), (2, 250)):
        job = json.dumps({"id": f"j{number}", "amount": amount})
        (folder / "jobs" / f"{number}.json").write_text(job)
    (folder / "jobs" / "3.json").write_text("no JSON")


def healthy(folder: Path) -> "subprocess.CompletedProcess[bytes]":
    """Run the command of the page that checks the worker."""
    command = [sys.executable, RECIPE.write("healthy", folder).name]
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, timeout=120, check=False
    )


def test_the_page_about_a_worker_is_complete() -> None:
    RECIPE.assert_is_complete("worker", "healthy")


def test_a_worker_has_a_line_for_each_job_and_stops_at_sigterm(tmp_path: Path) -> None:
    add_jobs(tmp_path)
    with worker(tmp_path) as process:
        wait_for(b"JSONDecodeError", tmp_path, process)
        assert healthy(tmp_path).returncode == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=_PATIENCE_S) == 0
    RECIPE.snippets["worker"].assert_shows((tmp_path / "out").read_bytes())
    assert list((tmp_path / "jobs").iterdir()) == []


def test_a_job_in_progress_ends_before_the_worker_stops(tmp_path: Path) -> None:
    add_jobs(tmp_path)
    limit = "    if amount > 100:"
    with worker(tmp_path, limit, f"    time.sleep(1)\n{limit}") as process:
        wait_for(b'"charging"', tmp_path, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=_PATIENCE_S) == 0
    lines = checked_lines((tmp_path / "out").read_bytes())
    messages = [line["Fields"]["msg"] for line in lines]
    assert messages == ["charging", "done", "stopped"]
    # The other jobs are left to the next worker.
    assert sorted(path.name for path in (tmp_path / "jobs").iterdir()) == ["2.json", "3.json"]


def test_a_worker_that_does_not_read_its_queue_is_not_healthy(tmp_path: Path) -> None:
    (tmp_path / "beat").touch()
    past = time.time() - 35
    os.utime(tmp_path / "beat", (past, past))
    done = healthy(tmp_path)
    assert done.returncode == 1
    RECIPE.snippets["healthy"].assert_shows(done.stdout)


def test_a_worker_that_has_never_started_is_not_healthy(tmp_path: Path) -> None:
    done = healthy(tmp_path)
    assert done.returncode == 1
    (line,) = checked_lines(done.stdout)
    message = "shop.E002: the worker has not started"
    assert line["Fields"] == {"check": "queue_is_read", "msg": message}
