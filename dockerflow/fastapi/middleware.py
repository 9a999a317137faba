"""Request ids and summaries for FastAPI, each a middleware of its own."""

from __future__ import annotations

import logging
import time
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
    """Sets the id of each request, in the logging context and in the response.

    Args:
        app: The application.
        request_id: The policy for ids; by default made of the settings.
    """

    def __init__(self, app: Any, request_id: RequestIdPolicy | None = None) -> None:
        super().__init__(app, request_id=request_id, summaries=False, endpoints=False)
        self._policy = request_id
        if type(app) is MozlogRequestSummaryLogger:
            # The next layer would only join. This one does its work as well, so that a
            # request passes one layer less.
            self.app, self._logger, self._gives_summaries = app.app, app._logger, True


class MozlogRequestSummaryLogger(StateLayer):
    """Logs the summary of each request.

    Args:
        app: The application.
        logger: Logs the summaries; by default ``request.summary``. That one then logs from
            INFO up unless it has a level, and writes to standard output as long as neither
            it nor the root logger has a configured handler.
    """

    def __init__(self, app: Any, logger: logging.Logger | None = None) -> None:
        if logger is None:
            logger = logging.getLogger(LOGGER_NAME)
            if logger.level == logging.NOTSET:
                logger.setLevel(logging.INFO)
            if not any(isinstance(each, _Unconfigured) for each in logger.handlers):
                logger.addHandler(_Unconfigured())
        super().__init__(app, logger=logger, request_ids=False, endpoints=False)

    @property
    def logger(self) -> Any:
        """The logger of the summaries."""
        return self._logger

    @logger.setter
    def logger(self, logger: Any) -> None:
        self._logger = logger

    def _contribute(self, exchange: Any, scope: Scope) -> str | None:
        if type(self)._format is not MozlogRequestSummaryLogger._format:
            exchange.make_fields = lambda: self._format(scope, _info(exchange, scope))
        return super()._contribute(exchange, scope)

    def _format(self, scope: Any, info: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Return the fields of a request's summary; a subclass may return others.

        Args:
            scope: The request's scope.
            info: Its ``request_headers`` by their names in lower case, of its ``response`` the
                ``status``, and its ``start_time`` and ``end_time`` in seconds since 1970.
        """
        fields: dict[str, Any] = scope[REQUEST].fields()
        return fields


def _info(exchange: RequestSummary, scope: Scope) -> dict[str, Any]:
    headers = scope.get("headers", ())
    # From the end back: that clock may have jumped since the beginning.
    now_ns = time.monotonic_ns()
    ended_ns = exchange.ended_ns or now_ns
    end_time = time.time() - (now_ns - ended_ns) / 1e9
    elapsed_ns = ended_ns - (exchange.started_ns or ended_ns)
    return {
        "request_headers": {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers
        },
        "response": {"status": exchange.code},
        "start_time": end_time - elapsed_ns / 1e9,
        "end_time": end_time,
    }


surround(ServerErrorMiddleware)


class _Unconfigured(MozlogHandler):
    """Writes to standard output the records that no other handler handles."""

    def __init__(self) -> None:
        super().__init__(None, "Dockerflow")

    def handle(self, record: logging.LogRecord) -> Any:
        """Write a record, unless another handler is configured."""
        return True if _is_configured(self) else super().handle(record)


# Handlers that only capture do not count as a configuration: pytest sets one on every root
# logger.
_CAPTURING: Final = ("_pytest.", "mozlog_py.testing")


def _is_configured(ours: logging.Handler) -> bool:
    logger: logging.Logger | None = logging.getLogger(LOGGER_NAME)
    while logger is not None:
        for handler in logger.handlers:
            if handler is not ours and not type(handler).__module__.startswith(_CAPTURING):
                return True
        logger = logger.parent if logger.propagate else None
    return False
