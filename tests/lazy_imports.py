"""A plug-in of pytest: the packages are imported lazily, as with ``-X lazy_imports=all``.

    python3.15 -m pytest -p tests.lazy_imports tests/test_formatter.py

The switch for the whole process is too much for pytest, whose own imports have circles.
"""

from __future__ import annotations

import sys
from typing import Any

_PACKAGES = frozenset({"mozlog_py", "dockerflow"})


def is_lazy(importing: str | None, imported: str, fromlist: Any) -> bool:
    """Return whether an import of a module is lazy."""
    return (importing or "").partition(".")[0] in _PACKAGES


if sys.version_info >= (3, 15):
    sys.set_lazy_imports_filter(is_lazy)
    sys.set_lazy_imports("all")
