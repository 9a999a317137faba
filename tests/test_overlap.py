"""The distribution dockerflow beside ours: what is said, how often, and by what."""

import io
import logging
import shutil
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conformance import checked_lines

import dockerflow
import mozlog_py
from dockerflow.asgi import DockerflowASGI
from dockerflow.wsgi import DockerflowWSGI
from mozlog_py._config import overlap

OURS = [Path(package.__path__[0]) for package in (mozlog_py, dockerflow)]
# What the two distributions have in common is a package of the same name.
THEIRS = {
    "dockerflow/__init__.py": "",
    "dockerflow/logging.py": "import logging\n",
    "dockerflow-2026.3.4.dist-info/METADATA": "Name: dockerflow\nVersion: 2026.3.4\n",
}
REPAIR = "`pip install --force-reinstall --no-deps mozlog-py`"

# What our packages need is imported first, from wherever it is; then only the folder has
# a package dockerflow, or none.
ALONE = """
import os, sys
import logging.config, orjson, pythonjsonlogger.core, structlog, structlog.dev
sys.path[:] = [FOLDER, *(p for p in sys.path if not os.path.isdir(os.path.join(p, "dockerflow")))]
"""
CONFIGURE = "import mozlog_py; mozlog_py.configure('shop'); mozlog_py.configure('shop')"
ADAPTERS = """
from dockerflow.asgi import DockerflowASGI
from dockerflow.wsgi import DockerflowWSGI
import mozlog_py
mozlog_py.configure("shop")
DockerflowASGI(None), DockerflowWSGI(None), DockerflowASGI(None)
"""


class Site:
    """A folder of packages, in which distributions are installed as pip does it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install_ours(self) -> None:
        for package in OURS:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(package, self.folder / package.name, dirs_exist_ok=True, ignore=ignored)

    def install_theirs(self) -> None:
        for name, text in THEIRS.items():
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")

    def uninstall_theirs(self) -> None:
        for name in THEIRS:
            (self.folder / name).unlink()
        (self.folder / "dockerflow-2026.3.4.dist-info").rmdir()

    def lines(self, code: str, *options: str) -> list[dict[str, Any]]:
        start = ALONE.replace("FOLDER", repr(str(self.folder)))
        done = subprocess.run(
            [sys.executable, *options, "-c", start + code],
            capture_output=True, timeout=60, check=False, cwd=self.folder,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
        return checked_lines(done.stdout)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


class TestNotice:
    @pytest.mark.parametrize("code", [CONFIGURE, ADAPTERS], ids=["configure", "adapters"])
    def test_notice_is_one_line_where_the_other_is_installed_beside_ours(
        self, site: Site, code: str
    ) -> None:
        site.install_theirs()
        site.install_ours()
        (line,) = site.lines(code)
        assert (line["Type"], line["Severity"]) == ("mozlog_py", 4)
        assert line["Fields"]["msg"] == (
            "The distribution dockerflow 2026.3.4 is installed beside mozlog-py, and both have a "
            f"package dockerflow: run `pip uninstall dockerflow`, then {REPAIR}"
        )

    @pytest.mark.parametrize("is_imported", [False, True])
    def test_notice_is_one_line_where_the_other_has_overwritten_ours(
        self, site: Site, is_imported: bool
    ) -> None:
        site.install_ours()
        site.install_theirs()
        (line,) = site.lines(("import dockerflow\n" if is_imported else "") + CONFIGURE)
        assert line["Fields"]["msg"] == (
            "The distribution dockerflow 2026.3.4 has overwritten the package dockerflow of "
            f"mozlog-py: run `pip uninstall dockerflow`, then {REPAIR}"
        )

    @pytest.mark.parametrize("order", ["ours last", "theirs last"])
    def test_notice_is_one_line_where_the_other_was_uninstalled_and_took_files_with_it(
        self, site: Site, order: str
    ) -> None:
        for distribution in ("theirs", "ours") if order == "ours last" else ("ours", "theirs"):
            getattr(site, f"install_{distribution}")()
        site.uninstall_theirs()
        (line,) = site.lines(CONFIGURE)
        assert line["Fields"]["msg"].endswith(f"run {REPAIR}")
        assert "are missing" in line["Fields"]["msg"]
        site.install_ours()
        assert site.lines(CONFIGURE) == []

    def test_notice_is_none_where_ours_is_alone(self, site: Site) -> None:
        site.install_ours()
        assert site.lines(CONFIGURE) == site.lines(ADAPTERS) == []

    def test_notice_is_none_at_import_and_ends_no_process_whose_warnings_are_errors(
        self, site: Site
    ) -> None:
        site.install_theirs()
        site.install_ours()
        code = "import mozlog_py, dockerflow.logging, dockerflow.asgi, dockerflow.checks"
        assert site.lines(code, "-W", "error") == []
        assert len(site.lines(CONFIGURE, "-W", "error")) == 1

    def test_notice_is_none_where_an_application_has_a_package_of_that_name(
        self, site: Site
    ) -> None:
        shutil.copytree(OURS[0], site.folder / "mozlog_py")
        package = site.folder / "dockerflow"
        package.mkdir()
        for name in ("__init__.py", "settings.py", "asgi.py", "wsgi.py"):
            (package / name).write_text("", "utf-8")
        assert site.lines(CONFIGURE) == []

    def test_notice_is_none_where_the_loader_gives_no_source(self, site: Site) -> None:
        # pytest has such a loader for the packages of its plug-ins.
        code = """
