"""Whether a text has a word in it, and not only as a part of a longer word."""

from __future__ import annotations

__all__ = ["has_word"]


def has_word(text: str, word: str) -> bool:
    """Return whether a text has a word that is not a part of a longer word, name or number.

    Args:
        text: The text.
        word: At least one character. It may itself have several words.
    """
    at = text.find(word)
    while at >= 0:
        before, after = text[at - 1 : at], text[at + len(word) : at + len(word) + 1]
        if not (_is_of_word(before) and _is_of_word(word[0])) and not (
            _is_of_word(after) and _is_of_word(word[-1])
        ):
            return True
        at = text.find(word, at + 1)
    return False


def _is_of_word(character: str) -> bool:
    return character == "_" or character.isalnum()
