"""Sample: a processor that keeps a fraction of the events below a level."""

from __future__ import annotations

import logging
import os
import random
import zlib
from collections.abc import MutableMapping
from typing import Any, Final

from mozlog_py._config.options import OptionError
from mozlog_py._context.brought_ids import RANGE, brought, number_for
from mozlog_py._fields.from_event import event_level, level_number
from mozlog_py._process.fork_safe_import import fork_safe_import
from mozlog_py._values.dict_items import DICTS
from mozlog_py._values.plain_types import is_scalar
from mozlog_py._values.sanitiser import Sanitiser

from .context import current

__all__ = ["VARIABLE", "Sample", "drop_event"]

#: The environment variable of the secret, for a ``Sample`` without the parameter.
VARIABLE: Final = "MOZLOG_SAMPLE_SECRET"
#: The least number of bytes of a secret: a shorter one can be found by trial.
_MIN_BYTES: Final = 16


class _Structlog:
    """What this module needs of structlog, once it was needed."""

    drop_event: type[BaseException] | None = None


def drop_event() -> type[BaseException]:
    """Return ``structlog.DropEvent``, the exception that drops an event.

    No module that ``mozlog_py.structlog`` imports may import structlog while it is imported
    itself: ``configure()`` may wait for that import, to set up structlog.
    """
    if _Structlog.drop_event is None:
        with fork_safe_import():
            import structlog
        _Structlog.drop_event = structlog.DropEvent
    return _Structlog.drop_event


class Sample:
    """Keeps every event at or above a level, and one in ``rate`` of those below it.

    It is a processor of structlog and of ``MozlogFormatter``. It is also a filter of
    ``logging``, for handlers of other packages, whose formatters cannot drop a record.

    Args:
        rate: One in how many events is kept. Each of them has the field ``sample_rate``, with
            which a count of lines is multiplied.
        keep_from: The level, a name or number, from which all events are kept.
        key: The field whose value decides, so that all lines of a request are kept or none is,
            in every process. The text of the value in the line decides: for a ``UUID``, its
            ``str``. If neither the event nor the context has a value, chance decides; also for
            a container, and for a value without a text.
        secret: A text or bytes, of 16 bytes or more, which the services of a system share;
            None for ``MOZLOG_SAMPLE_SECRET`` of the environment. A hash that is keyed with it
            decides, so that clients cannot choose ids that are kept, or are not. Without a
            secret, chance decides once for each request whose client has sent its id.

    Raises:
        ValueError: The rate or the level is invalid.
        OptionError: The secret is invalid. It is a ``ValueError``.
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
        # Not the secret itself: a pickle or a repr of this object would show it.
        self._hash_key = _hash_key(secret)
        self._begin()

    def _begin(self) -> None:
        self._hash: Any = None
        if self._hash_key is None:
            brought.is_wanted = True
        else:
            # Not at the top: the import takes a millisecond, and few processes have a secret.
            from hashlib import blake2b

            self._hash = blake2b(digest_size=4, key=self._hash_key)

    def __getstate__(self) -> dict[str, Any]:
        # A hash cannot be pickled.
        return {name: value for name, value in vars(self).items() if name != "_hash"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # An earlier version pickled the object without a key.
        vars(self).update({"_hash_key": None, **state})
        self._begin()

    def __call__(
        self, _: Any, method_name: str, event_dict: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Return the event dict, with its ``sample_rate``.

        Raises:
            structlog.DropEvent: The event is not kept.
        """
        if event_level(event_dict, method_name) >= self.keep_from or self.rate == 1:
            return event_dict
        if not self._keeps(event_dict.get(self.key)):
            raise drop_event()
        event_dict["sample_rate"] = self.rate
        return event_dict

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is kept, and set its ``sample_rate`` if so."""
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
        """Return a number below ``RANGE`` that is the same for all lines with this text."""
        if not text:
            return random.randrange(RANGE)  # noqa: S311 - no client sees it
        if self._hash is not None:
            keyed = self._hash.copy()
            keyed.update(_encoded(text))
            return int.from_bytes(keyed.digest(), "big")
        drawn = number_for(text)
        # Not hash(), which differs between processes.
        return zlib.crc32(_encoded(text)) if drawn is None else drawn


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _hash_key(secret: str | bytes | None) -> bytes | None:
    """Return the key of a secret, or of the one in the environment; None if there is none."""
    name = "secret"
    value: object = secret
    if value is None:
        name = VARIABLE
        # An empty variable counts as not set, like the other variables.
        value = os.environ.get(name, "").strip() or None
        if value is None:
            return None
    # The errors do not show the secret.
    if isinstance(value, str):
        raw = _encoded(value)
    elif isinstance(value, bytes):
        raw = value
    else:
        raise OptionError(
            f"{name} is of type {type(value).__name__}; it must be a text or bytes that all "
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
    """Return the text that a value has in a line; an empty text if it has none."""
    if value is None or type(value) is str:
        return value or ""
    if issubclass(type(value), (*DICTS, list, tuple)):
        # A container has no text, and any number of members.
        return ""
    sanitiser = Sanitiser()
    plain = sanitiser.value(value)
    if sanitiser.reasons or plain is None or not is_scalar(type(plain)):
        return ""
    return str(plain)
