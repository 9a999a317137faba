"""Template strings as messages: the text, the fields, clashes, hostile values and redaction."""

from __future__ import annotations

import copy
import io
import json
import logging
import pickle
import sys
from collections.abc import Callable
from typing import Any

import pytest
import structlog
from template_strings import IS_REAL, template

from mozlog_py import MozlogFormatter, MozlogHandler, context
from mozlog_py._fields.template_message import Template, TemplateMessage, read_template
from mozlog_py._values.sanitiser import Sanitiser
from mozlog_py.processors import CapLengths, Redact
from mozlog_py.queued import MozlogQueueHandler
from mozlog_py.sink import Sink
from mozlog_py.structlog import FastBoundLogger, MozlogRenderer, SinkLoggerFactory

pytestmark = pytest.mark.usefixtures("untouched_process", "unconfigured_structlog")

#: Logs a template with keyword arguments as fields, and returns the Fields of the line.
Front = Callable[..., Any]


def of_handler(handler: logging.Handler, fields: dict[str, Any], call: tuple[Any, ...]) -> None:
    logger = logging.Logger("shop")
    logger.addHandler(handler)
    logger.info(*call, extra=fields)
    handler.close()


def plain_logging(*call: Any, processors: Any = (), **fields: Any) -> Any:
    stream = io.StringIO()
    handler = MozlogHandler(stream)
    handler.setFormatter(MozlogFormatter(processors=processors))
    of_handler(handler, fields, call)
    return json.loads(stream.getvalue())["Fields"]


def queued_logging(*call: Any, processors: Any = (), **fields: Any) -> Any:
    stream = io.StringIO()
    handler = MozlogQueueHandler(stream, flush_on_sigterm=False)
    handler.setFormatter(MozlogFormatter(processors=processors))
    of_handler(handler, fields, call)
    return json.loads(stream.getvalue())["Fields"]


def fast_logger(*call: Any, processors: Any = (), **fields: Any) -> Any:
    stream = io.StringIO()
    logger = FastBoundLogger.at("info")(
        SinkLoggerFactory(Sink(stream))("shop"), [*processors, MozlogRenderer()], {}
    )
    logger.info(*call, **fields)
    return json.loads(stream.getvalue())["Fields"]


def native_chain(*call: Any, processors: Any = (), **fields: Any) -> Any:
    event, *args = call
    stream = io.BytesIO()
    logger = structlog.wrap_logger(
        structlog.BytesLogger(stream),
        processors=[structlog.processors.add_log_level, *processors, MozlogRenderer()],
        wrapper_class=structlog.BoundLogger,
    )
    logger.info(event, *args, **fields)
    return json.loads(stream.getvalue())["Fields"]


def processor_formatter(*call: Any, processors: Any = (), **fields: Any) -> Any:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[*processors, MozlogRenderer(output="text")], pass_foreign_args=True
        )
    )
    of_handler(handler, fields, call)
    return json.loads(stream.getvalue())["Fields"]


FRONTS = [plain_logging, queued_logging, fast_logger, native_chain, processor_formatter]
on_all_fronts = pytest.mark.parametrize("log", FRONTS)


