"""The sink: what whole lines are given to, by whoever makes them.

A handler and the loggers of structlog write through one sink, so that nothing
comes between the bytes of a line. It follows its stream when that is replaced,
counts what could not be written, and says so.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any, Final

from .diagnostics import note
from .outlet import Outlet, StreamOutlet, outlet_for
from .values import type_name

__all__ = ["Sink"]

_NO_STREAM: Final = object()


class Sink:
    """Writes whole lines to a stream, or to what is below it.

    ``stream``: where to; None follows ``sys.stdout``, also when it is replaced.
    ``report``: gives the line, its newline included, that says how many records
    were lost; it is written once writing works again.
    """

    def __init__(self, stream: Any = None, report: Callable[[int], bytes] | None = None) -> None:
        self._report = report
        #: How many lines could not be written since the sink was made.
        self.lost = 0
        self._unreported = 0
        self._outlet: Outlet = StreamOutlet(None)
        self._outlet_stream: Any = _NO_STREAM
        # The same, as long as nothing has gone wrong there.
        self._ready_stream: Any = _NO_STREAM
        self.stream = stream

    @property
    def stream(self) -> Any:
        """Where lines go: the stream that was set, else what ``sys.stdout`` is now."""
        stream = sys.stdout if self._own_stream is None else self._own_stream
        if isinstance(getattr(stream, "logger", None), logging.Logger):
            # Celery's stand-in for stdout, which makes records of what it is given.
            return sys.__stdout__
        return stream

    @stream.setter
    def stream(self, stream: Any) -> None:
        self._own_stream = stream
        self._is_standard = stream is not None and (stream is sys.stdout or stream is sys.stderr)

    def write(self, line: bytes) -> bool:
        """Write one line, its newline included; False where it is lost. Raises no ``Exception``."""
        try:
            stream = self._own_stream
            if stream is None:
                stream = sys.stdout
            if stream is self._ready_stream:
                self._outlet.write(line)
            else:
                self._write(line)
        except ValueError as error:
            return self._write_to_successor(line, error)
        except Exception as error:
            self.lose(error)
            return False
        return True

    def flush(self) -> None:
        """Flush the stream, where it can be."""
        try:
            stream = self.stream
            if stream is not None and hasattr(stream, "flush"):
                stream.flush()
        except ValueError:
            # Closed, as files often are by the time that logging shuts down.
            pass
        except Exception as error:
            note(f"flush failed: {type_name(type(error))}: {error}")

    def lose(self, error: Exception) -> None:
        """Count one line that could not be written, and note why on stderr."""
        self._ready_stream = _NO_STREAM
        self.lost += 1
        self._unreported += 1
        try:
            note(f"a record was not written: {type_name(type(error))}: {error}")
        except Exception:
            # The error's own text may be broken; the loss is counted.
            pass

    def _write(self, line: bytes) -> None:
        stream = self.stream
        if stream is None:
            raise OSError("there is no stdout")
        if stream is not self._outlet_stream:
            self._outlet, self._outlet_stream = outlet_for(stream), stream
        self._outlet.write(line)
        self._ready_stream = stream
        if self._unreported and self._report is not None:
            lost, self._unreported = self._unreported, 0
            self._outlet.write(self._report(lost))

    def _write_to_successor(self, line: bytes, error: ValueError) -> bool:
        # Closed. A standard stream that was swapped out and closed (as test
        # runners do) has a successor.
        if not self._is_standard or sys.stdout in (None, self._own_stream):
            self.lose(error)
            return False
        self.stream = None
        try:
            self._write(line)
        except Exception as again:
            self.lose(again)
            return False
        return True
