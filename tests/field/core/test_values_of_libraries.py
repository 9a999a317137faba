"""Values of libraries are shown for what they are: numbers, dates, texts; and no query is made."""

import datetime
import decimal
import json
import logging
import sys
from collections import OrderedDict, UserString
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sqlalchemy
from conformance import Capture, checked_lines
from django.db import models
from django.utils.functional import SimpleLazyObject, lazy
from django.utils.translation import gettext_lazy, ngettext_lazy
from sqlalchemy import orm
from value_fronts import FRONTS, by_handler
from werkzeug.datastructures import CombinedMultiDict, ImmutableMultiDict, MultiDict

from mozlog_py import MozlogFormatter
from mozlog_py._values.sanitiser import Sanitiser
from mozlog_py.processors import CapLengths, Redact, drop_none, flatten


def plain(value: Any) -> Any:
    sanitiser = Sanitiser()
    made = sanitiser.value(value)
    assert not sanitiser.reasons
    return made


SCALARS: dict[str, tuple[Any, Any]] = {
    "numpy int64": (np.int64(-5), -5),
    "numpy uint64": (np.uint64(2**64 - 1), 2**64 - 1),
    "numpy bool": (np.bool_(False), False),
    "numpy float16": (np.float16(1.5), 1.5),
    "numpy float32": (np.float32("inf"), "Infinity"),
    "numpy float64": (np.float64("nan"), "NaN"),
    "numpy longdouble": (np.longdouble(1.5), "1.5"),
    "numpy complex": (np.complex64(1 + 2j), "(1+2j)"),
    "numpy text": (np.str_("é"), "é"),
    "numpy bytes": (np.bytes_(b"ab"), "YWI="),
    "numpy void": (np.void(b"ab"), "YWI="),
    "numpy date": (np.datetime64("20240-01-02"), "20240-01-02"),
    "numpy time": (np.datetime64("2024-01-02T03:04:05.123456789"), "2024-01-02T03:04:05.123456789"),
    "numpy NaT": (np.datetime64("NaT", "s"), "NaT"),
    "numpy timedelta": (np.timedelta64(5, "D"), "5 days"),
    "pandas NaT": (pd.NaT, "NaT"),
    "pandas NA": (pd.NA, "<NA>"),
    "pandas far": (pd.Timestamp(np.datetime64("20240-01-02", "s")), "20240-01-02T00:00:00"),
    "pandas early": (pd.Timestamp(np.datetime64("-0044-03-15", "s")), "-044-03-15T00:00:00"),
    "pandas nanoseconds": (
        pd.Timestamp("2024-01-02T03:04:05.123456789Z"),
        "2024-01-02T03:04:05.123456789+00:00",
    ),
    "pandas timedelta": (pd.Timedelta("1D"), "1 days 00:00:00"),
    "pandas period": (pd.Period("2024-01"), "2024-01"),
    "pandas interval": (pd.Interval(1, 2), "(1, 2]"),
    "pyarrow int": (pa.scalar(5), 5),
    "pyarrow bool": (pa.scalar(True), True),
    "pyarrow null": (pa.scalar(None), None),
    "pyarrow text": (pa.scalar("x"), "x"),
    "pyarrow NaN": (pa.scalar(float("nan")), "NaN"),
    "pyarrow list": (pa.scalar([1, None]), [1, None]),
    "pyarrow struct": (pa.scalar({"a": 1}), {"a": 1}),
    "pyarrow decimal": (pa.scalar(decimal.Decimal("1.50")), "1.50"),
    "pyarrow date": (pa.scalar(datetime.date(2024, 1, 2)), "2024-01-02"),
    "pyarrow far date": (pa.scalar(10**7, pa.date32()), "29349-01-26"),
    "pyarrow far time": (pa.scalar(2**50, pa.timestamp("s")), f"{2**50} timestamp[s]"),
    "pyarrow long": (pa.scalar(2**62, pa.duration("s")), f"{2**62} duration[s]"),
    "polars row": (
        pl.DataFrame({"n": [1], "ok": [True], "d": [datetime.date(2024, 1, 2)], "l": [[1.5]]}).row(
            0, named=True
        ),
        {"n": 1, "ok": True, "d": "2024-01-02", "l": [1.5]},
    ),
    "polars count": (pl.DataFrame({"a": [1, 2]}).select(pl.len()).item(), 2),
}


