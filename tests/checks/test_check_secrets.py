"""No secret appears in the payload of a heartbeat, nor in its log lines."""

import functools
import io
import json
import logging
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import psycopg
import pytest
import redis
from attack import secrets
from conformance import Capture

from dockerflow import checks, health
from dockerflow.checks import databases
from dockerflow.checks import redis as redis_checks
from dockerflow.checks._run import mask_credentials, text_mask
from dockerflow.checks._run.payload import NO_ID
from dockerflow.checks.http import check_url_answers
from dockerflow.endpoints import heartbeat
from dockerflow.settings import Settings
from mozlog_py._values.tracebacks import mask_of

Run = Callable[..., checks.ChecksResults]

DSN = "postgresql://owner-k:tu%27lip@db.lan.example/wares"


def tells(text: str) -> bool:
    return any(part in text for part in ("tu'lip", "tu%27lip", "lip", "owner-k", "db.lan", "wares"))


def said(logged: Capture) -> str:
    """Return all texts of the lines, without JSON's escapes."""
    return "\n".join(str(value) for fields in logged.fields for value in fields.values())


@pytest.mark.slow
class TestAttack:
    def test_no_shape_of_a_secret_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MOZLOG_ATTACK_QUICK", "1")
        rows = secrets.run()
        assert [row for row in rows if row[1] != row[2]] == []
        assert len(set(secrets.SHAPES)) >= 200
        asked = " ".join(row for row, _, _ in rows)
        for name in (
            "check_engine_connected", "check_async_engine_connected",
            "check_psycopg_pool_connected", "check_async_psycopg_pool_connected",
            "check_asyncpg_pool_connected", "check_redis_connected",
            "check_async_redis_connected", "check_url_answers",
            "django: check_database_connected", "flask: check_database_connected",
            "sanic: check_redis_connected",
        ):  # fmt: skip
            assert f" {name}, refused" in asked

    def test_it_tells_where_nothing_is_masked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MOZLOG_ATTACK_QUICK", "1")
        monkeypatch.setattr(secrets, "SECRETS", secrets.SECRETS[:2])
        monkeypatch.setattr(secrets, "SHAPES", secrets.SHAPES[:46])
        monkeypatch.setattr(text_mask.TextMask, "text", lambda self, text: text)
        monkeypatch.setattr(text_mask.TextMask, "error", lambda self, shown, text: shown)
        held = {row: (tried, held) for row, tried, held in secrets.run() if "quoted" in row}
        assert held
        assert all(held < tried for tried, held in held.values()), held


