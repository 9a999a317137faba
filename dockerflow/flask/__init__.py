"""Dockerflow for Flask: ``Dockerflow(app)``."""

from dockerflow._request.missing_extra import needs_extra

with needs_extra("flask", "werkzeug", "blinker"):
    from .app import Dockerflow

__all__ = ["Dockerflow"]
