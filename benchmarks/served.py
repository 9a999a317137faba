"""What the middleware adds to one request: the time with it, less the time without."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from applications import (
    BODY,
    CORES,
    FRAMEWORKS,
    LANGUAGE,
    PATH,
    REQUEST_ID,
    WITH_ID,
    Application,
    applications,
)
from cases import AGENT
from checks import WrongOutput
from rivals import OURS, RIVALS

__all__ = ["SERVED", "time_serving"]

SERVED = {*FRAMEWORKS, *CORES, *(f"{name}{WITH_ID}" for name in FRAMEWORKS)}

# A difference of two times needs more of both than a time does.
_LONGER = 8
_BATCH = 4
# However slow a machine is, so many stand against an interruption.
_LEAST = 9

# What summaries say on every framework, and what only ours do on each.
_EXPECTED = {"method": "GET", "path": PATH, "agent": AGENT, "lang": LANGUAGE}
_OURS_TOO = {"errno": 0, "code": 200, "uid": ""}


def time_serving(name: str, contender: str, budget_ns: int) -> float:
    """Time requests with and without the middleware by turns; ns that one has on top.

    Raises ``WrongOutput`` if a request has no summary, or more than one, or the
    last of them does not say all that it is to say.
    """
    service = _service(name, contender)
    return _loop.run_until_complete(service.overhead(_LONGER * budget_ns))


class _Service:
    """An application bare and with the middleware, and the file that summaries go to."""

    def __init__(self, name: str, contender: str) -> None:
        (rival,) = (rival for rival in RIVALS if rival.name == contender)
        self._is_ours = rival is OURS
        self._has_id = name.endswith(WITH_ID)
        self._directory = tempfile.TemporaryDirectory()
        self._path = Path(self._directory.name, "log")
        logger = logging.getLogger("request.summary")
        logger.propagate = False
        logger.setLevel(logging.INFO)
        logger.handlers[:] = [rival.make_handler(self._path.open("a", encoding="utf-8"))]
        self._bare, self._dressed = _loop.run_until_complete(applications(name, logger))

    async def overhead(self, budget_ns: int) -> float:
        """Return the ns that a request has on top."""
        # It was opened for appending: what comes next is the first again.
        os.truncate(self._path, 0)
        bare, dressed = self._bare, self._dressed
        for each in (bare, dressed):
            # What earlier turns of others have pushed out comes back.
            await each.serve(each.request(0))
        spent = 0
        on_top = []
        while spent < budget_ns or len(on_top) < _LEAST:
            if len(on_top) % 2:
                without, with_ = await _time(bare), await _time(dressed)
            else:
                with_, without = await _time(dressed), await _time(bare)
            spent += without + with_
            on_top.append(with_ - without)
        self._check(len(on_top) * _BATCH + 1)
        # An interruption in one of the two would count as theirs in a mean.
        return median(on_top) / _BATCH

    def _check(self, requests: int) -> None:
        if not self._bare.body == self._dressed.body == BODY.encode():
            raise WrongOutput("wrong response")
        lines = self._path.read_text(encoding="utf-8").splitlines()
        if len(lines) != requests:
            raise WrongOutput(f"{len(lines)} summaries for {requests} requests")
        document = json.loads(lines[-1])
        fields: dict[str, Any] = document.get("Fields", {})
        if document.get("Type") != "request.summary":
            raise WrongOutput("not a summary")
        for field, value in {**_EXPECTED, **(_OURS_TOO if self._is_ours else {})}.items():
            if fields.get(field) != value:
                raise WrongOutput(f"wrong field: {field}")
        if not (type(fields.get("rid")) is str and fields["rid"] and "t" in fields):
            raise WrongOutput("no rid, or no t")
        if self._has_id and fields["rid"] != REQUEST_ID:
            raise WrongOutput("not the id of the request")


async def _time(application: Application) -> int:
    serve = application.serve
    requests = [application.request(number) for number in range(_BATCH)]
    start = time.perf_counter_ns()
    for request in requests:
        await serve(request)
    return time.perf_counter_ns() - start


_loop = asyncio.new_event_loop()
_services: dict[tuple[str, str], _Service] = {}


def _service(name: str, contender: str) -> _Service:
    if (name, contender) not in _services:
        _services[name, contender] = _Service(name, contender)
    return _services[name, contender]
