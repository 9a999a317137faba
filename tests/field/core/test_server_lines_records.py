"""Records of servers in every front: as the server made them for others, fields in our lines."""

import io
import json
import logging
import logging.config
import pickle
import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from logging.handlers import QueueHandler, QueueListener, SocketHandler
from queue import SimpleQueue
from typing import Any

import pytest
import structlog
from conformance import checked_lines, fields, record

import mozlog_py
from mozlog_py import MozlogFormatter, MozlogHandler, MozlogQueueHandler, context
from mozlog_py._fields.server_records import CALL_ATTRIBUTE, READERS
from mozlog_py.gcp import CloudFormatter
from mozlog_py.pretty import PrettyFormatter
from mozlog_py.processors import Redact
from mozlog_py.servers import SERVER_LOGGERS
from mozlog_py.structlog import MozlogRenderer

pytestmark = pytest.mark.usefixtures("untouched_process", "query_strings")


class Atoms(dict[str, Any]):
    """As gunicorn and hypercorn have them: what is not there is a dash."""

    def __missing__(self, key: str) -> str:
        return "-"


ATOMS = Atoms(h="10.0.0.1", m="GET", U="/pay", q="", r="GET /pay HTTP/1.1", s="200", D=2345, a="-")
GRANIAN = {
    "addr": "10.0.0.1", "dt_ms": 2.9, "status": 200, "path": "/pay", "query_string": "",
    "method": "GET", "protocol": "HTTP/1.1",
}  # fmt: skip
DAPHNE = {
    "path": "/pay", "status": 200, "method": "GET", "client": "10.0.0.1:5", "time_taken": 0.0029,
    "size": 5,
}  # fmt: skip
SANIC = {
    "host": "10.0.0.1:5", "request": "GET http://shop/pay", "status": 200, "byte": 5,
    "duration": " 2.9ms",
}  # fmt: skip
AIOHTTP = {
    "remote_address": "10.0.0.1", "request_start_time": "[26/Nov/2026:00:00:00 +0000]",
    "first_request_line": "GET /pay HTTP/1.1", "response_status": 200, "response_size": 155,
    "request_header": {"Referer": "-", "User-Agent": "-"},
}  # fmt: skip
DJANGO = {"request": None, "server_time": "26/Nov/2026 00:00:00", "status_code": 200}
REQUEST = {"method": "GET", "path": "/pay", "code": 200}
#: What each server logs for a request: the template, the arguments, ``extra``, and the fields.
ACCESS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any], dict[str, Any]]] = {
    "uvicorn.access": (
        '%s - "%s %s HTTP/%s" %d', ("10.0.0.1:5", "GET", "/pay", "1.1", 200), {},
        {**REQUEST, "client": "10.0.0.1:5"},
    ),
    "gunicorn.access": (
        '%(h)s "%(r)s" %(s)s', (ATOMS,), {}, {**REQUEST, "t": 2, "client": "10.0.0.1"},
    ),
    "hypercorn.access": (
        '%(h)s "%(r)s" %(s)s', (ATOMS,), {}, {**REQUEST, "t": 2, "client": "10.0.0.1"},
    ),
    "granian.access": (
        '%(addr)s "%(method)s %(path)s %(protocol)s" %(status)d', (GRANIAN,), {},
        {**REQUEST, "t": 2, "client": "10.0.0.1"},
    ),
    "werkzeug": (
        '10.0.0.1 - - [26/Nov/2026 00:00:00] "%s" %s %s',
        ("\x1b[32mGET /pay HTTP/1.1\x1b[0m", "200", "-"), {}, {**REQUEST, "client": "10.0.0.1"},
    ),
    "django.server": ('"%s" %s %s', ("GET /pay HTTP/1.1", "200", "5"), DJANGO, REQUEST),
    "django.channels.server": (
        "\x1b[32mHTTP %(method)s %(path)s %(status)s\x1b[0m", (DAPHNE,), {},
        {**REQUEST, "t": 2, "client": "10.0.0.1:5"},
    ),
    "daphne.access": (
        '%(client)s - "%(method)s %(path)s" %(status)s', (DAPHNE,), {},
        {**REQUEST, "t": 2, "client": "10.0.0.1:5"},
    ),
    "sanic.access": ("", (), SANIC, {**REQUEST, "t": 2, "client": "10.0.0.1:5"}),
    "aiohttp.access": (
        '10.0.0.1 "GET /pay HTTP/1.1" 200', (), AIOHTTP, {**REQUEST, "client": "10.0.0.1"},
    ),
}  # fmt: skip
of_each_server = pytest.mark.parametrize("name", ACCESS)


