"""Every ``DOCKERFLOW_*`` setting: its name, its default and its valid values.

Settings are read from the configuration of an application: the environment, Flask's
``app.config``, Django's settings, or FastAPI's ``app.state``.
"""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from mozlog_py._process.fork_safe_import import fork_safe_import
from mozlog_py._process.memo import remember

__all__ = [
    "CHOICES",
    "MAX_PROXIES",
    "NAMES",
    "DefaultSeconds",
    "LiveSettings",
    "Settings",
    "SettingsError",
    "is_own_header",
    "warn_of_near_misses",
]

_logger: Final = logging.getLogger("dockerflow.settings")

# The characters of a header's name (RFC 9110, 5.6.2).
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Headers with another meaning. An id from such a header is logged and echoed: that discloses a
# credential or a session, or breaks the response. Source: the registry of HTTP fields, and the
# headers of browsers, proxies and tracers.
_OTHER_NAMES: Final = """
    accept accept-charset accept-encoding accept-language accept-ranges age allow alt-svc
    authorization baggage b3 cache-control cdn-loop cf-connecting-ip clear-site-data connection
    cookie cookie2 date dnt early-data etag expect expires forwarded from host http2-settings
    keep-alive last-modified link location max-forwards nel origin pragma priority range referer
    referrer-policy refresh retry-after save-data sentry-trace server server-timing set-cookie
    set-cookie2 sourcemap strict-transport-security te traceparent tracestate trailer
    transfer-encoding true-client-ip upgrade upgrade-insecure-requests user-agent vary via warning
    www-authenticate x-access-token x-api-key x-auth-token x-client-ip x-cluster-client-ip
    x-content-type-options x-csrf-token x-csrftoken x-frame-options x-http-method-override
    x-powered-by x-real-ip x-requested-with x-xsrf-token x-xss-protection
"""
#: What the name of the id's header must be, for error messages.
OWN_HEADER: Final = (
    "the name of a header that means nothing else, such as X-Request-Id: not one that HTTP, "
    "browsers, proxies or tracers use, such as Cookie, Host or Content-Length"
)
_OTHER_MEANINGS: Final = frozenset(_OTHER_NAMES.split())
_OTHER_PREFIXES: Final = (
    "access-control-", "content-", "cross-origin-", "if-", "proxy-", "sec-", "x-forwarded-",
)  # fmt: skip
#: The choices among several ids, beside a number of proxies.
CHOICES: Final = ("first", "last")
#: The largest number of proxies.
MAX_PROXIES: Final = 100
_WORDS: Final = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


#: The largest number of seconds that a setting may have: a day.
_MAX_SECONDS: Final = 86_400


class DefaultSeconds(float):
    """A number of seconds whose type shows that it is a default, and was not set."""

    __slots__ = ()


class SettingsError(ValueError):
    """A setting has an invalid value. The text has the name, the value and the valid values."""


def _switch(value: Any) -> bool:
    if isinstance(value, str):
        return _WORDS[value.strip().lower()]
    if value in (0, 1):
        return bool(value)
    raise ValueError


def is_own_header(name: object) -> bool:
    """Return whether a text is the name of a header without another meaning."""
    if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
        return False
    # In a WSGI environ both characters give the same name.
    known = name.lower().replace("_", "-")
    return known not in _OTHER_MEANINGS and not known.startswith(_OTHER_PREFIXES)


def _header(value: Any) -> str:
    if is_own_header(value):
        return str(value)
    raise ValueError


def _choice(value: Any) -> str | int:
    if isinstance(value, str):
        text = value.strip().lower()
        if text in CHOICES:
            return text
        value = int(text)
    if type(value) is int and 1 <= value <= MAX_PROXIES:
        return value
    raise ValueError


def _one_of(*words: str) -> Callable[[Any], str]:
    def coerce(value: Any) -> str:
        if isinstance(value, str) and value.lower() in words:
            return value.lower()
        raise ValueError

    return coerce


def _whole(least: int, most: float = math.inf) -> Callable[[Any], int]:
    def coerce(value: Any) -> int:
        number = int(value) if isinstance(value, str) else value
        if isinstance(number, int) and not isinstance(number, bool) and least <= number <= most:
            return int(number)
        raise ValueError

    return coerce


