"""The id of a request: taken from its headers where it may be, else made.

The policy is three functions and a rule: ``generator`` makes an id, ``validator`` tells
whether one that came may be used, ``trust`` whose ids are used at all, and ``choice``
says which of several is meant. What is too long is refused before it is looked at.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

from mozlog_py._config.options import OptionError, check_switch, shown
from mozlog_py._context.brought_ids import draw

from .settings import CHOICES, MAX_PROXIES, Settings, is_own_header

__all__ = [
    "DEFAULT_HEADER",
    "MAX_HEADER",
    "FoundId",
    "RequestIdPolicy",
    "is_any",
    "is_safe",
    "is_visible",
    "new_id",
    "trace_id",
]

#: The header that carries an id, unless another is configured.
DEFAULT_HEADER: Final = "x-request-id"

#: Characters that a header of ids may have, all its values together; a longer one counts
#: as one that says nothing. Servers take headers of megabytes.
MAX_HEADER: Final = 4096

# What an id may be that is written into logs, headers and other people's systems:
# nothing that quotes, escapes, opens or ends something in any of them.
_SAFE: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
# All of ASCII that can be seen, without the comma that joins doubled headers.
_VISIBLE: Final = re.compile(r"[!-+\--~]{1,128}")
_MAX_ANY: Final = 1024
# The longest of today has 55 characters; those of later versions may have more.
_MAX_TRACEPARENT: Final = 256
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
    """Return whether an id is 1 to 128 letters, digits and ``._:/+=@-``, all of ASCII."""
    return _SAFE.fullmatch(value) is not None


def is_visible(value: str) -> bool:
    """Return whether an id is visible ASCII without a comma, 1 to 128 characters long."""
    return _VISIBLE.fullmatch(value) is not None


def is_any(value: str) -> bool:
    """Return whether an id has 1 to 1,024 characters, whatever they are.

    A policy with this validator takes a header as it is: commas in it separate nothing.
    """
    return 0 < len(value) <= _MAX_ANY


_VALIDATORS: Final[dict[str, Callable[[str], bool]]] = {
    "any": is_any,
    "safe": is_safe,
    "visible": is_visible,
}


def _accepting(validator: Callable[[str], bool]) -> Callable[[str], bool]:
    def accepts(value: str) -> bool:
        """Return whether a client's id may be used as it is, and draw a number for it if so."""
        if not validator(value):
            return False
        draw(value)
        return True

    return accepts


# What these let through may be sent in a header.
_SENDABLE_VALIDATORS: Final = (is_safe, is_visible)
_ACCEPTING: Final[dict[Callable[[str], bool], Callable[[str], bool]]] = {
    validator: _accepting(validator) for validator in _SENDABLE_VALIDATORS
}


class FoundId(NamedTuple):
    """The id of a request, and where it is from."""

    #: The id.
    value: str
    #: The request's header that it came in, None for an id that was made here.
    header: str | None


