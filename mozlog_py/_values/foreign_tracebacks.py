"""Traceback objects that are not the interpreter's own, one frame at a time.

Celery's workers log billiard's ``Traceback``, and Twisted logs a ``_TracebackFrame``. Unlike the
interpreter's own, these cross a process border or outlive their frames. They have the attributes
of a traceback, but any class may have those. So exceptions of their code are caught, and only
texts and numbers are read from them.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from typing import Any, Final

from .mask_registry import mask_before_cut

__all__ = ["MAX_FOREIGN_FRAMES", "Frame", "looks_like_traceback", "read_frame", "source_line"]

#: Frames read of one foreign traceback, which may be a circle.
MAX_FOREIGN_FRAMES: Final = 1000
_MAX_SOURCE: Final = 1000

#: A frame's file, line number and function.
Frame = tuple[str, int, str]


def looks_like_traceback(value: Any) -> bool:
    """Return whether a value has the attributes of a traceback, with a file in its first frame."""
    try:
        return read_frame(value) is not None
    except Exception:
        return False


def read_frame(value: Any) -> Frame | None:
    """Return the frame of a traceback-like object.

    Args:
        value: Any object.

    Returns:
        The frame; None where the object is not a traceback.

    Raises:
        BaseException: The object's own code raises it.
    """
    code = value.tb_frame.f_code
    file, line, function = code.co_filename, value.tb_lineno, code.co_name
    if not (issubclass(type(file), str) and issubclass(type(function), str)):
        return None
    # Some frames have no line number.
    number = int.__index__(line) if issubclass(type(line), int) else 0
    return str.__str__(file), number, str.__str__(function)


def source_line(
    file: str, line: int, defer_interrupt: Callable[[BaseException], None] | None = None
) -> str:
    """Return a line of a source file without its indentation; an empty text without one.

    Args:
        file: The file's name, as frames have it.
        line: The line's number, from 1.
        defer_interrupt: Is called with what is raised that is no ``Exception``.
    """
    try:
        source = linecache.getline(file, line).strip()
        is_long = len(source) > _MAX_SOURCE
        return mask_before_cut(source, _MAX_SOURCE)[:_MAX_SOURCE] if is_long else source
    except BaseException as error:
        if defer_interrupt is not None and not isinstance(error, Exception):
            defer_interrupt(error)
        return ""
