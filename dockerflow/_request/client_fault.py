"""Exceptions that a server raises to the application because of what its client has sent.

A server that has refused a request, or that the client has left, tells the application
by an exception of ``send()``, of ``receive()`` or of the body's ``read()``. It passes
through the application like a bug of the application's own.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Final

from mozlog_py._values.tracebacks import cause_of, context_of, group_of_one

from .server_task import SERVERS, package_of

__all__ = [
    "BAD_REQUEST",
    "CLIENT_CLOSED_REQUEST",
    "error_of_server",
    "is_raised_by",
    "status_of_client_fault",
]

#: What the server answers itself where a client has sent what is no HTTP.
BAD_REQUEST: Final = 400
#: The code of a request whose client was gone before there was a status, as nginx has it.
CLIENT_CLOSED_REQUEST: Final = 499

# Servers, and the protocols' own libraries below them.
_PACKAGES: Final = SERVERS | {"h11", "h2", "waitress", "wsgiref", "wsproto"}
# The servers of packages that applications use for other work as well.
_SERVER_MODULES: Final = frozenset({"gevent.pywsgi", "werkzeug.serving"})
# Where h11 says that the connection's state does not allow what the application sends. It
# says elsewhere what is wrong with that itself, as with a line break in a header.
_STATE: Final = "h11._state"
# Where gunicorn reads a body; what it says of a bad header may be about the response's.
_READING: Final = frozenset({"gunicorn.http.body", "gunicorn.http.unreader"})
# What a socket says whose other end is gone, and what a server that reads makes of it.
_GONE: Final = frozenset({errno.EBADF, errno.ENOTCONN, errno.EHOSTUNREACH, errno.ENETUNREACH})
_GONE_NAMES: Final = frozenset({"ClientDisconnected", "NoMoreData"})
# What a server's write gets of uvloop where the transport is closed. asyncio ignores the write.
_CLOSED_TRANSPORT: Final = "unable to perform operation on "
_EVENT_LOOPS: Final = frozenset({"asyncio", "uvloop"})
# Django's own error for a body that cannot be read, by its module and its name.
_UNREADABLE: Final = ("django.http.request", "UnreadablePostError")
# WebOb's own error for a body that ends early. It reads the body in the application's frames.
_ENDED_EARLY: Final = ("webob.request", "DisconnectionError")
# Pyramid looks for a view of an exception, and raises that exception again where it finds none.
_NO_EXCEPTION_VIEW: Final = ("pyramid.tweens", "HTTPNotFound")
# How tasks of a group are cancelled.
_CANCELLATIONS: Final = frozenset({"Cancelled", "CancelledError"})
# A chain may be a circle, and a traceback as deep as the stack.
_MAX_EXCEPTIONS: Final = 50
_MAX_FRAMES: Final = 5000


def status_of_client_fault(error: BaseException) -> int | None:
    """Return the status that an exception stands for if it is the client's doing, else None.

    An application that fails by itself and can then not answer has raised both: that is
    no fault of the client's. Only asked where a request has failed. Never raises.

    Args:
        error: What the application did not handle.
    """
    try:
        while (inner := group_of_one(error)) is not None:
            # Frameworks stream in a task group of one.
            error = inner
        error, is_reading = _unwrapped(error)
        status = _status_of(error, is_servers=is_reading)
        return None if status is None or _hides_another(error) else status
    except Exception:
        # An exception whose class has attributes of its own kind.
        return None


def is_raised_by(package: str, error: BaseException) -> bool:
    """Return whether the code that has raised an exception is a package's."""
    modules = [*_modules_of(error)]
    return bool(modules) and package_of(modules[-1]) == package


def error_of_server(error: BaseException) -> Exception | None:
    """Return an exception that is being handled if the code of a server handles it, else None.

    Args:
        error: What ``sys.exc_info()`` has. An application that calls another one in-process may
            handle an exception of its own around that call.
    """
    if not isinstance(error, Exception) or isinstance(error, StopIteration):
        # What ends a worker says nothing of the response, and the end of the body is none of it.
        return None
    return error if _is_servers(next(_modules_of(error), "")) else None


