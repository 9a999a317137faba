"""Storms of heartbeats: two wait for the checks, and the others return at once."""

import asyncio
import gc
import json
import logging
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from conformance import Capture

from dockerflow import checks, endpoints, health
from dockerflow.checks._run import check_run, heartbeats, run_until_deadline, single_flight
from dockerflow.checks._run.heartbeats import HeartbeatResults
from dockerflow.checks._run.run_options import RunOptions
from dockerflow.checks._run.signature import Check
from dockerflow.checks._run.slots import Slots
from dockerflow.endpoints import Endpoints, Reply
from dockerflow.settings import Settings

Found = list[checks.CheckMessage]

_PATIENCE_S = 20.0


class Held:
    """A check that counts its runs, and blocks each until the test releases it."""

    def __init__(self) -> None:
        self.runs = 0
        self.level = checks.INFO
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def __call__(self) -> Found:
        self.runs += 1
        self.begun.release()
        assert self.go.acquire(timeout=_PATIENCE_S)
        return [checks.CheckMessage(f"run {self.runs}", self.level, id="x")]


class HeldAsync(Held):
    async def __call__(self) -> Found:  # type: ignore[override]
        self.runs += 1
        self.begun.release()
        while not self.go.acquire(blocking=False):
            await asyncio.sleep(0.001)
        return [checks.CheckMessage(f"run {self.runs}", self.level, id="x")]


HELD = pytest.mark.parametrize("kind", [Held, HeldAsync])


class Service:
    """The endpoints of one application, called from threads as by a WSGI server."""

    def __init__(self, *names: str, **settings: Any) -> None:
        self.names = names
        self.settings = Settings(**settings)
        self.endpoints = Endpoints(
            settings=lambda: self.settings, read_version=lambda: None, config={"name": names}
        )
        self.replies: list[Reply] = []
        self.threads: list[threading.Thread] = []

    def ask(self) -> Reply:
        return self.endpoints.answer("heartbeat", "GET")

    def begin(self, ask: Callable[[], Reply] | None = None) -> None:
        """Request the heartbeat in another thread."""
        ask = ask or self.ask
        self.threads.append(threading.Thread(target=lambda: self.replies.append(ask())))
        self.threads[-1].start()

    def begin_waiting(self, count: int) -> None:
        """Request the heartbeat a number of times, and wait until a number of them hold a slot."""
        held = self.waiting
        for _ in range(count):
            self.begin()
        until(lambda: self.waiting == held + count)

    @property
    def waiting(self) -> int:
        return len(run_until_deadline.slots()._acquired.get(id(self.endpoints.config), ()))

    def end(self) -> list[Reply]:
        for thread in self.threads:
            thread.join(_PATIENCE_S)
            assert not thread.is_alive()
        self.threads.clear()
        replies, self.replies = self.replies, []
        return replies


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.001)


def text_of(reply: Reply, name: str = "a") -> str:
    (text,) = json.loads(reply.body)["details"][name]["messages"].values()
    return str(text)


def reports(logged: Capture) -> list[dict[str, Any]]:
    """Return the log lines about outcomes of checks."""
    return [line for line in logged.lines if "registered" not in line["Fields"]["msg"]]


