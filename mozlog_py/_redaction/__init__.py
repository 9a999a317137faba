"""Recognises and masks secrets, by name, by value and by shape."""

__all__: list[str] = []
