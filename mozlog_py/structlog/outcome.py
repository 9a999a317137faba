"""The outcome of a chain of processors, for an event that takes all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from mozlog_py.line import Interrupted
from mozlog_py.processors import guarded
from mozlog_py.redaction import masked_event
from mozlog_py.values import free_name

from .levels import NAMES
from .renderer import MozlogRenderer, WiringError

__all__ = ["Call", "outcome"]

#: What is to be called with a line, and with what.
Call = tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]


def outcome(
    logger: Any,
    processors: Any,
    bound: Any,
    level: int,
    event: Any,
    args: tuple[Any, ...],
    fields: dict[str, Any],
    interrupts: list[BaseException],
) -> Call | None:
    """Run a chain; give what is to be called with its outcome, None for a dropped event.

    ``logger`` is the one below the chain, ``bound`` what is bound to the one above
    it. What was raised that is no ``Exception`` is put into ``interrupts``, to be
    raised after the call. Raises ``WiringError``.
    """
    name = NAMES.get(level, "info")
    event_dict: Any = bound.copy()
    event_dict.update(fields)
    if level not in NAMES:
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
    *before, last = [*processors] or [_as_it_is]
    try:
        event_dict = guarded(before, logger, name, event_dict, interrupts)
        if isinstance(last, MozlogRenderer):
            event_dict = _rendered(last, logger, name, event_dict, interrupts)
        else:
            event_dict = last(logger, name, masked_event(before, event_dict))
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
