"""The site has all pages and all public names; one table has all settings with their defaults."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
import tokenize
import typing
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import dockerflow
import dockerflow.aiohttp
import dockerflow.asgi
import dockerflow.checks
import dockerflow.checks.disk
import dockerflow.checks.http
import dockerflow.fastapi.middleware
import dockerflow.flask
import dockerflow.request_id
import dockerflow.sanic
import dockerflow.starlette
import dockerflow.wsgi
import mozlog_py
from dockerflow._cli.version_file import KEYS
from dockerflow._request.options import MiddlewareOptions
from dockerflow.settings import NAMES, Settings
from mozlog_py import config, gcp, handlers, pretty, processors, queued, servers, testing
from mozlog_py import structlog as ours
from mozlog_py import typing as options

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"

pytestmark = pytest.mark.skipif(
    not (ROOT / "tools").is_dir(), reason="the site is made of the tree, and not of the wheel"
)


@functools.cache
def program(path: str) -> ModuleType:
    """Return a program of the tree as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def is_current(path: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(sys, "argv", [path, "--check"])
    return program(path).main() == 0


class TestPages:
    def test_each_page_stands_in_the_navigation_once(self) -> None:
        site_pages = program("tools/site_pages.py")
        listed = Counter(site_pages.pages_below("index.md"))
        found = Counter(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))
        assert listed == found

    def test_the_sections_stand_in_their_order(self) -> None:
        site_pages = program("tools/site_pages.py")
        sections = [section for section, _, _ in site_pages.SECTIONS]
        present = [section for section in site_pages.children("index.md") if section in sections]
        assert present == [section for section in sections if (DOCS / section).exists()]
        assert {"concepts.md", "guides.md", "settings.md", "changelog.md"} <= set(present)

    def test_pages_follow_the_links_of_their_section(self, tmp_path: Path) -> None:
        site_pages = program("tools/site_pages.py")
        folder = tmp_path / "docs" / "start"
        folder.mkdir(parents=True)
        for name in ("a", "b", "c"):
            (folder / f"{name}.md").write_text(f"# {name}\n")
        (folder / "index.md").write_text("# Start\n\n[C](c.md), [A](a.md#part), [no](../x.md)\n")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(site_pages, "DOCS", tmp_path / "docs")
            assert site_pages.children("start/index.md") == [
                "start/c.md", "start/a.md", "start/b.md",
            ]  # fmt: skip
            (folder / "index.md").unlink()
            # A folder whose index is still missing loses no page.
            assert list(site_pages.pages_below("index.md"))[1:] == [
                "start/a.md", "start/b.md", "start/c.md",
            ]  # fmt: skip

    def test_the_front_page_and_llms_txt_are_up_to_date(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert is_current("tools/site_pages.py", monkeypatch)

    def test_a_file_that_is_out_of_date_fails_the_check(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(program("tools/site_pages.py"), "llms_text", lambda: "another text")
        assert not is_current("tools/site_pages.py", monkeypatch)
        assert capsys.readouterr().out == (
            "docs/llms.txt is out of date; write it with: python tools/site_pages.py\n"
        )

    def test_llms_txt_has_each_page_with_its_title_and_its_first_sentence(self) -> None:
        text = (DOCS / "llms.txt").read_text("utf-8")
        links = re.findall(r"^- \[(.+)\]\((\S+)\): \S.*\.$", text, re.MULTILINE)
        assert text.count("\n- ") == len(links)
        assert {page for _, page in links} == {
            page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")
        } - {"index.md"}
        for title, page in links:
            assert (DOCS / page).read_text("utf-8").partition("\n")[0] == f"# {title}"

    def test_every_link_of_the_pages_in_folders_leads_to_a_file_and_a_heading(self) -> None:
        for page in DOCS.glob("*/*.md"):
            text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.M)
            for target, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", text):
                there = (page.parent / target).resolve() if target else page
                assert there.exists(), f"{page.name}: {target}"
                assert not heading or heading in headings(there), f"{page.name}: #{heading}"


def headings(page: Path) -> set[str]:
    found = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in found}


