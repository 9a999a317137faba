"""The command line, which writes ``version.json``."""

__all__: list[str] = []
