"""Removes structlog's lazy proxy from the calls of loggers that it keeps.

``structlog.get_logger()`` returns a proxy, which makes the logger at its first use. With
``cache_logger_on_first_use`` it keeps the logger, and still looks up the method on every call:
a fifth of the cost of a line. Here the methods of the logger are set as attributes of the proxy,
so that a call finds them there. ``docs/design/structlog-proxy.md`` has the reasons.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable
from typing import Any, Final

import structlog

__all__ = ["bypass_proxy", "restore_proxies", "update_proxy"]

# ``_config`` is private to structlog. If it moves, no proxy is bypassed and nothing else changes.
_BIND_METHOD: Final = getattr(
    getattr(getattr(structlog, "_config", None), "BoundLoggerLazyProxy", None), "bind", None
)
_BIND_CODE: Final = getattr(_BIND_METHOD, "__code__", None)


# The proxies that were given methods, by the id of their logger: the proxy, the logger, and the
# names of the methods.
_bypassed: Final[dict[int, tuple[weakref.ref[Any], Any, tuple[str, ...]]]] = {}


def bypass_proxy(logger: Any, names: Iterable[str], *, depth: int) -> None:
    """Set methods of a logger on the proxy that is making it, if that proxy keeps it.

    Args:
        logger: The logger that the proxy is making. It must be usable: another thread may call
            one of its methods at once.
        names: The names of the methods.
        depth: How many frames below the caller of this function the proxy's frame would be.
    """
    # A proxy passes no reference to itself to what it calls.
    caller = sys._getframe(depth + 1)  # noqa: SLF001
    if _BIND_CODE is None or caller.f_code is not _BIND_CODE:
        return
    proxy = caller.f_locals.get("self")
    is_kept = getattr(proxy, "_cache_logger_on_first_use", False)
    if is_kept is None:
        is_kept = structlog.get_config()["cache_logger_on_first_use"]
    if is_kept is True:
        key = id(logger)
        # The entry holds the logger, so that no other object gets its id.
        ended = weakref.ref(proxy, lambda _: _bypassed.pop(key, None))
        _bypassed[key] = ended, logger, tuple(names)
        update_proxy(logger)


def update_proxy(logger: Any) -> None:
    """Set the methods that a logger has now on the proxy that keeps it, if there is one."""
    proxy, _, names = _bypassed.get(id(logger), _NO_PROXY)
    methods = getattr(proxy(), "__dict__", None)
    if methods is not None:
        for name in names:
            methods.setdefault(name, getattr(logger, name))


def restore_proxies() -> None:
    """Remove the methods from all proxies, since their loggers are about to get others."""
    for proxy, logger, names in list(_bypassed.values()):
        methods = getattr(proxy(), "__dict__", {})
        for name in names:
            if getattr(methods.get(name), "__self__", None) is logger:
                methods.pop(name, None)


_NO_PROXY: Final[tuple[Any, None, tuple[str, ...]]] = (lambda: None, None, ())
