"""What all checks together gave, in the form that a heartbeat's payload has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from dockerflow.checks.messages import level_to_text

from .check_result import PlainMessage

__all__ = ["NO_ID", "ChecksResults", "summarise"]

#: The key of messages without an id, where their texts are not told.
NO_ID: Final = "no id"


@dataclass
class ChecksResults:
    """The results of running checks, ready for JSON.

    ``details``: of each check that had something to say, its ``status``, its
    ``level`` and its ``messages`` by id. ``statuses``: of each check, the name
    of its level. ``level``: the worst of all, 0 where there is no message.
    ``levels``: the same as ``details`` without any text: by id, the name of the
    level of each message. What is put together by hand has none.
    """

    details: dict[str, dict[str, Any]]
    statuses: dict[str, str]
    level: int

    def __post_init__(self) -> None:
        # No field: upstream's class has three, and people take them apart.
        self.levels: dict[str, dict[str, Any]] = {}


def summarise(
    found: Iterable[tuple[str, Iterable[PlainMessage]]], silenced_ids: Iterable[str]
) -> ChecksResults:
    """Put together what each check found, without messages whose id is silenced.

    Checks of one name share an entry, and messages of one id a text, in which
    each has its line.
    """
    silenced = set(silenced_ids)
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
        # Without an id the text is the key in details, and no text is to be told here.
        key = each.id or NO_ID
        levels[key] = max(each.level, levels.get(key, 0))
    return {key: level_to_text(level) for key, level in levels.items()}


def _by_id(messages: Iterable[PlainMessage]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for each in messages:
        # Without an id the text is the key: "null" would be one for all of them.
        key = each.id or each.text
        texts[key] = f"{texts[key]}\n{each.text}" if each.id and key in texts else each.text
    return texts
