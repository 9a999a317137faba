"""A name and its value in a pair: two items, or two members of an object."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Final

__all__ = ["is_secret_pair", "mask_pairs"]

# The members of a dict that is a pair, as in manifests and HAR files.
_MEMBERS: Final = (("name", "value"), ("key", "value"), ("Name", "Value"), ("Key", "Value"))


def is_secret_pair(items: list[Any], is_secret: Callable[[Any], bool]) -> bool:
    """Return whether items are a name and its value, as headers often are, and it is secret.

    Args:
        items: The items of a sequence.
        is_secret: Returns whether a name is that of a credential.
    """
    return len(items) == 2 and _is_name(items[0]) and is_secret(items[0])


def mask_pairs(members: dict[Any, Any], is_secret: Callable[[Any], bool], marker: str) -> None:
    """Replace the value of a pair that a dict is, or that the fields of a call are.

    Args:
        members: The dict, which is changed.
        is_secret: Returns whether a name is that of a credential.
        marker: The text in place of the value. None stays.
    """
    for name, value in _MEMBERS:
        if (
            value in members
            and members[value] is not None
            and _is_name(named := members.get(name))
            and is_secret(named)
        ):
            members[value] = marker


def _is_name(value: Any) -> bool:
    """Return whether a value may be the name in a pair."""
    return issubclass(type(value), (str, bytes, bytearray, enum.Enum))
