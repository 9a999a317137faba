"""How long other requests take while ten clients are on a slow heartbeat, on real servers.

``python tests/attack/heartbeat.py`` prints a row for each server: how long ``/`` and
``/__lbheartbeat__`` take alone and under the attack, and how many of them took at most
50 ms longer than alone. ``--no-limit`` measures without the limit on heartbeats that
wait, as upstream does.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

from heartbeat_stacks import CLIENTS, STACKS, Client, serving_stack

__all__ = ["ALLOWED_MS", "Measured", "measure", "run"]

#: Milliseconds that a request may take longer under the attack than alone.
ALLOWED_MS: Final = 50.0
#: The paths that are asked for meanwhile.
PATHS: Final = ("/", "/__lbheartbeat__")

#: Seconds that the check takes: long, and within its deadline.
_CHECK_S: Final = 4.0
#: Requests of each path: alone, and while the check runs.
_ALONE: Final = 30
_UNDER_ATTACK: Final = 60
#: The stacks that ``make attack`` measures; this module as a program measures all of them.
_OF_EACH_KIND: Final = (
    "waitress, Flask", "gunicorn gthread, Flask", "uvicorn, FastAPI", "Sanic",
)  # fmt: skip
# Seconds between two of these, so that they see several runs of the check.
_PAUSE_S: Final = 0.05
# Seconds after which a client asks for the heartbeat again, as "Retry-After" says.
_AGAIN_S: Final = 1.0


class Measured(NamedTuple):
    """What was measured on one server, in milliseconds."""

    stack: str
    path: str
    alone_ms: float
    times_ms: list[float]

    @property
    def held(self) -> int:
        """How many requests took no more than is allowed."""
        return sum(each - self.alone_ms <= ALLOWED_MS for each in self.times_ms)


def run() -> list[tuple[str, int, int]]:
    """Return for each server and path the attack, and how many requests were tried and held."""
    attack = "ten clients on a slow heartbeat"
    # Nearly all of the time is that of the slow check, so a second server delays none.
    with ThreadPoolExecutor(2) as pool:
        return [
            (f"{attack}, {each.stack}: {each.path}", len(each.times_ms), each.held)
            for of_one in pool.map(measure, _OF_EACH_KIND)
            for each in of_one
        ]


def measure(stack: str, settings: Mapping[str, str] | None = None) -> list[Measured]:
    """Measure one of ``STACKS``.

    Args:
        stack: which one.
        settings: ``DOCKERFLOW_*`` settings; the defaults without them.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        serving_stack(Path(folder), stack, settings or {}, _CHECK_S) as served,
    ):
        port = served.port
        alone = {path: statistics.median(_times_ms(port, path, _ALONE, 0)) for path in PATHS}
        over = threading.Event()
        attackers = [
            threading.Thread(target=_keep_asking, args=(port, over.wait), daemon=True)
            for _ in range(CLIENTS)
        ]
        for attacker in attackers:
            attacker.start()
        # All have asked, and the check runs.
        time.sleep(0.5)
        under: dict[str, list[float]] = {path: [] for path in PATHS}
        for _ in range(_UNDER_ATTACK):
            for path, times in under.items():
                times += _times_ms(port, path, 1, _PAUSE_S)
        over.set()
        for attacker in attackers:
            attacker.join(2 * _CHECK_S)
        return [Measured(stack, path, alone[path], under[path]) for path in PATHS]


def _times_ms(port: int, path: str, count: int, pause_s: float) -> list[float]:
    times: list[float] = []
    for _ in range(count):
        begun = time.perf_counter()
        status = Client(port, path).answer().status
        times.append((time.perf_counter() - begun) * 1000)
        if status != 200:
            raise AssertionError(f"{path} is answered with {status}")
        time.sleep(pause_s)
    return times


def _keep_asking(port: int, is_over: Callable[[float], bool]) -> None:
    while not is_over(0):
        try:
            Client(port, "/__heartbeat__").answer()
        except OSError:
            # The server ends, or takes longer than a client waits.
            continue
        is_over(_AGAIN_S)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-limit", action="store_true", help="measure without the limit")
    parser.add_argument("stacks", nargs="*", help=f"which of {', '.join(STACKS)}")
    wanted = parser.parse_args()
    settings: dict[str, str] = {}
    if wanted.no_limit:
        settings = {
            "DOCKERFLOW_HEARTBEAT_MAX_WAITING": "0",
            "DOCKERFLOW_HEARTBEAT_CACHE_SECONDS": "0",
        }
    print("| server | path | alone, ms | median, ms | longest, ms | tried | held |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for name in wanted.stacks or STACKS:
        for each in measure(name, settings):
            print(
                f"| {each.stack} | `{each.path}` | {each.alone_ms:.1f}",
                f"{statistics.median(each.times_ms):.1f}", f"{max(each.times_ms):.1f}",
                len(each.times_ms), f"{each.held} |", sep=" | ", flush=True,
            )  # fmt: skip


if __name__ == "__main__":
    main()