class TestScalars:
    @pytest.mark.parametrize("front", FRONTS)
    @pytest.mark.parametrize("kind", ["numpy int64", "numpy bool", "pandas far", "pyarrow int"])
    def test_scalars_have_their_true_value_in_every_front(self, kind: str, front: str) -> None:
        value, expected = SCALARS[kind]
        fields = FRONTS[front]("x", value=value)["Fields"]
        assert (fields["value"], type(fields["value"])) == (expected, type(expected))
        assert "mozlog.degraded" not in fields

    @pytest.mark.parametrize("kind", SCALARS)
    def test_scalars_have_their_true_value_alone_and_nested(self, kind: str) -> None:
        value, expected = SCALARS[kind]
        for shown in (plain(value), plain([value])[0], plain({"a": {"b": value}})["a"]["b"]):
            assert (shown, type(shown)) == (expected, type(expected))

    def test_scalars_are_keys_by_their_value(self) -> None:
        assert plain({np.int64(5): "a", np.str_("b"): 1, pd.NaT: 2}) == {"5": "a", "b": 1, "NaT": 2}

    def test_scalars_of_a_whole_row_are_plain_json(self) -> None:
        frame = pd.DataFrame({"n": [5], "ok": [True], "at": [pd.NaT], "f": [1.5]})
        fields = FRONTS["formatter"]("row", **frame.iloc[0].to_dict())["Fields"]
        assert fields == {"n": 5, "ok": True, "at": "NaT", "f": 1.5, "msg": "row"}

    def test_scalars_are_left_to_json_default_where_there_is_one(self) -> None:
        formatter = MozlogFormatter(json_default=lambda value: f"mine {value}")
        made = logging.makeLogRecord({"msg": "x", "n": np.int64(5)})
        assert json.loads(formatter.format(made))["Fields"]["n"] == "mine 5"

    def test_scalars_that_merely_say_they_are_of_numpy_are_not_believed(self) -> None:
        class Liar:
            __module__ = "numpy"

            def item(self) -> Any:
                raise AssertionError

            def __repr__(self) -> str:
                return "liar"

        Liar.__name__ = Liar.__qualname__ = "int64"
        assert plain(Liar()) == "liar"

    def test_scalars_of_a_class_whose_module_is_nonsense_are_their_repr(self) -> None:
        kind = type("Odd", (), {"__module__": 5, "__repr__": lambda _: "odd"})
        assert plain(kind()) == "odd"

    def test_scalars_are_not_looked_for_in_a_library_that_is_gone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delitem(sys.modules, "numpy")
        assert plain([np.int64(5)]) == ["np.int64(5)"]

    def test_scalars_that_raise_become_a_marker(self) -> None:
        class Broken(pa.ExtensionScalar):
            def as_py(self, **_: Any) -> Any:
                raise RuntimeError

        class Kind(pa.ExtensionType):
            def __init__(self) -> None:
                super().__init__(pa.int64(), "shop.kind")

            def __arrow_ext_serialize__(self) -> bytes:
                return b""

            def __arrow_ext_scalar_class__(self) -> Any:
                return Broken

        value = pa.ExtensionScalar.from_storage(Kind(), pa.scalar(5))
        fields = FRONTS["chain"]("x", value=value)["Fields"]
        assert fields["value"] == "<unprintable Broken: RuntimeError>"


class OnlyKeys(dict):  # type: ignore[type-arg]
    def keys(self) -> Any:
        return ["q", "name"]

    def __getitem__(self, key: str) -> str:
        return {"q": "1", "name": "ann"}[key]


class OnlyIteration(dict):  # type: ignore[type-arg]
    __getitem__ = OnlyKeys.__getitem__

    def __iter__(self) -> Any:
        return iter(["q", "name"])


class InAttribute(dict):  # type: ignore[type-arg]
    def __init__(self, kept: dict[Any, Any]) -> None:
        super().__init__()
        self.kept = kept

    def items(self) -> Any:
        return self.kept.items()


REQUEST = CombinedMultiDict([MultiDict({"q": "1"}), ImmutableMultiDict({"name": "ann"})])
ELSEWHERE = {
    "werkzeug": REQUEST,
    "keys": OnlyKeys(),
    "iteration": OnlyIteration(),
    "an attribute": InAttribute({"q": "1", "name": "ann"}),
}


