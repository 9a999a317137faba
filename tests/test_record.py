"""A summary's record is what ``logging`` itself would have made."""

import asyncio
import logging
import os
import threading
import time
from typing import Any

import pytest

import dockerflow.summary  # noqa: F401 - whose function all records say has logged them
from dockerflow._request import summary_record
from mozlog_py._stdlib import record_factory


def make_record(
    name: str, level: int, message: str, fields: dict[str, Any] | None = None
) -> logging.LogRecord:
    """Return the record of a summary that a logger of this name has logged."""
    logged: list[Any] = []
    logger, handler = logging.Logger(name), logging.NullHandler()
    handler.handle = logged.append  # type: ignore[assignment]
    logger.addHandler(handler)
    summary_record.log_record(logger, level, message, fields or {}, None)
    (record,) = logged
    return record  # type: ignore[no-any-return]


def standard(level: int, message: str) -> logging.LogRecord:
    return logging.LogRecord("s", level, *summary_record._place, message, (), None, "finish")


def compare(level: int = 20, message: str = "m") -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the attributes of one of ours that is no first one, and of one of logging's."""
    make_record("s", level, "first")
    ours, theirs = make_record("s", level, message), standard(level, message)
    assert type(ours) is logging.LogRecord
    assert list(vars(ours)) == list(vars(theirs))
    times = ("created", "msecs", "relativeCreated")
    for name in times:
        assert type(vars(ours)[name]) is type(vars(theirs)[name])
    assert 0 <= theirs.created - ours.created < 60
    assert 0 <= theirs.relativeCreated - ours.relativeCreated < 60_000
    assert ours.msecs == pytest.approx(ours.created % 1 * 1000, abs=1.01)
    left = [{k: v for k, v in vars(each).items() if k not in times} for each in (ours, theirs)]
    return left[0], left[1]


class TestMakeRecord:
    @pytest.mark.parametrize("level", [logging.INFO, logging.ERROR])
    def test_make_record_gives_all_attributes(self, level: int) -> None:
        ours, theirs = compare(level, "text")
        assert ours == theirs

    def test_make_record_gives_the_time_of_each(self) -> None:
        first = make_record("s", 20, "")
        time.sleep(0.01)
        second = make_record("s", 20, "")
        assert second.created > first.created

    def test_make_record_gives_the_milliseconds_of_a_second_that_is_rounded_up(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # As a float it is the whole second that follows.
        ns = 1_700_000_000_999_999_999
        make_record("s", 20, "")
        monkeypatch.setattr(time, "time_ns", lambda: ns)
        monkeypatch.setattr(time, "time", lambda: ns / 1e9)
        ours, theirs = make_record("s", 20, ""), standard(20, "")
        assert (ours.created, ours.msecs) == (theirs.created, theirs.msecs) == (1_700_000_001.0, 0)

    def test_make_record_gives_the_thread_of_each(self) -> None:
        make_record("s", 20, "")
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(compare()), name="another")
        thread.start()
        thread.join()
        ((ours, theirs),) = found
        assert ours == theirs
        assert ours["threadName"] == "another"

    def test_make_record_gives_the_task_of_each(self) -> None:
        async def main() -> Any:
            return compare()

        ours, theirs = asyncio.run(main())
        assert ours == theirs

    def test_make_record_gives_the_process_of_each(self) -> None:
        make_record("s", 20, "")
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            made = make_record("s", 20, "")
            os.write(writer, str(made.process == os.getpid()).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reader, 100) == b"True"
        os.close(reader)
        os.close(writer)

    @pytest.mark.parametrize("flag", ["logThreads", "logProcesses", "logMultiprocessing"])
    def test_make_record_leaves_out_what_logging_leaves_out(
        self, monkeypatch: pytest.MonkeyPatch, flag: str
    ) -> None:
        make_record("s", 20, "")
        monkeypatch.setattr(logging, flag, False)
        ours, theirs = compare()
        assert ours == theirs

    def test_make_record_asks_a_factory_that_was_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Own(logging.LogRecord): ...

        make_record("s", 20, "")
        logging.setLogRecordFactory(Own)
        try:
            assert type(make_record("s", 20, "")) is Own
        finally:
            logging.setLogRecordFactory(logging.LogRecord)
        assert type(make_record("s", 20, "")) is logging.LogRecord

    @pytest.mark.parametrize("factory", [logging.LogRecord, record_factory.make_record])
    def test_make_record_asks_a_log_record_that_was_patched(
        self, monkeypatch: pytest.MonkeyPatch, factory: Any
    ) -> None:
        usual = logging.LogRecord.__init__
        spans = iter("abcd")

        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            usual(self, *args, **kwargs)
            self.span = next(spans)

        monkeypatch.setattr(logging.LogRecord, "__init__", init)
        logging.setLogRecordFactory(factory)
        try:
            made = [make_record("s", 20, "") for _ in range(3)]
        finally:
            logging.setLogRecordFactory(logging.LogRecord)
        assert [vars(each)["span"] for each in made] == ["a", "b", "c"]
        monkeypatch.undo()
        assert "span" not in vars(make_record("s", 20, ""))

    def test_make_record_takes_the_factory_of_this_library_for_the_standard_one(self) -> None:
        logging.setLogRecordFactory(record_factory.make_record)
        try:
            ours, theirs = compare()
        finally:
            logging.setLogRecordFactory(logging.LogRecord)
        assert ours == theirs

    def test_make_record_has_its_fields_behind_what_every_record_has(self) -> None:
        made = make_record("s", 20, "m", {"uid": "7", "code": 200})
        assert list(vars(made)) == [*vars(standard(20, "m")), "uid", "code"]
        assert (vars(made)["uid"], vars(made)["code"]) == ("7", 200)
        assert "uid" not in vars(make_record("s", 20, "m"))
