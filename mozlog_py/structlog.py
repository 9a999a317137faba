"""The front for structlog: a processor that renders MozLog lines.

::

    structlog.configure(
        processors=[mozlog_py.structlog.MozlogRenderer("shop")],
        logger_factory=structlog.BytesLoggerFactory(),
    )
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import structlog

from .context import current
from .events import level_number, read_event
from .fields import merge
from .line import DEGRADED, Interrupted, LineMaker, local_hostname
from .values import Sanitiser, type_name

__all__ = ["MozlogRenderer"]

_TEXT_LOGGERS: Final = (structlog.PrintLogger, structlog.WriteLogger, logging.Logger)


class MozlogRenderer:
    """The last processor of a chain: renders an event dict as a MozLog 2.0 line.

    - ``logger_name``: the application, ``Logger`` in the envelope; and ``Type``,
      where an event has no logger's name.
    - ``output``: ``"bytes"`` for ``BytesLogger``; ``"text"`` for ``PrintLogger``,
      ``WriteLogger``, ``ProcessorFormatter`` and the standard library's loggers.
    - ``hostname``, ``strict``, ``json_default``, ``static_fields`` and
      ``include_context``: as in ``MozlogFormatter``.

    It understands what structlog's own processors leave in an event dict: level,
    logger, timestamp, exc_info, exception, stack, positional arguments, and the
    record of a ``ProcessorFormatter``. ``merge_contextvars`` before it does no
    harm and is not needed.

    Raises ``ValueError`` for an unknown ``output``, and ``TypeError`` at the first
    event where the logger behind it takes only the other one.
    """

    def __init__(
        self,
        logger_name: str = "Dockerflow",
        *,
        output: Literal["bytes", "text"] = "bytes",
        hostname: str | None = None,
        strict: bool = False,
        json_default: Callable[[Any], Any] | None = None,
        static_fields: Mapping[str, Any] | None = None,
        include_context: bool = True,
    ) -> None:
        if output not in ("bytes", "text"):
            raise ValueError(f"output is {output!r}; it must be 'bytes' or 'text'")
        self._output = output
        self._include_context = include_context
        self._static_fields = dict(static_fields or {})
        self._json_default = json_default
        self._maker = LineMaker(
            logger_name,
            local_hostname() if hostname is None else hostname,
            strict=strict,
            json_default=json_default,
        )
        self._fitting: type | None = None

    def __call__(self, logger: Any, method_name: str, event_dict: Mapping[str, Any]) -> bytes | str:
        """Render one event. Raises no ``Exception`` but for the wrong wiring."""
        if type(logger) is not self._fitting:
            self._check_wiring(logger, event_dict)
        try:
            line = self._line(method_name, event_dict)
        except Interrupted as interrupted:
            # A value's own code raised it, and only who writes could raise it afterwards.
            line = interrupted.line
        except Exception as error:
            line = self._maker.line(
                time.time_ns(),
                self._maker.logger,
                level_number(method_name),
                None,
                _remains(event_dict, error),
            )
        return line if self._output == "bytes" else line.decode()

    def _line(self, method_name: str, event_dict: Mapping[str, Any]) -> bytes:
        sanitiser = Sanitiser(self._json_default)
        maker = self._maker
        event = read_event(event_dict, method_name, maker.logger, sanitiser)
        around = self._static_fields
        if self._include_context and (context := current()):
            around = {**around, **context}
        fields = merge(around, event.fields) if around else event.fields
        return maker.line(
            event.timestamp_ns, event.type_, event.level, event.pid, fields, sanitiser
        )

    def _check_wiring(self, logger: Any, event_dict: Any) -> None:
        kind = type(logger)
        is_of_record = isinstance(event_dict, dict) and isinstance(
            event_dict.get("_record"), logging.LogRecord
        )
        if self._output == "bytes" and (issubclass(kind, _TEXT_LOGGERS) or is_of_record):
            behind = "ProcessorFormatter" if is_of_record else type_name(kind)
            raise TypeError(
                f"MozlogRenderer gives bytes and {behind} wants text, so it would print b'...': "
                'use MozlogRenderer(output="text"), or structlog.BytesLoggerFactory()'
            )
        if self._output == "text" and issubclass(kind, structlog.BytesLogger):
            raise TypeError(
                'MozlogRenderer(output="text") gives text and BytesLogger wants bytes: leave '
                "output out, or use structlog.PrintLoggerFactory()"
            )
        self._fitting = kind


def _remains(event_dict: Any, error: Exception) -> dict[str, Any]:
    """Give what is left to say of an event that could not be read."""
    reason = f"event not readable: {type_name(type(error))}"
    if not isinstance(event_dict, dict):
        return {"msg": "the event could not be read", DEGRADED: reason}
    fields = dict.copy(event_dict)
    fields["msg"] = fields.pop("event", "the event could not be read")
    return {**fields, DEGRADED: reason}
