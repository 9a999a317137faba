"""Requests given to an application as a server gives them, one answer each, no sockets."""

import asyncio
import io
import urllib.parse
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from mozlog_py import context

Headers = Iterable[tuple[str, str]]


@dataclass
class Answer:
    """What a client got, and what the serving thread or task was left with."""

    status: int | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    error: BaseException | None = None
    left: dict[str, Any] = field(default_factory=dict)

    def header(self, name: str) -> str | None:
        found = [value for held, value in self.headers if held.lower() == name.lower()]
        assert len(found) < 2, f"{name} was sent {len(found)} times"
        return found[0] if found else None


class Driver:
    """One application, and how to send it a request."""

    def request(
        self,
        method: str,
        path: str,
        *,
        query: str | bytes = b"",
        headers: Headers = (),
        root: str = "",
        client: str = "203.0.113.7",
    ) -> Answer:
        raise NotImplementedError

    def get(self, path: str, **options: Any) -> Answer:
        return self.request("GET", path, **options)


class ASGIDriver(Driver):
    """Calls an ASGI application; all of its requests run on one event loop."""

    def __init__(
        self,
        app: Callable[..., Awaitable[None]],
        *,
        run: Callable[[Any], Any] = asyncio.run,
    ) -> None:
        self.app = app
        self.run = run

    def request(self, method: str, path: str, **options: Any) -> Answer:
        return self.run(self.request_async(method, path, **options))

    async def request_async(
        self,
        method: str,
        path: str,
        *,
        query: str | bytes = b"",
        headers: Headers = (),
        root: str = "",
        client: str = "203.0.113.7",
    ) -> Answer:
        answer = Answer()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": root + urllib.parse.unquote(path, errors="replace"),
            "raw_path": (root + path).encode("utf-8", "surrogateescape"),
            "query_string": query.encode() if isinstance(query, str) else query,
            "root_path": root,
            "headers": [
                (name.encode("latin-1"), value.encode("latin-1"))
                for name, value in [("Host", "testserver"), *headers]
            ],
            "client": (client, 4711),
            "server": ("testserver", 80),
            "state": {},
        }
        parts: list[bytes] = []
        is_read = False

        async def receive() -> dict[str, Any]:
            nonlocal is_read
            if is_read:
                # As a server does while the client is there and says no more.
                await asyncio.Event().wait()
            is_read = True
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                assert answer.status is None, "the response was started twice"
                answer.status = message["status"]
                answer.headers = [
                    (name.decode("latin-1"), value.decode("latin-1"))
                    for name, value in message["headers"]
                ]
            else:
                parts.append(message.get("body", b""))

        before = context.get()
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            answer.error = error
        answer.body = b"".join(parts)
        answer.left = changed(before)
        if answer.status is None:
            answer.status = 500
        return answer


class WSGIDriver(Driver):
    """Calls a WSGI application, and closes its body as a server does."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self.app = app

    def request(
        self,
        method: str,
        path: str,
        *,
        query: str | bytes = b"",
        headers: Headers = (),
        root: str = "",
        client: str = "203.0.113.7",
    ) -> Answer:
        answer = Answer()
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": root,
            "PATH_INFO": urllib.parse.unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query if isinstance(query, str) else query.decode("latin-1"),
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "testserver",
            "REMOTE_ADDR": client,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in headers:
            key = f"HTTP_{name.upper().replace('-', '_')}"
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        parts: list[bytes] = []

        def start_response(status: str, given: Any, exc_info: Any = None) -> Any:
            assert exc_info is not None or answer.status is None, "the response was started twice"
            answer.status = int(status.split()[0])
            answer.headers = list(given)
            return parts.append

        before = context.get()
        body = None
        try:
            body = self.app(environ, start_response)
            parts.extend(body)
        except Exception as error:
            answer.error = error
        finally:
            if hasattr(body, "close"):
                body.close()
        answer.body = b"".join(parts)
        answer.left = changed(before)
        if answer.status is None:
            answer.status = 500
        return answer


def changed(before: dict[str, Any]) -> dict[str, Any]:
    """Return the bindings of the context that are new since ``before``."""
    return {key: value for key, value in context.get().items() if before.get(key) != value}
