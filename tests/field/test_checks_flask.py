"""Checks in Flask: application contexts of their own, and databases of two applications."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from checks_stacks import serving
from flask import Flask, current_app, g, request
from flask_sqlalchemy import SQLAlchemy
from sanic import Sanic

from dockerflow import checks
from dockerflow.asgi import DockerflowASGI
from dockerflow.flask import Dockerflow
from dockerflow.sanic import Dockerflow as SanicDockerflow

Found = list[checks.CheckMessage]


@pytest.fixture(autouse=True)
def no_other_checks() -> Iterator[None]:
    checks.clear_checks()
    yield
    checks.clear_checks()


@pytest.fixture
def app() -> Flask:
    app = Flask("shop")
    Dockerflow(app)
    return app


def levels(app: Flask) -> dict[str, str]:
    found: dict[str, str] = app.test_client().get("/__heartbeat__").json["checks"]
    return found


class TestApplicationContexts:
    """Two checks with db.session at the same time do not share the session."""

    @pytest.mark.parametrize("kind", ["sync", "async"])
    def test_each_check_has_its_own_g(self, app: Flask, kind: str) -> None:
        both = threading.Barrier(2)
        held: list[Any] = []

        def sync() -> Found:
            assert "mine" not in g
            g.mine = threading.get_ident()
            held.append(g._get_current_object())
            return [checks.Info(current_app.name + request.path, id="x")]

        def waits() -> Found:
            both.wait(60)
            return sync()

        async def coroutine() -> Found:
            return sync()

        for name in ("orders", "stock"):
            check: Any = waits if kind == "sync" else coroutine
            checks.register(lambda check=check: check(), name=name) if kind == "sync" else (
                checks.register_partial(check, name=name)
            )
        assert levels(app) == {"orders": "info", "stock": "info"}
        assert held[0] is not held[1]

    def test_what_a_check_leaves_open_is_closed_at_its_end(self, app: Flask) -> None:
        closed: list[str] = []

        @app.teardown_appcontext
        def close(error: BaseException | None) -> None:
            closed.append(g.pop("opened", "nothing"))

        @checks.register
        def opens() -> Any:
            g.opened = "connection"
            # It is there until the last message has been made.
            yield checks.Info(f"{g.opened}, {len(closed)} closed", id="x")

        client = app.test_client()
        found = client.get("/__heartbeat__").json["details"]["opens"]["messages"]
        assert found == {"x": "connection, 0 closed"}
        assert closed[0] == "connection"

    def test_an_application_that_fails_to_close_is_an_error_of_the_check(self, app: Flask) -> None:
        @app.teardown_appcontext
        def close(error: BaseException | None) -> None:
            if g.get("broken"):
                raise LookupError("cannot close")

        @checks.register
        def breaks() -> Found:
            g.broken = True
            return []

        (text,) = app.test_client().get("/__heartbeat__").json["details"]["breaks"][
            "messages"
        ].values()  # fmt: skip
        assert text.startswith("the check raised LookupError")

    def test_application_contexts_in_the_request_its_own_context_is_seen(self, app: Flask) -> None:
        @app.before_request
        def connect() -> None:
            g.connection = "open"
            local.connection = "open"

        local = threading.local()

        @checks.register(in_request=True)
        def sees_it() -> Found:
            assert (g.connection, local.connection) == ("open", "open")
            g.seen = True
            return []

        @checks.register
        def does_not() -> Found:
            return [checks.Info(str("connection" in g), id="x")]

        @app.after_request
        def after(response: Any) -> Any:
            response.headers["X-Seen"] = str(g.seen)
            return response

        answer = app.test_client().get("/__heartbeat__")
        assert answer.json["checks"] == {"sees_it": "ok", "does_not": "info"}
        assert answer.json["details"]["does_not"]["messages"] == {"x": "False"}
        assert answer.headers["X-Seen"] == "True"

    def test_a_check_that_needs_the_request_says_which_setting(self, app: Flask) -> None:
        app.before_request(lambda: setattr(g, "connection", []))
        checks.register(lambda: g.connection, name="asks")
        (text,) = app.test_client().get("/__heartbeat__").json["details"]["asks"][
            "messages"
        ].values()  # fmt: skip
        assert "AttributeError" in text
        assert "DOCKERFLOW_CHECKS_IN_REQUEST" in text
        app.config["DOCKERFLOW_CHECKS_IN_REQUEST"] = True
        assert levels(app) == {"asks": "ok"}

    def test_a_server_with_many_at_once_is_well(self, tmp_path: Path) -> None:
        source = """
import sqlalchemy, time
from dockerflow import checks
from dockerflow.flask import Dockerflow
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

