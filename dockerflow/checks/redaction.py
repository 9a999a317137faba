"""Texts of other people's exceptions, without the credentials that they may quote."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["redact"]

#: What stands in place of a secret.
MASK: Final = "***"

_MAX_CHARACTERS: Final = 500

# Up to the last "@" of the word: a password may hold one that nobody encoded.
_USER_INFO: Final = re.compile(r"(?<=://)[^\s\"'<>]*@")
_NAMED: Final = re.compile(
    r"""(?ix)
    ( (?: passw (?:or)? d | passphrase | pwd | secret | token | api_?key | credentials? )
      [\w.-]{0,20} ["']? \s{0,3} [=:] \s{0,3} )
    ( " (?: [^"\\] | \\. )* " | ' (?: [^'\\] | \\. )* ' | [^\s,;&)\]}"']+ )
    """
)
# What is looked at, of a text of any length: the patterns are slow on long words.
_MAX_READ: Final = 2000


def redact(text: str, *secrets: object) -> str:
    """Give a text on one line, at most 500 characters long, without credentials.

    What stands before the host in a URL and after names such as ``password=``
    is masked, and so is each of ``secrets`` that is known (those that are
    empty or no text are passed over).
    """
    for secret in sorted((s for s in secrets if isinstance(s, str) and s), key=len, reverse=True):
        text = text.replace(secret, MASK)
    text = " ".join(text.split())
    if len(text) > _MAX_READ:
        # Without the last word, which may be half of a URL.
        text = f"{text[:_MAX_READ].rpartition(' ')[0]} ..."
    text = _USER_INFO.sub(f"{MASK}@", text)
    text = _NAMED.sub(rf"\g<1>{MASK}", text)
    if len(text) > _MAX_CHARACTERS:
        return f"{text[: _MAX_CHARACTERS - 3]}..."
    return text
