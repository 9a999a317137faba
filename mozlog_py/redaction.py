"""Redact: a processor that keeps credentials out of the log, by the names they go by."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

from .fields import json_object, looks_like_json
from .values import MAX_DEPTH, MAX_ITEMS, type_name

__all__ = ["CREDENTIALS", "MARKER", "Redact"]

#: What stands in place of a redacted value.
MARKER: Final = "[redacted]"

#: The names of credentials, in lower case and without what separates words. A
#: name that ends with one of them counts as well: ``db_password``, ``X-Auth-Token``.
CREDENTIALS: Final = frozenset(
    {
        "accesskey",
        "apikey",
        "authorization",
        "cookie",
        "credential",
        "credentials",
        "jwt",
        "passphrase",
        "passwd",
        "password",
        "privatekey",
        "pwd",
        "secret",
        "secretkey",
        "sessionid",
        "sessionkey",
        "signingkey",
        "token",
    }
)

_SEPARATORS: Final = re.compile(r"[\s._:/-]+")
_ENDINGS: Final = tuple(sorted(CREDENTIALS))
# Names come again and again; those made from data must not fill the memory.
_MAX_REMEMBERED: Final = 4096
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_UNTOUCHED: Final = frozenset({"_record", "_logger", "exc_info", "event"})


class Redact:
    """Replaces the values of credentials by a marker, at any depth.

    - ``keys``: further names; case and what separates words make no difference,
      so ``apiKey`` is ``API-KEY`` and ``api_key``.
    - ``patterns``: further names, as regular expressions that are searched for
      in a name as it stands, in any case.
    - ``marker``: what stands in place of a value.
    - ``defaults``: whether the names of credentials (``CREDENTIALS``, and names
      that end with one of them) are redacted without being asked for.

    A pair whose first item is such a name has its second replaced, as in a list
    of headers. It goes by names and does not look for secrets in texts. What it cannot look
    into, since it raises, is replaced as a whole. What it is handed is not
    changed; what has to be is copied. Raises ``ValueError`` for a key or pattern
    that is none, and where nothing would be redacted.
    """

    def __init__(
        self,
        keys: Iterable[str] = (),
        *,
        patterns: Iterable[str | re.Pattern[str]] = (),
        marker: str = MARKER,
        defaults: bool = True,
    ) -> None:
        if isinstance(keys, str) or isinstance(patterns, str):
            raise ValueError(
                "keys and patterns are lists of names, and one of them is a text: put it in a list"
            )
        keys = [*keys]
        for key in keys:
            if not isinstance(key, str):
                raise ValueError(f"keys has {key!r} in it; it must be a list of names")
        self._keys = frozenset(map(_normal, keys))
        self._patterns = tuple(map(_compiled, patterns))
        self._endings = _ENDINGS if defaults else ()
        if not (self._keys or self._patterns or defaults):
            raise ValueError("nothing would be redacted: give keys or patterns, or keep defaults")
        self.marker = marker
        self._remembered: dict[str, bool] = {}

    def __call__(self, _: Any, __: str, event_dict: dict[str, Any]) -> dict[str, Any]:
        """Give the event dict with credentials replaced. Never raises an ``Exception``."""
        try:
            return self._redacted(event_dict)
        except Exception:
            # Left out as a processor that fails is, it would let everything through.
            return {
                key: value if key in _UNTOUCHED and not _is_fields(value) else self.marker
                for key, value in _items(event_dict)
                if type(key) is str
            }

    def _redacted(self, event_dict: dict[str, Any]) -> dict[str, Any]:
        out = self._members(event_dict, 0, is_event=True)
        event = event_dict.get("event")
        if type(event) is str and looks_like_json(event):
            # Its members are going to be fields.
            blob = json_object(event)
            if blob is not None and (clean := self._members(blob, 0)) != blob:
                out["event"] = clean
        elif isinstance(event, dict):
            out["event"] = self._members(event, 0)
        return out

    def is_secret(self, name: Any) -> bool:
        """Tell whether what goes by a name is redacted."""
        if type(name) is not str:
            name = _text(name)
        known = self._remembered.get(name)
        if known is None:
            normal = _normal(name)
            known = (
                normal in self._keys
                or normal.endswith(self._endings)
                or any(pattern.search(name) for pattern in self._patterns)
            )
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[name] = known
        return known

    def _members(
        self, members: dict[Any, Any], depth: int, *, is_event: bool = False
    ) -> dict[Any, Any]:
        out: dict[Any, Any] = {}
        for key, value in _items(members):
            if is_event and key in _UNTOUCHED:
                out[key] = value
            elif self.is_secret(key) and value is not None:
                out[key] = self.marker
            else:
                out[key] = value if type(value) in _SCALARS else self._safely(value, depth + 1)
        return out

    def _safely(self, value: Any, depth: int) -> Any:
        try:
            return self._looked_into(value, depth)
        except Exception:
            # Whatever may be in it, nobody has seen it.
            return self.marker

    def _looked_into(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind in _SCALARS:
            return value
        if depth > MAX_DEPTH:
            # A line goes no deeper either, and what others render has not been seen.
            return "<max depth>"
        if issubclass(kind, dict):
            return self._members(value, depth)
        if issubclass(kind, (list, tuple)):
            base = list if issubclass(kind, list) else tuple
            items = [*base.__getitem__(value, slice(0, MAX_ITEMS))]
            if len(items) == 2 and isinstance(items[0], (str, bytes)) and self.is_secret(items[0]):
                # A name and its value, as headers often are.
                return [items[0], self.marker]
            clean = [self._safely(item, depth + 1) for item in items]
            left_out = base.__len__(value) - len(items)
            if left_out > 0:
                clean.append(f"<{left_out} more items>")
            return clean
        if hasattr(kind, "__dataclass_fields__"):
            # A line shows it as an object, with its names.
            names = [field.name for field in sys.modules["dataclasses"].fields(kind)]
            return self._members({name: _attribute(value, name) for name in names}, depth)
        if issubclass(kind, Mapping):
            # Headers, often. A line would show its repr, and that all it has.
            return self._members({**value}, depth)
        return value


def _is_fields(event: Any) -> bool:
    """Tell whether an event's members are going to be fields."""
    return isinstance(event, dict) or (type(event) is str and looks_like_json(event))


def _attribute(value: Any, name: str) -> Any:
    try:
        return getattr(value, name)
    except Exception as error:
        return f"<unprintable {type_name(type(value))}: {type_name(type(error))}>"


def _items(members: dict[Any, Any]) -> list[tuple[Any, Any]]:
    try:
        return [*dict.items(members)]
    except RuntimeError:
        # Another thread changed its size; one C call copies it whole.
        return [*dict.items(dict.copy(members))]


def _normal(name: str) -> str:
    return _SEPARATORS.sub("", name).lower().replace("_", "")


def _text(name: Any) -> str:
    if isinstance(name, bytes):
        return name.decode("utf-8", "replace")
    return str.__str__(name) if isinstance(name, str) else ""


def _compiled(pattern: str | re.Pattern[str]) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern, re.IGNORECASE) if isinstance(pattern, str) else pattern
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    # One that fails only when it is used would let every secret through.
    if not (isinstance(compiled, re.Pattern) and isinstance(compiled.pattern, str)):
        raise ValueError(
            f"patterns has {pattern!r} in it; it must be a text or a compiled regular expression "
            "of text"
        )
    return compiled
