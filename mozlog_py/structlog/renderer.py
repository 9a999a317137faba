"""MozlogRenderer: the last processor of a chain, which makes a line of an event dict."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import structlog

from mozlog_py._config.options import OptionError, check_switch, check_text, shown
from mozlog_py._fields.event_record import EventRecord
from mozlog_py._fields.first_fields import first_fields
from mozlog_py._fields.from_event import (
    LEVEL_AND_TIME,
    LEVELS_BY_NAME,
    MEANINGFUL,
    Event,
    level_number,
    read_event,
)
from mozlog_py._fields.from_record import merge
from mozlog_py._fields.json_message import looks_like_json
from mozlog_py._fields.late_request_ids import add_request_id
from mozlog_py._line.degraded_note import DEGRADED, degrade
from mozlog_py._line.line_encoder import EventDropped, RaiseAfterWrite, encode
from mozlog_py._line.unsafe_characters import DELETE
from mozlog_py._process.memo import LONGEST, remember
from mozlog_py._process.process_id import process
from mozlog_py._redaction.chain_masks import ChainRenderer
from mozlog_py._values import mask_registry
from mozlog_py._values.class_lookup import type_name
from mozlog_py._values.plain_types import all_plain
from mozlog_py._values.sanitiser import MAX_ITEMS, Sanitiser
from mozlog_py._values.tracebacks import as_exc_info
from mozlog_py.context import current, has_context, structlog_registry
from mozlog_py.formatter import MozlogFormatter
from mozlog_py.redaction import combined_mask, line_masks
from mozlog_py.typing import Output, RendererOptions

from .output_check import check_wiring, takes_text

if TYPE_CHECKING:
    # In typing from Python 3.11 on; type checkers know it of all versions.
    from typing_extensions import Unpack

    from mozlog_py._redaction.mask import AnyMask

__all__ = ["AroundContext", "MozlogRenderer", "bound_by_structlog"]

_OPTIONS: Final = (
    "hostname",
    "strict",
    "json_default",
    "static_fields",
    "include_context",
    "parse_messages",
)

# The stack of a line shows the application's frames only, as with structlog alone.
_add_stack: Final = structlog.processors.StackInfoRenderer(additional_ignores=["mozlog_py"])
_time_ns: Final = time.time_ns
_is_plainly_named: Final = MEANINGFUL.isdisjoint
# Without ``level`` and ``timestamp``: if the renderer is the only processor, no other has set
# them, and they are fields of the call.
_IN_CALLS: Final = MEANINGFUL - LEVEL_AND_TIME
# How many combinations of names that are bound to loggers are remembered.
_MAX_REMEMBERED: Final = 128

#: What a line takes that has fields of the context, which stand in front of the bound ones:
#: the template, the fields that are bound to the logger, and whether the template holds
#: static fields.
AroundContext = tuple[bytes, dict[str, Any], bool]

#: The registry in which structlog keeps its context variables.
bound_by_structlog: Final = structlog_registry()


class MozlogRenderer(ChainRenderer):
    """The last processor of a chain: renders an event dict as a MozLog 2.0 line.

    It reads what structlog's own processors leave in an event dict: level, logger, timestamp,
    exc_info, exception, stack, positional arguments, and the record of a
    ``ProcessorFormatter``. ``merge_contextvars`` in front of it is harmless and unnecessary.

    Args:
        logger_name: The application, ``Logger`` in the envelope; also ``Type``, where neither
            the logger nor the event has a name.
        output: What a call returns. ``"bytes"`` is for ``BytesLogger`` and the loggers of this
            package; ``"text"`` for ``PrintLogger``, ``WriteLogger``, ``ProcessorFormatter`` and
            the loggers of ``logging``.
        formatter: The formatter whose options and hooks hold for events as well. It replaces
            all other options but ``output``.
        is_last_of_chain: Whether processors in front of this one add static fields and context
            and run the formatter's processors. If so, the renderer adds none of them.
        **options: ``hostname``, ``strict``, ``json_default``, ``static_fields``,
            ``include_context`` and ``parse_messages``, as in ``MozlogFormatter``.

    Raises:
        OptionError: ``output`` is unknown, an option stands beside a ``formatter``, or an
            option has an invalid value.
        TypeError: At the first event: the logger takes the other output only.
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
                "a formatter has its own logger_name, hostname, static_fields and so on: pass "
                "MozlogRenderer either the formatter or these options"
            )
        self._output = output
        self._is_complete = is_last_of_chain
        #: The formatter whose options and hooks hold.
        self.formatter = formatter
        # The masks of processors in front, as far as a logger or a processor has reported them.
        self._masks_before: tuple[AnyMask, ...] = ()
        mask_registry.call_on_new_mask(self._compile)
        self._compile()

    def _compile(self) -> None:
        formatter = self.formatter
        self.reset_after_fork()
        process.register(self)
        formatter.call_on_change(self._compile)
        self._is_plain = (
            formatter.is_plain(is_processed=self._is_complete)
            and not formatter.prefix
            and not formatter.overrides("convert_record")
        )
        self._static_fields = {} if self._is_complete else dict(formatter.static_fields)
        self._include_context = formatter.include_context and not self._is_complete
        of_formatter = line_masks(formatter.processors)
        self._masks = (*of_formatter, *self._masks_before, *mask_registry.in_chains())
        mask = combined_mask(self._masks)
        # The render function of a formatter with hooks applies the formatter's own mask only.
        self._further_mask = mask if len(self._masks) > len(of_formatter) else None
        self._line_encoder = formatter.line_encoder_for(formatter.logger_name)
        self._line_encoder.use_mask(mask)
        self._checked_type: type | None = None
        self._reserved_by_names: dict[tuple[str, ...], frozenset[str]] = {}
        self._render_plain = self._plain_renderer() if self._is_plain else self._render_any

    def add_masks_of(self, processors: Iterable[Any]) -> None:
        """Mask in each line what processors in front of this one mask by value.

        Args:
            processors: The processors; only a ``Redact`` with a mask has an effect.
        """
        for mask in line_masks([*processors]):
            self.add_mask(mask)

    def add_mask(self, mask: AnyMask) -> None:
        """Apply a mask to each line from now on."""
        for known in self._masks:
            if known is mask:
                return
        self._masks_before = (*self._masks_before, mask)
        self._compile()

    def reset_after_fork(self) -> None:
        """Invalidate every line prefix that this renderer has compiled."""
        #: Is replaced when an option of the formatter changes and in a forked process. A
        #: prefix holds as long as it has the same object.
        self.state = object()

    def __getstate__(self) -> tuple[Any, ...]:
        return self._output, self._is_complete, self.formatter

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._output, self._is_complete, self.formatter = state
        self._masks_before = ()
        mask_registry.call_on_new_mask(self._compile)
        self._compile()

    def __call__(self, logger: Any, method_name: str, event_dict: Mapping[str, Any]) -> bytes | str:
        """Return the line of one event.

        Args:
            logger: The logger below the chain.
            method_name: The name of the level's method.
            event_dict: The event.

        Returns:
            The line without a newline, in the type that ``output`` names.

        Raises:
            TypeError: The logger takes the other output only. No other ``Exception`` is raised.
        """
        try:
            line = self.render(logger, method_name, event_dict)
        except RaiseAfterWrite as interrupted:
            # The caller writes the line and knows no exception that follows it. One that a
            # value's own code has raised is dropped, so that the line is written.
            if not interrupted.from_value:
                raise interrupted.cause from None
            line = interrupted.line
        return line if self._output == "bytes" else line.decode()

    def render(
        self,
        logger: Any,
        method_name: str,
        event_dict: Mapping[str, Any],
        keys_of_call: frozenset[str] | None = None,
    ) -> bytes:
        """Return the line of one event in bytes, whatever ``output`` is.

        Args:
            logger: The logger below the chain.
            method_name: The name of the level's method.
            event_dict: The event.
            keys_of_call: As for ``read_event``.

        Raises:
            RaiseAfterWrite: The line is to be written before an exception goes on.
            WiringError: The logger takes the other output only.
        """
        if type(logger) is not self._checked_type:
            check_wiring(self._output, logger, event_dict)
            self._checked_type = type(logger)
        if keys_of_call is not None:
            return self._render_any(logger, method_name, event_dict, keys_of_call)
        return self._render_plain(logger, method_name, event_dict)

    def surroundings(self) -> dict[str, Any]:
        """Return the static fields and the context that this renderer adds to an event."""
        context = current() if self._include_context else {}
        return {**self._static_fields, **context}

    @property
    def output(self) -> str:
        """What a call returns, ``"bytes"`` or ``"text"``."""
        return self._output

    def gives_bytes_to(self, logger: Any) -> bool:
        """Return whether a logger takes the lines as they are encoded."""
        return self._output == "bytes" and not takes_text(logger)

    def compile_prefix(
        self, logger: Any, level: int, bound: dict[str, Any], newline: bytes
    ) -> tuple[bytes, bytes, AroundContext | None, frozenset[str], bool] | None:
        """Return what is constant in the lines of a bound logger, at one level in this process.

        Args:
            logger: The logger below the chain.
            level: The level's number.
            bound: The fields that are bound to the logger.
            newline: Ends each line.

        Returns:
            None where a line takes more than a prefix. Else

            - a template for the time and the fields of the call; they are encoded without
              their first brace if the template holds fields
            - a template for the time and a message without other fields
            - what a line takes that has fields of the context; None if no field is bound
            - the names that no field of the call may have
            - whether the templates hold fields
        """
        if not self._is_plain or self._line_encoder.extension or not self._include_context:
            return None
        if self._line_encoder.mask is not None:
            return None
        constant = {**self._static_fields, **bound} if type(bound) is dict else {"event": None}
        if not all_plain(constant.values()) or not _IN_CALLS.isdisjoint(constant):
            return None
        if len(constant) >= MAX_ITEMS // 2:
            return None
        try:
            of_fields = self._template(_name_of(logger) or self._line_encoder.logger, level)
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
            self._reserved_names(constant),
            bool(ahead),
        )

    def _reserved_names(self, constant: dict[str, Any]) -> frozenset[str]:
        """Return the names that no field of a call may have beside constant ones."""
        if not constant:
            return _IN_CALLS
        names = (*constant,)
        reserved = self._reserved_by_names.get(names)
        if reserved is None:
            reserved = _IN_CALLS.union(names)
            remember(self._reserved_by_names, names, reserved, _MAX_REMEMBERED, 8 * LONGEST)
        return reserved

    def _template(self, type_: str, level: int) -> bytes:
        return self._line_encoder.template(type_, level, process.pid)

    def _plain_renderer(self) -> Callable[[Any, str, Mapping[str, Any]], bytes]:
        """Return the function that renders plain events; it passes others to ``_render_any``.

        It repeats the last statements of ``LineEncoder.line``, since a call would cost more
        than they do. A property test compares the two.
        """
        encoder, render_any, static = self._line_encoder, self._render_any, self._static_fields
        templates, dumps, default_type = encoder.templates, encoder.dumps, encoder.logger
        is_extended, include_context = encoder.extension is not None, self._include_context

        def render(logger: Any, method_name: str, event_dict: Any) -> bytes:
            try:
                if type(event_dict) is not dict:
                    return render_any(logger, method_name, event_dict)
                fields: dict[str, Any]
                if include_context and has_context():
                    fields = {**static, **current(event_dict), **event_dict}
                elif static:
                    fields = {**static, **event_dict}
                else:
                    fields = event_dict.copy()
                message = fields.pop("event")
                if fields and (
                    len(fields) >= MAX_ITEMS
                    or not all_plain(fields.values())
                    or not _is_plainly_named(fields)
                ):
                    return render_any(logger, method_name, event_dict)
                if type(message) is not str or not message:
                    return render_any(logger, method_name, event_dict)
                if message >= "{" and looks_like_json(message):
                    return render_any(logger, method_name, event_dict)
                ns = _time_ns()
                if ns > process.until_ns:
                    process.refresh(ns)
                name = getattr(logger, "name", None) or default_type
                level = LEVELS_BY_NAME[method_name]
                of_fields, of_message = templates[process.pid][name][level]
                if fields:
                    fields["msg"] = message
                    line = of_fields % (ns, dumps(fields))
                else:
                    fields = {"msg": message}
                    line = of_message % (ns, dumps(message))
                if is_extended or not line.isascii() or DELETE in line:
                    limit = _limit_below(logger)
                    return encoder.complete(line, name, level, fields, None, limit)
                return line
            except RaiseAfterWrite:
                raise
            except Exception:
                # ``_render_any`` has a line for each kind of failure.
                pass
            except BaseException as error:
                line = render_any(logger, method_name, event_dict)
                raise RaiseAfterWrite(line, error, from_value=False) from None
            return render_any(logger, method_name, event_dict)

        return render

    def _render_any(
        self,
        logger: Any,
        method_name: str,
        event_dict: Mapping[str, Any],
        keys_of_call: frozenset[str] | None = None,
    ) -> bytes:
        name = _name_of(logger) or self._line_encoder.logger
        max_bytes = _limit_below(logger)
        try:
            if event_dict.get("stack_info") is True:
                event_dict = _with_stack(logger, method_name, event_dict, keys_of_call)
            event_dict = first_fields(event_dict)
            if self._is_plain:
                return self._line(name, method_name, event_dict, keys_of_call, max_bytes)
            return self._line_of_formatter(name, method_name, event_dict, keys_of_call, max_bytes)
        except Exception as error:
            fallback = _fallback_fields(event_dict, error)
            if self.formatter.processors and not self._is_complete:
                # The processors have not seen these fields, and may be there to hide some.
                fallback = {DEGRADED: fallback[DEGRADED]}
            level = level_number(method_name)
            now = time.time_ns()
            return self._line_encoder.line(now, name, level, None, fallback, max_bytes=max_bytes)

    def _line(
        self,
        name: str,
        method_name: str,
        event_dict: Mapping[str, Any],
        keys_of_call: frozenset[str] | None,
        max_bytes: int,
    ) -> bytes:
        sanitiser = Sanitiser(self.formatter.json_default)
        event = self._read(event_dict, method_name, name, sanitiser, keys_of_call)
        around = self._static_fields
        if self._include_context and (context := current(event.fields)):
            around = {**around, **context}
        around = {**around, **event.fields}
        if self._include_context and "traceback" in event.call_fields:
            # If a processor has made a text of the exception, the one being handled is meant.
            add_request_id(around, event.exc_info or True)
        fields = merge(around, event.call_fields)
        return self._line_encoder.line(
            event.timestamp_ns, event.type_, event.level, event.pid, fields, sanitiser, max_bytes
        )

    def _line_of_formatter(
        self,
        name: str,
        method_name: str,
        event_dict: Mapping[str, Any],
        keys_of_call: frozenset[str] | None,
        max_bytes: int,
    ) -> bytes:
        sanitiser = Sanitiser(self.formatter.json_default)
        event = self._read(event_dict, method_name, name, sanitiser, keys_of_call)
        if sanitiser.reasons:
            degrade(event.fields, "; ".join(sanitiser.reasons))
        try:
            exc_info = as_exc_info(event.exc_info) if event.exc_info else None
        except Exception:
            # The fields already say that the exception could not be read.
            exc_info = None
        record = EventRecord(
            event.timestamp_ns,
            event.type_,
            event.level,
            event.fields,
            event.call_fields,
            exc_info,
            is_complete=self._is_complete,
        )
        if event.pid is not None:
            record.process = event.pid
        try:
            if self._further_mask is None:
                return self.formatter.renderer(None, max_bytes)(record)
            # No limit here: a secret that is cut in two would not be masked.
            return self._masked_line(self._further_mask, self.formatter.renderer()(record))
        except EventDropped:
            raise structlog.DropEvent from None
        except RaiseAfterWrite as interrupted:
            if self._further_mask is not None:
                interrupted.line = self._masked_line(self._further_mask, interrupted.line)
            raise

    def _masked_line(self, mask: AnyMask, line: bytes) -> bytes:
        # A line with its prefix is not JSON, and would be masked as a text, its envelope too.
        prefix = self.formatter.prefix.encode()
        if not line.startswith(prefix):
            return mask.line(line)
        return prefix + mask.line(line[len(prefix) :])

    def _read(
        self,
        event_dict: Mapping[str, Any],
        method_name: str,
        name: str,
        sanitiser: Sanitiser,
        keys_of_call: frozenset[str] | None,
    ) -> Event:
        parse_messages = self.formatter.parse_messages
        return read_event(
            event_dict, method_name, name, sanitiser, keys_of_call, parse_messages=parse_messages
        )


