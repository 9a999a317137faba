"""Mappings of any class: headers, other names with values, views of dicts.

Headers of most libraries derive from no class of ``collections.abc``. A mapping here has the
methods of one, and a ``repr`` of its own, which shows its items. The request of a framework that
is a mapping as well has no such ``repr``, and stays text. ``Sanitiser`` and ``Redact`` both read
mappings with this module, so that a line shows what ``Redact`` has seen.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Iterator, MappingView
from itertools import islice
from typing import Any, Final, NamedTuple

from .class_lookup import MISSING, class_attribute, is_named

__all__ = ["Members", "members_of", "view_items"]

_METHODS: Final = ("items", "keys", "values", "__getitem__", "__len__")
# These return a pair for each value; the ``items`` of the same classes leave some out.
_ALL_PAIRS: Final = ("multi_items", "allitems")
# A mapping without a repr of its own, whose items are its content.
_WITHOUT_REPR: Final = frozenset({("email.message", "Message")})
# Objects that are mappings only for data kept beside them; their repr describes them.
_NO_MAPPINGS: Final = frozenset(
    {
        ("aiohttp.web_app", "Application"),
        ("aiohttp.web_request", "BaseRequest"),
        ("aiohttp.web_response", "StreamResponse"),
    }
)
_OBJECT_REPR: Final = object.__dict__["__repr__"]
_NO_MORE: Final = object()


class Members(NamedTuple):
    """The members of a mapping."""

    #: By name. A name that occurs several times has a list of its values.
    held: dict[Any, Any]
    #: How many more the mapping has.
    left_out: int


def members_of(value: Any, kind: type, most: int) -> Members | None:
    """Return the members of a mapping; None for a value that is not a mapping.

    A dict counts only where its names may have several values. There a name with one value
    has that value, and not a list.

    Args:
        value: Any value.
        kind: Its type.
        most: How many pairs are read.

    Raises:
        BaseException: The code of the mapping raises it.
    """
    if issubclass(kind, dict):
        if not (_has(kind, "lists") and _has(kind, "getlist")):
            return None
        return _gathered(value, kind, _call(value, kind, "lists"), most, are_lists=True)
    if not _is_mapping(kind):
        return None
    name = next((name for name in _ALL_PAIRS if _has(kind, name)), "items")
    return _gathered(value, kind, _call(value, kind, name), most)


def view_items(value: Any, kind: type, most: int) -> tuple[list[Any], int] | None:
    """Return the items of a dict's view, and how many more it has; None for another value.

    Args:
        value: Any value.
        kind: Its type.
        most: How many items are read.

    Raises:
        BaseException: The code of the view raises it.
    """
    # MappingView is an ABC: issubclass() would ask another metaclass for the hash of the class.
    is_trusted = type(kind) is type or type(kind) is ABCMeta
    if not (is_trusted and issubclass(kind, MappingView)):
        return None
    items = [*islice(iter(value), most)]
    return items, max(0, len(value) - len(items))


def _is_mapping(kind: type) -> bool:
    if not all(_has(kind, name) for name in _METHODS):
        return False
    if class_attribute(kind, "__repr__") is _OBJECT_REPR:
        return is_named(kind, _WITHOUT_REPR)
    return not is_named(kind, _NO_MAPPINGS)


def _has(kind: type, name: str) -> bool:
    """Return whether a class has a method; a property, as pandas has some, does not count."""
    found = class_attribute(kind, name)
    return found is not MISSING and callable(found)


def _call(value: Any, kind: type, name: str) -> Any:
    # The class's attribute: an instance may have another one of that name.
    return class_attribute(kind, name).__get__(value, kind)()


def _gathered(
    value: Any, kind: type, given: Any, most: int, *, are_lists: bool = False
) -> Members | None:
    try:
        pairs: Iterator[Any] = iter(given)
    except TypeError:
        return None
    held: dict[Any, Any] = {}
    repeated = set()
    count = 0
    for pair in islice(pairs, most):
        if not issubclass(type(pair), tuple) or tuple.__len__(pair) != 2:
            # The items of, for one, an order in a shop are no pairs of names and values.
            return None
        count += 1
        name, member = tuple.__iter__(pair)
        if are_lists and type(member) is list and len(member) == 1:
            member = member[0]
        if name not in held:
            held[name] = member
        elif name in repeated:
            held[name].append(member)
        else:
            repeated.add(name)
            held[name] = [held[name], member]
    if next(pairs, _NO_MORE) is _NO_MORE:
        return Members(held, 0)
    # The length may count distinct names only; at least one more pair exists.
    return Members(held, max(1, int(_call(value, kind, "__len__")) - count))
