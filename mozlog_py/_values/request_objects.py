"""Requests of Django and Werkzeug as values: their ``repr`` without the query string.

Django logs the request object with each 404 and 500, as ``extra={"request": request}``. Its
``repr`` has the query string, with whatever a client has sent in it. The summary of a request has
the query string where ``DOCKERFLOW_SUMMARY_LOG_QUERYSTRING`` asks for it, without the values of
credentials.
"""

from __future__ import annotations

from typing import Any, Final

from mozlog_py._process.lazy_pattern import lazy_pattern

from .class_lookup import is_kind

__all__ = ["REQUEST_PACKAGES", "is_request", "shown_request"]

# Sanic's and aiohttp's show the path alone. Starlette's is a mapping.
_REQUESTS: Final = (
    ("django.http.request", "HttpRequest"),
    ("werkzeug.sansio.request", "Request"),
)
#: The packages of these types.
REQUEST_PACKAGES: Final = frozenset(module.partition(".")[0] for module, _ in _REQUESTS)
_QUERY: Final = lazy_pattern(r"\?[^'\"\s]*")


def is_request(kind: type) -> bool:
    """Return whether values of a type are requests whose ``repr`` has the query string."""
    return any(is_kind(kind, module, name) for module, name in _REQUESTS)


def shown_request(request: Any) -> str:
    """Return the ``repr`` of a request without its query string."""
    return _QUERY.sub("", str.__str__(repr(request)))
