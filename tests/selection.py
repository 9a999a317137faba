"""Which tests start processes, so that ``make quick`` leaves them out.

A test starts a process if its own code, the code of a fixture that it asks for, or
the code of the tests that one of these uses refers to a module or function that
does. A new test needs no mark of its own, unless it starts one by a method of an
object that it is given; then it has to be marked with ``pytest.mark.processes``.
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
_MODULES = (multiprocessing, subprocess)
_MODULE_NAMES = {module.__name__ for module in _MODULES}
_OS_FUNCTIONS = {"fork", "forkpty", "posix_spawn", "posix_spawnp", "system"}
_METHODS = {"runpytest_subprocess"}


def mark_processes(items: list[pytest.Item]) -> None:
    """Add the marker ``processes`` to each test that starts a process.

    Args:
        items: The tests that pytest has collected.
    """
    known: dict[object, bool] = {}
    for item in items:
        in_a_slow_folder = TESTS in item.path.parents and (
            item.path.relative_to(TESTS).parts[0] in _FOLDERS
        )
        if in_a_slow_folder or any(starts_processes(each, known) for each in _code_of(item)):
            item.add_marker("processes")


def starts_processes(value: object, known: dict[object, bool]) -> bool:
    """Return whether a function or class of the tests refers to a way to start a process.

    Args:
        value: The function or class; anything else starts none.
        known: What is known of others, which this adds to.

    Returns:
        True if it does itself, or by another function or class of the tests.
    """
    if isinstance(value, type):
        parts = [inspect.unwrap(part) for part in vars(value).values() if callable(part)]
        parts += [part.fget for part in vars(value).values() if isinstance(part, property)]
        parts += value.__bases__
    elif callable(value):
        parts = [inspect.unwrap(value)]
    else:
        return False
    found = False
    for part in parts:
        if isinstance(part, type) and inspect.getmodule(part) in _MODULES:
            found = True
        elif isinstance(part, (FunctionType, type)) and _is_of_the_tests(part):
            if part not in known:
                known[part] = False  # while it is looked at: it may refer to itself
                known[part] = (
                    starts_processes(part, known)
                    if isinstance(part, type)
                    else _refers_to_processes(part, known)
                )
            found |= known[part]
    return found


def _refers_to_processes(function: FunctionType, known: dict[object, bool]) -> bool:
    names = set(_names_in(function.__code__))
    reachable = inspect.getclosurevars(function).nonlocals | {
        name: function.__globals__[name] for name in names if name in function.__globals__
    }
    # A method refers to others of its class by attributes of ``self``.
    around = function.__globals__.get(function.__qualname__.partition(".")[0])
    for value in [around, *reachable.values()]:
        if isinstance(value, (ModuleType, type)) and _is_of_the_tests(value):
            reachable |= {name: vars(value)[name] for name in names if name in vars(value)}
    if names & (_MODULE_NAMES | _METHODS) or (names & _OS_FUNCTIONS and os in reachable.values()):
        return True
    return any(
        inspect.getmodule(value) in _MODULES or starts_processes(value, known)
        for value in reachable.values()
        if callable(value) or isinstance(value, ModuleType)
    )


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)


def _is_of_the_tests(value: FunctionType | type | ModuleType) -> bool:
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
