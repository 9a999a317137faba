"""The reader of the start pages notices each page that does not say what happens."""

import os
import signal
import sys
from pathlib import Path

import pytest
from start_page import Mismatch, Reader, Shown, blocks_of

LINE = '{"Timestamp":1,"Type":"shop","Pid":7,"Severity":6,"Fields":{"rid":"a","msg":"hi"}}'
ONE, OTHER = "9f565061-eb9b-45ad-a961-f53ea2fa091c", "b2543e10-5571-4b3f-aa68-0e4a60d3e6d5"


@pytest.mark.parametrize(
    ("shown", "real"),
    [
        ("* Running", "* Running"),
        ("date: …", "date: today"),
        (LINE, LINE.replace("7", "8").replace('"Timestamp":1', '"Timestamp":2')),
        ('{"Type":"shop","Fields":{"rid":"a","msg":"…"}}', LINE),
        ('{"Fields":{"t":1,"runtime":0.5}}', '{"Fields":{"t":20,"runtime":0.7}}'),
        ('{"status":"error",…}', '{"status":"error","checks":{}}'),
        (f"id: {ONE}", f"id: {OTHER}"),
    ],
)
def test_what_differs_from_run_to_run_is_the_same(shown: str, real: str) -> None:
    assert Shown().match([shown], [real], "page") == 1


@pytest.mark.parametrize(
    ("shown", "real"),
    [
        ("* Running", "* Serving"),
        ("date: …", "server: uvicorn"),
        (LINE, LINE.replace("hi", "ho")),
        (LINE, LINE.replace('"Severity":6', '"Severity":3')),
        ('{"Type":"shop","Fields":{"msg":"hi"}}', LINE),
        ('{"Type":"shop","Fields":{"msg":"hi","rid":"a"}}', LINE),
        ('{"Fields":{"code":200}}', '{"Fields":{"code":500}}'),
        ('{"status":"ok",…}', '{"status":"error","checks":{}}'),
    ],
)
def test_another_line_is_noticed(shown: str, real: str) -> None:
    with pytest.raises(Mismatch, match=r"^page shows"):
        Shown().match([shown], [real], "page")


def test_an_id_is_the_same_on_the_whole_page() -> None:
    shown = Shown()
    assert shown.match([f"id: {ONE}"], [f"id: {OTHER}"], "page") == 1
    assert shown.match([f"rid {ONE}"], [f"rid {OTHER}"], "page") == 1
    with pytest.raises(Mismatch):
        shown.match([f"rid {ONE}"], [f"rid {ONE}"], "page")


def test_lines_that_are_left_out_may_be_any_number() -> None:
    shown = Shown()
    assert shown.match(["…", "ready"], ["ready", "more"], "page") == 1
    assert shown.match(["…", "ready"], ["one", "two", "ready"], "page") == 3
    assert shown.match(["…", "ready"], ["one", "two"], "page") is None
    assert shown.match(["ready", "…"], ["ready", "one", "two"], "page") == 3


def follow(tmp_path: Path, text: str) -> Reader:
    page = tmp_path / "page.md"
    page.write_text(text, "utf-8")
    folder = tmp_path / "folder"
    folder.mkdir()
    reader = Reader(folder, {"PATH": os.environ["PATH"]})
    reader.follow(blocks_of(page))
    return reader


CONSOLE = "Run it:\n\n```console\n$ cat a.txt\n{}```\n"
FILE = "Write `a.txt`:\n\n```text\nport 8000\n```\n\n"


def test_files_are_written_and_commands_run(tmp_path: Path) -> None:
    reader = follow(tmp_path, FILE + CONSOLE.format("port 8000\n"))
    assert reader.output == ["port 8000"]
    assert (tmp_path / "folder" / "a.txt").read_text() == f"port {reader.port}\n"


def test_text_is_added_to_a_file(tmp_path: Path) -> None:
    added = "Add this to the end of `a.txt`:\n\n```text\nmore\n```\n\n"
    assert follow(tmp_path, FILE + added + CONSOLE.format("…\n")).output[-1] == "more"


@pytest.mark.parametrize("shown", ["port 80\n", "port 8000\nmore\n"])
def test_other_output_of_a_command_is_noticed(tmp_path: Path, shown: str) -> None:
    with pytest.raises(AssertionError, match=r"page\.md:"):
        follow(tmp_path, FILE + CONSOLE.format(shown))


def test_output_that_the_page_does_not_show_is_noticed(tmp_path: Path) -> None:
    page = FILE.replace("port 8000\n", "one\ntwo\n") + CONSOLE.format("one\n")
    with pytest.raises(AssertionError, match="prints\none\ntwo"):
        follow(tmp_path, page)


def test_a_command_that_fails_without_a_word_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"a\.txt"):
        follow(tmp_path, CONSOLE.format(""))


@pytest.mark.parametrize("block", ["```json\n{}\n```\n", "```console\nno command\n```\n"])
def test_a_block_that_nothing_is_done_with_is_noticed(tmp_path: Path, block: str) -> None:
    with pytest.raises(AssertionError, match=r"page\.md:"):
        follow(tmp_path, f"Look:\n\n{block}")


RUNNING = "Start it in one terminal:\n\n```console\n$ {}\none\n```\n\n"
WAITS = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
print("one\\ntwo", flush=True)
signal.sigwait({signal.SIGINT})
print("stopped", flush=True)
"""
TWO_LINES = f"Write `a.py`:\n\n```python\n{WAITS}```\n\n" + RUNNING.format(f"{sys.executable} a.py")


def test_a_running_command_is_read_and_ended(tmp_path: Path) -> None:
    assert follow(tmp_path, TWO_LINES + "```text\ntwo\n```\n").output == ["one", "two", "stopped"]


def test_a_running_command_takes_ctrl_c_where_the_run_ignores_it(tmp_path: Path) -> None:
    asks = "import signal\nprint(signal.getsignal(signal.SIGINT) != signal.SIG_IGN)\n"
    page = f"Write `a.py`:\n\n```python\n{asks}```\n\n" + RUNNING.format(f"{sys.executable} a.py")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert follow(tmp_path, page.replace("\none\n", "\nTrue\n")).output == ["True"]
    finally:
        signal.signal(signal.SIGINT, before)


def test_output_of_a_running_command_has_an_end(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="where does the output end"):
        follow(tmp_path, TWO_LINES + "```text\ntwo\n…\n```\n")


def test_a_running_command_that_prints_something_else_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(Mismatch, match="three"):
        follow(tmp_path, TWO_LINES + "```text\nthree\n```\n")


def test_a_running_command_that_ends_too_early_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(Mismatch, match="nothing listens"):
        follow(tmp_path, RUNNING.format("PORT=8000 echo one"))
