"""Real servers and sockets: many clients at once, clients that go, requests that are none."""

import json
import re
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from real_servers import (
    AIOHTTP,
    GUNICORN,
    SERVERS,
    UVICORN,
    ask,
    served,
    served_from,
)


def summaries(lines: list[dict[str, Any]], path: str) -> list[dict[str, Any]]:
    return [
        line["Fields"]
        for line in lines
        if line["Type"] == "request.summary" and line["Fields"]["path"] == path
    ]


@pytest.mark.parametrize("server", SERVERS)
def test_fifty_clients_at_once_see_nothing_of_each_other(tmp_path: Path, server: str) -> None:
    paths = ("/", "/stream", "/facts-apart", "/bind", "/boom")
    answers: dict[str, bytes | None] = {}

    def client(number: int) -> None:
        for step, path in enumerate(paths):
            name = f"c{number}-{step}"
            head = (
                f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Request-Id: {name}\r\nUser-Agent: {name}\r\n"
            )
            answers[name] = ask(port, head.encode())

    with served(tmp_path, server) as (port, lines):
        threads = [threading.Thread(target=client, args=(number,)) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(answers) == 250
    for name, answer in answers.items():
        assert answer is not None, name
        if not name.endswith("-4"):
            assert re.search(rb"\r\nx-request-id: %b\r\n" % name.encode(), answer, re.IGNORECASE)
    found = {}
    for line in lines:
        fields = line["Fields"]
        if line["Type"] == "request.summary" and fields["agent"]:
            assert fields["rid"] == fields["agent"]
            assert fields["rid"] not in found
            found[fields["rid"]] = fields
        elif line["Type"] == "app":
            assert ("colour" in fields) == fields["rid"].endswith("-3"), line
    assert set(found) == set(answers)
    for name, fields in found.items():
        step = int(name.split("-")[1])
        assert fields["path"] == paths[step]
        assert fields["code"] == (500 if step == 4 else fields["code"] if step else 200)
        assert fields["errno"] == (500 if step == 4 else 0)
        assert ("user" in fields, "parts" in fields) == (step == 2, step == 1)
        assert ("colour" in fields) == (step == 3)
    parts = [line["Fields"] for line in lines if line["Fields"].get("msg") == "part"]
    assert len(parts) == 150


@pytest.mark.parametrize("server", SERVERS)
def test_a_client_that_goes_is_no_error(tmp_path: Path, server: str) -> None:
    with served(tmp_path, server) as (port, lines):
        for _ in range(5):
            ask(port, b"GET /stream HTTP/1.1\r\nHost: x\r\n", reads=False)
        # One after the other: the server has seen them when it answers this.
        assert b" 200 " in (ask(port, b"GET /where HTTP/1.1\r\nHost: x\r\n") or b"")
        time.sleep(0.2)
    found = summaries(lines, "/stream")
    # A server may notice before it asks the application at all.
    assert len(found) <= 5
    assert {fields["errno"] for fields in found} <= {0}
    assert len(summaries(lines, "/where")) == 1


@pytest.mark.parametrize("server", SERVERS)
def test_what_is_no_request_does_no_harm(tmp_path: Path, server: str) -> None:
    heads = [
        b"NONSENSE\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n",
        b"GET /\x00\xff HTTP/1.1\r\nHost: x\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\x00b\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: " + b"x" * 200_000 + b"\r\n",
        b"GET /%0a%0d%00?%ff HTTP/1.1\r\nHost: x\r\nX-Request-Id: \xff\xfe\r\n",
        b"",
    ]
    with served(tmp_path, server) as (port, lines):
        for head in heads:
            ask(port, head)
        assert b" 200 " in (ask(port, b"GET /where HTTP/1.1\r\nHost: x\r\n") or b"")
    assert len(summaries(lines, "/where")) == 1
    said = json.dumps([line for line in lines if line["Type"] == "request.summary"])
    assert len(said) < 50_000
    for line in lines:
        if line["Type"] == "request.summary":
            assert line["Fields"]["errno"] == 0
            assert re.fullmatch(r"[A-Za-z0-9._:/+=@-]{1,128}", line["Fields"]["rid"])


#: What a server refuses when the application has begun to answer, or reads the body.
REFUSED = [
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
    b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
    b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nabc",
    b"CONNECT / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]

READING = """
import mozlog_py
mozlog_py.configure("service", format="mozlog")
{setup}
"""
READING_ASGI = """
from dockerflow.asgi import DockerflowASGI

async def application(scope, receive, send):
    while scope["path"] == "/read":
        message = await receive()
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})

app = DockerflowASGI(application)
"""
READING_WSGI = """
from dockerflow.wsgi import DockerflowWSGI

def application(environ, start_response):
    if environ["PATH_INFO"] == "/read":
        environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]

app = DockerflowWSGI(application)
"""
READING_FLASK = """
import flask
from dockerflow.flask import Dockerflow

app = flask.Flask("shop")
Dockerflow(app)

@app.route("/read", methods=["POST"])
def read():
    return str(len(flask.request.get_data()))
"""
READING_AIOHTTP = """
import dockerflow.aiohttp
from aiohttp import web

async def read(request):
    return web.Response(text=str(len(await request.read())))

def make(arguments):
    app = web.Application()
    dockerflow.aiohttp.setup(app)
    app.router.add_post("/read", read)
    return app
"""
_HYPERCORN = ["hypercorn", "served:app", "-b", "127.0.0.1:PORT"]


@pytest.mark.parametrize(
    ("setup", "command"),
    [
        (READING_ASGI, [*UVICORN, "--http", "h11"]),
        (READING_ASGI, [*UVICORN, "--http", "httptools"]),
        (READING_ASGI, _HYPERCORN),
        (READING_WSGI, [*GUNICORN, "--threads", "8"]),
        (READING_WSGI, ["waitress", "--listen=127.0.0.1:PORT", "served:app"]),
        (READING_FLASK, [*GUNICORN, "--threads", "8"]),
        (READING_FLASK, ["flask", "--app", "served", "run", "--port", "PORT"]),
        (READING_AIOHTTP, AIOHTTP),
    ],
    ids=[
        "h11",
        "httptools",
        "hypercorn",
        "gunicorn",
        "waitress",
        "flask-gunicorn",
        "flask-run",
        "aiohttp",
    ],
)
def test_a_request_that_the_server_refuses_is_no_error_of_the_application(
    tmp_path: Path, setup: str, command: list[str]
) -> None:
    with served_from(tmp_path, READING.format(setup=setup), command) as (port, lines):
        for request in REFUSED:
            send_raw(port, request)
        assert b"200" in (ask(port, b"GET /__lbheartbeat__ HTTP/1.1\r\nHost: x\r\n") or b"")
        time.sleep(0.2)
    found = [line for line in lines if line["Type"] == "request.summary"]
    for line in found:
        assert (line["Severity"], line["Fields"]["errno"]) == (6, 0), line
        assert "traceback" not in line["Fields"]


def send_raw(port: int, request: bytes) -> None:
    """Send bytes and say that no more come; what is answered does not count."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
    except OSError:
        pass


@pytest.mark.parametrize("server", SERVERS)
def test_an_id_that_a_client_has_brought_makes_its_response_vary(
    tmp_path: Path, server: str
) -> None:
    def headers(*further: bytes) -> dict[bytes, list[bytes]]:
        head = b"".join([b"GET /vary HTTP/1.1\r\nHost: x\r\nx-vary: Cookie\r\n", *further])
        found: dict[bytes, list[bytes]] = {}
        for line in (ask(port, head) or b"").partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            found.setdefault(name.lower(), []).append(value.strip())
        return found

    with served(tmp_path, server) as (port, _):
        brought = headers(b"X-Request-Id: a\r\n")
        made = headers(b"X-Request-Id: a b\r\n")
        huge = headers(b"X-Request-Id: " + b"a," * 4000 + b"\r\n")
    assert brought[b"x-request-id"] == [b"a"]
    assert [name.lower() for name in brought[b"vary"][0].split(b", ")] == [
        b"cookie",
        b"x-request-id",
    ]
    assert len(brought[b"vary"]) == 1
    assert made[b"vary"] == [b"Cookie"]
    # Some servers refuse it themselves.
    assert huge.get(b"vary", [b"Cookie"]) == [b"Cookie"]
