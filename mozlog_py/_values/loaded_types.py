"""The types of libraries that are loaded, by their names; no library is imported for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

__all__ = ["comes_from", "defines", "is_kind", "loaded_type", "module_of", "type_name"]

_name_of: Final[Callable[[type], str]] = type.__dict__["__name__"].__get__
#: The module that a class says it is of: a text, but for classes that say something else.
module_of: Final[Callable[[type], Any]] = type.__dict__["__module__"].__get__
_mro_of: Final[Callable[[type], tuple[type, ...]]] = type.__dict__["__mro__"].__get__
_dict_of: Final[Callable[[type], Any]] = type.__dict__["__dict__"].__get__


def type_name(kind: type) -> str:
    """Return a class's name, whatever its metaclass says; at most 100 characters."""
    name = str.__str__(_name_of(kind))[:100]
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode()


def loaded_type(module: str, name: str) -> type | None:
    """Return the class ``module.name``; None where it is not loaded."""
    # It may be half imported, in another thread or because this is logged by it.
    known = getattr(sys.modules.get(module), name, None)
    return known if isinstance(known, type) else None


def is_kind(kind: type, module: str, name: str) -> bool:
    """Return whether a type is, or derives from, ``module.name``, without importing it."""
    # A value of a type can only exist where its module is loaded, and some of
    # them are too costly to import for the sake of asking.
    known = loaded_type(module, name)
    return known is not None and issubclass(kind, known)


def comes_from(kind: type, packages: frozenset[str]) -> bool:
    """Return whether a type, or a base of it, says that it is of one of some packages.

    It is a short way past ``is_kind`` for the types of which none of that is true. A type
    may say what it likes of itself, so True means no more than that it is worth asking.
    """
    for each in _mro_of(kind):
        module = module_of(each)
        if type(module) is str and module.partition(".")[0] in packages:
            return True
    return False


def defines(kind: type, name: str, base: type = object) -> bool:
    """Return whether a class has a name of its own or of a base class before ``base``.

    The name is looked for in the classes alone: no ``__getattr__`` is asked.
    """
    for each in _mro_of(kind):
        if each is base:
            return False
        if name in _dict_of(each):
            return True
    return False
