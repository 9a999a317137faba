"""Values that are not loaded yet: lazy texts, query sets, lazy objects, expired rows.

A lazy text is read. A value whose ``repr`` would query a database is named instead, unless its
contents were loaded before. Types are found among the loaded modules; no library is imported for
it.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Collection
from typing import Any, Final

from .class_lookup import is_kind, loaded_type, type_name

__all__ = [
    "LAZY_PACKAGES",
    "NOT_LOADED",
    "dataclass_members",
    "is_lazy_text",
    "loaded_object",
    "loaded_rows",
    "name_expired",
    "name_unloaded",
]

#: Stands in place of an attribute whose access would query a database.
NOT_LOADED: Final = "<not loaded>"

# Translations of Django, of Babel and what is built on it, and texts that wrap another.
_TEXTS: Final = (
    ("django.utils.functional", "Promise"),
    ("babel.support", "LazyProxy"),
    ("flask_babel.speaklater", "LazyString"),
    ("speaklater", "_LazyString"),
    ("collections", "UserString"),
)
#: The packages of the types that are known here. Rows of SQLAlchemy may be of any class.
LAZY_PACKAGES: Final = frozenset({"django", *(module.partition(".")[0] for module, _ in _TEXTS)})
_QUERY_SET: Final = ("django.db.models.query", "QuerySet")
# As many as Django's own repr shows.
_MAX_ROWS: Final = 20


def is_lazy_text(kind: type) -> bool:
    """Return whether values of a type are lazy texts, which ``str`` evaluates."""
    return any(is_kind(kind, module, name) for module, name in _TEXTS)


def name_unloaded(value: Any, kind: type) -> str | None:
    """Return a name for a value of Django whose ``repr`` would query a database, else None.

    Raises:
        Exception: Code of the application raises it, where it replaces Django's.
    """
    if "django.db.models" in sys.modules:
        if is_kind(kind, *_QUERY_SET):
            return None if _attributes(value).get("_result_cache") is not None else _of(value, kind)
        if is_kind(kind, "django.db.models.manager", "BaseManager"):
            return _of(value, kind)
        if is_kind(kind, "django.db.models.base", "Model"):
            return _name_deferred(value, kind)
    if is_kind(kind, "django.utils.functional", "LazyObject") and _is_empty(value):
        return f"<{type_name(kind)}, not loaded>"
    return None


def name_expired(value: Any, kind: Any) -> str | None:
    """Return a name for a row of SQLAlchemy that its ``repr`` would load again, else None.

    A session's commit expires its rows.
    """
    state = _row_state(value)
    if state is not None and state.expired_attributes and kind.__repr__ is not object.__repr__:
        return f"<{type_name(kind)}{_identity(state)}, expired>"
    return None


def loaded_object(value: Any, kind: type) -> tuple[Any] | None:
    """Return what a lazy object of Django has loaded, in a tuple; None for other values."""
    if is_kind(kind, "django.utils.functional", "LazyObject"):
        return (_attributes(value)["_wrapped"],)
    return None


def loaded_rows(value: Any, kind: type) -> tuple[list[Any], int] | None:
    """Return the first rows of an evaluated query set and their number; None for other values."""
    if not is_kind(kind, *_QUERY_SET):
        return None
    rows = _attributes(value)["_result_cache"]
    return rows[:_MAX_ROWS], len(rows)


def dataclass_members(
    value: Any, kind: type, attribute: Callable[[Any, str], Any]
) -> dict[str, Any]:
    """Return the fields of a dataclass that its ``repr`` shows, by their names.

    A class leaves a credential out of its texts with ``field(repr=False)``. A field that is not
    loaded is named, without a query.

    Args:
        value: The object, which may be a row of SQLAlchemy as well.
        kind: Its type.
        attribute: Returns the attribute of an object by its name, whatever that raises.
    """
    names = [field.name for field in dataclasses.fields(kind) if field.repr]
    absent = _unloaded(value)
    return {name: NOT_LOADED if name in absent else attribute(value, name) for name in names}


def _unloaded(value: Any) -> Collection[str]:
    """Return the names of a row's attributes for which SQLAlchemy would query the database."""
    state = _row_state(value)
    return () if state is None or state.key is None else state.unloaded


def _attributes(value: Any) -> dict[str, Any]:
    """Return an object's own attributes without ``__getattr__``, which may load it."""
    return object.__getattribute__(value, "__dict__")  # type: ignore[no-any-return]


def _of(value: Any, kind: type) -> str:
    model = _attributes(value).get("model")
    # A manager has no model until one is assigned.
    label = "no model" if model is None else model._meta.label  # noqa: SLF001 - its public name
    return f"<{type_name(kind)} of {label}>"


def _is_empty(value: Any) -> bool:
    empty = getattr(sys.modules["django.utils.functional"], "empty", None)
    return _attributes(value).get("_wrapped", empty) is empty


def _name_deferred(value: Any, kind: Any) -> str | None:
    """Return a name for an instance of a model that was loaded with ``only`` or ``defer``."""
    own, meta = _attributes(value), kind._meta  # noqa: SLF001 - its public name
    if all(field.attname in own for field in meta.concrete_fields):
        return None
    model: Any = loaded_type("django.db.models.base", "Model")
    if kind.__str__ is model.__str__ and kind.__repr__ is model.__repr__:
        # Django's own methods show the primary key alone, which is loaded.
        return None
    return f"<{meta.label} {own.get(meta.pk.attname)!r}, not all loaded>"


def _row_state(value: Any) -> Any:
    """Return SQLAlchemy's state of a mapped object; None for other values."""
    if "sqlalchemy.orm.state" not in sys.modules:
        return None
    try:
        state = _attributes(value).get("_sa_instance_state")
    except AttributeError:
        # It has slots alone, so it is not a mapped object.
        return None
    is_state = is_kind(type(state), "sqlalchemy.orm.state", "InstanceState")
    return state if is_state else None


def _identity(state: Any) -> str:
    if state.key is None:
        return ""
    identity = state.key[1]
    return f" {identity[0]!r}" if len(identity) == 1 else f" {identity!r}"