@pytest.fixture(autouse=True)
def fresh_loggers() -> Iterator[None]:
    loggers = logging.Logger.manager.loggerDict
    former = {name: loggers.pop(name) for name in SERVER_LOGGERS if name in loggers}
    yield
    for name in SERVER_LOGGERS:
        loggers.pop(name, None)
    loggers.update(former)


def log(name: str) -> None:
    template, args, extra, _ = ACCESS[name]
    logging.getLogger(name).info(template, *args, extra=dict(extra))


def access_record(name: str) -> logging.LogRecord:
    template, args, extra, _ = ACCESS[name]
    return record(template, *args, name=name, **extra)


def configured(**options: Any) -> io.StringIO:
    stream = io.StringIO()
    mozlog_py.configure("shop", stream=stream, format="mozlog", **options)
    return stream


def shown(stream: io.StringIO) -> list[dict[str, Any]]:
    return [line["Fields"] for line in checked_lines(stream.getvalue())]


class Seeing(logging.Filter):
    """Keeps what it sees of records, and refuses those about a path."""

    def __init__(self, refused: str = "/never") -> None:
        super().__init__()
        self.refused = refused
        self.seen: list[tuple[Any, Any, str, set[str]]] = []

    def filter(self, record: logging.LogRecord) -> bool:
        names = {name for name in vars(record) if name != CALL_ATTRIBUTE}
        self.seen.append((record.msg, record.args, record.getMessage(), names))
        return self.refused not in record.getMessage()


class TestFiltersOfTheApplication:
    @pytest.mark.parametrize("when", ["before", "after"])
    @of_each_server
    def test_filters_of_the_application_see_a_record_as_the_server_made_it(
        self, name: str, when: str
    ) -> None:
        seeing = Seeing()
        if when == "before":
            logging.getLogger(name).addFilter(seeing)
        stream = configured()
        if when == "after":
            logging.getLogger(name).addFilter(seeing)
        log(name)
        made = access_record(name)
        ((msg, args, sentence, names),) = seeing.seen
        assert (msg, args, sentence) == (made.msg, made.args, made.getMessage())
        assert names == set(vars(made))
        assert shown(stream) == [ACCESS[name][3]]

    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize("name", [name for name in ACCESS if name != "sanic.access"])
    def test_filters_of_the_application_refuse_a_record_by_its_sentence(
        self, name: str, when: str
    ) -> None:
        if when == "before":
            logging.getLogger(name).addFilter(Seeing("/pay"))
        stream = configured()
        if when == "after":
            logging.getLogger(name).addFilter(Seeing("/pay"))
        log(name)
        assert stream.getvalue() == ""

    def test_filters_of_the_application_refuse_a_record_by_an_argument_and_other_requests_are_lines(
        self,
    ) -> None:
        stream = configured()
        logger = logging.getLogger("uvicorn.access")
        logger.addFilter(lambda record: record.args[2] != "/ready")  # type: ignore[index]
        for path in ("/ready", "/pay"):
            logger.info('%s - "%s %s HTTP/%s" %d', "a:1", "GET", path, "1.1", 200)
        assert [one["path"] for one in shown(stream)] == ["/pay"]

    def test_filters_of_the_application_that_replace_an_argument_hide_it_in_our_fields_too(
        self,
    ) -> None:
        stream = configured()
        logger = logging.getLogger("uvicorn.access")

        def hide(record: logging.LogRecord) -> bool:
            client, method, target, *further = record.args  # type: ignore[misc]
            record.args = (client, method, target.partition("?")[0], *further)
            return True

        logger.addFilter(hide)
        logger.info('%s - "%s %s HTTP/%s" %d', "a:1", "GET", "/pay?token=t", "1.1", 200)
        assert shown(stream) == [{"method": "GET", "path": "/pay", "code": 200, "client": "a:1"}]

    def test_filters_of_the_application_that_replace_the_sentence_have_it_in_our_line(self) -> None:
        stream = configured()

        def replace(record: logging.LogRecord) -> bool:
            record.msg, record.args = "a request", ()
            return True

        logging.getLogger("uvicorn.access").addFilter(replace)
        log("uvicorn.access")
        assert shown(stream) == [{"msg": "a request"}]

    def test_filters_of_the_application_that_add_a_field_have_it_beside_ours_and_in_place_of_them(
        self,
    ) -> None:
        stream = configured()

        def add(record: logging.LogRecord) -> bool:
            record.zone, record.client = "eu", "hidden"
            return True

        logging.getLogger("uvicorn.access").addFilter(add)
        log("uvicorn.access")
        assert shown(stream) == [{**REQUEST, "zone": "eu", "client": "hidden"}]

    @of_each_server
    def test_other_handlers_at_the_root_see_the_sentence_before_and_after_ours(
        self, name: str
    ) -> None:
        seeing, seeing_first = Seeing(), Seeing()
        stream = configured()
        for which, at in ((seeing_first, 0), (seeing, 2)):
            handler = logging.Handler()
            handler.emit = which.filter  # type: ignore[method-assign, assignment]
            logging.getLogger().handlers.insert(at, handler)
        log(name)
        sentence = access_record(name).getMessage()
        assert [seen[2] for seen in (*seeing_first.seen, *seeing.seen)] == [sentence] * 2
        assert shown(stream) == [ACCESS[name][3]]


