"""Bodies that are iterated after the middleware has returned, in their request's context."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from dockerflow.summary import RequestSummary

__all__ = ["iterated", "iterated_async"]


def iterated(parts: Any, summary: RequestSummary) -> Iterator[bytes]:
    """Give the parts of a body; each is made in the context of its request."""
    iterator = iter(parts)
    while True:
        summary.enter()
        try:
            part = next(iterator)
        except StopIteration:
            return
        except BaseException as error:
            summary.finish(error)
            raise
        finally:
            summary.leave()
        yield part


async def iterated_async(parts: Any, summary: RequestSummary) -> AsyncIterator[bytes]:
    """Give the same of an asynchronous iterator."""
    iterator = aiter(parts)
    while True:
        summary.enter()
        try:
            part = await anext(iterator)
        except StopAsyncIteration:
            return
        except BaseException as error:
            summary.finish(error)
            raise
        finally:
            summary.leave()
        yield part
