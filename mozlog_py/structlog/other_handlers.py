"""Events for other handlers of ``logging``, and for error reporters.

The sink writes a line without a record. Other handlers need one: an event is passed to them as a
record where they would get a record of the logger with the same name, or where an error reporter
has replaced ``Logger.callHandlers``.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from types import FrameType
from typing import Any, Final

from mozlog_py._fields.from_record import RECORD_METHODS, LoggerName
from mozlog_py._process.self_log import note
from mozlog_py._process.unpatched import unpatched_method
from mozlog_py._values.class_lookup import type_name
from mozlog_py._values.sanitiser import unique_key
from mozlog_py._values.tracebacks import as_exc_info

from .logging_changes import changes

__all__ = ["ABOVE_ALL_LEVELS", "OtherHandlers", "Recipients", "nearest_logger"]

#: A level that no event has.
ABOVE_ALL_LEVELS: Final = sys.maxsize

# A record has other attributes for these keys of an event dict.
_NOT_ATTRIBUTES: Final = frozenset(
    {"_from_structlog", "_logger", "_name", "_record", "event", "exc_info", "level_number",
     "positional_args", "stack_info"}
)  # fmt: skip
# Handlers and formatters set the first two on a record.
_RESERVED: Final = frozenset({"asctime", "message"}) | RECORD_METHODS
_PACKAGES: Final = ("mozlog_py", "structlog")

# Whether a handler is being called. An event that it logs itself must not get back to it.
_is_handing_over: Final[ContextVar[bool]] = ContextVar("mozlog_handing_over", default=False)
_null_handler: Final = logging.NullHandler()


def nearest_logger(name: Any) -> logging.Logger:
    """Return the existing logger of a name, or else the nearest one above it.

    It creates none: names may come from data, and ``logging`` never removes a logger.
    """
    root = logging.root
    while isinstance(name, str) and name:
        namesake = root.manager.loggerDict.get(name)
        if isinstance(namesake, logging.Logger):
            return namesake
        name = name.rpartition(".")[0]
    return root


class OtherHandlers:
    """The handlers that get events beside the sink.

    Args:
        sink: The sink. A handler that writes to it needs no record.
        from_level: The lowest level of the events that other handlers get. None means each
            handler's own level, and ERROR where only ``Logger.callHandlers`` was replaced. An
            agent that has wrapped the loggers of structlog as well gets all levels.
        logger_name: The application.
    """

    __slots__ = ("_from_level", "_logger_name", "_sink")

    def __init__(
        self, sink: Any, from_level: int | None = None, logger_name: str = "Dockerflow"
    ) -> None:
        self._sink = sink
        self._from_level = from_level
        self._logger_name = logger_name

    def lowest_level(self, name: Any) -> int:
        """Return a level below which no other handler takes an event of a logger.

        The result is ``ABOVE_ALL_LEVELS`` if there is no other handler. ``changes`` calls its
        subscribers when the result may be wrong.

        Args:
            name: The logger's name.
        """
        lowest = ABOVE_ALL_LEVELS
        logger: logging.Logger | None = nearest_logger(name)
        while logger is not None:
            changes.remember_handlers(logger)
            for handler in logger.handlers:
                if self._is_other(handler):
                    lowest = min(lowest, _level_of(handler))
            # Also beyond a logger that does not propagate: that may change without a notice.
            logger = logger.parent
        if _is_replaced(changes.call_handlers):
            lowest = min(lowest, self._reporting_level)
        return lowest if self._from_level is None else max(lowest, self._from_level)

    def recipients(self, name: Any, level: int) -> Recipients | None:
        """Return the handlers that take an event now; None for none.

        Args:
            name: The event's logger.
            level: The event's level.
        """
        if _is_handing_over.get() or (self._from_level is not None and level < self._from_level):
            return None
        handlers: list[logging.Handler] = []
        nearest = logger = nearest_logger(name)
        for logger in _propagating(nearest):
            for handler in logger.handlers:
                if (
                    self._is_other(handler)
                    and _level_of(handler) <= level
                    # pytest adds one handler to several loggers above each other.
                    and not any(handler is other for other in handlers)
                ):
                    handlers.append(handler)
        is_reported = _is_replaced(changes.members.get("callHandlers")) and bool(
            handlers or level >= self._reporting_level
        )
        if not handlers and not is_reported:
            return None
        namesake = nearest if nearest.name == name else None
        if namesake is not None and namesake.disabled:
            return None
        return Recipients(namesake, level, handlers, self.mark_written, is_reported=is_reported)

    def mark_written(self, record: logging.LogRecord) -> None:
        """Set on the record of an event which stream has its line.

        A queue or a handler of another class may pass the record to a ``MozlogHandler`` on the
        same stream. That one writes no second line. No formatter of ours shows the mark.
        """
        attributes = vars(record)
        given = attributes.get("logger_name")
        if given is None or type(given) is str:
            name = LoggerName(self._logger_name if given is None else given)
            name.given, name.written_to = given, self._sink.stream
            name.is_of_handler = False
            attributes["logger_name"] = name

    @property
    def _reporting_level(self) -> int:
        if self._from_level is not None:
            return self._from_level
        # Such an agent collects the events of all levels, as New Relic's does.
        return logging.NOTSET if changes.has_agent_for_events() else logging.ERROR

    def _is_other(self, handler: Any) -> bool:
        """Return whether a handler writes elsewhere than the sink."""
        if isinstance(handler, logging.NullHandler):
            return False
        try:
            if getattr(handler, "has_events", False):
                return False
            # A MemoryHandler passes records to its target.
            return not any(map(self._writes_to_sink, (handler, getattr(handler, "target", None))))
        except Exception:
            # An attribute of the handler has raised.
            return True

    def _writes_to_sink(self, handler: Any) -> bool:
        if getattr(handler, "sink", None) is self._sink:
            return True
        # Not by class: dictConfig() may have replaced our handler by one on the same stream.
        stream = getattr(handler, "stream", None)
        return stream is not None and _stream_identity(stream) == _stream_identity(
            self._sink.stream
        )


class Recipients:
    """The handlers that get one event: its record is made first, and sent after the line.

    Args:
        namesake: The logger of ``logging`` with the event's name, if there is one.
        level: The event's level.
        handlers: The handlers that take the event.
        mark_written: Marks the record for handlers that pass it on, after the line is written.
        is_reported: Whether ``Logger.callHandlers`` is replaced, and called as well.
    """

    __slots__ = (
        "_handlers", "_is_reported", "_level", "_mark_written", "_namesake", "_record"
    )  # fmt: skip

    def __init__(
        self,
        namesake: logging.Logger | None,
        level: int,
        handlers: list[logging.Handler],
        mark_written: Callable[[logging.LogRecord], None],
        *,
        is_reported: bool,
    ) -> None:
        self._namesake = namesake
        self._level = level
        self._handlers = handlers
        self._mark_written = mark_written
        self._is_reported = is_reported
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
        """Create the record of an event, in the frame and context of the call. Never raises.

        Args:
            name: The event's logger.
            surroundings: Returns the static fields and the context.
            event_dict: The event after the processors.
            template: The message of the call.
            args: The arguments of the message.
            formatted: The message with its arguments. If the event has it still, the record gets
                ``template`` and ``args``.
        """
        try:
            maker = logging.root if self._namesake is None else self._namesake
            fields = {**surroundings(), **event_dict}
            self._record = _record_of(maker, name, self._level, fields, template, args, formatted)
        except Exception as error:
            note(f"no record of an event for other handlers: {type_name(type(error))}")

    def drop_record(self) -> None:
        """Remove the record, since a processor has dropped the event."""
        self._record = None

    def send(self) -> None:
        """Pass the record to the handlers. Raises no ``Exception``."""
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
            if self._handlers:
                self._mark_written(record)
            for handler in self._handlers:
                _call(handler.handle, record)
            if self._is_reported:
                # The handlers have the record already, so the reporter gets a logger without
                # them. A logger with no handler at all would write to stderr.
                without_handlers = logging.Logger(record.name)  # noqa: LOG001 - not registered
                without_handlers.handlers = [_null_handler]
                # As ``logging`` calls it: the class may have any kind of descriptor there.
                _call(without_handlers.callHandlers, record)
        except Exception as error:
            _note_failure(error)
        finally:
            _is_handing_over.reset(token)


def _stream_identity(stream: Any) -> Any:
    """Return a value that is equal for streams that are identical or have the same path."""
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
    """Return an iterator of a logger and those above it that get its records."""
    each: logging.Logger | None = logger
    while each is not None:
        yield each
        each = each.parent if each.propagate else None


def _level_of(handler: Any) -> int:
    level = getattr(handler, "level", 0)
    return level if isinstance(level, int) else 0


def _is_replaced(call_handlers: Any) -> bool:
    """Return whether the ``callHandlers`` of loggers is not the one of ``logging``."""
    return unpatched_method(call_handlers) is None


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
        # Error reporters group events by the message without its arguments.
        message = template
    else:
        args = ()
    field = fields.get("logger")
    if type(field) is str and field:
        name = field
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
        # Tracers replace this method, and applications set a record factory.
        record = maker.makeRecord(*arguments, func=function, sinfo=sinfo)
    except Exception:
        record = logging.LogRecord(*arguments, func=function, sinfo=sinfo)
    _add_fields(record, fields)
    return record


def _exc_info(value: Any) -> Any:
    try:
        return as_exc_info(value) if value else None
    except Exception:
        return None


def _add_fields(record: logging.LogRecord, fields: Mapping[Any, Any]) -> None:
    """Set the fields of an event on its record, and replace none of the record's attributes."""
    attributes = vars(record)
    for key, value in fields.items():
        if key in _NOT_ATTRIBUTES:
            continue
        name = key if type(key) is str else str(key)
        if name in attributes or name in _RESERVED:
            name = unique_key(f"extra.{name}", attributes)
        attributes[name] = value


def _caller() -> FrameType | None:
    """Return the frame that has logged: the first outside of this package and structlog."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - as logging does it
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in _PACKAGES:
            return frame
        frame = frame.f_back
    return None
