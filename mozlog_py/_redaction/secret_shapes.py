"""Masks secrets by their shape: tokens with a prefix, keys, passwords in URLs.

Most lines hold none, and cost no more than the prefilter. It translates the encoded line three
times. Each translation maps a byte to a bit mask: the groups of prefixes that may have the byte
at their first, second or third position. The translations are read as large integers, shifted
onto each other and combined with AND. The result is zero unless three bytes in a row fit one
group. That is a dozen C calls for some fifty prefixes, where a regular expression would stop at
each character. Regular expressions then search around the places that the prefilter has hit.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import islice
from typing import Final
from urllib.parse import unquote

from mozlog_py._process.memo import remember

__all__ = ["Shapes"]

# -- tokens -------------------------------------------------------------------

# Each has a least number of characters, so that words with the same beginning do not match.
# There is no word boundary in front: an escape ("\\n", "%3D") may stand there.
_TOKENS: Final = (
    # Amazon Web Services: ids of access keys, for good and for a session.
    r"A[KS]IA[A-Z2-7]{16}",
    # Google: API keys, OAuth access tokens, OAuth client secrets.
    r"AIza[\w-]{35}",
    r"ya29\.[\w-]{20,}",
    r"GOCSPX-[\w-]{20,}",
    # Azure: the key of a storage account in a connection string.
    r"AccountKey=[A-Za-z0-9+/]{40,}={0,2}",
    # DigitalOcean, HashiCorp Vault.
    r"do[opr]_v1_[a-f0-9]{32,}",
    r"hv[sbr]\.[\w-]{20,}",
    # GitHub, GitLab.
    r"gh[pousr]_[A-Za-z0-9]{36,}",
    r"github_pat_[A-Za-z0-9_]{22,}",
    r"gl(?:pat|dt|rt|ptt|ft|soat|cbt)-[\w-]{20,}",
    # Registries of packages and images.
    r"npm_[A-Za-z0-9]{36,}",
    r"pypi-[\w-]{50,}",
    r"dckr_pat_[\w-]{20,}",
    # Slack: tokens, and the URL of a webhook.
    r"xox[a-z](?:\.xox[a-z])?-[\w-]{10,}",
    r"xapp-[\w-]{10,}",
    r"(?<=hooks\.slack\.com/services/)[\w/-]{20,}",
    # Stripe, Square, Shopify.
    r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,}",
    r"whsec_[A-Za-z0-9+/]{24,}={0,2}",
    r"sq0[a-z]{3}-[\w-]{22,}",
    r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
    # SendGrid, Twilio.
    r"SG\.[\w-]{16,}\.[\w-]{16,}",
    r"SK[a-f0-9]{32}(?![a-f0-9])",
)
_TOKEN: Final = re.compile("|".join(_TOKENS), re.ASCII)
# JWTs, signed (three parts) or encrypted (five), and other tokens in the same form. A text that
# only begins like one matches without the group, so that it is not scanned again.
_JWT: Final = re.compile(r"eyJ[\w-]{6,}(\.[\w-]{2,}\.[\w-]*(?:\.[\w-]+){0,2})?", re.ASCII)
# A token, and the beginning of a JWT or of a key, near a hit.
_NEAR: Final = re.compile("|".join((*_TOKENS, r"eyJ[\w-]{6}", r"-----BEGIN")).encode())
# How many bytes before and behind a hit are searched: the longest beginning of a token.
_BEFORE, _BEHIND = 40, 100
# With more hits than this, the whole line is searched.
_MAX_HITS: Final = 16
_MAX_ENCODED_HITS: Final = 64
# With more parameters than this, the whole line is searched, within the limits of that search.
_MAX_PARAMETERS: Final = 4096
# How many bytes in front of an "@" are searched for the scheme and the user info of a URL.
_USER_INFO_SIZE: Final = 600

# A blank: raw, as "+", or percent-encoded up to three times.
_SPACE: Final = r"(?: |\+|%(?:25){0,2}20)"
#: A private key, up to its end; if that was cut off, up to the end of the text.
_KEY: Final = re.compile(
    rf"-----BEGIN{_SPACE}(?:[A-Z0-9]{{1,20}}{_SPACE}){{0,4}}PRIVATE{_SPACE}KEY(?:{_SPACE}BLOCK)?"
    r"-----[^-]*(?:-(?!----END)[^-]*)*(?:-----END[^-]{1,64}-----)?"
)

# Three bytes in a row that a token, a key, or an encoded URL (the last group) contains. Each
# group is one bit. Each position of a group is a class of bytes: "AIz" and "ck." in one group
# make "cIz" a hit as well. The groups are chosen so that few lines have a hit.
_GROUPS: Final = (
    (b"ub_", b"hvs", b"hvb", b"hvr", b"whs"),
    (b"glp", b"gld", b"glr", b"glf", b"gls", b"glc", b"pm_"),
    (b"hp_", b"ho_", b"hu_", b"hs_", b"hr_", b"v1_", b"--B"),
    (b"tKe", b"sq0", b"SG.", *(b"SK%c" % digit for digit in b"0123456789abcdef")),
    (b"xox", b"xap", b"ya2", b"ypi"),
    (b"AKI", b"ASI", b"AIz", b"ckr", b"shp", b"ck.", b"eyJ"),
    (b"k_l", b"k_t", b"CSP"),
    (b"%40", b"%3D", b"%3d", b"%25", b"u00"),
)
_ENCODED_HIT: Final = re.compile(rb"[\x80-\xff]")
_NO_TOKEN: Final = b"\x00\x80"
_TOKEN_HIT: Final = re.compile(b"[^" + _NO_TOKEN + b"]")


def _tables() -> list[bytes]:
    tables = [bytearray(256) for _ in range(3)]
    for bit, group in enumerate(_GROUPS):
        for literal in group:
            for table, byte in zip(tables, literal, strict=True):
                table[byte] |= 1 << bit
    return [bytes(table) for table in tables]


_FIRST, _SECOND, _THIRD = _tables()
_from_bytes: Final = int.from_bytes
# Bytes that are searched together.
_WINDOW: Final = 16_384
_WITHIN_WINDOW: Final = (1 << 8 * _WINDOW) - 1

# -- URLs ---------------------------------------------------------------------

# JSON within JSON escapes with 1, 2 or 4 backslashes, and the line doubles them.
_ESCAPE: Final = r"\\{1,8}"
_SLASHES: Final = r":(?:\\{0,8}/){2}"
_PERCENT: Final = "%(?:25){0,2}"

# Up to the last "@" in front of the path: a password may hold one that is not encoded.
_USER_INFO: Final = r"""([^\s/?#"'<>\\]{1,512})(?=@)"""
# The longest match of the next: the colon and its slashes, the name, another colon, the rest.
_SLASHED_SIZE: Final = 19 + 128 + 1 + 256
# A password may hold a slash that is not encoded. Digits behind a colon are a port.
_SLASHED: Final = (
    r"""([^\s/?#@:\["'<>\\]{0,128}:(?![0-9]{1,5}(?:[/?#]|$))"""
    # The run ends in front of an "@" or at its limit. The group is atomic: no shorter run is tried.
    r"""(?=(?P<run>[^\s@"'<>\\]{1,256}))(?P=run))(?=@)"""
)
_ENCODED_USER_INFO: Final = (
    rf"({_PERCENT}3[Aa](?:{_PERCENT}2[Ff]){{2}})"
    rf"""((?:[^\s&"'<>\\%/?#@]|%(?!(?:25){{0,2}}(?:2[Ff]|3[Ff]|23))){{1,512}})"""
    rf"(?={_PERCENT}40)"
)
_IS_PAIR: Final = re.compile(f":|{_PERCENT}3[Aa]")
# User info without a colon is a user's name, unless it looks like a token.
_IS_TOKEN: Final = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z]).{16,}|.{32,}")

