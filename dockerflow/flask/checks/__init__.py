"""Checks of what Flask applications are made of: Flask-SQLAlchemy, Flask-Migrate, Redis."""

from __future__ import annotations

from typing import Any

from dockerflow import health
from dockerflow.checks.databases import check_engine_connected
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
from dockerflow.checks.redis import check_redis_connected
from mozlog_py._process.fork_safe_import import fork_safe_import

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
    "check_database_connected",
    "check_migrations_applied",
    "check_redis_connected",
    "level_to_text",
]


def check_database_connected(db: Any) -> list[CheckMessage]:
    """Check that a Flask-SQLAlchemy database is reached."""
    return check_engine_connected(db.engine)


def check_migrations_applied(migrate: Any) -> list[CheckMessage]:
    """Check that the database has all migrations of a Flask-Migrate object.

    That they are not all applied is a warning, that it cannot be told an info.
    """
    try:
        with fork_safe_import():
            from alembic.migration import MigrationContext
            from alembic.script import ScriptDirectory
            from alembic.util import CommandError
            from sqlalchemy.exc import SQLAlchemyError
    except ImportError:
        return [_cannot_tell("Flask-Migrate is not installed")]
    try:
        script = ScriptDirectory.from_config(migrate.get_config())
        with migrate.db.engine.connect() as connection:
            applied = set(MigrationContext.configure(connection).get_current_heads())
        wanted = set(script.get_heads())
    except (CommandError, SQLAlchemyError) as error:
        return [_cannot_tell(type(error).__name__)]
    if applied != wanted:
        found = ", ".join(sorted(wanted - applied))
        message = f"Unapplied migrations: {found}"
        if not found:
            unknown = ", ".join(sorted(applied - wanted))
            message = f"Migrations that are applied, but not there: {unknown}"
        return [Warning(message, id=health.WARNING_UNAPPLIED_MIGRATION)]
    return []


def _cannot_tell(why: str) -> CheckMessage:
    return Info(f"Can't check migrations: {why}", id=health.INFO_CANT_CHECK_MIGRATIONS)
