"""What is too long is cut first, the longest texts before all, in each format and by each front."""

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
import structlog
from conformance import checked, checked_lines, record
from hypothesis import given
from hypothesis import strategies as st

import mozlog_py
from mozlog_py import MozlogFormatter, MozlogHandler, MozlogQueueHandler
from mozlog_py._line.truncate import cut
from mozlog_py.gcp import CloudFormatter
from mozlog_py.pretty import PrettyFormatter
from mozlog_py.processors import Redact

pytestmark = pytest.mark.usefixtures("untouched_process")

LIMIT = 16_384
SHORT = {"rid": "r-1", "code": 404, "path": "/cart", "ok": True}
SECRET = "s3cret-T0ken-of-ours"

Log = Callable[..., str]


@pytest.fixture(params=["logging", "fast", "chain", "queue"])
def front(request: pytest.FixtureRequest) -> Iterator[Log]:
    """Return what logs one call through a front, and returns the output."""

    def output(message: str, *, name: str = "app", limit: int = LIMIT, **given: Any) -> str:
        stream = io.StringIO()
        fields = {key: value for key, value in given.items() if key not in ("format", "processors")}
        mozlog_py.configure(
            "shop",
            stream=stream,
            format=given.get("format", "mozlog"),
            max_line_bytes=limit,
            queue=request.param == "queue",
            processors=given.get("processors", ()),
        )
        if request.param in ("logging", "queue"):
            logging.getLogger(name).error(message, extra=fields)
        elif request.param == "fast":
            structlog.get_logger(name).error(message, **fields)
        else:
            structlog.get_logger(name).bind(one=object()).error(message, **fields)
        for handler in logging.getLogger().handlers:
            handler.flush()
        return stream.getvalue()

    yield output
    for name in [name for name in logging.root.manager.loggerDict if len(name) > 200]:
        del logging.root.manager.loggerDict[name]


