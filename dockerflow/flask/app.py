"""The Flask extension: endpoints, request ids and summaries.

The WSGI core around the application begins and ends each request. The hooks of Flask add what
only Flask knows. If a test calls the hooks by hand, without the core around them, they begin
and end the request themselves.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable
from contextvars import copy_context
from operator import methodcaller
from pathlib import Path
from types import FrameType, MethodType
from typing import Any, Final

from flask import (
    Blueprint,
    Flask,
    Request,
    Response,
    current_app,
    g,
    got_request_exception,
    has_app_context,
    request,
    request_tearing_down,
)
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import InternalServerError, NotFound
from werkzeug.wsgi import ClosingIterator

from dockerflow import checks, version  # noqa: F401 - upstream has both names here
from dockerflow._request import adapter
from dockerflow._request.exchange import REQUEST, Exchange, enclosing_exchange
from dockerflow._request.extension import Extension, Installation
from dockerflow._request.http_exception import status_of_exception
from dockerflow._request.layer import LiveLayer
from dockerflow.checks._run.surroundings import Surroundings
from dockerflow.endpoints import Endpoints, Reply
from dockerflow.request_id import RequestIdPolicy
from dockerflow.summary import RequestSummary
from dockerflow.wsgi import DockerflowWSGI, WSGIExchange, id_headers
from mozlog_py.context import request_id_context

from .checks import check_database_connected, check_migrations_applied, check_redis_connected
from .signals import heartbeat_failed, heartbeat_passed

try:
    from flask_login import current_user
except ImportError:
    current_user = None
    has_flask_login = False
else:
    has_flask_login = True

__all__ = ["Dockerflow", "HeartbeatFailure", "extract_request_id"]

# The keys of app.extensions for what belongs to one application.
_INSTALLATION: Final = "dockerflow.installation"
_CORE: Final = "dockerflow.core"
_WSGI_APP: Final = Flask.wsgi_app.__code__
_HANDLE_EXCEPTION: Final = Flask.handle_exception.__code__
_TAKEN_BEFORE: Final = (
    "This application is served by a wsgi_app that was taken before Dockerflow(app), as "
    "connexion.FlaskApp does: answers that Flask does not make have no request id, and summaries "
    "have the status and the time of Flask. Put dockerflow.asgi.DockerflowASGI or "
    "dockerflow.wsgi.DockerflowWSGI around the whole application, with endpoints=False"
)
# The original of flask-login, which a test may replace.
_CURRENT_USER: Final = current_user


# Return the objects behind the proxies. Each use of a proxy looks its object up, so the hooks
# do it once.
_app: Final[Callable[[], Flask]] = current_app._get_current_object  # type: ignore[attr-defined]
_globals: Final[Callable[[], Any]] = g._get_current_object
_request: Final[Callable[[], Request]] = request._get_current_object  # type: ignore[attr-defined]


class HeartbeatFailure(InternalServerError):  # noqa: N818 - upstream's name
    """A heartbeat found an error; holds the response."""


class Dockerflow(Extension):
    """The extension; one object can serve several applications.

    Args:
        app: The application to install it in; more with ``init_app``.
        db: A Flask-SQLAlchemy database to check.
        redis: A Redis client to check.
        migrate: A Flask-Migrate object to check.
        silenced_checks: Ids of messages that do not count.
        version_path: The folder of ``version.json``, by default the one above the
            application's.
        request_id: The policy for ids, by default made of the configuration.

    Raises:
        SettingsError: If the application's configuration is bad.
    """

    def __init__(
        self,
        app: Flask | None = None,
        db: Any = None,
        redis: Any = None,
        migrate: Any = None,
        silenced_checks: Iterable[str] | None = None,
        version_path: str | None = None,
        *args: Any,  # noqa: ARG002 - upstream takes them
        request_id: RequestIdPolicy | None = None,
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        super().__init__(
            "dockerflow.flask",
            # Looked up here: tests replace the function in its module.
            read_version=version.get_version,
            version_path=version_path,
            silenced_checks=silenced_checks,
            request_id=request_id,
            own_checks=(
                (check_database_connected, db),
                (check_redis_connected, redis),
                (check_migrations_applied, migrate),
            ),
        )
        self._blueprint = _blueprint(self)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Install the extension in an application."""
        root = str(Path(app.root_path).parent)
        installation = self._install(
            app,
            "Flask's config",
            lambda: self._version_callback(self.version_path or root),
            # Two checks that run at the same time must not share a session of a database.
            surroundings=Surroundings(around=app.app_context),
        )
        app.register_blueprint(self._blueprint)
        app.register_error_handler(HeartbeatFailure, self._heartbeat_exception_handler)
        app.before_request(self._before_request)
        app.after_request(self._after_request)
        got_request_exception.connect(self._got_request_exception, sender=app)
        live = installation.options
        core = _FlaskWSGI(app.wsgi_app, settings=live.settings(), endpoints=False)
        core.is_innermost = app.wsgi_app == MethodType(Flask.wsgi_app, app)
        core.use_live(self, live.now)
        app.wsgi_app = core  # type: ignore[method-assign]
        app.extensions.update({"dockerflow": self, _INSTALLATION: installation, _CORE: core})

    # -- the hooks ----------------------------------------------------------

    def _before_request(self) -> None:
        served: Any = _request()
        summary: Any = served.environ.get(REQUEST)
        if summary is None or summary.is_over:
            summary = _app().extensions[_CORE].join_or_begin(served, self.logger)
        _show(summary, _globals())

    def _after_request(self, response: Response) -> Response:
        own = _globals()
        summary = _summary_of(own)
        if summary is None:
            return response
        self._fill(summary, own)
        if summary.error is not None:
            reported = own.pop("_dockerflow_reported", None)
            if reported is summary.error and response.status_code < 500:
                summary.error = None
        if isinstance(summary, HandBegun):
            headers: Any = response.headers
            headers.update(summary.echo_headers(headers, headers.getlist("Vary")))
            summary.code = response.status_code
            summary.finish(summary.error)
        elif isinstance(summary, WSGIExchange):
            rule = _request().url_rule
            if rule is not None and rule.websocket and response.status_code < 300:
                # The view has served the socket; this response is not sent.
                summary.has_served_socket = True
                summary.summary_context = copy_context()
            # The summary of a stream is logged at its end, and that of another response after the
            # layers inside, which may replace it. Flask's contexts and the current span have ended
            # then; this copy of the context keeps them.
            core: _FlaskWSGI = _app().extensions[_CORE]
            summary.body_type = None if core.is_innermost else ClosingIterator
            summary.is_whole = _is_whole(response)
            if not (summary.is_whole and core.is_innermost):
                summary.summary_context = copy_context()
        return response

    def _got_request_exception(
        self,
        sender: Any,  # noqa: ARG002
        exception: BaseException,
        **extra: Any,  # noqa: ARG002
    ) -> None:
        own = _globals()
        own._has_exception = True
        summary = _summary_of(own)
        if summary is None:
            return
        self._fill(summary, own)
        summary.error = exception
        # Flask answers what it reports with 500, unless it raises it to the layer that called it.
        status = status_of_exception(exception) if _is_propagating() else 500
        # With TRAP_HTTP_EXCEPTIONS a layer further out may answer it.
        summary.status_of_error = status if status < 500 else None
        is_flasks = _is_flasks_report()
        # An extension such as Flask-RESTX reports also what it answers below 500.
        own._dockerflow_reported = None if is_flasks else exception
        if isinstance(summary, HandBegun) and (is_flasks or not summary.is_served):
            summary.code = status
            # The layer that answers it logs it in another context.
            summary.attach_id(exception)
            summary.finish(exception)

    def _fill(self, summary: RequestSummary, own: Any) -> None:
        """Read what is known only while Flask's own context is there."""
        adapter.fill_summary(
            summary,
            self.logger,
            has_start=hasattr(own, "_start_timestamp"),
            read_user_id=self.user_id,
            make_fields=adapter.own_hook(self, Dockerflow, "summary_extra"),
        )

    # -- for a subclass to override -------------------------------------------

    def user_id(self) -> str | int | None:
        """Return the id of the user if this request has loaded the user already, else None."""
        if not has_flask_login:
            return None
        user = g.get("_login_user") if current_user is _CURRENT_USER else current_user
        found = "" if user is None else adapter.user_id(user, methodcaller("get_id"))
        return None if found == "" else found

    def summary_extra(self) -> dict[str, Any]:
        """Return the fields of the summary of the current request."""
        summary: RequestSummary = g._dockerflow_summary
        user_id = self.user_id()
        summary.uid = "" if user_id is None else user_id
        return summary.fields()

    # -- the endpoints ----------------------------------------------------------

    def _version_view(self) -> Response:
        return _answer("version")

    def _lbheartbeat_view(self) -> Response:
        return _answer("lbheartbeat")

    def _error_view(self) -> Response:
        return _answer("error")

    def _heartbeat_view(self) -> Response:
        endpoints = _endpoints()
        results = endpoints.run_checks()
        response = _response(endpoints.heartbeat(results))
        signal = adapter.heartbeat_signal(results, passed=heartbeat_passed, failed=heartbeat_failed)
        if signal is not None:
            try:
                signal.send(self, level=results.level)
            except Exception:
                self.logger.exception("A receiver of a heartbeat signal failed")
        if signal is heartbeat_failed:
            raise HeartbeatFailure(response=response)
        return response

    def _heartbeat_exception_handler(self, error: HeartbeatFailure) -> Any:
        return error.get_response()


