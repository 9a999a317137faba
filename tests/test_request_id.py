"""Request ids: which are taken, which are made, and by whose rules."""

import os
import random
import uuid
from typing import Any

import pytest

from dockerflow._request.options import (
    AGENT,
    LANGUAGE,
    REQUEST_ID_HEADER,
    TRACEPARENT,
    HeaderRoles,
    Options,
)
from dockerflow.logging import get_or_generate_request_id
from dockerflow.request_id import (
    MAX_HEADER,
    RequestIdPolicy,
    is_any,
    is_safe,
    is_visible,
    new_id,
    trace_id,
)
from dockerflow.settings import Settings, SettingsError
from mozlog_py._config.options import OptionError

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


class TestNewId:
    def test_new_id_is_a_random_uuid(self) -> None:
        made = [uuid.UUID(new_id()) for _ in range(500)]
        assert len(set(made)) == 500
        assert {(each.version, each.variant) for each in made} == {(4, uuid.RFC_4122)}
        assert all(str(each) == str(each).lower() for each in made)

    def test_new_id_is_another_one_in_a_forked_process(self) -> None:
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

    def test_new_id_does_not_depend_on_a_seed(self) -> None:
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
    def test_trace_id_is_taken_from_a_valid_header(self, header: str) -> None:
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
    def test_trace_id_is_not_taken_from_another(self, header: str) -> None:
        assert trace_id(header) is None


