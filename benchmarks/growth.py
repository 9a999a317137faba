"""How the price of a line grows with what is in it: every processor, every format.

Hostile and plain input of 1 KB to 10 MB, and of 10^3 to 10^5 names, goes through each of them.
The program prints the milliseconds and ends with 1 where growth is not linear, or where a line
takes more than 50 ms for each megabyte that it began::

    python benchmarks/growth.py [--only WORD ...] [--largest BYTES] [--operations]

``--operations`` counts what the interpreter does, with small input, instead of the time: that is
the same on every machine, and sees whatever is quadratic in Python code. The time sees the rest:
expressions and the encoder.
"""

from __future__ import annotations

import argparse
import builtins
import gc
import itertools
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final, NamedTuple

from mozlog_py import MozlogFormatter, processors
from mozlog_py.gcp import CloudFormatter
from mozlog_py.pretty import PrettyFormatter
from mozlog_py.structlog import MozlogRenderer

__all__ = ["INPUTS", "TRANSFORMS", "Input", "Measured", "Transform", "main", "measured"]

#: Milliseconds for each megabyte that the input began.
MOST_MS: Final = 50.0
#: How many times as much ten times the input may take, beyond noise.
MOST_GROWTH: Final = 16.0
#: Milliseconds below which growth is noise.
LEAST_MS: Final = 8.0

SIZES: Final = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
COUNTS: Final = (1_000, 10_000, 100_000)
# For operations: large enough for what is quadratic to outgrow the rest.
SMALL_SIZES: Final = (1_000, 8_000)
SMALL_COUNTS: Final = (100, 800)
#: How many times as many operations eight times the input may take, where there are more than
#: so many for each byte: a bound that is reached is a step, and no growth.
MOST_OPERATIONS: Final = 12.0
LEAST_OPERATIONS: Final = 20.0

# What a fault says where the time grows faster than the input.
_GROWN: Final = "times as long for"
_KEEPS_MEMORY: Final = "MALLOC_MMAP_MAX_"
# mallopt(3): no block of its own for each large object, and nothing given back.
_KEPT_MEMORY: Final = {
    _KEEPS_MEMORY: "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**27),
}

Fields = dict[str, Any]
Prepare = Callable[[Fields], Callable[[], object]]


# -- what is logged -----------------------------------------------------------


class Input(NamedTuple):
    """One kind of input.

    Attributes:
        name: What it is.
        make: Returns the fields of a call, with the message as ``event``.
        is_text: Whether it is made by its size in bytes, else by a number of names.

    """

    name: str
    make: Callable[[int], Fields]
    is_text: bool


