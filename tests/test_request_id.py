"""Request ids: which are taken, which are made, and by whose rules."""

import os
import random
import uuid
from typing import Any

import pytest

from dockerflow.logging import get_or_generate_request_id
from dockerflow.middleware import AGENT, LANGUAGE, REQUEST_ID_HEADER, TRACEPARENT, HeaderRoles
from dockerflow.request_id import RequestIdPolicy, is_safe, new_id, trace_id
from dockerflow.settings import Settings

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


class TestNewId:
    def test_is_a_random_uuid(self) -> None:
        made = [uuid.UUID(new_id()) for _ in range(500)]
        assert len(set(made)) == 500
        assert {(each.version, each.variant) for each in made} == {(4, uuid.RFC_4122)}
        assert all(str(each) == str(each).lower() for each in made)

    def test_is_another_one_in_a_forked_process(self) -> None:
        new_id()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, new_id().encode())
            os._exit(0)
        os.waitpid(child, 0)
        theirs = os.read(reader, 100).decode()
        os.close(reader)
        os.close(writer)
        assert uuid.UUID(theirs)
        assert theirs not in [new_id() for _ in range(200)]

    def test_does_not_depend_on_a_seed(self) -> None:
        random.seed(1)
        first = new_id()
        random.seed(1)
        assert new_id() != first


class TestTraceId:
    @pytest.mark.parametrize(
        "header",
        [
            f"00-{TRACE}-{PARENT}-01",
            f"00-{TRACE}-{PARENT}-ff",
            f" 00-{TRACE}-{PARENT}-00\t",
            f"01-{TRACE}-{PARENT}-01",
            f"cc-{TRACE}-{PARENT}-01-what-the-future-brings",
            f"fe-{TRACE}-{PARENT}-01-",
        ],
    )
    def test_is_taken_from_a_valid_header(self, header: str) -> None:
        assert trace_id(header) == TRACE

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "00",
            f"ff-{TRACE}-{PARENT}-01",
            f"00-{TRACE}-{PARENT}-01-more",
            f"00-{TRACE}-{PARENT}-01-",
            f"01-{TRACE}-{PARENT}-01.more",
            f"01-{TRACE}-{PARENT}-012",
            f"00-{TRACE.upper()}-{PARENT}-01",
            f"00-{'0' * 32}-{PARENT}-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"00-{TRACE}-{PARENT}-0",
            f"00-{TRACE}-{PARENT}-0g",
            f"0-{TRACE}-{PARENT}-01",
            f"00-{TRACE[:-1]}-{PARENT}-01",
            f"00_{TRACE}_{PARENT}_01",
            f"00-{TRACE}-{PARENT}-01\n",
            f"\u0660\u0660-{TRACE}-{PARENT}-01",
            f"00-{TRACE}-{PARENT}-01,00-{TRACE}-{PARENT}-01",
        ],
    )
    def test_is_not_taken_from_another(self, header: str) -> None:
        assert trace_id(header) is None


class TestPolicy:
    def test_takes_the_first_valid_one(self) -> None:
        assert RequestIdPolicy().choose(["a b", "\x00,good", "other"], []) == "good"

    @pytest.mark.parametrize("value", ["", "a b", "x" * 129, "\u20ac", "a\n", "a\x7f"])
    def test_replaces_what_is_not_safe(self, value: str) -> None:
        assert not is_safe(value)
        assert uuid.UUID(RequestIdPolicy().choose([value], []))

    def test_has_functions_of_its_own(self) -> None:
        policy = RequestIdPolicy(
            generator=lambda: "made",
            validator=str.isdecimal,
            trust=lambda client: client == "10.0.0.1",
        )
        assert policy.choose(["12"], [], "10.0.0.1") == "12"
        assert policy.choose(["12"], [], "10.0.0.2") == "made"
        assert policy.choose(["12"], [], None) == "made"
        assert policy.choose(["x"], [], "10.0.0.1") == "made"

    def test_trusts_nobody_when_told_so(self) -> None:
        policy = RequestIdPolicy(trust=False, traceparent=True, generator=lambda: "made")
        assert policy.choose(["a"], [f"00-{TRACE}-{PARENT}-01"]) == "made"

    def test_prefers_the_trace_where_it_is_asked_for(self) -> None:
        header = f"00-{TRACE}-{PARENT}-01"
        assert RequestIdPolicy(traceparent=True).choose(["a"], [header]) == TRACE
        assert RequestIdPolicy(traceparent=True).choose(["a"], [header, header]) == "a"
        assert RequestIdPolicy().choose(["a"], [header]) == "a"

    @pytest.mark.parametrize("made", [None, "", 7, b"x"])
    def test_survives_a_generator_that_makes_no_text(self, made: Any) -> None:
        assert uuid.UUID(RequestIdPolicy(generator=lambda: made).generate())

    def test_survives_functions_that_raise(self) -> None:
        def fail(*args: Any) -> Any:
            raise RuntimeError

        assert uuid.UUID(RequestIdPolicy(generator=fail).generate())
        assert uuid.UUID(RequestIdPolicy(validator=fail).choose(["a"], []))
        assert uuid.UUID(RequestIdPolicy(trust=fail).choose(["a"], []))

    def test_echoes_only_what_a_header_may_hold(self) -> None:
        policy = RequestIdPolicy(validator=lambda value: True)
        assert policy.may_echo("a b")
        for value in ("a\r\nSet-Cookie: x", "\u20ac", "x" * 2000, "\x00"):
            assert not policy.may_echo(value)
        assert not RequestIdPolicy(echo=False).may_echo("a")

    def test_is_what_the_settings_say(self) -> None:
        policy = RequestIdPolicy.of(
            Settings(
                request_id_header_name="X-Trace",
                request_id_trust=False,
                request_id_traceparent=True,
                request_id_echo=False,
            )
        )
        assert (policy.header_name, policy.trust, policy.traceparent, policy.echo) == (
            "X-Trace", False, True, False,
        )  # fmt: skip


class TestUpstreamsFunction:
    def test_shares_the_rules(self) -> None:
        assert get_or_generate_request_id({"X-Request-Id": "a b,ok"}) == "ok"
        assert get_or_generate_request_id({"x-t": "abc"}, header_name="X-T") == "abc"
        assert uuid.UUID(get_or_generate_request_id({"x-request-id": "x" * 129}))


class TestHeaderRoles:
    def test_know_a_header_in_any_case(self) -> None:
        roles = HeaderRoles(b"x-request-id", uses_traceparent=True)
        names = (b"user-agent", b"User-Agent", b"ACCEPT-LANGUAGE", b"X-Request-Id", b"traceparent")
        for _ in range(2):
            found = [roles[name] for name in names]
            assert found == [AGENT, AGENT, LANGUAGE, REQUEST_ID_HEADER, TRACEPARENT]
            assert roles[b"host"] == 0

    def test_look_at_traceparent_only_where_ids_come_from_it(self) -> None:
        assert HeaderRoles(b"x-request-id", uses_traceparent=False)[b"traceparent"] == 0

    def test_let_an_id_be_in_a_header_that_summaries_show(self) -> None:
        assert HeaderRoles(b"user-agent", uses_traceparent=False)[b"User-Agent"] == (
            AGENT | REQUEST_ID_HEADER
        )

    def test_do_not_fill_the_memory(self) -> None:
        roles = HeaderRoles(b"x-request-id", uses_traceparent=True)
        assert roles[b"x" * 1_000_000] == 0
        assert len(roles) == 0
        for number in range(10_000):
            assert roles[b"x-%d" % number] == 0
        assert len(roles) < 1000
        assert roles[b"User-Agent"] == AGENT
