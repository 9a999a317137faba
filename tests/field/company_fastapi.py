"""A FastAPI service in the company of others: OpenTelemetry, asgi-correlation-id, Prometheus."""

from __future__ import annotations

import logging
import os
from typing import Any

import mozlog_py

mozlog_py.configure("field", format="mozlog")

import anyio  # noqa: E402 - logging comes first
from asgi_correlation_id import CorrelationIdMiddleware, correlation_id  # noqa: E402
from fastapi import FastAPI, HTTPException, WebSocket  # noqa: E402
from fastapi.responses import StreamingResponse  # noqa: E402
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from prometheus_fastapi_instrumentator import Instrumentator  # noqa: E402

from dockerflow.fastapi import router  # noqa: E402
from dockerflow.fastapi.middleware import (  # noqa: E402
    MozlogRequestSummaryLogger,
    RequestIdMiddleware,
)

log = logging.getLogger("app")
fastapi = FastAPI()
fastapi.include_router(router)


@fastapi.get("/plain")
async def plain() -> dict[str, Any]:
    log.info("serving")
    return {"correlation": correlation_id.get()}


@fastapi.get("/boom")
def boom() -> None:
    log.info("serving")
    raise ValueError("the drawer is empty")


@fastapi.get("/teapot")
async def teapot() -> None:
    raise HTTPException(418)


@fastapi.get("/stream")
async def stream() -> StreamingResponse:
    async def parts() -> Any:
        log.info("serving")
        await anyio.sleep(0)
        yield b"x"

    return StreamingResponse(parts())


@fastapi.websocket("/socket/echo")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        log.info("serving")
        await websocket.send_text(text)


Instrumentator().instrument(fastapi).expose(fastapi)
if os.environ["FIELD_ORDER"] == "correlation-inside":
    fastapi.add_middleware(CorrelationIdMiddleware)
fastapi.add_middleware(MozlogRequestSummaryLogger)
fastapi.add_middleware(RequestIdMiddleware)
if os.environ["FIELD_ORDER"] == "correlation-outside":
    fastapi.add_middleware(CorrelationIdMiddleware)
FastAPIInstrumentor.instrument_app(fastapi, tracer_provider=TracerProvider())


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http" and scope["path"].startswith("/control/"):
        log.info(scope["path"][9:])
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})
        return
    await fastapi(scope, receive, send)
