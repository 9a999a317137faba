"""A line that is too long, made again with its longest strings cut.

Docker and many shippers split a line at 16 KiB, and what comes out is no JSON.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from .diagnostics import degraded
from .line import DEGRADED, encode
from .options import check_number

__all__ = ["MAX_LINE_BYTES", "MIN_LINE_BYTES", "check_max_line_bytes", "cut"]

#: Bytes, the newline included: where Docker's json-file driver splits a line.
MAX_LINE_BYTES: Final = 16_384

#: Bytes; a smaller limit would leave no room beside the envelope.
MIN_LINE_BYTES: Final = 1024

# Shorter strings are left alone: what is cut off one must be more than the mark.
_SHORTEST: Final = 96
# Members of the envelope that no cut may touch; other formats add texts of any length.
_ENVELOPE: Final = ("EnvVersion", "Hostname", "Logger", "Type")
_MARK: Final = "...<{} characters cut>...".format
_MARK_BYTES: Final = 40
_ROUNDS: Final = 12


def check_max_line_bytes(value: object) -> None:
    """Raise ``OptionError`` for what is no limit of a line's bytes; 0 is for none."""
    if type(value) is int and value == 0:
        return
    allowed = (
        f"a number of bytes such as {MAX_LINE_BYTES}, {MIN_LINE_BYTES} or more, for an envelope to "
        "have room, or 0 for no limit"
    )
    check_number("max_line_bytes", value, least=MIN_LINE_BYTES, allowed=allowed, whole=True)


def cut(line: bytes, max_bytes: int) -> bytes:
    """Give a line of at most ``max_bytes``, its newline included, with as much as fits.

    The longest strings of its Fields, and of what a format adds beside them, are cut
    down to one length, their heads and tails kept. A line that is no MozLog, such as
    one for people, is left alone.
    """
    try:
        document = orjson.loads(line)
        fields = document["Fields"]
        end = line[len(line.rstrip(b"\r\n")) :]
        if type(fields) is not dict:
            return line
        known = fields.get(DEGRADED)
        reason = f"cut from {len(line)} bytes"
        fields[DEGRADED] = f"{known}; {reason}" if type(known) is str else reason
        degraded.count += 1
        return _cut(document, fields, max_bytes - len(end)) + end
    except Exception:
        # No JSON object, or one with numbers that only others understand.
        return line


def _cut(document: dict[str, Any], fields: dict[str, Any], max_bytes: int) -> bytes:
    strings = _strings(document)
    whole = len(encode(document))
    sizes = [len(encode(holder[key])) - 2 for holder, key in strings]
    room = max_bytes - (whole - sum(sizes))
    level = _level(sizes, room)
    texts = [holder[key] for holder, key in strings]
    for _ in range(_ROUNDS):
        for (holder, key), text, size in zip(strings, texts, sizes, strict=True):
            holder[key] = _shortened(text, size, level)
        made = encode(document)
        if len(made) <= max_bytes:
            return made
        if level <= _SHORTEST:
            break
        # Escapes are not spread evenly over a string.
        level = max(_SHORTEST, min(level - _MARK_BYTES, level * max_bytes // len(made)))
    return _least(document, fields, max_bytes)


def _strings(document: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Return where all strings are but MozLog's own and the one that tells of the cut."""
    found: list[tuple[Any, Any]] = [
        (document, key)
        for key, value in document.items()
        if type(value) is str and key not in _ENVELOPE
    ]
    todo: list[Any] = [document["Fields"]]
    while todo:
        holder = todo.pop()
        members = holder.items() if type(holder) is dict else enumerate(holder)
        for key, value in members:
            if type(value) is str and key != DEGRADED:
                found.append((holder, key))
            elif type(value) is dict or type(value) is list:
                todo.append(value)
    return found


def _level(sizes: list[int], room: int) -> int:
    """Give the size that the longest have to come down to, for all to have room."""
    left, remaining = room, len(sizes)
    for size in sorted(sizes):
        if size * remaining > left:
            break
        left -= size
        remaining -= 1
    return max(_SHORTEST, left // max(1, remaining))


def _shortened(text: str, size: int, level: int) -> str:
    if size <= level:
        return text
    # As many characters as fit, going by what one of this string takes.
    keep = max(2, (level - _MARK_BYTES) * len(text) // size)
    if keep >= len(text):
        return text
    head = keep - keep // 3
    return f"{text[:head]}{_MARK(len(text) - keep)}{text[len(text) - keep // 3 :]}"


def _least(document: dict[str, Any], fields: dict[str, Any], max_bytes: int) -> bytes:
    """Give a line with as many Fields as fit, the call's own words first."""
    first = [name for name in (DEGRADED, "msg", "error", "traceback") if name in fields]
    kept: dict[str, Any] = {}
    document["Fields"] = kept
    left = max_bytes - len(encode(document)) - _MARK_BYTES
    for name in dict.fromkeys([*first, *fields]):
        size = len(encode({name: fields[name]}))
        if size <= left:
            kept[name] = fields[name]
            left -= size
    reason = f"{len(fields) - len(kept)} fields left out"
    kept[DEGRADED] = f"{kept.get(DEGRADED, '')}; {reason}".lstrip("; ")
    return encode(document)
