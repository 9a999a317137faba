"""Django: streams with a status of 400 or more, about which Django logs a line of its own."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from contract import Lines
from contract_django import (  # before what needs Django's settings
    get_asgi_application,
    get_wsgi_application,
    quiet_django,  # noqa: F401 - a fixture
)
from django.http import HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory, override_settings
from django.urls import path
from drivers import ASGIDriver, Driver, WSGIDriver

from dockerflow.django import DockerflowMiddleware
from mozlog_py import context

logger = logging.getLogger("app")
HEADER = "x-request-id"


def parts() -> Iterator[str]:
    logger.info("part")
    yield "a"


async def parts_async() -> Any:
    for part in parts():
        yield part


def stream(request: Any) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts(), status=404)


def stream_async(request: Any) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts_async(), status=503)


def calls(request: Any) -> HttpResponse:
    """Return what an inner request has of a stream that nothing reads."""
    answer = Client(raise_request_exception=False).get("/stream", headers={HEADER: "inner"})
    logger.info("back")
    answer.close()
    return HttpResponse(answer.headers[HEADER])


urlpatterns = [
    path("stream", stream),
    path("stream-async", stream_async),
    path("calls", calls),
]


@pytest.fixture
def heard_django(quiet_django: None) -> None:  # noqa: F811 - the fixture of that name
    for name in ("django", "django.request"):
        logging.getLogger(name).disabled = False


@pytest.mark.usefixtures("heard_django")
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
class TestStreamsOfErrors:
    @pytest.fixture(params=["wsgi", "asgi"])
    def driver(self, request: pytest.FixtureRequest) -> Iterator[Driver]:
        with override_settings(ROOT_URLCONF=__name__):
            if request.param == "wsgi":
                yield WSGIDriver(get_wsgi_application())
            else:
                yield ASGIDriver(get_asgi_application())

    @pytest.mark.parametrize("name", ["stream", "stream-async"])
    def test_streams_of_errors_have_the_id_in_djangos_own_line(
        self, driver: Driver, lines: Lines, name: str
    ) -> None:
        answer = driver.get(f"/{name}", headers=[(HEADER, "r-1")])
        assert (answer.status in (404, 503), answer.body) == (True, b"a")
        assert [line.get("rid") for line in lines.of("django.request")] == ["r-1"]
        assert [line.get("rid") for line in lines.of("app")] == ["r-1"]
        assert (lines.summary["rid"], lines.summary["code"]) == ("r-1", answer.status)
        assert answer.left == {}

    def test_streams_of_errors_leave_nothing_where_no_part_is_read(self, lines: Lines) -> None:
        middleware = DockerflowMiddleware(stream)
        response = middleware(RequestFactory().get("/", headers={HEADER: "r-1"}))
        assert context.get() == {"rid": "r-1"}
        response.close()
        assert context.get() == {}
        assert lines.summary["rid"] == "r-1"

    def test_streams_of_errors_within_a_view_leave_the_id_of_its_request(
        self, driver: Driver, lines: Lines
    ) -> None:
        answer = driver.get("/calls", headers=[(HEADER, "outer")])
        assert answer.body == b"inner"
        assert [line["rid"] for line in lines.of("app")] == ["outer"]
        assert [line["Fields"]["rid"] for line in lines.summaries] == ["inner", "outer"]
        assert answer.left == {}