def _unwrapped(error: BaseException) -> tuple[BaseException, bool]:
    """Return the error that a framework has raised its own from, to say the same.

    Returns:
        The error; and whether a framework had it of a body that it read for the application.
        Then it is the server's even if no frame shows that, as where the server is written in C.
    """
    is_reading = False
    for _ in range(_MAX_EXCEPTIONS):
        cause = cause_of(error)
        if (
            cause is None
            or cause is not context_of(error)
            or not (isinstance(error, OSError) and isinstance(cause, OSError))
            or error.errno != cause.errno
            or any(map(_is_servers, _modules_of(error)))
        ):
            break
        kind = type(error)
        is_reading = is_reading or (kind.__module__, kind.__name__) == _UNREADABLE
        error = cause
    return error, is_reading


def _status_of(error: BaseException, *, is_servers: bool = False) -> int | None:
    kind = type(error)
    modules = [*_modules_of(error)]
    if (kind.__module__, kind.__name__) == _ENDED_EARLY and modules[-1:] == [_ENDED_EARLY[0]]:
        return CLIENT_CLOSED_REQUEST
    if not (is_servers or any(map(_is_servers, modules))):
        return None
    if kind is RuntimeError:
        return CLIENT_CLOSED_REQUEST if _is_of_closed_transport(error, modules) else None
    if package_of(kind.__module__) in _PACKAGES:
        if kind.__name__ in _GONE_NAMES:
            return CLIENT_CLOSED_REQUEST
        if kind.__name__ == "RemoteProtocolError":
            return BAD_REQUEST
        if kind.__name__ == "LocalProtocolError":
            return BAD_REQUEST if modules[-1] == _STATE else None
        if not _READING.isdisjoint(modules):
            return BAD_REQUEST
    if isinstance(error, OSError):
        if (
            isinstance(error, (ConnectionError, TimeoutError))
            or error.errno in _GONE
            or kind.__name__ in _GONE_NAMES
        ):
            return CLIENT_CLOSED_REQUEST
        # One with a number is the system's, such as that of a file which is not there. gevent
        # raises one with two texts, and the first of these is its errno then.
        return None if isinstance(error.errno, int) else BAD_REQUEST
    return None


def _is_of_closed_transport(error: BaseException, modules: list[str]) -> bool:
    """Return whether a server has written to a transport of uvloop that is closed.

    An application may use such transports as well, as for its database.
    """
    if package_of(modules[-1]) != "uvloop":
        return False
    writer = next((each for each in reversed(modules) if package_of(each) not in _EVENT_LOOPS), "")
    return _is_servers(writer) and str(error).startswith(_CLOSED_TRANSPORT)


def _hides_another(error: BaseException) -> bool:
    """Return whether the application was handling an exception of its own."""
    pending = _earlier(error)
    for _ in range(_MAX_EXCEPTIONS):
        if not pending:
            return False
        earlier = pending.pop()
        if group_of_one(earlier) is error:
            # Starlette takes it out of a task group, which has cancelled its other tasks.
            cancelled = context_of(earlier)
            if cancelled is not None:
                is_of_group = type(cancelled).__name__ in _CANCELLATIONS
                pending += _earlier(cancelled) if is_of_group else [cancelled]
            continue
        earlier, is_reading = _unwrapped(earlier)
        first = next(_modules_of(earlier), "")
        if (first, type(earlier).__name__) == _NO_EXCEPTION_VIEW:
            # It came behind the exception that was raised again.
            pending += _earlier(earlier)
            continue
        # Those of the server's own code never were the application's.
        if not _is_servers(first) and _status_of(earlier, is_servers=is_reading) is None:
            return True
        pending += _earlier(earlier)
    return True


def _earlier(error: BaseException) -> list[BaseException]:
    """Return the exceptions that were there before: the context, and the cause beside it."""
    context, cause = context_of(error), cause_of(error)
    found = [] if context is None else [context]
    return found if cause is None or cause is context else [*found, cause]


def _modules_of(error: BaseException) -> Iterator[str]:
    """Yield the modules of a traceback's frames, the outermost first."""
    traceback = error.__traceback__
    for _ in range(_MAX_FRAMES):
        if traceback is None:
            return
        yield str(traceback.tb_frame.f_globals.get("__name__", ""))
        traceback = traceback.tb_next


def _is_servers(module: str) -> bool:
    return package_of(module) in _PACKAGES or module in _SERVER_MODULES
