"""What Sentry gets of an uncaught exception: the same event, whichever is set up first."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from conformance import checked_lines

PROGRAM = """
import gc, json, sys, threading
import sentry_sdk, sentry_sdk.integrations.logging
from sentry_sdk.transport import Transport

class Kept(Transport):
    def capture_envelope(self, envelope):
        for item in envelope.items:
            if item.type == "event":
                print(json.dumps(item.payload.json), file=sys.stderr)

def start_sentry():
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1", transport=Kept, auto_enabling_integrations=False, {options}
    )

def configure():
    import mozlog_py
    mozlog_py.configure("shop", format="mozlog")

class Pool:
    def __del__(self):
        fail()

def fail():
    raise ValueError("the drawer is empty")

def in_main():
    fail()

def in_thread():
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()

def in_del():
    Pool()
    gc.collect()

for step in {steps}:
    globals()[step]()
"""

#: The orders of the two, by name; without ours there is no line.
ORDERS = {
    "without ours": ["start_sentry"],
    "Sentry first": ["start_sentry", "configure"],
    "Sentry last": ["configure", "start_sentry"],
}
ONLY_LOGGING = (
    "default_integrations=False,"
    " integrations=[sentry_sdk.integrations.logging.LoggingIntegration()]"
)


def reported(
    order: str, place: str, options: str = ""
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the lines that a process has written, and what Sentry has got of it."""
    program = PROGRAM.format(options=options, steps=[*ORDERS[order], place])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    events = []
    for line in done.stderr.splitlines():
        if line.startswith(b'{"'):
            event = json.loads(line)
            (error,) = event["exception"]["values"]
            events.append(
                {
                    "level": event["level"],
                    "logger": event.get("logger"),
                    "type": error["type"],
                    "mechanism": error["mechanism"]["type"],
                    "handled": error["mechanism"]["handled"],
                }
            )
    return checked_lines(done.stdout), events


def unhandled(mechanism: str) -> dict[str, Any]:
    return {
        "level": "error",
        "logger": None,
        "type": "ValueError",
        "mechanism": mechanism,
        "handled": False,
    }


@pytest.mark.slow
class TestEvents:
    @pytest.mark.parametrize("order", ORDERS)
    @pytest.mark.parametrize(
        ("place", "mechanism"), [("in_main", "excepthook"), ("in_thread", "threading")]
    )
    def test_events_of_uncaught_exceptions_are_sentrys_own_whichever_is_set_up_first(
        self, order: str, place: str, mechanism: str
    ) -> None:
        lines, events = reported(order, place)
        assert events == [unhandled(mechanism)]
        assert [(line["Type"], line["Fields"]["error"]) for line in lines] == [
            ("uncaught", "ValueError('the drawer is empty')")
        ] * (order != "without ours")

    @pytest.mark.parametrize("order", ["Sentry first", "Sentry last"])
    @pytest.mark.parametrize(
        ("place", "options"), [("in_del", ""), ("in_main", ONLY_LOGGING)], ids=["del", "main"]
    )
    def test_events_are_those_of_the_line_where_sentry_has_no_hook(
        self, order: str, place: str, options: str
    ) -> None:
        lines, events = reported(order, place, options)
        assert len(lines) == 1
        assert [(event["logger"], event["mechanism"], event["type"]) for event in events] == [
            ("uncaught", "logging", "ValueError")
        ]
