"""What the layers around an application are to servers and to each other."""

import asyncio
import contextvars
import inspect
import logging
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from dockerflow._request.coroutine_function import returns_coroutine
from dockerflow._request.exchange import REQUEST, Exchange, enclosing_exchange, marked_method
from dockerflow._request.server_task import is_channel_of_server, is_server_task
from dockerflow.asgi import DockerflowASGI
from dockerflow.fastapi.middleware import MozlogRequestSummaryLogger, RequestIdMiddleware
from dockerflow.starlette import DockerflowMiddleware
from dockerflow.summary import LOGGER_NAME, current, hand_over, take_back
from dockerflow.wsgi import DockerflowWSGI
from mozlog_py import context
from mozlog_py._config.options import OptionError


@pytest.fixture
def clean() -> Any:
    return contextvars.Context().run


@pytest.fixture(autouse=True)
def same_logger() -> Iterator[None]:
    """Leave the logger of summaries as it was: a layer of FastAPI sets its level and a handler."""
    logger = logging.getLogger(LOGGER_NAME)
    level, handlers = logger.level, logger.handlers[:]
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


class TestCoroutineFunctions:
    @pytest.mark.parametrize("layer", [MozlogRequestSummaryLogger, RequestIdMiddleware])
    def test_a_layer_passes_for_one_with_servers(self, layer: Any) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None: ...

        if sys.version_info >= (3, 12):
            assert inspect.iscoroutinefunction(layer(app).__call__)
        else:
            assert asyncio.iscoroutinefunction(layer(app).__call__)

    def test_what_is_not_marked_is_none(self) -> None:
        def plain() -> None: ...

        assert not inspect.iscoroutinefunction(plain)
        assert returns_coroutine(plain) is plain


class TestParameters:
    @pytest.mark.parametrize("silenced", ["shop.E001", b"shop.E001", "shop.E001,shop.W1"])
    def test_silenced_checks_are_a_list_and_no_text(self, silenced: Any) -> None:
        for layer in (DockerflowASGI, DockerflowWSGI, DockerflowMiddleware):
            with pytest.raises(OptionError) as raised:
                layer(None, silenced_checks=silenced)
            assert str(raised.value).startswith(f"silenced_checks is {silenced!r}, a collection")
            assert "write a list, silenced_checks=['shop.E001'" in str(raised.value)


class TestEnclosingExchange:
    def begun(self, method: str) -> Exchange:
        exchange = Exchange()
        exchange.method_mark = marked_method(method)
        exchange.begin("r1")
        return exchange

    def test_enclosing_exchange_is_found_in_the_scope_or_environ(self, clean: Any) -> None:
        exchange = Exchange()
        assert clean(enclosing_exchange, {REQUEST: exchange}, "GET") is exchange
        assert clean(enclosing_exchange, {"asgi.scope": {REQUEST: exchange}}, "GET") is exchange
        assert clean(enclosing_exchange, {"wsgi_environ": {REQUEST: exchange}}, "GET") is exchange

    def test_enclosing_exchange_is_found_by_the_very_object_that_is_the_method(
        self, clean: Any
    ) -> None:
        def found() -> None:
            exchange = self.begun("GET")
            assert exchange.method_mark == "GET"
            assert enclosing_exchange({}, exchange.method_mark) is exchange
            # A request that the application makes itself has another one.
            assert enclosing_exchange({}, "GET") is None

        clean(found)

    def test_enclosing_exchange_that_is_over_encloses_nothing(self, clean: Any) -> None:
        exchange = Exchange()
        exchange.is_over = True
        assert clean(enclosing_exchange, {REQUEST: exchange}, "GET") is None


class TestContextsThatServersReuse:
    def test_a_request_in_the_context_of_another_begins_without_what_that_has_bound(
        self, clean: Any
    ) -> None:
        def serve() -> None:
            context.bind(host="h1")
            first = Exchange()
            first.begin("r1")
            context.bind(user="ann")
            hand_over()
            copied = contextvars.copy_context()
            take_back()

            def serve_next() -> None:
                context.bind(tenant="t2")
                second = Exchange()
                second.begin("r2")
                assert context.get() == {"host": "h1", "tenant": "t2", "rid": "r2"}
                assert not second.is_in_process

            copied.run(serve_next)
            assert context.get() == {"host": "h1", "user": "ann", "rid": "r1"}

        clean(serve)

    def test_a_request_that_the_application_makes_itself_gives_the_context_back(
        self, clean: Any
    ) -> None:
        def serve() -> None:
            outer = Exchange()
            outer.begin("r1")
            context.bind(user="ann")
            inner = Exchange()
            inner.begin("r2")
            assert inner.is_in_process
            assert context.get() == {"rid": "r2"}
            context.bind(more=1)
            inner.leave()
            assert context.get() == {"user": "ann", "rid": "r1"}
            assert current() is outer

        clean(serve)

    def test_a_server_receives_outside_of_the_request(self, clean: Any) -> None:
        seen: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            context.bind(user="ann")
            await receive()
            seen.append(context.get())

        async def receive() -> Any:
            # What the loop is asked for here is called back in a copy of this context.
            seen.append((context.get(), current()))
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None: ...

        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        layer = DockerflowASGI(app, summaries=False)
        clean(asyncio.run, layer({**scope, "headers": [(b"x-request-id", b"r1")]}, receive, send))
        assert seen == [({}, None), {"user": "ann", "rid": "r1"}]


class TestServerTasks:
    def of(self, package: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """Return what code of a module of that package defines."""
        module = ModuleType(f"{package}.protocols")
        code = "async def serve(ask): return ask()\nasync def send(message): ...\n"
        exec(code, vars(module))
        monkeypatch.setitem(sys.modules, package, module)
        return vars(module)

    @pytest.mark.parametrize("server", ["uvicorn", "hypercorn", "granian", "daphne", "gunicorn"])
    def test_server_tasks_are_known_by_where_their_code_is(
        self, server: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = self.of(server, monkeypatch)
        assert asyncio.run(names["serve"](is_server_task)) is True
        assert is_channel_of_server(names["send"])

    def test_server_tasks_are_none_of_an_application(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.of("uvicorn", monkeypatch)
        names = self.of("shop", monkeypatch)
        assert asyncio.run(names["serve"](is_server_task)) is False
        assert not is_channel_of_server(names["send"])

    def test_there_are_none_outside_of_an_event_loop(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.of("uvicorn", monkeypatch)
        assert is_server_task() is False
