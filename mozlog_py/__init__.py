"""Structured logging for Python services, as MozLog 2.0 lines.

::

    stdlib LogRecord ──► fields ──► line ──► sink
                           ▲
                        context

The modules are named after the stages: ``fields`` gathers what a record says,
``values`` makes any Python value plain, ``line`` makes the line (``fast`` is
the short way for plain records), ``sink`` writes it. ``formatter`` and
``handlers`` are the fronts for ``logging``, ``structlog`` the one for structlog
(whose event dicts ``events`` reads), and ``config`` sets all of it up.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import context
    from .config import configure, dict_config
    from .formatter import MozlogFormatter
    from .handlers import MozlogHandler
    from .queued import MozlogQueueHandler

__all__ = [
    "MozlogFormatter",
    "MozlogHandler",
    "MozlogQueueHandler",
    "__version__",
    "configure",
    "context",
    "dict_config",
]

__version__ = "0.1.0"

# Where the names are defined. A module is imported when a name of it is asked for: pytest
# imports this package for its plugin, in every project that has it installed.
_MODULES = {
    "MozlogFormatter": "formatter",
    "MozlogHandler": "handlers",
    "MozlogQueueHandler": "queued",
    "configure": "config",
    "dict_config": "config",
}

# Type checkers know the names from above, and no others.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Return a public name or a module of the package, which is imported for it."""
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
        """Return the names, those that are not imported yet included."""
        return sorted({*globals(), *__all__})
