"""The checks of this process by name, and running them."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeVar, overload

from dockerflow.checks._run.payload import ChecksResults, summarise
from dockerflow.checks._run.runner import DEFAULT_TIMEOUT_S, run, run_async, snapshot, valid_seconds
from dockerflow.checks._run.signature import NO_CONFIG, Check, missing_arguments, name_of
from dockerflow.checks._run.surroundings import PLAIN, Surroundings

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

#: What a check is to a type checker; one may be a coroutine function as well.
CheckFn = Callable[..., Iterable[CheckMessage]]

_F = TypeVar("_F", bound=Callable[..., Any])
_Checks = Iterable[tuple[str, Callable[..., Any]]]


class _Registration(NamedTuple):
    """How a check is to be run. Its name may be another check's by now."""

    check: Callable[..., Any]
    timeout: float | None
    in_request: bool


_registered: dict[str, Callable[..., Any]] = {}
# By name, of checks that are run in another way than most.
_registrations: dict[str, _Registration] = {}

# The attribute of a check that counts only for the applications of an extension object.
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
    """Register a check, to be asked by the heartbeat endpoint; also as a decorator.

    A check takes no argument, or one named ``config``, which is the
    application's configuration. It gives messages in any iterable, an empty one
    where all is well, and may be any callable, async ones included::

        @checks.register
        def storage_is_writable(): ...

        @checks.register("storage", timeout=2)
        async def is_writable(config): ...

    Args:
        func: the check.
        name: what it is called in the payload, by default as the function. A
            later check of the same name takes the place of the first.
        timeout: its own deadline in seconds, more than 0.
        in_request: whether it runs in the request's own thread and context,
            without a deadline, and not shared with other requests.

    Returns:
        The check, unchanged.

    Raises:
        TypeError: it cannot be called, or not without arguments.
        ValueError: the timeout is invalid, or given beside ``in_request``.
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
                "own thread cannot be given up; leave out one of the two"
            )
    if func is None:
        return functools.partial(register, name=name, timeout=timeout, in_request=in_request)
    if not callable(func):
        raise TypeError(f"{func!r} is no check: it cannot be called")
    check: Callable[..., Any] = func
    if name is None:
        name = name_of(check)
    _refuse_arguments(check, name)
    former = _registered.get(name)
    # Of two that are owned both count, each for its own applications.
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
    """Register a check together with the arguments that it takes.

    ::

        checks.register_partial(check_redis_connected, client)

    Gives the check with its arguments bound. Otherwise as ``register``.
    """
    if name is None:
        name = name_of(func)
    bound = _bind(func, *args)
    return register(bound, name, timeout=timeout, in_request=in_request)


def register_owned(func: Callable[..., Any], *args: Any) -> tuple[str, Callable[..., Any]]:
    """Register a check that counts only in heartbeats of an extension's own applications.

    ``get_checks()`` lists it as any other. Two extension objects may each have
    one of the same name.

    Args:
        func: the check.
        args: the arguments that it takes.

    Returns:
        Its name and the check with its arguments bound, for ``checks_of``.
    """
    name = name_of(func)
    bound = _bind(func, *args)
    setattr(bound, _OWNED, True)
    return name, register(bound, name)


def is_owned(check: Callable[..., Any]) -> bool:
    """Return whether a check counts only for the applications of an extension object."""
    return isinstance(check, functools.partial) and getattr(check, _OWNED, False) is True


def checks_of(
    registered: Mapping[str, Callable[..., Any]], own: Mapping[str, Callable[..., Any]]
) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Return what the heartbeat of one application runs, as pairs of a name and a check.

    Args:
        registered: all checks by name, as ``get_checks()`` gives them.
        own: by name, the checks that the application's extension object has
            registered with ``register_owned``. One whose name is not in
            ``registered`` any more is left out.
    """
    for name, check in snapshot(registered.items()):
        if not is_owned(check):
            yield name, check
        elif name in own:
            yield name, own[name]


def _bind(func: Callable[..., Any], *args: Any) -> functools.partial[Any]:
    bound = functools.partial(func, *args)
    # Named like the function, but without its signature, which wraps() would bring.
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
            f"the check {name} must be given {', '.join(missing)}; a check takes no argument, "
            "or one named config; register it with checks.register_partial(), which binds the "
            "others"
        )


def get_checks() -> dict[str, Callable[..., Any]]:
    """Give the registered checks by name: the registry itself, not a copy."""
    return _registered


def clear_checks() -> None:
    """Forget all registered checks."""
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
    surroundings: Surroundings = PLAIN,
) -> ChecksResults:
    """Run checks at the same time, each in a thread, and block until all have answered.

    ``checks``: pairs of a name and a check, such as ``get_checks().items()``.
    ``silenced_check_ids``: messages to leave out; they are logged all the same.
    ``config``: the application's configuration, for checks that ask for it.
    ``timeout``: seconds that a check has which was registered without its own.
    ``cache_seconds``: for how long after a run its outcome is given again; with
    0 only those share a run who ask while it goes on. ``in_request``: whether all
    run in this thread and context, one after the other, without a deadline and
    not shared with other callers. ``surroundings``: what a framework's adapter knows.

    A check that raises, gives nonsense or passes its deadline has an error in
    the results. Raises ``ValueError`` for seconds that are none.
    """
    found = run(
        as_checks(checks, in_request),
        config=config,
        timeout=valid_seconds("timeout", timeout),
        cache_seconds=valid_seconds("cache_seconds", cache_seconds, or_none=True),
        surroundings=surroundings,
    )
    return summarise(found.messages, silenced_check_ids or ())


async def run_checks_async(
    checks: _Checks,
    silenced_check_ids: Iterable[str] | None = None,
    *,
    config: Any = NO_CONFIG,
    timeout: float = DEFAULT_TIMEOUT_S,
    cache_seconds: float = 0.0,
    in_request: bool = False,
    surroundings: Surroundings = PLAIN,
) -> ChecksResults:
    """Run checks at the same time, and wait until all have answered.

    Async checks run on the running event loop, the others in threads. Otherwise
    as ``run_checks``.
    """
    found = await run_async(
        as_checks(checks, in_request),
        config=config,
        timeout=valid_seconds("timeout", timeout),
        cache_seconds=valid_seconds("cache_seconds", cache_seconds, or_none=True),
        surroundings=surroundings,
    )
    return summarise(found.messages, silenced_check_ids or ())


def as_checks(pairs: _Checks, in_request: bool) -> list[Check]:
    """Return checks as they are to be run.

    Args:
        pairs: names and checks.
        in_request: whether all run in the request's own thread and context.
    """
    return [_as_check(str(name), name, function, in_request) for name, function in snapshot(pairs)]


def _as_check(text: str, name: str, function: Callable[..., Any], in_request: bool) -> Check:
    held = _registrations.get(name)
    if held is None or held.check is not function:
        return Check(text, function, in_request=in_request)
    return Check(text, function, held.timeout, in_request or held.in_request)


def _is_same(former: Callable[..., Any], check: Callable[..., Any]) -> bool:
    """Tell whether a check is the same one registered again, as when its module is reloaded."""
    names = ("__module__", "__qualname__")
    if isinstance(check, functools.partial):
        return False
    return former is check or all(
        getattr(former, name, former) == getattr(check, name, check) for name in names
    )
