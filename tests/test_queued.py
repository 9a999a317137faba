"""MozlogQueueHandler: the same lines, from a thread; bounded; at the end nothing is left."""

import io
import logging
import logging.config
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from conformance import Capture, checked_lines

from mozlog_py import MozlogQueueHandler, configure, context, dict_config
from mozlog_py._process.descriptors import takes_messages
from mozlog_py._process.unpatched import NativeThread
from mozlog_py.queued import LineQueue
from mozlog_py.sink import Sink


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    notes: list[str] = []
    monkeypatch.setattr("mozlog_py.sink.note", notes.append)
    monkeypatch.setattr("mozlog_py._sink.line_writer.note", notes.append)
    monkeypatch.setattr("mozlog_py.queued.note", notes.append)
    return notes


def refuse_to_start(*_: Any) -> None:
    """Stand in for the start of a thread where the system has no room for one."""
    raise RuntimeError("can't start new thread")


def printed_by(script: Any) -> bytes:
    """Return what a program writes to stdout, which ends within a minute."""
    command = [sys.executable, str(script)]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).stdout


class Gate(io.StringIO):
    """Takes nothing until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.is_open = threading.Event()
        self.entered = threading.Event()

    def write(self, text: str) -> int:
        self.entered.set()
        self.is_open.wait()
        return super().write(text)


def line(number: int, severity: int = 6) -> bytes:
    return b'{"Timestamp":%d,"Severity":%d,"Fields":{"n":%d}}\n' % (number, severity, number)


def held_up(policy: Any, max_bytes: int) -> tuple[LineQueue, Gate]:
    """Return a queue whose thread waits for its stream with the first line."""
    gate = Gate()
    queue = LineQueue(Sink(gate), policy=policy, max_bytes=max_bytes)
    queue.write(line(0))
    gate.entered.wait()
    return queue, gate


def numbers(gate: Gate) -> list[int]:
    return [written["Fields"]["n"] for written in checked_lines(gate.getvalue())]


class TestFirstLine:
    def test_thread_is_the_one_that_writes_from_its_first_line(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # It may write before the call that has started it goes on, as on a busy machine. A stream
        # that logs what is printed would have its own lines queued then, without an end.
        asked, written, start = [], threading.Event(), NativeThread.start

        class Asking(io.StringIO):
            def write(self, text: str) -> int:
                asked.append(queue._is_writing_thread())
                written.set()
                return super().write(text)

        def start_and_wait(thread: NativeThread) -> None:
            start(thread)
            assert written.wait(60)

        monkeypatch.setattr(NativeThread, "start", start_and_wait)
        queue = LineQueue(Sink(Asking()))
        queue.write(b"one\n")
        queue.close()
        assert asked == [True]


class TestHandler:
    def test_handler_writes_the_same_lines_with_the_callers_context(self) -> None:
        stream = io.StringIO()
        handler = MozlogQueueHandler(stream, "shop")
        capture = Capture(handler)
        with context.bound(user="ann"):
            capture.logger.info("%s", ["made", "at", "once"], extra={"n": 1})
        assert handler.flush()
        (got,) = checked_lines(stream.getvalue())
        assert got["Logger"] == "shop"
        assert got["Fields"] == {"user": "ann", "n": 1, "msg": "['made', 'at', 'once']"}
        handler.close()

    def test_handler_keeps_the_order(self) -> None:
        stream = io.StringIO()
        handler = MozlogQueueHandler(stream)
        capture = Capture(handler)
        for number in range(5000):
            capture.logger.info("%d", number)
        assert handler.flush()
        messages = [got["Fields"]["msg"] for got in checked_lines(stream.getvalue())]
        assert messages == [str(number) for number in range(5000)]
        assert handler.sink.written == 5000
        handler.close()

    def test_handler_writes_directly_after_its_close(self) -> None:
        stream = io.StringIO()
        handler = MozlogQueueHandler(stream)
        capture = Capture(handler)
        capture.logger.info("before")
        handler.close()
        handler.close()
        capture.logger.info("after")
        assert [got["Fields"]["msg"] for got in checked_lines(stream.getvalue())] == [
            "before", "after",
        ]  # fmt: skip

    def test_handler_can_be_configured(self, capfd: pytest.CaptureFixture[str]) -> None:
        config = dict_config("shop", format="mozlog", queue={"policy": "block", "max_bytes": 9999})
        assert config["handlers"]["mozlog"]["class"] == "mozlog_py.queued.MozlogQueueHandler"
        assert config["handlers"]["mozlog"]["policy"] == "block"
        assert "MozlogQueueHandler" not in str(dict_config("shop"))

    @pytest.mark.usefixtures("untouched_process")
    def test_handler_can_be_set_up_in_one_call(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure("shop", queue=True, format="mozlog")
        logging.getLogger("shop").info("hi")
        (handler,) = logging.getLogger().handlers
        assert isinstance(handler, MozlogQueueHandler)
        assert handler.flush()
        assert checked_lines(capsys.readouterr().out)[0]["Fields"] == {"msg": "hi"}
        handler.close()

    @pytest.mark.parametrize(
        ("options", "complaint"),
        [({"policy": "drop"}, "block, drop_newest, drop_oldest"), ({"max_bytes": 0}, "max_bytes")],
    )
    def test_handler_refuses_what_it_does_not_know(self, options: Any, complaint: str) -> None:
        with pytest.raises(ValueError, match=complaint):
            MozlogQueueHandler(io.StringIO(), **options)

    def test_handler_has_what_a_sink_has(self) -> None:
        stream, other = io.StringIO(), io.StringIO()
        handler = MozlogQueueHandler(stream)
        queue = handler.sink
        assert queue.stream is handler.stream is stream
        assert queue.write(b"{}\n")
        assert handler.setStream(other) is stream
        assert stream.getvalue() == "{}\n"
        queue.write(b"[]\n")
        queue.flush()
        queue.reopen()
        assert other.getvalue() == "[]\n"
        assert (queue.written, queue.lost, queue.dropped) == (2, 0, {})
        assert queue.degraded >= 0
        assert queue.waiting_bytes == 0
        handler.close()

    def test_handler_cuts_lines_that_are_too_long(self) -> None:
        stream = io.StringIO()
        handler = MozlogQueueHandler(stream, max_line_bytes=2048)
        Capture(handler).logger.info("x" * 9000)
        handler.flush()
        assert len(stream.getvalue()) <= 2048
        assert checked_lines(stream.getvalue())
        handler.close()


class TestFullQueue:
    def test_full_queue_loses_the_newest(self) -> None:
        queue, gate = held_up("drop_newest", 1000)
        taken = [queue.write(line(n)) for n in range(1, 21)]
        kept = taken.count(True)
        assert taken == [True] * kept + [False] * (20 - kept)
        assert queue.dropped == {"queue full": 20 - kept}
        gate.is_open.set()
        queue.close()
        assert numbers(gate) == list(range(kept + 1))

    def test_full_queue_loses_the_oldest(self) -> None:
        queue, gate = held_up("drop_oldest", 1000)
        for n in range(1, 21):
            assert queue.write(line(n))
        assert queue.waiting_bytes <= 1000
        gate.is_open.set()
        queue.close()
        got = numbers(gate)
        assert got[0] == 0
        assert got[1:] == list(range(21 - len(got[1:]), 21))
        assert queue.lost == 20 - len(got[1:]) > 0

    @pytest.mark.parametrize("policy", ["drop_newest", "drop_oldest"])
    def test_full_queue_keeps_errors_longest(self, policy: str) -> None:
        queue, gate = held_up(policy, 1300)
        for n in range(1, 31):
            queue.write(line(n, severity=3 if n % 5 == 0 else 6))
        gate.is_open.set()
        queue.close()
        assert {5, 10, 15, 20, 25, 30} <= set(numbers(gate))
        assert queue.written + queue.lost == 31

    @pytest.mark.parametrize("policy", ["drop_newest", "drop_oldest"])
    def test_full_queue_of_errors_alone_loses_errors_and_what_is_less(self, policy: str) -> None:
        queue, gate = held_up(policy, 1000)
        for n in range(1, 21):
            queue.write(line(n, severity=2))
        assert not queue.write(line(99))
        gate.is_open.set()
        queue.close()
        got = numbers(gate)[1:]
        assert 99 not in got
        assert got == (list(range(1, len(got) + 1)) if policy == "drop_newest" else
                       list(range(21 - len(got), 21)))  # fmt: skip

    def test_full_queue_loses_the_oldest_also_where_many_threads_log(self) -> None:
        queue, gate = held_up("drop_oldest", 20_000)
        taken: list[bool] = []

        def log(first: int) -> None:
            taken.extend([queue.write(line(n)) for n in range(first, first + 500)])

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            threads = [threading.Thread(target=log, args=(n,)) for n in range(1000, 5000, 1000)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(interval)
        gate.is_open.set()
        queue.close()
        assert taken == [True] * 2000
        assert queue.written + queue.lost == 2001

    @pytest.mark.parametrize("severity", [3, 6])
    def test_full_queue_that_another_call_makes_room_in_loses_the_oldest_for_this_one_too(
        self, severity: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        queue, gate = held_up("drop_oldest", 1000)
        while queue.waiting_bytes + len(line(1)) + 64 <= 1000:
            queue.write(line(1))
        queue._dropper._lock[0] = "another call"
        waits: list[float] = []

        def end_the_other_call(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                queue._dropper._lock.clear()

        with monkeypatch.context() as patch:
            patch.setattr("mozlog_py.queued.time.sleep", end_the_other_call)
            assert queue.write(line(2, severity))
        assert queue.write(line(3))
        assert len(waits) >= 3
        gate.is_open.set()
        queue.close()
        assert numbers(gate)[-2:] == [2, 3]

    @pytest.mark.parametrize("is_empty", [True, False])
    def test_full_queue_counts_its_bytes_again_where_dropped_lines_make_no_room(
        self, is_empty: bool
    ) -> None:
        queue, gate = held_up("drop_oldest", 1000)
        for n in range(1, 1 if is_empty else 6):
            queue.write(line(n))
        # Threads that change it at the same time: a stopped reader leaves that uncorrected.
        queue._bytes += 1_000_000
        assert queue.write(line(9))
        assert queue.waiting_bytes <= 1000
        gate.is_open.set()
        queue.close()
        assert numbers(gate)[-1] == 9

    def test_full_queue_whose_new_room_other_callers_take_drops_more(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        queue, gate = held_up("drop_oldest", 1000)
        while queue.waiting_bytes + len(line(1)) + 64 <= 1000:
            queue.write(line(1))
        drop, calls = queue._dropper.drop, []

        def drop_and_lose_the_room(*args: Any, **options: Any) -> Any:
            freed = drop(*args, **options)
            calls.append(freed)
            if len(calls) < 3:
                # Another caller queues its line meanwhile.
                queue._lines.append(line(2))
                queue._bytes += len(line(2)) + 64
            return freed

        monkeypatch.setattr(queue._dropper, "drop", drop_and_lose_the_room)
        assert queue.write(line(9))
        assert len(calls) == 3
        gate.is_open.set()
        queue.close()
        assert numbers(gate)[-1] == 9

    def test_full_queue_of_many_megabytes_drops_a_small_part_in_one_call(self) -> None:
        gate = Gate()
        queue = LineQueue(Sink(gate, max_line_bytes=0), max_bytes=32 * 1024 * 1024)
        queue.write(line(0))
        gate.entered.wait()
        long = line(1).rstrip() + b" " * 65_536 + b"\n"
        while not queue.lost:
            assert queue.write(long)
        # Half a megabyte, of which each call takes a few milliseconds.
        assert queue.lost == 8
        gate.is_open.set()
        queue.close()

    def test_full_queue_waits_for_room(self) -> None:
        queue, gate = held_up("block", 1000)
        done = threading.Event()

        def fill() -> None:
            for n in range(1, 101):
                queue.write(line(n))
            done.set()

        thread = threading.Thread(target=fill)
        thread.start()
        assert not done.wait(0.05)
        gate.is_open.set()
        thread.join()
        queue.close()
        assert numbers(gate) == list(range(101))
        assert queue.lost == 0

    def test_full_queue_says_what_it_lost(self) -> None:
        gate = Gate()
        handler = MozlogQueueHandler(gate, max_bytes=2000, policy="drop_newest")
        capture = Capture(handler)
        capture.logger.info("first")
        gate.entered.wait()
        for _ in range(50):
            capture.logger.info("x")
        gate.is_open.set()
        handler.close()
        reports = [
            got["Fields"]
            for got in checked_lines(gate.getvalue())
            if "lost_by_cause" in got["Fields"]
        ]
        assert sum(report["lost"] for report in reports) == handler.lost > 0
        assert reports[0]["lost_by_cause"] == {"queue full": reports[0]["lost"]}


class TestSockets:
    @pytest.mark.parametrize("is_known", [False, True])
    @pytest.mark.parametrize("kind", [socket.SOCK_SEQPACKET, socket.SOCK_DGRAM])
    def test_sockets_that_take_messages_get_a_line_in_each_and_lose_only_what_is_too_long(
        self, kind: int, is_known: bool
    ) -> None:
        reader, writer = socket.socketpair(socket.AF_UNIX, kind)
        reader.settimeout(30)
        with reader, writer, open(writer.fileno(), "wb", 0, closefd=False) as stream:
            sink = Sink(stream, max_line_bytes=0)
            if is_known:
                assert sink.write(line(0))
                assert reader.recv(1000) == line(0)
            too_long = b"x" * 10_000_000 + b"\n"
            taken: list[Any] = []
            sink.write_lines([line(1), line(2), too_long, line(3)], taken)
            assert [reader.recv(1000) for _ in range(3)] == [line(1), line(2), line(3)]
            assert taken
            assert sink.dropped == {"EMSGSIZE": 1}
            assert sink.written == 3 + is_known
            # Lines of several threads are not put into one message either.
            assert sink.batch_bytes() == 0

    def test_sockets_that_take_a_stream_of_bytes_get_many_lines_in_one_write(self) -> None:
        reader, writer = socket.socketpair()
        with reader, writer, open(writer.fileno(), "wb", 0, closefd=False) as stream:
            sink = Sink(stream)
            assert sink.write(line(0))
            assert reader.recv(1000) == line(0)
            sink.write_lines([line(1), line(2)], [])
            assert reader.recv(1000) == line(1) + line(2)

    def test_sockets_wait_as_before_where_python_sets_a_default_timeout(self) -> None:
        reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with reader, writer:
            mode = os.fstat(writer.fileno()).st_mode
            socket.setdefaulttimeout(1.0)
            try:
                assert takes_messages(writer.fileno(), mode)
            finally:
                socket.setdefaulttimeout(None)
            assert os.get_blocking(writer.fileno())


class TestEnds:
    def test_ends_take_bounded_time_while_the_reader_stands_still(self) -> None:
        queue, gate = held_up("drop_oldest", 10_000)
        queue.write(line(1))
        assert not queue.flush(0.01)
        queue.close(0.01)
        assert queue.dropped == {"closed before it was written": 1}
        time.sleep(0.06)
        assert not queue.write(line(2))
        gate.is_open.set()
        while queue.written < 1:
            time.sleep(0.001)
        assert numbers(gate) == [0]

    def test_ends_may_be_called_by_many_at_once_and_by_the_thread_itself(self) -> None:
        closed = threading.Event()

        class Closing(io.StringIO):
            def write(self, text: str) -> int:
                queue.flush(0.01)
                queue.close(0.01)
                closed.set()
                return super().write(text)

        stream = Closing()
        queue = LineQueue(Sink(stream))
        queue.write(line(1))
        threads = [threading.Thread(target=queue.close, args=(5.0,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert closed.is_set()
        assert stream.getvalue().encode() == line(1)

    def test_ends_where_no_thread_can_be_started_write_directly(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stream = io.StringIO()
        queue = LineQueue(Sink(stream))
        monkeypatch.setattr("mozlog_py._process.unpatched._start", refuse_to_start)
        queue.write(line(1))
        assert stream.getvalue().encode() == line(1)
        queue._lines.append(line(2))
        assert queue.flush()
        assert stream.getvalue().encode() == line(1) + line(2)

    def test_ends_where_no_thread_can_be_started_write_the_lines_of_all_callers(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mozlog_py._process.unpatched._start", refuse_to_start)

        class LoggedBeside(io.StringIO):
            def write(self, text: str) -> int:
                if not self.getvalue():
                    # Another caller comes while this one has found that no thread can be started.
                    other = threading.Thread(target=queue.write, args=(line(2),))
                    other.start()
                    other.join()
                return super().write(text)

        stream = LoggedBeside()
        queue = LineQueue(Sink(stream))
        queue.write(line(1))
        queue.write(line(3))
        assert stream.getvalue().encode() == line(1) + line(2) + line(3)

    def test_ends_of_a_flush_before_the_first_line_leave_the_next_lines_to_a_thread(self) -> None:
        stream = io.StringIO()
        queue = LineQueue(Sink(stream))
        # Another thread is in write(), and has not looked yet whether to start a thread.
        queue._lines.append(line(1))
        assert queue.flush()
        queue.write(line(2))
        assert queue._has_thread()
        queue.close()
        assert stream.getvalue().encode() == line(1) + line(2)

    def test_ends_of_a_thread_leave_none_of_the_lines_that_come_meanwhile(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stream = io.StringIO()
        queue = LineQueue(Sink(stream))
        queue.write(line(1))
        assert queue.flush()
        thread, release = queue._thread, queue._release_alarm
        assert thread is not None

        def end_first() -> None:
            # The thread ends between a look at it and what follows from that.
            queue._release_alarm = release  # type: ignore[method-assign]
            queue.end_thread_when_empty()
            while thread.is_alive():
                time.sleep(0.001)
            queue._lines.append(line(2))

        queue._release_alarm = end_first  # type: ignore[method-assign]
        queue._notify()
        queue.write(line(3))
        queue.close()
        assert stream.getvalue().encode() == line(1) + line(2) + line(3)

    def test_ends_of_a_flush_by_the_stream_itself_are_not_waited_for(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        flushed: list[bool] = []

        class Flushing(io.StringIO):
            def write(self, text: str) -> int:
                flushed.append(handler.flush(0))
                return super().write(text)

        handler = MozlogQueueHandler(stream := Flushing())
        Capture(handler).logger.info("once")
        handler.close()
        assert flushed == [True]
        assert [got["Fields"]["msg"] for got in checked_lines(stream.getvalue())] == ["once"]

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_ends_of_the_thread_are_noticed_and_it_begins_again(self, quiet: list[str]) -> None:
        stream = io.StringIO()
        sink = Sink(stream)
        queue = LineQueue(sink)
        write_lines = sink.write_lines

        def end(*_: Any) -> None:
            sink.write_lines = write_lines  # type: ignore[method-assign]
            raise SystemExit

        sink.write_lines = end  # type: ignore[method-assign]
        queue.write(line(1))
        first = queue._thread
        assert first is not None
        while first.is_alive():
            time.sleep(0.001)
        queue.write(line(2))
        assert queue.flush()
        assert queue._thread is not first
        assert stream.getvalue().encode() == line(1) + line(2)
        queue.close()

    def test_ends_of_a_write_do_not_end_the_thread(self, quiet: list[str]) -> None:
        stream = io.StringIO()
        sink = Sink(stream)
        queue = LineQueue(sink)
        write_lines = sink.write_lines

        def fail(*_: Any) -> None:
            sink.write_lines = write_lines  # type: ignore[method-assign]
            raise LookupError("odd")

        sink.write_lines = fail  # type: ignore[method-assign]
        queue.write(line(1))
        queue.flush()
        queue.write(line(2))
        queue.flush()
        assert stream.getvalue().encode() == line(2)
        assert quiet == [
            "the queue's thread goes on after LookupError: odd",
            "a record was not written: LookupError: odd",
        ]
        assert queue.dropped == {"LookupError": 1}
        queue.close()

    def test_flush_without_a_wait_says_that_the_caller_has_written_all(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stream = io.StringIO()
        queue = LineQueue(Sink(stream))
        monkeypatch.setattr("mozlog_py._process.unpatched._start", refuse_to_start)
        queue._lines.extend([line(1), line(2)])
        assert queue.flush(0) is True
        assert stream.getvalue().encode() == line(1) + line(2)
        queue.close()


SCRIPT = """
import logging, os, signal, sys
from mozlog_py import MozlogQueueHandler
log = logging.getLogger("script")
handler = MozlogQueueHandler()
log.addHandler(handler)
log.setLevel(1)
for number in range(3000):
    log.info("%d", number)
