"""An exception that reaches the framework or the server: one ERROR, the id in all lines."""

import json

import pytest
from stack import ASGI, ASYNCIO, COMMANDS, PATIENCE_S, UVICORN, WSGI, Seen, Stack, start
from table import shows

#: What each server logs of an exception that reaches it. daphne does so later, in a task
#: of its own that knows nothing of the request.
SERVER_LINES = {
    **dict.fromkeys(UVICORN, "Exception in ASGI application"),
    "hypercorn-asyncio": "Error in ASGI Framework",
    "hypercorn-trio": "Error in ASGI Framework",
    "granian-asgi": "Application callable raised an exception",
    "gunicorn-asgi": "Error in ASGI application",
    "gunicorn-sync": "Error handling request",
    "gunicorn-gthread": "Error handling request",
    "gunicorn-gevent": "Error handling request",
    "waitress": "Exception while serving",
    "granian-wsgi": "Application callable raised an exception",
}
#: gunicorn's worker for ASGI says nothing of an exception that comes after the answer.
OF_ASGI = [
    (server, app)
    for server in ASGI
    if server in SERVER_LINES
    for app in ("bare", "starlette", "fastapi")
    if (server, app) not in {("gunicorn-asgi", "starlette"), ("gunicorn-asgi", "fastapi")}
]


def assert_is_one_error(seen: Seen, path: str, code: int) -> None:
    assert seen.outcome(path) == (3, 500, code)
    summary = seen.summary(path)
    assert summary["msg"] == "the drawer is empty"
    assert summary["error"] == "ValueError('the drawer is empty')"
    assert 'raise ValueError("the drawer is empty")' in summary["traceback"]


@shows("FastAPI", "id in the 500", "yes")
@pytest.mark.parametrize("app", ["starlette", "fastapi"])
@pytest.mark.parametrize("server", ASGI)
def test_the_500_of_the_framework_carries_the_id(stack: Stack, app: str) -> None:
    with stack.watching() as seen:
        answer = stack.ask(f"/{app}/boom", "abc")
    assert (answer.status, answer.header("x-request-id")) == (500, "abc")
    assert_is_one_error(seen, "/boom", 500)
    assert seen.rids("serving") == ["abc"]
    assert seen.summary()["rid"] == "abc"


@pytest.mark.parametrize("server", ["uvicorn-asyncio-h11", "hypercorn-trio", "granian-asgi"])
def test_the_first_request_of_an_application_may_be_the_one_that_fails(
    stack: Stack, server: str
) -> None:
    with stack.watching() as seen:
        answer = stack.ask("/fresh/boom", "first")
    assert (answer.status, answer.header("x-request-id")) == (500, "first")
    assert_is_one_error(seen, "/boom", 500)


@shows("FastAPI", "id in the 500", "also in the answer of a handler for `Exception`")
@pytest.mark.parametrize("server", ASGI)
def test_a_handler_for_every_exception_is_called_once_and_in_the_request(stack: Stack) -> None:
    with stack.watching() as seen:
        answer = stack.ask("/catchall/boom", "abc")
    assert (answer.status, answer.body) == (503, b"sorry")
    assert answer.header("x-request-id") == "abc"
    assert seen.rids("sorry for that") == ["abc"]
    assert_is_one_error(seen, "/boom", 503)


@shows("FastAPI", "id in all lines", "yes, also the server's about an exception, but daphne's")
@shows("ASGI", "id in all lines", "yes, also the server's about an exception, but daphne's")
@pytest.mark.parametrize(("server", "app"), OF_ASGI)
def test_the_line_of_an_asgi_server_has_the_id(stack: Stack, app: str) -> None:
    with stack.watching() as seen:
        stack.ask(f"/{app}/boom", "abc")
        seen.until(lambda now: bool(now.saying(SERVER_LINES[stack.name])))
    assert seen.summary()["rid"] == "abc"
    assert seen.rids(SERVER_LINES[stack.name]) == ["abc"]


@shows("WSGI", "id in all lines", "yes, also the server's about an exception")
@pytest.mark.parametrize("server", [name for name in WSGI if name in SERVER_LINES])
def test_the_line_of_a_wsgi_server_has_the_id(stack: Stack) -> None:
    with stack.watching() as seen:
        assert stack.ask("/bare/boom", "abc").status == 500
        seen.until(lambda now: bool(now.saying(SERVER_LINES[stack.name])))
    assert_is_one_error(seen, "/boom", 500)
    assert seen.rids(SERVER_LINES[stack.name]) == ["abc"]


