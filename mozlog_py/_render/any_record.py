"""The general renderer: any record, all options, every hook.

It calls code of the application: a record class, the hooks of a subclass, the methods of a
logged value. If that code raises, the record still has a line.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from mozlog_py._fields.event_record import EventRecord
from mozlog_py._fields.from_event import read_event
from mozlog_py._fields.from_record import (
    HIDDEN_ATTRIBUTES,
    LoggerName,
    call_fields,
    extra_fields,
    merge,
    message,
    timestamp_ns,
    without_json_message,
)
from mozlog_py._fields.json_message import exceeds_bounds, json_object
from mozlog_py._fields.server_records import READERS, read_record
from mozlog_py._fields.template_message import TemplateMessage
from mozlog_py._line.line_encoder import EventDropped, LineEncoder, RaiseAfterWrite, clamped, encode
from mozlog_py._line.truncate import MIN_LINE_BYTES, cut
from mozlog_py._values.class_lookup import type_name
from mozlog_py._values.dict_items import thawed
from mozlog_py._values.sanitiser import Sanitiser, unique_key
from mozlog_py._values.tracebacks import as_exc_info, masked_traceback

from .plain_record import Renderer
from .run_processors import import_for_processors, processed_fields

if TYPE_CHECKING:
    from mozlog_py._redaction.mask import AnyMask

__all__ = [
    "RENDER_SIGNALS",
    "Hooks",
    "collect_fields",
    "conversion_sanitiser",
    "converted",
    "converting_renderer",
    "envelope_values",
    "general_renderer",
    "handler_name_of",
    "interrupt_fallback",
    "is_converting",
    "line_in",
    "line_of",
    "prefixed",
    "with_max_bytes",
]

#: Raised by a renderer in place of a return: the line is dropped, or an interrupt follows it.
#: They are exceptions because a result object for each line would cost over 3 % of a line.
RENDER_SIGNALS: Final = (EventDropped, RaiseAfterWrite)


class Hooks(Protocol):
    """The part of ``MozlogFormatter`` that the general renderer uses."""

    exc_info_as_array: bool
    json_default: Callable[[Any], Any] | None
    logger_name: str
    parse_messages: bool
    processors: tuple[Callable[[Any, str, Any], Any], ...]
    rename_fields: Any
    timestamp: bool | str

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None: ...
    def convert_record(self, record: logging.LogRecord) -> dict[str, Any]: ...
    def fill(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None: ...
    def formatException(self, ei: Any) -> str | list[str]: ...
    def formatStack(self, stack_info: str) -> str | list[str]: ...
    def is_value_jsonlike(self, value: str) -> bool: ...
    def line_encoder_for(self, logger_name: str) -> LineEncoder: ...
    def value_mask(self) -> AnyMask | None: ...
    def overrides(self, hook: str) -> bool: ...
    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]: ...
    def renamed(self, fields: dict[Any, Any]) -> dict[Any, Any]: ...


def with_max_bytes(encoder: LineEncoder, max_bytes: int) -> LineEncoder:
    """Return a line encoder with its limit set.

    Args:
        encoder: The encoder, which is changed.
        max_bytes: The limit of a line in bytes, without its newline; 0 for no limit.
    """
    encoder.max_bytes = max_bytes
    return encoder


def general_renderer(formatter: Hooks, encoder: LineEncoder, *, is_named: bool) -> Renderer:
    """Return the renderer of any record.

    Args:
        formatter: Has the options and hooks.
        encoder: Encodes the lines.
        is_named: Whether the encoder's logger name wins over the name that a handler has set
            on the record.
    """

    def render(record: logging.LogRecord) -> bytes:
        sanitiser = Sanitiser(formatter.json_default)
        name = None if is_named else handler_name_of(record)
        chosen = (
            with_max_bytes(formatter.line_encoder_for(name), encoder.max_bytes) if name else encoder
        )
        return _line(formatter, chosen, record, sanitiser)

    return render


def converting_renderer(formatter: Hooks, max_bytes: int) -> Renderer:
    """Return the renderer for a subclass that overrides ``convert_record``.

    Args:
        formatter: Overrides ``convert_record``.
        max_bytes: The limit of a line in bytes, without its newline; 0 for no limit.
    """

    def render(record: logging.LogRecord) -> bytes:
        sanitiser = Sanitiser(formatter.json_default)
        try:
            line = encode(converted(formatter, record, sanitiser), max_bytes)
        except EventDropped as dropped:
            document = dropped.fields
            dropped.line = lambda: encode(document, max_bytes)
            raise
        except Exception as error:
            sanitiser.add_reason(f"line not rendered: {type_name(type(error))}")
            encoder = with_max_bytes(_encoder(formatter, record), max_bytes)
            return encoder.line(*envelope_values(record), {}, sanitiser)
        if sanitiser.interrupt is not None:
            raise RaiseAfterWrite(line, sanitiser.interrupt, from_value=True)
        return line

    return render


def converted(formatter: Hooks, record: logging.LogRecord, sanitiser: Sanitiser) -> dict[str, Any]:
    """Return the line of a record from an overridden ``convert_record``, as plain values.

    ``convert_record`` sees the values as logged, as upstream's does. The returned dict passes
    through the processors and is made plain. If ``convert_record`` raises, the line has the
    envelope, the message and a note: the override may exist to hide any other field.

    Raises:
        EventDropped: A processor drops the event. Its ``fields`` are the whole line.
    """
    raw_sanitiser = Sanitiser(formatter.json_default)
    encoder = _encoder(formatter, record)
    token = _converting.set(_Conversion(formatter, record, raw_sanitiser, is_raw=True))
    try:
        document: Any = thawed(formatter.convert_record(record))
        if not issubclass(type(document), dict):
            raise TypeError("convert_record returned no dict")
    except BaseException as error:
        sanitiser.add_reason(f"convert_record raised {type_name(type(error))}")
        sanitiser.defer_interrupt(error)
        fields = formatter.renamed(_message_only(formatter, record, raw_sanitiser))
        document = encoder.envelope(*envelope_values(record), fields, raw_sanitiser, is_raw=True)
    finally:
        _converting.reset(token)
    if raw_sanitiser.interrupt is not None:
        sanitiser.defer_interrupt(raw_sanitiser.interrupt)
    try:
        processed = _processed(formatter, record, document, sanitiser)
    except EventDropped as dropped:
        dropped.fields = encoder.conversion(dropped.fields, sanitiser)
        raise
    return encoder.conversion(processed, sanitiser)


def _encoder(formatter: Hooks, record: logging.LogRecord) -> LineEncoder:
    return formatter.line_encoder_for(handler_name_of(record) or formatter.logger_name)


def _message_only(formatter: Hooks, record: Any, sanitiser: Sanitiser) -> dict[str, Any]:
    """Return the message of a record as the only field; no field if the message has members."""
    try:
        content: Any = (
            record.call_fields if type(record) is EventRecord else message(record, sanitiser)
        )
        text = dict.get(content, "msg") if issubclass(type(content), dict) else content
    except Exception:
        return {}
    if type(text) is TemplateMessage:
        return {"msg": text}
    if type(text) is not str or not text:
        return {}
    has_members = _json_test(formatter, sanitiser)(text) and (
        # A text too large to be parsed counts as well: no processor has seen its members.
        exceeds_bounds(text) or json_object(text) is not None
    )
    return {} if has_members else {"msg": text}


def _processed(
    formatter: Hooks, record: Any, document: dict[Any, Any], sanitiser: Sanitiser
) -> dict[Any, Any]:
    """Return a whole line after the processors have run.

    The processors see its Fields under their names before ``rename_fields``. ``Redact`` also
    sees the other members of the line.
    """
    if not formatter.processors or is_processed(record):
        return document
    redact_type = import_for_processors().Redact
    renamed_fields: Any = thawed(dict.get(document, "Fields"))
    is_whole = issubclass(type(renamed_fields), dict)
    others = {name: each for name, each in dict.items(document) if name != "Fields" or not is_whole}
    interrupts: list[BaseException] = []
    for processor in formatter.processors:
        if isinstance(processor, redact_type):
            others = processor.redacted(others, interrupts)
    for error in interrupts:
        sanitiser.defer_interrupt(error)
    if not is_whole:
        return others
    former = {new: old for old, new in formatter.rename_fields.items() if old not in renamed_fields}
    fields = {former.get(name, name): each for name, each in dict.items(renamed_fields)}

    def with_fields(fields: dict[Any, Any]) -> dict[Any, Any]:
        # The members keep their order.
        renamed = formatter.renamed(fields)
        return {name: others.get(name, renamed) for name in dict.keys(document)}

    try:
        return with_fields(processed_fields(formatter.processors, record, fields, sanitiser))
    except EventDropped as dropped:
        dropped.fields = with_fields(dropped.fields)
        raise


def is_processed(record: Any) -> bool:
    """Return whether a record is an event that has passed through a chain of processors."""
    return type(record) is EventRecord and record.is_complete


class _Conversion(NamedTuple):
    """A record that a formatter is converting."""

    formatter: Any
    record: Any
    sanitiser: Sanitiser
    #: Whether the processors run after the conversion.
    is_raw: bool


# The conversion in progress. A subclass calls convert_record of its base class without a
# sanitiser, so the base class finds the renderer's sanitiser here.
_converting: Final[ContextVar[_Conversion | None]] = ContextVar("mozlog_converting", default=None)


def is_converting(formatter: Hooks, record: logging.LogRecord) -> bool:
    """Return whether the renderer is calling a formatter's ``convert_record`` for a record."""
    conversion = _converting.get()
    return (
        conversion is not None
        and conversion.is_raw
        and conversion.formatter is formatter
        and conversion.record is record
    )


