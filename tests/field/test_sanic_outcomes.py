"""How a request of Sanic's own server ends, and what its summary says of that."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sanic_server import Answer, Server, everything, head, serve
from table import shows

INFO, ERROR = 6, 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("sanic")) as served:
        yield served


def outcome(server: Server, target: str, rid: str) -> tuple[Answer, tuple[int, int, int], Any]:
    """Ask; give the answer, the summary's severity, errno and code, and its exception."""
    answer = server.ask(target, rid)
    severity, fields = server.summary(rid)
    return answer, (severity, fields["errno"], fields["code"]), fields.get("error")


# -- what the application has answered is no error ----------------------------------


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/raise/supplier", 502),
        ("/raise/supplier?as=503", 503),
        ("/raise/supplier?as=500", 500),
        ("/raise/supplier?as=404", 404),
        ("/raise/unavailable", 503),
        ("/status/503", 503),
        ("/status/500", 500),
        ("/?refuse=1", 403),
        ("/?replace-response=1", 201),
    ],
)
def test_what_a_handler_of_the_application_answers_is_no_error(
    server: Server, target: str, status: int
) -> None:
    rid = f"answered-{status}-{len(target)}"
    answer, found, error = outcome(server, target, rid)
    assert (answer.status, answer.ids) == (status, [rid.encode()])
    assert (found, error) == ((INFO, 0, status), None)


@pytest.mark.parametrize(
    ("what", "status"),
    [("missing", 404), ("sanic-503", 503), ("sanic-502", 502), ("server-error", 500)],
)
def test_a_sanic_exception_that_sanic_answers_is_no_error(
    server: Server, what: str, status: int
) -> None:
    answer, found, error = outcome(server, f"/raise/{what}", f"sanic-{what}")
    assert (answer.status, answer.ids) == (status, [f"sanic-{what}".encode()])
    assert (found, error) == ((INFO, 0, status), None)


# -- what nothing has handled is one ---------------------------------------------------


@shows("Sanic", "id in the 500", "yes")
@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("/raise/value", "ValueError('boom')"),
        # A handler that returns nothing has Sanic answer.
        ("/raise/undecided", "Undecided('first')"),
        ("/raise/careless", "KeyError('in the handler')"),
        ("/raise/async-careless", "KeyError('in the handler')"),
        ("/nothing", "ServerError('Invalid response type None (need HTTPResponse)')"),
        ("/__error__", "Exception('This is a test exception from the /__error__ endpoint.')"),
    ],
)
def test_what_nothing_has_handled_is_an_error(server: Server, target: str, error: str) -> None:
    rid = f"unhandled{target.replace('/', '-')}"
    answer, found, said = outcome(server, target, rid)
    assert (answer.status, answer.ids) == (500, [rid.encode()])
    assert (found, said) == ((ERROR, 500, 500), error)
    _, fields = server.summary(rid)
    assert fields["traceback"].startswith("Uncaught exception:")


def test_an_exception_in_response_middleware_is_an_error_with_the_status_that_was_sent(
    server: Server,
) -> None:
    answer, found, error = outcome(server, "/?break-response=1", "middleware")
    # Sanic logs it, and sends the response without what the middleware would have done.
    assert (answer.status, answer.body, answer.ids) == (200, b"hello", [b"middleware"])
    assert (found, error) == ((ERROR, 500, 200), "RuntimeError('response middleware')")


def test_an_exception_in_a_stream_is_an_error_with_the_status_that_was_sent(
    server: Server,
) -> None:
    answer, found, error = outcome(server, "/stream?boom-at=2", "stream-boom")
    assert (answer.status, answer.ids) == (200, [b"stream-boom"])
    assert (found, error) == ((ERROR, 500, 200), "ValueError('in the stream')")


