"""The types of options, for annotations of services and for our own.

Nothing here is needed at run time.
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

#: The formats of ``configure()``, and the names that other libraries have for them.
FormatName: TypeAlias = Literal["mozlog", "gcp", "pretty", "json", "text", "plain", "console"]
#: A level: its number, or its name in any case.
Level: TypeAlias = int | str
#: What a full queue does.
Policy: TypeAlias = Literal["block", "drop_newest", "drop_oldest"]
#: How ``fmt`` names attributes of records.
Style: TypeAlias = Literal["%", "{", "$", ","]
#: What ``MozlogRenderer`` gives.
Output: TypeAlias = Literal["bytes", "text"]


class TextStream(Protocol):
    """What lines may be written to as text: ``sys.stderr``, an open file, a ``StringIO``."""

    def write(self, text: str, /) -> object:
        """Write a text."""


class BinaryStream(Protocol):
    """What lines may be written to as bytes: ``sys.stderr.buffer``, a ``BytesIO``."""

    def write(self, data: bytes, /) -> object:
        """Write bytes."""


#: Where lines go. A text is a path, and must look like one: ``"./shop"``, ``"shop.log"``.
Stream: TypeAlias = Union[TextStream, BinaryStream, str, "os.PathLike[str]"]

#: A processor of structlog or of ours: takes the logger, the method's name and the event
#: dict, and returns the event dict. (structlog's type has the last processor of a chain
#: in it as well, which returns a line.)
Processor: TypeAlias = Callable[
    [Any, str, Any], Union[Mapping[str, Any], str, bytes, bytearray, "tuple[Any, ...]"]
]


class QueueOptions(TypedDict, total=False):
    """The options of ``queue=``, as those of ``MozlogQueueHandler``."""

    max_bytes: int
    policy: Policy
    flush_on_sigterm: bool
    max_line_bytes: int
    timeout: float | None


class FormatterOptions(TypedDict, total=False):
    """The options of ``formatter_options=``, as those of ``MozlogFormatter``."""

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
    """The options of ``MozlogRenderer`` that are those of its formatter."""

    hostname: str | None
    strict: bool
    json_default: Callable[[Any], Any] | None
    static_fields: Mapping[str, Any] | None
    include_context: bool
    parse_messages: bool
