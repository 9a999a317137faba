"""The contract, and upstream's surface, of the Django adapter."""

import asyncio
import gc
import logging
import threading
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from conformance import Capture
from contract import Contract, Lines
from contract_django import (  # before what needs Django's settings
    MIDDLEWARE,
    get_asgi_application,
    get_wsgi_application,
    quiet_django,  # noqa: F401 - a fixture
)
from django.contrib.auth import get_user
from django.core.checks import run_checks
from django.core.exceptions import PermissionDenied
from django.core.signals import got_request_exception
from django.http import FileResponse, Http404, HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory, override_settings
from django.urls import path
from django.utils.functional import SimpleLazyObject
from drivers import Answer, ASGIDriver, Driver, WSGIDriver

from dockerflow import checks
from dockerflow.asgi import DockerflowASGI
from dockerflow.checks._run.slots import Slots
from dockerflow.django import DockerflowMiddleware, dockerflow_view, signals, views
from dockerflow.django.checks import check_database_connected, check_redis_connected, register
from dockerflow.request_id import RequestIdPolicy
from dockerflow.settings import SettingsError
from dockerflow.wsgi import DockerflowWSGI
from mozlog_py import context


class Overriding(Driver):
    """A driver whose application has settings of its own."""

    def __init__(self, inner: Driver, overrides: dict[str, Any]) -> None:
        self.inner = inner
        self.overrides = overrides

    def request(self, method: str, path: str, **options: Any) -> Answer:
        with override_settings(**self.overrides):
            return self.inner.request(method, path, **options)


def overrides(folder: Path, given: dict[str, Any] | None) -> dict[str, Any]:
    return {"BASE_DIR": folder, "DOCKERFLOW_HEARTBEAT_DETAILS": "always", **(given or {})}


class TestContract(Contract):
    def make(self, folder: Path, settings: dict[str, Any] | None = None) -> Driver:
        return Overriding(WSGIDriver(get_wsgi_application()), overrides(folder, settings))


class TestAsyncContract(Contract):
    def test_a_stream_that_fails_has_the_status_that_was_sent(
        self, driver: Driver, lines: Lines
    ) -> None:
        with warnings.catch_warnings():
            # Django leaves the request's body open then.
            warnings.simplefilter("ignore", ResourceWarning)
            super().test_a_stream_that_fails_has_the_status_that_was_sent(driver, lines)
            gc.collect()

    # Django answers 400 to other queries over ASGI, before it asks any middleware.
    takes_any_query = False

    def make(self, folder: Path, settings: dict[str, Any] | None = None) -> Driver:
        return Overriding(ASGIDriver(get_asgi_application()), overrides(folder, settings))


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


factory = RequestFactory()


class TestClientOfTests:
    def test_client_of_tests_has_the_summary_when_it_has_the_response(
        self, client: Client, lines: Lines
    ) -> None:
        response = client.get("/", headers={"x-request-id": "r1"})
        assert response.headers["x-request-id"] == "r1"
        assert lines.summary["rid"] == "r1"

    def test_client_of_tests_gets_an_exception(self, lines: Lines) -> None:
        with pytest.raises(ValueError, match="boom"):
            Client().get("/boom")
        assert (lines.summary["errno"], lines.summary["code"]) == (500, 500)

    def test_client_of_tests_has_the_summary_of_a_stream_after_its_end(
        self, client: Client, lines: Lines
    ) -> None:
        response = client.get("/stream")
        assert lines.summaries == []
        assert b"".join(response.streaming_content) == b"abc"  # type: ignore[attr-defined]
        assert lines.summary["parts"] == 3
        assert context.get() == {}

    def test_client_of_tests_has_the_summary_of_a_file(self, lines: Lines, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"content")

        def get_response(request: Any) -> Any:
            return FileResponse((tmp_path / "file").open("rb"))

        response = DockerflowMiddleware(get_response)(factory.get("/file"))
        assert lines.summaries == []
        assert b"".join(response.streaming_content) == b"content"
        response.close()
        assert lines.summary["code"] == 200


