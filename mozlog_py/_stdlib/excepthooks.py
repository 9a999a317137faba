"""Logs uncaught exceptions: of the main thread, of threads, and of ``__del__``."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

__all__ = ["LOGGER_NAME", "log_uncaught"]

#: The logger that uncaught exceptions are logged with.
LOGGER_NAME: Final = "uncaught"

_logger: Final = logging.getLogger(LOGGER_NAME)

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


def _log(level: int, exc_info: Any, message: str, *args: Any) -> bool:
    """Log an exception; return False if no handler has written it, as far as that can be known."""
    # A later dictConfig or fileConfig may have disabled the loggers that it does not name.
    _logger.disabled = False
    if not _logger.isEnabledFor(level):
        return False
    handlers = _receivers(level)
    if not handlers:
        # ``logging`` would write it to stderr, as the caller does then.
        return False
    losses = [_lost(each) for each in handlers]
    _logger.log(level, message, *args, exc_info=exc_info)
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
    is_logged = not issubclass(kind, KeyboardInterrupt) and _log(
        logging.CRITICAL, (kind, error, frames), "uncaught exception"
    )
    _call_former("exception", sys.__excepthook__, error, kind, error, frames, is_logged=is_logged)


def _log_thread_exception(args: threading.ExceptHookArgs) -> None:
    if _is_called_back("thread", threading.__excepthook__, args.exc_value, args):
        return
    is_logged = (
        args.exc_type is not SystemExit
        and args.exc_value is not None
        and _log(
            logging.CRITICAL,
            (args.exc_type, args.exc_value, args.exc_traceback),
            "uncaught exception in thread %s",
            "unknown" if args.thread is None else args.thread.name,
        )
    )
    _call_former("thread", threading.__excepthook__, args.exc_value, args, is_logged=is_logged)


def _log_unraisable(args: sys.UnraisableHookArgs) -> None:
    # Called for an exception in __del__, also during the shutdown of the interpreter.
    if _is_called_back("unraisable", sys.__unraisablehook__, args.exc_value, args):
        return
    is_logged = args.exc_value is not None and _log(
        logging.ERROR,
        (args.exc_type, args.exc_value, args.exc_traceback),
        "%s %r",
        args.err_msg or "exception ignored in",
        args.object,
    )
    _call_former("unraisable", sys.__unraisablehook__, args.exc_value, args, is_logged=is_logged)
