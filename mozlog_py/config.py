"""Configuration of ``logging`` and structlog: built by ``dict_config``, set by ``configure``."""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from mozlog_py._config.formatter_options import check_processors
from mozlog_py._config.options import (
    OptionError,
    check_logger_names,
    check_mapping,
    check_names,
    check_stream,
    check_switch,
    check_text,
    check_unresolved,
    shown,
)
from mozlog_py._config.overlap import warn_of_overlap
from mozlog_py._fields.request_text import check_variable
from mozlog_py._line.json_encoder import JSON_ENCODER
from mozlog_py._line.truncate import check_max_line_bytes
from mozlog_py._stdlib.import_hooks import call_when_imported, import_structlog
from mozlog_py._stdlib.minimal_records import use_full_records, use_minimal_records

from .queued import check_queue_options
from .servers import SERVER_LOGGERS, SWITCHED_BY_STATE, filter_for, take_over
from .typing import FormatName, FormatterOptions, Level, Processor, QueueOptions, Stream

__all__ = ["ALIASES", "FORMATS", "JSON_ENCODER", "configure", "dict_config"]

_FORMATTERS: Final[Mapping[str, str]] = {
    "gcp": "mozlog_py.gcp.CloudFormatter",
    "mozlog": "mozlog_py.formatter.MozlogFormatter",
    "pretty": "mozlog_py.pretty.PrettyFormatter",
}

#: The known values of ``format`` and ``LOG_FORMAT``.
FORMATS: Final = tuple(sorted(_FORMATTERS))

#: Other names of the formats, as common services use them.
ALIASES: Final[Mapping[str, str]] = {
    "console": "pretty",
    "json": "mozlog",
    "plain": "pretty",
    "text": "pretty",
}

# The environment variables for the level: the first that is set wins.
_LEVEL_VARIABLES: Final = ("LOG_LEVEL", "LOGGING_LEVEL")

# The options of formatters that are code, which a text may name as ``ext://package.function``.
_RESOLVABLE: Final = frozenset({"()", "json_default", "processors"})
# The options of formatters that dict_config() has no parameter for.
_FORMATTER_OPTIONS: Final = frozenset(FormatterOptions.__annotations__)
# The options of formatters that are refused in formatter_options.
_OWN_PARAMETERS: Final = (
    "logger_name",
    "static_fields",
    "strict",
    "hostname",
    "include_context",
    "parse_messages",
)


#: Whether structlog caches its loggers. False under pytest: plugins for structlog change the
#: configuration, which a cached logger does not read again.
is_caching_loggers = "mozlog_py.pytest_plugin" not in sys.modules

# Under pytest the line counts as logged: else the first test of a session that configures DEBUG
# would have one line more than the same test alone.
_is_encoder_logged = "mozlog_py.pytest_plugin" in sys.modules


def is_kept(handler: logging.Handler) -> bool:
    """Return whether ``configure()`` keeps a handler of the root logger: those that tests read."""
    return type(handler).__module__ in ("_pytest.logging", "mozlog_py.testing")


