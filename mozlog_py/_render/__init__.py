"""The stage that makes one line of one record."""

__all__: list[str] = []
