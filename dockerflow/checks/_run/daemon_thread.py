"""Starts the threads for checks: with an empty context, and daemons where there are any."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import Context
from typing import Any

from mozlog_py._process.interpreters import start_thread

__all__ = ["start_daemon"]


def start_daemon(function: Callable[..., Any], *args: Any, name: str) -> None:
    """Start a daemon thread; in a subinterpreter, which has none, an ordinary one.

    A free-threaded Python, and ``-X thread_inherit_context=1``, run a thread in a copy of its
    starter's context. A thread for checks serves many requests. It would keep the first one's
    context, and all that it refers to, for as long as it lives.

    Args:
        function: The function that the thread runs.
        args: Its arguments.
        name: The name of the thread.

    Raises:
        RuntimeError: No thread can be started, or the subinterpreter ends.
        MemoryError: There is no memory for the thread's stack.
        OSError: The system has no room for a thread.
    """
    options: dict[str, Any] = {"context": Context()} if sys.version_info >= (3, 14) else {}
    start_thread(function, args, name, **options)
