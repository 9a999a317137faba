"""Rules about the types of values, each stated once.

A class decides by its metaclass what it is equal to, what its hash is and of which class its
instances pass for one. The encoder ends the process on some values that only pass for plain ones.
So a type is compared by identity here, and a class is read by the slots of ``type``: neither
asks the class itself. Three loops are too hot for a call and repeat ``all_plain``: those of
``fast``, ``structlog.renderer`` and ``structlog.methods``. A property test holds them together.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from types import MemberDescriptorType, NoneType
from typing import Any, Final

__all__ = [
    "MISSING",
    "all_plain",
    "all_scalars",
    "class_attribute",
    "is_named",
    "is_scalar",
    "slots_of",
]

#: In place of a class attribute that there is not.
MISSING: Final = object()

_mro_of: Final[Callable[[type], tuple[type, ...]]] = type.__dict__["__mro__"].__get__
_name_of: Final[Callable[[type], str]] = type.__dict__["__name__"].__get__
_members_of: Final[Callable[[type], Any]] = type.__dict__["__dict__"].__get__


def is_scalar(kind: type) -> bool:
    """Return whether a type is exactly one of JSON's: text, a number, a boolean or null."""
    return kind is str or kind is int or kind is bool or kind is float or kind is NoneType


def all_scalars(values: Iterable[Any]) -> bool:
    """Return whether all values have exactly one of JSON's scalar types."""
    return all(map(is_scalar, map(type, values)))


def all_plain(values: Iterable[Any]) -> bool:
    """Return whether the encoder may be given all values as they are.

    That is text, a boolean, or a number that JSON has: the encoder would write null for NaN
    and the infinities.
    """
    for value in values:
        kind = type(value)
        if kind is str or kind is int or kind is bool:
            continue
        if kind is not float or value - value != 0:
            return False
    return True


def class_attribute(kind: type, name: str) -> Any:
    """Return an attribute of a class or of its bases, as it is stored; ``MISSING`` for none.

    Neither a metaclass nor a descriptor is asked.
    """
    for base in _mro_of(kind):
        found = _members_of(base).get(name, MISSING)
        if found is not MISSING:
            return found
    return MISSING


def slots_of(kind: type) -> list[tuple[str, Any]]:
    """Return the slots of a class and of its bases: their names and what reads them."""
    return [
        (name, descriptor)
        for base in _mro_of(kind)
        if "__slots__" in (members := _members_of(base))
        for name, descriptor in [*members.items()]
        if type(descriptor) is MemberDescriptorType
    ]


def is_named(kind: type, names: Container[tuple[str, str]]) -> bool:
    """Return whether a class or one of its bases has one of some names, each behind its module's.

    The module need not be loaded under that name, and no metaclass is asked.
    """
    for base in _mro_of(kind):
        module = _members_of(base).get("__module__")
        if type(module) is str and (module, str.__str__(_name_of(base))) in names:
            return True
    return False
