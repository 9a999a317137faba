"""The one place where a MozLog line is made.

``LineEncoder.line`` takes what the envelope needs and a dict of Fields, and gives
one line of JSON as bytes, without the newline. Everything that logs calls it;
``fast`` has the short cut to the same line for plain records.

orjson is fast, and it ends the process on some values that it does not know
(a datetime with a broken tzinfo, a dataclass with an unset slot, a list that
shrinks while it is read). So it is only ever given exact ``str``, ``int``,
``float``, ``bool`` and ``None``, and containers that were built here.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Container
from typing import Any, Final, Protocol

import orjson

from mozlog_py._process.memo import is_short
from mozlog_py._process.self_log import DEGRADED, degraded
from mozlog_py._values.flatten import flatten
from mozlog_py._values.sanitiser import MAX_TEXT, Sanitiser, type_name, unique_key

from .severity import severity
from .truncate import cut, finished
from .unsafe_characters import DELETE

__all__ = [
    "DEGRADED",
    "ENVELOPE_VERSION",
    "MAX_TIMESTAMP",
    "EnvelopeExtension",
    "EventDropped",
    "FieldsMask",
    "LineEncoder",
    "RaiseAfterWrite",
    "clamped",
    "degrade",
    "encode",
    "last_resort",
    "local_hostname",
    "with_reasons",
]

#: The version of the envelope (MozLog 2.0).
ENVELOPE_VERSION: Final = "2.0"

#: Nanoseconds since the epoch; the year 2262.
MAX_TIMESTAMP: Final = 2**63 - 1
_MAX_PID: Final = 2**31 - 1
# Bytes; a copy of less costs nothing.
_LONG_LINE: Final = 65_536
# Logger names made from data must not fill the memory.
_MAX_TEMPLATES: Final = 1024
# Of a level that has a template: data may bring a number of any size.
_MOST_BITS: Final = 32

_LAST_RESORT: Final = (
    b'{"Timestamp":%d,"Type":"mozlog_py","EnvVersion":"2.0","Severity":3,"Fields":'
    b'{"msg":"a record could not be rendered","mozlog.degraded":"%b"}}'
)

_dumps: Final = orjson.dumps

_Templates = dict[Any, dict[Any, dict[Any, tuple[bytes, bytes]]]]


class RaiseAfterWrite(BaseException):
    """A line is made, and ``cause`` is still to be raised once it is written.

    ``from_value`` tells that a value's own code raised it; otherwise it came
    from outside, in the middle of formatting.
    """

    def __init__(self, line: bytes, cause: BaseException, *, from_value: bool) -> None:
        super().__init__(line, cause)
        self.line = line
        self.cause = cause
        self.from_value = from_value


class EventDropped(BaseException):
    """A processor has decided that there is to be no line.

    ``fields`` is what it would have said. Whoever can write nothing but lines
    calls ``line`` for it all the same.
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        super().__init__(fields)
        self.fields = fields
        self.line: Callable[[], bytes] = lambda: b""


def encode(plain: Any, max_bytes: int = 0) -> bytes:
    """Encode plain values (and only those) as JSON that is safe to print on one line.

    Args:
        plain: What ``orjson`` can be trusted with.
        max_bytes: What a whole line may take; 0 for no limit.
    """
    text = _dumps(plain)
    if text.isascii() and DELETE not in text and not 0 < max_bytes < len(text):
        return text
    return finished(text, max_bytes)


class EnvelopeExtension(Protocol):
    """Gives members of the envelope that a line has beside MozLog's own, as plain values."""

    def __call__(
        self,
        type_: Any,
        severity: int,
        fields: dict[str, Any],
        exception: tuple[Any, str] | None,
    ) -> dict[str, Any]:
        """Return the members for one line; ``exception`` as a ``Sanitiser`` has it."""
        ...


