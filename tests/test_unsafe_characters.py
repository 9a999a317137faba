"""Characters that hide, that move others, or that end a line: escaped in lines and for people."""

import io
import json
import logging
import re
import sys
from collections.abc import Callable
from typing import Any

import orjson
import pytest
import structlog
from conformance import checked_lines, record

import mozlog_py
from mozlog_py import MozlogFormatter, MozlogHandler
from mozlog_py._line import unsafe_characters
from mozlog_py._line.unsafe_characters import RANGES, escape, escape_lines, escape_text
from mozlog_py.gcp import CloudFormatter
from mozlog_py.pretty import PrettyFormatter

pytestmark = pytest.mark.usefixtures("untouched_process")

UNSAFE = {code for first, last in RANGES for code in range(first, last + 1)}
#: One of each kind: reversed order, an isolate, zero width, a joiner, a tag, a variation
#: selector, a filler, a soft hyphen, a byte order mark, a separator.
HIDING = "\u202e\u2066\u200b\u200d\U000e0041\ufe0f\u3164\xad\ufeff\u061c\u2028"
ORDINARY = "Grüße, “quoted” \u2013 5 °C, 日本語のテキスト、\uff01, ключ, 😀 \U0001d11e \x20\xa0"


@pytest.mark.slow
class TestTheRule:
    def test_the_rule_holds_for_each_character_and_for_no_other(self) -> None:
        for code in range(sys.maxunicode + 1):
            if 0xD800 <= code <= 0xDFFF:
                continue
            text = f"x{chr(code)}"
            encoded = orjson.dumps(text)
            assert (escape(encoded) != encoded) == (code in UNSAFE), hex(code)
            is_control = code < 0x20
            assert (escape_text(text) != text) == (code in UNSAFE or is_control), hex(code)

    def test_the_rule_has_what_unicode_calls_bidirectional_controls(self) -> None:
        # Bidi_Control in PropList.txt.
        bidi = {0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
        assert bidi <= UNSAFE

    def test_the_rule_leaves_ordinary_text_as_it_is(self) -> None:
        encoded = orjson.dumps(ORDINARY)
        assert escape(encoded) is encoded
        assert escape_text(ORDINARY) == ORDINARY

    @pytest.mark.parametrize("count", [1, 127, 128, 129, 5000, 40_000])
    @pytest.mark.parametrize(
        "text", ["\u2028", "a\u2028", HIDING, '"\\\u202e', "\x7f", "日\U000e0041", "\\\x85\\\\"]
    )
    def test_the_rule_loses_nothing_however_many_there_are(self, text: str, count: int) -> None:
        """A text with many of them is escaped in another way, chunk by chunk."""
        whole = f"{ORDINARY}{text * count}\n\t\"'\\"
        escaped = escape(orjson.dumps(whole) + b"\n")
        assert escaped.endswith(b"\n")
        assert json.loads(escaped) == whole
        assert not {*map(ord, escaped.decode())} & UNSAFE

    @pytest.mark.parametrize("count", [1, 127, 128, 40_000])
    @pytest.mark.parametrize("text", ["\x1b", "a\u2028", "\\\n", "\\n\t\x85", "\ud800"])
    def test_the_rule_shows_people_the_same_however_many_there_are(
        self, text: str, count: int
    ) -> None:
        def escaped(char: str, kept: str) -> str:
            is_escaped = char not in kept and (not char.isascii() or ord(char) < 32)
            return char.encode("unicode_escape").decode() if is_escaped else char

        whole = text * count
        assert escape_text(whole) == "".join(escaped(char, "") for char in whole)
        assert escape_lines(whole) == "".join(escaped(char, "\n\t") for char in whole)

    @pytest.mark.parametrize("text", ["\u2028", "a\u2028", "\x7f", HIDING])
    def test_the_rule_is_applied_with_few_calls_a_chunk(
        self, text: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A call for each character made a text of 10 MB a matter of seconds."""
        calls = {"json": 0, "people": 0}

        def counted(name: str, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
            def call(match: Any) -> Any:
                calls[name] += 1
                return function(match)

            return call

        for name, attribute in (("json", "_as_json"), ("people", "_for_people")):
            function = getattr(unsafe_characters, attribute)
            monkeypatch.setattr(unsafe_characters, attribute, counted(name, function))
        whole = text * (1_000_000 // len(text))
        encoded = orjson.dumps(whole)
        escape(encoded)
        escape_text(whole)
        assert calls["json"] <= 128 * (1 + len(encoded) // 16_384)
        assert calls["people"] <= 128 * (1 + len(whole) // 16_384)


def _logging(stream: io.StringIO, **options: Any) -> Callable[..., None]:
    mozlog_py.configure("service", stream=stream, **options)
    logger = logging.getLogger("app")

    def log(message: str, **fields: Any) -> None:
        logger.error(message, extra=fields)

    return log


def _fast(stream: io.StringIO, **options: Any) -> Callable[..., None]:
    mozlog_py.configure("service", stream=stream, **options)
    return structlog.get_logger("app").error  # type: ignore[no-any-return]


def _chain(stream: io.StringIO, **options: Any) -> Callable[..., None]:
    mozlog_py.configure("service", stream=stream, **options)
    return structlog.get_logger("app").bind(bound=object()).error  # type: ignore[no-any-return]


FRONTS = {"logging": _logging, "fast": _fast, "chain": _chain}


@pytest.fixture(params=[*FRONTS, "queue"])
def front(request: pytest.FixtureRequest) -> Callable[..., str]:
    """Return what logs one call through a front, and returns the output."""

    def output(message: str, layout: str, **fields: Any) -> str:
        stream = io.StringIO()
        is_queued = request.param == "queue"
        log = FRONTS["logging" if is_queued else request.param](
            stream, format=layout, queue=is_queued
        )
        log(message, **fields)
        for handler in logging.getLogger().handlers:
            handler.flush()
        return stream.getvalue()

    return output


class TestLines:
    @pytest.mark.parametrize("layout", ["mozlog", "gcp"])
    def test_lines_have_them_escaped_and_lose_none(
        self, front: Callable[..., str], layout: str
    ) -> None:
        fields = {"value": HIDING, f"name{HIDING}": 1, "nested": {"a": [HIDING]}, "rid": HIDING}
        text = front(HIDING, layout, **fields)
        assert not {*map(ord, text)} & UNSAFE
        (line,) = checked_lines(text)
        assert {**line["Fields"], "bound": 0} == {**fields, "msg": HIDING, "bound": 0}
        if layout == "gcp":
            assert line["message"] == HIDING

    @pytest.mark.parametrize("kind", [MozlogFormatter, CloudFormatter])
    def test_lines_have_them_escaped_in_names_of_loggers_and_in_exceptions(
        self, kind: type[MozlogFormatter]
    ) -> None:
        error = ValueError(HIDING)
        error.__notes__ = [HIDING]
        for made in (record(name=HIDING, exc_info=error), record(exc_text=HIDING)):
            text = kind(static_fields={"static": HIDING}, prefix="").format(made)
            assert not {*map(ord, text)} & UNSAFE
            assert json.loads(text)["Fields"]["static"] == HIDING


#: What a log for people would show as a record of its own.
FORGED = "2026-11-27 03:00:00.000 [error    ] forged [app]"


class TestLinesForPeople:
    def test_lines_for_people_show_them_as_escapes(self, front: Callable[..., str]) -> None:
        fields = {"value": HIDING, f"name{HIDING}": 1, "nested": {"a": [HIDING]}, "rid": HIDING}
        text = front(HIDING, "pretty", **fields)
        assert not {*map(ord, text)} & UNSAFE
        assert text.count("202e") == 5

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028", "\x85", "\x0b", "\x1c"])
    def test_lines_for_people_begin_with_no_text_of_a_record(
        self, front: Callable[..., str], end: str
    ) -> None:
        forging = f"paid{end}{FORGED}"
        fields = {"value": forging, f"name{forging}": 1, "nested": {"a": [forging]}}
        text = front(forging, "pretty", rid=forging, **fields)
        first, *others = text.splitlines()
        assert re.match(r"20\S+ \S+ [A-Z]+ ", first)
        assert [line for line in others if not line.startswith("    ")] == []
        # Only these are breaks of a text.
        assert (len(others) > 4) is (end in ("\n", "\r\n"))

    @pytest.mark.parametrize(
        "attributes",
        [
            {"exc_text": f"Traceback:\n{FORGED}\n\n{FORGED}"},
            {"exc_text": FORGED},
            {"stack_info": f"Stack:\n{FORGED}"},
            {"exc_info": (type(FORGED, (ValueError,), {}), None, None)},
            {"exc_text": f"a\r{FORGED}"},
            {"name": f"app\n{FORGED}"},
        ],
    )
    def test_lines_for_people_begin_with_no_text_of_an_exception_or_a_stack(
        self, attributes: dict[str, Any]
    ) -> None:
        first, *others = PrettyFormatter().format(record("failed", **attributes)).splitlines()
        assert "failed" in first
        assert all(not line or re.match(r"    |=+$", line) for line in others)

    def test_lines_for_people_keep_the_indents_and_the_empty_lines_of_a_traceback(self) -> None:
        made = PrettyFormatter().format(record("x", exc_text='T:\n  File "a"\n\n\n\tb\n'))
        assert made.split("\n", 1)[1] == '    T:\n      File "a"\n\n\n    \tb'

    def test_lines_for_people_begin_with_no_text_of_a_hook(self) -> None:
        class Own(PrettyFormatter):
            def formatException(self, ei: Any) -> str:
                return f"own\n{FORGED}"

        text = Own().format(record("x", exc_info=ValueError()))
        assert f"\n    own\n    {FORGED}" in text


class TestNames:
    def test_names_of_loggers_of_megabytes_do_not_fill_the_memory(self) -> None:
        handler = MozlogHandler(io.StringIO(), max_line_bytes=0)
        formatter = MozlogFormatter()
        for kind in ("a", "ž"):
            made = checked_lines(formatter.format(record(name=kind * 1_000_000)) + "\n")[0]
            assert made["Type"].endswith("... <truncated, 1000000 characters>")
        maker = formatter.line_encoder_for("x")
        maker.line(0, "a" * 1_000_000, 20, None, {})
        assert maker.templates == {}
        handler.close()
