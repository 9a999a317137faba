"""configure() for logging and structlog together: one stream, one context, one shape."""

from __future__ import annotations

import asyncio
import concurrent.futures
import io
import logging
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from conformance import checked_lines

import mozlog_py
from mozlog_py import context
from mozlog_py.processors import Redact, Sample
from mozlog_py.structlog import FastBoundLogger
from mozlog_py.structlog.line_prefix import NOT_COMPILABLE, NOT_COMPILED


@pytest.fixture(autouse=True)
def _untouched(untouched_process: None) -> Iterator[None]:
    structlog.contextvars.clear_contextvars()
    yield
    structlog.contextvars.clear_contextvars()


def configured(**options: Any) -> io.StringIO:
    stream = io.StringIO()
    mozlog_py.configure("shop", stream=stream, **{"format": "mozlog", **options})
    return stream


def both(message: str, **fields: Any) -> None:
    """Log the same with both."""
    structlog.get_logger("app").info(message, **fields)
    logging.getLogger("app").info(message, extra=fields)


class TestLines:
    def test_lines_of_both_have_one_shape_and_stand_in_order(self) -> None:
        stream = configured(static_fields={"env": "prod"}, hostname="web-1")
        context.bind(user="ann")
        structlog.contextvars.bind_contextvars(theirs=1)
        for number in range(3):
            both("hi", n=number)
        lines = checked_lines(stream.getvalue())
        assert [line["Fields"]["n"] for line in lines] == [0, 0, 1, 1, 2, 2]
        for of_structlog, of_logging in zip(lines[::2], lines[1::2], strict=True):
            assert {**of_structlog, "Timestamp": 0} == {**of_logging, "Timestamp": 0}
        assert lines[0]["Fields"] == {
            "env": "prod", "theirs": 1, "user": "ann", "n": 0, "msg": "hi",
        }  # fmt: skip

    def test_lines_of_structlog_are_made_by_the_fast_logger(self) -> None:
        configured()
        log = structlog.get_logger("app").bind(a=1)
        assert isinstance(log, FastBoundLogger)
        log.info("hi")
        assert log._prefixes[2] not in (NOT_COMPILED, NOT_COMPILABLE)

    def test_lines_of_both_go_through_the_same_processors(self) -> None:
        stream = configured(processors=[Redact(), Sample(10**9, keep_from="INFO")])
        context.bind(request={"cookie": "c"})
        both("hi", password="p")
        structlog.get_logger("app").debug("unheard")
        one, other = checked_lines(stream.getvalue())
        assert one["Fields"] == other["Fields"] == {
            "request": {"cookie": "[redacted]"}, "password": "[redacted]", "msg": "hi",
        }  # fmt: skip

    def test_lines_that_a_processor_drops_are_dropped_of_both(self) -> None:
        stream = configured(processors=[Sample(10**9)])
        both("hi", rid="7")
        assert stream.getvalue() == ""

    def test_lines_do_not_bring_back_what_a_processor_took_out(self) -> None:
        def without_user(logger: Any, name: str, event: Any) -> Any:
            event.pop("user", None)
            return event

        stream = configured(processors=[without_user])
        with context.bound(user="ann"):
            both("hi")
        assert [line["Fields"] for line in checked_lines(stream.getvalue())] == [{"msg": "hi"}] * 2

    def test_lines_of_both_follow_the_options_of_the_formatter(self) -> None:
        stream = configured(
            formatter_options={
                "rename_fields": {"user": "uid", "msg": "message"},
                "defaults": {"d": 1},
                "timestamp": True,
            }
        )
        with context.bound(user="ann"):
            structlog.get_logger("app").info("hi", name="n", filename="f")
            logging.getLogger("app").info("hi")
        one, other = (line["Fields"] for line in checked_lines(stream.getvalue()))
        assert one.pop("Time")
        assert other.pop("Time")
        assert one == {"uid": "ann", "name": "n", "filename": "f", "message": "hi", "d": 1}
        assert other == {"uid": "ann", "message": "hi", "d": 1}

    def test_lines_of_both_are_pretty_where_asked_to(self) -> None:
        stream = configured(format="pretty")
        try:
            raise ValueError("boom")
        except ValueError:
            structlog.get_logger("app").exception("of structlog", a=1)
            logging.getLogger("app").exception("of logging", extra={"a": 1})
        one, other = stream.getvalue().split("ValueError: boom\n")[:2]
        for shown, event in ((one, "of structlog"), (other, "of logging")):
            assert " ERROR " in shown
            assert event in shown
            assert "a=1" in shown
            assert "Traceback (most recent call last):" in shown
        assert "{" not in stream.getvalue()

    def test_lines_of_both_have_the_keys_of_cloud_logging(self) -> None:
        stream = configured(format="gcp", project="p")
        both("hi", trace_id="ab", span_id="cd", trace_flags="01")
        both("odd", values=[1])
        for line in checked_lines(stream.getvalue()):
            assert line["severity"] == "INFO"
            assert line["message"] == line["Fields"]["msg"]
        first = checked_lines(stream.getvalue())[0]
        assert first["logging.googleapis.com/trace"] == "projects/p/traces/ab"

    def test_lines_of_both_satisfy_the_machine_schema_where_asked_to(self) -> None:
        stream = configured(strict=True)
        both("hi", a={"b": [1]}, c=[])
        one, other = checked_lines(stream.getvalue(), strict=True)
        assert one["Fields"] == other["Fields"] == {"a.b": [1], "c": "[]", "msg": "hi"}

    def test_lines_of_warnings_are_there(self) -> None:
        stream = configured()
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(True)
            warnings.warn("old", DeprecationWarning, stacklevel=1)
        (line,) = checked_lines(stream.getvalue())
        assert line["Type"] == "py.warnings"
        assert "DeprecationWarning: old" in line["Fields"]["msg"]

    @pytest.mark.parametrize("queue", [False, True])
    def test_lines_of_both_go_to_a_path_and_through_a_queue(
        self, queue: bool, tmp_path: Path
    ) -> None:
        path = tmp_path / "log"
        mozlog_py.configure("shop", format="mozlog", stream=path, queue=queue)
        for number in range(3):
            both("hi", n=number)
        (handler,) = logging.getLogger().handlers
        handler.flush()
        lines = checked_lines(path.read_bytes())
        handler.close()
        assert [line["Fields"]["n"] for line in lines] == [0, 0, 1, 1, 2, 2]


