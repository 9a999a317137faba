"""Requests of which each has names that were never seen: the memory of a service stays as it is."""

from __future__ import annotations

import contextlib
import re
import socket

from .service import IS_QUICK, Rows, Service, Tally, on_each, serving

_REQUESTS = 1_000 if IS_QUICK else 10_000
#: Requests before the memory is looked at: interpreters and servers have caches that fill once.
_BEFORE = 500 if IS_QUICK else 3_000
#: Bytes that the requests may add.
_MAY_GROW = 5 * (1 << 20)
#: Requests that are sent on one connection before their answers are read.
_AT_ONCE = 50


def run() -> Rows:
    """Return one row, which counts the requests."""
    return on_each(_visit, (("bare_asgi.py", "h11"), ("with_fastapi.py", "httptools")))


def _visit(example: str, parser: str) -> Tally:
    attack = f"{_REQUESTS:,} requests with new names, in 5 MiB of memory"
    tally = Tally(attack)
    with serving(example, parser, {"DOCKERFLOW_SUMMARY_LOG_QUERYSTRING": "1"}) as service:
        _send(service, range(_BEFORE))
        before = service.memory()
        answered = _send(service, range(_BEFORE, _BEFORE + _REQUESTS))
        grown = service.memory() - before
        is_within = grown <= _MAY_GROW or service.note(f"it has grown by {grown:,} bytes")
        # The lines are checked, too; there is one summary for each of them.
        lines = service.checked() or []
        summaries = [line for line in lines if line["Type"] == "request.summary"]
        if len(summaries) < _REQUESTS:
            service.note(f"{len(summaries)} summaries of {_REQUESTS} requests")
        held = min(answered, len(summaries)) if is_within else 0
        tally.counts[attack] = [_REQUESTS, min(held, _REQUESTS)]
    return tally


def _send(service: Service, numbers: range) -> int:
    """Send requests, of which each has new names wherever it can have a name."""
    answered = 0
    for start in range(numbers.start, numbers.stop, _AT_ONCE):
        of_them = range(start, min(start + _AT_ONCE, numbers.stop))
        payload = b"".join(map(_request, of_them))
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", service.port), 30) as connection,
        ):
            connection.sendall(payload)
            got = b""
            while (count := len(re.findall(rb"HTTP/1\.1 \d{3} ", got))) < len(of_them):
                part = connection.recv(65_536)
                if not part:
                    break
                got += part
            answered += count
    return answered


def _request(number: int) -> bytes:
    # Methods of one's own are for a parser that takes them; all of them take these.
    method = ("GET", "POST", "DELETE", "PATCH")[number % 4]
    return (
        f"{method} /new{number}/path?key{number}=value{number} HTTP/1.1\r\nHost: new{number}\r\n"
        f"X-Request-Id: new-{number}\r\nUser-Agent: new/{number}\r\nX-New-{number}: {number}\r\n"
        f"Accept-Language: x-new{number}\r\nCookie: new{number}={number}\r\nContent-Length: 0\r\n"
        f"Traceparent: 00-{number + 1:032x}-{number + 1:016x}-01\r\n\r\n"
    ).encode()
