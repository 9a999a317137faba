"""The lines of a traceback in colours: the frames of the application stand out.

Frames of the standard library and of installed packages are dim. A text has been escaped
before, and no text of an exception begins a line of it, so a line that names a frame is one.
"""

from __future__ import annotations

import os
import re
import sysconfig
from pathlib import Path
from typing import Final

from .palette import DIM, FAILURE, STRONG

__all__ = ["is_own_file", "line_colors"]

# The members of a group are behind bars.
_BARS: Final = " |"
_FRAME: Final = re.compile(r'File "(.*)", line \d+')
_LINKS: Final = (
    "Traceback (most recent call last):",
    "Stack (most recent call last):",
    "The above exception was",
    "During handling of",
    "Uncaught exception:",
    "The exception above was",
    "While the exception above",
    "+- exception",
    "[",
)
_INSTALLED: Final = re.compile(r"[/\\](?:site|dist)-packages[/\\]")
# The folder of this package, and of dockerflow beside it.
_HERE: Final = Path(__file__).resolve().parents[1]
_FOLDERS: Final = (
    *(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib")),
    Path(os.__file__).parent,
    *(_HERE.with_name(name) for name in ("dockerflow", _HERE.name)),
)
_NOT_OWN: Final = tuple(f"{folder}{os.sep}" for folder in _FOLDERS)


def line_colors(lines: list[str]) -> list[str]:
    """Return a colour for each line of a traceback; an empty text is no colour.

    Args:
        lines: The lines, without their ends and without an indent of their own.
    """
    colors: list[str] = []
    in_frame, frame_depth, color = False, 0, ""
    for line in lines:
        text = line.lstrip(_BARS)
        depth = len(line) - len(text)
        frame = _FRAME.match(text)
        if frame is not None:
            in_frame, frame_depth = True, depth
            color = STRONG if is_own_file(frame[1]) else DIM
        elif in_frame and (depth > frame_depth or text.startswith("[")):
            # The source of the frame, or the marks below it.
            color = "" if color == STRONG else color
        elif not text or text.startswith(_LINKS):
            in_frame, color = False, DIM
        else:
            in_frame = False
            color = "" if text.startswith("note: ") else FAILURE
        colors.append(color)
    return colors


def is_own_file(name: str) -> bool:
    """Return whether a file is the application's: not installed, and not Python's own.

    Args:
        name: The file's name, as in a traceback.
    """
    if name.startswith("<") or _INSTALLED.search(name) is not None:
        return False
    return not name.startswith(_NOT_OWN)