class Shown:
    """An object that is shown by a text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def repeated(part: str) -> Callable[[int], Fields]:
    """Return what makes a message of a part that is repeated."""

    def make(size: int) -> Fields:
        return {"event": part * (size // len(part.encode()) + 1)}

    return make


def numbered(begin: str, part: str) -> Callable[[int], Fields]:
    """Return what makes a message of parts with a number in each."""

    def make(size: int) -> Fields:
        return {"event": begin + "".join(part % n for n in range(size // (len(part) + 3)))}

    return make


def json_message(size: int) -> Fields:
    """Return a message that is JSON, as an application would log it."""
    members = {f"name{n}": {"id": n, "text": "some text"} for n in range(size // 40)}
    return {"event": json.dumps(members or {"a": 1}, separators=(",", ":"))}


def json_secrets(size: int) -> Fields:
    """Return a message that is JSON and has the password of each of its members."""
    rows = [{"password": "hunter2hunter2", "n": n} for n in range(size // 40 + 1)]
    return {"event": json.dumps({"rows": rows})}


def json_deep(size: int) -> Fields:
    """Return a message that is JSON and nested as deep as it is long."""
    count = size // 6 + 1
    return {"event": '{"a":' * count + "1" + "}" * count}


def composed(parts: int) -> Any:
    """Return objects whose dotted keys are all the same one: ``a.a.a`` in all its parts."""
    if not parts:
        return 1
    return {".".join(["a"] * n): composed(parts - n) for n in range(1, parts + 1)}


def colliding(count: int) -> Fields:
    """Return nested fields whose dotted keys collide, about half as many as asked for."""
    return {"event": "m", "nested": composed(max(1, count.bit_length() - 1))}


def json_colliding(size: int) -> Fields:
    """Return the same as a message that is JSON."""
    parts = max(1, (size // 8).bit_length() - 1)
    return {"event": json.dumps(composed(parts), separators=(",", ":"))}


def same_text(count: int) -> Fields:
    """Return names that are different, and one text in a line."""
    return {"event": "m", "nested": {float("nan"): n for n in range(count)}}


def deep(count: int) -> Fields:
    """Return containers in each other, as many as asked for."""
    inner: Any = 1
    for n in range(count):
        inner = [inner] if n % 2 else {"a": inner}
    return {"event": "m", "nested": inner}


def shared(count: int) -> Fields:
    """Return few dicts that hold each other so often that there is no end of their members."""
    inner: Any = {f"key{n}": n for n in range(max(1, count // 16))}
    for _ in range(15):
        inner = {f"key{n}": inner for n in range(10)}
    return {"event": "m", "nested": inner}


def prefixes(count: int) -> Fields:
    """Return members below one long name, which dotted keys repeat for each."""
    return {"event": "m", "n" * count * 10: {f"key{n}": n for n in range(count)}}


def masked_names(count: int) -> Fields:
    """Return names that a mask makes the same."""
    return {"event": "m", "nested": {f"ghp_{n:040d}": n for n in range(count)}}


def of_names(make: Callable[[int], Any]) -> Callable[[int], Fields]:
    """Return what makes one field of as many parts as asked for."""
    return lambda count: {"event": "m", "nested": make(count)}


INPUTS: Final = (
    Input("ASCII", repeated("some text "), is_text=True),
    Input("U+2028", repeated("\u2028"), is_text=True),
    Input("ESC", repeated("\x1b[31m"), is_text=True),
    Input("controls of C1", repeated("\x85\x9b"), is_text=True),
    Input("quotes, backslashes", repeated('"\\'), is_text=True),
    Input("emoji", repeated("\U0001f600"), is_text=True),
    Input("lone surrogates", repeated("a") if os.name == "nt" else lambda size: {
        "event": (b"\xff\xfe" * (size // 2)).decode("utf-8", "surrogateescape")
    }, is_text=True),
    Input("bytes", lambda size: {"event": "m", "body": b"\xff" * size}, is_text=True),
    Input("a field", lambda size: {"event": "m", "body": "\u2028a" * (size // 4)}, is_text=True),
    Input("a name", lambda size: {"event": "m", "a-" * (size // 2): 1}, is_text=True),
    Input("JSON", json_message, is_text=True),
    Input("JSON, secrets", json_secrets, is_text=True),
    Input("JSON, deep", json_deep, is_text=True),
    Input("JSON, colliding", json_colliding, is_text=True),
    Input("JSON, open", repeated("{"), is_text=True),
    Input("parameters", numbered("?", "a%d=b&"), is_text=True),
    Input("URLs", repeated("://a:b"), is_text=True),
    Input("URLs with @", lambda size: {"event": "@" * 20 + "://a:b" * (size // 6)}, is_text=True),
    Input("tokens", repeated("ghp_"), is_text=True),
    Input("JWTs", repeated("eyJaaaaaa."), is_text=True),
    Input("keys", repeated("-----BEGIN PRIVATE KEY-----"), is_text=True),
    Input("percent", repeated("%25"), is_text=True),
    Input("fields", lambda n: {"event": "m", **{f"key{i}": "text" for i in range(n)}}, False),
    Input("names", of_names(lambda n: {f"key{i}": i for i in range(n)}), is_text=False),
    Input("names, colliding", colliding, is_text=False),
    Input("names, same text", same_text, is_text=False),
    Input("names, masked", masked_names, is_text=False),
    Input("names, secret", of_names(lambda n: {f"password{i}": i for i in range(n)}), False),
    Input("names, None", of_names(lambda n: dict.fromkeys(map(str, range(n)))), is_text=False),
    Input("a long prefix", prefixes, is_text=False),
    Input("pairs", of_names(lambda n: [(f"name{i}", "value") for i in range(n)]), is_text=False),
    Input("numbers", of_names(lambda n: [*range(n)]), is_text=False),
    Input("a set", of_names(lambda n: {*map(str, range(n))}), is_text=False),
    Input("long texts", of_names(lambda n: ["x" * 20_000] * n), is_text=False),
    Input("objects", of_names(lambda n: [Shown("'\\'" * 100)] * n), is_text=False),
    Input("nested", deep, is_text=False),
    Input("shared", shared, is_text=False),
)  # fmt: skip


# -- what is measured ---------------------------------------------------------


class Transform(NamedTuple):
    """A processor or a format.

    Attributes:
        name: What it is.
        make: Returns what takes the fields of a call, with the message as ``event``, and returns
            what is timed. Masks are registered as long as their ``Redact`` lives, so each is made
            for its own rows.

    """

    name: str
    make: Callable[[], Prepare]


def _format(formatter: logging.Formatter) -> Prepare:
    def prepare(fields: Fields) -> Callable[[], object]:
        record = logging.LogRecord("app", 20, "", 1, fields["event"], None, None)
        others = {name: value for name, value in fields.items() if name != "event"}
        vars(record).update(others)
        return lambda: formatter.format(record)

    return prepare


def _exception(formatter: logging.Formatter) -> Prepare:
    """Return what formats the same as what an exception and its notes say, in a group."""
    group: Any = getattr(builtins, "ExceptionGroup", None)

    def prepare(fields: Fields) -> Callable[[], object]:
        # The repr of other values is their own code.
        values = [value for value in fields.values() if isinstance(value, (str, bytes))]
        errors = [ValueError(value) for value in values]
        for earlier, error in itertools.pairwise(errors):
            error.__cause__ = earlier
        for error, name in zip(errors, fields, strict=False):
            error.__dict__["__notes__"] = [name]
        error = errors[-1] if group is None else group("g", [errors[-1]])
        record = logging.LogRecord("app", 40, "", 1, "m", None, (type(error), error, None))
        return lambda: formatter.format(record)

    return prepare


def _process(processor: Any) -> Prepare:
    # A processor may change what it is given.
    return lambda fields: lambda: processor(None, "info", dict(fields))


def _sample(fields: Fields) -> Callable[[], object]:
    sample = processors.Sample(2)
    return lambda: sample._keeps(fields.get("nested") or fields.get("event"))  # noqa: SLF001


def _default(value: Any) -> Any:
    """Return what an application would have in a line; Python's repr of a set is not ours."""
    return [*value] if isinstance(value, set) else repr(value)


