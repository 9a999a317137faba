"""Copies of containers that have no more items than a line shows.

What a line would leave out is not searched for names, so a copy must leave it out as well.
"""

from __future__ import annotations

from typing import Any

from mozlog_py._values.record_budget import MORE_KEY, more_items
from mozlog_py._values.sanitiser import MAX_ITEMS, unique_key

from .masked_repr import MaskedRepr

__all__ = [
    "items_copied",
    "with_count",
    "with_count_member",
]


def items_copied(members: dict[Any, Any]) -> list[tuple[Any, Any]]:
    """Return the items of a dict that another thread may change."""
    try:
        return [*dict.items(members)]
    except RuntimeError:
        # Its size has changed meanwhile. One C call copies it whole.
        return [*dict.items(dict.copy(members))]


def with_count(items: list[Any], left_out: int) -> list[Any]:
    """Append to items how many more there are, and return them.

    Args:
        items: The items of a copy, of which the last makes room if the list is full.
        left_out: How many items the copy lacks; 0 or less for none.
    """
    if left_out > 0:
        if len(items) >= MAX_ITEMS:
            del items[-1]
            left_out += 1
        items.append(MaskedRepr(more_items(left_out)))
    return items


def with_count_member(members: dict[Any, Any], left_out: int) -> dict[Any, Any]:
    """Add to members how many more there are, and return them.

    Args:
        members: The members of a copy, of which the last makes room if the dict is full.
        left_out: How many members the copy lacks; 0 or less for none.
    """
    if left_out > 0:
        if len(members) >= MAX_ITEMS:
            members.popitem()
            left_out += 1
        members[unique_key(MORE_KEY, members)] = more_items(left_out)
    return members
