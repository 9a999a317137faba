"""Clients of WebSockets."""

import contextlib
from collections.abc import Iterator

from stack import Stack
from websockets.sync.client import ClientConnection, connect


@contextlib.contextmanager
def peer(stack: Stack, path: str, rid: str | None = "abc") -> Iterator[ClientConnection]:
    headers = {} if rid is None else {"X-Request-Id": rid}
    url = f"ws://127.0.0.1:{stack.port}{path}"
    with connect(url, additional_headers=headers, open_timeout=10, close_timeout=5) as it:
        yield it
