"""Real workers of Celery, in each kind of pool: each line of a task says which task it is of."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from conformance import checked_lines

import mozlog_py
from mozlog_py import context

pytestmark = pytest.mark.usefixtures("untouched_process")

TASKS = """
import logging, os, sys, time
import mozlog_py
mozlog_py.configure("service", format="mozlog", level="DEBUG")
import structlog
from celery import Celery, signals
from celery.utils.log import get_task_logger

folder = os.environ["FOLDER"]
app = Celery("shop", broker=os.environ["BROKER"], backend=f"file://{folder}")
# A busy machine takes longer than the four seconds after which Celery gives a process up.
app.conf.worker_proc_alive_timeout = 60
app.conf.broker_transport_options = {
    "polling_interval": 0.01, "data_folder_in": folder, "data_folder_out": folder,
    "processed_folder": folder, "control_folder": folder,
}
log = get_task_logger("app.tasks")

@app.task(name="pay", bind=True, max_retries=2)
def pay(self, number):
    log.info("by the task's logger", extra={"number": number})
    structlog.get_logger("app").info("by structlog", number=number)
    logging.getLogger("app").info("by logging", extra={"number": number})
    mozlog_py.context.bind(left_behind=number)
    if number == 2:
        raise ValueError("no money")
    if number == 3 and self.request.retries < 2:
        raise self.retry(countdown=0)
    if number == 4:
        inner.delay()

@app.task(name="inner")
def inner():
    logging.getLogger("app").info("inner", extra={"number": 0})

@app.task(name="stop")
def stop():
    pass

@signals.task_postrun.connect
def told(task_id, task, **_):
    logging.getLogger("app").info("told the end of %s", task_id)
    # By then two tasks of each retry have begun anew.
    with open(os.path.join(folder, "ended"), "a") as file:
        file.write(f"{task.name}\\n")
        file.flush()

@signals.worker_ready.connect
def start(**_):
    for number in (1, 2, 3, 4):
        pay.delay(number)
"""

_POOLS = {
    "solo": ("memory://", ["-P", "solo"]),
    "threads": ("memory://", ["-P", "threads", "-c", "2"]),
    "prefork": ("filesystem://", ["-P", "prefork", "-c", "2"]),
    "gevent": ("memory://", ["-P", "gevent", "-c", "2"]),
}
#: Four tasks, two retries, and the one inside of another.
_RUNS = 7


@pytest.fixture(scope="module", params=_POOLS)
def lines(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The lines of a worker that has done all tasks."""
    folder = tmp_path_factory.mktemp("worker")
    broker, options = _POOLS[request.param]
    (folder / "tasks.py").write_text(TASKS)
    (folder / "queue").mkdir()
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-q", "-A", "tasks", "worker", "-l", "INFO",
             "--without-mingle", "--without-gossip", "--without-heartbeat", *options],
            cwd=folder, stdout=out, stderr=err, start_new_session=True,
            env={**os.environ, "BROKER": broker, "FOLDER": str(folder / "queue")},
        )  # fmt: skip
    try:
        _wait_for_runs(process, folder)
        process.terminate()
        process.wait(60)
    finally:
        process.kill()
        process.wait()
    texts = (folder / "out").read_bytes().splitlines(keepends=True)
    return checked_lines(b"".join(text for text in texts if text[:1] == b"{"))


