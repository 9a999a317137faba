"""The steps of the cookbook's Dockerfile are run in a folder, and its command as its user."""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conformance import checked_lines
from dockerfile_steps import Image
from loopback import answer_of, running
from ports import free_port
from recipe_page import Recipe

from mozlog_py import __version__

RECIPE = Recipe("container")
PIP = "pip install --no-cache-dir -r requirements.txt"
WHEEL = f"mozlog_py-{__version__}-py3-none-any.whl"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Outcome:
    """What a container of the image has answered and written, from its start to SIGTERM."""

    user: int
    page: tuple[int, str]
    version: Any
    exit_status: int
    out: bytes
    err: str


@pytest.fixture(scope="module")
def outcome() -> Iterator[Outcome]:
    with readable_folder() as folder:
        image = built(folder, COMMIT=COMMIT, VERSION="1.4.0")
        port = free_port()
        environment = image.process_environment()
        environment["GUNICORN_CMD_ARGS"] = f"--bind 127.0.0.1:{port}"
        command = [*as_user_of(image), *image.command]
        with running(command, image.folder, port, environment) as served:
            page = answer_of(port, "/")
            version = json.loads(answer_of(port, "/__version__")[1])
            user = Path(f"/proc/{served.process.pid}").stat().st_uid
        yield Outcome(
            user, page, version, served.process.returncode or 0, served.out, served.err
        )  # fmt: skip


def readable_folder() -> "tempfile.TemporaryDirectory[str]":
    """Return a folder that another user can read, unlike pytest's own."""
    folder = tempfile.TemporaryDirectory(prefix="mozlog-", dir="/tmp")
    Path(folder.name).chmod(0o755)
    return folder


def built(folder: str, steps: str = RECIPE.files["Dockerfile"], **build_args: str) -> Image:
    context, root = Path(folder, "context"), Path(folder, "root")
    root.mkdir()
    RECIPE.write_files(context)
    write_wheel(context)
    image = Image(context, root, build_args)
    image.build(steps)
    return image


def write_wheel(folder: Path) -> None:
    """Write a wheel with no code: pip reads its name, its version and its requirements."""
    metadata = importlib.metadata.distribution("mozlog-py").read_text("METADATA")
    assert metadata is not None
    there = f"mozlog_py-{__version__}.dist-info"
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        wheel.writestr(f"{there}/METADATA", metadata)
        tags = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{there}/WHEEL", tags)
        wheel.writestr(f"{there}/RECORD", "")


def as_user_of(image: Image) -> list[str]:
    """Return what to put before a command so that it runs as the image's user.

    The command may read every file, because the Python of the tests may be in a folder that is
    closed to other users. It may write none. Without root or ``setpriv`` the list is empty.
    """
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return []
    user = str(image.user)
    prefix = [
        "setpriv", "--reuid", user, "--regid", user, "--clear-groups",
        "--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search",
    ]  # fmt: skip
    probe = subprocess.run(
        [*prefix, sys.executable, "-c", ""], capture_output=True, check=False, timeout=60
    )
    return prefix if probe.returncode == 0 else []


def test_the_command_of_the_image_runs_as_the_user_that_the_image_names(outcome: Outcome) -> None:
    if os.geteuid() != 0:
        pytest.skip("the tests do not run as root, and cannot start a process as another user")
    if outcome.user == 0:
        pytest.skip("setpriv cannot start a process as another user here")
    assert outcome.user == 10001


def test_the_image_says_which_commit_it_was_built_from(outcome: Outcome) -> None:
    assert outcome.version == {"source": "", "version": "1.4.0", "commit": COMMIT, "build": ""}


def test_all_output_of_the_container_is_lines(outcome: Outcome) -> None:
    assert outcome.page == (200, "hello\n")
    assert (outcome.exit_status, outcome.err) == (0, "")
    lines = checked_lines(outcome.out)
    # From the server's first line to its last one, after SIGTERM.
    assert "Starting gunicorn" in lines[0]["Fields"]["msg"]
    assert "Shutting down" in lines[-1]["Fields"]["msg"]


def test_a_request_is_the_lines_that_the_page_shows(outcome: Outcome) -> None:
    lines = checked_lines(outcome.out)
    of_request = [
        line["Fields"] for line in lines
        if line["Type"] == "shop.cart" or line["Fields"].get("path") == "/"
    ]  # fmt: skip
    RECIPE.assert_shows("of a request", of_request)
    assert of_request[0]["rid"] == of_request[1]["rid"]


def test_the_image_installs_the_wheel_of_this_version() -> None:
    assert f"./{WHEEL}[flask]" in RECIPE.files["requirements.txt"].splitlines()
    with readable_folder() as folder:
        image = built(folder, COMMIT=COMMIT, VERSION="1.4.0")
    assert f"Would install mozlog-py-{__version__}" in image.output


def test_a_build_without_a_commit_fails() -> None:
    with readable_folder() as folder:
        with pytest.raises(subprocess.CalledProcessError) as failed:
            built(folder, steps=RECIPE.files["Dockerfile"].replace(f"RUN {PIP}\n", ""))
        assert "dockerflow version:" in failed.value.stderr
        assert not Path(folder, "root", "app", "version.json").exists()


def test_the_version_file_of_the_machine_does_not_reach_the_image() -> None:
    assert {".git", "version.json"} <= set(RECIPE.files[".dockerignore"].splitlines())
