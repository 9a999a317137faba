"""Count lines of code, without blank lines, comments and docstrings.

    python tools/code_lines.py               each package, and what is longer than it may be
    python tools/code_lines.py FILE ...      each file

A module has at most 400 such lines, and a function at most 60, but for those in ``LONGER``.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("mozlog_py", "dockerflow")
MODULE, FUNCTION = 400, 60
#: The two hot functions, in which a call would cost more than it explains.
LONGER = frozenset({"record_renderer", "method_of", "method"})

_NO_CODE = frozenset(
    {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
)


def code_lines(source: str) -> set[int]:
    """Return the numbers of the lines that have code on them."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and node.body
            and isinstance(node.body[0], ast.Expr)
            and isinstance(node.body[0].value, ast.Constant)
            and isinstance(node.body[0].value.value, str)
        ):
            docstring = node.body[0]
            lines.difference_update(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
    return lines


def too_long(path: Path) -> list[str]:
    """Return what of a module is longer than it may be."""
    source = path.read_text("utf-8")
    lines = code_lines(source)
    place = path.relative_to(ROOT)
    found = [f"{place}: {len(lines)} lines"] if len(lines) > MODULE else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name not in LONGER:
            count = len(lines.intersection(range(node.lineno, (node.end_lineno or 0) + 1)))
            if count > FUNCTION:
                found.append(f"{place}:{node.lineno}: {node.name} has {count} lines")
    return found


def main() -> int:
    """Print the counts; 1 if anything is too long."""
    if sys.argv[1:]:
        for name in sys.argv[1:]:
            print(f"{len(code_lines(Path(name).read_text('utf-8'))):6} {name}")
        return 0
    wrong: list[str] = []
    for package in PACKAGES:
        paths = sorted((ROOT / package).rglob("*.py"))
        total = sum(len(code_lines(path.read_text("utf-8"))) for path in paths)
        print(f"{total:6} {package} ({len(paths)} modules)")
        for path in paths:
            wrong += too_long(path)
    print(*wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