@pytest.mark.slow
class TestLongTexts:
    @pytest.mark.parametrize("layout", ["mozlog", "gcp"])
    @pytest.mark.parametrize("text", ["m", "\u2028", "\x1b", "\x7f", "ü\U000e0041", "日本"])
    def test_long_texts_are_cut_and_short_fields_survive(
        self, front: Log, layout: str, text: str
    ) -> None:
        for size in (17_000, 300_000):
            made = front(text * size, format=layout, **SHORT)
            assert len(made.encode()) <= LIMIT
            (line,) = checked_lines(made)
            assert SHORT.items() <= line["Fields"].items()
            assert " characters cut>..." in line["Fields"]["msg"]
            assert "cut from " in line["Fields"]["mozlog.degraded"]
            if layout == "gcp":
                assert line["severity"] == "ERROR"
                assert " characters cut>..." in line["message"]
                assert line["message"].startswith(text * 2 if len(text) == 1 else text)

    @pytest.mark.parametrize("layout", ["mozlog", "gcp"])
    @pytest.mark.parametrize("limit", [1024, LIMIT])
    @pytest.mark.parametrize("where", ["name", "field", "deep", "key"])
    def test_long_texts_are_cut_wherever_they_stand(
        self, front: Log, layout: str, limit: int, where: str
    ) -> None:
        long = "x" * 40_000
        options: dict[str, Any] = {
            "name": {"name": long},
            "field": {"value": long},
            "deep": {"value": {"a": [{"b": long}]}},
            "key": {long: "value"},
        }[where]
        made = front("paid", format=layout, limit=limit, **options, **SHORT)
        assert len(made.encode()) <= limit
        (line,) = checked_lines(made)
        assert SHORT.items() <= line["Fields"].items()
        assert line["Fields"]["msg"] == "paid"
        if where == "key":
            assert "value" in line["Fields"].values()

    @pytest.mark.parametrize("layout", ["mozlog", "gcp", "pretty"])
    @pytest.mark.parametrize("text", ["\u2028", "\x1b", "a\u202e", "ü\x85"])
    def test_long_texts_are_cut_before_their_characters_are_escaped(
        self, front: Log, layout: str, text: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Escapes of 10 MB took seconds, for a line of 16 KiB."""
        escaped: list[int] = []

        def counted(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
            def call(text: Any) -> Any:
                escaped.append(len(text))
                return function(text)

            return call

        for place in (
            "mozlog_py._line.truncate.escape",
            "mozlog_py._pretty.record_text.escape_lines",
            "mozlog_py._pretty.record_text.escape_text",
        ):
            module, _, name = place.rpartition(".")
            function = getattr(__import__(module, fromlist=[name]), name)
            monkeypatch.setattr(place, counted(function))
        totals = []
        for size in (100_000, 3_000_000):
            escaped.clear()
            made = front(text * (size // len(text)), format=layout, **SHORT)
            assert len(made.encode()) <= LIMIT
            totals.append(sum(escaped))
        assert totals[1] <= 1.1 * totals[0]
        assert totals[1] <= 24 * LIMIT

    @pytest.mark.parametrize("layout", ["mozlog", "gcp"])
    def test_long_texts_are_whole_without_a_limit(self, front: Log, layout: str) -> None:
        text = "a\u2028" * 100_000
        (line,) = checked_lines(front(text, format=layout, limit=0, **SHORT))
        assert line["Fields"]["msg"] == text
        assert "mozlog.degraded" not in line["Fields"]

    def test_long_texts_say_how_much_of_them_is_missing(self, front: Log) -> None:
        text = "\u2028" * 1_000_000
        (line,) = checked_lines(front(text))
        shown = line["Fields"]["msg"]
        missing = int(shown.split("<")[1].split(" ")[0])
        assert shown.count("\u2028") + missing == len(text)

    @pytest.mark.parametrize("layout", ["mozlog", "gcp", "pretty"])
    @pytest.mark.parametrize("shift", range(0, 20, 5))
    def test_long_texts_show_no_part_of_a_secret_at_the_cut(
        self, front: Log, layout: str, shift: int
    ) -> None:
        text = "\u2028" + "x" * shift + SECRET * 3000
        redact = Redact(values=[SECRET])
        made = front(text, format=layout, limit=1024, processors=[redact], value=text)
        assert [SECRET[at : at + 4] for at in range(17) if SECRET[at : at + 4] in made] == []
        assert "characters cut>" in made


class TestOtherLines:
    def written(self, formatter: logging.Formatter, limit: int, made: logging.LogRecord) -> str:
        stream = io.StringIO()
        handler = MozlogHandler(stream, max_line_bytes=limit)
        handler.setFormatter(formatter)
        handler.handle(made)
        return stream.getvalue()

    @pytest.mark.parametrize("text", ["x", "\u2028"])
    def test_other_lines_with_a_prefix_are_cut_behind_it(self, text: str) -> None:
        formatter = MozlogFormatter(prefix="@cee: ")
        made = self.written(formatter, 2048, record(text * 50_000, rid="r-1"))
        assert len(made) <= 2048
        assert made.startswith("@cee: ")
        assert checked(made.removeprefix("@cee: ").rstrip("\n"))["Fields"]["rid"] == "r-1"

    @pytest.mark.parametrize("text", ["x", "\u2028"])
    def test_other_lines_that_a_subclass_makes_are_cut_in_all_members(self, text: str) -> None:
        class Own(MozlogFormatter):
            def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
                line = super().convert_record(record)
                labels = {f"label-{n}": n for n in range(2000)}
                return {**line, "httpRequest": {"userAgent": text * 50_000}, "labels": labels}

        made = self.written(Own(), 2048, record("hi", rid="r-1"))
        assert len(made) <= 2048
        line = checked(made)
        assert "characters cut>" in line["httpRequest"]["userAgent"]
        assert "labels" not in line
        assert line["Fields"].items() >= {"rid": "r-1", "msg": "hi"}.items()

    def test_other_lines_leave_out_the_largest_members_first(self) -> None:
        fields = {f"list_{n}": [*range(n * 40)] for n in range(1, 20)}
        made = self.written(MozlogFormatter(), 4096, record("hi", rid="r-1", **fields))
        line = checked(made)
        left = [name for name in line["Fields"] if name.startswith("list_")]
        assert left == [f"list_{n}" for n in range(1, len(left) + 1)]
        assert len(left) >= 3
        reason = line["Fields"]["mozlog.degraded"]
        assert reason.endswith(f"; {19 - len(left)} fields left out")

    def test_other_lines_keep_a_field_of_the_name_of_the_note(self) -> None:
        fields = {"mozlog.degraded": {"a": 1}, "n": "x" * 10_000}
        line = checked(self.written(MozlogFormatter(), 2048, record("hi", **fields)))
        assert line["Fields"]["extra.mozlog.degraded"] == {"a": 1}
        assert "cut from" in line["Fields"]["mozlog.degraded"]

    def test_other_lines_do_not_keep_a_list_of_a_traceback_in_the_place_of_all_others(self) -> None:
        formatter = MozlogFormatter(exc_info_as_array=True)
        text = "\n".join(f"line {n}" for n in range(20_000))
        made = self.written(formatter, 2048, record("hi", exc_info=ValueError(text), **SHORT))
        assert SHORT.items() <= checked(made)["Fields"].items()

    def test_other_lines_of_a_queue_do_not_fill_it_with_what_is_cut_in_the_end(self) -> None:
        stream = io.StringIO()
        handler = MozlogQueueHandler(stream, max_bytes=1_000_000)
        handler.handle(record("x" * 3_000_000))
        handler.close()
        assert handler.lost == 0
        assert len(stream.getvalue()) <= LIMIT

    @pytest.mark.parametrize("kind", [MozlogFormatter, CloudFormatter, PrettyFormatter])
    def test_other_lines_of_one_formatter_have_the_limit_of_their_handler(
        self, kind: type[MozlogFormatter]
    ) -> None:
        formatter = kind()
        sizes = []
        for limit in (2048, 0, 4096):
            made = self.written(formatter, limit, record("\u2028" * 20_000))
            sizes.append(len(made.encode()))
        assert sizes[0] <= 2048 < sizes[2] <= 4096 < 100_000 < sizes[1]
        # Handlers of others ask for text, and have no limit.
        assert len(formatter.format(record("\u2028" * 20_000))) >= 100_000

    def test_other_lines_follow_an_ending_that_is_changed(self) -> None:
        stream = io.StringIO()
        handler = MozlogHandler(stream, max_line_bytes=1024)
        handler.terminator = "\r\n"
        handler.handle(record("\u2028" * 20_000))
        made = stream.getvalue()
        assert made.endswith("\r\n")
        assert 900 < len(made) <= 1024
        assert "cut from" in checked(made.rstrip())["Fields"]["mozlog.degraded"]


class TestLinesForPeople:
    def written(self, made: logging.LogRecord, limit: int, *, colors: bool = False) -> str:
        stream = io.StringIO()
        handler = MozlogHandler(stream, max_line_bytes=limit)
        handler.setFormatter(PrettyFormatter(colors=colors))
        handler.handle(made)
        text = stream.getvalue()
        assert len(text.encode()) <= (limit or 10_000_000)
        return text

    @pytest.mark.parametrize("colors", [False, True])
    @pytest.mark.parametrize("text", ["m", "\x1b", "ü", "\u2028", "日本", "\n"])
    @pytest.mark.parametrize("limit", [1024, LIMIT])
    def test_lines_for_people_are_cut_and_short_fields_survive(
        self, text: str, limit: int, colors: bool
    ) -> None:
        made = record(text * 20_000, value=text * 30_000, name="app" * 10_000, rid="r-1")
        shown = self.written(made, limit, colors=colors)
        assert shown.count(" characters cut>") >= 3
        assert "r-1" in shown
        assert "cut from " in shown
        assert len(shown.encode()) > limit / 3

    def test_lines_for_people_with_a_long_traceback_are_cut(self) -> None:
        error = ValueError("x" * 8000)
        error.__notes__ = ["\n" * 1000] * 20
        shown = self.written(record("failed", exc_info=error, rid="r-1"), 4096)
        assert re.search(r"^\S+ \S+ INFO +r-1 ", shown)
        assert "failed" in shown

    def test_lines_for_people_of_many_fields_have_the_message_and_the_id(self) -> None:
        fields = {f"f{n}": "x" for n in range(900)}
        shown = self.written(record("many", **fields, rid="r-1"), 2048)
        assert "many" in shown
        assert re.search(r"^\S+ \S+ INFO +r-1 ", shown)
        assert "fields left out" in shown

    def test_lines_for_people_are_whole_without_a_limit_and_where_they_are_short(self) -> None:
        assert len(self.written(record("x" * 50_000), 0)) > 50_000
        assert "cut" not in self.written(record("x" * 10_000, a="y" * 5000), LIMIT)


_TEXTS = st.builds(
    lambda text, count: text * count,
    st.sampled_from(["a", "\u2028", "\x1b", "ü", "\U000e0041", '"\\', "\U0001f600", ""]),
    st.sampled_from([0, 1, 20, 100, 500, 3000, 20_000]),
)
_PLAIN = st.recursive(
    st.one_of(_TEXTS, st.integers(-(2**53), 2**53), st.booleans(), st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=6), st.dictionaries(_TEXTS, inner, max_size=6)
    ),
    max_leaves=30,
)


@given(
    fields=st.dictionaries(_TEXTS, _PLAIN.filter(lambda value: value is not None), max_size=8),
    further=st.dictionaries(_TEXTS, _PLAIN, max_size=3),
    name=_TEXTS,
    limit=st.sampled_from([1024, 2000, 16_384]),
)
def test_any_line_fits_within_the_limit_and_keeps_its_id(
    fields: dict[str, Any], further: dict[str, Any], name: str, limit: int
) -> None:
    envelope = json.loads(MozlogFormatter().format(record("x", name=name)))
    line = orjson.dumps({**further, **envelope, "Fields": {**fields, "rid": "r-1"}}) + b"\n"
    if len(line) <= limit:
        return
    made = cut(line, limit)
    assert len(made) <= limit
    assert made.endswith(b"\n")
    document = checked(made)
    assert document["Fields"]["rid"] == "r-1"
    assert "cut from" in document["Fields"]["mozlog.degraded"]
