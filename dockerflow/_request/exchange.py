"""One request as the layers around an application see it, and how they find each other.

A request may pass several layers of this package: middleware that is installed
twice, a framework mounted in another, a WSGI application inside an ASGI one.
The outermost layer begins the exchange and logs its summary; the others join it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dockerflow.request_id import RequestIdPolicy
from dockerflow.summary import RequestSummary, current

__all__ = ["REQUEST", "REQUEST_ID", "Exchange", "enclosing_exchange", "marked_method"]

#: Where a scope or an environ holds its exchange. Clients set headers, and no such key.
REQUEST: Final = "dockerflow.request"
#: Where an environ holds the request's id, for access logs that format environs.
REQUEST_ID: Final = "mozlog.request_id"


class Exchange(RequestSummary):
    """A request with what its layers need: the response's header, and the method's mark."""

    #: The header of the response that carries the id, None for none.
    echo_name: str | None = None
    #: The request's header that its id came in; None for an id that was made.
    id_header: str | None = None
    #: Whether the request's headers were read for the summary.
    is_read: bool = False
    #: The very object that the scope or environ holds as the method.
    method_mark: str | None = None

    def begin_with(
        self,
        policy: RequestIdPolicy,
        values: list[str],
        traceparents: list[str],
        client: str | None,
    ) -> None:
        """Begin with the id that the request's headers say, else with a new one.

        Args:
            policy: How an id is found.
            values: What the id's header says, once for each time it was sent.
            traceparents: The same of ``traceparent``.
            client: The client's address, None where it is not known.
        """
        request_id, self.id_header = policy.resolve(values, traceparents, client)
        self.begin(request_id)
        if policy.may_echo(request_id):
            self.echo_name = policy.header_name


def marked_method(method: str) -> str:
    """Return a copy of a method's name that no other request has, to be told by identity.

    Bridges between ASGI and WSGI hand this object on as it is. So a layer inside
    of one can tell a part of the same request from a new request that the
    application makes in-process, even to the same path.
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
        # Where a2wsgi, a bridge between the two, holds what it has translated.
        if "asgi.scope" in holder:
            exchange = holder["asgi.scope"].get(REQUEST)
        elif "wsgi_environ" in holder:
            exchange = holder["wsgi_environ"].get(REQUEST)
    if exchange is None:
        exchange = current()
        if exchange is None or getattr(exchange, "method_mark", None) is not method:
            return None
    return None if exchange.is_over else exchange
