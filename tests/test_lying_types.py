"""Values of classes that lie about their type, through every front, in processes of their own.

A value that passes for another one ended the interpreter: there it is a failure, and not the end
of the test run. Executed, this file is such a process: it takes the name of a front and the
number of examples, and prints the number of lines.
"""

from __future__ import annotations

import ast
import faulthandler
import io
import logging
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hostile
import pytest
import structlog
from conformance import checked_lines, record
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mozlog_py
from mozlog_py import MozlogFormatter, MozlogHandler, context
from mozlog_py._values.plain_types import all_plain, all_scalars
from mozlog_py.gcp import CloudFormatter
from mozlog_py.pretty import PrettyFormatter
from mozlog_py.processors import CapLengths, Redact, Sample, drop_none, flatten
from mozlog_py.queued import MozlogQueueHandler
from mozlog_py.sink import Sink
from mozlog_py.structlog import FastBoundLogger, MozlogRenderer, SinkLoggerFactory, processors

ROOT = Path(mozlog_py.__file__).parent.parent
Processors = Sequence[Any]


def by_formatter(value: Any, chosen: Processors) -> str:
    formatter = MozlogFormatter(processors=chosen)
    made = record("m", v=value)
    return f"{formatter.format(made)}\n{formatter.format_bytes(made).decode()}\n"


def by_strict_formatter(value: Any, chosen: Processors) -> str:
    return f"{MozlogFormatter(strict=True, processors=chosen).format(record('m', v=value))}\n"


def by_cloud_formatter(value: Any, chosen: Processors) -> str:
    made = record("m", v=value, trace_id=value)
    return f"{CloudFormatter(processors=chosen).format(made)}\n"


def by_pretty_formatter(value: Any, chosen: Processors) -> str:
    shown = PrettyFormatter(processors=chosen).format(record("m", v=value))
    assert "m" in shown
    # So that a line stands for it, with what it shows in it.
    return f"{MozlogFormatter().format(record(shown))}\n"


def by_handler(value: Any, chosen: Processors) -> str:
    stream = io.StringIO()
    handler = MozlogHandler(stream)
    handler.setFormatter(MozlogFormatter(processors=chosen))
    handler.handle(record("m", v=value))
    if not chosen:
        # A single argument would be asked by LogRecord itself whether it is a mapping.
        handler.handle(record("%s %d", value, 1))
    return stream.getvalue()


def by_queue(value: Any, chosen: Processors) -> str:
    stream = io.StringIO()
    handler = MozlogQueueHandler(stream)
    handler.setFormatter(MozlogFormatter(processors=chosen))
    handler.handle(record("m", v=value))
    handler.close()
    return stream.getvalue()


def by_chain(value: Any, chosen: Processors) -> str:
    file = io.BytesIO()
    chain = [*chosen, MozlogRenderer("shop", is_last_of_chain=bool(chosen))]
    structlog.wrap_logger(structlog.BytesLogger(file), chain).info("m", v=value)
    return file.getvalue().decode()


def by_renderer_of_formatter(value: Any, chosen: Processors) -> str:
    renderer = MozlogRenderer(formatter=MozlogFormatter(processors=chosen))
    return f"{renderer(None, 'info', {'event': 'm', 'v': value}).decode()}\n"  # type: ignore[union-attr]


def by_fast_logger(value: Any, chosen: Processors) -> str:
    with tempfile.TemporaryFile(buffering=0) as file:
        logger = SinkLoggerFactory(Sink(file))("app")
        log = FastBoundLogger.at(1)(logger, processors("shop", before=chosen), {})
        log.info("m", v=value)
        log.info("m", v=value, n=1)
        log.bind(b=value).info("m")
        with context.bound(c=value):
            log.info("m")
        return os.pread(file.fileno(), file.seek(0, io.SEEK_END), 0).decode()


FRONTS: dict[str, Callable[[Any, Processors], str]] = {
    each.__name__: each
    for each in (
        by_formatter, by_strict_formatter, by_cloud_formatter, by_pretty_formatter, by_handler,
        by_queue, by_chain, by_renderer_of_formatter, by_fast_logger,
    )
}  # fmt: skip


