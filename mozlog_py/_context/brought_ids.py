"""Random numbers for sampling requests whose clients have chosen their ids.

With a hash of an id, a client that chooses its id decides what is logged. So a random number is
drawn for each request that brings an id, and replaces the hash. All lines of the request find it
in their context. It is kept with the id, and does not count for lines with another id.
"""

from __future__ import annotations

import random
from contextvars import ContextVar
from typing import Final

__all__ = ["RANGE", "Drawn", "begin", "brought", "draw", "number_for", "put_back"]

#: Numbers are drawn from 0 up to, and not including, this one.
RANGE: Final = 2**32

#: The id of a request, and the number that was drawn for it; None if the id was made here.
Drawn = tuple[str | None, int | None]

# The number of the request that is being served, and that of the id that was accepted last. The
# latter may belong to no request: applications accept ids by themselves as well.
_here: Final[ContextVar[Drawn | None]] = ContextVar("mozlog_brought_id", default=None)
_latest: Final[ContextVar[Drawn | None]] = ContextVar("mozlog_latest_id", default=None)


class _Brought:
    """Whether a processor uses the numbers."""

    def __init__(self) -> None:
        # Each request reads it, and an attribute of the class takes several times as long.
        self.is_wanted = False


#: ``is_wanted`` becomes True with the first ``Sample`` without a secret.
brought: Final = _Brought()


def draw(request_id: str) -> None:
    """Draw a number for an id that a client has brought.

    Does nothing unless ``brought.is_wanted``.

    Args:
        request_id: The client's id.
    """
    if brought.is_wanted:
        _latest.set((request_id, random.randrange(RANGE)))  # noqa: S311 - clients do not see it


def begin(request_id: str | None) -> Drawn:
    """Begin a request with an id, and return the id with the number drawn for it."""
    drawn = _latest.get()
    if drawn is None or drawn[0] != request_id:
        drawn = request_id, None
    _here.set(drawn)
    return drawn


def put_back(drawn: Drawn | None) -> None:
    """Restore the context of a request.

    Args:
        drawn: The result of ``begin`` for that request; None for no request.
    """
    _here.set(drawn)
    _latest.set(drawn)


def number_for(request_id: str) -> int | None:
    """Return the number that decides about lines with an id.

    Returns:
        None where the id was made here, or was not accepted in this context.
    """
    for drawn in (_here.get(), _latest.get()):
        if drawn is not None and drawn[0] == request_id:
            return drawn[1]
    return None
