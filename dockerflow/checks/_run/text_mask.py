"""What masks the texts of one check: by the values that it was given, and by shape.

Two nets, one behind the other. What the check was given is known by its value: each part of a
connection string is masked however a driver quotes it, by what ``mozlog_py`` masks registered
secrets with. Below that is what ``mozlog_py`` knows credentials in texts by, for what came from
elsewhere, and the addresses that a name was resolved to.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import Final

from dockerflow.checks.messages import MASK
from mozlog_py._redaction.mask import Mask
from mozlog_py._redaction.secret_texts import masked_text
from mozlog_py._redaction.secret_values import MIN_CHARACTERS, needles_of

from .credential_parts import Parts

__all__ = ["TextMask"]

# Of parts that are shorter, each stands in words by chance: only where no word goes on.
_SHORT: Final = 3
_IN_BASE64: Final = 3

# What may be an address, of either version.
_ADDRESS: Final = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}"
    r"(?:\d{1,3}(?:\.\d{1,3}){3})?(?:%\w{1,16})?)(?![\w.]*\w)"
)
# The host in what drivers say of connections, where nothing tells it by its value.
_HOST: Final = re.compile(
    r"(?P<said>\b(?:host ?name |host[ =]|server (?:at|on) |connecting to )[\"'(]?)"
    r"(?P<host>[\w\-]+(?:\.[\w\-]+)*)(?=[\"')]|:\d|[,;]?\s|\.\s|\.?\Z)",
    re.IGNORECASE,
)
_NO_HOSTS: Final = frozenset(
    {
        "a", "an", "and", "are", "by", "closed", "down", "failed", "for", "has", "in", "is",
        "it", "name", "not", "of", "on", "or", "server", "that", "the", "this", "to",
        "unreachable", "was", "which", "with",
    }
)  # fmt: skip


class TextMask:
    """Masks in the texts of one check what the check was given, and what looks like a secret.

    Args:
        parts: What the check was given.
        further: Other secrets that are known.

    """

    __slots__ = ("_places", "_secrets", "parts")

    def __init__(self, parts: Parts, *further: str) -> None:
        self.parts = parts
        secrets = {**parts.secrets, **parts.pairs, **dict.fromkeys(further)}
        self._secrets = _by_value(tuple(secrets), is_encoded=True)
        self._places = _by_value(tuple(parts.places))

    def text(self, text: str) -> str:
        """Return a text with what is known, or looks like a secret or an address, masked."""
        # By its value first: what only looks like a secret may end within one.
        if self._secrets is not None:
            text = self._secrets.text(text)
        text = masked_text(text, MASK)
        text = _HOST.sub(_without_host, text)
        text = _ADDRESS.sub(_without_address, text)
        return text if self._places is None else self._places.text(text)

    def error(self, shown: str, text: str) -> str:
        """Return the ``repr`` of an exception with the same masked as in its text.

        Args:
            shown: The ``repr``.
            text: What ``str`` says of it. Its quotes are those of the message, and not
                those that ``repr`` has put around them.
        """
        masked = self.text(text)
        if masked != text:
            for quoted, clean in (
                (repr(text), repr(masked)),
                (repr(text)[1:-1], repr(masked)[1:-1]),
                (text, masked),
            ):
                if quoted in shown:
                    shown = shown.replace(quoted, clean)
                    break
            else:
                shown = f"{shown.partition('(')[0]}({masked!r})"
        # What str does not say of it, as a driver's exception with further arguments.
        return self.text(shown)


# A service that is away is asked for again and again.
@functools.lru_cache(maxsize=64)
def _by_value(values: tuple[str, ...], *, is_encoded: bool = False) -> Mask | None:
    """Return what masks values wherever they stand, however short they are; None for none.

    Args:
        values: The values.
        is_encoded: Whether they are secrets, which stand in base64 as well, and in no other case.

    A value of one or two characters, and a number of any length that is no secret, is masked
    where no word or number goes on beside it: it stands in other words by chance.
    """
    long: list[str] = []
    bounded: list[str] = []
    for value in values:
        if not value.strip("*"):
            # It would mask the marker itself.
            continue
        if len(value) >= _SHORT and (is_encoded or not value.isdecimal()):
            long.append(value)
        elif any(map(str.isalnum, value)):
            bounded.append(value)
    if not (long or bounded):
        return None
    patterns = [(re.compile(rf"(?<!\w){re.escape(each)}(?!\w)"), MASK) for each in bounded]
    if not is_encoded:
        # Servers and libraries write names of hosts in the case that they like.
        patterns += [(re.compile(re.escape(each), re.IGNORECASE), MASK) for each in long]
    least = _IN_BASE64 if is_encoded else MIN_CHARACTERS
    return Mask(needles_of(long, MASK, least_in_base64=least), patterns, None, MASK)


def _without_host(match: re.Match[str]) -> str:
    if match["host"].lower() in _NO_HOSTS:
        return match[0]
    return f"{match['said']}{MASK}"


def _without_address(match: re.Match[str]) -> str:
    try:
        ipaddress.ip_address(match[0])
    except ValueError:
        return match[0]
    return MASK
