"""Processors: each does one thing to an event dict, in any structlog chain.

The same objects work in ``MozlogFormatter(processors=[...])``, on the records of ``logging``.
There, too, the message has the key ``event``.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from itertools import islice
from typing import Any, Final, NoReturn

from mozlog_py._config.options import check_no_positional
from mozlog_py._fields.first_fields import first_fields
from mozlog_py._fields.from_event import envelope_fields, event_level
from mozlog_py._fields.late_request_ids import add_request_id
from mozlog_py._fields.template_message import TemplateMessage
from mozlog_py._line.degraded_note import DEGRADED, degrade
from mozlog_py._line.severity import severity
from mozlog_py._process.memo import remember
from mozlog_py._values.class_lookup import type_name
from mozlog_py._values.dict_items import DICTS, FROZENDICT, thawed
from mozlog_py._values.mask_registry import MAX_SEARCHED, MAX_WINDOWS, has_cut_masks, masked_ends
from mozlog_py._values.record_budget import CONTAINER_NODES, MAX_CHARACTERS, MAX_NODES
from mozlog_py._values.sanitiser import MAX_DEPTH, MAX_ITEMS, Sanitiser, unique_key

from .context import current
from .redaction import Redact
from .sampling import Sample, drop_event
from .typing import Processor

__all__ = [
    "CapLengths",
    "Processor",
    "Redact",
    "Sample",
    "StaticFields",
    "add_severity",
    "drop_none",
    "flatten",
    "guarded",
    "merge_context",
]

#: Characters of the text of an exception that a processor raised.
_MAX_TEXT: Final = 300
#: How many failures of processors are remembered.
_MAX_REPORTED: Final = 100

# As structlog declares it for processors: type checkers refuse a narrower one in its chains.
_EventDict = MutableMapping[str, Any]

# structlog keeps objects of its own under these keys.
_UNTOUCHED: Final = frozenset({"_record", "_logger", "exc_info", "positional_args"})


def merge_context(_: Any, __: str, event_dict: _EventDict) -> dict[str, Any]:
    """Add what is bound in ``mozlog_py.context``; a field of the event takes precedence.

    If neither has a request id, that of the exception's request is added.
    """
    merged = {**current(event_dict), **event_dict}
    if event_dict.get("exc_info"):
        add_request_id(merged, event_dict["exc_info"])
    return merged


def add_severity(_: Any, method_name: str, event_dict: _EventDict) -> _EventDict:
    """Add ``severity``, the syslog severity (0 to 7) of the event's level (RFC 5424, table 2).

    A MozLog line has it in its envelope without this processor.
    """
    event_dict.setdefault("severity", severity(event_level(event_dict, method_name)))
    return event_dict


class StaticFields:
    """Adds constant fields; a field of the event takes precedence.

    Args:
        **fields: The fields.

    Raises:
        OptionError: A positional argument, such as a dict, was passed.
    """

    def __init__(self, /, *positional: NoReturn, **fields: Any) -> None:
        if positional:
            check_no_positional("StaticFields", positional, "StaticFields(env='prod')")
        self._fields = fields

    def __call__(self, _: Any, __: str, event_dict: _EventDict) -> dict[str, Any]:
        """Return the event dict with the fields added."""
        return {**self._fields, **event_dict}


def flatten(_: Any, __: str, event_dict: _EventDict) -> dict[str, Any]:
    """Replace nested dicts by dotted keys: ``{"user": {"id": 7}}`` becomes ``{"user.id": 7}``.

    A dict stays nested if it is deeper, or has more members or more text, than a line shows of
    one record.
    """
    flat = _Flat()
    out = flat.out
    for key, value in first_fields(event_dict).items():
        # isinstance() reads ``__class__`` of the value, which makes a lazy object load itself.
        if issubclass(type(value), DICTS) and key not in _UNTOUCHED and key != "event":
            flat.add_members(str(key), value, 1)
        elif key in out:
            flat.add(key, value)
        else:
            out[key] = value
    return out


class _Flat:
    """Builds an event dict whose nested dicts have dotted keys."""

    __slots__ = ("_characters", "_nodes", "_numbers", "out")

    def __init__(self) -> None:
        self.out: dict[str, Any] = {}
        self._numbers: dict[str, int] = {}
        self._nodes = MAX_NODES
        self._characters = MAX_CHARACTERS

    def add(self, name: str, value: Any) -> None:
        out = self.out
        out[unique_key(name, out, self._numbers) if name in out else name] = value

    def add_members(self, prefix: str, value: dict[Any, Any], depth: int) -> None:
        # An empty dict stays visible. The renderer cuts one that is too large or too deep.
        if depth > MAX_DEPTH or (type(value) is dict and len(value) > self._nodes):
            self.add(prefix, value)
            return
        members = [*islice(value.items(), self._nodes + 1)]
        if not members or not self._has_room(prefix, members):
            self.add(prefix, value)
            return
        for key, member in members:
            name = f"{prefix}.{key}"
            if issubclass(type(member), DICTS):
                self.add_members(name, member, depth + 1)
            else:
                self.add(name, member)

    def _has_room(self, prefix: str, members: list[tuple[Any, Any]]) -> bool:
        """Return whether a dict's members still fit the event, and count them if so."""
        # The prefix is repeated for each member. A text that many members share counts for each,
        # since a line limits nested texts only.
        texts = (member for _, member in members if type(member) is str)
        size = len(prefix) * len(members) + sum(map(len, texts))
        if len(members) > self._nodes or size > self._characters:
            # The dicts that follow stay nested too, so that they need no such check.
            self._nodes = 0
            return False
        self._nodes -= len(members)
        self._characters -= size
        return True