def conversion_sanitiser(formatter: Hooks, record: logging.LogRecord) -> Sanitiser:
    """Return the sanitiser for ``convert_record``.

    During rendering it is the renderer's own, which reports its interrupt and reasons.
    """
    conversion = _converting.get()
    if conversion is not None and conversion.formatter is formatter and conversion.record is record:
        return conversion.sanitiser
    return Sanitiser(formatter.json_default)


def _line(
    formatter: Hooks,
    encoder: LineEncoder,
    record: logging.LogRecord,
    sanitiser: Sanitiser,
) -> bytes:
    try:
        fields = collect_fields(formatter, record, sanitiser)
    except EventDropped as dropped:
        would_be = dropped.fields
        dropped.line = lambda: encoder.line(*envelope_values(record), would_be, sanitiser)
        raise
    except Exception as error:
        sanitiser.add_reason(f"record not readable: {type_name(type(error))}")
        try:
            # The processors have not seen these fields, and may exist to hide one.
            fields = {} if formatter.processors else merge({}, call_fields(record, sanitiser))
        except Exception:
            fields = {}
    return encoder.line(*envelope_values(record), fields, sanitiser)


def collect_fields(
    formatter: Hooks, record: logging.LogRecord, sanitiser: Sanitiser
) -> dict[str, Any]:
    """Return the Fields of a record, after the formatter's options, hooks and processors.

    Args:
        formatter: The formatter.
        record: The record.
        sanitiser: Holds what the record has lost, and an interrupt of its values.
    """
    is_raw = is_converting(formatter, record)
    record = _as_read(_unwrapped(formatter, record, sanitiser), sanitiser)
    message_dict = call_fields(record, sanitiser, _json_test(formatter, sanitiser))
    _apply_format_hooks(formatter, record, message_dict, sanitiser)
    if formatter.timestamp:
        name = formatter.timestamp if isinstance(formatter.timestamp, str) else "Time"
        # A processor may have set the time of an event of structlog, as ``TimeStamper`` does.
        if name in message_dict and not (name == "Time" and type(record) is EventRecord):
            # A member of a message that is a dict.
            message_dict[unique_key(f"extra.{name}", message_dict)] = message_dict.pop(name)
        message_dict[name] = _rfc3339(timestamp_ns(record))
    log_data: dict[str, Any] = {}
    # The processors run inside fill(), which hooks call without a sanitiser.
    conversion = _Conversion(formatter, record, sanitiser, is_raw)
    token = _converting.set(conversion) if formatter.processors else None
    try:
        formatter.add_fields(log_data, record, message_dict)
        processed = thawed(formatter.process_log_record(log_data))
        # A hook that changes its argument in place often returns None.
        return without_json_message(processed if isinstance(processed, dict) else log_data)
    except EventDropped:
        raise
    except BaseException as error:
        sanitiser.defer_interrupt(error)
        sanitiser.add_reason(f"add_fields or process_log_record raised {type_name(type(error))}")
    finally:
        if token is not None:
            _converting.reset(token)
    log_data = {}
    formatter.fill(log_data, record, message_dict)
    return log_data


