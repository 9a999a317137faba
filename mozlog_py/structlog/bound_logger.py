"""FastBoundLogger: a bound logger that encodes most of a line before it is called.

Most calls need no chain of processors: bound fields, the context, the message and some plain
fields become a line. If a ``MozlogRenderer`` is the only processor, the logger compiles a line
prefix for each level: the envelope and the bound fields. A call encodes its own fields, puts the
two together and writes. Every other call runs the chain.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import operator
from collections.abc import Callable, Mapping
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import structlog

from mozlog_py._fields.from_event import level_number
from mozlog_py._line.line_encoder import last_resort
from mozlog_py._process.self_log import note
from mozlog_py._values.class_lookup import type_name

from .lazy_proxy import bypass_proxy, update_proxy
from .level_classes import class_at, following_class
from .levels import ALIASES, LEVELS_BY_METHOD, METHOD_NAMES, METHODS_BY_LEVEL
from .line_prefix import NO_PREFIXES, NOT_COMPILABLE, NOT_COMPILED, compile_prefix
from .log_methods import ASYNC_LOG_METHODS, LOG_METHODS, aexception, exception
from .logging_changes import changes
from .other_handlers import ABOVE_ALL_LEVELS, Recipients, nearest_logger
from .output_check import WiringError
from .renderer import MozlogRenderer
from .run_chain import Call, run_chain
from .sink_logger import SinkLogger

__all__ = ["FastBoundLogger"]

_Self = TypeVar("_Self", bound="FastBoundLogger")


class FastBoundLogger:
    """A bound logger for chains that end with ``MozlogRenderer``.

    It is for ``structlog.configure(wrapper_class=...)``; ``mozlog_py.configure()`` sets it. It
    works with any chain and any logger below the chain. It is fast where the chain is a
    ``MozlogRenderer`` alone. If a processor raises, the chain goes on without it and the line
    says so.

    The lowest enabled level is that of the logger of ``logging`` with the same name, also when it
    changes; for ``FastBoundLogger.at(level)`` it is constant. Methods below it do nothing.
    """

    __slots__ = ("_bound", "_chain", "_is_exposed", "_logger", "_prefixes", "_processors")

    #: The lowest enabled level.
    _lowest: ClassVar[int | None] = None
    #: The class that a class of a level is derived from; None in a class that has no level.
    _made_from: ClassVar[type[FastBoundLogger] | None] = None
    #: Whether its loggers follow ``logging``, and whether that has changed since.
    _is_following: ClassVar[bool] = False
    _is_outdated: ClassVar[bool] = False
    #: The constant lowest level of a class that follows other handlers only.
    _fixed_level: ClassVar[int | None] = None
    #: The lowest level whose events other handlers may get.
    _others_from: ClassVar[int] = ABOVE_ALL_LEVELS

    def __new__(cls: type[_Self], logger: Any, *args: Any, **kwargs: Any) -> _Self:
        """Create a logger of the class for its level."""
        if cls._is_following:
            return object.__new__(cls)
        if cls._lowest is not None:
            if type(logger) is SinkLogger and logger.others is not None:
                return object.__new__(following_class(cls, logger, cls._lowest))
            return object.__new__(cls)
        # Another thread may call the methods of the proxy as soon as they are set, so the
        # logger is initialised first.
        made: _Self = object.__new__(following_class(cls, logger, None))
        made.__init__(logger, *args, **kwargs)  # type: ignore[misc]
        bypass_proxy(made, METHOD_NAMES, depth=1)
        return made

    def __init__(self, logger: Any, processors: Any, context: Any) -> None:
        self._logger = logger
        self._processors = processors
        self._bound = context
        self._chain: Any = None
        self._prefixes = NO_PREFIXES
        self._is_exposed = False

    @classmethod
    def at(cls: type[_Self], level: int | str) -> type[_Self]:
        """Return the class for which ``level`` and the levels above it are enabled.

        Args:
            level: The level's name or number.

        Raises:
            ValueError: The level is unknown.
        """
        number = level_number(level)
        if number is None:
            raise ValueError(f"level is {level!r}; it must be a level's name or number")
        kind: Any = cls.__bases__[0] if cls._is_following else cls
        made_from = vars(kind).get("_made_from") or kind
        made: type[_Self] = class_at(made_from, number)
        return made

    # -- binding ----------------------------------------------------------

    @property
    def _context(self) -> Any:
        # The caller may change the dict later, so its fields cannot stand in a prefix.
        self._is_exposed = True
        self._prefixes = NO_PREFIXES
        return self._bound

    def _binding(self: _Self, context: Any) -> _Self:
        return self.__class__(self._logger, self._processors, context)

    def _copy(self, new_values: Mapping[str, Any]) -> Any:
        bound = self._bound
        return {**bound, **new_values} if type(bound) is dict else type(bound)(bound, **new_values)

    def bind(self: _Self, /, **new_values: Any) -> _Self:
        """Return a logger with further fields bound to it."""
        return self._binding(self._copy(new_values))

    def unbind(self: _Self, *keys: str) -> _Self:
        """Return a logger without some fields.

        Raises:
            KeyError: One of them is not bound.
        """
        context = self._copy({})
        for key in keys:
            del context[key]
        return self._binding(context)

    def try_unbind(self: _Self, *keys: str) -> _Self:
        """Return a logger without some fields, whether they are bound or not."""
        context = self._copy({})
        for key in keys:
            context.pop(key, None)
        return self._binding(context)

    def new(self: _Self, /, **new_values: Any) -> _Self:
        """Remove all bound fields, also from this logger, and return one with new fields."""
        self._context.clear()
        return self.bind(**new_values)

    # -- levels -----------------------------------------------------------

    def is_enabled_for(self, level: int) -> bool:
        """Return whether a level is enabled."""
        return level >= self.get_effective_level()

    def get_effective_level(self) -> int:
        """Return the lowest enabled level."""
        return self._lowest or logging.NOTSET

    # -- as the standard library's loggers have it --------------------------

    isEnabledFor = is_enabled_for  # noqa: N815 - its name in logging
    getEffectiveLevel = get_effective_level  # noqa: N815

    @property
    def name(self) -> str:
        """The logger's name; that of the root logger if it has none."""
        name = getattr(self._logger, "name", None)
        return name if isinstance(name, str) else logging.root.name

    @property
    def level(self) -> int:
        """The level that was set for this name in ``logging``, 0 for none."""
        namesake = self._existing_namesake()
        return logging.NOTSET if namesake is None else namesake.level

    @property
    def handlers(self) -> list[logging.Handler]:
        """The handlers that were added for this name in ``logging``."""
        namesake = self._existing_namesake()
        return [] if namesake is None else namesake.handlers

    @property
    def parent(self) -> logging.Logger | None:
        """The logger of ``logging`` above the one with this name."""
        namesake = self._existing_namesake()
        return self._nearest() if namesake is None else namesake.parent

    @property
    def propagate(self) -> bool:
        """Whether handlers above this name get its records."""
        namesake = self._existing_namesake()
        return True if namesake is None else namesake.propagate

    @property
    def disabled(self) -> bool:
        """Whether the logger of ``logging`` was disabled. It does not silence this one."""
        namesake = self._existing_namesake()
        return False if namesake is None else namesake.disabled

    def setLevel(self, level: int | str) -> None:  # noqa: N802
        """Set the level for this name in ``logging``, which this logger follows."""
        self._namesake().setLevel(level)

    def addHandler(self, hdlr: logging.Handler) -> None:  # noqa: N802
        """Add a handler for this name in ``logging``."""
        self._namesake().addHandler(hdlr)

    def removeHandler(self, hdlr: logging.Handler) -> None:  # noqa: N802
        """Remove a handler of this name in ``logging``."""
        self._namesake().removeHandler(hdlr)

    def hasHandlers(self) -> bool:  # noqa: N802
        """Return whether ``logging`` has handlers for this name."""
        return self._nearest().hasHandlers()

    def handle(self, record: logging.LogRecord) -> None:
        """Pass a record to the handlers of this name in ``logging``."""
        self._namesake().handle(record)

    def callHandlers(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Pass a record to the handlers of this name, without its filters."""
        self._namesake().callHandlers(record)

    def findCaller(  # noqa: N802
        self, stack_info: bool = False, stacklevel: int = 1
    ) -> tuple[str, int, str, str | None]:
        """Return the file, line, function and stack that ``logging`` considers the caller."""
        return self._namesake().findCaller(stack_info, stacklevel)

    def makeRecord(self, *args: Any, **kwargs: Any) -> logging.LogRecord:  # noqa: N802
        """Create a record as ``logging`` does."""
        return self._namesake().makeRecord(*args, **kwargs)

    def getChild(self, suffix: str) -> logging.Logger:  # noqa: N802
        """Return the logger of ``logging`` below this name."""
        return self._namesake().getChild(suffix)

    def _namesake(self) -> logging.Logger:
        if isinstance(self._logger, logging.Logger):
            return self._logger
        return logging.getLogger(getattr(self._logger, "name", None))

    def _nearest(self) -> logging.Logger:
        if isinstance(self._logger, logging.Logger):
            return self._logger
        return nearest_logger(getattr(self._logger, "name", None))

    def _existing_namesake(self) -> logging.Logger | None:
        nearest = self._nearest()
        return nearest if nearest.name == self.name else None

    # -- logging ----------------------------------------------------------

    if TYPE_CHECKING:
        # For type checkers. The methods are set below the class, from one function for all levels.
        def debug(self, event: Any = None, /, *args: Any, **fields: Any) -> Any: ...  # noqa: D102
        def info(self, event: Any = None, /, *args: Any, **fields: Any) -> Any: ...  # noqa: D102
        def msg(self, event: Any = None, /, *args: Any, **fields: Any) -> Any: ...  # noqa: D102
        def warning(self, event: Any = None, /, *args: Any, **fields: Any) -> Any: ...  # noqa: D102
        def warn(self, event: Any = None, /, *args: Any, **fields: Any) -> Any: ...  # noqa: D102
        def error(self, event: Any = None, /, *args: Any, **fields: Any) -> Any: ...  # noqa: D102
        def err(self, event: Any = None, /, *args: Any, **fields: Any) -> Any: ...  # noqa: D102
        def critical(self, event: Any = None, /, *args: Any, **fields: Any) -> Any: ...  # noqa: D102
        def fatal(self, event: Any = None, /, *args: Any, **fields: Any) -> Any: ...  # noqa: D102
        def exception(self, event: Any = None, /, *args: Any, **fields: Any) -> Any: ...  # noqa: D102
        async def adebug(self, event: Any = None, /, *args: Any, **fields: Any) -> Any: ...  # noqa: D102
        async def ainfo(self, event: Any = None, /, *args: Any, **fields: Any) -> Any: ...  # noqa: D102
        async def amsg(self, event: Any = None, /, *args: Any, **fields: Any) -> Any: ...  # noqa: D102
        async def awarning(self, event: Any = None, /, *args: Any, **fields: Any) -> Any: ...  # noqa: D102
        async def awarn(self, event: Any = None, /, *args: Any, **fields: Any) -> Any: ...  # noqa: D102
        async def aerror(self, event: Any = None, /, *args: Any, **fields: Any) -> Any: ...  # noqa: D102
        async def aerr(self, event: Any = None, /, *args: Any, **fields: Any) -> Any: ...  # noqa: D102
        async def acritical(self, event: Any = None, /, *args: Any, **fields: Any) -> Any: ...  # noqa: D102
        async def afatal(self, event: Any = None, /, *args: Any, **fields: Any) -> Any: ...  # noqa: D102
        async def aexception(self, event: Any = None, /, *args: Any, **fields: Any) -> Any: ...  # noqa: D102

    def log(self, level: int | str, event: Any = None, /, *args: Any, **fields: Any) -> Any:
        """Log an event at a level.

        Args:
            level: A number or a name. An unknown name counts as INFO.
            event: The message.
            args: The arguments of the message, as ``%`` takes them.
            fields: The fields of the event.
        """
        number = level_number(level)
        number = logging.INFO if number is None else number
        if not self.is_enabled_for(number):
            return None
        name = METHODS_BY_LEVEL.get(number)
        if name is not None:
            return getattr(self, name)(event, *args, **fields)
        return self._log(number, event, args, fields)

    async def alog(self, level: int | str, event: Any = None, /, *args: Any, **fields: Any) -> Any:
        """Log as ``log`` does; the line is encoded at once and written in a thread."""
        number = level_number(level)
        number = logging.INFO if number is None else number
        if not self.is_enabled_for(number):
            return None
        return await self._log_in_thread(number, event, args, fields)

    # -- from a call to its line ------------------------------------------

    def _prepare(self, level: int) -> bool:
        """Compile the prefix of a level.

        Returns:
            Whether the prefix suffices for the lines of this level; if not, the chain makes them.
        """
        processors = self._processors
        prefixes = [*(self._prefixes if self._is_prepared_for(processors) else NO_PREFIXES)]
        prefix = NOT_COMPILABLE
        if type(processors) is list or type(processors) is tuple:
            self._chain = processors[:]
            if any(isinstance(processor, MozlogRenderer) for processor in processors[:-1]):
                raise WiringError(
                    "MozlogRenderer returns a whole line, which no processor behind it takes: put "
                    "it last"
                )
            is_alone = len(processors) == 1 and type(processors[0]) is MozlogRenderer
            # An event for other handlers runs the chain, where a record of it is made.
            if is_alone and not self._is_exposed and level < self._others_from:
                prefix = compile_prefix(processors[0], self._logger, level, self._bound)
        prefixes[level // 10] = prefix
        self._prefixes = prefixes
        return prefix is not NOT_COMPILABLE

    def _is_prepared_for(self, processors: Any) -> bool:
        chain = self._chain
        # By identity: a processor may define its own equality.
        return (
            chain is not None
            and len(chain) == len(processors)
            and all(map(operator.is_, chain, processors))
        )

    def _log_slow(
        self, level: int, event: Any, args: tuple[Any, ...], fields: dict[str, Any]
    ) -> Any:
        """Log an event for which the method had no valid prefix."""
        is_severe = level >= logging.ERROR
        if is_severe and changes.has_other_call_handlers():
            # An error reporter has replaced it since the last check.
            changes.announce()
        if self._is_outdated:
            # The call goes on here: a method of a subclass that was called is not called again.
            self._update_class()
        if level < (self._lowest or logging.NOTSET):
            # The caller keeps a method from a time when the level was enabled.
            return None
        # It is the first call, this is a forked process, or the chain has changed.
        if (
            not self._is_prepared_at(level)
            and self._prepare(level)
            # The method would return to this one: the chain needs no valid prefix.
            and not (is_severe and changes.has_other_call_handlers())
        ):
            return LOG_METHODS[level](self, event, *args, **fields)
        return self._log(level, event, args, fields)

    def _is_prepared_at(self, level: int) -> bool:
        prefix = self._prefixes[level // 10]
        if prefix is NOT_COMPILED or not self._is_prepared_for(self._processors):
            return False
        return prefix is NOT_COMPILABLE or prefix[0] is self._processors[0].state

    def _log(self, level: int, event: Any, args: tuple[Any, ...], fields: dict[str, Any]) -> Any:
        interrupts: list[BaseException] = []
        result = None
        recipients = self._recipients(level) if level >= self._others_from else None
        try:
            made = self._run_chain(level, event, args, fields, interrupts, recipients)
            if made is not None:
                call, arguments, keywords = made
                result = call(*arguments, **keywords)
        except WiringError:
            raise
        except Exception as error:
            self._write_last_resort(error)
        if recipients is not None:
            recipients.send()
        if interrupts:
            raise interrupts[0]
        return result

    def _write_last_resort(self, error: Exception) -> None:
        """Write a minimal line for an event whose chain has raised.

        Raises:
            Exception: ``error``, if the logger is not a ``SinkLogger``.
        """
        if not isinstance(self._logger, SinkLogger):
            raise error
        self._logger.msg(last_resort(error))

    async def _log_in_thread(
        self, level: int, event: Any, args: tuple[Any, ...], fields: dict[str, Any]
    ) -> Any:
        interrupts: list[BaseException] = []
        result, made = None, None
        recipients = self._recipients(level) if level >= self._others_from else None
        try:
            made = self._run_chain(level, event, args, fields, interrupts, recipients)
        except WiringError:
            raise
        except Exception as error:
            self._write_last_resort(error)
            if recipients is not None:
                recipients.send()
        if made is not None:
            call, arguments, keywords = made
            write = functools.partial(call, *arguments, **keywords)
            if recipients is not None:
                # Error reporters read context variables of the call.
                write = functools.partial(copy_context().run, _write_and_send, write, recipients)
            try:
                writing = asyncio.get_running_loop().run_in_executor(None, write)
            except RuntimeError:
                # Another event loop than asyncio's, or one that is shutting down.
                result = write()
            else:
                # The line is written even if the task is cancelled meanwhile.
                result = await asyncio.shield(writing)
        if interrupts:
            raise interrupts[0]
        return result

    def _run_chain(
        self,
        level: int,
        event: Any,
        args: tuple[Any, ...],
        fields: dict[str, Any],
        interrupts: list[BaseException],
        recipients: Recipients | None,
    ) -> Call | None:
        chain, bound = self._processors, self._bound
        return run_chain(
            self._logger, chain, bound, level, event, args, fields, interrupts, recipients
        )

    def _recipients(self, level: int) -> Recipients | None:
        """Return the other handlers that get an event of a level; None for none."""
        logger = self._logger
        try:
            others = logger.others
            return None if others is None else others.recipients(logger.name, level)
        except Exception as error:
            note(f"other handlers were not found: {type_name(type(error))}")
            return None

    def _update_class(self) -> None:
        """Change to the class that this logger has after a change in ``logging``."""
        made_from = type(self).__bases__[0]
        self.__class__ = following_class(made_from, self._logger, self._fixed_level)
        self._prefixes = NO_PREFIXES
        update_proxy(self)

    # -- comparison, text and pickling ------------------------------------

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
        if self._fixed_level is not None:
            kind = kind.__bases__[0]
        made_from = vars(kind).get("_made_from")
        is_configured = self._processors is structlog.get_config()["processors"]
        return _restored, (
            made_from or kind,
            None if made_from is None else self._lowest,
            self._is_following and self._fixed_level is None,
            is_configured,
            self._logger,
            self._processors,
            self._bound,
        )


def _write_and_send(write: Callable[[], Any], recipients: Recipients) -> Any:
    result = write()
    recipients.send()
    return result


def _restored(
    made_from: type[_Self],
    lowest: int | None,
    is_following: bool,
    is_configured: bool,
    logger: Any,
    chain: Any,
    bound: Any,
) -> _Self:
    """Return an unpickled logger.

    A logger that had the configured chain gets the chain that is configured in this process.
    Pickles of earlier versions call this function with these arguments.
    """
    config = structlog.get_config()
    is_here = config["wrapper_class"] is made_from
    if is_configured and is_here:
        chain = config["processors"]
    # Without configure() here, the default level of logging, WARNING, would disable INFO.
    is_following = is_following and is_here
    kind = made_from if lowest is None or is_following else made_from.at(lowest)
    return kind(logger, chain, bound)


FastBoundLogger.exception = exception  # type: ignore[method-assign]
FastBoundLogger.aexception = aexception  # type: ignore[method-assign]
for _name, _level in LEVELS_BY_METHOD.items():
    setattr(FastBoundLogger, _name, LOG_METHODS[_level])
    setattr(FastBoundLogger, f"a{_name}", ASYNC_LOG_METHODS[_level])
for _alias, _name in ALIASES.items():
    setattr(FastBoundLogger, _alias, getattr(FastBoundLogger, _name))
    setattr(FastBoundLogger, f"a{_alias}", getattr(FastBoundLogger, f"a{_name}"))
