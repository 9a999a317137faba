"""Settings: where they are read from, what they may be, and what a bad one says."""

import logging
from typing import Any

import pytest
from conformance import Capture

from dockerflow.settings import NAMES, LiveSettings, Settings, SettingsError


class TestSettings:
    def test_have_upstreams_defaults(self) -> None:
        settings = Settings.read({})
        assert settings == Settings()
        assert settings.heartbeat_failed_status_code == 500
        assert settings.request_id_header_name == "x-request-id"
        assert settings.summary_log_querystring is False
        assert settings.heartbeat_cache_seconds == 0
        assert settings.check_timeout_seconds == 5
        assert (settings.heartbeat_details, settings.error_endpoint) == ("always", True)

    def test_are_read_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DOCKERFLOW_CHECK_TIMEOUT_SECONDS", "2.5")
        monkeypatch.setenv("DOCKERFLOW_ERROR_ENDPOINT", "off")
        monkeypatch.setenv("DOCKERFLOW_HEARTBEAT_FAILED_STATUS_CODE", "503")
        settings = Settings.read()
        assert settings.check_timeout_seconds == 2.5
        assert settings.error_endpoint is False
        assert settings.heartbeat_failed_status_code == 503

    def test_are_read_with_a_function(self) -> None:
        held = {"DOCKERFLOW_REQUEST_ID_HEADER_NAME": "X-Trace"}
        assert Settings.read(held.get).request_id_header_name == "X-Trace"

    def test_that_are_none_have_their_defaults(self) -> None:
        assert Settings.read(dict.fromkeys(NAMES), heartbeat_details="debug") == Settings(
            heartbeat_details="debug"
        )

    @pytest.mark.parametrize("name", NAMES)
    def test_that_are_empty_in_the_environment_have_their_defaults(
        self, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv(name, "")
        assert Settings.read() == Settings()

    @pytest.mark.parametrize("name", NAMES)
    def test_that_are_empty_in_a_configuration_have_the_defaults_of_its_framework(
        self, name: str
    ) -> None:
        framework = {"heartbeat_details": "debug", "error_endpoint": False}
        assert Settings.read({name: ""}, **framework) == Settings(**framework)

    def test_say_where_checks_run_and_what_a_summary_of_an_exception_has(self) -> None:
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
    def test_may_be_switched_on(self, value: Any) -> None:
        assert Settings.read({"DOCKERFLOW_SUMMARY_LOG_QUERYSTRING": value}).summary_log_querystring

    @pytest.mark.parametrize("value", [False, 0, "0", "False", "no", "off"])
    def test_may_be_switched_off(self, value: Any) -> None:
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
            ("HEARTBEAT_CACHE_SECONDS", float("nan"), "a number of seconds"),
            ("HEARTBEAT_DETAILS", "sometimes", "always, debug or never"),
            ("HEARTBEAT_FAILED_STATUS_CODE", 42, "from 200 to 599"),
            ("HEARTBEAT_FAILED_STATUS_CODE", "5xx", "from 200 to 599"),
            ("HEARTBEAT_FAILED_STATUS_CODE", True, "from 200 to 599"),
            ("REQUEST_ID_HEADER_NAME", "x request", "the name of a header"),
            ("REQUEST_ID_HEADER_NAME", "x:\r\ny", "the name of a header"),
            ("CHECKS_IN_REQUEST", " ", "true or false"),
            ("SENTRY", "maybe", "true or false"),
            ("SUMMARY_TRACEBACK", "short", "true or false"),
        ],
    )
    def test_that_are_bad_say_what_is_allowed(self, name: str, value: Any, allowed: str) -> None:
        with pytest.raises(SettingsError) as caught:
            Settings.read({f"DOCKERFLOW_{name}": value})
        assert f"DOCKERFLOW_{name} is {value!r}; it must be " in str(caught.value)
        assert allowed in str(caught.value)

    def test_are_all_named(self) -> None:
        assert set(NAMES) == {
            "DOCKERFLOW_CHECKS",
            "DOCKERFLOW_CHECKS_IN_REQUEST",
            "DOCKERFLOW_CHECK_TIMEOUT_SECONDS",
            "DOCKERFLOW_ERROR_ENDPOINT",
            "DOCKERFLOW_HEARTBEAT_CACHE_SECONDS",
            "DOCKERFLOW_HEARTBEAT_DETAILS",
            "DOCKERFLOW_HEARTBEAT_FAILED_STATUS_CODE",
            "DOCKERFLOW_REQUEST_ID_ECHO",
            "DOCKERFLOW_REQUEST_ID_HEADER_NAME",
            "DOCKERFLOW_REQUEST_ID_TRACEPARENT",
            "DOCKERFLOW_REQUEST_ID_TRUST",
            "DOCKERFLOW_SENTRY",
            "DOCKERFLOW_SUMMARY_LOG_QUERYSTRING",
            "DOCKERFLOW_SUMMARY_TRACEBACK",
            "DOCKERFLOW_VERSION_CALLBACK",
        }


class TestLiveSettings:
    def test_follow_what_changes(self) -> None:
        held: dict[str, Any] = {}
        live = LiveSettings(held.get, heartbeat_details="debug")
        before = live()
        assert before is live()
        held["DOCKERFLOW_SUMMARY_LOG_QUERYSTRING"] = True
        assert live() == Settings(summary_log_querystring=True, heartbeat_details="debug")

    def test_that_are_bad_from_the_start_are_an_error(self) -> None:
        with pytest.raises(SettingsError):
            LiveSettings({"DOCKERFLOW_HEARTBEAT_DETAILS": "x"}.get)

    def test_that_become_bad_are_logged_once_and_the_former_stay(self) -> None:
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
