"""The factory of records: those that ``logging.LogRecord`` is, made with less."""

from __future__ import annotations

import _thread
import asyncio
import ctypes
import io
import logging
import logging.config
import logging.handlers
import multiprocessing
import os
import pickle
import queue
import subprocess
import sys
import textwrap
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from conformance import checked_lines
from hypothesis import example, given
from hypothesis import strategies as st

import mozlog_py
from mozlog_py._fields.from_record import HAS_NANOSECONDS, STANDARD_ATTRIBUTES
from mozlog_py._stdlib import record_factory
from mozlog_py._stdlib.record_factory import install, make_record

SWITCHES = [
    name
    for name in ("logThreads", "logMultiprocessing", "logProcesses", "logAsyncioTasks")
    if hasattr(logging, name)
]
HAS_TASKS = "logAsyncioTasks" in SWITCHES
NOW = 1_795_370_369_264_142_592
PLACE = "/srv/shop/cart.py"


@pytest.fixture(autouse=True)
def _untouched(untouched_process: None) -> Iterator[None]:
    record_factory._files_and_modules.clear()
    yield
    record_factory._files_and_modules.clear()


class Hostile(Exception):
    """The exception that a hostile value raises."""


class Settings(Mapping[str, Any]):
    """A mapping that is no dict."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def __getitem__(self, name: str) -> Any:
        return self.settings[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.settings)

    def __len__(self) -> int:
        return len(self.settings)


class Untruthful(Settings):
    def __bool__(self) -> bool:
        raise Hostile


class Text(str):
    __slots__ = ()


def arguments(**changed: Any) -> dict[str, Any]:
    """Return the arguments of an ordinary record, but for what is changed."""
    return {
        "name": "shop", "level": 20, "pathname": PLACE, "lineno": 7, "msg": "%s paid",
        "args": ("Ann",), "exc_info": None, "func": "pay", "sinfo": None, **changed,
    }  # fmt: skip


def outcome(make: Callable[..., logging.LogRecord], given_: dict[str, Any]) -> Any:
    """Return a record, or the error in its place."""
    try:
        return make(**given_)
    except Exception as error:
        # The context too: nothing of the way there may show.
        return type(error), error.args, error.__context__


def compare(now: int = NOW, **changed: Any) -> Any:
    """Make one record each of the same arguments at one time; give ours."""
    given_ = arguments(**changed)
    with (
        mock.patch("time.time", return_value=now / 1e9),
        mock.patch("time.time_ns", return_value=now),
    ):
        # Twice: what is known beforehand is known from the first.
        ours = [outcome(make_record, given_) for _ in range(2)]
        theirs = outcome(logging.LogRecord, given_)
    for made in ours:
        if not isinstance(theirs, logging.LogRecord):
            assert made == theirs
            continue
        assert type(made) is logging.LogRecord
        assert list(vars(made)) == list(vars(theirs))
        for name, expected in vars(theirs).items():
            value = getattr(made, name)
            assert value is expected or (type(value), value) == (type(expected), expected), name
    return ours[-1]


@pytest.fixture
def no_delegation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have it show where LogRecord itself is asked."""

    def ask(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("LogRecord was asked")

    monkeypatch.setattr(logging.LogRecord, "__init__", ask)
    # Or it would be seen that it was replaced.
    monkeypatch.setattr(record_factory, "_init", ask)


# Of each kind that is told from another, and of what no code says but a caller may.
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.builds(Text, st.text())
    | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
    | st.builds(Settings, a=st.integers())
    | st.sampled_from([Settings(), Untruthful(a=1), types.MappingProxyType({"a": 1}), [], [{}]])
)
ARGUMENTS = st.fixed_dictionaries(
    {
        "name": VALUES,
        "level": st.sampled_from([10, 20, 30, 40, 50, 0, 25, True, "INFO", "LOUD"]) | VALUES,
        "pathname": st.sampled_from(
            [PLACE, "cart.py", "", "/", "a/", "/a.b/c", ".profile", "a.tar.gz", Path("a/b.py")]
        )
        | VALUES,
        "lineno": VALUES,
        "msg": VALUES,
        "args": st.tuples(VALUES) | st.lists(VALUES, max_size=2).map(tuple) | VALUES,
        "exc_info": VALUES,
        "func": VALUES,
        "sinfo": VALUES,
    }
)
# Since 1970, and up to where the seconds are a whole float.
TIMES = st.integers(0, 2**52 * 1_000)


