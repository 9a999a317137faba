"""One whole ``log.info(...)`` of an event with fields, and a ``log.debug(...)`` that is not heard.

Fields are written out in the call, as people write them. Their values are made
before, and differ from call to call.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import stopwatch
from cases import EVENT_MESSAGE, UNHEARD, Event
from checks import WrongOutput, check
from fronts import FRONTS, Front

__all__ = ["BOUND", "check_event", "time_event", "time_unheard"]

#: After a front's name: its bound logger itself, without structlog's proxy.
BOUND = "-bound"

_CHECKED = 16
_REPEATS = 10
_Call = Callable[[tuple[Any, ...]], object]


def check_event(event: Event, who: str) -> None:
    """Raise ``WrongOutput`` unless the lines of some events are right."""
    call = _call(event, who)
    log = _log(who)
    log.empty()
    for number in range(_CHECKED):
        call(event.values(number))
    lines = log.lines()
    if len(lines) != _CHECKED:
        raise WrongOutput(f"{len(lines)} lines for {_CHECKED} calls")
    for number, line in enumerate(lines):
        check(line, event.expected(number), log.front)


def time_event(event: Event, who: str, budget_ns: int) -> float:
    """Time it; ns per call. Raises ``WrongOutput`` if lines are missing, or the last is wrong."""
    log = _log(who)
    log.empty()
    ns, calls = stopwatch.nanoseconds(_call(event, who), event.values, budget_ns)
    lines = log.lines()
    if len(lines) != calls:
        raise WrongOutput(f"{len(lines)} lines for {calls} calls")
    check(lines[-1], event.expected(calls - 1), log.front)
    return ns


def time_unheard(who: str, budget_ns: int) -> float:
    """Time it; ns per call. Raises ``WrongOutput`` if it is heard, or what should be is not."""
    log = _log(who)
    log.empty()
    debug = _unheard(log.logger(who))
    ns, _ = stopwatch.nanoseconds(debug, UNHEARD.values, budget_ns)
    if log.lines():
        raise WrongOutput("a line of what is not to be heard")
    _one(log.logger(who))(UNHEARD.values(0))
    check("\n".join(log.lines()), UNHEARD.expected(0), log.front)
    return ns / _REPEATS


class _Log:
    """A front that is set up, and the file that it writes to."""

    def __init__(self, front: Front) -> None:
        assert front.make is not None
        self.front = front
        self._directory = tempfile.TemporaryDirectory()
        self._path = Path(self._directory.name, "log")
        self._logger = front.make(self._path)
        self._bound = self._logger.bind() if front.is_structlog else self._logger

    def logger(self, who: str) -> Any:
        return self._bound if who.endswith(BOUND) else self._logger

    def empty(self) -> None:
        # It was opened for appending: what comes next is the first again.
        os.truncate(self._path, 0)

    def lines(self) -> list[str]:
        """Return the lines, but for those that a buffer still holds: they are not logged yet."""
        return self._path.read_text(encoding="utf-8").splitlines()


_fronts = {front.name: front for front in FRONTS}
_logs: dict[str, _Log] = {}


def _log(who: str) -> _Log:
    name = who.removesuffix(BOUND)
    if name not in _logs:
        if any(_fronts[name].is_structlog and log.front.is_structlog for log in _logs.values()):
            raise RuntimeError("structlog is configured for another front already")
        _logs[name] = _Log(_fronts[name])
    return _logs[name]


def _call(event: Event, who: str) -> _Call:
    log = _log(who)
    calls = _WITH_KEYWORDS if log.front.is_structlog else _WITH_EXTRA
    return calls[len(event.fields)](log.logger(who))


def _none(log: Any) -> _Call:
    def call(_: tuple[Any, ...]) -> None:
        log.info(EVENT_MESSAGE)

    return call


def _one(log: Any) -> _Call:
    def call(values: tuple[Any, ...]) -> None:
        (uid,) = values
        log.info(EVENT_MESSAGE, uid=uid)

    return call


def _eight(log: Any) -> _Call:
    def call(values: tuple[Any, ...]) -> None:
        method, path, agent, lang, uid, code, errno, t = values
        log.info(
            EVENT_MESSAGE,
            method=method,
            path=path,
            agent=agent,
            lang=lang,
            uid=uid,
            code=code,
            errno=errno,
            t=t,
        )

    return call


def _one_extra(log: Any) -> _Call:
    def call(values: tuple[Any, ...]) -> None:
        (uid,) = values
        log.info(EVENT_MESSAGE, extra={"uid": uid})

    return call


def _eight_extra(log: Any) -> _Call:
    def call(values: tuple[Any, ...]) -> None:
        method, path, agent, lang, uid, code, errno, t = values
        log.info(
            EVENT_MESSAGE,
            extra={
                "method": method,
                "path": path,
                "agent": agent,
                "lang": lang,
                "uid": uid,
                "code": code,
                "errno": errno,
                "t": t,
            },
        )

    return call


def _unheard(log: Any) -> _Call:
    # Several times, or calling this would be half of what is timed.
    def call(values: tuple[Any, ...]) -> None:
        (uid,) = values
        for _ in range(_REPEATS):
            log.debug(EVENT_MESSAGE, uid=uid)

    return call


_WITH_KEYWORDS = {0: _none, 1: _one, 8: _eight}
_WITH_EXTRA = {0: _none, 1: _one_extra, 8: _eight_extra}
