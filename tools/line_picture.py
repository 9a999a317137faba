"""Draw the picture of the README from what its first program really logs.

    python tools/line_picture.py            writes docs/images/first-lines-*.svg
    python tools/line_picture.py --check    fails if a picture differs from the program's lines

The program runs with a fixed clock, host and process id, and gets one request with a fixed id. So
the pictures change only if the lines do.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Final

__all__: list[str] = []

ROOT: Final = Path(__file__).resolve().parent.parent
IMAGES: Final = ROOT / "docs" / "images"

#: As wide as an ordinary terminal of a developer; a line of the pretty format fits into it.
COLUMNS: Final = 120
_CELL_PX: Final = 8.4
_ROW_PX: Final = 20
_FONT_PX: Final = 14
_MARGIN_PX: Final = 20

_SNIPPET: Final = re.compile(r"<!-- test: first -->\n```python\n(.*?)```", re.DOTALL)
# A whole second: each Python, whether it counts in floats or nanoseconds, shows the same time.
_CLOCK: Final = """
import os, socket, time
time.time = lambda: 1795370369.0
time.time_ns = lambda: 1795370369000000000
time.monotonic_ns = lambda: 0
os.getpid = lambda: 7
socket.gethostname = lambda: "web-1"
"""
_REQUEST: Final = """
app.test_client().get("/pay/Ann", headers={
    "User-Agent": "curl/8.5", "X-Request-Id": "8c1f0a52-6a3e-4c0a-9c55-a7a1a3b3c7d4",
})
"""

_ESCAPE: Final = re.compile(r"\x1b\[([0-9;]*)m")
_TOKEN: Final = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*":)|(?P<text>"(?:[^"\\]|\\.)*")|(?P<number>-?\d+(?:\.\d+)?)'
)
# SVG draws one space where several stand.
_WORDS: Final = re.compile(r"\S+(?: \S+)*")
_NAMES: Final = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_LEVELS: Final = (0, 95, 135, 175, 215, 255)


@dataclass(frozen=True)
class Theme:
    """The colours of a picture.

    Args:
        background: The colour behind the text.
        border: The colour of the frame.
        text: The colour of text that has no other.
        dim: The colour of text of less importance.
        colors: The eight colours of a terminal, in their order.
    """

    background: str
    border: str
    text: str
    dim: str
    colors: tuple[str, ...]


# All have a contrast of at least 4.5 with the background (WCAG 2, AA).
THEMES: Final = {
    "light": Theme(
        "#ffffff", "#d0d7de", "#1f2328", "#59636e",
        ("#1f2328", "#b32424", "#116329", "#7d4e00", "#0550ae", "#8250df", "#1b6b73", "#59636e"),
    ),
    "dark": Theme(
        "#0d1117", "#30363d", "#e6edf3", "#9198a1",
        ("#9198a1", "#ff7b72", "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#e6edf3"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Style:
    """How a character is drawn.

    Args:
        color: A name of ``_NAMES``, a colour as ``#rrggbb``, or "" for that of text.
        is_bold: Whether the character is bold.
        is_dim: Whether the character has the colour of less importance.
    """

    color: str = ""
    is_bold: bool = False
    is_dim: bool = False


_PLAIN: Final = Style()
_DIM: Final = Style(is_dim=True)

#: A character and how it is drawn.
_Cell = tuple[str, Style]


def main() -> int:
    """Write the pictures, or compare them; return 1 if one differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing, and compare")
    options = parser.parse_args()
    rows = picture_rows()
    status = 0
    for name, theme in THEMES.items():
        path = IMAGES / f"first-lines-{name}.svg"
        svg = drawn(rows, theme)
        if not options.check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(svg, "utf-8")
        elif not path.exists() or path.read_text("utf-8") != svg:
            print(
                f"{path.relative_to(ROOT)} differs from what the README's program logs; "
                "run `python tools/line_picture.py` and look at it"
            )
            status = 1
    return status


def picture_rows() -> list[list[_Cell]]:
    """Return the rows of the picture, of at most ``COLUMNS`` cells."""
    pretty = logged("pretty").splitlines()
    first, *_ = logged("mozlog").splitlines()
    rows = [_caption("# for people, on a terminal")]
    for line in pretty:
        rows += _wrapped([*terminal_cells(line)])
    rows += [[], _caption("# for programs, everywhere else: the first of these lines as MozLog")]
    for part in _parts(first):
        rows += _wrapped([*json_cells(part)])
    return rows


def logged(log_format: str) -> str:
    """Run the README's first program, with one request; return what it logs.

    Args:
        log_format: A value of ``LOG_FORMAT``.
    """
    snippet = _SNIPPET.search((ROOT / "README.md").read_text("utf-8"))
    if snippet is None:
        raise SystemExit(
            "README.md has no snippet <!-- test: first -->; the picture shows its lines"
        )
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DOCKERFLOW_", "LOG_", "LOGGING_", "MOZLOG_"))
    }
    environment.pop("NO_COLOR", None)
    environment |= {
        "COLUMNS": str(COLUMNS), "FORCE_COLOR": "1", "LOG_FORMAT": log_format,
        "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "TZ": "UTC",
    }  # fmt: skip
    done = subprocess.run(  # noqa: S603 - the program is that of the README
        [sys.executable, "-c", _CLOCK + snippet[1] + _REQUEST],
        capture_output=True, env=environment, timeout=60, check=False,
    )  # fmt: skip
    if done.returncode or done.stderr:
        raise SystemExit(f"the README's first program failed:\n{done.stderr.decode()}")
    return done.stdout.decode()


