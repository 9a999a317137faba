"""The four endpoints as plain functions: what is asked for goes in, a ``Reply`` comes out.

============== =====================================================================
path           answer
============== =====================================================================
__version__    what ``version.json`` says; 404 where there is none
__heartbeat__  the result of all checks; a failure status where one is an error
__lbheartbeat__ always 200, and nothing is touched
__error__      raises, to test how errors are reported
============== =====================================================================
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, NoReturn

from mozlog_py.line import encode
from mozlog_py.values import Sanitiser

from . import checks
from . import version as versions
from ._request import sentry
from .settings import Settings

__all__ = [
    "ALLOWED_METHODS",
    "LBHEARTBEAT",
    "NAMES",
    "NOT_ALLOWED",
    "NOT_FOUND",
    "PATHS",
    "Endpoints",
    "Reply",
    "application_root",
    "endpoint_of",
    "error",
    "heartbeat",
    "version",
    "version_failed",
    "version_of",
]

#: The endpoints by their paths.
PATHS: Final = {
    "/__version__": "version",
    "/__heartbeat__": "heartbeat",
    "/__lbheartbeat__": "lbheartbeat",
    "/__error__": "error",
}
# As upstream's: probes in the wild ask with one slash at the end.
_NAMES_BY_PATH: Final = {**PATHS, **{f"{path}/": name for path, name in PATHS.items()}}

#: The endpoints.
NAMES: Final = tuple(PATHS.values())
#: Other methods get ``NOT_ALLOWED``.
ALLOWED_METHODS: Final = ("GET", "HEAD")

_LOGGER: Final = logging.getLogger("dockerflow")
_NO_STORE: Final = ("Cache-Control", "no-store")
_JSON: Final = ("Content-Type", "application/json")
_TEXT: Final = ("Content-Type", "text/plain; charset=utf-8")


def endpoint_of(path: str) -> str | None:
    """Return the name of the endpoint that a path is for, None for any other path.

    One slash may follow the path, and nothing else.
    """
    return _NAMES_BY_PATH.get(path)


class Reply(NamedTuple):
    """An answer: the HTTP status, the headers but the length, and the body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def _json(status: int, payload: Any) -> Reply:
    try:
        body = json.dumps(payload, allow_nan=False, separators=(",", ":")).encode()
    except (RecursionError, TypeError, ValueError):
        # A version callback or a version.json may hold anything.
        body = encode(Sanitiser().value(payload))
    return Reply(status, (_JSON, _NO_STORE), body)


#: The answer of ``/__lbheartbeat__``.
LBHEARTBEAT: Final = _json(200, {"status": "ok"})
#: The answer to a method other than GET and HEAD.
NOT_ALLOWED: Final = Reply(
    405, (("Allow", ", ".join(ALLOWED_METHODS)), _TEXT, _NO_STORE), b"Method Not Allowed"
)
#: The answer of an endpoint that is switched off.
NOT_FOUND: Final = Reply(404, (_TEXT, _NO_STORE), b"Not Found")


def version(read: Callable[[], Any], logger: logging.Logger) -> Reply:
    """Answer ``/__version__``; ``read`` gives the version, or None where there is none."""
    try:
        return version_of(read())
    except Exception as failure:
        return version_failed(failure, logger)


def version_of(found: Any) -> Reply:
    """Give the answer for a version that was read."""
    if found is None:
        return Reply(404, (_TEXT, _NO_STORE), b"version.json not found")
    return _json(200, found)


def version_failed(failure: Exception, logger: logging.Logger) -> Reply:
    """Log that the version cannot be read, and give the answer that says so."""
    reason = Sanitiser().name(failure)
    logger.error("The version cannot be told: %s", reason)
    # A version file's error is made for readers; what another one says is for the log.
    is_clear = isinstance(failure, versions.VersionFileError)
    told = reason if is_clear else "the version cannot be told; the log says why"
    return _json(500, {"error": told})


def heartbeat(results: checks.ChecksResults, settings: Settings, *, is_debug: bool) -> Reply:
    """Answer ``/__heartbeat__`` with the results of the checks."""
    payload: dict[str, Any] = {"status": checks.level_to_text(results.level)}
    wanted = settings.heartbeat_details
    if wanted == "always" or (wanted == "debug" and is_debug):
        payload["checks"] = results.statuses
        payload["details"] = results.details
    is_failure = results.level >= checks.ERROR
    return _json(settings.heartbeat_failed_status_code if is_failure else 200, payload)


def error(logger: logging.Logger) -> NoReturn:
    """Answer ``/__error__``: log an error, and raise one."""
    logger.error("The __error__ endpoint was called")
    raise Exception("This is a test exception from the /__error__ endpoint.")


def application_root() -> str:
    """Give the folder of ``version.json`` in a Dockerflow container: ``APP_DIR``, else ``/app``."""
    return os.environ.get("APP_DIR", "/app")


@dataclass(frozen=True)
class Endpoints:
    """The endpoints of one application.

    ``settings`` gives the settings of now; ``read_version`` the version, None
    where there is none; ``find_checks`` what to run, by name; ``config`` is what
    a check receives as its parameter of that name.
    """

    settings: Callable[[], Settings]
    read_version: Callable[[], Any]
    find_checks: Callable[[], Iterable[tuple[str, Callable[..., Any]]]] = lambda: (
        checks.get_checks().items()
    )
    silenced_checks: Iterable[str] = ()
    config: Any = None
    is_debug: Callable[[], bool] = lambda: False
    logger: logging.Logger = _LOGGER

    def known(self, name: str, method: str) -> Reply | None:
        """Give the answer where it takes neither a check nor a file; may raise, for ``error``."""
        self._leave_untraced()
        if method not in ALLOWED_METHODS:
            return NOT_ALLOWED
        if name == "lbheartbeat":
            return LBHEARTBEAT
        if name == "error":
            if not self.settings().error_endpoint:
                return NOT_FOUND
            error(self.logger)
        return None

    def answer(self, name: str, method: str) -> Reply:
        """Answer a request, running the checks here and now if it is for them."""
        reply = self.known(name, method)
        if reply is not None:
            return reply
        if name == "version":
            return version(self.read_version, self.logger)
        return self.heartbeat(self.run_checks())

    async def answer_async(self, name: str, method: str) -> Reply:
        """Answer a request, running the checks beside the event loop's other work."""
        if name != "heartbeat":
            return self.answer(name, method)
        reply = self.known(name, method)
        if reply is not None:
            return reply
        return self.heartbeat(await self.run_checks_async())

    def run_checks(self) -> checks.ChecksResults:
        """Run the checks, and wait for them."""
        self._leave_untraced()
        settings = self.settings()
        return checks.run_checks(
            self.find_checks(),
            self.silenced_checks,
            config=self.config,
            timeout=settings.check_timeout_seconds,
            cache_seconds=settings.heartbeat_cache_seconds,
        )

    async def run_checks_async(self) -> checks.ChecksResults:
        """Run the checks beside the event loop's other work."""
        self._leave_untraced()
        settings = self.settings()
        return await checks.run_checks_async(
            self.find_checks(),
            self.silenced_checks,
            config=self.config,
            timeout=settings.check_timeout_seconds,
            cache_seconds=settings.heartbeat_cache_seconds,
        )

    def _leave_untraced(self) -> None:
        if "sentry_sdk" in sys.modules and self.settings().sentry:
            sentry.leave_untraced()

    def heartbeat(self, results: checks.ChecksResults) -> Reply:
        """Give the answer that the results are."""
        return heartbeat(results, self.settings(), is_debug=self.is_debug())
