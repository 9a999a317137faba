"""Real servers over real sockets: what they and their application log is lines, on one stream.

Either the server is given ``dict_config()``, as its documentation has it; or
the application calls ``configure()``, before the server sets up its own logging
or after that.
"""

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from conformance import checked_lines
from serving import Served, server

import mozlog_py

pytestmark = pytest.mark.usefixtures("query_strings")

SETTINGS = "from application import server_config as logconfig_dict\naccesslog = '-'\n"

IN_CODE = {
    "uvicorn": """
import sys
from application import asgi, server_config
import uvicorn

given = {} if server_config is None else {"log_config": server_config}
uvicorn.run(asgi, port=int(sys.argv[1]), **given)
""",
    "hypercorn": """
import asyncio, sys
from application import asgi, server_config
from hypercorn.asyncio import serve
from hypercorn.config import Config

config = Config()
config.bind = [f"127.0.0.1:{sys.argv[1]}"]
config.accesslog = "-"
config.logconfig_dict = server_config
asyncio.run(serve(asgi, config))
""",
    "granian": """
import sys
from application import server_config
from granian import Granian
from granian.constants import Interfaces

if __name__ == "__main__":
    port = int(sys.argv[1])
    Granian(
        "application:asgi", port=port, interface=Interfaces.ASGI, log_access=True,
        log_dictconfig=server_config,
    ).serve()
""",
}

FILES = {
    "settings.py": SETTINGS,
    **{f"serve_{name}.py": text for name, text in IN_CODE.items()},
}

# The command lines, by server; each has two workers where that is usual.
GUNICORN = ["gunicorn", "application:wsgi", "-w", "2", "-b", "127.0.0.1:PORT"]
UVICORN = ["uvicorn", "application:asgi", "--port", "PORT"]
HYPERCORN = ["hypercorn", "application:asgi", "-b", "127.0.0.1:PORT", "--access-logfile", "-"]
GRANIAN = ["granian", "--interface", "asgi", "application:asgi", "--port", "PORT", "--access-log"]

