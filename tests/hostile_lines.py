"""What the logger must survive, case by case.

``python hostile_lines.py FRONT DIRECTORY [SECTION ...]`` runs each case in a child of its own,
whose stdout is the file ``DIRECTORY/NAME.out``, and prints a JSON object of the children's exit
statuses. A value that ends the interpreter is so the failure of one case.
``test_hostile_lines.py`` looks at the files.

The fronts are the formatter behind ``logging``, a chain of structlog's processors, and
the fast logger; each case logs through all of them.
"""

from __future__ import annotations

import asyncio
import atexit
import collections
import contextlib
import ctypes
import dataclasses
import datetime
import decimal
import enum
import errno
import gc
import importlib
import io
import json
import logging
import math
import multiprocessing
import os
import pathlib
import pickle
import queue
import random
import resource
import signal
import sys
import threading
import time
import types
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import hostile
import structlog
from hostile import ExceptionGroup

import mozlog_py
from mozlog_py import context
from mozlog_py.processors import merge_context
from mozlog_py.structlog import MozlogRenderer
from mozlog_py.structlog.configure import configure_structlog

FRONTS = ("formatter", "chain", "fast")
Lines = list[dict[str, Any]]


class Front:
    """One way in. Calling it logs a line."""

    def __init__(self, name: str) -> None:
        self.name = name

    def configure(self, **options: Any) -> Any:
        """Set everything up; return the handler."""
        # Not a function of this module, which would live longer for it.
        processors = [merge_context] if self.name == "chain" else []
        # Without the line about the encoder.
        loggers = {"mozlog_py": "INFO"}
        mozlog_py.configure(
            "shop", format="mozlog", level=1, loggers=loggers, processors=processors, **options
        )
        get = logging.getLogger if self.name == "formatter" else structlog.get_logger
        self.logger: Any = get("app")
        return logging.getLogger().handlers[0]

    def use(self, handler: mozlog_py.MozlogHandler) -> None:
        """Have lines written by a handler of one's own."""
        self.configure()
        processors = [merge_context] if self.name == "chain" else []
        formatter = mozlog_py.MozlogFormatter(processors=processors)
        handler.setFormatter(formatter)
        logging.getLogger().handlers[:] = [handler]
        configure_structlog(formatter, handler.sink)
        if self.name != "formatter":
            self.logger = structlog.get_logger("app")

    def __call__(
        self, message: Any = "m", /, *args: Any, level: int = 20, exc_info: Any = None,
        stack_info: bool = False, **fields: Any,
    ) -> None:  # fmt: skip
        if self.name == "formatter":
            self.logger.log(
                level, message, *args, exc_info=exc_info, stack_info=stack_info, extra=fields
            )
            return
        if exc_info is not None:
            fields["exc_info"] = exc_info
        if stack_info:
            fields["stack_info"] = True
        self.logger.log(level, message, *args, **fields)

    def named(self, name: Any) -> Front:
        """Return the same way in by a logger of another name."""
        other = Front(self.name)
        if self.name == "formatter":
            other.logger = logging.Logger(name, 1)
            other.logger.handlers = logging.getLogger().handlers
        else:
            # structlog's loggers have a text for a name; an event may have any.
            other.logger = self.logger.bind(logger=name)
        return other

    def record(self, **attributes: Any) -> None:
        """Log a record as it comes from elsewhere, or the event that says the same."""
        made = logging.makeLogRecord({"msg": "m", "levelno": 20, "name": "app", **attributes})
        if self.name == "formatter":
            logging.getLogger().handlers[0].handle(made)
        elif self.name == "chain":
            handler = logging.StreamHandler(sys.stdout)
            renderer = MozlogRenderer("shop", output="text")
            handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[renderer]))
            handler.handle(made)
        else:
            names = {"created": "timestamp", "levelno": "level_number", "name": "logger"}
            given = {names.get(name, name): value for name, value in attributes.items()}
            self.logger.info(given.pop("msg", "m"), **given)


@dataclass(frozen=True)
class Case:
    #: The part of the list that it stands in, and which line of that part.
    section: str
    line: int
    #: What happens.
    name: str
    run: Callable[[Front], Any]
    #: What the first line's Fields have, by name: a value, or a test of it.
    shows: dict[str, Any] = field(default_factory=dict)
    #: How many lines there are; None leaves it to ``check``.
    count: int | None = 1
    check: Callable[[Lines, str], bool] | None = None
    #: The exit status; of a signal it is negative.
    status: int = 0
    #: Whether the case sets up logging itself.
    is_own: bool = False
    #: Whether the output may end within a line.
    may_be_torn: bool = False


CASES: list[Case] = []


def case(section: str, line: int, name: str, **options: Any) -> Callable[[Any], Any]:
    def add(run: Callable[[Front], Any]) -> Callable[[Front], Any]:
        CASES.append(Case(section, line, name, run, **options))
        return run

    return add


def numbers(lines: Lines) -> list[Any]:
    return [line["Fields"]["n"] for line in lines if "n" in line["Fields"]]


def in_order(count: int) -> Callable[[Lines, str], bool]:
    def check(lines: Lines, _: str) -> bool:
        return numbers(lines) == list(range(count))

    return check


def each_once(count: int) -> Callable[[Lines, str], bool]:
    def check(lines: Lines, _: str) -> bool:
        return sorted(numbers(lines)) == list(range(count))

    return check


def degraded(lines: Lines, _: str) -> bool:
    return bool(lines[0]["Fields"]["mozlog.degraded"])


# -- Values --------------------------------------------------------------------


@case("Values", 1, "NaN and the infinities", shows={
    "a": "NaN", "b": ["Infinity", {"c": "-Infinity"}], "d": {"NaN": 1}, "e": [True, 0.5],
})  # fmt: skip
def _(log: Front) -> None:
    log(a=math.nan, b=[math.inf, {"c": -math.inf}], d={math.nan: 1}, e=[True, 0.5])


@case("Values", 1, "integers over 64 bits", shows={
    "a": 2**64 - 1, "b": str(2**64), "c": str(-(2**63) - 1), "d": "<int of 5000 digits>",
    "e": [str(2**100)],
})  # fmt: skip
def _(log: Front) -> None:
    log(a=2**64 - 1, b=2**64, c=-(2**63) - 1, d=10**4999, e=[2**100])


@case("Values", 2, "lone surrogates", shows={
    "a": "\\ud800", "b": {"\\udfff": 1}, "msg": "\\ud800x",
})  # fmt: skip
def _(log: Front) -> None:
    log("\ud800x", a="\ud800", b={"\udfff": 1})


