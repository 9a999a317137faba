"""Replaces ``__call__`` of a framework's middleware class, once for all applications."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from .coroutine_function import returns_coroutine

__all__ = ["replace_call"]


def replace_call(middleware_class: Any, mark: str, replacing: Callable[[Any], Any]) -> None:
    """Replace the method by which a class of ASGI middleware serves a connection.

    Does nothing where this replacement is in place, also below that of a tracer which copies the
    attributes of what it wraps.

    Args:
        middleware_class: The class.
        mark: The name of an attribute of the new method, one for each replacement.
        replacing: Returns the new method for the present one. It returns a coroutine.
    """
    call = middleware_class.__call__
    if hasattr(call, mark):
        return
    replaced = returns_coroutine(functools.wraps(call)(replacing(call)))
    setattr(replaced, mark, True)
    middleware_class.__call__ = replaced
