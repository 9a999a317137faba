"""Structured logging for Python services, as MozLog 2.0 lines.

::

    log call ──► _fields ──► _values ──► _line ──► sink
                    ▲
                 context

Each stage is a folder. ``_fields`` collects the fields of a call, ``_values`` makes any Python
value plain, ``_line`` encodes the line, ``_sink`` writes it. ``_render`` takes one record through
the first three. ``formatter`` and ``handlers`` are the interface for ``logging``, ``structlog`` is
the one for structlog, and ``config`` sets up both. ``_context`` reads what other libraries bind,
``_redaction`` masks secrets, and ``_pretty`` makes text for people. ``_process`` knows this
process, ``_stdlib`` changes ``logging``, and ``_config`` checks options.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import context
    from ._config.options import OptionError
    from .config import configure, dict_config
    from .formatter import MozlogFormatter
    from .handlers import MozlogHandler
    from .queued import MozlogQueueHandler

__all__ = [
    "MozlogFormatter",
    "MozlogHandler",
    "MozlogQueueHandler",
    "OptionError",
    "__version__",
    "configure",
    "context",
    "dict_config",
]

__version__ = "0.1.0"

# The modules that define the names. A module is imported at the first access to its name: pytest
# imports this package for its plugin, in every project that has it installed.
_MODULES = {
    "MozlogFormatter": "formatter",
    "MozlogHandler": "handlers",
    "MozlogQueueHandler": "queued",
    "OptionError": "_config.options",
    "configure": "config",
    "dict_config": "config",
}

# Hidden from type checkers, which would accept any name of a module with __getattr__.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import and return a public name or a module of the package."""
        if not name.startswith("_"):
            from importlib import import_module

            module = f"{__name__}.{_MODULES.get(name, name)}"
            try:
                found = import_module(module)
            except ModuleNotFoundError as error:
                if error.name != module:
                    raise
            else:
                if name in _MODULES:
                    found = getattr(found, name)
                globals()[name] = found
                return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        """Return all names, also those that are not imported yet."""
        return sorted({*globals(), *__all__})
