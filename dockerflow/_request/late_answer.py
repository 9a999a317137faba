"""A request that is answered after its layer was left: by a layer further out, or by the server.

An exception that leaves the layer is kept. It is an error of the request only if the server
answers it, or nothing does.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final

from .exchange import Exchange
from .watched_call import unwatch

__all__ = ["SERVER_ERROR", "LateAnswer"]

#: What a server answers an exception with, or a handler that returns no response.
SERVER_ERROR: Final = 500


class LateAnswer(Exchange):
    """One request, from its layer to the end of its response.

    A subclass implements ``_is_disconnected`` and ``_has_sent``.
    """

    #: Whether the layer was left: layers further out have control, and then the server.
    is_left: bool = False
    #: Whether the layer was left with a value that is no response.
    has_no_response: bool = False
    #: What has left the layer while the client was there, as long as nothing has answered it.
    unanswered: BaseException | None = None
    #: The exception that is handled around the request, where an ``except`` clause serves.
    surrounding: BaseException | None = None
    #: The exceptions that are responses, as those of HTTP statuses are in frameworks.
    http_exceptions: type[BaseException] | tuple[type[BaseException], ...] = ()
    #: The response that was begun, until it has ended.
    response: Any = None
    #: The methods of a response that are watched until then.
    watched: tuple[str, ...] = ()

    def begin(self, request_id: str | None) -> None:
        """Begin the request in its task."""
        self.surrounding = sys.exc_info()[1]
        super().begin(request_id)

    def _is_disconnected(self) -> bool:
        """Return whether the connection is closed; behind the task, the server has closed it."""
        raise NotImplementedError

    def _has_sent(self) -> bool:
        """Return whether a byte of a response is sent."""
        raise NotImplementedError

    def fail(self, error: BaseException, is_cut: bool = False) -> None:
        """Keep an exception, which a layer further out may answer, and else the server.

        Args:
            error: What has left the layer, or the preparation of a response.
            is_cut: Whether the exception says that the connection is cut.
        """
        self.attach_id(error)
        self.is_client_gone = is_cut or self._is_disconnected()
        is_final = not isinstance(error, (Exception, asyncio.CancelledError))
        if is_final or self.is_client_gone or self.is_over:
            self.end(error)
        else:
            self.unanswered = error

    def leave_to_server(self) -> None:
        """Leave the layer, note whether the client is still there, and end with the task."""
        self.is_left = True
        self.is_client_gone = self._is_disconnected()
        super().leave_to_server()
        task = asyncio.current_task()
        if task is not None and not self.is_over:
            task.add_done_callback(self._end_with_task)

    def note_response(self, response: Any, status: int) -> bool:
        """Note a response that is begun, and its status.

        Returns:
            False if this one, or a part of an earlier one, was begun before.
        """
        if response is self.response or (self.response is not None and self._has_sent()):
            return False
        # An earlier one was not sent.
        self._drop_response()
        self.response = response
        self._note_status(status)
        return True

    def _note_status(self, status: int) -> None:
        """Note the status of a response that is begun, and who answers an exception with it."""
        self.is_client_gone = self._is_disconnected()
        if self.is_left:
            # The server sends its answer while it handles the exception.
            error = sys.exc_info()[1]
            is_servers = (
                status >= SERVER_ERROR
                and error is not self.surrounding
                and not isinstance(error, self.http_exceptions)
            )
            self.unanswered = error if is_servers else None
        is_servers = self.has_no_response and status == SERVER_ERROR
        self.code = None if self.is_client_gone or is_servers else status

    def end_body(self) -> None:
        """End the request with the last byte of its response."""
        self.finish(self.unanswered)

    def fail_body(self, error: BaseException) -> None:
        """End the request by an exception of sending its response."""
        self.is_client_gone = self._is_disconnected()
        self.end(error)

    def end(self, error: BaseException | None = None) -> None:
        """End a request whose response does not end as it should.

        Args:
            error: What has left the handler, or the making of the response.
        """
        if error is not None:
            self.attach_id(error)
        if self.unanswered is not None:
            error, self.is_client_gone = self.unanswered, False
        if not self._has_sent():
            # The status was not sent.
            self.code = None
            self._drop_response()
        self.finish(error)

    def _end_with_task(self, task: asyncio.Task[Any]) -> None:
        """End the request with the server's task, where its response has not ended before."""
        if self.is_over:
            return
        self.is_incomplete = self.code is not None
        if task.cancelled():
            self.is_client_gone = self._is_disconnected()
            self.end(asyncio.CancelledError())
        else:
            self.end(task.exception())

    def finish(self, error: BaseException | None = None) -> None:
        """Log the summary, and let go of the response."""
        self._drop_response()
        super().finish(error)
        # The frames of its traceback refer to this object.
        self.unanswered = self.surrounding = None

    def _drop_response(self) -> None:
        if self.response is not None:
            unwatch(self.response, *self.watched)
            self.response = None
