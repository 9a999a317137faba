"""The packages work where each import is lazy: ``-X lazy_imports=all``, from Python 3.15 on."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(sys.version_info < (3, 15), reason="lazy imports came with Python 3.15"),
]


def lines_of(source: str) -> list[Any]:
    """Run a program with lazy imports; return the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "lazy_imports=all", "-c", source],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_lines_of_all_fronts_are_the_same() -> None:
    first, second, third, fourth = lines_of("""
import logging, sys
assert sys.get_lazy_imports() == "all"
import mozlog_py
from mozlog_py.processors import Redact
mozlog_py.configure("shop", format="mozlog", processors=[Redact()], queue={"policy": "block"})
import structlog
logging.getLogger("a").info("hi", extra={"n": [1], "password": "tulip"})
structlog.get_logger("b").info("%d paid", 2, n={"a": 1})
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("c").exception("bad")
raised = logging.getLogger("d")
raised.warning(t"{raised.name} is {1 + 1}")
""")
    assert first["Fields"] == {"n": [1], "password": "[redacted]", "msg": "hi"}
    assert second["Fields"] == {"n": {"a": 1}, "msg": "2 paid"}
    assert third["Fields"]["error"] == "ZeroDivisionError('division by zero')"
    assert fourth["Fields"] == {"raised.name": "d", "arg0": 2, "msg": "d is 2"}


def test_an_import_of_the_package_is_lazy() -> None:
    (line,) = lines_of("""
import json, sys
import mozlog_py
before = "mozlog_py" in sys.modules
mozlog_py.MozlogFormatter
print(json.dumps([before, "mozlog_py.formatter" in sys.modules]))
""")
    assert line == [False, True]


def test_checks_run() -> None:
    logged, shown = lines_of("""
import json
import mozlog_py
from dockerflow import checks

mozlog_py.configure("shop", format="mozlog")

@checks.register
def fine():
    return [checks.Warning("slow", id="shop.W001")]

results = checks.run_checks(checks.get_checks().items())
print(json.dumps([*results.details]))
""")
    assert logged["Fields"]["msg"] == "shop.W001: slow"
    assert shown == ["fine"]
