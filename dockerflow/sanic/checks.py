"""A check of the Redis client of a Sanic application."""

from __future__ import annotations

from typing import Any, Final

from dockerflow._request.missing_extra import needs_package
from dockerflow.checks import messages
from dockerflow.checks.messages import *  # noqa: F403 - upstream has all of it here as well
from dockerflow.checks.redis import check_async_redis_connected

__all__ = ["check_redis_connected"]
__all__ += messages.__all__


async def check_redis_connected(redis_client: Any) -> list[messages.CheckMessage]:
    """Check that an asynchronous Redis client, or the ``conn`` of a sanic-redis, answers PONG.

    Args:
        redis_client: The client. One of redis-py returns whether the answer is PONG; another
            may return the text of the answer.
    """
    with needs_package("redis"):
        import redis.asyncio

    client = getattr(redis_client, "conn", redis_client)
    if not isinstance(client, redis.asyncio.Redis):
        client = _ComparedPing(client)
    return await check_async_redis_connected(client)


class _ComparedPing:
    """A client whose ``ping`` returns whether the answer is PONG."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def ping(self) -> bool:
        return await self._client.ping() in _PONGS


_PONGS: Final = (True, b"PONG", "PONG")
