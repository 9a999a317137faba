"""Exceptions that stand for a response, and the status that they stand for."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["status_of_exception"]

_SERVER_ERROR: Final = 500
# The name that Werkzeug, Starlette, FastAPI, Litestar and aiohttp have for them.
_NAME: Final = "HTTPException"


def status_of_exception(error: BaseException) -> int:
    """Return the status that an exception is answered with: its own, or 500.

    Only an exception of a class named ``HTTPException``, or of one that inherits from it, has a
    status of its own. A client of another service raises exceptions with a status as well, which
    is not that of the request.

    Args:
        error: An exception of a framework or of the application. A framework may be served inside
            of another one, which answers it.
    """
    if all(kind.__name__ != _NAME for kind in type(error).__mro__):
        return _SERVER_ERROR
    status: Any = getattr(error, "status_code", None) or getattr(error, "code", None)
    return status if type(status) is int and status >= 100 else _SERVER_ERROR
