"""Running checks: every kind of check, from every kind of caller, in parallel and in time."""

import asyncio
import functools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from conformance import Capture

from dockerflow import checks, health
from dockerflow.checks._run import silenced_ids
from dockerflow.checks._run.check_result import OWN_THREAD_HINT
from mozlog_py import context

Run = Callable[..., checks.ChecksResults]
Found = list[checks.CheckMessage]


class Storage:
    """Checks as methods, as callable objects, and as async ones."""

    def sync(self, *args: Any) -> Found:
        return [checks.Info(f"{args}", id="x")]

    async def coroutine(self, *args: Any) -> Found:
        await asyncio.sleep(0)
        return self.sync(*args)

    @classmethod
    def of_class(cls, *args: Any) -> Found:
        return cls().sync(*args)


class Callable_(Storage):
    def __call__(self, *args: Any) -> Found:
        return self.sync(*args)


class AsyncCallable(Storage):
    async def __call__(self, *args: Any) -> Found:
        return await self.coroutine(*args)


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


KINDS: dict[str, Callable[..., Any]] = {
    "function": lambda: [checks.Info("()", id="x")],
    "method": Storage().sync,
    "class method": Storage.of_class,
    "object": Callable_(),
    "partial": functools.partial(Storage().sync),
    "partial of an object": functools.partial(Callable_()),
    "wrapped": wrapped(Storage().sync),
    "mock": Mock(return_value=[checks.Info("()", id="x")]),
    "async method": Storage().coroutine,
    "async object": AsyncCallable(),
    "async partial": functools.partial(Storage().coroutine),
    "async partial of an object": functools.partial(AsyncCallable()),
    "partial of a partial": functools.partial(functools.partial(AsyncCallable())),
    "async mock": AsyncMock(return_value=[checks.Info("()", id="x")]),
}


class TestEveryKindOfCheck:
    @pytest.mark.parametrize("kind", KINDS)
    def test_every_kind_of_check_runs_for_every_kind_of_caller(self, kind: str, run: Run) -> None:
        results = run([("name", KINDS[kind])])
        assert results == checks.ChecksResults(
            details={"name": {"status": "info", "level": 20, "messages": {"x": "()"}}},
            statuses={"name": "info"},
            level=20,
        )

    @pytest.mark.parametrize("kind", [Storage().sync, Storage().coroutine])
    def test_every_kind_of_check_takes_bound_arguments(self, kind: Any, run: Run) -> None:
        checks.register_partial(kind, "a", 1, name="storage")
        assert run().details["storage"]["messages"] == {"x": "('a', 1)"}

    def test_every_kind_of_check_gives_messages_of_any_collection(self, run: Run) -> None:
        message = checks.Warning("old", id="x")
        for given in ([message], (message,), {1: message}.values()):
            assert run([("a", lambda given=given: given)]).statuses == {"a": "warning"}


