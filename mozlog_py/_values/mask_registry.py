"""The masks of this process, for code without a reference to one.

A mask belongs to a ``Redact``. Two places have no reference to that object:

- Code that shortens a text. No mask recognises a secret that was cut in two, so the text is
  masked before it is cut.
- A ``MozlogRenderer`` behind a ``Redact`` in an application's own structlog chain. It renders
  tracebacks that the processor has not seen.

Both sets hold weak references: a mask lives as long as its ``Redact``.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Final, Protocol

from mozlog_py._process.shared_state import snapshot

__all__ = [
    "MARGIN",
    "MAX_SEARCHED",
    "MAX_WINDOWS",
    "TextMask",
    "call_on_new_mask",
    "has_cut_masks",
    "in_chains",
    "mask_before_cut",
    "mask_chains",
    "mask_cuts",
    "masked_ends",
]


class TextMask(Protocol):
    """An object that masks secrets in a text."""

    #: Stands in place of a secret.
    marker: str

    def text(self, text: str) -> str:
        """Return the text with its secrets masked."""
        ...


#: Longer than any secret, in characters: a secret that ends this far from the end of a window
#: is whole in it.
MARGIN: Final = 8192
# Shorter texts are masked as a whole, even where their middle is cut out afterwards.
_WHOLE: Final = 4 * MARGIN
#: Characters that are searched beside those that are kept, where a text is cut.
MAX_WINDOWS: Final = _WHOLE
#: Characters of one record that are searched for secrets before a cut. A client can choose text
#: for which the search takes a hundred nanoseconds for each character.
MAX_SEARCHED: Final = 131_072

_of_cuts: Final[weakref.WeakSet[Any]] = weakref.WeakSet()
_of_chains: Final[weakref.WeakSet[Any]] = weakref.WeakSet()
_followers: Final[set[weakref.WeakMethod[Callable[[], None]]]] = set()


def mask_cuts(mask: TextMask) -> None:
    """Register a mask for texts that are about to be cut."""
    _of_cuts.add(mask)


def has_cut_masks() -> bool:
    """Return whether texts are searched for secrets before they are cut."""
    return bool(_of_cuts)


def mask_before_cut(text: str, most: int | None = None) -> str:
    """Return a text that is safe to cut: every registered mask has masked its secrets.

    Args:
        text: The whole text.
        most: How many characters from the start the caller keeps at most; None where it keeps
            the end as well. Text beyond that and a margin is not searched.

    Returns:
        The masked text, or the masked start of it.
    """
    if not _of_cuts:
        return text
    is_window = most is not None and len(text) > most + 2 * MARGIN
    if most is not None and is_window:
        text = text[: most + 2 * MARGIN]
    text = _masked(text)
    # The end of the window may have cut a secret in two.
    return text[:-MARGIN] if is_window else text


def masked_ends(text: str, ahead: int, behind: int) -> tuple[str, str]:
    """Return the masked start and end of a text whose middle is cut out.

    Args:
        text: A text that is longer than both together.
        ahead: How many characters of its start are kept.
        behind: How many characters of its end are kept.
    """
    if not _of_cuts:
        return text[:ahead], text[len(text) - behind :]
    if len(text) <= ahead + behind + _WHOLE:
        text = _masked(text)
        return text[:ahead], text[max(ahead, len(text) - behind) :]
    window = text[max(0, len(text) - behind - 2 * MARGIN) :]
    # The start of the window may have cut a secret in two.
    end = _masked(window)[MARGIN:]
    return mask_before_cut(text, ahead)[:ahead], end[max(0, len(end) - behind) :]


def _masked(text: str) -> str:
    for mask in snapshot(_of_cuts):
        try:
            text = mask.text(text)
        except Exception:
            # A text that could not be masked must not get into a line.
            return str(mask.marker)
    return text


def mask_chains(mask: TextMask) -> None:
    """Register a mask for the lines of every ``MozlogRenderer``."""
    if mask in _of_chains:
        return
    _of_chains.add(mask)
    for follower in [*_followers]:
        callback = follower()
        if callback is None:
            _followers.discard(follower)
        else:
            callback()


def in_chains() -> list[Any]:
    """Return the masks that were registered for renderers."""
    return snapshot(_of_chains)


def call_on_new_mask(callback: Callable[[], None]) -> None:
    """Call a method whenever a mask is registered for renderers, while its object lives."""
    _followers.difference_update([one for one in _followers.copy() if one() is None])
    _followers.add(weakref.WeakMethod(callback))
