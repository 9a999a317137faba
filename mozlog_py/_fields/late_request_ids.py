"""The ids of requests on the lines that are logged after a request's context has ended.

A server logs an exception of the application, and its access line, after the application has
returned. No context has the request's id by then. So the exception carries the id, and the
server's context carries that of the last request.
"""

from __future__ import annotations

from contextvars import ContextVar
from threading import get_ident
from typing import Any, Final

from mozlog_py._process.memo import remember
from mozlog_py._values.class_lookup import type_name
from mozlog_py._values.tracebacks import (
    as_exc_info,
    attributes_of,
    cause_of,
    context_of,
    group_of_one,
)

__all__ = [
    "add_request_id",
    "attach_request_id",
    "remember_served",
    "request_id_of",
    "served",
    "take_failed",
    "take_served",
]

_ATTRIBUTE: Final = "_mozlog_request_id"
# A chain may be a circle, and has no bound of its own.
_MAX_EXCEPTIONS: Final = 50

# Threads end without notice.
_MAX_THREADS: Final = 1000

#: Of each thread, the last exception that left a request, by its type's name, and the id.
_failed: Final[dict[int, tuple[str, str]]] = {}
# The last request of a context: its id, its method, its path, and whether it has a summary.
_served: Final[ContextVar[tuple[str | None, str, str, bool] | None]] = ContextVar(
    "mozlog_served", default=None
)


def attach_request_id(error: BaseException, request_id: str) -> None:
    """Attach a request's id to an exception, for lines about it where no context has an id.

    The outermost code that sees the exception calls this before the request's context ends. Never
    raises. The latest id counts: an exception of a request within a request ends as that of the
    outer one.

    Args:
        error: What the application raised; exceptions that have it as their cause or
            context, and groups of it alone, have its id as well.
        request_id: The request's id, which is the field ``rid``.
    """
    try:
        # Past the class's own __setattr__, which may refuse or raise.
        attributes_of(error)[_ATTRIBUTE] = request_id
        _attached.is_any = True
        if served.is_wanted:
            remember(_failed, get_ident(), (type_name(type(error)), request_id), _MAX_THREADS)
    except Exception:
        # The value is not an exception. Its line is made without the id.
        pass


def request_id_of(exc_info: Any) -> str | None:
    """Return the id that was attached to an exception or to one that led to it, else None.

    The nearest counts: the exception's own, then that of its cause, then that of
    its context. Never raises.

    Args:
        exc_info: An exception, a triple, or True for the one that is being handled.
    """
    try:
        triple = as_exc_info(exc_info)
        chain = [] if triple is None else [triple[1]]
        # The list grows while it is iterated.
        for error in chain:
            found = attributes_of(error).get(_ATTRIBUTE)
            if type(found) is str and found:
                return found
            for earlier in (cause_of(error), context_of(error), group_of_one(error)):
                # By identity: an exception's class may have an equality of its own.
                if (
                    earlier is not None
                    and len(chain) < _MAX_EXCEPTIONS
                    and all(earlier is not known for known in chain)
                ):
                    chain.append(earlier)
    except Exception:
        # The value in place of an exception may be of any type.
        pass
    return None


def add_request_id(fields: dict[Any, Any], exc_info: Any) -> None:
    """Add the id that was attached to an exception to fields that have no ``rid``.

    Args:
        fields: The line's fields of its call and of its context.
        exc_info: As for ``request_id_of``.
    """
    if not _attached.is_any or fields.get("rid") is not None:
        return
    request_id = request_id_of(exc_info)
    if request_id is not None:
        fields["rid"] = request_id


class _Attached:
    """Whether an id was attached to any exception of this process."""

    is_any = False


_attached: Final = _Attached()


class _Served:
    """Whether the ids of requests that were served are kept, for a server's access log."""

    def __init__(self) -> None:
        # Each request reads it, and an attribute of the class takes several times as long.
        self.is_wanted = False


#: ``is_wanted`` becomes True with the first filter that sets ids on a server's access records.
served: Final = _Served()


def remember_served(
    request_id: str | None, method: str, path: str, *, has_summary: bool = False
) -> None:
    """Keep the id of the request that ends here, for the server's access line.

    Worth calling only where ``served.is_wanted``.

    Args:
        request_id: The request's id.
        method: Its method, as the access line has it.
        path: Its path, likewise.
        has_summary: Whether the request has a summary, or will have one.
    """
    _served.set((request_id, method, path, has_summary))


def take_served(method: Any, path: Any) -> tuple[str | None, bool]:
    """Return the id of the last request of this context, and whether it has a summary.

    The request is forgotten. Where that was another request, the result is ``(None, False)``. A
    server logs no line for a client that has gone, and the application may never see the next
    request of the connection.

    Args:
        method: The method in the access line.
        path: The path in the access line.
    """
    found = _served.get()
    if found is None:
        return None, False
    _served.set(None)
    request_id, *served_as, has_summary = found
    return (request_id, has_summary) if served_as == [method, path] else (None, False)


def take_failed(line: str) -> str | None:
    """Return the id of the request that failed last in this thread, and forget it.

    For a server that logs the text of an exception instead of the exception.

    Args:
        line: The line of a traceback that names the exception, as in ``module.Error: text``.

    Returns:
        None where the request ended with an exception of another name.
    """
    name, request_id = _failed.pop(get_ident(), (None, None))
    named = line.partition(":")[0].rpartition(".")[2]
    return request_id if name is not None and name.rpartition(".")[2] == named else None
