"""Requests that are large, deep or many: the service goes on, within its bounds."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

from .service import IS_QUICK, LONGEST, SERVICES, Rows, Service, Tally, on_each, request, serving

_MIB = 1 << 20
#: Bytes by which the memory of a service may have grown after each of these.
_MAY_GROW = 48 * _MIB


def run() -> Rows:
    """Return a row for each kind of large thing."""
    payloads = {
        "an id of 4 MB": request(b"GET", b"/", X_Request_Id="a" * 4_000_000),
        "an id of 60 KB": request(b"GET", b"/", X_Request_Id="a" * 60_000),
        "a path of 60 KB": request(b"GET", b"/" + b"a" * 60_000),
        "a query of 4 MB": request(b"GET", b"/?" + b"a=1&" * 1_000_000),
        "a query of 60 KB with 15,000 names": request(b"GET", b"/?" + b"a=1&" * 15_000),
        "a User-Agent of 60 KB": request(b"GET", b"/", User_Agent="\\" * 60_000),
        "a method of 60 KB": request(b"A" * 60_000, b"/"),
        "10,000 headers": request(b"GET", b"/", **{f"X-{n}": "1" for n in range(10_000)}),
        "99 ids": request(b"GET", b"/").replace(
            b"Connection", b"".join(b"X-Request-Id: a%d\r\n" % n for n in range(99)) + b"Connection"
        ),
        "a body of 4 MB that is not read": request(b"POST", b"/", b"[" * 4_000_000),
    }
    forms = {
        "a form's field of 1 MB, logged": "a" * 1_000_000,
        "100,000 nested lists in a form, logged": "[" * 100_000 + "]" * 100_000,
        "100,000 nested objects in a form, logged": '{"a":' * 100_000 + "1" + "}" * 100_000,
        "a form's JSON of 20,000 names, logged": json.dumps({f"n{n}": n for n in range(20_000)}),
    }

    def visit(example: str, parser: str) -> Tally:
        tally = Tally(*payloads, *forms)
        with serving(example, parser, {"DOCKERFLOW_SUMMARY_LOG_QUERYSTRING": "1"}) as service:
            for attack, payload in payloads.items():
                tally.add(attack, _holds(service, attack, payload))
            for attack, text in forms.items() if example == "guestbook.py" else ():
                body = b"name=" + urllib.parse.quote(text, safe="").encode()
                payload = request(
                    b"POST", b"/entries", body, Content_Type="application/x-www-form-urlencoded"
                )
                tally.add(attack, _holds(service, attack, payload))
        return tally

    # Django's and FastAPI's servers are those of the others.
    services = [each for each in SERVICES if each[0] not in ("with_django.py", "bare_wsgi.py")]
    return [*on_each(visit, services), *_bodies()]


def _holds(service: Service, attack: str, payload: bytes) -> bool:
    before = service.memory()
    service.send(payload)
    if not service.is_alive():
        return service.note(f"{attack}: it does not answer any more")
    lines = service.checked()
    grown = service.memory() - before
    if lines is None:
        return False
    if grown > _MAY_GROW:
        return service.note(f"{attack}: its memory has grown by {grown:,} bytes")
    summaries = [line for line in lines if line["Type"] == "request.summary"]
    # One is that of the question whether it is alive.
    return len(summaries) <= 2 or service.note(f"{attack}: {len(summaries)} summaries")


# Logs a client's text as the whole message, by each front, in a process with few means.
_LOG = """
import io, logging, resource, sys
import structlog
import mozlog_py
from mozlog_py import schema
from mozlog_py.processors import Redact, CapLengths, drop_none
text = eval(sys.argv[1])
resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
for options in ({}, {"strict": True}, {"processors": [Redact(), drop_none, CapLengths(500)]}):
    stream = io.StringIO()
    mozlog_py.configure("shop", stream=stream, **options)
    logging.getLogger("shop").info(text)
    structlog.get_logger("shop").info(text)
    structlog.get_logger("shop").info("got", body=text)
    lines = stream.getvalue().splitlines(keepends=True)
    assert len(lines) == 3, len(lines)
    for line in lines:
        assert len(line.encode()) <= LONGEST, len(line)
        assert not schema.validate(line), schema.validate(line)
"""
#: A client's body, as the application would log it.
_BODIES = {
    "nested lists": "'[' * 500_000 + ']' * 500_000",
    "nested objects": "'{\"a\":' * 200_000 + '1' + '}' * 200_000",
    "nested objects in the allowed length": "'{\"a\":' * 2_000 + '1' + '}' * 2_000",
    "100,000 names": "'{' + ','.join('\"n%d\":1' % n for n in range(100_000)) + '}'",
    "names that collide": "'{' + ','.join('\"a\":1' for n in range(50_000)) + '}'",
    "names of our own that collide": (
        "'{' + ','.join('\"%smsg\":1' % ('extra.' * n) for n in range(500)) + '}'"
    ),
    "a number of 100,000 digits": "'{\"a\":' + '9' * 100_000 + '}'",
    "a text of 5 MB": "'{\"a\":\"' + 'x' * 5_000_000 + '\"}'",
    "a text of escapes": "'{\"a\":\"' + '\\\\u2028' * 200_000 + '\"}'",
    "a text of letters that are no ASCII": "'{\"a\":\"' + '\\u2028' * 500_000 + '\"}'",
    "an open string": '\'{"a":"\' * 100_000',
}


def _bodies() -> Rows:
    bodies = list(_BODIES)[:: 3 if IS_QUICK else 1]
    with ThreadPoolExecutor(2) as pool:
        held = sum(pool.map(_holds_body, bodies))
    return [("a client's body as a message: deep, wide, long", len(bodies), held)]


def _holds_body(name: str) -> bool:
    try:
        done = subprocess.run(
            [sys.executable, "-c", f"LONGEST = {LONGEST}\n{_LOG}", _BODIES[name]],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        print(f"a body logged: {name}: it takes longer than a minute", file=sys.stderr)
        return False
    if done.returncode:
        print(f"a body logged: {name}: {done.returncode} {done.stderr[-500:]}", file=sys.stderr)
    return done.returncode == 0
