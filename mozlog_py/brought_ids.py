"""What chance has decided for requests whose clients have chosen their ids.

A hash of an id that the client chooses would have the client decide what is logged. So a
number is drawn for each request that brings an id, and decides in place of the hash. All
lines of the request find it in their context; it is kept beside the id, and is of no
account for lines with another one.
"""

from __future__ import annotations

import random
from contextvars import ContextVar
from typing import Final

__all__ = ["RANGE", "Drawn", "brought", "draw", "drawn_here", "put_back"]

#: Numbers are drawn from 0 up to, and not including, this one.
RANGE: Final = 2**32

#: An id, and the number that was drawn for its request.
Drawn = tuple[str, int]

_here: Final[ContextVar[Drawn | None]] = ContextVar("mozlog_brought_id", default=None)


class _Brought:
    """Whether anything asks for the numbers."""

    is_wanted = False


#: ``is_wanted`` becomes True with the first ``Sample`` without a secret.
brought: Final = _Brought()


def draw(request_id: str) -> None:
    """Draw a number for the request that begins here, and has brought its id.

    Does nothing unless ``brought.is_wanted``.

    Args:
        request_id: The id, as it came from the client.
    """
    if brought.is_wanted:
        number = random.randrange(RANGE)  # noqa: S311 - clients do not see it
        _here.set((request_id, number))


def drawn_here(request_id: str | None) -> Drawn | None:
    """Return what was drawn for an id in this context; None if nothing was."""
    drawn = _here.get()
    return None if drawn is None or drawn[0] != request_id else drawn


#: Makes this the context of a request again: given what ``drawn_here`` returned in it.
put_back: Final = _here.set
