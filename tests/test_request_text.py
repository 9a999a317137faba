"""What clients have sent, in lines: query strings without credentials, and all of it cut."""

import logging
import re
import urllib.parse
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mozlog_py
import mozlog_py.testing
from dockerflow._request.options import ReloadingOptions
from dockerflow.asgi import DockerflowASGI
from dockerflow.settings import Settings
from dockerflow.wsgi import DockerflowWSGI
from mozlog_py._config.options import OptionError
from mozlog_py._fields.request_text import (
    VARIABLE,
    are_query_strings_logged,
    capped,
    decoded_header,
    log_query_strings,
    shown_query,
    shown_sentence,
)
from mozlog_py._values.credential_names import CREDENTIALS, WHOLE_WORDS
from mozlog_py.redaction import MARKER, Redact


class TestQuery:
    @pytest.mark.parametrize(
        ("query", "shown"),
        [
            ("", ""),
            ("a=1&b=2", "a=1&b=2"),
            ("x=caf%C3%A9&y=%ff", "x=caf\xe9&y=\\xff"),
            ("flag&a", "flag&a"),
            ("a=b=c", "a=b=c"),
            ("tokens=3&compass=n", "tokens=3&compass=n"),
            ("&&=&", "&&=&"),
        ],
    )
    def test_query_is_shown_as_its_text(self, query: str, shown: str) -> None:
        assert shown_query(query) == shown
        assert shown_query(query.encode()) == shown

    @pytest.mark.parametrize(
        ("query", "shown"),
        [
            ("token=abc", "token=[redacted]"),
            ("a=1&api_key=abc&b=2", "a=1&api_key=[redacted]&b=2"),
            ("access_token=a%26b&c=d", "access_token=[redacted]&c=d"),
            ("password=a=b;c", "password=[redacted]"),
            ("user[password]=abc", "user[password]=[redacted]"),
            ("user%5Bpassword%5D=abc", "user[password]=[redacted]"),
            ("%70assword=abc", "password=[redacted]"),
            ("%2570assword=abc", "%70assword=[redacted]"),
            ("%252570assword=abc", "%2570assword=[redacted]"),
            ("to%6ben=abc", "token=[redacted]"),
            ("API+KEY=abc", "API+KEY=[redacted]"),
            ("a=1;token=abc", "a=1;token=[redacted]"),
            ("sid=abc&pass=x", "sid=[redacted]&pass=[redacted]"),
            ("next=/login?token=abc&b=1", "next=/login?token=[redacted]&b=1"),
            ("next=%2Flogin%3Ftoken%3Dabc&b=1", "next=/login?token=[redacted]&b=1"),
            ("next=%2Flogin%3Fa%3D1%26token%3Da%2526b", "next=/login?a=1&token=[redacted]"),
            ("next=%252Flogin%253Ftoken%253Dabc", "next=%2Flogin%3Ftoken%3D[redacted]"),
            ("u=%23access_token%3Dabc", "u=#access_token=[redacted]"),
        ],
    )
    def test_query_has_no_values_of_credentials(self, query: str, shown: str) -> None:
        assert shown_query(query) == shown
        assert shown_query(query.encode()) == shown

    @pytest.mark.parametrize("name", sorted(CREDENTIALS | WHOLE_WORDS))
    @pytest.mark.parametrize("times", [0, 1, 2, 3])
    def test_query_knows_the_names_however_they_are_encoded(self, name: str, times: int) -> None:
        written = name
        for _ in range(times):
            if written == name:
                written = "".join(f"%{ord(each):02X}" for each in name)
            else:
                written = urllib.parse.quote(written)
        assert "hunter2" not in shown_query(f"a=1&{written}=hunter2&b=2")

    @pytest.mark.parametrize(
        "query",
        ["x" * 5_000_000, "a=" + "x" * 5_000_000, "&" * 5_000_000, "a=1&" * 1_000_000,
         "%41" * 1_000_000, "=" * 5_000_000, ";a=" * 1_000_000, "%3F" * 1_000_000],
    )  # fmt: skip
    def test_query_is_cut_by_its_length(self, query: str) -> None:
        shown = shown_query(query)
        assert shown.endswith(f"... <truncated, {len(query)} characters>")
        assert len(shown.partition("...")[0]) <= 1024

    def test_query_is_redacted_before_it_is_cut(self) -> None:
        shown = shown_query("token=" + "x" * 100_000 + "&b=2")
        assert shown.startswith("token=[redacted]")
        assert "xx" not in shown
        shown = shown_query("a=" + "y" * 1010 + "&token=" + "x" * 100)
        assert "xx" not in shown

    @given(st.binary(max_size=300))
    def test_query_has_no_credential_whatever_stands_beside_it(self, other: bytes) -> None:
        other = other.replace(b"&", b"")
        for query in (other + b"&token=hunter2", b"token=hunter2&" + other):
            assert "hunter2" not in shown_query(query)

    @given(st.text(max_size=300))
    def test_query_of_any_text_is_text(self, query: str) -> None:
        shown_query(query).encode()

    def test_query_hides_registered_secrets_that_a_cut_would_split(self) -> None:
        redact = Redact(values=["correct horse battery"])
        shown = shown_query(
            "a=" + "x" * 1010 + urllib.parse.quote("correct horse battery") + "y" * 9
        )
        assert "correct" not in shown
        assert redact.mask is not None


