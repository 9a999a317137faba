from __future__ import annotations

from typing import Any

from mozlog_py._process.memo import LONGEST, is_short, remember


class TestMemo:
    def test_memo_keeps_what_is_known_of_short_names(self) -> None:
        memo: dict[Any, Any] = {}
        for key in ("a", b"b", 3, ("c", 4), "x" * LONGEST, -1, 2**64):
            remember(memo, key, True, 100)
            assert memo[key] is True

    def test_memo_keeps_no_long_names(self) -> None:
        memo: dict[Any, Any] = {}
        for key in (
            "x" * (LONGEST + 1),
            b"x" * 200,
            ("x" * 100, "y" * 100),
            ("",) * 200,
            1 << 9999,
        ):
            remember(memo, key, True, 100)
        assert memo == {}
        assert not is_short("x" * 200)
        assert is_short("x" * 200, 200)

    def test_memo_begins_anew_when_it_is_full(self) -> None:
        memo: dict[Any, Any] = {}
        for number in range(10):
            remember(memo, number, number, 4)
            assert memo[number] == number
            assert len(memo) <= 4
        assert memo == {8: 8, 9: 9}

    def test_memo_that_is_full_takes_a_new_value_of_a_name_that_it_has(self) -> None:
        memo: dict[Any, Any] = {}
        for value in (1, 2):
            for name in ("a", "b"):
                remember(memo, name, value, 2)
        assert memo == {"a": 2, "b": 2}
