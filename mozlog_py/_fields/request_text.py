"""The text that a client has sent, as a line shows it: cut, and without credentials.

Query strings are in the summaries of ``dockerflow`` and in the access records of servers.
``DOCKERFLOW_SUMMARY_LOG_QUERYSTRING`` decides for both whether lines show them.
"""

from __future__ import annotations

import functools
import os
import re
from typing import Any, Final

from mozlog_py._config.options import OptionError, shown
from mozlog_py._process.fork_safe_import import fork_safe_import
from mozlog_py._process.lazy_pattern import lazy_pattern
from mozlog_py._process.memo import remember
from mozlog_py._values.credential_names import MARKER, is_credential
from mozlog_py._values.mask_registry import mask_before_cut

__all__ = [
    "MAX_TEXT",
    "VARIABLE",
    "CutText",
    "are_query_strings_logged",
    "capped",
    "check_variable",
    "decoded_header",
    "log_query_strings",
    "shown_query",
    "shown_sentence",
]

#: Characters kept of a path, a query string, a User-Agent and an Accept-Language.
MAX_TEXT: Final = 1024
#: The variable that decides whether query strings are shown, where no application decides it.
VARIABLE: Final = "DOCKERFLOW_SUMMARY_LOG_QUERYSTRING"

# Characters that masks search before a text is cut. More is not read.
_MAX_KEPT: Final = 32 * MAX_TEXT
# A percent-encoded character has 12 bytes at most. Text that would be cut is not decoded.
_MAX_ENCODED: Final = 16 * MAX_TEXT
# The end of a name decides whether it is a credential's.
_MAX_NAME: Final = 100
# Whether each known name is a credential's.
_known: Final[dict[bytes, bool]] = {}
_MAX_KNOWN: Final = 1024
# How often a name may be percent-encoded.
_MAX_DECODINGS: Final = 3
_ON: Final = frozenset({"1", "true", "yes", "on"})
_OFF: Final = frozenset({"", "0", "false", "no", "off"})

# In a value that is a URL itself: the separator before a name, the name, and its end, plain or
# percent-encoded once more.
_NESTED: Final = lazy_pattern(
    r"(?:^|[?&;#]|%(?:25)*(?:3F|26|3B|23))(?P<name>[^=&;?#]{1,100}?)(?:=|%(?:25)*3D)",
    re.IGNORECASE,
)
# A query string in a sentence, up to the next white space.
_QUERY: Final = lazy_pattern(r"\?(?P<query>\S+)")
# Characters at the end of a word that are no part of a URL: quotes, brackets, a full stop.
_CLOSING: Final = "\"'`)]}>.,:;!"
_SPACES: Final = " \t\r\n"
# Characters of a word that are searched for a path.
_MAX_BEFORE: Final = 2048


# -- whether ------------------------------------------------------------------


class _Wanted:
    """The setting of an application of this process; None where none has set it."""

    is_wanted: bool | None = None


def log_query_strings(is_wanted: bool | None) -> None:
    """Show query strings in access records, or leave them out; None goes by the environment.

    ``dockerflow`` calls this with the setting of the application that was set up last.
    """
    _Wanted.is_wanted = is_wanted


def are_query_strings_logged() -> bool:
    """Return whether access records show query strings."""
    if _Wanted.is_wanted is not None:
        return _Wanted.is_wanted
    return os.environ.get(VARIABLE, "").strip().lower() in _ON


def check_variable() -> None:
    """Check the variable of the environment.

    Raises:
        OptionError: It is neither true nor false.
    """
    value = os.environ.get(VARIABLE, "")
    if value.strip().lower() not in _ON | _OFF:
        raise OptionError(
            f"{VARIABLE} is {shown(value)}; it must be true or false (also 1, 0, yes, no, on, off)"
        )


# -- what ---------------------------------------------------------------------


class CutText(str):
    """The start of a long text: more of it than a line shows, and its size."""

    __slots__ = ("size",)
    #: How many characters the whole text has.
    size: int