def headers_of(reply: Reply) -> dict[str, str]:
    return dict(reply.headers)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the seconds by which the monotonic clock is ahead, to be changed by the test."""
    offset = [0.0]
    real = time.monotonic

    class Clock:
        monotonic = staticmethod(lambda: real() + offset[0])

    for module in (check_run, single_flight):
        monkeypatch.setattr(module, "time", Clock)
    monkeypatch.setattr(heartbeats, "time", Clock)
    return offset


class TestWaiting:
    @HELD
    def test_waiting_is_for_two_and_the_others_are_told_at_once_that_there_is_no_outcome(
        self, kind: type[Held], logged: Capture
    ) -> None:
        check = checks.register(kind(), "a")
        service = Service()
        service.begin_waiting(2)
        assert check.begun.acquire(timeout=_PATIENCE_S)
        for _ in range(8):
            # The check is blocked, so that a response now has not waited for it.
            reply = service.ask()
            assert reply.status == 503
            assert headers_of(reply)["Retry-After"] == "1"
            assert "Age" not in headers_of(reply)
            payload = json.loads(reply.body)
            assert (payload["status"], payload["checks"]) == ("error", {"a": "error"})
            assert payload["details"]["a"]["level"] == checks.ERROR
            assert list(payload["details"]["a"]["messages"]) == [health.ERROR_CHECK_PENDING]
            assert "DOCKERFLOW_HEARTBEAT_MAX_WAITING" in text_of(reply)
        assert (check.runs, reports(logged)) == (1, [])
        check.go.release()
        for reply in service.end():
            assert (reply.status, text_of(reply)) == (200, "run 1")
            assert not {"Age", "Retry-After"} & set(headers_of(reply))
        assert (check.runs, len(reports(logged)), service.waiting) == (1, 1, 0)

    @HELD
    def test_others_get_the_last_outcome_with_its_age(
        self, kind: type[Held], now: list[float], logged: Capture
    ) -> None:
        check = checks.register(kind(), "a")
        check.level = checks.ERROR
        service = Service()
        check.go.release()
        assert text_of(service.ask()) == "run 1"
        now[0] += 42.5
        assert check.begun.acquire(timeout=_PATIENCE_S)
        service.begin_waiting(2)
        assert check.begun.acquire(timeout=_PATIENCE_S)
        for _ in range(8):
            reply = service.ask()
            assert (reply.status, text_of(reply)) == (500, "run 1")
            assert 42 <= int(headers_of(reply)["Age"]) < 42 + _PATIENCE_S
            assert "Retry-After" not in headers_of(reply)
        check.go.release()
        assert [text_of(reply) for reply in service.end()] == ["run 2", "run 2"]
        # A line for each run, and none for a response.
        assert [line["Severity"] for line in reports(logged)] == [3, 3]

    def test_waiting_on_event_loops_follows_the_same_rule(self) -> None:
        check = checks.register(HeldAsync(), "a", timeout=_PATIENCE_S)
        service = Service()

        async def main() -> None:
            waiting = [
                asyncio.create_task(service.endpoints.answer_async("heartbeat", "GET"))
                for _ in range(2)
            ]
            while not check.runs:
                await asyncio.sleep(0.001)
            others = [service.endpoints.answer_async("heartbeat", "GET") for _ in range(50)]
            assert {reply.status for reply in await asyncio.gather(*others)} == {503}
            # Another loop, and a thread of a WSGI server, of the same process.
            also = await asyncio.to_thread(
                asyncio.run, service.endpoints.answer_async("heartbeat", "GET")
            )
            assert also.status == 503
            assert (await asyncio.to_thread(service.ask)).status == 503
            check.go.release()
            assert [reply.status for reply in await asyncio.gather(*waiting)] == [200, 200]

        asyncio.run(main())
        assert (check.runs, service.waiting) == (1, 0)

    def test_waiting_that_is_cancelled_gives_its_slot_back_and_the_run_goes_on(self) -> None:
        check = checks.register(Held(), "a", timeout=_PATIENCE_S)
        service = Service()

        async def main() -> None:
            def ask() -> "asyncio.Task[Reply]":
                return asyncio.create_task(service.endpoints.answer_async("heartbeat", "GET"))

            for _ in range(10):
                waiting = [ask(), ask()]
                await asyncio.to_thread(until, lambda: service.waiting == 2)
                assert (await ask()).status == 503
                for task in waiting:
                    task.cancel()
                await asyncio.wait(waiting)
                assert all(task.cancelled() for task in waiting)
                assert service.waiting == 0
            check.go.release()
            # The outcome of the run that no heartbeat waited for to its end is there.
            await asyncio.to_thread(until, lambda: self._last_is_there(service))
            waiting = [ask(), ask()]
            await asyncio.to_thread(until, lambda: check.runs == 2)
            reply = await ask()
            assert (reply.status, text_of(reply)) == (200, "run 1")
            check.go.release()
            await asyncio.gather(*waiting)

        asyncio.run(main())
        assert check.runs == 2

    @staticmethod
    def _last_is_there(service: Service) -> bool:
        (check,) = checks.registry.as_checks(checks.get_checks().items(), False)
        return run_until_deadline.last_outcome(check, service.endpoints.config) is not None

    def test_waiting_that_is_left_for_good_gives_its_slot_back(self) -> None:
        # As after closing a loop with unfinished tasks.
        checks.register(HeldAsync(), "a", timeout=_PATIENCE_S)
        service = Service()
        asking = service.endpoints.answer_async("heartbeat", "GET")
        loop = asyncio.new_event_loop()
        task = loop.create_task(asking)
        while not service.waiting:
            loop.run_until_complete(asyncio.sleep(0))
        for each in asyncio.all_tasks(loop):
            each._log_destroy_pending = False  # type: ignore[attr-defined]
            each.get_coro().close()  # type: ignore[union-attr]
        del task
        loop.close()
        assert service.waiting == 0

    def test_waiting_on_trio_follows_the_same_rule(self) -> None:
        check = checks.register(Held(), "a", timeout=_PATIENCE_S)
        service = Service()

        async def main() -> None:
            replies = []

            async def ask() -> None:
                replies.append(await service.endpoints.answer_async("heartbeat", "GET"))

            with trio.fail_after(_PATIENCE_S):
                async with trio.open_nursery() as gone, trio.open_nursery() as waiting:
                    gone.start_soon(ask)
                    waiting.start_soon(ask)
                    while service.waiting < 2:
                        await trio.sleep(0.001)
                    await ask()
                    assert replies.pop().status == 503
                    gone.cancel_scope.cancel()
                    while service.waiting:
                        await trio.sleep(0.001)
                    assert replies == []
            check.go.release()

        trio.run(main)

    def test_waiting_is_counted_for_each_application(self) -> None:
        check = checks.register(Held(), "a", timeout=_PATIENCE_S)
        one, two = Service("one"), Service("two")
        one.begin_waiting(2)
        two.begin_waiting(2)
        assert (one.ask().status, two.ask().status) == (503, 503)
        check.go.release(2)
        assert [reply.status for reply in (*one.end(), *two.end())] == [200] * 4

    @pytest.mark.parametrize("limit", [1, 3])
    def test_waiting_is_for_as_many_as_the_setting_says(self, limit: int) -> None:
        check = checks.register(Held(), "a", timeout=_PATIENCE_S)
        service = Service(heartbeat_max_waiting=limit)
        service.begin_waiting(limit)
        assert service.ask().status == 503
        check.go.release()
        assert len(service.end()) == limit

    def test_waiting_without_a_limit_is_for_all(self) -> None:
        check = checks.register(Held(), "a", timeout=_PATIENCE_S)
        service = Service(heartbeat_max_waiting=0)
        service.begin_waiting(20)
        check.go.release()
        assert [reply.status for reply in service.end()] == [200] * 20
        assert check.runs == 1

    def test_waiting_in_requests_is_limited_too(self) -> None:
        # They share no run, so that each of them would hold its thread.
        check = checks.register(Held(), "a", in_request=True)
        service = Service()
        service.begin_waiting(2)
        until(lambda: check.runs == 2)
        assert [service.ask().status for _ in range(8)] == [503] * 8
        check.go.release(2)
        service.end()
        service.begin_waiting(2)
        until(lambda: check.runs == 4)
        reply = service.ask()
        assert (reply.status, text_of(reply)) == (200, "run 2")
        assert "Age" in headers_of(reply)
        check.go.release(2)
        service.end()

    def test_waiting_for_a_check_that_hangs_in_requests_leaves_no_old_outcome_standing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        check = checks.register(Held(), "a", in_request=True)
        checks.register(list, "b")
        service = Service()
        check.go.release()
        assert service.ask().status == 200
        service.begin_waiting(2)
        assert service.ask().status == 200
        real = Slots.held_for
        monkeypatch.setattr(Slots, "held_for", lambda *args: real(*args) + 11)
        reply = service.ask()
        assert reply.status == 503
        assert json.loads(reply.body)["checks"] == {"a": "error", "b": "error"}
        check.go.release(2)
        service.end()

    def test_waiting_gives_the_last_outcome_of_each_check_and_says_which_has_none(self) -> None:
        check = checks.register(Held(), "slow")
        service = Service(heartbeat_cache_seconds=60)

        @checks.register("fast")
        def fast() -> Found:
            return [checks.Info("well", id="x")]

        service.begin_waiting(2)
        until(lambda: run_until_deadline.last_outcome(*self._asked(service, "fast")) is not None)
        reply = service.ask()
        payload = json.loads(reply.body)
        assert (reply.status, payload["checks"]) == (503, {"slow": "error", "fast": "info"})
        assert headers_of(reply)["Age"] == "0"
        check.go.release()
        service.end()

    @staticmethod
    def _asked(service: Service, name: str) -> tuple[Any, Any]:
        pairs = [(name, checks.get_checks()[name])]
        (check,) = checks.registry.as_checks(pairs, False)
        return check, service.endpoints.config

    def test_waiting_is_not_for_what_another_request_asks(self) -> None:
        check = checks.register(Held(), "a", timeout=_PATIENCE_S)
        service = Service()
        service.begin_waiting(2)
        assert service.endpoints.answer("lbheartbeat", "GET").status == 200
        assert service.endpoints.answer("version", "GET").status == 404
        assert service.endpoints.answer("heartbeat", "POST").status == 405
        assert service.endpoints.answer("heartbeat", "HEAD").status == 503
        check.go.release()
        service.end()

    @pytest.mark.parametrize("details", ["never", "levels", "always"])
    def test_waiting_keeps_to_itself_what_the_setting_hides(self, details: str) -> None:
        check = checks.register(Held(), "a", timeout=_PATIENCE_S)
        service = Service(heartbeat_details=details, heartbeat_failed_status_code=418)
        service.begin_waiting(2)
        reply = service.ask()
        # The check has not failed, so that the status is not that of a failure.
        assert reply.status == 503
        payload = json.loads(reply.body)
        if details == "never":
            assert payload == {"status": "error"}
        else:
            (messages,) = (each["messages"] for each in payload["details"].values())
            told = messages[health.ERROR_CHECK_PENDING]
            assert ("DOCKERFLOW_HEARTBEAT_MAX_WAITING" in told) == (details == "always")
        check.go.release()
        service.end()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
    def test_waiting_in_a_child_begins_anew(self) -> None:
        check = checks.register(Held(), "a", timeout=_PATIENCE_S)
        service = Service()
        service.begin_waiting(2)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            status = 1
            try:
                check.go.release()
                reply = service.ask()
                os.write(writing, b"%d %d" % (reply.status, service.waiting))
                status = 0
            finally:
                os._exit(status)
        os.close(writing)
        with os.fdopen(reading, "rb") as answered:
            assert answered.read() == b"200 0"
        assert os.waitpid(child, 0)[1] == 0
        assert service.ask().status == 503
        check.go.release()
        service.end()


class TestKept:
    def _count(self, name: str = "a", level: int = checks.INFO) -> list[int]:
        runs: list[int] = []

        @checks.register(name)
        def check() -> Found:
            runs.append(1)
            return [checks.CheckMessage(f"run {len(runs)}", level, id="x")]

        return runs

    def test_kept_for_a_second_by_default(
        self, now: list[float], monkeypatch: pytest.MonkeyPatch, logged: Capture
    ) -> None:
        monkeypatch.setattr(endpoints, "is_test_running", lambda: False)
        runs = self._count(level=checks.ERROR)
        service = Service()
        first = service.ask()
        assert (text_of(first), "Age" in headers_of(first)) == ("run 1", False)
        again = service.ask()
        assert (again.status, again.body) == (500, first.body)
        assert headers_of(again)["Age"] == "0"
        assert (len(runs), len(reports(logged))) == (1, 1)
        now[0] += 1.001
        assert text_of(service.ask()) == "run 2"
        # A clock that goes back ends no run.
        now[0] -= 0.5
        assert text_of(service.ask()) == "run 2"

    def test_kept_not_by_default_while_a_test_runs(self) -> None:
        runs = self._count()
        service = Service()
        replies = [service.ask() for _ in range(3)]
        assert [text_of(reply) for reply in replies] == ["run 1", "run 2", "run 3"]
        assert not any("Age" in headers_of(reply) for reply in replies)
        assert len(runs) == 3

    def test_kept_while_a_test_runs_if_the_setting_says_so(self, now: list[float]) -> None:
        self._count()
        service = Service(heartbeat_cache_seconds=1.0)
        assert [text_of(service.ask()) for _ in range(2)] == ["run 1", "run 1"]
        now[0] += 1.001
        assert text_of(service.ask()) == "run 2"

    def test_kept_not_at_all_with_0(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(endpoints, "is_test_running", lambda: False)
        self._count()
        service = Service(heartbeat_cache_seconds=0)
        assert [text_of(service.ask()) for _ in range(2)] == ["run 1", "run 2"]

    def test_no_longer_when_a_check_is_registered(self) -> None:
        runs = self._count("a")
        service = Service(heartbeat_cache_seconds=60)
        assert json.loads(service.ask().body)["checks"] == {"a": "info"}
        self._count("b", checks.ERROR)
        reply = service.ask()
        assert (reply.status, json.loads(reply.body)["checks"]) == (
            500,
            {"a": "info", "b": "error"},
        )
        self._count("a", checks.WARNING)
        reply = service.ask()
        assert json.loads(reply.body)["checks"] == {"a": "warning", "b": "error"}
        checks.clear_checks()
        reply = service.ask()
        assert (reply.status, json.loads(reply.body)["checks"]) == (200, {})
        assert "Age" not in headers_of(reply)
        assert len(runs) == 1

    def test_kept_as_the_check_said_it_and_not_as_it_was_shown(self) -> None:
        self._count(level=checks.ERROR)
        service = Service(heartbeat_cache_seconds=60, heartbeat_details="never")
        assert json.loads(service.ask().body) == {"status": "error"}
        service.settings = Settings(heartbeat_cache_seconds=60, heartbeat_failed_status_code=503)
        reply = service.ask()
        assert (reply.status, text_of(reply)) == (503, "run 1")
        assert "Retry-After" not in headers_of(reply)

    def test_kept_never_of_a_check_in_the_request(self) -> None:
        runs = self._count()
        service = Service(heartbeat_cache_seconds=60, checks_in_request=True)
        assert [text_of(service.ask()) for _ in range(2)] == ["run 1", "run 2"]
        assert len(runs) == 2

    def test_kept_never_of_a_run_that_was_cancelled(self) -> None:
        runs: list[int] = []

        @checks.register("a")
        async def check() -> Found:
            runs.append(1)
            if len(runs) == 1:
                asyncio.current_task().cancel()  # type: ignore[union-attr]
                await asyncio.sleep(0)
            return [checks.Info(f"run {len(runs)}", id="x")]

        service = Service(heartbeat_cache_seconds=60)
        first = asyncio.run(service.endpoints.answer_async("heartbeat", "GET"))
        assert (first.status, text_of(first)) == (500, "the check was cancelled")
        (messages,) = [each["messages"] for each in json.loads(first.body)["details"].values()]
        assert list(messages) == [health.ERROR_CHECK_CANCELLED]
        again = asyncio.run(service.endpoints.answer_async("heartbeat", "GET"))
        assert (again.status, text_of(again), "Age" in headers_of(again)) == (200, "run 2", False)

    def test_kept_never_of_a_run_that_did_not_begin(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._count()
        service = Service(heartbeat_cache_seconds=60)

        def refuse(*_: Any) -> None:
            raise LookupError("no thread")

        with monkeypatch.context() as patched:
            patched.setattr(run_until_deadline.WorkerThreads, "run", refuse)
            assert "LookupError" in text_of(service.ask())
        assert text_of(service.ask()) == "run 1"

    def test_kept_of_a_check_that_hangs_is_logged_once_and_not_for_each_answer(
        self, now: list[float], logged: Capture
    ) -> None:
        runs = single_flight.SingleFlight()
        check = Check("a", list)

        def ask() -> check_run.CheckRun:
            return runs.join(check, RunOptions(None, 50, 1, keeps_last=True), lambda _: None)

        run = ask()
        run.time_out()
        assert ask() is run
        for count in (2, 3):
            now[0] += 1.5
            refused = ask()
            assert refused is not run
            assert [ask() for _ in range(5)] == [refused] * 5
            assert "the check hangs" in refused.outcome.result().messages[0].text
            assert runs.last(check, None) == refused.kept
            assert len(reports(logged)) == count
        run.end(None)
        assert ask() not in (run, refused)
        # Until that run has an outcome, the last one is that of before.
        assert runs.last(check, None) == refused.kept

    def test_kept_holds_on_to_nothing_of_a_check_that_raised(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # pytest keeps records, and their exceptions.
        monkeypatch.setattr(logging.getLogger("dockerflow.checks.registry"), "disabled", True)

        class Connection:
            pass

        seen: list[weakref.ref[Connection]] = []

        @checks.register("a")
        def breaks() -> Found:
            connection = Connection()
            seen.append(weakref.ref(connection))
            raise LookupError(str(bool(connection)))

        assert Service(heartbeat_cache_seconds=60).ask().status == 500
        end = time.monotonic() + _PATIENCE_S
        while seen[0]() is not None:
            assert time.monotonic() < end
            gc.collect()
            time.sleep(0.001)

    def test_kept_is_not_kept_of_applications_that_come_and_go(self, now: list[float]) -> None:
        runs = run_until_deadline._process_runner().single_flight
        self._count()
        before = len(runs._entries)
        for _ in range(1000):
            assert Service(heartbeat_cache_seconds=1).ask().status == 200
            now[0] += 1
        assert len(runs._entries) - before <= 200

    def test_kept_of_a_check_that_is_in_the_list_twice_is_there_once(self) -> None:
        def check() -> Found:
            return [checks.Info("well", id="x")]

        pairs = [("a", check), ("a", check)]
        service = Endpoints(
            settings=lambda: Settings(heartbeat_cache_seconds=60),
            read_version=lambda: None, find_checks=lambda: pairs, config=pairs,
        )  # fmt: skip
        first, again = (service.answer("heartbeat", "GET") for _ in range(2))
        assert first.body == again.body
        assert text_of(again) == "well"

    def test_kept_is_what_the_extensions_signals_are_sent_for(self) -> None:
        results = Service().endpoints.run_checks()
        assert isinstance(results, HeartbeatResults)
        assert (results.level, results.age, results.is_known) == (0, None, True)


class TestSlots:
    def test_slots_are_free_again_without_a_trace(self) -> None:
        slots = Slots()
        owner = object()

        @contextmanager
        def held() -> Iterator[Any]:
            with slots.acquired(owner, 1) as slot:
                yield slot

        with held() as one:
            assert one is not None
            with held() as two:
                assert two is None
            with held() as three:
                assert three is None
        with pytest.raises(KeyboardInterrupt), held():
            raise KeyboardInterrupt
        with held() as four:
            assert four is not None
        assert slots._acquired == {}
        assert slots.held_for(owner) == 0

    def test_slots_do_not_stay_with_what_is_gone(self) -> None:
        # An interrupt between the acquisition and the block that releases the slot.
        slots = Slots()
        owner = object()
        slots._acquire(owner, 1)
        with slots.acquired(owner, 1) as slot:
            assert slot is not None


_TEST_MODULE = """
import json, threading
from dockerflow import checks
from dockerflow.endpoints import Endpoints
from dockerflow.settings import Settings