class TestDictsThatStoreElsewhere:
    @pytest.mark.parametrize("front", sorted({*FRONTS} - {"strict"}))
    @pytest.mark.parametrize("kind", ELSEWHERE)
    def test_dicts_that_store_elsewhere_show_their_items_in_every_front(
        self, kind: str, front: str
    ) -> None:
        fields = FRONTS[front]("x", values=ELSEWHERE[kind], deep=[{"v": ELSEWHERE[kind]}])["Fields"]
        for shown in (fields["values"], fields["deep"][0]["v"]):
            assert {name: [*map(str, shown[name])] for name in shown} in (
                {"q": ["1"], "name": ["a", "n", "n"]},
                {"q": ["1"], "name": ["ann"]},
            )

    @pytest.mark.parametrize(
        "front", ["formatter", "formatter with a hook", "chain", "fast logger"]
    )
    def test_dicts_that_store_elsewhere_are_a_message_like_any_other_dict(self, front: str) -> None:
        fields = FRONTS[front](InAttribute({"q": "1", "name": "ann"}))["Fields"]
        assert fields == {"q": "1", "name": "ann"}

    def test_dicts_that_store_elsewhere_are_read_in_pairs_that_no_dict_could_hold(self) -> None:
        class Pairs(InAttribute):
            def items(self) -> Any:
                return [("a", 1), ("a", 2), ([], 3), (None, 4)]

        sanitiser = Sanitiser()
        assert sanitiser.value(Pairs({})) == {"a": 1, "a_2": 2, "null": 4}
        assert [*sanitiser.reasons] == ["value unprintable", "key of type list skipped"]

    def test_dicts_that_store_elsewhere_that_have_no_end_are_bounded(self) -> None:
        class Endless(InAttribute):
            def items(self) -> Any:
                return ((f"k{n}", n) for n in iter(int, 1))

        sanitiser = Sanitiser()
        shown = sanitiser.value(Endless({}))
        assert len(shown) == 1001
        assert "items dropped" in sanitiser.reasons

    @pytest.mark.parametrize("items", [5, [1], [(1, 2, 3)]])
    def test_dicts_that_store_elsewhere_that_answer_nonsense_are_a_marker(self, items: Any) -> None:
        class Odd(InAttribute):
            def items(self) -> Any:
                return items

        fields = FRONTS["formatter"]("x", values=Odd({}), other=1)["Fields"]
        assert fields["values"].startswith("<unprintable Odd: ")
        assert (fields["msg"], fields["other"]) == ("x", 1)

    def test_dicts_that_store_elsewhere_that_raise_as_a_message_leave_a_line(self) -> None:
        class Odd(InAttribute):
            def items(self) -> Any:
                raise RuntimeError

        for front in ("formatter", "chain"):
            fields = FRONTS[front](Odd({}), a=1)["Fields"]
            assert fields == {"a": 1, "mozlog.degraded": "value unprintable"}

    def test_dicts_that_store_elsewhere_that_hold_themselves_are_circular(self) -> None:
        circle = InAttribute({})
        circle.kept["self"] = circle
        assert Sanitiser().value(circle) == {"self": "<circular>"}

    def test_dicts_that_store_elsewhere_are_asked_for_nothing_where_their_own_part_has_items(
        self,
    ) -> None:
        both = InAttribute({"other": 2})
        dict.__setitem__(both, "own", 1)
        assert plain(both) == {"own": 1}
        assert plain(OrderedDict()) == plain(MultiDict()) == {}


@pytest.fixture
def author() -> Any:
    """Return a model of Django."""
    from lazy_models import Author

    return Author


@pytest.fixture
def queries(author: Any) -> Any:
    """Have every statement that Django executes noted, and refused."""
    from django.db import connection

    made: list[str] = []

    def refuse(_: Any, sql: str, *__: Any) -> Any:
        made.append(sql)
        raise AssertionError(sql)

    with connection.execute_wrapper(refuse):
        yield made


