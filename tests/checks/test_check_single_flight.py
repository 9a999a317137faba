"""Storms of heartbeats: one run of each check at a time, and none while its outcome is fresh."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from conformance import Capture

from dockerflow import checks
from dockerflow.checks._run import single_flight, worker_threads
from mozlog_py import context

Found = list[checks.CheckMessage]


class Counter:
    """A check that counts its runs, and blocks until the test releases it."""

    def __init__(self) -> None:
        self.runs = 0
        self.started = threading.Event()
        self.go = threading.Event()

    def __call__(self) -> Found:
        self.runs += 1
        self.started.set()
        assert self.go.wait(60)
        return [checks.Info(f"run {self.runs}", id="x")]


class AsyncCounter(Counter):
    async def __call__(self) -> Found:  # type: ignore[override]
        self.runs += 1
        self.started.set()
        while not self.go.is_set():
            await asyncio.sleep(0.001)
        return [checks.Info(f"run {self.runs}", id="x")]


COUNTERS = pytest.mark.parametrize("counter", [Counter, AsyncCounter])


def text_of(results: checks.ChecksResults) -> str:
    return str(results.details["a"]["messages"]["x"])


def in_threads(count: int, action: Callable[[], Any]) -> tuple[list[threading.Thread], list[Any]]:
    found: list[Any] = []
    made = [threading.Thread(target=lambda: found.append(action())) for _ in range(count)]
    for thread in made:
        thread.start()
    return made, found


class TestStorm:
    @COUNTERS
    def test_storm_of_tasks_runs_a_check_once(
        self, counter: type[Counter], logged: Capture
    ) -> None:
        check = counter()

        async def main() -> list[str]:
            storm = [
                asyncio.create_task(checks.run_checks_async([("a", check)])) for _ in range(1000)
            ]
            while not check.started.is_set():
                await asyncio.sleep(0.001)
            # All callers have joined the run.
            await asyncio.sleep(0)
            check.go.set()
            return [text_of(each) for each in await asyncio.gather(*storm)]

        assert asyncio.run(main()) == ["run 1"] * 1000
        assert check.runs == 1
        assert len(logged.lines) == 1

    @COUNTERS
    def test_storm_of_threads_runs_a_check_once(
        self, counter: type[Counter], logged: Capture
    ) -> None:
        check = counter()
        asked = threading.Semaphore(0)

        class Pairs(list[Any]):
            def __iter__(self) -> Any:
                asked.release()
                return iter([("a", check)])

        storm, found = in_threads(100, lambda: checks.run_checks(Pairs(), cache_seconds=600))
        for _ in storm:
            assert asked.acquire(timeout=60)
        check.go.set()
        for thread in storm:
            thread.join()
        assert {text_of(each) for each in found} == {"run 1"}
        assert (len(found), check.runs, len(logged.lines)) == (100, 1, 1)

    @COUNTERS
    def test_storm_of_both_at_once_runs_a_check_once(self, counter: type[Counter]) -> None:
        check = counter()
        blocking, found = in_threads(5, lambda: checks.run_checks([("a", check)]))
        assert check.started.wait(60)

        async def main() -> list[checks.ChecksResults]:
            awaiting = [checks.run_checks_async([("a", check)]) for _ in range(5)]
            gathered = asyncio.gather(*awaiting)
            await asyncio.sleep(0.01)
            check.go.set()
            return await gathered

        # A loop in another thread, as of a second server in the process.
        loops, also_found = in_threads(1, lambda: asyncio.run(main()))
        for thread in (*blocking, *loops):
            thread.join()
        assert {text_of(each) for each in (*found, *also_found[0])} == {"run 1"}
        assert check.runs == 1

    def test_storm_of_many_checks_runs_each_once(self) -> None:
        ran: dict[str, int] = {}
        lock = threading.Lock()

        def named(name: str) -> Callable[[], Found]:
            def check() -> Found:
                with lock:
                    ran[name] = ran.get(name, 0) + 1
                return []

            return check

        pairs = [(str(each), named(str(each))) for each in range(20)]

        async def main() -> None:
            await asyncio.gather(
                *(checks.run_checks_async(pairs, cache_seconds=600) for _ in range(1000))
            )

        asyncio.run(main())
        assert ran == dict.fromkeys(map(str, range(20)), 1)


class TestRun:
    def test_run_is_made_anew_for_who_asks_after_its_end(self) -> None:
        check = Counter()
        check.go.set()
        assert [text_of(checks.run_checks([("a", check)])) for _ in range(3)] == [
            "run 1", "run 2", "run 3",
        ]  # fmt: skip

    @COUNTERS
    def test_run_goes_on_when_who_asked_first_is_cancelled(self, counter: type[Counter]) -> None:
        check = counter()

        async def main() -> str:
            first = asyncio.create_task(checks.run_checks_async([("a", check)]))
            while not check.started.is_set():
                await asyncio.sleep(0.001)
            second = asyncio.create_task(checks.run_checks_async([("a", check)]))
            await asyncio.sleep(0.01)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            check.go.set()
            return text_of(await second)

        assert asyncio.run(main()) == "run 1"
        assert check.runs == 1

    def test_run_is_its_own_for_each_application(self, logged: Capture) -> None:
        def check(config: str) -> Found:
            return [checks.Info(config, id="x")]

        pairs = [("a", check)]
        one, two = "one", "two"
        found = [
            text_of(checks.run_checks(pairs, config=config, cache_seconds=600))
            for config in (one, two, one)
        ]
        assert found == ["one", "two", "one"]
        assert len(logged.lines) == 2

    def test_run_is_shared_by_bound_methods_of_one_object(self) -> None:
        class Storage:
            runs = 0

            def check(self) -> Found:
                self.runs += 1
                return []

        one, two = Storage(), Storage()
        for storage in (one, two, one, two):
            checks.run_checks([("a", storage.check)], cache_seconds=600)
        assert (one.runs, two.runs) == (1, 1)

    def test_run_on_a_loop_that_was_closed_is_given_up(self, release: threading.Event) -> None:
        loop = asyncio.new_event_loop()
        runs = []

        async def check() -> Found:
            runs.append(1)
            if len(runs) == 1:
                await asyncio.sleep(60)
            return []

        asking = loop.create_task(checks.run_checks_async([("a", check)], timeout=30))
        while not runs:
            loop.run_until_complete(asyncio.sleep(0))
        # As a server does that stops at once: its tasks never end.
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(asking)
        for task in asyncio.all_tasks(loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.close()
        assert checks.run_checks([("a", check)], timeout=30).statuses == {"a": "ok"}

    def test_run_without_a_waiting_caller_is_given_up_by_the_next_one(
        self, release: threading.Event
    ) -> None:
        def hangs() -> Found:
            release.wait(60)
            return []

        pairs = [("a", hangs)]

        async def main() -> None:
            asking = asyncio.create_task(checks.run_checks_async(pairs, timeout=0.05))
            await asyncio.sleep(0.01)
            asking.cancel()
            await asyncio.sleep(0.06)
            results = await checks.run_checks_async(pairs, timeout=30)
            (text,) = results.details["a"]["messages"].values()
            assert text.startswith("the check hangs: 1 earlier run(s) of it did not end")

        asyncio.run(main())


class TestCache:
    def test_cache_keeps_an_outcome_for_as_long_as_it_is_told(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        check = Counter()
        check.go.set()
        offset = [0.0]
        real = time.monotonic
        monkeypatch.setattr(single_flight.time, "monotonic", lambda: real() + offset[0])

        def ask(seconds: float) -> str:
            return text_of(checks.run_checks([("a", check)], cache_seconds=seconds))

        assert [ask(600), ask(600)] == ["run 1", "run 1"]
        offset[0] += 599
        assert ask(700) == "run 1"
        offset[0] += 2
        assert [ask(600), ask(600)] == ["run 2", "run 2"]
        assert ask(0) == "run 3"

    def test_cache_keeps_errors_too(self, release: threading.Event) -> None:
        runs = []

        def hangs() -> Found:
            runs.append(1)
            release.wait(60)
            return []

        def breaks() -> Found:
            runs.append(1)
            raise LookupError

        for check, timeout in ((hangs, 0.1), (breaks, 5)):
            runs.clear()
            for _ in range(3):
                results = checks.run_checks([("a", check)], timeout=timeout, cache_seconds=600)
                assert results.statuses == {"a": "error"}
            assert len(runs) == 1

    def test_cache_holds_on_to_no_request(self) -> None:
        import gc
        import weakref

        class Request:
            pass

        request = Request()
        gone = weakref.ref(request)
        with context.bound(request=request):
            checks.run_checks([("a", list)], cache_seconds=600)
        del request
        for _ in range(200):
            gc.collect()
            if gone() is None:
                break
            time.sleep(0.01)
        assert gone() is None

    def test_cache_forgets_checks_that_are_asked_once(self) -> None:
        runs = single_flight.SingleFlight()
        from dockerflow.checks._run.run_options import RunOptions
        from dockerflow.checks._run.signature import Check

        def ask(seconds: float) -> None:
            # Another function each time, as of a view that makes its checks.
            check_run = runs.join(
                Check("a", lambda: [*()]),
                RunOptions(None, 5, seconds),
                lambda check_run: check_run.run(),
            )
            assert check_run.outcome.result(60).messages == ()

        for _ in range(1000):
            ask(0)
        assert runs._entries == {}
        for _ in range(1000):
            ask(1e-9)
        assert 0 < len(runs._entries) <= 200


class TestThreads:
    def test_threads_are_used_again(self) -> None:
        pool = worker_threads.WorkerThreads()
        seen: list[threading.Thread] = []
        for _ in range(20):
            done = threading.Event()
            pool.run(lambda done=done: (seen.append(threading.current_thread()), done.set()))
            assert done.wait(60)
            while not pool._idle:
                time.sleep(0.001)
        assert len(set(seen)) == 1
        assert seen[0].daemon
        assert seen[0].name == "dockerflow-check-1"

    def test_threads_do_the_work_again_that_they_did_before(self) -> None:
        # The thread may have a connection that the check has left open.
        pool = worker_threads.WorkerThreads()
        seen: dict[int, set[int]] = {}
        for _ in range(20):
            done = [threading.Event() for _ in range(5)]
            for key in range(5):

                def work(key: int = key) -> None:
                    seen.setdefault(key, set()).add(threading.get_ident())
                    done[key].set()

                pool.run(work, key)
                assert done[key].wait(60)
                while len(pool._idle) < min(len(seen), 5):
                    time.sleep(0.001)
        assert {len(each) for each in seen.values()} == {1}
        assert len(set.union(*seen.values())) == 5

    def test_threads_are_not_kept_for_work_that_never_comes_again(self) -> None:
        pool = worker_threads.WorkerThreads()
        for key in range(200):
            done = threading.Event()
            pool.run(done.set, key)
            assert done.wait(60)
            while len(pool._idle) < min(key + 1, worker_threads.MAX_KEPT):
                time.sleep(0.001)
        assert pool._made == len(pool._last_worker) == worker_threads.MAX_KEPT

    def test_threads_that_hang_are_not_waited_for(self, release: threading.Event) -> None:
        pool = worker_threads.WorkerThreads()
        pool.run(lambda: release.wait(60), "a")
        done = threading.Event()
        pool.run(done.set, "a")
        assert done.wait(60)
        release.set()
        while len(pool._idle) < 2:
            time.sleep(0.001)
        assert len(pool._last_worker) == 1

    def test_threads_end_when_there_is_nothing_to_do(self) -> None:
        pool = worker_threads.WorkerThreads(idle_seconds=0.001)
        seen: list[threading.Thread] = []
        for _ in range(50):
            # Each races with the end of the previous one.
            done = threading.Event()
            pool.run(lambda done=done: (seen.append(threading.current_thread()), done.set()))
            assert done.wait(60)
        for thread in seen:
            thread.join(60)
            assert not thread.is_alive()
        assert not pool._idle
        assert not pool._last_worker

    def test_threads_do_at_their_end_what_was_left_for_it_once_each(self) -> None:
        pool = worker_threads.WorkerThreads(idle_seconds=0.001)
        ended: list[str] = []
        seen: list[threading.Thread] = []

        def close() -> None:
            ended.append(threading.current_thread().name)

        def breaks() -> None:
            raise LookupError

        def work() -> None:
            seen.append(threading.current_thread())
            assert worker_threads.at_thread_end(breaks)
            assert worker_threads.at_thread_end(close)
            assert worker_threads.at_thread_end(close)

        pool.run(work)
        while not seen:
            time.sleep(0.001)
        seen[0].join(60)
        assert ended == ["dockerflow-check-1"]
        assert not worker_threads.at_thread_end(close), "this thread is none of the pool's"