@shows("ASGI", "id in the 500", "in the application's; a server's own has none")
@shows("WSGI", "id in the 500", "in the application's; a server's own has none")
@pytest.mark.parametrize(
    "server", ["uvicorn-asyncio-h11", "hypercorn-asyncio", "daphne", "gunicorn-sync", "waitress"]
)
def test_the_500_that_a_server_makes_has_no_id(stack: Stack) -> None:
    answer = stack.ask("/bare/boom", "abc")
    assert (answer.status, answer.header("x-request-id")) == (500, None)


@shows("Flask", "id in all lines", "yes, also gunicorn's access line")
@shows("WSGI", "id in all lines", "gunicorn's access line")
@pytest.mark.parametrize("app", ["bare", "flask", "django"])
@pytest.mark.parametrize("server", ["gunicorn-sync", "gunicorn-gthread", "gunicorn-gevent"])
def test_the_access_line_of_gunicorn_has_the_id_of_its_request_and_of_no_other(
    stack: Stack, app: str
) -> None:
    with stack.watching(3) as seen:
        for rid in ("a1", "a2", "a3"):
            stack.ask(f"/{app}/plain?{rid}", rid)
        asked = {"querystring": "a3"}
        seen.until(lambda now: any(asked.items() <= f.items() for f in now.of("gunicorn.access")))
    found = {
        fields["querystring"]: fields.get("rid")
        for fields in seen.of("gunicorn.access")
        if fields["path"] == "/plain"
    }
    assert found == {"a1": "a1", "a2": "a2", "a3": "a3"}


@pytest.mark.parametrize("app", ["flask", "django", "bare"])
@pytest.mark.parametrize("server", ["gunicorn-sync", "gunicorn-gthread", "gunicorn-gevent"])
def test_the_access_line_of_another_application_has_no_id(stack: Stack, app: str) -> None:
    with stack.watching() as seen:
        stack.ask(f"/{app}/plain", "abc")
        for _ in range(3):
            stack.ask("/control/alone")
        seen.until(lambda now: sum(f["path"] == "/alone" for f in now.of("gunicorn.access")) == 3)
    alone = [f for f in seen.of("gunicorn.access") if f["path"] == "/alone"]
    assert len(alone) == 3
    assert [f for f in (*alone, *seen.saying("alone")) if "rid" in f] == []


@shows("Flask", "id in the 500", "yes")
@shows("Django", "id in the 500", "yes")
@pytest.mark.parametrize("app", ["flask", "django"])
@pytest.mark.parametrize("server", WSGI)
def test_an_exception_in_a_wsgi_framework_is_one_error(stack: Stack, app: str) -> None:
    with stack.watching() as seen:
        answer = stack.ask(f"/{app}/boom", "abc")
    assert (answer.status, answer.header("x-request-id")) == (500, "abc")
    assert_is_one_error(seen, "/boom", 500)
    assert {fields["rid"] for fields in seen.of("app")} == {"abc"}


@pytest.mark.parametrize("app", ["flask", "django"])
@pytest.mark.parametrize("server", ["gunicorn-sync", "gunicorn-gthread", "waitress"])
def test_what_a_wsgi_handler_answered_is_no_error(stack: Stack, app: str) -> None:
    with stack.watching() as seen:
        assert stack.ask(f"/{app}/handled").status == 503
    assert seen.outcome("/handled") == (6, 0, 503)
    assert {"error", "traceback", "msg"} & set(seen.summary()) == set()


@pytest.mark.parametrize("app", ["bare", "starlette", "fastapi", "django"])
@pytest.mark.parametrize("server", ["uvicorn-uvloop-httptools", "hypercorn-asyncio", "daphne"])
def test_what_an_asgi_handler_answered_is_no_error(stack: Stack, app: str) -> None:
    with stack.watching() as seen:
        assert stack.ask(f"/{app}/handled").status == 503
    assert seen.outcome("/handled") == (6, 0, 503)
    assert {"error", "traceback", "msg"} & set(seen.summary()) == set()


@pytest.mark.parametrize("server", ["uvicorn-asyncio-h11", "hypercorn-trio", "granian-asgi"])
def test_what_is_answered_and_raised_again_is_an_error_with_the_status_sent(stack: Stack) -> None:
    with stack.watching() as seen:
        assert stack.ask("/bare/answered-boom", "abc").status == 502
    assert_is_one_error(seen, "/answered-boom", 502)
    assert seen.rids("answered") == ["abc"]


