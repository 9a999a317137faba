"""``python -m dockerflow``: the command line, see ``command``."""

# Python has put the current folder first in sys.path. Nothing but what is loaded already may be
# imported before it is taken out: the folder may be a stranger's repository. ``dockerflow``
# itself imports nothing for the same reason. Where it is in the path a second time, it is there
# on purpose: this package may be installed from there.
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
