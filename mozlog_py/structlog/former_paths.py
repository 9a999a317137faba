"""Former paths of modules, for pickles that an earlier version has written.

A pickle of a bound logger, or of a ``WiringError``, holds the paths of its classes. A process with
a newer version may read it from a queue or a cache. Nothing else may import from these paths.
"""

from __future__ import annotations

import sys

from . import bound_logger, output_check, sink_logger

__all__: list[str] = []

sys.modules[f"{__package__}.logger"] = bound_logger
sys.modules[f"{__package__}.sink"] = sink_logger
sys.modules[f"{__package__}.wiring"] = output_check