class Account:
    """An object with attributes for dotted names."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


@on_all_fronts
class TestMessage:
    def test_message_is_interpolated_as_in_an_f_string(self, log: Front) -> None:
        names = {"amount": 12.3456, "who": "Ada", "width": 8}
        source = "paid {amount:.2f} by {who!r:>{width}} and {who!a}, {amount=}, 100 %, {{}}"
        expected = eval(f"f{source!r}", names)
        fields = log(template(source, **names))
        assert fields == {"msg": expected, "amount": 12.3456, "who": "Ada"}

    def test_message_without_a_value_has_no_field(self, log: Front) -> None:
        assert log(template("started")) == {"msg": "started"}

    def test_message_that_is_empty_is_left_out(self, log: Front) -> None:
        assert log(template(""), size=1) == {"size": 1}

    def test_message_takes_a_template_in_it_as_its_own_text(self, log: Front) -> None:
        inner = template("{city} ({code})", city="Oslo", code=47)
        fields = log(template("to {inner}!", inner=inner))
        assert fields == {"msg": "to Oslo (47)!", "city": "Oslo", "code": 47}

    def test_message_that_looks_like_json_stays_text(self, log: Front) -> None:
        fields = log(template('{{"rid": {rid}}}', rid=7))
        assert fields == {"msg": '{"rid": 7}', "rid": 7}

    def test_message_keeps_text_that_utf8_cannot_encode_escaped(self, log: Front) -> None:
        fields = log(template("name {name}", name="a\ud800"))
        assert fields == {"msg": "name a\\ud800", "name": "a\\ud800"}


@on_all_fronts
class TestFields:
    def test_fields_have_the_names_of_identifiers_and_dotted_names(self, log: Front) -> None:
        user = Account(name="ada", team=Account(size=3))
        fields = log(template("{user.name} of { user.team.size }", user=user))
        assert fields == {"msg": "ada of 3", "user.name": "ada", "user.team.size": 3}

    def test_fields_of_other_expressions_are_numbered(self, log: Front) -> None:
        fields = log(template("{a + 1} {a} {len('four')} {None} {row['x']}", a=1, row={"x": 9}))
        assert fields == {"msg": "2 1 4 None 9", "arg0": 2, "a": 1, "arg1": 4, "arg3": 9}

    def test_fields_of_one_name_stand_once(self, log: Front) -> None:
        assert log(template("{a} {a:>3}", a=1)) == {"msg": "1   1", "a": 1}

    def test_fields_of_one_name_and_two_values_are_both_kept(self, log: Front) -> None:
        class Counter:
            count = 0

            @property
            def next(self) -> int:
                self.count += 1
                return self.count

        fields = log(template("{c.next} {c.next}", c=Counter()))
        assert fields == {"msg": "1 2", "c.next": 1, "extra.c.next": 2}

    def test_fields_that_clash_with_a_field_of_the_call_are_kept_beside_it(
        self, log: Front
    ) -> None:
        fields = log(template("paid {amount}", amount=5), amount=7)
        assert fields == {"msg": "paid 5", "amount": 7, "extra.amount": 5}

    def test_fields_that_equal_a_field_of_the_call_stand_once(self, log: Front) -> None:
        assert log(template("{amount}", amount=5), amount=5) == {"msg": "5", "amount": 5}

    def test_replace_those_of_the_context(self, log: Front) -> None:
        with context.bound(amount=7, city="Oslo"):
            fields = log(template("paid {amount}", amount=5))
        assert fields == {"amount": 5, "city": "Oslo", "msg": "paid 5"}

    def test_fields_do_not_replace_the_message(self, log: Front) -> None:
        fields = log(template("got {msg}", msg="hello"))
        assert fields == {"msg": "got hello", "extra.msg": "hello"}

    def test_fields_that_are_containers_stay_containers(self, log: Front) -> None:
        fields = log(template("{items}", items=[1, {"a": 2}]))
        assert fields == {"msg": "[1, {'a': 2}]", "items": [1, {"a": 2}]}


class TestNamesWithAMeaning:
    @pytest.mark.parametrize("log", [plain_logging, queued_logging])
    @pytest.mark.parametrize("name", ["name", "event", "level", "exc_info", "args", "process"])
    def test_names_with_a_meaning_are_fields_of_a_record(self, log: Front, name: str) -> None:
        assert log(template(f"{{{name}}}", **{name: "x"})) == {"msg": "x", name: "x"}

    @pytest.mark.parametrize("log", [fast_logger, native_chain])
    @pytest.mark.parametrize(
        "name", ["event", "exc_info", "stack_info", "_record", "logger", "positional_args"]
    )
    def test_names_with_a_meaning_of_structlog_are_kept_beside_it(
        self, log: Front, name: str
    ) -> None:
        assert log(template(f"{{{name}}}", **{name: "x"})) == {"msg": "x", f"extra.{name}": "x"}

    def test_names_with_a_meaning_of_processors_are_fields_where_no_processor_has_set_them(
        self,
    ) -> None:
        fields = fast_logger(template("{level} {timestamp}", level="high", timestamp=1))
        assert fields == {"msg": "high 1", "level": "high", "timestamp": 1}


class TestArguments:
    @pytest.mark.parametrize("log", [plain_logging, queued_logging, fast_logger])
    def test_arguments_are_for_the_texts_only(self, log: Front) -> None:
        fields = log(template("%d of {share}", share="100 %s"), 5)
        assert fields == {"msg": "5 of 100 %s", "share": "100 %s"}

    @pytest.mark.parametrize("log", [plain_logging, fast_logger])
    def test_arguments_may_be_one_mapping(self, log: Front) -> None:
        assert log(template("%(a)s {b}", b=2), {"a": 1}) == {"msg": "1 2", "b": 2}

    @pytest.mark.parametrize("log", [plain_logging, fast_logger])
    def test_arguments_that_do_not_fit_stand_behind_the_message(self, log: Front) -> None:
        fields = log(template("{b}", b="100 %"), 5)
        assert fields == {
            "msg": "100 % (5,)",
            "b": "100 %",
            "mozlog.degraded": "message and arguments do not fit",
        }


class Hostile:
    """A value whose own code raises."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __format__(self, spec: str) -> str:
        raise self.error

    def __repr__(self) -> str:
        raise self.error


