"""Who makes a request, by flask-login, and only if that is known already."""

from __future__ import annotations

from typing import Any

from flask import g

__all__ = ["loaded_user", "user_id_of"]


def loaded_user() -> Any:
    """Give the user that flask-login has loaded in this request, None where it has not."""
    return g.get("_login_user")


def user_id_of(user: Any) -> str:
    """Give a user's id as text, and nothing where there is none or it cannot be told."""
    try:
        is_authenticated = user.is_authenticated
        if callable(is_authenticated):
            is_authenticated = is_authenticated()
        if not is_authenticated:
            return ""
        found = user.get_id()
        return "" if found is None else str(found)
    except Exception:
        # A database that is away, an attribute that is not there: the request goes on.
        return ""
