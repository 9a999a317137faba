"""The contract, and what else there is to WSGI, of the bare WSGI core."""

import io
import sys
import threading
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest
from contract import Contract, Lines
from contract_wsgi import application
from drivers import WSGIDriver

from dockerflow.request_id import RequestIdPolicy
from dockerflow.settings import Settings
from dockerflow.wsgi import DockerflowWSGI
from mozlog_py import context


class TestContract(Contract):
    answers_errors = False

    lbheartbeat_body = b'{"status":"ok"}'

    def make(self, folder: Path, settings: dict[str, Any] | None = None) -> WSGIDriver:
        app = DockerflowWSGI(
            application, settings=Settings.read(settings or {}), version_path=str(folder)
        )
        return WSGIDriver(app)


def wrapped(app: Any, **options: Any) -> WSGIDriver:
    return WSGIDriver(DockerflowWSGI(app, **options))


def environ(**more: Any) -> dict[str, Any]:
    return {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SCRIPT_NAME": "", **more}


class Closing(list[bytes]):
    closed = 0

    def close(self) -> None:
        self.closed += 1


class TestEnds:
    def test_the_summary_waits_for_the_server_to_close(self, lines: Lines) -> None:
        body = Closing([b"a"])

        def app(environ: Any, start_response: Any) -> Any:
            start_response("200 OK", [])
            return body

        given: Any = DockerflowWSGI(app)(environ(), lambda status, headers: None)
        assert (len(given), list(given)) == (1, [b"a"])
        assert (lines.summaries, body.closed) == ([], 0)
        given.close()
        given.close()
        assert (lines.summary["code"], body.closed) == (200, 2)

    def test_a_body_that_is_not_closed_has_a_summary(self, lines: Lines) -> None:
        given = DockerflowWSGI(application)(environ(), lambda status, headers: None)
        assert b"".join(given) == b"hello"
        del given
        assert lines.summary["code"] == 200

    def test_a_client_that_goes_early_is_no_error(self, lines: Lines) -> None:
        given: Any = DockerflowWSGI(application)(
            environ(PATH_INFO="/stream"), lambda status, headers: None
        )
        assert next(given) == b"a"
        given.close()
        (line,) = lines.summaries
        assert (line["Severity"], line["Fields"]["code"], line["Fields"]["errno"]) == (6, 200, 0)

    def test_a_close_that_raises_is_an_error(self, lines: Lines) -> None:
        class Bad(Closing):
            def close(self) -> None:
                raise ValueError("in close")

        def app(environ: Any, start_response: Any) -> Any:
            start_response("200 OK", [])
            return Bad([b"a"])

        given: Any = DockerflowWSGI(app)(environ(), lambda status, headers: None)
        with pytest.raises(ValueError, match="in close"):
            given.close()
        assert (lines.summary["errno"], lines.summary["code"]) == (500, 200)
        assert lines.summary["msg"] == "in close"

    def test_an_application_without_a_response_is_an_error(self, lines: Lines) -> None:
        wrapped(lambda environ, start_response: []).get("/")
        assert (lines.summary["code"], lines.summary["errno"]) == (500, 500)

    def test_exc_info_replaces_the_status(self, lines: Lines) -> None:
        def app(environ: Any, start_response: Any) -> Any:
            start_response("200 OK", [])
            try:
                raise ValueError
            except ValueError:
                start_response("503 Sorry", [], sys.exc_info())
            return []

        assert wrapped(app).get("/").status == 503
        assert lines.summary["code"] == 503

    def test_exc_info_that_comes_too_late_does_not(self, lines: Lines) -> None:
        def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
            if exc_info is not None:
                raise exc_info[1]

        def app(environ: Any, start_response: Any) -> Any:
            start_response("200 OK", [])
            try:
                raise ValueError("late")
            except ValueError:
                start_response("503 Sorry", [], sys.exc_info())

        with pytest.raises(ValueError, match="late"):
            DockerflowWSGI(app)(environ(), start_response)
        assert (lines.summary["code"], lines.summary["errno"]) == (200, 500)

    def test_parts_may_be_written(self, lines: Lines) -> None:
        def app(environ: Any, start_response: Any) -> Any:
            write = start_response("200 OK", [])
            write(b"a")
            write(b"b")
            return [b"c"]

        assert wrapped(app).get("/").body == b"abc"
        assert lines.summary["code"] == 200

    def test_a_server_without_the_callable_to_write_answers_with_500(self, lines: Lines) -> None:
        def app(environ: Any, start_response: Any) -> Any:
            start_response("200 OK", [])(b"a")

        with pytest.raises(TypeError):
            # granian and hypercorn return nothing.
            DockerflowWSGI(app)(environ(), lambda *_: None)
        assert (lines.summary["code"], lines.summary["errno"]) == (500, 500)

    def test_a_client_that_goes_while_parts_are_written_is_no_error(self, lines: Lines) -> None:
        def start_response(status: str, headers: Any) -> Any:
            def write(data: bytes) -> None:
                raise BrokenPipeError

            return write

        def app(environ: Any, start_response: Any) -> Any:
            start_response("200 OK", [])(b"a")

        with pytest.raises(BrokenPipeError):
            DockerflowWSGI(app)(environ(), start_response)
        assert (lines.summary["code"], lines.summary["errno"]) == (200, 0)

    def test_a_file_stays_the_servers_own_kind(self, lines: Lines) -> None:
        file = io.BytesIO(b"content")

        def app(environ: Any, start_response: Any) -> Any:
            start_response("200 OK", [])
            return environ["wsgi.file_wrapper"](file, 3)

        given: Any = DockerflowWSGI(app)(
            environ(**{"wsgi.file_wrapper": FileWrapper}), lambda status, headers: None
        )
        # What servers look for before they send a file by themselves.
        assert type(given) is FileWrapper
        assert given.filelike.tell() == 0
        assert list(given) == [b"con", b"ten", b"t"]
        assert lines.summaries == []
        given.close()
        assert file.closed
        assert lines.summary["code"] == 200

    def test_a_file_within_another_body_is_a_part_of_it(self, lines: Lines) -> None:
        def app(environ: Any, start_response: Any) -> Any:
            start_response("200 OK", [])
            wrapper = environ["wsgi.file_wrapper"](io.BytesIO(b"content"))
            yield from wrapper

        given: Any = DockerflowWSGI(app)(
            environ(**{"wsgi.file_wrapper": FileWrapper}), lambda status, headers: None
        )
        assert list(given) == [b"content"]
        given.close()
        assert lines.summary["code"] == 200

    def test_a_body_without_a_length_has_none(self) -> None:
        app = DockerflowWSGI(application)
        assert not hasattr(app(environ(PATH_INFO="/stream"), lambda *args: None), "__len__")

    def test_a_list_may_be_gone_through_twice(self) -> None:
        # As eventlet does, for the length.
        body = DockerflowWSGI(application)(environ(), lambda *args: None)
        assert sum(map(len, body)) == len(b"".join(body)) == 5

    def test_ends_keeps_to_the_specification(self, lines: Lines) -> None:
        def app(environ: Any, start_response: Any) -> Any:
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"x"]

        def checked(environ: Any, start_response: Any) -> Any:
            environ["wsgi.errors"] = sys.stderr
            environ["wsgi.input"].readline = io.BytesIO().readline
            return validator(DockerflowWSGI(validator(app)))(environ, start_response)

        assert WSGIDriver(checked).get("/a").body == b"x"
        assert WSGIDriver(checked).get("/__lbheartbeat__").status == 200
        assert len(lines.summaries) == 2


