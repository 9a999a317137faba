"""Descriptors that belong to another file by now, and files that move while lines come."""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
from pathlib import Path

import pytest
import structlog
from conformance import checked_lines
from runs import messages, run

from mozlog_py import MozlogHandler, configure
from mozlog_py.sink import Sink

REUSED = """
import logging, os, socket, sqlite3, structlog, mozlog_py
mozlog_py.configure("shop", stream="shop.log", queue={queue})
def log(text):
    {log}
log("one")
for handler in logging.getLogger().handlers:
    handler.flush()
os.closerange(3, 64)
{other}
log("two")
log("three")
for handler in logging.getLogger().handlers:
    handler.flush()
{look}
"""
FRONTS = {
    "logging": 'logging.getLogger("a").info(text)',
    "structlog": 'structlog.get_logger("a").info(text)',
}
OTHERS = {
    "a socket": (
        "pairs = [socket.socketpair() for _ in range(8)]\n",
        (
            "for ours, theirs in pairs:\n"
            "    for end in (ours, theirs):\n"
            "        end.setblocking(False)\n"
            "        try:\n"
            "            assert not end.recv(1000)\n"
            "        except BlockingIOError: pass\n"
        ),
    ),
    "a database": (
        (
            "bases = [sqlite3.connect(f'{n}.db') for n in range(8)]\n"
            "for base in bases: base.execute('create table t (n)'); base.commit()\n"
        ),
        (
            "for base in bases:\n"
            "    base.execute('insert into t values (7)'); base.commit()\n"
            "    assert base.execute('pragma integrity_check').fetchone() == ('ok',)\n"
            "    assert base.execute('select n from t').fetchall() == [(7,)]\n"
        ),
    ),
    "a file for append": (
        "files = [open(f'{n}.csv', 'a') for n in range(8)]\n",
        (
            "for file in files:\n    file.write('7'); file.close()\n"
            "    assert open(file.name).read() == '7'\n"
        ),
    ),
}


@pytest.mark.parametrize("queue", [False, True])
@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("other", OTHERS)
def test_another_file_with_the_number_of_a_log_gets_no_line(
    other: str, front: str, queue: bool, tmp_path: Path
) -> None:
    made, look = OTHERS[other]
    code = REUSED.format(queue=queue, log=FRONTS[front], other=made, look=look)
    done = run(code, tmp_path)
    assert (done.status, done.err) == (0, "")
    assert messages(tmp_path / "shop.log") == ["one", "two", "three"]


def test_a_process_that_becomes_a_daemon_goes_on_with_its_relative_path(tmp_path: Path) -> None:
    code = """
import logging, os, mozlog_py
mozlog_py.configure("shop", stream="shop.log")
logging.getLogger("a").info("before")
reader, writer = os.pipe()
if os.fork():
    os.close(writer)
    os.read(reader, 1)
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
os.chdir("/")
os.closerange(0, writer)
os.closerange(writer + 1, 256)
for number in range(3):
    assert os.open(os.devnull, os.O_RDWR) == number
others = [os.open(f"/proc/self/status", os.O_RDONLY) for _ in range(4)]
logging.getLogger("a").info("behind")
os.write(writer, b"x")
"""
    assert run(code, tmp_path).status == 0
    assert messages(tmp_path / "shop.log") == ["before", "behind"]


