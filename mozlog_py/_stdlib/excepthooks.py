"""Logs uncaught exceptions: of the main thread, of threads, and of ``__del__``."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from contextvars import Context
from types import TracebackType
from typing import Any, Final

__all__ = ["LOGGER_NAME", "log_uncaught"]

#: The logger that uncaught exceptions are logged with.
LOGGER_NAME: Final = "uncaught"

_logger: Final = logging.getLogger(LOGGER_NAME)

# Error reporters in ``Logger.callHandlers`` get a record with this logger once its line is
# written. A logger with no handler at all would write to stderr.
_without_handlers: Final = logging.Logger(LOGGER_NAME)  # noqa: LOG001 - not registered
_without_handlers.handlers = [logging.NullHandler()]

# The former hooks that are running in this thread. One may call the hook of this module.
_calling: Final = threading.local()

_MAX_NESTED: Final = 8
#: Seconds that a queue has to write an exception, before it is shown on stderr as well.
_FLUSH_S: Final = 1.0

# The hooks of other libraries, such as error reporters, which are called afterwards.
_former_hooks: dict[str, Callable[..., Any]] = {}


def log_uncaught() -> None:
    """Log uncaught exceptions, in place of the interpreter's output.

    Sets ``sys.excepthook``, ``threading.excepthook`` and ``sys.unraisablehook``. Each calls the
    former hook of another library afterwards. A second call changes nothing. A
    ``KeyboardInterrupt`` is left to the interpreter, which sets its exit status.
    """
    if sys.excepthook is not _log_exception:
        _former_hooks["exception"] = sys.excepthook
        sys.excepthook = _log_exception
    if threading.excepthook is not _log_thread_exception:
        _former_hooks["thread"] = threading.excepthook
        threading.excepthook = _log_thread_exception
    if sys.unraisablehook is not _log_unraisable:
        _former_hooks["unraisable"] = sys.unraisablehook
        sys.unraisablehook = _log_unraisable


def _record(level: int, exc_info: Any, message: str, *args: Any) -> logging.LogRecord | None:
    """Return the record of an exception; None if no handler gets it."""
    # A later dictConfig or fileConfig may have disabled the loggers that it does not name.
    _logger.disabled = False
    if not _logger.isEnabledFor(level) or not _receivers(level):
        # Without a handler, ``logging`` would write it to stderr, as the caller does then.
        return None
    path, line, function, _ = _logger.findCaller()
    return _logger.makeRecord(LOGGER_NAME, level, path, line, message, args, exc_info, function)


def _report(
    hook: str,
    default: Callable[..., Any],
    error: Any,
    record: logging.LogRecord | None,
    *args: Any,
) -> None:
    """Write the line of an exception, call the former hook, and tell error reporters of the line.

    A former hook may end the process, so the line comes first. A reporter in
    ``Logger.callHandlers`` takes the line for an exception that the application has handled, and
    the former hook may be the same reporter's for those that it has not: so that one comes before.

    Args:
        hook: The kind of the hook.
        default: The interpreter's own hook.
        error: The exception.
        record: The record of the exception; None if there is no line.
        *args: The arguments of the hook.
    """
    passed = None if record is None else _filtered(record)
    try:
        # A record that a filter has dropped is not to be seen on stderr either.
        is_logged = record is not None and (passed is None or _is_written(passed))
        _call_former(hook, default, error, *args, is_logged=is_logged)
    finally:
        if passed is not None:
            logging.Logger.callHandlers(_without_handlers, passed)


def _filtered(record: logging.LogRecord) -> logging.LogRecord | None:
    """Return the record that the filters of the logger leave; None if they drop it."""
    passed: Any = _logger.filter(record)
    if not passed:
        return None
    return passed if isinstance(passed, logging.LogRecord) else record


def _is_written(record: logging.LogRecord) -> bool:
    """Pass a record to the handlers; return False if none wrote it, as far as can be known."""
    handlers = _receivers(record.levelno)
    losses = [_lost(each) for each in handlers]
    for each in handlers:
        each.handle(record)
    return any(
        before is None or (_is_flushed(each) and _lost(each) == before)
        for each, before in zip(handlers, losses, strict=True)
    )


def _receivers(level: int) -> list[logging.Handler]:
    """Return the handlers that get a record of a level, without those that write nothing."""
    found: list[logging.Handler] = []
    logger: logging.Logger | None = _logger
    while logger is not None:
        found += [
            each
            for each in logger.handlers
            if each.level <= level and type(each) is not logging.NullHandler
        ]
        logger = logger.parent if logger.propagate else None
    return found


def _lost(handler: Any) -> int | None:
    """Return how many lines a handler has lost; None for handlers that do not count them."""
    lost = getattr(getattr(handler, "sink", None), "lost", None)
    return lost if type(lost) is int else None


def _is_flushed(handler: Any) -> bool:
    """Return whether the lines of a handler are written; one without a queue has written them."""
    return not hasattr(handler.sink, "waiting_bytes") or handler.flush(_FLUSH_S)


def _call_former(
    hook: str, default: Callable[..., Any], error: Any, *args: Any, is_logged: bool
) -> None:
    former = _former_hooks.get(hook, default)
    if former is default:
        if not is_logged:
            default(*args)
        return
    before = getattr(_calling, "on", ())
    _calling.on = (*before, (hook, error, is_logged))
    try:
        former(*args)
    finally:
        _calling.on = before


def _is_called_back(hook: str, default: Callable[..., Any], error: Any, *args: Any) -> bool:
    """Return whether a former hook has called the hook of this module, as chained hooks do."""
    for name, its_error, is_logged in getattr(_calling, "on", ()):
        if name == hook and its_error is error:
            if not is_logged:
                default(*args)
            return True
    # A hook that wraps each exception in a new one would recur without an end.
    return len(getattr(_calling, "on", ())) >= _MAX_NESTED


def _log_exception(
    kind: type[BaseException], error: BaseException, frames: TracebackType | None
) -> None:
    if _is_called_back("exception", sys.__excepthook__, error, kind, error, frames):
        return
    record = None
    if not issubclass(kind, KeyboardInterrupt):
        record = _record(logging.CRITICAL, (kind, error, frames), "uncaught exception")
    _report("exception", sys.__excepthook__, error, record, kind, error, frames)


def _log_thread_exception(args: threading.ExceptHookArgs) -> None:
    # From Python 3.14 on, a thread runs in a context of its own, and has left it here. The line
    # has what was bound in it. A copy, since another thread may run in the same one.
    context = getattr(args.thread, "_context", None)
    if isinstance(context, Context):
        context.copy().run(_log_in_context, args)
    else:
        _log_in_context(args)


def _log_in_context(args: threading.ExceptHookArgs) -> None:
    if _is_called_back("thread", threading.__excepthook__, args.exc_value, args):
        return
    record = None
    if args.exc_type is not SystemExit and args.exc_value is not None:
        record = _record(
            logging.CRITICAL,
            (args.exc_type, args.exc_value, args.exc_traceback),
            "uncaught exception in thread %s",
            "unknown" if args.thread is None else args.thread.name,
        )
    _report("thread", threading.__excepthook__, args.exc_value, record, args)


def _log_unraisable(args: sys.UnraisableHookArgs) -> None:
    # Called for an exception in __del__, also during the shutdown of the interpreter.
    if _is_called_back("unraisable", sys.__unraisablehook__, args.exc_value, args):
        return
    record = None
    if args.exc_value is not None:
        record = _record(
            logging.ERROR,
            (args.exc_type, args.exc_value, args.exc_traceback),
            "%s %r",
            args.err_msg or "exception ignored in",
            args.object,
        )
    _report("unraisable", sys.__unraisablehook__, args.exc_value, record, args)
