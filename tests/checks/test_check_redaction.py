"""Masks credentials and hosts in texts."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerflow.checks._run.mask_credentials import mask_for, redact

SECRET = "s3cr3t"

# The characters of a password in a URL that was written by hand.
PASSWORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126))


class TestByShape:
    @pytest.mark.parametrize(
        ("text", "redacted"),
        [
            (f"postgresql://me:{SECRET}@db:5432/x failed", "postgresql://***@db:5432/x failed"),
            (f"redis://:{SECRET}@cache/0", "redis://***@cache/0"),
            (f"amqp://me:{SECRET}@b1,amqp://me:{SECRET}@b2", "amqp://***@b2"),
            (f"mysql+pymysql://me:p@{SECRET}@db/x", "mysql+pymysql://***@db/x"),
            (f"postgres://me:{SECRET}'\"{SECRET}@db/x", "postgres://***@db/x"),
            (f"me:{SECRET}@db:5432/x refused", "***@db:5432/x refused"),
            (f"me:p@{SECRET}@tcp(db:3306)/x", "***@tcp(db:3306)/x"),
            (f"scott/{SECRET}@db:1521/x", "***@db:1521/x"),
            (f"https://host/x me@example.com?token={SECRET}&b=1", None),
            (f"user=me password={SECRET} port=1", "user=me password=*** port=1"),
            (f"password = '{SECRET} {SECRET}' user=me", "password = *** user=me"),
            (f'{{"password": "a\\"{SECRET}", "x": "db"}}', '{"password": ***, "x": "db"}'),
            (f'{{\\"pwd\\": \\"a,{SECRET}\\", \\"x\\": 1}}', '{\\"pwd\\": ***, \\"x\\": 1}'),
            (f"PGPASSWORD={SECRET}; AWS_SECRET={SECRET}", "PGPASSWORD=***; AWS_SECRET=***"),
            (f"api_key: {SECRET}, access_token={SECRET})", "api_key: ***, access_token=***)"),
            (f"pwd={SECRET}", "pwd=***"),
            (f"Authorization: Bearer {SECRET}\r\nX: 1", "Authorization: *** X: 1"),
            (f"Cookie: a={SECRET}; b={SECRET}\nX: 1", "Cookie: *** X: 1"),
            (f"{{'Authorization': 'Basic {SECRET}', 'X': 1}}", "{'Authorization': ***, 'X': 1}"),
            (f"[('x-api-key', '{SECRET}'), ('x', '1')]", "[('x-api-key', ***), ('x', '1')]"),
            (f"[(b'cookie', b'a={SECRET}; b=c')]", "[(b'cookie', ***)]"),
            (f"api-key {SECRET}", None),
            (f"api-key={SECRET}", "api-key=***"),
            (f"access_key={SECRET}", "access_key=***"),
            (f"AccountName=me;AccountKey={SECRET}==;X=1", None),
            (f"AccessKeyName=me;SharedAccessKey={SECRET}=", "AccessKeyName=me;SharedAccessKey=***"),
            (f"?sv=1&sig={SECRET}%3D", "?sv=1&sig=***"),
            (f"auth={SECRET}", "auth=***"),
            (f"jwt {SECRET}", "jwt ***"),
            (f"session: {SECRET}", "session: ***"),
            (f"the password {SECRET} is wrong", "the password *** is wrong"),
            (f"the password is {SECRET}", "the password is ***"),
            (f"mysql --password {SECRET} -h x", "mysql --password *** -h x"),
            (f"mysql --password={SECRET} -h x", "mysql --password=*** -h x"),
            (f"Command '['x', '--password', '{SECRET}']'", "Command '['x', '--password', ***]'"),
            (f"CREATE USER me IDENTIFIED BY '{SECRET}''x'", "CREATE USER me IDENTIFIED BY ***"),
            (f"IDENTIFIED WITH sha2 BY {SECRET};", "IDENTIFIED WITH sha2 BY ***;"),
            (f"ALTER ROLE me PASSWORD '{SECRET}'", "ALTER ROLE me PASSWORD ***"),
            (f'password="a,b;{{{SECRET}', "password=***"),
            (f"password='a, {SECRET}; b}}' x", "password=*** x"),
            (f"PWD={{a;{SECRET}}}}}b}};X=1", None),
            (f"Pwd=two words {SECRET};X=1", None),
            (f"<password>{SECRET}</password>", "<password>***</password>"),
            (f"Bearer {SECRET}", "Bearer ***"),
            ("ghp_" + "a1B2" * 9, "***"),
        ],
    )  # fmt: skip
    def test_by_shape_masks_credentials_and_leaves_the_rest(
        self, text: str, redacted: str | None
    ) -> None:
        got = redact(text)
        assert SECRET not in got
        if redacted is not None:
            assert got == redacted

    @pytest.mark.parametrize(
        "text",
        [
            "connection to server failed: Connection refused",
            'FATAL: password authentication failed for user "shop"',
            "fe_sendauth: no password supplied",
            "(1045, \"Access denied (using password: YES)\")",
            "AUTH failed: WRONGPASS invalid username-password pair or user is disabled.",
            "https://example.com/health answered with status 500",
            "SSL: CERTIFICATE_VERIFY_FAILED certificate verify failed (_ssl.c:1006)",
            "Error 111 connecting to the server. Connection refused.",
            "module 'a.b' has no attribute 'x' at 12:30:59",
            "",
        ],
    )  # fmt: skip
    def test_by_shape_leaves_texts_without_credentials(self, text: str) -> None:
        assert redact(text, None, "", 5) == text

    @pytest.mark.parametrize(
        "text",
        [
            'connection to server at "db.lan" (10.1.2.3), port 1 failed',
            "Connect call failed ('::1', 5432, 0, 0)",
            "[fe80::1%eth0]:80 and 2001:db8::7, 192.0.2.7:80",
            'could not translate host name "db.lan" to address',
            "Error 111 connecting to db.lan:6379. Connection refused.",
            "Can't connect to MySQL server on 'db.lan' (111)",
            "HTTPConnectionPool(host='db.lan', port=80)",
        ],
    )
    def test_by_shape_masks_hosts_that_it_was_not_given(self, text: str) -> None:
        redacted = text
        for host in ("db.lan", "10.1.2.3", "fe80::1%eth0", "2001:db8::7", "192.0.2.7", "::1"):
            redacted = redacted.replace(host, "***")
        assert redact(text) == redacted

    def test_by_shape_gives_one_line_of_bounded_length(self) -> None:
        assert redact(" a\n b\t c ") == "a b c"
        assert redact("x" * 1000) == "x" * 497 + "..."

    @given(PASSWORDS, st.text(max_size=50), st.text(max_size=50))
    def test_by_shape_never_leaves_the_password_of_a_url(
        self, password: str, before: str, after: str
    ) -> None:
        got = redact(f"{before} postgres://me:~{password}~@host/db {after}")
        assert f"~{password}~" not in got
        assert "@host/db" in got

    def test_by_shape_reads_a_bounded_part_of_a_text(self) -> None:
        # A pattern with backtracking would not end here.
        for text in ("://" * 500_000, "password" * 500_000, "a." * 500_000, "password='" * 500_000):
            assert redact(text) == "..."
        assert SECRET not in redact(f"{'x ' * 200}postgres://me:{SECRET}{'y' * 5000}@host/db")


class TestByValue:
    @given(st.text(min_size=1), st.text(), st.text())
    def test_by_value_never_leaves_a_known_secret(
        self, secret: str, before: str, after: str
    ) -> None:
        secret = f"<{secret}>"
        assert secret not in redact(f"{before}{secret}{after}", secret)

    @pytest.mark.parametrize(
        "secret", ["tulip", "a'b\"c", "pa ss;w}d", "ü€😀x", "x\\y\\\\z", "100%!"]
    )
    @pytest.mark.parametrize(
        "quoted",
        [
            str, repr, lambda secret: repr(secret.encode()), lambda secret: repr(repr(secret)),
            json.dumps, lambda secret: json.dumps(json.dumps(secret)),
            lambda secret: quote(secret, safe=""), lambda secret: quote(quote(secret, safe="")),
            lambda secret: secret.replace("'", "''"), lambda secret: secret.replace('"', '""'),
            lambda secret: secret.replace("}", "}}"),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("way", ["dsn", "conninfo", "odbc", "mapping", "token"])
    def test_by_value_finds_a_password_however_it_is_quoted(
        self, secret: str, quoted: Any, way: str
    ) -> None:
        escaped = secret.replace("\\", "\\\\").replace("'", "\\'")
        given_ = {
            "dsn": f"postgresql://shop:{quote(secret, safe='')}@db.lan/shop",
            "conninfo": f"host=db.lan user=shop password='{escaped}'",
            "odbc": "DRIVER={x};UID=shop;PWD={" + secret.replace("}", "}}") + "};",
            "mapping": {"host": "db.lan", "password": secret},
            "token": secret,
        }[way]
        text = f"said <{quoted(secret)}> there"
        got = redact(text, given_)
        assert got in ("said <***> there", "said <'***'> there", 'said <"***"> there') or not any(
            part in got for part in (quoted(secret), secret)
        )
        assert "said" in got
        assert "there" in got

    def test_by_value_masks_each_part_and_each_piece_of_it(self) -> None:
        dsn = "postgresql://Shop:p@ss/w0rd:12?x@Db.Lan:5432/stock?sslpassword=tul%20ip&a=q7"
        for part in (
            dsn, "Shop", "p@ss/w0rd:12?x", "ss/w0rd", "ss", "w0rd", "Db.Lan", "db.lan", "DB.LAN",
            "5432", "stock", "tul%20ip", "tul ip", "tul", "q7", "U2hvcDpwQHNzL3cwcmQ6MTI/eA==",
        ):  # fmt: skip
            assert part not in redact(f"[{part}]", dsn), part

    def test_by_value_masks_short_parts_where_no_word_goes_on(self) -> None:
        client = {"username": "a", "password": "x1", "db": "0", "port": 6379}
        text = "a base: user a, password x1, port 6379 not 16379, x12"
        assert redact(text, client) == "*** base: user ***, password ***, port *** not 16379, x12"

    def test_by_value_leaves_the_marker_alone(self) -> None:
        assert redact("said *** and tulip", "*", "**", "***", "tulip") == "said *** and ***"

    @pytest.mark.parametrize(
        "odd", [None, 5, 1.5, b"\xff", [], {}, {1: 2}, {None: object()}, object(), object, print]
    )  # fmt: skip
    def test_by_value_takes_anything_as_what_was_given(self, odd: Any) -> None:
        assert redact("no route", odd) == "no route"

    def test_by_value_takes_objects_that_raise(self) -> None:
        class Odd:
            @property
            def url(self) -> Any:
                raise LookupError("no url today")

            password = property(lambda self: 1 / 0)
            kwargs: Any = {"password": "tulip"}

        assert redact("said tulip", Odd()) == "said ***"


class TestErrors:
    def test_errors_are_masked_by_their_text_and_not_by_its_quotes(self) -> None:
        mask = mask_for()
        error = ValueError("""password='a"b, tulip' rejected""")
        assert mask.error(repr(error), str(error)) == "ValueError('password=*** rejected')"

    def test_errors_of_which_the_repr_says_more_are_masked_there(self) -> None:
        shown = "DriverError('no', 'postgres://me:tulip@db/x')"
        assert mask_for().error(shown, "no") == "DriverError('no', 'postgres://***@db/x')"

    def test_errors_whose_repr_hides_the_text_have_the_masked_text(self) -> None:
        assert mask_for().error("Odd(1)", "password=tulip") == "Odd('password=***')"

    def test_errors_are_masked_by_value_in_both(self) -> None:
        mask = mask_for("redis://:tul'ip@cache.lan/0")
        error = LookupError("tul'ip at cache.lan")
        assert mask.error(repr(error), str(error)) == "LookupError('*** at ***')"
