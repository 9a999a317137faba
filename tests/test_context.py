from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import sys
import threading
import types
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
import structlog

from mozlog_py import context
from mozlog_py._config.options import OptionError
from mozlog_py.context import bind, bound, clear, current, get, request_id_context, unbind


@pytest.fixture(autouse=True)
def nothing_bound() -> Iterator[None]:
    clear()
    structlog.contextvars.clear_contextvars()
    yield
    clear()
    structlog.contextvars.clear_contextvars()


def in_new_thread() -> list[dict[str, Any]]:
    """Return the fields that a thread without a copy of this context sees."""
    seen: list[dict[str, Any]] = []
    # From 3.14 on a thread may inherit its starter's context.
    thread = threading.Thread(target=lambda: contextvars.Context().run(lambda: seen.append(get())))
    thread.start()
    thread.join()
    return seen


class TestWrongCalls:
    @pytest.mark.parametrize("fields", [{"user": "ann"}, types.MappingProxyType({"user": "ann"})])
    @pytest.mark.parametrize(("name", "function"), [("bind", bind), ("bound", bound)])
    def test_wrong_calls_of_a_dict_by_position_say_to_unpack_it(
        self, name: str, function: Any, fields: Any
    ) -> None:
        with pytest.raises(OptionError, match=rf"write {name}\(\*\*fields\) for a dict"):
            function(fields)
        assert get() == {}

    @pytest.mark.parametrize(("name", "function"), [("bind", bind), ("bound", bound)])
    def test_wrong_calls_of_a_value_without_a_name_show_it(self, name: str, function: Any) -> None:
        with pytest.raises(TypeError, match=rf"{name}\(\) was given 'ann' without a name; fields"):
            function("ann", door=2)
        assert get() == {}

    def test_wrong_calls_of_a_decorator_without_brackets_say_so(self) -> None:
        with pytest.raises(OptionError, match=r"write @bound\(job='reindex'\) with the brackets"):
            bound(lambda: None)

    @pytest.mark.parametrize("names", [["a", "b"], {"a": 1}, None, 1])
    def test_wrong_calls_of_unbind_with_what_is_no_name_say_what_it_takes(self, names: Any) -> None:
        bind(a=1)
        with pytest.raises(OptionError, match=r"unbind\(\) was given .*unbind\(\*names\)"):
            unbind(names)
        assert get() == {"a": 1}

    def test_wrong_calls_of_carry_with_the_result_of_a_call_say_what_it_takes(self) -> None:
        with pytest.raises(OptionError, match="carry\\(\\) was given None, which cannot be called"):
            context.carry(None)  # type: ignore[arg-type]

    def test_wrong_calls_are_not_fields_with_any_name(self) -> None:
        names = {"self": 1, "positional": 2, "fields": 3, "function": 4}
        with bound(**names):
            assert get() == names
        bind(**names)
        assert get() == names


class TestBind:
    def test_bind_adds_fields(self) -> None:
        bind(a=1)
        bind(b=2)
        assert get() == {"a": 1, "b": 2}

    def test_bind_replaces_a_field_of_the_same_name(self) -> None:
        bind(a=1, b=1)
        bind(a=2)
        assert get() == {"a": 2, "b": 1}

    def test_bind_of_nothing_changes_nothing(self) -> None:
        bind(a=1)
        bind()
        assert get() == {"a": 1}

    def test_bind_takes_any_name(self) -> None:
        bind(self=1, fields=2, **{"not an identifier": 3})
        assert get() == {"self": 1, "fields": 2, "not an identifier": 3}

    def test_bind_keeps_the_values_themselves(self) -> None:
        value: list[int] = []
        bind(a=value)
        assert get()["a"] is value

    def test_bind_does_not_change_what_was_read_before(self) -> None:
        bind(a=1)
        before = current()
        bind(a=2, b=2)
        assert before == {"a": 1}


