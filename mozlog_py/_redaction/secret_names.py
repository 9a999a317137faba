"""Which names of fields are secret, by the options of one ``Redact``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from mozlog_py._values.credential_names import is_credential, normal_name
from mozlog_py._values.sanitiser import Sanitiser

from .patterns import compiled

__all__ = ["SecretNames", "text_of_name"]

# The name of a field that is kept beside another of its name; further ones end with a number.
_KEPT_BESIDE: Final = re.compile(r"extra\.(?P<name>(?P<stem>.*?)(?:_[0-9]+)?)", re.DOTALL)
# How many characters of a name are compared with the keys. Of a longer name, the end decides.
_MAX_NAME: Final = 1024


class SecretNames:
    """The names whose values are secret.

    Args:
        keys: Names, in any spelling.
        patterns: Regular expressions that are searched for in a name.
        defaults: Whether the names of credentials are among them.

    Raises:
        ValueError: A key or a pattern is invalid.
    """

    __slots__ = ("_has_defaults", "_keys", "_patterns", "is_exact")

    def __init__(
        self,
        keys: Iterable[str],
        patterns: Iterable[str | re.Pattern[str]],
        *,
        defaults: bool,
    ) -> None:
        if isinstance(keys, str) or isinstance(patterns, str):
            raise ValueError(
                "keys and patterns are lists of names, and one of them is a text: put it in a list"
            )
        keys = [*keys]
        for key in keys:
            if not isinstance(key, str):
                raise ValueError(f"keys has {key!r} in it; it must be a list of names")
        self._keys = frozenset(map(normal_name, keys))
        self._patterns = tuple(compiled("patterns", each, re.IGNORECASE) for each in patterns)
        self._has_defaults = bool(defaults)
        #: Whether digits at the end of a name count; for the names of credentials they do not.
        self.is_exact = bool(self._keys or self._patterns)

    @property
    def is_any(self) -> bool:
        """Whether any name can be secret."""
        return self._has_defaults or self.is_exact

    def has(self, name: str) -> bool:
        """Return whether a name is secret, or the one beside which its field is kept."""
        if self._matches(name):
            return True
        if len(name) > _MAX_NAME or not (beside := _KEPT_BESIDE.fullmatch(name)):
            return False
        return self._matches(beside["name"]) or self._matches(beside["stem"])

    def _matches(self, name: str) -> bool:
        return (
            (bool(self._keys) and normal_name(name[-_MAX_NAME:]) in self._keys)
            or (self._has_defaults and is_credential(name))
            or any(pattern.search(name) for pattern in self._patterns)
        )


def text_of_name(name: Any) -> str:
    """Return the text of a name, which may be any key of a dict; none for a number."""
    kind = type(name)
    if issubclass(kind, (bytes, bytearray)):
        base = bytes if issubclass(kind, bytes) else bytearray
        return base.decode(name, "utf-8", "replace")
    if issubclass(kind, str):
        return str.__str__(name)
    if issubclass(kind, (int, float)) or name is None:
        return ""
    # The form that a name has in a line.
    return Sanitiser().key(name) or ""
