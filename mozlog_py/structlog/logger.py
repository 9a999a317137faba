"""FastBoundLogger: a bound logger that has most of its line ready before it is called.

Nine calls in ten need nothing of what a chain of processors can do: what is
bound, the context, the message and some plain fields are to become a line.
Where the chain is a ``MozlogRenderer`` alone, the envelope and the bound fields
are prepared once for each bound logger and level; and a call encodes its own
fields, puts the two together and writes. Everything else takes the chain.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import operator
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, NoReturn, TypeVar

import orjson
import structlog

from mozlog_py import tracing
from mozlog_py.context import current, read_bound, read_request_id
from mozlog_py.events import level_number
from mozlog_py.fields import looks_like_json
from mozlog_py.line import DELETE, Interrupted, escape, last_resort
from mozlog_py.process import process
from mozlog_py.processors import guarded
from mozlog_py.values import MAX_ITEMS, free_name

from .proxy import shorten
from .renderer import MozlogRenderer, WiringError, bound_by_structlog
from .sink import SinkLogger

__all__ = ["FastBoundLogger"]

_Self = TypeVar("_Self", bound="FastBoundLogger")
_Method = Callable[..., Any]
# The process, and the state of the renderer alone in its chain, that it is for; the
# line around the Fields of a call, and around a message that is alone; the names
# that no field of a call may have, since they are in it already or mean
# something; whether there are fields in it already, so that those of the call go
# on without a brace; and what the line is given to.
_Head = tuple[int, Any, bytes, bytes, frozenset[str], bool, Callable[[bytes], Any]]
# What is called with a line, and with what.
_Call = tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]

_dumps: Final = orjson.dumps
_time_ns: Final = time.time_ns
_modules: Final = sys.modules
# Together with what is bound they are to be no more than a line has.
_MOST: Final = MAX_ITEMS // 2
_IS_TRACED: Final = tracing.is_installed()

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
_ALIASES: Final = {"err": "error", "fatal": "critical", "msg": "info", "warn": "warning"}
_SHORTENED: Final = (*_LEVELS, *_ALIASES, "exception")
_NAMES: Final = {level: name for name, level in _LEVELS.items()}


def _no_write(line: bytes) -> NoReturn:
    raise RuntimeError(f"nothing was prepared for {line!r}")


# No process has such an id, so these are never taken for heads.
_UNPREPARED: Final[_Head] = (-2, None, b"", b"", frozenset(), False, _no_write)
_UNPREPARABLE: Final[_Head] = (-3, None, b"", b"", frozenset(), False, _no_write)
_NO_HEADS: Final = [_UNPREPARED] * 6


class FastBoundLogger:
    """A bound logger for chains that end with ``MozlogRenderer``.

    For ``structlog.configure(wrapper_class=...)``; ``mozlog_py.configure()``
    does it. Any chain and any logger below it work; it is fast where the chain
    is a ``MozlogRenderer`` alone. A processor that raises is left out for that
    event, and the line says so.

    The lowest level that is heard is decided when a logger is made: it is that
    of the standard library's logger of the same name, as of now; or, for
    ``FastBoundLogger.at(level)``, always that one. Methods below it do nothing.
    """

    __slots__ = ("_bound", "_chain", "_heads", "_is_exposed", "_logger", "_processors")

    #: The lowest level that is heard.
    _lowest: ClassVar[int | None] = None
    #: What a class of a level was made from; None where it was written by hand.
    _made_from: ClassVar[type[FastBoundLogger] | None] = None

    def __new__(cls: type[_Self], logger: Any, *args: Any, **kwargs: Any) -> _Self:
        """Make a logger of the class for its level."""
        if cls._lowest is not None:
            return object.__new__(cls)
        # A factory of its subclasses, in the hands of structlog's proxy. What the
        # proxy is given may be called by another thread at once, so it must be whole.
        made: _Self = object.__new__(cls.at(_level_of(logger)))
        made.__init__(logger, *args, **kwargs)  # type: ignore[misc]
        shorten(made, _SHORTENED, depth=1)
        return made

    def __init__(self, logger: Any, processors: Any, context: Any) -> None:
        self._logger = logger
        self._processors = processors
        self._bound = context
        self._chain: Any = None
        self._heads = _NO_HEADS
        self._is_exposed = False

    @classmethod
    def at(cls: type[_Self], level: int | str) -> type[_Self]:
        """Give the class whose loggers hear ``level`` (a name or number) and above.

        Raises ``ValueError`` for a level that is not known.
        """
        number = level_number(level)
        if number is None:
            raise ValueError(f"level is {level!r}; it must be a level's name or number")
        made_from = vars(cls).get("_made_from") or cls
        return _class_at(made_from, number)

    # -- binding ----------------------------------------------------------

    @property
    def _context(self) -> Any:
        # Whoever has the dict itself may change it: nothing is prepared any more.
        self._is_exposed = True
        self._heads = _NO_HEADS
        return self._bound

    def _binding(self: _Self, context: Any) -> _Self:
        return self.__class__(self._logger, self._processors, context)

    def _copy(self, new_values: Mapping[str, Any]) -> Any:
        bound = self._bound
        return {**bound, **new_values} if type(bound) is dict else type(bound)(bound, **new_values)

    def bind(self: _Self, /, **new_values: Any) -> _Self:
        """Give a logger with further fields bound to it."""
        return self._binding(self._copy(new_values))

    def unbind(self: _Self, *keys: str) -> _Self:
        """Give a logger without some fields. Raises ``KeyError`` for one that is not bound."""
        context = self._copy({})
        for key in keys:
            del context[key]
        return self._binding(context)

    def try_unbind(self: _Self, *keys: str) -> _Self:
        """Give a logger without some fields, bound or not."""
        context = self._copy({})
        for key in keys:
            context.pop(key, None)
        return self._binding(context)

    def new(self: _Self, /, **new_values: Any) -> _Self:
        """Forget what was bound, of this logger as well, and bind fields."""
        self._context.clear()
        return self.bind(**new_values)

    # -- levels -----------------------------------------------------------

    def is_enabled_for(self, level: int) -> bool:
        """Tell whether a level is heard."""
        return level >= self.get_effective_level()

    def get_effective_level(self) -> int:
        """Give the lowest level that is heard."""
        return self._lowest or logging.NOTSET

    # -- logging ----------------------------------------------------------

    def log(self, level: int | str, event: Any = None, /, *args: Any, **fields: Any) -> Any:
        """Log an event at a level, given by its number or name."""
        number = level_number(level)
        number = logging.INFO if number is None else number
        if not self.is_enabled_for(number):
            return None
        name = _NAMES.get(number)
        if name is not None:
            return getattr(self, name)(event, *args, **fields)
        return self._log(number, event, args, fields)

    def exception(self, event: Any = None, /, *args: Any, **fields: Any) -> Any:
        """Log an event with the exception that is being handled, as an error."""
        fields.setdefault("exc_info", True)
        return self.error(event, *args, **fields)  # type: ignore[attr-defined]

    async def alog(self, level: int | str, event: Any = None, /, *args: Any, **fields: Any) -> Any:
        """Do as ``log``: the line is made here and now, and written in a thread."""
        number = level_number(level)
        number = logging.INFO if number is None else number
        if not self.is_enabled_for(number):
            return None
        return await self._log_in_thread(number, event, args, fields)

    async def aexception(self, event: Any = None, /, *args: Any, **fields: Any) -> Any:
        """Do as ``exception``: the line is made here and now, and written in a thread."""
        fields.setdefault("exc_info", True)
        return await self.aerror(event, *args, **fields)  # type: ignore[attr-defined]

    # -- the ways of an event ---------------------------------------------

    def _prepare(self, level: int) -> bool:
        """Prepare what is constant in this logger's lines; False where there is more to them."""
        processors = self._processors
        heads = [*(self._heads if self._is_prepared_for(processors) else _NO_HEADS)]
        head = _UNPREPARABLE
        if type(processors) is list or type(processors) is tuple:
            self._chain = processors[:]
            if any(isinstance(processor, MozlogRenderer) for processor in processors[:-1]):
                raise WiringError(
                    "MozlogRenderer makes whole lines, which no processor after it could take: put "
                    "it last"
                )
            if len(processors) == 1 and type(processors[0]) is MozlogRenderer:
                head = self._head(processors[0], level)
        heads[level // 10] = head
        self._heads = heads
        return head is not _UNPREPARABLE

    def _head(self, renderer: MozlogRenderer, level: int) -> _Head:
        if self._is_exposed or not renderer.gives_bytes_to(self._logger):
            return _UNPREPARABLE
        write: Callable[[bytes], Any]
        if isinstance(self._logger, SinkLogger):
            write, newline = self._logger.sink.write, b"\n"
        elif type(self._logger) is structlog.BytesLogger:
            write, newline = self._logger.msg, b""
        else:
            # What it gives back may be of interest.
            return _UNPREPARABLE
        if process.pid < 0:
            process.ask(_time_ns())
        made = renderer.head(self._logger, level, self._bound, newline)
        return _UNPREPARABLE if made is None else (process.pid, renderer.state, *made, write)

    def _is_prepared_for(self, processors: Any) -> bool:
        chain = self._chain
        # By identity: they may be anybody's, and compare as they like.
        return (
            chain is not None
            and len(chain) == len(processors)
            and all(map(operator.is_, chain, processors))
        )

    def _log_otherwise(
        self, level: int, event: Any, args: tuple[Any, ...], fields: dict[str, Any]
    ) -> Any:
        """Log what the fast way could not, or not yet."""
        head = self._heads[level // 10]
        is_stale = head is not _UNPREPARABLE and head[0] != process.pid
        # It is a fork, the first call, or somebody has put other processors there.
        if (is_stale or not self._is_prepared_for(self._processors)) and self._prepare(level):
            return _METHODS[level](self, event, *args, **fields)
        return self._log(level, event, args, fields)

    def _log(self, level: int, event: Any, args: tuple[Any, ...], fields: dict[str, Any]) -> Any:
        interrupts: list[BaseException] = []
        result = None
        try:
            made = self._made(level, event, args, fields, interrupts)
            if made is not None:
                call, arguments, keywords = made
                result = call(*arguments, **keywords)
        except WiringError:
            raise
        except Exception as error:
            self._save(error)
        if interrupts:
            raise interrupts[0]
        return result

    def _save(self, error: Exception) -> None:
        """Say at least that there was something, at the end of the stack or of memory."""
        if not isinstance(self._logger, SinkLogger):
            raise error
        self._logger.msg(last_resort(error))

    async def _log_in_thread(
        self, level: int, event: Any, args: tuple[Any, ...], fields: dict[str, Any]
    ) -> Any:
        interrupts: list[BaseException] = []
        result, made = None, None
        try:
            made = self._made(level, event, args, fields, interrupts)
        except WiringError:
            raise
        except Exception as error:
            self._save(error)
        if made is not None:
            call, arguments, keywords = made
            write = functools.partial(call, *arguments, **keywords)
            try:
                writing = asyncio.get_running_loop().run_in_executor(None, write)
            except RuntimeError:
                # Another event loop than asyncio's, or one that is about to end.
                result = write()
            else:
                # Who is cancelled meanwhile has logged all the same.
                result = await asyncio.shield(writing)
        if interrupts:
            raise interrupts[0]
        return result

    def _made(
        self,
        level: int,
        event: Any,
        args: tuple[Any, ...],
        fields: dict[str, Any],
        interrupts: list[BaseException],
    ) -> _Call | None:
        """Run the chain; give what is to be called with its outcome, None for a dropped event."""
        logger = self._logger
        name = _NAMES.get(level, "info")
        event_dict: Any = self._bound.copy()
        event_dict.update(fields)
        if level not in _NAMES:
            event_dict["level_number"] = level
        if args:
            try:
                event = _interpolated(event, args)
            except BaseException as error:
                # Both are shown, side by side.
                event_dict["positional_args"] = args
                if not isinstance(error, Exception):
                    interrupts.append(error)
        if event is not None:
            if "event" in fields:
                # Somebody's field, beside the event itself.
                event_dict[free_name("extra.event", event_dict)] = fields["event"]
            event_dict["event"] = event
        *before, last = [*self._processors] or [_as_it_is]
        try:
            event_dict = guarded(before, logger, name, event_dict, interrupts)
            if isinstance(last, MozlogRenderer):
                event_dict = _rendered(last, logger, name, event_dict, interrupts)
            else:
                event_dict = last(logger, name, event_dict)
        except structlog.DropEvent:
            return None
        call = getattr(logger, name)
        if isinstance(event_dict, (str, bytes, bytearray)):
            return call, (event_dict,), {}
        if isinstance(event_dict, tuple):
            arguments, keywords = event_dict
            return call, arguments, keywords
        if isinstance(event_dict, dict):
            return call, (), event_dict
        raise WiringError(
            f"the last processor returned {type(event_dict).__name__}; it must return str, bytes, "
            "a dict, or a tuple of arguments and keyword arguments: is MozlogRenderer the last?"
        )

    # -- what is expected of any object -----------------------------------

    def __eq__(self, other: object) -> bool:
        if isinstance(other, FastBoundLogger):
            return bool(self._bound == other._bound)
        try:
            return bool(self._bound == other._context)  # type: ignore[attr-defined]
        except AttributeError:
            return False

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<FastBoundLogger(context={self._bound!r}, processors={self._processors!r})>"

    def __reduce__(self) -> tuple[Any, ...]:
        kind = type(self)
        made_from = vars(kind).get("_made_from")
        is_configured = self._processors is structlog.get_config()["processors"]
        return _restored, (
            made_from or kind,
            None if made_from is None else self._lowest,
            is_configured,
            self._logger,
            self._processors,
            self._bound,
        )


def _restored(
    made_from: type[_Self],
    lowest: int | None,
    is_configured: bool,
    logger: Any,
    chain: Any,
    bound: Any,
) -> _Self:
    """Give a logger that was pickled; one with the configured chain has that of this process."""
    config = structlog.get_config()
    if is_configured and config["wrapper_class"] is made_from:
        chain = config["processors"]
    kind = made_from if lowest is None else _class_at(made_from, lowest)
    return kind(logger, chain, bound)


def _as_it_is(_: Any, __: str, event_dict: Any) -> Any:
    return event_dict


def _interpolated(event: Any, args: tuple[Any, ...]) -> Any:
    # As logging does it: one mapping is not one of several arguments.
    if len(args) == 1 and isinstance(args[0], Mapping) and args[0]:
        return event % args[0]
    return event % args


def _rendered(
    renderer: MozlogRenderer,
    logger: Any,
    name: str,
    event_dict: Any,
    interrupts: list[BaseException],
) -> bytes | str:
    try:
        line = renderer.render(logger, name, event_dict)
    except Interrupted as interrupted:
        line = interrupted.line
        interrupts.append(interrupted.cause)
    return line if renderer.output == "bytes" else line.decode()


def _level_of(logger: Any) -> int:
    """Give the level of the standard library's logger of the same name."""
    name = getattr(logger, "name", None)
    level = logging.root.level
    # Without making one: names may be made from data, and loggers stay for ever.
    while isinstance(name, str) and name:
        namesake = logging.root.manager.loggerDict.get(name)
        if isinstance(namesake, logging.Logger):
            level = namesake.getEffectiveLevel()
            break
        name = name.rpartition(".")[0]
    return max(level, logging.root.manager.disable + 1)


def _method(name: str, level: int) -> _Method:
    """Make the method of one level; what it does not know it hands to ``_log_otherwise``."""
    index = level // 10

    # Python compares each keyword with each parameter that may be given by one. Where
    # the event is, it is found among the fields, and that is not the fast way.
    def method(self: FastBoundLogger, event: Any = None, /, *args: Any, **fields: Any) -> Any:
        line = None
        is_msg_ours = False
        try:
            pid, state, of_fields, of_message, names, is_bound, write = self._heads[index]
            ns = _time_ns()
            if ns > process.until_ns:
                process.ask(ns)
            is_prepared = pid == process.pid and self._processors[0].state is state
            if args and is_prepared:
                # Once only, also where it goes on by the chain: what is in them may log.
                event, args = event % args, ()
            if (
                is_prepared
                and type(event) is str
                and event
                and not (event >= "{" and looks_like_json(event))
            ):
                all_fields = fields
                if (
                    read_bound()
                    or read_request_id()
                    or bound_by_structlog
                    or (_IS_TRACED and "opentelemetry.trace" in _modules)
                ) and (context := current()):
                    all_fields = {**context, **fields}
                if not all_fields:
                    text = _dumps(event)
                    if not text.isascii() or DELETE in text:
                        text = escape(text)
                    line = of_message % (ns, text)
                elif names.isdisjoint(all_fields) and len(all_fields) < _MOST:
                    for value in all_fields.values():
                        kind = type(value)
                        # The encoder would write null for NaN and the infinities.
                        if (
                            kind is not str
                            and kind is not int
                            and (value - value != 0 if kind is float else kind is not bool)
                        ):
                            break
                    else:
                        is_msg_ours = True
                        all_fields["msg"] = event
                        text = _dumps(all_fields)
                        if not text.isascii() or DELETE in text:
                            text = escape(text)
                        line = of_fields % (ns, text[1:] if is_bound else text)
        except Exception:
            # Whatever it was, the chain knows what to do.
            line = None
        except BaseException:
            if is_msg_ours:
                fields.pop("msg", None)
            self._log(level, event, args, fields)
            raise
        if line is not None:
            write(line)
            return None
        if is_msg_ours:
            fields.pop("msg", None)
        return self._log_otherwise(level, event, args, fields)

    method.__name__ = name
    method.__qualname__ = f"FastBoundLogger.{name}"
    method.__doc__ = f"Log an event at level {level}, formatted with ``args`` where there are any."
    return method


def _async_method(name: str, level: int) -> _Method:
    async def method(self: FastBoundLogger, event: Any = None, /, *args: Any, **fields: Any) -> Any:
        return await self._log_in_thread(level, event, args, fields)

    method.__name__ = f"a{name}"
    method.__qualname__ = f"FastBoundLogger.a{name}"
    method.__doc__ = f"Do as ``{name}``: the line is made here and now, and written in a thread."
    return method


def _nothing(_self: Any, /, _event: Any = None, *_args: Any, **_fields: Any) -> None:
    """Do nothing: this level is not heard."""
    return


async def _nothing_async(_self: Any, /, _event: Any = None, *_args: Any, **_fields: Any) -> None:
    """Do nothing: this level is not heard."""
    return


_METHODS: Final = {level: _method(name, level) for name, level in _LEVELS.items()}
_ASYNC_METHODS: Final = {level: _async_method(name, level) for name, level in _LEVELS.items()}
for _name, _level in _LEVELS.items():
    setattr(FastBoundLogger, _name, _METHODS[_level])
    setattr(FastBoundLogger, f"a{_name}", _ASYNC_METHODS[_level])
for _alias, _name in _ALIASES.items():
    setattr(FastBoundLogger, _alias, getattr(FastBoundLogger, _name))
    setattr(FastBoundLogger, f"a{_alias}", getattr(FastBoundLogger, f"a{_name}"))


_classes: Final[dict[tuple[type[FastBoundLogger], int], type[FastBoundLogger]]] = {}


def _class_at(made_from: type[_Self], lowest: int) -> type[_Self]:
    """Give the class in which the methods of lower levels do nothing."""
    made = _classes.get((made_from, lowest))
    if made is None:
        made = _classes[made_from, lowest] = _make_class(made_from, lowest)
    return made  # type: ignore[return-value]


def _make_class(made_from: type[FastBoundLogger], lowest: int) -> type[FastBoundLogger]:
    """Make the class in which the methods of lower levels do nothing, and no others."""
    members: dict[str, Any] = {"__slots__": (), "_lowest": lowest, "_made_from": made_from}
    for name in (*_LEVELS, *_ALIASES):
        own = _ALIASES.get(name, name)
        level = _LEVELS[own]
        if level < lowest:
            members[name], members[f"a{name}"] = _nothing, _nothing_async
        elif getattr(made_from, name) is _nothing:
            # Of a class of a higher level.
            members[name], members[f"a{name}"] = _METHODS[level], _ASYNC_METHODS[level]
    if lowest > logging.ERROR:
        members["exception"], members["aexception"] = _nothing, _nothing_async
    elif made_from.exception is _nothing:
        members["exception"] = FastBoundLogger.exception
        members["aexception"] = FastBoundLogger.aexception
    return type(made_from.__name__, (made_from,), members)
