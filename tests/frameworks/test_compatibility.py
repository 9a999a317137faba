"""Names and behaviour that services on upstream's package hold on to, where no other test is."""

import importlib
import importlib.metadata
import subprocess
import sys
from typing import Any
from unittest import mock

import pytest
import redis
from contract import Lines
from contract_django import quiet_django  # noqa: F401 - a fixture, and Django's settings
from django.apps import apps
from django.core import checks as django_checks
from django.core.exceptions import ImproperlyConfigured
from django.db.utils import OperationalError
from django.test import Client, RequestFactory, override_settings
from flask import Flask

from dockerflow import checks
from dockerflow.django import checks as builtin
from dockerflow.django import views
from dockerflow.django.middleware import DockerflowMiddleware
from dockerflow.flask import Dockerflow
from dockerflow.flask.app import HeartbeatFailure

MESSAGES = {
    "CRITICAL", "DEBUG", "ERROR", "INFO", "STATUSES", "WARNING", "CheckMessage", "Critical",
    "Debug", "Error", "Info", "Warning", "level_to_text",
}  # fmt: skip

NAMES = {
    "dockerflow.checks": MESSAGES
    | {
        "ChecksResults", "clear_checks", "get_checks", "register", "register_partial",
        "run_checks", "run_checks_async",
    },
    "dockerflow.checks.messages": MESSAGES,
    "dockerflow.checks.registry": {
        "ChecksResults", "clear_checks", "get_checks", "register", "register_partial",
        "run_checks", "run_checks_async",
    },
    "dockerflow.django": {"DockerflowMiddleware", "dockerflow_view"},
    "dockerflow.django.apps": {"DockerFlowAppConfig"},
    "dockerflow.django.checks": {
        "check_database_connected", "check_migrations_applied", "check_redis_connected", "register",
    },
    "dockerflow.django.middleware": {"DockerflowMiddleware"},
    "dockerflow.django.signals": {"heartbeat_failed", "heartbeat_passed"},
    "dockerflow.django.views": {"error", "heartbeat", "lbheartbeat", "version"},
    "dockerflow.fastapi": {"router"},
    "dockerflow.fastapi.middleware": {"MozlogRequestSummaryLogger", "RequestIdMiddleware"},
    "dockerflow.fastapi.views": {"error", "heartbeat", "lbheartbeat", "version", "get_version"},
    "dockerflow.flask": {"Dockerflow"},
    "dockerflow.flask.app": {"Dockerflow", "HeartbeatFailure", "has_flask_login"},
    "dockerflow.flask.checks": MESSAGES
    | {"check_database_connected", "check_migrations_applied", "check_redis_connected"},
    "dockerflow.flask.checks.messages": MESSAGES,
    "dockerflow.flask.signals": {"heartbeat_failed", "heartbeat_passed"},
    "dockerflow.logging": {
        "JsonLogFormatter", "MozlogFormatter", "MozlogHandler", "RequestIdLogFilter",
        "SafeJSONEncoder", "get_or_generate_request_id", "request_id_context",
        "safer_format_traceback",
    },
    "dockerflow.sanic": {"Dockerflow"},
    "dockerflow.sanic.checks": MESSAGES | {"check_redis_connected"},
    "dockerflow.version": {"get_version"},
}  # fmt: skip

factory = RequestFactory()


class TestNames:
    @pytest.mark.parametrize("module", NAMES)
    def test_names_are_importable(self, module: str) -> None:
        found = importlib.import_module(module)
        assert {name for name in NAMES[module] if not hasattr(found, name)} == set()

    @pytest.mark.parametrize("name", ["checks", "health", "logging", "version"])
    def test_names_of_submodules_need_no_import_of_their_own(self, name: str) -> None:
        source = f"import dockerflow; print(dockerflow.{name}.__name__)"
        done = subprocess.run(
            [sys.executable, "-c", source], check=True, capture_output=True, text=True, timeout=60
        )
        assert done.stdout == f"dockerflow.{name}\n"

    def test_names_of_the_extras_are_upstreams_and_all(self) -> None:
        extras = importlib.metadata.metadata("mozlog-py").get_all("Provides-Extra") or []
        assert {"all", "django", "fastapi", "flask", "sanic"} <= set(extras)
        required = importlib.metadata.requires("mozlog-py") or []
        everything = [each for each in required if 'extra == "all"' in each.replace("'", '"')]
        for name in ("django", "fastapi", "flask", "sanic"):
            assert any(each.startswith(name) for each in everything)


