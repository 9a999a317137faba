"""docs/cookbook/google-cloud.md: its lines, by the documented special fields of Cloud Logging."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from conformance import checked_lines
from recipes import Recipe

RECIPE = Recipe("google-cloud")
# The forms in https://cloud.google.com/logging/docs/structured-logging and, of the request and
# the severities, in https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry
SEVERITIES = {
    "DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY",
}  # fmt: skip
REQUEST = {
    "requestMethod": str, "requestUrl": str, "requestSize": str, "status": int,
    "responseSize": str, "userAgent": str, "remoteIp": str, "serverIp": str, "referer": str,
    "latency": str, "cacheLookup": bool, "cacheHit": bool,
    "cacheValidatedWithOriginServer": bool, "cacheFillBytes": str, "protocol": str,
}  # fmt: skip


def run(folder: Path, old: str = "", new: str = "", **variables: str) -> bytes:
    done = subprocess.run(
        [sys.executable, RECIPE.write("google-cloud", folder, old, new).name],
        cwd=folder, env={**os.environ, "LOG_LEVEL": "INFO", **variables}, capture_output=True,
        timeout=120, check=True,
    )  # fmt: skip
    assert done.stderr == b""
    return done.stdout


def assert_is_entry(line: dict[str, Any]) -> None:
    """Assert that Cloud Logging takes all members that it knows out of a line."""
    assert line["severity"] in SEVERITIES
    assert type(line["message"]) is str
    trace = r"projects/[a-z][a-z0-9-]{4,28}[a-z0-9]/traces/[0-9a-f]{32}"
    assert re.fullmatch(trace, line["logging.googleapis.com/trace"])
    assert re.fullmatch(r"[0-9a-f]{16}", line["logging.googleapis.com/spanId"])
    assert type(line["logging.googleapis.com/trace_sampled"]) is bool
    request = line.get("httpRequest", {})
    assert {name: type(value) for name, value in request.items()}.items() <= REQUEST.items()
    assert re.fullmatch(r"\d+(\.\d{1,9})?s", request.get("latency", "0s"))


def test_the_page_about_google_cloud_is_complete() -> None:
    RECIPE.assert_is_complete("google-cloud")


def test_the_lines_have_the_special_fields_of_cloud_logging(tmp_path: Path) -> None:
    output = run(tmp_path)
    lines = RECIPE.snippets["google-cloud"].assert_shows(output)
    for line in lines:
        assert_is_entry(line)
    assert [list(line["httpRequest"]) for line in lines[1:]] == [
        ["requestMethod", "requestUrl", "status", "userAgent", "latency"]
    ]


def test_an_exception_has_one_stack_trace_with_the_setting_of_the_page(tmp_path: Path) -> None:
    setting = "DOCKERFLOW_SUMMARY_TRACEBACK = False"
    assert setting in RECIPE.text
    set_up = "Dockerflow(app)"
    with_setting = f"app.config.update({setting.replace(' ', '')})\n{set_up}"
    code = RECIPE.snippets["google-cloud"].code
    changed = code.replace('return "thank you"', "raise ValueError('no drawer')")
    assert changed != code
    for text, count in ((changed, 2), (changed.replace(set_up, with_setting), 1)):
        lines = checked_lines(run(tmp_path, code, text))
        stacks = [line["stack_trace"] for line in lines if "stack_trace" in line]
        assert len(stacks) == count
        assert stacks[0].startswith("Traceback (most recent call last):\n")
        assert [line["severity"] for line in lines] == ["WARNING", "ERROR", "ERROR"]


def test_the_environment_does_the_same_as_the_arguments(tmp_path: Path) -> None:
    arguments = ', format="gcp", project=PROJECT'
    output = run(tmp_path, arguments, LOG_FORMAT="gcp", GOOGLE_CLOUD_PROJECT="shop-prod")
    RECIPE.snippets["google-cloud"].assert_shows(output)
