"""A limit for lines that a client can cause as often as it likes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Final

__all__ = ["RateLimit"]

_INTERVAL_S: Final = 1.0


class RateLimit:
    """Lets one call a second pass, and counts the others.

    It has no lock, so that a fork cannot leave one locked. Of simultaneous calls one passes,
    and a later call counts the others.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._numbers = itertools.count(1)
        # The second, and the number of the call that was the first in it.
        self._firsts: dict[int, int] = {}

    def admit(self) -> int | None:
        """Return how many calls were withheld since the last one that passed.

        Returns:
            The number; None if this call is withheld as well.
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
