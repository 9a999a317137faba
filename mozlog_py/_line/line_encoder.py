"""The one place where a MozLog line is made.

``LineEncoder.line`` returns one line of JSON in bytes, without the newline, of an envelope and a
dict of Fields. ``_render.plain_record`` and ``structlog.log_methods`` repeat its last statements
for plain records and events.

orjson ends the process on some values: a datetime with a broken tzinfo, a dataclass with an unset
slot, a list that shrinks while it is read. So the encoder only gets exact ``str``, ``int``,
``float``, ``bool`` and ``None``, and containers that this package has built.
``docs/design/plain-types.md`` says more.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Container
from typing import Any, Final, Protocol

from mozlog_py._process.memo import is_short
from mozlog_py._process.self_log import degraded
from mozlog_py._values.class_lookup import type_name
from mozlog_py._values.dict_items import thawed
from mozlog_py._values.flatten import flattened
from mozlog_py._values.sanitiser import MAX_REPR, Sanitiser

from .degraded_note import DEGRADED, degrade
from .json_encoder import dumps
from .truncate import cut, finished
from .unsafe_characters import DELETE

__all__ = [
    "ENVELOPE_VERSION",
    "MAX_TIMESTAMP",
    "EnvelopeExtension",
    "EventDropped",
    "FieldsMask",
    "LineEncoder",
    "RaiseAfterWrite",
    "clamped",
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
# Bytes. The copy of a shorter line costs nothing that can be measured.
_LONG_LINE: Final = 65_536
# Logger names made from data must not fill the memory.
_MAX_TEMPLATES: Final = 1024
# Bits of a level that gets a template: the level of a record may be a number of any size.
_MOST_BITS: Final = 32

_LAST_RESORT: Final = (
    b'{"Timestamp":%d,"Type":"mozlog_py","EnvVersion":"2.0","Severity":3,"Fields":'
    b'{"msg":"a record could not be rendered","mozlog.degraded":"%b"}}'
)

_dumps: Final = dumps

_Templates = dict[Any, dict[Any, dict[Any, tuple[bytes, bytes]]]]


class RaiseAfterWrite(BaseException):
    """A line is made, and ``cause`` is to be raised once it is written.

    Args:
        line: The line, without its newline.
        cause: What was raised that is no ``Exception``.
        from_value: Whether the code of a value raised it. Otherwise it came from outside
            while the line was made, as from a signal's handler.
    """

    def __init__(self, line: bytes, cause: BaseException, *, from_value: bool) -> None:
        super().__init__(line, cause)
        self.line = line
        self.cause = cause
        self.from_value = from_value


class EventDropped(BaseException):
    """A processor has dropped the event.

    A caller that must return a line gets it from ``line()``.

    Args:
        fields: The Fields that the line would have had.
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        super().__init__(fields)
        self.fields = fields
        self.line: Callable[[], bytes] = lambda: b""


def encode(plain: Any, max_bytes: int = 0) -> bytes:
    """Encode plain values (and only those) as JSON that is safe to print on one line.

    Args:
        plain: A value of exact plain types and containers of these.
        max_bytes: The most bytes of a whole line; 0 for no limit.
    """
    text = _dumps(plain)
    if text.isascii() and DELETE not in text and not 0 < max_bytes < len(text):
        return text
    return finished(text, max_bytes)


class EnvelopeExtension(Protocol):
    """A function that returns further members of the envelope, as plain values."""

    def __call__(
        self,
        type_: Any,
        severity: int,
        fields: dict[str, Any],
        exception: tuple[Any, str] | None,
    ) -> dict[str, Any]:
        """Return the members for one line.

        Args:
            type_: The logger's name.
            severity: The syslog severity.
            fields: The line's Fields, in plain values.
            exception: As a ``Sanitiser`` has it.
        """
        ...


