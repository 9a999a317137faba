"""The short way from a LogRecord to its line, for records that hold nothing odd.

``LineEncoder.line`` makes every line there is. What stands here is the same
thing for the record that nine log calls in ten make: a plain LogRecord whose
message, extra and context are exact ``str``, ``int``, ``float`` and ``bool``.
It is one function because at this size each call costs as much as the work,
and whatever it does not know it hands to the careful way. A property test
holds the two together: the same Fields in the same order for the same record.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, Final, Generic, TypeVar

import orjson

from mozlog_py._context import trace_context
from mozlog_py._context.trace_context import may_have_span
from mozlog_py._fields.from_record import (
    EXACT_NS,
    HAS_NANOSECONDS,
    HIDDEN_ATTRIBUTES,
    OWN_FIELDS,
    STANDARD_ATTRIBUTES,
    START_NS,
    LoggerName,
    timestamp_ns,
    with_members,
)
from mozlog_py._fields.json_message import json_object, looks_like_json
from mozlog_py._fields.late_request_ids import add_request_id
from mozlog_py._fields.server_records import READERS, read_record
from mozlog_py._line.line_encoder import MAX_TIMESTAMP, LineEncoder
from mozlog_py._line.unsafe_characters import DELETE
from mozlog_py._process.process_id import process
from mozlog_py._values.plain_types import all_plain
from mozlog_py._values.sanitiser import MAX_ITEMS, Sanitiser
from mozlog_py._values.tracebacks import as_exc_info, render_exception
from mozlog_py.context import current, has_context, read_bound, read_request_id, structlog_registry

__all__ = ["Fallbacks", "FieldsRenderer", "fields_renderer", "record_renderer"]

_Line = TypeVar("_Line", bytes, str)

#: Makes a line of a logger's name, a level and fields; None where they are not plain.
FieldsRenderer = Callable[[str, int, "dict[str, Any]"], "bytes | None"]

# Names of this module cost less than a closure's, which each call copies; but for
# those that are looked at for each field.
_LogRecord: Final = logging.LogRecord
_dumps: Final = orjson.dumps
_modules: Final = sys.modules
_time_ns: Final = time.time_ns
# What reversed() would look up, at half of its price.
_latest_first: Final = dict.__reversed__
_latest_items_first: Final[Any] = type({}.items()).__reversed__

_LAST: Final = STANDARD_ATTRIBUTES[-1]
_COUNT: Final = len(STANDARD_ATTRIBUTES)
_INDEX_OF_LAST: Final = _COUNT - 1
_ONE_MORE: Final = _COUNT + 1
_TOO_MANY: Final = _COUNT + MAX_ITEMS
_EXACT_UNTIL_NS: Final = START_NS + EXACT_NS


class Fallbacks(Generic[_Line]):
    """How a record goes on that is not plain, and what a line is to be in the end."""

    __slots__ = ("careful", "interrupted", "is_text")

    def __init__(
        self,
        careful: Callable[[logging.LogRecord], _Line],
        interrupted: Callable[[logging.LogRecord, BaseException], _Line],
        *,
        is_text: bool,
    ) -> None:
        #: Renders any record.
        self.careful: Callable[[logging.LogRecord], _Line] = careful
        #: Takes a record in the middle of which a KeyboardInterrupt or the like came.
        self.interrupted: Callable[[logging.LogRecord, BaseException], _Line] = interrupted
        #: Whether lines are given as ``str``, and not as ``bytes``.
        self.is_text = is_text


def record_renderer(
    maker: LineEncoder,
    ways: Fallbacks[_Line],
    *,
    static_fields: Mapping[str, Any],
    include_context: bool,
    excluded: frozenset[str],
    is_named: bool,
    parse_messages: bool = True,
) -> Callable[[logging.LogRecord], _Line]:
    """Return the function that renders plain records, and sends the others their way.

    Args:
        maker: What makes lines of Fields.
        ways: How a record goes on that is not plain.
        static_fields: Fields of every line, all plain.
        include_context: Whether lines have what is bound in the context.
        excluded: The attributes of records that are no Fields.
        is_named: Whether the maker's logger name wins over one that a handler has left
            on the record.
        parse_messages: Whether the members of a message that is JSON become Fields.
    """

    def renderer(templates: Any, ways: Fallbacks[_Line]) -> Callable[[logging.LogRecord], _Line]:
        return _record_renderer(
            maker,
            templates,
            ways,
            static_fields=static_fields,
            include_context=include_context,
            excluded=excluded,
            is_named=is_named,
            parse_messages=parse_messages,
        )

    # A server's record has no template there, so it ends up in render_otherwise. The copy
    # of it that was read has one here.
    render_read = renderer(maker.templates, ways)

    def render_otherwise(record: logging.LogRecord) -> _Line:
        if type(record) is not _LogRecord:
            return ways.careful(record)
        name = record.__dict__.get("name")
        if type(name) is not str or name not in READERS:
            return ways.careful(record)
        try:
            read = read_record(record)
        except BaseException as error:
            return ways.interrupted(record, error)
        return render_read(read)

    otherwise = Fallbacks(render_otherwise, ways.interrupted, is_text=ways.is_text)
    return renderer(maker.record_templates, otherwise)


def _record_renderer(
    maker: LineEncoder,
    templates: Any,
    ways: Fallbacks[_Line],
    *,
    static_fields: Mapping[str, Any],
    include_context: bool,
    excluded: frozenset[str],
    is_named: bool,
    parse_messages: bool,
) -> Callable[[logging.LogRecord], _Line]:
    further = maker.further
    careful, is_text = ways.careful, ways.is_text
    late = excluded.difference(STANDARD_ATTRIBUTES)
    # Beside these, which other formatters and other Pythons leave on a record.
    is_excluding = not late <= HIDDEN_ATTRIBUTES
    static = dict(static_fields)
    is_traced = trace_context.is_installed()
    bound_by_structlog = structlog_registry()
    is_structlog_late = bound_by_structlog is None
    last, type_, str_, int_ = _LAST, type, str, int

    def without_late(fields: dict[str, Any]) -> bool:
        """Take out what is no field; False where the record has a name of its own."""
        name = fields.get("logger_name")
        for late_name in late.intersection(fields):
            # What the call has as its own stays in its place.
            if late_name != "logger_name":
                del fields[late_name]
        given = name.given if type(name) is LoggerName else name
        if given is not None:
            fields["logger_name"] = given
        else:
            fields.pop("logger_name", None)
        return is_named or type(name) is not LoggerName

    def render(record: logging.LogRecord) -> Any:
        try:
            facts = record.__dict__
            if type(record) is not _LogRecord:
                return careful(record)
            fields: dict[str, Any] = {}
            is_odd = False
            # A plain record is born with the standard attributes in their order, and
            # what a call adds stands behind them, in the order of the call: where the
            # last of them has its place, none is missing.
            count = len(facts)
            if count == _COUNT:
                for name in _latest_first(facts):
                    if name is last:
                        break
                    return careful(record)
            else:
                pairs: Iterable[tuple[str, Any]]
                if count == _ONE_MORE:
                    # From the end it is the shorter way.
                    behind = _latest_items_first(facts.items())
                    pairs = (next(behind),)
                else:
                    behind = pairs = islice(facts.items(), _INDEX_OF_LAST, None)
                for name, _ in behind:
                    if name is last and count < _TOO_MANY:
                        break
                    return careful(record)
                else:
                    return careful(record)
                for name, value in pairs:
                    fields[name] = value
                    kind = type_(value)
                    # As all_plain() does: a call costs several percent of a line.
                    if (
                        kind is not str_
                        and kind is not int_
                        and (value - value != 0.0 if kind is float else kind is not bool)
                    ):
                        is_odd = True
                if (
                    "message" in fields
                    or "logger_name" in fields
                    or "asctime" in fields
                    or (is_excluding and not excluded.isdisjoint(fields))
                ):
                    if not without_late(fields):
                        return careful(record)
                    is_odd = is_odd and not all_plain(fields.values())
            # As has_context() does.
            if include_context and (
                read_bound()
                or (read_request_id() and "rid" not in fields)
                or bound_by_structlog
                or (is_traced and "opentelemetry.trace" in _modules and may_have_span())
                or (is_structlog_late and "structlog.contextvars" in _modules)
            ):
                context = current()
                if context or static:
                    fields = {**static, **context, **fields}
                    is_odd = is_odd or not all_plain(context.values())
                    if len(fields) >= MAX_ITEMS or not OWN_FIELDS.isdisjoint(fields):
                        return careful(record)
            elif static:
                fields = {**static, **fields}
            message, args = facts["msg"], facts["args"]
            if type(message) is not str:
                if issubclass(type(message), dict):
                    return careful(record)
                message = record.getMessage()
                is_odd = is_odd or type(message) is not str
            elif args:
                message = message % args
            if (
                facts["exc_info"] is not None
                or facts["exc_text"] is not None
                or facts["stack_info"] is not None
            ):
                if (
                    further is not None
                    or not _add_exception(facts, fields, message, include_context)
                    or not fields
                ):
                    return careful(record)
                # It stands in front of the exception.
                message = ""
            elif message:
                if message >= "{" and parse_messages and looks_like_json(message):
                    blob = json_object(message)
                    if blob is not None:
                        if not blob or not OWN_FIELDS.isdisjoint(fields):
                            return careful(record)
                        fields = with_members(fields, blob) if fields else blob
                        is_odd = is_odd or len(fields) >= MAX_ITEMS or not all_plain(blob.values())
                        message = ""
            elif not fields:
                return careful(record)
            if HAS_NANOSECONDS:
                ns = START_NS + int(facts["relativeCreated"] * 1e6 + 0.5)
                # Far from the start the milliseconds are not exact, as with a frozen clock.
                if not START_NS <= ns < _EXACT_UNTIL_NS or ns / 1e9 != facts["created"]:
                    ns = timestamp_ns(record)
            else:
                ns = int(facts["created"] * 1e9)
            if is_odd:
                # As below: without a template, the record is read apart.
                templates[facts["process"]][facts["name"]]
                if message:
                    fields["msg"] = message
                line = maker.line(ns, facts["name"], facts["levelno"], facts["process"], fields)
                return line.decode() if is_text else line
            if 0 <= ns <= MAX_TIMESTAMP:
                of_fields, of_message = templates[facts["process"]][facts["name"]][facts["levelno"]]
                if fields:
                    if message:
                        fields["msg"] = message
                    line = of_fields % (ns, _dumps(fields))
                else:
                    line = of_message % (ns, _dumps(message))
                if further is not None or not line.isascii() or DELETE in line:
                    fields = fields or {"msg": message}
                    line = maker.complete(line, facts["name"], facts["levelno"], fields)
                return line.decode() if is_text else line
        except Exception:
            # Whatever it was, the careful way knows what to do.
            pass
        except BaseException as error:
            return ways.interrupted(record, error)
        return careful(record)

    return render


def fields_renderer(
    maker: LineEncoder, *, static_fields: Mapping[str, Any], include_context: bool
) -> FieldsRenderer:
    """Return the function that makes lines of plain fields, as of a record that is logged now.

    Args:
        maker: Makes the lines.
        static_fields: On every line.
        include_context: Whether what is bound is on it as well.
    """
    static = dict(static_fields)

    def render(type_: str, level: int, fields: dict[str, Any]) -> bytes | None:
        ns = _time_ns()
        if ns > process.until_ns:
            process.refresh(ns)
        if include_context and has_context(fields):
            fields = {**static, **current(), **fields}
        elif static:
            fields = {**static, **fields}
        if not all_plain(fields.values()) or len(fields) >= MAX_ITEMS:
            return None
        return maker.plain_line(ns, type_, level, process.pid, fields)

    return render


def _add_exception(
    facts: dict[str, Any], fields: dict[str, Any], message: Any, has_id: bool
) -> bool:
    """Add a message and what the plain exception behind it says.

    Args:
        facts: A record's attributes.
        fields: Filled with the message and the exception.
        message: The record's message.
        has_id: Whether the request's id may be that of the exception.

    Returns:
        False where it takes more than that.
    """
    if facts["stack_info"] or not facts["exc_info"] or not OWN_FIELDS.isdisjoint(fields):
        return False
    if len(fields) > MAX_ITEMS - len(OWN_FIELDS):
        return False
    if type(message) is not str or (message >= "{" and looks_like_json(message)):
        return False
    triple = as_exc_info(facts["exc_info"])
    if has_id and triple is not None:
        add_request_id(fields, triple)
    if message:
        fields["msg"] = message
    if triple is None:
        return True
    sanitiser = Sanitiser()
    fields["error"], fields["traceback"] = render_exception(triple, sanitiser)
    return not sanitiser.reasons and sanitiser.interrupt is None