def reporting_drivers() -> list[Any]:
    """Return ways to serve the project, with a layer of ours around it and without."""
    return [
        pytest.param(lambda: WSGIDriver(get_wsgi_application()), id="wsgi"),
        pytest.param(lambda: ASGIDriver(get_asgi_application()), id="asgi"),
        pytest.param(lambda: WSGIDriver(DockerflowWSGI(get_wsgi_application())), id="around-wsgi"),
        pytest.param(lambda: ASGIDriver(DockerflowASGI(get_asgi_application())), id="around-asgi"),
    ]


class TestReported:
    @pytest.mark.parametrize("make", reporting_drivers())
    @pytest.mark.parametrize(("status", "errno"), [(404, 0), (400, 0), (500, 500), (503, 500)])
    def test_an_exception_that_other_code_reports_and_answers_is_an_error_from_500_on(
        self, make: Any, status: int, errno: int, lines: Lines
    ) -> None:
        assert make().get(f"/reported/{status}").status == status
        assert (lines.summary["code"], lines.summary["errno"]) == (status, errno)
        assert ("error" in lines.summary) == (errno == 500)

    def test_an_exception_that_django_reports_behind_other_code_is_an_error(
        self, lines: Lines
    ) -> None:
        with override_settings(ROOT_URLCONF=__name__):
            assert WSGIDriver(get_wsgi_application()).get("/reported-and-failing").status == 404
        assert (lines.summary["code"], lines.summary["errno"]) == (404, 500)

    def test_a_reported_exception_makes_no_cycle(self, lines: Lines) -> None:
        driver = WSGIDriver(get_wsgi_application())

        def cyclic_objects(where: str) -> int:
            driver.get(where)
            gc.collect()
            driver.get(where)
            return gc.collect()

        gc.disable()
        try:
            assert cyclic_objects("/reported/404") == cyclic_objects("/missing")
        finally:
            gc.enable()

    def test_an_exception_that_django_reports_is_an_error_whatever_its_status(
        self, lines: Lines
    ) -> None:
        with override_settings(ROOT_URLCONF=__name__):
            assert WSGIDriver(get_wsgi_application()).get("/failing").status == 404
        assert (lines.summary["code"], lines.summary["errno"]) == (404, 500)


