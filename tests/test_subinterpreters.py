"""Several interpreters in one process: whole lines, the right process id, and no lost lines."""

import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mozlog_py._process import interpreters
from mozlog_py._sink import interpreter_lock, pipe_lock
from mozlog_py._sink.interpreter_lock import HAS_FLOCK, InterpreterLock
from mozlog_py._sink.pipe_lock import PipeLock

_MAX_S = 100

needs_interpreters = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="concurrent.interpreters comes with Python 3.14"
)
needs_locks = pytest.mark.skipif(not HAS_FLOCK, reason="locks between interpreters are Linux's")

#: A function for subinterpreters: ``lines`` logs short lines and lines of 5 to 64 KiB.
_WRITER = """
import logging

from mozlog_py import MozlogHandler


def lines(who, count):
    log = logging.getLogger("lines")
    if not log.handlers:
        log.addHandler(MozlogHandler(max_line_bytes=100_000))
        log.setLevel("INFO")
        log.propagate = False
    for number in range(count):
        size = 5_000 + number * 7_919 % 59_000 if number % 2 else 20
        log.info("line", extra={"who": who, "number": number, "pad": who * size})
"""

#: Four interpreters and the main one, each in a thread.
_FIVE_WRITERS = """
import threading
from concurrent import interpreters

from writer import lines

made = [interpreters.create() for _ in range(4)]
threads = [
    threading.Thread(target=each.call, args=(lines, who, 60)) for who, each in zip("abcd", made)
]
for thread in threads:
    thread.start()
lines("m", 60)
for thread in threads:
    thread.join()
for each in made:
    each.close()
"""


class Ran:
    """What a program has written."""

    def __init__(self, process: "subprocess.Popen[bytes]", out: bytes, err: bytes) -> None:
        self.pid = process.pid
        self.text, self.err = out.decode(), err.decode()
        assert process.returncode == 0, self.err[-4000:]

    def lines(self) -> list[dict[str, Any]]:
        # A torn line is no JSON.
        return [json.loads(line) for line in self.text.splitlines()]

    def counts(self) -> dict[str, int]:
        return dict(Counter(line["Fields"]["who"] for line in self.lines()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "writer.py").write_text(_WRITER)
    return tmp_path


def run(folder: Path, program: str, stdout: Any = subprocess.PIPE) -> Ran:
    """Run a program to its end, and end it if it hangs."""
    path = os.pathsep.join([str(folder), str(Path(__file__).parents[1])])
    (folder / "program.py").write_text(textwrap.dedent(program))
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "program.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        stdout=stdout,
        stderr=subprocess.PIPE,
    )
    try:
        out, err = process.communicate(timeout=_MAX_S)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    return Ran(process, out or b"", err)


def run_inside(folder: Path, code: str) -> Ran:
    """Run code in a subinterpreter of a program, and end the subinterpreter."""
    program = f"""
from concurrent import interpreters

import mozlog_py

made = interpreters.create()
made.exec({textwrap.dedent(code)!r})
made.close()
"""
    return run(folder, program)


