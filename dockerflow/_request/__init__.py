"""What every adapter does with a request; nothing here knows a framework."""

__all__: list[str] = []
