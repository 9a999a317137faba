"""Services with the libraries that real ones have: tracers, users, databases, metrics."""

import json
import uuid
from importlib.util import find_spec

import pytest
from sockets import peer
from stack import Stack

FLASK = ("company-flask", "company-flask-late")
FASTAPI = ("company-fastapi-outside", "company-fastapi-inside")
DJANGO = ("company-django", "company-django-asgi")
#: What a summary has without anything in the company.
OPENTELEMETRY = {"trace_id", "span_id", "trace_flags"}


# -- OpenTelemetry -----------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/plain", "/boom", "/stream"])
@pytest.mark.parametrize("server", [*FLASK, *FASTAPI, *DJANGO])
def test_a_summary_has_the_span_of_its_request(stack: Stack, path: str) -> None:
    traceparent = f"00-{uuid.uuid4().hex}-b7ad6b7169203331-01"
    with stack.watching() as seen:
        stack.ask(path, "abc", headers={"traceparent": traceparent})
    summary = seen.summary(path)
    served = [fields for fields in seen.of("app") if fields["msg"] == "serving"]
    if not (path == "/stream" and stack.name in DJANGO):
        # Django's span has ended before the parts of a stream are made.
        assert [fields["trace_id"] for fields in served] == [traceparent[3:35]]
    assert {name: summary.get(name) for name in OPENTELEMETRY} == {
        name: served[0].get(name) for name in OPENTELEMETRY
    }
    assert summary["rid"] == served[0]["rid"]


@pytest.mark.parametrize("server", FLASK)
def test_a_summary_of_a_page_that_is_not_there_has_a_span(stack: Stack) -> None:
    with stack.watching() as seen:
        assert stack.ask("/missing").status == 404
    assert set(seen.summary()) >= OPENTELEMETRY


@pytest.mark.parametrize("server", [*FLASK, *FASTAPI, *DJANGO])
def test_an_instrumented_exception_is_one_error(stack: Stack) -> None:
    with stack.watching() as seen:
        answer = stack.ask("/boom", str(uuid.UUID(int=7, version=4)))
    assert answer.status == 500
    assert answer.all("x-request-id") == [seen.summary()["rid"]]
    assert seen.outcome() == (3, 500, 500)
    assert seen.summary()["error"] == "ValueError('the drawer is empty')"


@pytest.mark.parametrize("server", FASTAPI)
def test_a_websocket_in_the_company_of_others_has_a_summary(stack: Stack) -> None:
    with stack.watching() as seen:
        with peer(stack, "/socket/echo", str(uuid.uuid4())) as it:
            it.send("one")
            assert it.recv(timeout=10) == "one"
        seen.until_summary("/socket/echo")
    summary = seen.summary("/socket/echo")
    assert (summary["Severity"], summary["method"]) == (6, "WEBSOCKET")
    assert seen.rids("serving") == [summary["rid"]]


# -- asgi-correlation-id beside us ---------------------------------------------------------


@pytest.mark.parametrize("server", FASTAPI)
def test_both_take_the_id_of_the_request(stack: Stack) -> None:
    rid = str(uuid.uuid4())
    with stack.watching() as seen:
        answer = stack.ask("/plain", rid)
    assert answer.all("x-request-id") == [rid]
    assert json.loads(answer.body) == {"correlation": rid.replace("-", "")} or json.loads(
        answer.body
    ) == {"correlation": rid}
    assert seen.summary()["rid"] == rid
    assert seen.rids("serving") == [rid]


@pytest.mark.parametrize("server", ["company-fastapi-outside"])
def test_an_id_that_a_layer_further_out_made_is_that_of_the_request(stack: Stack) -> None:
    with stack.watching() as seen:
        answer = stack.ask("/plain")
    (given,) = answer.all("x-request-id")
    assert json.loads(answer.body) == {"correlation": given}
    assert (seen.summary()["rid"], seen.rids("serving")) == (given, [given])


# -- Prometheus ----------------------------------------------------------------------------


@pytest.mark.parametrize("server", [*FLASK, *FASTAPI, *DJANGO])
def test_metrics_are_served_and_count_our_requests(stack: Stack) -> None:
    with stack.watching(2) as seen:
        stack.ask("/plain")
        answer = stack.ask("/metrics")
    assert answer.status == 200
    assert b"# TYPE" in answer.body
    assert seen.outcome("/metrics") == (6, 0, 200)
    assert seen.outcome("/plain") == (6, 0, 200)


@pytest.mark.parametrize("server", [*FLASK, *FASTAPI, *DJANGO])
def test_the_endpoints_answer_in_the_company_of_others(stack: Stack) -> None:
    with stack.watching(3) as seen:
        answers = {
            name: stack.ask(f"/__{name}__").status
            for name in ("lbheartbeat", "heartbeat", "version")
        }
    # Django's checks of a deployment have warnings only.
    assert answers == {"lbheartbeat": 200, "heartbeat": 200, "version": 200}
    assert {seen.outcome(f"/__{name}__") for name in answers} == {(6, 0, 200)}


