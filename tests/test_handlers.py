"""MozlogHandler: whole lines, on whatever the stream is, and no exception out of it."""

import contextlib
import gc
import gzip
import io
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from conformance import Capture, checked_lines

from mozlog_py import MozlogFormatter, MozlogHandler, context
from mozlog_py._fields.from_record import LoggerName
from mozlog_py._line.line_encoder import last_resort
from mozlog_py._process import self_log


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the notes that would go to the real stderr."""
    notes: list[str] = []
    monkeypatch.setattr("mozlog_py.sink.note", notes.append)
    monkeypatch.setattr("mozlog_py._sink.line_writer.note", notes.append)
    return notes


class TestName:
    def test_subclass_that_forwards_unknown_attributes_can_be_made(self) -> None:
        class Outer(MozlogHandler):
            def __init__(self, inner: Any) -> None:
                super().__init__(io.StringIO())
                self._inner = inner

            def __getattr__(self, name: str) -> Any:
                return getattr(self._inner, name)

        handler = Outer(object())
        handler.terminator = "|"
        handler.handle(logging.LogRecord("app", 20, "f", 1, "hi", (), None))
        assert handler.sink.stream.getvalue().endswith('"msg":"hi"}}|')

    def test_name_of_the_handler_wins_over_the_formatters(self) -> None:
        capture = Capture(name="handler")
        capture.handler.setFormatter(MozlogFormatter(logger_name="formatter"))
        capture.logger.info("hi")
        assert capture.lines[0]["Logger"] == "handler"

    def test_name_is_left_on_the_record(self) -> None:
        seen: list[logging.LogRecord] = []

        class Second(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                seen.append(record)

        capture = Capture(name="handler")
        capture.logger.addHandler(Second())
        capture.logger.info("hi")
        assert seen[0].logger_name == "handler"  # type: ignore[attr-defined]

    def test_name_is_each_handlers_own_on_the_same_record(self) -> None:
        first, second = Capture(name="first"), Capture(name="second")
        first.logger.addHandler(second.handler)
        first.logger.info("hi", extra={"user": "ann"})
        assert first.lines[0]["Logger"] == "first"
        assert second.lines[0]["Logger"] == "second"
        assert first.fields == second.fields == [{"user": "ann", "msg": "hi"}]

    def test_name_is_seen_by_another_handler_with_our_formatter(self) -> None:
        capture = Capture(name="ours")
        stream = io.StringIO()
        plain = logging.StreamHandler(stream)
        plain.setFormatter(MozlogFormatter())
        capture.logger.addHandler(plain)
        capture.logger.info("hi")
        assert checked_lines(stream.getvalue())[0]["Logger"] == "ours"

    def test_name_is_not_left_on_the_record_by_a_plain_handler(self) -> None:
        plain = logging.StreamHandler(io.StringIO())
        plain.setFormatter(MozlogFormatter())
        record = logging.makeLogRecord({"msg": "hi"})
        plain.emit(record)
        assert not hasattr(record, "logger_name")

    def test_the_name_of_the_logger_cannot_be_spoofed_by_extra_and_loses_none_of_it(self) -> None:
        first, second = Capture(name="first"), Capture(name="second")
        first.logger.addHandler(second.handler)
        first.logger.info("hi", extra={"logger_name": "fake"})
        for capture, name in ((first, "first"), (second, "second")):
            assert capture.lines[0]["Logger"] == name
            assert capture.fields == [{"logger_name": "fake", "msg": "hi"}]

    def test_name_can_be_changed(self) -> None:
        capture = Capture(name="before")
        capture.handler.logger_name = "after"  # type: ignore[attr-defined]
        capture.logger.info("hi")
        assert capture.lines[0]["Logger"] == "after"
        assert isinstance(capture.handler.logger_name, LoggerName)  # type: ignore[attr-defined]


class TestFilters:
    def test_filters_decide_what_is_written(self) -> None:
        capture = Capture()
        capture.handler.addFilter(lambda record: record.levelno > logging.INFO)
        capture.logger.info("no")
        capture.logger.error("yes")
        assert [got["msg"] for got in capture.fields] == ["yes"]

    def test_filters_may_be_replaced_on_the_handler_itself(self) -> None:
        capture = Capture()
        capture.handler.filter = lambda record: False  # type: ignore[method-assign]
        capture.logger.info("no")
        assert capture.lines == []


class TestFormatters:
    def test_formatters_of_any_kind_may_be_set(self) -> None:
        capture = Capture()
        capture.handler.setFormatter(logging.Formatter("%(levelname)s|%(message)s|%(logger_name)s"))
        capture.logger.info("hi \ud800")
        assert capture.stream.getvalue() == "INFO|hi \\ud800|service\n"

    def test_formatters_that_make_their_own_line_see_the_handlers_name(self) -> None:
        class Custom(MozlogFormatter):
            def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
                line = super().convert_record(record)
                line["Fields"]["name"] = record.logger_name  # type: ignore[attr-defined]
                return line

        capture = Capture(name="handler")
        capture.handler.setFormatter(Custom())
        capture.logger.info("hi")
        assert capture.lines[0]["Logger"] == "handler"
        assert capture.fields == [{"msg": "hi", "name": "handler"}]

    def test_formatters_with_a_format_of_their_own_are_asked_for_text(self) -> None:
        class Custom(MozlogFormatter):
            def format(self, record: logging.LogRecord) -> str:
                return f"> {super().format(record)}"

        capture = Capture()
        capture.handler.setFormatter(Custom())
        capture.logger.info("hi")
        assert capture.stream.getvalue().startswith('> {"Timestamp":')

    def test_formatters_are_not_asked_past_a_handler_with_a_format_of_its_own(self) -> None:
        class Scrubbing(MozlogHandler):
            def format(self, record: logging.LogRecord) -> str:
                return super().format(record).replace("secret", "***")

        stream = io.StringIO()
        capture = Capture(Scrubbing(stream))
        capture.logger.info("the secret word")
        assert checked_lines(stream.getvalue())[0]["Fields"] == {"msg": "the *** word"}

    def test_formatters_are_not_asked_past_a_format_that_was_put_on_the_handler_later(self) -> None:
        stream = io.StringIO()
        handler = MozlogHandler(stream)
        capture = Capture(handler)
        capture.logger.info("first")
        usual = handler.format
        handler.format = lambda record: usual(record).replace("secret", "***")  # type: ignore[method-assign]
        capture.logger.info("the secret word")
        said = [line["Fields"]["msg"] for line in checked_lines(stream.getvalue())]
        assert said == ["first", "the *** word"]

    def test_formatters_that_raise_cost_no_record(self) -> None:
        capture = Capture()
        capture.handler.setFormatter(logging.Formatter("%(nothing)s"))
        capture.logger.info("hi", extra={"user": "ann"})
        assert capture.fields[0]["user"] == "ann"
        assert capture.fields[0]["msg"] == "hi"

    def test_formatters_that_were_changed_are_followed(self) -> None:
        capture = Capture()
        capture.logger.info("one")
        assert capture.handler.formatter is not None
        capture.handler.formatter.static_fields = {"a": 1}  # type: ignore[attr-defined]
        capture.logger.info("two")
        assert capture.fields == [{"msg": "one"}, {"a": 1, "msg": "two"}]

    def test_last_resort_is_a_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        capture = Capture()

        def fail(*_: Any) -> Any:
            raise MemoryError

        monkeypatch.setattr(MozlogFormatter, "renderer", fail)
        capture.logger.info("hi")
        assert capture.fields == [
            {"msg": "a record could not be rendered", "mozlog.degraded": "MemoryError"}
        ]


class TestStream:
    def test_stream_is_a_stream_handlers(self) -> None:
        stream = io.StringIO()
        handler = MozlogHandler(stream)
        assert isinstance(handler, logging.StreamHandler)
        assert handler.stream is stream
        other = io.StringIO()
        assert handler.setStream(other) is stream
        assert handler.stream is other

    def test_stream_gets_each_record_in_one_write(self) -> None:
        writes: list[str] = []

        class Stream:
            def write(self, text: str) -> None:
                writes.append(text)

        capture = Capture(MozlogHandler(Stream()))
        capture.logger.info("one")
        capture.logger.info("two")
        assert [checked_lines(text)[0]["Fields"]["msg"] for text in writes] == ["one", "two"]

    def test_stream_follows_stdout_when_it_is_replaced(self) -> None:
        capture = Capture(MozlogHandler())
        first, second = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(first):
            capture.logger.info("one")
        with contextlib.redirect_stdout(second):
            capture.logger.info("two")
        assert checked_lines(first.getvalue())[0]["Fields"] == {"msg": "one"}
        assert checked_lines(second.getvalue())[0]["Fields"] == {"msg": "two"}

    def test_stream_is_the_real_stdout_where_that_was_replaced_by_a_logger(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # As Celery's worker does it: print() becomes a record, whose line is no print().
        class Redirected:
            def __init__(self, logger: logging.Logger) -> None:
                self.logger = logger

            def write(self, text: str) -> None:
                if text.strip():
                    self.logger.warning(text)

            def flush(self) -> None: ...

        capture, real = Capture(MozlogHandler()), io.StringIO()
        monkeypatch.setattr(sys, "__stdout__", real)
        monkeypatch.setattr(sys, "stdout", Redirected(capture.logger))
        print("printed")
        capture.logger.info("logged")
        explicit = Capture(MozlogHandler(sys.stdout))
        explicit.logger.info("explicit")
        messages = [line["Fields"]["msg"] for line in checked_lines(real.getvalue())]
        assert messages == ["printed", "logged", "explicit"]
        assert capture.handler.lost == 0

    def test_stream_is_seen_by_capsys(self, capsys: pytest.CaptureFixture[str]) -> None:
        capture = Capture(MozlogHandler())
        print("before")
        capture.logger.info("hi")
        print("after")
        out = capsys.readouterr().out.splitlines()
        assert out[0] == "before"
        assert checked_lines(out[1] + "\n")[0]["Fields"] == {"msg": "hi"}
        assert out[2] == "after"

    def test_stream_that_was_stdout_and_is_closed_has_a_successor(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = io.StringIO()
        monkeypatch.setattr(sys, "stdout", old)
        capture = Capture(MozlogHandler(old))
        new = io.StringIO()
        monkeypatch.setattr(sys, "stdout", new)
        capture.logger.info("still the old one")
        assert "still" in old.getvalue()
        old.close()
        capture.logger.info("hi")
        assert checked_lines(new.getvalue())[0]["Fields"] == {"msg": "hi"}

    @pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
    def test_stream_of_a_small_encoding_gets_escapes(self, encoding: str) -> None:
        raw = io.BytesIO()
        capture = Capture(MozlogHandler(io.TextIOWrapper(raw, encoding=encoding)))
        capture.logger.info("žluťoučký 🦊")
        assert checked_lines(raw.getvalue())[0]["Fields"] == {"msg": "žluťoučký 🦊"}

    def test_stream_may_be_binary(self) -> None:
        raw = io.BytesIO()
        capture = Capture(MozlogHandler(raw))
        capture.logger.info("ž")
        assert checked_lines(raw.getvalue())[0]["Fields"] == {"msg": "ž"}

    @pytest.mark.parametrize("mode", ["w", "wb", "a"])
    def test_stream_may_be_a_file_that_others_write_to_as_well(
        self, mode: str, tmp_path: Path
    ) -> None:
        path = tmp_path / "log"
        with path.open(mode) as file:
            capture = Capture(MozlogHandler(file))
            for number in range(3):
                text = f'{{"Timestamp":{number}}}\n'
                file.write(text if "b" not in mode else text.encode())
                capture.logger.info("%d", number)
        lines = checked_lines(path.read_bytes())
        assert [line.get("Fields", {}).get("msg") for line in lines] == [
            None, "0", None, "1", None, "2",
        ]  # fmt: skip

    def test_stream_in_an_encoding_that_is_not_based_on_ascii_is_written_as_text(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "log"
        with path.open("w", encoding="utf-16") as file:
            Capture(MozlogHandler(file)).logger.info("ž")
        assert checked_lines(path.read_text("utf-16"))[0]["Fields"] == {"msg": "ž"}

    def test_stream_that_compresses_gets_its_lines_through_the_compressor(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "log.gz"
        with gzip.open(path, "wt", encoding="utf-8") as file:
            Capture(MozlogHandler(file)).logger.info("ž")
        with gzip.open(path, "rt", encoding="utf-8") as file:
            assert checked_lines(file.read())[0]["Fields"] == {"msg": "ž"}

    @pytest.mark.parametrize("claim", [None, "utf-8"])
    def test_stream_that_says_nothing_true_of_its_encoding_gets_escapes(
        self, claim: str | None
    ) -> None:
        raw = io.BytesIO()
        inner = io.TextIOWrapper(raw, encoding="ascii")

        class Tee:
            encoding = claim

            def write(self, text: str) -> None:
                inner.write(text)
                inner.flush()

        handler = MozlogHandler(Tee())
        capture = Capture(handler)
        capture.logger.info("é")
        capture.logger.info("ž")
        assert [line["Fields"]["msg"] for line in checked_lines(raw.getvalue())] == ["é", "ž"]
        assert handler.lost == 0

    def test_stream_that_takes_bytes_without_saying_so_gets_bytes(self) -> None:
        with tempfile.TemporaryFile("w+b") as file:
            capture = Capture(MozlogHandler(file))
            capture.logger.info("one")
            capture.logger.info("two")
            file.seek(0)
            lines = checked_lines(file.read())
        assert [line["Fields"]["msg"] for line in lines] == ["one", "two"]

        class BytesOnly:
            written = b""

            def write(self, line: bytes) -> None:
                self.written += bytes(memoryview(line))

        stream = BytesOnly()
        Capture(MozlogHandler(stream)).logger.info("ž")
        assert checked_lines(stream.written)[0]["Fields"] == {"msg": "ž"}

    def test_stream_that_takes_ten_bytes_at_a_time_gets_the_whole_line(self) -> None:
        class Slow(io.RawIOBase):
            written = b""
            taken: int | None = 10

            def write(self, line: Any) -> int | None:
                self.written += bytes(line[: self.taken]) if self.taken is not None else b""
                return None if self.taken is None else min(len(line), self.taken)

        slow = Slow()
        handler = MozlogHandler(slow)
        Capture(handler).logger.info("x" * 100)
        assert checked_lines(slow.written)[0]["Fields"] == {"msg": "x" * 100}
        for taken in (None, 0):
            slow.taken = taken
            Capture(handler).logger.info("lost")
        assert handler.lost == 2

    def test_stream_may_refuse_to_be_compared(self) -> None:
        class Stream(io.StringIO):
            __hash__ = None  # type: ignore[assignment]

            def __eq__(self, other: object) -> bool:
                raise ValueError("ambiguous")

        stream = Stream()
        Capture(MozlogHandler(stream)).logger.info("hi")
        assert checked_lines(stream.getvalue())[0]["Fields"] == {"msg": "hi"}

    @pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf8", "UTF-8"])
    def test_stream_that_is_a_file_can_be_read_in_its_own_encoding(
        self, encoding: str, tmp_path: Path
    ) -> None:
        path = tmp_path / "log"
        with path.open("w", encoding=encoding) as file:
            Capture(MozlogHandler(file)).logger.info("é ž")
        assert checked_lines(path.read_text(encoding))[0]["Fields"] == {"msg": "é ž"}

    def test_stream_keeps_a_terminator_of_its_own(self) -> None:
        capture = Capture()
        capture.handler.terminator = "\r\n"  # type: ignore[attr-defined]
        capture.logger.info("hi")
        assert capture.stream.getvalue().endswith("}\r\n")

    def test_stream_keeps_the_terminator_of_its_class(self) -> None:
        class Wide(MozlogHandler):
            terminator = "\r\n"

        stream = io.StringIO()
        capture = Capture(Wide(stream))
        capture.logger.info("hi")
        capture.logger.info("%s", object())
        assert stream.getvalue().count("}\r\n") == 2

    def test_stream_is_flushed_where_it_can_be(self, quiet: list[str]) -> None:
        class Stream(io.StringIO):
            flushed = 0

            def flush(self) -> None:
                self.flushed += 1
                if self.flushed > 1:
                    raise OSError("gone")

        handler = MozlogHandler(Stream())
        handler.flush()
        assert quiet == []
        handler.flush()
        assert quiet == ["flush failed: OSError: gone"]

    def test_stream_that_is_closed_is_flushed_without_a_word(
        self, quiet: list[str], tmp_path: Path
    ) -> None:
        with (tmp_path / "log").open("w") as file:
            handler = MozlogHandler(file)
        handler.flush()
        assert quiet == []


class TestLosses:
    class Failing(io.StringIO):
        error: BaseException | None = OSError("disk full")

        def write(self, text: str) -> int:
            if self.error is not None:
                raise self.error
            return super().write(text)

    def test_losses_are_counted_and_said_once_writing_works(self, quiet: list[str]) -> None:
        stream = self.Failing()
        handler = MozlogHandler(stream)
        capture = Capture(handler)
        capture.logger.info("one")
        capture.logger.info("two")
        assert handler.lost == 2
        assert quiet == ["a record was not written: OSError: disk full"] * 2
        stream.error = None
        capture.logger.info("three")
        lines = checked_lines(stream.getvalue())
        assert lines[0]["Fields"] == {"msg": "three"}
        report = lines[1]["Fields"]
        assert report["msg"] == "2 records were lost"
        assert report["lost"] == 2
        assert report["lost_by_severity"] == {"6": 2}
        assert report["lost_by_cause"] == {"OSError": 2}
        assert report["lost_since"].endswith("Z")
        assert lines[1]["Type"] == "mozlog_py"
        capture.logger.info("four")
        assert len(checked_lines(stream.getvalue())) == 3

    def test_losses_that_cannot_be_reported_now_are_reported_later(
        self, monkeypatch: pytest.MonkeyPatch, quiet: list[str]
    ) -> None:
        class EndOfStack:
            """A formatter that renders nothing, as at the end of the stack."""

            def renderer(self, *_: Any) -> Any:
                monkeypatch.setattr(handler, "_fallback_formatter", usual)
                return lambda _: last_resort(RecursionError())

        monkeypatch.setattr("mozlog_py._sink.line_writer._REPORT_EVERY_S", 0.0)
        handler = MozlogHandler(io.StringIO())
        capture = Capture(handler)
        usual = handler._fallback_formatter
        monkeypatch.setattr(handler, "_fallback_formatter", EndOfStack())
        handler.sink.lose("ENOSPC", b'{"Severity":3}\n')
        capture.logger.info("one")
        capture.logger.info("two")
        one, two, report = (line["Fields"] for line in checked_lines(handler.stream.getvalue()))
        assert (one["msg"], two["msg"]) == ("one", "two")
        assert (report["lost"], report["lost_by_cause"]) == (1, {"ENOSPC": 1})
        assert report["lost_by_severity"] == {"3": 1}

    @pytest.mark.slow
    def test_losses_at_the_end_of_the_stack_have_a_cause_and_a_report(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet: list[str]
    ) -> None:
        monkeypatch.setattr("mozlog_py._sink.line_writer._REPORT_EVERY_S", 0.0)
        path = tmp_path / "log"
        handler = MozlogHandler(path)
        capture = Capture(handler)
        capture.logger.info("before")

        def deeper() -> None:
            try:
                deeper()
            except RecursionError:
                try:
                    capture.logger.info("deep")
                except RecursionError:
                    pass
                raise

        with pytest.raises(RecursionError):
            deeper()
        capture.logger.info("after")
        capture.logger.info("after")
        sink = handler.sink
        fields = [line["Fields"] for line in checked_lines(path.read_bytes())]
        assert sum(sink.dropped.values()) == sink.lost
        assert sum(each.get("lost", 0) for each in fields) == sink.lost
        # Some lines say only that a record could not be rendered there.
        assert sum("lost" not in each for each in fields) == sink.written

    def test_call_handle_error_only_where_it_is_overridden(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        called: list[str] = []

        class Custom(MozlogHandler):
            def handleError(self, record: logging.LogRecord) -> None:
                called.append(record.getMessage())
                raise LookupError("and fails itself")

        Capture(Custom(self.Failing())).logger.info("lost")
        Capture(MozlogHandler(self.Failing())).logger.info("lost too")
        assert called == ["lost"]
        assert capsys.readouterr().err == ""

    @pytest.mark.parametrize("stdout", [None, "closed"])
    def test_losses_of_stdout_itself_do_not_reach_the_app(
        self, stdout: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        closed = io.StringIO()
        closed.close()
        monkeypatch.setattr(sys, "stdout", None if stdout is None else closed)
        handler = MozlogHandler()
        Capture(handler).logger.info("hi")
        assert handler.lost == 1


class TestInterrupts:
    class Interrupting:
        def __repr__(self) -> str:
            raise KeyboardInterrupt

    def test_interrupts_go_on_after_the_record_is_written(self) -> None:
        capture = Capture()
        with pytest.raises(KeyboardInterrupt):
            capture.logger.info("hi", extra={"value": self.Interrupting()})
        with pytest.raises(KeyboardInterrupt):
            capture.logger.info("%s", self.Interrupting())
        first, second = capture.fields
        assert first["value"] == "<unprintable Interrupting: KeyboardInterrupt>"
        assert second["msg"] == "%s (<unprintable Interrupting: KeyboardInterrupt>,)"

    def test_interrupts_from_outside_go_on_after_the_record_is_written(self) -> None:
        class Exit:
            calls = 0

            def __str__(self) -> str:
                Exit.calls += 1
                if Exit.calls == 1:
                    raise SystemExit(3)
                return "fine"

        capture = Capture()
        with pytest.raises(SystemExit):
            capture.logger.info("%s", Exit())
        assert capture.fields == [{"msg": "fine"}]

    def test_interrupts_in_a_formatter_that_makes_its_own_lines_go_on_as_well(self) -> None:
        class Custom(MozlogFormatter):
            def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
                return {**super().convert_record(record), "Env": "prod"}

        capture = Capture()
        capture.handler.setFormatter(Custom())
        with pytest.raises(KeyboardInterrupt):
            capture.logger.info("hi", extra={"value": self.Interrupting()})
        assert capture.lines[0]["Env"] == "prod"
        assert capture.fields[0]["value"] == "<unprintable Interrupting: KeyboardInterrupt>"
        assert capture.fields[0]["msg"] == "hi"

    def test_interrupts_in_a_foreign_formatter_go_on_after_the_record_is_written(self) -> None:
        class Foreign(logging.Formatter):
            def format(self, record: logging.LogRecord) -> str:
                raise KeyboardInterrupt

        capture = Capture()
        capture.handler.setFormatter(Foreign())
        with pytest.raises(KeyboardInterrupt):
            capture.logger.info("hi")
        assert capture.fields == [{"msg": "hi"}]


class TestNesting:
    def test_nesting_of_a_record_inside_a_record_writes_both(self) -> None:
        capture = Capture()

        class Logging:
            def __repr__(self) -> str:
                capture.logger.info("inner")
                return "shown"

        capture.logger.info("outer", extra={"value": Logging()})
        assert capture.fields == [{"msg": "inner"}, {"value": "shown", "msg": "outer"}]

    def test_nesting_of_threads_tears_no_line(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        with path.open("w") as file:
            capture = Capture(MozlogHandler(file))

            def work(number: int) -> None:
                with context.bound(worker=number):
                    for count in range(200):
                        capture.logger.info("x" * 500, extra={"count": count})

            threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        lines = checked_lines(path.read_bytes())
        seen = {(line["Fields"]["worker"], line["Fields"]["count"]) for line in lines}
        assert len(lines) == len(seen) == 1000

    def test_nesting_at_the_end_of_the_stack_gives_a_line_or_the_apps_own_error(self) -> None:
        capture = Capture()

        def deeper(depth: int) -> int:
            capture.logger.info("deep", extra={"nested": [{"a": (1, {2})}]})
            return deeper(depth + 1)

        with pytest.raises(RecursionError):
            deeper(0)
        assert {line["Type"] for line in capture.lines} <= {"app", "mozlog_py"}
        assert len(capture.lines) > 50


SCRIPT = """
import logging, os, sys
sys.path.insert(0, {tests!r})
from mozlog_py import MozlogHandler
log = logging.getLogger("script")
log.addHandler(MozlogHandler(name="script"))
log.setLevel(1)
"""


def run(body: str, unbuffered: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    source = SCRIPT.format(tests=str(Path(__file__).parent)) + body
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        timeout=60,
        check=False,
        **options,
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
class TestRealProcess:
    def test_real_process_keeps_prints_and_lines_in_order(self, unbuffered: str) -> None:
        body = """
