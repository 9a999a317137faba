"""Masks the texts of one check, by the values of its arguments and by shape.

The parts of the check's arguments are masked by value, in every form in which a driver may
quote them, with the mask of ``mozlog_py`` for registered secrets. Credentials from other
sources are masked by their shape, and so are the addresses to which a host name resolves.
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

# Shorter parts occur in words by chance, and are masked as whole words only.
_SHORT: Final = 3
_IN_BASE64: Final = 3

# A candidate for an IP address of either version.
_ADDRESS: Final = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}"
    r"(?:\d{1,3}(?:\.\d{1,3}){3})?(?:%\w{1,16})?)(?![\w.]*\w)"
)
# A host in the phrases of drivers about connections, if it is not known by its value.
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
    """Masks the arguments of one check in its texts, and whatever looks like a secret.

    Args:
        parts: The parts of the check's arguments.
        further: Further known secrets.
    """

    def __init__(self, parts: Parts, *further: str) -> None:
        self.parts = parts
        secrets = {**parts.secrets, **parts.pairs, **dict.fromkeys(further)}
        self._secrets = _by_value(tuple(secrets), is_encoded=True)
        self._places = _by_value(tuple(parts.places))

    def text(self, text: str) -> str:
        """Return a text in which known values, likely secrets and addresses are masked."""
        # By value first: a match by shape may end in the middle of a secret.
        if self._secrets is not None:
            text = self._secrets.text(text)
        text = masked_text(text, MASK)
        text = _HOST.sub(_without_host, text)
        text = _ADDRESS.sub(_without_address, text)
        return text if self._places is None else self._places.text(text)

    def error(self, shown: str, text: str) -> str:
        """Return the ``repr`` of an exception, masked as its text is.

        Args:
            shown: The ``repr``.
            text: The ``str``. Its quotes are those of the message, while ``repr`` adds its own.
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
        # The repr may have more than the str, such as further arguments of the exception.
        return self.text(shown)


# A check of a service that is down fails again and again with the same arguments.
@functools.lru_cache(maxsize=64)
def _by_value(values: tuple[str, ...], *, is_encoded: bool = False) -> Mask | None:
    """Return a mask for values of any length; None if there is none.

    A value of one or two characters is masked as a whole word only, and so is a number that
    is not a secret: both occur in other words by chance.

    Args:
        values: The values.
        is_encoded: Whether they are secrets: masked in base64 as well, and case-sensitive.
    """
    long: list[str] = []
    bounded: list[str] = []
    for value in values:
        if not value.strip("*"):
            # It would match the marker itself.
            continue
        if len(value) >= _SHORT and (is_encoded or not value.isdecimal()):
            long.append(value)
        elif any(map(str.isalnum, value)):
            bounded.append(value)
    if not (long or bounded):
        return None
    patterns = [(re.compile(rf"(?<!\w){re.escape(each)}(?!\w)"), MASK) for each in bounded]
    if not is_encoded:
        # Servers and libraries change the case of host names.
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
