"""Exceptions to text: frames, chains, notes and groups, bounded and unforgeable.

The exception and its notes are rendered with ``repr``, so their text cannot begin a line or pass
for a frame. The ``repr`` of some exceptions lacks their ``str``: that of an ``OSError`` lacks the
file's name. A line with that text follows then, escaped and behind the name of the class.

An exception may carry a mask of its texts (``mask_exception``). Every function here applies it
to the exception, to those that led to it, and to the source lines.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, ClassVar, Final, Protocol, TypeGuard

from mozlog_py._process.lazy_pattern import lazy_pattern

from .class_lookup import class_attribute, loaded_type, module_of, type_name
from .foreign_tracebacks import looks_like_traceback
from .frame_cache import frames_text, one_line
from .mask_registry import masked_ends
from .sanitiser import MAX_REPR, Sanitiser
from .whole_word import has_word

__all__ = [
    "HEADER",
    "PYTHON_HEADER",
    "ErrorMask",
    "as_exc_info",
    "attributes_of",
    "cause_of",
    "context_of",
    "group_of_one",
    "leave_out_frames",
    "mask_exception",
    "mask_of",
    "masked_traceback",
    "python_traceback",
    "render_exception",
]

#: The first line of every rendered traceback; people search their logs for it.
HEADER: Final = "Uncaught exception:\n"

_MAX_EXCEPTIONS: Final = 50  # chains and groups together
_MAX_GROUP_WIDTH: Final = 10
_MAX_GROUP_DEPTH: Final = 8
_MAX_NOTES: Final = 20
_MAX_CHARACTERS: Final = 32_768

_CAUSE: Final = "\nThe exception above was the direct cause of the one below:\n\n"
_CONTEXT: Final = "\nWhile the exception above was being handled, the one below was raised:\n\n"
# Python's own sentences.
_PYTHON_CAUSE: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
_PYTHON_CONTEXT: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"
#: The first line of a traceback in Python's own format.
PYTHON_HEADER: Final = "Traceback (most recent call last):\n"

# A subclass may override these with a property; the slots of the base class stay true.
_slots = vars(BaseException)
#: Return an exception's cause, its context, and the dict of its attributes.
cause_of: Final[Callable[[BaseException], BaseException | None]] = _slots["__cause__"].__get__
context_of: Final[Callable[[BaseException], BaseException | None]] = _slots["__context__"].__get__
attributes_of: Final[Callable[[BaseException], dict[str, Any]]] = _slots["__dict__"].__get__
_is_context_hidden: Final[Callable[[BaseException], bool]] = _slots["__suppress_context__"].__get__
_frames_of: Final[Callable[[BaseException], TracebackType | None]] = _slots["__traceback__"].__get__

_qualified_name_of: Final[Callable[[type], str]] = type.__dict__["__qualname__"].__get__
_BARE_MODULES: Final = ("builtins", "__main__")

_class_repr: Final[Callable[[type], str]] = type.__dict__["__repr__"]
_args_of: Final[Callable[[BaseException], tuple[Any, ...]]] = _slots["args"].__get__
_STR: Final = _slots["__str__"]
_REPR: Final = _slots["__repr__"]
# Python's own exceptions with these two methods, by identity.
_PLAIN_EXCEPTIONS: Final = frozenset(
    id(kind)
    for kind in vars(builtins).values()
    if isinstance(kind, type)
    and issubclass(kind, BaseException)
    and class_attribute(kind, "__str__") is _STR
    and class_attribute(kind, "__repr__") is _REPR
)

_GROUP: Final[type | None] = getattr(builtins, "BaseExceptionGroup", None)

_NO_MARKS: Final[Mapping[str, Any]] = {}
# The mark of an exception whose frames are not shown.
_FRAMELESS: Final = "_mozlog_frameless"

# Characters of a long text that a cut repr surely shows.
_COMPARED: Final = MAX_REPR // 4

# The attribute of an exception that holds its mask.
_MASK: Final = "_mozlog_mask"
# Stands in place of a text that could not be masked.
_NOT_MASKED: Final = "<not shown: it could not be masked>"
# The end of a cut text, and the characters in front of it that may be half of a secret.
_CUT: Final = lazy_pattern(r"\.\.\. <truncated, [0-9]+ characters>[')\n]*\Z")
_MARGIN: Final = 1024
# Lines of a traceback that only name places. Masking them would only damage names of files.
_STRUCTURE: Final = lazy_pattern(
    r"""(?x)
    \s*(?:\|\s+)*
    (?: File\ ".*",\ line\ \d+(?:,\ in\ .*)?
      | <class\ '[\w.<>]+'>
      | Uncaught\ exception: | Traceback\ \(most\ recent\ call\ last\):
      | The\ (?:exception\ above|above\ exception)\ was\ the\ direct\ cause\ of\ .*
      | (?:While|During)\ .*exception.*
    ) \s* """
)

#: A class, an exception, and a traceback: the interpreter's, a traceback-like object, or None.
ExcInfo = tuple[Any, Any, Any]


def as_exc_info(exc_info: Any) -> ExcInfo | None:
    """Return ``(type, value, traceback)`` for a record's ``exc_info``.

    Args:
        exc_info: A flag, which asks for the exception that is being handled; an exception; a
            triple; or None.

    Returns:
        None where there is no exception.

    Raises:
        TypeError: The value is none of these.
    """
    if type(exc_info) is bool or type(exc_info) is int:
        exc_info = sys.exc_info() if exc_info else None
    if exc_info is None:
        return None
    if _is_exception(exc_info):
        return type(exc_info), exc_info, _frames_of(exc_info)
    if not (issubclass(type(exc_info), tuple) and tuple.__len__(exc_info) == 3):
        raise TypeError("exc_info is neither an exception nor a triple")
    kind, value, frames = tuple.__iter__(exc_info)
    if kind is None and value is None:
        return None
    if frames is None or type(frames) is TracebackType or looks_like_traceback(frames):
        return kind, value, frames
    return kind, value, _frames_of(value) if _is_exception(value) else None


class ErrorMask(Protocol):
    """An object that masks secrets in the texts of an exception."""

    def error(self, shown: str, text: str) -> str:
        """Return an exception's ``repr`` with its secrets masked.

        Args:
            shown: The ``repr``.
            text: The ``str`` of the exception; it may be empty.
        """
        ...

    def text(self, text: str) -> str:
        """Return a text with its secrets masked: of a note, or a line of a traceback."""
        ...


def mask_exception(error: BaseException, mask: ErrorMask) -> None:
    """Attach a mask to an exception, for every line about it. Never raises.

    Args:
        error: An exception, which keeps the mask. A later mask replaces it.
        mask: Masks the texts.
    """
    try:
        # Past the class's own __setattr__, which may refuse or raise.
        attributes_of(error)[_MASK] = mask
    except Exception:
        # It is no exception.
        pass


def masked_traceback(value: Any, text: str) -> str:
    """Return a finished traceback, masked by the exception's mask if it has one.

    Args:
        value: The exception.
        text: The traceback.
    """
    mask = mask_of(value)
    return text if mask is None else _masked_lines(text, mask)


def mask_of(value: Any) -> ErrorMask | None:
    """Return the mask of an exception; None where it has none, and for any other value."""
    return _marks_of(value).get(_MASK)


def _marks_of(value: Any) -> Mapping[str, Any]:
    """Return the attributes of an exception, which may mark it; none for any other value."""
    return attributes_of(value) if _is_exception(value) else _NO_MARKS


def _masked_lines(text: str, mask: ErrorMask) -> str:
    return "".join(
        line if _STRUCTURE.fullmatch(line) else _masked(mask.text, line)
        for line in text.splitlines(keepends=True)
    )


def _masked(mask: Callable[..., str], text: str, *further: str) -> str:
    cut = _CUT.search(text) if len(text) > MAX_REPR else None
    try:
        if cut is None:
            return str.__str__(mask(text, *further))
        # The cut may have split a secret, so the characters near it are left out.
        clean = str.__str__(mask(text[: cut.start()], *further))
        return f"{clean[:-_MARGIN]}{cut[0]}"
    except Exception:
        return f"{_NOT_MASKED}\n" if text.endswith("\n") else _NOT_MASKED


def leave_out_frames(error: BaseException) -> None:
    """Mark an exception, so that every line about it shows its text without frames.

    For exceptions that a client can cause with each request. Never raises.
    """
    try:
        # Past the class's own __setattr__, which may refuse or raise.
        attributes_of(error)[_FRAMELESS] = True
    except Exception:
        # It is no exception.
        pass


def _shown(exc_info: ExcInfo, marks: Mapping[str, Any]) -> ExcInfo:
    """Return an exception with the frames that its line shows."""
    return (exc_info[0], exc_info[1], None) if _FRAMELESS in marks else exc_info


def render_exception(exc_info: ExcInfo, sanitiser: Sanitiser) -> tuple[str, str]:
    """Return an exception's ``repr``, and its text behind those that led to it, oldest first.

    Never raises. The text has at most about 32,768 characters.
    """
    value = exc_info[1]
    marks = _marks_of(value)
    story = _Story(sanitiser, marks.get(_MASK))
    error = story.repr(exc_info[0] if value is None else value)
    story.out.append(HEADER)
    text = story.text(_shown(exc_info, marks), error)
    sanitiser.exception = exc_info, text
    return error, text


def python_traceback(exc_info: ExcInfo, sanitiser: Sanitiser) -> str:
    """Return the text of ``render_exception`` in Python's own format.

    Notes and members of groups keep the format of ``render_exception``: in Python's format a
    note could pass for a frame.
    """
    value = exc_info[1]
    marks = _marks_of(value)
    story = _PythonStory(sanitiser, marks.get(_MASK))
    error = story.repr(exc_info[0] if value is None else value)
    return story.text(_shown(exc_info, marks), error)


class _Story:
    """The text of one exception, its chain, its notes and its group."""

    __slots__ = ("left", "mask", "out", "sanitiser", "seen")

    cause_link: ClassVar[str] = _CAUSE
    context_link: ClassVar[str] = _CONTEXT

    def __init__(self, sanitiser: Sanitiser, mask: ErrorMask | None) -> None:
        self.sanitiser = sanitiser
        self.mask = mask
        self.out: list[str] = []
        self.left = _MAX_EXCEPTIONS
        self.seen: set[int] = set()

    def text(self, exc_info: ExcInfo, error: str) -> str:
        kind, value, frames = exc_info
        if _is_exception(value):
            self.chain(kind, value, frames, error, 0)
        else:
            self.block(kind, value, frames, error)
        text = "".join(self.out)
        if self.mask is not None:
            text = _masked_lines(text, self.mask)
        if len(text) > _MAX_CHARACTERS:
            self.sanitiser.add_reason("traceback truncated")
            half = _MAX_CHARACTERS // 2
            start, end = masked_ends(text, half, half)
            text = f"{start}\n[... {len(text)} characters in all ...]\n{end}"
        return text

    def repr(self, value: Any) -> str:
        """Return the ``repr`` of an exception, or of a class, with its secrets masked."""
        shown = self.sanitiser.repr(value)
        if self.mask is None:
            return shown
        text = self._text(value) if _is_exception(value) else ""
        return _masked(self.mask.error, shown, text)

    def chain(
        self,
        kind: Any,
        value: BaseException,
        frames: Any,
        error: str,
        depth: int,
    ) -> None:
        before = self._before(value)
        for earlier, link in reversed(before):
            if earlier is None:
                self.out.append("[earlier exceptions are left out here]\n")
            else:
                text = self.repr(earlier)
                self.block(type(earlier), earlier, _frames_of(earlier), text)
                self._group(earlier, depth)
            self.out.append(link)
        self.block(kind, value, frames, error)
        if id(type(value)) not in _PLAIN_EXCEPTIONS:
            self._group(value, depth)

    def block(self, kind: Any, value: Any, frames: Any, error: str) -> None:
        self.head(kind, value, frames, error)
        try:
            notes = getattr(value, "__notes__", None)
        except BaseException as raised:
            self.sanitiser.defer_interrupt(raised)
            self.sanitiser.add_reason("notes of an exception unreadable")
            return
        if notes is not None:
            self._notes(notes)

    def head(self, kind: Any, value: Any, frames: Any, error: str) -> None:
        self.out.append(frames_text(frames, self.sanitiser.defer_interrupt))
        self.out.append(f"{self._class_text(kind)}\n{one_line(error)}\n")
        if not _shows_its_text(value) and _is_exception(value):
            text = self._text(value)
            if self.mask is not None:
                text = _masked(self.mask.text, text)
            if text and not _has(error, text):
                self.out.append(f"{one_line(type_name(type(value)))}: {one_line(text)}\n")

    def _class_text(self, kind: Any) -> str:
        if type(kind) is type:
            # type.__repr__ runs no code of the class. Few classes have another metaclass.
            text = _class_repr(kind)
            if len(text) < MAX_REPR and text.isascii() and text.isprintable():
                return text
        return one_line(self.sanitiser.repr(kind))

    def _text(self, value: BaseException) -> str:
        """Return the ``str`` of an exception; an empty text where that raises."""
        try:
            text = str.__str__(_str_of(value)(value))
        except BaseException as raised:
            self.sanitiser.defer_interrupt(raised)
            return ""
        return self.sanitiser.text_of(text)

    def _before(self, value: BaseException) -> list[tuple[BaseException | None, str]]:
        """Return the exceptions that led to one, newest first, each with its link to the next."""
        before: list[tuple[BaseException | None, str]] = []
        self.seen.add(id(value))
        self.left -= 1
        at: BaseException | None = value
        while at is not None:
            link, earlier = self.cause_link, cause_of(at)
            if earlier is None and not _is_context_hidden(at):
                link, earlier = self.context_link, context_of(at)
            if earlier is not None:
                if id(earlier) in self.seen or self.left <= 0:
                    self.sanitiser.add_reason("exception chain cut")
                    earlier = None
                    before.append((None, link))
                else:
                    self.seen.add(id(earlier))
                    self.left -= 1
                    before.append((earlier, link))
            at = earlier
        return before

    def _notes(self, notes: Any) -> None:
        kind = type(notes)
        if issubclass(kind, (list, tuple)):
            base = list if issubclass(kind, list) else tuple
            size, shown = base.__len__(notes), [*base.__getitem__(notes, slice(0, _MAX_NOTES))]
        else:
            size, shown = 1, [notes]
        for note in shown:
            if self.mask is not None and issubclass(type(note), str):
                # The mask sees the text itself: its repr may have escaped quotes in a secret.
                text = repr(_masked(self.mask.text, self.sanitiser.text_of(note)))
            else:
                text = self.sanitiser.repr(note)
            self.out.append(f"note: {one_line(text)}\n")
        if size > _MAX_NOTES:
            self.out.append(f"[{size - _MAX_NOTES} more notes]\n")

    def _group(self, value: BaseException, depth: int) -> None:
        if not _is_group(type(value)):
            return
        try:
            members = tuple(value.exceptions)  # type: ignore[attr-defined]
        except BaseException as raised:
            self.sanitiser.defer_interrupt(raised)
            self.sanitiser.add_reason("members of an exception group unreadable")
            return
        if depth >= _MAX_GROUP_DEPTH:
            self.out.append(f"  [{len(members)} exceptions, nested too deeply]\n")
            return
        for count, member in enumerate(members[:_MAX_GROUP_WIDTH], 1):
            if self.left <= 0:
                self.out.append("  | [the others are left out here]\n")
                break
            outer, self.out = self.out, []
            error = self.repr(member)
            if _is_exception(member):
                self.chain(type(member), member, _frames_of(member), error, depth + 1)
            else:
                self.out.append(f"{one_line(error)}\n")
            inner = "".join(self.out)
            self.out = outer
            self.out.append(f"  +- exception {count} of {len(members)}\n")
            self.out.extend(f"  | {line}" for line in inner.splitlines(keepends=True))
        if len(members) > _MAX_GROUP_WIDTH:
            self.out.append(f"  +- [{len(members) - _MAX_GROUP_WIDTH} more exceptions]\n")


class _PythonStory(_Story):
    __slots__ = ()

    cause_link = _PYTHON_CAUSE
    context_link = _PYTHON_CONTEXT

    def head(
        self,
        kind: Any,  # noqa: ARG002
        value: Any,
        frames: Any,
        error: str,
    ) -> None:
        text = frames_text(frames, self.sanitiser.defer_interrupt)
        if text:
            self.out.append(f"{PYTHON_HEADER}{text}")
        if not _is_exception(value):
            self.out.append(f"{one_line(error)}\n")
            return
        text = self.sanitiser.call(str, value)
        shown = one_line(text if self.mask is None else _masked(self.mask.text, text))
        name = one_line(_qualified_name(type(value)))
        self.out.append(f"{name}: {shown}\n" if shown else f"{name}\n")


def _qualified_name(kind: type) -> str:
    """Return a class's name with its module, as Python's tracebacks have it."""
    module, name = module_of(kind), _qualified_name_of(kind)
    if type(module) is not str or module in _BARE_MODULES:
        return name
    return f"{module}.{name}"


def _str_of(value: BaseException) -> Callable[[Any], str]:
    """Return the function that makes an exception's text; for a group, that of its message.

    The ``str`` of a group repeats the number of its members, which the traceback shows.
    """
    group: Any = _group_type()
    kind: Any = type(value)
    if group is not None and issubclass(kind, group) and kind.__str__ is group.__str__:
        return _message_of_group
    return str


def _message_of_group(value: Any) -> str:
    return value.message  # type: ignore[no-any-return]


def _shows_its_text(value: Any) -> bool:
    """Return whether the ``repr`` of an exception contains its text, by their implementation.

    For most exceptions this avoids making both and searching one for the other.
    """
    kind = type(value)
    if id(kind) not in _PLAIN_EXCEPTIONS and not (
        class_attribute(kind, "__str__") is _STR and class_attribute(kind, "__repr__") is _REPR
    ):
        return False
    args = _args_of(value)
    # The text of several arguments is that of their tuple, which the repr contains as well.
    return len(args) != 1 or type(args[0]) is str


def _has(error: str, text: str) -> bool:
    """Return whether an exception's ``repr`` shows its text, as it is or with escapes.

    A text within a longer word or number of the ``repr`` does not count.
    """
    if len(error) > MAX_REPR:
        # The repr was cut, and the text may have been cut at another place.
        text = text[:_COMPARED]
        return text in error or repr(text)[1:-1] in error
    return has_word(error, text) or has_word(error, repr(text)[1:-1])


def _is_exception(value: Any) -> TypeGuard[BaseException]:
    # isinstance() would ask the value for its class, and the value may lie.
    return issubclass(type(value), BaseException)


def group_of_one(value: BaseException) -> BaseException | None:
    """Return the one exception that a group holds; None for other groups and exceptions."""
    if not _is_group(type(value)):
        return None
    held = value.exceptions  # type: ignore[attr-defined]
    is_one = type(held) is tuple and len(held) == 1 and _is_exception(held[0])
    return held[0] if is_one else None


def _is_group(kind: type) -> bool:
    group = _group_type()
    return group is not None and issubclass(kind, group)


def _group_type() -> type | None:
    # exceptiongroup is the backport for Python 3.10.
    return _GROUP or loaded_type("exceptiongroup", "BaseExceptionGroup")