ERRORS = {
    "gunicorn": "gunicorn.error",
    "uvicorn": "uvicorn.error",
    "hypercorn": "hypercorn.error",
    "granian": "_granian.utils",
}
# Which of them tell how long a request took, and by whom it was made.
TIMED = {"gunicorn", "hypercorn", "granian"}
NAMING = {"gunicorn", "hypercorn"}
FIRST = {
    "gunicorn": "Starting gunicorn",
    "uvicorn": "Started server process",
    "hypercorn": "Running on",
    "granian": "Starting granian",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = mozlog_py.dict_config("service", format="mozlog", level="INFO")
    (tmp_path / "log.json").write_text(json.dumps(config))
    return tmp_path


def ask(served: Served, *further: str) -> None:
    """Make the requests that ``assert_served`` looks for."""
    assert served.get("/fine?a=1") == 200
    assert served.get("/boom") == 500
    for path in further:
        assert served.get(path) == 200


def messages(lines: list[dict[str, Any]], logger: str) -> list[str]:
    return [line["Fields"].get("msg", "") for line in lines if line["Type"].startswith(logger)]


def of_path(lines: list[dict[str, Any]], path: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["Fields"].get("path") == path]


def assert_served(kind: str, output: bytes, *, is_access_logged: bool = True) -> list[Any]:
    """Return the lines of an output, after looking at those of the two requests of ``ask``."""
    lines = checked_lines(output)
    assert {line["Logger"] for line in lines} == {"service"}
    assert {tuple(line) for line in lines} == {tuple(lines[0])}
    expected = [("app", "by logging"), ("app", "by structlog")]
    if is_access_logged:
        expected.append((f"{kind}.access", None))
    for path in ("/fine", "/boom"):
        told = [(line["Type"], line["Fields"].get("msg")) for line in of_path(lines, path)]
        assert told == expected
        shapes = [list(line["Fields"]) for line in of_path(lines, path)[:2]]
        assert shapes == [["path", "msg"]] * 2
    (failure,) = [line for line in lines if "error" in line["Fields"]]
    assert failure["Type"] == ERRORS[kind]
    assert failure["Severity"] == 3
    assert failure["Fields"]["error"] in {"ValueError('boom')", "ValueError: boom"}
    assert failure["Fields"]["traceback"].startswith("Uncaught exception:\n")
    assert "application.py" in failure["Fields"]["traceback"]
    assert "Traceback" not in failure["Fields"]["msg"]
    if is_access_logged:
        assert_access_fields(kind, lines)
    return lines


def assert_access_fields(kind: str, lines: list[dict[str, Any]]) -> None:
    access = of_path(lines, "/fine")[-1]["Fields"]
    assert re.fullmatch(r"127\.0\.0\.1(:\d+)?", access.pop("client"))
    if kind in TIMED:
        assert type(access.pop("t")) is int
    if kind in NAMING:
        assert access.pop("agent") == 'a "test"'
    assert access == {"method": "GET", "path": "/fine", "querystring": "a=1", "code": 200}
    assert of_path(lines, "/boom")[-1]["Fields"]["code"] == 500


class TestGivenTheConfiguration:
    """Each server by its own means; nothing else may be on either stream."""

    @pytest.mark.parametrize("unbuffered", ["", "1"])
    @pytest.mark.parametrize(
        ("kind", "command"),
        [
            ("gunicorn", [*GUNICORN, "-c", "settings.py"]),
            ("uvicorn", [*UVICORN, "--log-config", "log.json"]),
            ("hypercorn", [*HYPERCORN, "--log-config", "json:log.json"]),
            ("granian", [*GRANIAN, "--log-config", "log.json"]),
        ],
        ids=["gunicorn", "uvicorn", "hypercorn", "granian"],
    )
    def test_given_the_configuration_by_its_command_line(
        self, folder: Path, kind: str, command: list[str], unbuffered: str
    ) -> None:
        with server(folder, command, files=FILES, unbuffered=unbuffered) as served:
            ask(served)
            if kind == "gunicorn":
                served.wait_for(b"Booting worker", 2)
        lines = assert_served(kind, served.out)
        assert any(FIRST[kind] in message for message in messages(lines, ""))
        assert served.err == ""

    @pytest.mark.parametrize("kind", list(IN_CODE))
    def test_given_the_configuration_in_code(self, folder: Path, kind: str) -> None:
        with server(folder, [f"serve_{kind}", "PORT"], files=FILES) as served:
            ask(served)
        lines = assert_served(kind, served.out)
        assert any(FIRST[kind] in message for message in messages(lines, ""))
        assert served.err == ""

    def test_hypercorn_by_a_settings_module(self, folder: Path) -> None:
        command = [*HYPERCORN, "-c", "python:settings"]
        with server(folder, command, files=FILES) as served:
            ask(served)
        assert_served("hypercorn", served.out)
        assert served.err == ""

    def test_uvicorn_without_an_access_log_has_none(self, folder: Path) -> None:
        command = [*UVICORN, "--log-config", "log.json", "--no-access-log"]
        with server(folder, command, files=FILES) as served:
            ask(served)
        assert_served("uvicorn", served.out, is_access_logged=False)


class TestConfiguredByTheApplication:
    """After the server: the application is imported when the server has set up its logging."""

    def test_uvicorn_prints_nothing_else(self, folder: Path) -> None:
        with server(folder, UVICORN, setup="configure", unbuffered="1") as served:
            ask(served, "/warn", "/again", "/later")
        lines = assert_served("uvicorn", served.out)
        assert messages(lines, "uvicorn.error")[0].startswith("Started server process")
        (warning,) = messages(lines, "py.warnings")
        assert "careful" in warning
        # A second configure() in the middle of a request changes nothing.
        assert [line["Type"] for line in of_path(lines, "/later")] == [
            "app", "app", "uvicorn.access",
        ]  # fmt: skip
        assert served.err == ""

    def test_uvicorn_without_an_access_log_has_none(self, folder: Path) -> None:
        command = [*UVICORN, "--no-access-log"]
        with server(folder, command, setup="configure") as served:
            ask(served, "/again", "/later")
        lines = assert_served("uvicorn", served.out, is_access_logged=False)
        assert messages(lines, "uvicorn.access") == []

    @pytest.mark.parametrize("options", [[], ["--log-config", "log.json"]], ids=["own", "given"])
    @pytest.mark.parametrize("is_off", [True, False])
    def test_uvicorn_without_an_access_log_has_none_where_a_dict_is_applied(
        self, folder: Path, options: list[str], is_off: bool
    ) -> None:
        # As Django applies LOGGING, when uvicorn imports the application.
        applied = "import logging.config\nfrom application import asgi as app, log_config\n"
        files = {**FILES, "applied.py": f"{applied}logging.config.dictConfig(log_config)\n"}
        command = ["uvicorn", "applied:app", *UVICORN[2:], *options]
        if is_off:
            command.append("--no-access-log")
        with server(folder, command, files=files) as it:
            ask(it)
        written = [text for text in it.out.splitlines(keepends=True) if text[:1] == b"{"]
        lines = checked_lines(b"".join(written))
        assert of_path(lines, "/fine")
        assert [line["Type"] for line in lines].count("uvicorn.access") == (0 if is_off else 2)

    def test_uvicorns_supervisor_is_alone_in_its_own_words(self, folder: Path) -> None:
        command = [*UVICORN, "--workers", "2"]
        with server(folder, command, setup="configure") as served:
            ask(served)
            served.wait_for(b"Application startup complete", 2)
        assert_served("uvicorn", served.out)
        assert re.match(r"INFO:\s+Uvicorn running on ", served.err)
        assert "boom" not in served.err

    def test_gunicorn_prints_only_its_beginning_and_end(self, folder: Path) -> None:
        command = [*GUNICORN, "--access-logfile", "-"]
        with server(folder, command, setup="configure") as served:
            ask(served)
            served.wait_for(b"Booting worker", 2)
        lines = assert_served("gunicorn", served.out)
        assert all(message for message in messages(lines, "gunicorn.error"))
        own = [line.partition("[INFO] ")[2] for line in served.err.splitlines()]
        assert own[0].startswith("Starting gunicorn")
        assert sum(text.startswith("Booting worker with pid") for text in own) == 2
        assert own[-1] == "Shutting down: Master"
        assert "boom" not in served.err

    def test_gunicorn_that_preloads_it_prints_nothing_else(self, folder: Path) -> None:
        command = [*GUNICORN, "--access-logfile", "-", "--preload"]
        with server(folder, command, setup="configure") as served:
            ask(served)
        lines = assert_served("gunicorn", served.out)
        assert messages(lines, "gunicorn.error")[0].startswith("Starting gunicorn")
        assert served.err == ""

    def test_hypercorn_prints_nothing_else(self, folder: Path) -> None:
        with server(folder, [*HYPERCORN, "-w", "2"], setup="configure") as served:
            ask(served)
            served.wait_for(b"Running on", 2)
        assert_served("hypercorn", served.out)
        assert served.err == ""

    def test_granians_main_process_is_alone_in_its_own_words(self, folder: Path) -> None:
        with server(folder, GRANIAN, setup="configure", unbuffered="1") as served:
            ask(served)
        own = [line for line in served.out.splitlines(keepends=True) if line[:1] == b"["]
        lines = b"".join(line for line in served.out.splitlines(keepends=True) if line not in own)
        assert_served("granian", lines)
        assert own[0].startswith(b"[INFO] Starting granian")
        assert {text[:6] for text in own} == {b"[INFO]"}
        assert served.err == ""


class TestConfiguredBeforeTheServer:
    """The server sets up its logging on top of ours, and takes nothing away from it."""

    @pytest.mark.parametrize("kind", list(IN_CODE))
    def test_configured_before_the_server_in_code(self, folder: Path, kind: str) -> None:
        with server(folder, [f"serve_{kind}", "PORT"], files=FILES, setup="configure") as served:
            ask(served, "/warn")
        lines = assert_served(kind, served.out)
        assert any(FIRST[kind] in message for message in messages(lines, ""))
        assert len(messages(lines, "py.warnings")) == 1
        assert served.err == ""

    def test_gunicorn_by_its_settings_and_through_a_reload(self, folder: Path) -> None:
        settings = (
            "import mozlog_py\nmozlog_py.configure('service', format='mozlog')\naccesslog = '-'\n"
        )
        with server(
            folder, [*GUNICORN, "-c", "early.py"], files={"early.py": settings}, setup="configure"
        ) as served:
            served.wait_for(b"Booting worker", 2)
            served.process.send_signal(signal.SIGHUP)
            served.wait_for(b"Booting worker", 4)
            ask(served)
        lines = assert_served("gunicorn", served.out)
        assert messages(lines, "gunicorn.error")[0].startswith("Starting gunicorn")
        assert "Handling signal: hup" in messages(lines, "gunicorn.error")
        assert served.err == ""


@pytest.mark.parametrize("settings", ["", SETTINGS], ids=["its own", "given"])
def test_uvicorns_worker_for_gunicorn_shows_requests_and_exceptions(
    folder: Path, settings: str
) -> None:
    # It shares lists of handlers with gunicorn's loggers.
    (folder / "early.py").write_text(settings.replace("server_config", "log_config"))
    command = ["gunicorn", "application:asgi", "-k", "uvicorn.workers.UvicornWorker"]
    options = ["-b", "127.0.0.1:PORT", "--access-logfile", "-", "-c", "early.py"]
    with server(folder, [*command, *options], setup="configure") as served:
        ask(served)
    lines = assert_served("uvicorn", served.out)
    assert "Application startup complete." in messages(lines, "uvicorn.error")
