"""The stage that collects the Fields of a line from a record or an event."""

__all__: list[str] = []
