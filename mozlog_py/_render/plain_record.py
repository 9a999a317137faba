"""The plain renderer: one hot function for records of exact plain types.

Nine log calls in ten make such a record: a ``logging.LogRecord`` whose message, ``extra`` and
context are exactly ``str``, ``int``, ``float`` and ``bool``. The function repeats the last
statements of ``LineEncoder.line``, because a call would take as long as the work. It passes
every other record to the general renderer. A property test compares the two: the same record
has the same Fields in the same order.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

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
from mozlog_py._fields.template_message import Template
from mozlog_py._line.json_encoder import dumps
from mozlog_py._line.line_encoder import MAX_TIMESTAMP, LineEncoder
from mozlog_py._line.unsafe_characters import DELETE
from mozlog_py._process.process_id import process
from mozlog_py._values.dict_items import DICTS
from mozlog_py._values.plain_types import all_plain
from mozlog_py._values.sanitiser import MAX_ITEMS, Sanitiser
from mozlog_py._values.tracebacks import as_exc_info, render_exception
from mozlog_py.context import current, has_context, read_bound, read_request_id, structlog_registry

__all__ = ["Fallbacks", "FieldsRenderer", "Renderer", "fields_renderer", "record_renderer"]

#: Renders one record as one line, without its newline.
Renderer = Callable[[logging.LogRecord], bytes]
#: Renders a logger's name, a level and fields as a line; returns None for fields of other types.
FieldsRenderer = Callable[[str, int, "dict[str, Any]"], "bytes | None"]

# A global name costs less than a variable of the closure, which each call copies. Names that
# are read for each field are the exception.
_LogRecord: Final = logging.LogRecord
_dumps: Final = dumps
_modules: Final = sys.modules
_time_ns: Final = time.time_ns
# The methods that reversed() would look up, at half of its cost.
_latest_first: Final = dict.__reversed__
_latest_items_first: Final[Any] = type({}.items()).__reversed__

_LAST_STANDARD: Final = STANDARD_ATTRIBUTES[-1]
_STANDARD_COUNT: Final = len(STANDARD_ATTRIBUTES)
_INDEX_OF_LAST: Final = _STANDARD_COUNT - 1
_ONE_EXTRA: Final = _STANDARD_COUNT + 1
_TOO_MANY_ATTRIBUTES: Final = _STANDARD_COUNT + MAX_ITEMS
_EXACT_UNTIL_NS: Final = START_NS + EXACT_NS


class Fallbacks(NamedTuple):
    """The functions that take over the records that the plain renderer does not support."""

    #: Renders any record.
    general: Renderer
    #: Takes over a record whose rendering a ``KeyboardInterrupt`` or the like interrupted.
    interrupted: Callable[[logging.LogRecord, BaseException], bytes]


def record_renderer(
    encoder: LineEncoder,
    fallbacks: Fallbacks,
    *,
    static_fields: Mapping[str, Any],
    include_context: bool,
    excluded: frozenset[str],
    is_named: bool,
    parse_messages: bool,
) -> Renderer:
    """Return the function that renders plain records, and calls a fallback for the others.

    Args:
        encoder: Encodes the lines.
        fallbacks: Take over the other records.
        static_fields: Fields of every line, all of exact plain types.
        include_context: Whether lines show the fields bound in the context.
        excluded: The attributes of records that are not Fields.
        is_named: Whether the encoder's logger name wins over the name that a handler has set
            on the record.
        parse_messages: Whether the members of a message that is JSON become Fields.
    """

    def renderer(templates: Any, fallbacks: Fallbacks) -> Renderer:
        return _record_renderer(
            encoder,
            templates,
            fallbacks,
            static_fields=static_fields,
            include_context=include_context,
            excluded=excluded,
            is_named=is_named,
            parse_messages=parse_messages,
        )

    # encoder.record_templates has none for the loggers of servers, so their records end in
    # render_special. encoder.templates has one for the copy that read_record() returns.
    render_read = renderer(encoder.templates, fallbacks)

    def render_special(record: logging.LogRecord) -> bytes:
        if type(record) is not _LogRecord:
            return fallbacks.general(record)
        name = record.__dict__.get("name")
        if type(name) is not str or name not in READERS:
            return fallbacks.general(record)
        try:
            read = read_record(record)
        except BaseException as error:
            return fallbacks.interrupted(record, error)
        return render_read(read)

    special = Fallbacks(render_special, fallbacks.interrupted)
    return renderer(encoder.record_templates, special)


def _record_renderer(
    encoder: LineEncoder,
    templates: Any,
    fallbacks: Fallbacks,
    *,
    static_fields: Mapping[str, Any],
    include_context: bool,
    excluded: frozenset[str],
    is_named: bool,
    parse_messages: bool,
) -> Renderer:
    extension = encoder.extension
    general = fallbacks.general
    formatter_leftovers = excluded.difference(STANDARD_ATTRIBUTES)
    # "message", "asctime" and "logger_name" are looked for in any case.
    is_excluding = not formatter_leftovers <= HIDDEN_ATTRIBUTES
    static = dict(static_fields)
    is_traced = trace_context.is_installed()
    bound_by_structlog = structlog_registry()
    is_structlog_late = bound_by_structlog is None
    last, type_, str_, int_ = _LAST_STANDARD, type, str, int

    def render_record(record: logging.LogRecord) -> Any:
        try:
            attrs = record.__dict__
            if type(record) is not _LogRecord:
                return general(record)
            fields: dict[str, Any] = {}
            needs_sanitiser = False
            # A record has the standard attributes in their order, and the fields of the call
            # after them. If the last standard attribute has its position, none is missing.
            count = len(attrs)
            if count == _STANDARD_COUNT:
                for name in _latest_first(attrs):
                    if name is last:
                        break
                    return general(record)
            else:
                pairs: Iterable[tuple[str, Any]]
                if count == _ONE_EXTRA:
                    # Reading from the end takes fewer steps.
                    extra_items = _latest_items_first(attrs.items())
                    pairs = (next(extra_items),)
                else:
                    extra_items = pairs = islice(attrs.items(), _INDEX_OF_LAST, None)
                for name, _ in extra_items:
                    if name is last and count < _TOO_MANY_ATTRIBUTES:
                        break
                    return general(record)
                else:
                    return general(record)
                for name, value in pairs:
                    fields[name] = value
                    kind = type_(value)
                    # The encoder would write null for NaN and the infinities.
                    if (
                        kind is not str_
                        and kind is not int_
                        and (value - value != 0.0 if kind is float else kind is not bool)
                    ):
                        needs_sanitiser = True
                if (
                    "message" in fields
                    or "logger_name" in fields
                    or "asctime" in fields
                    or (is_excluding and not excluded.isdisjoint(fields))
                ):
                    if _remove_leftovers(fields, formatter_leftovers) and not is_named:
                        return general(record)
                    needs_sanitiser = needs_sanitiser and not all_plain(fields.values())
            if include_context and (
                read_bound()
                or (read_request_id() and "rid" not in fields)
                or bound_by_structlog
                or (is_traced and "opentelemetry.trace" in _modules and may_have_span())
                or (is_structlog_late and "structlog.contextvars" in _modules)
            ):
                context = current(fields)
                if context or static:
                    fields = {**static, **context, **fields}
                    needs_sanitiser = needs_sanitiser or not all_plain(context.values())
                    if len(fields) >= MAX_ITEMS or not OWN_FIELDS.isdisjoint(fields):
                        return general(record)
            elif static:
                fields = {**static, **fields}
            message, args = attrs["msg"], attrs["args"]
            if type(message) is not str:
                if type(message) is Template or issubclass(type(message), DICTS):
                    return general(record)
                message = record.getMessage()
                needs_sanitiser = needs_sanitiser or type(message) is not str
            elif args:
                message = message % args
            if (
                attrs["exc_info"] is not None
                or attrs["exc_text"] is not None
                or attrs["stack_info"] is not None
            ):
                if (
                    extension is not None
                    or not _add_exception(attrs, fields, message, include_context)
                    or not fields
                ):
                    return general(record)
                # _add_exception() has added it, in front of the exception.
                message = ""
            elif message:
                if message >= "{" and parse_messages and looks_like_json(message):
                    blob = json_object(message)
                    if blob is not None:
                        if not blob or not OWN_FIELDS.isdisjoint(fields):
                            return general(record)
                        fields = with_members(fields, blob) if fields else blob
                        needs_sanitiser = (
                            needs_sanitiser
                            or len(fields) >= MAX_ITEMS
                            or not all_plain(blob.values())
                        )
                        message = ""
            elif not fields:
                return general(record)
            if HAS_NANOSECONDS:
                ns = START_NS + int(attrs["relativeCreated"] * 1e6 + 0.5)
                # Far from the start, as with a frozen clock, relativeCreated is inexact.
                if not START_NS <= ns < _EXACT_UNTIL_NS or ns / 1e9 != attrs["created"]:
                    ns = timestamp_ns(record)
            else:
                ns = int(attrs["created"] * 1e9)
            if needs_sanitiser:
                if "getMessage" in fields:
                    # An agent has replaced the method on this record, and adds to the message.
                    return general(record)
                # Raises KeyError for the logger of a server, as the template below does: the
                # general fallback then reads the record.
                templates[attrs["process"]][attrs["name"]]
                if message:
                    fields["msg"] = message
                return encoder.line(ns, attrs["name"], attrs["levelno"], attrs["process"], fields)
            if 0 <= ns <= MAX_TIMESTAMP:
                of_fields, of_message = templates[attrs["process"]][attrs["name"]][attrs["levelno"]]
                if fields:
                    if message:
                        fields["msg"] = message
                    line = of_fields % (ns, _dumps(fields))
                else:
                    line = of_message % (ns, _dumps(message))
                if extension is not None or not line.isascii() or DELETE in line:
                    fields = fields or {"msg": message}
                    line = encoder.complete(line, attrs["name"], attrs["levelno"], fields)
                return line
        except Exception:
            # The general renderer meets the same error, and notes it in the line.
            pass
        except BaseException as error:
            return fallbacks.interrupted(record, error)
        return general(record)

    return render_record


def _remove_leftovers(fields: dict[str, Any], leftovers: frozenset[str]) -> bool:
    """Remove the attributes that formatters and handlers have set on a record.

    Args:
        fields: The fields of the call, and the attributes beside them. It is changed.
        leftovers: The names of the attributes.

    Returns:
        Whether a ``MozlogHandler`` has set its logger name on the record.
    """
    is_named = False
    if "logger_name" in fields:
        name = fields["logger_name"]
        is_named = type(name) is LoggerName
        given = name.given if is_named else name
        # A field of the call that is named "logger_name" keeps its position.
        if given is not None:
            fields["logger_name"] = given
        else:
            del fields["logger_name"]
    for leftover in leftovers.intersection(fields):
        if leftover != "logger_name":
            del fields[leftover]
    return is_named


def fields_renderer(
    encoder: LineEncoder, *, static_fields: Mapping[str, Any], include_context: bool
) -> FieldsRenderer:
    """Return the function that renders plain fields as a record that is logged now.

    Args:
        encoder: Encodes the lines.
        static_fields: Fields of every line.
        include_context: Whether lines show the fields bound in the context.
    """
    static = dict(static_fields)

    def render(type_: str, level: int, fields: dict[str, Any]) -> bytes | None:
        ns = _time_ns()
        if ns > process.until_ns:
            process.refresh(ns)
        if include_context and has_context(fields):
            fields = {**static, **current(fields), **fields}
        elif static:
            fields = {**static, **fields}
        if not all_plain(fields.values()) or len(fields) >= MAX_ITEMS:
            return None
        return encoder.plain_line(ns, type_, level, process.pid, fields)

    return render


def _add_exception(
    attrs: dict[str, Any], fields: dict[str, Any], message: Any, include_request_id: bool
) -> bool:
    """Add a record's message and its exception to the fields.

    Args:
        attrs: The record's attributes.
        fields: The fields, which are changed.
        message: The record's message.
        include_request_id: Whether to add the request id that belongs to the exception.

    Returns:
        False if the record needs the general renderer.
    """
    if attrs["stack_info"] or not attrs["exc_info"] or not OWN_FIELDS.isdisjoint(fields):
        return False
    if len(fields) > MAX_ITEMS - len(OWN_FIELDS):
        return False
    if type(message) is not str or (message >= "{" and looks_like_json(message)):
        return False
    triple = as_exc_info(attrs["exc_info"])
    if include_request_id and triple is not None:
        add_request_id(fields, triple)
    if message:
        fields["msg"] = message
    if triple is None:
        return True
    sanitiser = Sanitiser()
    fields["error"], fields["traceback"] = render_exception(triple, sanitiser)
    return not sanitiser.reasons and sanitiser.interrupt is None
