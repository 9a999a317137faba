"""A summary's LogRecord, made in half of the time that ``logging`` takes for one.

All summaries come from one line of code with the same arguments, so that their records
differ in time, thread and task only. The other attributes are copied from the first record.

That bypasses the methods of the logger. But tracers add their ids in a patched
``Logger.makeRecord``, and tests replace ``info`` of a logger. If ``is_standard`` is False,
``log`` calls those methods.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from mozlog_py._fields.from_record import HAS_NANOSECONDS, START_NS
from mozlog_py._process.memo import remember
from mozlog_py._process.process_id import process
from mozlog_py._stdlib import call_extra, record_factory
from mozlog_py._values.tracebacks import as_exc_info

__all__ = ["has_patched_make_record", "is_standard", "log", "make_record", "stands_for"]

_Logger: Final = logging.Logger
# The original methods; None if one was patched before this module was imported.
_make_record: Final = record_factory.unpatched_method(logging.Logger.makeRecord)
# The handlers of mozlog_py replace it by this function, which makes the same records.
_made_by_ours: Final = call_extra.make_record
_info: Final = record_factory.unpatched_method(logging.Logger.info)
_error: Final = record_factory.unpatched_method(logging.Logger.error)
# Without ``manager``, which getLogger() sets.
_ATTRIBUTE_COUNT: Final = len(vars(logging.Logger("")))  # noqa: LOG001 - one with no manager
_INFO: Final = logging.INFO
_LogRecord: Final = logging.LogRecord
_new: Final = logging.LogRecord.__new__
_init: Final = record_factory.unpatched_method(logging.LogRecord.__init__)
_get_ident: Final = threading.get_ident
_current_thread: Final = threading.current_thread
_modules: Final = sys.modules
_time: Final = time.time
_time_ns: Final = time.time_ns
_START: Final[float] = vars(logging)["_startTime"]
_HAS_TASKS: Final = hasattr(logging, "logAsyncioTasks")

# The function that logs summaries, as ``logging`` finds it: file, line, name, stack.
_place: tuple[str, int] = ("", 0)
_function: tuple[str, None] = ("", None)

#: For each logger and level: the names of the latest fields, and the attributes of the first
#: record of this process that had them.
_first: Final[dict[tuple[str, int], tuple[tuple[str, ...], dict[str, Any]]]] = {}
_MAX_FIRST: Final = 100
_NO_FIRST: Final[tuple[Any, Any]] = None, None

# Makes the same records, attribute for attribute.
_made_faster: Final = record_factory.make_record


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


def log(
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
    if is_standard(logger):
        if logger.isEnabledFor(level):
            _handle(logger, level, message, fields, error)
        return
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
        _handle(logger, level, message, fields, error)


def _handle(
    logger: logging.Logger,
    level: int,
    message: str,
    fields: dict[str, Any],
    error: BaseException | None,
) -> None:
    record = make_record(logger.name, level, message, error=error)
    record.__dict__.update(fields)
    logger.handle(record)


def make_record(
    logger: str,
    level: int,
    message: str,
    names: tuple[str, ...] = (),
    error: BaseException | None = None,
) -> logging.LogRecord:
    """Return the record that ``logging`` makes of a summary, for a logger that ``is_standard``.

    Args:
        logger: The logger's name.
        level: The level of the record.
        message: The text of the summary.
        names: Fields that the caller sets on the record, in this order; the same tuple
            each time is faster. They are None on the returned record, so that its dict
            does not grow when the caller sets them.
        error: An exception for the record's ``exc_info``.
    """
    factory = logging.getLogRecordFactory()
    known, first = _first.get((logger, level), _NO_FIRST)
    ns = _time_ns()
    if ns > process.until_ns:
        process.refresh(ns)
    if (
        known is not names
        or (factory is not _LogRecord and factory is not _made_faster)
        # A patched __init__ may add different attributes to each record.
        or _LogRecord.__init__ is not _init
        or first["process"] is not process.pid
        or not (logging.logThreads and logging.logProcesses and logging.logMultiprocessing)
    ):
        return _made_by_logging(factory, logger, level, message, names, error)
    record = _new(_LogRecord)
    # The copy of a dict is faster than setting the names one by one.
    record.__dict__ = attrs = first.copy()
    attrs["msg"] = message
    if error is not None:
        attrs["exc_info"] = as_exc_info(error)
    if HAS_NANOSECONDS:
        attrs["created"] = seconds = ns / 1e9
        milliseconds = ns // 1_000_000 % 1000
        if milliseconds == 999 and int(seconds) != ns // 1_000_000_000:
            # The seconds were rounded up to the next.
            milliseconds = 0
        attrs["msecs"] = milliseconds + 0.0
        attrs["relativeCreated"] = (ns - START_NS) / 1e6
    else:
        attrs["created"] = now = _time()
        # Whole milliseconds, exact for any time since 1970.
        attrs["msecs"] = now % 1.0 * 1000 // 1.0
        attrs["relativeCreated"] = (now - _START) * 1000
    attrs["thread"] = _get_ident()
    attrs["threadName"] = _current_thread().name
    if _HAS_TASKS:
        attrs["taskName"] = _task_name()
    return record


def _made_by_logging(
    factory: Callable[..., logging.LogRecord],
    logger: str,
    level: int,
    message: str,
    names: tuple[str, ...],
    error: BaseException | None,
) -> logging.LogRecord:
    exc_info = None if error is None else as_exc_info(error)
    # All nine arguments, as Logger.makeRecord() has them: a factory may ask for each.
    record = factory(logger, level, *_place, message, (), exc_info, *_function)
    key = logger, level
    if (
        (factory is _LogRecord or factory is _made_faster)
        and _LogRecord.__init__ is _init
        and record.process is not None
    ):
        # Without the exception and its text: the entry would keep them, and the exception's
        # frames, alive for ever.
        attrs = {**vars(record), "msg": "", "exc_info": None, **dict.fromkeys(names)}
        if record.process == process.pid:
            # A comparison by identity takes a third of the time.
            attrs["process"] = process.pid
        remember(_first, key, (names, attrs), _MAX_FIRST)
    vars(record).update(dict.fromkeys(names))
    return record


def _task_name() -> str | None:
    asyncio = _modules.get("asyncio")
    if asyncio is None or not vars(logging)["logAsyncioTasks"]:
        return None
    try:
        name: str = asyncio.current_task().get_name()
        return name
    except Exception:
        # No event loop runs; logging does the same then.
        return None
