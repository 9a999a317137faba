"""The methods of a bound logger: the short path from a call to its line, and no-op methods.

Two parts are inlined, since a call would cost more than they do. The method repeats the last
statements of ``LineEncoder.line``; a property test compares the two. It repeats those of
``Sink.write`` for files; the tests of interrupts raise an exception at every bytecode of it.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from mozlog_py._context import trace_context
from mozlog_py._context.trace_context import may_have_span
from mozlog_py._fields.json_message import looks_like_json
from mozlog_py._line.json_encoder import dumps
from mozlog_py._line.unsafe_characters import DELETE, escape_short
from mozlog_py._process.process_id import process
from mozlog_py._sink.write_slot import owns_writes
from mozlog_py._values.sanitiser import MAX_ITEMS
from mozlog_py.context import current, read_bound, read_request_id

from .levels import LEVELS_BY_METHOD
from .logging_changes import changes
from .renderer import bound_by_structlog

__all__ = [
    "ASYNC_LOG_METHODS",
    "LOG_METHODS",
    "Method",
    "aexception",
    "exception",
    "noop",
    "noop_async",
]

#: A method of a bound logger, as a function.
Method = Callable[..., Any]

_dumps: Final = dumps
_time_ns: Final = time.time_ns
_modules: Final = sys.modules
# As many fields may be bound to the logger, and both together must not exceed a line's limit.
_MOST: Final = MAX_ITEMS // 2
_changes: Final = changes
_IS_TRACED: Final = trace_context.is_installed()


def method_of(name: str, level: int) -> Method:
    """Return the method of one level. It passes every event without a prefix to ``_log_slow``.

    Args:
        name: The method's name.
        level: The level's number.
    """
    index = level // 10
    # An error reporter may have been installed since the last error.
    is_mild = level < logging.ERROR
    # These are read for every field: a closure's variable takes half the time of a builtin.
    type_, str_, int_ = type, str, int

    # Positional-only: Python compares each keyword argument with each parameter that has a
    # keyword. A call with ``event=...`` has it among the fields and runs the chain.
    @owns_writes
    def method(self: Any, event: Any = None, /, *args: Any, **fields: Any) -> Any:
        line = pending = None
        is_msg_ours = False
        try:
            state, of_fields, of_message, of_context, names, is_bound, sink = self._prefixes[index]
            ns = _time_ns()
            if ns > process.until_ns:
                process.refresh(ns)
            if self._processors[0].state is state and (
                is_mild or _changes.members["callHandlers"] is _changes.call_handlers
            ):
                if args:
                    # Formatted once, also if the chain goes on: an argument's ``__str__`` may log.
                    event, args = event % args, ()
                if type_(event) is str_ and event and not (event >= "{" and looks_like_json(event)):
                    all_fields = fields
                    if (
                        read_bound()
                        or read_request_id()
                        or bound_by_structlog
                        or (_IS_TRACED and "opentelemetry.trace" in _modules and may_have_span())
                    ) and (context := current(fields)):
                        all_fields = {**context, **fields}
                    if not all_fields:
                        text = _dumps(event)
                        if not text.isascii() or DELETE in text:
                            text = escape_short(text)
                        line = of_message % (ns, text)
                    elif names.isdisjoint(all_fields):
                        for value in all_fields.values():
                            kind = type_(value)
                            # As all_plain() does: a call costs several percent of a line.
                            if (
                                kind is not str_
                                and kind is not int_
                                and (value - value != 0.0 if kind is float else kind is not bool)
                            ):
                                break
                        else:
                            is_msg_ours = True
                            if of_context and all_fields is not fields:
                                # The context stands in front of the fields bound to the logger.
                                of_fields, own, is_bound = of_context
                                all_fields = {**context, **own, **fields}
                            all_fields["msg"] = event
                            text = _dumps(all_fields)
                            if not text.isascii() or DELETE in text:
                                text = escape_short(text)
                            line = of_fields % (ns, text[1:] if is_bound else text)
                if line:
                    # Sink.write, inlined: this frame's handlers complete the write if an
                    # exception of a signal handler interrupts it.
                    direct = sink.direct_write
                    followed, longest, flush, direct_write, try_acquire, slot, queue = direct
                    size = len(line)
                    if size <= longest and (followed is None or followed is sys.stdout):
                        pending = [line]
                        if (
                            try_acquire(0, pending) is pending
                            and not queue
                            and sink.direct_write is direct
                        ):
                            flush()
                            for _ in direct_write:
                                break
                            if pending[1] == size:
                                sink.written += 1
                                slot.clear()
                                if queue:
                                    sink.drain_queue()
                                return None
                        sink.write_slow(pending)
                        return None
                    # Only a line of more than ``longest`` bytes can have too many fields.
                    if len(all_fields) >= _MOST:
                        line = None
        except Exception as error:
            if pending is not None:
                sink.finish_after_interrupt(pending, error)
                return None
            # The chain has a line for each kind of failure.
            line = None
        except BaseException as error:
            if pending is not None:
                sink.finish_after_interrupt(pending, error)
            else:
                if is_msg_ours:
                    fields.pop("msg", None)
                self._log(level, event, args, fields)
            raise
        if line is not None:
            sink.write(line)
            return None
        if is_msg_ours:
            fields.pop("msg", None)
        return self._log_slow(level, event, args, fields)

    method.__name__ = name
    method.__qualname__ = f"FastBoundLogger.{name}"
    method.__doc__ = f"Log an event at level {level}, formatted with ``args`` where there are any."
    return method


def async_method_of(name: str, level: int) -> Method:
    """Return the coroutine function of one level.

    Args:
        name: The name of the method without its ``a``.
        level: The level's number.
    """

    async def method(self: Any, event: Any = None, /, *args: Any, **fields: Any) -> Any:
        return await self._log_in_thread(level, event, args, fields)

    method.__name__ = f"a{name}"
    method.__qualname__ = f"FastBoundLogger.a{name}"
    method.__doc__ = f"Log as ``{name}`` does; the line is encoded at once and written in a thread."
    return method


def exception(self: Any, event: Any = None, /, *args: Any, **fields: Any) -> Any:
    """Log an event as an error, with the exception that is being handled."""
    fields.setdefault("exc_info", True)
    return self.error(event, *args, **fields)


async def aexception(self: Any, event: Any = None, /, *args: Any, **fields: Any) -> Any:
    """Log as ``exception`` does; the line is encoded at once and written in a thread."""
    fields.setdefault("exc_info", True)
    return await self.aerror(event, *args, **fields)


def noop(_self: Any, /, _event: Any = None, *_args: Any, **_fields: Any) -> None:
    """Do nothing, since this level is disabled."""
    return


async def noop_async(_self: Any, /, _event: Any = None, *_args: Any, **_fields: Any) -> None:
    """Do nothing, since this level is disabled."""
    return


#: The log methods of ``FastBoundLogger``, by level.
LOG_METHODS: Final = {level: method_of(name, level) for name, level in LEVELS_BY_METHOD.items()}
ASYNC_LOG_METHODS: Final = {
    level: async_method_of(name, level) for name, level in LEVELS_BY_METHOD.items()
}