class TestUnbind:
    def test_unbind_takes_fields_out(self) -> None:
        bind(a=1, b=2, c=3)
        unbind("a", "c")
        assert get() == {"b": 2}

    def test_unbind_of_a_name_that_is_not_bound_is_no_error(self) -> None:
        bind(a=1)
        unbind("b")
        assert get() == {"a": 1}

    def test_unbind_shows_again_what_the_field_was_hiding(self) -> None:
        structlog.contextvars.bind_contextvars(a="structlog")
        bind(a="ours")
        unbind("a")
        assert get() == {"a": "structlog"}


class TestClear:
    def test_clear_takes_out_everything_bound_here_and_the_request_id(self) -> None:
        bind(a=1)
        request_id_context.set("id")
        clear()
        assert get() == {}
        assert request_id_context.get() is None

    def test_clear_leaves_alone_what_structlog_bound(self) -> None:
        structlog.contextvars.bind_contextvars(theirs=1)
        bind(ours=1)
        clear()
        assert get() == {"theirs": 1}


class TestGet:
    def test_get_gives_nothing_where_nothing_is_bound(self) -> None:
        assert get() == {}

    def test_get_gives_a_copy_that_may_be_changed(self) -> None:
        bind(a=1)
        get()["b"] = 2
        get().clear()
        assert get() == {"a": 1}

    def test_get_of_nothing_gives_a_copy_too(self) -> None:
        get()["a"] = 1
        assert get() == {}


class TestRequestId:
    def test_request_id_is_the_field_rid(self) -> None:
        request_id_context.set("id")
        bind(a=1)
        assert get() == {"a": 1, "rid": "id"}

    @pytest.mark.parametrize("request_id", [None, ""])
    def test_request_id_that_is_missing_is_no_field(self, request_id: str | None) -> None:
        request_id_context.set(request_id)
        assert get() == {}

    def test_request_id_gives_way_to_a_bound_rid(self) -> None:
        request_id_context.set("id")
        with bound(rid="bound"):
            assert get() == {"rid": "bound"}
        assert get() == {"rid": "id"}

    def test_request_id_is_never_stored_among_the_bound_fields(self) -> None:
        request_id_context.set("first")
        bind(a=1)
        request_id_context.set("second")
        assert get() == {"a": 1, "rid": "second"}


