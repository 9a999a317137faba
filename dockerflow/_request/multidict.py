"""The headers of a request that a framework holds as a multidict, as Sanic and aiohttp do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dockerflow.request_id import FoundId, RequestIdPolicy

from .options import Options

__all__ = ["read_multidict", "resolve_multidict"]


def read_multidict(
    exchange: Any,
    request: Any,
    options: Options,
    gives_id: bool,
    client_of: Callable[[Any], str | None],
) -> str | None:
    """Read a request's headers into its exchange; ``Layer._read`` says what that sets.

    Args:
        exchange: The request's exchange.
        request: The framework's request. Its ``headers`` are a multidict whose keys may be in
            any case; its values are bytes, decoded as UTF-8 with ``surrogateescape``.
        options: The options for this request.
        gives_id: Whether to resolve the id.
        client_of: Returns the address of a request's client, None if it is not known.

    Returns:
        The id; None if ``gives_id`` is false.
    """
    exchange.is_read = True
    headers = request.headers
    agent, lang = headers.get("user-agent"), headers.get("accept-language")
    if agent is not None:
        exchange.agent = agent if agent.isascii() else _latin(agent)
    if lang is not None:
        exchange.lang = lang if lang.isascii() else _latin(lang)
    if not gives_id:
        return None
    request_id: str
    values = headers.getall(options.echo_name, None)
    if values is None and not options.uses_traceparent:
        request_id, exchange.id_header = options.generate(), None
    elif values is not None and len(values) == 1 and options.accepts(values[0]):
        request_id, exchange.id_header = str(values[0]), options.echo_name
    else:
        request_id, exchange.id_header = resolve_multidict(
            headers, options.policy, client_of(request)
        )
    if options.echoes_all or options.policy.may_echo(request_id):
        exchange.set_echo(options, request_id)
    return request_id


def resolve_multidict(headers: Any, policy: RequestIdPolicy, client: str | None) -> FoundId:
    """Return the id that a request's headers say, else a new one.

    Args:
        headers: The multidict.
        policy: How an id is found.
        client: The client's address, None if it is not known.
    """
    return policy.resolve(
        headers.getall(policy.header_name, []), headers.getall("traceparent", []), client
    )


def _latin(value: str) -> str:
    """Return a header's text as the other frameworks do: as Latin-1 (RFC 9110, 5.5)."""
    return value.encode("utf-8", "surrogateescape").decode("latin-1")
