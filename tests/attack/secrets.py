"""Secrets that are given to the built-in checks: none of them is in a payload or in the log.

``run()`` gives each shape of a secret to each check, by a connection string, a URL, settings or a
token, and lets the check fail. Where the driver is told to connect, a loopback port refuses it:
SQLAlchemy with psycopg, asyncpg and aiosqlite, the pools of psycopg and asyncpg, redis-py, urllib
and Django's connection. That shows what drivers say today, and they quote little. So the same
checks are also given the exceptions of these drivers, and of PyMySQL and libpq by their wording.
There the secret is quoted as a driver, a server or a proxy may quote it.

What must not be seen is the secret in any of its forms, each piece of it between special
characters, and the host.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import io
import json
import logging
import os
import re
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from unittest import mock
from urllib.parse import quote, quote_plus

import asyncpg
import psycopg
import redis
import redis.asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from dockerflow import checks, endpoints
from dockerflow._cli import version_file
from dockerflow.checks import databases, http
from dockerflow.checks import redis as redis_checks
from dockerflow.version import get_version
from mozlog_py import MozlogHandler

__all__ = ["QUOTINGS", "SECRETS", "SHAPED", "SHAPES", "SOURCES", "run"]

Row = tuple[str, int, int]

HOST: Final = "db7.shop-internal.example"
USER: Final = "kq-owner"
NAME: Final = "wares9db"

#: Passwords and tokens, each with pieces that no text has by chance.
SECRETS: Final = (
    "zq7tulip",
    "zq7-tulip.9xv_kk",
    "zq7tulip@9xvrose",
    "zq7tulip:9xvrose",
    "zq7tulip/9xvrose",
    "zq7tulip?9xvrose=8wkpink",
    "zq7tulip#9xvrose",
    "zq7tulip&9xvrose",
    "zq7tulip%9xvrose",
    "zq7tulip%2F9xvrose",
    "zq7tulip 9xvrose",
    "zq7tulip+9xvrose",
    "zq7tulip'9xvrose",
    'zq7tulip"9xvrose',
    "zq7tulip`9xvrose",
    "zq7tulip\\9xvrose",
    "zq7tulip\\\\9xvrose\\",
    "zq7tulip,9xvrose",
    "zq7tulip;9xvrose",
    "zq7tulip{9xvrose}",
    "{zq7tulip}}9xvrose",
    "(zq7tulip)[9xvrose]",
    "<zq7tulip>9xvrose",
    "zq7tulip|9xvrose$8wkpink",
    "zq7tülip-9xvröse",
    "zq7tulip€9xvrose😀",
    "zq7tulip\t9xvrose",
    "'zq7tulip''9xvrose'",
    "***zq7tulip***",
    "zq7t",
    "zq7tulip=9xvrose==",
    "zq7tulip!9xvrose~8wkpink*^",
)


def _base64(secret: str) -> str:
    return base64.b64encode(f"{USER}:{secret}".encode()).decode()


#: How an exception may quote a secret.
QUOTINGS: Final[dict[str, Callable[[str], str]]] = {
    "as it is": str,
    "repr": repr,
    "repr of repr": lambda secret: repr(repr(secret)),
    "repr of bytes": lambda secret: repr(secret.encode()),
    "JSON": json.dumps,
    "JSON in JSON": lambda secret: json.dumps(json.dumps({"x": secret})),
    "percent-encoded": lambda secret: quote(secret, safe=""),
    "in lower case": lambda secret: re.sub(
        "%..", lambda match: match[0].lower(), quote(secret, safe="")
    ),
    "percent-encoded twice": lambda secret: quote(quote(secret, safe=""), safe=""),
    "a form": quote_plus,
    "single quotes doubled": lambda secret: "'" + secret.replace("'", "''") + "'",
    "double quotes doubled": lambda secret: '"' + secret.replace('"', '""') + '"',
    "braces doubled": lambda secret: "{" + secret.replace("}", "}}") + "}",
    "libpq": lambda secret: "'" + secret.replace("\\", "\\\\").replace("'", "\\'") + "'",
    "base64 of user and password": _base64,
    "a URL": lambda secret: f"postgresql://{USER}:{secret}@{HOST}/{NAME}",
    "an encoded URL": lambda secret: f"postgresql://{USER}:{quote(secret, safe='')}@{HOST}/{NAME}",
    "repr of a URL": lambda secret: repr(f"redis://{USER}:{secret}@{HOST}:6379/0"),
    "a conninfo": lambda secret: f"host={HOST} user={USER} password={secret} dbname={NAME}",
    "without a scheme": lambda secret: f"{USER}:{secret}@tcp({HOST}:3306)/{NAME}",
    "settings": lambda secret: repr({"host": HOST, "passwd": secret, "db": NAME}),
    "a piece before a sign": lambda secret: re.split(r"[^\w.-]", secret.strip("'{(<*"))[0],
    "what follows the first sign": lambda secret: re.split(r"[%@:/?#]", secret, maxsplit=1)[-1],
}

#: All shapes: each secret in each form.
SHAPES: Final = [(secret, name) for secret in SECRETS for name in QUOTINGS]

#: What drivers and servers say, with the place for what they quote.
_WORDINGS: Final = (
    'connection to server at "{host}" (10.9.8.7), port 5432 failed: FATAL: no entry for {said}',
    'could not translate host name "{said}" to address: Name or service not known',
    'missing "=" after "{said}" in connection info string',
    'invalid integer value "{said}" for connection option "port"',
    "invalid dsn: {said}",
    "(1045, \"Access denied for user {said}@'{host}' (using password: YES)\")",
    "Error 111 connecting to {said}:6379. Connection refused.",
    "invalid literal for int() with base 10: {said}",
    "[Errno -2] Name or service not known: {said}",
    "unexpected reply {said} from {host}",
)


def _forbidden(secret: str) -> list[str]:
    """Return what must not be seen of a secret: its forms, and each piece between signs."""
    forms = {
        secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], quote(secret, safe=""),
        quote(quote(secret, safe=""), safe=""), quote_plus(secret), _base64(secret).rstrip("="),
        secret.replace("'", "''"), secret.replace('"', '""'), secret.replace("}", "}}"),
    }  # fmt: skip
    pieces = [piece for piece in re.split(r"[^0-9A-Za-z]+", secret) if len(piece) >= 3]
    return [*forms, *pieces, HOST, USER, NAME, "127.0.0.1"]


class _Log:
    """The lines of the logger of checks, as a service writes them, and as another one would."""

    def __init__(self) -> None:
        self.ours, self.plain = io.StringIO(), io.StringIO()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        plain = logging.StreamHandler(self.plain)
        handlers = [MozlogHandler(stream=self.ours), plain]
        logger = logging.getLogger("dockerflow.checks.registry")
        former = logger.level, logger.propagate
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        for handler in handlers:
            logger.addHandler(handler)
        try:
            yield
        finally:
            for handler in handlers:
                logger.removeHandler(handler)
            logger.level, logger.propagate = former
            logger.setLevel(former[0])

    def take(self) -> str:
        lines = self.ours.getvalue()
        text = "\n".join([lines, *map(_texts, map(json.loads, lines.splitlines()))])
        text += self.plain.getvalue()
        for stream in (self.ours, self.plain):
            stream.seek(0)
            stream.truncate()
        return text


def _texts(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{name}\n{_texts(each)}" for name, each in value.items())
    return value if isinstance(value, str) else ""


def _told(check: Any, log: _Log) -> str:
    """Return all that a failing check tells: the payload and the log."""
    results = checks.run_checks([("it", check)], timeout=60)
    assert results.level == checks.ERROR, results
    payload = {"details": results.details, "levels": results.levels}
    return f"{json.dumps(payload)}\n{_texts(payload)}\n{log.take()}"


def _is_held(secret: str, told: str) -> bool:
    return not any(form in told for form in _forbidden(secret))


# -- what is given, and refused on a loopback port ------------------------------


@contextlib.contextmanager
def _refusing() -> Iterator[int]:
    """Hold a port that refuses connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def _real(secret: str, port: int) -> Iterator[tuple[str, Any]]:
    """Make each check with what it connects with; each is refused, or cannot be read."""
    partial = functools.partial
    encoded = quote(secret, safe="")
    where = f"{USER}:{encoded}@127.0.0.1:{port}/{NAME}"
    raw = f"{USER}:{secret}@127.0.0.1:{port}/{NAME}"
    address = {"username": USER, "password": secret, "host": "127.0.0.1", "port": port}
    url = sa.URL.create("postgresql+psycopg", database=NAME, **address)
    engine = sa.create_engine(url)
    yield "check_engine_connected", partial(databases.check_engine_connected, engine)
    odd = sa.URL.create(
        "postgresql+psycopg", database=NAME, query={"sslmode": secret, "options": secret}, **address
    )
    yield "check_engine_connected", partial(databases.check_engine_connected, sa.create_engine(odd))
    asynchronous = create_async_engine(url.set(drivername="postgresql+asyncpg"))
    yield (
        "check_async_engine_connected",
        partial(databases.check_async_engine_connected, asynchronous),
    )
    for dsn in (f"postgresql://{where}", f"postgresql://{raw}", _conninfo(secret, port)):
        yield "check_psycopg_pool_connected", partial(_psycopg_pool, dsn)
        yield "check_async_psycopg_pool_connected", partial(_async_psycopg_pool, dsn)
    for dsn in (f"postgresql://{where}", f"postgresql://{raw}"):
        yield "check_asyncpg_pool_connected", partial(_asyncpg_pool, dsn)
    yield (
        "check_redis_connected",
        partial(redis_checks.check_redis_connected, redis.Redis(**address)),
    )
    for path in ("", f"?password={encoded}", f"?token={secret}"):
        for given in (where, raw):
            http_url = f"http://{given}{path}"
            yield "check_url_answers", partial(http.check_url_answers, http_url)
    yield "check_url_answers", partial(http.check_url_answers, f"http://127.0.0.1:{port}/{secret}")
    yield (
        "check_async_redis_connected",
        partial(redis_checks.check_async_redis_connected, redis.asyncio.Redis(**address)),
    )
    yield from _of_frameworks(secret, port, engine, redis.asyncio.Redis(**address))


