"""The stage that encodes an envelope and Fields as bytes."""

__all__: list[str] = []
