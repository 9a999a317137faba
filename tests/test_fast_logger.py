"""FastBoundLogger: the same lines as from the chain and from logging, by a shorter path."""

from __future__ import annotations

import asyncio
import copy
import gc
import io
import logging
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from pathlib import Path
from typing import Any
from unittest import mock

import hostile
import pytest
import structlog
from conformance import Capture, checked, checked_lines
from fast_loggers import is_prepared
from hypothesis import given
from hypothesis import strategies as st
from strategies import NESTED, PLAIN_SCALARS, TEXTS

import mozlog_py
import mozlog_py.testing
from mozlog_py import MozlogFormatter, MozlogHandler, context
from mozlog_py._process import process_id
from mozlog_py._process.process_id import Process, process
from mozlog_py._sink import line_writer
from mozlog_py._values.sanitiser import MAX_ITEMS
from mozlog_py.sink import NO_DIRECT_WRITE, SHORT_BYTES, Sink
from mozlog_py.structlog import (
    FastBoundLogger,
    MozlogRenderer,
    SinkLogger,
    SinkLoggerFactory,
    processors,
)

LEVELS = ["debug", "info", "warning", "error", "critical"]


pytestmark = pytest.mark.usefixtures("unconfigured_structlog")


class Mine(FastBoundLogger.at(40)):  # type: ignore[misc]
    """A class of an application, derived from the class of a level."""

    __slots__ = ()


class Lines:
    """A bound logger that writes to a file, and its lines."""

    def __init__(self, chain: Any = None, *, level: Any = 1, name: str | None = "app") -> None:
        # A file: to a buffer in memory the logger would write by a call of the sink.
        self.file: Any = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        weakref.finalize(self, self.file.close)
        self.chain = processors("shop") if chain is None else chain
        factory = SinkLoggerFactory(Sink(self.file))
        self.log = FastBoundLogger.at(level)(factory(name), self.chain, {})

    @property
    def text(self) -> str:
        size = os.fstat(self.file.fileno()).st_size
        return os.pread(self.file.fileno(), size, 0).decode()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return checked_lines(self.text)

    @property
    def fields(self) -> list[dict[str, Any]]:
        return [line["Fields"] for line in self.lines]

    def is_prepared(self, log: FastBoundLogger | None = None) -> bool:
        """Return whether the line of an info was made from a prefix."""
        return is_prepared(self.log if log is None else log)


class TestLines:
    def test_lines_are_those_of_the_standard_library(self) -> None:
        of_structlog = Lines()
        of_structlog.log.info("%s paid", "Ann", amount=12.5, code=200, ok=True, who="ž\x7f")
        made = Capture(name="shop")
        made.logger.info(
            "%s paid", "Ann", extra={"amount": 12.5, "code": 200, "ok": True, "who": "ž\x7f"}
        )
        (ours,), (theirs,) = of_structlog.lines, made.lines
        assert of_structlog.is_prepared()
        assert {**ours, "Timestamp": 0} == {**theirs, "Timestamp": 0}
        assert list(ours) == list(theirs)

    @pytest.mark.parametrize(
        ("method", "severity"),
        [("debug", 7), ("info", 6), ("msg", 6), ("warning", 4), ("warn", 4), ("error", 3),
         ("critical", 2), ("fatal", 2)],
    )  # fmt: skip
    def test_lines_have_the_severity_of_the_method(self, method: str, severity: int) -> None:
        made = Lines()
        getattr(made.log, method)("plain", a=1)
        getattr(made.log, method)("odd", a=[1])
        assert [line["Severity"] for line in made.lines] == [severity, severity]

    def test_lines_have_the_loggers_name_or_the_applications(self) -> None:
        named, unnamed = Lines(name="shop.cart"), Lines(name=None)
        for made in (named, unnamed):
            made.log.info("plain")
            made.log.info("odd", a=[1])
        assert {line["Type"] for line in named.lines} == {"shop.cart"}
        assert {line["Type"] for line in unnamed.lines} == {"shop"}

    def test_lines_hold_bound_fields_below_those_of_the_call(self) -> None:
        made = Lines()
        log = made.log.bind(user="ann", n=1)
        log.info("hi", code=200)
        log.info("hi", n=2)
        log.info("direct_write")
        assert made.is_prepared(log)
        assert made.fields == [
            {"user": "ann", "n": 1, "code": 200, "msg": "hi"},
            {"user": "ann", "n": 2, "msg": "hi"},
            {"user": "ann", "n": 1, "msg": "direct_write"},
        ]

    def test_lines_hold_the_context_above_static_fields_and_below_what_is_bound(self) -> None:
        made = Lines(
            processors("shop", static_fields={"env": "prod", "a": "static", "b": "static"})
        )
        structlog.contextvars.bind_contextvars(theirs=1)
        with context.bound(a="context", b="context", c="context"):
            made.log.bind(b="bound", c="bound").info("hi", c="said")
            made.log.info("bare")
        made.log.info("outside")
        assert made.fields == [
            {"env": "prod", "a": "context", "b": "bound", "c": "said", "theirs": 1, "msg": "hi"},
            {"env": "prod", "a": "context", "b": "context", "c": "context", "theirs": 1,
             "msg": "bare"},
            {"env": "prod", "a": "static", "b": "static", "theirs": 1, "msg": "outside"},
        ]  # fmt: skip

    def test_lines_hold_the_request_id(self) -> None:
        made = Lines()
        context.request_id_context.set("abc")
        made.log.info("hi")
        made.log.info("hi", rid="own")
        assert made.fields == [{"rid": "abc", "msg": "hi"}, {"rid": "own", "msg": "hi"}]

    def test_lines_leave_the_context_out_where_asked_to(self) -> None:
        made = Lines(processors("shop", include_context=False))
        with context.bound(a=1):
            made.log.info("hi")
        assert made.fields == [{"msg": "hi"}]

    def test_lines_show_percent_signs_in_what_is_bound(self) -> None:
        made = Lines()
        made.log.bind(rate="100%d", other="%b%%").info("hi", more="%s")
        assert made.fields == [{"rate": "100%d", "other": "%b%%", "more": "%s", "msg": "hi"}]

    def test_lines_show_percent_signs_in_names_beside_the_context(self) -> None:
        made = Lines()
        with context.bound(user="ann"):
            made.log.bind(**{"100%": 1, "%d": "%"}).info("hi", **{"%s": 2})
        assert made.fields == [{"user": "ann", "100%": 1, "%d": "%", "%s": 2, "msg": "hi"}]

    @pytest.mark.parametrize("where", ["bound", "said", "context", "message"])
    @pytest.mark.parametrize("text", ["ž", "\x7f", "\x85", "\u2028", "\ud800", "\x00\x1b[0m"])
    def test_lines_escape_what_must_not_be_raw(self, where: str, text: str) -> None:
        made = Lines()
        log = made.log.bind(a=text) if where == "bound" else made.log
        with context.bound(**({"a": text} if where == "context" else {})):
            said = {"a": text} if where == "said" else {}
            log.info(text if where == "message" else "hi", **said)
        raw = made.text
        assert raw.count("\n") == 1
        assert not any(character in raw for character in "\x7f\x85\u2028\x00\x1b")
        shown = "\\ud800" if text == "\ud800" else text
        assert made.fields == [{"msg": shown} if where == "message" else {"a": shown, "msg": "hi"}]

    @pytest.mark.parametrize(
        ("value", "shown"),
        [(float("nan"), "NaN"), (float("-inf"), "-Infinity"), (2**70, str(2**70)), ([1], [1]),
         ({"a": None}, {"a": None}), (hostile.LyingStr("x"), "x"), (b"ab", "YWI=")],
    )  # fmt: skip
    @pytest.mark.parametrize("where", ["bound", "said", "context"])
    def test_lines_make_odd_values_plain(self, where: str, value: Any, shown: Any) -> None:
        made = Lines()
        log = made.log.bind(a=value) if where == "bound" else made.log
        with context.bound(**({"a": value} if where == "context" else {})):
            log.info("hi", **({"a": value} if where == "said" else {}))
        assert made.fields == [{"a": shown, "msg": "hi"}]

    def test_lines_keep_a_field_named_event_beside_the_event(self) -> None:
        made = Lines()
        made.log.info("hi", event="mine", a=1)
        made.log.bind(event="bound").info("hi")
        made.log.error(event="named")
        assert made.fields == [
            {"a": 1, "extra.event": "mine", "msg": "hi"}, {"msg": "hi"}, {"msg": "named"},
        ]  # fmt: skip

    def test_lines_take_any_name_for_a_field(self) -> None:
        made = Lines()
        made.log.info("hi", self=1, level_=2, name=3, args=4, fields=5, method_name=6, write=7)
        made.log.bind(self=1).info("hi", event_dict=2)
        assert made.fields[0] == {
            "self": 1, "level_": 2, "name": 3, "args": 4, "fields": 5, "method_name": 6,
            "write": 7, "msg": "hi",
        }  # fmt: skip
        assert made.fields[1] == {"self": 1, "event_dict": 2, "msg": "hi"}

    def test_lines_keep_names_that_clash_with_ours_beside_them(self) -> None:
        made = Lines()
        made.log.info("hi", msg="mine", stack=0)
        made.log.bind(msg="bound").info("hi", a=1)
        assert made.fields == [
            {"stack": 0, "extra.msg": "mine", "msg": "hi"},
            {"extra.msg": "bound", "a": 1, "msg": "hi"},
        ]

    def test_lines_of_a_message_that_is_json_are_its_members(self) -> None:
        made = Lines()
        made.log.info('{"a": 1}', b=2)
        made.log.info("{not json}", b=2)
        assert made.fields == [{"b": 2, "a": 1}, {"b": 2, "msg": "{not json}"}]

    def test_lines_without_a_message_hold_the_fields(self) -> None:
        made = Lines()
        made.log.info(a=1)
        made.log.info("", a=2)
        made.log.info(None)
        made.log.info(event="named", a=3)
        assert made.fields == [{"a": 1}, {"a": 2}, {}, {"a": 3, "msg": "named"}]

    def test_lines_of_a_message_that_is_no_text_show_it_as_text(self) -> None:
        made = Lines()
        made.log.info(7, a=1)
        made.log.info(ValueError("x"))
        assert made.fields == [{"a": 1, "msg": "7"}, {"msg": "x"}]

    def test_cap_the_number_of_fields(self) -> None:
        made = Lines()
        made.log.info("hi", **{f"f{n}": n for n in range(3000)})
        (got,) = made.fields
        assert len(got) < 1010
        assert got["msg"] == "hi"
        assert got["mozlog.degraded"] == "items dropped"