def _conninfo(secret: str, port: int) -> str:
    return psycopg.conninfo.make_conninfo(
        host="127.0.0.1", port=port, user=USER, password=secret, dbname=NAME
    )


class _BrokenPool:
    """A pool that connects at once, where a pool of psycopg would wait and say only that it did."""

    closed = True

    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo
        self.kwargs: dict[str, Any] = {}

    def connection(self, timeout: float) -> Any:
        return psycopg.connect(self.conninfo)


class _BrokenAsyncPool(_BrokenPool):
    @contextlib.asynccontextmanager
    async def connection(self, timeout: float) -> Any:
        async with await psycopg.AsyncConnection.connect(self.conninfo) as connection:
            yield connection


def _psycopg_pool(dsn: str) -> Any:
    return databases.check_psycopg_pool_connected(_BrokenPool(dsn))


async def _async_psycopg_pool(dsn: str) -> Any:
    return await databases.check_async_psycopg_pool_connected(_BrokenAsyncPool(dsn))


async def _asyncpg_pool(dsn: str) -> Any:
    pool = asyncpg.create_pool(dsn, min_size=0)
    await pool
    try:
        return await databases.check_asyncpg_pool_connected(pool)
    finally:
        pool.terminate()


def _of_frameworks(secret: str, port: int, engine: Any, client: Any) -> Iterator[tuple[str, Any]]:
    from dockerflow.django import checks as django_checks
    from dockerflow.flask import checks as flask_checks
    from dockerflow.sanic import checks as sanic_checks

    partial = functools.partial
    database = SimpleNamespace(engine=engine)
    yield (
        "flask: check_database_connected",
        partial(flask_checks.check_database_connected, database),
    )
    yield (
        "sanic: check_redis_connected",
        partial(sanic_checks.check_redis_connected, SimpleNamespace(conn=client)),
    )
    connection = _DjangoConnection(secret, port)
    yield "django: check_database_connected", partial(_django, django_checks, connection)