def test_a_child_that_closes_the_log_leaves_its_parents_alone(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = Sink(path)
    assert sink.write(b"parent\n")
    child = os.fork()
    if not child:
        os.closerange(3, 256)
        others = [os.open(tmp_path / f"{n}", os.O_RDWR | os.O_CREAT) for n in range(32)]
        is_written = sink.write(b"child\n")
        del sink
        is_left_alone = all(os.fstat(other).st_size == 0 for other in others)
        os._exit(0 if is_written and is_left_alone else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert sink.write(b"parent\n")
    assert path.read_bytes() == b"parent\nchild\nparent\n"


def test_a_handler_that_is_thrown_away_closes_no_other_file(tmp_path: Path) -> None:
    handler = MozlogHandler(tmp_path / "log")
    number = handler.stream.fileno()
    with (tmp_path / "other").open("wb") as other:
        os.dup2(other.fileno(), number)
        del handler
        assert os.fstat(number)
        os.close(number)


@pytest.mark.parametrize("is_taken", [False, True])
def test_an_open_file_that_was_closed_behind_its_back_loses_and_counts(
    is_taken: bool, tmp_path: Path
) -> None:
    stream = (tmp_path / "log").open("wb")
    sink = Sink(stream)
    assert sink.write(b"one\n")
    number = stream.fileno()
    other, theirs = socket.socketpair()
    os.close(number)
    if is_taken:
        os.dup2(theirs.fileno(), number)
    assert not sink.write(b"two\n")
    assert sink.dropped == {errno.errorcode[errno.EBADF]: 1}
    other.setblocking(False)
    with pytest.raises(BlockingIOError):
        other.recv(10)
    # Put back, it is written to again.
    file = os.open(tmp_path / "log", os.O_WRONLY | os.O_APPEND)
    if file != number:
        os.dup2(file, number)
        os.close(file)
    assert sink.write(b"three\n")
    assert (tmp_path / "log").read_bytes() == b"one\nthree\n"
    for end in (stream, other, theirs):
        end.close()


def test_a_pipe_that_was_given_open_and_whose_number_is_another_pipes_gets_no_line() -> None:
    reader, writer = os.pipe()
    other_reader, other_writer = os.pipe()
    with os.fdopen(writer, "wb") as stream:
        sink = Sink(stream)
        assert sink.write(b"one\n")
        os.dup2(other_writer, writer)
        assert not sink.write(b"two\n")
        os.close(other_writer)
    assert (os.read(reader, 100), os.read(other_reader, 100)) == (b"one\n", b"")
    os.close(reader)
    os.close(other_reader)


def test_sinks_of_one_open_file_and_their_children_take_each_other_for_no_stranger(
    tmp_path: Path,
) -> None:
    with (tmp_path / "log").open("ab") as stream:
        sinks = [Sink(stream) for _ in range(40)]
        assert all(sink.write(b"parent\n") for sink in sinks)
        child = os.fork()
        if not child:
            os._exit(0 if all(sink.write(b"child\n") for sink in [*sinks, Sink(stream)]) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert all(sink.write(b"parent\n") for sink in sinks)
    assert (tmp_path / "log").read_bytes() == b"parent\n" * 40 + b"child\n" * 41 + b"parent\n" * 40


def test_a_stdout_that_children_inherit_no_more_goes_on(tmp_path: Path) -> None:
    change = "os.set_inheritable(1, False)"
    done = run(STDOUT.format(change=change), tmp_path)
    assert (done.status, done.err, done.messages) == (0, "", ["one", "two", "three", "four"])


STDOUT = """
import logging, os, sys, structlog, mozlog_py
mozlog_py.configure("shop")
log = structlog.get_logger("a")
log.info("one")
log.info("two")
{change}
log.info("three")
logging.getLogger("a").info("four")
(handler,) = logging.getLogger().handlers
os._exit(handler.lost)
"""


@pytest.mark.parametrize("out", ["a pipe", "a file"])
@pytest.mark.parametrize(
    "change",
    [
        "os.dup2(os.open('new', os.O_WRONLY | os.O_CREAT), 1)",
        "os.close(1); os.open('new', os.O_WRONLY | os.O_CREAT | os.O_APPEND)",
        "sys.stdout = open('new', 'w')",
        "sys.stdout.close(); sys.stdout = open('new', 'w')",
    ],
)
def test_a_stdout_that_was_redirected_is_followed(change: str, out: str, tmp_path: Path) -> None:
    code = STDOUT.format(change=change)
    former = tmp_path / "former"
    done = run(f"import os\n{_to_file(out)}{code}", tmp_path)
    assert done.status == 0
    assert (done.messages if out == "a pipe" else messages(former)) == ["one", "two"]
    assert messages(tmp_path / "new") == ["three", "four"]


@pytest.mark.parametrize("out", ["a pipe", "a file"])
@pytest.mark.parametrize(
    ("other", "look"),
    [
        ("open('data', 'wb')", "assert not os.path.getsize('data')"),
        ("socket.socketpair()[0]", ""),
        ("os.open('data', os.O_RDWR | os.O_CREAT)", "assert not os.path.getsize('data')"),
    ],
)
def test_a_file_that_got_the_number_of_a_closed_stdout_gets_no_line(
    other: str, look: str, out: str, tmp_path: Path
) -> None:
    change = f"import socket; os.close(1); os.close(2); other = {other}; more = os.pipe()"
    code = STDOUT.format(change=change).replace("os._exit", f"{look}\nos._exit")
    done = run(f"import os\n{_to_file(out)}{code}", tmp_path)
    # Both lines are lost, and counted.
    assert (done.status, done.err) == (2, "")


def _to_file(out: str) -> str:
    return "" if out == "a pipe" else "os.dup2(os.open('former', os.O_WRONLY | os.O_CREAT), 1)\n"


@pytest.mark.usefixtures("untouched_process")
def test_no_line_is_lost_while_files_are_moved_away(tmp_path: Path) -> None:
    path = tmp_path / "log"
    configure("shop", stream=path, format="mozlog", level="INFO")
    log = structlog.get_logger("a")
    is_over = threading.Event()
    counts = [0, 0]

    def write(index: int) -> None:
        while not is_over.is_set():
            log.info("x", number=counts[index], index=index)
            counts[index] += 1

    threads = [threading.Thread(target=write, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for number in range(8):
        while not (path.exists() and path.stat().st_size):
            pass
        path.rename(tmp_path / f"log.{number}")
    is_over.set()
    for thread in threads:
        thread.join()
    logging.getLogger().handlers[0].close()
    written = sorted(
        (line["index"], line["number"]) for each in tmp_path.iterdir() for line in _fields(each)
    )
    assert written == [(index, number) for index in (0, 1) for number in range(counts[index])]


def test_a_file_that_is_copied_and_cut_is_gone_on_with_at_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = Sink(path)
    assert sink.write(b"one\n")
    copy = path.read_bytes()
    os.truncate(path, 0)
    assert sink.write(b"two\n")
    assert (copy, path.read_bytes()) == (b"one\n", b"two\n")


def test_a_line_of_which_a_part_is_written_is_not_ended_in_another_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = Sink(path)
    assert sink.write(b"one\n")
    # An interrupted write left its line behind when the descriptor was lost.
    sink._slot[0] = [b"left\n", 2]
    os.close(sink.stream.fileno())
    assert sink.write(b"two\n")
    assert path.read_bytes() == b"one\ntwo\n"
    assert (sink.written, sink.lost) == (2, 1)


def _fields(path: Path) -> list[dict[str, int]]:
    return [line["Fields"] for line in checked_lines(path.read_bytes())]
