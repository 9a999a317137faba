"""Sample: which lines are kept, and that no client decides it."""

from __future__ import annotations

import contextvars
import copy
import logging
import pickle
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from dockerflow.asgi import DockerflowASGI
from dockerflow.logging import get_or_generate_request_id
from dockerflow.request_id import RequestIdPolicy
from dockerflow.wsgi import DockerflowWSGI
from mozlog_py import context
from mozlog_py._config.options import OptionError
from mozlog_py._context import brought_ids
from mozlog_py._fields import late_request_ids
from mozlog_py.processors import Sample
from mozlog_py.testing import capture_lines

SECRET = "correct horse battery staple"


@pytest.fixture(autouse=True)
def no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOZLOG_SAMPLE_SECRET", raising=False)


@pytest.fixture(autouse=True)
def own_context(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # The state of the process, which other tests change and read as well.
    monkeypatch.setattr(late_request_ids.served, "is_wanted", False)
    monkeypatch.setattr(brought_ids.brought, "is_wanted", False)
    context.clear()
    yield
    context.clear()
    brought_ids.put_back(None)


def kept_by(sample: Sample, texts: list[Any], key: str = "rid") -> list[Any]:
    kept = []
    for text in texts:
        try:
            got = sample(None, "info", {"event": "x", key: text})
        except structlog.DropEvent:
            continue
        assert got["sample_rate"] == sample.rate
        kept.append(text)
    return kept


IDS = [f"request-{number}" for number in range(2000)]


class TestSecrets:
    def test_secrets_decide_otherwise_than_a_hash_that_all_can_make(self) -> None:
        unkeyed, keyed = kept_by(Sample(10), IDS), kept_by(Sample(10, secret=SECRET), IDS)
        assert unkeyed == [rid for rid in IDS if zlib.crc32(rid.encode()) * 10 < 2**32]
        assert 120 < len(keyed) < 280
        # The two hashes are independent: a tenth of a tenth is kept by both.
        assert len(set(unkeyed) & set(keyed)) < 60

    def test_secrets_that_are_the_same_decide_the_same(self) -> None:
        first = kept_by(Sample(10, secret=SECRET), IDS)
        assert kept_by(Sample(10, secret=SECRET.encode()), IDS) == first
        assert kept_by(pickle.loads(pickle.dumps(Sample(10, secret=SECRET))), IDS) == first
        assert kept_by(copy.deepcopy(Sample(10, secret=SECRET)), IDS) == first
        assert kept_by(Sample(10, secret=SECRET + "r"), IDS) != first

    def test_secrets_are_not_missed_by_an_object_that_an_earlier_version_has_pickled(self) -> None:
        former = Sample.__new__(Sample)
        former.__setstate__({"rate": 10, "keep_from": 30, "key": "rid"})
        assert kept_by(former, IDS) == kept_by(Sample(10), IDS)

    def test_secrets_decide_as_they_always_did(self) -> None:
        # A service reads pickles of an earlier version while a system is updated.
        kept = kept_by(Sample(100, secret=SECRET), IDS)
        assert kept[:3] == ["request-36", "request-138", "request-632"]

    def test_secrets_keep_those_of_a_higher_rate_at_a_lower_one(self) -> None:
        rare = kept_by(Sample(100, secret=SECRET), IDS)
        assert set(rare) < set(kept_by(Sample(10, secret=SECRET), IDS))

    def test_secrets_of_the_environment_are_taken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        expected = kept_by(Sample(10, secret=SECRET), IDS)
        # A secret that is read from a file ends with a newline.
        monkeypatch.setenv("MOZLOG_SAMPLE_SECRET", f"{SECRET}\n")
        assert kept_by(Sample(10), IDS) == expected
        assert kept_by(Sample(10, secret="another " * 4), IDS) != expected
        monkeypatch.setenv("MOZLOG_SAMPLE_SECRET", "")
        assert kept_by(Sample(10), IDS) == kept_by(Sample(10, secret=None), IDS) != expected

    def test_secrets_decide_by_the_field_that_key_names(self) -> None:
        sample = Sample(10, key="user", secret=SECRET)
        users = [*range(1000)]
        kept = kept_by(sample, users, "user")
        assert kept == [int(text) for text in kept_by(sample, [*map(str, users)], "user")]
        assert 50 < len(kept) < 160
        assert kept_by(sample, ["a\ud800"] * 3, "user") in ([], ["a\ud800"] * 3)

    def test_secrets_of_any_length_are_taken(self) -> None:
        kept = {
            tuple(kept_by(Sample(10, secret=secret), IDS))
            for secret in (b"x" * 16, b"x" * 64, b"x" * 65, b"x" * 66, "\ud800\xe9" * 9)
        }
        assert len(kept) == 5

    @pytest.mark.parametrize(
        ("secret", "said"),
        [
            ("", "secret is empty; it must have 16 or more"),
            (b"", "secret is empty; it must have 16 or more"),
            ("0123456789abcde", "secret has 15 bytes; it must have 16 or more"),
            (b"hunter2", "secret has 7 bytes; it must have 16 or more"),
            (12345678901234567, "secret is of type int; it must be a text or bytes"),
            (["x" * 16], "secret is of type list; it must be a text or bytes"),
            (False, "secret is of type bool; it must be a text or bytes"),
        ],
    )
    def test_secrets_that_are_invalid_raise_and_are_not_shown(self, secret: Any, said: str) -> None:
        with pytest.raises(OptionError, match=said) as raised:
            Sample(10, secret=secret)
        assert "hunter2" not in str(raised.value)
        assert "0123" not in str(raised.value)
        assert "openssl rand -hex 16" in str(raised.value)

    def test_secrets_of_the_environment_that_are_none_are_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MOZLOG_SAMPLE_SECRET", "hunter2")
        with pytest.raises(OptionError, match="MOZLOG_SAMPLE_SECRET has 7 bytes") as raised:
            Sample(10)
        assert "hunter2" not in str(raised.value)

    def test_secrets_are_not_in_what_a_dump_of_the_object_shows(self) -> None:
        sample = Sample(10, secret=SECRET)
        assert SECRET not in repr(vars(sample))
        assert SECRET.encode() not in pickle.dumps(sample)


class TestIdsThatClientsBring:
    def test_ids_that_clients_bring_are_drawn_for_only_where_something_asks(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(brought_ids.brought, "is_wanted", False)
        Sample(10, secret=SECRET)
        RequestIdPolicy().resolve(["abc"], []).value
        assert brought_ids.number_for("abc") is None
        Sample(10)
        RequestIdPolicy().resolve(["abc"], []).value
        assert brought_ids.number_for("abc") is not None

    @pytest.mark.parametrize(
        ("policy", "values", "traceparents"),
        [
            (RequestIdPolicy(), ["abc"], []),
            (RequestIdPolicy(), ["not good, abc"], []),
            (RequestIdPolicy(validator=lambda _: True), ["x" * 4000], []),
            (RequestIdPolicy(traceparent=True), [], [f"00-{'a' * 32}-{'b' * 16}-01"]),
        ],
    )
    def test_ids_that_clients_bring_are_drawn_for_however_they_came(
        self, policy: RequestIdPolicy, values: list[str], traceparents: list[str]
    ) -> None:
        Sample(10)
        rid = policy.resolve(values, traceparents).value
        assert brought_ids.number_for(rid) is not None
        rid = policy.resolve([], []).value
        assert brought_ids.number_for(rid) is None

    def test_ids_that_clients_bring_that_are_not_trusted_are_not_drawn_for(self) -> None:
        Sample(10)
        made = RequestIdPolicy(trust=False).resolve(["abc"], []).value
        assert brought_ids.number_for(made) is brought_ids.number_for("xyz") is None

    def test_ids_that_clients_bring_that_are_asked_for_in_a_request_leave_it_its_number(
        self,
    ) -> None:
        Sample(2)
        seen = []

        def app(environ: Any, start_response: Any) -> Any:
            rid = context.get()["rid"]
            for headers in ({"X-Request-Id": rid}, {"X-Request-Id": "xyz"}, {}):
                seen.append(brought_ids.number_for(rid))
                get_or_generate_request_id(headers)
            seen.append(brought_ids.number_for(rid))
            start_response("200 OK", [])
            return [b""]

        for rid in ("abc", ""):
            contextvars.Context().run(call_wsgi, DockerflowWSGI(app), rid)
        assert [len({*seen[:4]}), {*seen[4:]}] == [1, {None}]
        assert None not in seen[:4]

    def test_ids_that_clients_bring_are_kept_by_chance_whatever_field_has_them(self) -> None:
        sample = Sample(2, key="request")
        kept = set()
        for _ in range(40):
            RequestIdPolicy().resolve(["abc"], []).value
            kept.add(len(kept_by(sample, ["abc"] * 3, "request")))
        assert kept == {0, 3}


def call_wsgi(app: Any, rid: str) -> None:
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_X_REQUEST_ID": rid}
    body = app(environ, lambda status, headers, exc_info=None: print)
    b"".join(body)
    body.close()


def call_asgi(app: Any, rid: str) -> None:
    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        pass

    headers = [(b"x-request-id", rid.encode())]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}
    run(app(scope, receive, send))


def run(coroutine: Any) -> None:
    """Run a coroutine that never waits, in the present context."""
    with pytest.raises(StopIteration):
        coroutine.send(None)


class TestRequestsInRequests:
    """An application that calls another one in-process, and passes its request's id on."""

    def decided(self, rid: str | None, inner_rid: str | None) -> set[tuple[int, ...]]:
        """Return how many lines of the outer request were kept, of three, by its beginnings."""
        sample, logger = Sample(2), logging.getLogger("app")
        seen: set[tuple[int, ...]] = set()
        logger.addFilter(sample)
        try:
            for _ in range(40):
                with capture_lines() as lines:
                    contextvars.Context().run(self.serve, logger, rid, inner_rid)
                texts = [line["Fields"]["msg"] for line in lines if line["Type"] == "app"]
                seen.add(tuple(texts.count(text) for text in ("outer", "inner")))
        finally:
            logger.removeFilter(sample)
        return seen

    def serve(self, logger: logging.Logger, rid: str | None, inner_rid: str | None) -> None:
        def inner(environ: Any, start_response: Any) -> Any:
            logger.info("inner")
            start_response("200 OK", [])
            return [b""]

        def outer(environ: Any, start_response: Any) -> Any:
            logger.info("outer")
            handed_on = inner_rid or context.get()["rid"]
            call_wsgi(DockerflowWSGI(inner), handed_on)
            logger.info("outer")
            start_response("200 OK", [])
            return [b""]

        call_wsgi(DockerflowWSGI(outer), rid or "")

    def test_requests_in_requests_that_hand_an_id_on_that_was_made_here_go_by_its_hash(
        self,
    ) -> None:
        assert self.decided(None, None) == {(2, 1), (0, 0)}

    def test_requests_in_requests_that_hand_an_id_on_that_was_brought_share_its_number(
        self,
    ) -> None:
        assert self.decided("abc", None) == {(2, 1), (0, 0)}

    def test_requests_in_requests_that_have_another_id_have_another_number(self) -> None:
        assert self.decided("abc", "xyz") == {(2, 1), (0, 0), (2, 0), (0, 1)}

    def test_requests_in_requests_leave_the_outer_one_its_number_also_in_one_context(self) -> None:
        Sample(2)
        seen = []

        async def inner(scope: Any, receive: Any, send: Any) -> None:
            seen.append(brought_ids.number_for(context.get()["rid"]))

        async def outer(scope: Any, receive: Any, send: Any) -> None:
            for rid in ("xyz", "abc", "xyz"):
                seen.append(brought_ids.number_for("abc"))
                call_asgi(DockerflowASGI(inner), rid)
            seen.append(brought_ids.number_for("abc"))

        contextvars.Context().run(call_asgi, DockerflowASGI(outer), "abc")
        before, other, again, same, at_last, another, end = seen
        assert before is not None
        assert before == again == same == at_last == end
        assert None not in (other, another)
        assert other != another


class TestLinesBehindARequest:
    def test_lines_behind_a_request_of_a_server_go_by_the_number_of_the_request(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sample = Sample(2)
        monkeypatch.setattr(late_request_ids.served, "is_wanted", True)

        def app(environ: Any, start_response: Any) -> Any:
            seen.append(brought_ids.number_for("abc"))
            start_response("200 OK", [])
            return [b""]

        def serve() -> None:
            call_wsgi(DockerflowWSGI(app), "abc")
            # An access line reads the id from the environ.
            assert brought_ids.number_for("abc") == seen[-1] is not None
            made = logging.makeLogRecord({"levelno": 20, "rid": "abc"})
            assert sample.filter(made) is (seen[-1] < 2**31)

        seen: list[Any] = []
        for _ in range(20):
            contextvars.Context().run(serve)
        assert {number < 2**31 for number in seen} == {True, False}