def run(front: str, examples: int) -> int:
    """Log lying values through a front; return the number of lines, all of which are valid."""
    count = 0

    @settings(
        max_examples=examples, database=None, deadline=None, derandomize=True,
        suppress_health_check=[*HealthCheck],
    )  # fmt: skip
    @given(
        hostile.liars(),
        st.sampled_from(
            [(), (Redact(),), (flatten, drop_none), (CapLengths(3),), (Sample(1, key="v"),)]
        ),
    )
    def logged(liar: hostile.Liar, chosen: Processors) -> None:
        nonlocal count
        lines = checked_lines(FRONTS[front](liar.make(), chosen))
        assert lines
        assert chosen == () or type(chosen[0]) is not Redact or "tul1p" not in str(lines)
        count += len(lines)

    logged()
    return count


@pytest.mark.parametrize("front", FRONTS)
def test_each_front_makes_a_line_of_a_value_that_lies_about_its_type(front: str) -> None:
    examples = int(os.environ.get("MOZLOG_BATCH_EXAMPLES", "100"))
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, __file__, front, str(examples)],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) >= examples


class TestRule:
    @given(hostile.liars())
    def test_rule_takes_no_value_for_plain_that_only_says_so(self, liar: hostile.Liar) -> None:
        value = liar.make()
        assert not all_plain([1, value])
        assert not all_scalars(["a", value])

    @given(
        st.lists(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), max_size=4)
    )
    def test_rule_takes_exact_scalars(self, values: list[Any]) -> None:
        assert all_scalars(values)
        is_json = [
            value is not None and (type(value) is not float or math.isfinite(value))
            for value in values
        ]
        assert all_plain(values) == all(is_json)


#: Where a class is looked up that is no value's, but a logger's.
# The second: of what json.loads() returns.
ALLOWED = {"servers.py:_taken_over", "version.py:_checked"}


def class_look_ups(path: Path) -> list[str]:
    """Return the functions of a module that look a value's type up in a set or dict."""
    found = []
    for function in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        names = {
            each.arg
            for each in ast.walk(function)
            if isinstance(each, ast.arg)
            and isinstance(each.annotation, ast.Name)
            and each.annotation.id == "type"
        }
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and is_type(node.value, set()):
                names |= {each.id for each in node.targets if isinstance(each, ast.Name)}
        for node in ast.walk(function):
            is_look_up = (
                isinstance(node, ast.Compare)
                and any(isinstance(op, ast.In | ast.NotIn | ast.Eq | ast.NotEq) for op in node.ops)
                and is_type(node.left, names)
            ) or (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("get", "setdefault", "add")
                and any(is_type(each, names) for each in node.args[:1])
            ) or (isinstance(node, ast.Subscript) and is_type(node.slice, names))  # fmt: skip
            if is_look_up:
                found.append(f"{path.name}:{function.name}")
    return found


def is_type(node: ast.expr, names: set[str]) -> bool:
    is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    if is_call and node.func.id in ("type", "type_") and len(node.args) == 1:  # type: ignore[attr-defined]
        return True
    return isinstance(node, ast.Name) and node.id in names


@pytest.mark.slow
def test_no_module_looks_up_the_type_of_a_value() -> None:
    paths = [*(ROOT / "mozlog_py").rglob("*.py"), *(ROOT / "dockerflow").rglob("*.py")]
    assert len(paths) > 100
    assert {each for path in paths for each in class_look_ups(path)} - ALLOWED == set()


def test_a_look_up_of_a_type_is_found(tmp_path: Path) -> None:
    path = tmp_path / "looks.py"
    path.write_text(
        "def a(x):\n    return type(x) in {str}\n"
        "def b(x):\n    other = type(x)\n    return KINDS.get(other)\n"
        "def c(x):\n    kind = type(x)\n    return KINDS[kind]\n"
        "def d(kind: type):\n    return kind in KINDS\n"
        "def e(x):\n    return type(x) is str\n"
    )
    assert class_look_ups(path) == ["looks.py:a", "looks.py:b", "looks.py:c", "looks.py:d"]


if __name__ == "__main__":
    faulthandler.enable()
    logging.raiseExceptions = False
    print(run(sys.argv[1], int(sys.argv[2])))
