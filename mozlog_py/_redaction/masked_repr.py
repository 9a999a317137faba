"""The text of a ``repr`` without the values that stand behind the names of credentials.

Objects are shown by their ``repr``. Those that Python and its libraries generate give a name and
the ``repr`` of a value: ``Login(user='ann', password='tulip')``, ``{'password': 'tulip'}``,
``[(b'cookie', b'a=b')]``. There the value is replaced. Where it cannot be told from the text
what belongs to the value, nothing is returned and the object is hidden as a whole.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from mozlog_py._values.class_lookup import slots_of
from mozlog_py._values.plain_types import is_scalar

__all__ = ["MaskedRepr", "mask", "secret_texts", "shows"]

# What a name may stand in front of: a keyword argument or member (name=), an item of a dict
# ('name':), and a pair (('name', ). Not the parameter of a URL (?name=).
_NAMES: Final = re.compile(
    r"""
      (?<![\w?&/=%+-]) (?P<keyword> [^\W\d]\w* ) =(?!=)
    | [bBuU]? (?P<quote> ['"] ) (?P<literal> (?: (?!(?P=quote)) [^\\\n] | \\. ){1,128} )
      (?P=quote) (?: \s*:\s* | (?P<pair> ,\s ) )
    """,
    re.VERBOSE,
)
_LITERAL: Final = re.compile(
    r"""[bBrRuU]{0,2}(?:'(?:[^'\\]|\\.)*(?P<end1>')?|"(?:[^"\\]|\\.)*(?P<end2>")?)""", re.DOTALL
)
_BARE: Final = re.compile(
    r"(?:[-+]?(?:[0-9][0-9_]*\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?j?|True|False|\.\.\.|nan|-?inf)"
)
_CALL: Final = re.compile(r"(?:[^\W\d][\w.]*)?[(\[{<]")
_NONE: Final = re.compile(r"None(?![\w.(\[])")
_DELIMITER: Final = re.compile(r"\s|[,)\]}>;]|\Z")
# A text without quotes may have blanks in it.
_END_OF_BARE: Final = re.compile(r"[,)\]}>;]|\s*\Z|\s+[^\W\d]\w*=|\s+>")
_BRACKETS: Final = {"(": ")", "[": "]", "{": "}", "<": ">"}
_TOKEN: Final = re.compile(
    r"""[bBrRuU]{0,2}(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|[()\[\]{}<>]""", re.DOTALL
)

# So many objects are looked into for what a repr may show of them.
_MAX_OBJECTS: Final = 16
_LEAST_OF_OTHERS: Final = 4


class MaskedRepr(str):
    """A text that stands for an object, in a container that is shown by its ``repr`` as well."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return the text as it is, without quotes."""
        return str.__str__(self)


def mask(text: str, is_secret: Callable[[str], bool], marker: str) -> str | None:
    """Return a ``repr`` with the values of secret names replaced; None where that is impossible.

    Args:
        text: What ``repr`` has returned. It may be cut at its end.
        is_secret: Returns whether a name is that of a credential.
        marker: What stands in place of a value.
    """
    out: list[str] = []
    done = at = 0
    while (found := _NAMES.search(text, at)) is not None:
        # A value may have names in it, and a literal that is no name may be in front of one.
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
    """Return where the ``repr`` of a value ends that begins at an index; None if none does."""
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
    """Return where a bracket is closed; the end of the text where it is not."""
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
            # They do not fit: it is no text that was generated.
            return len(text)
    return len(text)


def secret_texts(value: Any, is_secret: Callable[[str], bool]) -> list[str]:
    """Return the texts of attributes that are named as credentials, of an object and those in it.

    No code of the objects is run. Short ones of further objects are left out: they stand in
    other texts by chance.
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
    """Return what an object holds under names: its dict, its slots, or the items that it has."""
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
            # It was not set.
            continue
    return out


def shows(text: str, secret: str) -> bool:
    """Return whether a text has another in it, which is not a part of a word of it."""
    at = text.find(secret)
    while at >= 0:
        before, after = text[at - 1 : at], text[at + len(secret) : at + len(secret) + 1]
        if not (_is_word(before) and _is_word(secret[0])) and not (
            _is_word(after) and _is_word(secret[-1])
        ):
            return True
        at = text.find(secret, at + 1)
    return False


def _is_word(character: str) -> bool:
    return character == "_" or character.isalnum()
