"""The contract, and what else there is to Starlette, of its adapter."""

import asyncio
import contextlib
import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from contract import JSON, Contract, Lines, bind
from contract_asgi import failure_of_start, serve
from drivers import ASGIDriver
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from dockerflow import checks
from dockerflow.asgi import DockerflowASGI
from dockerflow.request_id import RequestIdPolicy
from dockerflow.settings import Settings
from dockerflow.starlette import DockerflowMiddleware
from dockerflow.summary import add_fields

logger = logging.getLogger("app")


async def index(request: Request) -> Response:
    logger.info("serving")
    return PlainTextResponse("hello")


async def status(request: Request) -> Response:
    return Response(status_code=request.path_params["status"])


async def missing(request: Request) -> Response:
    raise HTTPException(404)


def boom(request: Request) -> Response:
    # A view that is no coroutine runs in a thread of the pool.
    raise ValueError("boom")


async def boom_json(request: Request) -> Response:
    raise ValueError(JSON)


async def stream(request: Request) -> Response:
    async def parts() -> Any:
        for part in "abc":
            logger.info("part")
            yield part
            if request.scope["path"] == "/stream-boom":
                raise ValueError("boom")
        add_fields(parts=3)

    return StreamingResponse(parts())


async def facts(request: Request) -> Response:
    add_fields(user="ann", name="bob")
    return Response()


def facts_apart(request: Request) -> Response:
    assert threading.current_thread() is not threading.main_thread()
    add_fields(user="ann")
    return Response()


async def binding(request: Request) -> Response:
    bind()
    return Response()


async def own_id(request: Request) -> Response:
    return Response(headers={"X-Request-Id": "mine"})


async def vary(request: Request) -> Response:
    return Response(headers={"Vary": request.headers.get("x-vary", "")})


async def where(request: Request) -> Response:
    return PlainTextResponse(request.scope["path"].removeprefix(request.scope["root_path"]))


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    logger.info("accepted")
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            text = await websocket.receive_text()
            if text == "boom":
                raise ValueError("boom")
            await websocket.send_text(text)


async def refuse(websocket: WebSocket) -> None:
    await websocket.send_denial_response(PlainTextResponse("no", 418))


METHODS = ["GET", "HEAD", "POST", "OPTIONS", "BREW"]


def application(folder: Path | str, settings: dict[str, Any] | None = None, **options: Any) -> Any:
    app = Starlette(
        routes=[
            Route("/", index, methods=METHODS),
            Route("/status/{status:int}", status),
            Route("/missing", missing),
            Route("/boom", boom),
            Route("/boom-json", boom_json),
            Route("/stream", stream),
            Route("/stream-boom", stream),
            Route("/facts", facts),
            Route("/facts-apart", facts_apart),
            Route("/bind", binding),
            Route("/own-id", own_id),
            Route("/vary", vary),
            Route("/where", where),
            WebSocketRoute("/echo", echo),
            WebSocketRoute("/refuse", refuse),
        ],
        **options,
    )
    app.add_middleware(DockerflowMiddleware)
    app.state.APP_DIR = str(folder)
    for name, value in (settings or {}).items():
        setattr(app.state, name, value)
    return app


class TestContract(Contract):
    lbheartbeat_body = b'{"status":"ok"}'

    def make(self, folder: Path, settings: dict[str, Any] | None = None) -> ASGIDriver:
        return ASGIDriver(application(folder, settings))