@case("Values", 2, "lone surrogates in a logger's name",
      check=lambda lines, _: lines[0]["Type"] == "\\ud800")  # fmt: skip
def _(log: Front) -> None:
    log.named("\ud800")()


CONTROLS = "".join(map(chr, [*range(32), 127, *range(128, 160), 0x2028, 0x2029])) + "\x1b[31m"


@case("Values", 2, "control characters and terminal escapes", shows={
    "a": CONTROLS, "b": {CONTROLS: CONTROLS}, "msg": CONTROLS,
})  # fmt: skip
def _(log: Front) -> None:
    log(CONTROLS, a=CONTROLS, b={CONTROLS: CONTROLS})


class Colour(enum.Enum):
    RED = "red"


Pair = collections.namedtuple("Pair", "left right")


@dataclasses.dataclass
class Cart:
    owner: str
    items: list[Any]


@case("Values", 3, "values that JSON has no type for", shows={
    "a": "AP8=", "b": "2024-01-02T03:04:05", "c": "2024-01-02T03:04:05+00:00",
    "d": "03:04:05", "e": "12345678-1234-5678-1234-567812345678", "f": "red", "g": "1.10",
    "h": "/a/b", "i": {"owner": "ann", "items": [1]}, "j": "{1}", "k": [1, 2],
    "l": "deque([1, 2])", "m": "ValueError: x", "n": "Cart",
})  # fmt: skip
def _(log: Front) -> None:
    when = datetime.datetime(2024, 1, 2, 3, 4, 5)
    log(
        a=b"\x00\xff", b=when, c=when.replace(tzinfo=datetime.timezone.utc), d=when.time(),
        e=uuid.UUID("12345678123456781234567812345678"), f=Colour.RED, g=decimal.Decimal("1.10"),
        h=pathlib.PurePosixPath("/a/b"), i=Cart("ann", [1]), j={1}, k=Pair(1, 2),
        l=collections.deque([1, 2]), m=ValueError("x"), n=Cart,
    )  # fmt: skip


@case("Values", 3, "dates of the first year, and time zones that raise or answer nonsense", shows={
    "a": lambda text: type(text) is str and text.startswith("<unprintable"),
    "b": lambda text: type(text) is str,
    "c": "0001-01-01T00:00:00",
    "d": lambda text: type(text) is str,
})  # fmt: skip
def _(log: Front) -> None:
    first = datetime.datetime(1, 1, 1)
    zones = [hostile.Zone(LookupError()), hostile.Zone("nonsense")]
    log(
        a=first.replace(tzinfo=zones[0]), b=first.replace(tzinfo=zones[1]), c=first,
        d=datetime.time(1, tzinfo=zones[0]),
    )  # fmt: skip


@case("Values", 3, "values that end the encoder when it is handed them", shows={
    "c": lambda text: type(text) is str,
})  # fmt: skip
def _(log: Front) -> None:
    log(a=hostile.slotted_with_a_hole(), b=hostile.RaisingProperty(), c=hostile.broken_uuid())


@case("Values", 3, "what is nothing of the kind", shows={
    "a": lambda text: "object object" in text, "b": lambda text: "lambda" in text,
    "c": lambda text: "module" in text,
})  # fmt: skip
def _(log: Front) -> None:
    log(a=object(), b=lambda: None, c=os)


def _liar(base: type) -> type:
    """Return a class that is not ``base`` and says that it is."""

    class Meta(type):
        def __eq__(cls, other: object) -> bool:
            return True

        def __hash__(cls) -> int:
            return hash(base)

    return Meta("Liar", (), {})


@case("Values", 4, "subclasses whose overrides raise", shows={
    "a": "text", "b": 7, "c": 7.5, "e": [1, 2], "f": [1, 2],
})  # fmt: skip
def _(log: Front) -> None:
    log(
        a=hostile.HostileStr("text"), b=hostile.HostileInt(7), c=hostile.HostileFloat(7.5),
        e=hostile.HostileList([1, 2]), f=hostile.HostileTuple([1, 2]),
    )  # fmt: skip


@case("Values", 4, "subclasses whose overrides lie", shows={"a": "text", "b": 7, "c": 7.5})
def _(log: Front) -> None:
    log(a=hostile.LyingStr("text"), b=hostile.LyingInt(7), c=hostile.LyingFloat(7.5))


@case("Values", 4, "classes that lie about what they are", count=5)
def _(log: Front) -> None:
    for base in (str, int, float, bool, dict):
        log(a=_liar(base)(), b=hostile.LyingClass(base))


@case("Values", 5, "a repr that raises, recurses, or is no text", shows={
    "a": "<unprintable RaisingRepr: Hostile>",
    "b": "<unprintable RecursiveRepr: RecursionError>",
    "c": "<unprintable NonStringRepr: TypeError>",
}, check=degraded)  # fmt: skip
def _(log: Front) -> None:
    log(a=hostile.RaisingRepr(), b=hostile.RecursiveRepr(), c=hostile.NonStringRepr())


@case("Values", 5, "a repr of many megabytes", shows={
    "a": lambda text: text.startswith("xxx") and "20000000 characters" in text,
})  # fmt: skip
def _(log: Front) -> None:
    log(a=hostile.HugeRepr(20_000_000))


@case(
    "Values",
    5,
    "a repr that logs",
    count=2,
    check=lambda lines, _: [line["Fields"]["msg"] for line in lines] == ["in", "out"],
)
def _(log: Front) -> None:
    log("out", a=hostile.SideEffectRepr(lambda: log("in")))


@case("Values", 5, "a repr that changes the container it sits in", shows={
    "a": lambda items: items[0] == "side effect" and items[2] == 3,
    "b": lambda items: items["x"] == "side effect" and items["y"] == 2,
})  # fmt: skip
def _(log: Front) -> None:
    some: list[Any] = [1, 2, 3]
    some[0] = hostile.SideEffectRepr(some.clear)
    members: dict[str, Any] = {"x": 1, "y": 2}
    members["x"] = hostile.SideEffectRepr(members.clear)
    log(a=some, b=members)


@case("Values", 5, "a repr that raises KeyboardInterrupt", shows={
    "a": "<unprintable RaisingRepr: KeyboardInterrupt>",
})  # fmt: skip
def _(log: Front) -> None:
    try:
        log(a=hostile.RaisingRepr(KeyboardInterrupt))
    except KeyboardInterrupt:
        return
    raise AssertionError("the interrupt was held back")


