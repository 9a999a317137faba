"""What the tests of all adapters start from."""

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("contract")

from contract import Lines  # noqa: E402 - after its assertions are to be shown

from dockerflow import checks  # noqa: E402
from mozlog_py.testing import capture_lines  # noqa: E402


@pytest.fixture
def lines() -> Iterator[Lines]:
    with capture_lines() as captured:
        yield Lines(captured)


@pytest.fixture(autouse=True)
def no_checks() -> Iterator[None]:
    checks.clear_checks()
    yield
    checks.clear_checks()
