"""What is logged when the view has returned: streams, their early end, background tasks."""

import pytest
from stack import ASGI, ASYNCIO, WSGI, Seen, Stack, request
from table import shows

#: Bodies of Flask; the second is made in Flask's own context.
FLASK_STREAMS = ("stream", "stream-with-context")


def leave_early(stack: Stack, path: str, seen: Seen, rid: str = "abc") -> None:
    """Read some of a body, and go."""
    with stack.connect() as client:
        client.send(request(path, rid))
        assert client.head().status == 200
        assert client.read_some()
    seen.until(lambda now: bool(now.saying("cleaning up")) and bool(now.summaries()))


def assert_all_is_of_one_request(seen: Seen, rid: str = "abc") -> None:
    summary = seen.summary()
    assert (summary["Severity"], summary["errno"], summary["code"]) == (6, 0, 200)
    assert summary["rid"] == rid
    assert seen.rids("cleaning up") == [rid]
    assert set(seen.rids("part")) == {rid}


@shows(
    "FastAPI",
    "streams",
    "one summary, at the end; the id to the last line, also where the client goes",
)
@shows(
    "ASGI",
    "streams",
    "one summary, at the end; the id to the last line, also where the client goes",
)
@pytest.mark.parametrize("app", ["bare", "starlette", "fastapi"])
@pytest.mark.parametrize("server", ASGI)
def test_an_asgi_stream_whose_client_goes_keeps_its_id_to_the_end(stack: Stack, app: str) -> None:
    with stack.watching() as seen:
        leave_early(stack, f"/{app}/stream", seen)
    assert_all_is_of_one_request(seen)


@pytest.mark.parametrize("path", ["stream", "astream"])
@pytest.mark.parametrize("server", ASYNCIO)
def test_a_django_stream_under_asgi_whose_client_goes_keeps_its_id(stack: Stack, path: str) -> None:
    if path == "stream":
        # Django reads all of a synchronous iterator before it sends any of it.
        pytest.skip("Django has no synchronous streams under ASGI")
    with stack.watching() as seen:
        leave_early(stack, f"/django/{path}", seen)
    assert_all_is_of_one_request(seen)


@shows(
    "Django",
    "streams",
    "one summary, at the end; the id to the last line, also where the client goes",
)
@shows(
    "WSGI",
    "streams",
    "one summary, at the end; the id to the last line, also where the client goes",
)
@shows(
    "Flask",
    "streams",
    "one summary, at the end; the id to the last line, also where the client goes",
)
@pytest.mark.parametrize(
    "path", ["bare/stream", "django/stream", *(f"flask/{p}" for p in FLASK_STREAMS)]
)
@pytest.mark.parametrize("server", [name for name in WSGI if name != "granian-wsgi"])
def test_a_wsgi_stream_whose_client_goes_keeps_its_id_to_the_end(stack: Stack, path: str) -> None:
    with stack.watching() as seen:
        leave_early(stack, f"/{path}", seen)
    assert_all_is_of_one_request(seen)
    assert seen.saying("cleaning up")[0].get("user") == "ann"


@pytest.mark.parametrize("server", ["gunicorn-sync", "gunicorn-gthread", "waitress"])
def test_the_next_request_of_the_thread_has_nothing_of_a_stream_that_was_left(
    stack: Stack,
) -> None:
    with stack.watching(2) as seen:
        leave_early(stack, "/django/stream", seen)
        for _ in range(8):
            stack.ask("/control/after")
        stack.ask("/django/plain", "next")
        seen.until_summary("/plain")
    after = seen.of("app")
    assert len([fields for fields in after if fields["msg"] == "after"]) == 8
    assert [f for f in after if f["msg"] == "after" and {"rid", "user", "tenant"} & set(f)] == []
    assert [f["rid"] for f in seen.of("app") if f["msg"] == "serving"] == ["next"]
    assert "user" not in seen.summary("/plain")


@pytest.mark.parametrize("path", ["background", "sync-background"])
@pytest.mark.parametrize("app", ["starlette", "fastapi"])
@pytest.mark.parametrize("server", ["uvicorn-asyncio-h11", "hypercorn-trio", "granian-asgi"])
def test_a_background_task_has_the_id(stack: Stack, app: str, path: str) -> None:
    with stack.watching() as seen:
        stack.ask(f"/{app}/{path}", "abc")
        seen.until(lambda now: bool(now.saying("in the background")))
    assert seen.rids("in the background") == ["abc"]
    assert seen.outcome() == (6, 0, 200)


