"""The tests of the cookbook pass under pytest, and its leak fails as the page shows."""

import logging
import os
import subprocess
import sys
from pathlib import Path

from recipe_page import Recipe

from mozlog_py.testing import capture_lines

RECIPE = Recipe("pytest")


#: What the page says of ``caplog``, and of a call of ``configure()`` within a test.
OTHER_TESTS = """
import logging
import mozlog_py
import shop


def test_processors(mozlog_lines):
    import structlog

    logging.getLogger("shop").warning("from logging", extra={"token": "tulip"})
    structlog.get_logger("shop").warning("from structlog", token="tulip")
    tokens = [line["Fields"]["token"] for line in mozlog_lines]
    assert tokens == ["tulip", "[redacted]"]


def test_caplog(caplog):
    shop.create_app().test_client().get("/pay/ann")
    mozlog_py.configure("shop")
    logging.getLogger("shop").warning("after")
    assert caplog.messages == ["ann paid", "", "after"]


def test_a_late_configure(mozlog_lines):
    logging.getLogger("shop").warning("before")
    mozlog_py.configure("shop")
    logging.getLogger("shop").warning("after")
    assert [line["Fields"]["msg"] for line in mozlog_lines] == ["before", "after"]
"""


def run(
    folder: Path, *arguments: str, shop: str = RECIPE.files["shop.py"]
) -> subprocess.CompletedProcess[str]:
    RECIPE.write_files(folder)
    (folder / "shop.py").write_text(shop, "utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:ddtrace",
         "-p", "no:pytest-structlog", *arguments],
        cwd=folder, capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "COLUMNS": "300", "PYTEST_ADDOPTS": ""},
    )  # fmt: skip


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    done = run(tmp_path, "test_shop.py")
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_a_leak_fails_with_the_text_of_the_page(tmp_path: Path) -> None:
    done = run(tmp_path, "test_leak.py")
    assert "1 failed" in done.stdout, done.stdout + done.stderr
    assert RECIPE.files["failure.txt"].strip() in done.stdout


def test_without_the_option_the_leak_is_not_noticed(tmp_path: Path) -> None:
    done = run(tmp_path, "test_leak.py", "-o", "mozlog_no_leaks=false")
    assert "1 passed" in done.stdout


def test_what_a_view_binds_is_no_leak(tmp_path: Path) -> None:
    bound, bind = "with context.bound(", "if not context.bind("
    shop = RECIPE.files["shop.py"]
    assert bound in shop
    done = run(tmp_path, "test_shop.py", shop=shop.replace(bound, bind))
    assert "2 passed" in done.stdout, done.stdout


def test_lines_of_one_logger_are_collected_without_pytest() -> None:
    with capture_lines("shop.cart") as lines:
        logging.getLogger("shop.cart").debug("paid")
        logging.getLogger("shop.mail").error("sent")
    assert [line["Fields"]["msg"] for line in lines] == ["paid"]


def test_caplog_sees_the_records_and_processors_are_those_of_the_formatter(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(OTHER_TESTS, "utf-8")
    done = run(tmp_path, "test_other.py", "-p", "no:randomly")
    assert "3 passed" in done.stdout, done.stdout + done.stderr