class _CopyBudget:
    """How many nested values of one event may still be copied: as many as a line holds.

    Containers that share values have many more paths than values. A value that is not copied
    stands behind those that a line shows of its container, or of the event.
    """

    __slots__ = ("_left", "_searched")

    def __init__(self) -> None:
        self._left = MAX_NODES
        self._searched = 0

    def may_search(self, characters: int) -> bool:
        """Return whether a text may be searched for secrets before it is cut, and count it.

        Args:
            characters: How many of its characters are searched.
        """
        self._searched += characters
        return self._searched <= MAX_SEARCHED

    def take(self, container: dict[Any, Any] | list[Any] | tuple[Any, ...]) -> int:
        """Return how many values of a container are copied, from its start, and count them."""
        most = max(0, min(len(container), MAX_ITEMS, self._left - CONTAINER_NODES))
        self._left -= most + CONTAINER_NODES
        return most


def drop_none(_: Any, __: str, event_dict: _EventDict) -> dict[str, Any]:
    """Remove fields that are None, in nested dicts as well."""
    budget = _CopyBudget()
    return {
        key: _without_none(thawed(value), 1, budget)
        if _is_dict(type(value)) and key not in _UNTOUCHED
        else value
        for key, value in [*first_fields(event_dict).items()]
        if value is not None
    }


def _without_none(members: dict[Any, Any], depth: int, budget: _CopyBudget) -> dict[Any, Any]:
    most = budget.take(members)
    if not most:
        return members
    # One C call, since most of the items may be more than a line shows.
    out = members.copy()
    for key, value in [*islice(out.items(), most)]:
        if value is None:
            del out[key]
        elif _is_dict(type(value)) and depth < MAX_DEPTH:
            out[key] = _without_none(thawed(value), depth + 1, budget)
    return out


def _is_dict(kind: type) -> bool:
    return kind is dict or kind is FROZENDICT


class CapLengths:
    """Cuts long texts, in nested values as well, and adds how long they were.

    Args:
        characters: How many characters of each text are kept, half of them from its end.

    Raises:
        ValueError: ``characters`` is not a positive number.
    """

    def __init__(self, characters: int = 1024) -> None:
        if not isinstance(characters, int) or isinstance(characters, bool) or characters < 1:
            raise ValueError(f"characters is {characters!r}; it must be a number from 1")
        self._most = characters

    def __call__(self, _: Any, __: str, event_dict: _EventDict) -> dict[str, Any]:
        """Return the event dict with long texts cut."""
        budget = _CopyBudget()
        return {
            key: value if key in _UNTOUCHED else self._capped(value, 0, budget)
            for key, value in [*first_fields(event_dict).items()]
        }

    def _capped(self, value: Any, depth: int, budget: _CopyBudget) -> Any:
        kind = type(value)
        if kind is str or kind is TemplateMessage:
            return value if len(value) <= self._most else self._cut(value, budget)
        if kind is FROZENDICT:
            value, kind = thawed(value), dict
        if depth >= MAX_DEPTH or not (kind is dict or kind is list or kind is tuple):
            return value
        most = budget.take(value)
        if not most:
            return value
        if kind is dict:
            # One C call, since most of the items may be more than a line shows.
            capped = value.copy()
            for key, each in [*islice(capped.items(), most)]:
                capped[key] = self._capped(each, depth + 1, budget)
            return capped
        items = [*value]
        items[:most] = [self._capped(item, depth + 1, budget) for item in items[:most]]
        return items

    def _cut(self, text: str, budget: _CopyBudget) -> str:
        if has_cut_masks() and not budget.may_search(min(len(text), MAX_WINDOWS + self._most)):
            return f"<cut, {len(text)} characters>"
        tail = self._most // 2
        ahead, behind = masked_ends(text, self._most - tail, tail)
        if len(ahead) + len(behind) < self._most and len(text) <= self._most + MAX_WINDOWS:
            # The text was masked as a whole, and is short enough without its secrets.
            return ahead + behind
        return f"{ahead}... <cut, {len(text)} characters> ...{behind}"


