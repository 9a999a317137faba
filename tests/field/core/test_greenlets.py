"""Streams whose ``write`` switches to another greenlet, as those of gevent and eventlet do."""

import io
import subprocess
import sys
from typing import Any

import pytest
from conformance import checked_lines

from mozlog_py._process.shared_state import is_gil_enabled
from mozlog_py.sink import Sink

greenlet = pytest.importorskip("greenlet", reason="greenlet is not installed")
pytestmark = pytest.mark.skipif(not is_gil_enabled(), reason="greenlets need the GIL")


class Switching(io.StringIO):
    """A stream that switches to the greenlet of the test in the middle of each write."""

    def __init__(self) -> None:
        super().__init__()
        self.main = greenlet.getcurrent()
        self.is_switching = True

    def write(self, text: str) -> int:
        half = len(text) // 2
        super().write(text[:half])
        if self.is_switching:
            self.main.switch()
        return half + super().write(text[half:])


class TestGreenlets:
    @pytest.fixture
    def stream(self) -> Switching:
        return Switching()

    def test_greenlets_that_are_suspended_in_a_write_have_not_abandoned_it(
        self, stream: Switching
    ) -> None:
        sink = Sink(stream)
        writing = greenlet.greenlet(sink.write)
        writing.switch(b"one line\n")
        owner = sink._slot[0]
        # Twice: the search through all objects is not made each time.
        for _ in range(2):
            sink._write_slot.recover_abandoned()
            assert sink._slot[0] is owner
            sink.flush()
        assert stream.getvalue() == "one "
        assert writing.switch() is True
        stream.is_switching = False
        assert sink.write(b"two\n")
        assert (stream.getvalue(), sink.written, sink.lost) == ("one line\ntwo\n", 2, 0)

    def test_greenlets_do_not_wait_for_a_suspended_one_that_their_wait_holds_up(
        self, stream: Switching
    ) -> None:
        """Without the locks of gevent, a wait stops all greenlets of the thread."""
        sink = Sink(stream)
        writing = greenlet.greenlet(sink.write)
        writing.switch(b"one line\n")
        assert sink.write(b"two\n")
        assert stream.getvalue() == "one "
        stream.is_switching = False
        assert writing.switch() is True
        sink.flush()
        assert (stream.getvalue(), sink.written, sink.lost) == ("one line\ntwo\n", 2, 0)

    def test_greenlets_that_are_suspended_by_a_function_of_a_stream_have_not_abandoned_it(
        self, stream: Switching
    ) -> None:
        """The frame that owns the write is not the topmost one of the greenlet."""
        sink = Sink(stream)

        def call(depth: int) -> bool:
            return call(depth - 1) if depth else sink.write(b"one line\n")

        writing = greenlet.greenlet(call)
        writing.switch(10)
        sink._write_slot.recover_abandoned()
        assert sink._slot
        assert writing.switch() is True
        assert stream.getvalue() == "one line\n"

    @pytest.mark.parametrize("is_kept", [False, True])
    def test_greenlets_do_not_keep_a_write_from_being_recovered_that_nothing_owns(
        self, stream: Switching, is_kept: bool
    ) -> None:
        sink = Sink(stream)
        stream.is_switching = False
        # Another greenlet is suspended elsewhere.
        waiting = greenlet.greenlet(stream.main.switch)
        waiting.switch()
        owner: Any = [b"abandoned\n"]
        sink._slot[0] = owner
        kept = [owner] if is_kept else []
        del owner
        assert sink.write(b"next\n")
        assert stream.getvalue() == "abandoned\nnext\n"
        assert len(kept) == is_kept


SCRIPT = """
from gevent import monkey
monkey.patch_all()
import io, logging, sys
import gevent
import mozlog_py, structlog

class Yielding(io.StringIO):
    def write(self, text):
        for begin in range(0, len(text), 100):
            super().write(text[begin : begin + 100])
            # Longer than a waiting caller waits before it looks for an abandoned write.
            gevent.sleep(0.025)
        return len(text)

out = Yielding()
mozlog_py.configure("shop", format="mozlog", stream=out)

def log(number):
    for count in range(2):
        logging.getLogger("shop").info("hi", extra={"number": number, "count": count})
        structlog.get_logger("shop").info("hi", number=number, count=count)

gevent.joinall([gevent.spawn(log, number) for number in range(4)], raise_error=True)
print(out.getvalue(), end="")
"""


def test_gevent_and_a_stream_that_yields_write_each_line_once_and_whole() -> None:
    pytest.importorskip("gevent", reason="gevent is not installed")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=True
    )
    seen = [
        (line["Fields"]["number"], line["Fields"]["count"]) for line in checked_lines(done.stdout)
    ]
    assert sorted(seen) == sorted([(number, count) for number in range(4) for count in (0, 1)] * 2)
