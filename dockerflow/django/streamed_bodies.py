"""Bodies that are iterated after the middleware has returned, in their request's context."""

from __future__ import annotations

from typing import Any

from dockerflow._request.streamed_body import close_in, iterate_async_in, iterate_in
from dockerflow.summary import RequestSummary

__all__ = ["watch_stream"]


def watch_stream(response: Any, summary: RequestSummary) -> None:
    """Make and close the parts of a streaming response in the context of its request.

    The summary is logged when the response is closed.
    """
    summary.is_streaming = True
    if not hasattr(response, "file_to_stream") or response.file_to_stream is None:
        iterate = iterate_async_in if getattr(response, "is_async", False) else iterate_in
        response.streaming_content = iterate(summary, response.streaming_content)
    # One of them closes the view's generator, whose ``finally`` may log.
    closers = [*response._resource_closers]
    response._resource_closers[:] = [lambda: close_in(summary, closers)]
    summary.leave()
