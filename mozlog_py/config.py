"""One call for all of it: ``dict_config`` describes the set-up, ``configure`` applies it."""

from __future__ import annotations

import functools
import importlib
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from mozlog_py._config.formatter_options import checked_processors
from mozlog_py._config.options import (
    OptionError,
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
from mozlog_py._line.truncate import check_max_line_bytes
from mozlog_py._stdlib.minimal_records import use_full_records, use_minimal_records

from .queued import check_queue_options
from .servers import SERVER_LOGGERS, filter_for, take_over
from .typing import FormatName, FormatterOptions, Level, Processor, QueueOptions, Stream

__all__ = ["ALIASES", "FORMATS", "configure", "dict_config"]

_FORMATTERS: Final[Mapping[str, str]] = {
    "gcp": "mozlog_py.gcp.CloudFormatter",
    "mozlog": "mozlog_py.formatter.MozlogFormatter",
    "pretty": "mozlog_py.pretty.PrettyFormatter",
}

#: The known values of ``format`` and ``LOG_FORMAT``.
FORMATS: Final = tuple(sorted(_FORMATTERS))

#: What services call them today, which is understood as well.
ALIASES: Final[Mapping[str, str]] = {
    "console": "pretty",
    "json": "mozlog",
    "plain": "pretty",
    "text": "pretty",
}

# The variables that a level is read from, the first that is set.
_LEVEL_VARIABLES: Final = ("LOG_LEVEL", "LOGGING_LEVEL")

# The options of formatters that are code, which a text may name: ``ext://package.function``.
_RESOLVABLE: Final = frozenset({"()", "json_default", "processors"})
# The options of formatters that are no parameters of their own here.
_FORMATTER_OPTIONS: Final = frozenset(FormatterOptions.__annotations__)


#: Whether structlog keeps a logger once it is made. Off under pytest, whose plugins
#: for structlog change a configuration that kept loggers would not look at again.
is_caching_loggers = "mozlog_py.pytest_plugin" not in sys.modules


def is_kept(handler: logging.Handler) -> bool:
    """Return whether ``configure()`` leaves a handler at the root logger: those of pytest."""
    return type(handler).__module__ == "_pytest.logging"


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
    """Give a complete configuration for ``logging.config.dictConfig``.

    It can be used as it is for gunicorn's ``logconfig_dict`` and uvicorn's
    ``log_config``: every logger, the servers' included, writes to one handler
    at the root.

    - ``logger_name``: the application, ``Logger`` in the envelope.
    - ``level``: a level's name or number; else ``LOG_LEVEL`` of the environment, else
      ``LOGGING_LEVEL``; else INFO.
    - ``format``: ``mozlog``, ``gcp`` (MozLog with Cloud Logging's keys) or
      ``pretty``; else ``LOG_FORMAT`` of the environment; else ``pretty`` where
      the stream is a terminal and ``mozlog`` elsewhere. ``json`` is ``mozlog``;
      ``text``, ``plain`` and ``console`` are ``pretty``.
    - ``stream``: where to; None follows ``sys.stdout``; a path is a file to append to.
      A text is a path where it has a directory or a suffix: ``./shop``, ``shop.log``.
    - ``loggers``: levels of single loggers, by name.
    - ``project``: the Google Cloud project of the ``gcp`` format's traces; else
      ``GOOGLE_CLOUD_PROJECT`` of the environment.
    - ``processors``: processors that see every event before its line is made.
    - ``hostname``, ``static_fields``, ``strict``, ``include_context``, ``parse_messages``,
      and by name in ``formatter_options`` everything else: as in ``MozlogFormatter``.
    - ``max_line_bytes``: as in ``MozlogHandler``; 0 for no limit.
    - ``queue``: write in a thread, as ``MozlogQueueHandler`` does; its options by name.

    An environment variable that is set and empty counts as not set. A text that begins with
    ``ext://`` or ``cfg://`` names code where code is wanted (processors, ``json_default``), and
    is refused elsewhere: ``dictConfig`` would import what a label from outside says.

    Raises:
        OptionError: An option cannot be met; it is a ``ValueError`` and a ``TypeError``.
            For a level or a format that is not known, its text lists those that are.
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
    hostname: str | None,
    static_fields: Mapping[str, Any] | None,
    strict: bool,
    include_context: bool,
    parse_messages: bool,
    project: str | None,
    processors: Sequence[Processor],
    formatter_options: FormatterOptions | None,
    max_line_bytes: int | None,
    queue: bool | QueueOptions,
) -> dict[str, Any]:
    """Return the configuration, whatever its texts are. Raises ``OptionError``."""
    _check_kinds(logger_name, stream, loggers, static_fields, formatter_options, hostname, project)
    _check_processors(processors)
    check_switch("strict", strict)
    check_switch("include_context", include_context)
    check_switch("parse_messages", parse_messages)
    if max_line_bytes is not None:
        check_max_line_bytes(max_line_bytes)
    _check_queue(queue)
    check_variable()
    chosen = _format(format, stream)
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
        formatter["colors"] = _is_colorful(sys.stdout if stream is None else stream)
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
    filters = {name: filter_for(name).__name__ for name in SERVER_LOGGERS}
    servers: dict[str, dict[str, Any]] = {
        name: {"handlers": [], "propagate": True, "filters": [filters[name]]}
        for name in SERVER_LOGGERS
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "mozlog": formatter,
            # uvicorn writes use_colors into these two; no handler has them.
            "default": {"class": "logging.Formatter"},
            "access": {"class": "logging.Formatter"},
        },
        "filters": {kind: {"()": f"mozlog_py.servers.{kind}"} for kind in filters.values()},
        "handlers": {"mozlog": handler},
        "loggers": {
            **servers,
            **{
                name: {**servers.get(name, {}), "level": _level(of, f"loggers[{name!r}]")}
                for name, of in (loggers or {}).items()
            },
        },
        "root": {"level": _root_level(level), "handlers": ["mozlog"]},
    }


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
    """Set up ``logging`` and structlog together; the parameters are those of ``dict_config``.

    Records and events go to one stream, in one format, with one context, and
    through the same ``processors``. ``structlog.get_logger()`` gives a
    ``FastBoundLogger``, which hears what the standard library's logger of the
    same name hears.

    Warnings and uncaught exceptions (of the main thread, of threads, and those
    that Python can only ignore) become records too, and so do those of servers
    (``mozlog_py.servers``), whenever they configure their own logging. Replaces
    the handlers of the root logger; calling it again is harmless. Where
    ``stream`` is a path, SIGHUP opens it anew.

    ``lean``: ``logging`` does not gather for each record who called it, and the
    names of its thread, process and task, which no line of ours shows; other
    handlers then have none to show either, and ``stack_info=True`` adds no stack.

    ``structlog_to_logging``: events of structlog also reach handlers beside ours, on the
    logger of the same name and those above it, as records: from the level that a handler
    takes; and from ERROR, where only ``Logger.callHandlers`` was replaced, as sentry-sdk
    does. A level is the lowest one for both; True is all events, False none.

    Texts are taken as they are, also those that begin with ``ext://`` or ``cfg://``; only where
    code is wanted (processors, ``json_default``) do they name it. Otherwise raises
    ``OptionError`` as ``dict_config`` does.
    """
    check_switch("lean", lean)
    # Half of the import time of this package, and needless for a bare formatter.
    from logging.config import dictConfig

    from mozlog_py._stdlib.excepthooks import log_uncaught
    from mozlog_py.structlog.configure import share

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
    _take_texts_as_they_are(config)
    to_logging = structlog_to_logging
    if to_logging is not None and not isinstance(to_logging, bool):
        to_logging = _level(to_logging, "structlog_to_logging")
    root = logging.getLogger()
    kept = [handler for handler in root.handlers if is_kept(handler)]
    # take_over() does more for these, and leaves more as it is: access logs that
    # are switched off, and handlers that are not the servers' own.
    servers = {name: config["loggers"].pop(name) for name in SERVER_LOGGERS}
    try:
        dictConfig(config)
    except ValueError as error:
        # What it says itself is which part of the dict it was about.
        raise (error.__cause__ or error) from None
    # OpenTelemetry replaces dictConfig, and adds its own.
    handler: Any = next(each for each in root.handlers if hasattr(each, "sink"))
    for each in kept:
        root.addHandler(each)
    share(handler.formatter, handler.sink, is_caching=is_caching_loggers, to_logging=to_logging)
    if isinstance(stream, (str, os.PathLike)):
        from mozlog_py._sink.reopenable_file import reopen_on_sighup

        reopen_on_sighup()
    logging.captureWarnings(True)
    log_uncaught()
    take_over()
    for name, settings in servers.items():
        if "level" in settings:
            logging.getLogger(name).setLevel(settings["level"])
    if lean:
        use_minimal_records()
    else:
        use_full_records()
    warn_of_overlap()


def _take_texts_as_they_are(config: dict[str, Any]) -> None:
    """Have ``dictConfig`` resolve no text of a configuration but those that name code.

    It resolves what is in dicts, lists and tuples; in an object it does not look.
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
    return getattr(importlib.import_module(module), kind)


def _check_kinds(
    logger_name: object,
    stream: object,
    loggers: object,
    static_fields: object,
    formatter_options: Any,
    hostname: object,
    project: object,
) -> None:
    check_text("logger_name", logger_name, "it names the application")
    check_stream("stream", stream, "logger_name")
    for name, given, meaning in (
        ("hostname", hostname, "it stands in place of this host's name"),
        ("project", project, "it is the id of a Google Cloud project"),
    ):
        if given is not None:
            check_text(name, given, meaning)
    check_mapping("formatter_options", formatter_options, "{'timestamp': True}")
    check_mapping("loggers", loggers, "{'shop.cart': 'DEBUG'}")
    check_mapping("static_fields", static_fields, "{'env': 'prod'}")
    for name in (
        "logger_name",
        "static_fields",
        "strict",
        "hostname",
        "include_context",
        "parse_messages",
    ):
        if name in (formatter_options or {}):
            raise OptionError(
                f"formatter_options has {name} in it, which is a parameter of its own"
            )
    check_names("formatter_options", formatter_options or {}, _FORMATTER_OPTIONS)


def _check_processors(processors: Any) -> None:
    """Raise ``OptionError`` for what is no list of processors; dictConfig resolves texts."""
    if isinstance(processors, (list, tuple)):
        processors = [each for each in processors if not isinstance(each, str)]
    checked_processors(processors)


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


def _format(given: str | None, stream: Any) -> str:
    source, name = ("format", given) if given is not None else _from_environment("LOG_FORMAT")
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


def _root_level(given: int | str | None) -> int:
    if given is not None:
        return _level(given, "level")
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
    except Exception:  # no stream, closed, or a stand-in without the method
        return False


def _is_colorful(stream: Any) -> bool:
    # Source: https://no-color.org and https://force-color.org
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return _is_terminal(stream) and os.environ.get("TERM") != "dumb"
