"""The structlog integration: the same lines, from the same line encoder and context.

::

    event ──► processors ──► MozlogRenderer ──► SinkLogger ──► sink
       └──────── FastBoundLogger, if the renderer is alone ───────────┘

``mozlog_py.configure()`` sets all of it up, together with ``logging``.
"""

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
