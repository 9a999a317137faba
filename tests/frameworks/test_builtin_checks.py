"""The checks that come with each adapter, against services taken away from running applications."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import flask_migrate
import flask_sqlalchemy
import pytest
import redis
import redis.asyncio
import sqlalchemy as sa
from contract_sanic import application as sanic_application
from contract_sanic import driver_of, loop, quiet_sanic  # noqa: F401 - fixtures
from drivers import Driver, WSGIDriver
from flask import Flask
from real_servers import GUNICORN, UVICORN, ask, served_from
from services import PASSWORD, Postgres, Redis

from dockerflow import checks, health
from dockerflow.flask import Dockerflow
from dockerflow.flask.checks import check_migrations_applied
from dockerflow.sanic import Dockerflow as SanicDockerflow

pytestmark = pytest.mark.filterwarnings("ignore:websockets:DeprecationWarning")

Found = tuple[int, dict[str, list[str]]]


def read(status: int | None, body: bytes) -> Found:
    """Return the status of a heartbeat, and the ids of what each check said."""
    assert PASSWORD.encode() not in body
    payload = json.loads(body)
    details = payload["details"]
    for name, said in payload["checks"].items():
        assert (said == "ok") == (name not in details)
    assert status is not None
    return status, {name: sorted(each["messages"]) for name, each in details.items()}


def heartbeat(driver: Driver) -> Found:
    answer = driver.get("/__heartbeat__")
    return read(answer.status, answer.body)


FAILED = {"DOCKERFLOW_HEARTBEAT_FAILED_STATUS_CODE": 503}
IN_TIME = {"DOCKERFLOW_CHECK_TIMEOUT_SECONDS": 2}


ENVIRONMENT = """
from alembic import context
from flask import current_app

with current_app.extensions["migrate"].db.engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""


class FlaskService:
    """An application with a database, migrations and a cache."""

    def __init__(self, folder: Path, postgres: Postgres, cache: Redis) -> None:
        self.app = Flask("shop", root_path=str(folder))
        self.app.config["SQLALCHEMY_DATABASE_URI"] = postgres.url_for("psycopg")
        self.db = flask_sqlalchemy.SQLAlchemy(self.app)
        self.migrate = flask_migrate.Migrate(self.app, self.db, directory=str(folder / "m"))
        self.app.config.update(IN_TIME)
        # Made so, it tries again for longer than that.
        self.redis = redis.Redis(port=cache.port, password=PASSWORD)
        self.folder = folder
        Dockerflow(self.app, self.db, self.redis, self.migrate)

    @property
    def driver(self) -> WSGIDriver:
        return WSGIDriver(self.app)

    def begin_migrations(self, *names: str) -> None:
        with self.app.app_context():
            flask_migrate.init()
        # Its own would configure the logging of the whole process.
        (self.folder / "m" / "env.py").write_text(ENVIRONMENT)
        former = None
        for name in names:
            (self.folder / "m" / "versions" / f"{name}.py").write_text(
                f"revision, down_revision = {name!r}, {former!r}\n"
                "def upgrade(): pass\ndef downgrade(): pass\n"
            )
            former = name


@pytest.fixture
def flask_service(
    tmp_path: Path, postgres: Postgres, redis_server: Redis
) -> Iterator[FlaskService]:
    service = FlaskService(tmp_path, postgres, redis_server)
    yield service
    postgres.start()
    with service.app.app_context():
        with service.db.engine.begin() as connection:
            connection.execute(sa.text("DROP TABLE IF EXISTS alembic_version"))
        service.db.engine.dispose()
    service.redis.close()


