"""The Fields of a LogRecord.

``call_fields`` returns the fields that the call itself made: its message, its exception and its
stack. ``extra_fields`` returns the other fields of the record. ``merge`` decides which field wins
where names clash.

The members of a message that is JSON text become Fields as well. A client may
have sent that text, so they come last and replace nothing (``with_members``).
"""

from __future__ import annotations

import logging
import operator
import sys
import time
from collections.abc import Callable, Collection, Container, Mapping
from itertools import islice
from types import MethodType
from typing import Any, Final, SupportsIndex

from mozlog_py._process.unpatched import unpatched_method
from mozlog_py._values.class_lookup import type_name
from mozlog_py._values.dict_items import DICTS, items_of, thawed
from mozlog_py._values.sanitiser import Sanitiser, unique_key
from mozlog_py._values.tracebacks import as_exc_info, render_exception

from .event_record import EventRecord
from .first_fields import MAX_FIELDS, count_left_out
from .json_message import JSONMessage, looks_like_json
from .template_message import Template, TemplateMessage, read_template

__all__ = [
    "EXACT_NS",
    "EXCLUDED_ATTRIBUTES",
    "HAS_NANOSECONDS",
    "HIDDEN_ATTRIBUTES",
    "OWN_FIELDS",
    "RECORD_METHODS",
    "STANDARD_ATTRIBUTES",
    "START_NS",
    "LoggerName",
    "add_exception",
    "call_fields",
    "extra_fields",
    "merge",
    "message",
    "message_members",
    "message_with_args",
    "timestamp_ns",
    "with_members",
    "without_json_message",
]

_NO_FIELDS: Final[Mapping[Any, Any]] = {}

# Those of Python 3.10; 3.12 has added ``taskName``.
_KNOWN_ATTRIBUTES: Final = frozenset(
    {"args", "created", "exc_info", "exc_text", "filename", "funcName", "levelname", "levelno",
     "lineno", "module", "msecs", "msg", "name", "pathname", "process", "processName",
     "relativeCreated", "stack_info", "thread", "threadName"}
) | ({"taskName"} if hasattr(logging, "logAsyncioTasks") else set())  # fmt: skip


def _standard_attributes() -> list[str]:
    names = vars(logging.LogRecord("", 0, "", 0, "", None, None))
    if unpatched_method(logging.LogRecord.__init__) is not None:
        # A newer Python may have added attributes.
        return [*names]
    # Another library has patched it before this import. What the patch adds is a field.
    return [name for name in names if name in _KNOWN_ATTRIBUTES]


#: The attributes that LogRecord's constructor sets on this interpreter, in their order. The
#: fields that a call adds come after them.
STANDARD_ATTRIBUTES: Final = _standard_attributes()

#: The attributes that are no Fields: the standard ones of every Python version, those that
#: formatters leave behind, and the name that our handler sets.
EXCLUDED_ATTRIBUTES: Final = frozenset(STANDARD_ATTRIBUTES) | {
    "asctime",
    "logger_name",
    "message",
    "taskName",
}

#: Those of them that are no Fields on this interpreter. Where its records have no ``taskName``
#: of their own, an attribute of that name is an ordinary field.
HIDDEN_ATTRIBUTES: Final = EXCLUDED_ATTRIBUTES - ({"taskName"} - {*STANDARD_ATTRIBUTES})

#: The methods of records that handlers, copies and pickles look up on the record itself. A field
#: must not replace them.
RECORD_METHODS: Final = frozenset(
    {"getMessage", "__deepcopy__", "__getnewargs__", "__getnewargs_ex__", "__getstate__",
     "__reduce__", "__reduce_ex__"}
)  # fmt: skip

#: The fields written by this library; a user's field of the same name is kept
#: beside it, as ``extra.<name>``.
OWN_FIELDS: Final = frozenset({"msg", "error", "traceback", "stack", "Time"})


def message(record: Any, sanitiser: Sanitiser) -> str | dict[Any, Any]:
    """Return a record's message as text, or the dict that was logged in its place."""
    raw: Any = getattr(record, "msg", "")
    if issubclass(type(raw), DICTS) and not getattr(record, "args", None):
        return message_members(raw, sanitiser)
    try:
        if type(raw) is not Template:
            return str.__str__(record.getMessage())
        raw = text = read_template(raw, sanitiser)
        return text % record.args if record.args else text
    except BaseException as error:
        sanitiser.defer_interrupt(error)
    sanitiser.add_reason("message and arguments do not fit")
    shown = raw if type(raw) is TemplateMessage else sanitiser.text_of(raw)
    return message_with_args(shown, getattr(record, "args", None), sanitiser)


def message_members(value: Any, sanitiser: Sanitiser) -> dict[Any, Any]:
    """Return the items of a dict, of any class, that was logged as the message."""
    out: dict[Any, Any] = {}
    numbers: dict[str, int] = {}
    try:
        items = items_of(value, MAX_FIELDS)
        for key, member in items[:MAX_FIELDS]:
            _add(out, key, member, numbers)
        if len(items) > MAX_FIELDS:
            held = thawed(value)
            if "msg" in held:
                out.setdefault("msg", held["msg"])
            count_left_out(out, max(dict.__len__(held), len(items)) - len(out))
    except BaseException as error:
        sanitiser.unprintable(value, error)
    return out


