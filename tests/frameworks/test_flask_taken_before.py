"""Flask whose ``wsgi_app`` was taken before the extension was installed, as connexion takes it."""

import logging
from collections.abc import Iterator
from typing import Any

import flask
import pytest
from a2wsgi import WSGIMiddleware
from contract import Lines
from drivers import Answer, ASGIDriver, Driver, WSGIDriver
from starlette.exceptions import HTTPException
from werkzeug.exceptions import HTTPException as Page

from dockerflow._request.http_exception import status_of_exception
from dockerflow.asgi import DockerflowASGI
from dockerflow.flask import Dockerflow
from dockerflow.wsgi import DockerflowWSGI
from mozlog_py.context import request_id_context

WARNING = "was taken before Dockerflow(app)"


class Site:
    """An application that is answered like connexion's: HTTP exceptions by a layer outside."""

    def __init__(self) -> None:
        app = self.app = flask.Flask("shop")
        app.config.update(PROPAGATE_EXCEPTIONS=True, TRAP_HTTP_EXCEPTIONS=True)
        taken = app.wsgi_app
        Dockerflow(app)
        app.register_error_handler(Page, self.raise_again)

        @app.get("/")
        def index() -> str:
            logging.getLogger("app").info("serving")
            return "x"

        @app.get("/stream")
        def stream() -> Any:
            return flask.Response(iter(["a", "b"]))

        @app.get("/boom")
        def boom() -> str:
            raise RuntimeError("boom")

        @app.get("/busy")
        def busy() -> str:
            flask.abort(503)

        def answering(environ: Any, start_response: Any) -> Any:
            try:
                return taken(environ, start_response)
            except HTTPException as error:
                start_response(f"{error.status_code} Answered", [])
                return [b"answered outside"]
            except Exception as error:
                logging.getLogger("outside").error("failed", exc_info=error)
                start_response("500 Answered", [])
                return [b"failed"]

        self.wsgi = answering

    def raise_again(self, page: Page) -> Any:
        raise HTTPException(page.code or 500)


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture(params=["wsgi", "a2wsgi"])
def driver(request: pytest.FixtureRequest, site: Site) -> Driver:
    if request.param == "wsgi":
        return WSGIDriver(site.wsgi)
    return ASGIDriver(WSGIMiddleware(site.wsgi))


@pytest.fixture(params=["wsgi", "a2wsgi"])
def around(request: pytest.FixtureRequest, site: Site) -> Iterator[Driver]:
    """The application within a layer of ours around all of it."""
    if request.param == "wsgi":
        yield WSGIDriver(DockerflowWSGI(site.wsgi, endpoints=False))
    else:
        yield ASGIDriver(DockerflowASGI(WSGIMiddleware(site.wsgi), endpoints=False))


def ask(driver: Driver, path: str) -> Answer:
    return driver.get(path, headers=[("x-request-id", "r1")])


def outcome(lines: Lines) -> tuple[Any, ...]:
    return lines.summary["rid"], lines.summary["code"], lines.summary["errno"]


@pytest.mark.parametrize("path", ["/", "/stream"])
def test_an_answer_of_flask_carries_the_id(driver: Driver, lines: Lines, path: str) -> None:
    answer = ask(driver, path)
    assert (answer.status, answer.header("x-request-id")) == (200, "r1")
    assert answer.header("vary") == "x-request-id"
    assert outcome(lines) == ("r1", 200, 0)


@pytest.mark.parametrize("propagates", [False, True])
def test_an_answer_that_an_extension_reports_as_an_exception_has_its_status(
    site: Site, driver: Driver, lines: Lines, propagates: bool
) -> None:
    site.app.config.update(PROPAGATE_EXCEPTIONS=propagates, TRAP_HTTP_EXCEPTIONS=False)

    def report_and_answer(page: Page) -> Any:
        flask.got_request_exception.send(site.app, exception=page)
        return "answered", page.code

    site.app.register_error_handler(Page, report_and_answer)
    assert ask(driver, "/nowhere").status == 404
    assert outcome(lines) == ("r1", 404, 0)


def test_an_asynchronous_view_that_an_extension_reports_has_the_status_of_its_answer(
    site: Site, driver: Driver, lines: Lines
) -> None:
    site.app.config.update(PROPAGATE_EXCEPTIONS=False, TRAP_HTTP_EXCEPTIONS=False)

    @site.app.get("/late")
    async def late() -> Any:
        flask.got_request_exception.send(site.app, exception=LookupError("taken"))
        return "answered", 404

    answer = ask(driver, "/late")
    assert (answer.status, answer.header("x-request-id")) == (404, "r1")
    assert outcome(lines) == ("r1", 404, 0)


