"""A file at a path: opened for append, and opened again after it was moved.

logrotate and the container's runtime rotate files; this module follows them without losing a
line. The descriptor keeps its number: ``dup2`` puts the new file in the place of the old one,
between two lines.

The operator chooses the path, but an attacker may control what stands there later. The first
open therefore accepts everything that an operator may have put there (a symbolic link,
``/dev/stdout``, a FIFO with a reader). Each later open accepts a regular file only.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
import time
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any, AnyStr, Final

from mozlog_py._process.descriptors import DescriptorIdentity, file_of
from mozlog_py._process.lazy_pattern import lazy_pattern
from mozlog_py._process.self_log import note
from mozlog_py._process.shared_state import snapshot

__all__ = ["ReopenableFile", "reopen_on_sighup"]

_set_blocking: Final[Callable[[int, bool], None] | None] = getattr(os, "set_blocking", None)
_FLAGS: Final = (
    os.O_WRONLY
    | os.O_APPEND
    | os.O_CREAT
    | getattr(os, "O_CLOEXEC", 0)
    # A terminal must not become the controlling one of a daemon.
    | getattr(os, "O_NOCTTY", 0)
    # The open of a FIFO without a reader fails instead of waiting. The flag is cleared after
    # the open, so that writes wait.
    | (0 if _set_blocking is None else getattr(os, "O_NONBLOCK", 0))
    # Windows: a newline is one byte, and child processes do not inherit the file.
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOINHERIT", 0)
)
_NOFOLLOW: Final[int] = getattr(os, "O_NOFOLLOW", 0)
#: The mode of a new file, before the umask: lines may contain personal data.
_MODE: Final = 0o640
#: Links in a row that the kernel follows, and this module with it.
_MAX_LINKS: Final = 40
#: The system's links to open descriptors; ``/dev/stdout`` leads to one.
_DESCRIPTOR_LINK: Final = lazy_pattern(r"/proc/[^/]+/(?:task/[^/]+/)?fd/\d+|/dev/fd/\d+")
_KINDS: Final = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a directory",
}
#: Seconds between two checks of the file at the path.
_CHECK_EVERY_S: Final = 0.05
#: Seconds between two attempts to open a path that cannot be opened.
_RETRY_S: Final = 1.0
#: Seconds between two notes of the same text.
_NOTE_EVERY_S: Final = 60.0

_monotonic: Final = time.monotonic
_opened: Final[weakref.WeakSet[ReopenableFile]] = weakref.WeakSet()
# The signal handler that the application had set before.
_former: list[Callable[[int, FrameType | None], Any]] = []


class PathCheckDue(OSError):  # noqa: N818 - it is no error
    """The path was not checked for a while: a write has to check it before it goes on.

    The flush of the fast path raises it, so that ``Sink.write`` falls back to ``write_slow``, which
    checks the path. It is an ``OSError``, as what else a flush may raise: each caller of a flush
    goes on with the line after one.
    """


class ReopenableFile:
    """A file that a sink appends whole lines to.

    A new file gets mode 0640 less the umask. A relative path is resolved now, since a daemon
    changes its directory.

    If the path is a symbolic link, its present target is the file that is opened again. A link
    that is created or changed later is not followed. This concerns the last component of the
    path only; links to directories are always followed. A file that is not regular (a FIFO, a
    device, ``/dev/stdout``) is opened once. It is opened again only after foreign code has
    closed its descriptor, and only if it is the same file.

    Args:
        path: The path.

    Raises:
        OSError: The file cannot be opened; it is a socket, or a FIFO that no process reads.
    """

    # For ``__del__``, in case the initialisation fails.
    _descriptor = -1

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Final = os.path.abspath(os.fspath(path))  # noqa: PTH100 - may be bytes
        self._target: Final = _resolve_link(self.path)
        self._is_descriptor_link: Final = _is_descriptor_link(self._target)
        # When to check the path, by ``time.monotonic()``; 0: before the next line.
        self._due = 0.0
        self._is_reopen_requested = False
        self._retry_at = 0.0
        self._noted = ""
        self._note_at = 0.0
        try:
            self._descriptor = _open(self._target, is_following=self._is_descriptor_link)
        except OSError as error:
            raise _open_error(error, self.path) from None
        found = os.fstat(self._descriptor)
        self._file = file_of(found)
        self._is_reopenable: Final = stat.S_ISREG(found.st_mode) and not self._is_descriptor_link
        #: What each write recognises the descriptor by.
        self.identity = DescriptorIdentity(self._descriptor, is_ours=True)
        _opened.add(self)

    def fileno(self) -> int:
        """Return the descriptor; its number changes only if foreign code closes it.

        Raises:
            ValueError: The file is closed.
        """
        if self._descriptor < 0:
            raise ValueError("the file is closed")
        return self._descriptor

    def check_due(self) -> None:
        """Raise ``PathCheckDue`` if it is time to check the path."""
        if _monotonic() >= self._due:
            raise PathCheckDue

    def request_reopen(self) -> None:
        """Have the file opened again before the next line; safe in a signal handler."""
        self._is_reopen_requested = True
        # The path may have been repaired since the last attempt.
        self._retry_at = 0.0
        # Last: a line that another thread writes now must find the others set.
        self._due = 0.0

    def reopen_if_moved(self) -> None:
        """Open the path again if another file stands there, or if it was requested.

        If the open fails or finds no regular file, the old file stays open, and a note says so.
        If the number of the descriptor belongs to another file, that file is left alone.

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
            self._due = now + _CHECK_EVERY_S
            if now < self._retry_at or not self._must_reopen():
                return
        try:
            self._reopen(is_ours=is_ours)
        except OSError as error:
            self._retry_at = now + _RETRY_S
            self._note(f"{os.fsdecode(self.path)} cannot be opened again: {error}")
            if not is_ours:
                raise

    def flush(self) -> None:
        """Do nothing: there is no buffer."""

    def close(self) -> None:
        """Close the file. Later lines are lost and counted."""
        if self._descriptor >= 0:
            is_ours = self.identity.is_same()
            descriptor, self._descriptor = self._descriptor, -1
            # Otherwise the number belongs to another file, which stays open.
            if is_ours:
                os.close(descriptor)
        self._due = 0.0

    def _must_reopen(self) -> bool:
        if not self._is_reopenable:
            return False
        if self._target != self.path and not self._still_leads_to_target():
            self._note(
                f"{os.fsdecode(self.path)} leads to another file than at the start. A changed "
                f"symbolic link is not followed: lines go on to {os.fsdecode(self._target)}. "
                "Restart the service, or set the handler's stream again"
            )
        return self._is_reopen_requested or not self._is_at_path()

    def _is_at_path(self) -> bool:
        try:
            return file_of(os.lstat(self._target)) == self._file
        except OSError:
            return False

    def _still_leads_to_target(self) -> bool:
        try:
            # The texts and not the files: during a rotation there is no file.
            return _resolve_link(self.path) == self._target
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
                # In one step, so that no other file gets the number in between.
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
        self._is_reopen_requested = False
        self._due = 0.0

    def _check(self, found: os.stat_result) -> None:
        """Raise ``OSError`` for a file that must not replace the first one."""
        if self._is_reopenable:
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, f"it is {_kind(found.st_mode)} now, not a regular file")
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
    """Set a handler for SIGHUP that opens all paths again, then calls the former handler.

    The function does nothing outside the main thread, which alone may set signal handlers, and
    on systems without SIGHUP.
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
    for stream in snapshot(_opened):
        # Only a request: the signal may have interrupted a write.
        stream.request_reopen()
    for former in _former:
        former(number, frame)


def _open(path: str | bytes, *, is_following: bool) -> int:
    """Open a file for append, without waiting for the reader of a FIFO.

    Args:
        path: The path.
        is_following: Whether to follow a symbolic link: only for a link to a descriptor.

    Returns:
        The descriptor, in blocking mode.

    Raises:
        OSError: The file cannot be opened.
    """
    if not is_following and not _NOFOLLOW and os.path.islink(path):  # noqa: PTH114 - may be bytes
        raise _link_error()
    try:
        descriptor = os.open(path, _FLAGS | (0 if is_following else _NOFOLLOW), _MODE)
    except OSError as error:
        # FreeBSD raises EMLINK.
        is_link = error.errno in (errno.ELOOP, errno.EMLINK)
        raise (_link_error() if is_link and not is_following else error) from None
    if _set_blocking is not None:
        _set_blocking(descriptor, True)
    return descriptor


def _link_error() -> OSError:
    return OSError(errno.ELOOP, "it is a symbolic link by now, which is not followed")


def _open_error(error: OSError, path: str | bytes) -> OSError:
    """Return the error of the first open, with a text for a FIFO and for a socket."""
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


def _resolve_link(path: AnyStr) -> AnyStr:
    """Return the target of a path whose last component is a symbolic link; else the path.

    Links to directories stay in the result. A link to a descriptor stays as it is: its content
    (``pipe:[123]``) is not a path.
    """
    for _ in range(_MAX_LINKS):
        if _is_descriptor_link(path):
            return path
        try:
            leads_to = os.readlink(path)  # noqa: PTH115 - may be bytes
        except (OSError, ValueError):
            # Not a link, no such file, or a system without links.
            return path
        path = os.path.join(os.path.dirname(path), leads_to)  # noqa: PTH118, PTH120 - as above
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def _is_descriptor_link(path: str | bytes) -> bool:
    # The directory may be a link: /dev/fd leads to /proc/self/fd.
    directory, name = os.path.split(os.fsdecode(path))
    if not name.isdecimal():
        return False
    return _DESCRIPTOR_LINK.fullmatch(f"{os.path.realpath(directory)}/{name}") is not None


def _kind(mode: int) -> str:
    return _KINDS.get(stat.S_IFMT(mode), "of another kind")