class TestFormatting:
    def test_formatting_of_positional_arguments(self) -> None:
        made = Lines()
        made.log.info("%s of %d", "a", 2)
        made.log.info("%(a)s", {"a": 1})
        made.log.info("%s", {"a": 1})
        made.log.info("100%")
        assert [field["msg"] for field in made.fields] == ["a of 2", "1", "{'a': 1}", "100%"]

    def test_formatting_that_does_not_fit_loses_nothing(self) -> None:
        made = Lines()
        made.log.info("%d and %d", "x", a=1)
        assert made.fields == [
            {
                "a": 1,
                "msg": "%d and %d ('x',)",
                "mozlog.degraded": "message and arguments do not fit",
            }
        ]

    def test_formatting_that_runs_into_a_broken_value_names_it(self) -> None:
        made = Lines()
        made.log.info("%s", hostile.RaisingRepr(LookupError))
        (got,) = made.fields
        assert "RaisingRepr" in got["msg"]


class TestExceptions:
    def test_exceptions_are_those_of_the_standard_library(self) -> None:
        made, capture = Lines(), Capture(name="shop")
        try:
            raise ValueError("boom")
        except ValueError as error:
            made.log.exception("failed", n=1)
            made.log.error("failed", n=1, exc_info=True)
            made.log.error("failed", n=1, exc_info=error)
            capture.logger.exception("failed", extra={"n": 1})
        assert made.fields == [*capture.fields] * 3
        assert {line["Severity"] for line in made.lines} == {3}

    def test_exceptions_that_are_none_give_no_error(self) -> None:
        made = Lines()
        made.log.exception("hi")
        assert made.fields == [{"msg": "hi"}]


class TestInterrupts:
    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
    @pytest.mark.parametrize("where", ["field", "argument"])
    def test_interrupts_of_a_value_go_on_after_the_line_is_written(
        self, kind: Any, where: str
    ) -> None:
        made = Lines()
        value = hostile.RaisingRepr(kind)
        with pytest.raises(kind):
            if where == "field":
                made.log.info("hi", value=value)
            else:
                made.log.info("%r", value)
        assert len(made.lines) == 1
        assert "RaisingRepr" in made.text

    def test_interrupts_from_outside_go_on_after_the_line_is_written(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = Lines()
        made.log.info("first")
        calls = []

        def interrupted(*_: Any) -> Any:
            calls.append(1)
            raise KeyboardInterrupt

        monkeypatch.setattr("mozlog_py.structlog.log_methods._dumps", interrupted)
        with pytest.raises(KeyboardInterrupt):
            made.log.info("second", a=1)
        assert calls == [1]
        assert made.fields == [{"msg": "first"}, {"a": 1, "msg": "second"}]


class TestAtTheEndOfTheStack:
    def test_every_call_that_returns_has_a_line_or_is_counted(self) -> None:
        source = """
import sys
from mozlog_py.structlog import FastBoundLogger, SinkLoggerFactory, processors
log = FastBoundLogger.at(1)(SinkLoggerFactory()("app"), processors("shop"), {})
log.info("warm", value=[-1])
returned = 1
def down(depth):
    global returned
    try:
        down(depth + 1)
    except RecursionError:
        pass
    try:
        log.info("deep", value=[depth])
        returned += 1
    except RecursionError:
        pass
sys.setrecursionlimit(300)
down(0)
sys.setrecursionlimit(1000)
log.info("returned", returned=returned, lost=log._logger.sink.lost)
"""
        done = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True)
        *lines, last = checked_lines(done.stdout)
        # A call that raises at the end of the stack may have left its line in the sink, where
        # the next call completes it.
        left = len(lines) + last["Fields"]["lost"] - last["Fields"]["returned"]
        assert 0 <= left <= 1
        depths = [line["Fields"].get("value", [line["Timestamp"]])[0] for line in lines]
        assert len(set(depths)) == len(depths)
        assert len(lines) > 200

    def test_it_is_raised_where_another_logger_is_below(self) -> None:
        def exhausted(*_: Any) -> Any:
            raise MemoryError

        log = FastBoundLogger.at(1)(structlog.ReturnLogger(), [exhausted], {})
        with pytest.raises(MemoryError):
            log.info("hi")
        made = Lines([exhausted])
        made.log.info("hi")
        assert made.fields == [
            {"msg": "a record could not be rendered", "mozlog.degraded": "MemoryError"}
        ]