def _with_stack(
    logger: Any,
    method_name: str,
    event_dict: Mapping[str, Any],
    keys_of_call: frozenset[str] | None,
) -> Mapping[str, Any]:
    """Return an event dict with the stack of its call, unless a processor has added one."""
    if "stack" in event_dict and (keys_of_call is None or "stack" not in keys_of_call):
        return event_dict
    shown = _add_stack(logger, method_name, {"stack_info": True})
    return {**event_dict, "stack_info": shown["stack"]}


def _limit_below(logger: Any) -> int:
    """Return how many bytes a line may have, its newline left out; 0 for any number.

    Only the sink of a ``SinkLogger`` has a limit.
    """
    try:
        # With a default, getattr() raises nothing for the loggers that have no sink.
        limit = getattr(getattr(logger, "sink", None), "max_line_bytes", 0)
    except Exception:
        return 0
    return limit - 1 if type(limit) is int and limit > 0 else 0


def _members(fields: dict[str, Any]) -> bytes:
    """Return plain fields as the first members of an encoded object, for a template."""
    return encode(fields)[1:-1].replace(b"%", b"%%") + b"," if fields else b""


def _name_of(logger: Any) -> str | None:
    try:
        name = logger.name
    except Exception:
        return None
    return name if type(name) is str and name else None


def _fallback_fields(event_dict: Any, error: Exception) -> dict[str, Any]:
    """Return the fields of a line for an event that could not be read."""
    reason = f"event not readable: {type_name(type(error))}"
    if not isinstance(event_dict, dict):
        return {"msg": "the event could not be read", DEGRADED: reason}
    fields = dict.copy(event_dict)
    fields["msg"] = fields.pop("event", "the event could not be read")
    return {**fields, DEGRADED: reason}
