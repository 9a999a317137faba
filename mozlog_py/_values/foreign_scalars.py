"""Numbers, booleans and dates of numpy, pandas and pyarrow as plain values.

Their types are found among the loaded modules and compared by identity. The attributes of a
value do not decide. None of these libraries is imported here. Polars has no scalars of its own:
its rows hold Python's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

from .class_lookup import comes_from, is_kind, loaded_type
from .plain_types import is_scalar

__all__ = ["reader_of"]

_PACKAGES: Final = frozenset({"numpy", "pandas", "pyarrow"})
_PANDAS: Final = frozenset({"pandas"})


def reader_of(kind: type) -> Callable[[Any], Any] | None:
    """Return the function that reads values of a foreign scalar's type; None for other types.

    Its result may be of any type, and the caller cleans it in turn. It raises what the
    value's own code raises.
    """
    if not comes_from(kind, _PACKAGES):
        return None
    if is_kind(kind, "numpy", "generic"):
        return _numpy_value
    # A lazy module would import itself on the access of an attribute.
    if comes_from(kind, _PANDAS) and "pandas" in sys.modules:
        if kind is type(getattr(sys.modules["pandas"], "NaT", None)):
            return str
        if is_kind(kind, "pandas", "Timestamp"):
            # datetime.isoformat() would show another year for one beyond Python's range.
            return _pandas_isoformat
        if any(is_kind(kind, "pandas", name) for name in ("Timedelta", "Period", "Interval")):
            return str
    if is_kind(kind, "pyarrow", "Scalar"):
        return _pyarrow_value
    return None


def _numpy_value(value: Any) -> Any:
    kind = type(value)
    if is_kind(kind, "numpy", "datetime64") or is_kind(kind, "numpy", "timedelta64"):
        # Python's types would lose nanoseconds, and item() returns a number beyond Python's years.
        return str(value)
    plain = loaded_type("numpy", "generic").item(value)  # type: ignore[union-attr]
    # Complex numbers, and floats of more digits than Python's, are no scalars of JSON.
    return plain if is_scalar(type(plain)) or type(plain) is bytes else str(value)


def _pandas_isoformat(value: Any) -> Any:
    return loaded_type("pandas", "Timestamp").isoformat(value)  # type: ignore[union-attr]


def _pyarrow_value(value: Any) -> Any:
    try:
        return value.as_py()
    except (OverflowError, ValueError):
        # A date beyond the range of Python's.
        kind = type(value)
        if is_kind(kind, "pyarrow", "Date32Scalar") or is_kind(kind, "pyarrow", "Date64Scalar"):
            return value.cast(sys.modules["pyarrow"].string()).as_py()
        return f"{value.value} {value.type}"