def dict_config(
    logger_name: str = "Dockerflow",
    *,
    level: Level | None = None,
    format: FormatName | None = None,  # noqa: A002 - the name that people look for
    stream: Stream | None = None,
    loggers: Mapping[str, Level] | None = None,
    hostname: str | None = None,
    static_fields: Mapping[str, Any] | None = None,
    strict: bool = False,
    include_context: bool = True,
    parse_messages: bool = True,
    project: str | None = None,
    processors: Sequence[Processor] = (),
    formatter_options: FormatterOptions | None = None,
    max_line_bytes: int | None = None,
    queue: bool | QueueOptions = False,
) -> dict[str, Any]:
    """Return a complete configuration for ``logging.config.dictConfig``.

    gunicorn's ``logconfig_dict`` and uvicorn's ``log_config`` take it unchanged. Every logger,
    the servers' included, writes to one handler at the root. An environment variable that is
    empty counts as not set.

    Where code is wanted (``processors``, ``json_default``), a text that begins with ``ext://``
    or ``cfg://`` names it. Elsewhere such a text is refused, because ``dictConfig`` would
    import what the text names, also if it comes from outside the application.

    Args:
        logger_name: The application, ``Logger`` in the envelope.
        level: The root logger's level, by name or number; else ``LOG_LEVEL`` of the
            environment, else ``LOGGING_LEVEL``, else INFO.
        format: ``mozlog`` (or ``json``), ``gcp`` (MozLog with Cloud Logging's keys) or
            ``pretty`` (or ``text``, ``plain``, ``console``); else ``LOG_FORMAT`` of the
            environment. Without either, ``pretty`` if the stream is a terminal, else ``mozlog``.
        stream: The destination; None follows ``sys.stdout``; a path is a file to append to.
            A text is a path if it has a directory or a suffix: ``./shop``, ``shop.log``.
        loggers: Levels of single loggers, by name.
        hostname: As in ``MozlogFormatter``.
        static_fields: As in ``MozlogFormatter``.
        strict: As in ``MozlogFormatter``.
        include_context: As in ``MozlogFormatter``.
        parse_messages: As in ``MozlogFormatter``.
        project: The Google Cloud project of the ``gcp`` format's traces; else
            ``GOOGLE_CLOUD_PROJECT`` of the environment.
        processors: Processors that see every event before its line is encoded.
        formatter_options: The other options of ``MozlogFormatter``, by name.
        max_line_bytes: The limit of a line in bytes, as in ``MozlogHandler``; 0 for no limit.
        queue: Whether a thread writes the lines, as ``MozlogQueueHandler`` does; or the options
            of that handler, by name.

    Raises:
        OptionError: An option is invalid; the error is a ``ValueError`` and a ``TypeError``.
            For an unknown level or format, its text lists the known ones.
    """
    config = _build_config(
        logger_name,
        level=level,
        format=format,
        stream=stream,
        loggers=loggers,
        hostname=hostname,
        static_fields=static_fields,
        strict=strict,
        include_context=include_context,
        parse_messages=parse_messages,
        project=project,
        processors=processors,
        formatter_options=formatter_options,
        max_line_bytes=max_line_bytes,
        queue=queue,
    )
    formatter = config["formatters"]["mozlog"]
    for name, value in (
        *((name, formatter[name]) for name in formatter if name not in _RESOLVABLE),
        ("stream", stream),
    ):
        check_unresolved(name, value)
    return config


def _build_config(
    logger_name: str,
    *,
    level: Level | None,
    format: FormatName | None,  # noqa: A002 - the name that people look for
    stream: Stream | None,
    loggers: Mapping[str, Level] | None,
    max_line_bytes: int | None,
    queue: bool | QueueOptions,
    **options: Any,
) -> dict[str, Any]:
    """Return the configuration, with all texts as they are.

    The parameters are those of ``dict_config``; ``options`` are those of the formatter. Raises
    ``OptionError`` for an invalid option.
    """
    _check_kinds(logger_name, stream, loggers, **options)
    if max_line_bytes is not None:
        check_max_line_bytes(max_line_bytes)
    _check_queue(queue)
    check_variable()
    chosen = _resolve_format(format, stream)
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "mozlog": _formatter_config(logger_name, chosen, stream, **options),
            # uvicorn writes use_colors into these two; no handler has them.
            "default": {"class": "logging.Formatter"},
            "access": {"class": "logging.Formatter"},
        },
        "filters": {
            kind: {"()": f"mozlog_py.servers.{kind}"}
            for kind in (filter_for(name).__name__ for name in SERVER_LOGGERS)
        },
        "handlers": {"mozlog": _handler_config(logger_name, stream, max_line_bytes, queue)},
        "loggers": _loggers_config(loggers or {}),
        "root": {"level": _root_level(level), "handlers": ["mozlog"]},
    }


def _formatter_config(
    logger_name: str,
    chosen: str,
    stream: Stream | None,
    *,
    hostname: str | None,
    static_fields: Mapping[str, Any] | None,
    strict: bool,
    include_context: bool,
    parse_messages: bool,
    project: str | None,
    processors: Sequence[Processor],
    formatter_options: FormatterOptions | None,
) -> dict[str, Any]:
    formatter: dict[str, Any] = {
        "()": _FORMATTERS[chosen],
        "logger_name": logger_name,
        "strict": strict,
        "include_context": include_context,
        "parse_messages": parse_messages,
        **(formatter_options or {}),
    }
    if hostname is not None:
        formatter["hostname"] = hostname
    if processors:
        formatter["processors"] = processors
    if static_fields is not None:
        formatter["static_fields"] = dict(static_fields)
    if chosen == "gcp":
        formatter["project"] = project or os.environ.get("GOOGLE_CLOUD_PROJECT") or None
    if chosen == "pretty":
        output = sys.stdout if stream is None else stream
        formatter["colors"] = _is_colorful(output)
        if _is_terminal(output):
            # The columns of the terminal, which change with its window.
            formatter["width"] = 0
    return formatter


