"""Arguments, ids, pickles and clocks that others hand on: nothing is formatted, torn or lost."""

import copy
import datetime
import decimal
import enum
import io
import json
import logging
import logging.handlers
import pickle
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import freezegun
import numpy as np
import pytest
import structlog
import time_machine
from conformance import Capture, checked_lines
from value_fronts import Stepping

import mozlog_py
from dockerflow.summary import RequestSummary
from mozlog_py import MozlogFormatter, MozlogHandler, context
from mozlog_py.processors import Sample
from mozlog_py.queued import MozlogQueueHandler
from mozlog_py.structlog import MozlogRenderer


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


# -- arguments --------------------------------------------------------------


def by_processor_formatter(
    message: Any, *args: Any, formatter: MozlogFormatter | None = None, **options: Any
) -> dict[str, Any]:
    """Log through structlog's ProcessorFormatter, with its arguments handed on."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    renderer = (
        MozlogRenderer("shop", output="text")
        if formatter is None
        else MozlogRenderer(formatter=formatter, output="text")
    )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            pass_foreign_args=True, processors=[renderer], **options
        )
    )
    logger = logging.Logger("shop", 1)
    logger.addHandler(handler)
    logger.info(message, *args)
    (line,) = checked_lines(stream.getvalue())
    fields = line["Fields"]
    assert isinstance(fields, dict)
    return fields


MESSAGES: dict[str, tuple[tuple[Any, ...], str]] = {
    "several": (("%s paid %d", "Ann", 5), "Ann paid 5"),
    "a mapping": (("100%% of %(who)s", {"who": "Ann"}), "100% of Ann"),
    "one with a sign in it": (("%s", "100% sure"), "100% sure"),
    "one that looks like a place": (("%s", "%s and %d"), "%s and %d"),
    "none": (("50% of %s",), "50% of %s"),
    "no text": ((5,), "5"),
    "a text of its own class": ((type("Text", (str,), {})("%s paid"), "Ann"), "Ann paid"),
}


class TestForeignArguments:
    @pytest.mark.parametrize("is_got", [True, False])
    @pytest.mark.parametrize("formatter", [None, Stepping(logger_name="shop")])
    @pytest.mark.parametrize("kind", MESSAGES)
    def test_foreign_arguments_are_formatted_once(
        self, kind: str, formatter: MozlogFormatter | None, is_got: bool
    ) -> None:
        call, expected = MESSAGES[kind]
        fields = by_processor_formatter(*call, formatter=formatter, use_get_message=is_got)
        assert fields == {"msg": expected}

    def test_foreign_arguments_that_do_not_fit_are_shown(self) -> None:
        fields = by_processor_formatter("%d of %d", "x", use_get_message=False)
        assert fields["msg"] == "%d of %d ('x',)"
        assert fields["mozlog.degraded"] == "message and arguments do not fit"

    def test_foreign_arguments_of_structlogs_own_events_are_formatted_still(self) -> None:
        stream = io.BytesIO()
        log = structlog.wrap_logger(
            structlog.BytesLogger(stream), processors=[MozlogRenderer("shop")]
        )
        log.info("%s paid %d", positional_args=("Ann", 5))
        (line,) = checked_lines(stream.getvalue())
        assert line["Fields"] == {"msg": "Ann paid 5"}


# -- sampling ---------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"


class Name(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "other"


IDS: dict[str, Callable[[int], Any]] = {
    "uuid": lambda number: uuid.UUID(int=number * 7919 + 1),
    "decimal": decimal.Decimal,
    "datetime": lambda number: datetime.datetime(2024, 1, 1) + datetime.timedelta(number),
    "bytes": lambda number: b"id-%d" % number,
    "numpy": np.int64,
    "float": lambda number: number / 7,
    "text": lambda number: Name(f"id-{number}"),
}


def shown(value: Any) -> str:
    """Return a value's text as its line has it."""
    capture = Capture()
    capture.logger.info("x", extra={"value": value})
    return str(capture.fields[0]["value"])


def counts(front: str, rid: Any) -> int:
    """Return how many of four lines of a request are kept."""
    sample = Sample(3)
    if front == "chain":
        stream = io.BytesIO()
        log = structlog.wrap_logger(
            structlog.BytesLogger(stream), processors=[sample, MozlogRenderer("shop")]
        )
        for _ in range(4):
            log.info("x", rid=rid)
        return stream.getvalue().count(b"\n")
    capture = Capture()
    if front == "filter":
        capture.handler.addFilter(sample)
    else:
        capture.handler.setFormatter(MozlogFormatter(processors=[sample]))
    with context.bound(rid=rid):
        for _ in range(4):
            capture.logger.info("x", extra={"rid": rid} if front == "filter" else {})
    return len(capture.lines)