class Stepping(MozlogFormatter):
    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        return log_data


class Converting(MozlogFormatter):
    def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
        return super().convert_record(record)


FORMATTERS = {
    "plain": MozlogFormatter(),
    "hook": Stepping(),
    "convert_record": Converting(),
    "processors": MozlogFormatter(processors=[Redact()]),
    "timestamp": MozlogFormatter(timestamp="at", rename_fields={"at": "at"}),
    "gcp": CloudFormatter(),
    "strict": MozlogFormatter(strict=True),
}


class TestFormatters:
    @pytest.mark.parametrize("kind", FORMATTERS)
    @of_each_server
    def test_formatters_make_fields_of_a_record_and_do_not_change_it(
        self, name: str, kind: str
    ) -> None:
        made = access_record(name)
        before = dict(vars(made))
        got = fields(FORMATTERS[kind], made)
        got.pop("at", None)
        assert got == ACCESS[name][3]
        assert vars(made) == before

    @of_each_server
    def test_formatters_for_people_show_fields_without_escapes(self, name: str) -> None:
        text = PrettyFormatter().format(access_record(name))
        assert re.search(r" (GET|POST|PUT) +/pay\b", text)
        assert "\\x1b" not in text

    def test_formatters_of_a_users_own_configuration_make_fields(self) -> None:
        stream = io.StringIO()
        logging.config.dictConfig(
            {
                "version": 1,
                "disable_existing_loggers": False,
                "formatters": {"mozlog": {"()": "mozlog_py.MozlogFormatter"}},
                "handlers": {
                    "out": {
                        "class": "logging.StreamHandler", "formatter": "mozlog", "stream": stream,
                    }
                },
                "loggers": {name: {"handlers": ["out"], "level": "INFO"} for name in ACCESS},
            }
        )  # fmt: skip
        for name in ACCESS:
            log(name)
        assert shown(stream) == [expected for *_, expected in ACCESS.values()]

    @pytest.mark.parametrize("options", [{}, {"pass_foreign_args": True}])
    @of_each_server
    def test_formatters_behind_structlogs_formatter_make_fields(
        self, name: str, options: dict[str, bool]
    ) -> None:
        configured()
        formatter = structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
            processors=[MozlogRenderer("shop", output="text")],
            **options,
        )
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter)
        logging.getLogger().handlers = [handler]
        log(name)
        assert shown(stream) == [ACCESS[name][3]]

    @of_each_server
    def test_formatters_keep_the_request_id_of_the_context(self, name: str) -> None:
        context.request_id_context.set("r1")
        assert fields(MozlogFormatter(), access_record(name)) == {**ACCESS[name][3], "rid": "r1"}

    def test_formatters_of_a_record_of_another_class_make_fields(self) -> None:
        class Own(logging.LogRecord):
            pass

        made = Own("uvicorn.access", 20, "", 0, *ACCESS["uvicorn.access"][:2], None)
        assert fields(MozlogFormatter(), made) == ACCESS["uvicorn.access"][3]

    @pytest.mark.parametrize("name", READERS)
    @pytest.mark.parametrize("args", [(), ("a",), ("a", "b", "c"), ({"a": 1},), (None,)])
    def test_formatters_never_raise_for_another_form(self, name: str, args: Any) -> None:
        template = " ".join("%s" for _ in args) if type(args[:1]) is not dict else "%(a)s"
        made = record(template, *args, name=name)
        expected = made.getMessage()
        assert fields(MozlogFormatter(), made) == ({"msg": expected} if expected else {})

    @pytest.mark.parametrize("name", READERS)
    def test_formatters_show_arguments_that_raise(self, name: str) -> None:
        class Broken:
            def __str__(self) -> str:
                raise RuntimeError

            __repr__ = __str__

        got = fields(MozlogFormatter(), record("%s %s", "a", Broken(), name=name))
        assert got["msg"].startswith("%s %s ('a', <unprintable")

    def test_formatters_raise_an_interrupt_of_an_argument_after_the_line(self) -> None:
        class Stopping:
            def __str__(self) -> str:
                raise KeyboardInterrupt

        stream = io.StringIO()
        logger = logging.Logger("werkzeug")
        logger.addHandler(MozlogHandler(stream))
        with pytest.raises(KeyboardInterrupt):
            logger.info("%s", Stopping())
        assert len(checked_lines(stream.getvalue())) == 1