class HandBegun(Exchange):
    """A request without the core around it, whose hooks begin and end it.

    A test has called them by hand, or the application is served by a ``wsgi_app`` that was taken
    before the extension was installed.
    """

    #: Whether Flask's ``wsgi_app`` serves it, and no code calls the hooks by hand.
    is_served: bool = False


class _FlaskWSGI(LiveLayer, DockerflowWSGI):
    """The WSGI core around an application's ``wsgi_app``."""

    #: Whether no other layer is between this one and Flask.
    is_innermost = True
    _has_warned = False

    def join_or_begin(self, served: Request, logger: logging.Logger) -> Any:
        """Join the request of a layer around an application that is served without this core.

        Without such a layer, begin the request.

        Args:
            served: Flask's request.
            logger: Logs once what the core around the application would do.
        """
        environ = served.environ
        outer = enclosing_exchange(environ, environ.get("REQUEST_METHOD", ""))
        if outer is not None:
            self._join(outer, environ)
            return outer
        # Not when the extension is installed: other requests have no need of it.
        request_tearing_down.connect(_leave, sender=_app())
        begun = HandBegun()
        begun.method, begun.path = served.method, served.path
        # Here: an asynchronous view runs in another thread, which lacks these frames.
        begun.is_served = _is_served(environ)
        environ[REQUEST] = begun
        self.begin(begun, environ)
        if not self._has_warned and begun.is_served:
            self._has_warned = True
            logger.warning(_TAKEN_BEFORE)
        return begun

    def _goes_on_in_caller(self, environ: Any) -> bool:
        # Flask's contexts must be left in the context that they were entered in. A test client in
        # a ``with`` block enters them again, and a caller may have entered one.
        return "werkzeug.debug.preserve_context" in environ or has_app_context()


