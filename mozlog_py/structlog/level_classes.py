"""The classes of bound loggers, in which the methods of disabled levels do nothing.

A disabled level costs one empty call. A logger that follows ``logging`` therefore has a class that
is valid until something changes there. A change replaces the methods of all these classes by
methods that first give the logger its new class. So one call of each logger pays for the change,
and all other calls are as fast as with a constant level.
"""

from __future__ import annotations

import logging
import sys
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Final

from mozlog_py._process.process_id import process
from mozlog_py._process.shared_state import living

from .lazy_proxy import restore_proxies
from .levels import ALIASES, LEVELS_BY_METHOD, METHOD_NAMES, level_of
from .log_methods import (
    ASYNC_LOG_METHODS,
    LOG_METHODS,
    aexception,
    exception,
    noop,
    noop_async,
)
from .logging_changes import changes
from .other_handlers import ABOVE_ALL_LEVELS
from .sink_logger import SinkLogger

__all__ = ["class_at", "following_class"]

_Key = tuple[int, "int | None", int, int]

# Under pytest, a test may replace a method of one logger, as ``mock.patch.object`` and
# ``monkeypatch.setattr`` do. Elsewhere a ``__dict__`` would cost 11 % of ``bind()`` and 22 % of a
# call of a disabled level. All classes have the same, since a logger changes from one to another.
_SLOTS: Final = ("__dict__",) if "mozlog_py.pytest_plugin" in sys.modules else ()

# Weak, since an application may create classes, and levels, at run time. A class refers to the one
# that it is derived from, so the id in the key stays valid.
_classes: Final[weakref.WeakValueDictionary[tuple[int, int], type]] = weakref.WeakValueDictionary()


def class_at(made_from: type, lowest: int) -> type:
    """Return the class of a constant level."""
    made = _classes.get((id(made_from), lowest))
    if made is None:
        made = _classes[id(made_from), lowest] = _make_class(made_from, lowest, {})
    return made


def following_class(made_from: type, logger: Any, fixed_level: int | None) -> type:
    """Return the class of a logger that follows ``logging``, for its present state.

    Args:
        made_from: The class that it is derived from.
        logger: The logger below the chain, which has the name.
        fixed_level: The constant lowest level, if only other handlers are followed.
    """
    changes.watch_levels()
    while True:
        epoch = _Epoch.current
        lowest = level_of(logger) if fixed_level is None else fixed_level
        others = logger.others if type(logger) is SinkLogger else None
        others_from = ABOVE_ALL_LEVELS if others is None else others.lowest_level(logger.name)
        made = epoch.class_for(made_from, fixed_level, lowest, others_from)
        # If the epoch has ended meanwhile, the levels were read too early.
        if epoch is _Epoch.current:
            return made


class _Epoch:
    """The classes between one change in ``logging`` and the next."""

    __slots__ = ("classes",)

    current: _Epoch

    def __init__(self) -> None:
        self.classes: weakref.WeakValueDictionary[_Key, type] = weakref.WeakValueDictionary()

    def class_for(
        self, made_from: type, fixed_level: int | None, lowest: int, others_from: int
    ) -> type:
        key = id(made_from), fixed_level, lowest, others_from
        made = self.classes.get(key)
        if made is None:
            following = {
                "_fixed_level": fixed_level,
                "_is_following": True,
                "_others_from": others_from,
            }
            made = self.classes[key] = _make_class(made_from, lowest, following)
            if self is not _Epoch.current:
                _outdate(made)
        return made

    @classmethod
    def end(cls) -> None:
        """Start a new epoch."""
        # First, so that a thread that adds a class to the former epoch notices.
        former, cls.current = cls.current, cls()
        outdated = living(former.classes)
        if not outdated:
            # No logger has a class of it; the others look for a class at their next call.
            return
        for made in outdated:
            _outdate(made)
        restore_proxies()
        # An application may keep a bound method, whose calls do not go through the class. Its
        # prefixes become invalid, so that it gets to ``_log_slow``, which checks the class.
        process.discard_prepared()


_Epoch.current = _Epoch()
changes.subscribe(_Epoch.end)


def _make_class(made_from: Any, lowest: int, attributes: Mapping[str, Any]) -> type:
    """Create a class in which the methods of lower levels do nothing, and no others."""
    members: dict[str, Any] = {
        # A class of the application may have a __dict__ already.
        "__slots__": () if made_from.__dictoffset__ else _SLOTS,
        "_lowest": lowest,
        "_made_from": made_from,
        **attributes,
    }
    for name in (*LEVELS_BY_METHOD, *ALIASES):
        level = LEVELS_BY_METHOD[ALIASES.get(name, name)]
        if level < lowest:
            members[name], members[f"a{name}"] = noop, noop_async
        elif getattr(made_from, name) is noop:
            # The base class has a higher level, so its method does nothing.
            members[name], members[f"a{name}"] = LOG_METHODS[level], ASYNC_LOG_METHODS[level]
    if lowest > logging.ERROR:
        members["exception"], members["aexception"] = noop, noop_async
    elif made_from.exception is noop:
        members["exception"], members["aexception"] = exception, aexception
    return type(made_from.__name__, (made_from,), members)


def _redirected(name: str) -> Callable[..., Any]:
    """Return a method that gives the logger its present class and calls the method there."""

    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        self._update_class()
        return getattr(self, name)(*args, **kwargs)

    method.__name__ = name
    return method


_REDIRECTED: Final = {
    name: _redirected(name)
    for name in (
        *METHOD_NAMES,
        *(f"a{name}" for name in METHOD_NAMES),
        "_binding",
        "getEffectiveLevel",
        "get_effective_level",
        "isEnabledFor",
        "is_enabled_for",
        "log",
        "alog",
    )
}


def _outdate(made: Any) -> None:
    """Have each logger of a class change to its present class at the next call."""
    setattr(made, "_is_outdated", True)  # noqa: B010 - set like the methods below
    for name, method in _REDIRECTED.items():
        setattr(made, name, method)
