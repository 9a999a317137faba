"""Each request gets its own id, settings and summary, whatever the application reuses or raises."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import aiohttp.test_utils
import contract_django  # noqa: F401 - has Django's settings
import pytest
from aiohttp import web
from contract import Lines
from django.http import HttpRequest, HttpResponse
from drivers import ASGIDriver
from fastapi import FastAPI
from multidict import CIMultiDict
from sanic.response import text
from starlette.applications import Starlette

import dockerflow.aiohttp
from dockerflow import checks
from dockerflow._request.exchange import Exchange
from dockerflow.django.middleware import DockerflowMiddleware as DjangoMiddleware
from dockerflow.fastapi import router
from dockerflow.fastapi.middleware import MozlogRequestSummaryLogger, RequestIdMiddleware
from dockerflow.request_id import RequestIdPolicy
from dockerflow.sanic.served_request import _with_echo
from dockerflow.settings import Settings
from dockerflow.starlette import DockerflowMiddleware
from dockerflow.wsgi import DockerflowWSGI
from mozlog_py._fields import request_text


@pytest.fixture(autouse=True)
def query_strings() -> Iterator[None]:
    yield
    request_text.log_query_strings(None)


def exchange_with(request_id: str) -> Exchange:
    made = Exchange()
    made.rid, made.echo_name, made.id_header = request_id, "x-request-id", "x-request-id"
    return made


def test_two_clients_of_one_response_of_sanic_get_the_ids_of_their_own() -> None:
    shared = text("ok")
    # The first one is still being sent when the second one begins.
    first = _with_echo(shared, exchange_with("slow"))
    second = _with_echo(shared, exchange_with("quick"))
    assert [each.headers["x-request-id"] for each in (first, second)] == ["slow", "quick"]
    assert [each.headers.getall("vary") for each in (first, second)] == [["x-request-id"]] * 2
    assert isinstance(shared.headers, CIMultiDict)
    assert "x-request-id" not in shared.headers


def test_requests_for_one_response_of_django_get_the_ids_of_their_own() -> None:
    shared = HttpResponse("ok", headers={"Vary": "Cookie"})
    serve = DjangoMiddleware(lambda request: shared)

    def ask(request_id: str | None) -> Any:
        request = HttpRequest()
        request.method, request.path = "GET", "/"
        if request_id is not None:
            request.META["HTTP_X_REQUEST_ID"] = request_id
        return dict(serve(request).headers)

    assert [ask(each)["x-request-id"] for each in ("one", "two")] == ["one", "two"]
    made = ask(None)["x-request-id"]
    assert made not in ("one", "two")
    assert ask("three")["Vary"] == "Cookie, x-request-id"


def test_an_id_that_the_application_has_set_stays_in_a_response_of_django() -> None:
    shared = HttpResponse("ok", headers={"x-request-id": "mine"})
    request = HttpRequest()
    request.method, request.path, request.META["HTTP_X_REQUEST_ID"] = "GET", "/", "theirs"
    for _ in range(2):
        assert DjangoMiddleware(lambda _: shared)(request).headers["x-request-id"] == "mine"


def test_a_policy_of_its_own_leaves_the_settings_of_fastapi_to_the_summaries(lines: Lines) -> None:
    app = FastAPI()
    app.state.DOCKERFLOW_SUMMARY_LOG_QUERYSTRING = True
    app.get("/")(lambda: {})  # noqa: PIE807
    app.add_middleware(MozlogRequestSummaryLogger)
    app.add_middleware(RequestIdMiddleware, request_id=RequestIdPolicy("x-trace"))
    answer = ASGIDriver(app).get("/", query="a=b", headers=[("x-trace", "t-1")])
    assert answer.header("x-trace") == "t-1"
    assert (lines.summary["querystring"], lines.summary["rid"]) == ("a=b", "t-1")


@pytest.mark.parametrize("is_debug", [True, False])
def test_a_heartbeat_of_fastapi_knows_whether_the_application_debugs(
    is_debug: bool, no_checks: None
) -> None:
    checks.register(lambda: [checks.Warning("full", id="s.W1")], name="disk")
    app = FastAPI(debug=is_debug)
    app.state.DOCKERFLOW_HEARTBEAT_DETAILS = "debug"
    app.include_router(router)
    answer = ASGIDriver(app).get("/__heartbeat__")
    assert ("details" in json.loads(answer.body)) is is_debug


def test_settings_that_are_given_to_starlette_hold_for_access_records_too() -> None:
    app = Starlette()
    app.state.DOCKERFLOW_SUMMARY_LOG_QUERYSTRING = False
    app.add_middleware(DockerflowMiddleware, settings=Settings(summary_log_querystring=True))
    assert ASGIDriver(app).get("/__lbheartbeat__", query="x=1").status == 200
    assert request_text.are_query_strings_logged()


@pytest.mark.parametrize("outer", [{"summaries": False}, {"request_ids": False}])
def test_an_inner_application_of_aiohttp_adds_what_the_outer_one_does_not(
    outer: Any, lines: Lines
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="x")

    async def main() -> str | None:
        app, inner = web.Application(), web.Application()
        inner.router.add_get("/", answer)
        dockerflow.aiohttp.setup(inner)
        app.add_subapp("/s", inner)
        dockerflow.aiohttp.setup(app, **outer)
        server = aiohttp.test_utils.TestServer(app)
        async with aiohttp.test_utils.TestClient(server) as client:
            return (await client.get("/s/")).headers.get("x-request-id")

    request_id = asyncio.run(main())
    assert request_id
    assert (lines.summary["path"], lines.summary["rid"]) == ("/s/", request_id)


class Falsy(Exception):
    def __len__(self) -> int:
        return 0


def test_an_exception_that_counts_as_false_is_in_the_summary(lines: Lines) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        raise Falsy("why")

    with pytest.raises(Falsy):
        DockerflowWSGI(app)({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: print)
    (line,) = lines.summaries
    assert line["Severity"] == 3
    assert "Falsy" in line["Fields"]["error"]
