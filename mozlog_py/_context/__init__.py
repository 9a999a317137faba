"""The sources that the logging context is read from."""

__all__: list[str] = []
