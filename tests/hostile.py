"""Values that do their worst when they are logged, for any test that needs them."""

from __future__ import annotations

import datetime
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from hypothesis import strategies as st

if sys.version_info >= (3, 11):
    from builtins import BaseExceptionGroup, ExceptionGroup
else:  # pytest itself depends on the backport there
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup

__all__ = [
    "BaseExceptionGroup",
    "ExceptionGroup",
    "Hostile",
    "HostileDict",
    "HostileFloat",
    "HostileInt",
    "HostileList",
    "HostileMeta",
    "HostileStr",
    "HostileTuple",
    "HugeRepr",
    "Liar",
    "LyingClass",
    "LyingDict",
    "LyingFloat",
    "LyingInt",
    "LyingList",
    "LyingStr",
    "NonStringRepr",
    "RaisingClass",
    "RaisingEquality",
    "RaisingHash",
    "RaisingProperty",
    "RaisingRepr",
    "RecursiveRepr",
    "SideEffectRepr",
    "Slotted",
    "Zone",
    "broken_uuid",
    "in_thread",
    "liars",
    "nested",
    "raised",
    "slotted_with_a_hole",
]


class Hostile(Exception):
    """The exception that hostile values raise."""


def _refuse(*_args: Any, **_kwargs: Any) -> NoReturn:
    raise Hostile


# What is left alone is what it takes to make an instance and to let it go.
_NEEDED = {
    "__class__",
    "__class_getitem__",
    "__delattr__",
    "__dict__",
    "__doc__",
    "__init__",
    "__init_subclass__",
    "__new__",
    "__setattr__",
    "__subclasshook__",
}


def _overrides(base: type) -> dict[str, Any]:
    """Return a class body in which everything that ``base`` can do raises."""
    return {name: _refuse for name in dir(base) if name not in _NEEDED}


HostileStr: Any = type("HostileStr", (str,), _overrides(str))
HostileInt: Any = type("HostileInt", (int,), _overrides(int))
HostileFloat: Any = type("HostileFloat", (float,), _overrides(float))
HostileDict: Any = type("HostileDict", (dict,), _overrides(dict))
HostileList: Any = type("HostileList", (list,), _overrides(list))
HostileTuple: Any = type("HostileTuple", (tuple,), _overrides(tuple))


class LyingStr(str):
    """Text that claims to be other text, though a dict can hold it."""

    __slots__ = ()

    def __str__(self) -> str:
        return "a lie"

    __repr__ = __str__

    def __getitem__(self, key: Any) -> Any:
        return object()

    def __len__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return 0

    def isascii(self) -> bool:
        return True

    def encode(self, *_args: Any, **_kwargs: Any) -> bytes:
        return b"a lie"


class LyingInt(int):
    def __int__(self) -> int:
        return 666

    def __index__(self) -> int:
        return 666

    def __pos__(self) -> int:
        return 666

    def __repr__(self) -> str:
        return "a lie"

    __str__ = __repr__

    def __ge__(self, other: object) -> bool:
        return True

    __le__ = __lt__ = __gt__ = __ge__

    def bit_length(self) -> int:
        return 1


class LyingFloat(float):
    def __float__(self) -> float:
        return 666.0

    def __pos__(self) -> float:
        return 666.0

    def __sub__(self, other: object) -> float:
        return 0.0

    def __repr__(self) -> str:
        return "a lie"

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    def __ge__(self, other: object) -> bool:
        return True

    __le__ = __lt__ = __gt__ = __ge__

    def __hash__(self) -> int:
        return 0


class LyingList(list[Any]):
    def __len__(self) -> int:
        return 10**9

    def __iter__(self) -> Any:
        return iter(["a lie"])

    def __getitem__(self, key: Any) -> Any:
        return "a lie"


