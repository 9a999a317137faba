"""The loggers of servers, taken over: whose handlers stay, what is heard, and access records."""

import importlib
import importlib.util
import io
import json
import logging
import logging.config
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from logging.handlers import QueueHandler
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from conformance import checked_lines

import mozlog_py
from mozlog_py import celery as tasks
from mozlog_py._fields.late_request_ids import attach_request_id, remember_served, take_served
from mozlog_py._stdlib.import_hooks import _Finder, call_when_imported
from mozlog_py._stdlib.propagating_logger import PropagatingLogger
from mozlog_py.servers import ACCESS_LOGGERS, SERVER_LOGGERS, SWITCHED_BY_STATE, take_over

pytestmark = pytest.mark.usefixtures("untouched_process", "query_strings")

UVICORN = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(levelname)s %(message)s"}},
    "handlers": {
        "default": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "ext://sys.stdout"},
    },
    "loggers": {
        "uvicorn": {"handlers": ["default"], "level": "INFO", "propagate": False},
        "uvicorn.error": {"level": "INFO"},
        "uvicorn.access": {"handlers": ["default"], "level": "INFO", "propagate": False},
    },
}  # fmt: skip


@pytest.fixture(autouse=True)
def fresh_loggers() -> Iterator[None]:
    """Have loggers of servers that no other test has touched, and no request served."""
    mozlog_py._fields.late_request_ids._served.set(None)
    loggers = logging.Logger.manager.loggerDict
    former = {name: loggers.pop(name) for name in SERVER_LOGGERS if name in loggers}
    yield
    for name in SERVER_LOGGERS:
        loggers.pop(name, None)
    loggers.update(former)


def configure(**options: Any) -> None:
    mozlog_py.configure("service", format="mozlog", **options)


def borrowing_logger(is_on: bool) -> logging.Logger:
    """Return uvicorn's access logger with the handlers of gunicorn's, which is on or off.

    uvicorn's worker for gunicorn sets them so.
    """
    lender = logging.getLogger("gunicorn.access")
    lender.propagate = is_on
    borrower = logging.getLogger("uvicorn.access")
    borrower.handlers = lender.handlers
    borrower.propagate = False
    return borrower


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.err == ""
    return checked_lines(captured.out)


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line["Fields"]["msg"] for line in lines(capsys)]