class TestSentence:
    @pytest.mark.parametrize(
        ("text", "off", "on"),
        [
            (
                'a - "WebSocket /ws?token=abc&b=1" [accepted]',
                'a - "WebSocket /ws" [accepted]',
                'a - "WebSocket /ws?token=[redacted]&b=1" [accepted]',
            ),
            ("Error handling request /a?b=1", "Error handling request /a",
             "Error handling request /a?b=1"),
            ("uri: 'http://x/a?to%6ben=abc'", "uri: 'http://x/a'",
             "uri: 'http://x/a?token=[redacted]'"),
            ('"GET /a?b=1 HTTP/1.1" 200', '"GET /a HTTP/1.1" 200', '"GET /a?b=1 HTTP/1.1" 200'),
            ("really? yes/no ?", "really? yes/no ?", "really? yes/no ?"),
            ("what?ever a/b", "what?ever a/b", "what?ever a/b"),
            ("/a?b=1\n/c?d=2", "/a\n/c", "/a?b=1\n/c?d=2"),
        ],
    )  # fmt: skip
    def test_sentence_has_query_strings_by_the_same_rule(
        self, text: str, off: str, on: str
    ) -> None:
        log_query_strings(False)
        assert shown_sentence(text) == off
        log_query_strings(True)
        assert shown_sentence(text) == on

    @pytest.mark.parametrize("text", ["/?a " * 250_000, "/" * 2_000_000 + "?a", "?a" * 1_000_000])
    def test_sentence_of_any_length_is_cut_first(self, text: str) -> None:
        log_query_strings(False)
        shown = shown_sentence(text)
        assert len(shown) < 40_000
        assert shown.endswith(f"... <truncated, {len(text)} characters>")


class TestHeader:
    def test_header_that_is_long_is_cut_by_its_length(self) -> None:
        shown = capped(decoded_header(b"\xe9" * 4_000_000))
        assert shown == "\xe9" * 1024 + "... <truncated, 4000000 characters>"
        assert decoded_header(b"caf\xe9") == "caf\xe9"
        assert capped("x" * 1024) == "x" * 1024


def access_line(path: str = "/a?b=1&token=abc") -> dict[str, Any]:
    with mozlog_py.testing.capture_lines() as lines:
        logging.getLogger("uvicorn.access").info(
            '%s - "%s %s HTTP/%s" %d', "10.0.0.1:5", "GET", path, "1.1", 200
        )
    fields: dict[str, Any] = lines[0]["Fields"]
    return fields


def application(*args: Any) -> Any:
    raise NotImplementedError


class TestSetting:
    def test_setting_is_off_by_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(VARIABLE, raising=False)
        assert "querystring" not in access_line()
        assert access_line()["path"] == "/a"

    @pytest.mark.parametrize(
        ("value", "is_on"), [("1", True), ("TRUE", True), ("on", True), ("0", False), ("", False)]
    )
    def test_setting_is_that_of_the_environment(
        self, monkeypatch: pytest.MonkeyPatch, value: str, is_on: bool
    ) -> None:
        monkeypatch.setenv(VARIABLE, value)
        assert are_query_strings_logged() == is_on
        assert access_line().get("querystring") == ("b=1&token=[redacted]" if is_on else None)

    @pytest.mark.usefixtures("untouched_process")
    def test_setting_of_the_environment_is_looked_at_when_logging_is_configured(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(VARIABLE, "maybe")
        for configured in (mozlog_py.configure, mozlog_py.dict_config):
            with pytest.raises(OptionError, match=f"{VARIABLE} is 'maybe'; it must be true or fal"):
                configured("shop")

    @pytest.mark.parametrize("core", [DockerflowASGI, DockerflowWSGI])
    def test_setting_is_that_of_a_bare_application(self, core: Any) -> None:
        core(application, settings=Settings(summary_log_querystring=True))
        assert access_line()["querystring"] == "b=1&token=[redacted]"
        core(application, settings=Settings())
        assert "querystring" not in access_line()

    def test_setting_is_that_of_a_configuration_as_it_is_now(self) -> None:
        held: dict[str, Any] = {VARIABLE: "yes"}
        live = ReloadingOptions(held.get)
        assert access_line()["querystring"] == "b=1&token=[redacted]"
        held[VARIABLE] = False
        live.now()
        assert "querystring" not in access_line()

    def test_setting_is_no_matter_of_a_layer_without_summaries(self) -> None:
        log_query_strings(True)
        DockerflowASGI(application, settings=Settings(), summaries=False)
        assert are_query_strings_logged()

    def test_setting_holds_for_the_marker_of_redact(self) -> None:
        assert MARKER in shown_query("token=1")
        assert re.fullmatch(r"\[\w+\]", MARKER)
