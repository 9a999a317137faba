"""Bodies that are iterated after the middleware has returned, in their request's context."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from dockerflow.summary import RequestSummary

__all__ = ["watch_stream"]


def watch_stream(response: Any, summary: RequestSummary) -> None:
    """Have the parts of a streaming response made, and closed, in the context of its request.

    The summary is logged when the response is closed.
    """
    summary.is_streaming = True
    if not hasattr(response, "file_to_stream") or response.file_to_stream is None:
        wrap = _iterated_async if getattr(response, "is_async", False) else _iterated
        response.streaming_content = wrap(response.streaming_content, summary)
    # Among them is close() of the view's generator, whose ``finally`` may log.
    closers = [*response._resource_closers]
    response._resource_closers[:] = [lambda: _close(closers, summary)]
    summary.leave()


def _close(closers: list[Callable[[], Any]], summary: RequestSummary) -> None:
    summary.enter()
    try:
        for close in closers:
            try:
                close()
            except Exception:
                # Django leaves out what a closer raises as well.
                pass
        summary.finish(summary.error)
    finally:
        summary.leave()


def _iterated(parts: Any, summary: RequestSummary) -> Iterator[bytes]:
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


async def _iterated_async(parts: Any, summary: RequestSummary) -> AsyncIterator[bytes]:
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
