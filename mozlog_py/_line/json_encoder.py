"""The JSON encoder and parser of this package: the fastest of three that can be imported.

All code of this package encodes with ``dumps`` and parses with ``loads``. Both are orjson's own
functions where orjson can be imported: a wrapper would cost a tenth of a line. orjson refuses to
load in subinterpreters, and has no release for PyPy and for free-threaded builds. There msgspec
takes its place, or else the standard library's ``json``, with the same bytes
(``json_stand_ins``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

__all__ = ["JSON_ENCODER", "dumps", "loads"]

_Functions = tuple[str, Callable[[Any], bytes], Callable[[str | bytes], Any]]


def choose() -> _Functions:
    """Return the name of the encoder that this interpreter can use, its encoder and parser."""
    try:
        # The names, and not the module: another module of that name has not both.
        from orjson import dumps, loads
    except ImportError:
        pass
    else:
        return "orjson", dumps, loads
    from . import json_stand_ins

    by_msgspec = json_stand_ins.msgspec_dumps()
    if by_msgspec is not None:
        return "msgspec", by_msgspec, json_stand_ins.loads
    return "json", json_stand_ins.json_dumps, json_stand_ins.loads


_name, _dumps, _loads = choose()

#: The encoder that was taken: ``orjson``, ``msgspec`` or ``json``.
JSON_ENCODER: Final = _name

#: Encodes plain values as JSON in UTF-8, without spaces. Raises ``TypeError`` for what has no
#: such form: an integer beyond 64 bits, a lone surrogate, a key that is not a text. Writes null
#: for NaN and the infinities. The values have exact plain types (``_values.plain_types``).
dumps: Final = _dumps

#: Parses one JSON document. Raises ``ValueError`` for text that is not JSON, for lone surrogates
#: and for numbers that no float holds. Integers beyond 64 bits become floats.
loads: Final = _loads
