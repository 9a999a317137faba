"""Django: one response object that a view returns for several requests, also at a time."""

import asyncio
import logging
from typing import Any

from contract import Lines
from contract_django import (  # before what needs Django's settings
    get_asgi_application,
    quiet_django,  # noqa: F401 - a fixture
)
from django.core.signals import request_finished
from django.http import HttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.test import RequestFactory, override_settings
from django.urls import path
from drivers import ASGIDriver

from dockerflow.django import DockerflowMiddleware

logger = logging.getLogger("app")
factory = RequestFactory()
HEADER = "x-request-id"


def asked(request_id: str) -> Any:
    return factory.get("/", headers={HEADER: request_id})


class TestSharedResponses:
    def test_shared_responses_that_wait_to_be_sent_have_the_id_of_each_request(self) -> None:
        same = HttpResponse("same", headers={"X-Own": "1"})
        middleware = DockerflowMiddleware(lambda _: same)
        answers = [middleware(asked(name)) for name in ("r-1", "r-2", "r-3")]
        assert [answer.headers[HEADER] for answer in answers] == ["r-1", "r-2", "r-3"]
        assert {answer.headers["X-Own"] for answer in answers} == {"1"}
        assert {answer.content for answer in answers} == {b"same"}
        assert {answer.headers["Vary"] for answer in answers} == {HEADER}

    def test_shared_responses_of_asynchronous_views_do_as_well(self) -> None:
        same = HttpResponse("same", status=410)

        async def view(_: Any) -> Any:
            return same

        async def serve() -> list[Any]:
            middleware = DockerflowMiddleware(view)
            return [await middleware(asked(name)) for name in ("r-1", "r-2", "r-3")]

        answers = asyncio.run(serve())
        assert [answer.headers[HEADER] for answer in answers] == ["r-1", "r-2", "r-3"]
        assert {answer.status_code for answer in answers} == {410}

    def test_shared_responses_have_headers_cookies_and_closers_of_their_own(self) -> None:
        same = HttpResponse()
        same.set_cookie("common", "1")
        closed: list[str] = []

        def view(request: Any) -> Any:
            name = request.headers[HEADER]
            if name != "r-1":
                same._resource_closers.append(lambda: closed.append(name))
            return same

        middleware = DockerflowMiddleware(view)
        first, second = middleware(asked("r-1")), middleware(asked("r-2"))
        second.headers["X-Second"] = "2"
        second.set_cookie("second", "2")
        assert (first is same, second is same) == (True, False)
        assert "X-Second" not in first.headers
        assert (set(first.cookies), set(second.cookies)) == ({"common"}, {"common", "second"})
        assert "common=1" in second.cookies.output()
        first.close()
        assert (closed, first.closed, second.closed) == ([], True, False)
        third = middleware(asked("r-3"))
        second.close()
        third.close()
        assert closed == ["r-2", "r-3"]

    def test_shared_responses_keep_an_id_that_the_view_has_set(self) -> None:
        same = HttpResponse(headers={HEADER: "mine"})
        middleware = DockerflowMiddleware(lambda _: same)
        answers = [middleware(asked(name)) for name in ("r-1", "r-2")]
        assert [answer.headers[HEADER] for answer in answers] == ["mine", "mine"]

    def test_shared_responses_of_templates_keep_what_tests_look_at(self) -> None:
        with override_settings(
            TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
        ):
            template = engines["django"].from_string("{{ total }}")
            same = TemplateResponse(asked("r-0"), template, {"total": 3}).render()
        middleware = DockerflowMiddleware(lambda _: same)
        middleware(asked("r-1"))
        answer = middleware(asked("r-2"))
        assert (answer.content, answer.context_data) == (b"3", {"total": 3})

    def test_shared_responses_under_asgi_leave_no_id_when_they_are_closed(
        self, lines: Lines
    ) -> None:
        def finished(**_: Any) -> None:
            logger.info("finished")

        async def serve() -> None:
            is_answered, is_other_over = asyncio.Event(), asyncio.Event()
            app = get_asgi_application()

            async def slow_to_read(scope: Any, receive: Any, send: Any) -> None:
                async def send_late(message: Any) -> None:
                    if message["type"] == "http.response.start":
                        is_answered.set()
                        await asyncio.wait_for(is_other_over.wait(), 60)
                    await send(message)

                await app(scope, receive, send_late)

            first = asyncio.create_task(
                ASGIDriver(slow_to_read).request_async("GET", "/same", headers=[(HEADER, "r-1")])
            )
            await asyncio.wait_for(is_answered.wait(), 60)
            second = ASGIDriver(app).request_async("GET", "/same", headers=[(HEADER, "r-2")])
            answers = [await second]
            is_other_over.set()
            answers.append(await first)
            assert [answer.header(HEADER) for answer in answers] == ["r-2", "r-1"]
            assert [answer.left for answer in answers] == [{}, {}]

        # Django's middleware has connected a receiver that leaves the request before this one.
        request_finished.connect(finished)
        try:
            with override_settings(ROOT_URLCONF=__name__):
                asyncio.run(serve())
        finally:
            request_finished.disconnect(finished)
        assert [line.get("rid") for line in lines.of("app")] == [None, None]


SAME = HttpResponse("same")


async def same(request: Any) -> HttpResponse:
    return SAME


urlpatterns = [path("same", same)]
