"""Who ended a request: its client (499, INFO), or something else (500, ERROR)."""

import signal
import sys

import pytest
from stack import ASYNCIO, COMMANDS, PATIENCE_S, Stack, request, start
from table import shows

APPS = ("bare", "starlette", "fastapi", "django")


@shows("Django", "what a cancellation is", "a cancelled task: 500, ERROR")
@shows("FastAPI", "what a cancellation is", "a cancelled task: 500, ERROR")
@shows("ASGI", "what a cancellation is", "a cancelled task: 500, ERROR")
@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("server", ASYNCIO)
def test_a_task_that_was_cancelled_while_the_client_is_there_is_an_error(
    stack: Stack, app: str
) -> None:
    with stack.watching() as seen, stack.connect() as client:
        client.send(request(f"/{app}/cancelled", "abc"))
        seen.until_summary("/cancelled")
    assert seen.outcome("/cancelled") == (3, 500, 500)
    summary = seen.summary("/cancelled")
    assert "CancelledError" in summary["error"]
    assert "await task" in summary["traceback"]
    assert summary["rid"] == "abc"


@pytest.mark.parametrize("app", ["starlette", "fastapi"])
@pytest.mark.parametrize("server", ["uvicorn-asyncio-h11", "hypercorn-asyncio", "granian-asgi"])
def test_a_stream_that_was_cancelled_is_an_error_with_the_status_sent(
    stack: Stack, app: str
) -> None:
    with stack.watching() as seen, stack.connect() as client:
        client.send(request(f"/{app}/cancelled-stream", "abc"))
        assert client.head().status == 200
        seen.until_summary("/cancelled-stream")
    assert seen.outcome("/cancelled-stream") == (3, 500, 200)


@shows("Django", "what a cancellation is", "the client has gone: 499, INFO")
@shows("FastAPI", "what a cancellation is", "the client has gone: 499, INFO")
@shows("ASGI", "what a cancellation is", "the client has gone: 499, INFO")
@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("server", ASYNCIO)
def test_a_client_that_goes_before_there_is_a_status_is_499(stack: Stack, app: str) -> None:
    with stack.watching() as seen:
        with stack.connect() as client:
            client.send(request(f"/{app}/wait", "abc"))
            seen.until(lambda now: bool(now.saying("waiting")))
        seen.until_summary("/wait")
    assert seen.rids("waiting") == ["abc"]
    assert seen.outcome("/wait") == (6, 0, 499)
    assert {"error", "traceback"} & set(seen.summary("/wait")) == set()


@pytest.mark.parametrize("app", ["starlette", "fastapi"])
@pytest.mark.parametrize(
    "server",
    ["uvicorn-asyncio-h11", "uvicorn-uvloop-httptools", "hypercorn-asyncio", "hypercorn-trio"],
)
def test_a_status_that_its_client_did_not_wait_for_is_499(stack: Stack, app: str) -> None:
    with stack.watching() as seen:
        with stack.connect() as client:
            client.send(request(f"/{app}/unread", "abc"))
            seen.until(lambda now: bool(now.saying("waiting")))
        with stack.connect() as client:
            # The server has read of the first connection's end before it reads this.
            client.send(request(f"/{app}/release"))
            assert client.read().status == 200
        seen.until_summary("/unread")
    assert seen.outcome("/unread") == (6, 0, 499)


#: Servers that cancel what still runs when they end.
CANCELLING = {
    "uvicorn-asyncio-h11": (*COMMANDS["uvicorn-asyncio-h11"], "--timeout-graceful-shutdown", "1"),
    "uvicorn-uvloop-httptools": (
        *COMMANDS["uvicorn-uvloop-httptools"], "--timeout-graceful-shutdown", "1",
    ),
    "hypercorn-asyncio": COMMANDS["hypercorn-asyncio"],
}  # fmt: skip


@shows("FastAPI", "what a cancellation is", "shutdown: 500, ERROR")
@shows("ASGI", "what a cancellation is", "shutdown: 500, ERROR")
@pytest.mark.parametrize("server", CANCELLING)
def test_a_request_that_a_shutdown_cancels_is_an_error(server: str, tmp_path) -> None:
    if server.startswith("hypercorn") and sys.version_info >= (3, 14):
        pytest.skip("on Python 3.14 Hypercorn waits for open requests, and cancels none")
    stack = start(server, tmp_path, CANCELLING[server])
    try:
        seen = stack.seen()
        with stack.connect() as one, stack.connect() as two:
            one.send(request("/fastapi/sleep", "s1"))
            two.send(request("/starlette/sleep", "s2"))
            seen.until(lambda now: len(now.saying("sleeping")) == 2, PATIENCE_S)
            stack.process.send_signal(signal.SIGTERM)
            seen.until(lambda now: len(now.summaries("/sleep")) == 2, 20)
    finally:
        stack.stop()
    found = {line["Fields"]["rid"]: line for line in seen.summaries("/sleep")}
    assert sorted(found) == ["s1", "s2"]
    for line in found.values():
        fields = line["Fields"]
        assert (line["Severity"], fields["errno"], fields["code"]) == (3, 500, 500)
        assert "Cancelled" in fields["error"]