@needs_interpreters
class TestInterpretersOfOneProcess:
    def test_interpreters_of_one_process_write_whole_lines_to_one_pipe(self, folder: Path) -> None:
        ran = run(folder, _FIVE_WRITERS)
        assert ran.counts() == dict.fromkeys("abcdm", 60)
        assert {line["Pid"] for line in ran.lines()} == {ran.pid}
        assert any(len(line["Fields"]["pad"]) > 60_000 for line in ran.lines())

    def test_interpreters_of_one_process_write_whole_lines_to_one_socket(
        self, folder: Path
    ) -> None:
        # Which cannot be opened again by its path, as a pipe can.
        ours, theirs = socket.socketpair()
        with (folder / "read").open("wb") as read, ours:
            reader = subprocess.Popen(["cat"], stdin=ours, stdout=read)
        try:
            ran = run(folder, _FIVE_WRITERS, stdout=theirs)
        finally:
            theirs.close()
            reader.wait(_MAX_S)
        ran.text = (folder / "read").read_text()
        assert ran.counts() == dict.fromkeys("abcdm", 60)

    def test_interpreters_of_one_process_share_a_pipe_with_another_process(
        self, folder: Path
    ) -> None:
        other = """
            import subprocess
            import sys

            code = "from writer import lines; lines('o', 60)"
            child = subprocess.Popen([sys.executable, "-c", code])
        """
        program = textwrap.dedent(other) + _FIVE_WRITERS + "assert child.wait(60) == 0\n"
        assert run(folder, program).counts() == dict.fromkeys("abcdmo", 60)

    def test_interpreters_of_one_process_log_from_an_executor(self, folder: Path) -> None:
        ran = run(
            folder,
            """
            from concurrent.futures import InterpreterPoolExecutor

            from writer import lines

            if __name__ == "__main__":
                with InterpreterPoolExecutor(4) as executor:
                    list(executor.map(lines, "abcdabcd", [20] * 8))
                lines("m", 4)
            """,
        )
        assert ran.counts() == {**dict.fromkeys("abcd", 40), "m": 4}

    def test_interpreters_of_one_process_leave_no_descriptor_behind(self, folder: Path) -> None:
        ran = run(
            folder,
            """
            import os
            import sys
            from concurrent import interpreters

            from writer import lines

            def descriptors():
                return len(os.listdir("/proc/self/fd"))

            before = descriptors()
            for _ in range(8):
                made = interpreters.create()
                # Before the lock's own hook, which is therefore called first.
                made.exec('''if True:
                    import atexit
                    from writer import lines
                    atexit.register(lines, "b", 2)
                ''')
                made.call(lines, "a", 1)
                made.close()
            print(descriptors() - before, file=sys.stderr)
            """,
        )
        assert ran.err == "0\n"
        assert ran.counts() == {"a": 8, "b": 16}

    def test_interpreters_of_one_process_have_an_encoder_and_a_context_each(
        self, folder: Path
    ) -> None:
        ran = run(
            folder,
            """
            import logging
            from concurrent import interpreters

            import mozlog_py.context
            from mozlog_py.config import JSON_ENCODER

            CODE = '''
            import logging
            import mozlog_py.context
            from mozlog_py.config import JSON_ENCODER
            mozlog_py.configure(logger_name="app", level="INFO")
            logging.getLogger("app").info("hi", extra={"who": JSON_ENCODER})
            mozlog_py.context.bind(request="inner")
            '''
            mozlog_py.configure(logger_name="app", level="INFO")
            mozlog_py.context.bind(request="outer")
            made = interpreters.create()
            made.exec("\\n".join(line.strip() for line in CODE.splitlines()))
            logging.getLogger("app").info("hi", extra={"who": JSON_ENCODER})
            made.close()
            """,
        )
        inner, outer = (line["Fields"] for line in ran.lines())
        assert inner["who"] in ("json", "msgspec")
        assert "request" not in inner
        assert outer["who"] == "orjson"
        assert outer["request"] == "outer"

    def test_interpreters_of_one_process_write_their_queue_when_they_end(
        self, folder: Path
    ) -> None:
        ran = run_inside(
            folder,
            """
            import atexit
            import logging
            import threading
            from mozlog_py import MozlogQueueHandler

            log = logging.getLogger("queued")
            log.addHandler(MozlogQueueHandler())
            log.setLevel("INFO")

            def late():
                log.info("late", extra={"who": "late"})
                logging.getLogger("new").addHandler(MozlogQueueHandler())
                logging.getLogger("new").error("new", extra={"who": "new"})
                assert threading.active_count() == 1

            atexit.register(late)
            for number in range(500):
                log.info("line", extra={"who": "queued"})
            assert [each.daemon for each in threading.enumerate()] == [False, False]
            """,
        )
        assert ran.counts() == {"queued": 500, "late": 1, "new": 1}

    def test_interpreters_of_one_process_run_checks_within_their_deadline_and_end(
        self, folder: Path
    ) -> None:
        ran = run_inside(
            folder,
            """
            import asyncio
            import time
            from dockerflow import checks

            def sync():
                return []

            def slow():
                time.sleep(0.6)
                return []

            async def warns():
                await asyncio.sleep(0)
                return [checks.Warning("w", id="x.W1")]

            async def endless():
                await asyncio.Event().wait()

            pairs = [(each.__name__, each) for each in (sync, slow, warns, endless)]
            found = checks.run_checks(pairs, timeout=0.3)
            print(*found.statuses.items(), sep="\\n")
            assert asyncio.run(checks.run_checks_async(pairs[:1])).statuses == {"sync": "ok"}
            """,
        )
        assert ran.text.splitlines() == [
            "('sync', 'ok')",
            "('slow', 'error')",
            "('warns', 'warning')",
            "('endless', 'error')",
        ]

    def test_interpreters_of_one_process_leave_signals_to_the_main_one(self, folder: Path) -> None:
        ran = run_inside(
            folder,
            """
            import logging
            import signal
            import mozlog_py
            mozlog_py.configure(logger_name="app", stream="app.log", level="INFO")
            mozlog_py.configure(logger_name="app", queue=True, level="INFO")
            logging.getLogger("app").info("hi", extra={"who": "a"})
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
            """,
        )
        assert ran.counts() == {"a": 1}


