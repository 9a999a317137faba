"""For tests of services: what was logged, as parsed MozLog lines.

::

    with capture_lines() as lines:
        logging.getLogger("app").info("hello")
    assert lines[0]["Fields"]["msg"] == "hello"

Under pytest the fixture ``mozlog_lines`` gives the same list for a whole test.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .formatter import MozlogFormatter
from .schema import validate

__all__ = ["capture_lines"]


@contextmanager
def capture_lines(
    logger: str | logging.Logger | None = None,
    *,
    level: int | str = logging.NOTSET,
    formatter: MozlogFormatter | None = None,
) -> Iterator[list[dict[str, Any]]]:
    """Collect the lines that are logged within the block, each parsed into a dict.

    ``logger``: the one to listen to, with what propagates to it; None is the
    root. ``level``: the lowest level to let through; the logger's own level is
    lowered to it for the length of the block. ``formatter``: how lines are
    made; None is ``MozlogFormatter()``.

    Raises ``AssertionError`` on leaving, if a line is not valid MozLog.
    """
    target = logger if isinstance(logger, logging.Logger) else logging.getLogger(logger)
    handler = _Collecting(formatter or MozlogFormatter())
    former = target.level
    target.addHandler(handler)
    target.setLevel(level if level != logging.NOTSET else 1)
    try:
        yield handler.lines
    finally:
        target.setLevel(former)
        target.removeHandler(handler)
    if handler.problems:
        raise AssertionError("not valid MozLog: " + "; ".join(handler.problems))


class _Collecting(logging.Handler):
    def __init__(self, formatter: MozlogFormatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.lines: list[dict[str, Any]] = []
        self.problems: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        problems = validate(line, strict=getattr(self.formatter, "strict", False))
        self.problems.extend(f"{problem} in {line}" for problem in problems)
        self.lines.append(json.loads(line))
