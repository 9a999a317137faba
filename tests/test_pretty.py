"""What the ``pretty`` format shows: requests, texts, fields, tracebacks, colours and widths."""

import contextvars
import io
import logging
import os
import re
import sys
import sysconfig
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from conformance import checked, checked_lines, record
from hypothesis import given
from hypothesis import strategies as st
from snippets import ROOT

import mozlog_py
from dockerflow.summary import RequestSummary
from mozlog_py import MozlogFormatter, MozlogHandler
from mozlog_py._fields import late_request_ids
from mozlog_py._fields.summarised import summarised
from mozlog_py._pretty import palette
from mozlog_py._pretty.text_width import terminal_columns
from mozlog_py._pretty.traceback_lines import is_own_file
from mozlog_py.pretty import PrettyFormatter
from mozlog_py.servers import AccessFields, ErrorFields

pytestmark = pytest.mark.usefixtures("untouched_process")

RID = "1533eb79-0fed-4a0b-a3d4-4348b6223682"
_COLOR = re.compile("\x1b\\[([0-9;]*)m")
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"


def summary(message: str = "", *, level: int = logging.INFO, **fields: Any) -> logging.LogRecord:
    """Return the record of a request's summary."""
    usual = {
        "errno": 0, "agent": AGENT, "lang": "en,de", "method": "GET", "path": "/cart", "uid": "",
        "rid": RID, "code": 200, "t": 3,
    }  # fmt: skip
    return record(message, name="request.summary", level=level, **{**usual, **fields})


def failure(error: BaseException | None = None) -> tuple[Any, Any, Any]:
    try:
        raise error or ValueError("boom")
    except BaseException as raised:
        return type(raised), raised, raised.__traceback__


def colored(made: logging.LogRecord, **options: Any) -> list[tuple[str, str]]:
    """Return the colour and the text of each part of a record that has a colour."""
    text = PrettyFormatter(colors=True, **options).format(made)
    return re.findall("\x1b\\[([0-9;]+)m(.*?)\x1b\\[0m", text)


def of_color(made: logging.LogRecord, color: str) -> list[str]:
    return [text.strip() for found, text in colored(made, width=120) if found == color]


