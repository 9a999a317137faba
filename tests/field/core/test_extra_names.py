"""``extra`` with the name of a record's attribute: no exception, and nothing is lost.

``logging.Logger.makeRecord`` refuses such names. Behind a handler of ours the field is
``extra.<name>``, with whatever else is patched.
"""

from __future__ import annotations

import collections
import copy
import functools
import io
import json
import logging
import logging.handlers
import os
import pickle
import queue
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any
from unittest import mock

import hostile
import pytest
import structlog
from conformance import checked_lines

import mozlog_py
from dockerflow.summary import RequestSummary
from mozlog_py import MozlogFormatter, MozlogHandler, MozlogQueueHandler
from mozlog_py._fields.from_record import RECORD_METHODS
from mozlog_py._stdlib import call_extra
from mozlog_py.structlog import MozlogRenderer

pytestmark = pytest.mark.usefixtures("untouched_process")

NAMES = (
    "name", "args", "message", "filename", "module", "msg", "process", "asctime", "taskName",
    "levelname", "exc_info", "stack_info", "created", "thread",
    "getMessage", "__getstate__", "__reduce_ex__",
)  # fmt: skip


class Out:
    """A stream, and the lines in it."""

    def __init__(self, **options: Any) -> None:
        self.stream = io.StringIO()
        mozlog_py.configure("shop", stream=self.stream, format="mozlog", **options)

    @property
    def fields(self) -> list[dict[str, Any]]:
        return [line["Fields"] for line in self.lines]

    @property
    def lines(self) -> list[dict[str, Any]]:
        logging.getLogger().handlers[0].flush()
        return checked_lines(self.stream.getvalue())


def traced(usual: Callable[..., Any]) -> Callable[..., Any]:
    """Return a makeRecord, or a factory, as tracers have it."""

    @functools.wraps(usual)
    def make(*args: Any, **kwargs: Any) -> Any:
        made = usual(*args, **kwargs)
        vars(made)["dd.trace_id"] = "42"
        return made

    return make


def patch(wrapper: Callable[..., Any] = traced) -> None:
    usual = vars(logging.Logger)["makeRecord"]
    logging.Logger.makeRecord = wrapper(usual)  # type: ignore[method-assign]


