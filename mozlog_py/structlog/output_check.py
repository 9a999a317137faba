"""Whether a renderer and the logger below it agree on bytes or text.

A renderer returns bytes or text, and a logger writes one of the two. structlog does not check
this: ``PrintLogger`` prints ``b'...'``. The renderer therefore checks it at its first event.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import structlog

from mozlog_py._values.class_lookup import type_name

__all__ = ["WiringError", "check_wiring", "takes_text"]

_TEXT_LOGGERS: Final = (structlog.PrintLogger, structlog.WriteLogger, logging.Logger)


class WiringError(TypeError, ValueError):
    """A chain of processors, or the logger below it, cannot work as it is put together."""


def takes_text(logger: Any) -> bool:
    """Return whether a logger is of a class that writes text only."""
    return isinstance(logger, _TEXT_LOGGERS)


def check_wiring(output: str, logger: Any, event_dict: Any) -> None:
    """Raise ``WiringError`` if a logger does not take what a renderer returns.

    Args:
        output: What the renderer returns, ``"bytes"`` or ``"text"``.
        logger: The logger that the renderer was called with.
        event_dict: The event. One with a record comes from a ``ProcessorFormatter``, which
            takes text.

    Raises:
        WiringError: The logger takes the other output only.
    """
    kind = type(logger)
    is_of_record = isinstance(event_dict, dict) and isinstance(
        event_dict.get("_record"), logging.LogRecord
    )
    if output == "bytes" and (issubclass(kind, _TEXT_LOGGERS) or is_of_record):
        is_standard = is_of_record or issubclass(kind, logging.Logger)
        behind = "ProcessorFormatter" if is_of_record else type_name(kind)
        if issubclass(kind, logging.Logger):
            behind = "logging.Logger"
        raise WiringError(
            f"MozlogRenderer returns bytes and {behind} takes text, so it would print b'...': "
            'use MozlogRenderer(output="text")'
            + ("" if is_standard else ", or structlog.BytesLoggerFactory()")
        )
    if output == "text" and issubclass(kind, structlog.BytesLogger):
        raise WiringError(
            'MozlogRenderer(output="text") returns text and BytesLogger takes bytes: leave '
            "output out, or use structlog.PrintLoggerFactory()"
        )
