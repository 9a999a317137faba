"""Request ids and summaries for FastAPI, each a middleware of its own."""

from __future__ import annotations

import logging
from typing import Any, Final

from starlette.middleware.errors import ServerErrorMiddleware

from dockerflow._request.exchange import REQUEST
from dockerflow._request.outermost import surround
from dockerflow._request.state_layer import StateLayer
from dockerflow.asgi import Scope
from dockerflow.request_id import RequestIdPolicy
from dockerflow.summary import LOGGER_NAME, RequestSummary
from mozlog_py.handlers import MozlogHandler

__all__ = ["MozlogRequestSummaryLogger", "RequestIdMiddleware"]


class RequestIdMiddleware(StateLayer):
    """Gives each request an id: in the logging context, and in the response.

    ``request_id``: the policy; made of the settings by default.
    """

    def __init__(self, app: Any, request_id: RequestIdPolicy | None = None) -> None:
        super().__init__(app, request_id=request_id, summaries=False, endpoints=False)
        self._policy = request_id
        if type(app) is MozlogRequestSummaryLogger:
            # Right behind this one it would only join: this does its part as well,
            # and a request passes one layer less.
            self.app, self._logger, self._gives_summaries = app.app, app._logger, True


class MozlogRequestSummaryLogger(StateLayer):
    """Logs each request's summary.

    ``logger``: where it goes. By default that is ``request.summary``, which
    then logs from INFO on unless it has a level, and writes to standard output
    as long as nobody has configured a handler for it or the root logger.
    """

    def __init__(self, app: Any, logger: logging.Logger | None = None) -> None:
        if logger is None:
            logger = logging.getLogger(LOGGER_NAME)
            if logger.level == logging.NOTSET:
                logger.setLevel(logging.INFO)
            if not any(isinstance(each, _Unconfigured) for each in logger.handlers):
                logger.addHandler(_Unconfigured())
        super().__init__(app, logger=logger, request_ids=False, endpoints=False)

    def _contribute(self, exchange: Any, scope: Scope) -> str | None:
        if type(self)._format is not MozlogRequestSummaryLogger._format:
            exchange.make_fields = lambda: self._format(scope, _info(exchange, scope))
        return super()._contribute(exchange, scope)

    def _format(self, scope: Any, info: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Return the fields of a request's summary; a subclass may return others.

        Args:
            scope: The request's scope.
            info: Its ``request_headers`` by their names in lower case, and of its
                ``response`` the ``status``.
        """
        fields: dict[str, Any] = scope[REQUEST].fields()
        return fields


def _info(exchange: RequestSummary, scope: Scope) -> dict[str, Any]:
    headers = scope.get("headers", ())
    return {
        "request_headers": {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers
        },
        "response": {"status": exchange.code},
    }


surround(ServerErrorMiddleware)


class _Unconfigured(MozlogHandler):
    """Writes to standard output whatever no other handler takes care of."""

    def __init__(self) -> None:
        super().__init__(None, "Dockerflow")

    def handle(self, record: logging.LogRecord) -> Any:
        """Write a record, unless there is a handler that does."""
        return True if _is_configured(self) else super().handle(record)


# What only looks on is nobody's configuration: pytest has it on every root logger.
_LOOKING_ON: Final = ("_pytest.", "mozlog_py.testing")


def _is_configured(ours: logging.Handler) -> bool:
    logger: logging.Logger | None = logging.getLogger(LOGGER_NAME)
    while logger is not None:
        for handler in logger.handlers:
            if handler is not ours and not type(handler).__module__.startswith(_LOOKING_ON):
                return True
        logger = logger.parent if logger.propagate else None
    return False
