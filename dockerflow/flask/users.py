"""The user of a request by flask-login, if it is loaded already."""

from __future__ import annotations

from operator import methodcaller
from typing import Any

from flask import g

from dockerflow._request.adapter import user_id

__all__ = ["loaded_user", "user_id_of"]


def loaded_user() -> Any:
    """Return the user that flask-login has loaded in this request, None if it has not."""
    return g.get("_login_user")


def user_id_of(user: Any) -> str | int:
    """Return a user's id, an empty text if it has none or cannot be read."""
    return user_id(user, methodcaller("get_id"))