def test_a_request_that_a_view_makes_in_process_leaves_the_outer_one_as_it_was(
    site: Site, driver: Driver, lines: Lines
) -> None:
    seen = []

    @site.app.get("/nested")
    def nested() -> str:
        site.app.test_client().get("/", headers={"x-request-id": "r2"})
        seen.append(request_id_context.get())
        with site.app.test_request_context("/elsewhere"):
            pass
        seen.append(request_id_context.get())
        return "x"

    assert ask(driver, "/nested").header("x-request-id") == "r1"
    assert seen == ["r1", "r1"]
    shown = [(line["Fields"]["path"], line["Fields"]["rid"]) for line in lines.summaries]
    assert shown == [("/", "r2"), ("/nested", "r1")]
    assert request_id_context.get() is None


def test_an_id_that_the_view_has_set_stays(site: Site, driver: Driver) -> None:
    @site.app.get("/own")
    def own() -> Any:
        return flask.Response("x", headers={"X-Request-ID": "own"})

    assert ask(driver, "/own").header("x-request-id") == "own"


def test_a_page_that_is_answered_outside_is_no_error(driver: Driver, lines: Lines) -> None:
    assert ask(driver, "/nowhere").status == 404
    assert outcome(lines) == ("r1", 404, 0)


def test_an_exception_is_an_error_and_the_line_of_the_layer_outside_has_the_id(
    driver: Driver, lines: Lines
) -> None:
    assert ask(driver, "/boom").status == 500
    assert outcome(lines) == ("r1", 500, 500)
    assert [fields["rid"] for fields in lines.of("outside")] == ["r1"]


def test_a_page_of_a_server_error_is_an_error_with_its_own_code(
    driver: Driver, lines: Lines
) -> None:
    assert ask(driver, "/busy").status == 503
    assert outcome(lines) == ("r1", 503, 500)


def test_a_warning_comes_once_and_names_the_repair(driver: Driver, lines: Lines) -> None:
    for _ in range(3):
        ask(driver, "/")
    (warning,) = lines.of("dockerflow.flask")
    assert WARNING in warning["msg"]
    assert "dockerflow.asgi.DockerflowASGI" in warning["msg"]


def test_a_warning_does_not_come_where_a_test_calls_the_hooks(lines: Lines) -> None:
    app = flask.Flask("shop")
    Dockerflow(app)
    with app.test_request_context("/"):
        app.preprocess_request()
        app.process_response(app.response_class("x"))
    assert lines.of("dockerflow.flask") == []
    assert lines.summary["code"] == 200


def test_a_warning_does_not_come_where_a_view_calls_the_hooks(lines: Lines) -> None:
    app = flask.Flask("shop")
    Dockerflow(app)

    @app.get("/nested")
    def nested() -> str:
        with app.test_request_context("/other"):
            app.full_dispatch_request()
        return "x"

    assert WSGIDriver(app).get("/nested").status == 200
    assert lines.of("dockerflow.flask") == []


def test_an_exception_that_flask_answers_itself_is_an_error_whatever_its_status(
    site: Site, lines: Lines
) -> None:
    site.app.config.update(PROPAGATE_EXCEPTIONS=False)

    @site.app.get("/foreign")
    def foreign() -> str:
        raise HTTPException(404)

    assert ask(WSGIDriver(site.wsgi), "/foreign").status == 500
    assert outcome(lines) == ("r1", 500, 500)


@pytest.mark.parametrize(
    ("path", "status", "errno"),
    [("/", 200, 0), ("/stream", 200, 0), ("/nowhere", 404, 0), ("/boom", 500, 500)],
)
def test_a_layer_around_all_makes_one_id_and_one_summary(
    around: Driver, lines: Lines, path: str, status: int, errno: int
) -> None:
    answer = ask(around, path)
    assert (answer.status, answer.header("x-request-id")) == (status, "r1")
    assert outcome(lines) == ("r1", status, errno)
    assert {fields["rid"] for fields in lines.of("app")} <= {"r1"}
    assert lines.of("dockerflow.flask") == []


def test_status_of_exception_is_that_of_http_exceptions_alone() -> None:
    class OfAService(Exception):
        status_code = 429

    class Problem(HTTPException):
        pass

    assert status_of_exception(Problem(422)) == 422
    assert status_of_exception(Page()) == 500
    assert status_of_exception(OfAService()) == 500
    assert status_of_exception(ValueError()) == 500


@pytest.mark.parametrize("code", [404, 50013])
def test_status_of_exception_of_another_librarys_class_of_that_name_is_500(code: int) -> None:
    error = type("HTTPException", (Exception,), {"code": code, "status_code": code})()
    assert status_of_exception(error) == 500


def test_status_of_exception_is_a_status() -> None:
    error = HTTPException(404)
    error.status_code = 50013
    assert status_of_exception(error) == 500


def test_hooks_by_hand_need_no_method_in_the_environ(lines: Lines) -> None:
    app = flask.Flask("shop")
    Dockerflow(app)
    with app.test_request_context("/") as pushed:
        del pushed.request.environ["REQUEST_METHOD"]
        app.preprocess_request()
        app.process_response(app.response_class("x"))
    assert lines.summary["code"] == 200
