"""Dockerflow for Flask: ``Dockerflow(app)``."""

from dockerflow.extras import needs_extra

with needs_extra("flask", "werkzeug", "blinker"):
    from .app import Dockerflow

__all__ = ["Dockerflow"]