def _unwrapped(formatter: Hooks, record: Any, sanitiser: Sanitiser) -> Any:
    """Return the event of a record from structlog's ``wrap_for_formatter``; else the record."""
    wrapped = getattr(record, "msg", None)
    if type(wrapped) is not dict or "event" not in wrapped or not hasattr(record, "_logger"):
        return record
    event = read_event(
        wrapped,
        str(record.levelname).lower(),
        record.name,
        sanitiser,
        parse_messages=formatter.parse_messages,
    )
    extra = extra_fields(record, {*HIDDEN_ATTRIBUTES, "_logger", "_name"})
    exc_info = as_exc_info(event.exc_info) if event.exc_info else None
    return EventRecord(
        timestamp_ns(record),
        record.name,
        record.levelno,
        {**extra, **event.fields},
        event.call_fields,
        exc_info,
        is_complete=False,
    )


def _as_read(record: Any, sanitiser: Sanitiser) -> Any:
    """Return a record with the fields of a server's message; any other record unchanged."""
    name = _attribute(record, "name")
    if type(name) is not str or name not in READERS or type(record) is EventRecord:
        return record
    try:
        return read_record(record)
    except BaseException as error:
        sanitiser.defer_interrupt(error)
        return record


def _json_test(formatter: Hooks, sanitiser: Sanitiser) -> Callable[[str], bool]:
    def is_json(text: str) -> bool:
        if not formatter.parse_messages:
            return False
        try:
            return bool(formatter.is_value_jsonlike(text))
        except BaseException as error:
            sanitiser.defer_interrupt(error)
            sanitiser.add_reason(f"is_value_jsonlike raised {type_name(type(error))}")
            return False

    return is_json


