"""The outcome of a chain of processors, for an event that takes all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog

from mozlog_py._fields.from_event import LEVEL_AND_TIME
from mozlog_py._line.line_encoder import RaiseAfterWrite
from mozlog_py._values.sanitiser import unique_key
from mozlog_py.context import current
from mozlog_py.processors import guarded
from mozlog_py.redaction import masked_event

from .levels import NAMES
from .other_handlers import Recipients
from .renderer import MozlogRenderer, WiringError

__all__ = ["Call", "run_chain"]

#: What is to be called with a line, and with what.
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
    """Run a chain; give what is to be called with its outcome, None for a dropped event.

    ``logger`` is the one below the chain, ``bound`` what is bound to the one above
    it. What was raised that is no ``Exception`` is put into ``interrupts``, to be
    raised after the call. ``recipients``: what else gets the event; its record is made
    here. Raises ``WiringError``.
    """
    name = NAMES.get(level, "info")
    event_dict: Any = bound.copy()
    event_dict.update(fields)
    if "level_number" in event_dict:
        # A field of this name; for the renderer it would be the level.
        event_dict[unique_key("extra.level_number", event_dict)] = event_dict.pop("level_number")
    if level not in NAMES:
        event_dict["level_number"] = level
    template, template_args = event, args
    if args:
        try:
            event = _interpolated(event, args)
        except BaseException as error:
            # Both are shown, side by side.
            event_dict["positional_args"] = args
            template_args = ()
            if not isinstance(error, Exception):
                interrupts.append(error)
    if event is not None:
        if "event" in fields:
            # Somebody's field, beside the event itself.
            event_dict[unique_key("extra.event", event_dict)] = fields["event"]
        event_dict["event"] = event
    *before, last = [*processors] or [_as_it_is]
    try:
        event_dict = guarded(before, logger, name, event_dict, interrupts)
        if recipients is not None:
            renderer = last if isinstance(last, MozlogRenderer) else None
            surroundings = dict if renderer is None else renderer.surroundings
            default_name = "root" if renderer is None else renderer.formatter.logger_name
            type_ = getattr(logger, "name", None) or default_name
            visible = masked_event(before, event_dict)
            recipients.make_record(type_, surroundings, visible, template, template_args, event)
        if isinstance(last, MozlogRenderer):
            own = None
            if "level" in event_dict or "timestamp" in event_dict:
                static = last.formatter.static_fields
                own = _own_of_call(event_dict, (fields, bound, current(), static))
            last.add_masks_of(before)
            event_dict = _rendered(last, logger, name, event_dict, interrupts, own)
        else:
            event_dict = last(logger, name, masked_event(before, event_dict))
    except structlog.DropEvent:
        if recipients is not None:
            recipients.drop_record()
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


def _as_it_is(_: Any, __: str, event_dict: Any) -> Any:
    return event_dict


def _interpolated(event: Any, args: tuple[Any, ...]) -> Any:
    # As logging does it: one mapping is not one of several arguments.
    if len(args) == 1 and isinstance(args[0], Mapping) and args[0]:
        return event % args[0]
    return event % args


def _own_of_call(event_dict: Any, sources: Iterable[Mapping[Any, Any]]) -> frozenset[str]:
    """Return which of ``level`` and ``timestamp`` are as the call gave them: no processor's."""
    return frozenset(
        name
        for name in LEVEL_AND_TIME.intersection(event_dict)
        if any(name in source and source[name] is event_dict[name] for source in sources)
    )


def _rendered(
    renderer: MozlogRenderer,
    logger: Any,
    name: str,
    event_dict: Any,
    interrupts: list[BaseException],
    own: frozenset[str] | None,
) -> bytes | str:
    try:
        line = renderer.render(logger, name, event_dict, own)
    except RaiseAfterWrite as interrupted:
        line = interrupted.line
        interrupts.append(interrupted.cause)
    return line if renderer.output == "bytes" else line.decode()