class TestLayers:
    def test_two_of_them_make_one_summary(self, lines: Lines) -> None:
        policy = RequestIdPolicy(generator=lambda: "outer")
        inner = DockerflowWSGI(application, request_id=RequestIdPolicy(generator=lambda: "inner"))
        answer = wrapped(inner, request_id=policy).get("/")
        assert lines.summary["rid"] == answer.header("x-request-id") == "outer"

    def test_ids_and_summaries_may_be_layers_of_their_own(self, lines: Lines) -> None:
        ids: dict[str, Any] = {"summaries": False, "endpoints": False}
        summaries: dict[str, Any] = {"request_ids": False, "endpoints": False}
        for outer, inner in ((ids, summaries), (summaries, ids)):
            wrapped(DockerflowWSGI(application, **inner), **outer).get(
                "/", headers=[("x-request-id", "r1")]
            )
        assert [line["Fields"]["rid"] for line in lines.summaries] == ["r1", "r1"]

    def test_a_mounted_application_has_its_endpoints(self, lines: Lines) -> None:
        assert wrapped(application).get("/__lbheartbeat__", root="/api").status == 200
        assert wrapped(application).get("/where", root="/api").body == b"/where"
        paths = [line["Fields"]["path"] for line in lines.summaries]
        assert paths == ["/api/__lbheartbeat__", "/api/where"]

    def test_an_environ_that_is_used_again_is_another_request(self, lines: Lines) -> None:
        app = DockerflowWSGI(application)
        held = environ()
        for _ in range(2):
            list(app(held, lambda status, headers: None))
        assert len({line["Fields"]["rid"] for line in lines.summaries}) == 2

    def test_a_body_may_be_read_in_another_thread(self, lines: Lines) -> None:
        given: Any = DockerflowWSGI(application)(
            environ(PATH_INFO="/stream"), lambda status, headers: None
        )
        context.bind(other="request")

        def read() -> None:
            context.bind(thread="another")
            assert list(given) == [b"a", b"b", b"c"]
            given.close()

        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
        assert lines.summary["parts"] == 3
        for fields in [*lines.of("app"), lines.summary]:
            assert fields["rid"] == lines.summary["rid"]
            assert not {"other", "thread"} & set(fields)


