"""Draws the flowcharts of pages as SVG: the site needs neither a script nor a network for them.

A forge draws a ``mermaid`` block by itself. This extension reads the part of that language that
the pages use: ``flowchart TD``, and lines such as ``a["text"] --> b["text"]``.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

__all__ = ["draw", "setup"]

_EDGE = re.compile(r"(\w+)(?:\[\"(.+?)\"\])?\s*-->\s*(\w+)(?:\[\"(.+?)\"\])?")
# Sizes in units of the drawing; one is a pixel where the drawing is not scaled.
_CHARACTER, _PADDING, _HEIGHT, _GAP_X, _GAP_Y = 7.3, 12, 30, 18, 38


def draw(source: str) -> str:
    """Return an SVG of a flowchart.

    Raises:
        ValueError: A line is not of the known part of the language.
    """
    texts: dict[str, str] = {}
    edges: list[tuple[str, str]] = []
    first, *lines = [line.strip() for line in source.strip().splitlines()]
    if first != "flowchart TD":
        raise ValueError(f"a flowchart begins with {first!r}; only 'flowchart TD' is drawn")
    for line in filter(None, lines):
        match = _EDGE.fullmatch(line)
        if match is None:
            raise ValueError(f"the line {line!r} of a flowchart is not drawn; write a --> b")
        for name, text in ((match[1], match[2]), (match[3], match[4])):
            texts[name] = text or texts.get(name, name)
        edges.append((match[1], match[3]))
    rows = _rows(list(texts), edges)
    widths = {name: len(text) * _CHARACTER + 2 * _PADDING for name, text in texts.items()}
    total = max(sum(widths[each] + _GAP_X for each in row) for row in rows)
    boxes: dict[str, tuple[float, float]] = {}  # the middle of the upper edge
    for number, row in enumerate(rows):
        x = (total - sum(widths[each] + _GAP_X for each in row)) / 2 + _GAP_X / 2
        for name in row:
            boxes[name] = (x + widths[name] / 2, number * (_HEIGHT + _GAP_Y) + 2)
            x += widths[name] + _GAP_X
    height = len(rows) * (_HEIGHT + _GAP_Y) - _GAP_Y + 4
    parts: list[str] = []
    parts.append(
        f'<svg class="flowchart" viewBox="0 0 {total:.0f} {height}" role="img" '
        f'style="width: {total:.0f}px" xmlns="http://www.w3.org/2000/svg">'
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
    )
    for start, end in edges:
        (x1, y1), (x2, y2) = boxes[start], boxes[end]
        y1 += _HEIGHT
        bend = (y2 - y1) / 2
        parts.append(
            f'<path class="edge" marker-end="url(#arrow)" d="M{x1:.0f} {y1:.0f}'
            f'C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} {x2:.0f} {y2 - 1:.0f}"/>'
        )
    for name, (x, y) in boxes.items():
        parts.append(
            f'<rect x="{x - widths[name] / 2:.0f}" y="{y:.0f}" width="{widths[name]:.0f}" '
            f'height="{_HEIGHT}" rx="5"/><text x="{x:.0f}" y="{y + 20:.0f}">'
            f"{escape(texts[name])}</text>"
        )
    return "".join(parts) + "</svg>"


def _rows(names: list[str], edges: list[tuple[str, str]]) -> list[list[str]]:
    """Return the names in rows: each one below all that lead to it."""
    level = dict.fromkeys(names, 0)
    for _ in names:
        for start, end in edges:
            level[end] = max(level[end], level[start] + 1)
    if max(level.values(), default=0) >= len(names):
        raise ValueError("the arrows of a flowchart lead in a circle")
    rows: list[list[str]] = [[] for _ in range(max(level.values()) + 1)]
    for name in names:
        rows[level[name]].append(name)
    # Below the middle of what leads to it, so that few arrows cross.
    place = {name: float(number) for row in rows for number, name in enumerate(row)}
    for row in rows[1:]:
        for name in row:
            before = [place[start] for start, end in edges if end == name]
            place[name] = sum(before) / len(before)
        row.sort(key=place.__getitem__)
        place.update({name: float(number) for number, name in enumerate(row)})
    return rows


def _replace(_app: Any, doctree: Any) -> None:
    from docutils import nodes  # not installed where only draw() is tested

    for block in list(doctree.findall(nodes.literal_block)):
        if block.get("language") == "mermaid":
            picture = nodes.raw("", f'<div class="wide">{draw(block.astext())}</div>')
            picture["format"] = "html"
            block.replace_self(picture)


def setup(app: Any) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("doctree-read", _replace)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
