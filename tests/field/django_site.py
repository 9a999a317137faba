"""A Django project, for WSGI and for ASGI."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from typing import Any

import django
import structlog
from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

from mozlog_py import context

log = logging.getLogger("app")


class OutOfStock(Exception):
    """What the project's own middleware answers."""


def configure(**more: Any) -> None:
    """Configure the project, once in a process."""
    if settings.configured:
        return
    settings.configure(
        **{
            "ALLOWED_HOSTS": ["*"],
            "BASE_DIR": os.environ.get("APP_DIR", "."),
            "DATABASES": {},
            "DOCKERFLOW_SUMMARY_LOG_QUERYSTRING": True,
            "INSTALLED_APPS": ["dockerflow.django"],
            "LOGGING_CONFIG": None,
            "MIDDLEWARE": [
                "dockerflow.django.middleware.DockerflowMiddleware",
                "django_site.Sorry",
            ],
            "ROOT_URLCONF": __name__,
            "SECRET_KEY": "x",
            **more,
        }
    )
    django.setup()


def asgi() -> Any:
    """Return the project as an ASGI application."""
    configure()
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


def wsgi() -> Any:
    """Return the project as a WSGI application."""
    configure()
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


class Sorry:
    """Answers the project's own exceptions, as projects do."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Any) -> None:
        from asgiref.sync import iscoroutinefunction, markcoroutinefunction

        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        return self.get_response(request)

    def process_exception(self, request: Any, error: Exception) -> Any:
        if isinstance(error, OutOfStock):
            log.info("sorry")
            return HttpResponse("sorry", status=503)
        return None


def bind(name: str) -> None:
    context.bind(user=name)
    structlog.contextvars.bind_contextvars(tenant=name)


def bound() -> str:
    held = context.get()
    return ",".join(str(held.get(name, "-")) for name in ("user", "tenant", "rid", "outer"))


def plain(request: Any) -> Any:
    log.info("serving")
    return HttpResponse("ok")


async def aplain(request: Any) -> Any:
    log.info("serving")
    return HttpResponse("ok")


def binds(request: Any, name: str) -> Any:
    log.info("begun")
    bind(name)
    log.info("bound", extra={"size": len(request.body)})
    return HttpResponse("ok")


async def abinds(request: Any, name: str) -> Any:
    log.info("begun")
    bind(name)
    log.info("bound", extra={"size": len(request.body)})
    return HttpResponse("ok")


def boom(request: Any) -> Any:
    log.info("serving")
    raise ValueError("the drawer is empty")


async def aboom(request: Any) -> Any:
    log.info("serving")
    raise ValueError("the drawer is empty")


def handled(request: Any) -> Any:
    raise OutOfStock


def stream(request: Any) -> Any:
    def parts() -> Any:
        try:
            for _ in range(400):
                log.info("part")
                yield b"x" * 4096
                time.sleep(0.02)
        finally:
            log.info("cleaning up")

    bind("ann")
    return StreamingHttpResponse(parts())


async def astream(request: Any) -> Any:
    async def parts() -> Any:
        try:
            for _ in range(400):
                log.info("part")
                yield b"x" * 4096
                await asyncio.sleep(0.02)
        finally:
            log.info("cleaning up")

    bind("ann")
    return StreamingHttpResponse(parts())


def stream_boom(request: Any) -> Any:
    def parts() -> Any:
        yield b"x"
        raise ValueError("the drawer is empty")

    return StreamingHttpResponse(parts())


def error_stream(request: Any) -> Any:
    """Stream the page of an error."""

    def parts() -> Any:
        log.info("part")
        yield b"x"

    return StreamingHttpResponse(parts(), status=404)


async def aerror_stream(request: Any) -> Any:
    async def parts() -> Any:
        log.info("part")
        yield b"x"

    return StreamingHttpResponse(parts(), status=503)


def form(request: Any) -> Any:
    log.info("begun")
    return HttpResponse(str(len(request.POST)))


def closer(request: Any) -> Any:
    """Log when Django closes the response, which is when all of it was sent."""
    response = HttpResponse("ok")
    response._resource_closers.append(lambda: log.info("closing"))
    return response


def calls(request: Any) -> Any:
    """Ask another path by Django's own client, in the view."""
    from django.test import Client

    bind("caller")
    before = bound()
    answer = Client().get("/binds/callee")
    log.info("back", extra={"before": before, "after": bound()})
    return HttpResponse(answer.headers.get("X-Request-Id", ""))


async def acalls(request: Any) -> Any:
    from django.test import AsyncClient

    bind("caller")
    before = bound()
    answer = await AsyncClient().get("/abinds/callee")
    log.info("back", extra={"before": before, "after": bound()})
    return HttpResponse(answer.headers.get("X-Request-Id", ""))


async def cancelled(request: Any) -> Any:
    task = asyncio.create_task(asyncio.sleep(5))
    task.cancel()
    await task


async def wait(request: Any) -> Any:
    """Wait; Django itself cancels a view whose client has gone."""
    log.info("waiting")
    await asyncio.sleep(30)
    return HttpResponse("late")


def slow(request: Any) -> Any:
    log.info("sleeping")
    time.sleep(60)
    return HttpResponse("late")


async def in_thread(request: Any) -> Any:
    await sync_to_async(log.info)("in a thread")
    return HttpResponse("ok")


urlpatterns = [
    path("plain", plain),
    path("aplain", aplain),
    path("binds/<name>", binds),
    path("abinds/<name>", abinds),
    path("boom", boom),
    path("aboom", aboom),
    path("handled", handled),
    path("stream", stream),
    path("astream", astream),
    path("stream-boom", stream_boom),
    path("error-stream", error_stream),
    path("aerror-stream", aerror_stream),
    path("form", form),
    path("closer", closer),
    path("calls", calls),
    path("acalls", acalls),
    path("cancelled", cancelled),
    path("wait", wait),
    path("slow", slow),
    path("in-thread", in_thread),
]

sys.modules.setdefault("django_site", sys.modules[__name__])
