"""Redact: a processor that replaces credentials, by the names of fields and by value."""

from __future__ import annotations

import datetime
import enum
import functools
import json
import operator
import re
import sys
from collections import deque
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from itertools import islice
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from mozlog_py._fields import json_message
from mozlog_py._fields.first_fields import RESERVED, first_fields, is_structlogs_own
from mozlog_py._fields.from_event import envelope_fields
from mozlog_py._fields.template_message import Template, TemplateMessage, read_template
from mozlog_py._process.memo import remember
from mozlog_py._redaction import template_values
from mozlog_py._redaction.chain_masks import mask_renderers
from mozlog_py._redaction.event_search import EventSearch
from mozlog_py._redaction.line_limits import items_copied, with_count, with_count_member
from mozlog_py._redaction.masked_repr import MaskedRepr, mask_repr, secret_attribute_texts
from mozlog_py._redaction.secret_names import SecretNames, text_of_name
from mozlog_py._redaction.secret_pairs import is_secret_pair, mask_pairs
from mozlog_py._values.class_lookup import MISSING, class_attribute, is_named, type_name
from mozlog_py._values.credential_names import (
    CREDENTIALS,
    DIGITS,
    MARKER,
)
from mozlog_py._values.dict_items import items_of, thawed
from mozlog_py._values.lazy_values import dataclass_members
from mozlog_py._values.mask_registry import mask_before_cut, mask_cuts
from mozlog_py._values.name_value_pairs import members_of, view_items
from mozlog_py._values.plain_types import all_scalars, is_scalar
from mozlog_py._values.sanitiser import MAX_DEPTH, MAX_ITEMS, MAX_REPR
from mozlog_py._values.whole_word import has_word

if TYPE_CHECKING:
    from mozlog_py._redaction.mask import AnyMask, Mask

__all__ = ["CREDENTIALS", "MARKER", "Redact", "combined_mask", "line_masks", "masked_event"]

_Self = TypeVar("_Self", bound="Redact")

_COLLECTIONS: Final = (set, frozenset, deque)
# The names under which Celery and other queues of tasks log the ``repr`` of a call's arguments.
_ARGUMENTS: Final = frozenset({"args", "argsrepr", "kwargs", "kwargsrepr"})
# How many names are remembered: names that are made from data must not fill the memory.
_MAX_REMEMBERED: Final = 2048
_OBJECT_REPR: Final = object.__dict__["__repr__"]
# The text of these types in a line holds no names.
_NAMELESS: Final = (
    str,
    int,
    float,
    bytes,
    bytearray,
    memoryview,
    complex,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    datetime.tzinfo,
    type,
    BuiltinFunctionType,
    FunctionType,
    ModuleType,
)
_NAMELESS_OF_LIBRARIES: Final = frozenset({("uuid", "UUID"), ("decimal", "Decimal")})
# Their text is a credential, also where it shows no name.
_CREDENTIALS_OF_LIBRARIES: Final = frozenset({("werkzeug.datastructures.auth", "Authorization")})
# A named tuple that is no tuple, and whose text has no names.
_ROWS: Final = frozenset({("sqlalchemy.engine.row", "Row")})


