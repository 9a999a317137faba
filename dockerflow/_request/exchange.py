"""One request through all layers around an application, and how the layers find it.

A request may pass several layers of this package: middleware that is installed twice, a
framework mounted in another, a WSGI application inside an ASGI one. The outermost layer
begins the exchange and logs its summary; the others join it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from dockerflow.summary import RequestSummary, current
from mozlog_py._fields.late_request_ids import attach_request_id

from .vary import merged_vary

if TYPE_CHECKING:
    from .options import Options

__all__ = ["REQUEST", "Exchange", "enclosing_exchange", "marked_method"]

#: The key of a scope or an environ for its exchange; no header of a client can set it.
REQUEST: Final = "dockerflow.request"


class Exchange(RequestSummary):
    """A request, with the header of the response and the mark of its method."""

    #: The header of the response that carries the id, None for none.
    echo_name: str | None = None
    #: The request's header that its id came in; None for an id that was made.
    id_header: str | None = None
    #: Whether the request's headers were read for the summary.
    is_read: bool = False
    #: The very object that the scope or environ holds as the method.
    method_mark: str | None = None

    def set_echo(self, options: Options, request_id: str) -> None:  # noqa: ARG002
        """Have the response carry the id in the header that the options name."""
        self.echo_name = options.echo_name

    def echo_headers(
        self, names: Container[str], vary: Iterable[str], vary_name: str = "Vary"
    ) -> dict[str, str]:
        """Return the headers to set on the response: the id's, and ``Vary`` if caches need it.

        Args:
            names: The names of the headers that the response has, in any case.
            vary: The values of its ``Vary``, one for each time that it is there.
            vary_name: The name to send ``Vary`` by.
        """
        name, request_id = self.echo_name, self.rid
        # Where the application has set that header itself, its value stays.
        if name is None or request_id is None or name in names:
            return {}
        headers = {name: request_id}
        if self.id_header is not None:
            merged = merged_vary(tuple(vary), self.id_header)
            if merged is not None:
                headers[vary_name] = merged
        return headers

    def attach_id(self, error: BaseException) -> None:
        """Attach the id to an exception: its server logs it where this context is gone."""
        if self.rid is not None:
            attach_request_id(error, self.rid)

    def leave_with(self, error: BaseException) -> None:
        """End the request by an exception that nothing has handled, and leave its context."""
        self.attach_id(error)
        self.finish(error)
        self.leave()


def marked_method(method: str) -> str:
    """Return a copy of a method's name, whose identity marks one request.

    Bridges between ASGI and WSGI pass this very object on. So a layer inside of a bridge can
    distinguish the same request from a new one that the application makes in-process, even
    to the same path.
    """
    return method[:1] + method[1:]


def enclosing_exchange(holder: Mapping[str, Any], method: str) -> RequestSummary | None:
    """Return the exchange that an outer layer has begun for this request, None if there is none.

    Args:
        holder: The scope or the environ.
        method: The object that it holds as the request's method.
    """
    exchange: RequestSummary | None = holder.get(REQUEST)
    if exchange is None:
        # The keys in which a2wsgi, a bridge between the two, keeps the original.
        if "asgi.scope" in holder:
            exchange = holder["asgi.scope"].get(REQUEST)
        elif "wsgi_environ" in holder:
            exchange = holder["wsgi_environ"].get(REQUEST)
    if exchange is None:
        exchange = current()
        if exchange is None or getattr(exchange, "method_mark", None) is not method:
            return None
    return None if exchange.is_over else exchange
