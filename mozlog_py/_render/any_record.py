"""The careful way from a LogRecord to its line: any record, all options, every hook.

What runs here may be anybody's: a record class, a subclass's hooks, the code of
a logged value. Whatever it raises, there is a line.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
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
from mozlog_py._line.line_encoder import EventDropped, LineEncoder, RaiseAfterWrite, clamped, encode
from mozlog_py._line.truncate import MIN_LINE_BYTES, cut
from mozlog_py._process.fork_safe_import import fork_safe_import
from mozlog_py._values.sanitiser import Sanitiser, type_name, unique_key
from mozlog_py._values.tracebacks import as_exc_info, masked_traceback

from .plain_record import Fallbacks

if TYPE_CHECKING:
    from mozlog_py._redaction.mask import AnyMask

__all__ = [
    "Hooks",
    "Renderer",
    "careful_renderer",
    "collect_fields",
    "conversion_sanitiser",
    "converted",
    "converting_renderer",
    "envelope_of",
    "given_name",
    "interrupted_in",
    "is_converting",
    "limited",
    "line_of",
    "prefixed",
    "processed_fields",
    "text_ways",
]

# What processors are handed beside the fields, and what they add for a renderer.
_PASSED: Final = frozenset({"_from_structlog", "_record", "event"})
# Whether the first record with processors has imported what they need.
_has_imports = False
_ENVELOPE_KEYS: Final = frozenset({"level", "level_number", "logger", "timestamp"})

#: Renders one record as one line, without its newline.
Renderer = Callable[[logging.LogRecord], bytes]


class Hooks(Protocol):
    """What a formatter is asked for on the careful way; ``MozlogFormatter`` says what it is."""

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
    def line_maker(self, logger_name: str) -> LineEncoder: ...
    def value_mask(self) -> AnyMask | None: ...
    def overrides(self, hook: str) -> bool: ...
    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]: ...
    def renamed(self, fields: dict[Any, Any]) -> dict[Any, Any]: ...


def limited(maker: LineEncoder, max_bytes: int) -> LineEncoder:
    """Return a line maker whose lines take at most ``max_bytes`` without a newline; 0 for any."""
    maker.max_bytes = max_bytes
    return maker


def careful_renderer(formatter: Hooks, maker: LineEncoder, *, is_named: bool) -> Renderer:
    """Give the renderer that takes any record.

    ``is_named``: the maker's logger name wins over one that a handler has left
    on the record.
    """

    def render(record: logging.LogRecord) -> bytes:
        sanitiser = Sanitiser(formatter.json_default)
        name = None if is_named else given_name(record)
        chosen = limited(formatter.line_maker(name), maker.max_bytes) if name else maker
        return _line(formatter, chosen, record, sanitiser)

    return render


def converting_renderer(formatter: Hooks, max_bytes: int = 0) -> Renderer:
    """Return the renderer for a subclass that makes whole lines, in ``convert_record``.

    Args:
        formatter: Has the subclass's own ``convert_record``.
        max_bytes: What a line may take without its newline; 0 for no limit.
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
            maker = limited(_maker(formatter, record), max_bytes)
            return maker.line(*envelope_of(record), {}, sanitiser)
        if sanitiser.interrupt is not None:
            raise RaiseAfterWrite(line, sanitiser.interrupt, from_value=True)
        return line

    return render


def converted(formatter: Hooks, record: logging.LogRecord, sanitiser: Sanitiser) -> dict[str, Any]:
    """Return the line that a subclass makes of a record, as a dict of plain values.

    ``convert_record`` sees the values as they were logged, as upstream's does. What it returns
    goes through the processors and is cleaned. If it raises, the line has the envelope, the
    message and a note: any other field may be one that it was there to hide.

    Raises:
        Dropped: A processor drops the event; its ``fields`` are the whole line.
    """
    gathered = Sanitiser(formatter.json_default)
    maker = _maker(formatter, record)
    token = _converting.set(_Conversion(formatter, record, gathered, is_raw=True))
    try:
        document: Any = formatter.convert_record(record)
        if not issubclass(type(document), dict):
            raise TypeError("convert_record returned no dict")
    except BaseException as error:
        sanitiser.add_reason(f"convert_record raised {type_name(type(error))}")
        sanitiser.defer_interrupt(error)
        fields = formatter.renamed(_message_alone(formatter, record, gathered))
        document = maker.envelope(*envelope_of(record), fields, gathered, is_raw=True)
    finally:
        _converting.reset(token)
    if gathered.interrupt is not None:
        sanitiser.defer_interrupt(gathered.interrupt)
    try:
        processed = _processed(formatter, record, document, sanitiser)
    except EventDropped as dropped:
        dropped.fields = maker.conversion(dropped.fields, sanitiser)
        raise
    return maker.conversion(processed, sanitiser)


