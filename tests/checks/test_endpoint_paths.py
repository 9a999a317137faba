"""The paths of the endpoints, for the bare cores and for adapters."""

import pytest

from dockerflow.endpoints import NAMES, endpoint_of


@pytest.mark.parametrize("name", NAMES)
def test_an_endpoint_is_found_with_one_slash_at_its_end_and_without(name: str) -> None:
    assert endpoint_of(f"/__{name}__") == endpoint_of(f"/__{name}__/") == name


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "__version__", "/__version__//", "//__version__", "/__version__\n",
        "/__version__/\n", "/__version__/x", "/__versions__", "/__VERSION__", "/a/__version__",
    ],
)  # fmt: skip
def test_no_other_path_is_an_endpoints(path: str) -> None:
    assert endpoint_of(path) is None
