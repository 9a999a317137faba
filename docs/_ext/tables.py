"""Shapes tables: long names in cells break at their parts, and rows of groups span the table.

The HTML of a page is changed and not its document, whose words are those of the search.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["setup", "shaped"]

# A row that names the group of the rows below it: its other cells are empty.
_GROUP_ROW = re.compile(
    r"<td>(<p><strong>[^\n]*</strong></p>)</td>\s*((?:<td>(?:<p></p>)?</td>\s*)+)</tr>"
)
_CELL = re.compile(r"<td.*?</td>", re.DOTALL)
_LONG_WORD = re.compile(r'(?<=<span class="pre">)[^<]{14,}')
# The end of a part: an underscore at the beginning of a name belongs to it.
_PART = re.compile(r"([/.]|(?<=[^\W_])_+)(?=\w)")


def shaped(html: str) -> str:
    """Return the HTML of a page with its tables shaped."""

    def group(match: re.Match[str]) -> str:
        columns = match[2].count("<td>") + 1
        return f'<td class="group" colspan="{columns}">{match[1]}</td></tr>'

    def word(match: re.Match[str]) -> str:
        return _PART.sub(r"\1<wbr>", match[0])

    def cell(match: re.Match[str]) -> str:
        return _LONG_WORD.sub(word, match[0])

    return _CELL.sub(cell, _GROUP_ROW.sub(group, html))


def _shape(
    _app: Any, _pagename: str, _template: str, context: dict[str, Any], _doctree: object
) -> None:
    if "body" in context:
        context["body"] = shaped(context["body"])


def setup(app: Any) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("html-page-context", _shape)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
