"""The configuration of the documentation's site: ``make docs`` builds it with Sphinx.

The pages are Markdown that a forge shows as well: they have no directives but those of the
reference. The navigation comes from ``tools/site_pages.py``.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

from sphinx import addnodes

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools"), str(DOCS / "_ext")]

import site_pages  # noqa: E402 - found by the path above

from mozlog_py import __version__  # noqa: E402 - this tree's, and not an installed one

project = "mozlog-py"
copyright = "the mozlog-py developers"  # noqa: A001 - Sphinx's name
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "flowchart",
    "name_links",
    "tables",
]
exclude_patterns = ["_ext", "_static"]

# -- pages -------------------------------------------------------------------
myst_heading_anchors = 4
# Samples of output are JSON or a shell's text only by and large: "…" stands for what is left out.
suppress_warnings = ["misc.highlighting_failure"]
nitpicky = True
# Types of other libraries and of private modules have no page here.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!mozlog_py\b|dockerflow\b).*"),
    (r"py:.*", r"(?:mozlog_py|dockerflow)(?:\.\w+)*\._\w+.*"),
]

# -- reference ---------------------------------------------------------------
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"
add_module_names = False
napoleon_numpy_docstring = False
napoleon_use_rtype = False

# -- site --------------------------------------------------------------------
html_theme = "furo"
html_title = f"mozlog-py {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_extra_path = ["llms.txt"]
html_theme_options = {
    "navigation_with_keys": True,
    "light_css_variables": {
        "color-brand-primary": "#0b5cad",
        "color-brand-content": "#0b5cad",
    },
    "dark_css_variables": {
        "color-brand-primary": "#7cb7ff",
        "color-brand-content": "#7cb7ff",
    },
}
pygments_style = "friendly"
pygments_dark_style = "github-dark"

# Pages that show a file of the repository's root. A forge shows a link to the file instead.
_ROOT_FILES = {"changelog": "CHANGELOG.md", "design/contributing": "CONTRIBUTING.md"}
# A link to a file of the root, by the page of the site that has its text.
_PAGES_OF_FILES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "design/contributing.md",
}
_LINK = re.compile(r"\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def _prepare(_app: Any, docname: str, source: list[str]) -> None:
    """Change the text of a page: its file, its links out of the folder, its navigation."""
    path = DOCS / f"{docname}.md"
    folder = path.parent
    text = source[0]
    if docname in _ROOT_FILES:
        text, folder = (ROOT / _ROOT_FILES[docname]).read_text("utf-8"), ROOT

    def link(match: re.Match[str]) -> str:
        target = (folder / match[1]).resolve()
        anchor = match[2] or ""
        if not target.is_relative_to(DOCS):
            if not target.is_relative_to(ROOT) or target.parent != ROOT:
                return match[0]
            page = _PAGES_OF_FILES.get(target.name)
            if page is None:
                return match[0]
            target, anchor = DOCS / page, "" if page == "index.md" else anchor
        elif target.is_dir():
            target /= "index.md"
        return f"]({_relative(target, path.parent)}{anchor})"

    text = _LINK.sub(link, text)
    below = site_pages.children(f"{docname}.md")
    if below:
        names = {section: name for section, name, _ in site_pages.SECTIONS}
        entries = []
        for page in below:
            place = _relative(DOCS / page, path.parent).removesuffix(".md")
            entries.append(f"{names[page]} <{place}>" if page in names else place)
        text += "\n\n```{toctree}\n:hidden:\n\n" + "\n".join(entries) + "\n```\n"
    source[0] = text


def _relative(target: Path, folder: Path) -> str:
    return Path(*[".."] * len(folder.relative_to(DOCS).parts), target.relative_to(DOCS)).as_posix()


# Attributes that docstrings of classes describe under "Attributes:", by the path of the class.
_described: dict[str, set[str]] = {}


def _note_attributes(
    _app: Any, what: str, name: str, _obj: object, _options: object, lines: list[str]
) -> None:
    if what == "class":
        _described[name] = {line.split()[2] for line in lines if line.startswith(".. attribute::")}


def _skip_described(
    app: Any, what: str, name: str, _obj: object, _skip: bool, _options: object
) -> bool | None:
    """Return True for an attribute that would stand twice: in the docstring and by itself."""
    here = app.env.current_document
    path = f"{here.autodoc_module}.{here.autodoc_class}"
    return True if what == "class" and name in _described.get(path, ()) else None


def _choose_formatter(_app: Any, doctree: Any) -> None:
    """Lead annotations to our class: upstream's path has another one of the same name."""
    for reference in doctree.findall(addnodes.pending_xref):
        if reference["reftarget"] == "MozlogFormatter":
            reference["reftarget"] = "mozlog_py.formatter.MozlogFormatter"


def _copy_pages(app: Any, error: Exception | None) -> None:
    """Copy the Markdown of the pages beside their HTML: ``llms.txt`` leads to it."""
    if error is None and app.builder.name == "html":
        for page in site_pages.pages_below("index.md"):
            target = Path(app.outdir) / page
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(DOCS / page, target)
        if (DOCS / "images").exists():
            # Pages show them with HTML, which Sphinx does not read.
            shutil.copytree(DOCS / "images", Path(app.outdir) / "images", dirs_exist_ok=True)


def setup(app: Any) -> dict[str, Any]:
    """Connect the functions above to Sphinx."""
    app.connect("source-read", _prepare)
    # After napoleon, which writes the attributes.
    app.connect("autodoc-process-docstring", _note_attributes, priority=900)
    app.connect("autodoc-skip-member", _skip_described)
    app.connect("doctree-read", _choose_formatter)
    app.connect("build-finished", _copy_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
