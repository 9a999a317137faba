"""A line that is too long, made again with its longest texts cut.

Docker and many shippers split a line at 16 KiB, and the parts are no JSON.

The longest texts of the line are cut first, so that short ones stay whole: a request's id beside
a message of megabytes. Texts are cut by characters before any of them is encoded. So the line is
parsed once, and all other work depends on the limit and not on the length of the line.
"""

from __future__ import annotations

from typing import Any, Final

from mozlog_py._config.formatter_options import ENVELOPE
from mozlog_py._config.options import check_number
from mozlog_py._process.self_log import degraded
from mozlog_py._values.sanitiser import unique_key

from .degraded_note import DEGRADED, degrade
from .json_encoder import dumps, loads
from .unsafe_characters import DELETE, escape

__all__ = [
    "MAX_LINE_BYTES",
    "MIN_LINE_BYTES",
    "characters_in",
    "check_max_line_bytes",
    "cut",
    "finished",
    "fitted",
]

#: Bytes, the newline included: where Docker's json-file driver splits a line.
MAX_LINE_BYTES: Final = 16_384

#: Bytes; a smaller limit would leave no room beside the envelope.
MIN_LINE_BYTES: Final = 1024

# Shorter texts stay whole: a cut must save more than its mark takes.
_SHORTEST: Final = 96
# A character takes twelve bytes at most, as two escapes, so a text of no more is short.
_SURELY_SHORT: Final = _SHORTEST // 12
# The Fields that are left out last: people find a line, and understand its failure, by them.
_KEPT: Final = (DEGRADED, "rid", "trace_id", "span_id", "msg", "error", "traceback")
_MARK: Final = "...<{} characters cut>...".format
_MARK_BYTES: Final = 40
_ROUNDS: Final = 12
# Characters of a note of losses. Longer ones than ours are cut as other texts are.
_LONG_NOTE: Final = 512
# Bytes of a member that is left out last.
_SHORT_MEMBER: Final = 1024


def check_max_line_bytes(value: object) -> None:
    """Check a limit of a line's bytes; 0 is for no limit.

    Raises:
        OptionError: The value is not such a limit.
    """
    if type(value) is int and value == 0:
        return
    allowed = (
        f"a number of bytes such as {MAX_LINE_BYTES}, {MIN_LINE_BYTES} or more, for an envelope to "
        "have room, or 0 for no limit"
    )
    check_number("max_line_bytes", value, least=MIN_LINE_BYTES, allowed=allowed, whole=True)


def finished(line: bytes, max_bytes: int) -> bytes:
    """Return an encoded line that is safe to print: cut first, then its characters escaped.

    A caller need not call it for a short line of ASCII, which is returned unchanged.

    Args:
        line: One line of JSON, with every secret masked.
        max_bytes: The most bytes it may take; 0 for no limit.
    """
    if 0 < max_bytes < len(line):
        line = cut(line, max_bytes)
    # A line that cannot be cut is escaped, too.
    return escape(line)


def cut(line: bytes, max_bytes: int, further: dict[str, Any] | None = None) -> bytes:
    """Return a line of at most ``max_bytes``, its newline included, with as much as fits.

    The longest texts are cut down to one length, their heads and tails kept. Only where that
    is not enough, members are left out, the largest first. A line that is not MozLog, such as
    one for people, is returned unchanged.

    Args:
        line: One line.
        max_bytes: The most bytes it may take.
        further: Members that it has beside those of the envelope, as plain values.
    """
    try:
        document = loads(line)
        if type(document["Fields"]) is not dict:
            return line
        end = line[len(line.rstrip(b"\r\n")) :]
        reason = f"cut from {len(line)} bytes"
        if further is not None:
            document.update(further)
        _fit(document, max_bytes - len(end), reason)
        return _encoded(document) + end
    except Exception:
        # The line is not a JSON object, or has numbers that the parser refuses.
        return line


def fitted(document: dict[str, Any], max_bytes: int, reason: str) -> dict[str, Any]:
    """Return a whole line, in plain values, that takes at most ``max_bytes`` once it is encoded.

    Args:
        document: The line, with its Fields. It is not changed.
        max_bytes: The most bytes it may take, without a newline.
        reason: The note that the line gets of the cut.
    """
    document = _copy(document)
    _fit(document, max_bytes, reason)
    return document


def characters_in(value: Any) -> int:
    """Return how many characters the texts and names in plain values have."""
    count, todo = 0, [value]
    while todo:
        held = todo.pop()
        if type(held) is str:
            count += len(held)
        elif type(held) is dict:
            todo += held
            todo += held.values()
        elif type(held) is list:
            todo += held
    return count


