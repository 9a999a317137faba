"""The fields that are read of a record or an event which has more than any line shows.

A line shows a thousand fields. Ten times as many are read, since a processor may remove some. To
read all of a hundred thousand takes as long as a thousand ordinary lines.
"""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

from mozlog_py._line.degraded_note import DEGRADED, degrade
from mozlog_py._values.dict_items import DICTS
from mozlog_py._values.record_budget import MAX_NODES, MORE_KEY, MoreItems
from mozlog_py._values.sanitiser import unique_key

__all__ = ["MAX_FIELDS", "RESERVED", "count_left_out", "first_fields", "is_structlogs_own"]

#: Fields that are read of one record or event.
MAX_FIELDS: Final = MAX_NODES

#: The names under which structlog keeps objects of its own, and the message.
RESERVED: Final = frozenset({"_record", "_logger", "exc_info", "event"})

# These are kept of an event that has more fields than are read, or than a line shows.
_KEPT: Final = (
    *sorted(RESERVED),
    DEGRADED,
    MORE_KEY,
    "_from_structlog",
    "error",
    "level",
    "level_number",
    "logger",
    "msg",
    "stack",
    "stack_info",
    "Time",
    "timestamp",
    "traceback",
)


def first_fields(event_dict: Any, most: int = MAX_FIELDS) -> Any:
    """Return an event dict of a limited number of fields, with the number of the others.

    That number has the name ``MORE_KEY``. The message, the exception and what structlog keeps
    beside them stay. An event dict with no more fields than the limit is returned itself.

    Args:
        event_dict: An event dict, or any other mapping.
        most: The limit, the number of the others included. A note may come on top.
    """
    if len(event_dict) <= most:
        return event_dict
    kept = {name: event_dict[name] for name in _KEPT if name in event_dict}
    out = {**dict(islice(event_dict.items(), most - 1 - len(kept))), **kept}
    count_left_out(out, len(event_dict) - len(out))
    return out


def count_left_out(fields: dict[Any, Any], left_out: int) -> None:
    """Add to fields how many others there are, and to their note that some are left out.

    Args:
        fields: The fields, which are changed.
        left_out: How many others there are; 0 or less changes nothing.
    """
    if left_out <= 0:
        return
    before = fields.get(MORE_KEY)
    if type(before) is MoreItems:
        # The stage before this one has left out fields as well.
        fields[MORE_KEY] = MoreItems(before.number + left_out)
    else:
        fields[unique_key(MORE_KEY, fields)] = MoreItems(left_out)
    degrade(fields, "items dropped")


def is_structlogs_own(key: str, value: Any) -> bool:
    """Return whether a value is what structlog keeps under a reserved name, or the message.

    Args:
        key: One of ``RESERVED``.
        value: For ``exc_info`` what structlog may put there; else anything but a container.
    """
    kind = type(value)
    if key == "exc_info":
        is_triple = issubclass(kind, tuple) and tuple.__len__(value) == 3
        return is_triple or value is None or issubclass(kind, (bool, BaseException))
    return not issubclass(kind, (*DICTS, list, tuple))
