"""What clients name fills no memory, however much of it there is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = Path(__file__).with_name("serve_new_names.py")
_REQUESTS = 10_000
_MOST_KIB = 5 * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_ten_thousand_requests_with_new_names_leave_memory_where_it_was() -> None:
    done = subprocess.run(
        [sys.executable, str(_PROGRAM), str(_REQUESTS)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    measured = json.loads(done.stdout)
    assert measured["served"] > _REQUESTS
    assert measured["grown_kib"] < _MOST_KIB