class TestFlask:
    def test_flask_says_what_is_away_until_it_is_back(
        self, flask_service: FlaskService, postgres: Postgres, redis_server: Redis
    ) -> None:
        flask_service.begin_migrations("one")
        with flask_service.app.app_context():
            flask_migrate.upgrade()
        driver = flask_service.driver
        assert heartbeat(driver) == (200, {})
        redis_server.stop()
        redis_away = {"check_redis_connected": [health.ERROR_CANNOT_CONNECT_REDIS]}
        assert heartbeat(driver) == (500, redis_away)
        postgres.stop()
        flask_service.app.config.update(FAILED)
        assert heartbeat(driver) == (
            503,
            {
                **redis_away,
                "check_database_connected": [health.ERROR_DB_API_EXCEPTION],
                "check_migrations_applied": [health.INFO_CANT_CHECK_MIGRATIONS],
            },
        )
        postgres.start()
        assert heartbeat(driver) == (503, redis_away)
        redis_server.start()
        assert heartbeat(driver) == (200, {})

    def test_flask_warns_of_migrations_until_they_are_applied(
        self, flask_service: FlaskService
    ) -> None:
        driver = flask_service.driver
        # There are no migrations yet.
        said = {"check_migrations_applied": [health.INFO_CANT_CHECK_MIGRATIONS]}
        assert heartbeat(driver) == (200, said)
        flask_service.begin_migrations("one", "two")
        unapplied = {"check_migrations_applied": [health.WARNING_UNAPPLIED_MIGRATION]}
        assert heartbeat(driver) == (200, unapplied)
        with flask_service.app.app_context():
            flask_migrate.upgrade(revision="one")
            (message,) = check_migrations_applied(flask_service.migrate)
        assert message.msg == "Unapplied migrations: two"
        assert heartbeat(driver) == (200, unapplied)
        with flask_service.app.app_context():
            flask_migrate.upgrade()
        assert heartbeat(driver) == (200, {})

    def test_flask_warns_of_migrations_that_only_the_database_has(
        self, flask_service: FlaskService
    ) -> None:
        flask_service.begin_migrations("one")
        with flask_service.app.app_context():
            flask_migrate.upgrade()
            (flask_service.folder / "m" / "versions" / "one.py").unlink()
            (message,) = check_migrations_applied(flask_service.migrate)
        assert message == checks.Warning(
            "Migrations that are applied, but not there: one",
            id=health.WARNING_UNAPPLIED_MIGRATION,
        )

    def test_flask_asks_whatever_a_test_puts_in_place_of_ping(
        self, flask_service: FlaskService
    ) -> None:
        silent = {"check_redis_connected": [health.ERROR_REDIS_PING_FAILED]}
        with mock.patch.object(flask_service.redis, "ping", return_value=False):
            found = heartbeat(flask_service.driver)[1]
        assert found["check_redis_connected"] == silent["check_redis_connected"]


class TestSanic:
    def test_sanic_says_what_is_away_until_it_is_back(self, redis_server: Redis) -> None:
        client = redis.asyncio.Redis(port=redis_server.port, password=PASSWORD)
        app = sanic_application(settings=IN_TIME, extension=SanicDockerflow(redis=client))
        driver = driver_of(app)
        assert heartbeat(driver) == (200, {})
        redis_server.stop()
        away = {"check_redis_connected": [health.ERROR_CANNOT_CONNECT_REDIS]}
        assert heartbeat(driver) == (500, away)
        app.config.update(FAILED)
        assert heartbeat(driver) == (503, away)
        redis_server.start()
        assert heartbeat(driver) == (200, {})
        driver.run(client.aclose())

    def test_sanic_takes_the_object_of_sanic_redis(self, redis_server: Redis) -> None:
        client = redis.asyncio.Redis.from_url(redis_server.url)
        extension = SanicDockerflow(redis=mock.Mock(conn=client))
        driver = driver_of(sanic_application(extension=extension))
        assert heartbeat(driver) == (200, {})
        redis_server.stop()
        assert heartbeat(driver)[0] == 500
        driver.run(client.aclose())


