"""The fields that are read of a record or an event which has more than any line shows.

A line shows a thousand fields. Ten times as many are read, since a processor may remove some. To
read all of a hundred thousand takes as long as a thousand ordinary lines.
"""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

from mozlog_py._line.degraded_note import DEGRADED, degrade
from mozlog_py._values.record_budget import MAX_NODES, MORE_KEY, MoreItems
from mozlog_py._values.sanitiser import unique_key

__all__ = ["KEPT_FIRST", "MAX_FIELDS", "RESERVED", "count_left_out", "first_fields"]

#: Fields that are read of one record or event.
MAX_FIELDS: Final = MAX_NODES

#: The names under which structlog keeps objects of its own, and the message.
RESERVED: Final = frozenset({"_record", "_logger", "exc_info", "event"})

#: These are kept of an event that has more fields than are read, or than a line shows.
KEPT_FIRST: Final = RESERVED | {
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
}


def first_fields(event_dict: Any) -> Any:
    """Return an event dict of at most ``MAX_FIELDS`` fields and those in ``KEPT_FIRST``.

    The number of the others has the name ``MORE_KEY``. An event dict with no more than
    ``MAX_FIELDS`` fields is returned itself.

    Args:
        event_dict: An event dict, or any other mapping.
    """
    if len(event_dict) <= MAX_FIELDS:
        return event_dict
    out = dict(islice(event_dict.items(), MAX_FIELDS))
    for name in KEPT_FIRST:
        if name not in out and name in event_dict:
            out[name] = event_dict[name]
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
