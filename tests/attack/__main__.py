"""Run all attacks, and print what was tried and what held: ``python tests/attack``.

``--quick`` tries fewer of each, for the tests. Names of modules choose some of them. The exit
status is 1 if an attack did not hold, or could not be tried.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path

HERE = Path(__file__).resolve().parent
#: Where modules of the tests and of this package are found. This folder is not among them: its
#: modules would hide those of the same name, such as ``secrets``.
PATHS = [str(HERE.parent), str(HERE.parents[1])]

#: Groups that nothing else may run beside.
ALONE = {"heartbeat"}
#: Groups that take longest, in this order: they begin first.
LONGEST = ("secrets", "new_names", "endpoint_leaks")
#: Seconds that one group may take before it counts as not held.
_PATIENCE_S = 300
Row = tuple[str, int, int]


def groups() -> list[str]:
    """Return the names of the modules that have a function ``run``, by the alphabet."""
    return [
        path.stem
        for path in sorted(HERE.glob("*.py"))
        if not path.stem.startswith("_")
        and any(
            isinstance(node, ast.FunctionDef) and node.name == "run"
            for node in ast.parse(path.read_text("utf-8")).body
        )
    ]


def run_group(name: str, *, quick: bool) -> list[Row]:
    """Run one group in a process of its own; one that fails is a row that did not hold."""
    environ = {name: value for name, value in os.environ.items() if name[:4] != "LOG_"}
    environ["PYTHONPATH"] = os.pathsep.join([*PATHS, environ.get("PYTHONPATH", "")]).strip(
        os.pathsep
    )
    if quick:
        environ["MOZLOG_ATTACK_QUICK"] = "1"
    try:
        done = subprocess.run(
            [sys.executable, str(HERE / "__main__.py"), "--one", name],
            stdout=subprocess.PIPE, env=environ, timeout=_PATIENCE_S, check=True,
        )  # fmt: skip
        return [tuple(row) for row in json.loads(done.stdout.splitlines()[-1])]
    except (subprocess.SubprocessError, ValueError, IndexError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return [(f"{name}: it could not be run to its end", 1, 0)]


def run_here(name: str) -> int:
    """Run one group in this process, and print its rows as JSON."""
    sys.path[:] = [*PATHS, *(path for path in sys.path if path != str(HERE))]
    # Now, before a group puts this folder in front.
    import secrets  # noqa: F401

    rows = importlib.import_module(f"attack.{name}").run()
    sys.stdout.write(f"\n{json.dumps(rows)}\n")
    return 0


def main() -> int:
    """Run the groups, two at a time, and then those that measure how long others wait."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="try fewer of each")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", help=f"which of {', '.join(groups())}")
    options = parser.parse_args()
    if options.one:
        return run_here(options.one)
    began = time.monotonic()
    print("| attack | tried | held |")
    print("| --- | ---: | ---: |")
    tried = held = 0
    names = options.names or groups()
    alone = [name for name in names if name in ALONE]
    with ThreadPoolExecutor(2) as pool:
        run = partial(run_group, quick=options.quick)
        first = [name for name in LONGEST if name in names]
        others = [name for name in names if name not in {*LONGEST, *ALONE}]
        together = pool.map(run, [*first, *others])
        for rows in chain(together, map(run, alone)):
            for attack, of, so_many in rows:
                mark = "" if so_many >= of else " **no**"
                print(f"| {attack} | {of:,} | {so_many:,}{mark} |", flush=True)
                tried, held = tried + of, held + min(so_many, of)
    print(f"\n{held:,} of {tried:,} held, in {time.monotonic() - began:.0f} s")
    return 0 if held == tried else 1


if __name__ == "__main__":
    sys.exit(main())
