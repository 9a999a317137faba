"""Dockerflow for Sanic: ``Dockerflow(app)``."""

from dockerflow._request.missing_extra import needs_extra

with needs_extra("sanic"):
    from .app import Dockerflow

__all__ = ["Dockerflow"]
