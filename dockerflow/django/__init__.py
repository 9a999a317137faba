"""Dockerflow for Django: an application, a middleware, and the endpoints as views.

::

    INSTALLED_APPS = ["dockerflow.django", ...]
    MIDDLEWARE = ["dockerflow.django.middleware.DockerflowMiddleware", ...]
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from dockerflow._request.missing_extra import needs_extra

with needs_extra("django"):
    # Every module below needs it, and this is imported before all of them.
    import_module("django")

__all__ = ["DockerflowMiddleware", "dockerflow_view"]

_PLACES = {"DockerflowMiddleware": ".middleware", "dockerflow_view": ".views"}


def __getattr__(name: str) -> Any:
    # Django imports this package before its own applications are ready.
    if name in _PLACES:
        return getattr(import_module(_PLACES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
