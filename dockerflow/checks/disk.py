"""Checks of the disk.

::

    checks.register_partial(check_disk_space, "/var/lib/shop", 1 << 30)
"""

from __future__ import annotations

import os
import shutil

from dockerflow import health

from .messages import CheckMessage, Error, Warning  # noqa: A004 - upstream's name

__all__ = ["check_disk_space"]


def check_disk_space(
    path: str | os.PathLike[str], error_below: int, warning_below: int = 0
) -> list[CheckMessage]:
    """Check that a file system has enough free space.

    Args:
        path: A path on the file system.
        error_below: The number of free bytes below which the check fails.
        warning_below: The number of free bytes below which it warns.
    """
    try:
        free = shutil.disk_usage(path).free
    except (OSError, ValueError) as error:
        text = f"The free space at {os.fspath(path)!r} cannot be read: {error}"
        return [Error(text, id=health.ERROR_DISK_UNREADABLE)]
    if free < error_below:
        return [Error(_text(path, free, error_below), id=health.ERROR_DISK_SPACE_LOW)]
    if free < warning_below:
        return [Warning(_text(path, free, warning_below), id=health.WARNING_DISK_SPACE_LOW)]
    return []


def _text(path: str | os.PathLike[str], free: int, wanted: int) -> str:
    return f"{os.fspath(path)!r} has {free:,} bytes free, less than {wanted:,}"
