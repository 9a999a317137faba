"""What every adapter does with a request; nothing here knows a framework."""
