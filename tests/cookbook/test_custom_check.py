"""The checks of the cookbook are registered, and their heartbeat is asked."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance import checked_lines
from ports import free_port
from recipe_page import Recipe

RECIPE = Recipe("custom-check")

pytestmark = pytest.mark.usefixtures("no_checks", "untouched_process")


@pytest.fixture
def shop(capfdbinary: pytest.CaptureFixture[bytes]) -> dict[str, Any]:
    return RECIPE.snippets["shop"].run()


@pytest.fixture
def mail_server() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def backup(folder: Path, hours: float) -> Path:
    file = folder / "shop.dump"
    file.touch()
    os.utime(file, (time.time() - hours * 3600,) * 2)
    return file


def heartbeat(shop: dict[str, Any], backup: Path, mail_port: int) -> tuple[int, Any]:
    app = shop["create_app"]()
    app.config.update(BACKUP=str(backup), MAIL=("127.0.0.1", mail_port))
    answer = app.test_client().get("/__heartbeat__")
    return answer.status_code, answer.json


def test_the_heartbeat_and_the_lines_are_those_of_the_page(
    shop: dict[str, Any], tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    status, body = heartbeat(shop, backup(tmp_path, 30), free_port())
    assert status == 500
    assert [body] == RECIPE.lines["heartbeat"]
    lines = checked_lines(capfdbinary.readouterr().out)
    messages = [line for line in lines if "check" in line["Fields"]]
    messages.sort(key=lambda line: str(line["Fields"]["check"]))
    RECIPE.assert_shows("messages", [line["Fields"] for line in messages])
    assert [line["Severity"] for line in messages] == [4, 3]


def test_the_heartbeat_passes_where_all_is_well(
    shop: dict[str, Any], tmp_path: Path, mail_server: int
) -> None:
    assert heartbeat(shop, backup(tmp_path, 1), mail_server) == (
        200,
        {"status": "ok", "checks": {"backup": "ok", "mail": "ok"}, "details": {}},
    )


@pytest.mark.parametrize(("hours", "expected"), [(1, []), (30, ["shop.W002"]), (50, ["shop.E002"])])
def test_the_check_of_the_backup_is_a_function(
    shop: dict[str, Any], tmp_path: Path, hours: int, expected: list[str]
) -> None:
    found = shop["backup_is_recent"]({"BACKUP": str(backup(tmp_path, hours))})
    assert [message.id for message in found] == expected


def test_a_backup_that_is_missing_is_an_error(shop: dict[str, Any], tmp_path: Path) -> None:
    (message,) = shop["backup_is_recent"]({"BACKUP": str(tmp_path / "none")})
    assert (message.id, message.hint) == ("shop.E001", "Run backup.sh.")


def test_the_check_of_the_mail_server_is_a_coroutine_function(
    shop: dict[str, Any], mail_server: int
) -> None:
    found = asyncio.run(shop["mail_server_answers"]({"MAIL": ("127.0.0.1", mail_server)}))
    assert found == []
