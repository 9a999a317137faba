"""Dockerflow for Python services, import-compatible with the ``dockerflow`` package."""

__all__: list[str] = []
