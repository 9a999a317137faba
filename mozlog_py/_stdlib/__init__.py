"""Changes to ``logging`` and to the interpreter, made by ``configure()`` and handlers."""

__all__: list[str] = []
