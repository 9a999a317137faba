"""Loggers of structlog that were used before follow changes of levels in logging."""

import asyncio
import io
import logging
import logging.config
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import structlog
from conformance import checked_lines

import mozlog_py
from mozlog_py.sink import Sink
from mozlog_py.structlog import FastBoundLogger, SinkLoggerFactory, processors


@pytest.fixture
def out(untouched_process: None) -> io.StringIO:
    return io.StringIO()


def messages(out: io.StringIO) -> list[Any]:
    lines = checked_lines(out.getvalue())
    # asyncio logs at DEBUG as well.
    return [line["Fields"]["msg"] for line in lines if line["Type"] != "asyncio"]


def by_root() -> None:
    logging.getLogger().setLevel("DEBUG")


def by_name() -> None:
    logging.getLogger("shop.db").setLevel("DEBUG")


def by_ancestor() -> None:
    logging.getLogger("shop").setLevel("DEBUG")


def by_dict_config() -> None:
    loggers = {"shop.db": {"level": "DEBUG"}}
    logging.config.dictConfig({"version": 1, "incremental": True, "loggers": loggers})


def by_bound_logger() -> None:
    structlog.get_logger("shop.db").bind(a=1).setLevel("DEBUG")


@pytest.mark.parametrize(
    "change", [by_root, by_name, by_ancestor, by_dict_config, by_bound_logger],
    ids=lambda change: change.__name__,
)  # fmt: skip
def test_a_level_that_is_set_later_has_an_effect(
    out: io.StringIO, change: Callable[[], None]
) -> None:
    mozlog_py.configure("shop", format="mozlog", stream=out)
    log = structlog.get_logger("shop.db")
    bound = log.bind(user="ann")
    never_used = structlog.get_logger("shop.db")
    for each in (log, bound):
        each.debug("off")
        each.log(10, "off")
        assert not each.is_enabled_for(10)
    change()
    for each in (log, bound, never_used, bound.bind(b=2), bound.unbind("user")):
        assert each.is_enabled_for(10)
        each.debug("on")
        each.log("debug", "on")
        asyncio.run(each.adebug("on"))
    assert messages(out) == ["on"] * 15


def test_a_level_that_is_raised_silences_all_methods(out: io.StringIO) -> None:
    mozlog_py.configure("shop", format="mozlog", stream=out, level="DEBUG")
    log = structlog.get_logger("shop.db")
    kept = log.info
    names = ("debug", "info", "msg", "warning", "warn", "error", "err", "exception")
    for name in names:
        getattr(log, name)("on")
        asyncio.run(getattr(log, f"a{name}")("on"))
    logging.getLogger("shop").setLevel("CRITICAL")
    for name in names:
        getattr(log, name)("off")
        asyncio.run(getattr(log, f"a{name}")("off"))
        assert getattr(log.bind(), name) is not None
    kept("off")
    log.critical("on")
    assert messages(out) == ["on"] * (2 * len(names) + 1)
    assert log.get_effective_level() == logging.CRITICAL


def test_logging_that_is_disabled_and_enabled_again_has_an_effect(out: io.StringIO) -> None:
    mozlog_py.configure("shop", format="mozlog", stream=out)
    log = structlog.get_logger("shop")
    log.critical("on")
    logging.disable(logging.CRITICAL)
    try:
        log.critical("off")
        assert not log.is_enabled_for(logging.CRITICAL)
    finally:
        logging.disable(logging.NOTSET)
    log.info("on")
    assert messages(out) == ["on", "on"]


def test_a_second_configuration_raises_and_lowers_levels(out: io.StringIO) -> None:
    mozlog_py.configure("shop", format="mozlog", stream=out)
    log = structlog.get_logger("shop", user="ann")
    log.info("on")
    for level, methods in (("ERROR", ["error"]), ("DEBUG", ["debug", "info", "error"])):
        mozlog_py.configure("shop", format="mozlog", stream=out, level=level)
        for method in ("debug", "info", "error"):
            getattr(log, method)(f"{level} {method}")
        assert messages(out)[-len(methods) :] == [f"{level} {method}" for method in methods]
    assert len(messages(out)) == 5


def test_loggers_are_as_fast_after_a_change_as_before(out: io.StringIO) -> None:
    from fast_loggers import is_prepared

    mozlog_py.configure("shop", format="mozlog", stream=out)
    log = structlog.get_logger("shop.db")
    log.info("x")
    kept = log.bind()
    off = type(kept).debug
    for level in ("DEBUG", "INFO", "WARNING", "INFO"):
        logging.getLogger("shop").setLevel(level)
        log.info("x")
        log.error("x")
        # The proxy has the methods of the logger again, and disabled ones do nothing.
        assert log.error.__func__ is type(kept).error
        assert is_prepared(kept, logging.ERROR)
    assert log.bind() is kept
    assert type(kept).debug is off
    assert log.debug.__func__ is off