def _is_propagating() -> bool:
    """Return whether Flask raises an exception that no handler has answered (its settings say)."""
    propagates = current_app.config.get("PROPAGATE_EXCEPTIONS")
    return bool(current_app.testing or current_app.debug if propagates is None else propagates)


def _is_served(environ: Any) -> bool:
    """Return whether Flask's ``wsgi_app`` serves a request, and no code calls its hooks by hand."""
    return any(
        frame.f_code is _WSGI_APP and frame.f_locals.get("environ") is environ
        for frame in _callers()
    )


def _is_flasks_report() -> bool:
    """Return whether Flask itself reports an exception, and no extension does."""
    for frame in _callers():
        if frame.f_code is _HANDLE_EXCEPTION:
            return True
        if frame.f_code is _WSGI_APP:
            # Frames further out are of a request that has made this one in-process.
            return False
    return False


def _callers() -> list[FrameType]:
    """Return the frames of the functions that have called the present one, the newest first."""
    frames = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames


def _show(summary: RequestSummary, own: Any) -> None:
    """Set the attributes of ``flask.g``."""
    own._dockerflow_summary = summary
    # The application may have set its own. A context that was entered around several requests, as
    # in tests, has the id of the request before.
    former = own.get("_request_id")
    if "request_id" not in own or (former is not None and own.request_id is former):
        own.request_id = summary.rid
    own._request_id = summary.rid
    own._start_timestamp = time.time()


