"""``python -m dockerflow``: the command line, see ``command``."""

# Python has put the current folder first in sys.path. Nothing but what is loaded already may be
# imported before it is taken out: the folder may be a stranger's repository. ``dockerflow``
# itself imports nothing for the same reason.
import sys

if __name__ == "__main__":
    import os

    try:
        here = os.getcwd()  # noqa: PTH109 - pathlib is not loaded
    except OSError:  # it was removed
        here = ""
    sys.path[:] = [folder for folder in sys.path if folder not in ("", os.curdir, here)]

from .command import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
