"""The order of Fields, which is the same in every front and on every way.

Static fields come first, then the context, what is bound to the logger, and the call's
own fields in the order in which they were given; then the message and the exception;
then the members of a message that is JSON text. A name that comes again keeps its place.
"""

from __future__ import annotations

import io
import json
import logging
import tempfile
from collections.abc import Callable
from typing import Any

import pytest
import structlog
from conformance import checked_lines
from hypothesis import given
from hypothesis import strategies as st

from mozlog_py import MozlogFormatter, MozlogHandler, MozlogQueueHandler, context
from mozlog_py.gcp import CloudFormatter
from mozlog_py.processors import StaticFields, merge_context
from mozlog_py.sink import Sink
from mozlog_py.structlog import FastBoundLogger, MozlogRenderer, SinkLoggerFactory, processors

Fields = dict[str, Any]
#: Renders a warning: static fields, fields bound to the logger, the message, the call's
#: fields, and whether the exception that is being handled belongs to it.
Front = Callable[[Fields, Fields, str, Fields, bool], bytes]


def as_it_is(_: Any, __: str, event_dict: Any) -> Any:
    return event_dict


class Stepping(MozlogFormatter):
    """A hook, so that no record goes the fast way."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        return log_data


def by_logging(kind: Any, static: Fields, bound: Fields, message: str, call: Fields, raised: bool,
               handler_kind: Any = MozlogHandler, **options: Any) -> bytes:  # fmt: skip
    stream = io.StringIO()
    handler = handler_kind(stream, "shop")
    handler.setFormatter(kind(static_fields=static, **options))
    logger = logging.Logger("app", 1)
    logger.addHandler(handler)
    # What is bound to a logger of structlog is in front of the call's own here as well.
    logger.warning(message, extra={**bound, **call}, exc_info=raised)
    handler.close()
    return stream.getvalue().encode()


def by_chain(
    chain: list[Any], bound: Fields, message: str, call: Fields, raised: bool, is_ours: bool = False
) -> bytes:
    stream = io.BytesIO()
    log: Any
    if is_ours:
        log = FastBoundLogger.at(1)(structlog.BytesLogger(stream), chain, {})
    else:
        log = structlog.wrap_logger(structlog.BytesLogger(stream), processors=chain)
    if bound:
        log = log.bind(**bound)
    log.warning(message, **call, **({"exc_info": True} if raised else {}))
    return stream.getvalue()


def by_fast_logger(
    static: Fields, bound: Fields, message: str, call: Fields, raised: bool
) -> bytes:
    with tempfile.TemporaryFile(buffering=0) as file:
        chain = processors("shop", static_fields=static)
        log: Any = FastBoundLogger.at(1)(SinkLoggerFactory(Sink(file))("app"), chain, {})
        log = log.bind(**bound) if bound else log
        log.warning(message, **call, **({"exc_info": True} if raised else {}))
        file.seek(0)
        return file.read()


def by_processor_formatter(
    pre_chain: list[Any], static: Fields, bound: Fields, message: str, call: Fields, raised: bool
) -> bytes:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    renderer = MozlogRenderer("shop", output="text", static_fields=static)
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[renderer], foreign_pre_chain=pre_chain
    )
    handler.setFormatter(formatter)
    logger = logging.Logger("app", 1)
    logger.addHandler(handler)
    logger.warning(message, extra={**bound, **call}, exc_info=raised)
    return stream.getvalue().encode()


def own_chain(static: Fields) -> list[Any]:
    last = MozlogRenderer("shop", is_last_of_chain=True)
    return [merge_context, StaticFields(**static), last] if static else [merge_context, last]


FRONTS: dict[str, Front] = {
    "formatter": lambda *a: by_logging(MozlogFormatter, *a),
    "formatter with a hook": lambda *a: by_logging(Stepping, *a),
    "formatter with processors": lambda *a: by_logging(MozlogFormatter, *a, processors=[as_it_is]),
    "gcp": lambda *a: by_logging(CloudFormatter, *a),
    "queue": lambda *a: by_logging(MozlogFormatter, *a, handler_kind=MozlogQueueHandler),
    "chain": lambda s, *a: by_chain([MozlogRenderer("shop", static_fields=s)], *a),
    "chain of the fast logger": lambda s, *a: by_chain(
        [as_it_is, MozlogRenderer("shop", static_fields=s)], *a, is_ours=True
    ),
    "chain with processors": lambda s, *a: by_chain(
        processors("shop", before=[as_it_is], static_fields=s), *a
    ),
    "chain of one's own": lambda s, *a: by_chain(own_chain(s), *a),
    "chain for a formatter with a hook": lambda s, *a: by_chain(
        [MozlogRenderer(formatter=Stepping(static_fields=s))], *a
    ),
    "fast logger": by_fast_logger,
    "ProcessorFormatter": lambda *a: by_processor_formatter([], *a),
    "ProcessorFormatter with ExtraAdder": lambda *a: by_processor_formatter(
        [structlog.stdlib.ExtraAdder()], *a
    ),
}

NAMES = [*"abcdefgh", "uid", "rid"]
VALUES = st.sampled_from(["text", "ž", 7, True, 0.5]) | st.sampled_from([None, float("nan"), [1]])


def fields(most: int, values: Any = VALUES, more: tuple[str, ...] = ()) -> Any:
    names = st.sampled_from([*NAMES, *more])
    return st.lists(st.tuples(names, values), max_size=most).map(dict)


STATIC = fields(2, st.sampled_from(["prod", 3]))
CALL = fields(10, more=("logger_name",))
MESSAGES = st.sampled_from(["paid", "", "ž\x7f", '{"a": 1, "z": 2, "y": 3}', '{"z": 1', "}"])


def expected(
    static: Fields, around: Fields, bound: Fields, message: str, call: Fields, raised: bool
) -> list[str]:
    """Return the names of a line's Fields in their order."""
    merged = {**static, **around, **bound, **call}
    names = [name for name, value in merged.items() if value is not None]
    members = {} if message[-1:] != "}" or message == "}" else json.loads(message)
    if message and not members:
        names.append("msg")
    if raised:
        names += ["error", "traceback"]
    return names + [f"extra.{name}" if name in merged else name for name in members]


