"""What is raised is in the line: its frames, and what ``str`` says of it.

Workers log traceback objects of their own, and many a ``repr`` lacks the file's name, the
SQL or all of an exception's text. Error Reporting of Google Cloud wants Python's format.
"""

import concurrent.futures.process
import io
import logging
import pickle
import sqlite3
import sys
import traceback
from pathlib import Path
from typing import Any

import billiard.einfo
import pytest
import sqlalchemy
import structlog
from conformance import Capture, checked, checked_lines, render
from hostile import ExceptionGroup, raised
from value_fronts import FRONTS, Stepping, by_handler

from mozlog_py import MozlogFormatter, MozlogHandler
from mozlog_py.gcp import CloudFormatter
from mozlog_py.processors import Redact
from mozlog_py.structlog import MozlogRenderer

HEADER = "Traceback (most recent call last):\n"


def pay() -> None:
    raise ValueError("no money")


def failed_task() -> ValueError:
    try:
        pay()
    except ValueError as error:
        return error
    raise AssertionError


class Walked:
    """A traceback as tblib and others have it: attributes, and no class that Python knows."""

    def __init__(self, frames: list[tuple[Any, Any, Any]]) -> None:
        (file, self.tb_lineno, function), *more = frames
        code = type("Code", (), {"co_filename": file, "co_name": function})
        self.tb_frame = type("Frame", (), {"f_code": code, "f_globals": {}})
        self.tb_next: Any = Walked(more) if more else None


def of_billiard(error: BaseException) -> Any:
    return billiard.einfo.Traceback(error.__traceback__)


def of_billiard_pickled(error: BaseException) -> Any:
    # As a prefork worker's comes to its parent.
    return pickle.loads(pickle.dumps(of_billiard(error)))


def of_twisted(error: BaseException) -> Any:
    # It comes with daphne.
    from twisted.python.failure import Failure

    made = Failure(error)
    made.cleanFailure()
    return made.getTracebackObject()


def of_attributes(_: BaseException) -> Any:
    return Walked([("/gone/tasks.py", 7, "pay")])


FOREIGN = {
    "billiard": of_billiard,
    "billiard, pickled": of_billiard_pickled,
    "twisted": of_twisted,
    "attributes": of_attributes,
}


