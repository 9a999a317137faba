"""What the distribution promises as a whole: its names, its imports, its files."""

import importlib
import importlib.metadata
import json
import pkgutil
import re
import subprocess
import sys
from modulefinder import ModuleFinder
from pathlib import Path
from types import ModuleType

import pytest

import dockerflow
import mozlog_py
from mozlog_py import config


def modules() -> list[ModuleType]:
    found = []
    for package in (mozlog_py, dockerflow):
        found.append(package)
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            found.append(importlib.import_module(info.name))
    return found


class TestNames:
    def test_names_of_the_package_are_these(self) -> None:
        assert mozlog_py.__all__ == [
            "MozlogFormatter",
            "MozlogHandler",
            "MozlogQueueHandler",
            "OptionError",
            "__version__",
            "configure",
            "context",
            "dict_config",
        ]

    def test_names_in_configurations_are_found_by_tools_that_freeze_a_program(
        self, tmp_path: Path
    ) -> None:
        # They read import statements, as this module of the standard library does.
        program = tmp_path / "program.py"
        program.write_text("import mozlog_py\n")
        # Without the packages beside this one: it cannot read a namespace package.
        (tmp_path / "mozlog_py").symlink_to(Path(mozlog_py.__file__).parent)
        finder = ModuleFinder(path=[str(tmp_path)])
        finder.run_script(str(program))
        named = {name.rpartition(".")[0] for name in config._FORMATTERS.values()}
        assert named == {"mozlog_py.formatter", "mozlog_py.gcp", "mozlog_py.pretty"}
        assert named | {"mozlog_py.handlers", "mozlog_py.queued"} <= finder.modules.keys()

    def test_names_are_imported_when_they_are_asked_for(self) -> None:
        source = """
import sys
import mozlog_py
loaded = {name for name in sys.modules if name.startswith("mozlog_py.")}
assert not loaded, loaded
assert set(mozlog_py.__all__) <= set(dir(mozlog_py))
assert mozlog_py.sink.Sink and mozlog_py.context.bind
assert not hasattr(mozlog_py, "nonsense") and not hasattr(mozlog_py, "_nonsense")
from mozlog_py import *
assert configure is mozlog_py.configure is sys.modules["mozlog_py.config"].configure
assert "configure" in vars(mozlog_py)
sys.modules["structlog"] = None
assert "mozlog_py.structlog" not in sys.modules
try:
    mozlog_py.structlog
except ModuleNotFoundError as error:
    assert error.name.partition(".")[0] == "structlog"
else:
    raise AssertionError("an import that fails must say so")
"""
        subprocess.run([sys.executable, "-c", source], check=True, timeout=60)

    @pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__)
    def test_names_of_every_module_are_listed_and_there(self, module: ModuleType) -> None:
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
    def test_names_that_are_public_stay(self, module: str, names: set[str]) -> None:
        assert names <= set(importlib.import_module(f"mozlog_py.{module}").__all__)


class TestDistribution:
    def test_distribution_has_its_version_from_one_place(self) -> None:
        assert importlib.metadata.version("mozlog-py") == mozlog_py.__version__
        assert re.fullmatch(r"\d+\.\d+\.\d+", mozlog_py.__version__)

    def test_distribution_needs_three_libraries(self) -> None:
        required = importlib.metadata.requires("mozlog-py") or []
        names = {re.split(r"[<>=~ ;]", line)[0] for line in required if "extra ==" not in line}
        assert names == {"orjson", "structlog", "python-json-logger"}

    def test_distribution_says_of_each_lower_bound_what_it_is_for(self) -> None:
        root = Path(__file__).parents[1]
        if not (root / "CONTRIBUTING.md").is_file():
            pytest.skip("the guide is of the tree, and not of the wheel")
        project = (root / "pyproject.toml").read_text("utf-8").split("[project.entry-points")[0]
        bounds = re.findall(r'"([\w-]+>=[\d.]+)(?:;[^"]*)?"', project.split("\ndependencies")[1])
        told = re.findall(r"^\| `([\w-]+>=[\d.]+)` \| (.+) \|$", (
            root / "CONTRIBUTING.md"
        ).read_text("utf-8"), re.MULTILINE)  # fmt: skip
        assert {bound for bound, why in told if why} == {*bounds}

    def test_distribution_is_typed_and_has_its_schemas(self) -> None:
        for package in (mozlog_py, dockerflow):
            (folder,) = map(Path, package.__path__)
            assert (folder / "py.typed").is_file()
        assert {path.name for path in Path(mozlog_py.__path__[0]).glob("*.json")} == {
            "mozlog.schema.json",
            "mozlog.strict.schema.json",
        }

    def test_distribution_says_its_license(self) -> None:
        metadata = importlib.metadata.metadata("mozlog-py")
        assert metadata["License-Expression"] == "MIT"
        assert metadata["Requires-Python"] == ">=3.10"


