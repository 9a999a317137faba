"""The contract, and what else there is to ASGI, of the bare ASGI core."""

import asyncio
import contextvars
import logging
from pathlib import Path
from typing import Any

import pytest
from contract import Contract, Lines
from contract_asgi import SCOPE, application, logger, replying, serve, settings_of
from drivers import ASGIDriver

from dockerflow.asgi import DockerflowASGI
from dockerflow.request_id import RequestIdPolicy
from dockerflow.settings import Settings
from dockerflow.summary import add_fields
from mozlog_py import context


class TestContract(Contract):
    answers_errors = False

    lbheartbeat_body = b'{"status":"ok"}'

    def make(self, folder: Path, settings: dict[str, Any] | None = None) -> ASGIDriver:
        app = DockerflowASGI(application, settings=settings_of(settings), version_path=str(folder))
        return ASGIDriver(app)


def saying(kinds: list[str]) -> Any:
    """Return a ``receive`` that gives messages of these kinds, and then none for ever."""
    pending = iter(kinds)

    async def receive() -> Any:
        for kind in pending:
            return {"type": kind, "body": b"", "more_body": True}
        await asyncio.Event().wait()

    return receive


async def ignore(message: Any) -> None: ...


def cancelled(is_begun: bool, kinds: list[str]) -> bool:
    """Serve a request whose task is cancelled; return whether the task says so."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if is_begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.Event().wait()

    async def main() -> bool:
        served = DockerflowASGI(app)(dict(SCOPE), saying(kinds), ignore)
        task = asyncio.ensure_future(served)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    return asyncio.run(main())


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

    def test_a_status_after_the_client_has_gone_is_not_sent(self, lines: Lines) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert (await receive())["type"] == "http.disconnect"
            await application(scope, receive, send)

        serve(DockerflowASGI(app))
        assert (lines.summary["errno"], lines.summary["code"]) == (0, 499)

    @pytest.mark.parametrize("place", ["send", "receive"])
    def test_an_oserror_of_a_layer_outside_is_a_bug(
        self, place: str, lines: Lines, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # As in a task of a server, whose own channels are those of its module.
        monkeypatch.setattr("dockerflow.asgi.is_server_task", lambda: True)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await application(scope, receive, send)

        async def fails(*_: Any) -> Any:
            raise ConnectionRefusedError("redis is down")

        async def receive() -> Any:
            return {"type": "http.request", "body": b""}

        with pytest.raises(ConnectionRefusedError):
            serve(DockerflowASGI(app), **{"receive": receive, place: fails})
        assert lines.summary["errno"] == 500
        assert lines.summary["error"] == "ConnectionRefusedError('redis is down')"

    def test_an_oserror_of_a_servers_own_channel_is_the_clients(
        self, lines: Lines, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("dockerflow.asgi.is_server_task", lambda: True)

        async def send(message: Any) -> None:
            raise BrokenPipeError

        send.__module__ = "uvicorn.protocols.http.h11_impl"
        with pytest.raises(BrokenPipeError):
            serve(DockerflowASGI(application), send=send)
        assert (lines.summary["errno"], lines.summary["code"]) == (0, 499)

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
    @pytest.mark.parametrize("messages", [[], ["http.request"], ["http.request"] * 3])
    def test_a_cancellation_of_a_client_that_is_gone_is_no_error(
        self, lines: Lines, is_begun: bool, messages: list[str]
    ) -> None:
        """The server has cancelled the application, and has a message that says why."""
        assert cancelled(is_begun, [*messages, "http.disconnect"])
        (line,) = lines.summaries
        code = 200 if is_begun else 499
        assert (line["Severity"], line["Fields"]["errno"], line["Fields"]["code"]) == (6, 0, code)

    @pytest.mark.parametrize("is_begun", [False, True])
    @pytest.mark.parametrize("messages", [[], ["http.request"]])
    def test_another_cancellation_is_preserved_and_an_error(
        self, lines: Lines, is_begun: bool, messages: list[str]
    ) -> None:
        assert cancelled(is_begun, messages)
        (line,) = lines.summaries
        code = 200 if is_begun else 500
        assert (line["Severity"], line["Fields"]["errno"], line["Fields"]["code"]) == (3, 500, code)
        assert line["Fields"]["msg"] == "CancelledError: cancelled while its client was there"

    def test_what_the_application_itself_has_cancelled_is_an_error(self, lines: Lines) -> None:
        """It awaits a task that was cancelled; the server is not asked for its client."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            task = asyncio.create_task(asyncio.sleep(60))
            task.cancel()
            await task

        async def main() -> None:
            with pytest.raises(asyncio.CancelledError):
                await DockerflowASGI(app)(dict(SCOPE), saying(["http.disconnect"]), ignore)

        asyncio.run(main())
        if hasattr(asyncio.Task, "cancelling"):
            assert (lines.summary["errno"], lines.summary["code"]) == (500, 500)
        else:
            # Before Python 3.11 it cannot be told from the server's cancellation.
            assert (lines.summary["errno"], lines.summary["code"]) == (0, 499)

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

    def test_a_file_that_the_server_copies_may_be_followed_by_further_parts(
        self, lines: Lines
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 206, "headers": []})
            await send({"type": "http.response.zerocopysend", "file": 3, "more_body": True})
            assert add_fields(parts=2)
            await send({"type": "http.response.zerocopysend", "file": 3})
            assert not add_fields(late=True)

        serve(DockerflowASGI(app))
        assert (lines.summary["code"], lines.summary["errno"]) == (206, 0)
        assert lines.summary["parts"] == 2

    @pytest.mark.parametrize("kind", ["pathsend", "zerocopysend"])
    def test_a_file_is_not_the_end_where_trailers_follow(self, lines: Lines, kind: str) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            start = {"type": "http.response.start", "status": 200, "headers": [], "trailers": True}
            await send(start)
            await send({"type": f"http.response.{kind}", "path": "/x", "file": 3})
            add_fields(in_time=True)
            await send({"type": "http.response.trailers", "headers": []})

        serve(DockerflowASGI(app))
        assert (lines.summary["in_time"], lines.summary["errno"]) == (True, 0)

    def test_a_file_of_which_a_part_is_missing_is_an_error(self, lines: Lines) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.zerocopysend", "file": 3, "more_body": True})

        ASGIDriver(DockerflowASGI(app)).get("/")
        assert (lines.summary["code"], lines.summary["errno"]) == (200, 500)

    def test_an_exception_that_cannot_be_printed_has_a_summary(self, lines: Lines) -> None:
        class Broken(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise Broken

        with pytest.raises(Broken):
            serve(DockerflowASGI(app))
        assert lines.summary["msg"] == "<unprintable Broken: RuntimeError>"


class TestOnTrio:
    @pytest.mark.parametrize("is_begun", [False, True])
    def test_a_cancelled_request_leaves_nothing_waiting_for_its_server(
        self, lines: Lines, is_begun: bool
    ) -> None:
        import trio

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if is_begun:
                await send({"type": "http.response.start", "status": 200, "headers": []})
            await trio.sleep_forever()

        async def main() -> None:
            to_application, messages = trio.open_memory_channel[Any](5)
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    layer = DockerflowASGI(app)
                    nursery.start_soon(layer, dict(SCOPE), messages.receive, ignore)
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()
            # The server says it when the request is over; its loop is well after that.
            await to_application.send({"type": "http.disconnect"})
            await trio.testing.wait_all_tasks_blocked()
            assert await messages.receive() == {"type": "http.disconnect"}

        import trio.testing

        trio.run(main)
        code = 200 if is_begun else 500
        assert (lines.summary["errno"], lines.summary["code"]) == (500, code)

    def test_a_response_without_its_end_leaves_nothing_waiting(self, lines: Lines) -> None:
        import trio

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})

        async def main() -> None:
            to_application, messages = trio.open_memory_channel[Any](5)
            await DockerflowASGI(app)(dict(SCOPE), messages.receive, ignore)
            await to_application.send({"type": "http.disconnect"})
            assert await messages.receive() == {"type": "http.disconnect"}

        trio.run(main)
        assert lines.summary["msg"] == "The application ended without the end of its response"


