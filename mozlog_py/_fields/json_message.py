"""Messages that are JSON text: which of them are parsed, and the others without secrets.

A client may have sent the text, so its length, its depth and its members are bounded. Text beyond
the bounds stays text. The depth is counted before the parser sees the text: parsers recurse, and
some releases of orjson end the process at the end of the stack.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

from mozlog_py._line.json_encoder import loads
from mozlog_py._process.lazy_pattern import lazy_pattern
from mozlog_py._values.sanitiser import MAX_DEPTH, MAX_ITEMS

__all__ = [
    "MAX_JSON_CHARACTERS",
    "MAX_JSON_DEPTH",
    "JSONMessage",
    "exceeds_bounds",
    "json_object",
    "looks_like_json",
    "masked_json",
    "parsed_object",
]

#: Characters of a message that is parsed; a longer one stays text.
MAX_JSON_CHARACTERS: Final = 65_536
#: Nested objects and arrays in a message that is parsed, itself included: as many as a line
#: shows.
MAX_JSON_DEPTH: Final = MAX_DEPTH + 1

_LONG_NUMBER: Final = lazy_pattern("[0-9]{19}")

_ESCAPE: Final = lazy_pattern(rb"\\.", re.DOTALL)
_STRING: Final = lazy_pattern(rb'"[^"]*"')
# Both kinds of brackets become one, since a parser refuses those that do not fit.
_ONE_KIND: Final = bytes.maketrans(b"[]", b"{}")
_NO_STRUCTURE: Final = bytes(byte for byte in range(256) if byte not in b'[]{}"')

_TOKEN: Final = lazy_pattern(r'"(?:[^"\\]|\\.)*(?:"|\Z)|[\[\]{},:]|[^\s\[\]{},:"]+|"', re.DOTALL)


def looks_like_json(text: str) -> bool:
    """Return whether a message may be a JSON object."""
    return text[:1] == "{" and text[-1:] == "}"


def json_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object in a message, whose members become Fields.

    Returns:
        None where the text is not a JSON object, or is beyond the bounds.
    """
    value = parsed_object(text)
    return None if value is None or len(value) > MAX_ITEMS else value


def parsed_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object in a text, with any number of members; None as ``json_object``."""
    if exceeds_bounds(text):
        return None
    try:
        # loads() reads integers of more than 64 bits as floats, which loses digits.
        is_long = _LONG_NUMBER.search(text) is not None
        value = json.loads(text, parse_constant=_refuse) if is_long else loads(text)
    except Exception:
        return None
    return value if type(value) is dict else None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def exceeds_bounds(text: str) -> bool:
    """Return whether a text is too long, or too deep, to be parsed as JSON.

    The depth of text that is not JSON is counted too high: it may have brackets without an end.
    """
    if len(text) > MAX_JSON_CHARACTERS:
        return True
    if text.count("{") + text.count("[") <= MAX_JSON_DEPTH:
        return False
    structure = text.encode("utf-8", "replace")
    if b"\\" in structure:
        structure = _ESCAPE.sub(b"", structure)
    structure = _STRING.sub(b"", structure.translate(_ONE_KIND, _NO_STRUCTURE))
    for _ in range(MAX_JSON_DEPTH):
        if not structure:
            return False
        # Remove the innermost pairs: one level of the depth, wherever they are.
        structure = structure.replace(b"{}", b"")
    return bool(structure)


class JSONMessage(str):  # noqa: SLOT000 - one for each message that is JSON
    """A message that is a JSON object, as the field ``msg`` of a call until ``merge``.

    The members stay apart from the call's own fields. A formatter's hook that copies those
    fields copies the members with this text.
    """

    members: dict[str, Any]

    @classmethod
    def read(cls, text: str) -> str:
        """Return a message as a ``JSONMessage`` where it is a JSON object, else as it is."""
        members = json_object(text)
        if members is None:
            return text
        made = cls(text)
        made.members = members
        return made


def masked_json(text: str, is_secret: Callable[[str], bool], marker: str) -> str:
    """Return JSON text beyond the bounds with the values of secret names replaced.

    The text is read token by token, without a parser. A string is a name in front of a colon, or
    as the first item of an array, as in a list of headers. Text behind the bound of the length is
    left out, since it was not searched.

    Args:
        text: A text that may be a JSON object.
        is_secret: Returns whether a name is that of a credential.
        marker: Stands in place of a value.
    """
    shown = text[:MAX_JSON_CHARACTERS]
    out: list[str] = []
    done = begin = 0
    # How many brackets of the hidden value are open; None outside of one.
    hidden: int | None = None
    before, name = "", ""
    for token in _TOKEN.finditer(shown):
        kind = token[0][0]
        if hidden is not None:
            hidden += (kind in "[{") - (kind in "]}")
            if hidden > 0:
                continue
            # A comma or a closing bracket of the container: the name has no value.
            is_value = hidden == 0 and kind not in ",:"
            if token[0] != "null":
                out += shown[done:begin], json.dumps(marker)
                done = token.end() if is_value else token.start()
            hidden = None
            before, name = kind, ""
            continue
        is_name = name and (kind == ":" or (kind == "," and before == "["))
        if is_name and is_secret(_unescaped(name)):
            hidden, begin = 0, token.end()
        if kind == '"':
            name = token[0]
        else:
            before, name = kind, ""
    if hidden is not None:
        out += shown[done:begin], json.dumps(marker)
        done = len(shown)
    out.append(shown[done:])
    if len(text) > len(shown):
        out.append(f"... <truncated, {len(text)} characters>")
    return "".join(out)


def _unescaped(name: str) -> str:
    """Return the text of a JSON string with its quotes."""
    if "\\" in name:
        try:
            return str(json.loads(name))
        except ValueError:
            pass
    return name.strip('"')