class TestOrder:
    @given(STATIC, fields(2), fields(3), MESSAGES, CALL, st.booleans())
    def test_order_is_that_of_the_call_in_every_front(
        self, static: Fields, around: Fields, bound: Fields, message: str, call: Fields,
        raised: bool,
    ) -> None:  # fmt: skip
        names = expected(static, around, bound, message, call, raised)
        for front, render in FRONTS.items():
            with context.bound(**around):
                try:
                    raise ValueError("x")
                except ValueError:
                    text = render(static, bound, message, call, raised)
            (line,) = checked_lines(text)
            assert list(line["Fields"]) == names, front

    @pytest.mark.parametrize("front", FRONTS)
    @pytest.mark.parametrize("count", [1, 2, 3, 8, 500])
    def test_order_is_kept_of_any_number_of_fields(self, front: str, count: int) -> None:
        call = {f"f{number * 7919 % 1009}": number for number in range(count)}
        (line,) = checked_lines(FRONTS[front]({}, {}, "m", call, False))
        assert list(line["Fields"].items()) == [*call.items(), ("msg", "m")]

    @pytest.mark.parametrize("front", sorted({*FRONTS} - {"chain", "fast logger"}))
    def test_order_puts_the_context_before_what_is_bound_to_the_logger(self, front: str) -> None:
        with context.bound(user="ann"):
            (line,) = checked_lines(FRONTS[front]({"env": "x"}, {"job": 1}, "m", {"n": 2}, False))
        assert list(line["Fields"]) == ["env", "user", "job", "n", "msg"]

    @pytest.mark.parametrize("front", FRONTS)
    @pytest.mark.parametrize("bound", [{}, {"job": 1}])
    @pytest.mark.parametrize("is_raised", [False, True])
    def test_order_has_a_request_id_of_the_call_in_its_place_whatever_else_the_context_has(
        self, front: str, bound: Fields, is_raised: bool
    ) -> None:
        structlog.contextvars.bind_contextvars(zone="eu")
        structlog.contextvars.unbind_contextvars("zone")
        context.request_id_context.set("r1")
        with context.bound(**bound):
            try:
                raise ValueError("x")
            except ValueError:
                call = {"path": "/", "rid": "r1", "code": 200}
                (line,) = checked_lines(FRONTS[front]({}, {}, "m", call, is_raised))
        end = ["msg", "error", "traceback"] if is_raised else ["msg"]
        assert list(line["Fields"]) == [*bound, *call, *end]

    def test_order_has_the_id_of_an_exceptions_request_in_front_of_the_message(self) -> None:
        from mozlog_py._fields.late_request_ids import attach_request_id

        error = ValueError("x")
        attach_request_id(error, "r1")
        for kind in (MozlogFormatter, Stepping):
            made = logging.LogRecord("app", 40, "", 1, "m", (), (ValueError, error, None))
            made.n = 1
            shown = json.loads(kind().format(made))["Fields"]
            assert list(shown) == ["n", "rid", "msg", "error", "traceback"]

    @pytest.mark.parametrize("kind", [MozlogFormatter, Stepping])
    def test_order_keeps_a_logger_name_of_the_call_in_its_place(self, kind: Any) -> None:
        call = {"a": 1, "logger_name": "own", "b": 2}
        (line,) = checked_lines(by_logging(kind, {}, {}, "m", call, False))
        assert list(line["Fields"].items()) == [*call.items(), ("msg", "m")]
        made = logging.LogRecord("app", 20, "", 1, "m", (), None)
        vars(made).update(call)
        assert list(json.loads(kind().format(made))["Fields"].items()) == [
            *call.items(), ("msg", "m"),
        ]  # fmt: skip

    @pytest.mark.parametrize("kind", [MozlogFormatter, Stepping])
    def test_order_is_not_changed_by_what_another_formatter_leaves(self, kind: Any) -> None:
        made = logging.LogRecord("app", 20, "", 1, "m", (), None)
        vars(made).update(b=1, a=2)
        logging.Formatter("%(asctime)s").format(made)
        vars(made).update(z=3, c=4)
        assert list(json.loads(kind().format(made))["Fields"]) == ["b", "a", "z", "c", "msg"]

    @pytest.mark.parametrize("count", [0, 1, 2])
    def test_order_takes_no_record_for_plain_that_lacks_an_attribute(self, count: int) -> None:
        for name in ("exc_text", "process", "levelno"):
            made = logging.LogRecord("app", 20, "", 1, "m", (), None)
            del vars(made)[name]
            extra = {f"f{number}": number for number in range(count)}
            vars(made).update(extra)
            shown = json.loads(MozlogFormatter().format(made))["Fields"]
            assert list(shown.items()) == [*extra.items(), ("msg", "m")]


def test_a_field_called_event_is_kept_beside_the_message_that_processors_see() -> None:
    stream = io.StringIO()
    handler = MozlogHandler(stream, "shop")
    handler.setFormatter(MozlogFormatter(processors=[as_it_is]))
    handler.handle(logging.makeLogRecord({"msg": "m", "event": "theirs", "levelno": 20}))
    (line,) = checked_lines(stream.getvalue())
    assert line["Fields"] == {"extra.event": "theirs", "msg": "m"}