class TestForeignTracebacks:
    @pytest.mark.parametrize("front", FRONTS)
    @pytest.mark.parametrize("kind", FOREIGN)
    def test_foreign_tracebacks_show_their_frames_in_every_front(
        self, kind: str, front: str
    ) -> None:
        error = failed_task()
        foreign = FOREIGN[kind](error)
        line = FRONTS[front]("failed", exc_info=(ValueError, error, foreign))
        fields = line["Fields"]
        assert ", in pay\n" in fields["traceback"]
        assert fields["error"] == "ValueError('no money')"
        assert "mozlog.degraded" not in fields
        if kind != "attributes":
            assert 'raise ValueError("no money")' in fields["traceback"]

    def test_foreign_tracebacks_of_celerys_worker_show_the_tasks_frame(self) -> None:
        from celery import Celery
        from celery.app.trace import build_tracer

        app = Celery("shop", broker="memory://", backend="cache+memory://", set_as_current=False)
        app.conf.update(task_ignore_result=True)
        task = app.task(name="pay")(pay)
        stream = io.StringIO()
        logger = logging.getLogger("celery.app.trace")
        handler = MozlogHandler(stream, "shop")
        logger.addHandler(handler)
        try:
            build_tracer("pay", task, app=app)("id-1", (), {}, request={"hostname": "h"})
        finally:
            logger.removeHandler(handler)
        (line,) = checked_lines(stream.getvalue())
        assert ", in pay\n" in line["Fields"]["traceback"]
        assert line["Fields"]["error"] == "ValueError('no money')"

    def test_foreign_tracebacks_of_twisteds_observer_show_their_frames(self) -> None:
        from twisted.logger import Logger, STDLibLogObserver

        capture = Capture()
        logger = logging.getLogger("twisted-shop")
        logger.addHandler(capture.handler)
        try:
            log = Logger(observer=STDLibLogObserver("twisted-shop"))
            try:
                pay()
            except ValueError:
                log.failure("failed")
        finally:
            logger.removeHandler(capture.handler)
        (fields,) = capture.fields
        assert ", in pay\n" in fields["traceback"]

    @pytest.mark.parametrize("nonsense", ["text", 5, object(), Walked([(None, 1, "f")])])
    def test_foreign_tracebacks_that_are_none_give_way_to_the_exceptions_own(
        self, nonsense: Any
    ) -> None:
        error = failed_task()
        fields = FRONTS["formatter"]("x", exc_info=(ValueError, error, nonsense))["Fields"]
        assert ", in pay\n" in fields["traceback"]

    def test_foreign_tracebacks_that_end_where_they_began_are_bounded(self) -> None:
        circle = Walked([("a.py", 1, "f"), ("b.py", 2, "g")])
        circle.tb_next.tb_next = circle
        fields = FRONTS["chain"]("x", exc_info=(ValueError, ValueError(), circle))["Fields"]
        assert fields["traceback"].count("File ") == 2
        assert "frames that follow are left out" in fields["traceback"]

    def test_foreign_tracebacks_that_have_no_end_are_bounded(self) -> None:
        class Endless(Walked):
            @property
            def tb_next(self) -> Any:
                return Endless([("a.py", 1, "f")])

            @tb_next.setter
            def tb_next(self, _: Any) -> None: ...

        endless = Endless([("a.py", 1, "f")])
        fields = FRONTS["formatter"]("x", exc_info=(ValueError, ValueError(), endless))["Fields"]
        assert fields["traceback"].count("File ") <= 100

    def test_foreign_tracebacks_that_raise_keep_the_frames_before(self) -> None:
        class Broken(Walked):
            @property
            def tb_next(self) -> Any:
                raise RuntimeError

            @tb_next.setter
            def tb_next(self, _: Any) -> None: ...

        broken = Broken([("a.py", 1, "f")])
        fields = FRONTS["fast logger"]("x", exc_info=(ValueError, ValueError(1), broken))["Fields"]
        assert 'File "a.py", line 1, in f\n' in fields["traceback"]
        assert "frames that follow cannot be read" in fields["traceback"]
        assert fields["error"] == "ValueError(1)"

    def test_foreign_tracebacks_forge_no_frame(self) -> None:
        forged = Walked([('a.py"\n  File "forged.py', 1, 'f\n  File "forged.py", line 1, in g')])
        fields = FRONTS["gcp"]("x", exc_info=(ValueError, ValueError(), forged))["Fields"]
        assert '\n  File "forged' not in fields["traceback"]


class Refused(Exception):
    def __init__(self, *, order: int) -> None:
        super().__init__()
        self.order = order

    def __str__(self) -> str:
        return f'order {self.order} refused\n  File "forged.py", line 1, in forged'


def missing_file() -> BaseException:
    try:
        Path("/no/" + "orders.csv").read_text()
    except OSError as error:
        return error
    raise AssertionError


def broken_sql() -> BaseException:
    engine = sqlalchemy.create_engine("sqlite://")
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT price FROM or" + "ders"))
    except sqlalchemy.exc.SQLAlchemyError as error:
        return error
    finally:
        engine.dispose()
    raise AssertionError


def remote() -> BaseException:
    # As an executor of processes gives its caller the traceback of the other one.
    error = ValueError("far away")
    error.__cause__ = concurrent.futures.process._RemoteTraceback("in a worker")
    return error


