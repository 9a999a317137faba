"""Configures structlog, so that its loggers share a handler's sink and formatter."""

from __future__ import annotations

import logging
from typing import Final

import structlog

from mozlog_py._config.new_chains import listeners
from mozlog_py.formatter import MozlogFormatter
from mozlog_py.processors import Processor
from mozlog_py.sink import Sink

from .bound_logger import FastBoundLogger
from .logging_changes import changes
from .other_handlers import OtherHandlers
from .processor_chain import processors
from .sink_logger import SinkLoggerFactory

__all__ = ["chain", "configure_structlog"]

#: The processors of ``configure()``. Existing loggers refer to this list and to the factory,
#: and so follow a new configuration.
chain: Final[list[Processor]] = []
_factory: Final = SinkLoggerFactory()


def configure_structlog(
    formatter: MozlogFormatter,
    sink: Sink,
    *,
    is_caching: bool = True,
    to_logging: bool | int | None = None,
) -> None:
    """Configure structlog: events become lines of ``formatter``, written to ``sink``.

    A second call is harmless: existing loggers follow the new configuration.

    Args:
        formatter: Its options and hooks hold for the lines.
        sink: What the lines are written to.
        is_caching: Whether structlog's proxies keep their loggers.
        to_logging: Whether other handlers of ``logging`` get the events, or from which level.
            None means from each handler's own level, and from ERROR for a replaced
            ``Logger.callHandlers``.
    """
    _factory.sink = sink
    if to_logging is False:
        _factory.others = None
    else:
        from_level = logging.NOTSET if to_logging is True else to_logging
        _factory.others = OtherHandlers(sink, from_level, formatter.logger_name)
        changes.watch_handlers()
    chain[:] = processors(formatter=formatter)
    for listen in [*listeners]:
        listen(chain)
    structlog.configure(
        processors=chain,
        wrapper_class=FastBoundLogger,
        context_class=dict,
        logger_factory=_factory,
        cache_logger_on_first_use=is_caching,
    )
    changes.watch_levels()
    changes.announce()
