"""The four endpoints as functions that return a ``Reply``.

=============== ====================================================================
path            response
=============== ====================================================================
__version__     the contents of ``version.json``; 404 if there is no such file
__heartbeat__   the results of all checks; a failure status if a check fails
__lbheartbeat__ always 200, without a check
__error__       raises, to test how errors are reported; logged once a second at most
=============== ====================================================================
"""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, NoReturn

from dockerflow._request.rate_limit import RateLimit
from dockerflow.checks._run.heartbeats import Heartbeat, HeartbeatResults
from dockerflow.checks._run.in_test import is_test_running
from dockerflow.checks._run.run_options import RunOptions
from dockerflow.checks._run.surroundings import PLAIN, Surroundings
from dockerflow.checks.registry import checks_of
from mozlog_py._line.line_encoder import encode
from mozlog_py._process.fork_safe_import import fork_safe_import
from mozlog_py._values.class_lookup import type_name
from mozlog_py._values.sanitiser import Sanitiser
from mozlog_py._values.tracebacks import leave_out_frames

from . import checks
from ._request import sentry
from .settings import DefaultSeconds, Settings
from .version import VersionFileError

__all__ = [
    "ALLOWED_METHODS",
    "ENDS",
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
# As upstream's: some probes add a slash to the path.
_NAMES_BY_PATH: Final = {**PATHS, **{f"{path}/": name for path, name in PATHS.items()}}

#: The endpoints.
NAMES: Final = tuple(PATHS.values())
#: Other methods get ``NOT_ALLOWED``.
ALLOWED_METHODS: Final = ("GET", "HEAD")

_LOGGER: Final = logging.getLogger("dockerflow")
_NO_STORE: Final = ("Cache-Control", "no-store")
_JSON: Final = ("Content-Type", "application/json")
_TEXT: Final = ("Content-Type", "text/plain; charset=utf-8")
# A check without an outcome is running, so that a client may retry soon.
_RETRY_AFTER: Final = ("Retry-After", "1")


#: The last two characters of these paths. Comparing them first rules out most other paths.
ENDS: Final = frozenset({"__", "_/"})


def endpoint_of(path: str) -> str | None:
    """Return the name of the endpoint of a path; None for any other path.

    The path may end with one slash more.
    """
    return _NAMES_BY_PATH.get(path)


class Reply(NamedTuple):
    """A response.

    Attributes:
        status: The HTTP status.
        headers: The headers without ``Content-Length``.
        body: The body.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class _NotJsonError(TypeError):
    """A version has a value that JSON has no form for."""


def _json(status: int, payload: Any) -> Reply:
    try:
        body = json.dumps(
            payload, allow_nan=False, default=_json_value, separators=(",", ":")
        ).encode()
    except _NotJsonError:
        raise
    except (RecursionError, TypeError, ValueError):
        # A version callback may return any value, and keys of any type.
        with contextlib.suppress(RecursionError, ValueError):
            json.dumps(payload, default=_json_value, skipkeys=True)
        body = encode(Sanitiser().value(payload))
    return Reply(status, (_JSON, _NO_STORE), body)


def _json_value(value: Any) -> Any:
    """Return a value of a version callback, such as a date, as JSON can have it."""
    sanitiser = Sanitiser()
    plain = sanitiser.value(value)
    if plain == sanitiser.repr(value):
        # The text of an object says nothing of the version, and may show what is not public.
        kind = type_name(type(value))
        raise _NotJsonError(f"The version callback returned a value of {kind}, which is no JSON")
    return plain


#: The response of ``/__lbheartbeat__``.
LBHEARTBEAT: Final = _json(200, {"status": "ok"})
#: The response to a method other than GET and HEAD.
NOT_ALLOWED: Final = Reply(
    405, (("Allow", ", ".join(ALLOWED_METHODS)), _TEXT, _NO_STORE), b"Method Not Allowed"
)
#: The response of an endpoint that is switched off.
NOT_FOUND: Final = Reply(404, (_TEXT, _NO_STORE), b"Not Found")


def version(read: Callable[[], Any], logger: logging.Logger, *, is_masked: bool = True) -> Reply:
    """Return the response of ``/__version__``.

    Args:
        read: Returns the version; None if there is none. Its exceptions go on to the
            framework, as from a view. Only for an invalid ``version.json`` there is a response.
        logger: The logger for an invalid file.
        is_masked: As for ``version_of``.

    Raises:
        TypeError: As in ``version_of``; or the version is an awaitable, such as the coroutine of
            an ``async def``.
    """
    try:
        found = read()
    except VersionFileError as failure:
        return version_failed(failure, logger)
    if inspect.isawaitable(found):
        if inspect.iscoroutine(found):
            # Python warns of one that is neither awaited nor closed.
            found.close()
        raise TypeError(
            "The version callback returned an awaitable, and this view cannot await one: "
            "register a function without async"
        )
    return version_of(found, is_masked=is_masked)


def version_of(found: Any, *, is_masked: bool = True) -> Reply:
    """Return the response for a version.

    Args:
        found: The version; None for a missing file.
        is_masked: Whether credentials in its URLs are masked.

    Raises:
        TypeError: The version has a value that JSON has no form for.
    """
    if found is None:
        return Reply(404, (_TEXT, _NO_STORE), b"version.json not found")
    if not is_masked:
        return _json(200, found)
    # At the first request, because a service may have no such requests.
    with fork_safe_import():
        from dockerflow._request.public_url import public_version

    return _json(200, public_version(found))


def version_failed(failure: VersionFileError, logger: logging.Logger) -> Reply:
    """Log that the version file is invalid, and return a response with the reason.

    Only the log has the path of the file.
    """
    logger.error("The version cannot be read: %s", Sanitiser().text_of(failure))
    return _json(500, {"error": Sanitiser().text_of(failure.public)})


def heartbeat(results: checks.ChecksResults, settings: Settings, *, is_debug: bool) -> Reply:
    """Return the response of ``/__heartbeat__``.

    Args:
        results: The results of the checks.
        settings: The settings.
        is_debug: Whether the application is in debug mode.
    """
    payload: dict[str, Any] = {"status": checks.level_to_text(results.level)}
    wanted = settings.heartbeat_details
    has_texts = wanted == "always" or (is_debug and wanted != "never")
    if has_texts or wanted == "levels":
        payload["checks"] = results.statuses
        payload["details"] = results.details if has_texts else results.levels
    is_failure = results.level >= checks.ERROR
    reply = _json(settings.heartbeat_failed_status_code if is_failure else 200, payload)
    return _marked(reply, results) if isinstance(results, HeartbeatResults) else reply


def _marked(reply: Reply, results: HeartbeatResults) -> Reply:
    """Return a response with the headers and the status for kept or missing outcomes."""
    status, headers = reply.status, reply.headers
    if results.age is not None:
        # In whole seconds (RFC 9111, 5.1).
        headers = (*headers, ("Age", str(int(results.age))))
    if not results.is_known:
        status, headers = 503, (*headers, _RETRY_AFTER)
    return Reply(status, headers, reply.body)


def error(
    logger: logging.Logger, limit: RateLimit | None = None, interval: float = 1.0
) -> NoReturn:
    """Serve ``/__error__``: log an error, and raise an exception.

    Args:
        logger: The logger.
        limit: The rate limit for the log; None for no limit. The exception of a call above
            the limit has no traceback in any log line. The next line within the limit has the
            number of such calls as ``calls_not_logged``.
        interval: The seconds in which one call is within the limit; 0 for every call.
    """
    failure = Exception("This is a test exception from the /__error__ endpoint.")
    withheld = 0 if limit is None else limit.admit(interval)
    if withheld is None:
        leave_out_frames(failure)
    else:
        extra = {"calls_not_logged": withheld} if withheld else None
        logger.error("The __error__ endpoint was called", extra=extra)
    raise failure


def application_root() -> str:
    """Return the folder of ``version.json`` in a container: ``APP_DIR``, else ``/app``."""
    return os.environ.get("APP_DIR", "/app")


@dataclass(frozen=True)
class Endpoints:
    """The endpoints of one application.

    Attributes:
        settings: Returns the current settings.
        read_version: Returns the version; None if there is none.
        find_checks: Returns the names and checks of the heartbeat.
        silenced_checks: The ids of messages to leave out.
        config: The value of a check's parameter of that name.
        is_debug: Returns whether the application is in debug mode.
        logger: The logger.
        surroundings: How the framework has checks called.
        error_limit: The rate limit for log lines of ``/__error__``.
        after_heartbeat: Called with the results of each heartbeat, before its response is made.
    """

    settings: Callable[[], Settings]
    read_version: Callable[[], Any]
    # Without the checks that extension objects have registered for their own applications.
    find_checks: Callable[[], Iterable[tuple[str, Callable[..., Any]]]] = lambda: checks_of(
        checks.get_checks(), {}
    )
    silenced_checks: Iterable[str] = ()
    config: Any = None
    is_debug: Callable[[], bool] = lambda: False
    logger: logging.Logger = _LOGGER
    surroundings: Surroundings = PLAIN
    error_limit: RateLimit = field(default_factory=RateLimit, compare=False)
    after_heartbeat: Callable[[HeartbeatResults], None] = lambda results: None  # noqa: ARG005

    def known(self, name: str, method: str) -> Reply | None:
        """Return a response that needs neither a check nor a file; None for other requests.

        Args:
            name: The endpoint.
            method: The HTTP method.

        Raises:
            Exception: The endpoint is ``error``.
        """
        self._leave_untraced()
        if name == "error" and not self.settings().error_endpoint:
            # For any method: the endpoint does not exist.
            return NOT_FOUND
        if method not in ALLOWED_METHODS:
            return NOT_ALLOWED
        if name == "lbheartbeat":
            return LBHEARTBEAT
        if name == "error":
            error(self.logger, self.error_limit, self.settings().error_log_seconds)
        return None

    def answer(self, name: str, method: str, *, in_request: bool = False) -> Reply:
        """Return the response to a request; block while checks run.

        Args:
            name: The endpoint.
            method: The HTTP method.
            in_request: Whether all checks run in this thread, regardless of the settings.
        """
        reply = self.known(name, method)
        if reply is not None:
            return reply
        if name == "version":
            is_masked = self.settings().version_mask
            return version(self.read_version, self.logger, is_masked=is_masked)
        results = self.run_checks(in_request=in_request)
        self.after_heartbeat(results)
        return self.heartbeat(results)

    async def answer_async(self, name: str, method: str, *, in_request: bool = False) -> Reply:
        """Return the response to a request; await the checks, and a version that is awaitable."""
        reply = self.known(name, method)
        if reply is not None:
            return reply
        if name == "heartbeat":
            results = await self.run_checks_async(in_request=in_request)
            self.after_heartbeat(results)
            return self.heartbeat(results)
        try:
            found = self.read_version()
            found = await found if inspect.isawaitable(found) else found
            return version_of(found, is_masked=self.settings().version_mask)
        except VersionFileError as failure:
            return version_failed(failure, self.logger)

    def run_checks(self, *, in_request: bool = False) -> HeartbeatResults:
        """Run the checks and block, or return kept outcomes.

        Args:
            in_request: Whether all checks run in this thread, regardless of the settings.
        """
        self._leave_untraced()
        return self._heartbeat(in_request).run()

    async def run_checks_async(self, *, in_request: bool = False) -> HeartbeatResults:
        """Run the checks and await them, or return kept outcomes; see ``run_checks``."""
        self._leave_untraced()
        return await self._heartbeat(in_request).run_async()

    def _heartbeat(self, in_request: bool) -> Heartbeat:
        settings = self.settings()
        cache_seconds = settings.heartbeat_cache_seconds
        if type(cache_seconds) is DefaultSeconds and is_test_running():
            # A test changes the result of a check, and requests the heartbeat again at once.
            cache_seconds = 0.0
        return Heartbeat(
            self.find_checks(),
            self.silenced_checks,
            RunOptions(
                self.config,
                settings.check_timeout_seconds,
                cache_seconds,
                self.surroundings,
                keeps_last=True,
            ),
            max_waiting=settings.heartbeat_max_waiting,
            in_request=in_request or settings.checks_in_request,
        )

    def _leave_untraced(self) -> None:
        if "sentry_sdk" in sys.modules and self.settings().sentry:
            sentry.leave_untraced()

    def heartbeat(self, results: checks.ChecksResults) -> Reply:
        """Return the response for the results of checks."""
        return heartbeat(results, self.settings(), is_debug=self.is_debug())