@pytest.fixture
def pipe() -> Iterator[int]:
    reader, writer = os.pipe()
    yield writer
    os.close(reader)
    os.close(writer)


@needs_locks
class TestLocksBetweenInterpreters:
    """Two objects of one interpreter have a description each, as those of two interpreters do."""

    def test_locks_between_interpreters_are_of_one_lock_at_a_time(self, pipe: int) -> None:
        one, two = InterpreterLock(pipe), InterpreterLock(pipe)
        assert one.try_lock()
        assert one.try_lock()
        assert not two.try_lock()
        two.unlock()
        assert not two.try_lock()
        one.unlock()
        assert two.try_lock()

    def test_locks_between_interpreters_are_of_one_pipe_each(self, pipe: int) -> None:
        reader, writer = os.pipe()
        try:
            assert InterpreterLock(pipe).try_lock()
            one, other = InterpreterLock(pipe), InterpreterLock(writer)
            assert one.try_lock()
            assert other.try_lock()
        finally:
            os.close(reader)
            os.close(writer)

    def test_locks_between_interpreters_end_when_their_descriptor_is_closed(
        self, pipe: int
    ) -> None:
        one, two = InterpreterLock(pipe), InterpreterLock(pipe)
        steps = one.locks()
        assert next(steps)
        one.close()
        assert two.try_lock()
        assert not one.is_valid()
        # KeyError if the number is another file's by now.
        with pytest.raises((KeyError, OSError)):
            next(steps)
        with pytest.raises((KeyError, OSError)):
            one.try_lock()
        one.unlock()
        assert not InterpreterLock(pipe).try_lock()

    def test_locks_between_interpreters_are_done_without_after_a_note(
        self, pipe: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        notes: list[str] = []
        monkeypatch.setattr(interpreter_lock, "_FILE", "/nowhere/comm")
        monkeypatch.setattr(interpreter_lock, "note", notes.append)
        monkeypatch.setattr(pipe_lock, "has_several", lambda: True)
        lock = PipeLock(pipe)
        for _ in range(2):
            lock.lock(is_long=True, until=None)
            lock.unlock()
        assert len(notes) == 1
        assert "/nowhere/comm cannot be opened for locks (No such file" in notes[0]

    def test_locks_between_interpreters_keep_the_record_lock_of_the_process(
        self, pipe: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pipe_lock, "has_several", lambda: True)
        monkeypatch.setattr(pipe_lock, "sleep", lambda _: None)
        one, two = PipeLock(pipe), PipeLock(pipe)
        one.lock(is_long=True, until=None)
        with pytest.raises(TimeoutError):
            two.lock(is_long=False, until=0.0)
        two.unlock()
        assert interpreter_lock.has_record_lock(pipe, pipe_lock._THE_LOCK)
        one.unlock()
        assert not interpreter_lock.has_record_lock(pipe, pipe_lock._THE_LOCK)
        two.lock(is_long=False, until=0.0)
        two.unlock()

    def test_locks_between_interpreters_are_taken_by_a_line_that_began_before_the_other_interpreter(
        self, pipe: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers = [False, True]
        monkeypatch.setattr(pipe_lock, "has_several", lambda: not answers or answers.pop(0))
        monkeypatch.setattr(pipe_lock, "sleep", lambda _: None)
        main = PipeLock(pipe)
        main.lock(is_long=True, until=None)
        assert main.between_interpreters is not None
        assert not InterpreterLock(pipe).try_lock()
        main.unlock()

    def test_locks_between_interpreters_wait_for_a_line_that_the_main_interpreter_has_begun(
        self, pipe: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pipe_lock, "sleep", lambda _: None)
        monkeypatch.setattr(pipe_lock, "has_several", lambda: False)
        main = PipeLock(pipe)
        main.lock(is_long=True, until=None)
        monkeypatch.setattr(pipe_lock, "has_several", lambda: True)
        monkeypatch.setattr(pipe_lock, "IS_MAIN", False)
        other = PipeLock(pipe)
        with pytest.raises(TimeoutError):
            other.lock(is_long=False, until=0.0)
        main.unlock()
        other.lock(is_long=False, until=0.0)
        other.unlock()

    def test_locks_between_interpreters_are_opened_again_after_code_closed_all_descriptors(
        self, pipe: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pipe_lock, "has_several", lambda: True)
        lock = PipeLock(pipe)
        lock.find_other_writers()
        assert lock.between_interpreters is not None
        os.close(lock.between_interpreters._descriptor)
        lock.lock(is_long=False, until=None)
        assert not InterpreterLock(pipe).try_lock()
        lock.unlock()
        assert InterpreterLock(pipe).try_lock()

    def test_locks_between_interpreters_are_not_taken_by_a_single_interpreter(
        self, pipe: int
    ) -> None:
        lock = PipeLock(pipe)
        lock.lock(is_long=True, until=None)
        assert lock.between_interpreters is None
        lock.unlock()


class TestSeveralInterpreters:
    def test_several_interpreters_are_looked_for_in_the_module_that_makes_them(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Module:
            found: Any = ()

            def list_all(self) -> Any:
                if self.found is None:
                    raise RuntimeError("being made")
                return self.found

        monkeypatch.delitem(sys.modules, "_interpreters", raising=False)
        assert not interpreters.has_several()
        module: Any = Module()
        monkeypatch.setitem(sys.modules, "_interpreters", module)
        for found, expected in (((0,), False), ((0, 1), True), (None, True)):
            module.found = found
            assert interpreters.has_several() is expected


class TestThreadsOfASubinterpreter:
    """What ``InterpreterPoolExecutor`` proves above on 3.14, step by step and on every Python."""

    @pytest.fixture(autouse=True)
    def subinterpreter(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        hooks: list[Any] = []
        monkeypatch.setattr(interpreters, "IS_MAIN", False)
        monkeypatch.setattr(interpreters, "_holders", [])
        monkeypatch.setattr(interpreters._Shutdown, "is_hooked", False)
        monkeypatch.setattr(interpreters._Shutdown, "has_begun", False)
        monkeypatch.setattr(threading, "_register_atexit", hooks.append)
        return hooks

    def test_threads_of_a_subinterpreter_are_no_daemons(self, subinterpreter: list[Any]) -> None:
        ran: list[tuple[str, bool]] = []

        def run(word: str) -> None:
            ran.append((word, threading.current_thread().daemon))

        for word in ("one", "two"):
            interpreters.start_thread(run, (word,), "shop")
        for thread in threading.enumerate():
            if thread.name == "shop":
                thread.join()
        assert sorted(ran) == [("one", False), ("two", False)]
        assert subinterpreter == [interpreters._end_threads]

    def test_threads_of_a_subinterpreter_end_before_it_does(
        self, subinterpreter: list[Any]
    ) -> None:
        class Holder:
            def __init__(self) -> None:
                self.is_told = False

            def end_threads(self) -> None:
                self.is_told = True

        kept, gone = Holder(), Holder()
        for holder in (kept, gone):
            interpreters.end_with_interpreter(holder)
        del gone, holder
        interpreters.start_thread(list, (), "shop")
        subinterpreter[0]()
        assert kept.is_told
        with pytest.raises(RuntimeError, match="starts no more threads"):
            interpreters.start_thread(list, (), "shop")

    def test_threads_of_a_subinterpreter_are_not_started_where_no_hook_ends_them(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(_: Any) -> None:
            raise RuntimeError("can't register atexit after shutdown")

        monkeypatch.setattr(threading, "_register_atexit", refuse)
        with pytest.raises(RuntimeError, match="starts no more threads"):
            interpreters.start_thread(list, (), "shop")

    def test_threads_of_a_subinterpreter_are_not_alone(self) -> None:
        assert interpreters.has_several()