class TestOtherProcessesAndThreads:
    @of_each_server
    def test_our_queue_has_fields(self, name: str) -> None:
        stream = configured(queue=True)
        log(name)
        (handler,) = logging.getLogger().handlers
        assert isinstance(handler, MozlogQueueHandler)
        handler.flush()
        assert shown(stream) == [ACCESS[name][3]]

    @of_each_server
    def test_other_processes_and_threads_behind_the_queue_of_the_standard_library_there_are_fields(
        self, name: str
    ) -> None:
        stream = configured()
        (ours,) = logging.getLogger().handlers
        queue: SimpleQueue[Any] = SimpleQueue()
        logging.getLogger().handlers = [QueueHandler(queue)]
        listener = QueueListener(queue, ours)
        listener.start()
        log(name)
        listener.stop()
        assert shown(stream) == [ACCESS[name][3]]

    def test_a_sentence_that_a_filter_has_changed_is_kept_behind_a_queue(self) -> None:
        stream = configured()
        (ours,) = logging.getLogger().handlers
        queue: SimpleQueue[Any] = SimpleQueue()
        logging.getLogger().handlers = [QueueHandler(queue)]

        def hide(record: logging.LogRecord) -> bool:
            record.args = ("hidden", *record.args[1:])  # type: ignore[index]
            return True

        logging.getLogger("uvicorn.access").addFilter(hide)
        log("uvicorn.access")
        ours.handle(queue.get_nowait())
        assert shown(stream) == [{"msg": 'hidden - "GET /pay HTTP/1.1" 200'}]

    @of_each_server
    def test_a_pickled_record_is_of_plain_values_and_has_fields(self, name: str) -> None:
        received: list[bytes] = []

        class Server(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                size = int.from_bytes(self.rfile.read(4), "big")
                received.append(self.rfile.read(size))

        with socketserver.TCPServer(("127.0.0.1", 0), Server) as server:
            thread = threading.Thread(target=server.handle_request)
            thread.start()
            configured()
            sending = SocketHandler(*server.server_address)  # type: ignore[arg-type]
            logging.getLogger().handlers = [sending]
            log(name)
            sending.close()
            thread.join()
        assert b"mozlog_py" not in received[0].replace(b"mozlog_py/", b"")
        made = logging.makeLogRecord(pickle.loads(received[0]))
        assert fields(MozlogFormatter(), made) == ACCESS[name][3]

    def test_other_formatters_behind_a_queue_see_the_sentence(self) -> None:
        configured()
        queue: SimpleQueue[Any] = SimpleQueue()
        logging.getLogger().handlers = [QueueHandler(queue)]
        log("uvicorn.access")
        text = logging.Formatter("%(message)s").format(queue.get_nowait())
        assert text == '10.0.0.1:5 - "GET /pay HTTP/1.1" 200'


class TestEscapesAndSockets:
    @pytest.mark.parametrize("name", READERS)
    def test_escapes_and_sockets_never_get_into_a_line(self, name: str) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            made = record(
                "\x1b[1m\x1b[31mstarting %s\x1b[0m", "\x1b]0;title\x07now", name=name,
                note="\x1b[38;2;255;13;104mred\x1b[0m", request=ours, other=Gevents(), n=1,
            )  # fmt: skip
            got = fields(MozlogFormatter(), made)
        assert got == {"note": "red", "n": 1, "msg": "starting now"}

    def test_escapes_and_sockets_of_other_loggers_stay_as_they_are(self) -> None:
        got = fields(MozlogFormatter(), record("\x1b[1mown\x1b[0m", name="werkzeug.own"))
        assert got == {"msg": "\x1b[1mown\x1b[0m"}

    def test_escapes_and_sockets_of_a_second_message_are_left_out(self) -> None:
        made = record("hello", name="uvicorn.error", color_message="\x1b[1mhello\x1b[0m")
        assert fields(MozlogFormatter(), made) == {"msg": "hello"}
        assert "color_message" in vars(made)

    @pytest.mark.parametrize("code", ["101", "200", "304", "302", "404", "403", "500", "-"])
    def test_escapes_and_sockets_of_werkzeugs_statuses_are_left_out(self, code: str) -> None:
        from werkzeug.serving import WSGIRequestHandler

        stream = configured()
        handler: Any = WSGIRequestHandler.__new__(WSGIRequestHandler)
        handler.command, handler.path, handler.request_version = "GET", "/a?b=1", "HTTP/1.1"
        handler.client_address = ("fe80::1%eth0", 5)
        handler.log_request(code)
        (got,) = shown(stream)
        expected = {"method": "GET", "path": "/a", "querystring": "b=1", "client": "fe80::1%eth0"}
        assert got == (expected if code == "-" else {**expected, "code": int(code)})


class Gevents:
    """A socket as gevent has them: of no class that the standard library has."""

    def getpeername(self) -> None:
        """Be there, as in each socket."""


class TestOtherRecords:
    @pytest.mark.parametrize("name", ["werkzeug", "daphne.server", "_granian.utils"])
    def test_the_text_of_a_traceback_is_fields(self, name: str) -> None:
        text = "Traceback (most recent call last):\n  File x\nValueError: boom\n"
        got = fields(MozlogFormatter(), record(f"Error on request:\n{text}", name=name))
        assert got == {
            "msg": "Error on request:",
            "error": "ValueError: boom",
            "traceback": "Uncaught exception:\n  File x\nValueError: boom\n",
        }
        assert "msg" not in fields(MozlogFormatter(), record(text, name=name))

    def test_the_words_of_djangos_server_are_kept_without_its_socket(self) -> None:
        stream = configured()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            extra = {**DJANGO, "request": ours}
            logging.getLogger("django.server").info("- Broken pipe from %s", "a", extra=extra)
        assert shown(stream) == [{"status_code": 200, "msg": "- Broken pipe from a"}]

    def test_a_websocket_of_sanic_is_one_line(self) -> None:
        stream = configured()
        extra = {
            "status": 1000, "byte": "NORMAL from client", "host": "a:1", "duration": "",
            "request": " \N{ELECTRIC PLUG} ws://shop/feed",
        }  # fmt: skip
        logging.getLogger("sanic.access").info("CLOSE", extra=extra)
        assert shown(stream) == [{**extra, "msg": "CLOSE"}]

    def test_a_client_of_sanic_that_has_gone_is_told(self) -> None:
        stream = configured()
        logging.getLogger("sanic.access").info("", extra={**SANIC, "byte": "DISCONNECTED"})
        assert shown(stream)[0]["byte"] == "DISCONNECTED"

    def test_the_verbosity_of_sanic_is_left_out(self) -> None:
        stream = configured()
        logging.getLogger("sanic.root").info("hello", extra={"verbosity": 1})
        assert shown(stream) == [{"msg": "hello"}]

    def test_what_a_format_of_aiohttp_asks_for_beside_is_kept(self) -> None:
        stream = configured()
        extra = {
            **AIOHTTP, "request_time_micro": "2900", "response_header": {"X-A": "b"},
            "request_header": {"User-Agent": "curl", "X-C": "d"},
        }  # fmt: skip
        logging.getLogger("aiohttp.access").info("a sentence", extra=extra)
        assert shown(stream) == [
            {
                **REQUEST, "t": 2, "agent": "curl", "client": "10.0.0.1",
                "request_header": {"X-C": "d"}, "response_header": {"X-A": "b"},
            }
        ]  # fmt: skip

    def test_lines_are_the_same_as_their_converted_records(self) -> None:
        formatter = MozlogFormatter()
        for name in ACCESS:
            made = access_record(name)
            assert json.loads(formatter.format(made)) == formatter.convert_record(made)