def _seconds(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError
    number = float(value)
    if math.isfinite(number) and 0 <= number <= _MAX_SECONDS:
        return number
    raise ValueError


def _positive_seconds(value: Any) -> float:
    if number := _seconds(value):
        return number
    raise ValueError


def _unchanged(value: Any) -> Any:
    return value


def _rule(coerce: Callable[[Any], Any], allowed: str) -> dict[str, Any]:
    return {"coerce": coerce, "allowed": allowed}


_SWITCH: Final = _rule(_switch, "true or false (also 1, 0, yes, no, on, off)")
_ANYTHING: Final = _rule(_unchanged, "")


@dataclass(frozen=True)
class Settings:
    """The values of all settings.

    The attribute ``error_endpoint`` is the setting ``DOCKERFLOW_ERROR_ENDPOINT``, and so on. A
    setting that is missing, None or the empty string has its default.
    """

    #: Whether ``/__error__`` is served.
    error_endpoint: bool = field(default=True, metadata=_SWITCH)
    #: Seconds in which one call of ``/__error__`` is logged with its traceback; 0 for each call.
    error_log_seconds: float = field(
        default=1.0,
        metadata=_rule(_seconds, "a number of seconds up to 86,400, 0 for each call"),
    )
    #: The deadline in seconds of a check that was registered without its own.
    check_timeout_seconds: float = field(
        default=5.0,
        metadata=_rule(_positive_seconds, "a number of seconds above 0, and up to 86,400"),
    )
    #: Checks to register, as dotted names; Django only.
    checks: Any = field(default=None, metadata=_ANYTHING)
    #: Whether checks run one after the other, in the request's thread and context.
    checks_in_request: bool = field(default=False, metadata=_SWITCH)
    #: Seconds for which outcomes of checks are fresh. The default is 0 while a test runs.
    heartbeat_cache_seconds: float = field(
        default=DefaultSeconds(1.0),
        metadata=_rule(_seconds, "a number of seconds up to 86,400, 0 for none"),
    )
    #: The details of a heartbeat. ``always``: all. ``debug``: all in debug mode, else none.
    #: ``levels``: all in debug mode, else levels and ids without texts. ``never``: none.
    heartbeat_details: str = field(
        default="always",
        metadata=_rule(
            _one_of("always", "levels", "debug", "never"), "always, levels, debug or never"
        ),
    )
    #: The HTTP status of a heartbeat that failed.
    heartbeat_failed_status_code: int = field(
        default=500, metadata=_rule(_whole(200, 599), "an HTTP status from 200 to 599")
    )
    #: The number of heartbeats that wait for checks at a time; others get the last outcome.
    heartbeat_max_waiting: int = field(
        default=2, metadata=_rule(_whole(0), "a whole number, 0 for no limit")
    )
    #: The characters of valid ids in requests: ``safe`` (letters, digits and ``._:/+=@-``),
    #: ``visible`` ASCII without a comma, ``any``.
    request_id_characters: str = field(
        default="safe", metadata=_rule(_one_of("safe", "visible", "any"), "safe, visible or any")
    )
    #: The choice among several ids: ``first``, ``last``, or a number of proxies.
    request_id_choice: Any = field(
        default="first",
        metadata=_rule(
            _choice,
            f"first, last, or the number of proxies that each add an id, from 1 to {MAX_PROXIES}",
        ),
    )
    #: Whether responses carry the request's id.
    request_id_echo: bool = field(default=True, metadata=_SWITCH)
    #: The header of ids, in requests and in responses.
    request_id_header_name: str = field(
        default="x-request-id",
        metadata=_rule(_header, OWN_HEADER),
    )
    #: Whether the trace id of a ``traceparent`` header is the request's id.
    request_id_traceparent: bool = field(default=False, metadata=_SWITCH)
    #: Whether ids in requests are accepted at all.
    request_id_trust: bool = field(default=True, metadata=_SWITCH)
    #: Whether one exception becomes one event of sentry-sdk, if that is initialised.
    sentry: bool = field(default=True, metadata=_SWITCH)
    #: Whether a summary has the query string.
    summary_log_querystring: bool = field(default=False, metadata=_SWITCH)
    #: Whether the summary of an exception has its traceback.
    summary_traceback: bool = field(default=True, metadata=_SWITCH)
    #: A function that returns the version, or its dotted name; Django only.
    version_callback: Any = field(default="dockerflow.version.get_version", metadata=_ANYTHING)
    #: Whether ``/__version__`` shows URLs without users, passwords and tokens.
    version_mask: bool = field(default=True, metadata=_SWITCH)

    @classmethod
    def read(
        cls, source: Callable[[str], Any] | Mapping[str, Any] | None = None, **defaults: Any
    ) -> Settings:
        """Return the settings of a configuration.

        Args:
            source: A mapping, or a function that returns the value of a name, or None; by
                default the environment.
            defaults: The defaults of a framework, by attribute.

        Raises:
            SettingsError: A value is invalid.
        """
        lookup: Callable[[str], Any]
        if source is None:
            lookup = os.environ.get
            warn_of_near_misses(os.environ, "the environment")
        elif isinstance(source, Mapping):
            lookup = source.get
            warn_of_near_misses(source, "the configuration")
        else:
            lookup = source
        return cls.of([lookup(name) for name in NAMES], **defaults)

    @classmethod
    def of(cls, values: list[Any], **defaults: Any) -> Settings:
        """Return the settings of raw values.

        Args:
            values: The raw values, in the order of ``NAMES``.
            defaults: The defaults of a framework, by attribute.

        Raises:
            SettingsError: A value is invalid.
        """
        attributes = dict(defaults)
        for each, name, value in zip(fields(cls), NAMES, values, strict=True):
            # Not value != "", because the comparison of a foreign object may raise.
            if value is not None and not (isinstance(value, str) and not value):
                attributes[each.name] = _coerced(name, value, each.metadata)
        return cls(**attributes)


#: The names of all settings, in the order of their attributes.
NAMES: Final = tuple(f"DOCKERFLOW_{each.name.upper()}" for each in fields(Settings))


def _coerced(name: str, value: Any, metadata: Mapping[str, Any]) -> Any:
    try:
        return metadata["coerce"](value)
    except Exception:
        message = f"{name} is {value!r}; it must be {metadata['allowed']}"
        raise SettingsError(message) from None


_PREFIX: Final = "DOCKERFLOW_"
_NEARLY_PREFIX: Final = re.compile("DOCKER_?FLOW_?")
_LETTERS: Final = frozenset(_PREFIX)
_RESTS: Final = tuple(name.removeprefix(_PREFIX) for name in NAMES)
# The least similarity, from 0 to 1, at which a name is a misspelt one; and the same of prefixes.
_ALIKE: Final = 0.75
_PREFIX_ALIKE: Final = 0.85
# The names of warnings that were logged in this process.
_warned: Final[dict[str, None]] = {}
_MAX_WARNED: Final = 100


def warn_of_near_misses(names: Iterable[Any], where: str) -> None:
    """Log one warning for each name that is a misspelt setting. Never raises.

    Args:
        names: All names of a configuration.
        where: The name of the configuration, for the warning.
    """
    try:
        for name in [*names]:
            if type(name) is str and name not in _warned and name not in _KNOWN:
                meant = _meant_by(name)
                if meant is not None:
                    remember(_warned, name, None, _MAX_WARNED)
                    _logger.warning(
                        "%s in %s is not a setting of dockerflow; did you mean %s?",
                        name, where, meant,
                    )  # fmt: skip
    except Exception:
        # The configuration may be an object of the application, which may raise anything.
        _logger.debug("the names in %s cannot be read", where, exc_info=True)


def _meant_by(name: str) -> str | None:
    """Return the setting of which a name is a misspelling, or None."""
    rest = _behind_prefix(name.upper().replace("-", "_"))
    if not rest:
        return None
    ends = [known for known in _RESTS if known == rest or known.endswith(f"_{rest}")]
    words = sorted(rest.split("_"))
    near = (
        (ends if len(ends) == 1 else [])
        or [known for known in _RESTS if sorted(known.split("_")) == words]
        or _alike(rest)
    )
    return f"{_PREFIX}{near[0]}" if near else None


def _behind_prefix(written: str) -> str:
    """Return the rest of a name behind the prefix, or behind a misspelt prefix."""
    found = _NEARLY_PREFIX.match(written)
    if found is not None:
        return written[found.end() :]
    head, _, rest = written.partition("_")
    # A cheap test first: an environment has many names, and most are not similar at all.
    if not 8 <= len(head) <= 11 or len(set(head) - _LETTERS) > 1:
        return ""
    with fork_safe_import():
        from difflib import SequenceMatcher

    is_alike = SequenceMatcher(None, f"{head}_", _PREFIX).ratio() >= _PREFIX_ALIKE
    return rest if is_alike else ""


def _alike(rest: str) -> list[str]:
    # Few processes have a name that needs it.
    with fork_safe_import():
        from difflib import get_close_matches

    near = get_close_matches(rest, _RESTS, 1, _ALIKE)
    # A name with further words is another name: DOCKERFLOW_SENTRY_DSN.
    return [known for known in near if not rest.startswith(f"{known}_")]


_KNOWN: Final = frozenset(NAMES)


class LiveSettings:
    """Settings of a configuration that may change while the application runs.

    A call returns the current ``Settings``. An invalid value that comes later is logged, and
    the former settings stay.

    Args:
        lookup: Returns the value of a name, or None.
        raises: Whether an invalid value raises at the start. Else it is logged, and the
            defaults are used.
        names: Returns all names of the configuration. Misspelt settings are logged once.
        where: The name of the configuration, for warnings.
        defaults: The defaults of a framework, by attribute.

    Raises:
        SettingsError: A value is invalid, and ``raises`` is true.
    """

    def __init__(
        self,
        lookup: Callable[[str], Any],
        *,
        raises: bool = True,
        names: Callable[[], Iterable[Any]] = tuple,
        where: str = "the configuration",
        **defaults: Any,
    ) -> None:
        self._lookup = lookup
        self._names = names
        self._where = where
        warn_of_near_misses(names(), where)
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
        """Return the current settings."""
        raw = [*map(self._lookup, NAMES)]
        if raw != self._raw:
            self._raw = raw
            warn_of_near_misses(self._names(), self._where)
            try:
                self._settings = Settings.of(raw, **self._defaults)
            except SettingsError as error:
                _logger.error("%s; the former settings stay", error)
        return self._settings
