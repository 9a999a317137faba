"""What is remembered by a name that data brings, everywhere: it is bounded, and lines are right."""

from __future__ import annotations

import ast
import gc
import io
import logging
import re
import weakref
from pathlib import Path
from typing import Any

import pytest
from conformance import checked_lines

import dockerflow
import mozlog_py
from dockerflow import settings, version
from dockerflow._request import server_task
from dockerflow._request.options import AGENT, HeaderRoles
from mozlog_py import MozlogFormatter, MozlogHandler, processors
from mozlog_py._process import memo
from mozlog_py._redaction.secret_shapes import Shapes
from mozlog_py._sink.loss_counter import OTHERS, LossCounter
from mozlog_py._stdlib import record_factory
from mozlog_py.processors import Redact
from mozlog_py.structlog import (
    FastBoundLogger,
    MozlogRenderer,
    SinkLoggerFactory,
    level_classes,
    renderer,
)
from mozlog_py.structlog.line_prefix import NOT_COMPILABLE, NOT_COMPILED

LONG = "n" * 50_000
# More than is remembered, and less than a line shows.
LONG_LOGGER = "n" * 5_000


def sources() -> list[tuple[Path, ast.Module]]:
    found = []
    for package in (mozlog_py, dockerflow):
        assert package.__file__ is not None
        for path in sorted(Path(package.__file__).parent.rglob("*.py")):
            found.append((path, ast.parse(path.read_text())))
    return found


@pytest.mark.slow
class TestTheRule:
    def test_the_rule_stands_in_one_place(self) -> None:
        """A memo that is cleared when it is full, and is not ``memo.remember``, has no length."""
        others = set()
        for path, tree in sources():
            for node in ast.walk(tree):
                if isinstance(node, ast.If) and re.search(r" >=? ", ast.unparse(node.test)):
                    told = [ast.unparse(statement) for statement in node.body]
                    if any(statement.endswith(".clear()") for statement in told):
                        others.add(path.name)
        # Templates have three keys each, and ask ``is_short`` themselves.
        assert others == {"memo.py", "line_encoder.py"}

    def test_the_rule_is_not_passed_by_with_a_cache_of_the_standard_library(self) -> None:
        cached = set()
        for path, tree in sources():
            for node in ast.walk(tree):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    for decorator in node.decorator_list:
                        text = ast.unparse(decorator)
                        if "lru_cache" in text or text.endswith("cache"):
                            cached.add((path.name, node.name, "maxsize=None" in text))
        assert cached == {
            ("trace_context.py", "is_installed", False),  # has no argument
            ("request_text.py", "_url_parser", False),  # has no argument
            ("secret_values.py", "_encodings_of", False),  # of single characters
            ("secret_values.py", "_encoded_alternatives", False),  # of characters of secrets
            ("servers.py", "_drops_arguments", False),  # of 64 types of handlers
            ("vary.py", "merged_vary", False),  # of what responses of the application say
            ("text_mask.py", "_by_value", False),  # of what 64 checks were given
            ("views.py", "_as_ours", False),  # of Django's checks, each of which stays there
        }


class TestRedact:
    @pytest.mark.slow
    def test_redact_remembers_few_and_short_names(self) -> None:
        redact = Redact(shapes=True)
        for number in range(3000):
            name = f"password_{number}" + ("" if number % 3 else "x" * 20_000)
            assert redact.is_secret(f"my.{name}") is bool(number % 3)
            assert redact(None, "info", {"event": "x", name: 1})[name] in (1, "[redacted]")
        assert redact.is_secret(f"{LONG}-password")
        assert redact.is_secret(f"{LONG}-password{'0' * 5000}")
        assert not redact.is_secret(f"password-{LONG}")
        assert 0 < len(redact._remembered) <= 2048
        assert max(map(len, redact._remembered)) <= memo.LONGEST

    def test_redact_remembers_few_and_short_parameters_of_urls(self) -> None:
        shapes = Shapes("***", Redact().is_secret)
        for number in range(3000):
            assert not shapes.may_be_in(b"https://a/?q%d%b=1" % (number, b"x" * (number % 200)))
            assert shapes.may_be_in(b"https://a/?" + b"x" * 300 + b"-token=1")
        assert 0 < len(shapes._known) <= 1024
        assert max(map(len, shapes._known)) <= memo.LONGEST


class TestLoggerNames:
    @pytest.fixture
    def out(self) -> io.StringIO:
        return io.StringIO()

    @pytest.mark.slow
    def test_logger_names_of_any_length_and_number_make_their_lines_and_stay_few(self) -> None:
        maker = MozlogFormatter(hostname="web").line_encoder_for("shop")
        names = [
            f"tenant-{number}" + (LONG_LOGGER if number % 10 == 0 else "") for number in range(3000)
        ]
        for name in names:
            for level in (20, 10**5000):
                for _ in range(2):
                    made = maker.line(1, name, level, 7, {"a": 1})
                    assert made.startswith(b'{"Timestamp":1,"Type":"%b",' % name.encode())
        kept = [name for types in maker.templates.values() for name in types]
        assert 0 < len(kept) <= 1024
        assert max(map(len, kept)) <= memo.LONGEST
        levels = {
            level for types in maker.templates.values() for of in types.values() for level in of
        }
        assert levels == {20}

    def test_logger_names_that_are_long_are_whole_in_every_front(self, out: io.StringIO) -> None:
        handler = MozlogHandler(stream=out)
        logger = logging.Logger(LONG_LOGGER, 1)
        logger.addHandler(handler)
        logger.info("first")
        logger.info("second", extra={"a": 1})
        fast = FastBoundLogger.at(10)(
            SinkLoggerFactory(handler.sink)(LONG_LOGGER), [MozlogRenderer()], {}
        )
        fast.info("third")
        fast.info("fourth", a=1)
        fast.bind(b=2).info("fifth")
        types = [made["Type"] for made in checked_lines(out.getvalue())]
        assert types == [LONG_LOGGER] * 5

    def test_logger_names_that_are_long_leave_the_fast_logger_fast(self, out: io.StringIO) -> None:
        handler = MozlogHandler(stream=out)
        fast = FastBoundLogger.at(10)(
            SinkLoggerFactory(handler.sink)("n" * 200), [MozlogRenderer()], {}
        )
        fast.info("first")
        assert fast._prefixes[2] not in (NOT_COMPILABLE, NOT_COMPILED)
        assert not any(map(len, fast._processors[0]._line_encoder.templates.values()))


