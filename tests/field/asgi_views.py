"""The situations of an ASGI application, as endpoints of Starlette and FastAPI, and bare."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import anyio
import httpx
import structlog
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.websockets import WebSocket

from mozlog_py import context

log = logging.getLogger("app")

#: The applications of the process, by the name that is the first part of their paths.
APPS: dict[str, Any] = {}

#: Application's own tasks, which would be collected otherwise.
TASKS: set[Any] = set()


class OutOfStock(Exception):
    """What an application's own handler answers."""


def bind(name: str) -> None:
    """Bind fields in both ways."""
    context.bind(user=name)
    structlog.contextvars.bind_contextvars(tenant=name)


def bound() -> str:
    """Return what is bound, for a test to read in the answer or in a line."""
    held = context.get()
    return ",".join(str(held.get(name, "-")) for name in ("user", "tenant", "rid", "outer"))


async def plain(request: Request) -> Response:
    log.info("serving")
    return PlainTextResponse("ok")


async def binds(request: Request) -> Response:
    log.info("begun")
    bind(request.path_params["name"])
    await request.body()
    log.info("bound")
    return PlainTextResponse("ok")


async def boom(request: Request) -> Response:
    log.info("serving")
    raise ValueError("the drawer is empty")


async def handled(request: Request) -> Response:
    log.info("serving")
    raise OutOfStock("no more of them")


async def out_of_stock(request: Request, error: Exception) -> Response:
    log.info("sorry")
    return PlainTextResponse("sorry", 503)


async def sorry_for_all(request: Request, error: Exception) -> Response:
    log.error("sorry for that")
    return PlainTextResponse("sorry", 503)


async def stream(request: Request) -> Response:
    async def parts() -> Any:
        try:
            for _ in range(400):
                log.info("part")
                yield b"x" * 4096
                await anyio.sleep(0.02)
        finally:
            log.info("cleaning up")

    bind("ann")
    return StreamingResponse(parts())


async def short_stream(request: Request) -> Response:
    async def parts() -> Any:
        try:
            for _ in range(3):
                log.info("part")
                yield b"x"
        finally:
            log.info("cleaning up")

    return StreamingResponse(parts())


async def stream_boom(request: Request) -> Response:
    async def parts() -> Any:
        yield b"x"
        raise ValueError("the drawer is empty")

    return StreamingResponse(parts())


async def background(request: Request) -> Response:
    async def work() -> None:
        log.info("in the background")

    return PlainTextResponse("ok", background=BackgroundTask(work))


async def sync_background(request: Request) -> Response:
    return PlainTextResponse("ok", background=BackgroundTask(log.info, "in the background"))


async def background_boom(request: Request) -> Response:
    async def work() -> None:
        raise ValueError("the drawer is empty")

    return PlainTextResponse("ok", background=BackgroundTask(work))


