"""Binds what another library has put in the place of a method of ``logging``, for a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["bound_member"]


def bound_member(member: Any, instance: object) -> Callable[..., Any]:
    """Return what an access of an attribute returns for a member of the instance's class.

    Args:
        member: What stands in the class: a function, a wrapper or another descriptor, or an
            object that is no descriptor, such as a mock.
        instance: The instance.
    """
    get = getattr(type(member), "__get__", None)
    return member if get is None else get(member, instance, type(instance))  # type: ignore[no-any-return]
