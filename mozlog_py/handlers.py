"""MozlogHandler: a handler of ``logging`` that writes each record as one line."""

from __future__ import annotations

import logging
import os
from typing import Any, Final

from mozlog_py._fields.from_record import LoggerName
from mozlog_py._line.line_encoder import EventDropped, RaiseAfterWrite, last_resort
from mozlog_py._line.truncate import MAX_LINE_BYTES, MIN_LINE_BYTES
from mozlog_py._render.any_record import RENDER_SIGNALS, line_in
from mozlog_py._render.plain_record import Renderer
from mozlog_py._sink.loss_counter import LossReport
from mozlog_py._sink.reopenable_file import ReopenableFile

from ._stdlib import call_extra, record_factory
from .formatter import MozlogFormatter, has_standard_lines, renderer_key
from .sink import Sink
from .typing import Stream

__all__ = ["MozlogHandler"]

# Methods that tests and tracers replace on an instance.
_REPLACEABLE: Final = frozenset({"acquire", "filter", "release"})
# Methods that a line without a record does not call.
_OF_RECORDS: Final = frozenset({"emit", "handle", *_REPLACEABLE})
_NEWLINE: Final = b"\n"


class MozlogHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes each record as one line, in one write.

    A formatter of any kind may be set; the default is ``MozlogFormatter()``. A write that
    fails loses the record. The loss is counted in ``lost``, noted on stderr, and reported in a
    line of its own once writing works. The handler holds no lock while it filters and formats
    a record.

    The first handler of a process installs a faster record factory, which makes the same
    records (``mozlog_py._stdlib.record_factory``), unless another one is set. It also lets
    loggers take an ``extra`` with any names (``mozlog_py._stdlib.call_extra``).

    Args:
        stream: The stream. None follows ``sys.stdout``, also when it is replaced. A path is
            opened for append, and again when the file was moved.
        name: The ``Logger`` of the envelope, which wins over the formatter's.
        max_line_bytes: Longer lines have their longest texts cut; 0 for no limit.
        timeout: Seconds to wait for a reader that has stopped; then the record is lost. None
            waits without a limit.

    Raises:
        OSError: The path cannot be opened.
        OptionError: A limit is invalid, or ``stream`` is a text that may be no path: ``"shop"``
            and ``"stdout"`` are refused, ``"./shop"`` and ``"shop.log"`` are files.
    """

    # Whether the sink and the name are there, which the limits depend on.
    _has_limits = False

    def __init__(
        self,
        stream: Stream | None = None,
        name: str = "Dockerflow",
        *,
        max_line_bytes: int = MAX_LINE_BYTES,
        timeout: float | None = None,
    ) -> None:
        self._has_default_handle = type(self).emit is MozlogHandler.emit
        # A subclass's own ``format`` is called, also for records that the plain renderer takes.
        self._has_default_format = type(self).format is logging.Handler.format
        self._can_skip_record = True
        #: The formatter, if its renderers may be called without its methods; else None.
        self._direct: MozlogFormatter | None = None
        self.terminator = type(self).terminator
        #: Writes the lines; public, since structlog's loggers write to the same stream.
        self.sink = Sink(stream, self._report, max_line_bytes=max_line_bytes, timeout=timeout)
        opened = self.sink.stream if stream is not None else None
        super().__init__(opened)
        # StreamHandler has set stderr for None, which means ``sys.stdout`` here.
        self.sink.stream = opened
        self.logger_name = name
        self._fallback_formatter = MozlogFormatter(logger_name=name)
        self.setFormatter(MozlogFormatter())
        record_factory.install()
        call_extra.install()

    @property
    def logger_name(self) -> str:
        """The ``Logger`` of the envelope."""
        return self._logger_name

    @logger_name.setter
    def logger_name(self, name: str) -> None:
        self._logger_name = LoggerName(name)
        self._plain_name = str(name)
        self._update_limits()

    def _update_limits(self) -> None:
        """Set the bytes that a line may have without its ending, and the key of its renderers."""
        self._has_limits = True
        limit = self.sink.max_line_bytes
        self._max_bytes = max(MIN_LINE_BYTES // 2, limit - len(self._ending)) if limit else 0
        self._key = renderer_key(self._plain_name, self._max_bytes)

    @property
    def stream(self) -> Any:
        """Where lines go: the stream that was set, else the present ``sys.stdout``."""
        return self.sink.stream

    @stream.setter
    def stream(self, stream: Any) -> None:
        self.sink.stream = stream

    def setStream(self, stream: Any) -> Any:  # noqa: N802 - as the base class has it
        """Set the stream, and return the former one; None if it is the same."""
        former = self.sink.own_stream
        if stream is former:
            return None
        self.flush()
        self.sink.stream = stream
        return former

    def reopen(self) -> None:
        """Open the file again before the next line, if the stream is a path."""
        self.sink.reopen()

    @property
    def lost(self) -> int:
        """The number of records that could not be written since the handler was made."""
        return self.sink.lost

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in _OF_RECORDS:
            self._can_skip_record = False
        if name in _REPLACEABLE:
            self._has_default_handle = False
        elif name == "format":
            self._has_default_format = False
            self._direct = None
        elif name == "formatter":
            is_direct = self._has_default_format and has_standard_lines(value)
            self._direct = value if is_direct else None
        elif name == "terminator":
            self._ending = value.encode()
            # Not by vars(): until Python 3.12, attributes take longer once the dict was asked for.
            if self._has_limits:
                self._update_limits()

    def handle(self, record: logging.LogRecord) -> bool | logging.LogRecord:  # type: ignore[override]
        """Write one record, unless a filter of this handler drops it."""
        if not self._has_default_handle:
            return super().handle(record)
        # As the base class, but without its lock: the sink keeps lines apart, and no code of
        # the application runs while other threads wait.
        if self.filters:
            passed: Any = self.filter(record)
            if not passed:
                return False
            if isinstance(passed, logging.LogRecord):
                record = passed
            self.emit(record)
            return passed  # type: ignore[no-any-return]
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record. Raises no ``Exception``; any other is raised after the write."""
        try:
            formatter = self._direct
            if formatter is not None:
                render = formatter.renderers.get(self._key) or self._renderer(formatter)
                line = render(record)
                attrs = record.__dict__
                # After the line: the plain renderer is for records without the attribute.
                attrs["logger_name"] = (
                    self._name_for(record) if "logger_name" in attrs else self._logger_name
                )
            else:
                line = self._render(record)
            line += self._ending
        except EventDropped:
            return
        except BaseException as error:
            self._emit_fallback(record, error)
            return
        if not self.sink.write(line):
            self._call_handle_error(record)

    def line_of_fields(self, type_: str, level: int, fields: dict[str, Any]) -> bytes | None:
        """Return a line made from fields without a record, its newline included.

        Args:
            type_: The logger's name.
            level: The Python level.
            fields: The Fields, in their order.

        Returns:
            None if the line needs a record: for a formatter of another kind, for options that
            read one, and for fields whose values are not plain.
        """
        formatter = self._direct
        if formatter is None or not self._can_skip_record:
            return None
        try:
            render = formatter.fields_renderers[self._key]
        except KeyError:
            render = formatter.fields_renderer(self._plain_name, self._max_bytes)
        line = None if render is None else render(type_, level, fields)
        return None if line is None else line + self._ending

    def _renderer(self, formatter: MozlogFormatter) -> Renderer:
        return formatter.renderer(self._plain_name, self._max_bytes)

    def _emit_fallback(self, record: logging.LogRecord, error: BaseException) -> None:
        """Write a record whose rendering raised ``error``; raise an interrupt after the write."""
        interrupt = None if isinstance(error, Exception) else error
        if isinstance(error, RaiseAfterWrite):
            line, interrupt = error.line, error.cause
        else:
            line = self._fallback_line(record, error)
        if not self._has_line(record) and not self.sink.write(line + self._ending):
            self._call_handle_error(record)
        if interrupt is not None:
            raise interrupt

    def flush(self) -> None:
        """Flush the sink and its stream. Does not raise."""
        self.sink.flush()

    def _render(self, record: logging.LogRecord) -> bytes:
        formatter = self.formatter
        # Foreign formatters read the name from the record.
        record.logger_name = self._name_for(record)
        if isinstance(formatter, MozlogFormatter) and self._formats_by_default(formatter):
            return formatter.renderer(None, self._max_bytes)(record)
        return self.format(record).encode("utf-8", "backslashreplace")

    def _formats_by_default(self, formatter: MozlogFormatter) -> bool:
        return (
            self._has_default_format
            and type(formatter).format is MozlogFormatter.format
            and type(formatter).format_bytes is MozlogFormatter.format_bytes
        )

    def _name_for(self, record: logging.LogRecord) -> LoggerName:
        """Return the name to set on a record.

        Raises:
            EventDropped: The record is that of an event of structlog whose line this handler's
                stream has. It came by another handler: a queue, or one that wraps this one.
        """
        given = record.__dict__.get("logger_name")
        if given is None:
            return self._logger_name
        name = LoggerName(self._logger_name)
        if type(given) is LoggerName:
            name.given, name.written_to = given.given, given.written_to
            if name.written_to is not None and _is_same_stream(name.written_to, self.stream):
                raise EventDropped({})
        else:
            name.given = given
        return name

    def _has_line(self, record: logging.LogRecord) -> bool:
        """Return whether the stream has the line of a record's event already."""
        try:
            self._name_for(record)
        except EventDropped:
            return True
        except Exception:
            # It is no record.
            pass
        return False

    def _fallback_line(self, record: logging.LogRecord, error: BaseException) -> bytes:
        """Return a line for a record whose formatter raised."""
        formatter = self.formatter
        has_processors = isinstance(formatter, MozlogFormatter) and formatter.processors
        # The fallback has no processors, and would show what they hide.
        chosen: Any = formatter if has_processors else self._fallback_formatter
        return _line_or_last_resort(chosen, self._plain_name, self._max_bytes, record, error)

    def _report(self, lost: LossReport) -> bytes:
        """Return the line that says how many records were lost.

        Raises:
            Exception: The line cannot be made now, as at the end of the stack. The sink reports
                the losses later.
        """
        record = logging.LogRecord(
            "mozlog_py", logging.WARNING, __file__, 0, "%d records were lost", (lost,), None
        )
        vars(record).update(
            lost=int(lost),
            lost_by_cause=lost.by_cause,
            lost_by_severity={str(severity): of for severity, of in lost.by_severity.items()},
            lost_since=lost.since,
        )
        render = self._fallback_formatter.renderer(self._plain_name, self._max_bytes)
        try:
            line = render(record)
        except RENDER_SIGNALS as signal:
            line = line_in(signal)
        if b'"lost":' not in line:
            # A renderer at the end of the stack leaves all fields out.
            raise RecursionError("the report of losses could not be rendered")
        return line + _NEWLINE

    def _call_handle_error(self, record: logging.LogRecord) -> None:
        """Call ``handleError`` for a lost record, if a subclass has its own."""
        if type(self).handleError is not logging.Handler.handleError:
            try:
                self.handleError(record)
            except Exception:
                # The override itself raised; the loss is counted.
                pass


def _is_same_stream(one: Any, other: Any) -> bool:
    """Return whether two streams are identical, or files of the same path."""
    if type(one) is not ReopenableFile or type(other) is not ReopenableFile:
        return one is other
    return os.path.realpath(one.path) == os.path.realpath(other.path)


def _line_or_last_resort(
    formatter: MozlogFormatter,
    name: str,
    max_bytes: int,
    record: logging.LogRecord,
    error: BaseException,
) -> bytes:
    """Return a formatter's line; if the formatter raises again, a line that names ``error``."""
    try:
        return formatter.renderer(name, max_bytes)(record)
    except RENDER_SIGNALS as signal:
        return line_in(signal)
    except BaseException:
        return last_resort(error)
