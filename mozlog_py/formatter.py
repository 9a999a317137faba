"""MozlogFormatter: the front for the standard library's ``logging``.

Its options decide once, when the first record comes, how records are rendered:
the fast way where nothing is asked for that it leaves out, else the careful way
with all the options and hooks of a python-json-logger formatter.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from pythonjsonlogger.core import BaseJsonFormatter

from . import fast
from .careful import (
    Renderer,
    careful_renderer,
    conversion_sanitiser,
    converting_renderer,
    envelope_of,
    gather,
    given_name,
    interrupted_in,
    line_of,
    prefixed,
    processed_fields,
    text_ways,
)
from .context import current
from .exceptions import as_exc_info, render_exception
from .fast import FieldsRenderer, Ways
from .fields import (
    EXCLUDED_ATTRIBUTES,
    OWN_FIELDS,
    STANDARD_ATTRIBUTES,
    LoggerName,
    attributes,
    looks_like_json,
    merge,
)
from .late_request_ids import add_request_id
from .line import (
    ENVELOPE_VERSION,
    Dropped,
    Further,
    Interrupted,
    LineMaker,
    encode,
    local_hostname,
)
from .records import EventRecord
from .redaction import line_mask
from .severity import severity
from .values import Sanitiser, free_name

if TYPE_CHECKING:
    from .masking import AnyMask

__all__ = ["MozlogFormatter", "checked_processors"]

_LEVELS: Final = {50: 2, 40: 3, 30: 4, 20: 6, 10: 7}

# Whoever overrides one of these wants it called.
_HOOKS: Final = (
    "add_fields",
    "formatException",
    "formatStack",
    "is_value_jsonlike",
    "process_log_record",
)


# What an instance holds beside its options.
_COMPILED: Final = frozenset({"_followers", "_format", "fields_renderers", "renderers"})


_Line = TypeVar("_Line", bytes, str)


class MozlogFormatter(BaseJsonFormatter):
    """Formats records as MozLog 2.0 lines.

    ``fmt`` names further LogRecord attributes to put into Fields, with
    ``datefmt`` and ``style`` as in ``logging.Formatter``. The fourth positional
    argument is ``logger_name``, or ``validate`` where ``logging.config`` passes it.

    - ``logger_name``, ``hostname``: as in the envelope; a ``MozlogHandler``'s
      name wins over the first, the second defaults to this host's.
    - ``static_fields``: on every line. ``defaults``: where nothing else says otherwise.
    - ``rename_fields``: new names for Fields. ``reserved_attrs``: the record
      attributes that are no Fields, in place of ``EXCLUDED_LOGRECORD_ATTRS``.
    - ``timestamp``: adds the time in RFC 3339, as ``Time`` or under the name given.
    - ``exc_info_as_array``, ``stack_info_as_array``: lists of lines, not one text.
    - ``prefix``: text in front of every line.
    - ``json_default``: called for values that JSON has no type for.
    - ``processors``: processors of structlog (``mozlog_py.processors`` has some) that
      see the Fields before they are renamed; the message is ``event`` there, and the
      record ``_record``. A formatter can drop no record: where one of them wants
      that, ``MozlogHandler`` does it, and other handlers write the line.
    - ``strict``: lines that satisfy the MozLog machine schema (no nested objects).
    - ``include_context``: whether what is bound in ``mozlog_py.context`` is shown.

    Raises ``ValueError`` or ``TypeError`` for options that cannot be met.
    Source of the envelope: MozLog 2.0, https://wiki.mozilla.org/Firefox/Services/Logging
    """

    LOGGING_FORMAT_VERSION: ClassVar[str] = ENVELOPE_VERSION

    #: Replace it in a subclass to choose severities level by level; a level it
    #: does not list then has ``DEFAULT_SYSLOG_LEVEL``. Left alone, the levels
    #: between these are as severe as the one below them.
    SYSLOG_LEVEL_MAP: ClassVar[dict[int, int]] = dict(_LEVELS)
    DEFAULT_SYSLOG_LEVEL: ClassVar[int] = 7

    #: Read when the first record is rendered.
    EXCLUDED_LOGRECORD_ATTRS: ClassVar[set[str]] = set(EXCLUDED_ATTRIBUTES)

    #: What ``renderer`` has given so far, by logger name; emptied when an option changes.
    renderers: dict[str | None, Renderer]

    #: What ``fields_renderer`` has given so far, by logger name; emptied likewise.
    fields_renderers: dict[str, FieldsRenderer | None]

    def __init__(
        self,
        fmt: str | Sequence[str] | None = None,
        datefmt: str | None = None,
        style: str = "%",
        logger_name: str | bool = "Dockerflow",
        validate: bool = True,
        *,
        hostname: str | None = None,
        strict: bool = False,
        include_context: bool = True,
        static_fields: dict[str, Any] | None = None,
        defaults: dict[str, Any] | None = None,
        rename_fields: dict[str, str] | None = None,
        reserved_attrs: Sequence[str] | None = None,
        timestamp: bool | str = False,
        exc_info_as_array: bool = False,
        stack_info_as_array: bool = False,
        prefix: str = "",
        json_default: Callable[[Any], Any] | None = None,
        processors: Sequence[Callable[[Any, str, Any], Any]] = (),
    ) -> None:
        if isinstance(logger_name, bool):
            validate, logger_name = logger_name, "Dockerflow"
        if json_default is not None and not callable(json_default):
            raise TypeError(
                f"json_default is {json_default!r}, which cannot be called; in a dictConfig "
                'write it as "ext://package.module.function"'
            )
        if not prefix.isprintable():
            raise ValueError(
                f"prefix is {prefix!r}; a line break or control character in it would break "
                "every line in two, so leave those out"
            )
        super().__init__(
            fmt,
            datefmt,
            style,
            validate,
            prefix=prefix,
            rename_fields=rename_fields,
            static_fields=static_fields,
            reserved_attrs=reserved_attrs,
            timestamp=timestamp,
            defaults=defaults,
            exc_info_as_array=exc_info_as_array,
            stack_info_as_array=stack_info_as_array,
        )
        self.logger_name = logger_name
        self.hostname = local_hostname() if hostname is None else hostname
        self.strict = strict
        self.include_context = include_context
        self.json_default = json_default
        self.processors = checked_processors(processors)
        self._is_reserved_given = reserved_attrs is not None
        names = self.parse() if fmt is None or isinstance(fmt, str) else list(fmt)
        # The message has its field anyway, and an empty fmt stands for it.
        self._named_attributes = [name for name in names if name != "message"]

    # -- rendering --------------------------------------------------------

    def format(self, record: logging.LogRecord) -> str:
        """Give one line as text, without its newline. Never raises an ``Exception``."""
        try:
            return self.renderer()(record).decode()
        except Dropped as dropped:
            return dropped.line().decode()
        except Interrupted as interrupted:
            return line_of(interrupted).decode()

    def format_bytes(self, record: logging.LogRecord) -> bytes:
        """Give one line as UTF-8, without its newline. Never raises an ``Exception``.

        A ``KeyboardInterrupt`` (or the like) that a value's own code raises is
        shown as a marker; only a handler can raise it after the write, and
        ``MozlogHandler`` does.
        """
        try:
            return self.renderer()(record)
        except Dropped as dropped:
            return dropped.line()
        except Interrupted as interrupted:
            return line_of(interrupted)

    def renderer(self, logger_name: str | None = None) -> Renderer:
        """Give the function that ``format_bytes`` is made of, for a handler to call.

        ``logger_name`` takes the place of the formatter's own. What it gives
        raises ``Interrupted``, with the line, where a line is to be written
        before an interrupt goes on.
        """
        try:
            return self.renderers[logger_name]
        except KeyError:
            return self._compile(logger_name)

    def fields_renderer(self, logger_name: str) -> FieldsRenderer | None:
        """Return the function that makes lines of fields without a record.

        Args:
            logger_name: The ``Logger`` of the envelope.

        Returns:
            None where an option or a hook of this formatter needs a record.
        """
        renderers = self.fields_renderers
        render: FieldsRenderer | None = None
        if (
            self.is_plain()
            and not self.prefix
            and not self.overrides("convert_record")
            and not self.overrides("format")
            and self._excluded() <= EXCLUDED_ATTRIBUTES
        ):
            render = fast.fields_renderer(
                self.line_maker(logger_name),
                static_fields=self.static_fields,
                include_context=self.include_context,
            )
        renderers[logger_name] = render
        return render

    def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
        """Give a record's line as a dict of plain values.

        Override it to change the line as a whole; lines are then made from what
        it returns.
        """
        sanitiser = conversion_sanitiser(self, record)
        fields = gather(self, record, sanitiser)
        maker = self.line_maker(given_name(record) or self.logger_name)
        return maker.envelope(*envelope_of(record), fields, sanitiser)

    # -- hooks ------------------------------------------------------------

    def is_value_jsonlike(self, value: str) -> bool:
        """Tell whether a message is to be tried as a JSON object, whose members become Fields."""
        return looks_like_json(value)

    def add_fields(
        self,
        log_data: dict[str, Any],
        record: logging.LogRecord,
        message_dict: dict[str, Any],
    ) -> None:
        """Fill ``log_data``, which becomes Fields.

        ``message_dict`` is what the call itself said: ``msg``, ``error`` and so
        on, or the members of a dict that was logged as the message. The ``msg`` of
        a message that is JSON text is that text; its members become Fields here.
        """
        self.fill(log_data, record, message_dict)

    def fill(
        self,
        log_data: dict[str, Any],
        record: logging.LogRecord,
        message_dict: dict[str, Any],
    ) -> None:
        """Do what ``add_fields`` does here, whatever a subclass makes of that."""
        excluded = self._excluded()
        is_complete = type(record) is EventRecord and record.is_complete
        fields = {} if is_complete else {**self.static_fields}
        if self.include_context and not is_complete:
            fields.update(current())
        extra = attributes(record, excluded)
        name = vars(record).get("logger_name")
        given = name.given if type(name) is LoggerName else name
        if given is not None and "logger_name" in excluded:
            extra["logger_name"] = given
        elif type(name) is LoggerName:
            extra.pop("logger_name", None)
        fields.update(extra)
        for attribute in self._named_attributes:
            fields[attribute] = self._attribute(record, attribute)
        if self.include_context and not is_complete and "traceback" in message_dict:
            # True where a processor has made a text of the exception that is being handled.
            add_request_id(fields, record.exc_info or type(record) is EventRecord)
        fields = merge(fields, message_dict, self.defaults)
        if self.processors and not is_complete:
            sanitiser = conversion_sanitiser(self, record)
            fields = processed_fields(self.processors, record, fields, sanitiser)
        log_data.update(self._renamed(fields))

    def _attribute(self, record: logging.LogRecord, name: str) -> Any:
        try:
            if name == "asctime":
                return self.formatTime(record, self.datefmt)
            return getattr(record, name, None)
        except Exception as error:
            # A property of a record class, or a time that no calendar reaches.
            return Sanitiser().unprintable(record, error)

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """Give Fields as JSON text."""
        return encode(Sanitiser(self.json_default).fields(log_data)).decode()

    def formatException(  # type: ignore[override]  # noqa: N802 - as the base class has it
        self, ei: Any
    ) -> str | list[str]:
        """Give an exception's text, as it stands in the field ``traceback``."""
        triple = as_exc_info(ei)
        text = "" if triple is None else render_exception(triple, Sanitiser())[1]
        return text.splitlines() if self.exc_info_as_array else text

    # -- how it is put together -------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        # What renders was made for the options as they were.
        super().__setattr__(name, value)
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        self._forget()
        return {key: value for key, value in vars(self).items() if key not in _COMPILED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def _forget(self) -> None:
        own = vars(self)
        if own.get("format") is own.get("_format"):
            own.pop("format", None)
        own.update(renderers={}, fields_renderers={}, _format=None)
        for follower in [*own.get("_followers", ())]:
            begin_anew = follower()
            if begin_anew is not None:
                begin_anew()

    def follow(self, begin_anew: Callable[[], None]) -> None:
        """Have a method called whenever an option has changed, as long as its object lives."""
        followers = vars(self).setdefault("_followers", set())
        followers.difference_update([one for one in followers if one() is None])
        followers.add(weakref.WeakMethod(begin_anew))

    def overrides(self, hook: str) -> bool:
        """Tell whether a subclass, or this instance, has its own version of a method."""
        return getattr(type(self), hook) is not _METHODS[hook] or hook in vars(self)

    def _compile(self, logger_name: str | None) -> Renderer:
        # Before any option is read: what is made of options that change meanwhile
        # goes into a dict that nobody looks at any more.
        renderers = self.renderers
        render: Renderer
        if self.overrides("convert_record"):
            render = converting_renderer(self)
        else:
            maker = self.line_maker(logger_name or self.logger_name)
            render = careful_renderer(self, maker, is_named=logger_name is not None)
            if self.is_plain():
                if logger_name is None:
                    self._shorten_format(maker, render, renderers)
                ways = Ways(render, interrupted_in(render), is_text=False)
                render = self._fast(maker, ways, is_named=logger_name is not None)
        if self.prefix:
            render = prefixed(self.prefix.encode(), render)
        renderers[logger_name] = render
        return render

    def _shorten_format(
        self, maker: LineMaker, careful: Renderer, renderers: dict[str | None, Renderer]
    ) -> None:
        """Make ``format`` of this instance the renderer itself, which saves it two calls."""
        if self.overrides("format") or self.prefix:
            return
        render = self._fast(maker, text_ways(careful), is_named=False)
        vars(self).update(format=render, _format=render)
        if self.renderers is not renderers:
            self._forget()

    def is_plain(self, *, is_processed: bool = False) -> bool:
        """Tell whether nothing is asked for that the fast way leaves out.

        ``is_processed``: the processors have done their work elsewhere.
        """
        return not (
            (self.processors and not is_processed)
            or self._named_attributes
            or self.rename_fields
            or self.timestamp
            or self.defaults
            or self.exc_info_as_array
            or self.stack_info_as_array
            or any(map(self.overrides, _HOOKS))
            or not fast.is_plain(self.static_fields.values())
            or not OWN_FIELDS.isdisjoint(self.static_fields)
            or not self._excluded().issuperset(STANDARD_ATTRIBUTES)
        )

    def _fast(
        self, maker: LineMaker, ways: Ways[_Line], *, is_named: bool
    ) -> Callable[[logging.LogRecord], _Line]:
        return fast.record_renderer(
            maker,
            ways,
            static_fields=self.static_fields,
            include_context=self.include_context,
            excluded=frozenset(self._excluded()),
            is_named=is_named,
        )

    def line_maker(self, logger_name: str) -> LineMaker:
        """Give what makes this formatter's lines, under a logger name."""
        return LineMaker(
            logger_name,
            self.hostname,
            version=self.LOGGING_FORMAT_VERSION,
            strict=self.strict,
            severity_of=self._severity_of(),
            json_default=self.json_default,
            further=self._further(),
            mask=self.value_mask(),
        )

    def value_mask(self) -> AnyMask | None:
        """Return what masks secrets by value in this formatter's lines; None for nothing."""
        return line_mask(self.processors)

    def _further(self) -> Further | None:
        """Give what adds members to the envelope; None in plain MozLog."""
        return None

    def _severity_of(self) -> Callable[[Any], int]:
        levels, default = self.SYSLOG_LEVEL_MAP, self.DEFAULT_SYSLOG_LEVEL
        if levels == _LEVELS and default == severity(0):
            return severity

        def listed(level: Any) -> int:
            try:
                chosen = levels.get(level, default)
            except TypeError:  # a level that cannot be a key
                chosen = default
            # Not what was asked for, but a line that a collector takes.
            is_severity = type(chosen) is int and 0 <= chosen <= severity(0)
            return chosen if is_severity else severity(level)

        return listed

    def _excluded(self) -> set[str]:
        return self.reserved_attrs if self._is_reserved_given else self.EXCLUDED_LOGRECORD_ATTRS

    def _renamed(self, fields: dict[Any, Any]) -> dict[Any, Any]:
        if not self.rename_fields:
            return fields
        out: dict[Any, Any] = {}
        for key, value in fields.items():
            name = self.rename_fields.get(key, key) if type(key) is str else key
            out[free_name(f"extra.{name}", {*out, *fields}) if name in out else name] = value
        return out


# As they are here: whoever patches the class itself is heard as well.
_METHODS: Final = {
    name: getattr(MozlogFormatter, name) for name in (*_HOOKS, "convert_record", "format")
}


def checked_processors(
    processors: Sequence[Callable[[Any, str, Any], Any]],
) -> tuple[Callable[[Any, str, Any], Any], ...]:
    """Give processors as they are kept; ``TypeError`` for what is none."""
    if callable(processors):
        chosen: tuple[Any, ...] = (processors,)
    elif isinstance(processors, list):
        # The lists of logging.config resolve "ext://..." when asked for an item only.
        chosen = tuple(processors[index] for index in range(len(processors)))
    else:
        chosen = tuple(processors)
    for processor in chosen:
        if not callable(processor) or isinstance(processor, type):
            raise TypeError(
                f"processors has {processor!r} in it, which is no processor: it must be a function "
                "of a logger, a method's name and an event dict, or an object that is called so "
                "(Redact(), and not Redact); in a dictConfig a text names one: "
                '"ext://package.module.processor"'
            )
    return chosen
