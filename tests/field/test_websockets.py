"""WebSockets: an id from the handshake on, and a summary at the end, on real servers."""

import contextlib
import socket
from typing import Any

import pytest
from sockets import peer
from stack import ASGI, Seen, Stack
from table import shows
from websockets.exceptions import ConnectionClosed, InvalidStatus

#: Servers to which an application may say how it refuses a handshake.
DENYING = ("uvicorn-asyncio-h11", "uvicorn-uvloop-h11", "hypercorn-asyncio", "hypercorn-trio")
APPS = ("bare", "starlette", "fastapi")
#: WSGI servers that hand a socket over to simple-websocket.
HANDING_OVER = ("gunicorn-gthread", "gunicorn-gevent", "werkzeug")
#: hypercorn calls each connection that its client closed an abnormal one.
UNKNOWN_CODE = {"hypercorn-asyncio": 1006, "hypercorn-trio": 1006}


def refused(stack: Stack, path: str, rid: str = "abc") -> Any:
    """Return the response that a handshake is refused with."""
    with pytest.raises(InvalidStatus) as caught, peer(stack, path, rid):
        pass
    return caught.value.response


def assert_ended(seen: Seen, path: str, code: int) -> dict[str, Any]:
    summary = seen.summary(path)
    assert (summary["Severity"], summary["errno"]) == (6, 0)
    assert (summary["method"], summary["code"]) == ("WEBSOCKET", code)
    assert summary["t"] >= 0
    assert "error" not in summary
    return summary


@shows("FastAPI", "WebSockets", "the id in all lines, one summary with the close code")
@shows("ASGI", "WebSockets", "the id in all lines, one summary with the close code")
@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("server", ASGI)
def test_a_connection_has_one_id_in_all_its_lines_and_a_summary(stack: Stack, app: str) -> None:
    with stack.watching() as seen:
        with peer(stack, f"/{app}/socket/echo") as it:
            for text in ("one", "two"):
                it.send(text)
                assert it.recv(timeout=10) == text
        seen.until_summary("/socket/echo")
    summary = assert_ended(seen, "/socket/echo", UNKNOWN_CODE.get(stack.name, 1000))
    assert (summary["rid"], summary["user"]) == ("abc", "ann")
    assert [fields["rid"] for fields in seen.of("app")] == ["abc"] * 3


@shows("FastAPI", "WebSockets", "the id in the handshake's answer, where the server takes headers")
@shows("ASGI", "WebSockets", "the id in the handshake's answer, where the server takes headers")
@pytest.mark.parametrize("app", ["bare", "fastapi"])
@pytest.mark.parametrize("server", ASGI)
def test_a_handshake_is_answered_with_the_id_where_the_server_takes_headers(
    stack: Stack, app: str
) -> None:
    with peer(stack, "/control/socket") as it:
        assert it.response is not None
        takes_headers = it.response.headers.get("x-own") == "1"
    with peer(stack, f"/{app}/socket/{'open' if app == 'fastapi' else 'echo'}") as it:
        assert it.response is not None
        headers = it.response.headers
        assert headers.get_all("x-request-id") == (["abc"] if takes_headers else [])
        assert headers.get("x-own") == ("1" if takes_headers else None)
        if app == "fastapi":
            it.send("a bell")
            # Not to close at the same time as the application, which ends hypercorn on trio.
            with pytest.raises(ConnectionClosed):
                it.recv(timeout=10)


@pytest.mark.parametrize("server", ["uvicorn-asyncio-h11", "hypercorn-trio", "daphne"])
def test_an_invalid_id_of_a_handshake_is_replaced(stack: Stack) -> None:
    with stack.watching() as seen:
        with peer(stack, "/fastapi/socket/echo", "no way") as it:
            it.send("one")
            it.recv(timeout=10)
        seen.until_summary("/socket/echo")
    (said,) = seen.saying("got one")
    assert said["rid"] == seen.summary("/socket/echo")["rid"] != "no way"
    assert len(said["rid"]) == 36


