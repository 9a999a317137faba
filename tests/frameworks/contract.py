"""What every adapter promises, as tests against one small application.

A class that inherits from ``Contract`` implements ``make``, which gives a
driver for the application in its framework. The application:

=================== ==================================================================
``/``               "hello", with a line "serving" on the logger ``app``
``/status/<code>``  that status
``/missing``        the framework's own way of raising a 404
``/boom``           raises ``ValueError("boom")``
``/boom-json``      raises ``ValueError`` with the text ``JSON``
``/stream``         "a", "b", "c", with a line for each part and a field after the last
``/stream-boom``    "a", then raises ``ValueError("boom")``
``/facts``          adds ``user`` and ``name`` to the summary
``/facts-apart``    adds ``user`` in a thread or task that has the request's context
``/bind``           binds ``colour`` and, with structlog, ``shape``; logs a line "bound"
``/own-id``         answers with an ``X-Request-Id`` of its own, "mine"
``/vary``           answers with the ``Vary`` that the request's ``X-Vary`` says
``/where``          the path as the application sees it
=================== ==================================================================
"""

import json
import logging
import os
import re
import time
import urllib.parse
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from drivers import Driver
from hypothesis import given
from hypothesis import strategies as st

from dockerflow import checks, health
from dockerflow._request.rate_limit import RateLimit
from dockerflow.checks._run.slots import Slots
from mozlog_py import context
from mozlog_py.processors import Sample
from mozlog_py.testing import capture_lines

#: An exception's text that would be a whole summary if it were taken for one.
JSON = '{"code": 200, "rid": "forged", "errno": 0}'

FIELDS = {"agent", "code", "errno", "lang", "method", "path", "rid", "t", "uid"}


def bind() -> None:
    """Bind the fields that ``/bind`` binds, and log a line with them."""
    import structlog

    context.bind(colour="red")
    structlog.contextvars.bind_contextvars(shape="round")
    logging.getLogger("app").info("bound")


