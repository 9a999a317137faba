"""Whether a request is served in a task that its server made for it.

Such a task ends with the request, and the server's last lines in it are about the request.
An application that is called in-process (``httpx.ASGITransport``, a test client) runs in its
caller's task, which goes on with other work.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, Final

from mozlog_py._process.memo import remember

__all__ = [
    "SERVERS",
    "is_called_by_server",
    "is_channel_of_server",
    "is_server_task",
    "package_of",
]

#: Packages that make a task for each request or connection.
SERVERS: Final = frozenset({"daphne", "granian", "gunicorn", "hypercorn", "uvicorn"})

# Packages whose layers are not part of an application.
_TRANSPARENT: Final = SERVERS | {
    "asgiref", "dockerflow", "fastapi", "opentelemetry", "sentry_sdk", "starlette",
}  # fmt: skip
# Clients that call an application in their own task.
_CLIENTS: Final = frozenset({"async_asgi_testclient", "httpx"})
_EVENT_LOOPS: Final = frozenset({"asyncio", "trio", "uvloop"})

_modules: Final = sys.modules
# Keyed by the module of a channel, and by the code of a task's outermost coroutine.
_servers_channels: Final[dict[Any, bool]] = {}
_servers_tasks: Final[dict[int, tuple[CodeType, bool]]] = {}
_MAX_KNOWN: Final = 256


def is_channel_of_server(send: Callable[..., Any]) -> bool:
    """Return whether ``send`` is a server's own, so that no other layer has seen the request."""
    module = getattr(send, "__module__", None)
    known = _servers_channels.get(module)
    if known is None:
        # A method written in C or Rust has no module of its own, only its type has.
        known = package_of(module or type(getattr(send, "__self__", None)).__module__) in SERVERS
        if type(module) is str:
            remember(_servers_channels, module, known, _MAX_KNOWN)
    return known


def is_server_task() -> bool:
    """Return whether the running task was made by a server, and serves no in-process call."""
    if not (
        "uvicorn" in _modules
        or "hypercorn" in _modules
        or "granian" in _modules
        or "daphne" in _modules
        or "gunicorn" in _modules
    ):
        # Tested first: it takes a tenth of the time of the rest.
        return False
    coroutine = _outermost_coroutine()
    code = getattr(coroutine, "cr_code", None)
    if type(code) is not CodeType:
        return False
    # The hash of a code object takes longer than all the rest. The entry keeps the object
    # alive, and so its id.
    entry = _servers_tasks.get(id(code))
    if entry is not None:
        known = entry[1]
    else:
        frame = getattr(coroutine, "cr_frame", None)
        module = "" if frame is None else str(frame.f_globals.get("__name__", ""))
        # The lifespan task serves no request.
        is_lifespan = "lifespan" in f"{module}.{code.co_name}"
        known = package_of(module) in SERVERS and not is_lifespan
        remember(_servers_tasks, id(code), (code, known), _MAX_KNOWN)
    return known and not any(_package_of_frame(each) in _CLIENTS for each in _callers())


def is_called_by_server() -> bool:
    """Return whether no layer of the application is between the server and the caller.

    Such a layer may have bound fields of its request. Without one, all bindings were made
    before the server started. The function walks up the stack, so it is called only for the
    few requests that begin with bindings.
    """
    return all(_package_of_frame(each) in _TRANSPARENT for each in _callers())


def _callers() -> list[FrameType]:
    """Return the frames of the coroutines that await the calling one, up to the event loop."""
    frames = []
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - there is no other way to see them
    while frame is not None and _package_of_frame(frame) not in _EVENT_LOOPS:
        frames.append(frame)
        frame = frame.f_back
    return frames


def _package_of_frame(frame: FrameType) -> str:
    return package_of(frame.f_globals.get("__name__"))


def package_of(module: object) -> str:
    """Return the package of a module, by the module's name."""
    return str(module).partition(".")[0]


def _outermost_coroutine() -> Any:
    asyncio = _modules.get("asyncio")
    if asyncio is not None:
        try:
            # Given the loop, current_task() takes a third of the time.
            loop = asyncio._get_running_loop()  # noqa: SLF001 - exported for event loops
            if loop is not None:
                return asyncio.current_task(loop).get_coro()
        except AttributeError:
            # No task runs, or another thread is importing asyncio at this moment.
            return None
    trio = _modules.get("trio")
    if trio is not None:
        try:
            return trio.lowlevel.current_task().coro
        except RuntimeError:
            return None
    return None
