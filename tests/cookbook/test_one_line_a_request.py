"""docs/cookbook/one-line-a-request.md, with the real servers."""

import socket
from pathlib import Path

from conformance import checked_lines
from recipes import Recipe, lines_without
from serving import Served, server

RECIPE = Recipe("one-line-a-request")


def of_requests(served: Served) -> bytes:
    """Return the lines that are not the server's about itself."""
    assert served.err == ""
    return lines_without(served.out, "uvicorn.error", "gunicorn.error")


def refuse(served: Served) -> None:
    """Send a request that the server refuses, and wait for the server's warning."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        connection.sendall(b"no request\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
    served.wait_for(b'"Severity":4')


def test_the_page_about_one_line_a_request_is_complete() -> None:
    RECIPE.assert_is_complete("uvicorn", "gunicorn", "flask")


def test_a_request_behind_uvicorn_has_its_summary_and_no_access_line(tmp_path: Path) -> None:
    RECIPE.write("uvicorn", tmp_path)
    command = [word.replace("8000", "PORT") for word in RECIPE.command("uvicorn")]
    with server(tmp_path, command) as served:
        assert served.get("/cart") == 200
        refuse(served)
    RECIPE.snippets["uvicorn"].assert_shows(of_requests(served))


def test_the_worker_class_asgi_has_the_same_line(tmp_path: Path) -> None:
    RECIPE.write("gunicorn", tmp_path)
    RECIPE.write("uvicorn", tmp_path)
    command = [word.replace("8000", "PORT") for word in RECIPE.command("gunicorn")]
    with server(tmp_path, [*command, "--worker-class", "asgi"]) as served:
        assert served.get("/cart") == 200
    RECIPE.snippets["uvicorn"].assert_shows(of_requests(served))


def test_a_request_behind_gunicorn_has_its_summary_and_no_access_line(tmp_path: Path) -> None:
    RECIPE.write("gunicorn", tmp_path)
    RECIPE.write("flask", tmp_path)
    command = [word.replace("8000", "PORT") for word in RECIPE.command("gunicorn")]
    with server(tmp_path, command) as served:
        assert served.get("/cart") == 200
        refuse(served)
    RECIPE.snippets["flask"].assert_shows(of_requests(served))


def test_without_the_recipe_a_request_behind_gunicorn_has_two_lines(tmp_path: Path) -> None:
    RECIPE.write("gunicorn", tmp_path, ', loggers={"gunicorn.access": "WARNING"}')
    RECIPE.write("flask", tmp_path)
    command = [word.replace("8000", "PORT") for word in RECIPE.command("gunicorn")]
    with server(tmp_path, command) as served:
        assert served.get("/cart") == 200
    types = {line["Type"] for line in checked_lines(of_requests(served))}
    assert types == {"gunicorn.access", "request.summary"}
