"""A service of aiohttp with the situations that ``test_new_adapters.py`` asks for."""

import asyncio
import logging
import sys
from typing import Any

from aiohttp import web

import dockerflow.aiohttp
import mozlog_py
from mozlog_py import context

logger = logging.getLogger("app")


async def plain(request: web.Request) -> web.Response:
    logger.info("serving")
    return web.Response(text="ok")


async def bind(request: web.Request) -> web.Response:
    context.bind(colour="red")
    return web.Response(text="ok")


async def boom(request: web.Request) -> web.Response:
    raise ValueError("boom")


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    try:
        for _ in range(int(request.query.get("parts", "3"))):
            logger.info("part")
            await response.write(b"x" * 1000)
            await asyncio.sleep(0.01)
    finally:
        logger.info("closed")
    return response


async def slow(request: web.Request) -> web.Response:
    logger.info("waiting")
    await asyncio.sleep(60)
    return web.Response(text="late")


async def cancelled(request: web.Request) -> web.Response:
    raise asyncio.CancelledError


async def echo(request: web.Request) -> web.WebSocketResponse:
    websocket = web.WebSocketResponse()
    await websocket.prepare(request)
    logger.info("connected")
    async for message in websocket:
        logger.info("message")
        if message.data == "boom":
            raise ValueError("in the socket")
        await websocket.send_str(message.data)
    return websocket


async def refuse(request: web.Request) -> Any:
    raise web.HTTPForbidden


def application() -> web.Application:
    app = web.Application()
    dockerflow.aiohttp.setup(app)
    for path, handler in {
        "/plain": plain, "/bind": bind, "/boom": boom, "/stream": stream, "/slow": slow,
        "/cancelled": cancelled, "/ws": echo, "/refuse": refuse,
    }.items():  # fmt: skip
        app.router.add_get(path, handler)
    return app


if __name__ == "__main__":
    mozlog_py.configure("field", format="mozlog")
    web.run_app(
        application(),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        print=None,
        handler_cancellation=True,
        shutdown_timeout=0.2,
    )
