"""A call that an application makes to itself, without a socket, is a request of its own."""

import pytest
from stack import ASGI, ASYNCIO, WSGI, Seen, Stack


def assert_is_apart(seen: Seen, inner: str, path: str) -> None:
    """Assert that the callee had an own id, summary and context, and the caller its own back."""
    assert inner not in ("", "abc")
    callee = seen.summary(
        "/" + ("abinds" if seen.summaries("/abinds/callee") else "binds") + "/callee"
    )
    assert (callee["rid"], callee["code"]) == (inner, 200)
    assert (callee["user"], callee["tenant"]) == ("callee", "callee")
    caller = seen.summary(path)
    assert (caller["rid"], caller["user"], caller["code"]) == ("abc", "caller", 200)
    (begun,) = seen.saying("begun")
    assert begun["rid"] == inner
    assert {"user", "tenant"} & set(begun) == set()
    (back,) = seen.saying("back")
    assert (back["before"], back["after"]) == ("caller,caller,abc,-",) * 2


@pytest.mark.parametrize("app", ["bare", "starlette", "fastapi"])
@pytest.mark.parametrize("server", ASGI)
def test_a_view_of_asgi_that_asks_its_application(stack: Stack, app: str) -> None:
    with stack.watching(2) as seen:
        answer = stack.ask(f"/{app}/calls/{app}", "abc")
    assert_is_apart(seen, answer.body.decode(), f"/calls/{app}")


@pytest.mark.parametrize("app", ["starlette", "fastapi"])
@pytest.mark.parametrize("server", ["uvicorn-asyncio-h11", "hypercorn-trio", "daphne"])
def test_a_view_of_asgi_that_asks_its_own_path(stack: Stack, app: str) -> None:
    path = f"/calls-itself/{app}"
    with stack.watching(2) as seen:
        answer = stack.ask(f"/{app}{path}", "abc")
    inner = answer.body.decode()
    assert [line["Fields"]["rid"] for line in seen.summaries(path)] == [inner, "abc"]
    assert [f["after"] for f in seen.saying("back")] == [
        f"caller,caller,{inner},-", "caller,caller,abc,-",
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["calls-later", "calls-in-task"])
@pytest.mark.parametrize("app", ["starlette", "fastapi"])
@pytest.mark.parametrize("server", ["uvicorn-uvloop-httptools", "granian-asgi", "gunicorn-asgi"])
def test_a_background_task_that_asks_its_application_has_its_context_back(
    stack: Stack, app: str, path: str
) -> None:
    with stack.watching(2) as seen:
        stack.ask(f"/{app}/{path}/{app}", "abc")
        seen.until(lambda now: bool(now.saying("back")))
    callee = seen.summary("/binds/callee")
    assert callee["rid"] != "abc"
    (begun,) = seen.saying("begun")
    assert (begun["rid"], begun.get("user")) == (callee["rid"], None)
    (back,) = seen.saying("back")
    assert (back["before"], back["after"]) == ("caller,caller,abc,-",) * 2
    assert back["rid"] == "abc"
    assert seen.summary(f"/{path}/{app}")["rid"] == "abc"


@pytest.mark.parametrize("path", ["calls", "acalls"])
@pytest.mark.parametrize("server", ["uvicorn-asyncio-h11", "granian-asgi", "daphne"])
def test_a_view_of_django_under_asgi_that_asks_its_project(stack: Stack, path: str) -> None:
    with stack.watching(2) as seen:
        answer = stack.ask(f"/django/{path}", "abc")
    assert answer.status == 200
    assert_is_apart(seen, answer.body.decode(), f"/{path}")


@pytest.mark.parametrize("app", ["bare", "flask", "django"])
@pytest.mark.parametrize("server", WSGI)
def test_a_view_of_wsgi_that_asks_its_application(stack: Stack, app: str) -> None:
    with stack.watching(2) as seen:
        answer = stack.ask(f"/{app}/calls", "abc")
    assert_is_apart(seen, answer.body.decode(), "/calls")


@pytest.mark.parametrize("server", ["gunicorn-sync", "gunicorn-gevent", "waitress"])
def test_a_view_of_flask_that_asks_its_own_path(stack: Stack) -> None:
    with stack.watching(2) as seen:
        answer = stack.ask("/flask/calls-itself", "abc")
    inner = answer.body.decode()
    assert [line["Fields"]["rid"] for line in seen.summaries("/calls-itself")] == [inner, "abc"]
    assert [f["after"] for f in seen.saying("back")] == [
        f"caller,caller,{inner},-", "caller,caller,abc,-",
    ]  # fmt: skip


@pytest.mark.parametrize("server", ASYNCIO)
def test_what_follows_an_in_process_call_on_the_connection_is_clean(stack: Stack) -> None:
    with stack.watching(3) as seen:
        stack.ask("/fastapi/calls/fastapi", "abc")
        stack.ask("/fastapi/plain", "next")
    assert {"user", "tenant"} & set(seen.summary("/plain")) == set()
    assert seen.summary("/plain")["rid"] == "next"
