"""The items of a dict whose class may keep them elsewhere.

Werkzeug's ``CombinedMultiDict`` and many a lazy configuration derive from ``dict`` to
pass for one, and answer from other objects: their own dict part is empty.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from .class_lookup import defines

__all__ = ["items_of"]


def items_of(value: Any, most: int) -> list[tuple[Any, Any]]:
    """Return a snapshot of a dict's items.

    The dict part is read with the methods of ``dict``. Only where it is empty, and the
    class has methods of its own for its items, are those called.

    Args:
        value: A dict, or an instance of a class that derives from it.
        most: How many items are wanted; one more is returned where there are more.

    Raises:
        BaseException: What the class's own methods raise.
    """
    if dict.__len__(value) or type(value) is dict:
        try:
            return [*islice(dict.items(value), most + 1)]
        except RuntimeError:
            # Another thread changed its size; one C call copies it whole.
            return [*islice(dict.items(dict.copy(value)), most + 1)]
    kind = type(value)
    items: Iterable[Any] = ()
    if defines(kind, "items", dict):
        items = value.items()
    elif defines(kind, "keys", dict) or defines(kind, "__iter__", dict):
        keys = value.keys() if defines(kind, "keys", dict) else value
        items = ((key, value[key]) for key in keys)
    return [(key, member) for key, member in islice(items, most + 1)]
