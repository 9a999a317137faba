"""Checks of Redis, for the clients of redis-py and all that have its ``ping``.

Register a check with its client::

    checks.register_partial(check_redis_connected, client, name="cache")

The check uses a new connection without retries. The client itself retries for longer than
the deadline of a check, so that its ping would time out before it reports that the server
is down. The messages contain neither credentials nor hosts.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from dockerflow import health
from dockerflow._request.missing_extra import needs_package
from dockerflow.checks._run.mask_credentials import redact

from .messages import CheckMessage, Error

if TYPE_CHECKING:
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

__all__ = ["check_async_redis_connected", "check_redis_connected"]


def check_redis_connected(client: Redis) -> list[CheckMessage]:
    """Check that the server of a ``redis.Redis`` client answers ``PING``."""
    with needs_package("redis"):
        import redis

    try:
        if not _can_be_copied(client, redis.Redis):
            return _answered(client.ping())
        probe = _without_retries(client, redis.retry.Retry)
        try:
            return _answered(probe.ping())
        finally:
            connection, probe.connection = probe.connection, None
            connection.disconnect()
    except redis.RedisError as error:
        return [_failed(error, client)]


async def check_async_redis_connected(client: AsyncRedis) -> list[CheckMessage]:
    """Check that the server of a ``redis.asyncio.Redis`` client answers ``PING``."""
    with needs_package("redis"):
        import redis.asyncio

    try:
        if not _can_be_copied(client, redis.asyncio.Redis):
            return _answered(await client.ping())
        probe = _without_retries(client, redis.asyncio.retry.Retry)
        try:
            return _answered(await probe.ping())
        finally:
            connection, probe.connection = probe.connection, None
            await connection.disconnect()
    except redis.RedisError as error:
        return [_failed(error, client)]


def _can_be_copied(client: Any, kind: type) -> bool:
    # Clusters and wrappers choose a server in their own way.
    return isinstance(client, kind) and getattr(client, "connection", None) is None


def _without_retries(client: Any, retry: Any) -> Any:
    """Return a copy of a client, with a connection of its own and without retries."""
    from redis.backoff import NoBackoff

    # A copy of the object, because a test may have replaced its ping().
    copied = copy.copy(client)
    # Else the copy would close the application's pool when it is closed.
    copied.auto_close_connection_pool = False
    pool = client.connection_pool
    copied.connection = pool.connection_class(**pool.connection_kwargs)
    copied.connection.retry = retry(NoBackoff(), 0)
    return copied


def _answered(pong: Any) -> list[CheckMessage]:
    # Clients of redis-py return a bool, others the answer itself.
    is_pong = pong in (b"PONG", "PONG") if isinstance(pong, (bytes, str)) else bool(pong)
    return [] if is_pong else [Error("Redis ping failed", id=health.ERROR_REDIS_PING_FAILED)]


def _failed(error: Exception, client: Any) -> CheckMessage:
    import redis

    text = redact(error, client)
    if isinstance(error, redis.AuthenticationError) or not isinstance(error, redis.ConnectionError):
        return Error(f'Redis error: "{text}"', id=health.ERROR_REDIS_EXCEPTION)
    return Error(f"Could not connect to redis: {text}", id=health.ERROR_CANNOT_CONNECT_REDIS)
