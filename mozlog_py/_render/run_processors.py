"""Runs processors on the Fields of a record, as an event dict of structlog."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mozlog_py._line.line_encoder import EventDropped
from mozlog_py._process.fork_safe_import import fork_safe_import
from mozlog_py._values.dict_items import thawed
from mozlog_py._values.sanitiser import Sanitiser, unique_key
from mozlog_py._values.tracebacks import as_exc_info

if TYPE_CHECKING:
    from mozlog_py._redaction.mask import AnyMask
    from mozlog_py.redaction import Redact

__all__ = ["ProcessorImports", "import_for_processors", "processed_fields"]

# Keys of the event dict beside the fields, and keys that processors add for a renderer.
_PASSED: Final = frozenset({"_from_structlog", "_record", "event"})
_PASSED_WITH_EXCEPTION: Final = _PASSED | {"exc_info"}
_PASSED_WITH_RENDERED: Final = _PASSED_WITH_EXCEPTION | {"exception"}


class ProcessorImports(NamedTuple):
    """What records with processors need of modules that take long to import."""

    DropEvent: type[BaseException]
    Redact: type[Redact]
    guarded: Callable[..., Any]
    mask_of_processors: Callable[[Sequence[Any]], AnyMask | None]


# Kept, since no module can be imported at the end of the interpreter, when objects still log in
# ``__del__``.
_imports: ProcessorImports | None = None
_ENVELOPE_KEYS: Final = frozenset({"level", "level_number", "logger", "timestamp"})


def import_for_processors() -> ProcessorImports:
    """Import once what processors need, without a fork in between, and return it.

    A formatter calls this when it gets processors.
    """
    global _imports
    if _imports is None:
        # Not at the top of this module: structlog takes long to import.
        with fork_safe_import():
            from structlog import DropEvent

            from mozlog_py.processors import guarded
            from mozlog_py.redaction import Redact, mask_of_processors
        _imports = ProcessorImports(DropEvent, Redact, guarded, mask_of_processors)
    return _imports


def processed_fields(
    processors: Sequence[Callable[[Any, str, Any], Any]],
    record: logging.LogRecord,
    fields: dict[Any, Any],
    sanitiser: Sanitiser,
) -> dict[Any, Any]:
    """Return Fields after the processors have run, which see them as an event dict.

    Args:
        processors: The processors, in their order.
        record: The record, ``_record`` in the event dict.
        fields: The Fields.
        sanitiser: Keeps an interrupt that a processor raises.

    Raises:
        EventDropped: A processor drops the event.
    """
    imports = import_for_processors()
    exc_info = _exc_info_of(record, fields)
    names = _names_in_event(fields, has_exception=exc_info is not None)
    event_dict = _event_dict_of(record, fields, names, exc_info)
    interrupts: list[BaseException] = []
    method_name = str(getattr(record, "levelname", "info")).lower()
    is_dropped = False
    for processor in processors:
        try:
            event_dict = imports.guarded(
                (processor,), None, method_name, event_dict, interrupts, processors
            )
        except imports.DropEvent:
            # The other processors still run: a plain handler writes the line in any case.
            is_dropped = True
    for error in interrupts:
        sanitiser.defer_interrupt(error)
    out = _fields_of(event_dict, fields, names, has_exception=exc_info is not None)
    if is_dropped:
        raise EventDropped(out)
    return out


def _fields_of(
    event_dict: dict[Any, Any],
    fields: dict[Any, Any],
    names: dict[str, str],
    *,
    has_exception: bool,
) -> dict[Any, Any]:
    """Return the Fields of an event dict that processors have changed.

    Args:
        event_dict: What the processors have returned.
        fields: The Fields from which it was made.
        names: As from ``_names_in_event``.
        has_exception: Whether processors have seen an exception as ``exc_info``.
    """
    # Under other names of the envelope's stands what processors have added for a renderer.
    taken = {name for name in _ENVELOPE_KEYS if name in fields}
    message = thawed(event_dict.get("event", ""))
    is_empty = message is None or (type(message) is str and not message)
    is_mapping = issubclass(type(message), dict)
    passed, rendered = _PASSED, None
    if has_exception:
        rendered = _rendered_exception(event_dict)
        passed = _PASSED_WITH_EXCEPTION if rendered is None else _PASSED_WITH_RENDERED
    own_exception = names.get("exception") if rendered is None else None
    out: dict[Any, Any] = {}
    for name, value in event_dict.items():
        if type(name) is not str:
            out[name] = value
        elif name == "event":
            if not is_empty and not is_mapping:
                out["msg"] = message
        elif name == own_exception:
            out["exception"] = value
        elif (
            name not in passed
            and (name not in _ENVELOPE_KEYS or name in taken)
            and (name != "msg" or name not in out)
        ):
            out[name] = value
    if type(stamp := event_dict.get("timestamp")) is str and "timestamp" not in taken:
        out.setdefault("Time", stamp)
    if rendered is not None and event_dict.get("traceback") is fields["traceback"]:
        # No processor has hidden or replaced the text.
        out["traceback"] = rendered
    if is_mapping:
        out.update(dict.copy(message))
    return out


def _event_dict_of(
    record: logging.LogRecord, fields: dict[Any, Any], names: dict[str, str], exc_info: Any
) -> Any:
    """Return the event dict of a record, as structlog's ``ProcessorFormatter`` has it."""
    # Only texts are compared: the name of a field may raise when it is compared with one, and bytes
    # do so if Python runs with -bb.
    event_dict: Any = {
        names.get(name, name) if type(name) is str else name: value
        for name, value in fields.items()
    }
    event_dict.update(_record=record, _from_structlog=False)
    event_dict.setdefault("event", "")
    if exc_info is not None:
        event_dict["exc_info"] = exc_info
    return event_dict


def _names_in_event(fields: dict[Any, Any], *, has_exception: bool) -> dict[str, str]:
    """Return the names in an event dict of the fields that have another one there."""
    # The message keeps its position, and a field named "event" gets another name.
    names = {"msg": "event", "event": unique_key("extra.event", fields)}
    if has_exception and "exception" in fields:
        # The name of what a processor makes of the exception.
        names["exception"] = unique_key("extra.exception", fields)
    return names


def _exc_info_of(record: logging.LogRecord, fields: dict[Any, Any]) -> Any:
    """Return the exception of a record for its event dict, as structlog's events have it.

    None if the Fields do not show it: a processor that renders it would show it again. None if
    another value has its name.
    """
    if "traceback" not in fields or "exc_info" in fields:
        return None
    try:
        return as_exc_info(record.exc_info)
    except Exception:
        return None


def _rendered_exception(event_dict: dict[Any, Any]) -> Any:
    """Return what a processor has made of ``exc_info``, as ``dict_tracebacks`` does; else None.

    The Fields have the exception as text already. It stays where a processor only removes
    ``exc_info``: many do so for a renderer that cannot show it.
    """
    left = event_dict.get("exc_info")
    if left is not None and left is not False:
        return None
    exception = event_dict.get("exception")
    return None if exception is False else exception