def _handler_config(
    logger_name: str, stream: Stream | None, max_line_bytes: int | None, queue: bool | QueueOptions
) -> dict[str, Any]:
    handler: dict[str, Any] = {
        "class": "mozlog_py.handlers.MozlogHandler",
        "name": logger_name,
        "formatter": "mozlog",
    }
    if max_line_bytes is not None:
        handler["max_line_bytes"] = max_line_bytes
    if queue or isinstance(queue, Mapping):
        handler["class"] = "mozlog_py.queued.MozlogQueueHandler"
        handler.update(queue if isinstance(queue, Mapping) else {})
    if stream is not None:
        handler["stream"] = stream
    return handler


def _loggers_config(levels: Mapping[str, Level]) -> dict[str, dict[str, Any]]:
    loggers: dict[str, dict[str, Any]] = {
        name: {"handlers": [], "filters": [filter_for(name).__name__]} for name in SERVER_LOGGERS
    }
    # For the others the filter sets it, unless the server has switched the access log off.
    for name in set(SERVER_LOGGERS).difference(SWITCHED_BY_STATE):
        loggers[name]["propagate"] = True
    for name, level in levels.items():
        loggers.setdefault(name, {})["level"] = _level(level, f"loggers[{name!r}]")
    return loggers


def configure(
    logger_name: str = "Dockerflow",
    *,
    level: Level | None = None,
    format: FormatName | None = None,  # noqa: A002 - the name that people look for
    stream: Stream | None = None,
    loggers: Mapping[str, Level] | None = None,
    hostname: str | None = None,
    static_fields: Mapping[str, Any] | None = None,
    strict: bool = False,
    include_context: bool = True,
    parse_messages: bool = True,
    project: str | None = None,
    processors: Sequence[Processor] = (),
    formatter_options: FormatterOptions | None = None,
    max_line_bytes: int | None = None,
    queue: bool | QueueOptions = False,
    lean: bool = False,
    structlog_to_logging: bool | Level | None = None,
) -> None:
    """Set up ``logging`` and structlog together.

    Records and events go to one stream, in one format, with one context, and pass through the
    same ``processors``. ``structlog.get_logger()`` returns a ``FastBoundLogger``, which has the
    level of the standard library's logger of the same name.
    structlog is set up when it is imported; at once if it is loaded or another thread is running,
    which may be importing it.

    Warnings and uncaught exceptions become records: those of the main thread, of threads, and
    those that Python can only ignore. So do the records of servers (``mozlog_py.servers``),
    also if a server configures its own logging later. The handlers of the root logger are
    replaced; a second call is harmless. If ``stream`` is a path, SIGHUP opens it again. The
    logger ``mozlog_py`` logs at DEBUG, once a process, which JSON encoder was taken.

    A text that begins with ``ext://`` or ``cfg://`` stays text, except where code is wanted
    (``processors``, ``json_default``): there it names the code.

    Args:
        logger_name: As in ``dict_config``, like all parameters but the last two.
        level: As in ``dict_config``.
        format: As in ``dict_config``.
        stream: As in ``dict_config``.
        loggers: As in ``dict_config``.
        hostname: As in ``MozlogFormatter``.
        static_fields: As in ``MozlogFormatter``.
        strict: As in ``MozlogFormatter``.
        include_context: As in ``MozlogFormatter``.
        parse_messages: As in ``MozlogFormatter``.
        project: As in ``dict_config``.
        processors: As in ``dict_config``.
        formatter_options: As in ``dict_config``.
        max_line_bytes: As in ``dict_config``.
        queue: As in ``dict_config``.
        lean: Whether ``logging`` leaves out the caller of a record and the names of its thread,
            process and task. MozLog lines show none of these, but other handlers may.
            ``stack_info=True`` then adds no stack.
        structlog_to_logging: Whether events of structlog also reach other handlers as records,
            on the logger of the same name and those above it. By default a handler gets the
            records from its own level; if only ``Logger.callHandlers`` was replaced, as
            sentry-sdk does, it gets those from ERROR. A level is the lowest one for both; True
            is all events, False none.

    Raises:
        OptionError: As in ``dict_config``.
    """
    check_switch("lean", lean)
    if structlog_to_logging is not None and not isinstance(structlog_to_logging, bool):
        structlog_to_logging = _level(structlog_to_logging, "structlog_to_logging")
    config = _build_config(
        logger_name,
        level=level,
        format=format,
        stream=stream,
        loggers=loggers,
        hostname=hostname,
        static_fields=static_fields,
        strict=strict,
        include_context=include_context,
        parse_messages=parse_messages,
        project=project,
        processors=processors,
        formatter_options=formatter_options,
        max_line_bytes=max_line_bytes,
        queue=queue,
    )
    _keep_texts(config)
    _apply(config, structlog_to_logging)
    if isinstance(stream, (str, os.PathLike)):
        from mozlog_py._sink.reopenable_file import reopen_on_sighup

        reopen_on_sighup()
    if lean:
        use_minimal_records()
    else:
        use_full_records()
    warn_of_overlap()
    _log_encoder()


