"""What is read as a mapping or a view, and what is not."""

from __future__ import annotations

import collections
import email.message
import types
import wsgiref.headers
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest import mock

import httpx
import multidict
import pytest
import requests.structures
import starlette.datastructures
import starlette.requests
import urllib3
import werkzeug.datastructures

from mozlog_py._values.name_value_pairs import members_of, view_items
from mozlog_py._values.sanitiser import MAX_ITEMS, Sanitiser

PAIRS = [("A", "1"), ("B", "2"), ("A", "3")]
MANY = {"A": ["1", "3"], "B": "2"}
LOWER = {"a": ["1", "3"], "b": "2"}


def message() -> email.message.Message:
    made = email.message.Message()
    for name, value in PAIRS:
        made[name] = value
    return made


class Methods:
    """A class without a base that has what a mapping has."""

    def __init__(self, items: Any = ()) -> None:
        self.given = items

    def items(self) -> Any:
        if isinstance(self.given, Exception):
            raise self.given
        return self.given

    keys = values = items

    def __getitem__(self, name: str) -> Any:
        return name

    def __len__(self) -> int:
        return len(self.given)

    def __repr__(self) -> str:
        return "Methods"


class TestMappings:
    @pytest.mark.parametrize(
        ("value", "members"),
        [
            (werkzeug.datastructures.Headers(PAIRS), MANY),
            (werkzeug.datastructures.EnvironHeaders({"HTTP_A": "1", "HTTP_B": "2"}),
             {"A": "1", "B": "2"}),
            (werkzeug.datastructures.MultiDict(PAIRS), MANY),
            (werkzeug.datastructures.ImmutableMultiDict(PAIRS), MANY),
            (werkzeug.datastructures.CombinedMultiDict(
                [werkzeug.datastructures.MultiDict(PAIRS)]), MANY),
            (wsgiref.headers.Headers([*PAIRS]), MANY),
            (message(), MANY),
            (starlette.datastructures.Headers(
                raw=[(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]), LOWER),
            (starlette.datastructures.MutableHeaders({"a": "1"}), {"a": "1"}),
            (starlette.datastructures.QueryParams("a=1&b=2&a=3"), LOWER),
            (starlette.datastructures.FormData([*PAIRS]), MANY),
            (httpx.Headers(PAIRS), LOWER),
            (httpx.QueryParams("a=1&b=2&a=3"), LOWER),
            (requests.structures.CaseInsensitiveDict(PAIRS[:2]), {"A": "1", "B": "2"}),
            (urllib3.HTTPHeaderDict(PAIRS), MANY),
            (multidict.CIMultiDict(PAIRS), MANY),
            (multidict.CIMultiDictProxy(multidict.CIMultiDict(PAIRS)), MANY),
            (multidict.MultiDictProxy(multidict.MultiDict(PAIRS)), MANY),
            (collections.UserDict(a=1), {"a": 1}),
            (collections.ChainMap({"a": 1}, {"b": 2}), {"a": 1, "b": 2}),
            (types.MappingProxyType({"a": 1}), {"a": 1}),
            (Methods([("a", [1]), ("a", [2]), ("a", 3)]), {"a": [[1], [2], 3]}),
            (Methods(), {}),
            (werkzeug.datastructures.Headers(), {}),
        ],
    )  # fmt: skip
    def test_mappings_are_read_with_all_values_of_a_name(self, value: Any, members: Any) -> None:
        read = members_of(value, type(value), MAX_ITEMS)
        assert read is not None
        assert {**read.held} == members
        assert sorted(map(str, read.held)) == sorted(map(str, members))
        assert read.left_out == 0
        # As they stand in a line, nested or not.
        assert Sanitiser().value(value) == members
        assert Sanitiser().value([{"x": value}]) == [{"x": members}]

    @pytest.mark.parametrize(
        "value",
        [
            {"a": 1},
            collections.OrderedDict(a=1),
            [("a", 1)],
            "text",
            mock.MagicMock(),
            Methods([1, 2]),
            Methods(types.SimpleNamespace()),
            Methods([("a", "b", "c")]),
            starlette.requests.Request({"type": "http", "headers": [(b"cookie", b"a")]}),
            object(),
        ],
    )
    def test_mappings_are_not_what_has_no_pairs_or_does_not_show_them(self, value: Any) -> None:
        assert members_of(value, type(value), MAX_ITEMS) is None

    @pytest.mark.slow
    def test_mappings_of_pandas_stay_the_text_that_pandas_makes(self) -> None:
        pandas = pytest.importorskip("pandas", reason="an optional library of users")
        for value in (pandas.Series({"a": 1}), pandas.DataFrame({"a": [1]})):
            assert Sanitiser().value(value) == repr(value)

    def test_mappings_of_a_session_of_django_are_not_loaded(self) -> None:
        class Session:
            """As ``SessionBase`` is: no length, and no ``repr`` of its own."""

            def items(self) -> Any:
                raise AssertionError("a query")

            keys = values = items
            __getitem__ = __contains__ = items

        assert members_of(Session(), Session, MAX_ITEMS) is None

    @pytest.mark.parametrize("base", [Methods, dict])
    def test_mappings_that_raise_are_shown_as_before(self, base: Any) -> None:
        class Broken(base):  # type: ignore[misc]
            def items(self) -> Any:
                raise LookupError

            lists = getlist = items

        value = Broken() if base is Methods else Broken(a=1)
        with pytest.raises(LookupError):
            members_of(value, Broken, MAX_ITEMS)
        assert Sanitiser().value(value) == ("Methods" if base is Methods else {"a": 1})

    def test_mappings_without_end_are_cut_and_counted(self) -> None:
        def endless() -> Iterator[tuple[int, int]]:
            number = 0
            while True:
                yield number, number
                number += 1

        class Endless(Methods):
            def items(self) -> Any:
                return endless()

            def __len__(self) -> int:
                return MAX_ITEMS + 5

        sanitiser = Sanitiser()
        shown = sanitiser.value(Endless())
        assert len(shown) == MAX_ITEMS + 1
        assert shown["<more>"] == "<5 more items>"
        assert [*sanitiser.reasons] == ["items dropped"]

    def test_mappings_that_hold_themselves_are_circular(self) -> None:
        loop = collections.UserDict(a=1)
        loop["self"] = loop
        assert Sanitiser().value(loop) == {"a": 1, "self": "<circular>"}

    def test_mappings_are_what_json_default_makes_of_them_where_there_is_one(self) -> None:
        assert Sanitiser(lambda _: "mine").value(collections.UserDict(a=1)) == "mine"

    def test_mappings_of_aiohttp_that_are_requests_stay_text(self) -> None:
        base = type("BaseRequest", (Methods,), {"__module__": "aiohttp.web_request"})
        assert Sanitiser().value(type("Request", (base,), {})([("a", 1)])) == "Methods"


class TestViews:
    @pytest.mark.parametrize(
        ("value", "items"),
        [
            ({"a": 1}.items(), [["a", 1]]),
            ({"a": 1}.values(), [1]),
            ({"a": 1}.keys(), ["a"]),
            (collections.OrderedDict(a=1).items(), [["a", 1]]),
            (collections.UserDict(a=1).items(), [["a", 1]]),
            (multidict.MultiDict(PAIRS).items(), [[*pair] for pair in PAIRS]),
            (types.MappingProxyType({"a": 1}).items(), [["a", 1]]),
        ],
    )
    def test_views_are_arrays(self, value: Any, items: Any) -> None:
        assert Sanitiser().value(value) == items

    @pytest.mark.parametrize("make", [iter, lambda of: (each for each in of), lambda of: {*of}])
    def test_views_are_not_what_would_be_used_up(self, make: Callable[[Any], Any]) -> None:
        value = make([1])
        assert view_items(value, type(value), MAX_ITEMS) is None

    def test_views_of_many_items_are_cut_and_counted(self) -> None:
        shown = Sanitiser().value(dict.fromkeys(range(MAX_ITEMS + 3)).keys())
        assert shown[-1] == "<3 more items>"
        assert len(shown) == MAX_ITEMS + 1


class Whole(Mapping[str, Any]):
    """A mapping of one's own, whose ``repr`` shows what it has."""

    def __init__(self, **held: Any) -> None:
        self.held = held

    def __getitem__(self, name: str) -> Any:
        return self.held[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.held)

    def __len__(self) -> int:
        return len(self.held)


def test_a_mapping_without_a_repr_of_its_own_stays_the_text_that_it_is() -> None:
    class Shown(Whole):
        def __repr__(self) -> str:
            return f"Shown({self.held})"

    assert Sanitiser().value(Shown(a=1)) == {"a": 1}
    assert Sanitiser().value(Whole(a=1)).startswith("<test_name_value_pairs.Whole object at")
