"""Every ``DOCKERFLOW_*`` setting: its name, its default, and what it may be.

They are read from whatever holds an application's configuration: the
environment, Flask's ``app.config``, Django's settings, FastAPI's ``app.state``.
"""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

__all__ = ["NAMES", "LiveSettings", "Settings", "SettingsError"]

_logger: Final = logging.getLogger("dockerflow.settings")

# RFC 9110, 5.6.2: what a header's name is made of.
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_WORDS: Final = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
_DETAILS: Final = ("always", "debug", "never")


class SettingsError(ValueError):
    """A setting has a value that it cannot have; the text names all three."""


def _switch(value: Any) -> bool:
    if isinstance(value, str):
        return _WORDS[value.strip().lower()]
    if value in (0, 1):
        return bool(value)
    raise ValueError


def _header(value: Any) -> str:
    if isinstance(value, str) and _HEADER_NAME.fullmatch(value):
        return value
    raise ValueError


def _status(value: Any) -> int:
    number = int(value) if isinstance(value, str) else value
    if isinstance(number, int) and not isinstance(number, bool) and 200 <= number <= 599:
        return int(number)
    raise ValueError


def _seconds(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError
    number = float(value)
    if math.isfinite(number) and number >= 0:
        return number
    raise ValueError


def _some_seconds(value: Any) -> float:
    if number := _seconds(value):
        return number
    raise ValueError


def _details(value: Any) -> str:
    if isinstance(value, str) and value.lower() in _DETAILS:
        return value.lower()
    raise ValueError


def _as_it_is(value: Any) -> Any:
    return value


def _rule(coerce: Callable[[Any], Any], allowed: str) -> dict[str, Any]:
    return {"coerce": coerce, "allowed": allowed}


_SWITCH: Final = _rule(_switch, "true or false (also 1, 0, yes, no, on, off)")
_ANYTHING: Final = _rule(_as_it_is, "")


@dataclass(frozen=True)
class Settings:
    """All settings, with the values that they have.

    The attribute ``error_endpoint`` is the setting ``DOCKERFLOW_ERROR_ENDPOINT``,
    and so on. A setting that is missing, None or the empty string has its
    default: an environment variable that is set to nothing is no value.
    """

    #: Whether ``/__error__`` is served.
    error_endpoint: bool = field(default=True, metadata=_SWITCH)
    #: Seconds that a check may take, where it was not registered with its own.
    check_timeout_seconds: float = field(
        default=5.0, metadata=_rule(_some_seconds, "a number of seconds above 0")
    )
    #: Checks to register, as dotted names; Django only.
    checks: Any = field(default=None, metadata=_ANYTHING)
    #: Whether checks run one after the other, in the request's own thread and context.
    checks_in_request: bool = field(default=False, metadata=_SWITCH)
    #: Seconds for which results of checks are used again.
    heartbeat_cache_seconds: float = field(
        default=0.0, metadata=_rule(_seconds, "a number of seconds, 0 for none")
    )
    #: Who sees what checks said: ``always`` all, ``debug`` a debugging application, ``never`` none.
    heartbeat_details: str = field(
        default="always", metadata=_rule(_details, "always, debug or never")
    )
    #: The HTTP status of a heartbeat that failed.
    heartbeat_failed_status_code: int = field(
        default=500, metadata=_rule(_status, "an HTTP status from 200 to 599")
    )
    #: Whether responses carry the request's id.
    request_id_echo: bool = field(default=True, metadata=_SWITCH)
    #: The header that an id is taken from, and echoed in.
    request_id_header_name: str = field(
        default="x-request-id", metadata=_rule(_header, "the name of a header")
    )
    #: Whether the trace id of a ``traceparent`` header is the request's id.
    request_id_traceparent: bool = field(default=False, metadata=_SWITCH)
    #: Whether ids that requests bring are taken at all.
    request_id_trust: bool = field(default=True, metadata=_SWITCH)
    #: Whether one exception becomes one event of sentry-sdk, where that is initialised.
    sentry: bool = field(default=True, metadata=_SWITCH)
    #: Whether a summary has the query string.
    summary_log_querystring: bool = field(default=False, metadata=_SWITCH)
    #: Whether the summary of an exception has its traceback.
    summary_traceback: bool = field(default=True, metadata=_SWITCH)
    #: What gives the version, as a dotted name or a callable; Django only.
    version_callback: Any = field(default="dockerflow.version.get_version", metadata=_ANYTHING)

    @classmethod
    def read(
        cls, source: Callable[[str], Any] | Mapping[str, Any] | None = None, **defaults: Any
    ) -> Settings:
        """Read the settings.

        ``source``: a mapping, or a function that gives the value of a name and
        None where there is none; the environment by default. ``defaults``: what
        a framework has other defaults for, by attribute. Raises ``SettingsError``.
        """
        lookup: Callable[[str], Any]
        if source is None:
            lookup = os.environ.get
        else:
            lookup = source.get if isinstance(source, Mapping) else source
        return cls.of([lookup(name) for name in NAMES], **defaults)

    @classmethod
    def of(cls, values: list[Any], **defaults: Any) -> Settings:
        """Make them of raw values, in the order of ``NAMES``. Raises ``SettingsError``."""
        given = dict(defaults)
        for each, name, value in zip(fields(cls), NAMES, values, strict=True):
            # What a configuration holds may compare itself in any way, or not at all.
            if value is not None and not (isinstance(value, str) and not value):
                given[each.name] = _coerced(name, value, each.metadata)
        return cls(**given)


#: The names of all settings, in the order of their attributes.
NAMES: Final = tuple(f"DOCKERFLOW_{each.name.upper()}" for each in fields(Settings))


def _coerced(name: str, value: Any, metadata: Mapping[str, Any]) -> Any:
    try:
        return metadata["coerce"](value)
    except Exception:
        message = f"{name} is {value!r}; it must be {metadata['allowed']}"
        raise SettingsError(message) from None


class LiveSettings:
    """Settings of a configuration that may change while the application runs.

    Calling it gives the ``Settings`` of now; they are made anew only after a
    change. A bad value raises ``SettingsError`` here, at the start, unless
    ``raises`` is false; one that comes later is logged, and what was stays.
    """

    __slots__ = ("_defaults", "_lookup", "_raw", "_settings")

    def __init__(
        self, lookup: Callable[[str], Any], *, raises: bool = True, **defaults: Any
    ) -> None:
        self._lookup = lookup
        self._defaults = defaults
        self._raw = [*map(lookup, NAMES)]
        try:
            self._settings = Settings.of(self._raw, **defaults)
        except SettingsError as error:
            if raises:
                raise
            _logger.error("%s; the defaults are used", error)
            self._settings = Settings(**defaults)

    def __call__(self) -> Settings:
        """Give the settings as they are now."""
        raw = [*map(self._lookup, NAMES)]
        if raw != self._raw:
            self._raw = raw
            try:
                self._settings = Settings.of(raw, **self._defaults)
            except SettingsError as error:
                _logger.error("%s; the former settings stay", error)
        return self._settings
