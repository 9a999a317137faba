"""Any Python value to plain JSON values, never raising.

This is the slow path for records that hold anything but exact ``str``, ``int``, ``float`` and
``bool``. It returns exact plain types, and containers that it has built: orjson ends the process
on some values that are neither (see ``plain_types``).
"""

from __future__ import annotations

import base64
import datetime
import enum
import functools
import io
import math
from collections import deque
from collections.abc import Callable, Container
from itertools import islice
from types import TracebackType
from typing import Any, Final

from .bounded_repr import bounded_repr
from .class_lookup import comes_from, defines, is_kind, type_name
from .dict_items import DICTS, items_of
from .foreign_scalars import reader_of
from .frame_cache import frames_text
from .lazy_values import (
    LAZY_PACKAGES,
    dataclass_members,
    is_lazy_text,
    loaded_object,
    loaded_rows,
    name_expired,
    name_unloaded,
)
from .name_value_pairs import Members, members_of, view_items
from .plain_types import INT_MAX, INT_MIN
from .record_budget import (
    DEGRADED,
    MAX_CHARACTERS,
    MORE_KEY,
    MoreItems,
    RecordBudget,
    more_items,
)
from .request_objects import REQUEST_PACKAGES, is_request, shown_request

__all__ = [
    "MAX_DEPTH",
    "MAX_ITEMS",
    "MAX_REPR",
    "Sanitiser",
    "unique_key",
]

#: Containers nested deeper than this become ``"<max depth>"``.
MAX_DEPTH: Final = 16
#: Items kept of one container; the others are counted.
MAX_ITEMS: Final = 1000
#: Characters kept of a ``repr``, and bytes kept of a bytes value.
MAX_REPR: Final = 8192

# The default of sys.set_int_max_str_digits(). An application may lift that, but the time of
# printing grows with the square of the digits, so the bound stays.
_MAX_DIGITS: Final = 4300
_MAX_BITS: Final = int(_MAX_DIGITS * math.log2(10))
# Beyond this even counting the digits exactly takes longer than a log call may.
_MAX_COUNTED_BITS: Final = 1_000_000

# Characters of a text that are encoded together.
_CHUNK: Final = 8192

_INFINITIES: Final = (math.inf, -math.inf)
_FIRST: Final = ("msg", "error", "traceback", "stack", "Time", DEGRADED)
_DATES: Final = (datetime.datetime, datetime.date, datetime.time)
_COLLECTIONS: Final = (set, frozenset, deque)
_SHOWN_BY_STR: Final = (("uuid", "UUID"), ("decimal", "Decimal"), ("pathlib", "PurePath"))
# The packages of the classes that are known by name, and shown in a way of their own.
_NAMED_PACKAGES: Final = LAZY_PACKAGES | REQUEST_PACKAGES


