"""Lines and counts are exact while threads are switched every microsecond.

The GIL then changes hands between nearly all bytecodes, so that code which relies on it to keep
two steps together fails here.
"""

import contextvars
import gc
import itertools
import json
import logging
import os
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from dockerflow import checks
from dockerflow._request import rate_limit
from dockerflow._request.rate_limit import RateLimit
from dockerflow.checks._run import run_until_deadline
from mozlog_py import MozlogFormatter, MozlogHandler, MozlogQueueHandler, context
from mozlog_py._process import self_log, shared_state
from mozlog_py._process.process_id import process
from mozlog_py._process.shared_state import CountLock, Tally, living, snapshot
from mozlog_py._sink import loss_counter
from mozlog_py._sink.loss_counter import LossCounter, LossReport
from mozlog_py.queued import LineQueue
from mozlog_py.sink import Sink
from mozlog_py.structlog import FastBoundLogger, SinkLoggerFactory, processors

_THREADS = 6
_LINES = 300
_TIMEOUT_S = 60

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _switched_every_microsecond() -> Iterator[None]:
    former = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(former)


def together(*functions: Callable[[], Any]) -> None:
    """Run functions in threads that begin at the same time, and raise what one of them raises."""
    start = threading.Barrier(len(functions))
    raised: list[BaseException] = []

    def run(function: Callable[[], Any]) -> None:
        try:
            start.wait(_TIMEOUT_S)
            function()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(each,), daemon=True) for each in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_TIMEOUT_S)
        assert not thread.is_alive()
    if raised:
        raise raised[0]


def beside(work: list[Callable[[], Any]], *changes: Callable[[], Any]) -> None:
    """Run some functions together, and others again and again until these have ended."""
    left = list(work)

    def counted(function: Callable[[], Any]) -> Callable[[], None]:
        def run() -> None:
            try:
                function()
            finally:
                left.pop()

        return run

    def repeated(function: Callable[[], Any]) -> Callable[[], None]:
        def run() -> None:
            while left:
                function()

        return run

    together(*map(counted, work), *map(repeated, changes))


def logger_of(handler: logging.Handler) -> logging.Logger:
    logger = logging.getLogger(f"free-threading-{next(_numbers)}")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    return logger


def read(*paths: Path) -> list[dict[str, Any]]:
    """Return the lines of files; a line that is torn is no JSON."""
    return [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]


def said(lines: list[dict[str, Any]]) -> Counter[tuple[int, int]]:
    return Counter((line["Fields"]["writer"], line["Fields"]["n"]) for line in lines)


EACH_ONCE = Counter(itertools.product(range(_THREADS), range(_LINES)))


