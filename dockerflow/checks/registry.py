"""The registry of checks by name, and the functions that run them."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeVar, overload

from dockerflow.checks._run.payload import ChecksResults, summarise
from dockerflow.checks._run.run_options import DEFAULT_TIMEOUT_S, RunOptions, valid_seconds
from dockerflow.checks._run.run_until_deadline import run, run_async
from dockerflow.checks._run.signature import NO_CONFIG, Check, missing_arguments, name_of

from .messages import CheckMessage

__all__ = [
    "CheckFn",
    "ChecksResults",
    "as_checks",
    "checks_of",
    "clear_checks",
    "get_checks",
    "is_owned",
    "register",
    "register_owned",
    "register_partial",
    "run_checks",
    "run_checks_async",
]

logger: Final = logging.getLogger(__name__)

#: The type of a check. A coroutine function is a check as well.
CheckFn = Callable[..., Iterable[CheckMessage]]

_F = TypeVar("_F", bound=Callable[..., Any])
_Checks = Iterable[tuple[str, Callable[..., Any]]]


class _Registration(NamedTuple):
    """How to run a check. Another check may have taken its name since."""

    check: Callable[..., Any]
    timeout: float | None
    in_request: bool


_registered: dict[str, Callable[..., Any]] = {}
# By name, for checks with options.
_registrations: dict[str, _Registration] = {}

# The attribute that marks a check of an extension object's own applications.
_OWNED: Final = "_dockerflow_is_owned"


@overload
def register(
    func: _F, name: str | None = None, *, timeout: float | None = None, in_request: bool = False
) -> _F: ...
@overload
def register(
    func: str | None = None,
    name: str | None = None,
    *,
    timeout: float | None = None,
    in_request: bool = False,
) -> Callable[[_F], _F]: ...
def register(
    func: Any = None,
    name: str | None = None,
    *,
    timeout: float | None = None,
    in_request: bool = False,
) -> Callable[..., Any]:
    """Register a check for the heartbeat endpoint; also as a decorator.

    A check is any callable, async ones included. It takes no argument, or one named
    ``config``, which is the application's configuration. It returns any iterable of
    messages, which is empty if all is well::

        @checks.register
        def storage_is_writable(): ...

        @checks.register("storage", timeout=2)
        async def is_writable(config): ...

    Args:
        func: The check.
        name: The name in the payload; by default that of the function. A later check of the
            same name replaces the first.
        timeout: Its own deadline in seconds, more than 0.
        in_request: Whether it runs in the request's thread and context. It then has no
            deadline, and other requests do not share its run.

    Returns:
        The check, unchanged.

    Raises:
        TypeError: The check is not callable, or requires arguments.
        ValueError: The timeout is invalid, or is given together with ``in_request``.
    """
    if isinstance(func, str):
        if name is not None:
            raise TypeError(f"the check has two names, {func!r} and {name!r}; give one")
        func, name = None, func
    if timeout is not None:
        timeout = valid_seconds("timeout", timeout)
        if in_request:
            raise ValueError(
                f"timeout={timeout:g} beside in_request=True: a check that runs in the request's "
                "own thread cannot time out; leave out one of the two"
            )
    if func is None:
        return functools.partial(register, name=name, timeout=timeout, in_request=in_request)
    if not callable(func):
        raise TypeError(f"{func!r} is not a check, because it is not callable")
    check: Callable[..., Any] = func
    if name is None:
        name = name_of(check)
    _refuse_arguments(check, name)
    former = _registered.get(name)
    # Two owned checks of one name do not clash: each is for its own applications.
    are_apart = former is not None and is_owned(former) and is_owned(check)
    if former is not None and not are_apart and not _is_same(former, check):
        logger.warning(
            "the check %s is registered again, and only the later one will run; "
            "give one of them another name with name=",
            name,
            extra={"check": name},
        )
    else:
        logger.debug("check %s registered", name, extra={"check": name})
    if timeout is None and not in_request:
        _registrations.pop(name, None)
    else:
        _registrations[name] = _Registration(check, timeout, in_request)
    _registered[name] = check
    return check


def register_partial(
    func: Callable[..., Any],
    *args: Any,
    name: str | None = None,
    timeout: float | None = None,
    in_request: bool = False,
) -> Callable[..., Any]:
    """Register a check together with its arguments.

    ::

        checks.register_partial(check_redis_connected, client)

    Args:
        func: The check.
        args: Its arguments.
        name: As of ``register``.
        timeout: As of ``register``.
        in_request: As of ``register``.

    Returns:
        The check with its arguments bound.
    """
    if name is None:
        name = name_of(func)
    bound = _bind(func, *args)
    return register(bound, name, timeout=timeout, in_request=in_request)


def register_owned(func: Callable[..., Any], *args: Any) -> tuple[str, Callable[..., Any]]:
    """Register a check that runs only in heartbeats of an extension object's applications.

    ``get_checks()`` lists it as any other. Two extension objects may each have a check of the
    same name.

    Args:
        func: The check.
        args: Its arguments.

    Returns:
        Its name, and the check with its arguments bound, for ``checks_of``.
    """
    name = name_of(func)
    bound = _bind(func, *args)
    setattr(bound, _OWNED, True)
    return name, register(bound, name)


def is_owned(check: Callable[..., Any]) -> bool:
    """Return whether a check runs only for the applications of an extension object."""
    return isinstance(check, functools.partial) and getattr(check, _OWNED, False) is True


def checks_of(
    registered: Mapping[str, Callable[..., Any]], own: Mapping[str, Callable[..., Any]]
) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Return the checks of one application's heartbeat, as pairs of a name and a check.

    Args:
        registered: All checks by name, as ``get_checks()`` returns them.
        own: By name, the checks that the application's extension object has registered with
            ``register_owned``. A check whose name is no longer in ``registered`` is left out.
    """
    for name, check in _listed(registered.items()):
        if not is_owned(check):
            yield name, check
        elif name in own:
            yield name, own[name]


