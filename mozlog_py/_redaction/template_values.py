"""Credentials in template strings: hidden in the message and in the fields of the values.

A value is secret by the name of its field or by its expression, such as ``row["pwd"]``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mozlog_py._fields import template_message
from mozlog_py._fields.json_message import looks_like_json
from mozlog_py._fields.template_message import Interpolated, TemplateMessage, is_template
from mozlog_py._line.line_encoder import degrade
from mozlog_py._values.dict_items import DICTS
from mozlog_py._values.sanitiser import Sanitiser

__all__ = ["clean_message", "is_fields", "opened", "with_hidden_values"]


def is_fields(event: Any) -> bool:
    """Return whether the members of a message, or the values in it, become fields."""
    kind = type(event)
    if issubclass(kind, DICTS) or kind is TemplateMessage or is_template(event):
        return True
    return kind is str and looks_like_json(event)


def opened(event_dict: dict[str, Any], interrupts: list[BaseException]) -> dict[str, Any]:
    """Return an event dict with the values of a template as fields; others are unchanged.

    Args:
        event_dict: The event.
        interrupts: Takes an exception of a value's own code that is no ``Exception``.
    """
    sanitiser = Sanitiser()
    event_dict = template_message.opened(event_dict, sanitiser)
    if sanitiser.reasons:
        degrade(event_dict, "; ".join(sanitiser.reasons))
    if sanitiser.interrupt is not None:
        interrupts.append(sanitiser.interrupt)
    return event_dict


def with_hidden_values(
    event_dict: dict[str, Any], is_secret: Callable[[Any], bool], marker: str
) -> dict[str, Any]:
    """Return an event dict without the values of a template whose expression is secret.

    Args:
        event_dict: The event, with the values of the template as fields.
        is_secret: Returns whether a name is that of a credential.
        marker: Stands in place of a value.
    """
    message = event_dict.get("event")
    if type(message) is not TemplateMessage:
        return event_dict
    hidden = {
        name: marker
        for part in message.values()
        if part.value is not None and is_secret(part.expression)
        for name in (part.name, f"extra.{part.name}")
        if event_dict.get(name) is part.value
    }
    return {**event_dict, **hidden}


def clean_message(
    message: TemplateMessage,
    is_secret: Callable[[Any], bool],
    marker: str,
    redacted: Callable[[Any], Any],
) -> TemplateMessage:
    """Return the message of a template without the credentials among its values.

    Args:
        message: The message.
        is_secret: Returns whether a name is that of a credential.
        marker: Stands in place of a value.
        redacted: Returns a value without the credentials in it.
    """
    sanitiser = Sanitiser()

    def clean(part: Interpolated) -> Interpolated:
        if part.value is None:
            return part
        if is_secret(part.name) or is_secret(part.expression):
            return part._replace(value=marker, text=marker)
        shown = redacted(part.value)
        if shown is part.value:
            return part
        return part._replace(value=shown, text=sanitiser.text_of(shown))

    return message.replaced(clean)