class TestStructlogContext:
    def test_structlog_context_shows_too(self) -> None:
        structlog.contextvars.bind_contextvars(theirs=1)
        bind(ours=2)
        assert get() == {"theirs": 1, "ours": 2}

    def test_structlog_context_shows_where_nothing_else_is_bound(self) -> None:
        structlog.contextvars.bind_contextvars(theirs=1, none=None)
        assert get() == {"theirs": 1, "none": None}

    def test_structlog_context_gives_way_to_fields_bound_here_and_to_the_request_id(self) -> None:
        structlog.contextvars.bind_contextvars(a="structlog", rid="structlog")
        request_id_context.set("id")
        assert get() == {"a": "structlog", "rid": "id"}
        bind(a="ours", rid="ours")
        assert get() == {"a": "ours", "rid": "ours"}

    def test_structlog_context_is_the_rid_where_there_is_no_other(self) -> None:
        structlog.contextvars.bind_contextvars(rid="structlog")
        assert get() == {"rid": "structlog"}

    def test_structlog_context_that_was_unbound_or_cleared_is_gone(self) -> None:
        structlog.contextvars.bind_contextvars(a=1, b=2, c=3)
        structlog.contextvars.unbind_contextvars("a")
        assert get() == {"b": 2, "c": 3}
        structlog.contextvars.clear_contextvars()
        assert get() == {}

    def test_structlog_context_of_a_block_is_gone_after_it(self) -> None:
        structlog.contextvars.bind_contextvars(a="outer")
        with structlog.contextvars.bound_contextvars(a="inner", b="inner"):
            assert get() == {"a": "inner", "b": "inner"}
        assert get() == {"a": "outer"}

    def test_structlog_context_is_what_structlog_itself_says(self) -> None:
        structlog.contextvars.bind_contextvars(structlog_a=1, b=[2], ä=3)
        assert get() == structlog.contextvars.get_contextvars()

    def test_structlog_context_is_found_without_its_registry(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        structlog.contextvars.bind_contextvars(a="structlog", b=1)
        bind(a="ours")
        monkeypatch.delattr(structlog.contextvars, "_CONTEXT_VARS")
        assert get() == {"a": "ours", "b": 1}

    def test_structlog_context_is_not_looked_for_where_structlog_is_not_loaded(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        structlog.contextvars.bind_contextvars(theirs=1)
        bind(ours=1)
        monkeypatch.delitem(sys.modules, "structlog.contextvars")
        assert get() == {"ours": 1}
        assert "structlog.contextvars" not in sys.modules

    def test_structlog_context_is_never_written_to(self) -> None:
        with bound(ours=1):
            assert structlog.contextvars.get_contextvars() == {}


class TestBoundBlocks:
    def test_bind_until_they_are_left(self) -> None:
        bind(a="before")
        with bound(a="within", b=1):
            assert get() == {"a": "within", "b": 1}
        assert get() == {"a": "before"}

    def test_bound_blocks_may_be_nested(self) -> None:
        with bound(a=1):
            with bound(b=2):
                with bound(a=3):
                    assert get() == {"a": 3, "b": 2}
                assert get() == {"a": 1, "b": 2}
            assert get() == {"a": 1}
        assert get() == {}

    def test_bound_blocks_are_left_by_an_exception_that_goes_on(self) -> None:
        error = ValueError()
        with pytest.raises(ValueError) as caught, bound(a=1):
            raise error
        assert caught.value is error
        assert get() == {}

    def test_bound_blocks_that_are_nested_are_each_left_by_an_exception(self) -> None:
        with bound(a=1):
            with pytest.raises(ValueError), bound(b=2), bound(c=3):
                raise ValueError
            assert get() == {"a": 1}
        assert get() == {}

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
    def test_bound_blocks_are_left_by_an_interrupt(self, error: type[BaseException]) -> None:
        with pytest.raises(error), bound(a=1):
            raise error
        assert get() == {}

    def test_bound_blocks_go_back_to_what_was_whatever_happened_within(self) -> None:
        bind(a=1)
        with bound(b=2):
            bind(c=3)
            unbind("a")
            assert get() == {"b": 2, "c": 3}
        assert get() == {"a": 1}
        with bound(b=2):
            clear()
            assert get() == {}
        assert get() == {"a": 1}

    def test_bound_blocks_give_themselves(self) -> None:
        block = bound(a=1)
        with block as entered:
            assert entered is block

    def test_bound_blocks_can_be_used_again_and_within_themselves(self) -> None:
        block = bound(a=1)
        for _ in range(2):
            with block:
                bind(b=2)
                with block:
                    assert get() == {"a": 1, "b": 2}
                    bind(c=3)
                assert get() == {"a": 1, "b": 2}
            assert get() == {}

    def test_left_but_never_entered_change_nothing(self) -> None:
        bind(a=1)
        bound(b=2).__exit__(None, None, None)
        assert get() == {"a": 1}

    def test_left_in_another_context_than_they_were_entered_in_change_nothing(self) -> None:
        block = bound(a=1)
        contextvars.Context().run(block.__enter__)
        bind(b=2)
        block.__exit__(None, None, None)
        assert get() == {"b": 2}

    def test_bound_blocks_take_any_name(self) -> None:
        with bound(self=1, fields=2, **{"not an identifier": 3}):
            assert get() == {"self": 1, "fields": 2, "not an identifier": 3}

    def test_bound_blocks_do_not_change_the_values_they_bind(self) -> None:
        value = {"a": 1}
        with bound(value=value):
            assert get()["value"] is value
        assert value == {"a": 1}


class TestBoundFunctions:
    def test_bound_functions_run_within_the_fields(self) -> None:
        @bound(a=1)
        def function() -> dict[str, Any]:
            return get()

        assert function() == {"a": 1}
        assert get() == {}

    def test_bound_functions_take_and_give_what_the_function_does(self) -> None:
        @bound(a=1)
        def function(one: int, /, two: int, *rest: int, three: int = 3, **more: int) -> Any:
            """What it does."""
            return one, two, rest, three, more

        assert function(1, 2, 9, three=4, fields=5, function=6) == (
            1,
            2,
            (9,),
            4,
            {"fields": 5, "function": 6},
        )
        assert function.__name__ == "function"
        assert function.__doc__ == "What it does."
        assert list(inspect.signature(function).parameters) == [
            "one",
            "two",
            "rest",
            "three",
            "more",
        ]

    def test_bound_functions_that_raise_leave_nothing_bound(self) -> None:
        @bound(a=1)
        def function() -> None:
            bind(b=2)
            raise ValueError

        with pytest.raises(ValueError):
            function()
        assert get() == {}

    def test_bound_functions_may_call_themselves(self) -> None:
        @bound(a=1)
        def function(depth: int) -> list[dict[str, Any]]:
            bind(depth=depth)
            inner = function(depth - 1) if depth else []
            return [*inner, get()]

        assert function(2) == [{"a": 1, "depth": depth} for depth in range(3)]
        assert get() == {}

    def test_bound_functions_may_be_methods(self) -> None:
        class Service:
            @bound(a=1)
            def method(self) -> dict[str, Any]:
                return get()

            @classmethod
            @bound(b=1)
            def of_class(cls) -> dict[str, Any]:
                return get()

            @staticmethod
            @bound(c=1)
            def static() -> dict[str, Any]:
                return get()

        assert (Service().method(), Service.of_class(), Service.static()) == (
            {"a": 1},
            {"b": 1},
            {"c": 1},
        )

    def test_bound_functions_run_in_several_threads_at_once(self) -> None:
        barrier = threading.Barrier(4)

        @bound(a=1)
        def function(number: int) -> dict[str, Any]:
            bind(number=number)
            barrier.wait()
            return get()

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(function, range(4))) == [
                {"a": 1, "number": number} for number in range(4)
            ]
            assert list(pool.map(lambda _: get(), range(4))) == [{}] * 4


class TestBoundCoroutineFunctions:
    def test_bound_coroutine_functions_run_within_the_fields_to_their_end(self) -> None:
        @bound(a=1)
        async def function() -> list[dict[str, Any]]:
            before = get()
            await asyncio.sleep(0)
            return [before, get()]

        async def main() -> None:
            assert await function() == [{"a": 1}, {"a": 1}]
            assert get() == {}

        asyncio.run(main())

    def test_bound_coroutine_functions_are_still_coroutine_functions(self) -> None:
        @bound(a=1)
        async def function() -> None:
            pass

        assert inspect.iscoroutinefunction(function)
        assert function.__name__ == "function"

    def test_bind_nothing_until_they_are_awaited(self) -> None:
        @bound(a=1)
        async def function() -> dict[str, Any]:
            return get()

        async def main() -> None:
            waiting = function()
            assert get() == {}
            assert await waiting == {"a": 1}

        asyncio.run(main())

    @pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
    def test_bound_coroutine_functions_that_raise_leave_nothing_bound(
        self, error: type[BaseException]
    ) -> None:
        @bound(a=1)
        async def function() -> None:
            await asyncio.sleep(0)
            raise error

        async def main() -> dict[str, Any]:
            try:
                await function()
            except error:
                return get()
            raise AssertionError

        assert asyncio.run(main()) == {}

    def test_bound_coroutine_functions_behind_a_partial_are_coroutine_functions_too(self) -> None:
        async def function(number: int) -> dict[str, Any]:
            await asyncio.sleep(0)
            return {**get(), "number": number}

        decorated = bound(a=1)(functools.partial(function, 5))
        assert asyncio.run(decorated()) == {"a": 1, "number": 5}

    def test_bound_coroutine_functions_run_side_by_side(self) -> None:
        @bound(a=1)
        async def function(number: int) -> dict[str, Any]:
            bind(number=number)
            for _ in range(5):
                await asyncio.sleep(0)
            return get()

        async def main() -> list[dict[str, Any]]:
            return await asyncio.gather(*map(function, range(10)))

        assert asyncio.run(main()) == [{"a": 1, "number": number} for number in range(10)]


class TestGeneratorFunctions:
    def test_generator_functions_are_refused_with_what_to_do_instead(self) -> None:
        def numbers() -> Iterator[int]:
            yield 1

        with pytest.raises(TypeError, match=r"numbers.*with bound\("):
            bound(a=1)(numbers)

    def test_generator_functions_that_are_asynchronous_are_refused(self) -> None:
        async def numbers() -> AsyncIterator[int]:
            yield 1

        with pytest.raises(TypeError, match="numbers"):
            bound(a=1)(numbers)

    def test_generator_functions_behind_a_partial_are_refused(self) -> None:
        def numbers() -> Iterator[int]:
            yield 1

        with pytest.raises(TypeError, match="generator function"):
            bound(a=1)(functools.partial(numbers))

    def test_generator_functions_that_use_a_block_inside_leave_it_when_they_are_closed(
        self,
    ) -> None:
        def numbers() -> Iterator[dict[str, Any]]:
            with bound(inside=1):
                yield get()

        generator = numbers()
        assert next(generator) == {"inside": 1}
        generator.close()  # type: ignore[attr-defined]
        assert get() == {}

    def test_finished_out_of_order_leave_nothing_bound(self) -> None:
        def numbers(**fields: int) -> Iterator[None]:
            with bound(**fields):
                yield

        first, second = numbers(a=1), numbers(b=2)
        next(first)
        next(second)
        first.close()  # type: ignore[attr-defined]
        second.close()  # type: ignore[attr-defined]
        assert get() == {}

    def test_generator_functions_that_are_abandoned_and_finalised_elsewhere_change_nothing_there(
        self,
    ) -> None:
        async def numbers() -> AsyncIterator[int]:
            with bound(inside=1):
                yield 1
                yield 2

        async def abandon(numbers: AsyncIterator[int]) -> None:
            async for _number in numbers:
                break

        async def main() -> dict[str, Any]:
            generator = numbers()
            await asyncio.create_task(abandon(generator))
            bind(here=1)
            await generator.aclose()  # type: ignore[attr-defined]
            return get()

        assert asyncio.run(main()) == {"here": 1}


class Job:
    """An object that is called like a coroutine function."""

    async def __call__(self, steps: int = 1) -> list[dict[str, Any]]:
        return await job(steps)


async def job(steps: int = 1) -> list[dict[str, Any]]:
    """Return the fields that each step sees, and bind one in it."""
    seen = []
    for step in range(steps):
        seen.append(get())
        await anyio.sleep(0)
        bind(step=step)
    return [*seen, get()]


class TestCarriedCoroutineFunctions:
    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    @pytest.mark.parametrize(
        "function",
        [job, functools.partial(job), functools.partial(job, steps=1), Job(), lambda: job()],
        ids=["function", "partial", "partial with arguments", "object", "lambda"],
    )
    def test_carried_coroutine_functions_run_in_the_context_of_the_carry(
        self, backend: str, function: Any
    ) -> None:
        with bound(order=7):
            carried = context.carry(function)
        bind(worker=1)

        async def main() -> Any:
            return [await carried(), await carried(), get()]

        once = [{"order": 7}, {"order": 7, "step": 0}]
        assert anyio.run(main, backend=backend) == [once, once, {"worker": 1}]

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_carried_coroutine_functions_run_side_by_side(self, backend: str) -> None:
        seen: dict[int, Any] = {}

        async def work(number: int) -> None:
            seen[number] = await jobs[number](3)

        async def main() -> None:
            async with anyio.create_task_group() as group:
                for number in range(5):
                    group.start_soon(work, number)

        jobs = []
        for number in range(5):
            with bound(number=number):
                jobs.append(context.carry(job))
        anyio.run(main, backend=backend)
        assert seen == {
            number: [
                {"number": number},
                *({"number": number, "step": step} for step in range(3)),
            ]
            for number in range(5)
        }

    def test_carried_coroutine_functions_are_still_coroutine_functions(self) -> None:
        for function in (job, functools.partial(job), Job()):
            assert inspect.iscoroutinefunction(context.carry(function))
        assert context.carry(job).__name__ == "job"

    def test_carried_coroutine_functions_pass_their_context_on_to_tasks(self) -> None:
        async def parent() -> Any:
            return await asyncio.create_task(job())

        with bound(order=7):
            carried = context.carry(parent)
        assert asyncio.run(carried()) == [{"order": 7}, {"order": 7, "step": 0}]

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_carried_coroutine_functions_that_are_cancelled_clean_up_in_their_context(
        self, backend: str
    ) -> None:
        seen = []

        async def waiting() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0)
                seen.append(get())

        async def main() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(carried)
                await anyio.wait_all_tasks_blocked()
                group.cancel_scope.cancel()

        with bound(order=7):
            carried = context.carry(waiting)
        anyio.run(main, backend=backend)
        assert seen == [{"order": 7}]

    def test_carried_coroutine_functions_pass_exceptions_both_ways(self) -> None:
        async def patient() -> Any:
            try:
                await asyncio.wait_for(asyncio.Event().wait(), 0)
            except asyncio.TimeoutError:
                seen.append(get())
            raise LookupError("none")

        seen: list[Any] = []
        with bound(order=7):
            carried = context.carry(patient)
        with pytest.raises(LookupError, match="none"):
            asyncio.run(carried())
        assert seen == [{"order": 7}]

    def test_carried_coroutine_functions_that_are_closed_clean_up_in_their_context(self) -> None:
        @types.coroutine
        def pause() -> Iterator[None]:
            yield

        async def waiting() -> None:
            try:
                await pause()
            finally:
                seen.append(get())

        seen: list[Any] = []
        with bound(order=7):
            carried = context.carry(waiting)
        steps: Any = carried()
        steps.send(None)
        steps.close()
        assert seen == [{"order": 7}]

    def test_carried_generator_functions_are_refused_with_what_to_do_instead(self) -> None:
        def numbers() -> Iterator[int]:
            yield 1

        async def later() -> AsyncIterator[int]:
            yield 1

        for function in (numbers, later, functools.partial(numbers)):
            with pytest.raises(TypeError, match=r"carry\(\) cannot carry the generator function"):
                context.carry(function)


