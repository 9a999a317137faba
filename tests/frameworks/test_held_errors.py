"""Streams that fail inside of Starlette's BaseHTTPMiddleware, which holds their exception."""

import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from contract import Lines, bind
from contract_asgi import SCOPE
from drivers import ASGIDriver
from real_servers import UVICORN, served_from
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

import dockerflow._request.held_error as held_error
from dockerflow.asgi import DockerflowASGI
from dockerflow.fastapi.middleware import MozlogRequestSummaryLogger, RequestIdMiddleware
from dockerflow.starlette import DockerflowMiddleware
from mozlog_py.testing import capture_lines

logger = logging.getLogger("app")


async def index(request: Request) -> Response:
    return PlainTextResponse("hello")


async def fails(request: Request) -> Response:
    async def parts() -> Any:
        bind()
        yield b"part"
        raise ValueError("boom")

    return StreamingResponse(parts())


async def fails_in_group(request: Request) -> Response:
    """Stream as libraries for server-sent events do: in a task of a group."""

    async def call(scope: Any, receive: Any, send: Any) -> None:
        async def stream() -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"part", "more_body": True})
            raise ValueError("boom")

        async with anyio.create_task_group() as group:
            group.start_soon(stream)

    return call  # type: ignore[return-value]


async def fails_before(request: Request) -> Response:
    raise ValueError("boom")


async def works_on(request: Request) -> Response:
    async def work() -> None:
        # Older Starlettes start it before the last part is sent.
        for _ in range(50):
            await anyio.sleep(0)
        logger.info("in the background")

    return PlainTextResponse("done", background=BackgroundTask(work))


async def works_and_fails(request: Request) -> Response:
    def work() -> None:
        raise ValueError("boom")

    return PlainTextResponse("done", background=BackgroundTask(work))


ROUTES = [
    Route("/", index),
    Route("/fails", fails),
    Route("/fails-in-group", fails_in_group),
    Route("/fails-before", fails_before),
    Route("/works-on", works_on),
    Route("/works-and-fails", works_and_fails),
]


async def passing(request: Request, call_next: Any) -> Response:
    response: Response = await call_next(request)
    return response


async def answering(request: Request, call_next: Any) -> Response:
    try:
        response: Response = await call_next(request)
    except ValueError:
        return PlainTextResponse("no", 418)
    return response


async def copying(request: Request, call_next: Any) -> Response:
    """Read the whole response, and send another one with what came of it."""
    response = await call_next(request)
    body = b"".join([part async for part in response.body_iterator])
    return Response(body, response.status_code)


HOLDS = Middleware(BaseHTTPMiddleware, dispatch=passing)
OURS = Middleware(DockerflowMiddleware)


def inside(*middleware: Middleware) -> Any:
    return Starlette(routes=ROUTES, middleware=middleware)


def mounted() -> Any:
    """Return an application whose mounted one has the middleware."""
    return Starlette(routes=[Mount("/", inside(HOLDS))], middleware=[OURS])


SHAPES: dict[str, Callable[[], Any]] = {
    "none": lambda: inside(OURS),
    "inside": lambda: inside(OURS, HOLDS),
    "outside": lambda: inside(HOLDS, OURS),
    "twice": lambda: inside(OURS, HOLDS, HOLDS),
    "around": lambda: inside(HOLDS, OURS, HOLDS),
    "mounted": mounted,
    "copying": lambda: inside(OURS, Middleware(BaseHTTPMiddleware, dispatch=copying)),
    "two layers": lambda: inside(
        Middleware(RequestIdMiddleware), Middleware(MozlogRequestSummaryLogger), HOLDS
    ),
    "bare": lambda: DockerflowASGI(inside(HOLDS)),
    "bare in bare": lambda: DockerflowASGI(DockerflowASGI(inside(HOLDS, HOLDS))),
    "not Starlette": lambda: DockerflowASGI(BaseHTTPMiddleware(inside(), passing)),
}


