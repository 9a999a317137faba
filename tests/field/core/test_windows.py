"""A system without POSIX, as Windows is one: everything is imported, and lines are written.

The names that Windows does not have are taken away before the first import of ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from runs import messages, run

#: What runs before anything else. ``os.name`` stays, and what packages import by it: the
#: standard library, and Sanic with its SIGKILL.
WITHOUT_POSIX = """
import os, select, signal, sys
for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
for name in ("fchmod", "fchown", "fork", "forkpty", "get_blocking", "getppid", "getuid", "killpg",
             "mkfifo", "pread", "pwrite", "register_at_fork", "set_blocking", "setsid", "uname",
             "wait", "writev"):
    if hasattr(os, name): delattr(os, name)
for name in ("SIGALRM", "SIGCHLD", "SIGHUP", "SIGPIPE", "SIGQUIT", "SIGUSR1", "SIGUSR2",
             "SIGRTMIN", "pthread_sigmask", "set_wakeup_fd_posix"):
    if hasattr(signal, name): delattr(signal, name)
for name in ("PIPE_BUF", "epoll", "poll", "POLLOUT", "POLLIN"):
    if hasattr(select, name): delattr(select, name)
def select_of_sockets(*_):
    raise OSError(10038, "an operation was attempted on something that is not a socket")
select.select = select_of_sockets
for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY"):
    if hasattr(os, name): delattr(os, name)
"""
IMPORT_ALL = """
import importlib, pkgutil, dockerflow, mozlog_py
names = []
for package in (mozlog_py, dockerflow):
    names.append(package.__name__)
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
            names.append(found.name)
assert len(names) > 100, names
"""
LOG = """
import logging, structlog, mozlog_py
def log(text):
    logging.getLogger("a").info(text)
    structlog.get_logger("a").info(text + " by structlog")
def flush():
    for handler in logging.getLogger().handlers: handler.flush()
"""
BOTH = ["one", "one by structlog", "two", "two by structlog"]


def test_every_module_is_imported(tmp_path: Path) -> None:
    django = "import django.conf; django.conf.settings.configure()\n"
    done = run(f"{WITHOUT_POSIX}{django}{IMPORT_ALL}", tmp_path)
    assert (done.status, done.err) == (0, "")


@pytest.mark.parametrize("queue", [False, True, {"policy": "block", "max_bytes": 1000}], ids=str)
@pytest.mark.parametrize("out", ["a pipe", "a file"])
def test_stdout_gets_every_line(out: str, queue: object, tmp_path: Path) -> None:
    path = tmp_path / "out"
    redirect = "" if out == "a pipe" else "os.dup2(os.open('out', os.O_WRONLY | os.O_CREAT), 1)"
    code = f"""{WITHOUT_POSIX}
{redirect}
{LOG}
mozlog_py.configure("shop", queue={queue!r})
log("one")
logging.getLogger("a").info("x" * 200_000)
log("two")
"""
    done = run(code, tmp_path)
    assert (done.status, done.err) == (0, "")
    shown = done.messages if out == "a pipe" else messages(path)
    assert [one for one in shown if len(one) < 100] == BOTH
    assert len(shown) == 5


@pytest.mark.parametrize("queue", [False, True])
def test_a_file_gets_every_line_and_is_opened_again(queue: bool, tmp_path: Path) -> None:
    code = f"""{WITHOUT_POSIX}{LOG}
mozlog_py.configure("shop", stream="shop.log", queue={queue})
log("one")
flush()
os.rename("shop.log", "shop.1.log")
(handler,) = logging.getLogger().handlers
handler.reopen()
log("two")
flush()
os.closerange(3, 64)
others = [open(f"{{n}}.csv", "w") for n in range(8)]
log("three")
flush()
for other in others: other.close()
assert not any(os.path.getsize(other.name) for other in others)
"""
    done = run(code, tmp_path)
    assert (done.status, done.err) == (0, "")
    assert messages(tmp_path / "shop.1.log") == BOTH[:2]
    assert messages(tmp_path / "shop.log") == [*BOTH[2:], "three", "three by structlog"]


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    code = f"""{WITHOUT_POSIX}{LOG}
mozlog_py.configure("shop", stream="shop.log")
log("one")
os.rename("shop.log", "shop.1.log")
os.symlink("other", "shop.log")
(handler,) = logging.getLogger().handlers
handler.reopen()
log("two")
assert not os.path.exists("other")
"""
    done = run(code, tmp_path)
    assert (done.status, done.err) == (0, "")
    assert messages(tmp_path / "shop.1.log") == BOTH


def test_a_newline_is_one_byte_in_a_file_where_files_are_text_by_default(tmp_path: Path) -> None:
    code = f"""{WITHOUT_POSIX}
