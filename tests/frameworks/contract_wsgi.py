"""The contract's application in plain WSGI."""

import contextvars
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from contract import JSON, bind

from dockerflow.summary import add_fields

logger = logging.getLogger("app")


def application(environ: Any, start_response: Any) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    ok: Callable[..., Any] = lambda headers=(): start_response("200 OK", list(headers))  # noqa: E731
    if path == "/":
        logger.info("serving")
        ok()
        return [b"hello"]
    if path.startswith("/status/"):
        start_response(f"{path[8:]} Whatever", [])
        return []
    if path == "/boom":
        raise ValueError("boom")
    if path == "/boom-json":
        raise ValueError(JSON)
    if path in ("/stream", "/stream-boom"):
        return stream(ok, fails=path == "/stream-boom")
    if path == "/facts":
        add_fields(user="ann", name="bob")
    elif path == "/facts-apart":
        here = contextvars.copy_context()
        thread = threading.Thread(target=lambda: here.run(add_fields, user="ann"))
        thread.start()
        thread.join()
    elif path == "/bind":
        bind()
    elif path == "/own-id":
        ok([("X-Request-Id", "mine")])
        return []
    elif path == "/vary":
        ok([("Vary", environ.get("HTTP_X_VARY", ""))])
        return []
    elif path == "/where":
        ok()
        return [path.encode()]
    else:
        start_response("404 Not Found", [])
        return []
    ok()
    return []


def stream(ok: Any, *, fails: bool) -> Iterator[bytes]:
    # A generator: the response starts only when its first part is asked for.
    ok()
    for part in b"a", b"b", b"c":
        logger.info("part")
        yield part
        if fails:
            raise ValueError("boom")
    add_fields(parts=3)