def public_modules() -> Iterator[ModuleType]:
    """Return an iterator of the modules without an underscore in their paths, found by import."""
    for package in (mozlog_py, dockerflow):
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not any(part.startswith("_") for part in found.name.split(".")):
                yield importlib.import_module(found.name)


class TestReference:
    def test_every_public_name_is_on_a_page(self) -> None:
        sections: dict[str, set[str]] = {}
        for page in (DOCS / "reference").glob("*.md"):
            for section in page.read_text("utf-8").split("\n## ")[1:]:
                module, _, text = section.partition("\n")
                assert module not in sections
                members = re.findall(r":members: (.+)", text)
                assert members or "automodule" in text
                named = [name for names in members for name in names.split(", ")]
                for line in re.findall(r"^- (.+): see ", text, re.MULTILINE):
                    named += re.findall(r"`(\w+)`", line)
                sections[module] = set(named)
        public = {
            module.__name__: set(getattr(module, "__all__", ())) for module in public_modules()
        }
        assert len(public) > 60
        assert sections == public

    def test_the_pages_are_up_to_date(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert is_current("tools/reference_pages.py", monkeypatch)

    def test_a_page_that_is_out_of_date_fails_the_check(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        reference = program("tools/reference_pages.py")
        pages = {**reference.rendered(), "context.md": "another text"}
        monkeypatch.setattr(reference, "rendered", lambda: pages)
        assert not is_current("tools/reference_pages.py", monkeypatch)
        assert capsys.readouterr().out.startswith("docs/reference/context.md is out of date;")


#: The functions and classes whose arguments a service may choose, as the table names them.
CALLABLES: dict[str, Callable[..., Any]] = {
    "configure": config.configure,
    "dict_config": config.dict_config,
    "MozlogFormatter": mozlog_py.MozlogFormatter,
    "CloudFormatter": gcp.CloudFormatter,
    "PrettyFormatter": pretty.PrettyFormatter,
    "MozlogHandler": handlers.MozlogHandler,
    "MozlogQueueHandler": queued.MozlogQueueHandler,
    "MozlogRenderer": ours.MozlogRenderer,
    "processors": ours.processors,
    "SinkLoggerFactory": ours.SinkLoggerFactory,
    "Redact": processors.Redact,
    "Redact.from_environment": processors.Redact.from_environment,
    "Sample": processors.Sample,
    "CapLengths": processors.CapLengths,
    "StaticFields": processors.StaticFields,
    "DockerflowASGI": dockerflow.asgi.DockerflowASGI,
    "DockerflowWSGI": dockerflow.wsgi.DockerflowWSGI,
    "starlette.DockerflowMiddleware": dockerflow.starlette.DockerflowMiddleware,
    "aiohttp.setup": dockerflow.aiohttp.setup,
    "RequestIdMiddleware": dockerflow.fastapi.middleware.RequestIdMiddleware,
    "MozlogRequestSummaryLogger": dockerflow.fastapi.middleware.MozlogRequestSummaryLogger,
    "flask.Dockerflow": dockerflow.flask.Dockerflow,
    "sanic.Dockerflow": dockerflow.sanic.Dockerflow,
    "RequestIdPolicy": dockerflow.request_id.RequestIdPolicy,
    "checks.register": dockerflow.checks.register,
    "check_disk_space": dockerflow.checks.disk.check_disk_space,
    "check_url_answers": dockerflow.checks.http.check_url_answers,
    "log_query_strings": servers.log_query_strings,
    "capture_lines": testing.capture_lines,
}
# *args and **kwargs are passed on to another class, or are upstream's.
PASSED_ON = {"args", "kwargs", "positional"}


def settings_table() -> list[list[str]]:
    """Return the cells of the rows of the table of all settings."""
    text = (DOCS / "settings.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert text.count("\n| --- ") == 1
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def shown_arguments() -> dict[tuple[str, str], str]:
    """Return the defaults that the table shows, by callable and argument."""
    shown: dict[tuple[str, str], str] = {}
    for name, _, default, places in settings_table():
        for place in re.findall(r"`([\w.]+)`", places):
            if place in CALLABLES:
                key = place, name.strip("`*")
                assert key not in shown, key
                shown[key] = default
    return shown


def arguments_of(function: Callable[..., Any]) -> dict[str, str]:
    """Return the arguments of a function and their defaults, as the table writes them."""
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name in PASSED_ON or name == "self":
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            if "MiddlewareOptions" in str(parameter.annotation):
                # These are the parameters of the class that the functions pass them to.
                given = arguments_of(dockerflow.wsgi.DockerflowWSGI)
                found |= {each: given[each] for each in typing.get_type_hints(MiddlewareOptions)}
            else:
                found[name] = "none"
        elif parameter.default is parameter.empty:
            found[name] = "-"
        elif callable(parameter.default):
            found[name] = f"`{parameter.default.__name__}`"
        else:
            found[name] = f"`{parameter.default!r}`".replace("'", '"')
    return found


class TestSettings:
    @pytest.mark.parametrize("name", CALLABLES)
    def test_every_argument_is_in_the_table_with_its_default(self, name: str) -> None:
        shown = {key: value for (place, key), value in shown_arguments().items() if place == name}
        assert shown == arguments_of(CALLABLES[name])

    @pytest.mark.parametrize(
        "kind", ["FormatterOptions", "QueueOptions", "RendererOptions"], ids=str
    )
    def test_every_option_of_a_typed_dict_is_in_the_table(self, kind: str) -> None:
        shown = {name for _, name in shown_arguments()}
        assert typing.get_type_hints(getattr(options, kind)).keys() <= shown

    def test_every_setting_of_an_application_is_in_the_table_with_its_default(self) -> None:
        shown = {row[0].strip("`"): row[2] for row in settings_table()}
        assert {name for name in shown if name.startswith("DOCKERFLOW_")} == set(NAMES)
        assert shown.pop("DOCKERFLOW_CHECKS") == "the database and its migrations"
        for name in set(NAMES) & shown.keys():
            value = getattr(Settings(), name.removeprefix("DOCKERFLOW_").lower())
            assert shown[name].split("`")[1] == str(value), name

    def test_every_environment_variable_that_the_code_reads_is_in_the_table(self) -> None:
        shown = {
            row[0].strip("`") for row in settings_table() if "environment" in row[3].split(", ")
        }
        assert shown - set(NAMES) == set(variables_read())

    def test_every_option_of_the_command_line_and_of_pytest_is_in_the_table(self) -> None:
        shown = {name: row[3] for row in settings_table() for name in row[0].split(", ")}
        of_version = {name for name, place in shown.items() if place == "`dockerflow version`"}
        assert of_version == {
            "`--output`", "`-o`", "`--directory`", "`-C`", *(f"`--{key}`" for key in KEYS),
        }  # fmt: skip
        plugin = importlib.import_module("mozlog_py.pytest_plugin")
        assert shown[f"`{plugin._OPTION}`"] == "pytest's configuration"


def variables_read() -> Iterator[str]:
    """Return an iterator of the names in capitals that stand where a module reads variables.

    The variables of CI systems, from which ``dockerflow version`` fills a file, are left out.
    """
    for package in (mozlog_py, dockerflow):
        for path in Path(package.__path__[0]).rglob("*.py"):
            if path.name == "version_file.py":
                continue
            with tokenize.open(path) as file:
                source = file.read()
            read = re.findall(r"(?:environ(?:\.get\(|\[)|_from_environment\()\"(\w+)\"", source)
            read += re.findall(r"^(?:VARIABLE|_\w*VARIABLES)\b.*$", source, re.MULTILINE)
            for text in read:
                for name in re.findall(r"\b[A-Z]+(?:_[A-Z]+)*\b", text):
                    if name not in {"VARIABLE", *NAMES} and not name.startswith("HTTP_"):
                        yield from [name] if name not in WSGI_NAMES else []


#: Members of a WSGI environ, which the same look-up reads.
WSGI_NAMES = {"REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING"}


class TestFlowcharts:
    @pytest.fixture
    def draw(self) -> Callable[[str], str]:
        found: Callable[[str], str] = program("docs/_ext/flowchart.py").draw
        return found

    def test_a_chart_has_a_box_for_each_name_and_a_path_for_each_arrow(
        self, draw: Callable[[str], str]
    ) -> None:
        svg = draw('flowchart TD\n  a["one & two"] --> b\n  a --> c["three"]\n  b --> c')
        assert re.findall(r">([^<>]+)</text>", svg) == ["one &amp; two", "b", "three"]
        assert svg.count('class="edge"') == 3

    @pytest.mark.parametrize(
        "source", ["graph LR\na --> b", "flowchart TD\na ==> b", "flowchart TD\na --> b\nb --> a"]
    )
    def test_what_is_not_drawn_is_an_error(self, draw: Callable[[str], str], source: str) -> None:
        with pytest.raises(ValueError, match=r"drawn|circle"):
            draw(source)


class TestTables:
    @pytest.fixture
    def shaped(self) -> Callable[[str], str]:
        found: Callable[[str], str] = program("docs/_ext/tables.py").shaped
        return found

    def test_a_row_of_a_group_spans_the_table(self, shaped: Callable[[str], str]) -> None:
        row = "<tr><td><p><strong>Group</strong></p></td>\n<td><p></p></td>\n<td></td>\n</tr>"
        assert shaped(row) == (
            '<tr><td class="group" colspan="3"><p><strong>Group</strong></p></td></tr>'
        )
        row = row.replace("<td></td>", "<td>text</td>")
        assert shaped(row) == row

    def test_only_long_names_in_cells_break_at_their_parts(
        self, shaped: Callable[[str], str]
    ) -> None:
        name = '<span class="pre">{}</span>'.format
        long, short = name("DOCKERFLOW_CHECKS_/_run.py"), name("os.write")
        assert shaped(long) == long
        assert shaped(f"<td>{short}{long}</td>") == (
            f"<td>{short}{name('DOCKERFLOW_<wbr>CHECKS_/<wbr>_run.<wbr>py')}</td>"
        )


class TestNameLinks:
    PATHS = (
        "mozlog_py.config",
        "mozlog_py.config.configure",
        "mozlog_py.sink.Sink",
        "mozlog_py.sink.Sink.write",
        "dockerflow.flask.app.Dockerflow",
        "dockerflow.sanic.app.Dockerflow",
        "dockerflow.logging.MozlogFormatter",
        "mozlog_py.formatter.MozlogFormatter",
    )

    @pytest.mark.parametrize(
        ("text", "in_reference", "elsewhere"),
        [
            ("configure()", "mozlog_py.config.configure", None),
            ("configure", None, None),
            ("mozlog_py.config.configure()", *["mozlog_py.config.configure"] * 2),
            ("Sink.write", "mozlog_py.sink.Sink.write", None),
            ("write", None, None),
            ("Dockerflow", None, None),
            ("MozlogFormatter", "mozlog_py.formatter.MozlogFormatter", None),
            ("mozlog_py.nothing", None, None),
            ("configure(level=10)", None, None),
        ],
    )
    def test_a_name_leads_to_the_one_object_that_has_it(
        self, text: str, in_reference: str | None, elsewhere: str | None
    ) -> None:
        object_of = program("docs/_ext/name_links.py").object_of
        assert object_of(text, self.PATHS, needs_path=False) == in_reference
        assert object_of(text, self.PATHS, needs_path=True) == elsewhere
