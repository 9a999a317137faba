"""Methods of logging that agents and tests have replaced by descriptors of any kind.

An access of such a member returns another object each time, and no comparison by identity holds.
"""

import functools
import io
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import structlog
from conformance import checked_lines

import mozlog_py
from mozlog_py import MozlogFormatter, MozlogHandler

Calls = list[str]


class Wrapper:
    """A member that binds itself anew at each access, and passes each call on."""

    def __init__(self, member: Any, called: Callable[[], None]) -> None:
        self.member, self.called = member, called

    def __get__(self, instance: Any, kind: Any = None) -> Callable[..., Any]:
        bound = self.member.__get__(instance, kind)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.called()
            return bound(*args, **kwargs)

        return call


def by_wrapt(kind: Any, name: str, called: Callable[[], None]) -> Any:
    wrapt = pytest.importorskip("wrapt", reason="wrapt is not installed")

    def call(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
        called()
        return wrapped(*args, **kwargs)

    original = vars(kind)[name]
    wrapt.wrap_function_wrapper(kind, name, call)
    # For monkeypatch, which restores the member.
    wrapper = vars(kind)[name]
    setattr(kind, name, original)
    return wrapper


def by_descriptor(kind: Any, name: str, called: Callable[[], None]) -> Any:
    return Wrapper(vars(kind)[name], called)


def by_partialmethod(kind: Any, name: str, called: Callable[[], None]) -> Any:
    def call(self: Any, original: Any, /, *args: Any, **kwargs: Any) -> Any:
        called()
        return original(self, *args, **kwargs)

    return functools.partialmethod(call, vars(kind)[name])


def by_autospec(kind: Any, name: str, called: Callable[[], None]) -> Any:
    original = vars(kind)[name]

    def call(*args: Any, **kwargs: Any) -> Any:
        called()
        return original(*args, **kwargs)

    return mock.create_autospec(original, side_effect=call)


WAYS = [by_wrapt, by_descriptor, by_partialmethod, by_autospec]
MEMBERS: list[tuple[Any, str]] = [
    (logging.Logger, "callHandlers"),
    (logging.Logger, "handle"),
    (logging.Logger, "makeRecord"),
    (logging.Logger, "addHandler"),
    (logging.Logger, "_log"),
    (logging.Logger, "isEnabledFor"),
    (logging.LogRecord, "getMessage"),
    (logging.Filterer, "filter"),
    (logging.Handler, "format"),
    (logging.Handler, "handle"),
    (logging.Handler, "handleError"),
    (logging.StreamHandler, "emit"),
    (MozlogHandler, "emit"),
    (MozlogHandler, "handle"),
    (MozlogFormatter, "format"),
]


def log_all(name: str) -> list[str]:
    """Log by both libraries; return the messages that lines must have, in their order."""
    standard, log = logging.getLogger(name), structlog.get_logger(name)
    standard.info("%d of logging", 1, extra={"name": "ann"})
    standard.error("2 of logging")
    log.info("3 of structlog", name="ann")
    log.warning("4 of structlog")
    log.error("5 of structlog")
    log.bind(user="ann").critical("6 of structlog")
    try:
        raise ValueError("boom")
    except ValueError:
        log.exception("7 of structlog")
        standard.exception("8 of logging")
    return [
        "1 of logging", "2 of logging", "3 of structlog", "4 of structlog", "5 of structlog",
        "6 of structlog", "7 of structlog", "8 of logging",
    ]  # fmt: skip


def messages(out: io.StringIO) -> list[Any]:
    return [line["Fields"].get("msg") for line in checked_lines(out.getvalue())]


@pytest.fixture
def out(untouched_process: None) -> io.StringIO:
    return io.StringIO()


class TestPatchedMethods:
    @pytest.mark.parametrize("is_before", [True, False], ids=["before", "after"])
    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize(("kind", "name"), MEMBERS)
    def test_patched_methods_of_logging_lose_no_line_and_raise_nothing(
        self,
        kind: Any,
        name: str,
        way: Any,
        is_before: bool,
        out: io.StringIO,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        if not is_before:
            mozlog_py.configure("shop", format="mozlog", stream=out)
            log_all("shop.early")
            out.seek(0)
            out.truncate()
        monkeypatch.setattr(kind, name, way(kind, name, lambda: None))
        if is_before:
            mozlog_py.configure("shop", format="mozlog", stream=out)
        expected = log_all("shop.till") + log_all("shop.early")
        assert messages(out) == expected

    @pytest.mark.parametrize("is_before", [True, False], ids=["before", "after"])
    @pytest.mark.parametrize("way", WAYS)
    def test_patched_call_handlers_gets_each_severe_event_of_structlog_once(
        self, way: Any, is_before: bool, out: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: Calls = []
        if not is_before:
            mozlog_py.configure("shop", format="mozlog", stream=out)
            log_all("shop.till")
        member = way(logging.Logger, "callHandlers", lambda: calls.append("call"))
        monkeypatch.setattr(logging.Logger, "callHandlers", member)
        if is_before:
            mozlog_py.configure("shop", format="mozlog", stream=out)
        log = structlog.get_logger("shop.till")
        log.info("mild")
        assert calls == []
        log.error("severe")
        log.critical("severe")
        assert calls == ["call"] * 2
        # Removed again: later events do not reach it.
        monkeypatch.undo()
        log.error("after")
        assert calls == ["call"] * 2
        assert messages(out)[-4:] == ["mild", "severe", "severe", "after"]

    @pytest.mark.parametrize("way", WAYS)
    def test_patched_call_handlers_leaves_the_lines_of_the_next_events_prepared(
        self, way: Any, out: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from fast_loggers import is_prepared

        member = way(logging.Logger, "callHandlers", lambda: None)
        monkeypatch.setattr(logging.Logger, "callHandlers", member)
        mozlog_py.configure("shop", format="mozlog", stream=out)
        log = structlog.get_logger("shop.till").bind()
        log.info("mild")
        log.error("severe")
        # The class of the logger is that of before: no error outdates it.
        kind = type(log)
        mozlog_py._process.process_id.process.expire()
        log.error("severe")
        log.info("mild")
        assert type(log) is kind
        assert is_prepared(log, logging.INFO)

    def test_call_handlers_that_changes_at_each_call_loses_no_event(
        self, out: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mozlog_py.configure("shop", format="mozlog", stream=out)
        log = structlog.get_logger("shop.till")
        original = logging.Logger.callHandlers

        class Members(dict[str, Any]):
            """Members of a class of which none is ever the same."""

            def get(self, name: str, default: Any = None) -> Any:
                return Wrapper(original, lambda: None)

            __getitem__ = get

        from mozlog_py.structlog import logging_changes

        monkeypatch.setattr(logging_changes, "vars", lambda _: Members(), raising=False)
        expected = log_all("shop.till")
        log.error("last")
        assert messages(out) == [*expected, "last"]

    @pytest.mark.parametrize("way", WAYS)
    def test_patched_add_handler_is_not_wrapped_once_more_by_each_configuration(
        self, way: Any, out: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mozlog_py.configure("shop", format="mozlog", stream=out)
        calls: Calls = []
        member = way(logging.Logger, "addHandler", lambda: calls.append("call"))
        monkeypatch.setattr(logging.Logger, "addHandler", member)
        for _ in range(3):
            mozlog_py.configure("shop", format="mozlog", stream=out)
        seen = vars(logging.Logger)["addHandler"]
        mozlog_py.configure("shop", format="mozlog", stream=out)
        assert vars(logging.Logger)["addHandler"] is seen
        calls.clear()
        logging.getLogger("shop").addHandler(logging.NullHandler())
        assert calls == ["call"]

    def test_mock_in_place_of_call_handlers_is_called_as_logging_calls_it(
        self, out: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mozlog_py.configure("shop", format="mozlog", stream=out)
        seen = mock.MagicMock()
        monkeypatch.setattr(logging.Logger, "callHandlers", seen)
        structlog.get_logger("shop").error("hi")
        ((record,), options) = seen.call_args
        assert (record.getMessage(), options) == ("hi", {})

    @pytest.mark.parametrize("module", [sys, threading])
    def test_wrapped_hook_of_exceptions_logs_each_exception_once(
        self, module: Any, out: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wrapt = pytest.importorskip("wrapt", reason="wrapt is not installed")
        mozlog_py.configure("shop", format="mozlog", stream=out)
        monkeypatch.setattr(module, "excepthook", module.excepthook)
        wrapt.wrap_function_wrapper(
            module, "excepthook", lambda wrapped, _instance, args, kwargs: wrapped(*args, **kwargs)
        )
        for _ in range(2):
            mozlog_py.configure("shop", format="mozlog", stream=out)
        try:
            raise ValueError("boom")
        except ValueError as error:
            triple = type(error), error, error.__traceback__
        if module is sys:
            sys.excepthook(*triple)
        else:
            threading.excepthook(threading.ExceptHookArgs((*triple, None)))
        (line,) = checked_lines(out.getvalue())
        assert line["Fields"]["error"] == "ValueError('boom')"

    def test_proxy_of_a_stream_gets_each_line_once(self, out: io.StringIO) -> None:
        wrapt = pytest.importorskip("wrapt", reason="wrapt is not installed")
        mozlog_py.configure("shop", format="mozlog", stream=wrapt.ObjectProxy(out))
        expected = log_all("shop.till")
        assert messages(out) == expected


class Agent:
    """Wraps what New Relic's agent wraps, and stores the message and a field of each record."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, Any]] = []

    def install(self, way: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        original = logging.Logger.callHandlers

        def call(logger: Any, record: logging.LogRecord) -> None:
            self.seen.append((record.levelname, record.getMessage(), vars(record).get("till")))
            original(logger, record)

        monkeypatch.setattr(logging.Logger, "callHandlers", call)
        kind = structlog.BoundLoggerBase
        monkeypatch.setattr(kind, "_process_event", way(kind, "_process_event", lambda: None))


class TestAgents:
    @pytest.mark.parametrize("is_before", [True, False], ids=["before", "after"])
    @pytest.mark.parametrize("way", WAYS)
    def test_agent_that_wraps_loggers_of_structlog_gets_events_of_all_levels_once(
        self, way: Any, is_before: bool, out: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        agent = Agent()
        if is_before:
            agent.install(way, monkeypatch)
        mozlog_py.configure("shop", format="mozlog", stream=out, level="DEBUG")
        log = structlog.get_logger("shop.till")
        bound = log.bind(till=3)
        if not is_before:
            log.info("unseen")
            bound.info("unseen")
            agent.install(way, monkeypatch)
            mozlog_py._process.process_id.process.expire()
            # This event finds the agent, and the others have it.
            log.info("unseen")
        agent.seen.clear()
        log.debug("one")
        bound.info("two %d", 2)
        log.warning("three", till=4)
        log.error("four")
        assert agent.seen == [
            ("DEBUG", "one", None), ("INFO", "two 2", 3), ("WARNING", "three", 4),
            ("ERROR", "four", None),
        ]  # fmt: skip
        assert messages(out)[-4:] == ["one", "two 2", "three", "four"]
        agent.seen.clear()
        monkeypatch.undo()
        mozlog_py._process.process_id.process.expire()
        log.info("after")
        log.info("after")
        assert agent.seen == []

    @pytest.mark.parametrize(
        ("option", "expected"),
        [(False, []), ("WARNING", ["two", "three"]), (True, ["one", "two", "three"])],
    )
    def test_agent_gets_the_levels_that_the_option_says(
        self,
        option: Any,
        expected: list[str],
        out: io.StringIO,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        agent = Agent()
        agent.install(by_descriptor, monkeypatch)
        mozlog_py.configure("shop", format="mozlog", stream=out, structlog_to_logging=option)
        log = structlog.get_logger("shop")
        log.info("one")
        log.warning("two")
        log.error("three")
        assert [message for _, message, _ in agent.seen] == expected

    @pytest.mark.parametrize("format_", ["mozlog", "gcp", "pretty"])
    @pytest.mark.parametrize("extra", [{}, {"_till": 3}, {"_till": (1, 2)}])
    def test_agent_that_adds_to_messages_of_records_leaves_no_methods_in_lines(
        self, extra: Any, format_: Any, out: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """New Relic's agent keeps the former method on the record, beside its wrapper."""
        wrapt = pytest.importorskip("wrapt", reason="wrapt is not installed")
        original = logging.Logger.callHandlers

        def add(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> str:
            return f"{wrapped(*args, **kwargs)} LINK|7|"

        def call(logger: Any, record: Any) -> None:
            record._nr_original_message = record.getMessage
            record.getMessage = wrapt.FunctionWrapper(record.getMessage, add)
            original(logger, record)

        monkeypatch.setattr(logging.Logger, "callHandlers", call)
        mozlog_py.configure("shop", format=format_, stream=out)
        logging.getLogger("shop").info("%d coins", 12, extra=extra)
        text = out.getvalue()
        assert "12 coins LINK|7|" in text
        assert "getMessage" not in text
        assert "_nr_original" not in text
        # A field of the application that begins in the same way is one.
        assert ("_till" in text) == bool(extra)

    def test_methods_of_other_objects_are_fields(self, out: io.StringIO) -> None:
        mozlog_py.configure("shop", format="mozlog", stream=out)
        logging.getLogger("shop").info("hi", extra={"_call": "".join, "kind": dict, "f": log_all})
        (line,) = checked_lines(out.getvalue())
        assert [*line["Fields"]] == ["_call", "kind", "f", "msg"]


BEFORE_IMPORT = """
import logging, sys
import wrapt

def call(wrapped, instance, args, kwargs):
    return wrapped(*args, **kwargs)

for name in sys.argv[1:]:
    wrapt.wrap_function_wrapper(logging, name, call)
import mozlog_py, structlog

mozlog_py.configure("shop", format="mozlog")
standard, log = logging.getLogger("shop"), structlog.get_logger("shop")
standard.info("%d", 1, extra={"name": "ann"})
standard.error("2")
log.info("3")
log.error("4")
log.critical("5")
try:
    raise ValueError("boom")
except ValueError:
    log.exception("6")
    standard.exception("7")
"""


@pytest.mark.parametrize(
    "members",
    [
        ["Logger.callHandlers"],
        ["LogRecord.__init__", "LogRecord.getMessage"],
        ["Logger.addHandler", "Logger.handle", "Logger.makeRecord", "Logger._log"],
        ["Handler.format", "Handler.handle", "StreamHandler.emit", "Formatter.format"],
        ["LogRecord"],
        ["setLogRecordFactory", "getLogRecordFactory", "addLevelName"],
    ],
    ids="-".join,
)
def test_methods_that_were_patched_before_the_import_lose_no_line(members: list[str]) -> None:
    pytest.importorskip("wrapt", reason="wrapt is not installed")
    done = subprocess.run(
        [sys.executable, "-c", BEFORE_IMPORT, *members],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    assert [line["Fields"]["msg"] for line in checked_lines(done.stdout)] == [*"1234567"]
