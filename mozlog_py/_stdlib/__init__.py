"""What is changed in ``logging`` and in the interpreter, by ``configure()`` only."""

__all__: list[str] = []
