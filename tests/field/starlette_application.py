"""A service of Starlette with the situations that ``test_new_adapters.py`` asks for."""

import asyncio
import contextlib
import logging
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

import mozlog_py
from dockerflow.starlette import DockerflowMiddleware
from mozlog_py import context

logger = logging.getLogger("app")


async def plain(request: Request) -> Response:
    logger.info("serving")
    return PlainTextResponse("ok")


async def bind(request: Request) -> Response:
    context.bind(colour="red")
    return PlainTextResponse("ok")


async def boom(request: Request) -> Response:
    raise ValueError("boom")


async def stream(request: Request) -> Response:
    async def parts() -> Any:
        try:
            for _ in range(int(request.query_params.get("parts", "3"))):
                logger.info("part")
                yield b"x" * 1000
                await asyncio.sleep(0.01)
        finally:
            logger.info("closed")

    return StreamingResponse(parts())


async def slow(request: Request) -> Response:
    logger.info("waiting")
    while (await request.receive())["type"] != "http.disconnect":
        pass
    raise asyncio.CancelledError


async def cancelled(request: Request) -> Response:
    raise asyncio.CancelledError


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    logger.info("connected")
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            text = await websocket.receive_text()
            logger.info("message")
            if text == "boom":
                raise ValueError("in the socket")
            await websocket.send_text(text)


async def refuse(websocket: WebSocket) -> None:
    await websocket.close()


async def sorry(request: Request, error: Exception) -> Response:
    return PlainTextResponse("sorry", 500)


app = Starlette(
    routes=[
        Route("/plain", plain),
        Route("/bind", bind),
        Route("/boom", boom),
        Route("/stream", stream),
        Route("/slow", slow),
        Route("/cancelled", cancelled),
        WebSocketRoute("/ws", echo),
        WebSocketRoute("/refuse", refuse),
    ],
    exception_handlers={Exception: sorry},
)
app.add_middleware(DockerflowMiddleware)

mozlog_py.configure("field", format="mozlog")