class TestOthers:
    def test_combinations_of_bound_names_stay_few(self) -> None:
        made = MozlogRenderer()
        for number in range(500):
            names = {f"name-{number}": 1, ("x" * (number % 3 * 1000)): 2}
            assert made._reserved_names(names) >= {*names, "event"}
        assert 0 < len(made._reserved_by_names) <= renderer._MAX_REMEMBERED
        assert max(sum(map(len, names)) for names in made._reserved_by_names) <= 8 * memo.LONGEST

    @pytest.mark.slow
    def test_classes_of_loggers_that_are_gone_are_not_kept(self) -> None:
        def log() -> list[weakref.ref[Any]]:
            own = type("Own", (FastBoundLogger,), {"__slots__": ()})
            at = own.at(logging.INFO)
            logger = own(SinkLoggerFactory()("shop"), [MozlogRenderer()], {})
            logger.debug("x")
            assert own.at(logging.INFO) is at
            return [weakref.ref(one) for one in (own, at, type(logger))]

        ended = log()
        gc.collect()
        assert [one() for one in ended] == [None, None, None]
        assert not [made for made in level_classes._classes.values() if made.__name__ == "Own"]

    def test_headers_stay_few_and_have_their_roles(self) -> None:
        roles = HeaderRoles(b"x-request-id", uses_traceparent=False)
        for number in range(1000):
            assert roles[b"x-%d" % number + b"y" * (number % 3 * 1000)] == 0
            assert roles[b"User-Agent"] == AGENT
        assert 0 < len(roles) <= 300
        assert max(map(len, roles)) <= memo.LONGEST

    def test_paths_of_records_stay_few_and_short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(record_factory, "_files_and_modules", {})
        for number in range(3000):
            path = f"/{'x' * (number % 7 * 1000)}/{number}.py"
            made = record_factory.make_record("a", 20, path, 1, "x", (), None)
            assert (made.filename, made.module) == (f"{number}.py", str(number))
        assert 0 < len(record_factory._files_and_modules) <= 1000
        assert max(map(len, record_factory._files_and_modules)) <= 512

    def test_others_causes_of_losses_stay_few_and_add_up(self) -> None:
        losses = LossCounter()
        for number in range(300):
            losses.add(type(f"Error{number}", (Exception,), {})(), b'{"Severity":%d}' % number)
        assert losses.total == 300
        assert len(losses.by_cause) == 101
        assert losses.by_cause[OTHERS] == 200
        lost = losses.take_unreported()
        assert sum(lost.by_cause.values()) == sum(lost.by_severity.values()) == lost == 300
        assert len(lost.by_cause) == len(lost.by_severity) == 101
        losses.put_back(lost)
        losses.uncount(*("Error299", 299))
        losses.uncount(*("Error1", 1))
        again = losses.take_unreported()
        assert (again, losses.total) == (298, 298)
        assert again.by_cause[OTHERS] == 199
        assert "Error1" not in again.by_cause

    def test_what_processors_failed_with_stays_little(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(processors, "_reported", {})

        def failing(logger: Any, name: str, event: Any) -> Any:
            raise type(f"Error{event['number']}", (ValueError,), {})(LONG)

        formatter = MozlogFormatter(processors=[failing])
        for number in range(300):
            made = logging.makeLogRecord({"number": number, "msg": "x"})
            assert "failing raised Error" in formatter.format(made)
        assert 0 < len(processors._reported) <= 100

    def test_settings_that_were_warned_of_stay_few(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(settings, "_warned", {})
        names = [f"DOCKERFLOW_REQUEST_ID_ECH{'O' * number}" for number in range(2, 9)]
        settings.warn_of_near_misses(names * 2, "a test")
        assert len(caplog.records) == len(settings._warned) > 0
        assert len(settings._warned) <= 100

    def test_version_files_stay_few(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(version, "_read", {})
        for number in range(40):
            folder = tmp_path / str(number)
            folder.mkdir()
            (folder / "version.json").write_text(f'{{"version": "{number}"}}')
            for _ in range(2):
                assert version.get_version(folder) == {"version": str(number)}
        assert 0 < len(version._read) <= 16

    def test_channels_of_servers_stay_few(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(server_task, "_servers_channels", {})
        for number in range(1000):
            for module, expected in (("uvicorn.protocols", True), (f"made{number}", False)):
                send: Any = lambda message: None  # noqa: E731
                send.__module__ = module
                assert server_task.is_channel_of_server(send) is expected
        assert 0 < len(server_task._servers_channels) <= 256
