"""Checks of Redis: the clients of redis-py, and all that have its ``ping``.

Register one with the client that it is to use::

    checks.register_partial(check_redis_connected, client, name="cache")

A client of redis-py is asked on a connection of the check's own, at once and
only once: the client itself tries again for longer than a check may take, and
its ping would be given up before it could say that the server is away. The
messages hold neither credentials nor hosts.
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
    """Check that a ``redis.Redis`` client gets an answer to ``PING``."""
    with needs_package("redis"):
        import redis

    try:
        if not _can_be_copied(client, redis.Redis):
            return _answered(client.ping())
        impatient = _impatient(client, redis.retry.Retry)
        try:
            return _answered(impatient.ping())
        finally:
            connection, impatient.connection = impatient.connection, None
            connection.disconnect()
    except redis.RedisError as error:
        return [_failed(error, client)]


async def check_async_redis_connected(client: AsyncRedis) -> list[CheckMessage]:
    """Check that a ``redis.asyncio.Redis`` client gets an answer to ``PING``."""
    with needs_package("redis"):
        import redis.asyncio

    try:
        if not _can_be_copied(client, redis.asyncio.Redis):
            return _answered(await client.ping())
        impatient = _impatient(client, redis.asyncio.retry.Retry)
        try:
            return _answered(await impatient.ping())
        finally:
            connection, impatient.connection = impatient.connection, None
            await connection.disconnect()
    except redis.RedisError as error:
        return [_failed(error, client)]


def _can_be_copied(client: Any, kind: type) -> bool:
    # Clusters and wrappers know best how to reach what is behind them.
    return isinstance(client, kind) and getattr(client, "connection", None) is None


def _impatient(client: Any, retry: Any) -> Any:
    """Give the client with a connection of its own that is tried once."""
    from redis.backoff import NoBackoff

    # Not by the class: what a test puts in place of an object's ping() is to be asked.
    copied = copy.copy(client)
    # Or the copy would close the application's pool with itself.
    copied.auto_close_connection_pool = False
    pool = client.connection_pool
    copied.connection = pool.connection_class(**pool.connection_kwargs)
    copied.connection.retry = retry(NoBackoff(), 0)
    return copied


def _answered(pong: Any) -> list[CheckMessage]:
    # Clients of redis-py say whether there was one, others give what was answered.
    is_pong = pong in (b"PONG", "PONG") if isinstance(pong, (bytes, str)) else bool(pong)
    return [] if is_pong else [Error("Redis ping failed", id=health.ERROR_REDIS_PING_FAILED)]


def _failed(error: Exception, client: Any) -> CheckMessage:
    import redis

    text = redact(error, client)
    if isinstance(error, redis.AuthenticationError) or not isinstance(error, redis.ConnectionError):
        return Error(f'Redis error: "{text}"', id=health.ERROR_REDIS_EXCEPTION)
    return Error(f"Could not connect to redis: {text}", id=health.ERROR_CANNOT_CONNECT_REDIS)