class _DjangoConnection:
    """Connects as Django's does, and raises what Django makes of the driver's exception."""

    in_atomic_block = False

    def __init__(self, secret: str, port: int, error: Exception | None = None) -> None:
        self.settings_dict = {
            "ENGINE": "django.db.backends.postgresql", "NAME": NAME, "USER": USER,
            "PASSWORD": secret, "HOST": "127.0.0.1", "PORT": port,
            "OPTIONS": {"sslpassword": secret},
        }  # fmt: skip
        self._conninfo = _conninfo(secret, port)
        self._error = error

    def ensure_connection(self) -> None:
        from django.db.utils import OperationalError

        try:
            if self._error is not None:
                raise self._error
            psycopg.connect(self._conninfo)
        except psycopg.Error as error:
            raise OperationalError(*error.args) from error


def _django(module: Any, connection: Any) -> Any:
    with mock.patch.object(module, "connection", connection):
        return module.check_database_connected(None)


# -- the same with what drivers may say --------------------------------------


def _raising(secret: str, said: str) -> Iterator[tuple[str, Any]]:
    """Make each check with a client whose driver raises an exception with this text."""
    partial = functools.partial
    url = sa.URL.create("postgresql+psycopg", USER, secret, HOST, 5432, NAME)
    driver_error = psycopg.OperationalError(said)

    def engine(error: Exception) -> Any:
        return SimpleNamespace(url=url, connect=_raiser(error))

    for error in (
        sa.exc.OperationalError("SELECT 1", {}, driver_error),
        sa.exc.ArgumentError(said),
        OSError(said),
        LookupError(said),
    ):
        yield "check_engine_connected", partial(databases.check_engine_connected, engine(error))
    yield "flask: check_database_connected", partial(_flask, engine(sa.exc.ArgumentError(said)))
    dsn = f"postgresql://{USER}:{quote(secret, safe='')}@{HOST}/{NAME}"
    pool = SimpleNamespace(conninfo=dsn, closed=True, connection=_raiser(driver_error))
    yield "check_psycopg_pool_connected", partial(databases.check_psycopg_pool_connected, pool)
    yield (
        "check_async_psycopg_pool_connected",
        partial(databases.check_async_psycopg_pool_connected, pool),
    )
    connect = {"user": USER, "password": secret, "host": HOST, "database": NAME}
    pool = SimpleNamespace(
        _connect_args=[None], _connect_kwargs=connect, acquire=_raiser(asyncpg.InterfaceError(said))
    )
    yield "check_asyncpg_pool_connected", partial(databases.check_asyncpg_pool_connected, pool)
    connections = SimpleNamespace(connection_kwargs={**connect, "db": 0})
    client = SimpleNamespace(connection_pool=connections, ping=_raiser(redis.ConnectionError(said)))
    yield "check_redis_connected", partial(redis_checks.check_redis_connected, client)
    yield "check_async_redis_connected", partial(redis_checks.check_async_redis_connected, client)
    from dockerflow.django import checks as django_checks
    from dockerflow.sanic import checks as sanic_checks

    yield "sanic: check_redis_connected", partial(sanic_checks.check_redis_connected, client)
    connection = _DjangoConnection(secret, 5432, driver_error)
    connection.settings_dict["HOST"] = HOST
    yield "django: check_database_connected", partial(_django, django_checks, connection)
    yield "check_url_answers", partial(_url, f"https://{USER}:{secret}@{HOST}/{NAME}", said)
    # A check of the application's own, with what it is given bound to it.
    for given in (dsn, url, {"host": HOST, "user": USER, "password": secret, "name": NAME}):
        yield "a check that raises", partial(_application_check, given, said=said)