# Most names have no escapes, and a repeated class is matched faster than a choice.
_LETTER: Final = r"[\w.~$\[\]-]"
_NAME: Final = (
    rf"({_LETTER}{{1,100}}(?==)"
    rf"|(?:{_LETTER}|{_PERCENT}(?!3[DdFfBb]|2[0-9])[0-9A-Fa-f]{{2}}){{1,100}})"
)
_PARAMETER: Final = (
    rf"([?&;#]|{_ESCAPE}u0026|{_ESCAPE}u003[Ff]){_NAME}(=|{_ESCAPE}u003[Dd])"
    r"""([^&\s#"'<>\\]+)"""
)
_ENCODED_PARAMETER: Final = (
    rf"({_PERCENT}(?:3[Ff]|26|3[Bb]|23)){_NAME}({_PERCENT}3[Dd])"
    r"""((?:[^&\s#"'<>\\%]|%(?!(?:25){0,2}(?:26|23)))+)"""
)
_PLAIN_USER_INFO: Final = re.compile(f"({_SLASHES}){_USER_INFO}")
_SLASHED_USER_INFO: Final = re.compile(f"({_SLASHES}){_SLASHED}")
_ENCODED_USER_INFO_PATTERN: Final = re.compile(_ENCODED_USER_INFO)
_PARAMETERS: Final = (re.compile(_PARAMETER, re.ASCII), re.compile(_ENCODED_PARAMETER, re.ASCII))
# A query alone, as in a request's summary.
_QUERY: Final = re.compile(r"[\w.~$\[\]%-]{1,100}=[^\s\"'<>\\]*", re.ASCII)
_AT: Final = re.compile(b"@")
_USER_INFO_START: Final = re.compile(_SLASHES.encode())
# Begins with a literal, which the engine finds in a loop of its own: 20 times as fast.
_USER_INFO_BYTES: Final = re.compile(f"{_SLASHES}(?:{_USER_INFO}|{_SLASHED})".encode())
_ENCODED_USER_INFO_BYTES: Final = re.compile(_ENCODED_USER_INFO.encode())
_PARAMETERS_BYTES: Final = tuple(
    re.compile(expression.encode()) for expression in (_PARAMETER, _ENCODED_PARAMETER)
)
#: Further parameters of URLs that are secret: the signature grants access to a signed URL.
_SIGNATURE: Final = re.compile(r"(?:.*[^a-z])?sig(?:nature)?", re.IGNORECASE | re.DOTALL)
_MAX_NAME: Final = 100
_MAX_KNOWN: Final = 1024
# All that cannot stand in the name of a parameter becomes a space.
_NAMES: Final = bytes(
    byte if byte >= 0x80 or chr(byte).isalnum() or byte in b"=._~$[]%-" else 0x20
    for byte in range(256)
)


