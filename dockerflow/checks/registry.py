"""The checks of this process by name, and running them."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar, overload

from .callables import NO_CONFIG, Check, name_of
from .results import ChecksResults, summarise
from .runner import DEFAULT_TIMEOUT_S, drawn, run, run_async, valid_seconds

__all__ = [
    "ChecksResults",
    "clear_checks",
    "get_checks",
    "register",
    "register_partial",
    "run_checks",
    "run_checks_async",
]

logger: Final = logging.getLogger(__name__)

_F = TypeVar("_F", bound=Callable[..., Any])
_Checks = Iterable[tuple[str, Callable[..., Any]]]

_registered: dict[str, Callable[..., Any]] = {}
# By name, with the function, which may be another one by now.
_timeouts: dict[str, tuple[Callable[..., Any], float]] = {}


@overload
def register(func: _F, name: str | None = None, *, timeout: float | None = None) -> _F: ...
@overload
def register(
    func: str | None = None, name: str | None = None, *, timeout: float | None = None
) -> Callable[[_F], _F]: ...
def register(
    func: Any = None, name: str | None = None, *, timeout: float | None = None
) -> Callable[..., Any]:
    """Register a check, to be asked by the heartbeat endpoint; also as a decorator.

    A check takes no argument, or one named ``config``, which is the
    application's configuration. It gives a list of messages, an empty one
    where all is well, and may be any callable, async ones included::

        @checks.register
        def storage_is_writable(): ...

        @checks.register("storage", timeout=2)
        async def is_writable(config): ...

    ``name``: what it is called in the payload, by default as the function; a
    later check of the same name takes the place of the first. ``timeout``: its
    own deadline in seconds, more than 0. Gives the check back unchanged.
    Raises ``TypeError`` for what cannot be called, ``ValueError`` for a timeout
    that is none.
    """
    if isinstance(func, str):
        if name is not None:
            raise TypeError(f"the check has two names, {func!r} and {name!r}; give one")
        func, name = None, func
    if timeout is not None:
        timeout = valid_seconds("timeout", timeout)
    if func is None:
        return functools.partial(register, name=name, timeout=timeout)
    if not callable(func):
        raise TypeError(f"{func!r} is no check: it cannot be called")
    check: Callable[..., Any] = func
    if name is None:
        name = name_of(check)
    former = _registered.get(name)
    if former is not None and not _is_same(former, check):
        logger.warning(
            "the check %s is registered again, and only the later one will run; "
            "give one of them another name with name=",
            name,
            extra={"check": name},
        )
    else:
        logger.debug("check %s registered", name, extra={"check": name})
    if timeout is None:
        _timeouts.pop(name, None)
    else:
        _timeouts[name] = (check, timeout)
    _registered[name] = check
    return check


def register_partial(
    func: Callable[..., Any], *args: Any, name: str | None = None, timeout: float | None = None
) -> Callable[..., Any]:
    """Register a check together with the arguments that it takes.

    ::

        checks.register_partial(check_redis_connected, client)

    Gives the check with its arguments bound. Otherwise as ``register``.
    """
    if name is None:
        name = name_of(func)
    bound = functools.partial(func, *args)
    # Named like the function, but without its signature, which wraps() would bring.
    functools.update_wrapper(bound, func, updated=())
    del bound.__wrapped__  # type: ignore[attr-defined]
    return register(bound, name, timeout=timeout)


def get_checks() -> dict[str, Callable[..., Any]]:
    """Give the registered checks by name: the registry itself, not a copy."""
    return _registered


def clear_checks() -> None:
    """Forget all registered checks."""
    global _registered
    _registered = {}
    _timeouts.clear()


def run_checks(
    checks: _Checks,
    silenced_check_ids: Iterable[str] | None = None,
    *,
    config: Any = NO_CONFIG,
    timeout: float = DEFAULT_TIMEOUT_S,
    cache_seconds: float = 0.0,
) -> ChecksResults:
    """Run checks at the same time, each in a thread, and block until all have answered.

    ``checks``: pairs of a name and a check, such as ``get_checks().items()``.
    ``silenced_check_ids``: messages to leave out; they are logged all the same.
    ``config``: the application's configuration, for checks that ask for it.
    ``timeout``: seconds that a check has which was registered without its own.
    ``cache_seconds``: for how long after a run its outcome is given again; with
    0 only those share a run who ask while it goes on.

    A check that raises, gives nonsense or passes its deadline has an error in
    the results. Raises ``ValueError`` for seconds that are none.
    """
    found = run(
        _as_checks(checks),
        config=config,
        timeout=valid_seconds("timeout", timeout),
        cache_seconds=valid_seconds("cache_seconds", cache_seconds, or_none=True),
    )
    return summarise(found, silenced_check_ids or ())


async def run_checks_async(
    checks: _Checks,
    silenced_check_ids: Iterable[str] | None = None,
    *,
    config: Any = NO_CONFIG,
    timeout: float = DEFAULT_TIMEOUT_S,
    cache_seconds: float = 0.0,
) -> ChecksResults:
    """Run checks at the same time, and wait until all have answered.

    Async checks run on the running event loop, the others in threads. Otherwise
    as ``run_checks``.
    """
    found = await run_async(
        _as_checks(checks),
        config=config,
        timeout=valid_seconds("timeout", timeout),
        cache_seconds=valid_seconds("cache_seconds", cache_seconds, or_none=True),
    )
    return summarise(found, silenced_check_ids or ())


def _as_checks(pairs: _Checks) -> list[Check]:
    return [Check(str(name), function, _timeout(name, function)) for name, function in drawn(pairs)]


def _timeout(name: str, function: Callable[..., Any]) -> float | None:
    registered = _timeouts.get(name)
    return registered[1] if registered is not None and registered[0] is function else None


def _is_same(former: Callable[..., Any], check: Callable[..., Any]) -> bool:
    """Tell whether a check is the same one registered again, as when its module is reloaded."""
    names = ("__module__", "__qualname__")
    if isinstance(check, functools.partial):
        return False
    return former is check or all(
        getattr(former, name, former) == getattr(check, name, check) for name in names
    )
