"""The definition of a valid MozLog 2.0 line: JSON Schemas, and a validator of whole lines.

``validate`` also checks rules that a schema cannot express: a line is one line of UTF-8, without
control characters and without duplicate keys. It needs no other package. A test compares it with
the schema files and a full validator.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

__all__ = ["Problem", "load", "validate"]

_VERSION: Final = re.compile(r"[0-9]+(\.[0-9]+){0,2}")
# C0, DEL, C1 and the two Unicode separators, which end a line or control a terminal.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_STRINGS: Final = ("Type", "Logger", "Hostname", "EnvVersion")


class Problem(NamedTuple):
    """A problem of a line: its path, such as ``$.Fields.code``, and a message."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def load(*, strict: bool = False) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a line.

    Args:
        strict: Whether to return the machine schema, which restricts Fields. A strict line
            satisfies both schemas.
    """
    # Imported here: it takes longer to import than the rest of this module.
    from importlib import resources

    name = "mozlog.strict.schema.json" if strict else "mozlog.schema.json"
    text = resources.files(__package__).joinpath(name).read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def validate(line: str | bytes, *, strict: bool = False) -> list[Problem]:
    """Return the problems of a line; an empty list if it is valid. Never raises.

    Args:
        line: The line, with or without one newline at its end.
        strict: Whether Fields have to satisfy the machine schema.
    """
    if isinstance(line, bytes):
        try:
            line = line.decode()
        except UnicodeDecodeError as error:
            return [Problem("$", f"The line is not UTF-8: {error.reason} at byte {error.start}.")]
    text = line.removesuffix("\n")
    control = _CONTROL.search(text)
    if control is not None:
        character = f"U+{ord(control[0]):04X}"
        return [Problem("$", f"The line holds the control character {character}, unescaped.")]
    problems: list[Problem] = []
    try:
        document = json.loads(text, object_pairs_hook=_Members, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        return [Problem("$", f"The line is not JSON: {error}.")]
    if not isinstance(document, _Members):
        return [Problem("$", "The line is not a JSON object.")]
    problems.extend(_doubled(document, "$"))
    problems.extend(_envelope(document.as_dict()))
    fields = document.as_dict().get("Fields")
    if isinstance(fields, _Members):
        problems.extend(_fields(fields.as_dict(), strict=strict))
    return problems


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object, with duplicate keys."""

    def as_dict(self) -> dict[str, Any]:
        return dict(self)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _doubled(value: Any, path: str) -> Iterator[Problem]:
    if isinstance(value, _Members):
        seen: set[str] = set()
        for key, member in value:
            if key in seen:
                yield Problem(f"{path}.{key}", "The key stands there twice.")
            seen.add(key)
            yield from _doubled(member, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _doubled(item, f"{path}[{index}]")


def _envelope(line: dict[str, Any]) -> Iterator[Problem]:
    if "Timestamp" not in line:
        yield Problem("$.Timestamp", "The key is missing; it is the only one that must be there.")
    for key, most in (("Timestamp", None), ("Severity", 7), ("Pid", None)):
        if key in line:
            yield from _integer(f"$.{key}", line[key], most)
    for key in _STRINGS:
        if key in line and not isinstance(line[key], str):
            yield Problem(f"$.{key}", f"The value is {_kind(line[key])}; it must be a string.")
    version = line.get("EnvVersion")
    if isinstance(version, str) and not _VERSION.fullmatch(version):
        yield Problem("$.EnvVersion", 'The value is no version such as "2.0".')
    if "Fields" in line and not isinstance(line["Fields"], _Members):
        yield Problem("$.Fields", f"The value is {_kind(line['Fields'])}; it must be an object.")


def _integer(path: str, value: Any, most: int | None) -> Iterator[Problem]:
    # JSON Schema counts 1.0 as an integer.
    if not _is_number(value) or value != value // 1:
        yield Problem(path, f"The value is {_kind(value)}; it must be an integer.")
    elif value < 0 or (most is not None and value > most):
        bounds = "0 or more" if most is None else f"from 0 to {most}"
        yield Problem(path, f"The value is {value}; it must be {bounds}.")


def _fields(fields: dict[str, Any], *, strict: bool) -> Iterator[Problem]:
    if strict and not fields:
        yield Problem("$.Fields", "There is no field; the machine schema wants at least one.")
    for key, value in fields.items():
        path = f"$.Fields.{key}"
        if value is None:
            yield Problem(path, "The value is null; a field without a value must be left out.")
        elif strict:
            yield from _strict_field(path, value)


def _strict_field(path: str, value: Any) -> Iterator[Problem]:
    if isinstance(value, _Members):
        members = value.as_dict()
        if members.keys() != {"value", "representation"}:
            yield Problem(path, "The value is an object without exactly value and representation.")
            return
        if not isinstance(members["representation"], str):
            yield Problem(f"{path}.representation", "The value must be a string.")
        inner = members["value"]
        if isinstance(inner, _Members) or inner is None:
            yield Problem(f"{path}.value", f"The value is {_kind(inner)}, nested too deeply.")
        else:
            yield from _strict_field(f"{path}.value", inner)
    elif isinstance(value, list):
        if not value:
            yield Problem(path, "The array is empty; the machine schema wants at least one item.")
        elif len({_item_kind(item) for item in value}) > 1:
            yield Problem(path, "The array mixes types; its items must be of one type.")
        elif _item_kind(value[0]) == "other":
            yield Problem(path, "The array holds what is no string, number or boolean.")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _item_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if _is_number(value):
        return "number"
    return "string" if isinstance(value, str) else "other"


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, _Members):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if _is_number(value):
        return f"the number {value}"
    return f"a {_item_kind(value)}"