class TestMakeRecord:
    @given(ARGUMENTS, TIMES)
    @example(arguments(), 1_677_903_920_999_998_503)
    @example(arguments(), 1_677_903_920_999_999_900)
    @example(arguments(), 0)
    @example(arguments(pathname="/a.b/c.tar.gz"), NOW)
    @example(arguments(pathname="/a/.profile"), NOW)
    def test_make_record_makes_what_logging_makes(self, changed: dict[str, Any], now: int) -> None:
        compare(now, **changed)

    def test_make_record_makes_what_logging_makes_now(self) -> None:
        before, ours, theirs = time.time(), make_record(**arguments()), time.time()
        assert before <= ours.created <= theirs
        made = logging.LogRecord(**arguments())
        assert 0 <= made.created - ours.created < 60
        # Of one beginning: what has passed between two records is the same by both.
        passed = (made.created - ours.created) * 1000
        assert made.relativeCreated - ours.relativeCreated == pytest.approx(passed, abs=0.01)
        if HAS_NANOSECONDS:
            assert ours.msecs == pytest.approx(ours.created % 1 * 1000 // 1, abs=1.01)
        else:
            assert ours.msecs == int((ours.created - int(ours.created)) * 1000)

    def test_make_record_asks_logging_for_no_ordinary_record(self, no_delegation: None) -> None:
        record = make_record(**arguments())
        assert vars(record)["filename"] == "cart.py"
        assert make_record(**arguments(args=({"a": 1},), msg="%(a)d")).getMessage() == "1"
        assert make_record(**arguments(args=(ValueError("x"),))).getMessage() == "x paid"

    def test_make_record_makes_records_that_the_fast_way_knows(self) -> None:
        assert list(vars(make_record(**arguments()))) == STANDARD_ATTRIBUTES

    def test_make_record_takes_arguments_by_their_place_and_what_it_does_not_know(self) -> None:
        made = make_record("a", 30, PLACE, 1, "m", (), None, "f", "stack", further=1)
        assert (made.name, made.funcName, made.stack_info) == ("a", "f", "stack")
        assert "further" not in vars(make_record(**arguments(further=1)))
        # Also where logging is asked.
        assert make_record(**arguments(further=1, pathname=None)).module == "Unknown module"
        assert make_record("a", 30, PLACE, 1, "m", (), None).funcName is None

    def test_make_record_leaves_errors_to_logging(self) -> None:
        assert compare(level=[])[0] is TypeError
        assert compare(args={"a": 1}) == (KeyError, (0,), None)
        assert compare(args=(Untruthful(a=1),))[0] is Hostile

    def test_make_record_lets_an_interrupt_through(self) -> None:
        class Interrupting(Settings):
            def __bool__(self) -> bool:
                # Once, as Ctrl-C does.
                raise interrupts.pop() if interrupts else Hostile

        interrupts = [KeyboardInterrupt]
        with pytest.raises(KeyboardInterrupt):
            make_record(**arguments(args=(Interrupting(),)))
        assert interrupts == []

    def test_make_record_takes_a_mapping_that_is_the_only_argument_for_the_arguments(self) -> None:
        assert compare(args=({"a": 1},), msg="%(a)d").getMessage() == "1"
        assert compare(args=(Settings(a=2),), msg="%(a)d").getMessage() == "2"
        for args in (({},), (Settings(),), ({"a": 1}, 2), (0,), (None,), ([1],), ()):
            assert compare(args=args).args is args

    def test_make_record_gives_levels_the_names_that_they_have_now(self) -> None:
        assert compare(level=23).levelname == "Level 23"
        with mock.patch.dict(logging._levelToName), mock.patch.dict(logging._nameToLevel):
            logging.addLevelName(23, "LOUD")
            logging.addLevelName(20, "NEWS")
            logging.addLevelName(24, None)  # type: ignore[arg-type]
            assert compare(level=23).levelname == "LOUD"
            assert compare(level=20).levelname == "NEWS"
            assert compare(level=24).levelname == "Level 24"
        assert compare(level=20).levelname == "INFO"

    @pytest.mark.parametrize("switch", SWITCHES)
    def test_make_record_leaves_out_what_logging_leaves_out(
        self, monkeypatch: pytest.MonkeyPatch, switch: str, no_delegation: None
    ) -> None:
        of = {
            "logThreads": {"thread", "threadName"},
            "logMultiprocessing": {"processName"},
            "logProcesses": {"process"},
            "logAsyncioTasks": {"taskName"},
        }

        async def in_a_task() -> logging.LogRecord:
            return make_record(**arguments())

        def nones() -> set[str]:
            made = vars(asyncio.run(in_a_task()))
            ordinary = {"exc_info", "exc_text", "stack_info"}
            return {name for name in made if made[name] is None} - ordinary

        assert nones() == set()
        monkeypatch.setattr(logging, switch, False)
        assert nones() == of[switch]

    def test_make_record_asks_the_clock_that_a_test_has_set(self) -> None:
        with (
            mock.patch("time.time", return_value=1000),
            mock.patch("time.time_ns", return_value=1000 * 10**9),
        ):
            assert make_record(**arguments()).created == 1000


class TestPlaces:
    def test_places_of_the_same_path_are_the_same(self) -> None:
        made = [compare(pathname=PLACE) for _ in range(2)]
        assert [(r.filename, r.module) for r in made] == [("cart.py", "cart")] * 2
        assert list(record_factory._files_and_modules) == [PLACE]

    @pytest.mark.parametrize("path", [None, 7, b"/a/b.py", Path("/a/b.py"), Text("/a/b.py"), []])
    def test_places_that_are_no_text_are_left_to_logging(self, path: Any) -> None:
        compare(pathname=path)
        assert record_factory._files_and_modules == {}

    def test_places_do_not_fill_the_memory(self) -> None:
        for number in range(2_500):
            assert make_record(**arguments(pathname=f"/a/{number}.py")).module == str(number)
            assert len(record_factory._files_and_modules) <= 1000
        assert compare(pathname="/" + "a" * 1000).filename == "a" * 1000
        assert "/" + "a" * 1000 not in record_factory._files_and_modules
        compare(pathname="/" + "a" * 499)
        assert "/" + "a" * 499 in record_factory._files_and_modules


class TestThreads:
    def in_thread(self, thread: threading.Thread) -> None:
        thread.start()
        thread.join()

    def test_threads_are_called_what_they_are_called_now(self) -> None:
        found: list[Any] = []

        def log() -> None:
            found.append(compare())
            threading.current_thread().name = "renamed"
            found.append(compare())

        self.in_thread(threading.Thread(target=log, name="another"))
        assert [record.threadName for record in found] == ["another", "renamed"]
        assert len({record.thread for record in (*found, compare())}) == 2

    def test_threads_may_have_a_name_of_their_own_making(self) -> None:
        class Named(threading.Thread):
            name = property(lambda self: "made up", lambda self, name: None)  # type: ignore[assignment]

            def run(self) -> None:
                found.append(compare().threadName)

        found: list[str] = []
        self.in_thread(Named())
        assert found == ["made up"]

    def test_threads_that_python_does_not_know_are_dummies(self) -> None:
        found: queue.Queue[Any] = queue.Queue()

        def log() -> None:
            try:
                first = make_record(**arguments()).threadName
                found.put((first, logging.LogRecord(**arguments()).threadName))
            except BaseException as error:
                found.put(error)

        _thread.start_new_thread(log, ())
        ours, theirs = found.get(timeout=60)
        assert ours == theirs
        assert ours.startswith("Dummy-")

    def test_threads_may_be_counted_by_other_code(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # As gevent does it, where a greenlet is what a thread was.
        monkeypatch.setattr(threading, "get_ident", lambda: 77)
        greenlet = types.SimpleNamespace(name="greenlet")
        monkeypatch.setattr(threading, "current_thread", lambda: greenlet)
        record = compare()
        assert (record.thread, record.threadName) == (77, "greenlet")


class TestProcess:
    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
    @pytest.mark.parametrize("fork", ["os", "libc"])
    def test_process_is_the_right_one_in_a_child_at_once(self, fork: str) -> None:
        # The other runs no hooks of the interpreter.
        make_child = os.fork if fork == "os" else ctypes.PyDLL(None).fork
        assert make_record(**arguments()).process == os.getpid()
        reader, writer = os.pipe()
        child = make_child()
        if child == 0:
            try:
                os.write(writer, str(make_record(**arguments()).process).encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reader, 100).decode() == str(child)
        os.close(reader)
        os.close(writer)

    def test_process_is_called_what_it_is_called_now(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert compare().processName == "MainProcess"
        monkeypatch.setattr(multiprocessing.current_process(), "_name", "worker-7")
        assert compare().processName == "worker-7"
        monkeypatch.delitem(sys.modules, "multiprocessing")
        assert compare().processName == "MainProcess"

    @pytest.mark.parametrize("module", [None, types.ModuleType("multiprocessing")])
    def test_process_has_a_name_while_multiprocessing_is_imported(
        self, monkeypatch: pytest.MonkeyPatch, module: Any
    ) -> None:
        monkeypatch.setitem(sys.modules, "multiprocessing", module)
        assert compare().processName == "MainProcess"


@pytest.mark.skipif(not HAS_TASKS, reason="records have the name of their task since 3.12")
class TestTask:
    def test_task_is_the_one_that_logs(self, no_delegation: None) -> None:
        async def main() -> Any:
            task = asyncio.current_task()
            assert task is not None
            task.set_name("pay")
            return make_record(**arguments())

        assert asyncio.run(main()).taskName == "pay"

    def test_task_is_none_outside_of_tasks(self) -> None:
        async def main() -> Any:
            found: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(lambda: found.set_result(compare()))
            in_task = compare()
            return in_task.taskName, (await found).taskName

        in_task, in_callback = asyncio.run(main())
        assert in_task.startswith("Task-")
        assert in_callback is None
        assert compare().taskName is None

    @pytest.mark.parametrize("module", [None, types.ModuleType("asyncio")])
    def test_task_is_none_without_asyncio(
        self, monkeypatch: pytest.MonkeyPatch, module: Any
    ) -> None:
        monkeypatch.setitem(sys.modules, "asyncio", module)
        assert compare().taskName is None
        monkeypatch.delitem(sys.modules, "asyncio")
        assert compare().taskName is None


def configured(**options: Any) -> io.StringIO:
    stream = io.StringIO()
    mozlog_py.configure("shop", stream=stream, format="mozlog", **options)
    return stream


class TestConfigure:
    def test_installs_it_once(self) -> None:
        configured()
        assert logging.getLogRecordFactory() is make_record
        stream = configured()
        assert logging.getLogRecordFactory() is make_record
        logging.getLogger("cart").info("%s paid", "Ann", extra={"n": 1})
        (line,) = checked_lines(stream.getvalue())
        assert line["Fields"] == {"n": 1, "msg": "Ann paid"}
        assert line["Pid"] == os.getpid()

    def test_configure_leaves_a_factory_of_other_code(self) -> None:
        class Own(logging.LogRecord): ...

        logging.setLogRecordFactory(Own)
        configured()
        assert logging.getLogRecordFactory() is Own

    def test_configure_leaves_one_that_is_put_around_it(self) -> None:
        configured()
        former = logging.getLogRecordFactory()

        def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
            record = former(*args, **kwargs)
            record.build = 7
            return record

        logging.setLogRecordFactory(factory)
        stream = configured()
        assert logging.getLogRecordFactory() is factory
        logging.getLogger("cart").info("paid")
        (line,) = checked_lines(stream.getvalue())
        assert line["Fields"] == {"build": 7, "msg": "paid"}

    def test_configure_can_be_undone_by_logging_for_good(self) -> None:
        configured()
        logging.setLogRecordFactory(logging.LogRecord)
        assert type(logging.makeLogRecord({})) is logging.LogRecord
        configured()
        mozlog_py.MozlogHandler(io.StringIO())
        install()
        assert logging.getLogRecordFactory() is logging.LogRecord

    def test_configure_makes_lean_records_with_it(self, no_delegation: None) -> None:
        stream = configured(lean=True)
        # The check at the start asks LogRecord, which is of no use here.
        assert logging.getLogRecordFactory() is logging.LogRecord
        logging.setLogRecordFactory(make_record)
        made: list[logging.LogRecord] = []
        logging.getLogger("cart").addFilter(lambda record: made.append(record) or True)  # type: ignore[func-returns-value]
        logging.getLogger("cart").info("paid")
        (record,) = made
        assert (record.filename, record.thread, record.threadName) == ("(unknown file)", None, None)
        assert record.processName is None
        (line,) = checked_lines(stream.getvalue())
        assert line["Fields"] == {"msg": "paid"}


class TestHandler:
    @pytest.mark.parametrize("kind", [mozlog_py.MozlogHandler, mozlog_py.MozlogQueueHandler])
    def test_installs_it(self, kind: type[mozlog_py.MozlogHandler]) -> None:
        stream = io.StringIO()
        handler = kind(stream)
        assert logging.getLogRecordFactory() is make_record
        logger = logging.getLogger("cart")
        logger.addHandler(handler)
        logger.warning("%s paid", "Ann", extra={"n": 1})
        handler.close()
        (line,) = checked_lines(stream.getvalue())
        assert line["Fields"] == {"n": 1, "msg": "Ann paid"}

    def test_installs_it_by_a_dict_config_of_ones_own(self) -> None:
        logging.config.dictConfig(mozlog_py.dict_config("shop", stream=io.StringIO()))
        assert logging.getLogRecordFactory() is make_record

    def test_handler_leaves_a_factory_of_other_code(self) -> None:
        class Own(logging.LogRecord): ...

        logging.setLogRecordFactory(Own)
        mozlog_py.MozlogHandler(io.StringIO())
        assert logging.getLogRecordFactory() is Own

    def test_installs_it_once_that_is_gone(self) -> None:
        logging.setLogRecordFactory(lambda *args, **kwargs: logging.LogRecord(*args, **kwargs))
        mozlog_py.MozlogHandler(io.StringIO())
        logging.setLogRecordFactory(logging.LogRecord)
        mozlog_py.MozlogHandler(io.StringIO())
        assert logging.getLogRecordFactory() is make_record

    def test_handler_is_not_there_by_import_nor_by_a_formatter_alone(self) -> None:
        script = (
            "import logging, mozlog_py, dockerflow.logging, mozlog_py.structlog\n"
            "mozlog_py.MozlogFormatter()\n"
            "assert logging.getLogRecordFactory() is logging.LogRecord\n"
            "mozlog_py.MozlogHandler()\n"
            "print(logging.getLogRecordFactory().__module__)"
        )
        ran = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        assert ran.stdout == "mozlog_py._stdlib.record_factory\n"


class TestInstall:
    def changed(self, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], None]) -> None:
        """Have this Python make other records."""
        usual = logging.LogRecord.__init__

        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            usual(self, *args, **kwargs)
            change(self)

        monkeypatch.setattr(logging.LogRecord, "__init__", init)
        monkeypatch.setattr(record_factory, "_init", init)

    @pytest.mark.parametrize(
        "change",
        [
            lambda record: setattr(record, "span", None),
            lambda record: delattr(record, "exc_text"),
            lambda record: vars(record).update(name=vars(record).pop("name")),
            lambda record: setattr(record, "processName", "main"),
            lambda record: setattr(record, "msecs", 1.5),
            lambda record: setattr(record, "created", record.created * 1e9),
            lambda record: setattr(record, "relativeCreated", record.relativeCreated + 1e6),
            lambda record: setattr(record, "created", None),
        ],
        ids=["more", "less", "order", "value", "fractions", "unit", "beginning", "none"],
    )
    def test_changes_nothing_where_records_are_others(
        self, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], None]
    ) -> None:
        self.changed(monkeypatch, change)
        configured()
        assert logging.getLogRecordFactory() is logging.LogRecord

    def test_changes_something_where_they_are_the_same(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.changed(monkeypatch, lambda record: None)
        install()
        assert logging.getLogRecordFactory() is make_record


class TestAfterwards:
    """What is changed once it is installed."""

    def test_a_patched_log_record_is_heard(self, monkeypatch: pytest.MonkeyPatch) -> None:
        install()
        usual = logging.LogRecord.__init__

        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            usual(self, *args, **kwargs)
            self.span = "7"

        monkeypatch.setattr(logging.LogRecord, "__init__", init)
        assert vars(logging.getLogRecordFactory()(**arguments()))["span"] == "7"

    @pytest.mark.parametrize("is_last", [True, False])
    @pytest.mark.parametrize("is_first", [True, False])
    def test_a_patched_log_record_adds_a_field_whenever_it_was_patched(
        self, is_first: bool, is_last: bool
    ) -> None:
        program = """
            import logging, sys
            def patch():
                usual = logging.LogRecord.__init__
                def init(self, *args, **kwargs):
                    self.region = "eu"
                    usual(self, *args, **kwargs)
                    self.zone = 7
                logging.LogRecord.__init__ = init
            def configure():
                import mozlog_py
                mozlog_py.configure("shop", format="mozlog", formatter_options={"timestamp": "at"})
                handler = mozlog_py.MozlogHandler()
                logging.getLogger("plain").addHandler(handler)
                logging.getLogger("plain").propagate = False
            steps = [patch, configure]
            for step in steps if "first" in sys.argv else reversed(steps):
                step()
            if "last" in sys.argv:
                logging.setLogRecordFactory(logging.LogRecord)
            for name in "plain", "shop":
                logging.getLogger(name).warning("paid", extra={"amount": 5})
                logging.getLogger(name).warning("paid")
        """
        chosen = ["first"] * is_first + ["last"] * is_last
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), *chosen],
            check=True,
            capture_output=True,
            text=True,
        )
        fields = [line["Fields"] for line in checked_lines(done.stdout)]
        for each in fields[2:]:
            del each["at"]
        added = {"region": "eu", "zone": 7}
        assert fields == [{**added, "amount": 5, "msg": "paid"}, {**added, "msg": "paid"}] * 2

    def test_a_patched_clock_of_logging_is_heard(self) -> None:
        install()
        with mock.patch("logging.time") as clock:
            clock.time.return_value = NOW / 1e9
            clock.time_ns.return_value = NOW
            record = logging.getLogRecordFactory()(**arguments())
        assert record.created == NOW / 1e9

    def test_what_is_raised_at_any_bytecode_is_not_passed_over(self) -> None:
        class Struck(Exception):
            pass

        def count_to(most: int) -> int:
            count = 0

            def trace(frame: types.FrameType, event: str, _: Any) -> Any:
                nonlocal count
                if frame.f_code is not make_record.__code__:
                    return None
                frame.f_trace_opcodes = True
                if event == "opcode":
                    count += 1
                    if count == most:
                        raise Struck
                return trace

            former = sys.gettrace()
            sys.settrace(trace)
            try:
                make_record(**arguments())
            finally:
                sys.settrace(former)
            return count

        # Since 3.12 there is nothing to tell of code's first call.
        count_to(-1)
        count = count_to(-1)
        assert count > 50
        passed_over = 0
        for at in range(1, count):
            count_to(-1)
            try:
                count_to(at)
            except Struck:
                continue
            passed_over += 1
        # LogRecord passes over it as well while it asks for the name of the process.
        assert passed_over < 20


