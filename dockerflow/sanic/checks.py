"""A check of the Redis client of a Sanic application."""

from __future__ import annotations

from typing import Any

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
    return await check_async_redis_connected(getattr(redis_client, "conn", redis_client))