def _wait_for_runs(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    ended = folder / "queue" / "ended"
    for _ in range(1200):
        if ended.exists() and len(ended.read_text().splitlines()) >= _RUNS:
            return
        assert process.poll() is None, _printed_in(folder)
        with_timeout(process)
    raise AssertionError(_printed_in(folder))


def _printed_in(folder: Path) -> str:
    """Return what a worker has printed: it logs to stdout why it ends."""
    return (folder / "out").read_text() + (folder / "err").read_text()


def with_timeout(process: "subprocess.Popen[bytes]") -> None:
    """Wait a moment for a process."""
    try:
        process.wait(0.1)
    except subprocess.TimeoutExpired:
        pass


def of(lines: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    return [line["Fields"] for line in lines if line["Fields"].get("number") == number]


def test_each_line_that_a_task_logs_has_its_id_its_name_and_its_retries(lines: Any) -> None:
    for number in (1, 2, 4):
        told = of(lines, number)
        assert [one["msg"] for one in told] == [
            "by the task's logger", "by structlog", "by logging",
        ]  # fmt: skip
        assert len({one["task_id"] for one in told}) == 1
        assert {(one["task_name"], one["retries"]) for one in told} == {("pay", 0)}


def test_tasks_have_ids_of_their_own(lines: Any) -> None:
    ids = {number: of(lines, number)[0]["task_id"] for number in (0, 1, 2, 3, 4)}
    assert len(set(ids.values())) == 5
    assert of(lines, 0)[0]["task_name"] == "inner"


def test_a_retry_is_counted_under_the_same_id(lines: Any) -> None:
    told = of(lines, 3)
    assert [one["retries"] for one in told] == [0] * 3 + [1] * 3 + [2] * 3
    assert len({one["task_id"] for one in told}) == 1
    again = [
        line["Fields"]
        for line in lines
        if line["Type"] == "celery.app.trace" and " retry: " in line["Fields"]["msg"]
    ]
    assert sorted((one["task_id"], one["retries"]) for one in again) == [
        (told[0]["task_id"], 0), (told[0]["task_id"], 1),
    ]  # fmt: skip


def test_what_celery_logs_of_a_task_has_them_too(lines: Any) -> None:
    failed = [line["Fields"] for line in lines if "no money" in line["Fields"].get("error", "")]
    assert [one["task_id"] for one in failed] == [of(lines, 2)[0]["task_id"]]
    succeeded = [
        line["Fields"] for line in lines if "succeeded in" in line["Fields"].get("msg", "")
    ]
    assert {one["task_id"] for one in succeeded} == {
        of(lines, number)[0]["task_id"] for number in (0, 1, 3, 4)
    }
    for one in (*failed, *succeeded):
        assert one["task_name"] in {"pay", "inner"}


def test_what_the_main_process_logs_of_a_task_has_its_id_and_its_name(lines: Any) -> None:
    received = [line["Fields"] for line in lines if line["Type"] == "celery.worker.strategy"]
    assert len([one for one in received if " received" in one["msg"]]) == _RUNS
    for one in received:
        assert f"{one['task_name']}[{one['task_id']}]" in one["msg"]
    for line in lines:
        if line["Fields"].get("msg", "").startswith("Task accepted"):
            assert line["Fields"]["task_id"] in line["Fields"]["msg"]


def test_what_is_told_of_the_end_of_a_task_has_its_id(lines: Any) -> None:
    """Receivers that were connected later than ours are called before the task is over."""
    told = [line["Fields"] for line in lines if "told the end" in line["Fields"].get("msg", "")]
    assert len(told) >= _RUNS
    assert all(one["msg"].endswith(one["task_id"]) for one in told)


def test_nothing_of_a_task_is_in_a_later_line(lines: Any) -> None:
    for line in lines:
        fields = line["Fields"]
        left = fields.get("left_behind")
        if left is not None:
            # Bound by the very task that the line is of.
            assert fields["task_id"] == of(lines, left)[0]["task_id"]
        if line["Type"].startswith(("celery.apps", "celery.worker.consumer")):
            assert "task_id" not in fields


# -- eager tasks ------------------------------------------------------------


@pytest.fixture
def eager() -> Iterator[Any]:
    import celery

    app = celery.Celery("shop", set_as_current=False)
    app.conf.task_always_eager = True
    yield app
    for signal in (
        celery.signals.setup_logging,
        celery.signals.task_prerun,
        celery.signals.task_postrun,
    ):
        signal.disconnect(dispatch_uid="mozlog_py")


def shown(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return the Fields of what the application has logged."""
    return [line["Fields"] for line in checked_lines(stream.getvalue()) if line["Type"] == "own"]


def test_an_eager_task_is_named_inside_and_not_behind_it(eager: Any) -> None:
    stream = io.StringIO()
    mozlog_py.configure("shop", stream=stream, format="mozlog")
    log = structlog.get_logger("own")

    @eager.task(name="inner")
    def inner() -> None:
        log.info("inner")

    @eager.task(name="outer")
    def outer() -> None:
        context.bind(left_behind=1)
        log.info("before")
        inner.delay()
        log.info("after")

    context.request_id_context.set("r1")
    with context.bound(user="ann"):
        outer.delay()
        log.info("outside")
    before, within, after, outside = shown(stream)
    assert (before["task_name"], within["task_name"], after["task_name"]) == (
        "outer", "inner", "outer",
    )  # fmt: skip
    assert before["task_id"] == after["task_id"] != within["task_id"]
    assert {one["rid"] for one in (before, within, after, outside)} == {"r1"}
    assert outside == {"rid": "r1", "user": "ann", "msg": "outside"}


def test_an_eager_task_that_fails_leaves_nothing(eager: Any) -> None:
    stream = io.StringIO()
    mozlog_py.configure("shop", stream=stream, format="mozlog")
    log = structlog.get_logger("own")

    @eager.task(name="fails")
    def fails() -> None:
        structlog.contextvars.bind_contextvars(left_behind=1)
        raise ValueError

    assert fails.apply().failed()
    log.info("outside")
    assert shown(stream) == [{"msg": "outside"}]


def test_an_eager_retry_is_counted(eager: Any) -> None:
    stream = io.StringIO()
    mozlog_py.configure("shop", stream=stream, format="mozlog")
    log = structlog.get_logger("own")

    @eager.task(name="again", bind=True, max_retries=2)
    def again(self: Any) -> None:
        log.info("try")
        if self.request.retries < 2:
            raise self.retry(countdown=0)

    again.delay()
    assert [one["retries"] for one in shown(stream)] == [0, 1, 2]
    assert len({one["task_id"] for one in shown(stream)}) == 1


def test_a_task_that_is_called_as_a_function_is_none(eager: Any) -> None:
    stream = io.StringIO()
    mozlog_py.configure("shop", stream=stream, format="mozlog")

    @eager.task(name="direct")
    def direct() -> None:
        structlog.get_logger("own").info("direct")

    direct()
    assert shown(stream) == [{"msg": "direct"}]


def test_a_name_for_logs_is_the_one_that_a_line_has(eager: Any) -> None:
    stream = io.StringIO()
    mozlog_py.configure("shop", stream=stream, format="mozlog")

    @eager.task(name="long.name")
    def task() -> None:
        structlog.get_logger("own").info("m")

    task.apply_async(shadow="short")
    task.apply()
    assert [one["task_name"] for one in shown(stream)] in (
        ["short", "long.name"],
        # Celery before 5.5 hands the name on to workers only.
        ["long.name", "long.name"],
    )


def test_a_task_whose_end_was_not_told_leaves_nothing_to_the_next(eager: Any) -> None:
    from celery import signals

    from mozlog_py import celery as ours

    ours.connect_signals()

    class Task:
        name = "lost"

        class request:
            is_eager = False
            shadow = None
            retries = 0

    context.bind(service="shop")
    signals.task_prerun.send(sender=Task, task_id="t1", task=Task)
    context.bind(left_behind=1)
    signals.task_prerun.send(sender=Task, task_id="t2", task=Task)
    assert context.get() == {
        "service": "shop", "task_id": "t2", "task_name": "lost", "retries": 0,
    }  # fmt: skip
    signals.task_postrun.send(sender=Task, task_id="t1", task=Task)
    assert context.get()["task_id"] == "t2"
    signals.task_postrun.send(sender=Task, task_id="t2", task=Task)
    assert context.get() == {"service": "shop"}
