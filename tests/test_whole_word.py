"""A word is found in a text only where it is not a part of a longer word."""

from __future__ import annotations

import pytest

from mozlog_py._values.whole_word import has_word


class TestHasWord:
    @pytest.mark.parametrize(
        "text",
        ["id", "an id", "id=7", "Error('id')", "a wide id", "(id)", "x-id", "grid, id"],
    )
    def test_word_is_found_between_other_characters(self, text: str) -> None:
        assert has_word(text, "id")

    @pytest.mark.parametrize("text", ["", "grid", "idle", "user_id", "id_of", "id7", "äid", "Id"])
    def test_part_of_a_longer_word_is_not_found(self, text: str) -> None:
        assert not has_word(text, "id")

    @pytest.mark.parametrize(
        ("text", "word"), [("a--b", "-"), ("a (b) c", "(b)"), ("x(b)y", "(b)"), ("'a b'", "a b")]
    )
    def test_word_that_ends_with_another_character_has_no_longer_one(
        self, text: str, word: str
    ) -> None:
        assert has_word(text, word)