class FieldsMask(Protocol):
    """Masks secrets, by value or by shape, in what becomes a line."""

    #: Encodes plain values as ``orjson.dumps`` does, with secrets masked.
    dumps: Callable[[Any], bytes]

    def plain(self, value: Any) -> Any:
        """Return plain values with secrets masked."""
        ...

    def document(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return a whole line in plain values with secrets masked."""
        ...

    def raw(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return a whole line, with values as they were logged, with secrets masked."""
        ...


class LineEncoder:
    """Makes the lines of one application on one host.

    Parameters: ``logger`` and ``hostname`` as they stand in the envelope;
    ``severity_of`` gives a level's syslog severity; ``strict`` asks for lines
    that satisfy the machine schema; ``json_default`` as in ``Sanitiser``;
    ``further`` gives members of the envelope beside MozLog's own; ``mask`` masks
    secrets in every text of a line, ``dumps`` encodes Fields and does so; ``max_bytes`` is what
    a line may take without its newline, 0 for no limit. A longer one is cut here if it has
    characters to escape, which are then escaped in what is left of it; else where it is written.

    ``templates`` holds what has been made of the envelope, by pid, logger and
    level: all of a line but its time and its Fields, and all of a line whose
    only field is the message but its time and that. ``record_templates`` holds the
    same without the loggers in ``read_apart``: a renderer of records finds out by
    that, at no price for the others, that a record is to be read in its own way.
    """

    def __init__(
        self,
        logger: str,
        hostname: str,
        *,
        version: str = ENVELOPE_VERSION,
        strict: bool = False,
        severity_of: Callable[[Any], int] = severity,
        json_default: Callable[[Any], Any] | None = None,
        further: EnvelopeExtension | None = None,
        read_apart: Container[Any] = (),
        mask: FieldsMask | None = None,
        max_bytes: int = 0,
    ) -> None:
        self.logger = logger
        self.max_bytes = max_bytes
        self.hostname = hostname
        self.version = version
        self.strict = strict
        self.severity_of = severity_of
        self.json_default = json_default
        self.further = further
        self.use_mask(mask)
        self.templates: _Templates = {}
        self.record_templates: _Templates = {}
        self._read_apart = read_apart
        self._template_count = 0

    def use_mask(self, mask: FieldsMask | None) -> None:
        """Mask secrets with ``mask`` in the lines to come; before the first of them."""
        self.mask = mask
        self.dumps: Callable[[Any], bytes] = _dumps if mask is None else mask.dumps

    def line(
        self,
        timestamp_ns: int,
        type_: Any,
        level: Any,
        pid: Any,
        fields: dict[str, Any],
        sanitiser: Sanitiser | None = None,
        max_bytes: int | None = None,
    ) -> bytes:
        """Make one line.

        ``timestamp_ns``: nanoseconds since the epoch. ``type_``: the logger's
        name. ``level``: the Python level. ``pid``: the process that logged,
        None for this one. ``fields`` may hold anything and is not changed.
        ``sanitiser`` brings along what was already lost of the record. ``max_bytes``
        takes the place of the limit that lines of this maker have.

        Never raises an ``Exception``. Raises ``RaiseAfterWrite``, which holds the
        line, where a value's own code raised what is not one.
        """
        if sanitiser is None:
            sanitiser = Sanitiser(self.json_default)
        if pid is None:
            pid = os.getpid()
        try:
            template = self.templates[pid][type_][level][0]
        except Exception:
            template = self._template(type_, level, pid, sanitiser)
        plain, text = self._fields(fields, sanitiser)
        line = self.encode_line(
            template,
            clamped(timestamp_ns),
            text,
            type_,
            level,
            plain,
            sanitiser.exception,
            max_bytes,
        )
        if sanitiser.interrupt is not None:
            raise RaiseAfterWrite(line, sanitiser.interrupt, from_value=True)
        return line

    def plain_line(
        self, timestamp_ns: int, type_: str, level: int, pid: int, fields: dict[str, Any]
    ) -> bytes:
        """Make the same line of fields that are all exact plain types, and finite.

        Args:
            timestamp_ns: Nanoseconds since the epoch.
            type_: The logger's name.
            level: The Python level.
            pid: The process that logs.
            fields: Few enough for a line, and at least one.
        """
        template = self.template(type_, level, pid)
        text = _dumps(fields)
        return self.encode_line(template, clamped(timestamp_ns), text, type_, level, fields)

    def encode_line(
        self,
        template: bytes,
        timestamp_ns: int,
        text: bytes,
        type_: Any,
        level: Any,
        fields: dict[str, Any],
        exception: tuple[Any, str] | None = None,
        max_bytes: int | None = None,
    ) -> bytes:
        """Return a line: its template filled, its envelope extended, its characters escaped.

        This order is the one rule of how a line is made. The masks have replaced secrets in
        ``text`` before a cut, and a cut comes before the escapes, which it could break.

        Args:
            template: What surrounds the time and ``text``.
            timestamp_ns: Nanoseconds since the epoch, within the bounds of the envelope.
            text: The Fields, or their only member, as JSON with secrets masked.
            type_: The logger's name.
            level: The Python level.
            fields: The Fields in plain values, for ``further``.
            exception: As a ``Sanitiser`` has it, for ``further``.
            max_bytes: What the line may take without its newline, 0 for no limit; None for
                the limit of this encoder.
        """
        line = template % (timestamp_ns, text)
        if self.further is not None:
            line = self.extended(self.further, line, type_, level, fields, exception, max_bytes)
        if not line.isascii() or DELETE in line:
            line = finished(line, self.max_bytes if max_bytes is None else max_bytes)
        return line

    def extended(
        self,
        further: EnvelopeExtension,
        line: bytes,
        type_: Any,
        level: Any,
        fields: dict[str, Any],
        exception: tuple[Any, str] | None = None,
        max_bytes: int | None = None,
    ) -> bytes:
        """Return a line with the members that ``further`` adds to its envelope, not escaped yet.

        A line that is too long without them is cut together with them.
        """
        limit = self.max_bytes if max_bytes is None else max_bytes
        try:
            severity = self.severity_of(level)
            further_members = further(_type_text(type_), severity, fields, exception)
            if 0 < limit < len(line):
                # The members repeat long texts of the Fields: they are cut before they are encoded.
                return cut(line, limit, self._masked(further_members))
            members = self.dumps(further_members)
        except Exception:
            # A project's name that cannot be encoded, for one.
            return line
        if len(line) < _LONG_LINE:
            return b"%b,%b" % (line[:-1], members[1:])
        # Without a copy of either.
        return b"".join((memoryview(line)[:-1], b",", memoryview(members)[1:]))

    def envelope(
        self,
        timestamp_ns: int,
        type_: Any,
        level: Any,
        pid: Any,
        fields: dict[str, Any],
        sanitiser: Sanitiser,
        *,
        is_raw: bool = False,
    ) -> dict[str, Any]:
        """Return the same line as a dict of plain values.

        ``is_raw``: Fields hold the values as they were logged. The members of the envelope
        are plain all the same.
        """
        shown = with_reasons({**fields}, sanitiser) if is_raw else self._plain(fields, sanitiser)
        envelope: dict[str, Any] = {
            "Timestamp": clamped(timestamp_ns),
            **self._constant(type_, level, pid, sanitiser),
            "Fields": self._masked(shown, is_raw=is_raw),
        }
        if self.further is not None:
            severity = self.severity_of(level)
            plain = Sanitiser(self.json_default).fields(shown) if is_raw else shown
            members = self.further(_type_text(type_), severity, plain, sanitiser.exception)
            envelope.update(self._masked(members, is_raw=is_raw))
        return envelope

    def _masked(self, plain: dict[str, Any], *, is_raw: bool = False) -> dict[str, Any]:
        """Return plain fields with secrets masked; raw ones are masked later."""
        if self.mask is None or is_raw:
            return plain
        masked: dict[str, Any] = self.mask.plain(plain)
        return masked

    def conversion(self, document: dict[Any, Any], sanitiser: Sanitiser) -> dict[str, Any]:
        """Return a whole line, which a formatter's own ``convert_record`` made, in plain values."""
        fields: Any = dict.get(document, "Fields")
        if issubclass(type(fields), dict):
            # Fields are cleaned as Fields, for which other bounds hold than for a value.
            line = sanitiser.fields({**document, "Fields": ""})
            line["Fields"] = self._plain(fields, sanitiser)
        else:
            line = sanitiser.fields(document)
        return line if self.mask is None else self.mask.document(line)

    def _constant(
        self, type_: Any, level: Any, pid: Any, sanitiser: Sanitiser
    ) -> dict[str, str | int]:
        """Give what every line of one logger, level and process has in common."""
        names = _type_text(type_), sanitiser.text_of(self.logger), sanitiser.text_of(self.hostname)
        if self.mask is not None:
            names = tuple(map(self.mask.plain, names))
        return {
            **dict(zip(("Type", "Logger", "Hostname"), names, strict=True)),
            "EnvVersion": sanitiser.text_of(self.version),
            "Severity": self.severity_of(level),
            "Pid": pid if type(pid) is int and 0 <= pid <= _MAX_PID else os.getpid(),
        }

    def template(self, type_: str, level: int, pid: int) -> bytes:
        """Return a line without its time and its Fields.

        Args:
            type_: The logger's name.
            level: The Python level.
            pid: The process that logs.
        """
        try:
            return self.templates[pid][type_][level][0]
        except KeyError:
            return self._template(type_, level, pid, Sanitiser())

    def _template(self, type_: Any, level: Any, pid: Any, sanitiser: Sanitiser) -> bytes:
        try:
            constant = self._constant(type_, level, pid, sanitiser)
            head = encode(constant)[1:-1].replace(b"%", b"%%")
        except Exception:
            head = b'"Type":"unknown","Logger":"unknown","EnvVersion":"2.0","Severity":3'
            return b'{"Timestamp":%%d,%b,"Fields":%%b}' % head
        template = b'{"Timestamp":%%d,%b,"Fields":%%b}' % head
        if (
            type(type_) is str
            and type(level) is int
            and type(pid) is int
            and pid == constant["Pid"]
            and is_short(type_)
            and level.bit_length() < _MOST_BITS
        ):
            if self._template_count >= _MAX_TEMPLATES:
                self.templates.clear()
                self.record_templates.clear()
                self._template_count = 0
            self._template_count += 1
            of_message = template[:-3] + b'{"msg":%b}}'
            levels = self.templates.setdefault(pid, {}).setdefault(type_, {})
            levels[level] = template, of_message
            if type_ not in self._read_apart:
                self.record_templates.setdefault(pid, {})[type_] = levels
        return template

    def _plain(self, fields: dict[str, Any], sanitiser: Sanitiser) -> dict[str, Any]:
        plain = sanitiser.fields(fields)
        if self.strict:
            plain = flatten(plain)
        return with_reasons(plain, sanitiser)

    def _fields(self, fields: dict[str, Any], sanitiser: Sanitiser) -> tuple[dict[str, Any], bytes]:
        try:
            plain = self._plain(fields, sanitiser)
            try:
                return plain, self.dumps(plain)
            except Exception as error:
                degraded.count += 1
                plain[DEGRADED] = f"encoded by the standard library: {type_name(type(error))}"
                plain = self._masked(plain)
                return plain, json.dumps(plain, separators=(",", ":")).encode()
        except Exception as error:
            degraded.count += 1
            plain = {
                "msg": "the record could not be rendered",
                DEGRADED: type_name(type(error)),
            }
            return plain, json.dumps(plain, separators=(",", ":")).encode()


def _type_text(type_: Any) -> str:
    """Give what stands as ``Type``, whatever a record's name is."""
    if type_ is None:
        return "root"
    is_plain = type(type_) is str and len(type_) <= MAX_TEXT and type_.isascii()
    return type_ if is_plain else Sanitiser().text_of(type_)


def with_reasons(plain: dict[str, Any], sanitiser: Sanitiser) -> dict[str, Any]:
    """Give plain fields that say what of their record was lost, if anything was."""
    if sanitiser.reasons:
        degraded.count += 1
        # Some of it may have been known, and said, before the fields were cleaned.
        known = plain.get(DEGRADED)
        told = known.split("; ") if type(known) is str else ()
        reasons = [reason for reason in sanitiser.reasons if reason not in told]
        if reasons:
            degrade(plain, "; ".join(reasons))
    return plain


def degrade(fields: dict[Any, Any], reason: str) -> None:
    """Have fields say one more thing that was lost; a user's field of the name is kept."""
    known = fields.get(DEGRADED)
    if known is not None and type(known) is not str:
        fields[unique_key(f"extra.{DEGRADED}", fields)] = known
        known = None
    said = known.split("; ") if known else []
    # What is converted first and cleaned afterwards may lose the same twice.
    said += [each for each in reason.split("; ") if each not in said]
    fields[DEGRADED] = "; ".join(said)


def clamped(timestamp_ns: int) -> int:
    """Give a timestamp (nanoseconds) that fits the envelope."""
    if 0 <= timestamp_ns <= MAX_TIMESTAMP:
        return timestamp_ns
    return 0 if timestamp_ns < 0 else MAX_TIMESTAMP


def last_resort(error: BaseException) -> bytes:
    """Give a line for the day when nothing works, as at the end of the stack or of memory."""
    return _LAST_RESORT % (time.time_ns(), type_name(type(error)).encode("ascii", "replace"))


def local_hostname() -> str:
    """Give this host's name, `unknown` where it has none."""
    try:
        return socket.gethostname()
    except OSError:
        return "unknown"
