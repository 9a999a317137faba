"""Structured logging for Python services, as MozLog 2.0 lines.

::

    stdlib LogRecord ──► fields ──► line ──► sink
                           ▲
                        context

The modules are named after the stages: ``fields`` gathers what a record says,
``values`` makes any Python value plain, ``line`` makes the line (``fast`` is
the short way for plain records), ``sink`` writes it. ``formatter`` and
``handlers`` are the fronts for ``logging``, ``structlog`` the one for structlog
(whose event dicts ``events`` reads), and ``config`` sets all of it up.
"""

from . import context
from .config import configure, dict_config
from .formatter import MozlogFormatter
from .handlers import MozlogHandler
from .queued import MozlogQueueHandler

__all__ = [
    "MozlogFormatter",
    "MozlogHandler",
    "MozlogQueueHandler",
    "__version__",
    "configure",
    "context",
    "dict_config",
]

__version__ = "0.1.0"
