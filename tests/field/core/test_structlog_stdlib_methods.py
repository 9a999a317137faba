"""A bound logger has the methods of structlog.stdlib.BoundLogger."""

import asyncio
import inspect
import io
import logging
from typing import Any

import pytest
import structlog
from conformance import checked_lines

import mozlog_py
from mozlog_py.structlog import FastBoundLogger, processors


@pytest.fixture
def out(untouched_process: None) -> io.StringIO:
    out = io.StringIO()
    mozlog_py.configure("shop", format="mozlog", stream=out, loggers={"shop.db": "ERROR"})
    return out


@pytest.mark.parametrize("other", [structlog.stdlib.BoundLogger, structlog.typing.BindableLogger,
                                   structlog.typing.FilteringBoundLogger])  # fmt: skip
def test_nothing_public_of_structlogs_own_is_missing(other: Any) -> None:
    public = {name for name in dir(other) if not name.startswith("_")}
    assert {name for name in public if not hasattr(FastBoundLogger, name)} == set()


def test_async_methods_are_those_of_structlogs_own() -> None:
    for name in dir(structlog.stdlib.BoundLogger):
        theirs = getattr(structlog.stdlib.BoundLogger, name)
        if inspect.iscoroutinefunction(theirs) and not name.startswith("_"):
            assert inspect.iscoroutinefunction(getattr(FastBoundLogger, name)), name


def test_levels_have_the_names_of_both(out: io.StringIO) -> None:
    for log in (structlog.stdlib.get_logger("shop.db"), structlog.get_logger("shop.db").bind(a=1)):
        assert (log.isEnabledFor(30), log.is_enabled_for(30)) == (False, False)
        assert (log.isEnabledFor(40), log.is_enabled_for(40)) == (True, True)
        assert log.getEffectiveLevel() == log.get_effective_level() == logging.ERROR
        log.setLevel(logging.DEBUG)
        assert (log.isEnabledFor(10), log.getEffectiveLevel(), log.level) == (True, 10, 10)
        log.setLevel(logging.ERROR)


def test_attributes_are_those_of_the_namesake_and_none_is_made(out: io.StringIO) -> None:
    log = structlog.get_logger("shop.db").bind(a=1)
    assert (log.name, log.level, log.handlers, log.propagate, log.disabled) == (
        "shop.db", logging.ERROR, [], True, False,
    )  # fmt: skip
    assert log.parent is logging.getLogger("shop.db").parent
    unknown = structlog.get_logger("shop.db.made.of.data").bind()
    assert (unknown.name, unknown.level, unknown.handlers) == ("shop.db.made.of.data", 0, [])
    assert unknown.parent is logging.getLogger("shop.db")
    assert (unknown.propagate, unknown.disabled, unknown.hasHandlers()) == (True, False, True)
    assert "shop.db.made.of.data" not in logging.root.manager.loggerDict
    unnamed = structlog.get_logger().bind()
    assert (unnamed.name, unnamed.level, unnamed.parent) == ("root", logging.INFO, None)


def test_handlers_and_records_go_to_the_namesake(out: io.StringIO) -> None:
    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(record.getMessage())

    kept: list[str] = []
    handler = Keeping()
    log = structlog.get_logger("shop.cart").bind()
    log.addHandler(handler)
    assert log.handlers == [handler]
    log.info("by structlog")
    file, line, function, stack = log.findCaller(True)
    made = log.makeRecord(
        log.name, 20, file, line, "by %s", ("logging",), None, func=function, sinfo=stack
    )
    log.handle(made)
    log.callHandlers(made)
    log.removeHandler(handler)
    log.info("after")
    assert kept == ["by structlog", "by logging", "by logging"]
    assert [each["Fields"]["msg"] for each in checked_lines(out.getvalue())] == [
        "by structlog", "by logging", "by logging", "after",
    ]  # fmt: skip
    assert log.getChild("item") is logging.getLogger("shop.cart.item")


def test_a_logger_of_logging_below_is_the_namesake(untouched_process: None) -> None:
    below = logging.Logger("below", logging.WARNING)
    log = FastBoundLogger.at("INFO")(below, processors("shop", output="text"), {})
    assert (log.name, log.level, log.hasHandlers(), log.parent) == ("below", 30, False, None)
    log.setLevel("ERROR")
    assert below.level == logging.ERROR


def test_exception_and_the_awaited_methods_write_what_logging_would(out: io.StringIO) -> None:
    log = structlog.stdlib.get_logger("shop")

    async def main() -> None:
        await log.ainfo("%s paid", "Ann")
        await log.alog(logging.WARNING, "low", left=3)
        try:
            raise ValueError("boom")
        except ValueError:
            log.exception("failed")
            await log.aexception("failed")

    asyncio.run(main())
    lines = checked_lines(out.getvalue())
    assert [(line["Severity"], line["Fields"]["msg"]) for line in lines] == [
        (6, "Ann paid"), (4, "low"), (3, "failed"), (3, "failed"),
    ]  # fmt: skip
    assert lines[2]["Fields"]["error"] == lines[3]["Fields"]["error"] == "ValueError('boom')"