def _with(*chain: Any) -> Prepare:
    return _format(MozlogFormatter(processors=chain))


_VALUES: Final = ("hunter2hunter2", "correct horse battery")
_RENAMES: Final = {f"key{n}": f"key{n + 1}" for n in range(50)}
Redact: Final = processors.Redact

#: Each processor, each format, and the options of formats that look at all Fields.
TRANSFORMS: Final = (
    Transform("mozlog", lambda: _format(MozlogFormatter())),
    Transform("gcp", lambda: _format(CloudFormatter())),
    Transform("pretty", lambda: _format(PrettyFormatter())),
    Transform("MozlogRenderer", lambda: _process(MozlogRenderer("shop", output="bytes"))),
    Transform("exception, mozlog", lambda: _exception(MozlogFormatter())),
    Transform("exception, gcp", lambda: _exception(CloudFormatter())),
    Transform("exception, Redact", lambda: _exception(
        MozlogFormatter(processors=[Redact(shapes=True, values=_VALUES)])
    )),
    Transform("strict", lambda: _format(MozlogFormatter(strict=True))),
    Transform("rename_fields", lambda: _format(MozlogFormatter(rename_fields=_RENAMES))),
    Transform("json_default", lambda: _format(MozlogFormatter(json_default=_default))),
    Transform("flatten, mozlog", lambda: _with(processors.flatten)),
    Transform("Redact, mozlog", lambda: _with(Redact())),
    Transform("Redact(values), mozlog", lambda: _with(Redact(values=_VALUES))),
    Transform("Redact(shapes), mozlog", lambda: _with(Redact(shapes=True))),
    Transform("CapLengths, shapes", lambda: _with(Redact(shapes=True), processors.CapLengths())),
    Transform("flatten", lambda: _process(processors.flatten)),
    Transform("drop_none", lambda: _process(processors.drop_none)),
    Transform("CapLengths", lambda: _process(processors.CapLengths())),
    Transform("StaticFields", lambda: _process(processors.StaticFields(env="prod"))),
    Transform("add_severity", lambda: _process(processors.add_severity)),
    Transform("merge_context", lambda: _process(processors.merge_context)),
    Transform("Sample", lambda: _sample),
    Transform("Redact", lambda: _process(Redact())),
    Transform("Redact(values)", lambda: _process(Redact(values=_VALUES))),
    Transform("Redact(shapes)", lambda: _process(Redact(shapes=True))),
    Transform("Redact(patterns)", lambda: _process(Redact(value_patterns=["[0-9]{16}"]))),
)  # fmt: skip


