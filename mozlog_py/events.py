"""What a structlog event dict says, gathered into Fields; the twin of ``fields``.

structlog keeps everything in one dict: what the call said, what was bound, and
what processors before us have put there under names of their own.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from .fields import (
    HIDDEN_ATTRIBUTES,
    OWN_FIELDS,
    JSONMessage,
    add_exception,
    attributes,
    looks_like_json,
    merge,
    side_by_side,
    timestamp_ns,
)
from .values import Sanitiser

__all__ = ["LEVELS", "MEANINGFUL", "Event", "event_level", "level_number", "read_event"]

#: The levels of structlog's method names, and of what its add_log_level makes of them.
LEVELS: Final = {
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

# What structlog's standard library integration hands along for itself.
_INTERNAL: Final = ("_from_structlog", "_logger", "_name", "_record")


#: The names that mean something in an event dict, or are of our own fields: an
#: event with one of them takes more than its values being plain.
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

# What other formatters leave on a record, and structlog's ExtraAdder brings along.
_LEFT_BEHIND: Final = frozenset({"asctime", "logger_name", "message", "taskName"})


class Event(NamedTuple):
    """An event dict, read: what the envelope needs, and what becomes Fields."""

    timestamp_ns: int
    type_: Any
    level: Any
    pid: Any
    #: What it carries beside what the call said.
    fields: dict[Any, Any]
    #: What the call itself said: message, exception, stack.
    said: dict[Any, Any]
    exc_info: Any


def level_number(level: Any) -> int | None:
    """Give the number of a level, which structlog passes as a method's name; None for no level."""
    if isinstance(level, str):
        known = LEVELS.get(level) or LEVELS.get(level.lower())
        if known is None:
            named = logging.getLevelName(level.upper())
            known = named if isinstance(named, int) else None
        return known
    return level if isinstance(level, int) and not isinstance(level, bool) else None


def event_level(event_dict: Mapping[Any, Any], method_name: str) -> int:
    """Give the level of an event that may not have been through all of its processors."""
    number = event_dict.get("level_number")
    if type(number) is int:
        return number
    record = event_dict.get("_record")
    level = level_number(event_dict.get("level"))
    if level is None and isinstance(record, logging.LogRecord):
        level = level_number(record.levelno)
    if level is None:
        level = level_number(method_name)
    return logging.INFO if level is None else level


def read_event(
    event_dict: Mapping[Any, Any],
    method_name: str,
    default_type: Any,
    sanitiser: Sanitiser,
    *,
    parse_messages: bool = True,
) -> Event:
    """Read an event dict, which is not changed.

    ``method_name``: the level where the dict has none. ``default_type``: the
    logger's name where the dict has none. ``parse_messages``: as in ``MozlogFormatter``.
    """
    fields = dict(event_dict)
    record = fields.get("_record")
    if not isinstance(record, logging.LogRecord):
        record = None
    if record is not None and not fields.get("_from_structlog"):
        for name in _LEFT_BEHIND.intersection(vars(record)):
            fields.pop(name, None)
        fields = {**_extra(record), **fields}
    if record is not None:
        for name in _INTERNAL:
            fields.pop(name, None)
    exc_info = fields.get("exc_info")
    said = _said(fields, sanitiser, parse_messages=parse_messages)
    level = _level(fields, method_name, record)
    type_ = fields.pop("logger", None)
    if type_ is None:
        type_ = default_type if record is None else getattr(record, "name", default_type)
    ns = _time(fields, said, record)
    return Event(ns, type_, level, getattr(record, "process", None), fields, said, exc_info)


def _extra(record: Any) -> dict[Any, Any]:
    """Give what a log call of the standard library had as ``extra``."""
    return attributes(record, HIDDEN_ATTRIBUTES)


def _said(fields: dict[Any, Any], sanitiser: Sanitiser, *, parse_messages: bool) -> dict[Any, Any]:
    said: dict[Any, Any] = {}
    message = _message(fields, sanitiser)
    if isinstance(message, dict):
        said.update(message)
    elif message:
        is_json = parse_messages and looks_like_json(message)
        said["msg"] = JSONMessage.read(message) if is_json else message
    own: dict[str, Any] = {}
    _exception(fields, own, sanitiser)
    asked = fields.get("stack_info")
    if type(asked) is str or type(asked) is bool or asked is None:
        # A bare True is a wish that StackInfoRenderer would have met.
        fields.pop("stack_info", None)
        if type(asked) is str and asked and "stack" not in fields:
            own["stack"] = asked
    if type(fields.get("stack")) is str:
        own["stack"] = fields.pop("stack")
    return merge(said, own) if own else said


def _message(fields: dict[Any, Any], sanitiser: Sanitiser) -> str | dict[Any, Any]:
    event = fields.pop("event", "")
    args = fields.pop("positional_args", ())
    if event is None:
        return ""
    if issubclass(type(event), dict):
        return dict(dict.items(event))
    text = sanitiser.name(event) if type(event) is not str else event
    try:
        if not args:
            return text
        # As logging does it: one mapping is not one of several arguments.
        is_mapping = len(args) == 1 and isinstance(args[0], Mapping) and args[0]
        return str(text % (args[0] if is_mapping else tuple(args)))
    except BaseException as error:
        sanitiser.hold(error)
        sanitiser.lost("message and arguments do not fit")
        return side_by_side(text, args, sanitiser)


def _exception(fields: dict[Any, Any], own: dict[str, Any], sanitiser: Sanitiser) -> None:
    exc_info = fields.pop("exc_info", None)
    # What format_exc_info, or a structured renderer of tracebacks, made before us.
    rendered = fields.pop("exception", None)
    if exc_info is not None and exc_info is not False:
        add_exception(exc_info, own, sanitiser)
    if rendered is not None and rendered is not False:
        own["traceback"] = rendered
        active = sys.exc_info()[1]
        if "error" not in own and active is not None:
            own["error"] = sanitiser.repr(active)


def _level(fields: dict[Any, Any], method_name: str, record: Any) -> Any:
    number = fields.get("level_number")
    if type(number) is int:
        del fields["level_number"]
        fields.pop("level", None)
        return number
    level = level_number(fields.get("level"))
    if level is not None:
        del fields["level"]
        return level
    # What is no level of ours is the user's own idea, and stays a field.
    if record is not None:
        return getattr(record, "levelno", None)
    level = level_number(method_name)
    return logging.INFO if level is None else level


def _time(fields: dict[Any, Any], said: dict[Any, Any], record: Any) -> int:
    stamp = fields.get("timestamp")
    if type(stamp) is float or type(stamp) is int:
        # TimeStamper without a format gives seconds since the epoch.
        try:
            ns = int(stamp * 1e9)
        except (OverflowError, ValueError):
            ns = time.time_ns()
        del fields["timestamp"]
        return ns
    if type(stamp) is str:
        said["Time"] = fields.pop("timestamp")
    return time.time_ns() if record is None else timestamp_ns(record)
