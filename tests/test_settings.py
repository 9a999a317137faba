"""Settings: their sources, their valid values, and the errors for invalid ones."""

import itertools
import logging
import os
import types
from collections.abc import Callable
from typing import Any
from unittest import mock

import fastapi
import flask
import pytest
import sanic
from conformance import Capture
from django.conf import LazySettings

import dockerflow.flask
import dockerflow.sanic
from dockerflow import settings
from dockerflow._request.app_state import live_options
from dockerflow.django import live_settings
from dockerflow.settings import NAMES, LiveSettings, Settings, SettingsError


class TestSettings:
    def test_settings_have_upstreams_defaults(self) -> None:
        settings = Settings.read({})
        assert settings == Settings()
        assert settings.heartbeat_failed_status_code == 500
        assert settings.request_id_header_name == "x-request-id"
        assert settings.summary_log_querystring is False
        assert (settings.heartbeat_cache_seconds, settings.heartbeat_max_waiting) == (1, 2)
        assert settings.check_timeout_seconds == 5
        assert (settings.heartbeat_details, settings.error_endpoint) == ("always", True)

    def test_settings_are_read_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DOCKERFLOW_CHECK_TIMEOUT_SECONDS", "2.5")
        monkeypatch.setenv("DOCKERFLOW_ERROR_ENDPOINT", "off")
        monkeypatch.setenv("DOCKERFLOW_HEARTBEAT_FAILED_STATUS_CODE", "503")
        settings = Settings.read()
        assert settings.check_timeout_seconds == 2.5
        assert settings.error_endpoint is False
        assert settings.heartbeat_failed_status_code == 503

    def test_settings_are_read_with_a_function(self) -> None:
        held = {"DOCKERFLOW_REQUEST_ID_HEADER_NAME": "X-Trace"}
        assert Settings.read(held.get).request_id_header_name == "X-Trace"

    def test_settings_that_are_none_have_their_defaults(self) -> None:
        assert Settings.read(dict.fromkeys(NAMES), heartbeat_details="debug") == Settings(
            heartbeat_details="debug"
        )

    @pytest.mark.parametrize("name", NAMES)
    def test_settings_that_are_empty_in_the_environment_have_their_defaults(
        self, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv(name, "")
        assert Settings.read() == Settings()

    @pytest.mark.parametrize("name", NAMES)
    def test_settings_that_are_empty_in_a_configuration_have_the_defaults_of_its_framework(
        self, name: str
    ) -> None:
        framework = {"heartbeat_details": "debug", "error_endpoint": False}
        assert Settings.read({name: ""}, **framework) == Settings(**framework)

    def test_settings_say_where_checks_run_and_what_a_summary_of_an_exception_has(self) -> None:
        settings = Settings()
        assert (settings.checks_in_request, settings.summary_traceback, settings.sentry) == (
            False, True, True,
        )  # fmt: skip
        settings = Settings.read(
            {
                "DOCKERFLOW_CHECKS_IN_REQUEST": "on",
                "DOCKERFLOW_SENTRY": "off",
                "DOCKERFLOW_SUMMARY_TRACEBACK": False,
            }
        )
        assert (settings.checks_in_request, settings.summary_traceback, settings.sentry) == (
            True, False, False,
        )  # fmt: skip

    @pytest.mark.parametrize("value", [True, 1, "1", "true", "YES", " on "])
    def test_settings_may_be_switched_on(self, value: Any) -> None:
        assert Settings.read({"DOCKERFLOW_SUMMARY_LOG_QUERYSTRING": value}).summary_log_querystring

    @pytest.mark.parametrize("value", [False, 0, "0", "False", "no", "off"])
    def test_settings_may_be_switched_off(self, value: Any) -> None:
        assert not Settings.read({"DOCKERFLOW_ERROR_ENDPOINT": value}).error_endpoint

    @pytest.mark.parametrize(
        ("name", "value", "allowed"),
        [
            ("ERROR_ENDPOINT", "maybe", "true or false"),
            ("ERROR_ENDPOINT", 2, "true or false"),
            ("ERROR_ENDPOINT", [], "true or false"),
            ("CHECK_TIMEOUT_SECONDS", 0, "above 0"),
            ("CHECK_TIMEOUT_SECONDS", "soon", "above 0"),
            ("CHECK_TIMEOUT_SECONDS", True, "above 0"),
            ("HEARTBEAT_CACHE_SECONDS", -1, "a number of seconds"),
            ("ERROR_LOG_SECONDS", "often", "a number of seconds up to 86,400, 0 for each call"),
            ("VERSION_MASK", "maybe", "true or false"),
            ("HEARTBEAT_CACHE_SECONDS", float("nan"), "a number of seconds"),
            ("HEARTBEAT_CACHE_SECONDS", 86_401, "up to 86,400"),
            ("CHECK_TIMEOUT_SECONDS", 86_401, "up to 86,400"),
            ("HEARTBEAT_MAX_WAITING", -1, "a whole number"),
            ("HEARTBEAT_MAX_WAITING", 1.5, "a whole number"),
            ("HEARTBEAT_MAX_WAITING", "two", "a whole number"),
            ("HEARTBEAT_MAX_WAITING", True, "a whole number"),
            ("HEARTBEAT_DETAILS", "sometimes", "always, levels, debug or never"),
            ("HEARTBEAT_FAILED_STATUS_CODE", 42, "from 200 to 599"),
            ("HEARTBEAT_FAILED_STATUS_CODE", "5xx", "from 200 to 599"),
            ("HEARTBEAT_FAILED_STATUS_CODE", True, "from 200 to 599"),
            ("REQUEST_ID_HEADER_NAME", "x request", "the name of a header"),
            ("REQUEST_ID_HEADER_NAME", "x:\r\ny", "the name of a header"),
            ("REQUEST_ID_HEADER_NAME", "Cookie", "X-Request-Id"),
            ("REQUEST_ID_CHARACTERS", "all", "safe, visible or any"),
            ("REQUEST_ID_CHOICE", "middle", "first, last, or the number of proxies"),
            ("REQUEST_ID_CHOICE", 0, "from 1 to 100"),
            ("REQUEST_ID_CHOICE", True, "from 1 to 100"),
            ("CHECKS_IN_REQUEST", " ", "true or false"),
            ("SENTRY", "maybe", "true or false"),
            ("SUMMARY_TRACEBACK", "short", "true or false"),
        ],
    )
    def test_settings_that_are_bad_say_what_is_allowed(
        self, name: str, value: Any, allowed: str
    ) -> None:
        with pytest.raises(SettingsError) as caught:
            Settings.read({f"DOCKERFLOW_{name}": value})
        assert f"DOCKERFLOW_{name} is {value!r}; it must be " in str(caught.value)
        assert allowed in str(caught.value)

    def test_settings_are_all_named(self) -> None:
        assert set(NAMES) == {
            "DOCKERFLOW_CHECKS",
            "DOCKERFLOW_CHECKS_IN_REQUEST",
            "DOCKERFLOW_CHECK_TIMEOUT_SECONDS",
            "DOCKERFLOW_ERROR_ENDPOINT",
            "DOCKERFLOW_ERROR_LOG_SECONDS",
            "DOCKERFLOW_HEARTBEAT_CACHE_SECONDS",
            "DOCKERFLOW_HEARTBEAT_DETAILS",
            "DOCKERFLOW_HEARTBEAT_FAILED_STATUS_CODE",
            "DOCKERFLOW_HEARTBEAT_MAX_WAITING",
            "DOCKERFLOW_REQUEST_ID_CHARACTERS",
            "DOCKERFLOW_REQUEST_ID_CHOICE",
            "DOCKERFLOW_REQUEST_ID_ECHO",
            "DOCKERFLOW_REQUEST_ID_HEADER_NAME",
            "DOCKERFLOW_REQUEST_ID_TRACEPARENT",
            "DOCKERFLOW_REQUEST_ID_TRUST",
            "DOCKERFLOW_SENTRY",
            "DOCKERFLOW_SUMMARY_LOG_QUERYSTRING",
            "DOCKERFLOW_SUMMARY_TRACEBACK",
            "DOCKERFLOW_VERSION_CALLBACK",
            "DOCKERFLOW_VERSION_MASK",
        }


def said_by(read: Callable[[], Any]) -> list[str]:
    """Return the log lines of reading settings twice."""
    capture = Capture()
    logger = logging.getLogger("dockerflow.settings")
    logger.addHandler(capture.handler)
    settings._warned.clear()
    try:
        read()
        read()
    finally:
        logger.removeHandler(capture.handler)
        settings._warned.clear()
    return [each["msg"] for each in capture.fields]


NEAR = [
    ("HEARTBEAT_DETAIL", "HEARTBEAT_DETAILS"),
    ("SUMMARY_LOG_QUERY_STRING", "SUMMARY_LOG_QUERYSTRING"),
    ("QUERYSTRING", "SUMMARY_LOG_QUERYSTRING"),
    ("CHECK_TIMEOUT", "CHECK_TIMEOUT_SECONDS"),
    ("HEARTBEAT_STATUS_CODE", "HEARTBEAT_FAILED_STATUS_CODE"),
    ("REQUEST_ID_HEADER", "REQUEST_ID_HEADER_NAME"),
    ("TRUST_REQUEST_ID", "REQUEST_ID_TRUST"),
    ("CHECK", "CHECKS"),
]


def by_environment(name: str, value: Any) -> None:
    with mock.patch.dict(os.environ, {name: str(value)}):
        Settings.read()


def by_flask(name: str, value: Any) -> None:
    app = flask.Flask("x")
    app.config[name] = value
    dockerflow.flask.Dockerflow(app)


def by_sanic(name: str, value: Any) -> None:
    app = sanic.Sanic(f"near-{next(_numbers)}")
    app.config[name] = value
    dockerflow.sanic.Dockerflow(app)


def by_fastapi(name: str, value: Any) -> None:
    app = fastapi.FastAPI()
    setattr(app.state, name, value)
    live_options(app, raises=True)


def by_starlettes_older_state(name: str, value: Any) -> None:
    live_options(types.SimpleNamespace(state=types.SimpleNamespace(**{name: value})))


def by_django(name: str, value: Any) -> None:
    configured = LazySettings()
    configured.configure(**({name: value} if name.isupper() else {}))
    with (
        mock.patch.object(live_settings, "settings", configured),
        mock.patch.object(live_settings, "_live", None),
        mock.patch.object(live_settings, "_made", (None, None)),
    ):
        live_settings.current_options()


def by_mapping(name: str, value: Any) -> None:
    Settings.read({name: value})


_numbers = itertools.count()
SOURCES = {
    "the environment": by_environment,
    "Flask's config": by_flask,
    "Sanic's config": by_sanic,
    "app.state": by_fastapi,
    "Django's settings": by_django,
    "the configuration": by_mapping,
}


class TestNearMisses:
    @pytest.mark.parametrize("where", SOURCES)
    def test_near_misses_get_one_warning_that_names_the_setting(self, where: str) -> None:
        name = "DOCKERFLOW_HEARTBEAT_DETAIL"
        assert said_by(lambda: SOURCES[where](name, "never")) == [
            f"{name} in {where} is not a setting of dockerflow; did you mean {name}S?"
        ]

    @pytest.mark.parametrize("where", SOURCES)
    def test_near_misses_are_neither_settings_nor_names_of_others(self, where: str) -> None:
        def read() -> None:
            for name, value in {
                "DOCKERFLOW_HEARTBEAT_DETAILS": "never", "DOCKERFLOW_VERSION": "1.2",
                "DOCKERFLOW_REDIS_URL": "redis://x", "DOCKERFLOW_SENTRY_DSN": "x",
                "DOCKERFLOW": "1", "WORKFLOW_CHECKS": "x", "CHECKS": "x", "DOCKER_HOST": "x",
            }.items():  # fmt: skip
                SOURCES[where](name, value)

        assert said_by(read) == []

    def test_near_misses_of_a_state_of_another_kind_are_seen(self) -> None:
        assert len(said_by(lambda: by_starlettes_older_state("DOCKERFLOW_CHECK", 1))) == 1

    @pytest.mark.parametrize(("written", "meant"), NEAR)
    @pytest.mark.parametrize(
        "prefix", ["DOCKERFLOW_", "dockerflow_", "DOCKER_FLOW_", "DOCKEFLOW_", "DOKCERFLOW_"]
    )
    def test_near_misses_may_be_near_in_many_ways(
        self, prefix: str, written: str, meant: str
    ) -> None:
        name = prefix + (written.lower() if prefix.islower() else written)
        (text,) = said_by(lambda: by_mapping(name, "1"))
        assert text.endswith(f"did you mean DOCKERFLOW_{meant}?")

    def test_near_misses_come_after_a_change_as_well(self) -> None:
        held: dict[str, Any] = {}
        live = LiveSettings(held.get, names=held.keys, where="x")

        def change() -> None:
            held["DOCKERFLOW_SENTRY"] = not held.get("DOCKERFLOW_SENTRY")
            held["DOCKERFLOW_CHECK"] = 1
            live()

        assert len(said_by(change)) == 1

    def test_near_misses_of_a_configuration_that_cannot_be_read_are_none(self) -> None:
        def fail() -> Any:
            yield "DOCKERFLOW_SENTRY"
            raise LookupError

        assert said_by(lambda: LiveSettings({}.get, names=fail)) == []


class TestLiveSettings:
    def test_live_settings_follow_what_changes(self) -> None:
        held: dict[str, Any] = {}
        live = LiveSettings(held.get, heartbeat_details="debug")
        before = live()
        assert before is live()
        held["DOCKERFLOW_SUMMARY_LOG_QUERYSTRING"] = True
        assert live() == Settings(summary_log_querystring=True, heartbeat_details="debug")

    def test_live_settings_that_are_bad_from_the_start_are_an_error(self) -> None:
        with pytest.raises(SettingsError):
            LiveSettings({"DOCKERFLOW_HEARTBEAT_DETAILS": "x"}.get)

    def test_live_settings_that_become_bad_are_logged_once_and_the_former_stay(self) -> None:
        held: dict[str, Any] = {"DOCKERFLOW_HEARTBEAT_DETAILS": "never"}
        live = LiveSettings(held.get)
        capture = Capture()
        logger = logging.getLogger("dockerflow.settings")
        logger.addHandler(capture.handler)
        try:
            held["DOCKERFLOW_HEARTBEAT_DETAILS"] = "sometimes"
            assert live().heartbeat_details == live().heartbeat_details == "never"
        finally:
            logger.removeHandler(capture.handler)
        (fields,) = capture.fields
        assert "DOCKERFLOW_HEARTBEAT_DETAILS is 'sometimes'" in fields["msg"]
