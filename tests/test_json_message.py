"""Messages that are JSON text: the bounds within which they are parsed, and what Redact does."""

from __future__ import annotations

import io
import json
import logging
import random
from typing import Any

import pytest
import structlog

from mozlog_py import MozlogFormatter
from mozlog_py._fields.json_message import (
    MAX_JSON_CHARACTERS,
    MAX_JSON_DEPTH,
    exceeds_bounds,
    json_object,
    masked_json,
)
from mozlog_py._values.sanitiser import MAX_DEPTH, MAX_ITEMS
from mozlog_py.processors import Redact, flatten
from mozlog_py.sink import Sink
from mozlog_py.structlog import FastBoundLogger, MozlogRenderer, SinkLoggerFactory


def by_formatter(message: str, *chain: Any) -> dict[str, Any]:
    record = logging.LogRecord("app", 20, "", 1, message, None, None)
    return json.loads(MozlogFormatter(processors=chain).format(record))["Fields"]


def by_chain(message: str, *chain: Any) -> dict[str, Any]:
    line = MozlogRenderer("shop", output="text")
    stream = io.StringIO()
    log = structlog.wrap_logger(structlog.PrintLogger(stream), processors=[*chain, line])
    log.info(message)
    return json.loads(stream.getvalue())["Fields"]


def by_fast_logger(message: str, *chain: Any) -> dict[str, Any]:
    stream = io.StringIO()
    factory = SinkLoggerFactory(Sink(stream, max_line_bytes=0))
    chain = (*chain, MozlogRenderer("shop"))
    FastBoundLogger.at(1)(factory("app"), [*chain], {}).info(message)
    return json.loads(stream.getvalue())["Fields"]


FRONTS = pytest.mark.parametrize("front", [by_formatter, by_chain, by_fast_logger])


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


def with_length(characters: int) -> str:
    frame = json.dumps({"a": ""})
    return json.dumps({"a": "x" * (characters - len(frame))})


