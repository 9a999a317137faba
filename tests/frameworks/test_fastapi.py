"""The contract, and upstream's surface, of the FastAPI adapter."""

import asyncio
import logging
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from conformance import checked_lines
from contract import Contract, Lines
from contract_asgi import failure_of_start, serve
from contract_fastapi import application
from drivers import ASGIDriver
from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import PlainTextResponse, Response

from dockerflow import checks
from dockerflow.fastapi import router, views
from dockerflow.fastapi.middleware import MozlogRequestSummaryLogger, RequestIdMiddleware
from dockerflow.request_id import RequestIdPolicy
from dockerflow.summary import add_fields


@pytest.fixture(autouse=True)
def unconfigured_summaries() -> Any:
    summaries = logging.getLogger("request.summary")
    before = summaries.handlers[:], summaries.level, summaries.propagate
    yield
    summaries.handlers[:], summaries.propagate = before[0], before[2]
    summaries.setLevel(before[1])


class TestContract(Contract):
    slash_status = 307
    lbheartbeat_body = b'{"status":"ok"}'

    def make(self, folder: Path, settings: dict[str, Any] | None = None) -> ASGIDriver:
        return ASGIDriver(application(folder, settings))


class TestRouter:
    def test_router_serves_with_and_without_a_prefix(self, lines: Lines, tmp_path: Path) -> None:
        app = application(tmp_path)
        app.include_router(router, prefix="/v2")
        driver = ASGIDriver(app)
        for path in ("/__lbheartbeat__", "/v2/__lbheartbeat__"):
            assert driver.get(path).body == b'{"status":"ok"}'
        assert [line["Fields"]["path"] for line in lines.summaries] == [
            "/__lbheartbeat__", "/v2/__lbheartbeat__",
        ]  # fmt: skip

    def test_router_serves_in_a_mounted_application(self, lines: Lines, tmp_path: Path) -> None:
        outer, inner = FastAPI(), application(tmp_path)
        outer.mount("/api", inner)
        outer.add_middleware(MozlogRequestSummaryLogger)
        outer.add_middleware(RequestIdMiddleware)
        driver = ASGIDriver(outer)
        assert driver.get("/api/__lbheartbeat__").status == 200
        assert driver.get("/api/where").body == b"/where"
        # What a path under a root_path is for, Starlette has seen in two ways.
        paths = [line["Fields"]["path"] for line in lines.summaries]
        assert paths == ["/api/__lbheartbeat__", "/api/where"]

    def test_router_is_in_the_documentation_once(self) -> None:
        app = FastAPI()
        app.include_router(router)
        app.include_router(router, prefix="/v2")
        # Who looks after the service knows of the fourth.
        names = ("version", "heartbeat", "lbheartbeat")
        assert {path: list(methods) for path, methods in app.openapi()["paths"].items()} == {
            f"{prefix}/__{name}__": ["get"] for name in names for prefix in ("", "/v2")
        }

    def test_router_reads_the_version_of_the_environment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "version.json").write_text('{"version": "env"}')
        app = application(tmp_path)
        del app.state.APP_DIR
        monkeypatch.setenv("APP_DIR", str(tmp_path))
        assert ASGIDriver(app).get("/__version__").body == b'{"version":"env"}'

    def test_router_finds_what_tests_put_in_place_of_get_version(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(views, "get_version", lambda root: {"root": root})
        answer = ASGIDriver(application(tmp_path)).get("/__version__")
        assert answer.body == f'{{"root":"{tmp_path}"}}'.encode()

    def test_router_gives_its_state_to_checks(self, tmp_path: Path) -> None:
        app = application(tmp_path, {"limit": 7})

        @checks.register
        def limited(config: Any) -> list[Any]:
            return [checks.Info(str(config.limit), id="x.I1")]

        assert b'"x.I1":"7"' in ASGIDriver(app).get("/__heartbeat__").body

    def test_router_needs_no_thread_for_lbheartbeat(self, tmp_path: Path) -> None:
        import anyio.to_thread

        app, answers = application(tmp_path), []
        held = threading.Event()

        async def main() -> None:
            threads = anyio.to_thread.current_default_thread_limiter()
            busy = [
                asyncio.create_task(anyio.to_thread.run_sync(held.wait))
                for _ in range(int(threads.total_tokens))
            ]
            while threads.available_tokens:
                await asyncio.sleep(0)
            answers.append(await ASGIDriver(app).request_async("GET", "/__lbheartbeat__"))
            held.set()
            await asyncio.gather(*busy)

        asyncio.run(main())
        assert [answer.status for answer in answers] == [200]


class TestSettings:
    def test_settings_may_change_while_it_runs(self, lines: Lines, tmp_path: Path) -> None:
        app = application(tmp_path)
        driver = ASGIDriver(app)
        driver.get("/", query="a=b")
        app.state.DOCKERFLOW_SUMMARY_LOG_QUERYSTRING = True
        app.state.DOCKERFLOW_REQUEST_ID_HEADER_NAME = "x-other"
        driver.get("/", query="a=b", headers=[("x-other", "r2")])
        first, second = (line["Fields"] for line in lines.summaries)
        assert "querystring" not in first
        assert (second["querystring"], second["rid"]) == ("a=b", "r2")

    def test_settings_that_are_bad_stop_the_start(self, tmp_path: Path) -> None:
        app = application(tmp_path, {"DOCKERFLOW_HEARTBEAT_DETAILS": "sometimes"})
        assert "DOCKERFLOW_HEARTBEAT_DETAILS is 'sometimes'" in failure_of_start(app)

    def test_settings_that_are_bad_do_not_stop_a_request(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        app = application(tmp_path, {"DOCKERFLOW_HEARTBEAT_DETAILS": "sometimes"})
        assert ASGIDriver(app).get("/").status == 200
        (said,) = lines.of("dockerflow.settings")
        assert "DOCKERFLOW_HEARTBEAT_DETAILS is 'sometimes'" in said["msg"]

    def test_settings_are_not_needed(self, lines: Lines) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await PlainTextResponse("x")(scope, receive, send)

        # As a middleware around something that is no FastAPI application.
        serve(RequestIdMiddleware(MozlogRequestSummaryLogger(app)))
        assert lines.summary["code"] == 200


class TestMiddleware:
    def test_middleware_without_ids_there_is_no_rid(
        self, caplog: pytest.LogCaptureFixture, tmp_path: Path
    ) -> None:
        app = FastAPI()
        app.add_middleware(MozlogRequestSummaryLogger)
        ASGIDriver(app).get("/")
        # No level is set: summaries are logged all the same.
        (record,) = [each for each in caplog.records if each.name == "request.summary"]
        assert vars(record)["rid"] is None

    @pytest.mark.parametrize("is_reversed", [False, True])
    def test_any_order_will_do(self, lines: Lines, is_reversed: bool) -> None:
        app = FastAPI()
        both: list[Any] = [MozlogRequestSummaryLogger, RequestIdMiddleware]
        for each in reversed(both) if is_reversed else both:
            app.add_middleware(each)
        ASGIDriver(app).get("/", headers=[("x-request-id", "r1")])
        assert lines.summary["rid"] == "r1"

    def test_a_policy_of_ones_own_is_used(self, lines: Lines) -> None:
        app = FastAPI()
        app.add_middleware(MozlogRequestSummaryLogger)
        app.add_middleware(
            RequestIdMiddleware, request_id=RequestIdPolicy(generator=lambda: "mine")
        )
        ASGIDriver(app).get("/")
        assert lines.summary["rid"] == "mine"

    def test_a_request_passes_one_layer_where_the_two_meet(self) -> None:
        app = FastAPI()
        outer = RequestIdMiddleware(MozlogRequestSummaryLogger(app))
        assert outer.app is app

    def test_what_stands_between_the_two_stays_there(self, lines: Lines) -> None:
        app, passed = FastAPI(), []

        class Between:
            def __init__(self, app: Any) -> None:
                self.app = app

            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                passed.append(scope["path"])
                await self.app(scope, receive, send)

        for each in (MozlogRequestSummaryLogger, Between, RequestIdMiddleware):
            app.add_middleware(each)  # type: ignore[arg-type]
        ASGIDriver(app).get("/a", headers=[("x-request-id", "r1")])
        assert passed == ["/a"]
        assert (lines.summary["rid"], lines.summary["code"]) == ("r1", 404)

    def test_another_kind_of_summary_middleware_stays_there(self, lines: Lines) -> None:
        class Tagging(MozlogRequestSummaryLogger):
            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                add_fields(tag="mine")
                await super().__call__(scope, receive, send)

        app = FastAPI()
        app.add_middleware(Tagging)
        app.add_middleware(RequestIdMiddleware)
        ASGIDriver(app).get("/")
        assert lines.summary["tag"] == "mine"

    def test_a_hook_gets_the_times_of_the_request(self, lines: Lines) -> None:
        class Timed(MozlogRequestSummaryLogger):
            def _format(self, scope: Any, info: Any) -> dict[str, Any]:
                took = info["end_time"] - info["start_time"]
                return {**super()._format(scope, info), "took": took, "end": info["end_time"]}

        app = FastAPI()
        app.add_middleware(Timed)

        # The summary of an error waits for the application's end, and the times do not.
        @app.get("/busy")
        def busy(tasks: BackgroundTasks) -> Response:
            tasks.add_task(time.sleep, 0.05)
            return Response(status_code=503)

        for path in ("/", "/busy"):
            ASGIDriver(app).get(path)
            summary = lines.summaries[-1]["Fields"]
            assert abs(summary["took"] * 1000 - summary["t"]) <= 1
            assert isinstance(summary["end"], float)

    def test_a_logger_that_a_subclass_sets_is_used(self, lines: Lines) -> None:
        class Own(MozlogRequestSummaryLogger):
            def __init__(self, app: Any) -> None:
                super().__init__(app)
                assert self.logger is logging.getLogger("request.summary")
                self.logger = logging.getLogger("mine")

        app = FastAPI()
        app.add_middleware(Own)
        ASGIDriver(app).get("/")
        assert (lines.summaries, len(lines.of("mine"))) == ([], 1)

    def test_a_hook_that_fails_leaves_the_summary(self, lines: Lines) -> None:
        class Failing(MozlogRequestSummaryLogger):
            def _format(self, scope: Any, info: Any) -> dict[str, Any]:
                raise RuntimeError("boom")

        app = FastAPI()
        app.add_middleware(Failing)
        ASGIDriver(app).get("/")
        assert (lines.summary["code"], lines.summary["errno"]) == (404, 0)
        (logged,) = lines.of("dockerflow")
        assert (logged["msg"], logged["error"]) == (
            "A hook for the fields of a request's summary raised; its fields are left out",
            "RuntimeError('boom')",
        )

    @pytest.mark.parametrize("has_ids", [False, True])
    def test_a_logger_of_ones_own_is_used(self, lines: Lines, has_ids: bool) -> None:
        app = FastAPI()
        app.add_middleware(MozlogRequestSummaryLogger, logger=logging.getLogger("mine"))
        if has_ids:
            app.add_middleware(RequestIdMiddleware)
        ASGIDriver(app).get("/")
        assert lines.summaries == []
        assert lines.of("mine")[0]["code"] == 404

    def test_a_background_task_that_fails_leaves_the_status(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        app = application(tmp_path)

        def fail() -> None:
            raise ValueError("later")

        @app.get("/later")
        async def later(tasks: BackgroundTasks) -> dict[str, int]:
            tasks.add_task(fail)
            return {}

        answer = ASGIDriver(app).get("/later")
        assert isinstance(answer.error, ValueError)
        assert (answer.status, lines.summary["code"], lines.summary["errno"]) == (200, 200, 0)


CONFIGURED = """
import asyncio, logging, sys
sys.path.insert(0, {tests!r})
from drivers import ASGIDriver
from fastapi import FastAPI
from dockerflow.fastapi.middleware import MozlogRequestSummaryLogger, RequestIdMiddleware

def request():
    app = FastAPI()
    app.add_middleware(MozlogRequestSummaryLogger)
    ASGIDriver(app).get("/a")

request()
request()
{configuration}
request()
"""


class TestStdout:
    def run(self, configuration: str) -> list[str]:
        source = CONFIGURED.format(tests=str(Path(__file__).parent), configuration=configuration)
        done = subprocess.run(
            [sys.executable, "-c", source], capture_output=True, check=True, timeout=120
        )
        assert done.stderr == b""
        return [line["Logger"] for line in checked_lines(done.stdout)]

    def test_stdout_has_the_summaries_when_no_handler_is_configured(self) -> None:
        assert self.run("") == ["Dockerflow"] * 3

    @pytest.mark.parametrize(
        "where", ["logging.getLogger()", "logging.getLogger('request.summary')"]
    )
    def test_stdout_has_them_once_when_a_handler_is_configured(self, where: str) -> None:
        configuration = (
            f"import mozlog_py; {where}.addHandler(mozlog_py.MozlogHandler(None, 'own'))"
        )
        assert self.run(configuration) == ["Dockerflow", "Dockerflow", "own"]

    def test_stdout_has_them_in_a_test_too(self, capsys: pytest.CaptureFixture[str]) -> None:
        app = FastAPI()
        app.add_middleware(MozlogRequestSummaryLogger)
        ASGIDriver(app).get("/a")
        (line,) = checked_lines(capsys.readouterr().out)
        assert line["Type"] == "request.summary"
