"""Checks in the request's thread and context, and checks for which no thread can be started."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import closing
from contextvars import ContextVar
from typing import Any

import pytest
import trio
from conformance import Capture

from dockerflow import checks, health
from dockerflow.checks._run import run_until_deadline
from dockerflow.endpoints import Endpoints
from dockerflow.settings import Settings

Run = Callable[..., checks.ChecksResults]
Found = list[checks.CheckMessage]

seen: ContextVar[list[str]] = ContextVar("seen")


def run_on_trio(pairs: Any = None, **options: Any) -> checks.ChecksResults:
    pairs = checks.get_checks().items() if pairs is None else pairs

    async def main() -> checks.ChecksResults:
        return await checks.run_checks_async(pairs, **options)

    return trio.run(main)


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(run_until_deadline, "_process_runners", {})
    monkeypatch.setattr(threading.Thread, "start", refuse)


class TestInRequest:
    def test_in_request_runs_one_after_the_other_in_the_callers_thread_and_context(
        self, run: Run
    ) -> None:
        order: list[str] = []

        def named(name: str) -> Callable[[], Found]:
            def check() -> Found:
                assert threading.current_thread() is threading.main_thread()
                order.append(f"{name} begins")
                seen.set([*seen.get([]), name])
                order.append(f"{name} ends after {seen.get()}")
                return []

            return check

        pairs = [(name, named(name)) for name in "abc"]
        results = contextvars.copy_context().run(run, pairs, in_request=True)
        assert results.statuses == {"a": "ok", "b": "ok", "c": "ok"}
        assert order == [
            "a begins", "a ends after ['a']", "b begins", "b ends after ['a', 'b']",
            "c begins", "c ends after ['a', 'b', 'c']",
        ]  # fmt: skip

    def test_in_request_runs_async_checks_in_the_callers_thread(self, run: Run) -> None:
        async def check() -> Found:
            await asyncio.sleep(0)
            assert threading.current_thread() is threading.main_thread()
            return [checks.Info("here", id="x")]

        assert run([("a", check)], in_request=True).details["a"]["messages"] == {"x": "here"}

    def test_in_request_has_no_deadline_and_no_cache_and_is_not_shared(self, run: Run) -> None:
        runs: list[int] = []

        def slow() -> Found:
            runs.append(1)
            threading.Event().wait(0.05)
            return []

        for _ in range(3):
            options = {"timeout": 0.001, "cache_seconds": 60, "in_request": True}
            assert run([("a", slow)], **options).statuses == {"a": "ok"}
        assert len(runs) == 3

    def test_in_request_of_one_check_leaves_the_others_elsewhere(self, run: Run) -> None:
        threads: dict[str, threading.Thread] = {}

        @checks.register(in_request=True)
        def here() -> Found:
            threads["here"] = threading.current_thread()
            return []

        @checks.register("also here", in_request=True)
        def another() -> Found:
            threads["another"] = threading.current_thread()
            return []

        @checks.register
        def elsewhere() -> Found:
            threads["elsewhere"] = threading.current_thread()
            return []

        assert list(run().statuses) == ["here", "also here", "elsewhere"]
        assert threads["here"] is threads["another"] is threading.main_thread()
        assert threads["elsewhere"] is not threading.main_thread()

    def test_in_request_beside_a_timeout_is_refused(self) -> None:
        with pytest.raises(ValueError, match="timeout=2 beside in_request=True"):
            checks.register(list, "a", timeout=2, in_request=True)
        with pytest.raises(ValueError, match="timeout=2 beside in_request=True"):
            checks.register("a", timeout=2, in_request=True)
        with pytest.raises(ValueError, match="timeout=2 beside in_request=True"):
            checks.register_partial(list, name="a", timeout=2, in_request=True)
        assert checks.get_checks() == {}

    def test_what_a_check_raises_is_its_error(self, run: Run, logged: Capture) -> None:
        def breaks() -> Found:
            raise LookupError("gone")

        async def breaks_too() -> Found:
            raise LookupError("gone")

        def breaks_late() -> Any:
            yield checks.Info("first")
            raise LookupError("gone")

        pairs = [("a", breaks), ("b", breaks_too), ("c", breaks_late), ("d", list)]
        results = run(pairs, in_request=True)
        assert results.statuses == {"a": "error", "b": "error", "c": "error", "d": "ok"}
        for name in "abc":
            assert results.details[name]["messages"] == {
                health.ERROR_CHECK_RAISED: "the check raised LookupError"
            }
        assert [fields["check"] for fields in logged.fields] == ["a", "b", "c"]

    @pytest.mark.parametrize("interrupt", [SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
    def test_what_ends_a_worker_goes_on_to_it(self, interrupt: BaseException, run: Run) -> None:
        def meets_it() -> Found:
            raise interrupt

        def meets_it_late() -> Any:
            raise interrupt
            yield

        for check in (meets_it, meets_it_late):
            with pytest.raises(type(interrupt)):
                run([("a", check)], in_request=True)

    def test_in_request_gives_the_configuration_to_checks(self, run: Run) -> None:
        def limited(config: Any) -> Found:
            return [checks.Info(str(config), id="x")]

        async def also(config: Any) -> Found:
            return limited(config)

        results = run([("a", limited), ("b", also)], config=7, in_request=True)
        assert [each["messages"]["x"] for each in results.details.values()] == ["7", "7"]

    def test_in_request_leaves_the_thread_its_event_loop(self) -> None:
        async def check() -> Found:
            async def goes_on() -> None:
                await asyncio.sleep(60)

            asyncio.get_running_loop().create_task(goes_on())
            return []

        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            assert checks.run_checks([("a", check)], in_request=True).level == 0
            assert asyncio.get_event_loop() is loop
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    def test_in_request_of_an_async_check_beneath_a_running_loop_is_elsewhere(self) -> None:
        async def check() -> Found:
            assert threading.current_thread() is not threading.main_thread()
            return [checks.Info("elsewhere", id="x")]

        async def main() -> checks.ChecksResults:
            return checks.run_checks([("a", check), ("b", list)], in_request=True)

        results = asyncio.run(main())
        assert results.statuses == {"a": "info", "b": "ok"}

    def test_in_request_has_a_check_once_that_is_given_twice(self, run: Run) -> None:
        runs: list[int] = []
        check: Any = lambda: runs.append(1) or []  # noqa: E731
        assert run([("a", check), ("a", check)], in_request=True).statuses == {"a": "ok"}
        assert len(runs) == 1

    def test_in_request_is_what_the_setting_says(self) -> None:
        def check() -> Found:
            return [checks.Info(threading.current_thread().name, id="x")]

        checks.register(check)
        for in_request in (False, True):
            settings = Settings(checks_in_request=in_request)
            endpoints = Endpoints(settings=lambda s=settings: s, read_version=lambda: None)  # type: ignore[misc]
            for results in (endpoints.run_checks(), asyncio.run(endpoints.run_checks_async())):
                (name,) = results.details["check"]["messages"].values()
                assert (name == threading.main_thread().name) is in_request


@pytest.mark.usefixtures("no_threads")
class TestWithoutThreads:
    def test_checks_run_one_after_the_other(self, run: Run) -> None:
        async def coroutine() -> Found:
            await asyncio.sleep(0)
            return [checks.Info("async", id="x")]

        def breaks() -> Found:
            raise LookupError("gone")

        results = run([("a", list), ("b", coroutine), ("c", breaks), ("d", list)])
        assert results.statuses == {"a": "ok", "b": "info", "c": "error", "d": "ok"}
        (text,) = results.details["c"]["messages"].values()
        assert text == "the check raised LookupError"

    def test_what_ends_a_worker_goes_on_and_leaves_no_run_behind(self, run: Run) -> None:
        interrupts = [KeyboardInterrupt()]

        def check() -> Found:
            while interrupts:
                raise interrupts.pop()
            return []

        with pytest.raises(KeyboardInterrupt):
            run([("a", check)])
        assert run([("a", check)]).statuses == {"a": "ok"}


class TestOnTrio:
    def test_checks_of_both_kinds_answer(self) -> None:
        async def on_asyncio() -> Found:
            await asyncio.sleep(0.001)
            return []

        assert run_on_trio([("a", list), ("b", on_asyncio)]).statuses == {"a": "ok", "b": "ok"}

    def test_other_tasks_go_on_meanwhile(self) -> None:
        release = threading.Event()

        async def main() -> checks.ChecksResults:
            found: list[checks.ChecksResults] = []

            async def ask() -> None:
                found.append(await checks.run_checks_async([("a", waits), ("b", waits_too)]))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                await trio.sleep(0.01)
                release.set()
            return found[0]

        def waits() -> Found:
            assert release.wait(60)
            return []

        async def waits_too() -> Found:
            while not release.is_set():
                await asyncio.sleep(0.001)
            return []

        assert trio.run(main).statuses == {"a": "ok", "b": "ok"}

    def test_a_check_that_hangs_is_given_up(self, release: threading.Event) -> None:
        async def hangs() -> Found:
            await asyncio.sleep(60)
            return []

        def blocks() -> Found:
            release.wait(60)
            return []

        async def blocks_its_loop() -> Found:
            release.wait(60)
            return []

        pairs = [("a", hangs), ("b", blocks), ("c", blocks_its_loop), ("d", list)]
        assert run_on_trio(pairs, timeout=0.3).statuses == {
            "a": "error", "b": "error", "c": "error", "d": "ok",
        }  # fmt: skip

    def test_on_trio_in_the_request_a_check_may_be_trios(self) -> None:
        async def check() -> Found:
            with trio.move_on_after(0.001):
                await trio.sleep_forever()
            return [checks.Info("trio's", id="x")]

        results = run_on_trio([("a", check), ("b", list)], in_request=True)
        assert results.details["a"]["messages"] == {"x": "trio's"}

    def test_cancelling_the_caller_cancels_it(self) -> None:
        async def check() -> Found:
            await trio.sleep_forever()
            return []

        async def main() -> bool:
            with trio.move_on_after(0.01) as scope:
                await checks.run_checks_async([("a", check)], in_request=True)
            return scope.cancelled_caught

        assert trio.run(main)

    def test_it_may_be_the_guest_of_asyncio(self) -> None:
        async def coroutine() -> Found:
            await asyncio.sleep(0)
            return []

        async def main() -> checks.ChecksResults:
            async def trios() -> checks.ChecksResults:
                return await checks.run_checks_async([("a", list), ("b", coroutine)])

            loop = asyncio.get_running_loop()
            done: asyncio.Future[Any] = loop.create_future()
            trio.lowlevel.start_guest_run(
                trios, run_sync_soon_threadsafe=loop.call_soon_threadsafe,
                done_callback=done.set_result,
            )  # fmt: skip
            results: checks.ChecksResults = (await done).unwrap()
            return results

        # Not uvloop's, which Sanic makes the default: trio warns of its signal handlers.
        with closing(asyncio.SelectorEventLoop()) as loop:
            assert loop.run_until_complete(main()).statuses == {"a": "ok", "b": "ok"}

    def test_elsewhere_it_says_what_it_needs(self) -> None:
        coroutine = checks.run_checks_async([])
        with pytest.raises(RuntimeError, match="no running event loop"):
            coroutine.send(None)
