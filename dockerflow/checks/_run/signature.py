"""A check as a callable: its name, whether it is asynchronous, and its parameters."""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

__all__ = ["NO_CONFIG", "Check", "bind_config", "is_async", "missing_arguments", "name_of"]

#: Means that the caller has no configuration for checks.
NO_CONFIG: Final[Any] = object()

_CONFIG: Final = "config"


@dataclass(frozen=True, eq=False)
class Check:
    """A check to run.

    Attributes:
        name: The name in payloads and in the log.
        function: The callable.
        timeout: Its own deadline in seconds; None for the caller's.
        in_request: Whether it runs in the caller's thread and context.
    """

    name: str
    function: Callable[..., Any]
    timeout: float | None = None
    in_request: bool = False

    @property
    def is_async(self) -> bool:
        """Whether a call returns a coroutine."""
        try:
            return is_async(self.function)
        except Exception:
            # An object that raises here is called as a function, and raises again there.
            return False

    def key(self, config: Any) -> tuple[str, int, int, int]:
        """Return a key that is the same for the same check of the same application.

        It consists of ids, because comparing or hashing the check would run its code. Each
        access makes a new bound method, so the ids are those of its function and object.
        """
        function = self.function
        if type(function) is types.MethodType:
            return self.name, id(function.__func__), id(function.__self__), id(config)
        return self.name, id(function), 0, id(config)


def _is_partial(function: Callable[..., Any]) -> TypeGuard[functools.partial[Any]]:
    # By type(), because an object may claim any class.
    return issubclass(type(function), functools.partial)


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a check: its ``__name__``, else the name of its class."""
    while _is_partial(function) and not hasattr(function, "__name__"):
        function = function.func
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__name__


def is_async(function: Callable[..., Any]) -> bool:
    """Return whether a call of a check returns a coroutine, as far as it declares that."""
    while _is_partial(function):
        function = function.func
    if inspect.iscoroutinefunction(function):
        return True
    if inspect.iscoroutinefunction(getattr(type(function), "__call__", None)):  # noqa: B004
        return True
    # The mark of such a function before 3.12. It is compared by identity, because a mock has
    # an attribute of any name.
    mark = getattr(sys.modules.get("asyncio.coroutines"), "_is_coroutine", None)
    return mark is not None and getattr(function, "_is_coroutine", None) is mark


def missing_arguments(function: Callable[..., Any]) -> list[str]:
    """Return the names of required parameters that are not bound, without ``config``.

    A wrapper with ``*args`` and ``**kwargs`` has none: it may know the arguments of the
    function that it wraps.

    Raises:
        TypeError: The check does not take the arguments that are bound.
    """
    try:
        parameters = inspect.signature(function, follow_wrapped=False).parameters
    except (TypeError, ValueError):
        if _is_partial(function):
            _refuse_invalid_arguments(function)
        # Some functions in C have no signature.
        return []
    return [
        each.name
        for each in parameters.values()
        if each.default is each.empty
        and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        and each.name != _CONFIG
    ]


def _refuse_invalid_arguments(function: functools.partial[Any]) -> None:
    try:
        signature = inspect.signature(function.func)
    except (TypeError, ValueError):
        return
    signature.bind_partial(*function.args, **function.keywords)


def bind_config(function: Callable[..., Any], config: Any) -> Callable[[], Any]:
    """Return a check as a call without arguments.

    Args:
        function: The check.
        config: The value for a parameter named ``config`` that is not bound yet.
    """
    if config is NO_CONFIG:
        return function
    if _is_partial(function) and _CONFIG in function.keywords:
        return function
    try:
        # The wrapped function must declare it, and the wrapper must pass it on.
        wanted = inspect.signature(function).parameters.get(_CONFIG)
        outer = inspect.signature(function, follow_wrapped=False).parameters
    except (TypeError, ValueError):
        # Some functions in C have no signature.
        return function
    if wanted is None or wanted.kind in (wanted.VAR_POSITIONAL, wanted.VAR_KEYWORD):
        return function
    if wanted.kind is wanted.POSITIONAL_ONLY:
        return functools.partial(function, config)
    if _CONFIG in outer or any(each.kind is each.VAR_KEYWORD for each in outer.values()):
        return functools.partial(function, config=config)
    return function
