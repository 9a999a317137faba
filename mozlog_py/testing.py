"""Support for tests of services: the logged lines, as parsed MozLog lines.

::

    with capture_lines() as lines:
        logging.getLogger("app").info("hello")
    assert lines[0]["Fields"]["msg"] == "hello"

Under pytest the fixture ``mozlog_lines`` returns the same list for a whole test.

``no_leaks()`` fails if a block leaves a field bound in the logging context, which would appear
in the lines of the next code in this context. Under pytest the fixture ``mozlog_no_leaks`` does
so for one test, and the ini option ``mozlog_no_leaks = true`` for all tests.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mozlog_py._config.new_chains import listeners
from mozlog_py._context.trace_context import SPAN_FIELDS
from mozlog_py._stdlib.import_hooks import is_awaited

from . import context
from .formatter import MozlogFormatter
from .schema import validate

__all__ = ["capture_lines", "no_leaks"]


@contextmanager
def capture_lines(
    logger: str | logging.Logger | None = None,
    *,
    level: int | str = logging.NOTSET,
    formatter: MozlogFormatter | None = None,
) -> Iterator[list[dict[str, Any]]]:
    """Collect the lines that are logged within the block, each parsed into a dict.

    If ``mozlog_py.configure()`` has set up structlog, before the block or within it, the lines of
    its loggers are collected as well.

    Args:
        logger: The logger whose records, with those that propagate to it, are collected; None
            is the root logger.
        level: The lowest level to collect. The block sets the logger's own level to it.
        formatter: Formats the lines; None is ``MozlogFormatter()``.

    Raises:
        AssertionError: At the end of the block, if a line is not valid MozLog.
    """
    target = logger if isinstance(logger, logging.Logger) else logging.getLogger(logger)
    handler = _CollectingHandler(formatter or MozlogFormatter())
    former = target.level
    target.addHandler(handler)
    target.setLevel(level if level != logging.NOTSET else 1)
    try:
        with _listening_to_structlog(handler, None if target is logging.root else target.name):
            yield handler.lines
    finally:
        target.setLevel(former)
        target.removeHandler(handler)
    if handler.problems:
        raise AssertionError("not valid MozLog: " + "; ".join(handler.problems))


@contextmanager
def no_leaks() -> Iterator[None]:
    """Fail if the block leaves the logging context changed.

    The context is restored, so that one leak causes one failure.

    Raises:
        AssertionError: At the end of the block, if the context differs and the block has not
            raised.
    """
    snapshot = context.snapshot()
    before = _shown()
    try:
        yield
        after = _shown()
        left = [f"{name}={after[name]!r}" for name in after if _differs(name, after, before)]
        lost = [name for name in before if name not in after]
        if left or lost:
            raise AssertionError(
                "the logging context is not what it was: "
                + "; ".join(
                    [*(f"left behind {field}" for field in left), *(f"lost {n}" for n in lost)]
                )
                + ". The next code in this context logs with it: bind with "
                "`with context.bound(...)`, or clear() at the end"
            )
    finally:
        context.restore(snapshot)


def _shown() -> dict[str, Any]:
    # The tracing library ends a span, possibly after the block.
    return {name: value for name, value in context.get().items() if name not in SPAN_FIELDS}


def _differs(name: str, after: dict[str, Any], before: dict[str, Any]) -> bool:
    return name not in before or after[name] is not before[name]


class _CollectingHandler(logging.Handler):
    #: Events of structlog reach this handler from the chain, without a record.
    has_events = True

    def __init__(self, formatter: MozlogFormatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.lines: list[dict[str, Any]] = []
        self.problems: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.collect(self.format(record))

    def collect(self, line: str) -> None:
        """Store a line, and its problems for the end of the block."""
        problems = validate(line, strict=getattr(self.formatter, "strict", False))
        self.problems.extend(f"{problem} in {line}" for problem in problems)
        try:
            self.lines.append(json.loads(line))
        except ValueError:
            # validate() has noted the problem. The log call itself must not raise.
            pass


class _StructlogListener:
    """Collects the lines of structlog's events, in the place of the last processor of the chain.

    Args:
        handler: Collects the lines.
        name: The logger whose events, with those of its children, are collected; None for all.
    """

    def __init__(self, handler: _CollectingHandler, name: str | None) -> None:
        self._handler = handler
        self._name = name
        #: The processor that this one has replaced.
        self.behind: Any = None
        self._renderer: Any = None

    def attach(self, chain: list[Any]) -> None:
        """Replace the last processor of a chain."""
        self._renderer = sys.modules["mozlog_py.structlog"].MozlogRenderer(
            output="text", formatter=self._handler.formatter, is_last_of_chain=len(chain) > 1
        )
        self.behind = chain[-1]
        chain[-1] = self

    def detach(self, chain: list[Any]) -> None:
        """Put the replaced processor back, also where later listeners stand in front."""
        if not chain:
            return
        if chain[-1] is self:
            chain[-1] = self.behind
        outer = chain[-1]
        while type(outer) is _StructlogListener:
            if outer.behind is self:
                outer.behind = self.behind
            outer = outer.behind

    def __call__(self, logger: Any, method_name: str, event_dict: Any) -> Any:
        """Collect the line of an event, and return what the replaced processor returns."""
        own = getattr(logger, "name", None) or ""
        if self._name is None or own == self._name or own.startswith(f"{self._name}."):
            self._handler.collect(self._renderer(logger, method_name, event_dict))
        return self.behind(logger, method_name, event_dict)


@contextmanager
def _listening_to_structlog(handler: _CollectingHandler, name: str | None) -> Iterator[None]:
    if is_awaited("structlog"):
        # configure() has left it to the import, which the block may do.
        import structlog  # noqa: F401
    listener = _StructlogListener(handler, name)
    if chain := _chain():
        listener.attach(chain)
    # A test may create its application in the block.
    listeners.append(listener.attach)
    try:
        yield
    finally:
        listeners.remove(listener.attach)
        listener.detach(_chain())


def _chain() -> list[Any]:
    """Return the chain that ``configure()`` has set up; empty if it has not."""
    setup = sys.modules.get("mozlog_py.structlog.configure")
    return [] if setup is None else setup.chain
