"""Plain functions that return a coroutine, marked as coroutine functions."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["returns_coroutine"]

_F = TypeVar("_F", bound=Callable[..., Any])


def returns_coroutine(function: _F) -> _F:
    """Mark a function that returns the coroutine of another one, which saves a frame.

    Servers and libraries distinguish ASGI 3 from ASGI 2 by ``iscoroutinefunction``.
    """
    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(function)
    else:
        from asyncio import coroutines

        function._is_coroutine = coroutines._is_coroutine  # type: ignore[attr-defined]  # noqa: SLF001
    return function