class TestByHand:
    def test_by_hand_makes_a_summary(self, lines: Lines) -> None:
        middleware = DockerflowMiddleware()
        request: Any = factory.get("/x", headers={"user-agent": "me", "x-request-id": "r1"})
        assert middleware.process_request(request) is None
        assert request._id == "r1"
        assert isinstance(request._start_timestamp, float)
        assert context.get() == {"rid": "r1"}
        assert middleware.process_response(request, HttpResponse(status=201)).status_code == 201
        middleware.process_response(request, HttpResponse())
        assert context.get() == {}
        assert (lines.summary["rid"], lines.summary["agent"], lines.summary["code"]) == (
            "r1", "me", 201,
        )  # fmt: skip

    def test_by_hand_takes_no_response(self, lines: Lines) -> None:
        middleware = DockerflowMiddleware(lambda request: HttpResponse())
        request = factory.get("/x")
        middleware.process_request(request)
        assert middleware.process_response(request, None) is None
        assert lines.summary["errno"] == 0

    def test_by_hand_makes_a_summary_of_an_exception(self, lines: Lines) -> None:
        middleware = DockerflowMiddleware()
        request: Any = factory.get("/x")
        middleware.process_request(request)
        middleware.process_exception(request, ValueError("boom"))
        middleware.process_response(request, HttpResponse(status=500))
        assert request._has_exception
        assert (lines.summary["errno"], lines.summary["msg"]) == (500, "boom")

    def test_by_hand_makes_no_error_of_a_404(self, lines: Lines) -> None:
        middleware = DockerflowMiddleware()
        request: Any = factory.get("/x")
        middleware.process_request(request)
        middleware.process_exception(request, Http404())
        middleware.process_response(request, HttpResponse(status=404))
        assert (lines.summary["errno"], lines.summary["code"]) == (0, 404)

    def test_by_hand_serves_the_endpoints(self) -> None:
        response = DockerflowMiddleware().process_request(factory.get("/__lbheartbeat__"))
        assert response.status_code == 200

    def test_by_hand_does_without_what_others_deleted(self, lines: Lines) -> None:
        middleware = DockerflowMiddleware()
        request: Any = factory.get("/x", headers={"x-request-id": "r1"})
        middleware.process_request(request)
        del request._start_timestamp, request._id
        middleware.process_response(request, HttpResponse())
        assert "t" not in lines.summary
        assert lines.summary["rid"] == "r1"

    def test_by_hand_gives_the_fields(self) -> None:
        fields = DockerflowMiddleware()._build_extra_meta(factory.get("/y"))
        assert {"errno", "agent", "lang", "method", "path", "rid", "t", "uid"} <= set(fields)
        assert context.get() == {}

    def test_by_hand_takes_the_fields_of_a_subclass(self, lines: Lines) -> None:
        class Mine(DockerflowMiddleware):
            def _build_extra_meta(self, request: Any) -> dict[str, Any]:
                return {**super()._build_extra_meta(request), "team": "x"}

        Mine(lambda request: HttpResponse(status=202))(factory.get("/y"))
        assert (lines.summary["team"], lines.summary["code"]) == ("x", 202)

    def test_by_hand_survives_a_subclass_that_fails(self, lines: Lines) -> None:
        class Mine(DockerflowMiddleware):
            def _build_extra_meta(self, request: Any) -> dict[str, Any]:
                raise RuntimeError

        Mine(lambda request: HttpResponse())(factory.get("/y"))
        assert lines.summary["code"] == 200
        assert len(lines.of("dockerflow.django")) == 1

    def test_by_hand_has_a_policy_of_a_subclass(self, lines: Lines) -> None:
        class Mine(DockerflowMiddleware):
            request_id = RequestIdPolicy("x-mine", validator=str.isdigit, generator=lambda: "made")

        middleware = Mine(lambda request: HttpResponse())
        assert middleware(factory.get("/", headers={"x-mine": "12"})).headers["x-mine"] == "12"
        middleware(factory.get("/", headers={"x-mine": "ab"}))
        assert [line["Fields"]["rid"] for line in lines.summaries] == ["12", "made"]

    def test_installed_twice_makes_one_summary(self, client: Client, lines: Lines) -> None:
        with override_settings(MIDDLEWARE=MIDDLEWARE * 2):
            assert client.get("/").status_code == 200
        assert lines.summary["code"] == 200

    def test_by_hand_logs_a_bug_of_another_middleware(self, lines: Lines, client: Client) -> None:
        with override_settings(MIDDLEWARE=[*MIDDLEWARE, f"{__name__}.broken_middleware"]):
            client.get("/")
        assert (lines.summary["errno"], lines.summary["msg"]) == (500, "middleware")

    def test_by_hand_sees_what_another_middleware_made_of_an_exception(
        self, lines: Lines, client: Client
    ) -> None:
        with override_settings(MIDDLEWARE=[*MIDDLEWARE, f"{__name__}.mending_middleware"]):
            assert client.get("/boom").status_code == 209
        assert (lines.summary["errno"], lines.summary["code"]) == (0, 209)


def broken_middleware(get_response: Any) -> Any:
    def serve(request: Any) -> Any:
        raise RuntimeError("middleware")

    return serve


