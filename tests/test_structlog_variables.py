from __future__ import annotations

import contextvars
import gc
import random
import weakref
from collections.abc import Callable, Iterator
from contextvars import Context, ContextVar, copy_context
from typing import Any

import pytest
import structlog

from mozlog_py import context
from mozlog_py._context import structlog_variables

theirs = structlog.contextvars


@pytest.fixture(autouse=True)
def own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the names of these tests out of the process, where they would stay for good."""
    monkeypatch.setattr(theirs, "_CONTEXT_VARS", {})
    monkeypatch.setattr(structlog_variables, "_trees", structlog_variables._Trees())


@pytest.fixture
def within() -> Iterator[Callable[..., Any]]:
    """Yield a function that calls another one in a context of the test's own."""
    own = Context()
    yield own.run
    del own


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return a list that grows by one for each branch and each variable that is looked at."""
    seen: list[object] = []
    referents, of_structlog = structlog_variables._referents, structlog_variables._of_structlog

    def counting_referents(*of: Any) -> list[Any]:
        seen.append(of)
        return referents(*of)

    def counting_items(items: Any, registry: Any) -> Any:
        held = [*items]
        seen.extend(held)
        return of_structlog(held, registry)

    monkeypatch.setattr(structlog_variables, "_referents", counting_referents)
    monkeypatch.setattr(structlog_variables, "_of_structlog", counting_items)
    return seen


def bind_and_unbind(count: int) -> None:
    for number in range(count):
        theirs.bind_contextvars(**{f"once_{number}": number})
        theirs.unbind_contextvars(f"once_{number}")


def fill_with_others(count: int = 30) -> list[ContextVar[Any]]:
    """Set variables of other libraries."""
    variables: list[ContextVar[Any]] = [ContextVar(f"other_{index}") for index in range(count)]
    for variable in variables:
        variable.set(variable.name)
    return variables


@pytest.mark.slow
class TestNamesThatWereBoundOnce:
    def test_elsewhere_are_not_looked_at(
        self, within: Callable[..., Any], looked_at: list[object]
    ) -> None:
        Context().run(bind_and_unbind, 5000)

        def read() -> None:
            fill_with_others(20)
            theirs.bind_contextvars(user="ann")
            assert context.get() == {"user": "ann"}
            assert len(looked_at) <= 21

        within(read)

    def test_here_are_not_looked_at_again(
        self, within: Callable[..., Any], looked_at: list[object]
    ) -> None:
        def read() -> None:
            fill_with_others()
            theirs.bind_contextvars(user="ann")
            bind_and_unbind(5000)
            assert context.get() == {"user": "ann"}
            assert len(looked_at) > 1000
            looked_at.clear()
            assert context.get() == {"user": "ann"}
            assert len(looked_at) == 1

        within(read)

    @pytest.mark.parametrize("names", [2000, 20_000])
    def test_here_are_passed_over_after_a_change(
        self, within: Callable[..., Any], looked_at: list[object], names: int
    ) -> None:
        def read() -> None:
            other = fill_with_others()[0]
            theirs.bind_contextvars(user="ann")
            bind_and_unbind(names)
            for number in range(4):
                other.set(number)
                looked_at.clear()
                assert context.get() == {"user": "ann"}
            # A branch has 32 branches, and a few of them have something that is bound.
            assert len(looked_at) < 700
            for number in range(4):
                looked_at.clear()
                with theirs.bound_contextvars(cart=number):
                    assert context.get() == {"user": "ann", "cart": number}
                assert context.get() == {"user": "ann"}
            assert len(looked_at) < 1400

        within(read)

    def test_names_that_were_bound_once_are_not_set_in_the_contexts_of_requests(
        self, within: Callable[..., Any]
    ) -> None:
        Context().run(bind_and_unbind, 500)

        def serve() -> int:
            before = context.snapshot()
            theirs.bind_contextvars(user="ann")
            handed_over = context.snapshot()
            context.restore(before, handed_over)
            assert not context.has_bound()
            theirs.bind_contextvars(user="bob")
            context.restore(before)
            assert context.get() == {}
            return len(copy_context())

        # The two of the context, and the one name that was bound here.
        assert within(serve) <= 5

    def test_names_that_were_bound_once_do_not_grow_what_is_remembered(
        self, within: Callable[..., Any]
    ) -> None:
        def read() -> None:
            fill_with_others()
            bind_and_unbind(1000)
            for number in range(3000):
                theirs.bind_contextvars(user=number)
                assert context.get() == {"user": number}

        within(read)
        trees = structlog_variables._trees
        assert len(trees._empty) <= structlog_variables._MOST_BRANCHES + 1100 // 8
        assert len(trees._known) <= structlog_variables._MOST_TREES


def unaskable() -> Any:
    """Return an object whose class may not even be asked for its name."""

    class Hostile(type):
        def __getattribute__(cls, name: str) -> Any:
            raise SystemExit(name)

        def __eq__(cls, other: object) -> bool:
            raise SystemExit

        def __hash__(cls) -> int:
            raise SystemExit

    class Unaskable(metaclass=Hostile):
        pass

    return Unaskable()


class TestWhatIsBound:
    @pytest.mark.slow
    def test_what_is_bound_is_what_structlog_says_whatever_was_bound_before(
        self, within: Callable[..., Any]
    ) -> None:
        chance, hostile = random.Random(7), unaskable()

        def act() -> None:
            others = fill_with_others()
            bind_and_unbind(300)
            held: list[ContextVar[Any]] = [ContextVar("structlog_not_theirs"), others[0]]
            held[0].set("a name like theirs")
            snapshots = [copy_context()]
            for _ in range(600):
                name = f"once_{chance.randrange(400)}"
                value = chance.choice([1, None, "text", [2], (), others[1], ..., hostile])
                what = chance.randrange(6)
                if what == 0:
                    theirs.unbind_contextvars(name)
                elif what == 1:
                    chance.choice(others).set(value)
                elif what == 2:
                    context.restore(chance.choice(snapshots))
                elif what == 3 and chance.random() < 0.1:
                    snapshots.append(context.snapshot())
                elif chance.random() < 0.02:
                    theirs.clear_contextvars()
                else:
                    theirs.bind_contextvars(**{name: value})
                expected = theirs.get_contextvars()
                # Not a name of structlog's.
                expected.pop("not_theirs", None)
                assert context.get() == expected
                assert context.has_bound() is bool(expected)

        within(act)

    def test_what_is_bound_stands_in_the_order_of_its_names_where_they_are_many(
        self, within: Callable[..., Any]
    ) -> None:
        def read() -> None:
            theirs.bind_contextvars(b=1, a=2)
            assert [*context.get()] == ["b", "a"]
            Context().run(bind_and_unbind, 100)
            assert [*context.get()] == ["a", "b"]
            bind_and_unbind(100)
            assert [*context.get()] == ["a", "b"]

        within(read)

    def test_what_is_bound_is_found_where_variables_have_one_hash(
        self, within: Callable[..., Any]
    ) -> None:
        pair = variables_of_one_hash()

        def read() -> None:
            for variable in pair:
                theirs._CONTEXT_VARS[variable.name] = variable
                variable.set(...)
            bind_and_unbind(200)
            assert context.get() == {}
            first, second = (variable.name[10:] for variable in pair)
            pair[0].set(1)
            assert context.get() == {first: 1}
            pair[1].set(2)
            assert context.get() == {first: 1, second: 2}
            pair[0].set(...)
            assert context.get() == {second: 2}
            kinds = structlog_variables._trees._kinds
            tree = gc.get_referents(copy_context())
            assert kinds is not None
            assert any(kinds.is_collision(type(branch)) for branch in below(tree))

        within(read)

    def test_what_is_bound_is_found_where_the_tree_cannot_be_seen(
        self, within: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def read() -> None:
            bind_and_unbind(200)
            theirs.bind_contextvars(user="ann")
            assert context.get() == {"user": "ann"}
            theirs.bind_contextvars(user="bob")
            # As where one branch is not shown.
            monkeypatch.setattr(
                structlog_variables, "_referents", lambda one: gc.get_referents(one)[1:]
            )
            assert context.get() == {"user": "bob"}
            monkeypatch.setattr(structlog_variables, "_referents", lambda one: [])
            monkeypatch.setattr(structlog_variables, "_trees", structlog_variables._Trees())
            theirs.bind_contextvars(user="eve")
            assert context.get() == {"user": "eve"}

        within(read)

    @pytest.mark.slow
    def test_what_is_bound_is_kept_no_longer_than_its_context(self) -> None:
        class Request:
            pass

        def serve() -> weakref.ref[Request]:
            request = Request()
            bind_and_unbind(200)
            theirs.bind_contextvars(request=request)
            assert context.get() == {"request": request}
            return weakref.ref(request)

        ended = Context().run(serve)
        gc.collect()
        assert ended() is None
        assert structlog_variables._trees._known == {}

    def test_what_is_bound_of_tasks_with_one_beginning_is_told_apart(
        self, within: Callable[..., Any]
    ) -> None:
        def tasks() -> list[Any]:
            bind_and_unbind(300)
            each = [copy_context() for _ in range(20)]
            for number, own in enumerate(each):
                own.run(theirs.bind_contextvars, task=number)
            return [own.run(context.get)["task"] for own in each for _ in range(2)]

        assert within(tasks) == [number for number in range(20) for _ in range(2)]


def variables_of_one_hash() -> tuple[ContextVar[Any], ContextVar[Any]]:
    """Return two variables that the tree cannot tell apart by their hashes."""
    known: dict[int, ContextVar[Any]] = {}
    for number in range(1_000_000):
        variable: ContextVar[Any] = contextvars.ContextVar(f"structlog_{number}", default=...)
        # Source: hamt_hash() of CPython's hamt.c.
        folded = (hash(variable) ^ hash(variable) >> 32) & 0xFFFFFFFF
        former = known.setdefault(folded, variable)
        if former is not variable:
            return former, variable
    pytest.skip("no two variables have one hash here")


def below(branches: list[Any]) -> Iterator[Any]:
    """Iterate over the branches of a tree."""
    for branch in branches:
        if type(branch).__name__.startswith("hamt"):
            yield branch
            yield from below(gc.get_referents(branch))
