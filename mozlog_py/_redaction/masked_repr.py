"""The text of a ``repr`` without the values of credentials.

A line shows objects by their ``repr``. Python and its libraries generate texts with names and the
``repr`` of values: ``Login(user='ann', password='tulip')``, ``{'password': 'tulip'}``,
``[(b'cookie', b'a=b')]``. In these the value is replaced. If the text does not show where a value
ends, no text is returned and the caller hides the whole object.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from mozlog_py._process.lazy_pattern import lazy_pattern
from mozlog_py._values.class_lookup import slots_of
from mozlog_py._values.dict_items import thawed
from mozlog_py._values.plain_types import is_scalar

__all__ = ["MaskedRepr", "mask_repr", "secret_attribute_texts"]

# A name and what follows it: a keyword argument or member (name=), an item of a dict ('name':),
# and a pair (('name', ). Not the parameter of a URL (?name=).
_NAMES: Final = lazy_pattern(
    r"""
      (?<![\w?&/=%+-]) (?P<keyword> [^\W\d]\w* ) =(?!=)
    | [bBuU]? (?P<quote> ['"] ) (?P<literal> (?: (?!(?P=quote)) [^\\\n] | \\. ){1,128} )
      (?P=quote) (?: \s*:\s* | (?P<pair> ,\s ) )
    """,
    re.VERBOSE,
)
_LITERAL: Final = lazy_pattern(
    r"""[bBrRuU]{0,2}(?:'(?:[^'\\]|\\.)*(?P<end1>')?|"(?:[^"\\]|\\.)*(?P<end2>")?)""", re.DOTALL
)
_BARE: Final = lazy_pattern(
    r"(?:[-+]?(?:[0-9][0-9_]*\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?j?|True|False|\.\.\.|nan|-?inf)"
)
_CALL: Final = lazy_pattern(r"(?:[^\W\d][\w.]*)?[(\[{<]")
_NONE: Final = lazy_pattern(r"None(?![\w.(\[])")
_DELIMITER: Final = lazy_pattern(r"\s|[,)\]}>;]|\Z")
# A value without quotes may hold blanks.
_END_OF_BARE: Final = lazy_pattern(r"[,)\]}>;]|\s*\Z|\s+[^\W\d]\w*=|\s+>")
_BRACKETS: Final = {"(": ")", "[": "]", "{": "}", "<": ">"}
_TOKEN: Final = lazy_pattern(
    r"""[bBrRuU]{0,2}(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|[()\[\]{}<>]""", re.DOTALL
)

# How many objects are searched for texts that a repr may show.
_MAX_OBJECTS: Final = 16
_LEAST_OF_OTHERS: Final = 4


class MaskedRepr(str):
    """A text in place of an object, whose ``repr`` in a container is the text itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return the text as it is, without quotes."""
        return str.__str__(self)


def mask_repr(text: str, is_secret: Callable[[str], bool], marker: str) -> str | None:
    """Return a ``repr`` with the values of secret names replaced; None where that is impossible.

    Args:
        text: The result of ``repr``. It may be cut at its end.
        is_secret: Returns whether a name is that of a credential.
        marker: Stands in place of a value.
    """
    out: list[str] = []
    done = at = 0
    while (found := _NAMES.search(text, at)) is not None:
        # A value may hold names, and a literal may stand in front of a name.
        at = found.end() if found["keyword"] else found.start() + 1
        name = found["keyword"] or found["literal"]
        is_pair = found["pair"] is not None and text[found.start() - 1 : found.start()] not in "(["
        if is_pair or not name or not is_secret(name):
            continue
        begin = found.end()
        if _NONE.match(text, begin):
            continue
        end = _end_of_value(text, begin)
        if end is None:
            return None
        out += text[done:begin], repr(marker)
        done = at = end
    out.append(text[done:])
    return "".join(out)


def _end_of_value(text: str, begin: int) -> int | None:
    """Return where the ``repr`` of a value ends that begins at an index; None if unknown."""
    if begin >= len(text):
        return begin
    literal = _LITERAL.match(text, begin)
    if literal is not None:
        if literal["end1"] is None and literal["end2"] is None:
            # The text was cut within the value.
            return len(text)
        end = literal.end()
    elif (bare := _BARE.match(text, begin)) is not None:
        return bare.end() if _END_OF_BARE.match(text, bare.end()) else None
    elif (call := _CALL.match(text, begin)) is not None:
        end = _end_of_brackets(text, call.end() - 1)
    else:
        return None
    return end if _DELIMITER.match(text, end) else None


def _end_of_brackets(text: str, begin: int) -> int:
    """Return where a bracket is closed; the end of the text if it is not closed."""
    open_ = [_BRACKETS[text[begin]]]
    at = begin + 1
    while (token := _TOKEN.search(text, at)) is not None:
        at = token.end()
        bracket = token[0]
        if len(bracket) > 1:
            # A literal.
            continue
        if bracket in _BRACKETS:
            open_.append(_BRACKETS[bracket])
        elif bracket == open_[-1]:
            open_.pop()
            if not open_:
                return at
        elif bracket != ">":
            # The brackets do not match, so the text was not generated from values.
            return len(text)
    return len(text)


def secret_attribute_texts(value: Any, is_secret: Callable[[str], bool]) -> list[str]:
    """Return the texts of attributes with names of credentials, in an object and those below.

    No code of the objects is run. Short texts of the objects below are left out, since they
    occur in other texts by chance.

    Args:
        value: The object.
        is_secret: Returns whether a name is that of a credential.
    """
    texts: list[str] = []
    waiting, least = deque([value]), 1
    for _ in range(_MAX_OBJECTS):
        if not waiting:
            break
        for name, held in _attributes(waiting.popleft()):
            kind = type(held)
            if held is None or kind is bool or type(name) is not str:
                continue
            if is_secret(name):
                text = _text(held, kind)
                if len(text) >= least:
                    texts.append(text)
            elif not is_scalar(kind) and len(waiting) < _MAX_OBJECTS:
                waiting.append(held)
        least = _LEAST_OF_OTHERS
    return texts


def _text(held: Any, kind: type) -> str:
    if issubclass(kind, str):
        return str.__str__(held)
    if issubclass(kind, bytes):
        return bytes.decode(held, "latin-1")
    return repr(held) if kind is int or kind is float else ""


def _attributes(value: Any) -> list[tuple[Any, Any]]:
    """Return the names and values that an object holds in its dict, its slots, or as items."""
    value = thawed(value)
    kind = type(value)
    if kind is dict:
        return [*dict.items(dict.copy(value))]
    if kind is list or kind is tuple:
        return [("", item) for item in value[:_MAX_OBJECTS]]
    out: list[tuple[Any, Any]] = []
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        own = None
    if type(own) is dict:
        out += dict.items(dict.copy(own))
    for name, descriptor in slots_of(kind):
        try:
            out.append((name, descriptor.__get__(value, kind)))
        except AttributeError:
            # The slot is empty.
            continue
    return out
