"""What upstream's users do with its parts: call them by hand, replace them, ask with a slash."""

import subprocess
import sys
from typing import Any
from unittest import mock

import pytest
from conformance import checked_lines
from contract import Lines
from drivers import ASGIDriver, WSGIDriver
from fastapi import FastAPI
from flask import Flask
from sanic_server import serve
from stack import HERE, ROOT, Stack
from table import shows

from dockerflow.asgi import DockerflowASGI
from dockerflow.fastapi import router
from dockerflow.fastapi.middleware import MozlogRequestSummaryLogger, RequestIdMiddleware
from dockerflow.flask import Dockerflow
from dockerflow.wsgi import DockerflowWSGI
from mozlog_py.testing import capture_lines


def by_hand(shape: str, folder: Any) -> Lines:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "django_by_hand", shape],
        cwd=folder, env={"PYTHONPATH": f"{ROOT}:{HERE}", "APP_DIR": str(folder)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Lines(checked_lines(done.stdout))


@pytest.mark.parametrize(
    "shape",
    [
        "exception_with_a_response_as_get_response",
        "exception_with_a_function_as_get_response",
        "exception_without_get_response",
        "exception_without_response",
    ],
)
def test_an_exception_by_hand_is_one_error_in_django(shape: str, tmp_path: Any) -> None:
    lines = by_hand(shape, tmp_path)
    (line,) = lines.summaries
    fields = line["Fields"]
    assert (line["Severity"], fields["errno"], fields["code"]) == (3, 500, 500)
    assert (fields["msg"], fields["rid"]) == ("the drawer is empty", "abc")


@pytest.mark.parametrize(("shape", "code"), [("response", 201), ("response_none", 200)])
def test_a_response_by_hand_is_one_summary_in_django(shape: str, code: int, tmp_path: Any) -> None:
    (line,) = by_hand(shape, tmp_path).summaries
    fields = line["Fields"]
    assert (line["Severity"], fields["errno"], fields["code"]) == (6, 0, code)
    assert fields["rid"] == "abc"


# -- a function for the version that raises -------------------------------------------------


def flask_app() -> Flask:
    app = Flask("shop")
    dockerflow = Dockerflow(app)

    @dockerflow.version_callback
    def version(root: str) -> Any:
        raise LookupError("no release")

    return app


def fastapi_app() -> FastAPI:
    app = FastAPI()
    app.include_router(router)
    app.add_middleware(MozlogRequestSummaryLogger)
    app.add_middleware(RequestIdMiddleware)
    return app


def assert_is_the_applications_exception(line: dict[str, Any], text: str) -> None:
    fields = line["Fields"]
    assert (line["Severity"], fields["errno"], fields["code"]) == (3, 500, 500)
    assert fields["error"] == f"LookupError('{text}')"


def test_what_a_version_callback_raises_in_flask_is_the_applications_exception() -> None:
    app = flask_app()
    with capture_lines("request.summary") as lines:
        answer = WSGIDriver(app).get("/__version__")
    assert answer.status == 500
    assert b"no release" not in answer.body
    (line,) = lines
    assert_is_the_applications_exception(line, "no release")
    app.testing = True
    with pytest.raises(LookupError):
        app.test_client().get("/__version__")


@pytest.mark.parametrize("path", ["/async", "/object"])
def test_what_a_version_callback_cannot_return_in_flask_is_the_applications_exception(
    path: str,
) -> None:
    app = Flask("shop")

    async def later(root: str) -> Any:
        return {"version": "1"}

    Dockerflow(app).version_callback(later if path == "/async" else lambda root: object())
    with capture_lines("request.summary") as lines:
        answer = WSGIDriver(app).get("/__version__")
    assert answer.status == 500
    assert b" object at 0x" not in answer.body
    (line,) = lines
    fields = line["Fields"]
    assert (line["Severity"], fields["errno"], fields["code"]) == (3, 500, 500)
    assert fields["msg"].startswith("The version callback returned ")


def test_what_a_version_callback_raises_in_django_is_the_applications_exception(
    tmp_path: Any,
) -> None:
    (line,) = by_hand("version_raises", tmp_path).summaries
    assert_is_the_applications_exception(line, "no release")


@pytest.mark.parametrize("error", [LookupError("no release"), LookupError("")])
def test_what_a_replaced_get_version_raises_in_fastapi_propagates(error: Exception) -> None:
    with (
        capture_lines("request.summary") as lines,
        mock.patch("dockerflow.fastapi.views.get_version", side_effect=error),
    ):
        answer = ASGIDriver(fastapi_app()).get("/__version__")
    assert answer.error is error
    (line,) = lines
    assert_is_the_applications_exception(line, str(error))


@pytest.mark.parametrize("content", ["{", "[1]", '{"a": NaN}'])
def test_a_version_that_is_malformed_is_data_and_a_clear_answer(
    content: str, tmp_path: Any
) -> None:
    (tmp_path / "version.json").write_text(content)
    app = fastapi_app()
    app.state.APP_DIR = str(tmp_path)
    drivers = {
        "fastapi": ASGIDriver(app),
        "asgi": ASGIDriver(DockerflowASGI(app, version_path=str(tmp_path))),
        "wsgi": WSGIDriver(DockerflowWSGI(Flask("x"), version_path=str(tmp_path))),
    }
    for driver in drivers.values():
        with capture_lines("request.summary") as lines:
            answer = driver.get("/__version__")
        assert (answer.status, answer.error) == (500, None)
        assert b"version.json" in answer.body
        (line,) = lines
        assert (line["Severity"], line["Fields"]["errno"]) == (6, 0)


# -- a slash at the end ------------------------------------------------------------------------

SLASHED = {
    "gunicorn-sync": ("django", 200),
    "uvicorn-asyncio-h11": ("django", 200),
    "gunicorn-gthread": ("flask", 404),
    "waitress": ("flask", 404),
    "gunicorn-gevent": ("bare", 200),
    "granian-wsgi": ("bare", 200),
    "uvicorn-uvloop-httptools": ("bare", 200),
    "hypercorn-trio": ("bare", 200),
    "granian-asgi": ("fastapi", 307),
    "daphne": ("fastapi", 307),
}


@shows("Django", "endpoint with a trailing slash", "200")
@shows("Flask", "endpoint with a trailing slash", "404")
@shows("FastAPI", "endpoint with a trailing slash", "redirects to the path without it")
@shows("ASGI", "endpoint with a trailing slash", "200")
@shows("WSGI", "endpoint with a trailing slash", "200")
@pytest.mark.parametrize("name", ["lbheartbeat", "version"])
@pytest.mark.parametrize("server", SLASHED)
def test_an_endpoint_with_a_slash_at_its_end(stack: Stack, name: str) -> None:
    app, status = SLASHED[stack.name]
    if (app, name) == ("flask", "version"):
        pytest.skip("the version.json of this application is elsewhere")
    with stack.watching() as seen:
        answer = stack.ask(f"/{app}/__{name}__/", "abc")
        # Two slashes are another path.
        twice = stack.ask(f"/{app}/__{name}__//", "abc")
    assert (answer.status, answer.header("x-request-id")) == (status, "abc")
    assert twice.status != 200 or app == "bare"
    assert seen.outcome(f"/__{name}__/") == (6, 0, status)


@shows("Sanic", "endpoint with a trailing slash", "200")
def test_an_endpoint_of_sanic_with_a_slash_at_its_end(tmp_path: Any) -> None:
    with serve(tmp_path) as server:
        answer = server.ask("/__lbheartbeat__/", "slash")
        assert (answer.status, answer.ids) == (200, [b"slash"])
        severity, fields = server.summary("slash")
    assert (severity, fields["errno"], fields["code"]) == (6, 0, 200)


@pytest.mark.parametrize(
    ("server", "app"),
    [
        ("gunicorn-sync", "flask"),
        ("gunicorn-gevent", "flask"),
        ("waitress", "django"),
        ("uvicorn-asyncio-h11", "django"),
    ],
)
def test_an_empty_answer_does_not_claim_to_be_json(stack: Stack, app: str) -> None:
    answer = stack.ask(f"/{app}/__lbheartbeat__")
    assert (answer.status, answer.body) == (200, b"")
    assert "json" not in (answer.header("content-type") or "")


@pytest.mark.parametrize(
    ("server", "app"),
    [
        ("uvicorn-asyncio-h11", "fastapi"),
        ("hypercorn-trio", "fastapi"),
        ("daphne", "bare"),
        ("granian-wsgi", "bare"),
    ],
)
def test_an_answer_that_is_json_claims_it(stack: Stack, app: str) -> None:
    answer = stack.ask(f"/{app}/__lbheartbeat__")
    assert (answer.body, answer.header("content-type")) == (b'{"status":"ok"}', "application/json")
