"""At every single bytecode of the write path, something happens: no line is torn or doubled.

A trace function runs before each bytecode of the modules that write. It raises, logs or forks
there, as a signal handler, a finaliser or another thread may do, and at more places than these
can.
"""

import contextlib
import dis
import fcntl
import functools
import json
import os
import resource
import socket
import sys
import threading

import pytest

import mozlog_py.queued as queued_module
import mozlog_py.sink as sink_module
from mozlog_py._process import descriptors, unpatched
from mozlog_py._sink import (
    drop_lines,
    interpreter_lock,
    line_writer,
    pipe_lock,
    reopenable_file,
    write_bytes,
    write_queue,
    write_slot,
)
from mozlog_py.sink import NO_DIRECT_WRITE, Sink
from mozlog_py.structlog import FastBoundLogger, SinkLoggerFactory, log_methods, processors

#: The files whose bytecodes are counted: all code between a line and its write.
_FILES = {
    module.__file__
    for module in (
        descriptors,
        drop_lines,
        write_bytes,
        interpreter_lock,
        line_writer,
        log_methods,
        pipe_lock,
        queued_module,
        reopenable_file,
        sink_module,
        unpatched,
        write_queue,
        write_slot,
    )
}
_SET_PIPE_SIZE = 1031
_ENDS = ("__del__", "close")
_LINE = b'{"n":"%b","pad":"%b"}\n'


def in_a_thread_of_its_own(test):
    """Run a test in a thread that ends with it.

    In some versions of Python, an exception that a trace function raises on the way into an
    ``except`` stays the handled one for as long as the thread runs.
    """

    @functools.wraps(test)
    def run(*args, **kwargs):
        raised = []

        def call():
            try:
                test(*args, **kwargs)
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        if raised:
            raise raised[0]

    return run


# The opcode at which the test does not strike.
_MARK = dis.opmap.get("NOT_TAKEN") if sys.version_info >= (3, 15) else None
#: All of a test.
_strikes = []


@pytest.fixture(autouse=True)
def _strikes_strike():
    """Have no test pass because nothing was struck, as some versions trace less than others."""
    _strikes.clear()
    yield
    struck = sum(bool(strike.struck) for strike in _strikes)
    assert struck > len(_strikes) // 2, f"{struck} of {len(_strikes)}"


class Struck(BaseException):
    pass


def line(name, pad=50):
    return _LINE % (name.encode(), b"#" * pad)


def ends_something(frame):
    """Return whether a frame is one of those that end a file, or is called by one."""
    while frame is not None and frame.f_code.co_filename in _FILES:
        if frame.f_code.co_name in _ENDS:
            return True
        frame = frame.f_back
    return False


def is_mark(frame):
    """Return whether a frame of 3.15 is at a mark of a branch.

    No handler of a signal runs there. From 3.15 on, what a trace raises there is caught by none of
    the handlers around it, as it was on 3.14.
    """
    return _MARK is not None and frame.f_code.co_code[frame.f_lasti] == _MARK


class Strike:
    """Does something at the bytecode with a certain number, counted in one call."""

    def __init__(self, at, deed):
        self.at = {at} if isinstance(at, int) else set(at)
        if at != -1:
            _strikes.append(self)
        self.deed = deed
        self.count = 0
        self.struck = 0
        #: Whether the interrupted function had a pending write.
        self.had_pending = False

    def trace(self, frame, event, _arg):
        # The collector may delete the one before at any time.
        if frame.f_code.co_filename not in _FILES or ends_something(frame):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode" and not is_mark(frame):
            self.count += 1
            if self.count in self.at:
                self.struck += 1
                self.had_pending = frame.f_locals.get("pending") is not None
                sys.settrace(None)
                try:
                    self.deed()
                finally:
                    if self.count < max(self.at):
                        sys.settrace(self.trace)
        return self.trace

    def during(self, call):
        former = sys.gettrace()
        sys.settrace(self.trace)
        try:
            return call()
        finally:
            sys.settrace(former)


