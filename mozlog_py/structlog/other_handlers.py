"""Events for what else listens to ``logging``: handlers beside ours, and error reporters.

A line of ours is written by the sink itself, and no record is made for it. So where
other handlers would hear a record of the logger of the same name, or where an error
reporter has replaced ``Logger.callHandlers``, the event is handed to them as a record.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from types import CodeType, FrameType, FunctionType
from typing import Any, Final

from mozlog_py._process.self_log import note
from mozlog_py._values.sanitiser import type_name, unique_key
from mozlog_py._values.tracebacks import as_exc_info

from .logging_changes import changes

__all__ = ["ABOVE_ALL_LEVELS", "OtherHandlers", "Recipients", "nearest_logger"]

#: Above all levels.
ABOVE_ALL_LEVELS: Final = sys.maxsize

# What an event dict says under these names has a place of its own in a record.
_NOT_ATTRIBUTES: Final = frozenset(
    {"_from_structlog", "_logger", "_name", "_record", "event", "exc_info", "level_number",
     "positional_args", "stack_info"}
)  # fmt: skip
# Handlers and formatters set these on a record.
_RESERVED: Final = frozenset({"asctime", "message"})
_PACKAGES: Final = ("mozlog_py", "structlog")

# Whether a handler is being called: what it logs itself must not get back to it.
_is_handing_over: Final[ContextVar[bool]] = ContextVar("mozlog_handing_over", default=False)
_null_handler: Final = logging.NullHandler()


def nearest_logger(name: Any) -> logging.Logger:
    """Return the existing logger of a name, or else the nearest one above it.

    Creates none: names may be made from data, and loggers stay for ever.
    """
    root = logging.root
    while isinstance(name, str) and name:
        namesake = root.manager.loggerDict.get(name)
        if isinstance(namesake, logging.Logger):
            return namesake
        name = name.rpartition(".")[0]
    return root


class OtherHandlers:
    """What listens beside the sink that events are written to.

    Args:
        sink: The sink. Handlers that write to it have the line already.
        from_level: The lowest level of the events that others get; None for the level that
            each handler takes, and ERROR where only ``Logger.callHandlers`` was replaced.
    """

    __slots__ = ("_from_level", "_sink")

    def __init__(self, sink: Any, from_level: int | None = None) -> None:
        self._sink = sink
        self._from_level = from_level

    def lowest_level(self, name: Any) -> int:
        """Return a level below which no event of a logger interests others.

        ``ABOVE_ALL_LEVELS`` if nothing listens. ``changes`` announces it when that may be wrong.
        """
        lowest = ABOVE_ALL_LEVELS
        logger: logging.Logger | None = nearest_logger(name)
        while logger is not None:
            changes.remember_handlers(logger)
            for handler in logger.handlers:
                if self._is_other(handler):
                    lowest = min(lowest, _level_of(handler))
            # Also above one that does not propagate: that may be set at any time.
            logger = logger.parent
        if _is_replaced(changes.call_handlers):
            lowest = min(lowest, self._reporting_level)
        return lowest if self._from_level is None else max(lowest, self._from_level)

    def recipients(self, name: Any, level: int) -> Recipients | None:
        """Return what listens to events of one logger and level, now; None for nothing."""
        if _is_handing_over.get() or (self._from_level is not None and level < self._from_level):
            return None
        handlers: list[logging.Handler] = []
        nearest = logger = nearest_logger(name)
        for logger in _propagating(nearest):
            for handler in logger.handlers:
                if (
                    self._is_other(handler)
                    and _level_of(handler) <= level
                    # pytest adds one handler to several loggers of a chain.
                    and not any(handler is other for other in handlers)
                ):
                    handlers.append(handler)
        call_handlers = logging.Logger.callHandlers
        is_reported = _is_replaced(call_handlers) and (handlers or level >= self._reporting_level)
        if not handlers and not is_reported:
            return None
        namesake = nearest if nearest.name == name else None
        if namesake is not None and namesake.disabled:
            return None
        return Recipients(namesake, level, handlers, call_handlers if is_reported else None)

    @property
    def _reporting_level(self) -> int:
        return logging.ERROR if self._from_level is None else self._from_level

    def _is_other(self, handler: Any) -> bool:
        """Return whether a handler does not have the line already."""
        if isinstance(handler, logging.NullHandler):
            return False
        try:
            if getattr(handler, "has_events", False):
                return False
            # A MemoryHandler hands on to its target.
            return not any(map(self._writes_to_sink, (handler, getattr(handler, "target", None))))
        except Exception:
            # An attribute of its own kind.
            return True

    def _writes_to_sink(self, handler: Any) -> bool:
        # A later dictConfig() may have put another handler in the place of ours.
        stream = getattr(handler, "stream", None)
        return stream is not None and _stream_identity(stream) == _stream_identity(
            self._sink.stream
        )


class Recipients:
    """What gets one event: first the record of it is made, and when the line is written it is sent.

    Args:
        namesake: The logger of ``logging`` with the event's name, if there is one.
        level: The event's level.
        handlers: The handlers that take it.
        call_handlers: A replaced ``Logger.callHandlers``, to be called as well.
    """

    __slots__ = ("_call_handlers", "_handlers", "_level", "_namesake", "_record")

    def __init__(
        self,
        namesake: logging.Logger | None,
        level: int,
        handlers: list[logging.Handler],
        call_handlers: Callable[..., Any] | None,
    ) -> None:
        self._namesake = namesake
        self._level = level
        self._handlers = handlers
        self._call_handlers = call_handlers
        self._record: Any = None

    def make_record(
        self,
        name: str,
        surroundings: Callable[[], dict[str, Any]],
        event_dict: Any,
        template: Any,
        args: tuple[Any, ...],
        formatted: Any,
    ) -> None:
        """Make the record of an event, in the frame and context of the call. Never raises.

        Args:
            name: The event's logger.
            surroundings: Returns what the line has beside the event.
            event_dict: The event, as processors have left it.
            template: The message of the call.
            args: Its arguments.
            formatted: Both together, which processors may have replaced.
        """
        try:
            maker = logging.root if self._namesake is None else self._namesake
            fields = {**surroundings(), **event_dict}
            self._record = _record_of(maker, name, self._level, fields, template, args, formatted)
        except Exception as error:
            note(f"an event was not made a record for other handlers: {type_name(type(error))}")

    def drop_record(self) -> None:
        """Send nothing: the event was dropped."""
        self._record = None

    def send(self) -> None:
        """Hand the record to everything that listens. Raises no ``Exception``."""
        record = self._record
        if record is None:
            return
        token = _is_handing_over.set(True)
        try:
            if self._namesake is not None:
                passed: Any = self._namesake.filter(record)
                if not passed:
                    return
                if isinstance(passed, logging.LogRecord):
                    record = passed
            for handler in self._handlers:
                _call(handler.handle, record)
            if self._call_handlers is not None:
                # The handlers have it by now; and a logger without any writes to stderr.
                stand_in = logging.Logger(record.name)  # noqa: LOG001 - it must not stay
                stand_in.handlers = [_null_handler]
                _call(self._call_handlers, stand_in, record)
        except Exception as error:
            _note_failure(error)
        finally:
            _is_handing_over.reset(token)


def _stream_identity(stream: Any) -> Any:
    """Return what is equal for streams that are the same, or lead to the same path."""
    path = getattr(stream, "path", None)
    return os.path.realpath(path) if type(path) is str else id(stream)


def _call(function: Callable[..., Any], *arguments: Any) -> None:
    try:
        function(*arguments)
    except Exception as error:
        _note_failure(error)


def _note_failure(error: Exception) -> None:
    note(f"another handler did not take an event: {type_name(type(error))}")


def _propagating(logger: logging.Logger) -> Iterator[logging.Logger]:
    """Iterate over a logger and those above it that get its records."""
    each: logging.Logger | None = logger
    while each is not None:
        yield each
        each = each.parent if each.propagate else None


def _level_of(handler: Any) -> int:
    level = getattr(handler, "level", 0)
    return level if isinstance(level, int) else 0


def _is_replaced(call_handlers: Any) -> bool:
    """Return whether ``Logger.callHandlers`` is not the one of ``logging``."""
    if type(call_handlers) is not FunctionType:
        return True
    code: CodeType = call_handlers.__code__
    own: CodeType = logging.getLogger.__code__
    return code.co_filename != own.co_filename


def _record_of(
    maker: logging.Logger,
    name: str,
    level: int,
    fields: dict[Any, Any],
    template: Any,
    args: tuple[Any, ...],
    formatted: Any,
) -> logging.LogRecord:
    message = fields.get("event")
    if message is formatted:
        # Error reporters group by the text without its arguments.
        message = template
    else:
        args = ()
    given = fields.get("logger")
    if type(given) is str and given:
        name = given
        del fields["logger"]
    frame = _caller()
    code = None if frame is None else frame.f_code
    stack = fields.get("stack_info")
    if stack is True:
        lines = traceback.format_stack(frame)
        stack = "Stack (most recent call last):\n" + "".join(lines).rstrip("\n")
    arguments = (
        name,
        level,
        "(unknown file)" if code is None else code.co_filename,
        0 if frame is None else frame.f_lineno,
        "" if message is None else message,
        args,
        _exc_info(fields.get("exc_info")),
    )
    function = None if code is None else code.co_name
    sinfo = stack if type(stack) is str else None
    try:
        # Tracers replace this method; others set a factory.
        record = maker.makeRecord(*arguments, func=function, sinfo=sinfo)
    except Exception:
        record = logging.LogRecord(*arguments, func=function, sinfo=sinfo)
    _add_fields(record, fields)
    return record


def _exc_info(given: Any) -> Any:
    try:
        return as_exc_info(given) if given else None
    except Exception:
        return None


def _add_fields(record: logging.LogRecord, fields: Mapping[Any, Any]) -> None:
    """Add the fields of an event to its record, and replace none of the record's own."""
    attributes = vars(record)
    for key, value in fields.items():
        if key in _NOT_ATTRIBUTES:
            continue
        name = key if type(key) is str else str(key)
        if name in attributes or name in _RESERVED:
            name = unique_key(f"extra.{name}", attributes)
        attributes[name] = value


def _caller() -> FrameType | None:
    """Return the frame that has logged: the first one that is neither ours nor structlog's."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - as logging does it
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in _PACKAGES:
            return frame
        frame = frame.f_back
    return None
