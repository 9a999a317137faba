"""The classes of bound loggers, in which the methods of levels that are off do nothing.

A level that is off costs one empty call. Loggers that follow ``logging`` are therefore of
classes that hold until something changes there. Then the methods of these classes are
replaced by ones that find the logger its new class first: one call of each logger pays
for the change, and all others are as fast as with a level that never changes.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Final

from mozlog_py._process.process_id import process

from .lazy_proxy import restore_proxies
from .levels import ALIASES, LEVELS, METHODS, level_of
from .log_methods import ASYNC_METHODS, aexception, exception, noop, noop_async
from .log_methods import METHODS as LOG_METHODS
from .logging_changes import changes
from .other_handlers import ABOVE_ALL_LEVELS
from .sink_logger import SinkLogger

__all__ = ["class_at", "following_class"]

# A class is kept for as long as something else refers to it: levels and the classes that
# loggers are derived from may be made at run time. It keeps the latter, and their id.
_Key = tuple[int, "int | None", int, int]

_classes: Final[weakref.WeakValueDictionary[tuple[int, int], type]] = weakref.WeakValueDictionary()


def class_at(made_from: type, lowest: int) -> type:
    """Return the class of a level that never changes."""
    made = _classes.get((id(made_from), lowest))
    if made is None:
        made = _classes[id(made_from), lowest] = _make_class(made_from, lowest, {})
    return made


def following_class(made_from: type, logger: Any, fixed_level: int | None) -> type:
    """Return the class of a logger that follows ``logging``, as that is now.

    Args:
        made_from: What the class is derived from.
        logger: The logger below the bound one, which has the name.
        fixed_level: The lowest level, where only other handlers are followed.
    """
    changes.watch_levels()
    while True:
        epoch = _Epoch.current
        lowest = level_of(logger) if fixed_level is None else fixed_level
        others = logger.others if type(logger) is SinkLogger else None
        others_from = ABOVE_ALL_LEVELS if others is None else others.lowest_level(logger.name)
        made = epoch.class_for(made_from, fixed_level, lowest, others_from)
        # Else it was made of what is no longer so.
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
        """Begin a new epoch."""
        # First, so that a thread that adds a class to the former one notices.
        former, cls.current = cls.current, cls()
        outdated = list(former.classes.values())
        if not outdated:
            # No logger has a class of it, and all others are asking for one already.
            return
        for made in outdated:
            _outdate(made)
        restore_proxies()
        # Methods that an application keeps, and calls without a look at the class, notice by this.
        process.reset_after_fork()


_Epoch.current = _Epoch()
changes.subscribe(_Epoch.end)


def _make_class(made_from: Any, lowest: int, attributes: Mapping[str, Any]) -> type:
    """Make the class in which the methods of lower levels do nothing, and no others."""
    members: dict[str, Any] = {
        "__slots__": (),
        "_lowest": lowest,
        "_made_from": made_from,
        **attributes,
    }
    for name in (*LEVELS, *ALIASES):
        level = LEVELS[ALIASES.get(name, name)]
        if level < lowest:
            members[name], members[f"a{name}"] = noop, noop_async
        elif getattr(made_from, name) is noop:
            # Of a class of a higher level.
            members[name], members[f"a{name}"] = LOG_METHODS[level], ASYNC_METHODS[level]
    if lowest > logging.ERROR:
        members["exception"], members["aexception"] = noop, noop_async
    elif made_from.exception is noop:
        members["exception"], members["aexception"] = exception, aexception
    return type(made_from.__name__, (made_from,), members)


def _redirected(name: str) -> Callable[..., Any]:
    """Return a method that finds the logger its present class, and calls the one of that."""

    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        self._update_class()
        return getattr(self, name)(*args, **kwargs)

    method.__name__ = name
    return method


_REDIRECTED: Final = {
    name: _redirected(name)
    for name in (
        *METHODS,
        *(f"a{name}" for name in METHODS),
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
    """Have the loggers of a class look for another one, each at its next call."""
    setattr(made, "_is_outdated", True)  # noqa: B010 - as the methods are
    for name, method in _REDIRECTED.items():
        setattr(made, name, method)
