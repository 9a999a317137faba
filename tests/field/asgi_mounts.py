"""Applications within applications, and Django: those that need asyncio."""

from __future__ import annotations

from typing import Any


def applications() -> dict[str, Any]:
    """Return the applications by their names."""
    import django_site

    return {"django": django_site.asgi()}