@case("Values", 6, "cycles, and what is only shared", shows={
    "a": [1, "<circular>"], "b": {"self": "<circular>"}, "c": [[7], [7]],
})  # fmt: skip
def _(log: Front) -> None:
    some: list[Any] = [1]
    some.append(some)
    members: dict[str, Any] = {}
    members["self"] = members
    shared = [7]
    log(a=some, b=members, c=[shared, shared])


@case("Values", 6, "what is nested too deeply, and a million items", shows={
    "a": lambda value: "<max depth>" in json.dumps(value),
    "b": lambda value: value[-1] == "<999000 more items>" and len(value) == 1001,
})  # fmt: skip
def _(log: Front) -> None:
    log(a=hostile.nested(100_000, lambda inner: [inner]), b=[1] * 1_000_000)


@case("Values", 7, "keys that are no text, and keys that collide", shows={
    "a": lambda value: (
        {"1": "int", "1_2": "text", "null": "none"}.items() <= value.items()
        and "tuple" in value.values()
    ),
})  # fmt: skip
def _(log: Front) -> None:
    log(a={1: "int", None: "none", "1": "text", (2, 3): "tuple"})


@case("Values", 7, "keys whose hash or equality raises", shows={"b": {"fine": 1}}, check=degraded)
def _(log: Front) -> None:
    keys: list[Any] = [hostile.RaisingHash(), hostile.RaisingEquality()]
    members = {"fine": 1, keys[0]: 2}
    others = {keys[1]: 3}
    for key in keys:
        key.is_armed = True
    log(a=others, b=members)


@case("Values", 8, "a container that another thread changes meanwhile", count=300)
def _(log: Front) -> None:
    shared: dict[Any, Any] = {"x": 1}
    some: list[Any] = [1]
    is_over = threading.Event()

    def change() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            shared[number % 50] = number
            some.append(number)
            if number % 50 == 0:
                shared.clear()
                some.clear()

    thread = threading.Thread(target=change)
    thread.start()
    for _number in range(300):
        log(a=shared, b=some)
    is_over.set()
    thread.join()


# -- Records -------------------------------------------------------------------


@case("Records", 1, "arguments that do not fit", count=5, shows={
    "msg": lambda text: text.startswith("%d items") and "'seven'" in text,
}, check=degraded)  # fmt: skip
def _(log: Front) -> None:
    log("%d items", "seven")
    log("%s and %s", "one")
    log("%(name)s", "no mapping")
    log("100%", 1)
    log("%s %d", hostile.RaisingRepr(), "x")


@case("Records", 1, "messages that are no text", count=4, shows={"msg": "7"})
def _(log: Front) -> None:
    log(7)
    log(ValueError("x"))
    log([1, 2])
    log(hostile.RaisingRepr())


@case("Records", 1, "no message and no fields", count=1,
      check=lambda lines, _: lines[0]["Fields"] == {})  # fmt: skip
def _(log: Front) -> None:
    log("")


@case("Records", 2, "fields that are called as the envelope, or as fields of ours", shows={
    "Timestamp": 1, "logger_name": "theirs", "Severity": 9, "Type": "theirs", "Fields": "x",
    "msg": "true", "error": "ValueError('x')",
    "extra.error": "theirs",
}, check=lambda lines, _: (
    lines[0]["Type"] == "app" and lines[0]["Severity"] == 3 and lines[0]["Logger"] == "shop"
    and lines[0]["Timestamp"] > 10**18
))  # fmt: skip
def _(log: Front) -> None:
    log(
        "true", level=40, exc_info=ValueError("x"), Timestamp=1, logger_name="theirs",
        Severity=9, Type="theirs", Fields="x", error="theirs",
    )  # fmt: skip


ATTRIBUTES = (
    "name", "args", "message", "asctime", "taskName", "filename", "module", "process",
    "levelname", "created", "thread", "msecs",
)  # fmt: skip


@case("Records", 2, "fields that are called as a record's attributes", count=len(ATTRIBUTES),
      check=lambda lines, _: [
          line["Fields"].get(f"extra.{name}", line["Fields"].get(name))
          for name, line in zip(ATTRIBUTES, lines, strict=True)
      ] == ["theirs"] * len(ATTRIBUTES))  # fmt: skip
def _(log: Front) -> None:
    for name in ATTRIBUTES:
        log(**{name: "theirs"})


@case("Records", 2, "a message that is JSON, of a client", shows={
    "rid": "r1", "user": "ann", "n": 7, "extra.rid": "FORGED", "extra.user": "eve", "extra.n": 1,
})  # fmt: skip
def _(log: Front) -> None:
    context.request_id_context.set("r1")
    context.bind(user="ann")
    log('{"rid": "FORGED", "user": "eve", "n": 1}', n=7)


NESTED = '{"a":' * 100_000 + "1" + "}" * 100_000
ARRAYS = '{"a":' + "[" * 300_000 + "]" * 300_000 + "}"


@case("Records", 2, "a message that is JSON, nested as deep as it is long", count=5, shows={
    "msg": lambda text: text.startswith(NESTED[:1000]) and text.endswith("}" * 1000), "n": 1,
})  # fmt: skip
def _(log: Front) -> None:
    log(NESTED, n=1)
    log(ARRAYS)
    log(ARRAYS.replace("]", ""))
    log("{" * 100_000 + "}")
    log("%s", NESTED, exc_info=ValueError(NESTED))


@case("Records", 2, "a message that is JSON, longer or wider than is parsed", count=2, shows={
    "msg": lambda text: text.startswith('{"a": "xx'),
}, check=lambda lines, _: (
    "n0" not in lines[1]["Fields"] and lines[1]["Fields"]["msg"].startswith('{"n0": 0')
))  # fmt: skip
def _(log: Front) -> None:
    log(json.dumps({"a": "x" * 100_000}))
    log(json.dumps({f"n{number}": number for number in range(1001)}))


@case("Records", 3, "levels that are none", count=5)
def _(log: Front) -> None:
    for level in (-5, 10**30, 0):
        log.record(levelno=level)
    for level in ("LOUD", None):
        # A value that names no level is a field of the event; the method decides its level.
        log.record(levelno=level) if log.name == "formatter" else log(level_number=level)


@case("Records", 3, "times that are none", count=6)
def _(log: Front) -> None:
    for created in (math.nan, math.inf, -1.0, 1e300, 10**400, None):
        log.record(created=created)