# -- how it is measured -------------------------------------------------------


class Measured(NamedTuple):
    """What one transform took for one kind of input.

    Attributes:
        transform: The name of the transform.
        input: The name of the input.
        sizes: Bytes of the input, about, from small to large.
        cost: Milliseconds, or operations, for each.
        faults: What is wrong; empty where nothing is.

    """

    transform: str
    input: str
    sizes: list[int]
    cost: list[float]
    faults: list[str]


def bytes_of(fields: Fields) -> int:
    """Return about how many bytes the input has: as JSON, shared values once."""
    seen: set[int] = set()
    waiting: list[Any] = [fields]
    size = 0
    while waiting:
        value = waiting.pop()
        if isinstance(value, (dict, list, tuple, set)):
            if id(value) in seen:
                continue
            seen.add(id(value))
            size += 2 + 2 * len(value)
            waiting += [*value, *value.values()] if isinstance(value, dict) else value
        elif isinstance(value, (str, bytes)):
            # With the quotes, and what separates it from others.
            size += len(value if isinstance(value, bytes) else value.encode("utf-8", "replace")) + 3
        else:
            size += 300 if isinstance(value, Shown) else 5
    return size


def milliseconds(run: Callable[[], object]) -> float:
    """Return the processor's time that a call takes, as the best of some."""
    best = float("inf")
    gc.collect()
    gc.disable()
    try:
        for _ in range(4):
            start = time.thread_time_ns()
            run()
            best = min(best, (time.thread_time_ns() - start) / 1e6)
            if best > 40 * MOST_MS:
                break
    finally:
        gc.enable()
    return best


