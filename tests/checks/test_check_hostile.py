"""Hostile checks: each becomes an error under its own name, and does not affect the others."""

import asyncio
import functools
import itertools
import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from conformance import Capture
from hostile import HostileInt, HostileStr, LyingInt, RaisingClass, RaisingRepr
from hypothesis import given
from hypothesis import strategies as st

from dockerflow import checks, health
from dockerflow.checks._run.check_result import OWN_THREAD_HINT

DEADLINE = "the deadline is timeout= of its registration, else DOCKERFLOW_CHECK_TIMEOUT_SECONDS"

Run = Callable[..., checks.ChecksResults]
Found = list[checks.CheckMessage]


class Boom(BaseException):
    """An exception that ``except Exception`` does not catch."""


class RaisingError(Exception):
    def __repr__(self) -> str:
        raise LookupError

    __str__ = __repr__


async def a_coroutine() -> Found:
    return []


def a_generator() -> Any:
    yield checks.Error("unseen", id="x")


async def an_async_generator() -> Any:
    yield checks.Error("unseen", id="x")


def endless() -> Any:
    class Endless(list[Any]):
        def __iter__(self) -> Any:
            return itertools.repeat(checks.Info("more", id="x"))

    return Endless()


class RaisingIteration(list[Any]):
    def __iter__(self) -> Any:
        raise LookupError("no iteration today")


