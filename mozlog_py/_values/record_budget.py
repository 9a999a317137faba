"""What one record may hold: bounds that its values share, and the notes of what they cost it.

``docs/bounds.md`` lists the bounds.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

from .class_lookup import is_kind
from .mask_registry import MAX_SEARCHED, MAX_WINDOWS, has_cut_masks, mask_before_cut

__all__ = [
    "CONTAINER_NODES",
    "DEGRADED",
    "MAX_CHARACTERS",
    "MAX_NODES",
    "MORE_KEY",
    "MoreItems",
    "RecordBudget",
    "more_items",
]

_T = TypeVar("_T")
_More = TypeVar("_More", bound="MoreItems")

#: Values kept of one record, over all its containers: shared references can
#: make a small object graph print as an endless one.
MAX_NODES: Final = 10_000
#: As how many further values a container counts, whose copy takes as long as that of some.
CONTAINER_NODES: Final = 2
#: Characters kept of one record's containers and ``repr`` texts together; one
#: large string that is shared by many items would multiply.
MAX_CHARACTERS: Final = 1_048_576

# Beyond the bound of the characters, this much is kept of each text.
_MAX_TAIL: Final = 100
_MAX_REASONS: Final = 16

#: The field in which a line says which parts of its record are missing.
DEGRADED: Final = "mozlog.degraded"
#: The name under which an object has the number of its members that are left out.
MORE_KEY: Final = "<more>"
#: Returns the text in place of items that are left out.
more_items: Final = "<{} more items>".format


class MoreItems(str):
    """The text in place of items that are left out, which keeps how many they are.

    Args:
        number: How many.
    """

    __slots__ = ("number",)

    number: int

    def __new__(cls: type[_More], number: int) -> _More:
        """Return the text for a number of items."""
        text = str.__new__(cls, more_items(number))
        text.number = number
        return text

    def __reduce__(self) -> Any:
        """Return what a copy or a pickle is made of: the plain text."""
        return str, (str.__str__(self),)


class RecordBudget:
    """The values and characters that one record has left, what it lost, and its interrupt.

    ``Sanitiser`` derives from it, since an attribute more costs each text of a container.

    Args:
        max_characters: How many characters the record's containers and ``repr`` texts may
            have together.
    """

    __slots__ = (
        "_characters",
        "_max_characters",
        "_nodes",
        "_searched",
        "interrupt",
        "reasons",
    )

    def __init__(self, max_characters: int = MAX_CHARACTERS) -> None:
        self._max_characters = max_characters
        self._characters = 0
        self._nodes = 0
        self._searched = 0
        #: One short sentence for each kind of loss, in the order in which they came.
        self.reasons: dict[str, None] = {}
        #: What the code of a value raised that is no ``Exception``.
        self.interrupt: BaseException | None = None

    def add_reason(self, reason: str) -> None:
        """Record that the line says less than the record did, and why."""
        if len(self.reasons) < _MAX_REASONS:
            self.reasons[reason] = None

    def defer_interrupt(self, error: BaseException) -> None:
        """Keep what is no ``Exception``, for the caller to raise once the line is written.

        The first one counts. An ``Exception`` is not kept.
        """
        if self.interrupt is not None or isinstance(error, Exception):
            return
        # structlog's DropEvent addresses its chain of processors, which does not run here.
        if not is_kind(type(error), "structlog.exceptions", "DropEvent"):
            self.interrupt = error

    @property
    def is_spent(self) -> bool:
        """Whether the record had more values, or characters of them, than a record may hold."""
        return self._characters > self._max_characters or self._nodes >= MAX_NODES

    def _within_budget(self, items: list[_T]) -> list[_T]:
        """Return as many of a container's items as the record may still hold."""
        left = MAX_NODES - self._nodes - CONTAINER_NODES
        if len(items) > left:
            items = items[: max(0, left)]
        self._nodes += len(items) + CONTAINER_NODES
        return items

    def _spent(self, text: str, most: int | None = None, left_out: int = 0) -> str:
        """Return as much of a text as the record may still hold.

        Args:
            text: The text, or more than ``most`` characters of its start.
            most: The most characters of it; None for no such limit.
            left_out: How many more characters the whole text has.
        """
        size = len(text)
        is_long = most is not None and size > most
        self._characters += most if is_long and most is not None else size
        if self._characters <= self._max_characters:
            return self._cut(text, most, left_out) if is_long and most is not None else text
        return self._cut(text, _MAX_TAIL, left_out)

    def _cut(self, text: str, most: int, left_out: int) -> str:
        size = len(text)
        if size <= most:
            return text
        self.add_reason("text truncated")
        if has_cut_masks():
            self._searched += min(size, most + MAX_WINDOWS)
            if self._searched > MAX_SEARCHED:
                return f"<truncated, {size + left_out} characters>"
        return f"{mask_before_cut(text, most)[:most]}... <truncated, {size + left_out} characters>"