class TestRecords:
    def test_records_cross_a_border_as_the_standard_ones_do(self) -> None:
        configured()
        record = make_record(**arguments())
        assert vars(pickle.loads(pickle.dumps(record))) == vars(record)
        again = logging.makeLogRecord(vars(record))
        assert type(again) is logging.LogRecord
        assert vars(again) == vars(record)

    def test_records_of_nothing_are_the_standard_ones(self) -> None:
        compare(name=None, level=None, pathname="", lineno=0, msg="", args=(), func=None)

    def test_records_go_through_a_queue(self) -> None:
        configured()
        records: queue.Queue[Any] = queue.Queue()
        logger = logging.getLogger("cart")
        logger.propagate = False
        logger.addHandler(logging.handlers.QueueHandler(records))
        logger.info("%s paid", "Ann")
        stream = io.StringIO()
        handler = mozlog_py.MozlogHandler(stream)
        handler.handle(records.get_nowait())
        (line,) = checked_lines(stream.getvalue())
        assert line["Fields"] == {"msg": "Ann paid"}
        assert line["Pid"] == os.getpid()

    def test_records_are_captured_by_pytest(self, caplog: pytest.LogCaptureFixture) -> None:
        logging.setLogRecordFactory(make_record)
        with caplog.at_level("INFO"):
            logging.getLogger("cart").info("%s paid", "Ann")
        (record,) = caplog.records
        assert caplog.messages == ["Ann paid"]
        assert (record.pathname, record.module) == (__file__, "test_record_factory")
        assert record.funcName == "test_records_are_captured_by_pytest"
