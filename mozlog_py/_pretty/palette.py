"""The colours of text for people.

Each colour is from the fixed part of the 256-colour table, and has a contrast of at least 3.5
both to white and to a dark grey (#1e1e1e). The first sixteen colours differ between terminals,
and white or yellow are unreadable on a light background.
"""

from __future__ import annotations

import zlib
from typing import Final

__all__ = [
    "DIM",
    "FAILURE",
    "REDIRECT",
    "STRONG",
    "SUCCESS",
    "WARNING",
    "color_of_id",
    "color_of_level",
    "paint",
    "plain",
]

#: Parameters of SGR, the terminal's command for colours (ECMA-48, 8.3.117).
DIM: Final = "38;5;244"
STRONG: Final = "1"
SUCCESS: Final = "38;5;29"
REDIRECT: Final = "38;5;31"
WARNING: Final = "38;5;166"
FAILURE: Final = "1;38;5;196"

_INFO: Final = "38;5;31"
_ERROR: Final = "38;5;196"

# None of them is the colour of an outcome.
_IDS: Final = tuple(
    f"38;5;{number}" for number in (33, 63, 64, 65, 67, 97, 99, 100, 132, 133, 134, 135, 168)
)


def paint(text: str, color: str) -> str:
    """Return a text of one line in a colour; an empty text and no colour stay as they are."""
    return f"\x1b[{color}m{text}\x1b[0m" if text and color else text


def plain(text: str, color: str) -> str:  # noqa: ARG001 - called in place of paint
    """Return a text without a colour."""
    return text


def color_of_id(request_id: str) -> str:
    """Return the colour of a request's id: the same in each process and at each time."""
    return _IDS[zlib.crc32(request_id.encode("utf-8", "replace")) % len(_IDS)]


def color_of_level(level: int) -> str:
    """Return the colour of a record's level.

    Args:
        level: The level's number in ``logging``.
    """
    if level >= 50:
        return FAILURE
    if level >= 40:
        return _ERROR
    if level >= 30:
        return WARNING
    return _INFO if level >= 20 else DIM
