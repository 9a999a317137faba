"""A stdout that makes records of what is printed: our lines go to the real one."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs import Run, run

#: Statements that replace ``sys.stdout``; with ``printer`` a logger, and ``info`` its method.
CLASSES = {
    "a method under a name of its own": """
class Out:
    def __init__(self): self._emit = printer.warning
    def write(self, text):
        if text.strip(): self._emit(text.rstrip())
    def flush(self): pass
""",
    "a logger outside of the class, without a flush": """
class Out:
    def write(self, text):
        for line in text.splitlines():
            if line: printer.info("stdout: %s", line)
""",
    "slots, and no dict": """
class Out:
    __slots__ = ("log",)
    def __init__(self): self.log = printer
    def write(self, text):
        if text.strip(): self.log.log(logging.INFO, text.strip())
    def flush(self): pass
""",
    "a class of io": """
import io
class Out(io.TextIOBase):
    def write(self, text):
        if text.strip(): printer.info(text.strip())
        return len(text)
""",
    "what logs when it is flushed": """
class Out:
    text = ""
    def write(self, text): self.text += text
    def flush(self):
        text, self.text = self.text, ""
        if text.strip(): printer.info(text.strip())
""",
    "an adapter": """
class Out:
    def __init__(self): self.adapter = logging.LoggerAdapter(printer, {})
    def write(self, text):
        if text.strip(): self.adapter.info(text.strip())
    def flush(self): pass
""",
    "structlog": """
class Out:
    def write(self, text):
        if text.strip(): structlog.get_logger("print").info(text.strip())
    def flush(self): pass
""",
    "a write that fails after it has logged": """
class Out:
    def write(self, text):
        if text.strip(): printer.info(text.strip())
        raise OSError("full")
    def flush(self): pass
""",
}
PROGRAM = """
import logging, os, sys, structlog, mozlog_py
printer = logging.getLogger("print")
mozlog_py.configure("shop", format={format!r}, queue={queue})
{first}
{made}
sys.stdout = Out()
def flush():
    for handler in logging.getLogger().handlers: handler.flush()
logging.getLogger("cart").info("paid")
flush()
structlog.get_logger("cart").info("shipped")
flush()
try:
    print("hello", flush=hasattr(sys.stdout, "flush"))
except OSError: pass
flush()
sys.stdout = sys.__stdout__
sink = logging.getLogger().handlers[0].sink
os._exit(sink.lost)
"""


def result(made: str, folder: Path, *, first: str = "", queue: bool = False) -> Run:
    return run(PROGRAM.format(made=made, first=first, queue=queue, format="mozlog"), folder)


@pytest.mark.parametrize("queue", [False, True])
@pytest.mark.parametrize("first", ["", "logging.getLogger('cart').info('begun')"])
@pytest.mark.parametrize("made", CLASSES)
def test_whatever_the_class_each_line_is_one(
    made: str, first: str, queue: bool, tmp_path: Path
) -> None:
    done = result(CLASSES[made], tmp_path, first=first, queue=queue)
    assert (done.status, done.err) == (0, "")
    shown = [one.removeprefix("stdout: ") for one in done.messages if one != "begun"]
    assert shown == ["paid", "shipped", "hello"]


def test_the_first_thing_may_be_printed(tmp_path: Path) -> None:
    code = PROGRAM.replace('logging.getLogger("cart").info("paid")', 'print("paid")')
    made = CLASSES["slots, and no dict"]
    done = run(code.format(made=made, first="", queue=False, format="mozlog"), tmp_path)
    assert done.messages == ["paid", "shipped", "hello"]


def test_a_level_that_is_not_heard_swallows_no_line(tmp_path: Path) -> None:
    made = CLASSES["a method under a name of its own"].replace(".warning", ".debug")
    assert result(made, tmp_path).messages == ["paid", "shipped"]


def test_two_handlers_make_no_lines_of_each_others_lines(tmp_path: Path) -> None:
    made = CLASSES["slots, and no dict"] + (
        "other = mozlog_py.MozlogHandler()\nprinter.addHandler(other)\nprinter.propagate = False\n"
    )
    assert result(made, tmp_path).messages == ["paid", "shipped", "hello"]


def test_lines_for_people_are_told_by_their_text(tmp_path: Path) -> None:
    code = PROGRAM.format(
        made=CLASSES["slots, and no dict"], first="", queue=False, format="pretty"
    )
    # Not checked as MozLog: they are no JSON.
    done = run(code.replace("os._exit(sink.lost)", "os._exit(sink.lost or 7)").replace(
        'import logging, os, sys', 'import os; os.dup2(os.open("out", 65), 1)\nimport logging, sys'
    ), tmp_path)  # fmt: skip
    assert done.status == 7
    lines = (tmp_path / "out").read_text().splitlines()
    assert [line.split()[-1] for line in lines if "paid" in line or "hello" in line] == [
        lines[0].split()[-1], lines[-1].split()[-1]
    ]  # fmt: skip
    assert len(lines) == 3


def test_a_stderr_that_logs_goes_to_the_real_stderr(tmp_path: Path) -> None:
    code = f"""
import logging, sys, structlog, mozlog_py
printer = logging.getLogger("print")
{CLASSES["slots, and no dict"]}
sys.stderr = Out()
mozlog_py.configure("shop", stream=sys.stderr, format="mozlog")
logging.getLogger("cart").info("paid")
print("hello", file=sys.stderr)
"""
    done = run(code, tmp_path)
    assert (done.lines, done.err.count("\n")) == ([], 2)


def test_a_signal_handler_that_logs_within_a_streams_write_loses_no_line(tmp_path: Path) -> None:
    code = """
import logging, os, signal, sys, mozlog_py
class Out:
    def write(self, text):
        os.kill(os.getpid(), signal.SIGUSR1)
        sys.__stdout__.write(text)
    def flush(self): sys.__stdout__.flush()
def arrive(*_):
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    logging.getLogger("signal").info("arrived")
signal.signal(signal.SIGUSR1, arrive)
mozlog_py.configure("shop", format="mozlog")
sys.stdout = Out()
logging.getLogger("cart").info("paid")
"""
    assert sorted(run(code, tmp_path).messages) == ["arrived", "paid"]


def test_without_a_real_stdout_the_line_is_lost_and_counted(tmp_path: Path) -> None:
    code = PROGRAM.format(
        made=CLASSES["slots, and no dict"], first="", queue=False, format="mozlog"
    ).replace("sys.stdout = Out()", "sys.__stdout__ = None\nos.close(1)\nsys.stdout = Out()")
    done = run(code, tmp_path)
    # "hello" as well: its own line has nowhere to go.
    assert (done.messages, done.status) == ([], 3)
