"""The contract, and what else there is to ASGI, of the bare ASGI core."""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from contract import JSON, Contract, Lines
from drivers import ASGIDriver

from dockerflow.asgi import DockerflowASGI
from dockerflow.request_id import RequestIdPolicy
from dockerflow.settings import Settings
from dockerflow.summary import add_fields
from mozlog_py import context

logger = logging.getLogger("app")

Reply = Callable[..., Awaitable[None]]


def replying(send: Any) -> Reply:
    async def reply(status: int, body: bytes = b"", headers: Any = ()) -> None:
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": body})

    return reply


async def application(scope: Any, receive: Any, send: Any) -> None:
    reply = replying(send)
    path = scope["path"].removeprefix(scope["root_path"])
    if path == "/":
        logger.info("serving")
        await reply(200, b"hello")
    elif path.startswith("/status/"):
        await reply(int(path[8:]))
    elif path == "/boom":
        raise ValueError("boom")
    elif path == "/boom-json":
        raise ValueError(JSON)
    elif path in ("/stream", "/stream-boom"):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in b"a", b"b", b"c":
            logger.info("part")
            await send({"type": "http.response.body", "body": part, "more_body": True})
            if path == "/stream-boom":
                raise ValueError("boom")
        add_fields(parts=3)
        await send({"type": "http.response.body", "body": b""})
    elif path == "/facts":
        add_fields(user="ann", name="bob")
        await reply(200)
    elif path == "/facts-apart":
        await asyncio.create_task(asyncio.to_thread(add_fields, user="ann"))
        await reply(200)
    elif path == "/bind":
        bind()
        await reply(200)
    elif path == "/own-id":
        await reply(200, headers=[(b"X-Request-Id", b"mine")])
    elif path == "/where":
        await reply(200, path.encode())
    else:
        await reply(404)


def bind() -> None:
    import structlog

    context.bind(colour="red")
    structlog.contextvars.bind_contextvars(shape="round")
    logger.info("bound")


def settings_of(values: dict[str, Any] | None) -> Settings:
    return Settings.read(values or {})


class TestContract(Contract):
    lbheartbeat_body = b'{"status":"ok"}'

    def make(self, folder: Path, settings: dict[str, Any] | None = None) -> ASGIDriver:
        app = DockerflowASGI(application, settings=settings_of(settings), version_path=str(folder))
        return ASGIDriver(app)


SCOPE = {
    "type": "http", "method": "GET", "path": "/", "root_path": "", "query_string": b"",
    "headers": [], "client": None,
}  # fmt: skip


