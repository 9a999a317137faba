"""Nothing that one request bound is in another one of its connection."""

import pytest
from stack import ASGI, ASYNCIO, WSGI, Seen, Stack, request

#: Applications of which each request's summary is looked at.
FRAMEWORKS = ("bare", "starlette", "fastapi")


def users(seen: Seen) -> list[tuple[str, str | None, str | None]]:
    return [
        (line["Fields"]["path"], line["Fields"].get("user"), line["Fields"].get("tenant"))
        for line in seen.summaries()
    ]


@pytest.mark.parametrize("app", FRAMEWORKS)
@pytest.mark.parametrize("server", ASGI)
def test_a_request_begins_without_what_the_one_before_it_on_the_connection_bound(
    stack: Stack, app: str
) -> None:
    with stack.watching(3) as seen, stack.connect() as client:
        for path, body in (("binds/ann", b"x" * 400_000), ("plain", None), ("plain", None)):
            client.send(request(f"/{app}/{path}", method="POST", body=body))
            assert client.read().status == 200
    assert users(seen) == [
        ("/binds/ann", "ann", "ann"),
        ("/plain", None, None),
        ("/plain", None, None),
    ]
    served = seen.saying("serving")
    assert len(served) == 2
    assert not [fields for fields in served if {"user", "tenant"} & set(fields)]


@pytest.mark.parametrize("app", FRAMEWORKS)
@pytest.mark.parametrize("server", ASGI)
def test_pipelined_requests_have_ids_and_fields_of_their_own(stack: Stack, app: str) -> None:
    paths = ["binds/bob", "plain", "binds/eve", "plain"]
    with stack.watching(4) as seen, stack.connect() as client:
        client.send(*(request(f"/{app}/{path}", f"p{n}") for n, path in enumerate(paths)))
        answers = [client.read() for _ in paths]
    assert [answer.header("x-request-id") for answer in answers] == ["p0", "p1", "p2", "p3"]
    # A server may serve them side by side.
    found = {line["Fields"]["rid"]: line["Fields"].get("user") for line in seen.summaries()}
    assert found == {"p0": "bob", "p1": None, "p2": "eve", "p3": None}
    assert sorted(seen.rids("serving")) == ["p1", "p3"]


@pytest.mark.parametrize("app", ["django"])
@pytest.mark.parametrize("server", ASYNCIO)
def test_django_under_asgi_begins_each_request_anew(stack: Stack, app: str) -> None:
    paths = ["abinds/bob", "aplain", "binds/eve", "plain"]
    with stack.watching(4) as seen, stack.connect() as client:
        client.send(*(request(f"/{app}/{path}", f"p{n}") for n, path in enumerate(paths)))
        answers = [client.read() for _ in paths]
    assert [answer.header("x-request-id") for answer in answers] == ["p0", "p1", "p2", "p3"]
    found = {line["Fields"]["rid"]: line["Fields"].get("user") for line in seen.summaries()}
    assert found == {"p0": "bob", "p1": None, "p2": "eve", "p3": None}


@pytest.mark.parametrize("app", FRAMEWORKS)
@pytest.mark.parametrize("server", ASGI)
def test_what_an_outer_layer_of_the_request_bound_stays(stack: Stack, app: str) -> None:
    with stack.watching(3) as seen, stack.connect() as client:
        for path in (f"/outer/{app}/binds/ann", f"/outer/{app}/plain", f"/{app}/plain"):
            client.send(request(path))
            assert client.read().status == 200
    found = [(f.get("outer"), f.get("user")) for f in seen.of("request.summary")]
    assert found == [("ann", "ann"), ("plain", None), (None, None)]


@pytest.mark.parametrize("app", FRAMEWORKS)
@pytest.mark.parametrize("server", ASGI)
def test_what_was_bound_before_the_server_started_stays_where_the_server_passes_it_on(
    stack: Stack, app: str
) -> None:
    is_passed_on = stack.ask("/control/plain").body == b"planted"
    with stack.watching(2) as seen, stack.connect() as client:
        for path in (f"/{app}/binds/ann", f"/{app}/plain"):
            client.send(request(path))
            assert client.read().status == 200
    assert [("planted" in line["Fields"]) for line in seen.summaries()] == [is_passed_on] * 2


@pytest.mark.parametrize("app", ["bare", "flask", "django"])
@pytest.mark.parametrize("server", WSGI)
def test_a_wsgi_request_begins_without_what_the_one_before_it_on_the_connection_bound(
    stack: Stack, app: str
) -> None:
    with stack.watching(8) as seen:
        for _ in range(4):  # more than one thread may serve
            with stack.connect() as client:
                client.send(request(f"/{app}/binds/ann"))
                answer = client.read()
                assert answer.status == 200
                if answer.header("connection") != "close":
                    client.send(request(f"/{app}/plain"))
                    assert client.read().status == 200
                    continue
            assert stack.ask(f"/{app}/plain").status == 200
    assert sorted(users(seen), key=str) == (
        [("/binds/ann", "ann", "ann")] * 4 + [("/plain", None, None)] * 4
    )
    served = seen.saying("serving")
    assert len(served) == 4
    assert not [fields for fields in served if {"user", "tenant"} & set(fields)]


@pytest.mark.parametrize("app", ["bare", "flask", "django"])
@pytest.mark.parametrize("server", WSGI)
def test_what_an_outer_wsgi_layer_bound_is_in_its_request_only(stack: Stack, app: str) -> None:
    with stack.watching(2) as seen:
        stack.ask(f"/outer/{app}/binds/ann")
        stack.ask(f"/{app}/plain")
    served = {fields["msg"]: fields.get("outer") for fields in seen.of("app")}
    assert (served["begun"], served["serving"]) == ("ann", None)
