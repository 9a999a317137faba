"""A text that a client sent is logged, and happens to be a JSON object: it replaces no field.

Its members become Fields behind the others. One that clashes with a field of the call,
of the context or with a static one is kept as ``extra.<name>``.
"""

import io
import json
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from conformance import checked_lines

from dockerflow.asgi import DockerflowASGI
from dockerflow.summary import RequestSummary, add_fields
from dockerflow.wsgi import DockerflowWSGI
from mozlog_py import MozlogFormatter, MozlogHandler, context
from mozlog_py.gcp import CloudFormatter
from mozlog_py.processors import Redact, StaticFields, drop_none, merge_context
from mozlog_py.sink import Sink
from mozlog_py.structlog import (
    FastBoundLogger,
    MozlogRenderer,
    SinkLoggerFactory,
    processors,
)

STATIC = {"env": "prod"}
SENT = json.dumps({"rid": "FORGED", "env": "dev", "user": "admin", "n": 1, "note": "hi"})
#: The line of SENT in the request r1, with the user ann bound and n=7 given by the call.
TRUE = {"rid": "r1", "env": "prod", "user": "ann", "n": 7}
BESIDE = {"extra.rid": "FORGED", "extra.env": "dev", "extra.user": "admin", "extra.n": 1}
EXPECTED = {**TRUE, **BESIDE, "note": "hi"}


pytestmark = pytest.mark.usefixtures("unconfigured_structlog")


