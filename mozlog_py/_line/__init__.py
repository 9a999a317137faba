"""The stage that makes bytes of an envelope and Fields."""

__all__: list[str] = []
