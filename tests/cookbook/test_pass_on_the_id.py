"""docs/cookbook/pass-on-the-id.md: a shop, a bank and a worker of Celery on loopback."""

import os
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from conformance import checked_lines
from drivers import ASGIDriver
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from loopback import PATIENCE_S, Running, running, wait_until
from ports import free_port
from recipe_page import Recipe

from dockerflow.fastapi.middleware import MozlogRequestSummaryLogger, RequestIdMiddleware

RECIPE = Recipe("pass-on-the-id")
BROKER = 'app = Celery("shop", broker="redis://redis:6379/0")\n'
#: A broker that needs no server.
FOLDER = """app = Celery("shop", broker="filesystem://localhost")
app.conf.broker_transport_options = {
    "control_folder": "queue", "data_folder_in": "queue", "data_folder_out": "queue",
    "polling_interval": 0.02,
}
"""


class Bank(BaseHTTPRequestHandler):
    """Answers each request with 200, and keeps the id that was sent."""

    ids: list[str | None] = []

    def do_POST(self) -> None:
        self.ids.append(self.headers["X-Request-Id"])
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture
def bank() -> Iterator[str]:
    Bank.ids.clear()
    with HTTPServer(("127.0.0.1", 0), Bank) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def lines_of(program: Running) -> list[dict[str, Any]]:
    # The last line may be written at this moment.
    return checked_lines(program.out[: program.out.rfind(b"\n") + 1])


def fields_of(program: Running, type_: str, *, count: int = 1) -> list[dict[str, Any]]:
    """Return the Fields of lines, after there are so many of a type."""

    def found() -> list[dict[str, Any]]:
        return [line["Fields"] for line in lines_of(program) if line["Type"] == type_]

    wait_until(lambda: len(found()) >= count, f"log {count} lines of {type_}")
    return found()


def pay(port: int, **headers: str) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/pay",
        headers={"User-Agent": "probe", **{k.replace("_", "-"): v for k, v in headers.items()}},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return answer.headers


@pytest.mark.servers
def test_the_shop_the_bank_and_the_worker_have_one_id(tmp_path: Path, bank: str) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "queue").mkdir()
    RECIPE.write_files(folder)
    tasks = RECIPE.files["tasks.py"]
    assert BROKER in tasks
    (folder / "tasks.py").write_text(tasks.replace(BROKER, FOLDER), "utf-8")
    environment = {**os.environ, "LOG_LEVEL": "INFO", "BANK_URL": bank}
    port = free_port()
    serve = [sys.executable, "-m", "uvicorn", "shop:app", "--port", str(port), "--no-access-log"]
    with running(serve, folder, port, environment) as shop:
        answer = pay(port, X_Request_Id="demo-1", Origin="https://shop.example")
        assert answer["X-Request-Id"] == "demo-1"
        assert answer["Access-Control-Expose-Headers"] == "X-Request-Id"
        other = pay(port)["X-Request-Id"]
        summaries = fields_of(shop, "request.summary", count=2)
        paid = fields_of(shop, "shop.cart", count=2)
    assert Bank.ids == ["demo-1", other]
    RECIPE.assert_shows("shop", [paid[0], summaries[0]])
    assert (paid[0]["rid"], summaries[0]["rid"]) == ("demo-1", "demo-1")

    assert "`celery --quiet -A tasks worker`" in RECIPE.text
    work = [sys.executable, "-m", "celery", "--quiet", "-A", "tasks", "worker", "-P", "solo"]
    with running(work, folder, environment=environment) as worker:
        sent = fields_of(worker, "shop.mail", count=2)
        ended = fields_of(worker, "celery.app.trace", count=2)
        received = fields_of(worker, "celery.worker.strategy", count=2)
    assert {fields["rid"] for fields in sent} == {"demo-1", other}
    assert {fields["rid"] for fields in ended} == {"demo-1", other}
    RECIPE.assert_shows("worker", [fields for fields in sent if fields["rid"] == "demo-1"])
    assert len(received) == 2
    assert not any("rid" in fields for fields in received)


@pytest.mark.parametrize("is_outside", [False, True], ids=["added", "outside"])
def test_another_origin_reads_the_id_of_a_500_only_with_cors_outside(*, is_outside: bool) -> None:
    app = FastAPI()
    cors = {"allow_origins": ["https://shop.example"], "expose_headers": ["X-Request-Id"]}
    if not is_outside:
        app.add_middleware(CORSMiddleware, **cors)
    app.add_middleware(MozlogRequestSummaryLogger)
    app.add_middleware(RequestIdMiddleware)

    @app.get("/pay")
    def fail() -> None:
        raise ValueError

    served: Any = CORSMiddleware(app, **cors) if is_outside else app
    answer = ASGIDriver(served).request("GET", "/pay", headers=[("origin", "https://shop.example")])
    assert (answer.status, answer.header("X-Request-Id") is None) == (500, False)
    exposed = "X-Request-Id" if is_outside else None
    assert answer.header("Access-Control-Expose-Headers") == exposed


RETRY = """
import mozlog_py
from celery import Celery, signals
from tasks import app, request_id_context, send_receipt

seen = []


@app.task(bind=True, max_retries=1, default_retry_delay=0)
def twice(self):
    seen.append((self.request.retries, request_id_context.get()))
    if not self.request.retries:
        raise self.retry()
    from celery.worker import state

    state.should_stop = 0


@signals.worker_ready.connect
def start(**_):
    token = request_id_context.set("demo-2")
    twice.delay()
    request_id_context.reset(token)


@signals.worker_shutdown.connect
def show(**_):
    (folder / "seen").write_text(repr(seen))
"""


@pytest.mark.servers
def test_a_task_that_is_tried_again_has_the_id_again(tmp_path: Path) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    tasks = RECIPE.files["tasks.py"]
    memory = 'app = Celery("shop", broker="memory://")\n'
    (folder / "tasks.py").write_text(tasks.replace(BROKER, memory), "utf-8")
    retry = f"from pathlib import Path\nfolder = Path({str(tmp_path)!r})\n{RETRY}"
    (folder / "again.py").write_text(retry, "utf-8")
    work = [sys.executable, "-m", "celery", "-q", "-A", "again", "worker", "-P", "solo"]
    with running(work, folder) as worker:
        wait_until((tmp_path / "seen").exists, "end")
        worker.process.wait(PATIENCE_S)
    assert (tmp_path / "seen").read_text() == "[(0, 'demo-2'), (1, 'demo-2')]"


def test_the_page_about_ids_has_no_snippet_that_is_not_run() -> None:
    assert set(RECIPE.files) == {"tasks.py", "shop.py"}
    assert set(RECIPE.lines) == {"shop", "worker"}