async def ask_inside(app: str, path: str, **headers: str) -> httpx.Response:
    """Ask an application of this process, without a socket."""
    transport = httpx.ASGITransport(APPS[app], raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://inside") as client:
        return await client.get(path, headers=headers)


async def calls(request: Request) -> Response:
    """Ask another path of the application, in the view."""
    bind("caller")
    before = bound()
    answer = await ask_inside(request.path_params["app"], "/binds/callee")
    log.info("back", extra={"before": before, "after": bound()})
    return PlainTextResponse(answer.headers.get("x-request-id", ""))


async def calls_itself(request: Request) -> Response:
    """Ask the same path, once."""
    bind("caller")
    before = bound()
    inner = ""
    if "inner" not in request.query_params:
        answer = await ask_inside(
            request.path_params["app"], f"/calls-itself/{request.path_params['app']}?inner=1"
        )
        inner = answer.headers.get("x-request-id", "")
    log.info("back", extra={"before": before, "after": bound()})
    return PlainTextResponse(inner)


async def calls_later(request: Request) -> Response:
    """Ask another path in a background task."""
    name = request.path_params["app"]

    async def work() -> None:
        bind("caller")
        before = bound()
        await ask_inside(name, "/binds/callee")
        log.info("back", extra={"before": before, "after": bound()})

    return PlainTextResponse("ok", background=BackgroundTask(work))


async def calls_in_task(request: Request) -> Response:
    """Ask another path in a task that outlives the request."""
    name = request.path_params["app"]

    async def work() -> None:
        await asyncio.sleep(0.05)
        bind("caller")
        before = bound()
        await ask_inside(name, "/binds/callee")
        log.info("back", extra={"before": before, "after": bound()})

    task = asyncio.create_task(work())
    TASKS.add(task)
    task.add_done_callback(TASKS.discard)
    return PlainTextResponse("ok")


async def cancelled(request: Request) -> Response:
    """Await a task that was cancelled: a bug, while the client is there."""
    task = asyncio.create_task(asyncio.sleep(5))
    task.cancel()
    await task
    return PlainTextResponse("never")


async def cancelled_stream(request: Request) -> Response:
    """Await a task that was cancelled when a status has been sent."""

    async def parts() -> Any:
        yield b"x"
        task = asyncio.create_task(asyncio.sleep(5))
        task.cancel()
        await task

    return StreamingResponse(parts())


async def wait_for_the_end(request: Request) -> Response:
    log.info("waiting")
    while not await request.is_disconnected():
        await anyio.sleep(0.02)
    log.info("gone")
    raise asyncio.CancelledError


#: Set while an unread request may be answered.
_released = threading.Event()


async def unread(request: Request) -> Response:
    """Answer once another client has asked for it, without a look at this one."""
    _released.clear()
    log.info("waiting")
    while not _released.is_set():
        await anyio.sleep(0.02)
    return PlainTextResponse("late")


async def release(request: Request) -> Response:
    _released.set()
    return PlainTextResponse("released")


async def sleep(request: Request) -> Response:
    log.info("sleeping")
    await anyio.sleep(60)
    return PlainTextResponse("late")


# -- WebSockets --------------------------------------------------------------------


async def socket_open(websocket: WebSocket) -> None:
    log.info("opening")
    await websocket.accept(headers=[(b"x-own", b"1")])
    log.info("got %s", await websocket.receive_text())
    await websocket.close()


async def socket_echo(websocket: WebSocket) -> None:
    """Send back what comes, until the client closes."""
    bind("ann")
    await websocket.accept()
    async for text in websocket.iter_text():
        log.info("got %s", text)
        await websocket.send_text(text)
    log.info("done")


async def socket_shut(websocket: WebSocket) -> None:
    log.info("refusing")
    await websocket.close()


async def socket_deny(websocket: WebSocket) -> None:
    log.info("denying")
    await websocket.send_denial_response(PlainTextResponse("pay first", 402))


async def socket_code(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close(4007)


async def socket_boom(websocket: WebSocket) -> None:
    await websocket.accept()
    log.info("got %s", await websocket.receive_text())
    raise ValueError("the drawer is empty")


async def socket_boom_early(websocket: WebSocket) -> None:
    log.info("opening")
    raise ValueError("the drawer is empty")


ENDPOINTS = {
    "/plain": plain,
    "/binds/{name}": binds,
    "/boom": boom,
    "/handled": handled,
    "/stream": stream,
    "/short-stream": short_stream,
    "/stream-boom": stream_boom,
    "/background": background,
    "/sync-background": sync_background,
    "/background-boom": background_boom,
    "/calls/{app}": calls,
    "/calls-itself/{app}": calls_itself,
    "/calls-later/{app}": calls_later,
    "/calls-in-task/{app}": calls_in_task,
    "/cancelled": cancelled,
    "/cancelled-stream": cancelled_stream,
    "/wait": wait_for_the_end,
    "/sleep": sleep,
    "/unread": unread,
    "/release": release,
}
SOCKETS = {
    "/socket/open": socket_open,
    "/socket/echo": socket_echo,
    "/socket/shut": socket_shut,
    "/socket/deny": socket_deny,
    "/socket/code": socket_code,
    "/socket/boom": socket_boom,
    "/socket/boom-early": socket_boom_early,
}


# -- the same without a framework, as far as it makes sense -------------------------


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Serve the same paths as a bare ASGI application."""
    name, _, rest = scope["path"][1:].partition("/")
    await (_BARE_SOCKETS if scope["type"] == "websocket" else _BARE)[name](
        scope, receive, send, rest
    )


async def _answer(send: Any, body: bytes = b"ok", status: int = 200) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _plain(scope: Any, receive: Any, send: Any, rest: str) -> None:
    log.info("serving")
    await _answer(send)


async def _binds(scope: Any, receive: Any, send: Any, rest: str) -> None:
    log.info("begun")
    bind(rest)
    while (await receive()).get("more_body"):
        pass
    log.info("bound")
    await _answer(send)


async def _boom(scope: Any, receive: Any, send: Any, rest: str) -> None:
    log.info("serving")
    raise ValueError("the drawer is empty")


async def _answered_boom(scope: Any, receive: Any, send: Any, rest: str) -> None:
    """Answer and raise: what frameworks do that tell the server of an exception."""
    await _answer(send, b"sorry", 502)
    log.info("answered")
    raise ValueError("the drawer is empty")


async def _answers_503(scope: Any, receive: Any, send: Any, rest: str) -> None:
    try:
        raise OutOfStock
    except OutOfStock:
        await _answer(send, b"sorry", 503)


async def _late(scope: Any, receive: Any, send: Any, rest: str) -> None:
    await _answer(send)
    log.info("after the answer")


async def _stream(scope: Any, receive: Any, send: Any, rest: str) -> None:
    gone = anyio.Event()

    async def listen() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    async with anyio.create_task_group() as group:
        group.start_soon(listen)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            for _ in range(400):
                log.info("part")
                await send({"type": "http.response.body", "body": b"x" * 4096, "more_body": True})
                await anyio.sleep(0.02)
                if gone.is_set():
                    break
        finally:
            log.info("cleaning up")
            group.cancel_scope.cancel()


async def _bare_calls(scope: Any, receive: Any, send: Any, rest: str) -> None:
    bind("caller")
    before = bound()
    answer = await ask_inside(rest, "/binds/callee")
    log.info("back", extra={"before": before, "after": bound()})
    await _answer(send, answer.headers.get("x-request-id", "").encode())


async def _bare_cancelled(scope: Any, receive: Any, send: Any, rest: str) -> None:
    task = asyncio.create_task(asyncio.sleep(5))
    task.cancel()
    await task


async def _bare_wait(scope: Any, receive: Any, send: Any, rest: str) -> None:
    log.info("waiting")
    while (await receive())["type"] != "http.disconnect":
        pass
    raise asyncio.CancelledError


async def _socket_echo(scope: Any, receive: Any, send: Any, rest: str) -> None:
    bind("ann")
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept", "headers": [(b"x-own", b"1")]})
    while (message := await receive())["type"] == "websocket.receive":
        log.info("got %s", message["text"])
        await send({"type": "websocket.send", "text": message["text"]})
    log.info("done")


async def _socket_shut(scope: Any, receive: Any, send: Any, rest: str) -> None:
    await receive()
    log.info("refusing")
    await send({"type": "websocket.close"})


async def _socket_deny(scope: Any, receive: Any, send: Any, rest: str) -> None:
    await receive()
    log.info("denying")
    headers = [(b"content-length", b"9")]
    await send({"type": "websocket.http.response.start", "status": 402, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"pay first"})


async def _socket_code(scope: Any, receive: Any, send: Any, rest: str) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": 4007})


async def _socket_boom(scope: Any, receive: Any, send: Any, rest: str) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    log.info("got %s", (await receive())["text"])
    raise ValueError("the drawer is empty")


async def _socket_boom_early(scope: Any, receive: Any, send: Any, rest: str) -> None:
    await receive()
    log.info("opening")
    raise ValueError("the drawer is empty")


_BARE = {
    "plain": _plain,
    "binds": _binds,
    "boom": _boom,
    "answered-boom": _answered_boom,
    "handled": _answers_503,
    "late": _late,
    "stream": _stream,
    "calls": _bare_calls,
    "cancelled": _bare_cancelled,
    "wait": _bare_wait,
}
_BARE_SOCKETS = {
    "socket": lambda scope, receive, send, rest: _SOCKETS[rest](scope, receive, send, rest)
}
_SOCKETS = {
    "echo": _socket_echo,
    "shut": _socket_shut,
    "deny": _socket_deny,
    "code": _socket_code,
    "boom": _socket_boom,
    "boom-early": _socket_boom_early,
}
