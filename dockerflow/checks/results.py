"""What all checks together gave, in the form that a heartbeat's payload has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .messages import level_to_text
from .outcome import Finding

__all__ = ["ChecksResults", "summarise"]


@dataclass
class ChecksResults:
    """The results of running checks, ready for JSON.

    ``details``: of each check that had something to say, its ``status``, its
    ``level`` and its ``messages`` by id. ``statuses``: of each check, the name
    of its level. ``level``: the worst of all, 0 where there is no message.
    """

    details: dict[str, dict[str, Any]]
    statuses: dict[str, str]
    level: int


def summarise(
    found: Iterable[tuple[str, Iterable[Finding]]], silenced_ids: Iterable[str]
) -> ChecksResults:
    """Put together what each check found, without messages whose id is silenced.

    Checks of one name share an entry, and messages of one id a text, in which
    each has its line.
    """
    silenced = set(silenced_ids)
    by_check: dict[str, list[Finding]] = {}
    for name, findings in found:
        by_check.setdefault(name, []).extend(each for each in findings if each.id not in silenced)
    details: dict[str, dict[str, Any]] = {}
    statuses: dict[str, str] = {}
    for name, kept in by_check.items():
        level = max((each.level for each in kept), default=0)
        statuses[name] = level_to_text(level)
        if level > 0:
            details[name] = {
                "status": statuses[name],
                "level": level,
                "messages": _by_id(kept),
            }
    worst = max((detail["level"] for detail in details.values()), default=0)
    return ChecksResults(details=details, statuses=statuses, level=worst)


def _by_id(findings: Iterable[Finding]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for each in findings:
        # Without an id the text is the key: "null" would be one for all of them.
        key = each.id or each.text
        texts[key] = f"{texts[key]}\n{each.text}" if each.id and key in texts else each.text
    return texts
