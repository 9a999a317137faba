"""What has replaced the threads of this process by greenlets, if anything has."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Backend", "green_backend"]


class Backend(NamedTuple):
    """What takes the place of threads: how to start a real one, and how to let others go on."""

    start_thread: Callable[[Callable[[], Any], tuple[()]], Any]
    sleep: Callable[[float], Any]


def green_backend() -> Backend | None:
    """Return what has replaced the threads of this process, None where they are real."""
    monkey: Any = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        gevent: Any = sys.modules["gevent"]
        return Backend(monkey.get_original("_thread", "start_new_thread"), gevent.sleep)
    patcher: Any = sys.modules.get("eventlet.patcher")
    if patcher is not None and patcher.is_monkey_patched("thread"):
        eventlet: Any = sys.modules["eventlet"]
        return Backend(patcher.original("_thread").start_new_thread, eventlet.sleep)
    return None
