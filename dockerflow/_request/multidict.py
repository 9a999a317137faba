"""The headers of a request that a framework holds as a multidict, as Sanic and aiohttp do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .options import Options
from .resolve_id import IdHeaders, resolve_id

__all__ = ["multidict_id_headers", "read_multidict"]


def read_multidict(
    exchange: Any,
    request: Any,
    options: Options,
    gives_id: bool,
    id_headers: Callable[[Any, Options], IdHeaders],
) -> str | None:
    """Read a request's headers into its exchange; ``Layer._read`` says what that sets.

    Args:
        exchange: The request's exchange.
        request: The framework's request. Its ``headers`` are a multidict whose keys may be in
            any case; its values are bytes, decoded as UTF-8 with ``surrogateescape``.
        options: The options for this request.
        gives_id: Whether to resolve the id.
        id_headers: Returns the headers of a request that may be its id.

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
    values = headers.getall(options.echo_name, None)
    # A text of the framework's own class becomes a plain one.
    value = None if values is None else str(values[0])
    is_single = values is None or len(values) == 1
    return resolve_id(exchange, request, options, value, is_single, id_headers)


def multidict_id_headers(headers: Any, options: Options, client: str | None) -> IdHeaders:
    """Return the headers of a request that may be its id.

    Args:
        headers: The multidict.
        options: The options for this request.
        client: The client's address, None if it is not known.
    """
    return IdHeaders(
        headers.getall(options.echo_name, []), headers.getall("traceparent", []), client
    )


def _latin(value: str) -> str:
    """Return a header's text as the other frameworks do: as Latin-1 (RFC 9110, 5.5)."""
    return value.encode("utf-8", "surrogateescape").decode("latin-1")