class TestEndpoints:
    def test_endpoints_give_checks_the_state_of_the_application(self, tmp_path: Path) -> None:
        app = application(tmp_path, {"limit": 7})

        @checks.register
        def limited(config: Any) -> list[Any]:
            return [checks.Info(str(config.limit), id="x.I1")]

        assert b'"x.I1":"7"' in ASGIDriver(app).get("/__heartbeat__").body

    def test_endpoints_show_details_where_the_application_debugs(self, tmp_path: Path) -> None:
        checks.register(list, name="fine")
        hidden = {"DOCKERFLOW_HEARTBEAT_DETAILS": "debug"}
        for is_debug in (False, True):
            app = application(tmp_path, hidden, debug=is_debug)
            payload = json.loads(ASGIDriver(app).get("/__heartbeat__").body)
            assert ("checks" in payload) == is_debug

    def test_endpoints_take_options_before_the_state(self, lines: Lines, tmp_path: Path) -> None:
        (tmp_path / "version.json").write_text('{"version": "7"}')
        checks.register(lambda config: [checks.Info(config, id="x.I1")], name="told")
        app = Starlette()
        app.add_middleware(
            DockerflowMiddleware,
            settings=Settings(error_endpoint=False, request_id_header_name="x-trace"),
            version_path=str(tmp_path),
            config="ours",
        )
        app.state.DOCKERFLOW_ERROR_ENDPOINT = True
        app.state.APP_DIR = "/nowhere"
        driver = ASGIDriver(app)
        assert driver.get("/__error__").status == 404
        assert driver.get("/__version__").body == b'{"version":"7"}'
        assert b'"x.I1":"ours"' in driver.get("/__heartbeat__").body
        assert driver.get("/", headers=[("x-trace", "t1")]).header("x-trace") == "t1"

    def test_endpoints_read_the_version_of_the_environment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "version.json").write_text('{"version": "env"}')
        app = application(tmp_path)
        del app.state.APP_DIR
        monkeypatch.setenv("APP_DIR", str(tmp_path))
        assert ASGIDriver(app).get("/__version__").body == b'{"version":"env"}'

    def test_endpoints_follow_the_state_while_the_application_runs(self, tmp_path: Path) -> None:
        app = application(tmp_path)
        driver = ASGIDriver(app)
        assert driver.get("/__error__").status == 500
        app.state.DOCKERFLOW_ERROR_ENDPOINT = False
        assert driver.get("/__error__").status == 404

    def test_endpoints_are_left_out_when_told_so(self, tmp_path: Path) -> None:
        app = Starlette()
        app.add_middleware(DockerflowMiddleware, endpoints=False)
        assert ASGIDriver(app).get("/__lbheartbeat__").status == 404


