"""The id of a request whose client has sent one id, or none, as nearly all do.

The policy is asked only whether it accepts that id. Between several ids, or with a ``traceparent``,
``RequestIdPolicy.resolve`` in ``dockerflow/request_id.py`` chooses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .options import Options

__all__ = ["IdHeaders", "resolve_id"]


class IdHeaders(NamedTuple):
    """What a policy resolves an id from; the parameters of ``RequestIdPolicy.resolve``."""

    #: The values of the id's header.
    values: list[str]
    #: The values of ``traceparent``.
    traceparents: list[str]
    #: The client's address, None if it is not known.
    client: str | None


def resolve_id(
    exchange: Any,
    holder: Any,
    options: Options,
    value: str | None,
    is_single: bool,
    id_headers: Callable[[Any, Options], IdHeaders],
) -> str:
    """Return the id of a request, and set its headers of the response.

    Args:
        exchange: The request's exchange; gets ``id_header`` and what ``set_echo`` sets.
        holder: What holds the request, as for ``Layer``.
        options: The options for this request.
        value: The value of the id's header; None if the request has no such header.
        is_single: Whether the header of the id came at most once, and ``value`` is all of it.
        id_headers: Reads from the holder all that the policy needs.
    """
    # A traceparent is the policy's: ``accepts`` refuses each value where one may be the id.
    if value is None and is_single and not options.uses_traceparent:
        request_id: str = options.generate()
    elif value is not None and is_single and options.accepts(value):
        request_id = value
        exchange.id_header = options.echo_name
    else:
        request_id, exchange.id_header = options.policy.resolve(*id_headers(holder, options))
    if options.echoes_all or options.policy.may_echo(request_id):
        exchange.set_echo(options, request_id)
    return request_id
