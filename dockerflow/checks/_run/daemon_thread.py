"""Starts the threads for checks: daemons with an empty context."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextvars import Context
from typing import Any

__all__ = ["start_daemon"]


def start_daemon(function: Callable[..., Any], *args: Any, name: str) -> None:
    """Start a daemon thread.

    A free-threaded Python, and ``-X thread_inherit_context=1``, run a thread in a copy of its
    starter's context. A thread for checks serves many requests. It would keep the first one's
    context, and all that it refers to, for as long as it lives.

    Args:
        function: The function that the thread runs.
        args: Its arguments.
        name: The name of the thread.

    Raises:
        RuntimeError: No thread can be started.
        MemoryError: As above.
        OSError: As above.
    """
    options: dict[str, Any] = {"context": Context()} if sys.version_info >= (3, 14) else {}
    threading.Thread(target=function, args=args, name=name, daemon=True, **options).start()
