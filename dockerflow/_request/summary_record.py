"""A summary's LogRecord, and the methods by which a logger logs it.

All summaries come from one line of code, so ``log_record`` calls the record factory without the
logger's search for the caller. That bypasses the methods of the logger. But tracers add their ids
in a patched ``Logger.makeRecord``, and tests replace ``info`` of a logger. If ``is_standard`` is
False, ``log_by_methods`` calls those.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from mozlog_py._process.unpatched import unpatched_method
from mozlog_py._stdlib import call_extra
from mozlog_py._values.tracebacks import as_exc_info

__all__ = [
    "HOOK_RAISED",
    "has_patched_make_record",
    "is_standard",
    "log_by_methods",
    "log_record",
    "stands_for",
]

#: The text that an exception of an application's hook for the fields of a summary is logged with.
HOOK_RAISED: Final = "A hook for the fields of a request's summary raised; its fields are left out"

_Logger: Final = logging.Logger
# The original methods; None if one was patched before this module was imported.
_make_record: Final = unpatched_method(logging.Logger.makeRecord)
# The handlers of mozlog_py replace it by this function, which makes the same records.
_made_by_ours: Final = call_extra.make_record
_info: Final = unpatched_method(logging.Logger.info)
_error: Final = unpatched_method(logging.Logger.error)
# Without ``manager``, which getLogger() sets.
_ATTRIBUTE_COUNT: Final = len(vars(logging.Logger("")))  # noqa: LOG001 - one with no manager
_INFO: Final = logging.INFO

# The function that logs summaries, as ``logging`` finds it: file, line, name, stack.
_place: tuple[str, int] = ("", 0)
_function: tuple[str, None] = ("", None)


def stands_for(function: Any) -> None:
    """Have all records name a function as the one that has logged them."""
    global _place, _function
    _place = function.__code__.co_filename, 0
    _function = function.__name__, None


def has_patched_make_record() -> bool:
    """Return whether another library, such as a tracer, has replaced ``Logger.makeRecord``."""
    method: Any = _Logger.makeRecord
    return method is not _made_by_ours and method is not _make_record


def is_standard(logger: Any) -> bool:
    """Return whether the records of a logger are made and logged by ``logging``'s own methods.

    Record factories, filters and handlers do not matter: they are called in any case.
    """
    return (
        type(logger) is _Logger
        and ((method := _Logger.makeRecord) is _made_by_ours or method is _make_record)
        and _Logger.info is _info
        and _Logger.error is _error
        # A logger without additional attributes has no method of its own.
        and (
            len(own := logger.__dict__) - ("manager" in own) <= _ATTRIBUTE_COUNT
            or not ("info" in own or "error" in own or "makeRecord" in own)
        )
    )


def log_by_methods(
    logger: Any,
    level: int,
    message: str,
    fields: dict[str, Any],
    error: BaseException | None = None,
) -> None:
    """Log a summary by the methods of its logger, which may be any object.

    Args:
        logger: A logger of ``logging``, of a class of its own, or an object with ``info``
            and ``error``.
        level: INFO to call ``info``, another level to call ``error``.
        message: The text of the summary.
        fields: Attributes for the record, none of which ``logging`` sets itself.
        error: An exception for the record's ``exc_info``.
    """
    method = logger.info if level == _INFO else logger.error
    # A record factory may set an attribute of the same name.
    extra = call_extra.OverridingExtra(fields)
    try:
        if error is None:
            method(message, extra=extra)
        else:
            method(message, exc_info=as_exc_info(error), extra=extra)
    except KeyError:
        if not isinstance(logger, _Logger):
            raise
        # logging's own makeRecord() refuses an extra that overrides an attribute.
        log_record(logger, level, message, fields, error)


def log_record(
    logger: logging.Logger,
    level: int,
    message: str,
    fields: dict[str, Any],
    error: BaseException | None,
) -> None:
    """Log a summary as a record, past the methods of its logger; otherwise as ``log_by_methods``.

    For a logger that ``is_standard`` and is enabled for the level.
    """
    # All nine arguments, as Logger.makeRecord() has them: a factory may ask for each.
    factory = logging.getLogRecordFactory()
    record = factory(logger.name, level, *_place, message, (), as_exc_info(error), *_function)
    vars(record).update(fields)
    logger.handle(record)
