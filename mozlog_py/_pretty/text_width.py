"""The columns that texts take, and the columns that a terminal has."""

from __future__ import annotations

import os
import unicodedata
from typing import Final

__all__ = ["padded", "terminal_columns", "text_columns"]

# Characters whose width is looked up. In longer texts each counts as two columns.
_MEASURED: Final = 32_768


def text_columns(text: str) -> int:
    """Return the columns that a text takes, which has no unsafe characters."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text)) if len(text) <= _MEASURED else 2 * len(text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def padded(text: str, columns: int) -> str:
    """Return a text with spaces behind it, so that it takes a number of columns or more."""
    return text + " " * (columns - text_columns(text))


def terminal_columns(otherwise: int) -> int:
    """Return the columns of the process's terminal, which may change at any time.

    ``COLUMNS`` of the environment wins, as for the standard library.

    Args:
        otherwise: The columns if the process has no terminal that tells them.
    """
    given = os.environ.get("COLUMNS", "")
    if given.isascii() and given.isdecimal() and int(given[:6]) > 0:
        return int(given[:6])
    for descriptor in (1, 2, 0):
        try:
            columns = os.get_terminal_size(descriptor).columns
        except (OSError, ValueError):
            # The descriptor is closed, or no terminal.
            continue
        if columns > 0:
            return columns
    return otherwise
