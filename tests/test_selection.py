"""What ``make quick`` leaves out is found in the code of the tests and of what they use."""

import multiprocessing
import os
import subprocess
from contextlib import contextmanager

import pytest
import serving
from selection import markers_of
from services import Postgres


def plain() -> int:
    return sum([1, 2])


def by_the_module() -> None:
    subprocess.run(["true"], check=True)


def by_another_function() -> None:
    by_the_module()


def by_a_function_of_another_module() -> None:
    with serving.server(None, []):
        pass


def by_a_class_of_another_module() -> None:
    Postgres()


def by_a_function_within() -> None:
    def inner() -> None:
        os.fork()

    inner()


def by_an_import_within() -> None:
    from subprocess import run

    run(["true"], check=True)


def by_pytester(pytester: pytest.Pytester) -> None:
    pytester.runpytest_subprocess()


def by_multiprocessing() -> None:
    multiprocessing.Process()


@contextmanager
def around() -> None:
    by_the_module()
    yield


def by_a_context_manager() -> None:
    with around():
        pass


class InAClass:
    def starts(self) -> None:
        os.posix_spawn("true", [], {})

    def calls(self) -> None:
        self.starts()


def by_itself() -> None:
    by_itself()


@pytest.mark.parametrize(
    "function",
    [
        by_the_module, by_another_function, by_a_function_of_another_module,
        by_a_class_of_another_module, by_a_function_within, by_an_import_within, by_pytester,
        by_multiprocessing, by_a_context_manager, InAClass.calls,
    ],
    ids=lambda function: function.__name__,
)  # fmt: skip
def test_a_process_is_found(function) -> None:
    assert "processes" in markers_of(function)


@pytest.mark.parametrize("function", [plain, by_itself], ids=lambda function: function.__name__)
def test_a_function_that_starts_none_is_quick(function) -> None:
    assert markers_of(function) == set()


def test_a_function_that_imports_subprocess_for_others_alone_is_quick() -> None:
    assert "subprocess" in globals()
    assert markers_of(plain) == set()