def test_a_logger_without_configure_follows_as_well(untouched_process: None) -> None:
    out = io.StringIO()
    structlog.configure(
        processors=processors("shop"),
        wrapper_class=FastBoundLogger,
        logger_factory=SinkLoggerFactory(Sink(out)),
        cache_logger_on_first_use=True,
    )
    logging.getLogger("byhand").setLevel("ERROR")
    log = structlog.get_logger("byhand.db")
    log.warning("off")
    logging.getLogger("byhand").setLevel("INFO")
    log.warning("on")
    assert messages(out) == ["on"]


def test_a_level_of_its_own_follows_nothing(out: io.StringIO) -> None:
    mozlog_py.configure("shop", format="mozlog", stream=out)
    structlog.configure(wrapper_class=FastBoundLogger.at("WARNING"))
    log = structlog.get_logger("shop")
    for level in ("CRITICAL", "DEBUG"):
        logging.getLogger().setLevel(level)
        log.info("off")
        log.warning("on")
        assert log.get_effective_level() == logging.WARNING
    assert messages(out) == ["on", "on"]
    assert pickle.loads(pickle.dumps(log.bind(a=1))).get_effective_level() == logging.WARNING


class Own(FastBoundLogger):
    """A class of an application."""

    __slots__ = ()

    def info(self, event: Any = None, /, *args: Any, **fields: Any) -> Any:
        return super().info(event, *args, own=True, **fields)

    def paid(self) -> None:
        self.info("paid")
        self.debug("detail")


def test_a_class_of_the_applications_own_follows_with_its_methods(out: io.StringIO) -> None:
    mozlog_py.configure("shop", format="mozlog", stream=out)
    structlog.configure(wrapper_class=Own)
    log = structlog.get_logger("shop").bind(a=1)
    log.paid()
    logging.getLogger("shop").setLevel("ERROR")
    log.paid()
    logging.getLogger("shop").setLevel("DEBUG")
    log.paid()
    lines = [line["Fields"] for line in checked_lines(out.getvalue())]
    assert lines == [
        {"a": 1, "own": True, "msg": "paid"}, {"a": 1, "own": True, "msg": "paid"},
        {"a": 1, "msg": "detail"},
    ]  # fmt: skip
    assert isinstance(log, Own)


def test_a_pickled_logger_follows_where_it_is_unpickled(out: io.StringIO) -> None:
    mozlog_py.configure("shop", format="mozlog", stream=out)
    log = structlog.get_logger("shop").bind(a=1)
    pickled = pickle.dumps(log)
    again = pickle.loads(pickled)
    logging.getLogger("shop").setLevel("DEBUG")
    again.debug("on")
    assert messages(out) == ["on"]
    # Without a configuration, the level of logging would be WARNING.
    source = f"import pickle; log = pickle.loads({pickled!r}); log.debug('off'); log.info('on')"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True)
    assert [line["Fields"]["msg"] for line in checked_lines(done.stdout)] == ["on"]


def test_levels_that_change_in_a_thread_lose_and_double_nothing(out: io.StringIO) -> None:
    mozlog_py.configure("shop", format="mozlog", stream=out)
    logs = [structlog.get_logger(f"shop.{number}") for number in range(4)]
    is_over = threading.Event()

    def change() -> None:
        while not is_over.is_set():
            for level in ("DEBUG", "INFO", "WARNING"):
                logging.getLogger("shop").setLevel(level)

    def work(which: int) -> None:
        for number in range(200):
            logs[which].bind(which=which).error("hi", n=number)
            logs[which].error("hi", n=number, which=which)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        changing = threading.Thread(target=change)
        threads = [threading.Thread(target=work, args=(which,)) for which in range(4)]
        for thread in (changing, *threads):
            thread.start()
        for thread in threads:
            thread.join()
        is_over.set()
        changing.join()
    finally:
        sys.setswitchinterval(before)
    got = [(line["Fields"]["which"], line["Fields"]["n"]) for line in checked_lines(out.getvalue())]
    assert sorted(got) == [(which, n) for which in range(4) for n in range(200) for _ in range(2)]


def test_classes_of_former_levels_are_not_kept(out: io.StringIO) -> None:
    import gc

    mozlog_py.configure("shop", format="mozlog", stream=out)
    log = structlog.get_logger("shop")
    log.info("x")
    for _ in range(5):
        for level in ("DEBUG", "ERROR"):
            logging.getLogger().setLevel(level)
            log.error("x")
    gc.collect()
    following = [each for each in FastBoundLogger.__subclasses__() if each._is_following]
    assert len(following) < 5


def test_logging_that_is_loaded_anew_is_followed(tmp_path: Any) -> None:
    script = tmp_path / "service.py"
    script.write_text("""
import importlib, logging, sys
import mozlog_py, structlog
from mozlog_py._process.process_id import process
mozlog_py.configure("shop", format="mozlog")
log = structlog.get_logger("shop")
log.info("1")
importlib.reload(logging)
logging.getLogger().setLevel("INFO")
process.expire()
log.error("2")
logging.getLogger("shop").setLevel("DEBUG")
log.debug("3")
""")
    done = subprocess.run([sys.executable, script], capture_output=True, check=True)
    assert [line["Fields"]["msg"] for line in checked_lines(done.stdout)] == ["1", "2", "3"]
