"""A limit for lines that a client can cause as often as it likes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from mozlog_py._process.shared_state import CountLock

__all__ = ["RateLimit"]

_INTERVAL_S: Final = 1.0


class RateLimit:
    """Lets one call a second pass, and counts the others.

    A fork cannot leave it locked for long: see ``CountLock``.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = CountLock()
        # The second of the last call that passed, and the calls that were withheld since.
        self._second = -1
        self._withheld = 0

    def admit(self) -> int | None:
        """Return how many calls were withheld since the last one that passed.

        Returns:
            The number; None if this call is withheld as well.
        """
        second = int(self._clock() / _INTERVAL_S)
        with self._lock:
            # Not ``==``: another thread may have read the clock later and come here first.
            if second <= self._second:
                self._withheld += 1
                return None
            self._second = second
            withheld, self._withheld = self._withheld, 0
        return withheld
