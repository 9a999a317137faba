"""The Django middleware called by hand, as tests of services do; a process of its own.

``python -m django_by_hand SHAPE`` prints the lines of one way to call it.
"""

from __future__ import annotations

import sys
from typing import Any

import mozlog_py

mozlog_py.configure("field", format="mozlog")

import django_site  # noqa: E402 - logging comes first


def raising(root: str) -> None:
    raise LookupError("no release")


django_site.configure(
    DOCKERFLOW_VERSION_CALLBACK="django_by_hand.raising", DOCKERFLOW_SUMMARY_LOG_QUERYSTRING=False
)
sys.modules.setdefault("django_by_hand", sys.modules[__name__])

from django.http import HttpResponse  # noqa: E402
from django.test import Client, RequestFactory  # noqa: E402

from dockerflow.django.middleware import DockerflowMiddleware  # noqa: E402


def made(get_response: Any) -> tuple[Any, Any]:
    request = RequestFactory().get("/order", headers={"X-Request-Id": "abc"})
    middleware = DockerflowMiddleware(get_response=get_response)
    assert middleware.process_request(request) is None
    return middleware, request


def exception_with_a_response_as_get_response() -> None:
    middleware, request = made(HttpResponse())
    middleware.process_exception(request, ValueError("the drawer is empty"))
    middleware.process_response(request, HttpResponse(status=500))


def exception_with_a_function_as_get_response() -> None:
    middleware, request = made(lambda request: HttpResponse())
    middleware.process_exception(request, ValueError("the drawer is empty"))
    middleware.process_response(request, HttpResponse(status=500))


def exception_without_get_response() -> None:
    middleware, request = made(None)
    middleware.process_exception(request, ValueError("the drawer is empty"))
    middleware.process_response(request, HttpResponse(status=500))


def exception_without_response() -> None:
    middleware, request = made(HttpResponse())
    middleware.process_exception(request, ValueError("the drawer is empty"))


def response() -> None:
    middleware, request = made(HttpResponse())
    answer = middleware.process_response(request, HttpResponse(status=201))
    assert answer.headers["X-Request-Id"] == "abc"


def response_none() -> None:
    middleware, request = made(HttpResponse())
    assert middleware.process_response(request, None) is None


def version_raises() -> None:
    Client(raise_request_exception=False).get("/__version__", headers={"X-Request-Id": "abc"})


if __name__ == "__main__":
    globals()[sys.argv[1]]()
