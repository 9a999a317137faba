"""The contract, and upstream's surface, of the Sanic adapter."""

import asyncio
import gc
import weakref
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from conformance import Capture
from contract import Contract, Lines
from contract_sanic import (
    application,
    bare,
    driver_of,
    loop,  # noqa: F401 - a fixture
    numbers,
    quiet_sanic,  # noqa: F401 - a fixture
)
from drivers import ASGIDriver
from sanic import HTTPResponse, Request, Sanic, response
from sanic.exceptions import NotFound

from dockerflow import checks, health
from dockerflow.request_id import RequestIdPolicy
from dockerflow.sanic import Dockerflow
from dockerflow.sanic.app import extract_request_id
from dockerflow.sanic.checks import check_redis_connected
from dockerflow.sanic.served_request import ServedRequest
from dockerflow.settings import SettingsError
from mozlog_py.context import request_id_context

# Of Sanic itself, and of what it is built on.
pytestmark = pytest.mark.filterwarnings("ignore:websockets:DeprecationWarning")


class TestContract(Contract):
    # Sanic raises for others over ASGI, before it asks any middleware.
    longest_path = 60_000
    takes_any_query = False

    def make(self, folder: Path, settings: dict[str, Any] | None = None) -> ASGIDriver:
        return driver_of(application(folder, settings))


class TestApplication:
    def test_application_that_catches_all_exceptions_itself_has_dealt_with_them(
        self, lines: Lines
    ) -> None:
        app = application()

        @app.exception(Exception)
        async def handler(request: Request, exception: Exception) -> HTTPResponse:
            return response.text("sorry", 503)

        assert driver_of(app).get("/boom").body == b"sorry"
        (line,) = lines.summaries
        assert (line["Severity"], line["Fields"]["code"], line["Fields"]["errno"]) == (6, 503, 0)

    def test_application_that_mends_an_exception_has_no_error(self, lines: Lines) -> None:
        app = application()

        @app.exception(ValueError)
        async def handler(request: Request, exception: Exception) -> HTTPResponse:
            return response.text("mended", 202)

        driver_of(app).get("/boom")
        assert (lines.summary["code"], lines.summary["errno"]) == (202, 0)

    def test_application_is_told_what_is_wrong_with_a_setting(self) -> None:
        with pytest.raises(SettingsError, match="DOCKERFLOW_HEARTBEAT_DETAILS"):
            application(settings={"DOCKERFLOW_HEARTBEAT_DETAILS": "sometimes"})

    def test_application_finds_upstreams_names(self, lines: Lines) -> None:
        app = application()
        seen: list[Any] = []

        @app.get("/seen")
        async def see(request: Request) -> HTTPResponse:
            seen.append((request.ctx.id, request.ctx.start_timestamp, request.ctx.logged))
            del request.ctx.start_timestamp
            return response.empty()

        driver_of(app).get("/seen", headers=[("x-request-id", "r1")])
        ((request_id, started, logged),) = seen
        assert (request_id, type(started), logged) == ("r1", float, False)
        assert "t" not in lines.summary
        assert lines.summary["rid"] == "r1"
        names = {route.name.partition(".")[2] for route in app.router.routes}
        for name in ("version", "heartbeat", "lbheartbeat", "error"):
            assert f"dockerflow.{name}" in names

    def test_application_has_its_own_hooks(self, lines: Lines) -> None:
        class Mine(Dockerflow):
            def summary_extra(self, request: Request) -> dict[str, Any]:
                return {**super().summary_extra(request), "team": "x"}

        capture = Capture()
        extension = Mine(request_id=RequestIdPolicy(generator=lambda: "mine"))
        extension.summary_logger = capture.logger
        driver_of(application(extension=extension)).get("/")
        (fields,) = capture.fields
        assert (fields["team"], fields["rid"], fields["code"]) == ("x", "mine", 200)

    @pytest.mark.parametrize("is_async", [False, True])
    def test_application_has_a_version_callback(self, is_async: bool) -> None:
        extension = Dockerflow(version_path="/here")

        def version(root: str) -> Any:
            return {"root": root}

        async def version_async(root: str) -> Any:
            return version(root)

        extension.version_callback(version_async if is_async else version)
        answer = driver_of(application(extension=extension)).get("/__version__")
        assert answer.body == b'{"root":"/here"}'

    @pytest.mark.parametrize("module", ["dockerflow", "dockerflow.sanic.app"])
    def test_application_reads_the_version_that_a_test_has_put_in_place_before_it(
        self, module: str
    ) -> None:
        with mock.patch(f"{module}.version.get_version", return_value={"version": "1"}):
            extension = Dockerflow()
        answer = driver_of(application(extension=extension)).get("/__version__")
        assert answer.body == b'{"version":"1"}'

    def test_application_gives_its_configuration_to_checks(self) -> None:
        @checks.register
        def limited(config: Any) -> list[Any]:
            return [checks.Info(str(config.LIMIT), id="x.I1")]

        driver = driver_of(application(settings={"LIMIT": 7}))
        assert b'"x.I1":"7"' in driver.get("/__heartbeat__").body

    def test_application_keeps_its_deprecated_names(self) -> None:
        extension = Dockerflow(redis=object())
        with pytest.warns(
            DeprecationWarning, match=r"^`dockerflow.checks` is .*get_checks\(\)` instead"
        ):
            assert set(extension.checks) == {"check_redis_connected"}
        with pytest.warns(
            DeprecationWarning, match=r"^`dockerflow.check\(\)` is .*register\(\)` instead"
        ):
            extension.check(name="one")(list)
        with pytest.warns(
            DeprecationWarning, match=r"^`dockerflow.init_check\(\)`.*_partial\(\)` instead"
        ):
            extension.init_check(check_of, 1)
        assert set(checks.get_checks()) == {"check_redis_connected", "one", "check_of"}


