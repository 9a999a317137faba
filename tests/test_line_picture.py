"""The pictures of the README show what its program logs."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from itertools import groupby
from types import ModuleType
from xml.etree import ElementTree as ET

import pytest
from snippets import ROOT

PROGRAM = ROOT / "tools" / "line_picture.py"
pytestmark = pytest.mark.skipif(
    not PROGRAM.exists(), reason="the tools are of the tree, and not of the wheel"
)


@pytest.fixture(scope="module")
def picture() -> ModuleType:
    spec = importlib.util.spec_from_file_location("line_picture", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look their module up.
    sys.modules["line_picture"] = module
    spec.loader.exec_module(module)
    return module


def runs(picture: ModuleType, line: str) -> list[tuple[str, object]]:
    cells = picture.terminal_cells(line)
    return [
        ("".join(char for char, _ in run), style)
        for style, run in groupby(cells, key=lambda cell: cell[1])
    ]


def test_the_pictures_are_as_the_program_draws_them() -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--check"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_picture_that_differs_is_named(
    picture: ModuleType, tmp_path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "first-lines-dark.svg").write_text("<svg/>", "utf-8")
    monkeypatch.setattr(picture, "ROOT", tmp_path)
    monkeypatch.setattr(picture, "IMAGES", images)
    monkeypatch.setattr(picture, "picture_rows", lambda: [[("a", picture.Style())]])
    monkeypatch.setattr(sys, "argv", ["line_picture.py", "--check"])
    assert picture.main() == 1
    said = capsys.readouterr().out
    assert "first-lines-dark.svg" in said
    assert "first-lines-light.svg" in said
    assert (images / "first-lines-dark.svg").read_text("utf-8") == "<svg/>"

    monkeypatch.setattr(sys, "argv", ["line_picture.py"])
    assert picture.main() == 0
    monkeypatch.setattr(sys, "argv", ["line_picture.py", "--check"])
    assert picture.main() == 0


def test_the_pictures_have_the_lines_for_people_and_a_line_of_mozlog() -> None:
    for name in ("light", "dark"):
        root = ET.parse(ROOT / "docs" / "images" / f"first-lines-{name}.svg").getroot()
        text = " ".join(" ".join(root.itertext()).split())
        assert "Ann pays" in text
        assert "request.summary" in text or "GET /pay/Ann" in text
        assert '"EnvVersion":' in text
        # Nothing is loaded from elsewhere.
        assert not [key for each in root.iter() for key in each.attrib if key.endswith("href")]


def test_escapes_of_a_terminal_become_styles(picture: ModuleType) -> None:
    style = picture.Style
    line = "\x1b[1m\x1b[31mno\x1b[0m \x1b[2mdim\x1b[22m\x1b[92mok\x1b[39m "
    line += "\x1b[38;5;196mred\x1b[38;5;2mg"
    assert runs(picture, line) == [
        ("no", style("red", is_bold=True)),
        (" ", style()),
        ("dim", style(is_dim=True)),
        ("ok", style("green")),
        (" ", style()),
        ("red", style("#ff0000")),
        ("g", style("green")),
    ]


def test_markup_in_a_line_is_text_and_columns_keep_their_places(picture: ModuleType) -> None:
    theme = picture.THEMES["light"]
    svg = picture.drawn([[*picture.terminal_cells("<a>   & b")]], theme)
    texts = [
        (each.text, float(each.attrib["x"])) for each in ET.fromstring(svg).iter() if each.get("x")
    ]
    first, second = [(text, x) for text, x in texts if text]
    assert (first[0], second[0]) == ("<a>", "& b")
    assert second[1] - first[1] == pytest.approx(6 * 8.4)


def luminance(color: str) -> float:
    # Source: WCAG 2, relative luminance.
    levels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in levels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("name", ["light", "dark"])
def test_every_color_of_a_theme_is_readable_on_its_background(
    picture: ModuleType, name: str
) -> None:
    theme = picture.THEMES[name]
    for color in (theme.text, theme.dim, *theme.colors):
        bright, dark = sorted(map(luminance, (color, theme.background)), reverse=True)
        assert (bright + 0.05) / (dark + 0.05) >= 4.5, color
