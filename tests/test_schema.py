"""schema.validate: each thing that can be wrong with a line has its path and sentence."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mozlog_py import schema

GOOD = {
    "Timestamp": 1,
    "Type": "t",
    "Logger": "l",
    "Hostname": "h",
    "EnvVersion": "2.0",
    "Severity": 6,
    "Pid": 1,
    "Fields": {"msg": "hi"},
}


def line(**changes: Any) -> str:
    return json.dumps({**GOOD, **changes})


class TestValidLines:
    @pytest.mark.parametrize(
        "changes",
        [{}, {"Fields": {}}, {"Fields": {"a": {"b": [None]}}}, {"severity": "INFO"}, {"Pid": 0}],
    )
    def test_valid_lines_have_no_problems(self, changes: dict[str, Any]) -> None:
        assert schema.validate(line(**changes)) == []
        assert schema.validate(line(**changes).encode() + b"\n") == []

    def test_valid_lines_need_no_more_than_a_time(self) -> None:
        assert schema.validate('{"Timestamp":0}') == []

    @pytest.mark.parametrize(
        "value",
        ["s", 1, 1.5, True, ["a"], [1, 2.5], [True], {"value": [1], "representation": "B"}],
    )
    def test_valid_lines_of_the_strict_kind_have_flat_fields(self, value: Any) -> None:
        assert schema.validate(line(Fields={"a": value}), strict=True) == []


class TestProblems:
    @pytest.mark.parametrize(
        ("changes", "path", "sentence"),
        [
            (
                {"Timestamp": 1.5},
                "$.Timestamp",
                "The value is the number 1.5; it must be an integer.",
            ),
            ({"Timestamp": "1"}, "$.Timestamp", "The value is a string; it must be an integer."),
            ({"Timestamp": True}, "$.Timestamp", "The value is a boolean; it must be an integer."),
            ({"Timestamp": -1}, "$.Timestamp", "The value is -1; it must be 0 or more."),
            ({"Severity": 8}, "$.Severity", "The value is 8; it must be from 0 to 7."),
            ({"Pid": None}, "$.Pid", "The value is null; it must be an integer."),
            ({"Type": 1}, "$.Type", "The value is the number 1; it must be a string."),
            ({"Logger": []}, "$.Logger", "The value is an array; it must be a string."),
            ({"Hostname": {}}, "$.Hostname", "The value is an object; it must be a string."),
            ({"EnvVersion": "two"}, "$.EnvVersion", 'The value is no version such as "2.0".'),
            ({"Fields": [1]}, "$.Fields", "The value is an array; it must be an object."),
            (
                {"Fields": {"a": None}},
                "$.Fields.a",
                "The value is null; a field without a value must be left out.",
            ),
        ],
    )
    def test_name_the_place_and_the_trouble(
        self, changes: dict[str, Any], path: str, sentence: str
    ) -> None:
        (problem,) = schema.validate(line(**changes))
        assert problem == schema.Problem(path, sentence)
        assert str(problem) == f"{path}: {sentence}"

    @pytest.mark.parametrize(
        ("fields", "path", "start"),
        [
            ({}, "$.Fields", "There is no field"),
            ({"a": []}, "$.Fields.a", "The array is empty"),
            ({"a": [1, "x"]}, "$.Fields.a", "The array mixes types"),
            ({"a": [1, True]}, "$.Fields.a", "The array mixes types"),
            ({"a": [None]}, "$.Fields.a", "The array holds what is no string"),
            ({"a": [{}]}, "$.Fields.a", "The array holds what is no string"),
            ({"a": {"b": 1}}, "$.Fields.a", "The value is an object without exactly"),
            ({"a": {"value": 1, "representation": 2}}, "$.Fields.a.representation", "The value"),
            ({"a": {"value": None, "representation": ""}}, "$.Fields.a.value", "The value is null"),
            ({"a": {"value": [], "representation": ""}}, "$.Fields.a.value", "The array is empty"),
        ],
    )
    def test_problems_of_strict_lines_are_found_too(
        self, fields: Any, path: str, start: str
    ) -> None:
        (problem,) = schema.validate(line(Fields=fields), strict=True)
        assert problem.path == path
        assert problem.message.startswith(start)
        assert schema.validate(line(Fields=fields)) == []

    @pytest.mark.parametrize(
        ("text", "start"),
        [
            (b"\xff", "The line is not UTF-8"),
            ("", "The line is not JSON"),
            ("[" * 100_000, "The line is not JSON"),
            ('{"Timestamp":NaN}', "The line is not JSON: NaN is no JSON number"),
            ("[]", "The line is not a JSON object"),
            ('{"Timestamp":1}\n\n', "The line holds the control character U+000A"),
            ('{"Timestamp":1,"Type":"\x9b"}', "The line holds the control character U+009B"),
            ('{"Timestamp":1,"Type":"\u2028"}', "The line holds the control character U+2028"),
        ],
    )
    def test_problems_of_the_line_itself_come_first(self, text: Any, start: str) -> None:
        (problem,) = schema.validate(text)
        assert problem.path == "$"
        assert problem.message.startswith(start)

    def test_problems_of_a_missing_time_is_found(self) -> None:
        (problem,) = schema.validate("{}")
        assert problem.path == "$.Timestamp"

    def test_problems_of_a_doubled_key_is_found_at_any_depth(self) -> None:
        text = '{"Timestamp":1,"Fields":{"a":[{"b":1,"b":2}]},"Timestamp":2}'
        paths = {problem.path for problem in schema.validate(text)}
        assert paths == {"$.Timestamp", "$.Fields.a[0].b"}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 9)
    | st.floats(allow_nan=False)
    | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["value", "representation", "a"]), inner, max_size=3)
    ),
    max_leaves=6,
)
LINES = st.dictionaries(
    st.sampled_from([*GOOD, "other"]), JSON | st.sampled_from(list(GOOD.values())), max_size=9
)


class TestSchemaFiles:
    @given(LINES)
    def test_schema_files_say_the_same_as_validate(self, document: dict[str, Any]) -> None:
        text = json.dumps(document)
        loose = jsonschema.Draft202012Validator(schema.load())
        strict = jsonschema.Draft202012Validator(schema.load(strict=True))
        assert (schema.validate(text) == []) == loose.is_valid(document)
        both = loose.is_valid(document) and strict.is_valid(document)
        assert (schema.validate(text, strict=True) == []) == both

    @pytest.mark.parametrize("strict", [False, True])
    def test_schema_files_are_json_schemas(self, strict: bool) -> None:
        jsonschema.Draft202012Validator.check_schema(schema.load(strict=strict))
