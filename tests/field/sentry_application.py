"""An application that reports to sentry-sdk, and what it reports of some requests.

``sentry_sdk.init`` changes the process for good, so each combination has a process of its
own: ``python sentry_application.py '{"stack": "flask", "setup": "default"}'`` prints, for
each kind of request, the events and the transactions that would have been sent.
"""

import asyncio
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import structlog
from drivers import ASGIDriver, Driver, WSGIDriver

logger = logging.getLogger("shop")
CACHED = LookupError("no such drawer")
RID = "rid-of-the-request"

#: What a request of this path does, but for streams and tasks, which each framework has its own of.
ACTIONS: dict[str, Callable[[], None]] = {}


class DrawerError(Exception):
    """An exception that has a weak reference, as builtin ones have not."""


def action(function: Callable[[], None]) -> Callable[[], None]:
    ACTIONS["/" + function.__name__.replace("_", "-")] = function
    return function


@action
def boom() -> None:
    raise ValueError("the drawer is empty")


@action
def own_class() -> None:
    raise DrawerError("the drawer is stuck")


@action
def logged() -> None:
    try:
        raise ValueError("the drawer is empty")
    except ValueError:
        logger.exception("no drawer")
        raise


@action
def logged_twice_between_others() -> None:
    try:
        raise ValueError("the drawer is empty")
    except ValueError:
        logger.exception("no drawer")
        try:
            raise KeyError("another")
        except KeyError:
            logger.exception("another")
        logger.exception("still no drawer")
        raise


@action
def structured() -> None:
    """Hand the event dict to logging, with the exception in it."""
    _structured(structlog.stdlib.ProcessorFormatter.wrap_for_formatter)


@action
def structured_text() -> None:
    """Hand the event dict to logging, with the exception's traceback in it."""
    _structured(
        structlog.processors.format_exc_info,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    )


@action
def structured_line() -> None:
    """Hand a line of JSON to logging."""
    _structured(structlog.processors.format_exc_info, structlog.processors.JSONRenderer())


@action
def structured_arguments() -> None:
    """Hand the exception to logging as its own."""
    _structured(structlog.stdlib.render_to_log_kwargs)


@action
def structured_mozlog() -> None:
    """Hand a line of ours to logging."""
    from mozlog_py.structlog import MozlogRenderer

    _structured(MozlogRenderer("shop", output="text"))


def _structured(*processors: Any) -> None:
    log = structlog.wrap_logger(
        logger,
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[structlog.stdlib.add_log_level, *processors],
    )
    try:
        raise ValueError("the drawer is empty")
    except ValueError:
        log.exception("no drawer", drawer=3)
        raise


@action
def handled() -> None:
    try:
        raise ValueError("the drawer is empty")
    except ValueError:
        logger.exception("no drawer")


@action
def wrapped() -> None:
    """Log an exception, and raise another that it is the cause of."""
    try:
        raise ValueError("the drawer is empty")
    except ValueError as error:
        logger.exception("no drawer")
        raise DrawerError("no sale") from error


@action
def complaint() -> None:
    logger.error("the drawer squeaks")


@action
def cached() -> None:
    raise CACHED


@action
def fine() -> None:
    pass


def flask(settings: dict[str, Any]) -> Driver:
    from flask import Flask, Response

    from dockerflow.flask import Dockerflow

    app = Flask("shop")
    app.config.update(settings)
    Dockerflow(app)

    @app.get("/<path>")
    def serve(path: str) -> Any:
        if f"/{path}" == "/stream":
            return Response(parts())
        if f"/{path}" not in ACTIONS:
            from flask import abort

            abort(404)
        ACTIONS[f"/{path}"]()
        return "done"

    return WSGIDriver(app)


def _django(settings: dict[str, Any]) -> None:
    import django
    from django.conf import settings as configured
    from django.http import Http404, HttpResponse, StreamingHttpResponse
    from django.urls import path as route

    def serve(request: Any, path: str) -> Any:
        if path == "stream":
            return StreamingHttpResponse(parts_async() if hasattr(request, "scope") else parts())
        if f"/{path}" not in ACTIONS:
            raise Http404
        ACTIONS[f"/{path}"]()
        return HttpResponse("done")

    urls: Any = type(sys)("shop_urls")
    urls.urlpatterns = [route("<path>", serve)]
    sys.modules["shop_urls"] = urls
    configured.configure(
        ALLOWED_HOSTS=["*"],
        INSTALLED_APPS=["dockerflow.django"],
        LOGGING_CONFIG=None,
        MIDDLEWARE=["dockerflow.django.middleware.DockerflowMiddleware"],
        ROOT_URLCONF="shop_urls",
        SECRET_KEY="of tests",
        **settings,
    )
    django.setup()


