"""The application that the tests of Sanic's own server are made against; it is run as a program.

``python sanic_application.py PORT``: it listens on loopback, and logs to standard output.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from typing import Any

from sanic import HTTPResponse, Request, Sanic, Websocket, response
from sanic import __version__ as sanic_version
from sanic.exceptions import NotFound, SanicException, ServerError, ServiceUnavailable
from sanic.handlers import ErrorHandler

import mozlog_py
from dockerflow.sanic import Dockerflow
from dockerflow.summary import add_fields

log = logging.getLogger("app")

app: Any = Sanic("field", configure_logging=False)
app.config.RESPONSE_TIMEOUT = 1
app.config.GRACEFUL_SHUTDOWN_TIMEOUT = 0.5
app.config.DOCKERFLOW_SUMMARY_LOG_QUERYSTRING = True
Dockerflow(app)

CONSTANT = response.text("the same")


class SupplierAway(Exception):
    pass


class Careless(Exception):
    pass


class AsyncCareless(Exception):
    pass


class Undecided(Exception):
    pass


@app.exception(SupplierAway)
async def later(request: Request, error: Exception) -> HTTPResponse:
    log.info("answering for the supplier")
    return response.json({"detail": "try later"}, status=int(request.args.get("as", "502")))


@app.exception(ServiceUnavailable)
def unavailable(request: Request, error: Exception) -> HTTPResponse:
    return response.text("come back", 503)


@app.exception(Careless)
def careless(request: Request, error: Exception) -> HTTPResponse:
    raise KeyError("in the handler")


@app.exception(AsyncCareless)
async def async_careless(request: Request, error: Exception) -> HTTPResponse:
    raise KeyError("in the handler")


@app.exception(Undecided)
def undecided(request: Request, error: Exception) -> None:
    return None


@app.on_request
async def refuse(request: Request) -> HTTPResponse | None:
    if "refuse" in request.args:
        return response.text("no", 403)
    return None


@app.on_response
async def broken_middleware(request: Request, answer: HTTPResponse) -> HTTPResponse | None:
    if "break-response" in request.args:
        raise RuntimeError("response middleware")
    if "replace-response" in request.args:
        return response.text("another", 201)
    return None


@app.route("/", methods=["GET", "POST"])
async def index(request: Request) -> HTTPResponse:
    log.info("serving")
    return response.text("hello")


@app.get("/constant")
async def constant(request: Request) -> HTTPResponse:
    return CONSTANT


@app.get("/bind")
async def binding(request: Request) -> HTTPResponse:
    mozlog_py.context.bind(colour="red")
    log.info("bound")
    return response.empty()


@app.get("/status/<status:int>")
async def status(request: Request, status: int) -> HTTPResponse:
    return response.text("", status)


RAISED = {
    "value": lambda: ValueError("boom"),
    "supplier": lambda: SupplierAway("gone"),
    "careless": lambda: Careless("first"),
    "async-careless": lambda: AsyncCareless("first"),
    "undecided": lambda: Undecided("first"),
    "missing": lambda: NotFound("nothing"),
    "sanic-503": lambda: SanicException("later", status_code=503),
    "sanic-502": lambda: SanicException("gateway", status_code=502),
    "unavailable": lambda: ServiceUnavailable("later"),
    "server-error": lambda: ServerError("mine"),
    "key": lambda: KeyError("none"),
    "cancelled": lambda: asyncio.CancelledError(),
}


@app.get("/raise/<what:str>")
async def raising(request: Request, what: str) -> HTTPResponse:
    raise RAISED[what]()


@app.post("/unread", ignore_body=True)
async def unread(request: Request) -> HTTPResponse:
    return response.text("not read")


@app.get("/nothing")
async def nothing(request: Request) -> None:
    return None


@app.get("/cancelled-task")
async def cancelled_task(request: Request) -> None:
    task = asyncio.ensure_future(asyncio.sleep(30))
    asyncio.get_running_loop().call_later(0.05, task.cancel)
    await task


@app.get("/slow")
async def slow(request: Request) -> HTTPResponse:
    log.info("waiting")
    try:
        await asyncio.sleep(float(request.args.get("for", "30")))
    finally:
        log.info("cleaning up")
    return response.text("done")


async def parts() -> AsyncIterator[str]:
    try:
        for number in range(1000):
            yield f"{number}\n"
            await asyncio.sleep(0.02)
    finally:
        log.info("generator closed")


@app.get("/stream")
async def stream(request: Request) -> None:
    sent = await request.respond(content_type="text/plain")
    iterator = parts()
    try:
        async for part in iterator:
            log.info("part")
            await sent.send(part)
            if part == request.args.get("until", "") + "\n":
                break
            if part == request.args.get("boom-at", "") + "\n":
                raise ValueError("in the stream")
    finally:
        await iterator.aclose()
    add_fields(streamed=True)
    await sent.eof()


@app.get("/stream-file")
async def stream_file(request: Request) -> Any:
    return await response.file_stream(__file__)


@app.get("/background")
async def background(request: Request) -> HTTPResponse:
    async def work() -> None:
        await asyncio.sleep(0.1)
        log.info("in the background")

    request.app.add_task(work())
    return response.text("started")


@app.websocket("/ws")
async def websocket(request: Request, ws: Websocket) -> None:
    log.info("connected")
    # Before 22.9 there is no other way to iterate.
    while (message := await ws.recv()) is not None:
        log.info("message")
        if message == "boom":
            raise ValueError("in the socket")
        if message == "close":
            await ws.close(4001, "as asked")
            return
        if message == "end":
            return
        await ws.send(message)


@app.on_request
async def shut(request: Request) -> None:
    if request.path == "/ws" and "shut" in request.args:
        raise SanicException("no entry", status_code=403)


if __name__ == "__main__":
    if "--own-default" in sys.argv:

        class OwnDefault(ErrorHandler):
            def default(self, request: Request, exception: Exception) -> HTTPResponse:
                if isinstance(exception, KeyError):
                    return response.text("no such key", 404)
                return super().default(request, exception)

        app.error_handler = OwnDefault()
    mozlog_py.configure("field", format="mozlog")
    # Before 22.9 there was no other way.
    single = {} if sanic_version.startswith("22.6") else {"single_process": True}
    app.run("127.0.0.1", int(sys.argv[1]), access_log=True, motd=False, **single)
