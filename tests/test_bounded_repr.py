"""The repr of an exception begins as Python's, and costs no more than what is shown of it."""

from __future__ import annotations

import builtins
import sys
import tracemalloc
from typing import Any

import pytest

from mozlog_py._values.bounded_repr import bounded_repr
from mozlog_py._values.sanitiser import MAX_REPR, Sanitiser

MANY = 1_000_000
WHOLE = 40_960
GROUP: Any = getattr(builtins, "ExceptionGroup", None)

needs_groups = pytest.mark.skipif(GROUP is None, reason="Python 3.10 has no exception groups")


class Shop(Exception):
    pass


class Own(Exception):
    def __repr__(self) -> str:
        return f"<Own {'y' * 50_000}>"


@pytest.mark.parametrize(
    "value",
    [
        "text", "x" * WHOLE, b"bytes", 5, None, {"a": "x" * MANY}, ["x" * MANY],
        ValueError(), ValueError("text"), ValueError("a", 2, b"c"), Shop("it's", None),
        KeyError("name"), OSError(2, "no such file", "x.txt"), Own("x" * MANY),
        ValueError(["x" * MANY]), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_bounded_repr_of_what_has_no_long_text_is_python_s(value: object) -> None:
    assert bounded_repr(value) == (repr(value), 0)


@pytest.mark.parametrize(
    "value",
    [
        "x" * MANY, b"\xff" * MANY, "\udcff" * MANY, ValueError("\udcff" * MANY),
        Shop("a", "x" * MANY, 3), KeyError("é" * MANY),
        UnicodeDecodeError("utf-8", b"\xff" * MANY, 0, 1, "invalid"),
    ],
    ids=lambda value: f"{type(value).__name__} {repr(value)[:16]}",
)  # fmt: skip
def test_bounded_repr_of_a_long_text_has_its_start_and_its_size(value: object) -> None:
    text, left_out = bounded_repr(value)
    assert text[:WHOLE] == repr(value)[:WHOLE]
    assert left_out == MANY - WHOLE
    tracemalloc.start()
    try:
        shown = Sanitiser().repr(value)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MANY
    assert shown.startswith(Sanitiser().text(repr(value)[:MAX_REPR])[:MAX_REPR])
    assert shown.endswith(f"... <truncated, {len(text) + left_out} characters>")


@needs_groups
@pytest.mark.parametrize("members", [list, tuple])
@pytest.mark.parametrize("count", [1, 2, 3000])
def test_bounded_repr_of_a_group_cuts_the_texts_of_its_members(members: Any, count: int) -> None:
    short = GROUP("g", members([ValueError("x") for _ in range(count)]))
    assert bounded_repr(short) == (repr(short), 0)
    long = GROUP("g", members([ValueError("x" * MANY), *[KeyError("y")] * (count - 1)]))
    text, left_out = bounded_repr(long)
    assert text[:WHOLE] == repr(long)[:WHOLE]
    assert left_out == MANY - WHOLE
    nested = GROUP("outer", members([Shop("first"), long]))
    text, left_out = bounded_repr(nested)
    assert text[:WHOLE] == repr(nested)[:WHOLE]
    assert left_out == MANY - WHOLE


@needs_groups
def test_bounded_repr_of_a_group_that_holds_itself_ends() -> None:
    members: list[Any] = [ValueError("x" * MANY)]
    group = GROUP("g", members)
    members.insert(0, group)
    assert bounded_repr(group)[0].startswith("ExceptionGroup('g', [")


def test_bounded_repr_raises_what_the_value_raises() -> None:
    class Raises(Exception):
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

    with pytest.raises(RuntimeError, match="no repr"):
        bounded_repr(Raises("x" * MANY))
    assert Sanitiser().repr(Raises("x")) == "<unprintable Raises: RuntimeError>"


@needs_groups
def test_bounded_repr_of_a_group_that_often_holds_itself_ends() -> None:
    members: list[Any] = [ValueError("x" * MANY)]
    group = GROUP("g", members)
    members[:0] = [group] * 500
    assert bounded_repr(group)[0].startswith("ExceptionGroup('g', [")


def test_bounded_repr_is_that_of_a_class_whose_method_passes_for_pythons() -> None:
    class Liar:
        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 0

        def __get__(self, *_: Any) -> Any:
            return lambda: "its own"

    class Odd(Exception):
        __repr__ = Liar()  # type: ignore[assignment]

    assert bounded_repr(Odd("x" * MANY)) == ("its own", 0)


@needs_groups
def test_bounded_repr_looks_at_a_thousand_members_of_a_group_at_most() -> None:
    class Quiet(GROUP):  # type: ignore[misc]
        def __repr__(self) -> str:
            return "quiet"

    group = Quiet("many", [ValueError(str(number)) for number in range(5000)])
    looked_at = 0

    def count(frame: Any, event: str, _: Any) -> None:
        nonlocal looked_at
        looked_at += event == "call" and frame.f_code.co_name == "_is_long_member"

    sys.setprofile(count)
    try:
        shown = bounded_repr(group)
    finally:
        sys.setprofile(None)
    assert shown == ("quiet", 0)
    assert 0 < looked_at <= 1000
