"""Records of plain values that encoders of JSON write differently, and a program that compares.

``python tests/encoder_records.py 1000000`` compares the encoders on a million of them.
"""

from __future__ import annotations

import json
import random
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

from mozlog_py._line import json_stand_ins

Dumps = Callable[[Any], bytes]

#: Characters that encoders escape, nearly escape, or write in more than one byte.
CHARACTERS = [
    *map(chr, range(0x21)),
    *"\"\\/<>&'aZ09:,{}[]-e.+",
    *"\x7f\x80\x85\x9f\xad\xe9\u200b\u2028\u2029\u20ac\ud7ff\ue000\ufeff\uffff\U0001f600\U0010ffff",
]
#: Texts that look like numbers, beside the ends of values.
TEXTS = ["1e-05", ",1e-07,", ":1e16", "4e-0", "re-0pen", '":18446744073709551616', "null", ""]
INTEGERS = [0, 1, -1, 2**31, 2**53, 2**63 - 1, -(2**63), 2**64 - 1]
#: What orjson refuses.
REFUSED = [2**64, -(2**63) - 1, 10**30, "\ud800", "a\udfff", {1: 2}, {None: 1}, {"\udc80": 1}, b"x"]
FLOATS = [
    *(0.0, -0.0, 1e15, 9999999999999998.0, 1e16, 12345678901234567.0, 0.0001, 0.00001, 5e-324),
    *(0.000015, 1e-6, 9.999e-10, 1e-10, 1.7976931348623157e308, 1e22, 1e23, 0.1, 1 / 3),
    *(float("nan"), float("inf"), float("-inf")),
]


def a_float(source: random.Random) -> float:
    """Return a float: a known one, any pattern of bits, or a short one of any magnitude."""
    kind = source.randrange(4)
    if kind == 0:
        return source.choice(FLOATS)
    if kind == 1:
        (value,) = struct.unpack("<d", source.randbytes(8))
        return float(value)
    digits = source.randrange(1, 10 ** source.randrange(1, 18))
    sign = source.choice("+-")
    return float(f"{sign}{digits}e{source.randrange(-40, 40 if kind == 2 else 1)}")


def a_text(source: random.Random) -> str:
    """Return a text: mostly of characters that encoders treat apart."""
    if source.random() < 0.1:
        return source.choice(TEXTS)
    return "".join(source.choices(CHARACTERS, k=source.randrange(12)))


def a_value(source: random.Random, depth: int = 0) -> Any:
    """Return a plain value, in containers of at most three levels."""
    kind = source.randrange(7 if depth > 2 else 10)
    if kind < 2:
        return a_text(source)
    if kind == 2:
        return source.choice(INTEGERS) if source.random() < 0.5 else source.randrange(-1000, 1000)
    if kind < 5:
        return a_float(source)
    if kind == 5:
        return source.choice([None, True, False])
    if kind == 6:
        return source.getrandbits(63) - source.getrandbits(62)
    if kind == 7:
        return {a_text(source): a_value(source, depth + 1) for _ in range(source.randrange(4))}
    items = [a_value(source, depth + 1) for _ in range(source.randrange(4))]
    return items if kind == 8 else tuple(items)


def records(count: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield records, one in twenty of which holds a value that orjson refuses.

    Args:
        count: How many.
        seed: The same seed gives the same records.
    """
    source = random.Random(seed)
    for _ in range(count):
        record = {a_text(source): a_value(source) for _ in range(source.randrange(9))}
        if source.random() < 0.05:
            refused = source.choice(REFUSED)
            record["refused"] = source.choice([refused, [refused], {"a": refused}])
        yield record


#: Parts of documents that parsers treat apart.
TOKENS = [
    *'{}[]:,"\\ \t\n\x0b\x00\xa0\ufeff-+.eE0',
    *("01", "-0", "-0.0", "1.", ".5", "1e400", "-1E+308", "1e0400", "1e-400", "NaN", "-Infinity"),
    *("9" * 400, "0." + "1" * 30, "18446744073709551615", "18446744073709551616"),
    *("-9223372036854775808", "-9223372036854775809", "true", "nul", '"a":', '"a":1,"b":2,"a":3'),
    *(r'"\ud83d\ude00"', r'"\ud83d"', r'"\uDE00"', r'"\ud800\u0041"', r'"\u12g4"', r'"\x"'),
    *('"\ud800"', '"\u2028\x7f"', '"\x1f"', r'"\\ud800"', "/* */"),
]


def documents(count: int, seed: int = 0) -> Iterator[str | bytes]:
    """Yield texts and bytes that are JSON, or nearly.

    Args:
        count: How many.
        seed: As for ``records``.
    """
    source = random.Random(seed)
    for _ in range(count):
        text = source.choice(TOKENS)
        if source.random() < 0.9:
            text = json.dumps(a_value(source), ensure_ascii=source.random() < 0.5)
            for _ in range(source.randrange(3)):
                at = source.randrange(len(text) + 1)
                text = text[:at] + source.choice(TOKENS) + text[at + source.randrange(3) :]
        yield text.encode("utf-8", "surrogatepass") if source.random() < 0.2 else text


def outcome(function: Callable[[Any], Any], value: Any) -> Any:
    """Return what a function returns, or the type of its exception; any ValueError is one."""
    try:
        return function(value)
    except Exception as error:
        return ValueError if isinstance(error, ValueError) else type(error)


def stand_ins() -> dict[str, Dumps]:
    """Return the stand-ins by name; msgspec only where it is installed."""
    found = {"json": json_stand_ins.json_dumps}
    by_msgspec = json_stand_ins.msgspec_dumps()
    if by_msgspec is not None:
        found["msgspec"] = by_msgspec
    return found


def compare(count: int, seed: int = 0) -> dict[str, int]:
    """Compare the stand-ins with orjson.

    Args:
        count: How many records are made.
        seed: As for ``records``.

    Returns:
        How many records were written, refused, and written in a form that msgspec does not have.
    """
    # Imported here: the programs of tests without orjson take the records alone.
    import orjson

    others = stand_ins()
    counts = {"written": 0, "refused": 0, "other": 0}
    for record in records(count, seed):
        expected = outcome(orjson.dumps, record)
        for name, dumps in others.items():
            found = outcome(dumps, record)
            assert found == expected, f"{name}: {record!a}: {found!r}, {expected!r}"
        counts["written" if isinstance(expected, bytes) else "refused"] += 1
        if isinstance(expected, bytes) and not json_stand_ins.has_common_form(record):
            counts["other"] += 1
    return counts


def compare_parsers(count: int, seed: int = 0) -> dict[str, int]:
    """Compare the parser that stands in with orjson's.

    Args:
        count: How many documents are made.
        seed: As for ``documents``.

    Returns:
        How many documents were parsed, and how many refused.
    """
    import orjson

    counts = {"parsed": 0, "refused": 0}
    for text in documents(count, seed):
        # As text: 1 equals 1.0 and True, and -0.0 equals 0.0.
        expected = repr(outcome(orjson.loads, text))
        found = repr(outcome(json_stand_ins.loads, text))
        assert found == expected, f"{text!a}: {found!a}, {expected!a}"
        counts["refused" if expected == repr(ValueError) else "parsed"] += 1
    return counts


if __name__ == "__main__":
    print(sorted(stand_ins()), compare(int(sys.argv[1])), compare_parsers(int(sys.argv[1])))