def guarded(
    processors: Iterable[Processor],
    logger: Any,
    method_name: str,
    event_dict: Any,
    interrupts: list[BaseException],
    chain: Iterable[Processor] = (),
) -> Any:
    """Run processors, and go on without one that raises.

    The event then has a reason in ``mozlog.degraded``. The first such event also has the text of
    the exception and how to correct the processor.

    Args:
        processors: The processors to run.
        logger: The logger that the processors receive.
        method_name: The name of the event's level.
        event_dict: The event.
        interrupts: Takes each exception that is no ``Exception``, to be raised once the event
            is written.
        chain: All processors of the event, if only some of them run here.

    Returns:
        The event dict after the processors.

    Raises:
        structlog.DropEvent: A processor has dropped the event.
    """
    for processor in processors:
        message = dict.get(event_dict, "event") if type(event_dict) is dict else None
        try:
            processed: Any
            if type(processor) is Redact:
                processed = processor.redacted(event_dict, interrupts)
            else:
                processed = processor(logger, method_name, event_dict)
        except drop_event():
            _forget_details(event_dict)
            raise
        except BaseException as error:
            if not isinstance(error, Exception):
                interrupts.append(error)
            reason = _failure(processor, error, chain or processors, interrupts)
            if isinstance(processor, Redact):
                # Without it, the event would go on with the credentials.
                event_dict = {**envelope_fields(event_dict), "event": "<not redacted>"}
            else:
                # A plain dict: a subclass may override what ``degrade`` calls.
                event_dict = {**event_dict}
                _put_back(event_dict, message)
            degrade(event_dict, reason)
        else:
            processed = thawed(processed)
            if isinstance(processed, dict):
                event_dict = processed
            else:
                _put_back(event_dict, message)
                degrade(event_dict, _no_event_dict(processor, processed))
    return event_dict


def _put_back(event_dict: Any, message: Any) -> None:
    """Put the message back into an event: a renderer takes it out before it fails, or makes a text.

    Args:
        event_dict: The event.
        message: The message before the processor; None if it is not known.
    """
    if message is not None and issubclass(type(event_dict), dict):
        dict.setdefault(event_dict, "event", message)


# The failures of processors that an event has described in full, by processor and failure.
# The entry holds the processor, so that no other object gets its id.
_reported: Final[dict[tuple[int, str], tuple[Processor, str]]] = {}


def _failure(
    processor: Processor,
    error: BaseException,
    chain: Iterable[Processor],
    interrupts: list[BaseException],
) -> str:
    """Return the reason in an event for which a processor raised."""
    brief = f"{_name_of(processor)} raised {type_name(type(error))}"
    advice = ""
    if isinstance(error, TypeError) and _has_no_frame(error):
        advice = "; a processor takes the logger, the method's name and the event dict"
    elif any(isinstance(each, Redact) for each in chain):
        # The text may quote a value that is to be redacted.
        return brief
    return _detailed_once(processor, brief, f"{brief}{_text_of(error, interrupts)}{advice}")


def _no_event_dict(processor: Processor, returned: object) -> str:
    """Return the reason in an event for which a processor returned no event dict."""
    brief = f"{_name_of(processor)} returned no event dict"
    what = "None" if returned is None else type_name(type(returned))
    return _detailed_once(processor, brief, f"{brief} but {what}; end it with `return event_dict`")


def _detailed_once(processor: Processor, brief: str, whole: str) -> str:
    """Return the whole text the first time, and the brief one from then on."""
    key = (id(processor), brief)
    if key in _reported:
        return brief
    remember(_reported, key, (processor, whole), _MAX_REPORTED, _MAX_TEXT)
    return whole


def _forget_details(event_dict: Any) -> None:
    """Forget the failures that only a dropped event describes, so that the next one does."""
    text = event_dict.get(DEGRADED) if isinstance(event_dict, dict) else None
    if type(text) is not str:
        return
    for key, (_, whole) in [*_reported.items()]:
        if whole in text:
            _reported.pop(key, None)


def _has_no_frame(error: BaseException) -> bool:
    # The first frame is that of guarded(). A second one shows that the processor was entered.
    frames = error.__traceback__
    return frames is not None and frames.tb_next is None


def _text_of(error: BaseException, interrupts: list[BaseException]) -> str:
    """Return ``: `` and an exception's text; an empty text if it has none."""
    sanitiser = Sanitiser()
    text = sanitiser.call(str, error)
    if sanitiser.interrupt is not None:
        interrupts.append(sanitiser.interrupt)
    if not text:
        return ""
    return f": {text}" if len(text) <= _MAX_TEXT else f": {text[:_MAX_TEXT]}..."


def _name_of(processor: Any) -> str:
    name = getattr(processor, "__qualname__", None)
    return name[:100] if type(name) is str else type_name(type(processor))
