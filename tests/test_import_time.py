"""Which modules an import loads. The time of an import is measured by ``benchmarks/imports.py``."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
import threading
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mozlog_py._line.line_encoder import local_hostname
from mozlog_py._process.lazy_pattern import lazy_pattern
from mozlog_py._stdlib.import_hooks import _Finder, call_when_imported, is_awaited

IMPORT_FORMATTER = "from mozlog_py import MozlogFormatter"
CONFIGURE = """
import logging, sys
import mozlog_py
mozlog_py.configure("shop", format="mozlog")
logging.getLogger("a").info("first")
"""

IN_A_THREAD = """
import threading
thread = threading.Thread(target=__import__, args=("structlog",))
thread.start()
thread.join()
"""


def output_of(source: str) -> str:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("LOG", "COV"))
    }
    done = subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def loaded_by(source: str) -> set[str]:
    """Return the modules that a source loads and a bare interpreter does not."""
    names = "\nimport sys\nprint()\nprint(*sys.modules)"
    bare = output_of(names).split()
    return {*output_of(source + names).splitlines()[-1].split()} - {*bare}


class TestImportOfTheFormatter:
    def test_import_of_the_formatter_loads_no_module_that_only_some_lines_need(self) -> None:
        loaded = loaded_by(IMPORT_FORMATTER)
        assert "mozlog_py.formatter" in loaded
        assert not loaded & {
            "asyncio",
            "ipaddress",
            "logging.config",
            "mozlog_py.config",
            "mozlog_py.redaction",
            "selectors",
            "socket",
            "structlog",
            "urllib.parse",
        }

    def test_import_of_the_formatter_compiles_only_the_expressions_of_every_line(self) -> None:
        source = f"""
import re, sys
{IMPORT_FORMATTER}
compiled = [
    name for name, module in [*sys.modules.items()] if name.startswith("mozlog_py")
    for each in vars(module).values() if isinstance(each, re.Pattern)
]
assert compiled == ["mozlog_py._line.unsafe_characters"], compiled
"""
        assert output_of(source) == ""


class TestImportAndConfigure:
    def test_import_and_configure_load_no_structlog(self) -> None:
        loaded = loaded_by(CONFIGURE)
        assert "mozlog_py.config" in loaded
        assert not loaded & {"asyncio", "ssl", "structlog", "mozlog_py.structlog", "urllib.parse"}

    @pytest.mark.parametrize(
        "first",
        [
            "import structlog",
            "from structlog.contextvars import bind_contextvars",
            "import mozlog_py.structlog",
            "from mozlog_py.structlog import FastBoundLogger",
            "import mozlog_py.structlog.renderer",
            "import mozlog_py.structlog.logger",
            "from mozlog_py.processors import Redact; Redact()",
            "from mozlog_py.sampling import drop_event; drop_event()",
            "from mozlog_py import testing\nwith testing.capture_lines(): pass",
            IN_A_THREAD,
        ],
    )
    def test_set_up_structlog_as_soon_as_it_is_imported(self, first: str) -> None:
        source = f"""{CONFIGURE}
{first}
import structlog
assert structlog.is_configured()
structlog.get_logger("b").info("second", a=1)
from mozlog_py.structlog import FastBoundLogger
assert structlog.get_config()["wrapper_class"] is FastBoundLogger
"""
        first_line, second = map(json.loads, output_of(source).splitlines())
        assert first_line["Fields"] == {"msg": "first"}
        assert (second["Type"], second["Logger"]) == ("b", "shop")
        assert second["Fields"] == {"msg": "second", "a": 1}

    def test_import_and_configure_go_by_the_last_configuration(self) -> None:
        source = f"""{CONFIGURE}
mozlog_py.configure("other", format="mozlog")
import structlog
structlog.get_logger().info("second")
"""
        assert json.loads(output_of(source).splitlines()[-1])["Logger"] == "other"

    def test_import_and_configure_leave_a_configuration_of_the_application_that_comes_later(
        self,
    ) -> None:
        source = f"""{CONFIGURE}
import structlog
structlog.configure(processors=[len])
print(structlog.get_config()["processors"])
"""
        assert output_of(source).splitlines()[-1] == "[<built-in function len>]"

    def test_import_structlog_beside_another_thread_which_may_be_importing_it(self) -> None:
        source = f"""
import threading
end = threading.Event()
thread = threading.Thread(target=end.wait)
thread.start()
{CONFIGURE}
assert "structlog" in sys.modules
end.set()
thread.join()
"""
        assert json.loads(output_of(source))["Fields"] == {"msg": "first"}

    def test_import_what_processors_need_before_the_first_record(self) -> None:
        source = """
