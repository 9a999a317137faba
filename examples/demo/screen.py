"""Prints columns and long lines within 100 columns; in colour on a terminal only."""

import os
import re
import sys
from collections.abc import Sequence

WIDTH = 100
INDENT = "   "

_CODES = {"good": "32", "bad": "31", "dim": "2", "bold": "1"}
_PIECE = re.compile("(\x1b\\[[0-9;]*m)")


def is_coloured() -> bool:
    """Return whether stdout shows colours: a terminal, without ``NO_COLOR``."""
    return (
        sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def paint(text: str, style: str) -> str:
    """Return a text in a style, or as it is where there are no colours."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if is_coloured() else text


def cut(text: str, width: int) -> str:
    """Return a text of at most so many characters, on one line."""
    text = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
    return text if len(text) <= width else f"{text[: width - 3]}..."


def row(cells: Sequence[str], widths: Sequence[int], styles: Sequence[str]) -> None:
    """Print cells beside each other.

    Args:
        cells: The text of each.
        widths: The width of each in characters.
        styles: The style of each, or an empty text.
    """
    shown = []
    for text, width, style in zip(cells, widths, styles, strict=True):
        fitting = cut(text, width)
        padding = " " * (width - len(fitting))
        shown.append((paint(fitting, style) if style else fitting) + padding)
    print((INDENT + "  ".join(shown)).rstrip())


def wrapped(line: str) -> None:
    """Print a line that may be longer than the screen; its further parts are indented."""
    indent, used, shown = INDENT, len(INDENT), ""
    for piece in _PIECE.split(line.rstrip("\n")):
        if _PIECE.fullmatch(piece):
            shown += piece
            continue
        for character in piece:
            if used == WIDTH:
                print(indent + shown)
                indent, shown = INDENT + "  ", ""
                used = len(indent)
            shown, used = shown + character, used + 1
    print(indent + shown)
