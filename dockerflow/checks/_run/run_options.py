"""How a caller wants its checks run, in one object for all stages of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from mozlog_py._values.sanitiser import Sanitiser

from .surroundings import PLAIN, Surroundings

__all__ = ["DEFAULT_TIMEOUT_S", "MAX_SECONDS", "RunOptions", "valid_seconds"]

#: The deadline of a check without its own, in seconds.
DEFAULT_TIMEOUT_S: Final = 5.0
#: The largest number of seconds that an option may have: a day.
MAX_SECONDS: Final = 86_400


@dataclass(frozen=True)
class RunOptions:
    """How a caller wants its checks run.

    Attributes:
        config: The value of a check's parameter of that name. Its identity stands for the
            application.
        timeout: The deadline in seconds of a check without its own.
        cache_seconds: Seconds for which the outcome of an earlier run is fresh.
        surroundings: How a framework has checks called.
        keeps_last: Whether ``last_outcome`` has to know the outcomes.

    Raises:
        ValueError: A number of seconds is invalid.
    """

    config: Any
    timeout: float
    cache_seconds: float
    surroundings: Surroundings = PLAIN
    keeps_last: bool = False

    def __post_init__(self) -> None:
        valid_seconds("timeout", self.timeout)
        valid_seconds("cache_seconds", self.cache_seconds, or_zero=True)


def valid_seconds(name: str, value: Any, *, or_zero: bool = False) -> float:
    """Return a valid number of seconds.

    Args:
        name: The option, for the error.
        value: A number of more than 0 and at most a day, which every system call takes.
        or_zero: Whether 0 is valid as well.

    Raises:
        ValueError: The value is invalid.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= MAX_SECONDS or (value == 0 and not or_zero):
        wanted = "from 0" if or_zero else "more than 0, and"
        text = f"it must be a number of seconds, {wanted} up to {MAX_SECONDS:,}"
        raise ValueError(f"{name} is {Sanitiser().value(value)!r}; {text}")
    return float(value)
