"""Requests of which a proxy and a server may see a different number: one summary for each seen."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .service import ALL, OF_SERVERS, Rows, Service, Tally, answers, on_each, serving

_SECOND = b"GET /smuggled HTTP/1.1\r\nHost: x\r\nX-Request-Id: smuggled\r\n\r\n"


def _post(*headers: bytes, body: bytes) -> bytes:
    return b"\r\n".join([b"POST / HTTP/1.1", b"Host: x", *headers, b"", body])


_CHUNKS = b"0\r\n\r\n" + _SECOND
#: Bytes with a second request in them, and whether that is one by RFC 9112 beyond doubt.
PAYLOADS: tuple[tuple[bytes, bool], ...] = (
    (_post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=_CHUNKS), False),
    (_post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=_CHUNKS), False),
    (_post(b"Content-Length: 0", b"Content-Length: 60", body=_SECOND), False),
    (_post(b"Content-Length: 0, 60", body=_SECOND), False),
    (_post(b"Content-Length: +0", body=_SECOND), False),
    (_post(b"Content-Length: -1", body=_SECOND), False),
    (_post(b"Content-Length: 0x0", body=_SECOND), False),
    (_post(b"Content-Length : 0", body=_SECOND), False),
    (_post(b" Content-Length: 0", body=_SECOND), False),
    (_post(b"Content-Length:\x0b0", body=_SECOND), False),
    (_post(b"Transfer-Encoding : chunked", body=_CHUNKS), False),
    (_post(b"Transfer-Encoding: xchunked", body=_CHUNKS), False),
    (_post(b"Transfer-Encoding: chunked, identity", body=_CHUNKS), False),
    (_post(b"Transfer-Encoding:\x0bchunked", body=_CHUNKS), False),
    (_post(b"Transfer-Encoding: chunked\r\n x", body=_CHUNKS), False),
    (_post(b"X: y\r\n Transfer-Encoding: chunked", b"Content-Length: 5", body=_CHUNKS), False),
    (_post(b"Transfer-Encoding: chunked", body=b"0;\n\r\n\r\n" + _SECOND), False),
    (_post(b"Transfer-Encoding: chunked", body=b"-1\r\n" + _SECOND), False),
    (_post(b"Transfer-Encoding: chunked", body=b"0x5\r\nhello\r\n" + _CHUNKS), False),
    (_post(b"Transfer-Encoding: chunked", body=b"FFFFFFFFFFFFFFFFF\r\n" + _SECOND), False),
    (_post(b"Transfer-Encoding: chunked", body=b"5\r\nhelloXX" + _CHUNKS), False),
    (b"GET / HTTP/1.1\nHost: x\n\n" + _SECOND, False),
    (b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n" + _SECOND, False),
    (b"GET /\r\n\r\n" + _SECOND, False),
    (b"GET / HTTP/0.9\r\n\r\n" + _SECOND, False),
    (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n" + _SECOND, False),
    (b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n" + _SECOND, False),
    (b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n" + _SECOND, True),
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + _SECOND, True),
    (_post(b"Content-Length: 5", body=b"hello" + _SECOND), True),
    (_post(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n" + _CHUNKS), True),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _SECOND, False),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + _SECOND, False),
    (b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n" + _SECOND, True),
    (b"GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n" + _SECOND, True),
)


def run() -> Rows:
    """Return a row for each parser of HTTP."""
    # wsgiref serves one connection at a time, and would wait for each to end.
    return on_each(_visit, [each for each in ALL if each[0] != "bare_wsgi.py"])


def _visit(example: str, parser: str) -> Tally:
    tally = Tally()
    with serving(example, parser, {"DOCKERFLOW_SUMMARY_LOG_QUERYSTRING": "1"}) as service:
        attack = f"a request within a request, {service.name}"
        tally.counts[attack] = [len(PAYLOADS), _held(service)]
    return tally


def _held(service: Service) -> int:
    """Send all payloads at once, each marked in its query, and return how many held."""
    marked = [
        (b" /?p=%d " % number).join(payload.split(b" / ", 1)).replace(
            b"/smuggled ", b"/smuggled?p=%d " % number
        ).replace(b"Id: smuggled", b"Id: smuggled-%d" % number)
        for number, (payload, _) in enumerate(PAYLOADS)
    ]  # fmt: skip
    with ThreadPoolExecutor(12) as pool:
        got = list(pool.map(service.send, marked))
    # A server may see the end of a connection later than its client.
    time.sleep(0.3)
    lines = service.checked()
    if lines is None:
        return 0
    return sum(
        _holds(service, number, are_two, got[number], lines)
        for number, (_, are_two) in enumerate(PAYLOADS)
    )


def _holds(
    service: Service, number: int, are_two: bool, got: bytes, lines: list[dict[str, Any]]
) -> bool:
    payload = PAYLOADS[number][0]
    of_it = [
        line["Fields"] for line in lines
        if line["Type"] == "request.summary" and line["Fields"].get("querystring") == f"p={number}"
    ]  # fmt: skip
    first = [fields for fields in of_it if fields["path"] == "/"]
    second = [fields for fields in of_it if fields["path"] == "/smuggled"]
    if len(first) > 1 or len(second) > 1 or (are_two and answers(got) == 2 and len(of_it) != 2):
        # What a server refuses by itself has an answer and no summary. An answer may be missing
        # where the connection was closed after the first one.
        return service.note(f"{payload!r}: the summaries {of_it}, answered {got!r}")
    ids = {fields["rid"] for fields in first}
    if f"smuggled-{number}" in ids:
        return service.note(f"{payload!r}: the first request has the id of the second")
    own = [line["Fields"]["rid"] for line in lines if line["Fields"].get("msg") == "answered"]
    if any(own.count(each) > 1 for each in ids) or f"smuggled-{number}" in own:
        return service.note(f"{payload!r}: lines of the application with another's id")
    severe = [
        line for line in lines
        if line["Severity"] <= 3 and line["Type"] not in OF_SERVERS
        and line["Fields"].get("querystring", f"p={number}") == f"p={number}"
    ]  # fmt: skip
    return not severe or service.note(f"{payload!r}: an ERROR for a client's bytes: {severe}")
