"""Requests of frameworks as values: no line shows their query strings, in any front."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from typing import Any

import contract_django  # noqa: F401 - has Django's settings
import pytest
import structlog
from conformance import checked_lines
from django.core.handlers.wsgi import WSGIRequest
from django.utils.log import log_response
from flask import Flask, request
from sanic.request import Request as SanicRequest

from mozlog_py import MozlogFormatter, MozlogHandler
from mozlog_py.gcp import CloudFormatter
from mozlog_py.pretty import PrettyFormatter
from mozlog_py.processors import Redact
from mozlog_py.structlog import processors

QUERY = "email=ann@example.org&token=tulip"


def of_django() -> Any:
    return WSGIRequest({
        "REQUEST_METHOD": "GET", "PATH_INFO": "/boom", "QUERY_STRING": QUERY,
        "wsgi.input": io.BytesIO(), "SERVER_NAME": "localhost", "SERVER_PORT": "80",
    })  # fmt: skip


def of_flask() -> Any:
    with Flask("shop").test_request_context(f"/boom?{QUERY}"):
        return request._get_current_object()  # type: ignore[attr-defined]


def of_sanic() -> Any:
    return SanicRequest(f"/boom?{QUERY}".encode(), {}, "1.1", "GET", None, None)  # type: ignore[arg-type, var-annotated]


def by_logging(formatter: logging.Formatter, fields: dict[str, Any]) -> str:
    stream = io.StringIO()
    handler = MozlogHandler(stream, "shop")
    handler.setFormatter(formatter)
    logger = logging.Logger("app", 1)
    logger.addHandler(handler)
    logger.warning("not found", extra=fields)
    handler.close()
    return stream.getvalue()


def by_structlog(fields: dict[str, Any], before: Any = ()) -> str:
    stream = io.BytesIO()
    log = structlog.wrap_logger(
        structlog.BytesLogger(stream), processors=processors("shop", before=before)
    )
    log.warning("not found", **fields)
    return stream.getvalue().decode()


FRONTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "formatter": lambda fields: by_logging(MozlogFormatter(), fields),
    "formatter with Redact": lambda fields: by_logging(
        MozlogFormatter(processors=[Redact()]), fields
    ),
    "gcp": lambda fields: by_logging(CloudFormatter(), fields),
    "pretty": lambda fields: by_logging(PrettyFormatter(), fields),
    "structlog": by_structlog,
    "structlog with Redact": lambda fields: by_structlog(fields, [Redact()]),
}
REQUESTS: dict[str, tuple[Callable[[], Any], str]] = {
    "django": (of_django, "<WSGIRequest: GET '/boom'>"),
    "flask": (of_flask, "<Request 'http://localhost/boom' [GET]>"),
    "sanic": (of_sanic, "<Request: GET /boom>"),
}


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("framework", REQUESTS)
@pytest.mark.usefixtures("query_strings")
def test_a_request_is_shown_without_its_query_string(front: str, framework: str) -> None:
    make, shown = REQUESTS[framework]
    made = make()
    text = FRONTS[front]({"request": made, "inner": {"of": [made]}, "some": {made}})
    assert "tulip" not in text
    assert "ann@" not in text
    assert "/boom" in text
    if front == "formatter":
        fields = json.loads(text)["Fields"]
        assert fields["request"] == shown
        assert fields["inner"] == {"of": [shown]}


def test_the_lines_of_django_for_missing_pages_have_no_query_string() -> None:
    from django.http import HttpResponseNotFound

    stream = io.StringIO()
    handler = MozlogHandler(stream, "shop")
    logger = logging.Logger("django.request", 1)
    logger.addHandler(handler)
    made = of_django()
    log_response("Not Found: %s", made.path, request=made, response=HttpResponseNotFound(),
                 logger=logger)  # fmt: skip
    (line,) = checked_lines(stream.getvalue())
    assert line["Fields"]["request"] == "<WSGIRequest: GET '/boom'>"
