"""A file that is named by its path: opened for append, and opened again when it was moved.

Rotation is left to logrotate and the container's runtime; what is done here is
to follow them without losing a line. The descriptor keeps its number: the new
file takes the place of the old one below it, between two lines.

The path is chosen by the operator, and what stands at it later may not be. The first open
therefore takes what an operator may have put there (a symbolic link, ``/dev/stdout``, a
FIFO with a reader). Opening again takes a regular file that stands there itself.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import stat
import time
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any, AnyStr, Final

from mozlog_py._process.descriptors import DescriptorIdentity, file_of
from mozlog_py._process.self_log import note

__all__ = ["ReopenableFile", "reopen_on_sighup"]

_set_blocking: Final[Callable[[int, bool], None] | None] = getattr(os, "set_blocking", None)
_FLAGS: Final = (
    os.O_WRONLY
    | os.O_APPEND
    | os.O_CREAT
    | getattr(os, "O_CLOEXEC", 0)
    # A terminal does not become the one that controls a daemon.
    | getattr(os, "O_NOCTTY", 0)
    # The open of a FIFO without a reader fails instead of waiting. Writes do wait: the flag
    # is taken off again.
    | (0 if _set_blocking is None else getattr(os, "O_NONBLOCK", 0))
    # Windows: a newline is one byte, and child processes do not inherit the file.
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOINHERIT", 0)
)
_NOFOLLOW: Final[int] = getattr(os, "O_NOFOLLOW", 0)
#: The mode of a file that is made, before the umask: lines may hold personal data.
_MODE: Final = 0o640
#: Links in a row that the kernel follows, and so does this module.
_MAX_LINKS: Final = 40
#: The links of the system to open descriptors; ``/dev/stdout`` leads to one.
_DESCRIPTOR_LINK: Final = re.compile(r"/proc/[^/]+/(?:task/[^/]+/)?fd/\d+|/dev/fd/\d+")
_KINDS: Final = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a directory",
}
#: Seconds between two looks at what the path leads to.
_LOOK_EVERY_S: Final = 0.05
#: Seconds between two attempts to open a path that cannot be opened.
_RETRY_S: Final = 1.0
#: Seconds between two notes of the same text.
_NOTE_EVERY_S: Final = 60.0

_monotonic: Final = time.monotonic
_opened: Final[weakref.WeakSet[ReopenableFile]] = weakref.WeakSet()
# What the app had for the signal before.
_former: list[Callable[[int, FrameType | None], Any]] = []


class FileReplaced(OSError):  # noqa: N818 - it is news, and no mistake
    """It is time to look whether the path leads to another file than the one that is open."""


class ReopenableFile:
    """A file for a sink to write to, whole lines at a time.

    The file is opened for append, and made with mode 0640 less the umask if it does not
    exist. A relative path is one of the directory that is current now: a daemon changes to
    another.

    A path that is a symbolic link now stands for the file that it leads to now: this is
    the file that is opened again, and a link that is put there or changed later is not
    followed. Only the last component of a path is meant; links to directories are followed
    at any time. A file that is no regular one (a FIFO, a device), and the descriptor of a
    process (``/dev/stdout``), is opened once; it is opened again only after foreign code
    has closed it, and only if it is the same file.

    Args:
        path: The path.

    Raises:
        OSError: The file cannot be opened; it is a socket, or a FIFO that no process reads.
    """

    # For ``__del__``, wherever the initialisation fails.
    _descriptor = -1

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Final = os.path.abspath(os.fspath(path))  # noqa: PTH100 - may be bytes
        # What is opened: the path without the links that it is made of now.
        self._target: Final = _without_links(self.path)
        self._is_descriptor_link: Final = _is_descriptor_link(self._target)
        # When to look at the path, as ``time.monotonic()`` has it: before the first line,
        # and before the one after the file was opened again.
        self._due = 0.0
        self._is_reopening_wanted = False
        self._retry_at = 0.0
        self._noted = ""
        self._note_at = 0.0
        try:
            self._descriptor = _open(self._target, is_following=self._is_descriptor_link)
        except OSError as error:
            raise _explained(error, self.path) from None
        found = os.fstat(self._descriptor)
        self._file = file_of(found)
        self._is_reopenable: Final = stat.S_ISREG(found.st_mode) and not self._is_descriptor_link
        #: What the descriptor is recognised by.
        self.identity = DescriptorIdentity(self._descriptor, is_ours=True)
        _opened.add(self)

    def fileno(self) -> int:
        """Return the descriptor, which is another one after foreign code has closed it."""
        if self._descriptor < 0:
            raise ValueError("the file is closed")
        return self._descriptor

    def look(self) -> None:
        """Raise ``FileReplaced`` if it is time to look at the path."""
        if _monotonic() >= self._due:
            raise FileReplaced

    def request_reopen(self) -> None:
        """Have the file opened again before the next line; may be called from anywhere."""
        self._is_reopening_wanted = True
        self._due = 0.0

    def reopen_if_moved(self) -> None:
        """Have the descriptor be that of the file at the path.

        If the path cannot be opened again, or has something else than a regular file, the
        old file stays, wherever it was moved, and a note says so. If the descriptor's number
        is another file's by now, that file is left alone.

        Raises:
            ValueError: The file was closed by ``close``.
            OSError: The descriptor is lost, and the path cannot be opened again.
        """
        if self._descriptor < 0:
            raise ValueError("the file is closed")
        is_ours = self.identity.is_same()
        now = _monotonic()
        if is_ours:
            if now < self._due:
                return
            self._due = now + _LOOK_EVERY_S
            if now < self._retry_at or not self._is_to_be_reopened():
                return
        try:
            self._reopen(is_ours=is_ours)
        except OSError as error:
            self._retry_at = now + _RETRY_S
            self._note(f"{os.fsdecode(self.path)} cannot be opened again: {error}")
            if not is_ours:
                raise

    def flush(self) -> None:
        """Do nothing: nothing is kept back."""

    def close(self) -> None:
        """Close the file. Lines for it are lost from here on, and counted."""
        if self._descriptor >= 0:
            is_ours = self.identity.is_same()
            descriptor, self._descriptor = self._descriptor, -1
            # The number belongs to another file now, which stays open.
            if is_ours:
                os.close(descriptor)
        self._due = 0.0

    def _is_to_be_reopened(self) -> bool:
        if not self._is_reopenable:
            return False
        if self._target != self.path and not self._leads_here():
            self._note(
                f"{os.fsdecode(self.path)} leads to another file than at the start. A changed "
                f"symbolic link is not followed: lines go on to {os.fsdecode(self._target)}. "
                "Restart the service, or set the handler's stream again"
            )
        return self._is_reopening_wanted or not self._is_there()

    def _is_there(self) -> bool:
        try:
            return file_of(os.lstat(self._target)) == self._file
        except OSError:
            return False

    def _leads_here(self) -> bool:
        try:
            # The texts, and not the files: in the middle of a rotation there is none.
            return _without_links(self.path) == self._target
        except OSError:
            return True

    def _reopen(self, *, is_ours: bool) -> None:
        opened = _open(self._target, is_following=self._is_descriptor_link)
        try:
            found = os.fstat(opened)
            self._check(found)
            file = file_of(found)
            identity = DescriptorIdentity(opened, is_ours=True)
            if is_ours:
                # In the place of the old one, so that no other file gets its number meanwhile.
                os.dup2(opened, self._descriptor, inheritable=False)
        except BaseException:
            os.close(opened)
            raise
        if is_ours:
            os.close(opened)
            identity = identity.at(self._descriptor)
        else:
            self._descriptor = opened
        self._file, self.identity = file, identity
        self._is_reopening_wanted = False
        self._due = 0.0

    def _check(self, found: os.stat_result) -> None:
        """Raise ``OSError`` for a file that may not take the place of the first one."""
        if self._is_reopenable:
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, f"it is {_kind(found.st_mode)} by now, and no file")
        elif file_of(found) != self._file:
            raise OSError(errno.ESTALE, "it is another file by now")

    def _note(self, text: str) -> None:
        now = _monotonic()
        if text != self._noted or now >= self._note_at:
            self._noted, self._note_at = text, now + _NOTE_EVERY_S
            note(text)

    def __del__(self) -> None:
        self.close()


def reopen_on_sighup() -> None:
    """Open all paths anew on SIGHUP, as daemons do; then what was set for it before.

    Does nothing outside the main thread, which alone may set signals' handlers, and where
    there is no such signal.
    """
    if not hasattr(signal, "SIGHUP"):
        return
    former = signal.getsignal(signal.SIGHUP)
    if former is _reopen_all:
        return
    try:
        signal.signal(signal.SIGHUP, _reopen_all)
    except ValueError:
        return
    _former[:] = [former] if callable(former) else []


def _reopen_all(number: int, frame: FrameType | None) -> None:
    for stream in list(_opened):
        # Only a mark: the handler may stand in the middle of a write.
        stream.request_reopen()
    for former in _former:
        former(number, frame)


def _open(path: str | bytes, *, is_following: bool) -> int:
    """Open a file for append, without waiting for whatever is there.

    Args:
        path: The path.
        is_following: Whether a symbolic link is followed, which only a link to a
            descriptor is.

    Returns:
        The descriptor. Writes to it wait.

    Raises:
        OSError: It cannot be opened.
    """
    if not is_following and not _NOFOLLOW and os.path.islink(path):  # noqa: PTH114 - may be bytes
        raise _link_error()
    try:
        descriptor = os.open(path, _FLAGS | (0 if is_following else _NOFOLLOW), _MODE)
    except OSError as error:
        # FreeBSD says EMLINK.
        is_link = error.errno in (errno.ELOOP, errno.EMLINK)
        raise (_link_error() if is_link and not is_following else error) from None
    if _set_blocking is not None:
        _set_blocking(descriptor, True)
    return descriptor


def _link_error() -> OSError:
    return OSError(errno.ELOOP, "it is a symbolic link by now, which is not followed")


def _explained(error: OSError, path: str | bytes) -> OSError:
    """Return the error of the first open, which says what stands at the path."""
    if error.errno != errno.ENXIO:
        return error
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - may be bytes
    except OSError:
        return error
    if stat.S_ISFIFO(mode):
        why = "it is a FIFO that no process reads; start its reader before the service"
    elif stat.S_ISSOCK(mode):
        why = "it is a socket, which cannot be opened by its path; for stdout leave stream out"
    else:
        return error
    return OSError(errno.ENXIO, why, path)


def _without_links(path: AnyStr) -> AnyStr:
    """Return where a path leads to, if its last component is a symbolic link.

    Links to directories stay in it. A link to a descriptor stays as it is: what it reads
    as (``pipe:[123]``) is no path.
    """
    for _ in range(_MAX_LINKS):
        if _is_descriptor_link(path):
            return path
        try:
            leads_to = os.readlink(path)  # noqa: PTH115 - may be bytes
        except (OSError, ValueError):
            # No link, or nothing there, or nothing that has links.
            return path
        path = os.path.join(os.path.dirname(path), leads_to)  # noqa: PTH118, PTH120 - as above
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def _is_descriptor_link(path: str | bytes) -> bool:
    # The directory may be a link: /dev/fd is one to /proc/self/fd.
    directory, name = os.path.split(os.fsdecode(path))
    if not name.isdecimal():
        return False
    return _DESCRIPTOR_LINK.fullmatch(f"{os.path.realpath(directory)}/{name}") is not None


def _kind(mode: int) -> str:
    return _KINDS.get(stat.S_IFMT(mode), "something else")
