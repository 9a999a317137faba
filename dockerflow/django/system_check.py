"""A system check for an installation that serves no endpoint."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Warning  # noqa: A004 - Django's name
from django.urls import resolve
from django.utils.module_loading import import_string

__all__ = ["check_installation"]

_PATHS: Final = ("/__lbheartbeat__", "/__lbheartbeat__/")


def check_installation(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """Look for the middleware, and for a URL of an endpoint."""
    if any(map(_is_middleware, settings.MIDDLEWARE)) or any(map(_is_served, _PATHS)):
        return []
    return [
        Warning(
            "dockerflow.django is installed, but neither its middleware nor its URLs are",
            hint=(
                "Put 'dockerflow.django.middleware.DockerflowMiddleware' into MIDDLEWARE, or "
                "path('__lbheartbeat__', dockerflow_view) and the like into the URLs"
            ),
            id="dockerflow.django.W001",
        )
    ]


def _is_middleware(name: str) -> bool:
    from .middleware import DockerflowMiddleware

    try:
        found = import_string(name)
    except ImportError:
        # Django reports it itself.
        return False
    return isinstance(found, type) and issubclass(found, DockerflowMiddleware)


def _is_served(path: str) -> bool:
    try:
        resolve(path)
    except Exception:
        # There are no URLs, none of this path, or broken ones, which other checks report.
        return False
    return True
