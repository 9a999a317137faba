"""Events of structlog reach other handlers of logging, once each."""

import asyncio
import io
import json
import logging
import logging.handlers
import pickle
import queue
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog
from conformance import checked_lines

import mozlog_py
from mozlog_py import MozlogFormatter, MozlogHandler, context
from mozlog_py.processors import Redact
from mozlog_py.testing import capture_lines


class Reporter(logging.Handler):
    """A handler that stores its records."""

    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def seen(self) -> list[tuple[str, str, str]]:
        return [(made.name, made.levelname, made.getMessage()) for made in self.records]


@pytest.fixture
def out(untouched_process: None) -> io.StringIO:
    return io.StringIO()


def messages(out: io.StringIO) -> list[Any]:
    return [line["Fields"].get("msg") for line in checked_lines(out.getvalue())]


class TestWithoutStdout:
    @pytest.mark.parametrize("is_queued", [False, True])
    def test_event_without_a_stdout_is_one_line_or_one_loss(
        self, is_queued: bool, untouched_process: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mozlog_py.configure("shop", format="mozlog", queue=is_queued)
        handler: Any = logging.getLogger().handlers[0]
        out = io.StringIO()
        monkeypatch.setattr(sys, "stdout", None)
        structlog.get_logger("shop").info("once")
        if is_queued:
            # Its thread may find the former stdout or the new one.
            handler.flush()
        monkeypatch.setattr(sys, "stdout", out)
        handler.flush()
        assert handler.sink.lost == 1
        (report,) = checked_lines(out.getvalue())
        assert report["Fields"]["lost"] == 1
        handler.close()


class TestHandlers:
    def test_handlers_that_are_added_later_get_events_of_loggers_that_were_used_before(
        self, out: io.StringIO
    ) -> None:
        mozlog_py.configure("shop", format="mozlog", stream=out)
        log = structlog.get_logger("shop.till")
        bound = log.bind(user="ann")
        kept = log.info
        log.info("before")
        bound.info("before")
        reporter = Reporter()
        logging.getLogger().addHandler(reporter)
        log.info("one")
        bound.info("two")
        kept("three")
        logging.getLogger().removeHandler(reporter)
        log.info("after")
        bound.info("after")
        assert [made.getMessage() for made in reporter.records] == ["one", "two", "three"]
        assert messages(out) == ["before"] * 2 + ["one", "two", "three"] + ["after"] * 2

    @pytest.mark.parametrize("way", ["append", "assign", "slice"])
    def test_handlers_that_were_added_without_a_call_of_logging_get_errors_at_once(
        self, out: io.StringIO, way: str
    ) -> None:
        mozlog_py.configure("shop", format="mozlog", stream=out)
        log, root, reporter = structlog.get_logger("shop"), logging.getLogger(), Reporter()
        log.error("before")
        if way == "append":
            root.handlers.append(reporter)
        elif way == "assign":
            root.handlers = [*root.handlers, reporter]
        else:
            root.handlers[:] = [reporter]
        mozlog_py._process.process_id.process.expire()
        log.error("after")
        log.error("again")
        assert [made.getMessage() for made in reporter.records] == ["after", "again"]
        assert messages(out) == ["before", "after", "again"]

    def test_handlers_of_each_logger_above_get_what_propagates_to_them(
        self, out: io.StringIO
    ) -> None:
        mozlog_py.configure("shop", format="mozlog", stream=out)
        log = structlog.get_logger("shop.till.drawer")
        log.info("unheard")
        reporters = {name: Reporter() for name in ("shop.till", "shop", "", "shop.other")}
        for name, reporter in reporters.items():
            logging.getLogger(name or None).addHandler(reporter)
        log.info("all")
        logging.getLogger("shop").propagate = False
        log.info("below")
        got = {name: [m.getMessage() for m in each.records] for name, each in reporters.items()}
        assert got == {
            "shop.till": ["all", "below"], "shop": ["all", "below"], "": ["all"], "shop.other": [],
        }  # fmt: skip
        # Our handler is above these loggers too, and writes the line of each event.
        assert messages(out) == ["unheard", "all", "below"]

    def test_handlers_get_events_from_the_level_that_they_take(self, out: io.StringIO) -> None:
        mozlog_py.configure("shop", format="mozlog", stream=out, level="DEBUG")
        reporter, log = Reporter(logging.WARNING), structlog.get_logger("shop")
        logging.getLogger("shop").addHandler(reporter)
        log.info("low")
        log.log(25, "low")
        log.log(35, "high")
        log.warning("high")
        reporter.setLevel(logging.ERROR)
        log.warning("low")
        log.critical("high")
        assert {made.getMessage() for made in reporter.records} == {"high"}
        assert [made.levelno for made in reporter.records] == [35, 30, 50]
        assert len(messages(out)) == 6

    def test_handlers_that_write_to_the_same_stream_have_the_line_already(
        self, out: io.StringIO
    ) -> None:
        mozlog_py.configure("shop", format="mozlog", stream=out)
        # dictConfig() of the application replaces our handler like this.
        logging.getLogger().handlers[:] = [MozlogHandler(out, "shop")]
        log = structlog.get_logger("shop")
        log.info("by structlog")
        logging.getLogger("shop").info("by logging")
        assert messages(out) == ["by structlog", "by logging"]

    def test_handlers_of_a_path_have_the_line_already(
        self, tmp_path: Path, untouched_process: None
    ) -> None:
        path = tmp_path / "log"
        mozlog_py.configure("shop", format="mozlog", stream=path)
        logging.getLogger("shop").addHandler(MozlogHandler(str(path), "shop"))
        structlog.get_logger("shop").info("once")
        assert len(checked_lines(path.read_text())) == 1

    def test_handlers_beside_a_queue_get_events_and_the_queue_no_second_one(
        self, tmp_path: Path, untouched_process: None
    ) -> None:
        path = tmp_path / "log"
        mozlog_py.configure("shop", format="mozlog", stream=path, queue=True)
        reporter = Reporter()
        logging.getLogger().addHandler(reporter)
        structlog.get_logger("shop").info("queued", n=1)
        logging.getLogger().handlers[0].flush()
        assert [line["Fields"] for line in checked_lines(path.read_text())] == [
            {"n": 1, "msg": "queued"}
        ]
        assert reporter.seen == [("shop", "INFO", "queued")]
        logging.getLogger().handlers[0].close()

    def test_handlers_of_a_file_on_a_child_have_the_text_and_the_place(
        self, out: io.StringIO, tmp_path: Path
    ) -> None:
        mozlog_py.configure("shop", format="mozlog", stream=out)
        file = logging.FileHandler(tmp_path / "audit.log")
        file.setFormatter(logging.Formatter("%(levelname)s %(name)s %(filename)s %(message)s"))
        logging.getLogger("shop.audit").addHandler(file)
        structlog.get_logger("shop.audit").warning("%s paid %d", "Ann", 7)
        structlog.get_logger("shop").warning("elsewhere")
        file.close()
        here = Path(__file__).name
        assert (tmp_path / "audit.log").read_text() == f"WARNING shop.audit {here} Ann paid 7\n"

    def test_handlers_of_a_queue_of_logging_get_records_that_can_be_pickled_and_rendered(
        self, out: io.StringIO
    ) -> None:
        mozlog_py.configure("shop", format="mozlog", stream=out)
        waiting: queue.Queue[Any] = queue.Queue()
        reporter = Reporter()
        logging.getLogger().addHandler(logging.handlers.QueueHandler(waiting))
        listener = logging.handlers.QueueListener(waiting, reporter)
        listener.start()
        structlog.get_logger("shop").error("%s failed", "Ann", code=7)
        listener.stop()
        assert reporter.seen == [("shop", "ERROR", "Ann failed")]
        assert reporter.records[0].code == 7  # type: ignore[attr-defined]

    def test_handlers_that_hand_on_to_ours_have_the_line_already(self, out: io.StringIO) -> None:
        mozlog_py.configure("shop", format="mozlog", stream=out)
        root = logging.getLogger()
        root.addHandler(logging.handlers.MemoryHandler(1, target=root.handlers[0]))
        structlog.get_logger("shop").error("once")
        assert messages(out) == ["once"]

    @pytest.mark.parametrize("way", ["queue", "dictConfig", "wrapper", "path", "our queue"])
    def test_handlers_that_pass_an_event_on_to_ours_write_no_second_line(
        self, untouched_process: None, tmp_path: Path, way: str
    ) -> None:
        class Wrapper(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                ours.handle(record)

        path, beside = tmp_path / "log", tmp_path / "beside"
        mozlog_py.configure("shop", format="mozlog", stream=path, queue=way == "our queue")
        root = logging.getLogger()
        (ours,) = root.handlers
        if way == "path":
            # dictConfig() of the application makes a handler of its own on the same path.
            ours = MozlogHandler(path, "shop")
        passing: logging.Handler = Wrapper()
        listener = None
        if way != "wrapper":
            waiting: queue.Queue[Any] = queue.Queue()
            passing = logging.handlers.QueueHandler(waiting)
            listener = logging.handlers.QueueListener(waiting, MozlogHandler(beside), ours)
            listener.start()
        if way == "dictConfig":
            # From Python 3.12 on, dictConfig() keeps the listener so.
            vars(passing)["listener"] = listener
        root.handlers[:] = [passing]
        structlog.get_logger("shop").info("by structlog", user="ann")
        structlog.get_logger("shop").info("named", logger_name="till")
        logging.getLogger("shop").info("by logging", extra={"logger_name": "till"})
        if listener is not None:
            listener.stop()
        ours.flush()
        events = [
            {"user": "ann", "msg": "by structlog"},
            {"logger_name": "till", "msg": "named"},
            {"logger_name": "till", "msg": "by logging"},
        ]
        # The listener's thread writes the last one, possibly before the others.
        lines = sorted(checked_lines(path.read_text()), key=lambda line: "logging" in str(line))
        assert [line["Fields"] for line in lines] == events
        if listener is not None:
            # The file beside has no line of theirs yet.
            lines = checked_lines(beside.read_text())
            assert [line["Fields"] for line in lines] == events
            assert {line["Logger"] for line in lines} == {"Dockerflow"}
        ours.close()

    def test_handlers_with_our_formatters_do_not_show_where_the_line_of_an_event_is(
        self, out: io.StringIO
    ) -> None:
        mozlog_py.configure("shop", format="mozlog", stream=out)
        kinds = {
            "plain": MozlogFormatter(logger_name="till"),
            "hooked": MozlogFormatter(logger_name="till", timestamp=True),
        }
        streams = {name: io.StringIO() for name in kinds}
        for name, formatter in kinds.items():
            handler = logging.StreamHandler(streams[name])
            handler.setFormatter(formatter)
            logging.getLogger("shop").addHandler(handler)
        structlog.get_logger("shop").info("paid", amount=7)
        structlog.get_logger("shop").info("named", logger_name="x")
        for stream in streams.values():
            lines = checked_lines(stream.getvalue())
            assert [line["Logger"] for line in lines] == ["till", "till"]
            fields = [{**line["Fields"], "Time": ""} for line in lines]
            assert fields == [
                {"amount": 7, "msg": "paid", "Time": ""},
                {"logger_name": "x", "msg": "named", "Time": ""},
            ]

    def test_handlers_of_other_processes_get_records_without_a_trace_of_ours(
        self, out: io.StringIO
    ) -> None:
        mozlog_py.configure("shop", format="mozlog", stream=out)
        reporter = Reporter()
        logging.getLogger().addHandler(reporter)
        structlog.get_logger("shop").info("paid")
        structlog.get_logger("shop").info("named", logger_name="x")
        pickled = [pickle.dumps(record) for record in reporter.records]
        assert not [one for one in pickled if b"mozlog_py" in one]
        paid, named = (pickle.loads(one) for one in pickled)
        assert (paid.logger_name, named.logger_name) == (None, "x")
        handler = MozlogHandler(elsewhere := io.StringIO())
        for record in (paid, named):
            handler.handle(record)
        assert [line["Fields"] for line in checked_lines(elsewhere.getvalue())] == [
            {"msg": "paid"}, {"logger_name": "x", "msg": "named"},
        ]  # fmt: skip

    def test_handlers_that_hang_on_two_loggers_get_an_event_once(self, out: io.StringIO) -> None:
        mozlog_py.configure("shop", format="mozlog", stream=out)
        reporter = Reporter()
        for name in ("shop.till", "shop", None):
            logging.getLogger(name).addHandler(reporter)
        structlog.get_logger("shop.till").info("once")
        assert len(reporter.records) == 1

    def test_handlers_that_raise_or_log_do_no_harm(self, out: io.StringIO, capfd: Any) -> None:
        class Broken(logging.Handler):
            def handle(self, record: logging.LogRecord) -> bool:
                raise LookupError

        class Talkative(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                structlog.get_logger("shop.reports").info("reported")

        mozlog_py.configure("shop", format="mozlog", stream=out)
        reporter = Reporter()
        for handler in (Broken(), Talkative(), reporter):
            logging.getLogger().addHandler(handler)
        structlog.get_logger("shop").info("hi")
        assert messages(out) == ["hi", "reported"]
        assert reporter.seen == [("shop", "INFO", "hi")]
        assert "another handler did not take an event: LookupError" in capfd.readouterr().err

    def test_handlers_whose_interrupt_comes_after_the_line_is_written(
        self, out: io.StringIO
    ) -> None:
        class Interrupting(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                raise KeyboardInterrupt

        mozlog_py.configure("shop", format="mozlog", stream=out)
        logging.getLogger().addHandler(Interrupting())
        with pytest.raises(KeyboardInterrupt):
            structlog.get_logger("shop").info("written")
        assert messages(out) == ["written"]

    def test_handlers_hear_what_the_namesakes_filters_pass(self, out: io.StringIO) -> None:
        mozlog_py.configure("shop", format="mozlog", stream=out)
        reporter, namesake = Reporter(), logging.getLogger("shop.filtered")
        logging.getLogger().addHandler(reporter)
        namesake.addFilter(lambda record: "secret" not in record.getMessage())
        log = structlog.get_logger("shop.filtered")
        log.info("secret")
        log.info("public")
        namesake.disabled = True
        log.info("disabled")
        namesake.disabled = False
        assert [made.getMessage() for made in reporter.records] == ["public"]

    def test_handlers_of_a_second_configuration_are_those_of_the_first(
        self, out: io.StringIO
    ) -> None:
        second, reporter = io.StringIO(), Reporter()
        mozlog_py.configure("shop", format="mozlog", stream=out)
        log = structlog.get_logger("shop")
        log.info("1")
        mozlog_py.configure("shop", format="mozlog", stream=second)
        logging.getLogger().addHandler(reporter)
        log.info("2")
        assert (messages(out), messages(second)) == (["1"], ["2"])
        assert [made.getMessage() for made in reporter.records] == ["2"]

    def test_handlers_reach_assertLogs(self, out: io.StringIO) -> None:
        import unittest

        mozlog_py.configure("shop", format="mozlog", stream=out)
        log = structlog.get_logger("shop.till")
        log.error("before")
        with unittest.TestCase().assertLogs("shop", "ERROR") as logs:
            log.error("no money")
        log.error("after")
        assert logs.output == ["ERROR:shop.till:no money"]
        assert messages(out) == ["before", "no money", "after"]


class TestRecords:
    @pytest.fixture
    def reporter(self, out: io.StringIO) -> Reporter:
        reporter = Reporter()
        mozlog_py.configure(
            "shop", format="mozlog", stream=out, processors=[], static_fields={"env": "prod"}
        )
        logging.getLogger().addHandler(reporter)
        return reporter

    def test_records_have_the_fields_the_arguments_and_the_place(self, reporter: Reporter) -> None:
        with context.bound(rid="abc"):
            structlog.get_logger("shop", user="ann").info("%s of %d", "one", 2, code=[1])
        (made,) = reporter.records
        assert (made.msg, made.args) == ("%s of %d", ("one", 2))
        assert (made.filename, made.funcName) == (
            Path(__file__).name,
            "test_records_have_the_fields_the_arguments_and_the_place",
        )
        extra: Any = made
        assert (extra.user, extra.code, extra.rid, extra.env) == ("ann", [1], "abc", "prod")

    def test_records_keep_fields_that_are_named_like_their_own(self, reporter: Reporter) -> None:
        structlog.get_logger("shop").info("hi", name="n", args=1, message="m", level=3, msg="x")
        facts = vars(reporter.records[0])
        assert (facts["name"], facts["msg"], facts["level"]) == ("shop", "hi", 3)
        kept = {name: facts[f"extra.{name}"] for name in ("name", "args", "message", "msg")}
        assert kept == {"name": "n", "args": 1, "message": "m", "msg": "x"}

    def test_records_have_the_exception_and_the_stack(self, reporter: Reporter) -> None:
        error = ValueError("boom")
        try:
            raise error
        except ValueError:
            structlog.get_logger("shop").exception("failed")
        structlog.get_logger("shop").info("where", stack_info=True)
        failed, where = reporter.records
        assert failed.exc_info is not None
        assert failed.exc_info[1] is error
        assert (failed.levelname, where.exc_info) == ("ERROR", None)
        assert "test_records_have_the_exception_and_the_stack" in str(where.stack_info)

    def test_records_of_a_logger_without_a_name_have_that_of_the_line(
        self, reporter: Reporter
    ) -> None:
        structlog.get_logger().info("hi")
        assert reporter.seen == [("shop", "INFO", "hi")]

    def test_records_with_arguments_that_do_not_fit_can_be_rendered(
        self, reporter: Reporter
    ) -> None:
        structlog.get_logger("shop").info("%d", "x")
        structlog.get_logger("shop").info({"a": 1})
        assert [made.getMessage() for made in reporter.records] == ["%d", "{'a': 1}"]

    def test_records_of_awaited_methods_have_the_context_and_the_place_of_the_call(
        self, reporter: Reporter, out: io.StringIO
    ) -> None:
        async def main() -> None:
            with context.bound(job="mail"):
                try:
                    raise ValueError("boom")
                except ValueError:
                    await structlog.get_logger("shop").aexception("failed")

        asyncio.run(main())
        (made,) = reporter.records
        assert made.exc_info is not None
        assert (made.funcName, made.job) == ("main", "mail")  # type: ignore[attr-defined]
        assert messages(out) == ["failed"]

    def test_records_of_awaited_methods_are_sent_where_the_line_is_a_last_resort(
        self, reporter: Reporter, out: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def exhausted(*_: Any) -> None:
            raise MemoryError

        async def main() -> None:
            await structlog.get_logger("shop").aerror("awaited")

        monkeypatch.setattr("mozlog_py.structlog.run_chain._rendered", exhausted)
        asyncio.run(main())
        assert reporter.seen == [("shop", "ERROR", "awaited")]
        assert len(checked_lines(out.getvalue())) == 1

    def test_records_pass_through_a_factory_and_a_makeRecord_of_others(
        self, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usual = logging.Logger.makeRecord

        def traced(*args: Any, **kwargs: Any) -> logging.LogRecord:
            made = usual(*args, **kwargs)
            made.trace_id = 7
            return made

        monkeypatch.setattr(logging.Logger, "makeRecord", traced)
        structlog.get_logger("shop").info("hi")
        assert reporter.records[0].trace_id == 7  # type: ignore[attr-defined]

    def test_records_have_what_processors_leave(self, out: io.StringIO) -> None:
        def dropping(_: Any, __: str, event: Any) -> Any:
            if event["event"] == "dropped":
                raise structlog.DropEvent
            return event

        reporter = Reporter()
        mozlog_py.configure(
            "shop", format="mozlog", stream=out,
            processors=[Redact(), dropping],
        )  # fmt: skip
        logging.getLogger().addHandler(reporter)
        structlog.get_logger("shop").info("login", password="tulip")
        structlog.get_logger("shop").info("dropped")
        (made,) = reporter.records
        assert made.password == "[redacted]"  # type: ignore[attr-defined]
        assert messages(out) == ["login"]


class TestTheSwitch:
    @pytest.mark.parametrize(
        ("switch", "expected"),
        [(None, ["info", "error"]), (False, []), (True, ["info", "error"]), ("ERROR", ["error"]),
         (20, ["info", "error"]), ("critical", [])],
    )  # fmt: skip
    def test_the_switch_of_configure_says_what_handlers_get(
        self, out: io.StringIO, switch: Any, expected: list[str]
    ) -> None:
        reporter = Reporter()
        mozlog_py.configure("shop", format="mozlog", stream=out, structlog_to_logging=switch)
        logging.getLogger().addHandler(reporter)
        log = structlog.get_logger("shop")
        log.info("info")
        log.error("error")
        assert [made.getMessage() for made in reporter.records] == expected
        assert messages(out) == ["info", "error"]

    @pytest.mark.parametrize(
        ("switch", "expected"),
        [(None, ["error"]), (False, []), (True, ["info", "error"]), ("WARNING", ["error"])],
    )
    def test_the_switch_of_configure_says_what_a_replaced_callHandlers_gets(
        self, out: io.StringIO, monkeypatch: pytest.MonkeyPatch, switch: Any, expected: list[str]
    ) -> None:
        usual, seen = logging.Logger.callHandlers, []

        def replaced(self: logging.Logger, record: logging.LogRecord) -> None:
            usual(self, record)
            seen.append(record.getMessage())

        mozlog_py.configure("shop", format="mozlog", stream=out, structlog_to_logging=switch)
        log = structlog.get_logger("shop")
        log.info("before")
        log.error("before")
        monkeypatch.setattr(logging.Logger, "callHandlers", replaced)
        log.error("error")
        log.info("info")
        monkeypatch.undo()
        log.error("after")
        log.info("after")
        assert [text for text in seen if text in ("info", "error")] == sorted(expected)
        assert messages(out) == ["before"] * 2 + ["error", "info"] + ["after"] * 2

    def test_the_switch_of_configure_may_be_no_other_thing(self, out: io.StringIO) -> None:
        with pytest.raises(ValueError, match="structlog_to_logging is 'loud'; the known levels"):
            mozlog_py.configure("shop", stream=out, structlog_to_logging="loud")

    def test_the_switch_is_the_formats_of_the_application_that_has_its_own_level(
        self, out: io.StringIO
    ) -> None:
        from mozlog_py.structlog import FastBoundLogger

        reporter = Reporter()
        mozlog_py.configure("shop", format="mozlog", stream=out)
        structlog.configure(wrapper_class=FastBoundLogger.at("WARNING"))
        log = structlog.get_logger("shop")
        log.warning("before")
        logging.getLogger().addHandler(reporter)
        logging.getLogger().setLevel("CRITICAL")
        log.info("off")
        log.warning("after")
        assert [made.getMessage() for made in reporter.records] == ["after"]
        assert messages(out) == ["before", "after"]

    def test_the_switch_leaves_chains_that_were_set_up_by_hand_alone(
        self, untouched_process: None
    ) -> None:
        from mozlog_py.sink import Sink
        from mozlog_py.structlog import FastBoundLogger, SinkLoggerFactory, processors

        out, reporter = io.StringIO(), Reporter()
        logging.getLogger().addHandler(reporter)
        structlog.configure(
            processors=processors("shop"),
            wrapper_class=FastBoundLogger.at("INFO"),
            logger_factory=SinkLoggerFactory(Sink(out)),
        )
        structlog.get_logger("shop").error("by hand")
        assert (messages(out), reporter.records) == (["by hand"], [])


class TestWithoutOtherHandlers:
    def test_without_other_handlers_prefixes_stay_valid(self, out: io.StringIO) -> None:
        from fast_loggers import is_prepared

        mozlog_py.configure("shop", format="mozlog", stream=out)
        log = structlog.get_logger("shop")
        log.info("hi")
        log.error("hi")
        assert is_prepared(log.bind(), logging.INFO)
        assert is_prepared(log.bind(), logging.ERROR)
        reporter = Reporter(logging.ERROR)
        logging.getLogger().addHandler(reporter)
        log.info("hi")
        log.error("hi")
        assert is_prepared(log.bind(), logging.INFO)
        assert not is_prepared(log.bind(), logging.ERROR)
        logging.getLogger().removeHandler(reporter)
        mozlog_py._process.process_id.process.expire()
        for _ in range(2):
            log.info("hi")
            log.error("hi")
        assert is_prepared(log.bind(), logging.ERROR)
        assert len(reporter.records) == 1


class TestOurOwnTestHelpers:
    def test_our_own_test_helpers_collect_each_event_once(self, out: io.StringIO) -> None:
        mozlog_py.configure("shop", format="mozlog", stream=out)
        reporter = Reporter()
        logging.getLogger().addHandler(reporter)
        log = structlog.get_logger("shop")
        log.debug("off")
        with capture_lines() as lines:
            log.debug("on", n=1)
        log.debug("off")
        assert [line["Fields"] for line in lines] == [{"n": 1, "msg": "on"}]
        assert [made.getMessage() for made in reporter.records] == ["on"]


CAPLOG = """
import logging, mozlog_py, pytest, structlog

module_log = structlog.get_logger("shop.module")

def test_configures(caplog):
    mozlog_py.configure("shop")
    logging.getLogger("shop").warning("by logging")
    structlog.get_logger("shop.till").warning("by structlog", n=1)
    module_log.info("by the module's")
    assert caplog.record_tuples == [
        ("shop", logging.WARNING, "by logging"),
        ("shop.till", logging.WARNING, "by structlog"),
        ("shop.module", logging.INFO, "by the module's"),
    ]
    assert caplog.records[1].n == 1
    assert "test_it.py" in caplog.text

def test_was_configured_before(caplog):
    module_log.debug("off")
    with caplog.at_level("DEBUG"):
        module_log.debug("on")
    module_log.debug("off")
    caplog.set_level("ERROR")
    module_log.warning("off")
    module_log.error("on")
    assert caplog.messages == ["on", "on"]

def test_configures_twice(caplog):
    for _ in range(2):
        mozlog_py.configure("shop", level="DEBUG")
        module_log.debug("on")
    assert caplog.messages == ["on", "on"]

def test_has_one_handler_of_ours_and_all_of_pytests(caplog):
    before = logging.getLogger().handlers[:]
    mozlog_py.configure("shop")
    after = logging.getLogger().handlers[:]
    assert [h for h in after if h in before] == [
        h for h in before if type(h).__module__ == "_pytest.logging"
    ]
    assert len([h for h in after if h not in before]) == 1
"""


def test_caplog_gets_events_if_a_test_configures(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(CAPLOG)
    # Other plugins of pytest must make no difference.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


SENTRY = """
import json, logging, sys
import mozlog_py, structlog, sentry_sdk
from sentry_sdk.transport import Transport

events = []

class Kept(Transport):
    def capture_envelope(self, envelope):
        event = envelope.get_event()
        if event is not None:
            events.append(event)

def start():
    sentry_sdk.init(transport=Kept, dsn="https://a@b.invalid/1", default_integrations=True)

when = sys.argv[1]
if when == "before":
    start()
mozlog_py.configure("shop", format="mozlog", stream=sys.stderr)
log = structlog.get_logger("shop.till")
bound = log.bind(user="ann")
log.error("too early") if when == "after" else None
if when == "after":
    start()
log.info("only a line")
bound.error("no money in %s", "till", amount=7)
try:
    raise ValueError("boom")
except ValueError:
    log.exception("failed")
try:
    raise KeyError("k")
except KeyError as error:
    log.error("noted", exc_info=error)
logging.getLogger("shop").error("by logging")
sentry_sdk.flush()
print(json.dumps([
    {
        "logger": event["logger"],
        "text": event["logentry"]["message"],
        "types": [value["type"] for value in event.get("exception", {}).get("values", [])],
        "extra": event.get("extra", {}).get("amount"),
    }
    for event in events
]))
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_sentry_makes_one_event_of_each_error_and_exception(tmp_path: Path, when: str) -> None:
    script = tmp_path / "service.py"
    script.write_text(SENTRY)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, when],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == [
        {"logger": "shop.till", "text": "no money in %s", "types": [], "extra": 7},
        {"logger": "shop.till", "text": "failed", "types": ["ValueError"], "extra": None},
        {"logger": "shop.till", "text": "noted", "types": ["KeyError"], "extra": None},
        {"logger": "shop", "text": "by logging", "types": [], "extra": None},
    ]
    lines = checked_lines("".join(f"{line}\n" for line in done.stderr.splitlines() if line))
    assert [line["Fields"]["msg"] for line in lines] == [
        *["too early"] * (when == "after"),
        "only a line", "no money in till", "failed", "noted", "by logging",
    ]  # fmt: skip


TELEMETRY = """
import logging, sys, warnings
warnings.simplefilter("ignore")
import mozlog_py, structlog
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

exporter = InMemoryLogRecordExporter()
provider = LoggerProvider()
provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
mozlog_py.configure("shop", format="mozlog", stream=sys.stderr)
log = structlog.get_logger("shop.till")
log.info("before")
logging.getLogger().addHandler(LoggingHandler(logger_provider=provider))
log.info("%s paid", "Ann", amount=7)
log.bind(user="ann").warning("low")
for data in exporter.get_finished_logs():
    record = data.log_record
    print(record.body, record.severity_text, record.attributes.get("amount"),
          record.attributes.get("user"))
"""


def test_opentelemetrys_handler_at_the_root_gets_each_event_once(tmp_path: Path) -> None:
    script = tmp_path / "service.py"
    script.write_text(TELEMETRY)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["Ann paid INFO 7 None", "low WARN None ann"]
    assert len(done.stderr.splitlines()) == 3


REQUESTS = """
import json, logging, sys
import sentry_sdk
from sentry_sdk.transport import Transport

events = []

class Kept(Transport):
    def capture_envelope(self, envelope):
        event = envelope.get_event()
        if event is not None and "exception" in event:
            events.append([each["type"] for each in event["exception"]["values"]])

sentry_sdk.init(transport=Kept, dsn="https://a@b.invalid/1")
import flask, mozlog_py, structlog
from dockerflow.flask import Dockerflow

mozlog_py.configure("shop", format="mozlog", stream=sys.stderr)
app = flask.Flask("shop")
Dockerflow(app)
log = structlog.get_logger("shop.views")

@app.get("/raised")
def raised():
    try:
        raise ValueError("boom")
    except ValueError:
        log.exception("failed")
        raise

@app.get("/handled")
def handled():
    try:
        raise LookupError("none")
    except LookupError as error:
        log.error("failed", exc_info=error)
        return "fine"

client = app.test_client()
for path in ("/raised", "/handled"):
    client.get(path)
sentry_sdk.flush()
print(json.dumps(events))
"""


def test_sentry_makes_one_event_of_an_exception_that_a_view_logs_and_raises(tmp_path: Path) -> None:
    script = tmp_path / "service.py"
    script.write_text(REQUESTS)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == [["ValueError"], ["LookupError"]]
