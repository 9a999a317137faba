"""The recommended chain of processors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mozlog_py.formatter import MozlogFormatter, checked_processors
from mozlog_py.processors import StaticFields, merge_context
from mozlog_py.typing import Output, Processor, RendererOptions

from .renderer import MozlogRenderer

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["processors"]


def processors(
    logger_name: str | None = None,
    *,
    before: Sequence[Processor] = (),
    output: Output = "bytes",
    formatter: MozlogFormatter | None = None,
    **options: Unpack[RendererOptions],
) -> list[Processor]:
    """Return the recommended chain, for ``structlog.configure(processors=...)``.

    It ends with ``MozlogRenderer``. Without further processors that is all, since the renderer
    adds the context and the static fields itself, and ``FastBoundLogger`` is at its fastest.

    Args:
        logger_name: As in ``MozlogRenderer``, like those below but for ``before``.
        before: Processors that get an event first, with the context and the static fields in it.
        output: As in ``MozlogRenderer``.
        formatter: As in ``MozlogRenderer``.
        **options: As in ``MozlogRenderer``.

    Raises:
        OptionError: An option is invalid.
    """
    between = checked_processors(before, "before")
    if formatter is not None:
        # In a chain, the formatter's processors run like all others.
        between += formatter.processors
    renderer = MozlogRenderer(
        logger_name,
        output=output,
        formatter=formatter,
        is_last_of_chain=bool(between),
        **options,
    )
    if not between:
        return [renderer]
    first: list[Processor] = []
    if renderer.formatter.include_context:
        first.append(merge_context)
    if renderer.formatter.static_fields:
        first.append(StaticFields(**renderer.formatter.static_fields))
    return [*first, *between, renderer]
