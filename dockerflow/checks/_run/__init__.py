"""How checks are run: each once at a time, within its deadline."""

__all__: list[str] = []