def seen(call):
    """Do a call under a trace: since 3.13 there is nothing to tell of code's first one."""
    return Strike(-1, lambda: None).during(call)


class Output:
    """Where a sink writes to, and what arrives there."""

    def __init__(self, kind, tmp_path):
        self.kind = kind
        self.path = tmp_path / "out"
        self.parts = []
        self.reading = None
        if kind in ("file", "path", "due path"):
            self.stream = self.path.open("ab") if kind == "file" else self.path
            self.path.write_bytes(b"")
            return
        if kind == "socket":
            ours, theirs = socket.socketpair()
            self.reader, writer = ours.detach(), theirs.detach()
        else:
            self.reader, writer = os.pipe()
        if kind == "small":
            # It takes a page, and then nothing until the reader reads.
            fcntl.fcntl(writer, _SET_PIPE_SIZE, 4096)
            os.set_blocking(writer, False)
        self.stream = os.fdopen(writer, "wb")
        self.reading = threading.Thread(target=self.read, daemon=True)
        self.reading.start()

    def read(self):
        while got := os.read(self.reader, 3000):
            self.parts.append(got)
        os.close(self.reader)

    def lines(self):
        if "path" in self.kind:
            return self.path.read_bytes()
        self.stream.close()
        if self.reading is None:
            return self.path.read_bytes()
        self.reading.join()
        return b"".join(self.parts)


def names(out):
    """Return the names in an output's lines, all of which must be whole."""
    found = []
    for text in out.split(b"\n")[:-1]:
        name = text[6:].split(b'"')[0].decode()
        pad = text.count(b"#")
        assert text + b"\n" == line(name, pad), f"torn: {text[:60]!r}"
        found.append((name, pad))
    assert out.endswith(b"\n")
    return found


KINDS = ["file", "path", "due path", "pipe", "shared", "interpreters", "small", "socket"]


def set_due(output, sink):
    """Have the next line check the path, or not, however fast the machine is."""
    if "path" in output.kind:
        sink.own_stream._due = 0.0 if output.kind == "due path" else float("inf")
    if sink._pipe_lock is not None:
        sink._pipe_lock.due = float("inf")


def sink_on(output):
    sink = Sink(output.stream, max_line_bytes=0)
    with pytest.MonkeyPatch.context() as patch:
        if output.kind == "interpreters":
            patch.setattr(pipe_lock, "has_several", lambda: True)
        assert seen(lambda: sink.write(line("first")))
    if output.kind in ("shared", "interpreters"):
        sink._pipe_lock.is_shared = True
        sink._pipe_lock.due = float("inf")
        # The others have had their time to notice.
        sink._pipe_lock._marked_at = float("-inf")
    # The next write checks the descriptor, however fast the machine is.
    sink._check_at = 0.0
    set_due(output, sink)
    return sink


def bytecodes(tmp_path, kind, pad):
    """Count the bytecodes of one call."""
    output = Output(kind, tmp_path)
    sink = sink_on(output)
    # Twice, since 3.12 has nothing to tell of code that it traces for the first time.
    for _ in range(2):
        sink._check_at = 0.0
        set_due(output, sink)
        strike = Strike(-1, lambda: None)
        strike.during(lambda: sink.write(line("main", pad)))
    output.lines()
    return strike.count


