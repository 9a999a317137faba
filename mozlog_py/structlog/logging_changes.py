"""Detects changes of levels and handlers in ``logging``, without a check in each call.

``logging`` clears the caches of all loggers when a level changes. One logger belongs to this
module, and its cache announces the change. ``watch_handlers`` wraps ``Logger.addHandler``. Other
changes are found when a line is made, at most every 20 ms: a list of handlers that is replaced
or edited, the level of a handler, and a method that an agent wraps.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, Final

import structlog

from mozlog_py._process.process_id import process
from mozlog_py._process.self_log import note
from mozlog_py._stdlib.patches import bound_member
from mozlog_py._values.class_lookup import type_name

__all__ = ["LoggingChanges", "changes"]

_OWN_NAME: Final = "mozlog_py.structlog"


class _Cache(dict[int, bool]):
    """The cache of this module's logger, which ``logging`` clears when a level changes."""

    __slots__ = ()

    def clear(self) -> None:
        super().clear()
        changes.announce()


class LoggingChanges:
    """Calls subscribers after a change in ``logging``.

    Attributes:
        call_handlers: What stood in ``logging.Logger`` as ``callHandlers`` at the last check.
        members: The present members of ``logging.Logger``. A member is what stands in the class.
            An access of the attribute returns another object each time for a descriptor, such as
            the wrappers of wrapt, which compares as a change without end.
    """

    __slots__ = ("_cache", "_loggers", "_own", "_own_add_handler", "_process_event", "_remembered",
                 "_subscribers", "call_handlers", "members")  # fmt: skip

    def __init__(self) -> None:
        self._subscribers: list[Callable[[], None]] = []
        self._cache = _Cache()
        self._own: logging.Logger | None = None
        self._own_add_handler: Callable[..., None] | None = None
        self._loggers = 0
        self._remembered: dict[int, tuple[logging.Logger, list[Any], list[Any]]] = {}
        self._read_members()

    def subscribe(self, subscriber: Callable[[], None]) -> None:
        """Register a function to be called after each change. It must not raise."""
        self._subscribers.append(subscriber)

    def has_other_call_handlers(self) -> bool:
        """Return whether ``callHandlers`` was replaced since the last check."""
        return vars(logging.Logger).get("callHandlers") is not self.call_handlers

    def has_agent_for_events(self) -> bool:
        """Return whether an agent has wrapped the method of structlog's loggers for each event.

        The method is private to structlog. Without it, there is no such agent.
        """
        member: Any = self._process_event
        if member is None:
            return False
        source = structlog.BoundLoggerBase.__init__.__code__.co_filename
        return type(member) is not FunctionType or member.__code__.co_filename != source

    def announce(self) -> None:
        """Call the subscribers."""
        self._remembered = {}
        self._loggers = len(logging.root.manager.loggerDict)
        self._read_members()
        for subscriber in self._subscribers:
            subscriber()

    def watch_levels(self) -> None:
        """Start to detect changes of levels. A second call is harmless."""
        if self._own is not None and self._is_watching():
            return
        own = logging.getLogger(_OWN_NAME)
        own._cache = self._cache  # type: ignore[attr-defined]  # noqa: SLF001
        self._own = own
        self._loggers = len(logging.root.manager.loggerDict)
        if self._check not in process.periodic:
            process.periodic.append(self._check)

    def watch_handlers(self) -> None:
        """Start to detect handlers that are added. A second call is harmless."""
        former: Any = vars(logging.Logger).get("addHandler")
        if former is None or former is self._own_add_handler:
            return

        @functools.wraps(logging.Logger.addHandler)
        def addHandler(self: logging.Logger, hdlr: logging.Handler) -> None:  # noqa: N802
            bound_member(former, self)(hdlr)
            changes.announce()

        self._own_add_handler = addHandler
        logging.Logger.addHandler = addHandler  # type: ignore[method-assign]

    def remember_handlers(self, logger: logging.Logger) -> None:
        """Remember the handlers of a logger, since a decision depends on them."""
        handlers = [*logger.handlers]
        levels = [getattr(handler, "level", None) for handler in handlers]
        self._remembered[id(logger)] = logger, handlers, levels

    def _read_members(self) -> None:
        self.members: Mapping[str, Any] = vars(logging.Logger)
        self.call_handlers: Any = self.members.get("callHandlers")
        self._process_event = vars(structlog.BoundLoggerBase).get("_process_event")

    def _is_watching(self) -> bool:
        own = self._own
        return (
            logging.root.manager.loggerDict.get(_OWN_NAME) is own
            and getattr(own, "_cache", None) is self._cache
        )

    def _check(self) -> None:
        """Call the subscribers if something has changed since the last check. Never raises."""
        try:
            self._compare()
        except Exception as error:
            note(f"handlers of logging were not checked: {type_name(type(error))}")

    def _compare(self) -> None:
        if not self._is_watching():
            # ``logging`` was reloaded, or its loggers were removed.
            self.watch_levels()
            if self._own_add_handler is not None:
                self.watch_handlers()
            self.announce()
        elif (
            self.has_other_call_handlers()
            or vars(structlog.BoundLoggerBase).get("_process_event") is not self._process_event
            or (self._remembered and len(logging.root.manager.loggerDict) != self._loggers)
            or any(map(_has_changed, list(self._remembered.values())))
        ):
            self.announce()


def _has_changed(seen: tuple[logging.Logger, list[Any], list[Any]]) -> bool:
    logger, handlers, levels = seen
    now = logger.handlers
    # By identity: a handler's class may define its own equality.
    return len(now) != len(handlers) or any(
        handler is not former or getattr(handler, "level", None) != level
        for handler, former, level in zip(now, handlers, levels, strict=False)
    )


#: Of this process.
changes: Final = LoggingChanges()