@pytest.mark.usefixtures("author")
class TestLazyTexts:
    @pytest.mark.parametrize("front", FRONTS)
    def test_lazy_texts_are_their_text_in_every_front(self, front: str) -> None:
        fields = FRONTS[front]("x", title=gettext_lazy("Hello"))["Fields"]
        assert fields["title"] == "Hello"

    def test_lazy_texts_of_any_kind_are_their_text(self) -> None:
        assert plain(ngettext_lazy("%d book", "%d books", 2) % 2) == "2 books"
        assert plain(lazy(lambda: 5, int)()) == "5"
        assert plain(UserString("it's")) == "it's"
        assert plain({gettext_lazy("key"): [gettext_lazy("é")]}) == {"key": ["é"]}

    def test_lazy_texts_of_babel_are_their_text(self) -> None:
        from babel.support import LazyProxy

        assert plain(LazyProxy(lambda: "Hallo")) == "Hallo"

    def test_lazy_texts_of_flask_babel_are_their_text(self) -> None:
        from flask_babel import lazy_gettext
        from flask_babel.speaklater import LazyString

        assert type(lazy_gettext("Hello")) is LazyString
        assert plain(LazyString(lambda: "Hallo")) == "Hallo"

    def test_lazy_texts_that_raise_become_a_marker(self) -> None:
        def broken() -> str:
            raise RuntimeError

        fields = FRONTS["chain"]("x", title=lazy(broken, str)())["Fields"]
        assert fields["title"] == "<unprintable __proxy__: RuntimeError>"

    def test_lazy_texts_are_a_message(self) -> None:
        for front in ("formatter", "chain", "fast logger"):
            assert FRONTS[front](gettext_lazy("Hello"))["Fields"]["msg"] == "Hello"


class TestLazyObjectsOfDjango:
    @pytest.mark.parametrize("front", FRONTS)
    def test_lazy_objects_of_django_are_named_and_make_no_query_in_every_front(
        self, front: str, queries: Any, author: Any
    ) -> None:
        fields = FRONTS[front](
            "x",
            users=author.objects.all(),
            deep=[{"users": author.objects.filter(id=1).values("name")}],
            some={author.objects.none()},
            manager=author.objects,
            user=SimpleLazyObject(lambda: next(iter(author.objects.all()))),
        )["Fields"]
        assert queries == []
        assert fields["users"] == "<QuerySet of shop.Author>"
        assert fields["manager"] == "<Manager of shop.Author>"
        assert fields["user"] == "<SimpleLazyObject, not loaded>"
        assert "<QuerySet of shop.Author>" in str(fields)
        assert "mozlog.degraded" not in fields

    @pytest.mark.parametrize("processor", [Redact(), drop_none, flatten, CapLengths()])
    def test_lazy_objects_of_django_are_not_loaded_by_processors(
        self, processor: Any, queries: Any, author: Any
    ) -> None:
        user = SimpleLazyObject(lambda: next(iter(author.objects.all())))
        extra = {"user": user, "pair": ("token", user), "deep": [{"users": author.objects.all()}]}
        fields = by_handler(MozlogFormatter(processors=[processor]), "x", **extra)["Fields"]
        assert queries == []
        assert fields["user"] == "<SimpleLazyObject, not loaded>"
        assert "<QuerySet of shop.Author>" in str(fields)

    def test_lazy_objects_of_django_that_were_evaluated_show_what_they_hold(
        self, queries: Any, author: Any
    ) -> None:
        rows = author.objects.all()
        rows._result_cache = [author(id=n, name=f"ann{n}") for n in range(30)]
        assert plain(rows).startswith("<QuerySet [<Author: ann0>, <Author: ann1>, ")
        assert plain(rows).endswith("<10 more items>]>")
        values = author.objects.values()
        values._result_cache = [{"name": gettext_lazy("ann")}]
        assert plain(values) == "<QuerySet [{'name': 'ann'}]>"
        loaded = SimpleLazyObject(lambda: author(id=1, name="ann"))
        assert loaded.name == "ann"
        assert plain(loaded) == "<Author: ann>"
        assert queries == []

    def test_lazy_objects_of_django_with_fields_that_were_left_out_are_named(
        self, queries: Any, author: Any
    ) -> None:
        row = author.from_db("default", ["id"], [7])
        rows = author.objects.all()
        rows._result_cache = [row]
        assert plain(row) == "<shop.Author 7, not all loaded>"
        assert plain(rows) == "<QuerySet [<shop.Author 7, not all loaded>]>"
        assert queries == []

    def test_lazy_objects_of_django_are_not_asked_what_they_are_by_flatten(
        self, queries: Any, author: Any
    ) -> None:
        user = SimpleLazyObject(lambda: next(iter(author.objects.all())))
        assert flatten(None, "info", {"user": user, "a": {"user": user}}).keys() == {
            "user",
            "a.user",
        }
        assert queries == []

    def test_lazy_objects_of_django_whose_own_class_is_broken_become_a_marker(self) -> None:
        class Slotted(models.QuerySet):  # type: ignore[type-arg]
            @property
            def __dict__(self) -> Any:
                raise RuntimeError

        fields = FRONTS["chain"]("x", rows=models.QuerySet.__new__(Slotted))["Fields"]
        assert fields["rows"] == "<unprintable Slotted: RuntimeError>"


