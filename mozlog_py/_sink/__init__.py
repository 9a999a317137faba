"""The last stage: from the bytes of a line to a descriptor."""

__all__: list[str] = []
