"""docs/cookbook/probes.md, with gunicorn."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from conformance import checked_lines
from recipes import Recipe, lines_without
from serving import server

RECIPE = Recipe("probes")


def test_the_page_about_probes_is_complete() -> None:
    RECIPE.assert_is_complete("probes")


def test_a_probe_has_a_line_only_if_it_fails(tmp_path: Path) -> None:
    RECIPE.write("probes", tmp_path)
    urls = re.findall(r"^\$ curl (\S+)$", RECIPE.text, re.MULTILINE)
    command = [word.replace("8000", "PORT") for word in RECIPE.command("gunicorn")]
    with server(tmp_path, command) as served:
        statuses = [served.get(urlsplit(url).path) for url in urls]
    assert statuses == [200, 200, 500]
    RECIPE.snippets["probes"].assert_shows(lines_without(served.out, "gunicorn.error"))


def test_without_the_filter_each_probe_has_a_line(tmp_path: Path) -> None:
    RECIPE.write("probes", tmp_path, ".addFilter(WithoutProbes())")
    command = [word.replace("8000", "PORT") for word in RECIPE.command("gunicorn")]
    with server(tmp_path, command) as served:
        assert served.get("/__lbheartbeat__") == 200
    (line,) = checked_lines(lines_without(served.out, "gunicorn.error"))
    assert (line["Type"], line["Fields"]["path"]) == ("request.summary", "/__lbheartbeat__")
