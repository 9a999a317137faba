"""The Fields of a structlog event dict; ``from_record`` does the same for a LogRecord.

structlog keeps all in one dict: the call's own fields, the bound ones, and those that processors
have added under names of their own.
"""

from __future__ import annotations

import copy
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from mozlog_py._values.dict_items import DICTS
from mozlog_py._values.sanitiser import Sanitiser

from .from_record import (
    HIDDEN_ATTRIBUTES,
    OWN_FIELDS,
    LoggerName,
    add_exception,
    extra_fields,
    merge,
    message_members,
    message_with_args,
    timestamp_ns,
)
from .json_message import JSONMessage, looks_like_json
from .server_records import CALL_ATTRIBUTE, READERS, read_record
from .template_message import TemplateMessage, with_template_fields

__all__ = [
    "LEVELS_BY_NAME",
    "LEVEL_AND_TIME",
    "MEANINGFUL",
    "SET_BY_PROCESSORS",
    "Event",
    "envelope_fields",
    "event_level",
    "interpolated",
    "level_number",
    "read_event",
]

#: The levels by structlog's method names, and of what its add_log_level makes of them.
LEVELS_BY_NAME: Final = {
    "critical": 50,
    "fatal": 50,
    "error": 40,
    "exception": 40,
    "warning": 30,
    "warn": 30,
    "info": 20,
    "msg": 20,
    "debug": 10,
    "notset": 0,
}

# Names that structlog's integration of the standard library adds for its own use.
_INTERNAL: Final = ("_from_structlog", "_logger", "_name", "_record")


#: The names that structlog or our own fields give a meaning. An event with one of them takes
#: the slow path, even where all its values are plain.
MEANINGFUL: Final = OWN_FIELDS | {
    *_INTERNAL,
    "event",
    "exc_info",
    "exception",
    "level",
    "level_number",
    "logger",
    "positional_args",
    "stack_info",
    "timestamp",
}

#: The names under which structlog's processors put the level and the time into an event
#: dict, and under which applications have fields.
LEVEL_AND_TIME: Final = frozenset({"level", "timestamp"})
#: All names under which both put values: those two, a rendered traceback, and a stack.
SET_BY_PROCESSORS: Final = LEVEL_AND_TIME | {"exception", "stack"}
_NONE_OF_CALL: Final[frozenset[str]] = frozenset()

_OF_ENVELOPE: Final[dict[str, Callable[[Any], bool]]] = {
    "_record": lambda value: issubclass(type(value), logging.LogRecord),
    "_from_structlog": lambda value: type(value) is bool,
    "level_number": lambda value: type(value) is int,
    "level": lambda value: type(value) is str and value in LEVELS_BY_NAME,
}

# Seconds. A float this close to the time of the call is a TimeStamper's.
_NEAR_S: Final = 60.0

# Attributes that other formatters leave on a record, and structlog's ExtraAdder copies.
_LEFT_BEHIND: Final = frozenset({"asctime", "logger_name", "message", "taskName"})


class Event(NamedTuple):
    """The parts of an event dict: those of the envelope, and those that become Fields."""

    timestamp_ns: int
    type_: Any
    level: Any
    pid: Any
    #: The fields that the call itself did not make.
    fields: dict[Any, Any]
    #: The fields that the call itself made: message, exception, stack.
    call_fields: dict[Any, Any]
    exc_info: Any


def level_number(level: Any) -> int | None:
    """Return the number of a level, which structlog passes as a method's name; None for others."""
    kind = type(level)
    if issubclass(kind, str):
        name = str.__str__(level)
        known = LEVELS_BY_NAME.get(name) or LEVELS_BY_NAME.get(name.lower())
        if known is None:
            named = logging.getLevelName(name.upper())
            known = named if isinstance(named, int) else None
        return known
    return level if issubclass(kind, int) and kind is not bool else None


def envelope_fields(event_dict: Mapping[Any, Any]) -> dict[str, Any]:
    """Return what an event has for the envelope of its line: its level and its origin.

    They stay where the rest of an event could not be searched for credentials. So a value counts
    only if its type, or for a level the text, is one that structlog sets.
    """
    found = {name: event_dict[name] for name in _OF_ENVELOPE if name in event_dict}
    return {name: value for name, value in found.items() if _OF_ENVELOPE[name](value)}