class TestNames:
    @pytest.mark.parametrize("name", NAMES)
    def test_names_of_attributes_are_kept_beside_them(self, name: str) -> None:
        logger = logging.getLogger("shop.cart")
        out = Out()
        logger.info("%s uploaded", "a", extra={"a": 1, name: "ann", "b": 2})
        (line,) = out.lines
        assert list(line["Fields"].items()) == [
            ("a", 1), (f"extra.{name}", "ann"), ("b", 2), ("msg", "a uploaded"),
        ]  # fmt: skip
        assert line["Type"] == "shop.cart"

    @pytest.mark.parametrize("queue_", [False, True])
    @pytest.mark.parametrize("format_", ["mozlog", "gcp"])
    def test_names_hold_with_a_hook_a_queue_and_another_format(
        self, queue_: bool, format_: str
    ) -> None:
        stream = io.StringIO()
        mozlog_py.configure("shop", stream=stream, format=format_, queue=queue_)
        logging.getLogger("a").info("m", extra={"name": "ann", "extra.name": "other"})
        logging.getLogger().handlers[0].flush()
        (line,) = checked_lines(stream.getvalue())
        assert line["Fields"] == {"extra.name_2": "ann", "extra.name": "other", "msg": "m"}

    def test_names_of_an_adapter_are_kept(self) -> None:
        out = Out()
        adapter = logging.LoggerAdapter(logging.getLogger("a"), {"name": "ann", "module": 7})
        adapter.warning("m")
        assert out.fields == [{"extra.name": "ann", "extra.module": 7, "msg": "m"}]

    @pytest.mark.parametrize("kind", [MozlogHandler, MozlogQueueHandler])
    def test_names_are_kept_behind_a_handler_alone(self, kind: Any) -> None:
        stream = io.StringIO()
        logger = logging.getLogger("alone")
        logger.addHandler(kind(stream))
        logger.error("m", extra={"name": "ann"})
        logger.handlers[0].close()
        (line,) = checked_lines(stream.getvalue())
        assert line["Fields"] == {"extra.name": "ann", "msg": "m"}

    def test_names_are_in_records_that_travel(self) -> None:
        out = Out()
        records: queue.Queue[Any] = queue.Queue()
        logger = logging.getLogger("far")
        logger.propagate = False
        logger.addHandler(logging.handlers.QueueHandler(records))
        logger.warning("m", extra={"name": "ann", "args": [1]})
        made = records.get_nowait()
        copied = logging.makeLogRecord(json.loads(json.dumps(vars(made))))
        for each in (made, copied):
            logging.getLogger().handle(each)
        assert out.fields == [{"extra.name": "ann", "extra.args": [1], "msg": "m"}] * 2
        assert [line["Type"] for line in out.lines] == ["far", "far"]

    def test_names_are_seen_by_handlers_of_others(self) -> None:
        out = Out()
        theirs = io.StringIO()
        handler = logging.StreamHandler(theirs)
        handler.setFormatter(logging.Formatter("%(name)s %(message)s %(extra.name)s"))
        logging.getLogger().addHandler(handler)
        logging.getLogger("a").info("m", extra={"name": "ann"})
        assert theirs.getvalue() == "a m ann\n"
        assert len(out.lines) == 1

    @pytest.mark.parametrize("is_structlog", [False, True])
    def test_names_of_methods_leave_records_whole_for_handlers_of_others(
        self, is_structlog: bool, capfd: pytest.CaptureFixture[str]
    ) -> None:
        methods = dict.fromkeys(sorted(RECORD_METHODS), "ann")
        theirs, records = io.StringIO(), queue.Queue[Any]()
        out = Out()
        for handler in (logging.StreamHandler(theirs), logging.handlers.QueueHandler(records)):
            logging.getLogger().addHandler(handler)
        if is_structlog:
            structlog.get_logger("a").info("%s paid", "ann", **methods)
        else:
            logging.getLogger("a").info("%s paid", "ann", extra=methods)
        assert theirs.getvalue() == "ann paid\n"
        made = copy.deepcopy(pickle.loads(pickle.dumps(records.get_nowait())))
        kept = {name: vars(made)[f"extra.{name}"] for name in methods}
        assert (made.getMessage(), kept) == ("ann paid", methods)
        named = methods if is_structlog else {f"extra.{name}": "ann" for name in methods}
        assert out.fields == [{**named, "msg": "ann paid"}]
        assert capfd.readouterr().err == ""

    def test_names_of_structlog_are_fields_as_they_are(self) -> None:
        out = Out()
        given = {name: "ann" for name in NAMES if name not in ("exc_info", "stack_info")}
        structlog.get_logger("a").info("m", **given)
        structlog.get_logger("a").bind(name="ann").info("m", filename="b")
        fields = out.fields
        assert {**fields[0], "msg": None} == {**given, "extra.msg": "ann", "msg": None}
        assert fields[1] == {"name": "ann", "filename": "b", "msg": "m"}

    def test_names_of_structlog_over_logging_are_kept(self) -> None:
        out = Out()
        log = structlog.wrap_logger(
            logging.getLogger("a"),
            processors=[structlog.stdlib.render_to_log_kwargs],
            wrapper_class=structlog.stdlib.BoundLogger,
        )
        log.info("m", name="ann", filename="b", n=1)
        assert out.fields == [{"extra.name": "ann", "extra.filename": "b", "n": 1, "msg": "m"}]

    def test_names_of_a_summary_are_kept(self) -> None:
        out = Out()
        summary = RequestSummary()
        summary.logger, summary.code = logging.getLogger("request.summary"), 200
        summary.begin("r1")
        summary.add_fields({"name": "ann", "message": "m", "extra.name": 1, "rid": "forged"})
        summary.finish()
        summary.leave()
        (line,) = out.lines
        fields = line["Fields"]
        assert (fields["extra.name_2"], fields["extra.message"]) == ("ann", "m")
        assert (fields["extra.name"], fields["rid"], fields["extra.rid"]) == (1, "r1", "forged")
        assert line["Type"] == "request.summary"

    @pytest.mark.parametrize(
        "extra",
        [
            collections.OrderedDict(name="ann", n=1),
            MappingProxyType({"name": "ann", "n": 1}),
            collections.ChainMap({"name": "ann"}, {"n": 1}),
        ],
        ids=lambda extra: type(extra).__name__,
    )
    def test_names_may_come_in_any_mapping(self, extra: Any) -> None:
        out = Out()
        logging.getLogger("a").info("m", extra=extra)
        assert out.fields == [{"extra.name": "ann", "n": 1, "msg": "m"}]

    @pytest.mark.parametrize("extra", [7, "text", ["a", "b"], hostile.RaisingRepr()])
    def test_names_may_be_none_at_all(self, extra: Any) -> None:
        out = Out()
        logging.getLogger("a").info("m", extra=extra)
        assert list(out.fields[0])[:2] == ["extra", "msg"]

    def test_names_may_have_a_hash_or_an_equality_that_raises(self) -> None:
        out = Out()
        keys: list[Any] = [hostile.RaisingHash(), hostile.RaisingEquality()]
        for key in keys:
            extra = {"n": 1, key: 2, "name": "ann"}
            key.is_armed = True
            logging.getLogger("a").info("m", extra=extra)
        for fields in out.fields:
            assert (fields["n"], fields["extra.name"], fields["msg"]) == (1, "ann", "m")


