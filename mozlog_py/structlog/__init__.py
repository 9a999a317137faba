"""The front for structlog: the same lines, from the same line maker and context.

::

    event ──► processors ──► MozlogRenderer ──► SinkLogger ──► sink
       └──────────── FastBoundLogger, where nothing stands between ───┘

``mozlog_py.configure()`` sets all of it up, together with ``logging``.
"""

from .chain import processors
from .logger import FastBoundLogger
from .renderer import MozlogRenderer
from .sink import SinkLogger, SinkLoggerFactory

__all__ = [
    "FastBoundLogger",
    "MozlogRenderer",
    "SinkLogger",
    "SinkLoggerFactory",
    "processors",
]