@pytest.mark.parametrize("app", ["starlette", "fastapi"])
@pytest.mark.parametrize("server", ["uvicorn-uvloop-h11", "hypercorn-asyncio", "granian-asgi"])
def test_a_background_task_that_fails_is_told_by_the_server_with_the_id(
    stack: Stack, app: str
) -> None:
    with stack.watching() as seen:
        assert stack.ask(f"/{app}/background-boom", "abc").status == 200
        seen.until(lambda now: bool(now.saying(SERVER_LINES[stack.name])))
    # The response was sent, and its summary logged, before the task began.
    assert seen.outcome("/background-boom") == (6, 0, 200)
    assert seen.summary()["rid"] == "abc"
    assert seen.rids(SERVER_LINES[stack.name]) == ["abc"]


@pytest.mark.parametrize("app", ["starlette", "fastapi", "django"])
@pytest.mark.parametrize("server", ["uvicorn-asyncio-httptools", "granian-asgi"])
def test_a_stream_that_fails_under_asgi_is_an_error_with_the_status_sent(
    stack: Stack, app: str
) -> None:
    with stack.watching() as seen, stack.connect() as client:
        client.send(f"GET /{app}/stream-boom HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        # A server may still send a status of its own.
        assert client.head().status in (200, 500)
        seen.until_summary("/stream-boom")
    assert_is_one_error(seen, "/stream-boom", 200)


@pytest.mark.parametrize("app", ["bare", "flask", "django"])
@pytest.mark.parametrize("server", ["gunicorn-gthread", "gunicorn-gevent", "waitress"])
def test_a_stream_that_fails_under_wsgi_is_an_error_with_the_status_sent(
    stack: Stack, app: str
) -> None:
    with stack.watching() as seen, stack.connect() as client:
        client.send(f"GET /{app}/stream-boom HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert client.head().status == 200
        seen.until_summary("/stream-boom")
    assert_is_one_error(seen, "/stream-boom", 200)


@pytest.mark.parametrize("server", ASYNCIO)
def test_an_exception_in_django_under_asgi_is_one_error(stack: Stack) -> None:
    for path in ("/boom", "/aboom"):
        with stack.watching() as seen:
            answer = stack.ask(f"/django{path}", "abc")
        assert (answer.status, answer.header("x-request-id")) == (500, "abc")
        assert_is_one_error(seen, path, 500)
        (said,) = seen.of("django.request")
        assert (said["msg"], said["rid"]) == (f"Internal Server Error: {path}", "abc")


@shows("Flask", "what a cancellation is", "a worker's timeout: 500, ERROR, `SystemExit`")
@shows("Django", "what a cancellation is", "a worker's timeout: 500, ERROR, `SystemExit`")
@shows("WSGI", "what a cancellation is", "a worker's timeout: 500, ERROR, `SystemExit`")
@pytest.mark.parametrize("app", ["flask", "django", "bare"])
def test_the_end_of_a_worker_that_took_too_long_reads_as_what_it_is(app: str, tmp_path) -> None:
    command = (*COMMANDS["gunicorn-sync"][:-1], "--timeout", "1", "wsgi_stack:app")
    stack = start("gunicorn-sync", tmp_path, command)
    try:
        seen = stack.seen()
        with stack.connect() as client:
            client.send(
                f"GET /{app}/slow HTTP/1.1\r\nHost: x\r\nX-Request-Id: abc\r\n\r\n".encode()
            )
            seen.until(lambda now: bool(now.summaries("/slow")), PATIENCE_S)
    finally:
        stack.stop()
    assert seen.outcome("/slow") == (3, 500, 500)
    summary = seen.summary("/slow")
    assert summary["msg"].startswith("SystemExit")
    assert (summary["error"], summary["rid"]) == ("SystemExit(1)", "abc")


@pytest.mark.parametrize("app", ["flask", "django"])
@pytest.mark.parametrize("server", WSGI)
def test_no_line_of_a_failed_request_holds_its_exception_twice(stack: Stack, app: str) -> None:
    with stack.watching() as seen:
        stack.ask(f"/{app}/boom")
    assert json.dumps(seen.summaries()).count("raise ValueError(") == 1