class Sanitiser(RecordBudget):
    """Makes plain values of one record's values, within the record's budget.

    ``reasons`` and ``interrupt`` say afterwards what was lost, and which ``KeyboardInterrupt``,
    ``SystemExit`` or ``CancelledError`` the code of a value raised. The caller raises that once
    the record is written.

    Args:
        json_default: Replaces the rendering of values for which JSON has no type. Its result
            is cleaned in turn.
        max_characters: As for ``RecordBudget``.
    """

    __slots__ = ("_path", "exception", "json_default")

    def __init__(
        self,
        json_default: Callable[[Any], Any] | None = None,
        max_characters: int = MAX_CHARACTERS,
    ) -> None:
        # super() would take twice the time, and each line of an exception needs a Sanitiser.
        RecordBudget.__init__(self, max_characters)
        self.json_default = json_default
        #: The record's exception, and its text as ``render_exception`` made it.
        self.exception: tuple[Any, str] | None = None
        # The ids of the containers that are being copied: one that holds itself is found by it.
        self._path: set[int] = set()

    # -- entry points -----------------------------------------------------

    def fields(self, fields: dict[Any, Any]) -> dict[str, Any]:
        """Return a copy of a record's fields in plain values, without those that are None."""
        left_out = 0
        if dict.__len__(fields) > MAX_ITEMS:
            # The message, the exception and the note must not be among those that are dropped.
            first = {name: fields[name] for name in _FIRST if name in fields}
            fields = {**first, **fields}
            if type(fields.get(MORE_KEY)) is MoreItems:
                left_out = fields.pop(MORE_KEY).number
        return self._members(fields, keep_none=False, left_out=left_out)

    def value(self, value: Any) -> Any:
        """Return a copy of one value in plain values."""
        return self._value(value, 0)

    def text(self, value: str) -> str:
        r"""Return an exact ``str`` that UTF-8 can encode: lone surrogates become ``\udXXX``."""
        text: str = value if type(value) is str else str.__str__(value)
        if text.isascii():
            return text
        try:
            text.encode()
        except UnicodeEncodeError:
            if len(text) <= _CHUNK:
                return text.encode("utf-8", "backslashreplace").decode()
            # By chunks: memory that is new to the process takes as long as the work.
            out = io.StringIO()
            for start in range(0, len(text), _CHUNK):
                chunk = text[start : start + _CHUNK]
                out.write(chunk.encode("utf-8", "backslashreplace").decode())
            return out.getvalue()
        return text

    def repr(self, value: Any) -> str:
        """Return ``repr(value)``, bounded, or a marker that names the type and the exception."""
        try:
            text, left_out = bounded_repr(value)
            return self.text(self._spent(text, MAX_REPR, left_out))
        except BaseException as error:
            return self.unprintable(value, error)

    def text_of(self, value: Any) -> str:
        """Return ``str(value)`` as bounded text, or a marker where the value's own code raises."""
        return self.call(str.__str__ if issubclass(type(value), str) else str, value)

    def call(self, render: Callable[[Any], str], value: Any) -> str:
        """Return ``render(value)`` as bounded text, or a marker where it raises.

        Args:
            render: A function that may run the value's own code.
            value: Any value.
        """
        try:
            return self.text(self._spent(str.__str__(render(value)), MAX_REPR))
        except BaseException as error:
            return self.unprintable(value, error)

    def unprintable(self, value: Any, error: BaseException) -> str:
        """Return the marker for a value whose own code raised ``error``."""
        self.defer_interrupt(error)
        self.add_reason("value unprintable")
        return f"<unprintable {type_name(type(value))}: {type_name(type(error))}>"

    def key(self, key: Any) -> str | None:
        """Return the text of a key; None where its hash or its equality raises."""
        if issubclass(type(key), str):
            return self.text(key)
        try:
            hash(key)
            # Not a tautology: it shows whether __eq__ raises.
            key == key  # noqa: B015, PLR0124
        except BaseException as error:
            self.unprintable(key, error)
            self.add_reason(f"key of type {type_name(type(key))} skipped")
            return None
        plain = self._value(key, 0)
        if type(plain) is str:
            return plain
        if plain is None or type(plain) is bool:
            return {None: "null", True: "true", False: "false"}[plain]
        return self.repr(plain if type(plain) is int or type(plain) is float else key)

    # -- by type ----------------------------------------------------------

    def _value(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            if depth:
                value = self._spent(value)
            return value if value.isascii() else self.text(value)
        if value is None or kind is bool:
            return value
        if kind is int:
            return self._integer(value)
        if kind is float:
            return self._float(value)
        if kind is dict:
            return self._nested(value, _same, depth, self._mapping)
        if kind is list or kind is tuple:
            return self._nested(value, _same, depth, self._array)
        try:
            return self._other(value, kind, depth)
        except BaseException as error:
            return self.unprintable(value, error)

    def _integer(self, value: int) -> int | str:
        if INT_MIN <= value <= INT_MAX:
            return value
        bits = value.bit_length()
        if bits <= _MAX_BITS:
            try:
                return int.__repr__(value)
            except ValueError:
                # sys.set_int_max_str_digits() may be set below this bound.
                pass
        self.add_reason("integer too long")
        digits = int(bits * math.log10(2)) + 1
        if bits > _MAX_COUNTED_BITS:
            return f"<int of about {digits} digits>"
        if abs(value) < 10 ** (digits - 1):
            digits -= 1
        return f"<int of {digits} digits>"

    def _float(self, value: float) -> float | str:
        if value - value == 0:
            return value
        if value in _INFINITIES:
            return "Infinity" if value > 0 else "-Infinity"
        return "NaN"

    def _other(self, value: Any, kind: type, depth: int) -> Any:
        # A subclass has its base value in the line, read with the base type's methods: its own
        # methods may raise, or return another value.
        if issubclass(kind, str):
            return self.text(self._spent(str.__str__(value)) if depth else value)
        if issubclass(kind, int):
            return self._integer(int.__pos__(value))
        if issubclass(kind, float):
            return self._float(float.__pos__(value))
        is_dict = issubclass(kind, DICTS)
        if issubclass(kind, (list, tuple)):
            return self._nested(value, _same, depth, self._array)
        if self.json_default is not None and not is_dict:
            return self._nested(value, self.json_default, depth)
        opened = self._mapping_or_view(value, kind, depth)
        if opened is not None:
            return opened
        if is_dict:
            return self._nested(value, _same, depth, self._mapping)
        return self._default(value, kind, depth)

    def _mapping_or_view(self, value: Any, kind: type, depth: int) -> Any:
        """Return a mapping or a dict's view of any class in plain values; None for other values."""
        try:
            members = members_of(value, kind, MAX_ITEMS)
            items = view_items(value, kind, MAX_ITEMS) if members is None else None
        except Exception:
            # Its dict part, or its repr, may work.
            return None
        if members is not None:
            return self._nested(value, lambda _: members, depth, self._opened)
        if items is not None:
            return self._nested(value, lambda _: items, depth, self._viewed)
        return None

    def _default(self, value: Any, kind: type, depth: int) -> Any:
        """Return a value as python-json-logger's ``defaults`` render it, by base-type methods."""
        if issubclass(kind, enum.Enum):
            return self._nested(value, lambda member: member.value, depth)
        if kind is not datetime.datetime and issubclass(kind, datetime.datetime):
            reader = reader_of(kind)
            if reader is not None:
                return self._nested(value, reader, depth)
        for date in _DATES:
            if issubclass(kind, date):
                return self.call(date.isoformat, value)
        if issubclass(kind, (bytes, bytearray, memoryview)):
            return self._bytes(value)
        if issubclass(kind, BaseException):
            return self.call(lambda error: f"{type_name(kind)}: {error}", value)
        if issubclass(kind, enum.EnumMeta):
            return self._nested(value, lambda members: [m.value for m in members], depth)
        if issubclass(kind, type):
            return type_name(value)
        if issubclass(kind, TracebackType):
            return self.call(
                lambda frames: frames_text(frames, self.defer_interrupt).strip(), value
            )
        for base in _COLLECTIONS:
            if issubclass(kind, base):
                copy = functools.partial(self._collection, base)
                return self._nested(value, _same, depth, copy)
        for known in _SHOWN_BY_STR:
            if is_kind(kind, *known):
                return self.call(str, value)
        reader = reader_of(kind)
        if reader is not None:
            return self._nested(value, reader, depth)
        if comes_from(kind, _NAMED_PACKAGES):
            if is_lazy_text(kind):
                return self.call(str, value)
            if is_request(kind):
                return self.call(shown_request, value)
            name = name_unloaded(value, kind)
            if name is not None:
                return self.text_of(name)
            loaded = loaded_object(value, kind)
            if loaded is not None:
                return self._nested(value, lambda _: loaded[0], depth)
            rows = loaded_rows(value, kind)
            if rows is not None:
                return self._nested(value, lambda _: rows, depth, self._rows)
        name = name_expired(value, kind)
        if name is not None:
            return self.text_of(name)
        if defines(kind, "__dataclass_fields__"):
            return self._dataclass(value, kind, depth)
        return self.repr(value)

    def _rows(self, rows: tuple[list[Any], int], depth: int) -> str:
        """Return the ``repr`` of an evaluated query set, without its rows' own queries."""
        shown, size = rows
        texts = [self.item_text(row, depth) for row in self._within_budget(shown)]
        if len(texts) < size:
            texts.append(more_items(size - len(texts)))
        return f"<QuerySet [{', '.join(texts)}]>"

    def _collection(self, base: type, value: Any, depth: int) -> str:
        """Return the ``repr`` of a collection, item by item: that of nested ones has no bound."""
        size = base.__len__(value)  # type: ignore[attr-defined]
        items = base.__iter__(value)  # type: ignore[attr-defined]
        kept = self._within_budget([*islice(items, MAX_ITEMS)])
        texts = [self.item_text(item, depth) for item in kept]
        if len(kept) < size:
            texts.append(self._more(size - len(kept)))
        inner = ", ".join(texts)
        if base is deque:
            most = deque.maxlen.__get__(value)
            return f"deque([{inner}]{'' if most is None else f', maxlen={most}'})"
        if not texts:
            return f"{base.__name__}()"
        return f"{{{inner}}}" if base is set else f"frozenset({{{inner}}})"

    def item_text(self, item: Any, depth: int) -> str:
        """Return the text of an item as it stands in the text of a container.

        Args:
            item: The item, of any type.
            depth: How many containers it is in.
        """
        kind = type(item)
        if kind is str or kind is int:
            return self.repr(item)
        if issubclass(kind, _COLLECTIONS):
            return str(self._value(item, depth))
        if issubclass(kind, (*DICTS, list, tuple)):
            return self.repr(self._value(item, depth))
        name = name_expired(item, kind)
        if name is None and comes_from(kind, _NAMED_PACKAGES):
            if is_request(kind):
                return self.call(shown_request, item)
            name = name_unloaded(item, kind)
        return self.repr(item) if name is None else self.text_of(name)

    def _bytes(self, value: bytes | bytearray | memoryview) -> str:
        # A memoryview reads the buffer; a subclass may override the conversions of bytes.
        view = memoryview(value)
        content = view.cast("B") if view.c_contiguous else view.tobytes()
        text = base64.urlsafe_b64encode(content[:MAX_REPR]).decode()
        if view.nbytes > MAX_REPR:
            self.add_reason("bytes truncated")
            text = f"{text}... <truncated, {view.nbytes} bytes>"
        return text

    def _dataclass(self, value: Any, kind: type, depth: int) -> Any:
        members = dataclass_members(value, kind, self._attribute)
        return self._nested(value, lambda _: members, depth, self._mapping)

    def _attribute(self, value: Any, name: str) -> Any:
        try:
            return getattr(value, name)
        except BaseException as error:
            return self.unprintable(value, error)

    # -- containers -------------------------------------------------------

    def _nested(
        self,
        value: Any,
        open_: Callable[[Any], Any],
        depth: int,
        copy: Callable[[Any, int], Any] | None = None,
    ) -> Any:
        """Return what a container holds in plain values, unless a cycle or the depth forbids it.

        Args:
            value: The container.
            open_: Returns its contents; it may run the container's own code.
            depth: How many containers it is in.
            copy: Makes plain values of the contents; None for ``_value``.
        """
        if id(value) in self._path:
            self.add_reason("circular reference")
            return "<circular>"
        if depth >= MAX_DEPTH:
            self.add_reason("nested too deeply")
            return "<max depth>"
        self._path.add(id(value))
        try:
            return (copy or self._value)(open_(value), depth + 1)
        finally:
            self._path.discard(id(value))

    def _array(self, value: Any, depth: int) -> list[Any]:
        base = list if issubclass(type(value), list) else tuple
        size = base.__len__(value)
        # The slice is the snapshot: an item's repr may change the container.
        kept = self._within_budget([*base.__getitem__(value, slice(0, MAX_ITEMS))])
        out = [self._value(item, depth) for item in kept]
        if len(kept) < size:
            out.append(self._more(size - len(kept)))
        return out

    def _viewed(self, items: tuple[list[Any], int], depth: int) -> list[Any]:
        shown, left_out = items
        out = self._array(shown, depth)
        if left_out:
            out.append(self._more(left_out))
        return out

    def _mapping(self, value: Any, depth: int) -> dict[str, Any]:
        return self._members(value, keep_none=True, depth=depth)

    def _opened(self, members: Members, depth: int) -> dict[str, Any]:
        out = self._mapping(members.held, depth)
        if members.left_out:
            out[unique_key(MORE_KEY, out)] = self._more(members.left_out)
        return out

    def _members(
        self, value: Any, *, keep_none: bool, depth: int = 0, left_out: int = 0
    ) -> dict[str, Any]:
        out: dict[str, Any] = {}
        numbers: dict[str, int] = {}
        items = items_of(value, MAX_ITEMS)
        # A class that keeps its items elsewhere may have an endless number of them.
        size = max(dict.__len__(value), len(items))
        members = self._within_budget(items[:MAX_ITEMS])
        for key, member in members:
            name = key if type(key) is str and key.isascii() else self.key(key)
            if name is None or (member is None and not keep_none):
                continue
            if depth:
                name = self._spent(name)
            if name in out:
                name = unique_key(name, out, numbers)
            kind = type(member)
            # Most members need no cleaning, and a call of _value costs more than these tests.
            if (
                (kind is str and not depth and member.isascii())
                or (kind is int and INT_MIN <= member <= INT_MAX)
                or (kind is float and member - member == 0)
                or kind is bool
            ):
                out[name] = member
            elif (made := self._value(member, depth)) is not None or keep_none:
                out[name] = made
        left_out += size - len(members)
        if left_out > 0:
            out[unique_key(MORE_KEY, out)] = self._more(left_out)
        return out

    def _more(self, count: int) -> str:
        self.add_reason("items dropped")
        return more_items(count)


def _same(value: Any) -> Any:
    return value


def unique_key(name: str, taken: Container[Any], numbers: dict[str, int] | None = None) -> str:
    """Return a name that is not taken: the requested one, or that with a number at its end.

    Args:
        name: The requested name.
        taken: The names that are taken. The caller adds the returned one.
        numbers: The last number of each name, kept by the caller for one ``taken``. Without it
            every call counts from 2, and the n-th collision of one name costs n look-ups.
    """
    if name not in taken:
        return name
    count = 1 if numbers is None else numbers.get(name, 1)
    candidate = name
    while candidate in taken:
        count += 1
        candidate = f"{name}_{count}"
    if numbers is not None:
        numbers[name] = count
    return candidate
