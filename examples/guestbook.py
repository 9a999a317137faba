"""A guest book in Flask and SQLAlchemy, with all of Dockerflow; ``make demo`` shows it.

Run it with ``python examples/guestbook.py``. Its configuration comes from the
environment: ``PORT`` (8000, 0 for any), ``DATABASE_URL`` (an SQLite file),
``GUESTBOOK_TITLE``, ``APP_DIR`` (the folder of ``version.json``),
``LOG_LEVEL``, ``LOG_FORMAT`` and Flask's ``FLASK_*``.
"""

import os

import sqlalchemy as sa
import structlog
from flask import Flask, abort, request
from werkzeug.serving import make_server

import mozlog_py
from dockerflow import checks
from dockerflow.checks.databases import check_engine_connected
from dockerflow.flask import Dockerflow
from dockerflow.summary import add_fields

log = structlog.get_logger("guestbook")

metadata = sa.MetaData()
entries = sa.Table(
    "entry", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text)
)


@checks.register("title")
def title_is_set(config: dict[str, str]) -> list[checks.CheckMessage]:
    if config["TITLE"]:
        return []
    return [checks.Warning("GUESTBOOK_TITLE is not set", id="guestbook.W001")]


def create_app(database_url: str) -> Flask:
    app = Flask("guestbook")
    # FLASK_DOCKERFLOW_CHECK_TIMEOUT_SECONDS and all other settings.
    app.config.from_prefixed_env()
    app.config["TITLE"] = os.environ.get("GUESTBOOK_TITLE", "")
    # Only a new connection notices that the file is gone.
    pool = sa.NullPool if database_url.startswith("sqlite") else None
    engine = sa.create_engine(database_url, poolclass=pool)
    metadata.create_all(engine)
    checks.register_partial(check_engine_connected, engine, name="database")
    Dockerflow(app, version_path=os.environ.get("APP_DIR"))

    @app.post("/entries")
    def sign() -> tuple[dict[str, int], int]:
        name = request.form["name"]
        with engine.begin() as connection:
            entry = connection.execute(entries.insert().values(name=name).returning(entries.c.id))
            number = entry.scalar_one()
        log.info("%s signed", name, entry=number, letters=len(name))
        return {"entry": number}, 201

    @app.get("/entries/<int:number>")
    def show(number: int) -> dict[str, str]:
        add_fields(entry=number)  # to the request's summary
        with engine.connect() as connection:
            found = connection.execute(sa.select(entries.c.name).where(entries.c.id == number))
            name = found.scalar_one_or_none()
        if name is None:
            log.warning("no such entry", entry=number)
            abort(404)
        return {"name": name}

    return app


def main() -> None:
    mozlog_py.configure("guestbook", loggers={"werkzeug": "WARNING"})
    app = create_app(os.environ.get("DATABASE_URL", "sqlite:///guestbook.sqlite"))
    server = make_server("127.0.0.1", int(os.environ.get("PORT", "8000")), app, threaded=True)
    log.info("serving", port=server.port)
    server.serve_forever()


if __name__ == "__main__":
    main()