class TestBounds:
    @FRONTS
    def test_bounds_of_the_depth_is_that_of_a_line(self, front: Any) -> None:
        assert MAX_JSON_DEPTH == MAX_DEPTH + 1
        fields = front(nested(MAX_JSON_DEPTH))
        assert [*fields] == ["a"]
        assert "max depth" not in json.dumps(fields)
        deeper = nested(MAX_JSON_DEPTH + 1)
        assert front(deeper) == {"msg": deeper}

    @FRONTS
    def test_bounds_of_the_length_is_exact(self, front: Any) -> None:
        assert [*front(with_length(MAX_JSON_CHARACTERS))] == ["a"]
        longer = with_length(MAX_JSON_CHARACTERS + 1)
        assert front(longer) == {"msg": longer}

    @FRONTS
    def test_bounds_of_the_members_is_that_of_a_line(self, front: Any) -> None:
        text = json.dumps(dict.fromkeys(map(str, range(MAX_ITEMS)), 1))
        assert len(front(text)) == MAX_ITEMS
        wider = json.dumps(dict.fromkeys(map(str, range(MAX_ITEMS + 1)), 1))
        assert front(wider) == {"msg": wider}

    def test_bounds_of_the_depth_counts_no_brackets_of_texts(self) -> None:
        for text in ("[{" * 50, '\\"[' * 50, "\\" * 50, '"{"' * 50):
            assert json_object(json.dumps({"a": text, "b": [text]})) == {"a": text, "b": [text]}

    def test_bounds_of_the_depth_counts_no_neighbours(self) -> None:
        value = {"a": [{"b": [n, {}]} for n in range(500)], "c": [[]] * 300}
        assert json_object(json.dumps(value)) == value

    @pytest.mark.slow
    def test_bounds_of_the_depth_is_what_the_text_has(self) -> None:
        source = random.Random(7)

        def made(depth: int) -> Any:
            if depth <= 0 or source.random() < 0.2:
                return source.choice([1, "x", "[{", '\\"}', "}]", 'é"', None])
            members = [made(depth - 1) for _ in range(source.randrange(4))]
            if source.random() < 0.5:
                return members
            return {f'{source.choice("ab[{")}{n}"': each for n, each in enumerate(members)}

        def depth_of(value: Any) -> int:
            if not isinstance(value, (dict, list)):
                return 0
            members = value.values() if isinstance(value, dict) else value
            return 1 + max(map(depth_of, members), default=0)

        seen = set()
        for _ in range(1500):
            value = {"a": made(source.randrange(26))}
            text = json.dumps(value)
            if len(text) <= MAX_JSON_CHARACTERS:
                seen.add(is_deep := depth_of(value) > MAX_JSON_DEPTH)
                assert exceeds_bounds(text) == is_deep, text
        assert seen == {True, False}

    @pytest.mark.parametrize("text", ["{" * 60_000 + "}", '{"a":' + "[" * 60_000 + "}", "{]" * 30])
    def test_bounds_keep_what_is_not_closed_from_the_parser(
        self, text: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mozlog_py._fields.json_message.loads", None)
        monkeypatch.setattr("mozlog_py._fields.json_message.json", None)
        assert json_object(text) is None

    def test_bounds_leave_a_message_that_is_no_json_unread(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_: str) -> None:
            raise AssertionError("it was looked at")

        monkeypatch.setattr("mozlog_py._render.plain_record.json_object", fail)
        for message in ("paid", "x" * 100_000, "[1]", "{x", "~{}"):
            assert by_formatter(message) == {"msg": message}

    def test_bounds_hold_for_members_that_collide(self) -> None:
        text = json.dumps({"a.b": 1, "a": {"b": 2}, "a.b_2": 3})
        fields = by_formatter(text, flatten)
        assert fields == {"a.b": 1, "a.b_2": 2, "a.b_2_2": 3}


class TestRedact:
    @FRONTS
    @pytest.mark.parametrize(
        "text",
        [
            '{"user":"ann","password":"tulip","a":' + nested(20) + "}",
            json.dumps({"user": "ann", "password": "tulip", "more": "x" * MAX_JSON_CHARACTERS}),
            json.dumps({"user": "ann", "list": [["password", "tulip"]] * 5000}),
        ],
        ids=["deep", "long", "long, pairs"],
    )
    def test_redact_hides_credentials_in_a_text_beyond_the_bounds(
        self, front: Any, text: str
    ) -> None:
        assert exceeds_bounds(text)
        said = front(text, Redact())["msg"]
        assert "tulip" not in said
        assert "ann" in said
        assert "[redacted]" in said

    def test_redact_shows_no_more_of_a_long_text_than_it_has_searched(self) -> None:
        text = json.dumps({"more": "x" * MAX_JSON_CHARACTERS, "password": "tulip"})
        said = by_formatter(text, Redact())["msg"]
        assert said == f"{text[:MAX_JSON_CHARACTERS]}... <truncated, {len(text)} characters>"

    def test_redact_leaves_a_text_that_has_none(self) -> None:
        text = nested(20)
        assert by_formatter(text, Redact()) == {"msg": text}

    @FRONTS
    def test_redact_hides_credentials_of_a_text_with_too_many_members(self, front: Any) -> None:
        members = {f"n{number}": number for number in range(MAX_ITEMS + 5)}
        said = json.dumps(front(json.dumps({"password": "tulip", **members}), Redact()))
        assert "tulip" not in said
        assert "[redacted]" in said
        assert "<7 more items>" in said

    def test_redact_hides_the_message_where_convert_record_raises(self) -> None:
        class Raising(MozlogFormatter):
            def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
                raise LookupError

        record = logging.LogRecord("app", 20, "", 1, nested(30), None, None)
        line = json.loads(Raising(processors=[Redact()]).format(record))
        assert "msg" not in line["Fields"]


class TestMaskedJSON:
    @pytest.mark.parametrize(
        ("text", "masked"),
        [
            ('{"a":1,"password":"x\\"y","b":2}', '{"a":1,"password":"*","b":2}'),
            ('{"password": {"a":[1,{"b":2}]},"c":1}', '{"password":"*","c":1}'),
            ('{"password":[[1],[2]],"c":1}', '{"password":"*","c":1}'),
            ('{"password":true}', '{"password":"*"}'),
            ('{"password":-1.5e3 , "c":1}', '{"password":"*" , "c":1}'),
            ('{"password":null,"d":1}', '{"password":null,"d":1}'),
            ('{"h":[["password", "x"],["a","b"]]}', '{"h":[["password","*"],["a","b"]]}'),
            ('{"pass\\u0077ord":12}', '{"pass\\u0077ord":"*"}'),
            ('{"a":"password","b":"password: x"}', '{"a":"password","b":"password: x"}'),
            ('{"a":["b","password"]}', '{"a":["b","password"]}'),
            ('{"password":', '{"password":"*"'),
            ('{"password":"abc', '{"password":"*"'),
            ('{"password":[1,2', '{"password":"*"'),
            ('{"password":}', '{"password":"*"}'),
            ('{"password":"x","password":"y"}', '{"password":"*","password":"*"}'),
        ],
    )
    def test_masked_json_has_no_value_of_a_secret_name(self, text: str, masked: str) -> None:
        assert masked_json(text, "password".__eq__, "*") == masked
