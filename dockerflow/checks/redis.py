"""Checks of Redis: the clients of redis-py, and all that have its ``ping``.

Register one with the client that it is to use::

    checks.register_partial(check_redis_connected, client, name="cache")

The messages hold no credentials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dockerflow import health

from .messages import CheckMessage, Error
from .redaction import redact

if TYPE_CHECKING:
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

__all__ = ["check_async_redis_connected", "check_redis_connected"]


def check_redis_connected(client: Redis) -> list[CheckMessage]:
    """Check that a ``redis.Redis`` client gets an answer to ``PING``."""
    import redis

    try:
        return _answered(client.ping())
    except redis.RedisError as error:
        return [_failed(error, client)]


async def check_async_redis_connected(client: AsyncRedis) -> list[CheckMessage]:
    """Check that a ``redis.asyncio.Redis`` client gets an answer to ``PING``."""
    import redis

    try:
        return _answered(await client.ping())
    except redis.RedisError as error:
        return [_failed(error, client)]


def _answered(pong: Any) -> list[CheckMessage]:
    return [] if pong else [Error("Redis ping failed", id=health.ERROR_REDIS_PING_FAILED)]


def _failed(error: Exception, client: Any) -> CheckMessage:
    import redis

    pool = getattr(client, "connection_pool", None)
    arguments = getattr(pool, "connection_kwargs", None)
    password = arguments.get("password") if isinstance(arguments, dict) else None
    text = redact(str(error), password)
    if isinstance(error, redis.AuthenticationError) or not isinstance(error, redis.ConnectionError):
        return Error(f'Redis error: "{text}"', id=health.ERROR_REDIS_EXCEPTION)
    return Error(f"Could not connect to redis: {text}", id=health.ERROR_CANNOT_CONNECT_REDIS)