@case("Records", 3, "attributes that are missing or None", count=4)
def _(log: Front) -> None:
    log.record(process=None)
    log.record(name=None)
    log.record(args=None)
    if log.name == "fast":
        log()
        return
    made = logging.makeLogRecord({})
    vars(made).clear()
    vars(made)["msg"] = "m"
    logging.getLogger().handlers[0].handle(made)


@case("Records", 3, "what crossed a border of processes", count=2, shows={"n": 1})
def _(log: Front) -> None:
    if log.name == "formatter":
        made = logging.getLogger("app").makeRecord(
            "app", 20, "", 1, "%s", ("paid",), None, extra={"n": 1, "name": "ann"}
        )
        log.record(**vars(pickle.loads(pickle.dumps(made))))
        log.record(**json.loads(json.dumps(vars(made), default=str)))
        return
    other = pickle.loads(pickle.dumps(log.logger.bind(n=1)))
    other.info("paid")
    other.bind(name="ann").info("paid")


@case("Records", 4, "a record that several handlers are handed", count=2,
      check=lambda lines, _: lines[0]["Fields"] == lines[1]["Fields"])  # fmt: skip
def _(log: Front) -> None:
    fields = {"a": [1, {"b": 2}], "c": "x"}
    log(**fields)
    assert fields == {"a": [1, {"b": 2}], "c": "x"}
    if log.name != "formatter":
        log(**fields)
        return
    made = logging.LogRecord("app", 20, "", 1, "%s", ("m",), None)
    vars(made).update(fields)
    before = dict(vars(made))
    io_handler = logging.StreamHandler(io.StringIO())
    io_handler.setFormatter(mozlog_py.MozlogFormatter())
    io_handler.handle(made)
    assert vars(made) == before
    logging.getLogger().handlers[0].handle(made)


@case("Records", 4, "a logging module that is loaded anew", count=2)
def _(log: Front) -> None:
    log()
    before = logging.getLogger().handlers
    importlib.reload(logging)
    # The new root logger has the level WARNING, which is noticed after 20 milliseconds.
    time.sleep(0.03)
    log(level=logging.WARNING)
    assert before


# -- Exceptions ----------------------------------------------------------------


def starts(text: str) -> Callable[[Any], bool]:
    return lambda value: type(value) is str and value.startswith(text)


def has(*texts: str) -> Callable[[Any], bool]:
    return lambda value: type(value) is str and all(text in value for text in texts)


@case("Exceptions", 1, "an exception that is not there, or has no traceback", count=3,
      check=lambda lines, _: (
          "error" not in lines[0]["Fields"] and lines[1]["Fields"]["error"] == "ValueError('x')"
      ))  # fmt: skip
def _(log: Front) -> None:
    log(exc_info=True)
    log(exc_info=ValueError("x"))
    log(exc_info=(None, None, None))


@case("Exceptions", 1, "what is no exception in its place", count=3)
def _(log: Front) -> None:
    log(exc_info=(1, 2, 3))
    log(exc_info=("a", "b"))
    log(exc_info=(ValueError, "text", 7))


class Untold(Exception):
    def __str__(self) -> str:
        raise hostile.Hostile

    __repr__ = __str__


@case("Exceptions", 2, "exceptions that cannot be told", shows={
    "error": has("Untold"), "traceback": starts("Uncaught exception:"),
})  # fmt: skip
def _(log: Front) -> None:
    log(exc_info=hostile.raised(Untold()))


@case("Exceptions", 2, "chains, and chains that are circles", count=2, shows={
    "traceback": has("ValueError('first')", "LookupError('second')"),
})  # fmt: skip
def _(log: Front) -> None:
    try:
        try:
            raise ValueError("first")
        except ValueError as first:
            raise LookupError("second") from first
    except LookupError as error:
        log(exc_info=error)
    one, two = hostile.raised(ValueError("1")), hostile.raised(ValueError("2"))
    one.__cause__, two.__cause__ = two, one
    log(exc_info=one)


@case("Exceptions", 2, "groups, wide and deep", count=2, shows={"traceback": has("inner")})
def _(log: Front) -> None:
    inner: Exception = ValueError("inner")
    for _level in range(50):
        inner = ExceptionGroup("deep", [inner, LookupError("beside")])
    log(exc_info=ExceptionGroup("g", [ValueError("inner"), LookupError("other")]))
    log(exc_info=ExceptionGroup("wide", [inner, *map(ValueError, range(5000))]))


@case("Exceptions", 2, "notes, and notes that are no list", count=2, shows={
    "traceback": has("a note"),
})  # fmt: skip
def _(log: Front) -> None:
    error: Any = ValueError("x")
    error.__notes__ = ["a note", 7, hostile.RaisingRepr()]
    log(exc_info=error)
    other: Any = ValueError("x")
    other.__notes__ = 7
    log(exc_info=other)


@case("Exceptions", 2, "a SyntaxError with odd members", count=2, shows={"error": has("SyntaxErr")})
def _(log: Front) -> None:
    error = SyntaxError("odd")
    error.lineno, error.offset, error.text = -1, 10**20, 7  # type: ignore[assignment]
    error.filename = hostile.RaisingRepr()  # type: ignore[assignment]
    log(exc_info=error)
    log(exc_info=SyntaxError("x", ("f", 1, 1, "text\ud800", 1, 99)))


@case("Exceptions", 2, "a RecursionError, collapsed", shows={
    "traceback": lambda text: len(text) < 16_000 and "RecursionError" in text,
})  # fmt: skip
def _(log: Front) -> None:
    def deeper() -> None:
        deeper()

    try:
        deeper()
    except RecursionError:
        log(exc_info=True)


@case("Exceptions", 2, "source that cannot be read", shows={"traceback": has("ZeroDivisionError")})
def _(log: Front) -> None:
    try:
        exec(compile("1/0", '/nowhere/\nFile "forged.py", line 1', "exec"))
    except ZeroDivisionError:
        log(exc_info=True)


@case("Exceptions", 2, "any limit of tracebacks", count=5, shows={"error": "ValueError('x')"})
def _(log: Front) -> None:
    error = hostile.raised(ValueError("x"))
    limits: list[Any] = [0, -1, 1, "nonsense", None]
    for limit in limits:
        sys.tracebacklimit = limit
        log(exc_info=error)
    del sys.tracebacklimit