def _summary_of(own: Any) -> Any:
    """Return the summary of the current request; None if there is none, or if it is logged.

    Args:
        own: The object behind ``flask.g``.
    """
    summary: Any = own.get("_dockerflow_summary")
    if summary is None or summary.is_over:
        summary = _request().environ.get(REQUEST)
        if summary is None or summary.is_over:
            return None
        # What Flask calls before the extension's own hook has answered or raised.
        _show(summary, own)
    return summary


def _blueprint(extension: Dockerflow) -> Blueprint:
    blueprint = Blueprint("dockerflow", __name__)
    for name in ("version", "heartbeat", "lbheartbeat", "error"):
        blueprint.add_url_rule(
            f"/__{name}__",
            name,
            getattr(extension, f"_{name}_view"),
            methods=["GET"],
            provide_automatic_options=False,
        )
    blueprint.record(_take_every_method)
    return blueprint


class _EveryMethod(set[str]):
    """The methods of a rule that takes all; iteration shows those that it answers."""

    def __contains__(self, method: object) -> bool:
        return True


def _take_every_method(state: BlueprintSetupState) -> None:
    """Have ``/__error__`` take every method, so that its view answers instead of Werkzeug.

    If the endpoint is switched off, Werkzeug's 405 would show that it exists.
    """
    for rule in state.app.url_map.iter_rules(f"{state.name_prefix}.{state.name}.error".lstrip(".")):
        rule.methods = _EveryMethod(rule.methods or ())


def _endpoints() -> Endpoints:
    # Werkzeug removes slashes from the beginning of a path before it looks for a route.
    if request.environ.get("PATH_INFO", "")[:2] == "//":
        raise NotFound
    installation: Installation = current_app.extensions[_INSTALLATION]
    return installation.endpoints


def _answer(name: str) -> Response:
    reply = _endpoints().answer(name, request.method)
    return _response(adapter.upstream_reply(name, reply, adapter.HTML))


def _is_whole(response: Response) -> bool:
    """Return whether the whole body of a response exists already."""
    # Flask treats the page of an HTTPException as a WSGI application of its own.
    is_page = type(response.response) is ClosingIterator and response.content_length is not None
    return is_page or not response.is_streamed


def _response(reply: Reply) -> Response:
    return Response(reply.body, reply.status, list(reply.headers))


def _leave(sender: Any, **extra: Any) -> None:  # noqa: ARG001
    """Leave the context of a request that the hooks have begun: a signal handler."""
    # Not that of g: a request within this one shares it.
    summary = _request().environ.get(REQUEST)
    if isinstance(summary, HandBegun):
        if summary.error is not None and not summary.is_over:
            # Flask has made no response: a handler for the exception that was reported has raised.
            summary.code = 500
            summary.attach_id(summary.error)
            summary.finish(summary.error)
        summary.leave()


def extract_request_id(request: Request) -> None:
    """Set the id of a request from its headers: in the logging context and in ``flask.g``."""
    installation: Installation = current_app.extensions[_INSTALLATION]
    options = installation.options.now()
    request_id = options.policy.resolve(*id_headers(request.environ, options)).value
    request_id_context.set(request_id)
    g._request_id = request_id
    if "request_id" not in g:
        g.request_id = request_id
