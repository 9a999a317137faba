"""Sanic over ASGI, on uvicorn: the same outcomes, ids and summaries as on its own server."""

from collections.abc import Iterator

import pytest
from sanic_server import Server, WebSocket, everything, head, serve_with_uvicorn

INFO, ERROR = 6, 3

pytest.importorskip("uvicorn", reason="uvicorn is not installed")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve_with_uvicorn(tmp_path_factory.mktemp("uvicorn")) as served:
        yield served


@pytest.mark.parametrize(
    ("target", "expected", "error"),
    [
        ("/raise/supplier", (INFO, 0, 502), None),
        ("/raise/sanic-503", (INFO, 0, 503), None),
        ("/raise/missing", (INFO, 0, 404), None),
        ("/status/503", (INFO, 0, 503), None),
        ("/?refuse=1", (INFO, 0, 403), None),
        ("/?replace-response=1", (INFO, 0, 201), None),
        ("/raise/value", (ERROR, 500, 500), "ValueError('boom')"),
        ("/raise/undecided", (ERROR, 500, 500), "Undecided('first')"),
        ("/raise/careless", (ERROR, 500, 500), "KeyError('in the handler')"),
        ("/raise/async-careless", (ERROR, 500, 500), "KeyError('in the handler')"),
        ("/?break-response=1", (ERROR, 500, 200), "RuntimeError('response middleware')"),
        ("/stream?until=2", (INFO, 0, 200), None),
        ("/stream?boom-at=2", (ERROR, 500, 200), "ValueError('in the stream')"),
    ],
)
def test_a_request_ends_as_on_sanics_own_server(
    server: Server, target: str, expected: tuple[int, int, int], error: str | None
) -> None:
    rid = "asgi" + target.translate(str.maketrans("/?=", "---"))
    answer = server.ask(target, rid)
    severity, fields = server.summary(rid)
    assert (severity, fields["errno"], fields["code"]) == expected
    assert fields.get("error") == error
    assert (answer.status, answer.ids) == (expected[2], [rid.encode()])


def test_a_cancellation_by_the_application_is_an_error(server: Server) -> None:
    server.ask("/cancelled-task", "asgi-cancelled")
    severity, fields = server.summary("asgi-cancelled")
    assert (severity, fields["code"], fields["error"]) == (ERROR, 500, "CancelledError()")


def test_an_upgrade_header_hides_no_request(server: Server) -> None:
    answer = server.ask("/", "asgi-upgrade", "Upgrade: websocket")
    severity, fields = server.summary("asgi-upgrade")
    assert (answer.status, answer.ids) == (200, [b"asgi-upgrade"])
    assert (severity, fields["method"], fields["code"]) == (INFO, "GET", 200)


def test_requests_on_one_connection_see_nothing_of_each_other(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(
            head("/bind", "asgi-pipe-1")
            + head("/nowhere", "asgi-pipe-2")
            + head("/", "asgi-pipe-3", "Connection: close")
        )
        everything(connection)
    bound = {}
    for number in range(1, 4):
        server.summary(f"asgi-pipe-{number}")
        lines = server.of(f"asgi-pipe-{number}")
        bound[number] = {"colour" in line["Fields"] for line in lines}
    assert bound == {1: {True}, 2: {False}, 3: {False}}


def test_a_task_that_a_request_starts_keeps_its_id(server: Server) -> None:
    server.ask("/background", "asgi-background")
    server.wait_for("asgi-background", "in the background")


def test_a_websocket_has_the_id_in_the_answer_to_its_handshake(server: Server) -> None:
    websocket = WebSocket(server, "asgi-ws")
    websocket.send("hello")
    assert websocket.receive() == (1, b"hello")
    websocket.close(1000)
    assert (websocket.answer.status, websocket.answer.ids) == (101, [b"asgi-ws"])
    severity, fields = server.summary("asgi-ws")
    assert (severity, fields["errno"], fields["method"]) == (INFO, 0, "WEBSOCKET")
    assert fields["code"] == 1000
    assert {"connected", "message"} <= set(server.messages("asgi-ws"))


def test_an_exception_in_a_websocket_is_one_error(server: Server) -> None:
    websocket = WebSocket(server, "asgi-ws-boom")
    websocket.send("boom")
    everything(websocket.connection)
    websocket.vanish()
    severity, fields = server.summary("asgi-ws-boom")
    assert (severity, fields["errno"], fields["method"]) == (ERROR, 500, "WEBSOCKET")
    assert fields["error"] == "ValueError('in the socket')"
