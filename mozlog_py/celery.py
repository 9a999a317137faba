"""Celery: keeps the application's logging in a worker, and adds the task's fields to lines.

``configure()`` calls ``connect_signals``. A service with its own ``dictConfig`` may call it.
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

#: The running tasks of this context, the outermost first: its id, and the context before it.
_running: Final[ContextVar[tuple[tuple[Any, Context], ...]]] = ContextVar(
    "mozlog_celery_tasks", default=()
)


def connect_signals() -> None:
    """Register receivers that keep logging unchanged, and bind the fields of each task.

    Celery need not be installed or imported: this function does not import it, because its
    import takes half a second. A second call changes nothing.

    All lines of a running task have ``task_id``, ``task_name`` and ``retries``, in every pool
    and for eager tasks. The end of the task restores the context.
    """
    call_when_imported("celery.signals", _connect)


def _connect(signals: ModuleType) -> None:
    # Without a receiver the worker replaces the handlers of the root logger.
    signals.setup_logging.connect(_logging_is_set_up, weak=False, dispatch_uid=_UID)
    signals.task_prerun.connect(_begin_task, weak=False, dispatch_uid=_UID)
    signals.task_postrun.connect(_end_task, weak=False, dispatch_uid=_UID)
    _move(signals.task_prerun, _begin_task, to_end=False)


def _logging_is_set_up(**_: Any) -> None:
    """Do nothing: Celery leaves logging unchanged if this signal has a receiver."""


def _begin_task(*, task_id: Any, task: Any, **_: Any) -> None:
    """Bind the fields of a task."""
    request = task.request
    tasks = _running.get()
    if tasks and not request.is_eager:
        # Only an eager task runs inside another: no signal announced the end of the former one.
        restore(tasks[0][1])
        tasks = ()
    # Before the rest: a soft time limit may raise an exception at any later statement.
    _running.set((*tasks, (task_id, snapshot())))
    bind(
        task_id=task_id,
        # The caller may set a shadow: a name of the task for logs.
        task_name=getattr(request, "shadow", None) or task.name,
        retries=getattr(request, "retries", None) or 0,
    )
    # Lines that other receivers log at the end belong to the task.
    _move(_signals_of().task_postrun, _end_task, to_end=True)


def _end_task(*, task_id: Any, **_: Any) -> None:
    """Restore the context from before the task."""
    tasks = _running.get()
    for index in range(len(tasks) - 1, -1, -1):
        if tasks[index][0] == task_id:
            _running.set(tasks[:index])
            restore(tasks[index][1])
            return


def _signals_of() -> Any:
    from celery import signals  # already imported: it has sent a signal

    return signals


def _move(signal: Any, receiver: Any, *, to_end: bool) -> None:
    """Move a receiver before all others of a signal, or after them.

    Celery calls receivers in the order of their connection, and has no interface to change it.
    If a version of Celery stores them differently, the order stays.
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