class LyingDict(dict[Any, Any]):
    def __len__(self) -> int:
        return 10**9

    def __iter__(self) -> Any:
        return iter(["a lie"])

    def items(self) -> Any:
        return [("a", "lie")]

    def keys(self) -> Any:
        return ["a lie"]

    def copy(self) -> Any:
        return {"a": "lie"}


class RaisingRepr:
    """Raises the given exception when it is printed."""

    def __init__(self, error: BaseException | type[BaseException] = Hostile) -> None:
        self.error = error

    def __repr__(self) -> str:
        raise self.error


class RecursiveRepr:
    def __repr__(self) -> str:
        return repr(self)


class NonStringRepr:
    def __repr__(self) -> str:
        return 5  # type: ignore[return-value]


class HugeRepr:
    """Prints as ``size`` times the letter x."""

    def __init__(self, size: int = 100_000_000) -> None:
        self.size = size

    def __repr__(self) -> str:
        return "x" * self.size


class SideEffectRepr:
    """Does something when it is printed, and then prints as ``text``."""

    def __init__(self, action: Callable[[], object], text: str = "side effect") -> None:
        self.action = action
        self.text = text

    def __repr__(self) -> str:
        self.action()
        return self.text


class RaisingHash:
    """A dict key whose hash raises from the moment it is armed."""

    def __init__(self) -> None:
        self.is_armed = False

    def __hash__(self) -> int:
        if self.is_armed:
            raise Hostile
        return 1


class RaisingEquality:
    """A dict key whose comparison raises from the moment it is armed."""

    def __init__(self) -> None:
        self.is_armed = False

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        if self.is_armed:
            raise Hostile
        return self is other


class HostileMeta(type):
    """The metaclass of a class that answers no question about itself."""

    __name__ = property(_refuse)
    __mro__ = property(_refuse)
    __repr__ = _refuse
    __instancecheck__ = _refuse
    __subclasscheck__ = _refuse
    __hash__ = _refuse
    __eq__ = _refuse


class RaisingClass:
    """An object whose ``__class__`` raises, as a broken proxy's does."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise Hostile

    def __repr__(self) -> str:
        return "raising class"


class LyingClass:
    """An object that passes for an instance of another class, as proxies and mocks do."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return self._kind

    def __repr__(self) -> str:
        return "lying class"


@dataclass
class Slotted:
    __slots__ = ("here", "missing")

    here: int
    missing: int


def slotted_with_a_hole() -> Slotted:
    """Return a dataclass whose second slot was never set; orjson dies of it."""
    holed = object.__new__(Slotted)
    holed.here = 1
    return holed


@dataclass(init=False)
class RaisingProperty:
    fine: int
    # The annotation makes it a field, and the property below stands in its way.
    raising: int

    def __init__(self) -> None:
        self.fine = 1


RaisingProperty.raising = property(_refuse)  # type: ignore[assignment]


