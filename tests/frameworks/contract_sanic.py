"""The contract's application in Sanic, and the event loop that it belongs to."""

import asyncio
import itertools
import logging
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from contract import JSON, bind
from drivers import ASGIDriver
from sanic import HTTPResponse, Request, Sanic, response
from sanic.exceptions import NotFound

from dockerflow.sanic import Dockerflow
from dockerflow.summary import add_fields

logger = logging.getLogger("app")

numbers = itertools.count()


def bare(**settings: Any) -> Any:
    """Return an application without Dockerflow."""
    quiet = {"version": 1, "disable_existing_loggers": False}
    app: Any = Sanic(f"contract-{next(numbers)}", log_config=quiet)
    # It changes the functions of the server, once in a process only.
    app.config.TOUCHUP = False
    app.config.update(settings)
    return app


def application(
    folder: Path | None = None,
    settings: dict[str, Any] | None = None,
    extension: Dockerflow | None = None,
) -> Any:
    app = bare(**(settings or {}))
    (extension or Dockerflow(version_path=str(folder))).init_app(app)

    @app.route("/", methods=["GET", "HEAD", "POST", "OPTIONS"])
    async def index(request: Request) -> HTTPResponse:
        logger.info("serving")
        return response.text("hello")

    @app.get("/status/<status:int>")
    async def status(request: Request, status: int) -> HTTPResponse:
        return response.empty(status)

    @app.get("/missing")
    async def missing(request: Request) -> None:
        raise NotFound("nothing")

    @app.get("/boom", name="boom")
    @app.get("/boom-json", name="boom_json")
    async def boom(request: Request) -> None:
        raise ValueError("boom" if request.path == "/boom" else JSON)

    @app.get("/stream", name="stream")
    @app.get("/stream-boom", name="stream_boom")
    async def stream(request: Request) -> None:
        sent = await request.respond()
        assert sent is not None
        for part in "abc":
            logger.info("part")
            await sent.send(part)
            if request.path == "/stream-boom":
                raise ValueError("boom")
        add_fields(parts=3)
        await sent.eof()

    @app.get("/facts")
    async def facts(request: Request) -> HTTPResponse:
        add_fields(user="ann", name="bob")
        return response.empty()

    @app.get("/facts-apart")
    async def facts_apart(request: Request) -> HTTPResponse:
        await asyncio.create_task(asyncio.to_thread(add_fields, user="ann"))
        return response.empty()

    @app.get("/bind")
    async def binding(request: Request) -> HTTPResponse:
        bind()
        return response.empty()

    @app.get("/own-id")
    async def own_id(request: Request) -> HTTPResponse:
        return response.empty(headers={"X-Request-Id": "mine"})

    @app.get("/vary")
    async def vary(request: Request) -> HTTPResponse:
        return response.empty(headers={"Vary": request.headers["x-vary"]})

    @app.get("/where")
    async def where(request: Request) -> HTTPResponse:
        return response.text(request.path)

    return app


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """One event loop, to which a Sanic application belongs for its life."""
    made = asyncio.new_event_loop()
    yield made
    for task in asyncio.all_tasks(made):
        task.cancel()
        made.run_until_complete(asyncio.wait([task]))
    made.run_until_complete(made.shutdown_asyncgens())
    made.run_until_complete(made.shutdown_default_executor())
    made.close()
    asyncio.set_event_loop(None)


_loop: Any = None


@pytest.fixture(autouse=True)
def quiet_sanic(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    global _loop
    _loop = loop
    names = ("sanic.root", "sanic.error", "sanic.access", "sanic.server", "asyncio")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def driver_of(app: Any) -> ASGIDriver:
    """Start an application as an ASGI server does, and give what sends requests to it."""
    started: asyncio.Future[None] = _loop.create_future()

    async def receive() -> dict[str, str]:
        if not started.done():
            return {"type": "lifespan.startup"}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        assert message["type"] == "lifespan.startup.complete", message
        started.set_result(None)

    async def start() -> None:
        task = asyncio.ensure_future(app({"type": "lifespan"}, receive, send))
        await asyncio.wait([task, started], return_when=asyncio.FIRST_COMPLETED)
        assert started.done(), task.exception()
        running.append(task)

    asyncio.set_event_loop(_loop)
    _loop.run_until_complete(start())

    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        return _loop.run_until_complete(coroutine)

    return ASGIDriver(app, run=run)


running: list[Any] = []