def terminal_cells(line: str) -> Iterator[_Cell]:
    """Return an iterator of the cells of a line with ANSI colours."""
    style = _PLAIN
    place = 0
    for match in _ESCAPE.finditer(line):
        yield from ((char, style) for char in line[place : match.start()])
        style = _changed(style, [int(code or 0) for code in match[1].split(";")])
        place = match.end()
    yield from ((char, style) for char in line[place:])


def _changed(style: Style, codes: list[int]) -> Style:
    # Source: ECMA-48, SGR; 38;5 and 38;2 as xterm has them.
    if codes[:2] == [38, 5]:
        return replace(style, color=_indexed(codes[2]))
    if codes[:2] == [38, 2]:
        return replace(style, color=_hex(codes[2:5]))
    for code in codes:
        if code == 0:
            style = _PLAIN
        elif code == 1:
            style = replace(style, is_bold=True)
        elif code == 2:
            style = replace(style, is_dim=True)
        elif code == 22:
            style = replace(style, is_bold=False, is_dim=False)
        elif code == 39:
            style = replace(style, color="")
        elif code // 10 in (3, 9) and code % 10 < len(_NAMES):
            # The bright ones are drawn as the others, which are chosen for the background.
            style = replace(style, color=_NAMES[code % 10])
    return style


def _indexed(number: int) -> str:
    cube, greys = 16, 232
    if number < cube:
        return _NAMES[number % len(_NAMES)]
    if number >= greys:
        return _hex([8 + 10 * (number - greys)] * 3)
    number -= cube
    return _hex([_LEVELS[number // 36], _LEVELS[number // 6 % 6], _LEVELS[number % 6]])


def _hex(levels: list[int]) -> str:
    return "#" + "".join(f"{level:02x}" for level in levels)


def json_cells(line: str) -> Iterator[_Cell]:
    """Return an iterator of the cells of a part of JSON, coloured by what they are."""
    styles = {"key": Style("blue"), "text": Style("green"), "number": Style("magenta")}
    place = 0
    for match in _TOKEN.finditer(line):
        yield from ((char, _DIM) for char in line[place : match.start()])
        yield from ((char, styles[match.lastgroup or ""]) for char in match[0])
        place = match.end()
    yield from ((char, _DIM) for char in line[place:])


def _parts(line: str) -> list[str]:
    """Return the parts of a line, each of whole members of the object where they fit."""
    parts = [""]
    for member in re.split(r'(?<=,)(?=")', line):
        if len(parts[-1]) + len(member) > COLUMNS:
            parts.append("")
        parts[-1] += member
    return parts


def _caption(text: str) -> list[_Cell]:
    return [(char, _DIM) for char in text]


def _wrapped(cells: list[_Cell]) -> list[list[_Cell]]:
    # As a terminal wraps a long line.
    return [cells[place : place + COLUMNS] for place in range(0, len(cells) or 1, COLUMNS)]


def drawn(rows: list[list[_Cell]], theme: Theme) -> str:
    """Return rows as the text of an SVG image."""
    width = round(COLUMNS * _CELL_PX + 2 * _MARGIN_PX)
    height = len(rows) * _ROW_PX + 2 * _MARGIN_PX
    texts = []
    for number, row in enumerate(rows):
        y = _MARGIN_PX + number * _ROW_PX + _FONT_PX
        column = 0
        for style, run in groupby(row, key=lambda cell: cell[1]):
            text = "".join(char for char, _ in run)
            texts += [
                _text(words[0], style, column + words.start(), y, theme)
                for words in _WORDS.finditer(text)
            ]
            column += len(text)
    newline = "\n"
    frame = f'width="{width - 1}" height="{height - 1}" rx="8"'
    font = "ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace"
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">
<title>The lines of one request: for people, and as MozLog</title>
<rect x="0.5" y="0.5" {frame} fill="{theme.background}" stroke="{theme.border}"/>
<g font-family="{font}" font-size="{_FONT_PX}px">
{newline.join(texts)}
</g>
</svg>
"""


def _text(text: str, style: Style, column: int, y: int, theme: Theme) -> str:
    color = theme.text
    if style.color:
        is_named = style.color in _NAMES
        color = theme.colors[_NAMES.index(style.color)] if is_named else style.color
    elif style.is_dim:
        color = theme.dim
    x = _MARGIN_PX + column * _CELL_PX
    weight = ' font-weight="bold"' if style.is_bold else ""
    # The length keeps columns aligned, whichever font the reader has.
    return (
        f'<text x="{x:.1f}" y="{y}" textLength="{len(text) * _CELL_PX:.1f}" '
        f'lengthAdjust="spacingAndGlyphs" fill="{color}"{weight}>{escape(text, quote=False)}</text>'
    )


if __name__ == "__main__":
    sys.exit(main())