class Overridden(DockerflowMiddleware):
    """As upstream's class, whose methods Django's ``MiddlewareMixin`` calls."""

    def process_request(self, request: Any) -> Any:
        if request.path_info == "/refused":
            return HttpResponse(status=403)
        if request.path_info == "/broken":
            raise ValueError("own")
        return super().process_request(request)

    def process_response(self, request: Any, response: Any) -> Any:
        response.headers["X-Own"] = "1"
        if request.path_info == "/__lbheartbeat__":
            return response
        what = request.GET.get("what")
        if what == "refuse":
            raise PermissionDenied
        response = super().process_response(request, response)
        if what == "fail":
            raise ValueError("behind")
        if what == "missing":
            raise Http404
        if what == "twice":
            response = super().process_response(request, response)
        if what == "replace":
            response = HttpResponse("in its place", status=203)
        logging.getLogger("app").info("processed")
        return response


@pytest.fixture(params=[WSGIDriver, ASGIDriver], ids=["wsgi", "asgi"])
def overridden(request: pytest.FixtureRequest) -> Any:
    with override_settings(MIDDLEWARE=[f"{__name__}.Overridden"]):
        make = get_wsgi_application if request.param is WSGIDriver else get_asgi_application
        yield request.param(make())


class TestOverriddenMethods:
    """Upstream's ``process_request`` and ``process_response`` are called for each request."""

    def test_overridden_methods_see_each_request(self, overridden: Driver, lines: Lines) -> None:
        for where, status in (("/", 200), ("/nowhere", 404), ("/__version__", 404), ("/boom", 500)):
            answer = overridden.get(where)
            assert (answer.status, answer.header("x-own")) == (status, "1")
            assert answer.header("x-request-id") == lines.summaries[-1]["Fields"]["rid"]
            assert lines.summaries[-1]["Fields"]["code"] == status
        assert len(lines.summaries) == 4

    def test_overridden_methods_answer_a_request_before_the_application(
        self, overridden: Driver, lines: Lines
    ) -> None:
        assert overridden.get("/refused").status == 403
        assert (lines.summary["code"], lines.summary["path"]) == (403, "/refused")

    def test_overridden_methods_that_raise_are_one_error(
        self, overridden: Driver, lines: Lines
    ) -> None:
        assert overridden.get("/broken").status == 500
        (line,) = lines.summaries
        assert (line["Severity"], line["Fields"]["msg"], line["Fields"]["code"]) == (3, "own", 500)

    @pytest.mark.parametrize(
        ("what", "status", "errno"),
        [
            ("nothing", 200, 0),
            ("twice", 200, 0),
            ("replace", 203, 0),
            ("missing", 404, 0),
            ("refuse", 403, 0),
            ("fail", 500, 500),
        ],
    )
    @pytest.mark.parametrize("where", ["/", "/stream"])
    def test_overridden_process_response_decides_what_the_summary_is_about(
        self, overridden: Driver, lines: Lines, where: str, what: str, status: int, errno: int
    ) -> None:
        asked = [("X-Request-Id", "r1")]
        answer = overridden.get(where, query=f"what={what}", headers=asked)
        assert (answer.status, answer.header("x-request-id")) == (status, "r1")
        summary = lines.summary
        assert (summary["code"], summary["errno"], summary["rid"]) == (status, errno, "r1")
        assert len(lines.summaries) == 1
        processed = [line for line in lines.all if line["Fields"].get("msg") == "processed"]
        assert [line["Fields"]["rid"] for line in processed] == ["r1"] * (status < 300)
        assert context.request_id_context.get() is None

    def test_overridden_process_request_that_returns_a_false_value_goes_on(
        self, lines: Lines
    ) -> None:
        class Mine(DockerflowMiddleware):
            def process_request(self, request: Any) -> Any:
                return False

        assert Mine(lambda request: HttpResponse())(factory.get("/")).status_code == 200
        assert lines.summary["code"] == 200

    def test_overridden_methods_may_leave_the_summary_out(
        self, overridden: Driver, lines: Lines
    ) -> None:
        answer = overridden.get("/__lbheartbeat__", headers=[("X-Request-Id", "r1")])
        assert (answer.status, answer.header("x-request-id")) == (200, "r1")
        assert lines.summaries == []
        assert overridden.get("/").header("x-request-id") == lines.summary["rid"] != "r1"


