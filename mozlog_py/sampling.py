"""Sample: a processor that keeps some of the many, and all of what matters."""

from __future__ import annotations

import logging
import os
import random
import zlib
from typing import Any, Final

import structlog

from mozlog_py._config.options import OptionError
from mozlog_py._context.brought_ids import RANGE, brought, number_for
from mozlog_py._fields.from_event import event_level, level_number
from mozlog_py._values.plain_types import is_scalar
from mozlog_py._values.sanitiser import Sanitiser

from .context import current

__all__ = ["VARIABLE", "Sample"]

#: The environment variable that has the secret, where the parameter is left out.
VARIABLE: Final = "MOZLOG_SAMPLE_SECRET"
#: Bytes that a secret has at least: fewer can be guessed by trying.
_MIN_BYTES: Final = 16


class Sample:
    """Keeps every event at or above a level, and one in ``rate`` of those below it.

    - ``rate``: one in how many is kept; each of them says so in ``sample_rate``,
      by which a count of lines is to be multiplied.
    - ``keep_from``: the level (a name or number) from which on all are kept.
    - ``key``: the field whose value decides, so that all lines of a request are
      kept or none is; the same in every process. It decides by its text in the line:
      a ``UUID`` as its ``str`` does. Where an event has none, and the context neither,
      chance decides; it does as well for containers and for what has no text.
    - ``secret``: a text or bytes, of 16 bytes or more, which the services of a system share;
      None for ``MOZLOG_SAMPLE_SECRET`` of the environment. The value decides by a hash that
      is keyed with it, so that clients cannot choose ids that are kept, or are not. Without
      a secret, chance decides for each request whose id its client has brought, once.

    It is a processor of structlog and of ``MozlogFormatter``, and a filter of
    ``logging``: for handlers that are not ours, whose formatters can drop nothing.
    Raises ``ValueError`` for a rate or level that is none, and ``OptionError``, which is one,
    for a secret that is none.
    """

    def __init__(
        self,
        rate: int,
        *,
        keep_from: int | str = logging.WARNING,
        key: str = "rid",
        secret: str | bytes | None = None,
    ) -> None:
        if not isinstance(rate, int) or isinstance(rate, bool) or rate < 1:
            raise ValueError(f"rate is {rate!r}; it must be a number from 1: one in how many")
        level = level_number(keep_from)
        if level is None:
            raise ValueError(f"keep_from is {keep_from!r}; it must be a level's name or number")
        self.rate = rate
        self.keep_from = level
        self.key = key
        # Not the secret itself, which a dump of this object would show.
        self._hash_key = _hash_key(secret)
        self._begin()

    def _begin(self) -> None:
        self._hash: Any = None
        if self._hash_key is None:
            brought.is_wanted = True
        else:
            # For those who have a secret only: it takes a millisecond to import.
            from hashlib import blake2b

            self._hash = blake2b(digest_size=4, key=self._hash_key)

    def __getstate__(self) -> dict[str, Any]:
        # A hash cannot be pickled.
        return {name: value for name, value in vars(self).items() if name != "_hash"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # An object that was pickled by an earlier version has no key.
        vars(self).update({"_hash_key": None, **state})
        self._begin()

    def __call__(self, _: Any, method_name: str, event_dict: dict[str, Any]) -> dict[str, Any]:
        """Give the event dict, marked, or raise ``structlog.DropEvent``."""
        if event_level(event_dict, method_name) >= self.keep_from or self.rate == 1:
            return event_dict
        if not self._keeps(event_dict.get(self.key)):
            raise structlog.DropEvent
        event_dict["sample_rate"] = self.rate
        return event_dict

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is kept, and mark it if so."""
        level = level_number(record.levelno)
        if self.rate == 1 or (level is not None and level >= self.keep_from):
            return True
        if not self._keeps(getattr(record, self.key, None)):
            return False
        record.sample_rate = self.rate
        return True

    def _keeps(self, value: Any) -> bool:
        text = _text(value) or _text(current().get(self.key))
        return self._number_of(text) * self.rate < RANGE

    def _number_of(self, text: str) -> int:
        """Return a number below ``RANGE`` that is the same for all lines with a text."""
        if not text:
            return random.randrange(RANGE)  # noqa: S311 - clients do not see it
        if self._hash is not None:
            keyed = self._hash.copy()
            keyed.update(_encoded(text))
            return int.from_bytes(keyed.digest(), "big")
        drawn = number_for(text)
        # Not hash(): that is another one in each process.
        return zlib.crc32(_encoded(text)) if drawn is None else drawn


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _hash_key(secret: str | bytes | None) -> bytes | None:
    """Return the key that a secret stands for; None where there is none."""
    name = "secret"
    given: object = secret
    if given is None:
        name = VARIABLE
        # As with the other variables, one that is empty counts as not set.
        given = os.environ.get(name, "").strip() or None
        if given is None:
            return None
    # The error must not show it.
    if isinstance(given, str):
        raw = _encoded(given)
    elif isinstance(given, bytes):
        raw = given
    else:
        raise OptionError(
            f"{name} is of type {type(given).__name__}; it must be a text or bytes that all "
            "services of the system share, such as what `openssl rand -hex 16` prints"
        )
    if len(raw) < _MIN_BYTES:
        size = f"has {len(raw)} bytes" if raw else "is empty"
        raise OptionError(
            f"{name} {size}; it must have {_MIN_BYTES} or more, so that it cannot be "
            "guessed, such as what `openssl rand -hex 16` prints"
        )
    from hashlib import blake2b

    return blake2b(raw, digest_size=32, person=b"mozlog_sample").digest()


def _text(value: Any) -> str:
    """Return the text that a value has in a line; an empty one where it has none."""
    if value is None or type(value) is str:
        return value or ""
    if issubclass(type(value), (dict, list, tuple)):
        # They have no text, and may have any number of members.
        return ""
    sanitiser = Sanitiser()
    plain = sanitiser.value(value)
    if sanitiser.reasons or plain is None or not is_scalar(type(plain)):
        return ""
    return str(plain)