class TestSocketsThatAreHandedOver:
    @staticmethod
    def ask(error: BaseException, headers: dict[str, str]) -> None:
        def app(environ: Any, start_response: Any) -> Any:
            raise error

        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/ws", "werkzeug.socket": None, **headers}
        with pytest.raises(type(error)):
            DockerflowWSGI(app)(environ, lambda *_: None)

    @pytest.mark.parametrize("error", [StopIteration(), ConnectionError()])
    def test_sockets_that_are_handed_over_are_no_error(
        self, lines: Lines, error: BaseException
    ) -> None:
        self.ask(error, {"HTTP_UPGRADE": "WebSocket"})
        fields = lines.summary
        assert (fields["method"], fields["code"], fields["errno"]) == ("WEBSOCKET", 101, 0)

    @pytest.mark.parametrize("error", [StopIteration(), ConnectionError()])
    def test_sockets_that_are_handed_over_without_a_request_for_one_it_is_an_exception(
        self, lines: Lines, error: BaseException
    ) -> None:
        self.ask(error, {})
        fields = lines.summary
        assert (fields["method"], fields["code"], fields["errno"]) == ("GET", 500, 500)


class TestStatusThatIsNotSent:
    """A server sends the status with the first part of a body; before that it answers with 500."""

    def end(self, app: Any) -> None:
        given: Any = DockerflowWSGI(app)(environ(), lambda *_: lambda _: None)
        try:
            for _ in given:
                pass
        finally:
            given.close()

    @pytest.mark.parametrize("parts", [[], [b""], [b"", b""]])
    def test_status_is_500_where_no_part_was_sent(self, lines: Lines, parts: list[bytes]) -> None:
        def app(environ: Any, start_response: Any) -> Any:
            start_response("200 OK", [])
            yield from parts
            raise ValueError("no rows")

        with pytest.raises(ValueError, match="no rows"):
            self.end(app)
        assert (lines.summary["code"], lines.summary["errno"]) == (500, 500)

    def test_status_is_500_where_the_application_raises_behind_it(self, lines: Lines) -> None:
        def app(environ: Any, start_response: Any) -> Any:
            start_response("200 OK", [])
            raise ValueError("no rows")

        with pytest.raises(ValueError, match="no rows"):
            self.end(app)
        assert (lines.summary["code"], lines.summary["errno"]) == (500, 500)

    @pytest.mark.parametrize("is_written", [True, False])
    def test_status_is_that_which_was_sent_with_a_part(
        self, lines: Lines, is_written: bool
    ) -> None:
        def app(environ: Any, start_response: Any) -> Any:
            write = start_response("202 Accepted", [])
            if is_written:
                write(b"a")
            else:
                yield b"a"
            raise ValueError("no rows")

        with pytest.raises(ValueError, match="no rows"):
            self.end(app)
        assert (lines.summary["code"], lines.summary["errno"]) == (202, 500)
