"""Checks in Django: their connections, and what they see of a test's transaction."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from checks_stacks import run_script, serving
from services import PASSWORD, Postgres

#: ``OPTIONS`` are further settings, ``DATABASE`` the one there is.
_CONFIGURE = """
import asyncio, json, logging, os, sys
import django
from django.conf import settings

settings.configure(**{
    "ALLOWED_HOSTS": ["*"], "DATABASES": {"default": DATABASE}, "DEBUG": True,
    "DOCKERFLOW_CHECKS": [], "INSTALLED_APPS": ["django.contrib.contenttypes", "dockerflow.django"],
    "LOGGING_CONFIG": None, "MIDDLEWARE": ["dockerflow.django.middleware.DockerflowMiddleware"],
    "ROOT_URLCONF": (), "SECRET_KEY": "x", **OPTIONS,
})
django.setup()
from django.contrib.contenttypes.models import ContentType
from django.core import checks as django_checks
from django.core.management import call_command
from django.db import connection
from django.db.backends.signals import connection_created
from django.test import AsyncClient, Client, TestCase
from dockerflow import checks

made = []
connection_created.connect(lambda connection, **_: made.append(connection), weak=False)

def still_open():
    return sum(each.connection is not None for each in set(made))

def types():
    list(ContentType.objects.all())
    return []

async def async_types():
    await ContentType.objects.acount()
    return []

def levels(response):
    return response.json()["checks"]
"""


def configured(postgres: Postgres | None = None, **options: Any) -> str:
    database: dict[str, Any] = {"ENGINE": "django.db.backends.sqlite3", "NAME": "db"}
    if postgres is not None:
        database = {
            "ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "PORT": postgres.port,
            "USER": "shop", "NAME": "postgres", "PASSWORD": PASSWORD,
        }  # fmt: skip
    database["CONN_MAX_AGE"] = options.pop("max_age", 0)
    return f"DATABASE, OPTIONS = {database!r}, {options!r}\n{_CONFIGURE}"


_MIGRATED = 'call_command("migrate", verbosity=0)\nconnection.close()\nmade.clear()\n'

_CUT = """
import psycopg
def cut():
    with psycopg.connect(
        host="127.0.0.1", port=DATABASE["PORT"], user=DATABASE["USER"],
        password=DATABASE["PASSWORD"], dbname="postgres", autocommit=True,
    ) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
"""


class TestConnectionsAreKeptOrClosedAsARequestsAre:
    def test_kept_ones_are_used_again_where_their_age_allows_it(self, tmp_path: Path) -> None:
        found = run_script(
            tmp_path,
            f"""{configured(max_age=600)}{_MIGRATED}
for name in ("orders", "stock", "bills"):
    checks.register(lambda: types(), name=name)
client, counts = Client(), []
for _ in range(10):
    assert client.get("/__heartbeat__").status_code == 200
    counts.append(len(made))
print(json.dumps(counts))
""",
        )
        # One for each thread that checks ever ran in at the same time.
        assert found[-1] <= 3

    def test_those_of_djangos_own_checks_are_kept_as_well(self, tmp_path: Path) -> None:
        found = run_script(
            tmp_path,
            f"""{configured(max_age=600)}{_MIGRATED}
from dockerflow.django.checks import check_database_connected, check_migrations_applied
django_checks.register(check_database_connected)
django_checks.register(check_migrations_applied)
client, counts = Client(), []
for _ in range(10):
    assert client.get("/__heartbeat__").status_code == 200
    counts.append(len(made))
# Each thread may have one; there are never more threads than checks at a time.
print(json.dumps([counts, len(levels(client.get("/__heartbeat__")))]))
""",
        )
        counts, checks = found
        assert counts[-1] <= checks
        assert counts[-1] < 2 * len(counts), "a connection for each check of each heartbeat"

    def test_kept_ones_are_closed_when_their_thread_ends(self, tmp_path: Path) -> None:
        assert run_script(
            tmp_path,
            f"""{configured(max_age=None)}{_MIGRATED}
import threading, time
from dockerflow.checks._run import worker_threads as threads
threads.IDLE_S = 0.01
threads.WorkerThreads.__init__.__defaults__ = (0.01,)
checks.register(types)
assert Client().get("/__heartbeat__").status_code == 200
while any(each.name.startswith("dockerflow-check") for each in threading.enumerate()):
    time.sleep(0.01)
