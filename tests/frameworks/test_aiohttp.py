"""The contract, and what else there is to aiohttp, of its adapter."""

import asyncio
import contextlib
import http.client
import io
import json
import logging
import urllib.parse
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import EMPTY_PAYLOAD, HttpVersion11, web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.test_utils import make_mocked_request
from contract import JSON, Contract, Lines, bind
from contract_asgi import settings_of
from drivers import Answer, Driver, Headers
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

import dockerflow.aiohttp
from dockerflow import checks
from dockerflow.settings import SettingsError
from dockerflow.summary import add_fields
from mozlog_py import context
from mozlog_py._config.options import OptionError

logger = logging.getLogger("app")


async def index(request: web.Request) -> web.Response:
    logger.info("serving")
    return web.Response(text="hello")


async def status(request: web.Request) -> web.Response:
    return web.Response(status=int(request.match_info["status"]))


async def missing(request: web.Request) -> web.Response:
    raise web.HTTPNotFound


async def boom(request: web.Request) -> web.Response:
    raise ValueError("boom")


async def boom_json(request: web.Request) -> web.Response:
    raise ValueError(JSON)


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for part in b"a", b"b", b"c":
        logger.info("part")
        await response.write(part)
        if request.path == "/stream-boom":
            raise ValueError("boom")
    add_fields(parts=3)
    return response


async def generated(request: web.Request) -> web.Response:
    """Answer with a body that is made when the handler has returned."""

    async def parts() -> Any:
        for part in b"a", b"b", b"c":
            logger.info("part")
            yield part
            if request.path == "/generated-boom":
                raise ValueError("boom")
        add_fields(parts=3)

    return web.Response(body=parts())


async def facts(request: web.Request) -> web.Response:
    add_fields(user="ann", name="bob")
    return web.Response()


async def facts_apart(request: web.Request) -> web.Response:
    await asyncio.create_task(asyncio.to_thread(add_fields, user="ann"))
    return web.Response()


async def binding(request: web.Request) -> web.Response:
    bind()
    return web.Response()


async def own_id(request: web.Request) -> web.Response:
    return web.Response(headers={"X-Request-Id": "mine"})


async def vary(request: web.Request) -> web.Response:
    return web.Response(headers={"Vary": request.headers.get("x-vary", "")})


async def where(request: web.Request) -> web.Response:
    return web.Response(text=request.path)


async def echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    logger.info("accepted")
    async for message in socket:
        if message.data == "boom":
            raise ValueError("boom")
        if message.data == "leave":
            break
        await socket.send_str(message.data)
    return socket


def application(
    folder: Path | str, settings: dict[str, Any] | None = None, **options: Any
) -> web.Application:
    app = web.Application(**options)
    dockerflow.aiohttp.setup(app, settings=settings_of(settings), version_path=str(folder))
    for path, handler in {
        "/": index, r"/status/{status:[2-5]\d\d}": status, "/missing": missing, "/boom": boom,
        "/boom-json": boom_json, "/stream": stream, "/stream-boom": stream,
        "/generated": generated, "/generated-boom": generated, "/facts": facts,
        "/facts-apart": facts_apart, "/bind": binding, "/own-id": own_id, "/vary": vary,
        "/where": where, "/echo": echo,
    }.items():  # fmt: skip
        app.router.add_route("*", path, handler)
    return app


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self, client: str) -> None:
        super().__init__({"peername": (client, 4711)})
        self.written = b""
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Sent(io.BytesIO):
    """What was sent, as the socket that ``http.client`` reads."""

    def makefile(self, *_: Any) -> io.BytesIO:
        return self


class AiohttpDriver(Driver):
    """Send aiohttp's own protocol messages as its parser does; that one refuses some itself."""

    def __init__(self, app: web.Application) -> None:
        self.app = app

    def request(self, method: str, path: str, **options: Any) -> Answer:
        return asyncio.run(self.request_async(method, path, **options))

    async def request_async(
        self,
        method: str,
        path: str,
        *,
        query: str | bytes = b"",
        headers: Headers = (),
        client: str = "203.0.113.7",
    ) -> Answer:
        runner = web.AppRunner(self.app)
        for app in (self.app, *self.app._subapps):
            # Each request has an event loop of its own.
            app._loop = None
        await runner.setup()
        assert runner.server is not None
        before = context.get()
        protocol: Any = runner.server()
        transport = Transport(client)
        protocol.connection_made(transport)
        if isinstance(query, str):
            query = query.encode()
        target = path + ("?" + query.decode("utf-8", "surrogateescape") if query else "")
        sent = CIMultiDict([("Host", "testserver"), ("Connection", "close")])
        for name, value in headers:
            sent.add(name, value.encode("latin-1").decode("utf-8", "surrogateescape"))
        message = RawRequestMessage(
            method, target, HttpVersion11, CIMultiDictProxy(sent), (), True, None, False, False,
            url_of(path, query),
        )  # fmt: skip
        protocol._messages.append((message, EMPTY_PAYLOAD))
        await asyncio.sleep(0)
        if protocol._waiter is not None and not protocol._waiter.done():
            protocol._waiter.set_result(None)
        task = protocol._task_handler
        await asyncio.gather(task, return_exceptions=True)
        # The callbacks of the request's task.
        await asyncio.sleep(0)
        answer = Answer()
        response = http.client.HTTPResponse(Sent(transport.written), method=method)  # type: ignore[arg-type]
        response.begin()
        answer.status, answer.headers = response.status, response.getheaders()
        try:
            answer.body = response.read()
        except http.client.IncompleteRead as error:
            answer.body = error.partial
        answer.left = {
            key: value for key, value in context.get().items() if before.get(key) != value
        }
        await runner.server.shutdown(0)
        return answer


