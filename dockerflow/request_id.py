"""The id of a request: taken from its headers if the policy allows it, else made.

The policy consists of three functions and a rule. ``generator`` makes an id. ``validator``
returns whether a received id is used, ``trust`` whether a client's ids are used at all.
``choice`` says which of several ids is used. Values that are too long are refused first.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

from mozlog_py._config.options import OptionError, check_switch, shown
from mozlog_py._context.brought_ids import draw

from .settings import CHOICES, MAX_PROXIES, OWN_HEADER, Settings, is_own_header

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

#: The maximal number of characters in all values of the id's header; a longer header counts
#: as missing. Servers accept headers of megabytes.
MAX_HEADER: Final = 4096

# An id is written into logs, headers and other systems. So it must not have characters that
# quote, escape, open or end anything there.
_SAFE: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
# All visible characters of ASCII but the comma, which joins repeated headers.
_VISIBLE: Final = re.compile(r"[!-+\--~]{1,128}")
_MAX_ANY: Final = 1024
# Version 00 has 55 characters; later versions may have more.
_MAX_TRACEPARENT: Final = 256
# The values that are sent in a header, whatever the policy's own rules are.
_SENDABLE: Final = re.compile(r"[ -~]{1,1024}")
# W3C Trace Context, 3.2.2; versions after 00 may have more after another dash.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?",
    re.DOTALL,
)
# The system is asked for randomness for many ids at once. A forked process must not use the
# ids of its parent.
_AHEAD: Final = 64
# The digits of UUIDs without those of version and variant, and their places.
_DIGITS: Final = struct.Struct("8s 4s x3s x3s 12s" * _AHEAD)
_IDS: Final = b" ".join([b"%b-%b-4%b-a%b-%b"] * _AHEAD)
_ahead: Final[list[str]] = []
_has_fork_hook = False


def new_id() -> str:
    """Return a random id, a UUID of version 4, in a fifth of the time of ``uuid``."""
    try:
        return _ahead.pop()
    except IndexError:
        return _refill()


def _refill() -> str:
    global _has_fork_hook
    if not _has_fork_hook and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_ahead.clear)
    _has_fork_hook = True
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

    A policy with this validator does not split a header at its commas.
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


# The ids that these accept may be sent in a header.
_SENDABLE_VALIDATORS: Final = (is_safe, is_visible)
_ACCEPTING: Final[dict[Callable[[str], bool], Callable[[str], bool]]] = {
    validator: _accepting(validator) for validator in _SENDABLE_VALIDATORS
}


class FoundId(NamedTuple):
    """The id of a request, and the header that it came in."""

    #: The id.
    value: str
    #: The name of the request's header; None for an id that was made.
    header: str | None


def trace_id(traceparent: str) -> str | None:
    """Return the trace id of a ``traceparent`` header, None if the header is invalid.

    Source: W3C Trace Context, section 3.2.
    """
    if len(traceparent) > _MAX_TRACEPARENT:
        return None
    text = traceparent.strip(" \t")
    match = _TRACEPARENT.fullmatch(text)
    if match is None or (len(text) != 55 and text[:2] == "00"):
        return None
    return match[1]


def refuse(value: str) -> bool:  # noqa: ARG001
    """Return False: only the policy itself chooses an id."""
    return False


class RequestIdPolicy:
    """How the id of a request is found.

    An exception of the three functions does not reach the request: if the generator fails,
    ``new_id`` makes the id; if the validator or ``trust`` fails, a received id is not used. A
    header of more than ``MAX_HEADER`` characters is ignored.

    Args:
        header_name: The header of ids, in any case.
        generator: Makes a new id.
        validator: Returns whether an id that came with a request is used.
        trust: Returns whether the ids of a client are used, by its address, which is None if
            it is not known. Or True or False for all clients.
        traceparent: Whether the trace id of a W3C ``traceparent`` is the request's id, with
            precedence over the header.
        echo: Whether responses carry the id in that header.
        choice: Which id is used if the header comes several times, or has several values
            between commas. ``"first"``: the first valid one. ``"last"``: the last value, and
            no other. A number of proxies that each append an id: the value that the
            outermost of them has added, so many from the end. If that value is invalid or
            missing, a new id is made.

    Raises:
        OptionError: If the header has another meaning, such as ``Cookie``, or a parameter is
            of the wrong kind.
    """

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
        _check_function("generator", generator, "without arguments that returns an id", "new_id")
        _check_function("validator", validator, "that takes an id and returns a bool", "is_safe")
        self.header_name = header_name
        self.generator = generator
        self.validator = validator
        self.trust = _checked_trust(trust)
        self.traceparent = check_switch("traceparent", traceparent)
        self.echo = check_switch("echo", echo)
        self.choice: Any = choice
        # Ids that pass our own rules pass the server's rules for headers.
        self._is_sendable = generator is new_id and validator in _SENDABLE_VALIDATORS

    @classmethod
    def of(cls, settings: Settings) -> RequestIdPolicy:
        """Return the policy that the settings describe."""
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

        If the policy has rules of its own, it refuses all values, and ``resolve`` decides. It
        is called when the request begins: ``Sample`` learns from it that the client has sent
        the id.
        """
        is_plain = (
            self.validator in _SENDABLE_VALIDATORS
            and self.trust is True
            and not self.traceparent
            # With more than one proxy, each has added an id.
            and self.choice in (*CHOICES, 1)
        )
        return _ACCEPTING[self.validator] if is_plain else refuse

    def resolve(
        self, values: list[str], traceparents: list[str], client: str | None = None
    ) -> FoundId:
        """Return the id of a request, and the header that it came in.

        Args:
            values: The values of the id's header, one for each time that it came.
            traceparents: The values of ``traceparent``, which is used if it came once.
            client: The client's address, None if it is not known.
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
            # An id that cannot be judged is not used.
            pass
        return FoundId(self.generate(), None)

    def _brought(self, values: list[str]) -> str | None:
        """Return the id in a header's values, None if no value is used."""
        # The length of the values joined by commas.
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
        # An empty value counts: a proxy may have had no id to add.
        value = values[-place]
        return value if value and self.validator(value) else None

    def generate(self) -> str:
        """Return a new id."""
        # A call as an attribute searches the class's methods first.
        generator = self.generator
        try:
            made = generator()
            if made and type(made) is str:
                return made
        except Exception:
            # The request is served with an id of ours.
            pass
        return new_id()

    @property
    def echoes_all(self) -> bool:
        """Whether every id may be sent in a header of the response."""
        return self.echo and self._is_sendable

    def may_echo(self, request_id: str) -> bool:
        """Return whether an id may be sent in a header of the response."""
        return self.echo and (self._is_sendable or _SENDABLE.fullmatch(request_id) is not None)


def _check_header(name: object) -> None:
    if not is_own_header(name):
        raise OptionError(f"header_name is {shown(name)}; it must be {OWN_HEADER}")


def _check_function(name: str, given: object, kind: str, example: str) -> None:
    # Where a request calls it, an exception means an invalid id: the mistake would stay hidden.
    if not callable(given):
        raise OptionError(
            f"{name} is {shown(given)}; it must be a function {kind}, such as "
            f"dockerflow.request_id.{example}, and not its name"
        )


def _checked_trust(trust: Any) -> Any:
    """Return a function as it is, and a constant as a bool."""
    if callable(trust):
        return trust
    if trust is None or (isinstance(trust, int) and trust in (0, 1)):
        return bool(trust)
    raise OptionError(
        f"trust is {shown(trust)}; it must be True, False, or a function that takes the address "
        "of a client, None if it is not known, and returns whether its ids are used"
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
