"""One ``logger.info(...)`` to a pipe, from eight threads, and through a queue.

A pipe has a reader, which is a process of its own. These turns may use every
processor, since what is timed is how threads and processes get on.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import queue
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import stopwatch
from cases import MESSAGE, Case
from checks import WrongOutput, check
from rivals import OURS, Rival

__all__ = ["QUEUES", "SINKS", "STANDARD_QUEUE", "time_queue", "time_sink"]

_THREADS = 8
_LINES = 400
_QUEUED = 2000

#: The standard library's queue, with our formatter behind it.
STANDARD_QUEUE = "standard-queue"

SINKS = {
    "pipe": "to a pipe",
    "threads-file": "eight threads, to a file",
    "threads-pipe": "eight threads, to a pipe",
}
QUEUES = {
    "queue-caller": "of the caller's time",
    "queue-total": "until all is written",
}
_CASE = Case("sink", "sink")


def time_sink(case: str, rival: Rival, budget_ns: int) -> float:
    """Time calls of one thread, or of eight at once; ns per call, of all threads together.

    Raises ``WrongOutput`` if lines are missing, or the last of them is wrong.
    """
    with _all_cpus(), _output(is_pipe="pipe" in case) as (path, finish):
        with path.open("a", encoding="utf-8") as file:
            handler = rival.make_handler(file)
            logger = _logger(handler)
            logger.info(MESSAGE, -1)
            if case == "pipe":
                ns, calls = stopwatch.nanoseconds(
                    lambda number: logger.info(MESSAGE, number), lambda number: number, budget_ns
                )
            else:
                ns, calls = _time_threads(logger)
            logger.handlers.clear()
        _check(finish(), calls + 1, rival)
    return ns


def time_queue(case: str, contender: str, budget_ns: int) -> float:  # noqa: ARG001
    """Time calls to a handler with a queue; ns per call."""
    with _all_cpus(), _output(is_pipe=False) as (path, finish):
        with path.open("a", encoding="utf-8") as file:
            handler, close = _queue(contender, file)
            logger = _logger(handler)
            logger.info(MESSAGE, -1)
            start = time.perf_counter_ns()
            for number in range(_QUEUED):
                logger.info(MESSAGE, number)
            called = time.perf_counter_ns()
            close()
            closed = time.perf_counter_ns()
            logger.handlers.clear()
        _check(finish(), _QUEUED + 1, OURS)
    return ((called if case == "queue-caller" else closed) - start) / _QUEUED


def _queue(contender: str, file):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    if contender != STANDARD_QUEUE:
        import mozlog_py

        ours = mozlog_py.MozlogQueueHandler(file, flush_on_sigterm=False)
        return ours, ours.close
    behind = OURS.make_handler(file)
    listener = logging.handlers.QueueListener(queue.Queue(), behind)
    listener.start()
    return logging.handlers.QueueHandler(listener.queue), listener.stop


def _logger(handler: logging.Handler) -> logging.Logger:
    logger = logging.getLogger("benchmark")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.handlers[:] = [handler]
    return logger


def _time_threads(logger: logging.Logger) -> tuple[float, int]:
    def work() -> None:
        for number in range(_LINES):
            logger.info(MESSAGE, number)

    threads = [threading.Thread(target=work) for _ in range(_THREADS)]
    start = time.perf_counter_ns()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    calls = _THREADS * _LINES
    return (time.perf_counter_ns() - start) / calls, calls


def _check(lines: list[str], expected: int, rival: Rival) -> None:
    if len(lines) != expected:
        raise WrongOutput(f"{len(lines)} lines for {expected} calls")
    for line in (lines[0], lines[-1]):
        number = int(line.partition("user ")[2].partition(" ")[0])
        check(line, _CASE.expected(number), rival)


@contextmanager
def _output(*, is_pipe: bool):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Return a path to write to, and a function that returns the lines written there."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "log")
        if not is_pipe:
            yield path, lambda: path.read_text(encoding="utf-8").splitlines()
            return
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(writer)
            with path.open("wb") as file:
                while got := os.read(reader, 65_536):
                    file.write(got)
            os._exit(0)
        os.close(reader)

        def finish() -> list[str]:
            os.close(writer)
            os.waitpid(pid, 0)
            return path.read_text(encoding="utf-8").splitlines()

        yield Path(f"/proc/self/fd/{writer}"), finish


@contextmanager
def _all_cpus() -> Iterator[None]:
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    former = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        yield
    finally:
        os.sched_setaffinity(0, former)
