"""A short way past structlog's lazy proxy, for loggers that it keeps.

``structlog.get_logger()`` gives a proxy that makes the logger on its first use.
From then on it asks for the logger, and the logger for its method, on every
call: a fifth of the price of a line. Where the proxy keeps the logger that it
makes, it may as well have the methods.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable
from typing import Any, Final

import structlog

__all__ = ["bypass_proxy", "restore_proxies", "update_proxy"]

# A private name; without it there is no short way, and nothing else is different.
_CODE: Final = getattr(
    getattr(getattr(structlog, "_config", None), "BoundLoggerLazyProxy", None), "bind", None
)
_BIND: Final = getattr(_CODE, "__code__", None)


# The proxies that have methods, by the id of their logger, with that logger.
_bypassed: Final[dict[int, tuple[weakref.ref[Any], Any, tuple[str, ...]]]] = {}


def bypass_proxy(logger: Any, names: Iterable[str], *, depth: int) -> None:
    """Give methods of a logger to the proxy that is making it, if one is and keeps it.

    ``depth``: how many frames below the caller of this the proxy's would be.
    """
    caller = sys._getframe(depth + 1)  # noqa: SLF001 - a proxy tells nobody who it is
    if _BIND is None or caller.f_code is not _BIND:
        return
    proxy = caller.f_locals.get("self")
    is_kept = getattr(proxy, "_cache_logger_on_first_use", False)
    if is_kept is None:
        is_kept = structlog.get_config()["cache_logger_on_first_use"]
    if is_kept is True:
        key = id(logger)
        # The logger is kept with it, so that no other one has its id.
        ended = weakref.ref(proxy, lambda _: _bypassed.pop(key, None))
        _bypassed[key] = ended, logger, tuple(names)
        update_proxy(logger)


def update_proxy(logger: Any) -> None:
    """Set a logger's methods on the proxy that keeps it, if there is one."""
    proxy, _, names = _bypassed.get(id(logger), _NO_PROXY)
    methods = getattr(proxy(), "__dict__", None)
    if methods is not None:
        for name in names:
            methods.setdefault(name, getattr(logger, name))


def restore_proxies() -> None:
    """Take the methods away again: loggers are about to have others."""
    for proxy, logger, names in list(_bypassed.values()):
        methods = getattr(proxy(), "__dict__", {})
        for name in names:
            if getattr(methods.get(name), "__self__", None) is logger:
                methods.pop(name, None)


_NO_PROXY: Final[tuple[Any, None, tuple[str, ...]]] = (lambda: None, None, ())
