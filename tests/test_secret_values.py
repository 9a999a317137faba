"""Redact by value and by shape: invalid secrets, secrets that are found, and similar texts."""

import base64
import copy
import io
import json
import logging
import os
import pickle
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import orjson
import pytest
import structlog
from conformance import checked, checked_lines, fields, record
from hypothesis import given
from hypothesis import strategies as st

from mozlog_py import MozlogFormatter, MozlogHandler, config
from mozlog_py._line import json_encoder
from mozlog_py._redaction.mask import Mask
from mozlog_py._redaction.secret_shapes import Shapes
from mozlog_py._redaction.secret_values import Needle, WordFilter, needles_of
from mozlog_py._values import mask_registry
from mozlog_py._values.sanitiser import MAX_REPR
from mozlog_py.gcp import CloudFormatter
from mozlog_py.pretty import PrettyFormatter
from mozlog_py.processors import CapLengths
from mozlog_py.redaction import Redact
from mozlog_py.sink import Sink
from mozlog_py.structlog import FastBoundLogger, MozlogRenderer, SinkLoggerFactory, processors

SECRET = "kW3!x/Tulip&9+q"
AWAY = "[redacted]"


@pytest.fixture(autouse=True)
def no_mask_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start without the masks that objects of earlier tests refer to."""
    for registry in (mask_registry._of_chains, mask_registry._of_cuts):
        registry.clear()
    yield
    for registry in (mask_registry._of_chains, mask_registry._of_cuts):
        registry.clear()


def mask(*values: str, **options: Any) -> Mask:
    made = Redact(defaults=False, values=values, **options).mask
    assert made is not None
    return made


def masked(text: str, *values: str, **options: Any) -> str:
    """Return a masked text, after a check that its line is masked alike."""
    made = mask(*(values or (SECRET,)), **options)
    out = made.text(text)
    assert orjson.loads(made.dumps({"msg": text})) == {"msg": out}
    return out


class TestConfiguration:
    @pytest.mark.parametrize("value", ["seven77", "  seven77 \n", ""])
    def test_a_secret_that_is_too_short_is_refused_and_not_quoted(self, value: str) -> None:
        with pytest.raises(ValueError, match=r"of \d characters at index 1; it must have 8") as got:
            Redact(values=[SECRET, value])
        assert "seven77" not in str(got.value)
        assert SECRET not in str(got.value)

    @pytest.mark.parametrize("value", [SECRET.encode(), 12345678, None, [SECRET]])
    def test_a_secret_that_is_no_text_is_refused_and_not_quoted(self, value: Any) -> None:
        with pytest.raises(ValueError, match="at index 0; a secret must be text") as got:
            Redact(values=[value])
        assert "Tulip" not in str(got.value)
        assert "1234" not in str(got.value)

    def test_a_text_in_place_of_a_list_is_refused(self) -> None:
        with pytest.raises(ValueError, match="values is a text; it must be a list") as got:
            Redact(values=SECRET)
        assert SECRET not in str(got.value)
        with pytest.raises(ValueError, match="value_patterns is one pattern"):
            Redact(value_patterns="emp-[0-9]+")

    def test_a_part_of_the_marker_is_refused(self) -> None:
        with pytest.raises(ValueError, match="a part of the marker"):
            Redact(values=["redacted"])
        assert masked("so redacted it is", "redacted", marker="***") == "so *** it is"

    @pytest.mark.parametrize("pattern", ["x*", "(?:)", r"\b", re.compile("|a")])
    def test_a_pattern_that_matches_nothing_at_all_is_refused(self, pattern: Any) -> None:
        if pattern == r"\b":
            # It matches the empty text behind a character, in whose place no marker belongs.
            assert masked("a b", value_patterns=[pattern]) == "a b"
            return
        with pytest.raises(ValueError, match="matches the empty text"):
            Redact(value_patterns=[pattern])

    @pytest.mark.parametrize("pattern", [1, None, b"emp", re.compile(b"emp")])
    def test_a_pattern_that_could_not_be_searched_for_is_refused(self, pattern: Any) -> None:
        with pytest.raises(ValueError, match="must be a text or a compiled regular expression"):
            Redact(value_patterns=[pattern])

    def test_a_pattern_that_is_none_is_refused(self) -> None:
        with pytest.raises(ValueError, match="is not a regular expression: unterminated"):
            Redact(value_patterns=["emp-["])

    def test_values_alone_are_enough(self) -> None:
        assert Redact(defaults=False, values=iter([SECRET])).mask is not None
        assert Redact(defaults=False, value_patterns=["emp-[0-9]+"]).mask is not None
        assert Redact(defaults=False, shapes=True).mask is not None
        with pytest.raises(ValueError, match="nothing would be redacted"):
            Redact(defaults=False, values=[])

    def test_a_value_may_have_a_lone_surrogate_as_a_variable_of_the_environment_has(self) -> None:
        secret = b"caf\xe9-s3cret-word".decode("utf-8", "surrogateescape")
        redact = Redact(values=[secret])
        assert redact.mask is not None
        assert redact.mask.text(f"of {secret}.") == f"of {AWAY}."
        line = MozlogFormatter(processors=[redact]).format(record(f"of {secret}.", own=secret))
        assert checked(line)["Fields"] == {"own": AWAY, "msg": f"of {AWAY}."}

    def test_configuration_where_neither_is_used_lines_are_encoded_as_ever(self) -> None:
        assert Redact().mask is None
        maker = MozlogFormatter(processors=[Redact()]).line_encoder_for("shop")
        assert maker.mask is None
        assert maker.dumps is json_encoder.dumps

    @pytest.mark.parametrize(
        "copied",
        [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))],
        ids=["copy", "deepcopy", "pickle"],
    )
    def test_a_copy_masks_as_well(self, copied: Callable[[Any], Any]) -> None:
        made = copied(Redact(values=iter([SECRET]), value_patterns=[r"emp-\d+"], shapes=True))
        assert made.mask.text(f"{SECRET} emp-7 {TOKENS[0]}") == f"{AWAY} {AWAY} {AWAY}"
        formatter = copied(MozlogFormatter(processors=[made]))
        assert fields(formatter, record(SECRET)) == {"msg": AWAY}


class TestEnvironment:
    def test_values_of_secret_names_and_passwords_of_urls_are_registered(self) -> None:
        environ = {
            "SHOP_API_TOKEN": "tulip-token-1",
            "SHORT_PASSWORD": "tulip",
            "HOME": "/home/shop-user",
            "DATABASE_URL": "postgresql://shop:tulip%2Fdb-pass@db:5432/shop",
            "REDIS_URL": "redis://:tulip-redis@cache/0",
            "PLAIN_URL": "https://shop.example/items",
            "PG_DSN": "host=db password='tulip in libpq' dbname=shop-database",
            "SERVER": "Server=db;Password=tulip-odbc;Database=shop-database",
            "GCP_CREDENTIALS": json.dumps(
                {"type": "service_account", "inner": {"private_key": "tulip-1\ntulip-line-2\n"}}
            ),
            "NOT_JSON_SECRET": "{tulip-brace",
        }
        made = Redact.from_environment(environ=environ)
        assert made.mask is not None
        for secret in (
            "tulip-token-1",
            "tulip%2Fdb-pass",
            "tulip/db-pass",
            "tulip-redis",
            "tulip in libpq",
            "tulip-odbc",
            "tulip-line-2",
            "{tulip-brace",
        ):
            assert made.mask.text(f"<{secret}>") == f"<{AWAY}>", secret
        clean = "tulip shop db:5432 /home/shop-user https://shop.example/items shop-database"
        assert made.mask.text(clean) == clean

    def test_it_is_that_of_this_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SHOP_PASSWORD", SECRET)
        assert Redact.from_environment().mask.text(SECRET) == AWAY  # type: ignore[union-attr]

    def test_options_are_those_of_the_constructor(self) -> None:
        made = Redact.from_environment(
            ["shop_thing"],
            environ={
                "SHOP_THING": "tulip-thing",
                "X_SHOP_Y": "tulip-shop",
                "MY_TOKEN": "tulip-tok",
            },
            patterns=["_shop_"],
            marker="***",
            defaults=False,
            values=iter([SECRET]),
            value_patterns=iter([r"emp-\d+"]),
            shapes=True,
        )
        assert made.mask is not None
        text = f"tulip-thing tulip-shop tulip-tok {SECRET} emp-7 {TOKENS[0]}"
        assert made.mask.text(text) == "*** *** tulip-tok *** *** ***"

    def test_an_environment_without_secrets_is_no_error(self) -> None:
        assert Redact.from_environment(environ={}).mask is None
        assert Redact.from_environment(environ={"A_SECRET": "redacted"}).mask is None

    def test_the_path_of_a_file_is_no_secret(self, tmp_path: Path) -> None:
        path = tmp_path / "credentials.json"
        path.touch()
        environ = {"GOOGLE_APPLICATION_CREDENTIALS": str(path), "A_SECRET": "/no/such/file\0"}
        made = Redact.from_environment(environ=environ)
        assert made.mask is not None
        assert made.mask.text(str(path)) == str(path)
        assert made.mask.text("/no/such/file\0") == AWAY


class TestEncodings:
    @pytest.mark.parametrize(
        "dressed",
        [
            SECRET,
            json.dumps(SECRET)[1:-1],
            repr(SECRET)[1:-1],
            quote(SECRET),
            quote(SECRET, safe=""),
            quote_plus(SECRET),
            quote(quote_plus(SECRET)),
            quote(SECRET, safe="!&"),
            quote(SECRET, safe="").lower().replace("kw3", "kW3").replace("tulip", "Tulip"),
            SECRET.replace("&", "\\u0026"),
            SECRET.replace("&", "\\\\u0026").replace("+", "\\u002B"),
            SECRET.replace("/", "\\/"),
        ],
    )
    def test_a_secret_is_found_in_what_encodings_make_of_it(self, dressed: str) -> None:
        assert masked(f"a {dressed} b") == f"a {AWAY} b"

    @pytest.mark.parametrize(
        "secret", ["qu\"ote's\\and\\\\more", "tab\tand\u00e9\u20ac\U0001f600!", "a b c d e"]
    )
    def test_escapes_of_every_kind_are_undone(self, secret: str) -> None:
        once = json.dumps(secret)
        for text in (
            once,
            json.dumps([once]),
            json.dumps(json.dumps([once])),
            json.dumps(secret, ensure_ascii=False),
            repr([secret]),
            repr({"a": once}),
            ascii(secret),
            repr(secret.encode()),
            quote(secret),
            quote_plus(secret),
        ):
            out = masked(text, secret)
            assert AWAY in out
            assert secret[:3] not in out or secret[3:] not in out

    @pytest.mark.parametrize(
        ("secret", "dressed"),
        [
            ("tulip'in'may", "tulip''in''may"),
            ('tulip"in"may', 'tulip""in""may'),
            ("tulip`in`may", "tulip``in``may"),
            ("{tulip}in{may}", "{tulip}}in{may}}"),
            ("tulip''in'may", "tulip''''in''may"),
            ("tulip'in'may", repr("SELECT \"x\" 'tulip''in''may'")),
        ],
    )
    def test_encodings_quotes_and_braces_that_are_doubled_are_one(
        self, secret: str, dressed: str
    ) -> None:
        out = masked(f"a {dressed} b", secret)
        assert AWAY in out
        assert "tulip" not in out
        assert "may" not in out

    def test_many_quotes_in_a_row_are_no_burden(self) -> None:
        # As single characters, each could be a quote or half of a doubled one: 2 ** n matches.
        secret = "tulip" + "'" * 200 + "may"
        text = "tulip" + "'" * 5000 + "june"
        assert masked(text, secret) == text

    @pytest.mark.parametrize("user", ["", "a", "ab", "abc", "shop-user"])
    @pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
    @pytest.mark.parametrize("secret", ["tulip-88", SECRET, "\u00fcber-geheim"])
    def test_base64_of_a_user_and_a_secret_is_masked_as_a_whole(
        self, user: str, encode: Callable[[bytes], bytes], secret: str
    ) -> None:
        for charset in ("utf-8", "latin-1"):
            text = encode(f"{user}:{secret}".encode(charset)).decode()
            assert masked(f"Basic {text}", secret) == f"Basic {AWAY}"
            assert masked(f"h={quote(text, safe='')}&x=1", secret) == f"h={AWAY}&x=1"

    def test_several_in_one_text_are_all_masked(self) -> None:
        code = base64.b64encode(b"a:tulip-88").decode()
        assert (
            masked(f"{code} tulip-88 {code},{code}", "tulip-88") == f"{AWAY} {AWAY} {AWAY},{AWAY}"
        )

    def test_the_longest_wins(self) -> None:
        assert (
            masked("tulip-88-and-more tulip-88", "tulip-88", "tulip-88-and-more")
            == f"{AWAY} {AWAY}"
        )

    @pytest.mark.parametrize("given_with", ["\n", "\\n", "\r\n"])
    @pytest.mark.parametrize(
        "logged_with", ["\n", "\\n", "\\\\n", "\r\n", "%0A", "\n      ", " | "]
    )
    def test_lines_of_a_secret_are_secrets(self, given_with: str, logged_with: str) -> None:
        lines = ["-----BEGIN KEY-----", "tulip-line-1", "tulip-line-2", "-----END KEY-----"]
        out = masked(logged_with.join(lines), given_with.join(lines) + given_with)
        assert "tulip" not in out
        assert masked("-----BEGIN KEY-----", given_with.join(lines)) == "-----BEGIN KEY-----"

    def test_a_secret_of_short_lines_is_one_secret(self) -> None:
        assert masked("x a\nbc\ndef\nghi y", "a\nbc\ndef\nghi") == f"x {AWAY} y"
        assert masked('x "a\\nbc\\ndef\\nghi" y', "a\nbc\ndef\nghi") == f'x "{AWAY}" y'

    def test_bytes_are_shown_in_base64_and_masked_there(self) -> None:
        formatter = MozlogFormatter(processors=[Redact(values=[SECRET])])
        got = fields(formatter, record("x", pairs=[(b"x-note", b"Bearer " + SECRET.encode())]))
        assert AWAY in got["pairs"][0][1]
        assert base64.urlsafe_b64encode(SECRET.encode()).decode()[3:-3] not in str(got)

    @given(
        secret=st.text(min_size=8, max_size=60).filter(lambda text: len(text.strip()) >= 8),
        before=st.text(max_size=20),
        behind=st.text(max_size=20),
        encode=st.sampled_from(
            [
                lambda text: text,
                json.dumps,
                lambda text: json.dumps(text, ensure_ascii=False),
                lambda text: json.dumps(json.dumps(text)),
                lambda text: repr([text]),
                lambda text: quote(text.encode("utf-8", "surrogatepass")),
                lambda text: quote_plus(text.encode("utf-8", "surrogatepass")),
            ]
        ),
    )
    def test_the_gate_misses_nothing(
        self, secret: str, before: str, behind: str, encode: Callable[[str], str]
    ) -> None:
        secret = secret.strip()
        if secret in AWAY:
            return
        text = f"{before} {encode(secret)} {behind}"
        formatter = MozlogFormatter(processors=[Redact(defaults=False, values=[secret])])
        got = checked(formatter.format_bytes(record("%s", text)))["Fields"]["msg"]
        assert AWAY in got
        if "\\" not in encode(secret):
            assert encode(secret).strip("[]\"'") not in got.replace(AWAY, "")


class TestLines:
    def test_a_backslash_and_an_n_may_be_just_that(self) -> None:
        secret = r"C:\new\road"
        for text in (secret, json.dumps(secret)[1:-1], quote(secret), "C:\new\\road"):
            assert masked(f"<{text}>", secret) == f"<{AWAY}>"

    def test_names_are_masked_as_well_and_stay_apart(self) -> None:
        made = mask(SECRET)
        plain = {SECRET: 1, f"{SECRET}": 2, f"a {SECRET}": {SECRET: 3}, AWAY: 4}
        assert orjson.loads(made.dumps(plain)) == {
            AWAY: 2,
            f"a {AWAY}": {AWAY: 3},
            f"{AWAY}_2": 4,
        }

    def test_a_number_that_is_a_secret_is_masked_as_a_whole(self) -> None:
        formatter = MozlogFormatter(processors=[Redact(values=["12345678"])])
        got = fields(formatter, record("x", pin=12345678, pins=[12345678.5, 1234567], yes=True))
        assert got == {"pin": AWAY, "pins": [AWAY, 1234567], "yes": True, "msg": "x"}
        got = fields(
            MozlogFormatter(processors=[Redact(value_patterns=[r"^\d{16}$"])]),
            record("x", card=4111111111111111, other=411111111111111),
        )
        assert got == {"card": AWAY, "other": 411111111111111, "msg": "x"}

    def test_the_envelope_keeps_its_names_and_numbers(self) -> None:
        now = record("17000000 Severity Timestamp")
        now.created, now.process = 1700000000.0, 17000000
        formatter = MozlogFormatter(
            processors=[
                Redact(values=["17000000", "Severity", "Hostname", "Timestamp", "EnvVersion"])
            ]
        )
        line = checked(formatter.format_bytes(now))
        assert line["Timestamp"] // 10**9 == 1700000000
        assert line["Pid"] == 17000000
        assert line["Fields"] == {"msg": f"{AWAY} {AWAY} {AWAY}"}

    @pytest.mark.parametrize(
        "secret", ['","msg":"', '"Fields":{"', '{"msg":"hi', '"},"x":[', "\\nopqrst", 'hi"}}\n{"Ti']
    )
    def test_the_structure_of_a_line_is_never_masked(self, secret: str) -> None:
        formatter = MozlogFormatter(processors=[Redact(values=[secret])])
        got = fields(formatter, record("hi \\ \nopqrst", x=[1, {"y": "hi"}]))
        assert got["msg"].replace(AWAY, "").startswith("hi ")
        assert got["x"] == [1, {"y": "hi"}]

    def test_names_of_loggers_and_hosts_are_masked(self) -> None:
        formatter = MozlogFormatter(
            logger_name=f"shop {SECRET}",
            hostname=f"h-{SECRET}",
            processors=[Redact(values=[SECRET])],
        )
        line = checked(formatter.format_bytes(record("x", name=f"tenant.{SECRET}")))
        assert line["Type"] == f"tenant.{AWAY}"
        assert (line["Logger"], line["Hostname"]) == (f"shop {AWAY}", f"h-{AWAY}")

    def test_what_is_added_to_the_envelope_is_masked(self) -> None:
        formatter = CloudFormatter(project=SECRET, processors=[Redact(values=[SECRET])])
        made = record(SECRET, trace_id="1f")
        line = formatter.format_bytes(made)
        assert SECRET.encode() not in line
        assert json.loads(line)["message"] == AWAY
        assert json.loads(line) == formatter.convert_record(made)

    def test_context_static_fields_and_further_processors_are_masked(self) -> None:
        formatter = MozlogFormatter(
            static_fields={"release": SECRET},
            processors=[Redact(values=[SECRET]), lambda *args: {**args[2], "late": SECRET}],
            prefix="@cee: ",
        )
        text = formatter.format(record("x"))
        assert text.startswith("@cee: ")
        got = checked(text.removeprefix("@cee: "))["Fields"]
        assert got == {"release": AWAY, "late": AWAY, "msg": "x"}

    def test_an_overridden_convert_record_is_masked(self) -> None:
        class Own(MozlogFormatter):
            def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
                return {"Timestamp": 17000000, "raw": record.getMessage(), "list": [SECRET]}

        made = Own(processors=[Redact(values=[SECRET, "17000000"])])
        assert json.loads(made.format(record(SECRET))) == {
            "Timestamp": 17000000,
            "raw": AWAY,
            "list": [AWAY],
        }

    def test_several_redacts_all_mask(self) -> None:
        formatter = MozlogFormatter(
            processors=[
                Redact(values=["tulip-88"]),
                Redact(values=["rose-9999"], marker="***"),
                Redact(defaults=False, shapes=True),
            ]
        )
        got = fields(formatter, record(f"tulip-88 rose-9999 {TOKENS[0]}"))
        assert got == {"msg": f"{AWAY} *** {AWAY}"}

    def test_a_line_for_people_has_no_secret_in_its_traceback(self) -> None:
        formatter = PrettyFormatter(processors=[Redact(values=[SECRET])])
        try:
            raise ValueError(SECRET)
        except ValueError:
            text = formatter.format(record("failed", exc_info=sys.exc_info()))
        assert f"ValueError: {AWAY}" in text
        assert SECRET not in text

    def test_a_value_that_the_encoder_refuses_is_masked_all_the_same(self) -> None:
        assert mask(SECRET).plain({"a": 2**70, "b": f"\ud800 {SECRET}"}) == {
            "a": 2**70,
            "b": f"\ud800 {AWAY}",
        }

    def test_patterns_mask_what_they_match(self) -> None:
        made = mask("tulip-88", value_patterns=[r"emp-\d{3,}", re.compile("IBAN [a-z0-9 ]+", re.I)])
        assert (
            made.text("emp-12 emp-123 iban DE89 3704, tulip-88") == f"emp-12 {AWAY} {AWAY}, {AWAY}"
        )
        assert masked("ab", value_patterns=["(?=b)"]) == "ab"


class TestFailures:
    """A mask that fails drops no line and shows no secret."""

    @pytest.fixture(autouse=True)
    def no_mask_works(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: Any) -> Any:
            raise LookupError(SECRET)

        monkeypatch.setattr(Needle, "masked", fail)

    @pytest.mark.parametrize("kind", [MozlogFormatter, CloudFormatter, PrettyFormatter])
    def test_failures_of_a_formatter_is_the_least_line(self, kind: Any) -> None:
        stream = io.StringIO()
        handler = MozlogHandler(stream)
        handler.setFormatter(kind(processors=[Redact(values=[SECRET])]))
        logger = logging.Logger("app")
        logger.addHandler(handler)
        logger.error("it is %s", SECRET, extra={"note": SECRET})
        (line,) = checked_lines(stream.getvalue())
        assert line["Fields"]["mozlog.degraded"] == "LookupError"
        assert line["Severity"] == 3
        assert SECRET not in stream.getvalue()

    def test_failures_of_an_overridden_convert_record_is_the_least_line(self) -> None:
        class Own(MozlogFormatter):
            def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
                return {"raw": record.getMessage()}

        text = Own(processors=[Redact(values=[SECRET])]).format(record(SECRET))
        assert SECRET not in text
        assert checked(text)["Fields"] == {"mozlog.degraded": "line not rendered: LookupError"}

    def test_failures_of_a_chain_is_the_least_line(self) -> None:
        stream = io.StringIO()
        chain = processors(formatter=MozlogFormatter(processors=[Redact(values=[SECRET])]))
        logger = FastBoundLogger.at("INFO")(SinkLoggerFactory(Sink(stream))("app"), chain, {})
        logger.warning(SECRET, note=SECRET)
        (line,) = checked_lines(stream.getvalue())
        assert line["Fields"]["mozlog.degraded"] == "LookupError"
        assert SECRET not in stream.getvalue()

    def test_failures_of_another_renderer_is_an_event_of_markers(self) -> None:
        out = Redact(values=[SECRET])(None, "info", {"event": SECRET, "level": "info", "n": 1})
        assert out == {"event": AWAY, "level": "info", "n": AWAY}

    def test_failures_of_a_text_that_is_cut_is_the_marker(self) -> None:
        redact = Redact(values=[SECRET])
        assert CapLengths(20)(None, "info", {"a": f"{SECRET} {'x' * 40}"}) == {"a": AWAY}
        assert redact.mask is not None


class TestChains:
    @pytest.fixture(autouse=True)
    def no_configuration(self) -> Iterator[None]:
        yield
        structlog.reset_defaults()

    @pytest.mark.parametrize("wrapper", [structlog.BoundLogger, FastBoundLogger.at("INFO")])
    def test_another_renderer_gets_masked_texts(self, wrapper: Any) -> None:
        chain = [Redact(values=[SECRET]), structlog.processors.JSONRenderer()]
        logger = structlog.wrap_logger(
            structlog.ReturnLogger(), processors=chain, wrapper_class=wrapper
        ).bind()
        got = logger.info(f"a {SECRET}", n={"x": [SECRET, (SECRET, 1)]}, **{SECRET: 7})
        assert json.loads(got) == {
            "n": {"x": [AWAY, [AWAY, 1]]},
            AWAY: 7,
            "event": f"a {AWAY}",
        }

    @pytest.mark.parametrize("make", [set, frozenset])
    def test_a_container_for_another_renderer_has_only_what_was_searched(self, make: Any) -> None:
        # A set is shown as it is, where a list is cut before.
        numbers = make(f"{SECRET} {n}" for n in range(2000))
        shown = Redact(values=[SECRET])(None, "info", {"event": "m", "numbers": numbers})["numbers"]
        assert type(shown) is make
        assert "<750 more items>" in shown
        assert len(shown) == 1251
        assert all(SECRET not in each for each in shown)

    @pytest.mark.parametrize("wrapper", [structlog.BoundLogger, FastBoundLogger.at("INFO")])
    @pytest.mark.parametrize("renderer", ["plain", "with hooks"])
    def test_a_renderer_behind_it_masks_what_it_adds_itself(
        self, wrapper: Any, renderer: str
    ) -> None:
        options: Any = {"static_fields": {"release": SECRET}}
        if renderer == "with hooks":
            options["rename_fields"] = {"msg": "text"}
        last = MozlogRenderer(formatter=MozlogFormatter(**options))
        # The renderer has made lines before the mask exists.
        last(None, "info", {"event": "first"})
        logger = structlog.wrap_logger(
            structlog.ReturnLogger(),
            processors=[Redact(values=[SECRET]), last],
            wrapper_class=wrapper,
        ).bind()
        try:
            raise ValueError(SECRET)
        except ValueError:
            got = checked(logger.error("failed", exc_info=True))["Fields"]
        assert got["release"] == AWAY
        assert got["error"] == f"ValueError('{AWAY}')"
        assert SECRET not in json.dumps(got)

    def test_a_prepared_logger_notices_a_mask_that_comes_later(self) -> None:
        stream = io.StringIO()
        factory = SinkLoggerFactory(Sink(stream))
        logger = FastBoundLogger.at("INFO")(factory("app"), [MozlogRenderer("shop")], {})
        logger.info(SECRET)
        redact = Redact(values=[SECRET])
        redact(None, "info", {"event": "elsewhere"})
        logger.info(SECRET)
        got = [line["Fields"]["msg"] for line in checked_lines(stream.getvalue())]
        assert got == [SECRET, AWAY]

    def test_a_renderer_of_another_chain_is_left_as_it_is(self) -> None:
        alone = MozlogRenderer("shop")
        redact = Redact(values=[SECRET])
        covered = MozlogRenderer("shop")
        logger = structlog.wrap_logger(
            structlog.ReturnLogger(),
            processors=[redact, covered],
            wrapper_class=FastBoundLogger.at("INFO"),
        ).bind()
        for _ in range(2):
            assert checked(logger.info(SECRET))["Fields"] == {"msg": AWAY}
        assert len(covered._masks) == 1
        assert checked(alone(None, "info", {"event": SECRET}))["Fields"] == {"msg": SECRET}
        # Without a chain that can be read, every renderer of the process masks.
        redact(None, "info", {"event": "x"})
        assert checked(alone(None, "info", {"event": SECRET}))["Fields"] == {"msg": AWAY}

    @pytest.mark.parametrize(
        "wrapper", [structlog.BoundLogger, structlog.make_filtering_bound_logger(20)]
    )
    def test_a_logger_of_structlog_leaves_renderers_of_other_chains_as_they_are(
        self, wrapper: Any
    ) -> None:
        alone, behind = MozlogRenderer("shop"), MozlogRenderer("shop")
        logger = structlog.wrap_logger(
            structlog.ReturnLogger(),
            processors=[Redact(values=[SECRET]), behind],
            wrapper_class=wrapper,
        ).bind()
        for _ in range(2):
            got = checked(logger.info(f"a {SECRET}", n=SECRET))["Fields"]
            assert got == {"n": AWAY, "msg": f"a {AWAY}"}
        assert len(behind._masks) == 1
        assert checked(alone(None, "info", {"event": SECRET}))["Fields"] == {"msg": SECRET}

    def test_a_formatter_of_structlog_leaves_renderers_of_other_chains_as_they_are(self) -> None:
        alone = MozlogRenderer("shop")
        formatter = structlog.stdlib.ProcessorFormatter(
            processors=[
                Redact(values=[SECRET]),
                MozlogRenderer("shop", output="text", static_fields={"release": SECRET}),
            ]
        )
        got = checked(formatter.format(record(f"a {SECRET}")))["Fields"]
        assert got == {"release": AWAY, "msg": f"a {AWAY}"}
        assert checked(alone(None, "info", {"event": SECRET}))["Fields"] == {"msg": SECRET}

    @pytest.mark.parametrize("last", ["wrapped", "iterator"])
    def test_a_chain_that_cannot_be_read_masks_in_every_renderer(self, last: str) -> None:
        behind = MozlogRenderer("shop", static_fields={"release": SECRET})
        redact = Redact(values=[SECRET])
        chain: Any = [redact, lambda *event: behind(*event)]
        if last == "iterator":
            chain = iter([redact, behind])
        logger = structlog.BoundLogger(structlog.ReturnLogger(), chain, {})
        assert checked(logger.info("x"))["Fields"] == {"release": AWAY, "msg": "x"}

    def test_handlers_beside_ours_get_masked_texts(self, untouched_process: None) -> None:
        records: list[logging.LogRecord] = []

        class Beside(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                records.append(record)

        stream = io.StringIO()
        config.configure("shop", stream=stream, processors=[Redact(values=[SECRET])])
        logging.getLogger("beside").addHandler(Beside())
        structlog.get_logger("beside").warning(f"a {SECRET}", note=[SECRET], n=1)
        structlog.get_logger("beside").warning("of %d", 7)
        assert [record.getMessage() for record in records] == [f"a {AWAY}", "of 7"]
        assert vars(records[0])["note"] == [AWAY]
        assert [record.msg for record in records] == [f"a {AWAY}", "of %d"]
        assert SECRET not in stream.getvalue()

    def test_objects_stay_as_they_are_for_another_renderer(self) -> None:
        class Text(str):
            __slots__ = ()

        thing = object()
        event = {"event": Text(SECRET), "thing": thing, "clean": Text("x"), "deep": nested(40)}
        out = Redact(values=[SECRET]).mask.event(event)  # type: ignore[union-attr]
        assert out["event"] == AWAY
        assert out["thing"] is thing
        assert out["clean"] is event["clean"]
        assert "<max depth>" in str(out["deep"])


def nested(depth: int) -> Any:
    value: Any = SECRET
    for _ in range(depth):
        value = [value]
    return value


class TestCuts:
    """A secret that is cut in two would pass, so texts are masked before."""

    def pieces(self, text: str) -> list[str]:
        return [SECRET[at : at + 4] for at in range(len(SECRET) - 3) if SECRET[at : at + 4] in text]

    @pytest.mark.parametrize("at", range(0, 20, 3))
    def test_cuts_of_what_caps_lengths(self, at: int) -> None:
        redact = Redact(values=[SECRET], shapes=True)
        formatter = MozlogFormatter(processors=[redact, CapLengths(40)])
        for text in (f"{'x' * at}{SECRET}{'y' * 60}", f"{'x' * 60}{SECRET}{'y' * at}"):
            got = fields(formatter, record(text))["msg"]
            assert self.pieces(got) == []
            assert "characters> ..." in got

    def test_cuts_of_a_text_that_is_short_once_it_is_masked(self) -> None:
        formatter = MozlogFormatter(processors=[Redact(values=["x" * 50]), CapLengths(40)])
        assert fields(formatter, record("a " + "x" * 50)) == {"msg": f"a {AWAY}"}

    @pytest.mark.parametrize("over", [3, 8, 12, 20_000])
    def test_cuts_of_a_repr(self, over: int) -> None:
        class Long:
            def __repr__(self) -> str:
                return f"{'x' * (MAX_REPR - len(SECRET) + 3)}{SECRET}{'y' * over}"

        formatter = MozlogFormatter(processors=[Redact(values=[SECRET])])
        assert self.pieces(fields(formatter, record("x", long=Long()))["long"]) == []

    def test_cuts_of_a_repr_that_is_all_secrets(self) -> None:
        class Long:
            def __repr__(self) -> str:
                return SECRET * 10_000

        formatter = MozlogFormatter(processors=[Redact(values=[SECRET])])
        assert self.pieces(fields(formatter, record("x", long=Long()))["long"]) == []

    def test_cuts_of_a_traceback(self) -> None:
        formatter = MozlogFormatter(processors=[Redact(values=[SECRET])])
        for shift in range(0, 40, 5):
            error = ValueError("x")
            error.__notes__ = [f"{'x' * (shift + 900)}{SECRET}" * 8 for _ in range(12)]
            got = fields(formatter, record("x", exc_info=(ValueError, error, None)))
            assert "characters in all" in got["traceback"]
            assert self.pieces(got["traceback"]) == []

    @pytest.mark.parametrize("shift", range(0, 16, 3))
    def test_cuts_of_a_line(self, shift: int) -> None:
        stream = io.StringIO()
        handler = MozlogHandler(stream, max_line_bytes=1024)
        handler.setFormatter(MozlogFormatter(processors=[Redact(values=[SECRET])]))
        logger = logging.Logger("app")
        logger.addHandler(handler)
        logger.error("%s", "x" * shift + SECRET * 300)
        (line,) = checked_lines(stream.getvalue())
        assert "cut from" in line["Fields"]["mozlog.degraded"]
        assert self.pieces(line["Fields"]["msg"]) == []


TOKENS = [
    "ghp_" + "aB3" * 12,
    "github_pat_" + "aB3_" * 20,
    "glpat-" + "aB3-" * 5,
    "gldt-" + "aB3-" * 5,
    "AKIA" + "A2B3C4D5E6F7G2H3",
    "ASIA" + "A2B3C4D5E6F7G2H3",
    "AIza" + "aB3-_" * 7,
    "ya29." + "aB3-_" * 7,
    "GOCSPX-" + "aB3-_" * 5,
    "AccountKey=" + "aB3+/" * 16 + "==",
    "dop_v1_" + "0123456789abcdef" * 4,
    "hvs." + "aB3-_" * 18,
    "npm_" + "aB3" * 12,
    "pypi-AgEIcHlwaS5vcmc" + "aB3-_" * 20,
    "dckr_pat_" + "aB3-_" * 5,
    "xoxb-123456789012-" + "aB3" * 8,
    "xoxe.xoxp-1-" + "aB3" * 8,
    "xapp-1-A0123-" + "aB3" * 8,
    "sk_live_" + "aB3" * 8,
    "rk_test_" + "aB3" * 8,
    "whsec_" + "aB3+" * 8,
    "sq0atp-" + "aB3-_" * 5,
    "shpat_" + "0123456789abcdef" * 2,
    "SG." + "aB3-_" * 4 + "." + "aB3-_" * 8,
    "SK" + "0123456789abcdef" * 2,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0." + "aB3-_" * 8,
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
    "eyJhbGciOiJSU0EifQ.aB3aB3.aB3aB3.aB3aB3.aB3aB3",
]


def by_shape(text: str, **options: Any) -> str:
    made = Redact(shapes=True, **options).mask
    assert made is not None
    out = made.text(text)
    assert orjson.loads(made.dumps({"msg": text})) == {"msg": out}
    assert made.text(out) == out
    return out


class TestShapes:
    @pytest.mark.parametrize("token", TOKENS)
    def test_a_token_is_masked_wherever_it_stands(self, token: str) -> None:
        assert by_shape(token) == AWAY
        assert by_shape(f"a {token}, b") == f"a {AWAY}, b"
        assert by_shape(f'{{"a": "x\\n{token}"}}') == f'{{"a": "x\\n{AWAY}"}}'
        assert by_shape(f"next%3D{token}%26x") == f"next%3D{AWAY}%26x"
        assert by_shape(f"Bearer={token}") == f"Bearer={AWAY}"

    @pytest.mark.parametrize("token", TOKENS)
    def test_a_beginning_is_no_token(self, token: str) -> None:
        size = min(len(token) - 1, 14)
        assert by_shape(f"a {token[:size]} b") == f"a {token[:size]} b"

    def test_the_path_of_a_webhook_is_masked(self) -> None:
        url = "https://hooks.slack.com/services/T0123/B0123/aB3aB3aB3aB3"
        assert by_shape(url) == f"https://hooks.slack.com/services/{AWAY}"

    @pytest.mark.parametrize("end", ["\n", "\\n", "\r\n", "\\\\n"])
    @pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
    def test_a_private_key_is_masked_to_its_end(self, kind: str, end: str) -> None:
        body = end.join(["aB3+/" * 12, "Proc-Type: 4,ENCRYPTED", "aB3="])
        key = f"-----BEGIN {kind}PRIVATE KEY-----{end}{body}{end}-----END {kind}PRIVATE KEY-----"
        assert by_shape(f"a {key} b") == f"a {AWAY} b"
        assert by_shape(f"a {key[:80]}") == f"a {AWAY}"
        assert by_shape(f"k={quote(key)}&b").startswith(f"k={AWAY}")

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("postgres://shop:tulip@db/x", "postgres://[redacted]@db/x"),
            ("redis://:tulip@cache/0", "redis://[redacted]@cache/0"),
            ("https://tulip:@api.example", "https://[redacted]@api.example"),
            ("https://a1b2c3d4e5f60718@host/7", "https://[redacted]@host/7"),
            ("postgres://shop:tu@lip@db/x", "postgres://[redacted]@db/x"),
            ("postgres://shop:tu/lip@db/x", "postgres://[redacted]@db/x"),
            ('{"u":"https:\\/\\/a:tulip@h\\/"}', '{"u":"https:\\/\\/[redacted]@h\\/"}'),
            ("u=https%3A%2F%2Fa%3Atulip%40h%2F", "u=https%3A%2F%2F[redacted]%40h%2F"),
            ("u=https%253A%252F%252Fa%253Atulip%2540h", "u=https%253A%252F%252F[redacted]%2540h"),
            ("/?token=tulip", "/?token=[redacted]"),
            ("/?a=1&access_token=tulip&b=2#c", "/?a=1&access_token=[redacted]&b=2#c"),
            ("/#id_token=tulip", "/#id_token=[redacted]"),
            ("/?a=1&amp;token=tulip", "/?a=1&amp;token=[redacted]"),
            ("/?sig=tulip%2Frose", "/?sig=[redacted]"),
            ("/?X-Amz-Signature=1f", "/?X-Amz-Signature=[redacted]"),
            ("/?user%5Bpassword%5D=tulip", "/?user%5Bpassword%5D=[redacted]"),
            ("/?n=%2Fa%3Ftoken%3Dtulip%26b%3D2", "/?n=%2Fa%3Ftoken%3D[redacted]%26b%3D2"),
            ("a=1&api_key=tulip", "a=1&api_key=[redacted]"),
            ("password=tulip", "password=[redacted]"),
            ('{"u":"/?a=1\\u0026token=tulip"}', '{"u":"/?a=1\\u0026token=[redacted]"}'),
            ('{"u":"/?token\\u003dtulip"}', '{"u":"/?token\\u003d[redacted]"}'),
        ],
    )
    def test_secrets_in_urls_are_masked(self, text: str, expected: str) -> None:
        assert by_shape(text) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "ssh://git@forge.example/shop.git",
            "http://host:8080/mail?to=ann@shop.example",
            "http://[::1]:8080/ann@shop.example",
            "https://forge.example/@ann/tulip",
            "ann@shop.example",
            "/?page=2&author=ann&keyboard=de&sort=token",
            "/?email=ann%40shop.example&q=a%20b%3Dc",
            "token = 5; the token=abc of it",
            "5f0e3c1a-9a57-4c0b-8a39-3b1fd2c4a7de",
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "/srv/shop/task_type/k_list/https_apps_/hvs.py",
            "-----BEGIN CERTIFICATE-----\naB3\n-----END CERTIFICATE-----",
            "-----BEGIN PUBLIC KEY-----\naB3\n-----END PUBLIC KEY-----",
            "SKU SK12345678 SG.py sk_livery eyJ eyJhbGciOiJIUzI1NiJ9",
            "a = b == c => d",
            "\\u0041\\u00e9",
        ],
    )
    def test_what_only_resembles_one_is_left_alone(self, text: str) -> None:
        assert by_shape(text) == text

    def test_names_of_parameters_are_those_that_are_asked_for(self) -> None:
        assert by_shape("/?iban=DE89&x_card=1", keys=["iban"], patterns=["_card$"]) == (
            f"/?iban={AWAY}&x_card={AWAY}"
        )
        assert by_shape("/?token=1f", defaults=False) == f"/?token={AWAY}"

    def test_a_line_with_many_beginnings_is_looked_at_as_a_whole(self) -> None:
        text = "task_type k_list " * 40
        assert by_shape(text) == text
        assert by_shape(text + TOKENS[0]) == text + AWAY

    def test_names_made_from_data_do_not_fill_the_memory(self) -> None:
        shapes = Shapes(AWAY, Redact().is_secret)
        for number in range(3000):
            assert not shapes.may_be_in(b'{"u":"/?a%d=1"}' % number)
            assert not shapes.may_be_in(b'{"u":"/?%s=1"}' % (b"a" * (100 + number)))
        assert len(shapes._known) <= 1024

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "text",
        [
            "eyJ",
            "eyJaaaaaaaa.",
            "://a:",
            "://a@",
            "%3A%2F%2Fa%40",
            "&token=",
            "-----BEGIN PRIVATE KEY-----",
            *(
                "\\",
                '"',
                "%25",
                "SG.",
                "sk_live_",
                "-a",
                "\\u0026",
                "ghp_",
                "=",
                ":/\\/",
                "QUJD",
                "a",
            ),
        ],
    )
    def test_hostile_text_takes_time_in_proportion_to_its_length(self, text: str) -> None:
        # With a quadratic expression this test does not end.
        made = Redact(values=[SECRET, '"' * 9, "\\" * 9], shapes=True).mask
        assert made is not None
        for ends in ("", "@", ".", "x%40"):
            made.dumps({"msg": text * (400_000 // len(text)) + ends})


class TestGate:
    def test_words_are_long_where_all_secrets_are(self) -> None:
        assert WordFilter(needles_of(["x7" * 10, "y7" * 12], AWAY)).word_bytes == 8
        assert WordFilter(needles_of(["x7" * 10, "y7" * 4], AWAY)).word_bytes == 4

    def test_a_secret_without_a_constant_part_is_searched_for_in_each_line(self) -> None:
        secret = "\U0001f600\u00e9\"'\\/" * 3
        assert masked(f"a {secret} b", secret) == f"a {AWAY} b"
        assert masked(json.dumps(secret), secret) == f'"{AWAY}"'

    @pytest.mark.parametrize("size", range(8, 40))
    def test_every_offset_in_a_line_is_noticed(self, size: int) -> None:
        secret = ("aB3x" * 10)[:size]
        made = mask(secret)
        for offset in range(20):
            line = made.dumps({"x" * offset: secret})
            assert orjson.loads(line) == {"x" * offset: AWAY}


def test_secrets_stay_out_of_representations() -> None:
    redact = Redact(values=[SECRET])
    assert SECRET not in f"{redact!r} {redact.mask!r} {MozlogFormatter(processors=[redact])!r}"


def test_the_environment_of_tests_is_no_condition() -> None:
    # No value of a variable may raise.
    assert isinstance(Redact.from_environment(environ=os.environ), Redact)
