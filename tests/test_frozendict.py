"""``frozendict``, which is built in since Python 3.15, is a mapping wherever a dict is one."""

from __future__ import annotations

import builtins
import io
import json
import logging
import sys
from collections.abc import Mapping
from typing import Any

import pytest
import structlog

from mozlog_py import MozlogFormatter
from mozlog_py._values.dict_items import thawed
from mozlog_py.processors import CapLengths, Redact, StaticFields, drop_none, flatten
from mozlog_py.sink import Sink
from mozlog_py.structlog import FastBoundLogger, MozlogRenderer, SinkLoggerFactory

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 15), reason="frozendict came with Python 3.15"
)


def frozen(*args: Any, **members: Any) -> Any:
    return vars(builtins)["frozendict"](*args, **members)


def of_record(msg: Any, formatter: Any = None, **extra: Any) -> Any:
    record = logging.makeLogRecord({"msg": msg, **extra})
    return json.loads((formatter or MozlogFormatter()).format(record))["Fields"]


def of_event(event: Any, *processors: Any, **fields: Any) -> Any:
    stream = io.StringIO()
    logger = FastBoundLogger.at("info")(
        SinkLoggerFactory(Sink(stream))("shop"), [*processors, MozlogRenderer()], {}
    )
    logger.info(event, **fields)
    return json.loads(stream.getvalue())["Fields"]


NESTED: dict[str, Any] = {"a": 1, "b": {"password": "tulip", "c": None}, "d": [1]}


def nested() -> Any:
    return frozen(a=1, b=frozen(password="tulip", c=None), d=[1])


class TestMessage:
    @pytest.mark.parametrize("log", [of_record, of_event])
    def test_message_has_its_members_as_fields(self, log: Any) -> None:
        assert log(frozen(a=1, b="x")) == {"a": 1, "b": "x"}

    def test_message_has_no_credentials_in_either_case(self) -> None:
        formatter = MozlogFormatter(processors=[Redact()])
        expected = {"a": 1, "b": {"password": "[redacted]", "c": None}, "d": [1]}
        assert of_record(nested(), formatter) == of_record(NESTED, formatter) == expected
        assert of_event(nested(), Redact()) == of_event(NESTED, Redact()) == expected

    def test_message_takes_it_as_named_arguments(self) -> None:
        record = logging.LogRecord("a", 20, "", 0, "%(a)s", (frozen(a=1),), None)
        assert json.loads(MozlogFormatter().format(record))["Fields"] == {"msg": "1"}


class TestValue:
    @pytest.mark.parametrize("log", [of_record, of_event])
    def test_value_is_an_object(self, log: Any) -> None:
        assert log("hi", value=nested()) == log("hi", value=NESTED)

    def test_value_is_not_passed_to_json_default(self) -> None:
        formatter = MozlogFormatter(json_default=lambda value: "other")
        assert of_record("hi", formatter, value=nested()) == {"value": NESTED, "msg": "hi"}

    def test_value_of_a_subclass_is_an_object(self) -> None:
        kind: Any = type("Settings", (vars(builtins)["frozendict"],), {})
        assert of_record("hi", value=kind(a=1)) == {"value": {"a": 1}, "msg": "hi"}

    def test_value_in_a_set_is_shown_as_a_dict(self) -> None:
        assert of_record("hi", value={frozen(a=1)}) == {"value": "{{'a': 1}}", "msg": "hi"}

    def test_value_is_bounded_as_a_dict(self) -> None:
        many = {f"k{number}": number for number in range(2000)}
        assert of_record("hi", value=frozen(many)) == of_record("hi", value=many)

    @pytest.mark.parametrize(
        "processor",
        [flatten, drop_none, CapLengths(3), Redact(), Redact(values=["tulip-2026"])],
        ids=lambda each: getattr(each, "__name__", type(each).__name__),
    )
    def test_value_passes_through_processors_as_a_dict(self, processor: Any) -> None:
        def read(value: Any) -> Any:
            text = {"text": "a tulip-2026", "in": value}
            return json.loads(json.dumps(processor(None, "info", {"event": "hi", **text})))

        assert read(nested()) == read(NESTED)

    @pytest.mark.parametrize("values", [(), ("tulip-2026",)])
    def test_value_has_no_credentials_in_a_line(self, values: Any) -> None:
        hidden = {"password": "tulip-2026", "x": "tulip-2026" if values else ""}
        fields = of_event("hi", Redact(values=values), value=frozen(hidden), many=[frozen(hidden)])
        assert "tulip" not in str(fields)
        assert fields["value"]["password"] == "[redacted]"


class Returned:
    """A processor that returns a frozen event dict."""

    def __call__(self, _: Any, __: str, event_dict: dict[str, Any]) -> Any:
        return frozen(event_dict)


class TestReturnedByAHook:
    def test_returned_by_a_hook_of_a_chain_is_the_event(self) -> None:
        fields = of_event("hi", Returned(), StaticFields(env="prod"), a=1)
        assert fields == {"env": "prod", "a": 1, "msg": "hi"}

    def test_returned_by_a_hook_of_a_formatter_is_the_event(self) -> None:
        formatter = MozlogFormatter(processors=[Returned()])
        assert of_record("hi", formatter, a=1) == {"a": 1, "msg": "hi"}

    def test_returned_by_a_hook_of_a_subclass_is_the_line(self) -> None:
        class Formatter(MozlogFormatter):
            def convert_record(self, record: Any) -> Any:
                line = super().convert_record(record)
                return frozen(line, Fields=frozen(line["Fields"], b=2))

            def process_log_record(self, log_data: Any) -> Any:
                return frozen(log_data, c=3)

        assert of_record("hi", Formatter(), a=1) == {"a": 1, "msg": "hi", "c": 3, "b": 2}
        redacting = Formatter(processors=[Redact(["c"])])
        assert of_record("hi", redacting, a=1) == {"a": 1, "msg": "hi", "c": "[redacted]", "b": 2}

    def test_returned_by_a_hook_at_the_end_of_a_chain_has_the_keyword_arguments(self) -> None:
        seen: list[Mapping[str, Any]] = []

        class Logger:
            def info(self, **fields: Any) -> None:
                seen.append(fields)

        FastBoundLogger.at("info")(Logger(), [Returned()], {}).info("hi", a=1)
        assert seen == [{"a": 1, "event": "hi"}]


class TestOptions:
    def test_options_may_be_frozen(self) -> None:
        formatter = MozlogFormatter(
            static_fields=frozen(env="prod"), rename_fields=frozen(a="b"), processors=[]
        )
        assert of_record("hi", formatter, a=1) == {"env": "prod", "b": 1, "msg": "hi"}

    def test_extra_may_be_frozen(self) -> None:
        import mozlog_py

        stream = io.StringIO()
        try:
            mozlog_py.configure("shop", stream=stream)
            logging.getLogger("shop").info("hi", extra=frozen(a=1, name="x"))
        finally:
            structlog.reset_defaults()
        fields = json.loads(stream.getvalue())["Fields"]
        assert fields == {"a": 1, "extra.name": "x", "msg": "hi"}


def test_other_values_are_returned_unchanged() -> None:
    for value in ({"a": 1}, [1], "a", None):
        assert thawed(value) is value