for number in range(50):
    print('{"Timestamp":%d}' % number)
    log.info("%d", number)
"""
        done = run(body, unbuffered, capture_output=True)
        assert done.returncode == 0
        assert done.stderr == b""
        lines = checked_lines(done.stdout)
        assert [line["Timestamp"] for line in lines[::2]] == list(range(50))
        assert [line["Fields"]["msg"] for line in lines[1::2]] == [str(n) for n in range(50)]

    def test_real_process_writes_long_lines_whole_to_a_slow_pipe_that_does_not_block(
        self, unbuffered: str
    ) -> None:
        body = """
os.set_blocking(1, False)
for number in range(100):
    log.info("x" * 30_000, extra={"number": number})
"""
        reader, writer = os.pipe()
        source = SCRIPT.format(tests="") + body
        with subprocess.Popen(
            [sys.executable, "-c", source],
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=writer,
        ) as process:
            os.close(writer)
            with io.FileIO(reader) as pipe:
                out = b""
                while chunk := pipe.read(20_000):
                    out += chunk
            assert process.wait(timeout=60) == 0
        lines = checked_lines(out)
        assert [line["Fields"]["number"] for line in lines] == list(range(100))

    def test_outlives_a_reader_that_went_away(self, unbuffered: str) -> None:
        body = """