class TestPatches:
    def test_patches_of_make_record_that_came_first_are_heard(self) -> None:
        patch()
        out = Out()
        logging.getLogger("a").info("m", extra={"name": "ann", "n": 1})
        assert out.fields == [{"extra.name": "ann", "n": 1, "dd.trace_id": "42", "msg": "m"}]

    def test_patches_of_make_record_that_came_later_are_heard(self) -> None:
        out = Out()
        patch()
        logging.getLogger("a").info("m", extra={"name": "ann", "n": 1})
        assert out.fields == [{"extra.name": "ann", "n": 1, "dd.trace_id": "42", "msg": "m"}]

    @pytest.mark.parametrize("is_first", [True, False])
    def test_patches_may_be_taken_off_by_what_they_wrap(self, is_first: bool) -> None:
        if is_first:
            patch()
        out = Out()
        if not is_first:
            patch()
        # As tracers do it.
        logging.Logger.makeRecord = vars(logging.Logger)["makeRecord"].__wrapped__  # type: ignore[method-assign]
        logging.getLogger("a").info("m", extra={"name": "ann"})
        assert out.fields == [{"extra.name": "ann", "msg": "m"}]
        assert vars(logging.Logger)["makeRecord"] is call_extra.make_record

    def test_patches_do_not_grow_with_each_configuration(self) -> None:
        patch()
        for _ in range(3):
            Out()
        made = vars(logging.Logger)["makeRecord"]
        patch()
        outer = vars(logging.Logger)["makeRecord"]
        for _ in range(3):
            Out()
        assert vars(logging.Logger)["makeRecord"] is outer
        assert made.__wrapped__ is call_extra.make_record

    def test_patches_that_refuse_a_name_of_their_own_lose_no_line(self) -> None:
        def adding(usual: Callable[..., Any]) -> Callable[..., Any]:
            def make(*args: Any, **kwargs: Any) -> Any:
                return usual(*args, **kwargs)

            return make

        patch(adding)
        out = Out()
        usual = logging.getLogRecordFactory()

        def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
            made = usual(*args, **kwargs)
            made.otelSpanID = "0"
            return made

        logging.setLogRecordFactory(factory)
        logging.getLogger("a").info("m", extra={"otelSpanID": "mine", "name": "ann", "n": 1})
        assert out.fields == [
            {"otelSpanID": "0", "extra.otelSpanID": "mine", "extra.name": "ann", "n": 1, "msg": "m"}
        ]

    @pytest.mark.parametrize("is_first", [True, False])
    def test_patches_of_the_factory_are_heard(self, is_first: bool) -> None:
        out = Out()
        former = logging.getLogRecordFactory()

        def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
            made = former(*args, **kwargs)
            made.build = 7
            return made

        logging.setLogRecordFactory(factory)
        if is_first:
            out = Out()
        logging.getLogger("a").info("m", extra={"build": "mine", "name": "ann"})
        logging.getLogger("a").info("m", extra={"n": 1})
        assert out.fields == [
            {"build": 7, "extra.build": "mine", "extra.name": "ann", "msg": "m"},
            {"build": 7, "n": 1, "msg": "m"},
        ]

    def test_patches_by_a_mock_are_called(self) -> None:
        with mock.patch.object(logging.Logger, "makeRecord") as replaced:
            out = Out()
            replaced.return_value = logging.LogRecord("a", 20, "", 1, "m", (), None)
            logging.getLogger("a").info("m", extra={"name": "ann"})
        assert out.fields == [{"msg": "m"}]
        assert replaced.mock_calls[0].args[-2] == {"extra.name": "ann"}

    def test_patches_that_raise_on_their_own_are_not_passed_over(self) -> None:
        def raising(usual: Any) -> Any:
            def make(*_: Any, **__: Any) -> Any:
                raise KeyError("theirs")

            return make

        patch(raising)
        Out()
        with pytest.raises(KeyError, match="theirs"):
            logging.getLogger("a").info("m", extra={"n": 1})

    def test_patches_by_a_subclass_that_calls_its_base_class_are_heard(self) -> None:
        class Own(logging.Logger):
            def makeRecord(self, *args: Any, **kwargs: Any) -> Any:
                return traced(super().makeRecord)(*args, **kwargs)

        out = Out()
        logger = Own("own")
        logger.parent = logging.getLogger()
        logger.info("m", extra={"name": "ann"})
        assert out.fields == [{"extra.name": "ann", "dd.trace_id": "42", "msg": "m"}]

    def test_patches_of_a_logging_that_is_loaded_anew_are_ours_again(self) -> None:
        source = (
            "import importlib, io, logging, mozlog_py\n"
            "mozlog_py.configure('shop', format='mozlog')\n"
            "importlib.reload(logging)\n"
            "mozlog_py.configure('shop', format='mozlog')\n"
            "logging.getLogger('a').warning('m', extra={'name': 'ann'})\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=True
        )
        (line,) = checked_lines(done.stdout)
        assert line["Fields"] == {"extra.name": "ann", "msg": "m"}