import importlib.abc, importlib.machinery

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if name == "dockerflow":
            spec.loader = self
        return spec

sys.meta_path.insert(0, Finder())
"""
        site.install_ours()
        assert site.lines(code + CONFIGURE) == []
        site.install_theirs()
        (line,) = site.lines(code + CONFIGURE)
        assert "has overwritten" in line["Fields"]["msg"]

    def test_notice_is_none_where_the_package_was_left_out(self, site: Site) -> None:
        shutil.copytree(OURS[0], site.folder / "mozlog_py")
        assert site.lines(CONFIGURE) == []


class TestOverlap:
    def test_overlap_is_looked_for_once_a_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(overlap._State, "is_logged", False)
        looks: list[None] = []
        monkeypatch.setattr(overlap, "overlap", lambda: looks.append(None))
        for kind in (DockerflowASGI, DockerflowWSGI):
            kind(None)
        assert looks == [None]

    def test_overlap_that_cannot_be_looked_for_is_none(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail() -> None:
            raise RuntimeError

        monkeypatch.setattr(overlap._State, "is_logged", False)
        monkeypatch.setattr(overlap, "overlap", fail)
        overlap.warn_of_overlap()

    def test_overlap_knows_our_package_by_what_it_has(self) -> None:
        assert getattr(dockerflow, overlap.MARKER) is True
        assert all((OURS[1] / name).is_file() for name in overlap.FILES_OF_OURS)
        assert overlap.overlap() is None

    def test_overlap_is_not_upset_by_what_stands_in_sys_path(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        archive = tmp_path / "a.zip"
        archive.write_bytes(b"")
        monkeypatch.setattr(sys, "path", ["", str(archive), str(tmp_path / "gone"), *sys.path])
        assert overlap.overlap() is None

    def test_overlap_goes_to_whatever_hears_it(
        self, monkeypatch: pytest.MonkeyPatch, untouched_process: None
    ) -> None:
        monkeypatch.setattr(overlap._State, "is_logged", False)
        monkeypatch.setattr(overlap, "overlap", lambda: "both are here")
        stream = io.StringIO()
        logger = logging.getLogger("mozlog_py")
        handler = mozlog_py.MozlogHandler(stream)
        logger.addHandler(handler)
        try:
            DockerflowWSGI(None)
        finally:
            logger.removeHandler(handler)
        (line,) = checked_lines(stream.getvalue())
        assert line["Fields"] == {"msg": "both are here"}

    @pytest.mark.parametrize(
        "name", ["dockerflow-2026.3.4.dist-info", "dockerflow-2026.3.4-py3.egg-info"]
    )
    def test_overlap_is_read_from_the_folders_of_installed_distributions(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
    ) -> None:
        (tmp_path / "dockerflow_extra-1.0.dist-info").mkdir()
        (tmp_path / name).mkdir()
        monkeypatch.setattr(sys, "path", [str(tmp_path)])
        said = "The distribution dockerflow 2026.3.4 {}: run `pip uninstall dockerflow`, then "
        shown = overlap.overlap() or ""
        both = "is installed beside mozlog-py, and both have a package dockerflow"
        assert shown.startswith(said.format(both))
        assert shown.endswith("`pip install --force-reinstall --no-deps mozlog-py`")
        monkeypatch.setitem(sys.modules, "dockerflow", ModuleType("dockerflow"))
        shown = overlap.overlap() or ""
        assert shown.startswith(said.format("has overwritten the package dockerflow of mozlog-py"))

    @pytest.mark.parametrize(
        ("files", "said"),
        [
            ({"__init__.py": "", **dict.fromkeys(overlap.FILES_OF_OURS, "")}, "are missing"),
            (dict.fromkeys(overlap.FILES_OF_OURS, ""), "are missing"),
            ({"__init__.py": "", "endpoints.py": ""}, None),
            ({"__init__.py": f"{overlap.MARKER} = True"}, None),
            ({}, None),
        ],
        ids=["overwritten", "uninstalled", "of the application", "ours", "none"],
    )
    def test_overlap_is_read_from_files_without_an_import(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        files: dict[str, str],
        said: str | None,
    ) -> None:
        if files:
            (tmp_path / "dockerflow").mkdir()
        for name, text in files.items():
            (tmp_path / "dockerflow" / name).write_text(text)
        monkeypatch.delitem(sys.modules, "dockerflow")
        monkeypatch.setattr(sys, "path", [str(tmp_path)])
        monkeypatch.setattr(sys, "meta_path", [PathFinder])
        shown = overlap.overlap()
        assert (shown is None) if said is None else (shown is not None and said in shown)
        assert "dockerflow" not in sys.modules
