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
from collections.abc import Mapping
from typing import Any, ClassVar, Final, TypeVar

import structlog

from mozlog_py.events import level_number
from mozlog_py.line import last_resort

from .heads import NO_HEADS, UNPREPARABLE, UNPREPARED
from .heads import head as head_of
from .levels import ALIASES, LEVELS, NAMES, level_of
from .levels import METHODS as METHOD_NAMES
from .methods import ASYNC_METHODS, METHODS, nothing, nothing_async
from .outcome import Call, outcome
from .proxy import shorten
from .renderer import MozlogRenderer, WiringError
from .sink import SinkLogger

__all__ = ["FastBoundLogger"]

_Self = TypeVar("_Self", bound="FastBoundLogger")


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
        made: _Self = object.__new__(cls.at(level_of(logger)))
        made.__init__(logger, *args, **kwargs)  # type: ignore[misc]
        shorten(made, METHOD_NAMES, depth=1)
        return made

    def __init__(self, logger: Any, processors: Any, context: Any) -> None:
        self._logger = logger
        self._processors = processors
        self._bound = context
        self._chain: Any = None
        self._heads = NO_HEADS
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
        self._heads = NO_HEADS
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
        name = NAMES.get(number)
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
        heads = [*(self._heads if self._is_prepared_for(processors) else NO_HEADS)]
        head = UNPREPARABLE
        if type(processors) is list or type(processors) is tuple:
            self._chain = processors[:]
            if any(isinstance(processor, MozlogRenderer) for processor in processors[:-1]):
                raise WiringError(
                    "MozlogRenderer makes whole lines, which no processor after it could take: put "
                    "it last"
                )
            is_alone = len(processors) == 1 and type(processors[0]) is MozlogRenderer
            if is_alone and not self._is_exposed:
                head = head_of(processors[0], self._logger, level, self._bound)
        heads[level // 10] = head
        self._heads = heads
        return head is not UNPREPARABLE

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
        # It is the first call, another process, or somebody has changed the chain.
        if not self._is_prepared_at(level) and self._prepare(level):
            return METHODS[level](self, event, *args, **fields)
        return self._log(level, event, args, fields)

    def _is_prepared_at(self, level: int) -> bool:
        head = self._heads[level // 10]
        if head is UNPREPARED or not self._is_prepared_for(self._processors):
            return False
        return head is UNPREPARABLE or head[0] is self._processors[0].state

    def _log(self, level: int, event: Any, args: tuple[Any, ...], fields: dict[str, Any]) -> Any:
        interrupts: list[BaseException] = []
        result = None
        try:
            made = self._outcome(level, event, args, fields, interrupts)
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
            made = self._outcome(level, event, args, fields, interrupts)
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

    def _outcome(
        self,
        level: int,
        event: Any,
        args: tuple[Any, ...],
        fields: dict[str, Any],
        interrupts: list[BaseException],
    ) -> Call | None:
        chain, bound = self._processors, self._bound
        return outcome(self._logger, chain, bound, level, event, args, fields, interrupts)

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


for _name, _level in LEVELS.items():
    setattr(FastBoundLogger, _name, METHODS[_level])
    setattr(FastBoundLogger, f"a{_name}", ASYNC_METHODS[_level])
for _alias, _name in ALIASES.items():
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
    for name in (*LEVELS, *ALIASES):
        own = ALIASES.get(name, name)
        level = LEVELS[own]
        if level < lowest:
            members[name], members[f"a{name}"] = nothing, nothing_async
        elif getattr(made_from, name) is nothing:
            # Of a class of a higher level.
            members[name], members[f"a{name}"] = METHODS[level], ASYNC_METHODS[level]
    if lowest > logging.ERROR:
        members["exception"], members["aexception"] = nothing, nothing_async
    elif made_from.exception is nothing:
        members["exception"] = FastBoundLogger.exception
        members["aexception"] = FastBoundLogger.aexception
    return type(made_from.__name__, (made_from,), members)