def django_wsgi(settings: dict[str, Any]) -> Driver:
    _django(settings)
    from django.core.wsgi import get_wsgi_application

    return WSGIDriver(get_wsgi_application())


def django_asgi(settings: dict[str, Any]) -> Driver:
    _django(settings)
    from django.core.asgi import get_asgi_application

    return ASGIDriver(get_asgi_application())


def fastapi(settings: dict[str, Any]) -> Driver:
    from fastapi import BackgroundTasks, FastAPI, HTTPException
    from fastapi.responses import StreamingResponse

    from dockerflow.fastapi import router
    from dockerflow.fastapi.middleware import MozlogRequestSummaryLogger, RequestIdMiddleware

    app = FastAPI()
    for name, value in settings.items():
        setattr(app.state, name, value)
    app.include_router(router)
    app.add_middleware(MozlogRequestSummaryLogger)
    app.add_middleware(RequestIdMiddleware)

    @app.get("/{path}")
    def serve(path: str, tasks: BackgroundTasks) -> Any:
        if path == "stream":
            return StreamingResponse(parts())
        if path == "task":
            tasks.add_task(boom)
        elif f"/{path}" not in ACTIONS:
            raise HTTPException(404)
        else:
            ACTIONS[f"/{path}"]()
        return "done"

    return ASGIDriver(app)


def _starlette() -> Any:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.exceptions import HTTPException
    from starlette.responses import PlainTextResponse, StreamingResponse
    from starlette.routing import Route

    async def serve(request: Any) -> Any:
        path = request.url.path
        if path == "/stream":
            return StreamingResponse(parts())
        if path == "/task":
            return PlainTextResponse("done", background=BackgroundTask(boom))
        if path not in ACTIONS:
            raise HTTPException(404)
        ACTIONS[path]()
        return PlainTextResponse("done")

    return Starlette(routes=[Route("/{path}", serve)])


def starlette(settings: dict[str, Any]) -> Driver:
    """Be a middleware of Starlette."""
    from dockerflow.asgi import DockerflowASGI
    from dockerflow.settings import Settings

    app = _starlette()
    app.add_middleware(DockerflowASGI, settings=Settings.read(settings))
    return ASGIDriver(app)


def starlette_within(settings: dict[str, Any]) -> Driver:
    """Be around Starlette, and so around the middleware of sentry-sdk as well."""
    from dockerflow.asgi import DockerflowASGI
    from dockerflow.settings import Settings

    return ASGIDriver(DockerflowASGI(_starlette(), settings=Settings.read(settings)))


