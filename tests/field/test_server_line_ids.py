"""What servers log when the application has returned: its exception, and the access line.

Each line about a request has that request's id, on real servers on loopback.
"""

import http.client
import json
from pathlib import Path
from typing import Any

import pytest
from conformance import checked
from serving import Served, server

APPLICATION = """
import mozlog_py
mozlog_py.configure("service", format="mozlog")
from dockerflow.asgi import DockerflowASGI
from dockerflow.wsgi import DockerflowWSGI
from dockerflow.flask import Dockerflow
from flask import Flask

def bare(environ, start_response):
    if environ["PATH_INFO"] == "/boom":
        raise ValueError("boom")
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]

async def bare_asgi(scope, receive, send):
    if scope["path"] == "/boom":
        raise ValueError("boom")
    headers = [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})

wsgi, asgi = DockerflowWSGI(bare), DockerflowASGI(bare_asgi)

flask = Flask("service")
flask.config["PROPAGATE_EXCEPTIONS"] = True
Dockerflow(flask)

@flask.get("/fine")
def fine():
    return "hello"

@flask.get("/boom")
def boom():
    raise ValueError("boom")
"""
GUNICORN = ["gunicorn", "-b", "127.0.0.1:PORT", "--access-logfile", "-"]
GRANIAN = ["granian", "--port", "PORT", "--access-log"]
COMMANDS = {
    "gunicorn": [*GUNICORN, "application:wsgi"],
    "gunicorn, Flask": [*GUNICORN, "application:flask"],
    "gunicorn, threads": [*GUNICORN, "-k", "gthread", "--threads", "3", "application:flask"],
    "gunicorn, gevent": [*GUNICORN, "-k", "gevent", "application:wsgi"],
    "gunicorn, asgi": [*GUNICORN, "-k", "asgi", "application:asgi"],
    "granian, wsgi": [*GRANIAN, "--interface", "wsgi", "application:wsgi"],
    "granian, Flask": [*GRANIAN, "--interface", "wsgi", "application:flask"],
    "granian, asgi": [*GRANIAN, "--interface", "asgi", "application:asgi"],
    "uvicorn": ["uvicorn", "--port", "PORT", "application:asgi"],
    "hypercorn": ["hypercorn", "-b", "127.0.0.1:PORT", "--access-logfile", "-", "application:asgi"],
    "waitress": ["waitress", "--listen=127.0.0.1:PORT", "application:wsgi"],
    "waitress, Flask": ["waitress", "--listen=127.0.0.1:PORT", "application:flask"],
    "daphne": ["daphne", "-b", "127.0.0.1", "-p", "PORT", "application:asgi"],
}
#: Those without an access log that is made of records.
WITHOUT_ACCESS = {"waitress", "waitress, Flask"}


def ask(served: Served, *requests: tuple[str, str]) -> None:
    """Make requests, each with its id, on one connection as long as the server keeps it."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    for path, request_id in requests:
        connection.request("GET", path, headers={"X-Request-ID": request_id})
        connection.getresponse().read()
    connection.close()


def lines_of(served: Served) -> list[dict[str, Any]]:
    lines = []
    for line in served.out.splitlines():
        # gunicorn and granian begin with words of their own, before the application is there.
        if line.startswith(b"{"):
            lines.append(checked(line))
    return lines


@pytest.mark.parametrize("kind", COMMANDS)
def test_each_line_about_a_request_has_its_id(tmp_path: Path, kind: str) -> None:
    requests = [("/fine", "r1"), ("/boom", "r2"), ("/fine", "r3"), ("/boom", "r4")]
    with server(tmp_path, COMMANDS[kind], files={"application.py": APPLICATION}) as served:
        ask(served, *requests)
        served.wait_for(b"r4", 2 if kind in WITHOUT_ACCESS else 3)
    seen = [
        (line["Type"], line["Fields"].get("rid"))
        for line in lines_of(served)
        if "error" in line["Fields"] or "path" in line["Fields"]
    ]
    summaries = [request_id for name, request_id in seen if name == "request.summary"]
    assert sorted(summaries) == ["r1", "r2", "r3", "r4"]
    if kind not in WITHOUT_ACCESS:
        access = [request_id for name, request_id in seen if name.endswith(".access")]
        assert sorted(map(str, access)) == ["r1", "r2", "r3", "r4"], json.dumps(seen)
    of_server = [
        request_id
        for name, request_id in seen
        if name != "request.summary" and not name.endswith(".access")
    ]
    assert sorted(map(str, of_server)) == ["r2", "r4"], json.dumps(seen)


SAMPLED = """
from mozlog_py import context
from mozlog_py.processors import Sample

sample = Sample(2)

def sampled(logger, method_name, event_dict):
    # What a server says of its start has no id, and would go by chance as well.
    if "rid" in event_dict or "rid" in context.get():
        return sample(logger, method_name, event_dict)
    return event_dict
"""


@pytest.mark.parametrize("kind", [kind for kind in COMMANDS if kind not in WITHOUT_ACCESS])
def test_chance_decides_about_all_lines_of_a_request_that_brings_its_id(
    tmp_path: Path, kind: str
) -> None:
    sampling = 'format="mozlog", processors=[sampled]'
    application = SAMPLED + APPLICATION.replace('format="mozlog"', sampling)
    # An error is kept, and the last line to wait for.
    requests = [*[("/fine", "r1")] * 30, ("/boom", "last")]
    with server(tmp_path, COMMANDS[kind], files={"application.py": application}) as served:
        ask(served, *requests)
        served.wait_for(b'"rid":"last"')
    lines = [line for line in lines_of(served) if line["Fields"].get("rid") == "r1"]
    summaries = [line for line in lines if line["Type"] == "request.summary"]
    assert 0 < len(summaries) < 30
    # One after the other, each with its access line.
    assert len(lines) == 2 * len(summaries)
    if "granian" in kind:
        # Its access lines come from another thread, and may stand behind the next summary.
        return
    types = [line["Type"] for line in lines]
    assert all(len({*types[at : at + 2]}) == 2 for at in range(0, len(types), 2))
