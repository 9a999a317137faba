"""MozlogRenderer: the last processor of a chain, which makes the line of an event dict."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import structlog

from mozlog_py._config.options import OptionError, check_switch, check_text, shown
from mozlog_py._context import trace_context
from mozlog_py._context.trace_context import may_have_span
from mozlog_py._fields.event_record import EventRecord
from mozlog_py._fields.from_event import (
    LEVEL_AND_TIME,
    LEVELS,
    MEANINGFUL,
    Event,
    level_number,
    read_event,
)
from mozlog_py._fields.from_record import merge
from mozlog_py._fields.json_message import looks_like_json
from mozlog_py._fields.late_request_ids import add_request_id
from mozlog_py._line.line_encoder import DEGRADED, EventDropped, RaiseAfterWrite, degrade, encode
from mozlog_py._line.truncate import finished
from mozlog_py._line.unsafe_characters import DELETE
from mozlog_py._process.memo import LONGEST, remember
from mozlog_py._process.process_id import process
from mozlog_py._values import mask_registry
from mozlog_py._values.rules import all_plain
from mozlog_py._values.sanitiser import MAX_ITEMS, Sanitiser, type_name
from mozlog_py._values.tracebacks import as_exc_info
from mozlog_py.context import current, read_bound, read_request_id, structlog_registry
from mozlog_py.formatter import MozlogFormatter
from mozlog_py.redaction import Redact, combined_mask, line_masks
from mozlog_py.typing import Output, RendererOptions

if TYPE_CHECKING:
    # In typing from Python 3.11 on; type checkers know it of all versions.
    from typing_extensions import Unpack

    from mozlog_py._redaction.mask import AnyMask

__all__ = ["AroundContext", "MozlogRenderer", "WiringError", "bound_by_structlog"]

_TEXT_LOGGERS: Final = (structlog.PrintLogger, structlog.WriteLogger, logging.Logger)
_OPTIONS: Final = (
    "hostname",
    "strict",
    "json_default",
    "static_fields",
    "include_context",
    "parse_messages",
)

# Frames of ours are no more of interest than structlog's.
_add_stack: Final = structlog.processors.StackInfoRenderer(additional_ignores=["mozlog_py"])
_time_ns: Final = time.time_ns
_modules: Final = sys.modules
_is_plainly_named: Final = MEANINGFUL.isdisjoint
# Of these names, no processor has set those that a bound logger alone in its chain gets.
_IN_CALLS: Final = MEANINGFUL - LEVEL_AND_TIME
# Combinations of the names that are bound to loggers.
_MAX_REMEMBERED: Final = 128

#: The line around the context and the Fields of a call; the fields that are bound to the
#: logger, which stand between them; and whether static ones stand in front.
AroundContext = tuple[bytes, dict[str, Any], bool]

#: What structlog keeps its context in.
bound_by_structlog: Final = structlog_registry()


class WiringError(TypeError, ValueError):
    """A chain of processors, or the logger below it, cannot work as it is put together."""


class MozlogRenderer:
    """The last processor of a chain: renders an event dict as a MozLog 2.0 line.

    - ``logger_name``: the application, ``Logger`` in the envelope; and ``Type``,
      where neither the logger nor the event has a name.
    - ``output``: ``"bytes"`` for ``BytesLogger`` and our own loggers; ``"text"``
      for ``PrintLogger``, ``WriteLogger``, ``ProcessorFormatter`` and the
      standard library's loggers.
    - ``formatter``: the formatter whose options and hooks hold for events as
      well, in place of all the others but ``output``.
    - ``is_last_of_chain``: static fields, context and the formatter's processors
      are the business of the processors before; nothing is added here.
    - ``hostname``, ``strict``, ``json_default``, ``static_fields``,
      ``include_context`` and ``parse_messages``: as in ``MozlogFormatter``.

    It understands what structlog's own processors leave in an event dict: level,
    logger, timestamp, exc_info, exception, stack, positional arguments, and the
    record of a ``ProcessorFormatter``. ``merge_contextvars`` before it does no
    harm and is not needed.

    Raises ``OptionError`` for an unknown ``output``, for options beside a
    ``formatter``, and for options that cannot be met; and ``TypeError`` at the first
    event where the logger behind it takes only the other output.
    """

    def __init__(
        self,
        logger_name: str | None = None,
        *,
        output: Output = "bytes",
        formatter: MozlogFormatter | None = None,
        is_last_of_chain: bool = False,
        **options: Unpack[RendererOptions],
    ) -> None:
        if output not in ("bytes", "text"):
            raise OptionError(f"output is {shown(output)}; it must be 'bytes' or 'text'")
        unknown = options.keys() - set(_OPTIONS)
        if unknown:
            raise OptionError(
                f"MozlogRenderer has no option {', '.join(sorted(unknown))}; it has "
                f"logger_name, output, formatter, {', '.join(_OPTIONS)}"
            )
        if isinstance(logger_name, logging.Formatter):
            raise OptionError(
                f"logger_name is {shown(logger_name)}; write MozlogRenderer(formatter=...) for a "
                "formatter"
            )
        if logger_name is not None:
            check_text("logger_name", logger_name, "it names the application")
        if formatter is not None and not isinstance(formatter, MozlogFormatter):
            raise OptionError(
                f"formatter is {shown(formatter)}; it must be a MozlogFormatter or one of its "
                "subclasses"
            )
        check_switch("is_last_of_chain", is_last_of_chain)
        if formatter is None:
            formatter = MozlogFormatter(logger_name=logger_name or "Dockerflow", **options)
        elif options or logger_name is not None:
            raise OptionError(
                "a formatter brings its own logger_name, hostname, static_fields and so on: give "
                "MozlogRenderer either the formatter or those"
            )
        self._output = output
        self._is_complete = is_last_of_chain
        #: What the lines are made for: its options and hooks hold.
        self.formatter = formatter
        # The masks of processors in front, which a logger of ours has told of.
        self._covered: tuple[AnyMask, ...] = ()
        mask_registry.follow(self._begin)
        self._begin()

    def _begin(self) -> None:
        formatter = self.formatter
        self.reset_after_fork()
        process.register(self)
        formatter.follow(self._begin)
        self._is_plain = (
            formatter.is_plain(is_processed=self._is_complete)
            and not formatter.prefix
            and not formatter.overrides("convert_record")
        )
        self._static_fields = {} if self._is_complete else dict(formatter.static_fields)
        self._include_context = formatter.include_context and not self._is_complete
        of_formatter = line_masks(formatter.processors)
        self._masks = (*of_formatter, *self._covered, *mask_registry.in_chains())
        mask = combined_mask(self._masks)
        # A formatter with hooks makes its lines with its own mask alone.
        self._further_mask = mask if len(self._masks) > len(of_formatter) else None
        self._maker = formatter.line_maker(formatter.logger_name)
        self._maker.use_mask(mask)
        self._fitting: type | None = None
        self._taken_by: dict[tuple[str, ...], frozenset[str]] = {}
        self._fast = self._fast_way() if self._is_plain else self._careful

    def cover(self, processors: Iterable[Any]) -> None:
        """Mask what the processors in front mask by value, in what is added here as well."""
        for processor in processors:
            if issubclass(type(processor), Redact) and processor.mask is not None:
                mask = processor.mask
                if not any(mask is known for known in self._masks):
                    self._covered = (*self._covered, mask)
                    self._begin()

    def reset_after_fork(self) -> None:
        """Have whoever prepared something with this renderer do it again."""
        #: Another one as soon as an option of the formatter changes, and in another
        #: process.
        self.state = object()

    def __getstate__(self) -> tuple[Any, ...]:
        return self._output, self._is_complete, self.formatter

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._output, self._is_complete, self.formatter = state
        self._covered = ()
        mask_registry.follow(self._begin)
        self._begin()

    def __call__(self, logger: Any, method_name: str, event_dict: Mapping[str, Any]) -> bytes | str:
        """Render one event. Raises no ``Exception`` but for the wrong wiring."""
        try:
            line = self.render(logger, method_name, event_dict)
        except RaiseAfterWrite as interrupted:
            # Only who writes could raise it afterwards.
            if not interrupted.from_value:
                raise interrupted.cause from None
            line = interrupted.line
        return line if self._output == "bytes" else line.decode()

    def render(
        self,
        logger: Any,
        method_name: str,
        event_dict: Mapping[str, Any],
        own: frozenset[str] | None = None,
    ) -> bytes:
        """Give the line of one event in bytes, whatever ``output`` is.

        ``own``: which of ``level`` and ``timestamp`` are fields of the call, and were
        not added by processors; None where that is not known.

        Raises ``RaiseAfterWrite``, with the line, where a line is to be written
        before an interrupt goes on; and ``TypeError`` for the wrong wiring.
        """
        if type(logger) is not self._fitting:
            self._check_wiring(logger, event_dict)
        if own is not None:
            return self._careful(logger, method_name, event_dict, own)
        return self._fast(logger, method_name, event_dict)

    def surroundings(self) -> dict[str, Any]:
        """Return the static fields and the context, as far as they are added here."""
        context = current() if self._include_context else {}
        return {**self._static_fields, **context}

    @property
    def output(self) -> str:
        """What a call gives, ``"bytes"`` or ``"text"``."""
        return self._output

    def gives_bytes_to(self, logger: Any) -> bool:
        """Tell whether its lines can be handed to a logger as they are made."""
        return self._output == "bytes" and not isinstance(logger, _TEXT_LOGGERS)

    def head(
        self, logger: Any, level: int, bound: dict[str, Any], newline: bytes
    ) -> tuple[bytes, bytes, AroundContext | None, frozenset[str], bool] | None:
        """Give what is constant in the lines of a bound logger, at one level in this process.

        That is two templates, each for the time and something else: for the
        Fields of the call, and for a message that is the only one of them; both
        end with ``newline``. Then what a line takes that has fields of the context as
        well, None where nothing is bound to the logger; the names that no field of a call
        may have,
        and whether some fields are in the templates already: then those of the
        call are to go without their first brace. ``bound``: what is bound to
        the logger.

        None where a line takes more than that.
        """
        if not self._is_plain or self._maker.further or not self._include_context:
            return None
        if self._maker.mask is not None:
            return None
        constant = {**self._static_fields, **bound} if type(bound) is dict else {"event": None}
        if not all_plain(constant.values()) or not _IN_CALLS.isdisjoint(constant):
            return None
        if len(constant) >= MAX_ITEMS // 2:
            return None
        try:
            of_fields = self._template(_name_of(logger) or self._maker.logger, level)
            static, own = b"", bound
            if self._static_fields:
                static = _members({name: constant[name] for name in self._static_fields})
                own = {name: bound[name] for name in bound if name not in self._static_fields}
            ahead = static + _members(own)
        except Exception:
            return None
        before = of_fields[: -len(b"%b}")]
        inside = before + b"{" + ahead
        of_context = None
        if own:
            around = before + b"{" + static if static else before
            of_context = (around + b"%b}" + newline, own, bool(static))
        return (
            (inside if ahead else before) + b"%b}" + newline,
            inside + b'"msg":%b}}' + newline,
            of_context,
            self._taken(constant),
            bool(ahead),
        )

    def _taken(self, constant: dict[str, Any]) -> frozenset[str]:
        """Give the names that no field of a call may have beside constant ones."""
        if not constant:
            return _IN_CALLS
        names = (*constant,)
        taken = self._taken_by.get(names)
        if taken is None:
            taken = _IN_CALLS.union(names)
            remember(self._taken_by, names, taken, _MAX_REMEMBERED, 8 * LONGEST)
        return taken

    def _template(self, type_: str, level: int) -> bytes:
        return self._maker.template(type_, level, process.pid)

    def _fast_way(self) -> Callable[[Any, str, Mapping[str, Any]], bytes]:
        """Give the renderer of plain events, which sends the others their way.

        ``LineEncoder.line`` makes every line there is; as in ``fast`` this is the
        same thing for an event that holds nothing odd, and a property test
        holds the two together.
        """
        templates, further, dumps = self._maker.templates, self._maker.further, self._maker.dumps
        careful, static, default_type = self._careful, self._static_fields, self._maker.logger
        include_context, is_traced = self._include_context, trace_context.is_installed()
        # Each field's type is looked at, and a closure's names are found in half of the time.
        type_, str_, int_ = type, str, int

        def render(logger: Any, method_name: str, event_dict: Any) -> bytes:
            try:
                if type(event_dict) is not dict:
                    return careful(logger, method_name, event_dict)
                fields: dict[str, Any]
                if include_context and (
                    read_bound()
                    or read_request_id()
                    or bound_by_structlog
                    or (is_traced and "opentelemetry.trace" in _modules and may_have_span())
                ):
                    fields = {**static, **current(), **event_dict}
                elif static:
                    fields = {**static, **event_dict}
                else:
                    fields = event_dict.copy()
                message = fields.pop("event")
                for value in fields.values():
                    kind = type_(value)
                    # The encoder would write null for NaN and the infinities.
                    if (
                        kind is not str_
                        and kind is not int_
                        and (value - value != 0.0 if kind is float else kind is not bool)
                    ):
                        return careful(logger, method_name, event_dict)
                if not _is_plainly_named(fields) or len(fields) >= MAX_ITEMS:
                    return careful(logger, method_name, event_dict)
                if type(message) is not str or not message:
                    return careful(logger, method_name, event_dict)
                if message >= "{" and looks_like_json(message):
                    return careful(logger, method_name, event_dict)
                ns = _time_ns()
                if ns > process.until_ns:
                    process.refresh(ns)
                name = getattr(logger, "name", None) or default_type
                level = LEVELS[method_name]
                of_fields, of_message = templates[process.pid][name][level]
                if fields:
                    fields["msg"] = message
                    line = of_fields % (ns, dumps(fields))
                else:
                    line = of_message % (ns, dumps(message))
                if further is not None:
                    fields = fields or {"msg": message}
                    limit = max(0, _limit_below(logger) - 1)
                    line = self._maker.extended(further, line, name, level, fields, None, limit)
                if not line.isascii() or DELETE in line:
                    line = finished(line, max(0, _limit_below(logger) - 1))
                return line
            except RaiseAfterWrite:
                raise
            except Exception:
                # Whatever it was, the careful way knows what to do.
                pass
            except BaseException as error:
                line = careful(logger, method_name, event_dict)
                raise RaiseAfterWrite(line, error, from_value=False) from None
            return careful(logger, method_name, event_dict)

        return render

    def _careful(
        self,
        logger: Any,
        method_name: str,
        event_dict: Mapping[str, Any],
        own: frozenset[str] | None = None,
    ) -> bytes:
        name = _name_of(logger) or self._maker.logger
        max_bytes = max(0, _limit_below(logger) - 1)
        try:
            if event_dict.get("stack_info") is True and "stack" not in event_dict:
                event_dict = _add_stack(logger, method_name, {**event_dict})
            if self._is_plain:
                return self._line(name, method_name, event_dict, own, max_bytes)
            return self._line_of_formatter(name, method_name, event_dict, own, max_bytes)
        except Exception as error:
            remains = _remains(event_dict, error)
            if self.formatter.processors and not self._is_complete:
                # What they have not seen may be what they are there to hide.
                remains = {DEGRADED: remains[DEGRADED]}
            level = level_number(method_name)
            now = time.time_ns()
            return self._maker.line(now, name, level, None, remains, max_bytes=max_bytes)

    def _line(
        self,
        name: str,
        method_name: str,
        event_dict: Mapping[str, Any],
        own: frozenset[str] | None,
        max_bytes: int,
    ) -> bytes:
        sanitiser = Sanitiser(self.formatter.json_default)
        event = self._read(event_dict, method_name, name, sanitiser, own)
        around = self._static_fields
        if self._include_context and (context := current()):
            around = {**around, **context}
        around = {**around, **event.fields}
        if self._include_context and "traceback" in event.said:
            # True where a processor has made a text of the exception that is being handled.
            add_request_id(around, event.exc_info or True)
        fields = merge(around, event.said)
        return self._maker.line(
            event.timestamp_ns, event.type_, event.level, event.pid, fields, sanitiser, max_bytes
        )

    def _line_of_formatter(
        self,
        name: str,
        method_name: str,
        event_dict: Mapping[str, Any],
        own: frozenset[str] | None,
        max_bytes: int,
    ) -> bytes:
        sanitiser = Sanitiser(self.formatter.json_default)
        event = self._read(event_dict, method_name, name, sanitiser, own)
        if sanitiser.reasons:
            degrade(event.fields, "; ".join(sanitiser.reasons))
        try:
            exc_info = as_exc_info(event.exc_info) if event.exc_info else None
        except Exception:
            # What stands in its place is among the fields already.
            exc_info = None
        record = EventRecord(
            event.timestamp_ns,
            event.type_,
            event.level,
            event.fields,
            event.said,
            exc_info,
            is_complete=self._is_complete,
        )
        if event.pid is not None:
            record.process = event.pid
        try:
            if self._further_mask is None:
                return self.formatter.renderer(None, max_bytes)(record)
            # A secret that is cut in two would not be masked.
            return self._further_mask.line(self.formatter.renderer()(record))
        except EventDropped:
            raise structlog.DropEvent from None

    def _read(
        self,
        event_dict: Mapping[str, Any],
        method_name: str,
        name: str,
        sanitiser: Sanitiser,
        own: frozenset[str] | None,
    ) -> Event:
        parse_messages = self.formatter.parse_messages
        return read_event(
            event_dict, method_name, name, sanitiser, own, parse_messages=parse_messages
        )

    def _check_wiring(self, logger: Any, event_dict: Any) -> None:
        kind = type(logger)
        is_of_record = isinstance(event_dict, dict) and isinstance(
            event_dict.get("_record"), logging.LogRecord
        )
        if self._output == "bytes" and (issubclass(kind, _TEXT_LOGGERS) or is_of_record):
            is_standard = is_of_record or issubclass(kind, logging.Logger)
            behind = "ProcessorFormatter" if is_of_record else type_name(kind)
            if issubclass(kind, logging.Logger):
                behind = "logging.Logger"
            raise WiringError(
                f"MozlogRenderer gives bytes and {behind} wants text, so it would print b'...': "
                'use MozlogRenderer(output="text")'
                + ("" if is_standard else ", or structlog.BytesLoggerFactory()")
            )
        if self._output == "text" and issubclass(kind, structlog.BytesLogger):
            raise WiringError(
                'MozlogRenderer(output="text") gives text and BytesLogger wants bytes: leave '
                "output out, or use structlog.PrintLoggerFactory()"
            )
        self._fitting = kind


def _limit_below(logger: Any) -> int:
    """Return what a line may take, its newline included, below a logger of ours; 0 for any."""
    try:
        limit = logger.sink.max_line_bytes
    except Exception:
        return 0
    return limit if type(limit) is int else 0


def _members(fields: dict[str, Any]) -> bytes:
    """Return plain fields as members of an object that go before others, for a template."""
    return encode(fields)[1:-1].replace(b"%", b"%%") + b"," if fields else b""


def _name_of(logger: Any) -> str | None:
    try:
        name = logger.name
    except Exception:
        return None
    return name if type(name) is str and name else None


def _remains(event_dict: Any, error: Exception) -> dict[str, Any]:
    """Give what is left to say of an event that could not be read."""
    reason = f"event not readable: {type_name(type(error))}"
    if not isinstance(event_dict, dict):
        return {"msg": "the event could not be read", DEGRADED: reason}
    fields = dict.copy(event_dict)
    fields["msg"] = fields.pop("event", "the event could not be read")
    return {**fields, DEGRADED: reason}