def starlette_tasks(settings: dict[str, Any]) -> Driver:
    """Be between two middlewares that run the rest of the application in a task of its own."""
    from starlette.middleware.base import BaseHTTPMiddleware

    from dockerflow.asgi import DockerflowASGI
    from dockerflow.settings import Settings

    async def passing(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    app = _starlette()
    app.add_middleware(BaseHTTPMiddleware, dispatch=passing)
    app.add_middleware(DockerflowASGI, settings=Settings.read(settings))
    app.add_middleware(BaseHTTPMiddleware, dispatch=passing)
    return ASGIDriver(app)


def sanic(settings: dict[str, Any]) -> Driver:
    from sanic import Sanic, response
    from sanic.exceptions import NotFound

    from dockerflow.sanic import Dockerflow

    app: Any = Sanic("shop", log_config={"version": 1, "disable_existing_loggers": False})
    app.config.TOUCHUP = False
    app.config.update(settings)
    Dockerflow(app)

    @app.get("/<path:str>")
    async def serve(request: Any, path: str) -> Any:
        if path == "stream":
            sent = await request.respond()
            for part in parts():
                await sent.send(part)
        if f"/{path}" not in ACTIONS:
            raise NotFound("nothing")
        ACTIONS[f"/{path}"]()
        return response.text("done")

    loop = asyncio.new_event_loop()
    app.asgi = True

    async def start() -> None:
        await app._startup()

    loop.run_until_complete(start())
    return ASGIDriver(app, run=loop.run_until_complete)


def asgi(settings: dict[str, Any], logger: logging.Logger | None = None) -> Driver:
    from dockerflow.asgi import DockerflowASGI
    from dockerflow.settings import Settings

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        if path == "/calls-itself":
            answer = await ASGIDriver(app).request_async("GET", "/boom")
            assert answer.error is not None
            raise answer.error
        if path == "/asks-itself":
            await ASGIDriver(app).request_async("GET", "/__lbheartbeat__")
        if path == "/silent":
            return
        if path in ACTIONS:
            ACTIONS[path]()
        status = 200 if path in ACTIONS or path in ("/stream", "/task") else 404
        await send({"type": "http.response.start", "status": status, "headers": []})
        if path == "/stream":
            for part in parts():
                message = {"type": "http.response.body", "body": part.encode(), "more_body": True}
                await send(message)
        await send({"type": "http.response.body", "body": b"done"})
        if path == "/task":
            boom()

    app = DockerflowASGI(serve, settings=Settings.read(settings), logger=logger)
    return ASGIDriver(app)


def asgi_own_logger(settings: dict[str, Any]) -> Driver:
    return asgi(settings, logging.getLogger("shop.requests"))


def asgi_own_kind_of_logger(settings: dict[str, Any]) -> Driver:
    class Louder(logging.Logger):
        pass

    own = Louder("shop.requests")
    own.parent = logging.getLogger()
    return asgi(settings, own)


def wsgi(settings: dict[str, Any]) -> Driver:
    from dockerflow.settings import Settings
    from dockerflow.wsgi import DockerflowWSGI

    def serve(environ: Any, start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        if path in ACTIONS:
            ACTIONS[path]()
        is_known = path in ACTIONS or path == "/stream"
        start_response("200 OK" if is_known else "404 Not Found", [])
        return (part.encode() for part in parts()) if path == "/stream" else [b"done"]

    return WSGIDriver(DockerflowWSGI(serve, settings=Settings.read(settings)))


def parts() -> Iterator[str]:
    yield "one"
    raise ValueError("the drawer is empty")


async def parts_async() -> Any:
    for part in parts():
        yield part


#: What was sent, and the kind of request during which it was.
sent: list[tuple[str, dict[str, Any]]] = []
scenario = ""


def start_sentry(setup: str, options: dict[str, Any]) -> None:
    import sentry_sdk
    from sentry_sdk.integrations.dedupe import DedupeIntegration
    from sentry_sdk.integrations.logging import LoggingIntegration, ignore_logger
    from sentry_sdk.integrations.modules import ModulesIntegration
    from sentry_sdk.transport import Transport

    class Kept(Transport):
        def capture_envelope(self, envelope: Any) -> None:
            for item in envelope.items:
                content = item.payload.json or json.loads(item.payload.get_bytes() or b"{}")
                if item.type in ("event", "transaction"):
                    sent.append((scenario, {**content, "kind": item.type}))
                elif item.type == "span":
                    spans = content.get("items", [])
                    sent.extend((scenario, {**span, "kind": "span"}) for span in spans)

    def drop_summaries(event: Any, hint: Any) -> Any:
        return None if event.get("logger") == "request.summary" else event

    setups: dict[str, dict[str, Any]] = {
        "default": {},
        "no dedupe": {"disabled_integrations": [DedupeIntegration()]},
        "no logging": {"disabled_integrations": [LoggingIntegration()]},
        "no events of logging": {"integrations": [LoggingIntegration(event_level=None)]},
        "ignored logger": {},
        "before_send": {"before_send": drop_summaries},
        "before_send, no dedupe": {
            "before_send": drop_summaries,
            "disabled_integrations": [DedupeIntegration()],
        },
        "no framework": {"auto_enabling_integrations": False},
        "logging": {"default_integrations": False, "integrations": [LoggingIntegration()]},
        "nothing": {"default_integrations": False},
        "by hand": {"auto_enabling_integrations": False},
        "by hand, no dedupe": {
            "default_integrations": False,
            "integrations": [LoggingIntegration()],
        },
        "ignored error": {"ignore_errors": [ValueError]},
    }
    if setup == "ignored logger":
        ignore_logger("request.summary")
    chosen = {**setups[setup], **options}
    # It reads the metadata of each distribution that is installed, which takes half of the time.
    chosen["disabled_integrations"] = [
        ModulesIntegration(), *chosen.get("disabled_integrations", ())
    ]  # fmt: skip
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1", transport=Kept, traces_sample_rate=1.0, **chosen
    )


def by_hand(driver: Any) -> None:
    from sentry_sdk.integrations.asgi import SentryAsgiMiddleware
    from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware

    around = SentryAsgiMiddleware if isinstance(driver, ASGIDriver) else SentryWsgiMiddleware
    driver.app = around(driver.app)


def requests(driver: Any) -> None:
    global scenario
    headers = [("X-Request-ID", RID)]
    extra = ("/stream", "/task", "/missing", "/silent", "/calls-itself", "/asks-itself")
    for path in [*ACTIONS, *extra]:
        scenario = path
        driver.get(path, headers=headers)
        flush_spans()
    scenario = "/cached again"
    driver.get("/cached", headers=headers)
    scenario = "/cached together"
    if isinstance(driver, ASGIDriver):

        async def both() -> None:
            await asyncio.gather(
                driver.request_async("GET", "/cached"), driver.request_async("GET", "/cached")
            )

        driver.run(both())
    else:
        threads = [threading.Thread(target=driver.get, args=("/cached",)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    flush_spans()
    for path in ("/__lbheartbeat__", "/__heartbeat__", "/__version__", "/__error__"):
        scenario = path
        driver.get(path)
        flush_spans()


def flush_spans() -> None:
    """Send the spans that are queued, so that they are counted for this kind of request."""
    batcher = sys.modules["sentry_sdk"].get_client().span_batcher
    if batcher is not None:
        batcher.flush()


def request_to_server(driver: Any) -> None:
    """Send one request to uvicorn, and wait for the last line that it logs."""
    global scenario
    import http.client

    import uvicorn

    scenario = "/boom"
    config = uvicorn.Config(driver.app, port=0, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/boom", headers={"X-Request-ID": RID})
    connection.getresponse().read()
    connection.close()
    server.should_exit = True
    thread.join()


def outside_of_requests() -> None:
    """Log an exception where there is no request."""
    global scenario
    scenario = "outside"
    try:
        raise CACHED
    except LookupError:
        logger.exception("no drawer")


def told(event: dict[str, Any]) -> dict[str, Any]:
    """Return what the tests look at."""
    if event["kind"] == "transaction":
        return {"kind": "transaction", "name": event["transaction"]}
    if event["kind"] == "span":
        return {"kind": "span", "name": event["name"]}
    values = event.get("exception", {}).get("values", [])
    frames = [
        each["function"] for each in (values or [{}])[-1].get("stacktrace", {}).get("frames", [])
    ]
    return {
        "kind": "event",
        "logger": event.get("logger"),
        "level": event.get("level"),
        "message": event.get("logentry", {}).get("formatted"),
        "exceptions": [each["type"] for each in values],
        "raised_in": frames[-1] if frames else None,
        "handled": values[-1].get("mechanism", {}).get("handled") if values else None,
        "rid": event.get("tags", {}).get("rid"),
    }


def main(case: dict[str, Any]) -> None:
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger().addHandler(logging.NullHandler())
    for name in ("request.summary", "sanic.root", "sanic.error", "sanic.access"):
        logging.getLogger(name).handlers[:] = [logging.NullHandler()]
    logging.lastResort = None
    setup, options = case.get("setup", "default"), case.get("options", {})
    if case.get("init", "before") == "before":
        start_sentry(setup, options)
    driver: Any = globals()[case["stack"]](case.get("settings", {}))
    if case.get("init") == "after":
        assert "sentry_sdk" not in sys.modules or case["stack"].startswith("django")
        start_sentry(setup, options)
    if setup.startswith("by hand"):
        by_hand(driver)
    if case.get("init") == "late":
        driver.get("/fine")
        start_sentry(setup, options)
    if case.get("server"):
        request_to_server(driver)
    else:
        requests(driver)
        thread = threading.Thread(target=outside_of_requests)
        thread.start()
        thread.join()
    import sentry_sdk

    sentry_sdk.flush()
    print(json.dumps([[name, told(event)] for name, event in sent]))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