class TestPolicy:
    def test_policy_takes_the_first_valid_one(self) -> None:
        assert RequestIdPolicy().resolve(["a b", "\x00,good", "other"], []).value == "good"

    @pytest.mark.parametrize("value", ["", "a b", "x" * 129, "\u20ac", "a\n", "a\x7f"])
    def test_policy_replaces_what_is_not_safe(self, value: str) -> None:
        assert not is_safe(value)
        assert uuid.UUID(RequestIdPolicy().resolve([value], []).value)

    def test_policy_has_functions_of_its_own(self) -> None:
        policy = RequestIdPolicy(
            generator=lambda: "made",
            validator=str.isdecimal,
            trust=lambda client: client == "10.0.0.1",
        )
        assert policy.resolve(["12"], [], "10.0.0.1").value == "12"
        assert policy.resolve(["12"], [], "10.0.0.2").value == "made"
        assert policy.resolve(["12"], [], None).value == "made"
        assert policy.resolve(["x"], [], "10.0.0.1").value == "made"

    def test_policy_trusts_no_client_when_told_so(self) -> None:
        policy = RequestIdPolicy(trust=False, traceparent=True, generator=lambda: "made")
        assert policy.resolve(["a"], [f"00-{TRACE}-{PARENT}-01"]).value == "made"

    def test_policy_prefers_the_trace_where_it_is_asked_for(self) -> None:
        header = f"00-{TRACE}-{PARENT}-01"
        assert RequestIdPolicy(traceparent=True).resolve(["a"], [header]).value == TRACE
        assert RequestIdPolicy(traceparent=True).resolve(["a"], [header, header]).value == "a"
        assert RequestIdPolicy().resolve(["a"], [header]).value == "a"

    @pytest.mark.parametrize("made", [None, "", 7, b"x"])
    def test_policy_survives_a_generator_that_makes_no_text(self, made: Any) -> None:
        assert uuid.UUID(RequestIdPolicy(generator=lambda: made).generate())

    @pytest.mark.parametrize(
        ("name", "given", "wanted"),
        [
            ("validator", "safe", "dockerflow.request_id.is_safe"),
            ("validator", None, "a function that takes an id"),
            ("generator", "uuid4", "dockerflow.request_id.new_id"),
            ("generator", 7, "a function without arguments"),
            ("trust", "10.0.0.0/8", "True, False, or a function that takes the address"),
            ("trust", ["10.0.0.1"], "True, False, or a function that takes the address"),
            ("trust", 2, "True, False, or a function that takes the address"),
        ],
    )
    def test_policy_refuses_what_it_cannot_call(self, name: str, given: Any, wanted: str) -> None:
        with pytest.raises(OptionError) as raised:
            RequestIdPolicy(**{name: given})
        assert str(raised.value).startswith(f"{name} is {given!r}; it must be ")
        assert wanted in str(raised.value)

    def test_policy_takes_classes_and_methods_as_functions(self) -> None:
        class Made(str):
            __slots__ = ()

        class Rules:
            def __call__(self, value: str) -> bool:
                return value == "a"

            def trusts(self, client: str | None) -> bool:
                return client is None

        rules = Rules()
        policy = RequestIdPolicy(generator=Made, validator=rules, trust=rules.trusts)
        assert policy.resolve(["a"], []).value == "a"
        assert policy.resolve(["b"], []).value != "b"

    @pytest.mark.parametrize("trust", [False, None, 0, True, 1])
    def test_policy_takes_a_constant_for_all_clients(self, trust: Any) -> None:
        policy = RequestIdPolicy(trust=trust)
        assert policy.trust is bool(trust)
        assert (policy.resolve(["a"], []).value == "a") is bool(trust)

    def test_policy_survives_functions_that_raise(self) -> None:
        def fail(*args: Any) -> Any:
            raise RuntimeError

        assert uuid.UUID(RequestIdPolicy(generator=fail).generate())
        assert uuid.UUID(RequestIdPolicy(validator=fail).resolve(["a"], []).value)
        assert uuid.UUID(RequestIdPolicy(trust=fail).resolve(["a"], []).value)

    def test_policy_echoes_only_what_a_header_may_hold(self) -> None:
        policy = RequestIdPolicy(validator=lambda value: True)
        assert policy.may_echo("a b")
        for value in ("a\r\nSet-Cookie: x", "\u20ac", "x" * 2000, "\x00"):
            assert not policy.may_echo(value)
        assert not RequestIdPolicy(echo=False).may_echo("a")

    def test_policy_is_what_the_settings_say(self) -> None:
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
        assert (policy.choice, policy.validator) == ("first", is_safe)
        further = Settings(request_id_choice=2, request_id_characters="visible")
        policy = RequestIdPolicy.of(further)
        assert (policy.choice, policy.validator) == (2, is_visible)

    def test_policy_says_where_an_id_is_from(self) -> None:
        policy = RequestIdPolicy("X-Trace", traceparent=True, generator=lambda: "made")
        assert policy.resolve(["a"], []) == ("a", "X-Trace")
        assert policy.resolve(["a"], [f"00-{TRACE}-{PARENT}-01"]) == (TRACE, "traceparent")
        for values in ([], ["a b"]):
            assert policy.resolve(values, []) == ("made", None)

    @pytest.mark.parametrize("value", ["a", "Z-0_9", "a.b:c/d+e=f@g", "=", "@" * 128])
    def test_policy_takes_what_means_nothing_in_other_systems(self, value: str) -> None:
        assert RequestIdPolicy().resolve([value], []).value == value

    @pytest.mark.parametrize(
        "character", [*"!\"#$%&'()*;<>?[]\\^`{|}~", "\u0661", "\xaa", "\u212a"]
    )
    def test_policy_takes_no_other_character(self, character: str) -> None:
        assert not is_safe(f"a{character}b")
        assert not is_safe(character)
        assert is_visible(character) == character.isascii()
        assert is_any(character)

    def test_policy_refuses_what_is_too_long_before_its_validator_sees_it(self) -> None:
        seen: list[str] = []

        def validator(value: str) -> bool:
            seen.append(value)
            return True

        policy = RequestIdPolicy(validator=validator, generator=lambda: "made")
        assert policy.resolve(["x" * (MAX_HEADER + 1)], []).value == "made"
        assert policy.resolve(["a"] * MAX_HEADER, []).value == "made"
        assert policy.resolve([""] * 1_000_000, []).value == "made"
        assert policy.resolve(["a", "," * MAX_HEADER], []).value == "made"
        assert seen == []
        assert len(policy.resolve(["x" * MAX_HEADER], []).value) == MAX_HEADER

    def test_policy_looks_at_a_bounded_part_of_a_header(self) -> None:
        # A text of this class counts what is read of it.
        class Long(str):
            __slots__ = ()

            def split(self, *args: Any, **kwargs: Any) -> Any:
                raise AssertionError("it was looked at")

            strip = split  # type: ignore[assignment]

        huge = Long("," * 4_000_000)
        assert uuid.UUID(RequestIdPolicy().resolve([huge], []).value)
        assert trace_id(Long("0" * 4_000_000)) is None

    @pytest.mark.parametrize(
        "name",
        ["cookie", "Cookie", "HOST", "content-length", "Content_Length", "Content-Type",
         "authorization", "Set-Cookie", "Transfer-Encoding", "user-agent", "X-Forwarded-For",
         "sec-fetch-mode", "If-None-Match", "Vary", "traceparent", "x-csrf-token",
         "Proxy-Authorization"],
    )  # fmt: skip
    def test_policy_takes_no_header_that_means_something_else(self, name: str) -> None:
        with pytest.raises(OptionError, match=r"header_name is .* means nothing else") as caught:
            RequestIdPolicy(name)
        assert repr(name) in str(caught.value)
        with pytest.raises(SettingsError, match="DOCKERFLOW_REQUEST_ID_HEADER_NAME is "):
            Settings.read({"DOCKERFLOW_REQUEST_ID_HEADER_NAME": name})

    @pytest.mark.parametrize(
        "name",
        ["X-Request-Id", "x-correlation-id", "Request-Id", "X-Amzn-Trace-Id", "CF-Ray", "X_Trace",
         "X-Cloud-Trace-Context", "X-B3-TraceId", "Fly-Request-Id", "x-vercel-id"],
    )  # fmt: skip
    def test_policy_takes_any_header_of_ids(self, name: str) -> None:
        assert RequestIdPolicy(name).header_name == name
        settings = Settings.read({"DOCKERFLOW_REQUEST_ID_HEADER_NAME": name})
        assert settings.request_id_header_name == name

    @pytest.mark.parametrize("choice", ["middle", "", 0, -1, 101, 1.0, True, None, "2", ["last"]])
    def test_policy_says_what_a_choice_may_be(self, choice: Any) -> None:
        with pytest.raises(OptionError, match=r"choice is .* must be 'first', 'last', or the numb"):
            RequestIdPolicy(choice=choice)

    @pytest.mark.parametrize("name", ["echo", "traceparent"])
    def test_policy_says_which_switch_is_none(self, name: str) -> None:
        with pytest.raises(OptionError, match=f"{name} is 'no'; it must be True or False"):
            RequestIdPolicy(**{name: "no"})  # type: ignore[arg-type]