class TestLinesOfThreads:
    def test_lines_of_threads_that_log_and_bind_are_whole_and_have_the_fields_of_their_own_thread(
        self, tmp_path: Path
    ) -> None:
        handler = MozlogHandler(tmp_path / "log")
        logger = logger_of(handler)
        fast = FastBoundLogger.at(20)(
            SinkLoggerFactory(handler.sink)("app"), processors("shop"), {"writer": -1}
        )

        def log(thread: int) -> Callable[[], None]:
            def run() -> None:
                context.bind(bound=thread)
                own = fast.bind(writer=thread)
                for n in range(_LINES):
                    if n % 2:
                        logger.info("by logging", extra={"writer": thread, "n": n})
                    else:
                        own.info("by structlog", n=n)

            return run

        together(*map(log, range(_THREADS)))
        lines = read(tmp_path / "log")
        assert said(lines) == EACH_ONCE
        assert all(line["Fields"]["bound"] == line["Fields"]["writer"] for line in lines)
        assert handler.sink.written == _THREADS * _LINES
        assert handler.sink.lost == 0

    def test_lines_of_threads_whose_file_is_rotated_are_each_in_one_of_the_files(
        self, tmp_path: Path
    ) -> None:
        handler = MozlogHandler(tmp_path / "log")
        logger = logger_of(handler)
        rotated = itertools.count()

        def rotate() -> None:
            if (tmp_path / "log").exists():
                (tmp_path / "log").rename(tmp_path / f"log.{next(rotated)}")
                handler.sink.reopen()

        beside(logging_threads(logger), rotate)
        logger.info("last", extra={"writer": -1, "n": 0})
        lines = read(*tmp_path.iterdir())
        assert said(lines) == EACH_ONCE + Counter([(-1, 0)])
        assert handler.sink.written == _THREADS * _LINES + 1

    def test_lines_of_threads_are_made_with_the_options_of_one_moment(self, tmp_path: Path) -> None:
        handler = MozlogHandler(tmp_path / "log")
        formatter = MozlogFormatter(static_fields={"shop": "a", "till": "a"})
        handler.setFormatter(formatter)
        logger = logger_of(handler)
        names = itertools.cycle("ab")

        def change() -> None:
            name = next(names)
            formatter.static_fields = {"shop": name, "till": name}
            formatter.rename_fields = {"n": "n"} if name == "a" else {}
            formatter.call_on_change(Listener().changed)
            Sink(tmp_path / "other").write(b"{}\n")

        beside(logging_threads(logger), change, change)
        lines = read(tmp_path / "log")
        assert said(lines) == EACH_ONCE
        assert {line["Fields"]["shop"] for line in lines} <= {"a", "b"}
        assert all(line["Fields"]["shop"] == line["Fields"]["till"] for line in lines)

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_and_of_processes_that_are_forked_meanwhile_are_in_the_file_once(
        self, tmp_path: Path
    ) -> None:
        handler = MozlogHandler(tmp_path / "log")
        logger = logger_of(handler)
        children: list[int] = []

        def fork() -> None:
            for number in range(8):
                child = os.fork()
                if not child:
                    logger.info("child", extra={"writer": -1, "n": number})
                    os._exit(0)
                children.append(child)

        together(*logging_threads(logger), fork)
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
        assert said(read(tmp_path / "log")) == EACH_ONCE + Counter((-1, n) for n in range(8))
        assert handler.sink.written == _THREADS * _LINES

    def test_lines_of_threads_of_a_queue_that_is_full_are_written_or_counted(
        self, tmp_path: Path
    ) -> None:
        handler = MozlogQueueHandler(tmp_path / "log", max_bytes=4000, flush_on_sigterm=False)
        beside(logging_threads(logger_of(handler)), lambda: handler.flush(0))
        handler.close()
        lines = [line for line in read(tmp_path / "log") if "writer" in line["Fields"]]
        assert not said(lines) - EACH_ONCE
        assert len(lines) + handler.sink.lost == _THREADS * _LINES
        assert handler.sink.written == len(lines)
        assert sum(handler.sink.dropped.values()) == handler.sink.lost


def logging_threads(logger: logging.Logger) -> list[Callable[[], None]]:
    def log(thread: int) -> Callable[[], None]:
        def run() -> None:
            for n in range(_LINES):
                logger.info("paid", extra={"writer": thread, "n": n})

        return run

    return [log(thread) for thread in range(_THREADS)]


class Listener:
    def changed(self) -> None:
        pass


@pytest.fixture
def _switched_at_each_bytecode() -> Iterator[None]:
    """Switch threads at each bytecode of the modules that count.

    CPython switches them at calls and loops alone, and never within ``x += 1``.
    """
    files = {module.__file__ for module in (loss_counter, rate_limit, self_log, shared_state)}

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename not in files:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            # Releases the GIL.
            time.sleep(0)
        return trace

    threading.settrace(trace)
    yield
    threading.settrace(None)  # type: ignore[arg-type]