@pytest.mark.parametrize("server", ["uvicorn-uvloop-httptools", "hypercorn-asyncio", "daphne"])
def test_what_an_application_logs_after_its_answer_has_the_id(stack: Stack) -> None:
    with stack.watching() as seen:
        stack.ask("/bare/late", "abc")
        seen.until(lambda now: bool(now.saying("after the answer")))
    assert seen.rids("after the answer") == ["abc"]


@pytest.mark.parametrize("app", ["flask", "django"])
@pytest.mark.parametrize("server", WSGI)
def test_what_is_logged_when_a_response_is_closed_has_the_id(stack: Stack, app: str) -> None:
    with stack.watching() as seen:
        stack.ask(f"/{app}/closer", "abc")
        seen.until(lambda now: bool(now.saying("closing")))
    assert seen.rids("closing") == ["abc"]


@pytest.mark.parametrize("server", ASYNCIO)
def test_what_django_logs_when_a_response_is_closed_under_asgi_has_the_id(stack: Stack) -> None:
    with stack.watching() as seen:
        stack.ask("/django/closer", "abc")
        seen.until(lambda now: bool(now.saying("closing")))
    assert seen.rids("closing") == ["abc"]


@shows("Flask", "streams", "the summary is logged in Flask's context")
@pytest.mark.parametrize(
    "path", ["plain", "boom", "missing", "short-stream", "short-stream-with-context"]
)
@pytest.mark.parametrize("server", WSGI)
def test_flasks_summary_is_logged_in_the_context_of_its_request(stack: Stack, path: str) -> None:
    with stack.watching() as seen:
        stack.ask(f"/flask/{path}", "abc")
    summary = seen.summary()
    assert (summary["in_request"], summary.get("asked")) == (True, f"/{path}")
    if "stream" in path:
        # It waits for the end of the body.
        assert [f["msg"] for f in seen.of("app")] == ["part"] * 3 + ["cleaning up"]
        types = [line["Type"] for line in seen.lines if line["Type"] in ("app", "request.summary")]
        assert types == ["app"] * 4 + ["request.summary"]


@pytest.mark.parametrize("server", ["gunicorn-sync", "gunicorn-gthread", "waitress"])
def test_flask_has_no_context_left_when_the_request_is_over(stack: Stack) -> None:
    with stack.watching() as seen:
        leave_early(stack, "/flask/stream", seen)
        for _ in range(8):
            stack.ask("/control/after")
    assert {fields["in_request"] for fields in seen.saying("after")} == {False}


# -- what Django itself logs of a request -------------------------------------------------


@shows("Django", "id in all lines", "yes, also Django's own")
@pytest.mark.parametrize("path", ["missing", "boom", "error-stream", "aerror-stream"])
@pytest.mark.parametrize("server", WSGI)
def test_djangos_own_line_has_the_id_under_wsgi(stack: Stack, path: str) -> None:
    with stack.watching(2) as seen:
        for rid in ("abc", "def"):
            stack.ask(f"/django/{path}", rid)
    assert [fields["rid"] for fields in seen.of("django.request")] == ["abc", "def"]


@pytest.mark.parametrize("path", ["missing", "boom", "aboom", "error-stream", "aerror-stream"])
@pytest.mark.parametrize("server", ASYNCIO)
def test_djangos_own_line_has_the_id_under_asgi(stack: Stack, path: str) -> None:
    with stack.watching(2) as seen, stack.connect() as client:
        client.send(request(f"/django/{path}", "abc"), request(f"/django/{path}", "def"))
        assert {client.read().status for _ in range(2)} <= {404, 500, 503}
    assert sorted(fields["rid"] for fields in seen.of("django.request")) == ["abc", "def"]


@pytest.mark.parametrize("path", ["missing", "error-stream"])
@pytest.mark.parametrize("server", ["gunicorn-sync", "gunicorn-gthread", "waitress"])
def test_djangos_own_line_is_of_the_present_request_only(stack: Stack, path: str) -> None:
    with stack.watching(8) as seen:
        for number in range(8):
            stack.ask(f"/django/{path}", f"r{number}")
            stack.ask("/control/between")
    assert [fields["rid"] for fields in seen.of("django.request")] == [f"r{n}" for n in range(8)]
    assert [fields for fields in seen.saying("between") if "rid" in fields] == []


@pytest.mark.parametrize("server", ["uvicorn-asyncio-h11", "granian-asgi", "daphne"])
def test_a_thread_that_an_async_view_of_django_uses_has_the_id(stack: Stack) -> None:
    with stack.watching() as seen:
        stack.ask("/django/in-thread", "abc")
    assert seen.rids("in a thread") == ["abc"]
