"""Bodies whose parts are made after the framework's middleware has returned.

Each part is made in the context of its request, and the caller's context is restored
after each. The middleware may leave the request's context to the first part, or to the end
where there is none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from dockerflow._request.exchange import Exchange

__all__ = ["close_in", "iterate_async_in", "iterate_in"]


def iterate_in(summary: Exchange, parts: Iterable[Any]) -> Iterator[Any]:
    """Yield the parts of a body, each made in the context of its request.

    An exception of the body ends the request.
    """
    iterator = iter(parts)
    summary.leave()
    while True:
        summary.enter()
        try:
            part = next(iterator)
        except StopIteration:
            return
        except BaseException as error:
            # The server logs it where the request's context is gone.
            summary.attach_id(error)
            summary.finish(error)
            raise
        finally:
            summary.leave()
        yield part


async def iterate_async_in(summary: Exchange, parts: Any) -> AsyncIterator[Any]:
    """Yield the parts of an asynchronous body; otherwise as ``iterate_in``."""
    iterator = aiter(parts)
    summary.leave()
    while True:
        summary.enter()
        try:
            part = await anext(iterator)
        except StopAsyncIteration:
            return
        except BaseException as error:
            # The server logs it where the request's context is gone.
            summary.attach_id(error)
            summary.finish(error)
            raise
        finally:
            summary.leave()
        yield part


def close_in(summary: Exchange, closers: Iterable[Callable[[], Any]]) -> None:
    """Call the functions that close a body in the context of its request, and end it.

    An ``Exception`` of such a function is ignored, as frameworks ignore it.
    """
    summary.leave()
    summary.enter()
    try:
        for close in closers:
            try:
                close()
            except Exception:
                pass
        summary.finish(summary.error)
    finally:
        summary.leave()
