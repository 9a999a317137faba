"""The structlog integration: the same lines, from the same line encoder and context.

::

    event ──► processors ──► MozlogRenderer ──► SinkLogger ──► sink
       └──────── FastBoundLogger, if the renderer is alone ───────────┘

``mozlog_py.configure()`` sets all of it up, together with ``logging``.
"""

# Before this package's own modules: configure() may wait for this import, and then imports them.
import structlog as _structlog  # noqa: F401

from . import former_paths as former_paths
from .bound_logger import FastBoundLogger
from .processor_chain import processors
from .renderer import MozlogRenderer
from .sink_logger import SinkLogger, SinkLoggerFactory

__all__ = [
    "FastBoundLogger",
    "MozlogRenderer",
    "SinkLogger",
    "SinkLoggerFactory",
    "processors",
]