def _raiser(error: Exception) -> Callable[..., Any]:
    def raises(*_: Any, **__: Any) -> Any:
        raise error

    return raises


def _flask(engine: Any) -> Any:
    from dockerflow.flask import checks as flask_checks

    return flask_checks.check_database_connected(SimpleNamespace(engine=engine))


def _url(url: str, said: str) -> Any:
    with mock.patch.object(http.urllib.request, "urlopen", side_effect=OSError(said)):
        return http.check_url_answers(url)


def _application_check(_: Any, said: str) -> Any:
    try:
        raise ConnectionRefusedError(said)
    except OSError as error:
        raised = RuntimeError(f"no answer: {said}")
        if hasattr(raised, "add_note"):
            raised.add_note(f"asked with {said}")
        raise raised from error


# -- secrets that no check was given ------------------------------------------

#: What an exception may say of a secret that nothing knows, with the place for it.
SHAPED: Final = (
    "Authorization: Bearer {}", "authorization: Basic {}\r\nHost: x", "Cookie: a={}; b=c",
    "{{'Authorization': 'Token {}'}}", "[(b'x-api-key', b'{}')]", "X-Auth-Token: {}",
    "api-key: {}", "api-key={}", "API key {} is not valid", "access_key={}", "accessKey: {}",
    "AccountName=x;AccountKey={};EndpointSuffix=y", "SharedAccessKeyName=x;SharedAccessKey={}",
    "https://x.example/a?sv=1&sig={}", "auth={}", "jwt={}", "session={}", "sessionid: {}",
    "password {} was refused", "the password is '{}'", "mysql --password {} -h x",
    "mysql --password={} -h x", "['mysql', '--password', '{}']", "PGPASSWORD={} psql",
    "CREATE USER x IDENTIFIED BY '{}'", "IDENTIFIED WITH sha2 BY '{}'", "ALTER x PASSWORD '{}'",
    "password='{}, and; more}}'", 'password="{}, and', "PWD={{{}}};Server=x", "Pwd={} a b;Server=x",
    '{{"password": "{}", "x": 1}}', '{{\\"passwd\\": \\"{}\\"}}', "{{'client_secret': '{}'}}",
    "x:{}@y", "x:{}@tcp(y:3306)/z", "x/{}@y:1521/z", "https://x:{}@y/z", "redis://:{}@y",
    "https://x:a/{}@y/z", "amqp://x:a@{}@y", "<password>{}</password>", "token => {}",
    "Bearer {}", "aws_secret_access_key = {}", "refresh_token={}&grant=x", "passphrase: {}",
)  # fmt: skip


