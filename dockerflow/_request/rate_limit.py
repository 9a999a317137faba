"""How often something is logged that a client can have logged as often as it likes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Final

__all__ = ["RateLimit"]

_INTERVAL_S: Final = 1.0


class RateLimit:
    """Lets one call of each second through, and counts the others.

    Without a lock: a fork at any moment leaves nothing that is held. Of calls at the same
    moment one is let through, and all others are counted by a later one.
    """

    __slots__ = ("_clock", "_firsts", "_numbers")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._numbers = itertools.count(1)
        # The second, and the number of the call that was the first in it.
        self._firsts: dict[int, int] = {}

    def admit(self) -> int | None:
        """Return how many calls were withheld since the last one that was let through.

        None where this call is one of those.
        """
        number = next(self._numbers)
        second = int(self._clock() / _INTERVAL_S)
        if self._firsts.setdefault(second, number) != number:
            return None
        former = 0
        for each in [*self._firsts]:
            if each != second:
                former = max(former, self._firsts.pop(each, 0))
        return max(0, number - former - 1)
