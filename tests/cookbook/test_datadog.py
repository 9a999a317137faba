"""docs/cookbook/datadog.md, with ddtrace and a server on loopback in the place of its agent."""

import datetime
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from collector import collector
from conformance import checked_lines
from recipes import Recipe, value_at

RECIPE = Recipe("datadog")
# Of Datadog's own: nothing but traces, and nothing on stderr.
QUIET = {
    "DD_CRASHTRACKING_ENABLED": "false",
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    "DD_TRACE_STARTUP_LOGS": "false",
}


def run(folder: Path) -> tuple[bytes, bytes]:
    """Run the commands of the page; return the output, and what the agent has got."""
    (exported,) = re.findall(r"^\$ export (.*)$", RECIPE.text, re.MULTILINE)
    ddtrace_run, python, file = RECIPE.command("ddtrace-run")
    assert (python, file) == ("python", RECIPE.write("datadog", folder).name)
    with collector() as (port, received):
        done = subprocess.run(
            [Path(sys.executable).with_name(ddtrace_run), sys.executable, file],
            cwd=folder,
            env={
                **os.environ,
                **QUIET,
                **dict(variable.split("=") for variable in exported.split()),
                "DD_TRACE_AGENT_URL": f"http://127.0.0.1:{port}",
                "LOG_LEVEL": "INFO",
            },
            capture_output=True, timeout=120, check=True,
        )  # fmt: skip
    assert done.stderr == b""
    return done.stdout, b"".join(body for path, body in received if path.endswith("/traces"))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    if importlib.util.find_spec("ddtrace") is None:
        pytest.skip("ddtrace is not installed: it has no wheel for this Python")
    return run(tmp_path_factory.mktemp("datadog"))


def test_the_page_about_datadog_is_complete() -> None:
    RECIPE.assert_is_complete("datadog")


def test_the_lines_have_the_ids_of_the_spans_that_the_agent_gets(ran: tuple[bytes, bytes]) -> None:
    output, traces = ran
    fields = [line["Fields"] for line in RECIPE.snippets["datadog"].assert_shows(output)]
    assert len({each["dd.trace_id"] for each in fields}) == 1
    for each in fields:
        # The agent gets msgpack, which has numbers of 64 bits as 0xcf and eight bytes.
        assert b"\xcf" + int(each["dd.span_id"]).to_bytes(8, "big") in traces
        assert b"\xcf" + bytes.fromhex(each["dd.trace_id"])[8:] in traces


def test_each_source_of_the_pipeline_has_its_documented_form(ran: tuple[bytes, bytes]) -> None:
    # https://docs.datadoghq.com/logs/log_configuration/processors/
    forms = {
        "date-remapper": is_iso8601,
        "status-remapper": lambda value: value in range(8),
        "message-remapper": lambda value: value == "charging",
        "service-remapper": lambda value: value == "shop",
        "trace-id-remapper": lambda value: re.fullmatch("[0-9a-f]{32}", value),
        "span-id-remapper": lambda value: re.fullmatch("[0-9]{1,20}", value),
    }
    line = checked_lines(ran[0])[0]
    shown = RECIPE.rows("processor")
    assert [processor for processor, _, _ in shown] == list(forms)
    for processor, source, _ in shown:
        assert forms[processor](value_at(line, source)), processor


def is_iso8601(value: Any) -> bool:
    # Python 3.10 does not read the letter for UTC.
    read = datetime.datetime.fromisoformat(re.sub("Z$", "+00:00", value))
    return read.utcoffset() == datetime.timedelta(0)