class TestLevels:
    def test_levels_below_the_lowest_do_nothing(self) -> None:
        made = Lines(level="WARNING")
        for name in [*LEVELS, "msg", "warn", "fatal"]:
            getattr(made.log, name)(name)
        assert [field["msg"] for field in made.fields] == [
            "warning", "error", "critical", "warn", "fatal",
        ]  # fmt: skip
        assert made.log.debug(hostile.RaisingRepr(KeyboardInterrupt), 1, self=2) is None
        assert type(made.log).info is type(made.log).debug

    def test_levels_return_what_is_enabled(self) -> None:
        made = Lines(level=30)
        assert made.log.get_effective_level() == 30
        assert (made.log.is_enabled_for(29), made.log.is_enabled_for(30)) == (False, True)

    def test_levels_of_log_are_numbers_or_names(self) -> None:
        made = Lines(level=logging.INFO)
        made.log.log(10, "unheard")
        made.log.log(20, "by number", a=1)
        made.log.log("error", "by name")
        made.log.log(25, "between", a=1)
        made.log.log(25, "%s", "formatted")
        assert [(line["Severity"], line["Fields"]) for line in made.lines] == [
            (6, {"a": 1, "msg": "by number"}),
            (3, {"msg": "by name"}),
            (5, {"a": 1, "msg": "between"}),
            (5, {"msg": "formatted"}),
        ]

    def test_exception_is_disabled_above_error(self) -> None:
        made = Lines(level="CRITICAL")
        made.log.exception("unheard")
        made.log.critical("heard")
        assert made.fields == [{"msg": "heard"}]

    def test_levels_are_those_of_the_namesake_in_the_standard_library(self) -> None:
        namesake = logging.getLogger("test.fast.level")
        namesake.setLevel(logging.ERROR)
        factory = SinkLoggerFactory(Sink(io.StringIO()))
        try:
            log = FastBoundLogger(factory("test.fast.level.child"), [], {})
            assert log.get_effective_level() == logging.ERROR
        finally:
            namesake.setLevel(logging.NOTSET)
        assert "test.fast.level.child" not in logging.root.manager.loggerDict
        logging.disable(logging.CRITICAL)
        try:
            assert FastBoundLogger(factory("test.fast.level"), [], {}).get_effective_level() == 51
        finally:
            logging.disable(logging.NOTSET)

    @pytest.mark.parametrize("level", ["loud", None, 1.5, True])
    def test_levels_that_are_none_are_refused(self, level: Any) -> None:
        with pytest.raises(ValueError, match="must be a level's name or number"):
            FastBoundLogger.at(level)

    def test_levels_have_one_class_each(self) -> None:
        assert FastBoundLogger.at(20) is FastBoundLogger.at("info") is FastBoundLogger.at(30).at(20)

    def test_levels_of_a_subclass_keep_its_methods(self) -> None:
        class Own(FastBoundLogger):
            __slots__ = ()

            def paid(self, amount: float) -> None:
                self.info("paid", amount=amount)

        stream = io.StringIO()
        log = Own.at("INFO")(SinkLoggerFactory(Sink(stream))("x"), processors("shop"), {})
        log.bind(user="ann").paid(1.5)
        (line,) = checked_lines(stream.getvalue())
        assert line["Fields"] == {"user": "ann", "amount": 1.5, "msg": "paid"}


class TestBinding:
    def test_binding_returns_new_loggers_and_leaves_the_old(self) -> None:
        made = Lines()
        bound = made.log.bind(a=1, b=2)
        bound.info("both")
        bound.unbind("a").info("without")
        bound.try_unbind("a", "unknown").info("tried")
        bound.info("still")
        made.log.info("never")
        with pytest.raises(KeyError):
            bound.unbind("unknown")
        assert made.fields == [
            {"a": 1, "b": 2, "msg": "both"},
            {"b": 2, "msg": "without"},
            {"b": 2, "msg": "tried"},
            {"a": 1, "b": 2, "msg": "still"},
            {"msg": "never"},
        ]

    def test_anew_forgets_what_was_bound_as_structlog_has_it(self) -> None:
        made = Lines()
        bound = made.log.bind(a=1)
        bound.info("before")
        bound.new(b=2).info("new")
        bound.info("after")
        assert made.fields == [{"a": 1, "msg": "before"}, {"b": 2, "msg": "new"}, {"msg": "after"}]

    def test_binding_shows_values_that_change_as_they_are_when_logged(self) -> None:
        made = Lines()
        items: list[int] = []
        log = made.log.bind(items=items)
        log.info("first")
        items.append(1)
        log.info("second")
        assert [fields["items"] for fields in made.fields] == [[], [1]]

    def test_binding_follows_a_context_that_other_code_changes(self) -> None:
        made = Lines()
        log = made.log.bind(a=1)
        log.info("before")
        structlog.get_context(log)["b"] = 2
        log.info("after")
        assert made.fields == [{"a": 1, "msg": "before"}, {"a": 1, "b": 2, "msg": "after"}]

    def test_binding_takes_other_context_classes(self) -> None:
        import collections

        made = Lines()
        log = FastBoundLogger.at(1)(made.log._logger, made.chain, collections.OrderedDict(z=1))
        log.bind(a=2).info("hi")
        assert made.fields == [{"z": 1, "a": 2, "msg": "hi"}]
        assert type(structlog.get_context(log.bind(a=2))) is collections.OrderedDict

    def test_binding_compares_by_what_is_bound(self) -> None:
        log = Lines().log
        assert log.bind(a=1) == log.bind(a=1) != log.bind(a=2)
        assert log.bind(a=1) == structlog.wrap_logger(None).bind(a=1)
        assert log != 7
        assert repr(log.bind(a=1)).startswith("<FastBoundLogger(context={'a': 1}, processors=[")

    @pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
    def test_binding_survives_copying(self, copied: Any) -> None:
        made = Lines()
        structlog.configure(logger_factory=made.log._logger._factory)
        log = made.log.bind(a=1)
        log.info("before")
        copied(log).bind(b=2).info("after")
        assert made.fields == [{"a": 1, "msg": "before"}, {"a": 1, "b": 2, "msg": "after"}]


