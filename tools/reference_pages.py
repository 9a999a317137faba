"""The reference pages of the documentation: all public names of all public modules.

    python tools/reference_pages.py            writes docs/reference/*.md
    python tools/reference_pages.py --check    says which pages are out of date, with status 1

A page names the modules and their members. The site's build adds the signatures and docstrings.
A module is public if no part of its path begins with an underscore; its names are ``__all__``.
"""

from __future__ import annotations

import argparse
import ast
import functools
import importlib
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

__all__ = ["PAGES", "Page", "names_of", "public_modules", "rendered"]

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
PACKAGES = ("mozlog_py", "dockerflow")


class Page(NamedTuple):
    """One page of the reference."""

    title: str
    #: The first paragraph; ``llms.txt`` has its first sentence.
    about: str
    modules: tuple[str, ...]


#: The pages by the names of their files, in the order of the navigation.
PAGES = {
    "configuration": Page(
        "Configuration",
        "One call sets up `logging` and structlog. The guide is [logging](../stdlib.md).",
        ("mozlog_py", "mozlog_py.config", "mozlog_py.typing"),
    ),
    "logging": Page(
        "Formatter, handlers and sink",
        "The parts of the set-up for `logging`, for a configuration of your own. The guides are "
        "[logging](../stdlib.md) and [where lines go](../sinks.md).",
        (
            "mozlog_py.formatter", "mozlog_py.handlers", "mozlog_py.queued", "mozlog_py.sink",
            "mozlog_py.recordless",
        ),
    ),
    "structlog": Page(
        "structlog",
        "The renderer, the fast bound logger and the recommended chain for structlog. The guide "
        "is [structlog](../structlog.md).",
        ("mozlog_py.structlog",),
    ),
    "context": Page(
        "Context",
        "Fields that every line of a request, task or block has. The guide is "
        "[context](../context.md).",
        ("mozlog_py.context",),
    ),
    "processors": Page(
        "Processors, redaction and sampling",
        "Processors change or drop an event before its line is made. The guide is "
        "[redaction and sampling](../redaction-and-sampling.md).",
        ("mozlog_py.processors", "mozlog_py.redaction", "mozlog_py.sampling"),
    ),
    "formats": Page(
        "Formats and schemas",
        "The format for people, the format of Cloud Logging, and the validation of MozLog lines.",
        ("mozlog_py.pretty", "mozlog_py.gcp", "mozlog_py.schema"),
    ),
    "servers": Page(
        "Servers and Celery",
        "Functions that make the records of servers and workers lines of the application. The "
        "guide is [servers](../servers.md).",
        ("mozlog_py.servers", "mozlog_py.celery"),
    ),
    "testing": Page(
        "Tests of services",
        "Captured lines and fixtures for tests.",
        ("mozlog_py.testing", "mozlog_py.pytest_plugin"),
    ),
    "django": Page(
        "Django",
        "The application, the middleware, the views and the checks for Django. The guide is "
        "[Dockerflow](../dockerflow.md).",
        (
            "dockerflow.django", "dockerflow.django.apps", "dockerflow.django.middleware",
            "dockerflow.django.views", "dockerflow.django.checks", "dockerflow.django.signals",
        ),
    ),
    "flask": Page(
        "Flask",
        "The extension `Dockerflow(app)`, the checks and the signals for Flask. The guide is "
        "[Dockerflow](../dockerflow.md).",
        (
            "dockerflow.flask", "dockerflow.flask.app", "dockerflow.flask.checks",
            "dockerflow.flask.checks.messages", "dockerflow.flask.signals",
        ),
    ),
    "fastapi": Page(
        "FastAPI",
        "The router and the middlewares for FastAPI. The guide is [Dockerflow](../dockerflow.md).",
        ("dockerflow.fastapi", "dockerflow.fastapi.middleware", "dockerflow.fastapi.views"),
    ),
    "starlette-and-aiohttp": Page(
        "Starlette and aiohttp",
        "The middleware for Starlette and the function `setup` for aiohttp. The guide is "
        "[Dockerflow](../dockerflow.md).",
        ("dockerflow.starlette", "dockerflow.aiohttp"),
    ),
    "sanic": Page(
        "Sanic",
        "The extension `Dockerflow(app)` and the checks for Sanic. The guide is "
        "[Dockerflow](../dockerflow.md).",
        ("dockerflow.sanic", "dockerflow.sanic.app", "dockerflow.sanic.checks"),
    ),
    "asgi-and-wsgi": Page(
        "ASGI and WSGI",
        "Middlewares for any ASGI or WSGI application. An adapter for another framework is built "
        "on them, as [write an adapter](../adapters.md) shows.",
        ("dockerflow.asgi", "dockerflow.wsgi"),
    ),
    "checks": Page(
        "Health checks",
        "The registry of checks, the messages that checks return, and the built-in checks. The "
        "guide is [Dockerflow](../dockerflow.md).",
        (
            "dockerflow.checks", "dockerflow.checks.registry", "dockerflow.checks.messages",
            "dockerflow.checks.databases", "dockerflow.checks.redis", "dockerflow.checks.http",
            "dockerflow.checks.disk", "dockerflow.health",
        ),
    ),
    "requests": Page(
        "Request ids, summaries and endpoints",
        "The parts that all adapters share: settings, ids, summaries, endpoints and the version.",
        (
            "dockerflow", "dockerflow.settings", "dockerflow.request_id", "dockerflow.summary",
            "dockerflow.endpoints", "dockerflow.version",
        ),
    ),
    "dockerflow-logging": Page(
        "dockerflow.logging",
        "The names that upstream's `dockerflow.logging` has.",
        ("dockerflow.logging",),
    ),
    "parts": Page(
        "Parts",
        "Modules that the others are made of. Their paths are public, but a service seldom "
        "needs them.",
        (
            "mozlog_py.structlog.bound_logger", "mozlog_py.structlog.configure",
            "mozlog_py.structlog.former_paths", "mozlog_py.structlog.lazy_proxy",
            "mozlog_py.structlog.level_classes", "mozlog_py.structlog.levels",
            "mozlog_py.structlog.line_prefix", "mozlog_py.structlog.log_methods",
            "mozlog_py.structlog.logging_changes", "mozlog_py.structlog.other_handlers",
            "mozlog_py.structlog.processor_chain", "mozlog_py.structlog.renderer",
            "mozlog_py.structlog.run_chain", "mozlog_py.structlog.sink_logger",
            "mozlog_py.structlog.output_check", "dockerflow.django.connections",
            "dockerflow.django.live_settings", "dockerflow.django.system_check",
            "dockerflow.sanic.request_tracking", "dockerflow.sanic.served_request",
            "dockerflow.sanic.versions",
        ),
    ),
}  # fmt: skip

