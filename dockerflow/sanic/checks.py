"""Checks of what Sanic applications are made of."""

from __future__ import annotations

from typing import Any

from dockerflow.checks.messages import (
    CRITICAL,
    DEBUG,
    ERROR,
    INFO,
    STATUSES,
    WARNING,
    CheckMessage,
    Critical,
    Debug,
    Error,
    Info,
    Warning,  # noqa: A004 - upstream's name
    level_to_text,
)
from dockerflow.checks.redis import check_async_redis_connected

__all__ = [
    "CRITICAL",
    "DEBUG",
    "ERROR",
    "INFO",
    "STATUSES",
    "WARNING",
    "CheckMessage",
    "Critical",
    "Debug",
    "Error",
    "Info",
    "Warning",
    "check_redis_connected",
    "level_to_text",
]


async def check_redis_connected(redis_client: Any) -> list[CheckMessage]:
    """Check that an asynchronous Redis client, or the ``conn`` of a sanic-redis, answers."""
    return await check_async_redis_connected(getattr(redis_client, "conn", redis_client))
