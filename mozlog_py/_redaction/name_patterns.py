"""The patterns of names that ``Redact`` is given."""

from __future__ import annotations

import re

__all__ = ["compiled_pattern"]


def compiled_pattern(pattern: str | re.Pattern[str]) -> re.Pattern[str]:
    """Return a pattern as a regular expression that ignores case.

    Raises:
        ValueError: It is not a regular expression of text.
    """
    try:
        compiled = re.compile(pattern, re.IGNORECASE) if isinstance(pattern, str) else pattern
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
    # A pattern of bytes would raise at its first use, and every secret would pass.
    if not (isinstance(compiled, re.Pattern) and isinstance(compiled.pattern, str)):
        raise ValueError(
            f"patterns has {pattern!r} in it; it must be a text or a compiled regular expression "
            "of text"
        )
    return compiled
