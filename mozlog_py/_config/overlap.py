"""The distribution ``dockerflow`` installed beside ours: both have a package of that name.

Whichever was installed last has written its files over the other's, and to uninstall
one deletes files of both. That is said once a process, in a line, when logging or an
adapter is set up; at import it would be a warning, which can end a process.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from typing import Final

__all__ = ["FILES_OF_OURS", "MARKER", "overlap", "warn_of_overlap"]

#: A name of our ``dockerflow/__init__.py`` that no other distribution's has.
MARKER: Final = "_IS_OF_MOZLOG_PY"

#: Files of our package ``dockerflow`` that the other distribution does not have, and an
#: application's own package of that name hardly all.
FILES_OF_OURS: Final = ("endpoints.py", "request_id.py", "summary.py")

_PACKAGE: Final = "dockerflow"
# Source: PyPA, Recording installed projects, the .dist-info directory.
_METADATA: Final = re.compile(r"dockerflow-(?P<version>[^-]+)(-.*)?\.(dist|egg)-info")
_REPAIR: Final = "pip install --force-reinstall --no-deps mozlog-py"
_logger: Final = logging.getLogger("mozlog_py")


class _State:
    """Whether it was said in this process."""

    is_said = False


def warn_of_overlap() -> None:
    """Log a warning, once a process, where ``overlap`` finds something. Never raises."""
    if _State.is_said:
        return
    _State.is_said = True
    try:
        text = overlap()
    except Exception:
        # An importer or an installation of a kind of its own is no reason to fail.
        return
    if text is not None:
        _logger.warning("%s", text)


def overlap() -> str | None:
    """Return what is wrong with the package ``dockerflow``, and how to repair it; else None."""
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
    """Return the version of an installed distribution ``dockerflow``, None without one."""
    # importlib.metadata knows it as well, and takes longer to import than all of this package.
    for place in sys.path:
        try:
            names = os.listdir(place or os.curdir)  # noqa: PTH208 - as below
        except OSError:
            # Not there, or an archive.
            continue
        for name in names:
            found = _METADATA.fullmatch(name)
            if found is not None:
                return found["version"]
    return None


def _has_marker() -> bool | None:
    """Return whether the package ``dockerflow`` is ours; None where it does not exist."""
    module = sys.modules.get(_PACKAGE)
    if module is not None:
        return hasattr(module, "__path__") and MARKER in vars(module)
    from importlib.util import find_spec

    spec = find_spec(_PACKAGE)
    if spec is None:
        return None
    if spec.origin is None:
        # A folder without __init__.py: files of ours that were left behind.
        return False
    # Not imported to find out: that is the application's decision.
    get_source = getattr(spec.loader, "get_source", None)
    if get_source is not None:
        source = get_source(_PACKAGE)
        return source is None or MARKER in source
    # pytest has a loader of its own for the packages of its plug-ins.
    with open(spec.origin, "rb") as file:  # noqa: PTH123 - pathlib takes long to import
        return MARKER.encode() in file.read()


def _has_files_of_ours() -> bool:
    """Return whether modules that only our package ``dockerflow`` has are where it is found."""
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
