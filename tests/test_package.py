"""What the distribution promises as a whole: its names, its imports, its files."""

import importlib
import importlib.metadata
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import dockerflow
import mozlog_py


def modules() -> list[ModuleType]:
    found = []
    for package in (mozlog_py, dockerflow):
        found.append(package)
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            found.append(importlib.import_module(info.name))
    return found


class TestNames:
    def test_of_the_package_are_these(self) -> None:
        assert mozlog_py.__all__ == [
            "MozlogFormatter",
            "MozlogHandler",
            "MozlogQueueHandler",
            "__version__",
            "configure",
            "context",
            "dict_config",
        ]

    @pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__)
    def test_of_every_module_are_listed_and_there(self, module: ModuleType) -> None:
        assert module.__doc__
        assert all(hasattr(module, name) for name in module.__all__)

    @pytest.mark.parametrize(
        ("module", "names"),
        [
            ("context", {"bind", "bound", "clear", "get", "request_id_context", "unbind"}),
            ("schema", {"Problem", "load", "validate"}),
            ("testing", {"capture_lines"}),
            ("gcp", {"CloudFormatter"}),
            ("pretty", {"PrettyFormatter"}),
        ],
    )
    def test_that_are_public_stay(self, module: str, names: set[str]) -> None:
        assert names <= set(importlib.import_module(f"mozlog_py.{module}").__all__)


class TestDistribution:
    def test_has_its_version_from_one_place(self) -> None:
        assert importlib.metadata.version("mozlog-py") == mozlog_py.__version__
        assert re.fullmatch(r"\d+\.\d+\.\d+", mozlog_py.__version__)

    def test_needs_three_libraries(self) -> None:
        required = importlib.metadata.requires("mozlog-py") or []
        names = {re.split(r"[<>=~ ;]", line)[0] for line in required if "extra ==" not in line}
        assert names == {"orjson", "structlog", "python-json-logger"}

    def test_is_typed_and_has_its_schemas(self) -> None:
        for package in (mozlog_py, dockerflow):
            (folder,) = map(Path, package.__path__)
            assert (folder / "py.typed").is_file()
        assert {path.name for path in Path(mozlog_py.__path__[0]).glob("*.json")} == {
            "mozlog.schema.json",
            "mozlog.strict.schema.json",
        }

    def test_says_its_license(self) -> None:
        metadata = importlib.metadata.metadata("mozlog-py")
        assert metadata["License-Expression"] == "MIT"
        assert metadata["Requires-Python"] == ">=3.10"


class TestImport:
    def test_costs_no_structlog_and_changes_nothing_global(self) -> None:
        source = """
import json, logging, sys, threading, warnings
before = (
    logging.getLogger().handlers[:], logging.root.level, logging.getLoggerClass(),
    logging.getLogRecordFactory(), sys.excepthook, threading.excepthook, sys.unraisablehook,
    warnings.showwarning, sys.stdout,
)
import mozlog_py, mozlog_py.schema, mozlog_py.testing, dockerflow, dockerflow.logging
import dockerflow.checks, dockerflow.health, dockerflow.version
after = (
    logging.getLogger().handlers[:], logging.root.level, logging.getLoggerClass(),
    logging.getLogRecordFactory(), sys.excepthook, threading.excepthook, sys.unraisablehook,
    warnings.showwarning, sys.stdout,
)
assert before == after
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""
        done = subprocess.run(
            [sys.executable, "-I", "-c", source], capture_output=True, check=True, timeout=60
        )
        loaded = set(json.loads(done.stdout))
        costly = {"structlog", "pytest", "rich", "flask", "decimal", "pathlib", "asyncio"}
        # site itself may load some of them in an editable installation.
        bare = subprocess.run(
            [sys.executable, "-I", "-c", "import sys; print(*sys.modules)"],
            capture_output=True,
            check=True,
            timeout=60,
        )
        assert not (loaded & costly) - set(bare.stdout.decode().split())
