"""What a call has said, as the Fields of a line."""

__all__: list[str] = []