@pytest.mark.parametrize("path", ["/fails", "/fails-in-group"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_stream_that_fails_is_an_error_with_its_exception(
    lines: Lines, shape: str, path: str
) -> None:
    answer = ASGIDriver(SHAPES[shape]()).get(path)
    # Older Starlettes raise the exception to a middleware that reads the body itself.
    assert (answer.status, answer.body) == (200, b"part") or shape == "copying"
    assert "boom" in repr(answer.error)
    (line,) = lines.summaries
    fields = line["Fields"]
    assert line["Severity"] == 3
    assert (fields["code"], fields["errno"], fields["msg"]) == (answer.status, 500, "boom")
    assert "ValueError('boom')" in fields["traceback"]
    assert "in parts" in fields["traceback"] or "in stream" in fields["traceback"]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_background_task_does_not_delay_the_summary(lines: Lines, shape: str) -> None:
    ASGIDriver(SHAPES[shape]()).get("/works-on")
    types = [line["Type"] for line in lines.all if line["Type"] in ("app", "request.summary")]
    assert types == ["request.summary", "app"]
    assert (lines.summary["code"], lines.summary["errno"]) == (200, 0)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_background_task_that_fails_leaves_the_summary(lines: Lines, shape: str) -> None:
    answer = ASGIDriver(SHAPES[shape]()).get("/works-and-fails")
    # Older Starlettes keep the exception to themselves.
    assert str(answer.error) in ("boom", "None")
    assert (lines.summary["code"], lines.summary["errno"]) == (200, 0)


def test_an_exception_that_middleware_answers_is_no_error(lines: Lines) -> None:
    app = inside(OURS, Middleware(BaseHTTPMiddleware, dispatch=answering), HOLDS)
    answer = ASGIDriver(app).get("/fails-before")
    assert (answer.status, answer.error) == (418, None)
    assert (lines.summary["code"], lines.summary["errno"]) == (418, 0)


def test_an_exception_that_nothing_answers_is_an_error_with_500(lines: Lines) -> None:
    answer = ASGIDriver(inside(OURS, HOLDS)).get("/fails-before")
    assert answer.status == 500
    assert (lines.summary["code"], lines.summary["msg"]) == (500, "boom")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_event_loop_of_another_library_makes_no_difference(backend: str) -> None:
    sent = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    async def receive() -> Any:
        await anyio.sleep_forever()

    async def main() -> None:
        with pytest.raises(ValueError, match="boom"):
            await SHAPES["twice"]()({**SCOPE, "path": "/fails"}, receive, send)

    with capture_lines() as lines:
        anyio.run(main, backend=backend)
    (fields,) = [line["Fields"] for line in lines if line["Type"] == "request.summary"]
    assert sent[:2] == ["http.response.start", "http.response.body"]
    assert (fields["code"], fields["errno"], fields["msg"]) == (200, 500, "boom")


class TestMiddleware:
    def test_the_application_inside_stays_what_it_was(self) -> None:
        app = inside()
        held: list[Any] = []

        class Reading(BaseHTTPMiddleware):
            async def dispatch(self, request: Request, call_next: Any) -> Response:
                held.append(self.app)
                return await passing(request, call_next)

        around = Reading(app)
        assert ASGIDriver(DockerflowASGI(around)).get("/").status == 200
        assert around.app is app
        assert held == [app]

    def test_a_method_that_a_tracer_has_replaced_before_sees_the_class(
        self, lines: Lines, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names: list[str] = []

        class Own(BaseHTTPMiddleware):
            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                names.append(self.__class__.__name__)
                await super().__call__(scope, receive, send)

        # As a class that nothing has touched yet, and whose method a tracer replaces.
        monkeypatch.setattr(held_error, "_modules", {held_error._MODULE: _Module(Own)})
        held_error.watch_held_errors()
        ASGIDriver(DockerflowASGI(Own(inside(), passing))).get("/fails")
        assert names == ["Own"]
        assert (lines.summary["code"], lines.summary["errno"]) == (200, 500)

    def test_the_method_is_replaced_once(self) -> None:
        DockerflowASGI(inside())
        first = BaseHTTPMiddleware.__call__
        DockerflowASGI(inside())
        assert BaseHTTPMiddleware.__call__ is first
        assert getattr(first, "_notes_held_errors", False) is True

    def test_a_request_outside_of_our_layers_is_served_as_before(self) -> None:
        answer = ASGIDriver(BaseHTTPMiddleware(inside(), passing)).get("/")
        assert (answer.status, answer.body) == (200, b"hello")


class _Module:
    def __init__(self, middleware_class: type) -> None:
        self.BaseHTTPMiddleware = middleware_class


SERVED = """
import sys
sys.path[:0] = [{here!r}, {tests!r}]
import mozlog_py
mozlog_py.configure("service", format="mozlog")
from test_held_errors import SHAPES
app = SHAPES["inside"]()
"""
HYPERCORN = ["hypercorn", "served:app", "--bind", "127.0.0.1:PORT"]


@pytest.mark.parametrize("command", [UVICORN, HYPERCORN], ids=["uvicorn", "hypercorn"])
def test_a_pipelined_request_has_nothing_of_a_stream_that_fails(
    tmp_path: Path, command: list[str]
) -> None:
    here = Path(__file__).parent
    source = SERVED.format(here=str(here), tests=str(here.parent))
    head = "GET {} HTTP/1.1\r\nHost: x\r\nX-Request-Id: {}\r\n\r\n"
    both = head.format("/fails", "r1") + head.format("/works-on", "r2")
    with (
        served_from(tmp_path, source, command) as (port, lines),
        socket.create_connection(("127.0.0.1", port), timeout=20) as connection,
    ):
        connection.sendall(both.encode())
        # The server closes the connection of the stream that failed.
        while connection.recv(65536):
            pass
    found = {line["Fields"]["rid"]: line for line in lines if line["Type"] == "request.summary"}
    failed = found["r1"]
    assert (failed["Severity"], failed["Fields"]["code"], failed["Fields"]["msg"]) == (
        3, 200, "boom",
    )  # fmt: skip
    # hypercorn does not serve it, since the connection is closed.
    for line in lines:
        if line["Fields"].get("rid") == "r2":
            assert "colour" not in line["Fields"]
