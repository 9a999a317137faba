"""Finds the library that has replaced the threads of this process by greenlets."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Backend", "green_backend"]


class Backend(NamedTuple):
    """A library that has replaced threads by greenlets.

    Attributes:
        start_thread: Starts a real thread.
        sleep: Lets other greenlets run for a number of seconds.
    """

    start_thread: Callable[[Callable[[], Any], tuple[()]], Any]
    sleep: Callable[[float], Any]


def green_backend() -> Backend | None:
    """Return the library that has replaced the threads of this process; None for none."""
    monkey: Any = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        gevent: Any = sys.modules["gevent"]
        return Backend(monkey.get_original("_thread", "start_new_thread"), gevent.sleep)
    patcher: Any = sys.modules.get("eventlet.patcher")
    if patcher is not None and patcher.is_monkey_patched("thread"):
        eventlet: Any = sys.modules["eventlet"]
        return Backend(patcher.original("_thread").start_new_thread, eventlet.sleep)
    return None