def _apply_format_hooks(
    formatter: Hooks,
    record: logging.LogRecord,
    message_dict: dict[str, Any],
    sanitiser: Sanitiser,
) -> None:
    exc_info = getattr(record, "exc_info", None)
    if "traceback" in message_dict and exc_info:
        if formatter.overrides("formatException"):
            made = _called(formatter.formatException, exc_info, sanitiser)
            triple = as_exc_info(exc_info)
            if type(made) is str and triple is not None:
                made = masked_traceback(triple[1], made)
            message_dict["traceback"] = made
        elif formatter.exc_info_as_array:
            message_dict["traceback"] = message_dict["traceback"].splitlines()
    if "stack" in message_dict:
        message_dict["stack"] = _called(formatter.formatStack, message_dict["stack"], sanitiser)


def _called(hook: Callable[[Any], Any], value: Any, sanitiser: Sanitiser) -> Any:
    try:
        return hook(value)
    except BaseException as error:
        return sanitiser.unprintable(value, error)


def handler_name_of(record: Any) -> str | None:
    """Return the logger name that a ``MozlogHandler`` has set on a record; None without one."""
    name = getattr(record, "logger_name", None)
    return name if type(name) is LoggerName and name.is_of_handler else None


def envelope_values(record: Any) -> tuple[int, Any, Any, Any]:
    """Return a record's time in nanoseconds, logger, level and process, of any types."""
    return (
        timestamp_ns(record),
        _attribute(record, "name"),
        _attribute(record, "levelno"),
        _attribute(record, "process"),
    )


def _attribute(record: Any, name: str) -> Any:
    try:
        return getattr(record, name, None)
    except Exception:
        return None


def _rfc3339(ns: int) -> str:
    time = datetime.fromtimestamp(clamped(ns) / 1e9, tz=timezone.utc)
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def prefixed(prefix: bytes, render: Renderer, max_bytes: int) -> Renderer:
    """Return a renderer whose lines begin with ``prefix``.

    Args:
        prefix: The text in front of every line.
        render: Renders the lines.
        max_bytes: The limit of a line in bytes, its prefix included; 0 for no limit. The sink
            cannot cut a line with a prefix, which is not JSON.
    """
    left = max(MIN_LINE_BYTES // 2, max_bytes - len(prefix)) if max_bytes else 0

    def whole(line: bytes) -> bytes:
        return prefix + (cut(line, left) if 0 < left < len(line) else line)

    def with_prefix(record: logging.LogRecord) -> bytes:
        try:
            return whole(render(record))
        except RaiseAfterWrite as interrupted:
            interrupted.line = whole(interrupted.line)
            raise
        except EventDropped as dropped:
            line_of_dropped = dropped.line
            dropped.line = lambda: whole(line_of_dropped())
            raise

    return with_prefix


def interrupt_fallback(general: Renderer) -> Callable[[logging.LogRecord, BaseException], bytes]:
    """Return the function that takes over a record whose rendering was interrupted."""

    def interrupted(record: logging.LogRecord, error: BaseException) -> bytes:
        if isinstance(error, RaiseAfterWrite):
            raise error
        # A value or a signal's handler raised it: the line is written first.
        raise RaiseAfterWrite(general(record), error, from_value=False) from None

    return interrupted


def line_in(signal: EventDropped | RaiseAfterWrite) -> bytes:
    """Return the line that a renderer's signal carries, of a dropped event as well."""
    if isinstance(signal, RaiseAfterWrite):
        return signal.line
    try:
        return signal.line()
    except RaiseAfterWrite as interrupted:
        return interrupted.line


def line_of(signal: EventDropped | RaiseAfterWrite) -> bytes:
    """Return the line for a caller that can neither drop an event nor raise after a write.

    Args:
        signal: Raised by a renderer.

    Raises:
        BaseException: The cause of a ``RaiseAfterWrite``, unless a value's code raised it.
    """
    if isinstance(signal, RaiseAfterWrite) and not signal.from_value:
        raise signal.cause from None
    return line_in(signal)
