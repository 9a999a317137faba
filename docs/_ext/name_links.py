"""Leads the names of code on pages to the reference, where one object of it has that name.

In the reference, ``dict_config`` or ``MozlogFormatter.format`` is enough. On other pages only a
whole path is a link, such as ``mozlog_py.context.bind``: short names are mostly words of the text.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

__all__ = ["object_of", "setup"]

_NAME = re.compile(r"[A-Za-z_][\w.]*")
_PACKAGES = ("mozlog_py.", "dockerflow.")


def object_of(text: str, paths: Iterable[str], *, needs_path: bool) -> str | None:
    """Return the path of the one object that a text names; None for no or several objects.

    Args:
        text: The text, with or without parentheses at its end.
        paths: The paths of objects of the reference: all, or those with the same last part.
        needs_path: Whether only a whole path counts.
    """
    name = text.removesuffix("()")
    if not _NAME.fullmatch(name):
        return None
    if name.startswith(_PACKAGES) or needs_path:
        return name if name.startswith(_PACKAGES) and name in paths else None
    if text.isalpha() and text.islower():
        # More often a parameter or a module of another library: ``processors``, ``logging``.
        return None
    found = [path for path in paths if path.endswith(f".{name}")]
    # A method or an attribute needs its class before it: "format" may be anything.
    found = [path for path in found if path.removesuffix(f".{name}").rpartition(".")[2].islower()]
    if len(found) > 1:
        # Upstream's paths have some names of ours.
        found = [path for path in found if path.startswith(_PACKAGES[0])]
    return found[0] if len(found) == 1 else None


def _link(app: Any, doctree: Any, docname: str) -> None:
    from docutils import nodes  # not installed where only object_of() is tested
    from sphinx.util.nodes import make_refnode

    objects = app.env.domains.python_domain.objects
    by_name = defaultdict(list)
    for path in objects:
        by_name[path.rpartition(".")[2]].append(path)
    in_reference = docname.startswith("reference/")
    for literal in list(doctree.findall(nodes.literal)):
        inside = literal.parent
        while inside is not None and not isinstance(inside, (nodes.reference, nodes.title)):
            inside = inside.parent
        text = literal.astext()
        paths = by_name.get(text.removesuffix("()").rpartition(".")[2], ())
        path = object_of(text, paths, needs_path=not in_reference)
        if inside is not None or path is None:
            continue
        found = objects[path]
        link = make_refnode(
            app.builder, docname, found.docname, found.node_id, literal.deepcopy(), path
        )
        literal.replace_self(link)


def setup(app: Any) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("doctree-resolved", _link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