class Lines:
    """The lines logged so far."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self.all = lines

    @property
    def summaries(self) -> list[dict[str, Any]]:
        return [line for line in self.all if line["Type"] == "request.summary"]

    @property
    def summary(self) -> dict[str, Any]:
        """The Fields of the only summary."""
        (line,) = self.summaries
        fields = line["Fields"]
        assert isinstance(fields, dict)
        return fields

    def of(self, logger: str) -> list[dict[str, Any]]:
        return [line["Fields"] for line in self.all if line["Type"] == logger]


class Contract:
    """Tests that every adapter passes."""

    #: How long a path may be that still reaches the adapter.
    longest_path = 100_000
    #: Whether a query string of any bytes reaches the adapter.
    takes_any_query = True
    #: Whether the framework makes the response for an exception; else the server does.
    answers_errors = True
    #: What ``/__lbheartbeat__`` answers.
    lbheartbeat_body = b""

    def make(self, folder: Path, settings: dict[str, Any] | None = None) -> Driver:
        """Return the application; ``folder`` is where ``version.json`` may be."""
        raise NotImplementedError

    @pytest.fixture
    def driver(self, tmp_path: Path) -> Driver:
        (tmp_path / "version.json").write_text('{"version": "1.2", "commit": null}')
        return self.make(tmp_path)

    # -- the summary ------------------------------------------------------

    def test_a_request_has_one_summary_with_all_fields(self, driver: Driver, lines: Lines) -> None:
        answer = driver.get("/", headers=[("User-Agent", "me"), ("Accept-Language", "de")])
        assert (answer.status, answer.body) == (200, b"hello")
        (line,) = lines.summaries
        assert line["Severity"] == 6
        fields = line["Fields"]
        assert set(fields) == FIELDS
        assert 0 <= fields.pop("t") < 60_000
        assert uuid.UUID(fields.pop("rid"))
        assert fields == {
            "agent": "me", "code": 200, "errno": 0, "lang": "de",
            "method": "GET", "path": "/", "uid": "",
        }  # fmt: skip

    def test_what_the_client_does_not_say_is_empty(self, driver: Driver, lines: Lines) -> None:
        driver.get("/")
        assert (lines.summary["agent"], lines.summary["lang"]) == ("", "")

    @pytest.mark.parametrize("status", [201, 404, 418, 503])
    def test_a_status_that_was_answered_is_no_error(
        self, driver: Driver, lines: Lines, status: int
    ) -> None:
        assert driver.get(f"/status/{status}").status == status
        (line,) = lines.summaries
        assert (line["Severity"], line["Fields"]["code"], line["Fields"]["errno"]) == (6, status, 0)

    @pytest.mark.parametrize("path", ["/missing", "/nowhere"])
    def test_a_404_of_the_framework_is_no_error(
        self, driver: Driver, lines: Lines, path: str
    ) -> None:
        assert driver.get(path).status == 404
        (line,) = lines.summaries
        assert (line["Severity"], line["Fields"]["code"], line["Fields"]["errno"]) == (6, 404, 0)

    def test_an_exception_is_one_error(self, driver: Driver, lines: Lines) -> None:
        assert driver.get("/boom").status == 500
        (line,) = lines.summaries
        fields = line["Fields"]
        assert (line["Severity"], fields["errno"], fields["code"]) == (3, 500, 500)
        assert fields["msg"] == "boom"
        assert set(fields) == {*FIELDS, "msg", "error", "traceback"}
        assert fields["error"] == "ValueError('boom')"
        assert "boom" in fields["traceback"].splitlines()[-1]

    def test_the_text_of_an_exception_cannot_pass_for_fields(
        self, driver: Driver, lines: Lines
    ) -> None:
        driver.get("/boom-json")
        assert lines.summary["msg"] == f"ValueError: {JSON}"
        assert (lines.summary["code"], lines.summary["errno"]) == (500, 500)
        assert lines.summary["rid"] != "forged"

    def test_a_stream_is_summarised_when_it_ends(self, driver: Driver, lines: Lines) -> None:
        assert driver.get("/stream").body == b"abc"
        types = [line["Type"] for line in lines.all]
        ours = [each for each in types if each in ("app", "request.summary")]
        assert ours == ["app", "app", "app", "request.summary"]
        assert lines.summary["parts"] == 3
        assert lines.summary["code"] == 200
        assert {fields["rid"] for fields in lines.of("app")} == {lines.summary["rid"]}

    def test_a_stream_that_fails_has_the_status_that_was_sent(
        self, driver: Driver, lines: Lines
    ) -> None:
        answer = driver.get("/stream-boom")
        assert (answer.status, answer.body) == (200, b"a")
        (line,) = lines.summaries
        fields = line["Fields"]
        assert (line["Severity"], fields["errno"], fields["code"]) == (3, 500, 200)
        assert fields["msg"] == "boom"

    def test_fields_are_added_from_a_view(self, driver: Driver, lines: Lines) -> None:
        driver.get("/facts")
        # A record has a name of its own.
        assert lines.summary["user"] == "ann"
        assert lines.summary["extra.name"] == "bob"

    def test_fields_are_added_from_elsewhere_in_the_request(
        self, driver: Driver, lines: Lines
    ) -> None:
        driver.get("/facts-apart")
        assert lines.summary["user"] == "ann"
        driver.get("/")
        assert "user" not in lines.summaries[1]["Fields"]

    def test_a_clock_that_jumps_back_does_not_matter(
        self, driver: Driver, lines: Lines, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = time.time()
        ticks = iter(range(100_000))
        monkeypatch.setattr(time, "time", lambda: now - 3600 * next(ticks))
        driver.get("/")
        assert lines.summary["t"] >= 0

    def test_a_query_string_is_in_it_only_when_asked(
        self, driver: Driver, lines: Lines, tmp_path: Path
    ) -> None:
        for path in ("/", "/boom", "/missing"):
            driver.get(path, query="secret=hunter2")
        assert "hunter2" not in json.dumps(lines.summaries)
        asking = self.make(tmp_path, {"DOCKERFLOW_SUMMARY_LOG_QUERYSTRING": True})
        asking.get("/", query="a=b&c%20=%C3%BC")
        asking.get("/", query="a=%ff")
        asking.get("/")
        queries = [line["Fields"]["querystring"] for line in lines.summaries[3:]]
        assert queries == ["a=b&c =\xfc", "a=\\xff", ""]

    # -- what comes from outside --------------------------------------------

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "path",
        ["/%00", "/a%0Ab", "/a%2Fb", "/%2e%2e/x", "/..", "/%ff", "/%C2%85", "//", "/%F0%9F%9A%80"],
    )
    def test_any_path_has_one_summary(self, driver: Driver, lines: Lines, path: str) -> None:
        answer = driver.get(path)
        # Some frameworks take "//" for "/".
        assert answer.status in {200, 301, 307, 308, 400, 404}
        assert lines.summary["code"] == answer.status

    def test_what_is_long_is_cut(self, driver: Driver, lines: Lines) -> None:
        long = "x" * 100_000
        path = long[: self.longest_path]
        driver.get(f"/{path}", headers=[("User-Agent", long), ("Accept-Language", long)])
        for name in ("agent", "lang", "path"):
            value = lines.summary[name]
            assert len(value) < 1100
            size = len(path) + 1 if name == "path" else len(long)
            assert value.endswith(f"xxx... <truncated, {size} characters>")

    def test_bytes_that_are_no_ascii_are_text(self, driver: Driver, lines: Lines) -> None:
        driver.get("/", headers=[("User-Agent", "caf\xe9\x7f\x1b[31m")])
        assert lines.summary["agent"] == "caf\xe9\x7f\x1b[31m"

    # -- the request id -------------------------------------------------------

    @pytest.mark.parametrize("name", ["x-request-id", "X-Request-ID", "X-REQUEST-ID"])
    def test_an_id_is_taken_and_echoed(self, driver: Driver, lines: Lines, name: str) -> None:
        answer = driver.get("/", headers=[(name, "abc-1")])
        assert lines.summary["rid"] == answer.header("x-request-id") == "abc-1"
        assert lines.of("app") == [{"msg": "serving", "rid": "abc-1"}]

    def test_an_id_is_made_and_echoed(self, driver: Driver, lines: Lines) -> None:
        first, second = driver.get("/"), driver.get("/")
        ids = [line["Fields"]["rid"] for line in lines.summaries]
        assert ids == [first.header("x-request-id"), second.header("x-request-id")]
        assert len(set(ids)) == 2

    def test_an_id_that_the_application_sets_is_that_of_its_lines_and_of_the_summary(
        self, driver: Driver, lines: Lines
    ) -> None:
        """As the summaries of upstream have it, such as the id of a trace."""

        def with_own_id(record: logging.LogRecord) -> bool:
            context.request_id_context.set("trace-9")
            return True

        logger = logging.getLogger("app")
        logger.addFilter(with_own_id)
        try:
            answer = driver.get("/bind", headers=[("X-Request-Id", "abc-1")])
        finally:
            logger.removeFilter(with_own_id)
        next_answer = driver.get("/bind")
        first, second = (line["Fields"]["rid"] for line in lines.summaries)
        assert [fields["rid"] for fields in lines.of("app")] == [first, second]
        assert (first, answer.header("x-request-id")) == ("trace-9", "abc-1")
        assert second == next_answer.header("x-request-id")

    @pytest.mark.parametrize(
        "value",
        [
            "x" * 129,
            "a\x00b",
            "a b",
            "\xe9",
            "",
            " ",
            "\x7f",
            '{"a"\t}',
            "<b>",
            "a'b",
            "$(a)",
            "a;b",
        ],
    )
    def test_an_id_that_may_not_be_is_replaced(
        self, driver: Driver, lines: Lines, value: str
    ) -> None:
        answer = driver.get("/", headers=[("X-Request-Id", value)])
        assert uuid.UUID(lines.summary["rid"])
        assert answer.header("x-request-id") == lines.summary["rid"]

    def test_the_first_valid_one_of_several_is_taken(self, driver: Driver, lines: Lines) -> None:
        driver.get("/", headers=[("X-Request-Id", value) for value in ("no way", "a", "b")])
        assert lines.summary["rid"] == "a"

    @pytest.mark.slow
    def test_chance_decides_once_about_a_request_that_brings_its_id(
        self, driver: Driver, lines: Lines
    ) -> None:
        with sampled(Sample(2)):
            kept = [len(lines_of(driver, lines, "abc-1")) for _ in range(40)]
        # Three of a stream's parts and the summary. One id for all, so no hash of it decides.
        assert set(kept) == {0, 4}

    @pytest.mark.slow
    def test_a_hash_decides_about_a_request_that_brings_no_id(
        self, driver: Driver, lines: Lines
    ) -> None:
        with sampled(Sample(2)):
            for _ in range(20):
                driver.get("/", headers=[("x-request-id", "abc-1")])
                answer = driver.get("/stream")
                request_id = answer.header("x-request-id") or ""
                is_kept = zlib.crc32(request_id.encode()) < 2**31
                assert len(of_request(lines, request_id)) == (4 if is_kept else 0)

    @pytest.mark.slow
    def test_a_secret_decides_alike_about_all_requests_with_one_id(
        self, driver: Driver, lines: Lines
    ) -> None:
        secrets = [f"{number:016}" for number in range(20)]
        kept = set()
        for secret in secrets:
            with sampled(Sample(2, secret=secret)):
                of_one = {len(lines_of(driver, lines, "abc-1")) for _ in range(3)}
            assert of_one in ({0}, {4})
            kept |= of_one
        assert kept == {0, 4}

    @pytest.mark.parametrize(
        ("choice", "values", "taken"),
        [
            ("first", ("no way", "a", "b"), "a"),
            ("last", ("a", "b"), "b"),
            ("last", ("a,b", "c, d"), "d"),
            ("last", ("a", "no way"), None),
            (1, ("a", "b"), "b"),
            ("2", ("a", "b", "c"), "b"),
            (2, ("a", "no way", "c"), None),
            (2, ("a",), None),
        ],
    )
    def test_the_one_that_the_rule_says_is_taken(
        self, lines: Lines, tmp_path: Path, choice: Any, values: tuple[str, ...], taken: str | None
    ) -> None:
        driver = self.make(tmp_path, {"DOCKERFLOW_REQUEST_ID_CHOICE": choice})
        answer = driver.get("/", headers=[("X-Request-Id", value) for value in values])
        assert answer.header("x-request-id") == lines.summary["rid"]
        if taken is None:
            assert uuid.UUID(lines.summary["rid"])
        else:
            assert lines.summary["rid"] == taken

    @pytest.mark.parametrize(
        ("characters", "value", "taken"),
        [
            ("visible", "Root=1-67;Self=2", "Root=1-67;Self=2"),
            ("visible", "<b>,$(a)", "<b>"),
            ("any", "a b, c", "a b, c"),
            ("any", "x" * 1024, "x" * 1024),
        ],
    )
    def test_an_id_may_be_of_other_characters_when_told_so(
        self, lines: Lines, tmp_path: Path, characters: str, value: str, taken: str
    ) -> None:
        driver = self.make(tmp_path, {"DOCKERFLOW_REQUEST_ID_CHARACTERS": characters})
        answer = driver.get("/", headers=[("X-Request-Id", value)])
        assert lines.summary["rid"] == answer.header("x-request-id") == taken

    @pytest.mark.parametrize("value", ["," * 1_000_000, "a," * 4000 + "b", "x" * 1_000_000])
    def test_a_header_that_is_too_long_says_nothing(
        self, driver: Driver, lines: Lines, value: str
    ) -> None:
        driver.get("/", headers=[("X-Request-Id", value)])
        driver.get("/", headers=[("X-Request-Id", "a"), ("X-Request-Id", value)])
        assert all(uuid.UUID(line["Fields"]["rid"]) for line in lines.summaries)

    @pytest.mark.parametrize(
        ("held", "said"),
        [
            ("Accept-Encoding", "Accept-Encoding, x-request-id"),
            ("Cookie,X-REQUEST-ID", "Cookie,X-REQUEST-ID"),
            ("*", "*"),
            ("", "x-request-id"),
        ],
    )
    def test_a_response_varies_by_the_header_that_its_id_came_in(
        self, driver: Driver, held: str, said: str
    ) -> None:
        wanted = ("x-vary", held)
        assert driver.get("/vary", headers=[wanted, ("X-Request-Id", "a")]).header("vary") == said
        for others in ([], [("X-Request-Id", "not one")]):
            answer = driver.get("/vary", headers=[wanted, *others])
            assert answer.header("x-request-id")
            assert answer.header("vary") == held
        assert driver.get("/own-id", headers=[("X-Request-Id", "a")]).header("vary") is None

    def test_a_response_without_an_id_does_not_vary(self, tmp_path: Path) -> None:
        driver = self.make(tmp_path, {"DOCKERFLOW_REQUEST_ID_ECHO": False})
        assert driver.get("/", headers=[("X-Request-Id", "a")]).header("vary") is None

    def test_a_response_varies_by_the_trace_that_its_id_came_in(self, tmp_path: Path) -> None:
        driver = self.make(tmp_path, {"DOCKERFLOW_REQUEST_ID_TRACEPARENT": True})
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        assert driver.get("/", headers=[("traceparent", parent)]).header("vary") == "traceparent"

    def test_the_header_has_any_name(self, lines: Lines, tmp_path: Path) -> None:
        driver = self.make(tmp_path, {"DOCKERFLOW_REQUEST_ID_HEADER_NAME": "X-Trace"})
        answer = driver.get("/", headers=[("x-trace", "t1"), ("x-request-id", "r1")])
        assert lines.summary["rid"] == answer.header("X-Trace") == "t1"
        assert answer.header("x-request-id") is None

    def test_the_echo_can_be_switched_off(self, lines: Lines, tmp_path: Path) -> None:
        driver = self.make(tmp_path, {"DOCKERFLOW_REQUEST_ID_ECHO": False})
        assert driver.get("/", headers=[("x-request-id", "r1")]).header("x-request-id") is None
        assert lines.summary["rid"] == "r1"

    def test_the_application_may_answer_with_an_id_of_its_own(
        self, driver: Driver, lines: Lines
    ) -> None:
        assert driver.get("/own-id").header("x-request-id") == "mine"

    def test_the_trace_id_is_taken_when_asked(
        self, driver: Driver, lines: Lines, tmp_path: Path
    ) -> None:
        trace = "0af7651916cd43dd8448eb211c80319c"
        headers = [("traceparent", f"00-{trace}-b7ad6b7169203331-01"), ("x-request-id", "r1")]
        driver.get("/", headers=headers)
        asking = self.make(tmp_path, {"DOCKERFLOW_REQUEST_ID_TRACEPARENT": True})
        asking.get("/", headers=headers)
        asking.get("/", headers=[("traceparent", "00-no"), ("x-request-id", "r2")])
        assert [line["Fields"]["rid"] for line in lines.summaries] == ["r1", trace, "r2"]

    def test_ids_need_not_be_trusted(self, lines: Lines, tmp_path: Path) -> None:
        driver = self.make(tmp_path, {"DOCKERFLOW_REQUEST_ID_TRUST": "false"})
        driver.get("/", headers=[("x-request-id", "r1")])
        assert uuid.UUID(lines.summary["rid"])

    # -- the context ------------------------------------------------------------

    def test_nothing_of_a_request_remains(self, driver: Driver, lines: Lines) -> None:
        import structlog  # its presence changes how the context is read

        structlog.contextvars.clear_contextvars()
        answer = driver.get("/bind", headers=[("x-request-id", "r1")])
        (bound,) = lines.of("app")
        assert bound == {"msg": "bound", "colour": "red", "shape": "round", "rid": "r1"}
        assert answer.left == {}
        logging.getLogger("app").warning("after")
        driver.get("/")
        driver.get("/__lbheartbeat__")
        assert lines.of("app")[1] == {"msg": "after"}
        for fields in (lines.of("app")[2], *lines.of("request.summary")[1:]):
            assert not {"colour", "shape"} & set(fields)
            assert fields["rid"] != "r1"

    # -- the endpoints ------------------------------------------------------------

    def test_lbheartbeat_answers(self, driver: Driver, lines: Lines) -> None:
        answer = driver.get("/__lbheartbeat__")
        assert (answer.status, answer.body) == (200, self.lbheartbeat_body)
        assert answer.header("cache-control") == "no-store"
        assert answer.header("x-request-id") == lines.summary["rid"]
        assert lines.summary["path"] == "/__lbheartbeat__"

    def test_version_says_what_the_file_says(self, driver: Driver, lines: Lines) -> None:
        answer = driver.get("/__version__")
        assert answer.status == 200
        assert json.loads(answer.body) == {"version": "1.2", "commit": None}
        assert answer.header("content-type") == "application/json"
        assert answer.header("cache-control") == "no-store"
        assert lines.summary["code"] == 200

    def test_version_is_404_where_there_is_none(self, lines: Lines, tmp_path: Path) -> None:
        answer = self.make(tmp_path).get("/__version__")
        assert (answer.status, answer.body) == (404, b"version.json not found")
        assert lines.summaries[0]["Severity"] == 6

    @pytest.mark.parametrize("content", ["{", "[1]", '{"a": NaN}', "\xff", ""])
    def test_a_version_that_cannot_be_read_is_a_clear_answer(
        self, lines: Lines, tmp_path: Path, content: str
    ) -> None:
        (tmp_path / "version.json").write_bytes(content.encode("latin-1"))
        answer = self.make(tmp_path).get("/__version__")
        assert answer.status == 500
        assert "version.json" in json.loads(answer.body)["error"]
        said = [line for line in lines.all if "version.json" in line["Fields"].get("msg", "")]
        assert [line["Severity"] for line in said] == [3]
        assert (lines.summary["code"], lines.summary["errno"]) == (500, 0)

    def test_a_heartbeat_tells_what_the_checks_said(self, driver: Driver, lines: Lines) -> None:
        checks.register(list, name="fine")
        checks.register(lambda: [checks.Warning("slow", id="x.W1")], name="late")
        answer = driver.get("/__heartbeat__")
        payload = json.loads(answer.body)
        assert (answer.status, payload["status"]) == (200, "warning")
        assert payload["checks"]["fine"] == "ok"
        assert payload["checks"]["late"] == "warning"
        assert payload["details"]["late"] == {
            "status": "warning", "level": 30, "messages": {"x.W1": "slow"},
        }  # fmt: skip
        assert answer.header("cache-control") == "no-store"
        assert lines.of("dockerflow.checks.registry")[-1]["rid"] == lines.summary["rid"]

    def test_a_heartbeat_that_fails_has_the_status_that_is_set(
        self, driver: Driver, lines: Lines, tmp_path: Path
    ) -> None:
        @checks.register
        def broken() -> list[Any]:
            raise RuntimeError("no")

        setting = self.make(tmp_path, {"DOCKERFLOW_HEARTBEAT_FAILED_STATUS_CODE": 503})
        assert driver.get("/__heartbeat__").status == 500
        answer = setting.get("/__heartbeat__")
        assert (answer.status, json.loads(answer.body)["checks"]["broken"]) == (503, "error")
        assert [line["Severity"] for line in lines.summaries] == [6, 6]
        assert lines.summaries[1]["Fields"]["code"] == 503

    def test_a_heartbeat_tells_at_once_what_a_test_has_changed(self, driver: Driver) -> None:
        messages: list[Any] = []
        checks.register(lambda: messages, name="late")
        answers = [driver.get("/__heartbeat__")]
        messages.append(checks.Error("no", id="x.E1"))
        answers.append(driver.get("/__heartbeat__"))
        assert [answer.status for answer in answers] == [200, 500]
        assert [answer.header("age") for answer in answers] == [None, None]

    def test_a_heartbeat_is_kept_for_as_long_as_is_set(self, lines: Lines, tmp_path: Path) -> None:
        runs: list[int] = []
        checks.register(lambda: [*runs, runs.append(1)] and [checks.Error("no", id="x.E1")], "late")
        driver = self.make(tmp_path, {"DOCKERFLOW_HEARTBEAT_CACHE_SECONDS": "60"})
        answers = [driver.request(method, "/__heartbeat__") for method in ("GET", "HEAD", "GET")]
        assert [answer.status for answer in answers] == [500] * 3
        # Django has checks of its own, which an earlier test may have asked for.
        assert [answer.header("age") for answer in answers[1:]] == ["0", "0"]
        assert answers[0].body == answers[2].body
        assert runs == [1]
        # One line of its registration, and one of its only run.
        said = [each for each in lines.of("dockerflow.checks.registry") if each["check"] == "late"]
        assert [each["msg"] for each in said] == ["check late registered", "x.E1: no"]

    def test_a_heartbeat_that_may_not_wait_is_answered_at_once(
        self, driver: Driver, lines: Lines, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        checks.register(lambda: [checks.Warning("slow", id="x.W1")], name="late")
        with monkeypatch.context() as others:
            others.setattr(Slots, "_acquire", lambda *_: None)
            answer = driver.get("/__heartbeat__")
            assert (answer.status, answer.header("retry-after")) == (503, "1")
            payload = json.loads(answer.body)
            assert (payload["status"], payload["checks"]["late"]) == ("error", "error")
            assert [*payload["details"]["late"]["messages"]] == [health.ERROR_CHECK_PENDING]
            assert driver.request("HEAD", "/__heartbeat__").status == 503
        whole = driver.get("/__heartbeat__")
        monkeypatch.setattr(Slots, "_acquire", lambda *_: None)
        answer = driver.get("/__heartbeat__")
        assert (answer.status, answer.body, answer.header("age")) == (200, whole.body, "0")
        assert answer.header("retry-after") is None
        # One line of its registration, and one of its only run.
        said = [each for each in lines.of("dockerflow.checks.registry") if each["check"] == "late"]
        assert [each["msg"] for each in said] == ["check late registered", "x.W1: slow"]
        assert [line["Fields"]["code"] for line in lines.summaries] == [503, 503, 200, 200]

    @pytest.mark.parametrize("details", ["debug", "never"])
    def test_details_are_hidden_when_asked(
        self, lines: Lines, tmp_path: Path, details: str
    ) -> None:
        checks.register(lambda: [checks.Warning("slow", id="x.W1")], name="late")
        driver = self.make(tmp_path, {"DOCKERFLOW_HEARTBEAT_DETAILS": details})
        payload = json.loads(driver.get("/__heartbeat__").body)
        assert payload == {"status": "warning"}

    def test_details_have_levels_and_ids_when_asked(self, lines: Lines, tmp_path: Path) -> None:
        checks.register(lambda: [checks.Warning("slow", id="x.W1")], name="late")
        driver = self.make(tmp_path, {"DOCKERFLOW_HEARTBEAT_DETAILS": "levels"})
        payload = json.loads(driver.get("/__heartbeat__").body)
        assert payload["checks"]["late"] == "warning"
        assert payload["details"]["late"] == {
            "status": "warning", "level": 30, "messages": {"x.W1": "warning"},
        }  # fmt: skip

    def test_a_check_that_raises_is_named_by_the_type(self, lines: Lines, driver: Driver) -> None:
        @checks.register
        def broken() -> list[Any]:
            raise ConnectionError("db.lan refused ann:tulip@db.lan")

        body = driver.get("/__heartbeat__").body.decode()
        assert "the check raised ConnectionError" in body
        assert "db.lan" not in body
        (line,) = [each for each in lines.all if "error" in each["Fields"]]
        assert line["Fields"]["error"].startswith("ConnectionError(")
        assert "tulip" not in json.dumps(lines.all)

    def test_version_has_no_credentials_and_no_path(self, lines: Lines, tmp_path: Path) -> None:
        driver = self.make(tmp_path)
        facts = {"source": "https://ann:tu/l'ip@git.example/e/shop", "build": "https://ci/?token=x"}
        (tmp_path / "version.json").write_text(json.dumps(facts))
        assert json.loads(driver.get("/__version__").body) == {
            "source": "https://git.example/e/shop", "build": "https://ci/?token=***",
        }  # fmt: skip
        raw = self.make(tmp_path, {"DOCKERFLOW_VERSION_MASK": "off"})
        assert json.loads(raw.get("/__version__").body) == facts
        (tmp_path / "version.json").write_text("{")
        answer = driver.get("/__version__")
        assert answer.status == 500
        assert json.loads(answer.body)["error"].startswith("version.json is unusable: it is not")
        assert str(tmp_path) not in answer.body.decode()
        assert any(str(tmp_path) in each["Fields"].get("msg", "") for each in lines.all)

    def test_a_check_may_be_a_coroutine_function(self, driver: Driver) -> None:
        @checks.register("storage")
        async def of_storage() -> list[Any]:
            return [checks.Error("full", id="x.E1")]

        answer = driver.get("/__heartbeat__")
        assert answer.status == 500
        assert json.loads(answer.body)["details"]["storage"]["messages"] == {"x.E1": "full"}

    def test_error_raises(self, driver: Driver, lines: Lines) -> None:
        answer = driver.get("/__error__")
        assert answer.status == 500
        if self.answers_errors:
            assert answer.header("x-request-id") == lines.summary["rid"]
        (line,) = lines.summaries
        assert (line["Severity"], line["Fields"]["errno"]) == (3, 500)
        assert line["Fields"]["msg"] == "This is a test exception from the /__error__ endpoint."
        message = "The __error__ endpoint was called"
        said = [each for each in lines.all if each["Fields"].get("msg") == message]
        assert [each["Severity"] for each in said] == [3]

    def test_error_can_be_switched_off(self, lines: Lines, tmp_path: Path) -> None:
        driver = self.make(tmp_path, {"DOCKERFLOW_ERROR_ENDPOINT": False})
        methods = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")
        for method in methods:
            answer = driver.request(method, "/__error__")
            assert (answer.status, answer.header("allow")) == (404, None), method
        assert [line["Fields"]["errno"] for line in lines.summaries] == [0] * len(methods)
        assert [line["Fields"]["code"] for line in lines.summaries] == [404] * len(methods)

    def test_error_shows_one_traceback_a_second_and_counts_the_rest(
        self, driver: Driver, lines: Lines, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        admitted = iter([0, None, None, 2])
        intervals = []

        def admit(_: RateLimit, interval: float) -> int | None:
            intervals.append(interval)
            return next(admitted)

        monkeypatch.setattr(RateLimit, "admit", admit)
        for _ in range(4):
            assert driver.get("/__error__").status == 500
        assert [line["Severity"] for line in lines.summaries] == [3] * 4
        assert all("test exception" in line["Fields"]["error"] for line in lines.summaries)
        # In lines of whatever logs it: the summary, the framework, the server.
        shown: dict[str, list[bool]] = {}
        for line in lines.all:
            if "traceback" in line["Fields"]:
                has_frames = 'File "' in line["Fields"]["traceback"]
                shown.setdefault(line["Type"], []).append(has_frames)
        assert shown.pop("request.summary") == [True, False, False, True]
        assert all(each == [True, False, False, True] for each in shown.values()), shown
        message = "The __error__ endpoint was called"
        said = [line["Fields"] for line in lines.all if line["Fields"].get("msg") == message]
        assert [fields.get("calls_not_logged") for fields in said] == [None, 2]
        assert intervals == [1.0] * 4

    def test_error_shows_each_traceback_where_the_settings_ask_for_it(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        driver = self.make(tmp_path, {"DOCKERFLOW_ERROR_LOG_SECONDS": "0"})
        for _ in range(4):
            assert driver.get("/__error__").status == 500
        shown = ['File "' in line["Fields"]["traceback"] for line in lines.summaries]
        assert shown == [True] * 4
        message = "The __error__ endpoint was called"
        said = [line["Fields"] for line in lines.all if line["Fields"].get("msg") == message]
        assert [fields.get("calls_not_logged") for fields in said] == [None] * 4

    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
    @pytest.mark.parametrize("end", ["", "/", "//"])
    def test_error_switched_off_is_as_a_path_that_is_not_there(
        self, lines: Lines, tmp_path: Path, method: str, end: str
    ) -> None:
        driver = self.make(tmp_path, {"DOCKERFLOW_ERROR_ENDPOINT": False})
        other = driver.request(method, f"/__absent__{end}").status
        assert driver.request(method, f"/__error__{end}").status == other
        said = [each["Fields"].get("msg") for each in lines.all]
        assert "The __error__ endpoint was called" not in said

    @pytest.mark.parametrize("name", ["version", "heartbeat", "lbheartbeat", "error"])
    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    def test_endpoints_take_get_and_head_only(
        self, driver: Driver, lines: Lines, name: str, method: str
    ) -> None:
        answer = driver.request(method, f"/__{name}__")
        assert answer.status == lines.summary["code"] == 405
        allowed = answer.header("allow")
        assert allowed is not None
        assert sorted(allowed.replace(" ", "").split(",")) == ["GET", "HEAD"]
        assert lines.summaries[0]["Severity"] == 6

    @pytest.mark.parametrize("name", ["version", "heartbeat", "lbheartbeat"])
    def test_head_is_get_without_a_body(self, driver: Driver, lines: Lines, name: str) -> None:
        whole = driver.get(f"/__{name}__")
        head = driver.request("HEAD", f"/__{name}__")
        assert (head.status, head.body) == (200, b"")
        assert head.header("content-length") == str(len(whole.body))
        assert len(lines.summaries) == 2

    @pytest.mark.parametrize(
        "path",
        ["/__lbheartbeat__//", "/__lbheartbeat__/%0a", "/__lbheartbeat__%0a", "/a/__lbheartbeat__",
         "/__LBHEARTBEAT__", "/__lbheartbeat__%00", "//__lbheartbeat__", "/__lbheartbeat",
         "/x__lbheartbeat__"],
    )  # fmt: skip
    def test_endpoint_paths_are_exact(self, driver: Driver, lines: Lines, path: str) -> None:
        assert driver.get(path).status in {301, 307, 308, 400, 404}
        assert lines.summary["code"] != 200

    #: What an endpoint answers whose path has a slash at its end, as with upstream.
    slash_status = 200

    def test_one_slash_at_the_end_is_as_with_upstream(self, driver: Driver, lines: Lines) -> None:
        assert driver.get("/__lbheartbeat__/").status == self.slash_status
        assert lines.summary["code"] == self.slash_status

    # -- a flood ------------------------------------------------------------------

    def __init_subclass__(cls) -> None:
        # Hypothesis keeps what it learns with the function, so each class has its own.
        cls.test_any_request_has_one_summary = flood()  # type: ignore[attr-defined]

    _flooded: Any = None

    def flooded(self) -> Driver:
        if type(self)._flooded is None:
            folder = Path(os.devnull).parent / "nowhere"
            type(self)._flooded = self.make(folder, {"DOCKERFLOW_SUMMARY_LOG_QUERYSTRING": True})
        driver = type(self)._flooded
        assert isinstance(driver, Driver)
        return driver


def flood() -> Any:
    """Make the test that sends an adapter whatever may come."""
    latin = st.characters(codec="latin-1", exclude_characters="\r\n\0")
    plain = st.characters(codec="ascii", categories=["L", "N", "P"], exclude_characters="%?#")
    headers = ["User-Agent", "Accept-Language", "x-request-id", "X-Request-ID", "traceparent"]

    @pytest.mark.slow
    @given(
        method=st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "BREW"]),
        path=st.one_of(
            st.sampled_from(["/", "/boom", "/missing", "/stream", "/facts", "/__lbheartbeat__"]),
            st.binary(max_size=60).map(lambda raw: "/" + "".join(f"%{each:02x}" for each in raw)),
            st.text(plain, max_size=40).map(lambda text: f"/{text}"),
        ),
        query=st.binary(max_size=60),
        headers=st.lists(
            st.tuples(st.sampled_from(headers), st.text(latin, max_size=140)), max_size=6
        ),
    )
    def test_any_request_has_one_summary(
        self: Contract, method: str, path: str, query: bytes, headers: list[tuple[str, str]]
    ) -> None:
        driver = self.flooded()
        if not self.takes_any_query:
            query = urllib.parse.quote_from_bytes(query).encode()
        with capture_lines() as captured:
            answer = driver.request(method, path, query=query, headers=headers)
        summary = Lines(captured).summary
        assert answer.left == {}
        assert summary["code"] == answer.status
        assert re.fullmatch(r"[A-Za-z0-9._:/+=@-]{1,128}", summary["rid"])
        if path == "/boom" and answer.status == 500:
            assert (summary["errno"], summary["msg"]) == (500, "boom")
        else:
            # Nothing raises but what the application made raise.
            assert answer.status < 500
            assert answer.header("x-request-id") == summary["rid"]
            assert (summary["errno"], "msg" in summary) == (0, False)

    return test_any_request_has_one_summary


@contextmanager
def sampled(sample: Sample) -> Iterator[None]:
    """Have the lines of requests sampled."""
    loggers = [logging.getLogger(name) for name in ("app", "request.summary")]
    for logger in loggers:
        logger.addFilter(sample)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(sample)


def lines_of(driver: Driver, lines: Lines, request_id: str) -> list[dict[str, Any]]:
    """Return the lines of one more request with an id."""
    before = len(of_request(lines, request_id))
    driver.get("/stream", headers=[("x-request-id", request_id)])
    return of_request(lines, request_id)[before:]


def of_request(lines: Lines, request_id: str) -> list[dict[str, Any]]:
    return [
        line
        for line in lines.all
        if line["Fields"].get("rid") == request_id and line["Type"] in ("app", "request.summary")
    ]
