"""Calls a function when a module is imported, without importing it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import get_ident
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec

__all__ = ["call_when_imported", "import_structlog", "is_awaited"]

# Where the loaders of the standard library for files are defined.
_OF_FILES: Final = "_frozen_importlib_external"

_Callback = Callable[[ModuleType], None]


def call_when_imported(name: str, callback: _Callback) -> None:
    """Call a function with a module: now if it is imported, else after its import.

    Args:
        name: The module's full name.
        callback: Called once. The import raises its exceptions.
    """
    module = sys.modules.get(name)
    if module is not None:
        callback(module)
        return
    for finder in sys.meta_path:
        if type(finder) is _Finder and finder.name == name:
            finder.callback = callback
            return
    sys.meta_path.insert(0, _Finder(name, callback))


def import_structlog() -> None:
    """Import structlog, if that is possible now."""
    try:
        import structlog  # noqa: F401
    except ValueError:
        # structlog asks whether ``sys.stdout`` is a terminal, and a closed one raises. A later
        # import calls the function that waits for it.
        pass


def is_awaited(name: str) -> bool:
    """Return whether a function will be called when a module is imported."""
    return any(type(finder) is _Finder and finder.name == name for finder in sys.meta_path)


class _Finder:
    """A finder that notices the import of one module."""

    def __init__(self, name: str, callback: _Callback) -> None:
        self.name: Final = name
        self.callback = callback
        # The threads that are asking the other finders.
        self._asking: Final[set[int]] = set()

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        """Return the module's spec from the other finders, with the callback after execution."""
        thread = get_ident()
        if name != self.name or thread in self._asking:
            return None
        from importlib.util import find_spec  # already loaded by the import in progress

        self._asking.add(thread)
        try:
            spec = find_spec(name)
        finally:
            self._asking.discard(thread)
        if spec is not None and spec.loader is not None:
            loader, execute = spec.loader, spec.loader.exec_module

            def execute_and_call(module: ModuleType) -> None:
                execute(module)
                # Not before: a caller may ask for the spec alone, and import the module later.
                # The loader of an archive may load other modules, too.
                if module.__name__ == self.name and self in sys.meta_path:
                    sys.meta_path.remove(self)
                    self.callback(module)

            if type(loader).__module__ == _OF_FILES:
                vars(loader)["exec_module"] = execute_and_call
            else:
                # The loader of frozen modules is a class, and those of compilers have no dict.
                # The dict of wrapt's proxies is that of the loader that they call.
                spec.loader = cast("Loader", _CallingLoader(loader, execute_and_call))
        return spec


class _CallingLoader:
    """A loader with another ``exec_module``."""

    def __init__(self, loader: Loader, execute: _Callback) -> None:
        self._loader: Final = loader
        self.exec_module: Final = execute

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
