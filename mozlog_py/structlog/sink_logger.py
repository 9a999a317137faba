"""SinkLogger: the logger below the processors, which writes through the shared sink."""

from __future__ import annotations

from typing import Any

import structlog

from mozlog_py.sink import Sink

from .other_handlers import OtherHandlers

__all__ = ["SinkLogger", "SinkLoggerFactory"]


class SinkLogger:
    """Writes lines to a sink, one a call; made by ``SinkLoggerFactory``.

    Every method of a logger is the same here: it writes what it is given,
    ``bytes`` or ``str``, and a newline.
    """

    __slots__ = ("_factory", "name")

    def __init__(self, factory: SinkLoggerFactory, name: str | None = None) -> None:
        self._factory = factory
        #: The logger's name, ``Type`` in the envelope.
        self.name = name

    @property
    def sink(self) -> Sink:
        """What it writes to: its factory's sink, as it is now."""
        return self._factory.sink

    @property
    def others(self) -> OtherHandlers | None:
        """What else gets its events: its factory's, as it is now."""
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
    """Makes the loggers that write to one sink.

    ``sink``: as of a ``MozlogHandler``, whose lines and theirs then never
    interleave; None is a sink of its own on ``sys.stdout``.
    """

    def __init__(self, sink: Sink | None = None) -> None:
        self.sink = Sink() if sink is None else sink
        #: What else gets the events of its loggers; None is nothing.
        self.others: OtherHandlers | None = None

    def __call__(self, *args: Any) -> SinkLogger:
        """Make a logger; its name is the first argument, as of ``structlog.get_logger``."""
        return SinkLogger(self, args[0] if args and isinstance(args[0], str) else None)


def _in_this_process(name: str | None) -> SinkLogger:
    """Give a logger that was pickled: descriptors stay behind, and this process has its own."""
    factory = structlog.get_config()["logger_factory"]
    if not isinstance(factory, SinkLoggerFactory):
        factory = SinkLoggerFactory()
    return factory(name)
