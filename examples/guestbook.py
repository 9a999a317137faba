"""A small web service that logs MozLog: a guest book in Flask and SQLite.

Run it with ``python examples/guestbook.py``; it prints one MozLog line for
what it does, on standard output. Its configuration comes from the environment:
``PORT`` (8000), ``DATABASE`` (a file), ``LOG_LEVEL`` and ``LOG_FORMAT``.
"""

import logging
import os
import sqlite3
import time
import uuid

from flask import Flask, Response, abort, g, request
from werkzeug.exceptions import HTTPException
from werkzeug.serving import make_server

import mozlog_py
from mozlog_py import context

logger = logging.getLogger("guestbook")
requests = logging.getLogger("request.summary")


def create_app(database: str) -> Flask:
    """Make the application; ``database`` is the path of the SQLite file."""
    app = Flask(__name__)
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY, name TEXT)")

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()
        context.clear()
        context.request_id_context.set(str(uuid.uuid4()))
        context.bind(method=request.method, path=request.path)

    @app.after_request
    def summarise(response: Response) -> Response:
        elapsed_ms = int((time.perf_counter() - g.began) * 1000)
        requests.info("", extra={"code": response.status_code, "t": elapsed_ms})
        return response

    @app.errorhandler(Exception)
    def failed(error: Exception) -> tuple[str, int] | HTTPException:
        if isinstance(error, HTTPException):
            return error
        logger.error("request failed", exc_info=error)
        return "something went wrong\n", 500

    @app.post("/entries")
    def sign() -> tuple[dict[str, int], int]:
        name = request.form["name"]
        with sqlite3.connect(database) as connection:
            entry = connection.execute("INSERT INTO entry (name) VALUES (?)", (name,)).lastrowid
        logger.info("%s signed", name, extra={"entry": entry, "letters": len(name)})
        return {"entry": entry or 0}, 201

    @app.get("/entries/<int:entry>")
    def show(entry: int) -> dict[str, str]:
        with sqlite3.connect(database) as connection:
            row = connection.execute("SELECT name FROM entry WHERE id = ?", (entry,)).fetchone()
        if row is None:
            logger.warning("no such entry", extra={"entry": entry})
            abort(404)
        return {"name": row[0]}

    @app.get("/average")
    def average() -> dict[str, float]:
        with sqlite3.connect(database) as connection:
            lengths = [len(name) for (name,) in connection.execute("SELECT name FROM entry")]
        return {"letters": sum(lengths) / len(lengths)}

    return app


def main() -> None:
    """Serve until the process is told to stop."""
    mozlog_py.configure("guestbook", loggers={"werkzeug": "WARNING"})
    app = create_app(os.environ.get("DATABASE", "guestbook.sqlite"))
    server = make_server("127.0.0.1", int(os.environ.get("PORT", "8000")), app, threaded=True)
    logger.info("serving", extra={"port": server.port})
    server.serve_forever()


if __name__ == "__main__":
    main()
