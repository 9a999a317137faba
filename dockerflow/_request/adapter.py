"""The kit for an adapter: what each framework's adapter does with its own objects."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

from dockerflow import checks
from dockerflow.endpoints import Reply
from dockerflow.summary import RequestSummary

__all__ = [
    "DeprecatedChecks",
    "fill_summary",
    "headers_of",
    "user_id",
]


def fill_summary(
    summary: RequestSummary,
    logger: logging.Logger,
    *,
    has_start: bool,
    read_user_id: Callable[[], Any] | None,
    make_fields: Callable[[], dict[str, Any]] | None,
) -> None:
    """Take in what a framework knows of a request, before its own context ends. Never raises.

    Args:
        summary: The request's summary.
        logger: Where to say that a hook of the application's has failed.
        has_start: Whether the attribute ``_start_timestamp`` is still there; other
            code may delete it, and the summary has no ``t`` then.
        read_user_id: Returns the user's id, for ``uid``.
        make_fields: The application's own hook, which returns all fields.
    """
    if not has_start:
        summary.started_ns = None
    try:
        if make_fields is not None:
            summary.overridden_fields = make_fields()
        elif read_user_id is not None:
            summary.uid = read_user_id()
    except Exception:
        logger.exception("The fields of a request's summary cannot be told")


def user_id(user: Any, read_id: Callable[[Any], Any]) -> str | int:
    """Return a user's id, and nothing where there is none or it cannot be told. Never raises.

    An int stays one; other types become text.

    Args:
        user: A user object, of which ``is_authenticated`` may be a value or a method.
        read_id: Returns the id of an authenticated one.
    """
    try:
        is_authenticated = user.is_authenticated
        if callable(is_authenticated):
            is_authenticated = is_authenticated()
        if not is_authenticated:
            return ""
        found = read_id(user)
        if found is None:
            return ""
        return found if type(found) is int or type(found) is str else str(found)
    except Exception:
        # A database that is away, an attribute that is not there: the request goes on.
        return ""


def headers_of(reply: Reply, method: str) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers to answer a request with, without a body for HEAD."""
    headers = dict(reply.headers)
    headers["Content-Length"] = str(len(reply.body))
    return b"" if method == "HEAD" else reply.body, headers


class DeprecatedChecks:
    """The names that an extension had before ``dockerflow.checks``; each warns."""

    @property
    def checks(self) -> dict[str, Callable[..., Any]]:
        """All registered checks; ``dockerflow.checks.get_checks()`` takes its place."""
        _deprecated("Dockerflow.checks", "dockerflow.checks.get_checks()")
        return checks.get_checks()

    def init_check(self, check: Callable[..., Any], obj: Any) -> Any:
        """Register a check of something; ``dockerflow.checks.register_partial`` takes its place."""
        _deprecated("Dockerflow.init_check()", "dockerflow.checks.register_partial()")
        return checks.register_partial(check, obj)

    def check(self, func: Any = None, name: str | None = None) -> Any:
        """Register a check; ``dockerflow.checks.register`` takes its place."""
        _deprecated("Dockerflow.check()", "dockerflow.checks.register()")
        return checks.register(func=func, name=name)


def _deprecated(what: str, instead: str) -> None:
    warnings.warn(f"{what} is deprecated, use {instead}", DeprecationWarning, stacklevel=3)
