"""The sink by itself: what it counts, how it cuts, whom it follows, who waits for whom."""

import contextlib
import fcntl
import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from conformance import Capture, checked, checked_lines

from mozlog_py import MozlogHandler, configure, dict_config
from mozlog_py._line.truncate import cut
from mozlog_py._sink.loss_counter import OTHERS, LossCounter, LossReport, described, severity_in
from mozlog_py._sink.pipe_lock import PipeLock
from mozlog_py._sink.reopenable_file import ReopenableFile
from mozlog_py._sink.write_slot import QueuedWrite
from mozlog_py.sink import Sink


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the notes that would go to the real stderr."""
    notes: list[str] = []
    monkeypatch.setattr("mozlog_py.sink.note", notes.append)
    monkeypatch.setattr("mozlog_py._sink.line_writer.note", notes.append)
    monkeypatch.setattr("mozlog_py._sink.reopenable_file.note", notes.append)
    return notes


_SET_PIPE_SIZE = 1031


class Failing(io.StringIO):
    error: BaseException | None = None

    def write(self, text: str) -> int:
        if self.error is not None:
            raise self.error
        return super().write(text)


class TestCounters:
    def test_counters_tell_what_was_written_and_what_was_lost_and_why(self) -> None:
        stream = Failing()
        sink = Sink(stream)
        assert sink.write(b"one\n")
        stream.error = OSError(28, "full")
        assert not sink.write(b"two\n")
        stream.error = LookupError("odd")
        assert not sink.write(b"three\n")
        assert (sink.written, sink.lost) == (1, 2)
        assert sink.dropped == {"ENOSPC": 1, "LookupError": 1}

    def test_counters_tell_of_lines_that_could_not_keep_all(self) -> None:
        capture = Capture()
        sink = capture.handler.sink  # type: ignore[attr-defined]
        before = sink.degraded
        capture.logger.info("fine")
        assert sink.degraded == before

        class Broken:
            def __repr__(self) -> str:
                raise ValueError

        capture.logger.info("hi", extra={"value": Broken()})
        assert sink.degraded == before + 1

    def test_counters_are_said_in_a_line_with_severities_and_since_when(self) -> None:
        stream = Failing()
        capture = Capture(MozlogHandler(stream))
        stream.error = OSError(28, "full")
        capture.logger.info("one")
        capture.logger.error("two")
        capture.logger.error("three")
        stream.error = None
        capture.logger.info("four")
        report = checked_lines(stream.getvalue())[1]
        assert report["Severity"] == 4
        assert report["Fields"]["lost"] == 3
        assert report["Fields"]["lost_by_severity"] == {"3": 2, "6": 1}
        assert report["Fields"]["lost_by_cause"] == {"ENOSPC": 3}
        assert report["Fields"]["lost_since"][:4].isdigit()

    def test_counters_are_said_at_most_once_a_second_and_at_the_flush(self) -> None:
        stream = Failing()
        capture = Capture(MozlogHandler(stream))
        for _ in range(3):
            stream.error = OSError("gone")
            capture.logger.info("lost")
            stream.error = None
            capture.logger.info("there")
        capture.handler.flush()
        reports = [
            line["Fields"]["lost"]
            for line in checked_lines(stream.getvalue())
            if "lost" in line["Fields"]
        ]
        assert reports == [1, 2]

    def test_counters_are_kept_where_the_line_that_says_them_is_lost_too(self) -> None:
        stream = Failing()

        def report(lost: int) -> bytes:
            if len(said) == 0:
                said.append(lost)
                raise OSError("again")
            said.append(lost)
            return b"report\n"

        said: list[int] = []
        sink = Sink(stream, report)
        stream.error = OSError("gone")
        sink.write(b"lost\n")
        stream.error = None
        sink.write(b"one\n")
        sink.write(b"two\n")
        assert said == [1, 1]
        assert stream.getvalue() == "one\ntwo\nreport\n"

    def test_counters_can_be_taken_back(self) -> None:
        losses = LossCounter()
        losses.add("ENOSPC", b'{"Severity":3}')
        losses.add("EPIPE", b"for people")
        assert described("ENOSPC", b'{"Severity":3}') == ("ENOSPC", 3)
        assert described(OSError(32, "x"), b"for people") == ("EPIPE", None)
        losses.uncount("ENOSPC", 3)
        assert losses.by_cause == {"EPIPE": 1}
        assert losses.take_unreported().by_severity == {None: 1}
        losses.uncount("EPIPE", None)
        assert (losses.total, losses.by_cause, losses.unreported) == (0, {}, 0)
        assert severity_in(b'{"Severity":12}') == 12

    def test_counters_that_a_report_has_covered_are_taken_back_in_total_alone(self) -> None:
        losses = LossCounter()
        losses.add("ENOSPC", b'{"Severity":3}')
        assert losses.take_unreported() == 1
        losses.add("EPIPE", b'{"Severity":3}')
        losses.uncount("ENOSPC", 4)
        assert losses.by_cause == {"EPIPE": 1}
        assert losses.total == 1

    def test_counters_have_the_cause_of_a_line_that_the_end_of_the_stack_has_lost(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def end_of_stack(*_: Any) -> bool:
            raise RecursionError

        reports: list[Any] = []
        sink = Sink(stream := io.StringIO(), lambda lost: reports.append(lost) or b"report\n")
        with monkeypatch.context() as patched:
            patched.setattr(sink, "write_slow", end_of_stack)
            assert not sink.write(b"one\n")
            assert not sink.write(b"two\n")
        assert (sink.lost, sink.dropped) == (2, {"RecursionError": 2})
        assert sink.write(b"three\n")
        (report,) = reports
        assert (report, report.by_cause, report.by_severity) == (
            2, {"RecursionError": 2}, {None: 2},
        )  # fmt: skip
        assert report.since_ns > 0
        assert stream.getvalue() == "three\nreport\n"

    def test_counters_keep_to_their_bound_of_causes_at_the_end_of_the_stack(self) -> None:
        losses = LossCounter()
        for number in range(100):
            losses.add(f"cause {number}", b"")
        for _ in range(3):
            losses.add_at_stack_end()
        assert (losses.total, losses.unreported) == (103, 103)
        assert losses.by_cause[OTHERS] == 3
        assert len(losses.by_cause) == 101
        report = losses.take_unreported()
        assert (report, report.by_cause[OTHERS], report.by_severity) == (103, 3, {None: 103})

    def test_counters_are_exact_where_threads_lose_lines_at_the_end_of_the_stack(self) -> None:
        losses = LossCounter()
        reports: list[LossReport] = []

        def lose() -> None:
            for _ in range(2_000):
                losses.add_at_stack_end()
                losses.add("ENOSPC", b"")

        threads = [threading.Thread(target=lose) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            reports.append(losses.take_unreported())
        reports.append(losses.take_unreported())
        assert losses.by_cause == {"ENOSPC": 8_000, "RecursionError": 8_000}
        assert losses.total == sum(reports) == 16_000
        assert sum(each.by_cause.get("RecursionError", 0) for each in reports) == 8_000

    def test_counters_take_a_loss_at_the_end_of_the_stack_back(self) -> None:
        losses = LossCounter()
        losses.add_at_stack_end()
        losses.uncount("RecursionError", None)
        assert (losses.total, losses.by_cause, losses.unreported) == (0, {}, 0)

    def test_counters_count_a_line_once_whose_report_finds_the_end_of_the_stack(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def end_of_stack() -> None:
            raise RecursionError

        sink = Sink(stream := io.StringIO())
        monkeypatch.setattr(sink, "report_and_enable", end_of_stack)
        assert sink.write(b"one\n")
        assert (sink.written, sink.lost, stream.getvalue()) == (1, 0, "one\n")


class TestBuffers:
    @pytest.mark.parametrize("is_text", [True, False])
    def test_buffers_of_streams_whose_descriptor_is_closed_keep_no_line(
        self, tmp_path: Path, is_text: bool
    ) -> None:
        """A line that is counted as lost is not printed later, with what the stream has kept."""
        path = tmp_path / "log"
        binary = path.open("ab")
        stream = io.TextIOWrapper(binary, "utf-8") if is_text else binary
        with stream, path.open("ab") as kept:
            os.close(stream.fileno())
            sink = Sink(stream)
            assert not sink.write(b"1\n")
            assert sink.dropped == {"EBADF": 1}
            os.dup2(kept.fileno(), stream.fileno())
            assert sink.write(b"2\n")
        assert path.read_bytes() == b"2\n"


class TestReplacedWrite:
    """A tool that collects the output sets ``write`` on the stream itself."""

    @pytest.mark.parametrize("kind", ["text", "buffered", "raw"])
    def test_line_goes_through_the_method_that_was_set_on_a_stream(
        self, kind: str, tmp_path: Path
    ) -> None:
        stream: Any = (tmp_path / "out").open("w" if kind == "text" else "wb")
        if kind == "raw":
            stream = stream.detach()
        collected = []
        original = stream.write

        def write(written: Any) -> int:
            collected.append(written)
            return int(original(written))

        stream.write = write
        assert Sink(stream).write(b"one\n")
        stream.flush()
        assert collected == ["one\n" if kind == "text" else b"one\n"]
        assert (tmp_path / "out").read_bytes() == b"one\n"
        stream.close()


class TestCut:
    def line(self, **fields: Any) -> bytes:
        stream = io.StringIO()
        handler = MozlogHandler(stream, max_line_bytes=0)
        Capture(handler).logger.info("hi", extra=fields)
        return stream.getvalue().encode()

    def test_cut_leaves_the_head_and_the_tail_of_the_longest_strings(self) -> None:
        line = self.line(long="a" * 9000 + "b" * 9000, longer=["c" * 20_000], short="d" * 100)
        made = cut(line, 16_384)
        assert 15_000 < len(made) <= 16_384
        fields = checked(made)["Fields"]
        assert fields["long"].startswith("aaa")
        assert fields["long"].endswith("bbb")
        assert " characters cut>" in fields["long"]
        assert abs(len(fields["long"]) - len(fields["longer"][0])) < 100
        assert fields["short"] == "d" * 100
        assert fields["msg"] == "hi"
        assert fields["mozlog.degraded"] == f"cut from {len(line)} bytes"

    def test_cut_tells_how_much_is_missing(self) -> None:
        fields = checked(cut(self.line(long="x" * 30_000), 2048))["Fields"]
        shown, missing = fields["long"].count("x"), fields["long"].split("<")[1].split(" ")[0]
        assert shown + int(missing) == 30_000

    @pytest.mark.parametrize(
        "text", ["ž🦊" * 9000, "\u2028" * 9000, '"\\' * 9000, "a" + "\x00" * 9000]
    )
    def test_cut_goes_by_bytes_of_the_line_and_not_by_characters(self, text: str) -> None:
        made = cut(self.line(text=text), 4096)
        assert len(made) <= 4096
        assert checked(made)["Fields"]["text"][:1] == text[:1]

    def test_cut_leaves_out_fields_where_there_are_too_many(self) -> None:
        made = cut(self.line(**{f"field_{n}": "x" * 50 for n in range(400)}), 4096)
        assert len(made) <= 4096
        fields = checked(made)["Fields"]
        assert fields["msg"] == "hi"
        assert "fields left out" in fields["mozlog.degraded"]

    def test_cut_leaves_lines_for_people_alone(self) -> None:
        for line in (b"x" * 5000 + b"\n", b"[1]\n", b'{"Fields":1}\n'):
            assert cut(line, 1024) == line

    def test_cut_keeps_what_was_known_to_be_lost(self) -> None:
        line = self.line(**{"mozlog.degraded": "before", "x": "y" * 5000})
        reason = checked(cut(line, 2048))["Fields"]["mozlog.degraded"]
        assert reason.startswith("before; cut from ")

    def test_cut_is_done_at_16_kib_unless_it_is_switched_off(self) -> None:
        for limit, expected in ((None, 16_384), (2048, 2048), (0, 1_000_000)):
            stream = io.StringIO()
            options = {} if limit is None else {"max_line_bytes": limit}
            Capture(MozlogHandler(stream, **options)).logger.info("x" * 100_000)
            line = stream.getvalue()
            assert len(line) <= expected
            assert ("mozlog.degraded" in checked(line)["Fields"]) == (limit != 0)

    @pytest.mark.parametrize(("option", "value"), [("max_line_bytes", 5), ("timeout", -1)])
    def test_limits_that_are_none_are_refused(self, option: str, value: Any) -> None:
        with pytest.raises(ValueError, match=option):
            MozlogHandler(io.StringIO(), **{option: value})


class TestPaths:
    def test_paths_are_appended_to(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        path.write_text('{"Timestamp":1}\n')
        for given in (path, str(path)):
            Capture(MozlogHandler(given)).logger.info("hi")
        assert len(checked_lines(path.read_bytes())) == 3

    def test_paths_that_cannot_be_opened_are_an_error_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            MozlogHandler(tmp_path / "missing" / "log")

    def test_paths_are_opened_again_when_the_file_was_moved(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mozlog_py._sink.reopenable_file._CHECK_EVERY_S", 0.0)
        path, rotated = tmp_path / "log", tmp_path / "log.1"
        handler = MozlogHandler(path)
        capture = Capture(handler)
        capture.logger.info("one")
        path.rename(rotated)
        path.write_bytes(b"")
        capture.logger.info("two")
        assert len(checked_lines(rotated.read_bytes())) == 1
        assert [line["Fields"]["msg"] for line in checked_lines(path.read_bytes())] == ["two"]

    def test_paths_are_made_again_by_reopen(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        handler = MozlogHandler(path)
        capture = Capture(handler)
        capture.logger.info("one")
        path.rename(tmp_path / "log.1")
        handler.reopen()
        capture.logger.info("two")
        assert [line["Fields"]["msg"] for line in checked_lines(path.read_bytes())] == ["two"]
        assert handler.lost == 0

    def test_paths_that_cannot_be_opened_again_leave_the_old_file(
        self, tmp_path: Path, quiet: list[str]
    ) -> None:
        (tmp_path / "logs").mkdir()
        path = tmp_path / "logs" / "log"
        handler = MozlogHandler(path)
        capture = Capture(handler)
        capture.logger.info("one")
        (tmp_path / "logs").rename(tmp_path / "old")
        handler.reopen()
        capture.logger.info("two")
        capture.logger.info("three")
        assert len(checked_lines((tmp_path / "old" / "log").read_bytes())) == 3
        assert len(quiet) == 1
        assert "cannot be opened again" in quiet[0]

    def test_paths_that_were_closed_lose_and_count(self, tmp_path: Path) -> None:
        stream = ReopenableFile(tmp_path / "log")
        sink = Sink(stream)
        assert sink.write(b"one\n")
        stream.close()
        stream.close()
        assert not sink.write(b"two\n")
        assert sink.dropped == {"ValueError": 1}
        with pytest.raises(ValueError, match="closed"):
            stream.fileno()

    @pytest.mark.usefixtures("untouched_process")
    def test_paths_are_opened_again_on_sighup(self, tmp_path: Path) -> None:
        former = signal.getsignal(signal.SIGHUP)
        called: list[int] = []
        signal.signal(signal.SIGHUP, lambda number, _: called.append(number))
        try:
            path = tmp_path / "log"
            configure("shop", stream=path)
            configure("shop", stream=path)
            logging.getLogger("shop").info("one")
            path.rename(tmp_path / "log.1")
            os.kill(os.getpid(), signal.SIGHUP)
            logging.getLogger("shop").info("two")
            (line,) = checked_lines(path.read_bytes())
            assert line["Fields"] == {"msg": "two"}
            assert called == [signal.SIGHUP]
        finally:
            signal.signal(signal.SIGHUP, former)

    def test_paths_work_from_a_configuration(self, tmp_path: Path) -> None:
        config = dict_config("shop", stream=str(tmp_path / "log"), max_line_bytes=2048)
        assert config["handlers"]["mozlog"]["stream"] == str(tmp_path / "log")
        assert config["handlers"]["mozlog"]["max_line_bytes"] == 2048


class TestStreamsThatLog:
    def test_streams_that_log_as_celerys_do_get_nothing(
        self, capfd: pytest.CaptureFixture[str]
    ) -> None:
        class LoggingProxy:
            def __init__(self, logger: logging.Logger) -> None:
                self.logger = logger

            def write(self, text: str) -> None:
                self.logger.info(text)

        capture = Capture(MozlogHandler())
        with contextlib.redirect_stdout(LoggingProxy(capture.logger)):  # type: ignore[type-var]
            capture.logger.info("hi")
            print("printed")
        with capfd.disabled():
            pass
        lines = checked_lines(capfd.readouterr().out)
        assert [line["Fields"]["msg"] for line in lines[:2]] == ["hi", "printed"]
        assert capture.handler.lost == 0  # type: ignore[attr-defined]

    def test_streams_that_log_without_saying_so_come_to_an_end(
        self, capfd: pytest.CaptureFixture[str]
    ) -> None:
        written: list[str] = []

        class Stream:
            def write(self, text: str) -> None:
                written.append(text)
                capture.logger.info("about it")

        capture = Capture(MozlogHandler(Stream()))
        capture.logger.info("hi")
        aside = checked_lines(capfd.readouterr().out)
        messages = [checked(text)["Fields"]["msg"] for text in written]
        assert messages == ["hi", "about it"]
        assert [line["Fields"]["msg"] for line in aside] == ["about it"]


class TestPipes:
    def test_pipes_of_one_process_take_no_lock(self) -> None:
        reader, writer = os.pipe()
        try:
            with os.fdopen(writer, "wb") as stream:
                sink = Sink(stream)
                for _ in range(3):
                    assert sink.write(b"x\n")
                assert sink._pipe_lock is not None
                assert not sink._pipe_lock.is_shared
        finally:
            os.close(reader)

    def test_pipes_of_several_processes_are_noticed(self) -> None:
        reader, writer = os.pipe()
        pipe_lock = PipeLock(writer)
        pipe_lock.find_other_writers()
        assert not pipe_lock.is_shared
        told, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            mine = PipeLock(writer)
            mine.find_other_writers()
            os.write(tell, b"1" if mine.is_shared else b"0")
            time.sleep(60)
            os._exit(0)
        try:
            assert os.read(told, 1) == b"1"
            pipe_lock.find_other_writers()
            assert pipe_lock.is_shared
            pipe_lock.lock(is_long=False, until=None)
            pipe_lock.unlock()
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        pipe_lock.find_other_writers()
        assert not pipe_lock.is_shared
        for descriptor in (reader, writer, told, tell):
            os.close(descriptor)

    def test_pipes_that_cannot_be_locked_are_written_to_all_the_same(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: Any) -> Any:
            raise OSError(37, "no locks")

        reader, writer = os.pipe()
        pipe_lock = PipeLock(writer)
        monkeypatch.setattr("mozlog_py._sink.pipe_lock.lockf", fail)
        pipe_lock.lock(is_long=True, until=None)
        assert pipe_lock.is_shared
        pipe_lock.lock(is_long=True, until=None)
        pipe_lock.unlock()
        os.close(reader)
        os.close(writer)

    def test_pipes_give_a_newcomer_time_before_its_first_long_line(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        naps: list[float] = []
        states = [False, False, True]
        reader, writer = os.pipe()
        pipe_lock = PipeLock(writer)
        pipe_lock.find_other_writers()
        monkeypatch.setattr("mozlog_py._sink.pipe_lock.sleep", naps.append)
        monkeypatch.setattr("mozlog_py._sink.pipe_lock.is_writable", lambda *_: states.pop(0))
        pipe_lock.is_shared, pipe_lock.due = True, float("inf")
        pipe_lock.lock(is_long=True, until=None)
        assert naps == [0.25, 0.005, 0.25]
        pipe_lock.lock(is_long=True, until=None)
        assert len(naps) == 3
        pipe_lock.unlock()
        os.close(reader)
        os.close(writer)

    def test_pipes_whose_reader_has_stopped_lose_after_the_timeout_and_are_mended(self) -> None:
        reader, writer = os.pipe()
        fcntl.fcntl(writer, _SET_PIPE_SIZE, 8192)
        os.set_blocking(writer, False)
        with os.fdopen(writer, "wb") as stream:
            sink = Sink(stream, max_line_bytes=0, timeout=0.02)
            assert not sink.write(b"a" * 10_000 + b"\n")
            assert not sink.write(b"b\n")
            assert sink.dropped == {"ETIMEDOUT": 2}
            assert os.read(reader, 8192) == b"a" * 8192
            # The rest of what was begun comes first.
            assert sink.write(b"c\n")
            assert os.read(reader, 8192) == b"a" * 1808 + b"\nc\n"
            assert (sink.written, sink.lost) == (2, 1)
        os.close(reader)


class TestTurns:
    def test_turns_that_were_left_behind_are_taken_over(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        sink = Sink(path)
        sink.write(b"one\n")
        sink._slot[0] = [b"left\n"]
        assert sink.write(b"two\n")
        assert path.read_bytes() == b"one\nleft\ntwo\n"

    def test_turns_that_were_left_half_way_are_finished(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        sink = Sink(path)
        sink.write(b"one\n")
        with path.open("ab") as file:
            file.write(b"le")
        sink._slot[0] = [b"left\n", 2]
        sink.flush()
        assert path.read_bytes() == b"one\nleft\n"

    @pytest.mark.parametrize("count", [2, 5])
    def test_turns_that_were_left_with_a_count_are_finished_before_the_next_line(
        self, tmp_path: Path, count: int
    ) -> None:
        path = tmp_path / "log"
        sink = Sink(path)
        sink.write(b"one\n")
        with path.open("ab") as file:
            file.write(b"left\n"[:count])
        sink._slot[0] = [b"left\n", count]
        assert sink.write(b"two\n")
        assert path.read_bytes() == b"one\nleft\ntwo\n"
        assert not sink._slot

    def test_turns_of_a_raw_fork_begin_anew(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        sink = Sink(path)
        sink.write(b"one\n")
        sink._slot[0] = [b"the parent's\n"]
        theirs = QueuedWrite(b"the parent's, too\n")
        theirs.pid = 0  # type: ignore[misc]
        sink._queue.append(theirs)
        sink._write_slot._pid -= 1
        assert sink.write(b"two\n")
        assert path.read_bytes() == b"one\ntwo\n"

    def test_turns_of_a_raw_fork_with_lines_that_wait_begin_anew(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        sink = Sink(path)
        sink.write(b"one\n")
        theirs = QueuedWrite(b"the parent's\n")
        theirs.pid = 0  # type: ignore[misc]
        sink._queue.append(theirs)
        assert sink.write(b"two\n")
        assert path.read_bytes() == b"one\ntwo\n"

    def test_turns_are_given_to_the_threads_that_wait(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        sink = Sink(path)
        sink.write(b"one\n")
        owner: list[Any] = [b""]
        pending = owner
        sink._slot[0] = pending
        written: list[bool] = []
        threads = [
            threading.Thread(target=lambda n=n: written.append(sink.write(b"%d\n" % n)))
            for n in range(5)
        ]
        for thread in threads:
            thread.start()
        while len(sink._queue) < 5 and not written:
            time.sleep(0.001)
        sink._write_slot.release(pending)
        for thread in threads:
            thread.join()
        assert written == [True] * 5
        assert sorted(path.read_bytes().splitlines()) == [b"0", b"1", b"2", b"3", b"4", b"one"]

    def test_turns_of_a_batch_that_fails_are_told_apart(self) -> None:
        reader, writer = os.pipe()
        fcntl.fcntl(writer, _SET_PIPE_SIZE, 8192)
        os.set_blocking(writer, False)
        with os.fdopen(writer, "wb") as stream:
            sink = Sink(stream, timeout=0.02, max_line_bytes=0)
            sink.write_lines([b"a" * 6000 + b"\n", b"b" * 6000 + b"\n", b"c\n"], [])
            assert (sink.written, sink.lost) == (1, 2)
            os.read(reader, 8192)
            sink.write(b"d\n")
            assert os.read(reader, 8192) == b"b" * (12_001 - 8192) + b"\nd\n"
            assert (sink.written, sink.lost) == (3, 1)
        os.close(reader)


def test_a_process_without_stdout_logs_nowhere_and_says_so_once() -> None:
    source = """