class TestHandlers:
    @pytest.mark.parametrize("name", SERVER_LOGGERS)
    @pytest.mark.parametrize("when", ["before", "after", "as a list"])
    def test_handlers_of_servers_write_nothing_beside_our_line(
        self, name: str, when: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        logger = logging.getLogger(name)
        handler = logging.StreamHandler(sys.stdout)
        if when == "before":
            logger.addHandler(handler)
        configure()
        if when == "after":
            logger.addHandler(handler)
        elif when == "as a list":
            logger.handlers = [handler]
            # hypercorn goes on with what it has set.
            logger.handlers[0].setFormatter(logging.Formatter("! %(message)s"))
        logger.propagate = False
        logger.error("hello")
        assert said(capsys) == ["hello"]

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_handlers_of_other_kinds_are_still_called(
        self, when: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        queue: SimpleQueue[logging.LogRecord] = SimpleQueue()
        logger = logging.getLogger("uvicorn.error")
        foreign = QueueHandler(queue)
        foreign.setLevel("WARNING")
        if when == "before":
            logger.addHandler(foreign)
        configure()
        if when == "after":
            logger.addHandler(foreign)
        configure(loggers={"uvicorn.error": "DEBUG"})
        logger.propagate = False
        logger.debug("quiet")
        logger.error("loud")
        assert queue.get_nowait().getMessage() == "loud"
        assert queue.empty()
        assert said(capsys) == ["quiet", "loud"]

    def test_handlers_of_a_users_subclass_is_kept(self, capsys: pytest.CaptureFixture[str]) -> None:
        class Own(logging.StreamHandler):  # type: ignore[type-arg]
            pass

        stream = io.StringIO()
        logging.getLogger("gunicorn.error").addHandler(Own(stream))
        configure()
        logging.getLogger("gunicorn.error").warning("both")
        assert stream.getvalue() == "both\n"
        assert said(capsys) == ["both"]

    def test_handlers_of_a_file_are_taken_too(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        handler = logging.FileHandler(tmp_path / "error.log", delay=True)
        logging.getLogger("gunicorn.error").addHandler(handler)
        configure()
        logging.getLogger("gunicorn.error").warning("here")
        assert not (tmp_path / "error.log").exists()
        assert said(capsys) == ["here"]

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_handlers_for_the_console_is_taken_from_django_and_no_other(
        self, when: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from django.utils.log import AdminEmailHandler, RequireDebugTrue

        console, own = logging.StreamHandler(), logging.FileHandler(tmp_path / "django.log")
        console.addFilter(RequireDebugTrue())
        mails = AdminEmailHandler.__new__(AdminEmailHandler)
        logging.Handler.__init__(mails)
        mails.setLevel("CRITICAL")
        logger = logging.getLogger("django")
        former = logger.handlers[:]
        logger.handlers = []
        if when == "after":
            configure()
        for handler in (console, own, mails):
            logger.addHandler(handler)
        if when == "before":
            configure()
        try:
            logger.warning("careful")
            assert len(logger.handlers) == 3
            assert console not in logger.handlers
        finally:
            logger.handlers = former
            own.close()
        assert (tmp_path / "django.log").read_text() == "careful\n"
        assert said(capsys) == ["careful"]

    def test_handlers_are_never_heaped_up(self) -> None:
        configure()
        logger = logging.getLogger("gunicorn.error")
        for _ in range(3):
            logger.addHandler(logging.StreamHandler())
            configure()
        assert len(logger.handlers) == 1
        assert len(logger.filters) == 1

    def test_a_logger_below_is_heard_as_well(self, capsys: pytest.CaptureFixture[str]) -> None:
        # granian's are below the one that it configures.
        configure()
        logger = logging.getLogger("_granian")
        logger.addHandler(logging.StreamHandler(sys.stdout))
        logger.propagate = False
        logging.getLogger("_granian.serve").info("Started")
        assert said(capsys) == ["Started"]

    def test_what_celerys_pool_says_of_its_processes_is_heard(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        import billiard.util

        # It gets its logger, and switches propagation off, when it is first needed.
        monkeypatch.setattr(billiard.util, "_logger", None)
        configure()
        billiard.util.get_logger().error("Process exited")
        assert said(capsys) == ["Process exited"]

    def test_uvicorns_own_configuration_afterwards_changes_nothing(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure()
        for _ in range(2):
            logging.config.dictConfig(UVICORN)
            logging.getLogger("uvicorn.error").info("hello")
            args = ("127.0.0.1:1", "GET", "/x", "1.1", 200)
            logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', *args)
        assert [line["Fields"] for line in lines(capsys)] == 2 * [
            {"msg": "hello"},
            {"method": "GET", "path": "/x", "code": 200, "client": "127.0.0.1:1"},
        ]


class TestSwitchedOff:
    @pytest.mark.parametrize("name", ACCESS_LOGGERS)
    def test_an_access_log_stays_off(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        logger = logging.getLogger(name)
        logger.propagate = False
        for _ in range(2):
            configure()
            assert not logger.hasHandlers()
            logger.info("hello")
        assert lines_of(capsys) == ""

    def test_an_access_log_that_is_switched_off_later_is_off(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure()
        logging.config.dictConfig(UVICORN)
        logger = logging.getLogger("uvicorn.access")
        assert logger.hasHandlers()
        # As uvicorn does it.
        logger.handlers = []
        logger.propagate = False
        configure(loggers={"uvicorn.access": "INFO"})
        assert not logger.hasHandlers()
        logger.info("hello")
        assert lines_of(capsys) == ""

    @pytest.mark.parametrize("name", sorted(set(SERVER_LOGGERS) - set(ACCESS_LOGGERS)))
    def test_any_other_log_is_heard(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        configure()
        logging.getLogger(name).propagate = False
        logging.getLogger(name).error("hello")
        assert said(capsys) == ["hello"]

    @pytest.mark.parametrize("is_on", [True, False])
    def test_an_access_log_with_handlers_of_gunicorn_is_on_when_that_is(
        self, is_on: bool, capsys: pytest.CaptureFixture[str]
    ) -> None:
        borrower = borrowing_logger(is_on)
        configure()
        assert borrower.hasHandlers() is is_on
        borrower.info("hello")
        assert lines_of(capsys).count("\n") == is_on


def apply_later() -> Callable[[], None]:
    """Return a function that applies a dict which was made before the call."""
    made = mozlog_py.dict_config("service", format="mozlog")
    return lambda: logging.config.dictConfig(made)


def apply_now() -> None:
    apply_later()()


class TestSwitchedOffBeforeADict:
    """An access log, and the dict of ``dict_config()`` applied to it, as Django's LOGGING is."""

    @pytest.mark.parametrize("is_made_before", [True, False])
    @pytest.mark.parametrize("has_dict_before", [True, False])
    @pytest.mark.parametrize("name", SWITCHED_BY_STATE)
    def test_an_access_log_stays_off_under_a_dict(
        self,
        name: str,
        has_dict_before: bool,
        is_made_before: bool,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        apply = apply_later() if is_made_before else apply_now
        if has_dict_before:
            # uvicorn.run(log_config=dict_config(), access_log=False)
            apply_now()
        logger = logging.getLogger(name)
        # As uvicorn does it.
        logger.handlers = []
        logger.propagate = False
        for _ in range(2):
            apply()
            assert not logger.hasHandlers()
            logger.info("hello")
        configure()
        logger.info("hello")
        assert lines_of(capsys) == ""

    @pytest.mark.parametrize("name", ACCESS_LOGGERS)
    @pytest.mark.parametrize("is_taken_over", [True, False])
    def test_an_access_log_that_is_on_is_heard_under_a_dict(
        self, name: str, is_taken_over: bool, capsys: pytest.CaptureFixture[str]
    ) -> None:
        if is_taken_over:
            configure()
        logger = logging.getLogger(name)
        logger.addHandler(logging.StreamHandler(sys.stdout))
        logger.propagate = False
        for _ in range(2):
            apply_now()
            logger.info("hello")
        assert said(capsys) == ["hello", "hello"]

    def test_an_access_log_of_gunicorn_is_heard_under_a_dict(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        # gunicorn sets this before it applies logconfig_dict, and asks its own settings.
        logging.getLogger("gunicorn.access").propagate = False
        apply_now()
        logging.getLogger("gunicorn.access").info("hello")
        assert said(capsys) == ["hello"]

    @pytest.mark.parametrize("is_on", [True, False])
    def test_an_access_log_that_shares_handlers_is_on_under_a_dict_when_that_of_gunicorn_is(
        self, is_on: bool, capsys: pytest.CaptureFixture[str]
    ) -> None:
        borrower = borrowing_logger(is_on)
        apply_now()
        borrower.info("hello")
        assert lines_of(capsys).count("\n") == is_on


def lines_of(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return captured.out + captured.err


class TestLoggerClasses:
    def test_a_class_of_the_application_keeps_its_methods(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        class Polite(logging.Logger):
            def polite(self, message: str) -> None:
                self.info("please, %s", message)

        class AlsoPolite(Polite):
            pass

        logging.setLoggerClass(Polite)
        try:
            made = [logging.getLogger("uvicorn.error"), logging.getLogger("gunicorn.error")]
            logging.setLoggerClass(AlsoPolite)
            made.append(logging.getLogger("hypercorn.error"))
        finally:
            logging.setLoggerClass(logging.Logger)
        configure()
        for logger in made:
            assert isinstance(logger, Polite)
            assert isinstance(logger, PropagatingLogger)
            logger.addHandler(logging.StreamHandler(sys.stdout))
            logger.propagate = False
            logger.polite("hello")
        assert type(made[0]) is type(made[1])
        assert isinstance(made[2], AlsoPolite)
        assert said(capsys) == ["please, hello"] * 3

    def test_taking_over_twice_is_taking_over_once(self) -> None:
        take_over()
        first = [
            (type(logger), logger.handlers[:], logger.filters[:])
            for logger in map(logging.getLogger, SERVER_LOGGERS)
        ]
        finders = sys.meta_path[:]
        take_over()
        assert first == [
            (type(logger), logger.handlers[:], logger.filters[:])
            for logger in map(logging.getLogger, SERVER_LOGGERS)
        ]
        assert sys.meta_path == finders


class Atoms(dict[str, Any]):
    """As gunicorn and hypercorn have them: what is not there is a dash."""

    def __missing__(self, key: str) -> str:
        return "-"


GUNICORN = {
    "h": "10.0.0.1", "m": "GET", "U": "/a", "q": "b=1", "r": "GET /a?b=1 HTTP/1.1",
    "s": "201", "D": 2345, "a": "agent",
}  # fmt: skip
GRANIAN = {
    "addr": "10.0.0.1", "dt_ms": 2.9, "status": 201, "path": "/a", "query_string": "b=1",
    "method": "GET", "scheme": "http", "protocol": "1.1",
}  # fmt: skip
FULL = {"method": "GET", "path": "/a", "querystring": "b=1", "code": 201, "client": "10.0.0.1"}


class TestAccessRecords:
    @pytest.mark.parametrize(
        ("name", "args", "expected"),
        [
            ("uvicorn.access", ("10.0.0.1:5", "GET", "/a?b=1", "1.1", 201),
             {**FULL, "client": "10.0.0.1:5"}),
            ("uvicorn.access", ("", "GET", "/a", "1.1", 201),
             {"method": "GET", "path": "/a", "code": 201}),
            ("gunicorn.access", (Atoms(GUNICORN),), {**FULL, "t": 2, "agent": "agent"}),
            ("gunicorn.access", (Atoms({**GUNICORN, "a": 'the \\"agent\\"', "U": '/\\"a'}),),
             {**FULL, "t": 2, "agent": 'the "agent"', "path": '/"a'}),
            # After a failure to read the request.
            ("gunicorn.access", (Atoms({**GUNICORN, "U": None, "q": None, "h": "-", "a": "-"}),),
             {"method": "GET", "path": "/a", "querystring": "b=1", "code": 201, "t": 2}),
            ("hypercorn.access", (Atoms({**GUNICORN, "q": ""}),),
             {**{k: v for k, v in FULL.items() if k != "querystring"}, "t": 2, "agent": "agent",
              "querystring": "b=1"}),
            # Where the client has left before there was an answer.
            ("hypercorn.access", (Atoms({**GUNICORN, "s": "-"}),),
             {**{k: v for k, v in FULL.items() if k != "code"}, "t": 2, "agent": "agent"}),
            ("granian.access", (GRANIAN,), {**FULL, "t": 2}),
            # As versions before 2.1 have it.
            ("granian.access", ({**GRANIAN, "query_string": b"b=1"},), {**FULL, "t": 2}),
        ],
    )  # fmt: skip
    def test_access_records_become_fields(
        self, name: str, args: Any, expected: dict[str, Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure()
        logging.getLogger(name).info("a sentence", *args)
        (line,) = lines(capsys)
        assert line["Type"] == name
        assert line["Fields"] == expected

    @pytest.mark.parametrize(
        ("name", "args"),
        [
            ("uvicorn.access", ("127.0.0.1:5", "GET")),
            ("uvicorn.access", ("127.0.0.1:5", "GET", "/a", "1.1", "fine")),
            ("gunicorn.access", ({"h": "-"},)),
            ("gunicorn.access", (Atoms({"x": 1}),)),
            ("hypercorn.access", (7,)),
            ("granian.access", ({"path": "/a"},)),
        ],
    )
    def test_access_records_of_a_form_that_is_not_known_stay_as_they_are(
        self, name: str, args: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure()
        template = "%(h)s" if isinstance(args[0], Atoms) else "%s " * len(args)
        template = "%(path)s" if "path" in str(args) and isinstance(args[0], dict) else template
        template = "%(h)s" if args == ({"h": "-"},) else template
        logging.getLogger(name).info(template, *args)
        expected = template % (args[0] if isinstance(args[0], dict) else args)
        assert said(capsys) == [expected]

    @pytest.mark.parametrize(
        ("name", "atoms"),
        [("gunicorn.access", Atoms(GUNICORN)), ("granian.access", GRANIAN)],
    )
    def test_access_records_have_the_id_of_the_request_that_was_served_last(
        self, name: str, atoms: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure()
        for _ in range(2):
            remember_served("r1", "GET", "/a")
            logging.getLogger(name).info("a sentence", atoms)
        # One that the application has not seen.
        logging.getLogger(name).info("a sentence", atoms)
        assert [line["Fields"].get("rid") for line in lines(capsys)] == ["r1", "r1", None]

    @pytest.mark.parametrize("served", [("POST", "/a"), ("GET", "/b")])
    def test_access_records_have_no_id_where_another_request_was_served_last(
        self, served: tuple[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """gunicorn logs none whose client has gone; the id must not get to the next one."""
        configure()
        remember_served("r1", *served)
        for _ in range(2):
            logging.getLogger("gunicorn.access").info("a sentence", Atoms(GUNICORN))
        assert [line["Fields"].get("rid") for line in lines(capsys)] == [None, None]

    def test_access_records_have_the_id_that_gunicorn_shows_of_the_environ(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure()
        atoms = Atoms({**GUNICORN, "{mozlog.request_id}e": 'the \\"id\\"'})
        remember_served("r1", "GET", "/a")
        logging.getLogger("gunicorn.access").info("a sentence", atoms)
        (line,) = lines(capsys)
        assert line["Fields"]["rid"] == 'the "id"'
        assert take_served("GET", "/a") == (None, False)

    def test_access_records_keep_the_id_of_the_context_and_one_that_they_came_with(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure()
        logger = logging.getLogger("gunicorn.access")
        atoms = Atoms({**GUNICORN, "{mozlog.request_id}e": "r1"})
        logger.info("a sentence", atoms, extra={"rid": "own"})
        mozlog_py.context.request_id_context.set("r2")
        logger.info("a sentence", atoms)
        assert [line["Fields"]["rid"] for line in lines(capsys)] == ["own", "r2"]

    def test_access_records_of_another_form_have_no_id(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It cannot be told that they are of the request that was served last."""
        configure()
        remember_served("r1", "GET", "/a")
        logging.getLogger("granian.access").info("%(path)s", {"path": "/a"})
        (line,) = lines(capsys)
        assert line["Fields"] == {"msg": "/a"}

    def test_a_sentence_without_arguments_stays(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure()
        logging.getLogger("uvicorn.access").info("no request")
        assert said(capsys) == ["no request"]

    def test_uvicorns_coloured_message_is_left_out(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure()
        extra = {"color_message": "\x1b[1mhello\x1b[0m"}
        logging.getLogger("uvicorn.error").info("hello", extra=extra)
        assert [line["Fields"] for line in lines(capsys)] == [{"msg": "hello"}]


class TestExceptionsOfGranian:
    def fields(self, message: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
        configure()
        logging.getLogger("_granian.utils").error(message)
        (line,) = lines(capsys)
        fields: dict[str, Any] = line["Fields"]
        return fields

    def test_exceptions_of_granian_become_fields(self, capsys: pytest.CaptureFixture[str]) -> None:
        text = (
            "Application callable raised an exception\nTraceback (most recent call last):\n"
            '  File "a.py", line 1, in a\nLookupError: first\n\nThe above exception was\n\n'
            'Traceback (most recent call last):\n  File "b.py", line 2, in b\n'
            "ValueError: second\nand more of it\n"
        )
        fields = self.fields(text, capsys)
        assert fields["msg"] == "Application callable raised an exception"
        assert fields["error"] == "ValueError: second"
        assert fields["traceback"].startswith('Uncaught exception:\n  File "a.py", line 1, in a\n')
        assert fields["traceback"].endswith("ValueError: second\nand more of it\n")

    @pytest.mark.parametrize(
        "message",
        ["no traceback", "only a head\nTraceback (most recent call last):\n  File", "\nTraceback"],
    )
    def test_exceptions_of_granian_in_another_form_stay_as_they_are(
        self, message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.fields(message, capsys) == {"msg": message}


class TestDisabledByConfiguration:
    """``dictConfig`` and ``fileConfig`` disable all loggers that they do not name, by default."""

    NAMES = ("py.warnings", "waitress", "aiohttp.access", "celery.task", "sanic.root", "django")

    @pytest.fixture(autouse=True)
    def enabled_afterwards(self) -> Iterator[None]:
        known = [*logging.root.manager.loggerDict.values()]
        before = [(each, each.disabled) for each in known if isinstance(each, logging.Logger)]
        yield
        for logger, is_disabled in before:
            logger.disabled = is_disabled

    def configure_by_dict(self) -> None:
        logging.config.dictConfig(
            {
                "version": 1,
                "handlers": {"out": {"class": "mozlog_py.MozlogHandler"}},
                "root": {"level": "INFO", "handlers": ["out"]},
            }
        )

    def configure_by_file(self) -> None:
        logging.config.fileConfig(
            io.StringIO(
                "[loggers]\nkeys=root\n[handlers]\nkeys=out\n[formatters]\nkeys=\n"
                "[logger_root]\nlevel=INFO\nhandlers=out\n"
                "[handler_out]\nclass=mozlog_py.MozlogHandler\nargs=()\n"
            )
        )

    @pytest.mark.parametrize("way", ["dict", "file"])
    def test_records_of_taken_over_loggers_are_written_by_the_new_handler(
        self, way: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        take_over()
        getattr(self, f"configure_by_{way}")()
        for name in self.NAMES:
            logging.getLogger(name).error("said by %s", name)
        assert [line["Fields"]["msg"] for line in lines(capsys)] == [
            f"said by {name}" for name in self.NAMES
        ]

    def test_logger_that_the_application_disables_stays_disabled(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        take_over()
        logging.getLogger("waitress").disabled = True
        self.configure_by_dict()
        logging.getLogger("waitress").error("not wanted")
        logging.getLogger("waitress").disabled = False
        logging.getLogger("waitress").error("wanted")
        assert [line["Fields"]["msg"] for line in lines(capsys)] == ["wanted"]


class TestDictConfig:
    """The configuration alone, as a server applies it."""

    def test_a_level_for_an_access_log_does_not_lose_its_records(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        # As gunicorn does before it applies the configuration.
        logging.getLogger("gunicorn.access").propagate = False
        logging.config.dictConfig(
            mozlog_py.dict_config(format="mozlog", loggers={"gunicorn.access": "DEBUG"})
        )
        logging.getLogger("gunicorn.access").debug("%(r)s", Atoms(GUNICORN))
        (line,) = lines(capsys)
        assert line["Fields"] == {**FULL, "t": 2, "agent": "agent"}

    def test_dict_config_applied_again_adds_no_filter(self) -> None:
        for _ in range(3):
            logging.config.dictConfig(mozlog_py.dict_config(format="mozlog"))
            take_over()
        for name in SERVER_LOGGERS:
            assert len(logging.getLogger(name).filters) == 1, name

    def test_dict_config_is_the_same_from_a_file(self) -> None:
        config = mozlog_py.dict_config(format="mozlog")
        assert json.loads(json.dumps(config)) == config


class TestCelery:
    def test_celery_is_told_when_it_is_imported_later(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == "celery"]:
            monkeypatch.delitem(sys.modules, name)
        take_over()
        (finder,) = [
            found
            for found in sys.meta_path
            if type(found) is _Finder and found.name == "celery.signals"
        ]
        assert finder.find_spec("celery") is None
        signals = importlib.import_module("celery.signals")
        assert signals.setup_logging.send(sender=None) == [(tasks._logging_is_set_up, None)]
        assert finder not in sys.meta_path

    def test_celery_is_told_once_when_it_is_there(self) -> None:
        signals = importlib.import_module("celery.signals")
        finders = sys.meta_path[:]
        take_over()
        take_over()
        try:
            assert signals.setup_logging.send(sender=None) == [(tasks._logging_is_set_up, None)]
        finally:
            signals.setup_logging.disconnect(dispatch_uid="mozlog_py")
        added = [finder for finder in sys.meta_path if finder not in finders]
        assert not any(type(one) is _Finder and one.name == "celery.signals" for one in added)


class TestErrorRecords:
    @pytest.mark.parametrize("name", ["daphne.server", "gunicorn.error", "uvicorn.error"])
    def test_error_records_have_the_id_of_the_exception_and_not_that_of_the_context(
        self, name: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure()
        error = ValueError("x")
        attach_request_id(error, "r1")
        # As in daphne, whose timer runs in the context of some request.
        mozlog_py.context.request_id_context.set("another")
        logger = logging.getLogger(name)
        logger.error("boom", exc_info=error)
        logger.error("boom", exc_info=ValueError("of no request"))
        logger.error("boom", exc_info=error, extra={"rid": "own"})
        shown = [line["Fields"]["rid"] for line in lines(capsys)]
        assert shown == ["r1", "another", "own"]

    def test_error_records_of_granian_have_the_id_of_the_request_that_failed_last(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure()
        text = (
            "Application callable raised an exception\n"
            "Traceback (most recent call last):\n"
            '  File "app.py", line 1, in app\n'
            "ValueError: x"
        )
        logger = logging.getLogger("_granian.utils")
        for error in (ValueError("x"), KeyError("x"), None):
            if error is not None:
                attach_request_id(error, "r1")
            logger.error(text)
        attach_request_id(ValueError("x"), "r1")
        mozlog_py.context.request_id_context.set("r2")
        logger.error(text)
        assert [line["Fields"].get("rid") for line in lines(capsys)] == ["r1", None, None, "r2"]


def test_a_query_for_the_spec_leaves_the_call_to_the_import(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    seen: list[Any] = []
    call_when_imported("colorsys", seen.append)
    assert importlib.util.find_spec("colorsys") is not None
    assert seen == []
    module = importlib.import_module("colorsys")
    assert seen == [module]
    monkeypatch.delitem(sys.modules, "colorsys")
    importlib.import_module("colorsys")
    assert seen == [module]


SETTINGS = """
import mozlog_py
DEBUG, SECRET_KEY, ROOT_URLCONF = True, "k", "settings"
urlpatterns = []
%s
"""
DJANGO = """
import logging, django
django.setup()
logger = logging.getLogger("django")
logging.getLogger("django.request").error("broken")
logging.getLogger("django.server").info("unheard")
logging.getLogger("django.server").warning("heard")
names = sorted(type(one).__name__ for one in logger.handlers)
assert names == ["AdminEmailHandler", "NullHandler"], names
"""


@pytest.mark.processes
@pytest.mark.parametrize(
    ("settings", "heard"),
    [
        ("LOGGING = mozlog_py.dict_config('shop', format='mozlog')", ["unheard", "heard"]),
        (
            "LOGGING = mozlog_py.dict_config('shop', loggers={'django.server': 'WARNING'})",
            ["heard"],
        ),
        (
            "mozlog_py.configure('shop', format='mozlog', loggers={'django.server': 'WARNING'})",
            ["heard"],
        ),
        (
            "mozlog_py.configure('shop', format='mozlog', loggers={'django': 'CRITICAL'})",
            ["unheard", "heard"],
        ),
    ],
)
def test_settings_of_django_keep_its_mail_and_their_levels_and_no_console(
    tmp_path: Path, settings: str, heard: list[str]
) -> None:
    (tmp_path / "settings.py").write_text(SETTINGS % settings)
    done = subprocess.run(
        [sys.executable, "-c", DJANGO],
        cwd=tmp_path, capture_output=True, timeout=60,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, done.stderr.decode()) == (0, "")
    told = [line["Fields"]["msg"] for line in checked_lines(done.stdout)]
    broken = [] if "CRITICAL" in settings else ["broken"]
    assert told == [*broken, *heard]