@case("Exceptions", 3, "text from outside, which forges no line and no frame", shows={
    "error": "ValueError('x\\n  File \"forged.py\", line 1, in forged')",
    "traceback": lambda text: "\n  File \"forged.py\"" not in text,
})  # fmt: skip
def _(log: Front) -> None:
    log(exc_info=hostile.raised(ValueError('x\n  File "forged.py", line 1, in forged')))


@case("Exceptions", 3, "an exception whose repr lacks its text", shows={
    "error": starts("FileNotFoundError("),
    "traceback": starts("Uncaught exception:"),
})  # fmt: skip
def _(log: Front) -> None:
    try:
        pathlib.Path("/nowhere/at/all").stat()
    except FileNotFoundError:
        log(exc_info=True)


@case("Exceptions", 4, "a traceback that is not the interpreter's own", shows={
    "error": "ValueError('x')", "traceback": starts("Uncaught exception:"),
})  # fmt: skip
def _(log: Front) -> None:
    error = hostile.raised(ValueError("x"))
    code = types.SimpleNamespace(co_filename="task.py", co_name="run", co_firstlineno=1)
    frame = types.SimpleNamespace(f_code=code, f_globals={}, f_locals={}, f_lineno=7)
    recorded = types.SimpleNamespace(tb_frame=frame, tb_lineno=7, tb_next=None, tb_lasti=0)
    log(exc_info=(ValueError, error, recorded))


@case("Exceptions", 4, "the stack of a call", shows={"stack": has("hostile_lines.py")})
def _(log: Front) -> None:
    log(stack_info=True)


# -- Context -------------------------------------------------------------------


@case("Context", 1, "what was bound is gone with its request, on a thread that is used again",
      count=3, check=lambda lines, _: [
          {name: line["Fields"].get(name) for name in ("rid", "user")} for line in lines
      ] == [
          {"rid": "r1", "user": "ann"}, {"rid": None, "user": None}, {"rid": None, "user": None},
      ])  # fmt: skip
def _(log: Front) -> None:
    before = context.snapshot()
    context.request_id_context.set("r1")
    context.bind(user="ann")
    log()
    context.restore(before)
    log()
    hostile.in_thread(lambda: log())


@case("Context", 1, "threads, tasks and blocks see their own", count=None,
      check=lambda lines, _: sum(
          # asyncio has lines of its own.
          line["Fields"]["rid"] == line["Fields"]["own"]
          for line in lines if "own" in line["Fields"]
      ) == 60)  # fmt: skip
def _(log: Front) -> None:
    async def request(number: int) -> None:
        with context.bound(rid=f"r{number}"):
            await asyncio.sleep(random.random() / 100)
            log(own=f"r{number}")
            await asyncio.gather(asyncio.create_task(part(number)), asyncio.to_thread(work, number))

    async def part(number: int) -> None:
        try:
            with context.bound(rid="inner"):
                raise LookupError
        except LookupError:
            log(own=f"r{number}")

    def work(number: int) -> None:
        log(own=f"r{number}")

    async def main() -> None:
        await asyncio.gather(*map(request, range(20)))

    asyncio.run(main())


@case("Context", 1, "no context, no null", check=lambda lines, _: (
    "rid" not in lines[0]["Fields"]
))  # fmt: skip
def _(log: Front) -> None:
    log()


# -- Sinks ---------------------------------------------------------------------


@contextlib.contextmanager
def slow_reader(
    log: Front, *, pause: float = 0.002, blocking: bool = True, size: int = 4096
) -> Any:
    """Have stdout be a small pipe that another process reads slowly, into the case's file."""
    reader, writer = os.pipe()
    with contextlib.suppress(OSError):
        import fcntl

        fcntl.fcntl(writer, 1031, 4096)
    child = os.fork()
    if child == 0:
        os.close(writer)
        while data := os.read(reader, size):
            time.sleep(pause)
            while data:
                data = data[os.write(1, data) :]
        os._exit(0)
    os.close(reader)
    kept = os.dup(1)
    os.dup2(writer, 1)
    os.close(writer)
    os.set_blocking(1, blocking)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.waitpid(child, 0)


@case("Sinks", 1, "a stdout that does not block", count=None, check=in_order(300))
def _(log: Front) -> None:
    with slow_reader(log, blocking=False):
        for number in range(300):
            log("x" * 500, n=number)


@case("Sinks", 1, "writes that take a part of a line", count=None, check=in_order(5), is_own=True)
def _(log: Front) -> None:
    log.configure(max_line_bytes=0)
    with slow_reader(log, size=60_000, pause=0):
        for number in range(5):
            log("x" * 300_000, n=number)


def _ticking(on_signal: Callable[..., Any]) -> None:
    signal.signal(signal.SIGALRM, on_signal)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)


@case("Sinks", 1, "a signal's handler that logs in the middle of a write", count=None,
      is_own=True, check=lambda lines, _: (
          [n for n in numbers(lines) if n >= 0] == list(range(60))
          and any(n < 0 for n in numbers(lines))
      ))  # fmt: skip
def _(log: Front) -> None:
    log.configure(max_line_bytes=0)
    inside: list[int] = []

    def on_signal(*_: Any) -> None:
        if not inside:
            inside.append(1)
            log("handler", n=-1)
            inside.clear()

    with slow_reader(log, size=60_000):
        _ticking(on_signal)
        for number in range(60):
            log("x" * 20_000, n=number)
        signal.setitimer(signal.ITIMER_REAL, 0)


@case("Sinks", 1, "a signal's handler that raises in the middle of a write", count=None,
      is_own=True, check=lambda lines, _: (
          len(numbers(lines)) == len({*numbers(lines)}) >= 30
      ))  # fmt: skip
def _(log: Front) -> None:
    log.configure(max_line_bytes=0)

    class Interrupt(BaseException):
        pass

    is_armed: list[int] = []

    def on_signal(*_: Any) -> None:
        # A signal that comes late would be raised outside of the block.
        if is_armed:
            is_armed.clear()
            raise Interrupt

    signal.signal(signal.SIGALRM, on_signal)
    with slow_reader(log, size=60_000, pause=0.001):
        for number in range(60):
            with contextlib.suppress(Interrupt):
                is_armed.append(1)
                signal.setitimer(signal.ITIMER_REAL, 0.0005)
                log("x" * 20_000, n=number)
                is_armed.clear()
    signal.setitimer(signal.ITIMER_REAL, 0)


def _with_stdout(descriptor: int, log: Front, **fields: Any) -> int:
    """Log with another stdout, and put the former back; return what is kept of it."""
    kept = os.dup(1)
    os.dup2(descriptor, 1)
    try:
        log(**fields)
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    return kept