def test_an_error_handler_of_its_own_is_judged_by_what_it_answers(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # It is put in place after the extension, and replaces Sanic's default.
    with serve(tmp_path_factory.mktemp("own"), "--own-default") as server:
        _, unhandled, error = outcome(server, "/raise/value", "own-value")
        assert (unhandled, error) == ((ERROR, 500, 500), "ValueError('boom')")
        _, answered, error = outcome(server, "/raise/key", "own-key")
        assert (answered, error) == ((INFO, 0, 404), None)


# -- a client that goes, and other cancellations -------------------------------------------


@shows("Sanic", "what a cancellation is", "the client has gone: 499, INFO")
def test_a_client_that_goes_before_there_is_a_status_is_499(server: Server) -> None:
    connection = server.connect()
    connection.sendall(head("/slow?for=0.9", "gone"))
    server.wait_for("gone", "waiting")
    connection.close()
    severity, fields = server.summary("gone")
    assert (severity, fields["errno"], fields["code"]) == (INFO, 0, 499)
    assert "cleaning up" in server.messages("gone")


def test_a_client_that_goes_after_there_is_a_status_has_that_one(server: Server) -> None:
    connection = server.connect()
    connection.sendall(head("/stream", "gone-stream"))
    server.wait_for("gone-stream", "part")
    connection.close()
    severity, fields = server.summary("gone-stream")
    assert (severity, fields["errno"], fields["code"]) == (INFO, 0, 200)
    server.wait_for("gone-stream", "generator closed")


@shows("Sanic", "what a cancellation is", "a cancelled task: 500, ERROR")
@pytest.mark.parametrize("target", ["/cancelled-task", "/raise/cancelled"])
def test_a_cancellation_by_the_application_is_an_error(server: Server, target: str) -> None:
    rid = f"cancelled{target.replace('/', '-')}"
    answer, found, error = outcome(server, target, rid)
    # Before 25.12 Sanic answers 503.
    assert answer.status in {500, 503}
    assert (found, error) == ((ERROR, 500, answer.status), "CancelledError()")
    assert answer.ids == [rid.encode()]


def test_a_timeout_of_sanics_is_an_error_with_the_status_that_was_sent(server: Server) -> None:
    answer, found, error = outcome(server, "/slow?for=20", "timeout")
    assert (answer.status, answer.ids) == (503, [b"timeout"])
    # An application's handler may make the page of it, which does not undo it.
    assert (found, error) == ((ERROR, 500, 503), "ServiceUnavailable('Response Timeout')")


@shows("Sanic", "what a cancellation is", "shutdown: 500, ERROR")
def test_what_the_end_of_the_server_cancels_is_an_error(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with serve(tmp_path_factory.mktemp("stopped")) as server:
        connection = server.connect()
        connection.sendall(head("/slow?for=20", "shutdown"))
        server.wait_for("shutdown", "waiting")
        server.process.terminate()
        server.process.wait(timeout=30)
        connection.close()
        severity, fields = server.summary("shutdown")
        assert (severity, fields["errno"], fields["code"]) == (ERROR, 500, 500)
        assert fields["error"] == "CancelledError()"


# -- the id, in every response and every line -------------------------------------------------


def test_a_response_that_is_used_again_carries_each_request_its_own_id(server: Server) -> None:
    ids = [server.ask("/constant", rid).ids for rid in ("same-1", "same-2")]
    assert ids == [[b"same-1"], [b"same-2"]]


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nUser-Agent: " + b"x" * 200_000 + b"\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nExpect: much\r\nContent-Length: 1\r\n\r\na", 417),
    ],
)
def test_the_answer_to_what_is_no_request_has_an_id_and_a_summary(
    server: Server, raw: bytes, status: int
) -> None:
    with server.connect() as connection:
        try:
            connection.sendall(raw)
        except ConnectionError:
            pass
        answer = Answer(everything(connection))
    if status == 413 and not answer.raw:
        # The kernel drops an answer when the server closes on bytes that it has not read.
        return
    assert answer.status == status
    (rid,) = answer.ids
    severity, fields = server.summary(rid.decode())
    assert (severity, fields["errno"], fields["code"]) == (INFO, 0, status)


def test_a_client_that_goes_within_its_first_line_leaves_no_summary(server: Server) -> None:
    connection = server.connect()
    connection.sendall(b"GET /never")
    connection.close()
    assert server.ask("/", "after-never").status == 200
    server.summary("after-never")
    assert not [line for line in server.lines if "/never" in json.dumps(line)]
    nameless = [
        line["Fields"]
        for line in server.lines
        if line["Type"] == "request.summary" and line["Fields"]["code"] == 499
    ]
    assert [fields["path"] for fields in nameless if fields["method"] == "NONE"] == []