def every(count, most=400):
    """Return the bytecodes to strike at: all, or at most ``most``, evenly spread."""
    step = max(1, -(-count // most))
    return range(1, count + 1, step)


CASES = [(kind, 50) for kind in KINDS] + [
    ("file", 20_000), ("pipe", 20_000), ("shared", 20_000), ("small", 20_000),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "pad"), CASES)
class TestAtEveryBytecode:
    def strike_down(self, strike, sink, pad):
        try:
            strike.during(lambda: sink.write(line("main", pad)))
        except Struck:
            assert strike.struck
            return
        # How often a full pipe is tried again is not the same each time.
        assert not strike.struck

    @in_a_thread_of_its_own
    def test_what_raises_tears_no_line_and_doubles_none(self, kind, pad, tmp_path):
        count = bytecodes(tmp_path, kind, pad)
        assert count > 20
        lost_at = []
        for at in every(count):
            output = Output(kind, tmp_path)
            sink = sink_on(output)

            def strike_down():
                raise Struck

            strike = Strike(at, strike_down)
            self.strike_down(strike, sink, pad)
            assert sink.write(line("next"))
            sink.flush()
            got = names(output.lines())
            assert got.count(("main", pad)) <= 1
            assert got.count(("first", 50)) == got.count(("next", 50)) == 1
            if ("main", pad) not in got:
                lost_at.append(at)
        # Only a call that was interrupted before it took the line may lose it.
        assert all(at <= 8 for at in lost_at), lost_at

    @in_a_thread_of_its_own
    def test_what_raises_twice_tears_no_line_and_doubles_none(self, kind, pad, tmp_path):
        count = bytecodes(tmp_path, kind, pad)
        for at in every(count, 60):
            for later in (1, 7, 30):
                output = Output(kind, tmp_path)
                sink = sink_on(output)

                def strike_down():
                    raise Struck

                strike = Strike((at, at + later), strike_down)
                self.strike_down(strike, sink, pad)
                assert sink.write(line("next"))
                sink.flush()
                got = names(output.lines())
                assert got.count(("main", pad)) <= 1
                assert got.count(("next", 50)) == 1

    @in_a_thread_of_its_own
    def test_what_logs_tears_no_line_and_doubles_none(self, kind, pad, tmp_path):
        for inner in (50, 20_000):
            count = bytecodes(tmp_path, kind, pad)
            for at in every(count, 150):
                output = Output(kind, tmp_path)
                sink = sink_on(output)
                strike = Strike(at, lambda: sink.write(line("inner", inner)))
                assert strike.during(lambda: sink.write(line("main", pad)))
                sink.flush()
                got = names(output.lines())
                inside = [("inner", inner)] * strike.struck
                assert sorted(got) == sorted([("first", 50), ("main", pad), *inside])


@pytest.mark.parametrize("kind", ["file", "pipe", "shared", "interpreters"])
@in_a_thread_of_its_own
def test_what_forks_at_every_bytecode_tears_no_line_and_doubles_none(kind, tmp_path):
    count = bytecodes(tmp_path, kind, 50)
    for at in every(count, 60):
        output = Output(kind, tmp_path)
        sink = sink_on(output)
        children = []

        def fork():
            children.append((bool(sink._slot) or sink.written > 1, os.fork()))

        strike = Strike(at, fork)
        assert strike.during(lambda: sink.write(line("main")))
        if not children:
            # Not every version counts its bytecodes the same each time.
            output.lines()
            continue
        ((is_taken, child),) = children
        if not child:
            sink.write(line("child"))
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        got = names(output.lines())
        # Before the sink had the line, the call goes on in both.
        main = [("main", 50)] * (1 if is_taken else 2)
        assert sorted(got) == [("child", 50), ("first", 50), *main]


@pytest.fixture
def _room(request):
    """Restore the limit on the size of files."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, former)


def set_room(output, room=None):
    """Limit the bytes that an output's file takes yet; None for no limit."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = most if room is None else output.path.stat().st_size + room
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))


