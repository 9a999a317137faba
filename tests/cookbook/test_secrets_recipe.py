"""docs/cookbook/secrets.md."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
from recipes import Recipe

RECIPE = Recipe("secrets")
SECRETS = (b"tulip-7f3a", b"eyJ-of-ann", b"DE89", b"=1f")


def run(folder: Path, old: str = "") -> bytes:
    """Run the page's files, without a part of the application; return the output."""
    RECIPE.write("secrets", folder, old)
    done = subprocess.run(
        [sys.executable, RECIPE.write("requests", folder).name],
        cwd=folder, env={**os.environ, "LOG_LEVEL": "INFO"}, capture_output=True, timeout=120,
        check=True,
    )  # fmt: skip
    assert done.stderr == b""
    return done.stdout


def test_the_page_about_secrets_is_complete() -> None:
    RECIPE.assert_is_complete("secrets", "requests", "in-a-test")


def test_no_line_has_a_secret_of_the_recipe(tmp_path: Path) -> None:
    output = run(tmp_path)
    RECIPE.snippets["requests"].assert_shows(output)
    assert [secret for secret in SECRETS if secret in output] == []
    assert b"raise ConnectionError" in output


def test_without_the_processor_each_secret_is_in_the_lines(tmp_path: Path) -> None:
    output = run(tmp_path, "processors=[redact], ")
    assert [secret for secret in SECRETS if secret not in output] == []


def test_a_test_of_the_page_passes_and_fails_without_the_processor(tmp_path: Path) -> None:
    snippet = RECIPE.snippets["in-a-test"]
    assert "1 passed" in snippet.run_under_pytest(tmp_path)
    without = snippet.code.replace("processors=[redact]", "")
    with pytest.raises(AssertionError, match="1 failed"):
        dataclasses.replace(snippet, code=without).run_under_pytest(tmp_path)
