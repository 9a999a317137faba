"""The servers of the field, each started once for all tests that ask it."""

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("stack")

from stack import Stack, Stacks  # noqa: E402 - after its assertions are to be shown


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "shows(framework, column, text): a cell of the table in docs/dockerflow.md"
    )


@pytest.fixture(scope="session")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stacks]:
    running = Stacks(tmp_path_factory.mktemp("field"))
    yield running
    running.stop()


@pytest.fixture
def stack(stacks: Stacks, server: str) -> Stack:
    """The server that the test's parameter ``server`` names."""
    return stacks[server]
