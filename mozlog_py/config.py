"""One call for all of it: ``dict_config`` describes the set-up, ``configure`` applies it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from .lean import gather_all, gather_less
from .servers import SERVER_LOGGERS, filter_for, take_over

__all__ = ["FORMATS", "configure", "dict_config"]

_FORMATTERS: Final = {
    "gcp": "mozlog_py.gcp.CloudFormatter",
    "mozlog": "mozlog_py.formatter.MozlogFormatter",
    "pretty": "mozlog_py.pretty.PrettyFormatter",
}

#: The handlers of the root logger that ``configure()`` leaves there. Under pytest, its own.
is_kept: Callable[[logging.Handler], bool] = lambda _: False  # noqa: E731 - it is replaced

#: The known values of ``format`` and ``LOG_FORMAT``.
FORMATS: Final = tuple(sorted(_FORMATTERS))


#: Whether structlog keeps a logger once it is made. Off under pytest, whose plugins
#: for structlog change a configuration that kept loggers would not look at again.
is_caching_loggers = True


def dict_config(
    logger_name: str = "Dockerflow",
    *,
    level: int | str | None = None,
    format: str | None = None,  # noqa: A002 - the name that people look for
    stream: Any = None,
    loggers: Mapping[str, int | str] | None = None,
    hostname: str | None = None,
    static_fields: Mapping[str, Any] | None = None,
    strict: bool = False,
    include_context: bool = True,
    parse_messages: bool = True,
    project: str | None = None,
    processors: Sequence[Callable[[Any, str, Any], Any]] = (),
    formatter_options: Mapping[str, Any] | None = None,
    max_line_bytes: int | None = None,
    queue: bool | Mapping[str, Any] = False,
) -> dict[str, Any]:
    """Give a complete configuration for ``logging.config.dictConfig``.

    It can be used as it is for gunicorn's ``logconfig_dict`` and uvicorn's
    ``log_config``: every logger, the servers' included, writes to one handler
    at the root.

    - ``logger_name``: the application, ``Logger`` in the envelope.
    - ``level``: a level's name or number; else ``LOG_LEVEL`` of the environment; else INFO.
    - ``format``: ``mozlog``, ``gcp`` (MozLog with Cloud Logging's keys) or
      ``pretty``; else ``LOG_FORMAT`` of the environment; else ``pretty`` where
      the stream is a terminal and ``mozlog`` elsewhere.
    - ``stream``: where to; None follows ``sys.stdout``; a path is a file to append to.
    - ``loggers``: levels of single loggers, by name.
    - ``project``: the Google Cloud project of the ``gcp`` format's traces; else
      ``GOOGLE_CLOUD_PROJECT`` of the environment.
    - ``processors``: processors that see every event before its line is made.
    - ``hostname``, ``static_fields``, ``strict``, ``include_context``, ``parse_messages``,
      and by name in ``formatter_options`` everything else: as in ``MozlogFormatter``.
    - ``max_line_bytes``: as in ``MozlogHandler``; 0 for no limit.
    - ``queue``: write in a thread, as ``MozlogQueueHandler`` does; its options by name.

    An environment variable that is set and empty counts as not set. Raises
    ``ValueError`` for a level or format that is not known, listing those that are,
    and ``TypeError`` for what is of another kind than it must be.
    """
    _check(logger_name, stream, loggers, static_fields, formatter_options)
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
    if queue is not False:
        handler["class"] = "mozlog_py.queued.MozlogQueueHandler"
        handler.update({} if queue is True else queue)
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
        "root": {"level": _chosen_level(level), "handlers": ["mozlog"]},
    }


def configure(
    logger_name: str = "Dockerflow",
    *,
    level: int | str | None = None,
    format: str | None = None,  # noqa: A002 - the name that people look for
    stream: Any = None,
    loggers: Mapping[str, int | str] | None = None,
    hostname: str | None = None,
    static_fields: Mapping[str, Any] | None = None,
    strict: bool = False,
    include_context: bool = True,
    parse_messages: bool = True,
    project: str | None = None,
    processors: Sequence[Callable[[Any, str, Any], Any]] = (),
    formatter_options: Mapping[str, Any] | None = None,
    max_line_bytes: int | None = None,
    queue: bool | Mapping[str, Any] = False,
    lean: bool = False,
    structlog_to_logging: bool | int | str | None = None,
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

    Raises ``ValueError`` as ``dict_config`` does.
    """
    # Half of the import time of this package, and needless for a bare formatter.
    from logging.config import dictConfig

    from .structlog.setup import share
    from .uncaught import log_uncaught

    config = dict_config(
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
        from .path import reopen_on_sighup

        reopen_on_sighup()
    logging.captureWarnings(True)
    log_uncaught()
    take_over()
    for name, settings in servers.items():
        if "level" in settings:
            logging.getLogger(name).setLevel(settings["level"])
    if lean:
        gather_less()
    else:
        gather_all()


def _check(
    logger_name: Any, stream: Any, loggers: Any, static_fields: Any, formatter_options: Any
) -> None:
    if not isinstance(logger_name, str):
        raise TypeError(
            f"logger_name is {logger_name!r}; it must be text: it names the application"
        )
    is_path = isinstance(stream, (str, os.PathLike))
    if stream is not None and not is_path and not hasattr(stream, "write"):
        raise TypeError(
            f"stream is {stream!r}, which has no write(); it must be an open stream such as "
            "sys.stderr, a path, or left out for sys.stdout"
        )
    mappings = {
        "formatter_options": formatter_options,
        "loggers": loggers,
        "static_fields": static_fields,
    }
    for name, given in mappings.items():
        if given is not None and not isinstance(given, Mapping):
            raise TypeError(f"{name} is {given!r}; it must be a dict")
    for name in (
        "logger_name",
        "static_fields",
        "strict",
        "hostname",
        "include_context",
        "parse_messages",
    ):
        if name in (formatter_options or {}):
            raise TypeError(f"formatter_options has {name} in it, which is a parameter of its own")


def _format(given: str | None, stream: Any) -> str:
    source, name = ("format", given) if given is not None else _from_environment("LOG_FORMAT")
    if name is None:
        return "pretty" if _is_terminal(sys.stdout if stream is None else stream) else "mozlog"
    known = name.strip().lower() if isinstance(name, str) else name
    if known not in _FORMATTERS:
        raise ValueError(f"{source} is {name!r}; the known formats are {', '.join(FORMATS)}")
    return known


def _chosen_level(given: int | str | None) -> int:
    if given is not None:
        return _level(given, "level")
    source, name = _from_environment("LOG_LEVEL")
    return logging.INFO if name is None else _level(name, source)


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
    raise ValueError(
        f"{source} is {level!r}; the known levels are {', '.join(names)}, names that were added "
        "with logging.addLevelName, and numbers"
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