DDTRACE = """
import logging
import ddtrace, mozlog_py
from ddtrace.contrib.internal.logging.patch import patch, unpatch
ddtrace.config._logs_injection = True
{order}
log = logging.getLogger("a")
log.warning("m", extra={{"name": "ann", "n": 1}})
unpatch()
log.warning("m", extra={{"name": "ann", "n": 1}})
"""


@pytest.mark.skipif(find_spec("ddtrace") is None, reason="ddtrace has no wheel for this Python")
@pytest.mark.parametrize(
    "order",
    ["patch(); mozlog_py.configure('shop')", "mozlog_py.configure('shop'); patch()"],
    ids=["ddtrace first", "ddtrace later"],
)
def test_ddtrace_adds_its_ids_in_both_orders(order: str) -> None:
    source = DDTRACE.format(order=order)
    environment = {
        **os.environ,
        "LOG_FORMAT": "mozlog",
        "DD_LOGS_INJECTION": "true",
        "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
        "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", source], capture_output=True, text=True,
        timeout=120, check=True, env=environment,
    )  # fmt: skip
    lines = [line for line in checked_lines(done.stdout) if line["Type"] == "a"]
    with_ids, without = (line["Fields"] for line in lines)
    assert "dd.trace_id" in with_ids
    assert (with_ids["extra.name"], with_ids["n"], with_ids["msg"]) == ("ann", 1, "m")
    assert without == {"extra.name": "ann", "n": 1, "msg": "m"}


class TestTaskName:
    """Before Python 3.12 a record has no attribute of that name."""

    def bare(self, formatter: logging.Formatter, **extra: Any) -> dict[str, Any]:
        made = logging.LogRecord("a", 20, "", 1, "m", (), None)
        vars(made).update(extra)
        (line,) = checked_lines(formatter.format(made) + "\n")
        fields = line["Fields"]
        assert isinstance(fields, dict)
        return fields

    @pytest.mark.skipif(sys.version_info >= (3, 12), reason="it is an attribute of every record")
    @pytest.mark.parametrize(
        "formatter",
        [MozlogFormatter(), MozlogFormatter(timestamp=True), MozlogFormatter(strict=True)],
    )
    def test_task_name_is_a_field_where_a_formatter_is_used_alone(self, formatter: Any) -> None:
        fields = self.bare(formatter, b=1, taskName="reindex", a=2)
        assert list(fields)[:3] == ["b", "taskName", "a"]
        assert fields["taskName"] == "reindex"

    @pytest.mark.skipif(sys.version_info >= (3, 12), reason="it is an attribute of every record")
    @pytest.mark.parametrize("pre_chain", [[], [structlog.stdlib.ExtraAdder()]])
    def test_task_name_is_a_field_in_structlogs_formatter(self, pre_chain: Any) -> None:
        formatter = structlog.stdlib.ProcessorFormatter(
            processors=[MozlogRenderer("shop", output="text")], foreign_pre_chain=pre_chain
        )
        assert self.bare(formatter, taskName="reindex") == {"taskName": "reindex", "msg": "m"}

    def test_task_name_is_left_out_where_it_is_reserved(self) -> None:
        reserved = sorted(MozlogFormatter.EXCLUDED_LOGRECORD_ATTRS)
        fields = self.bare(MozlogFormatter(reserved_attrs=reserved), taskName="reindex")
        assert fields == {"msg": "m"}

    def test_task_name_is_called_the_same_on_every_python_behind_a_handler(self) -> None:
        out = Out()
        logging.getLogger("a").info("m", extra={"taskName": "reindex"})
        assert out.fields == [{"extra.taskName": "reindex", "msg": "m"}]

    def test_task_name_is_a_field_of_structlog(self) -> None:
        out = Out()
        structlog.get_logger("a").info("m", taskName="reindex")
        assert out.fields == [{"taskName": "reindex", "msg": "m"}]