print(json.dumps([len(made), still_open()]))
""",
        ) == [1, 0]

    @pytest.mark.parametrize("max_age", [0, 600])
    def test_those_of_async_checks_are_closed_or_used_again(
        self, tmp_path: Path, max_age: int
    ) -> None:
        found = run_script(
            tmp_path,
            f"""{configured(max_age=max_age)}{_MIGRATED}
for name in ("orders", "stock", "bills"):
    async def ask():
        return await async_types()
    checks.register(ask, name)
client = Client()
for _ in range(20):
    assert client.get("/__heartbeat__").status_code == 200
print(json.dumps([len(made), still_open()]))
""",
        )
        assert found[1] <= 1
        if max_age:
            assert found[0] == 1

    def test_a_server_with_threads_leaves_few_open(
        self, tmp_path: Path, postgres: Postgres
    ) -> None:
        source = f"""{configured(postgres, DEBUG=True)}
from django.core.wsgi import get_wsgi_application
app = get_wsgi_application()
for name in ("orders", "stock", "bills"):
    checks.register(lambda: types(), name=name)
checks.register(async_types)

@checks.register
def connections():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        )
        return [checks.Info(str(cursor.fetchone()[0]), id="count")]
call_command("migrate", verbosity=0)
"""
        command = ["-m", "gunicorn", "-k", "gthread", "--threads", "4", "-b", "127.0.0.1:PORT",
                   "shop:app"]  # fmt: skip
        with serving(tmp_path, source, command) as stack:
            for _ in range(15):
                status, payload = stack.get("/__heartbeat__")
                assert status == 200, payload
        count = int(payload["details"]["connections"]["messages"]["count"])
        # Its own five at the most, and that of another heartbeat which is being closed.
        assert count <= 10

    @pytest.mark.parametrize("server", ["uvicorn", "daphne"])
    def test_an_asynchronous_server_leaves_few_open(
        self, tmp_path: Path, postgres: Postgres, server: str
    ) -> None:
        source = f"""{configured(postgres)}
from django.core.asgi import get_asgi_application
call_command("migrate", verbosity=0)
app = get_asgi_application()
for name in ("orders", "stock"):
    async def ask():
        return await async_types()
    checks.register(ask, name)

@checks.register
def connections():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        )
        return [checks.Info(str(cursor.fetchone()[0]), id="count")]
"""
        command = {
            "uvicorn": ["-m", "uvicorn", "--port", "PORT", "shop:app"],
            "daphne": ["-m", "daphne", "-p", "PORT", "shop:app"],
        }[server]
        with serving(tmp_path, source, command) as stack:
            for _ in range(15):
                status, payload = stack.get("/__heartbeat__")
                assert status == 200, payload
        assert int(payload["details"]["connections"]["messages"]["count"]) <= 6


class TestAnOutageIsOverWhenTheDatabaseIsBack:
    @pytest.mark.parametrize("max_age", [0, 600])
    @pytest.mark.parametrize("client", ["Client", "AsyncClient"])
    def test_an_outage_is_over_when_the_database_is_back_for_checks_of_every_kind(
        self, tmp_path: Path, postgres: Postgres, max_age: int, client: str
    ) -> None:
        found = run_script(
            tmp_path,
            f"""{configured(postgres, max_age=max_age)}{_CUT}
call_command("migrate", verbosity=0)
logging.disable()
checks.register(types)
checks.register(async_types)

def ask():
    if {client!r} == "Client":
        return Client().get("/__heartbeat__").json()["checks"]
    async def main():
        return await AsyncClient().get("/__heartbeat__")
    return asyncio.run(main()).json()["checks"]

def both(levels):
    return [levels["types"], levels["async_types"]]

before = both(ask())
cut()
print(json.dumps([before, *(both(ask()) for _ in range(4))]))
""",
        )
        assert found[0] == ["ok", "ok"]
        # Each thread that kept a connection may find it broken, once.
        assert found[-1] == ["ok", "ok"]
        assert found[-2] == ["ok", "ok"]

    @pytest.mark.parametrize("server", ["uvicorn", "daphne"])
    def test_an_outage_is_over_when_the_database_is_back_on_asynchronous_servers(
        self, tmp_path: Path, postgres: Postgres, server: str
    ) -> None:
        source = f"""{configured(postgres)}{_CUT}