DJANGO = """
import os, sys
import django
from django.conf import settings
postgres, cache = os.environ["POSTGRES_PORT"], os.environ["REDIS_URL"]
settings.configure(
    ALLOWED_HOSTS=["*"],
    CACHES={{"default": {{"BACKEND": "django_redis.cache.RedisCache", "LOCATION": cache}}}},
    DATABASES={{"default": {{
        "ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "shop",
        "PASSWORD": {password!r}, "HOST": "127.0.0.1", "PORT": postgres,
        "CONN_MAX_AGE": {max_age},
    }}}},
    DOCKERFLOW_CHECKS=[f"dockerflow.django.checks.check_{{name}}" for name in (
        "database_connected", "migrations_applied", "redis_connected",
    )],
    DOCKERFLOW_HEARTBEAT_CACHE_SECONDS=0,
    DOCKERFLOW_HEARTBEAT_DETAILS="always",
    DOCKERFLOW_HEARTBEAT_FAILED_STATUS_CODE={status},
    INSTALLED_APPS=["dockerflow.django", "shop"],
    MIDDLEWARE=["dockerflow.django.middleware.DockerflowMiddleware"],
    ROOT_URLCONF="shop",
    SECRET_KEY="x" * 60 + "of tests",
    SILENCED_SYSTEM_CHECKS=["security.W004", "security.W008", "security.W009", "security.W012",
        "security.W001", "security.W002", "security.W003", "security.W020"],
)
django.setup()
if sys.argv[1:2] == ["migrate"]:
    from django.core.management import call_command
    call_command(*sys.argv[1:])
elif {is_async}:
    from django.core.asgi import get_asgi_application
    app = get_asgi_application()
else:
    from django.core.wsgi import get_wsgi_application
    app = get_wsgi_application()
"""

_DJANGO_NAMES = ("check_database_connected", "check_migrations_applied", "check_redis_connected")


def django_heartbeat(port: int) -> Found:
    answer = ask(port, b"GET /__heartbeat__ HTTP/1.1\r\nHost: x\r\n")
    assert answer is not None
    head, _, body = answer.partition(b"\r\n\r\n")
    status, details = read(int(head.split()[1]), body)
    assert set(_DJANGO_NAMES) <= set(json.loads(body)["checks"])
    return status, details


class TestDjango:
    @pytest.mark.parametrize(
        ("command", "max_age", "status"),
        [
            ([*GUNICORN, "--threads", "4"], 0, 500),
            ([*GUNICORN, "--threads", "4"], 600, 503),
            (UVICORN, 0, 500),
        ],
        ids=["gunicorn", "gunicorn-persistent", "uvicorn"],
    )
    def test_django_says_what_is_away_until_it_is_back(
        self,
        tmp_path: Path,
        postgres: Postgres,
        redis_server: Redis,
        command: list[str],
        max_age: int,
        status: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("POSTGRES_PORT", str(postgres.port))
        monkeypatch.setenv("REDIS_URL", redis_server.url)
        source = DJANGO.format(
            password=PASSWORD, max_age=max_age, status=status, is_async=command is UVICORN
        )
        migrations = tmp_path / "shop" / "migrations"
        migrations.mkdir(parents=True)
        (tmp_path / "shop" / "__init__.py").write_text("urlpatterns = []\n")
        (migrations / "__init__.py").write_text("")
        (migrations / "0001_initial.py").write_text(
            "from django.db import migrations\n"
            "class Migration(migrations.Migration):\n    initial = True\n"
        )

        def migrate(*arguments: str) -> None:
            subprocess.run(
                [sys.executable, "-W", "ignore", "served.py", "migrate", *arguments],
                cwd=tmp_path, env={**os.environ}, check=True, timeout=120, capture_output=True,
            )  # fmt: skip

        unapplied = {"check_migrations_applied": [health.WARNING_UNAPPLIED_MIGRATION]}
        unknown = {"check_migrations_applied": [health.INFO_CANT_CHECK_MIGRATIONS]}
        redis_away = {"check_redis_connected": [health.ERROR_CANNOT_CONNECT_REDIS]}
        database_away = {"check_database_connected": [health.ERROR_CANNOT_CONNECT_DATABASE]}
        with served_from(tmp_path, source, command) as (port, _):
            assert django_heartbeat(port) == (200, unapplied)
            migrate()
            assert django_heartbeat(port) == (200, {})
            redis_server.stop()
            assert django_heartbeat(port) == (status, redis_away)
            postgres.stop()
            assert django_heartbeat(port) == (status, {**redis_away, **database_away, **unknown})
            redis_server.start()
            assert django_heartbeat(port) == (status, {**database_away, **unknown})
            postgres.start()
            assert django_heartbeat(port) == (200, {})
            migrate("shop", "zero")
            assert django_heartbeat(port) == (200, unapplied)