class TestRequests:
    def test_requests_take_one_line_of_120_columns(self) -> None:
        text = PrettyFormatter(width=120).format(summary())
        assert re.fullmatch(
            r"\d\d:\d\d:\d\d\.\d{3} INFO     b6223682 GET     /cart +200     3 ms", text
        )
        assert len(text) <= 120

    def test_requests_of_a_user_and_of_bound_fields_take_one_line_where_it_has_room(self) -> None:
        text = PrettyFormatter(width=120).format(summary(uid="ann", shop="eu"))
        assert text.endswith(" 200     3 ms uid=ann shop=eu")
        assert len(text) <= 120
        first, second = (
            PrettyFormatter(width=120).format(summary(uid="ann", shop="e" * 30)).split("\n")
        )
        assert first.endswith(" 3 ms")
        assert second == f"    uid=ann shop={'e' * 30}"

    def test_requests_show_a_failure_with_the_whole_id_and_the_client(self) -> None:
        made = summary("boom", level=logging.ERROR, code=500, errno=500, exc_info=failure())
        head, *others = PrettyFormatter(width=120).format(made).split("\n")
        assert re.search(r" ERROR +b6223682 GET +/cart +500 +3 ms boom$", head)
        assert others[0] == f"    rid={RID}"
        assert others[1] == f"    agent='{AGENT}' lang=en,de"
        assert others[2] == "    Traceback (most recent call last):"
        assert others[-1] == "    ValueError: boom"
        assert "errno" not in "".join(others)

    def test_requests_show_a_websocket_with_the_code_that_closed_it(self) -> None:
        made = summary(method="WEBSOCKET", path="/ws", code=1000, t=754_000)
        text = PrettyFormatter(width=120).format(made)
        assert re.search(r" WS      /ws +1000   12 min$", text)

    @pytest.mark.parametrize(
        ("ms", "shown"),
        [(0, "0 ms"), (9999, "9999 ms"), (12_340, "12.3 s"), (7_199_999, "119 min"),
         (9_000_000, "2.5 h")],
    )  # fmt: skip
    def test_requests_show_a_duration_in_the_unit_that_is_read_at_a_glance(
        self, ms: int, shown: str
    ) -> None:
        assert PrettyFormatter(width=120).format(summary(t=ms)).endswith(f" {shown}")

    @pytest.mark.parametrize(
        ("fields", "color"),
        [
            ({"code": 200}, palette.SUCCESS),
            ({"code": 302}, palette.REDIRECT),
            ({"code": 404}, palette.WARNING),
            ({"code": 499}, palette.WARNING),
            ({"code": None}, palette.WARNING),
            ({"code": 500}, palette.FAILURE),
            ({"code": 1000, "method": "WEBSOCKET"}, palette.SUCCESS),
            ({"code": 101, "method": "WEBSOCKET"}, palette.SUCCESS),
            ({"code": 1006, "method": "WEBSOCKET"}, palette.WARNING),
            ({"code": 1011, "method": "WEBSOCKET"}, palette.FAILURE),
            ({"code": 403, "method": "WEBSOCKET"}, palette.WARNING),
        ],
    )
    def test_requests_have_the_colour_of_their_outcome(
        self, fields: dict[str, Any], color: str
    ) -> None:
        shown = " ".join(of_color(summary(**fields), color))
        assert str(fields["code"] or "-") in shown.split()
        assert ("/cart" in shown.split()) is (color == palette.FAILURE)

    def test_requests_that_are_slow_have_their_duration_in_the_colour_of_warnings(self) -> None:
        assert "1200 ms" in of_color(summary(t=1200), palette.WARNING)
        assert "999 ms" in of_color(summary(t=999), palette.DIM)
        socket = summary(t=60_000, method="WEBSOCKET", code=1000)
        assert of_color(socket, palette.WARNING) == []

    def test_requests_have_their_query_string_where_it_is_logged(self) -> None:
        text = PrettyFormatter().format(summary(querystring="id=7"))
        assert re.search(r" GET +/cart\?id=7 +200 ", text)

    def test_requests_of_a_server_without_a_summary_look_the_same(self) -> None:
        made = record(
            '%s - "%s %s HTTP/%s" %d', "10.0.0.1:50", "GET", "/cart", "1.1", 200,
            name="uvicorn.access",
        )  # fmt: skip
        text = PrettyFormatter(width=120).format(made)
        assert re.search(r" GET     /cart +200 +\[uvicorn.access\] client=10.0.0.1:50$", text)

    def test_requests_are_those_of_summaries_and_servers_only(self) -> None:
        made = record("bought", method="GET", path="/cart", code=200)
        head, fields = PrettyFormatter().format(made).split("\n")
        assert " bought " in head
        assert fields == "    code=200 method=GET path=/cart"


class TestColumns:
    def test_columns_are_aligned_in_requests_and_messages(self) -> None:
        lines = [
            PrettyFormatter(width=120).format(made).split("\n")[0]
            for made in (
                summary(),
                summary(method="OPTIONS", path="/a/longer/path", code=404, t=1234),
                summary(method="WEBSOCKET", path="/ws", code=1000),
            )
        ]
        assert {line.index(" /") for line in lines} == {38}
        assert {re.search(r" (200|404|1000) ", line).end() for line in lines} == {77}  # type: ignore[union-attr]
        messages = [
            PrettyFormatter(width=120).format(record(text, level=level, rid=rid))
            for text, level, rid in (
                ("paid", 20, RID), ("refused", 50, "r-1"), ("日本", 30, None),
            )
        ]  # fmt: skip
        assert {re.search(r" (paid|refused|日本)", line).start() for line in messages} == {30}  # type: ignore[union-attr]
        assert {columns(line[: line.index("[app]")]) for line in messages} == {72}

    def test_columns_hold_the_end_of_an_id_in_a_colour_of_its_own(self) -> None:
        ids = [f"{number:032x}" for number in range(40)]
        colors = {}
        for rid in ids:
            found = [color for color, text in colored(summary(rid=rid)) if text == rid[-8:]]
            colors[rid] = found
            assert len(found) == 1
            assert found == [palette.color_of_id(rid)]
        assert len({color for (color,) in colors.values()}) > 5
        # Of the text alone: other processes and versions of Python show the same.
        assert palette.color_of_id(RID) == "38;5;100"

    def test_columns_are_empty_where_a_record_has_no_id(self) -> None:
        assert re.search(r" INFO {14}hello ", PrettyFormatter().format(record()))


