"""The contract's application in FastAPI."""

import logging
import threading
from pathlib import Path
from typing import Any

from contract import JSON, bind
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse

from dockerflow.fastapi import router
from dockerflow.fastapi.middleware import MozlogRequestSummaryLogger, RequestIdMiddleware
from dockerflow.summary import add_fields

logger = logging.getLogger("app")


def application(folder: Path, settings: dict[str, Any] | None = None) -> FastAPI:
    app = FastAPI()
    app.include_router(router)
    app.add_middleware(MozlogRequestSummaryLogger)
    app.add_middleware(RequestIdMiddleware)
    app.state.APP_DIR = str(folder)
    for name, value in (settings or {}).items():
        setattr(app.state, name, value)

    @app.api_route("/", methods=["GET", "HEAD", "POST", "OPTIONS", "BREW"])
    async def index() -> Response:
        logger.info("serving")
        return PlainTextResponse("hello")

    @app.get("/status/{status}")
    async def status(status: int) -> Response:
        return Response(status_code=status)

    @app.get("/missing")
    async def missing() -> None:
        raise HTTPException(404)

    @app.get("/boom")
    def boom() -> None:
        raise ValueError("boom")

    @app.get("/boom-json")
    async def boom_json() -> None:
        raise ValueError(JSON)

    @app.get("/stream")
    @app.get("/stream-boom")
    async def stream(request: Request) -> StreamingResponse:
        async def parts() -> Any:
            # request.url cannot be asked: it raises where the query is no UTF-8.
            for part in "abc":
                logger.info("part")
                yield part
                if request.scope["path"] == "/stream-boom":
                    raise ValueError("boom")
            add_fields(parts=3)

        return StreamingResponse(parts())

    @app.get("/facts")
    async def facts() -> None:
        add_fields(user="ann", name="bob")

    @app.get("/facts-apart")
    def facts_apart() -> None:
        # A view that is no coroutine runs in a thread of the pool.
        assert threading.current_thread() is not threading.main_thread()
        add_fields(user="ann")

    @app.get("/bind")
    async def binding() -> None:
        bind()

    @app.get("/own-id")
    async def own_id() -> Response:
        return Response(headers={"X-Request-Id": "mine"})

    @app.get("/vary")
    async def vary(request: Request) -> Response:
        return Response(headers={"Vary": request.headers["x-vary"]})

    @app.get("/where")
    async def where(request: Request) -> Response:
        return PlainTextResponse(request.scope["path"].removeprefix(request.scope["root_path"]))

    return app
