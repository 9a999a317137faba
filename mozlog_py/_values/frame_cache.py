"""Traceback frames to text, each position in the code formatted once.

While every request of a service fails, it must not read its source files for each of them.
"""

from __future__ import annotations

import traceback
import weakref
from collections.abc import Callable
from types import CodeType, TracebackType
from typing import Any, Final

from mozlog_py._process.lazy_pattern import lazy_pattern
from mozlog_py._process.memo import is_short, remember

from .foreign_tracebacks import MAX_FOREIGN_FRAMES, read_frame, source_line

__all__ = ["frames_text", "one_line"]

_MAX_FRAMES: Final = 100  # of one traceback, half from each end
_MAX_REPEATS: Final = 3  # of one frame that calls itself

_LINE_BREAKING: Final = lazy_pattern("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_CACHE_SIZE: Final = 2048
_MAX_LENGTH: Final = 1024
# By code position. Another code object may have the id by now, so an entry has a reference to
# its own. That is weak: applications compile code at run time, from data as well.
_frames: dict[tuple[int, int], tuple[weakref.ref[CodeType], str]] = {}


def frames_text(frames: Any, defer_interrupt: Callable[[BaseException], None] | None = None) -> str:
    """Return the frames of a traceback as text, most recent call last, long runs collapsed.

    Args:
        frames: A traceback, an object that looks like one, or None.
        defer_interrupt: Is called with what is raised that is no ``Exception``: by the
            loaders of the sources, or by a foreign traceback.
    """
    texts: list[str] = []
    while frames is not None:
        if type(frames) is not TracebackType:
            frames = _add_foreign(frames, texts, defer_interrupt)
            continue
        code = frames.tb_frame.f_code
        known = _frames.get((id(code), frames.tb_lasti))
        if known is not None and known[0]() is code:
            texts.append(known[1])
        else:
            texts.append(_frame_text(frames, code, defer_interrupt))
        frames = frames.tb_next
    if len(texts) > _MAX_FRAMES or (len(texts) > _MAX_REPEATS and len({*texts}) < len(texts)):
        texts = _collapse(texts)
    return "".join(texts)


def _add_foreign(
    frames: Any, texts: list[str], defer_interrupt: Callable[[BaseException], None] | None
) -> TracebackType | None:
    """Add the texts of foreign frames; return the interpreter's traceback behind them, or None."""
    # The frames are kept, so that no later object gets the id of one of them.
    seen: dict[int, Any] = {}
    try:
        while frames is not None and type(frames) is not TracebackType:
            if id(frames) in seen or len(seen) >= MAX_FOREIGN_FRAMES:
                texts.append("  [the frames that follow are left out here]\n")
                return None
            seen[id(frames)] = frames
            frame = read_frame(frames)
            if frame is None:
                return None
            file, line, function = frame
            texts.append(f'  File "{one_line(file)}", line {line}, in {one_line(function)}\n')
            source = one_line(source_line(file, line, defer_interrupt))
            if source:
                texts[-1] += f"    {source}\n"
            frames = frames.tb_next
    except BaseException as error:
        if defer_interrupt is not None and not isinstance(error, Exception):
            defer_interrupt(error)
        texts.append("  [the frames that follow cannot be read]\n")
        return None
    return frames


def _frame_text(
    frames: TracebackType, code: CodeType, defer_interrupt: Callable[[BaseException], None] | None
) -> str:
    # A name with a line break in it could pass for a frame of its own.
    is_printable = code.co_filename.isprintable() and code.co_name.isprintable()
    file, function = one_line(code.co_filename), one_line(code.co_name)
    text = f'  File "{file}", line {frames.tb_lineno}, in {function}\n'
    try:
        if is_printable:
            text = "".join(traceback.format_tb(frames, limit=1))
    except BaseException as error:
        # A loader of the source may raise anything.
        if not isinstance(error, Exception):
            # The next attempt may succeed, so this text is not kept.
            if defer_interrupt is not None:
                defer_interrupt(error)
            return text
    # A line of generated code may have any length.
    if is_short(text, _MAX_LENGTH):
        remember(_frames, (id(code), frames.tb_lasti), (weakref.ref(code), text), _CACHE_SIZE)
    return text


def one_line(text: str) -> str:
    """Return text with escapes for all that could end a line or not be encoded."""
    if text.isprintable():
        return text
    return _LINE_BREAKING.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def _collapse(texts: list[str]) -> list[str]:
    out: list[str] = []
    last, run = "", 0
    for text in (*texts, ""):
        if text == last:
            run += 1
        else:
            if run > _MAX_REPEATS:
                out.append(f"  [the line above repeats {run - _MAX_REPEATS} more times]\n")
            last, run = text, 1
        if run <= _MAX_REPEATS:
            out.append(text)
    if len(out) > _MAX_FRAMES:
        half = _MAX_FRAMES // 2
        out[half:-half] = [f"  [{len(out) - _MAX_FRAMES} more frames here]\n"]
    return out