def url_of(path: str, query: bytes) -> URL:
    quoted = urllib.parse.quote_from_bytes(query, safe="=&%+/?;:@!$'()*,-._~")
    return URL.build(path=path, query_string=quoted, encoded=True)


class TestContract(Contract):
    lbheartbeat_body = b'{"status":"ok"}'

    def make(self, folder: Path, settings: dict[str, Any] | None = None) -> AiohttpDriver:
        return AiohttpDriver(application(folder, settings))


@contextlib.asynccontextmanager
async def serving(app: web.Application, **options: Any) -> AsyncIterator[web.TCPSite]:
    """Serve an application on loopback by aiohttp's own server."""
    access_log = logging.getLogger("aiohttp.access")
    runner = web.AppRunner(app, access_log=access_log, shutdown_timeout=0.1, **options)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield site
    finally:
        await runner.cleanup()


def port_of(site: web.TCPSite) -> int:
    return int(site._server.sockets[0].getsockname()[1])  # type: ignore[union-attr]


class Connection:
    """One connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, path: str, *headers: str, method: str = "GET", body: bytes = b"") -> None:
        head = [f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]
        self.writer.write("\r\n".join(head).encode() + body)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read a response that has a length."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])
        }
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(head[0].split()[1]), headers, body

    async def get(self, path: str, *headers: str) -> tuple[int, dict[str, str], bytes]:
        self.send(path, *headers)
        return await self.answer()

    async def rest(self) -> bytes:
        """Read until the server has closed the connection."""
        return await asyncio.wait_for(self.reader.read(), 20)

    def abort(self) -> None:
        """Go without a word."""
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def connected(app: web.Application, **options: Any) -> AsyncIterator[Connection]:
    async with serving(app, **options) as site:
        connection = Connection(*await asyncio.open_connection("127.0.0.1", port_of(site)))
        try:
            yield connection
        finally:
            connection.writer.close()
            with contextlib.suppress(OSError):
                await connection.writer.wait_closed()


def outcome_of_abort(app: web.Application, path: str, lines: Lines) -> tuple[int, int, int]:
    """Return severity, code and errno of a request whose client goes in the middle of its body."""

    async def main() -> None:
        async with connected(app) as client:
            client.send(path)
            await client.reader.readuntil(b"xxx")
            client.abort()
            await until(lambda: lines.summaries)

    asyncio.run(main())
    (line,) = lines.summaries
    return line["Severity"], line["Fields"]["code"], line["Fields"]["errno"]


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it does not become true")


def ids_of(lines: Lines) -> set[Any]:
    """Return the ids of all lines but those of the event loop."""
    return {each["Fields"].get("rid") for each in lines.all if each["Type"] != "asyncio"}


class TestConnection:
    def test_nothing_of_a_request_is_in_the_next_one_of_its_connection(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        async def main() -> None:
            async with connected(application(tmp_path)) as client:
                await client.get("/bind", "X-Request-Id: r1")
                await client.get("/", "X-Request-Id: r2")
                await client.get("/where")

        asyncio.run(main())
        first, second, third = (line["Fields"] for line in lines.summaries)
        assert (first["rid"], second["rid"]) == ("r1", "r2")
        assert third["rid"] not in ("r1", "r2")
        assert "colour" in first
        assert not {"colour", "shape"} & {*second, *third}
        assert lines.of("app")[1] == {"msg": "serving", "rid": "r2"}
        ids = [fields["rid"] for fields in lines.of("aiohttp.access")]
        assert ids == [first["rid"], second["rid"], third["rid"]]
        assert all(
            ("colour" in fields) == (fields["path"] == "/bind")
            for fields in lines.of("aiohttp.access")
        )

    def test_pipelined_requests_have_an_id_and_a_summary_each(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        async def main() -> list[Any]:
            async with connected(application(tmp_path)) as client:
                for number in range(3):
                    client.send("/bind" if number else "/", f"X-Request-Id: r{number}")
                return [await client.answer() for _ in range(3)]

        answers = asyncio.run(main())
        assert [headers["x-request-id"] for _, headers, _ in answers] == ["r0", "r1", "r2"]
        assert [line["Fields"]["rid"] for line in lines.summaries] == ["r0", "r1", "r2"]

    def test_one_task_may_serve_one_request_after_the_other(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        # As a server does that makes no task for each.
        app = application(tmp_path)
        app.freeze()

        async def main() -> None:
            for path in ("/bind", "/", "/boom"):
                request = make_mocked_request("GET", path, app=app)
                with contextlib.suppress(ValueError):
                    response = await app._handle(request)
                    await response.prepare(request)
                    await response.write_eof()

        asyncio.run(main())
        first, second, third = (line["Fields"] for line in lines.summaries)
        assert len({first["rid"], second["rid"], third["rid"]}) == 3
        assert not {"colour", "shape"} & {*second, *third}
        assert lines.of("app")[1] == {"msg": "serving", "rid": second["rid"]}

    def test_a_task_of_a_handler_keeps_its_requests_context(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        app = application(tmp_path)
        event = asyncio.Event()
        tasks = []

        async def work() -> None:
            await event.wait()
            logger.info("working")
            assert not add_fields(late=True)

        async def spawn(request: web.Request) -> web.Response:
            tasks.append(asyncio.create_task(work()))
            return web.Response()

        app.router.add_get("/spawn", spawn)

        async def main() -> None:
            async with connected(app) as client:
                await client.get("/spawn", "X-Request-Id: r1")
                await client.get("/", "X-Request-Id: r2")
                event.set()
                await asyncio.gather(*tasks)

        asyncio.run(main())
        assert lines.of("app")[1] == {"msg": "working", "rid": "r1"}
        assert "late" not in json.dumps(lines.summaries)


class TestDisconnect:
    @pytest.mark.parametrize("is_cancelled", [False, True])
    def test_disconnect_of_a_client_is_no_error(
        self, lines: Lines, tmp_path: Path, is_cancelled: bool
    ) -> None:
        app = application(tmp_path)
        entered, gone = asyncio.Event(), asyncio.Event()

        async def wait(request: web.Request) -> web.Response:
            entered.set()
            await gone.wait()
            return web.Response(text="late")

        app.router.add_get("/wait", wait)

        async def main() -> None:
            async with connected(app, handler_cancellation=is_cancelled) as client:
                client.send("/wait", "X-Request-Id: r1")
                await entered.wait()
                client.abort()
                await asyncio.sleep(0.1)
                gone.set()
                await until(lambda: lines.summaries)

        asyncio.run(main())
        (line,) = lines.summaries
        assert (line["Severity"], line["Fields"]["code"], line["Fields"]["errno"]) == (6, 499, 0)
        assert line["Fields"]["rid"] == "r1"

    def test_disconnect_in_the_middle_of_a_stream_is_no_error(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        app = application(tmp_path)

        async def endless(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b"x" * 1000)
                await asyncio.sleep(0.001)

        app.router.add_get("/endless", endless)

        assert outcome_of_abort(app, "/endless", lines) == (6, 200, 0)

    def test_disconnect_in_the_middle_of_a_file_is_no_error(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        (tmp_path / "large").write_bytes(b"x" * 50_000_000)
        app = application(tmp_path)
        app.router.add_static("/static", tmp_path)

        assert outcome_of_abort(app, "/static/large", lines) == (6, 200, 0)

    def test_disconnect_in_the_middle_of_a_body_is_no_error(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        app = application(tmp_path)

        async def read(request: web.Request) -> web.Response:
            return web.Response(text=await request.text())

        app.router.add_post("/read", read)

        async def main() -> None:
            async with connected(app) as client:
                client.send("/read", "Content-Length: 10", method="POST", body=b"abc")
                await asyncio.sleep(0.1)
                client.abort()
                await until(lambda: lines.summaries)

        asyncio.run(main())
        (line,) = lines.summaries
        assert (line["Severity"], line["Fields"]["code"], line["Fields"]["errno"]) == (6, 499, 0)

    def test_disconnect_that_is_none_makes_a_cancellation_an_error(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        app = application(tmp_path)

        async def cancel(request: web.Request) -> web.Response:
            raise asyncio.CancelledError

        app.router.add_get("/cancel", cancel)

        async def main() -> None:
            async with connected(app) as client:
                client.send("/cancel")
                await client.rest()

        asyncio.run(main())
        (line,) = lines.summaries
        assert (line["Severity"], line["Fields"]["code"], line["Fields"]["errno"]) == (3, 500, 500)

    def test_disconnect_by_a_server_that_shuts_down_is_an_error(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        app = application(tmp_path)
        entered = asyncio.Event()

        async def wait(request: web.Request) -> web.Response:
            entered.set()
            # The cancellation reaches the handler some iterations later.
            await asyncio.gather(asyncio.gather(asyncio.sleep(60)))
            return web.Response()

        app.router.add_get("/wait", wait)

        async def main() -> None:
            async with serving(app) as site:
                reader, writer = await asyncio.open_connection("127.0.0.1", port_of(site))
                Connection(reader, writer).send("/wait", "X-Request-Id: r1")
                await entered.wait()
            await until(lambda: lines.summaries)
            writer.close()

        asyncio.run(main())
        (line,) = lines.summaries
        assert (line["Severity"], line["Fields"]["rid"], line["Fields"]["errno"]) == (3, "r1", 500)


class TestResponse:
    @pytest.mark.parametrize(("path", "errno"), [("/generated", 0), ("/generated-boom", 500)])
    def test_response_that_is_made_after_the_handler_is_summed_up_at_its_end(
        self, lines: Lines, tmp_path: Path, path: str, errno: int
    ) -> None:
        async def main() -> bytes:
            async with connected(application(tmp_path)) as client:
                client.send(path, "X-Request-Id: r1", "Connection: close")
                return await client.rest()

        assert b"\r\nX-Request-Id: r1\r\n".lower() in asyncio.run(main()).lower()
        (line,) = lines.summaries
        assert (line["Fields"]["code"], line["Fields"]["errno"]) == (200, errno)
        assert line["Severity"] == (3 if errno else 6)
        types = [each["Type"] for each in lines.all]
        assert types.index("request.summary") > max(
            place for place, each in enumerate(types) if each == "app"
        )
        assert ids_of(lines) == {"r1"}

    def test_response_that_is_a_file_has_the_id(self, lines: Lines, tmp_path: Path) -> None:
        (tmp_path / "page.html").write_text("hello")
        app = application(tmp_path)
        app.router.add_static("/static", tmp_path)

        async def main() -> tuple[int, dict[str, str], bytes]:
            async with connected(app) as client:
                return await client.get("/static/page.html")

        status, headers, body = asyncio.run(main())
        assert (status, body) == (200, b"hello")
        assert headers["x-request-id"] == lines.summary["rid"]
        assert (lines.summary["code"], lines.summary["errno"]) == (200, 0)

    def test_response_of_the_server_to_an_exception_has_the_id(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        async def main() -> list[Any]:
            async with connected(application(tmp_path)) as client:
                return [*await client.get("/boom", "X-Request-Id: r1")]

        status, headers, _ = asyncio.run(main())
        assert (status, headers["x-request-id"]) == (500, "r1")
        assert (lines.summary["rid"], lines.summary["errno"]) == ("r1", 500)
        assert ids_of(lines) == {"r1"}
        assert {"aiohttp.server", "aiohttp.access"} <= {each["Type"] for each in lines.all}

    def test_response_of_the_server_to_a_timeout_is_a_504(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        app = application(tmp_path)

        async def late(request: web.Request) -> web.Response:
            raise asyncio.TimeoutError("late")

        app.router.add_get("/late", late)

        async def main() -> int:
            async with connected(app) as client:
                return (await client.get("/late"))[0]

        assert asyncio.run(main()) == lines.summary["code"] == 504
        assert (lines.summary["errno"], lines.summary["msg"]) == (500, "late")

    def test_response_to_a_body_that_cannot_be_decoded_is_no_error(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        app = application(tmp_path)

        async def read(request: web.Request) -> web.Response:
            return web.Response(text=await request.text())

        app.router.add_post("/read", read)

        async def main() -> int:
            async with connected(app) as client:
                client.send("/read", "Content-Encoding: gzip", "Content-Length: 3", method="POST")
                await asyncio.sleep(0.1)
                client.writer.write(b"abc")
                return (await client.answer())[0]

        assert asyncio.run(main()) == lines.summary["code"] == 500
        assert (lines.summaries[0]["Severity"], lines.summary["errno"]) == (6, 0)

    def test_response_that_is_none_is_an_error(self, lines: Lines, tmp_path: Path) -> None:
        app = application(tmp_path)

        async def nothing(request: web.Request) -> Any:
            return None

        app.router.add_get("/nothing", nothing)

        async def main() -> tuple[int, dict[str, str], bytes]:
            async with connected(app) as client:
                return await client.get("/nothing")

        status, headers, _ = asyncio.run(main())
        assert status == lines.summary["code"] == lines.summary["errno"] == 500
        assert headers["x-request-id"] == lines.summary["rid"]

    def test_response_to_an_expectation_that_is_refused_is_the_servers_own(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        async def main() -> int:
            async with connected(application(tmp_path)) as client:
                return (await client.get("/", "Expect: nonsense"))[0]

        assert asyncio.run(main()) == 417
        assert lines.summaries == []


class TestUnsentResponse:
    """Responses that fail before their status is sent: the client gets no byte, as without us."""

    def ask(self, app: web.Application, path: str = "/fails", times: int = 1) -> list[bytes]:
        """Return what the client gets of each request, until the server closes the connection."""

        async def main() -> list[bytes]:
            got = []
            async with serving(app) as site:
                for _ in range(times):
                    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(site))
                    client = Connection(reader, writer)
                    client.send(path, "X-Request-Id: r1", "Connection: close")
                    got.append(await client.rest())
                    writer.close()
            return got

        return asyncio.run(main())

    def found(self, lines: Lines) -> list[tuple[int, int, int]]:
        return [
            (each["Severity"], each["Fields"]["errno"], each["Fields"]["code"])
            for each in lines.summaries
        ]

    @pytest.mark.parametrize("place", ["before", "behind"])
    @pytest.mark.parametrize("error", [ConnectionError("down"), RuntimeError("down")])
    @pytest.mark.parametrize("kind", [web.Response, web.StreamResponse, web.HTTPNotFound])
    def test_unsent_response_of_a_signal_handler_that_raises_is_an_error(
        self, lines: Lines, tmp_path: Path, place: str, error: Exception, kind: Any
    ) -> None:
        app = application(tmp_path)

        async def fails(request: web.Request) -> web.StreamResponse:
            if kind is web.HTTPNotFound:
                raise web.HTTPNotFound
            response: web.StreamResponse = kind()
            return response

        async def raises(request: web.Request, response: web.StreamResponse) -> None:
            raise error

        app.router.add_get("/fails", fails)
        app.on_response_prepare.insert(0 if place == "before" else 1, raises)
        assert self.ask(app) == [b""]
        assert self.found(lines) == [(3, 500, 500)]
        assert lines.summary["msg"] == "down"
        assert ids_of(lines) == {"r1"}

    def test_unsent_response_with_a_bad_header_is_an_error(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        app = application(tmp_path)

        async def fails(request: web.Request) -> web.Response:
            return web.Response(headers={"X-Bad": "a\r\nb"})

        app.router.add_get("/fails", fails)
        assert self.ask(app) == [b""]
        assert self.found(lines) == [(3, 500, 500)]
        assert ids_of(lines) == {"r1"}
        assert "aiohttp.server" in {each["Type"] for each in lines.all}

    def test_unsent_response_with_a_body_that_fails_at_once_is_an_error(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        app = application(tmp_path)

        async def parts() -> AsyncIterator[bytes]:
            raise ValueError("no part")
            yield b""

        async def fails(request: web.Request) -> web.Response:
            return web.Response(body=parts())

        app.router.add_get("/fails", fails)
        assert self.ask(app) == [b""]
        assert self.found(lines) == [(3, 500, 500)]
        assert ids_of(lines) == {"r1"}

    def test_unsent_response_that_was_returned_before_is_an_error(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        app = application(tmp_path)
        once = web.Response(text="once")

        async def fails(request: web.Request) -> web.Response:
            return once

        app.router.add_get("/fails", fails)
        first, *others = self.ask(app, times=3)
        assert first.startswith(b"HTTP/1.1 200")
        assert others == [b"", b""]
        assert self.found(lines) == [(6, 0, 200), (3, 500, 500), (3, 500, 500)]

    def test_unsent_response_of_a_middleware_outside_is_an_error(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        app = application(tmp_path)
        app.middlewares.insert(0, replacing)

        async def raises(request: web.Request, response: web.StreamResponse) -> None:
            raise ConnectionError("down")

        app.on_response_prepare.append(raises)
        assert self.ask(app, "/where") == [b""]
        assert self.found(lines) == [(3, 500, 500)]

    @pytest.mark.parametrize("place", ["before", "behind"])
    def test_unsent_response_gives_way_to_the_servers_answer(
        self, lines: Lines, tmp_path: Path, place: str
    ) -> None:
        app = application(tmp_path)

        async def raises(request: web.Request, response: web.StreamResponse) -> None:
            if response.status != 500:
                raise ConnectionError("down")

        app.on_response_prepare.insert(0 if place == "before" else 1, raises)
        (got,) = self.ask(app, "/stream")
        assert got.startswith(b"HTTP/1.1 500")
        assert b"r1" in got
        assert self.found(lines) == [(3, 500, 500)]
        assert ids_of(lines) == {"r1"}

    @pytest.mark.parametrize("status", [200, 403])
    def test_unsent_response_gives_way_to_the_one_that_is_returned(
        self, lines: Lines, tmp_path: Path, status: int
    ) -> None:
        app = application(tmp_path)

        async def replaces(request: web.Request) -> web.Response:
            # Begun, and not sent yet.
            await web.Response(status=201).prepare(request)
            return web.Response(status=status)

        app.router.add_get("/replaces", replaces)
        (got,) = self.ask(app, "/replaces")
        assert got.startswith(f"HTTP/1.1 {status}".encode())
        assert self.found(lines) == [(6, 0, status)]

    def test_unsent_response_whose_client_has_gone_is_no_error(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        app = application(tmp_path)
        once = web.Response(text="once")
        entered = asyncio.Event()

        async def wait(request: web.Request) -> web.Response:
            if lines.summaries:
                entered.set()
                await until(lambda: request.transport is None)
            return once

        app.router.add_get("/wait", wait)

        async def main() -> None:
            async with connected(app) as client:
                await client.get("/wait")
                client.send("/wait")
                await entered.wait()
                client.abort()
                await until(lambda: len(lines.summaries) == 2)

        asyncio.run(main())
        assert self.found(lines) == [(6, 0, 200), (6, 0, 499)]


class TestWebSockets:
    def converse(self, app: web.Application, *texts: str, code: int | None = 3001) -> Any:
        """Open a WebSocket, send texts, and close it; None for a client that just goes."""

        async def main() -> Any:
            async with serving(app) as site, aiohttp.ClientSession() as session:
                url = f"http://127.0.0.1:{port_of(site)}/echo"
                async with session.ws_connect(url, headers={"X-Request-Id": "r1"}) as socket:
                    for text in texts:
                        await socket.send_str(text)
                    message = await socket.receive(20)
                    if code is None:
                        socket._response.connection.transport.abort()
                        await asyncio.sleep(0.1)
                    else:
                        await socket.close(code=code)
                return socket._response.headers, message

        return asyncio.run(main())

    def see_closed(self, app: web.Application, path: str) -> int | None:
        """Open a WebSocket that the application closes; return the code that the client gets."""

        async def main() -> int | None:
            async with serving(app) as site, aiohttp.ClientSession() as session:
                url = f"http://127.0.0.1:{port_of(site)}{path}"
                # The client replies with 1000.
                async with session.ws_connect(url) as socket:
                    await socket.receive(20)
                    return socket.close_code

        return asyncio.run(main())

    @pytest.mark.parametrize(
        ("texts", "code", "said"),
        [(["a"], 3001, 3001), (["leave"], 3001, 1000), (["a"], None, 1006)],
    )
    def test_web_sockets_have_one_summary_with_the_close_code(
        self, lines: Lines, tmp_path: Path, texts: list[str], code: int | None, said: int
    ) -> None:
        headers, _ = self.converse(application(tmp_path), *texts, code=code)
        (line,) = lines.summaries
        assert (line["Severity"], line["Fields"]["errno"]) == (6, 0)
        assert (line["Fields"]["method"], line["Fields"]["code"]) == ("WEBSOCKET", said)
        assert headers["X-Request-Id"] == line["Fields"]["rid"] == "r1"
        assert "Vary" not in headers
        assert lines.of("app") == [{"msg": "accepted", "rid": "r1"}]

    def test_web_sockets_of_a_class_whose_close_takes_positions_are_closed(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        class Socket(web.WebSocketResponse):
            async def close(self, code: int = 1000, reason: str = "", **options: Any) -> bool:
                return await super().close(code=code, message=reason.encode(), **options)

        app = application(tmp_path)

        async def close(request: web.Request) -> web.WebSocketResponse:
            socket = Socket()
            await socket.prepare(request)
            await socket.close(4002, "bye")
            return socket

        app.router.add_get("/close", close)

        self.see_closed(app, "/close")
        (line,) = lines.summaries
        assert (line["Severity"], line["Fields"]["errno"]) == (6, 0)
        assert line["Fields"]["method"] == "WEBSOCKET"

    @pytest.mark.parametrize(
        ("code", "said"), [(4002, 4002), (None, 1000), (aiohttp.WSCloseCode.GOING_AWAY, 1001)]
    )
    @pytest.mark.parametrize("is_received", [False, True])
    def test_web_sockets_that_the_application_closes_have_its_code(
        self, lines: Lines, tmp_path: Path, code: int | None, said: int, is_received: bool
    ) -> None:
        app = application(tmp_path)

        async def close(request: web.Request) -> web.WebSocketResponse:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            # Another task may wait for a message meanwhile.
            waiting = asyncio.create_task(socket.receive()) if is_received else None
            await asyncio.sleep(0)
            await socket.close(**({} if code is None else {"code": code}))
            await socket.close(code=4003)
            if waiting is not None:
                await waiting
            return socket

        app.router.add_get("/close", close)

        assert self.see_closed(app, "/close") == said
        assert (lines.summary["method"], lines.summary["code"]) == ("WEBSOCKET", said)
        assert (lines.summaries[0]["Severity"], lines.summary["errno"]) == (6, 0)

    def test_web_sockets_that_the_client_closes_first_have_the_clients_code(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        app = application(tmp_path)

        async def reply(request: web.Request) -> web.WebSocketResponse:
            socket = web.WebSocketResponse(autoclose=False)
            await socket.prepare(request)
            await socket.send_str("ready")
            await socket.receive()
            await socket.close(code=4002)
            return socket

        app.router.add_get("/reply", reply)

        async def main() -> None:
            async with serving(app) as site, aiohttp.ClientSession() as session:
                url = f"http://127.0.0.1:{port_of(site)}/reply"
                async with session.ws_connect(url) as socket:
                    await socket.receive(20)
                    await socket.close(code=3001)

        asyncio.run(main())
        assert (lines.summary["code"], lines.summary["errno"]) == (3001, 0)

    def test_web_sockets_that_are_gone_before_the_application_closes_them_are_1006(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        app = application(tmp_path)

        async def late(request: web.Request) -> web.WebSocketResponse:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.send_str("ready")
            await until(lambda: request.transport is None)
            await socket.close(code=4002)
            return socket

        app.router.add_get("/late", late)

        async def main() -> None:
            async with serving(app) as site, aiohttp.ClientSession() as session:
                url = f"http://127.0.0.1:{port_of(site)}/late"
                async with session.ws_connect(url) as socket:
                    await socket.receive(20)
                    socket._response.connection.transport.abort()  # type: ignore[union-attr]
                    await until(lambda: lines.summaries)

        asyncio.run(main())
        assert (lines.summary["code"], lines.summary["errno"]) == (1006, 0)

    def test_web_sockets_that_cannot_be_prepared_have_the_status_that_is_sent(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        app = application(tmp_path)

        async def raises(request: web.Request, response: web.StreamResponse) -> None:
            if response.status == 101:
                raise ConnectionError("down")

        app.on_response_prepare.append(raises)

        async def main() -> int:
            async with serving(app) as site, aiohttp.ClientSession() as session:
                url = f"http://127.0.0.1:{port_of(site)}/echo"
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await session.ws_connect(url)
                return refused.value.status

        assert asyncio.run(main()) == lines.summary["code"] == 500
        assert (lines.summary["method"], lines.summary["errno"]) == ("GET", 500)

    def test_web_sockets_that_fail_are_errors(self, lines: Lines, tmp_path: Path) -> None:
        self.converse(application(tmp_path), "boom")
        assert (lines.summary["code"], lines.summary["msg"]) == (1006, "boom")
        assert lines.summaries[0]["Severity"] == 3

    def test_web_sockets_that_are_refused_have_the_status(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        async def main() -> tuple[int, dict[str, str], bytes]:
            async with connected(application(tmp_path)) as client:
                return await client.get("/echo")

        status, headers, _ = asyncio.run(main())
        assert status == lines.summary["code"] == 400
        assert headers["x-request-id"] == lines.summary["rid"]


@web.middleware
async def replacing(request: web.Request, handler: Any) -> web.StreamResponse:
    """Answer in place of what is inside, whatever becomes of it."""
    logger.info("outside")
    try:
        await handler(request)
    except ValueError:
        return web.Response(text="replaced", status=503)
    return web.Response(text="replaced", status=201)


class TestMiddleware:
    def test_middleware_inside_may_answer_an_exception(self, lines: Lines, tmp_path: Path) -> None:
        app = application(tmp_path, middlewares=[replacing])
        answer = AiohttpDriver(app).get("/boom")
        assert (answer.status, lines.summary["code"], lines.summary["errno"]) == (503, 503, 0)
        assert answer.header("x-request-id") == lines.summary["rid"]
        assert lines.of("app") == [{"msg": "outside", "rid": lines.summary["rid"]}]

    @pytest.mark.parametrize(("path", "code"), [("/where", 201), ("/missing", 404)])
    def test_middleware_outside_may_replace_the_response(
        self, lines: Lines, tmp_path: Path, path: str, code: int
    ) -> None:
        app = application(tmp_path)
        app.middlewares.insert(0, replacing)
        answer = AiohttpDriver(app).get(path)
        assert answer.status == lines.summary["code"] == code
        assert answer.header("x-request-id") == lines.summary["rid"]

    def test_twice_makes_one_id_and_one_summary(self, lines: Lines, tmp_path: Path) -> None:
        app = application(tmp_path)
        dockerflow.aiohttp.setup(app)
        answer = AiohttpDriver(app).get("/")
        assert answer.header("x-request-id") == lines.summary["rid"]

    def test_middleware_may_clone_the_request(self, lines: Lines, tmp_path: Path) -> None:
        @web.middleware
        async def cloning(request: web.Request, handler: Any) -> web.StreamResponse:
            return await handler(request.clone(remote="192.0.2.1"))

        app = application(tmp_path, middlewares=[cloning])
        answer = AiohttpDriver(app).get("/stream")
        assert answer.header("x-request-id") == lines.summary["rid"]
        assert lines.summary["parts"] == 3


class TestSubApplications:
    @pytest.mark.parametrize("has_outer", [False, True])
    def test_sub_applications_have_their_own_endpoints(
        self, lines: Lines, tmp_path: Path, has_outer: bool
    ) -> None:
        (tmp_path / "version.json").write_text('{"version": "inner"}')
        app = web.Application()
        if has_outer:
            dockerflow.aiohttp.setup(app, version_path="/nowhere")
        app.add_subapp("/sub", application(tmp_path))
        driver = AiohttpDriver(app)
        assert driver.get("/sub/__version__").body == b'{"version":"inner"}'
        answer = driver.get("/sub/boom", headers=[("x-request-id", "r1")])
        assert (answer.status, answer.header("x-request-id")) == (500, "r1")
        driver.get("/__version__")
        said = [(each["Fields"]["path"], each["Fields"]["errno"]) for each in lines.summaries]
        outer = [("/__version__", 0)] if has_outer else []
        assert said == [("/sub/__version__", 0), ("/sub/boom", 500), *outer]

    def test_sub_applications_are_in_the_summaries_of_the_application(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        app, inner = application(tmp_path), web.Application()
        inner.router.add_get("/stream", stream)
        app.add_subapp("/sub", inner)
        answer = AiohttpDriver(app).get("/sub/stream")
        assert answer.header("x-request-id") == lines.summary["rid"]
        assert (lines.summary["path"], lines.summary["parts"]) == ("/sub/stream", 3)


class TestOuterMiddleware:
    """Middleware of an application whose sub-application alone is set up."""

    def ask(self, folder: Path, middleware: Any, path: str = "/sub/boom") -> Answer:
        inner = application(folder)

        async def nothing(request: web.Request) -> Any:
            return None

        async def late(request: web.Request) -> web.Response:
            await asyncio.sleep(60)
            return web.Response()

        async def broken(request: web.Request) -> web.Response:
            response = web.StreamResponse()
            await response.prepare(request)
            raise ValueError("broken")

        inner.router.add_get("/nothing", nothing)
        inner.router.add_get("/broken", broken)
        inner.router.add_get("/late", late)
        app = web.Application(middlewares=[web.middleware(middleware)])
        app.add_subapp("/sub", inner)
        return AiohttpDriver(app).get(path, headers=[("x-request-id", "r1")])

    def check(self, lines: Lines, answer: Answer, status: int, errno: int) -> None:
        """Check that the answer and its one summary have the status, the id and the outcome."""
        (line,) = lines.summaries
        assert answer.status == line["Fields"]["code"] == status
        assert (line["Severity"], line["Fields"]["errno"]) == (3 if errno else 6, errno)
        assert answer.header("x-request-id") == line["Fields"]["rid"] == "r1"

    @pytest.mark.parametrize("status", [200, 409, 500, 503])
    @pytest.mark.parametrize("is_raised", [False, True])
    def test_outer_middleware_may_answer_an_exception(
        self, lines: Lines, tmp_path: Path, status: int, is_raised: bool
    ) -> None:
        async def answers(request: web.Request, handler: Any) -> Any:
            try:
                return await handler(request)
            except ValueError as error:
                if not is_raised:
                    return web.Response(status=status)
                kind = {409: web.HTTPConflict, 500: web.HTTPInternalServerError}.get(
                    status, web.HTTPServiceUnavailable if status == 503 else web.HTTPOk
                )
                raise kind from error

        self.check(lines, self.ask(tmp_path, answers), status, 0)

    def test_outer_middleware_may_answer_with_a_stream(self, lines: Lines, tmp_path: Path) -> None:
        async def answers(request: web.Request, handler: Any) -> Any:
            try:
                return await handler(request)
            except ValueError:
                response = web.StreamResponse(status=409)
                await response.prepare(request)
                await response.write(b"a part")
                return response

        self.check(lines, self.ask(tmp_path, answers), 409, 0)

    def test_outer_middleware_may_ask_again(self, lines: Lines, tmp_path: Path) -> None:
        is_first = iter([True, False])

        async def flaky(request: web.Request, handler: Any) -> Any:
            if next(is_first):
                raise ValueError("once")
            return await handler(request)

        async def again(request: web.Request, handler: Any) -> Any:
            try:
                return await handler(request)
            except ValueError:
                return await handler(request)

        app, inner = web.Application(middlewares=[web.middleware(again)]), application(tmp_path)
        inner.middlewares.append(web.middleware(flaky))
        app.add_subapp("/sub", inner)
        answer = AiohttpDriver(app).get("/sub/where", headers=[("x-request-id", "r1")])
        self.check(lines, answer, 200, 0)

    def test_outer_middleware_that_raises_another_exception_answers_none(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        async def raises(request: web.Request, handler: Any) -> Any:
            try:
                return await handler(request)
            except ValueError as error:
                raise LookupError("outside") from error

        self.check(lines, self.ask(tmp_path, raises), 500, 500)
        assert lines.summary["error"] == "LookupError('outside')"
        assert "boom" in lines.summary["traceback"]

    def test_outer_middleware_that_fails_behind_a_response_is_an_error(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        async def raises(request: web.Request, handler: Any) -> Any:
            await handler(request)
            raise LookupError("outside")

        self.check(lines, self.ask(tmp_path, raises, "/sub/where"), 500, 500)
        assert lines.summary["msg"] == "outside"

    @pytest.mark.parametrize("is_answered", [False, True])
    def test_outer_middleware_may_answer_in_time(
        self, lines: Lines, tmp_path: Path, is_answered: bool
    ) -> None:
        async def hurries(request: web.Request, handler: Any) -> Any:
            # As asyncio.timeout() of Python 3.11 does.
            task: Any = asyncio.current_task()
            asyncio.get_running_loop().call_soon(task.cancel)
            try:
                return await handler(request)
            except asyncio.CancelledError:
                getattr(task, "uncancel", int)()
                if is_answered:
                    return web.Response(status=503)
                raise asyncio.TimeoutError("too late") from None

        status, errno = (503, 0) if is_answered else (504, 500)
        self.check(lines, self.ask(tmp_path, hurries, "/sub/late"), status, errno)

    @pytest.mark.parametrize(
        ("is_answered", "status", "errno"), [(True, 204, 0), (False, 500, 500)]
    )
    def test_outer_middleware_may_answer_in_place_of_nothing(
        self, lines: Lines, tmp_path: Path, is_answered: bool, status: int, errno: int
    ) -> None:
        async def answers(request: web.Request, handler: Any) -> Any:
            response = await handler(request)
            return web.Response(status=204) if is_answered else response

        self.check(lines, self.ask(tmp_path, answers, "/sub/nothing"), status, errno)

    def test_outer_middleware_that_answers_a_broken_stream_leaves_an_error(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        async def answers(request: web.Request, handler: Any) -> Any:
            try:
                return await handler(request)
            except ValueError:
                return web.Response(status=409)

        self.ask(tmp_path, answers, "/sub/broken")
        (line,) = lines.summaries
        assert (line["Severity"], line["Fields"]["code"]) == (3, 200)
        assert line["Fields"]["msg"] == "broken"

    def test_outer_middleware_answers_also_where_an_except_clause_serves(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        async def answers(request: web.Request, handler: Any) -> Any:
            try:
                return await handler(request)
            except ValueError:
                return web.Response(status=503)

        try:
            raise LookupError("no other server")
        except LookupError:
            self.check(lines, self.ask(tmp_path, answers), 503, 0)


class TestSetup:
    def test_setup_reads_the_environment(
        self, lines: Lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "version.json").write_text('{"version": "env"}')
        monkeypatch.setenv("APP_DIR", str(tmp_path))
        monkeypatch.setenv("DOCKERFLOW_REQUEST_ID_HEADER_NAME", "x-trace")
        app = web.Application()
        dockerflow.aiohttp.setup(app)
        driver = AiohttpDriver(app)
        answer = driver.get("/__version__", headers=[("x-trace", "t1")])
        assert (answer.body, answer.header("x-trace")) == (b'{"version":"env"}', "t1")

    def test_setup_refuses_bad_settings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DOCKERFLOW_HEARTBEAT_DETAILS", "sometimes")
        with pytest.raises(SettingsError, match="DOCKERFLOW_HEARTBEAT_DETAILS is 'sometimes'"):
            dockerflow.aiohttp.setup(web.Application())
        with pytest.raises(OptionError, match="settings is"):
            dockerflow.aiohttp.setup(web.Application(), settings={})  # type: ignore[arg-type]

    def test_setup_refuses_an_application_that_has_started(self) -> None:
        app = web.Application()
        app.freeze()
        with pytest.raises(RuntimeError, match="frozen"):
            dockerflow.aiohttp.setup(app)

    def test_setup_leaves_out_each_part(self, lines: Lines, tmp_path: Path) -> None:
        app = web.Application()
        dockerflow.aiohttp.setup(app, endpoints=False, request_ids=False)
        answer = AiohttpDriver(app).get("/__lbheartbeat__")
        assert (answer.status, answer.header("x-request-id")) == (404, None)
        silent = web.Application()
        dockerflow.aiohttp.setup(silent, summaries=False)
        assert AiohttpDriver(silent).get("/").header("x-request-id")
        assert [each["Fields"].get("rid") for each in lines.summaries] == [None]

    def test_setup_gives_checks_what_they_are_configured_with(self) -> None:
        checks.register(lambda config: [checks.Info(config, id="x.I1")], name="told")
        app = web.Application()
        dockerflow.aiohttp.setup(app, config="ours", silenced_checks=["x.I2"])
        assert b'"x.I1":"ours"' in AiohttpDriver(app).get("/__heartbeat__").body