class Odd:
    """An object with the attributes of a message."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


def only_error(results: checks.ChecksResults, name: str = "odd") -> tuple[str, str]:
    """Return the id and text of the only error; the other checks must pass."""
    assert results.statuses == {"before": "ok", name: "error", "after": "ok"}
    assert results.level == checks.ERROR
    assert set(results.details) == {name}
    ((key, text),) = results.details[name]["messages"].items()
    return key, text


def around(check: Any) -> list[tuple[str, Any]]:
    async def after() -> Found:
        return []

    return [("before", list), ("odd", check), ("after", after)]


def as_async(check: Callable[[], Any]) -> Callable[[], Any]:
    async def coroutine() -> Any:
        return check()

    return coroutine


KINDS = pytest.mark.parametrize("kind", [lambda check: check, as_async], ids=["sync", "async"])


class TestRaises:
    @KINDS
    @pytest.mark.parametrize(
        ("error", "shown"),
        [
            (LookupError("gone"), "LookupError"),
            (Boom("bang"), "Boom"),
            (SystemExit(3), "SystemExit"),
            (GeneratorExit(), "GeneratorExit"),
            (StopIteration(1), None),
            (StopAsyncIteration(), None),
            (RecursionError("deep"), "RecursionError"),
            (MemoryError(), "MemoryError"),
            (asyncio.TimeoutError(), "TimeoutError"),
            (RaisingError(), "RaisingError"),
            (OSError("postgres://u:s3cret@db/x"), "OSError"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test(self, kind: Any, error: BaseException, shown: str | None, run: Run) -> None:
        def breaks() -> Found:
            raise error

        key, text = only_error(run(around(kind(breaks))))
        assert key == health.ERROR_CHECK_RAISED
        assert text.startswith("the check raised ")
        if shown is not None:
            assert text.removesuffix(OWN_THREAD_HINT) == f"the check raised {shown}"

    def test_an_interrupt_in_a_thread(self, run: Run) -> None:
        def breaks() -> Found:
            raise KeyboardInterrupt

        # Only the check itself can interrupt a worker thread.
        text = f"the check raised KeyboardInterrupt{OWN_THREAD_HINT}"
        assert only_error(run(around(breaks)))[1] == text

    def test_an_interrupt_on_a_loop_of_ours(self) -> None:
        async def breaks() -> Found:
            raise KeyboardInterrupt

        for _ in range(2):
            results = checks.run_checks(around(breaks))
            text = f"the check raised KeyboardInterrupt{OWN_THREAD_HINT}"
            assert only_error(results)[1] == text

    def test_an_interrupt_in_the_main_thread_goes_on_to_the_program(self, logged: Capture) -> None:
        async def interrupted() -> Found:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            asyncio.run(checks.run_checks_async([("a", interrupted)]))
        assert [fields["msg"] for fields in logged.fields] == [
            f"{health.ERROR_CHECK_RAISED}: the check raised KeyboardInterrupt"
        ]

    def test_a_task_left_behind_that_exits(self) -> None:
        async def leaves() -> Found:
            async def exits() -> None:
                raise SystemExit

            asyncio.get_running_loop().call_soon(sys.exit)
            return []

        for _ in range(3):
            assert checks.run_checks([("a", leaves)]).statuses == {"a": "ok"}

    def test_cancellation(self, run: Run) -> None:
        async def cancels_itself() -> Found:
            raise asyncio.CancelledError

        key, text = only_error(run(around(cancels_itself)))
        assert (key, text) == (health.ERROR_CHECK_CANCELLED, "the check was cancelled")

    def test_a_call_that_does_not_fit(self, run: Run) -> None:
        def needs(client: Any) -> Found:
            return []

        assert only_error(run(around(needs)))[1].startswith("the check raised TypeError")

    @pytest.mark.parametrize(
        ("make", "shown"),
        [
            (lambda: None, "TypeError"),
            (lambda: 5, "TypeError"),
            (RaisingClass, "TypeError"),
        ],
    )
    def test_what_cannot_be_called(self, make: Any, shown: str, run: Run) -> None:
        key, text = only_error(run(around(make())))
        assert key == health.ERROR_CHECK_RAISED
        assert text == f"the check raised {shown}{OWN_THREAD_HINT}"


class TestReturns:
    @KINDS
    @pytest.mark.parametrize(
        ("make", "shown"),
        [
            (lambda: None, "None"),
            (lambda: True, "bool"),
            (lambda: 0, "int"),
            (lambda: "all is well", "str"),
            (lambda: b"fine", "bytes"),
            (lambda: {"x": "fine"}, "dict"),
            (lambda: checks.Info("lonely", id="x"), "Info"),
            (an_async_generator, "async_generator"),
            (lambda: RaisingRepr(), "RaisingRepr"),
            (lambda: "password=s3cret", "str"),
        ],
    )
    def test_nonsense(self, kind: Any, make: Any, shown: str, run: Run) -> None:
        def gives() -> Any:
            return make()

        key, text = only_error(run(around(kind(gives))))
        assert key == health.ERROR_CHECK_INVALID_RESULT
        assert text == f"the check returned not a list of check messages: {shown}"

    @KINDS
    def test_a_coroutine_where_none_is_expected(self, kind: Any, run: Run) -> None:
        # A warning that it was never awaited would fail this test.
        def gives() -> Any:
            return a_coroutine()

        key, text = only_error(run(around(kind(gives))))
        assert key == health.ERROR_CHECK_INVALID_RESULT
        assert text.endswith(": coroutine; declare it with `async def`")

    @KINDS
    @pytest.mark.parametrize(
        ("item", "shown"),
        [
            (None, "None"),
            ("text", "str"),
            (checks.Error, None),
            (Odd(level=40), None),
            (Odd(msg="text"), None),
            (Odd(level="40", msg="text"), None),
            (Odd(level=True, msg="text"), None),
            (Odd(level=float("nan"), msg="text"), None),
            (RaisingRepr(), "RaisingRepr"),
        ],
    )
    def test_odd_items_among_others(self, kind: Any, item: Any, shown: Any, run: Run) -> None:
        good = checks.Info("good", id="x")
        results = run(around(kind(lambda: [good, item, good])))
        assert results.statuses == {"before": "ok", "odd": "error", "after": "ok"}
        messages = results.details["odd"]["messages"]
        assert messages["x"] == "good\ngood"
        text = messages[health.ERROR_CHECK_INVALID_RESULT]
        start = "an item of the check's list is not a check message: "
        assert text.startswith(start)
        if shown is not None:
            assert text == f"{start}{shown}"

    def test_a_list_that_cannot_be_gone_through(self, run: Run) -> None:
        text = only_error(run(around(RaisingIteration)))[1]
        assert text == f"the check raised LookupError{OWN_THREAD_HINT}"

    @KINDS
    @pytest.mark.parametrize("empty", [{}, "", b"", iter(()), (), range(0)])
    def test_nothing_in_whatever_form(self, kind: Any, empty: Any, run: Run) -> None:
        # As upstream, which iterates over it.
        assert run([("a", kind(lambda: empty))]).statuses == {"a": "ok"}

    @KINDS
    def test_a_generator(self, kind: Any, run: Run) -> None:
        results = run([("a", kind(a_generator)), ("b", kind(lambda: map(checks.Info, "x")))])
        assert results.statuses == {"a": "error", "b": "info"}
        assert results.details["a"]["messages"] == {"x": "unseen"}

    @KINDS
    def test_a_generator_that_raises(self, kind: Any, run: Run) -> None:
        def gives() -> Any:
            yield checks.Info("first", id="x")
            raise LookupError("gone")

        text = only_error(run(around(kind(gives))))[1]
        assert text.startswith("the check raised LookupError")

    @KINDS
    def test_a_generator_without_end_stops_at_the_deadline(self, kind: Any, run: Run) -> None:
        stopped = threading.Event()

        def gives() -> Any:
            try:
                while True:
                    time.sleep(0.001 if kind is as_async else 0.01)
                    yield checks.Info("more", id="x")
            finally:
                stopped.set()

        results = run([("a", kind(gives))], timeout=0.1)
        assert results.statuses == {"a": "error"}
        assert health.ERROR_CHECK_TIMED_OUT in results.details["a"]["messages"]
        assert stopped.wait(60), "it runs on for ever"

    def test_a_list_without_end(self, run: Run) -> None:
        messages = run(around(endless)).details["odd"]["messages"]
        assert messages["x"].count("more") == 1000
        assert messages[health.ERROR_CHECK_INVALID_RESULT] == (
            "the check gave more than 1000 messages; the others are left out"
        )

    def test_messages_of_another_make(self, run: Run) -> None:
        # Django's messages are of another class with the same attributes.
        foreign = Odd(level=30, msg="from elsewhere", hint=None, obj=None, id="auth.W001")
        results = run([("a", lambda: [foreign])])
        assert results.details["a"]["messages"] == {"auth.W001": "from elsewhere"}

    def test_messages_whose_parts_are_odd(self, run: Run, logged: Capture) -> None:
        found = [
            checks.Error(RaisingRepr(), id="a"),
            checks.Error(b"bytes", id=7),  # type: ignore[arg-type]
            checks.Error("half \ud800", id="\udfff"),
            checks.Error(HostileStr("text"), id=HostileStr("h")),
            Odd(level=LyingInt(20), msg="lie", id="l"),
            Odd(level=HostileInt(20), msg="hostile", id="i"),
            Odd(level=10**30, msg="high", id="n"),
            Odd(level=-(10**30), msg="low", id="m"),
        ]
        results = run([("a", lambda: found)])
        assert results.details["a"]["messages"] == {
            "a": "<unprintable RaisingRepr: Hostile>",
            "7": "b'bytes'",
            "\\udfff": "half \\ud800",
            "h": "text",
            "l": "lie",
            "i": "hostile",
            "n": "high",
            "m": "low",
        }
        assert (results.level, results.statuses) == (1000, {"a": "unknown"})
        for texts in results.details["a"]["messages"].items():
            assert {type(text) for text in texts} == {str}
        assert len(logged.lines) == len(found) - 1, "a level of 0 is logged by nobody"


class TestHangs:
    @pytest.mark.parametrize("kind", ["sync", "async"])
    def test(self, kind: str, run: Run, release: threading.Event) -> None:
        def hangs() -> Found:
            release.wait(60)
            return []

        async def hangs_too() -> Found:
            await asyncio.sleep(60)
            return []

        check = hangs if kind == "sync" else hangs_too
        assert only_error(run(around(check), timeout=0.2)) == (
            health.ERROR_CHECK_TIMED_OUT,
            f"the check did not return within 0.2 s; {DEADLINE}",
        )

    def test_hangs_with_a_deadline_of_its_own(self, run: Run, release: threading.Event) -> None:
        checks.register("quick", timeout=0.2)(lambda: release.wait(60))
        checks.register("other")(list)
        results = run(timeout=60)
        assert results.statuses == {"quick": "error", "other": "ok"}
        (text,) = results.details["quick"]["messages"].values()
        assert text.startswith("the check did not return within 0.2 s; the deadline is timeout=")

    def test_hangs_in_an_iteration(self, run: Run, release: threading.Event) -> None:
        class Hanging(list[Any]):
            def __iter__(self) -> Any:
                release.wait(60)
                return iter([])

        key, _ = only_error(run(around(Hanging), timeout=0.2))
        assert key == health.ERROR_CHECK_TIMED_OUT

    def test_and_refuses_to_be_cancelled(self, run: Run, release: threading.Event) -> None:
        async def stays() -> Found:
            for _ in range(3):
                try:
                    await asyncio.sleep(0.3)
                except asyncio.CancelledError:
                    pass
            return []

        assert only_error(run(around(stays), timeout=0.2))[0] == health.ERROR_CHECK_TIMED_OUT

    @pytest.mark.parametrize(
        ("found", "shown"), [([checks.Info("at last", id="x")], "at last"), ([], "no message")]
    )
    def test_and_says_so_when_it_ends_after_all(
        self, release: threading.Event, caplog: pytest.LogCaptureFixture, found: Found, shown: str
    ) -> None:
        def slow() -> Found:
            release.wait(60)
            done.set()
            return found

        done = threading.Event()
        checks.run_checks([("slow", slow)], timeout=0.1)
        with caplog.at_level(logging.WARNING, "dockerflow.checks.registry"):
            caplog.clear()
            release.set()
            assert done.wait(60)
            # A new run waits for the same thread.
            while not caplog.records:
                checks.run_checks([("other", list)])
        text = caplog.records[0].getMessage()
        assert text.startswith("the check slow, which timed out at its deadline, ended after ")
        assert text.endswith(f" s: {shown}")

    def test_hangs_costs_a_few_threads_and_never_all(self, release: threading.Event) -> None:
        runs: list[int] = []

        def hangs() -> Found:
            runs.append(1)
            release.wait(60)
            return []

        checks.register(hangs, timeout=0.02)
        checks.register(list, "fine")
        pairs = list(checks.get_checks().items())
        texts = set()
        for _ in range(40):
            results = checks.run_checks(pairs)
            assert results.statuses == {"hangs": "error", "fine": "ok"}
            texts.update(results.details["hangs"]["messages"].values())
        assert 1 <= len(runs) <= 16
        assert any(text.startswith("the check hangs: ") for text in texts)
        release.set()
        # The check runs again after the former runs have ended.
        while checks.run_checks(pairs).level:
            pass


class TestRegistersAnother:
    def test_registers_another_while_it_runs(self, run: Run) -> None:
        @checks.register
        def registers() -> Found:
            checks.register(list, f"check {len(checks.get_checks())}")
            return []

        assert run().statuses == {"registers": "ok"}
        assert run().statuses == {"registers": "ok", "check 1": "ok"}

    def test_registers_another_while_another_thread_goes_through_them(self, run: Run) -> None:
        for number in range(500):
            checks.register(list, str(number))
        stop = threading.Event()

        def registers() -> None:
            for number in itertools.count(500):
                if stop.is_set() or number > 20_000:
                    break
                checks.register(list, str(number))

        thread = threading.Thread(target=registers)
        thread.start()
        try:
            for _ in range(3):
                items = checks.get_checks().items()
                assert len(checks.registry.as_checks(items, in_request=False)) >= 500
        finally:
            stop.set()
            thread.join()

    def test_registers_another_by_running_all_checks_itself(self, run: Run) -> None:
        @checks.register(timeout=0.3)
        def recurses() -> Found:
            checks.run_checks(checks.get_checks().items())
            return []

        # It waits for itself, until its deadline.
        assert run().statuses == {"recurses": "error"}


OUTCOMES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.builds(
        checks.CheckMessage,
        st.text() | st.none() | st.integers(),
        st.integers(-100, 100) | st.none(),
        id=st.text() | st.none(),
    ),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
)  # fmt: skip


@pytest.mark.slow
@given(st.lists(OUTCOMES, max_size=4))
def test_whatever_checks_give_is_plain_and_named(outcomes: list[Any]) -> None:
    import json

    pairs = [(f"c{at}", functools.partial(lambda value: value, each))
             for at, each in enumerate(outcomes)]  # fmt: skip
    results = checks.run_checks(pairs)
    assert list(results.statuses) == [name for name, _ in pairs]
    payload = json.dumps([results.details, results.statuses], allow_nan=False)
    json.dumps(json.loads(payload), ensure_ascii=False).encode()
    for name, given_ in zip(results.statuses, outcomes, strict=True):
        if not isinstance(given_, (list, tuple)) and given_ not in ({}, "", b""):
            assert results.statuses[name] == "error"
    assert results.level == max([0, *(each["level"] for each in results.details.values())])
