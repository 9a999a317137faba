"""Dockerflow for Flask: ``Dockerflow(app)``."""

from .app import Dockerflow

__all__ = ["Dockerflow"]
