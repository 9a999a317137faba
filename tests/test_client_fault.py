"""What a server raises because of its client is the client's doing; all else is a bug."""

import asyncio
import errno
import functools
import io
import sys
from collections.abc import Callable
from typing import Any

import h11
import pytest
from gunicorn.http.body import ChunkedReader
from gunicorn.http.unreader import IterUnreader
from werkzeug.serving import DechunkedInput

from dockerflow._request.client_fault import error_of_server, status_of_client_fault

CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
RESPONSE = h11.Response(status_code=200, headers=[("content-length", "1")])


def raised_by(function: Callable[[], Any]) -> BaseException:
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def connection(request: bytes) -> h11.Connection:
    held = h11.Connection(h11.SERVER)
    held.receive_data(request)
    held.next_event()
    return held


def refused() -> h11.Connection:
    """Return a connection whose server has answered a malformed body with a 400."""
    held = connection(CHUNKED + b"zz\r\n")
    raised_by(held.next_event)
    held.send(h11.Response(status_code=400, headers=[("connection", "close")]))
    held.send(h11.EndOfMessage())
    return held


def bad_header(held: h11.Connection) -> None:
    held.send(h11.Response(status_code=200, headers=[("x", "a\r\nb")]))


def test_a_response_to_a_request_that_was_refused_is_the_clients_doing() -> None:
    error = raised_by(lambda: refused().send(RESPONSE))
    assert type(error) is h11.LocalProtocolError
    assert status_of_client_fault(error) == 400


def test_a_body_that_is_malformed_is_the_clients_doing() -> None:
    error = raised_by(connection(CHUNKED + b"zz\r\n").next_event)
    assert type(error) is h11.RemoteProtocolError
    assert status_of_client_fault(error) == 400


