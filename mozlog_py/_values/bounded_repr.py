"""The ``repr`` of a value, made of the starts of its long texts.

A ``repr`` is cut at some thousand characters, and Python takes a hundred milliseconds for that of
an exception that holds a body of some megabytes, as ``UnicodeDecodeError`` does. So long texts are
cut first. The code of a value's own class runs unchanged.
"""

from __future__ import annotations

import builtins
from itertools import islice
from typing import Any, Final

from .class_lookup import class_attribute, type_name
from .mask_registry import MARGIN, MAX_WINDOWS

__all__ = ["bounded_repr"]

# Characters, or bytes, that are kept of a text. A mask reads so many in front of and behind a cut,
# and no text has more characters than its repr.
_MOST: Final = MARGIN + MAX_WINDOWS
# Exceptions that are looked at, in all groups together, and groups in each other.
_MAX_EXCEPTIONS: Final = 1000
_MAX_DEPTH: Final = 8

_slots = vars(BaseException)
_args_of: Final[Any] = _slots["args"].__get__
_GROUP: Final[Any] = getattr(builtins, "BaseExceptionGroup", None)
# Python's own methods, which show the arguments. Newer versions have one for groups.
_REPR: Final = _slots["__repr__"]
_GROUP_REPR: Final = vars(_GROUP or BaseException).get("__repr__", _REPR)


def bounded_repr(value: Any) -> tuple[str, int]:
    """Return the start of ``repr(value)``, and how many characters of long texts it lacks.

    Only texts, bytes, and exceptions that Python shows by their arguments are shortened, and no
    text of up to 40,960 characters.

    Raises:
        BaseException: What the value's own code raises.
    """
    kind = type(value)
    if kind is str or kind is bytes:
        return repr(value[:_MOST]), max(0, len(value) - _MOST)
    if issubclass(kind, BaseException):
        story = _Shortened()
        if story.is_long(value):
            return story.error(value), story.left_out
    return str.__str__(repr(value)), 0


class _Shortened:
    """The ``repr`` of one exception with long texts, and of those in its group."""

    __slots__ = ("_depth", "_left", "left_out")

    def __init__(self) -> None:
        self._left = _MAX_EXCEPTIONS
        self._depth = 0
        #: The characters of long texts that it lacks.
        self.left_out = 0

    def is_long(self, value: Any) -> bool:
        """Return whether Python's own code shows an exception, with a long text in it."""
        self._left -= 1
        # The texts first: few exceptions have a long one, and the class has many bases.
        if self._left < 0 or not self._has_long_text(value):
            return False
        method = class_attribute(type(value), "__repr__")
        # By identity: the attribute of a class may lie about its equality.
        return method is _REPR or method is _GROUP_REPR

    def _has_long_text(self, value: Any) -> bool:
        for arg in _args_of(value):
            kind = type(arg)
            if kind is str or kind is bytes:
                if len(arg) > _MOST:
                    return True
            elif _are_members(arg, value) and self._depth < _MAX_DEPTH:
                self._depth += 1
                try:
                    if any(map(self._is_long_member, islice(arg, max(0, self._left)))):
                        return True
                finally:
                    self._depth -= 1
        return False

    def error(self, value: Any) -> str:
        """Return the ``repr`` of an exception, of which ``is_long`` holds."""
        shown = []
        for arg in _args_of(value):
            if _are_members(arg, value):
                shown.append(self._members(arg))
            else:
                text, left_out = bounded_repr(arg)
                self.left_out += left_out
                shown.append(text)
        return f"{type_name(type(value))}({', '.join(shown)})"

    def _members(self, members: Any) -> str:
        shown, size = [], 0
        self._depth += 1
        for member in members:
            text = self.error(member) if self._is_long_member(member) else repr(member)
            shown.append(text)
            size += len(text)
            if size > _MOST:
                # The others are behind every cut.
                break
        self._depth -= 1
        inner = ", ".join(shown)
        if type(members) is list:
            return f"[{inner}]"
        return f"({inner},)" if len(members) == 1 else f"({inner})"

    def _is_long_member(self, member: Any) -> bool:
        return issubclass(type(member), BaseException) and self.is_long(member)


def _are_members(arg: Any, value: Any) -> bool:
    """Return whether an argument of an exception has the members of its group."""
    is_group = _GROUP is not None and issubclass(type(value), _GROUP)
    return is_group and (type(arg) is list or type(arg) is tuple)