@pytest.mark.usefixtures("_room")
class TestFileThatTakesAPartOfALine:
    """The file is full in the middle of a line, and has room again after what happens there."""

    @in_a_thread_of_its_own
    def test_what_raises_tears_no_line_and_doubles_none(self, tmp_path):
        def bytecodes_with_loss():
            output = Output("file", tmp_path)
            sink = sink_on(output)
            set_room(output, 10)
            strike = Strike(-1, lambda: None)
            strike.during(lambda: sink.write(line("main")))
            set_room(output)
            output.lines()
            return strike.count

        bytecodes_with_loss()
        count = bytecodes_with_loss()
        for at in every(count):
            output = Output("file", tmp_path)
            sink = sink_on(output)

            def strike_down(output=output):
                set_room(output)
                raise Struck

            set_room(output, 10)
            strike = Strike(at, strike_down)
            with contextlib.suppress(Struck):
                strike.during(lambda: sink.write(line("main")))
            set_room(output)
            assert sink.write(line("next"))
            sink.flush()
            got = names(output.lines())
            assert got.count(("main", 50)) <= 1
            assert got.count(("first", 50)) == got.count(("next", 50)) == 1

    @in_a_thread_of_its_own
    def test_what_raises_between_lines_of_a_batch_tears_none_and_doubles_none(self, tmp_path):
        batch = [line(name) for name in ("a", "b", "c")]
        room = len(batch[0]) + 10

        def write(output, strike):
            sink = sink_on(output)
            set_room(output, room)
            with contextlib.suppress(Struck):
                strike.during(lambda: sink.write_lines(batch, []))
            set_room(output)
            assert sink.write(line("next"))
            sink.flush()

        for _ in range(2):
            output = Output("file", tmp_path)
            strike = Strike(-1, lambda: None)
            write(output, strike)
            output.lines()
        for at in every(strike.count):
            output = Output("file", tmp_path)

            def strike_down(output=output):
                set_room(output)
                raise Struck

            write(output, Strike(at, strike_down))
            got = names(output.lines())
            assert len(got) == len(set(got))
            assert {("first", 50), ("next", 50)} <= set(got)

    @pytest.mark.parametrize("pad", [50, 20_000])
    @in_a_thread_of_its_own
    def test_what_logs_tears_no_line_and_doubles_none(self, pad, tmp_path):
        for at in every(bytecodes(tmp_path, "file", pad)):
            output = Output("file", tmp_path)
            sink = sink_on(output)

            def log(output=output, sink=sink):
                set_room(output, 10)
                sink.write(line("inner"))
                set_room(output)

            strike = Strike(at, log)
            strike.during(lambda: sink.write(line("main", pad)))
            sink.write(line("next"))
            sink.flush()
            got = names(output.lines())
            inside = [("inner", 50)] * strike.struck
            assert sorted(got) == sorted([("first", 50), ("main", pad), ("next", 50), *inside])


@pytest.mark.parametrize("kind", ["pipe", "interpreters"])
@in_a_thread_of_its_own
def test_what_logs_leaves_the_lock_of_a_pipe_to_others(tmp_path, kind):
    count = bytecodes(tmp_path, kind, 50)
    for at in every(count):
        output = Output(kind, tmp_path)
        sink = sink_on(output)
        kept = sink._pipe_lock

        def log(sink=sink, kept=kept):
            # Another process has begun to write to the pipe.
            kept.is_shared = True
            sink.write(line("inner"))

        Strike(at, log).during(lambda: sink.write(line("main")))
        assert not is_locked(output), at
        output.lines()