def _lost(cause: str, count: int = 1) -> Callable[[Lines, str], bool]:
    def check(lines: Lines, errors: str) -> bool:
        said = [line["Fields"] for line in lines if "lost" in line["Fields"]]
        return (
            sum(each["lost"] for each in said) == count
            and cause in json.dumps(said)
            and numbers(lines) == [2]
            and len(errors) <= 1024 * 3
        )

    return check


@case("Sinks", 2, "a pipe whose reader is gone", count=None, check=_lost("EPIPE"))
def _(log: Front) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    _with_stdout(writer, log, n=1)
    log(n=2)


@case("Sinks", 2, "a full device", count=None, check=_lost("ENOSPC"))
def _(log: Front) -> None:
    _with_stdout(os.open("/dev/full", os.O_WRONLY), log, n=1)
    log(n=2)


@case("Sinks", 2, "a terminal that is gone", count=None, check=_lost("EIO"))
def _(log: Front) -> None:
    master, slave = os.openpty()
    os.close(master)
    _with_stdout(slave, log, n=1)
    log(n=2)


@case("Sinks", 2, "a descriptor that is closed", count=None, check=_lost("EBADF"))
def _(log: Front) -> None:
    kept = os.dup(1)
    os.close(1)
    log(n=1)
    os.dup2(kept, 1)
    log(n=2)


@case("Sinks", 2, "a limit of the file's size, lifted midway", count=None,
      check=lambda lines, _: (
          {0, 9} <= {*numbers(lines)} and len(numbers(lines)) + sum(
              line["Fields"].get("lost", 0) for line in lines
          ) == 10
      ))  # fmt: skip
def _(log: Front) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    for number in range(9):
        log("x" * 500, n=number)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    log(n=9)


@case("Sinks", 2, "a stdout that is None", count=None,
      check=lambda lines, _: numbers(lines)[-1] == 2)  # fmt: skip
def _(log: Front) -> None:
    kept, sys.stdout = sys.stdout, None  # type: ignore[assignment]
    log(n=1)
    sys.stdout = kept
    log(n=2)


@case("Sinks", 2, "a stdout that is closed", count=None,
      check=lambda lines, _: numbers(lines)[0] == 0)  # fmt: skip
def _(log: Front) -> None:
    log(n=0)
    sys.stdout.close()
    log(n=1)


@case("Sinks", 3, "a reader that has stopped, and a timeout", count=None, is_own=True,
      check=lambda lines, _: any("lost" in line["Fields"] for line in lines))  # fmt: skip
def _(log: Front) -> None:
    log.use(mozlog_py.MozlogHandler(timeout=0.05))
    reader, writer = os.pipe()
    kept = os.dup(1)
    os.dup2(writer, 1)
    for number in range(12):
        log("x" * 15_000, n=number)
    os.dup2(kept, 1)
    os.close(reader)
    log(n=12)


@case("Sinks", 4, "a stdout that is replaced", count=2, check=in_order(2))
def _(log: Front) -> None:
    replaced = io.StringIO()
    with contextlib.redirect_stdout(replaced):
        log(n=0)
    sys.stdout.write(replaced.getvalue())
    sys.stdout.flush()
    log(n=1)


@case("Sinks", 4, "streams of few characters", count=2, shows={"a": "ž\u2028"})
def _(log: Front) -> None:
    for encoding in ("ascii", "latin-1"):
        kept = sys.stdout
        buffer = io.BytesIO()
        sys.stdout = io.TextIOWrapper(buffer, encoding=encoding)
        log(a="ž\u2028")
        sys.stdout.flush()
        text = buffer.getvalue()
        sys.stdout.detach()
        sys.stdout = kept
        os.write(1, text)


