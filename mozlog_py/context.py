"""The one logging context: what is bound here shows in every line's Fields.

Bound fields travel down only: a task or a call sees what was bound before it
began, and what it binds itself is not seen above. Each ``bind`` makes a new
mapping, so nobody changes another's. One ContextVar holds it, so that reading
it costs the same however many ContextVars other libraries have set.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Container, Mapping
from contextvars import Context, ContextVar, copy_context
from types import TracebackType
from typing import Any, Final, NoReturn, ParamSpec, TypeVar

from mozlog_py._config.options import OptionError, check_no_positional, shown
from mozlog_py._context.structlog_variables import (
    bound_in,
    bound_now,
    fields_now,
    structlog_registry,
)
from mozlog_py._context.trace_context import may_have_span, span_fields

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

# What to go back to, for each ``bound`` block that this context is inside of.
# It is kept here and not on the block, which threads and tasks may share.
_blocks: Final[ContextVar[tuple[tuple[bound, _Fields], ...]]] = ContextVar(
    "mozlog_blocks", default=()
)

#: The id of the request being served, None outside of one; the field ``rid``.
request_id_context: ContextVar[str | None] = ContextVar("request_id", default=None)

#: What was bound here, and the request id; ``current()`` puts them together.
read_bound: Final = _bound.get
read_request_id: Final = request_id_context.get

_modules: Final = sys.modules


def bind(*positional: NoReturn, **fields: Any) -> None:
    """Add fields to every line logged from here on in this context.

    Raises:
        OptionError: Something was given without a name, such as a dict.
    """
    if positional:
        check_no_positional("bind", positional)
    _bound.set({**_bound.get(), **fields})


def unbind(*names: str) -> None:
    """Take fields out again; a name that is not bound is no error.

    Raises:
        OptionError: A name is no text, as where a list of names was given.
    """
    for name in names:
        if not isinstance(name, str):
            raise OptionError(
                f"unbind() was given {shown(name)}; it takes names: write unbind('user', 'cart'), "
                "or unbind(*names) for a list"
            )
    _bound.set({name: value for name, value in _bound.get().items() if name not in names})


def clear() -> None:
    """Take out all fields that were bound here, and the request id."""
    _bound.set(_NONE)
    request_id_context.set(None)


#: What is bound now, the request id included, for ``restore``; costs the same however much it is.
snapshot: Final[Callable[[], Context]] = copy_context


def restore(before: Context, handed_over: Context | None = None) -> None:
    """Make the context what it was when ``before`` was taken with ``snapshot()``.

    For servers of requests, whose threads and tasks are used again: what was
    bound on the way is taken out, fields of ``structlog.contextvars`` included.
    ContextVars that are not about logging are left alone.

    Args:
        before: What to go back to.
        handed_over: A later snapshot. What was bound or unbound after that one stays so,
            which is how a request keeps what its own outer layers have done.
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
    """Take out what was bound between the two snapshots, and nothing that came later."""
    if request_id_context.get() is handed_over.get(request_id_context):
        request_id_context.set(before.get(request_id_context))
    base, known = before.get(_bound, _NONE), handed_over.get(_bound, _NONE)

    def rebased(fields: _Fields) -> _Fields:
        if fields is known:
            return base
        # What was unbound later, as at the end of a block, stays unbound.
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
            # On leaving, a block goes back to what it has seen on entering.
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
    """Return whether ``current()`` may add to fields, at less than half of its price.

    True may be wrong, where a span or an unbound name of structlog is in the context.

    Args:
        fields: The names of the fields of the call, whose own ``rid`` wins.
    """
    return bool(
        read_bound()
        or (read_request_id() and "rid" not in fields)
        or structlog_registry()
        or ("opentelemetry.trace" in _modules and may_have_span())
    )


def get() -> dict[str, Any]:
    """Give a copy of what the next line will carry from the context."""
    return dict(current())


def current() -> Mapping[str, Any]:
    """Give what the next line will carry from the context, to be read and not changed.

    On a clash a field bound here wins over the request id, and both over what
    was bound with ``structlog.contextvars``; the current OpenTelemetry span
    comes last.
    """
    fields = read_bound()
    request_id = read_request_id()
    if request_id and "rid" not in fields:
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
        # Another thread may be importing it at this moment.
        theirs = {} if read is None else read()
        return {**theirs, **fields} if theirs else fields
    if not registry:
        return fields
    theirs = fields_now(registry)
    return {**theirs, **fields} if theirs else fields


def carry(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Give a function that runs in the context as it is now, wherever it is called.

    For what does not hand its context on by itself: ``loop.run_in_executor`` and
    thread pools, as in ``pool.submit(carry(work), item)``. It may be called
    often, and in several threads at once: each call gets a copy of its own.

    Raises:
        OptionError: It is given something else than a function, such as a call's result.
    """
    if not callable(function):
        raise OptionError(
            f"carry() was given {shown(function)}, which cannot be called; give it the function "
            "and its arguments apart: pool.submit(carry(work), item)"
        )
    captured = copy_context()

    @functools.wraps(function)
    def carried(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        return captured.copy().run(function, *args, **kwargs)

    return carried


class bound:  # noqa: N801 - read as a verb: ``with bound(user="ann"):``
    """Bind fields for the length of a block or of a call.

    Usable as a context manager and as a decorator of functions and coroutine
    functions. On leaving, the context is what it was on entering, whatever was
    bound or cleared in between. Raises ``TypeError`` when it decorates a
    generator function, whose body runs in the contexts of its callers, and
    ``OptionError`` where something is given without a name.
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
        # Left in another context than it was entered in, as when an abandoned
        # async generator is finalised, there is nothing here to go back to.
        for index in range(len(blocks) - 1, -1, -1):
            if blocks[index][0] is self:
                _blocks.set(blocks[:index])
                _bound.set(blocks[index][1])
                return

    def __call__(self, function: _F) -> _F:
        """Give a function that binds these fields for the length of each call."""
        import inspect  # costs as much as the rest of the package, and few need it

        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            name = getattr(function, "__name__", repr(function))
            raise TypeError(
                f"bound() cannot decorate the generator function {name}: between two yields its "
                "caller would log with these fields too; use `with bound(...)` inside it, around "
                "what does not yield"
            )
        fields = self._fields
        call = getattr(function, "__call__", None)  # noqa: B004 - objects may be called like one
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call):

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
