"""What is below a sink: a descriptor that is ours to write to, or a stream of somebody's.

A standard stream is written to through its descriptor, past Python's own
buffers, which lose lines when a write is interrupted or refused. Anything else
(a test's capture, a wrapper) is written to as it asks to be, through ``write``.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import select
from typing import Any, Final, Protocol

__all__ = ["DescriptorOutlet", "Outlet", "StreamOutlet", "outlet_for"]

_WAIT_MS: Final = 1000
_write: Final = os.write
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")


class Outlet(Protocol):
    """Takes whole lines, one at a time. Raises what the write raises."""

    def write(self, line: bytes) -> None:
        """Write one line, its newline included."""


class DescriptorOutlet:
    """Writes to the descriptor below a standard stream or file."""

    __slots__ = ("_descriptor", "_flush")

    def __init__(self, stream: Any, descriptor: int) -> None:
        self._flush = stream.flush
        self._descriptor = descriptor

    def write(self, line: bytes) -> None:
        """Write one line, in one call unless the descriptor takes less."""
        try:
            # What print() left in the stream's buffer came first. A closed
            # stream raises here, before a stranger with its number is written to.
            self._flush()
            written = _write(self._descriptor, line)
        except BlockingIOError:
            written = 0
        if written < len(line):
            self._write_rest(line[written:])

    def _write_rest(self, rest: bytes) -> None:
        while rest:
            try:
                rest = rest[_write(self._descriptor, rest) :]
            except BlockingIOError:
                waiting = select.poll()
                waiting.register(self._descriptor, select.POLLOUT)
                waiting.poll(_WAIT_MS)


class StreamOutlet:
    """Writes to anything that has a ``write``, as text or as bytes, whichever it takes."""

    __slots__ = ("_is_ascii", "_is_binary", "_stream")

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._is_binary = isinstance(stream, (io.RawIOBase, io.BufferedIOBase))
        self._is_ascii = not _is_utf8(getattr(stream, "encoding", None))

    def write(self, line: bytes) -> None:
        """Write one line and flush, where the stream can be flushed."""
        if self._is_binary:
            self._write_bytes(line)
        else:
            self._write_text(line)
        flush = getattr(self._stream, "flush", None)
        if flush is not None:
            flush()

    def _write_text(self, line: bytes) -> None:
        text = line.decode()
        # Whatever the encoding makes of other letters, it is not what a
        # collector takes for JSON; and JSON can say anything in ASCII.
        try:
            self._stream.write(_NOT_ASCII.sub(_escaped, text) if self._is_ascii else text)
        except UnicodeEncodeError:
            # It did not say what it is.
            self._is_ascii = True
            self._stream.write(_NOT_ASCII.sub(_escaped, text))
        except TypeError:
            # Nor that it takes bytes, as temporary files do.
            self._write_bytes(line)
            self._is_binary = True

    def _write_bytes(self, line: bytes) -> None:
        while line:
            written = self._stream.write(line)
            if written is None and isinstance(self._stream, io.RawIOBase):
                raise BlockingIOError("the stream takes nothing now")
            if not isinstance(written, int) or isinstance(written, bool):
                # Somebody's own write, which does not count.
                return
            if written <= 0:
                raise OSError("the stream takes nothing")
            line = line[written:]


def outlet_for(stream: Any) -> Outlet:
    """Give the outlet for a stream: its descriptor where that is the same thing, else itself."""
    # Exact types only: a subclass is there to do something of its own on write.
    if type(stream) is io.TextIOWrapper and _is_utf8(stream.encoding):
        return _descriptor_outlet(stream, stream.buffer)
    if type(stream) is io.BufferedWriter or type(stream) is io.FileIO:
        return _descriptor_outlet(stream, stream)
    return StreamOutlet(stream)


def _descriptor_outlet(stream: Any, below: Any) -> Outlet:
    try:
        # What gzip, TLS and the like have is not a descriptor to write past them to.
        if type(getattr(below, "raw", below)) is io.FileIO:
            return DescriptorOutlet(stream, stream.fileno())
    except (OSError, ValueError):  # detached or closed
        pass
    return StreamOutlet(stream)


def _is_utf8(encoding: Any) -> bool:
    if not isinstance(encoding, str):
        return True
    try:
        return codecs.lookup(encoding).name == "utf-8"
    except LookupError:
        return False


def _escaped(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]
