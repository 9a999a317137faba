"""``Vary`` in a response whose id the client has sent.

A cache must not answer one client with the id of another. So ``Vary`` of the response names
the request's header; the names that the application has set stay.
"""

from __future__ import annotations

import functools
from typing import Final

__all__ = ["VARY", "merged_vary", "vary_asgi", "vary_wsgi"]


class _Ready(dict[str, tuple[bytes, bytes]]):
    """``Vary`` over ASGI, by the header that it names: few names, those of the policies."""

    def __missing__(self, header: str) -> tuple[bytes, bytes]:
        made = self[header] = b"vary", header.encode("latin-1")
        return made


#: The header to add to a response over ASGI that has no ``Vary`` yet.
VARY: Final = _Ready()


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


def vary_asgi(headers: list[tuple[bytes, bytes]], header: str) -> None:
    """Add a header to ``Vary`` in the list of a response over ASGI."""
    sent = [each for each in headers if len(each[0]) == 4 and each[0].lower() == b"vary"]
    merged = _merged(tuple([bytes(value) for _, value in sent]), header)
    if merged is not None:
        for each in sent:
            headers.remove(each)
        headers.append(merged)


def vary_wsgi(headers: list[tuple[str, str]], header: str) -> None:
    """Add a header to ``Vary`` in the list of a response over WSGI."""
    sent = [each for each in headers if len(each[0]) == 4 and each[0].lower() == "vary"]
    merged = merged_vary(tuple([value for _, value in sent]), header)
    if merged is not None:
        for each in sent:
            headers.remove(each)
        headers.append(("Vary", merged))


@functools.lru_cache(maxsize=256)
def _merged(values: tuple[bytes, ...], header: str) -> tuple[bytes, bytes] | None:
    merged = merged_vary(tuple([value.decode("latin-1") for value in values]), header)
    return None if merged is None else (b"vary", merged.encode("latin-1"))