def message_with_args(text: str, args: Any, sanitiser: Sanitiser) -> str:
    """Return a message followed by the arguments that do not fit it.

    Args:
        text: The message, with its placeholders.
        args: The arguments: a tuple, or the single mapping of ``%(name)s``.
        sanitiser: Makes the texts of the arguments.
    """
    if not args:
        return text
    # Each by itself: an argument with a broken repr must not hide the others.
    shown = [sanitiser.repr(arg) for arg in args] if type(args) is tuple else [sanitiser.repr(args)]
    arguments = f" ({', '.join(shown)}{',' if len(shown) == 1 else ''})"
    if type(text) is TemplateMessage:
        return text.followed_by(arguments)
    return f"{text}{arguments}"


def call_fields(
    record: Any,
    sanitiser: Sanitiser,
    is_json: Callable[[str], bool] = looks_like_json,
) -> dict[str, Any]:
    """Return the fields that the log call itself made: message, exception and stack.

    Args:
        record: A LogRecord.
        sanitiser: Makes texts of values.
        is_json: Returns whether a text is to be tried as a JSON message.
    """
    if type(record) is EventRecord:
        if record.exc_info is not None:
            sanitiser.exception = record.exc_info, record.call_fields.get("traceback", "")
        return dict(record.call_fields)
    out: dict[Any, Any] = {}
    text = message(record, sanitiser)
    if isinstance(text, dict):
        out.update(text)
    elif text:
        is_read = type(text) is not TemplateMessage and is_json(text)
        out["msg"] = JSONMessage.read(text) if is_read else text
    own: dict[str, Any] = {}
    _exception(record, own, sanitiser)
    stack = getattr(record, "stack_info", None)
    if stack:
        own["stack"] = sanitiser.text_of(stack)
    return merge(out, own) if own else out


def add_exception(exc_info: Any, out: dict[str, Any], sanitiser: Sanitiser) -> None:
    """Add the fields ``error`` and ``traceback``.

    Args:
        exc_info: A record's ``exc_info``, of any type.
        out: The fields to add to.
        sanitiser: Makes texts of values.
    """
    try:
        triple = as_exc_info(exc_info)
        if triple is not None:
            out["error"], out["traceback"] = render_exception(triple, sanitiser)
    except Exception as error:
        out["error"] = sanitiser.repr(exc_info)
        sanitiser.add_reason(f"exception not rendered: {type_name(type(error))}")


def _exception(record: Any, out: dict[str, Any], sanitiser: Sanitiser) -> None:
    exc_info = getattr(record, "exc_info", None)
    if exc_info:
        add_exception(exc_info, out, sanitiser)
    elif text := getattr(record, "exc_text", None):
        # The record has crossed a process border, and its traceback could not.
        out["traceback"] = sanitiser.text_of(text)


def extra_fields(record: Any, excluded: Container[str]) -> dict[Any, Any]:
    """Return a record's attributes without the excluded ones, in the record's order.

    Of a record with more attributes than are read, the number of the others is a field.
    A ``logger_name`` that came with the call is among them. One that a handler has set is not.
    """
    if type(record) is EventRecord:
        return dict(record.fields)
    out: dict[Any, Any] = {}
    numbers: dict[str, int] = {}
    attrs = vars(record)
    read = [*islice(attrs.items(), MAX_FIELDS)]
    for key, value in read:
        if type(key) is not str:
            _add(out, key, value, numbers)
        elif key == "logger_name":
            given = value.given if type(value) is LoggerName else value
            if given is not None:
                out[key] = given
        elif key not in excluded and not (callable(value) and _is_method(key, value, record)):
            out[key] = value
    count_left_out(out, len(attrs) - len(read))
    return out


def _is_method(name: str, value: Any, record: Any) -> bool:
    """Return whether an attribute of a record is a method of it, which is no field.

    New Relic's agent replaces ``getMessage`` on each record, and keeps the method beside it.
    """
    return name in RECORD_METHODS or (type(value) is MethodType and value.__self__ is record)


def _add(out: dict[Any, Any], key: Any, value: Any, numbers: dict[str, int]) -> None:
    try:
        out[key] = value
    except Exception as error:
        # The hash or the equality of the key raises.
        name = unique_key("<broken key>", out, numbers)
        out[name] = f"<{type_name(type(key))}: {type_name(type(error))}>"


def merge(
    fields: Mapping[Any, Any],
    call_fields: Mapping[Any, Any],
    defaults: Mapping[Any, Any] = _NO_FIELDS,
    own: Collection[str] = OWN_FIELDS,
) -> dict[Any, Any]:
    """Return the fields of a line: the call's own fields laid over the others.

    A field of ours never hides a user's, which is kept as ``extra.<name>``. The members of a JSON
    message come last, and replace nothing.

    Args:
        fields: The other fields.
        call_fields: The fields that the call itself made.
        defaults: Fields for the names that neither has.
        own: The names of our fields.
    """
    out = dict(fields)
    members: dict[str, Any] | None = None
    for key, value in call_fields.items():
        if type(value) is JSONMessage and key == "msg":
            members = value.members
            continue
        if key in own and key in out:
            out[unique_key(f"extra.{key}", {*out, *call_fields})] = out[key]
        out[key] = value
    for key, value in defaults.items():
        out.setdefault(key, value)
    return out if members is None else with_members(out, members)


