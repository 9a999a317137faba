"""docs/cookbook/sentry.md, with sentry-sdk and a server on loopback in the place of Sentry."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from collector import collector
from recipes import Recipe, value_at

RECIPE = Recipe("sentry")


def items(envelope: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Return the types and the payloads of an envelope."""
    _, *rest = (json.loads(line) for line in envelope.splitlines() if line)
    return [(header["type"], payload) for header, payload in zip(rest[::2], rest[1::2])]


def run(
    folder: Path, old: str = "", new: str = "", *, name: str = "sentry"
) -> tuple[bytes, dict[str, list[Any]]]:
    """Run a program of the page; return its output, and what Sentry has got by type."""
    with collector() as (port, received):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", RECIPE.write(name, folder, old, new).name],
            cwd=folder,
            env={
                **os.environ,
                "LOG_LEVEL": "INFO",
                "SENTRY_DSN": f"http://key@127.0.0.1:{port}/1",
            },
            capture_output=True, timeout=120, check=True,
        )  # fmt: skip
    assert done.stderr == b""
    by_type: dict[str, list[Any]] = {}
    for path, envelope in received:
        assert path == "/api/1/envelope/"
        for kind, payload in items(envelope):
            by_type.setdefault(kind, []).append(payload)
    return done.stdout, by_type


def test_the_page_about_sentry_is_complete() -> None:
    RECIPE.assert_is_complete("sentry", "structlog-sentry")


def test_sentry_gets_one_event_of_an_exception_with_the_id_that_its_lines_have(
    tmp_path: Path,
) -> None:
    output, sent = run(tmp_path)
    RECIPE.snippets["sentry"].assert_shows(output)
    (event,) = sent["event"]
    shown = RECIPE.rows("in the event")
    assert {path: str(value_at(event, path)) for path, _ in shown} == dict(shown)
    assert [trace["transaction"] for trace in sent["transaction"]] == ["pay"]


def test_init_may_run_after_dockerflow(tmp_path: Path) -> None:
    init = 'sentry_sdk.init(dsn=os.environ["SENTRY_DSN"], traces_sample_rate=1.0)\n'
    code = RECIPE.snippets["sentry"].code
    assert code.count(init) == 1
    later = code.replace(init, "").replace("    client =", f"    {init}    client =")
    _, sent = run(tmp_path, code, later)
    assert [event["tags"]["rid"] for event in sent["event"]] == ["4f1c"]


@pytest.mark.parametrize("name", ["structlog", "logging"])
def test_sentry_gets_one_event_of_an_exception_beside_structlog_sentry(
    tmp_path: Path, name: str
) -> None:
    output, sent = run(tmp_path, name="structlog-sentry")
    RECIPE.snippets["structlog-sentry"].assert_shows(output)
    of_structlog, of_logging = sent["event"]
    assert (of_structlog["logger"], of_structlog["message"]) == ("shop.cash", "no change")
    assert of_structlog["tags"] == {"till": 3}
    assert (of_logging["logger"], of_logging["logentry"]["message"]) == ("shop.bank", "no answer")

    call = 'structlog.get_logger("shop.cash").error("no change", till=3)\n'
    getter = {"structlog": "structlog.get_logger", "logging": "logging.getLogger"}[name]
    raising = (
        f"try:\n    1 / 0\nexcept ZeroDivisionError:\n    {getter}('shop').exception('failed')\n"
    )
    code = RECIPE.snippets["structlog-sentry"].code
    before, after = code.split(call)
    _, sent = run(tmp_path, code, before + raising + after, name="structlog-sentry")
    kinds = [
        [each["type"] for each in event.get("exception", {}).get("values", ())]
        for event in sent["event"]
    ]
    assert kinds == [["ZeroDivisionError"], []]
