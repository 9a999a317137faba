"""Checks of databases, migrations and Redis, for Django's own registry of checks."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.db.utils import InterfaceError, OperationalError, ProgrammingError
from django.utils.module_loading import import_string

from dockerflow import health
from dockerflow._request.missing_extra import needs_package
from dockerflow.checks._run.mask_credentials import mask_raised, redact
from dockerflow.checks.redis import check_redis_connected as check_client_connected
from dockerflow.settings import Settings, SettingsError
from mozlog_py._process.fork_safe_import import fork_safe_import

__all__ = [
    "check_database_connected",
    "check_migrations_applied",
    "check_redis_connected",
    "register",
]

_SETTING: Final = "DOCKERFLOW_CHECKS"
_DEFAULT: Final = (
    "dockerflow.django.checks.check_database_connected",
    "dockerflow.django.checks.check_migrations_applied",
)


def check_database_connected(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:  # noqa: ARG001
    """Check that the default database can be reached and used."""
    try:
        is_usable = _is_usable()
    except OperationalError as error:
        message = f"Could not connect to database: {redact(error, connection.settings_dict)}"
        return [checks.Error(message, id=health.ERROR_CANNOT_CONNECT_DATABASE)]
    except ImproperlyConfigured as error:
        message = f'Database misconfigured: "{redact(error, connection.settings_dict)}"'
        return [checks.Error(message, id=health.ERROR_MISCONFIGURED_DATABASE)]
    except Exception as error:
        # The runner of the checks logs the exception.
        mask_raised(error, functools.partial(check_database_connected, connection.settings_dict))
        raise
    if not is_usable:
        message = "Database connection is not usable"
        return [checks.Error(message, id=health.ERROR_UNUSABLE_DATABASE)]
    return []


def _is_usable() -> bool:
    """Return whether the connection works, if need be after it was reopened."""
    connection.ensure_connection()
    if connection.is_usable():
        return True
    if connection.in_atomic_block:
        return False
    # The server may have closed a connection that was kept (CONN_MAX_AGE).
    connection.close()
    connection.ensure_connection()
    return bool(connection.is_usable())


def check_migrations_applied(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:  # noqa: ARG001
    """Check that all migrations are applied; each that is not gives a warning."""
    try:
        loader = _load_migrations()
    except (ImproperlyConfigured, OperationalError, ProgrammingError):
        message = "Can't connect to database to check migrations"
        return [checks.Info(message, id=health.INFO_CANT_CHECK_MIGRATIONS)]
    labels = {config.label for config in app_configs} if app_configs else loader.migrated_apps
    applied = loader.applied_migrations or {}
    return [
        checks.Warning(f"Unapplied migration {migration}", id=health.WARNING_UNAPPLIED_MIGRATION)
        for key, migration in sorted(loader.graph.nodes.items(), key=lambda node: node[0])
        # A node without a migration stands for an application that is not installed.
        if migration is not None and migration.app_label in labels and key not in applied
    ]


def _load_migrations() -> Any:
    with fork_safe_import():
        from django.db.migrations.loader import MigrationLoader

    # The server may have closed a connection that was kept (CONN_MAX_AGE). Not asked before, since
    # upstream's tests replace the loader alone.
    is_kept = connection.connection is not None and not connection.in_atomic_block
    try:
        return MigrationLoader(connection, ignore_no_migrations=True)
    except (InterfaceError, OperationalError):
        if not is_kept:
            raise
        connection.close()
        return MigrationLoader(connection, ignore_no_migrations=True)


def check_redis_connected(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:  # noqa: ARG001
    """Check that the Redis of django-redis answers."""
    with needs_package("django-redis", "django_redis", "redis"):
        import redis
        from django_redis import get_redis_connection

    try:
        client = get_redis_connection("default")
    except redis.ConnectionError as error:
        message = f"Could not connect to redis: {redact(error, settings.CACHES)}"
        return [checks.Error(message, id=health.ERROR_CANNOT_CONNECT_REDIS)]
    except NotImplementedError as error:
        message = f"Redis client not available: {redact(error, settings.CACHES)}"
        return [checks.Error(message, id=health.ERROR_MISSING_REDIS_CLIENT)]
    except ImproperlyConfigured as error:
        message = f'Redis misconfigured: "{redact(error, settings.CACHES)}"'
        return [checks.Error(message, id=health.ERROR_MISCONFIGURED_REDIS)]
    return [checks.Error(each.msg, id=each.id) for each in check_client_connected(client)]


def register() -> None:
    """Register the checks that ``DOCKERFLOW_CHECKS`` names.

    Raises:
        ImportError: If a name cannot be imported.
        SettingsError: If the setting is no list.
    """
    for name in _named_checks():
        check = import_string(name) if isinstance(name, str) else name
        if check is check_redis_connected:
            # Otherwise the first heartbeat imports its clients, in several checks at once. Two
            # threads that import the parts of a client in different orders deadlock. The check
            # reports what is missing.
            with suppress(Exception):
                import_module("redis")
                import_module("django_redis.client")
        checks.register(check)


def _named_checks() -> Iterable[Any]:
    # This setting alone: an invalid value of another one must not end each command of Django.
    given = Settings.read({_SETTING: getattr(settings, _SETTING, None)}).checks
    if given is None:
        return _DEFAULT
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        # A text would be imported character by character.
        names = given.replace(",", " ").split() if isinstance(given, str) else [*_DEFAULT]
        raise SettingsError(f"{_SETTING} is {given!r}; it must be a list of dotted names: {names}")
    return given