from django.core.asgi import get_asgi_application
call_command("migrate", verbosity=0)
app = get_asgi_application()
checks.register(types)
checks.register(async_types)

@checks.register
def cuts():
    if os.path.exists("cut"):
        os.remove("cut")
        cut()
    return []
"""
        command = {
            "uvicorn": ["-m", "uvicorn", "--port", "PORT", "shop:app"],
            "daphne": ["-m", "daphne", "-p", "PORT", "shop:app"],
        }[server]
        with serving(tmp_path, source, command) as stack:
            assert stack.get("/__heartbeat__")[0] == 200
            (tmp_path / "cut").touch()
            stack.get("/__heartbeat__")
            stack.get("/__heartbeat__")
            status, payload = stack.get("/__heartbeat__")
            assert (status, payload["checks"]["async_types"]) == (200, "ok")

    def test_the_builtin_checks_replace_a_kept_connection_that_is_dead(
        self, tmp_path: Path, postgres: Postgres
    ) -> None:
        assert (
            run_script(
                tmp_path,
                f"""{configured(postgres, max_age=None)}{_CUT}
from dockerflow.django.checks import check_database_connected, check_migrations_applied
django_checks.register(check_database_connected)
django_checks.register(check_migrations_applied)
call_command("migrate", verbosity=0)
client, seen = Client(), []
for _ in range(3):
    found = levels(client.get("/__heartbeat__"))
    seen.append([found["check_database_connected"], found["check_migrations_applied"]])
    cut()
print(json.dumps(seen))
""",
            )
            == [["ok", "ok"]] * 3
        )


class TestAsyncChecksDoNotWaitForThemselves:
    """The thread that runs synchronous code may be the one that waits for the checks."""

    SYNC_ONLY = """
def sync_only(get_response):
    return lambda request: get_response(request)
"""

    @pytest.mark.parametrize("server", ["uvicorn", "AsyncClient"])
    def test_async_checks_do_not_wait_for_themselves_behind_a_middleware_that_is_synchronous(
        self, tmp_path: Path, server: str
    ) -> None:
        (tmp_path / "middle.py").write_text(self.SYNC_ONLY)
        middleware = ["middle.sync_only", "dockerflow.django.middleware.DockerflowMiddleware"]
        source = f"""{configured(MIDDLEWARE=middleware)}
from django.core.asgi import get_asgi_application
call_command("migrate", verbosity=0)
app = get_asgi_application()
checks.register(types)
checks.register(async_types)
"""
        if server == "AsyncClient":
            found = run_script(
                tmp_path,
                f"""{source}
async def main():
    return await AsyncClient().get("/__heartbeat__")
print(json.dumps(levels(asyncio.run(main()))))
""",
            )
        else:
            command = ["-m", "uvicorn", "--port", "PORT", "shop:app"]
            with serving(tmp_path, source, command) as stack:
                _, payload = stack.get("/__heartbeat__")
                found = payload["checks"]
        assert (found["types"], found["async_types"]) == ("ok", "ok")


class TestASharedRun:
    def test_outlives_the_request_that_began_it(self, tmp_path: Path) -> None:
        source = f"""{configured()}
from django.core.asgi import get_asgi_application
call_command("migrate", verbosity=0)
app = get_asgi_application()

@checks.register
async def slow():
    await ContentType.objects.acount()
    open("begun", "w").close()
    while not os.path.exists("go"):
        await asyncio.sleep(0.01)
    await ContentType.objects.acount()
    return [checks.Info("both", id="x")]
"""
        command = ["-m", "uvicorn", "--port", "PORT", "shop:app"]
        with serving(tmp_path, source, command) as stack:
            first = socket.create_connection(("127.0.0.1", stack.port))
            first.sendall(b"GET /__heartbeat__ HTTP/1.1\r\nHost: x\r\n\r\n")
            while not (tmp_path / "begun").exists():
                time.sleep(0.01)
            with ThreadPoolExecutor(1) as pool:
                second = pool.submit(stack.get, "/__heartbeat__")
                time.sleep(0.2)
                first.close()
                time.sleep(0.2)
                (tmp_path / "go").touch()
                status, payload = second.result(60)
        assert (status, payload["checks"]["slow"]) == (200, "info"), payload


_TEST_CASE = """
from unittest import TestResult, defaultTestLoader
from django.test.utils import get_runner