def with_members(fields: dict[Any, Any], members: dict[str, Any]) -> dict[Any, Any]:
    """Return fields with the members of a JSON message behind them.

    A member that clashes with a field is kept as ``extra.<name>``. The text may come from a
    client, which must not replace, for one, a request's id.
    """
    together = {**fields, **members}
    if len(together) == len(fields) + len(members):
        return together
    out = dict(fields)
    taken = {*fields, *members}
    numbers: dict[str, int] = {}
    for key, value in members.items():
        name = key
        if key in fields:
            name = unique_key(f"extra.{key}", taken, numbers)
            taken.add(name)
        out[name] = value
    return out


def without_json_message(fields: dict[Any, Any]) -> dict[Any, Any]:
    """Return fields that a formatter's hook made without ``merge``, as a line has them."""
    message = fields.get("msg")
    if type(message) is not JSONMessage:
        return fields
    others = {key: value for key, value in fields.items() if key != "msg"}
    return with_members(others, message.members)


class LoggerName(str):  # noqa: SLOT000 - class attributes are the defaults
    """A handler's logger name, which the handler sets on a record.

    Its type tells it from a ``logger_name`` in the call's ``extra``, which it keeps in ``given``.
    The record of an event of structlog has such a name before it gets to a handler: it says which
    stream has the event's line.

    A pickle contains the value of ``given``, or else the name as plain text. It does not refer to
    this class, since a record may go to a host without this library.
    """

    given: Any = None
    #: The stream that has the line of the record's event; None for a record of ``logging``.
    written_to: Any = None
    #: Whether a handler has set it, whose name is then the line's ``Logger``.
    is_of_handler = True

    def __reduce_ex__(self, _protocol: SupportsIndex) -> tuple[Any, ...]:
        if self.given is None:
            # No handler has set the name of an event, and a pickle of it would be a field.
            return (str, (str.__str__(self),)) if self.is_of_handler else (type(None), ())
        return operator.getitem, ((self.given,), 0)

    # Copies stay in this process, so they keep the type.
    def __copy__(self) -> LoggerName:
        return self

    def __deepcopy__(self, _memo: Any) -> LoggerName:
        return self


def _from_created(record: Any) -> int:
    created = getattr(record, "created", None)
    if type(record) is EventRecord and created == record.timestamp_ns / 1e9:
        return record.timestamp_ns
    try:
        return int(created * 1e9)  # type: ignore[operator]
    except OverflowError:
        return 2**63 - 1 if created > 0 else 0  # type: ignore[operator]
    except Exception:
        return time.time_ns()


def recovered_ns(created: float, relative_ms: float, start_ns: int) -> int:
    """Return the nanoseconds from which a record's two floats were computed.

    A float of ``created`` rounds to some 240 ns. ``relative_ms`` is exact within 49 days of the
    start of the process. Where the two do not agree, as in a record of another process,
    ``created`` is right.

    A clock that a test has frozen may be years away from the start. It stands on a whole
    microsecond, or on the float of one in seconds. The first of these that both floats allow
    is returned.

    Args:
        created: Seconds since the epoch.
        relative_ms: Milliseconds since ``start_ns``.
        start_ns: When the process began, in nanoseconds since the epoch.
    """
    exact = start_ns + round(relative_ms * 1e6)
    if not -EXACT_NS < exact - start_ns < EXACT_NS:
        # Two roundings, each by half of the last bit of a float at most.
        error_ns = abs(relative_ms) * 1e6 * 2**-52 + 1
        whole = round(created * 1e6) * 1000
        if -error_ns <= whole - exact <= error_ns and whole / 1e9 == created:
            return whole
        whole = int(created * 1e9)
        if -error_ns <= whole - exact <= error_ns:
            return whole
    return exact if exact / 1e9 == created else int(created * 1e9)


#: The nanoseconds from the start for which a record's milliseconds are exact: 49 days.
EXACT_NS: Final = 2**32 * 1_000_000

#: Whether ``timestamp_ns`` is more exact than ``record.created``.
HAS_NANOSECONDS: Final = sys.version_info >= (3, 13)

#: When the process began, in nanoseconds since the epoch, as ``logging`` counts.
START_NS: Final[int] = vars(logging)["_startTime"] if HAS_NANOSECONDS else 0

if HAS_NANOSECONDS:

    def timestamp_ns(record: Any) -> int:
        """Return a record's time in nanoseconds since the epoch."""
        if type(record) is EventRecord:
            return _from_created(record)
        try:
            return recovered_ns(record.created, record.relativeCreated, START_NS)
        except Exception:
            return _from_created(record)

else:
    # Before 3.13 a record's time is a float from the start.
    timestamp_ns = _from_created
