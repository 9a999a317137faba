"""Credentials in template strings: hidden in the message and in the fields of the values.

A value is secret by the name of its field or by its expression, such as ``row["pwd"]``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mozlog_py._fields.json_message import looks_like_json
from mozlog_py._fields.template_message import (
    Interpolated,
    TemplateMessage,
    is_template,
    with_template_fields,
)
from mozlog_py._line.degraded_note import degrade
from mozlog_py._values.dict_items import DICTS
from mozlog_py._values.sanitiser import Sanitiser

__all__ = ["clean_message", "is_fields", "read"]


def is_fields(event: Any) -> bool:
    """Return whether the members of a message, or the values in it, become fields."""
    kind = type(event)
    if issubclass(kind, DICTS) or kind is TemplateMessage or is_template(event):
        return True
    return kind is str and looks_like_json(event)


def read(
    event_dict: dict[str, Any],
    is_secret: Callable[[Any], bool],
    marker: str,
    interrupts: list[BaseException],
) -> dict[str, Any]:
    """Return an event dict with the values of its template as fields; others are unchanged.

    A value is replaced if the names in its expression are secret.

    Args:
        event_dict: The event.
        is_secret: Returns whether a name is that of a credential.
        marker: Stands in place of a value.
        interrupts: Takes an exception of a value's own code that is no ``Exception``.
    """
    message: Any = event_dict.get("event")
    if is_template(message):
        sanitiser = Sanitiser()
        event_dict = with_template_fields(event_dict, sanitiser)
        message = event_dict["event"]
        if sanitiser.reasons:
            degrade(event_dict, "; ".join(sanitiser.reasons))
        if sanitiser.interrupt is not None:
            interrupts.append(sanitiser.interrupt)
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