def _hits_in(line: bytes) -> bytes:
    """Return bytes that are not 0 where a token may begin in a line; none without such a place."""
    if len(line) <= _WINDOW:
        hits = _first_bits(line)
        return hits.to_bytes(len(line), "little") if hits else b""
    # By windows: memory that is new to the process takes longer than the search.
    found = [
        _first_bits(line[start : start + _WINDOW + 2]) & _WITHIN_WINDOW
        for start in range(0, len(line), _WINDOW)
    ]
    return b"".join([hits.to_bytes(_WINDOW, "little") for hits in found]) if any(found) else b""


def _first_bits(line: bytes) -> int:
    return (
        _from_bytes(line.translate(_FIRST), "little")
        & _from_bytes(line.translate(_SECOND), "little") >> 8
        & _from_bytes(line.translate(_THIRD), "little") >> 16
    )


class Shapes:
    """Masks secrets by their shape.

    Args:
        marker: Stands in place of a secret.
        is_secret: Returns whether a name is that of a secret, for the parameters of URLs.
    """

    __slots__ = ("_is_secret", "_known", "_marker")

    def __init__(self, marker: str, is_secret: Callable[[str], bool]) -> None:
        self._marker = marker
        self._is_secret = is_secret
        # The answer for a name costs more than the rest of the prefilter, and names recur.
        self._known: dict[bytes, bool] = {}

    def may_be_in(self, line: bytes) -> bool:
        """Return whether encoded JSON may have a secret in it; misses none."""
        hits = _hits_in(line)
        return bool(
            (hits and self._is_near(line, hits))
            or (b"=" in line and self._has_parameter(line))
            or (b"@" in line and self._has_user_info(line))
        )

    def _has_user_info(self, line: bytes) -> bool:
        places = [found.start() for found in islice(_AT.finditer(line), _MAX_HITS)]
        if len(places) == _MAX_HITS:
            return _USER_INFO_START.search(line) is not None
        return any(
            _USER_INFO_BYTES.search(line, max(0, at - _USER_INFO_SIZE), at + 1) for at in places
        )

    def _is_near(self, line: bytes, hits: bytes) -> bool:
        """Return whether a token, a key or an encoded URL may be near one of the hits."""
        # Deletion takes a fifth of the time of a search that finds nothing.
        has_tokens = len(hits) <= _WINDOW or hits.translate(None, _NO_TOKEN)
        found = _TOKEN_HIT.finditer(hits) if has_tokens else iter(())
        places = [hit.start() for hit in islice(found, _MAX_HITS)]
        if len(places) == _MAX_HITS:
            return True
        if any(_NEAR.search(line, max(0, at - _BEFORE), at + _BEHIND) for at in places):
            return True
        encoded = sum(1 for _ in islice(_ENCODED_HIT.finditer(hits), _MAX_ENCODED_HITS))
        if encoded == _MAX_ENCODED_HITS:
            return True
        return encoded > 0 and bool(
            _ENCODED_USER_INFO_BYTES.search(line)
            or any(self._has_parameter_of(expression, line) for expression in _PARAMETERS_BYTES)
        )

    def _has_parameter_of(self, expression: re.Pattern[bytes], line: bytes) -> bool:
        for count, match in enumerate(expression.finditer(line)):
            if count == _MAX_PARAMETERS:
                return True
            if self._is_name_secret(match[2].decode("ascii", "replace")):
                return True
        return False

    def _has_parameter(self, line: bytes) -> bool:
        known = self._known
        pieces = line.translate(_NAMES).split(b"=", _MAX_PARAMETERS)
        if len(pieces) > _MAX_PARAMETERS:
            return True
        # The last piece has no equals sign behind it.
        pieces.pop()
        for piece in pieces:
            name = piece.rpartition(b" ")[2]
            is_secret = known.get(name)
            if is_secret is None:
                is_secret = self._is_name_secret(name[-_MAX_NAME:].decode("ascii", "replace"))
                remember(known, name, is_secret, _MAX_KNOWN)
            if is_secret:
                return True
        return False

    def _is_name_secret(self, name: str) -> bool:
        if "%" in name:
            name = unquote(unquote(name))
        if ("g" in name or "G" in name) and _SIGNATURE.fullmatch(name) is not None:
            return True
        return self._is_secret(name)

    def masked(self, text: str) -> str:
        """Return a text with everything masked that looks like a secret."""
        marker = self._marker
        text = _KEY.sub(lambda _: marker, text)
        text = _JWT.sub(lambda match: marker if match[1] else match[0], text)
        text = _TOKEN.sub(lambda _: marker, text)
        if "@" in text:
            text = _PLAIN_USER_INFO.sub(self._without_user_info, text)
            text = self._without_slashed_user_info(text)
        if "%" in text:
            text = _ENCODED_USER_INFO_PATTERN.sub(self._without_user_info, text)
        if _QUERY.fullmatch(text):
            # The added separator makes the first parameter match like the others.
            return self._without_parameters(f"?{text}")[1:]
        return self._without_parameters(text)

    def _without_slashed_user_info(self, text: str) -> str:
        # A match holds no "@" and ends in front of one, so only the text in front of each counts.
        parts = text.split("@")
        for index, part in enumerate(parts[:-1]):
            near = part[-_SLASHED_SIZE:]
            if "/" in near:
                clean = _SLASHED_USER_INFO.sub(self._without_user_info, f"{near}@")
                parts[index] = part[:-_SLASHED_SIZE] + clean[:-1]
        return "@".join(parts)

    def _without_user_info(self, match: re.Match[str]) -> str:
        user_info = match[2]
        if _IS_PAIR.search(user_info) or _IS_TOKEN.fullmatch(user_info):
            return match[1] + self._marker
        return match[0]

    def _without_parameters(self, text: str) -> str:
        plain, encoded = _PARAMETERS
        text = plain.sub(self._without_parameter, text)
        return encoded.sub(self._without_parameter, text) if "%" in text else text

    def _without_parameter(self, match: re.Match[str]) -> str:
        if self._is_name_secret(match[2]):
            return match[1] + match[2] + match[3] + self._marker
        return match[0]
