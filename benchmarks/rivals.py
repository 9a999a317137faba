"""Who is measured, in which environment, and where their lines say what."""

from __future__ import annotations

import importlib
import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

__all__ = ["NULL", "OURS", "RIVALS", "STANDARD_RECORDS", "Rival"]


@dataclass(frozen=True)
class Rival:
    """A formatter and, where the library has one, the handler that goes with it."""

    name: str
    title: str
    environment: str
    module: str
    formatter: str
    options: dict[str, Any] = field(default_factory=dict)
    handler: str | None = None
    #: Where a line has its message, and in what its extras stand (None: beside it).
    message_key: str = "message"
    extras_key: str | None = None

    def make_formatter(self) -> logging.Formatter:
        """Make the formatter. Only works in its environment."""
        formatter: logging.Formatter = self._named(self.formatter)(**self.options)
        return formatter

    def make_handler(self, file: TextIO) -> logging.Handler:
        """Make the handler its users would write to a stream with."""
        if self.handler is not None:
            own: logging.Handler = self._named(self.handler)(stream=file)
            return own
        handler = logging.StreamHandler(file)
        handler.setFormatter(self.make_formatter())
        return handler

    def _named(self, name: str) -> Any:
        # By name, since the parent reads this list and has none of them installed.
        module = importlib.import_module(self.module)
        # Both of us have a package dockerflow: PYTHONPATH could pass one for the other.
        homes = (sys.prefix, sys.path[0])
        if not any(Path(str(module.__file__)).is_relative_to(home) for home in homes):
            raise ImportError(f"{self.module} is not the one of its environment; unset PYTHONPATH")
        return getattr(module, name)


OURS = Rival(
    name="ours",
    title="mozlog-py",
    environment="ours",
    module="mozlog_py",
    formatter="MozlogFormatter",
    handler="MozlogHandler",
    message_key="msg",
    extras_key="Fields",
)

#: Ours, with records as ``logging`` itself makes them.
STANDARD_RECORDS = "standard-records"

#: Not a formatter: what ``logging`` itself takes for a record that goes nowhere.
NULL = "null"

RIVALS = (
    OURS,
    Rival(
        name="upstream",
        title="dockerflow",
        environment="upstream",
        module="dockerflow.logging",
        formatter="MozlogFormatter",
        handler="MozlogHandler",
        message_key="msg",
        extras_key="Fields",
    ),
    # As it comes it writes the message and the extras, and not even the time.
    Rival(
        name="orjson",
        title="python-json-logger, orjson",
        environment="ours",
        module="pythonjsonlogger.orjson",
        formatter="OrjsonFormatter",
    ),
    # The same, made to write what a MozLog line says.
    Rival(
        name="orjson-envelope",
        title="python-json-logger, orjson, with time, name, level, pid, host",
        environment="ours",
        module="pythonjsonlogger.orjson",
        formatter="OrjsonFormatter",
        options={
            "fmt": ["created", "name", "levelno", "process", "message"],
            "static_fields": {"Logger": "Dockerflow", "Hostname": "host", "EnvVersion": "2.0"},
        },
    ),
    Rival(
        name="ecs",
        title="ecs-logging",
        environment="ours",
        module="ecs_logging",
        formatter="StdlibFormatter",
    ),
    Rival(
        name="json-log-formatter",
        title="JSON-log-formatter",
        environment="ours",
        module="json_log_formatter",
        formatter="JSONFormatter",
    ),
)