class TestMessages:
    def test_messages_of_several_lines_keep_their_line_breaks(self) -> None:
        text = PrettyFormatter().format(record("one\ntwo\r\n\n  three\n", a=1))
        head, *others = text.split("\n")
        assert re.search(r" one +\[app\]$", head)
        assert others == ["    two", "", "      three", "    a=1"]

    def test_messages_of_structlog_have_ten_fields_on_a_second_line(self) -> None:
        stream = io.StringIO()
        mozlog_py.configure("shop", format="pretty", stream=stream)
        fields = {name: name.upper() for name in "jihgfedcba"}
        structlog.get_logger("shop").info("paid", **fields, empty="", none=None, list=[], dict={})
        head, second = stream.getvalue().rstrip("\n").split("\n")
        assert re.search(r" paid +\[shop\]$", head)
        assert second == "    a=A b=B c=C d=D e=E f=F g=G h=H i=I j=J"

    def test_messages_have_their_fields_in_a_fixed_order(self) -> None:
        fields: dict[str, Any] = {
            "trace_id": "t", "zebra": 1, "uid": "ann", "apple": 0, "is": False, "client": "c",
        }  # fmt: skip
        shown = {
            PrettyFormatter().format(record("hi", **{name: fields[name] for name in names}))[24:]
            for names in ([*fields], [*fields][::-1])
        }
        (text,) = shown
        assert text.endswith("\n    uid=ann client=c apple=0 is=False zebra=1 trace_id=t")

    def test_messages_quote_values_whose_end_would_be_unclear(self) -> None:
        made = record("hi", a="x y", b="it's", c="k=v", d='say "hi"', e="plain")
        assert PrettyFormatter().format(made).split("\n")[1] == (
            """    a='x y' b="it's" c='k=v' d='say "hi"' e=plain"""
        )

    def test_messages_show_fields_of_several_lines_as_blocks(self) -> None:
        text = PrettyFormatter().format(record("hi", sql="SELECT 1\nFROM x\n", n=1))
        assert text.split("\n")[1:] == [
            "    n=1", "    sql:", "        SELECT 1", "        FROM x",
        ]  # fmt: skip

    def test_messages_have_dim_fields(self) -> None:
        assert "uid=ann n=1" in of_color(record("hi", n=1, uid="ann"), palette.DIM)

    def test_messages_have_the_prefix_in_front_of_their_first_line_only(self) -> None:
        made = record("one\ntwo", exc_info=failure())
        text = PrettyFormatter(prefix="web| ").format(made)
        assert text.startswith("web| 20")
        assert text.count("web| ") == 1
        stream = io.StringIO()
        handler = MozlogHandler(stream, max_line_bytes=1024)
        handler.setFormatter(PrettyFormatter(prefix="web| "))
        handler.handle(record("x" * 5000))
        assert stream.getvalue().startswith("web| 20")
        assert len(stream.getvalue()) <= 1024

    def test_messages_have_the_prefix_once_where_drawing_fails(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mozlog_py.pretty.draw", None)
        text = PrettyFormatter(prefix="web| ").format(record())
        assert checked(text.removeprefix("web| "))["Fields"] == {"msg": "hello"}


def columns(text: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in text)


HOSTILE = "\x1b[2J\u202e\u200b\U000e0041\x07\nforged\r2026-01-01 ERROR forged\u2028\x85"


def test_the_documentation_shows_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "stdlib.md").read_text("utf-8")
    (text,) = re.findall(r"<!-- text: pretty -->\n```text\n(.*?)```", page, re.DOTALL)
    query = "SELECT *\n  FROM payments"
    ids = [
        f"{number}-0000-{end}"
        for number, end in enumerate(("0613a25d", "d40860be", "9df76673", "4dd64789", "3dd2cefc"))
    ]
    failed = "fbb50bae-b8c1-4399-af91-8faa4dd64789"
    records = [
        record("listening", name="shop", port=8000),
        summary(rid=ids[0]),
        summary(rid=ids[1], method="POST", path="/cart/items", code=201, t=12, uid="ann"),
        summary(rid=ids[2], path="/nothing", code=404, t=0),
        record("two payments", name="shop.pay", level=30, rid=ids[3], user="ann",
               payments=[17, 18], query=query),
        summary("too late", level=40, rid=failed, path="/pay", code=500, errno=500, t=1201,
                agent="curl/8.5.0", lang=""),
        summary(rid=ids[4], method="WEBSOCKET", path="/prices", code=1000, t=64_000),
    ]  # fmt: skip
    drawn = "".join(f"{PrettyFormatter(width=120).format(made)}\n" for made in records)
    time = re.compile(r"^\d\d:\d\d:\d\d\.\d{3}", re.MULTILINE)
    assert time.sub("TIME", drawn) == time.sub("TIME", text)


