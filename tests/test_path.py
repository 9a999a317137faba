"""What stands at a log's path: taken as it is at the start, and with care from then on."""

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance import Capture, checked_lines

from mozlog_py import MozlogHandler, MozlogQueueHandler
from mozlog_py._sink import reopenable_file
from mozlog_py._sink.reopenable_file import ReopenableFile
from mozlog_py.sink import Sink


@pytest.fixture(autouse=True)
def looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reopenable_file, "_CHECK_EVERY_S", 0.0)
    monkeypatch.setattr(reopenable_file, "_RETRY_S", 0.0)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what would be noted on stderr."""
    notes: list[str] = []
    monkeypatch.setattr(reopenable_file, "note", notes.append)
    return notes


class Log:
    """A handler on a path, directly or behind the queue; ``say`` returns when the line is out."""

    def __init__(self, kind: Any, where: Path | str) -> None:
        self.handler = kind(where)
        self.capture = Capture(self.handler)

    def say(self, text: str) -> None:
        self.capture.logger.info(text)
        self.handler.flush()

    def reopen(self) -> None:
        self.handler.reopen()


@pytest.fixture(params=[MozlogHandler, MozlogQueueHandler])
def log(request: pytest.FixtureRequest) -> Iterator[Any]:
    made: list[Log] = []

    def make(where: Path | str) -> Log:
        made.append(Log(request.param, where))
        return made[-1]

    yield make
    for each in made:
        each.handler.close()


def said(file: Path) -> list[str]:
    return [line["Fields"]["msg"] for line in checked_lines(file.read_bytes())]


class TestTheFirstOpen:
    @pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o640), (0, 0o640), (0o077, 0o600)])
    def test_the_first_open_makes_a_file_with_mode_0640_less_the_umask(
        self, umask: int, mode: int, tmp_path: Path
    ) -> None:
        former = os.umask(umask)
        try:
            stream = ReopenableFile(tmp_path / "log")
            (tmp_path / "log").rename(tmp_path / "log.1")
            stream.request_reopen()
            stream.reopen_if_moved()
        finally:
            os.umask(former)
        assert [stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()] == [mode] * 2

    def test_the_first_open_leaves_the_mode_of_a_file_that_is_there(self, tmp_path: Path) -> None:
        (tmp_path / "log").touch()
        (tmp_path / "log").chmod(0o604)
        ReopenableFile(tmp_path / "log")
        assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o604

    @pytest.mark.parametrize("is_there", [True, False])
    def test_the_first_open_follows_links(self, is_there: bool, log: Any, tmp_path: Path) -> None:
        (tmp_path / "volume").mkdir()
        if is_there:
            (tmp_path / "volume" / "app.log").touch()
        (tmp_path / "second").symlink_to(Path("volume", "app.log"))
        (tmp_path / "log").symlink_to("second")
        log(tmp_path / "log").say("one")
        assert said(tmp_path / "volume" / "app.log") == ["one"]
        assert (tmp_path / "log").is_symlink()

    def test_the_first_open_refuses_links_without_an_end(self, tmp_path: Path) -> None:
        (tmp_path / "a").symlink_to("b")
        (tmp_path / "b").symlink_to("a")
        with pytest.raises(OSError, match="symbolic links"):
            ReopenableFile(tmp_path / "a")

    def test_the_first_open_takes_the_null_device_and_bytes(self, log: Any, tmp_path: Path) -> None:
        null = log("/dev/null")
        null.say("one")
        null.reopen()
        null.say("two")
        assert null.handler.lost == 0
        assert Sink(ReopenableFile(os.fsencode(tmp_path / "log"))).write(b"x\n")  # type: ignore[arg-type]
        assert (tmp_path / "log").read_bytes() == b"x\n"

    def test_the_first_open_of_a_fifo_without_a_reader_is_an_error_and_does_not_wait(
        self, tmp_path: Path
    ) -> None:
        os.mkfifo(tmp_path / "fifo")
        with pytest.raises(OSError, match="a FIFO that no process reads; start its reader"):
            MozlogHandler(tmp_path / "fifo")

    def test_the_first_open_of_a_socket_is_an_error(self, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(tmp_path / "socket"))
            with pytest.raises(OSError, match="it is a socket"):
                MozlogHandler(tmp_path / "socket")

    def test_the_first_open_of_a_directory_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(IsADirectoryError):
            MozlogHandler(tmp_path)

    def test_the_first_open_of_a_fifo_with_a_reader_is_for_writes_that_wait(
        self, tmp_path: Path
    ) -> None:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        stream = ReopenableFile(fifo)
        assert os.get_blocking(stream.fileno())
        sink = Sink(stream, max_line_bytes=0)
        got: list[bytes] = []

        def read() -> None:
            os.set_blocking(reader, True)
            while sum(map(len, got)) < 300_001:
                got.append(os.read(reader, 65_536))

        thread = threading.Thread(target=read)
        thread.start()
        assert sink.write(b"x" * 300_000 + b"\n")
        thread.join()
        os.close(reader)
        assert b"".join(got) == b"x" * 300_000 + b"\n"


class TestAFifo:
    def test_a_fifo_is_opened_once_and_its_reader_may_come_back(
        self, log: Any, tmp_path: Path
    ) -> None:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        made = log(fifo)
        made.say("one")
        fifo.rename(tmp_path / "other")
        fifo.touch()
        made.reopen()
        made.say("two")
        first = checked_lines(os.read(reader, 65_536))
        os.close(reader)
        made.say("without a reader")
        reader = os.open(tmp_path / "other", os.O_RDONLY | os.O_NONBLOCK)
        made.say("three")
        again = checked_lines(os.read(reader, 65_536))
        os.close(reader)
        assert [line["Fields"]["msg"] for line in first] == ["one", "two"]
        assert [line["Fields"]["msg"] for line in again] == ["three", "1 records were lost"]
        assert made.handler.sink.dropped == {"EPIPE": 1}
        assert fifo.read_bytes() == b""


class TestALinkThatWasThere:
    def test_a_link_that_was_there_stands_for_its_file_which_is_rotated(
        self, log: Any, tmp_path: Path, quiet: list[str]
    ) -> None:
        (tmp_path / "volume").mkdir()
        target = tmp_path / "volume" / "app.log"
        (tmp_path / "log").symlink_to(target)
        made = log(tmp_path / "log")
        made.say("one")
        target.rename(tmp_path / "volume" / "app.log.1")
        made.say("two")
        target.rename(tmp_path / "volume" / "app.log.2")
        made.reopen()
        made.say("three")
        assert said(tmp_path / "volume" / "app.log.1") == ["one"]
        assert said(tmp_path / "volume" / "app.log.2") == ["two"]
        assert said(target) == ["three"]
        assert quiet == []

    def test_and_leads_elsewhere_is_not_followed_and_noted_once(
        self, log: Any, tmp_path: Path, quiet: list[str]
    ) -> None:
        first, second = tmp_path / "app.27.log", tmp_path / "app.28.log"
        link = tmp_path / "current"
        link.symlink_to(first.name)
        made = log(link)
        made.say("one")
        second.write_bytes(b"")
        link.unlink()
        link.symlink_to(second.name)
        made.say("two")
        made.reopen()
        made.say("three")
        assert said(first) == ["one", "two", "three"]
        assert second.read_bytes() == b""
        (note,) = quiet
        assert "leads to another file than at the start" in note
        assert str(first) in note
        assert "Restart the service" in note
        # What the note says to do.
        made.handler.setStream(link)
        made.say("four")
        assert said(second) == ["four"]

    def test_a_link_that_was_there_to_a_directory_is_followed_at_any_time(
        self, log: Any, tmp_path: Path
    ) -> None:
        for name in ("v1", "v2"):
            (tmp_path / name).mkdir()
        (tmp_path / "current").symlink_to("v1")
        made = log(tmp_path / "current" / "log")
        made.say("one")
        (tmp_path / "current").unlink()
        (tmp_path / "current").symlink_to("v2")
        made.say("two")
        assert said(tmp_path / "v1" / "log") == ["one"]
        assert said(tmp_path / "v2" / "log") == ["two"]


@pytest.mark.parametrize("asked", [True, False])
class TestWhatIsPutThereLater:
    @pytest.fixture
    def one(self, log: Any, tmp_path: Path) -> Log:
        made: Log = log(tmp_path / "log")
        made.say("one")
        (tmp_path / "log").rename(tmp_path / "log.1")
        return made

    def go_on(self, one: Log, tmp_path: Path, *, asked: bool) -> None:
        for text in ("two", "three"):
            if asked:
                one.reopen()
            one.say(text)
        assert said(tmp_path / "log.1") == ["one", "two", "three"]
        assert one.handler.lost == 0

    def test_what_is_put_there_later_as_a_link_is_not_followed(
        self, one: Log, asked: bool, tmp_path: Path, quiet: list[str]
    ) -> None:
        (tmp_path / "crontab").write_text("# of another\n")
        (tmp_path / "log").symlink_to("crontab")
        self.go_on(one, tmp_path, asked=asked)
        assert (tmp_path / "crontab").read_text() == "# of another\n"
        (note,) = quiet
        assert note.endswith(
            "log cannot be opened again: [Errno 40] it is a symbolic link by now, which is not "
            "followed"
        )

    def test_what_is_put_there_later_as_a_link_to_nothing_makes_no_file(
        self, one: Log, asked: bool, tmp_path: Path, quiet: list[str]
    ) -> None:
        (tmp_path / "log").symlink_to("made")
        self.go_on(one, tmp_path, asked=asked)
        assert not (tmp_path / "made").exists()
        assert len(quiet) == 1

    def test_what_is_put_there_later_as_a_fifo_holds_nothing_up(
        self, one: Log, asked: bool, tmp_path: Path, quiet: list[str]
    ) -> None:
        os.mkfifo(tmp_path / "log")
        self.go_on(one, tmp_path, asked=asked)
        assert len(quiet) == 1

    def test_what_is_put_there_later_as_a_fifo_with_a_reader_gets_nothing(
        self, one: Log, asked: bool, tmp_path: Path, quiet: list[str]
    ) -> None:
        os.mkfifo(tmp_path / "log")
        reader = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
        self.go_on(one, tmp_path, asked=asked)
        assert os.read(reader, 100) == b""
        os.close(reader)
        (note,) = quiet
        assert note.endswith("it is a FIFO now, not a regular file")

    def test_what_is_put_there_later_as_a_directory_is_refused_until_it_is_gone(
        self, one: Log, asked: bool, tmp_path: Path, quiet: list[str]
    ) -> None:
        (tmp_path / "log").mkdir()
        self.go_on(one, tmp_path, asked=asked)
        assert len(quiet) == 1
        (tmp_path / "log").rmdir()
        one.say("four")
        assert said(tmp_path / "log") == ["four"]


class TestALostDescriptor:
    def test_a_lost_descriptor_is_not_replaced_by_what_was_put_there(
        self, tmp_path: Path, quiet: list[str]
    ) -> None:
        log, crontab = tmp_path / "log", tmp_path / "crontab"
        stream = ReopenableFile(log)
        sink = Sink(stream)
        assert sink.write(b"one\n")
        log.unlink()
        crontab.touch()
        log.symlink_to(crontab)
        os.close(stream.fileno())
        assert not sink.write(b"two\n")
        assert sink.dropped == {"ELOOP": 1}
        assert crontab.read_bytes() == b""
        log.unlink()
        assert sink.write(b"three\n")
        assert log.read_bytes() == b"three\n"

    def test_a_lost_descriptor_of_a_fifo_is_opened_again_if_it_is_the_same(
        self, tmp_path: Path, quiet: list[str]
    ) -> None:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        stream = ReopenableFile(fifo)
        sink = Sink(stream)
        os.close(stream.fileno())
        assert sink.write(b"one\n")
        assert os.read(reader, 100) == b"one\n"
        os.close(stream.fileno())
        fifo.rename(tmp_path / "old")
        os.mkfifo(fifo)
        other = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        assert not sink.write(b"two\n")
        assert os.read(other, 100) == b""
        os.close(reader)
        os.close(other)
        assert quiet[0].endswith("it is another file by now")


#: Logs to a path, asks for it to be opened anew, and logs once more.
TWICE = """
import logging, sys, mozlog_py
handler = mozlog_py.MozlogHandler(sys.argv[1])
logging.getLogger().addHandler(handler)
logging.getLogger("app").error("one")
handler.reopen()
logging.getLogger("app").error("two")
assert handler.lost == 0
"""


class TestADescriptorsPath:
    @pytest.mark.parametrize("name", ["/dev/stdout", "/proc/self/fd/1", "/dev/fd/1"])
    @pytest.mark.parametrize("unbuffered", ["", "1"])
    def test_a_descriptors_path_is_that_of_a_pipe_or_a_file(
        self, name: str, unbuffered: str, tmp_path: Path
    ) -> None:
        command = [sys.executable, "-c", TWICE, name]
        env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60, env=env)
        assert [line["Fields"]["msg"] for line in checked_lines(done.stdout)] == ["one", "two"]
        with (tmp_path / "out").open("wb") as out:
            subprocess.run(command, stdout=out, check=True, timeout=60, env=env)
        assert said(tmp_path / "out") == ["one", "two"]

    def test_a_descriptors_path_may_be_behind_a_link_and_stays_what_it_was(
        self, tmp_path: Path, quiet: list[str]
    ) -> None:
        reader, writer = os.pipe()
        (tmp_path / "log").symlink_to(f"/proc/self/fd/{writer}")
        stream = ReopenableFile(tmp_path / "log")
        sink = Sink(stream)
        (tmp_path / "log").unlink()
        (tmp_path / "log").touch()
        stream.request_reopen()
        assert sink.write(b"one\n")
        assert os.read(reader, 100) == b"one\n"
        os.close(reader)
        os.close(writer)
        assert quiet == []


def test_the_same_note_comes_once_a_minute_and_another_at_once(
    tmp_path: Path, quiet: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    stream = ReopenableFile(log)
    now = [1000.0]
    monkeypatch.setattr(reopenable_file, "_monotonic", lambda: now[0])
    log.unlink()
    log.symlink_to("elsewhere")
    for _ in range(600):
        now[0] += 0.2
        stream.reopen_if_moved()
    assert len(quiet) == 2
    log.unlink()
    log.mkdir()
    now[0] += 0.2
    stream.reopen_if_moved()
    assert "Is a directory" in quiet[2]


@pytest.mark.parametrize("how", ["reopen", "SIGHUP"])
def test_a_request_is_heard_at_once_after_an_open_that_failed(
    how: str, tmp_path: Path, log: Any, quiet: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reopenable_file, "_RETRY_S", 1e9)
    logs, moved = tmp_path / "logs", tmp_path / "moved"
    logs.mkdir()
    made = log(logs / "log")
    made.say("one")
    logs.rename(moved)
    made.say("the path cannot be opened")
    assert len(quiet) == 1
    logs.mkdir()
    made.say("the path was not tried again yet")
    if how == "reopen":
        made.reopen()
    else:
        reopenable_file._reopen_all(signal.SIGHUP, None)
    made.say("two")
    assert said(moved / "log") == [
        "one", "the path cannot be opened", "the path was not tried again yet",
    ]  # fmt: skip
    assert said(logs / "log") == ["two"]


@pytest.mark.parametrize("nohup", [False, True])
def test_sighup_ends_no_process_that_logs_to_a_path(nohup: bool, tmp_path: Path) -> None:
    source = """
import logging, os, signal, subprocess, sys, mozlog_py
mozlog_py.configure("shop", stream=sys.argv[1])
os.kill(os.getpid(), signal.SIGHUP)
logging.getLogger("shop").info("one")
child = subprocess.run(["sh", "-c", "kill -HUP $$"], check=False)
print(child.returncode)
"""
    done = subprocess.run(
        [*(["nohup"] if nohup else []), sys.executable, "-c", source, tmp_path / "log"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == b"-1\n"
    assert said(tmp_path / "log") == ["one"]
