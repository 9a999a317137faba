"""The README is short, its program logs what the page shows, its links and claims hold."""

import importlib.metadata
import io
import logging
import re
import sys
from typing import Any

import pytest
from conformance import checked_lines
from drivers import ASGIDriver
from snippets import ROOT, snippets_of

from mozlog_py import MozlogHandler
from mozlog_py.testing import capture_lines

README = ROOT / "README.md"
TEXT = README.read_text("utf-8")
SNIPPETS = snippets_of(README)

pytestmark = pytest.mark.usefixtures("no_checks", "untouched_process")


def test_the_readme_is_short() -> None:
    assert len(TEXT.splitlines()) <= 180


def test_the_readme_has_no_snippet_that_is_not_run() -> None:
    assert set(SNIPPETS) == {"first"}


def test_its_program_has_twenty_lines_and_logs_what_the_page_shows(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    snippet = SNIPPETS["first"]
    assert len(snippet.code.splitlines()) <= 20
    client = snippet.run()["app"].test_client()
    headers = {"User-Agent": "curl/8.5", "X-Request-Id": "8c1f0a52-6a3e-4c0a-9c55-a7a1a3b3c7d4"}
    with client.get("/pay/Ann", headers=headers) as answer:
        assert answer.data == b"thank you\n"
        assert answer.headers["X-Request-Id"] == headers["X-Request-Id"]
    snippet.assert_shows(capfdbinary.readouterr().out)
    statuses = {}
    for name in re.findall(r"`/__(\w+)__`", TEXT):
        with client.get(f"/__{name}__") as answer:
            statuses[name] = answer.status_code
    # There is no version.json here.
    assert statuses == {"heartbeat": 200, "lbheartbeat": 200, "version": 404, "error": 500}


def test_its_program_without_flask_is_one_that_logs(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    code = SNIPPETS["first"].code
    kept = [line for line in code.splitlines() if "flask" not in line.lower()]
    kept = kept[: kept.index('mozlog_py.configure("shop")') + 1]
    kept += [line.strip() for line in code.splitlines() if ".info(" in line]
    exec("\n".join(kept), {"user": "Ann"})
    lines = checked_lines(capfdbinary.readouterr().out)
    assert [line["Fields"] for line in lines] == [
        {"amount": 12.5, "msg": "Ann pays"},
        {"items": ["book", "pen"], "msg": "paid"},
    ]


class _Broken:
    def __repr__(self) -> str:
        raise LookupError


def test_the_rows_of_why_switch_are_true_of_this_library() -> None:
    stream = io.StringIO()
    logger = logging.getLogger("shop")
    logger.addHandler(MozlogHandler(stream))
    logger.setLevel(logging.INFO)
    itself: list[Any] = []
    itself.append(itself)
    cause = ValueError("no price")
    cause.__cause__ = ZeroDivisionError("by zero")
    has_notes = sys.version_info >= (3, 11)
    if has_notes:
        cause.__cause__.add_note("of item 7")
    logger.info('{"order": 7}')
    logger.info("{order} is {paid}")
    logger.info("paid", extra={"cart": _Broken(), "list": itself, "total": 3})
    logger.error("failed", exc_info=cause)
    logger.handlers.clear()
    parsed, text, broken, failed = [line["Fields"] for line in checked_lines(stream.getvalue())]
    assert parsed == {"order": 7}
    assert text == {"msg": "{order} is {paid}"}
    assert (broken["msg"], broken["total"]) == ("paid", 3)
    assert "ZeroDivisionError" in failed["traceback"]
    assert ("of item 7" in failed["traceback"]) == has_notes


def test_an_unhandled_exception_in_fastapi_is_an_error_with_its_traceback_and_id() -> None:
    from fastapi import FastAPI

    from dockerflow.fastapi.middleware import MozlogRequestSummaryLogger, RequestIdMiddleware

    app = FastAPI()
    app.add_middleware(MozlogRequestSummaryLogger)
    app.add_middleware(RequestIdMiddleware)

    @app.get("/boom")
    def boom() -> None:
        raise LookupError("no cart")

    with capture_lines() as lines:
        answer = ASGIDriver(app).get("/boom")
    assert answer.status == 500
    (summary,) = [line for line in lines if line["Type"] == "request.summary"]
    assert summary["Severity"] == 3
    assert "no cart" in summary["Fields"]["traceback"]
    assert summary["Fields"]["rid"] == answer.header("x-request-id")


def test_every_link_and_every_picture_is_there() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", TEXT)
    pictures = re.findall(r'(?:src|srcset)="([^"]+)"', TEXT)
    assert len(pictures) == 2
    assert len(links) > 20
    # The tests of the wheel have the documentation, and not what stands beside it.
    is_tree = (ROOT / "LICENSE").exists()
    for target in [*links, *pictures]:
        if is_tree or target.startswith("docs/"):
            assert (ROOT / target).is_file(), target


def test_extras_are_those_of_the_distribution() -> None:
    (named,) = re.findall(r"pip install \S+ +# or (.*), or none", TEXT)
    extras = {"flask", *re.findall(r"\[(\w+)\]", named)}
    assert extras == {"aiohttp", "flask", "django", "fastapi", "sanic", "starlette", "all"}
    provided = importlib.metadata.metadata("mozlog-py").get_all("Provides-Extra", [])
    assert extras <= set(provided)
    migrate = (ROOT / "docs" / "migrate.md").read_text("utf-8")
    (sentence,) = re.findall(r"The extras are (.*?)\.", migrate, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", sentence)) == set(provided)


def test_it_says_plainly_that_it_is_not_released() -> None:
    """The sentence goes with the first release; CHANGELOG has no version until then."""
    changelog = ROOT / "CHANGELOG.md"
    if changelog.exists():
        versions = re.findall(r"^## \[(\d[^\]]*)\]", changelog.read_text("utf-8"), re.MULTILINE)
        assert ("not released yet" in TEXT) == (not versions)


def test_commands_are_targets_of_the_makefile() -> None:
    makefile = (README.parent / "Makefile").read_text("utf-8")
    commands = set(re.findall(r"(?:\$ |`)make ([\w-]+)", TEXT))
    assert {"demo", "test"} <= commands
    for command in commands:
        assert re.search(rf"^{command}:", makefile, re.MULTILINE), command
