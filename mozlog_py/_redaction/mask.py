"""A mask: the search for one ``Redact``'s secrets in texts: registered values, patterns, shapes.

A mask is applied when the Fields are encoded. Then every text of the line is there, also those of
exceptions and of source lines, and none is cut yet. A prefilter searches the encoded bytes. Only
if it may have found a secret, the values of the line are masked text by text, keys included, and
encoded again. So the result is valid JSON whatever a secret looks like.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Final

from mozlog_py._fields.from_event import envelope_fields
from mozlog_py._fields.template_message import Interpolated, TemplateMessage
from mozlog_py._line.json_encoder import dumps, loads
from mozlog_py._line.line_encoder import encode
from mozlog_py._values.dict_items import DICTS, thawed
from mozlog_py._values.mask_registry import MARGIN
from mozlog_py._values.record_budget import MAX_NODES, MORE_KEY, more_items
from mozlog_py._values.sanitiser import MAX_DEPTH, MAX_ITEMS, unique_key

from .secret_shapes import Shapes
from .secret_values import Needle, WordFilter, checked_patterns, checked_values, needles_of

__all__ = ["AnyMask", "Mask"]

_dumps: Final = dumps
# A line is no deeper, and Fields begin one or two levels down.
_MAX_DEPTH: Final = MAX_DEPTH + 4
# A line holds fewer values, with what a format and the envelope add.
_MAX_NODES: Final = MAX_NODES + MAX_NODES // 4
# A line shows fewer of one container.
_MAX_ITEMS: Final = MAX_ITEMS + MAX_ITEMS // 4
# Shorter texts are always searched: the number of them in a line is limited.
_SHORT: Final = 100
# Characters of one line. A client can choose text for which the search takes a hundred nanoseconds
# or more for each character.
_MAX_SEARCHED: Final = 65_536
# Bytes. Texts of longer lines are searched, within their budget, without a look at the whole line.
_MAX_FILTERED: Final = 4_194_304


class Budget:
    """How many characters may still be searched, in all texts of one line or event.

    A line in which the prefilter finds nothing is not searched.
    """

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = _MAX_SEARCHED


class AnyMask:
    """Base class of one mask and of several masks together.

    Attributes:
        dumps: Encodes plain values as ``json_encoder.dumps`` does, with secrets masked.
    """

    dumps: Callable[[Any], bytes]

    def joined_with(self, others: Iterable[AnyMask]) -> AnyMask:
        """Return one mask for the secrets of this and of other masks."""
        distinct = [*{id(mask): mask for mask in (self, *others)}.values()]
        return _Several(distinct) if len(distinct) > 1 else self

    def plain(self, value: Any, budget: Budget | None = None) -> Any:
        """Return plain values with secrets masked; the value itself if it has none.

        Args:
            value: Plain values.
            budget: How much may be searched, if the values are a part of an event.
        """
        raise NotImplementedError

    def text(self, text: str) -> str:
        """Return a text with secrets masked."""
        masked: str = self.plain(text)
        return masked

    def document(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return a whole line in plain values with secrets masked.

        The names and the numbers of its envelope stay: the digits of a time are no secret.
        """
        return {
            name: value if type(value) is int else self.plain(value)
            for name, value in document.items()
        }

    def raw(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return a whole line of values as they were logged, with secrets masked in its texts.

        Objects stay as they are.
        """
        return {
            name: value if type(value) is int else self._raw(value)
            for name, value in document.items()
        }

    def _raw(self, value: Any) -> Any:
        budget = Budget()
        # The same names stand in each item of a list.
        known: dict[str, str] = {}

        def masked(text: str) -> str:
            if len(text) > _SHORT:
                return self.plain(text, budget)  # type: ignore[no-any-return]
            clean = known.get(text)
            if clean is None:
                clean = known[text] = self.plain(text, budget)
            return clean

        def number(number: float) -> Any:
            text = repr(number)
            clean = masked(text)
            return number if clean == text else clean

        return _Walk(masked, number, _MAX_ITEMS).value(value, 0)

    def line(self, line: bytes) -> bytes:
        """Return an encoded line with secrets masked. It may be text instead of JSON."""
        try:
            document = loads(line)
        except ValueError:
            return self.text(line.decode("utf-8", "backslashreplace")).encode()
        if type(document) is not dict:
            return encode(self.plain(document))
        masked = self.document(document)
        return line if masked == document else encode(masked)


class _Several(AnyMask):
    """The masks of several ``Redact``, applied one after the other."""

    def __init__(self, masks: Sequence[AnyMask]) -> None:
        self._masks = masks
        self.dumps = lambda plain: _dumps(self.plain(plain))

    def plain(self, value: Any, budget: Budget | None = None) -> Any:
        """Return plain values with the secrets of each mask masked."""
        for mask in self._masks:
            value = mask.plain(value, budget)
        return value


class Mask(AnyMask):
    """Masks the secrets that one ``Redact`` searches for, in lines, texts and events.

    Args:
        needles: The registered secrets.
        patterns: Regular expressions of secrets, each with its marker.
        shapes: Masks secrets by their shape; None if that was not asked for.
        marker: Stands in place of a number, and of a value that could not be masked.
    """

    def __init__(
        self,
        needles: Sequence[Needle],
        patterns: Sequence[tuple[re.Pattern[str], str]],
        shapes: Shapes | None,
        marker: str,
    ) -> None:
        self.marker = marker
        self._needles = needles
        self._patterns = patterns
        self._shapes = shapes
        self._filter = WordFilter(needles)
        self._unnoticed = [needle for needle in needles if not needle.runs]
        self.dumps = self._encoder()

    # -- lines ------------------------------------------------------------

    def _encoder(self) -> Callable[[Any], bytes]:
        known = self._filter
        words, word_bytes, word_format = known.words, known.word_bytes, known.format
        has_none_of, has_words = words.isdisjoint, bool(words)
        may_have_shape = None if self._shapes is None else self._shapes.may_be_in
        is_always_searched = bool(self._patterns or self._unnoticed)

        def dumps(plain: Any) -> bytes:
            line = _dumps(plain)
            if len(line) > _MAX_FILTERED:
                return _dumps(self._without_secrets(plain, None))
            whole = len(line) & -word_bytes
            is_shaped = may_have_shape is not None and may_have_shape(line)
            if (
                is_shaped
                or (has_words and not has_none_of(memoryview(line)[:whole].cast(word_format)))
                or is_always_searched
            ):
                return _dumps(self._without_secrets(plain, line, is_shaped=is_shaped))
            return line

        return dumps

    def plain(self, value: Any, budget: Budget | None = None) -> Any:
        """Return plain values with secrets masked; the value itself if it has none."""
        try:
            line: bytes | None = _dumps(value)
        except Exception:
            # The encoder refuses a number or a surrogate, so the prefilter is skipped.
            line = None
        if line is not None and len(line) > _MAX_FILTERED:
            line = None
        return self._without_secrets(value, line, budget)

    # -- events for other renderers ---------------------------------------

    def event(self, event_dict: dict[str, Any]) -> dict[str, Any]:
        """Return an event dict with secrets masked in its texts.

        Objects stay as they are, so another renderer may show a secret that is in the
        ``repr`` of one. Raises no ``Exception``.
        """
        try:
            masked: dict[str, Any] = self._raw(event_dict)
        except Exception:
            hidden = {name: self.marker for name in event_dict if type(name) is str}
            return {**hidden, **envelope_fields(event_dict)}
        return masked

    # -- both -------------------------------------------------------------

    def _without_secrets(
        self,
        value: Any,
        line: bytes | None,
        budget: Budget | None = None,
        *,
        is_shaped: bool | None = None,
    ) -> Any:
        """Return plain values with secrets masked.

        Args:
            value: The values.
            line: The encoded values. Only secrets that a prefilter finds in them are searched
                for; None searches for all.
            budget: As in ``plain``.
            is_shaped: Whether the prefilter for shapes has found one; None to ask it.
        """
        if line is None:
            needles, shapes = [*self._needles], self._shapes
        else:
            found = self._filter.found(line) if self._needles else ()
            needles = sorted((*found, *self._unnoticed), key=_size)
            if is_shaped is None:
                is_shaped = self._shapes is not None and self._shapes.may_be_in(line)
            shapes = self._shapes if is_shaped else None
        patterns = self._patterns
        if not (needles or patterns or shapes):
            return value

        within = budget or Budget()

        def masked(text: str) -> str:
            size = len(text)
            if size > _SHORT:
                if not within.left:
                    return f"<not searched, {size} characters>"
                if size > within.left + MARGIN:
                    # The cut may go through a secret, which is then not recognised.
                    shown, within.left = searched(text[: within.left + MARGIN]), 0
                    return f"{shown[:-MARGIN]}... <not searched, {size} characters>"
                within.left = max(0, within.left - size)
            return searched(text)

        def searched(text: str) -> str:
            for needle in needles:
                text = needle.masked(text)
            if shapes is not None:
                text = shapes.masked(text)
            for pattern, marker in patterns:
                text = _replaced(pattern, marker, text)
            return text

        def number(number: float) -> Any:
            text = repr(number)
            return number if masked(text) == text else self.marker

        return _Walk(masked, number).value(value, 0)


def _size(needle: Needle) -> int:
    # The longest first: a shorter secret may be a part of it.
    return -needle.size


def _replaced(pattern: re.Pattern[str], marker: str, text: str) -> str:
    # A look-ahead may match the empty text, in whose place no marker belongs.
    return pattern.sub(lambda match: marker if match[0] else "", text)


class _Walk:
    """Copies values, with every text and every number in them masked.

    Containers that share values have many more paths than values, so the copy is limited. Values
    beyond the limit are left out, since they were not searched.

    Args:
        masked: Returns a text with its secrets masked.
        number: Returns a number, or what stands in its place.
        most: How many values of one container are copied; by default as many as of all.
    """

    __slots__ = ("_left", "_masked", "_most", "_number")

    def __init__(
        self,
        masked: Callable[[str], str],
        number: Callable[[float], Any],
        most: int = _MAX_NODES,
    ) -> None:
        self._masked = masked
        self._number = number
        self._most = most
        self._left = _MAX_NODES

    def value(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            clean = self._masked(value)
            # The same object: callers compare by identity whether a text was changed.
            return value if clean == value else clean
        if kind is int or kind is float:
            return self._number(value)
        if value is None or kind is bool:
            return value
        if depth > _MAX_DEPTH:
            # Another renderer may show deeper values, which were not searched.
            return "<max depth>"
        if kind is dict or issubclass(kind, DICTS[1:]):
            return self._members(thawed(value), depth)
        if kind is list or kind is tuple or kind is set or kind is frozenset:
            items = self._within_budget(value)
            copies = [self.value(item, depth + 1) for item in items]
            if len(items) < len(value):
                copies.append(more_items(len(value) - len(items)))
            return copies if kind is list else kind(copies)
        if issubclass(kind, str):
            text = str.__str__(value)
            clean = self._masked(text)
            if kind is TemplateMessage and clean != text:
                # Its values keep their names, by which a processor behind this one hides them.
                by_value = value.replaced(self._masked_part)
                return by_value if by_value == clean else clean
            return value if clean == text else clean
        return value

    def _masked_part(self, part: Interpolated) -> Interpolated:
        clean = self._masked(part.text)
        return part if clean == part.text else part._replace(text=clean)

    def _members(self, members: dict[Any, Any], depth: int) -> dict[Any, Any]:
        out: dict[Any, Any] = {}
        numbers: dict[str, int] = {}
        items = self._within_budget(members.items())
        for key, member in items:
            name = self._masked(key) if type(key) is str else key
            if name in out:
                name = unique_key(name, out, numbers)
            out[name] = self.value(member, depth + 1)
        if len(items) < len(members):
            out[unique_key(MORE_KEY, out)] = more_items(len(members) - len(items))
        return out

    def _within_budget(self, items: Any) -> list[Any]:
        kept = [*islice(items, min(self._left, self._most))]
        self._left -= len(kept)
        return kept


def mask_of(
    values: Any, patterns: Any, is_secret: Callable[[str], bool] | None, marker: str
) -> Mask | None:
    """Return the mask for the options of a ``Redact``; None if there is nothing to mask.

    Args:
        values: The registered secrets.
        patterns: Regular expressions of secrets.
        is_secret: Returns whether a name is that of a secret, for shapes; None for no shapes.
        marker: Stands in place of a secret.

    Raises:
        ValueError: A secret or a pattern is invalid.
    """
    secrets, expressions = checked_values(values), checked_patterns(patterns)
    if any(secret in marker for secret in secrets):
        raise ValueError(
            "values has a part of the marker in it, which would mask the marker itself"
        )
    if not (secrets or expressions or is_secret):
        return None
    return Mask(
        needles_of(secrets, marker),
        [(expression, marker) for expression in expressions],
        None if is_secret is None else Shapes(marker, is_secret),
        marker,
    )
