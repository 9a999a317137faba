"""The regular expressions of secrets that an application gives."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["compiled"]


def compiled(option: str, pattern: Any, flags: int = 0) -> re.Pattern[str]:
    """Return one pattern of an option, compiled.

    Args:
        option: The option, for errors.
        pattern: A text, or a compiled regular expression, whose own flags stay.
        flags: The flags for a text.

    Raises:
        ValueError: The pattern is not a regular expression of text.
    """
    try:
        made = re.compile(pattern, flags) if isinstance(pattern, str) else pattern
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
    # A pattern of bytes would raise at its first use, and every secret would pass.
    if not (isinstance(made, re.Pattern) and isinstance(made.pattern, str)):
        raise ValueError(
            f"{option} has {pattern!r} in it; it must be a text or a compiled regular expression "
            "of text"
        )
    return made
