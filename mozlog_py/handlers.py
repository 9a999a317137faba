"""MozlogHandler: takes records, writes lines, lets no exception out."""

from __future__ import annotations

import logging
from typing import Any, Final

from .fields import LoggerName
from .formatter import MozlogFormatter
from .line import Dropped, Interrupted, last_resort
from .sink import Sink

__all__ = ["MozlogHandler"]

# Methods that may have been replaced on an instance, as tests do.
_REPLACEABLE: Final = frozenset({"acquire", "filter", "release"})
# A subclass's own format must be asked, also for records that could go the fast way.
_FORMAT: Final = logging.Handler.format
_NEWLINE: Final = b"\n"


class MozlogHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes each record as one line, in one write.

    ``stream``: where to; None follows ``sys.stdout``, also when it is replaced.
    ``name``: the ``Logger`` of the envelope, which wins over the formatter's.

    A formatter of any kind may be set; the default is ``MozlogFormatter()``.
    A write that fails loses the record, which is counted in ``lost``, said on
    stderr, and said again in a line of its own once writing works.
    """

    def __init__(self, stream: Any = None, name: str = "Dockerflow") -> None:
        self._is_handling_as_usual = type(self) is MozlogHandler
        #: What writes the lines, for whoever else has lines for the same stream.
        self.sink = Sink(stream, self._report)
        super().__init__(stream)
        # StreamHandler takes stderr for None, which has another meaning here.
        self.sink.stream = stream
        self.logger_name = name
        self._rescue = MozlogFormatter(logger_name=name)
        self.setFormatter(MozlogFormatter())

    @property
    def logger_name(self) -> str:
        """The ``Logger`` of the envelope."""
        return self._logger_name

    @logger_name.setter
    def logger_name(self, name: str) -> None:
        self._logger_name = LoggerName(name)
        self._plain_name = str(name)

    @property
    def stream(self) -> Any:
        """Where lines go: the stream that was set, else what ``sys.stdout`` is now."""
        return self.sink.stream

    @stream.setter
    def stream(self, stream: Any) -> None:
        self.sink.stream = stream

    @property
    def lost(self) -> int:
        """How many records could not be written since the handler was made."""
        return self.sink.lost

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in _REPLACEABLE:
            self._is_handling_as_usual = False

    def handle(self, record: logging.LogRecord) -> bool | logging.LogRecord:  # type: ignore[override]
        """Write one record, unless a filter of this handler is against it."""
        lock = self.lock
        if self.filters or lock is None or not self._is_handling_as_usual:
            return super().handle(record)
        # What the base class does here, without four calls.
        with lock:
            self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record. Only what is no ``Exception`` gets out, after the write."""
        interrupt: BaseException | None = None
        try:
            formatter = self.formatter
            if type(formatter) is MozlogFormatter and type(self).format is _FORMAT:
                name = self._plain_name
                render = formatter.renderers.get(name) or formatter.renderer(name)
                line = render(record)
                facts = record.__dict__
                # Afterwards, since the fast way is for records without it.
                facts["logger_name"] = (
                    self._name_for(record) if "logger_name" in facts else self._logger_name
                )
            else:
                line = self._render(record)
        except Interrupted as interrupted:
            line, interrupt = interrupted.line, interrupted.cause
        except Dropped:
            return
        except BaseException as error:
            line = self._rescued(record, error)
            if not isinstance(error, Exception):
                interrupt = error
        try:
            terminator = self.terminator
            line += _NEWLINE if terminator == "\n" else terminator.encode()
        except Exception as error:
            self.sink.lose(error)
            self._tell(record)
        else:
            if not self.sink.write(line):
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
            return formatter.renderer()(record)
        return self.format(record).encode("utf-8", "backslashreplace")

    def _is_formatting_as_usual(self, formatter: MozlogFormatter) -> bool:
        return (
            type(self).format is _FORMAT
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
        try:
            return self._rescue.renderer()(record)
        except Interrupted as interrupted:
            return interrupted.line
        except BaseException:
            return last_resort(error)

    def _report(self, lost: int) -> bytes:
        """Give the line that says how many records were lost."""
        record = logging.LogRecord(
            "mozlog_py", logging.WARNING, __file__, 0, "%d records were lost", (lost,), None
        )
        record.lost = lost
        return self._rescued(record, RuntimeError()) + _NEWLINE

    def _tell(self, record: logging.LogRecord) -> None:
        """Let a subclass know of a lost record in the way that ``logging`` has for it."""
        if type(self).handleError is not logging.Handler.handleError:
            try:
                self.handleError(record)
            except Exception:
                # Whoever overrides it may fail as well; the loss is counted.
                pass