class TestLevels:
    def test_levels_are_the_same_for_both(self) -> None:
        stream = configured(level="WARNING", loggers={"loud": "DEBUG"})
        for name in ("quiet", "loud", "loud.child"):
            structlog.get_logger(name).debug(f"structlog {name}")
            logging.getLogger(name).debug(f"logging {name}")
        structlog.get_logger().info("unnamed")
        structlog.get_logger().warning("unnamed")
        messages = [line["Fields"]["msg"] for line in checked_lines(stream.getvalue())]
        assert messages == [
            "structlog loud", "logging loud", "structlog loud.child", "logging loud.child",
            "unnamed",
        ]  # fmt: skip


class TestTwice:
    def test_twice_is_harmless(self) -> None:
        configured()
        stream = configured()
        both("hi")
        logging.getLogger("uvicorn.error").warning("once")
        assert len(checked_lines(stream.getvalue())) == 3
        assert len(logging.getLogger().handlers) == 1
        assert [type(f).__name__ for f in logging.getLogger("uvicorn.access").filters] == [
            "AccessFields"
        ]

    def test_twice_is_followed_by_loggers_in_use(self) -> None:
        first = configured()
        log = structlog.get_logger("app").bind(a=1)
        log.info("first")
        second = configured(static_fields={"env": "prod"})
        log.info("second")
        third = configured(processors=[Redact()])
        log.info("third", token="t")
        assert [len(checked_lines(s.getvalue())) for s in (first, second, third)] == [1, 1, 1]
        assert checked_lines(second.getvalue())[0]["Fields"] == {
            "env": "prod", "a": 1, "msg": "second",
        }  # fmt: skip
        assert checked_lines(third.getvalue())[0]["Fields"]["token"] == "[redacted]"

    def test_twice_gives_way_to_a_configuration_by_other_code(self) -> None:
        stream = configured()
        log = structlog.get_logger("app")
        log.info("ours")
        structlog.stdlib.recreate_defaults(log_level=logging.INFO)
        # That one hands events on to logging, whose lines are still ours.
        structlog.get_logger("test.recreated").info("theirs", a=1)
        log.info("still ours")
        messages = [line["Fields"]["msg"] for line in checked_lines(stream.getvalue())]
        assert messages[0] == "ours"
        assert messages[-1] == "still ours"

    def test_after_recreated_defaults_is_ours_again(self) -> None:
        structlog.stdlib.recreate_defaults()
        stream = configured()
        structlog.get_logger("app").info("hi", a=1)
        (line,) = checked_lines(stream.getvalue())
        assert line["Fields"] == {"a": 1, "msg": "hi"}