def _bind(func: Callable[..., Any], *args: Any) -> functools.partial[Any]:
    bound = functools.partial(func, *args)
    # The name of the function, but not its signature, which __wrapped__ would bring.
    functools.update_wrapper(bound, func, updated=())
    del bound.__wrapped__  # type: ignore[attr-defined]
    return bound


def _refuse_arguments(check: Callable[..., Any], name: str) -> None:
    try:
        missing = missing_arguments(check)
    except TypeError as error:
        raise TypeError(f"the check {name} does not take what is bound to it: {error}") from None
    if missing:
        raise TypeError(
            f"the check {name} requires {', '.join(missing)}; a check takes no argument, "
            "or one named config; register it with checks.register_partial(), which binds the "
            "others"
        )


def get_checks() -> dict[str, Callable[..., Any]]:
    """Return the registered checks by name: the registry itself, not a copy."""
    return _registered


def clear_checks() -> None:
    """Remove all registered checks."""
    global _registered
    _registered = {}
    _registrations.clear()


def run_checks(
    checks: _Checks,
    silenced_check_ids: Iterable[str] | None = None,
    *,
    config: Any = NO_CONFIG,
    timeout: float = DEFAULT_TIMEOUT_S,
    cache_seconds: float = 0.0,
    in_request: bool = False,
) -> ChecksResults:
    """Run checks at the same time, each in a thread, and block until all have an outcome.

    A check that raises, returns an invalid result or passes its deadline has an error in the
    results.

    Args:
        checks: Pairs of a name and a check, such as ``get_checks().items()``.
        silenced_check_ids: The ids of messages to leave out. They are logged all the same.
        config: The application's configuration, for checks with a parameter of that name.
        timeout: The deadline in seconds of a check without its own.
        cache_seconds: Seconds for which an outcome is fresh, and is returned again. With 0
            only callers at the same time share a run.
        in_request: Whether all checks run in this thread and context, one after the other,
            without a deadline, and not shared with other callers.

    Raises:
        ValueError: A number of seconds is invalid.
    """
    options = RunOptions(config, timeout, cache_seconds)
    found = run(as_checks(checks, in_request), options)
    return summarise(found.messages, silenced_check_ids or ())


async def run_checks_async(
    checks: _Checks,
    silenced_check_ids: Iterable[str] | None = None,
    *,
    config: Any = NO_CONFIG,
    timeout: float = DEFAULT_TIMEOUT_S,
    cache_seconds: float = 0.0,
    in_request: bool = False,
) -> ChecksResults:
    """Run checks at the same time, and await until all have an outcome.

    Async checks run on the running event loop, the others in threads. For the arguments see
    ``run_checks``.
    """
    options = RunOptions(config, timeout, cache_seconds)
    found = await run_async(as_checks(checks, in_request), options)
    return summarise(found.messages, silenced_check_ids or ())


def as_checks(pairs: _Checks, in_request: bool) -> list[Check]:
    """Return checks together with the options of their registration.

    Args:
        pairs: Names and checks.
        in_request: Whether all run in the request's thread and context.
    """
    return [_as_check(str(name), name, function, in_request) for name, function in _listed(pairs)]


def _listed(pairs: _Checks) -> list[tuple[str, Callable[..., Any]]]:
    """Return a list of pairs that another thread may change meanwhile."""
    while True:
        try:
            return list(pairs)
        except RuntimeError:
            # The dict has changed during the iteration: another thread has registered a check.
            if not isinstance(pairs, ItemsView):
                raise


def _as_check(text: str, name: str, function: Callable[..., Any], in_request: bool) -> Check:
    held = _registrations.get(name)
    if held is None or held.check is not function:
        return Check(text, function, in_request=in_request)
    return Check(text, function, held.timeout, in_request or held.in_request)


def _is_same(former: Callable[..., Any], check: Callable[..., Any]) -> bool:
    """Return whether a check is the same one, registered again after a reload of its module."""
    if former is check:
        return True
    if isinstance(check, functools.partial):
        return False
    names = ("__module__", "__qualname__")
    if any(getattr(former, name, former) != getattr(check, name, check) for name in names):
        return False
    # A second function of this name, such as a copied one, stands elsewhere in the module.
    return _line_of(former) == _line_of(check)


def _line_of(check: Callable[..., Any]) -> int | None:
    code = getattr(inspect.unwrap(check), "__code__", None)
    return getattr(code, "co_firstlineno", None)