#: Without ProcessorFormatter, which takes the whole ``repr`` of a message itself.
FRONTS_OF_OURS = FRONTS[:-1]


@pytest.mark.parametrize("log", FRONTS_OF_OURS)
class TestHostileValues:
    @pytest.mark.parametrize("conversion", ["", "!r", ":>5"])
    def test_hostile_values_are_named_and_the_others_stay(
        self, log: Front, conversion: str
    ) -> None:
        value = Hostile(RuntimeError("no"))
        fields = log(template(f"a {{v{conversion}}} {{b}}", v=value, b=1))
        assert fields["msg"] == "a <unprintable Hostile: RuntimeError> 1"
        assert fields["v"] == "<unprintable Hostile: RuntimeError>"
        assert (fields["b"], fields["mozlog.degraded"]) == (1, "value unprintable")

    def test_hostile_values_that_do_not_know_a_format_are_shown_without_it(
        self, log: Front
    ) -> None:
        fields = log(template("{text:.2f} {row:>9}", text="a", row=[1]))
        assert fields["msg"] == "'a' [1]"
        assert (fields["text"], fields["row"]) == ("a", [1])
        reasons = "format not applied: ValueError; format not applied: TypeError"
        assert fields["mozlog.degraded"] == reasons

    def test_hostile_values_that_return_no_text_are_named(self, log: Front) -> None:
        class Wrong:
            def __format__(self, spec: str) -> Any:
                return 5

        assert log(template("{w}", w=Wrong()))["msg"] == "<unprintable Wrong: TypeError>"

    def test_hostile_values_of_endless_depth_are_bounded(self, log: Front) -> None:
        deep = template("end")
        for _ in range(1000):
            deep = template("{deep}", deep=deep)
        fields = log(deep)
        assert fields == {"msg": "<max depth>", "mozlog.degraded": "nested too deeply"}

    def test_hostile_values_that_share_templates_are_bounded(self, log: Front) -> None:
        wide = template("x")
        for _ in range(14):
            wide = template("{w}{w}{w}{w}", w=wide)
        fields = log(wide)
        assert fields["msg"].endswith("<more>")
        assert len(fields["msg"]) < 11_000
        assert fields["mozlog.degraded"] == "items dropped"


@pytest.mark.parametrize("log", [plain_logging, queued_logging, fast_logger])
def test_an_interrupt_of_a_value_follows_the_line(log: Front, capsys: Any) -> None:
    stream = io.StringIO()
    if log is fast_logger:
        logger: Any = FastBoundLogger.at("info")(
            SinkLoggerFactory(Sink(stream))("shop"), [MozlogRenderer()], {}
        )
    else:
        kind = MozlogHandler if log is plain_logging else MozlogQueueHandler
        handler: Any = kind(stream)
        handler.setFormatter(MozlogFormatter())
        logger = logging.Logger("shop")
        logger.addHandler(handler)
    with pytest.raises(KeyboardInterrupt):
        logger.info(template("a {v}", v=Hostile(KeyboardInterrupt())))
    if log is not fast_logger:
        handler.close()
    fields = json.loads(stream.getvalue())["Fields"]
    assert fields["msg"] == "a <unprintable Hostile: KeyboardInterrupt>"


@on_all_fronts
class TestRedaction:
    def test_redaction_hides_a_credential_in_the_field_and_in_the_message(self, log: Front) -> None:
        message = template("{user} has {password!r:>20}", user="ada", password="hunter2")
        fields = log(message, processors=[Redact()])
        assert fields == {
            "msg": "ada has [redacted]",
            "user": "ada",
            "password": "[redacted]",
        }

    def test_redaction_knows_credentials_by_their_expression(self, log: Front) -> None:
        row = {"pwd": "hunter2", "id": 7}
        fields = log(template("{row['pwd']} of {row['id']}", row=row), processors=[Redact()])
        assert fields == {"msg": "[redacted] of 7", "arg0": "[redacted]", "arg1": 7}

    def test_redaction_hides_credentials_in_containers(self, log: Front) -> None:
        fields = log(template("{row}", row={"pwd": "hunter2", "id": 7}), processors=[Redact()])
        assert fields["row"] == {"pwd": "[redacted]", "id": 7}
        assert "hunter2" not in fields["msg"]
        assert "7" in fields["msg"]

    def test_redaction_hides_one_that_is_kept_beside_a_field(self, log: Front) -> None:
        if log is processor_formatter:
            pytest.skip("its processors do not see the fields of a record's call")
        fields = log(template("{token}", token="hunter2"), token="other", processors=[Redact()])
        assert "hunter2" not in str(fields)
        assert "other" not in str(fields)

    def test_redaction_masks_by_value_in_the_message_and_in_the_field(self, log: Front) -> None:
        fields = log(
            template("login with {key} {iban}", key="correct-horse", iban="NO93"),
            processors=[Redact(values=["correct-horse"]), Redact(["iban"])],
        )
        assert "correct-horse" not in str(fields)
        assert "NO93" not in str(fields)

    def test_redaction_hides_credentials_of_a_template_that_is_a_value(self, log: Front) -> None:
        query = template("select {password}", password="hunter2")
        fields = log(template("run {query!s:}", query=query), processors=[Redact()])
        assert fields["query"] == "select [redacted]"
        assert "hunter2" not in fields["msg"]

    def test_redaction_hides_everything_where_a_value_breaks_it(self, log: Front) -> None:
        class Broken(Redact):
            def _event(self, event_dict: Any, walk: Any) -> Any:
                raise RuntimeError

        fields = log(template("{password}", password="hunter2"), processors=[Broken()])
        assert "hunter2" not in str(fields)


