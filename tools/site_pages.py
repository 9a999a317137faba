"""The order of the documentation's pages: for the navigation, the front page and ``llms.txt``.

    python tools/site_pages.py            writes docs/llms.txt and the list of docs/index.md
    python tools/site_pages.py --check    says what is out of date, with status 1

``docs/conf.py`` builds the navigation of the site with ``children``. A new page needs no entry
here: it follows the pages that its section links to. Each page is found, so that none is an orphan.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["DOCS", "SECTIONS", "children", "front_page", "llms_text", "pages_below"]

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"

#: The sections in the order of the navigation: the page, its name there, and its line on the front
#: page. A page that does not exist is left out.
SECTIONS = (
    ("start/index.md", "Start", "five minutes with your framework, script or worker"),
    ("migrate.md", "Migrate from dockerflow", "five steps, with the imports that you have"),
    ("cookbook/index.md", "Cookbook", "short recipes, from Sentry to Kubernetes probes"),
    ("concepts.md", "Concepts", "MozLog, Dockerflow and the context on one page"),
    ("guides.md", "Guides", "one page for each part, with all of its behaviour"),
    ("reference/index.md", "Reference", "each public module, class and function"),
    ("settings.md", "Settings", "each setting, argument and environment variable in one table"),
    ("differences.md", "Differences", "what upstream's `dockerflow` does otherwise"),
    ("benchmarks.md", "Benchmarks", "how long a call takes, here and in other libraries"),
    ("faults.md", "Faults", "what happens to lines on full disks, closed pipes and signals"),
    ("design/index.md", "Design", "for contributors: where each thing is, and why"),
    ("changelog.md", "Changelog", "what has changed"),
)
# A page of this name has the pages of its folder that no section lists.
_COLLECTS_THE_REST = "guides.md"

_BEGIN, _END = "<!-- pages:begin -->\n", "<!-- pages:end -->\n"
_LINK = re.compile(r"\]\(([^)#:\s]+\.md)(?:#[^)\s]*)?\)")
_FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*\n", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
_MARKUP = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|(?<!\w)\*+(\S[^*]*)\*+")
_SENTENCE_END = re.compile(r"(?<=[\w)`\"][.:!?])\s+(?=[A-Z`\"(]|$)|:$")

_ABOUT = """\
# mozlog-py

> Structured logging for Python services: each log call becomes one line of MozLog 2.0 JSON,
> with `logging` or structlog. The package `dockerflow` adds request summaries, request ids and
> health checks for Flask, Django, FastAPI, Starlette, aiohttp, Sanic, ASGI and WSGI. It has the
> import paths of Mozilla's `dockerflow`.
"""


def main() -> int:
    """Write or check the files; return 1 if a checked file is out of date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    index = DOCS / "index.md"
    status = 0
    for path, text in (
        (index, front_page(index.read_text("utf-8"))),
        (DOCS / "llms.txt", llms_text()),
    ):
        if path.exists() and path.read_text("utf-8") == text:
            continue
        if options.check:
            place = path.relative_to(ROOT)
            print(f"{place} is out of date; write it with: python tools/site_pages.py")
            status = 1
        else:
            path.write_text(text, "utf-8")
    return status


def children(page: str) -> list[str]:
    """Return the pages below a page in the navigation, as paths below ``docs``.

    The pages below the front page are the sections. Below the index of a folder are the pages of
    that folder: first those that the index links to, in its order, then the others by name.
    """
    if page == "index.md":
        return [each for section, _, _ in SECTIONS for each in _present(section)]
    path = DOCS / page
    if path.name not in ("index.md", _COLLECTS_THE_REST):
        return []
    sections = {section for section, _, _ in SECTIONS} | {"index.md"}
    own = {
        found.relative_to(DOCS).as_posix()
        for found in path.parent.glob("*.md")
        if found.relative_to(DOCS).as_posix() not in sections
    }
    linked = [
        (path.parent / target).resolve().relative_to(DOCS).as_posix()
        for target in _LINK.findall(path.read_text("utf-8"))
        if (path.parent / target).resolve().is_relative_to(DOCS)
    ]
    return list(dict.fromkeys([each for each in linked if each in own] + sorted(own)))


def _present(section: str) -> list[str]:
    """Return a section's page; without it, the pages of its folder."""
    if (DOCS / section).exists():
        return [section]
    folder = (DOCS / section).parent
    if folder == DOCS:
        return []
    return sorted(found.relative_to(DOCS).as_posix() for found in folder.glob("*.md"))


def pages_below(page: str) -> Iterator[str]:
    """Return an iterator of a page and all pages below it, in the order of the navigation."""
    yield page
    for child in children(page):
        yield from pages_below(child)


def front_page(text: str) -> str:
    """Return the text of the front page with its list of sections made anew."""
    head, _, rest = text.partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    names = {section: (name, line) for section, name, line in SECTIONS}
    lines = []
    for section in children("index.md"):
        if section not in names:
            continue
        name, line = names[section]
        lines.append(f"- [{name}]({section}): {line}.\n")
    return f"{head}{_BEGIN}\n{''.join(lines)}\n{_END}{tail}"


def llms_text() -> str:
    """Return the text of ``llms.txt``: each page with its title and its first sentence."""
    parts = [_ABOUT]
    names = {section: name for section, name, _ in SECTIONS}
    for section in children("index.md"):
        if section in names:
            parts.append(f"\n## {names[section]}\n\n")
        parts += [_entry(page) for page in pages_below(section)]
    return "".join(parts)


def _entry(page: str) -> str:
    text = _COMMENT.sub("", _FENCE.sub("\n", (DOCS / page).read_text("utf-8")))
    title, _, rest = text.partition("\n")
    title = title.lstrip("# ").strip()
    sentence = ""
    for block in re.split(r"\n\s*\n", rest):
        if re.match(r"\s*(?:$|[#|>]|<|\()", block):
            continue
        text = re.sub(r"\A\s*(?:[-*+]|\d+\.) ", "", block)
        plain = " ".join(_MARKUP.sub(lambda match: match[1] or match[2], text).split())
        sentence = _SENTENCE_END.split(plain, maxsplit=1)[0].rstrip(".:")
        break
    return f"- [{title}]({page})" + (f": {sentence}.\n" if sentence else "\n")


if __name__ == "__main__":
    sys.exit(main())