def event_level(event_dict: Mapping[Any, Any], method_name: str) -> int:
    """Return the level of an event's call, even where the event has a field ``level``."""
    number = event_dict.get("level_number")
    if type(number) is int:
        return number
    record = event_dict.get("_record")
    level = level_number(record.levelno) if isinstance(record, logging.LogRecord) else None
    if level is None:
        level = level_number(method_name)
    return logging.INFO if level is None else level


def read_event(
    event_dict: Mapping[Any, Any],
    method_name: str,
    default_type: Any,
    sanitiser: Sanitiser,
    keys_of_call: frozenset[str] | None = None,
    *,
    parse_messages: bool,
) -> Event:
    """Read an event dict, which is not changed.

    Args:
        event_dict: The event.
        method_name: The name of the method that was called.
        default_type: The logger's name, if the event has none.
        sanitiser: Makes texts of values.
        keys_of_call: Which of ``SET_BY_PROCESSORS`` are fields of the call, and not added by
            processors. None if that is not known. Then they count as processors' where
            structlog's own processors would have added the same.
        parse_messages: As in ``MozlogFormatter``.
    """
    fields = dict(event_dict)
    name = fields.get("logger_name")
    if type(name) is LoggerName:
        # structlog's ExtraAdder has copied it from a record, on which a handler has set it.
        if name.given is None:
            del fields["logger_name"]
        else:
            fields["logger_name"] = name.given
    record = fields.get("_record")
    if not isinstance(record, logging.LogRecord):
        record = None
    is_foreign = record is not None and not fields.get("_from_structlog")
    if record is not None and is_foreign:
        for name in _LEFT_BEHIND.intersection(vars(record)):
            fields.pop(name, None)
        if record.name in READERS:
            record = _read_of_server(record, fields)
        fields = with_template_fields({**_extra(record), **fields}, sanitiser)
        if _is_formatted(fields.get("event"), record, sanitiser):
            # ProcessorFormatter(pass_foreign_args=True) hands them on for information.
            fields.pop("positional_args", None)
    fields = with_template_fields(fields, sanitiser)
    if record is not None:
        for name in _INTERNAL:
            fields.pop(name, None)
    exc_info = fields.get("exc_info")
    of_call = _NONE_OF_CALL if keys_of_call is None else keys_of_call
    call_fields = _call_fields(fields, sanitiser, of_call, parse_messages=parse_messages)
    level = _level(fields, method_name, record, keys_of_call)
    type_ = fields.pop("logger", None)
    if type_ is None:
        type_ = default_type if record is None else getattr(record, "name", default_type)
    ns = _time(fields, call_fields, record, keys_of_call)
    return Event(ns, type_, level, getattr(record, "process", None), fields, call_fields, exc_info)


def _is_formatted(event: Any, record: Any, sanitiser: Sanitiser) -> bool:
    """Return whether an event of the standard library's has its arguments in it already.

    ``ProcessorFormatter(use_get_message=False)`` leaves the message unformatted. A message that
    formatting does not change is formatted again, which changes nothing.
    """
    message = record.msg
    return type(event) is not str or event != (
        message if type(message) is str else sanitiser.text_of(message)
    )


def _extra(record: Any) -> dict[Any, Any]:
    """Return the ``extra`` of a log call of the standard library."""
    return extra_fields(record, HIDDEN_ATTRIBUTES)


def _read_of_server(record: logging.LogRecord, fields: dict[Any, Any]) -> logging.LogRecord:
    """Return a server's record as its line shows it, and remove its raw attributes from fields."""
    fields.pop(CALL_ATTRIBUTE, None)
    for name, value in _extra(record).items():
        if fields.get(name) is value:
            del fields[name]
    event = fields.get("event")
    if type(event) is str:
        made = copy.copy(record)
        # ProcessorFormatter has taken the arguments off the record.
        made.args = record.args or fields.pop("positional_args", None)
        if event not in (made.msg, made.getMessage()):
            made.msg, made.args = event, ()
        record = read_record(made)
        fields["event"] = record.getMessage()
    return record


