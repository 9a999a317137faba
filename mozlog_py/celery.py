"""Celery: the worker's logging is left alone, and lines of a task say which task.

``configure()`` calls ``connect_signals``. A service with a ``dictConfig`` of its own
can call it by itself.
"""

from __future__ import annotations

from contextlib import suppress
from contextvars import Context, ContextVar
from types import ModuleType
from typing import Any, Final

from mozlog_py._stdlib.import_hooks import call_when_imported

from .context import bind, restore, snapshot

__all__ = ["connect_signals"]

_UID: Final = "mozlog_py"

#: The tasks that run in this context, the outermost first: the id, and the context before.
_running: Final[ContextVar[tuple[tuple[Any, Context], ...]]] = ContextVar(
    "mozlog_celery_tasks", default=()
)


def connect_signals() -> None:
    """Have Celery leave logging as it is, and bind each task's fields to its lines.

    Celery need not be installed, nor be imported yet: it takes half of a second to
    import. Calling this twice is calling it once.

    All lines that are logged while a task runs have ``task_id``, ``task_name`` and
    ``retries``, in every pool and where a task runs eagerly. At its end the context is
    what it was before the task.
    """
    call_when_imported("celery.signals", _connect)


def _connect(signals: ModuleType) -> None:
    # Without a receiver the worker replaces the handlers of the root logger.
    signals.setup_logging.connect(_logging_is_set_up, weak=False, dispatch_uid=_UID)
    signals.task_prerun.connect(_begin_task, weak=False, dispatch_uid=_UID)
    signals.task_postrun.connect(_end_task, weak=False, dispatch_uid=_UID)
    _move(signals.task_prerun, _begin_task, to_end=False)


def _logging_is_set_up(**_: Any) -> None:
    """Do nothing: that there is a receiver is all that Celery asks for."""


def _begin_task(*, task_id: Any, task: Any, **_: Any) -> None:
    """Bind what tells one task from another."""
    request = task.request
    tasks = _running.get()
    if tasks and not request.is_eager:
        # Only eager tasks run inside of others. The end of this one was not announced.
        restore(tasks[0][1])
        tasks = ()
    # First of all: a soft time limit may be raised anywhere below.
    _running.set((*tasks, (task_id, snapshot())))
    bind(
        task_id=task_id,
        # A shadow is the name that a caller has given a task, for logs.
        task_name=getattr(request, "shadow", None) or task.name,
        retries=getattr(request, "retries", None) or 0,
    )
    # What other receivers log of the end is of the task as well.
    _move(_signals_of().task_postrun, _end_task, to_end=True)


def _end_task(*, task_id: Any, **_: Any) -> None:
    """Make the context what it was before the task."""
    tasks = _running.get()
    for index in range(len(tasks) - 1, -1, -1):
        if tasks[index][0] == task_id:
            _running.set(tasks[:index])
            restore(tasks[index][1])
            return


def _signals_of() -> Any:
    from celery import signals  # imported by now: it has sent one

    return signals


def _move(signal: Any, receiver: Any, *, to_end: bool) -> None:
    """Have a receiver called before all others of a signal, or after them.

    Celery calls them in the order in which they were connected, and has no other way
    to say which is first. In a Celery that keeps them otherwise the order stays.
    """
    with suppress(AttributeError, IndexError, TypeError, ValueError):
        receivers = signal.receivers
        if receivers[-1 if to_end else 0][1] is receiver:
            return
        with signal.lock:
            entries = [entry for entry in receivers if entry[1] is receiver]
            others = [entry for entry in receivers if entry[1] is not receiver]
            # In place: Celery's tracers keep the list.
            receivers[:] = [*others, *entries] if to_end else [*entries, *others]
