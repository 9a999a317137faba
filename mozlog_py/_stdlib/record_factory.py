"""A factory of standard LogRecords that takes about half the time of ``logging.LogRecord``.

``logging.LogRecord`` looks up the level's name, splits the path and tests the arguments for a
mapping anew for each record. This factory keeps the results. Its records have the same
attributes, in the same order, with the same values; a property test compares them. Arguments of
unusual types go to ``LogRecord`` itself. ``docs/design/record-factory.md`` has the reasons.
Source: https://docs.python.org/3/library/logging.html#logging.setLogRecordFactory
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Mapping
from typing import Any, Final

from mozlog_py._fields.from_record import HAS_NANOSECONDS
from mozlog_py._process.memo import remember
from mozlog_py._process.unpatched import unpatched_method

__all__ = ["install", "make_record"]

_LogRecord: Final = logging.LogRecord
_new: Final = logging.LogRecord.__new__
#: None if it was patched before this import; then no method is identical to it.
_init: Final = unpatched_method(logging.LogRecord.__init__)
_names: Final = vars(logging)
_modules: Final = sys.modules
_HAS_TASKS: Final = hasattr(logging, "logAsyncioTasks")
# The start of the process: in seconds, since 3.13 in nanoseconds.
_START: Final = _names.get("_startTime", 0)
# The dict that addLevelName() changes. On a Python without it, getLevelName() is called.
_level_names: Final[dict[Any, Any]] = _names.get("_levelToName", {})
_TIMES: Final = ("created", "msecs", "relativeCreated")

# A process has few paths of code, but a caller may pass any text as one.
_MAX_PATHS: Final = 1000
_MAX_LENGTH: Final = 512

#: The names of the file and the module, by path.
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
    """Return the record that ``logging.LogRecord`` makes of the same arguments.

    Raises:
        Exception: As ``logging.LogRecord`` does.
    """
    if type(pathname) is not str or type(level) is not int or _LogRecord.__init__ is not _init:
        return _LogRecord(name, level, pathname, lineno, msg, args, exc_info, func, sinfo, **kwargs)
    # An exception is raised to the caller, as from LogRecord: a signal's handler may end a task
    # that took too long. The attributes are set one by one: an update from a dict would end the
    # sharing of keys between records, which costs an eighth of a call. Clocks and threads are
    # read from their modules at each call, because tests and gevent replace them.
    now = _names["time"].time_ns() if HAS_NANOSECONDS else _names["time"].time()
    record: Any = _new(_LogRecord)
    record.name = name
    record.msg = msg
    if args and len(args) == 1:
        kind = type(args[0])
        # A test against the ABC takes longer than the rest of this function.
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
            # The division has rounded up to the next second.
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
    elif "multiprocessing" in _modules:
        record.processName = _process_name()
    else:
        record.processName = "MainProcess"
    # Not kept: a fork by an extension module calls no hook of the interpreter.
    record.process = os.getpid() if logging.logProcesses else None
    if _HAS_TASKS:
        # The type stubs of 3.11 lack this switch.
        has_task: bool = logging.logAsyncioTasks  # type: ignore[attr-defined, unused-ignore]
        record.taskName = _task_name() if has_task else None
    return record  # type: ignore[no-any-return]


def _is_mapping(argument: Any) -> bool:
    return isinstance(argument, Mapping) and bool(argument)


def _process_name() -> Any:
    try:
        return _modules["multiprocessing"].current_process().name
    except Exception:
        # As in LogRecord: the module may be partially imported.
        return "MainProcess"


def _file_and_module(pathname: str) -> tuple[str, str]:
    filename = os.path.basename(pathname)  # noqa: PTH119 - as LogRecord does it
    names = filename, os.path.splitext(filename)[0]  # noqa: PTH122
    remember(_files_and_modules, pathname, names, _MAX_PATHS, _MAX_LENGTH)
    return names


def _task_name() -> str | None:
    asyncio: Any = _modules.get("asyncio")
    try:
        # Without a running loop, current_task() raises, which takes longer than this function.
        loop = asyncio._get_running_loop() if asyncio else None  # noqa: SLF001 - asyncio exports it
        task = None if loop is None else asyncio.current_task(loop)
        return None if task is None else task.get_name()
    except Exception:
        # As in LogRecord.
        return None


class _Installation:
    """Whether the factory was installed in this process."""

    is_done = False


def install() -> None:
    """Set this factory as that of ``logging``, unless another one is set.

    This happens once in a process: an application that sets ``logging.LogRecord`` again keeps
    it. On a Python whose records differ from those of this factory, nothing changes.
    """
    if _Installation.is_done or logging.getLogRecordFactory() is not _LogRecord:
        return
    if logging.LogRecord is _LogRecord and _is_standard():
        logging.setLogRecordFactory(make_record)
        _Installation.is_done = True


def _is_standard() -> bool:
    """Return whether the records of this factory equal those of this Python."""
    arguments: Any = ("name", logging.INFO, __file__, 1, "%s", ("a",), None, "function", None)
    try:
        ours, standard = vars(make_record(*arguments)), vars(_LogRecord(*arguments))
        return (
            list(ours) == list(standard)
            and all(ours[name] == standard[name] for name in standard if name not in _TIMES)
            # Python 3.10.0 had fractions of milliseconds.
            and standard["msecs"] % 1 == 0
            # The times have the same unit and the same origin.
            and abs(ours["created"] - standard["created"]) < 60
            and abs(ours["relativeCreated"] - standard["relativeCreated"]) < 60_000
        )
    except Exception:
        # A test may have replaced a clock.
        return False
