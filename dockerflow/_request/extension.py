"""What the extension objects of frameworks have in common: ``Dockerflow(app)``."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from dockerflow import checks
from dockerflow.checks.registry import checks_of, register_owned
from dockerflow.endpoints import Endpoints
from dockerflow.request_id import RequestIdPolicy
from dockerflow.summary import LOGGER_NAME

from .options import ReloadingOptions

__all__ = ["Extension", "Installation"]

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Installation:
    """What belongs to one application that an extension is installed in."""

    #: The options of each request.
    options: ReloadingOptions
    #: The four endpoints.
    endpoints: Endpoints


class Extension:
    """The base of an extension object, which may serve several applications.

    Its methods ``checks``, ``init_check`` and ``check`` are upstream's former names for
    functions of ``dockerflow.checks``; each warns.
    """

    def __init__(
        self,
        logger_name: str,
        *,
        read_version: Callable[[str], Any],
        version_path: str | None,
        silenced_checks: Iterable[str] | None,
        request_id: RequestIdPolicy | None,
        own_checks: Iterable[tuple[Callable[..., Any], Any]],
    ) -> None:
        """Register the checks, and read no application yet.

        Args:
            logger_name: The name of the logger of the endpoints and the hooks.
            read_version: Returns the version, by the folder of ``version.json``.
            version_path: That folder; None for the framework's default.
            silenced_checks: Ids of messages that do not count.
            request_id: The policy for ids; None to make it of the configuration.
            own_checks: Pairs of a check and the object that it checks. They count only in
                heartbeats of this object's applications, and only if the object is not None.
        """
        self.logger = logging.getLogger(logger_name)
        self.logger.setLevel(logging.INFO)
        #: Where summaries go.
        self.summary_logger: Any = logging.getLogger(LOGGER_NAME)
        self.silenced_checks = silenced_checks or []
        self.version_path: Any = version_path
        self._version_callback = read_version
        self._policy = request_id
        self._own_checks = dict(
            register_owned(check, checked) for check, checked in own_checks if checked is not None
        )

    def _install(
        self, app: Any, where: str, read_version: Callable[[], Any], **more: Any
    ) -> Installation:
        """Make the options and the endpoints of an application.

        Args:
            app: The application, with ``config``, a mapping, and ``debug``.
            where: What warnings of settings call that mapping.
            read_version: Returns the version.
            **more: More parameters of ``Endpoints``.

        Raises:
            SettingsError: If the configuration is bad.
        """
        live = ReloadingOptions(app.config.get, self._policy, names=app.config.keys, where=where)
        endpoints = Endpoints(
            settings=live.settings,
            read_version=read_version,
            find_checks=lambda: checks_of(checks.get_checks(), self._own_checks),
            silenced_checks=self.silenced_checks,
            config=app.config,
            is_debug=lambda: bool(app.debug),
            logger=self.logger,
            **more,
        )
        return Installation(live, endpoints)

    def version_callback(self, func: _F) -> _F:
        """Register a function that returns the version: a decorator.

        Args:
            func: Takes the folder of ``version.json``.
        """
        self._version_callback = func
        return func

    @property
    def checks(self) -> dict[str, Callable[..., Any]]:
        """All registered checks; ``dockerflow.checks.get_checks()`` takes its place."""
        _deprecated("dockerflow.checks", "checks.get_checks()")
        return checks.get_checks()

    def init_check(self, check: Callable[..., Any], obj: Any) -> Any:
        """Register a check of something; ``dockerflow.checks.register_partial`` takes its place."""
        _deprecated("dockerflow.init_check()", "checks.register_partial()")
        return checks.register_partial(check, obj)

    def check(self, func: Any = None, name: str | None = None) -> Any:
        """Register a check; ``dockerflow.checks.register`` takes its place."""
        _deprecated("dockerflow.check()", "checks.register()")
        return checks.register(func=func, name=name)


def _deprecated(what: str, instead: str) -> None:
    # Upstream's text, which filters of services match.
    text = f"`{what}` is deprecated, use `{instead}` instead."
    warnings.warn(text, DeprecationWarning, stacklevel=3)
