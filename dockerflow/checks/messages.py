"""The messages that a check returns, each with a level, a text and an id.

They are modelled on the messages of Django's system checks, which are accepted as well.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = [
    "CRITICAL",
    "DEBUG",
    "ERROR",
    "INFO",
    "MASK",
    "STATUSES",
    "WARNING",
    "CheckMessage",
    "Critical",
    "Debug",
    "Error",
    "Info",
    "Warning",
    "level_to_text",
]

DEBUG: Final = 10
INFO: Final = 20
WARNING: Final = 30
ERROR: Final = 40
CRITICAL: Final = 50

#: The names of levels in a heartbeat's payload; 0 is the level of a check without messages.
STATUSES: Final = {
    0: "ok",
    DEBUG: "debug",
    INFO: "info",
    WARNING: "warning",
    ERROR: "error",
    CRITICAL: "critical",
}

#: Stands in a message in place of a secret.
MASK: Final = "***"

_COMPARED: Final = ("level", "msg", "hint", "obj", "id")


def level_to_text(level: int) -> str:
    """Return the name of a level; ``unknown`` for a level without a name."""
    return STATUSES.get(level, "unknown")


class CheckMessage:
    """One message of a check. The subclasses have a level each.

    Args:
        msg: A sentence for people.
        level: A level as of ``logging``; by default that of the class.
        hint: How to solve the problem.
        obj: The object that the message is about.
        id: A constant name for machines, such as ``"shop.checks.E001"``. Messages are
            silenced by it.

    Raises:
        ValueError: The level is a text that is no number.
        TypeError: The level is of a type that has no number.
    """

    level: int = ERROR

    __hash__ = None  # type: ignore[assignment]  # messages can be changed

    def __init__(
        self,
        msg: Any,
        level: int | None = None,
        hint: Any = None,
        obj: Any = None,
        id: str | None = None,  # noqa: A002 - upstream's name
    ) -> None:
        self.msg = msg
        if level:
            self.level = int(level)
        self.hint = hint
        self.obj = obj
        self.id = id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and all(
            getattr(self, name) == getattr(other, name) for name in _COMPARED
        )

    def __str__(self) -> str:
        about = "?" if self.obj is None else self.obj
        name = f"({self.id}) " if self.id else ""
        hint = f"\n\tHINT: {self.hint}" if self.hint else ""
        return f"{about}: {name}{self.msg}{hint}"

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in _COMPARED)
        return f"<{type(self).__name__}: {shown}>"

    def is_serious(self, level: int = ERROR) -> bool:
        """Return whether the message has at least this level."""
        return self.level >= level


class Debug(CheckMessage):
    """A message for developers. The check passes."""

    level = DEBUG


class Info(CheckMessage):
    """An information. The check passes."""

    level = INFO


class Warning(CheckMessage):  # noqa: A001 - upstream's name
    """A problem to look into. The check passes."""

    level = WARNING


class Error(CheckMessage):
    """A failure. The heartbeat fails."""

    level = ERROR


class Critical(CheckMessage):
    """A failure without which the service cannot work. The heartbeat fails."""

    level = CRITICAL
