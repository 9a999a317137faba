"""The lowest stage: this process, its descriptors, its forks, and its notes on stderr."""

__all__: list[str] = []