@pytest.mark.usefixtures("_switched_at_each_bytecode")
class TestCounts:
    def test_counts_of_losses_are_exact_by_cause_and_in_reports(self) -> None:
        counter = LossCounter()
        reports: list[LossReport] = []

        def lose() -> None:
            for n in range(30):
                counter.add(f"cause {n % 3}", b'{"Severity":6}')

        def report() -> None:
            lost = counter.take_unreported()
            if len(reports) % 2:
                reports.append(lost)
            else:
                counter.put_back(lost)
                reports.append(LossReport(0))
                reports[-1].by_cause, reports[-1].by_severity = {}, {}

        beside([lose] * _THREADS, report)
        reports.append(counter.take_unreported())
        total = _THREADS * 30
        assert counter.total == total
        assert counter.by_cause == {f"cause {n}": total // 3 for n in range(3)}
        assert sum(reports) == total
        assert sum((Counter(each.by_cause) for each in reports), Counter()) == counter.by_cause
        assert sum(each.by_severity.get(6, 0) for each in reports) == total

    def test_counts_of_degraded_and_unlocked_lines_are_exact(self) -> None:
        tally = Tally()
        together(*[lambda: [tally.add() for _ in range(50)]] * _THREADS)
        assert tally.count == _THREADS * 50

    def test_counts_of_withheld_notes_are_exact(self, monkeypatch: pytest.MonkeyPatch) -> None:
        written: list[bytes] = []
        monkeypatch.setattr(self_log, "_is_ready", lambda _: True)
        monkeypatch.setattr(self_log, "_last", float("-inf"))
        monkeypatch.setattr(self_log, "_withheld", 0)
        monkeypatch.setattr(self_log, "_INTERVAL_S", 3600.0)
        monkeypatch.setattr(self_log.os, "write", lambda _, line: written.append(line))
        together(*[lambda: [self_log.note("trouble") for _ in range(30)]] * _THREADS)
        monkeypatch.setattr(self_log, "_last", float("-inf"))
        self_log.note("last")
        more = _THREADS * 30 - 1
        assert written == [b"mozlog_py: trouble\n", b"mozlog_py: last (%d more like it)\n" % more]

    def test_counts_of_rate_limits_are_exact(self) -> None:
        seconds = [1000.0]
        limit = RateLimit(lambda: seconds[0])
        found: list[int | None] = []
        together(*[lambda: found.extend(limit.admit(1) for _ in range(30))] * _THREADS)
        seconds[0] += 1
        assert [each for each in found if each is not None] == [0]
        assert limit.admit(1) == _THREADS * 30 - 1

    def test_counts_of_dropped_lines_are_left_to_the_call_that_drops_them(self) -> None:
        queue = LineQueue(Sink(os.devnull))
        queue._dropper._lock[0] = "another call"
        queue._dropper._dropped.append(b"is counted by the other call\n")
        assert queue._dropper.drop(1, queue._count_dropped, with_errors=True) is None
        assert queue.lost == 0
        assert len(queue._dropper._dropped) == 1

    def test_counts_of_waiting_bytes_that_have_drifted_are_corrected_while_lines_wait(self) -> None:
        queue = LineQueue(Sink(os.devnull))
        queue._lines.extend([b"waits\n"] * 3)
        queue._bytes = 1_000_000
        queue._end_batch([])
        assert queue.waiting_bytes == 3 * (len(b"waits\n") + 64)
        queue._lines.clear()

    def test_counts_go_on_after_an_exception_has_left_their_lock_taken(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shared_state, "PATIENCE_S", 0.01)
        tally = Tally()
        together(tally._lock.__enter__)
        tally.add()
        together(tally.add)
        assert tally.count == 2

    def test_counts_may_be_changed_by_a_signal_handler_within_a_change(self) -> None:
        lock = CountLock()
        with lock, lock:
            pass
        assert lock.lock.acquire(blocking=False)


class Member:
    pass


class TestCollections:
    @pytest.mark.parametrize("kind", [deque, weakref.WeakSet])
    def test_collections_are_copied_while_other_threads_add_members(self, kind: Any) -> None:
        stays = Member()
        shared = kind([stays])
        kept: deque[Member] = deque(maxlen=50)

        def add() -> None:
            member = Member()
            kept.append(member)
            shared.add(member) if kind is weakref.WeakSet else shared.append(member)
            while len(shared) > 50 and kind is deque:
                shared.pop()

        beside([lambda: [assert_in(stays, snapshot(shared)) for _ in range(_LINES)]], add, add)

    def test_collections_that_have_changed_are_copied_again(self) -> None:
        class Changed(deque[int]):
            is_changed = True

            def __iter__(self) -> Iterator[int]:
                if self.is_changed:
                    self.is_changed = False
                    raise RuntimeError("deque mutated during iteration")
                return super().__iter__()

        assert snapshot(Changed([1, 2])) == [1, 2]

    def test_a_stack_that_ends_is_no_reason_to_copy_again(self) -> None:
        class Endless(deque[int]):
            def __iter__(self) -> Iterator[int]:
                raise RecursionError

        with pytest.raises(RecursionError):
            snapshot(Endless())

    def test_collections_of_the_process_are_read_while_loggers_are_made(self) -> None:
        class Prepared(Member):
            def reset_after_fork(self) -> None:
                pass

            def check_descriptor(self) -> None:
                pass

        def register() -> None:
            for prepared in [Prepared() for _ in range(20)]:
                process.register(prepared)
                process.register_check(prepared)

        def refresh() -> None:
            for _ in range(_LINES):
                process.discard_prepared()
                process.refresh(process.until_ns + 1)

        beside([refresh], register, register)

    def test_a_weak_dict_has_the_values_that_live_though_others_come(self) -> None:
        held: weakref.WeakValueDictionary[int, Member] = weakref.WeakValueDictionary()
        held[0] = lives = Member()
        held[1] = Member()
        gc.collect()
        come: list[Member] = []

        def trace(frame: FrameType, event: str, _: object) -> Any:
            if frame.f_code.co_filename == shared_state.__file__ and not come:
                return trace
            if frame.f_code.co_filename == weakref.__file__ and event == "line" and len(come) < 9:
                come.append(Member())
                held[2 + len(come)] = come[-1]
            return trace

        former = sys.gettrace()
        sys.settrace(trace)
        try:
            found = living(held)
        finally:
            sys.settrace(former)
        assert come
        assert found[0] is lives

    def test_collections_of_checks_are_run_while_checks_are_registered(self) -> None:
        former = dict(checks.get_checks())
        checks.clear_checks()
        numbers = itertools.count()

        @checks.register("stays")
        def stays() -> list[Any]:
            return []

        def register() -> None:
            name = f"comes {next(numbers) % 20}"
            checks.register(stays, name)
            checks.get_checks().pop(name, None)

        def run() -> None:
            for _ in range(10):
                result = checks.run_checks(checks.get_checks().items())
                assert result.statuses["stays"] == "ok"

        try:
            beside([run, run], register)
        finally:
            checks.clear_checks()
            checks.get_checks().update(former)


def assert_in(member: Member, members: list[Member]) -> None:
    assert any(each is member for each in members)


def test_idle_threads_for_checks_keep_no_request_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    # Threads of earlier tests have no request to keep.
    monkeypatch.setattr(run_until_deadline, "_process_runners", {})
    request: contextvars.ContextVar[Member] = contextvars.ContextVar("request")

    async def in_loop() -> list[Any]:
        return []

    def serve() -> weakref.ref[Member]:
        request.set(Member())
        checks.run_checks([("in thread", list), ("in loop", in_loop)])
        return weakref.ref(request.get())

    served = contextvars.Context().run(serve)
    until = time.monotonic() + 20
    while served() is not None and time.monotonic() < until:
        # The threads drop a run a moment after its outcome is there.
        time.sleep(0.01)
        gc.collect()
    assert served() is None


_INHERITS = """
import asyncio, contextvars, gc, logging, threading, time, weakref
from concurrent.futures import ThreadPoolExecutor
import mozlog_py
from mozlog_py import context
from dockerflow import checks
from dockerflow._request import rate_limit
from dockerflow._request.rate_limit import RateLimit

mozlog_py.configure("shop")
log = logging.getLogger("shop").info

class Request: pass

request = contextvars.ContextVar("request")

async def in_loop():
    await asyncio.to_thread(log, "to_thread")
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, log, "run_in_executor")

async def passes(): return []

def serve():
    request.set(Request())
    context.bind(order=7)
    thread = threading.Thread(target=log, args=("thread",)); thread.start(); thread.join()
    pool.submit(log, "pool").result()
    pool.submit(context.carry(log), "pool, with carry").result()
    asyncio.run(in_loop())
    checks.run_checks([("thread", lambda: []), ("loop", passes)])
    assert any(each.name.startswith("dockerflow-check") for each in threading.enumerate())
    return weakref.ref(request.get())

pool = ThreadPoolExecutor(1)
contextvars.copy_context().run(serve)
pool.submit(log, "the pool's next job").result()
pool.submit(context.carry(log), "the pool's next job, with carry").result()
pool.shutdown()

def serve_checks():
    request.set(Request())
    # In a new thread, since the check has another key.
    checks.run_checks([("thread 2", lambda: []), ("loop", passes)])
    return weakref.ref(request.get())

ended = contextvars.Context().run(serve_checks)
until = time.monotonic() + 20
while ended() and time.monotonic() < until:
    # The threads drop a run a moment after its outcome is there.
    time.sleep(0.01)
    gc.collect()
log("kept" if ended() else "released")
"""


@pytest.mark.skipif(sys.version_info < (3, 14), reason="threads inherit no context before 3.14")
@pytest.mark.parametrize("inherits", ["0", "1"])
def test_threads_have_the_context_that_the_table_of_the_docs_says(inherits: str) -> None:
    options = ["-X", f"thread_inherit_context={inherits}"]
    done = subprocess.run(
        [sys.executable, *options, "-c", _INHERITS], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    lines = [json.loads(line)["Fields"] for line in done.stdout.splitlines()]
    assert {line["msg"]: line.get("order") for line in lines} == {
        "to_thread": 7,
        "thread": 7 if inherits == "1" else None,
        "pool": 7 if inherits == "1" else None,
        "run_in_executor": 7 if inherits == "1" else None,
        "pool, with carry": 7,
        # The pool's thread goes on in the context of the call that has started it.
        "the pool's next job": 7 if inherits == "1" else None,
        "the pool's next job, with carry": None,
        "released": None,
    }
