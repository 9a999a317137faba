"""What ``Redact`` keeps while it searches one event: how much it may still search, and in what."""

from __future__ import annotations

from typing import Final, TypeVar

from mozlog_py._values.record_budget import CONTAINER_NODES, MAX_NODES
from mozlog_py._values.sanitiser import Sanitiser

__all__ = ["MAX_SEARCHED", "EventSearch"]

_T = TypeVar("_T")

#: Characters of objects' texts that are searched in one event: twice as many as a line has by
#: default. Further objects are hidden.
MAX_SEARCHED: Final = 32_768


class EventSearch:
    """The state of one event's search for credentials.

    Args:
        interrupts: Takes each exception of a value's own code that is no ``Exception``.
    """

    __slots__ = ("interrupts", "left", "sanitiser", "text_kinds")

    def __init__(self, interrupts: list[BaseException]) -> None:
        #: The exceptions of values' own code that are no ``Exception``.
        self.interrupts = interrupts
        #: How many values may still be searched; a line holds no more.
        self.left = MAX_NODES
        #: Makes the texts of objects.
        self.sanitiser = Sanitiser(max_characters=MAX_SEARCHED)
        #: The ids of the classes of which a value was shown by a text.
        self.text_kinds: set[int] = set()

    def within_budget(self, items: list[_T]) -> list[_T]:
        """Return as many of a container's items as may still be searched."""
        kept = items[: max(0, self.left - CONTAINER_NODES)]
        self.left -= len(kept) + CONTAINER_NODES
        return kept
