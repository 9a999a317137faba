"""Check the words of the documentation, the docstrings, the comments and the error messages.

    python tools/prose.py            names each word that a reader has to guess the meaning of
    python tools/prose.py --long     also lists the sentences of more than 30 words

A pronoun hides which thing acts: the sink, the caller, the writing thread. Blocks of code and
samples of output in the documentation are left out.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("*.md", "docs/**/*.md", ".github/**/*.md")
SOURCES = ("mozlog_py", "dockerflow", "tests", "benchmarks", "examples", "tools")

WORDS = re.compile(
    r"\b(?:whoever|whomever|somebody|someone|anybody|anyone|nobody|no-one"
    r"|(?-i:that is none))(?:'s)?\b",
    re.IGNORECASE,
)
#: Verbs that say nothing of what a function does.
BEGINNINGS = re.compile(r"(?:Gives?|Tells?(?: whether)?)\b")
MOST_WORDS = 30

_BLOCK = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"``[^`]+``|`[^`\n]+`")
_SENTENCE_END = re.compile(
    r"(?<=[.:;!?])\s+|(?<=[.!?]\*\*)\s+|\n\s*\n|\n\s*[-*|#]\s*|\s\|\s|\n(?=``|===)"
)

#: A place, a text.
Text = tuple[str, int, str]


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", action="store_true", help="list long sentences as well")
    options = parser.parse_args()
    wrong = 0
    for place, line, what in faults(texts()):
        wrong += 1
        print(f"{place}:{line}: {what}")
    if options.long:
        for place, line, sentence in long_sentences(texts()):
            print(f"{place}:{line}: {len(sentence.split())} words: {sentence[:70]} ...")
    return 1 if wrong else 0


def faults(found: Iterator[Text]) -> Iterator[tuple[str, int, str]]:
    """Return an iterator of the place, the line and the fault of each word."""
    for place, first, text in found:
        for match in WORDS.finditer(text):
            line = first + text.count("\n", 0, match.start())
            yield place, line, f'"{match[0]}": name the thing that acts'
        verb = BEGINNINGS.match(text, 1) if text.startswith("\0") else None
        if verb:
            yield place, first, f'a docstring that begins with "{verb[0]}": say Return, Write ...'


def long_sentences(found: Iterator[Text]) -> Iterator[Text]:
    """Return an iterator of the sentences of more than ``MOST_WORDS`` words."""
    for place, first, text in found:
        for sentence in _SENTENCE_END.split(text):
            if len(sentence.split()) > MOST_WORDS:
                line = first + text.count("\n", 0, text.find(sentence))
                yield place, line, " ".join(sentence.split())


def texts() -> Iterator[Text]:
    """Return an iterator of all texts; that of a docstring begins with a NUL."""
    for pattern in PAGES:
        for path in sorted(ROOT.glob(pattern)):
            if not any(part.startswith((".venv", ".matrix")) for part in path.parts):
                yield path.relative_to(ROOT).as_posix(), 1, _prose_of(path.read_text("utf-8"))
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            # Here the words are what is looked for.
            place = path.relative_to(ROOT)
            if path != Path(__file__) and not any(part.startswith(".") for part in place.parts):
                yield from _texts_of(place.as_posix(), path.read_text("utf-8"))


def _prose_of(page: str) -> str:
    def blank(match: re.Match[str]) -> str:
        return "\n" * match[0].count("\n")

    return _CODE.sub("code", _BLOCK.sub(blank, page))


def _texts_of(place: str, source: str) -> Iterator[Text]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = set()
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            text = node.body[0]
            docstrings.add(text.lineno)
            yield place, text.lineno, "\0" + _CODE.sub("code", ast.get_docstring(node) or "")
    if not place.startswith("tests/"):
        # What tests compare with is data.
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and " " in node.value
                and node.lineno not in docstrings
            ):
                yield place, node.lineno, node.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield place, token.start[0], token.string


if __name__ == "__main__":
    sys.exit(main())