class mending_middleware:
    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        return self.get_response(request)

    def process_exception(self, request: Any, exception: Exception) -> HttpResponse:
        return HttpResponse(status=209)


class User:
    pk: Any = 3
    is_authenticated: Any = True


class TestUser:
    def uid(self, lines: Lines, user: Any) -> Any:
        def get_response(request: Any) -> HttpResponse:
            request.user = user
            return HttpResponse()

        DockerflowMiddleware(get_response)(factory.get("/"))
        return lines.summary["uid"]

    @pytest.mark.parametrize(
        ("members", "shown"),
        [
            ({}, 3),
            ({"pk": 0}, 0),
            ({"pk": "ann"}, "ann"),
            ({"pk": None}, ""),
            ({"pk": 1.5}, "1.5"),
            ({"is_authenticated": False}, ""),
            ({"is_authenticated": lambda self: False}, ""),
            ({"is_authenticated": lambda self: True}, 3),
            ({"pk": property(lambda self: 1 / 0)}, ""),
            ({"is_authenticated": property(lambda self: 1 / 0)}, ""),
        ],
    )
    def test_user_of_any_kind_does_no_harm(
        self, lines: Lines, members: dict[str, Any], shown: Any
    ) -> None:
        assert self.uid(lines, type("Odd", (User,), members)()) == shown

    def test_user_that_is_not_loaded_is_not_loaded(self, lines: Lines) -> None:
        load = mock.Mock()
        assert self.uid(lines, SimpleLazyObject(load)) == ""
        assert load.mock_calls == []

    def test_user_that_is_loaded_is_there(self, lines: Lines) -> None:
        user = SimpleLazyObject(User)
        assert user.pk == 3
        assert self.uid(lines, user) == 3

    def test_user_that_was_loaded_elsewhere_is_there(self, lines: Lines) -> None:
        def get_response(request: Any) -> HttpResponse:
            request.user = SimpleLazyObject(lambda: get_user(request))
            request._acached_user = User()
            return HttpResponse()

        DockerflowMiddleware(get_response)(factory.get("/"))
        assert lines.summary["uid"] == 3


class TestSettings:
    def test_settings_that_are_bad_stop_the_start(self) -> None:
        from dockerflow.django import live_settings

        with (
            mock.patch.object(live_settings, "_live", None),
            mock.patch.object(live_settings, "_made", (None, None)),
            override_settings(DOCKERFLOW_HEARTBEAT_DETAILS="sometimes"),
            pytest.raises(SettingsError, match="DOCKERFLOW_HEARTBEAT_DETAILS"),
        ):
            DockerflowMiddleware(lambda request: HttpResponse())

    def test_settings_may_be_overridden_while_it_runs(self, client: Client, lines: Lines) -> None:
        with override_settings(DOCKERFLOW_SUMMARY_LOG_QUERYSTRING=True):
            client.get("/?a=b")
        client.get("/?a=b")
        assert [line["Fields"].get("querystring") for line in lines.summaries] == ["a=b", None]


