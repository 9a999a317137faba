"""Servers of WSGI that refuse what is sent: the summary has the status of the answer."""

import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from wsgiref.handlers import SimpleHandler

import flask
import pytest
from contract import Lines
from real_servers import GUNICORN, ask, served_from

from dockerflow.flask import Dockerflow
from dockerflow.wsgi import DockerflowWSGI

BEYOND_LATIN_1 = "Zo\N{EURO SIGN}"


def bare(headers: list[tuple[str, str]], body: Any) -> Any:
    def application(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", headers)
        return body

    return DockerflowWSGI(application)


def of_flask(value: str, body: Any) -> Any:
    app = flask.Flask("shop")
    Dockerflow(app)

    @app.get("/")
    def index() -> Any:
        return flask.Response(body, headers={"X-User": value})

    return app


ENVIRON = {
    "REQUEST_METHOD": "GET",
    "PATH_INFO": "/",
    "SCRIPT_NAME": "",
    "SERVER_NAME": "x",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_X_REQUEST_ID": "r1",
}


def serve(app: Any) -> tuple[bytes, BaseException | None]:
    """Serve one request with the standard library's server, which encodes headers late.

    Returns:
        What the client reads, and the exception that the server logs.
    """
    logged: list[BaseException | None] = []

    class Handler(SimpleHandler):
        def log_exception(self, exc_info: Any) -> None:
            logged.append(exc_info[1])

    out = io.BytesIO()
    handler = Handler(io.BytesIO(), out, io.StringIO(), ENVIRON)
    handler.run(app)
    return out.getvalue(), logged[0] if logged else None


@pytest.mark.parametrize("body", [b"x", b"", [b"a", b"b"]], ids=["whole", "empty", "stream"])
@pytest.mark.parametrize("make", [of_flask, lambda value, body: bare([("X-User", value)], [])])
def test_a_header_that_a_server_refuses_late_is_an_error(
    lines: Lines, make: Callable[..., Any], body: Any
) -> None:
    _, error = serve(make(BEYOND_LATIN_1, body))
    assert isinstance(error, UnicodeEncodeError)
    assert (lines.summary["code"], lines.summary["errno"]) == (500, 500)
    assert lines.summary["error"].startswith("UnicodeEncodeError")
    # The line of the server gets the id from the exception.
    logging.getLogger("server").error("Exception while serving", exc_info=error)
    assert [fields["rid"] for fields in lines.of("server")] == ["r1"]


def test_a_status_line_beyond_latin_1_is_an_error(lines: Lines) -> None:
    def application(environ: Any, start_response: Any) -> Any:
        start_response(f"200 {BEYOND_LATIN_1}", [])
        return [b"x"]

    assert isinstance(serve(DockerflowWSGI(application))[1], UnicodeEncodeError)
    assert (lines.summary["code"], lines.summary["errno"]) == (500, 500)


@pytest.mark.parametrize("make", [of_flask, lambda value, body: bare([("X-User", value)], [body])])
def test_a_header_in_latin_1_is_sent(lines: Lines, make: Callable[..., Any]) -> None:
    sent, error = serve(make("Zo\xeb", b"x"))
    assert error is None
    assert b"X-User: Zo\xeb\r\n" in sent
    assert (lines.summary["code"], lines.summary["errno"]) == (200, 0)


def test_a_header_that_a_server_sends_in_utf_8_is_no_error(lines: Lines) -> None:
    # granian sends such headers, and has no callable to write with.
    given: Any = bare([("X-User", BEYOND_LATIN_1)], [b"x"])(
        {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda status, headers: None
    )
    assert list(given) == [b"x"]
    given.close()
    assert (lines.summary["code"], lines.summary["errno"]) == (200, 0)


def test_a_part_of_a_body_that_a_server_cannot_send_is_an_error(lines: Lines) -> None:
    sent, error = serve(bare([], [b"a", "text"]))
    assert isinstance(error, AssertionError)
    assert b"200 OK" in sent
    assert (lines.summary["code"], lines.summary["errno"]) == (200, 500)
    assert "AssertionError" in lines.summary["error"]


def test_a_body_that_is_closed_within_an_except_clause_of_the_caller_is_no_error(
    lines: Lines,
) -> None:
    try:
        raise LookupError("of the caller")
    except LookupError:
        serve(bare([], [b"x"]))
    assert (lines.summary["code"], lines.summary["errno"]) == (200, 0)


def test_a_client_that_goes_while_a_part_is_sent_is_no_error(lines: Lines) -> None:
    class Gone(io.BytesIO):
        def write(self, data: Any) -> int:
            raise ConnectionResetError

    SimpleHandler(io.BytesIO(), Gone(), io.StringIO(), ENVIRON).run(bare([], [b"x"]))
    assert (lines.summary["code"], lines.summary["errno"]) == (200, 0)


REFUSED_HEADER = """
import mozlog_py
mozlog_py.configure("service", format="mozlog")
import flask
from dockerflow.flask import Dockerflow
from dockerflow.wsgi import DockerflowWSGI

app = flask.Flask("shop")
Dockerflow(app)

@app.get("/flask")
def user():
    return flask.Response("x", headers={"X-User": "Zo\\u20ac"})

def bare(environ, start_response):
    start_response("200 OK", [("X-User", "Zo\\u20ac")])
    return [b"x"]

bare = DockerflowWSGI(bare)
of_flask = app.wsgi_app

def serve(environ, start_response):
    served = bare if environ["PATH_INFO"] == "/bare" else of_flask
    return served(environ, start_response)

app.wsgi_app = serve
"""


@pytest.mark.parametrize(
    "command",
    [
        ["waitress", "--listen=127.0.0.1:PORT", "served:app"],
        [*GUNICORN, "--threads", "4"],
        [*GUNICORN, "-k", "gevent"],
        ["flask", "--app", "served", "run", "--port", "PORT"],
    ],
    ids=["waitress", "gunicorn", "gevent", "flask-run"],
)
def test_a_header_that_a_server_refuses_has_the_id_in_all_lines(
    tmp_path: Path, command: list[str]
) -> None:
    with served_from(tmp_path, REFUSED_HEADER, command) as (port, lines):
        for path in (b"flask", b"bare"):
            ask(port, b"GET /%b HTTP/1.1\r\nHost: x\r\nX-Request-Id: %b\r\n" % (path, path))
    errors = [line for line in lines if line["Severity"] <= 3]
    for path in ("flask", "bare"):
        (summary,) = [
            line["Fields"]
            for line in lines
            if line["Type"] == "request.summary" and line["Fields"]["path"] == f"/{path}"
        ]
        assert (summary["rid"], summary["code"], summary["errno"]) == (path, 500, 500)
        # The summary, and the line of the server.
        assert [line["Fields"].get("rid") for line in errors].count(path) == 2
    assert len(errors) == 4
