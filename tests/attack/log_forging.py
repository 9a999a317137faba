"""Texts that would be more than a text: lines, envelopes, fields of ours, a terminal's commands."""

from __future__ import annotations

import io
import json
import logging
import sys
import urllib.parse
from typing import Any

import structlog

import mozlog_py
from mozlog_py import context

from .service import LONGEST, UNSAFE, Rows, Tally, on_each, request, serving

_ENVELOPE = (
    '{"Timestamp":1,"Type":"forged","Logger":"forged","Hostname":"forged","EnvVersion":"2.0",'
    '"Severity":0,"Pid":1,"Fields":{"msg":"forged","rid":"forged"}}'
)
TEXTS = (
    f"a\n{_ENVELOPE}\n", f"a\r\n{_ENVELOPE}\r\n", f"\u2028{_ENVELOPE}\u2029", f"\x85{_ENVELOPE}",
    f"\x0b{_ENVELOPE}\x0c", _ENVELOPE, f'"}}\n{_ENVELOPE}', f'\\"}}\\n{_ENVELOPE}',
    "\x1b[2J\x1b[1;1Hroot logged in", "\x9b2J", "\b\b\b\bok", "a\x00b", "\x7f\x7f",
    "\u202e\u2066admin\u2069\u2066", "\u200f\u061cadmin\u200e", "\u202d\u202aadmin\u202c",
    "\ud800", "\udfff\ud800", "\ufeff{}", "\uffff", "\U000e0041\U000e007f",
    "%s %d %(msg)s %n", "{0.__class__.__init__.__globals__}", "{self.__dict__}", "${jndi:x}",
    'File "/etc/passwd", line 1, in <module>\n  forged', "Traceback (most recent call last):\n",
    '{"rid":"forged","msg":"forged","error":"forged","traceback":"forged"}',
    '{"extra.rid":"forged","extra.msg":"a","msg":"b"}', '{"Severity":0,"severity":"EMERGENCY"}',
    '{"a":1}{"b":2}', "[1,2,3]", '{"__proto__":{"a":1},"constructor":1}', "NaN", '{"a":NaN}',
    '{"msg":{"msg":{"msg":1}}}', '{"":1}', '{"a\\nb":"c\\u2028d"}', '{"a":"\\ud800"}',
)  # fmt: skip
#: Names that are ours, in an ``extra`` or beside an event.
OURS = (
    "msg", "error", "traceback", "stack", "Timestamp", "Type", "Logger", "Severity",
    "EnvVersion", "Pid", "Hostname", "Fields", "extra.rid", "extra.extra.rid", "mozlog.degraded",
    "logger_name", "time", "severity", "message", "name", "args", "exc_info", "levelname",
)  # fmt: skip


def run() -> Rows:
    """Return a row for each way that texts of strangers take to a line."""
    return [*_of_services(), *_of_messages(), *_of_names()]


def _of_services() -> Rows:
    names = {
        "path": "a path that is a line, an envelope, or acts on a terminal",
        "query": "a query string with the same", "agent": "a User-Agent with the same",
        "form": "a field of a form that is logged, with the same",
    }  # fmt: skip

    def visit(example: str, parser: str) -> Tally:
        tally = Tally(*names.values())
        settings = {"DOCKERFLOW_SUMMARY_LOG_QUERYSTRING": "1"}
        with serving(example, parser, settings) as service:
            for text in TEXTS:
                for place, payload in _payloads(text, has_form=example == "guestbook.py").items():
                    service.send(payload)
                    lines = service.checked()
                    is_held = lines is not None and (
                        _is_one(lines) or service.note(f"{text!r} as {place}: {lines}")
                    )
                    tally.add(names[place], is_held)
        return tally

    return on_each(visit)


def _payloads(text: str, *, has_form: bool) -> dict[str, bytes]:
    encoded = urllib.parse.quote(text, safe="", errors="surrogatepass").encode()
    raw = text.encode("utf-8", "surrogatepass")
    for mark in (b"\r", b"\n", b"\x00", b"\x0b", b"\x0c"):
        # As they are, they end the request; that is another attack.
        raw = raw.replace(mark, b" ")
    payloads = {
        "path": request(b"GET", b"/" + encoded),
        "query": request(b"GET", b"/?q=" + encoded),
        "agent": request(b"GET", b"/").replace(
            b"Connection", b"User-Agent: %b\r\nConnection" % raw
        ),
    }
    if has_form:
        payloads["form"] = request(
            b"POST", b"/entries", b"name=" + encoded,
            Content_Type="application/x-www-form-urlencoded",
        )  # fmt: skip
    return payloads


def _is_one(lines: list[dict[str, Any]]) -> bool:
    summaries = [line for line in lines if line["Type"] == "request.summary"]
    return len(summaries) <= 1 and not any(map(_is_forged, lines))


def _is_forged(line: dict[str, Any]) -> bool:
    ours = (line["Type"], line["Logger"], line["Hostname"])
    return "forged" in ours or line["Severity"] == 0 or line["Fields"].get("rid") == "forged"


def _of_messages() -> Rows:
    """Log each text as the whole message, by ``logging`` and structlog, with a request's id."""
    attack = "a whole message that is a line, an envelope or JSON with our names"
    held = 0
    for text in TEXTS:
        for log in (lambda one: logging.getLogger("shop").warning(one), _by_structlog):
            lines = _logged(lambda log=log, text=text: log(text))
            held += len(lines) == 1 and lines[0]["Fields"].get("rid") == "the-id"
    return [(attack, 2 * len(TEXTS), held)]


def _by_structlog(text: str) -> None:
    structlog.get_logger("shop").warning(text)


def _of_names() -> Rows:
    """Log each name of ours as a field, with a value that would forge it."""
    held = 0
    for name in OURS:
        for log in (
            lambda one: logging.getLogger("shop").warning("real", extra={one: "forged"}),
            lambda one: structlog.get_logger("shop").warning("real", **{one: "forged"}),
        ):
            lines = _logged(lambda log=log, name=name: log(name))
            held += (
                len(lines) == 1
                and lines[0]["Type"] == "shop"
                and lines[0]["Severity"] == 4
                and lines[0]["EnvVersion"] == "2.0"
                and lines[0]["Hostname"] != "forged"
                and lines[0]["Fields"].get("rid") == "the-id"
                and lines[0]["Fields"].get("msg") == "real"
                # And the value is not lost.
                and "forged" in json.dumps(lines[0])
            ) or _note(name, lines)
    return [("a field with one of our names", 2 * len(OURS), held)]


def _note(name: str, lines: object) -> bool:
    print(f"{name}: {lines}", file=sys.stderr)
    return False


def _logged(log: object) -> list[dict[str, object]]:
    """Return the lines that a call logs in a request; none if one is invalid or unsafe."""
    stream = io.StringIO()
    mozlog_py.configure("shop", stream=stream, format="mozlog")
    token = context.request_id_context.set("the-id")
    try:
        log()  # type: ignore[operator]
    except Exception as error:
        _note("raised", repr(error))
        return []
    finally:
        context.request_id_context.reset(token)
    written = stream.getvalue()
    lines = written.split("\n")
    if lines.pop() != "" or any(
        UNSAFE.search(line) or mozlog_py.schema.validate(line) or len(line) > LONGEST
        for line in lines
    ):
        _note("unsafe", ascii(written))
        return []
    return [json.loads(line) for line in lines]