class Zone(datetime.tzinfo):
    """A time zone that gives, or raises, what it was told to."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def utcoffset(self, _when: datetime.datetime | None) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def dst(self, _when: datetime.datetime | None) -> Any:
        return self.utcoffset(_when)

    def tzname(self, _when: datetime.datetime | None) -> Any:
        return self.utcoffset(_when)


def _as_property(answer: Any) -> Any:
    return property(lambda _: answer)


#: What a metaclass may say of its class so that it passes for another one.
_LIES: dict[str, Callable[[type], dict[str, Any]]] = {
    "equality": lambda of: {"__eq__": lambda *_: True, "__hash__": lambda _: hash(of)},
    "one equality": lambda of: {"__eq__": lambda _, o: o is of, "__hash__": lambda _: hash(of)},
    "inequality": lambda _: {"__ne__": lambda *_: False},
    "no hash": lambda _: {"__hash__": None},
    "raising hash": lambda _: {"__hash__": _refuse, "__eq__": _refuse},
    "instances": lambda _: {"__instancecheck__": lambda *_: True},
    "subclasses": lambda _: {"__subclasscheck__": lambda *_: True},
    "refused checks": lambda _: {"__instancecheck__": _refuse, "__subclasscheck__": _refuse},
    "name": lambda of: {"__name__": _as_property(of.__name__)},
    "order of bases": lambda of: {"__mro__": _as_property(of.__mro__)},
    "length": lambda _: {"__len__": lambda _: 0, "__bool__": lambda _: False},
}

#: What such a class is in truth, and how an instance of it is made.
_SHAPES: dict[str, tuple[tuple[type, ...], Callable[[Any], Any]]] = {
    "object": ((), lambda kind: kind()),
    "dict": ((dict,), lambda kind: kind(password="tul1p")),
    "list": ((list,), lambda kind: kind([["password", "tul1p"]])),
    "tuple": ((tuple,), lambda kind: kind((("password", "tul1p"),))),
    "str": ((str,), lambda kind: kind("text")),
    "int": ((int,), lambda kind: kind(7)),
    "float": ((float,), lambda kind: kind(7.5)),
    "bytes": ((bytes,), lambda kind: kind(b"abc")),
    "datetime": ((datetime.datetime,), lambda kind: kind(1, 1, 1, tzinfo=Zone("nonsense"))),
    "dataclass": ((Slotted,), lambda kind: object.__new__(kind)),
}


@dataclass(frozen=True)
class Liar:
    """How to make an instance of a new class whose metaclass lies about it.

    It is no such instance itself: Hypothesis asks the classes of what it makes for their hash.
    """

    #: Names of ``_LIES``, which hold together.
    lies: tuple[str, ...]
    #: What the class is in truth, a name of ``_SHAPES``.
    shape: str
    #: The class that it passes for.
    of: type = str
    #: What an instance says is its ``__class__``.
    claimed: type | None = None
    #: What the instance stands in: itself, a list or a dict.
    place: str = "alone"

    def make(self) -> Any:
        """Make the instance; a container has a password in it, ``tul1p``."""
        answers: dict[str, Any] = {}
        for lie in self.lies:
            answers |= _LIES[lie](self.of)
        bases, make = _SHAPES[self.shape]
        body: dict[str, Any] = {"__slots__": ()}
        if self.shape == "dataclass":
            # The encoder looks for it in the class itself.
            body["__dataclass_fields__"] = vars(Slotted)["__dataclass_fields__"]
        if self.claimed is not None:
            body["__class__"] = _as_property(self.claimed)
        made = make(type("Lying", (type,), answers)("Lie", bases, body))
        return {"alone": made, "list": [made, 1], "dict": {"deep": (made,)}}[self.place]


def liars() -> st.SearchStrategy[Liar]:
    """Return a strategy for what makes instances of classes that lie about their type."""
    kinds = st.sampled_from([str, int, float, bool, type(None), dict, list, Mapping])
    return st.builds(
        Liar,
        st.sets(st.sampled_from(sorted(_LIES)), max_size=3).map(sorted).map(tuple),
        st.sampled_from(sorted(_SHAPES)),
        kinds,
        st.none() | kinds,
        st.sampled_from(["alone", "list", "dict"]),
    )


def broken_uuid() -> uuid.UUID:
    """Return a UUID without its number."""
    return object.__new__(uuid.UUID)


def in_thread(action: Callable[[], object]) -> None:
    """Run something in another thread, and come back when it is done."""
    thread = threading.Thread(target=action)
    thread.start()
    thread.join()


def nested(depth: int, wrap: Callable[[Any], Any], innermost: Any = "innermost") -> Any:
    """Return ``innermost`` with ``depth`` containers around it."""
    value = innermost
    for _ in range(depth):
        value = wrap(value)
    return value


def raised(error: BaseException) -> BaseException:
    """Return an exception that was raised and caught, so that it has a traceback."""
    try:
        raise error
    except BaseException as caught:
        return caught
