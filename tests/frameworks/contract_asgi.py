"""The contract's application in plain ASGI."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from contract import JSON, bind

from dockerflow.settings import Settings, SettingsError
from dockerflow.summary import add_fields

logger = logging.getLogger("app")

Reply = Callable[..., Awaitable[None]]


def replying(send: Any) -> Reply:
    async def reply(status: int, body: bytes = b"", headers: Any = ()) -> None:
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": body})

    return reply


async def application(scope: Any, receive: Any, send: Any) -> None:
    reply = replying(send)
    path = scope["path"].removeprefix(scope["root_path"])
    if path == "/":
        logger.info("serving")
        await reply(200, b"hello")
    elif path.startswith("/status/"):
        await reply(int(path[8:]))
    elif path == "/boom":
        raise ValueError("boom")
    elif path == "/boom-json":
        raise ValueError(JSON)
    elif path in ("/stream", "/stream-boom"):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in b"a", b"b", b"c":
            logger.info("part")
            await send({"type": "http.response.body", "body": part, "more_body": True})
            if path == "/stream-boom":
                raise ValueError("boom")
        add_fields(parts=3)
        await send({"type": "http.response.body", "body": b""})
    elif path == "/facts":
        add_fields(user="ann", name="bob")
        await reply(200)
    elif path == "/facts-apart":
        await asyncio.create_task(asyncio.to_thread(add_fields, user="ann"))
        await reply(200)
    elif path == "/bind":
        bind()
        await reply(200)
    elif path == "/own-id":
        await reply(200, headers=[(b"X-Request-Id", b"mine")])
    elif path == "/vary":
        await reply(200, headers=[(b"vary", dict(scope["headers"])[b"x-vary"])])
    elif path == "/where":
        await reply(200, path.encode())
    else:
        await reply(404)


SCOPE = {
    "type": "http", "method": "GET", "path": "/", "root_path": "", "query_string": b"",
    "headers": [], "client": None,
}  # fmt: skip


def serve(app: Any, scope: dict[str, Any] | None = None, **channels: Any) -> list[Any]:
    """Call an application once; give what it sent."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def main() -> None:
        await app(
            {**SCOPE, **(scope or {})},
            channels.get("receive", receive),
            channels.get("send", send),
        )

    asyncio.run(main())
    return sent


def failure_of_start(app: Any) -> str:
    """Return what an application says of its settings when it does not start."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    # Starlette's TestClient waits for ever where nothing is raised.
    with pytest.raises(SettingsError) as raised:
        serve(app, {"type": "lifespan"}, send=send)
    (failed,) = sent
    assert failed == {"type": "lifespan.startup.failed", "message": str(raised.value)}
    return str(failed["message"])


def settings_of(values: dict[str, Any] | None) -> Settings:
    return Settings.read(values or {})