def _call_fields(
    fields: dict[Any, Any],
    sanitiser: Sanitiser,
    of_call: frozenset[str],
    *,
    parse_messages: bool,
) -> dict[Any, Any]:
    call_fields: dict[Any, Any] = {}
    message = _message(fields, sanitiser)
    if isinstance(message, dict):
        call_fields.update(message)
    elif message:
        is_read = parse_messages and type(message) is not TemplateMessage
        is_json = is_read and looks_like_json(message)
        call_fields["msg"] = JSONMessage.read(message) if is_json else message
    own: dict[str, Any] = {}
    _exception(fields, own, sanitiser, of_call)
    has_stack = "stack" in fields and "stack" not in of_call
    asked = fields.get("stack_info")
    if type(asked) is str or type(asked) is bool or asked is None:
        # True asks for a stack, and no StackInfoRenderer has replaced it.
        fields.pop("stack_info", None)
        if type(asked) is str and asked and not has_stack:
            own["stack"] = asked
    if has_stack and type(fields["stack"]) is str:
        own["stack"] = fields.pop("stack")
    return merge(call_fields, own) if own else call_fields


def _message(fields: dict[Any, Any], sanitiser: Sanitiser) -> str | dict[Any, Any]:
    event = fields.pop("event", "")
    args = fields.pop("positional_args", ())
    if event is None:
        return ""
    if issubclass(type(event), DICTS):
        return message_members(event, sanitiser)
    is_text = type(event) is str or type(event) is TemplateMessage
    text = event if is_text else sanitiser.text_of(event)
    try:
        if not args:
            return text
        return str(text % args if isinstance(args, Mapping) else interpolated(text, args))
    except BaseException as error:
        sanitiser.defer_interrupt(error)
        sanitiser.add_reason("message and arguments do not fit")
        return message_with_args(text, args, sanitiser)


def interpolated(event: Any, args: Sequence[Any]) -> Any:
    """Return an event with its arguments in it.

    As in ``logging``, a mapping that is the only argument provides named values.

    Raises:
        Exception: The event and the arguments do not fit.
    """
    is_mapping = len(args) == 1 and isinstance(args[0], Mapping) and args[0]
    return event % (args[0] if is_mapping else tuple(args))


def _exception(
    fields: dict[Any, Any], own: dict[str, Any], sanitiser: Sanitiser, of_call: frozenset[str]
) -> None:
    exc_info = fields.pop("exc_info", None)
    rendered = None
    if exc_info is not None and exc_info is not False:
        # A processor that renders the exception removes exc_info: "exception" is then a field.
        add_exception(exc_info, own, sanitiser)
    elif "exception" not in of_call:
        # The result of format_exc_info, or of a structured renderer of tracebacks.
        rendered = fields.pop("exception", None)
    if rendered is not None and rendered is not False:
        own["traceback"] = rendered
        active = sys.exc_info()[1]
        if "error" not in own and active is not None:
            own["error"] = sanitiser.repr(active)


def _level(
    fields: dict[Any, Any], method_name: str, record: Any, keys_of_call: frozenset[str] | None
) -> Any:
    number = fields.get("level_number")
    given = fields.get("level")
    if given is not None and keys_of_call is not None and "level" in keys_of_call:
        given = None
    if type(number) is int:
        del fields["level_number"]
        if type(given) is str:
            # add_log_level has added it, and it names the same level.
            del fields["level"]
        return number
    level = level_number(method_name if record is None else getattr(record, "levelno", None))
    if level is None:
        level = logging.INFO if record is None else record.levelno
    if given is None:
        return level
    if keys_of_call is not None:
        # A processor has set it, perhaps to another level.
        named = level_number(given)
        if named is not None:
            del fields["level"]
            return named
    elif type(given) is str and (given == method_name or level_number(given) == level):
        # Any other value is a field of the application, and stays.
        del fields["level"]
    return level


def _time(
    fields: dict[Any, Any],
    call_fields: dict[Any, Any],
    record: Any,
    keys_of_call: frozenset[str] | None,
) -> int:
    ns = time.time_ns() if record is None else timestamp_ns(record)
    stamp = fields.get("timestamp")
    if stamp is None or (keys_of_call is not None and "timestamp" in keys_of_call):
        return ns
    if type(stamp) is str:
        call_fields["Time"] = fields.pop("timestamp")
    elif type(stamp) is float or (keys_of_call is not None and type(stamp) is int):
        # TimeStamper without a format adds seconds since the epoch.
        if keys_of_call is None and not abs(stamp - ns / 1e9) < _NEAR_S:
            return ns
        del fields["timestamp"]
        try:
            return int(stamp * 1e9)
        except (OverflowError, ValueError):
            return ns
    return ns
