"""What options may be, and what is installed."""

__all__: list[str] = []