class TestUpstreamsFunction:
    def test_shares_the_rules(self) -> None:
        assert get_or_generate_request_id({"X-Request-Id": "a b,ok"}) == "ok"
        assert get_or_generate_request_id({"x-t": "abc"}, header_name="X-T") == "abc"
        assert uuid.UUID(get_or_generate_request_id({"x-request-id": "x" * 129}))


class TestHeaderRoles:
    def test_header_roles_know_a_header_in_any_case(self) -> None:
        roles = HeaderRoles(b"x-request-id", uses_traceparent=True)
        names = (b"user-agent", b"User-Agent", b"ACCEPT-LANGUAGE", b"X-Request-Id", b"traceparent")
        for _ in range(2):
            found = [roles[name] for name in names]
            assert found == [AGENT, AGENT, LANGUAGE, REQUEST_ID_HEADER, TRACEPARENT]
            assert roles[b"host"] == 0

    def test_header_roles_look_at_traceparent_only_where_ids_come_from_it(self) -> None:
        assert HeaderRoles(b"x-request-id", uses_traceparent=False)[b"traceparent"] == 0

    def test_header_roles_know_a_header_with_a_long_name(self) -> None:
        name = b"x-" + b"a" * 500
        assert HeaderRoles(name, uses_traceparent=False)[name.upper()] == REQUEST_ID_HEADER

    def test_header_roles_do_not_fill_the_memory(self) -> None:
        roles = HeaderRoles(b"x-request-id", uses_traceparent=True)
        assert roles[b"x" * 1_000_000] == 0
        assert len(roles) == 0
        for number in range(10_000):
            assert roles[b"x-%d" % number] == 0
        assert len(roles) < 1000
        assert roles[b"User-Agent"] == AGENT


def test_policy_chooses_between_a_traceparent_and_a_header_whatever_a_subclass_accepts() -> None:
    class Accepting(RequestIdPolicy):
        def accepts(self, value: str) -> bool:  # type: ignore[override]
            return bool(value)

    policy = Accepting(traceparent=True)
    assert not Options(Settings(), policy).accepts("r1")
    assert Options(Settings(), Accepting()).accepts("r1")
