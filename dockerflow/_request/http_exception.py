"""Exceptions that stand for a response, and the status that they stand for."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["status_of_exception"]

_SERVER_ERROR: Final = 500
# The classes that others derive from: Flask's, FastAPI's and connexion's are among those. Other
# libraries have classes of this name whose codes are no statuses of the request.
_CLASSES: Final = frozenset(
    {("werkzeug.exceptions", "HTTPException"), ("starlette.exceptions", "HTTPException")}
)


def status_of_exception(error: BaseException) -> int:
    """Return the status that an exception is answered with: its own, or 500.

    Only an ``HTTPException`` of Werkzeug or Starlette, or of a class that inherits from one, has a
    status of its own. A client of another service raises exceptions with a status as well, which
    is not that of the request.

    Args:
        error: An exception of a framework or of the application. A framework may be served inside
            of another one, which answers it.
    """
    if _CLASSES.isdisjoint((kind.__module__, kind.__name__) for kind in type(error).__mro__):
        return _SERVER_ERROR
    status: Any = getattr(error, "status_code", None) or getattr(error, "code", None)
    return status if type(status) is int and 100 <= status <= 599 else _SERVER_ERROR