class TestThreads:
    def test_threads_see_nothing_of_each_other(self) -> None:
        barrier = threading.Barrier(8)

        def work(number: int) -> list[dict[str, Any]]:
            clear()
            bind(number=number)
            request_id_context.set(f"id{number}")
            seen = []
            for step in range(20):
                barrier.wait()
                with bound(step=step):
                    seen.append(get())
            return seen

        with ThreadPoolExecutor(8) as pool:
            for number, seen in enumerate(pool.map(work, range(8))):
                assert seen == [
                    {"number": number, "rid": f"id{number}", "step": step} for step in range(20)
                ]
        assert get() == {}

    def test_threads_start_with_nothing_bound(self) -> None:
        bind(a=1)
        request_id_context.set("id")
        assert in_new_thread() == [{}]

    def test_threads_that_share_one_block_each_go_back_to_their_own(self) -> None:
        shared = bound(shared=1)
        barrier = threading.Barrier(4)

        def work(number: int) -> list[dict[str, Any]]:
            clear()
            bind(number=number)
            with shared:
                barrier.wait()
                bind(inner=number)
                within = get()
                # They leave in another order than they entered.
                for turn in range(4):
                    barrier.wait()
                    if turn == 3 - number:
                        break
                else:
                    raise AssertionError
            after = get()
            for _ in range(turn + 1, 4):
                barrier.wait()
            return [within, after]

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(work, range(4))) == [
                [{"number": number, "shared": 1, "inner": number}, {"number": number}]
                for number in range(4)
            ]

    def test_threads_called_with_to_thread_see_the_task_and_do_not_change_it(self) -> None:
        def work() -> dict[str, Any]:
            bind(thread=1)
            request_id_context.set("thread's")
            return get()

        async def main() -> list[dict[str, Any]]:
            bind(task=1)
            request_id_context.set("task's")
            return [await asyncio.to_thread(work), get()]

        assert asyncio.run(main()) == [
            {"task": 1, "thread": 1, "rid": "thread's"},
            {"task": 1, "rid": "task's"},
        ]

    def test_threads_called_with_to_thread_within_a_block_leave_it_alone(self) -> None:
        shared = bound(shared=1)

        def work() -> list[dict[str, Any]]:
            with shared, bound(thread=1):
                within = get()
            return [within, get()]

        async def main() -> list[dict[str, Any]]:
            bind(before=1)
            with shared:
                bind(later=1)
                seen = await asyncio.to_thread(work)
                seen.append(get())
            return [*seen, get()]

        outer = {"before": 1, "shared": 1, "later": 1}
        assert asyncio.run(main()) == [{**outer, "thread": 1}, outer, outer, {"before": 1}]