def is_locked(output):
    """Return whether another process or interpreter would find the lock of a pipe taken."""
    if not interpreter_lock.InterpreterLock(output.stream.fileno()).try_lock():
        return True
    child = os.fork()
    if not child:
        try:
            pipe_lock.lockf(output.stream.fileno(), *pipe_lock.LOCK, *pipe_lock.LOCKED_BYTE)
        except OSError:
            os._exit(1)
        os._exit(0)
    return bool(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


class TestQueueWithoutAThread:
    """No thread can be started, so that the caller writes, whose signal handlers may raise."""

    @pytest.fixture(autouse=True)
    def _no_threads(self, monkeypatch):
        def refuse(_):
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(queued_module, "NativeThread", refuse)

    def strike_at_each(self, tmp_path, prepare, after):
        """Strike at each bytecode of a call of ``write``; ``after`` checks each outcome."""
        for _ in range(2):
            output = Output("file", tmp_path)
            strike = Strike(-1, lambda: None)
            queue = prepare(output)
            strike.during(lambda: queue.write(line("main")))
            queue.close()
            output.lines()
        assert strike.count > 100

        def strike_down():
            raise Struck

        for at in every(strike.count):
            output = Output("file", tmp_path)
            queue = prepare(output)
            strike = Strike(at, strike_down)
            with contextlib.suppress(Struck):
                strike.during(lambda: queue.write(line("main")))
            after(queue, output, at)

    @in_a_thread_of_its_own
    def test_what_raises_loses_no_waiting_line(self, tmp_path):
        waiting = [f"w{n}" for n in range(20)]

        def prepare(output):
            queue = queued_module.LineQueue(sink_on(output))
            queue._lines.extend(line(name) for name in waiting)
            return queue

        def after(queue, output, at):
            assert queue.flush()
            got = [name for name, _ in names(output.lines())]
            assert [name for name in got if name != "main"] == ["first", *waiting], at
            assert got.count("main") <= 1
            queue.close()

        self.strike_at_each(tmp_path, prepare, after)

    @in_a_thread_of_its_own
    def test_what_raises_while_lines_are_dropped_loses_none_without_counting_it(
        self, tmp_path, monkeypatch
    ):
        waiting = [line(f"w{n}") for n in range(5)]
        monkeypatch.setattr(queued_module.LineQueue, "_wake", lambda _: None)
        # What is left of a call that has ended is waited for a second.
        monkeypatch.setattr(drop_lines, "_MAX_POLLS", 2)

        def prepare(output):
            queue = queued_module.LineQueue(sink_on(output), max_bytes=6 * 64)
            for text in waiting:
                queue._lines.append(text)
                queue._bytes += len(text) + 64
            return queue

        def after(queue, output, at):
            queue._dropper.count_dropped(queue._count_dropped)
            waits = sum(text != line("main") for text in queue._lines)
            assert waits + queue.lost >= len(waiting), at
            # An exception that ended the call in the end leaves the lock to the next batch.
            assert queue.flush()
            assert not queue._dropper._lock, at
            queue.close()
            output.lines()

        self.strike_at_each(tmp_path, prepare, after)


@in_a_thread_of_its_own
def test_what_raises_while_the_queues_thread_is_started_ends_no_logging(tmp_path, monkeypatch):
    # A second in which a caller that was ended here counts as one that still starts a thread.
    monkeypatch.setattr(queued_module, "_START_S", 0)

    def strike_at(at, deed):
        output = Output("file", tmp_path)
        queue = queued_module.LineQueue(sink_on(output))
        strike = Strike(at, deed)
        with contextlib.suppress(Struck):
            strike.during(lambda: queue.write(line("main")))
        assert queue.write(line("after"))
        assert queue.flush(), at
        assert queue._has_thread(), at
        queue.close()
        got = [name for name, _ in names(output.lines())]
        assert [name for name in got if name != "main"] == ["first", "after"], at
        assert got.count("main") <= 1
        return strike.count

    def strike_down():
        raise Struck

    counts = [strike_at(-1, lambda: None) for _ in range(2)]
    assert counts[-1] > 50
    for at in every(counts[-1]):
        strike_at(at, strike_down)


def logger_on(output):
    sink = Sink(output.stream)
    log = FastBoundLogger.at("INFO")(SinkLoggerFactory(sink)("app"), processors("shop"), {})
    seen(lambda: log.info("first"))
    assert (sink.direct_write is not NO_DIRECT_WRITE) == (output.kind != "pipe")
    set_due(output, sink)
    return log, sink


def events(out):
    """Return the events of an output's lines, each with the process that its line names."""
    assert out.endswith(b"\n")
    lines = [json.loads(line) for line in out.splitlines()]
    return [(line["Fields"]["msg"], line["Pid"]) for line in lines]


@pytest.mark.parametrize("kind", ["file", "path", "due path", "pipe"])
class TestFastLoggerAtEveryBytecode:
    """The logger writes to files by itself, so the same is asked of its methods."""

    def bytecodes(self, tmp_path, kind):
        output = Output(kind, tmp_path)
        log, sink = logger_on(output)
        for _ in range(2):
            set_due(output, sink)
            strike = Strike(-1, lambda: None)
            strike.during(lambda: log.info("main", n=1))
        output.lines()
        return strike.count

    def strike_down(self, strike, log):
        try:
            strike.during(lambda: log.info("main", n=1))
        except Struck:
            assert strike.struck
            return
        assert not strike.struck

    @in_a_thread_of_its_own
    def test_what_raises_tears_no_line_doubles_none_and_loses_none(self, kind, tmp_path):
        count = self.bytecodes(tmp_path, kind)
        assert count > 100
        lost_at = []
        for at in every(count):
            output = Output(kind, tmp_path)
            log, sink = logger_on(output)

            def strike_down():
                raise Struck

            strike = Strike(at, strike_down)
            self.strike_down(strike, log)
            log.info("next")
            sink.flush()
            got = events(output.lines())
            times = got.count(("main", os.getpid()))
            assert sorted(got) == sorted(
                (name, os.getpid()) for name in ["first", "next", *["main"] * times]
            )
            assert times <= 1
            if not times:
                assert kind == "pipe" or not strike.had_pending
                lost_at.append(at)
        # Before there is anything to catch it, on the way to a sink that is to write, and
        # at jumps of a loop that Python from 3.12 on leaves out of what is caught.
        assert len(lost_at) <= (35 if kind == "pipe" else 15), (lost_at, count)

    @in_a_thread_of_its_own
    def test_what_raises_twice_tears_no_line_and_doubles_none(self, kind, tmp_path):
        count = self.bytecodes(tmp_path, kind)
        for at in every(count, 80):
            for later in (1, 7, 30):
                output = Output(kind, tmp_path)
                log, sink = logger_on(output)

                def strike_down():
                    raise Struck

                self.strike_down(Strike((at, at + later), strike_down), log)
                log.info("next")
                sink.flush()
                got = [name for name, _ in events(output.lines())]
                assert got.count("main") <= 1
                assert got.count("first") == got.count("next") == 1

    @in_a_thread_of_its_own
    def test_what_logs_tears_no_line_and_doubles_none(self, kind, tmp_path):
        for at in every(self.bytecodes(tmp_path, kind)):
            output = Output(kind, tmp_path)
            log, sink = logger_on(output)
            strike = Strike(at, lambda: log.info("inner", n=1))
            strike.during(lambda: log.info("main", n=1))
            sink.flush()
            got = [name for name, _ in events(output.lines())]
            assert sorted(got) == sorted(["first", "main", *["inner"] * strike.struck])

    @in_a_thread_of_its_own
    def test_what_forks_tears_no_line_and_doubles_none(self, kind, tmp_path):
        count = self.bytecodes(tmp_path, kind)
        parent = os.getpid()
        for at in every(count, 80):
            output = Output(kind, tmp_path)
            log, sink = logger_on(output)
            children = []

            def fork():
                children.append((bool(sink._slot) or sink.written > 1, os.fork()))

            Strike(at, fork).during(lambda: log.info("main", n=1))
            if not children:
                output.lines()
                continue
            ((is_taken, child),) = children
            if os.getpid() != parent:
                log.info("child")
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            got = events(output.lines())
            assert got.count(("first", parent)) == got.count(("child", child)) == 1
            # Before the sink had the line, the call goes on in both.
            names = sorted(name for name, _ in got)
            assert names == ["child", "first", *["main"] * (1 if is_taken else 2)], at