import sys
import mozlog_py
mozlog_py.MozlogFormatter()
assert "structlog" not in sys.modules
mozlog_py.MozlogFormatter(processors=[lambda logger, name, event: event])
assert {"structlog", "mozlog_py.processors", "mozlog_py.redaction"} <= {*sys.modules}
"""
        assert output_of(source) == ""

    def test_import_and_configure_collect_the_events_of_structlog_that_a_block_imports(
        self,
    ) -> None:
        source = f"""{CONFIGURE}
from mozlog_py.testing import capture_lines
with capture_lines() as lines:
    import structlog
    structlog.get_logger("b").info("second")
assert [line["Fields"]["msg"] for line in lines] == ["second"], lines
"""
        output_of(source)


class TestAwaitedImport:
    def test_awaited_import_is_known_until_it_happens(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
        monkeypatch.delitem(sys.modules, "colorsys", raising=False)
        assert not is_awaited("colorsys")
        seen: list[ModuleType] = []
        call_when_imported("colorsys", seen.append)
        assert is_awaited("colorsys")
        assert seen == [__import__("colorsys")]
        assert not is_awaited("colorsys")

    def test_awaited_import_is_noticed_where_the_loader_is_a_class(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Frozen:
            """Like the importer of frozen modules, whose loader is the class itself."""

            @classmethod
            def find_spec(cls, name: str, *_: Any) -> Any:
                return spec_from_loader(name, Frozen) if name == "frozen_one" else None  # type: ignore[arg-type]

            create_module = staticmethod(lambda spec: None)
            is_package = staticmethod(lambda name: False)

            @staticmethod
            def exec_module(module: ModuleType) -> None:
                module.value = 3  # type: ignore[attr-defined]

        monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Frozen])
        seen: list[Any] = []
        call_when_imported("frozen_one", seen.append)
        module = __import__("frozen_one")
        monkeypatch.delitem(sys.modules, "frozen_one")
        assert seen == [module]
        assert module.value == 3
        assert module.__spec__.loader.is_package("frozen_one") is False

    def test_awaited_import_is_another_module_than_one_of_the_same_loader(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Archive:
            def find_spec(self, name: str, *_: Any) -> Any:
                return spec_from_loader(name, self) if name.startswith("packed_") else None  # type: ignore[arg-type]

            def create_module(self, _: Any) -> None:
                return None

            def exec_module(self, _: ModuleType) -> None:
                pass

        archive = Archive()
        monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, archive])
        seen: list[Any] = []
        call_when_imported("packed_one", seen.append)
        (finder,) = [each for each in sys.meta_path if type(each) is _Finder and
                     each.name == "packed_one"]  # fmt: skip
        assert finder.find_spec("packed_one") is not None
        __import__("packed_two")
        assert seen == []
        assert __import__("packed_one") in seen
        for name in ("packed_one", "packed_two"):
            monkeypatch.delitem(sys.modules, name)

    def test_awaited_import_is_asked_for_by_each_thread_apart(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
        finder = _Finder("colorsys", lambda _: None)
        finder._asking.add(threading.get_ident() + 1)
        monkeypatch.delitem(sys.modules, "colorsys", raising=False)
        assert finder.find_spec("colorsys") is not None


class TestLazyPattern:
    def test_lazy_pattern_is_compiled_once_and_has_the_methods_of_a_pattern(self) -> None:
        lazy = lazy_pattern("(?P<digit>[0-9])", re.ASCII)
        assert "search" not in vars(lazy)
        assert lazy.sub("-", "a1b2") == "a-b-"
        found = lazy.search("a1")
        assert found is not None
        assert found["digit"] == "1"
        # Later calls look up an ordinary attribute.
        assert vars(lazy)["search"] == re.compile("(?P<digit>[0-9])", re.ASCII).search
        assert lazy_pattern(b"x").findall(b"axx") == [b"x", b"x"]
        assert copy.copy(lazy).fullmatch("7") is not None


class TestHostname:
    @pytest.mark.skipif(not hasattr(os, "uname"), reason="this platform has no uname")
    def test_hostname_is_the_same_without_the_module_socket(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with_module = local_hostname()
        monkeypatch.delitem(sys.modules, "socket")
        assert local_hostname() == with_module
        assert "socket" not in sys.modules


def test_a_hook_that_replaces_the_loader_by_a_proxy_is_followed_by_ours(tmp_path: Path) -> None:
    """ddtrace hooks imports by wrapt, whose proxy of a loader shows the dict of that loader."""
    pytest.importorskip("wrapt", reason="wrapt is not installed")
    (tmp_path / "proxied_one.py").write_text("VALUE = 1\n")
    source = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from mozlog_py._stdlib.import_hooks import call_when_imported
import wrapt
seen = []
wrapt.register_post_import_hook(lambda module: seen.append("wrapt"), "proxied_one")
call_when_imported("proxied_one", lambda module: seen.append("ours"))
import proxied_one
assert proxied_one.VALUE == 1
assert sorted(seen) == ["ours", "wrapt"], seen
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, "")
