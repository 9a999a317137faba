"""MozlogHandler: takes records, writes lines, lets no exception out."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, Final

from .diagnostics import note
from .fields import LoggerName
from .formatter import MozlogFormatter
from .line import Interrupted
from .sink import Sink, StreamSink, sink_for
from .values import type_name

__all__ = ["MozlogHandler"]

_NO_STREAM: Final = object()
# Methods that may have been replaced on an instance, as tests do.
_REPLACEABLE: Final = frozenset({"acquire", "filter", "release"})
# A subclass's own format must be asked, also for records that could go the fast way.
_FORMAT: Final = logging.Handler.format
_NEWLINE: Final = b"\n"
# For the day when nothing works, such as at the end of the stack or of memory.
_LAST_RESORT: Final = (
    b'{"Timestamp":%d,"Type":"mozlog_py","EnvVersion":"2.0","Severity":3,"Fields":'
    b'{"msg":"a record could not be rendered","mozlog.degraded":"%b"}}'
)


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
        self._own_stream: Any = None
        self._sink: Sink = StreamSink(None)
        self._sink_stream: Any = _NO_STREAM
        # The same, as long as nothing has gone wrong there.
        self._ready_stream: Any = _NO_STREAM
        self._is_standard = False
        super().__init__(stream)
        # StreamHandler takes stderr for None, which has another meaning here.
        self.stream = stream
        self.logger_name = name
        #: How many records could not be written since the handler was made.
        self.lost = 0
        self._unreported = 0
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
        return sys.stdout if self._own_stream is None else self._own_stream

    @stream.setter
    def stream(self, stream: Any) -> None:
        self._own_stream = stream
        self._is_standard = stream is not None and (stream is sys.stdout or stream is sys.stderr)

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
        except BaseException as error:
            line = self._rescued(record, error)
            if not isinstance(error, Exception):
                interrupt = error
        try:
            terminator = self.terminator
            line += _NEWLINE if terminator == "\n" else terminator.encode()
            stream = self._own_stream
            if stream is None:
                stream = sys.stdout
            if stream is self._ready_stream:
                self._sink.write(line)
            else:
                self._write(line)
        except ValueError as error:
            self._write_to_successor(record, line, error)
        except Exception as error:
            self._lose(record, error)
        if interrupt is not None:
            raise interrupt

    def flush(self) -> None:
        """Flush the stream, where it can be."""
        try:
            super().flush()
        except ValueError:
            # Closed, as files often are by the time that logging shuts down.
            pass
        except Exception as error:
            note(f"flush failed: {type_name(type(error))}: {error}")

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
            return _LAST_RESORT % (
                time.time_ns(),
                type_name(type(error)).encode("ascii", "replace"),
            )

    def _write(self, line: bytes) -> None:
        stream = self.stream
        if stream is None:
            raise OSError("there is no stdout")
        if stream is not self._sink_stream:
            self._sink, self._sink_stream = sink_for(stream), stream
        self._sink.write(line)
        self._ready_stream = stream
        if self._unreported:
            self._report()

    def _write_to_successor(
        self, record: logging.LogRecord, line: bytes, error: ValueError
    ) -> None:
        # Closed. A standard stream that was swapped out and closed (as test
        # runners do) has a successor.
        if not self._is_standard or sys.stdout in (None, self._own_stream):
            self._lose(record, error)
            return
        self.stream = None
        try:
            self._write(line)
        except Exception as again:
            self._lose(record, again)

    def _lose(self, record: logging.LogRecord, error: Exception) -> None:
        self._ready_stream = _NO_STREAM
        self.lost += 1
        self._unreported += 1
        try:
            note(f"a record was not written: {type_name(type(error))}: {error}")
            if type(self).handleError is not logging.Handler.handleError:
                self.handleError(record)
        except Exception:
            # Whoever overrides it may fail as well; the loss is counted.
            pass

    def _report(self) -> None:
        lost, self._unreported = self._unreported, 0
        record = logging.LogRecord(
            "mozlog_py", logging.WARNING, __file__, 0, "%d records were lost", (lost,), None
        )
        record.lost = lost
        self._write(self._rescued(record, RuntimeError()) + _NEWLINE)
