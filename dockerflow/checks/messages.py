"""What a check gives: a list of messages, each with a level, a text and an id.

Modelled on the messages of Django's system checks, which are accepted as well.
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

#: What a level is called in a heartbeat's payload; 0 is that of no message at all.
STATUSES: Final = {
    0: "ok",
    DEBUG: "debug",
    INFO: "info",
    WARNING: "warning",
    ERROR: "error",
    CRITICAL: "critical",
}

#: What stands in a message in place of a secret.
MASK: Final = "***"

_COMPARED: Final = ("level", "msg", "hint", "obj", "id")


def level_to_text(level: int) -> str:
    """Give the name of a level; ``unknown`` for one that has none."""
    return STATUSES.get(level, "unknown")


class CheckMessage:
    """One thing that a check has to say; use a subclass, which has its level.

    ``msg``: a sentence for people. ``level``: as of ``logging``; the class's own
    by default, and ``ERROR`` where the class has none. ``hint``: what to do about
    it. ``obj``: what it is about. ``id``: a constant name for machines, such as
    ``"shop.checks.E001"``; messages are silenced by it. Raises ``ValueError``
    or ``TypeError`` for a level that is no number.
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
        """Tell whether the message is at least of this level."""
        return self.level >= level


class Debug(CheckMessage):
    """Something for developers; the check passes."""

    level = DEBUG


class Info(CheckMessage):
    """Something to know; the check passes."""

    level = INFO


class Warning(CheckMessage):  # noqa: A001 - upstream's name
    """Something to look into; the check passes."""

    level = WARNING


class Error(CheckMessage):
    """Something that does not work; the heartbeat fails."""

    level = ERROR


class Critical(CheckMessage):
    """Something without which nothing works; the heartbeat fails."""

    level = CRITICAL
