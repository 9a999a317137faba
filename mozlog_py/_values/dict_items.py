"""The items of a dict whose class may keep them elsewhere.

Werkzeug's ``CombinedMultiDict`` and many lazy configurations derive from ``dict``, and keep
their items in other objects. Their own dict part is empty.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

from .class_lookup import defines

__all__ = ["DICTS", "FROZENDICT", "items_of", "thawed"]

#: The class of frozen dicts, which Python has since 3.15; None before.
FROZENDICT: Final[Any] = getattr(builtins, "frozendict", None)
#: The classes of dicts: the frozen one does not derive from ``dict``.
DICTS: Final[tuple[type, ...]] = (dict,) if FROZENDICT is None else (dict, FROZENDICT)


def thawed(value: Any) -> Any:
    """Return a ``frozendict`` as a dict; any other value unchanged."""
    if FROZENDICT is None or not issubclass(type(value), FROZENDICT):
        return value
    return dict(FROZENDICT.items(value))


def items_of(value: Any, most: int) -> list[tuple[Any, Any]]:
    """Return a snapshot of a dict's items.

    The methods of ``dict`` read the dict part. The class's own methods for its items are called
    only where that part is empty.

    Args:
        value: A dict, frozen or not, or an instance of a class that derives from it.
        most: How many items the caller reads; one more is returned where the dict has more.

    Raises:
        BaseException: The class's own methods raise it.
    """
    value = thawed(value)
    if dict.__len__(value) or type(value) is dict:
        try:
            return [*islice(dict.items(value), most + 1)]
        except RuntimeError:
            # Another thread has changed its size. A copy is one C call, and sees it whole.
            return [*islice(dict.items(dict.copy(value)), most + 1)]
    kind = type(value)
    items: Iterable[Any] = ()
    if defines(kind, "items", dict):
        items = value.items()
    elif defines(kind, "keys", dict) or defines(kind, "__iter__", dict):
        keys = value.keys() if defines(kind, "keys", dict) else value
        items = ((key, value[key]) for key in keys)
    return [(key, member) for key, member in islice(items, most + 1)]
