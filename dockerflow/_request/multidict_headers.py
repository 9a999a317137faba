"""Headers as a multidict: what aiohttp and Sanic hold a request's and a response's in.

Both decode a header's bytes as UTF-8, with surrogates for what is not.
"""

from __future__ import annotations

from typing import Any

from .exchange import Exchange
from .options import Options
from .vary import merged_vary

__all__ = ["echo_id", "latin", "read_headers"]


def read_headers(
    exchange: Exchange, headers: Any, options: Options, client: str | None, *, gives_id: bool = True
) -> str | None:
    """Read what the summary needs from a request's headers; return the request's id.

    Args:
        exchange: The exchange of the request.
        headers: A multidict, whose ``getall`` ignores case.
        options: The options of the request.
        client: The client's address, None where it is not known.
        gives_id: Whether the request is to have an id; None is returned otherwise.
    """
    exchange.is_read = True
    exchange.agent = latin(headers.get("user-agent", ""))
    exchange.lang = latin(headers.get("accept-language", ""))
    if not gives_id:
        return None
    policy = options.policy
    request_id, exchange.id_header = policy.resolve(
        headers.getall(policy.header_name, []), headers.getall("traceparent", []), client
    )
    if policy.may_echo(request_id):
        exchange.echo_name = policy.header_name
    return request_id


def echo_id(exchange: Exchange, headers: Any, *, varies: bool = True) -> None:
    """Put the id into a response's headers, and into ``Vary`` the header that it came in.

    Args:
        exchange: The exchange of the request.
        headers: A multidict. An id of the application's own stays as it is.
        varies: Whether caches may keep the response.
    """
    name = exchange.echo_name
    if name is None or name in headers:
        return
    headers[name] = exchange.rid
    if varies and exchange.id_header is not None:
        merged = merged_vary(tuple(headers.getall("vary", ())), exchange.id_header)
        if merged is not None:
            headers["vary"] = merged


def latin(value: str) -> str:
    """Return a header as the other frameworks do: its bytes are Latin-1 (RFC 9110, 5.5)."""
    return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("latin-1")