class OddStream:
    """A stream that does with what is written what it was told to."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.text = ""

    def write(self, text: str) -> Any:
        if self.kind == "raises":
            raise hostile.Hostile
        self.text += text
        return {"short": 1, "none": None}.get(self.kind, len(text))


@case("Sinks", 4, "streams that raise, return short or None, or have no flush", count=None,
      check=lambda lines, _: (
          {line["Fields"].get("kind") for line in lines} >= {"none", "plain"}
      ))  # fmt: skip
def _(log: Front) -> None:
    kept = sys.stdout
    for kind in ("raises", "short", "none", "plain"):
        odd: Any = OddStream(kind)
        sys.stdout = odd
        try:
            log(kind=kind)
        finally:
            sys.stdout = kept
        os.write(1, odd.text.encode())


@case("Sinks", 5, "a line over the cap", shows={
    "a": lambda text: (text[:4], text[-4:]) == ("head", "tail") and "characters cut>" in text,
    "b": "short",
})  # fmt: skip
def _(log: Front) -> None:
    log(a="head" + "x" * 100_000 + "tail", b="short")


@case("Sinks", 6, "several processes on one pipe", count=None, is_own=True, check=each_once(120))
def _(log: Front) -> None:
    log.configure(max_line_bytes=0)
    with slow_reader(log, size=60_000, pause=0):
        children = []
        for process in range(4):
            child = os.fork()
            if child == 0:
                for number in range(30):
                    log("x" * random.choice([10, 5_000, 40_000]), n=process * 30 + number)
                os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)


@case("Sinks", 7, "what is said on stderr of a thousand losses", count=None,
      check=lambda lines, errors: (
          0 < len(errors) <= 4096
          and sum(line["Fields"].get("lost", 0) for line in lines) == 1000
      ))  # fmt: skip
def _(log: Front) -> None:
    kept = os.dup(1)
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
    for _number in range(1000):
        log(n=1)
    os.dup2(kept, 1)
    log("", n=2)


# -- Processes -----------------------------------------------------------------


def _of_children(count: int) -> Callable[[Lines, str], bool]:
    def check(lines: Lines, _: str) -> bool:
        own = [line for line in lines if line["Fields"].get("pid") is not None]
        return len(own) == count and all(line["Pid"] == line["Fields"]["pid"] for line in own)

    return check


@case("Processes", 1, "forks while threads log", count=None, check=_of_children(20))
def _(log: Front) -> None:
    is_over = threading.Event()

    def work() -> None:
        while not is_over.is_set():
            log("thread")
            time.sleep(0.0001)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _number in range(20):
        child = os.fork()
        if child == 0:
            log("child", pid=os.getpid())
            os._exit(0)
        os.waitpid(child, 0)
    is_over.set()
    for thread in threads:
        thread.join()


@case("Processes", 1, "a fork with lines in the queue", count=None, is_own=True,
      check=each_once(201))  # fmt: skip
def _(log: Front) -> None:
    log.configure(queue=True)
    for number in range(200):
        log(n=number)
    child = os.fork()
    if child == 0:
        log(n=200)
        logging.getLogger().handlers[0].close()
        os._exit(0)
    os.waitpid(child, 0)


def _in_child(front: str) -> None:
    log = Front(front)
    log.configure()
    log("child", pid=os.getpid())


@case("Processes", 1, "children of multiprocessing", count=None, check=_of_children(3))
def _(log: Front) -> None:
    for method in ("fork", "spawn", "forkserver"):
        process = multiprocessing.get_context(method).Process(target=_in_child, args=(log.name,))  # type: ignore[attr-defined]
        process.start()
        process.join()
        assert process.exitcode == 0


@case("Processes", 2, "atexit, __del__ and daemon threads at the end", count=None,
      check=lambda lines, _: (
          {"atexit", "del", "daemon"} <= {line["Fields"]["msg"] for line in lines}
      ))  # fmt: skip
def _(log: Front) -> None:
    atexit.register(log.logger.info, "atexit")

    class Last:
        def __del__(self) -> None:
            log("del")

    sys.modules["__main__"].__dict__["_kept"] = Last()
    # The end of the interpreter collects this module.
    gc.unfreeze()
    # With names of its own: a daemon's frame would keep this module from its end.
    names = {"info": log.logger.info, "sleep": time.sleep, "started": threading.Event()}
    exec(
        "def work():\n    while True:\n        info('daemon')\n        started.set()\n"
        "        sleep(0.001)",
        names,
    )
    threading.Thread(target=names["work"], daemon=True).start()
    names["started"].wait()


@case("Processes", 2, "hooks of a fork", count=3, check=lambda lines, _: (
    [line["Fields"]["msg"] for line in lines] == ["before", "child", "parent"]
    and lines[0]["Pid"] == lines[2]["Pid"] != lines[1]["Pid"]
))  # fmt: skip
def _(log: Front) -> None:
    reader, writer = os.pipe()
    os.register_at_fork(
        before=lambda: log("before"),
        after_in_child=lambda: log("child"),
        after_in_parent=lambda: (os.read(reader, 1), log("parent")),
    )
    child = os.fork()
    os.write(writer, b"x") if child == 0 else os.waitpid(child, 0)
    if child == 0:
        os._exit(0)


@case("Processes", 2, "lines after the handler is closed", count=2, check=in_order(2))
def _(log: Front) -> None:
    log(n=0)
    logging.getLogger().handlers[0].close()
    log(n=1)


@case("Processes", 3, "SIGKILL in the middle", count=None, status=-signal.SIGKILL, may_be_torn=True,
      check=lambda lines, _: numbers(lines)[:500] == list(range(500)))  # fmt: skip
def _(log: Front) -> None:
    for number in range(500):
        log(n=number)
    os.kill(os.getpid(), signal.SIGKILL)


@case("Processes", 3, "a normal end with lines in the queue", count=None, is_own=True,
      check=in_order(2000))  # fmt: skip
def _(log: Front) -> None:
    log.configure(queue=True)
    for number in range(2000):
        log(n=number)


@case("Processes", 3, "an end that SystemExit makes", count=1, status=3, shows={"n": 1})
def _(log: Front) -> None:
    log(n=1)
    raise SystemExit(3)


# -- Queue ---------------------------------------------------------------------


def _policy(policy: str) -> Any:
    def run(log: Front) -> None:
        handler = log.configure(queue={"policy": policy, "max_bytes": 20_000})
        reader, writer = os.pipe()
        kept = os.dup(1)
        os.dup2(writer, 1)
        # The pipe is full, and is not read yet.
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"\n" * 4096)
        os.set_blocking(writer, True)
        pages: list[bytes] = []

        def read() -> None:
            while data := os.read(reader, 65536):
                pages.append(data)

        reading = threading.Thread(target=read, daemon=True)
        if policy == "block":
            reading.start()
        for number in range(200):
            log("x" * 300, n=number, level=40 if number % 20 == 0 else 20)
        if policy != "block":
            reading.start()
        handler.flush(20)
        os.dup2(kept, 1)
        os.close(writer)
        reading.join()
        os.write(1, b"".join(pages).lstrip(b"\n"))
        log(n=200)

    return run


def _has_all_errors(lines: Lines, _: str) -> bool:
    seen = numbers(lines)
    lost = sum(line["Fields"].get("lost", 0) for line in lines)
    return (
        len(seen) == len({*seen}) < 201
        and {*range(0, 200, 20)} <= {*seen}
        and len(seen) + lost == 201
    )


for _name, _check in (
    ("block", each_once(201)), ("drop_newest", _has_all_errors), ("drop_oldest", _has_all_errors),
):  # fmt: skip
    case("Queue", 1, f"a full queue whose policy is {_name}", count=None, is_own=True,
         check=_check)(_policy(_name))  # fmt: skip


@case("Queue", 1, "a worker that dies", count=None, is_own=True, check=each_once(100))
def _(log: Front) -> None:
    handler = log.configure(queue=True)
    log(n=0)
    handler.flush()
    set_exc = ctypes.pythonapi.PyThreadState_SetAsyncExc
    struck = 0
    for number in range(1, 100):
        if number % 30 == 0:
            for ident in _workers():
                struck += set_exc(ctypes.c_ulong(ident), ctypes.py_object(SystemExit))
        log(n=number)
        time.sleep(0.0005)
    assert struck
    assert handler.flush(20)


def _workers() -> list[int]:
    """Return the threads that run the queue's code."""
    found = []
    for ident, frame in sys._current_frames().items():
        walked: Any = frame
        while walked is not None and not walked.f_code.co_filename.endswith("queued.py"):
            walked = walked.f_back
        if walked is not None and ident != threading.main_thread().ident:
            found.append(ident)
    return found


@case("Queue", 1, "a worker that cannot be started", count=None, is_own=True, check=each_once(10))
def _(log: Front) -> None:
    handler = log.configure(queue=True)

    def fail(*_: Any) -> None:
        raise RuntimeError("can't start new thread at interpreter shutdown")

    kept = threading.Thread.start
    threading.Thread.start = fail  # type: ignore[method-assign,assignment]
    for number in range(10):
        log(n=number)
    threading.Thread.start = kept  # type: ignore[method-assign]
    handler.flush()


