"""Former paths of modules, for pickles that an earlier version has written.

A bound logger is pickled with the paths of its classes, and may be read by a process that has
a newer version: a worker of a queue, a cache. Nothing else may import from these paths.
"""

from __future__ import annotations

import sys

from . import bound_logger, sink_logger

__all__: list[str] = []

sys.modules[f"{__package__}.logger"] = bound_logger
sys.modules[f"{__package__}.sink"] = sink_logger