class Derived(FastBoundLogger):
    """A class of an application with a ``__dict__`` of its own."""


@pytest.mark.usefixtures("untouched_process")
class TestPatching:
    @staticmethod
    def loggers() -> list[Any]:
        mozlog_py.configure("shop", stream=io.StringIO())
        arguments = (structlog.get_config()["processors"], {})
        sink_logger = structlog.get_config()["logger_factory"]("shop")
        kinds = (FastBoundLogger, FastBoundLogger.at(20), Derived, Derived.at(20), Mine.at(20))
        return [
            structlog.get_logger("shop").bind(service="x"),
            *(kind(sink_logger, *arguments) for kind in kinds),
        ]

    @pytest.mark.parametrize("options", [{}, {"autospec": True}], ids=["plain", "autospec"])
    def test_patch_of_one_logger_replaces_its_method_and_no_others(self, options: Any) -> None:
        for log in self.loggers():
            other = log.bind(a=1)
            with mock.patch.object(log, "info", **options) as patched:
                log.info("paid", amount=12.5)
                assert log.info is patched
                assert log.bind(b=1).info is not patched
                assert other.info is not patched
            patched.assert_called_once_with("paid", amount=12.5)
            assert log.info.__func__ is other.info.__func__

    def test_patch_of_a_logger_stays_where_levels_change(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for log in self.loggers():
            called: list[str] = []
            monkeypatch.setattr(log, "error", called.append)
            logging.getLogger("shop").setLevel("DEBUG")
            log.debug("the class changes here")
            logging.getLogger("shop").setLevel("WARNING")
            log.info("and here")
            log.error("failed")
            try:
                raise LookupError
            except LookupError:
                monkeypatch.setattr(log, "error", lambda event, **_: called.append(event))
                log.exception("failed again")
            assert called == ["failed", "failed again"]

    def test_patch_that_monkeypatch_undoes_leaves_lines_as_they_were(self) -> None:
        for log in self.loggers():
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(log, "warning", lambda _: None)
                log.warning("unseen")
            with mozlog_py.testing.capture_lines("shop") as lines:
                log.warning("seen")
            assert [line["Fields"]["msg"] for line in lines] == ["seen"]

    def test_patches_cost_nothing_outside_of_pytest(self) -> None:
        code = """
import logging, structlog, mozlog_py
mozlog_py.configure("shop", format="mozlog")
log = structlog.get_logger("shop").bind(a=1)
former = type(log)
logging.getLogger("shop").setLevel("DEBUG")
log.debug("x")
assert type(log) is not former
print(hasattr(log, "__dict__"), end="")
"""
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True, timeout=60
        )
        assert done.stdout.endswith(b"\nFalse")


class TestPickling:
    def test_pickling_of_a_bound_logger_keeps_what_is_bound_and_its_level(self) -> None:
        made = Lines(level="INFO")
        structlog.configure(logger_factory=made.log._logger._factory)
        log = made.log.bind(a=1)
        log.info("before")
        again = pickle.loads(pickle.dumps(log))
        again.debug("unheard")
        again.info("after", b=2)
        assert made.fields == [{"a": 1, "msg": "before"}, {"a": 1, "b": 2, "msg": "after"}]
        assert [line["Logger"] for line in made.lines] == ["shop", "shop"]

    def test_pickling_into_a_process_without_configuration_writes_to_stdout(self) -> None:
        log = Lines().log.bind(a=1)
        source = (
            "import pickle, sys\n"
            f"log = pickle.loads({pickle.dumps(log)!r})\n"
            "log.info('unpickled')\n"
        )
        done = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True)
        (line,) = checked_lines(done.stdout)
        assert line["Fields"] == {"a": 1, "msg": "unpickled"}
        assert (line["Type"], line["Logger"]) == ("app", "shop")

    def test_pickling_into_a_configured_process_has_its_configuration(
        self, untouched_process: None
    ) -> None:
        first, second = io.StringIO(), io.StringIO()
        mozlog_py.configure("first", format="mozlog", stream=first)
        pickled = pickle.dumps(structlog.get_logger("app").bind(a=1))
        mozlog_py.configure("second", format="mozlog", stream=second)
        pickle.loads(pickled).info("hi")
        (line,) = checked_lines(second.getvalue())
        assert (line["Logger"], line["Fields"]) == ("second", {"a": 1, "msg": "hi"})
        assert first.getvalue() == ""


