"""Sample: a processor that keeps some of the many, and all of what matters."""

from __future__ import annotations

import logging
import random
import zlib
from typing import Any, Final

import structlog

from .context import current
from .events import event_level, level_number
from .values import Sanitiser

__all__ = ["Sample"]

_ANY: Final = 2**32


class Sample:
    """Keeps every event at or above a level, and one in ``rate`` of those below it.

    - ``rate``: one in how many is kept; each of them says so in ``sample_rate``,
      by which a count of lines is to be multiplied.
    - ``keep_from``: the level (a name or number) from which on all are kept.
    - ``key``: the field whose value decides, so that all lines of a request are
      kept or none is; the same in every process. It decides by its text in the line:
      a ``UUID`` as its ``str`` does. Where an event has none, and the context neither,
      chance decides; it does as well for containers and for what has no text.

    It is a processor of structlog and of ``MozlogFormatter``, and a filter of
    ``logging``: for handlers that are not ours, whose formatters can drop nothing.
    Raises ``ValueError`` for a rate or level that is none.
    """

    def __init__(
        self, rate: int, *, keep_from: int | str = logging.WARNING, key: str = "rid"
    ) -> None:
        if not isinstance(rate, int) or isinstance(rate, bool) or rate < 1:
            raise ValueError(f"rate is {rate!r}; it must be a number from 1: one in how many")
        level = level_number(keep_from)
        if level is None:
            raise ValueError(f"keep_from is {keep_from!r}; it must be a level's name or number")
        self.rate = rate
        self.keep_from = level
        self.key = key

    def __call__(self, _: Any, method_name: str, event_dict: dict[str, Any]) -> dict[str, Any]:
        """Give the event dict, marked, or raise ``structlog.DropEvent``."""
        if event_level(event_dict, method_name) >= self.keep_from or self.rate == 1:
            return event_dict
        if not self._keeps(event_dict.get(self.key)):
            raise structlog.DropEvent
        event_dict["sample_rate"] = self.rate
        return event_dict

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is kept, and mark it if so."""
        level = level_number(record.levelno)
        if self.rate == 1 or (level is not None and level >= self.keep_from):
            return True
        if not self._keeps(getattr(record, self.key, None)):
            return False
        record.sample_rate = self.rate
        return True

    def _keeps(self, value: Any) -> bool:
        text = _text(value) or _text(current().get(self.key))
        if text:
            # Not hash(): that is another one in each process.
            number = zlib.crc32(text.encode("utf-8", "backslashreplace"))
        else:
            number = random.randrange(_ANY)  # noqa: S311 - nothing here is a secret
        return number * self.rate < _ANY


def _text(value: Any) -> str:
    """Return the text that a value has in a line; an empty one where it has none."""
    if value is None or type(value) is str:
        return value or ""
    if issubclass(type(value), (dict, list, tuple)):
        # They have no text, and may have any number of members.
        return ""
    sanitiser = Sanitiser()
    plain = sanitiser.value(value)
    kind = type(plain)
    if sanitiser.reasons or not (kind is str or kind is int or kind is float or kind is bool):
        return ""
    return str(plain)
