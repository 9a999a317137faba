"""Logs fields without a LogRecord, if no other code could see that record.

A summary has a dozen fields and no message. Making a record, passing it from the logger to its
handler and reading the fields back takes most of the time of its line. If one ``MozlogHandler``
with a plain ``MozlogFormatter`` is the only handler of a logger, the line is rendered from the
fields themselves. Each call tests for code that could see a record: handlers, filters, record
factories, and replaced methods of ``logging``.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from mozlog_py._process.unpatched import unpatched_method

from ._stdlib import record_factory
from .handlers import MozlogHandler

__all__ = ["log_fields"]

_Logger: Final = logging.Logger
_handle: Final = unpatched_method(logging.Logger.handle)
_call_handlers: Final = unpatched_method(logging.Logger.callHandlers)
_LogRecord: Final = logging.LogRecord
_init: Final = unpatched_method(logging.LogRecord.__init__)
_own_emit: Final = MozlogHandler.emit
_own_handle: Final = MozlogHandler.handle


def log_fields(logger: logging.Logger, level: int, fields: dict[str, Any]) -> bool:
    """Write one line of fields, if only a ``MozlogHandler`` would see their record.

    Args:
        logger: A plain ``logging.Logger`` with the methods of its class, which is
            enabled for the level.
        level: The Python level.
        fields: The Fields of the line, in their order. None of them has the name of an
            attribute of records.

    Returns:
        Whether the line is written, or counted as lost. If False, the caller has to log the
        fields as a record.
    """
    handler = _only_handler(logger)
    if handler is None or handler.level > level:
        return False
    try:
        line = handler.line_of_fields(logger.name, level, fields)
    except Exception:
        # With a record, the general renderer shows the cause in the line.
        return False
    except BaseException:
        # A signal's handler raised it: the line is written before the exception goes on.
        record = logging.LogRecord(logger.name, level, __file__, 0, "", (), None)
        vars(record).update(fields)
        handler.handle(record)
        raise
    if line is None:
        return False
    handler.sink.write(line)
    return True


def _only_handler(logger: logging.Logger) -> MozlogHandler | None:
    """Return the only handler of a logger's records; None if other code could see them."""
    if (
        logger.filters
        or _Logger.handle is not _handle
        or _Logger.callHandlers is not _call_handlers
        or _LogRecord.__init__ is not _init
        or MozlogHandler.emit is not _own_emit
        or MozlogHandler.handle is not _own_handle
    ):
        return None
    factory = logging.getLogRecordFactory()
    if factory is not record_factory.make_record and factory is not _LogRecord:
        return None
    only: logging.Handler | None = None
    ancestor: logging.Logger | None = logger
    while ancestor is not None:
        handlers = ancestor.handlers
        if handlers:
            if only is not None or len(handlers) > 1:
                return None
            only = handlers[0]
        if not ancestor.propagate:
            break
        ancestor = ancestor.parent
    if type(only) is MozlogHandler and not only.filters:
        return only
    return None
