"""What a check is, as a callable: its name, whether it is asynchronous, what it asks for."""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

__all__ = ["NO_CONFIG", "Check", "bind_config", "is_async", "missing_arguments", "name_of"]

#: Stands for "there is no configuration to give".
NO_CONFIG: Final[Any] = object()

_CONFIG: Final = "config"


@dataclass(frozen=True, eq=False)
class Check:
    """A check to be run.

    ``timeout``: its own deadline in seconds, None for the caller's.
    ``in_request``: whether it runs in the caller's own thread and context.
    """

    name: str
    function: Callable[..., Any]
    timeout: float | None = None
    in_request: bool = False

    @property
    def is_async(self) -> bool:
        """Whether calling it gives a coroutine."""
        try:
            return is_async(self.function)
        except Exception:
            # An object that cannot be asked is called like a function, and says it again.
            return False

    def key(self, config: Any) -> tuple[str, int, int, int]:
        """Give what is the same for the same check of the same application.

        Nothing of the check itself is compared or hashed, which would run
        foreign code. Bound methods are made anew each time they are looked
        at, so it is their parts that count.
        """
        function = self.function
        if type(function) is types.MethodType:
            return self.name, id(function.__func__), id(function.__self__), id(config)
        return self.name, id(function), 0, id(config)


def _is_partial(function: Callable[..., Any]) -> TypeGuard[functools.partial[Any]]:
    # isinstance() would ask the object, which may say anything.
    return issubclass(type(function), functools.partial)


def name_of(function: Callable[..., Any]) -> str:
    """Give the name a check has by itself, that of its class where it has none."""
    while _is_partial(function) and not hasattr(function, "__name__"):
        function = function.func
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__name__


def is_async(function: Callable[..., Any]) -> bool:
    """Tell whether calling a check gives a coroutine, by what it declares."""
    while _is_partial(function):
        function = function.func
    if inspect.iscoroutinefunction(function):
        return True
    if inspect.iscoroutinefunction(getattr(type(function), "__call__", None)):  # noqa: B004
        return True
    # How a function is marked as one before 3.12; mocks answer to any name,
    # so that it is the mark itself that has to be there.
    mark = getattr(sys.modules.get("asyncio.coroutines"), "_is_coroutine", None)
    return mark is not None and getattr(function, "_is_coroutine", None) is mark


def missing_arguments(function: Callable[..., Any]) -> list[str]:
    """Return the names of what a check must be given and is not, ``config`` apart.

    A wrapper that takes anything is asked for nothing: it may know what the
    function that it wraps needs.

    Raises:
        TypeError: arguments are bound that the check does not take.
    """
    try:
        parameters = inspect.signature(function, follow_wrapped=False).parameters
    except (TypeError, ValueError):
        if _is_partial(function):
            _refuse_what_does_not_fit(function)
        # Some that are written in C do not say what they take.
        return []
    return [
        each.name
        for each in parameters.values()
        if each.default is each.empty
        and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        and each.name != _CONFIG
    ]


def _refuse_what_does_not_fit(function: functools.partial[Any]) -> None:
    try:
        signature = inspect.signature(function.func)
    except (TypeError, ValueError):
        return
    signature.bind_partial(*function.args, **function.keywords)


def bind_config(function: Callable[..., Any], config: Any) -> Callable[[], Any]:
    """Give the check as a call without arguments, with the configuration if it wants it.

    A check wants it that declares a parameter named ``config`` which is not
    bound yet.
    """
    if config is NO_CONFIG:
        return function
    if _is_partial(function) and _CONFIG in function.keywords:
        return function
    try:
        # What a decorator wraps may want it, and what wraps must let it through.
        wanted = inspect.signature(function).parameters.get(_CONFIG)
        outer = inspect.signature(function, follow_wrapped=False).parameters
    except (TypeError, ValueError):
        # Some that are written in C do not say what they take.
        return function
    if wanted is None or wanted.kind in (wanted.VAR_POSITIONAL, wanted.VAR_KEYWORD):
        return function
    if wanted.kind is wanted.POSITIONAL_ONLY:
        return functools.partial(function, config)
    if _CONFIG in outer or any(each.kind is each.VAR_KEYWORD for each in outer.values()):
        return functools.partial(function, config=config)
    return function