def _maker(formatter: Hooks, record: logging.LogRecord) -> LineEncoder:
    return formatter.line_maker(given_name(record) or formatter.logger_name)


def _message_alone(formatter: Hooks, record: Any, sanitiser: Sanitiser) -> dict[str, Any]:
    """Return the message of a record as the one field, where it has no fields in it."""
    try:
        call_fields: Any = (
            record.call_fields if type(record) is EventRecord else message(record, sanitiser)
        )
        text = dict.get(call_fields, "msg") if issubclass(type(call_fields), dict) else call_fields
    except Exception:
        return {}
    if type(text) is not str or not text:
        return {}
    has_fields = _json_test(formatter, sanitiser)(text) and (
        # Nor has anything hidden what is in a text that is not parsed.
        exceeds_bounds(text) or json_object(text) is not None
    )
    return {} if has_fields else {"msg": text}


def _processed(
    formatter: Hooks, record: Any, document: dict[Any, Any], sanitiser: Sanitiser
) -> dict[Any, Any]:
    """Return a whole line as processors leave it.

    They see its Fields under their names before they were renamed; ``Redact`` sees the other
    members of the line as well.
    """
    if not formatter.processors or is_processed(record):
        return document
    if not _has_imports:
        _import_for_processors()
    from mozlog_py.redaction import Redact

    given: Any = dict.get(document, "Fields")
    is_whole = issubclass(type(given), dict)
    others = {name: each for name, each in dict.items(document) if name != "Fields" or not is_whole}
    interrupts: list[BaseException] = []
    for processor in formatter.processors:
        if isinstance(processor, Redact):
            others = processor.redacted(others, interrupts)
    for error in interrupts:
        sanitiser.defer_interrupt(error)
    if not is_whole:
        return others
    former = {new: old for old, new in formatter.rename_fields.items() if old not in given}
    fields = {former.get(name, name): each for name, each in dict.items(given)}

    def with_fields(fields: dict[Any, Any]) -> dict[Any, Any]:
        # Where they stood before.
        renamed = formatter.renamed(fields)
        return {name: others.get(name, renamed) for name in dict.keys(document)}

    try:
        return with_fields(processed_fields(formatter.processors, record, fields, sanitiser))
    except EventDropped as dropped:
        dropped.fields = with_fields(dropped.fields)
        raise


def is_processed(record: Any) -> bool:
    """Return whether a record is an event that a chain of processors has completed."""
    return type(record) is EventRecord and record.is_complete


class _Conversion(NamedTuple):
    """The record that a formatter converts, and how."""

    formatter: Any
    record: Any
    sanitiser: Sanitiser
    #: Whether its Fields go through the processors later.
    is_raw: bool


# A subclass calls convert_record of its base class, and cannot hand an interrupt on.
_converting: Final[ContextVar[_Conversion | None]] = ContextVar("mozlog_converting", default=None)


def is_converting(formatter: Hooks, record: logging.LogRecord) -> bool:
    """Return whether a formatter's ``convert_record`` is called for a record, for its line."""
    conversion = _converting.get()
    return (
        conversion is not None
        and conversion.is_raw
        and conversion.formatter is formatter
        and conversion.record is record
    )


def conversion_sanitiser(formatter: Hooks, record: logging.LogRecord) -> Sanitiser:
    """Return the sanitiser for ``convert_record``: its renderer's, which looks at it afterwards."""
    conversion = _converting.get()
    if conversion is not None and conversion.formatter is formatter and conversion.record is record:
        return conversion.sanitiser
    return Sanitiser(formatter.json_default)


def _line(
    formatter: Hooks,
    maker: LineEncoder,
    record: logging.LogRecord,
    sanitiser: Sanitiser,
) -> bytes:
    try:
        fields = collect_fields(formatter, record, sanitiser)
    except EventDropped as dropped:
        would_be = dropped.fields
        dropped.line = lambda: maker.line(*envelope_of(record), would_be, sanitiser)
        raise
    except Exception as error:
        sanitiser.add_reason(f"record not readable: {type_name(type(error))}")
        try:
            # What processors have not seen may be what they are there to hide.
            fields = {} if formatter.processors else merge({}, call_fields(record, sanitiser))
        except Exception:
            fields = {}
    return maker.line(*envelope_of(record), fields, sanitiser)


def collect_fields(
    formatter: Hooks, record: logging.LogRecord, sanitiser: Sanitiser
) -> dict[str, Any]:
    """Give a record's Fields, as the formatter's options and hooks want them."""
    is_raw = is_converting(formatter, record)
    record = _as_read(_unwrapped(formatter, record, sanitiser), sanitiser)
    message_dict = call_fields(record, sanitiser, _json_test(formatter, sanitiser))
    _apply_format_hooks(formatter, record, message_dict, sanitiser)
    if formatter.timestamp:
        name = formatter.timestamp if isinstance(formatter.timestamp, str) else "Time"
        message_dict[name] = _rfc3339(timestamp_ns(record))
    log_data: dict[str, Any] = {}
    # Processors are run far below, where what they raise cannot be handed up.
    conversion = _Conversion(formatter, record, sanitiser, is_raw)
    token = _converting.set(conversion) if formatter.processors else None
    try:
        formatter.add_fields(log_data, record, message_dict)
        processed = formatter.process_log_record(log_data)
        # A hook that changes what it was given often forgets to return it.
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
    """Give a record that structlog's ``wrap_for_formatter`` made as the event that is in it."""
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
    """Return a server's record as its line shows it, and any other one as it is."""
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


