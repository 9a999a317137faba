"""What a valid MozLog 2.0 line is, as JSON Schema and as a check of whole lines.

``validate`` goes further than a schema can: a line is one line of UTF-8, with
no control character in it and no key twice. It needs no package beside this
one; a test holds it against the schema files and a full validator.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

__all__ = ["Problem", "load", "validate"]

_VERSION: Final = re.compile(r"[0-9]+(\.[0-9]+){0,2}")
# C0, DEL, C1 and the two Unicode separators: what may end a line or drive a terminal.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_STRINGS: Final = ("Type", "Logger", "Hostname", "EnvVersion")


class Problem(NamedTuple):
    """One thing that is wrong with a line: where (as ``$.Fields.code``), and what."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def load(*, strict: bool = False) -> dict[str, Any]:
    """Give the JSON Schema (draft 2020-12) of a line.

    ``strict=True`` gives the one that restricts Fields to what machines expect;
    a strict line satisfies both.
    """
    # Costs more to import than all the rest, and few need it.
    from importlib import resources

    name = "mozlog.strict.schema.json" if strict else "mozlog.schema.json"
    text = resources.files(__package__).joinpath(name).read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def validate(line: str | bytes, *, strict: bool = False) -> list[Problem]:
    """Say what is wrong with a line; an empty list means it is valid.

    One newline at its end is allowed. ``strict=True`` also asks for Fields that
    satisfy the machine schema. Raises nothing, whatever the line is.
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
    """A JSON object as it was written, doubled keys included."""

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
