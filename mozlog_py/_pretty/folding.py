"""Lines that are wider than the terminal, folded here and not by the terminal.

A terminal folds at its last column, and continues at the margin. There a text could pass for
the head of a record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from .text_width import text_columns

__all__ = ["Part", "fold"]

#: A text of one line and its colour.
Part = tuple[str, str]

# Columns that a folded line has at least, besides its indent.
_LEAST_COLUMNS: Final = 16
# Characters. Lines that are longer, which need a limit above the usual one, are folded by
# characters: measuring each would take a second for a megabyte.
_LONG: Final = 32_768


def fold(
    parts: Sequence[Part], columns: int | None, indent: int, *, at_words: bool = False
) -> list[list[Part]]:
    """Return the lines that parts take, whose parts have a space between them.

    Args:
        parts: The parts of one line.
        columns: The columns of the terminal; None folds nothing.
        indent: The columns that the caller puts in front of each line but the first.
        at_words: Whether a part is folded at its spaces although it fits on a line of its own.
    """
    if columns is None or sum(text_columns(text) + 1 for text, _ in parts) <= columns + 1:
        return [[*parts]]
    room = max(_LEAST_COLUMNS, columns - indent)
    if sum(len(text) for text, _ in parts) > _LONG:
        return [[part] for part in _chunks(parts, room)]
    lines: list[list[Part]] = [[]]
    left = max(_LEAST_COLUMNS, columns)
    for text, color in _words(parts, room, at_words=at_words):
        width = text_columns(text)
        if width > left and lines[-1]:
            lines.append([])
            left = room
        start = 0
        while width > left:
            count, used = _fitting(text, start, left)
            lines[-1].append((text[start : start + count], color))
            lines.append([])
            start, width, left = start + count, width - used, room
        lines[-1].append((text[start:], color))
        left -= width + 1
    return lines


def _chunks(parts: Iterable[Part], room: int) -> Iterator[Part]:
    for text, color in parts:
        size = room if text.isascii() else room // 2
        for start in range(0, len(text), size):
            yield text[start : start + size], color


def _words(parts: Iterable[Part], room: int, *, at_words: bool) -> Iterator[Part]:
    for text, color in parts:
        if at_words or text_columns(text) > room:
            for word in text.split(" "):
                yield word, color
        else:
            yield text, color


def _fitting(text: str, start: int, columns: int) -> tuple[int, int]:
    """Return how many characters from ``start`` on fit, at least one, and their columns."""
    if text.isascii():
        return columns, columns
    used = 0
    for count, character in enumerate(text[start : start + columns + 1]):
        width = text_columns(character)
        if count and used + width > columns:
            return count, used
        used += width
    return len(text) - start, used
