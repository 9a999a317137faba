"""The parameters of the ASGI and the WSGI core, and the options made of settings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, TypedDict

from dockerflow import version
from dockerflow.checks._run.silenced_ids import check_silenced
from dockerflow.endpoints import Endpoints, application_root
from dockerflow.request_id import RequestIdPolicy, new_id, refuse
from dockerflow.settings import NAMES, LiveSettings, Settings
from dockerflow.summary import LOGGER_NAME
from mozlog_py._config.options import OptionError, check_switch, shown
from mozlog_py._config.overlap import warn_of_overlap
from mozlog_py._fields.request_text import log_query_strings
from mozlog_py._process.memo import remember

from .layer import Layer

__all__ = [
    "AGENT",
    "LANGUAGE",
    "REQUEST_ID_HEADER",
    "TRACEPARENT",
    "HeaderRoles",
    "Middleware",
    "MiddlewareOptions",
    "Options",
    "ReloadingOptions",
]

#: The roles of headers; the roles of an id are the highest.
AGENT: Final = 1
LANGUAGE: Final = 2
REQUEST_ID_HEADER: Final = 3
TRACEPARENT: Final = 4


class HeaderRoles(dict[bytes, int]):
    """The role of each header of a scope by its name in any case; 0 for none.

    Servers send names in lower case; applications that call each other may not. The role of
    a name is computed when the name comes first.
    """

    # An id's header with a longer name is found as well.
    _MAX_LENGTH: Final = 100
    _MAX_NAMES: Final = 300

    def __init__(self, header: bytes, uses_traceparent: bool) -> None:
        super().__init__()
        self._longest = max(len(header), self._MAX_LENGTH)
        self._roles = {b"traceparent": TRACEPARENT} if uses_traceparent else {}
        self._roles |= {header: REQUEST_ID_HEADER, b"user-agent": AGENT}
        self._roles[b"accept-language"] = LANGUAGE

    def __missing__(self, name: bytes) -> int:
        """Compute the role of a name."""
        if len(name) > self._longest:
            return 0
        role = self._roles.get(name.lower(), 0)
        remember(self, name, role, self._MAX_NAMES, self._longest)
        return role


class Options:
    """The options for serving a request, made once of settings and a policy."""

    def __init__(self, settings: Settings, policy: RequestIdPolicy | None) -> None:
        self._settings = settings
        self._with_policy: Options | None = None
        #: How ids are found.
        self.policy = policy or RequestIdPolicy.of(settings)
        #: Makes an id: ``new_id`` if the policy's ``generate`` calls only that, else ``generate``.
        self.generate = new_id if self.policy.generator is new_id else self.policy.generate
        #: Returns whether a header's only value is used as the id unchanged.
        # A subclass of the policy may accept ids where the header is not the only source.
        self.accepts = refuse if self.policy.traceparent else self.policy.accepts
        #: Whether an id may come from a ``traceparent`` header.
        self.uses_traceparent = self.policy.traceparent
        #: Whether responses carry every id, without a check of the id.
        self.echoes_all = self.policy.echoes_all
        #: Whether summaries have the query string.
        self.querystring = settings.summary_log_querystring
        #: Whether sentry-sdk makes one event of an exception.
        self.sentry = settings.sentry
        #: Whether a summary of an exception has its traceback.
        self.summary_traceback = settings.summary_traceback
        name = self.policy.header_name
        #: The name of the id's header in a response.
        self.echo_name = name
        #: The name of the id's header in a scope.
        self.header = name.lower().encode("latin-1")
        #: The roles of a scope's headers.
        self.header_roles = HeaderRoles(self.header, self.uses_traceparent)
        #: The name of the id's header in an environ.
        self.environ_name = f"HTTP_{name.upper().replace('-', '_')}"

    def with_policy(self, policy: RequestIdPolicy | None) -> Options:
        """Return the options of the same settings with a layer's own policy, None for none."""
        if policy is None:
            return self
        # Nearly all applications have one layer with a policy of its own, or none.
        made = self._with_policy
        if made is None or made.policy is not policy:
            made = self._with_policy = Options(self._settings, policy)
        return made


