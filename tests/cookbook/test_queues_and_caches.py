"""docs/cookbook/queues-and-caches.md: a shop under gunicorn, a worker of Celery, a real Redis."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import redis
from loopback import answer_of, running, wait_until
from ports import free_port
from recipe_page import Recipe
from services import Redis

RECIPE = Recipe("queues-and-caches")

pytestmark = [pytest.mark.servers, pytest.mark.databases]


def environment_of(url: str) -> Mapping[str, str]:
    return {**os.environ, "REDIS_URL": url}


def heartbeat(port: int) -> tuple[int, Any]:
    status, body = answer_of(port, "/__heartbeat__")
    return status, json.loads(body)


def gunicorn(port: int) -> list[str]:
    return [sys.executable, "-m", "gunicorn", "shop:app", "--bind", f"127.0.0.1:{port}"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    folder.mkdir()
    RECIPE.write_files(folder)
    return folder


def test_a_long_queue_and_absent_workers_are_the_warnings_of_the_page(
    folder: Path, redis_server: Redis
) -> None:
    # A database of its own: other tests have no tasks in it.
    url = f"{redis_server.url[:-1]}5"
    port = free_port()
    with (
        redis.Redis.from_url(url) as client,
        running(gunicorn(port), folder, port, environment_of(url)),
    ):
        client.lpush("celery", *["task"] * 1001)
        assert heartbeat(port) == (200, RECIPE.lines["waiting"][0])
        client.delete("celery")


def test_a_worker_that_answers_is_the_heartbeat_of_the_page(
    folder: Path, tmp_path: Path, redis_server: Redis
) -> None:
    url = f"{redis_server.url[:-1]}6"
    port = free_port()
    work = tmp_path / "work" / "app"
    work.mkdir(parents=True)
    RECIPE.write_files(work)
    assert "$ celery --app shop:tasks worker\n" in RECIPE.text
    worker = [sys.executable, "-m", "celery", "--app", "shop:tasks", "worker", "-c", "1"]
    with running(worker, work, environment=environment_of(url)) as working:
        wait_until(lambda: b" ready." in working.out, "start the worker")
        with running(gunicorn(port), folder, port, environment_of(url)):
            assert heartbeat(port) == (200, RECIPE.lines["working"][0])


def test_an_outage_of_redis_fails_the_heartbeat_and_the_first_error_names_it(
    folder: Path, redis_server: Redis
) -> None:
    port = free_port()
    with running(gunicorn(port), folder, port, environment_of(redis_server.url)) as shop:
        redis_server.stop()
        status, body = heartbeat(port)
        assert (status, body["status"]) == (500, "error")
        assert body["checks"]["cache"] == body["checks"]["queue"] == "error"
        assert [*body["details"]["cache"]["messages"]] == ["dockerflow.health.E004"]
        wait_until(lambda: b'"check":"queue"' in shop.out, "log the check of the queue")
        redis_server.start()