class TestOtherReaders:
    def test_an_override_of_convert_record_that_raises_leaves_the_message(self) -> None:
        class Formatter(MozlogFormatter):
            def convert_record(self, record: Any) -> Any:
                raise RuntimeError

        record = logging.makeLogRecord({"msg": template("{password} {a}", password="hunter2", a=1)})
        formatter = Formatter(processors=[Redact()])
        fields = json.loads(formatter.format(record))["Fields"]
        assert fields["msg"] == "[redacted] 1"

    def test_other_handlers_get_the_text_and_the_fields_of_an_event(self) -> None:
        records: list[logging.LogRecord] = []

        class Collector(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                records.append(record)

        import mozlog_py

        stream = io.StringIO()
        mozlog_py.configure(stream=stream)
        handler = Collector(logging.ERROR)
        logging.getLogger().addHandler(handler)
        try:
            structlog.get_logger("shop").error(template("100 % of {a}", a=1))
        finally:
            logging.getLogger().removeHandler(handler)
        assert [record.getMessage() for record in records] == ["100 % of 1"]
        assert vars(records[0])["a"] == 1
        assert json.loads(stream.getvalue())["Fields"] == {"a": 1, "msg": "100 % of 1"}

    @pytest.mark.parametrize("log", [plain_logging, fast_logger])
    def test_lengths_are_capped(self, log: Front) -> None:
        fields = log(template("{text}", text="x" * 5000), processors=[CapLengths(100)])
        assert len(fields["msg"]) < 200
        assert len(fields["text"]) < 200

    def test_a_hook_that_fills_the_fields_itself_gets_text(self) -> None:
        class Formatter(MozlogFormatter):
            def add_fields(self, log_data: Any, record: Any, message_dict: Any) -> None:
                log_data.update(message_dict)

        record = logging.makeLogRecord({"msg": template("paid {a}", a=1)})
        assert json.loads(Formatter().format(record))["Fields"] == {"msg": "paid 1"}

    @pytest.mark.parametrize("level", ["debug", "adebug"])
    def test_a_disabled_level_formats_nothing(self, level: str) -> None:
        logger: Any = FastBoundLogger.at("info")(
            SinkLoggerFactory(Sink(io.StringIO()))("shop"), [MozlogRenderer()], {}
        )
        made = getattr(logger, level)(template("{v}", v=Hostile(KeyboardInterrupt())))
        if made is not None:
            made.close()


class TestTemplateMessage:
    def message(self) -> TemplateMessage:
        return read_template(template("a {b}", b=1), Sanitiser())

    def test_pickles_and_copies_as_plain_text(self) -> None:
        for copied in (
            pickle.loads(pickle.dumps(self.message())),
            copy.copy(self.message()),
            copy.deepcopy(self.message()),
        ):
            assert (type(copied), copied) == (str, "a 1")

    @pytest.mark.skipif(not IS_REAL, reason="string.templatelib came with Python 3.14")
    def test_template_message_is_read_from_templates_that_code_has_made(self) -> None:
        from string.templatelib import Interpolation

        made = Template("a ", Interpolation(1), " ", Interpolation(2, "total", None, "03d"))
        message = read_template(made, Sanitiser())
        assert message == "a 1 002"
        assert message.fields_beside({}) == {"arg0": 1, "total": 2}

    def test_template_message_takes_no_longer_where_it_has_many_values(self) -> None:
        source = " ".join(f"{{v{number}}}" for number in range(2000))
        made = template(source, **{f"v{number}": number for number in range(2000)})
        steps = 0

        def count(*_: Any) -> None:
            nonlocal steps
            steps += 1

        sys.setprofile(count)
        try:
            read_template(made, Sanitiser()).fields_beside({})
        finally:
            sys.setprofile(None)
        assert steps < 2000 * 100