def given_name(record: Any) -> str | None:
    """Give the logger name that a handler of ours has left on a record."""
    name = getattr(record, "logger_name", None)
    return name if type(name) is LoggerName else None


def envelope_of(record: Any) -> tuple[int, Any, Any, Any]:
    """Give a record's time (nanoseconds), logger, level and process, whatever they are."""
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


def prefixed(prefix: bytes, render: Renderer, max_bytes: int = 0) -> Renderer:
    """Return a renderer whose lines begin with ``prefix``.

    Args:
        prefix: Stands in front of every line.
        render: Renders the lines.
        max_bytes: What a line may take with its prefix; 0 for no limit. The sink cannot cut
            it: with a prefix it is no JSON.
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

    return with_prefix


def _import_for_processors() -> None:
    global _has_imports
    with fork_safe_import():
        import structlog  # noqa: F401

        import mozlog_py.processors
        import mozlog_py.redaction  # noqa: F401
    _has_imports = True


def processed_fields(
    processors: Sequence[Callable[[Any, str, Any], Any]],
    record: logging.LogRecord,
    fields: dict[Any, Any],
    sanitiser: Sanitiser,
) -> dict[Any, Any]:
    """Give Fields as processors leave them, which see them as an event dict.

    Raises ``EventDropped`` where one of them drops the event.
    """
    # Half of a second's import, for those who have processors.
    if not _has_imports:
        _import_for_processors()
    import structlog

    from mozlog_py.processors import guarded

    # The message keeps its place, in front of an exception, and its name is taken.
    names = {"msg": "event", "event": unique_key("extra.event", fields)}
    event_dict: Any = {names.get(name, name): value for name, value in fields.items()}
    event_dict.update(_record=record, _from_structlog=False)
    event_dict.setdefault("event", "")
    taken = {name: fields[name] for name in _ENVELOPE_KEYS if name in fields}
    interrupts: list[BaseException] = []
    method_name = str(getattr(record, "levelname", "info")).lower()
    is_dropped = False
    for processor in processors:
        try:
            event_dict = guarded(
                (processor,), None, method_name, event_dict, interrupts, processors
            )
        except structlog.DropEvent:
            # Whoever can drop nothing writes it all the same, as the others leave it.
            is_dropped = True
    for error in interrupts:
        sanitiser.defer_interrupt(error)
    message = event_dict.get("event", "")
    is_empty = message is None or (type(message) is str and not message)
    is_mapping = issubclass(type(message), dict)
    out: dict[Any, Any] = {}
    for name, value in event_dict.items():
        if name == "event":
            if not is_empty and not is_mapping:
                out["msg"] = message
        elif (
            name not in _PASSED
            and (name not in _ENVELOPE_KEYS or name in taken)
            and (name != "msg" or name not in out)
        ):
            out[name] = value
    if type(stamp := event_dict.get("timestamp")) is str and "timestamp" not in taken:
        out.setdefault("Time", stamp)
    if is_mapping:
        out.update(dict.copy(message))
    if is_dropped:
        raise EventDropped(out)
    return out


def interrupted_in(careful: Renderer) -> Callable[[logging.LogRecord, BaseException], bytes]:
    """Give what takes a record in the middle of which an interrupt came."""

    def interrupted(record: logging.LogRecord, error: BaseException) -> bytes:
        if isinstance(error, RaiseAfterWrite):
            raise error
        # Whether it came from a value or from outside: the record first.
        raise RaiseAfterWrite(careful(record), error, from_value=False) from None

    return interrupted


def text_ways(careful: Renderer) -> Fallbacks[str]:
    """Give the same ways in text, for whoever calls ``format`` and cannot raise later."""
    interrupted = interrupted_in(careful)

    def in_text(record: logging.LogRecord, error: BaseException | None = None) -> str:
        try:
            return (careful(record) if error is None else interrupted(record, error)).decode()
        except EventDropped as dropped:
            return dropped.line().decode()
        except RaiseAfterWrite as saved:
            return line_of(saved).decode()

    return Fallbacks(in_text, in_text, is_text=True)


def line_of(interrupted: RaiseAfterWrite) -> bytes:
    """Give the line, where the interrupt was a value's own; raise what came from outside."""
    if interrupted.from_value:
        return interrupted.line
    raise interrupted.cause from None
