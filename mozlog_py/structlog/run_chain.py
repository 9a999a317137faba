"""Runs a whole chain of processors, for an event that needs more than a line prefix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog

from mozlog_py._fields.from_event import SET_BY_PROCESSORS, interpolated
from mozlog_py._fields.template_message import (
    EVENT_KEYS,
    Template,
    TemplateMessage,
    read_template,
)
from mozlog_py._line.degraded_note import degrade
from mozlog_py._line.line_encoder import RaiseAfterWrite
from mozlog_py._values.dict_items import thawed
from mozlog_py._values.sanitiser import Sanitiser, unique_key
from mozlog_py.context import current
from mozlog_py.processors import guarded
from mozlog_py.redaction import masked_event, shows_no_secret

from .levels import METHODS_BY_LEVEL
from .other_handlers import Recipients
from .output_check import WiringError
from .renderer import MozlogRenderer

__all__ = ["Call", "run_chain"]

#: A method of the logger below the chain, its arguments and its keyword arguments.
Call = tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]


def run_chain(
    logger: Any,
    processors: Any,
    bound: Any,
    level: int,
    event: Any,
    args: tuple[Any, ...],
    fields: dict[str, Any],
    interrupts: list[BaseException],
    recipients: Recipients | None = None,
) -> Call | None:
    """Run a chain of processors and return the call that writes its result.

    Args:
        logger: The logger below the chain.
        processors: The chain.
        bound: The fields that are bound to the logger above the chain.
        level: The level's number.
        event: The message of the call.
        args: Its arguments.
        fields: The fields of the call.
        interrupts: Takes each exception that is no ``Exception``, to be raised after the call.
        recipients: What gets the event beside the logger; its record is made here.

    Returns:
        The call; None for an event that a processor has dropped.

    Raises:
        WiringError: The last processor returned nothing that a logger takes.
    """
    name = METHODS_BY_LEVEL.get(level, "info")
    if type(event) is Template:
        event, fields = _opened(event, fields, interrupts)
    event_dict: Any = _call_fields(bound, fields, level)
    template, template_args = event, args
    if args:
        try:
            event = interpolated(event, args)
        except BaseException as error:
            # The line shows the message and the arguments side by side.
            _keep_field("positional_args", event_dict)
            event_dict["positional_args"] = args
            template_args = ()
            if not isinstance(error, Exception):
                interrupts.append(error)
    if type(event) is TemplateMessage:
        template, template_args = event, ()
    if event is not None:
        if "event" in fields:
            # One that is bound is replaced, as structlog replaces it.
            _keep_field("event", event_dict)
        event_dict["event"] = event
    *before, last = [*processors] or [_unchanged]
    try:
        event_dict = guarded(before, logger, name, event_dict, interrupts)
        if recipients is not None:
            renderer = last if isinstance(last, MozlogRenderer) else None
            surroundings = dict if renderer is None else renderer.surroundings
            default_name = "root" if renderer is None else renderer.formatter.logger_name
            type_ = getattr(logger, "name", None) or default_name
            visible = masked_event(before, event_dict)
            if not shows_no_secret(before, template_args):
                template, template_args = event, ()
            recipients.make_record(type_, surroundings, visible, template, template_args, event)
        if isinstance(last, MozlogRenderer):
            last.add_masks_of(before)
            event_dict = _rendered(last, logger, name, event_dict, interrupts, (fields, bound))
        else:
            event_dict = last(logger, name, masked_event(before, event_dict))
    except structlog.DropEvent:
        if recipients is not None:
            recipients.drop_record()
        return None
    return _call_with(getattr(logger, name), event_dict)


def _opened(
    template: Any, fields: dict[str, Any], interrupts: list[BaseException]
) -> tuple[TemplateMessage, dict[str, Any]]:
    """Return the message of a template string, and the fields of the call with its values."""
    sanitiser = Sanitiser()
    message = read_template(template, sanitiser)
    fields = {**fields, **message.fields_beside(fields, EVENT_KEYS)}
    if sanitiser.reasons:
        degrade(fields, "; ".join(sanitiser.reasons))
    if sanitiser.interrupt is not None:
        interrupts.append(sanitiser.interrupt)
    return message, fields


def _call_fields(bound: Any, fields: dict[str, Any], level: int) -> Any:
    """Return the event dict of a call, without its message."""
    event_dict: Any = bound.copy()
    event_dict.update(fields)
    if "level_number" in event_dict:
        # The renderer would take a field of this name for the level.
        event_dict[unique_key("extra.level_number", event_dict)] = event_dict.pop("level_number")
    if level not in METHODS_BY_LEVEL:
        event_dict["level_number"] = level
    return event_dict


def _keep_field(name: str, event_dict: Any) -> None:
    """Keep a field that has a name which the event needs."""
    if name in event_dict:
        event_dict[unique_key(f"extra.{name}", event_dict)] = event_dict.pop(name)


def _call_with(method: Callable[..., Any], rendered: Any) -> Call:
    """Return the call of a logger's method with what the last processor returned."""
    if isinstance(rendered, (str, bytes, bytearray)):
        return method, (rendered,), {}
    if isinstance(rendered, tuple):
        arguments, keywords = rendered
        return method, arguments, keywords
    rendered = thawed(rendered)
    if isinstance(rendered, dict):
        return method, (), rendered
    raise WiringError(
        f"the last processor returned {type(rendered).__name__}; it must return str, bytes, "
        "a dict, or a tuple of arguments and keyword arguments: is MozlogRenderer the last?"
    )


def _unchanged(_: Any, __: str, event_dict: Any) -> Any:
    return event_dict


def _rendered(
    renderer: MozlogRenderer,
    logger: Any,
    name: str,
    event_dict: Any,
    interrupts: list[BaseException],
    sources: tuple[Mapping[Any, Any], ...],
) -> bytes | str:
    """Return the line of an event.

    Args:
        renderer: The last processor.
        logger: The logger below the chain.
        name: The name of the level's method.
        event_dict: The event.
        interrupts: Takes what is to be raised after the line is written.
        sources: The fields of the call and those that are bound to the logger.
    """
    keys = None
    if not SET_BY_PROCESSORS.isdisjoint(event_dict):
        static_fields = renderer.formatter.static_fields
        keys = _keys_of_call(event_dict, (*sources, current(), static_fields))
    try:
        line = renderer.render(logger, name, event_dict, keys)
    except RaiseAfterWrite as interrupted:
        line = interrupted.line
        interrupts.append(interrupted.cause)
    return line if renderer.output == "bytes" else line.decode()


def _keys_of_call(event_dict: Any, sources: Iterable[Mapping[Any, Any]]) -> frozenset[str]:
    """Return which of ``SET_BY_PROCESSORS`` no processor has set."""
    return frozenset(
        name
        for name in SET_BY_PROCESSORS.intersection(event_dict)
        if any(name in source and source[name] is event_dict[name] for source in sources)
    )
