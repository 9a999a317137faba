"""Regular expressions that are compiled at their first use.

The expressions of this package take as long to compile as its modules take to import, and most
processes use few of them. Only those that every line needs are compiled at import.
"""

from __future__ import annotations

import re
from typing import Any, AnyStr, Final, cast

__all__ = ["lazy_pattern"]


def lazy_pattern(text: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """Return an object with the methods of a compiled expression.

    Args:
        text: The expression.
        flags: Those of ``re.compile``.
    """
    return cast("re.Pattern[AnyStr]", _LazyPattern(text, flags))


class _LazyPattern:
    def __init__(self, text: Any, flags: int) -> None:
        self._arguments: Final = text, flags

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the compiled expression, and keep it.

        The attribute becomes one of the object, so that a later call costs no more than that
        of a compiled expression. Two threads may both compile; the results are equal.
        """
        if name.startswith("__"):
            # copy, pickle and inspect ask for these.
            raise AttributeError(name)
        # re.compile() keeps the result, so that another method compiles nothing.
        found = vars(self)[name] = getattr(re.compile(*self._arguments), name)
        return found