class TestImport:
    def test_import_costs_no_structlog_and_changes_nothing_global(self) -> None:
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
        # site itself may load some of them in an editable installation, and logging does from
        # 3.15 on.
        bare = subprocess.run(
            [
                sys.executable,
                "-I",
                "-c",
                "import json, logging, sys, threading, warnings; print(*sys.modules)",
            ],
            capture_output=True,
            check=True,
            timeout=60,
        )
        assert not (loaded & costly) - set(bare.stdout.decode().split())

    #: What the extras and the checks are for; none of it is there below.
    OTHERS = (
        "aiohttp", "alembic", "asgiref", "asyncpg", "celery", "django", "django_redis", "fastapi",
        "flask", "flask_login", "flask_migrate", "flask_sqlalchemy", "opentelemetry", "psycopg",
        "psycopg_pool", "pydantic", "redis", "sanic", "sqlalchemy", "starlette", "werkzeug",
    )  # fmt: skip

    def run_without(self, missing: set[str], source: str) -> None:
        blocked = f"import sys\nfor name in {sorted(missing)}: sys.modules[name] = None\n"
        done = subprocess.run(
            [sys.executable, "-c", blocked + source],
            check=False, timeout=60, capture_output=True, text=True,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_import_of_all_but_the_adapters_needs_no_extra(self) -> None:
        frameworks = ("aiohttp", "django", "fastapi", "flask", "sanic", "starlette")
        adapters = tuple(f"dockerflow.{name}" for name in frameworks)
        names = [module.__name__ for module in modules()]
        core = [name for name in names if not name.startswith(adapters)]
        # Written for pytest, which is there; and a command that runs when it is imported.
        core.remove("dockerflow.__main__")
        assert len(names) - len(core) > 10
        self.run_without(set(self.OTHERS), "".join(f"import {name}\n" for name in core))

    @pytest.mark.parametrize(
        ("adapter", "needs"),
        [
            ("flask", {"flask", "werkzeug"}),
            ("django", {"django", "asgiref"}),
            ("fastapi", {"fastapi", "opentelemetry", "starlette", "pydantic"}),
            ("sanic", {"sanic"}),
            ("starlette", {"starlette"}),
            ("aiohttp", {"aiohttp"}),
        ],
    )
    def test_import_of_an_adapter_needs_its_framework_only(
        self, adapter: str, needs: set[str]
    ) -> None:
        names = [each.__name__ for each in modules()]
        ours = [name for name in names if f"{name}.".startswith(f"dockerflow.{adapter}.")]
        assert len(ours) >= (1 if adapter in ("aiohttp", "starlette") else 3)
        imports = "".join(f"import {name}\n" for name in ours)
        self.run_without(set(self.OTHERS) - needs, imports)

    def test_import_of_the_flask_adapter_needs_no_client_to_serve(self) -> None:
        self.run_without(
            set(self.OTHERS) - {"flask", "werkzeug"},
            """
import logging
import flask, dockerflow.flask
import dockerflow.flask.app
assert dockerflow.flask.app.has_flask_login is False
logging.getLogger("dockerflow.checks.registry").disabled = True
app = flask.Flask("x")
dockerflow.flask.Dockerflow(app, db=object(), redis=object(), migrate=object())
answer = app.test_client().get("/__heartbeat__")
assert answer.status_code == 500, answer.status_code
details = answer.json["details"]
assert details["check_migrations_applied"]["messages"] == {
    "dockerflow.health.I001": "Can't check migrations: Flask-Migrate is not installed"
}
# Nothing is there to be asked, and each check says so under its own name.
assert details["check_redis_connected"]["status"] == "error", details
assert details["check_database_connected"]["status"] == "error", details
""",
        )