import signal
handler = log.handlers[0]
for number in range(10):
    log.info("x")
os._exit(7 if handler.lost == 10 else 8)
"""
        reader, writer = os.pipe()
        os.close(reader)
        done = run(body, unbuffered, stdout=writer, stderr=subprocess.PIPE)
        os.close(writer)
        assert done.returncode == 7
        assert b"a record was not written: BrokenPipeError" in done.stderr
        assert len(done.stderr) < 1024

    def test_real_process_logs_at_exit_and_in_del(self, unbuffered: str) -> None:
        body = """
import atexit
atexit.register(log.info, "at exit")
class Last:
    def __del__(self):
        log.info("in del")
kept = Last()
"""
        done = run(body, unbuffered, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        messages = [line["Fields"]["msg"] for line in checked_lines(done.stdout)]
        assert messages == ["at exit", "in del"]

    def test_real_process_has_the_right_pid_in_a_forked_child(self, unbuffered: str) -> None:
        body = """
log.info("parent")
pid = os.fork()
if pid == 0:
    log.info("child", extra={"own": os.getpid()})
    os._exit(0)
os.waitpid(pid, 0)
"""
        done = run(body, unbuffered, capture_output=True)
        parent, child = checked_lines(done.stdout)
        assert child["Fields"]["own"] == child["Pid"] != parent["Pid"]

    def test_real_process_ends_of_a_signal_as_it_would_without_us(self, unbuffered: str) -> None:
        body = """
