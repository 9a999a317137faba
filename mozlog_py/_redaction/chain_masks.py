"""Which renderers mask by value what a ``Redact`` in front of them knows.

A renderer adds the context, static fields and tracebacks to an event, which no processor in
front of it has seen. ``FastBoundLogger`` runs its chain itself and passes the masks on. structlog
runs the chains of its own loggers, and a processor is not told which one it is in; that can be
read from the frame that calls it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

from mozlog_py._values.mask_registry import mask_chains

if TYPE_CHECKING:
    from .mask import Mask

__all__ = ["ChainRenderer", "mask_renderers"]


class ChainRenderer:
    """A last processor of a chain that adds something to events."""

    __slots__ = ()

    def add_masks_of(self, processors: Iterable[Any]) -> None:
        """Mask in each line what processors in front of this one mask by value."""
        raise NotImplementedError


def mask_renderers(processor: Any, mask: Mask, caller: FrameType) -> None:
    """Have the renderers behind a processor mask what it masks by value.

    If the chain cannot be read, every ``MozlogRenderer`` of the process does: more is masked
    rather than less.

    Args:
        processor: The ``Redact``.
        mask: Its mask.
        caller: The frame that has called it.
    """
    renderers = [one for one in _chain_of(caller) if issubclass(type(one), ChainRenderer)]
    if not renderers:
        mask_chains(mask)
    for renderer in renderers:
        renderer.add_masks_of((processor,))


def _chain_of(caller: FrameType) -> list[Any]:
    """Return the processors that a frame of structlog runs; an empty list for other frames."""
    for code, attribute in _runners():
        if caller.f_code is code:
            chain = getattr(caller.f_locals.get("self"), attribute, None)
            # An iterator would be used up by a look at it.
            return [*chain] if type(chain) is list or type(chain) is tuple else []
    return []


def _runners() -> Iterator[tuple[CodeType | None, str]]:
    """Return what runs chains in structlog, and the attribute that has the chain there."""
    # Not imported: without structlog a formatter calls the processor.
    structlog: Any = sys.modules.get("structlog")
    logger = getattr(structlog, "BoundLoggerBase", None)
    yield _code_of(logger, "_process_event"), "_processors"
    formatter = getattr(getattr(structlog, "stdlib", None), "ProcessorFormatter", None)
    yield _code_of(formatter, "format"), "processors"


def _code_of(owner: Any, name: str) -> CodeType | None:
    return getattr(getattr(owner, name, None), "__code__", None)