def operations(run: Callable[[], object]) -> int:
    """Return how many lines of Python code a call runs."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if event == "call" and "mozlog_py" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        return trace

    # The first call makes what is kept.
    run()
    former = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(former)
    return count


def measured(transform: Transform, given: Input, largest: int) -> Measured:
    """Return what a transform takes for inputs of growing size."""
    sizes, cost, faults = [], [], []
    prepare = transform.make()
    for size in SIZES if given.is_text else COUNTS:
        if size > (largest if given.is_text else largest // 10):
            break
        fields = given.make(size)
        sizes.append(bytes_of(fields))
        cost.append(milliseconds(prepare(fields)))
    for index, (size, spent) in enumerate(zip(sizes, cost, strict=True)):
        if spent > MOST_MS * max(1.0, size / 1e6):
            faults.append(f"{spent:.0f} ms for {size:,} bytes")
        if index and spent > LEAST_MS:
            growth = size / sizes[index - 1] / 10 * MOST_GROWTH
            # A cost that was noise says nothing of growth.
            before = max(cost[index - 1], LEAST_MS / 10)
            # Far below the limit, memory decides: what is new to the process is slower.
            is_much = spent > MOST_MS * max(1.0, size / 1e6) / 4
            if is_much and growth > 1 and spent / before > growth:
                faults.append(f"{spent / before:.0f} {_GROWN} {size:,} bytes")
    return Measured(transform.name, given.name, sizes, cost, faults)


def confirmed(found: Measured, largest: int) -> Measured:
    """Return the same row without the growth that memory explains.

    The kernel takes as long for a megabyte of new memory as the encoder, and the allocator asks
    it for large blocks only. So a row that grows is measured again in a process whose allocator
    keeps its memory. On systems without glibc that changes nothing.
    """
    if not any(_GROWN in fault for fault in found.faults) or _KEEPS_MEMORY in os.environ:
        return found
    arguments = ["--row", f"{found.transform}: {found.input}", "--largest", str(largest)]
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        env={**os.environ, **_KEPT_MEMORY},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if _GROWN in done.stdout or not done.stdout.startswith(found.transform):
        return found
    return found._replace(faults=[fault for fault in found.faults if _GROWN not in fault])


def counted(transform: Transform, given: Input) -> Measured:
    """Return the operations that a transform takes for two small inputs."""
    amounts = SMALL_SIZES if given.is_text else SMALL_COUNTS
    inputs = [given.make(amount) for amount in amounts]
    prepare = transform.make()
    cost = [float(operations(prepare(fields))) for fields in inputs]
    sizes = [*map(bytes_of, inputs)]
    growth, of_byte = cost[1] / max(cost[0], 200.0), cost[1] / sizes[1]
    faults = []
    if growth > MOST_OPERATIONS and of_byte > LEAST_OPERATIONS:
        faults.append(f"{growth:.1f} times the operations, {of_byte:.0f} for each byte")
    return Measured(transform.name, given.name, sizes, cost, faults)


def results(
    only: list[str], largest: int, *, row: str | None = None, has_operations: bool
) -> Iterator[Measured]:
    """Measure what has one of the words in its name, or one row by its whole name, or all."""
    for transform in TRANSFORMS:
        for given in INPUTS:
            name = f"{transform.name}: {given.name}"
            if (only and not any(word in name for word in only)) or row not in (None, name):
                continue
            if has_operations:
                yield counted(transform, given)
            else:
                yield confirmed(measured(transform, given, largest), largest)


def main(arguments: list[str] | None = None) -> int:
    """Print a table; return 1 where something grows as it should not, else 0."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=[], help="words of names")
    parser.add_argument("--row", help="the whole name of one row")
    parser.add_argument("--largest", type=int, default=SIZES[-1], help="bytes")
    parser.add_argument("--operations", action="store_true", help="count, and take no time")
    given = parser.parse_args(arguments)
    unit = "operations" if given.operations else "ms"
    faults = total = 0
    rows = results(given.only, given.largest, row=given.row, has_operations=given.operations)
    for each in rows:
        total += 1
        faults += bool(each.faults)
        digits = 0 if given.operations else 2
        cost = " ".join(f"{spent:>8.{digits}f}" for spent in each.cost)
        verdict = "; ".join(each.faults) or "linear"
        print(f"{each.transform:<24}{each.input:<22}{cost} {unit}  {verdict}", flush=True)
    print(f"{total} rows, {faults} that grow too much")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
