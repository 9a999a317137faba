from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mozlog_py._line.json_encoder import dumps
from mozlog_py._values.flatten import flattened
from mozlog_py._values.sanitiser import Sanitiser

PROPERTY = settings(deadline=None, database=None)


def is_scalar(value: Any) -> bool:
    return type(value) in (str, int, float, bool)


def is_array(value: Any) -> bool:
    if type(value) is not list or not value:
        return False
    if type(value[0]) in (int, float):
        return all(type(item) in (int, float) for item in value)
    return type(value[0]) in (str, bool) and {*map(type, value)} == {type(value[0])}


def is_machine_value(value: Any) -> bool:
    """Return whether the machine schema allows a value, without asking the schema."""
    if type(value) is dict:
        return (
            value.keys() == {"value", "representation"}
            and type(value["representation"]) is str
            and (is_scalar(value["value"]) or is_array(value["value"]))
        )
    return is_scalar(value) or is_array(value)


def flat(fields: dict[str, Any]) -> dict[str, Any]:
    machine = flattened(fields, dumps)
    assert machine
    assert all(map(is_machine_value, machine.values()))
    return machine


class TestScalars:
    def test_scalars_stay_as_they_are_and_in_their_order(self) -> None:
        fields = {"s": "", "i": 0, "f": 1.5, "b": False}
        assert list(flat(fields).items()) == list(fields.items())

    def test_scalars_that_are_none_are_left_out(self) -> None:
        assert flat({"a": None, "b": 1}) == {"b": 1}


class TestEmptyFields:
    @pytest.mark.parametrize("fields", [{}, {"a": None}])
    def test_empty_fields_get_a_msg(self, fields: dict[str, Any]) -> None:
        assert flat(fields) == {"msg": ""}


class TestNestedObjects:
    def test_nested_objects_become_dotted_keys(self) -> None:
        assert flat({"a": {"b": 1, "c": {"d": "x"}}, "e": 2}) == {"a.b": 1, "a.c.d": "x", "e": 2}

    def test_nested_objects_leave_out_what_is_none_within(self) -> None:
        assert flat({"a": {"b": None, "c": 1}}) == {"a.c": 1}

    @pytest.mark.parametrize(("value", "text"), [({}, "{}"), ({"b": None}, '{"b":null}')])
    def test_nested_objects_that_hold_nothing_become_json(self, value: Any, text: str) -> None:
        assert flat({"a": value}) == {"a": text}
        assert flat({"z": {"a": value}}) == {"z.a": text}

    def test_nested_objects_whose_keys_are_empty_are_dotted_all_the_same(self) -> None:
        assert flat({"": {"": 1}}) == {".": 1}

    def test_nested_objects_as_deep_as_fields_go_are_flattened(self) -> None:
        value: Any = "innermost"
        for _ in range(17):
            value = {"a": value}
        assert flat(value) == {".".join("a" * 17): "innermost"}


class TestArrays:
    @pytest.mark.parametrize("array", [["a", ""], [1], [1, 2.5], [True, False]])
    def test_arrays_of_one_kind_stay_as_they_are(self, array: list[Any]) -> None:
        assert flat({"a": array}) == {"a": array}

    @pytest.mark.parametrize(
        ("array", "text"),
        [
            ([], "[]"),
            ([1, "a"], '[1,"a"]'),
            ([1, True], "[1,true]"),
            ([None], "[null]"),
            (["a", None], '["a",null]'),
            ([["a"]], '[["a"]]'),
            ([{"a": 1}], '[{"a":1}]'),
            ([{"a": 1}, {"b": []}], '[{"a":1},{"b":[]}]'),
            (["Grüße", 1], '["Grüße",1]'),
        ],
    )
    def test_arrays_that_are_empty_mixed_or_nested_become_json(self, array: Any, text: str) -> None:
        assert flat({"a": array}) == {"a": text}
        assert flat({"z": {"a": array}}) == {"z.a": text}


class TestRepresentedValues:
    @pytest.mark.parametrize("value", ["x", 1, 1.5, True, [1, 2], ["a"]])
    def test_represented_values_stay_as_they_are(self, value: Any) -> None:
        represented = {"value": value, "representation": "text"}
        assert flat({"a": represented}) == {"a": represented}
        assert flat({"z": {"a": represented}}) == {"z.a": represented}

    @pytest.mark.parametrize("value", [[], [1, "a"]])
    def test_represented_values_of_what_cannot_be_one_are_plain_objects(self, value: Any) -> None:
        assert flat({"a": {"value": value, "representation": "text"}}) == {
            "a.value": json.dumps(value, separators=(",", ":")),
            "a.representation": "text",
        }

    def test_represented_values_of_none_or_an_object_are_plain_objects(self) -> None:
        assert flat({"a": {"value": None, "representation": "x"}}) == {"a.representation": "x"}
        assert flat({"a": {"value": {"b": 1}, "representation": "x"}}) == {
            "a.value.b": 1,
            "a.representation": "x",
        }

    def test_represented_values_whose_representation_is_no_text_are_plain_objects(self) -> None:
        assert flat({"a": {"value": 1, "representation": 2}}) == {
            "a.value": 1,
            "a.representation": 2,
        }

    def test_represented_values_with_a_third_member_are_plain_objects(self) -> None:
        assert flat({"a": {"value": 1, "representation": "x", "unit": "s"}}) == {
            "a.value": 1,
            "a.representation": "x",
            "a.unit": "s",
        }


class TestKeysThatBecomeTheSame:
    def test_keys_that_become_the_same_get_a_number_in_their_order(self) -> None:
        assert flat({"a": {"b": 1}, "a.b": 2}) == {"a.b": 1, "a.b_2": 2}
        assert flat({"a.b": 2, "a": {"b": 1}}) == {"a.b": 2, "a.b_2": 1}

    def test_keys_that_become_the_same_get_another_where_the_numbered_one_is_taken(self) -> None:
        assert flat({"a.b_2": 0, "a.b": 1, "a": {"b": 2}}) == {"a.b_2": 0, "a.b": 1, "a.b_3": 2}
        assert flat({"a.b": 1, "a": {"b": 2}, "a.b_2": 3}) == {
            "a.b": 1,
            "a.b_2": 2,
            "a.b_2_2": 3,
        }


plain = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
    ),
    lambda inner: st.one_of(
        st.lists(inner),
        st.dictionaries(st.sampled_from(["a", "b", "a.b", "a_2", "value", ""]), inner),
        st.fixed_dictionaries({"value": inner, "representation": inner}),
    ),
    max_leaves=15,
)


class TestAnyPlainFields:
    @PROPERTY
    @given(st.dictionaries(st.text(), plain))
    def test_any_plain_fields_satisfy_the_machine_schema_and_are_not_changed(
        self, fields: dict[str, Any]
    ) -> None:
        # Fields come from the sanitiser, which knows no lone surrogates.
        cleaned = Sanitiser().fields(fields)
        before = copy.deepcopy(cleaned)
        flat(cleaned)
        assert cleaned == before

    @PROPERTY
    @given(st.dictionaries(st.sampled_from(["a", "b", "a.b", "a.b_2"]), plain))
    def test_any_plain_fields_keep_every_value_that_is_not_none(
        self, fields: dict[str, Any]
    ) -> None:
        def leaves(value: Any) -> int:
            if type(value) is not dict or is_machine_value(value):
                return value is not None
            return sum(map(leaves, value.values())) or 1

        count = sum(map(leaves, fields.values()))
        assert len(flat(fields)) == max(count, 1)
