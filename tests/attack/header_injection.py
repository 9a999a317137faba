"""Headers, lines and ids that a request brings to have others written: splitting, and folding."""

from __future__ import annotations

import re

from .service import OF_SERVERS, Rows, Service, Tally, answers, head, on_each, request, serving

#: What stands in an id, after the header's name and its colon.
IDS = (
    b"a\r\nX-Injected: 1", b"a\rX-Injected: 1", b"a\nX-Injected: 1", b"a\r\n X-Injected: 1",
    b"a\r\n\tX-Injected: 1", b"a\r\n\r\nHTTP/1.1 200 OK\r\nX-Injected: 1\r\n\r\n", b"a\x00b",
    b"a\x0bX-Injected: 1", b"a\x0cb", b"a\x1b[2Jb", b"a\x85X-Injected: 1", b"a\xe2\x80\xa8b",
    b"a\xff\xfeb", b"a%0d%0aX-Injected:%201", b"a, b", b"a\x7fb", b"\xef\xbc\x8da",
    b'","Severity":0,"x":"', b"${jndi:ldap://x}", b"<script>", b"\\r\\nX-Injected: 1", b"a\\u000ab",
    b"a" * 129, b"", b" ", b"\t", b"a b",
)  # fmt: skip
#: What stands in the place of a path.
PATHS = (
    b"/%0d%0aX-Injected:%201", b"/%0aX-Injected:%201", b"/%00", b"/a%0d%0a%0d%0aHTTP/1.1%20200",
    b"/\xff", b"/\x01", b"/a\x0bX-Injected:1", b"//evil.example/%2e%2e", b"/?q=%0d%0aX-Injected:1",
    b"/a%e2%80%a8X-Injected:1", b"/..%2f..%2fetc/passwd", b"http://evil.example/%0d%0a", b"*",
)  # fmt: skip
METHODS = (
    b"GET%0d%0aX-Injected:1", b"G\x00T", b"GET\x0b", b"\xffGET", b"get", b"X" * 3000,
    b"<script>", b'","a":"', b"GET\tX",
)  # fmt: skip
#: Other headers that stand in a summary.
NAMES = (b"User-Agent", b"Accept-Language", b"X-Forwarded-For", b"traceparent", b"Referer")

_SAFE_ID = re.compile(rb"[!-+\--~]{1,128}")


def run() -> Rows:
    """Return a row for each place that the bytes stand in."""
    payloads = {
        "an id with line ends, folds and controls": [
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: %b\r\n\r\n" % each
            for each in IDS
        ],
        "other headers with the same": [
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%b: %b\r\n\r\n" % (name, each)
            for name in NAMES
            for each in IDS[:13]
        ],
        "a path with line ends and controls": [request(b"GET", each) for each in PATHS],
        "a method that is none": [request(each, b"/") for each in METHODS],
    }

    def visit(example: str, parser: str) -> Tally:
        tally = Tally()
        with serving(example, parser) as service:
            for attack, each in payloads.items():
                for payload in each:
                    tally.add(attack, holds(service, payload))
        return tally

    return on_each(visit)


def holds(service: Service, payload: bytes) -> bool:
    """Return whether there is one answer at most, as it should be, and one summary at most."""
    got = service.send(payload)
    lines = service.checked()
    if lines is None:
        return False
    heading = head(got)
    if re.search(rb"^x-injected", heading, re.MULTILINE) or b"\r" in heading.replace(b"\r\n", b""):
        return service.note(f"the answer to {payload[:200]!r} is {got[:400]!r}")
    echoed = re.findall(rb"^x-request-id: ?(.*?)\r?$", heading, re.MULTILINE)
    if len(echoed) > 1 or not all(map(_SAFE_ID.fullmatch, echoed)):
        return service.note(f"the answer to {payload[:200]!r} has the ids {echoed!r}")
    if answers(got) > 1:
        # Werkzeug and wsgiref may answer what follows a broken head as a request of its own.
        return service.note(f"{answers(got)} answers to {payload[:200]!r}: {got[:600]!r}")
    summaries = [line["Fields"] for line in lines if line["Type"] == "request.summary"]
    ids = [line["Fields"]["rid"] for line in lines if "rid" in line["Fields"]]
    if len(summaries) > 1 or not all(_SAFE_ID.fullmatch(each.encode()) for each in ids):
        return service.note(f"the lines of {payload[:200]!r} are {lines}")
    severe = [
        line for line in lines
        if line["Severity"] <= 3 and line["Type"] not in OF_SERVERS
    ]  # fmt: skip
    return not severe or service.note(f"{payload[:200]!r} is an ERROR: {severe}")