def _log_encoder() -> None:
    """Log which JSON encoder was taken: once a process, at the first call that shows DEBUG."""
    global _is_encoder_logged
    logger = logging.getLogger("mozlog_py")
    if not _is_encoder_logged and logger.isEnabledFor(logging.DEBUG):
        _is_encoder_logged = True
        logger.debug("lines are encoded by %s", JSON_ENCODER)


def _apply(config: dict[str, Any], to_logging: bool | int | None) -> None:
    """Set up ``logging``, structlog, warnings, hooks and the loggers of servers."""
    # Imported here: these take half of this package's import time, and only this call needs them.
    from logging.config import dictConfig

    from mozlog_py._stdlib.django_defaults import keep_levels
    from mozlog_py._stdlib.excepthooks import log_uncaught

    # Read before the thread of a queue starts.
    is_alone = len(sys._current_frames()) == 1  # noqa: SLF001
    root = logging.getLogger()
    kept = [handler for handler in root.handlers if is_kept(handler)]
    # take_over() sets up these loggers. It keeps an access log that is switched off, and the
    # application's handlers, which dictConfig() would change.
    keep_levels(config["loggers"])
    servers = {name: config["loggers"].pop(name) for name in SERVER_LOGGERS}
    try:
        dictConfig(config)
    except ValueError as error:
        # dictConfig() names only a part of the dict; its cause names the option.
        raise (error.__cause__ or error) from None
    # OpenTelemetry replaces dictConfig() and adds a handler of its own.
    handler: Any = next(each for each in root.handlers if hasattr(each, "sink"))
    for each in kept:
        root.addHandler(each)
    _set_up_structlog(handler, to_logging, is_alone=is_alone)
    logging.captureWarnings(True)
    log_uncaught()
    take_over()
    for name, settings in servers.items():
        if "level" in settings:
            logging.getLogger(name).setLevel(settings["level"])


def _set_up_structlog(handler: Any, to_logging: bool | int | None, *, is_alone: bool) -> None:
    """Set up structlog: now if it is in use, else as soon as it is imported.

    structlog takes longer to import than all else together, and many services log without it.

    Args:
        handler: Its formatter and its sink are those of structlog's lines.
        to_logging: As in ``mozlog_py.structlog.configure.configure_structlog``.
        is_alone: Whether no other thread was running, which may be importing structlog.
    """
    formatter, sink, is_caching = handler.formatter, handler.sink, is_caching_loggers

    def set_up_now(_: ModuleType) -> None:
        # A fork that cuts this import in two also cuts the one that it is a part of.
        from mozlog_py.structlog.configure import configure_structlog

        configure_structlog(formatter, sink, is_caching=is_caching, to_logging=to_logging)

    if not is_alone:
        import_structlog()
    call_when_imported("structlog", set_up_now)


def _keep_texts(config: dict[str, Any]) -> None:
    """Change a configuration so that ``dictConfig`` resolves only texts that name code.

    ``dictConfig`` resolves the texts in dicts, lists and tuples, but not those in an object.
    The options therefore move into a ``functools.partial``.
    """
    formatter = config["formatters"]["mozlog"]
    options = {name: formatter.pop(name) for name in [*formatter] if name not in _RESOLVABLE}
    formatter["()"] = functools.partial(_class_of(formatter["()"]), **options)
    handler = config["handlers"]["mozlog"]
    kind, by_name = handler.pop("class"), handler.pop("formatter")
    config["handlers"]["mozlog"] = {
        "()": functools.partial(_class_of(kind), **handler),
        "formatter": by_name,
    }


