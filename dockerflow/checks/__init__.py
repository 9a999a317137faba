"""Health checks: functions that say what is wrong with a service, and what runs them.

::

    register ──► registry ──► runner ──► results ──► heartbeats ──► a heartbeat's payload
                                │
        messages ◄── outcome ◄──┼── flights ──► threads, loops (green: in real threads)
                                └── in_request

``registry`` holds the checks and ``messages`` what they give. ``runner`` asks
all of them at once, each with a deadline and each only once at a time
(``single_flight``), in threads and on event loops of its own, or one after the other
in the request (``in_request``). ``surroundings`` is what a framework's adapter
knows of these places, ``waiting`` how a caller waits on asyncio and trio.
``heartbeats`` is what the endpoint asks: at most a few heartbeats wait at a time
(``slots``), and the others get the last outcomes.
``databases``, ``redis``, ``http`` and ``disk`` are checks ready to register.
"""

from dockerflow.checks._run.payload import ChecksResults

from .messages import (
    CRITICAL,
    DEBUG,
    ERROR,
    INFO,
    STATUSES,
    WARNING,
    CheckMessage,
    Critical,
    Debug,
    Error,
    Info,
    Warning,  # noqa: A004 - upstream's name
    level_to_text,
)
from .registry import (
    clear_checks,
    get_checks,
    register,
    register_partial,
    run_checks,
    run_checks_async,
)

__all__ = [
    "CRITICAL",
    "DEBUG",
    "ERROR",
    "INFO",
    "STATUSES",
    "WARNING",
    "CheckMessage",
    "ChecksResults",
    "Critical",
    "Debug",
    "Error",
    "Info",
    "Warning",
    "clear_checks",
    "get_checks",
    "level_to_text",
    "register",
    "register_partial",
    "run_checks",
    "run_checks_async",
]