def serve(app: Any, scope: dict[str, Any] | None = None, **channels: Any) -> list[Any]:
    """Call an application once; give what it sent."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def main() -> None:
        await app(
            {**SCOPE, **(scope or {})},
            channels.get("receive", receive),
            channels.get("send", send),
        )

    asyncio.run(main())
    return sent


class TestEnds:
    def test_a_background_task_belongs_to_the_request_but_not_to_its_summary(
        self, lines: Lines
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await replying(send)(202)
            logger.info("behind")
            assert not add_fields(late=True)
            raise ValueError("in the background")

        with pytest.raises(ValueError, match="in the background"):
            serve(DockerflowASGI(app))
        assert (lines.summary["code"], lines.summary["errno"]) == (202, 0)
        assert lines.of("app") == [{"msg": "behind", "rid": lines.summary["rid"]}]

    def test_an_application_without_a_response_is_an_error(self, lines: Lines) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None: ...

        assert serve(DockerflowASGI(app)) == []
        assert (lines.summary["code"], lines.summary["errno"]) == (500, 500)
        assert lines.summary["msg"] == "The application ended without a response"

    def test_a_client_that_goes_before_the_response_is_no_error(self, lines: Lines) -> None:
        class ClientDisconnect(Exception): ...

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if (await receive())["type"] == "http.disconnect" and scope["path"] == "/raise":
                raise ClientDisconnect

        with pytest.raises(ClientDisconnect):
            serve(DockerflowASGI(app), {"path": "/raise"})
        serve(DockerflowASGI(app))
        assert len(lines.summaries) == 2
        for line in lines.summaries:
            fields = line["Fields"]
            assert (line["Severity"], fields["errno"], fields["code"]) == (6, 0, 499)

    def test_a_client_that_goes_during_the_response_is_no_error(self, lines: Lines) -> None:
        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                raise OSError("gone")

        with pytest.raises(OSError, match="gone"):
            serve(DockerflowASGI(application), {"path": "/stream"}, send=send)
        (line,) = lines.summaries
        assert (line["Severity"], line["Fields"]["errno"], line["Fields"]["code"]) == (6, 0, 200)

    def test_a_bug_after_the_client_has_gone_is_one(self, lines: Lines) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            raise KeyError("bug")

        with pytest.raises(KeyError):
            serve(DockerflowASGI(app))
        assert lines.summary["errno"] == 500

    def test_an_oserror_of_the_application_is_one(self, lines: Lines) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise OSError("disk full")

        with pytest.raises(OSError, match="disk full"):
            serve(DockerflowASGI(app))
        assert lines.summary["errno"] == 500

    @pytest.mark.parametrize("is_begun", [False, True])
    def test_cancellation_is_preserved_and_no_error(self, lines: Lines, is_begun: bool) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            if is_begun:
                await send({"type": "http.response.start", "status": 200, "headers": []})
            await asyncio.Event().wait()

        async def main() -> bool:
            async def ignore(message: Any) -> None: ...

            wrapped = DockerflowASGI(app)
            task = asyncio.create_task(wrapped(dict(SCOPE), None, ignore))  # type: ignore[arg-type]
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            return task.cancelled()

        assert asyncio.run(main())
        (line,) = lines.summaries
        code = 200 if is_begun else 499
        assert (line["Severity"], line["Fields"]["errno"], line["Fields"]["code"]) == (6, 0, code)

    def test_an_interrupt_is_an_error_and_goes_on(self, lines: Lines) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise SystemExit(3)

        with pytest.raises(SystemExit):
            serve(DockerflowASGI(app))
        assert lines.summary["errno"] == 500

    def test_trailers_are_waited_for(self, lines: Lines) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            start = {"type": "http.response.start", "status": 200, "headers": [], "trailers": True}
            await send(start)
            await send({"type": "http.response.body", "body": b"x"})
            add_fields(in_time=True)
            await send({"type": "http.response.trailers", "headers": [], "more_trailers": False})
            assert not add_fields(late=True)

        serve(DockerflowASGI(app))
        assert lines.summary["in_time"] is True

    def test_a_file_sent_by_the_server_is_a_body(self, lines: Lines) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 206, "headers": []})
            await send({"type": "http.response.pathsend", "path": "/x"})
            assert not add_fields(late=True)

        serve(DockerflowASGI(app))
        assert lines.summary["code"] == 206

    def test_an_exception_that_cannot_be_printed_has_a_summary(self, lines: Lines) -> None:
        class Broken(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise Broken

        with pytest.raises(Broken):
            serve(DockerflowASGI(app))
        assert lines.summary["msg"] == "<unprintable Broken: RuntimeError>"


class TestLayers:
    def test_two_of_them_make_one_summary(self, lines: Lines) -> None:
        policy = RequestIdPolicy(generator=lambda: "outer")
        inner = DockerflowASGI(application, request_id=RequestIdPolicy(generator=lambda: "inner"))
        answer = ASGIDriver(DockerflowASGI(inner, request_id=policy)).get("/")
        assert lines.summary["rid"] == answer.header("x-request-id") == "outer"

    def test_ids_and_summaries_may_be_layers_of_their_own(self, lines: Lines) -> None:
        ids: dict[str, Any] = {"summaries": False, "endpoints": False}
        summaries: dict[str, Any] = {"request_ids": False, "endpoints": False}
        for outer, inner in ((ids, summaries), (summaries, ids)):
            app = DockerflowASGI(DockerflowASGI(application, **inner), **outer)
            ASGIDriver(app).get("/", headers=[("x-request-id", "r1")])
        assert [line["Fields"]["rid"] for line in lines.summaries] == ["r1", "r1"]

    def test_without_ids_there_is_no_rid(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        serve(DockerflowASGI(application, request_ids=False))
        (record,) = [each for each in caplog.records if each.name == "request.summary"]
        assert vars(record)["rid"] is None

    def test_a_scope_that_is_used_again_is_another_request(self, lines: Lines) -> None:
        app = DockerflowASGI(application)
        scope = dict(SCOPE)

        async def main() -> None:
            async def ignore(message: Any) -> None: ...

            await app(scope, None, ignore)  # type: ignore[arg-type]
            await app(scope, None, ignore)  # type: ignore[arg-type]

        asyncio.run(main())
        assert len({line["Fields"]["rid"] for line in lines.summaries}) == 2

    def test_a_request_within_a_request_has_its_own(self, lines: Lines) -> None:
        inner = ASGIDriver(DockerflowASGI(application))

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await inner.request_async("GET", "/facts")
            add_fields(outer=True)
            await replying(send)(200)

        serve(DockerflowASGI(app), {"path": "/outer"})
        first, second = (line["Fields"] for line in lines.summaries)
        assert (first["path"], first["user"], second["path"], second["outer"]) == (
            "/facts", "ann", "/outer", True,
        )  # fmt: skip
        assert first["rid"] != second["rid"]
        assert "user" not in second

    @pytest.mark.parametrize("root", ["/api", "/api/"])
    def test_a_mounted_application_has_its_endpoints(self, lines: Lines, root: str) -> None:
        app = DockerflowASGI(application)
        for path in (f"{root.rstrip('/')}/__lbheartbeat__", "/__lbheartbeat__"):
            sent = serve(app, {"root_path": root, "path": path})
            assert sent[0]["status"] == 200
        assert serve(app, {"root_path": root, "path": "/apix/__lbheartbeat__"})[0]["status"] == 404
        assert lines.summaries[0]["Fields"]["path"] == "/api/__lbheartbeat__"

    @pytest.mark.parametrize("kind", ["websocket", "lifespan"])
    def test_what_is_no_request_passes_through(self, lines: Lines, kind: str) -> None:
        seen: list[Any] = []

        async def app(*args: Any) -> None:
            seen.append(args)

        scope = {"type": kind, "path": "/__lbheartbeat__"}

        async def main() -> None:
            await DockerflowASGI(app)(scope, "receive", "send")  # type: ignore[arg-type]

        asyncio.run(main())
        assert seen == [(scope, "receive", "send")]
        assert scope == {"type": kind, "path": "/__lbheartbeat__"}
        assert lines.summaries == []

    def test_only_the_logging_context_is_put_back(self, lines: Lines) -> None:
        mine: contextvars.ContextVar[int] = contextvars.ContextVar("mine", default=0)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            mine.set(1)
            context.bind(inner=True)
            await replying(send)(200)

        async def main() -> None:
            async def ignore(message: Any) -> None: ...

            with context.bound(outer=True):
                await DockerflowASGI(app)(dict(SCOPE), None, ignore)  # type: ignore[arg-type]
                assert context.get() == {"outer": True}
            assert mine.get() == 1

        asyncio.run(main())
        assert lines.summary["outer"] is lines.summary["inner"] is True
