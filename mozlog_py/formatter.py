"""MozlogFormatter: the front for the standard library's ``logging``.

Its options decide once, when the first record comes, how records are rendered:
the fast way where nothing is asked for that it leaves out, else the careful way
with all the options and hooks of a python-json-logger formatter.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, cast

from pythonjsonlogger.core import BaseJsonFormatter

from mozlog_py._config.options import OptionError, check_mapping, check_switch, check_text, shown
from mozlog_py._fields.event_record import EventRecord
from mozlog_py._fields.from_record import (
    EXCLUDED_ATTRIBUTES,
    HIDDEN_ATTRIBUTES,
    OWN_FIELDS,
    STANDARD_ATTRIBUTES,
    extra_fields,
    merge,
)
from mozlog_py._fields.json_message import looks_like_json
from mozlog_py._fields.late_request_ids import add_request_id
from mozlog_py._fields.server_records import READERS
from mozlog_py._line.line_encoder import (
    ENVELOPE_VERSION,
    EnvelopeExtension,
    EventDropped,
    LineEncoder,
    RaiseAfterWrite,
    encode,
    local_hostname,
)
from mozlog_py._line.severity import severity
from mozlog_py._render.any_record import (
    Renderer,
    careful_renderer,
    collect_fields,
    conversion_sanitiser,
    converting_renderer,
    envelope_of,
    given_name,
    interrupted_in,
    is_converting,
    limited,
    line_of,
    prefixed,
    processed_fields,
    text_ways,
)
from mozlog_py._render.plain_record import Fallbacks, FieldsRenderer
from mozlog_py._values.plain_types import all_plain
from mozlog_py._values.sanitiser import Sanitiser, unique_key
from mozlog_py._values.tracebacks import as_exc_info, render_exception

from ._render import plain_record
from .context import current
from .redaction import combined_mask, line_masks
from .typing import Processor, Style

if TYPE_CHECKING:
    from mozlog_py._redaction.mask import AnyMask

__all__ = [
    "MozlogFormatter",
    "check_fmt",
    "checked_processors",
    "names_nothing",
    "renderer_key",
    "renders_as_usual",
]

_LEVELS: Final = {50: 2, 40: 3, 30: 4, 20: 6, 10: 7}

# Upstream excludes them, on a Python too whose records have none of them.
_SHOWN_ATTRIBUTES: Final = EXCLUDED_ATTRIBUTES - HIDDEN_ATTRIBUTES

# Whoever overrides one of these wants it called.
_HOOKS: Final = (
    "add_fields",
    "formatException",
    "formatStack",
    "is_value_jsonlike",
    "process_log_record",
)


# The members of the envelope, which are no Fields.
_ENVELOPE: Final = frozenset(
    {"EnvVersion", "Fields", "Hostname", "Logger", "Pid", "Severity", "Timestamp", "Type"}
)
# What an attribute of records is called as a field of the call, where it is one.
_FIELD_OF: Final = {
    "exc_info": "error",
    "exc_text": "traceback",
    "message": "msg",
    "stack_info": "stack",
}
# What the name of an attribute begins with in ``fmt``, by style.
_BEGINNINGS: Final = {"%": "%(", "{": "{", "$": "$"}

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
    - ``parse_messages``: whether the members of a message that is JSON text become
      Fields. A dict that is given as the message becomes Fields in any case.

    Raises ``OptionError`` for options that cannot be met, which is a ``ValueError`` and
    a ``TypeError``, and a ``ValueError`` for a ``fmt`` that is malformed.
    Source of the envelope: MozLog 2.0, https://wiki.mozilla.org/Firefox/Services/Logging
    """

    LOGGING_FORMAT_VERSION: ClassVar[str] = ENVELOPE_VERSION

    #: Replace it in a subclass to choose severities level by level; a level it
    #: does not list then has ``DEFAULT_SYSLOG_LEVEL``. Left alone, the levels
    #: between these are as severe as the one below them.
    SYSLOG_LEVEL_MAP: ClassVar[dict[int, int]] = dict(_LEVELS)
    DEFAULT_SYSLOG_LEVEL: ClassVar[int] = 7

    #: Whether a class itself, and none that derives from it, makes the same lines as this one
    #: and differs in what its constructor takes: a handler then renders with it as with this.
    _renders_as_usual: ClassVar[bool] = True

    #: Read when the first record is rendered.
    EXCLUDED_LOGRECORD_ATTRS: ClassVar[set[str]] = set(EXCLUDED_ATTRIBUTES)

    #: What ``renderer`` has given so far, by ``renderer_key``; emptied when an option changes.
    renderers: dict[str | None, Renderer]

    #: What ``fields_renderer`` has given so far, by the same key; emptied likewise.
    fields_renderers: dict[str, FieldsRenderer | None]

    def __init__(
        self,
        fmt: str | Sequence[str] | None = None,
        datefmt: str | None = None,
        style: Style = "%",
        logger_name: str | bool = "Dockerflow",
        validate: bool = True,
        *,
        hostname: str | None = None,
        strict: bool = False,
        include_context: bool = True,
        static_fields: Mapping[str, Any] | None = None,
        defaults: Mapping[str, Any] | None = None,
        rename_fields: Mapping[str, str] | None = None,
        reserved_attrs: Sequence[str] | None = None,
        timestamp: bool | str = False,
        exc_info_as_array: bool = False,
        stack_info_as_array: bool = False,
        prefix: str = "",
        json_default: Callable[[Any], Any] | None = None,
        processors: Sequence[Processor] = (),
        parse_messages: bool = True,
    ) -> None:
        if isinstance(logger_name, bool):
            validate, logger_name = logger_name, "Dockerflow"
        if validate:
            check_fmt(fmt, style)
        check_mapping("static_fields", static_fields, "{'env': 'prod'}")
        check_mapping("defaults", defaults, "{'region': 'eu'}")
        check_renames(rename_fields)
        if isinstance(reserved_attrs, str):
            raise OptionError(
                f"reserved_attrs is the text {shown(reserved_attrs)}; it must be a list of names"
            )
        if not isinstance(timestamp, (bool, str)):
            raise OptionError(
                f"timestamp is {shown(timestamp)}; it must be True, False or the field's name"
            )
        check_text("prefix", prefix, "it stands in front of every line")
        if json_default is not None and not callable(json_default):
            raise OptionError(
                f"json_default is {json_default!r}, which cannot be called; in a dictConfig "
                'write it as "ext://package.module.function"'
            )
        if not prefix.isprintable():
            raise OptionError(
                f"prefix is {prefix!r}; a line break or control character in it would break "
                "every line in two, so leave those out"
            )
        super().__init__(
            fmt,
            datefmt,
            style,
            validate,
            prefix=prefix,
            # The base class reads them item by item, whatever mapping they are.
            rename_fields=cast("dict[str, str] | None", rename_fields),
            static_fields=cast("dict[str, Any] | None", static_fields),
            reserved_attrs=reserved_attrs,
            timestamp=timestamp,
            defaults=cast("dict[str, Any] | None", defaults),
            exc_info_as_array=check_switch("exc_info_as_array", exc_info_as_array),
            stack_info_as_array=check_switch("stack_info_as_array", stack_info_as_array),
        )
        self.logger_name = logger_name
        self.hostname = local_hostname() if hostname is None else hostname
        self.strict = check_switch("strict", strict)
        self.include_context = check_switch("include_context", include_context)
        self.json_default = json_default
        self.processors = checked_processors(processors)
        self.parse_messages = check_switch("parse_messages", parse_messages)
        self._is_reserved_given = reserved_attrs is not None
        names = self.parse() if fmt is None or isinstance(fmt, str) else list(fmt)
        # The message has its field anyway, and an empty fmt stands for it.
        self._named_attributes = [name for name in names if name != "message"]
        if not self._may_have_any_field():
            self._check_renamed()

    def _may_have_any_field(self) -> bool:
        """Return whether code of the application's may add fields of any name."""
        return any(map(self.overrides, ("add_fields", "convert_record", "process_log_record"))) or (
            any(not _is_of_this_package(processor) for processor in self.processors)
        )

    def _check_renamed(self) -> None:
        """Raise ``OptionError`` for a new name of what is no field: it would never show."""
        fields = {*OWN_FIELDS, *self._named_attributes, *self.static_fields, *self.defaults}
        if isinstance(self.timestamp, str):
            fields.add(self.timestamp)
        attributes = self._excluded().intersection(EXCLUDED_ATTRIBUTES)
        for name in self.rename_fields.keys() - fields:
            if name in _ENVELOPE:
                raise OptionError(
                    f"rename_fields has {name!r} in it, a member of the envelope: MozLog says what "
                    "those are called, and rename_fields is for Fields; leave it out"
                )
            if name in attributes:
                field = _FIELD_OF.get(name)
                instead = (
                    f"its field is {field!r}: rename that"
                    if field
                    else f"add it to fmt, as in fmt=[{name!r}], or leave it out"
                )
                raise OptionError(
                    f"rename_fields has {name!r} in it, an attribute of records that is no field "
                    f"of this formatter; {instead}"
                )

    # -- rendering --------------------------------------------------------

    def format(self, record: logging.LogRecord) -> str:
        """Give one line as text, without its newline. Never raises an ``Exception``."""
        try:
            return self.renderer()(record).decode()
        except EventDropped as dropped:
            return dropped.line().decode()
        except RaiseAfterWrite as interrupted:
            return line_of(interrupted).decode()

    def format_bytes(self, record: logging.LogRecord) -> bytes:
        """Give one line as UTF-8, without its newline. Never raises an ``Exception``.

        A ``KeyboardInterrupt`` (or the like) that a value's own code raises is
        shown as a marker; only a handler can raise it after the write, and
        ``MozlogHandler`` does.
        """
        try:
            return self.renderer()(record)
        except EventDropped as dropped:
            return dropped.line()
        except RaiseAfterWrite as interrupted:
            return line_of(interrupted)

    def renderer(self, logger_name: str | None = None, max_bytes: int = 0) -> Renderer:
        """Return the function that ``format_bytes`` is made of, for a handler to call.

        It raises ``RaiseAfterWrite``, with the line, where a line is to be written before an
        interrupt goes on.

        Args:
            logger_name: Takes the place of the formatter's own.
            max_bytes: What a line may take without its newline; 0 for no limit. A longer one
                is cut before its characters are escaped. One of ASCII is left to the sink.
        """
        try:
            return self.renderers[renderer_key(logger_name, max_bytes)]
        except KeyError:
            return self._compile(logger_name, max_bytes)

    def fields_renderer(self, logger_name: str, max_bytes: int = 0) -> FieldsRenderer | None:
        """Return the function that makes lines of fields without a record.

        Args:
            logger_name: The ``Logger`` of the envelope.
            max_bytes: As of ``renderer``.

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
            render = plain_record.fields_renderer(
                limited(self.line_maker(logger_name), max_bytes),
                static_fields=self.static_fields,
                include_context=self.include_context,
            )
        renderers[renderer_key(logger_name, max_bytes) or ""] = render
        return render

    def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return a record's line as a dict, whose Fields hold the values as they were logged.

        Override it to change the line as a whole; lines are then made from what it returns,
        which is cleaned, and goes through the processors, afterwards. If an override raises,
        its line has the envelope and the message alone. Called by itself, it returns Fields
        that the processors have seen.
        """
        sanitiser = conversion_sanitiser(self, record)
        fields = collect_fields(self, record, sanitiser)
        maker = self.line_maker(given_name(record) or self.logger_name)
        document = maker.envelope(*envelope_of(record), fields, sanitiser, is_raw=True)
        if maker.mask is None or is_converting(self, record):
            return document
        return maker.mask.raw(document)

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
        is_complete = type(record) is EventRecord and record.is_complete
        fields = {} if is_complete else {**self.static_fields}
        if self.include_context and not is_complete:
            fields.update(current())
        fields.update(extra_fields(record, self._excluded()))
        for attribute in self._named_attributes:
            fields[attribute] = self._attribute(record, attribute)
        if self.include_context and not is_complete and "traceback" in message_dict:
            # True where a processor has made a text of the exception that is being handled.
            add_request_id(fields, record.exc_info or type(record) is EventRecord)
        fields = merge(fields, message_dict, self.defaults)
        if self.processors and not is_complete and not is_converting(self, record):
            sanitiser = conversion_sanitiser(self, record)
            fields = processed_fields(self.processors, record, fields, sanitiser)
        log_data.update(self.renamed(fields))

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
            reset_after_fork = follower()
            if reset_after_fork is not None:
                reset_after_fork()

    def follow(self, reset_after_fork: Callable[[], None]) -> None:
        """Have a method called whenever an option has changed, as long as its object lives."""
        followers = vars(self).setdefault("_followers", set())
        followers.difference_update([one for one in followers if one() is None])
        followers.add(weakref.WeakMethod(reset_after_fork))

    def overrides(self, hook: str) -> bool:
        """Tell whether a subclass, or this instance, has its own version of a method."""
        return getattr(type(self), hook) is not _METHODS[hook] or hook in vars(self)

    def _compile(self, logger_name: str | None, max_bytes: int) -> Renderer:
        # Before any option is read: what is made of options that change meanwhile
        # goes into a dict that nobody looks at any more.
        renderers = self.renderers
        render: Renderer
        if self.overrides("convert_record"):
            render = converting_renderer(self, max_bytes)
        else:
            maker = limited(self.line_maker(logger_name or self.logger_name), max_bytes)
            render = careful_renderer(self, maker, is_named=logger_name is not None)
            if self.is_plain():
                if logger_name is None and not max_bytes:
                    self._shorten_format(maker, render, renderers)
                ways = Fallbacks(render, interrupted_in(render), is_text=False)
                render = self._fast(maker, ways, is_named=logger_name is not None)
        if self.prefix:
            render = prefixed(self.prefix.encode(), render, max_bytes)
        renderers[renderer_key(logger_name, max_bytes)] = render
        return render

    def _shorten_format(
        self, maker: LineEncoder, careful: Renderer, renderers: dict[str | None, Renderer]
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
            or not all_plain(self.static_fields.values())
            or not OWN_FIELDS.isdisjoint(self.static_fields)
            or not self._excluded().issuperset(STANDARD_ATTRIBUTES)
        )

    def _fast(
        self, maker: LineEncoder, ways: Fallbacks[_Line], *, is_named: bool
    ) -> Callable[[logging.LogRecord], _Line]:
        return plain_record.record_renderer(
            maker,
            ways,
            static_fields=self.static_fields,
            include_context=self.include_context,
            excluded=frozenset(self._excluded()),
            is_named=is_named,
            parse_messages=self.parse_messages,
        )

    def line_maker(self, logger_name: str) -> LineEncoder:
        """Give what makes this formatter's lines, under a logger name."""
        return LineEncoder(
            logger_name,
            self.hostname,
            version=self.LOGGING_FORMAT_VERSION,
            strict=self.strict,
            severity_of=self._severity_of(),
            json_default=self.json_default,
            further=self._further(),
            read_apart=READERS,
            mask=self.value_mask(),
        )

    def value_mask(self) -> AnyMask | None:
        """Return what masks secrets by value in this formatter's lines; None for nothing."""
        return combined_mask(line_masks(self.processors))

    def _further(self) -> EnvelopeExtension | None:
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
        if self._is_reserved_given:
            return self.reserved_attrs
        return self.EXCLUDED_LOGRECORD_ATTRS - _SHOWN_ATTRIBUTES

    def renamed(self, fields: dict[Any, Any]) -> dict[Any, Any]:
        """Return fields under the names that ``rename_fields`` gives them."""
        if not self.rename_fields:
            return fields
        out: dict[Any, Any] = {}
        taken: set[Any] = set()
        numbers: dict[str, int] = {}
        for key, value in fields.items():
            name = self.rename_fields.get(key, key) if type(key) is str else key
            if name in out:
                taken = taken or {*out, *fields}
                name = unique_key(f"extra.{name}", taken, numbers)
            out[name] = value
            if taken:
                taken.add(name)
        return out