def check_of(checked: Any) -> list[Any]:
    return []


@pytest.mark.slow
class TestMemory:
    def test_a_request_does_not_keep_those_before_it(self) -> None:
        driver = driver_of(application())

        def kept() -> int:
            gc.collect()
            return sum(type(each) is ServedRequest for each in gc.get_objects())

        async def serve_many() -> int:
            before = kept()
            # In one task, and so in one context, which lives on.
            for _ in range(20):
                await driver.request_async("GET", "/")
            return kept() - before

        assert driver.run(serve_many()) < 5

    # Sanic sets a policy, which asyncio has deprecated in 3.14.
    @pytest.mark.filterwarnings("ignore:'asyncio.*olicy' is deprecated:DeprecationWarning")
    def test_a_request_of_sanics_own_server_ends_without_the_garbage_collector(self) -> None:
        app = application()
        ended: list[weakref.ref[Request]] = []

        @app.get("/weak")
        async def weak(request: Request) -> HTTPResponse:
            ended.append(weakref.ref(request))
            return response.text("")

        @app.get("/weak-boom")
        async def weak_boom(request: Request) -> HTTPResponse:
            ended.append(weakref.ref(request))
            raise NotFound("nothing")

        gc.disable()
        try:
            for path in ("/weak", "/nowhere", "/weak", "/weak-boom"):
                app.test_client.get(path, gather_request=False)
            assert [each() for each in ended] == [None, None, None]
        finally:
            gc.enable()


class TestNames:
    def test_the_id_of_a_request_can_be_extracted_by_hand(self) -> None:
        app = application()
        seen: list[Any] = []

        @app.get("/by-hand")
        async def by_hand(request: Request) -> HTTPResponse:
            request.ctx.id = None
            extract_request_id(request)
            seen.append((request.ctx.id, request_id_context.get()))
            return response.empty()

        driver_of(app).get("/by-hand", headers=[("x-request-id", "r1")])
        assert seen == [("r1", "r1")]

    def test_a_summary_logger_that_a_test_has_patched_is_heard(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        heard: list[Any] = []
        extension = Dockerflow()
        driver = driver_of(application(extension=extension))
        monkeypatch.setattr(
            extension.summary_logger, "info", lambda *args, **options: heard.append(options)
        )
        driver.get("/", headers=[("x-request-id", "r1")])
        assert [options["extra"]["rid"] for options in heard] == ["r1"]

    def test_the_class_of_an_application_is_called_as_before(self) -> None:
        class Mine(Sanic):  # type: ignore[type-arg]  # before 23.6 it takes none
            __slots__ = ()

        app = Mine(f"mine-{next(numbers)}", configure_logging=False)
        Dockerflow(app)
        assert isinstance(app, Mine)
        assert (type(app).__name__, type(app).__qualname__) == ("Mine", Mine.__qualname__)

    def test_an_exception_of_a_replaced_version_callback_is_the_applications(
        self, lines: Lines
    ) -> None:
        extension = Dockerflow()

        def fails(root: str) -> None:
            raise RuntimeError("no version today")

        extension._version_callback = fails
        assert driver_of(application(extension=extension)).get("/__version__").status == 500
        (line,) = lines.summaries
        assert (line["Severity"], line["Fields"]["error"]) == (
            3, "RuntimeError('no version today')",
        )  # fmt: skip

    @pytest.mark.parametrize("name", ["version", "heartbeat", "lbheartbeat", "error"])
    def test_one_slash_may_follow_an_endpoint(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "version.json").write_text("{}")
        driver = driver_of(application(tmp_path))
        status = 500 if name == "error" else 200
        assert driver.get(f"/__{name}__/").status == status
        assert driver.get(f"/__{name}__//").status == 404
        strict = bare()
        strict.strict_slashes = True
        Dockerflow(strict, version_path=str(tmp_path))
        assert driver_of(strict).get(f"/__{name}__/").status == 404


class Client:
    """A client of Redis, of a kind that says what the server has sent."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def ping(self) -> Any:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "is_fine"),
    [(b"PONG", True), ("PONG", True), (True, True), (b"PING", False), (b"", False), (None, False)],
)
def test_a_redis_that_answers_something_else_than_pong_is_an_error(
    answer: Any, is_fine: bool
) -> None:
    messages = asyncio.run(check_redis_connected(Client(answer)))
    expected = [] if is_fine else [health.ERROR_REDIS_PING_FAILED]
    assert [message.id for message in messages] == expected
