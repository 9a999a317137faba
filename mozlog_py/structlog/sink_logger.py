"""SinkLogger: the logger below the processors, which writes to the shared sink."""

from __future__ import annotations

from typing import Any

import structlog

from mozlog_py.sink import Sink

from .other_handlers import OtherHandlers

__all__ = ["SinkLogger", "SinkLoggerFactory"]


class SinkLogger:
    """Writes lines to a sink. A ``SinkLoggerFactory`` creates it.

    Every method writes its argument, ``bytes`` or ``str``, and a newline.

    Args:
        factory: The factory, whose sink the logger uses.
        name: The logger's name.
    """

    __slots__ = ("_factory", "name")

    def __init__(self, factory: SinkLoggerFactory, name: str | None = None) -> None:
        self._factory = factory
        #: The logger's name, ``Type`` in the envelope.
        self.name = name

    @property
    def sink(self) -> Sink:
        """The sink that its factory has now."""
        return self._factory.sink

    @property
    def others(self) -> OtherHandlers | None:
        """The other handlers that its factory has now."""
        return self._factory.others

    def __reduce__(self) -> tuple[Any, ...]:
        return _in_this_process, (self.name,)

    def __repr__(self) -> str:
        return f"<SinkLogger(name={self.name!r})>"

    def msg(self, message: bytes | str) -> None:
        """Write one line."""
        line = message.encode("utf-8", "backslashreplace") if isinstance(message, str) else message
        self.sink.write(line + b"\n")

    log = debug = info = warning = warn = error = err = critical = fatal = failure = msg
    exception = msg


class SinkLoggerFactory:
    """Creates loggers that write to one sink.

    Args:
        sink: The sink, such as that of a ``MozlogHandler``, whose lines and those of the
            loggers then never interleave. None creates a sink on ``sys.stdout``.
    """

    def __init__(self, sink: Sink | None = None) -> None:
        self.sink = Sink() if sink is None else sink
        #: The other handlers that get the events of its loggers; None for none.
        self.others: OtherHandlers | None = None

    def __call__(self, *args: Any) -> SinkLogger:
        """Create a logger; its name is the first argument, as in ``structlog.get_logger``."""
        return SinkLogger(self, args[0] if args and isinstance(args[0], str) else None)


def _in_this_process(name: str | None) -> SinkLogger:
    """Return an unpickled logger. It has the sink of this process: no descriptor is pickled."""
    factory = structlog.get_config()["logger_factory"]
    if not isinstance(factory, SinkLoggerFactory):
        factory = SinkLoggerFactory()
    return factory(name)