def _class_of(name: str) -> Any:
    module, _, kind = name.rpartition(".")
    return getattr(_imported(module), kind)


def _imported(module: str) -> ModuleType:
    """Return a module that a configuration names.

    Tools that freeze a program, such as PyInstaller, find what an import statement names, and
    nothing that is named in a text.
    """
    if module == "mozlog_py.gcp":
        from . import gcp

        return gcp
    if module == "mozlog_py.pretty":
        from . import pretty

        return pretty
    # This module has imported the others, unless all imports are lazy.
    return import_module(module)


def _check_kinds(
    logger_name: object,
    stream: object,
    loggers: object,
    *,
    hostname: object,
    static_fields: object,
    strict: object,
    include_context: object,
    parse_messages: object,
    project: object,
    processors: Any,
    formatter_options: Any,
) -> None:
    """Raise ``OptionError`` for an option of a wrong type."""
    check_text("logger_name", logger_name, "it names the application")
    check_stream("stream", stream, "logger_name")
    for name, value, meaning in (
        ("hostname", hostname, "it stands in place of this host's name"),
        ("project", project, "it is the id of a Google Cloud project"),
    ):
        if value is not None:
            check_text(name, value, meaning)
    check_mapping("formatter_options", formatter_options, "{'timestamp': True}")
    check_logger_names(loggers)
    check_mapping("static_fields", static_fields, "{'env': 'prod'}")
    for name in _OWN_PARAMETERS:
        if name in (formatter_options or {}):
            raise OptionError(
                f"formatter_options has {name} in it, which is a parameter of its own"
            )
    check_names("formatter_options", formatter_options or {}, _FORMATTER_OPTIONS)
    check_processors(processors)
    check_switch("strict", strict)
    check_switch("include_context", include_context)
    check_switch("parse_messages", parse_messages)


def _check_queue(queue: object) -> None:
    if isinstance(queue, Mapping):
        for name in ("stream", "name"):
            if name in queue:
                own = "logger_name" if name == "name" else name
                raise OptionError(f"queue has {name!r} in it; write {own}=... beside it")
        check_queue_options(queue)
    elif not (isinstance(queue, bool) or (type(queue) is int and queue in (0, 1))):
        raise OptionError(
            f"queue is {shown(queue)}; it must be True, False, or a dict of options such as "
            "{'policy': 'block', 'max_bytes': 4_000_000}"
        )


def _resolve_format(requested: str | None, stream: Any) -> str:
    source, name = (
        ("format", requested) if requested is not None else _from_environment("LOG_FORMAT")
    )
    if name is None:
        return "pretty" if _is_terminal(sys.stdout if stream is None else stream) else "mozlog"
    known = name.strip().lower() if isinstance(name, str) else ""
    known = ALIASES.get(known, known)
    if known not in _FORMATTERS:
        aliases = ", ".join(f"{alias} for {of}" for alias, of in ALIASES.items())
        raise OptionError(
            f"{source} is {shown(name)}; the known formats are {', '.join(FORMATS)} "
            f"(also {aliases})"
        )
    return known


def _root_level(requested: int | str | None) -> int:
    if requested is not None:
        return _level(requested, "level")
    for variable in _LEVEL_VARIABLES:
        source, name = _from_environment(variable)
        if name is not None:
            return _level(name, source)
    return logging.INFO


def _from_environment(variable: str) -> tuple[str, str | None]:
    return variable, os.environ.get(variable, "").strip() or None


def _level(level: int | str, source: str) -> int:
    if isinstance(level, int) and not isinstance(level, bool):
        return level
    if isinstance(level, str):
        if level.strip().isdecimal():
            return int(level)
        number = logging.getLevelName(level.strip().upper())
        if isinstance(number, int):
            return number
    names = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG")
    raise OptionError(
        f"{source} is {shown(level)}; the known levels are {', '.join(names)}, names that were "
        "added with logging.addLevelName, and numbers"
    )


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except Exception:  # no stream, a closed one, or a test double without the method
        return False


def _is_colorful(stream: Any) -> bool:
    # Source: https://no-color.org and https://force-color.org
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return _is_terminal(stream) and os.environ.get("TERM") != "dumb"
