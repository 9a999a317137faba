"""The id in the headers of a response, and ``Vary`` if the client has sent it.

A cache must not answer one client with the id of another. So ``Vary`` of the response names
the request's header. What the application has set itself stays: its header of the id, and the
names in its ``Vary``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

__all__ = ["add_vary", "merged_vary", "with_id"]


def with_id(
    headers: Iterable[Any], echo: tuple[Any, Any], id_header: str | None, vary: Any
) -> list[Any]:
    """Return a copy of the headers of a response, with the request's id.

    Args:
        headers: Pairs of a name and a value: texts over WSGI, bytes over ASGI.
        echo: Such a pair, of the id.
        id_header: The header that the client has sent the id in; None for no ``Vary``.
        vary: The name ``Vary`` in the type of the names.
    """
    # The application's own headers may be an iterator, which is exhausted now.
    sending = [*headers]
    name = echo[0].lower()
    size = len(name)
    has_vary = False
    for sent, _ in sending:
        # The length first: it takes less time, and few names have one of the two.
        length = len(sent)
        if length == size and sent.lower() == name:
            return sending
        if length == 4 and sent.lower() == vary.lower():
            has_vary = True
    sending.append(echo)
    if id_header is not None:
        if has_vary:
            add_vary(sending, id_header, vary)
        else:
            sending.append((vary, id_header if isinstance(vary, str) else id_header.encode()))
    return sending


# Most responses of an application have the same value.
@functools.lru_cache(maxsize=256)
def merged_vary(values: tuple[str, ...], header: str) -> str | None:
    """Return the new value of ``Vary``; None if its present values suffice.

    Args:
        values: Its present values, one for each time that it is in the response.
        header: The header that the response depends on.
    """
    listed = [name for value in values for each in value.split(",") if (name := each.strip())]
    known = [name.lower() for name in listed]
    # All headers (RFC 9110, 12.5.5); with a name beside it, caches would see that one only.
    if "*" in known or header.lower() in known:
        return None
    return ", ".join([*listed, header])


def add_vary(headers: list[Any], header: str, name: str | bytes) -> None:
    """Add a header to ``Vary`` in the list of a response's headers.

    Args:
        headers: Pairs of a name and a value: texts over WSGI, bytes over ASGI.
        header: The header that the response depends on.
        name: ``Vary`` in the type of the names.
    """
    lowered = name.lower()
    sent = [each for each in headers if len(each[0]) == 4 and each[0].lower() == lowered]
    is_text = isinstance(name, str)
    values = [value if is_text else bytes(value).decode("latin-1") for _, value in sent]
    merged = merged_vary(tuple(values), header)
    if merged is not None:
        for each in sent:
            headers.remove(each)
        headers.append((name, merged if is_text else merged.encode("latin-1")))