app = Flask("shop", root_path=".")
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///db"
db = SQLAlchemy(app)
Dockerflow(app, db=db)
with app.app_context():
    sqlalchemy.event.listen(db.engine, "connect", lambda *_: time.sleep(0.02))
    sqlalchemy.event.listen(db.engine, "rollback", lambda *_: time.sleep(0.005))

def ask():
    db.session.execute(sqlalchemy.text("SELECT 1")).scalar()
    return []

async def async_ask():
    return ask()

for name in "abcd":
    checks.register_partial(ask, name=name)
checks.register(async_ask)
"""
        command = ["-m", "gunicorn", "-k", "gthread", "--threads", "4", "-b", "127.0.0.1:PORT",
                   "shop:app"]  # fmt: skip
        with serving(tmp_path, source, command) as stack:
            for _ in range(10):
                status, payload = stack.get("/__heartbeat__")
                assert status == 200, payload
            assert set(payload["checks"]) == {*"abcd", "async_ask", "check_database_connected"}


class TestExtensionObjects:
    """A check of db= or redis= counts for the extension's own applications."""

    @pytest.fixture
    def make_shop(self, tmp_path: Path) -> Iterator[Callable[[str], tuple[Flask, SQLAlchemy]]]:
        shops = []

        def make(name: str) -> tuple[Flask, SQLAlchemy]:
            app = Flask(name, root_path=str(tmp_path))
            app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path}/{name}.db"
            db = SQLAlchemy(app)
            Dockerflow(app, db=db)
            shops.append((app, db))
            return app, db

        yield make
        for app, db in shops:
            with app.app_context():
                db.engine.dispose()

    def test_two_applications_have_two_databases(
        self,
        make_shop: Callable[[str], tuple[Flask, SQLAlchemy]],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        first, db = make_shop("first")
        second, _ = make_shop("second")
        assert caplog.records == [], "both count: none takes the place of the other"
        assert list(checks.get_checks()) == ["check_database_connected"]
        assert levels(first) == levels(second) == {"check_database_connected": "ok"}

        def refuse(*_: Any) -> None:
            raise sa.exc.SQLAlchemyError("away")

        with first.app_context():
            sa.event.listen(db.engine, "do_connect", refuse)
            db.engine.dispose()
        assert levels(first) == {"check_database_connected": "error"}
        assert levels(second) == {"check_database_connected": "ok"}

    def test_one_for_two_applications_counts_in_both(self) -> None:
        dockerflow = Dockerflow(redis=redis.Redis(port=1))
        apps = [Flask("first"), Flask("second")]
        for app in apps:
            dockerflow.init_app(app)
        for app in apps:
            assert levels(app) == {"check_redis_connected": "error"}

    def test_they_count_nowhere_else(self, app: Flask) -> None:
        other = Flask("other")
        Dockerflow(other, redis=redis.Redis(port=1))
        checks.register(list, "for all")
        assert list(checks.get_checks()) == ["check_redis_connected", "for all"]
        assert levels(app) == {"for all": "ok"}
        assert levels(other) == {"check_redis_connected": "error", "for all": "ok"}
        core = DockerflowASGI(None)
        assert core._endpoints is not None
        assert core._endpoints.run_checks().statuses == {"for all": "ok"}

    def test_two_frameworks_have_checks_of_one_name(self) -> None:
        app = Flask("shop")
        Dockerflow(app, redis=redis.Redis(port=1))
        sanic = Sanic("checks-of-one-name")
        extension = SanicDockerflow(sanic, redis=redis.Redis(port=2))
        endpoints = sanic.ctx.dockerflow.endpoints
        assert [check.args[0] for _, check in endpoints.find_checks()] == [
            extension._own_checks["check_redis_connected"].args[0]
        ]
        assert levels(app) == {"check_redis_connected": "error"}

    def test_one_that_was_taken_away_counts_no_more(self) -> None:
        app = Flask("shop")
        Dockerflow(app, redis=redis.Redis(port=1))
        checks.get_checks().pop("check_redis_connected")
        assert levels(app) == {}

    def test_what_a_test_puts_in_place_of_get_checks_counts(
        self, app: Flask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        checks.register(list, "registered")
        monkeypatch.setattr(checks, "get_checks", lambda: {"replaced": list})
        assert levels(app) == {"replaced": "ok"}

    def test_a_users_check_of_the_same_name_takes_its_place(self) -> None:
        app = Flask("shop")
        Dockerflow(app, redis=redis.Redis(port=1))
        checks.register(list, "check_redis_connected")
        assert levels(app) == {"check_redis_connected": "ok"}
