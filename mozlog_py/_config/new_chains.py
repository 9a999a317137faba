"""Who is told of each new chain of structlog's processors.

A block of ``capture_lines`` may be open when ``configure()`` sets up the chain. Neither of the two
modules may import the other one: tests are no part of a service.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

__all__ = ["listeners"]

#: The functions that ``configure()`` calls with the list of processors, which they may change.
listeners: Final[list[Callable[[list[Any]], None]]] = []