import logging, os
from mozlog_py import MozlogHandler
handler = MozlogHandler()
log = logging.Logger("app")
log.addHandler(handler)
for _ in range(3):
    log.info("hi")
os._exit(7 if handler.lost == 3 else 8)
"""
    done = subprocess.run(
        [sys.executable, "-c", f"import os; os.close(1)\n{source}"],
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    assert done.returncode == 7
    assert done.stderr.count(b"\n") == 1
    json.dumps(done.stderr.decode())


def test_a_child_waits_for_no_lock_of_a_thread_that_was_printing() -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, _SET_PIPE_SIZE, 4096)
    stream = os.fdopen(writer, "w", encoding="utf-8")
    sink = Sink(stream)
    assert sink.write(b"one\n")
    printing = threading.Thread(target=lambda: stream.write("x" * 200_000))
    printing.start()
    while len(os.read(reader, 100)) < 100:
        pass
    pid = os.fork()
    if pid == 0:
        # Whether the line finds room is another matter; it must not wait for the lock.
        os.set_blocking(writer, False)
        sink._timeout = 0.01
        sink.write(b"child\n")
        os._exit(5)
    until = time.monotonic() + 30
    status = 0
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        time.sleep(0.01)
    else:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    os.set_blocking(writer, True)
    draining = threading.Thread(
        target=lambda: [None for _ in iter(lambda: os.read(reader, 9999), b"")]
    )
    draining.start()
    printing.join()
    stream.close()
    draining.join()
    os.close(reader)
    assert os.waitstatus_to_exitcode(status) == 5
