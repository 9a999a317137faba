"""The types of options, for annotations in services and in this package.

This module has no effect at run time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypedDict, Union

__all__ = [
    "BinaryStream",
    "FormatName",
    "FormatterOptions",
    "Level",
    "Output",
    "Policy",
    "Processor",
    "QueueOptions",
    "RendererOptions",
    "Stream",
    "Style",
    "TextStream",
]

#: The formats of ``configure()``, and their names in other libraries.
FormatName: TypeAlias = Literal["mozlog", "gcp", "pretty", "json", "text", "plain", "console"]
#: A level: its number, or its name in lower or upper case.
Level: TypeAlias = int | str
#: The action of a full queue.
Policy: TypeAlias = Literal["block", "drop_newest", "drop_oldest"]
#: The syntax of ``fmt`` for attributes of records.
Style: TypeAlias = Literal["%", "{", "$", ","]
#: The type that ``MozlogRenderer`` returns.
Output: TypeAlias = Literal["bytes", "text"]


class TextStream(Protocol):
    """A destination of text: ``sys.stderr``, an open file, a ``StringIO``."""

    def write(self, text: str, /) -> object:
        """Write a text."""


class BinaryStream(Protocol):
    """A destination of bytes: ``sys.stderr.buffer``, a ``BytesIO``."""

    def write(self, data: bytes, /) -> object:
        """Write bytes."""


#: The destination of lines. A text is a path with a directory or a suffix: ``"./shop"``.
Stream: TypeAlias = Union[TextStream, BinaryStream, str, "os.PathLike[str]"]

#: A processor of structlog or of this package: a function of the logger, the method's name and
#: the event dict, which returns the event dict. The last processor of a chain returns a line.
Processor: TypeAlias = Callable[
    [Any, str, Any], Union[Mapping[str, Any], str, bytes, bytearray, "tuple[Any, ...]"]
]


class QueueOptions(TypedDict, total=False):
    """The options of ``queue=``, as in ``MozlogQueueHandler``."""

    max_bytes: int
    policy: Policy
    flush_on_sigterm: bool
    max_line_bytes: int
    timeout: float | None


class FormatterOptions(TypedDict, total=False):
    """The options of ``formatter_options=``, as in ``MozlogFormatter``."""

    fmt: str | Sequence[str] | None
    datefmt: str | None
    style: Style
    validate: bool
    defaults: Mapping[str, Any] | None
    rename_fields: Mapping[str, str] | None
    reserved_attrs: Sequence[str] | None
    timestamp: bool | str
    exc_info_as_array: bool
    stack_info_as_array: bool
    prefix: str
    json_default: Callable[[Any], Any] | None
    processors: Sequence[Processor]
    project: str | None
    colors: bool


class RendererOptions(TypedDict, total=False):
    """The options that ``MozlogRenderer`` passes to its formatter."""

    hostname: str | None
    strict: bool
    json_default: Callable[[Any], Any] | None
    static_fields: Mapping[str, Any] | None
    include_context: bool
    parse_messages: bool
