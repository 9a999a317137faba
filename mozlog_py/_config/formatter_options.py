"""Checks of the formatter's options, before the formatter keeps them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from .options import OptionError, check_mapping, check_text, shown

__all__ = [
    "ENVELOPE",
    "check_fmt",
    "check_json_default",
    "check_prefix",
    "check_processors",
    "check_rename_fields",
    "check_renamed_fields",
    "check_reserved_attrs",
    "check_timestamp",
    "checked_processors",
    "fmt_problem",
]

_Processor = TypeVar("_Processor", bound=Callable[..., Any])

#: The members of MozLog's envelope, which are not Fields and stay in every line.
ENVELOPE: Final = frozenset(
    {"EnvVersion", "Fields", "Hostname", "Logger", "Pid", "Severity", "Timestamp", "Type"}
)
# The field that shows an attribute of records, if its name differs.
_FIELD_OF: Final = {
    "exc_info": "error",
    "exc_text": "traceback",
    "message": "msg",
    "stack_info": "stack",
}
# The fields that a call makes itself, which the time would replace.
_OF_CALL: Final = ("msg", "error", "traceback", "stack")
# The beginning of an attribute's name in ``fmt``, by style.
_BEGINNINGS: Final = {"%": "%(", "{": "{", "$": "$"}


def fmt_problem(fmt: object, style: object) -> str | None:
    """Return the error text for a ``fmt`` that names no attribute of records.

    Args:
        fmt: The option ``fmt``. A malformed text is left to the base class.
        style: The option ``style``.

    Returns:
        None if ``fmt`` names an attribute, or is not a text.
    """
    if not isinstance(fmt, str) or not fmt or not isinstance(style, str):
        return None
    begin = _BEGINNINGS.get(style)
    if begin is None or begin in fmt:
        return None
    return (
        f"fmt is {shown(fmt)}, which names no attribute of records; for the application's name "
        f"write logger_name={shown(fmt)}; for more fields name them, as in fmt=['lineno'] or "
        "fmt='%(lineno)d'"
    )


def check_fmt(fmt: object, style: object) -> None:
    """Check the option ``fmt``.

    ``MozlogFormatter("shop")`` is refused: its caller means the application's name.

    Args:
        fmt: The option ``fmt``.
        style: The option ``style``.

    Raises:
        OptionError: ``fmt`` is neither a list nor a text, or names no attribute of records.
    """
    if fmt is None:
        return
    if not isinstance(fmt, (str, Sequence)):
        raise OptionError(
            f"fmt is {shown(fmt)}; it must be a list of attributes of records, such as "
            "['lineno'], or a text such as '%(lineno)d'"
        )
    if not isinstance(fmt, str):
        return
    problem = fmt_problem(fmt, style)
    if problem is not None:
        raise OptionError(problem)


def check_rename_fields(rename_fields: object) -> None:
    """Check that the option ``rename_fields`` maps text to text.

    Raises:
        OptionError: It is not a mapping, or a name in it is not text.
    """
    check_mapping("rename_fields", rename_fields, "{'user': 'uid'}")
    assert rename_fields is None or isinstance(rename_fields, Mapping)  # noqa: S101 - as checked
    for name in rename_fields or {}:
        # A mapping of logging.config resolves a text when the item is read, not in items().
        new = (rename_fields or {})[name]
        if not (isinstance(name, str) and isinstance(new, str)):
            raise OptionError(
                f"rename_fields has {shown(name)}: {shown(new)} in it; both must be text, as in "
                "{'user': 'uid'}"
            )


def check_renamed_fields(names: Iterable[str], attributes: Collection[str]) -> None:
    """Check names in ``rename_fields`` that the formatter has no field of.

    Args:
        names: The names that are not fields of the formatter.
        attributes: The attributes of records that the formatter does not show.

    Raises:
        OptionError: A name is a member of the envelope, or an attribute that is not shown. Its
            new name would never appear in a line.
    """
    for name in names:
        if name in ENVELOPE:
            raise OptionError(
                f"rename_fields has {name!r} in it, a member of the envelope: MozLog says what "
                "those are called, and rename_fields is for Fields; leave it out"
            )
        if name in attributes:
            field = _FIELD_OF.get(name)
            instead = (
                f"its field is {field!r}: rename that"
                if field
                else f"add it to fmt, as in fmt=[{name!r}], or leave it out"
            )
            raise OptionError(
                f"rename_fields has {name!r} in it, an attribute of records that is no field "
                f"of this formatter; {instead}"
            )


def check_reserved_attrs(reserved_attrs: object) -> None:
    """Raise ``OptionError`` if the option ``reserved_attrs`` is a text."""
    if isinstance(reserved_attrs, str):
        raise OptionError(
            f"reserved_attrs is the text {shown(reserved_attrs)}; it must be a list of names"
        )


def check_timestamp(timestamp: object) -> None:
    """Check the option ``timestamp``.

    Raises:
        OptionError: It is neither a switch nor a name, or is the name of a field of the call.
    """
    if not isinstance(timestamp, (bool, str)):
        raise OptionError(
            f"timestamp is {shown(timestamp)}; it must be True, False or the field's name"
        )
    if timestamp in _OF_CALL:
        raise OptionError(
            f"timestamp is {timestamp!r}, the name of a field that each call makes itself; write "
            "True for the field 'Time', or another name"
        )


def check_json_default(json_default: object) -> None:
    """Raise ``OptionError`` if the option ``json_default`` cannot be called."""
    if json_default is not None and not callable(json_default):
        raise OptionError(
            f"json_default is {json_default!r}, which cannot be called; in a dictConfig "
            'write it as "ext://package.module.function"'
        )


def check_prefix(prefix: str) -> None:
    """Raise ``OptionError`` if the option ``prefix`` is not text, or would break a line in two."""
    check_text("prefix", prefix, "it stands in front of every line")
    if not prefix.isprintable():
        raise OptionError(
            f"prefix is {prefix!r}; a line break or control character in it would break "
            "every line in two, so leave those out"
        )


def checked_processors(
    processors: Sequence[_Processor], name: str = "processors"
) -> tuple[_Processor, ...]:
    """Return processors as a tuple, with the texts of a ``dictConfig`` resolved.

    Args:
        processors: A processor, or an iterable of processors.
        name: The option that they are the value of.

    Raises:
        OptionError: One of them is not a processor.
    """
    value: object = processors
    if isinstance(value, (str, bytes)) or not (callable(value) or isinstance(value, Iterable)):
        raise OptionError(
            f"{name} is {shown(processors)}, which is no processor and no list of them: write "
            '[Redact()], in a dictConfig ["ext://package.module.processor"]'
        )
    if callable(processors):
        chosen: tuple[Any, ...] = (processors,)
    elif isinstance(processors, list):
        # A list of logging.config resolves "ext://..." when an item is read by its index.
        chosen = tuple(processors[index] for index in range(len(processors)))
    else:
        chosen = tuple(processors)
    for processor in chosen:
        if not callable(processor) or isinstance(processor, type):
            raise OptionError(
                f"{name} has {shown(processor)} in it, which is no processor: it must be a "
                "function of a logger, a method's name and an event dict, or an object that is "
                "called so (Redact(), and not Redact); in a dictConfig a text names one: "
                '"ext://package.module.processor"'
            )
    return chosen


def check_processors(processors: Any) -> None:
    """Raise ``OptionError`` for invalid processors. A text is left to ``dictConfig``."""
    if isinstance(processors, Iterator):
        raise OptionError(
            f"processors is {shown(processors)}, which can be read only once, and logging and "
            "structlog both need them; write a list"
        )
    if isinstance(processors, (list, tuple)):
        processors = [each for each in processors if not isinstance(each, str)]
    checked_processors(processors)
