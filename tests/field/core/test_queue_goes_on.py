"""The queue goes on whatever configures logging, or patches threads, after it was made."""

from __future__ import annotations

import atexit
import logging
import logging.config
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance import checked_lines
from runs import run

from mozlog_py import MozlogQueueHandler, configure, dict_config
from mozlog_py._process import at_exit

QUIET = {"version": 1, "disable_existing_loggers": False}


class Pipe:
    """A pipe that is not read until its lines are asked for."""

    def __init__(self) -> None:
        self._reader, writer = os.pipe()
        self.stream = os.fdopen(writer, "w")

    def lines(self, count: int) -> list[int]:
        with os.fdopen(self._reader, "rb") as reader:
            got = b"".join(reader.readline() for _ in range(count))
        return [line["Fields"]["number"] for line in checked_lines(got)]


@pytest.fixture
def pipe(untouched_process: None) -> Iterator[Pipe]:
    made = Pipe()
    configure("shop", stream=made.stream, queue=True, format="mozlog")
    yield made
    (handler,) = [one for one in logging.getLogger().handlers if hasattr(one, "sink")]
    handler.close()
    made.stream.close()


def log_more_than_a_pipe_takes() -> None:
    """Log 300 kB; a caller that writes by itself does not come back."""

    def log() -> None:
        for number in range(300):
            logging.getLogger("shop").info("x" * 1000, extra={"number": number})

    thread = threading.Thread(target=log, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "the caller writes by itself"


def by_file_config(folder: Path) -> None:
    path = folder / "logging.ini"
    path.write_text(
        "[loggers]\nkeys=root\n[handlers]\nkeys=\n[formatters]\nkeys=\n"
        "[logger_root]\nlevel=INFO\nhandlers=\n"
    )
    handlers = logging.getLogger().handlers[:]
    logging.config.fileConfig(path, disable_existing_loggers=False)
    logging.getLogger().handlers[:] = handlers


def by_uvicorn(_: Path) -> None:
    import uvicorn

    uvicorn.Config("app:app")


def by_django(_: Path) -> None:
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(LOGGING=QUIET)
    django.setup()


def by_dict_config_twice(_: Path) -> None:
    logging.config.dictConfig(QUIET)
    logging.getLogger("shop").info("between", extra={"number": -1})
    logging.config.dictConfig(QUIET)


def by_shutdown(_: Path) -> None:
    logging.shutdown()


@pytest.mark.parametrize("configures", [by_file_config, by_uvicorn, by_django, by_shutdown])
def test_what_shuts_all_handlers_down_ends_no_queue(
    configures: Any, pipe: Pipe, tmp_path: Path
) -> None:
    configures(tmp_path)
    log_more_than_a_pipe_takes()
    assert pipe.lines(300) == list(range(300))


def test_what_configures_twice_with_lines_between_ends_no_queue(pipe: Pipe, tmp_path: Path) -> None:
    logging.getLogger("shop").info("before", extra={"number": -2})
    by_dict_config_twice(tmp_path)
    log_more_than_a_pipe_takes()
    assert pipe.lines(302) == list(range(-2, 300))


def test_a_subclass_that_closes_in_its_own_way_goes_on(untouched_process: None) -> None:
    class Own(MozlogQueueHandler):
        closed = 0

        def close(self) -> None:
            self.closed += 1
            super().close()

    made = Pipe()
    handler = Own(made.stream)
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)
    logging.config.dictConfig(QUIET)
    assert handler.closed == 1
    log_more_than_a_pipe_takes()
    assert made.lines(300) == list(range(300))
    handler.close()
    made.stream.close()


def test_a_close_of_ones_own_is_final(untouched_process: None, tmp_path: Path) -> None:
    handler = MozlogQueueHandler(tmp_path / "log")
    log = logging.getLogger("shop.closed")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.info("queued")
    handler.close()
    logging.config.dictConfig(QUIET)
    log.info("direct")
    # Nothing waits for a thread.
    assert len(checked_lines((tmp_path / "log").read_bytes())) == 2
    assert not handler.sink._lines
    log.removeHandler(handler)


def test_a_handler_that_is_replaced_leaves_no_thread(untouched_process: None) -> None:
    for _ in range(3):
        configure("shop", queue=True, format="mozlog")
        logging.getLogger("shop").info("hi")
    last = logging.getLogger().handlers[0]
    while _threads() > 1:
        pass
    last.close()
    while _threads():
        pass


@pytest.mark.parametrize(
    "last",
    [
        "atexit.register(log, 'late')",
        "threading.Thread(target=lambda: (time.sleep(0.2), log('late'))).start()",
        "log('late')",
    ],
)
def test_lines_at_the_end_are_written_after_a_dict_config(last: str, tmp_path: Path) -> None:
    code = f"""
import atexit, logging, logging.config, threading, time, mozlog_py
def log(text): logging.getLogger("a").info(text)
mozlog_py.configure("shop", queue=True)
log("early")
logging.config.dictConfig({QUIET!r})
{last}
"""
    done = run(code, tmp_path)
    assert (done.messages, done.err, done.status) == (["early", "late"], "", 0)


