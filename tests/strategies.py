"""Strategies of Hypothesis: hostile values, fields, records and formatters."""

from __future__ import annotations

import collections
import datetime
import enum
import json
import logging
import pathlib
from typing import Any

import hostile
from conformance import record
from hypothesis import strategies as st

from mozlog_py import MozlogFormatter
from mozlog_py.gcp import CloudFormatter


class Colour(enum.Enum):
    RED = "red"
    NESTED = (1, float("nan"))


class Broken(enum.Enum):
    VALUE = 1

    @property
    def value(self) -> Any:
        raise LookupError


Pair = collections.namedtuple("Pair", "left right")

PLAIN_SCALARS = (
    st.text()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)

#: Text with all that JSON, terminals and UTF-8 stumble over.
TEXTS = st.text(st.characters(), max_size=20) | st.sampled_from(
    ["\ud800", "\udfff\ud800", "\x7f", "\x85\x9b", "\u2028\u2029", "\x00\x1b[0m", '"\\', "%s%d{}"]
)

HOSTILE = st.sampled_from(
    [
        hostile.RaisingRepr,
        hostile.RecursiveRepr,
        hostile.NonStringRepr,
        hostile.RaisingProperty,
        hostile.slotted_with_a_hole,
        hostile.broken_uuid,
        lambda: hostile.LyingStr("text"),
        lambda: hostile.LyingInt(7),
        lambda: hostile.LyingFloat(7.5),
        lambda: hostile.LyingList([1, 2]),
        lambda: hostile.LyingDict({"a": 1}),
        lambda: datetime.datetime(1, 1, 1, tzinfo=hostile.Zone(LookupError())),
        lambda: datetime.datetime(1, 1, 1, tzinfo=hostile.Zone("nonsense")),
        lambda: Broken.VALUE,
        lambda: Colour.NESTED,
        lambda: Colour,
        lambda: LookupError("x"),
        lambda: (generated for generated in ()),
        lambda: memoryview(b"abc"),
        object,
    ]
).map(lambda make: make())

VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | TEXTS
    | st.binary(max_size=20)
    | st.datetimes(timezones=st.none() | st.just(datetime.timezone.utc))
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.decimals()
    | st.complex_numbers()
    | st.sampled_from(Colour)
    | st.builds(pathlib.PurePosixPath, st.sampled_from(["/a", "b/ž"]))
    | HOSTILE
)

KEYS = TEXTS | st.integers() | st.booleans() | st.none() | st.floats() | st.tuples(st.integers())

NESTED = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.builds(Pair, inner, inner)
        | st.builds(collections.deque, st.lists(inner, max_size=2))
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.dictionaries(TEXTS, inner, max_size=3).map(collections.OrderedDict)
        | st.frozensets(st.integers(), max_size=3)
    ),
    max_leaves=12,
)

#: What a logger lets through as the name of an extra field.
NAMES = TEXTS.filter(lambda key: key not in MozlogFormatter.EXCLUDED_LOGRECORD_ATTRS)

#: Messages that are JSON objects, or nearly.
JSON_MESSAGES = st.builds(
    lambda members, end: json.dumps(members) + end,
    st.dictionaries(
        st.sampled_from(["msg", "error", "a", "b", "Time"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3),
        ),
        max_size=4,
    ),
    st.sampled_from(["", " ", "}"]),
)

EXTRA = st.dictionaries(NAMES, NESTED, max_size=6)

FORMATTERS = st.sampled_from(
    [
        MozlogFormatter(),
        MozlogFormatter(strict=True),
        MozlogFormatter(static_fields={"env": "prod", "msg": 1}, timestamp=True),
        MozlogFormatter(rename_fields={"msg": "message"}, json_default=repr),
        MozlogFormatter("%(levelname)s %(asctime)s", exc_info_as_array=True),
        CloudFormatter(project="p"),
    ]
)

LEVELS = st.integers() | st.floats() | st.none() | st.sampled_from(["INFO", 10, 20, 30, 40, 50])

RECORDS = st.builds(
    lambda message, args, extra, level, created, name, process: changed(
        record(message, *args, name=name), extra, levelno=level, created=created, process=process
    ),
    TEXTS | NESTED,
    st.lists(NESTED, max_size=2),
    EXTRA,
    LEVELS,
    st.floats() | st.none() | st.integers(),
    TEXTS | st.none() | st.integers(),
    st.integers() | st.none() | TEXTS,
)


def changed(made: logging.LogRecord, *changes: dict[str, Any], **more: Any) -> logging.LogRecord:
    for change in (*changes, more):
        vars(made).update(change)
    return made
