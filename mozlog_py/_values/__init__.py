"""The stage that makes plain values of any values."""

__all__: list[str] = []