class TestTasks:
    def test_tasks_see_what_was_bound_before_they_began(self) -> None:
        async def child() -> dict[str, Any]:
            return get()

        async def main() -> dict[str, Any]:
            bind(a=1)
            request_id_context.set("id")
            task = asyncio.create_task(child())
            bind(b=2)
            request_id_context.set("other")
            return await task

        assert asyncio.run(main()) == {"a": 1, "rid": "id"}

    def test_tasks_never_change_their_parents(self) -> None:
        async def child() -> None:
            bind(child=1)
            unbind("parent")
            clear()
            request_id_context.set("child's")

        async def main() -> dict[str, Any]:
            bind(parent=1)
            request_id_context.set("parent's")
            await asyncio.create_task(child())
            return get()

        assert asyncio.run(main()) == {"parent": 1, "rid": "parent's"}

    def test_tasks_see_nothing_of_each_other(self) -> None:
        async def work(number: int) -> list[dict[str, Any]]:
            bind(number=number)
            request_id_context.set(f"id{number}")
            seen = []
            for step in range(10):
                with bound(step=step):
                    await asyncio.sleep(0)
                    seen.append(get())
            return seen

        async def main() -> list[list[dict[str, Any]]]:
            return await asyncio.gather(*map(work, range(10)))

        for number, seen in enumerate(asyncio.run(main())):
            assert seen == [
                {"number": number, "rid": f"id{number}", "step": step} for step in range(10)
            ]
        assert get() == {}

    def test_tasks_that_share_one_block_each_go_back_to_their_own(self) -> None:
        shared = bound(shared=1)

        async def work(number: int, count: int) -> list[dict[str, Any]]:
            bind(number=number)
            with shared:
                bind(inner=number)
                # They leave in another order than they entered.
                for _ in range(count - number):
                    await asyncio.sleep(0)
                within = get()
            return [within, get()]

        async def main() -> list[list[dict[str, Any]]]:
            return await asyncio.gather(*(work(number, 5) for number in range(5)))

        assert asyncio.run(main()) == [
            [{"number": number, "shared": 1, "inner": number}, {"number": number}]
            for number in range(5)
        ]

    def test_tasks_that_outlive_the_block_they_began_in_keep_its_fields(self) -> None:
        async def child(go_on: asyncio.Event) -> list[dict[str, Any]]:
            await go_on.wait()
            with bound(child=1):
                within = get()
            return [within, get()]

        async def main() -> list[dict[str, Any]]:
            go_on = asyncio.Event()
            with bound(request=1):
                task = asyncio.create_task(child(go_on))
                await asyncio.sleep(0)
            after = get()
            go_on.set()
            return [after, *await task]

        assert asyncio.run(main()) == [{}, {"request": 1, "child": 1}, {"request": 1}]

    def test_tasks_that_are_cancelled_leave_their_parents_as_they_were(self) -> None:
        async def child() -> None:
            with bound(child=1):
                await asyncio.Event().wait()

        async def main() -> dict[str, Any]:
            bind(parent=1)
            task = asyncio.create_task(child())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return get()

        assert asyncio.run(main()) == {"parent": 1}


