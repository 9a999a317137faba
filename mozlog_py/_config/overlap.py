"""Detects the distribution ``dockerflow`` beside mozlog-py: both have a package ``dockerflow``.

The one that was installed last has overwritten the other's files, and uninstalling one deletes
files of both. A log record says so once a process, when logging or an adapter is set up. At
import only a Python warning could say it, and ``-W error`` turns that into an exception.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from typing import Final

__all__ = ["FILES_OF_OURS", "MARKER", "overlap", "warn_of_overlap"]

#: A name in ``dockerflow/__init__.py`` of mozlog-py, but of no other distribution.
MARKER: Final = "_IS_OF_MOZLOG_PY"

#: Files of mozlog-py's package ``dockerflow`` that the other distribution does not have. An
#: application's own package of that name is unlikely to have all of them.
FILES_OF_OURS: Final = ("endpoints.py", "request_id.py", "summary.py")

_PACKAGE: Final = "dockerflow"
# Source: PyPA, Recording installed projects, the .dist-info directory.
_METADATA: Final = r"dockerflow-(?P<version>[^-]+)(-.*)?\.(dist|egg)-info"
_REPAIR: Final = "pip install --force-reinstall --no-deps mozlog-py"
_logger: Final = logging.getLogger("mozlog_py")


class _State:
    """Whether the warning was logged in this process."""

    is_logged = False


def warn_of_overlap() -> None:
    """Log a warning, once a process, if ``overlap`` finds a problem. Never raises."""
    if _State.is_logged:
        return
    _State.is_logged = True
    try:
        text = overlap()
    except Exception:
        # An unusual importer or installation must not prevent the set-up.
        return
    if text is not None:
        _logger.warning("%s", text)


def overlap() -> str | None:
    """Return the problem of the package ``dockerflow`` and its repair; None without one."""
    version = _version_of_other()
    has_marker = _has_marker()
    if version is not None:
        is_overwritten = has_marker is False
        state = (
            "has overwritten the package dockerflow of mozlog-py"
            if is_overwritten
            else "is installed beside mozlog-py, and both have a package dockerflow"
        )
        return (
            f"The distribution dockerflow {version} {state}: run `pip uninstall dockerflow`, then "
            f"`{_REPAIR}`"
        )
    if has_marker is False and _has_files_of_ours():
        return (
            "Files of mozlog-py's package dockerflow are missing or another's, as after "
            f"`pip uninstall dockerflow`: run `{_REPAIR}`"
        )
    return None


def _version_of_other() -> str | None:
    """Return the version of an installed distribution ``dockerflow``; None without one."""
    # importlib.metadata takes longer to import than this whole package.
    for place in sys.path:
        try:
            names = os.listdir(place or os.curdir)  # noqa: PTH208 - as below
        except OSError:
            # The folder does not exist, or is an archive.
            continue
        for name in names:
            # The expression is compiled only for the few names that may match.
            if name.startswith(_PACKAGE) and (found := re.fullmatch(_METADATA, name)):
                return found["version"]
    return None


def _has_marker() -> bool | None:
    """Return whether the package ``dockerflow`` is mozlog-py's; None if it does not exist."""
    module = sys.modules.get(_PACKAGE)
    if module is not None:
        return hasattr(module, "__path__") and MARKER in vars(module)
    from importlib.util import find_spec

    spec = find_spec(_PACKAGE)
    if spec is None:
        return None
    if spec.origin is None:
        # A folder without __init__.py: an uninstallation has left files there.
        return False
    # Read, and not imported: the application decides what is imported.
    get_source = getattr(spec.loader, "get_source", None)
    if get_source is not None:
        source = get_source(_PACKAGE)
        return source is None or MARKER in source
    # The loader of pytest for packages of plug-ins has no get_source().
    with open(spec.origin, "rb") as file:  # noqa: PTH123 - pathlib takes long to import
        return MARKER.encode() in file.read()


def _has_files_of_ours() -> bool:
    """Return whether the package ``dockerflow`` has files that only mozlog-py's has."""
    module = sys.modules.get(_PACKAGE)
    places = getattr(module, "__path__", None)
    if places is None:
        from importlib.util import find_spec

        spec = find_spec(_PACKAGE)
        places = spec and spec.submodule_search_locations
    return any(
        all(os.path.isfile(f"{place}{os.sep}{name}") for name in FILES_OF_OURS)  # noqa: PTH113 - pathlib takes long to import
        for place in places or ()
    )