class TestHostileTexts:
    def test_hostile_texts_are_shown_as_escapes_and_begin_no_line(self) -> None:
        error = ValueError(HOSTILE)
        made = record(
            HOSTILE, name=HOSTILE, exc_info=failure(error), rid=HOSTILE, stack_info=HOSTILE,
            **{HOSTILE: HOSTILE, "list": [HOSTILE], "error": HOSTILE},
        )  # fmt: skip
        made.levelname = HOSTILE
        for width in (None, 120, 60, 20):
            first, *others = PrettyFormatter(width=width).format(made).split("\n")
            assert re.match(r"(20\d\d-\d\d-\d\d )?\d\d:\d\d:\d\d", first)
            assert [line for line in others if not line.startswith("    ")] == []
            assert [line for line in (first, *others) if not line.isprintable()] == []

    def test_hostile_texts_in_a_request_begin_no_line(self) -> None:
        made = summary(HOSTILE, method=HOSTILE, path=HOSTILE, querystring=HOSTILE, uid=HOSTILE)
        for width in (None, 120, 60):
            _, *others = PrettyFormatter(width=width).format(made).split("\n")
            assert [line for line in others if not line.startswith("    ")] == []

    @pytest.mark.parametrize("width", [40, 60, 100, 120])
    @pytest.mark.parametrize("text", ["x" * 700, "日本" * 300, "paid " * 150, " " * 700 + "x"])
    def test_hostile_texts_begin_no_line_of_the_terminal_where_they_are_wide(
        self, width: int, text: str
    ) -> None:
        """A terminal folds at its last column, and continues at the margin."""
        made = record(
            f"m{text}m", value=text, lines=f"a\n{text}", exc_info=failure(ValueError(text))
        )
        for shown in (made, summary(path=text, level=logging.ERROR, code=500)):
            first, *others = PrettyFormatter(width=width).format(shown).split("\n")
            assert [line for line in (first, *others) if columns(line) > width] == []
            assert [line for line in others if line and not line.startswith("    ")] == []

    @given(
        message=st.text(max_size=200),
        fields=st.dictionaries(st.text(max_size=20), st.text(max_size=100), max_size=4),
        width=st.sampled_from([None, 0, 1, 20, 60, 120]),
        colors=st.booleans(),
    )
    def test_hostile_texts_of_any_kind_are_drawn(
        self, message: str, fields: dict[str, str], width: int | None, colors: bool
    ) -> None:
        made = record(message)
        vars(made).update({f"f{name}": value for name, value in fields.items()})
        text = PrettyFormatter(width=width, colors=colors).format(made)
        assert not text.startswith("{")
        first, *others = _COLOR.sub("", text).split("\n")
        assert re.match(r"(20\d\d-\d\d-\d\d )?\d\d:\d\d:\d\d", first)
        assert [line for line in others if line and not line.startswith("    ")] == []


