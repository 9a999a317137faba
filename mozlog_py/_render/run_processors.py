"""Runs processors on the Fields of a record, as an event dict of structlog."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from mozlog_py._line.line_encoder import EventDropped
from mozlog_py._process.fork_safe_import import fork_safe_import
from mozlog_py._values.dict_items import thawed
from mozlog_py._values.sanitiser import Sanitiser, unique_key

__all__ = ["import_for_processors", "processed_fields"]

# Keys of the event dict beside the fields, and keys that processors add for a renderer.
_PASSED: Final = frozenset({"_from_structlog", "_record", "event"})
# Whether the modules that processors need are imported; the first record with processors does it.
_has_imports = False
_ENVELOPE_KEYS: Final = frozenset({"level", "level_number", "logger", "timestamp"})


def import_for_processors() -> None:
    """Import the modules that processors need, once, without a fork in between."""
    global _has_imports
    if _has_imports:
        return
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
    """Return Fields after the processors have run, which see them as an event dict.

    Args:
        processors: The processors, in their order.
        record: The record, ``_record`` in the event dict.
        fields: The Fields.
        sanitiser: Keeps an interrupt that a processor raises.

    Raises:
        EventDropped: A processor drops the event.
    """
    # Imported here: structlog takes long to import, and only processors need it.
    import_for_processors()
    import structlog

    from mozlog_py.processors import guarded

    # The message keeps its position, and a field named "event" gets another name.
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
            # The other processors still run: a plain handler writes the line in any case.
            is_dropped = True
    for error in interrupts:
        sanitiser.defer_interrupt(error)
    message = thawed(event_dict.get("event", ""))
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
