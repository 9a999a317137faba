"""Checks of databases: SQLAlchemy engines, and the pools of psycopg and asyncpg.

Register a check with its engine or pool::

    checks.register_partial(check_engine_connected, engine, name="database")

Each check runs ``SELECT 1`` on a connection of the application's own pool. A connection
that the server has closed is replaced first: the check reports whether the database is up
now, and not whether it has been down. The messages contain neither credentials nor hosts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dockerflow import health
from dockerflow._request.missing_extra import needs_package
from dockerflow.checks._run.mask_credentials import redact

from .messages import CheckMessage, Error

if TYPE_CHECKING:
    from asyncpg import Pool
    from psycopg_pool import AsyncConnectionPool, ConnectionPool
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = [
    "check_async_engine_connected",
    "check_async_psycopg_pool_connected",
    "check_asyncpg_pool_connected",
    "check_engine_connected",
    "check_psycopg_pool_connected",
]

#: Seconds to wait for a connection of a pool. This is less than the default deadline of a check,
#: so that the result is the pool's error and not a timeout.
CONNECTS_WITHIN_S: Final = 3.0

_QUERY: Final = "SELECT 1"


def check_engine_connected(engine: Engine) -> list[CheckMessage]:
    """Check that a SQLAlchemy engine reaches its database."""
    with needs_package("sqlalchemy"):
        import sqlalchemy as sa

    try:
        for is_last in (False, True):
            try:
                with engine.connect() as connection:
                    connection.execute(sa.select(sa.literal(1)))
                break
            except sa.exc.DBAPIError as error:
                # The connection was dead, and SQLAlchemy has renewed the pool.
                if is_last or not error.connection_invalidated:
                    raise
    except Exception as error:
        return [_engine_error(error, engine)]
    return []


async def check_async_engine_connected(engine: AsyncEngine) -> list[CheckMessage]:
    """Check that an asyncio engine of SQLAlchemy reaches its database."""
    with needs_package("sqlalchemy"):
        import sqlalchemy as sa

    try:
        for is_last in (False, True):
            try:
                async with engine.connect() as connection:
                    await connection.execute(sa.select(sa.literal(1)))
                break
            except sa.exc.DBAPIError as error:
                if is_last or not error.connection_invalidated:
                    raise
    except Exception as error:
        return [_engine_error(error, engine)]
    return []


def check_psycopg_pool_connected(pool: ConnectionPool) -> list[CheckMessage]:
    """Check that a ``psycopg_pool.ConnectionPool`` reaches its database."""
    with needs_package("psycopg"):
        import psycopg

    try:
        for is_last in (False, True):
            try:
                with pool.connection(timeout=CONNECTS_WITHIN_S) as connection:
                    connection.execute(_QUERY)
                break
            except psycopg.OperationalError:
                if is_last or pool.closed:
                    raise
                pool.check()
    except psycopg.OperationalError as error:
        return [_unreachable(error, pool)]
    except psycopg.Error as error:
        return [_refused(error, pool)]
    return []


async def check_async_psycopg_pool_connected(pool: AsyncConnectionPool) -> list[CheckMessage]:
    """Check that a ``psycopg_pool.AsyncConnectionPool`` reaches its database."""
    with needs_package("psycopg"):
        import psycopg

    try:
        for is_last in (False, True):
            try:
                async with pool.connection(timeout=CONNECTS_WITHIN_S) as connection:
                    await connection.execute(_QUERY)
                break
            except psycopg.OperationalError:
                if is_last or pool.closed:
                    raise
                await pool.check()
    except psycopg.OperationalError as error:
        return [_unreachable(error, pool)]
    except psycopg.Error as error:
        return [_refused(error, pool)]
    return []


async def check_asyncpg_pool_connected(pool: Pool) -> list[CheckMessage]:
    """Check that an ``asyncpg`` pool reaches its database."""
    import asyncio

    with needs_package("asyncpg"):
        import asyncpg

    try:
        async with pool.acquire(timeout=CONNECTS_WITHIN_S) as connection:
            await connection.fetchval(_QUERY)
    except (
        OSError,
        asyncio.TimeoutError,
        asyncpg.PostgresConnectionError,
        # On uvloop, for a connection that the server has closed.
        asyncpg.InternalClientError,
    ) as error:
        return [_unreachable(error, pool)]
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return [_refused(error, pool)]
    return []


def _engine_error(error: Exception, engine: Any) -> CheckMessage:
    import sqlalchemy as sa

    if isinstance(error, sa.exc.DBAPIError):
        # The driver's error: SQLAlchemy adds the statement and a link to its own.
        return _refused(error.orig or error, engine)
    if isinstance(error, sa.exc.SQLAlchemyError):
        text = redact(_text(error), engine)
        return Error(f"Database misconfigured: {text}", id=health.ERROR_SQLALCHEMY_EXCEPTION)
    if isinstance(error, OSError):
        return _unreachable(error, engine)
    raise error


def _unreachable(error: BaseException, given: Any) -> CheckMessage:
    text = redact(_text(error), given)
    return Error(f"Could not connect to database: {text}", id=health.ERROR_CANNOT_CONNECT_DATABASE)


def _refused(error: BaseException, given: Any) -> CheckMessage:
    text = redact(_text(error), given)
    return Error(f"DB-API error: {text}", id=health.ERROR_DB_API_EXCEPTION)


def _text(error: BaseException) -> str:
    # Timeouts have an empty text.
    return str(error) or type(error).__name__