class TestAnswersOfExceptions:
    """A framework answers an exception; what counts is whether it raises it again."""

    @pytest.mark.parametrize("status", [400, 500, 503])
    def test_one_that_is_raised_again_is_an_error_with_the_status_sent(
        self, lines: Lines, status: int
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            try:
                raise ValueError("boom")
            except ValueError:
                await replying(send)(status)
                raise

        with pytest.raises(ValueError, match="boom"):
            serve(DockerflowASGI(app))
        (line,) = lines.summaries
        assert (line["Severity"], line["Fields"]["errno"]) == (3, 500)
        assert (line["Fields"]["code"], line["Fields"]["error"]) == (status, "ValueError('boom')")

    @pytest.mark.parametrize("status", [404, 500, 502])
    def test_one_that_is_not_raised_again_is_none(self, lines: Lines, status: int) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            try:
                raise ValueError("boom")
            except ValueError:
                await replying(send)(status)
            assert add_fields(late=True) == (not lines.summaries)

        serve(DockerflowASGI(app))
        (line,) = lines.summaries
        assert (line["Severity"], line["Fields"]["errno"], line["Fields"]["code"]) == (6, 0, status)

    def test_its_time_is_that_of_the_last_part(
        self, lines: Lines, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What the application does after an error's answer is not the client's time."""
        now = [0]
        monkeypatch.setattr("dockerflow.summary._monotonic_ns", lambda: now[0])
        monkeypatch.setattr("dockerflow.asgi.time.monotonic_ns", lambda: now[0])

        async def app(scope: Any, receive: Any, send: Any) -> None:
            now[0] = 7_000_000
            await replying(send)(500)
            now[0] = 900_000_000

        serve(DockerflowASGI(app))
        assert lines.summary["t"] == 7

    def test_a_later_exception_of_a_good_answer_changes_nothing(self, lines: Lines) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await replying(send)(200)
            raise ValueError("in the background")

        with pytest.raises(ValueError, match="background"):
            serve(DockerflowASGI(app))
        assert (lines.summary["errno"], lines.summary["code"]) == (0, 200)

    def test_answers_of_exceptions_without_its_traceback_the_summary_has_its_repr(
        self, lines: Lines
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise ValueError("boom")

        with pytest.raises(ValueError, match="boom"):
            serve(DockerflowASGI(app, settings=Settings(summary_traceback=False)))
        assert lines.summary["error"] == "ValueError('boom')"
        assert "traceback" not in lines.summary

    def test_the_end_of_a_process_reads_as_such(self, lines: Lines) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise SystemExit(1)

        with pytest.raises(SystemExit):
            serve(DockerflowASGI(app))
        assert lines.summary["msg"].startswith("SystemExit: 1 (the process was told to end")


class TestWebSockets:
    def run(self, app: Any, received: list[dict[str, Any]], headers: Any = ()) -> list[Any]:
        sent: list[Any] = []

        async def main() -> None:
            async def send(message: Any) -> None:
                sent.append(message)

            scope = {"type": "websocket", "path": "/ws", "query_string": b"", "headers": headers}
            pending = iter(received)

            async def receive() -> Any:
                for message in pending:
                    return message
                await asyncio.Event().wait()

            await DockerflowASGI(app)(scope, receive, send)

        asyncio.run(main())
        return sent

    def test_web_sockets_has_the_id_of_its_handshake_and_a_summary_at_its_end(
        self, lines: Lines
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept", "headers": [(b"x-own", b"1")]})
            logger.info("accepted")
            assert lines.summaries == []
            while (await receive())["type"] != "websocket.disconnect":
                logger.info("got one")

        sent = self.run(
            app,
            [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "a"},
             {"type": "websocket.disconnect", "code": 1001}],
            [(b"x-request-id", b"r1")],
        )  # fmt: skip
        assert sent[0]["headers"] == [(b"x-own", b"1"), (b"x-request-id", b"r1")]
        assert [fields["rid"] for fields in lines.of("app")] == ["r1", "r1"]
        fields = lines.summary
        assert (fields["method"], fields["path"], fields["rid"]) == ("WEBSOCKET", "/ws", "r1")
        assert (fields["code"], fields["errno"], "t" in fields) == (1001, 0, True)

    @pytest.mark.parametrize(
        ("message", "code"),
        [({"type": "websocket.close"}, 403),
         ({"type": "websocket.http.response.start", "status": 401, "headers": []}, 401)],
    )  # fmt: skip
    def test_web_sockets_that_is_refused_has_the_status_of_its_answer(
        self, lines: Lines, message: dict[str, Any], code: int
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(message)
            if code == 401:
                await send({"type": "websocket.http.response.body", "body": b"no"})

        sent = self.run(app, [{"type": "websocket.connect"}])
        assert (lines.summary["code"], lines.summary["errno"]) == (code, 0)
        if code == 401:
            assert sent[0]["headers"] == [(b"x-request-id", lines.summary["rid"].encode())]

    def test_web_sockets_that_the_application_closes_has_its_code(self, lines: Lines) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 4001})

        self.run(app, [])
        assert (lines.summary["code"], lines.summary["errno"]) == (4001, 0)

    @pytest.mark.parametrize(("is_accepted", "code"), [(True, 1011), (False, 500)])
    def test_web_sockets_that_ends_by_an_exception_is_an_error(
        self, lines: Lines, is_accepted: bool, code: int
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            if is_accepted:
                await send({"type": "websocket.accept"})
            raise ValueError("boom")

        with pytest.raises(ValueError, match="boom"):
            self.run(app, [])
        (line,) = lines.summaries
        assert (line["Severity"], line["Fields"]["errno"], line["Fields"]["code"]) == (3, 500, code)

    def test_web_sockets_whose_peer_has_gone_is_no_error_whatever_the_framework_raises(
        self, lines: Lines
    ) -> None:
        class WebSocketDisconnect(Exception): ...

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.accept"})
            await receive()
            raise WebSocketDisconnect

        with pytest.raises(WebSocketDisconnect):
            self.run(app, [{"type": "websocket.disconnect", "code": 1006}])
        (line,) = lines.summaries
        assert (line["Severity"], line["Fields"]["errno"], line["Fields"]["code"]) == (6, 0, 1006)

    def test_web_sockets_is_never_an_endpoint(self, lines: Lines) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.close"})

        async def main() -> None:
            scope = {"type": "websocket", "path": "/__lbheartbeat__", "headers": []}
            await DockerflowASGI(app)(scope, saying([]), ignore)

        asyncio.run(main())
        assert (lines.summary["path"], lines.summary["code"]) == ("/__lbheartbeat__", 403)


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

    def test_layers_without_ids_there_is_no_rid(self, caplog: pytest.LogCaptureFixture) -> None:
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

    @pytest.mark.parametrize("kind", ["lifespan", "of.tomorrow"])
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