class FieldsMask(Protocol):
    """An object that masks secrets, by value or by shape, in lines."""

    #: Encodes plain values as ``json_encoder.dumps`` does, with secrets masked.
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

    A line that is longer than ``max_bytes`` is cut here only if it has characters to escape, which
    must come after the cut. Other long lines are cut by the sink.

    ``templates`` holds two templates for each pid, logger and level. The first is a line without
    its time and its Fields. The second is a line whose only field is the message, without its time
    and the message. ``record_templates`` holds the same without the loggers in ``read_apart``. So
    a renderer of records that finds no template there reads the record apart, and other records
    pay nothing for this.

    Args:
        logger: The application, as it stands in the envelope.
        hostname: The host, as it stands in the envelope.
        version: The version of the envelope.
        strict: Whether lines satisfy the machine schema.
        severity_of: Returns the syslog severity of a level.
        json_default: As for ``Sanitiser``.
        extension: Returns members of the envelope beside MozLog's own.
        read_apart: Names of loggers whose records are read in their own way.
        mask: Masks secrets in every text of a line.
    """

    def __init__(
        self,
        logger: str,
        hostname: str,
        *,
        version: str,
        strict: bool,
        severity_of: Callable[[Any], int],
        json_default: Callable[[Any], Any] | None,
        extension: EnvelopeExtension | None,
        read_apart: Container[Any],
        mask: FieldsMask | None,
    ) -> None:
        self.logger = logger
        #: The most bytes of a line without its newline; 0 for no limit.
        self.max_bytes = 0
        self.hostname = hostname
        self.version = version
        self.strict = strict
        self.severity_of = severity_of
        self.json_default = json_default
        self.extension = extension
        self.use_mask(mask)
        self.templates: _Templates = {}
        self.record_templates: _Templates = {}
        self._read_apart = read_apart
        self._template_count = 0

    def use_mask(self, mask: FieldsMask | None) -> None:
        """Set the mask of the lines. To be called before the first of them is made."""
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
        """Return one line. Raises no ``Exception``.

        Args:
            timestamp_ns: Nanoseconds since the epoch.
            type_: The logger's name.
            level: The Python level.
            pid: The process that logged; None for this one.
            fields: Any values by any keys. The dict is not changed.
            sanitiser: Holds what the record has lost already.
            max_bytes: Replaces the limit of this encoder; None for that.

        Raises:
            RaiseAfterWrite: The code of a value raised what is no ``Exception``. It holds the
                line.
        """
        if sanitiser is None:
            sanitiser = Sanitiser(self.json_default)
        if pid is None:
            pid = os.getpid()
        line = None
        if self.mask is None and not (self.max_bytes if max_bytes is None else max_bytes):
            try:
                message = fields.get("msg")
                if type(message) is str and len(message) >= _LONG_LINE:
                    # As a whole: a template would copy it, and ``extension`` may repeat the
                    # message. Memory that is new to the process takes longer than to encode.
                    envelope = self.envelope(timestamp_ns, type_, level, pid, fields, sanitiser)
                    line = encode(envelope)
            except Exception:
                # The usual way notes in the line what cannot be encoded.
                pass
        if line is None:
            try:
                template = self.templates[pid][type_][level][0]
            except Exception:
                template = self._template(type_, level, pid, sanitiser)
            plain, text = self._fields(fields, sanitiser)
            line = template % (clamped(timestamp_ns), text)
            line = self.complete(line, type_, level, plain, sanitiser.exception, max_bytes)
        if sanitiser.interrupt is not None:
            raise RaiseAfterWrite(line, sanitiser.interrupt, from_value=True)
        return line

    def plain_line(
        self, timestamp_ns: int, type_: str, level: int, pid: int, fields: dict[str, Any]
    ) -> bytes:
        """Return the same line of fields that are all exact plain types, and finite.

        Args:
            timestamp_ns: Nanoseconds since the epoch.
            type_: The logger's name.
            level: The Python level.
            pid: The process that logs.
            fields: Few enough for a line, and at least one.
        """
        line = self.template(type_, level, pid) % (clamped(timestamp_ns), _dumps(fields))
        if self.extension is None and line.isascii() and DELETE not in line:
            return line
        return self.complete(line, type_, level, fields)

    def complete(
        self,
        line: bytes,
        type_: Any,
        level: Any,
        fields: dict[str, Any],
        exception: tuple[Any, str] | None = None,
        max_bytes: int | None = None,
    ) -> bytes:
        """Return a line in its last form: its envelope extended, cut, its characters escaped.

        The order counts. A cut repeats what ``extension`` adds, and would break an escape in two.
        A line of ASCII without DELETE and without ``extension`` is complete, which the hot callers
        test before they call this.

        Args:
            line: A template with the time and the Fields, in which secrets are masked.
            type_: The logger's name.
            level: The Python level.
            fields: The Fields in plain values, for ``extension``.
            exception: As a ``Sanitiser`` has it, for ``extension``.
            max_bytes: The most bytes of the line without its newline, 0 for no limit; None for
                the limit of this encoder.
        """
        if self.extension is not None:
            line = self._extended(self.extension, line, type_, level, fields, exception, max_bytes)
        if not line.isascii() or DELETE in line:
            line = finished(line, self.max_bytes if max_bytes is None else max_bytes)
        return line

    def _extended(
        self,
        extension: EnvelopeExtension,
        line: bytes,
        type_: Any,
        level: Any,
        fields: dict[str, Any],
        exception: tuple[Any, str] | None,
        max_bytes: int | None,
    ) -> bytes:
        """Return a line with the members that ``extension`` adds to its envelope, not escaped yet.

        A line that is too long without them is cut together with them.
        """
        limit = self.max_bytes if max_bytes is None else max_bytes
        try:
            severity = self.severity_of(level)
            members = extension(_type_text(type_), severity, fields, exception)
            if 0 < limit < len(line):
                # The members repeat long texts of the Fields: they are cut before they are encoded.
                return cut(line, limit, self._masked(members))
            encoded = self.dumps(members)
        except Exception:
            # A project's name that cannot be encoded, for one.
            return line
        if len(line) < _LONG_LINE:
            return b"%b,%b" % (line[:-1], encoded[1:])
        # Without a copy of either.
        return b"".join((memoryview(line)[:-1], b",", memoryview(encoded)[1:]))

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

        Args:
            timestamp_ns: As for ``line``, and so are the others.
            type_: The logger's name.
            level: The Python level.
            pid: The process that logged.
            fields: The Fields.
            sanitiser: Holds what the record has lost already.
            is_raw: Whether Fields keep the values as they were logged. The members of the
                envelope are plain in either case.
        """
        shown = with_reasons({**fields}, sanitiser) if is_raw else self._plain(fields, sanitiser)
        envelope: dict[str, Any] = {
            "Timestamp": clamped(timestamp_ns),
            **self._constant(type_, level, pid, sanitiser),
            "Fields": self._masked(shown, is_raw=is_raw),
        }
        if self.extension is not None:
            severity = self.severity_of(level)
            plain = Sanitiser(self.json_default).fields(shown) if is_raw else shown
            members = self.extension(_type_text(type_), severity, plain, sanitiser.exception)
            envelope.update(self._masked(members, is_raw=is_raw))
        return envelope

    def _masked(self, plain: dict[str, Any], *, is_raw: bool = False) -> dict[str, Any]:
        """Return plain fields with secrets masked; raw ones are masked later."""
        if self.mask is None or is_raw:
            return plain
        masked: dict[str, Any] = self.mask.plain(plain)
        return masked

    def conversion(self, document: dict[Any, Any], sanitiser: Sanitiser) -> dict[str, Any]:
        """Return the line that a formatter's own ``convert_record`` returned, in plain values."""
        fields: Any = thawed(dict.get(document, "Fields"))
        if issubclass(type(fields), dict):
            # Fields have other bounds than a nested value.
            line = sanitiser.fields({**document, "Fields": ""})
            line["Fields"] = self._plain(fields, sanitiser)
        else:
            line = sanitiser.fields(document)
        return line if self.mask is None else self.mask.document(line)

    def _constant(
        self, type_: Any, level: Any, pid: Any, sanitiser: Sanitiser
    ) -> dict[str, str | int]:
        """Return the members that all lines of one logger, level and process share."""
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
            plain = flattened(plain, _dumps)
        return with_reasons(plain, sanitiser)

    def _fields(self, fields: dict[str, Any], sanitiser: Sanitiser) -> tuple[dict[str, Any], bytes]:
        try:
            plain = self._plain(fields, sanitiser)
            try:
                return plain, self.dumps(plain)
            except Exception as error:
                degraded.add()
                plain[DEGRADED] = f"encoded by the standard library: {type_name(type(error))}"
                plain = self._masked(plain)
                return plain, json.dumps(plain, separators=(",", ":")).encode()
        except Exception as error:
            degraded.add()
            plain = {
                "msg": "the record could not be rendered",
                DEGRADED: type_name(type(error)),
            }
            return plain, json.dumps(plain, separators=(",", ":")).encode()


