"""The id of a request: taken from its headers where it may be, else made.

The policy is three functions: ``generator`` makes an id, ``validator`` tells
whether one that came may be used, ``trust`` whose ids are used at all.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from typing import Final

from mozlog_py.brought_ids import draw

from .settings import Settings

__all__ = ["DEFAULT_HEADER", "RequestIdPolicy", "is_safe", "new_id", "trace_id"]

#: The header that carries an id, unless another is configured.
DEFAULT_HEADER: Final = "x-request-id"

# What an id may be that is written into logs, headers and other people's
# systems: visible ASCII, without the comma that joins doubled headers.
_SAFE: Final = re.compile(r"[!-+\--~]{1,128}")
# What may stand in a header that we send, whatever the policy's own rules are.
_SENDABLE: Final = re.compile(r"[ -~]{1,1024}")
# W3C Trace Context, 3.2.2; versions after 00 may have more behind another dash.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?",
    re.DOTALL,
)
# Asking the system for randomness, and taking it apart, is done for many ids at
# once; a forked process must not go on with those of its parent.
_AHEAD: Final = 64
# UUIDs' digits but those that say their version and their variant, and where they stand.
_DIGITS: Final = struct.Struct("8s 4s x3s x3s 12s" * _AHEAD)
_IDS: Final = b" ".join([b"%b-%b-4%b-a%b-%b"] * _AHEAD)
_ahead: Final[list[str]] = []
_is_watching = False


def new_id() -> str:
    """Make a random id, a UUID of version 4, in a fifth of the time that ``uuid`` takes."""
    try:
        return _ahead.pop()
    except IndexError:
        return _look_ahead()


def _look_ahead() -> str:
    global _is_watching
    if not _is_watching and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_ahead.clear)
    _is_watching = True
    digits = os.urandom(16 * _AHEAD).hex().encode()
    ids = (_IDS % _DIGITS.unpack(digits)).decode().split(" ")
    last = ids.pop()
    _ahead.extend(ids)
    return last


def is_safe(value: str) -> bool:
    """Tell whether an id is visible ASCII without a comma, 1 to 128 characters long."""
    return _SAFE.fullmatch(value) is not None


def trace_id(traceparent: str) -> str | None:
    """Give the trace id of a ``traceparent`` header, None where it is not valid.

    Source: W3C Trace Context, section 3.2.
    """
    text = traceparent.strip(" \t")
    match = _TRACEPARENT.fullmatch(text)
    if match is None or (len(text) != 55 and text[:2] == "00"):
        return None
    return match[1]


def _is_brought(value: str) -> bool:
    """Return whether a client's id may be used as it is, and draw a number for it if so."""
    if _SAFE.fullmatch(value) is None:
        return False
    draw(value)
    return True


def _refuse(value: str) -> bool:  # noqa: ARG001
    return False


class RequestIdPolicy:
    """How the id of a request is found.

    Parameters: ``header_name``, in any case; ``generator`` makes a new id;
    ``validator`` tells whether an id that came with a request is used;
    ``trust`` tells by the address of the client (None where it is not known)
    whether its ids are used, and may be a constant; ``traceparent``: whether
    the trace id of a W3C ``traceparent`` is the request's id, before what the
    header says; ``echo``: whether responses carry the id in that header.

    What the three functions raise is not raised into a request: a generator
    that fails is replaced by ``new_id``, and an id that cannot be judged is not used.
    """

    __slots__ = (
        "_is_sendable", "echo", "generator", "header_name", "traceparent", "trust", "validator",
    )  # fmt: skip

    def __init__(
        self,
        header_name: str = DEFAULT_HEADER,
        *,
        generator: Callable[[], str] = new_id,
        validator: Callable[[str], bool] = is_safe,
        trust: bool | Callable[[str | None], bool] = True,
        traceparent: bool = False,
        echo: bool = True,
    ) -> None:
        self.header_name = header_name
        self.generator = generator
        self.validator = validator
        self.trust = trust
        self.traceparent = traceparent
        self.echo = echo
        # What passes our own rules passes the server's.
        self._is_sendable = generator is new_id and validator is is_safe

    @classmethod
    def of(cls, settings: Settings) -> RequestIdPolicy:
        """Give the policy that the settings ask for."""
        return cls(
            settings.request_id_header_name,
            trust=settings.request_id_trust,
            traceparent=settings.request_id_traceparent,
            echo=settings.request_id_echo,
        )

    @property
    def accepts(self) -> Callable[[str], bool]:
        """The function that returns whether a header's only value is the id as it is.

        Where the policy has rules of its own, it refuses all of them, and ``choose``
        decides. To be called where the request begins: ``Sample`` is told that its client
        has brought the id.
        """
        is_plain = self.validator is is_safe and self.trust is True and not self.traceparent
        return _is_brought if is_plain else _refuse

    def choose(self, values: list[str], traceparents: list[str], client: str | None = None) -> str:
        """Give the id of a request.

        ``values``: the id header's, in their order; ``traceparents``: those of
        that header, of which only one may be there; ``client``: its address.
        """
        if not values and not traceparents:
            return self.generate()
        try:
            if self.trust is True or (self.trust and self.trust(client)):
                if self.traceparent and len(traceparents) == 1:
                    traced = trace_id(traceparents[0])
                    if traced is not None:
                        draw(traced)
                        return traced
                for value in values:
                    # A header sent twice may arrive as one, joined by commas.
                    for part in value.split(","):
                        candidate = part.strip(" \t")
                        if candidate and self.validator(candidate):
                            draw(candidate)
                            return candidate
        except Exception:
            # Whatever the policy cannot judge is not trusted.
            pass
        return self.generate()

    def generate(self) -> str:
        """Make a new id."""
        # Called as an attribute it would be looked for among the methods first.
        generator = self.generator
        try:
            made = generator()
            if made and type(made) is str:
                return made
        except Exception:
            # A request is served without its application's idea of an id.
            pass
        return new_id()

    @property
    def echoes_all(self) -> bool:
        """Whether every id may stand in a header of the response."""
        return self.echo and self._is_sendable

    def may_echo(self, request_id: str) -> bool:
        """Tell whether an id may stand in a header of the response."""
        return self.echo and (self._is_sendable or _SENDABLE.fullmatch(request_id) is not None)
