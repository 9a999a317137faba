"""Reads ``version.json``, which a build writes beside the application."""

from __future__ import annotations

import json
import logging
import os
import re
import stat
from typing import Any, Final, NoReturn

from mozlog_py._process.memo import remember

__all__ = ["VersionFileError", "get_release_name", "get_version"]

#: The largest size of a version file, in bytes.
MAX_BYTES: Final = 1_048_576

_NAME: Final = "version.json"
_COMMIT_CHARACTERS: Final = 8
# Sentry refuses a longer release name, or one with such characters.
_MAX_RELEASE: Final = 200
_NOT_IN_RELEASE: Final = re.compile(r"[\x00-\x20/\\\x7f-\x9f\u2028\u2029\ud800-\udfff]+")

_logger: Final = logging.getLogger(__name__)

# What JSON calls the values of a type; the others are numbers.
_KINDS: Final = {list: "array", bool: "boolean", str: "string", type(None): "null"}

_Signature = tuple[int, ...]


class VersionFileError(ValueError):
    """A version file exists and is invalid. The text has its path and the reason.

    Args:
        text: The text.
        public: The text without the path, for a public response; by default the same.
    """

    def __init__(self, text: str = "", public: str | None = None) -> None:
        super().__init__(text)
        self.public = text if public is None else public


# By path: the signature of the file, and its text or the error in it.
_read: dict[str, tuple[_Signature, str | VersionFileError]] = {}
_MAX_READ: Final = 16
_MAX_PATH: Final = 4096


def get_version(root: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return the contents of ``version.json`` in a folder; None if there is no such file.

    The file is read again only after it has changed.

    Args:
        root: The folder.

    Returns:
        A new dict for each call.

    Raises:
        VersionFileError: The file cannot be read, or is not a JSON object in UTF-8 of at most
            1 MiB.
    """
    path = os.path.join(os.fspath(root), _NAME)  # noqa: PTH118 - as given, for the messages
    try:
        found = os.stat(path)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    signature = (
        found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev, found.st_size,
    )  # fmt: skip
    known = _read.get(path)
    if known is None or known[0] != signature:
        known = signature, _text(path, found)
        remember(_read, path, known, _MAX_READ, _MAX_PATH)
    if isinstance(known[1], VersionFileError):
        raise VersionFileError(str(known[1]), known[1].public)
    version: dict[str, Any] = json.loads(known[1])
    return version


def get_release_name(root: str | os.PathLike[str]) -> str:
    """Return a release name for error trackers.

    An invalid file is logged, and does not raise.

    Args:
        root: The folder of ``version.json``.

    Returns:
        ``version:commit`` with eight characters of the commit, or the only one of the two, or
        ``unknown``. At most 200 characters, without white space, slashes or control characters.
    """
    try:
        found = get_version(root) or {}
    except VersionFileError as error:
        _logger.error("%s", error)
        found = {}
    version, commit = (_word(found.get(name)) for name in ("version", "commit"))
    # A build of a branch often has the commit as its version.
    parts = [version] if version == commit else [version, commit[:_COMMIT_CHARACTERS]]
    return ":".join(filter(None, parts))[:_MAX_RELEASE] or "unknown"


def _word(value: Any) -> str:
    if not isinstance(value, (str, int, float)):
        return ""
    return _NOT_IN_RELEASE.sub("-", str(value).strip()).strip("-")


def _text(path: str, found: os.stat_result) -> str | VersionFileError:
    try:
        return _checked(path, found)
    except VersionFileError as error:
        return error


def _checked(path: str, found: os.stat_result) -> str:
    """Return the file as JSON text, whose value is certain to be valid JSON again."""
    if not stat.S_ISREG(found.st_mode):
        raise _unusable(path, "it is no file")
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(raw) > MAX_BYTES:
        raise _unusable(path, f"it is larger than {MAX_BYTES:,} bytes")
    try:
        # Some editors and shells begin a file with a byte order mark.
        value = json.loads(raw.decode("utf-8-sig"), parse_constant=_refuse)
        # A valid text may have Infinity, as 1e999, and a lone surrogate, as \ud800.
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise _unusable(path, f"it is not UTF-8 ({error.reason})") from error
    except RecursionError as error:
        raise _unusable(path, "it is nested too deeply") from error
    except ValueError as error:
        raise _unusable(path, f"it is not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise _unusable(path, f"it is a JSON {_KINDS.get(type(value), 'number')}, not an object")
    return text


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


def _unreadable(path: str, error: OSError | ValueError) -> VersionFileError:
    # The text of an OSError ends with the path, which the public text must not have.
    why = error.strerror if isinstance(error, OSError) else str(error)
    return _unusable(path, f"it cannot be read ({error})", f"it cannot be read ({why})")


def _unusable(path: str, why: str, public: str | None = None) -> VersionFileError:
    wanted = (
        "It must be a JSON object with source, version, commit and build; "
        "`python -m dockerflow version` writes one"
    )
    return VersionFileError(
        f"{path} is unusable: {why}. {wanted}", f"{_NAME} is unusable: {public or why}. {wanted}"
    )