state = {"text": "first"}

@checks.register("a")
def check():
    return [checks.Info(state["text"], id="x")]

service = Endpoints(settings=Settings, read_version=lambda: None)

def said():
    found = []
    asking = threading.Thread(
        target=lambda: found.append(service.answer("heartbeat", "GET").body)
    )
    asking.start()
    asking.join()
    return json.loads(found[0])["details"]["a"]["messages"]["x"]

def ask_twice():
    state["text"] = "first"
    first = said()
    state["text"] = "second"
    return first, said()
"""


class TestInTests:
    """Tests of an application, which change a check's result and request the heartbeat again."""

    def _run(self, folder: Path, script: str, *arguments: str) -> str:
        (folder / "shop.py").write_text(_TEST_MODULE)
        (folder / "test_shop.py").write_text(script)
        variables = {
            name: value for name, value in os.environ.items() if not name.startswith("DOCKERFLOW_")
        }
        done = subprocess.run(
            [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=120,
            env={**variables, "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def test_in_tests_of_pytest_see_what_the_check_says_now(self, tmp_path: Path) -> None:
        script = """
        from shop import ask_twice
        def test_it():
            assert ask_twice() == ("first", "second")
        """.replace("\n        ", "\n")
        self._run(tmp_path, script, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shop.py")

    @pytest.mark.parametrize("base", ["TestCase", "IsolatedAsyncioTestCase"])
    def test_in_tests_of_unittest_see_what_the_check_says_now(
        self, tmp_path: Path, base: str
    ) -> None:
        is_async = "async " if base != "TestCase" else ""
        script = f"""
        import unittest
        from shop import ask_twice
        class Test(unittest.{base}):
            {is_async}def test_it(self):
                self.assertEqual(ask_twice(), ("first", "second"))
        """.replace("\n        ", "\n")
        self._run(tmp_path, script, "-m", "unittest", "test_shop")

    def test_a_process_that_a_test_starts_keeps_outcomes(self, tmp_path: Path) -> None:
        # It inherits pytest's variable, and runs no test.
        assert "PYTEST_CURRENT_TEST" in os.environ
        script = "import unittest.mock\nfrom shop import ask_twice\nprint(ask_twice())\n"
        assert self._run(tmp_path, script, "test_shop.py").strip() == "('first', 'first')"
