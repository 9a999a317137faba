"""The checks that are ready to register, against real services that stop and start."""

import asyncio
import base64
import http.server
import platform
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import asyncpg
import psycopg_pool
import pytest
import redis
import redis.asyncio
import sqlalchemy as sa
import uvloop
from conformance import Capture
from services import PASSWORD, Postgres, Redis, postgres_binaries, redis_binary
from sqlalchemy.ext.asyncio import create_async_engine

from dockerflow import checks, health
from dockerflow.checks import databases
from dockerflow.checks._run.run_options import DEFAULT_TIMEOUT_S
from dockerflow.checks.databases import (
    check_async_engine_connected,
    check_async_psycopg_pool_connected,
    check_asyncpg_pool_connected,
    check_engine_connected,
    check_psycopg_pool_connected,
)
from dockerflow.checks.disk import check_disk_space
from dockerflow.checks.http import check_url_answers
from dockerflow.checks.redis import check_async_redis_connected, check_redis_connected


def ask(check: Any, *args: Any) -> dict[str, str]:
    """Return the messages of one check, run as by a WSGI service; they must have no secret."""
    checks.register_partial(check, *args, name="it")
    return of(checks.run_checks([("it", checks.get_checks()["it"])], timeout=20))


def ask_url(url: str) -> dict[str, str]:
    """Return the messages of the check of a URL, which a slow machine may answer late."""
    return ask(check_url_answers, url, 20)


async def ask_async(check: Any, *args: Any) -> dict[str, str]:
    checks.register_partial(check, *args, name="it")
    return of(await checks.run_checks_async([("it", checks.get_checks()["it"])], timeout=20))


def of(results: checks.ChecksResults) -> dict[str, str]:
    messages: dict[str, str] = results.details.get("it", {}).get("messages", {})
    assert PASSWORD not in str(messages)
    assert results.level == (checks.ERROR if messages else 0)
    return messages


def only(messages: dict[str, str]) -> tuple[str, str]:
    ((key, text),) = messages.items()
    return key, text


class TestEngine:
    def test_engine_fails_while_the_database_is_away_and_recovers(self, postgres: Postgres) -> None:
        engine = sa.create_engine(postgres.url_for("psycopg"))
        assert ask(check_engine_connected, engine) == {}
        postgres.stop()
        key, text = only(ask(check_engine_connected, engine))
        assert key == health.ERROR_DB_API_EXCEPTION
        assert text.startswith("DB-API error: connection failed: ")
        assert "Connection refused" in text
        assert "sqlalche.me" not in text
        postgres.start()
        assert ask(check_engine_connected, engine) == {}
        # The pool has a connection that the server has closed.
        postgres.stop()
        postgres.start()
        assert ask(check_engine_connected, engine) == {}
        engine.dispose()

    def test_engine_fails_with_a_wrong_password(self, postgres: Postgres) -> None:
        engine = sa.create_engine(postgres.url_for("psycopg", f"not-{PASSWORD}"))
        key, text = only(ask(check_engine_connected, engine))
        assert key == health.ERROR_DB_API_EXCEPTION
        assert 'password authentication failed for user "***"' in text
        engine.dispose()

    def test_engine_asks_any_database(self) -> None:
        # The usual pool keeps a connection for each thread, and closes that of its own.
        engine = sa.create_engine("sqlite://", poolclass=sa.pool.NullPool)
        assert ask(check_engine_connected, engine) == {}
        engine = sa.create_engine("sqlite:////nonexistent/folder/db.sqlite")
        assert only(ask(check_engine_connected, engine)) == (
            health.ERROR_DB_API_EXCEPTION,
            "DB-API error: unable to open database file",
        )

    @pytest.mark.slow
    def test_engine_tells_of_an_engine_that_cannot_be_used(self) -> None:
        engine = Mock(url=sa.engine.make_url(f"sqlite://u:{PASSWORD}@h"))
        engine.connect.side_effect = sa.exc.ArgumentError(f"no plugin for {PASSWORD}")
        assert only(ask(check_engine_connected, engine)) == (
            health.ERROR_SQLALCHEMY_EXCEPTION,
            "Database misconfigured: no plugin for ***",
        )
        engine.connect.side_effect = LookupError("odd")
        assert only(ask(check_engine_connected, engine))[0] == health.ERROR_CHECK_RAISED