@shows("Sanic", "id in all lines", "yes, also Sanic's own")
def test_the_lines_that_sanic_logs_of_a_request_have_its_id(server: Server) -> None:
    server.ask("/raise/value", "sanics-lines")
    server.summary("sanics-lines")
    types = [line["Type"] for line in server.of("sanics-lines")]
    assert {"sanic.error", "sanic.access", "request.summary"} <= set(types)


def test_a_body_that_was_not_read_is_logged_with_the_id(server: Server) -> None:
    with server.connect() as connection:
        whole = head("/unread", "unread-body", "Content-Length: 5", method="POST")
        connection.sendall(whole + b"hello" + head("/", "after-unread", "Connection: close"))
        everything(connection)
    server.summary("unread-body")
    server.summary("after-unread")
    (said,) = [m for m in server.messages("unread-body") if "not consumed" in m]
    assert said
    assert not [m for m in server.messages("after-unread") if "not consumed" in m]


def test_requests_on_one_connection_see_nothing_of_each_other(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(
            head("/bind", "pipe-1")
            + head("/nowhere", "pipe-2")
            + head("/bind", "pipe-3")
            + head("/raise/value", "pipe-4")
            + head("/", "pipe-5", "Connection: close")
        )
        everything(connection)
    bound = {}
    for number in range(1, 6):
        rid = f"pipe-{number}"
        server.summary(rid)
        bound[rid] = {"colour" in line["Fields"] for line in server.of(rid)}
    assert bound == {
        "pipe-1": {True}, "pipe-2": {False}, "pipe-3": {True}, "pipe-4": {False}, "pipe-5": {False},
    }  # fmt: skip


def test_a_malformed_request_after_another_has_an_id_of_its_own(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(head("/bind", "before-nonsense") + b"NONSENSE\r\n\r\n")
        answers = everything(connection)
    second = Answer(answers[answers.rindex(b"HTTP/1.1 ") :])
    assert second.status == 400
    (rid,) = second.ids
    assert rid != b"before-nonsense"
    assert {"colour" in line["Fields"] for line in server.of(rid.decode())} == {False}


def test_a_task_that_a_request_starts_keeps_its_id(server: Server) -> None:
    server.ask("/background", "background")
    server.wait_for("background", "in the background")


@shows("Sanic", "streams", "one summary, at the end; the id to the last line")
def test_every_part_of_a_stream_is_logged_with_the_id(server: Server) -> None:
    server.ask("/stream?until=3", "stream")
    severity, fields = server.summary("stream")
    assert (severity, fields["code"], fields["streamed"]) == (INFO, 200, True)
    assert server.messages("stream").count("part") == 4
    assert server.messages("stream").count("generator closed") == 1


def test_a_stream_by_a_function_has_one_summary(server: Server) -> None:
    answer, found, _ = outcome(server, "/stream-file", "file")
    assert (found, answer.ids) == ((INFO, 0, 200), [b"file"])
    assert b"as a program" in answer.body


def test_a_query_string_is_logged_as_its_text(server: Server) -> None:
    server.ask("/?x=%D8%B4%D9%83%D8%B1&y=%ff", "query")
    assert server.summary("query")[1]["querystring"] == "x=شكر&y=\\xff"


# -- a header that asks for another protocol ----------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        ["Upgrade: websocket"],
        ["Upgrade: WebSocket", "Connection: Upgrade"],
        ["upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x"],
        ["Upgrade: h2c", "HTTP2-Settings: x"],
        ["Upgrade: websocket", "Upgrade: websocket"],
    ],
)
@pytest.mark.parametrize(
    ("target", "status"),
    [("/", 200), ("/nowhere", 404), ("/raise/value", 500), ("/__lbheartbeat__", 200)],
)
def test_an_upgrade_header_hides_no_request(
    server: Server, headers: list[str], target: str, status: int
) -> None:
    rid = f"upgrade-{len(''.join(headers))}{target.replace('/', '-')}"
    answer = server.ask(target, rid, *headers)
    assert (answer.status, answer.ids) == (status, [rid.encode()])
    _, fields = server.summary(rid)
    assert (fields["method"], fields["code"]) == ("GET", status)
