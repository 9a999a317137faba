"""Which renderers mask by value what a ``Redact`` in front of them knows.

A renderer adds the context, static fields and tracebacks to an event, which no processor in
front of it has seen. ``FastBoundLogger`` runs its chain itself and passes the masks on. structlog
runs the chains of its own loggers, and passes no reference to the chain to a processor. It can be
read from the frame that calls the processor.
"""

from __future__ import annotations

import sys
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

from mozlog_py._values.mask_registry import mask_chains

if TYPE_CHECKING:
    from .mask import Mask

__all__ = ["ChainRenderer", "mask_renderers"]


class ChainRenderer:
    """A last processor of a chain that adds something to events."""

    __slots__ = ()

    def add_mask(self, mask: Mask) -> None:
        """Mask in each line what a processor in front of this one masks by value."""
        raise NotImplementedError


def mask_renderers(mask: Mask, caller: FrameType) -> None:
    """Have the renderers behind a processor mask what it masks by value.

    If the chain cannot be read, every ``MozlogRenderer`` of the process does: more is masked
    rather than less.

    Args:
        mask: The mask of the processor.
        caller: The frame that has called the processor.
    """
    is_known = False
    for processor in _chain_of(caller):
        if issubclass(type(processor), ChainRenderer):
            processor.add_mask(mask)
            is_known = True
    if not is_known:
        mask_chains(mask)


def _chain_of(caller: FrameType) -> list[Any] | tuple[Any, ...]:
    """Return the processors that a frame of structlog runs; an empty tuple for other frames."""
    for code, attribute in _runners or _found_runners():
        if caller.f_code is code:
            chain = getattr(caller.f_locals.get("self"), attribute, None)
            # The loop over another iterable might use it up.
            return chain if type(chain) is list or type(chain) is tuple else ()
    return ()


# The functions of structlog that run chains, by their code, with the attribute that has the chain.
_runners: list[tuple[CodeType | None, str]] = []


def _found_runners() -> list[tuple[CodeType | None, str]]:
    # Not imported: without structlog a formatter calls the processor.
    structlog: Any = sys.modules.get("structlog")
    formatter = getattr(getattr(structlog, "stdlib", None), "ProcessorFormatter", None)
    found = [
        (_code_of(getattr(structlog, "BoundLoggerBase", None), "_process_event"), "_processors"),
        (_code_of(formatter, "format"), "processors"),
    ]
    if formatter is not None:
        _runners[:] = found
    return found


def _code_of(owner: Any, name: str) -> CodeType | None:
    return getattr(getattr(owner, name, None), "__code__", None)
