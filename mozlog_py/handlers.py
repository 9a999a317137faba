"""MozlogHandler: takes records, writes lines, lets no exception out."""

from __future__ import annotations

import logging
from typing import Any, Final

from mozlog_py._fields.from_record import LoggerName
from mozlog_py._line.line_encoder import EventDropped, RaiseAfterWrite, last_resort
from mozlog_py._line.truncate import MAX_LINE_BYTES, MIN_LINE_BYTES
from mozlog_py._render.any_record import RENDER_SIGNALS, Renderer, line_in
from mozlog_py._sink.loss_counter import LossReport

from ._stdlib import call_extra, record_factory
from .formatter import MozlogFormatter, has_standard_lines, renderer_key
from .sink import Sink
from .typing import Stream

__all__ = ["MozlogHandler"]

# Methods that may have been replaced on an instance, as tests do.
_REPLACEABLE: Final = frozenset({"acquire", "filter", "release"})
# Methods that a line without a record would pass by.
_OF_RECORDS: Final = frozenset({"emit", "handle", *_REPLACEABLE})
_NEWLINE: Final = b"\n"


class MozlogHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes each record as one line, in one write.

    ``stream``: where to; None follows ``sys.stdout``, also when it is replaced;
    a path is opened for append, and again when the file was moved.
    ``name``: the ``Logger`` of the envelope, which wins over the formatter's.
    ``max_line_bytes``: longer lines have their longest texts cut; 0 for no limit.
    ``timeout``: seconds to wait for a reader that has stopped, then the record
    is lost; None waits for as long as it takes.

    A formatter of any kind may be set; the default is ``MozlogFormatter()``.
    A write that fails loses the record, which is counted in ``lost``, said on
    stderr, and said again in a line of its own once writing works. No lock is
    held while a record is filtered and formatted. Raises ``OSError`` for a path
    that cannot be opened, and ``OptionError`` for invalid limits and for a text
    as stream that is no path beyond doubt: ``"shop"`` and ``"stdout"`` are refused,
    ``"./shop"`` and ``"shop.log"`` are files.

    The first one of a process has ``logging`` make its records, the same ones, by a
    faster factory (``mozlog_py._stdlib.record_factory``), unless another one is set, and its
    loggers take an ``extra`` with any names (``mozlog_py._stdlib.call_extra``).
    """

    def __init__(
        self,
        stream: Stream | None = None,
        name: str = "Dockerflow",
        *,
        max_line_bytes: int = MAX_LINE_BYTES,
        timeout: float | None = None,
    ) -> None:
        self._is_handling_as_usual = type(self).emit is MozlogHandler.emit
        # Somebody's own format must be asked, also for records that could go the fast way.
        self._is_format_usual = type(self).format is logging.Handler.format
        self._takes_fields = True
        #: The formatter, where its renderers may be called past all of its methods.
        self._direct: MozlogFormatter | None = None
        self.terminator = type(self).terminator
        #: What writes the lines, for whoever else has lines for the same stream.
        self.sink = Sink(stream, self._report, max_line_bytes=max_line_bytes, timeout=timeout)
        opened = self.sink.stream if stream is not None else None
        super().__init__(opened)
        # StreamHandler takes stderr for None, which has another meaning here.
        self.sink.stream = opened
        self.logger_name = name
        self._rescue = MozlogFormatter(logger_name=name)
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
        self._limit_lines()

    def _limit_lines(self) -> None:
        """Work out what a line may take without its ending, and under what renderers are kept."""
        limit = self.sink.max_line_bytes
        self._max_bytes = max(MIN_LINE_BYTES // 2, limit - len(self._ending)) if limit else 0
        self._key: str = renderer_key(self._plain_name, self._max_bytes) or ""

    @property
    def stream(self) -> Any:
        """Where lines go: the stream that was set, else what ``sys.stdout`` is now."""
        return self.sink.stream

    @stream.setter
    def stream(self, stream: Any) -> None:
        self.sink.stream = stream

    def setStream(self, stream: Any) -> Any:  # noqa: N802 - as the base class has it
        """Set where lines go, and give where they went; None if that is the same."""
        former = self.sink.own_stream
        if stream is former:
            return None
        self.flush()
        self.sink.stream = stream
        return former

    def reopen(self) -> None:
        """Open the path anew, where lines go to one; before the next line."""
        self.sink.reopen()

    @property
    def lost(self) -> int:
        """How many records could not be written since the handler was made."""
        return self.sink.lost

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in _OF_RECORDS:
            self._takes_fields = False
        if name in _REPLACEABLE:
            self._is_handling_as_usual = False
        elif name == "format":
            self._is_format_usual = False
            self._direct = None
        elif name == "formatter":
            is_direct = self._is_format_usual and has_standard_lines(value)
            self._direct = value if is_direct else None
        elif name == "terminator":
            self._ending = value.encode()
            if "_plain_name" in vars(self):
                self._limit_lines()

    def handle(self, record: logging.LogRecord) -> bool | logging.LogRecord:  # type: ignore[override]
        """Write one record, unless a filter of this handler is against it."""
        if not self._is_handling_as_usual:
            return super().handle(record)
        # What the base class does here, without its lock: the sink keeps lines
        # apart, and nothing of anybody's runs while others wait.
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
        """Write one record. Only what is no ``Exception`` gets out, after the write."""
        try:
            formatter = self._direct
            if formatter is not None:
                render = formatter.renderers.get(self._key) or self._renderer(formatter)
                line = render(record)
                facts = record.__dict__
                # Afterwards, since the fast way is for records without it.
                facts["logger_name"] = (
                    self._name_for(record) if "logger_name" in facts else self._logger_name
                )
            else:
                line = self._render(record)
            line += self._ending
        except EventDropped:
            return
        except BaseException as error:
            self._emit_rescued(record, error)
            return
        if not self.sink.write(line):
            self._tell(record)

    def line_of_fields(self, type_: str, level: int, fields: dict[str, Any]) -> bytes | None:
        """Return the line of fields without a record, its newline included.

        Args:
            type_: The logger's name.
            level: The Python level.
            fields: The Fields, in their order.

        Returns:
            None where it takes a record to make it: for another kind of formatter, for
            options that need one, and for fields that are no plain values.
        """
        formatter = self._direct
        if formatter is None or not self._takes_fields:
            return None
        try:
            render = formatter.fields_renderers[self._key]
        except KeyError:
            render = formatter.fields_renderer(self._plain_name, self._max_bytes)
        line = None if render is None else render(type_, level, fields)
        return None if line is None else line + self._ending

    def _renderer(self, formatter: MozlogFormatter) -> Renderer:
        return formatter.renderer(self._plain_name, self._max_bytes)

    def _emit_rescued(self, record: logging.LogRecord, error: BaseException) -> None:
        """Write a record in the middle of which something was raised; raise an interrupt after."""
        interrupt = None if isinstance(error, Exception) else error
        if isinstance(error, RaiseAfterWrite):
            line, interrupt = error.line, error.cause
        else:
            line = self._rescued(record, error)
        if not self.sink.write(line + self._ending):
            self._tell(record)
        if interrupt is not None:
            raise interrupt

    def flush(self) -> None:
        """Flush the stream, where it can be."""
        self.sink.flush()

    def _render(self, record: logging.LogRecord) -> bytes:
        formatter = self.formatter
        # Anybody else's code may look for the name on the record.
        record.logger_name = self._name_for(record)
        if isinstance(formatter, MozlogFormatter) and self._is_formatting_as_usual(formatter):
            return formatter.renderer(None, self._max_bytes)(record)
        return self.format(record).encode("utf-8", "backslashreplace")

    def _is_formatting_as_usual(self, formatter: MozlogFormatter) -> bool:
        return (
            self._is_format_usual
            and type(formatter).format is MozlogFormatter.format
            and type(formatter).format_bytes is MozlogFormatter.format_bytes
        )

    def _name_for(self, record: logging.LogRecord) -> LoggerName:
        given = record.__dict__.get("logger_name")
        if given is None:
            return self._logger_name
        name = LoggerName(self._logger_name)
        name.given = given.given if type(given) is LoggerName else given
        return name

    def _rescued(self, record: logging.LogRecord, error: BaseException) -> bytes:
        """Give a line for a record whose own formatter failed."""
        formatter = self.formatter
        hides = isinstance(formatter, MozlogFormatter) and formatter.processors
        # What processors hide must not come out by another way.
        chosen: Any = formatter if hides else self._rescue
        return _line_by(chosen, self._plain_name, self._max_bytes, record, error)

    def _report(self, lost: LossReport) -> bytes:
        """Give the line that says how many records were lost."""
        record = logging.LogRecord(
            "mozlog_py", logging.WARNING, __file__, 0, "%d records were lost", (lost,), None
        )
        vars(record).update(
            lost=int(lost),
            lost_by_cause=lost.by_cause,
            lost_by_severity={str(severity): of for severity, of in lost.by_severity.items()},
            lost_since=lost.since,
        )
        limit = self._max_bytes
        line = _line_by(self._rescue, self._plain_name, limit, record, RuntimeError())
        return line + _NEWLINE

    def _tell(self, record: logging.LogRecord) -> None:
        """Let a subclass know of a lost record in the way that ``logging`` has for it."""
        if type(self).handleError is not logging.Handler.handleError:
            try:
                self.handleError(record)
            except Exception:
                # Whoever overrides it may fail as well; the loss is counted.
                pass


def _line_by(
    formatter: MozlogFormatter,
    name: str,
    max_bytes: int,
    record: logging.LogRecord,
    error: BaseException,
) -> bytes:
    """Give a formatter's line, whatever it takes; ``error`` is named where there can be none."""
    try:
        return formatter.renderer(name, max_bytes)(record)
    except RENDER_SIGNALS as signal:
        return line_in(signal)
    except BaseException:
        return last_resort(error)
