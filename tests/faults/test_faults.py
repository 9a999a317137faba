"""The quick form of ``make torture``: each fault a few times; no line is torn or doubled."""

import os
import subprocess
import sys
from pathlib import Path

import harness
import pytest


@pytest.mark.parametrize("unbuffered", ["", "1"])
class TestOutput:
    def test_output_that_does_not_block_and_is_read_slowly_gets_every_line(self, unbuffered):
        outcome = harness.nonblocking(20_000, "ours", unbuffered)
        assert outcome.is_exact, outcome
        assert outcome.survived == 20_000

    def test_output_is_whole_while_signals_arrive(self, unbuffered):
        outcome = harness.timer(40, "ours", unbuffered)
        assert outcome.is_exact, outcome
        assert outcome.survived == 40

    def test_output_is_whole_while_signal_handlers_log(self, unbuffered):
        outcome = harness.logging_timer(40, "ours", unbuffered)
        assert outcome.is_exact, outcome
        assert outcome.survived == outcome.tried > 40

    def test_output_has_every_line_that_the_sink_had_when_a_signal_handler_raised(self, unbuffered):
        outcome = harness.raising_timer(40, "ours", unbuffered)
        assert outcome.is_clean, outcome
        assert outcome.lost == 0, outcome


class TestProcesses:
    @pytest.mark.parametrize(("handler", "count"), [("ours", 200), ("queue", 20)])
    def test_forked_while_threads_log_neither_hang_nor_repeat(self, handler, count):
        outcome = harness.forks(count, handler)
        assert outcome.is_exact, outcome
        assert outcome.survived == outcome.tried

    @pytest.mark.parametrize("handler", ["ours", "queue"])
    def test_processes_that_were_forked_share_a_pipe_without_tearing_long_lines(self, handler):
        outcome = harness.forked_processes(60, handler)
        assert outcome.is_clean, outcome
        assert outcome.survived == outcome.tried

    def test_processes_that_were_not_forked_share_a_pipe_as_well(self):
        outcome = harness.processes(60, "ours")
        assert outcome.is_clean, outcome
        assert outcome.survived == outcome.tried

    def test_processes_that_are_killed_have_written_all_whose_call_returned(self):
        outcome = harness.killed(24, "ours")
        assert outcome.is_clean, outcome
        assert outcome.lost == 0, outcome

    @pytest.mark.parametrize("handler", ["ours", "queue"])
    def test_processes_end_as_they_should_with_lines_at_the_end(self, handler):
        outcome = harness.shutdown(500, handler)
        assert outcome.is_clean, outcome
        assert outcome.lost == 0, outcome
        assert outcome.facts["stderr"] == ""


@pytest.mark.parametrize("unbuffered", ["", "1"])
class TestRefusals:
    @pytest.mark.parametrize("handler", ["ours", "structlog"])
    def test_refusals_of_a_full_device_are_counted(self, unbuffered, handler):
        outcome = harness.dev_full(500, handler, unbuffered)
        assert outcome.is_exact, outcome
        assert outcome.facts["dropped"] == {"ENOSPC": 500}

    def test_refusals_of_a_pipe_without_a_reader_are_counted(self, unbuffered):
        outcome = harness.closed_pipe(500, "ours", unbuffered)
        assert outcome.is_exact, outcome
        assert outcome.facts["dropped"] == {"EPIPE": 500}

    @pytest.mark.parametrize("handler", ["ours", "structlog"])
    def test_refusals_of_a_limited_file_are_counted_and_its_torn_line_is_finished(
        self, unbuffered, handler
    ):
        outcome = harness.limited(1000, handler, unbuffered)
        assert outcome.is_exact, outcome
        assert 0 < outcome.lost == outcome.facts["dropped"]["EFBIG"] < 1000

    def test_refusals_of_a_full_file_system_are_counted_and_its_torn_line_is_finished(
        self, unbuffered, tmp_path
    ):
        with small_file_system(tmp_path) as directory:
            outcome = harness.full(1000, "ours", unbuffered, directory=directory)
        assert outcome.is_exact, outcome
        assert 0 < outcome.lost == outcome.facts["dropped"]["ENOSPC"] < 1000


@pytest.mark.parametrize("unbuffered", ["", "1"])
class TestFastLogger:
    """It writes to files by itself, and meets the same faults."""

    def test_fast_logger_is_whole_to_a_file_while_signals_arrive(self, unbuffered):
        outcome = harness.timer(20_000, "structlog", unbuffered, pad=200)
        assert outcome.is_exact, outcome
        assert outcome.survived == 20_000

    def test_fast_logger_is_whole_to_a_file_while_signal_handlers_log(self, unbuffered):
        outcome = harness.logging_timer(20_000, "structlog", unbuffered, pad=200)
        assert outcome.is_exact, outcome
        assert outcome.survived == outcome.tried > 20_000

    def test_fast_logger_is_whole_to_a_slow_pipe_while_signals_arrive(self, unbuffered):
        outcome = harness.logging_timer(40, "structlog", unbuffered)
        assert outcome.is_exact, outcome
        assert outcome.survived == outcome.tried > 40

    def test_fast_logger_that_is_killed_has_written_all_whose_call_returned(self, unbuffered):
        outcome = harness.killed(12, "structlog", unbuffered)
        assert outcome.is_clean, outcome
        assert outcome.lost == 0, outcome

    def test_forked_while_threads_log_neither_hangs_nor_repeats(self, unbuffered):
        outcome = harness.forks(100, "structlog", unbuffered)
        assert outcome.is_exact, outcome
        assert outcome.survived == outcome.tried

    def test_fast_logger_ends_as_it_should_with_lines_at_the_end(self, unbuffered):
        outcome = harness.shutdown(500, "structlog", unbuffered)
        assert outcome.is_clean, outcome
        assert outcome.lost == 0, outcome
        assert outcome.facts["stderr"] == ""


class TestReader:
    def test_reader_that_has_stopped_holds_up_no_caller_with_a_queue(self):
        outcome = harness.stopped_reader(5000)
        assert outcome.is_exact, outcome
        assert 0 < outcome.lost == outcome.facts["dropped"]["queue full"]
        assert outcome.facts["waiting"] <= 1 << 20
        assert outcome.facts["grown_kb"] < 4096


class small_file_system:
    """A file system of 2 MiB, for as long as the block lasts."""

    def __init__(self, directory):
        self.directory = directory

    def __enter__(self) -> Path:
        mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(self.directory)]
        try:
            done = subprocess.run(mount, capture_output=True, check=False)
        except FileNotFoundError:
            done = None
        if done is None or done.returncode:
            pytest.skip("a tmpfs of 2 MiB cannot be mounted here; that takes root on Linux")
        return self.directory

    def __exit__(self, *_):
        subprocess.run(["umount", str(self.directory)], check=True)


def test_the_standard_handler_loses_lines_where_ours_does_not():
    """The figures of docs/faults.md can be reproduced, and the harness finds losses."""
    outcome = harness.nonblocking(20_000, "standard", "1")
    assert outcome.lost > 0
    partial = harness.timer(20, "standard", "1")
    assert partial.lost > 0 or partial.partial > 0


def test_the_app_is_one_file_that_python_can_run_alone():
    done = subprocess.run(
        [sys.executable, str(harness.APP), "refused", "ours", "2"],
        env={**os.environ, "REPORT": os.devnull},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 7
    assert done.stdout.count(b"\n") == 2
