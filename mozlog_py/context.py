"""The logging context: fields that are bound here are in the Fields of every line.

Bound fields travel down only. A task or a call has the fields that were bound before it began,
and its caller does not get the fields that it binds. Each ``bind`` makes a new mapping, so that a
context never changes another one. One ContextVar holds the mapping, so reading it takes the same
time however many ContextVars other libraries have set.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Container, Generator, Mapping
from contextvars import Context, ContextVar, copy_context
from types import CoroutineType, TracebackType, coroutine
from typing import Any, Final, NoReturn, ParamSpec, TypeVar

from mozlog_py._config.options import OptionError, check_no_positional, shown
from mozlog_py._context.structlog_variables import (
    bound_in,
    bound_now,
    fields_now,
    structlog_registry,
)
from mozlog_py._context.trace_context import may_have_span, span_fields
from mozlog_py._process.fork_safe_import import fork_safe_import

__all__ = [
    "bind",
    "bound",
    "carry",
    "clear",
    "current",
    "get",
    "has_bound",
    "has_context",
    "read_bound",
    "read_request_id",
    "request_id_context",
    "restore",
    "snapshot",
    "structlog_registry",
    "unbind",
]

_F = TypeVar("_F", bound=Callable[..., Any])
_B = TypeVar("_B", bound="bound")
_P = ParamSpec("_P")
_R = TypeVar("_R")
_Fields = Mapping[str, Any]

_NONE: Final[_Fields] = {}
_bound: Final[ContextVar[_Fields]] = ContextVar("mozlog_context", default=_NONE)

# The fields to restore, for each ``bound`` block that this context is in. They are kept here and
# not on the block, which threads and tasks may share.
_blocks: Final[ContextVar[tuple[tuple[bound, _Fields], ...]]] = ContextVar(
    "mozlog_blocks", default=()
)

#: The id of the request being served, None outside of one; the field ``rid``.
request_id_context: ContextVar[str | None] = ContextVar("request_id", default=None)

#: Return the bound fields, and the request id; ``current()`` merges them.
read_bound: Final = _bound.get
read_request_id: Final = request_id_context.get

_modules: Final = sys.modules
# Where structlog keeps its context, once it is loaded.
_registry: Any = None


def bind(*positional: NoReturn, **fields: Any) -> None:
    """Add fields to every line logged from here on in this context.

    Raises:
        OptionError: A positional argument was given, such as a dict.
    """
    if positional:
        check_no_positional("bind", positional)
    _bound.set({**_bound.get(), **fields})


def unbind(*names: str) -> None:
    """Remove fields from the context; a name that is not bound is no error.

    Raises:
        OptionError: A name is not a text, as where a list of names was given.
    """
    for name in names:
        if not isinstance(name, str):
            raise OptionError(
                f"unbind() was given {shown(name)}; it takes names: write unbind('user', 'cart'), "
                "or unbind(*names) for a list"
            )
    _bound.set({name: value for name, value in _bound.get().items() if name not in names})


def clear() -> None:
    """Remove all fields that were bound here, and the request id."""
    _bound.set(_NONE)
    request_id_context.set(None)


#: Return the current context for ``restore``, in constant time.
snapshot: Final[Callable[[], Context]] = copy_context


def restore(before: Context, handed_over: Context | None = None) -> None:
    """Restore the context of the time of ``before``.

    For servers, which reuse threads and tasks for other requests. Fields that were bound since
    then are removed, those of ``structlog.contextvars`` included. ContextVars that have nothing to
    do with logging stay.

    Args:
        before: A ``snapshot()``.
        handed_over: A later snapshot. Fields that were bound or unbound after it stay so: they
            are the work of outer layers of the same request.
    """
    if handed_over is not None:
        _restore_up_to(before, handed_over)
        return
    value: Any
    if request_id_context.get() is not (value := before.get(request_id_context)):
        request_id_context.set(value)
    if _bound.get() is not (value := before.get(_bound, _NONE)):
        _bound.set(value)
    if _blocks.get() is not (value := before.get(_blocks, ())):
        _blocks.set(value)
    if "structlog.contextvars" in _modules and (registry := structlog_registry()):
        for variable in _bound_by_structlog(registry, before):
            # An ellipsis is how structlog says that a name is not bound.
            if variable.get(...) is not (value := before.get(variable, ...)):
                variable.set(value)


def _restore_up_to(before: Context, handed_over: Context) -> None:
    """Remove the fields that were bound between the two snapshots, and none that came later."""
    if request_id_context.get() is handed_over.get(request_id_context):
        request_id_context.set(before.get(request_id_context))
    base, known = before.get(_bound, _NONE), handed_over.get(_bound, _NONE)

    def rebased(fields: _Fields) -> _Fields:
        if fields is known:
            return base
        # A field that was unbound later, as at the end of a block, stays unbound.
        kept = {name: value for name, value in base.items() if name in fields or name not in known}
        later = {
            name: value
            for name, value in fields.items()
            if name not in known or known[name] is not value
        }
        return {**kept, **later}

    _bound.set(rebased(_bound.get()))
    former_blocks = handed_over.get(_blocks, ())
    _blocks.set(
        (
            *before.get(_blocks, ()),
            # At its end, a block restores the fields of its beginning.
            *(
                (block, rebased(fields))
                for block, fields in _blocks.get()
                if not _is_in(block, former_blocks)
            ),
        )
    )
    for variable in _bound_by_structlog(structlog_registry(), before, handed_over):
        now = variable.get(...)
        if now is handed_over.get(variable, ...) and now is not before.get(variable, ...):
            variable.set(before.get(variable, ...))


def _is_in(block: bound, blocks: tuple[tuple[bound, _Fields], ...]) -> bool:
    return any(held is block for held, _ in blocks)


def _bound_by_structlog(registry: Any, *snapshots: Context) -> list[ContextVar[Any]]:
    """Return the variables of structlog that are bound now, or were in a snapshot."""
    if not isinstance(registry, dict):
        return []
    found = {variable: None for variable, _ in bound_now(registry)}
    for snapshot in snapshots:
        found.update((variable, None) for variable, _ in bound_in(snapshot, registry))
    return [*found]


def has_bound() -> bool:
    """Return whether fields are bound, here or with ``structlog.contextvars``."""
    if read_bound():
        return True
    registry = structlog_registry()
    return isinstance(registry, dict) and bool(bound_now(registry))


def has_context(fields: Container[str] = ()) -> bool:
    """Return whether ``current()`` may add fields, in less than half of its time.

    May return True without need: after names of structlog were unbound, and outside of spans.

    Args:
        fields: The names of the fields of the call, whose own ``rid`` wins.
    """
    global _registry
    if type(_registry) is not dict and "structlog.contextvars" in _modules:
        _registry = structlog_registry()
    return bool(
        read_bound()
        or (read_request_id() and "rid" not in fields)
        or _registry
        or ("opentelemetry.trace" in _modules and may_have_span())
    )


def get() -> dict[str, Any]:
    """Return a copy of the fields that the context adds to the next line."""
    return dict(current())


def current(own: Container[str] = ()) -> Mapping[str, Any]:
    """Return the fields that the context adds to the next line. Callers must not change them.

    On a clash a field bound here wins over the request id, and both win over fields of
    ``structlog.contextvars``. The current OpenTelemetry span comes last.

    Args:
        own: The names of the call's fields. Its own ``rid`` wins, and keeps its place, so that
            the id of the request is left out.
    """
    fields = read_bound()
    request_id = read_request_id()
    if request_id and "rid" not in fields and "rid" not in own:
        fields = {**fields, "rid": request_id}
    if "structlog.contextvars" in _modules:
        fields = _with_structlog(fields)
    if "opentelemetry.trace" in _modules and (span := span_fields()):
        return {**span, **fields}
    return fields


def _with_structlog(fields: _Fields) -> _Fields:
    registry = structlog_registry()
    if not isinstance(registry, dict):
        read = getattr(_modules["structlog.contextvars"], "get_contextvars", None)
        # Another thread may be in the middle of importing it.
        theirs = {} if read is None else read()
        return {**theirs, **fields} if theirs else fields
    if not registry:
        return fields
    theirs = fields_now(registry)
    return {**theirs, **fields} if theirs else fields


def carry(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Return a function that runs in the present context, in whichever thread it is called.

    For ``loop.run_in_executor`` and thread pools, which do not pass the context on:
    ``pool.submit(carry(work), item)``. The function may be called several times, and in
    several threads at once. Each call gets a copy of the context. So does a coroutine that the
    function returns, in whichever task it runs.

    Args:
        function: The function or the coroutine function to run.

    Raises:
        OptionError: The argument cannot be called, such as the result of a call.
        TypeError: It is a generator function, whose body runs in the contexts of its callers.
    """
    if not callable(function):
        raise OptionError(
            f"carry() was given {shown(function)}, which cannot be called; give it the function "
            "and its arguments apart: pool.submit(carry(work), item)"
        )
    captured = copy_context()
    if _is_coroutine_function(
        function,
        "carry() cannot carry",
        "its body runs in the contexts of its callers; carry a function that iterates over it",
    ):

        @functools.wraps(function)
        async def carried_coroutine(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            return await _in_steps(_awaited(function, args, kwargs), captured.copy())

        return carried_coroutine  # type: ignore[return-value]

    @functools.wraps(function)
    def carried(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        context = captured.copy()
        result = context.run(function, *args, **kwargs)
        if type(result) is CoroutineType:
            # A lambda, or another function that only calls a coroutine function.
            return _started_later(result, context)  # type: ignore[return-value]
        return result

    return carried


def _is_coroutine_function(function: Any, refusal: str, reason: str) -> bool:
    """Return whether calls of a function return coroutines.

    Args:
        function: The function, or an object that is called like one.
        refusal: The beginning of the error's text.
        reason: The end of the error's text.

    Raises:
        TypeError: It is a generator function.
    """
    with fork_safe_import():
        import inspect  # takes as long as the rest of the package, and few applications need it

    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        name = getattr(function, "__name__", repr(function))
        raise TypeError(f"{refusal} the generator function {name}: {reason}")
    call = getattr(function, "__call__", None)  # noqa: B004 - objects may be called like one
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


async def _awaited(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    return await function(*args, **kwargs)


async def _started_later(steps: Any, context: Context) -> Any:
    return await _in_steps(steps, context)


@coroutine
def _in_steps(steps: Any, context: Context) -> Generator[Any, Any, Any]:
    """Run each step of a coroutine in a context, whichever task awaits it.

    Args:
        steps: The coroutine.
        context: The context; no other code may run in it meanwhile.
    """
    step, value = steps.send, None
    try:
        while True:
            awaited = context.run(step, value)
            try:
                # To the event loop, and back: what it sends or raises is for the coroutine.
                step, value = steps.send, (yield awaited)
            except GeneratorExit:
                context.run(steps.close)
                raise
            except BaseException as error:
                step, value = steps.throw, error
    except StopIteration as done:
        return done.value
    finally:
        # The traceback of an exception refers to this frame.
        step = value = None


class bound:  # noqa: N801 - read as a verb: ``with bound(user="ann"):``
    """Bind fields for the length of a block or of a call.

    A context manager, and a decorator of functions and coroutine functions. At its end it
    restores the fields of its beginning, even if others were bound or cleared in between.

    Args:
        fields: The fields.

    Raises:
        TypeError: It decorates a generator function, whose body runs in the contexts of its
            callers.
        OptionError: A positional argument was given, such as a dict.
    """

    def __init__(self, /, *positional: NoReturn, **fields: Any) -> None:
        if positional:
            is_bare = callable(positional[0])
            hint = "@bound(job='reindex') with the brackets" if is_bare else ""
            check_no_positional("bound", positional, hint)
        self._fields = fields

    def __enter__(self: _B) -> _B:
        before = _bound.get()
        _blocks.set((*_blocks.get(), (self, before)))
        _bound.set({**before, **self._fields})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        blocks = _blocks.get()
        # A block may end in another context than it began in, as when an abandoned async
        # generator is finalised. That context has nothing to restore.
        for index in range(len(blocks) - 1, -1, -1):
            if blocks[index][0] is self:
                _blocks.set(blocks[:index])
                _bound.set(blocks[index][1])
                return

    def __call__(self, function: _F) -> _F:
        """Return a function that binds these fields for the length of each call."""
        fields = self._fields
        if _is_coroutine_function(
            function,
            "bound() cannot decorate",
            "between two yields its caller would log with these fields too; use "
            "`with bound(...)` inside it, around what does not yield",
        ):

            @functools.wraps(function)
            async def in_coroutine(*args: Any, **kwargs: Any) -> Any:
                with bound(**fields):
                    return await function(*args, **kwargs)

            return in_coroutine  # type: ignore[return-value]

        @functools.wraps(function)
        def in_call(*args: Any, **kwargs: Any) -> Any:
            with bound(**fields):
                return function(*args, **kwargs)

        return in_call  # type: ignore[return-value]
