"""Facts about classes, read from the slots of ``type``: no metaclass and no descriptor is asked.

A metaclass decides what a class says of its name, its attributes, its hash and its equality.
Libraries are not imported: their classes are found among the loaded modules, or known by name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Container
from types import MemberDescriptorType
from typing import Any, Final

__all__ = [
    "MISSING",
    "class_attribute",
    "comes_from",
    "defines",
    "is_kind",
    "is_named",
    "loaded_type",
    "module_of",
    "slots_of",
    "type_name",
]

#: In place of a class attribute that does not exist.
MISSING: Final = object()

_name_of: Final[Callable[[type], str]] = type.__dict__["__name__"].__get__
#: Returns the module that a class claims to be of: a text, unless the class sets something else.
module_of: Final[Callable[[type], Any]] = type.__dict__["__module__"].__get__
_mro_of: Final[Callable[[type], tuple[type, ...]]] = type.__dict__["__mro__"].__get__
_members_of: Final[Callable[[type], Any]] = type.__dict__["__dict__"].__get__
# Compares the bases by identity. issubclass() would ask the metaclass of the base, and an
# ABCMeta asks for the hash of the class.
_is_subclass: Final[Callable[[type, type], bool]] = type.__subclasscheck__


def type_name(kind: type) -> str:
    """Return the name of a class, at most 100 characters of it."""
    name = str.__str__(_name_of(kind))[:100]
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode()


def class_attribute(kind: type, name: str, before: type | None = None) -> Any:
    """Return an attribute of a class or of its bases, as it is stored.

    Args:
        kind: The class.
        name: The attribute's name.
        before: A base of the class at which the search ends; None to search all bases.

    Returns:
        The attribute, or ``MISSING``.
    """
    for base in _mro_of(kind):
        if base is before:
            break
        found = _members_of(base).get(name, MISSING)
        if found is not MISSING:
            return found
    return MISSING


def defines(kind: type, name: str, before: type = object) -> bool:
    """Return whether a class, or a base of it in front of ``before``, has an attribute.

    Args:
        kind: The class.
        name: The attribute's name.
        before: The base, in the order of the look-up, at which the search ends.
    """
    return class_attribute(kind, name, before) is not MISSING


def slots_of(kind: type) -> list[tuple[str, Any]]:
    """Return the names of a class's slots, those of its bases included, and their descriptors."""
    return [
        (name, descriptor)
        for base in _mro_of(kind)
        if "__slots__" in (members := _members_of(base))
        for name, descriptor in [*members.items()]
        if type(descriptor) is MemberDescriptorType
    ]


def loaded_type(module: str, name: str) -> type | None:
    """Return the class ``module.name``; None where it is not loaded."""
    # Another thread may be in the middle of importing the module.
    known = getattr(sys.modules.get(module), name, None)
    return known if isinstance(known, type) else None


def is_kind(kind: type, module: str, name: str) -> bool:
    """Return whether a class is ``module.name``, or derives from it, without importing it."""
    # A value of a class exists only where its module is loaded, and some modules take too long
    # to import.
    known = loaded_type(module, name)
    return known is not None and _is_subclass(known, kind)


def is_named(kind: type, names: Container[tuple[str, str]]) -> bool:
    """Return whether a class or one of its bases has one of some names.

    Unlike ``is_kind``, it needs no module loaded under that name, and a class of any module may
    claim the name.

    Args:
        kind: The class.
        names: Names, each behind the name of its module.
    """
    for base in _mro_of(kind):
        module = _members_of(base).get("__module__")
        if type(module) is str and (module, str.__str__(_name_of(base))) in names:
            return True
    return False


def comes_from(kind: type, packages: frozenset[str]) -> bool:
    """Return whether a class, or a base of it, claims to be of one of some packages.

    A class may claim any module, so True means only that ``is_kind`` is worth a call.
    """
    for base in _mro_of(kind):
        module = module_of(base)
        if type(module) is str and module.partition(".")[0] in packages:
            return True
    return False
