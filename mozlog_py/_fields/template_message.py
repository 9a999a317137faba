"""Template strings (PEP 750, Python 3.14) as messages: their text, and the values in it as fields.

``log.info(t"paid {amount:.2f}")`` has the message of the f-string, and the field ``amount``. A
value keeps its name, so ``Redact`` hides it by name in the field and in the message. A message
from a template is never read as JSON: its values are fields already.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from keyword import iskeyword
from typing import Any, Final, NamedTuple

from mozlog_py._values.class_lookup import type_name
from mozlog_py._values.plain_types import is_scalar
from mozlog_py._values.record_budget import MAX_NODES
from mozlog_py._values.sanitiser import MAX_DEPTH, Sanitiser, unique_key

if sys.version_info >= (3, 14):
    from string.templatelib import Template
else:

    class Template:
        """Stands for the type of template strings, which this Python does not have."""


__all__ = [
    "EVENT_KEYS",
    "Interpolated",
    "Template",
    "TemplateMessage",
    "is_template",
    "read_template",
    "with_template_fields",
]

#: The names that have a meaning in an event dict of structlog. A value of a template that has
#: one of them is kept as ``extra.<name>``.
EVENT_KEYS: Final = frozenset(
    {
        "_from_structlog",
        "_logger",
        "_name",
        "_record",
        "event",
        "exc_info",
        "exception",
        "level_number",
        "logger",
        "positional_args",
        "stack",
        "stack_info",
    }
)
# Processors may have set these two before the template is read.
_KEYS_OF_PROCESSORS: Final = EVENT_KEYS | {"level", "timestamp"}
_NO_NAMES: Final[frozenset[str]] = frozenset()
_CONVERSIONS: Final[dict[Any, Callable[[Any], Any]]] = {"r": repr, "s": str, "a": ascii}
# The text of a template as a message, which ``logging`` makes with ``str``.
_TEXT_OF_TEMPLATE: Final = "Template(strings=("
_STANDARD_ATTRIBUTES: Final = frozenset(vars(logging.makeLogRecord({})))


class Interpolated(NamedTuple):
    """A value in a template."""

    #: The field that has the value, unless the call has another field of that name.
    name: str
    #: The expression in the source.
    expression: str
    value: Any
    #: The value as the message shows it.
    text: str


class TemplateMessage(str):
    """The message of a template string, which knows the values in it.

    Copies and pickles are plain text.
    """

    __slots__ = ("_args", "_parts")

    _parts: tuple[str | Interpolated, ...]
    _args: Any

    @classmethod
    def of(cls, parts: tuple[str | Interpolated, ...], args: Any = None) -> TemplateMessage:
        """Return the message of parts, formatted with arguments.

        Args:
            parts: The texts and values of a template.
            args: The arguments of the call as ``%`` takes them; None for none. They are for the
                texts: a ``%`` in a value stays.

        Raises:
            BaseException: The arguments do not fit, or the code of one raises.
        """
        if args is None:
            text = "".join([part if isinstance(part, str) else part.text for part in parts])
        else:
            texts = [
                part if isinstance(part, str) else part.text.replace("%", "%%") for part in parts
            ]
            text = "".join(texts) % args
        made = cls(text)
        made._parts = parts
        made._args = args
        return made

    def __mod__(self, args: Any) -> TemplateMessage:
        return self.of(self._parts, args)

    def __reduce_ex__(self, _protocol: Any) -> tuple[Any, ...]:
        return str, (str.__str__(self),)

    def followed_by(self, text: str) -> TemplateMessage:
        """Return the message with a text at its end."""
        return self.of((*self._parts, text))

    def values(self) -> Iterator[Interpolated]:
        """Return an iterator of the values in the message."""
        return (part for part in self._parts if type(part) is Interpolated)

    def fields_beside(
        self, own: Mapping[Any, Any], reserved: frozenset[str] = _NO_NAMES
    ) -> dict[str, Any]:
        """Return the values by the names of their fields.

        Args:
            own: The fields of the call. They keep their names: a value that clashes with one is
                named ``extra.<name>``.
            reserved: Further names that no value gets.
        """
        out: dict[str, Any] = {}
        for part in self.values():
            name = part.name
            known = out if name in out else own
            if name in reserved or (name in known and not _is_same(known[name], part.value)):
                name = unique_key(f"extra.{name}", {*own, *out})
                out[name] = part.value
            elif known is not out and name not in own:
                out[name] = part.value
        return out

    def replaced(self, replace: Callable[[Interpolated], Interpolated]) -> TemplateMessage:
        """Return the message with each value as a function returns it.

        Raises:
            BaseException: The function raises it, or the code of an argument.
        """
        parts = tuple([each if isinstance(each, str) else replace(each) for each in self._parts])
        is_same = all(new is old for new, old in zip(parts, self._parts, strict=True))
        return self if is_same else self.of(parts, self._args)


def read_template(template: Any, sanitiser: Sanitiser) -> TemplateMessage:
    """Return the message of a template string. Raises no exception.

    A template in a template is read as if its text stood there. A value whose own code raises
    is shown as in a field.

    Args:
        template: A ``Template``.
        sanitiser: Takes the reasons why the message shows less, and an interrupt.
    """
    parts: list[str | Interpolated] = []
    others = 0
    steps = 0
    nested: list[Iterator[Any]] = [_pieces(template)]
    while nested:
        piece = next(nested[-1], None)
        steps += 1
        if piece is None:
            nested.pop()
        elif steps > MAX_NODES:
            # Templates that share templates have many more paths than parts.
            sanitiser.add_reason("items dropped")
            parts.append("<more>")
            break
        elif issubclass(type(piece), str):
            parts.append(str.__str__(piece))
        elif type(piece.value) is Template and not (piece.conversion or piece.format_spec):
            if len(nested) < MAX_DEPTH:
                nested.append(_pieces(piece.value))
            else:
                sanitiser.add_reason("nested too deeply")
                parts.append("<max depth>")
        else:
            expression = str.strip(piece.expression)
            name = expression
            if not _is_name(expression):
                name = f"arg{others}"
                others += 1
            parts.append(Interpolated(name, expression, piece.value, _text(piece, sanitiser)))
    return TemplateMessage.of(tuple(parts))


def is_template(event: Any) -> bool:
    """Return whether a message is a template, or the text that ``logging`` makes of one."""
    kind = type(event)
    return kind is Template or (kind is str and event.startswith(_TEXT_OF_TEMPLATE))


def with_template_fields(event_dict: dict[Any, Any], sanitiser: Sanitiser) -> dict[Any, Any]:
    """Return an event dict whose message is text, with the values of a template as fields.

    The event dict itself is returned if its message is not a template.

    Args:
        event_dict: The event.
        sanitiser: As for ``read_template``.
    """
    event: Any = event_dict.get("event")
    if not is_template(event):
        return event_dict
    own, args = event_dict, None
    if type(event) is not Template:
        record: Any = event_dict.get("_record")
        event = getattr(record, "msg", None)
        if type(event) is not Template:
            return event_dict
        args = record.args or event_dict.get("positional_args")
        # The renderer adds the fields of the record later.
        own = {**vars(record), **event_dict}
        for name in _STANDARD_ATTRIBUTES.difference(event_dict):
            own.pop(name, None)
    message = read_template(event, sanitiser)
    if args:
        try:
            message %= args
        except BaseException as error:
            sanitiser.defer_interrupt(error)
            sanitiser.add_reason("message and arguments do not fit")
    fields = message.fields_beside(own, _KEYS_OF_PROCESSORS)
    return {**event_dict, **fields, "event": message}


def _pieces(template: Any) -> Iterator[Any]:
    """Return an iterator of the texts and the interpolations of a template."""
    return iter(template)


def _is_name(expression: str) -> bool:
    """Return whether an expression is an identifier, or several with dots between them."""
    return all(part.isidentifier() and not iskeyword(part) for part in expression.split("."))


def _is_same(one: Any, other: Any) -> bool:
    kind = type(one)
    return one is other or (kind is type(other) and is_scalar(kind) and bool(one == other))


def _text(piece: Any, sanitiser: Sanitiser) -> str:
    """Return a value as the language shows it in an f-string."""
    value, spec = piece.value, piece.format_spec
    try:
        convert = _CONVERSIONS.get(piece.conversion)
        return str.__str__(format(value if convert is None else convert(value), spec))
    except BaseException as error:
        if spec and isinstance(error, (TypeError, ValueError)):
            sanitiser.add_reason(f"format not applied: {type_name(type(error))}")
            return sanitiser.repr(value)
        return sanitiser.unprintable(value, error)
