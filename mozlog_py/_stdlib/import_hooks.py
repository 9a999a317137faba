"""Calls a function when a module is imported, without importing it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

__all__ = ["call_when_imported"]

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


class _Finder:
    """A finder that notices the import of one module."""

    def __init__(self, name: str, callback: _Callback) -> None:
        self.name: Final = name
        self.callback = callback
        self._is_asking = False

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        """Return the module's spec from the other finders, with the callback after execution."""
        if name != self.name or self._is_asking:
            return None
        from importlib.util import find_spec  # already loaded by the import in progress

        self._is_asking = True
        try:
            spec = find_spec(name)
        finally:
            self._is_asking = False
        if spec is not None and spec.loader is not None:
            loader, execute = spec.loader, spec.loader.exec_module

            def execute_and_call(module: ModuleType) -> None:
                execute(module)
                # Not before: a caller may ask for the spec alone, and import the module later.
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                    self.callback(module)

            vars(loader)["exec_module"] = execute_and_call
        return spec
