"""Checks of options and of the installation."""

__all__: list[str] = []
