"""Fields that satisfy the MozLog 2.0 machine schema, for ``strict=True``.

That schema knows strings, numbers, booleans, non-empty arrays of one of these,
and ``{"value": …, "representation": "…"}``; no nulls, and at least one field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .record_budget import MAX_CHARACTERS
from .sanitiser import unique_key

__all__ = ["flattened"]


def flattened(fields: dict[str, Any], dumps: Callable[[Any], bytes]) -> dict[str, Any]:
    """Return plain fields in the form that the machine schema allows.

    Nested objects become dotted keys. Empty and mixed arrays become JSON strings. Empty
    Fields get a ``msg``. Where two keys become the same one, the later one gets a number at its
    end. Objects whose dotted keys would have more than ``MAX_CHARACTERS`` together become
    JSON strings as well.

    Args:
        fields: Fields in plain values.
        dumps: Encodes plain values as JSON.
    """
    out: dict[str, Any] = {}
    numbers: dict[str, int] = {}
    for key, value in _Leaves(dumps).of("", fields):
        out[unique_key(key, out, numbers)] = value
    return out or {"msg": ""}


class _Leaves:
    """The members of nested objects under dotted keys."""

    __slots__ = ("_dumps", "_left")

    def __init__(self, dumps: Callable[[Any], bytes]) -> None:
        self._dumps = dumps
        # Each member of an object repeats the object's key, so one long key would multiply.
        self._left = MAX_CHARACTERS

    def of(self, prefix: str, fields: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        for key, value in fields.items():
            name = f"{prefix}{key}"
            if value is None:
                continue
            if type(value) is dict:
                if _is_represented(value):
                    yield name, value
                elif self._has_room(name, value):
                    yield from self.of(f"{name}.", value)
                else:
                    yield name, self._dumps(value).decode()
            elif type(value) is list and not _is_uniform(value):
                yield name, self._dumps(value).decode()
            else:
                yield name, value

    def _has_room(self, name: str, value: dict[str, Any]) -> bool:
        """Return whether an object has members and its dotted keys are within the bound."""
        if all(member is None for member in value.values()):
            return False
        size = len(name) * len(value)
        if size > self._left:
            return False
        self._left -= size
        return True


def _is_uniform(values: list[Any]) -> bool:
    kinds = {*map(_kind, values)}
    return len(kinds) == 1 and None not in kinds


def _kind(value: Any) -> str | None:
    """Return the schema's kind of array item that a value is of; None for other values."""
    kind = type(value)
    if kind is str:
        return "string"
    if kind is bool:
        return "boolean"
    # Numbers are one kind: 1 and 1.5 may share an array.
    return "number" if kind is int or kind is float else None


def _is_represented(value: dict[str, Any]) -> bool:
    if value.keys() != {"value", "representation"}:
        return False
    inner = value["value"]
    return type(value["representation"]) is str and (
        _kind(inner) is not None or (type(inner) is list and _is_uniform(inner))
    )
