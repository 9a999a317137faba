"""The formatter of MozLog lines for the standard library's ``logging``.

The formatter compiles its options into a renderer when the first record comes. The plain
renderer (``_render.plain_record``) is chosen if no option or hook needs more. Otherwise the
general renderer (``_render.any_record``) supports every option and hook of a
python-json-logger formatter.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast, overload

from pythonjsonlogger.core import BaseJsonFormatter

from mozlog_py._config.formatter_options import (
    check_fmt,
    check_json_default,
    check_prefix,
    check_rename_fields,
    check_renamed_fields,
    check_reserved_attrs,
    check_timestamp,
    checked_processors,
)
from mozlog_py._config.options import check_mapping, check_switch
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
from mozlog_py._fields.template_message import TemplateMessage
from mozlog_py._line.line_encoder import (
    ENVELOPE_VERSION,
    EnvelopeExtension,
    LineEncoder,
    encode,
    local_hostname,
)
from mozlog_py._line.severity import LEAST_SEVERE, severity
from mozlog_py._process.unpatched import unpatched_method
from mozlog_py._render.any_record import (
    RENDER_SIGNALS,
    collect_fields,
    conversion_sanitiser,
    converting_renderer,
    envelope_values,
    general_renderer,
    handler_name_of,
    interrupt_fallback,
    is_converting,
    line_of,
    prefixed,
    with_max_bytes,
)
from mozlog_py._render.plain_record import Fallbacks, FieldsRenderer, Renderer
from mozlog_py._render.run_processors import import_for_processors, processed_fields
from mozlog_py._values.plain_types import all_plain
from mozlog_py._values.sanitiser import Sanitiser, unique_key
from mozlog_py._values.tracebacks import as_exc_info, render_exception

from ._render import plain_record
from .context import current
from .typing import Processor, Style

if TYPE_CHECKING:
    from mozlog_py._redaction.mask import AnyMask

__all__ = [
    "MozlogFormatter",
    "has_standard_lines",
    "renderer_key",
]

_SEVERITIES: Final = {50: 2, 40: 3, 30: 4, 20: 6, 10: 7}

# Upstream excludes these on every Python, also if its records do not have them.
_SHOWN_ATTRIBUTES: Final = EXCLUDED_ATTRIBUTES - HIDDEN_ATTRIBUTES

# The plain renderer calls none of these hooks: an override needs the general renderer.
_HOOKS: Final = (
    "add_fields",
    "formatException",
    "formatStack",
    "is_value_jsonlike",
    "process_log_record",
)


# Attributes of an instance that are derived from its options, and are not pickled.
_COMPILED: Final = frozenset({"_listeners", "fields_renderers", "renderers"})


class MozlogFormatter(BaseJsonFormatter):
    """Formats records as MozLog 2.0 lines.

    Source of the envelope: MozLog 2.0, https://wiki.mozilla.org/Firefox/Services/Logging

    Args:
        fmt: Further attributes of records for Fields, as a list of names or in the syntax of
            ``logging.Formatter``.
        datefmt: The format of ``asctime``, as in ``logging.Formatter``.
        style: The syntax of a text as ``fmt``, as in ``logging.Formatter``.
        logger_name: The application, ``Logger`` in the envelope; the name of a
            ``MozlogHandler`` wins. ``logging.config`` passes ``validate`` at this position.
        validate: Whether ``fmt`` is checked.
        hostname: ``Hostname`` in the envelope; None is this host's name.
        strict: Whether lines satisfy the MozLog machine schema, which has no nested objects.
        include_context: Whether lines show the fields bound in ``mozlog_py.context``.
        static_fields: Fields of every line.
        defaults: Fields of lines that have no other value for them.
        rename_fields: New names of Fields, by their names.
        reserved_attrs: The attributes of records that are not Fields, in place of
            ``EXCLUDED_LOGRECORD_ATTRS``.
        timestamp: Whether a field shows the time in RFC 3339: True for ``Time``, or its name.
        exc_info_as_array: Whether ``traceback`` is a list of lines.
        stack_info_as_array: Whether ``stack`` is a list of lines.
        prefix: Text in front of every line.
        json_default: Function that converts a value that JSON has no type for.
        processors: Processors of structlog that see the Fields before they are renamed. The
            message is ``event`` there, and the record ``_record``. If a processor drops the
            event, ``MozlogHandler`` writes nothing; other handlers write the line.
        parse_messages: Whether the members of a message that is JSON text become Fields. The
            items of a message that is a dict always do.

    Raises:
        OptionError: An option is invalid. The error is a ``ValueError`` and a ``TypeError``.
        ValueError: ``fmt`` is malformed.
    """

    LOGGING_FORMAT_VERSION: ClassVar[str] = ENVELOPE_VERSION

    #: Severities by level, which a subclass may replace. A level that the replacement does not
    #: list has ``DEFAULT_SYSLOG_LEVEL``. With the original, a level between two of these has
    #: the severity of the lower one.
    SYSLOG_LEVEL_MAP: ClassVar[dict[int, int]] = dict(_SEVERITIES)
    DEFAULT_SYSLOG_LEVEL: ClassVar[int] = 7

    #: Whether the lines of a class are those of this class, so that a handler may call its
    #: renderers directly. A subclass does not inherit it: each class declares it.
    _has_standard_lines: ClassVar[bool] = True

    #: The attributes of records that are not Fields. Read when the first record is rendered.
    EXCLUDED_LOGRECORD_ATTRS: ClassVar[set[str]] = set(EXCLUDED_ATTRIBUTES)

    #: The compiled renderers, by ``renderer_key``. Emptied when an option changes.
    renderers: dict[str | None, Renderer]

    #: The compiled renderers of fields, by ``renderer_key``. Emptied when an option changes.
    fields_renderers: dict[str, FieldsRenderer | None]

    _listeners: set[weakref.WeakMethod[Callable[[], None]]] | None = None

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
        check_rename_fields(rename_fields)
        check_reserved_attrs(reserved_attrs)
        check_timestamp(timestamp)
        check_json_default(json_default)
        check_prefix(prefix)
        super().__init__(
            fmt,
            datefmt,
            style,
            validate,
            prefix=prefix,
            # The base class reads any mapping item by item.
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
        self.processors = _prepared(processors)
        self.parse_messages = check_switch("parse_messages", parse_messages)
        self._is_reserved_given = reserved_attrs is not None
        names = self.parse() if fmt is None or isinstance(fmt, str) else list(fmt)
        # The message always has a field, and an empty fmt means the message.
        self._named_attributes = [name for name in names if name != "message"]
        if not self._may_have_any_field():
            self._check_renamed()

    def _may_have_any_field(self) -> bool:
        """Return whether a hook or a processor of the application may add fields of any name."""
        return any(map(self.overrides, ("add_fields", "convert_record", "process_log_record"))) or (
            any(not _is_of_this_package(processor) for processor in self.processors)
        )

    def _check_renamed(self) -> None:
        """Raise ``OptionError`` if ``rename_fields`` has a name that no field can have."""
        fields = {*OWN_FIELDS, *self._named_attributes, *self.static_fields, *self.defaults}
        if isinstance(self.timestamp, str):
            fields.add(self.timestamp)
        check_renamed_fields(
            self.rename_fields.keys() - fields, self._excluded().intersection(EXCLUDED_ATTRIBUTES)
        )

    # -- rendering --------------------------------------------------------

    def format(self, record: logging.LogRecord) -> str:
        """Return one line as text, without its newline. Never raises an ``Exception``."""
        # Not by renderer() each time: its call takes a tenth of this one.
        try:
            render = self.renderers[None]
        except KeyError:
            render = self.renderer()
        try:
            return render(record).decode()
        except RENDER_SIGNALS as signal:
            return line_of(signal).decode()

    def format_bytes(self, record: logging.LogRecord) -> bytes:
        """Return one line as UTF-8, without its newline. Never raises an ``Exception``.

        If the code of a value raises a ``KeyboardInterrupt`` or another ``BaseException``, the
        line shows a marker. Only a handler can raise it after the write; ``MozlogHandler`` does.
        """
        try:
            return self.renderer()(record)
        except RENDER_SIGNALS as signal:
            return line_of(signal)

    def renderer(self, logger_name: str | None = None, max_bytes: int = 0) -> Renderer:
        """Return the function that renders records, for a handler to call.

        The function raises ``RaiseAfterWrite``, which holds the line, if the handler has to
        write the line before an interrupt is raised. It raises ``EventDropped`` if a processor
        drops the event.

        Args:
            logger_name: The ``Logger`` of the envelope; None is the formatter's own.
            max_bytes: The limit of a line in bytes, without its newline; 0 for no limit. A
                longer line is cut before its characters are escaped. The sink cuts a line of
                ASCII.
        """
        try:
            return self.renderers[renderer_key(logger_name, max_bytes)]
        except KeyError:
            return self._compile(logger_name, max_bytes)

    def fields_renderer(self, logger_name: str, max_bytes: int = 0) -> FieldsRenderer | None:
        """Return the function that renders fields without a record.

        Args:
            logger_name: The ``Logger`` of the envelope.
            max_bytes: The limit of a line in bytes, as in ``renderer``.

        Returns:
            None if an option or a hook of this formatter needs a record.
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
                with_max_bytes(self.line_encoder_for(logger_name), max_bytes),
                static_fields=self.static_fields,
                include_context=self.include_context,
            )
        renderers[renderer_key(logger_name, max_bytes)] = render
        return render

    def convert_record(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the line of a record as a dict, whose Fields hold the values as logged.

        A subclass may override it to change the line as a whole. The returned dict then passes
        through the processors and is made plain. If the override raises, the line has only the
        envelope, the message and a note. If application code calls this method directly, the
        processors have already run.
        """
        sanitiser = conversion_sanitiser(self, record)
        fields = collect_fields(self, record, sanitiser)
        encoder = self.line_encoder_for(handler_name_of(record) or self.logger_name)
        document = encoder.envelope(*envelope_values(record), fields, sanitiser, is_raw=True)
        if encoder.mask is None or is_converting(self, record):
            return document
        return encoder.mask.raw(document)

    # -- hooks ------------------------------------------------------------

    def is_value_jsonlike(self, value: str) -> bool:
        """Return whether to parse a message as a JSON object, whose members become Fields."""
        return looks_like_json(value)

    def add_fields(
        self,
        log_data: dict[str, Any],
        record: logging.LogRecord,
        message_dict: dict[str, Any],
    ) -> None:
        """Fill ``log_data``, which becomes Fields.

        Args:
            log_data: Empty.
            record: The record.
            message_dict: The fields of the call: ``msg``, ``error`` and so on, or the items of
                a message that is a dict. For a message that is JSON text, ``msg`` is the text;
                its members become Fields here.
        """
        self.fill(log_data, record, message_dict)

    def fill(
        self,
        log_data: dict[str, Any],
        record: logging.LogRecord,
        message_dict: dict[str, Any],
    ) -> None:
        """Fill ``log_data`` as ``add_fields`` of this class does, without a subclass's override."""
        is_complete = type(record) is EventRecord and record.is_complete
        fields = {} if is_complete else {**self.static_fields}
        own = extra_fields(record, self._excluded())
        text = message_dict.get("msg")
        # The values of an event's template are among its fields already.
        if type(text) is TemplateMessage and type(record) is not EventRecord:
            own.update(text.fields_beside(own))
        if self.include_context and not is_complete:
            fields.update(current(own))
        fields.update(own)
        for attribute in self._named_attributes:
            fields[attribute] = self._attribute(record, attribute)
        if self.include_context and not is_complete and "traceback" in message_dict:
            # True stands for the exception being handled, of which a processor has made a text.
            add_request_id(fields, record.exc_info or type(record) is EventRecord)
        names = {*OWN_FIELDS, self.timestamp} if isinstance(self.timestamp, str) else OWN_FIELDS
        fields = merge(fields, message_dict, self.defaults, names)
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
            # A property of a record class raised, or the time is beyond the calendar.
            return Sanitiser().unprintable(record, error)

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """Return Fields as JSON text."""
        return encode(Sanitiser(self.json_default).fields(log_data)).decode()

    def formatException(  # type: ignore[override]  # noqa: N802 - as the base class has it
        self, ei: Any
    ) -> str | list[str]:
        """Return the text of an exception, as in the field ``traceback``."""
        triple = as_exc_info(ei)
        text = "" if triple is None else render_exception(triple, Sanitiser())[1]
        return text.splitlines() if self.exc_info_as_array else text

    # -- compiling the options --------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        # The renderers were compiled from the former options.
        super().__setattr__(name, value)
        self._discard_compiled()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key not in _COMPILED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._discard_compiled()

    def _discard_compiled(self) -> None:
        # Not by vars(): until Python 3.12, the attributes of an object take longer to read once
        # its dict was asked for.
        super().__setattr__("renderers", {})
        super().__setattr__("fields_renderers", {})
        if self._listeners is None:
            # Here, where the formatter is made: two threads may register the first ones at a time.
            super().__setattr__("_listeners", set())
        for listener in [*(self._listeners or ())]:
            callback = listener()
            if callback is not None:
                callback()

    def call_on_change(self, callback: Callable[[], None]) -> None:
        """Register a bound method that is called when an option changes.

        The formatter holds the method's object weakly.
        """
        listeners = self._listeners
        if listeners is None:
            # The method __setstate__ of a subclass has set the attributes.
            listeners = set()
            super().__setattr__("_listeners", listeners)
        listeners.difference_update([one for one in [*listeners] if one() is None])
        listeners.add(weakref.WeakMethod(callback))

    def overrides(self, hook: str) -> bool:
        """Return whether a subclass, or this instance, overrides a method."""
        original = _ORIGINAL_METHODS[hook]
        return (
            getattr(type(self), hook) is not original
            # A wrapper of a tracer forwards what it is asked for, and so does not differ by that.
            or type(own := getattr(self, hook)) is not MethodType
            or own.__func__ is not original
            or own.__self__ is not self
        )

    def _compile(self, logger_name: str | None, max_bytes: int) -> Renderer:
        # Read before any option: if an option changes meanwhile, the result goes into a dict
        # that is no longer in use.
        renderers = self.renderers
        render: Renderer
        if self.overrides("convert_record"):
            render = converting_renderer(self, max_bytes)
        else:
            encoder = with_max_bytes(
                self.line_encoder_for(logger_name or self.logger_name), max_bytes
            )
            render = general_renderer(self, encoder, is_named=logger_name is not None)
            # The plain renderer formats messages itself. Tracers add to them in getMessage().
            if self.is_plain() and unpatched_method(logging.LogRecord.getMessage) is not None:
                fallbacks = Fallbacks(render, interrupt_fallback(render))
                render = self._plain_renderer(encoder, fallbacks, is_named=logger_name is not None)
        if self.prefix:
            render = prefixed(self.prefix.encode(), render, max_bytes)
        renderers[renderer_key(logger_name, max_bytes)] = render
        return render

    def is_plain(self, *, is_processed: bool = False) -> bool:
        """Return whether the plain renderer supports all options and hooks of this formatter.

        Args:
            is_processed: Whether the caller has run the processors.
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

    def _plain_renderer(
        self, encoder: LineEncoder, fallbacks: Fallbacks, *, is_named: bool
    ) -> Renderer:
        return plain_record.record_renderer(
            encoder,
            fallbacks,
            static_fields=self.static_fields,
            include_context=self.include_context,
            excluded=frozenset(self._excluded()),
            is_named=is_named,
            parse_messages=self.parse_messages,
        )

    def line_encoder_for(self, logger_name: str) -> LineEncoder:
        """Return a new encoder of this formatter's lines.

        Args:
            logger_name: The ``Logger`` of the envelope.
        """
        return LineEncoder(
            logger_name,
            self.hostname,
            version=self.LOGGING_FORMAT_VERSION,
            strict=self.strict,
            severity_of=self._severity_of(),
            json_default=self.json_default,
            extension=self._envelope_extension(),
            read_apart=READERS,
            mask=self.value_mask(),
        )

    def value_mask(self) -> AnyMask | None:
        """Return the mask for secrets by value in this formatter's lines; None without one."""
        if not self.processors:
            return None
        return import_for_processors().mask_of_processors(self.processors)

    def _envelope_extension(self) -> EnvelopeExtension | None:
        """Return the function that adds members to the envelope; None in plain MozLog."""
        return None

    def _severity_of(self) -> Callable[[Any], int]:
        levels, default = self.SYSLOG_LEVEL_MAP, self.DEFAULT_SYSLOG_LEVEL
        if levels == _SEVERITIES and default == LEAST_SEVERE:
            return severity

        def listed(level: Any) -> int:
            try:
                chosen = levels.get(level, default)
            except TypeError:  # the level is not hashable
                chosen = default
            # Collectors refuse a line whose severity is not one of syslog's.
            is_severity = type(chosen) is int and 0 <= chosen <= LEAST_SEVERE
            return chosen if is_severity else severity(level)

        return listed

    def _excluded(self) -> set[str]:
        if self._is_reserved_given:
            return self.reserved_attrs
        return self.EXCLUDED_LOGRECORD_ATTRS - _SHOWN_ATTRIBUTES

    def renamed(self, fields: dict[Any, Any]) -> dict[Any, Any]:
        """Return fields under their names in ``rename_fields``."""
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


# The methods as defined here, so that overrides() also finds a patch of the class itself.
_ORIGINAL_METHODS: Final = {
    name: getattr(MozlogFormatter, name) for name in (*_HOOKS, "convert_record", "format")
}


def _prepared(processors: Sequence[Processor]) -> tuple[Processor, ...]:
    """Return checked processors, with the modules imported that their first record needs."""
    checked = checked_processors(processors)
    if checked:
        import_for_processors()
    return checked


@overload
def renderer_key(logger_name: str, max_bytes: int) -> str: ...
@overload
def renderer_key(logger_name: None, max_bytes: int) -> str | None: ...
def renderer_key(logger_name: str | None, max_bytes: int) -> str | None:
    """Return the key of a renderer: a text, which a dict finds in half the time of a tuple."""
    return f"{logger_name or ''}\n{max_bytes}" if max_bytes else logger_name


def has_standard_lines(formatter: object) -> bool:
    """Return whether the class of a formatter declares the lines of ``MozlogFormatter``."""
    return vars(type(formatter)).get("_has_standard_lines") is True


def _is_of_this_package(processor: object) -> bool:
    module = getattr(processor, "__module__", None)
    return isinstance(module, str) and module.partition(".")[0] == __name__.partition(".")[0]