class TestSampling:
    @pytest.mark.parametrize("front", ["chain", "filter", "formatter"])
    @pytest.mark.parametrize("kind", IDS)
    def test_sampling_tears_no_request_and_decides_as_for_the_text(
        self, kind: str, front: str
    ) -> None:
        kept = []
        for number in range(40):
            rid = IDS[kind](number)
            kept.append(counts(front, rid))
            assert kept[-1] == counts(front, shown(rid))
        assert {*kept} == {0, 4}

    def test_sampling_goes_by_the_value_of_a_member(self) -> None:
        assert {counts("chain", Colour.RED) for _ in range(5)} == {counts("chain", "red")}

    def test_sampling_goes_by_chance_where_a_value_has_no_text(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Broken:
            def __repr__(self) -> str:
                raise RuntimeError

        for value in (Broken(), ["a"], {"a": 1}):
            drawn = iter([0, 2**32 - 1])
            monkeypatch.setattr("random.randrange", lambda _, drawn=drawn: next(drawn))
            assert [Sample(10)._keeps(value), Sample(10)._keeps(value)] == [True, False]


# -- pickles ----------------------------------------------------------------


class Reader(pickle.Unpickler):
    """Notes the classes that a pickle refers to."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.found: list[str] = []

    def find_class(self, module: str, name: str) -> Any:
        self.found.append(f"{module}.{name}")
        return super().find_class(module, name)


def read(data: bytes) -> Any:
    reader = Reader(data)
    made = reader.load()
    ours = [name for name in reader.found if name.startswith(("mozlog_py", "dockerflow"))]
    assert ours == []
    return made


class Sender(logging.handlers.SocketHandler):
    """Hands on what it would send."""

    def __init__(self) -> None:
        super().__init__("localhost", 9)
        self.sent: list[bytes] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.sent.append(self.makePickle(record)[4:])


class TestPickles:
    @pytest.mark.parametrize("kind", [MozlogHandler, MozlogQueueHandler])
    @pytest.mark.parametrize("extra", [{}, {"logger_name": "mine"}, {"cart": [1]}])
    def test_pickles_of_records_refer_to_no_class_of_ours(
        self, kind: type[MozlogHandler], extra: dict[str, Any]
    ) -> None:
        first, second, third = Sender(), Sender(), Sender()
        logger = logging.Logger("app", 1)
        handlers = [kind(io.StringIO(), "shop"), kind(io.StringIO(), "till")]
        for each in (first, handlers[0], second, handlers[1], third):
            logger.addHandler(each)
        logger.info("hi %s", "ann", extra=extra)
        for each in handlers:
            each.close()
        for sender in (first, second, third):
            made = logging.makeLogRecord(read(sender.sent[0]))
            capture = Capture()
            capture.handler.handle(made)
            fields = capture.fields[0]
            assert fields["msg"] == "hi ann"
            for name, value in extra.items():
                assert fields[name] == value

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_pickles_of_whole_records_do_as_well(self, protocol: int) -> None:
        capture = Capture()
        records: list[logging.LogRecord] = []
        capture.handler.addFilter(lambda record: bool(records.append(record)) or True)
        capture.logger.info("x")
        made = read(pickle.dumps(records[0], protocol))
        assert type(made.logger_name) is str
        assert made.logger_name == "service"

    def test_pickles_of_a_queue_to_another_process_do_as_well(self) -> None:
        sent: list[bytes] = []

        class Enqueuer(logging.handlers.QueueHandler):
            def enqueue(self, record: logging.LogRecord) -> None:
                sent.append(pickle.dumps(record))

        capture = Capture()
        capture.logger.addHandler(Enqueuer(None))  # type: ignore[arg-type]
        try:
            raise ValueError("no money")
        except ValueError:
            capture.logger.exception("failed")
        made = read(sent[0])
        assert "ValueError: no money" in f"{made.getMessage()} {made.exc_text}"

    def test_pickles_of_summaries_do_as_well(self) -> None:
        sender, logger = Sender(), logging.Logger("request.summary", 1)
        logger.addHandler(MozlogHandler(io.StringIO(), "shop"))
        logger.addHandler(sender)
        request = RequestSummary()
        request.logger, request.method = logger, "GET"
        request.begin("r1")
        try:
            request.finish()
        finally:
            request.leave()
        assert read(sender.sent[0])["rid"] == "r1"

    def test_pickles_are_no_copies_which_keep_their_line(self) -> None:
        formatter = MozlogFormatter()
        capture = Capture()
        records: list[logging.LogRecord] = []
        capture.handler.addFilter(lambda record: bool(records.append(record)) or True)
        capture.logger.info("x")
        for copied in (copy.copy(records[0]), copy.deepcopy(records[0])):
            line = json.loads(formatter.format(copied))
            assert (line["Logger"], line["Fields"]) == ("service", {"msg": "x"})


# -- clocks -----------------------------------------------------------------


def moment(text: str) -> int:
    """Return a moment in nanoseconds since the epoch."""
    at = datetime.datetime.fromisoformat(f"{text}+00:00")
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return (at - epoch) // datetime.timedelta(microseconds=1) * 1000


CLOCKS: dict[str, Callable[[str], Any]] = {
    "freezegun": freezegun.freeze_time,
    "time-machine": lambda text: time_machine.travel(
        datetime.datetime.fromisoformat(f"{text}+00:00"), tick=False
    ),
}


def stamps() -> list[int]:
    """Return the times of a line of each front, those of the standard library first."""
    stream, hooked = io.StringIO(), io.StringIO()
    mozlog_py.configure("shop", stream=stream)
    handler = MozlogHandler(hooked)
    handler.setFormatter(Stepping())
    logger = logging.getLogger("clock")
    logger.addHandler(handler)
    try:
        logger.info("x")
        logger.info("x", extra={"odd": object()})
        structlog.get_logger("clock").info("x")
    finally:
        logger.removeHandler(handler)
    lines = checked_lines(hooked.getvalue()) + checked_lines(stream.getvalue())
    assert len(lines) >= 5
    return [line["Timestamp"] for line in lines]


@pytest.mark.usefixtures("untouched_process")
class TestFrozenClocks:
    @pytest.mark.parametrize("clock", CLOCKS)
    @pytest.mark.parametrize("text", ["2030-06-01 12:00:00", "2020-02-29 23:59:59"])
    @pytest.mark.parametrize("is_over", [False, True])
    def test_frozen_clocks_do_not_hide_a_handler_that_is_added_by_hand(
        self, clock: str, text: str, is_over: bool
    ) -> None:
        class Reporter(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                reported.append(record.getMessage())

        def log_until_reported() -> None:
            logging.getLogger().handlers.append(Reporter())
            # A real clock: the test gives up after a minute.
            for _ in range(6000):
                log.info("found")
                if reported:
                    break
                wait(0.01)

        wait, reported, stream = threading.Event().wait, list[str](), io.StringIO()
        mozlog_py.configure("shop", format="mozlog", stream=stream)
        log = structlog.get_logger("clock")
        log.info("before")
        with CLOCKS[clock](text):
            log.info("frozen")
            if not is_over:
                log_until_reported()
        if is_over:
            log_until_reported()
        assert reported == ["found"]

    @pytest.mark.parametrize("clock", CLOCKS)
    @pytest.mark.parametrize(
        "text", ["2030-06-01 12:00:00", "1970-01-01 00:00:01.500000", "2020-02-29 23:59:59"]
    )
    def test_frozen_clocks_are_shown_exactly(self, clock: str, text: str) -> None:
        with CLOCKS[clock](text):
            got = stamps()
        assert {*got} == {moment(text)}

    @pytest.mark.skipif(
        sys.version_info < (3, 13), reason="before 3.13 a record's time is a float of seconds"
    )
    @pytest.mark.parametrize(
        "text",
        ["2030-06-01 12:00:00.123456", "2024-05-05 05:05:05.050505", "2100-01-01 00:00:00.999999"],
    )
    def test_frozen_clocks_are_shown_to_the_microsecond(self, text: str) -> None:
        with CLOCKS["time-machine"](text):
            got = stamps()
        assert {*got} == {moment(text)}

    def test_frozen_clocks_of_yesterday_are_shown_exactly(self) -> None:
        at = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
        text = str(at.replace(microsecond=0, tzinfo=None))
        with CLOCKS["time-machine"](text):
            assert {*stamps()} == {moment(text)}