class TestViews:
    def test_details_are_for_debugging(self, client: Client) -> None:
        assert set(client.get("/__heartbeat__").json()) == {"status"}
        with override_settings(DEBUG=True):
            payload = client.get("/__heartbeat__").json()
        assert payload["checks"]["check_all_models"] == "ok"
        assert payload["checks"]["check_database_connected"] == "ok"

    def test_system_checks_can_be_silenced(self, client: Client) -> None:
        checks.register(lambda: [checks.Error("no", id="x.E1")], name="one")
        assert client.get("/__heartbeat__").status_code == 500
        with override_settings(SILENCED_SYSTEM_CHECKS=["x.E1"]):
            assert client.get("/__heartbeat__").status_code == 200

    def test_signals_are_sent(self, client: Client) -> None:
        got: list[Any] = []

        def passed(sender: Any, level: int, **kwargs: Any) -> None:
            got.append((sender, level))
            raise RuntimeError

        signals.heartbeat_passed.connect(passed)
        signals.heartbeat_failed.connect(passed)
        try:
            assert client.get("/__heartbeat__").status_code == 200
            checks.register(lambda: [checks.Critical("no", id="x.E1")], name="one")
            assert client.get("/__heartbeat__").status_code == 500
        finally:
            signals.heartbeat_passed.disconnect(passed)
            signals.heartbeat_failed.disconnect(passed)
        assert [sender for sender, _ in got] == [views.heartbeat] * 2
        assert got[1][1] == 50

    def test_signals_say_nothing_of_checks_without_an_outcome(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        got: list[int] = []

        def failed(level: int, **kwargs: Any) -> None:
            got.append(level)

        checks.register(list, name="one")
        monkeypatch.setattr(Slots, "_acquire", lambda *_: None)
        signals.heartbeat_failed.connect(failed)
        try:
            assert client.get("/__heartbeat__").status_code == 503
        finally:
            signals.heartbeat_failed.disconnect(failed)
        assert got == []

    def test_unapplied_migrations_are_a_warning(self, client: Client) -> None:
        with override_settings(DEBUG=True):
            details = client.get("/__heartbeat__").json()["details"]
        assert details["check_migrations_applied"]["status"] == "warning"
        assert set(details["check_migrations_applied"]["messages"]) == {"dockerflow.health.W001"}

    def test_views_of_probes_need_no_allowed_host_and_are_not_redirected(
        self, client: Client
    ) -> None:
        security = "django.middleware.security.SecurityMiddleware"
        common = "django.middleware.common.CommonMiddleware"
        with override_settings(
            ALLOWED_HOSTS=["shop.example"],
            MIDDLEWARE=[*MIDDLEWARE, security, common],
            SECURE_SSL_REDIRECT=True,
        ):
            by_pod = {"HTTP_HOST": "10.0.0.7:8000"}
            assert client.get("/__lbheartbeat__", **by_pod).status_code == 200
            assert "status" in client.get("/__heartbeat__", **by_pod).json()
            assert client.get("/other", **by_pod).status_code == 400

    def test_the_version_has_a_callback(self, client: Client, tmp_path: Path) -> None:
        overridden = {"DOCKERFLOW_VERSION_CALLBACK": f"{__name__}.version", "BASE_DIR": "/b"}
        with override_settings(**overridden):
            assert client.get("/__version__").json() == {"root": "/b"}
        with mock.patch("dockerflow.version.get_version", version):
            assert client.get("/__version__").status_code == 200

    def test_a_check_gets_the_settings(self, client: Client) -> None:
        @checks.register
        def limited(config: Any) -> list[Any]:
            return [checks.Info(config.SECRET_KEY, id="x.I1")]

        with override_settings(DOCKERFLOW_HEARTBEAT_DETAILS="always"):
            details = client.get("/__heartbeat__").json()["details"]
        assert details["limited"]["messages"] == {"x.I1": "of tests"}

    def test_a_view_serves_what_its_path_names(self, client: Client, lines: Lines) -> None:
        with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[]):
            assert client.get("/api/__lbheartbeat__").status_code == 200
            assert client.get("/api/__version__").status_code == 404
            assert client.get("/other").status_code == 404
            assert client.post("/api/__lbheartbeat__").status_code == 405

    def test_lbheartbeat_answers_while_every_thread_is_busy(self) -> None:
        held, answers = threading.Event(), []

        async def main() -> None:
            from asgiref.sync import sync_to_async

            # Django's views share one thread, in which this one waits.
            busy = asyncio.create_task(sync_to_async(held.wait)())
            await asyncio.sleep(0)
            driver = ASGIDriver(get_asgi_application())
            answers.append(await driver.request_async("GET", "/__lbheartbeat__"))
            held.set()
            await busy

        asyncio.run(main())
        assert [answer.status for answer in answers] == [200]


def version(root: Any) -> dict[str, str]:
    return {"root": str(root)}