class TestResults:
    def test_results_say_nothing_of_checks_that_found_nothing(self, run: Run) -> None:
        assert run([("a", list), ("b", tuple)]) == checks.ChecksResults(
            details={}, statuses={"a": "ok", "b": "ok"}, level=0
        )

    def test_results_have_the_worst_level_and_the_given_order(self, run: Run) -> None:
        def finds(*levels: int) -> Callable[[], Found]:
            return lambda: [checks.CheckMessage(f"m{at}", at, id=f"i{at}") for at in levels]

        results = run([("c", finds(20, 40)), ("a", finds()), ("b", finds(35, 30))])
        assert results.level == checks.ERROR
        assert list(results.statuses.items()) == [("c", "error"), ("a", "ok"), ("b", "unknown")]
        assert results.details["c"]["messages"] == {"i20": "m20", "i40": "m40"}

    @pytest.mark.parametrize("silenced", ["shop.E1", "shop.E1, shop.W2", b"shop.W2 shop.E1"])
    def test_results_read_a_text_as_ids_and_warn_once(
        self, run: Run, logged: Capture, silenced: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(silenced_ids, "_warned", {})
        # Upstream asks whether an id is in the text.
        found = [checks.Info("no", id="shop.E1"), checks.Info("no", id="shop.E"), checks.Info("s")]
        for _ in range(2):
            results = run([("a", lambda: found)], silenced_check_ids=silenced)
            assert results.details["a"]["messages"] == {"shop.E": "no", "s": "s"}
        (warning,) = [line for line in logged.lines if line["Severity"] == 4]
        assert repr(silenced) in warning["Fields"]["msg"]
        assert "write a list, ['shop." in warning["Fields"]["msg"]

    def test_results_leave_out_a_message_whose_id_is_a_text_with_a_blank(self, run: Run) -> None:
        found = [checks.Error("no", id="the shop")]
        assert run([("a", lambda: found)], silenced_check_ids="the shop").level == 0

    @pytest.mark.parametrize("silenced", ["", b""])
    def test_results_take_an_empty_text_for_no_ids(
        self, run: Run, logged: Capture, silenced: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(silenced_ids, "_warned", {})
        silenced_ids.check_silenced("silenced_checks", silenced)
        found = [checks.Error("down", id="shop.E1")]
        assert run([("a", lambda: found)], silenced_check_ids=silenced).level == checks.ERROR
        assert silenced_ids._warned == {}

    def test_results_leave_out_silenced_messages(self, run: Run, logged: Capture) -> None:
        found = [checks.Error("one", id="x"), checks.Info("two", id="y")]
        results = run([("a", lambda: found)], ["x"])
        assert results.details == {"a": {"status": "info", "level": 20, "messages": {"y": "two"}}}
        assert run([("a", lambda: found)], silenced_check_ids=iter("xy")).level == 0
        assert "x: one" in [fields["msg"] for fields in logged.fields]

    def test_results_keep_all_messages_of_one_id(self, run: Run) -> None:
        found = [checks.Error(text, id="x") for text in ("one", "two")]
        assert run([("a", lambda: found)]).details["a"]["messages"] == {"x": "one\ntwo"}

    def test_results_keep_all_checks_of_one_name(self, run: Run) -> None:
        results = run(
            [
                ("a", lambda: [checks.Error("one", id="x")]),
                ("b", list),
                ("a", lambda: [checks.Info("two", id="x")]),
            ]
        )
        assert results.statuses == {"a": "error", "b": "ok"}
        assert results.details["a"]["messages"] == {"x": "one\ntwo"}

    def test_results_have_a_check_once_that_is_given_twice(self, run: Run) -> None:
        check = Mock(return_value=[checks.Info("one", id="x")])
        results = run([("a", check), ("a", check)], cache_seconds=60)
        assert results.details["a"]["messages"] == {"x": "one"}
        check.assert_called_once_with()

    def test_results_have_messages_without_an_id(self, run: Run) -> None:
        found = [
            checks.Info("one"),
            checks.Info("two"),
            checks.Info("two"),
            checks.Info("3", id=""),
        ]
        assert run([("a", lambda: found)]).details["a"]["messages"] == {
            "one": "one", "two": "two", "3": "3",
        }  # fmt: skip


class TestLog:
    @pytest.mark.parametrize("kind", ["sync", "async"])
    def test_log_has_each_message_at_its_level(self, kind: str, run: Run, logged: Capture) -> None:
        def sync() -> Found:
            return [checks.Error("no disk", id="shop.E001"), checks.Debug("fine")]

        async def coroutine() -> Found:
            return sync()

        with context.bound(request="r1"):
            run([("disk", sync if kind == "sync" else coroutine)])
        assert [(line["Severity"], line["Fields"]) for line in logged.lines] == [
            (3, {"msg": "shop.E001: no disk", "check": "disk", "request": "r1"}),
            (7, {"msg": "None: fine", "check": "disk", "request": "r1"}),
        ]
        assert {line["Type"] for line in logged.lines} == {"dockerflow.checks.registry"}

    def test_log_has_the_traceback_of_a_check_that_raised(self, run: Run, logged: Capture) -> None:
        def breaks() -> Found:
            raise LookupError("gone")

        run([("a", breaks)])
        (fields,) = logged.fields
        said = f"{health.ERROR_CHECK_RAISED}: the check raised LookupError{OWN_THREAD_HINT}"
        assert fields["msg"] == said
        assert fields["error"] == "LookupError('gone')"
        assert "in breaks" in fields["traceback"]

    def test_log_that_breaks_takes_nothing_with_it(self, run: Run, logged: Capture) -> None:
        def refuse(_record: Any) -> None:
            raise RuntimeError("no log today")

        logged.handler.emit = refuse  # type: ignore[method-assign]
        assert run([("a", lambda: [checks.Info("text", id="x")])]).level == checks.INFO


class TestContext:
    @pytest.mark.parametrize("kind", ["sync", "async"])
    def test_context_of_the_request_is_that_of_its_checks(
        self, kind: str, run: Run, logged: Capture
    ) -> None:
        def sync() -> Found:
            logged.logger.info("looking")
            context.bind(disk="sda")
            return []

        async def coroutine() -> Found:
            return sync()

        token = context.request_id_context.set("rid-1")
        run([("a", sync if kind == "sync" else coroutine)])
        assert context.get() == {"rid": "rid-1"}, "what a check binds is its own"
        context.request_id_context.reset(token)
        run([("a", sync if kind == "sync" else coroutine)])
        assert logged.fields == [{"msg": "looking", "rid": "rid-1"}, {"msg": "looking"}]


class TestConfig:
    def test_config_goes_to_checks_that_ask_for_it(self, run: Run) -> None:
        seen: list[Any] = []

        def named(config: Any) -> Found:
            seen.append(config)
            return []

        async def coroutine(*, config: Any = None) -> Found:
            return named(config)

        def positional(config: Any, /) -> Found:
            return named(config)

        def after(client: str, config: Any) -> Found:
            return named(config)

        class Object:
            def __call__(self, config: Any) -> Found:
                return named(config)

        config = object()
        every = [
            named, coroutine, positional, functools.partial(after, "client"), Object(),
            wrapped(named),
        ]  # fmt: skip
        results = run([(str(at), each) for at, each in enumerate(every)], config=config)
        assert results.details == {}
        assert seen == [config] * len(every)

    def test_config_goes_to_no_other_check(self, run: Run) -> None:
        def anything(*args: Any, **kwargs: Any) -> Found:
            return [checks.Info(f"{args} {kwargs}", id="x")]

        def bound(config: Any) -> Found:
            return [checks.Info(str(config), id="x")]

        @functools.wraps(bound)
        def brings_its_own() -> Found:
            return bound("own")

        results = run(
            [
                ("a", anything),
                ("b", functools.partial(bound, config="mine")),
                ("c", dict),  # says not what it takes
                ("d", brings_its_own),
            ],
            config="theirs",
        )
        messages = [results.details[name]["messages"]["x"] for name in "abd"]
        assert messages == ["() {}", "mine", "own"]

    def test_config_that_is_missing_leaves_the_default(self, run: Run, logged: Capture) -> None:
        def wants(config: Any = "default") -> Found:
            return [checks.Info(str(config), id="x")]

        def needs(config: Any) -> Found:
            return []

        results = run([("wants", wants), ("needs", needs)])
        assert results.details["wants"]["messages"] == {"x": "default"}
        (text,) = results.details["needs"]["messages"].values()
        assert text.startswith("the check raised TypeError")
        (error,) = [fields["error"] for fields in logged.fields if "error" in fields]
        assert "missing 1 required positional argument: 'config'" in error


class TestAtTheSameTime:
    def test_at_the_same_time_run_all_checks_in_threads(self, run: Run) -> None:
        barrier = threading.Barrier(10)

        def check() -> Found:
            barrier.wait(60)
            return []

        assert run([(str(each), functools.partial(check)) for each in range(10)]).level == 0

    def test_at_the_same_time_run_all_async_checks_on_one_loop(self, run: Run) -> None:
        here: list[Any] = []

        async def check() -> Found:
            here.append(asyncio.get_running_loop())
            while len(here) < 10:
                await asyncio.sleep(0.001)
            return []

        assert run([(str(each), functools.partial(check)) for each in range(10)]).level == 0
        assert len(set(here)) == 1

    def test_at_the_same_time_run_both_kinds_together(self, run: Run) -> None:
        barrier = threading.Barrier(2)
        reached: list[bool] = []

        def sync() -> Found:
            while not reached:
                time.sleep(0.001)
            barrier.wait(60)
            return []

        async def coroutine() -> Found:
            reached.append(True)
            await asyncio.get_running_loop().run_in_executor(None, barrier.wait, 60)
            return []

        assert run([("s", sync), ("a", coroutine)]).statuses == {"s": "ok", "a": "ok"}


class TestLoop:
    def test_loop_of_the_caller_is_that_of_its_async_checks(self) -> None:
        async def main() -> None:
            async def check() -> Found:
                assert asyncio.get_running_loop() is loop
                assert threading.current_thread() is threading.main_thread()
                return []

            loop = asyncio.get_running_loop()
            assert (await checks.run_checks_async([("a", check)])).details == {}

        asyncio.run(main())

    def test_loop_for_callers_without_one_stays_the_same(self) -> None:
        # The connections of a database's client work on the loop of their first use only.
        seen: set[Any] = set()

        async def check() -> Found:
            seen.add(asyncio.get_running_loop())
            return []

        for _ in range(5):
            checks.run_checks([("a", check), ("b", functools.partial(check))])
        (loop,) = seen
        assert loop.is_running()

    def test_loop_of_the_caller_may_be_blocked_by_a_call_that_waits(self) -> None:
        async def main() -> None:
            started = asyncio.Event()

            async def check() -> Found:
                started.set()
                await asyncio.sleep(0)
                return []

            task = asyncio.create_task(checks.run_checks_async([("a", check)]))
            # The run has started on this loop before the loop is blocked.
            await asyncio.sleep(0)
            assert checks.run_checks([("a", check)], timeout=30).statuses == {"a": "ok"}
            assert (await task).statuses == {"a": "ok"}

        asyncio.run(main())

    @pytest.mark.slow
    def test_loop_that_one_check_blocks_does_not_hold_up_the_others(
        self, release: threading.Event
    ) -> None:
        begun = threading.Event()

        async def blocks() -> Found:
            begun.wait(60)
            release.wait(60)
            return []

        async def begins_before() -> Found:
            begun.set()
            await asyncio.sleep(0)
            return [checks.Info("here", id="x")]

        async def begins_after() -> Found:
            return [checks.Info("here", id="x")]

        results = checks.run_checks(
            [("before", begins_before), ("blocks", blocks), ("after", begins_after)], timeout=2
        )
        assert results.statuses == {"before": "info", "blocks": "error", "after": "info"}
        release.set()
        # The loop is used again after it has run the probe.
        assert checks.run_checks([("after", begins_after)]).statuses == {"after": "info"}


class TestSeconds:
    @pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), None, "5", 10**400])
    def test_seconds_that_are_none_are_refused(self, value: Any, run: Run) -> None:
        with pytest.raises(ValueError, match="timeout is"):
            run([], timeout=value)
        if value != 0:
            with pytest.raises(ValueError, match="cache_seconds is"):
                run([], cache_seconds=value)

    def test_seconds_of_no_checks_are_none(self, run: Run) -> None:
        assert run([]) == checks.ChecksResults(details={}, statuses={}, level=0)