import signal
log.info("before")
os.kill(os.getpid(), signal.SIGTERM)
"""
        done = run(body, unbuffered, capture_output=True)
        assert done.returncode == -signal.SIGTERM
        assert [line["Fields"]["msg"] for line in checked_lines(done.stdout)] == ["before"]


class TestDiagnostics:
    def test_diagnostics_are_one_short_line_a_second(self, monkeypatch: pytest.MonkeyPatch) -> None:
        written: list[bytes] = []
        now = [100.0]
        monkeypatch.setattr(self_log, "_last", float("-inf"))
        monkeypatch.setattr(self_log, "_withheld", 0)
        monkeypatch.setattr("time.monotonic", lambda: now[0])
        monkeypatch.setattr("os.write", lambda _, line: written.append(line))
        monkeypatch.setattr(self_log, "_is_ready", lambda _: True)
        self_log.note("first\nforged \u2028")
        self_log.note("second")
        self_log.note("third")
        now[0] += 1.0
        self_log.note("x" * 5000)
        assert written[0] == b"mozlog_py: first\\nforged \\u2028\n"
        assert len(written) == 2
        assert len(written[1]) == 1024

    def test_diagnostics_raise_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_: int) -> bool:
            raise MemoryError

        monkeypatch.setattr(self_log, "_last", float("-inf"))
        monkeypatch.setattr(self_log, "_is_ready", fail)
        self_log.note("not written")

    @pytest.mark.parametrize("way", ["rotate", "reopen"])
    def test_lines_go_on_to_the_open_file_if_no_descriptor_is_free(
        self, way: str, tmp_path: Path
    ) -> None:
        code = f"""