class TestChains:
    def test_chains_with_the_renderer_in_the_middle_are_explained(self) -> None:
        made = Lines([MozlogRenderer("shop"), structlog.processors.JSONRenderer()])
        with pytest.raises(TypeError, match="put it last"):
            made.log.info("hi")

    @pytest.mark.parametrize("before", [[1], [MozlogRenderer], [None]])
    def test_chains_with_what_is_no_processor_are_refused(self, before: Any) -> None:
        with pytest.raises(TypeError, match="no processor"):
            processors("shop", before=before)

    def test_chains_of_other_processors_are_run(self) -> None:
        def add(logger: Any, name: str, event: Any) -> Any:
            return {**event, "added": name}

        made = Lines(processors("shop", before=[add]))
        made.log.bind(a=1).warning("hi", b=2)
        assert made.fields == [{"a": 1, "b": 2, "added": "warning", "msg": "hi"}]
        assert not made.is_prepared()

    def test_chains_that_change_under_a_logger_are_noticed(self) -> None:
        made = Lines()
        log = made.log.bind(a=1)
        log.info("before")

        def add(logger: Any, name: str, event: Any) -> Any:
            return {**event, "added": True}

        made.chain.insert(0, add)
        log.info("during")
        del made.chain[0]
        log.info("after")
        assert [fields.get("added") for fields in made.fields] == [None, True, None]
        assert made.is_prepared(log)

    def test_chains_whose_processor_raises_leave_it_out_and_say_so(self) -> None:
        def broken(logger: Any, name: str, event: Any) -> Any:
            raise LookupError

        def silent(logger: Any, name: str, event: Any) -> Any:
            event["silent"] = 1

        made = Lines([broken, silent, MozlogRenderer("shop")])
        made.log.info("hi", a=1)
        (got,) = made.fields
        reasons = got.pop("mozlog.degraded")
        assert got == {"a": 1, "silent": 1, "msg": "hi"}
        assert "broken raised LookupError" in reasons
        assert "silent returned no event dict" in reasons

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    def test_chains_whose_processor_interrupts_write_the_line_first(self, kind: Any) -> None:
        def interrupting(logger: Any, name: str, event: Any) -> Any:
            raise kind

        made = Lines([interrupting, MozlogRenderer("shop")])
        with pytest.raises(kind):
            made.log.info("hi", a=1)
        assert made.fields[0]["msg"] == "hi"

    def test_chains_that_drop_an_event_write_nothing(self) -> None:
        def drop(logger: Any, name: str, event: Any) -> Any:
            raise structlog.DropEvent

        made = Lines([drop, MozlogRenderer("shop")])
        assert made.log.info("hi") is None
        assert made.text == ""

    def test_chains_may_end_in_another_renderer(self) -> None:
        made = Lines([structlog.processors.JSONRenderer()])
        made.log.info("hi", a=1)
        assert made.text == '{"a": 1, "event": "hi"}\n'

    def test_chains_may_be_empty_or_a_tuple(self) -> None:
        log = FastBoundLogger.at(1)(structlog.ReturnLogger(), [], {"a": 1})
        assert log.info("hi") == ((), {"a": 1, "event": "hi"})
        made = Lines((MozlogRenderer("shop"),))
        made.log.info("hi")
        assert made.fields == [{"msg": "hi"}]

    def test_chains_that_return_what_no_logger_takes_are_explained(self) -> None:
        log = FastBoundLogger.at(1)(structlog.ReturnLogger(), [lambda *_: 7], {})
        with pytest.raises(ValueError, match=r"returned int.*is MozlogRenderer the last"):
            log.info("hi")

    def test_chains_with_structlogs_own_loggers_below_work(self) -> None:
        file = io.BytesIO()
        log = FastBoundLogger.at(1)(structlog.BytesLogger(file), processors("shop"), {})
        log.info("plain", a=1)
        log.info("odd", a=[1])
        text = io.StringIO()
        printing = FastBoundLogger.at(1)(
            structlog.PrintLogger(text), processors("shop", output="text"), {}
        )
        printing.info("plain", a=1)
        assert [line["Fields"] for line in checked_lines(file.getvalue())] == [
            {"a": 1, "msg": "plain"},
            {"a": [1], "msg": "odd"},
        ]
        assert [line["Fields"] for line in checked_lines(text.getvalue())] == [
            {"a": 1, "msg": "plain"}
        ]

    def test_chains_that_are_wired_wrongly_are_explained(self) -> None:
        log = FastBoundLogger.at(1)(structlog.PrintLogger(io.StringIO()), processors("shop"), {})
        with pytest.raises(TypeError, match="PrintLogger takes text"):
            log.info("hi")

    @pytest.mark.parametrize("is_prepared", [False, True])
    def test_chains_of_capture_logs_see_the_event(self, is_prepared: bool) -> None:
        made = Lines()
        structlog.configure(processors=made.chain)
        log = made.log.bind(a=1)
        if is_prepared:
            log.info("before")
        with structlog.testing.capture_logs() as captured:
            log.info("%s", "during", b=2)
        log.info("after")
        assert captured == [{"a": 1, "b": 2, "event": "during", "log_level": "info"}]
        assert [fields["msg"] for fields in made.fields] == [*["before"] * is_prepared, "after"]
        assert made.is_prepared(log)


class TestAsync:
    @pytest.mark.parametrize("method", ["ainfo", "amsg", "awarning", "aerror", "afatal", "adebug"])
    def test_methods_write_the_same_line(self, method: str) -> None:
        made = Lines()

        async def main() -> None:
            with context.bound(user="ann"):
                await getattr(made.log, method)("%s paid", "Ann", amount=1)

        asyncio.run(main())
        assert made.fields == [{"user": "ann", "amount": 1, "msg": "Ann paid"}]

    def test_exception_and_log_have_their_twins(self) -> None:
        made = Lines(level="INFO")

        async def main() -> None:
            try:
                raise ValueError("boom")
            except ValueError:
                await made.log.aexception("failed")
            await made.log.alog(25, "between")
            await made.log.alog(10, "unheard")
            assert await made.log.adebug("unheard") is None

        asyncio.run(main())
        assert [line["Severity"] for line in made.lines] == [3, 5]
        assert made.fields[0]["error"] == "ValueError('boom')"

    def test_methods_write_in_another_thread(self) -> None:
        threads = []

        class Noting(io.StringIO):
            def write(self, text: str) -> int:
                threads.append(threading.current_thread())
                return super().write(text)

        sink = Sink(Noting())
        log = FastBoundLogger.at(1)(SinkLoggerFactory(sink)("app"), processors("shop"), {})
        asyncio.run(log.ainfo("hi"))
        assert threads != [threading.main_thread()]
        assert len(threads) == 1

    def test_methods_work_without_asyncio(self) -> None:
        made = Lines()
        with pytest.raises(StopIteration):
            made.log.ainfo("hi").send(None)
        assert made.fields == [{"msg": "hi"}]


