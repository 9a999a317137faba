"""Lines of objects that are deleted when the interpreter ends, and the last waits of a queue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from field.core.runs import run

from mozlog_py._process import at_exit
from mozlog_py.queued import MozlogQueueHandler

# What ``builtins`` holds is deleted last, when no module can be imported any more.
LOGGING_AT_THE_END = """
import builtins, dataclasses, logging
import mozlog_py
from mozlog_py.processors import CapLengths, Redact

mozlog_py.configure("shop", {options})
log = logging.getLogger("shop.pool")
{first}

@dataclasses.dataclass
class Size:
    width: int = 7

class Pool:
    def __del__(self, log=log, Size=Size, Error=ValueError):
        log.info("%d connections closed", 3, extra={{"user": "ann", "size": Size()}})
        try:
            raise Error("the pool is gone")
        except Error:
            log.exception("not closed")

builtins.pool = Pool()
"""
RAISING_AT_THE_END = """
import builtins, mozlog_py
from mozlog_py.processors import CapLengths, Redact

mozlog_py.configure("shop", {options})

class Pool:
    def __del__(self, Error=ValueError):
        raise Error("the pool was not closed")

builtins.pool = Pool()
"""
PROCESSORS = {
    "none": "",
    "Redact": "processors=[Redact()]",
    "Redact by value": "processors=[Redact(values=['correct horse'], shapes=True)]",
    "CapLengths": "processors=[CapLengths(100)]",
    "several": "processors=[CapLengths(100), Redact(), lambda _, __, event: event]",
}


class TestObjectsDeletedLast:
    @pytest.mark.parametrize("options", PROCESSORS.values(), ids=PROCESSORS)
    @pytest.mark.parametrize("format_", ["mozlog", "gcp"])
    @pytest.mark.parametrize("first", ["", "log.info('first')"], ids=["cold", "warm"])
    def test_record_of_a_finaliser_is_whole(
        self, first: str, format_: str, options: str, tmp_path: Path
    ) -> None:
        options = f"format={format_!r}, {options}"
        done = run(LOGGING_AT_THE_END.format(options=options, first=first), tmp_path)
        closed, failed = done.lines[-2:]
        assert closed["Type"] == failed["Type"] == "shop.pool"
        fields = closed["Fields"]
        assert fields["msg"] == "3 connections closed"
        assert fields["user"] == "ann"
        assert fields["size"] == {"width": 7}
        assert failed["Fields"]["msg"] == "not closed"
        assert failed["Fields"]["error"] == "ValueError('the pool is gone')"
        assert "mozlog.degraded" not in {**fields, **failed["Fields"]}

    @pytest.mark.parametrize("options", PROCESSORS.values(), ids=PROCESSORS)
    def test_exception_of_a_finaliser_is_shown(self, options: str, tmp_path: Path) -> None:
        options = f"format='mozlog', {options}"
        (line,) = run(RAISING_AT_THE_END.format(options=options), tmp_path).lines
        assert line["Fields"]["error"] == "ValueError('the pool was not closed')"
        assert "Pool.__del__" in line["Fields"]["msg"]


class Clock:
    """A clock that only the waits of a queue move."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class StalledQueue:
    """A queue whose reader has stopped: each wait takes as long as it may."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.waits: list[float] = []

    def flush(self, timeout: float) -> bool:
        self.waits.append(timeout)
        self._clock.now += timeout
        return False

    close: Callable[..., Any] = flush


class TestWaitsAtTheEnd:
    @pytest.fixture
    def queue(self, monkeypatch: pytest.MonkeyPatch) -> StalledQueue:
        clock = Clock()
        queue = StalledQueue(clock)
        monkeypatch.setattr(at_exit, "_monotonic", clock)
        monkeypatch.setattr(at_exit, "_registered", {queue})
        monkeypatch.setattr(at_exit._Exit, "is_over", False)
        monkeypatch.setattr(at_exit._Exit, "seconds_left", at_exit._EXIT_S)
        return queue

    def test_waits_of_a_stalled_queue_share_five_seconds(self, queue: StalledQueue) -> None:
        at_exit._flush_before_threads_end()
        at_exit._close_all()
        handler = MozlogQueueHandler.__new__(MozlogQueueHandler)
        handler.sink = queue
        # As logging.shutdown() does.
        handler.flush()
        at_exit.within_exit(handler.sink.close, 5.0)
        assert queue.waits == [4.0, 1.0, 0.0, 0.0]

    def test_last_wait_is_not_taken_by_a_slow_first_one(self, queue: StalledQueue) -> None:
        at_exit._flush_before_threads_end()
        assert at_exit._Exit.seconds_left == at_exit._LAST_S

    def test_wait_of_a_process_that_goes_on_is_as_long_as_it_was_asked_for(
        self, queue: StalledQueue
    ) -> None:
        at_exit._flush_before_threads_end()
        assert at_exit.within_exit(queue.flush, 60.0) is False
        assert queue.waits == [4.0, 60.0]