class TestLargeTexts:
    @pytest.mark.parametrize("text", ["a", "日", "ab ", "a\n", "\x1b", "\n"])
    @pytest.mark.parametrize("width", [None, 60])
    @pytest.mark.parametrize("colors", [False, True])
    def test_large_texts_without_a_limit_are_drawn_whole(
        self, text: str, width: int | None, colors: bool
    ) -> None:
        made = record(f"m{text * 40_000}m", value=f"v{text * 40_000}v")
        shown = _COLOR.sub("", PrettyFormatter(width=width, colors=colors).format(made))
        whole = re.sub(r"\n *", "", shown)
        if text.strip():
            assert whole.count(text.strip().replace("\x1b", "x1b")) >= 80_000
        first, *others = shown.split("\n")
        assert [line for line in others if line and not line.startswith("    ")] == []
        if width is not None:
            assert [line for line in (first, *others) if columns(line) > width] == []

    @pytest.mark.parametrize("text", ["a", "日", "ab ", "\n", "a\n"])
    @pytest.mark.parametrize("width", [None, 60])
    @pytest.mark.parametrize("colors", [False, True])
    def test_large_texts_are_cut_to_the_limit_with_their_ids(
        self, text: str, width: int | None, colors: bool
    ) -> None:
        stream = io.StringIO()
        handler = MozlogHandler(stream, max_line_bytes=4096)
        handler.setFormatter(PrettyFormatter(width=width, colors=colors))
        handler.handle(record(f"m{text * 40_000}m", value=f"v{text * 40_000}v", rid=RID))
        assert 4096 / 3 < len(stream.getvalue().encode()) <= 4096
        assert "b6223682" in stream.getvalue()
        shown = re.sub(r"\s+", " ", _COLOR.sub("", stream.getvalue()))
        assert shown.count(" characters cut>") == 2


class TestNarrowTerminals:
    def test_narrow_terminals_have_a_request_in_one_line_of_60_columns(self) -> None:
        text = PrettyFormatter(width=60).format(summary())
        assert re.fullmatch(r"\d\d:\d\d:\d\d INFO  b6223682 GET /cart 200 3 ms", text)
        warning = PrettyFormatter(width=60).format(record("hi", level=logging.WARNING))
        assert re.search(r"^\S+ WARN  {10}hi \[app\]$", warning)

    def test_narrow_terminals_have_fields_on_as_many_lines_as_they_need(self) -> None:
        fields = {f"name{number}": "x" * 20 for number in range(6)}
        _, *others = PrettyFormatter(width=60).format(record("hi", **fields)).split("\n")
        assert [line.count("=") for line in others] == [2, 2, 2]
        assert "".join(others).split() == [f"{name}={'x' * 20}" for name in fields]

    def test_narrow_terminals_are_asked_for_their_width_at_each_record(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        formatter = PrettyFormatter(width=0)
        for width, pattern in ((60, r"^\d\d:\d\d:\d\d INFO"), (120, r"^\d\d:\d\d:\d\d\.\d+ INFO")):
            monkeypatch.setenv("COLUMNS", str(width))
            assert re.search(pattern, formatter.format(summary()))

    def test_narrow_terminals_are_found_by_the_first_descriptor_that_is_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def size(descriptor: int) -> Any:
            if descriptor == 1:
                raise OSError("a pipe")
            return SimpleNamespace(columns=77 if descriptor == 2 else 0)

        monkeypatch.setattr(os, "get_terminal_size", size)
        for given_columns in ("", "0", "wide", "²"):
            monkeypatch.setenv("COLUMNS", given_columns)
            assert terminal_columns(120) == 77
        monkeypatch.setattr(os, "get_terminal_size", lambda _: SimpleNamespace(columns=0))
        assert terminal_columns(120) == 120

    def test_narrow_terminals_are_asked_where_the_stream_is_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        for stream, width in ((Terminal(), 0), (io.StringIO(), None)):
            config = mozlog_py.dict_config("shop", format="pretty", stream=stream)
            assert config["formatters"]["mozlog"].get("width") == width

    def test_narrow_terminals_are_none_for_a_pipe_whose_lines_have_the_date(self) -> None:
        text = PrettyFormatter().format(record("x" * 300, value="y" * 300))
        assert re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} INFO", text)
        assert text.count("\n") == 1


