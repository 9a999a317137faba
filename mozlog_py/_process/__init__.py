"""The process: its id, its descriptors, its forks, and its notes on stderr."""

__all__: list[str] = []