# -- Flask-Login, Flask-SQLAlchemy ------------------------------------------------------------


@pytest.mark.parametrize(("uid", "expected"), [("0", 0), ("41", 41), ("ann", "ann")])
@pytest.mark.parametrize("server", FLASK)
def test_the_id_of_a_user_keeps_its_type(stack: Stack, uid: str, expected: object) -> None:
    with stack.watching() as seen:
        answer = stack.ask(f"/login/{uid}")
    found = seen.summary(f"/login/{uid}")["uid"]
    assert (found, type(found)) == (expected, type(expected))
    assert answer.status == 200
    with stack.watching() as seen:
        stack.ask("/plain")
    assert seen.summary()["uid"] == ""


@pytest.mark.parametrize("server", FLASK)
def test_a_failure_of_the_database_is_one_error_and_the_next_request_works(stack: Stack) -> None:
    with stack.watching(3) as seen:
        assert stack.ask("/orders", "o1").status == 200
        assert stack.ask("/conflict", "o2").status == 500
        assert stack.ask("/orders", "o3").status == 200
    outcomes = {
        line["Fields"]["rid"]: (line["Severity"], line["Fields"]["code"])
        for line in seen.summaries()
    }
    assert outcomes == {"o1": (6, 200), "o2": (3, 500), "o3": (6, 200)}
    assert "IntegrityError" in seen.summary("/conflict")["error"]
    assert [f["rid"] for f in seen.of("app")] == ["o1", "o2", "o3"]


@pytest.mark.parametrize("server", ["company-flask"])
def test_a_socket_that_was_handed_over_has_its_span(stack: Stack) -> None:
    with stack.watching() as seen:
        with peer(stack, "/socket/echo") as it:
            it.send("one")
            assert it.recv(timeout=10) == "one"
        seen.until_summary("/socket/echo")
    assert seen.outcome("/socket/echo") == (6, 0, 101)
    assert seen.summary()["trace_id"] == seen.saying("serving")[0]["trace_id"]


# -- Django REST framework -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status"), [("/invalid", 400), ("/throttled", 429), ("/closed", 403)]
)
@pytest.mark.parametrize("server", DJANGO)
def test_what_rest_framework_answered_is_no_error(stack: Stack, path: str, status: int) -> None:
    with stack.watching() as seen:
        answer = stack.ask(path, "abc")
    assert (answer.status, answer.header("x-request-id")) == (status, "abc")
    assert seen.outcome(path) == (6, 0, status)
    assert {"error", "traceback"} & set(seen.summary()) == set()


@pytest.mark.parametrize("server", DJANGO)
def test_a_body_that_rest_framework_cannot_read_is_no_error(stack: Stack) -> None:
    with stack.watching() as seen:
        answer = stack.ask(
            "/plain", method="POST", body=b"{", headers={"Content-Type": "application/json"}
        )
    assert answer.status == 400
    assert seen.outcome("/plain") == (6, 0, 400)


# -- ddtrace ---------------------------------------------------------------------------------------

needs_ddtrace = pytest.mark.skipif(
    find_spec("ddtrace") is None, reason="ddtrace has no wheel for this Python"
)

DDTRACE = {"dd.trace_id", "dd.span_id", "dd.service"}


@pytest.mark.parametrize(
    "path", ["/flask/plain", "/flask/boom", "/flask/short-stream", "/django/plain", "/django/boom"]
)
@needs_ddtrace
@pytest.mark.parametrize("server", ["ddtrace-wsgi"])
def test_a_summary_has_what_ddtrace_adds_to_records_under_wsgi(stack: Stack, path: str) -> None:
    with stack.watching() as seen:
        stack.ask(path)
    said = seen.of("app")[0]
    assert int(said["dd.trace_id"], 16 if len(said["dd.trace_id"]) == 32 else 10)
    assert set(seen.summary()) >= DDTRACE
    if "stream" not in path:
        # Its span of a stream has ended when the server closes the body.
        assert seen.summary()["dd.trace_id"] == said["dd.trace_id"]


@pytest.mark.parametrize(
    "path", ["/fastapi/plain", "/fastapi/boom", "/fastapi/short-stream", "/starlette/plain"]
)
@needs_ddtrace
@pytest.mark.parametrize("server", ["ddtrace-asgi"])
def test_a_summary_has_what_ddtrace_adds_to_records_under_asgi(stack: Stack, path: str) -> None:
    with stack.watching() as seen:
        stack.ask(path)
    said = seen.of("app")[0]
    summary = seen.summary()
    assert set(said) >= DDTRACE
    assert set(summary) >= DDTRACE
    if path.startswith("/fastapi"):
        # The span is FastAPI's, and around our middlewares.
        assert summary["dd.trace_id"] == said["dd.trace_id"] != "0"