@shows("FastAPI", "WebSockets", "refused: a summary with 403 or the status of the denial")
@shows("ASGI", "WebSockets", "refused: a summary with 403 or the status of the denial")
@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("server", ASGI)
def test_a_handshake_that_is_refused_has_a_summary(stack: Stack, app: str) -> None:
    with stack.watching() as seen:
        response = refused(stack, f"/{app}/socket/shut")
        seen.until_summary("/socket/shut")
    assert response.status_code == 403
    summary = seen.summary("/socket/shut")
    assert (summary["Severity"], summary["errno"], summary["code"]) == (6, 0, 403)
    assert (summary["method"], summary["rid"]) == ("WEBSOCKET", "abc")
    assert seen.rids("refusing") == ["abc"]


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("server", DENYING)
def test_a_handshake_that_is_denied_with_a_response_has_its_status_and_id(
    stack: Stack, app: str
) -> None:
    with stack.watching() as seen:
        response = refused(stack, f"/{app}/socket/deny")
        seen.until_summary("/socket/deny")
    assert response.status_code == 402
    assert response.headers.get_all("x-request-id") == ["abc"]
    summary = seen.summary("/socket/deny")
    assert (summary["Severity"], summary["errno"], summary["code"]) == (6, 0, 402)


@pytest.mark.parametrize("server", ["uvicorn-asyncio-h11", "hypercorn-asyncio", "daphne"])
def test_a_socket_that_no_route_serves_is_refused_and_has_a_summary(stack: Stack) -> None:
    with stack.watching() as seen:
        refused(stack, "/fastapi/nowhere")
        seen.until_summary("/nowhere")
    summary = seen.summary("/nowhere")
    assert (summary["Severity"], summary["code"], summary["rid"]) == (6, 403, "abc")


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("server", ["uvicorn-uvloop-httptools", "hypercorn-trio", "granian-asgi"])
def test_the_code_is_that_which_the_application_closes_with(stack: Stack, app: str) -> None:
    with stack.watching() as seen:
        with peer(stack, f"/{app}/socket/code") as it, pytest.raises(ConnectionClosed):
            it.recv(timeout=10)
        assert it.close_code == 4007
        seen.until_summary("/socket/code")
    assert_ended(seen, "/socket/code", 4007)


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("server", ["uvicorn-asyncio-h11", "hypercorn-asyncio", "daphne"])
def test_the_code_is_that_which_the_client_closes_with(stack: Stack, app: str) -> None:
    with stack.watching() as seen:
        with peer(stack, f"/{app}/socket/echo") as it:
            it.close(4321)
        seen.until_summary("/socket/echo")
    assert_ended(seen, "/socket/echo", UNKNOWN_CODE.get(stack.name, 4321))


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("server", ["uvicorn-uvloop-h11", "hypercorn-trio", "granian-asgi"])
def test_a_client_that_vanishes_is_no_error(stack: Stack, app: str) -> None:
    with stack.watching() as seen:
        with peer(stack, f"/{app}/socket/echo") as it:
            it.send("one")
            assert it.recv(timeout=10) == "one"
            it.socket.shutdown(socket.SHUT_RDWR)
        seen.until_summary("/socket/echo")
    summary = seen.summary("/socket/echo")
    assert (summary["Severity"], summary["errno"]) == (6, 0)
    # The codes that servers give where none was received.
    assert summary["code"] in (1005, 1006)
    assert seen.rids("done") == ["abc"]


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("server", ASGI)
def test_an_exception_in_a_connection_is_one_error(stack: Stack, app: str) -> None:
    with stack.watching() as seen:
        with contextlib.suppress(ConnectionClosed), peer(stack, f"/{app}/socket/boom") as it:
            it.send("one")
            it.recv(timeout=10)
        seen.until_summary("/socket/boom")
    summary = seen.summary("/socket/boom")
    assert (summary["Severity"], summary["errno"], summary["method"]) == (3, 500, "WEBSOCKET")
    assert (summary["msg"], summary["rid"]) == ("the drawer is empty", "abc")
    assert summary["error"] == "ValueError('the drawer is empty')"
    assert 'raise ValueError("the drawer is empty")' in summary["traceback"]


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("server", ["uvicorn-asyncio-h11", "hypercorn-asyncio", "granian-asgi"])
def test_an_exception_before_the_handshake_is_one_error_with_a_status(
    stack: Stack, app: str
) -> None:
    with stack.watching() as seen:
        refused(stack, f"/{app}/socket/boom-early")
        seen.until_summary("/socket/boom-early")
    assert seen.outcome("/socket/boom-early") == (3, 500, 500)
    assert seen.rids("opening") == ["abc"]


@pytest.mark.parametrize("server", ["uvicorn-asyncio-h11", "uvicorn-uvloop-h11"])
def test_the_line_of_the_server_about_a_connection_has_the_id(stack: Stack) -> None:
    text = "Exception in ASGI application"
    with stack.watching() as seen:
        with contextlib.suppress(ConnectionClosed), peer(stack, "/fastapi/socket/boom") as it:
            it.send("one")
            it.recv(timeout=10)
        seen.until(lambda now: bool(now.saying(text)))
    assert seen.rids(text) == ["abc"]