class TestAfterAFork:
    # The interpreter does not see a fork of C code, which is found by the next check.
    @pytest.mark.parametrize("fork", ["os.fork()", "ctypes.CDLL(None).fork(); time.sleep(0.1)"])
    def test_lines_have_the_childs_pid(self, fork: str) -> None:
        source = f"""
import ctypes, os, sys, time
from mozlog_py.structlog import FastBoundLogger, SinkLoggerFactory, processors
log = FastBoundLogger.at(1)(SinkLoggerFactory()("app"), processors("shop"), {{"a": 1}})
log.info("parent", pid=os.getpid())
child = {fork}
log.info("child" if child == 0 else "parent", pid=os.getpid())
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
"""
        done = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True)
        lines = checked_lines(done.stdout)
        assert [line["Pid"] == line["Fields"]["pid"] for line in lines] == [True] * 3
        assert len({line["Pid"] for line in lines}) == 2

    def test_a_renderer_that_could_not_be_reset_is_reset_later(self) -> None:
        class RaiseAfterWrite:
            told = 0

            def reset_after_fork(self) -> None:
                self.told += 1
                if self.told == 1:
                    raise KeyboardInterrupt

        process, prepared = Process(), [RaiseAfterWrite(), RaiseAfterWrite()]
        for one in prepared:
            process.register(one)
        for _ in prepared:
            with pytest.raises(KeyboardInterrupt):
                process.refresh(1)
            assert process.pid < 0
        process.refresh(1)
        assert process.pid == os.getpid()
        assert [one.told for one in prepared] == [3, 2]

    def test_a_clock_that_was_ahead_or_behind_stops_no_check(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        second, now = 1_000_000_000, 1_800_000_000_000_000_000
        clock = [now]
        monkeypatch.setattr(process_id, "_system_ns", lambda: clock[0])
        process, checks = Process(), []
        process.periodic.append(lambda: checks.append(clock[0]))

        def line(ns: int) -> int:
            """Return how many checks the line of a bound logger at a time has caused."""
            before = len(checks)
            if ns > process.until_ns:
                process.refresh(ns)
            return len(checks) - before

        assert [line(now), line(now), line(now + second // 1000)] == [1, 0, 0]
        # A test sets the clock ahead, and back. The clock stands still meanwhile.
        for frozen in (now + 10**9 * second, 1):
            process.expire_if_set_back(frozen)
            for _ in range(3):
                clock[0] += second
                assert line(frozen) == 1
                assert line(frozen) == 0
            clock[0] += second
            assert line(clock[0]) == 1
        # The system's own clock is set back.
        clock[0] = now - 3600 * second
        assert line(clock[0]) == 0
        process.expire_if_set_back(clock[0])
        assert [line(clock[0]), line(clock[0])] == [1, 0]
        clock[0] += second
        assert line(clock[0]) == 1

    def test_renderers_that_are_equal_are_told_each(self) -> None:
        class Equal(MozlogRenderer):
            def __eq__(self, other: object) -> bool:
                return isinstance(other, Equal)

            def __hash__(self) -> int:
                return 7

        renderers = [Equal("a"), Equal("b")]
        states = [renderer.state for renderer in renderers]
        process.pid = -1
        process.refresh(time.time_ns())
        assert all(
            renderer.state is not state for renderer, state in zip(renderers, states, strict=True)
        )

    @pytest.mark.slow
    def test_renderers_are_not_kept_alive_for_it(self) -> None:
        before = len(process._prepared)
        for _ in range(50):
            MozlogRenderer("shop")
        gc.collect()
        assert len(process._prepared) <= before


class TestByItself:
    """Short lines for files are written without a call of the sink."""

    def sink(self, made: Lines) -> Sink:
        return made.log._logger.sink  # type: ignore[no-any-return]

    def test_by_itself_are_counted_by_the_sink(self) -> None:
        made = Lines()
        for number in range(3):
            made.log.info("hi", n=number)
        assert self.sink(made).direct_write is not NO_DIRECT_WRITE
        assert self.sink(made).written == 3
        assert [field["n"] for field in made.fields] == [0, 1, 2]

    @pytest.mark.parametrize("length", [SHORT_BYTES - 400, SHORT_BYTES + 400, 100_000])
    def test_by_itself_are_whole_and_cut_as_by_the_sink_where_they_are_long(
        self, length: int
    ) -> None:
        made = Lines()
        made.log.info("first")
        made.log.info("hi", text="x" * length)
        by_sink = Lines()
        self.sink(by_sink).direct_write = NO_DIRECT_WRITE
        by_sink.log.info("hi", text="x" * length)
        assert made.fields[1:] == by_sink.fields
        assert len(made.fields[1]["text"]) == min(length, len(by_sink.fields[0]["text"]))

    def test_no_short_line_has_more_fields_than_a_line_may_have(self) -> None:
        # `"":1,` is the shortest, and all others have a letter more.
        assert SHORT_BYTES // len('"a":1,') <= MAX_ITEMS // 2

    def test_a_smaller_cap_holds(self) -> None:
        made = Lines()
        logger = SinkLoggerFactory(Sink(made.file, max_line_bytes=1024))("app")
        log = FastBoundLogger.at(1)(logger, processors("shop"), {})
        log.info("first")
        log.info("hi", text="x" * 2000)
        assert all(len(line) <= 1024 for line in made.text.splitlines(keepends=True))
        assert len(made.fields) == 2

    def test_by_itself_follow_a_stream_that_is_set(self) -> None:
        made, other = Lines(), Lines()
        made.log.info("here")
        self.sink(made).stream = other.file
        made.log.info("there")
        made.log.info("there again")
        assert [field["msg"] for field in made.fields] == ["here"]
        assert [field["msg"] for field in other.fields] == ["there", "there again"]

    def test_by_itself_are_short_again_after_a_stream_was_set(self) -> None:
        made = Lines()
        for _ in range(2):
            self.sink(made).stream = made.file
            made.log.info("hi")
            assert self.sink(made).direct_write is not NO_DIRECT_WRITE
        assert made.fields == [{"msg": "hi"}] * 2

    def test_by_itself_go_to_a_write_that_was_replaced(self) -> None:
        made = Lines()
        sink = self.sink(made)
        usual, seen = sink.write, []

        def write(line: bytes) -> bool:
            seen.append(line)
            return usual(line)

        sink.write = write  # type: ignore[method-assign]
        for _ in range(3):
            made.log.info("hi")
        assert len(seen) == 3
        assert made.fields == [{"msg": "hi"}] * 3

    def test_by_itself_follow_a_stream_that_is_set_while_the_former_is_made_ready(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made, other = Lines(), Lines()
        usual = line_writer.slot_writers

        def interrupted(*arguments: Any) -> Any:
            monkeypatch.undo()
            # Another thread may do this at the same moment.
            self.sink(made).stream = other.file
            return usual(*arguments)

        monkeypatch.setattr(line_writer, "slot_writers", interrupted)
        made.log.info("here")
        made.log.info("there")
        assert [field["msg"] for field in made.fields] == ["here"]
        assert [field["msg"] for field in other.fields] == ["there"]

    def test_by_itself_follow_stdout(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        log = FastBoundLogger.at(1)(SinkLoggerFactory()("app"), processors("shop"), {})
        names = ["first", "second", "first"]
        files = {name: (tmp_path / name).open("a") for name in sorted(set(names))}
        for name in names:
            monkeypatch.setattr(sys, "stdout", files[name])
            log.info("a", of=name)
            log.info("b", of=name)
        for name, file in files.items():
            file.close()
            lines = checked_lines((tmp_path / name).read_text())
            assert [line["Fields"]["of"] for line in lines] == [name] * (2 * names.count(name))

    def test_by_itself_come_after_what_was_printed(self, tmp_path: Path) -> None:
        path = tmp_path / "out"
        with path.open("w") as file:
            log = FastBoundLogger.at(1)(SinkLoggerFactory(Sink(file))("app"), processors("x"), {})
            log.info("first")
            print("printed", file=file)
            log.info("second")
        assert [line[:8] for line in path.read_text().splitlines()][1] == "printed"

    def test_by_itself_to_a_closed_file_are_lost_and_counted(
        self, capfd: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A test that ran within the last second may have had its note.
        monkeypatch.setattr("mozlog_py._process.self_log._last", float("-inf"))
        made = Lines()
        made.log.info("first")
        made.file.close()
        made.log.info("second", n=1)
        assert (self.sink(made).written, self.sink(made).lost) == (1, 1)
        assert "a record was not written: ValueError" in capfd.readouterr().err

    def test_by_itself_of_many_threads_are_whole(self) -> None:
        made = Lines()

        def work(which: int) -> None:
            for number in range(300):
                made.log.info("hi", which=which, n=number, pad="x" * 500)

        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            threads = [threading.Thread(target=work, args=(which,)) for which in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(before)
        got = [(field["which"], field["n"]) for field in made.fields]
        assert sorted(got) == [(which, number) for which in range(6) for number in range(300)]
        for which in range(6):
            assert [n for thread, n in got if thread == which] == list(range(300))
        assert self.sink(made).written == 1800

    def test_open_a_path_anew_that_was_moved(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mozlog_py._sink.reopenable_file._CHECK_EVERY_S", 0.0)
        path = tmp_path / "log"
        log = FastBoundLogger.at(1)(SinkLoggerFactory(Sink(path))("app"), processors("shop"), {})
        log.info("before", n=1)
        log.info("before", n=2)
        path.rename(tmp_path / "log.1")
        log.info("after", n=3)
        log.info("after", n=4)
        for name, numbers in (("log.1", [1, 2]), ("log", [3, 4])):
            lines = checked_lines((tmp_path / name).read_text())
            assert [line["Fields"]["n"] for line in lines] == numbers


#: The message, the fields, the bound fields and the context of any call.
CALLS = st.tuples(
    TEXTS | PLAIN_SCALARS,
    st.dictionaries(TEXTS, NESTED | PLAIN_SCALARS, max_size=6),
    st.dictionaries(TEXTS, PLAIN_SCALARS | NESTED, max_size=3),
    st.dictionaries(TEXTS, PLAIN_SCALARS, max_size=2),
)

MEANINGFUL = {
    "event", "level", "level_number", "logger", "timestamp", "exc_info", "exception", "stack",
    "stack_info", "positional_args", "_from_structlog", "_logger", "_name", "_record",
    # Attributes of each record, and those that a handler sets.
    "logger_name", *vars(logging.makeLogRecord({})), "message", "asctime", "taskName",
}  # fmt: skip


@pytest.mark.slow
class TestAnyCall:
    @given(CALLS)
    def test_any_call_makes_the_same_fields_in_the_fast_logger_the_chain_and_logging(
        self, call: tuple[Any, Any, Any, Any]
    ) -> None:
        message, said, bound, around = call
        said = {name: value for name, value in said.items() if name not in MEANINGFUL}
        bound = {name: value for name, value in bound.items() if name not in MEANINGFUL}
        fast = Lines()
        file = io.BytesIO()
        chain = structlog.make_filtering_bound_logger(10)(
            structlog.BytesLogger(file), processors("shop"), dict(bound)
        )
        formatter = MozlogFormatter(logger_name="shop")
        record = logging.LogRecord("app", logging.INFO, "", 0, message, (), None)
        vars(record).update({**bound, **said})
        with context.bound(**around):
            log = fast.log.bind(**bound)
            log.info(message, **said)
            chain.info(message, **{k: v for k, v in said.items() if k != "self"})
            of_logging = checked(formatter.format(record))
        (of_fast,) = fast.lines
        assert of_fast["Fields"] == of_logging["Fields"]
        if "self" not in said:
            (of_chain,) = checked_lines(file.getvalue())
            assert of_chain["Fields"] == of_logging["Fields"]

    @pytest.mark.parametrize("name", ["%", "k%", "%%b", "%d%"])
    def test_any_call_may_have_a_per_cent_sign_in_the_first_name_that_is_bound(
        self, name: str
    ) -> None:
        made = Lines()
        with context.bound(around=1):
            made.log.bind(**{name: "100 %", "c": "%%"}).info("%", d=2)
        (line,) = made.lines
        assert [*line["Fields"].items()] == [
            ("around", 1), (name, "100 %"), ("c", "%%"), ("d", 2), ("msg", "%"),
        ]  # fmt: skip

    @given(CALLS, st.sampled_from(LEVELS))
    def test_any_call_makes_one_valid_line(
        self, call: tuple[Any, Any, Any, Any], method: str
    ) -> None:
        message, said, bound, around = call
        made = Lines()
        with context.bound(**around):
            said = {name: value for name, value in said.items() if name != "event"}
            getattr(made.log.bind(**bound), method)(message, **said)
        assert len(made.lines) == 1


class TestThroughStructlogsProxy:
    @pytest.fixture
    def stream(self, untouched_process: None) -> io.StringIO:
        stream = io.StringIO()
        mozlog_py.configure("shop", format="mozlog", level="INFO", stream=stream)
        return stream

    def test_methods_are_the_loggers_own_once_it_is_kept(self, stream: io.StringIO) -> None:
        log = structlog.get_logger("app", a=1)
        log.info("first")
        assert log.info.__self__ is log.bind()
        assert log.debug("unheard") is None
        log.info("second")
        log.bind(b=2).warning("third")
        assert [line["Fields"] for line in checked_lines(stream.getvalue())] == [
            {"a": 1, "msg": "first"}, {"a": 1, "msg": "second"},
            {"a": 1, "b": 2, "msg": "third"},
        ]  # fmt: skip

    def test_through_structlogs_proxy_captures_and_other_configurations_have_an_effect(
        self, stream: io.StringIO
    ) -> None:
        log = structlog.get_logger("app")
        log.info("first")
        with structlog.testing.capture_logs() as captured:
            log.info("captured")
        other = io.StringIO()
        mozlog_py.configure("other", format="mozlog", stream=other)
        log.info("second")
        assert [event["event"] for event in captured] == ["captured"]
        assert [line["Fields"]["msg"] for line in checked_lines(stream.getvalue())] == ["first"]
        assert [line["Logger"] for line in checked_lines(other.getvalue())] == ["other"]

    def test_nothing_is_shortened_where_loggers_are_not_kept(self, stream: io.StringIO) -> None:
        structlog.configure(cache_logger_on_first_use=False)
        log = structlog.get_logger("app")
        log.info("first")
        assert "info" not in vars(log)
        kept = structlog.wrap_logger(None, cache_logger_on_first_use=True)
        kept.info("second")
        assert "info" in vars(kept)

    def test_through_structlogs_proxy_is_not_bypassed_without_structlogs_private_name(
        self, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mozlog_py.structlog.lazy_proxy._BIND_CODE", None)
        log = structlog.get_logger("app")
        log.info("first")
        assert "info" not in vars(log)
        assert len(checked_lines(stream.getvalue())) == 1

    def test_the_proxy_gets_methods_of_an_initialised_logger(
        self, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[Any] = []
        monkeypatch.setattr(
            "mozlog_py.structlog.bound_logger.bypass_proxy",
            lambda log, *_, **__: seen.append(log.info("hi")),
        )
        structlog.get_logger("app").info("first")
        assert seen == [None]
        assert [line["Fields"]["msg"] for line in checked_lines(stream.getvalue())] == [
            "hi", "first",
        ]  # fmt: skip


class TestWhatAHostileUserFound:
    def test_a_cancelled_call_is_logged_all_the_same(self) -> None:
        made = Lines()

        async def main() -> None:
            import concurrent.futures

            loop = asyncio.get_running_loop()
            pool = concurrent.futures.ThreadPoolExecutor(1)
            loop.set_default_executor(pool)
            is_free = threading.Event()
            pool.submit(is_free.wait)
            task = asyncio.create_task(made.log.ainfo("kept"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            is_free.set()
            pool.shutdown(wait=True)

        asyncio.run(main())
        assert made.fields == [{"msg": "kept"}]

    def test_levels_used_under_other_processors_are_fast_again(self) -> None:
        made = Lines()
        structlog.configure(processors=made.chain)
        with structlog.testing.capture_logs():
            made.log.info("captured")
            made.log.error("captured")
        made.log.info("a")
        made.log.error("b")
        assert is_prepared(made.log, logging.INFO)
        assert is_prepared(made.log, logging.ERROR)

    def test_arguments_are_formatted_once(self) -> None:
        made = Lines()
        made.log.info("first")

        class Counting:
            count = 0

            def __str__(self) -> str:
                Counting.count += 1
                return f"count {Counting.count}"

        made.log.info("%s", Counting(), odd=[1])
        assert made.fields[1] == {"odd": [1], "msg": "count 1"}

    def test_processors_that_compare_as_they_like_do_no_harm(self) -> None:
        class Incomparable:
            def __eq__(self, other: object) -> bool:
                raise ValueError

            def __call__(self, logger: Any, name: str, event: Any) -> Any:
                return event

        made = Lines([Incomparable(), MozlogRenderer("shop")])
        made.log.info("a")
        made.chain[0] = Incomparable()
        made.log.info("b")
        assert [fields["msg"] for fields in made.fields] == ["a", "b"]

    def test_what_a_hostile_user_found_drop_event_out_of_a_value_is_no_interrupt(self) -> None:
        made = Lines()
        made.log.info("hi", value=hostile.RaisingRepr(structlog.DropEvent))
        (got,) = made.fields
        assert got["value"] == "<unprintable RaisingRepr: DropEvent>"

    def test_a_broken_context_class_costs_the_line_only(self) -> None:
        class Broken(dict):  # type: ignore[type-arg]
            def copy(self) -> Any:
                raise LookupError

        stream = io.StringIO()
        log = FastBoundLogger.at(1)(
            SinkLoggerFactory(Sink(stream))("x"), processors("shop"), Broken()
        )
        log.info("hi")
        asyncio.run(log.ainfo("hi"))
        lines = checked_lines(stream.getvalue())
        assert [line["Fields"]["mozlog.degraded"] for line in lines] == ["LookupError"] * 2

    def test_err_is_error(self) -> None:
        made = Lines()
        made.log.err("hi")
        asyncio.run(made.log.aerr("hi"))
        assert [line["Severity"] for line in made.lines] == [3, 3]

    def test_the_result_of_the_logger_below_is_returned(self) -> None:
        log = FastBoundLogger.at(1)(structlog.ReturnLogger(), processors("shop"), {})
        first, second = log.info("hi"), log.info("hi")
        assert checked(first)["Fields"] == checked(second)["Fields"] == {"msg": "hi"}

    def test_classes_made_of_classes_of_levels_hear_what_they_should(self) -> None:
        stream = io.StringIO()
        factory = SinkLoggerFactory(Sink(stream))
        assert issubclass(Mine.at(10), Mine)
        log = Mine.at(10)(factory("x"), processors("shop"), {})
        log.debug("heard")
        log.exception("heard")
        Mine(factory("x"), processors("shop"), {}).info("unheard")
        assert len(checked_lines(stream.getvalue())) == 2
        structlog.configure(logger_factory=factory)
        assert type(pickle.loads(pickle.dumps(log))) is Mine.at(10)

    def test_options_of_a_formatter_that_change_are_followed(self, untouched_process: None) -> None:
        stream = io.StringIO()
        mozlog_py.configure("shop", format="mozlog", stream=stream)
        log = structlog.get_logger("app").bind(a=1)
        log.info("before")
        formatter: Any = logging.getLogger().handlers[0].formatter
        formatter.static_fields = {"env": "prod"}
        log.info("after")
        formatter.hostname = "web-9"
        log.info("again")
        lines = checked_lines(stream.getvalue())
        assert [line["Fields"].get("env") for line in lines] == [None, "prod", "prod"]
        assert lines[2]["Hostname"] == "web-9"

    def test_what_a_hostile_user_found_prefixes_and_converted_records_hold_for_events(self) -> None:
        class Own(MozlogFormatter):
            def convert_record(self, made: logging.LogRecord) -> dict[str, Any]:
                return {**super().convert_record(made), "Own": 1}

        prefixed = Lines(processors(formatter=MozlogFormatter(prefix=">> ")))
        prefixed.log.info("hi")
        assert prefixed.text.startswith(">> {")
        converted = Lines(processors(formatter=Own()))
        converted.log.info("hi", a=1)
        (line,) = converted.lines
        assert (line["Own"], line["Fields"]) == (1, {"a": 1, "msg": "hi"})

    def test_processors_of_a_formatter_are_run_with_others_before_them(self) -> None:
        from mozlog_py.processors import Redact, add_severity

        formatter = MozlogFormatter(processors=[Redact()])
        for before in ([], [add_severity]):
            made = Lines(processors(formatter=formatter, before=before))
            made.log.info("hi", password="p")
            assert made.fields[0]["password"] == "[redacted]"
        dropping = Lines(
            [MozlogRenderer(formatter=MozlogFormatter(processors=[lambda *_: self.drop()]))]
        )
        dropping.log.info("dropped")
        assert dropping.text == ""

    @staticmethod
    def drop() -> Any:
        raise structlog.DropEvent

    def test_a_users_field_that_is_named_like_ours_for_losses_is_kept(self) -> None:
        made = Lines(processors(formatter=MozlogFormatter(rename_fields={"x": "y"})))
        made.log.info("%d", "no number", **{"mozlog.degraded": [1]})
        (got,) = made.fields
        assert got["extra.mozlog.degraded"] == [1]
        assert got["mozlog.degraded"] == "message and arguments do not fit"


class TestSinkLogger:
    def test_sink_logger_writes_text_and_bytes_as_lines(self) -> None:
        stream = io.StringIO()
        logger = SinkLoggerFactory(Sink(stream))("x")
        logger.info(b"bytes")
        logger.error("text ž \ud800")
        assert stream.getvalue() == "bytes\ntext ž \\ud800\n"
        assert repr(logger) == "<SinkLogger(name='x')>"

    def test_sink_logger_follows_its_factory(self) -> None:
        before, after = io.StringIO(), io.StringIO()
        factory = SinkLoggerFactory(Sink(before))
        logger = factory()
        factory.sink = Sink(after)
        logger.info(b"hi")
        assert (before.getvalue(), after.getvalue(), logger.name) == ("", "hi\n", None)

    def test_shares_the_sink_of_a_handler(self) -> None:
        stream = io.StringIO()
        handler = MozlogHandler(stream, "shop")
        log = FastBoundLogger.at(1)(SinkLoggerFactory(handler.sink)("app"), processors("shop"), {})
        standard = logging.Logger("app")
        standard.addHandler(handler)
        for number in range(3):
            log.info("structlog", n=number)
            standard.info("logging", extra={"n": number})
        lines = checked_lines(stream.getvalue())
        assert [line["Fields"]["n"] for line in lines] == [0, 0, 1, 1, 2, 2]
        assert [line["Fields"]["msg"] for line in lines] == ["structlog", "logging"] * 3

    def test_pickles_only_its_name(self) -> None:
        logger = SinkLoggerFactory(Sink(io.StringIO()))("x")
        again = pickle.loads(pickle.dumps(logger))
        assert isinstance(again, SinkLogger)
        assert again.name == "x"
        assert again.sink.stream is sys.stdout


def test_public_names() -> None:
    assert set(mozlog_py.structlog.__all__) == {
        "FastBoundLogger", "MozlogRenderer", "SinkLogger", "SinkLoggerFactory", "processors",
    }  # fmt: skip
