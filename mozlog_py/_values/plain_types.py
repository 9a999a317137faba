"""The exact plain types: which values orjson may be given as they are.

orjson ends the process on some values that only pass for plain ones. A class decides by its
metaclass what it equals, what its hash is, and of which class its instances pass for one. So a
type is compared by identity here: identity asks nothing of the class.

Two loops are too hot for a call and repeat ``all_plain``: those of ``_render.plain_record`` and
of ``structlog.log_methods``. ``tests/test_properties.py`` and ``tests/test_fast_logger.py`` hold
the three together. ``docs/design/plain-types.md`` says what was tried.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import NoneType
from typing import Any, Final

__all__ = ["INT_MAX", "INT_MIN", "all_plain", "all_scalars", "is_scalar"]

#: The least and the greatest integer that orjson writes: it raises for others.
INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**64 - 1


def is_scalar(kind: type) -> bool:
    """Return whether a type is exactly one of JSON's: text, a number, a boolean or null."""
    return kind is str or kind is int or kind is bool or kind is float or kind is NoneType


def all_scalars(values: Iterable[Any]) -> bool:
    """Return whether all values have exactly one of JSON's scalar types."""
    return all(map(is_scalar, map(type, values)))


def all_plain(values: Iterable[Any]) -> bool:
    """Return whether orjson may be given all values as they are.

    Texts, booleans and finite numbers are plain. For NaN and the infinities orjson would write
    null. It raises for integers beyond 64 bits and for lone surrogates.
    """
    for value in values:
        kind = type(value)
        if (
            kind is not str
            and kind is not int
            and (value - value != 0 if kind is float else kind is not bool)
        ):
            return False
    return True
