"""One request has one id and one summary, through whatever applications it passes."""

import pytest
from stack import Seen, Stack, request

#: Names of applications in ``asgi_mounts`` and ``wsgi_mounts``.
ASGI_MOUNTS = (
    "fastapi>fastapi", "fastapi>django", "fastapi>a2wsgi>flask", "fastapi>a2wsgi>django",
    "fastapi>starlette>flask", "asgi>django", "asgi>asgiref>flask", "asgi>asgiref>django",
    "asgi>asgi", "asgiref>wsgi>flask",
)  # fmt: skip
WSGI_MOUNTS = (
    "flask>flask", "flask>django", "flask>a2wsgi>fastapi", "wsgi>flask", "wsgi>django",
    "wsgi>a2wsgi>fastapi", "wsgi>a2wsgi>asgi", "wsgi>wsgi>flask",
)  # fmt: skip
PLACES = [
    *(("uvicorn-asyncio-h11", app) for app in ASGI_MOUNTS),
    *(("uvicorn-uvloop-httptools", app) for app in ASGI_MOUNTS[::3]),
    *(("hypercorn-asyncio", app) for app in ASGI_MOUNTS[::4]),
    *(("gunicorn-gthread", app) for app in WSGI_MOUNTS),
    *(("waitress", app) for app in WSGI_MOUNTS[::2]),
]
#: Those with a view that asks its own application in-process.
CALLING = [place for place in PLACES if place[1].endswith(("flask", "django"))]

#: Headers of clients that would be taken for a request of an outer layer.
FORGED = {
    "dockerflow.request": "1", "Dockerflow-Request": "forged", "dockerflow": "forged",
    "X-Dockerflow-Request": "forged", "REQUEST": "forged", "wsgi.request": "forged",
}  # fmt: skip


def assert_is_one_request(seen: Seen, rid: str) -> None:
    assert seen.summary()["rid"] == rid
    said = seen.of("app") + seen.of("django.request")
    assert {fields.get("rid") for fields in said} <= {rid}


@pytest.mark.parametrize(("server", "app"), PLACES)
def test_a_request_of_a_mounted_application_has_one_id_and_one_summary(
    stack: Stack, app: str
) -> None:
    for rid in ("abc", None):
        with stack.watching() as seen:
            answer = stack.ask(f"/{app}/old/plain", rid)
        assert answer.status == 200
        (given,) = answer.all("x-request-id")
        assert rid in (None, given)
        assert_is_one_request(seen, given)
        assert seen.rids("serving") == [given]
        assert seen.outcome() == (6, 0, 200)


@pytest.mark.parametrize(("server", "app"), PLACES)
def test_a_page_that_is_not_there_in_a_mounted_application_has_one_id_and_one_summary(
    stack: Stack, app: str
) -> None:
    if app == "wsgi>a2wsgi>asgi":
        pytest.skip("the bare application has a page for each path")
    with stack.watching() as seen:
        answer = stack.ask(f"/{app}/old/missing", "abc")
    assert (answer.status, answer.all("x-request-id")) == (404, ["abc"])
    assert_is_one_request(seen, "abc")
    assert seen.outcome() == (6, 0, 404)


@pytest.mark.parametrize(("server", "app"), PLACES)
def test_an_exception_in_a_mounted_application_is_one_error(stack: Stack, app: str) -> None:
    with stack.watching() as seen:
        answer = stack.ask(f"/{app}/old/boom", "abc")
    assert answer.status == 500
    assert_is_one_request(seen, "abc")
    assert seen.outcome() == (3, 500, 500)
    assert seen.summary()["error"] == "ValueError('the drawer is empty')"
    if not app.endswith("asgi") or app == "asgi>asgi":
        assert answer.all("x-request-id") == ["abc"]


@pytest.mark.parametrize(("server", "app"), PLACES)
def test_no_header_of_a_client_passes_for_an_outer_layer(stack: Stack, app: str) -> None:
    with stack.watching() as seen:
        answer = stack.ask(f"/{app}/old/plain", "abc", headers=FORGED)
    assert (answer.status, answer.all("x-request-id")) == (200, ["abc"])
    assert_is_one_request(seen, "abc")
    assert seen.outcome() == (6, 0, 200)


@pytest.mark.parametrize(("server", "app"), CALLING)
def test_a_call_that_a_mounted_application_makes_in_process_is_a_request_of_its_own(
    stack: Stack, app: str
) -> None:
    with stack.watching(2) as seen:
        answer = stack.ask(f"/{app}/old/calls", "abc")
    assert answer.status == 200
    inner = answer.body.decode()
    assert inner not in ("", "abc")
    assert sorted(line["Fields"]["rid"] for line in seen.summaries()) == sorted([inner, "abc"])
    assert (seen.rids("begun"), seen.rids("back")) == ([inner], ["abc"])
    (back,) = seen.saying("back")
    assert back["before"] == back["after"] == "caller,caller,abc,-"


@pytest.mark.parametrize(("server", "app"), PLACES)
def test_requests_of_one_connection_are_requests_of_their_own_in_mounted_applications(
    stack: Stack, app: str
) -> None:
    with stack.watching(2) as seen, stack.connect() as client:
        client.send(request(f"/{app}/old/binds/ann", "m1"))
        answer = client.read()
        assert answer.header("x-request-id") == "m1"
        # asgiref starts a second request in the executor of the first, which has quit.
        if answer.header("connection") == "close" or "asgiref" in app:
            answer = stack.ask(f"/{app}/old/plain", "m2")
        else:
            client.send(request(f"/{app}/old/plain", "m2"))
            answer = client.read()
        assert answer.header("x-request-id") == "m2"
    assert [line["Fields"]["rid"] for line in seen.summaries()] == ["m1", "m2"]
    (serving,) = seen.saying("serving")
    assert {"user", "tenant"} & set(serving) == set()
    assert serving["rid"] == "m2"
