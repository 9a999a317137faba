"""A Django service in the company of others: OpenTelemetry, REST framework, Prometheus."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import mozlog_py

mozlog_py.configure("field", format="mozlog")

import django  # noqa: E402 - logging comes first
from django.conf import settings  # noqa: E402
from opentelemetry.instrumentation.django import DjangoInstrumentor  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402

log = logging.getLogger("app")

settings.configure(
    ALLOWED_HOSTS=["*"],
    BASE_DIR=os.environ["APP_DIR"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DOCKERFLOW_SUMMARY_LOG_QUERYSTRING=True,
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "rest_framework",
        "django_prometheus",
        "dockerflow.django",
    ],
    LOGGING_CONFIG=None,
    MIDDLEWARE=[
        "django_prometheus.middleware.PrometheusBeforeMiddleware",
        "dockerflow.django.middleware.DockerflowMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django_prometheus.middleware.PrometheusAfterMiddleware",
    ],
    REST_FRAMEWORK={"DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"]},
    ROOT_URLCONF="company_django",
    SECRET_KEY="x",
)
DjangoInstrumentor().instrument(tracer_provider=TracerProvider())
django.setup()

from django.http import StreamingHttpResponse  # noqa: E402
from django.urls import include, path  # noqa: E402
from rest_framework import exceptions, permissions  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402


class Plain(APIView):
    def get(self, request: Any) -> Response:
        log.info("serving")
        return Response({"ok": True})

    def post(self, request: Any) -> Response:
        return Response(request.data)


class Boom(APIView):
    def get(self, request: Any) -> Response:
        log.info("serving")
        raise ValueError("the drawer is empty")


class Invalid(APIView):
    def get(self, request: Any) -> Response:
        raise exceptions.ValidationError({"amount": "is negative"})


class Throttled(APIView):
    def get(self, request: Any) -> Response:
        raise exceptions.Throttled(wait=3)


class Closed(APIView):
    permission_classes = [permissions.IsAuthenticated]

    def get(self, request: Any) -> Response:
        return Response({})


def stream(request: Any) -> Any:
    def parts() -> Any:
        log.info("serving")
        yield b"x"

    return StreamingHttpResponse(parts())


urlpatterns = [
    path("plain", Plain.as_view()),
    path("boom", Boom.as_view()),
    path("invalid", Invalid.as_view()),
    path("throttled", Throttled.as_view()),
    path("closed", Closed.as_view()),
    path("stream", stream),
    path("", include("django_prometheus.urls")),
]
sys.modules.setdefault("company_django", sys.modules[__name__])

from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402

project = get_wsgi_application()
async_project = get_asgi_application()


def app(environ: Any, start_response: Any) -> Any:
    if environ["PATH_INFO"].startswith("/control/"):
        log.info(environ["PATH_INFO"][9:])
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]
    return project(environ, start_response)


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http" and scope["path"].startswith("/control/"):
        log.info(scope["path"][9:])
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})
        return
    if scope["type"] == "http":
        await async_project(scope, receive, send)