class TestColours:
    def test_colours_are_none_where_they_are_off(self) -> None:
        made = summary("boom", level=logging.ERROR, code=500, exc_info=failure())
        assert "\x1b" not in PrettyFormatter(width=120).format(made)

    def test_colours_add_nothing_to_the_text(self) -> None:
        for made in (summary(uid="ann"), record("one\ntwo", a=1), record(stack_info="Stack:\n  x")):
            for width in (None, 60, 120):
                shown = PrettyFormatter(colors=True, width=width).format(made)
                assert _COLOR.sub("", shown) == PrettyFormatter(width=width).format(made)
                for line in shown.split("\n"):
                    # Each line ends without a colour, so that a reader may cut lines out.
                    assert not _COLOR.findall(line) or _COLOR.findall(line)[-1] == "0"

    def test_colours_are_readable_on_dark_and_on_light_terminals(self) -> None:
        used = {*palette._IDS, *map(palette.color_of_level, (10, 20, 30, 40, 50))}
        used |= {palette.DIM, palette.SUCCESS, palette.REDIRECT, palette.WARNING, palette.FAILURE}
        for color in used:
            number = int(color.rsplit(";", 1)[1])
            for background in ((255, 255, 255), (0x1E, 0x1E, 0x1E)):
                assert contrast(rgb(number), background) >= 3.4, color

    def test_colours_of_ids_are_not_those_of_outcomes(self) -> None:
        outcomes = {palette.SUCCESS, palette.REDIRECT, palette.WARNING, palette.FAILURE}
        numbers = {color.rsplit(";", 1)[1] for color in outcomes}
        assert numbers.isdisjoint(color.rsplit(";", 1)[1] for color in palette._IDS)


