"""Clients that go while they send or read: an INFO, whatever the server raises."""

import socket
import struct

import pytest
from stack import Connection, Stack, request

#: A part of a body whose length is announced as more.
CUT = {"Content-Length": "500"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PARTS = {"Content-Type": "multipart/form-data; boundary=abc"}


def reset(client: Connection) -> None:
    """Close a connection so that its other end gets a reset."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/django/binds/ann", {}), ("/django/form", FORM), ("/django/form", PARTS)],
    ids=["body", "form", "multipart"],
)
@pytest.mark.parametrize("server", ["gunicorn-sync", "gunicorn-gthread", "gunicorn-gevent"])
def test_an_upload_that_a_client_of_django_resets_is_no_error(
    stack: Stack, path: str, headers: dict[str, str]
) -> None:
    with stack.watching() as seen, stack.connect() as client:
        client.send(request(path, "abc", method="POST", headers={**headers, **CUT}) + b"abc")
        seen.until(lambda now: bool(now.saying("begun")))
        reset(client)
    # Django has answered nothing but its own page for an exception.
    assert seen.outcome() == (6, 0, 500)
    assert seen.summary()["rid"] == "abc"
    assert {"error", "traceback"} & set(seen.summary()) == set()
    assert [fields["rid"] for fields in seen.of("django.request")] == ["abc"]


@pytest.mark.parametrize(
    "server",
    ["uvicorn-asyncio-h11", "uvicorn-uvloop-httptools", "hypercorn-asyncio", "gunicorn-asgi"],
)
def test_an_upload_that_a_client_of_django_breaks_off_has_a_summary_of_the_core_around_it(
    stack: Stack,
) -> None:
    """Django under ASGI reads the whole body before it asks any middleware."""
    with stack.watching() as seen, stack.connect() as client:
        client.send(request("/asgi>django/plain", "abc", method="POST", headers=CUT) + b"abc")
        client.close()
    assert seen.outcome() == (6, 0, 499)
    assert seen.summary()["rid"] == "abc"


@pytest.mark.parametrize("app", ["bare", "starlette", "fastapi"])
@pytest.mark.parametrize("server", ["uvicorn-uvloop-httptools"])
def test_a_stream_with_another_request_behind_it_whose_client_has_gone_is_no_error(
    stack: Stack, app: str
) -> None:
    """uvicorn tells only the last request of its client's end.

    The stream goes on, and uvloop raises a RuntimeError where the server writes its next part.
    """
    with stack.watching() as seen, stack.connect() as client:
        client.send(request(f"/{app}/stream", "r-1"), request(f"/{app}/plain", "r-2"))
        assert client.head().status == 200
        assert client.read_some()
        reset(client)
    found = {line["Fields"]["rid"]: line for line in seen.summaries()}
    assert (found["r-1"]["Severity"], found["r-1"]["Fields"]["errno"]) == (6, 0)
    assert [line for line in found.values() if line["Severity"] != 6] == []