class TestAsyncEngine:
    @pytest.mark.parametrize(
        ("driver", "key", "start"),
        [
            ("asyncpg", health.ERROR_CANNOT_CONNECT_DATABASE, "Could not connect to database: "),
            ("psycopg", health.ERROR_DB_API_EXCEPTION, "DB-API error: connection failed: "),
        ],
    )
    def test_async_engine_fails_while_the_database_is_away_and_recovers(
        self, postgres: Postgres, driver: str, key: str, start: str
    ) -> None:
        async def main() -> None:
            engine = create_async_engine(postgres.url_for(driver))
            assert await ask_async(check_async_engine_connected, engine) == {}
            postgres.stop()
            found, text = only(await ask_async(check_async_engine_connected, engine))
            assert found == key
            assert text.startswith(start)
            postgres.start()
            assert await ask_async(check_async_engine_connected, engine) == {}
            await engine.dispose()

        asyncio.run(main())

    def test_async_engine_keeps_its_connections_from_one_heartbeat_of_a_wsgi_service_to_the_next(
        self, postgres: Postgres
    ) -> None:
        engine = create_async_engine(postgres.url_for("asyncpg"))
        made = []
        sa.event.listen(engine.sync_engine, "connect", lambda *_: made.append(1))
        for _ in range(3):
            assert ask(check_async_engine_connected, engine) == {}
        assert len(made) == 1

        async def dispose() -> list[checks.CheckMessage]:
            await engine.dispose()
            return []

        assert checks.run_checks([("dispose", dispose)]).level == 0

    def test_async_engine_asks_any_database(self) -> None:
        async def main() -> None:
            engine = create_async_engine("sqlite+aiosqlite://")
            assert await ask_async(check_async_engine_connected, engine) == {}
            await engine.dispose()

        asyncio.run(main())


