"""A system check for an installation that serves no endpoint."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning  # noqa: A004 - Django's name
from django.urls import Resolver404, resolve
from django.utils.module_loading import import_string

__all__ = ["check_installation"]


def check_installation(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """Look for the middleware, and for a URL of an endpoint."""
    if _has_middleware() or _has_urls():
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


def _has_middleware() -> bool:
    from .middleware import DockerflowMiddleware

    for name in settings.MIDDLEWARE:
        try:
            found = import_string(name)
        except ImportError:
            # Django reports it itself.
            continue
        if isinstance(found, type) and issubclass(found, DockerflowMiddleware):
            return True
    return False


def _has_urls() -> bool:
    for path in ("/__lbheartbeat__", "/__lbheartbeat__/"):
        try:
            resolve(path)
        except Resolver404:
            continue
        except Exception:
            # No URLs, or broken ones, which other checks report.
            return False
        return True
    return False