os.O_BINARY, os.O_NOINHERIT = 1 << 28, 1 << 29
flags = []
open_ = os.open
def open_as_there(path, how, *args):
    flags.append(how)
    return open_(path, how & ~(os.O_BINARY | os.O_NOINHERIT), *args)
os.open = open_as_there
{LOG}
mozlog_py.configure("shop", stream="shop.log")
log("one")
assert flags and all(one & os.O_BINARY and one & os.O_NOINHERIT for one in flags)
"""
    done = run(code, tmp_path)
    assert (done.status, done.err) == (0, "")
    assert b"\r" not in (tmp_path / "shop.log").read_bytes()


def test_a_stdout_in_a_code_page_gets_ascii(tmp_path: Path) -> None:
    code = f'{WITHOUT_POSIX}{LOG}\nmozlog_py.configure("shop")\nlog("Grüße, 世界")\n'
    done = run(code, tmp_path, env={**os.environ, "PYTHONIOENCODING": "cp1252"})
    assert done.messages == ["Grüße, 世界", "Grüße, 世界 by structlog"]


def test_a_timeout_makes_no_line_fail(tmp_path: Path) -> None:
    code = f"""{WITHOUT_POSIX}{LOG}
handler = mozlog_py.MozlogHandler(timeout=0.0)
logging.getLogger().addHandler(handler)
logging.getLogger().setLevel("INFO")
logging.getLogger("a").info("one")
os._exit(handler.lost)
"""
    done = run(code, tmp_path)
    assert (done.messages, done.status) == (["one"], 0)


def test_a_pipe_that_does_not_block_is_tried_again(tmp_path: Path) -> None:
    code = f"""
import fcntl, os, threading
reader, writer = os.pipe()
fcntl.fcntl(writer, 1031, 4096)
os.set_blocking(writer, False)
del fcntl
{WITHOUT_POSIX}{LOG}
sink = mozlog_py.MozlogHandler(os.fdopen(writer, "wb"), max_line_bytes=0).sink
got = []
def read():
    while sum(map(len, got)) < 100_001: got.append(os.read(reader, 3000))
thread = threading.Thread(target=read)
thread.start()
assert sink.write(b"x" * 100_000 + b"\\n")
thread.join()
os._exit(sink.lost)
"""
    assert run(code, tmp_path).status == 0


def test_what_the_logger_says_of_itself_is_on_stderr(tmp_path: Path) -> None:
    code = f"""{WITHOUT_POSIX}{LOG}
class Full:
    def write(self, text): raise OSError(28, "full")
logging.getLogger().addHandler(mozlog_py.MozlogHandler(Full()))
logging.getLogger("a").error("one")
"""
    with (tmp_path / "err").open("wb") as err:
        done = subprocess.run(
            [sys.executable, "-c", code], stderr=err, stdout=subprocess.PIPE, check=True, timeout=60
        )
    assert done.stdout == b""
    assert (tmp_path / "err").read_text().startswith("mozlog_py: a record was not written")


def test_a_server_writes_the_lines_of_its_requests(tmp_path: Path) -> None:
    code = f"""{WITHOUT_POSIX}{LOG}
import flask
from dockerflow.flask import Dockerflow
mozlog_py.configure("shop")
app = flask.Flask("shop")
Dockerflow(app)
with app.test_client() as client:
    assert client.get("/__lbheartbeat__").status_code == 200
    assert client.get("/__heartbeat__").status_code == 200
    client.get("/none")
"""
    done = run(code, tmp_path)
    assert (done.status, done.err) == (0, "")
    summaries = [line["Fields"] for line in done.lines if line["Type"] == "request.summary"]
    assert [one["path"] for one in summaries][-1] == "/none"