class TestPsycopgPool:
    def test_psycopg_pool_fails_while_the_database_is_away_and_recovers(
        self, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(databases, "CONNECTS_WITHIN_S", 0.5)
        with psycopg_pool.ConnectionPool(postgres.url, min_size=2, open=True) as pool:
            assert ask(check_psycopg_pool_connected, pool) == {}
            postgres.stop()
            key, text = only(ask(check_psycopg_pool_connected, pool))
            assert key == health.ERROR_CANNOT_CONNECT_DATABASE
            assert text.startswith("Could not connect to database: ")
            postgres.start()
            monkeypatch.setattr(databases, "CONNECTS_WITHIN_S", 15)
            assert ask(check_psycopg_pool_connected, pool) == {}
            postgres.stop()
            postgres.start()
            assert ask(check_psycopg_pool_connected, pool) == {}
        assert only(ask(check_psycopg_pool_connected, pool))[0] == (
            health.ERROR_CANNOT_CONNECT_DATABASE
        )

    def test_psycopg_pool_of_asyncio_does_so_too(
        self, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def main() -> None:
            monkeypatch.setattr(databases, "CONNECTS_WITHIN_S", 0.5)
            check = check_async_psycopg_pool_connected
            async with psycopg_pool.AsyncConnectionPool(postgres.url, min_size=2) as pool:
                assert await ask_async(check, pool) == {}
                postgres.stop()
                key, text = only(await ask_async(check, pool))
                assert key == health.ERROR_CANNOT_CONNECT_DATABASE
                assert text.startswith("Could not connect to database: ")
                postgres.start()
                monkeypatch.setattr(databases, "CONNECTS_WITHIN_S", 15)
                assert await ask_async(check, pool) == {}
            assert only(await ask_async(check, pool))[0] == health.ERROR_CANNOT_CONNECT_DATABASE

        asyncio.run(main())

    def test_psycopg_pool_tells_of_a_query_that_fails(
        self, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(databases, "_QUERY", "SELECT nothing")

        async def main() -> None:
            async with psycopg_pool.AsyncConnectionPool(postgres.url, min_size=1) as pool:
                found.append(await ask_async(check_async_psycopg_pool_connected, pool))
            async with asyncpg.create_pool(postgres.url, min_size=1) as pool:
                found.append(await ask_async(check_asyncpg_pool_connected, pool))

        found: list[dict[str, str]] = []
        with psycopg_pool.ConnectionPool(postgres.url, min_size=1, open=True) as pool:
            found.append(ask(check_psycopg_pool_connected, pool))
        asyncio.run(main())
        for key, text in map(only, found):
            assert key == health.ERROR_DB_API_EXCEPTION
            assert text.startswith('DB-API error: column "nothing" does not exist')


class TestAsyncpgPool:
    @pytest.mark.parametrize("new_loop", [asyncio.SelectorEventLoop, uvloop.new_event_loop])
    def test_asyncpg_pool_fails_while_the_database_is_away_and_recovers(
        self, postgres: Postgres, new_loop: Callable[[], asyncio.AbstractEventLoop]
    ) -> None:
        async def main() -> None:
            async with asyncpg.create_pool(postgres.url, min_size=1) as pool:
                check = check_asyncpg_pool_connected
                assert await ask_async(check, pool) == {}
                postgres.stop()
                key, text = only(await ask_async(check, pool))
                assert key == health.ERROR_CANNOT_CONNECT_DATABASE
                assert text.startswith("Could not connect to database: ")
                postgres.start()
                assert await ask_async(check, pool) == {}

        # On uvloop asyncpg does not see that the server has closed the connection.
        with closing(new_loop()) as loop:
            loop.run_until_complete(main())


class TestFrozenDatabase:
    def test_frozen_database_is_named_within_the_deadline_and_recovers(
        self, postgres: Postgres
    ) -> None:
        # As after the loss of a network: connections stay open, and no data arrives.
        engine = sa.create_engine(postgres.url_for("psycopg"))
        pairs = [("database", lambda: check_engine_connected(engine)), ("other", list)]
        assert checks.run_checks(pairs).level == 0
        postgres.freeze()
        try:
            results = checks.run_checks(pairs, timeout=0.3)
        finally:
            postgres.thaw()
        assert results.statuses == {"database": "error", "other": "ok"}
        ((key, text),) = results.details["database"]["messages"].items()
        assert key == health.ERROR_CHECK_TIMED_OUT
        assert text.startswith("the check did not return within 0.3 s; ")
        while checks.run_checks(pairs).level:
            pass
        engine.dispose()


class TestRedis:
    def test_redis_fails_while_it_is_away_and_recovers(self, redis_server: Redis) -> None:
        with redis.Redis.from_url(redis_server.url) as client:
            assert ask(check_redis_connected, client) == {}
            redis_server.stop()
            key, text = only(ask(check_redis_connected, client))
            assert key == health.ERROR_CANNOT_CONNECT_REDIS
            assert text.startswith("Could not connect to redis: ")
            redis_server.start()
            assert ask(check_redis_connected, client) == {}

    def test_redis_of_asyncio_does_so_too(self, redis_server: Redis) -> None:
        async def main() -> None:
            async with redis.asyncio.Redis.from_url(redis_server.url) as client:
                assert await ask_async(check_async_redis_connected, client) == {}
                redis_server.stop()
                key, text = only(await ask_async(check_async_redis_connected, client))
                assert key == health.ERROR_CANNOT_CONNECT_REDIS
                assert text.startswith("Could not connect to redis: ")
                redis_server.start()
                assert await ask_async(check_async_redis_connected, client) == {}

        asyncio.run(main())

    def test_redis_fails_with_a_wrong_password(self, redis_server: Redis) -> None:
        url = redis_server.url.replace(PASSWORD, f"not-{PASSWORD}")
        with redis.Redis.from_url(url) as client:
            key, text = only(ask(check_redis_connected, client))
        assert key == health.ERROR_REDIS_EXCEPTION
        assert text.startswith('Redis error: "')

    def test_redis_fails_without_an_answer(self) -> None:
        class Silent:
            def ping(self) -> bool:
                return False

        class AsyncSilent:
            async def ping(self) -> bool:
                raise redis.RedisError(f"no answer with password={PASSWORD}")

        assert only(ask(check_redis_connected, Silent())) == (
            health.ERROR_REDIS_PING_FAILED,
            "Redis ping failed",
        )
        assert only(ask(check_async_redis_connected, AsyncSilent())) == (
            health.ERROR_REDIS_EXCEPTION,
            'Redis error: "no answer with password=***"',
        )


class Site(http.server.BaseHTTPRequestHandler):
    """Responds with the status in the path, and records the requests."""

    asked: list[tuple[str, str | None]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Authorization"]))
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to"))
        elif self.path == "/nonsense":
            self.wfile.write(b"not http\r\n\r\n")
            return
        else:
            self.send_response(int(self.path.strip("/").partition("?")[0]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Print nothing."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    Site.asked.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield lambda path, user="": f"http://{user}127.0.0.1:{server.server_port}{path}"
    server.shutdown()
    thread.join()
    server.server_close()


class TestURL:
    @pytest.mark.parametrize("path", ["/200", "/204", "/to/200"])
    def test_url_that_answers_well_is_fine(self, path: str, site: Callable[..., str]) -> None:
        assert ask_url(site(path)) == {}

    @pytest.mark.parametrize("path", ["/404", "/500", "/to/503"])
    def test_url_that_answers_with_an_error_is_one(
        self, path: str, site: Callable[..., str]
    ) -> None:
        url = site(path)
        assert only(ask_url(f"{url}?key={PASSWORD}#{PASSWORD}")) == (
            health.ERROR_URL_STATUS,
            f"http://*** answered with status {path[-3:]}",
        )

    def test_alone_gets_its_credentials(self, site: Callable[..., str]) -> None:
        url = site("/to/500", f"me:{PASSWORD}%21@")
        assert only(ask_url(url)) == (
            health.ERROR_URL_STATUS,
            "http://*** answered with status 500",
        )
        sent = "Basic " + base64.b64encode(f"me:{PASSWORD}!".encode()).decode()
        assert Site.asked == [("/to/500", sent), ("/500", None)]

    def test_url_that_does_not_answer_is_an_error(self, site: Callable[..., str]) -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))  # and does not listen
            url = f"http://me:{PASSWORD}@127.0.0.1:{bound.getsockname()[1]}/x?{PASSWORD}"
            key, text = only(ask_url(url))
        assert key == health.ERROR_URL_UNREACHABLE
        assert text == "http://*** did not answer: [Errno 111] Connection refused"
        key, text = only(ask_url(site("/nonsense")))
        assert (key, "did not answer" in text) == (health.ERROR_URL_UNREACHABLE, True)
        key, text = only(ask_url(f"{site('/200')} ?{PASSWORD}"))
        assert (key, "did not answer" in text) == (health.ERROR_URL_UNREACHABLE, True)

    def test_url_that_is_silent_for_too_long_is_an_error(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}/"
            assert only(ask(check_url_answers, url, 0.1)) == (
                health.ERROR_URL_UNREACHABLE,
                "http://*** did not answer: timed out",
            )

    def test_url_that_is_silent_fails_before_the_deadline_of_its_check(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waited: list[float] = []

        def time_out(request: Any, timeout: float) -> Any:
            waited.append(timeout)
            raise TimeoutError("timed out")

        # Only this way the test need not wait for it.
        monkeypatch.setattr(urllib.request, "urlopen", time_out)
        key, _ = only(ask(check_url_answers, "http://127.0.0.1:9/"))
        assert key == health.ERROR_URL_UNREACHABLE
        assert 0 < waited[0] < DEFAULT_TIMEOUT_S

    @pytest.mark.parametrize(
        "url",
        [
            None, 5, b"http://host/", ["http://host/"],
            "file:///etc/passwd", "ftp://host/", "host/path", "http://", "https:///path", "",
            f"http://host:{PASSWORD}/", "http://[::1", f"http://me:{PASSWORD}@:80/",
        ],
    )  # fmt: skip
    def test_url_that_is_none_is_an_error(self, url: Any) -> None:
        assert only(ask_url(url)) == (
            health.ERROR_URL_MISCONFIGURED,
            "The URL to check is no http or https URL with a host and a valid port",
        )


class TestDiskSpace:
    def test_disk_space_is_enough_or_little_or_too_little(self, tmp_path: Path) -> None:
        assert check_disk_space(tmp_path, 1) == check_disk_space(str(tmp_path), 1, 2) == []
        (little,) = check_disk_space(tmp_path, 1, 1 << 60)
        assert (little.level, little.id) == (checks.WARNING, health.WARNING_DISK_SPACE_LOW)
        key, text = only(ask(check_disk_space, tmp_path, 1 << 60, 1 << 61))
        assert key == health.ERROR_DISK_SPACE_LOW
        assert text.startswith(f"{str(tmp_path)!r} has ")
        assert text.endswith(" bytes free, less than 1,152,921,504,606,846,976")

    def test_disk_space_of_no_disk_is_an_error(self) -> None:
        key, text = only(ask(check_disk_space, "/nonexistent/folder", 1))
        assert key == health.ERROR_DISK_UNREADABLE
        assert "No such file or directory" in text
        assert only(ask(check_disk_space, "nul\0", 1))[0] == health.ERROR_DISK_UNREADABLE


class TestModules:
    @pytest.mark.parametrize("name", ["databases", "redis", "http", "disk"])
    def test_modules_need_no_client_and_no_framework_to_be_imported(self, name: str) -> None:
        source = f"""
import sys
import dockerflow.checks.{name}
clients = {{"sqlalchemy", "psycopg", "psycopg_pool", "asyncpg", "redis", "flask", "django"}}
assert not clients & set(sys.modules), clients & set(sys.modules)
"""
        subprocess.run([sys.executable, "-I", "-c", source], check=True, timeout=60)

    @pytest.mark.slow
    def test_modules_say_which_client_is_missing(
        self, monkeypatch: pytest.MonkeyPatch, logged: Capture
    ) -> None:
        monkeypatch.setitem(sys.modules, "redis", None)
        key, text = only(ask(check_redis_connected, Mock()))
        assert key == health.ERROR_CHECK_RAISED
        assert text.startswith("the check raised ModuleNotFoundError")
        # The log line names the package to install.
        (error,) = [fields["error"] for fields in logged.fields if "error" in fields]
        assert "import of redis halted" in error


def test_services_are_real_where_there_are_wheels_of_them() -> None:
    # Elsewhere the fixtures skip with a reason, and pytest's -ra prints it.
    is_here = sys.platform == "linux" and platform.machine() == "x86_64"
    assert postgres_binaries() is not None or not (is_here and sys.version_info < (3, 15))
    assert redis_binary() is not None or not (is_here and sys.version_info[:2] == (3, 11))