def _type_text(type_: Any) -> str:
    """Return the text of ``Type`` for the name of a record, which may be any value."""
    if type_ is None:
        return "root"
    is_plain = type(type_) is str and len(type_) <= MAX_REPR and type_.isascii()
    return type_ if is_plain else Sanitiser().text_of(type_)


def with_reasons(plain: dict[str, Any], sanitiser: Sanitiser) -> dict[str, Any]:
    """Return plain fields, with a note of what their record has lost, if anything."""
    if sanitiser.reasons:
        degraded.add()
        # The fields may have a note of some reasons already, from before they were cleaned.
        note = plain.get(DEGRADED)
        known = note.split("; ") if type(note) is str else ()
        reasons = [reason for reason in sanitiser.reasons if reason not in known]
        if reasons:
            degrade(plain, "; ".join(reasons))
    return plain


def clamped(timestamp_ns: int) -> int:
    """Return the nearest timestamp (nanoseconds since the epoch) that fits the envelope."""
    if 0 <= timestamp_ns <= MAX_TIMESTAMP:
        return timestamp_ns
    return 0 if timestamp_ns < 0 else MAX_TIMESTAMP


def last_resort(error: BaseException) -> bytes:
    """Return a line for a record that cannot be rendered, as where the stack or memory ends."""
    return _LAST_RESORT % (time.time_ns(), type_name(type(error)).encode("ascii", "replace"))


def local_hostname() -> str:
    """Return this host's name; ``unknown`` where it has none."""
    try:
        if hasattr(os, "uname") and "socket" not in sys.modules:
            # The same name without the module, which takes long to import.
            return os.uname().nodename
        import socket

        return socket.gethostname()
    except OSError:
        return "unknown"
