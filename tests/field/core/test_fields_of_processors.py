"""Fields of a call that have the names under which structlog's processors put values."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
import structlog

import mozlog_py
from mozlog_py.structlog import processors

pytestmark = pytest.mark.usefixtures("untouched_process", "unconfigured_structlog")

Logged = Callable[[Callable[[Any], Any]], dict[str, Any]]


def by_keywords(log: Any, name: str, *call: Any, method: str, fields: dict[str, Any]) -> Any:
    getattr(log, method)(*call, **fields)


def by_bind(log: Any, name: str, *call: Any, method: str, fields: dict[str, Any]) -> Any:
    bound = log.bind(**{name: fields.pop(name)})
    getattr(bound, method)(*call, **fields)


def configured(**options: Any) -> tuple[Any, io.StringIO]:
    stream = io.StringIO()
    mozlog_py.configure("shop", stream=stream, format=options.pop("format", "mozlog"), **options)
    return structlog.get_logger("shop"), stream


@pytest.fixture(params=["configure", "processors"])
def log(request: pytest.FixtureRequest) -> tuple[Any, io.StringIO]:
    made, stream = configured()
    if request.param == "processors":
        structlog.configure(processors=[*processors()])
        made = structlog.get_logger("shop")
    return made, stream


WAYS = pytest.mark.parametrize("way", [by_keywords, by_bind])


@WAYS
def test_a_field_named_exception_stands_beside_the_exception(log: Any, way: Any) -> None:
    logger, stream = log
    try:
        raise KeyError("k")
    except KeyError as error:
        way(logger, "exception", "failed", method="exception", fields={"exception": repr(error)})
    fields = json.loads(stream.getvalue())["Fields"]
    assert fields["exception"] == "KeyError('k')"
    assert fields["error"] == "KeyError('k')"
    assert 'raise KeyError("k")' in fields["traceback"]


@WAYS
@pytest.mark.parametrize("value", ["TimeoutError", {"a": 1}, 7])
def test_a_field_named_exception_makes_no_exception(way: Any, value: Any) -> None:
    logger, stream = configured()
    try:
        raise KeyError("k")
    except KeyError:
        way(logger, "exception", "retry", method="warning", fields={"exception": value})
    assert json.loads(stream.getvalue())["Fields"] == {"exception": value, "msg": "retry"}


@WAYS
def test_a_field_named_logger_is_the_type(way: Any) -> None:
    logger, stream = configured()
    way(logger, "logger", "hi", method="info", fields={"logger": "shop.door"})
    line = json.loads(stream.getvalue())
    assert (line["Type"], line["Fields"]) == ("shop.door", {"msg": "hi"})


@WAYS
def test_a_field_named_stack_stands_beside_the_stack(way: Any) -> None:
    logger, stream = configured()
    fields = {"stack": "own", "stack_info": True}
    way(logger, "stack", "hi", method="info", fields=fields)
    shown = json.loads(stream.getvalue())["Fields"]
    assert shown["extra.stack"] == "own"
    assert "in by_" in shown["stack"]


def test_a_field_named_exception_leaves_the_stack_trace_of_gcp() -> None:
    logger, stream = configured(format="gcp")
    try:
        raise KeyError("k")
    except KeyError:
        logger.exception("failed", exception="mine")
    line = json.loads(stream.getvalue())
    assert line["Fields"]["exception"] == "mine"
    assert line["stack_trace"].startswith("Traceback (most recent call last):")


def test_what_a_processor_has_set_under_these_names_is_the_calls() -> None:
    def render(_: Any, __: str, event_dict: Any) -> Any:
        event_dict.pop("exc_info", None)
        return {**event_dict, "exception": "rendered", "stack": "its stack"}

    _, stream = configured()
    structlog.configure(processors=[render, *processors()])
    try:
        raise KeyError("k")
    except KeyError:
        structlog.get_logger("shop").exception("failed", exception="mine", stack="b")
    line = json.loads(stream.getvalue())
    assert line["Fields"] == {
        "msg": "failed", "error": "KeyError('k')", "traceback": "rendered", "stack": "its stack",
    }  # fmt: skip


def test_structlog_and_logging_show_the_same_of_a_field_named_exception() -> None:
    logger, stream = configured()
    try:
        raise KeyError("k")
    except KeyError:
        logger.exception("failed", exception="mine")
        logging.getLogger("shop").exception("failed", extra={"exception": "mine"})
    one, other = (json.loads(line)["Fields"] for line in stream.getvalue().splitlines())
    for fields in (one, other):
        fields["traceback"] = fields["traceback"].splitlines()[-1]
    assert one == other