class TestRaised:
    def test_a_check_is_named_by_the_type_and_the_log_has_the_text(
        self, run: Run, logged: Capture
    ) -> None:
        def breaks() -> Any:
            raise ConnectionError("no route")

        results = run([("a", breaks)])
        (text,) = results.details["a"]["messages"].values()
        assert text.startswith("the check raised ConnectionError; it ran")
        (fields,) = logged.fields
        assert fields["error"] == "ConnectionError('no route')"
        assert "in breaks" in fields["traceback"]

    @pytest.mark.parametrize("in_request", [False, True])
    @pytest.mark.parametrize("kind", ["sync", "async", "generator"])
    def test_what_is_bound_to_a_check_is_masked_in_its_line(
        self, run: Run, logged: Capture, kind: str, in_request: bool
    ) -> None:
        def connects(dsn: str) -> Any:
            try:
                raise OSError(f"refused: {dsn}")
            except OSError as error:
                raise LookupError("role 'owner-k', 'tu''lip' at DB.lan.example") from error

        async def awaits(dsn: str) -> Any:
            connects(dsn)

        def gives(dsn: str) -> Any:
            yield checks.Info("fine", id="x")
            connects(dsn)

        check = {"sync": connects, "async": awaits, "generator": gives}[kind]
        run([("a", functools.partial(check, DSN))], in_request=in_request)
        assert not tells(said(logged).replace("DB.lan", "db.lan"))
        assert "LookupError(" in logged.fields[-1]["error"]
        assert "OSError('refused: ***')" in logged.fields[-1]["traceback"]
        # The traceback quotes the source line with that shape.
        assert "in connects" in logged.fields[-1]["traceback"]

    def test_a_client_that_is_bound_to_a_check_is_known(self, run: Run, logged: Capture) -> None:
        def breaks(client: Any) -> Any:
            raise LookupError("tu'lip at db.lan.example")

        client = redis.Redis(host="db.lan.example", username="owner-k", password="tu'lip")
        run([("a", functools.partial(breaks, client=client))])
        assert logged.fields[0]["error"] == "LookupError('*** at ***')"

    def test_secrets_of_the_environment_are_masked(
        self, run: Run, logged: Capture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SHOP_DATABASE_URL", "postgresql://owner:tulip-in-may@db/x")

        def breaks() -> Any:
            raise LookupError("tulip-in-may was refused")

        run([("a", breaks)])
        assert logged.fields[0]["error"] == "LookupError('*** was refused')"

    def test_source_lines_are_masked(self, run: Run, logged: Capture) -> None:
        def connect(**_: Any) -> Any:
            raise LookupError("refused")

        def breaks() -> Any:
            return connect(user="ann", password="roses-in-june")

        run([("a", breaks)])
        assert "return connect(user=" in logged.fields[0]["traceback"]
        assert "roses-in-june" not in said(logged)

    def test_the_line_of_another_formatter_is_masked(self, run: Run) -> None:
        def breaks(dsn: str) -> Any:
            raise LookupError(f"refused: {dsn}")

        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        logger = logging.getLogger("dockerflow.checks.registry")
        logger.addHandler(handler)
        try:
            run([("a", functools.partial(breaks, DSN))])
        finally:
            logger.removeHandler(handler)
        text = stream.getvalue()
        assert "Traceback (most recent call last):" in text
        assert "LookupError: refused: ***" in text
        assert not tells(text)

    def test_the_exception_itself_is_on_the_record(self, run: Run) -> None:
        # Error reporters group by this text.
        error = LookupError("gone")
        records: list[logging.LogRecord] = []
        logger = logging.getLogger("dockerflow.checks.registry")
        handler = logging.Handler()
        handler.emit = records.append  # type: ignore[method-assign]
        logger.addHandler(handler)

        def breaks() -> Any:
            raise error

        try:
            run([("a", breaks)])
        finally:
            logger.removeHandler(handler)
        assert records[0].exc_info is not None
        assert records[0].exc_info[1] is error

    def test_a_mask_that_fails_shows_nothing(
        self, run: Run, logged: Capture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any) -> Any:
            raise MemoryError

        def breaks(dsn: str) -> Any:
            raise LookupError(f"refused: {dsn}")

        monkeypatch.setattr("dockerflow.checks._run.credential_parts.parts_of_bound", refuse)
        run([("a", functools.partial(breaks, DSN))])
        assert logged.fields[0]["error"] == "LookupError(***)"
        assert not tells(said(logged))
        monkeypatch.setattr("dockerflow.checks._run.credential_parts.parts_of", refuse)
        assert mask_credentials.redact("tulip") == "***"

    def test_a_check_that_ends_late_is_masked(self, logged: Capture) -> None:
        may_end = threading.Event()

        def breaks(dsn: str) -> Any:
            assert may_end.wait(20)
            raise LookupError(f"refused: {dsn}")

        checks.run_checks([("a", functools.partial(breaks, DSN))], timeout=0.01)
        may_end.set()
        until = time.monotonic() + 20
        while len(logged.lines) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        late = logged.fields[1]
        assert "ended after" in late["msg"]
        assert late["error"] == "LookupError('refused: ***')"
        assert not tells(said(logged))

    def test_what_a_check_masked_itself_stays_masked(self) -> None:
        error = LookupError("tu'lip, daisy")
        mask_credentials.mask_raised(error, functools.partial(print, "tu'lip"))
        mask_credentials.mask_raised(error, functools.partial(print, "daisy"))
        mask: Any = mask_of(error)
        assert mask.error(repr(error), str(error)) == "LookupError('***, ***')"


class TestReturned:
    def test_nonsense_is_named_by_its_type_and_the_log_has_the_rest(
        self, run: Run, logged: Capture
    ) -> None:
        results = run([("a", lambda: f"no answer from {DSN}"), ("b", lambda: [{"password": "x"}])])
        payload = json.dumps(results.details)
        assert "list of check messages: str" in payload
        assert "not a check message: dict" in payload
        assert "no answer" not in payload
        by_check = {fields["check"]: fields["msg"] for fields in logged.fields}
        shown = "no answer from postgresql://***@db.lan.example/wares"
        assert by_check["a"].endswith(f": str, {shown!r}")
        assert "'password': ***" in by_check["b"]

    def test_messages_that_raise_are_named_by_the_type(self, run: Run, logged: Capture) -> None:
        class Odd:
            level = 40

            @property
            def msg(self) -> str:
                raise LookupError("no text; password=tulip")

        results = run([("a", lambda: [Odd()])])
        assert results.details["a"]["messages"] == {
            health.ERROR_CHECK_RAISED: "the check raised LookupError"
        }
        assert logged.fields[0]["msg"].endswith("LookupError: no text; password=***")


class TestLevels:
    def results(self) -> checks.ChecksResults:
        return checks.run_checks(
            [
                ("a", lambda: [checks.Error("secret a", id="x"), checks.Info("secret b", id="x")]),
                ("b", lambda: [checks.Warning("secret c"), checks.Critical("secret d")]),
                ("c", list),
            ]
        )

    def test_levels_are_told_without_any_text(self) -> None:
        results = self.results()
        assert results.levels == {
            "a": {"status": "error", "level": 40, "messages": {"x": "error"}},
            "b": {"status": "critical", "level": 50, "messages": {NO_ID: "critical"}},
        }
        assert "secret" not in str(results.levels)
        assert checks.ChecksResults({}, {}, 0).levels == {}

    @pytest.mark.parametrize(
        ("details", "is_debug", "shown"),
        [
            ("always", False, "texts"), ("always", True, "texts"),
            ("levels", False, "levels"), ("levels", True, "texts"),
            ("debug", False, None), ("debug", True, "texts"),
            ("never", False, None), ("never", True, None),
        ],
    )  # fmt: skip
    def test_levels_are_between_debug_and_always(
        self, details: str, is_debug: bool, shown: str | None
    ) -> None:
        results = self.results()
        settings = Settings.read({"DOCKERFLOW_HEARTBEAT_DETAILS": details})
        payload = json.loads(heartbeat(results, settings, is_debug=is_debug).body)
        told = {"texts": results.details, "levels": results.levels, None: None}[shown]
        assert payload.get("details") == told
        assert ("checks" in payload) == (shown is not None)
        assert payload["status"] == "critical"


class TestOddClients:
    @pytest.mark.parametrize("odd", [None, 5, "text", b"\xff", [], {}, object(), type])
    @pytest.mark.parametrize(
        "check",
        [
            databases.check_engine_connected, databases.check_async_engine_connected,
            databases.check_psycopg_pool_connected, databases.check_async_psycopg_pool_connected,
            databases.check_asyncpg_pool_connected, redis_checks.check_redis_connected,
            redis_checks.check_async_redis_connected, check_url_answers,
        ],
    )  # fmt: skip
    def test_odd_clients_are_an_error_of_the_check(self, check: Any, odd: Any) -> None:
        results = checks.run_checks([("a", functools.partial(check, odd))])
        ((key, text),) = results.details["a"]["messages"].items()
        assert key in (health.ERROR_CHECK_RAISED, health.ERROR_URL_MISCONFIGURED)
        assert "object at 0x" not in text

    @pytest.mark.parametrize("odd", [5, b"tulip\xff", ["tulip"], {"a": 1}, object(), Ellipsis])
    @pytest.mark.parametrize("name", ["url", "conninfo", "kwargs", "connection_pool"])
    def test_odd_clients_hold_their_settings_in_odd_types(self, name: str, odd: Any) -> None:
        error = psycopg.OperationalError("tulip refused")
        for settings in (odd, SimpleNamespace(password=odd, host=odd, connection_kwargs=odd)):
            client = SimpleNamespace(closed=True, connection=Mock(side_effect=error))
            setattr(client, name, settings)
            (message,) = databases.check_psycopg_pool_connected(client)
            assert message.msg.startswith("Could not connect to database: ")
            assert "refused" in message.msg
