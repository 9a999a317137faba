"""Texts with credentials, and what is left of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerflow.checks.redaction import redact

SECRET = "s3cr3t"

# What a password may consist of in a URL that somebody wrote by hand.
PASSWORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\"'<>"))


class TestRedact:
    @pytest.mark.parametrize(
        ("text", "redacted"),
        [
            (f"postgresql://me:{SECRET}@db:5432/x failed", "postgresql://***@db:5432/x failed"),
            (f"redis://:{SECRET}@cache/0", "redis://***@cache/0"),
            (f"amqp://me:{SECRET}@b1,amqp://me:{SECRET}@b2", "amqp://***@b2"),
            (f"mysql+pymysql://me:p@{SECRET}@db/x", "mysql+pymysql://***@db/x"),
            (f"https://host/x me@example.com?token={SECRET}&b=1", None),
            (f"host=db user=me password={SECRET} port=1", "host=db user=me password=*** port=1"),
            (f"password = '{SECRET} {SECRET}' host=db", "password = *** host=db"),
            (f'{{"password": "a\\"{SECRET}", "host": "db"}}', '{"password": ***, "host": "db"}'),
            (f"PGPASSWORD={SECRET}; AWS_SECRET={SECRET}", "PGPASSWORD=***; AWS_SECRET=***"),
            (f"api_key: {SECRET}, access_token={SECRET})", "api_key: ***, access_token=***)"),
            (f"pwd={SECRET}", "pwd=***"),
            (f"said {SECRET} only", "said *** only"),
        ],
    )
    def test_masks_credentials_and_leaves_the_rest(self, text: str, redacted: str | None) -> None:
        got = redact(text, SECRET if "only" in text else None)
        assert SECRET not in got
        if redacted is not None:
            assert got == redacted

    @pytest.mark.parametrize(
        "text",
        [
            "connection to server at 127.0.0.1, port 5432 failed: Connection refused",
            'FATAL: password authentication failed for user "shop"',
            "https://example.com/health answered with status 500",
            "",
        ],
    )
    def test_leaves_texts_without_credentials(self, text: str) -> None:
        assert redact(text, None, "", 5) == text

    def test_gives_one_line_of_bounded_length(self) -> None:
        assert redact(" a\n b\t c ") == "a b c"
        assert redact("x" * 1000) == "x" * 497 + "..."

    @given(PASSWORDS, st.text(max_size=50), st.text(max_size=50))
    def test_never_leaves_the_password_of_a_url(
        self, password: str, before: str, after: str
    ) -> None:
        got = redact(f"{before} postgres://me:~{password}~@host/db {after}")
        assert f"~{password}~" not in got
        assert "postgres://***@host/db" in got

    @given(st.text(min_size=1), st.text(), st.text())
    def test_never_leaves_a_known_secret(self, secret: str, before: str, after: str) -> None:
        secret = f"<{secret}>"
        assert secret not in redact(f"{before}{secret}{after}", secret)

    def test_looks_at_a_bounded_part_of_a_text(self) -> None:
        # Patterns that go back and forth would not come to an end here.
        for text in ("://" * 500_000, "password" * 500_000, "a." * 500_000, "password='" * 500_000):
            assert redact(text) == " ..."
        long = f"{'x ' * 995}postgres://me:{SECRET}{'y' * 50}@host/db"
        assert SECRET not in redact(long)
