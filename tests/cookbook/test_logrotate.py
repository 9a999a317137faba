"""The configuration of the cookbook is run by logrotate while two processes write to the file."""

import gzip
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conformance import checked_lines
from loopback import Running, running, wait_until
from recipe_page import Recipe

RECIPE = Recipe("logrotate")

#: Debian has it in a folder that is not on the PATH of every account.
LOGROTATE = shutil.which("logrotate") or shutil.which("logrotate", path="/usr/sbin")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    if LOGROTATE is None:
        pytest.skip("logrotate is not installed: apt-get install logrotate")
    folder = tmp_path / "logs"
    folder.mkdir(mode=0o750)
    return folder


def configured_for(logs: Path) -> str:
    """Return the configuration for a folder of the test, and for its own account."""
    text = RECIPE.files["logrotate.conf"]
    assert "/var/log/shop/*.log" in text
    assert "    su shop shop\n" in text
    return text.replace("/var/log/shop/", f"{logs}/").replace("    su shop shop\n", "")


def rotate(logs: Path) -> None:
    assert LOGROTATE is not None
    config = logs.parent / "logrotate.conf"
    config.write_text(configured_for(logs))
    config.chmod(0o644)
    done = subprocess.run(
        [LOGROTATE, "--force", "--state", str(logs.parent / "state"), str(config)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def numbers_by_process(logs: Path) -> dict[int, list[int]]:
    """Return the numbers of all lines, by process and in the order of the files."""
    found: dict[int, list[int]] = {}
    for path in sorted(logs.iterdir(), key=age_of, reverse=True):
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for line in checked_lines(raw):
            found.setdefault(line["Pid"], []).append(line["Fields"]["number"])
    return found


def age_of(path: Path) -> int:
    """Return the number in the name of a rotated file; 0 for the present one."""
    return int((path.name.removesuffix(".gz").partition(".log.")[2]) or 0)


def processes_in(path: Path) -> set[int]:
    """Return the processes whose lines a file has; the last line may not be complete yet."""
    if not path.exists():
        return set()
    whole = path.read_bytes().rpartition(b"\n")[0]
    return {line["Pid"] for line in checked_lines(whole + b"\n" if whole else b"")}


def test_no_line_is_lost_across_rotations(logs: Path, tmp_path: Path) -> None:
    file = logs / "shop.log"
    folders = [tmp_path / name / "app" for name in ("one", "two")]
    for folder in folders:
        RECIPE.write_files(folder)
    command = [sys.executable, "shop.py", str(file)]
    with running(command, folders[0]) as one, running(command, folders[1]) as two:
        writers = (one, two)
        pids = {writer.process.pid for writer in writers}
        for _ in range(3):
            wait_until(lambda: processes_in(file) == pids, "write to the file")
            rotate(logs)
        wait_until(lambda: processes_in(file) == pids, "write to the new file")
        for writer in writers:
            end(writer)
    assert [writer.err for writer in writers] == ["", ""]
    shown = RECIPE.commands["ls /var/log/shop"]
    assert sorted(path.name for path in logs.iterdir()) == shown.split()
    found = numbers_by_process(logs)
    assert found.keys() == pids
    for numbers in found.values():
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) > 4


def end(writer: Running) -> None:
    writer.process.send_signal(signal.SIGTERM)
    writer.process.wait(60)


def test_a_new_file_is_closed_to_other_accounts(logs: Path, tmp_path: Path) -> None:
    file = logs / "shop.log"
    folder = tmp_path / "one" / "app"
    RECIPE.write_files(folder)
    with running([sys.executable, "shop.py", str(file)], folder):
        wait_until(file.exists, "make the file")
        rotate(logs)
        wait_until(file.exists, "make the file again")
        assert file.stat().st_mode & 0o007 == 0


def test_the_configuration_has_what_keeps_all_lines() -> None:
    words = RECIPE.files["logrotate.conf"].split()
    assert {"compress", "delaycompress", "nocreate"} <= set(words)
    assert "copytruncate" not in words