_INDEX = """\
# Reference

Each public module, with its signatures and docstrings. [Settings](../settings.md) has all settings
and arguments in one table.

"""


def main() -> int:
    """Write or check the pages; return 1 if a checked page is out of date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    wanted = rendered()
    stale = {path.name for path in FOLDER.glob("*.md")} - wanted.keys()
    stale |= {
        name
        for name, text in wanted.items()
        if not (FOLDER / name).exists() or (FOLDER / name).read_text("utf-8") != text
    }
    if options.check:
        for name in sorted(stale):
            print(
                f"docs/reference/{name} is out of date; write it with: "
                "python tools/reference_pages.py"
            )
        return 1 if stale else 0
    for name in stale:
        if name in wanted:
            (FOLDER / name).write_text(wanted[name], "utf-8")
        else:
            (FOLDER / name).unlink()
    return 0


@functools.cache
def public_modules() -> tuple[str, ...]:
    """Return the names of all public modules."""
    modules = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if parts[-1] == "__init__":
                parts = parts[:-1]
            if not any(part.startswith("_") for part in parts):
                modules.append(".".join(parts))
    return tuple(modules)


@functools.cache
def names_of(module: str) -> dict[str, str]:
    """Return the names of a module's ``__all__``, each with the public module that has it."""
    found = importlib.import_module(module)
    own = _defined(module)
    return {
        name: module if name in own else _definer(name, getattr(found, name))
        for name in found.__all__
    }


def rendered() -> dict[str, str]:
    """Return the texts of all pages by the names of their files."""
    pages = {}
    index = [_INDEX]
    for file, page in PAGES.items():
        parts = [f"# {page.title}\n\n{page.about}\n"]
        parts += [_section(module) for module in page.modules]
        pages[f"{file}.md"] = "".join(parts)
        links = ", ".join(f"[`{each}`]({file}.md#{_anchor(each)})" for each in page.modules)
        index.append(f"- [{page.title}]({file}.md): {links}\n")
    pages["index.md"] = "".join(index)
    return pages


def _section(module: str) -> str:
    names = names_of(module)
    own = [name for name, definer in names.items() if definer == module]
    lines = ["", f"## {module}", "", "```{eval-rst}", f".. automodule:: {module}"]
    if own:
        lines += [f"   :members: {', '.join(own)}", "   :undoc-members:"]
    lines += ["```", ""]
    others = {name: definer for name, definer in names.items() if definer != module}
    if others:
        lines += ["Also here:" if own else "All names are defined in other modules:", ""]
        for definer in dict.fromkeys(others.values()):
            here = ", ".join(f"`{name}`" for name in others if others[name] == definer)
            lines.append(f"- {here}: see {_link(definer)}")
        lines.append("")
    return "\n".join(lines)


def _link(definer: str) -> str:
    file = next(file for file, page in PAGES.items() if definer in page.modules)
    return f"[`{definer}`]({file}.md#{_anchor(definer)})"


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")


def _definer(name: str, value: object) -> str:
    """Return the public module that a name is documented with.

    It is the one that defines the name. For a name of a private module, it is the one with the
    longest path of those that have the name in ``__all__``.
    """
    if isinstance(value, ModuleType):
        return value.__name__
    having = []
    for module in public_modules():
        found = importlib.import_module(module)
        if name in getattr(found, "__all__", ()) and getattr(found, name) is value:
            if name in _defined(module):
                return module
            having.append(module)
    return max(having, key=lambda module: module.count("."))


@functools.cache
def _defined(module: str) -> frozenset[str]:
    """Return the names that a module's own statements define: imports are left out."""
    path = ROOT / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    names = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            names.add(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return frozenset(names)


if __name__ == "__main__":
    sys.exit(main())