class TestProcess:
    def run_python(self, source: str, **options: Any) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", source],
            capture_output=True, text=True, timeout=60, check=True, **options,
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout

    def test_process_ends_although_checks_hang(self) -> None:
        # An exit that joins the threads would run into the timeout of the test.
        assert self.run_python(
            """
import asyncio, threading, logging
from dockerflow import checks
logging.disable()
never = threading.Event()
def hangs(): never.wait()
async def hangs_too(): await asyncio.sleep(1e6)
async def blocks(): never.wait()
pairs = [("a", hangs), ("b", hangs_too), ("c", blocks)]
print(checks.run_checks(pairs, timeout=0.2).statuses)
async def main():
    return await checks.run_checks_async(pairs[:2], timeout=0.2)
print(asyncio.run(main()).statuses)
"""
        ).splitlines() == [
            "{'a': 'error', 'b': 'error', 'c': 'error'}",
            "{'a': 'error', 'b': 'error'}",
        ]

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
    def test_process_that_is_forked_runs_its_checks(self) -> None:
        out = self.run_python(
            """
import asyncio, os, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of fork with threads, from 3.12 on
from dockerflow import checks
parent, release = os.getpid(), threading.Event()
def sync():
    if os.getpid() == parent:
        release.wait()
    return []
async def coroutine():
    return []
def heartbeat():
    return checks.run_checks([("sync", sync), ("async", coroutine)], timeout=30).statuses
first = threading.Thread(target=heartbeat)
first.start()
child = os.fork()  # in the middle of a run
if not child:
    print(heartbeat(), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
release.set()
first.join()
print(heartbeat())
"""
        )
        assert out == "{'sync': 'ok', 'async': 'ok'}\n" * 2

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
    @pytest.mark.parametrize("module", ["asyncio", "dockerflow.checks._run.event_loops"])
    def test_process_that_is_forked_in_the_middle_of_the_first_async_check_runs_its_own(
        self, module: str
    ) -> None:
        out = self.run_python(
            f"""
import os, signal, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from dockerflow import checks
assert "asyncio" not in sys.modules
is_importing, has_forked = threading.Event(), threading.Event()
class Finder:
    def find_spec(self, name, *_):
        if name == "{module}" and not is_importing.is_set():
            is_importing.set()
            # A fork that waits for this import has not happened when the time is over.
            has_forked.wait(0.3)
sys.meta_path.insert(0, Finder())
async def coroutine():
    return []
def heartbeat():
    return checks.run_checks([("async", coroutine)], timeout=30).statuses
first = threading.Thread(target=heartbeat)
first.start()
assert is_importing.wait(30)
child = os.fork()
has_forked.set()
if not child:
    signal.alarm(20)  # ends a child that waits for a lock which no thread releases
    print(heartbeat(), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
first.join()
print(heartbeat())
"""
        )
        assert out == "{'async': 'ok'}\n" * 2

    def test_process_runs_checks_while_another_thread_imports_asyncio(self) -> None:
        out = self.run_python(
            """
import sys, threading
from dockerflow import checks
from dockerflow._request.cancellation import running_loop
is_importing, may_go_on = threading.Event(), threading.Event()
class Finder:
    def find_spec(self, name, *_):
        if name == "asyncio.base_events":
            is_importing.set()
            assert may_go_on.wait(30)
sys.meta_path.insert(0, Finder())
def imports():
    import asyncio
other = threading.Thread(target=imports)
other.start()
assert is_importing.wait(30)
assert not hasattr(sys.modules["asyncio"], "_get_running_loop")
print(checks.run_checks([("sync", list)]).statuses, running_loop())
may_go_on.set()
other.join()
"""
        )
        assert out == "{'sync': 'ok'} None\n"
