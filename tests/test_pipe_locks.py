"""The lock of a pipe that several processes write to, kept by another process."""

import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mozlog_py._sink.pipe_lock import PipeLock, unlocked
from mozlog_py.sink import Sink


class TestLocksOfPipesThatAreKept:
    """Another process takes the lock of the pipe and keeps it, as any that has it open may."""

    @pytest.fixture
    def kept(self) -> Iterator[tuple[int, int, Callable[[], None]]]:
        """Yield both ends of a pipe whose lock another process has, and a function that ends it."""
        reader, writer = os.pipe()
        told, tell = os.pipe()
        pid = os.fork()
        if not pid:
            fcntl.lockf(writer, fcntl.LOCK_EX, 1, 0)
            # As one of ours that has the pipe open: short lines take the lock, too.
            PipeLock(writer).find_other_writers()
            os.write(tell, b"1")
            time.sleep(60)
            os._exit(0)
        os.read(told, 1)
        ended: list[int] = []

        def end() -> None:
            if not ended:
                os.kill(pid, signal.SIGKILL)
                ended.append(os.waitpid(pid, 0)[0])

        yield reader, writer, end
        end()
        for descriptor in (reader, writer, told, tell):
            os.close(descriptor)

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """Let seconds pass by sleeping; the list has the present time."""
        now = [time.monotonic()]

        def sleep(seconds: float) -> None:
            now[0] += seconds

        monkeypatch.setattr("mozlog_py._sink.pipe_lock.sleep", sleep)
        monkeypatch.setattr("mozlog_py._sink.pipe_lock._monotonic", lambda: now[0])
        return now

    @pytest.mark.parametrize("line", [b"short\n", b"long" * 2000 + b"\n"])
    def test_locks_of_pipes_that_are_kept_stop_a_line_no_longer_than_its_timeout_and_count_it(
        self, kept: Any, clock: list[float], line: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reader, writer, end = kept
        monkeypatch.setattr("mozlog_py._sink.write_bytes.time.monotonic", lambda: clock[0])
        with os.fdopen(os.dup(writer), "wb") as stream:
            sink = Sink(stream, timeout=0.5)
            before = clock[0]
            assert not sink.write(line)
            # A long line gives others a quarter of a second to notice, as it always does.
            assert 0.5 <= clock[0] - before <= 0.8
            assert sink.dropped == {"ETIMEDOUT": 1}
            end()
            assert sink.write(line)
        assert os.read(reader, 10_000) == line

    @pytest.mark.parametrize("line", [b"short\n", b"long" * 2000 + b"\n"])
    def test_locks_of_pipes_that_are_kept_are_done_without_after_two_seconds_and_the_lines_counted(
        self, kept: Any, clock: list[float], line: bytes, capfd: Any
    ) -> None:
        reader, writer, end = kept
        before = unlocked.count
        with os.fdopen(os.dup(writer), "wb") as stream:
            sink = Sink(stream)
            began = clock[0]
            assert sink.write(line)
            assert 2 <= clock[0] - began <= 2.5
            # From then on nothing waits.
            at = clock[0]
            assert sink.write(line)
            assert clock[0] == at
            assert (sink.unlocked - before, sink.lost) == (2, 0)
            end()
            assert sink.write(line)
            assert sink.unlocked - before == 2
        assert os.read(reader, 100_000) == line * 3
        note = capfd.readouterr().err
        assert "keeps the lock of the pipe: lines are written without it" in note
        assert "another process (process " in note

    def test_locks_of_pipes_that_are_kept_are_waited_for_while_the_pipe_is_full(
        self, kept: Any, clock: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The one that has it waits for the reader.
        states = [False] * 2_000 + [True] * 10_000
        monkeypatch.setattr("mozlog_py._sink.pipe_lock.is_writable", lambda *_: states.pop(0))
        _, writer, _ = kept
        began, pipe_lock = clock[0], PipeLock(writer)
        pipe_lock.is_shared, pipe_lock.due = True, float("inf")
        pipe_lock.lock(is_long=False, until=None)
        # It is asked every five milliseconds, and two seconds come afterwards.
        assert 11 < clock[0] - began < 15


class TestMarksOfProcesses:
    """Each process marks the pipe, so that the others know that they are not alone."""

    def test_mark_that_a_close_of_another_descriptor_has_released_is_set_again(self) -> None:
        """Code that saves and restores stdout closes a descriptor of the same pipe."""
        reader, writer = os.pipe()
        told, tell = os.pipe()
        asked, ask = os.pipe()
        pid = os.fork()
        if not pid:
            marking = PipeLock(writer)
            for step in (
                marking.find_other_writers,
                lambda: os.close(os.dup(writer)),
                marking.find_other_writers,
            ):
                os.read(asked, 1)
                step()
                os.write(tell, b"1")
            os.read(asked, 1)
            os._exit(0)
        looking = PipeLock(writer)
        seen = []
        for _ in range(3):
            os.write(ask, b"1")
            os.read(told, 1)
            looking.find_other_writers()
            seen.append(looking.is_shared)
        os.write(ask, b"1")
        os.waitpid(pid, 0)
        for descriptor in (reader, writer, told, tell, asked, ask):
            os.close(descriptor)
        assert seen == [True, False, True]

    def test_mark_that_is_set_again_makes_no_long_line_wait_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reader, writer = os.pipe()
        waits: list[float] = []
        monkeypatch.setattr("mozlog_py._sink.pipe_lock.sleep", waits.append)
        pipe_lock = PipeLock(writer)
        # As beside another process.
        monkeypatch.setattr(pipe_lock, "_has_other_marks", lambda: True)
        for _ in range(3):
            pipe_lock.due = 0.0
            pipe_lock.lock(is_long=True, until=None)
            pipe_lock.unlock()
            os.close(os.dup(writer))
        os.close(reader)
        os.close(writer)
        assert len(waits) == 1