"""


def run(body: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT + body],
        capture_output=True,
        timeout=60,
        check=False,
    )


class TestProcess:
    def test_process_that_ends_has_written_all(self) -> None:
        done = run("")
        assert (done.returncode, done.stderr) == (0, b"")
        assert len(checked_lines(done.stdout)) == 3000

    def test_process_that_is_terminated_has_written_all(self) -> None:
        done = run("os.kill(os.getpid(), signal.SIGTERM)\nsignal.pause()")
        assert done.returncode == -signal.SIGTERM
        assert len(checked_lines(done.stdout)) == 3000

    def test_process_that_handles_its_termination_itself_is_left_to_it(self) -> None:
        body = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
log.addHandler(MozlogQueueHandler())
os.kill(os.getpid(), signal.SIGTERM)
signal.pause()
"""
        done = run(body)
        assert done.returncode == 3
        assert len(checked_lines(done.stdout)) == 3000

    @pytest.mark.parametrize("how", ["fork", "spawn", "forkserver"])
    def test_process_of_multiprocessing_writes_its_own_lines_alone(
        self, how: str, tmp_path: Any
    ) -> None:
        script = tmp_path / "script.py"
        script.write_text(
            "import logging, multiprocessing, os\n"
            "from mozlog_py import MozlogQueueHandler\n"
            "def work():\n"
            "    log = logging.getLogger('child')\n"
            "    log.setLevel(1)\n"
            "    if not logging.getLogger().handlers:\n"
            "        logging.getLogger().addHandler(MozlogQueueHandler())\n"
            "    for number in range(50):\n"
            "        log.info('%d', number, extra={'own': os.getpid()})\n"
            "if __name__ == '__main__':\n"
            "    logging.getLogger().addHandler(MozlogQueueHandler())\n"
            "    logging.getLogger().setLevel(1)\n"
            "    logging.info('parent')\n"
            f"    method = multiprocessing.get_context('{how}')\n"
            "    children = [method.Process(target=work) for _ in range(3)]\n"
            "    for child in children: child.start()\n"
            "    for child in children: child.join()\n"
        )
        done = subprocess.run(
            [sys.executable, str(script)], capture_output=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, b"")
        lines = checked_lines(done.stdout)
        assert sum(got["Fields"]["msg"] == "parent" for got in lines) == 1
        own = [got for got in lines if got["Type"] == "child"]
        assert len(own) == 150
        assert all(got["Fields"]["own"] == got["Pid"] for got in own)

    @pytest.mark.parametrize("has_queue_before", [True, False])
    @pytest.mark.parametrize("how", ["fork", "spawn", "forkserver"])
    def test_process_of_multiprocessing_writes_lines_of_threads_that_outlive_its_function(
        self, how: str, has_queue_before: bool, tmp_path: Any
    ) -> None:
        script = tmp_path / "script.py"
        script.write_text(
            "import logging, multiprocessing, sys, threading\n"
            "from mozlog_py import MozlogQueueHandler\n"
            "def set_up():\n"
            "    logging.basicConfig(handlers=[MozlogQueueHandler()], level=1, force=True)\n"
            f"if {has_queue_before}: set_up()\n"
            "def late():\n"
            "    threading.main_thread().join()\n"
            "    for number in range(50): logging.info('%d', number)\n"
            "def work():\n"
            f"    if not {has_queue_before}: set_up()\n"
            "    logging.info('first')\n"
            "    threading.Thread(target=late).start()\n"
            "if __name__ == '__main__':\n"
            f"    method = multiprocessing.get_context('{how}')\n"
            "    if method.get_start_method() == 'forkserver':\n"
            "        method.set_forkserver_preload(['script'])\n"
            "    child = method.Process(target=work)\n"
            "    child.start()\n"
            "    child.join()\n"
            "    sys.exit(child.exitcode)\n"
        )
        done = subprocess.run(
            [sys.executable, str(script)],
            capture_output=True,
            timeout=60,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        )
        assert (done.returncode, done.stderr) == (0, b"")
        messages = [got["Fields"]["msg"] for got in checked_lines(done.stdout)]
        assert messages == ["first", *map(str, range(50))]

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
    def test_process_that_forked_to_the_background_goes_on_queueing(self, tmp_path: Any) -> None:
        """Its main thread ends while its workers serve on. The pipe has no reader."""
        script = tmp_path / "script.py"
        script.write_text(
            "import logging, os, sys, threading\n"
            "from mozlog_py import MozlogQueueHandler\n"
            "unread, pipe = os.pipe()\n"
            "handler = MozlogQueueHandler(os.fdopen(pipe, 'w'), max_bytes=200_000)\n"
            "logging.basicConfig(handlers=[handler], level=1)\n"
            "def serve():\n"
            "    threading.main_thread().join()\n"
            "    for number in range(3000): logging.info('%d %s', number, 'x' * 200)\n"
            "    os.write(1, b'went on')\n"
            "    os._exit(0)\n"
            "if os.fork():\n"
            "    os.wait()\n"
            "    os._exit(0)\n"
            "threading.Thread(target=serve).start()\n"
        )
        assert printed_by(script) == b"went on"

    @pytest.mark.slow
    def test_process_of_multiprocessing_ends_although_nobody_reads_its_lines(
        self, tmp_path: Any
    ) -> None:
        script = tmp_path / "script.py"
        script.write_text(
            "import logging, multiprocessing, os, threading\n"
            "from mozlog_py import MozlogQueueHandler\n"
            "unread, pipe = os.pipe()\n"
            "stream = os.fdopen(pipe, 'w')\n"
            "def late():\n"
            "    threading.main_thread().join()\n"
            "    for number in range(3000): logging.info('%d %s', number, 'x' * 200)\n"
            "def work():\n"
            "    logging.basicConfig(handlers=[MozlogQueueHandler(stream)], level=1)\n"
            "    threading.Thread(target=late).start()\n"
            "child = multiprocessing.get_context('fork').Process(target=work)\n"
            "child.start()\n"
            "child.join()\n"
            "print(child.exitcode)\n"
        )
        assert printed_by(script) == b"0\n"