def run(case):
    runner, result = get_runner(settings)(verbosity=0), TestResult()
    databases = runner.setup_databases()
    defaultTestLoader.loadTestsFromTestCase(case).run(result)
    runner.teardown_databases(databases)
    problems = [text for _, text in result.failures + result.errors]
    print(json.dumps([result.testsRun, problems]))

def there_is_one():
    return [] if ContentType.objects.filter(model="new").exists() else [checks.Error("no", id="x")]

async def async_there_is_one():
    is_there = await ContentType.objects.filter(model="new").aexists()
    return [] if is_there else [checks.Error("no", id="x")]

checks.register(there_is_one, timeout=0.000001)
checks.register(async_there_is_one)
"""


class TestATestsTransaction:
    @pytest.mark.parametrize("name", ["db", ":memory:"])
    def test_a_tests_transaction_is_seen_by_checks_of_every_kind_of_client(
        self, tmp_path: Path, name: str
    ) -> None:
        source = configured().replace("'NAME': 'db'", f"'NAME': {name!r}")
        assert run_script(
            tmp_path,
            f"""{source}{_TEST_CASE}
class HeartbeatTest(TestCase):
    def check(self, response):
        found = levels(response)
        assert (found["there_is_one"], found["async_there_is_one"]) == ("ok", "ok"), found

    def test_sync(self):
        ContentType.objects.create(app_label="shop", model="new")
        self.check(self.client.get("/__heartbeat__"))

    async def test_async(self):
        await ContentType.objects.acreate(app_label="shop", model="new")
        self.check(await self.async_client.get("/__heartbeat__"))
        # And again: no result of another test's is kept.
        await ContentType.objects.filter(model="new").adelete()
        found = levels(await self.async_client.get("/__heartbeat__"))
        assert (found["there_is_one"], found["async_there_is_one"]) == ("error", "error"), found
settings.DEBUG = True
settings.DOCKERFLOW_HEARTBEAT_DETAILS = "always"
settings.DOCKERFLOW_HEARTBEAT_CACHE_SECONDS = 60
run(HeartbeatTest)
""",
        ) == [2, []]

    def test_a_tests_transaction_is_that_of_any_of_the_databases(self, tmp_path: Path) -> None:
        source = configured().replace(
            '{"default": DATABASE}',
            '{"default": DATABASE, "other": {**DATABASE, "NAME": "other"}}',
        )
        assert run_script(
            tmp_path,
            f"""{source}{_TEST_CASE}
settings.DOCKERFLOW_HEARTBEAT_DETAILS = "always"

@checks.register
def in_other():
    is_there = ContentType.objects.using("other").filter(model="new").exists()
    return [] if is_there else [checks.Error("no", id="x")]

class HeartbeatTest(TestCase):
    databases = ["other"]
    def test(self):
        ContentType.objects.using("other").create(app_label="shop", model="new")
        checks.get_checks().pop("there_is_one")
        checks.get_checks().pop("async_there_is_one")
        found = levels(self.client.get("/__heartbeat__"))
        assert found["in_other"] == "ok", found
run(HeartbeatTest)
""",
        ) == [1, []]

    def test_a_tests_transaction_of_requests_is_not_taken_for_one(self, tmp_path: Path) -> None:
        # ATOMIC_REQUESTS would have a check that hangs hang the heartbeat.
        source = configured(MIDDLEWARE=[]).replace(
            "'CONN_MAX_AGE': 0", "'CONN_MAX_AGE': 0, 'ATOMIC_REQUESTS': True"
        )
        assert run_script(
            tmp_path,
            f"""{source}{_MIGRATED}
from types import ModuleType
from django.urls import path
from dockerflow.django import dockerflow_view
from dockerflow.django.views import heartbeat
urls = settings.ROOT_URLCONF = ModuleType("urls")
urls.urlpatterns = [path("__heartbeat__", dockerflow_view), path("own", heartbeat)]
import threading
threads = set()
@checks.register
def where():
    threads.add(threading.current_thread() is threading.main_thread())
    return types()
for at in ("/__heartbeat__", "/own"):
    assert levels(Client().get(at))["where"] == "ok"
print(json.dumps(list(threads)))
""",
        ) == [False]