class Stepping(MozlogFormatter):
    """A hook, so that no record goes the fast way."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        return log_data


def by_handler(formatter: logging.Formatter, message: Any, **extra: Any) -> dict[str, Any]:
    stream = io.StringIO()
    handler = MozlogHandler(stream, "shop")
    handler.setFormatter(formatter)
    logger = logging.Logger("app", 1)
    logger.addHandler(handler)
    logger.warning(message, extra=extra)
    (line,) = checked_lines(stream.getvalue())
    return line


def by_chain(chain: list[Any], message: Any, **fields: Any) -> dict[str, Any]:
    stream = io.BytesIO()
    log = structlog.wrap_logger(structlog.BytesLogger(stream), processors=chain)
    log.warning(message, **fields)
    (line,) = checked_lines(stream.getvalue())
    return line


def by_fast_logger(message: Any, **fields: Any) -> dict[str, Any]:
    with tempfile.TemporaryFile(buffering=0) as file:
        factory = SinkLoggerFactory(Sink(file))
        chain = processors("shop", static_fields=STATIC)
        FastBoundLogger.at(1)(factory("app"), chain, {}).warning(message, **fields)
        file.seek(0)
        (line,) = checked_lines(file.read())
    return line


def by_structlog_over_logging(message: Any, **fields: Any) -> dict[str, Any]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    renderer = MozlogRenderer("shop", output="text", static_fields=STATIC)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[renderer], foreign_pre_chain=[structlog.stdlib.ExtraAdder()]
        )
    )
    logger = logging.Logger("app", 1)
    logger.addHandler(handler)
    logger.warning(message, extra=fields)
    (line,) = checked_lines(stream.getvalue())
    return line


FRONTS: dict[str, Callable[..., dict[str, Any]]] = {
    "formatter": lambda *a, **k: by_handler(MozlogFormatter(static_fields=STATIC), *a, **k),
    "formatter with a hook": lambda *a, **k: by_handler(Stepping(static_fields=STATIC), *a, **k),
    "formatter with processors": lambda *a, **k: by_handler(
        MozlogFormatter(static_fields=STATIC, processors=[drop_none]), *a, **k
    ),
    "gcp": lambda *a, **k: by_handler(CloudFormatter(static_fields=STATIC), *a, **k),
    "chain": lambda *a, **k: by_chain([MozlogRenderer("shop", static_fields=STATIC)], *a, **k),
    "chain with processors": lambda *a, **k: by_chain(
        processors("shop", before=[drop_none], static_fields=STATIC), *a, **k
    ),
    "chain of one's own": lambda *a, **k: by_chain(
        [merge_context, StaticFields(**STATIC), MozlogRenderer("shop", is_last_of_chain=True)],
        *a,
        **k,
    ),
    "chain that redacts": lambda *a, **k: by_chain(
        processors("shop", before=[Redact()], static_fields=STATIC), *a, **k
    ),
    "chain for a formatter with a hook": lambda *a, **k: by_chain(
        [MozlogRenderer(formatter=Stepping(logger_name="shop", static_fields=STATIC))], *a, **k
    ),
    "fast logger": by_fast_logger,
    "ProcessorFormatter": by_structlog_over_logging,
}


@pytest.fixture
def in_request() -> Iterator[None]:
    context.request_id_context.set("r1")
    with context.bound(user="ann"):
        yield


@pytest.mark.usefixtures("in_request")
class TestFronts:
    @pytest.mark.parametrize("front", FRONTS)
    def test_fronts_keep_what_the_call_the_context_and_the_service_say(self, front: str) -> None:
        assert FRONTS[front](SENT, n=7)["Fields"] == EXPECTED

    # structlog's ProcessorFormatter shows a dict as its repr.
    @pytest.mark.parametrize("front", sorted({*FRONTS} - {"ProcessorFormatter"}))
    def test_let_a_dict_win_which_the_call_itself_has_made(self, front: str) -> None:
        fields = FRONTS[front](json.loads(SENT))["Fields"]
        assert fields == json.loads(SENT)

    @pytest.mark.parametrize("front", FRONTS)
    def test_fronts_keep_what_structlog_has_bound(self, front: str) -> None:
        structlog.contextvars.bind_contextvars(tenant="t1")
        fields = FRONTS[front]('{"tenant": "t2"}')["Fields"]
        assert (fields["tenant"], fields["extra.tenant"]) == ("t1", "t2")

    @pytest.mark.parametrize("front", FRONTS)
    def test_fronts_take_no_level_name_or_time_from_it(self, front: str) -> None:
        forged = {"level": "debug", "logger": "other", "timestamp": 1.0, "level_number": 10}
        line = FRONTS[front](json.dumps(forged))
        type_ = "shop" if front.startswith("chain") else "app"
        assert (line["Type"], line["Severity"]) == (type_, 4)
        assert line["Timestamp"] > 10**18
        assert {name: line["Fields"][name] for name in forged} == forged

    def test_fronts_draw_the_true_ones_for_people(self) -> None:
        from mozlog_py.pretty import PrettyFormatter

        made = logging.LogRecord("app", 30, "", 1, SENT, (), None)
        made.n = 7
        text = PrettyFormatter(static_fields=STATIC).format(made)
        for part in ("r1", "extra.rid=FORGED", "env=prod", "extra.env=dev", "user=ann"):
            assert part in text.split()


@pytest.mark.usefixtures("in_request")
class TestOptions:
    def test_options_keep_a_default(self) -> None:
        formatter = MozlogFormatter(defaults={"tier": "web"})
        fields = by_handler(formatter, '{"tier": "forged"}')["Fields"]
        assert (fields["tier"], fields["extra.tier"]) == ("web", "forged")

    def test_options_keep_what_is_renamed(self) -> None:
        formatter = MozlogFormatter(rename_fields={"rid": "request_id"})
        fields = by_handler(formatter, '{"request_id": "FORGED"}')["Fields"]
        assert (fields["request_id"], fields["extra.request_id"]) == ("r1", "FORGED")

    def test_options_keep_the_time_that_was_asked_for(self) -> None:
        fields = by_handler(MozlogFormatter(timestamp=True), '{"Time": "never"}')["Fields"]
        assert fields["Time"] != "never"
        assert fields["extra.Time"] == "never"

    def test_redact_what_is_kept_beside_another_of_its_name(self) -> None:
        formatter = MozlogFormatter(processors=[Redact(["ssn"], patterns=["^pin$"])])
        sent = '{"ssn": "1-2", "pin": 34, "extra.pin": 56}'
        fields = by_handler(formatter, sent, ssn="5-6", pin=78)["Fields"]
        assert {"ssn", "extra.ssn", "pin", "extra.pin", "extra.pin_2"} <= fields.keys()
        assert {fields[name] for name in fields if "pin" in name or "ssn" in name} == {"[redacted]"}

    def test_redact_without_a_loss_of_digits_and_letters(self) -> None:
        sent = '{"token": "x", "n": 123456789012345678901234567890, "é": "\\u0000"}'
        fields = by_chain(processors("shop", before=[Redact()]), sent)["Fields"]
        assert fields["token"] == "[redacted]"
        assert (fields["n"], fields["é"]) == ("123456789012345678901234567890", "\x00")


class TestHooks:
    """Formatters of services, with hooks of their own."""

    class Adding(MozlogFormatter):
        def add_fields(self, log_data: Any, record: Any, message_dict: Any) -> None:
            super().add_fields(log_data, record, {**message_dict, "owner": "us"})

    class DirectWrite(MozlogFormatter):
        def add_fields(self, log_data: Any, record: Any, message_dict: Any) -> None:
            log_data.update(message_dict)
            log_data["owner"] = "us"

    class Shouting(MozlogFormatter):
        def add_fields(self, log_data: Any, record: Any, message_dict: Any) -> None:
            super().add_fields(log_data, record, {"msg": message_dict["msg"].upper()})

    @pytest.mark.parametrize("kind", [Adding, DirectWrite])
    def test_hooks_are_not_overruled(self, kind: Any) -> None:
        fields = by_handler(kind(), '{"owner": "them", "a": 1}')["Fields"]
        assert fields == {"owner": "us", "extra.owner": "them", "a": 1}

    def test_hooks_see_the_message_as_the_call_has_it(self) -> None:
        assert by_handler(self.Shouting(), '{"a": 1}')["Fields"] == {"msg": '{"A": 1}'}


class TestExceptions:
    @pytest.mark.parametrize(
        "front", ["formatter", "formatter with a hook", "chain", "fast logger"]
    )
    def test_exceptions_keep_their_fields(self, front: str) -> None:
        sent = '{"error": "none", "traceback": "none", "stack": "none", "msg": "inner"}'
        try:
            raise ValueError("true")
        except ValueError:
            if front.startswith("formatter"):
                formatter = MozlogFormatter() if front == "formatter" else Stepping()
                made = logging.LogRecord("app", 40, "", 1, sent, (), sys.exc_info())
                fields = json.loads(formatter.format(made))["Fields"]
            else:
                fields = FRONTS[front](sent, exc_info=True)["Fields"]
        assert fields["error"] == "ValueError('true')"
        assert fields["traceback"].startswith("Uncaught exception:\n")
        assert (fields["extra.error"], fields["extra.traceback"]) == ("none", "none")
        assert (fields["stack"], fields["msg"]) == ("none", "inner")


class TestSummaries:
    """The text of an exception is a client's as well: it holds what could not be read."""

    FORGED = json.dumps({"rid": "FORGED", "code": 200, "errno": 0, "method": "PUT"})

    @pytest.fixture
    def stream(self) -> Iterator[io.StringIO]:
        stream = io.StringIO()
        handler = MozlogHandler(stream, "shop")
        logger = logging.getLogger("request.summary")
        former = logger.handlers[:], logger.level, logger.propagate
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
        yield stream
        logger.handlers, logger.level, logger.propagate = former

    def assert_true(self, stream: io.StringIO) -> None:
        (line,) = checked_lines(stream.getvalue())
        fields = line["Fields"]
        assert (fields["rid"], fields["method"], fields["errno"]) == ("r1", "GET", 500)
        assert fields["code"] == 500
        assert line["Severity"] == 3

    def test_summaries_of_wsgi_keep_theirs(self, stream: io.StringIO) -> None:
        def application(environ: Any, start_response: Any) -> Any:
            raise ValueError(self.FORGED)

        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_X_REQUEST_ID": "r1"}
        with pytest.raises(ValueError, match="FORGED"):
            DockerflowWSGI(application)(environ, lambda *_: lambda _: None)
        self.assert_true(stream)

    def test_summaries_of_asgi_keep_theirs(self, stream: io.StringIO) -> None:
        import asyncio

        async def application(scope: Any, receive: Any, send: Any) -> None:
            raise ValueError(self.FORGED)

        async def main() -> None:
            scope = {"type": "http", "method": "GET", "path": "/",
                     "headers": [(b"x-request-id", b"r1")]}  # fmt: skip
            await DockerflowASGI(application)(scope, asyncio.sleep, asyncio.sleep)

        with pytest.raises(ValueError, match="FORGED"):
            asyncio.run(main())
        self.assert_true(stream)

    def test_summaries_whose_message_is_json_keep_what_was_added(self, stream: io.StringIO) -> None:
        def own_message(record: logging.LogRecord) -> bool:
            record.msg = self.FORGED
            return True

        logger = logging.getLogger("request.summary")
        logger.addFilter(own_message)
        request = RequestSummary()
        request.logger, request.method = logger, "GET"
        request.begin("r1")
        try:
            add_fields(cart=7)
            request.code = 503
            request.finish()
        finally:
            request.leave()
            logger.removeFilter(own_message)
        (line,) = checked_lines(stream.getvalue())
        fields = line["Fields"]
        assert (fields["rid"], fields["code"], fields["cart"]) == ("r1", 503, 7)
        assert (fields["extra.rid"], fields["extra.code"]) == ("FORGED", 200)
