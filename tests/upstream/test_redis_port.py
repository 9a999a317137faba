"""The Redis that upstream's tests expect: one run at a time, and no surprise about whose it is."""

import socket
import threading
from pathlib import Path

import pytest
import redis_port
from environments import GateError
from ports import free_port
from redis_port import redis_on_its_port
from services import Redis, redis_reply


@pytest.fixture(autouse=True)
def another_port(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> int:
    """Leave the real port and lock to the gate, which may run beside these tests."""
    port = free_port()
    monkeypatch.setattr(redis_port, "PORT", port)
    monkeypatch.setattr(redis_port, "_LOCK", tmp_path / "lock")
    return port


@pytest.mark.usefixtures("_redis_server")
def test_a_redis_without_a_password_runs_in_the_block_only(another_port: int) -> None:
    with redis_on_its_port() as whose:
        assert redis_reply(another_port) == b"+PONG"
        assert whose == f"A Redis was started on port {another_port}."
    assert redis_reply(another_port) is None


@pytest.mark.usefixtures("_redis_server")
def test_a_redis_of_another_program_is_used_and_left_running(another_port: int) -> None:
    with Redis(another_port, password=""):
        with redis_on_its_port() as whose:
            assert "was started by another program" in whose
        assert redis_reply(another_port) == b"+PONG"


@pytest.mark.usefixtures("_redis_server")
def test_a_redis_that_wants_a_password_is_an_error_that_says_so(another_port: int) -> None:
    needy = Redis(another_port, password="secret")
    with needy, pytest.raises(GateError) as caught, redis_on_its_port():
        pass
    assert f"port {another_port} is taken" in str(caught.value)
    assert "-NOAUTH" in str(caught.value)


def test_another_server_on_the_port_is_an_error_that_says_so(another_port: int) -> None:
    listening = socket.create_server(("127.0.0.1", another_port))
    with listening, pytest.raises(GateError) as caught, redis_on_its_port():
        pass
    assert "does not answer PING" in str(caught.value)


def test_without_a_redis_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_port, "redis_binary", lambda: None)
    with pytest.raises(GateError, match="Install redis-server"), redis_on_its_port():
        pass


def test_a_second_run_waits_until_the_first_has_stopped_its_redis(
    capsys: pytest.CaptureFixture[str],
) -> None:
    entered, leave = threading.Event(), threading.Event()
    order: list[str] = []

    def first() -> None:
        with redis_port._locked():
            entered.set()
            leave.wait(60)
            order.append("first")

    def second() -> None:
        with redis_port._locked():
            order.append("second")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert entered.wait(60)
    threads[1].start()
    while "waiting for another run" not in capsys.readouterr().out:
        assert threads[1].is_alive()
    assert order == []
    leave.set()
    for thread in threads:
        thread.join(60)
    assert order == ["first", "second"]
