"""What Sentry gets of a request: one event for one exception, whatever reports it.

Each combination of a framework and a setup of sentry-sdk runs in a process of its own,
``sentry_application.py``; the tests ask for what that one has printed. The processes are forks of
one that has imported the frameworks, which sentry-sdk's integrations import all.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fork_server import ForkServer

APPLICATION = Path(__file__).with_name("sentry_application.py")
ROOT = APPLICATION.parents[2]

STACKS = (
    "flask", "django_wsgi", "django_asgi", "fastapi", "starlette", "starlette_within",
    "starlette_tasks", "sanic", "asgi", "wsgi",
)  # fmt: skip
#: Those for which sentry-sdk has an integration.
FRAMEWORKS = STACKS[:-2]
HAVE_TASKS = {"fastapi", "starlette", "starlette_within", "starlette_tasks", "asgi"}
STRUCTURED = (
    "/structured", "/structured-text", "/structured-line", "/structured-arguments",
    "/structured-mozlog",
)  # fmt: skip
#: Requests that end with one exception.
FAILING = ("/boom", "/own-class", "/logged", *STRUCTURED, "/cached", "/cached again", "/stream")
ENDPOINTS = ("/__lbheartbeat__", "/__heartbeat__", "/__version__", "/__error__")
RID = "rid-of-the-request"
#: The stacks of which coverage is measured, with the default setup.
MEASURED = ("flask", "django_wsgi", "fastapi", "sanic", "asgi")
#: What the integrations of sentry-sdk import, and what serves the applications.
IMPORTED = (
    "aiohttp", "asyncpg", "celery.app.trace", "django.core.handlers.asgi",
    "django.core.handlers.wsgi", "django.db", "django.template", "eventlet", "fastapi", "flask",
    "flask_login", "gevent", "h2.connection", "httpx", "OpenSSL", "pythonjsonlogger.json", "redis",
    "sanic", "sqlalchemy", "starlette.middleware.base", "structlog", "trio", "urllib3", "uvicorn",
)  # fmt: skip

Printed = list[tuple[str, dict[str, Any]]]

_servers: dict[bool, ForkServer] = {}
_known: dict[str, Printed] = {}


@pytest.fixture(scope="module", autouse=True)
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "frameworks")]),
    }
    folders = [tmp_path_factory.mktemp("sentry") for _ in range(2)]
    _servers[True] = ForkServer(IMPORTED, environment, folders[0])
    # To measure coverage takes as long again, and the others run the same lines.
    environment.pop("COVERAGE_PROCESS_CONFIG", None)
    _servers[False] = ForkServer(IMPORTED, environment, folders[1])
    yield
    for server in _servers.values():
        server.close()
    _servers.clear()
    _known.clear()


def _printed(case: str) -> Printed:
    if case not in _known:
        found = json.loads(case)
        is_measured = found["stack"] in MEASURED and found.get("setup", "default") == "default"
        server = _servers[is_measured]
        status, out, errors = server.run(APPLICATION, case)
        assert status == 0, errors
        _known[case] = json.loads(out.splitlines()[-1])
    return _known[case]


def sent(path: str, kind: str = "event", **case: Any) -> list[dict[str, Any]]:
    """Return what was sent during requests of this path."""
    return [
        each
        for name, each in _printed(json.dumps(case, sort_keys=True))
        if name == path and each["kind"] == kind
    ]


def assert_one_with_stack(path: str, **case: Any) -> dict[str, Any]:
    events = sent(path, **case)
    assert len(events) == 1, f"{path}: {events}"
    (event,) = events
    assert event["exceptions"], event
    assert event["raised_in"] is not None, event
    assert event["rid"] == RID, event
    return event


#: Each starts a process, which takes two seconds; so every stack is here, and every setup,
#: and not each with each.
CASES = [
    *((stack, "default") for stack in STACKS),
    ("fastapi", "logging"),
    ("starlette_tasks", "logging"),
    ("flask", "logging"),
    ("django_wsgi", "logging"),
    ("sanic", "logging"),
    ("fastapi", "no dedupe"),
    ("django_asgi", "no dedupe"),
    ("starlette_tasks", "before_send, no dedupe"),
    ("fastapi", "before_send"),
    ("fastapi", "ignored logger"),
    ("fastapi", "no events of logging"),
    ("asgi", "no events of logging"),
    ("sanic", "no logging"),
    ("asgi", "nothing"),
    ("flask", "nothing"),
    ("flask", "no framework"),
    ("asgi", "by hand"),
    ("wsgi", "by hand, no dedupe"),
    ("asgi", "by hand, no dedupe"),
    ("fastapi", "by hand, no dedupe"),
]


def raised_only(setup: str) -> bool:
    """Return whether lines of the log make no events."""
    return setup in ("nothing", "no logging", "no events of logging")


@pytest.mark.parametrize(("stack", "setup"), CASES)
class TestOneException:
    def test_one_exception_that_is_raised_is_one_event_with_its_stack_and_the_rid(
        self, stack: str, setup: str
    ) -> None:
        for path in ("/boom", "/own-class", "/cached", "/stream"):
            event = assert_one_with_stack(path, stack=stack, setup=setup)
            if path != "/stream" and event["logger"] in (None, "request.summary"):
                assert event["handled"] is False, event

    def test_one_exception_that_is_logged_and_raised_is_one_event(
        self, stack: str, setup: str
    ) -> None:
        event = assert_one_with_stack("/logged", stack=stack, setup=setup)
        assert event["exceptions"][-1] == "ValueError"

    def test_one_exception_that_structlog_logs_by_way_of_logging_is_one_event(
        self, stack: str, setup: str
    ) -> None:
        for path in STRUCTURED:
            event = assert_one_with_stack(path, stack=stack, setup=setup)
            assert event["exceptions"][-1] == "ValueError"
            assert event["raised_in"] == "_structured"

    def test_one_exception_that_is_logged_again_after_another_is_one_event(
        self, stack: str, setup: str
    ) -> None:
        events = sent("/logged-twice-between-others", stack=stack, setup=setup)
        kinds = [each["exceptions"][-1] for each in events]
        assert kinds == (["ValueError"] if raised_only(setup) else ["ValueError", "KeyError"])

    def test_one_exception_that_is_handled_and_logged_is_one_event(
        self, stack: str, setup: str
    ) -> None:
        events = sent("/handled", stack=stack, setup=setup)
        if raised_only(setup):
            assert events == []
        else:
            assert_one_with_stack("/handled", stack=stack, setup=setup)
            assert events[0]["logger"] == "shop"
            assert events[0]["handled"] is True

    def test_one_exception_is_not_the_one_that_it_is_the_cause_of(
        self, stack: str, setup: str
    ) -> None:
        events = sent("/wrapped", stack=stack, setup=setup)
        kinds = [each["exceptions"][-1] for each in events]
        assert kinds == (["DrawerError"] if raised_only(setup) else ["ValueError", "DrawerError"])

    def test_object_that_several_requests_raise_is_an_event_of_each(
        self, stack: str, setup: str
    ) -> None:
        assert_one_with_stack("/cached again", stack=stack, setup=setup)
        assert len(sent("/cached together", stack=stack, setup=setup)) == 2

    def test_one_exception_of_a_background_task_is_one_event(self, stack: str, setup: str) -> None:
        if stack in HAVE_TASKS:
            assert_one_with_stack("/task", stack=stack, setup=setup)
        else:
            assert sent("/task", stack=stack, setup=setup) == []

    def test_one_exception_outside_of_requests_is_reported_as_without_us(
        self, stack: str, setup: str
    ) -> None:
        events = sent("outside", stack=stack, setup=setup)
        kinds = [(each["exceptions"][-1], each["rid"]) for each in events]
        assert kinds == ([] if raised_only(setup) else [("LookupError", None)])

    def test_one_exception_needs_to_be_raised(self, stack: str, setup: str) -> None:
        assert sent("/missing", stack=stack, setup=setup) == []
        assert sent("/fine", stack=stack, setup=setup) == []

    def test_one_exception_of_the_error_endpoint_is_one_event(self, stack: str, setup: str) -> None:
        events = sent("/__error__", stack=stack, setup=setup)
        kinds = [each["exceptions"] for each in events if each["exceptions"]]
        assert kinds == [["Exception"]]
        assert all(each["rid"] for each in events)

    def test_one_exception_is_not_needed_for_a_line_to_be_an_event(
        self, stack: str, setup: str
    ) -> None:
        events = sent("/complaint", stack=stack, setup=setup)
        texts = [(each["message"], each["rid"]) for each in events]
        assert texts == ([] if raised_only(setup) else [("the drawer squeaks", RID)])

    def test_or_not_the_endpoints_make_no_traces(self, stack: str, setup: str) -> None:
        for path in ENDPOINTS:
            assert sent(path, "transaction", stack=stack, setup=setup) == []
        is_traced = setup.startswith("by hand") or (
            stack in FRAMEWORKS and setup not in ("logging", "nothing", "no framework")
        )
        assert len(sent("/fine", "transaction", stack=stack, setup=setup)) == is_traced


@pytest.mark.parametrize(
    ("stack", "init"),
    [
        ("flask", "after"),
        ("django_asgi", "after"),
        ("sanic", "after"),
        ("fastapi", "after"),
        ("fastapi", "late"),
        ("wsgi", "late"),
    ],
)
def test_sentry_may_be_loaded_after_the_application_is_made_or_used(stack: str, init: str) -> None:
    for path in FAILING:
        assert_one_with_stack(path, stack=stack, init=init)
    for path in ENDPOINTS:
        assert sent(path, "transaction", stack=stack, init=init) == []


@pytest.mark.parametrize(
    ("stack", "setup"), [("fastapi", "default"), ("flask", "logging"), ("asgi", "logging")]
)
def test_a_summary_without_traceback_is_an_event_with_one(stack: str, setup: str) -> None:
    settings = {"DOCKERFLOW_SUMMARY_TRACEBACK": False}
    for path in FAILING:
        assert_one_with_stack(path, stack=stack, setup=setup, settings=settings)


@pytest.mark.parametrize("traceback", [True, False])
@pytest.mark.parametrize("stack", ["fastapi"])
def test_exceptions_that_the_application_ignores_are_no_events(stack: str, traceback: bool) -> None:
    settings = {"DOCKERFLOW_SUMMARY_TRACEBACK": traceback}
    case = {"stack": stack, "setup": "ignored error", "settings": settings}
    for path in ("/boom", "/logged", "/handled", "/stream"):
        assert [each for each in sent(path, **case) if each["exceptions"]] == []
    assert_one_with_stack("/own-class", **case)


@pytest.mark.parametrize("setup", ["ignored logger", "before_send"])
def test_an_application_without_an_integration_may_say_that_it_wants_no_summaries(
    setup: str,
) -> None:
    assert sent("/boom", stack="asgi", setup=setup) == []
    assert_one_with_stack("/logged", stack="asgi", setup=setup)


@pytest.mark.parametrize("setup", ["default", "by hand", "by hand, no dedupe"])
def test_an_exception_that_passes_a_request_within_a_request_is_one_event(setup: str) -> None:
    (event,) = sent("/calls-itself", stack="asgi", setup=setup)
    assert event["exceptions"] == ["ValueError"]


def test_a_request_that_asks_an_endpoint_in_process_keeps_its_trace() -> None:
    (trace,) = sent("/asks-itself", "transaction", stack="asgi", setup="by hand")
    assert trace["name"].endswith("/asks-itself")


def test_a_summary_without_an_exception_is_an_event() -> None:
    (event,) = sent("/silent", stack="asgi", setup="default")
    assert event["message"] == "The application ended without a response"
    assert event["rid"] == RID


@pytest.mark.parametrize(
    ("stack", "traceback"), [("asgi_own_logger", False), ("asgi_own_kind_of_logger", True)]
)
def test_summaries_may_have_another_logger(stack: str, traceback: bool) -> None:
    settings = {"DOCKERFLOW_SUMMARY_TRACEBACK": traceback}
    for path in FAILING:
        assert_one_with_stack(path, stack=stack, setup="by hand", settings=settings)


@pytest.mark.parametrize(
    ("stack", "setup"),
    [("fastapi", "no dedupe"), ("starlette_tasks", "by hand, no dedupe"), ("asgi", "nothing")],
)
def test_a_line_of_the_server_about_the_exception_is_no_second_event(
    stack: str, setup: str
) -> None:
    assert_one_with_stack("/boom", stack=stack, setup=setup, server="uvicorn")


@pytest.mark.parametrize(
    ("stack", "setup"),
    [
        ("flask", "default"),
        ("django_asgi", "default"),
        ("fastapi", "default"),
        ("sanic", "default"),
        ("wsgi", "by hand"),
    ],
)
def test_the_endpoints_make_no_traces_where_spans_are_streamed(stack: str, setup: str) -> None:
    case = {"stack": stack, "setup": setup, "options": {"trace_lifecycle": "stream"}}
    for path in ENDPOINTS:
        assert sent(path, "span", **case) == []
    assert sent("/fine", "span", **case) != []
    assert_one_with_stack("/boom", **case)


@pytest.mark.parametrize("stack", ["flask", "django_wsgi", "fastapi", "asgi"])
def test_the_switch_leaves_everything_to_sentry(stack: str) -> None:
    case = {"stack": stack, "settings": {"DOCKERFLOW_SENTRY": False}}
    if stack == "asgi":
        case["setup"] = "by hand"
    for path in ENDPOINTS[:3]:
        assert len(sent(path, "transaction", **case)) == 1
    assert sent("/logged", **case) != []
    assert all(each["rid"] is None for path in FAILING for each in sent(path, **case))
