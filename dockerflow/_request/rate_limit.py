"""A limit for lines that a client can cause as often as it likes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from mozlog_py._process.shared_state import CountLock

__all__ = ["RateLimit"]


class RateLimit:
    """Lets one call of each interval pass, and counts the others.

    A fork cannot leave it locked for long: see ``CountLock``.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = CountLock()
        # When the last call passed, and the calls that were withheld since.
        self._passed_at = -math.inf
        self._withheld = 0

    def admit(self, interval: float) -> int | None:
        """Return how many calls were withheld since the last one that passed.

        Args:
            interval: The seconds in which one call passes; 0 for no limit.

        Returns:
            The number; None if this call is withheld as well.
        """
        now = self._clock()
        with self._lock:
            # Below 0 where another thread has read the clock later and came here first.
            if interval and now - self._passed_at < interval:
                self._withheld += 1
                return None
            self._passed_at = now
            withheld, self._withheld = self._withheld, 0
        return withheld
