"""What is timed: the records, and what a line made of one of them must say.

Every record (but for the case that says otherwise) is new and made by the logger
itself, and its values differ from the record before: a formatter that leaves
something behind on a record (``exc_text``, ``message``) must not find it again,
as it never would in life.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from typing import Any

__all__ = [
    "AGENT",
    "CALLS",
    "CURVE",
    "EVENTS",
    "EVENT_MESSAGE",
    "FORMATS",
    "MESSAGE",
    "SLOPES",
    "UNHEARD",
    "Case",
    "Event",
    "Expected",
    "extras",
]

MESSAGE = "user %s signed in"
# What differs from one event to the next stands in its fields.
EVENT_MESSAGE = "user signed in"

_first_formatter = logging.Formatter()
_over_and_over: dict[str, logging.LogRecord] = {}
#: A client's User-Agent.
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@dataclass(frozen=True)
class Expected:
    """What a line must say, whatever its shape."""

    message: str
    extras: dict[str, Any]
    #: Texts that a rendered exception must have in it, empty where there is none.
    exception: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """One kind of record, to be formatted or to be logged."""

    name: str
    title: str
    extras: int = 0
    is_raised: bool = False
    is_second: bool = False
    is_again: bool = False

    def record(self, number: int) -> logging.LogRecord:
        """Return the record with this number, made as ``Logger.info`` or ``.exception`` would."""
        if not self.is_again:
            return self.new_record(number)
        if number == 0:
            # Each turn has its own: some formatters leave their traces on a record.
            _over_and_over[self.name] = self.new_record(0)
        return _over_and_over[self.name]

    def new_record(self, number: int) -> logging.LogRecord:
        """Make the record with this number."""
        record = logging.getLogger("benchmark").makeRecord(
            "benchmark",
            logging.ERROR if self.is_raised else logging.INFO,
            __file__,
            1,
            MESSAGE,
            (number,),
            _raised(number) if self.is_raised else None,
            "serve",
            extras(self.extras, number) or None,
        )
        if self.is_second:
            _first_formatter.format(record)
        return record

    def expected(self, number: int) -> Expected:
        """Say what a line of the record with this number has to hold."""
        number = 0 if self.is_again else number
        exception = (f"no item {number}", "LookupError", "_third") if self.is_raised else ()
        return Expected(MESSAGE % number, extras(self.extras, number), exception)


@dataclass(frozen=True)
class Event:
    """One kind of event: the message, and the names of its fields in ``extras``."""

    name: str
    title: str
    fields: tuple[str, ...] = ()

    def values(self, number: int) -> tuple[Any, ...]:
        """Return the values of the fields of the event with this number."""
        of_all = extras(8, number)
        return tuple(of_all[name] for name in self.fields)

    def expected(self, number: int) -> Expected:
        """Say what a line of the event with this number has to hold."""
        return Expected(EVENT_MESSAGE, dict(zip(self.fields, self.values(number), strict=True)), ())


#: One ``format(record)``.
FORMATS = (
    Case("plain", "no extras"),
    Case("extras", "eight extras", extras=8),
    Case("exception", "exception", is_raised=True),
    # Most formatters leave their traces on a record for the next.
    Case("second", "no extras, second handler", is_second=True),
    # As people time a formatter by hand. It flatters everybody: the record is in the cache.
    Case("again", "no extras, one record over and over", is_again=True),
)

#: One whole ``logger.info(...)``.
CALLS = (
    Case("call", "no extras"),
    Case("call-extras", "eight extras", extras=8),
)

#: One ``format(record)``, for the cost of each further field.
CURVE = tuple(Case(f"fields-{n}", f"{n} extras", extras=n) for n in (0, 8, 16, 32, 56, 64))
#: Between which points of the curve the cost of a further field is told.
SLOPES = ((8, 16), (56, 64))

#: One whole ``log.info(...)`` with structlog.
EVENTS = (
    Event("event", "no fields"),
    Event("event-1", "one field", ("uid",)),
    Event(
        "event-8",
        "eight fields",
        ("method", "path", "agent", "lang", "uid", "code", "errno", "t"),
    ),
)

#: One ``log.debug(...)`` with structlog, where only ``info`` and above are heard.
UNHEARD = Event("unheard", "one field", ("uid",))


def extras(count: int, number: int) -> dict[str, Any]:
    """Return ``count`` extras; each further eight hold the same kinds of values."""
    eight = {
        "method": "GET",
        "path": f"/v1/items/{number}",
        "agent": AGENT,
        "lang": "en-US,en;q=0.5",
        "uid": f"user-{number}",
        "code": 200,
        "errno": number,
        "t": number + 0.5,
    }
    out = dict(eight) if count else {}
    for turn in range(1, count // len(eight)):
        out.update({f"{key}_{turn}": value for key, value in eight.items()})
    return out


def _raised(number: int) -> Any:
    try:
        _first(number)
    except LookupError:
        return sys.exc_info()


def _first(number: int) -> None:
    _second(number)


def _second(number: int) -> None:
    _third(number)


def _third(number: int) -> None:
    raise LookupError(f"no item {number}")
