"""Who takes events with fields: loggers, where they write, and where their lines say what.

A front is what a service calls, with its configuration behind it. That is one
for a process, so every front is in a worker of its own and is set up once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rivals import RIVALS, Rival

__all__ = ["DOCKERFLOW", "FAST", "FRONTS", "PINO", "STRUCTLOG", "Front"]


@dataclass(frozen=True)
class Front:
    """A way to log an event with fields."""

    name: str
    title: str
    environment: str
    #: Makes the logger that ``info`` is called on and that writes to a path. Only
    #: works in its environment. None: it is not one of Python's.
    make: Callable[[Path], Any] | None
    #: Where a line has its message, and in what its fields stand (None: beside it).
    message_key: str
    extras_key: str | None = None
    #: Whether its fields are keyword arguments, else ``extra``; and whether what
    #: is made is structlog's proxy, which finds the bound logger on every call.
    is_structlog: bool = True


def _fast(path: Path) -> Any:
    import structlog

    import mozlog_py

    mozlog_py.configure("benchmark", level="INFO", format="mozlog", stream=path.open("ab"))
    return structlog.get_logger()


def _chain(path: Path) -> Any:
    from mozlog_py.structlog import processors

    return _filtering(path, processors("benchmark"))


def _documented(path: Path) -> Any:
    # Source: https://www.structlog.org/en/stable/performance.html, the example.
    import orjson
    import structlog

    return _filtering(
        path,
        [
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
    )


def _filtering(path: Path, processors: list[Any]) -> Any:
    import structlog

    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.BytesLoggerFactory(path.open("ab")),
        cache_logger_on_first_use=True,
    )
    return structlog.get_logger()


def _stdlib(rival: Rival) -> Callable[[Path], Any]:
    def make(path: Path) -> Any:
        logger = logging.getLogger("benchmark-events")
        logger.propagate = False
        logger.setLevel(logging.INFO)
        logger.handlers[:] = [rival.make_handler(path.open("a", encoding="utf-8"))]
        return logger

    return make


(_UPSTREAM,) = (rival for rival in RIVALS if rival.name == "upstream")

FAST = Front(
    name="fast",
    title="mozlog-py, `configure()`",
    environment="ours",
    make=_fast,
    message_key="msg",
    extras_key="Fields",
)
_CHAIN = Front(
    name="chain",
    title="mozlog-py, `processors()` with structlog's bound logger",
    environment="ours",
    make=_chain,
    message_key="msg",
    extras_key="Fields",
)
STRUCTLOG = Front(
    name="structlog",
    title="structlog, as its documentation has it fastest (orjson)",
    environment="ours",
    make=_documented,
    message_key="event",
)
DOCKERFLOW = Front(
    name="dockerflow",
    title="dockerflow, `logging`",
    environment=_UPSTREAM.environment,
    make=_stdlib(_UPSTREAM),
    message_key=_UPSTREAM.message_key,
    extras_key=_UPSTREAM.extras_key,
    is_structlog=False,
)
PINO = Front(
    name="pino",
    title="pino (Node.js)",
    environment="node",
    make=None,
    message_key="msg",
    is_structlog=False,
)

FRONTS = (FAST, _CHAIN, STRUCTLOG, DOCKERFLOW, PINO)