def failing(request: Any) -> HttpResponse:
    raise LookupError("failing")


def reported_and_failing(request: Any) -> HttpResponse:
    try:
        raise LookupError("failing")
    except LookupError:
        got_request_exception.send(Overridden, request=request)
        raise


def handler500(request: Any) -> HttpResponse:
    """Answer each exception that nothing has handled, as Django's own view of this name."""
    return HttpResponse("sorry", status=404)


urlpatterns = [
    path("failing", failing),
    path("reported-and-failing", reported_and_failing),
    path("api/__lbheartbeat__", dockerflow_view, name="dockerflow-lbheartbeat"),
    path("api/__version__", dockerflow_view, name="dockerflow-version"),
    path("__lbheartbeat__", dockerflow_view),
    path("other", dockerflow_view),
]


def test_check_redis_connected_has_upstreams_text_where_there_is_no_client() -> None:
    pytest.importorskip("django_redis")
    refusal = NotImplementedError("no client")
    with mock.patch("django_redis.get_redis_connection", side_effect=refusal):
        (message,) = check_redis_connected(None)
    assert (message.msg, message.id) == (
        "Redis client not available: no client",
        "dockerflow.health.E005",
    )


def around_middleware(get_response: Any) -> Any:
    middleware = DockerflowMiddleware(get_response)
    return lambda request: middleware(request)


class TestInstallation:
    def ids(self) -> list[str | None]:
        return [each.id for each in run_checks() if "dockerflow" in (each.id or "")]

    def test_installation_says_nothing_where_it_serves(self) -> None:
        assert "dockerflow.django.W001" not in self.ids()

    def test_installation_says_that_it_does_not_serve(self) -> None:
        with override_settings(MIDDLEWARE=["django.middleware.common.CommonMiddleware", "no.such"]):
            (found,) = [each for each in run_checks() if each.id == "dockerflow.django.W001"]
        assert "DockerflowMiddleware" in (found.hint or "")

    def test_installation_is_content_with_urls(self) -> None:
        with override_settings(MIDDLEWARE=[], ROOT_URLCONF=__name__):
            assert "dockerflow.django.W001" not in self.ids()

    def test_installation_is_no_check_of_a_heartbeat(self, client: Client) -> None:
        """One that is asked for is served, here by a function around the middleware."""
        with override_settings(MIDDLEWARE=[f"{__name__}.around_middleware"], DEBUG=True):
            assert "dockerflow.django.W001" in self.ids()
            payload = client.get("/__heartbeat__").json()
        assert "check_database_backends" in payload["checks"]
        assert "check_installation" not in payload["checks"]
        assert "dockerflow.django.W001" not in str(payload["details"])

    def test_installation_registers_the_checks_of_the_settings(self) -> None:
        from django.core.checks.registry import registry

        name = f"{__name__}.own_check"
        with override_settings(DOCKERFLOW_CHECKS=[name]):
            register()
        try:
            assert own_check in registry.registered_checks
        finally:
            registry.registered_checks.remove(own_check)
        with override_settings(DOCKERFLOW_CHECKS=["no.such"]), pytest.raises(ImportError):
            register()

    @pytest.mark.parametrize(
        ("given", "names"),
        [
            ("shop.checks.up", "['shop.checks.up']"),
            ("shop.checks.up, shop.checks.db", "['shop.checks.up', 'shop.checks.db']"),
            (b"shop.checks.up", "['dockerflow.django.checks.check_database_connected', "),
            (7, "['dockerflow.django.checks.check_database_connected', "),
            (register, "['dockerflow.django.checks.check_database_connected', "),
        ],
    )
    def test_installation_refuses_checks_that_are_no_list(self, given: Any, names: str) -> None:
        with override_settings(DOCKERFLOW_CHECKS=given), pytest.raises(SettingsError) as raised:
            register()
        wanted = f"DOCKERFLOW_CHECKS is {given!r}; it must be a list of dotted names: {names}"
        assert str(raised.value).startswith(wanted)

    @pytest.mark.parametrize("given", [None, ""])
    def test_installation_registers_the_default_checks_for_a_setting_without_a_value(
        self, given: Any
    ) -> None:
        from django.core.checks.registry import registry

        with override_settings(DOCKERFLOW_CHECKS=given):
            register()
        assert check_database_connected in registry.registered_checks

    def test_installation_logs_where_it_is_told(self) -> None:
        capture = Capture()
        middleware = DockerflowMiddleware(lambda request: HttpResponse())
        middleware.summary_logger = capture.logger
        middleware(factory.get("/"))
        assert capture.fields[0]["code"] == 200