def _shaped(secret: str) -> Iterator[Any]:
    for shape in SHAPED:
        yield functools.partial(_application_check, None, said=f"no: {shape.format(secret)}")
        yield functools.partial(_connects, shape.format(secret))


def _connects(said: str) -> Any:
    return databases.check_psycopg_pool_connected(
        SimpleNamespace(closed=True, connection=_raiser(psycopg.OperationalError(said)))
    )


# -- what a version says --------------------------------------------------------

#: What a CI may have cloned from, with the place of the secret.
SOURCES: Final = (
    "https://x:{}@host.example/e/shop.git", "https://{}@host.example/e/shop", "http://x:{}@host/e",
    "https://x:a/{}@host.example/e", "https://x:a@{}@host.example/e", "https://x:a?{}#b@host/e",
    "https://x:a'{}\"b@host.example/e", "https://x:{}@[2001:db8::7]:8443/e", "https://x:{}@host",
    "https://x:{} b@host.example/e", "https://x.example:12/{}@host.example/e",
    "ssh://x:{}@host.example:2222/e", "ssh://{}@[fe80::1%eth0]:22/e", "ssh://x:{}@[::1]/e",
    "git+ssh://x:{}@host/e", "git+https://x:{}@host/e", "https::https://x:{}@host/e",
    "ftps://x:{}@host/e", "x:{}@host.example:e/shop", "{}@host.example:e/shop", "{}@[::1]:e/shop",
    "[{}@host.example:2222]:e/shop", "x:a/{}@host:e", "x:{}@host.example/e/shop",
    "https://host.example/e?access_token={}", "https://host.example/e?ref=x&private_token={}#y",
    "https://host.example/e?sig={}", "https://ci.example/7?token={}", "\nhttps://x:{}@host/e\n",
    "ext::ssh --password {} host %S e", "https://host.example/x#access_token={}",
)  # fmt: skip


