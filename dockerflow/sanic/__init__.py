"""Dockerflow for Sanic: ``Dockerflow(app)``."""

from .app import Dockerflow

__all__ = ["Dockerflow"]
