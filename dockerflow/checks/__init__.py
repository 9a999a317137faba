"""Health checks: functions that report what is wrong with a service, and their runner.

::

    register ──► registry ──► heartbeats ──► run_until_deadline ──► payload
                                  │                  │
                                slots                ├── single_flight ──► worker_threads
                                                     │                 └─► event_loops, green
                                                     └── in_request

``registry`` holds the checks, and ``messages`` their results. The other modules are in
``_run``. ``run_until_deadline`` runs all checks at the same time, each within a deadline. Of
each check only one run (``check_run``) goes on at a time (``single_flight``): in
``worker_threads``, on ``event_loops`` (``green``: in real threads), or in the request
(``in_request``). ``check_result`` makes a plain outcome of each run, and ``payload`` the
results of all. ``surroundings`` has the hooks of a framework's adapter, ``asyncio_or_trio``
waits on either. ``heartbeats`` serves the endpoint: only a few heartbeats wait at a time
(``slots``), and the others get the last outcomes. ``databases``, ``redis``, ``http`` and
``disk`` are checks ready to register.
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
