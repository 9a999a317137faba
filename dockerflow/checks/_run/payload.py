"""The outcomes of all checks, in the form of a heartbeat's payload."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from dockerflow.checks.messages import level_to_text

from .check_result import PlainMessage
from .silenced_ids import ids_in

__all__ = ["NO_ID", "ChecksResults", "summarise"]

#: The key of messages without an id in ``levels``, which has no texts.
NO_ID: Final = "no id"


@dataclass
class ChecksResults:
    """The results of checks, ready for JSON.

    Attributes:
        details: The ``status``, ``level`` and ``messages`` by id of each check with a message.
        statuses: The name of the level of each check.
        level: The highest level; 0 without a message.
        levels: The same as ``details`` without texts: the name of each message's level, by
            id. Empty in an object that an application has made.
    """

    details: dict[str, dict[str, Any]]
    statuses: dict[str, str]
    level: int

    def __post_init__(self) -> None:
        # Not a field: upstream's class has three fields, and callers unpack them.
        self.levels: dict[str, dict[str, Any]] = {}


def summarise(
    found: Iterable[tuple[str, Iterable[PlainMessage]]], silenced_ids: Iterable[str]
) -> ChecksResults:
    """Return the results of checks.

    Checks of one name share an entry. Messages of one id share a text with a line for each.

    Args:
        found: The names and messages of checks.
        silenced_ids: The ids of messages to leave out.
    """
    silenced = ids_in(silenced_ids)
    by_check: dict[str, list[PlainMessage]] = {}
    for name, messages in found:
        by_check.setdefault(name, []).extend(each for each in messages if each.id not in silenced)
    details: dict[str, dict[str, Any]] = {}
    levels: dict[str, dict[str, Any]] = {}
    statuses: dict[str, str] = {}
    for name, kept in by_check.items():
        level = max((each.level for each in kept), default=0)
        statuses[name] = level_to_text(level)
        if level > 0:
            worst_of_check = {"status": statuses[name], "level": level}
            details[name] = {**worst_of_check, "messages": _by_id(kept)}
            levels[name] = {**worst_of_check, "messages": _levels_by_id(kept)}
    worst = max((detail["level"] for detail in details.values()), default=0)
    results = ChecksResults(details=details, statuses=statuses, level=worst)
    results.levels = levels
    return results


def _levels_by_id(messages: Iterable[PlainMessage]) -> dict[str, str]:
    levels: dict[str, int] = {}
    for each in messages:
        # The text, which is the key in details, must not appear here.
        key = each.id or NO_ID
        levels[key] = max(each.level, levels.get(key, 0))
    return {key: level_to_text(level) for key, level in levels.items()}


def _by_id(messages: Iterable[PlainMessage]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for each in messages:
        # Without an id the text is the key: None would merge all such messages.
        key = each.id or each.text
        texts[key] = f"{texts[key]}\n{each.text}" if each.id and key in texts else each.text
    return texts
