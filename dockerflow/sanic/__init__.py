"""Dockerflow for Sanic: ``Dockerflow(app)``."""

from dockerflow.extras import needs_extra

with needs_extra("sanic"):
    from .app import Dockerflow

__all__ = ["Dockerflow"]
