"""The error of an import whose package is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

__all__ = ["needs_extra", "needs_package"]


def needs_extra(extra: str, *packages: str) -> AbstractContextManager[None]:
    """Have an import of a missing package name the extra that installs it.

    Args:
        extra: The extra of this distribution.
        packages: The packages that it installs, as they are imported; the extra's own
            name is one of them.

    Raises:
        ImportError: As the block raises it, with the command in its text.
    """
    return _explained((extra, *packages), f'pip install "mozlog-py[{extra}]"')


def needs_package(package: str, *modules: str) -> AbstractContextManager[None]:
    """Have an import of a missing package say how to install it; no extra has it.

    Args:
        package: The distribution.
        modules: The names that it is imported by, if they differ.

    Raises:
        ImportError: As the block raises it, with the command in its text.
    """
    return _explained(modules or (package,), f"pip install {package}")


@contextmanager
def _explained(packages: tuple[str, ...], command: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        # Not for a module that one of these, or the application, misses itself.
        if missing in packages:
            error.msg = f"{error.msg}: {command}"
        raise
