"""Memos whose keys come from data: bounded in the number of entries and in their length.

Clients choose names of fields, headers, loggers and parameters in the end. A memo keeps what
was computed for a name, because names recur. A client that sends ever new names must not
fill the memory.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["LONGEST", "is_short", "remember"]

#: Characters (or bytes) that a key may have. The value of a longer one is computed each time.
LONGEST: Final = 128


def remember(memo: dict[Any, Any], key: Any, value: Any, most: int, longest: int = LONGEST) -> None:
    """Put an entry into a memo, unless its key is too long; clear a full memo first.

    The memo is an ordinary dict, so that a lookup costs no call.

    Args:
        memo: The entries.
        key: A name, a number, or a tuple of them.
        value: The value for the key.
        most: The number of entries that the memo may have.
        longest: The length that a key may have: characters or bytes of a name; for a tuple
            those of all its members, and one more for each.
    """
    if is_short(key, longest):
        if len(memo) >= most and key not in memo:
            memo.clear()
        memo[key] = value


def is_short(key: Any, longest: int = LONGEST) -> bool:
    """Return whether a key is short enough for a memo. ``longest``: as for ``remember``."""
    return _size(key) <= longest


def _size(key: Any) -> int:
    kind = type(key)
    if kind is str or kind is bytes:
        return len(key)
    if kind is tuple:
        return len(key) + sum(map(_size, key))
    # Mostly an id or a level, but a number from data may have any length.
    return key.bit_length() // 64 if kind is int else 0
