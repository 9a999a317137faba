"""The state that each test starts from: no context, and the interpreter's original hooks."""

import gc
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from selection import mark_all

from dockerflow import checks, summary
from mozlog_py import config, context
from mozlog_py._fields import request_text
from mozlog_py._process import self_log, unpatched
from mozlog_py._stdlib import excepthooks, minimal_records, record_factory
from mozlog_py._values import mask_registry

pytest_plugins = ["services"]

# Before any handler of ours is made.
usual_make_record = logging.Logger.makeRecord

# Before a test of any folder imports it, or its assertions show nothing.
pytest.register_assert_rewrite("contract", "hostile_runs", "real_servers")

# How fast examples are made and run depends on the machine, and says nothing.
# CI tries the same examples each time; MOZLOG_EXAMPLES asks for more of them.
settings.register_profile(
    "mozlog",
    deadline=None,
    derandomize="CI" in os.environ,
    max_examples=int(os.environ.get("MOZLOG_EXAMPLES", "100")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("mozlog")


if os.environ.get("MOZLOG_COVERAGE") == "main":
    # The programs that these tests start do not measure coverage: it takes longer than they do.
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)


def measured(start: Callable[..., Any], trace: Any) -> Callable[..., Any]:
    """Return a function that starts a thread, whose code is measured by coverage."""

    def start_measured(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        def run() -> None:
            sys.settrace(trace)
            function(*arguments)

        return start(run, ())

    return start_measured


if threading.gettrace() is not None:
    # coverage sees the threads of ``threading``, and the queue starts its own below that module.
    vars(unpatched)["_start"] = measured(vars(unpatched)["_start"], threading.gettrace())

# Of each pytest that a test starts. These plug-ins take several seconds to import, and none of
# those tests needs them.
os.environ["PYTEST_ADDOPTS"] = "-p no:ddtrace -p no:hypothesispytest -p no:anyio"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_all(items)


@given(st.none())
def hypothesis_starts(_: None) -> None:
    """Have Hypothesis make its generator of random numbers, and do nothing else."""


def pytest_collection_finish() -> None:
    """Exempt what is collected from garbage collection: each test would pay for all modules."""
    # With its examples derandomized, Hypothesis asks the garbage collector for what refers to its
    # generator, and warns where nothing does: what is frozen below is not in the answer.
    hypothesis_starts()
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_context() -> Iterator[None]:
    """Leave no test a context or a request of the one before."""
    context.clear()
    yield
    context.clear()
    summary._current.set(None)


@pytest.fixture(autouse=True)
def no_masks() -> Iterator[None]:
    """Remove the masks that a test has registered: a mask lives until it is collected."""
    yield
    mask_registry._of_chains.clear()
    mask_registry._of_cuts.clear()


@pytest.fixture(autouse=True)
def no_query_strings() -> None:
    """Reset the switch for query strings to its default."""
    request_text.log_query_strings(None)


@pytest.fixture
def query_strings(monkeypatch: pytest.MonkeyPatch, no_query_strings: None) -> None:
    """Show query strings in access records, here and in the processes that a test starts."""
    monkeypatch.setenv(request_text.VARIABLE, "true")


@pytest.fixture(autouse=True)
def no_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow each test its note on stderr: the logger writes one a second."""
    monkeypatch.setattr(self_log, "_last", float("-inf"))
    monkeypatch.setattr(self_log, "_withheld", 0)


@pytest.fixture
def unconfigured_structlog() -> Iterator[None]:
    """Have structlog its defaults and no context, before and after a test."""
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    yield
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


@pytest.fixture
def no_checks() -> Iterator[None]:
    """Remove all registered checks before and after a test."""
    checks.clear_checks()
    yield
    checks.clear_checks()


@pytest.fixture
def untouched_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restore all that ``configure()`` changes outside of its own objects."""
    for variable in (
        "LOG_LEVEL", "LOGGING_LEVEL", "LOG_FORMAT", "NO_COLOR", "FORCE_COLOR",
        "GOOGLE_CLOUD_PROJECT",
    ):  # fmt: skip
        monkeypatch.delenv(variable, raising=False)
    # As in a service, and not as under pytest.
    monkeypatch.setattr(config, "is_caching_loggers", True)
    monkeypatch.setattr(config, "is_kept", lambda _: False)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    shown = warnings.showwarning
    finders = sys.meta_path[:]
    factory = logging.getLogRecordFactory()
    logging.setLogRecordFactory(logging.LogRecord)
    make_record = vars(logging.Logger)["makeRecord"]
    logging.Logger.makeRecord = usual_make_record  # type: ignore[method-assign]
    monkeypatch.setattr(record_factory._Installation, "is_done", False)
    disabled = {
        name: (logger.handlers[:], logger.level, logger.propagate)
        for name, logger in logging.Logger.manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
    }
    classes = {
        name: (type(logger), logger.filters[:])
        for name, logger in logging.Logger.manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
    }
    yield
    structlog.reset_defaults()
    minimal_records.use_full_records()
    logging.setLogRecordFactory(factory)
    logging.Logger.makeRecord = make_record  # type: ignore[method-assign]
    for name, logger in logging.Logger.manager.loggerDict.items():
        if isinstance(logger, logging.Logger):
            logger.__class__, logger.filters[:] = classes.get(name, (logging.Logger, []))
            if name not in disabled:
                logger.handlers.clear()
                logger.propagate = True
                logger.setLevel(logging.NOTSET)
    root.handlers[:], root.level = handlers, level
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    excepthooks._former_hooks.clear()
    logging.captureWarnings(False)
    warnings.showwarning = shown
    sys.meta_path[:] = finders
    for name, (former, former_level, propagate) in disabled.items():
        logger = logging.getLogger(name)
        logger.handlers[:], logger.propagate = former, propagate
        logger.setLevel(former_level)