@pytest.mark.parametrize("server", ["uvicorn-asyncio-h11", "hypercorn-trio", "granian-asgi"])
def test_connections_at_once_have_ids_of_their_own(stack: Stack) -> None:
    with stack.watching(2) as seen:
        with (
            peer(stack, "/fastapi/socket/echo", "w1") as one,
            peer(stack, "/bare/socket/echo", "w2") as two,
        ):
            for text, client in (("a", one), ("b", two), ("c", one)):
                client.send(text)
                client.recv(timeout=10)
        seen.until_summary("/socket/echo", 2)
    assert (seen.rids("got a"), seen.rids("got b"), seen.rids("got c")) == (["w1"], ["w2"], ["w1"])
    assert {line["Fields"]["rid"] for line in seen.summaries()} == {"w1", "w2"}


# -- a WSGI server that hands the socket over -------------------------------------------


@shows(
    "Flask",
    "WebSockets",
    "handed over: the id in all lines, a summary with code 101, none in the answer",
)
@shows(
    "WSGI",
    "WebSockets",
    "handed over: the id in all lines, a summary with code 101, none in the answer",
)
@pytest.mark.parametrize("app", ["flask", "bare"])
@pytest.mark.parametrize("server", HANDING_OVER)
def test_a_socket_that_was_handed_over_and_ended_well_is_no_error(stack: Stack, app: str) -> None:
    with stack.watching() as seen:
        with peer(stack, f"/{app}/socket/echo") as it:
            it.send("hello")
            assert it.recv(timeout=10) == "hello"
        seen.until_summary("/socket/echo")
    assert seen.outcome("/socket/echo") == (6, 0, 101)
    assert {"error", "msg"} & set(seen.summary()) == set()
    assert [fields["rid"] for fields in seen.of("app")] == ["abc", "abc"]
    assert seen.summary()["rid"] == "abc"


# Werkzeug's own server waits for its client to end the TCP connection, which waits for it.
@pytest.mark.parametrize("server", ["gunicorn-gthread", "gunicorn-gevent"])
def test_a_socket_that_the_view_closes_is_no_error(stack: Stack) -> None:
    with stack.watching() as seen:
        with peer(stack, "/flask/socket/code") as it, pytest.raises(ConnectionClosed):
            it.recv(timeout=10)
        seen.until_summary("/socket/code")
    assert seen.outcome("/socket/code") == (6, 0, 101)


@pytest.mark.parametrize("server", HANDING_OVER)
def test_a_handed_over_client_that_vanishes_is_no_error(stack: Stack) -> None:
    with stack.watching() as seen:
        with peer(stack, "/flask/socket/echo") as it:
            it.send("hello")
            assert it.recv(timeout=10) == "hello"
            it.socket.shutdown(socket.SHUT_RDWR)
        seen.until_summary("/socket/echo")
    assert seen.outcome("/socket/echo") == (6, 0, 101)


# Werkzeug's server keeps the connection, and both sides wait for the other.
@pytest.mark.parametrize("server", [name for name in HANDING_OVER if name != "werkzeug"])
def test_an_exception_in_a_socket_that_was_handed_over_is_one_error(stack: Stack) -> None:
    with stack.watching() as seen:
        with (
            contextlib.suppress(ConnectionClosed, OSError),
            peer(stack, "/flask/socket/boom") as it,
        ):
            it.send("hello")
            seen.until_summary("/socket/boom")
            # A server that closes while another of its threads reads leaves the connection open.
            it.socket.shutdown(socket.SHUT_RDWR)
        seen.until_summary("/socket/boom")
    summary = seen.summary("/socket/boom")
    assert (summary["Severity"], summary["errno"], summary["rid"]) == (3, 500, "abc")
    assert summary["error"] == "ValueError('the drawer is empty')"


@pytest.mark.parametrize("server", ["gunicorn-gthread", "gunicorn-gevent", "waitress"])
def test_a_header_that_asks_for_an_upgrade_hides_no_request(stack: Stack) -> None:
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade"}
    for path in ("/flask/plain", "/django/plain", "/bare/plain"):
        with stack.watching() as seen:
            answer = stack.ask(path, "abc", headers=upgrade)
        # Werkzeug answers 400 where the view serves no sockets.
        assert answer.status in (200, 400)
        assert answer.header("x-request-id") == "abc"
        assert seen.outcome("/plain") == (6, 0, answer.status)
