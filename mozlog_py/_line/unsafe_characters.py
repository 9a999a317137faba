r"""Characters that end a line, drive a terminal, or change what a reader sees, and their escapes.

This list holds for lines of JSON and for text for people. These are written as escapes:

- the controls: C0, DEL and C1 (``\x00`` to ``\x1f``, ``\x7f`` to ``\x9f``);
- the separators U+2028 and U+2029, at which some readers split lines;
- Unicode's ``Default_Ignorable_Code_Point``: characters that a reader does not see. It contains
  ``Bidi_Control``, which reorders the text around it, the zero-width characters, the variation
  selectors, and the tags, which can hold a whole hidden text;
- the interlinear annotation controls, U+FFF9 to U+FFFB.

In JSON an escape loses nothing: a parser returns the same text. That holds also for the joiners
(U+200C, U+200D) and variation selectors that ordinary text and emoji have, so they are no
exception.

Source: DerivedCoreProperties.txt and PropList.txt of the Unicode Character Database, version 16,
https://www.unicode.org/Public/16.0.0/ucd/; code points reserved there for later characters of
the property are included.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from json.encoder import encode_basestring_ascii
from typing import Final

from mozlog_py._process.lazy_pattern import lazy_pattern

__all__ = ["DELETE", "RANGES", "escape", "escape_lines", "escape_short", "escape_text"]

#: The one ASCII character that orjson leaves raw and should not.
DELETE: Final = 0x7F

#: First and last code point of each range of unsafe characters that orjson leaves raw.
RANGES: Final = (
    (0x7F, 0x9F),
    (0xAD, 0xAD),
    (0x34F, 0x34F),
    (0x61C, 0x61C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x2028, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFB),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)

# It begins with the bytes of kana. Searched apart, it keeps the expression from stopping at kana.
_FILLER: Final = b"\xe3\x85\xa4"
_ESCAPED_FILLER: Final = rb"\u3164"
# The others in UTF-8. A search of bytes takes half of the time of one of text.
_UNSAFE: Final = re.compile(
    rb"\x7f"
    rb"|\xc2[\x80-\x9f\xad]"
    rb"|\xe2(?:\x80[\x8b-\x8f\xa8-\xae]|\x81[\xa0-\xaf])"
    rb"|\xef(?:\xb8[\x80-\x8f]|\xbb\xbf|\xbe\xa0|\xbf[\xb0-\xbb])"
    rb"|\xf0(?:\x9b\xb2[\xa0-\xa3]|\x9d\x85[\xb3-\xba])"
    rb"|\xf3\xa0[\x80-\xbf][\x80-\xbf]"
    rb"|\xcd\x8f"
    rb"|\xd8\x9c"
    rb"|\xe1(?:\x85[\x9f\xa0]|\x9e[\xb4\xb5]|\xa0[\x8b-\x8f])"
)
_search: Final = _UNSAFE.search
# Most lines are mostly ASCII. Removing it is faster than searching it, and splits no character.
_ASCII: Final = bytes(range(DELETE))

_CLASS: Final = "".join(f"{chr(first)}-{chr(last)}" for first, last in RANGES)
_IN_TEXT: Final = lazy_pattern(f"[\x00-\x1f\ud800-\udfff{_CLASS}]")
_IN_LINES: Final = lazy_pattern(f"[\x00-\x08\x0b-\x1f\ud800-\udfff{_CLASS}]")

_PRINTABLE: Final = bytes(range(0x20, DELETE))

# Bytes or characters that are searched together.
_CHUNK: Final = 16_384
# A replacement by a regular expression takes 500 ns, an encoder 10 ns a character. A chunk with
# so many unsafe characters has all that is not ASCII escaped, by an encoder.
_FEW: Final = 128
# Bytes. Longer texts may exceed a limit, and are cut before they are escaped.
_SHORT: Final = 4096


def escape(text: bytes) -> bytes:
    r"""Write the unsafe characters in encoded JSON as ``\u`` escapes.

    Args:
        text: JSON in UTF-8, with nothing raw that JSON forbids; newlines may stand at its end.
    """
    if len(text) > _CHUNK:
        return b"".join(map(_escaped, _chunks(text)))
    others = text if len(text) < _FEW else text.translate(None, _ASCII)
    return text if _search(others) is None and _FILLER not in others else _escaped(text)


def escape_short(text: bytes) -> bytes:
    """Escape as ``escape`` does, for a text that is too short to be cut.

    Raises:
        ValueError: The text is so long that it may have to be cut first.
    """
    if len(text) > _SHORT:
        raise ValueError("a long text is cut before it is escaped")
    others = text if len(text) < _FEW else text.translate(None, _ASCII)
    return text if _search(others) is None and _FILLER not in others else _escaped(text)


def escape_text(text: str) -> str:
    r"""Write the unsafe characters of a text for people as ``\n``, ``\x1b``, ``\u202e``."""
    return _escaped_for_people(text, _IN_TEXT)


def escape_lines(text: str) -> str:
    r"""Write the unsafe characters of a text likewise, but keep ``\n`` and ``\t``."""
    return _escaped_for_people(text, _IN_LINES)


def _chunks(text: bytes) -> Iterator[bytes]:
    start, size = 0, len(text)
    while start < size:
        end = min(start + _CHUNK, size)
        while end < size and text[end] & 0xC0 == 0x80:
            # Not in the middle of a character.
            end += 1
        yield text[start:end]
        start = end


def _escaped(chunk: bytes) -> bytes:
    others = chunk.translate(None, _ASCII)
    if _FILLER in others:
        chunk = chunk.replace(_FILLER, _ESCAPED_FILLER)
    if _search(others) is None:
        return chunk
    made, count = _UNSAFE.subn(_as_json, chunk, _FEW)
    return made if count < _FEW else _all_escaped(chunk)


def _as_json(match: re.Match[bytes]) -> bytes:
    return encode_basestring_ascii(match[0].decode())[1:-1].encode()


def _all_escaped(chunk: bytes) -> bytes:
    text = chunk.decode()
    body = text.rstrip("\r\n")
    made = encode_basestring_ascii(body)[1:-1]
    if "\\" in body or '"' in body:
        # The encoder has escaped JSON's own characters, too. NUL is unused: JSON escapes it.
        made = made.replace("\\\\", "\0").replace('\\"', '"').replace("\0", "\\")
    return (made + text[len(body) :]).encode()


def _escaped_for_people(text: str, unsafe: re.Pattern[str]) -> str:
    if len(text) <= _CHUNK:
        is_safe = text.isascii() and text.isprintable()
        return text if is_safe else _chunk_for_people(text, unsafe)
    chunks = (text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK))
    if text.isascii() and not any(map(_has_controls, chunks)):
        return text
    # Without a list of the parts: memory that is new to the process takes as long as the work.
    made = io.StringIO()
    for start in range(0, len(text), _CHUNK):
        made.write(_chunk_for_people(text[start : start + _CHUNK], unsafe))
    return made.getvalue()


def _has_controls(chunk: str) -> bool:
    # A third of the time of isprintable().
    return bool(chunk.encode().translate(None, _PRINTABLE))


def _chunk_for_people(chunk: str, unsafe: re.Pattern[str]) -> str:
    made, count = unsafe.subn(_for_people, chunk, _FEW)
    if count < _FEW:
        return made
    # The codec has escaped backslashes, too. NUL is unused: the codec has escaped it.
    made = chunk.encode("unicode_escape").decode().replace("\\\\", "\0")
    if unsafe is _IN_LINES:
        made = made.replace("\\n", "\n").replace("\\t", "\t")
    return made.replace("\0", "\\")


def _for_people(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
