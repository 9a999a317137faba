"""Ten clients on a slow heartbeat, and what else the server answers meanwhile."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "attack"))

from heartbeat_stacks import (
    CLIENTS,
    STACKS,
    Client,
    clients,
    serving_stack,
    wait_for_answers,
)

# Outcomes are not kept, so that a client which comes behind a run begins another one.
_SETTINGS = {"DOCKERFLOW_HEARTBEAT_CACHE_SECONDS": "0"}


def _others_answer(port: int) -> None:
    # More often than a server has threads.
    for _ in range(8):
        assert Client(port, "/").answer().status == 200
        assert Client(port, "/__lbheartbeat__").answer().status == 200
        assert Client(port, "/__version__").answer().status == 404


@pytest.mark.parametrize("name", STACKS)
def test_ten_clients_on_a_slow_heartbeat_hold_two_threads(tmp_path: Path, name: str) -> None:
    held, begun = tmp_path / "held", tmp_path / "begun"
    held.touch()
    with serving_stack(tmp_path, name, _SETTINGS) as served:
        # There is no outcome yet, and the check does not end before the test says so.
        asking = clients(served.port)
        told = wait_for_answers(asking, CLIENTS - 2)
        _others_answer(served.port)
        waiting = [client for client in asking if client not in told]
        assert len(waiting) == 2
        assert not any(client.is_answered for client in waiting)
        for client in told:
            answer = client.answer()
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            payload = json.loads(answer.body)
            assert (payload["status"], payload["checks"]["slow"]) == ("error", "error")
        held.unlink()
        for client in waiting:
            answer = client.answer()
            assert (answer.status, "age" in answer.headers) == (200, False), answer.body
            assert json.loads(answer.body)["details"]["slow"]["messages"] == {
                "shop.I001": "it took its time"
            }

        # Now there is one, which the others get.
        held.touch()
        begun.unlink()
        waiting = clients(served.port, 2)
        asking = clients(served.port, CLIENTS - 2)
        wait_for_answers([*waiting, *asking], CLIENTS - 2)
        _others_answer(served.port)
        for client in wait_for_answers([*waiting, *asking], CLIENTS - 2):
            answer = client.answer()
            assert (answer.status, answer.headers["age"].isdecimal()) == (200, True)
            assert json.loads(answer.body)["checks"]["slow"] == "info"
        assert begun.exists()
        held.unlink()
        for client in (each for each in (*waiting, *asking) if each.is_open):
            assert client.answer().status == 200


@pytest.mark.parametrize("name", ["waitress, Flask", "gunicorn gthread, Flask", "uvicorn, FastAPI"])
def test_clients_that_leave_hold_no_more_than_those_that_stay(tmp_path: Path, name: str) -> None:
    held = tmp_path / "held"
    held.touch()
    with serving_stack(tmp_path, name, _SETTINGS) as served:
        for _ in range(3):
            asking = clients(served.port)
            wait_for_answers(asking, CLIENTS - 2)
            for client in asking:
                client.leave()
            _others_answer(served.port)
        held.unlink()
        until = time.monotonic() + 60
        while (answer := Client(served.port, "/__heartbeat__").answer()).status != 200:
            assert answer.status == 503
            assert time.monotonic() < until, "heartbeats stay refused after the check has ended"


@pytest.mark.parametrize("name", ["waitress, Flask", "gunicorn gthread, Flask"])
def test_checks_in_the_request_hold_two_threads_as_well(tmp_path: Path, name: str) -> None:
    held = tmp_path / "held"
    held.touch()
    settings = {**_SETTINGS, "DOCKERFLOW_CHECKS_IN_REQUEST": "true"}
    with serving_stack(tmp_path, name, settings) as served:
        asking = clients(served.port)
        told = wait_for_answers(asking, CLIENTS - 2)
        _others_answer(served.port)
        assert {client.answer().status for client in told} == {503}
        held.unlink()
        assert {client.answer().status for client in asking if client not in told} == {200}
