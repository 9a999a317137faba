"""What stands in for orjson where it cannot be imported: msgspec, or the standard library.

Both write most values as orjson does: the same escapes, no spaces, other characters as UTF-8. They
differ in a few values. orjson writes

- a float with an exponent as ``1e-7`` and ``1e+16``, and ``0.00001`` without one; ``repr`` writes
  ``1e-07`` and ``1e-05``, msgspec ``1e16``;
- null for NaN and the infinities;

and it raises ``TypeError`` for integers beyond 64 bits, for lone surrogates, and for keys that are
not texts. The form of the exponent is that of orjson 3.11.7 and later.

``tests/test_json_encoder.py`` holds the three encoders together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any, Final

from mozlog_py._values.plain_types import INT_MAX, INT_MIN

__all__ = ["has_common_form", "json_dumps", "loads", "msgspec_dumps", "written"]

# All encoders write floats between these two without an exponent.
_FLOAT_MIN: Final = 1e-4
_FLOAT_END: Final = 1e16

# A msgspec that does not write these like this is not used: its release differs from those that the
# tests compare.
_PROBE: Final[dict[str, Any]] = {
    "msg": '\0\x08\t\n\x0c\r\x1b"\\/\x7f\x85\xe9\u2028\U0001f600',
    "a": [1, -(2**63), 2**64 - 1, 0.1, -1.5, 1e15, 0.0001, 0.0, True, None],
    "b": ({}, [], "", {"\n": 1}),
}
_PROBED: Final = (
    '{"msg":"\\u0000\\b\\t\\n\\f\\r\\u001b\\"\\\\/\x7f\x85\xe9\u2028\U0001f600",'
    '"a":[1,-9223372036854775808,18446744073709551615,0.1,-1.5,1000000000000000.0,0.0001,0.0,'
    'true,null],"b":[{},[],"",{"\\n":1}]}'
)

# -- encoding --------------------------------------------------------------


def json_dumps(value: Any) -> bytes:
    """Encode a plain value with the standard library alone.

    Its ``JSONEncoder`` would need a look at all values first, since it writes some that orjson
    refuses. Both together take longer than one loop in Python does.

    Raises:
        TypeError: orjson refuses the value, or it is not of an exact plain type.
    """
    try:
        return written(value).encode()
    except UnicodeEncodeError:
        raise _lone_surrogate() from None


def written(value: Any) -> str:
    """Return a plain value as orjson writes it. A lone surrogate stays as it is.

    Raises:
        TypeError: As for ``json_dumps``.
    """
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if kind is dict:
        return _object(value)
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        if not INT_MIN <= value <= INT_MAX:
            raise TypeError("The integer has more than 64 bits; log it as text")
        return int.__repr__(value)
    if kind is float:
        return _float(value)
    if kind is list or kind is tuple:
        return f"[{','.join(map(written, value))}]"
    raise TypeError("The value has no JSON form; make it plain first")


def _object(value: dict[str, Any]) -> str:
    members = []
    for key, member in value.items():
        if type(key) is not str:
            raise TypeError("A key of the dict is not a text; use texts as keys")
        # The most frequent values are not worth a call.
        kind = type(member)
        if kind is str:
            members.append(f"{encode_basestring(key)}:{encode_basestring(member)}")
        elif kind is int and INT_MIN <= member <= INT_MAX:
            members.append(f"{encode_basestring(key)}:{member}")
        elif kind is float and _FLOAT_MIN <= member < _FLOAT_END:
            members.append(f"{encode_basestring(key)}:{member!r}")
        else:
            members.append(f"{encode_basestring(key)}:{written(member)}")
    return f"{{{','.join(members)}}}"


def _float(value: float) -> str:
    if value - value != 0:
        return "null"
    text = float.__repr__(value)
    if "e-0" not in text:
        return text
    digits, _, exponent = text.partition("e-0")
    if exponent != "5":
        return f"{digits}e-{exponent}"
    sign = "-" if value < 0 else ""
    return f"{sign}0.0000{digits.removeprefix('-').replace('.', '')}"


def msgspec_dumps() -> Callable[[Any], bytes] | None:
    """Return an encoder that writes with msgspec; None where it cannot be used."""
    try:
        # The function, and not an Encoder: that one's buffer is not for two threads.
        from msgspec import json as msgspec_json

        encode: Callable[[Any], bytes] = msgspec_json.encode
        if encode(_PROBE) != _PROBED.encode():
            return None
    except Exception:
        # It is missing, refuses to load in a subinterpreter, or is an old release.
        return None

    def dumps(value: Any) -> bytes:
        if not has_common_form(value):
            return json_dumps(value)
        try:
            return encode(value)
        except UnicodeEncodeError:
            raise _lone_surrogate() from None

    return dumps


def has_common_form(value: Any) -> bool:
    """Return whether msgspec writes a value as orjson does.

    Returns:
        False also for values of other than the exact plain types.
    """
    kind = type(value)
    if kind is dict:
        for key in value:
            if type(key) is not str:
                return False
        members = value.values()
    elif kind is list or kind is tuple:
        members = value
    else:
        members = (value,)
    for member in members:
        kind = type(member)
        if kind is str or kind is bool or member is None:
            continue
        if kind is int:
            if not INT_MIN <= member <= INT_MAX:
                return False
        elif kind is float:
            if not (
                _FLOAT_MIN <= member < _FLOAT_END
                or member == 0
                or -_FLOAT_END < member <= -_FLOAT_MIN
            ):
                return False
        elif not (kind is dict or kind is list or kind is tuple) or not has_common_form(member):
            return False
    return True


def _lone_surrogate() -> TypeError:
    return TypeError("A text has a lone surrogate, which UTF-8 cannot encode; escape it first")


# -- parsing ---------------------------------------------------------------

# An integer of more than 64 bits, or a number beyond all floats, has one of these.
_MAY_EXCEED: Final = re.compile("[0-9]{19}|[0-9][eE][+]?[0-9]{3}")
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


def loads(text: str | bytes) -> Any:
    """Parse one JSON document as orjson does.

    Args:
        text: The document; bytes are UTF-8.

    Raises:
        ValueError: The text is not JSON, has a lone surrogate, or a number that no float holds.
    """
    if isinstance(text, bytes):
        text = text.decode()
    elif not text.isascii():
        # Raises UnicodeEncodeError, which is a ValueError, for a lone surrogate.
        text.encode()
    try:
        value = (_BOUNDED if _MAY_EXCEED.search(text) else _DECODER).decode(text)
        if _SURROGATE.search(text):
            # A pair of escapes is one character; an escape without its other half is none.
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("The document is nested too deeply") from None
    return value


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value - value != 0:
        raise ValueError("The number is too large for a float")
    return value


def _integer(text: str) -> float:
    # Before int(), which raises for thousands of digits.
    if len(text) > 20:
        return _finite(text)
    value = int(text)
    return value if INT_MIN <= value <= INT_MAX else float(value)


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse)
_BOUNDED: Final = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite, parse_int=_integer)
