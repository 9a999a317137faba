"""The stage that makes text for people of one record."""

__all__: list[str] = []