class Redact:
    """Replaces the values of credentials by a marker, at any depth.

    It searches values that have names: dicts and other mappings, headers of any library, the
    views of a dict, pairs of a name and a value as in a list of headers, dataclasses and named
    tuples. A line shows other objects by their ``repr``. Where that shows a credential, its value
    is replaced there, or the whole text by the name of the class and the marker.

    Names alone decide, unless one of ``values``, ``value_patterns`` and ``shapes`` asks for a
    search in texts. A value that raises when it is read is replaced as a whole. The event and its
    values are not changed: containers are copied, and a tuple becomes a list, as in a line.

    Args:
        keys: Further names. Case and the characters between words make no difference, so
            ``apiKey`` is ``API-KEY`` and ``api_key``.
        patterns: Further names, as regular expressions that are searched for in a name as it
            stands, in any case.
        marker: Stands in place of a value.
        defaults: Whether the names in ``CREDENTIALS`` are redacted too, and names whose last word
            is ``auth``, ``otp``, ``pass`` or ``sid``.
        values: Secrets of eight characters or more, which are masked wherever they stand in a
            line, also in the form that JSON, percent-encoding or base64 give them.
        value_patterns: Regular expressions; a text that one matches is masked.
        shapes: Whether well-known kinds of secrets are masked by their shape, such as tokens
            with a prefix, JWTs, private keys and passwords in URLs.

    Raises:
        ValueError: A key, pattern or value is invalid, or nothing would be redacted.
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
        self._names = SecretNames(keys, patterns, defaults=defaults)
        self.marker = marker
        self._remembered: dict[str, bool] = {}
        self._by_value: tuple[Any, ...] = (values, value_patterns, shapes, defaults)
        #: Masks by value and by shape; None if neither was asked for.
        self.mask = self._mask()
        if not (self._names.is_any or self.mask):
            raise ValueError(
                "nothing would be redacted: pass keys, patterns, values, value_patterns or "
                "shapes=True, or keep defaults"
            )

    def _mask(self) -> Mask | None:
        values, value_patterns, shapes, defaults = self._by_value
        if not (values or value_patterns or shapes):
            return None
        # The import takes some milliseconds.
        from mozlog_py._redaction.mask import mask_of

        if not (isinstance(values, str) or isinstance(value_patterns, str)):
            # They may be iterators, and an unpickled copy of this object needs them again.
            values, value_patterns = [*values], [*value_patterns]
            self._by_value = (values, value_patterns, shapes, defaults)
        # The parameters of URLs have the usual names, whatever ``keys`` says of fields.
        is_secret = self.is_secret if defaults else Redact().is_secret
        mask = mask_of(values, value_patterns, is_secret if shapes else None, self.marker)
        if mask is not None:
            mask_cuts(mask)
        return mask

    def __getstate__(self) -> dict[str, Any]:
        # A mask is registered in the process that made it.
        return {name: value for name, value in vars(self).items() if name != "mask"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if "_names" not in state:
            # The pickle is of an earlier version.
            keys, patterns = state["_keys"], state["_patterns"]
            self._names = SecretNames(keys, patterns, defaults=state["_defaults"])
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
        """Return a ``Redact`` for the secrets that environment variables hold now.

        These are the values of variables with secret names, and the passwords in URLs
        and connection strings of others. Values of fewer than eight characters are left
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
        from mozlog_py._redaction.secret_values import secrets_in_environment

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
        values, *others = made._by_value
        made._by_value = ([*values, *(one for one in found if one not in marker)], *others)
        made.mask = made._mask()
        return made

    def __call__(self, _: Any, __: str, event_dict: MutableMapping[str, Any]) -> dict[str, Any]:
        """Return the event dict with credentials replaced. Raises no ``Exception``."""
        interrupts: list[BaseException] = []
        out = self.redacted(_as_dict(event_dict), interrupts)
        if self.mask is not None:
            # The chain may end with any renderer, and a MozlogRenderer adds tracebacks and more.
            mask_renderers(self.mask, sys._getframe(1))  # noqa: SLF001
            out = self.mask.event(out)
        if interrupts:
            raise interrupts[0]
        return out

    def redacted(self, event_dict: Any, interrupts: list[BaseException]) -> dict[str, Any]:
        """Return the event dict with credentials replaced.

        Args:
            event_dict: The event.
            interrupts: Takes each exception of a value's own code that is no ``Exception``.
                The caller raises it once the event is written.
        """
        try:
            return self._event(event_dict, EventSearch(interrupts))
        except Exception:
            # Without an event in its place, the chain would go on with the credentials.
            hidden = {
                key: value
                if key in RESERVED and not template_values.is_fields(value)
                else self.marker
                for key, value in items_copied(event_dict)
                if type(key) is str
            }
            return {**hidden, **envelope_fields(event_dict)}

    def _event(self, event_dict: dict[str, Any], search: EventSearch) -> dict[str, Any]:
        out: dict[str, Any] = {}
        event_dict = template_values.read(
            first_fields(event_dict), self.is_secret, self.marker, search.interrupts
        )
        # As many as a line shows: one of them tells how many others there are.
        for key, value in items_copied(first_fields(event_dict, MAX_ITEMS)):
            if type(key) is str and key in RESERVED and is_structlogs_own(key, value):
                out[key] = self._message(value, search) if key == "event" else value
            else:
                out[key] = self._member(key, value, 0, search)
        mask_pairs(out, self.is_secret, self.marker)
        event = event_dict.get("event")
        if type(event) is str and json_message.looks_like_json(event):
            # Its members become fields.
            blob = json_message.parsed_object(event)
            if blob is None:
                if json_message.exceeds_bounds(event):
                    out["event"] = json_message.masked_json(event, self.is_secret, self.marker)
            elif (clean := self._members(blob, 0, search)) != blob:
                # A text, as it was: members of a dict would count as fields of the call, which
                # replace the request's id.
                out["event"] = json.dumps(clean)
        return out

    def _message(self, value: Any, search: EventSearch) -> Any:
        """Return a message that is no text without credentials, in a form that is no field."""
        if type(value) is TemplateMessage:
            return self._of_template(value, 1, search)
        if issubclass(type(value), str):
            return value
        clean = self._redacted(value, 1, search)
        return clean if clean is value or type(clean) is str else repr(clean)

    def _of_template(
        self, message: TemplateMessage, depth: int, search: EventSearch
    ) -> TemplateMessage:
        redacted = functools.partial(self._redacted, depth=depth + 1, search=search)
        return template_values.clean_message(message, self.is_secret, self.marker, redacted)

    def is_secret(self, name: Any) -> bool:
        """Return whether the value of a field with this name is redacted."""
        if type(name) is not str:
            name = text_of_name(name)
        known = self._remembered.get(name)
        if known is None and not self._names.is_exact:
            # One entry for all of ``item1``, ``item2`` and so on.
            name = name.rstrip(DIGITS)
            known = self._remembered.get(name)
        if known is None:
            known = self._names.has(name)
            remember(self._remembered, name, known, _MAX_REMEMBERED)
        return known

    def _members(self, members: dict[Any, Any], depth: int, search: EventSearch) -> dict[Any, Any]:
        # A subclass of dict may return any number of items.
        items = items_of(members, MAX_ITEMS)
        kept = search.within_budget(items[:MAX_ITEMS])
        out = {
            key if is_scalar(type(key)) else self._key(key, depth, search): self._member(
                key, value, depth, search
            )
            for key, value in kept
        }
        mask_pairs(out, self.is_secret, self.marker)
        return with_count_member(out, max(dict.__len__(members), len(items)) - len(kept))

    def _key(self, key: Any, depth: int, search: EventSearch) -> Any:
        """Return an object that is a key, or its text without credentials."""
        if issubclass(type(key), (str, bytes)) or all_scalars((key,)):
            return key
        if issubclass(type(key), (tuple, frozenset)):
            clean = [self._redacted(each, depth + 1, search, is_shown=True) for each in key]
            is_clean = all(one is each for one, each in zip(clean, key, strict=False))
            return key if is_clean else self.marker
        shown_key = self._redacted(key, depth + 1, search, is_shown=True)
        return key if shown_key is key else str(shown_key)

    def _member(self, key: Any, value: Any, depth: int, search: EventSearch) -> Any:
        if value is not None and self.is_secret(key):
            return self.marker
        kind = type(value)
        if kind is str:
            # The key's type first: a class of its own may have any hash.
            return self._arguments(value) if type(key) is str and key in _ARGUMENTS else value
        return value if is_scalar(kind) else self._redacted(value, depth + 1, search)

    def _arguments(self, text: str) -> str:
        """Return the ``repr`` of a call's arguments without the credentials among them by name."""
        # A registered secret must not be cut in two: no mask would find its parts.
        start = mask_before_cut(text, MAX_REPR)[:MAX_REPR] if len(text) > MAX_REPR else text
        shown = mask_repr(start, self.is_secret, self.marker)
        if shown is None:
            return self.marker
        if len(text) > MAX_REPR:
            return f"{shown}... <truncated, {len(text)} characters>"
        return shown

    def _redacted(
        self, value: Any, depth: int, search: EventSearch, *, is_shown: bool = False
    ) -> Any:
        try:
            return self._redacted_by_type(value, depth, search, is_shown=is_shown)
        except (RecursionError, MemoryError):
            raise
        except BaseException as error:
            # The value was not searched, so it may hold a credential.
            if not isinstance(error, Exception):
                search.interrupts.append(error)
            return self.marker

    def _redacted_by_type(
        self, value: Any, depth: int, search: EventSearch, *, is_shown: bool
    ) -> Any:
        """Return a value without credentials.

        Args:
            value: The value.
            depth: How many containers it stands in.
            search: The state of the event's search.
            is_shown: Whether it is an item of a container that a line shows by its ``repr``.
        """
        kind = type(value)
        if is_scalar(kind) or issubclass(kind, _NAMELESS):
            return value
        value = thawed(value)
        kind = type(value)
        if depth > MAX_DEPTH:
            # A line goes no deeper, and another renderer must not show what was not searched.
            return "<max depth>"
        if kind is MethodType:
            # Its text has that of its object in it.
            owner = self._redacted(value.__self__, depth + 1, search, is_shown=True)
            return value if owner is value.__self__ else f"<bound method of {owner}>"
        if kind is dict:
            return self._members(value, depth, search)
        if issubclass(kind, (list, tuple)):
            return self._sequence(value, kind, depth, search)
        for base in _COLLECTIONS:
            if issubclass(kind, base):
                return self._collection(value, base, depth, search)
        if kind is Template:
            # Its repr shows the values beside the names of their expressions.
            message = read_template(value, search.sanitiser)
            return str.__str__(self._of_template(message, depth, search))
        if issubclass(kind, dict) or not is_shown:
            members = members_of(value, kind, MAX_ITEMS)
            if members is not None:
                return with_count_member(
                    self._members(members.held, depth, search), members.left_out
                )
        if issubclass(kind, dict):
            return self._members(value, depth, search)
        if is_named(kind, _NAMELESS_OF_LIBRARIES):
            return value
        if is_named(kind, _CREDENTIALS_OF_LIBRARIES):
            return self._hidden(kind)
        if is_named(kind, _ROWS):
            return self._row(value, depth, search)
        if is_shown:
            text = search.sanitiser.item_text(value, depth)
            return self._object(value, kind, text, search)
        return self._redacted_object(value, kind, depth, search)

    def _redacted_object(self, value: Any, kind: type, depth: int, search: EventSearch) -> Any:
        """Return a value without a JSON type, without credentials that its line would show."""
        if issubclass(kind, enum.Enum):
            inner = value.value
            return value if is_scalar(type(inner)) else self._redacted(inner, depth + 1, search)
        if class_attribute(kind, "__dataclass_fields__") is not MISSING:
            # A line shows it as an object with the names of its fields.
            return self._members(dataclass_members(value, kind, _attribute), depth, search)
        view = view_items(value, kind, MAX_ITEMS)
        if view is not None:
            return self._list(*view, depth, search)
        if class_attribute(kind, "__repr__") is _OBJECT_REPR:
            return value
        if search.sanitiser.is_spent and id(kind) in search.text_kinds:
            # Its text would be cut, and hidden for that.
            return self._hidden(kind)
        # A line shows a text, unless the sanitiser knows the type.
        shown = search.sanitiser.value(value)
        if type(shown) is str:
            search.text_kinds.add(id(kind))
            return self._object(value, kind, shown, search)
        clean = self._redacted(shown, depth + 1, search)
        # The parts that the sanitiser has left out were not searched.
        return value if clean == shown and not search.sanitiser.is_spent else clean

    def _object(self, value: Any, kind: type, text: str, search: EventSearch) -> Any:
        """Return an object if its text shows no credential, else a text that replaces it."""
        # The text was cut if the event has too many of them.
        is_whole = not search.sanitiser.is_spent
        masked = mask_repr(text, self.is_secret, self.marker) if is_whole else None
        if masked is not None:
            for secret in secret_attribute_texts(value, self.is_secret):
                # The secret may hold a quote, so that the masked value ends within it.
                is_quoted = repr(secret) in text or not has_word(text, secret)
                if not is_quoted or has_word(masked, secret):
                    masked = None
                    break
        if masked == text:
            return value
        return self._hidden(kind) if masked is None else MaskedRepr(masked)

    def _hidden(self, kind: type) -> MaskedRepr:
        return MaskedRepr(f"<{type_name(kind)} {self.marker}>")

    def _sequence(self, value: Any, kind: type, depth: int, search: EventSearch) -> Any:
        base = list if issubclass(kind, list) else tuple
        items = [*base.__getitem__(value, slice(0, MAX_ITEMS))]
        if is_secret_pair(items, self.is_secret):
            return [items[0], self.marker]
        names = class_attribute(kind, "_fields") if base is tuple else None
        if type(names) is tuple and len(names) == len(items):
            # The field names of a named tuple decide, though a line does not show them.
            return [*map(self._member, names, items, [depth] * len(items), [search] * len(items))]
        return self._list(items, base.__len__(value) - len(items), depth, search)

    def _row(self, value: Any, depth: int, search: EventSearch) -> Any:
        """Return a row without credentials: itself, or a list of its values."""
        names, items = [*islice(value._fields, MAX_ITEMS)], [*islice(value, MAX_ITEMS)]
        if is_secret_pair(items, self.is_secret):
            return [items[0], self.marker]
        clean = [*map(self._member, names, items, [depth] * len(items), [search] * len(items))]
        is_clean = len(names) == len(items) and all(map(operator.is_, clean, items))
        if is_clean:
            # A value may be a text that shows names and values itself.
            return self._redacted_object(value, type(value), depth, search)
        return with_count(clean, len(value) - len(clean))

    def _list(self, items: list[Any], left_out: int, depth: int, search: EventSearch) -> list[Any]:
        kept = search.within_budget(items)
        clean = [self._redacted(item, depth + 1, search) for item in kept]
        return with_count(clean, left_out + len(items) - len(kept))

    def _collection(self, value: Any, base: Any, depth: int, search: EventSearch) -> Any:
        """Return a collection that a line shows by the ``repr`` of its items."""
        items = [*islice(base.__iter__(value), MAX_ITEMS)]
        if all_scalars(items):
            # Values without names, such as a set of names.
            return value
        kept = search.within_budget(items)
        clean = [self._redacted(item, depth + 1, search, is_shown=True) for item in kept]
        clean = with_count(clean, base.__len__(value) - len(kept))
        if base is deque:
            return deque(clean, deque.maxlen.__get__(value))
        try:
            return base(map(_hashable, clean))
        except Exception:
            return clean