import logging, os, resource, time, mozlog_py
mozlog_py.configure("shop", format="mozlog", stream="./shop.log")
handler = logging.getLogger().handlers[0]
logging.info("1")
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
try:
    while True: os.open("/dev/null", os.O_RDONLY)
except OSError: pass
if {way!r} == "rotate":
    os.rename("shop.log", "shop.log.1")
    time.sleep(0.06)  # The sink looks at the path every 50 ms.
else:
    handler.reopen()
logging.info("2")
print(handler.sink.written, dict(handler.sink.dropped))
"""
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=False, timeout=60
        )
        assert done.stdout.split() == [b"2", b"{}"], done.stderr
        assert b"mozlog_py: " in done.stderr
        (path,) = tmp_path.glob("shop.log*")
        assert [each["Fields"]["msg"] for each in checked_lines(path.read_bytes())] == ["1", "2"]

    def test_diagnostics_do_not_wait_for_a_reader(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(self_log, "_last", float("-inf"))
        monkeypatch.setattr(self_log, "_withheld", 0)
        monkeypatch.setattr(self_log, "is_writable", lambda *_: False)
        monkeypatch.setattr("os.write", lambda *_: pytest.fail("written to a full pipe"))
        self_log.note("unread")
        assert self_log._withheld == 1


@pytest.mark.slow
def test_no_file_descriptor_is_left_open() -> None:
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(10):
        Capture().logger.info("hi")
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