def own_check(app_configs: Any, **kwargs: Any) -> list[Any]:
    return []


class TestInsideOfACore:
    @pytest.mark.parametrize("lacks", ["request_ids", "summaries", "neither"])
    @pytest.mark.parametrize("kind", ["asgi", "wsgi"])
    def test_one_request_has_one_id_and_one_summary(
        self, lines: Lines, kind: str, lacks: str, tmp_path: Path
    ) -> None:
        """What the core around Django leaves out, the middleware gives to the same request."""
        options: dict[str, Any] = {} if lacks == "neither" else {lacks: False}
        if kind == "asgi":
            app: Any = DockerflowASGI(get_asgi_application(), endpoints=False, **options)
            driver: Driver = ASGIDriver(app)
        else:
            app = DockerflowWSGI(get_wsgi_application(), endpoints=False, **options)
            driver = WSGIDriver(app)
        driver = Overriding(driver, overrides(tmp_path, None))
        answer = driver.get("/", headers=[("User-Agent", "me")])
        assert answer.status == 200
        assert lines.summary["rid"] == answer.header("x-request-id")
        assert (lines.summary["agent"], lines.summary["code"]) == ("me", 200)
        assert {fields["rid"] for fields in lines.of("app")} == {lines.summary["rid"]}


class TestStreamsThatFail:
    """The server logs the exception of a stream behind the request's context."""

    def shown(self, error: BaseException) -> dict[str, Any]:
        capture = Capture()
        capture.logger.error("in the server", exc_info=error)
        (fields,) = capture.fields
        return fields

    def test_streams_that_fail_have_the_id_in_the_line_of_the_server(self, lines: Lines) -> None:
        def parts() -> Any:
            yield b"a"
            raise ValueError("no rows")

        request = RequestFactory().get("/", headers={"X-Request-Id": "r-1"})
        middleware = DockerflowMiddleware(lambda _: StreamingHttpResponse(parts()))
        with pytest.raises(ValueError, match="no rows") as raised:
            [*middleware(request)]
        assert lines.summary["rid"] == "r-1"
        assert self.shown(raised.value)["rid"] == "r-1"

    def test_streams_that_fail_asynchronously_do_as_well(self, lines: Lines) -> None:
        async def parts() -> Any:
            yield b"a"
            raise ValueError("no rows")

        async def view(_: Any) -> Any:
            return StreamingHttpResponse(parts())

        async def serve() -> None:
            request = RequestFactory().get("/", headers={"X-Request-Id": "r-2"})
            async for _ in await DockerflowMiddleware(view)(request):
                pass

        with pytest.raises(ValueError, match="no rows") as raised:
            asyncio.run(serve())
        assert lines.summary["rid"] == "r-2"
        assert self.shown(raised.value)["rid"] == "r-2"


class TestTokens:
    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "BREW"])
    def test_tokens_are_not_asked_for_where_an_endpoint_is_off(self, method: str) -> None:
        from django.middleware.csrf import CsrfViewMiddleware

        with override_settings(DOCKERFLOW_ERROR_ENDPOINT=False):
            request = RequestFactory(enforce_csrf_checks=True).generic(method, "/__error__")
            for view in (dockerflow_view, views.error):
                middleware = CsrfViewMiddleware(view)
                refusal = middleware.process_view(request, view, (), {})
                assert refusal is None
                assert view(request).status_code == 404