def _as_dict(event_dict: MutableMapping[str, Any]) -> dict[str, Any]:
    """Return an event as a dict: structlog passes on what its ``context_class`` makes."""
    if issubclass(type(event_dict), dict):
        return cast("dict[str, Any]", event_dict)
    try:
        return dict(event_dict)
    except Exception as error:
        # Without an event in its place, the chain would go on with the credentials.
        return {"event": f"<{type_name(type(event_dict))}: {type_name(type(error))}>"}


def line_masks(processors: Sequence[Any]) -> list[Mask]:
    """Return the masks of those processors that are a ``Redact`` and mask by value."""
    return [
        processor.mask
        for processor in processors
        if issubclass(type(processor), Redact) and processor.mask is not None
    ]


def combined_mask(masks: Sequence[AnyMask]) -> AnyMask | None:
    """Return one mask for the secrets of several; None for an empty sequence."""
    return masks[0].joined_with(masks[1:]) if masks else None


def mask_of_processors(processors: Sequence[Any]) -> AnyMask | None:
    """Return the mask for all secrets that processors mask by value; None if they mask none."""
    return combined_mask(line_masks(processors))


def masked_event(processors: Sequence[Any], event_dict: dict[str, Any]) -> dict[str, Any]:
    """Return an event dict without the secrets that processors mask by value.

    It is for a renderer of another package, and for handlers of ``logging``.
    """
    for each in line_masks(processors):
        event_dict = each.event(event_dict)
    return event_dict


def shows_no_secret(processors: Sequence[Any], args: tuple[Any, ...]) -> bool:
    """Return whether handlers of other packages may get the arguments of a message.

    The message shows a part of an argument, or one member of a mapping. Where a ``Redact`` is
    among the processors, only plain values are passed on, in which it masks nothing.
    """
    if not any(issubclass(type(processor), Redact) for processor in processors):
        return True
    return all_scalars(args) and all(
        each.event({"event": args})["event"] == args for each in line_masks(processors)
    )


def _hashable(value: Any) -> Any:
    """Return a copied value in a form that a set holds: its lists as tuples."""
    return tuple(map(_hashable, value)) if type(value) is list else value


def _attribute(value: Any, name: str) -> Any:
    try:
        return getattr(value, name)
    except Exception as error:
        return f"<unprintable {type_name(type(value))}: {type_name(type(error))}>"