def test_a_body_for_a_tunnel_is_the_clients_doing() -> None:
    held = connection(b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n")
    held.send(h11.Response(status_code=200, headers=[]))
    assert status_of_client_fault(raised_by(lambda: held.send(h11.Data(data=b"a")))) == 400


def chunks(*parts: bytes) -> ChunkedReader:
    return ChunkedReader(type("Message", (), {"parse_headers": None})(), IterUnreader(iter(parts)))


def of_gevent(body: bytes, length: int | None, **options: Any) -> Any:
    return pytest.importorskip("gevent.pywsgi").Input(io.BytesIO(body), length, **options)


@pytest.mark.parametrize(
    ("read", "status"),
    [
        (lambda: chunks(b"zz\r\nhello").read(5), 400),
        (lambda: chunks(b"5\r\nhel").read(5), 499),
        (lambda: DechunkedInput(io.BytesIO(b"zz\r\n")).read(5), 400),
        (lambda: of_gevent(b"zz\r\nhello", None, chunked_input=True).read(), 400),
        (lambda: of_gevent(b"abc", 1000).read(), 400),
    ],
    ids=[
        "gunicorn-malformed",
        "gunicorn-gone",
        "werkzeug-malformed",
        "gevent-malformed",
        "gevent-short",
    ],
)
def test_a_body_that_a_wsgi_server_cannot_read_is_the_clients_doing(
    read: Callable[[], Any], status: int
) -> None:
    assert status_of_client_fault(raised_by(read)) == status


def test_a_header_that_may_not_be_is_a_bug() -> None:
    held = connection(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    error = raised_by(lambda: bad_header(held))
    assert type(error) is h11.LocalProtocolError
    assert status_of_client_fault(error) is None


def test_a_bug_that_cannot_be_answered_stays_a_bug() -> None:
    def answer(held: h11.Connection, fail: Callable[[], Any]) -> None:
        try:
            fail()
        except Exception:
            held.send(RESPONSE)

    def fail() -> None:
        raise ValueError("boom")

    held = connection(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    for error in (
        raised_by(lambda: answer(refused(), fail)),
        raised_by(lambda: answer(refused(), lambda: bad_header(held))),
    ):
        assert type(error) is h11.LocalProtocolError
        assert status_of_client_fault(error) is None


@pytest.mark.parametrize(
    "error",
    [OSError("no disk"), ConnectionResetError(), TimeoutError(), ValueError(), KeyboardInterrupt()],
    ids=repr,
)
def test_what_the_application_raises_itself_is_a_bug(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        fail()
    assert status_of_client_fault(caught.value) is None


def test_an_exception_that_cannot_be_looked_at_is_a_bug() -> None:
    class Odd(OSError):
        @property
        def errno(self) -> Any:
            raise LookupError

        def __getattribute__(self, name: str) -> Any:
            raise LookupError

    assert status_of_client_fault(Odd()) is None


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups came with Python 3.11")
def test_a_group_of_one_is_what_it_holds() -> None:
    error = raised_by(lambda: refused().send(RESPONSE))
    assert isinstance(error, Exception)
    assert status_of_client_fault(ExceptionGroup("", [error])) == 400  # noqa: F821
    assert status_of_client_fault(ExceptionGroup("", [error, ValueError()])) is None  # noqa: F821


# -- errors that a framework raises from those of its server -------------------------


def named(module: str, body: str) -> Callable[..., Any]:
    """Return a function of a module's name, whose body has ``given`` as its argument."""
    namespace: dict[str, Any] = {"__name__": module}
    exec(f"def function(given): {body}", namespace)
    function: Callable[..., Any] = namespace["function"]
    return function


RESET = (errno.ECONNRESET, "Connection reset by peer")


def read_body(failure: BaseException, module: str = "gunicorn.http.unreader") -> None:
    """Read a body by Django, in which a module of a server raises a failure."""
    from django.http import HttpRequest

    # Its own constructor asks for settings.
    request: Any = object.__new__(HttpRequest)
    read = named(module, "raise given")
    request._stream = type("Input", (), {"read": lambda self: read(failure)})()
    request.read()


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (lambda: ConnectionResetError(*RESET), 499),
        (lambda: OSError("request data read error"), 400),
        (lambda: OSError(errno.EIO, "Input/output error"), None),
    ],
    ids=["reset", "of-mod_wsgi", "disk"],
)
@pytest.mark.parametrize("server", ["gunicorn.http.unreader", "socket"])
def test_a_body_that_django_cannot_read_is_the_clients_doing(
    failure: Callable[[], OSError], status: int | None, server: str
) -> None:
    """A server in C has no frame of its own, and that of the standard library reads a socket."""
    error = raised_by(lambda: read_body(failure(), server))
    assert type(error).__name__ == "UnreadablePostError"
    assert status_of_client_fault(error) == status


def test_a_body_that_django_has_failed_to_read_twice_is_the_clients_doing() -> None:
    def read() -> None:
        try:
            read_body(ConnectionResetError(*RESET), "socket")
        except OSError:
            read_body(ConnectionResetError(*RESET), "socket")

    assert status_of_client_fault(raised_by(read)) == 499


def test_a_body_that_cannot_be_read_behind_a_bug_stays_a_bug() -> None:
    def serve() -> None:
        try:
            raise ValueError("boom")
        except ValueError:
            read_body(ConnectionResetError(*RESET))

    assert status_of_client_fault(raised_by(serve)) is None


def test_an_error_of_django_that_no_server_has_caused_is_a_bug() -> None:
    from django.http import UnreadablePostError

    def fail() -> None:
        raise UnreadablePostError(*RESET)

    assert status_of_client_fault(raised_by(fail)) is None


@pytest.mark.parametrize(
    ("kind", "args", "status"),
    [
        (OSError, RESET, 499),
        (OSError, (errno.ENOSPC, "No space left on device"), None),
        (ValueError, ("boom",), None),
    ],
    ids=["same", "another-number", "another-kind"],
)
def test_an_error_that_says_the_same_as_that_of_the_server_is_the_clients_doing(
    kind: type[Exception], args: tuple[Any, ...], status: int | None
) -> None:
    def read() -> None:
        try:
            named("gunicorn.http.unreader", "raise given")(ConnectionResetError(*RESET))
        except OSError as error:
            raise kind(*args) from error

    assert status_of_client_fault(raised_by(read)) == status


# -- WebOb, and Pyramid above it ------------------------------------------------------

DISCONNECTION = type("DisconnectionError", (OSError,), {"__module__": "webob.request"})


def test_a_body_that_ends_early_for_webob_is_the_clients_doing() -> None:
    read = named("webob.request", "raise given")
    assert status_of_client_fault(raised_by(lambda: read(DISCONNECTION("997 more")))) == 499


def test_a_body_that_ends_early_for_webob_behind_a_bug_stays_a_bug() -> None:
    def serve() -> None:
        try:
            raise ValueError("boom")
        except ValueError:
            named("webob.request", "raise given")(DISCONNECTION("997 more"))

    assert status_of_client_fault(raised_by(serve)) is None


def test_an_error_of_webob_that_the_application_raises_itself_is_a_bug() -> None:
    fail = named("shop", "raise given")
    assert status_of_client_fault(raised_by(lambda: fail(DISCONNECTION("mine")))) is None


def looks_for_a_view(module: str, kind: str, call: Callable[[], Any]) -> BaseException:
    """Return what a call raises, raised again where a search for a view of it has failed."""
    not_found = type(kind, (Exception,), {})
    namespace: dict[str, Any] = {"__name__": module, "NotFound": not_found}
    exec(
        """
def tween(call):
    try:
        call()
    except Exception as error:
        try:
            raise NotFound
        except NotFound:
            raise error
""",
        namespace,
    )
    error = raised_by(lambda: namespace["tween"](call))
    assert type(error.__context__) is not_found
    return error


@pytest.mark.parametrize(
    ("module", "kind", "status"),
    [
        ("pyramid.tweens", "HTTPNotFound", 400),
        ("pyramid.tweens", "LookupError", None),
        ("shop", "HTTPNotFound", None),
    ],
)
def test_a_body_that_pyramid_has_no_view_of_an_error_for_is_the_clients_doing(
    module: str, kind: str, status: int | None
) -> None:
    error = looks_for_a_view(module, kind, lambda: chunks(b"zz\r\nhello").read(5))
    assert status_of_client_fault(error) == status


def test_a_bug_that_pyramid_has_no_view_for_stays_a_bug() -> None:
    error = looks_for_a_view("pyramid.tweens", "HTTPNotFound", named("shop", "1 / 0").__get__(0))
    assert type(error) is ZeroDivisionError
    assert status_of_client_fault(error) is None


# -- what is written to a connection of waitress that is closed -----------------------


def test_a_connection_of_waitress_that_is_closed_is_the_clients_doing() -> None:
    from waitress.channel import ClientDisconnected

    write = named("waitress.channel", "raise given")
    assert not issubclass(ClientDisconnected, OSError)
    assert status_of_client_fault(raised_by(lambda: write(ClientDisconnected()))) == 499


# -- transports of uvloop that are closed ---------------------------------------------


def failure_of_uvloop(body: str, *modules: str) -> BaseException:
    """Return what the last of some modules gets that call each other, the first one a server.

    Args:
        body: What it does with a transport, which is closed unless that begins with ``write_eof``.
        modules: The names of the modules.
    """
    uvloop = pytest.importorskip("uvloop")

    async def fail() -> BaseException:
        loop = asyncio.get_running_loop()
        is_lost = loop.create_future()

        class Client(asyncio.Protocol):
            def connection_lost(self, _: Exception | None) -> None:
                is_lost.set_result(None)

        listening = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        transport, _ = await loop.create_connection(Client, "127.0.0.1", port)
        if not body.startswith("given.write_eof"):
            transport.abort()
            await is_lost
        call: Callable[[], Any] = functools.partial(named(modules[-1], body), transport)
        for module in reversed(modules[:-1]):
            call = functools.partial(named(module, "given()"), call)
        error = raised_by(call)
        transport.abort()
        listening.close()
        return error

    loop = uvloop.new_event_loop()
    try:
        error: BaseException = loop.run_until_complete(fail())
    finally:
        loop.close()
    assert type(error) is RuntimeError
    return error


@pytest.mark.parametrize(
    ("status", "body", "modules"),
    [
        (499, "given.write(b'x')", ["uvicorn.protocols"]),
        (499, "given.writelines([b'x'])", ["uvicorn.protocols", "shop", "uvicorn.protocols"]),
        (499, "given.write(b'x')", ["hypercorn.asyncio", "asyncio.streams"]),
        (None, "given.write(b'x')", ["uvicorn.protocols", "shop"]),
        (None, "given.write(b'x')", ["uvicorn.protocols", "asyncpg", "asyncio.streams"]),
        (None, "given.write_eof(); given.write(b'x')", ["uvicorn.protocols"]),
    ],
    ids=["server", "through-the-application", "streams", "application", "database", "own-mistake"],
)
def test_a_transport_of_uvloop_that_is_closed_is_the_clients_doing_where_its_server_writes(
    status: int | None, body: str, modules: list[str]
) -> None:
    assert status_of_client_fault(failure_of_uvloop(body, *modules)) == status


def test_an_error_of_any_other_kind_that_passes_a_server_is_a_bug() -> None:
    failure = RuntimeError("unable to perform operation on <it>; the handler is closed")
    for module in ("shop", "uvicorn.protocols"):
        call = functools.partial(named(module, "raise given"), failure.with_traceback(None))
        server = named("uvicorn.protocols", "given()")
        assert status_of_client_fault(raised_by(functools.partial(server, call))) is None


# -- errors of a stream that a framework takes out of a task group --------------------


@pytest.mark.parametrize(("has_bug", "status"), [(False, 499), (True, None)])
def test_an_error_that_starlette_takes_out_of_a_task_group_is_judged_alone(
    has_bug: bool, status: int | None
) -> None:
    utils = pytest.importorskip("starlette._utils")
    if not hasattr(utils, "create_collapsing_task_group"):
        pytest.skip("This Starlette leaves the group as it is")

    async def send() -> None:
        try:
            if has_bug:
                raise ValueError("boom")
        finally:
            named("uvicorn.protocols", "raise given")(ConnectionResetError(*RESET))

    async def stream() -> None:
        async with utils.create_collapsing_task_group() as group:
            group.start_soon(send)
            await asyncio.sleep(60)

    error = raised_by(lambda: asyncio.run(stream()))
    assert type(error) is ConnectionResetError
    assert status_of_client_fault(error) == status


@pytest.mark.parametrize("kind", [StopIteration, ValueError])
def test_error_of_a_server_is_not_the_end_of_a_body(kind: type[Exception]) -> None:
    server: dict[str, Any] = {"__name__": "gunicorn.http.wsgi", "kind": kind}
    source = """
def send():
    try:
        raise kind
    except kind as error:
        return error
"""
    exec(source, server)
    error = server["send"]()
    assert error_of_server(error) is (None if kind is StopIteration else error)
