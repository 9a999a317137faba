"""WebSocket connections of Sanic's own server: an id in their lines, and one summary each."""

from collections.abc import Iterator

import pytest
from sanic_server import Server, WebSocket, serve
from table import shows

INFO, ERROR = 6, 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("sanic")) as served:
        yield served


def opened(server: Server, rid: str) -> WebSocket:
    websocket = WebSocket(server, rid)
    assert websocket.answer.status == 101
    websocket.send("hello")
    assert websocket.receive() == (1, b"hello")
    return websocket


def closed(server: Server, rid: str) -> tuple[int, int, int, str]:
    severity, fields = server.summary(rid)
    assert fields["t"] >= 0
    assert (fields["method"], fields["path"]) == ("WEBSOCKET", "/ws")
    return severity, fields["errno"], fields["code"], fields.get("error", "")


@shows("Sanic", "WebSockets", "the id in all lines, one summary with the close code")
def test_its_lines_have_the_id_of_the_handshake(server: Server) -> None:
    opened(server, "lines").close()
    server.summary("lines")
    assert [m for m in server.messages("lines") if m in {"connected", "message"}] == [
        "connected",
        "message",
    ]


def test_an_id_that_may_not_be_is_replaced(server: Server) -> None:
    opened(server, "no way").close()
    assert server.of("no way") == []
    lines = [line for line in server.lines if line["Fields"].get("msg") == "connected"]
    assert len(lines[-1]["Fields"]["rid"]) == 36


@pytest.mark.parametrize("code", [1000, 1001, 4002])
def test_one_that_the_client_closes_is_no_error(server: Server, code: int) -> None:
    opened(server, f"client-{code}").close(code)
    assert closed(server, f"client-{code}") == (INFO, 0, code, "")


@pytest.mark.parametrize(("said", "code"), [("end", 1000), ("close", 4001)])
def test_one_that_the_application_closes_is_no_error(server: Server, said: str, code: int) -> None:
    websocket = opened(server, said)
    websocket.send(said)
    opcode, payload = websocket.receive()
    assert (opcode, int.from_bytes(payload[:2], "big")) == (8, code)
    websocket.close(code)
    assert closed(server, said) == (INFO, 0, code, "")


def test_one_whose_client_vanishes_is_no_error(server: Server) -> None:
    opened(server, "vanish").vanish()
    assert closed(server, "vanish") == (INFO, 0, 1006, "")


def test_an_exception_of_its_handler_is_one_error(server: Server) -> None:
    websocket = opened(server, "boom")
    websocket.send("boom")
    websocket.receive()
    websocket.close()
    severity, errno, code, error = closed(server, "boom")
    assert (severity, errno, error) == (ERROR, 500, "ValueError('in the socket')")
    # Sanic closes it as if all were well.
    assert code == 1000


@shows("Sanic", "WebSockets", "refused: a summary with the status, and the id in the answer")
def test_one_that_is_refused_has_a_summary_and_an_id(server: Server) -> None:
    refused = WebSocket(server, "refused", "/ws?shut=1")
    assert (refused.answer.status, refused.answer.ids) == (403, [b"refused"])
    refused.vanish()
    assert closed(server, "refused") == (INFO, 0, 403, "")
    answered = WebSocket(server, "answered", "/ws?refuse=1")
    assert (answered.answer.status, answered.answer.ids) == (403, [b"answered"])
    answered.vanish()
    assert closed(server, "answered") == (INFO, 0, 403, "")


def test_a_plain_request_to_its_route_is_a_request(server: Server) -> None:
    answer = server.ask("/ws", "plain")
    severity, fields = server.summary("plain")
    assert (answer.ids, fields["method"]) == ([b"plain"], "GET")
    assert fields["code"] == answer.status
    # Sanic asks for the upgrade from 22.12 on.
    assert (severity, answer.status) in {(INFO, 426), (ERROR, 500)}


def test_one_that_the_end_of_the_server_closes_is_no_error(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with serve(tmp_path_factory.mktemp("stopped")) as server:
        websocket = opened(server, "shutdown")
        server.process.terminate()
        server.process.wait(timeout=30)
        severity, errno, code, _ = closed(server, "shutdown")
        assert (severity, errno) == (INFO, 0)
        assert code in {1000, 1001}
        websocket.vanish()
