"""The adapter of the cookbook is run on a real server, and asked for all that it promises."""

import json
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conformance import checked_lines
from loopback import PATIENCE_S, Running, running, wait_until
from ports import free_port
from recipe_page import Recipe

RECIPE = Recipe("custom-adapter")


@dataclass
class Shop:
    served: Running
    port: int

    def get(self, path: str, **headers: str) -> tuple[int, str, Any]:
        """Return status, body and headers."""
        sent = {"User-Agent": "probe", **{k.replace("_", "-"): v for k, v in headers.items()}}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=sent)
        try:
            answer = urllib.request.urlopen(request, timeout=PATIENCE_S)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return answer.status, answer.read().decode(), answer.headers

    def lines(self) -> list[dict[str, Any]]:
        out = self.served.out
        # The last line may be written at this moment.
        return checked_lines(out[: out.rfind(b"\n") + 1])

    def summary(self, path: str) -> dict[str, Any]:
        """Return the summary of the request to a path, which may come after the answer."""

        def found() -> list[dict[str, Any]]:
            return [
                line for line in self.lines()
                if line["Type"] == "request.summary" and line["Fields"]["path"] == path
            ]  # fmt: skip

        wait_until(lambda: bool(found()), f"log a summary of {path}")
        (line,) = found()
        return line


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    folder = tmp_path / "app"
    RECIPE.write_files(folder)
    broken = 'def shop(request: Any) -> None:\n    if request.path == "/broken":\n        1 / 0\n'
    code = RECIPE.files["shop.py"].replace("def shop(request: Any) -> None:\n", broken)
    (folder / "shop.py").write_text(code, "utf-8")
    (folder / "version.json").write_text('{"version": "1.2"}')
    port = free_port()
    environment = {**os.environ, "APP_DIR": str(folder)}
    with running([sys.executable, "shop.py", str(port)], folder, port, environment) as served:
        yield Shop(served, port)


def test_a_request_has_its_id_and_the_lines_of_the_page(shop: Shop) -> None:
    status, body, headers = shop.get("/", X_Request_Id="abc-1")
    assert (status, body, headers["X-Request-Id"]) == (200, "hello\n", "abc-1")
    assert headers["Vary"].lower() == "x-request-id"
    shop.summary("/")
    RECIPE.assert_shows("request", [line["Fields"] for line in shop.lines()])


def test_a_request_without_an_id_gets_a_new_one_in_all_its_lines(shop: Shop) -> None:
    _, _, headers = shop.get("/")
    summary = shop.summary("/")
    ids = {line["Fields"]["rid"] for line in shop.lines()}
    assert ids == {headers["X-Request-Id"], summary["Fields"]["rid"]}
    assert len(ids) == 1
    assert "Vary" not in headers


def test_the_endpoints_answer(shop: Shop) -> None:
    assert shop.get("/__lbheartbeat__")[0] == 200
    assert json.loads(shop.get("/__version__")[1]) == {"version": "1.2"}
    assert json.loads(shop.get("/__heartbeat__")[1])["status"] == "ok"
    assert shop.get("/__error__")[0] == 500


def test_an_exception_is_an_error_with_the_id_in_the_answer(shop: Shop) -> None:
    status, _, headers = shop.get("/broken")
    summary = shop.summary("/broken")
    assert (status, summary["Severity"]) == (500, 3)
    assert summary["Fields"]["errno"] == 500
    assert summary["Fields"]["error"] == "ZeroDivisionError('division by zero')"
    assert summary["Fields"]["rid"] == headers["X-Request-Id"]
    assert shop.served.err == ""


def test_a_client_that_goes_is_no_error(shop: Shop) -> None:
    with socket.create_connection(("127.0.0.1", shop.port)) as client:
        client.sendall(b"GET /gone HTTP/1.0\r\n\r\n")
    assert shop.summary("/gone")["Severity"] == 6