class TestSettings:
    def test_settings_that_are_bad_stop_the_start(self, tmp_path: Path) -> None:
        app = application(tmp_path, {"DOCKERFLOW_HEARTBEAT_DETAILS": "sometimes"})
        assert "DOCKERFLOW_HEARTBEAT_DETAILS is 'sometimes'" in failure_of_start(app)

    def test_settings_that_are_bad_do_not_stop_a_request(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        app = application(tmp_path, {"DOCKERFLOW_HEARTBEAT_DETAILS": "sometimes"})
        driver = ASGIDriver(app)
        assert [driver.get(path).status for path in ("/", "/__heartbeat__")] == [200, 200]
        (said,) = lines.of("dockerflow.settings")
        assert "DOCKERFLOW_HEARTBEAT_DETAILS is 'sometimes'" in said["msg"]

    def test_settings_may_change_while_the_application_runs(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        app = application(tmp_path)
        driver = ASGIDriver(app)
        driver.get("/", query="a=b")
        app.state.DOCKERFLOW_SUMMARY_LOG_QUERYSTRING = True
        driver.get("/", query="a=b")
        assert ["querystring" in each["Fields"] for each in lines.summaries] == [False, True]

    def test_settings_are_read_beside_a_policy_of_ones_own(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        app = Starlette()
        app.add_middleware(
            DockerflowMiddleware, request_id=RequestIdPolicy(generator=lambda: "mine")
        )
        app.state.DOCKERFLOW_SUMMARY_LOG_QUERYSTRING = True
        app.state.DOCKERFLOW_ERROR_ENDPOINT = False
        driver = ASGIDriver(app)
        assert driver.get("/__error__", query="a=b").status == 404
        assert (lines.summary["rid"], lines.summary["querystring"]) == ("mine", "a=b")

    def test_settings_are_not_needed(self, lines: Lines) -> None:
        # As a middleware around an application that is not Starlette's.
        assert serve(DockerflowMiddleware(PlainTextResponse("x")))[0]["status"] == 200
        assert lines.summary["code"] == 200


class TestMiddleware:
    def test_an_answer_of_the_outermost_middleware_has_the_id(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        answer = ASGIDriver(application(tmp_path)).get("/boom", headers=[("x-request-id", "r1")])
        assert answer.status == 500
        assert answer.header("x-request-id") == lines.summary["rid"] == "r1"

    def test_a_handler_for_exception_is_in_the_request(self, lines: Lines, tmp_path: Path) -> None:
        async def handle(request: Request, error: Exception) -> Response:
            logger.info("handling")
            return PlainTextResponse("sorry", 503)

        app = application(tmp_path, exception_handlers={Exception: handle})
        answer = ASGIDriver(app).get("/boom", headers=[("x-request-id", "r1")])
        assert (answer.status, answer.header("x-request-id")) == (503, "r1")
        assert lines.of("app") == [{"msg": "handling", "rid": "r1"}]
        assert (lines.summary["code"], lines.summary["errno"]) == (503, 500)

    @pytest.mark.parametrize("is_function", [True, False])
    def test_a_layer_that_hides_its_application_does_not_hide_the_middleware(
        self, is_function: bool, lines: Lines, tmp_path: Path
    ) -> None:
        async def handle(request: Request, error: Exception) -> Response:
            logger.info("handling")
            return PlainTextResponse("sorry", 503)

        def function(inside: Any) -> Any:
            async def call(scope: Any, receive: Any, send: Any) -> None:
                await inside(scope, receive, send)

            return call

        class Named:
            def __init__(self, inside: Any, **_: Any) -> None:
                self.inside = inside

            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                await self.inside(scope, receive, send)

        app = application(tmp_path, exception_handlers={Exception: handle})
        kind: Any = (lambda app: function(app)) if is_function else (lambda app: Named(app))
        app.add_middleware(kind)
        answer = ASGIDriver(app).get("/boom", headers=[("x-request-id", "r1")])
        assert (answer.status, answer.header("x-request-id")) == (503, "r1")
        assert lines.of("app") == [{"msg": "handling", "rid": "r1"}]

    def test_a_handler_for_one_exception_makes_it_no_error(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        async def handle(request: Request, error: Exception) -> Response:
            return PlainTextResponse("sorry", 500)

        app = application(tmp_path, exception_handlers={ValueError: handle})
        assert ASGIDriver(app).get("/boom").status == 500
        assert (lines.summary["code"], lines.summary["errno"]) == (500, 0)

    def test_other_middleware_may_be_on_either_side(self, lines: Lines, tmp_path: Path) -> None:
        passed = []

        class Noting:
            def __init__(self, app: Any, name: str) -> None:
                self.app, self.name = app, name

            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                passed.append(self.name)
                add_fields(**{self.name: True})
                await self.app(scope, receive, send)

        app = Starlette(routes=[Route("/", index)])
        for name in ("inner", "ours", "outer"):
            if name == "ours":
                app.add_middleware(DockerflowMiddleware)
            else:
                app.add_middleware(Noting, name=name)
        ASGIDriver(app).get("/")
        assert passed == ["outer", "inner"]
        # The request begins around Starlette's own outermost middleware.
        assert lines.summary["outer"] is lines.summary["inner"] is True

    def test_a_background_task_that_fails_leaves_the_status(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        def fail() -> None:
            logger.info("working")
            raise ValueError("later")

        async def later(request: Request) -> Response:
            return Response(background=BackgroundTask(fail))

        app = application(tmp_path)
        app.add_route("/later", later)
        answer = ASGIDriver(app).get("/later")
        assert isinstance(answer.error, ValueError)
        assert (answer.status, lines.summary["code"], lines.summary["errno"]) == (200, 200, 0)
        assert lines.of("app") == [{"msg": "working", "rid": lines.summary["rid"]}]

    def test_twice_makes_one_id_and_one_summary(self, lines: Lines, tmp_path: Path) -> None:
        app = application(tmp_path)
        app.add_middleware(DockerflowMiddleware)
        app.add_middleware(DockerflowASGI)
        answer = ASGIDriver(app).get("/")
        assert answer.header("x-request-id") == lines.summary["rid"]

    def test_each_part_can_be_left_out(self, lines: Lines) -> None:
        app = Starlette()
        app.add_middleware(DockerflowMiddleware, request_ids=False)
        silent = Starlette()
        silent.add_middleware(DockerflowMiddleware, summaries=False)
        assert ASGIDriver(app).get("/").header("x-request-id") is None
        assert ASGIDriver(silent).get("/").header("x-request-id")
        assert [each["Fields"].get("rid") for each in lines.summaries] == [None]


class TestMounts:
    @pytest.mark.parametrize("has_outer", [False, True])
    def test_a_mounted_application_has_its_own_endpoints(
        self, lines: Lines, tmp_path: Path, has_outer: bool
    ) -> None:
        (tmp_path / "version.json").write_text('{"version": "inner"}')
        inner = application(tmp_path)
        outer = Starlette(routes=[Mount("/a", inner), Mount("/b", inner)])
        if has_outer:
            outer.add_middleware(DockerflowMiddleware)
            outer.state.APP_DIR = "/nowhere"
        driver = ASGIDriver(outer)
        for prefix in ("/a", "/b"):
            answer = driver.get(f"{prefix}/__version__")
            assert answer.body == b'{"version":"inner"}'
            assert driver.get(f"{prefix}/where").body == b"/where"
        assert driver.get("/__version__").body == (
            b"version.json not found" if has_outer else b"Not Found"
        )
        paths = [line["Fields"]["path"] for line in lines.summaries]
        expected = ["/a/__version__", "/a/where", "/b/__version__", "/b/where"]
        assert paths == [*expected, *(["/__version__"] if has_outer else [])]

    def test_an_exception_of_a_mounted_application_is_one_error(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        outer = Starlette(routes=[Mount("/a", application(tmp_path))])
        outer.add_middleware(DockerflowMiddleware)
        assert ASGIDriver(outer).get("/a/boom").status == 500
        assert (lines.summary["code"], lines.summary["errno"]) == (500, 500)

    def test_settings_are_those_of_the_application_that_has_them(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        inner = application(tmp_path, {"DOCKERFLOW_ERROR_ENDPOINT": False})
        outer = Starlette(routes=[Mount("/a", inner)])
        outer.add_middleware(DockerflowMiddleware)
        driver = ASGIDriver(outer)
        assert driver.get("/a/__error__").status == 404
        assert driver.get("/__error__").status == 500


def converse(app: Any, path: str, *texts: str, code: int = 1000) -> tuple[list[Any], Any]:
    """Open a WebSocket, send texts and close it; return what was sent and raised."""
    received = [{"type": "websocket.receive", "text": text} for text in texts]
    messages = iter(
        [{"type": "websocket.connect"}, *received, {"type": "websocket.disconnect", "code": code}]
    )
    sent: list[Any] = []
    scope = {
        "type": "websocket", "path": path, "root_path": "", "query_string": b"",
        "headers": [(b"x-request-id", b"r1")], "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }  # fmt: skip

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    try:
        asyncio.run(app(scope, receive, send))
    except ValueError as error:
        return sent, error
    return sent, None


class TestWebSockets:
    def test_web_sockets_have_one_summary_with_the_close_code(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        sent, error = converse(application(tmp_path), "/echo", "a", code=3001)
        assert (sent[0]["headers"], sent[1]["text"], error) == (
            [(b"x-request-id", b"r1")],
            "a",
            None,
        )
        assert (lines.summary["method"], lines.summary["code"]) == ("WEBSOCKET", 3001)
        assert lines.of("app") == [{"msg": "accepted", "rid": "r1"}]

    def test_web_sockets_that_fail_are_errors(self, lines: Lines, tmp_path: Path) -> None:
        _, error = converse(application(tmp_path), "/echo", "boom")
        assert isinstance(error, ValueError)
        assert (lines.summary["code"], lines.summary["msg"]) == (1011, "boom")

    def test_web_sockets_that_are_refused_have_the_status(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        sent, _ = converse(application(tmp_path), "/refuse")
        assert (b"x-request-id", b"r1") in sent[0]["headers"]
        assert (lines.summary["method"], lines.summary["code"]) == ("WEBSOCKET", 418)


class TestLifespan:
    def test_lifespan_is_the_applications_own_and_outside_of_requests(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        @contextlib.asynccontextmanager
        async def lifespan(app: Any) -> Any:
            logger.info("starting")
            yield
            logger.info("ending")

        app = application(tmp_path, lifespan=lifespan)
        messages = iter(["startup", "shutdown"])
        sent: list[str] = []

        async def receive() -> Any:
            return {"type": f"lifespan.{next(messages)}"}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        asyncio.run(app({"type": "lifespan", "state": {}}, receive, send))
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        assert lines.of("app") == [{"msg": "starting"}, {"msg": "ending"}]
        assert lines.summaries == []