# The settings that each request depends on.
_PREFIXES: Final = ("DOCKERFLOW_REQUEST_ID_", "DOCKERFLOW_SENTRY", "DOCKERFLOW_SUMMARY_")
_NAMES: Final = tuple(name for name in NAMES if name.startswith(_PREFIXES))


class ReloadingOptions:
    """Options made of settings that may change while the application runs.

    The parameter ``policy`` is that of ``Options``. The others are those of ``LiveSettings``,
    which is the attribute ``settings``.
    """

    def __init__(
        self,
        lookup: Callable[[str], Any],
        policy: RequestIdPolicy | None = None,
        *,
        raises: bool = True,
        names: Callable[[], Iterable[Any]] = tuple,
        where: str = "the configuration",
        **defaults: Any,
    ) -> None:
        warn_of_overlap()
        self.settings = LiveSettings(lookup, raises=raises, names=names, where=where, **defaults)
        self._lookup = lookup
        self._policy = policy
        self._made = [*map(lookup, _NAMES)], Options(self.settings(), policy)
        log_query_strings(self._made[1].querystring)

    def now(self) -> Options:
        """Return the options as they are now."""
        raw, options = self._made
        now = [*map(self._lookup, _NAMES)]
        if now != raw:
            options = Options(self.settings(), self._policy)
            self._made = now, options
            log_query_strings(options.querystring)
        return options


class MiddlewareOptions(TypedDict, total=False):
    """The parameters of ``Middleware`` beside the application."""

    settings: Settings | None
    request_id: RequestIdPolicy | None
    logger: logging.Logger | None
    version_path: str | None
    silenced_checks: Iterable[str]
    config: Any
    request_ids: bool
    summaries: bool
    endpoints: bool


class Middleware(Layer):
    """The parameters of ``DockerflowASGI`` and ``DockerflowWSGI``.

    Args:
        app: The application.
        settings: The values of ``DOCKERFLOW_*``; by default read from the environment.
        request_id: The policy for ids; by default made of the settings.
        logger: Logs the summaries; by default ``request.summary``.
        version_path: The folder of ``version.json``; by default ``APP_DIR``, else ``/app``.
        silenced_checks: Ids of messages that do not count.
        config: The argument for checks that have a parameter ``config``; by default the
            settings.
        request_ids: Whether to give ids.
        summaries: Whether to log summaries.
        endpoints: Whether to serve the endpoints.

    Raises:
        SettingsError: If a setting is bad.
        OptionError: If a parameter is of the wrong kind.
    """

    def __init__(
        self,
        app: Any,
        *,
        settings: Settings | None = None,
        request_id: RequestIdPolicy | None = None,
        logger: logging.Logger | None = None,
        version_path: str | None = None,
        silenced_checks: Iterable[str] = (),
        config: Any = None,
        request_ids: bool = True,
        summaries: bool = True,
        endpoints: bool = True,
    ) -> None:
        warn_of_overlap()
        if settings is not None and not isinstance(settings, Settings):
            raise OptionError(
                f"settings is {shown(settings)}; for a mapping write "
                "Settings.read({'DOCKERFLOW_SENTRY': False}), for the environment leave it out"
            )
        for name, given in (
            ("request_ids", request_ids), ("summaries", summaries), ("endpoints", endpoints),
        ):  # fmt: skip
            check_switch(name, given)
        check_silenced("silenced_checks", silenced_checks)
        self.app = app
        self._settings = settings or Settings.read()
        self._options = Options(self._settings, request_id)
        self._logger = logger or logging.getLogger(LOGGER_NAME)
        self._gives_ids = request_ids
        self._gives_summaries = summaries
        if summaries and type(self)._options_of is Middleware._options_of:  # noqa: SLF001 - its own
            log_query_strings(self._options.querystring)
        self._endpoints: Endpoints | None = None
        if endpoints:
            self._endpoints = Endpoints(
                settings=lambda: self._settings,
                read_version=lambda: version.get_version(version_path or application_root()),
                silenced_checks=tuple(silenced_checks),
                config=self._settings if config is None else config,
            )

    # An adapter for a framework whose settings may change overrides it.
    def _options_of(self, holder: Any) -> Options:  # noqa: ARG002
        """Return the options for the request of a scope or an environ."""
        return self._options
