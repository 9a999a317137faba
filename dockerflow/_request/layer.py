"""One layer of a request: what it adds to the request's exchange.

The outermost layer begins the exchange. A layer inside adds the id or the summary
that no layer further out has added.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dockerflow.summary import current

from .exchange import REQUEST

if TYPE_CHECKING:
    from .options import Options

__all__ = ["Layer", "LiveLayer"]


class Layer:
    """Reads a request into its exchange, whatever object the framework holds it in.

    A subclass implements ``_options_of``, ``_read`` and ``_querystring_of``. Their
    ``holder`` is the object that holds the request: a scope, an environ, a framework's
    request.
    """

    #: Whether this layer gives ids to requests that have none.
    _gives_ids: bool = True
    #: Whether this layer logs the summaries of requests that have no logger.
    _gives_summaries: bool = True
    #: The logger of summaries.
    _logger: Any = None

    def _options_of(self, holder: Any) -> Options:
        """Return the options for a request."""
        raise NotImplementedError

    def _read(self, exchange: Any, holder: Any, options: Options, gives_id: bool) -> str | None:
        """Read a request's headers into its exchange, and resolve its id.

        Args:
            exchange: The exchange; gets ``agent``, ``lang``, ``is_read``, and with an id
                ``id_header`` and what ``set_echo`` sets.
            holder: What holds the request.
            options: The options for this request.
            gives_id: Whether this layer gives the id.

        Returns:
            The id; None if ``gives_id`` is false.
        """
        raise NotImplementedError

    def _querystring_of(self, holder: Any) -> str | bytes:
        """Return the query string of a request as it was sent."""
        raise NotImplementedError

    def begin(self, exchange: Any, holder: Any) -> None:
        """Begin an exchange with the id and the summary of this layer."""
        exchange.begin(self._contribute(exchange, holder))

    def complete(self, exchange: Any, holder: Any) -> None:
        """Add the id and the summary to an exchange, as far as it has none."""
        if (self._gives_ids and exchange.rid is None) or (
            self._gives_summaries and exchange.logger is None
        ):
            request_id = self._contribute(exchange, holder)
            if request_id is not None:
                exchange.set_request_id(request_id)

    def _join(self, exchange: Any, holder: Any) -> None:
        """Join the exchange of a layer further out: take its context, and complete it."""
        holder[REQUEST] = exchange
        if current() is not exchange:
            # A bridge has started this in another context.
            exchange.adopt_context()
        self.complete(exchange, holder)

    def _contribute(self, exchange: Any, holder: Any) -> str | None:
        """Add what this layer has for a request; return the id if this layer gives it."""
        options = self._options_of(holder)
        gives_id = self._gives_ids and exchange.rid is None
        request_id = None
        if gives_id or not exchange.is_read:
            request_id = self._read(exchange, holder, options, gives_id)
        if self._gives_summaries and exchange.logger is None:
            exchange.logger = self._logger
            exchange.use(options)
            if options.querystring:
                exchange.querystring = self._querystring_of(holder)
        return request_id


class LiveLayer(Layer):
    """A layer whose options and logger may change while the application runs.

    A class lists it before the core: ``class _FlaskWSGI(LiveLayer, DockerflowWSGI)``.
    """

    _owner: Any
    _read_options: Callable[[], Options]

    def use_live(self, owner: Any, read_options: Callable[[], Options]) -> None:
        """Read the logger and the options anew for each request.

        The adapter calls this before the first request.

        Args:
            owner: The object whose ``summary_logger`` is the logger of summaries.
            read_options: Returns the options as they are now.
        """
        self._owner = owner
        self._read_options = read_options

    def _options_of(self, holder: Any) -> Options:  # noqa: ARG002
        self._logger = self._owner.summary_logger
        return self._read_options()
