"""``Vary`` in a response whose id the client has sent.

A cache must not answer one client with the id of another. So ``Vary`` of the response names
the request's header; the names that the application has set stay.
"""

from __future__ import annotations

import functools
from typing import Any

__all__ = ["add_vary", "merged_vary"]


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