def trace_id(traceparent: str) -> str | None:
    """Give the trace id of a ``traceparent`` header, None where it is not valid.

    Source: W3C Trace Context, section 3.2.
    """
    if len(traceparent) > _MAX_TRACEPARENT:
        return None
    text = traceparent.strip(" \t")
    match = _TRACEPARENT.fullmatch(text)
    if match is None or (len(text) != 55 and text[:2] == "00"):
        return None
    return match[1]


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

    ``choice`` says which id is meant where a header comes several times, or has several
    values between commas: ``"first"``, the first valid one; ``"last"``, the last value and
    no other; a number, that of the proxies in front which each add an id behind those that
    are there: the value that the outermost of them has added, so many from the end. Where
    that value is not valid, or there are fewer, a new id is made. A header that has more
    than ``MAX_HEADER`` characters is not looked at.

    What the three functions raise is not raised into a request: a generator
    that fails is replaced by ``new_id``, and an id that cannot be judged is not used.

    Raises ``OptionError`` for a header that means something else, such as ``Cookie``, and
    for parameters of the wrong kind.
    """

    __slots__ = (
        "_is_sendable", "choice", "echo", "generator", "header_name", "traceparent", "trust",
        "validator",
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
        choice: Literal["first", "last"] | int = "first",
    ) -> None:
        _check_header(header_name)
        _check_choice(choice)
        self.header_name = header_name
        self.generator = generator
        self.validator = validator
        self.trust = trust
        self.traceparent = check_switch("traceparent", traceparent)
        self.echo = check_switch("echo", echo)
        self.choice: Any = choice
        # What passes our own rules passes the server's.
        self._is_sendable = generator is new_id and validator in _SENDABLE_VALIDATORS

    @classmethod
    def of(cls, settings: Settings) -> RequestIdPolicy:
        """Give the policy that the settings ask for."""
        return cls(
            settings.request_id_header_name,
            validator=_VALIDATORS[settings.request_id_characters],
            trust=settings.request_id_trust,
            traceparent=settings.request_id_traceparent,
            echo=settings.request_id_echo,
            choice=settings.request_id_choice,
        )

    @property
    def accepts(self) -> Callable[[str], bool]:
        """The function that returns whether a header's only value is the id as it is.

        Where the policy has rules of its own, it refuses all of them, and ``resolve``
        decides. To be called where the request begins: ``Sample`` learns from it that the
        client has brought the id.
        """
        is_plain = (
            self.validator in _SENDABLE_VALIDATORS
            and self.trust is True
            and not self.traceparent
            # Of more proxies than one, each has added an id.
            and self.choice in (*CHOICES, 1)
        )
        return _ACCEPTING[self.validator] if is_plain else _refuse

    def resolve(
        self, values: list[str], traceparents: list[str], client: str | None = None
    ) -> FoundId:
        """Return the id of a request, and where it is from.

        Args:
            values: What the id's header says, once for each time that it came.
            traceparents: The same of ``traceparent``, of which only one may be there.
            client: The client's address, None where it is not known.
        """
        if not values and not traceparents:
            return FoundId(self.generate(), None)
        try:
            if self.trust is True or (self.trust and self.trust(client)):
                if self.traceparent and len(traceparents) == 1:
                    traced = trace_id(traceparents[0])
                    if traced is not None:
                        draw(traced)
                        return FoundId(traced, "traceparent")
                brought = self._brought(values)
                if brought is not None:
                    draw(brought)
                    return FoundId(brought, self.header_name)
        except Exception:
            # Whatever the policy cannot judge is not trusted.
            pass
        return FoundId(self.generate(), None)

    def _brought(self, values: list[str]) -> str | None:
        """Return the id that a header's values say, None where they say none."""
        # As long as they are between commas.
        if sum(map(len, values)) + len(values) > MAX_HEADER + 1:
            return None
        if self.validator is not is_any:
            # A header sent twice may arrive as one, joined by commas.
            values = [part for value in values for part in value.split(",")]
        values = [value.strip(" \t") for value in values]
        if self.choice == "first":
            return next((value for value in values if value and self.validator(value)), None)
        place = 1 if self.choice == "last" else self.choice
        if place > len(values):
            return None
        # An empty one counts as well: a proxy may have had none to add.
        value = values[-place]
        return value if value and self.validator(value) else None

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


def _check_header(name: object) -> None:
    if not is_own_header(name):
        raise OptionError(
            f"header_name is {shown(name)}; it must be the name of a header that means nothing "
            "else, such as X-Request-Id: not one that HTTP, browsers, proxies or tracers use, "
            "such as Cookie, Host or Content-Length"
        )


def _check_choice(choice: object) -> None:
    if type(choice) is str and choice in CHOICES:
        return
    if type(choice) is int and 1 <= choice <= MAX_PROXIES:
        return
    raise OptionError(
        f"choice is {shown(choice)}; it must be 'first', 'last', or the number of proxies that "
        f"each add an id, from 1 to {MAX_PROXIES}"
    )
