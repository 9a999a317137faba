"""Credentials in texts, known by the names and words in front of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mozlog_py._redaction.secret_texts import is_name_of_secret, masked_text

SECRET = "tulip"


class TestNames:
    @pytest.mark.parametrize(
        "name",
        ["password", "API key", "AccountKey", "SharedAccessKey", "sig", "X-Session", "dbPw", "jwt"],
    )
    def test_names_of_secrets_in_texts(self, name: str) -> None:
        assert is_name_of_secret(name)

    @pytest.mark.parametrize("name", ["sessions", "design", "host", "key", "AccountName", "spw"])
    def test_names_of_others(self, name: str) -> None:
        assert not is_name_of_secret(name)


class TestMaskedText:
    @pytest.mark.parametrize(
        ("text", "masked"),
        [
            (f"password={SECRET} x", "password=*** x"),
            (f"password => '{SECRET}'", "password => ***"),
            (f"password = b'{SECRET}', x", "password = ***, x"),
            (f'"password":"{SECRET}","x":1', '"password":***,"x":1'),
            (f'{{\\"pwd\\": \\"{SECRET}\\", \\"x\\": 1}}', '{\\"pwd\\": ***, \\"x\\": 1}'),
            (f"('password', '{SECRET}', 1)", "('password', ***, 1)"),
            (f"password='it''s {SECRET}' x", "password=*** x"),
            (f"password='a\\'{SECRET}' x", "password=*** x"),
            (f"password='a'{SECRET}' x", "password=*** x"),
            (f"password='a; {SECRET}", "password=***"),
            (f"password='a; {SECRET}\nx", "password=***\nx"),
            (f"password=['{SECRET}', '{SECRET}'] x", "password=*** x"),
            (f"password={{{SECRET}; {{x}}}} y", "password=*** y"),
            (f"a PWD={{{SECRET};}}}}a}};x", "a PWD=***;x"),
            (f"--password {SECRET} x", "--password *** x"),
            (f"Authorization: Digest a={SECRET}, b={SECRET}\nx", "Authorization: ***\nx"),
            (f"Authorization: Basic {SECRET}\\r\\nx", "Authorization: ***\\r\\nx"),
            (f"IDENTIFIED BY '{SECRET}' x", "IDENTIFIED BY *** x"),
            (f"<password>{SECRET}</password>", "<password>***</password>"),
            (f"ann:{SECRET}@tcp(db)/x", "***@tcp(db)/x"),
            (f"'ann:{SECRET}@db/x'", "'***@db/x'"),
            (f"ann/{SECRET}@db", "***@db"),
            (f"https://ann:{SECRET}'/@{SECRET}@db/x y", "https://***@db/x y"),
            ("can't encode character '\\u2026' in position 3", None),
        ],
    )  # fmt: skip
    def test_masked_text_has_no_secret(self, text: str, masked: str | None) -> None:
        got = masked_text(text, "***")
        assert SECRET not in got
        assert "\\u2026" not in got
        assert masked is None or got == masked

    @pytest.mark.parametrize(
        "text",
        [
            "invalid password",
            "the password is required",
            "password authentication failed",
            "no token was given; token expired",
            "password=None, token='', secret=***",
            "using password: YES",
            "git@example.com:e/shop",
            "basic auth failed",
            "a: b, c=d",
        ],
    )
    def test_masked_text_that_has_none_stays(self, text: str) -> None:
        assert masked_text(text, "***") == text

    def test_masked_text_leaves_a_path_alone_where_no_user_can_be(self) -> None:
        text = "https://x.example/@scope/y@1 token=a"
        assert masked_text(text, "***", user_info=False) == "https://x.example/@scope/y@1 token=***"

    @given(st.text(), st.text())
    def test_masked_text_never_raises(self, before: str, after: str) -> None:
        assert "tu'l\"ip" not in masked_text(f'{before} password="tu\'l\\"ip" {after}', "***")

    @given(
        st.lists(
            st.sampled_from(["password", "=", "'", '"', "{", "}", "\\", ":", "@", "://", " ", "x"])
        )
    )
    def test_masked_text_comes_to_an_end(self, pieces: list[str]) -> None:
        masked_text("".join(pieces) * 20, "***")
