"""A write in progress is told from one that an exception has abandoned."""

import io
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from mozlog_py._sink import write_slot
from mozlog_py.sink import Sink
from mozlog_py.structlog import FastBoundLogger, SinkLoggerFactory, processors


class Slow(io.RawIOBase):
    """A stream whose first write waits for the test."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.lines: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, line: Any) -> int:
        if not self.begun.is_set():
            self.begun.set()
            assert self.go_on.wait(20)
        self.lines.append(bytes(line))
        return len(line)


def by_fast_logger(sink: Sink) -> Callable[[], Any]:
    log = FastBoundLogger.at(1)(SinkLoggerFactory(sink)("app"), processors("shop"), {})
    return lambda: log.info("first")


def by_flush(sink: Sink) -> Callable[[], Any]:
    sink.lose("lost", b"")
    return sink.flush


WAYS: dict[str, Callable[[Sink], Callable[[], Any]]] = {
    "write": lambda sink: lambda: sink.write(b"first\n"),
    "write_lines": lambda sink: lambda: sink.write_lines([b"first\n"], []),
    "fast logger": by_fast_logger,
    "flush": by_flush,
}


@pytest.fixture(
    params=[
        "GIL",
        pytest.param(
            "no GIL",
            marks=pytest.mark.skipif(
                sys.version_info < (3, 11), reason="gc visits the frames that run"
            ),
        ),
    ],
)
def gil(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for abandoned writes as with a GIL, and as without one."""
    monkeypatch.setattr(write_slot, "is_gil_enabled", lambda: request.param == "GIL")
    monkeypatch.setattr(write_slot, "_SEARCH_EVERY_S", 0.0)


@pytest.mark.usefixtures("gil")
@pytest.mark.parametrize("way", WAYS)
def test_a_write_in_progress_is_completed_by_its_own_thread_alone(way: str) -> None:
    stream = Slow()
    sink = Sink(stream, lambda lost: b"first\n")
    first = threading.Thread(target=WAYS[way](sink))
    first.start()
    assert stream.begun.wait(20)
    second = threading.Thread(target=lambda: sink.write(b"second\n"))
    second.start()
    while not sink._queue:
        pass
    # The other thread looks for an abandoned write several times meanwhile.
    for _ in range(5):
        sink._write_slot.recover_abandoned()
        second.join(0.03)
    assert second.is_alive()
    assert stream.lines == []
    stream.go_on.set()
    first.join(20)
    second.join(20)
    assert len(stream.lines) == 2
    assert b"first" in stream.lines[0]
    assert stream.lines[1] == b"second\n"


@pytest.mark.usefixtures("gil")
def test_a_write_whose_frames_are_gone_is_completed_by_the_next_one() -> None:
    stream = io.BytesIO()
    sink = Sink(stream)
    # What is left when an exception comes between two bytecodes of the recovery itself.
    sink._write_slot.slot[0] = [b"abandoned\n"]
    assert sink.write(b"next\n")
    assert stream.getvalue().splitlines() == [b"abandoned", b"next"]


@pytest.mark.usefixtures("gil")
def test_a_write_is_completed_whose_frames_only_a_traceback_keeps() -> None:
    stream = io.BytesIO()
    sink = Sink(stream)
    kept = None
    try:
        _abandon(sink)
    except KeyboardInterrupt as error:
        kept = error
    assert sink.write(b"next\n")
    assert stream.getvalue().splitlines() == [b"abandoned", b"next"]
    assert kept is not None


@write_slot.owns_writes
def _abandon(sink: Sink) -> None:
    pending = [b"abandoned\n"]
    assert sink._write_slot.try_acquire(0, pending) is pending
    raise KeyboardInterrupt


@pytest.mark.usefixtures("gil")
def test_a_write_that_the_queue_has_is_completed_once() -> None:
    stream = io.BytesIO()
    sink = Sink(stream)
    pending = [b"abandoned\n"]
    sink._write_slot.slot[0] = pending
    sink._queue.append(write_slot.QueuedWrite(pending[0], is_deferred=True))
    sink._queue[0].pending = pending
    del pending
    assert sink.write(b"next\n")
    assert stream.getvalue().splitlines() == [b"abandoned", b"next"]
