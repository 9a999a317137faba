"""What is remembered by a name that data may have brought: a bounded number of short names.

Names of fields, headers, loggers and parameters are the clients' choice in the end. What
is found out about one is remembered, because names come again; a client that sends new
ones without end must fill no memory by it.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["LONGEST", "is_short", "remember"]

#: Characters (or bytes) of a name that is remembered. What is known of a longer one is
#: found out each time.
LONGEST: Final = 128


def remember(memo: dict[Any, Any], key: Any, value: Any, most: int, longest: int = LONGEST) -> None:
    """Put an entry into a memo, unless its key is too long; a full memo begins anew.

    The memo is an ordinary dict, so that to look something up in it costs no call.

    Args:
        memo: The entries.
        key: A name, a number, or a tuple of them.
        value: What is known of it.
        most: How many entries the memo may have.
        longest: How long a key may be: characters or bytes of a name; of a tuple those of all
            its members, and one more for each.
    """
    if is_short(key, longest):
        if len(memo) >= most and key not in memo:
            memo.clear()
        memo[key] = value


def is_short(key: Any, longest: int = LONGEST) -> bool:
    """Return whether a key may be remembered. ``longest``: as for ``remember``."""
    return _size(key) <= longest


def _size(key: Any) -> int:
    kind = type(key)
    if kind is str or kind is bytes:
        return len(key)
    if kind is tuple:
        return len(key) + sum(map(_size, key))
    # An id or a level; but data may bring a number of any length.
    return key.bit_length() // 64 if kind is int else 0
