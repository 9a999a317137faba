"""``parse_messages``: whether the members of a message that is JSON text become Fields."""

from __future__ import annotations

import io
import json
import logging
import logging.config
from collections.abc import Callable
from typing import Any

import pytest
import structlog
from conformance import checked_lines

import mozlog_py
from mozlog_py import MozlogFormatter, MozlogHandler, MozlogQueueHandler
from mozlog_py.gcp import CloudFormatter
from mozlog_py.pretty import PrettyFormatter
from mozlog_py.processors import Redact
from mozlog_py.sink import Sink
from mozlog_py.structlog import FastBoundLogger, MozlogRenderer, SinkLoggerFactory, processors

SENT = '{"user": "eve", "n": 1}'
#: What becomes of SENT where the call has given ``user="ann"``.
PARSED = {"user": "ann", "extra.user": "eve", "n": 1}
AS_TEXT = {"user": "ann", "msg": SENT}


def as_it_is(_: Any, __: str, event_dict: Any) -> Any:
    return event_dict


class Stepping(MozlogFormatter):
    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        return log_data


class Everything(MozlogFormatter):
    """A hook that takes any text for JSON."""

    def is_value_jsonlike(self, value: str) -> bool:
        return True


def by_logging(formatter: logging.Formatter, message: Any, kind: Any = MozlogHandler,
               **fields: Any) -> str:  # fmt: skip
    stream = io.StringIO()
    handler = kind(stream, "shop")
    handler.setFormatter(formatter)
    logger = logging.Logger("app", 1)
    logger.addHandler(handler)
    logger.warning(message, extra=fields)
    handler.close()
    return stream.getvalue()


def by_structlog(chain: list[Any], message: Any, **fields: Any) -> str:
    stream = io.BytesIO()
    log = structlog.wrap_logger(structlog.BytesLogger(stream), processors=chain)
    log.warning(message, **fields)
    return stream.getvalue().decode()


def by_fast_logger(chain: list[Any], message: Any, **fields: Any) -> str:
    stream = io.StringIO()
    factory = SinkLoggerFactory(Sink(stream))
    FastBoundLogger.at(1)(factory("app"), chain, {}).warning(message, **fields)
    return stream.getvalue()


def by_processor_formatter(message: Any, *, options: Any, **fields: Any) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    renderer = MozlogRenderer("shop", output="text", **options)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[renderer]))
    logger = logging.Logger("app", 1)
    logger.addHandler(handler)
    logger.warning(message, extra=fields)
    return stream.getvalue()


def wrapped(formatter: logging.Formatter, message: Any, **fields: Any) -> str:
    """Log by structlog's ``wrap_for_formatter`` over a handler of ours."""
    stream = io.StringIO()
    handler = MozlogHandler(stream)
    handler.setFormatter(formatter)
    logger = logging.Logger("app", 1)
    logger.addHandler(handler)
    log = structlog.wrap_logger(
        logger,
        processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    log.warning(message, **fields)
    return stream.getvalue()


FRONTS: dict[str, Callable[..., str]] = {
    "formatter": lambda o, *a, **k: by_logging(MozlogFormatter(**o), *a, **k),
    "formatter with a hook": lambda o, *a, **k: by_logging(Stepping(**o), *a, **k),
    "formatter with processors": lambda o, *a, **k: by_logging(
        MozlogFormatter(processors=[as_it_is], **o), *a, **k
    ),
    "formatter that takes any text": lambda o, *a, **k: by_logging(Everything(**o), *a, **k),
    "formatter that redacts": lambda o, *a, **k: by_logging(
        MozlogFormatter(processors=[Redact(["ssn"])], **o), *a, **k
    ),
    "gcp": lambda o, *a, **k: by_logging(CloudFormatter(**o), *a, **k),
    "queue": lambda o, *a, **k: by_logging(MozlogFormatter(**o), *a, kind=MozlogQueueHandler, **k),
    "chain": lambda o, *a, **k: by_structlog([MozlogRenderer("shop", **o)], *a, **k),
    "chain with processors": lambda o, *a, **k: by_structlog(
        processors("shop", before=[as_it_is], **o), *a, **k
    ),
    "chain for a formatter": lambda o, *a, **k: by_structlog(
        [MozlogRenderer(formatter=Stepping(**o))], *a, **k
    ),
    "fast logger": lambda o, *a, **k: by_fast_logger(processors("shop", **o), *a, **k),
    "ProcessorFormatter": lambda o, *a, **k: by_processor_formatter(*a, options=o, **k),
    "wrap_for_formatter": lambda o, *a, **k: wrapped(MozlogFormatter(**o), *a, **k),
}
CONFIGURED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "configure": lambda o: mozlog_py.configure("shop", format="mozlog", **o),
    "configure with a queue": lambda o: mozlog_py.configure(
        "shop", format="mozlog", queue=True, **o
    ),
    "configure for gcp": lambda o: mozlog_py.configure("shop", format="gcp", **o),
    "dict_config": lambda o: logging.config.dictConfig(
        mozlog_py.dict_config("shop", format="mozlog", **o)
    ),
}


