"""``python -m dockerflow``: runs the command line of ``_cli.command``."""

# Python has put the current folder first in sys.path, and the folder may be a stranger's
# repository. Until it is removed, only modules that are loaded already may be imported.
# ``dockerflow`` itself imports nothing for the same reason. If the folder is in the path a second
# time, it stays there: this package may be installed from it.
import sys

if __name__ == "__main__":
    import os

    try:
        here = os.getcwd()  # noqa: PTH109 - pathlib is not loaded
    except OSError:  # it was removed
        here = ""
    if sys.path and sys.path[0] in ("", os.curdir, here):
        del sys.path[0]

from dockerflow._cli.command import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