def rgb(number: int) -> tuple[int, ...]:
    """Return the colour of a number of the 256-colour table, from 16 on."""
    if number >= 232:
        return (8 + (number - 232) * 10,) * 3
    levels = (0, 95, 135, 175, 215, 255)
    return tuple(levels[(number - 16) // by % 6] for by in (36, 6, 1))


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """Return the contrast of two colours. Source: WCAG 2.1, contrast ratio."""

    def luminance(color: tuple[int, ...]) -> float:
        parts = [part / 255 for part in color]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


class TestTracebacks:
    def test_tracebacks_have_the_applications_frames_brighter(self) -> None:
        def through_the_standard_library() -> None:
            contextvars.copy_context().run(__import__("runpy").run_path, "/nowhere")

        try:
            through_the_standard_library()
        except OSError:
            made = record("failed", level=logging.ERROR, exc_info=sys.exc_info())
        parts = colored(made)
        bright = [text for color, text in parts if color == palette.STRONG]
        dim = [text for color, text in parts if color == palette.DIM]
        assert bright
        assert all(f'File "{__file__}"' in text for text in bright)
        assert any("runpy" in text for text in dim)
        assert not any(__file__ in text for text in dim)
        assert parts[-1][0] == palette.FAILURE
        assert parts[-1][1].startswith("FileNotFoundError: ")

    @pytest.mark.parametrize(
        ("file", "expected"),
        [
            ("/srv/shop/cart.py", True),
            ("C:\\shop\\cart.py", True),
            ("/srv/shop/.venv/lib/python3.12/site-packages/flask/app.py", False),
            ("/usr/lib/python3/dist-packages/flask/app.py", False),
            ("C:\\venv\\Lib\\site-packages\\flask\\app.py", False),
            ("<frozen runpy>", False),
            ("<string>", False),
            (os.__file__, False),
            (f"{sysconfig.get_paths()['stdlib']}/asyncio/runners.py", False),
            (mozlog_py.__file__, False),
            (sys.modules["dockerflow"].__file__, False),
        ],
    )
    def test_tracebacks_know_the_applications_files(self, file: str, expected: bool) -> None:
        assert is_own_file(file) is expected

    def test_tracebacks_of_groups_and_of_stacks_have_colours_by_line(self) -> None:
        text = (
            "Traceback (most recent call last):\n"
            '  | File "/usr/lib/python3/dist-packages/x.py", line 1, in x\n'
            "  |   raise\n"
            "  | ValueError: x\n"
            "note: 'more'\n"
        )
        shown = {found: color for color, found in colored(record("x", exc_text=text))}
        assert shown["Traceback (most recent call last):"] == palette.DIM
        assert shown["  |   raise"] == palette.DIM
        assert shown["  | ValueError: x"] == palette.FAILURE
        assert "note: 'more'" not in shown

    def test_tracebacks_are_shown_once_for_a_request(self) -> None:
        formatter, exc_info = PrettyFormatter(width=120), failure()
        first = formatter.format(record("Exception on /", level=40, exc_info=exc_info))
        assert "Traceback" in first
        for name in ("request.summary", "uvicorn.error", "sanic.error"):
            again = formatter.format(
                record("boom", level=40, name=name, exc_info=exc_info, rid=RID)
            )
            assert again.split("\n")[1:] == [
                """    error="ValueError('boom')" traceback='shown above'"""
            ]

    def test_tracebacks_are_shown_once_where_a_server_logs_the_text_only(self) -> None:
        formatter = PrettyFormatter()
        formatter.format(record("boom", level=40, exc_info=failure(), rid=RID))
        text = 'Error on request:\nTraceback (most recent call last):\n  File "x"\nValueError: boom'
        for rid, is_repeated in ((RID, True), ("other", False), (None, False)):
            shown = formatter.format(record(text, level=40, name="werkzeug", rid=rid))
            assert ("traceback='shown above'" in shown) is is_repeated
            assert ('File "x"' in shown) is not is_repeated

    def test_tracebacks_are_shown_again_by_the_application_by_another_handler_and_later(
        self,
    ) -> None:
        formatter, exc_info = PrettyFormatter(), failure()
        made = record("boom", level=40, name="request.summary", exc_info=exc_info)
        for shown in (formatter, PrettyFormatter()):
            assert "Traceback" in shown.format(made)
            assert "Traceback" not in shown.format(made)
        assert "Traceback" in formatter.format(record("boom", exc_info=exc_info))
        later = record("boom", level=40, name="request.summary", exc_info=exc_info)
        later.created += 6
        later.msecs = 0.0
        assert "Traceback" in formatter.format(later)

    def test_tracebacks_stay_in_the_lines_of_other_formats(self) -> None:
        exc_info = failure()
        PrettyFormatter().format(record("boom", exc_info=exc_info))
        line = MozlogFormatter().format(record("boom", name="request.summary", exc_info=exc_info))
        assert "ValueError" in checked(line)["Fields"]["traceback"]


UVICORN = ('%s - "%s %s HTTP/%s" %d', "10.0.0.1:50", "GET", "/cart", "1.1", 200)


@contextmanager
def request(logger: logging.Logger | None) -> Iterator[RequestSummary]:
    """Begin a request in a context of its own."""
    begun = RequestSummary()
    begun.logger, begun.method, begun.path, begun.code = logger, "GET", "/cart", 200
    begun.begin("r-1")
    try:
        yield begun
    finally:
        begun.leave()


class TestAccessLines:
    @pytest.fixture
    def shown(self) -> Callable[[], list[str]]:
        """Configure the format; return a function that returns the lines so far."""
        late_request_ids._served.set(None)
        stream = io.StringIO()
        mozlog_py.configure("shop", format="pretty", stream=stream)
        return lambda: stream.getvalue().splitlines()

    def test_access_lines_are_left_out_where_the_summary_comes_later(
        self, shown: Callable[[], list[str]]
    ) -> None:
        with request(logging.getLogger("request.summary")) as begun:
            logging.getLogger("uvicorn.access").info(*UVICORN)
            begun.finish()
        (line,) = shown()
        assert re.search(r" r-1      GET +/cart +200 ", line)
        assert "uvicorn" not in line

    def test_access_lines_are_left_out_where_the_summary_came_before(
        self, shown: Callable[[], list[str]]
    ) -> None:
        with request(logging.getLogger("request.summary")) as begun:
            begun.finish()
        template = '127.0.0.1 - - [27/Nov/2026 10:00:00] "%s" %s %s'
        logging.getLogger("werkzeug").info(template, "GET /cart HTTP/1.1", 200, "-")
        assert len(shown()) == 1
        # A request that the application has not seen.
        logging.getLogger("werkzeug").info(template, "GET /other HTTP/1.1", 400, "-")
        assert "/other" in shown()[1]

    def test_access_lines_are_shown_where_no_summary_is(
        self, shown: Callable[[], list[str]]
    ) -> None:
        logging.getLogger("uvicorn.access").info(*UVICORN)
        quiet = logging.getLogger("request.summary")
        for logger in (None, quiet):
            with request(logger) as begun:
                quiet.setLevel(logging.WARNING)
                try:
                    logging.getLogger("uvicorn.access").info(*UVICORN)
                    begun.finish()
                finally:
                    quiet.setLevel(logging.NOTSET)
        assert ["uvicorn.access" in line for line in shown()] == [True] * 3

    def test_access_lines_with_the_id_of_a_summary_that_was_shown_are_left_out_once(
        self, shown: Callable[[], list[str]]
    ) -> None:
        """granian and daphne log outside of the request's context."""
        logging.getLogger("request.summary").handle(summary())
        logger = logging.getLogger("granian.access")
        atoms = {
            "method": "GET", "path": "/cart", "query_string": b"", "status": 200, "dt_ms": 3.0,
            "addr": "10.0.0.1",
        }  # fmt: skip
        for rid, count in (("other", 2), (RID, 2), (RID, 3)):
            logger.info("a sentence", atoms, extra={"rid": rid})
            assert len(shown()) == count
        stream = io.StringIO()
        other = logging.StreamHandler(stream)
        other.setFormatter(PrettyFormatter())
        for made in (summary(), record("a", atoms, name="granian.access", rid=RID)):
            other.handle(made)
        assert len(re.findall(" GET +/cart ", stream.getvalue())) == 2

    def test_access_lines_of_websockets_are_left_out(self, shown: Callable[[], list[str]]) -> None:
        with request(logging.getLogger("request.summary")):
            logger = logging.getLogger("uvicorn.error")
            logger.info('%s - "WebSocket %s" [accepted]', "10.0.0.1:50", "/ws")
            logger.info("connection open")
            logger.info("Application startup complete.")
        (line,) = shown()
        assert "startup" in line

    def test_access_lines_of_sanics_websockets_are_left_out(
        self, shown: Callable[[], list[str]]
    ) -> None:
        logger = logging.getLogger("sanic.access")
        sockets = [
            {"host": f"10.0.0.1:{port}", "request": " 🔌 ws://shop/ws", "status": "", "byte": "",
             "duration": ""}
            for port in (50, 51)
        ]  # fmt: skip
        with request(logging.getLogger("request.summary")):
            logger.info("OPEN", extra=sockets[0])
        # Sanic logs the end outside of the request.
        logger.info("CLOSE", extra=sockets[0])
        assert shown() == []
        for message in ("OPEN", "CLOSE"):
            logger.info(message, extra=sockets[1])
        assert len([line for line in shown() if "[sanic.access]" in line]) == 2

    def test_access_lines_are_written_by_other_formats_and_other_handlers(self) -> None:
        mozlog_py.configure("shop", format="pretty", stream=io.StringIO())
        streams = io.StringIO(), io.StringIO()
        ours, other = MozlogHandler(streams[0]), logging.StreamHandler(streams[1])
        # A handler that has to write each record.
        other.setFormatter(PrettyFormatter())
        root = logging.getLogger()
        for handler in (ours, other):
            root.addHandler(handler)
        try:
            with request(logging.getLogger("request.summary")):
                logging.getLogger("uvicorn.access").info(*UVICORN)
        finally:
            for handler in (ours, other):
                root.removeHandler(handler)
        (line,) = checked_lines(streams[0].getvalue())
        assert line["Fields"] == {
            "rid": "r-1", "method": "GET", "path": "/cart", "code": 200, "client": "10.0.0.1:50",
        }  # fmt: skip
        assert re.search(r" GET +/cart ", streams[1].getvalue())

    @pytest.mark.parametrize("kind", [AccessFields, ErrorFields])
    def test_access_lines_are_shown_if_the_logger_of_summaries_raises(
        self, kind: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def has_summary() -> bool:
            raise RuntimeError("broken")

        monkeypatch.setattr(summarised, "has_summary", has_summary)
        made = record(*UVICORN, name="uvicorn.access")
        if kind is ErrorFields:
            made = record("connection open", name="uvicorn.error")
        PrettyFormatter()
        assert kind().filter(made)
        assert PrettyFormatter().format_bytes(made)