def _fit(document: dict[str, Any], max_bytes: int, reason: str) -> None:
    degraded.add()
    degrade(document["Fields"], reason)
    texts = _texts(document, max_bytes)
    room = max_bytes - len(_encoded(document)) + sum(text.size for text in texts)
    limit = _common_limit([text.size for text in texts], room)
    for _ in range(_ROUNDS):
        for text in texts:
            text.cut(limit)
        size = len(_encoded(document))
        if size <= max_bytes:
            return
        if limit <= _SHORTEST:
            break
        # Escapes are not spread evenly over a text, and neighbours may be escaped as well.
        limit = max(_SHORTEST, min(limit - _MARK_BYTES, limit * max_bytes // size))
    _leave_out(document, max_bytes)


class _Text:
    """A text of a line, and where it stands."""

    __slots__ = ("_holder", "_key", "_whole", "_window", "size")

    def __init__(self, holder: Any, key: Any, limit: int) -> None:
        self._holder, self._key = holder, key
        self._whole: str = holder[key]
        #: The characters of its head and its tail that may stay.
        self._window = self._whole
        if len(self._whole) > limit:
            self._window = self._whole[: limit - limit // 3]
            self._window += self._whole[len(self._whole) - limit // 3 :]
        #: Bytes that these characters take.
        self.size = _size(self._window)
        holder[key] = self._window

    def cut(self, limit: int) -> None:
        """Cut the text to about ``limit`` bytes, if it takes more."""
        whole, window = self._whole, self._window
        if self.size <= limit and len(window) == len(whole):
            return
        # As many characters as fit by the mean size of a character of this text.
        keep = max(2, (limit - _MARK_BYTES) * len(window) // self.size)
        keep = min(keep, len(window))
        head, tail = window[: keep - keep // 3], window[len(window) - keep // 3 :]
        self._holder[self._key] = f"{head}{_MARK(len(whole) - keep)}{tail}"


def _texts(document: dict[str, Any], max_bytes: int) -> list[_Text]:
    """Return the texts that may be cut, each with the part of it that may stay.

    No text takes fewer bytes than it has characters. So an upper bound of the limit to which the
    longest are cut is computed from characters, and text beyond it is never encoded.
    """
    places, holders = _places(document)
    names = [(holder, name) for holder in holders for name in holder if len(name) > _SURELY_SHORT]
    lengths = [len(holder[key]) for holder, key in places]
    limit = _common_limit([*lengths, *(len(name) for _, name in names)], max_bytes)
    for holder in {id(holder): holder for holder, name in names if _is_long(name, limit)}.values():
        _shorten_names(holder, limit)
    # Shortening names has moved the members.
    places, _ = _places(document)
    return [_Text(holder, key, limit) for holder, key in places]


def _places(document: dict[str, Any]) -> tuple[list[tuple[Any, Any]], list[dict[str, Any]]]:
    """Return the places of the texts that may be cut, and the objects whose members have names."""
    places: list[tuple[Any, Any]] = []
    holders: list[dict[str, Any]] = []
    todo: list[Any] = [document]
    while todo:
        holder = todo.pop()
        members: Any = enumerate(holder)
        if type(holder) is dict:
            holders.append(holder)
            members = holder.items()
        for key, value in members:
            if type(value) is str:
                if len(value) > (_LONG_NOTE if key == DEGRADED else _SURELY_SHORT):
                    places.append((holder, key))
            elif type(value) is dict or type(value) is list:
                todo.append(value)
    return places, holders


def _is_long(name: str, limit: int) -> bool:
    # A character takes twelve bytes at most.
    return len(name) * 12 > limit and (len(name) > limit or _size(name) > limit)


def _shorten_names(holder: dict[str, Any], limit: int) -> None:
    """Cut the names of an object's members that are longer than its texts may be."""
    members = [*holder.items()]
    holder.clear()
    for name, value in members:
        shown = name
        if _is_long(name, limit):
            head = name[:_SHORTEST]
            keep = (_SHORTEST - _MARK_BYTES) * len(head) // max(len(head), _size(head))
            shown = f"{name[:keep]}{_MARK(len(name) - keep)}"
        holder[unique_key(shown, holder) if shown in holder else shown] = value


def _common_limit(sizes: list[int], room: int) -> int:
    """Return the size to which the longest have to be cut, for all to fit into ``room``."""
    left, remaining = room, len(sizes)
    for size in sorted(sizes):
        if size * remaining > left:
            break
        left -= size
        remaining -= 1
    return max(_SHORTEST, left // max(1, remaining))


def _leave_out(document: dict[str, Any], max_bytes: int) -> None:
    """Take members out of a line until it fits, the largest first.

    The members in ``_KEPT`` are taken last, those of the envelope never.
    """
    fields = document["Fields"]
    members = [(fields, name) for name in fields if name != DEGRADED]
    members += [(document, name) for name in document if name not in ENVELOPE]
    sized = []
    for index, (holder, name) in enumerate(members):
        size = len(_encoded({name: holder[name]})) - 1
        sized.append((name in _KEPT and size <= _SHORT_MEMBER, size, index))
    room = max_bytes - _MARK_BYTES
    excess = len(_encoded(document)) - room
    count = 0
    for is_kept, size, index in sorted(sized, key=_removal_order):
        if is_kept:
            # A member may be longer beside others, whose characters had it escaped as a whole.
            excess = len(_encoded(document)) - room
        if excess <= 0:
            break
        holder, name = members[index]
        del holder[name]
        excess -= size
        count += 1
    degrade(fields, f"{count} fields left out")


def _removal_order(member: tuple[bool, int, int]) -> tuple[bool, int, int]:
    """Return the key that sorts the largest member first, of equal ones the last."""
    is_kept, size, index = member
    return is_kept, -size, -index


def _copy(value: Any) -> Any:
    if type(value) is dict:
        return {name: _copy(member) for name, member in value.items()}
    return [*map(_copy, value)] if type(value) is list else value


def _size(text: str) -> int:
    return len(_encoded(text)) - 2


def _encoded(plain: Any) -> bytes:
    return _escaped(dumps(plain))


def _escaped(line: bytes) -> bytes:
    return line if line.isascii() and DELETE not in line else escape(line)