def _version(secret: str, source: str, folder: Path) -> str:
    """Return what the endpoint and the command line make of a source with a secret in it."""
    url = source.format(secret)
    facts = {"source": url, "version": "1", "commit": "0" * 40, "build": url}
    written = version_file.render(version_file.describe(folder, {}, facts))
    (folder / "version.json").write_text(json.dumps(facts))
    shown = endpoints.version(lambda: get_version(folder), logging.getLogger("attack"))
    assert shown.status == 200
    return f"{written}{shown.body.decode()}{_texts(json.loads(shown.body))}"


# -- all of it -----------------------------------------------------------------


def run() -> list[Row]:
    """Try all shapes.

    Returns:
        For each check, by what fails: what is tried, how often, and how often nothing was told.
    """
    is_quick = bool(os.environ.get("MOZLOG_ATTACK_QUICK"))
    tried: dict[str, int] = {}
    held: dict[str, int] = {}
    log = _Log()

    def attempt(row: str, secret: str, check: Any) -> None:
        tried[row] = tried.get(row, 0) + 1
        told = _told(check, log)
        if _is_held(secret, told):
            held[row] = held.get(row, 0) + 1
        elif os.environ.get("MOZLOG_ATTACK_SHOW"):
            seen = [form for form in _forbidden(secret) if form in told]
            print(row, repr(secret), seen, told[:1500], sep="\n  ", file=sys.stderr)

    with log.listening(), _refusing() as port:
        for secret in SECRETS:
            for name, check in _real(secret, port):
                attempt(f"secrets: {name}, refused", secret, check)
        for number, (secret, form) in enumerate(SHAPES):
            said = _WORDINGS[number % len(_WORDINGS)].format(host=HOST, said=QUOTINGS[form](secret))
            every = [*_raising(secret, said)]
            # Each check meets each form, and each form each check; all of both takes minutes.
            step = 8 if is_quick else 2
            for name, check in every[number % step :: step]:
                attempt(f"secrets: {name}, quoted", secret, check)
        for secret in ("zq7tulip9xvrose", "Zq7+tulip/9xvrose=="):
            for check in _shaped(secret):
                attempt("secrets: known by their shape alone", secret, check)
    row = "secrets: in the source and the build of a version"
    with tempfile.TemporaryDirectory() as folder:
        for secret in ("zq7tulip", "zq7'tulip", "zq7%2Ftulip", "zq7tulip-9xv_rose.8wk"):
            for source in SOURCES:
                tried[row] = tried.get(row, 0) + 1
                told = _version(secret, source, Path(folder))
                held[row] = held.get(row, 0) + ("zq7" not in told and "tulip" not in told)
    return [(row, count, held.get(row, 0)) for row, count in sorted(tried.items())]


if __name__ == "__main__":
    for row in run():
        print(*row)