#: How threads are patched, what sleeps, and how jobs are run and waited for.
GREEN = {
    "gevent": (
        "from gevent import monkey; monkey.patch_all()",
        "import gevent; nap = gevent.sleep",
        "gevent.joinall([gevent.spawn(one) for one in jobs])",
    ),
    "eventlet": (
        "import eventlet; eventlet.monkey_patch()",
        "import eventlet; nap = eventlet.sleep",
        "[each.wait() for each in [eventlet.spawn(one) for one in jobs]]",
    ),
}
CONFIGURE = 'import mozlog_py; mozlog_py.configure("shop", queue=True)'


@pytest.mark.parametrize("order", ["before", "after", "after it logged"])
@pytest.mark.parametrize("library", GREEN)
def test_greenlets_log_through_the_queue(library: str, order: str, tmp_path: Path) -> None:
    patch, nap, wait = GREEN[library]
    first = CONFIGURE
    if order == "after it logged":
        first += "\nimport logging; logging.getLogger('a').info('zeroth')"
    steps = [patch, first] if order == "before" else [first, patch]
    code = (
        "\n".join(steps)
        + f"""
import logging, structlog, threading
{nap}
def by_logging():
    logging.getLogger("a").info("first"); nap(0.1); logging.getLogger("a").info("third")
def by_structlog():
    nap(0.05); structlog.get_logger("a").info("second")
jobs = [by_logging, by_structlog]
{wait}
thread = threading.Thread(target=logging.getLogger("a").info, args=("fourth",))
thread.start(); thread.join()
assert logging.getLogger().handlers[0].flush(5)
logging.getLogger("a").info("last")
"""
    )
    done = run(code, tmp_path)
    expected = ["first", "second", "third", "fourth", "last"]
    assert done.status == 0
    assert [one for one in done.messages if one != "zeroth"] == expected


@pytest.mark.parametrize("library", GREEN)
def test_a_reader_that_has_stopped_holds_up_no_greenlet(library: str, tmp_path: Path) -> None:
    patch, nap, wait = GREEN[library]
    code = f"""
import logging, os, mozlog_py
reader, writer = os.pipe()
mozlog_py.configure("shop", stream=os.fdopen(writer, "w"), queue=True)
{patch}
{nap}
ticks = []
def log():
    for _ in range(300):
        logging.getLogger("a").info("x" * 1000)
        nap(0)
def tick():
    for _ in range(20):
        nap(0.01); ticks.append(1)
jobs = [log, tick]
{wait}
os._exit(len(ticks))
"""
    assert run(code, tmp_path).status == 20


REFUSED = [
    {"policy": "drop"},
    {"policy": None},
    {"max_bytes": 0},
    {"max_bytes": "16k"},
    {"size": 3},
    {"flush_on_sigterm": "no"},
]


@pytest.mark.parametrize("options", REFUSED, ids=str)
@pytest.mark.parametrize("by", ["configure", "the class", "dictConfig"])
def test_a_queue_that_is_refused_leaves_nothing_behind(
    by: str, options: dict[str, Any], untouched_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atexit, "register", lambda *_: pytest.fail("a hook at exit"))
    monkeypatch.setattr(at_exit._Exit, "is_prepared", False)
    handlers = logging.getLogger().handlers[:]
    threads, queues, known = _threads(), set(at_exit._registered), _known_handlers()
    with pytest.raises((TypeError, ValueError)):
        if by == "configure":
            configure("shop", queue=options)  # type: ignore[arg-type]
        elif by == "the class":
            MozlogQueueHandler(**options)
        else:
            config = dict_config("shop")
            config["handlers"]["mozlog"].update(
                {"class": "mozlog_py.MozlogQueueHandler", **options}
            )
            logging.config.dictConfig(config)
    assert _known_handlers() - known == set()
    assert set(at_exit._registered) == queues
    assert _threads() <= threads
    assert logging.getLogger().handlers == handlers


@pytest.mark.parametrize("options", REFUSED, ids=str)
def test_a_process_with_a_refused_queue_ends_well(options: dict[str, Any], tmp_path: Path) -> None:
    code = f"""
import logging, mozlog_py
mozlog_py.configure("shop", queue=True)
logging.getLogger("a").info("one")
try:
    mozlog_py.configure("shop", queue={options!r})
except (TypeError, ValueError) as error:
    refusal = error
logging.getLogger("a").info("two")
mozlog_py.configure("shop", queue=True)
logging.getLogger("a").info("three")
"""
    done = run(code, tmp_path)
    assert (done.messages, done.err, done.status) == (["one", "two", "three"], "", 0)


def _threads() -> int:
    """Return how many threads write what is queued."""
    queues = list(at_exit._registered)
    return sum(one._thread is not None and one._thread.is_alive() for one in queues)


def _known_handlers() -> set[int]:
    return {
        id(known)
        for reference in logging._handlerList  # type: ignore[attr-defined]
        if isinstance(known := reference(), MozlogQueueHandler)
    }