class TestFlask:
    @pytest.fixture
    def app(self) -> Flask:
        app = Flask("x")
        Dockerflow(app)
        return app

    def test_flask_has_a_blueprint_and_names_of_endpoints(self, app: Flask) -> None:
        assert set(app.blueprints) == {"dockerflow"}
        rules = {rule.endpoint: rule.rule for rule in app.url_map.iter_rules()}
        for name in ("version", "heartbeat", "lbheartbeat", "error"):
            assert rules[f"dockerflow.{name}"] == f"/__{name}__"

    def test_flask_has_one_record_of_a_heartbeat_that_fails(self, app: Flask, lines: Lines) -> None:
        checks.register(lambda: [checks.Error("no", id="x.E1")], name="one")
        assert app.test_client().get("/__heartbeat__").status_code == 500
        (line,) = lines.summaries
        assert (line["Severity"], line["Fields"]["code"]) == (6, 500)

    def test_flask_lets_an_application_handle_a_heartbeat_that_fails(self, app: Flask) -> None:
        @app.errorhandler(HeartbeatFailure)
        def handle(error: HeartbeatFailure) -> Any:
            response = error.get_response()
            response.headers["x-seen"] = str(response.status_code)
            return response

        checks.register(lambda: [checks.Error("no", id="x.E1")], name="one")
        answer = app.test_client().get("/__heartbeat__")
        assert (answer.status_code, answer.headers["x-seen"]) == (500, "500")
        assert answer.json is not None
        assert answer.json["status"] == "error"


@pytest.mark.slow
class TestDjangoChecks:
    @pytest.mark.parametrize(
        ("error", "number"), [(OperationalError, "E001"), (ImproperlyConfigured, "E003")]
    )
    def test_django_checks_tell_of_a_database_that_is_not_reached(
        self, error: Any, number: str
    ) -> None:
        with mock.patch("dockerflow.django.checks.connection") as connection:
            connection.ensure_connection.side_effect = error("postgres://me:hunter2@db")
            (message,) = builtin.check_database_connected([])
        assert type(message) is django_checks.Error
        assert message.id == f"dockerflow.health.{number}"

    def test_django_checks_tell_of_a_database_that_is_not_usable(self) -> None:
        with mock.patch("dockerflow.django.checks.connection") as connection:
            connection.is_usable.return_value = False
            (message,) = builtin.check_database_connected([])
        assert message.id == "dockerflow.health.E002"

    @pytest.mark.parametrize(
        ("error", "number"),
        [
            (redis.ConnectionError, "E004"),
            (NotImplementedError, "E005"),
            (ImproperlyConfigured, "E006"),
        ],
    )
    def test_django_checks_tell_of_a_redis_that_there_is_not(self, error: Any, number: str) -> None:
        with mock.patch("django_redis.get_redis_connection", side_effect=error("no")):
            (message,) = builtin.check_redis_connected([])
        assert type(message) is django_checks.Error
        assert message.id == f"dockerflow.health.{number}"

    @pytest.mark.parametrize(
        ("ping", "number"),
        [
            ({"return_value": False}, "E007"),
            ({"side_effect": redis.ConnectionError("no")}, "E004"),
            ({"side_effect": redis.TimeoutError("no")}, "E010"),
        ],
    )
    def test_django_checks_tell_of_a_redis_that_does_not_answer(
        self, ping: Any, number: str
    ) -> None:
        client = mock.Mock(ping=mock.Mock(**ping))
        with mock.patch("django_redis.get_redis_connection", return_value=client):
            (message,) = builtin.check_redis_connected([])
        assert type(message) is django_checks.Error
        assert message.id == f"dockerflow.health.{number}"

    def test_django_checks_are_the_first_two_where_no_setting_names_any(self) -> None:
        registered: list[Any] = []
        with mock.patch("dockerflow.django.checks.checks.register", registered.append):
            builtin.register()
        assert registered == [builtin.check_database_connected, builtin.check_migrations_applied]


class TestDjango:
    def test_django_has_upstreams_label(self) -> None:
        assert apps.get_app_config("dockerflow").name == "dockerflow.django"

    def test_django_has_patterns_that_a_subclass_adds_to(self) -> None:
        assert [view for _, view in DockerflowMiddleware.viewpatterns] == [
            views.version, views.heartbeat, views.lbheartbeat, views.error,
        ]  # fmt: skip
        for pattern, view in DockerflowMiddleware.viewpatterns:
            name = view.__name__
            assert pattern.match(f"/__{name}__")
            assert not pattern.match(f"/__{name}__\n")

    def test_django_asks_no_session_and_no_user(self, lines: Lines) -> None:
        request: Any = factory.get("/x")
        request.session = mock.MagicMock()
        middleware = DockerflowMiddleware()
        middleware.process_request(request)
        middleware.process_response(request, views.lbheartbeat(request))
        assert request.session.mock_calls == []
        assert lines.summary["uid"] == ""

    def test_django_puts_no_request_on_a_record_of_an_exception(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with override_settings(DOCKERFLOW_SUMMARY_LOG_QUERYSTRING=False):
            Client(raise_request_exception=False).get("/boom?secret=hunter2")
        (record,) = [each for each in caplog.records if each.name == "request.summary"]
        assert record.levelname == "ERROR"
        assert "hunter2" not in repr(vars(record))
