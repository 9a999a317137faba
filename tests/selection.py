"""Marks each test with what it starts, so that ``make quick`` and ``-m`` can leave it out.

A test is marked by the functions and classes of the tests that its own code reaches: through the
fixtures that it asks for, through its parameters and through what these call. A new test needs
no mark of its own, unless it starts a process by a method of an object that it is given, or takes
long; then it has ``pytest.mark.processes`` or ``pytest.mark.slow``.
"""

from __future__ import annotations

import functools
import inspect
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import pytest

TESTS = Path(__file__).resolve().parent

#: The folders in which no test is quick: faults and real servers.
_FOLDERS = ("faults", "field")
#: A test that reaches one of these modules of the tests has this marker.
_MARKERS = {
    "serving": "servers",
    "stack": "servers",
    "sanic_server": "servers",
    "real_servers": "servers",
    "services": "databases",
    "harness": "faults",
}
_MODULES = (multiprocessing, subprocess)
_MODULE_NAMES = {module.__name__ for module in _MODULES}
_OS_FUNCTIONS = {"fork", "forkpty", "posix_spawn", "posix_spawnp", "system"}
_METHODS = {"runpytest_subprocess"}

_FUNCTIONS = (FunctionType, functools._lru_cache_wrapper)

#: A function, a class or a module of the tests.
_Part = FunctionType | type | ModuleType


def mark_all(items: list[pytest.Item]) -> None:
    """Add the markers ``processes``, ``servers``, ``databases`` and ``faults`` to tests.

    Args:
        items: The tests that pytest has collected.
    """
    for item in items:
        if TESTS not in item.path.parents:
            continue
        folder = item.path.relative_to(TESTS).parts[0]
        found = {
            marker
            for value in _code_of(item)
            # A value of a parameter may have a class that refuses to be hashed.
            if issubclass(type(value), (*_FUNCTIONS, type))
            for marker in markers_of(value)
        }
        if folder in _FOLDERS:
            found.add("processes")
        if folder == "faults":
            found.add("faults")
        for marker in sorted(found):
            item.add_marker(marker)


@functools.cache
def markers_of(value: object) -> frozenset[str]:
    """Return the markers of a test by what its code reaches.

    Args:
        value: The test's function or class; another object has no markers.

    Returns:
        The names of the markers.
    """
    found = set()
    for part in _reached_from(value):
        if _starts_a_process(part):
            found.add("processes")
        name = part.__name__ if isinstance(part, ModuleType) else part.__module__
        marker = _MARKERS.get(name.rpartition(".")[2])
        if marker is not None:
            found.add(marker)
    return frozenset(found)


def _reached_from(value: object) -> set[_Part]:
    reached: set[_Part] = set()
    waiting = list(_parts_of_the_tests([value]))
    while waiting:
        part = waiting.pop()
        if part not in reached:
            reached.add(part)
            waiting += _referred_to_by(part)
    return reached


@functools.cache
def _referred_to_by(part: _Part) -> tuple[_Part, ...]:
    if isinstance(part, ModuleType):
        return ()
    if isinstance(part, type):
        members = [
            each.fget if isinstance(each, property) else getattr(each, "__func__", each)
            for each in vars(part).values()
        ]
        return tuple(_parts_of_the_tests([*members, *part.__bases__]))
    return tuple(_parts_of_the_tests(_values_named_in(part)))


def _parts_of_the_tests(values: list[object]) -> Iterator[_Part]:
    for value in values:
        # A function behind a decorator; a static method and a class method are callable.
        part = inspect.unwrap(value) if callable(value) else value
        if isinstance(part, (FunctionType, type, ModuleType)) and _is_of_the_tests(part):
            yield part


def _values_named_in(function: FunctionType) -> list[object]:
    names = set(_names_in(function.__code__))
    reachable = inspect.getclosurevars(function).nonlocals | {
        name: function.__globals__[name] for name in names if name in function.__globals__
    }
    # A method refers to others of its class by attributes of ``self``.
    around = function.__globals__.get(function.__qualname__.partition(".")[0])
    for value in [around, *reachable.values()]:
        if isinstance(value, (ModuleType, type)) and _is_of_the_tests(value):
            reachable |= {name: vars(value)[name] for name in names if name in vars(value)}
    # A module counts by what is used of it, and not as a whole.
    return [value for value in reachable.values() if not isinstance(value, ModuleType)]


@functools.cache
def _starts_a_process(part: _Part) -> bool:
    """Return whether a function or class itself refers to a way to start a process."""
    if isinstance(part, ModuleType):
        return False
    if isinstance(part, type):
        return any(inspect.getmodule(base) in _MODULES for base in part.__bases__)
    names = set(_names_in(part.__code__))
    values = list(inspect.getclosurevars(part).nonlocals.values())
    values += [part.__globals__[name] for name in names if name in part.__globals__]
    return (
        bool(names & (_MODULE_NAMES | _METHODS))
        or (bool(names & _OS_FUNCTIONS) and os in values)
        or any(
            inspect.getmodule(value) in _MODULES
            for value in values
            if callable(value) or isinstance(value, ModuleType)
        )
    )


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)


def _is_of_the_tests(value: _Part) -> bool:
    name = value.__name__ if isinstance(value, ModuleType) else value.__module__
    return _is_module_of_the_tests(name)


@functools.cache
def _is_module_of_the_tests(name: str) -> bool:
    file = getattr(sys.modules.get(name), "__file__", None)
    return file is not None and TESTS in Path(file).parents


def _code_of(item: pytest.Item) -> Iterator[object]:
    if isinstance(item, pytest.Function):
        test = item.function
        # Hypothesis puts a function of its own around the test.
        yield getattr(getattr(test, "hypothesis", None), "inner_test", test)
        for definitions in item._fixtureinfo.name2fixturedefs.values():
            for definition in definitions:
                yield definition.func
        if hasattr(item, "callspec"):
            # By their exact types: some parameters are hostile to any question.
            yield from (
                value for value in item.callspec.params.values() if type(value) in _FUNCTIONS
            )
