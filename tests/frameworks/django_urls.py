"""The contract's application as Django views."""

import asyncio
import contextvars
import logging
import threading
from typing import Any

from django.core.signals import got_request_exception
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from dockerflow.summary import add_fields
from mozlog_py import context

logger = logging.getLogger("app")
JSON = '{"code": 200, "rid": "forged", "errno": 0}'


def index(request: HttpRequest) -> HttpResponse:
    logger.info("serving")
    return HttpResponse("hello")


def status(request: HttpRequest, status: int) -> HttpResponse:
    return HttpResponse(status=status)


def missing(request: HttpRequest) -> HttpResponse:
    raise Http404("nothing")


def boom(request: HttpRequest) -> HttpResponse:
    raise ValueError("boom" if request.path == "/boom" else JSON)


def stream(request: HttpRequest) -> StreamingHttpResponse:
    fails = request.path == "/stream-boom"

    def parts() -> Any:
        for part in "abc":
            logger.info("part")
            yield part
            if fails:
                raise ValueError("boom")
        add_fields(parts=3)

    async def parts_async() -> Any:
        for part in parts():
            await asyncio.sleep(0)
            yield part

    return StreamingHttpResponse(parts_async() if hasattr(request, "scope") else parts())


def facts(request: HttpRequest) -> HttpResponse:
    add_fields(user="ann", name="bob")
    return HttpResponse()


async def facts_apart(request: HttpRequest) -> HttpResponse:
    here = contextvars.copy_context()
    thread = threading.Thread(target=lambda: here.run(add_fields, user="ann"))
    thread.start()
    thread.join()
    return HttpResponse()


def binding(request: HttpRequest) -> HttpResponse:
    import structlog

    context.bind(colour="red")
    structlog.contextvars.bind_contextvars(shape="round")
    logger.info("bound")
    return HttpResponse()


def own_id(request: HttpRequest) -> HttpResponse:
    return HttpResponse(headers={"X-Request-Id": "mine"})


def vary(request: HttpRequest) -> HttpResponse:
    return HttpResponse(headers={"Vary": request.headers["x-vary"]})


def where(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.path_info)


class Resource:
    """The sender of signals about exceptions."""


def reported(request: HttpRequest, status: int) -> HttpResponse:
    """Report an exception and answer it, as the extension Tastypie does."""
    try:
        raise LookupError("reported")
    except LookupError:
        got_request_exception.send(Resource, request=request)
        return HttpResponse("answered", status=status)


urlpatterns = [
    path("reported/<int:status>", reported),
    path("", index),
    path("status/<int:status>", status),
    path("missing", missing),
    path("boom", boom),
    path("boom-json", boom),
    path("stream", stream),
    path("stream-boom", stream),
    path("facts", facts),
    path("facts-apart", facts_apart),
    path("bind", binding),
    path("own-id", own_id),
    path("vary", vary),
    path("where", where),
]
