"""The next call of a coroutine method of one object: that it begins, and how it ends.

An adapter watches the methods of a response by which its framework sends that response.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["unwatch", "watch_next_call"]


def watch_next_call(
    target: Any,
    name: str,
    *,
    called: Callable[..., object] | None = None,
    returned: Callable[[], object] | None = None,
    raised: Callable[[BaseException], object] | None = None,
) -> None:
    """Replace a coroutine method of one object for its next call.

    Args:
        target: The object, which has a ``__dict__``.
        name: The name of its method.
        called: Is called before the method, with the same arguments.
        returned: Is called when the method has returned.
        raised: Is called with what the method has raised, before the caller gets that.
    """
    method = getattr(target, name)

    async def watched(*args: Any, **options: Any) -> Any:
        unwatch(target, name)
        if called is not None:
            called(*args, **options)
        try:
            result = await method(*args, **options)
        except BaseException as error:
            if raised is not None:
                raised(error)
            raise
        if returned is not None:
            returned()
        return result

    setattr(target, name, watched)


def unwatch(target: Any, *names: str) -> None:
    """Put methods back that were not called: they and the object refer to each other."""
    for name in names:
        vars(target).pop(name, None)