# As they are here: whoever patches the class itself is heard as well.
_METHODS: Final = {
    name: getattr(MozlogFormatter, name) for name in (*_HOOKS, "convert_record", "format")
}


def renderer_key(logger_name: str | None, max_bytes: int) -> str | None:
    """Return what a renderer is kept under: a text, which a dict finds in half of the time."""
    return f"{logger_name or ''}\n{max_bytes}" if max_bytes else logger_name


def renders_as_usual(formatter: object) -> bool:
    """Return whether a formatter is of a class whose lines are those of ``MozlogFormatter``."""
    return vars(type(formatter)).get("_renders_as_usual") is True


def names_nothing(fmt: object, style: object) -> str | None:
    """Return what is wrong with a text as ``fmt`` that names no attribute of records; else None.

    One that is malformed is left to the base class.
    """
    if not isinstance(fmt, str) or not fmt or not isinstance(style, str):
        return None
    begin = _BEGINNINGS.get(style)
    if begin is None or begin in fmt:
        return None
    return (
        f"fmt is {shown(fmt)}, which names no attribute of records; for the application's name "
        f"write logger_name={shown(fmt)}; for more fields name them, as in fmt=['lineno'] or "
        "fmt='%(lineno)d'"
    )


def check_fmt(fmt: object, style: object) -> None:
    """Raise ``OptionError`` where ``fmt`` is no format, or names no attribute of records.

    ``MozlogFormatter("shop")`` is meant as the application's name.
    """
    if fmt is None:
        return
    if not isinstance(fmt, (str, Sequence)):
        raise OptionError(
            f"fmt is {shown(fmt)}; it must be a list of attributes of records, such as "
            "['lineno'], or a text such as '%(lineno)d'"
        )
    if not isinstance(fmt, str):
        return
    problem = names_nothing(fmt, style)
    if problem is not None:
        raise OptionError(problem)