class TestLean:
    def test_lean_leaves_out_what_no_line_shows_and_puts_it_back(self) -> None:
        stream = configured(lean=True)
        made: list[logging.LogRecord] = []
        collecting = logging.Handler()
        collecting.emit = made.append  # type: ignore[method-assign]
        logger = logging.getLogger("test.lean")
        logger.addHandler(collecting)
        try:
            logger.info("lean")
            configured()
            logger.info("full")
        finally:
            logger.removeHandler(collecting)
        lean, full = made
        assert (lean.pathname, lean.threadName, lean.processName) == ("(unknown file)", None, None)
        assert full.pathname == __file__
        assert full.threadName == "MainThread"
        assert full.processName == "MainProcess"
        (line,) = checked_lines(stream.getvalue())
        assert line["Fields"] == {"msg": "lean"}

    def test_lean_makes_the_same_lines_the_fast_way(self) -> None:
        formatter = mozlog_py.MozlogFormatter()
        stream = configured(lean=True)
        logger = logging.getLogger("test.lean")
        record = logger.makeRecord("a", 20, "(unknown file)", 0, "hi", (), None, "f", {"n": 1})
        assert '"Fields":{"n":1,"msg":"hi"}' in formatter.format(record)
        logger.info("hi", extra={"n": 1})
        (line,) = checked_lines(stream.getvalue())
        assert line["Fields"] == {"n": 1, "msg": "hi"}

    def test_lean_leaves_alone_what_the_application_has_set(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(logging, "logThreads", False)
        configured(lean=True)
        configured()
        assert logging.logThreads is False


class TestContext:
    def test_context_is_seen_by_both_in_tasks_threads_and_executors(self) -> None:
        stream = configured()

        async def main() -> None:
            context.bind(job="main")

            async def child(number: int) -> None:
                context.bind(child=number)
                await asyncio.sleep(0)
                both("task")

            await asyncio.gather(child(1), child(2))
            await asyncio.to_thread(both, "to_thread")
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, context.carry(both), "executor")
            await loop.run_in_executor(None, both, "without")
            both("after")

        asyncio.run(main())
        seen = [
            (line["Fields"]["msg"], line["Fields"].get("job"), line["Fields"].get("child"))
            for line in checked_lines(stream.getvalue())
        ]
        assert sorted(seen[:4]) == [("task", "main", 1)] * 2 + [("task", "main", 2)] * 2
        assert seen[4::2] == [
            ("to_thread", "main", None), ("executor", "main", None), ("without", None, None),
            ("after", "main", None),
        ]  # fmt: skip

    def test_context_is_carried_into_a_pool_and_leaves_nothing_there(self) -> None:
        stream = configured()

        def work(number: int) -> int:
            context.bind(number=number)
            both("work")
            return number

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            with context.bound(job="a"):
                carried = context.carry(work)
            results = [pool.submit(carried, number).result() for number in (1, 2)]
            pool.submit(both, "clean").result()
        assert results == [1, 2]
        fields = [line["Fields"] for line in checked_lines(stream.getvalue())[::2]]
        assert fields == [
            {"job": "a", "number": 1, "msg": "work"},
            {"job": "a", "number": 2, "msg": "work"},
            {"msg": "clean"},
        ]
        assert carried.__name__ == "work"

    @pytest.mark.parametrize("backend", ["asyncio"])
    def test_context_is_seen_under_anyio(self, backend: str) -> None:
        import anyio

        stream = configured()

        async def main() -> None:
            context.bind(job="main")

            async def child() -> None:
                context.bind(child=1)
                await anyio.sleep(0)
                both("task")

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(child)
            await anyio.to_thread.run_sync(both, "thread")

        anyio.run(main, backend=backend)
        fields = [line["Fields"] for line in checked_lines(stream.getvalue())[::2]]
        assert fields == [
            {"job": "main", "child": 1, "msg": "task"}, {"job": "main", "msg": "thread"},
        ]  # fmt: skip

    def test_context_of_flask_is_that_of_the_request(self) -> None:
        import flask

        stream = configured()
        app = flask.Flask("shop")

        @app.before_request
        def begin() -> None:
            structlog.contextvars.clear_contextvars()
            structlog.contextvars.bind_contextvars(path=flask.request.path)

        @app.get("/<name>")
        def hello(name: str) -> str:
            both("hello", who=name)
            return name

        client = app.test_client()
        assert [client.get(path).text for path in ("/a", "/b")] == ["a", "b"]
        fields = [line["Fields"] for line in checked_lines(stream.getvalue())]
        assert fields == [
            {"path": f"/{who}", "who": who, "msg": "hello"} for who in "ab" for _ in range(2)
        ]


class TestPytestStructlog:
    def test_pytest_structlog_sees_events_as_its_users_expect(self, tmp_path: Path) -> None:
        (tmp_path / "test_it.py").write_text(
            textwrap.dedent(
                """
                import mozlog_py, structlog

                mozlog_py.configure("shop", format="mozlog")
                logger = structlog.get_logger("shop")
                logger.info("used at import")

                def test_events(log):
                    logger.info("by a logger in use")
                    assert log.has("by a logger in use")
                    log.events.clear()
                    structlog.get_logger("shop").bind(a=1).info("hello", b=2)
                    assert log.has("hello", a=1, b=2)
                    assert log.events == [
                        {"a": 1, "b": 2, "event": "hello", "level": "info"}
                    ]

                def test_without(capsys):
                    structlog.get_logger("shop").info("seen")
                    assert '"msg":"seen"' in capsys.readouterr().out
                """
            )
        )
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
            capture_output=True, text=True, check=False, cwd=tmp_path,
        )  # fmt: skip
        assert "2 passed" in done.stdout, done.stdout