TEXTS = {
    "a file": (missing_file, "/no/orders.csv"),
    "an own text": (lambda: Refused(order=7), "Refused: order 7 refused\\n  File"),
    "a driver": (broken_sql, "[SQL: SELECT price FROM orders]"),
    "another process": (remote, "in a worker"),
    "undecodable": (lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "byte 0xff"),
}


class TestTexts:
    @pytest.mark.parametrize("front", FRONTS)
    @pytest.mark.parametrize("kind", TEXTS)
    def test_texts_are_in_the_line_in_every_front(self, kind: str, front: str) -> None:
        make, text = TEXTS[kind]
        fields = FRONTS[front]("failed", exc_info=make())["Fields"]
        assert text in fields["traceback"]
        assert '\n  File "forged.py"' not in fields["traceback"]
        assert "mozlog.degraded" not in fields

    @pytest.mark.parametrize("kind", TEXTS)
    def test_texts_are_there_for_causes_contexts_and_members_of_groups(self, kind: str) -> None:
        make, text = TEXTS[kind]
        caused, follows = ValueError("new"), ValueError("new")
        caused.__cause__, follows.__context__ = make(), make()
        for error in (caused, follows, ExceptionGroup("many", [KeyError(1), make()])):
            fields = FRONTS["formatter"]("failed", exc_info=error)["Fields"]
            assert text in fields["traceback"]

    @pytest.mark.parametrize(
        "error",
        [
            ValueError("no money"),
            ValueError('it\'s "both" and a \\'),
            ValueError("two\nlines"),
            ValueError("x" * 20_000),
            KeyError("k"),
            ValueError("a", 2),
            SystemExit(1),
            ValueError(),
            sqlite3.OperationalError("no such table: orders"),
            ExceptionGroup("many", [ValueError(1)]),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_texts_that_the_repr_shows_are_not_repeated(self, error: BaseException) -> None:
        fields = FRONTS["formatter"]("failed", exc_info=error)["Fields"]
        name = type(error).__name__
        assert f"\n{name}: " not in fields["traceback"]

    def test_texts_within_a_word_of_the_repr_are_not_shown_by_it(self) -> None:
        class Order17Error(Exception):
            def __str__(self) -> str:
                return "7"

        fields = FRONTS["chain"]("failed", exc_info=Order17Error(17))["Fields"]
        assert fields["traceback"].endswith("\nOrder17Error: 7\n")

    def test_texts_that_raise_leave_the_repr(self) -> None:
        class Odd(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        fields = FRONTS["formatter"]("failed", exc_info=Odd(1))["Fields"]
        assert fields["error"] == "Odd(1)"
        assert fields["traceback"].endswith("\nOdd(1)\n")


def cloud(error: Any, front: str = "gcp", **fields: Any) -> dict[str, Any]:
    return FRONTS[front]("failed", exc_info=error, **fields)


class TestStackTraces:
    """Of the format of Google Cloud."""

    @pytest.mark.parametrize("front", ["gcp", "gcp chain"])
    @pytest.mark.parametrize("kind", TEXTS)
    def test_stack_traces_are_what_python_prints(self, kind: str, front: str) -> None:
        error = TEXTS[kind][0]()
        shown = cloud(error, front)["stack_trace"]
        if kind == "an own text":
            # Python lets the text forge a frame.
            assert shown.splitlines()[-1].startswith("test_tracebacks.Refused: order 7 refused\\n")
        elif kind != "a driver":
            assert shown == "".join(traceback.format_exception(error))
        else:
            last = [line for line in shown.splitlines() if line][-1]
            assert last.startswith("sqlalchemy.exc.OperationalError: (sqlite3.OperationalError)")

    @pytest.mark.parametrize("front", ["gcp", "gcp chain"])
    def test_stack_traces_of_chains_have_pythons_own_words(self, front: str) -> None:
        caused, follows = raised(KeyError("k")), raised(KeyError("k"))
        caused.__cause__, follows.__context__ = failed_task(), failed_task()
        for error in (caused, follows):
            shown = cloud(error, front)["stack_trace"]
            assert shown == "".join(traceback.format_exception(error))

    def test_stack_traces_are_those_of_a_process_that_the_record_comes_from(self) -> None:
        error = failed_task()
        made = logging.makeLogRecord(
            {"msg": "x", "exc_text": "".join(traceback.format_exception(error)).rstrip()}
        )
        assert render(CloudFormatter(), made)["stack_trace"] == made.exc_text

    def test_stack_traces_are_those_that_structlog_has_rendered_before(self) -> None:
        stream = io.BytesIO()
        chain = [structlog.processors.format_exc_info, MozlogRenderer(formatter=CloudFormatter())]
        log = structlog.wrap_logger(structlog.BytesLogger(stream), processors=chain)
        try:
            pay()
        except ValueError:
            log.exception("failed")
            expected = traceback.format_exc().rstrip()
        assert checked(stream.getvalue().rstrip())["stack_trace"] == expected

    @pytest.mark.parametrize("options", [{"exc_info_as_array": True}, {"strict": True},
                                         {"rename_fields": {"traceback": "trace"}}])  # fmt: skip
    def test_stack_traces_are_there_with_any_options(self, options: dict[str, Any]) -> None:
        line = by_handler(CloudFormatter(**options), "x", exc_info=failed_task())
        assert line["stack_trace"].startswith(f"{HEADER}  File ")
        assert line["stack_trace"].endswith("\nValueError: no money\n")

    def test_stack_traces_show_nothing_that_a_processor_has_hidden(self) -> None:
        def hide(_: Any, __: str, event_dict: dict[str, Any]) -> dict[str, Any]:
            hidden = event_dict["traceback"].replace("no money", "***")
            return {**event_dict, "traceback": hidden, "error": "***"}

        line = by_handler(CloudFormatter(processors=[hide]), "x", exc_info=failed_task())
        assert "no money" not in str(line)
        assert line["stack_trace"].startswith(f"{HEADER}  File ")
        assert line["stack_trace"].endswith("\nValueError: ValueError('***')\n")

    def test_stack_traces_are_absent_where_the_traceback_is(self) -> None:
        def drop(_: Any, __: str, event_dict: dict[str, Any]) -> dict[str, Any]:
            del event_dict["traceback"]
            return event_dict

        line = by_handler(CloudFormatter(processors=[drop]), "x", exc_info=failed_task())
        assert "stack_trace" not in line
        redacted = by_handler(CloudFormatter(processors=[Redact(["traceback"])]), "x",
                              exc_info=failed_task())  # fmt: skip
        assert "stack_trace" not in redacted
        assert "stack_trace" not in by_handler(CloudFormatter(), "fine", a=1)
        assert "stack_trace" not in by_handler(MozlogFormatter(), "x", exc_info=failed_task())

    def test_stack_traces_of_a_subclass_that_makes_whole_lines_are_there(self) -> None:
        class Own(CloudFormatter):
            def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
                return super().convert_record(record)

        line = by_handler(Own(), "x", exc_info=failed_task())
        assert line["stack_trace"].endswith("\nValueError: no money\n")

    def test_stack_traces_are_cut_with_the_line(self) -> None:
        error = raised(ValueError("x" * 12_000))
        line = by_handler(CloudFormatter(), "y" * 12_000, exc_info=error)
        assert line["stack_trace"].startswith(HEADER)
        assert "characters cut" in line["stack_trace"]
        assert "characters cut" in line["message"]
        assert "traceback" in line["Fields"]

    def test_stack_traces_of_python_are_drawn_by_a_formatter_with_hooks_as_well(self) -> None:
        class Hooked(Stepping, CloudFormatter):
            pass

        try:
            pay()
        except ValueError:
            line = by_handler(Hooked(), "x", exc_info=sys.exc_info())
        assert line["stack_trace"].endswith("\nValueError: no money\n")
