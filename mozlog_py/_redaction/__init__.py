"""How secrets are recognised and masked, by name, by value and by shape."""

__all__: list[str] = []
