"""The four endpoints as plain functions: what is asked for goes in, a ``Reply`` comes out.

============== =====================================================================
path           answer
============== =====================================================================
__version__    what ``version.json`` says; 404 where there is none
__heartbeat__  the result of all checks; a failure status where one is an error
__lbheartbeat__ always 200, and nothing is touched
__error__      raises, to test how errors are reported; logged once a second at most
============== =====================================================================
"""

from __future__ import annotations

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
from dockerflow.checks._run.surroundings import PLAIN, Surroundings
from dockerflow.checks.registry import checks_of
from mozlog_py._line.line_encoder import encode
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
# What has no outcome yet is running: it is worth asking again soon.
_RETRY_AFTER: Final = ("Retry-After", "1")


#: The last two characters of such a path, by which most others are told in less time.
ENDS: Final = frozenset({"__", "_/"})


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
    """Answer ``/__version__``.

    Args:
        read: gives the version, or None where there is none. What it raises goes
            on to the framework, as from a view; a malformed ``version.json`` is
            data, and is answered with what is wrong with it.
        logger: where a malformed file is logged.
    """
    try:
        return version_of(read())
    except VersionFileError as failure:
        return version_failed(failure, logger)


def version_of(found: Any) -> Reply:
    """Give the answer for a version that was read."""
    if found is None:
        return Reply(404, (_TEXT, _NO_STORE), b"version.json not found")
    # Imported by the first that asks.
    from dockerflow._request.public_url import public_version

    return _json(200, public_version(found))


def version_failed(failure: VersionFileError, logger: logging.Logger) -> Reply:
    """Log that the version file is malformed, and give the answer that says so.

    Where the file is, the log alone says.
    """
    logger.error("The version cannot be told: %s", Sanitiser().name(failure))
    return _json(500, {"error": Sanitiser().name(failure.public)})


def heartbeat(results: checks.ChecksResults, settings: Settings, *, is_debug: bool) -> Reply:
    """Answer ``/__heartbeat__`` with the results of the checks."""
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
    """Return the answer with what it says of outcomes that are kept, or missing."""
    status, headers = reply.status, reply.headers
    if results.age is not None:
        # In whole seconds (RFC 9111, 5.1).
        headers = (*headers, ("Age", str(int(results.age))))
    if not results.is_known:
        status, headers = 503, (*headers, _RETRY_AFTER)
    return Reply(status, headers, reply.body)


def error(logger: logging.Logger, limit: RateLimit | None = None) -> NoReturn:
    """Answer ``/__error__``: log an error, and raise one.

    Args:
        logger: where it is logged.
        limit: how often, None for always. The exception of a call that is not logged has
            no traceback in the lines of whatever logs it, and the next line that is logged
            has the number of such calls as ``calls_not_logged``.
    """
    failure = Exception("This is a test exception from the /__error__ endpoint.")
    withheld = 0 if limit is None else limit.admit()
    if withheld is None:
        leave_out_frames(failure)
    else:
        extra = {"calls_not_logged": withheld} if withheld else None
        logger.error("The __error__ endpoint was called", extra=extra)
    raise failure


def application_root() -> str:
    """Give the folder of ``version.json`` in a Dockerflow container: ``APP_DIR``, else ``/app``."""
    return os.environ.get("APP_DIR", "/app")


@dataclass(frozen=True)
class Endpoints:
    """The endpoints of one application.

    ``settings`` gives the settings of now; ``read_version`` the version, None
    where there is none; ``find_checks`` what to run, by name; ``config`` is what
    a check receives as its parameter of that name; ``surroundings`` what the
    framework knows of the places where checks run.
    """

    settings: Callable[[], Settings]
    read_version: Callable[[], Any]
    # What extension objects have registered for applications of their own is not for this one.
    find_checks: Callable[[], Iterable[tuple[str, Callable[..., Any]]]] = lambda: checks_of(
        checks.get_checks(), {}
    )
    silenced_checks: Iterable[str] = ()
    config: Any = None
    is_debug: Callable[[], bool] = lambda: False
    logger: logging.Logger = _LOGGER
    surroundings: Surroundings = PLAIN
    #: How often ``/__error__`` is logged.
    error_limit: RateLimit = field(default_factory=RateLimit, compare=False)

    def known(self, name: str, method: str) -> Reply | None:
        """Give the answer where it takes neither a check nor a file; may raise, for ``error``."""
        self._leave_untraced()
        if name == "error" and not self.settings().error_endpoint:
            # Whatever the method: there is nothing here.
            return NOT_FOUND
        if method not in ALLOWED_METHODS:
            return NOT_ALLOWED
        if name == "lbheartbeat":
            return LBHEARTBEAT
        if name == "error":
            error(self.logger, self.error_limit)
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
        reply = self.known(name, method)
        if reply is not None:
            return reply
        if name == "heartbeat":
            return self.heartbeat(await self.run_checks_async())
        try:
            found = self.read_version()
            return version_of(await found if inspect.isawaitable(found) else found)
        except VersionFileError as failure:
            return version_failed(failure, self.logger)

    def run_checks(self, *, in_request: bool = False) -> HeartbeatResults:
        """Run the checks and wait for them, or return outcomes that are kept.

        Args:
            in_request: whether they run in this thread whatever the settings say.
        """
        self._leave_untraced()
        return self._heartbeat(in_request).run()

    async def run_checks_async(self, *, in_request: bool = False) -> HeartbeatResults:
        """Run the checks beside the event loop's other work; otherwise as ``run_checks``."""
        self._leave_untraced()
        return await self._heartbeat(in_request).run_async()

    def _heartbeat(self, in_request: bool) -> Heartbeat:
        settings = self.settings()
        cache_seconds = settings.heartbeat_cache_seconds
        if type(cache_seconds) is DefaultSeconds and is_test_running():
            # A test that changes what a check finds asks again at once.
            cache_seconds = 0.0
        return Heartbeat(
            self.find_checks(),
            self.silenced_checks,
            self.config,
            timeout=settings.check_timeout_seconds,
            cache_seconds=cache_seconds,
            max_waiting=settings.heartbeat_max_waiting,
            in_request=in_request or settings.checks_in_request,
            surroundings=self.surroundings,
        )

    def _leave_untraced(self) -> None:
        if "sentry_sdk" in sys.modules and self.settings().sentry:
            sentry.leave_untraced()

    def heartbeat(self, results: checks.ChecksResults) -> Reply:
        """Give the answer that the results are."""
        return heartbeat(results, self.settings(), is_debug=self.is_debug())
