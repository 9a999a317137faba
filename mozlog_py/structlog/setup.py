"""structlog's configuration, for loggers that share a handler's sink and formatter."""

from __future__ import annotations

from typing import Final

import structlog

from mozlog_py.formatter import MozlogFormatter
from mozlog_py.processors import Processor
from mozlog_py.sink import Sink

from .chain import processors
from .logger import FastBoundLogger
from .sink import SinkLoggerFactory

__all__ = ["chain", "share"]

#: The processors of ``configure()``. Loggers that were made hold on to it and to the
#: factory, and so follow a new configuration.
chain: Final[list[Processor]] = []
_factory: Final = SinkLoggerFactory()


def share(formatter: MozlogFormatter, sink: Sink, *, is_caching: bool = True) -> None:
    """Configure structlog: events become lines of ``formatter``, written to ``sink``.

    ``is_caching``: whether structlog keeps a logger once it is made. Doing it
    again is harmless; loggers that are in use already follow, but for their level.
    """
    _factory.sink = sink
    chain[:] = processors(formatter=formatter)
    structlog.configure(
        processors=chain,
        wrapper_class=FastBoundLogger,
        context_class=dict,
        logger_factory=_factory,
        cache_logger_on_first_use=is_caching,
    )
