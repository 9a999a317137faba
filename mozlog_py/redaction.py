"""Redact: a processor that keeps credentials out of the log, by the names they go by."""

from __future__ import annotations

import json
import re
import sys
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .fields import json_object, looks_like_json
from .mask_registry import mask_chains, mask_cuts
from .values import MAX_DEPTH, MAX_ITEMS, Sanitiser, type_name

if TYPE_CHECKING:
    from .masking import AnyMask, Mask

__all__ = ["CREDENTIALS", "MARKER", "Redact", "line_mask", "masked_event"]

_Self = TypeVar("_Self", bound="Redact")

#: What stands in place of a redacted value.
MARKER: Final = "[redacted]"

#: The names of credentials, in lower case and without what separates words. A
#: name that ends with one of them counts as well: ``db_password``, ``X-Auth-Token``.
CREDENTIALS: Final = frozenset(
    {
        "accesskey",
        "apikey",
        "authorization",
        "bearer",
        "cookie",
        "cookies",
        "credential",
        "credentials",
        "jwt",
        "passphrase",
        "passwd",
        "password",
        "passwords",
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

# What a field is called that is kept beside another of its name; a second one has a number.
_KEPT_BESIDE: Final = re.compile(r"extra\.(?P<name>(?P<stem>.*?)(?:_[0-9]+)?)", re.DOTALL)
_SEPARATORS: Final = re.compile(r"[^a-z0-9]+")
# Too short to be looked for at the end of others.
_WHOLE: Final = frozenset({"auth", "otp", "pass", "sid"})
_SEQUENCES: Final = (list, tuple, set, frozenset, deque)
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
    - ``values``: secrets of eight characters or more, which are masked wherever they
      stand in a line, also as JSON, percent-encoding or base64 dress them.
    - ``value_patterns``: regular expressions; what they match in a text is masked.
    - ``shapes``: whether well-known kinds of secrets are masked by their shape, such
      as tokens with a prefix, JWTs, private keys and passwords in URLs.

    A pair whose first item is such a name has its second replaced, as in a list
    of headers. It goes by names and does not look for secrets in texts, unless the
    last three ask for it. What it cannot look
    into, since it raises, is replaced as a whole. What it is handed is not
    changed; what has to be is copied. Raises ``ValueError`` for a key, pattern or value
    that is none, and where nothing would be redacted.
    """

    def __init__(
        self,
        keys: Iterable[str] = (),
        *,
        patterns: Iterable[str | re.Pattern[str]] = (),
        marker: str = MARKER,
        defaults: bool = True,
        values: Iterable[str] = (),
        value_patterns: Iterable[str | re.Pattern[str]] = (),
        shapes: bool = False,
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
        self.marker = marker
        self._remembered: dict[str, bool] = {}
        self._by_value: tuple[Any, ...] = (values, value_patterns, shapes, defaults)
        #: What masks by value and by shape; None where neither is asked for.
        self.mask = self._mask()
        if not (self._keys or self._patterns or defaults or self.mask):
            raise ValueError("nothing would be redacted: give keys or patterns, or keep defaults")

    def _mask(self) -> Mask | None:
        values, value_patterns, shapes, defaults = self._by_value
        if not (values or value_patterns or shapes):
            return None
        # Some milliseconds to import, for those who ask for it.
        from .masking import mask_of

        if not (isinstance(values, str) or isinstance(value_patterns, str)):
            # They may be iterators, and a copy of this object needs them again.
            values, value_patterns = [*values], [*value_patterns]
            self._by_value = (values, value_patterns, shapes, defaults)
        # The parameters of URLs have the usual names, whatever names fields have.
        is_secret = self.is_secret if defaults else Redact().is_secret
        mask = mask_of(values, value_patterns, is_secret if shapes else None, self.marker)
        if mask is not None:
            mask_cuts(mask)
        return mask

    def __getstate__(self) -> dict[str, Any]:
        # A mask is registered in its process.
        return {name: value for name, value in vars(self).items() if name != "mask"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.mask = self._mask()

    @classmethod
    def from_environment(
        cls: type[_Self],
        keys: Iterable[str] = (),
        *,
        environ: Mapping[str, str] | None = None,
        patterns: Iterable[str | re.Pattern[str]] = (),
        marker: str = MARKER,
        defaults: bool = True,
        values: Iterable[str] = (),
        value_patterns: Iterable[str | re.Pattern[str]] = (),
        shapes: bool = False,
    ) -> _Self:
        """Return one that masks the secrets in environment variables, as they are now.

        These are the values of variables with secret names, and the passwords in URLs
        and connection strings of others. Those of less than eight characters are left
        out, and so is the path of a file that exists.

        Args:
            keys: As in the constructor, like those below.
            environ: The variables; None for those of this process.
            patterns: As in the constructor.
            marker: As in the constructor.
            defaults: As in the constructor.
            values: Further secrets.
            value_patterns: As in the constructor.
            shapes: As in the constructor.

        Raises:
            ValueError: As from the constructor.

        """
        from .secret_values import secrets_in_environment

        made = cls(
            keys,
            patterns=patterns,
            marker=marker,
            defaults=defaults,
            values=values,
            value_patterns=value_patterns,
            shapes=shapes,
        )
        found = secrets_in_environment(environ, made.is_secret)
        given, *others = made._by_value
        made._by_value = ([*given, *(one for one in found if one not in marker)], *others)
        made.mask = made._mask()
        return made

    def __call__(self, _: Any, __: str, event_dict: dict[str, Any]) -> dict[str, Any]:
        """Give the event dict with credentials replaced. Never raises an ``Exception``."""
        interrupts: list[BaseException] = []
        out = self.redacted(event_dict, interrupts)
        if self.mask is not None:
            # What follows in the chain may be any renderer.
            out = self.mask.event(out)
        if interrupts:
            raise interrupts[0]
        return out

    def redacted(
        self, event_dict: dict[str, Any], interrupts: list[BaseException]
    ) -> dict[str, Any]:
        """Give the event dict with credentials replaced.

        What a value's own code raises that is no ``Exception`` is put into
        ``interrupts``, for whoever can raise it once the event is written.
        """
        if self.mask is not None and not self.mask.is_in_chains:
            mask_chains(self.mask)
        try:
            return self._event(event_dict, interrupts)
        except Exception:
            # Left out as a processor that fails is, it would let everything through.
            return {
                key: value if key in _UNTOUCHED and not _is_fields(value) else self.marker
                for key, value in _items(event_dict)
                if type(key) is str
            }

    def _event(self, event_dict: dict[str, Any], interrupts: list[BaseException]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in _items(event_dict):
            is_own = key in _UNTOUCHED and _is_own(key, value)
            out[key] = value if is_own else self._member(key, value, 0, interrupts)
        event = event_dict.get("event")
        if type(event) is str and looks_like_json(event):
            # Its members are going to be fields.
            blob = json_object(event)
            if blob is not None and (clean := self._members(blob, 0, interrupts)) != blob:
                # As text: the members of a dict would be fields of the call's own, which
                # replace the request's id.
                out["event"] = json.dumps(clean)
        return out

    def is_secret(self, name: Any) -> bool:
        """Tell whether what goes by a name is redacted."""
        if type(name) is not str:
            name = _text(name)
        known = self._remembered.get(name)
        if known is None:
            known = self._matches(name)
            if not known and (beside := _KEPT_BESIDE.fullmatch(name)):
                known = self._matches(beside["name"]) or self._matches(beside["stem"])
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[name] = known
        return known

    def _matches(self, name: str) -> bool:
        normal = _normal(name)
        return (
            normal in self._keys
            or normal.endswith(self._endings)
            or (bool(self._endings) and normal in _WHOLE)
            or any(pattern.search(name) for pattern in self._patterns)
        )

    def _members(
        self, members: dict[Any, Any], depth: int, interrupts: list[BaseException]
    ) -> dict[Any, Any]:
        return {key: self._member(key, value, depth, interrupts) for key, value in _items(members)}

    def _member(self, key: Any, value: Any, depth: int, interrupts: list[BaseException]) -> Any:
        if value is not None and self.is_secret(key):
            return self.marker
        return value if type(value) in _SCALARS else self._safely(value, depth + 1, interrupts)

    def _safely(self, value: Any, depth: int, interrupts: list[BaseException]) -> Any:
        try:
            return self._looked_into(value, depth, interrupts)
        except (RecursionError, MemoryError):
            raise
        except BaseException as error:
            # Whatever may be in it, nobody has seen it.
            if not isinstance(error, Exception):
                interrupts.append(error)
            return self.marker

    def _looked_into(self, value: Any, depth: int, interrupts: list[BaseException]) -> Any:
        kind = type(value)
        if kind in _SCALARS:
            return value
        if depth > MAX_DEPTH:
            # A line goes no deeper either, and what others render has not been seen.
            return "<max depth>"
        if issubclass(kind, dict):
            return self._members(value, depth, interrupts)
        for base in _SEQUENCES:
            if issubclass(kind, base):
                return self._items(value, base, depth, interrupts)
        if hasattr(kind, "__dataclass_fields__"):
            # A line shows it as an object, with its names.
            names = [field.name for field in sys.modules["dataclasses"].fields(kind)]
            members = {name: _attribute(value, name) for name in names}
            return self._members(members, depth, interrupts)
        if issubclass(kind, Mapping):
            # Headers, often. A line would show its repr, and that all it has.
            return self._members({**value}, depth, interrupts)
        return value

    def _items(self, value: Any, base: Any, depth: int, interrupts: list[BaseException]) -> Any:
        items = [*islice(base.__iter__(value), MAX_ITEMS)]
        if base is not list and base is not tuple and _SCALARS.issuperset(map(type, items)):
            # A set of names, or the like.
            return value
        if len(items) == 2 and not isinstance(items[0], Mapping) and self.is_secret(items[0]):
            # A name and its value, as headers often are.
            return [items[0], self.marker]
        clean = [self._safely(item, depth + 1, interrupts) for item in items]
        left_out = base.__len__(value) - len(items)
        if left_out > 0:
            clean.append(f"<{left_out} more items>")
        return clean


def line_mask(processors: Sequence[Any], masks: Iterable[AnyMask] = ()) -> AnyMask | None:
    """Return what masks the lines behind processors by value; None for nothing.

    Args:
        processors: Any processors; those that are a ``Redact`` may have a mask.
        masks: Further masks.

    """
    found: list[AnyMask] = [
        processor.mask
        for processor in processors
        if issubclass(type(processor), Redact) and processor.mask is not None
    ]
    found.extend(masks)
    if not found:
        return None
    from .masking import combined

    return combined(found)


def masked_event(processors: Sequence[Any], event_dict: dict[str, Any]) -> dict[str, Any]:
    """Return an event dict with what processors mask by value masked, for another's renderer."""
    for processor in processors:
        if issubclass(type(processor), Redact) and processor.mask is not None:
            event_dict = processor.mask.event(event_dict)
    return event_dict


def _is_own(key: str, value: Any) -> bool:
    """Tell whether what goes by a name of structlog's is what structlog puts there."""
    if key == "event":
        return not isinstance(value, (dict, list, tuple))
    if key == "exc_info":
        is_triple = isinstance(value, tuple) and len(value) == 3
        return is_triple or value is None or isinstance(value, (bool, BaseException))
    return not isinstance(value, (dict, list, tuple))


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
    return _SEPARATORS.sub("", name.lower())


def _text(name: Any) -> str:
    if isinstance(name, (bytes, bytearray)):
        return name.decode("utf-8", "replace")
    if isinstance(name, str):
        return str.__str__(name)
    if isinstance(name, (int, float)) or name is None:
        return ""
    # As a line shows it.
    return Sanitiser().key(name) or ""


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