def check_renames(rename_fields: object) -> None:
    """Raise ``OptionError`` for what are no new names of fields."""
    check_mapping("rename_fields", rename_fields, "{'user': 'uid'}")
    assert rename_fields is None or isinstance(rename_fields, Mapping)  # noqa: S101 - as checked
    for name in rename_fields or {}:
        # Asked for item by item, as dictConfig resolves them.
        new = (rename_fields or {})[name]
        if not (isinstance(name, str) and isinstance(new, str)):
            raise OptionError(
                f"rename_fields has {shown(name)}: {shown(new)} in it; both must be text, as in "
                "{'user': 'uid'}"
            )


def _is_of_this_package(processor: object) -> bool:
    module = getattr(processor, "__module__", None)
    return isinstance(module, str) and module.partition(".")[0] == __name__.partition(".")[0]


def checked_processors(
    processors: Sequence[Processor], name: str = "processors"
) -> tuple[Processor, ...]:
    """Return processors as they are kept.

    Args:
        processors: What was given for them.
        name: The option that they were given for.

    Raises:
        OptionError: One of them is no processor.
    """
    given: object = processors
    if isinstance(given, (str, bytes)) or not (callable(given) or isinstance(given, Iterable)):
        raise OptionError(
            f"{name} is {shown(processors)}, which is no processor and no list of them: write "
            '[Redact()], in a dictConfig ["ext://package.module.processor"]'
        )
    if callable(processors):
        chosen: tuple[Any, ...] = (processors,)
    elif isinstance(processors, list):
        # The lists of logging.config resolve "ext://..." when asked for an item only.
        chosen = tuple(processors[index] for index in range(len(processors)))
    else:
        chosen = tuple(processors)
    for processor in chosen:
        if not callable(processor) or isinstance(processor, type):
            raise OptionError(
                f"{name} has {shown(processor)} in it, which is no processor: it must be a "
                "function of a logger, a method's name and an event dict, or an object that is "
                "called so (Redact(), and not Redact); in a dictConfig a text names one: "
                '"ext://package.module.processor"'
            )
    return chosen
