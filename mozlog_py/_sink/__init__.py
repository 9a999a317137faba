"""The stage that brings bytes to a descriptor."""

__all__: list[str] = []