def decoded_header(value: bytes) -> str:
    """Return the text of a header's bytes, which are Latin-1; no more than may be needed."""
    if len(value) <= _MAX_KEPT:
        return value.decode("latin-1")
    cut = CutText(value[:_MAX_KEPT].decode("latin-1"))
    cut.size = len(value)
    return cut


def capped(text: str) -> str:
    """Return a text with ``MAX_TEXT`` of its characters at most, and how many it has."""
    size = len(text)
    if size <= MAX_TEXT:
        return text
    return _cut(text, text.size if type(text) is CutText else size)


def _cut(text: str, size: int) -> str:
    return f"{mask_before_cut(text, MAX_TEXT)[:MAX_TEXT]}... <truncated, {size} characters>"


def shown_query(query: str | bytes) -> str:
    """Return the text of a query string, without the values of credentials, and cut.

    Args:
        query: The query string, percent-encoded.
    """
    size = len(query)
    query = query[:_MAX_ENCODED]
    if isinstance(query, str):
        query = query.encode("utf-8", "backslashreplace")
    parts: list[str] = []
    length = 0
    for part in query.split(b"&"):
        # An encoded "&" ends no value, so that values are taken out before they are decoded.
        name, equals, _ = part.partition(b"=")
        if equals and _is_secret(name[-_MAX_NAME:]):
            text = f"{_decoded(name)}={MARKER}"
        else:
            text = _decoded(part)
        parts.append(text)
        length += len(text) + 1
        if length > MAX_TEXT + 1:
            # The rest is not shown, and cannot change the parts before it.
            break
    text = "&".join(parts)
    is_cut = len(text) > MAX_TEXT or size > _MAX_ENCODED
    text = _without_nested(text)
    return _cut(text, size) if is_cut else text


def shown_sentence(text: str) -> str:
    """Return a server's sentence with the query strings in it as access records show them."""
    if "?" not in text:
        return text
    size = len(text)
    if size > _MAX_KEPT:
        # More than any line shows of it.
        text = f"{text[:_MAX_KEPT]}... <truncated, {size} characters>"
    return _QUERY.sub(_shown_in, text)


def _shown_in(found: re.Match[str]) -> str:
    text, end = found.string, found.start()
    start = max(0, end - _MAX_BEFORE)
    word = max(text.rfind(space, start, end) for space in _SPACES) + 1
    if text.find("/", max(word, start), end) < 0 and (word or not start):
        # The question mark does not follow a path.
        return found[0]
    query = found["query"]
    url = query.rstrip(_CLOSING)
    if not url or not are_query_strings_logged():
        return query[len(url) :]
    return f"?{shown_query(url)}{query[len(url) :]}"


def _decoded(part: bytes) -> str:
    if b"%" not in part and part.isascii():
        return part.decode("ascii")
    decoded: bytes = _url_parser().unquote_to_bytes(part)
    return decoded.decode("utf-8", "backslashreplace")


@functools.cache
def _url_parser() -> Any:
    """Return ``urllib.parse``, which takes long to import where no server has done so."""
    with fork_safe_import():
        from urllib import parse

        return parse


def _is_secret(name: bytes) -> bool:
    is_secret = _known.get(name)
    if is_secret is None:
        is_secret = _is_secret_text(name.decode("utf-8", "backslashreplace"))
        remember(_known, name, is_secret, _MAX_KNOWN)
    return is_secret


def _is_secret_text(text: str) -> bool:
    for _ in range(_MAX_DECODINGS):
        decoded = _url_parser().unquote_plus(text)
        if decoded == text:
            break
        text = decoded
    return is_credential(text)


def _without_nested(text: str) -> str:
    """Return a decoded query string without the credentials of URLs that are values in it."""
    kept: list[str] = []
    end = 0
    for found in _NESTED.finditer(text):
        if found.start() >= end and _is_secret_text(found["name"]):
            kept += [text[end : found.end()], MARKER]
            end = text.find("&", found.end())
            if end < 0:
                return "".join(kept)
    return "".join([*kept, text[end:]]) if kept else text
