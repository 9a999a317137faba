"""Starlette under uvicorn, and aiohttp's own server: ids, summaries, what leaks and what ends."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import sanic_server
from sanic_server import HERE, Answer, Server, WebSocket, everything, head
from table import shows

INFO, ERROR = 6, 3
KINDS = ("starlette", "aiohttp")


def run(kind: str, folder: Path) -> Iterator[Server]:
    if kind == "aiohttp":
        command = [str(HERE / "aiohttp_application.py"), "PORT"]
    else:
        command = ["-m", "uvicorn", "starlette_application:app", "--app-dir", str(HERE)]
        command += ["--port", "PORT", "--timeout-graceful-shutdown", "1"]
    with sanic_server._run(folder, command) as served:
        yield served


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    yield from run(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture
def kind(request: pytest.FixtureRequest, server: Server) -> str:
    return str(request.node.callspec.params["server"])


def found(server: Server, rid: str) -> tuple[int, int, int]:
    severity, fields = server.summary(rid)
    return severity, fields["errno"], fields["code"]


@shows("Starlette", "id in all lines", "yes, also the server's about an exception")
@shows("aiohttp", "id in all lines", "yes, also aiohttp's own")
@shows("Starlette", "id in the 500", "yes; also in the answer of a handler for `Exception`")
@shows("aiohttp", "id in the 500", "yes")
def test_all_lines_of_a_request_that_fails_have_its_id_and_so_has_its_answer(
    server: Server, kind: str
) -> None:
    answer = server.ask("/boom", "boom")
    assert (answer.status, answer.ids) == (500, [b"boom"])
    assert found(server, "boom") == (ERROR, 500, 500)
    types = {"starlette": {"uvicorn.error", "uvicorn.access"}}.get(
        kind, {"aiohttp.server", "aiohttp.access"}
    )
    assert {line["Type"] for line in server.of("boom")} == {"request.summary", *types}


def test_nothing_is_left_to_the_next_request_of_a_connection(server: Server) -> None:
    with server.connect() as connection:
        # In one go: the second waits in the server while the first is served.
        connection.sendall(head("/bind", "first") + head("/plain", "second", "Connection: close"))
        raw = everything(connection)
    assert (raw.count(b"first"), raw.count(b"second")) == (1, 1)
    _, first = server.summary("first")
    assert first["colour"] == "red"
    assert server.summary("second")
    assert not any("colour" in line["Fields"] for line in server.of("second"))


@shows("Starlette", "streams", "one summary, at the end; the id to the last line")
@shows("aiohttp", "streams", "one summary, at the end; the id to the last line")
def test_a_stream_is_summed_up_when_it_ends(server: Server) -> None:
    answer = server.ask("/stream", "stream")
    assert (answer.status, answer.ids) == (200, [b"stream"])
    assert found(server, "stream") == (INFO, 0, 200)
    types = [line["Type"] for line in server.of("stream")]
    assert types[:5] == ["app"] * 4 + ["request.summary"] or "uvicorn.access" in types[:5]
    assert types.index("request.summary") > max(
        place for place, each in enumerate(types) if each == "app"
    )


@shows("Starlette", "streams", "also where the client goes")
@shows("aiohttp", "streams", "also where the client goes")
def test_a_stream_whose_client_goes_is_no_error(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(head("/stream?parts=100000", "left"))
        server.wait_for("left", "part")
    assert found(server, "left") == (INFO, 0, 200)
    server.wait_for("left", "closed")


@shows("Starlette", "what a cancellation is", "a cancelled task: 500, ERROR")
@shows("aiohttp", "what a cancellation is", "a cancelled task: 500, ERROR")
def test_a_cancellation_by_the_application_is_an_error(server: Server) -> None:
    server.ask("/cancelled", "cancelled")
    assert found(server, "cancelled") == (ERROR, 500, 500)


@shows("Starlette", "what a cancellation is", "the client has gone: 499, INFO")
@shows("aiohttp", "what a cancellation is", "the client has gone: 499, INFO")
def test_a_client_that_goes_before_there_is_a_status_is_499(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(head("/slow", "gone"))
        server.wait_for("gone", "waiting")
    assert found(server, "gone") == (INFO, 0, 499)


@shows("Starlette", "what a cancellation is", "shutdown: 500, ERROR")
@shows("aiohttp", "what a cancellation is", "shutdown: 500, ERROR")
@pytest.mark.parametrize("of", KINDS)
def test_the_end_of_the_server_is_an_error(of: str, tmp_path: Path) -> None:
    for served in run(of, tmp_path):
        connection = served.connect()
        connection.sendall(head("/slow", "ended"))
        served.wait_for("ended", "waiting")
        served.process.send_signal(signal.SIGTERM)
        assert found(served, "ended") == (ERROR, 500, 500)
        connection.close()


@shows("Starlette", "WebSockets", "the id in all lines, one summary with the close code")
@shows("aiohttp", "WebSockets", "the id in all lines, one summary with the close code")
@shows("Starlette", "WebSockets", "the id in the handshake's answer")
@shows("aiohttp", "WebSockets", "the id in the handshake's answer")
def test_a_websocket_has_one_id_and_one_summary(server: Server) -> None:
    websocket = WebSocket(server, "socket")
    assert (websocket.answer.status, websocket.answer.ids) == (101, [b"socket"])
    websocket.send("hello")
    assert websocket.receive() == (1, b"hello")
    websocket.close(4002)
    severity, fields = server.summary("socket")
    assert (severity, fields["method"], fields["code"]) == (INFO, "WEBSOCKET", 4002)
    assert {"connected", "message"} <= {*server.messages("socket")}


def test_a_websocket_whose_client_vanishes_is_no_error(server: Server) -> None:
    websocket = WebSocket(server, "vanish")
    server.wait_for("vanish", "connected")
    websocket.vanish()
    assert found(server, "vanish")[:2] == (INFO, 0)


def test_a_websocket_that_fails_is_one_error(server: Server, kind: str) -> None:
    websocket = WebSocket(server, "boom-socket")
    websocket.send("boom")
    everything(websocket.connection)
    websocket.vanish()
    # aiohttp sends no closing frame then.
    code = 1006 if kind == "aiohttp" else 1011
    assert found(server, "boom-socket") == (ERROR, 500, code)


@shows("Starlette", "WebSockets", "refused: a summary with 403 or the status of the denial")
@shows("aiohttp", "WebSockets", "refused: a summary of the plain request, and the id in the answer")
def test_a_websocket_that_is_refused_has_a_summary(server: Server, kind: str) -> None:
    refused = WebSocket(server, "refused", "/refuse")
    assert refused.answer.status == 403
    refused.vanish()
    severity, fields = server.summary("refused")
    method = "GET" if kind == "aiohttp" else "WEBSOCKET"
    assert (severity, fields["method"], fields["code"]) == (INFO, method, 403)
    assert refused.answer.ids == ([b"refused"] if kind == "aiohttp" else [])


@shows("Starlette", "endpoint with a trailing slash", "200")
@shows("aiohttp", "endpoint with a trailing slash", "200")
def test_a_slash_may_follow_an_endpoint(server: Server) -> None:
    answer: Answer = server.ask("/__lbheartbeat__/", "slash")
    assert (answer.status, answer.body) == (200, b'{"status":"ok"}')
