"""Who makes a request, by flask-login, and only if that is known already."""

from __future__ import annotations

from typing import Any

from flask import g

from dockerflow._request.adapter import user_id

__all__ = ["loaded_user", "user_id_of"]


def loaded_user() -> Any:
    """Give the user that flask-login has loaded in this request, None where it has not."""
    return g.get("_login_user")


def user_id_of(user: Any) -> str | int:
    """Return a user's id, and nothing where there is none or it cannot be told."""
    return user_id(user, _id_of)


def _id_of(user: Any) -> Any:
    return user.get_id()