def fields_of(text: str) -> dict[str, Any]:
    (line,) = checked_lines(text)
    fields = line["Fields"]
    assert isinstance(fields, dict)
    return fields


@pytest.mark.parametrize("front", FRONTS)
class TestFronts:
    def test_fronts_parse_as_they_always_did(self, front: str) -> None:
        for options in ({}, {"parse_messages": True}):
            assert fields_of(FRONTS[front](options, SENT, user="ann")) == PARSED

    def test_fronts_keep_the_text_where_they_are_told_to(self, front: str) -> None:
        shown = fields_of(FRONTS[front]({"parse_messages": False}, SENT, user="ann"))
        assert list(shown.items()) == [*AS_TEXT.items()]

    @pytest.mark.parametrize("text", ["{}", '{"msg": 1}', "{not}", "{", "}", "text"])
    def test_fronts_keep_any_text(self, front: str, text: str) -> None:
        assert fields_of(FRONTS[front]({"parse_messages": False}, text)) == {"msg": text}

    def test_fronts_keep_it_beside_an_exception(self, front: str) -> None:
        try:
            raise ValueError("x")
        except ValueError as error:
            if "chain" in front or front in ("fast logger", "wrap_for_formatter"):
                text = FRONTS[front]({"parse_messages": False}, SENT, exc_info=error)
                shown = fields_of(text)
            else:
                made = logging.LogRecord("a", 40, "", 1, SENT, (), (ValueError, error, None))
                kind = CloudFormatter if front == "gcp" else MozlogFormatter
                kind = Stepping if front == "formatter with a hook" else kind
                shown = json.loads(kind(parse_messages=False).format(made))["Fields"]
        assert (shown["msg"], shown["error"]) == (SENT, "ValueError('x')")


# structlog's ProcessorFormatter shows a dict as its repr.
@pytest.mark.parametrize("front", sorted({*FRONTS} - {"ProcessorFormatter"}))
def test_a_dict_that_is_the_message_is_the_calls_own_in_any_case(front: str) -> None:
    for options in ({}, {"parse_messages": False}):
        assert fields_of(FRONTS[front](options, json.loads(SENT))) == json.loads(SENT)


@pytest.mark.usefixtures("untouched_process")
@pytest.mark.parametrize("way", CONFIGURED)
@pytest.mark.parametrize(("options", "shown"), [({}, PARSED), ({"parse_messages": False}, AS_TEXT)])
def test_a_configuration_decides_for_logging_and_structlog(
    way: str, options: dict[str, Any], shown: dict[str, Any]
) -> None:
    stream = io.StringIO()
    CONFIGURED[way]({"stream": stream, **options})
    logging.getLogger("a").warning(SENT, extra={"user": "ann"})
    if way != "dict_config":
        structlog.get_logger("a").warning(SENT, user="ann")
    logging.getLogger().handlers[0].flush()
    for line in checked_lines(stream.getvalue()):
        assert line["Fields"] == shown


@pytest.mark.usefixtures("untouched_process")
def test_it_is_no_option_of_the_formatter_beside_a_parameter() -> None:
    with pytest.raises(TypeError, match="parameter of its own"):
        mozlog_py.dict_config(formatter_options={"parse_messages": False})


def test_people_see_the_text() -> None:
    text = PrettyFormatter(parse_messages=False).format(
        logging.LogRecord("app", 30, "", 1, SENT, (), None)
    )
    assert SENT in text
    assert "n=1" not in text
    parsed = PrettyFormatter().format(logging.LogRecord("app", 30, "", 1, SENT, (), None))
    assert "n=1" in parsed


def test_an_option_that_changes_later_is_heard() -> None:
    formatter = MozlogFormatter()
    made = logging.LogRecord("app", 30, "", 1, SENT, (), None)
    assert json.loads(formatter.format(made))["Fields"] == json.loads(SENT)
    formatter.parse_messages = False
    assert json.loads(formatter.format(made))["Fields"] == {"msg": SENT}