def test_writing_at_once_leaves_no_line_that_came_meanwhile() -> None:
    class Late(LineQueue):
        """A queue that another thread uses between the two steps of ``write_at_once``."""

        def flush(self, timeout: float = 5) -> bool:
            is_flushed = super().flush(timeout)
            if not self._is_closed:
                self.write(line(2))
            return is_flushed

    stream = io.StringIO()
    queue = Late(Sink(stream))
    queue.write(line(1))
    assert queue.write_at_once()
    assert stream.getvalue().encode() == line(1) + line(2)


def test_a_queue_that_is_closed_while_its_thread_looks_at_the_stream_stays_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = LineQueue(Sink(io.StringIO()))
    gate = threading.Event()

    def close_meanwhile() -> bool:
        queue._is_closed = queue._must_check_lines = True
        gate.set()
        return False

    monkeypatch.setattr(queue.sink, "may_echo", close_meanwhile)
    queue.write(line(1))
    gate.wait()
    assert queue.flush()
    assert queue._must_check_lines


def test_a_child_begins_with_an_empty_queue() -> None:
    queue, gate = held_up("drop_oldest", 10_000)
    queue.write(line(1))
    pid = os.fork()
    if pid == 0:
        queue.stream = io.StringIO()
        is_empty = queue.waiting_bytes == 0 and queue._thread is None
        queue.write(line(2))
        is_right = queue.flush(5) and queue.stream.getvalue().encode() == line(2)
        os._exit(0 if is_empty and is_right else 1)
    assert os.waitpid(pid, 0)[1] == 0
    gate.is_open.set()
    queue.close()
    assert numbers(gate) == [0, 1]