class Base(orm.DeclarativeBase):
    pass


class Book(Base):
    __tablename__ = "book"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    title: orm.Mapped[str]

    def __repr__(self) -> str:
        return f"<Book {self.title}>"


class Shelf(orm.MappedAsDataclass, Base):
    __tablename__ = "shelf"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    place: orm.Mapped[str] = orm.mapped_column(deferred=True)


@pytest.fixture
def session() -> Any:
    engine = sqlalchemy.create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        yield session
    engine.dispose()


@pytest.fixture
def statements(session: Any) -> list[str]:
    made: list[str] = []
    sqlalchemy.event.listen(
        session.bind, "before_cursor_execute", lambda *args: made.append(args[2])
    )
    return made


class TestRowsOfSqlalchemy:
    @pytest.mark.parametrize("front", FRONTS)
    def test_rows_of_sqlalchemy_that_a_commit_has_expired_are_named_in_every_front(
        self, front: str, session: Any, statements: list[str]
    ) -> None:
        book = Book(id=7, title="Emma")
        session.add(book)
        session.commit()
        statements.clear()
        fields = FRONTS[front]("x", book=book, books={book})["Fields"]
        assert statements == []
        assert fields["book"] == "<Book 7, expired>"
        assert fields["books"] == "{<Book 7, expired>}"
        assert "mozlog.degraded" not in fields

    def test_rows_of_sqlalchemy_that_are_loaded_have_their_repr(
        self, session: Any, statements: list[str]
    ) -> None:
        assert plain(Book(title="new")) == "<Book new>"
        session.add(Book(id=7, title="Emma"))
        session.commit()
        book = session.get(Book, 7)
        assert book.title == "Emma"
        statements.clear()
        assert plain(book) == "<Book Emma>"
        assert statements == []

    def test_rows_of_sqlalchemy_that_are_dataclasses_load_no_attribute(
        self, session: Any, statements: list[str]
    ) -> None:
        session.add(Shelf(id=1, place="left"))
        session.commit()
        session.expunge_all()
        shelf = session.get(Shelf, 1)
        statements.clear()
        assert plain(shelf) == {"id": 1, "place": "<not loaded>"}
        session.expire(shelf)
        assert plain(shelf) == "<Shelf 1, expired>"
        assert statements == []

    def test_and_queries_and_statements_ask_nothing(
        self, session: Any, statements: list[str]
    ) -> None:
        query = session.query(Book)
        assert type(plain(query)) is str
        assert type(plain(sqlalchemy.select(Book))) is str
        assert statements == []


def test_values_of_libraries_leave_a_valid_line_in_the_pretty_format(author: Any) -> None:
    from mozlog_py.pretty import PrettyFormatter

    made = logging.makeLogRecord({"msg": "x", "n": np.int64(5), "users": author.objects.all()})
    text = PrettyFormatter().format(made)
    assert "n=5" in text
    assert "<QuerySet of shop.Author>" in text


@pytest.mark.usefixtures("author")
def test_one_line_may_hold_them_all() -> None:
    capture = Capture()
    values = {f"v{number}": value for number, (value, _) in enumerate(SCALARS.values())}
    capture.logger.info("x", extra={**values, "d": REQUEST, "t": gettext_lazy("Hello")})
    (line,) = checked_lines(capture.stream.getvalue())
    expected = {f"v{number}": of for number, (_, of) in enumerate(SCALARS.values())}
    # A field without a value is left out.
    assert "v25" not in line["Fields"]
    assert {name: line["Fields"].get(name) for name in values} == expected


def test_no_library_is_imported_for_their_sake() -> None:
    import subprocess

    code = (
        "import io, sys, mozlog_py, logging\n"
        "mozlog_py.configure('shop', stream=io.StringIO())\n"
        "logging.getLogger('a').info('x', extra={'o': object(), 'd': type('D', (dict,), {})()})\n"
        "loaded = {'numpy', 'pandas', 'pyarrow', 'django', 'sqlalchemy', 'babel'}\n"
        "print(sorted(loaded & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"