@case("Queue", 1, "close, twice, at once, and with lines in the queue", count=None, is_own=True,
      check=each_once(501))  # fmt: skip
def _(log: Front) -> None:
    handler = log.configure(queue=True)
    for number in range(500):
        log(n=number)
    threads = [threading.Thread(target=handler.close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    handler.close()
    log(n=500)


@case("Queue", 1, "close by the worker itself", count=None, is_own=True,
      check=lambda lines, _: (
          # Not before the other line: the worker cannot wait for what it writes itself.
          0 in numbers(lines)
          # A line that comes meanwhile is written, or counted.
          and len(numbers(lines)) + sum(line["Fields"].get("lost", 0) for line in lines) == 2
      ))  # fmt: skip
def _(log: Front) -> None:
    handler = log.configure(queue=True)
    queue_ = handler.sink
    done: queue.Queue[int] = queue.Queue()
    write_lines = queue_.sink.write_lines

    def closing(*lines: Any) -> Any:
        queue_.close()
        done.put(1)
        return write_lines(*lines)

    queue_.sink.write_lines = closing
    log(n=0)
    done.get(timeout=30)
    log(n=1)


@case("Queue", 1, "a stopped reader, which holds up no caller", count=None, is_own=True,
      check=lambda lines, _: numbers(lines)[-1] == 300)  # fmt: skip
def _(log: Front) -> None:
    handler = log.configure(queue={"max_bytes": 50_000})
    reader, writer = os.pipe()
    kept = os.dup(1)
    os.dup2(writer, 1)
    for number in range(300):
        log("x" * 5000, n=number)
    os.dup2(kept, 1)
    os.close(writer)
    while os.read(reader, 65536):
        if handler.sink.waiting_bytes == 0:
            break
    handler.flush(20)
    log(n=300)
    handler.flush(20)


# -- Requests and checks: tests/frameworks and tests/checks have each of these lines; here
# -- the cores have one case each of them, with a line of the front within the request.


def _wsgi(log: Front, environ: dict[str, Any], application: Any = None) -> tuple[str, list[Any]]:
    from dockerflow.wsgi import DockerflowWSGI

    def usual(environ: Any, start_response: Any) -> Any:
        log("inside")
        start_response("200 OK", [])
        return [b"x"]

    started: list[Any] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", **environ}
    body = DockerflowWSGI(application or usual)(environ, lambda *given, **_: started.append(given))
    b"".join(body)
    if hasattr(body, "close"):
        body.close()
    return started[0][0], started[0][1]


def _summaries(lines: Lines) -> Lines:
    return [line for line in lines if line["Type"] == "request.summary"]


@case("Requests", 1, "ids that are too long, odd or sent twice", count=6, check=lambda lines, _: (
    all(line["Fields"]["rid"] == other["Fields"]["rid"] for line, other in zip(
        lines[::2], lines[1::2], strict=True))
    and all(len(line["Fields"]["rid"]) <= 128 and line["Fields"]["rid"].isprintable()
            and line["Fields"]["rid"].isascii() for line in lines)
))  # fmt: skip
def _(log: Front) -> None:
    for sent in ("x" * 1000, "a\nb\x1b", "ž"):
        _wsgi(log, {"HTTP_X_REQUEST_ID": sent})


@case("Requests", 1, "paths, queries and agents that are odd", count=8, check=lambda lines, _: (
    len(_summaries(lines)) == 4
    and all(len(line["Fields"]["agent"]) < 2000 for line in _summaries(lines))
))  # fmt: skip
def _(log: Front) -> None:
    for path in ("/\x00", "/a\nb", "/%2F/..", "/\xff\xfe"):
        _wsgi(log, {"PATH_INFO": path, "QUERY_STRING": "a=%FF\xff", "HTTP_USER_AGENT": "x" * 10**5})


@case("Requests", 2, "one summary, whatever the application does", count=None,
      check=lambda lines, _: [
          line["Fields"]["code"] for line in _summaries(lines)
      ] == [500, 200, 500])  # fmt: skip
def _(log: Front) -> None:
    def raising(environ: Any, start_response: Any) -> Any:
        log("inside")
        raise LookupError

    def late(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        yield b"x"
        log("inside")
        raise LookupError

    with contextlib.suppress(LookupError):
        _wsgi(log, {}, raising)
    with contextlib.suppress(LookupError):
        _wsgi(log, {}, late)
    with contextlib.suppress(LookupError, IndexError):
        _wsgi(log, {}, lambda *_: [])


@case("Checks", 1, "checks that raise, give nonsense or nothing", count=None,
      check=lambda lines, _: lines[-1]["Fields"]["msg"] == "done")  # fmt: skip
def _(log: Front) -> None:
    from dockerflow import checks

    def interrupting() -> Any:
        raise KeyboardInterrupt

    def raising() -> Any:
        raise hostile.Hostile

    given: list[Any] = [
        raising, lambda: None, lambda: "text", lambda: {"a": 1}, lambda: [hostile.RaisingRepr()],
        lambda: [checks.Error("bad", id="x")], list,
    ]  # fmt: skip
    for number, check in enumerate(given):
        checks.register(check, name=f"check{number}")
    result = checks.run_checks(checks.get_checks().items())
    assert len(result.details) >= 5
    assert result.level >= checks.ERROR
    log("done")


# -- the runner ------------------------------------------------------------------


def _child(chosen: Case, front: str, directory: str, name: str) -> None:
    """Become the process of one case, with its files for stdout and stderr."""
    for descriptor, ending in ((1, "out"), (2, "err")):
        path = pathlib.Path(directory, f"{name}.{ending}")
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    # Nothing of it may hang the others.
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    log = Front(front)
    if not chosen.is_own:
        log.configure()
    chosen.run(log)


def main(front: str, directory: str, *sections: str) -> None:
    statuses: dict[str, int] = {}
    # Objects of this process need no collection at the end of each case, which takes longer than
    # the case itself: the collector would touch, and so copy, all their memory.
    gc.freeze()
    for number, chosen in enumerate(CASES):
        if sections and chosen.section not in sections:
            continue
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            # It ends as any process does, with all that runs then.
            _child(chosen, front, directory, str(number))
            return
        deadline = time.monotonic() + 60
        while True:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                statuses[str(number)] = os.waitstatus_to_exitcode(status)
                break
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                statuses[str(number)] = errno.ETIMEDOUT
                break
            time.sleep(0.002)
    print(json.dumps(statuses))


if __name__ == "__main__":
    main(*sys.argv[1:])
