"""A summary's LogRecord, made in half of the time that ``logging`` takes for one.

All summaries come from one place with the same arguments, so that their records
differ in time, thread and task only. The rest is copied from the first of them.

That passes by the methods of the logger. Tracers add their ids in a patched
``Logger.makeRecord``, and tests replace ``info`` of a logger: where ``is_standard``
is False, a summary is logged by those methods (``log``).
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
# What patches of them are told from; None where one was there before this module.
_make_record: Final = record_factory.own_method(logging.Logger.makeRecord)
# What handlers of ours put in its place makes the same records.
_made_by_ours: Final = call_extra.make_record
_info: Final = record_factory.own_method(logging.Logger.info)
_error: Final = record_factory.own_method(logging.Logger.error)
# Beside ``manager``, which those have that getLogger() has made.
_ATTRIBUTE_COUNT: Final = len(vars(logging.Logger("")))  # noqa: LOG001 - one with no manager
_INFO: Final = logging.INFO
_LogRecord: Final = logging.LogRecord
_new: Final = logging.LogRecord.__new__
_init: Final = record_factory.own_method(logging.LogRecord.__init__)
_get_ident: Final = threading.get_ident
_current_thread: Final = threading.current_thread
_modules: Final = sys.modules
_time: Final = time.time
_time_ns: Final = time.time_ns
_START: Final[float] = vars(logging)["_startTime"]
_HAS_TASKS: Final = hasattr(logging, "logAsyncioTasks")

# The function that logs summaries, as ``logging`` would find it: file, line, name, stack.
_place: tuple[str, int] = ("", 0)
_function: tuple[str, None] = ("", None)

#: Of each logger and level, the names of fields that came last, and the attributes of
#: the first record that had them, in this process.
_first: Final[dict[tuple[str, int], tuple[tuple[str, ...], dict[str, Any]]]] = {}
_MAX_FIRST: Final = 100
_NO_FIRST: Final[tuple[Any, Any]] = None, None

# Makes the same records, attribute for attribute.
_made_faster: Final = record_factory.make_record


def stands_for(function: Any) -> None:
    """Have all records say that a function has logged them."""
    global _place, _function
    _place = function.__code__.co_filename, 0
    _function = function.__name__, None


def has_patched_make_record() -> bool:
    """Return whether another library, such as a tracer, has replaced ``Logger.makeRecord``."""
    method: Any = _Logger.makeRecord
    return method is not _made_by_ours and method is not _make_record


def is_standard(logger: Any) -> bool:
    """Return whether the records of a logger are made and logged by ``logging``'s own methods.

    Record factories, filters and handlers count for nothing here: they are asked anyway.
    """
    return (
        type(logger) is _Logger
        and ((method := _Logger.makeRecord) is _made_by_ours or method is _make_record)
        and _Logger.info is _info
        and _Logger.error is _error
        # A logger with no more attributes than it was born with has no method of its own.
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
    """Log a summary by way of whatever its logger consists of.

    Args:
        logger: A logger of ``logging``, of a class of its own, or an object with ``info``
            and ``error``.
        level: INFO, or any other for ``error``.
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
        # No handler of ours was made, and makeRecord() refuses both.
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
            each time, if it is to be fast. Until then they are there and None, so that
            the record need not grow for them.
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
        # What somebody has it add is not the same for each.
        or _LogRecord.__init__ is not _init
        or first["process"] is not process.pid
        or not (logging.logThreads and logging.logProcesses and logging.logMultiprocessing)
    ):
        return _made_by_logging(factory, logger, level, message, names, error)
    record = _new(_LogRecord)
    # A dict that is copied is not filled name by name.
    record.__dict__ = facts = first.copy()
    facts["msg"] = message
    if error is not None:
        facts["exc_info"] = as_exc_info(error)
    if HAS_NANOSECONDS:
        facts["created"] = seconds = ns / 1e9
        milliseconds = ns // 1_000_000 % 1000
        if milliseconds == 999 and int(seconds) != ns // 1_000_000_000:
            # The seconds were rounded up to the next.
            milliseconds = 0
        facts["msecs"] = milliseconds + 0.0
        facts["relativeCreated"] = (ns - START_NS) / 1e6
    else:
        facts["created"] = now = _time()
        # The whole milliseconds, for any time since 1970.
        facts["msecs"] = now % 1.0 * 1000 // 1.0
        facts["relativeCreated"] = (now - _START) * 1000
    facts["thread"] = _get_ident()
    facts["threadName"] = _current_thread().name
    if _HAS_TASKS:
        facts["taskName"] = _task_name()
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
        # Neither the exception nor its text: the first record would keep them, and the
        # exception's frames, for good.
        facts = {**vars(record), "msg": "", "exc_info": None, **dict.fromkeys(names)}
        if record.process == process.pid:
            # By identity it is compared in a third of the time.
            facts["process"] = process.pid
        remember(_first, key, (names, facts), _MAX_FIRST)
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
        # Not within an event loop, which is what logging asks in the same way.
        return None