class TestCallsInACopiedContext:
    def test_calls_in_a_copied_context_see_the_original_and_do_not_change_it(self) -> None:
        bind(a=1)

        def inner() -> dict[str, Any]:
            bind(b=2)
            return get()

        assert contextvars.copy_context().run(inner) == {"a": 1, "b": 2}
        assert get() == {"a": 1}


class TestPublicNames:
    def test_public_names_are_sorted_and_there(self) -> None:
        assert context.__all__ == sorted(context.__all__)
        assert all(hasattr(context, name) for name in context.__all__)


class TestStructlogHalfImported:
    def test_structlog_half_imported_leaves_the_context_in_the_line(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # As another thread sees it while it is imported.
        monkeypatch.setitem(
            sys.modules, "structlog.contextvars", types.ModuleType("structlog.contextvars")
        )
        context.bind(user="ann")
        assert context.get() == {"user": "ann"}
        before = context.snapshot()
        context.bind(more=1)
        context.restore(before)
        assert context.get() == {"user": "ann"}


class TestRestore:
    def test_restore_puts_back_what_was_bound_and_nothing_else(self) -> None:
        mine: contextvars.ContextVar[int] = contextvars.ContextVar("mine", default=0)
        context.bind(user="ann")
        structlog.contextvars.bind_contextvars(shape="round")
        before = context.snapshot()
        context.bind(user="bob", more=1)
        context.request_id_context.set("r1")
        structlog.contextvars.bind_contextvars(shape="flat", colour="red")
        mine.set(1)
        context.restore(before)
        assert context.get() == {"user": "ann", "shape": "round"}
        assert mine.get() == 1
        structlog.contextvars.clear_contextvars()

    def test_restore_keeps_what_was_bound_after_it_was_handed_over(self) -> None:
        context.bind(host="h1")
        before = context.snapshot()
        context.bind(user="ann", step=1)
        context.request_id_context.set("r1")
        structlog.contextvars.bind_contextvars(shape="flat")
        handed_over = context.snapshot()
        context.bind(tenant="t1", step=2)
        structlog.contextvars.bind_contextvars(colour="red")
        context.restore(before, handed_over)
        assert context.get() == {"host": "h1", "tenant": "t1", "step": 2, "colour": "red"}
        structlog.contextvars.clear_contextvars()

    def test_restore_takes_out_what_was_bound_before_it_was_handed_over(self) -> None:
        before = context.snapshot()
        context.bind(user="ann")
        context.request_id_context.set("r1")
        structlog.contextvars.bind_contextvars(shape="flat")
        handed_over = context.snapshot()
        context.restore(before, handed_over)
        assert context.get() == {}

    def test_restore_keeps_a_request_id_that_was_set_after_it_was_handed_over(self) -> None:
        before = context.snapshot()
        context.request_id_context.set("r1")
        handed_over = context.snapshot()
        context.request_id_context.set("r2")
        context.restore(before, handed_over)
        assert context.get() == {"rid": "r2"}

    def test_restore_leaves_unbound_what_was_unbound_after_it_was_handed_over(self) -> None:
        context.bind(host="h1")
        with bound(tenant="t1"):
            before = context.snapshot()
            context.bind(user="ann")
            handed_over = context.snapshot()
        context.restore(before, handed_over)
        assert context.get() == {"host": "h1"}

    def test_restore_has_a_block_that_was_entered_later_go_back_to_what_is_left(self) -> None:
        before = context.snapshot()
        context.bind(user="ann")
        handed_over = context.snapshot()
        with bound(tenant="t1"):
            context.restore(before, handed_over)
            assert context.get() == {"tenant": "t1"}
        assert context.get() == {}


class TestHasBound:
    def test_has_bound_tells_whether_a_field_is_bound_in_either_way(self) -> None:
        assert not context.has_bound()
        context.bind(user="ann")
        assert context.has_bound()
        context.clear()
        structlog.contextvars.bind_contextvars(shape="flat")
        assert context.has_bound()
        structlog.contextvars.clear_contextvars()
        assert not context.has_bound()
