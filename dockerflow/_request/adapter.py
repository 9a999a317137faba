"""The kit for an adapter: what each framework's adapter does with its own objects."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, TypeVar

from dockerflow import checks
from dockerflow.checks._run.heartbeats import HeartbeatResults
from dockerflow.endpoints import Reply
from dockerflow.summary import RequestSummary

from .summary_record import HOOK_RAISED

__all__ = [
    "HTML",
    "fill_summary",
    "headers_of",
    "heartbeat_signal",
    "own_hook",
    "upstream_reply",
    "user_id",
]

_S = TypeVar("_S")

#: The default content type of Flask and Django.
HTML: Final = "text/html; charset=utf-8"


def fill_summary(
    summary: RequestSummary,
    logger: logging.Logger,
    *arguments: Any,
    has_start: bool,
    read_user_id: Callable[..., Any] | None,
    make_fields: Callable[..., dict[str, Any]] | None,
) -> None:
    """Fill the summary with what a framework knows, before its own context ends. Never raises.

    Args:
        summary: The request's summary.
        logger: Logs that a hook of the application has failed.
        *arguments: What both functions are called with.
        has_start: Whether the framework's object for the request (``flask.g``, Django's request)
            still has ``_start_timestamp``. Other code may delete it; the summary has no ``t`` then.
        read_user_id: Returns the user's id, for ``uid``; None for an empty text.
        make_fields: The application's own hook, which returns all fields.
    """
    if not has_start:
        summary.started_ns = None
    try:
        if make_fields is not None:
            summary.overridden_fields = make_fields(*arguments)
        elif read_user_id is not None:
            user_id = read_user_id(*arguments)
            summary.uid = "" if user_id is None else user_id
    except Exception:
        logger.exception(HOOK_RAISED)


def user_id(user: Any, read_id: Callable[[Any], Any]) -> str | int:
    """Return a user's id, an empty text if it has none or cannot be read. Never raises.

    An int stays an int; other types become text.

    Args:
        user: A user object, whose ``is_authenticated`` may be a value or a method.
        read_id: Returns the id of an authenticated user.
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
        # A database is down, an attribute is missing: the request goes on.
        return ""


def own_hook(owner: Any, base: type, name: str) -> Callable[..., dict[str, Any]] | None:
    """Return a hook that a subclass overrides, as a bound method; None if it does not.

    Args:
        owner: The object that has the hook.
        base: The class that defines the hook.
        name: The hook's name.
    """
    is_own = getattr(type(owner), name) is not getattr(base, name)
    return getattr(owner, name) if is_own else None


def headers_of(reply: Reply, method: str) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of a response; the body is empty for HEAD."""
    headers = dict(reply.headers)
    headers["Content-Length"] = str(len(reply.body))
    return b"" if method == "HEAD" else reply.body, headers


def upstream_reply(name: str, reply: Reply, content_type: str) -> Reply:
    """Return an endpoint's reply with the body and the content type that upstream sends.

    Args:
        name: The endpoint. Upstream's ``lbheartbeat`` has no body, and its answer that there
            is no version is a page of the framework's default type.
        reply: The reply.
        content_type: The framework's default content type.
    """
    if name == "lbheartbeat" and reply.status == 200:
        reply = reply._replace(body=b"")
    elif name != "version" or reply.status != 404:
        return reply
    headers = {**dict(reply.headers), "Content-Type": content_type}
    return reply._replace(headers=tuple(headers.items()))


def heartbeat_signal(results: HeartbeatResults, *, passed: _S, failed: _S) -> _S | None:
    """Return the signal to send for a heartbeat.

    Args:
        results: The results of its checks.
        passed: The signal for results without an error.
        failed: The signal for results with one.

    Returns:
        One of the two; None if no check has ended yet, so that the result is not known.
    """
    if not results.is_known:
        return None
    return failed if results.level >= checks.ERROR else passed
