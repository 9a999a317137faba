"""A factory of LogRecords for ``logging``: the standard ones, in about half of the time.

``logging.LogRecord`` asks anew for every record what its level is called, what
in its path is the file's name, and whether its arguments are a mapping. Most of
that is known beforehand. What is made here has the same attributes, in the same
order, with the same values; a property test holds the two together, and
whatever is odd is left to ``LogRecord`` itself.
Source: https://docs.python.org/3/library/logging.html#logging.setLogRecordFactory
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Mapping
from types import FunctionType
from typing import Any, Final

from mozlog_py._fields.from_record import HAS_NANOSECONDS
from mozlog_py._process.memo import remember

__all__ = ["install", "make_record", "unpatched_method"]


def unpatched_method(method: Any) -> Any:
    """Return a method of a class of ``logging``, None where something else stands in its place.

    A tracer may have patched it before this module was imported. By its code it is told
    from that: a wrapper takes over the name and the module of what it wraps.
    """
    source = logging.addLevelName.__code__.co_filename
    is_own = type(method) is FunctionType and method.__code__.co_filename == source
    return method if is_own else None


_LogRecord: Final = logging.LogRecord
_new: Final = logging.LogRecord.__new__
#: None, which no method is, where it was patched already.
_init: Final = unpatched_method(logging.LogRecord.__init__)
_names: Final = vars(logging)
_modules: Final = sys.modules
_HAS_TASKS: Final = hasattr(logging, "logAsyncioTasks")
# When the process began: seconds, since 3.13 nanoseconds.
_START: Final = _names.get("_startTime", 0)
# What addLevelName() writes to; without it, getLevelName() is asked each time.
_level_names: Final[dict[Any, Any]] = _names.get("_levelToName", {})
_TIMES: Final = ("created", "msecs", "relativeCreated")

# Paths are those of code and few, but nothing keeps a caller from making them up.
_MAX_PATHS: Final = 1000
_MAX_LENGTH: Final = 512

#: The name of the file and of the module, by path.
_files_and_modules: Final[dict[str, tuple[str, str]]] = {}


def make_record(
    name: Any,
    level: Any,
    pathname: Any,
    lineno: Any,
    msg: Any,
    args: Any,
    exc_info: Any,
    func: Any = None,
    sinfo: Any = None,
    **kwargs: Any,
) -> logging.LogRecord:
    """Make the record that ``logging.LogRecord`` is for the same arguments.

    Raises what that raises.
    """
    if type(pathname) is not str or type(level) is not int or _LogRecord.__init__ is not _init:
        return _LogRecord(name, level, pathname, lineno, msg, args, exc_info, func, sinfo, **kwargs)
    # What is raised here goes on, as it does there: it may be a signal's handler that
    # ends a task which took too long. One attribute after the other, as LogRecord itself
    # does it: a dict for all of them would no longer share its keys with the other
    # records, which costs an eighth of a whole call. What others may replace (clocks in
    # tests, threads by gevent) is looked up in its module at each call, as it is there.
    now = _names["time"].time_ns() if HAS_NANOSECONDS else _names["time"].time()
    record: Any = _new(_LogRecord)
    record.name = name
    record.msg = msg
    if args and len(args) == 1:
        kind = type(args[0])
        # To ask the ABC takes longer than all else here.
        if kind is not str and kind is not int and kind is not float and _is_mapping(args[0]):
            args = args[0]
    record.args = args
    record.levelname = _level_names.get(level) or logging.getLevelName(level)
    record.levelno = level
    record.pathname = pathname
    record.filename, record.module = _files_and_modules.get(pathname) or _file_and_module(pathname)
    record.exc_info = exc_info
    record.exc_text = None
    record.stack_info = sinfo
    record.lineno = lineno
    record.funcName = func
    if HAS_NANOSECONDS:
        record.created = seconds = now / 1e9
        milliseconds = now // 1_000_000 % 1000
        if milliseconds == 999 and int(seconds) != now // 1_000_000_000:
            # The seconds were rounded up to the next.
            milliseconds = 0
        record.msecs = milliseconds + 0.0
        record.relativeCreated = (now - _START) / 1e6
    else:
        record.created = now
        # The whole milliseconds, for any time since 1970.
        record.msecs = now % 1.0 * 1000 // 1.0
        record.relativeCreated = (now - _START) * 1000
    if logging.logThreads:
        record.thread = threading.get_ident()
        record.threadName = threading.current_thread().name
    else:
        record.thread = None
        record.threadName = None
    if not logging.logMultiprocessing:
        record.processName = None
    else:
        record.processName = "MainProcess"
        if "multiprocessing" in _modules:
            try:
                record.processName = _modules["multiprocessing"].current_process().name
            except Exception:
                # LogRecord passes over it as well: it may be half imported.
                pass
    # A fork past the interpreter changes it as well: it is asked for each time.
    record.process = os.getpid() if logging.logProcesses else None
    if _HAS_TASKS:
        # The types of 3.11 do not know it.
        is_told: bool = logging.logAsyncioTasks  # type: ignore[attr-defined, unused-ignore]
        record.taskName = _task_name() if is_told else None
    return record  # type: ignore[no-any-return]


def _is_mapping(argument: Any) -> bool:
    return isinstance(argument, Mapping) and bool(argument)


def _file_and_module(pathname: str) -> tuple[str, str]:
    filename = os.path.basename(pathname)  # noqa: PTH119 - as LogRecord does it
    place = filename, os.path.splitext(filename)[0]  # noqa: PTH122
    remember(_files_and_modules, pathname, place, _MAX_PATHS, _MAX_LENGTH)
    return place


def _task_name() -> str | None:
    asyncio: Any = _modules.get("asyncio")
    try:
        # Where no loop runs, current_task() raises, which takes longer than all else here.
        loop = asyncio._get_running_loop() if asyncio else None  # noqa: SLF001 - asyncio exports it
        task = None if loop is None else asyncio.current_task(loop)
        return None if task is None else task.get_name()
    except Exception:
        # LogRecord passes over it as well.
        return None


class _Installation:
    """Whether it was installed in this process."""

    is_done = False


def install() -> None:
    """Have ``logging`` make its records here, unless it has a factory of somebody else's.

    Once in a process: whoever sets ``logging.LogRecord`` back afterwards keeps it. On a
    Python whose records are not the ones that are made here nothing is changed.
    """
    if _Installation.is_done or logging.getLogRecordFactory() is not _LogRecord:
        return
    if logging.LogRecord is _LogRecord and _is_standard():
        logging.setLogRecordFactory(make_record)
        _Installation.is_done = True


def _is_standard() -> bool:
    """Tell whether records of ours are those of this Python."""
    arguments: Any = ("name", logging.INFO, __file__, 1, "%s", ("a",), None, "function", None)
    try:
        ours, theirs = vars(make_record(*arguments)), vars(_LogRecord(*arguments))
        return (
            list(ours) == list(theirs)
            and all(ours[name] == theirs[name] for name in theirs if name not in _TIMES)
            # Python 3.10.0 had fractions of milliseconds.
            and theirs["msecs"] % 1 == 0
            # Of one unit, and counted from one beginning.
            and abs(ours["created"] - theirs["created"]) < 60
            and abs(ours["relativeCreated"] - theirs["relativeCreated"]) < 60_000
        )
    except Exception:
        # A clock that a test has replaced, perhaps.
        return False
